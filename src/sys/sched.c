/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/sched.h"

#include <errno.h>
#include <limits.h>
#include <linux/sched/types.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "sys/call.h"

enum { LONG_BITS = 8 * sizeof(long), IOPRIO_WHO_PROCESS_ = 1, IOPRIO_CLASS_SHIFT_ = 13 };

int sched_set_policy(int policy, int32_t nice, int32_t priority, uint64_t flags,
		     const uint64_t runtime_deadline_period[3])
{
	struct sched_attr attr = {
		.size = sizeof(attr),
		.sched_policy = (uint32_t)policy,
		.sched_flags = flags,
		.sched_nice = nice,
		.sched_priority = (uint32_t)priority,
		.sched_runtime = runtime_deadline_period[0],
		.sched_deadline = runtime_deadline_period[1],
		.sched_period = runtime_deadline_period[2],
	};

	return (int)SYS3(SYS_sched_setattr, 0, &attr, 0);
}

int sched_set_io(int io_class, int priority)
{
	return (int)SYS3(SYS_ioprio_set, IOPRIO_WHO_PROCESS_, 0, io_class << IOPRIO_CLASS_SHIFT_ | priority);
}

int sched_parse_list(const char *list, unsigned long *bits, size_t n_bits)
{
	int top = 0;

	memset(bits, 0, n_bits / 8);
	if (!*list)
		return -EINVAL;
	for (const char *p = list; *p;) {
		char *end;
		unsigned long first, last;

		if (*p < '0' || *p > '9')
			return -EINVAL;
		first = last = strtoul(p, &end, 10);
		if (*end == '-') {
			p = end + 1;
			if (*p < '0' || *p > '9')
				return -EINVAL;
			last = strtoul(p, &end, 10);
		}
		if (last < first || (*end && *end != ',') || (*end == ',' && !end[1]))
			return -EINVAL;
		if (last >= n_bits)
			return -ERANGE;
		for (unsigned long i = first; i <= last; i++)
			bits[i / LONG_BITS] |= 1UL << i % LONG_BITS;
		if ((int)last + 1 > top)
			top = (int)last + 1;
		p = *end ? end + 1 : end;
	}
	return top;
}

int sched_set_affinity(const char *list)
{
	unsigned long bits[SCHED_LIST_MAX / LONG_BITS];
	int r = sched_parse_list(list, bits, SCHED_LIST_MAX);

	return r < 0 ? r : (int)SYS3(SYS_sched_setaffinity, 0, sizeof(bits), bits);
}

int sched_set_memory(int mode, unsigned flags, const char *nodes)
{
	unsigned long bits[1024 / LONG_BITS];
	int top = nodes && *nodes ? sched_parse_list(nodes, bits, 1024) : 0;

	if (top < 0)
		return top;
	return (int)SYS3(SYS_set_mempolicy, (unsigned)mode | flags, top ? bits : NULL, top ? top + 1 : 0);
}

int sched_set_rlimit(int resource, uint64_t soft, uint64_t hard)
{
	struct rlimit64 lim = { .rlim_cur = soft, .rlim_max = hard };

	return (int)SYS4(SYS_prlimit64, 0, resource, &lim, NULL);
}

int sched_set_personality(unsigned long domain)
{
	return (int)SYS1(SYS_personality, domain);
}
