/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shim_client.c - those who are connected to a shim
 *
 * A client that does not read gets a queue of what is under way, at most one read of each stream: while
 * anybody's queue is not empty the shim does not read the workload's output (shim__streams_flow()), so that
 * the pipe fills and the workload waits, as under Docker.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/guard.h"
#include "runtime/shim.h"
#include "sys/call.h"
#include "sys/sock.h"

static void on_client(void *arg, uint32_t events);

int shim__client_add(struct shim *s, int fd, bool starter)
{
	struct shim_client *c = s->n_clients < SHIM_CLIENTS_MAX ? calloc(1, sizeof(*c)) : NULL;

	if (!c) {
		close(fd);
		return -ENOMEM;
	}
	c->shim = s;
	c->starter = starter;
	c->source = (struct loop_source){ .ready = on_client, .arg = c };
	if (loop_add(&s->loop, &c->source, fd, EPOLLIN) < 0) {
		close(fd);
		free(c);
		return -ENOMEM;
	}
	c->next = s->clients;
	s->clients = c;
	s->n_clients++;
	return 0;
}

void shim__client_close(struct shim_client *c)
{
	struct shim *s = c->shim;
	int fd = c->source.fd;

	for (struct shim_client **p = &s->clients; *p; p = &(*p)->next)
		if (*p == c) {
			*p = c->next;
			break;
		}
	s->n_clients--;
	loop_remove(&s->loop, &c->source);
	close(fd);
	while (c->queue) {
		struct shim_message *m = c->queue;

		c->queue = m->next;
		free(m);
	}
	free(c);
	shim__streams_flow(s);
	shim__client_gone(s);
}

void shim__client_accept(void *shim, uint32_t events)
{
	struct shim *s = shim;
	int fd = sock_accept(s->listener.fd);
	uid_t uid;

	(void)events;
	if (fd < 0)
		return;
	if (sock_peer_uid(fd, &uid) < 0 || (uid != geteuid() && uid != 0)) {
		close(fd);
		return;
	}
	shim__client_add(s, fd, false);
}

bool shim__congested(const struct shim *s)
{
	for (const struct shim_client *c = s->clients; c; c = c->next)
		if (c->queue)
			return true;
	return false;
}

/* want() - a client is read unless its standard input would have no room, and written to while something
 * waits. */
static void want(struct shim_client *c)
{
	bool hold = c->shim->in_pending && c->streams & ATTACH_STDIN;

	loop_want(&c->shim->loop, &c->source, (hold ? 0 : EPOLLIN) | (c->queue ? EPOLLOUT : 0));
}

void shim__clients_want(struct shim *s)
{
	for (struct shim_client *c = s->clients; c; c = c->next)
		want(c);
}

static void enqueue(struct shim_client *c, enum msg type, const void *bytes, size_t len)
{
	struct shim_message *m = malloc(sizeof(*m) + len), **p = &c->queue;

	if (!m) /* the log has it */
		return;
	m->next = NULL;
	m->type = (uint8_t)type;
	m->len = len;
	memcpy(m->bytes, bytes, len);
	while (*p)
		p = &(*p)->next;
	*p = m;
	want(c);
}

void shim__send(struct shim_client *c, enum msg type, const void *bytes, size_t len)
{
	int r = c->queue ? -EAGAIN : frame_send(c->source.fd, (uint8_t)type, bytes, len, -1, false);

	/* A peer that is gone is found out by its end of file, in the loop: nobody is removed from under a
	 * caller here. */
	if (r == -EAGAIN || r == -ENOBUFS)
		enqueue(c, type, bytes ? bytes : "", len);
}

static void send_queue(struct shim_client *c)
{
	while (c->queue) {
		struct shim_message *m = c->queue;

		if (frame_send(c->source.fd, m->type, m->bytes, m->len, -1, false) == -EAGAIN)
			return;
		c->queue = m->next;
		free(m);
	}
	want(c);
	shim__streams_flow(c->shim);
	shim__client_gone(c->shim);
}

static void resize(struct shim *s, const struct msg_size *m)
{
	struct winsize size = { .ws_row = m->rows, .ws_col = m->cols };

	if (s->config.tty && s->in.fd >= 0)
		SYS3(SYS_ioctl, s->in.fd, TIOCSWINSZ, &size);
}

/* serve() - one message. Return: false when the connection is to be closed. */
static bool serve(struct shim_client *c, uint8_t type, const char *bytes, size_t len)
{
	struct shim *s = c->shim;
	struct msg_stop stop = { .timeout_s = -1 };
	struct msg_size size = { 0 };
	const struct msg_failed done = { 0 };

	memcpy(&stop, bytes, len == sizeof(stop) ? len : 0);
	memcpy(&size, bytes, len == sizeof(size) ? len : 0);
	switch (type) {
	case PROTO_ATTACH: c->streams = len == sizeof(struct msg_attach) ? (uint8_t)*bytes : 0; return true;
	case PROTO_STDIN:
		if (c->streams & ATTACH_STDIN)
			shim__stdin_put(s, bytes, len);
		return true;
	case PROTO_STDIN_END:
		if (c->streams & ATTACH_STDIN && !s->config.tty)
			shim__stdin_end(s);
		return true;
	case PROTO_RESIZE: resize(s, &size); return true;
	case PROTO_PROXY: shim__signal(s, stop.signal); return true;
	case PROTO_KILL:
		if (stop.signal == SIGKILL || stop.signal == s->config.stop_signal)
			s->stopping = true;
		shim__signal(s, stop.signal);
		shim__send(c, PROTO_DONE, &done, sizeof(done));
		return true;
	case PROTO_STOP:
		c->waits = true;
		shim__stop(s, stop.signal, stop.timeout_s);
		return true;
	case PROTO_WAIT: c->waits = true; return true;
	case PROTO_PAUSE:
	case PROTO_RESUME: shim__task(s, c, type == PROTO_PAUSE); return true;
	case PROTO_RELOAD:
		shim__reload(s);
		shim__send(c, PROTO_DONE, &done, sizeof(done));
		return true;
	case PROTO_DETACH: c->starter = false; return true;
	case PROTO_REMOVED: s->removed = true; return false;
	default: return false;
	}
}

static void on_end(struct shim_client *c)
{
	struct shim *s = c->shim;

	if (c->starter && c->streams & ATTACH_STDIN && !s->config.tty)
		shim__stdin_end(s);
	shim__client_close(c);
}

static void on_client(void *arg, uint32_t events)
{
	static char bytes[FRAME_MAX]; /* one for all: a message is served before the next is read */
	struct shim_client *c = arg;
	uint8_t type;
	ssize_t n;

	if (events & EPOLLOUT)
		send_queue(c);
	if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return;
	n = frame_recv(c->source.fd, &type, bytes, sizeof(bytes), NULL, false);
	if (n == -EAGAIN)
		return;
	if (n < 0 || !serve(c, type, bytes, (size_t)n))
		on_end(c);
}
