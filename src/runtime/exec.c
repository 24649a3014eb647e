/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exec.c - one more process in a running instance
 *
 * No shim is in between: the process is this command's child and has its descriptors, or a terminal whose
 * master this command holds.
 */
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "fmt/oci.h"
#include "io/child.h"
#include "runtime/runtime_internal.h"
#include "runtime/session.h"
#include "runtime/spec.h"
#include "sys/call.h"
#include "sys/cred.h"
#include "sys/file.h"
#include "sys/sock.h"

enum { CHUNK = 16384 };

static int make_process(const struct instance *in, struct iso *i, const struct instance_exec *x,
			struct buf *text, struct err *e)
{
	auto_close int root = iso_root(i, e);
	struct spec_input input = {
		.id = in->id, .config = in->config, .rootfs_fd = root, .rootless = cred_in_userns()
	};
	const struct spec_exec sx = {
		.args = x->cmd.item,
		.n_args = x->cmd.len,
		.env = x->env.item,
		.n_env = x->env.len,
		.user = x->user,
		.cwd = x->workdir,
		.tty = x->tty && !x->detach,
		.privileged = x->privileged,
	};

	return root < 0 ? root : spec_process(&input, &sx, text, e);
}

/* --- terminal --------------------------------------------- */

struct pump {
	const struct instance_streams *io;
	int master, sigfd;
	unsigned char keys[SESSION_KEYS_MAX];
	int n_keys, key_at;
	bool in_open;
};

static void copy_size(const struct pump *p)
{
	struct winsize w = session_size(p->io);

	if (w.ws_row)
		ioctl(p->master, TIOCSWINSZ, &w);
}

/* pump_in() - Return: 1 when the detach keys were typed. */
static int pump_in(struct pump *p)
{
	char chunk[CHUNK];
	long n = SYS3(SYS_read, p->io->in, chunk, sizeof(chunk));

	if (n == -EINTR || n == -EAGAIN)
		return 0;
	if (n <= 0) {
		p->in_open = false;
		return 0;
	}
	if (p->io->tty && session_detach_at(p->keys, p->n_keys, &p->key_at, chunk, (size_t)n))
		return 1;
	file_write(p->master, chunk, (size_t)n);
	return 0;
}

static int pump_run(struct pump *p)
{
	for (;;) {
		struct pollfd fd[3] = { { .fd = p->master, .events = POLLIN },
					{ .fd = p->in_open ? p->io->in : -1, .events = POLLIN },
					{ .fd = p->sigfd, .events = POLLIN } };
		struct signalfd_siginfo info;
		char chunk[CHUNK];

		if (poll(fd, 3, -1) < 0 && errno != EINTR)
			return -errno;
		if (fd[2].revents && read(p->sigfd, &info, sizeof(info)) > 0)
			copy_size(p);
		if (fd[1].revents && pump_in(p) > 0)
			return INSTANCE_DETACHED;
		if (fd[0].revents) {
			long n = SYS3(SYS_read, p->master, chunk, sizeof(chunk));

			if (n <= 0 && n != -EINTR) /* EIO: nobody has the terminal any more */
				return 0;
			if (n > 0 && p->io->out >= 0)
				file_write(p->io->out, chunk, (size_t)n);
		}
	}
}

static int pump_terminal(int console, const struct instance_streams *io, struct err *e)
{
	struct pump p = { .io = io, .master = -1, .sigfd = -1, .in_open = io->in >= 0 };
	struct session_terminal *terminal = NULL;
	sigset_t set, old;
	char byte;
	int r = session_keys(io->detach_keys, p.keys, e);

	if (r < 0)
		return r;
	p.n_keys = r;
	if (sock_recv_fd(console, &byte, 1, &p.master) < 0 || p.master < 0)
		return err_set(e, ENOTTY, "no terminal came");
	sigemptyset(&set);
	sigaddset(&set, SIGWINCH);
	sigprocmask(SIG_BLOCK, &set, &old);
	p.sigfd = signalfd(-1, &set, SFD_CLOEXEC);
	copy_size(&p);
	if (io->tty)
		terminal = session_raw(io->in);
	r = pump_run(&p);
	session_cooked(terminal);
	sigprocmask(SIG_SETMASK, &old, NULL);
	fd_close(&p.sigfd);
	fd_close(&p.master);
	return r < 0 ? err_sys(e, -r, "terminal") : r;
}

/* --- the verb --------------------------------------------- */

static int run(struct iso *i, const struct oci_process *process, bool detach,
	       const struct instance_streams *io, int *ret_code, struct err *e)
{
	bool tty = process->terminal, streams = io && !detach && !tty;
	struct iso_exec x = {
		.process = process,
		.console_fd = -1,
		.stdio = { streams ? io->in : -1, streams ? io->out : -1, streams ? io->err : -1 },
	};
	int pair[2] = { -1, -1 }, pidfd = -1, r = tty ? sock_pair(SOCK_STREAM, pair) : 0;
	pid_t pid;

	if (r < 0)
		return err_sys(e, -r, "console socket");
	x.console_fd = pair[1];
	pid = iso_exec(i, &x, &pidfd, e);
	fd_close(&pidfd);
	fd_close(&pair[1]);
	if (pid < 0)
		*ret_code = e && strstr(e->text, "exec: \"") ? (pid == -ENOENT ? 127 : 126) : 125;
	r = pid;
	if (pid > 0) {
		r = tty && io ? pump_terminal(pair[0], io, e) : 0;
		*ret_code = 0;
	}
	fd_close(&pair[0]);
	if (r != 0 || detach)
		return r;
	r = child_wait(pid);
	if (r >= 0)
		*ret_code = r;
	return r < 0 ? err_sys(e, -r, "wait for the process") : 0;
}

int instance_exec(struct runtime *rt, const char *id, const struct instance_exec *x,
		  const struct instance_streams *io, int *ret_code, struct err *e)
{
	__attribute__((cleanup(iso_freep))) struct iso *i = NULL;
	auto_fini(instance) struct instance in = { 0 };
	auto_fini(arena) struct arena a = { 0 };
	auto_fini(buf) struct buf text = { 0 };
	struct oci_process process = { 0 };
	int r = instance_find(rt, id, &in, e);

	*ret_code = 1; /* as docker: the container is at fault; what its runtime cannot do is 126 and 127 */
	if (r >= 0)
		r = instance__need_live(&in, "exec in", e);
	if (r >= 0 && in.status == INSTANCE_PAUSED)
		r = err_set(e, EBUSY, "exec in '%s': it is paused; 'hull unpause' resumes it", in.name);
	if (r >= 0)
		r = instance__iso(rt, &in, &i, e);
	if (r >= 0)
		r = make_process(&in, i, x, &text, e);
	if (r >= 0)
		r = oci_process_parse(&process, buf_str(&text), text.len, &a, e);
	if (r >= 0 && process.terminal) {
		process.console_rows = session_size(io).ws_row;
		process.console_cols = session_size(io).ws_col;
	}
	return r < 0 ? r : run(i, &process, x->detach, io, ret_code, e);
}
