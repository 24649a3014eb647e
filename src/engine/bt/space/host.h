/* SPDX-License-Identifier: Apache-2.0 */
/* host.h - the host's system calls, raw: a space process has no libc. Results are the kernel's: negative is -errno. */
#ifndef ENGINE_BT_SPACE_HOST_H
#define ENGINE_BT_SPACE_HOST_H

#include <stddef.h>
#include <stdint.h>

static inline long bt_call6(long n, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long r;

	__asm__ volatile("syscall"
			 : "=a"(r)
			 : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return r;
}

#define BT_CALL(n, ...) BT_CALL_(n, ##__VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define BT_CALL_(n, a, b, c, d, e, f, ...)                                                                   \
	bt_call6(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

static inline uint64_t bt_host_tsc(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

#endif
