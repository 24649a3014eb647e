/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * Three queues. TX: each packet's header is copied once and checked here; the rest is the connection's state machine
 * (vsock_conn.c). RX: refusals that belong to no connection first, then connections in turn, a packet each. EVENT: one
 * buffer when the guest must forget its connections.
 *
 * The guest is told not to kick RX while its buffers suffice, nor TX while we are at it. When more refusals wait than
 * VSOCK_RSTS_MAX, the TX queue stands still until the guest makes room in RX, as §5.10.6.1.2 allows; nothing is ever
 * queued without a bound.
 *
 * Everything runs under the device's lock: serve() in the loop's thread, host events (on_host()) there too, reset() in a
 * processor's.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "fmt/record.h"
#include "virtio/vsock_internal.h"

#define VSOCK_F_STREAM (1ULL << 0)

enum { VSOCK_RECORD_VERSION = 1, HDR = sizeof(struct virtio_vsock_hdr) };

static struct vsock *vsock_of(struct vdev *d)
{
	return (struct vsock *)d;
}
static_assert(offsetof(struct vsock, d) == 0, "the generic part comes first");

void vsock__refuse(struct vsock *v, uint32_t local_port, uint32_t peer_port)
{
	BUG_ON(v->rst_len >= VSOCK_RSTS_MAX);
	v->rst[(v->rst_at + v->rst_len++) % VSOCK_RSTS_MAX] = (struct virtio_vsock_hdr){
		.src_port = htole32(local_port),
		.dst_port = htole32(peer_port),
		.op = htole16(VIRTIO_VSOCK_OP_RST),
	};
}

/* --- from the guest -------------------------------------------------------------------------------------- */

static void guest_connect(struct vsock *v, const struct virtio_vsock_hdr *h)
{
	int fd = vsock__host_connect(v, h->dst_port);
	struct vsock_conn *c = NULL;

	if (fd >= 0)
		c = vsock__conn_new(v, fd, VSOCK_OPEN);
	if (c && vsock__host_watch(v, c) < 0) {
		vsock__conn_free(v, c);
		c = NULL;
	}
	if (!c) {
		v->n_refused++;
		vsock__refuse(v, h->dst_port, h->src_port);
		return;
	}
	vsock__conn_name(v, c, h->dst_port, h->src_port);
	c->peer_alloc = h->buf_alloc;
	c->peer_fwd = h->fwd_cnt;
	c->todo = 1 << VIRTIO_VSOCK_OP_RESPONSE;
	vsock__conn_ready(v, c);
}

/* packet_sane() - may it reach a connection at all? */
static bool packet_sane(const struct vsock *v, const struct virtio_vsock_hdr *h)
{
	return h->type == VIRTIO_VSOCK_TYPE_STREAM && h->op >= VIRTIO_VSOCK_OP_REQUEST &&
	       h->op <= VIRTIO_VSOCK_OP_CREDIT_REQUEST &&
	       (h->op != VIRTIO_VSOCK_OP_RW || (h->len <= VSOCK_PKT_MAX && h->len <= v->chain.in_left));
}

static_assert(VSOCK_G_REQUEST == VIRTIO_VSOCK_OP_REQUEST - 1 &&
		      VSOCK_G_CREDIT_REQUEST == VIRTIO_VSOCK_OP_CREDIT_REQUEST - 1,
	      "a packet's number less one is its event");

/* packet_serve() - @h: in host order, addressed right */
static void packet_serve(struct vsock *v, const struct virtio_vsock_hdr *h)
{
	struct vsock_conn *c = vsock__conn_find(v, h->dst_port, h->src_port);

	if (!packet_sane(v, h)) {
		v->n_nonsense++;
		/* as if an answer came to nothing that we asked: every state resets on one of these */
		if (c)
			vsock__conn_event(v, c, VSOCK_G_REQUEST, NULL);
		else if (h->op != VIRTIO_VSOCK_OP_RST)
			vsock__refuse(v, h->dst_port, h->src_port);
	} else if (c) {
		vsock__conn_event(v, c, (enum vsock_event)(h->op - 1), h);
	} else if (h->op == VIRTIO_VSOCK_OP_REQUEST) {
		guest_connect(v, h);
	} else if (h->op != VIRTIO_VSOCK_OP_RST) { /* never RST for RST: two ends could go on for ever */
		vsock__refuse(v, h->dst_port, h->src_port);
	}
}

