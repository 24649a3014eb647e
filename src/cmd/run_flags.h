/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run_flags.h - the options that run, create and update share, and how they become a struct
 * instance_config
 */
#ifndef CMD_RUN_FLAGS_H
#define CMD_RUN_FLAGS_H

#include "cmd/cmd.h"
#include "runtime/runtime.h"

struct run_flags {
	struct instance_config config; /* most options go right into it; owned */
	/* what takes more than copying */
	const char *entrypoint;
	struct strv env, env_file, label, label_file, volume, mount, tmpfs, sysctl;
	int64_t oom_score_adj; /* or OOM_SCORE_NOT_GIVEN */
	const char *platform;
	bool publish_all;
	/* what is not the instance's */
	const char *pull, *cidfile, *detach_keys;
	struct strv attach;
	bool detach, sig_proxy, quiet;
};

/* One table: run has all of it, create and update what follows from these places on. */
extern const struct opt run_flag_opts[];
enum { RUN_FLAGS_RUN = 0, RUN_FLAGS_CREATE = 3, RUN_FLAGS_UPDATE = 69 };

enum { OOM_SCORE_NOT_GIVEN = INT32_MAX };

void run_flags_defaults(void *o);

/*
 * run_flags_finish() - check what was given and complete @f->config; @argv: IMAGE [COMMAND [ARG...]], NULL
 * for update.
 */
int run_flags_finish(struct run_flags *f, int argc, char **argv, struct err *e);

/* flag_env() / flag_env_file() - VAR=VALUE, or VAR from our own environment, appended to @env. */
int flag_env(struct strv *env, const char *text, struct err *e);
int flag_env_file(struct strv *env, const char *path, struct err *e);

/* flag_volume() / flag_tmpfs() - -v and --tmpfs as a record of struct instance_config's mounts. */
int flag_volume(struct strv *mounts, const char *text, struct err *e);
int flag_tmpfs(struct strv *mounts, const char *text, struct err *e);

/* flag_bad() - "invalid argument "x" for --flag: why". Return: -EINVAL. */
int flag_bad(struct err *e, const char *flag, const char *value, const char *why);

/* flag_signal() - "TERM", "SIGTERM" or "15". Return: the number, or -EINVAL. */
int flag_signal(const char *name);

/* run_create() - `create`: check flags, make the instance, write --cidfile, tell warnings. */
int run_create(struct run_flags *f, int argc, char **argv, char ret_id[65], struct err *e);

/*
 * flag_streams() - the caller's descriptors for a session, by -i, -t and -a; with a terminal asked for,
 * ours must be one.
 */
int flag_streams(struct instance_streams *io, bool interactive, bool tty, const struct strv *attach,
		 struct err *e);

#endif
