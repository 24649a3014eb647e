/* SPDX-License-Identifier: Apache-2.0 */
/* oci.h - the commands of `hull oci`: runc's command line, shared parts */
#ifndef CMD_OCI_H
#define CMD_OCI_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/buf.h"
#include "cmd/cmd.h"
#include "container/container.h"

/* Options before the command. */
struct oci_globals {
	const char *root, *log, *log_format, *log_level, *rootless, *criu, *cgroup_manager;
	bool debug, systemd_cgroup, help, version;
};
extern struct oci_globals oci_globals;

enum cgroup_manager oci_cgroup_manager(void);
bool oci_rootless(void);

/* A configuration file as text and as values; {0} is empty. */
struct oci_config {
	struct arena arena;
	struct buf text;
	struct oci_spec spec;
};
/* oci_config_load() - "<bundle>/<file>". */
int oci_config_load(struct oci_config *ret_c, const char *bundle, const char *file, struct err *e);
void oci_config_fini(struct oci_config *c);

/* oci_open() - the container called @id below the global root. */
int oci_open(struct ct **ret_ct, const char *id, struct err *e);

/* oci_warn() - what a successful call left in @e: the work is done, but a hook failed. */
void oci_warn(const struct err *e);

/* oci_write_pid() - @pid as decimal text into @path, by rename. NULL path: nothing. */
int oci_write_pid(const char *path, pid_t pid, struct err *e);

/**
 * oci_supervise() - stay in front of process @pid: forward signals, connect a terminal, reap it and the orphans that come to
 * us, until it ends
 * @console: our end of the pair its terminal's master comes over, or -1
 * Return: its exit code, 128 + signal; -errno
 */
int oci_supervise(pid_t pid, int pidfd, int console, struct err *e);

extern const struct cmd oci_cmd_create, oci_cmd_run, oci_cmd_start, oci_cmd_exec, oci_cmd_state, oci_cmd_kill,
	oci_cmd_delete, oci_cmd_list, oci_cmd_ps, oci_cmd_pause, oci_cmd_resume, oci_cmd_update,
	oci_cmd_events, oci_cmd_features, oci_cmd_spec;

#endif