/* packet_read() - Return: true with @h in host order when it goes from this guest to the host. */
static bool packet_read(struct vsock *v, struct virtio_vsock_hdr *h)
{
	if (vq_read(&v->chain, h, sizeof(*h)) < 0)
		return false;
	h->src_cid = le64toh(h->src_cid);
	h->dst_cid = le64toh(h->dst_cid);
	h->src_port = le32toh(h->src_port);
	h->dst_port = le32toh(h->dst_port);
	h->len = le32toh(h->len);
	h->type = le16toh(h->type);
	h->op = le16toh(h->op);
	h->flags = le32toh(h->flags);
	h->buf_alloc = le32toh(h->buf_alloc);
	h->fwd_cnt = le32toh(h->fwd_cnt);
	return h->src_cid == v->cid && h->dst_cid == VSOCK_CID_HOST;
}

/*
 * tx_serve() - the guest's packets
 * @budget: packets left before others get their turn
 * Return: 0 none waits; 1 some may wait; -EPROTO
 */
static int tx_serve(struct vsock *v, int *budget)
{
	struct vq *q = &v->d.vq[VSOCK_TX];
	int done = 0, r = 0;

	vq_quiet(q);
	do {
		/* a packet causes one refusal, and evicts one connection, at most */
		while (*budget > 0 && v->rst_len + 2 <= VSOCK_RSTS_MAX && (r = vq_pop(q, &v->chain)) > 0) {
			struct virtio_vsock_hdr h;

			if (packet_read(v, &h))
				packet_serve(v, &h);
			else
				v->n_nonsense++;
			r = vq_push(q, &v->chain);
			if (r < 0)
				break;
			done++;
			--*budget;
		}
		if (r < 0 || *budget <= 0 || v->rst_len + 2 > VSOCK_RSTS_MAX) {
			r = r < 0 ? r : 1;
			break;
		}
	} while (vq_wake(q));
	if (done > 0)
		vdev_notify(&v->d, VSOCK_TX);
	return r;
}

/* --- to the guest ---------------------------------------------------------------------------------------- */

/* rx_next() - whose turn it is; NULL: a refusal's. False: nobody's. */
static bool rx_next(struct vsock *v, struct vsock_conn **ret_c)
{
	*ret_c = NULL;
	if (v->rst_len > 0)
		return true;
	if (v->ready_first == VSOCK_NONE)
		return false;
	*ret_c = &v->conn[v->ready_first];
	return true;
}

static void rx_turn_over(struct vsock *v, struct vsock_conn *c)
{
	v->ready_first = c->ready_next;
	if (v->ready_first == VSOCK_NONE)
		v->ready_last = VSOCK_NONE;
	c->in_ready = false;
	vsock__conn_ready(v, c);
}

/* hdr_put() - into the place kept for it, which the guest's buffer may have cut in pieces. */
static void hdr_put(const struct virtio_vsock_hdr *h, const struct iovec *iov, unsigned n)
{
	const char *src = (const char *)h;

	for (unsigned i = 0; i < n; i++) {
		memcpy(iov[i].iov_base, src, iov[i].iov_len);
		src += iov[i].iov_len;
	}
}

/* rx_packet() - one packet of @c, or a refusal, into v->chain. Return: 0; -EAGAIN nothing was to be said after all. */
static int rx_packet(struct vsock *v, struct vsock_conn *c)
{
	struct iovec place[HDR];
	struct virtio_vsock_hdr h;
	uint32_t before = v->chain.written;
	size_t room;
	unsigned n = vq_write_iov(&v->chain, place, HDR, HDR, &room);
	long len = 0;

	if (room < HDR) { /* a buffer without room for a header: back with it, empty */
		v->n_nonsense++;
		v->chain.written = before;
		return 0;
	}
	if (c) {
		len = vsock__conn_send(v, c, &h);
		rx_turn_over(v, c);
		if (len < 0)
			return (int)len;
	} else {
		h = v->rst[v->rst_at];
		v->rst_at = (v->rst_at + 1) % VSOCK_RSTS_MAX;
		v->rst_len--;
	}
	h.src_cid = htole64(VSOCK_CID_HOST);
	h.dst_cid = htole64(v->cid);
	h.type = htole16(VIRTIO_VSOCK_TYPE_STREAM);
	hdr_put(&h, place, n);
	v->chain.written =
		before + HDR + (uint32_t)len; /* the cursor ran over all that a read might have filled */
	return 0;
}

