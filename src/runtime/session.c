/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/session.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>

#include "base/err.h"
#include "base/guard.h"
#include "io/frame.h"
#include "runtime/proto.h"
#include "sys/call.h"
#include "sys/file.h"

enum { CHUNK = 16384 };

struct session_terminal {
	int fd; /* borrowed */
	struct termios saved;
};

/* What is under way from us to the shim. */
struct carry {
	struct session *s;
	unsigned char keys[SESSION_KEYS_MAX];
	int n_keys, key_at;
	int sigfd; /* owned */
	char pending[CHUNK];
	size_t pending_len;
	bool in_open, end_pending;
};

static int key_byte(const char *word, unsigned char *ret)
{
	const char *ctrl = str_after(word, "ctrl-");

	if (!ctrl && strlen(word) == 1) {
		*ret = (unsigned char)*word;
		return 0;
	}
	if (!ctrl || strlen(ctrl) != 1)
		return -EINVAL;
	if (*ctrl >= 'a' && *ctrl <= 'z')
		*ret = (unsigned char)(*ctrl - 'a' + 1);
	else if (strchr("@[\\]^_", *ctrl))
		*ret = (unsigned char)(*ctrl - '@');
	else
		return -EINVAL;
	return 0;
}

int session_keys(const char *text, unsigned char keys[SESSION_KEYS_MAX], struct err *e)
{
	auto_fini(strv) struct strv word = { 0 };
	int n = 0;

	strv_split(&word, text ? text : "ctrl-p,ctrl-q", ',');
	if (text && !*text) /* "": there is no way to detach */
		return 0;
	for (size_t i = 0; i < word.len; i++) {
		if (n == SESSION_KEYS_MAX || key_byte(word.item[i], &keys[n]) < 0)
			return err_set(e, EINVAL, "invalid argument \"%s\" for --detach-keys", text);
		n++;
	}
	return n;
}

bool session_detach_at(const unsigned char *keys, int n_keys, int *at, const char *bytes, size_t len)
{
	for (size_t i = 0; i < len && n_keys > 0; i++) {
		if ((unsigned char)bytes[i] == keys[*at])
			(*at)++;
		else
			*at = (unsigned char)bytes[i] == keys[0];
		if (*at == n_keys)
			return true;
	}
	return false;
}

struct session_terminal *session_raw(int fd)
{
	struct session_terminal *t = calloc(1, sizeof(*t));
	struct termios raw;

	if (!t || tcgetattr(fd, &t->saved) < 0) {
		free(t);
		return NULL;
	}
	t->fd = fd;
	raw = t->saved;
	cfmakeraw(&raw);
	tcsetattr(fd, TCSADRAIN, &raw);
	return t;
}

void session_cooked(struct session_terminal *t)
{
	if (t)
		tcsetattr(t->fd, TCSADRAIN, &t->saved);
	free(t);
}

static void handed_on(const struct instance_streams *io, sigset_t *set)
{
	static const int sig[] = {
		SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGTERM, SIGCONT, SIGIO
	};

	sigemptyset(set);
	for (size_t i = 0; i < sizeof(sig) / sizeof(sig[0]) && io->sig_proxy; i++)
		sigaddset(set, sig[i]);
	if (io->tty)
		sigaddset(set, SIGWINCH);
}

void session_block(const struct instance_streams *io, sigset_t *ret_old)
{
	sigset_t set;

	handed_on(io, &set);
	sigprocmask(SIG_BLOCK, &set, ret_old);
}

void session_unblock(const sigset_t *old)
{
	sigprocmask(SIG_SETMASK, old, NULL);
}

struct winsize session_size(const struct instance_streams *io)
{
	struct winsize w = { 0 };

	if (io && io->tty)
		ioctl(io->in >= 0 ? io->in : io->out, TIOCGWINSZ, &w);
	return w;
}

static int send_size(int sock, const struct instance_streams *io)
{
	struct winsize w = session_size(io);
	struct msg_size m;

	if (w.ws_row == 0)
		return 0;
	m = (struct msg_size){ w.ws_row, w.ws_col };
	return frame_send(sock, PROTO_RESIZE, &m, sizeof(m), -1, true);
}

int session_attach(int sock, const struct instance_streams *io)
{
	struct msg_attach m = {
		.streams = (uint8_t)((io->in >= 0 ? ATTACH_STDIN : 0) | (io->out >= 0 ? ATTACH_STDOUT : 0) |
				     (io->err >= 0 ? ATTACH_STDERR : 0)),
	};
	int r = frame_send(sock, PROTO_ATTACH, &m, sizeof(m), -1, true);

	return r >= 0 && io->tty ? send_size(sock, io) : r;
}

