/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * Every connection is a slot of one table; what happens to it is the table act[state][event] below, and nothing else changes
 * its state.
 *
 *	        CONNECT line                RESPONSE
 *	GREETING ----------> REQUESTED ----------------> OPEN <------- the guest's REQUEST, host socket connected
 *	                         |                        |  \
 *	                         | refused, 2 s           |   \ host gone, all it wrote is read: SHUTDOWN of both halves
 *	                         v                        |    v
 *	                       FREE                       |  CLOSING --- RST ---> FREE
 *	                                                  |
 *	      the guest shut both halves, or nonsense ----+---- the guest's RST
 *	                         v                               v
 *	                     RESETTING -------- RST sent --> DRAINING -- buffer empty --> FREE
 *
 * Half-closes: the guest's SHUTDOWN(SEND) becomes shutdown(SHUT_WR) once the buffer is empty, SHUTDOWN(RCV) shutdown(SHUT_RD).
 * The host's end of file becomes SHUTDOWN(SEND) behind the last byte; its hang-up adds SHUTDOWN(RCV).
 *
 * Credit, guest to host: the guest may have @window bytes under way. What the host socket does not take at once lies in a ring
 * of that size, so a guest that keeps to its credit never overruns it, and one that does not is reset. A CREDIT_UPDATE goes out
 * when the guest sees less than half of its window. Host to guest: nothing is read from the host that the guest has no room
 * for; the kernel's socket buffer is the only one.
 *
 * What a connection has for the guest (bits in @todo, then bytes of the host) waits for its turn in one queue, a packet a
 * turn. Pending packets are bits, so nothing a guest does makes a queue grow.
 *
 * Spec: virtio 1.2 §5.10.6
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/bug.h"
#include "base/guard.h"
#include "base/str.h"
#include "sys/call.h"
#include "virtio/vsock_internal.h"

enum { IOV_MAX_AT_ONCE = 64, OK_LINE_MAX = 24 };

enum action {
	A_NONE,
	A_RESET,  /* nonsense, or no way on: drop what we hold, RST to the guest */
	A_FREE,   /* over on both sides */
	A_GREET,  /* more of the CONNECT line */
	A_ACCEPT, /* the guest took the host's connection */
	A_DATA,   /* bytes for the host */
	A_SHUT,   /* the guest closed one half or both */
	A_DRAIN,  /* the guest is gone; the host gets what it sent before */
	A_TELL,   /* our credit was asked for */
	A_READ,   /* the host has bytes, or their end */
	A_FLUSH,  /* the host takes bytes again */
	A_GONE,   /* the host takes none any more */
	A_COUNT
};

/* A guest event with no entry is harmless in that state; GREETING, DRAINING and FREE are not found by the guest's packets. */
static const uint8_t act[VSOCK_STATE_COUNT][VSOCK_EVENT_COUNT] = {
	[VSOCK_GREETING] = {
		[VSOCK_H_READABLE] = A_GREET,
		[VSOCK_H_GONE] = A_FREE,
		[VSOCK_TIMEOUT] = A_FREE,
	},
	[VSOCK_REQUESTED] = {
		[VSOCK_G_REQUEST] = A_RESET,
		[VSOCK_G_RESPONSE] = A_ACCEPT,
		[VSOCK_G_RST] = A_FREE,
		[VSOCK_G_SHUTDOWN] = A_RESET,
		[VSOCK_G_RW] = A_RESET,
		[VSOCK_H_GONE] = A_RESET,
		[VSOCK_TIMEOUT] = A_RESET,
	},
	[VSOCK_OPEN] = {
		[VSOCK_G_REQUEST] = A_RESET,
		[VSOCK_G_RESPONSE] = A_RESET,
		[VSOCK_G_RST] = A_DRAIN,
		[VSOCK_G_SHUTDOWN] = A_SHUT,
		[VSOCK_G_RW] = A_DATA,
		[VSOCK_G_CREDIT_REQUEST] = A_TELL,
		[VSOCK_H_READABLE] = A_READ,
		[VSOCK_H_WRITABLE] = A_FLUSH,
		[VSOCK_H_GONE] = A_GONE,
	},
	[VSOCK_CLOSING] = {
		[VSOCK_G_REQUEST] = A_RESET,
		[VSOCK_G_RESPONSE] = A_RESET,
		[VSOCK_G_RST] = A_FREE,
		[VSOCK_G_SHUTDOWN] = A_SHUT,
		[VSOCK_G_RW] = A_DATA, /* on its way when we told: taken, and thrown away */
		[VSOCK_G_CREDIT_REQUEST] = A_TELL,
	},
	[VSOCK_RESETTING] = {
		[VSOCK_G_RST] = A_DRAIN, /* both sides at once: ours need not go out */
		[VSOCK_H_WRITABLE] = A_FLUSH,
		[VSOCK_H_GONE] = A_GONE,
	},
	[VSOCK_DRAINING] = {
		[VSOCK_H_WRITABLE] = A_FLUSH,
		[VSOCK_H_GONE] = A_FREE,
		[VSOCK_TIMEOUT] = A_FREE,
	},
};