/* rx_serve() - Return: 0 nothing to say, or no room: the guest will kick; 1 the budget is spent; -EPROTO. */
static int rx_serve(struct vsock *v, int *budget)
{
	struct vq *q = &v->d.vq[VSOCK_RX];
	struct vsock_conn *c;
	int done = 0, r = 0;

	while (rx_next(v, &c) && *budget > 0) {
		r = vq_pop(q, &v->chain);
		if (r < 0)
			break;
		if (r == 0) { /* no room: now a kick is wanted */
			if (vq_wake(q))
				continue;
			break;
		}
		if (rx_packet(v, c) < 0) {
			vq_undo(q, &v->chain);
			continue;
		}
		r = vq_push(q, &v->chain);
		if (r < 0)
			break;
		done++;
		--*budget;
	}
	if (r >= 0 && !rx_next(v, &c))
		vq_quiet(q);
	if (done > 0)
		vdev_notify(&v->d, VSOCK_RX);
	return r < 0 ? r : *budget <= 0;
}

static int event_serve(struct vsock *v)
{
	struct virtio_vsock_event event = { .id = htole32(VIRTIO_VSOCK_EVENT_TRANSPORT_RESET) };
	struct vq *q = &v->d.vq[VSOCK_EVENT];
	int r;

	if (!v->reset_event) {
		vq_quiet(q);
		return 0;
	}
	do {
		r = vq_pop(q, &v->chain);
	} while (r == 0 && vq_wake(q));
	if (r <= 0)
		return r;
	if (vq_write(q, &v->chain, &event, sizeof(event)) == 0)
		v->reset_event = false;
	r = vq_push(q, &v->chain);
	vdev_notify(&v->d, VSOCK_EVENT);
	return r;
}

/* --- the device ------------------------------------------------------------------------------------------ */

/* serve_all() - both directions until neither has work, or others must have their turn. Return: 0; -EPROTO. */
static int serve_all(struct vsock *v)
{
	int budget = VSOCK_BATCH, tx, rx;

	do {
		unsigned stuck = v->rst_len;

		tx = tx_serve(v, &budget);
		rx = tx < 0 ? tx : rx_serve(v, &budget);
		if (tx < 0 || rx < 0)
			return -EPROTO;
		if (tx == 1 && budget > 0 && v->rst_len >= stuck && stuck + 2 > VSOCK_RSTS_MAX)
			return 0; /* refusals wait for room in RX: its kick brings us back */
	} while (tx == 1 && budget > 0);
	if (budget <= 0)
		vdev_kick(&v->d, VSOCK_TX);
	return 0;
}

static int vsock_serve(struct vdev *d, unsigned i)
{
	struct vsock *v = vsock_of(d);

	return i == VSOCK_EVENT ? event_serve(v) : serve_all(v);
}

/* on_host() - the loop: something of the device's own epoll instance is ready. */
static void on_host(void *arg, uint32_t events)
{
	struct vsock *v = arg;

	(void)events;
	pthread_mutex_lock(&v->d.lock);
	if (!v->d.paused) {
		vsock__host_serve(v);
		if (vdev_is_active(&v->d) && serve_all(v) < 0)
			vdev_broken(&v->d);
	}
	pthread_mutex_unlock(&v->d.lock);
}

static void vsock_config_read(struct vdev *d, unsigned off, void *dst, unsigned len)
{
	struct virtio_vsock_config config = { .guest_cid = htole64(vsock_of(d)->cid) };

	memset(dst, 0, len);
	if (off < sizeof(config))
		memcpy(dst, (const char *)&config + off,
		       len < sizeof(config) - off ? len : sizeof(config) - off);
}

static int vsock_activate(struct vdev *d)
{
	return vsock__host_listen(vsock_of(d), true);
}

static void vsock_forget(struct vsock *v)
{
	vsock__conns_drop(v);
	v->rst_at = v->rst_len = 0;
	v->reset_event = false;
}

static void vsock_reset(struct vdev *d)
{
	vsock__host_listen(vsock_of(d), false);
	vsock_forget(vsock_of(d));
}

