/* SPDX-License-Identifier: Apache-2.0 */
/* ns.h - processes and namespaces: clone3(2), setns(2), unshare(2), pidfds, id maps */
#ifndef SYS_NS_H
#define SYS_NS_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct err;

/**
 * ns_clone() - fork into new namespaces
 * @flags:     CLONE_x (CLONE_NEW*, CLONE_FILES, ...); SIGCHLD is the exit signal
 * @cgroup_fd: cgroup v2 directory to be born in (CLONE_INTO_CGROUP), or -1
 * @ret_pidfd: pidfd of the child in the parent, O_CLOEXEC; may be NULL
 * Return: 0 in the child, its pid in the parent, or -errno
 */
pid_t ns_clone(uint64_t flags, int cgroup_fd, int *ret_pidfd);

/**
 * ns_clone_sibling() - the same, for our parent: the child is the caller's sibling (CLONE_PARENT)
 * @told: its pid is there before it runs; in memory shared with that parent, so that the parent learns it whatever becomes of us
 */
pid_t ns_clone_sibling(uint64_t flags, int cgroup_fd, pid_t *told);

/* ns_fork() - a plain fork by clone(2), which seccomp profiles that answer clone3(2) with ENOSYS let through. */
pid_t ns_fork(void);

int ns_set(int fd, int flags); /* setns(2): an nsfs descriptor, or a pidfd with CLONE_NEW* flags */
int ns_unshare(int flags);

int pidfd_open(pid_t pid);
int pidfd_send(int pidfd, int sig);
int pidfd_wait(int pidfd, siginfo_t *ret_info, int options); /* waitid(P_PIDFD); EINTR retried */

/* proc_start_time() - field 22 of /proc/PID/stat: with the pid it names a process for good. -errno. */
int64_t proc_start_time(pid_t pid);
/* proc_alive() - @pid runs (not a zombie) and started at @start_time (0: any). */
bool proc_alive(pid_t pid, uint64_t start_time);

#endif
