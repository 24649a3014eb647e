/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jailer.h - Firecracker's jailer: a directory, a user, cgroups, namespaces and limits for one program, which then runs in them
 *
 * Theory of operation. Started as root, it makes BASE/NAME/ID/root, puts the program into it, shuts itself in and becomes the
 * program; so a fault in the program finds nothing but that directory. Below BASE everything is reached by descriptors of
 * directories and nothing there is followed or reused that somebody else may have put there: files are made anew (O_EXCL), links
 * are not followed. BASE itself, and where cgroups are mounted, are the administrator's and trusted.
 *
 * This is not the jail of jail.h, which the program puts on itself as well.
 */
#ifndef VM_JAILER_H
#define VM_JAILER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct err;

enum { JAILER_CGROUPS_MAX = 64, JAILER_NAME_MAX = 64 };

struct jailer_config {         /* all borrowed */
	const char *id;        /* checked by the caller: letters, digits, '-' */
	const char *exec_file; /* a regular file; its last part is the program's name in the jail */
	uid_t uid;
	gid_t gid;
	const char *base;          /* "/srv/jailer" */
	const char *netns;         /* path; NULL: the caller's */
	const char *parent_cgroup; /* NULL: the program's name */
	char *const *cgroup;       /* "FILE=VALUE" */
	unsigned n_cgroups;
	unsigned cgroup_version; /* 1, 2 */
	bool daemonize, new_pid_ns;
	uint64_t fsize, no_file; /* RLIMIT_FSIZE, RLIMIT_NOFILE; UINT64_MAX: as it is */
	char *const *args;       /* for the program, behind --id and the times */
	unsigned n_args;
	char *const *env;               /* all of its environment, ended by NULL */
	int64_t start_us, start_cpu_us; /* clocks when the jailer began */
};

/**
 * jailer_run() - become the program; does not return then, but in the parent when a new PID namespace is wanted
 * Context: one thread, nothing else in the process: descriptors, environment and namespaces are changed for good.
 * Return: 0 in that parent; -errno with @e
 */
int jailer_run(const struct jailer_config *c, struct err *e);

#endif
