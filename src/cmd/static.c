/* SPDX-License-Identifier: Apache-2.0 */
/*
 * static.c - linked into the static program only: what SQLite could use of libc and hull's statements never do
 *
 * dlopen(3), for extensions: the Makefile has the linker (--wrap) lead it here. The functions behind SQL's sin() and its kin: libm's
 * choose themselves by processor at each start of the program, which touches 128 kB of an OCI runtime's memory.
 */
#include <math.h>
#include <stddef.h>

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
