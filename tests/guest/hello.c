/* SPDX-License-Identifier: Apache-2.0 */
/* hello.c - output and exit status: "status=N" on the command line, or 0 */
#include "guest.h"

int guest_main(void)
{
	print("hello\n");
	return (int)cmdline_u64("status", 0);
}
