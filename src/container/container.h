/* SPDX-License-Identifier: Apache-2.0 */
/*
 * container.h - the container level: an OCI runtime as functions
 *
 * A container is a directory "<root>/<id>" (0700) with state.json and a copy of config.json; whoever holds the names can open
 * it, no process has to stay. Every operation is done or not done; what a killed one leaves, ct_delete() finds.
 *
 * Theory of operation, create: the parent checks everything that needs no child, makes the directory and the cgroups, and
 * clones the container's first process, *init*, into its namespaces. The two talk over one socket pair (container/sync.h):
 * init asks for id maps, hooks and the seccomp listener's delivery, the parent answers; an error of either side arrives as
 * a whole struct err. Init then sits in accept(2) on "<root>/<id>/start.sock" until ct_start(); when parent and start are one
 * command (`run`) it goes on at once. The start connection is closed by exec itself, so start reports an exec that failed.
 */
#ifndef CONTAINER_CONTAINER_H
#define CONTAINER_CONTAINER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "container/cgroup.h"
#include "fmt/oci.h"

struct buf;
struct err;

enum ct_status { CT_CREATING, CT_CREATED, CT_RUNNING, CT_PAUSED, CT_STOPPED, CT_STATUS_COUNT };

const char *ct_status_name(enum ct_status s); /* "creating" ... as `state` prints them */

enum { CT_ID_MAX = 1024 };

/* What the workload's descriptors 0, 1, 2 become; ignored with a terminal. -1: /dev/null. */
struct ct_stdio {
	int fd[3];
};

/* All that `create` needs. Everything is borrowed. */
struct ct_config {
	const char *root;   /* state root, exists or is made 0700 */
	const char *id;     /* checked by ct_id_check() */
	const char *bundle; /* absolute path of the bundle directory */
	const struct oci_spec *spec;
	const char *config_text; /* config.json as text, kept beside the state */
	size_t config_len;
	int rootfs_fd; /* a detached mount to use as root in place of root.path, or -1 */
	enum cgroup_manager cgroup_manager;
	struct ct_stdio stdio;
	int console_fd; /* connected socket that gets the terminal's master by SCM_RIGHTS, or -1 */
	const char *console_socket; /* path of a listening one, or NULL */
	int preserve_fds;           /* descriptors 3 .. 3 + n - 1 reach the workload */
	int listen_fds;             /* of these, LISTEN_FDS as systemd passes them */
	bool no_pivot, no_new_keyring;
	bool rootless;
	bool run; /* start at once: no start.sock */
};

struct ct {                  /* one container, opened */
	char *root, *id;     /* owned */
	int dirfd;           /* "<root>/<id>"; owned */
	char *bundle;        /* owned */
	char *rootfs;        /* owned; absolute path, "" when it was a descriptor */
	pid_t pid;           /* init in the caller's pid namespace; 0 when stopped */
	uint64_t start_time; /* of init, /proc/PID/stat field 22 */
	int64_t created_ns;  /* since the epoch */
	int pidfd;           /* owned; -1 when stopped */
	struct cgroup cgroup;
	bool rootless;
	uid_t owner;
	bool recorded_paused;
	bool ready;       /* state.json says init was once waiting for start */
	bool no_poststop; /* known to have no hooks of this kind: its configuration need not be read for them */
	char *annotations; /* owned; JSON object text for `state` */
	char *intel_rdt;   /* owned; closID directory this container made, or NULL */
};

int ct_id_check(const char *id, struct err *e); /* [A-Za-z0-9_+.-]+, not "." or "..", bounded */

/**
 * ct_create() - make a container; on return its init waits for ct_start() (or runs, with c->run)
 * Context: single-threaded process; may block in hooks.
 * Return: 0 with *ret_ct (ct_free()); -errno with @e naming the field of the specification, nothing left behind
 */
int ct_create(struct ct **ret_ct, const struct ct_config *c, struct err *e);

/* ct_open() - an existing container by name. -ENOENT: "container 'x' does not exist". */
int ct_open(struct ct **ret_ct, const char *root, const char *id, struct err *e);
enum ct_status ct_status(const struct ct *ct);
/* ct_list() - the ids below @root; caller frees each and the list. */
int ct_list(const char *root, char ***ret_ids, size_t *ret_n, struct err *e);
/* ct_state_json() - the object `state` prints (runtime-spec, "State"), from any status. */
int ct_state_json(const struct ct *ct, struct buf *json, struct err *e);

int ct_start(struct ct *ct, struct err *e); /* returns when the workload has exec'd, or with its exec error */
int ct_kill(struct ct *ct, int sig, bool all, struct err *e);
/* ct_pids() - its processes, by cgroup or else by pid namespace; caller frees. -ENOTSUP: it has neither. */
int ct_pids(struct ct *ct, pid_t **ret_pids, size_t *ret_n, struct err *e);
int ct_pause(struct ct *ct, struct err *e);
int ct_resume(struct ct *ct, struct err *e);
int ct_update(struct ct *ct, const struct oci_resources *r, struct err *e);
/* ct_delete() - remove a stopped or never started container (@force: any, killed first): poststop hooks, cgroups, directory. */
int ct_delete(struct ct *ct, bool force, struct err *e);
/* ct_delete_into() - the same; its directory is moved into @trash, a descriptor of one or -1, for the caller to delete when there is
 * time: freeing a directory's blocks can take a disk milliseconds. */
int ct_delete_into(struct ct *ct, bool force, int trash, struct err *e);

/* ct_delete_damaged() - the same by force for one that ct_open() cannot read: who is in its cgroups is
 * killed, hooks do not run. */
int ct_delete_damaged(const char *root, const char *id, struct err *e);

/* One more process in a running container. Everything is borrowed. */
struct ct_exec {
	const struct oci_process *process;
	struct ct_stdio stdio;
	int console_fd; /* as in struct ct_config */
	const char *console_socket;
	const char *cgroup; /* sub-cgroup path, or NULL */
	int preserve_fds;
	bool no_new_keyring;
	bool ignore_paused;
};

/* ct_exec() - start it. Return: its pid (child of the caller: wait for it), with *ret_pidfd (caller closes); -errno. */
pid_t ct_exec(struct ct *ct, const struct ct_exec *x, int *ret_pidfd, struct err *e);

/* ct_process() - the process object of the container's saved config.json, for exec's defaults; in @a's memory. */
int ct_process(const struct ct *ct, struct oci_process *ret_p, struct arena *a, struct err *e);

void ct_free(struct ct *ct);

#endif
