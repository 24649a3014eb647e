/* SPDX-License-Identifier: Apache-2.0 */
/*
 * static.c - linked into the static program only: what libraries would do at every start, for uses hull seldom or never has
 *
 * The Makefile has the linker lead these names here (--wrap). In a virtual machine each CPUID instruction is an exit to the host,
 * 9 us where that was measured, and an OCI runtime is started for each container.
 */
#include <math.h>
#include <openssl/sha.h>
#include <stdbool.h>
#include <stddef.h>

/* --- libcrypto asks the processor what it can do: when something is hashed, not at each start ----------------- */

void __wrap_OPENSSL_cpuid_setup(void);
void __real_OPENSSL_cpuid_setup(void);
int __wrap_SHA256_Init(SHA256_CTX *c);
int __real_SHA256_Init(SHA256_CTX *c);
int __wrap_SHA512_Init(SHA512_CTX *c);
int __real_SHA512_Init(SHA512_CTX *c);

void __wrap_OPENSSL_cpuid_setup(void)
{
}

/* cpuid_once() - racing threads do it twice, to the same effect. */
static void cpuid_once(void)
{
	static bool done;

	if (!__atomic_load_n(&done, __ATOMIC_ACQUIRE)) /* pairs with the store below */
		__real_OPENSSL_cpuid_setup();
	__atomic_store_n(&done, true, __ATOMIC_RELEASE);
}

int __wrap_SHA256_Init(SHA256_CTX *c)
{
	cpuid_once();
	return __real_SHA256_Init(c);
}

int __wrap_SHA512_Init(SHA512_CTX *c)
{
	cpuid_once();
	return __real_SHA512_Init(c);
}

/* --- SQLite could load extensions, and compute sin(): hull's statements do neither ----------------------------- */

void *__wrap_dlopen(const char *file, int mode);

void *__wrap_dlopen(const char *file, int mode)
{
	(void)file;
	(void)mode;
	return NULL;
}

#define UNUSED_BY_SQL(name)                                                                                  \
	double name(double x)                                                                                \
	{                                                                                                    \
		(void)x;                                                                                     \
		return NAN;                                                                                  \
	}

UNUSED_BY_SQL(acos)
UNUSED_BY_SQL(acosh)
UNUSED_BY_SQL(asin)
UNUSED_BY_SQL(asinh)
UNUSED_BY_SQL(atan)
UNUSED_BY_SQL(atanh)
UNUSED_BY_SQL(cos)
UNUSED_BY_SQL(cosh)
UNUSED_BY_SQL(sin)
UNUSED_BY_SQL(sinh)
UNUSED_BY_SQL(tan)
UNUSED_BY_SQL(tanh)
UNUSED_BY_SQL(trunc)

double atan2(double y, double x)
{
	(void)y;
	(void)x;
	return NAN;
}
