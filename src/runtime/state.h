/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state.h - state.json: how an instance is doing, in the shape `inspect` shows; written by its shim alone
 *
 * Beside Docker's members it has the ones a reader needs to tell a live shim from a dead one: Shim,
 * ShimStart, PidStart.
 */
#ifndef RUNTIME_STATE_H
#define RUNTIME_STATE_H

#include "runtime/runtime.h"

enum {
	STATE_CHECKS = 5,
	STATE_OUTPUT_MAX = 4096
}; /* health checks remembered, and bytes kept of each one's output */

enum state_health_status { HEALTH_NONE, HEALTH_STARTING, HEALTH_HEALTHY, HEALTH_UNHEALTHY, HEALTH_COUNT };

struct state_check {
	nsec_t start_ns, end_ns;
	int code;
	char *output; /* owned */
};

struct state {
	enum instance_status status;
	pid_t pid, shim_pid;
	uint64_t pid_start, shim_start; /* /proc/PID/stat field 22 */
	int exit_code;
	bool oom_killed;
	char *error; /* owned; NULL: none */
	nsec_t started_ns, finished_ns;
	int restart_count;
	enum state_health_status health;
	int failing_streak;
	struct state_check check[STATE_CHECKS]; /* oldest first */
	size_t n_checks;
};

void state_fini(struct state *s);
/* state_add_check() - takes @output; the oldest one goes when there are STATE_CHECKS. */
void state_add_check(struct state *s, nsec_t start_ns, nsec_t end_ns, int code, char *output);
int state_write(int dirfd, const struct state *s, struct err *e);

/**
 * state_read() - into @in's members; what is on disk is corrected by what is alive
 * A missing file is an instance that was never started. Return: 0; -EBADMSG when the file is damaged.
 */
int state_read(int dirfd, struct instance *in, struct err *e);

/* state_shim() - pid and start time of the shim that @in was last seen with. 0: it has none now. */
pid_t state_shim(const struct instance *in);

#endif