/* The source is level-triggered: while nobody serves it, it must not be asked for. */
static void vsock_pause(struct vdev *d)
{
	loop_want(d->loop, &vsock_of(d)->source, 0);
}

static void vsock_resume(struct vdev *d)
{
	loop_want(d->loop, &vsock_of(d)->source, EPOLLIN);
}

/* vsock_save() - ends the connections here as well: whichever of the two machines runs on, its peers are gone. */
static void vsock_save(struct vdev *d, struct record_out *o)
{
	struct vsock *v = vsock_of(d);

	vsock_forget(v);
	v->reset_event = vdev_is_active(d);
	record_begin(o, "VSOCK", VSOCK_RECORD_VERSION);
	record_put_u64(o, v->cid);
	record_put_u8(o, v->reset_event);
	record_end(o);
}

static void vsock_restore(struct vdev *d, struct record_in *in)
{
	struct vsock *v = vsock_of(d);
	uint8_t event;

	if (!record_open(in, "VSOCK", VSOCK_RECORD_VERSION))
		return;
	if (record_get_u64(in) != v->cid)
		record_fail(in, "the saved CID is not the configured one");
	event = record_get_u8(in);
	if (event > 1)
		record_fail(in, "event %u", event);
	v->reset_event = event == 1;
	record_close(in);
	vsock_pause(d); /* resume() is to come */
}

static void vsock_free(struct vdev *d)
{
	struct vsock *v = vsock_of(d);

	if (v->d.loop)
		loop_remove(v->d.loop, &v->source);
	if (v->conn)
		vsock__conns_drop(v);
	vsock__host_fini(v);
	free(v->conn);
	vdev_fini(&v->d);
	free(v);
}

static const struct vdev_ops vsock_ops = {
	.name = "vsock",
	.id = VDEV_VSOCK,
	.config_read = vsock_config_read,
	.activate = vsock_activate,
	.serve = vsock_serve,
	.reset = vsock_reset,
	.pause = vsock_pause,
	.resume = vsock_resume,
	.save = vsock_save,
	.restore = vsock_restore,
	.free = vsock_free,
};

static int config_check(const struct vsock_config *c, struct err *e)
{
	if (c->cid < VSOCK_CID_MIN || c->cid >= UINT32_MAX)
		return err_set(e, EINVAL, "vsock: guest CID %llu, want %u to %u", (unsigned long long)c->cid,
			       VSOCK_CID_MIN, UINT32_MAX - 1);
	if (!*c->name || strchr(c->name, '/') || strlen(c->name) > VSOCK_NAME_MAX)
		return err_set(e, EINVAL, "vsock: socket name '%s', want 1 to %u bytes without '/'", c->name,
			       VSOCK_NAME_MAX);
	return 0;
}

static int vsock_make(struct vsock *v, const struct vsock_config *c, const struct gmem *mem,
		      struct loop *loop, struct err *e)
{
	int r = vdev_init(&v->d, &vsock_ops, "vsock", mem, loop, VSOCK_F_STREAM, VSOCK_QUEUES, e);

	if (r < 0)
		return r;
	v->conn = calloc(VSOCK_CONNS_MAX, sizeof(*v->conn));
	if (!v->conn)
		return err_sys(e, ENOMEM, "vsock");
	vsock__conns_init(v);
	r = vsock__host_init(v, c, e);
	if (r < 0)
		return r;
	v->source = (struct loop_source){ .fd = -1, .ready = on_host, .arg = v };
	r = loop_add(loop, &v->source, v->epfd, EPOLLIN);
	return r < 0 ? err_sys(e, -r, "vsock: socket '%s'", c->name) : 0;
}

int vsock_new(struct vdev **ret_d, const struct vsock_config *c, const struct gmem *mem, struct loop *loop,
	      struct err *e)
{
	struct vsock *v;
	int r = config_check(c, e);

	if (r < 0)
		return r;
	v = calloc(1, sizeof(*v));
	if (!v)
		return err_sys(e, ENOMEM, "vsock");
	v->cid = c->cid;
	v->dirfd = v->listen_fd = v->epfd = v->timer_fd = v->source.fd = -1;
	str_copy(v->name, sizeof(v->name), c->name);
	r = vsock_make(v, c, mem, loop, e);
	if (r < 0) {
		vsock_free(&v->d);
		return r;
	}
	*ret_d = &v->d;
	return 0;
}
