/* SPDX-License-Identifier: Apache-2.0 */
#include "container/reaper.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "sys/file.h"
#include "sys/ns.h"

/* reap() - every child that has ended. Return: the exit status once @workload is among them, else -1. */
static int reap(pid_t workload)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (pid == workload)
			return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	return -1;
}

static _Noreturn void reaper_loop(pid_t workload)
{
	sigset_t all;
	int code;

	sigfillset(&all);
	for (code = -1; code < 0;) {
		siginfo_t info;
		int sig = sigwaitinfo(&all, &info);

		if (sig == SIGCHLD)
			code = reap(workload);
		else if (sig == SIGTSTP || sig == SIGTTIN || sig == SIGTTOU)
			kill(workload, SIGSTOP);
		else if (sig > 0)
			kill(workload, sig);
	}
	_exit(code);
}

int reaper_split(struct err *e)
{
	sigset_t all, none;
	pid_t pid;

	sigfillset(&all);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &all, NULL); /* no signal is lost between fork and the loop */
	pid = ns_fork();
	if (pid < 0)
		return err_sys(e, -pid, "fork the workload");
	if (pid > 0) {
		fd_close_from(0);
		reaper_loop(pid);
	}
	setpgid(0, 0);
	tcsetpgrp(STDIN_FILENO,
		  getpid()); /* without a terminal it fails, and need not work; SIGTTOU is blocked yet */
	sigprocmask(SIG_SETMASK, &none, NULL);
	return 0;
}
