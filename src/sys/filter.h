/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filter.h - which system calls a thread may make from now on: a seccomp filter put together from rules
 *
 * Rules come from `syscalls(GROUP): ...` comments at the code that needs each call (tools/syscalls collects them into
 * gen/syscalls.h): the comment is the policy. A filter is the sum of the groups a thread's work needs; whatever is not
 * in it ends the process.
 */
#ifndef SYS_FILTER_H
#define SYS_FILTER_H

#include <stddef.h>
#include <stdint.h>

struct err;

enum { FILTER_RULES_MAX = 256 };

/* Call @nr is allowed when (argument @arg & @mask) == @value; @arg -1: always. Only the low 32 bits of an argument are
 * looked at: right for what the kernel itself reads as 32 bits (ioctl's command) and for flags that live there. */
struct filter_rule {
	uint16_t nr;
	int8_t arg;
	uint32_t mask, value;
};

struct filter { /* {0} is empty; on the caller's stack */
	struct filter_rule rule[FILTER_RULES_MAX];
	unsigned n;
	int rc;
};

/* filter_allow() - add rules; sticky: filter_install() tells of the first failure (-E2BIG). */
void filter_allow(struct filter *f, const struct filter_rule *rule, size_t n);

enum filter_else {
	FILTER_KILL, /* SIGSYS for the whole process, cannot be caught */
	FILTER_TRAP, /* SIGSYS to be caught, for a program that promises an exit code for it */
};

/**
 * filter_install() - for the calling thread and what it creates; for good
 * Sets no_new_privs. Return: 0; -E2BIG; -EINVAL the kernel has no seccomp.
 */
int filter_install(const struct filter *f, enum filter_else otherwise, struct err *e);

#endif