/* --- the table of slots ---------------------------------------------------------------------------------- */

static unsigned hash_of(uint32_t local_port, uint32_t peer_port)
{
	return ((local_port * 0x9e3779b1U) ^ (peer_port * 0x85ebca6bU)) >> 22;
}
static_assert(VSOCK_HASH == 1 << (32 - 22), "hash_of() gives an index of the table");

void vsock__conns_init(struct vsock *v)
{
	for (unsigned i = 0; i < VSOCK_CONNS_MAX; i++) {
		v->conn[i].fd = -1;
		v->conn[i].hash_next = (uint16_t)(i + 1 < VSOCK_CONNS_MAX ? i + 1 : VSOCK_NONE);
	}
	for (unsigned i = 0; i < VSOCK_HASH; i++)
		v->hash[i] = VSOCK_NONE;
	v->free_first = 0;
	v->ready_first = v->ready_last = VSOCK_NONE;
}

void vsock__conns_drop(struct vsock *v)
{
	for (unsigned i = 0; i < VSOCK_CONNS_MAX && v->n_conns > 0; i++)
		if (v->conn[i].state != VSOCK_FREE)
			vsock__conn_free(v, &v->conn[i]);
}

struct vsock_conn *vsock__conn_find(const struct vsock *v, uint32_t local_port, uint32_t peer_port)
{
	for (uint16_t i = v->hash[hash_of(local_port, peer_port)]; i != VSOCK_NONE; i = v->conn[i].hash_next)
		if (v->conn[i].local_port == local_port && v->conn[i].peer_port == peer_port)
			return &v->conn[i];
	return NULL;
}

void vsock__conn_name(struct vsock *v, struct vsock_conn *c, uint32_t local_port, uint32_t peer_port)
{
	uint16_t *head = &v->hash[hash_of(local_port, peer_port)];

	c->local_port = local_port;
	c->peer_port = peer_port;
	c->hash_next = *head;
	c->in_hash = true;
	*head = vsock__slot(v, c);
}

static void conn_unname(struct vsock *v, struct vsock_conn *c)
{
	if (!c->in_hash)
		return;
	for (uint16_t *p = &v->hash[hash_of(c->local_port, c->peer_port)]; *p != VSOCK_NONE;
	     p = &v->conn[*p].hash_next)
		if (*p == vsock__slot(v, c)) {
			*p = c->hash_next;
			break;
		}
	c->in_hash = false;
}

/* conn_evict() - make room: end a connection that only waits for its end. */
static void conn_evict(struct vsock *v)
{
	for (unsigned i = 0; i < VSOCK_CONNS_MAX; i++) {
		struct vsock_conn *c = &v->conn[i];

		if (c->state == VSOCK_CLOSING && v->rst_len < VSOCK_RSTS_MAX)
			vsock__refuse(v, c->local_port, c->peer_port);
		else if (c->state != VSOCK_DRAINING)
			continue;
		vsock__conn_free(v, c);
		return;
	}
}

static void conn_deadline(struct vsock *v, struct vsock_conn *c, nsec_t in_ns)
{
	c->deadline = time_now_ns(CLOCK_MONOTONIC) + in_ns;
	vsock__host_timer(v);
}

struct vsock_conn *vsock__conn_new(struct vsock *v, int fd, enum vsock_state state)
{
	struct vsock_conn *c;

