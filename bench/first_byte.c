/* SPDX-License-Identifier: Apache-2.0 */
/*
 * first_byte.c - run a command until it writes "~", print "NANOSECONDS NANOSECONDS": from before the fork, and from the request, to
 * that byte on its standard output. Then it is killed.
 *
 * With a socket and a file, the file's bytes are sent there once somebody listens; without ("-"), both numbers are the same.
 * Standard input is /dev/null, errors go to the file named first. A command that ends without it, or does not write it
 * in ten seconds, is a failure.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WAIT_MS = 10000, TRY_US = 50, REQUEST_MAX = 65536 };

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

/* request() - send the file as soon as the socket takes it. Return: when it was sent; -1 */
static long long request(const char *path, const char *file)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	static char text[REQUEST_MAX];
	int s, f = open(file, O_RDONLY);
	ssize_t n = f < 0 ? -1 : read(f, text, sizeof(text));
	long long at;

	if (n <= 0)
		return -1;
	strncpy(addr.sun_path, path, sizeof(addr.sun_path) - 1);
	s = socket(AF_UNIX, SOCK_STREAM, 0);
	for (int i = 0; connect(s, (struct sockaddr *)&addr, sizeof(addr)) < 0; i++) {
		if (i > WAIT_MS * 1000 / TRY_US)
			return -1;
		usleep(TRY_US);
	}
	at = now_ns();
	return write(s, text, (size_t)n) == n ? at :
						-1; /* left open: it is the command's end that closes it */
}

/* mark() - wait for the byte. Return: when it was there; -1 */
static long long mark(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char text[4096];

	while (poll(&p, 1, ms) == 1) {
		long long at = now_ns();
		ssize_t n = read(fd, text, sizeof(text));

		if (n <= 0)
			return -1;
		if (memchr(text, '~', (size_t)n))
			return at;
	}
	return -1;
}

int main(int argc, char **argv)
{
	long long start, asked, first = -1;
	int out[2], status;
	pid_t pid;

	if (argc < 5) {
		fprintf(stderr, "usage: first_byte ERRORS-FILE SOCKET REQUEST-FILE COMMAND [ARG...]\n");
		return 2;
	}
	if (pipe(out) < 0)
		return 1;
	prctl(PR_SET_TIMERSLACK, 1000UL);
	start = asked = now_ns();
	pid = vfork();
	if (pid == 0) {
		redirect("/dev/null", O_RDONLY, STDIN_FILENO);
		redirect(argv[1], O_WRONLY | O_CREAT | O_TRUNC, STDERR_FILENO);
		dup2(out[1], STDOUT_FILENO);
		close(out[0]);
		close(out[1]);
		execv(argv[4], argv + 4);
		_exit(125);
	}
	if (pid < 0)
		return 1;
	close(out[1]);
	if (strcmp(argv[2], "-") != 0)
		asked = request(argv[2], argv[3]);
	if (asked >= 0)
		first = mark(out[0], WAIT_MS);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	if (first < 0)
		return 1;
	printf("%lld %lld\n", first - start, first - asked);
	return 0;
}
