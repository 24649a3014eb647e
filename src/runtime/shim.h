/* SPDX-License-Identifier: Apache-2.0 */
/* shim.h - what the files of the shim share */
#ifndef RUNTIME_SHIM_H
#define RUNTIME_SHIM_H

#include "io/frame.h"
#include "io/loop.h"
#include "runtime/launch.h"
#include "runtime/logfile.h"
#include "runtime/proto.h"
#include "runtime/restart.h"
#include "runtime/shim_config.h"
#include "runtime/state.h"

/*
 * What the process that has just launched the workload becomes the shim with: the shim takes all of it. No descriptor but these and
 * the workload's own is open any more.
 */
struct shim_start {
	struct shim_config config;
	struct state state;     /* as written */
	struct streams streams; /* settled */
	struct iso *iso;
	int dirfd, own_fd, run_fd, rootfs, mounts; /* as in struct shim */
	int listener, starter;
	void (*forget)(void *arg); /* frees what the starter had in memory; called when there is time */
	void *forget_arg;
};

/* shim_run() - be the shim until the instance has ended for good. Return: exit status. */
int shim_run(struct shim_start *from);

enum { SHIM_CLIENTS_MAX = 128 };

/* A message that waits for a slow client. */
struct shim_message {
	struct shim_message *next;
	size_t len;
	uint8_t type;
	char bytes[];
};

struct shim_client {
	struct shim_client *next;
	struct shim *shim;
	struct loop_source source; /* its fd is owned */
	uint8_t streams;           /* ATTACH_x */
	bool starter; /* it made the workload: its end closes standard input, it removes what --rm says */
	bool waits;   /* wants PROTO_EXIT when all is over */
	bool asked;   /* wants PROTO_DONE */
	bool ended;   /* has its PROTO_EXIT */
	struct shim_message *queue; /* owned; in order */
};

struct shim {
	struct loop loop;
	struct shim_config config;
	struct state state;
	struct restart restart;
	struct logfile log;
	struct iso *iso; /* owned; the first workload, as launched; else NULL */
	int dirfd;       /* the instance's directory */
	int own_fd;      /* "<run>/shim/<id>"; at the end "<run>/tmp/<id>" */
	int run_fd;      /* the run directory */
	int rootfs; /* owned; with --rm its root file system, so that unmounting it is ours, last; else -1 */
	int mounts; /* owned; with --rm and no mounts of the user's: its mount namespace, for the same reason; else -1 */
	struct loop_source listener, sigchld, out[2], in; /* their fds are owned */
	char *in_pending; /* owned; standard input that did not fit into the pipe */
	size_t in_len, in_done;
	bool in_ends;                /* close it when nothing waits any more */
	struct shim_client *clients; /* owned */
	size_t n_clients;
	bool exited;   /* the workload has; its output may not have ended */
	bool stopping; /* a person wants it to end: no restart */
	bool over;     /* for good; only messages are still on their way */
	bool removed; /* the starter has moved the instance to the store's trash: what is left is to delete it */
	bool unsaved; /* how it ended is not in state.json, because the instance is about to go */
	nsec_t started_mono;
	struct loop_timer stop_timer, restart_timer, end_timer, health_timer, tidy_timer;
	void (*forget)(void *arg); /* see struct shim_start; NULL afterwards */
	void *forget_arg;
	struct loop_source task, check, launcher; /* children at work; fds are owned */
	struct streams next_streams;              /* those of the launcher's workload */
	bool pausing;                             /* what the task does; else it resumes */
	nsec_t check_started;
	nsec_t healthy_from; /* CLOCK_MONOTONIC: end of the start period */
};

/* shim.c */
void shim__save(struct shim *s);
void shim__event(struct shim *s, const char *action, const char *key, const char *value);
void shim__signal(struct shim *s, int sig);
void shim__stop(struct shim *s, int sig, int timeout_s);
void shim__reload(struct shim *s);
void shim__streams_ended(struct shim *s); /* both outputs are closed */
void shim__client_gone(struct shim *s);   /* maybe the last one we waited for */
void shim__task(struct shim *s, struct shim_client *c,
		bool pause); /* pause or resume, in a child; @c is told */
/* shim__fork() - a child that talks to @source by messages. Return: 0 in the child, with its end in
 * *ret_sock. */
pid_t shim__fork(struct shim *s, struct loop_source *source, int *ret_sock);
void shim__child_done(struct shim *s, struct loop_source *source);

/* shim_client.c */
int shim__client_add(struct shim *s, int fd, bool starter); /* takes @fd */
void shim__client_close(struct shim_client *c);
void shim__clients_want(struct shim *s); /* standard input got stuck, or moves again */
void shim__client_accept(void *shim, uint32_t events);
void shim__send(struct shim_client *c, enum msg type, const void *bytes, size_t len);
bool shim__congested(const struct shim *s);

/* shim_streams.c */
int shim__streams_take(struct shim *s, struct streams *from);
void shim__streams_close(struct shim *s);
void shim__streams_flow(struct shim *s); /* read on, or wait for slow clients */
void shim__stdin_put(struct shim *s, const char *bytes, size_t len);
void shim__stdin_end(struct shim *s);

/* shim_health.c */
void shim__health_start(struct shim *s);
void shim__health_stop(struct shim *s);

#endif
