/* SPDX-License-Identifier: Apache-2.0 */
/* shim_streams.c - the workload's standard streams: output to the log and to who is attached, input from them
 */
#include <stdlib.h>
#include <string.h>

#include "base/guard.h"
#include "runtime/shim.h"
#include "sys/call.h"

enum { CHUNK = 16384 };

static void out_closed(struct shim *s, struct loop_source *out)
{
	int fd = out->fd;

	loop_remove(&s->loop, out);
	close(fd);
	if (s->out[0].fd < 0 && s->out[1].fd < 0)
		shim__streams_ended(s);
}

static void on_output(struct shim *s, int which)
{
	static char chunk[CHUNK];
	struct loop_source *out = &s->out[which];
	long n;

	do {
		n = SYS3(SYS_read, out->fd, chunk, sizeof(chunk));
	} while (n == -EINTR);
	if (n == -EAGAIN)
		return;
	if (n <= 0) { /* EIO: the last one has closed the terminal */
		out_closed(s, out);
		return;
	}
	logfile_put(&s->log, which ? LOGFILE_STDERR : LOGFILE_STDOUT, chunk, (size_t)n,
		    time_now_ns(CLOCK_REALTIME));
	for (struct shim_client *c = s->clients; c; c = c->next)
		if (c->streams & (which ? ATTACH_STDERR : ATTACH_STDOUT))
			shim__send(c, which ? PROTO_STDERR : PROTO_STDOUT, chunk, (size_t)n);
	shim__streams_flow(s);
}

static void on_stdout(void *arg, uint32_t events)
{
	(void)events;
	on_output(arg, 0);
}

static void on_stderr(void *arg, uint32_t events)
{
	(void)events;
	on_output(arg, 1);
}

void shim__streams_flow(struct shim *s)
{
	bool wait = shim__congested(s);

	for (int i = 0; i < 2; i++) {
		if (s->out[i].fd < 0)
			continue;
		/* EPOLLHUP cannot be masked: a stream that waits leaves the loop's set */
		loop_want(&s->loop, &s->out[i], wait ? EPOLLONESHOT : EPOLLIN);
	}
}

static void stdin_close(struct shim *s)
{
	int fd = s->in.fd;

	if (fd >= 0) {
		loop_remove(&s->loop, &s->in);
		close(fd);
	}
	free(s->in_pending);
	s->in_pending = NULL;
	s->in_len = s->in_done = 0;
	shim__clients_want(s);
}

/* stdin_flush() - what waits, as far as the workload takes it. */
static void stdin_flush(struct shim *s)
{
	while (s->in_done < s->in_len) {
		long n = SYS3(SYS_write, s->in.fd, s->in_pending + s->in_done, s->in_len - s->in_done);

		if (n == -EINTR)
			continue;
		if (n == -EAGAIN) {
			loop_want(&s->loop, &s->in, EPOLLOUT);
			return;
		}
		if (n < 0) {
			stdin_close(s); /* nobody reads it any more */
			return;
		}
		s->in_done += (size_t)n;
	}
	free(s->in_pending);
	s->in_pending = NULL;
	s->in_len = s->in_done = 0;
	loop_want(&s->loop, &s->in, 0);
	shim__clients_want(s);
	if (s->in_ends)
		stdin_close(s);
}

static void on_stdin(void *arg, uint32_t events)
{
	struct shim *s = arg;

	if (s->in_pending)
		stdin_flush(s);
	else if (events & (EPOLLERR | EPOLLHUP))
		stdin_close(s);
}

void shim__stdin_put(struct shim *s, const char *bytes, size_t len)
{
	bool waiting = s->in_pending != NULL;
	char *room;

	if (s->in.fd < 0 || len == 0)
		return;
	room = realloc(s->in_pending, s->in_len + len);
	if (!room)
		return;
	memcpy(room + s->in_len, bytes, len);
	s->in_pending = room;
	s->in_len += len;
	if (!waiting)
		stdin_flush(s);
	shim__clients_want(s);
}

void shim__stdin_end(struct shim *s)
{
	if (s->in_pending)
		s->in_ends = true;
	else
		stdin_close(s);
}

static int take(struct shim *s, struct loop_source *source, int *fd, uint32_t events)
{
	int r = loop_add(&s->loop, source, *fd, events);

	if (r >= 0)
		TAKE_FD(*fd);
	return r;
}

int shim__streams_take(struct shim *s, struct streams *from)
{
	int r = 0;

	s->out[0] = (struct loop_source){ .fd = -1, .ready = on_stdout, .arg = s };
	s->out[1] = (struct loop_source){ .fd = -1, .ready = on_stderr, .arg = s };
	s->in = (struct loop_source){ .fd = -1, .ready = on_stdin, .arg = s };
	s->in_ends = false;
	if (from->mine[1] >= 0)
		r = take(s, &s->out[0], &from->mine[1], EPOLLIN);
	if (r >= 0 && from->mine[2] >= 0)
		r = take(s, &s->out[1], &from->mine[2], EPOLLIN);
	if (r >= 0 && from->mine[0] >= 0)
		r = take(s, &s->in, &from->mine[0], 0);
	shim__streams_flow(s);
	return r;
}

void shim__streams_close(struct shim *s)
{
	for (int i = 0; i < 2; i++) {
		int fd = s->out[i].fd;

		loop_remove(&s->loop, &s->out[i]);
		if (fd >= 0)
			close(fd);
	}
	stdin_close(s);
}
