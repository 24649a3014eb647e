/* SPDX-License-Identifier: Apache-2.0 */
/*
 * iso.h - what every way of isolating a workload promises; back ends include this, it includes none
 *
 * A level is one constant struct iso_ops. runtime/ knows only the table; each check is written once, in iso.c.
 */
#ifndef ISO_ISO_H
#define ISO_ISO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct err;
struct oci_process;
struct oci_resources;
struct oci_spec;

enum iso_state { ISO_CREATED, ISO_RUNNING, ISO_PAUSED, ISO_STOPPED, ISO_STATE_COUNT };

const char *iso_state_name(enum iso_state s);

/* All a level needs to make a workload. Everything is borrowed. */
struct iso_spec {
	const char *id;         /* 64 hex digits */
	const char *state_root; /* the level's own state lives in "<state_root>/<id>" */
	const char *bundle;     /* the instance's directory */
	const struct oci_spec *oci;
	const char *config_text; /* the same as text */
	size_t config_len;
	int rootfs_fd;  /* detached mount that is the root file system */
	int stdio[3];   /* the workload's; ignored with a terminal */
	int console_fd; /* socket that gets the terminal's master, or -1 */
	bool systemd_cgroup;
	bool rootless;
	bool start; /* at once: iso_start() is not called, create's error is start's */
};

/* One more process in a running workload. Everything is borrowed. */
struct iso_exec {
	const struct oci_process *process;
	int stdio[3];
	int console_fd;
};

struct iso_usage {
	uint64_t cpu_ns;
	uint64_t mem_bytes, mem_limit_bytes; /* limit 0: none */
	uint64_t pids, pids_limit;
	uint64_t io_read_bytes, io_write_bytes;
	uint64_t oom_kills;
};

struct iso_ops;

struct iso { /* one workload; first member of the back end's own struct */
	const struct iso_ops *ops;
	pid_t pid; /* of its first process as the host sees it; 0 when stopped */
	int pidfd; /* borrowed from the back end's own; -1 when stopped */
};

struct iso_ops {
	const char *name;            /* "container", "sandbox", "microvm", "unikernel", "vm" */
	int (*probe)(struct err *e); /* can this host? no side effects */
	int (*create)(struct iso **ret_i, const struct iso_spec *s, struct err *e);
	int (*open)(struct iso **ret_i, const char *state_root, const char *id, struct err *e);
	enum iso_state (*state)(const struct iso *i);
	int (*start)(struct iso *i, struct err *e);
	int (*signal)(struct iso *i, int sig, bool all, struct err *e);
	int (*exec)(struct iso *i, const struct iso_exec *x, int *ret_pidfd,
		    struct err *e); /* pid; child of the caller */
	int (*pause)(struct iso *i, struct err *e);
	int (*resume)(struct iso *i, struct err *e);
	int (*update)(struct iso *i, const struct oci_resources *r, struct err *e);
	int (*pids)(struct iso *i, pid_t **ret_pids, size_t *ret_n, struct err *e);
	int (*usage)(struct iso *i, struct iso_usage *ret_u, struct err *e);
	uint64_t (*oom_kills)(struct iso *i);      /* so far; usage() counts them too, and much else */
	int (*root)(struct iso *i, struct err *e); /* O_PATH fd of the workload's root as it sees it */
	int (*remove)(struct iso *i, int trash,
		      struct err *e); /* kill what still runs; nothing of it remains but files in @trash */
	void (*free)(struct iso *i);  /* takes a half-made @i, or NULL; cannot fail */
};

extern const struct iso_ops iso_container;

/* One wrapper for each verb: an op a level lacks is -EOPNOTSUPP with one line that says so. */
int iso_create(const struct iso_ops *ops, struct iso **ret_i, const struct iso_spec *s, struct err *e);
int iso_open(const struct iso_ops *ops, struct iso **ret_i, const char *state_root, const char *id,
	     struct err *e);
enum iso_state iso_state(const struct iso *i);
int iso_start(struct iso *i, struct err *e);
int iso_signal(struct iso *i, int sig, bool all, struct err *e);
int iso_exec(struct iso *i, const struct iso_exec *x, int *ret_pidfd, struct err *e);
int iso_pause(struct iso *i, struct err *e);
int iso_resume(struct iso *i, struct err *e);
int iso_update(struct iso *i, const struct oci_resources *r, struct err *e);
int iso_pids(struct iso *i, pid_t **ret_pids, size_t *ret_n, struct err *e);
int iso_usage(struct iso *i, struct iso_usage *ret_u, struct err *e);
uint64_t iso_oom_kills(struct iso *i); /* 0 also where the level cannot tell */
int iso_root(struct iso *i, struct err *e);
/* iso_remove() - @trash: a directory that takes its files, for the caller to delete when there is time; -1: they go at once. */
int iso_remove(struct iso *i, int trash, struct err *e);
void iso_free(struct iso *i);

#endif