	if (v->free_first == VSOCK_NONE)
		conn_evict(v);
	if (v->free_first == VSOCK_NONE) {
		fd_close(&fd);
		return NULL;
	}
	c = &v->conn[v->free_first];
	v->free_first = c->hash_next;
	v->n_conns++;
	/* the queue for the guest may still hold the slot from its former user: a turn for nothing */
	*c = (struct vsock_conn){
		.state = (uint8_t)state,
		.fd = fd,
		.gen = c->gen,
		.in_ready = c->in_ready,
		.ready_next = c->ready_next,
		.full_window = v->n_full_windows < VSOCK_WINDOWS_FULL,
	};
	v->n_full_windows += c->full_window;
	c->window = c->full_window ? VSOCK_WINDOW : VSOCK_WINDOW_SMALL;
	if (state == VSOCK_GREETING)
		conn_deadline(v, c, VSOCK_GREETING_NS);
	return c;
}

static void buffer_drop(struct vsock_conn *c)
{
	free(c->buf);
	c->buf = NULL;
	c->buf_at = c->buf_len = 0;
}

void vsock__conn_free(struct vsock *v, struct vsock_conn *c)
{
	conn_unname(v, c);
	buffer_drop(c);
	fd_close(&c->fd);
	v->n_full_windows -= c->full_window;
	v->n_conns--;
	c->state = VSOCK_FREE;
	c->todo = 0;
	c->deadline = 0;
	c->gen++;
	c->hash_next = v->free_first;
	v->free_first = vsock__slot(v, c);
}

/* --- host to guest --------------------------------------------------------------------------------------- */

static uint32_t peer_credit(const struct vsock_conn *c)
{
	uint32_t under_way = c->sent - c->peer_fwd; /* nonsense from the guest makes it large: no credit */

	return under_way < c->peer_alloc ? c->peer_alloc - under_way : 0;
}

static bool may_read(const struct vsock_conn *c)
{
	return c->state == VSOCK_OPEN && c->readable && !(c->guest_shut & VIRTIO_VSOCK_SHUTDOWN_RCV) &&
	       !(c->host_shut & VIRTIO_VSOCK_SHUTDOWN_SEND);
}

void vsock__conn_ready(struct vsock *v, struct vsock_conn *c)
{
	uint16_t slot = vsock__slot(v, c);

	if (may_read(c) && peer_credit(c) == 0 && !c->asked_credit) {
		c->asked_credit = true;
		c->todo |= 1 << VIRTIO_VSOCK_OP_CREDIT_REQUEST;
	}
	if (c->in_ready || (!c->todo && !(may_read(c) && peer_credit(c) > 0)))
		return;
	c->in_ready = true;
	c->ready_next = VSOCK_NONE;
	if (v->ready_first == VSOCK_NONE)
		v->ready_first = slot;
	else
		v->conn[v->ready_last].ready_next = slot;
	v->ready_last = slot;
}

static void conn_todo(struct vsock *v, struct vsock_conn *c, unsigned op)
{
	c->todo |= (uint8_t)(1U << op);
	vsock__conn_ready(v, c);
}

/* conn_tell_shut() - the halves the host has closed; when it is both, the rest is the guest's RST. */
static void conn_tell_shut(struct vsock *v, struct vsock_conn *c, unsigned flags)
{
	if ((c->host_shut | flags) == c->host_shut)
		return;
	c->host_shut |= (uint8_t)flags;
	if (c->host_shut == VSOCK_SHUT_BOTH)
		c->state = VSOCK_CLOSING;
	conn_todo(v, c, VIRTIO_VSOCK_OP_SHUTDOWN);
}

/* conn_read() - bytes of the host straight into the guest's buffer. Return: bytes; 0 the end; -EAGAIN nothing now. */
static long conn_read(struct vsock *v, struct vsock_conn *c)
{
	struct iovec iov[IOV_MAX_AT_ONCE];
	struct msghdr msg = { .msg_iov = iov };
	uint32_t max = peer_credit(c);
	size_t len;
	long r;

	if (max > VSOCK_PKT_MAX)
		max = VSOCK_PKT_MAX;
	msg.msg_iovlen = vq_write_iov(&v->chain, iov, ARRAY_SIZE(iov), max, &len);
	if (len == 0)
		return -EAGAIN;
	do {
		r = SYS3(SYS_recvmsg, c->fd, &msg, MSG_DONTWAIT);
	} while (r == -EINTR);
	return r;
}

/*
 * conn_send_bytes() - Return: payload bytes; -EAGAIN: nothing to read now, or the host's end was met, which is in c->todo
 */
