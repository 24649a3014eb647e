/* SPDX-License-Identifier: Apache-2.0 */
/* oci_supervise.c - the foreground of `hull oci run` and `exec`: signals in, terminal through, exit code out */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/err.h"
#include "base/guard.h"
#include "cmd/oci.h"
#include "sys/file.h"
#include "sys/ns.h"
#include "sys/sock.h"

struct front {
	pid_t pid;
	int pidfd, sigfd, master; /* borrowed; owned; owned, -1 without a terminal */
	bool raw, in_open;
	struct termios was;
};

static void copy_size(int master)
{
	struct winsize ws;

	if (ioctl(STDIN_FILENO, TIOCGWINSZ, &ws) == 0)
		ioctl(master, TIOCSWINSZ, &ws);
}

/* take_terminal() - the master comes over @console before the workload starts. */
static int take_terminal(struct front *f, int console, struct err *e)
{
	struct termios raw;
	char name[16];
	ssize_t r = sock_recv_fd(console, name, sizeof(name), &f->master);

	if (r < 0 || f->master < 0)
		return err_set(e, EPROTO, "no terminal came from the container");
	copy_size(f->master);
	f->in_open = true;
	if (tcgetattr(STDIN_FILENO, &f->was) < 0)
		return 0; /* our own input is no terminal: bytes go through as they are */
	raw = f->was;
	cfmakeraw(&raw);
	f->raw = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
	return 0;
}

/* pump() - one read's worth. Return: false at the end of @from. */
static bool pump(int from, int to)
{
	char bytes[16384];
	ssize_t n = read(from, bytes, sizeof(bytes));

	if (n < 0)
		return errno == EINTR || errno == EAGAIN;
	return n > 0 && file_write(to, bytes, (size_t)n) == 0;
}

/* drain() - what the workload wrote before it ended. */
static void drain(int master)
{
	struct pollfd p = { .fd = master, .events = POLLIN };

	while (poll(&p, 1, 0) > 0 && p.revents & POLLIN)
		if (!pump(master, STDOUT_FILENO))
			break;
}

/* reap_orphans() - as a subreaper we get the container's; its own process is left for watch(). */
static void reap_orphans(const struct front *f)
{
	siginfo_t info = { 0 };

	while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0 &&
	       info.si_pid != f->pid) {
		waitid(P_PID, (id_t)info.si_pid, &info, WEXITED | WNOHANG);
		info.si_pid = 0;
	}
}

static void on_signal(struct front *f)
{
	struct signalfd_siginfo info;

	if (file_read(f->sigfd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGWINCH && f->master >= 0)
		copy_size(f->master);
	else if (info.ssi_signo == SIGCHLD)
		reap_orphans(f);
	else if (info.ssi_signo != SIGPIPE) /* our own: whoever read our output has gone */
		pidfd_send(f->pidfd, (int)info.ssi_signo);
}

static int watch(struct front *f)
{
	for (;;) {
		struct pollfd p[] = {
			{ .fd = f->pidfd, .events = POLLIN },
			{ .fd = f->sigfd, .events = POLLIN },
			{ .fd = f->master, .events = POLLIN },
			{ .fd = f->in_open ? STDIN_FILENO : -1, .events = POLLIN },
		};
		siginfo_t info = { 0 };

		if (poll(p, 4, -1) < 0 && errno != EINTR)
			return -errno;
		if (p[1].revents)
			on_signal(f);
		if (p[3].revents)
			f->in_open = pump(STDIN_FILENO, f->master);
		if (p[2].revents && !pump(f->master, STDOUT_FILENO))
			fd_close(&f->master);
		if (!p[0].revents)
			continue;
		if (pidfd_wait(f->pidfd, &info, WEXITED) < 0)
			return -ECHILD;
		if (f->master >= 0)
			drain(f->master);
		return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
	}
}

int oci_supervise(pid_t pid, int pidfd, int console, struct err *e)
{
	struct front f = { .pid = pid, .pidfd = pidfd, .master = -1 };
	sigset_t all, was;
	int r = 0;

	sigfillset(&all);
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGABRT);
	sigprocmask(SIG_SETMASK, &all, &was);
	f.sigfd = signalfd(-1, &all, SFD_CLOEXEC);
	if (f.sigfd < 0)
		r = err_sys(e, errno, "signalfd");
	if (r == 0 && console >= 0)
		r = take_terminal(&f, console, e);
	if (r == 0) {
		r = watch(&f);
		if (r < 0)
			err_sys(e, -r, "wait for the container's process");
	}
	if (f.raw)
		tcsetattr(STDIN_FILENO, TCSANOW, &f.was);
	fd_close(&f.master);
	fd_close(&f.sigfd);
	sigprocmask(SIG_SETMASK, &was, NULL);
	return r;
}
