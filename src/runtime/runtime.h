/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime.h - instances: an image made to run, at one level, from `create` to `rm`
 *
 * Theory of operation. An instance is one row in the store's database (id, unique name, image, configuration
 * as JSON), a directory
 * "<store>/instances/<id>" (upper/, work/, rootfs.json, log.json, state.json) and, while it runs,
 * "<run>/shim/<id>" (spec.json, the shim's socket, hosts, hostname, resolv.conf: written anew by
 * each start) and the level's own state in "<run>/level/<id>". The row and the directory exist from create to
 * rm. state.json is written by the shim alone, by rename: pid and start time of shim and workload, status,
 * exit code, times, restart count, health. A reader that finds "running" without a live shim calls it dead
 * and says so: nothing has to be repaired for `ps` to be right.
 *
 * The shim (runtime/shim.c) is a fork of the command that started the instance, one for each: it owns the standard
 * streams, the log, the exit code, restarts and health checks, listens on its socket (0600, SO_PEERCRED) and
 * is a child subreaper, so that the workload is its child. It never opens the database.
 */
#ifndef RUNTIME_RUNTIME_H
#define RUNTIME_RUNTIME_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/str.h"
#include "base/time.h"
#include "iso/iso.h"
#include "store/store.h"

struct buf;
struct err;

/* What a person asked for: `hull create` and `hull run` fill it from flags, the Docker API will from JSON.
 * Empty value {0}, see instance_config_fini(). */
struct instance_config {
	char *image;                 /* as typed */
	char *name;                  /* NULL: one is made up */
	char *isolation;             /* "container" when NULL */
	struct strv cmd, entrypoint; /* entrypoint_set tells "" (reset) from absent */
	bool entrypoint_set;
	struct strv env, labels, annotations; /* "K=V" */
	char *hostname, *domainname, *workdir, *user;
	struct strv group_add;
	bool tty, open_stdin, auto_remove, read_only, privileged, init, no_healthcheck;
	/*
	 * One CSV record each, as --mount: "type=bind,src=/a,dst=/b,ro"; a field with a comma is quoted. -v
	 * and --tmpfs are put into this form: -v /a:/b:ro,rshared is
	 * "type=bind,src=/a,dst=/b,readonly,bind-propagation=rshared,bind-create-src" (a missing source is
	 * made), -v n:/b:nocopy "type=volume,src=n,dst=/b,volume-nocopy", -v /b "type=volume,dst=/b", z and Z
	 * pass as they are;
	 * --tmpfs /t:size=1m,mode=700,noexec is "type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=700,noexec"
	 * (other words are mount options).
	 */
	struct strv mounts;
	struct strv cap_add, cap_drop, security_opt, devices, device_cgroup_rules, ulimits, sysctls;
	char *network; /* "none" or "host" */
	char *pid_mode, *ipc_mode, *uts_mode, *userns_mode, *cgroupns_mode, *cgroup_parent;
	struct strv dns, extra_hosts; /* written to /etc/resolv.conf and /etc/hosts */
	struct strv
		ports; /* recorded (-p); publishing comes with bridge networks: refused by name until then */
	/* resources; 0 or NULL: not given; -1: no limit */
	int64_t memory, memory_swap, memory_reservation, nano_cpus, cpu_shares, cpu_quota, cpu_period,
		pids_limit;
	int64_t shm_size, memory_swappiness; /* memory_swappiness: -1 not given */
	int oom_score_adj, blkio_weight;
	bool oom_score_adj_set, oom_kill_disable;
	char *cpuset_cpus, *cpuset_mems;
	struct strv blkio_weight_device, device_read_bps, device_write_bps, device_read_iops,
		device_write_iops;
	char *restart; /* "no", "always", "unless-stopped", "on-failure[:N]" */
	char *stop_signal;
	int stop_timeout_s; /* -1: default, 10 */
	struct {
		char *cmd; /* --health-cmd; NULL: the image's */
		nsec_t interval, timeout, start_period, start_interval;
		int retries;
	} health;
	char *log_driver;     /* "json-file" or "none" */
	struct strv log_opts; /* "max-size=10m", "max-file=3" */
};
void instance_config_fini(struct instance_config *c);

enum instance_status {
	INSTANCE_CREATED,
	INSTANCE_RUNNING,
	INSTANCE_PAUSED,
	INSTANCE_RESTARTING,
	INSTANCE_EXITED,
	INSTANCE_DEAD,
	INSTANCE_STATUS_COUNT
};
const char *instance_status_name(enum instance_status s);

struct instance { /* one, as read; a snapshot that does not change by itself */
	char id[65];
	char *name;
	char *image, *image_id; /* reference as typed, and digest */
	json_t *config;         /* all of the configuration, as `inspect` shows it (Docker's shape: Config,
				   HostConfig, Mounts, ...) */
	nsec_t created_ns;
	/* from state.json */
	enum instance_status status;
	pid_t pid, shim_pid;
	int exit_code;
	bool oom_killed;
	char *error; /* why it could not start, or NULL */
	nsec_t started_ns, finished_ns;
	int restart_count;
	char *health;  /* "starting", "healthy", "unhealthy", or NULL */
	json_t *state; /* the whole of it, with the health log */
};
void instance_fini(struct instance *in);