static long conn_send_bytes(struct vsock *v, struct vsock_conn *c)
{
	long r = conn_read(v, c);

	if (r > 0) {
		c->sent += (uint32_t)r;
		return r;
	}
	if (r != 0 && r != -EAGAIN)
		c->gone = true;
	c->readable = false;
	if (r != -EAGAIN)
		conn_tell_shut(v, c, c->gone ? VSOCK_SHUT_BOTH : VIRTIO_VSOCK_SHUTDOWN_SEND);
	return -EAGAIN;
}

/* todo_take() - the most pressing packet that is not bytes, or 0. */
static unsigned todo_take(struct vsock_conn *c, bool before_bytes)
{
	static const uint8_t first[] = { VIRTIO_VSOCK_OP_RST, VIRTIO_VSOCK_OP_REQUEST,
					 VIRTIO_VSOCK_OP_RESPONSE };
	static const uint8_t after[] = { VIRTIO_VSOCK_OP_SHUTDOWN, VIRTIO_VSOCK_OP_CREDIT_UPDATE,
					 VIRTIO_VSOCK_OP_CREDIT_REQUEST };
	const uint8_t *list = before_bytes ? first : after;

	for (unsigned i = 0; i < ARRAY_SIZE(first); i++)
		if (c->todo & (1U << list[i])) {
			c->todo &= (uint8_t) ~(1U << list[i]);
			return list[i];
		}
	return 0;
}
static_assert(VIRTIO_VSOCK_OP_CREDIT_REQUEST < 8, "a packet's number is a bit of the byte todo");

static void conn_over_for_guest(struct vsock *v, struct vsock_conn *c);

long vsock__conn_send(struct vsock *v, struct vsock_conn *c, struct virtio_vsock_hdr *h)
{
	unsigned op = todo_take(c, true);
	long len = 0;

	if (!op && may_read(c) && peer_credit(c) > 0) {
		len = conn_send_bytes(v, c);
		if (len > 0)
			op = VIRTIO_VSOCK_OP_RW;
		else
			len = 0;
	}
	if (!op)
		op = todo_take(c, false);
	if (!op)
		return -EAGAIN;
	c->todo &= (uint8_t) ~(1U << VIRTIO_VSOCK_OP_CREDIT_UPDATE); /* every header tells our credit */
	c->fwd_told = c->fwd_cnt;
	*h = (struct virtio_vsock_hdr){
		.src_port = htole32(c->local_port),
		.dst_port = htole32(c->peer_port),
		.len = htole32((uint32_t)len),
		.op = htole16((uint16_t)op),
		.flags = htole32(op == VIRTIO_VSOCK_OP_SHUTDOWN ? c->host_shut : 0),
		.buf_alloc = htole32(c->window),
		.fwd_cnt = htole32(c->fwd_cnt),
	};
	if (op == VIRTIO_VSOCK_OP_RST)
		conn_over_for_guest(v, c);
	return len;
}

/* --- guest to host --------------------------------------------------------------------------------------- */

