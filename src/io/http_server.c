/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation. A connection is
 *
 *	HEAD --head whole--> BODY --body whole: serve--> HEAD ...
 *	any --broken, or the peer said close--> DRAIN --peer closes, too much, too long--> gone
 *
 * It reads a little, takes all requests that are whole out of what it has, and writes. While HTTP_SERVER_OUT_MAX bytes of
 * answers wait for a peer that does not read, nothing is read from it. DRAIN: the last answer is sent and the writing side
 * shut; what the peer still sends is thrown away for a while, because closing a Unix socket with unread bytes in it makes the
 * peer's next write fail before it has read why.
 */
#include "io/http_server.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "fmt/http.h"
#include "fmt/json.h"
#include "io/loop.h"
#include "sys/call.h"
#include "sys/sock.h"

enum { READ_BYTES = 4096, DRAIN_BYTES_MAX = 16 << 20, CLOSE_WAIT_MS = 1000 };
#define DRAIN_NS        (2 * NSEC_PER_SEC)
#define ACCEPT_AGAIN_NS (100 * NSEC_PER_MSEC)

enum step { STEP_HEAD, STEP_BODY, STEP_DRAIN };

struct connection {
	struct loop_source source;
	struct loop_timer drain_end;
	struct http_server *server;
	int fd; /* owned; -1: the place is free */
	enum step step;
	bool shut, in_end; /* we have shut our side; the peer has ended its own */
	size_t drained;    /* bytes */
	struct http_server_peer peer;
	struct buf body, out;
	size_t sent; /* of @out */
	struct http_request head;
};

struct http_server {
	struct http_server_config c;
	struct loop *loop;
	struct loop_source source;
	struct loop_timer accept_again;
	int fd;                                               /* owned */
	struct connection *conn[HTTP_SERVER_CONNECTIONS_MAX]; /* owned; NULL: never used */
};

static void conn_ready(void *arg, uint32_t events);

/* conn_end() - gone; the place may be used again. */
static void conn_end(struct connection *k)
{
	loop_remove(k->server->loop, &k->source);
	loop_timer_off(k->server->loop, &k->drain_end);
	fd_close(&k->fd);
	buf_fini(&k->body);
	buf_fini(&k->out);
}

static void drain_late(void *arg)
{
	conn_end(arg);
}

static void put_error(struct buf *to, const struct http_server *s, int status, unsigned minor,
		      const char *why)
{
	auto_fini(buf) struct buf body = { 0 };
	struct json_out o = { .to = &body };

	json_put_open(&o, NULL, '{');
	json_put_str(&o, "error", why);
	json_put_close(&o, '}');
	if (buf_finish(&body) < 0)
		return;
	http_response_put(to, &(struct http_response){ .status = status,
						       .minor = minor,
						       .server = s->c.name,
						       .close = true,
						       .body = body.data,
						       .body_len = body.len });
}

static void start_drain(struct connection *k)
{
	k->step = STEP_DRAIN;
	loop_timer_set(k->server->loop, &k->drain_end, DRAIN_NS);
}

static void refuse(struct connection *k, int status, const char *why)
{
	put_error(&k->out, k->server, status, k->head.done ? k->head.minor : 1, why);
	if (k->server->c.refused)
		k->server->c.refused(k->server->c.arg, why);
	start_drain(k);
}

static void next_request(struct connection *k)
{
	http_request_init(&k->head);
	k->body.len = 0;
	k->step = STEP_HEAD;
}

static void serve(struct connection *k)
{
	struct http_server *s = k->server;
	struct http_server_reply reply = { .status = 200 };
	struct http_server_request q = { .head = &k->head, .peer = k->peer };
	bool keep = k->head.keep_alive;

	if (k->head.body_len > 0) {
		q.body = buf_str(&k->body);
		q.len = k->body.len;
	}
	s->c.serve(s->c.arg, &q, &reply);
	if (buf_finish(&reply.body) < 0) {
		buf_fini(&reply.body);
		reply = (struct http_server_reply){ .status = 500 };
	}
	http_response_put(&k->out,
			  &(struct http_response){ .status = reply.status,
						   .minor = k->head.minor,
						   .server = s->c.name,
						   .close = !keep,
						   .deprecated = reply.deprecated,
						   .body = reply.has_body ? buf_str(&reply.body) : NULL,
						   .body_len = reply.body.len });
	buf_fini(&reply.body);
	if (keep)
		next_request(k);
	else
		start_drain(k);
}

