/* SPDX-License-Identifier: Apache-2.0 */
/* machine_internal.h - what the files of machines with names share */
#ifndef RUNTIME_MACHINE_INTERNAL_H
#define RUNTIME_MACHINE_INTERNAL_H

#include "container/cgroup.h"
#include "io/frame.h"
#include "io/loop.h"
#include "runtime/machine.h"
#include "runtime/proto.h"
#include "runtime/runtime_internal.h"
#include "runtime/state.h"

#define MACHINES_NAMES  "names"
#define MACHINES_RUN    "machine" /* below the run directory */
#define MACHINES_CONFIG "config.json"
#define MACHINES_GROUP  "cgroup" /* its control group, for whoever has to remove it */
#define MACHINES_LOG    "console.log"

enum { MACHINES_LOG_MAX = 1 << 20, MACHINES_STATUS_OURS = 125, MACHINES_STATUS_KILLED = 137 };

struct machines {
	char *root, *run_root; /* owned, absolute */
	int dirfd, run_fd;     /* owned: "<root>/machines", "<run>/machine" */
	int events_fd;         /* owned: "<run>" */
};

/* --- machine_store.c --- */
int machines__dir(const struct machines *ms, const char *id, struct err *e);
/* machines__lock() - as runtime__lock(). */
int machines__lock(const struct machines *ms, const char *id, int dirfd, bool wait, struct err *e);
/* machines__read() - the machine @id. */
int machines__read(struct machines *ms, const char *id, struct instance *ret_in, struct err *e);
/* machines__clean() - of a machine without keeper, whose lock is held: its process, its socket, its control group. */
void machines__clean(const struct machines *ms, const struct instance *in, int dirfd);
void machines__event(int events_fd, const char *action, const char *id, const char *name);

/* --- machine_ask.c --- */
/* machines__connect() - to its keeper. -ESRCH: there is none. */
int machines__connect(struct machines *ms, const struct instance *in, struct err *e);
/* machines__kill() - and wait until its keeper has seen the end; that of a keeper that has gone is machines__clean()'s. */
void machines__kill(struct machines *ms, const struct instance *in);
/* machines__has_keeper() - does one listen, whatever state.json says? */
bool machines__has_keeper(const struct machines *ms, const char *id);
int machines__done(int sock, struct err *e); /* the answer PROTO_DONE */

/* --- machine_group.c --- */
int machines__group_make(struct cgroup *cg, const char *id, const struct machines_limits *l, int dirfd,
			 struct err *e);
int machines__group_join_fds(const struct cgroup *cg, int *fds, size_t *ret_n, struct err *e);
void machines__group_remove(struct cgroup *cg, int dirfd);
void machines__group_clean(int dirfd); /* of a keeper that was killed */

/* --- machine_log.c: the console's output, its last MACHINES_LOG_MAX to twice as many bytes --- */
struct machines_log {
	int dirfd, fd; /* borrowed; owned */
	uint64_t size;
};
void machines__log_put(struct machines_log *l, const char *bytes, size_t len);

/* --- between keeper and machine, on their pair of sockets; answers are PROTO_STARTED, PROTO_DONE, and: --- */
enum machines_msg {
	MACHINES_POWER = 32, /* Ctrl-Alt-Del */
	MACHINES_SAVE,       /* struct msg_save, behind two PROTO_FILE */
	MACHINES_COUNT,      /* behind one PROTO_FILE */
	MACHINES_POWERED,    /* struct msg_failed */
	MACHINES_ENDED,      /* struct machines_ended */
};
struct machines_ended {
	int32_t how, status; /* enum machine_end */
	char why[200];
};

struct machines_process {
	struct machines_launch *launch;
	const char *name;
	int sock, console_in, console_out;
};
/* machines__process() - be the machine. */
_Noreturn void machines__process(struct machines_process *p);

/* --- machine_keeper.c --- */
struct keeper_start { /* all of it is the keeper's */
	char id[INSTANCE_ID_SIZE];
	char *name;
	struct state state; /* as written */
	struct cgroup *group;
	int dirfd, run_fd, events_fd, listener, starter, machine, console_in, console_out;
	char snapshot_id[65]; /* of the memory it began with; "": none */
};
int machines__keeper(struct keeper_start *from);

enum { KEEPER_CLIENTS_MAX = 64, KEEPER_FILES = 2 };

struct keeper_client {
	struct keeper_client *next;
	struct keeper *keeper;
	struct loop_source source; /* its fd is owned */
	bool output, input;        /* attached */
	bool waits;                /* wants PROTO_EXIT */
	bool holds;                /* the machine is paused for it, and resumed when it goes */
	bool will_hold;            /* once the machine has gone on that is just being resumed */
	int file[KEEPER_FILES];    /* owned; what it will save into */
	unsigned n_files;
};

enum keeper_task { TASK_NONE, TASK_PAUSE, TASK_RESUME, TASK_SAVE, TASK_COUNT };

struct keeper {
	struct loop loop;
	struct keeper_start *from;
	struct state state;
	struct machines_log log;
	struct loop_source listener, sigchld, machine, out, in; /* their fds are owned */
	char *pending; /* owned; typed, and the guest has not read it yet */
	size_t pending_len, pending_at;
	struct keeper_client *clients;
	unsigned n_clients;
	enum keeper_task task;       /* the machine is at it */
	struct keeper_client *asker; /* for whom; NULL: he has gone, or nobody asked */
	char saving_id[65];          /* becomes from->snapshot_id when that has gone well */
	bool resume_next;            /* whoever held it has gone while it was at work */
	bool told;                   /* the machine has said how it ended */
	struct machines_ended ended;
	bool asked_to_stop, killed;
	struct loop_timer stop_timer, tidy_timer;
};

void keeper__save_state(struct keeper *k);
void keeper__stop(struct keeper *k, int timeout_s);
void keeper__kill(struct keeper *k);
void keeper__type(struct keeper *k, const char *bytes, size_t len);
/* keeper__task() - ask the machine. Return: 0; -EBUSY: it is at something else. */
int keeper__task(struct keeper *k, enum keeper_task task, struct keeper_client *asker, const void *bytes,
		 size_t len);
/* machine_keeper_client.c */
int keeper__client_add(struct keeper *k, int fd); /* takes @fd */
void keeper__client_close(struct keeper_client *c);
void keeper__client_accept(void *keeper, uint32_t events);
void keeper__clients_want(struct keeper *k);
void keeper__send(struct keeper_client *c, enum msg type, const void *bytes, size_t len);
void keeper__release(struct keeper *k); /* nobody holds it any more */
void keeper__hold(
	struct keeper_client *c); /* pause it for @c; one that is paused already stays so afterwards, too */

#endif
