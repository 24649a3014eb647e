/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/ns.h"

#include <linux/sched.h>
#include <string.h>
#include <sys/wait.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "sys/call.h"
#include "sys/file.h"

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

pid_t ns_clone(uint64_t flags, int cgroup_fd, int *ret_pidfd)
{
	int pidfd = -1;
	struct clone_args args = {
		.flags = flags | (ret_pidfd ? CLONE_PIDFD : 0) | (cgroup_fd >= 0 ? CLONE_INTO_CGROUP : 0),
		.pidfd = (uint64_t)(uintptr_t)&pidfd,
		.exit_signal = SIGCHLD,
		.cgroup = cgroup_fd >= 0 ? (uint64_t)cgroup_fd : 0,
	};
	long pid = SYS2(SYS_clone3, &args, sizeof(args));

	if (pid > 0 && ret_pidfd)
		*ret_pidfd = pidfd;
	return (pid_t)pid;
}

pid_t ns_clone_sibling(uint64_t flags, int cgroup_fd, pid_t *told)
{
	struct clone_args args = {
		.flags =
			flags | CLONE_PARENT | CLONE_PARENT_SETTID | (cgroup_fd >= 0 ? CLONE_INTO_CGROUP : 0),
		.parent_tid = (uint64_t)(uintptr_t)told,
		.cgroup = cgroup_fd >= 0 ? (uint64_t)cgroup_fd : 0,
	};

	return (pid_t)SYS2(SYS_clone3, &args, sizeof(args));
}

pid_t ns_fork(void)
{
	return (pid_t)SYS5(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

int ns_set(int fd, int flags)
{
	return (int)SYS2(SYS_setns, fd, flags);
}

int ns_unshare(int flags)
{
	return (int)SYS1(SYS_unshare, flags);
}

int pidfd_open(pid_t pid)
{
	return (int)SYS2(SYS_pidfd_open, pid, 0);
}

int pidfd_send(int pidfd, int sig)
{
	return (int)SYS4(SYS_pidfd_send_signal, pidfd, sig, NULL, 0);
}

int pidfd_wait(int pidfd, siginfo_t *ret_info, int options)
{
	long r;

	do {
		r = SYS5(SYS_waitid, P_PIDFD, pidfd, ret_info, options, NULL);
	} while (r == -EINTR);
	return (int)r;
}

/* stat_field() - the text behind the n-th space after the command name of /proc/PID/stat. */
static const char *stat_field(const char *stat, int n)
{
	const char *p = strrchr(stat, ')'); /* the name may hold anything, also ")" */

	for (; p && n > 0; n--)
		p = strchr(p + 1, ' ');
	return p ? p + 1 : NULL;
}

/* proc_stat() - state letter and start time of @pid, or -errno. */
static int proc_stat(pid_t pid, char *ret_state, uint64_t *ret_start)
{
	auto_fini(buf) struct buf b = { 0 };
	char path[32], digits[24];
	const char *state, *start;
	int r;

	str_format(path, sizeof(path), "/proc/%d/stat", (int)pid);
	r = file_slurp_at(AT_FDCWD, path, &b, 4096);
	if (r < 0)
		return r == -ENOENT ? -ESRCH : r;
	state = stat_field(buf_str(&b), 1);
	start = stat_field(buf_str(&b), 20);
	if (!state || !start)
		return -EIO;
	str_format(digits, sizeof(digits), "%.*s", (int)strcspn(start, " \n"), start);
	*ret_state = *state;
	return str_to_u64(digits, ret_start);
}

int64_t proc_start_time(pid_t pid)
{
	uint64_t start;
	char state;
	int r = proc_stat(pid, &state, &start);

	return r < 0 ? r : (int64_t)start;
}

bool proc_alive(pid_t pid, uint64_t start_time)
{
	uint64_t start;
	char state;

	return pid > 0 && proc_stat(pid, &state, &start) == 0 && state != 'Z' && state != 'X' &&
	       (start_time == 0 || start == start_time);
}
