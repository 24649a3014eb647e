/* SPDX-License-Identifier: Apache-2.0 */
/* sched.h - when and where a process runs: policy, I/O priority, affinity, memory policy, limits, personality */
#ifndef SYS_SCHED_H
#define SYS_SCHED_H

#include <stddef.h>
#include <stdint.h>

enum { SCHED_LIST_MAX = 8192 }; /* highest processor or node number a list may hold */

int sched_set_policy(int policy, int32_t nice, int32_t priority, uint64_t flags,
		     const uint64_t runtime_deadline_period[3]);
int sched_set_io(int io_class, int priority);
/* sched_parse_list() - "0-3,7" into bits. Return: highest bit + 1; -EINVAL, -ERANGE. */
int sched_parse_list(const char *list, unsigned long *bits, size_t n_bits);
int sched_set_affinity(const char *list);
int sched_set_memory(int mode, unsigned flags, const char *nodes); /* set_mempolicy(2); @nodes may be NULL */
int sched_set_rlimit(int resource, uint64_t soft, uint64_t hard);
int sched_set_personality(unsigned long domain);

#endif