struct runtime; /* the store and the run directory, opened */
int runtime_open(struct runtime **ret_rt, const char *root, const char *run_root, struct err *e);
void runtime_close(struct runtime *rt);
/* runtime_roots() - where runtime_open() would look, absolute; the caller frees both. */
int runtime_roots(const char *root, const char *run_root, char **ret_root, char **ret_run_root,
		  struct err *e);
struct store *runtime_store(struct runtime *rt);

/* instance_find() - by name, id or unique id prefix. -ENOENT "no such container: 'x'"; -EEXIST when
 * ambiguous. */
int instance_find(struct runtime *rt, const char *name, struct instance *ret_in, struct err *e);
int instance_each(struct runtime *rt, int (*each)(void *arg, const struct instance *in), void *arg,
		  struct err *e);

/* instance_create() - row and directory. *ret_warnings collects what was degraded, one line each. */
int instance_create(struct runtime *rt, const struct instance_config *c, char ret_id[65],
		    struct strv *ret_warnings, struct err *e);

/* Streams of the caller that an attached start, attach or exec is connected to; -1: not. */
struct instance_streams {
	int in, out, err;
	bool tty;                /* in is a terminal: raw mode, resize, detach keys */
	const char *detach_keys; /* "ctrl-p,ctrl-q" when NULL */
	bool sig_proxy;
};

/* How an attached session ended. */
enum { INSTANCE_DETACHED = 1 };

/**
 * instance_start() - spawn the shim, which starts the workload
 * @io: streams to attach before the first instruction of the workload, or NULL: detached
 * @ret_code: with @io: the exit code (0..255, 128+n for signal n)
 * Return: 0; INSTANCE_DETACHED; -errno: it did not start (then exit code 125, or 126/127 by -EACCES/-ENOENT
 * of the command; *ret_code holds it)
 */
int instance_start(struct runtime *rt, const char *id, const struct instance_streams *io, int *ret_code,
		   struct err *e);
int instance_attach(struct runtime *rt, const char *id, const struct instance_streams *io, int *ret_code,
		    struct err *e);
int instance_wait(struct runtime *rt, const char *id, int *ret_code, struct err *e);
int instance_stop(struct runtime *rt, const char *id, int timeout_s, const char *sig,
		  struct err *e); /* -1: its own timeout */
int instance_kill(struct runtime *rt, const char *id, int sig, struct err *e);
int instance_pause(struct runtime *rt, const char *id, struct err *e);
int instance_resume(struct runtime *rt, const char *id, struct err *e);
int instance_rename(struct runtime *rt, const char *id, const char *name, struct err *e);
/* instance_remove() - a running one only with @force (killed). Removes what a killed removal left. */
int instance_remove(struct runtime *rt, const char *id, bool force, bool volumes, struct err *e);
/* instance_update() - members of @c that are given become the new limits of a live or stopped instance. */
int instance_update(struct runtime *rt, const char *id, const struct instance_config *c, struct err *e);

struct instance_exec {
	struct strv cmd, env;
	char *user, *workdir;
	bool tty, privileged, detach;
};
int instance_exec(struct runtime *rt, const char *id, const struct instance_exec *x,
		  const struct instance_streams *io, int *ret_code, struct err *e);

/* instance_log() - the log as json-file lines, across rotated files, oldest first. */
struct instance_log_query {
	nsec_t since, until;
	int64_t tail;
	bool follow;
}; /* tail -1: all */
int instance_log(struct runtime *rt, const char *id, const struct instance_log_query *q,
		 int (*line)(void *arg, const char *stream, nsec_t when, const char *text, size_t len),
		 void *arg, struct err *e);

int instance_pids(struct runtime *rt, const char *id, pid_t **ret_pids, size_t *ret_n, struct err *e);
int instance_usage(struct runtime *rt, const char *id, struct iso_usage *ret_u, struct err *e);
/* instance_root() - descriptor of its root file system, running (as the workload sees it) or not (mounted
 * detached). */
int instance_root(struct runtime *rt, const char *id, struct err *e);
int instance_upper(struct runtime *rt, const char *id,
		   struct err *e); /* directory fd of what it has changed */
/* instance_diff() - each path changed since the image: kind 'A' 'C' 'D'. */
int instance_diff(struct runtime *rt, const char *id, int (*each)(void *arg, char kind, const char *path),
		  void *arg, struct err *e);
int instance_commit(struct runtime *rt, const char *id, const char *tag, char *const *changes,
		    size_t n_changes, const char *author, const char *message, bool pause, char *ret_image_id,
		    struct err *e);

/* Events: appended to "<run>/events.json" by whoever did it, one JSON object a line, bounded by rotation. */
void event_emit(struct runtime *rt, const char *type, const char *action, const char *id, json_t *attributes);
int event_read(struct runtime *rt, nsec_t since, nsec_t until, bool follow,
	       int (*each)(void *arg, const json_t *event), void *arg, struct err *e);

/* runtime_prune() - stopped instances, and everything a killed command left: directories without rows, groups,
 * run directories. A workload that outlived its shim is listed as dead, and left to stop, start or rm -f. */
int runtime_prune(struct runtime *rt, bool stopped, struct strv *told, uint64_t *ret_freed, struct err *e);
/* runtime_sweep() - only the leftovers; cheap; every `rm` and `prune` calls it. */
int runtime_sweep(struct runtime *rt, struct err *e);

/* The levels, in order of preference (iso_table.c). */
const struct iso_ops *iso_find(const char *name, struct err *e);

#endif
