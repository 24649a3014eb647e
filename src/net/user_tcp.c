/* SPDX-License-Identifier: Apache-2.0 */
/*
 * user_tcp.c - a guest's TCP connections, each a socket of the host
 *
 *	guest's SYN -> connect(2) under way -> connected: SYN,ACK to the guest     refused or failed: RST
 *	accept(2) on a forwarded port -> SYN to the guest -> its SYN,ACK
 *
 * The end of each direction is passed on by itself: the guest's FIN as shutdown(2) behind the last byte, the peer's as FIN.
 */
#include <errno.h>
#include <netinet/tcp.h> /* TCP_NODELAY */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/guard.h"
#include "net/user_internal.h"
#include "sys/call.h"
#include "sys/sock.h"

enum { CONSUME_BYTES = 128 << 10 }; /* the socket is told of acknowledged bytes in lots of this many */

/* --- towards the host --------------------------------------------------------------------------------------- */

static size_t waiting(const struct tcp_flow *t)
{
	return t->in.len - t->in_at;
}

static struct tcp_flow *flow_of(struct tcp *tcp)
{
	return (struct tcp_flow *)((char *)tcp - offsetof(struct tcp_flow, tcp));
}

static size_t app_room(struct tcp *tcp)
{
	const struct tcp_flow *t = flow_of(tcp);

	return waiting(t) < USER_IN_MAX ? USER_IN_MAX - waiting(t) : 0;
}

static void in_free(struct tcp_flow *t)
{
	t->f.u->in_total -= t->in.len;
	buf_fini(&t->in);
	t->in_at = 0;
}

/* flush() - what waits for the socket; then the end, when the guest has said it. */
static void flush(struct tcp_flow *t)
{
	while (waiting(t) > 0) {
		long r = SYS6(SYS_sendto, t->f.fd, t->in.data + t->in_at, waiting(t),
			      MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0);

		if (r == -EAGAIN || r == -EINTR)
			return;
		if (r < 0) {
			tcp_abort(&t->tcp);
			break;
		}
		t->in_at += (size_t)r;
	}
	in_free(t);
	if (t->shut)
		SYS2(SYS_shutdown, t->f.fd, SHUT_WR);
}

