/* SPDX-License-Identifier: Apache-2.0 */
/*
 * measure.c - run a command once, print "NANOSECONDS KILOBYTES STATUS"
 *
 * Time is from before the fork until it has ended; kilobytes are the largest resident size of one process among it and the
 * children it waited for. Small and static, because a child's peak counts from what the parent had mapped at exec.
 * Standard input is /dev/null, output goes to /dev/null, errors to the file named first.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void redirect(const char *path, int flags, int to)
{
	int fd = open(path, flags, 0600);

	if (fd < 0 || dup2(fd, to) < 0)
		_exit(125);
	if (fd != to)
		close(fd);
}

int main(int argc, char **argv)
{
	struct rusage use;
	long long start;
	int status;
	pid_t pid;

	if (argc < 3) {
		fprintf(stderr, "usage: measure ERRORS-FILE COMMAND [ARG...]\n");
		return 2;
	}
	start = now_ns();
	pid = vfork();
	if (pid == 0) {
		redirect("/dev/null", O_RDONLY, STDIN_FILENO);
		redirect("/dev/null", O_WRONLY, STDOUT_FILENO);
		redirect(argv[1], O_WRONLY | O_CREAT | O_TRUNC, STDERR_FILENO);
		execv(argv[2], argv + 2);
		_exit(125);
	}
	if (pid < 0 || wait4(pid, &status, 0, &use) != pid)
		return 1;
	printf("%lld %ld %d\n", now_ns() - start, use.ru_maxrss,
	       WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	return 0;
}
