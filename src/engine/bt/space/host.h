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

/* The guest's vector registers are in the host's, whether its XCR0 shows them or not: FXSAVE and MOVAPS ask only CR4. */
enum { BT_FPU_PARTS = 7 /* x87, SSE, AVX */ };

static inline uint32_t bt_fpu_parts(void)
{
	uint32_t a, d;

	__asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
	return a & BT_FPU_PARTS;
}

/* @area: as XSAVE wants it, zero or once filled by it */
static inline void bt_fpu_save(uint8_t *area)
{
	__asm__ volatile("xsave64 (%0)" ::"r"(area), "a"(bt_fpu_parts()), "d"(0) : "memory");
}

static inline void bt_fpu_load(const uint8_t *area)
{
	__asm__ volatile("xrstor64 (%0)" ::"r"(area), "a"(bt_fpu_parts()), "d"(0) : "memory");
}

/* bt_host_core() - Return: the TSC; *ret_core: where this runs, as Linux has it in TSC_AUX */
static inline uint64_t bt_host_core(uint32_t *ret_core)
{
	uint32_t low, high, aux;

	__asm__ volatile("rdtscp" : "=a"(low), "=d"(high), "=c"(aux));
	*ret_core = aux & 0xfff;
	return (uint64_t)high << 32 | low;
}

static inline uint64_t bt_host_tsc(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

#endif