static void app_put(struct tcp *tcp, const struct iovec *iov, unsigned n, size_t off, size_t len)
{
	struct tcp_flow *t = flow_of(tcp);
	struct user *u = t->f.u;
	size_t done = 0;
	void *room;

	if (t->f.fd >= 0 && waiting(t) == 0 && !t->connecting) {
		struct iovec v[LINK_IOV_MAX];
		struct msghdr msg = { .msg_iov = v, .msg_iovlen = link_iov_skip(v, iov, n, off) };
		size_t over = link_iov_bytes(v, (unsigned)msg.msg_iovlen) - len;
		long r;

		while (over > 0) { /* what is behind the segment (padding) */
			struct iovec *last = &v[msg.msg_iovlen - 1];
			size_t cut = over < last->iov_len ? over : last->iov_len;

			last->iov_len -= cut;
			over -= cut;
			if (last->iov_len == 0)
				msg.msg_iovlen--;
		}
		r = SYS3(SYS_sendmsg, t->f.fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (r < 0 && r != -EAGAIN && r != -EINTR) {
			tcp_abort(tcp);
			return;
		}
		done = r > 0 ? (size_t)r : 0;
	}
	if (done == len)
		return;
	room = u->in_total + len - done <= USER_IN_TOTAL_MAX ? buf_room(&t->in, len - done) : NULL;
	if (!room) {
		tcp_abort(tcp);
		return;
	}
	link_iov_copy(room, len - done, iov, n, off + done);
	t->in.len += len - done;
	u->in_total += len - done;
}

static void app_fin(struct tcp *tcp)
{
	struct tcp_flow *t = flow_of(tcp);

	t->shut = true;
	if (waiting(t) == 0)
		SYS2(SYS_shutdown, t->f.fd, SHUT_WR);
}

/* --- towards the guest -------------------------------------------------------------------------------------- */

/* peek_iov() - @iov behind @over bytes that were seen before, where the socket cannot skip them itself. */
static unsigned peek_iov(struct user *u, struct iovec *to, const struct iovec *iov, unsigned n, size_t over)
{
	if (over == 0 || n >= LINK_IOV_MAX) {
		memcpy(to, iov, n * sizeof(*iov));
		return n;
	}
	if (!u->scratch)
		u->scratch = malloc(TCP_FLIGHT_MAX + CONSUME_BYTES);
	to[0] = (struct iovec){ u->scratch, over };
	memcpy(to + 1, iov, n * sizeof(*iov));
	return n + 1;
}

static long app_peek(struct tcp *tcp, size_t off, const struct iovec *iov, unsigned n)
{
	struct tcp_flow *t = flow_of(tcp);
	struct iovec v[LINK_IOV_MAX + 1];
	struct msghdr msg = { .msg_iov = v };
	size_t at = t->acked + off, over = t->can_offset ? 0 : at;
	int value = (int)at;
	long r;

	if (t->can_offset && at != t->peek_at &&
	    SYS5(SYS_setsockopt, t->f.fd, SOL_SOCKET, SO_PEEK_OFF, &value, sizeof(value)) < 0)
		return -EIO;
	t->peek_at = at;
	msg.msg_iovlen = peek_iov(t->f.u, v, iov, n, over);
	if (over > 0 && (!t->f.u->scratch || n >= LINK_IOV_MAX))
		return -ENOMEM;
	r = SYS3(SYS_recvmsg, t->f.fd, &msg, MSG_PEEK | MSG_DONTWAIT);
	if (r == -EAGAIN || r == -EINTR)
		return 0;
	if (r < 0)
		return r;
	if (t->can_offset ? r == 0 : (size_t)r <= over) {
		/* Nothing new; without offsets the end shows only when nothing is before it. */
		return r == 0 && t->ended ? -ENODATA : r == 0 && over == 0 ? -ENODATA : 0;
	}
	r -= (long)over;
	t->peek_at = at + (size_t)r;
	if (t->ended)
		tcp_more(tcp);
	return r;
}

/* consume() - the socket may forget what the guest has. */
static void consume(struct tcp_flow *t)
{
	while (t->acked > 0) {
		long r = SYS6(SYS_recvfrom, t->f.fd, NULL, t->acked, MSG_TRUNC | MSG_DONTWAIT, NULL, NULL);

		if (r <= 0)
			break;
		t->acked -= (size_t)r;
		t->peek_at -= (size_t)r < t->peek_at ? (size_t)r : t->peek_at;
	}
}

static void app_acked(struct tcp *tcp, size_t len)
{
	struct tcp_flow *t = flow_of(tcp);
	/* Our FIN counts among what is in flight. A socket that is closed with bytes unread resets its peer. */
	bool all = tcp->snd_top - tcp->snd_una - len <= tcp->fin_ever;

	t->acked += len;
	if (all || t->acked >= CONSUME_BYTES)
		consume(t);
	if (all && t->ended)
		tcp_more(tcp);
}

static const struct tcp_app tcp_flow_app = {
	.room = app_room,
	.put = app_put,
	.peek = app_peek,
	.acked = app_acked,
	.fin = app_fin,
};

/* --- flows -------------------------------------------------------------------------------------------------- */

static int socket_error(int fd)
{
	int error = 0;
	socklen_t len = sizeof(error);

	return SYS5(SYS_getsockopt, fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 ? EIO : error;
}

/* on_rest() - the guest is done with the connection; its last bytes are not out yet. */
static void on_rest(struct tcp_flow *t, uint32_t events)
{
	if (events & EPOLLERR)
		in_free(t);
	else if (events & EPOLLOUT)
		flush(t);
	if (waiting(t) == 0)
		user__flow_drop(&t->f);
}

static void on_socket(void *arg, uint32_t events)
{
	struct tcp_flow *t = arg;

	if (t->tcp.state == TCPS_DEAD) {
		on_rest(t, events);
		return;
	}
	if (events & EPOLLERR && socket_error(t->f.fd) != 0) {
		in_free(t); /* nobody is left to take it */
		tcp_abort(&t->tcp);
	} else if (t->connecting && events & EPOLLOUT) {
		t->connecting = false;
		tcp_answer(&t->tcp);
	} else if (events & EPOLLOUT && (waiting(t) > 0)) {
		flush(t);
	}
	if (events & (EPOLLRDHUP | EPOLLHUP))
		t->ended = true;
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP))
		tcp_more(&t->tcp);
	user__flow_ready(&t->f);
	link_tell(&t->f.u->link);
}

static struct tcp_flow *flow_new(struct user *u, const struct flow_key *k, const uint8_t *mac, int fd)
{
	int zero = 0, one = 1;
	struct tcp_flow *t = u->n_tcp < USER_TCP_MAX ? calloc(1, sizeof(*t)) : NULL;

	if (!t) {
		guard_close(&fd);
		return NULL;
	}
	t->f.key = *k;
	memcpy(t->f.mac, mac, 6);
	t->can_offset = SYS5(SYS_setsockopt, fd, SOL_SOCKET, SO_PEEK_OFF, &zero, sizeof(zero)) == 0;
	SYS5(SYS_setsockopt, fd, IPPROTO_TCP, TCP_NODELAY, &one,
	     sizeof(one)); /* the guest has gathered already */
	if (user__flow_add(u, &t->f, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, on_socket) < 0) {
		free(t);
		return NULL;
	}
	return t;
}

