/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * The device's host descriptors (listener, connections, a timer) are in an epoll instance of its own, and that is one source
 * of the machine's loop. So whoever holds the device's lock may add and close connections, also a processor's thread that
 * resets the device, without touching the loop. Connections are watched edge-triggered: one epoll_ctl(2) for each, and a
 * connection remembers that it is readable until a read says otherwise.
 *
 * syscalls(sockets): epoll_ctl epoll_pwait accept4 recvmsg recvfrom sendmsg shutdown timerfd_settime
 */
#include <errno.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "sys/call.h"
#include "sys/file.h"
#include "sys/sock.h"
#include "virtio/vsock_internal.h"

enum {
	EVENTS_AT_ONCE = 64,
	ACCEPTS_AT_ONCE = 64,
	TAG_LISTEN = VSOCK_CONNS_MAX, /* what an event's data says beside a slot's number */
	TAG_TIMER,
};

static int watch(const struct vsock *v, int fd, uint32_t events, uint64_t tag)
{
	struct epoll_event ev = { .events = events, .data.u64 = tag };

	return (int)SYS4(SYS_epoll_ctl, v->epfd, EPOLL_CTL_ADD, fd, &ev);
}

static uint64_t tag_of(const struct vsock *v, const struct vsock_conn *c)
{
	return (uint64_t)c->gen << 32 | vsock__slot(v, c);
}

int vsock__host_watch(struct vsock *v, struct vsock_conn *c)
{
	return watch(v, c->fd, EPOLLIN | EPOLLRDHUP | EPOLLET, tag_of(v, c));
}

void vsock__host_watch_out(struct vsock *v, struct vsock_conn *c, bool on)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.u64 = tag_of(v, c) };

	if (on == c->watch_out)
		return;
	c->watch_out = on;
	if (on)
		ev.events |= EPOLLOUT;
	SYS4(SYS_epoll_ctl, v->epfd, EPOLL_CTL_MOD, c->fd, &ev); /* of a descriptor that is in: cannot fail */
}

int vsock__host_listen(struct vsock *v, bool on)
{
	int r;

	if (on)
		r = watch(v, v->listen_fd, EPOLLIN, TAG_LISTEN);
	else
		r = (int)SYS4(SYS_epoll_ctl, v->epfd, EPOLL_CTL_DEL, v->listen_fd, NULL);
	return r == -EEXIST || r == -ENOENT ? 0 : r;
}

void vsock__host_timer(struct vsock *v)
{
	struct itimerspec in = { .it_value.tv_nsec = VSOCK_TICK_NS };

	if (v->ticking)
		return;
	v->ticking = SYS4(SYS_timerfd_settime, v->timer_fd, 0, &in, NULL) == 0;
}

/* --- connections of the host ----------------------------------------------------------------------------- */

int vsock_greeting_parse(const char *text, size_t len, uint32_t *ret_port)
{
	static const char word[] = "CONNECT ";
	size_t at = sizeof(word) - 1, n;
	uint64_t port = 0;

	n = len < at ? len : at;
	if (memcmp(text, word, n) != 0)
		return -EPROTO;
	for (n = at; n < len && text[n] >= '0' && text[n] <= '9'; n++) {
		port = port * 10 + (uint64_t)(text[n] - '0');
		if (port > UINT32_MAX)
			return -EPROTO;
	}
	if (n < len && text[n] == '\n' && n > at) {
		*ret_port = (uint32_t)port;
		return (int)n + 1;
	}
	return n < len || len >= VSOCK_GREETING_MAX ? -EPROTO : 0;
}

int vsock__host_greet(const struct vsock_conn *c, uint32_t *ret_port)
{
	char text[VSOCK_GREETING_MAX];
	long r, n;

	/* look first, take exactly the line: what follows it is the guest's */
	n = SYS6(SYS_recvfrom, c->fd, text, sizeof(text), MSG_PEEK | MSG_DONTWAIT, NULL, NULL);
	if (n == -EAGAIN || n == -EINTR)
		return 0;
	if (n <= 0)
		return n < 0 ? (int)n : -EPROTO;
	r = vsock_greeting_parse(text, (size_t)n, ret_port);
	if (r <= 0)
		return (int)r;
	n = SYS6(SYS_recvfrom, c->fd, text, r, MSG_DONTWAIT, NULL, NULL);
	return n == r ? 1 : -EPROTO;
}

static void accept_all(struct vsock *v)
{
	for (int i = 0; i < ACCEPTS_AT_ONCE; i++) {
		int fd = sock_accept(v->listen_fd);
		struct vsock_conn *c;

		if (fd < 0)
			return;
		c = vsock__conn_new(v, fd, VSOCK_GREETING);
		if (!c)
			v->n_refused++; /* closed: no room */
		else if (vsock__host_watch(v, c) < 0)
			vsock__conn_free(v, c);
	}
}

/* --- connections of the guest ---------------------------------------------------------------------------- */

