/* SPDX-License-Identifier: Apache-2.0 */
/* runtime_internal.h - what the files of runtime/ share */
#ifndef RUNTIME_RUNTIME_INTERNAL_H
#define RUNTIME_RUNTIME_INTERNAL_H

#include <sqlite3.h>

#include "runtime/runtime.h"

enum {
	INSTANCE_ID_SIZE = 65,
	INSTANCE_TEXT_MAX =
		4 << 20, /* bytes; a larger state, specification or configuration file is refused */
};

struct runtime {
	struct store *store;   /* owned */
	char *root, *run_root; /* owned, absolute */
	int fresh_lock; /* owned: of the instance this command has just made, see runtime__lock_of(); -1 */
	struct instance fresh; /* owned: that instance, see instance__take_fresh() */
	int run_fd;            /* owned */
	char *levels;          /* owned; "<run>/level": the levels' own states */
};

/* In the run directory: "level/<id>" is the level's own, "shim/<id>" a directory for as long as there is a
 * shim. */
#define RUNTIME_LEVEL_DIR "level"
#define RUNTIME_SHIM_DIR  "shim"
#define RUNTIME_TRASH_DIR                                                                                    \
	"tmp" /* "tmp/<id>": a run directory that is being deleted, see runtime__run_discard() */

/* In "<run>/shim/<id>": made by each start, memory on most machines. Also hosts, hostname and resolv.conf. */
#define INSTANCE_SOCKET "sock"
#define INSTANCE_SPEC   "spec.json"
#define INSTANCE_SHIM   "shim.json"

/* In the store: an instance's directory that is being deleted, see instance__trash(). */
#define INSTANCE_TRASH "tmp/rm-"

/* In an instance's directory. */
#define INSTANCE_ROOTFS  "rootfs.json"
#define INSTANCE_STATE   "state.json"
#define INSTANCE_LOG     "log.json"
#define INSTANCE_LOCK    "lock"
#define INSTANCE_VOLUMES "volumes" /* its anonymous volumes, a line each; gone when they stay after `rm` */

/* runtime__query() - a prepared statement with its parameters bound: 's' const char *, 'i' int64_t. NULL with
 * @e set. */
sqlite3_stmt *runtime__query(struct runtime *rt, struct err *e, const char *sql, const char *types, ...);
/* runtime__step() - 1: a row; 0: no more (then reset); -errno. */
int runtime__step(struct runtime *rt, sqlite3_stmt *q, struct err *e);
int runtime__run(struct runtime *rt, struct err *e, const char *sql, const char *types, ...);

char *runtime__path(const struct runtime *rt, const char *id); /* "<root>/instances/<id>"; caller frees */
int runtime__dir(const struct runtime *rt, const char *id,
		 struct err *e); /* descriptor of that; caller closes */

/**
 * runtime__lock() - the instance's lock, held until the descriptor is closed: start, rm, rename, update
 * exclude each other
 * Return: descriptor; -EWOULDBLOCK when !@wait and another command has it; -ENOENT: no
 * such directory
 */
int runtime__lock(const struct runtime *rt, int dirfd, bool wait, struct err *e);
/*
 * runtime__lock_of() - the same, waiting, of an instance that this very command may have made
 * Who has made one keeps its lock until it is started, so that no prune takes it for one that nobody wants.
 */
int runtime__lock_of(struct runtime *rt, const char *id, int dirfd, struct err *e);

/* runtime__run_path() - "shim/<id>", relative to the run directory. */
enum { RUN_PATH_SIZE = 16 + INSTANCE_ID_SIZE };
const char *runtime__run_path(const char *id, char *dst);

/**
 * runtime__run_discard() - the run directory is gone from where anybody looks for it, by one rename
 * It stays locked by @own_fd, its descriptor: its owner has yet to delete it by runtime__run_delete(). Where it cannot be
 * moved it is deleted at once.
 */
void runtime__run_discard(int run_fd, int own_fd, const char *id);
void runtime__run_delete(int run_fd, const char *id); /* what was discarded; nothing is as well */

/**
 * instance__trash() - its directory @dirfd becomes trash of the store, by one rename; the caller holds its lock
 * It stays locked by @dirfd, whoever shares that has yet to delete it by instance__trash_delete(); a sweep deletes what is not locked.
 */
int instance__trash(const struct runtime *rt, const char *id, int dirfd);
void instance__trash_delete(const char *root, const char *id);

/**
 * instance__remove_ended() - remove an instance whose workload has ended, under the eyes of its shim, which then deletes the trash
 * @in: as it was started, @dirfd its directory; @shim its shim, child of ours
 * Return: 1: done; 0: not as it was, which is instance_remove()'s affair; -errno
 */
int instance__remove_ended(struct runtime *rt, struct instance *in, int dirfd, pid_t shim, struct err *e);

/* runtime__shim() - connect to the instance's shim. -ENOENT, -ECONNREFUSED: there is none. */
int runtime__shim(const struct runtime *rt, const char *id);
/* runtime__shim_pid() - its process, also when state.json cannot tell; 0: there is none. */
pid_t runtime__shim_pid(const struct runtime *rt, const char *id);

/*
 * instance__take_fresh() - the instance @id, when this command has just made it and so holds its lock: nobody has to be asked
 * Return: 1, once; 0: ask the database.
 */
int instance__take_fresh(struct runtime *rt, const char *id, struct instance *ret_in);
/* instance__level() - the level the instance is for. */
const struct iso_ops *instance__level(const struct instance *in, struct err *e);
/* instance__iso() - its workload, opened; -ENOENT when there is none. */
int instance__iso(struct runtime *rt, const struct instance *in, struct iso **ret_i, struct err *e);
/* instance__stirs() - live, or something of it that only looks dead: a shim whose state is damaged, a workload without shim. */
bool instance__stirs(const struct runtime *rt, const struct instance *in);
bool instance__live(const struct instance *in); /* running, paused or restarting, with its shim */
int instance__need_live(const struct instance *in, const char *what, struct err *e);
/* instance__reread() - its state as it is now. */
int instance__reread(struct instance *in, int dirfd, struct err *e);
/* instance__save() - write @in's configuration back to its row. */
int instance__save(struct runtime *rt, const struct instance *in, struct err *e);

/* Members of the configuration by Docker's path: instance__get(config, "HostConfig", "Init"); NULL when
 * absent. */
json_t *instance__get(const json_t *config, const char *object, const char *key);
const char *instance__str(const json_t *config, const char *object,
			  const char *key);                                       /* NULL when absent or "" */
int64_t instance__int(const json_t *config, const char *object, const char *key); /* 0 when absent */
bool instance__bool(const json_t *config, const char *object, const char *key);

static inline void json_decrefp_(json_t **p)
{
	json_decref(*p);
}
#define auto_json __attribute__((cleanup(json_decrefp_)))

static inline void iso_freep(struct iso **p)
{
	iso_free(*p);
}
static inline void sqlite_resetp(sqlite3_stmt **p)
{
	sqlite3_reset(*p);
}

#endif
