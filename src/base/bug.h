/* SPDX-License-Identifier: Apache-2.0 */
/* bug.h - "we are wrong": always compiled in, no side effects inside, aborts the smallest process */
#ifndef BASE_BUG_H
#define BASE_BUG_H

/* bug_die() - one line to stderr, then abort(3). */
_Noreturn void bug_die(const char *expr, const char *file, int line);

#define BUG_ON(expr)                                                                                         \
	do {                                                                                                 \
		if (__builtin_expect(!!(expr), 0))                                                           \
			bug_die(#expr, __FILE__, __LINE__);                                                  \
	} while (0)

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#endif