/* head_done() - the head is whole: may its body come? */
static void head_done(struct connection *k)
{
	const struct http_server_config *c = &k->server->c;
	char why[96];

	if (!(c->methods & 1U << k->head.method)) {
		refuse(k, 400, "Invalid HTTP method");
		return;
	}
	if (k->head.body_len > c->body_max) {
		str_format(why, sizeof(why), "Request payload with size %llu is larger than the limit of %zu",
			   (unsigned long long)k->head.body_len, c->body_max);
		refuse(k, 400, why);
		return;
	}
	k->step = STEP_BODY;
	if (k->head.expects && k->head.body_len > 0)
		http_continue_put(&k->out, k->head.minor, c->name);
}

/* take() - all that @bytes holds, request by request. */
static void take(struct connection *k, const char *bytes, size_t len)
{
	while (len > 0 && k->step != STEP_DRAIN) {
		size_t n;

		if (k->step == STEP_HEAD) {
			ssize_t got = http_request_feed(&k->head, bytes, len);

			if (got < 0) {
				refuse(k, 400, k->head.why);
				return;
			}
			bytes += got;
			len -= (size_t)got;
			if (k->head.done)
				head_done(k);
		}
		if (k->step != STEP_BODY)
			continue;
		n = k->head.body_len - k->body.len < len ? k->head.body_len - k->body.len : len;
		buf_put(&k->body, bytes, n);
		bytes += n;
		len -= n;
		if (buf_finish(&k->body) < 0)
			refuse(k, 500, "Out of memory");
		else if (k->body.len == k->head.body_len)
			serve(k);
	}
}

/* send_some() - Return: 0, or -errno: the peer is gone. */
static int send_some(struct connection *k)
{
	if (buf_finish(&k->out) < 0)
		return -ENOMEM;
	while (k->sent < k->out.len) {
		long n = SYS6(SYS_sendto, k->fd, k->out.data + k->sent, k->out.len - k->sent,
			      MSG_NOSIGNAL | MSG_DONTWAIT, NULL, 0);

		if (n == -EINTR)
			continue;
		if (n == -EAGAIN)
			return 0;
		if (n < 0)
			return (int)n;
		k->sent += (size_t)n;
	}
	buf_fini(&k->out); /* an idle connection holds no memory of its last answer */
	k->sent = 0;
	return 0;
}

static size_t out_left(const struct connection *k)
{
	return k->out.len - k->sent;
}

/* read_some() - Return: 0, or -errno: the connection is over. */
static int read_some(struct connection *k)
{
	char bytes[READ_BYTES];
	long n = SYS6(SYS_recvfrom, k->fd, bytes, sizeof(bytes), MSG_DONTWAIT, NULL, NULL);

	if (n == -EAGAIN || n == -EINTR)
		return 0;
	if (n < 0)
		return (int)n;
	if (n == 0) {
		k->in_end = true;
		if (k->step != STEP_DRAIN)
			start_drain(k); /* what is answered is still sent */
		return 0;
	}
	if (k->step == STEP_DRAIN) {
		k->drained += (size_t)n;
		return k->drained > DRAIN_BYTES_MAX ? -EMSGSIZE : 0;
	}
	take(k, bytes, (size_t)n);
	return 0;
}

static void conn_ready(void *arg, uint32_t events)
{
	struct connection *k = arg;
	uint32_t want = 0;
	int r = 0;

	if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && !k->in_end && out_left(k) < HTTP_SERVER_OUT_MAX)
		r = read_some(k);
	if (r == 0)
		r = send_some(k);
	if (r < 0) {
		conn_end(k);
		return;
	}
	if (k->step == STEP_DRAIN && out_left(k) == 0) {
		if (k->in_end) {
			conn_end(k);
			return;
		}
		if (!k->shut)
			SYS2(SYS_shutdown, k->fd, SHUT_WR);
		k->shut = true;
	}
	if (!k->in_end && out_left(k) < HTTP_SERVER_OUT_MAX)
		want |= EPOLLIN;
	if (out_left(k) > 0)
		want |= EPOLLOUT;
	loop_want(k->server->loop, &k->source, want);
}

