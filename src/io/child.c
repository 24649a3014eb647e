/* SPDX-License-Identifier: Apache-2.0 */
#include "io/child.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/guard.h"
#include "sys/call.h"
#include "sys/file.h"

/* in_child() - never returns; the errno of a failed exec goes to @report, which exec itself closes. */
static _Noreturn void in_child(const char *path, char *const *argv, const int stdio[3], int report)
{
	sigset_t none;
	int fd[3], r = 0;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (int i = 0; i < 3; i++) { /* above 2 first: the given ones may stand in each other's way */
		int from = stdio[i] >= 0 ? stdio[i] : file_open(AT_FDCWD, "/dev/null", O_RDWR, 0);

		fd[i] = (int)SYS3(SYS_fcntl, from, F_DUPFD_CLOEXEC, 3);
		r = fd[i] < 0 ? fd[i] : r;
	}
	for (int i = 0; i < 3 && r >= 0; i++)
		r = fd_dup_to(fd[i], i, false);
	if (r >= 0)
		r = (int)SYS3(SYS_execve, path, argv, environ);
	file_write(report, &r, sizeof(r));
	_exit(127);
}

pid_t child_spawn(const char *path, char *const *argv, const int stdio[3], struct err *e)
{
	int report[2], r;
	pid_t pid;

	r = file_pipe(report);
	if (r < 0)
		return err_sys(e, -r, "start '%s'", path);
	pid = fork();
	if (pid == 0)
		in_child(path, argv, stdio, report[1]);
	r = pid < 0 ? -errno : 0;
	close(report[1]);
	if (pid > 0 && file_read(report[0], &r, sizeof(r)) == sizeof(r))
		child_wait(pid);
	close(report[0]);
	return r < 0 ? err_sys(e, -r, "start '%s'", path) : pid;
}

int child_exit_code(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int child_wait(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return child_exit_code(status);
}
