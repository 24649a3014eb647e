/* SPDX-License-Identifier: Apache-2.0 */
/*
 * launch.h - from a written specification to a running workload; the first start and every restart come
 * through here
 *
 * It runs in the process that becomes the shim, or in a child of the shim, which must stay small.
 */
#ifndef RUNTIME_LAUNCH_H
#define RUNTIME_LAUNCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct err;
struct iso;

/* The three standard streams, both ends; with a terminal mine[0] becomes its master. Empty value
 * STREAMS_NONE. */
struct streams {
	int mine[3], theirs[3];           /* owned; -1: none */
	int console_mine, console_theirs; /* owned; with a terminal: the pair its master comes through */
};
#define STREAMS_NONE                                                                                         \
	{                                                                                                    \
		{ -1, -1, -1 }, { -1, -1, -1 }, -1, -1                                                       \
	}

int streams_open(struct streams *s, bool tty, bool with_stdin, struct err *e);
/* streams_settle() - after the launch: their ends are closed, the master has come, ours do not block. */
int streams_settle(struct streams *s, bool tty, struct err *e);
void streams_fini(struct streams *s);

struct launch { /* borrowed: */
	const char *id, *dir, *run_dir, *levels, *level;
	const char *spec_text; /* NULL: read from @run_dir */
	size_t spec_len;
	int rootfs_fd; /* -1: mounted anew from @dir's rootfs.json */
	const struct streams *streams;
	bool tty;
	bool keep_mounts;
	/* result: */
	int mounts; /* with @keep_mounts: what keeps the workload's mounts until it is closed, owned by the caller; -1: nothing */
	pid_t pid;
	struct iso *iso; /* owned by the caller; NULL after a failure */
	uint64_t start_time;
};

/**
 * launch() - make the workload and start it
 * @ret_code: on failure the exit code people see: 127 no such command, 126 not executable, 125 anything else
 * Return: 0; -errno with @e, and nothing remains
 */
int launch(struct launch *l, int *ret_code, struct err *e);

/* launch_remove() - what @level still holds of @id, if anything: processes killed, cgroups and state gone. */
int launch_remove(const char *level, const char *levels, const char *id, uint64_t *ret_oom_kills,
		  struct err *e);

/* launch_end() - the same of a workload that is open; its files go to @trash as in iso_remove(). */
int launch_end(struct iso *i, int trash, uint64_t *ret_oom_kills, struct err *e);

#endif