/* free_place() - where a new connection may live, or NULL: the limit is reached, or memory. */
static struct connection *free_place(struct http_server *s)
{
	for (unsigned i = 0; i < s->c.connections; i++) {
		if (!s->conn[i]) {
			s->conn[i] = calloc(1, sizeof(*s->conn[i]));
			if (s->conn[i])
				s->conn[i]->fd = -1;
			return s->conn[i];
		}
		if (s->conn[i]->fd < 0)
			return s->conn[i];
	}
	return NULL;
}

/* turn_away() - answer and close; the answer fits an empty socket buffer. */
static void turn_away(const struct http_server *s, int fd, int status, const char *why)
{
	auto_fini(buf) struct buf out = { 0 };

	put_error(&out, s, status, 1, why);
	if (buf_finish(&out) == 0)
		SYS6(SYS_sendto, fd, out.data, out.len, MSG_NOSIGNAL | MSG_DONTWAIT, NULL, 0);
	if (s->c.refused)
		s->c.refused(s->c.arg, why);
}

static void accept_again(void *arg)
{
	struct http_server *s = arg;

	loop_want(s->loop, &s->source, EPOLLIN);
}

static void listener_ready(void *arg, uint32_t events)
{
	struct http_server *s = arg;
	auto_close int fd = sock_accept(s->fd);
	struct http_server_peer peer = { .uid = (uid_t)-1 };
	struct connection *k;

	(void)events;
	if (fd <
	    0) { /* its peer is gone, or we are out of descriptors: whoever waits stays in the backlog for a while */
		loop_want(s->loop, &s->source, 0);
		loop_timer_set(s->loop, &s->accept_again, ACCEPT_AGAIN_NS);
		return;
	}
	if (sock_peer_uid(fd, &peer.uid) < 0 || sock_peer_pid(fd, &peer.pid) < 0 ||
	    (s->c.may && !s->c.may(s->c.arg, &peer))) {
		turn_away(s, fd, 403, "This user is not served");
		return;
	}
	k = free_place(s);
	if (!k) {
		turn_away(s, fd, 503, "Too many open connections");
		return;
	}
	k->server = s;
	k->source = (struct loop_source){ .fd = -1, .ready = conn_ready, .arg = k };
	k->drain_end = (struct loop_timer){ .fire = drain_late, .arg = k };
	k->shut = k->in_end = false;
	k->drained = k->sent = 0;
	k->peer = peer;
	next_request(k);
	if (loop_add(s->loop, &k->source, fd, EPOLLIN) == 0)
		k->fd = TAKE_FD(fd);
}

int http_server_open(struct http_server **ret_s, struct loop *loop, int listener,
		     const struct http_server_config *c, struct err *e)
{
	auto_close int fd = listener;
	auto_free struct http_server *s = calloc(1, sizeof(*s));
	int r;

	BUG_ON(c->connections < 1 || c->connections > HTTP_SERVER_CONNECTIONS_MAX || !c->serve);
	if (!s)
		return err_sys(e, ENOMEM, "API server");
	s->c = *c;
	s->loop = loop;
	s->source = (struct loop_source){ .fd = -1, .ready = listener_ready, .arg = s };
	s->accept_again = (struct loop_timer){ .fire = accept_again, .arg = s };
	r = loop_add(loop, &s->source, fd, EPOLLIN);
	if (r < 0)
		return err_sys(e, -r, "API server: socket");
	s->fd = TAKE_FD(fd);
	*ret_s = TAKE_PTR(s);
	return 0;
}

/* flush() - the answers that wait, for at most @left_ms. Return: ms that are left. */
static int flush(struct connection *k, int left_ms)
{
	while (left_ms > 0 && send_some(k) == 0 && out_left(k) > 0) {
		struct pollfd p = { .fd = k->fd, .events = POLLOUT };
		struct timespec tick = { .tv_nsec = 50 * NSEC_PER_MSEC };

		SYS5(SYS_ppoll, &p, 1, &tick, NULL, 0);
		left_ms -= 50;
	}
	return left_ms;
}

void http_server_close(struct http_server *s)
{
	int left_ms = CLOSE_WAIT_MS;

	if (!s)
		return;
	loop_remove(s->loop, &s->source);
	loop_timer_off(s->loop, &s->accept_again);
	fd_close(&s->fd);
	for (unsigned i = 0; i < HTTP_SERVER_CONNECTIONS_MAX; i++) {
		if (s->conn[i] && s->conn[i]->fd >= 0) {
			left_ms = flush(s->conn[i], left_ms);
			conn_end(s->conn[i]);
		}
		free(s->conn[i]);
	}
	free(s);
}