/* put_out() - all of it, also onto a descriptor somebody made non-blocking. */
static int put_out(int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		long n = SYS3(SYS_write, fd, bytes, len);

		if (n == -EAGAIN) {
			struct pollfd p = { .fd = fd, .events = POLLOUT };

			poll(&p, 1, -1);
			continue;
		}
		if (n == -EINTR)
			continue;
		if (n < 0)
			return (int)n;
		bytes += n;
		len -= (size_t)n;
	}
	return 0;
}

/* take_message() - Return: 1 when it was the last one. */
static int take_message(struct carry *c)
{
	static char bytes[FRAME_MAX];
	struct session *s = c->s;
	uint8_t type;
	ssize_t n = frame_recv(s->sock, &type, bytes, sizeof(bytes), NULL, false);
	struct msg_exit m;

	if (n < 0)
		return n == -EAGAIN ? 0 : (int)n;
	switch (type) {
	case PROTO_STDOUT: return s->io->out >= 0 ? put_out(s->io->out, bytes, (size_t)n) : 0;
	case PROTO_STDERR: return s->io->err >= 0 ? put_out(s->io->err, bytes, (size_t)n) : 0;
	case PROTO_EXIT:
		if ((size_t)n != sizeof(m))
			return -EPROTO;
		memcpy(&m, bytes, sizeof(m));
		s->code = m.code;
		s->remove = m.remove;
		return 1;
	default: return 0;
	}
}

static int send_pending(struct carry *c)
{
	int r = 0;

	if (c->pending_len > 0)
		r = frame_send(c->s->sock, PROTO_STDIN, c->pending, c->pending_len, -1, false);
	if (r == 0) {
		c->pending_len = 0;
		if (c->end_pending)
			r = frame_send(c->s->sock, PROTO_STDIN_END, NULL, 0, -1, false);
		if (r == 0)
			c->end_pending = false;
	}
	return r == -EAGAIN || r == -EPIPE ? 0 : r; /* gone: the socket's own end says more */
}

/* take_input() - Return: 1 when the detach keys were typed. */
static int take_input(struct carry *c)
{
	long n = SYS3(SYS_read, c->s->io->in, c->pending, sizeof(c->pending));

	if (n == -EAGAIN || n == -EINTR)
		return 0;
	if (n <= 0) {
		c->in_open = false;
		c->end_pending = true;
		return send_pending(c);
	}
	if (c->s->io->tty && session_detach_at(c->keys, c->n_keys, &c->key_at, c->pending, (size_t)n))
		return 1;
	c->pending_len = (size_t)n;
	return send_pending(c);
}

static void take_signal(struct carry *c)
{
	struct signalfd_siginfo info;
	struct msg_stop m = { .timeout_s = -1 };

	if (read(c->sigfd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGWINCH) {
		send_size(c->s->sock, c->s->io);
		return;
	}
	m.signal = (int32_t)info.ssi_signo;
	frame_send(c->s->sock, PROTO_PROXY, &m, sizeof(m), -1, true);
}

static int carry_on(struct carry *c)
{
	struct session *s = c->s;
	int r = 0;

	while (r == 0) {
		bool stuck = c->pending_len > 0 || c->end_pending;
		struct pollfd p[3] = {
			{ .fd = s->sock, .events = (short)(POLLIN | (stuck ? POLLOUT : 0)) },
			{ .fd = c->in_open && !stuck ? s->io->in : -1, .events = POLLIN },
			{ .fd = c->sigfd, .events = POLLIN },
		};

		if (poll(p, 3, -1) < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (p[2].revents)
			take_signal(c);
		if (p[0].revents & (POLLIN | POLLHUP | POLLERR)) {
			r = take_message(c);
			if (r != 0)
				return r < 0 ? r : 0;
		}
		if (p[0].revents & POLLOUT)
			r = send_pending(c);
		else if (p[1].revents && take_input(c) > 0) {
			frame_send(s->sock, PROTO_DETACH, NULL, 0, -1, true);
			return INSTANCE_DETACHED;
		}
	}
	return r;
}

int session_run(struct session *s, struct err *e)
{
	struct session_terminal *terminal = NULL;
	struct carry c = { .s = s, .sigfd = -1, .in_open = s->io->in >= 0 };
	sigset_t set, old;
	int r = session_keys(s->io->detach_keys, c.keys, e);

	if (r < 0)
		return r;
	c.n_keys = r;
	handed_on(s->io, &set);
	sigprocmask(SIG_BLOCK, &set, &old);
	c.sigfd = signalfd(-1, &set, SFD_CLOEXEC);
	if (s->io->tty)
		terminal = session_raw(s->io->in);
	r = carry_on(&c);
	session_cooked(terminal);
	fd_close(&c.sigfd);
	sigprocmask(SIG_SETMASK, &old, NULL);
	return r < 0 && r != -EPIPE ? err_sys(e, -r, "attached streams") : r;
}
