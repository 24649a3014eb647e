/* SPDX-License-Identifier: Apache-2.0 */
/* restart.h - restart policies with Docker's back-off: 100 ms, doubled each time up to a minute, anew after
 * 10 s of life */
#ifndef RUNTIME_RESTART_H
#define RUNTIME_RESTART_H

#include <stdbool.h>

#include "base/time.h"

enum restart_policy {
	RESTART_NO,
	RESTART_ON_FAILURE,
	RESTART_UNLESS_STOPPED,
	RESTART_ALWAYS,
	RESTART_POLICY_COUNT
};

struct restart {
	enum restart_policy policy;
	int max_tries;   /* on-failure: 0 is no bound */
	int tries;       /* so far */
	nsec_t delay_ns; /* the last one */
};

/* restart_policy() - by name; NULL and "" are "no". Return: -EINVAL for another word. */
int restart_policy(const char *name);

/**
 * restart_next() - the workload has ended: again?
 * @stopped: a person asked for the end
 * Return: nanoseconds to wait before the next start, or -1: that was it
 */
nsec_t restart_next(struct restart *r, int exit_code, nsec_t lived_ns, bool stopped);

#endif
