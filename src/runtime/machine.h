/* SPDX-License-Identifier: Apache-2.0 */
/*
 * machine.h - machines with names: made, started, asked, saved, removed
 *
 * Theory of operation. A machine is a directory "<root>/machines/ID" (config.json, written once; state.json, replaced by
 * rename; console.log; lock; cgroup) and a link "<root>/machines/names/NAME" to it. The link is the machine: it is made last and
 * removed first, each in one step, so that a name is given once and a command that was killed leaves at most a directory
 * without a name, which machines_sweep() removes. Whoever starts or removes one holds its lock.
 *
 * While it runs there are two processes. The keeper (machine_keeper.c), a fork of the command that started it, owns the console, the
 * log, state.json, the socket "<run>/machine/ID" and the control group. The machine (machine_process.c) is its child and
 * jailed. They share a pair of sockets: whichever ends, the other sees it and ends too. A reader that finds "running" without a
 * live keeper calls it dead: nothing has to be repaired for a list to be right.
 *
 * struct instance is how a machine is read: what a machine does not have (an image, health) is empty in it.
 */
#ifndef RUNTIME_MACHINE_H
#define RUNTIME_MACHINE_H

#include "runtime/runtime.h"

struct machine_config;
struct machines;

int machines_open(struct machines **ret_ms, const char *root, const char *run_root, struct err *e);
void machines_close(struct machines *ms); /* takes NULL */
static inline void machines_closep(struct machines **msp)
{
	machines_close(*msp);
}
#define auto_machines __attribute__((cleanup(machines_closep)))

/* machines_filler - puts files into the directory of the machine @id that is being made, and their names into its options. */
typedef int machines_filler(void *arg, struct machines *ms, const char *id, json_t *options, struct err *e);
/*
 * machines_create() - @name: NULL: one is made up. @options: what `start` will need; borrowed. @fill: may be NULL
 * Return: 0; -EEXIST: the name is taken; -errno. Nothing remains then.
 */
int machines_create(struct machines *ms, const char *name, json_t *options, machines_filler *fill, void *arg,
		    char ret_id[65], struct err *e);
/* machines_id() - by name, id or unique beginning of one; also of a machine whose files are damaged. -ENOENT. */
int machines_id(struct machines *ms, const char *name, char ret_id[65], struct err *e);
/* machines_find() - by name, id or unique beginning of one. -ENOENT "no such machine: 'x'". Its config is {"Id", "Name", "Created", "Options"}. */
int machines_find(struct machines *ms, const char *name, struct instance *ret_in, struct err *e);
int machines_each(struct machines *ms, int (*each)(void *arg, const struct instance *in), void *arg,
		  struct err *e);
/* machines_remove() - one that runs only with @force, killed. Also what is left of one that was killed. */
int machines_remove(struct machines *ms, const char *id, bool force, struct err *e);
/* machines_sweep() - what killed commands, keepers and machines left; machines stay. */
int machines_sweep(struct machines *ms, struct err *e);
char *machines_path(const struct machines *ms, const char *id); /* its directory; the caller frees */
/* machines_vsock_path() - where its Unix sockets are when nobody says otherwise; the caller frees. */
char *machines_vsock_path(const struct machines *ms, const char *id);

struct machines_limits {    /* of the whole machine, by control group; 0: none */
	int64_t cpu_weight; /* 1 to 10000, 100 is what others have */
	int64_t nano_cpus;
	int64_t memory; /* bytes, the guest's and hull's own */
};

struct machines_launch {
	struct machine_config *
		config; /* taken, also on failure; of a restored one: what it has in place of what was saved */
	struct machines_limits limits;
	int state_fd, mem_fd; /* owned; -1: it boots */
	char snapshot_id[65]; /* of that snapshot */
	char *ahead_path;     /* owned; its memory's working set (see workingset.h); NULL: none */
};
void machines_launch_fini(struct machines_launch *l);

/*
 * machines_start() - spawn its keeper, which starts the machine
 * Return: 0, also when it runs already; INSTANCE_DETACHED; -errno. @io, @ret_code: as instance_start().
 */
int machines_start(struct machines *ms, const char *id, struct machines_launch *l,
		   const struct instance_streams *io, int *ret_code, struct err *e);
int machines_attach(struct machines *ms, const char *id, const struct instance_streams *io, int *ret_code,
		    struct err *e);
int machines_wait(struct machines *ms, const char *id, int *ret_code, struct err *e);
/* machines_stop() - asks the guest (Ctrl-Alt-Del), and ends it after @timeout_s. */
int machines_stop(struct machines *ms, const char *id, int timeout_s, struct err *e);
int machines_kill(struct machines *ms, const char *id, struct err *e);
int machines_pause(struct machines *ms, const char *id, struct err *e);
int machines_resume(struct machines *ms, const char *id, struct err *e);
/* machines_counters() - what the engine has counted of each processor: {"Engine", "Cpus": [{NAME: N}]}; the caller's. -EBUSY: it does not run. */
int machines_counters(struct machines *ms, const char *id, json_t **ret_counters, struct err *e);
int machines_log(struct machines *ms, const char *id, int out_fd,
		 struct err *e); /* what is kept of the console's output */

/* --- snapshots: a directory with snapshot.json, and the files it names (machine_snapshot.c) ------------------------ */

struct machines_disk { /* of the machine, as its options say */
	const char *id, *path, *format;
	bool readonly, backing;
};

struct machines_save {
	int dirfd;                        /* borrowed; the snapshot's directory */
	bool diff;                        /* into the directory that has the snapshot before */
	const struct machines_disk *disk; /* those that can be written are copied */
	size_t n_disks;
};
int machines_save(struct machines *ms, const char *id, const struct machines_save *s, struct err *e);

struct machines_snapshot {
	char id[65];
	json_t *info;                /* owned: snapshot.json */
	int dirfd, state_fd, mem_fd; /* owned */
	char *ahead_path;            /* owned, in the snapshot's directory; NULL: none */
};
#define MACHINES_SNAPSHOT_NONE                                                                               \
	{                                                                                                    \
		.dirfd = -1, .state_fd = -1, .mem_fd = -1                                                    \
	}
int machines_snapshot_open(struct machines_snapshot *s, const char *dir, struct err *e);
void machines_snapshot_fini(struct machines_snapshot *s);
/* machines_clone_disk() - an overlay "@disk.qcow2" in @id's directory over the snapshot's copy. Return: 0 and its path, the caller's; -errno. */
int machines_clone_disk(struct machines *ms, const char *id, const struct machines_snapshot *s,
			const char *disk, char **ret_path, struct err *e);

#endif
