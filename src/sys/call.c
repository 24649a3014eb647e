/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/call.h"

#include <errno.h>
#include <unistd.h>

sys_call_fn sys_call = sys_call_real;

long sys_call_real(long nr, long a, long b, long c, long d, long e, long f)
{
	long r = syscall(nr, a, b, c, d, e, f);

	return r < 0 ? -errno : r;
}
