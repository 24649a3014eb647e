/* SPDX-License-Identifier: Apache-2.0 */
/*
 * floor.c - the least a kernel asks for a container: clone3 with a new namespace of every kind, exec of a static program, wait
 *
 * `floor PROGRAM`; without an argument it is that program and does nothing.
 */
#include <errno.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	char *const args[] = { argv[1], NULL };
	struct clone_args how = {
		.flags = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |
			 CLONE_NEWNET | CLONE_NEWTIME,
		.exit_signal = SIGCHLD,
	};
	int status = 0;
	long pid;

	if (argc < 2)
		return 0;
	pid = syscall(SYS_clone3, &how, sizeof(how));
	if (pid == 0) {
		execv(args[0], args);
		_exit(127);
	}
	if (pid < 0 || waitpid((pid_t)pid, &status, 0) < 0) {
		fprintf(stderr, "floor: %s\n", strerror(errno));
		return 1;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
