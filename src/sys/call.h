/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call.h - every system call that can fail in an interesting way goes through one swappable pointer
 *
 * Tests replace sys_call to make the n-th call fail. All of src/sys/ goes through it; it takes no lock and allocates
 * nothing, so the wrappers serve between clone and exec too.
 */
#ifndef SYS_CALL_H
#define SYS_CALL_H

#include <stdint.h>
#include <sys/syscall.h>

/* (number, six arguments) -> the kernel's own answer: >= 0, or -errno */
typedef long (*sys_call_fn)(long nr, long a, long b, long c, long d, long e, long f);

extern sys_call_fn sys_call;

/* sys_call_real() - the kernel itself. */
long sys_call_real(long nr, long a, long b, long c, long d, long e, long f);

#define SYS_ARG(x)              ((long)(x))
#define SYS0(nr)                sys_call((nr), 0, 0, 0, 0, 0, 0)
#define SYS1(nr, a)             sys_call((nr), SYS_ARG(a), 0, 0, 0, 0, 0)
#define SYS2(nr, a, b)          sys_call((nr), SYS_ARG(a), SYS_ARG(b), 0, 0, 0, 0)
#define SYS3(nr, a, b, c)       sys_call((nr), SYS_ARG(a), SYS_ARG(b), SYS_ARG(c), 0, 0, 0)
#define SYS4(nr, a, b, c, d)    sys_call((nr), SYS_ARG(a), SYS_ARG(b), SYS_ARG(c), SYS_ARG(d), 0, 0)
#define SYS5(nr, a, b, c, d, e) sys_call((nr), SYS_ARG(a), SYS_ARG(b), SYS_ARG(c), SYS_ARG(d), SYS_ARG(e), 0)
#define SYS6(nr, a, b, c, d, e, f)                                                                           \
	sys_call((nr), SYS_ARG(a), SYS_ARG(b), SYS_ARG(c), SYS_ARG(d), SYS_ARG(e), SYS_ARG(f))

#endif