static void refuse(struct user *u, const struct tcp_seg *s)
{
	if (u->n_refusals < USER_REFUSALS_MAX) {
		u->refusal[u->n_refusals++] = *s;
		user__soon(u);
	}
}

/* open_flow() - the guest's SYN. */
static void open_flow(struct user *u, const struct flow_key *k, const struct tcp_seg *s)
{
	nsec_t now = time_now_ns(CLOCK_MONOTONIC);
	struct sockaddr_in to;
	struct tcp_flow *t = NULL;
	int fd;
	long r;

	if (!user__far(u, s->dst, s->dport, &to)) {
		refuse(u, s);
		return;
	}
	fd = (int)SYS3(SYS_socket, AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd >= 0)
		t = flow_new(u, k, s->mac, fd);
	if (!t) {
		refuse(u, s);
		return;
	}
	u->isn += 64021 + (uint32_t)(now >> 12);
	tcp_accept(&t->tcp, &tcp_flow_app, s, u->isn, now);
	r = SYS3(SYS_connect, fd, &to, sizeof(to));
	t->connecting = r == -EINPROGRESS;
	if (r == 0)
		tcp_answer(&t->tcp);
	else if (!t->connecting)
		tcp_abort(&t->tcp);
	user__flow_ready(&t->f);
	user__soon(u);
}

void user__tcp_in(struct user *u, const struct iovec *iov, unsigned n)
{
	struct flow_key k = { .kind = FLOW_TCP };
	struct tcp_flow *t;
	struct tcp_seg s;

	if (tcp_parse(&s, iov, n) < 0) {
		u->link.n_dropped++;
		return;
	}
	k.guest = s.src;
	k.gport = s.sport;
	k.far = s.dst;
	k.fport = s.dport;
	t = (struct tcp_flow *)user__find(u, &k);
	if (!t) {
		if ((s.flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN)
			open_flow(u, &k, &s);
		else
			refuse(u, &s);
		return;
	}
	if (t->tcp.state == TCPS_DEAD) /* only its rest is still on the way to the host's socket */
		return;
	tcp_input(&t->tcp, &s, time_now_ns(CLOCK_MONOTONIC));
	if (t->tcp.state == TCPS_DEAD) { /* the guest's RST: the peer gets one too */
		struct linger l = { .l_onoff = 1 };

		SYS5(SYS_setsockopt, t->f.fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
		user__flow_drop(&t->f);
		return;
	}
	user__flow_ready(&t->f);
	user__soon(u);
}

long user__tcp_out(struct tcp_flow *t, const struct iovec *iov, unsigned n)
{
	struct user *u = t->f.u;

	if (t->tcp.state ==
	    TCPS_SYN_SENT) { /* of a forwarded port: to whom, is only known when the guest has spoken */
		if (!u->has_mac)
			return 0;
		memcpy(t->tcp.mac, u->mac, 6);
	}
	return tcp_output(&t->tcp, &u->wire, iov, n, time_now_ns(CLOCK_MONOTONIC));
}

bool user__tcp_done(const struct tcp_flow *t)
{
	return t->tcp.state == TCPS_DEAD && waiting(t) == 0;
}

void user__tcp_tick(struct tcp_flow *t, nsec_t now)
{
	if (t->tcp.state == TCPS_DEAD) {
		if (now - t->tcp.heard > TCP_CLOSE_NS)
			user__flow_drop(&t->f);
		return;
	}
	if (now - t->tcp.heard > USER_TCP_IDLE_NS)
		tcp_abort(&t->tcp);
	if (tcp_tick(&t->tcp, now) || t->tcp.state == TCPS_RESET || t->tcp.state == TCPS_SYN_SENT)
		user__flow_ready(&t->f);
}

void user__tcp_accept(struct hostfwd *h)
{
	struct user *u = h->u;
	int fd;

	while ((fd = sock_accept(h->fd)) >= 0) {
		nsec_t now = time_now_ns(CLOCK_MONOTONIC);
		struct flow_key k = {
			.kind = FLOW_TCP, .guest = h->guest, .far = u->gateway, .gport = h->gport
		};
		struct tcp_flow *t;

		do { /* the limit on flows is far below the number of ports */
			k.fport = user__port(u);
		} while (user__find(u, &k));
		t = flow_new(u, &k, u->mac, fd);
		if (!t)
			continue;
		t->tcp.guest = k.guest;
		t->tcp.ours = k.far;
		t->tcp.gport = k.gport;
		t->tcp.oport = k.fport;
		u->isn += 64021 + (uint32_t)(now >> 12);
		tcp_open(&t->tcp, &tcp_flow_app, u->isn, now);
		user__flow_ready(&t->f);
	}
	link_tell(&u->link);
}

void user__tcp_free(struct tcp_flow *t)
{
	in_free(t);
}
