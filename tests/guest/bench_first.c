/* SPDX-License-Identifier: Apache-2.0 */
/* bench_first.c - writes a byte as soon as it can; what comes then is of no matter */
#include "guest.h"

int guest_main(void)
{
	print("~\n");
	return 0;
}
