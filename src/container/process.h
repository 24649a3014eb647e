/* SPDX-License-Identifier: Apache-2.0 */
/*
 * process.h - from a process of ours to the workload: what OCI's "process" object asks for, in the only order that works
 *
 * ct_proc_early()	still with the runtime's privileges and the host's /proc: limits, priorities, LSM handles
 * ct_proc_find()	inside the container's root: working directory, executable
 * ct_proc_exec()	ids, capabilities, filter, exec
 */
#ifndef CONTAINER_PROCESS_H
#define CONTAINER_PROCESS_H

#include <limits.h>
#include <stdbool.h>

#include "container/container.h"
#include "container/seccomp.h"
#include "fmt/oci.h"

struct err;

struct ct_proc {
	const struct oci_process *p;      /* borrowed, as are all pointers here */
	const struct ct_seccomp *seccomp; /* insns NULL: none */
	int seccomp_sock;                 /* connected to listenerPath, or -1 */
	const char *seccomp_state; /* container process state, the message that goes with the listener */
	const struct oci_memory_policy *memory_policy;
	const struct oci_personality *personality;
	int preserve_fds, listen_fds;
	bool in_userns;     /* limits and OOM score are set by the parent, which may */
	bool keep_groups;   /* the caller's supplementary groups stay (crun's annotation, for podman) */
	bool reaper;        /* a process of ours stays as init and the workload is its child */
	int attr_fd;        /* owned: /proc/thread-self/attr/exec; -1: no label wanted */
	char exe[PATH_MAX]; /* what ct_proc_find() found */
};

#define CT_PROC_INIT                                                                                         \
	{                                                                                                    \
		.seccomp_sock = -1, .attr_fd = -1                                                            \
	}

/* ct_proc_limits() - the OOM score of process @pid (0: the caller), and hard resource limits as high as it will want them; the
 * limits themselves come with ct_proc_exec(). Reads nothing of a container. */
int ct_proc_limits(const struct oci_process *p, pid_t pid, struct err *e);

int ct_proc_early(struct ct_proc *pr, struct err *e);

/**
 * ct_proc_find() - enter the working directory and find the executable
 * Return: 0; -ENOENT, -EACCES or -EISDIR in the words people and engines look for
 */
int ct_proc_find(struct ct_proc *pr, struct err *e);

/* ct_proc_stdio() - descriptors 0, 1, 2; with a terminal @slave is all three and the controlling terminal. */
int ct_proc_stdio(const struct ct_proc *pr, const struct ct_stdio *io, int slave, struct err *e);

/*
 * ct_proc_own_null() - streams on the host's null device go to the one of the root we are in now, when that is one
 * What stays open of the host's leads nowhere, but it is a mount of the host's in the workload's hands.
 */
void ct_proc_own_null(void);

/* ct_proc_exec() - does not return when it succeeds; descriptors not meant for the workload are closed by the exec. */
int ct_proc_exec(struct ct_proc *pr, struct err *e);

#endif
