/* SPDX-License-Identifier: Apache-2.0 */
/* container_internal.h - shared by container.c (state), create.c (parent), init.c (child) and exec.c */
#ifndef CONTAINER_CONTAINER_INTERNAL_H
#define CONTAINER_CONTAINER_INTERNAL_H

#include "container/container.h"
#include "container/seccomp.h"

struct arena;
struct buf;

/*
 * The file "phase" begins with a letter, written through a descriptor init keeps: 'm' while the container's groups are being made, 'c'
 * until init is told to start, 'r' from then on. So what tells "created" from "running" is the word of the process itself, whoever
 * was killed meanwhile. Behind the letter it says where the groups will be, before there are any: until state.json says more, `delete`
 * finds them there. During 'm' what stands at these places may turn out to be another's.
 */
#define CT_PHASE_FILE    "phase"
#define CT_STATE_FILE    "state.json"
#define CT_CONFIG_FILE   "config.json"
#define CT_START_SOCK    "start.sock"
#define CT_SECCOMP_CACHE "@seccomp" /* in the state root; no id can have this name */

enum { CT_STATE_BYTES_MAX = 1 << 20 };

/* ct__save() - state.json from @ct, by rename. */
int ct__save(const struct ct *ct, struct err *e);

/* ct__phase() - the letter in CT_PHASE_FILE; 'c' when there is none. */
char ct__phase(const struct ct *ct);

/* ct__state_text() - the state object with a given status, for hooks: when @status is a promise, not yet a fact. */
int ct__state_text(const struct ct *ct, enum ct_status status, pid_t pid, struct buf *json);

/* ct__members() - every process in the pid namespace of @init (0: it has ended, there are none); caller frees. */
int ct__members(pid_t init, pid_t **ret_pids, size_t *ret_n, struct err *e);

/* ct__poststop() - run these hooks; the specification: a failing one is told (@warning), and the rest goes on. */
void ct__poststop(const struct ct *ct, struct err *warning);

/* ct__config() - the saved config.json as checked values; in @a's memory. */
int ct__config(const struct ct *ct, struct oci_spec *ret_spec, struct arena *a, struct err *e);

/* ct__seccomp() - compile @s, with the cache of the state root. */
int ct__seccomp(const char *root, const struct oci_seccomp *s, struct ct_seccomp *ret_f, struct err *e);

/* What create's parent prepares and init uses; every descriptor O_CLOEXEC. */
struct ct_launch {
	const struct ct_config *c;
	struct ct *ct;
	int sock[2]; /* parent's end, child's end */
	int listen_fd, phase_fd;
	uint64_t new_ns;         /* CLONE_x flags of the namespaces to make */
	int ns_fd[OCI_NS_COUNT]; /* of those to join, else -1 */
	int n_join_ns;
	bool grouped;      /* its cgroups are made */
	bool staged;       /* they are entered by a process before init is born */
	bool runtime_step; /* init asks the parent for SYNC_RUNTIME */
	struct ct_seccomp seccomp;
	int seccomp_sock;
	int console_fd;
	int join_fd[CGROUP_HIERARCHY_MAX];
	size_t n_join;
	bool keep_groups; /* crun's annotation, for podman: the caller's groups stay */
	int *source_fds;  /* of bind mounts, one for each mount, or NULL; owned */
};

/**
 * ct__waits_for_record() - does init, told to run at once, wait for a word that its pid is on record?
 * No workload may run that nobody can find because its creator was killed just then; another question asked on the way gets
 * its answer only after that too.
 */
bool ct__waits_for_record(const struct ct_launch *l);

/* ct__init() - the container's first process, from clone to the workload. */
_Noreturn void ct__init(struct ct_launch *l);

/* ct__seccomp_state() - the container process state that goes with a seccomp listener (runtime-spec, config-linux.md). */
int ct__seccomp_state(const struct ct *ct, const struct oci_seccomp *s, enum ct_status status, pid_t pid,
		      struct buf *json);

/*
 * A stage is a process that enters namespaces, makes another in them for our parent, the caller, and ends. What it made is known
 * from memory they share, and that it has ended from its pidfd; so nobody is lost, whatever fails or is killed.
 */
struct ct_stage {
	pid_t *told; /* owned; shared with the stage: what it made, or 0 */
	int pidfd;   /* owned; of the stage */
};

/* ct__stage_start() - fork it, into @cgroup_fd unless that is -1. Return: as fork(2); -errno with @e. */
pid_t ct__stage_start(struct ct_stage *ret_s, int cgroup_fd, struct err *e);
/**
 * ct__stage_finish() - until the stage has ended; empties @s
 * @sock: our end of the pair the stage and what it made speak on; the other end is closed here
 * @ret_pid, @ret_pidfd: what it made, also after a failure; caller ends and reaps it
 */
int ct__stage_finish(struct ct_stage *s, int sock, pid_t *ret_pid, int *ret_pidfd, struct err *e);
/* ct__reap() - kill a child of ours and wait for it; @pidfd may be -1. */
void ct__reap(pid_t pid, int pidfd);

/* ct__join() - enter the namespaces of @ns_fd (a user namespace first) except cgroup; closes nothing. */
int ct__join(const int ns_fd[OCI_NS_COUNT], bool keep_groups, struct err *e);

/* ct__become_root() - user and group 0 of a user namespace just entered. */
int ct__become_root(bool keep_groups, struct err *e);

/* ct__console_connect() - the console's socket from a config's descriptor or path; -1 when there is none. */
int ct__console_connect(int console_fd, const char *path, int *ret_fd, struct err *e);
/* ct__console_send() - hand over a terminal's master. */
int ct__console_send(int sock, int master, struct err *e);

#endif