/* connect_file() - to the very file that was looked at. */
static int connect_file(int file)
{
	char path[FD_PATH_SIZE];

	return sock_connect_at(AT_FDCWD, fd_path(file, path), SOCK_STREAM | SOCK_NONBLOCK);
}

int vsock_connect_at(int dirfd, const char *name, uint32_t port)
{
	struct open_how how = {
		.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	char full[VSOCK_NAME_MAX + 12];
	auto_close int file = -1;
	struct stat st;
	int r;

	if (str_format(full, sizeof(full), "%s_%u", name, port) >= sizeof(full))
		return -ENAMETOOLONG;
	/* the file first: a symlink that somebody put there must not choose where the guest gets to */
	file = (int)SYS4(SYS_openat2, dirfd, full, &how, sizeof(how));
	if (file < 0)
		return file;
	r = file_fstatat(file, "", &st, AT_EMPTY_PATH);
	if (r < 0)
		return r;
	return S_ISSOCK(st.st_mode) ? connect_file(file) : -ENOTSOCK;
}

int vsock__host_connect(const struct vsock *v, uint32_t port)
{
	return v->connect ? v->connect(v->connect_arg, port) : vsock_connect_at(v->dirfd, v->name, port);
}

/* --- what the host's side has for us --------------------------------------------------------------------- */

static void conn_serve(struct vsock *v, uint64_t tag, uint32_t events)
{
	struct vsock_conn *c = &v->conn[(uint32_t)tag];
	uint16_t gen = (uint16_t)(tag >> 32);
	static const struct {
		uint32_t mask;
		enum vsock_event ev;
	} map[] = {
		{ EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR, VSOCK_H_READABLE },
		{ EPOLLHUP | EPOLLERR, VSOCK_H_GONE },
		{ EPOLLOUT, VSOCK_H_WRITABLE },
	};

	for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++)
		if ((events & map[i].mask) && c->gen == gen && c->state != VSOCK_FREE)
			vsock__conn_event(v, c, map[i].ev, NULL);
}

static void timer_serve(struct vsock *v)
{
	uint64_t n;

	if (SYS3(SYS_read, v->timer_fd, &n, sizeof(n)) < 0)
		return;
	v->ticking = false;
	vsock__conn_tick(v, time_now_ns(CLOCK_MONOTONIC));
}

void vsock__host_serve(struct vsock *v)
{
	struct epoll_event ev[EVENTS_AT_ONCE];
	long n = SYS6(SYS_epoll_pwait, v->epfd, ev, EVENTS_AT_ONCE, 0, NULL, 0);

	for (long i = 0; i < n; i++) {
		if (ev[i].data.u64 == TAG_LISTEN)
			accept_all(v);
		else if (ev[i].data.u64 == TAG_TIMER)
			timer_serve(v);
		else
			conn_serve(v, ev[i].data.u64, ev[i].events);
	}
}

static int listen_open(struct vsock *v, struct err *e)
{
	struct stat st;
	int r = sock_listen_at(v->dirfd, v->name, SOCK_STREAM | SOCK_NONBLOCK, 0600);

	if (r < 0)
		return err_sys(e, -r, "vsock: socket '%s'", v->name);
	v->listen_fd = r;
	/* remembered, so that fini() removes this file and no other that took its place */
	r = file_fstatat(v->dirfd, v->name, &st, AT_SYMLINK_NOFOLLOW);
	if (r < 0)
		return err_sys(e, -r, "vsock: socket '%s'", v->name);
	if (v->connect) {
		if (v->dirfd != AT_FDCWD)
			fd_close(&v->dirfd);
		v->dirfd = -1;
		return 0;
	}
	v->ours_dev = st.st_dev;
	v->ours_ino = st.st_ino;
	return 0;
}

int vsock__host_init(struct vsock *v, const struct vsock_config *c, struct err *e)
{
	int r = 0;

	v->connect = c->connect;
	v->connect_arg = c->arg;
	v->dirfd = c->dirfd;
	if (c->dirfd != AT_FDCWD)
		r = v->dirfd = (int)SYS3(SYS_fcntl, c->dirfd, F_DUPFD_CLOEXEC, 3);
	if (r >= 0)
		r = v->epfd = (int)SYS1(SYS_epoll_create1, EPOLL_CLOEXEC);
	if (r >= 0)
		r = v->timer_fd = (int)SYS2(SYS_timerfd_create, CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (r >= 0)
		r = watch(v, v->timer_fd, EPOLLIN, TAG_TIMER);
	if (r < 0)
		return err_sys(e, -r, "vsock: socket '%s'", c->name);
	return listen_open(v, e);
}

void vsock__host_fini(struct vsock *v)
{
	struct stat st;

	if (v->ours_ino && file_fstatat(v->dirfd, v->name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    st.st_ino == v->ours_ino && st.st_dev == v->ours_dev)
		file_unlink(v->dirfd, v->name, 0);
	fd_close(&v->listen_fd);
	fd_close(&v->timer_fd);
	fd_close(&v->epfd);
	if (v->dirfd != AT_FDCWD)
		fd_close(&v->dirfd);
}