static long host_write(const struct vsock_conn *c, struct iovec *iov, size_t n)
{
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = n };
	long r;

	do {
		r = SYS3(SYS_sendmsg, c->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (r == -EINTR);
	return r;
}

static void conn_tell_credit(struct vsock *v, struct vsock_conn *c)
{
	uint32_t seen = c->window - (c->received - c->fwd_told); /* what the guest thinks is free */

	if (seen < c->window / 2 && c->fwd_told != c->fwd_cnt)
		conn_todo(v, c, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
}

static void conn_gone(struct vsock *v, struct vsock_conn *c)
{
	c->gone = true;
	c->fwd_cnt += c->buf_len;
	buffer_drop(c);
	if (c->state == VSOCK_OPEN)
		conn_tell_shut(v, c, VIRTIO_VSOCK_SHUTDOWN_RCV);
	else
		fd_close(&c->fd);
}

/* conn_drained() - the buffer is empty: what waited for that. */
static void conn_drained(struct vsock *v, struct vsock_conn *c)
{
	if (c->state == VSOCK_DRAINING) {
		vsock__conn_free(v, c);
	} else if (c->state == VSOCK_RESETTING) {
		fd_close(&c->fd); /* the host need not wait until the guest takes the RST */
	} else if ((c->guest_shut & VIRTIO_VSOCK_SHUTDOWN_SEND) && !c->wr_closed) {
		c->wr_closed = true;
		SYS2(SYS_shutdown, c->fd, SHUT_WR);
	}
}

static void conn_flush(struct vsock *v, struct vsock_conn *c)
{
	while (c->buf_len > 0) {
		uint32_t to_end = c->window - c->buf_at;
		uint32_t first = c->buf_len < to_end ? c->buf_len : to_end;
		struct iovec iov[2] = { { c->buf + c->buf_at, first }, { c->buf, c->buf_len - first } };
		long r = host_write(c, iov, 2);

		if (r == -EAGAIN)
			break;
		if (r < 0) {
			vsock__conn_event(v, c, VSOCK_H_GONE, NULL);
			return;
		}
		c->buf_at = (uint32_t)((c->buf_at + (size_t)r) % c->window);
		c->buf_len -= (uint32_t)r;
		c->fwd_cnt += (uint32_t)r;
		if (c->state == VSOCK_DRAINING)
			conn_deadline(v, c, VSOCK_DRAIN_NS);
	}
	if (c->state == VSOCK_OPEN)
		conn_tell_credit(v, c);
	if (c->buf_len == 0) {
		vsock__host_watch_out(v, c, false);
		conn_drained(v, c);
	}
}

/* buffer_put() - behind what is there; the credit was checked, so there is room. Return: 0; -ENOMEM. */
static int buffer_put(struct vsock_conn *c, const uint8_t *src, uint32_t len)
{
	uint32_t at = (c->buf_at + c->buf_len) % c->window;
	uint32_t first = len < c->window - at ? len : c->window - at;

	BUG_ON(len > c->window - c->buf_len);
	if (!c->buf)
		c->buf = malloc(c->window);
	if (!c->buf)
		return -ENOMEM;
	memcpy(c->buf + at, src, first);
	memcpy(c->buf, src + first, len - first);
	c->buf_len += len;
	return 0;
}

/* data_pass() - some of a packet's bytes to the host, the rest into the buffer. Return: 0; -errno: no way on. */
static int data_pass(struct vsock_conn *c, struct iovec *iov, unsigned n)
{
	long sent = c->buf_len > 0 ? 0 : host_write(c, iov, n);
	int r = 0;

	if (sent == -EAGAIN)
		sent = 0;
	if (sent < 0)
		return (int)sent;
	c->fwd_cnt += (uint32_t)sent;
	for (unsigned i = 0; i < n && r == 0; i++) {
		size_t skip = (size_t)sent < iov[i].iov_len ? (size_t)sent : iov[i].iov_len;

		sent -= (long)skip;
		if (skip < iov[i].iov_len)
			r = buffer_put(c, (uint8_t *)iov[i].iov_base + skip,
				       (uint32_t)(iov[i].iov_len - skip));
	}
	return r;
}

static void conn_reset(struct vsock *v, struct vsock_conn *c)
{
	buffer_drop(c);
	fd_close(&c->fd);
	c->state = VSOCK_RESETTING;
	c->deadline = 0;
	c->todo = 0;
	conn_todo(v, c, VIRTIO_VSOCK_OP_RST);
}

/* conn_data() - the payload of v->chain, whose length was checked against the chain. */
static void conn_data(struct vsock *v, struct vsock_conn *c, uint32_t len)
{
	struct iovec iov[IOV_MAX_AT_ONCE];
	uint32_t held = c->received - c->fwd_cnt;
	size_t got;
	int r = 0;

	if ((c->guest_shut & VIRTIO_VSOCK_SHUTDOWN_SEND) || len > c->window - held) {
		v->n_nonsense++;
		conn_reset(v, c);
		return;
	}
	c->received += len;
	for (uint32_t left = len; left > 0 && r == 0 && !c->gone; left -= (uint32_t)got) {
		unsigned n = vq_read_iov(&v->chain, iov, ARRAY_SIZE(iov), left, &got);

		if (n == 0)
			break;
		r = data_pass(c, iov, n);
	}
	if (r == -ENOMEM) {
		conn_reset(v, c);
		return;
	}
	if (r < 0)
		conn_gone(v, c);
	if (c->buf_len > 0)
		vsock__host_watch_out(v, c, true);
	if (c->gone)
		c->fwd_cnt = c->received; /* thrown away, but the guest's credit comes back */
	conn_tell_credit(v, c);
}

/* --- the actions ----------------------------------------------------------------------------------------- */

/* conn_over_for_guest() - no packet passes any more; bytes that it sent before still go to the host. */
static void conn_over_for_guest(struct vsock *v, struct vsock_conn *c)
{
	conn_unname(v, c);
	if (c->buf_len == 0) {
		vsock__conn_free(v, c);
		return;
	}
	c->state = VSOCK_DRAINING;
	c->todo = 0;
	conn_deadline(v, c, VSOCK_DRAIN_NS);
}

static void conn_shut(struct vsock *v, struct vsock_conn *c, uint32_t flags)
{
	c->guest_shut |= (uint8_t)(flags & VSOCK_SHUT_BOTH);
	if (c->guest_shut == VSOCK_SHUT_BOTH) { /* a clean end is answered by RST (§5.10.6.5) */
		c->state = VSOCK_RESETTING;
		c->todo = 0;
		conn_todo(v, c, VIRTIO_VSOCK_OP_RST);
	} else if (c->guest_shut & VIRTIO_VSOCK_SHUTDOWN_RCV) {
		SYS2(SYS_shutdown, c->fd, SHUT_RD);
	}
	if (c->buf_len == 0)
		conn_drained(v, c);
}

static void conn_greet(struct vsock *v, struct vsock_conn *c)
{
	uint32_t port;
	int r = vsock__host_greet(c, &port);

	if (r == 0)
		return;
	if (r < 0) {
		vsock__conn_free(v, c);
		return;
	}
	do { /* at most VSOCK_CONNS_MAX are taken */
		v->next_port = VSOCK_PORT_FIRST | ((v->next_port + 1) & (VSOCK_PORT_FIRST - 1));
	} while (vsock__conn_find(v, v->next_port, port));
	vsock__conn_name(v, c, v->next_port, port);
	c->state = VSOCK_REQUESTED;
	c->readable = true;
	conn_deadline(v, c, VSOCK_REQUEST_NS);
	conn_todo(v, c, VIRTIO_VSOCK_OP_REQUEST);
}

static void conn_accept(struct vsock *v, struct vsock_conn *c)
{
	char line[OK_LINE_MAX];
	size_t n = str_format(line, sizeof(line), "OK %u\n", c->local_port);
	struct iovec iov = { line, n };

	/* an empty socket takes a line whole; if this one does not, nobody is there */
	if (host_write(c, &iov, 1) != (long)n) {
		conn_reset(v, c);
		return;
	}
	c->state = VSOCK_OPEN;
	c->deadline = 0;
	c->readable = true;
	vsock__conn_ready(v, c);
}

void vsock__conn_event(struct vsock *v, struct vsock_conn *c, enum vsock_event ev,
		       const struct virtio_vsock_hdr *h)
{
	enum action todo;

	BUG_ON(c->state >= VSOCK_STATE_COUNT || ev >= VSOCK_EVENT_COUNT);
	if (h) {
		if (c->peer_alloc != h->buf_alloc || c->peer_fwd != h->fwd_cnt)
			c->asked_credit = false;
		c->peer_alloc = h->buf_alloc;
		c->peer_fwd = h->fwd_cnt;
	}
	if (ev == VSOCK_H_READABLE)
		c->readable = true;
	todo = (enum action)act[c->state][ev];
	BUG_ON(!h && (todo == A_DATA || todo == A_SHUT)); /* only packets have these */
	switch (todo) {
	case A_RESET: conn_reset(v, c); break;
	case A_FREE: vsock__conn_free(v, c); break;
	case A_GREET: conn_greet(v, c); break;
	case A_ACCEPT: conn_accept(v, c); break;
	case A_DATA: conn_data(v, c, h->len); break;
	case A_SHUT: conn_shut(v, c, h->flags); break;
	case A_DRAIN: conn_over_for_guest(v, c); break;
	case A_TELL: conn_todo(v, c, VIRTIO_VSOCK_OP_CREDIT_UPDATE); break;
	case A_FLUSH: conn_flush(v, c); break;
	case A_GONE: conn_gone(v, c); break;
	case A_READ:
	case A_NONE:
	case A_COUNT: break;
	}
	if (c->state == VSOCK_OPEN)
		vsock__conn_ready(v, c); /* bytes or credit may have come */
}

void vsock__conn_tick(struct vsock *v, nsec_t now)
{
	for (unsigned i = 0; i < VSOCK_CONNS_MAX; i++) {
		struct vsock_conn *c = &v->conn[i];

		if (c->deadline == 0)
			continue;
		if (c->deadline <= now)
			vsock__conn_event(v, c, VSOCK_TIMEOUT, NULL);
		else
			vsock__host_timer(v);
	}
}
