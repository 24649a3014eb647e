/* SPDX-License-Identifier: Apache-2.0 */
/*
 * beside.h - system calls made beside the caller, by another process in the same memory
 *
 * For what only a process of this memory may ask, takes long, and goes on while the caller does what a process with threads may not
 * (unshare(2) of a user namespace). The other one runs nothing but the calls: no libc, no allocation, no signal handlers.
 */
#ifndef SYS_BESIDE_H
#define SYS_BESIDE_H

#include <stdalign.h>
#include <stddef.h>
#include <sys/types.h>

struct beside_call {
	long nr, arg[3];
	long result; /* >= 0; -errno; -ECANCELED: one before it failed. Valid after beside_wait() */
};

struct beside {
	pid_t pid;                /* 0: nobody is there */
	struct beside_call *call; /* borrowed until beside_wait() */
	size_t n;
	alignas(16) char stack[4096];
};

/* beside_start() - in their order, until one fails. @b stays where it is until beside_wait(). Return: 0; -errno: nothing was begun. */
int beside_start(struct beside *b, struct beside_call *call, size_t n);
/* beside_wait() - until all is done; at once where nothing was begun. */
void beside_wait(struct beside *b);

#endif
