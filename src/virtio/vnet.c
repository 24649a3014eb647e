/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vnet.c - a network card: queues on one side, a link on the other
 *
 * Theory of operation. Frames are moved, not looked into: the header in front of each is the guest's word to the link and the
 * link's to the guest, and each checks what the other wrote.
 *
 * To the guest. Chains are popped into a pool, and the link reads straight into them. With MRG_RXBUF a frame may take several
 * chains: while long frames come, the pool holds as many as the longest can take; a long frame that comes unexpected ends up in
 * @held behind what fitted, and is copied. Chains of one frame are given back all at once. What is left of the pool goes back to
 * the ring when the turn ends, so nothing is in flight between turns. A frame that finds no buffers, or that the limiter stops,
 * waits in @held, and all others in the link behind it.
 *
 * From the guest. Chains go to the link as they are. A frame for the metadata service is answered here. When the link is full, or
 * the limiter says no, the chain goes back to the ring until ready() or the timer.
 *
 * Kicks. The device asks for kicks on the receive queue only while it lacks buffers, and on the transmit queue only while it
 * has nothing to do. A turn moves at most BUDGET frames; then the others on the loop have theirs.
 *
 * Spec: virtio 1.2 §5.1
 */
#include "virtio/vnet.h"

#include <endian.h>
#include <errno.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "fmt/record.h"
#include "io/loop.h"
#include "net/link.h"
#include "net/mmds.h"
#include "virtio/vdev.h"

enum { RX, TX, CTRL, QUEUES };

enum {
	BUDGET = 256,
	POOL_MAX = 64, /* chains of a frame; at least 1 KiB each for the longest */
	POOL_SEGS_MAX = LINK_IOV_MAX - 1,
	CTRL_DATA_MAX = 8,
	VNET_RECORD_VERSION = 1,
};

#define BIT(n) (1ULL << (n))

/* The same offload as the link calls it, as the guest takes it, and as the device does. */
static const struct offload {
	unsigned tun_f;
	uint8_t guest, host;
} offloads[] = {
	{ TUN_F_CSUM, VIRTIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_CSUM },
	{ TUN_F_TSO4, VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_HOST_TSO4 },
	{ TUN_F_TSO6, VIRTIO_NET_F_GUEST_TSO6, VIRTIO_NET_F_HOST_TSO6 },
	{ TUN_F_TSO_ECN, VIRTIO_NET_F_GUEST_ECN, VIRTIO_NET_F_HOST_ECN },
	{ TUN_F_UFO, VIRTIO_NET_F_GUEST_UFO, VIRTIO_NET_F_HOST_UFO },
};
enum { N_OFFLOADS = sizeof(offloads) / sizeof(offloads[0]) };

struct pooled { /* a chain popped, not given back yet */
	uint16_t head, n_ring;
	uint16_t n_segs;
	uint32_t bytes;
};

struct vnet {
	struct vdev d;
	struct link *link;     /* owned */
	struct mmds_net *mmds; /* owned; NULL: none */
	uint8_t mac[6];
	uint16_t mtu;
	unsigned tun_f; /* what the guest takes now */
	struct limiter rx, tx;
	struct loop_timer rx_timer, tx_timer;
	bool expect_long; /* the last frame did not fit into one chain */
	bool tx_stalled;  /* the link was full: ready() goes on */
	bool mmds_asked;  /* the metadata service took a frame: it may have an answer */
	size_t held_len;  /* bytes of a frame in @held that waits; 0: none */
	struct vnet_counts n;

	struct pooled pool[POOL_MAX]; /* in ring order */
	unsigned n_pool, n_segs;
	size_t pool_bytes;
	struct iovec seg[POOL_SEGS_MAX + 1]; /* of all in the pool; one more for @held */
	gpa_t seg_gpa[POOL_SEGS_MAX];
	struct vq_chain chain; /* the one being looked at; too large for the stack */
	uint8_t held[LINK_FRAME_MAX];
};

static struct vnet *vnet_of(struct vdev *d)
{
	return (struct vnet *)d;
}

/* --- to the guest ------------------------------------------------------------------------------------------- */

static bool mergeable(const struct vnet *v)
{
	return vdev_has(&v->d, BIT(VIRTIO_NET_F_MRG_RXBUF));
}

/* pool_add() - one more chain. Return: 1; 0 none waits, or no more fit; -EPROTO. */
static int pool_add(struct vnet *v)
{
	struct vq *q = &v->d.vq[RX];
	struct vq_chain *c = &v->chain;
	int r;

	if (v->n_pool == POOL_MAX || v->n_segs == POOL_SEGS_MAX)
		return 0;
	while ((r = vq_pop(q, c)) > 0) {
		if (c->n_in == 0 && c->out_left >= LINK_HDR_BYTES + LINK_ETH_BYTES &&
		    c->n_out <= POOL_SEGS_MAX)
			break;
		if (v->n_pool > 0) { /* its turn comes when those before it are gone */
			vq_undo(q, c);
			return 0;
		}
		v->n.rx_bad++; /* nothing can be put there: given back empty */
		r = vq_push(q, c);
		if (r < 0)
			return r;
	}
	if (r <= 0)
		return r;
	if (v->n_segs + c->n_out > POOL_SEGS_MAX) {
		vq_undo(q, c);
		return 0;
	}
	memcpy(v->seg + v->n_segs, c->iov, c->n_out * sizeof(*c->iov));
	memcpy(v->seg_gpa + v->n_segs, c->gpa, c->n_out * sizeof(*c->gpa));
	v->pool[v->n_pool++] = (struct pooled){ c->head, c->n_ring, c->n_out, c->out_left };
	v->n_segs += c->n_out;
	v->pool_bytes += c->out_left;
	return 1;
}

/* pool_fill() - until a frame of @len bytes fits. Return: 1 it does, 0 it does not, -EPROTO. */
static int pool_fill(struct vnet *v, size_t len)
{
	int r = 1;

	while (v->n_pool == 0 || (mergeable(v) && v->pool_bytes < len)) {
		r = pool_add(v);
		if (r <= 0)
			return r;
	}
	return 1;
}

/* pool_undo() - what was not used back to the ring, the last first. */
static void pool_undo(struct vnet *v)
{
	while (v->n_pool > 0) {
		v->chain.n_ring = v->pool[--v->n_pool].n_ring;
		vq_undo(&v->d.vq[RX], &v->chain);
	}
	v->n_segs = 0;
	v->pool_bytes = 0;
}

static void mark(struct vnet *v, size_t len)
{
	for (unsigned i = 0; i < v->n_segs && len > 0; i++) {
		size_t here = v->seg[i].iov_len < len ? v->seg[i].iov_len : len;

		gmem_mark(v->d.mem, v->seg_gpa[i], here);
		len -= here;
	}
}

/* give() - the first chains of the pool, with a frame of @len bytes in them, to the guest. Return: 0; -EPROTO. */
static int give(struct vnet *v, size_t len)
{
	struct vq_done done[POOL_MAX];
	unsigned n = 0, segs = 0;
	size_t left = len;
	uint8_t count[2];
	int r;

	while (left > 0) {
		const struct pooled *p = &v->pool[n];
		size_t here = p->bytes < left ? p->bytes : left;

		done[n++] = (struct vq_done){ p->head, p->n_ring, (uint32_t)here };
		segs += p->n_segs;
		v->pool_bytes -= p->bytes;
		left -= here;
	}
	/* Spec: virtio 1.2 §5.1.6.4: num_buffers, 1 when that was not negotiated */
	count[0] = (uint8_t)n;
	count[1] = 0;
	link_iov_fill(v->seg, v->n_segs, 10, count, sizeof(count));
	mark(v, len);
	r = vq_push_all(&v->d.vq[RX], done, n);
	v->expect_long = n > 1;
	v->n_pool -= n;
	v->n_segs -= segs;
	memmove(v->pool, v->pool + n, v->n_pool * sizeof(*v->pool));
	memmove(v->seg, v->seg + segs, v->n_segs * sizeof(*v->seg));
	memmove(v->seg_gpa, v->seg_gpa + segs, v->n_segs * sizeof(*v->seg_gpa));
	v->n.rx_frames++;
	v->n.rx_bytes += len;
	return r;
}

/* pull() - a frame from whoever has one. */
static long pull(struct vnet *v, const struct iovec *iov, unsigned n)
{
	long r = v->mmds ? mmds_net_recv(v->mmds, iov, n) : -EAGAIN;

	return r == -EAGAIN ? link_recv(v->link, iov, n) : r;
}

/* The outcome of moving one frame; negative is -errno. */
enum step { STEP_DONE = 1, STEP_IDLE, STEP_NO_BUFFERS, STEP_LIMITED };

/* give_held() - the frame in @held, which the limiter has let through. */
static int give_held(struct vnet *v)
{
	size_t len = v->held_len;
	int r = pool_fill(v, len);

	if (r < 0)
		return r;
	if (r == 0)
		return STEP_NO_BUFFERS;
	v->held_len = 0;
	if (len > v->pool_bytes || (!mergeable(v) && len > v->pool[0].bytes)) {
		v->n.rx_bad++; /* the driver's buffers are too small for what it said it takes */
		return STEP_DONE;
	}
	link_iov_fill(v->seg, v->n_segs, 0, v->held, len);
	r = give(v, len);
	return r < 0 ? r : STEP_DONE;
}

/* rx_limited() - through @held, as what the limiter says depends on the frame. */
static int rx_limited(struct vnet *v)
{
	struct iovec own = { v->held, sizeof(v->held) };
	nsec_t now = time_now_ns(CLOCK_MONOTONIC);
	long r;

	if (v->held_len == 0) {
		r = pull(v, &own, 1);
		if (r < 0)
			return r == -EAGAIN ? STEP_IDLE : STEP_DONE;
		v->held_len = (size_t)r;
	}
	if (!limiter_take(&v->rx, v->held_len, now)) {
		v->n.rx_limited++;
		loop_timer_set(v->d.loop, &v->rx_timer, limiter_wait(&v->rx, now));
		return STEP_LIMITED;
	}
	r = give_held(v);
	if (r == STEP_NO_BUFFERS)
		limiter_give_back(&v->rx, v->held_len);
	return (int)r;
}

/* rx_direct() - from the link into the guest's memory. */
static int rx_direct(struct vnet *v)
{
	unsigned n;
	size_t room;
	long r = pool_fill(v, v->expect_long ? LINK_FRAME_MAX : 1);

	if (r < 0)
		return (int)r;
	if (v->n_pool == 0)
		return STEP_NO_BUFFERS;
	n = mergeable(v) ? v->n_segs : v->pool[0].n_segs;
	room = mergeable(v) ? v->pool_bytes : v->pool[0].bytes;
	if (mergeable(v) && room < LINK_FRAME_MAX)
		v->seg[n++] = (struct iovec){ v->held + room, LINK_FRAME_MAX - room };
	r = pull(v, v->seg, n);
	if (r < 0)
		return r == -EAGAIN ? STEP_IDLE : STEP_DONE; /* -EMSGSIZE: it is gone */
	if ((size_t)r <= room) {
		r = give(v, (size_t)r);
		return r < 0 ? (int)r : STEP_DONE;
	}
	link_iov_copy(v->held, room, v->seg, n, 0);
	v->held_len = (size_t)r;
	return give_held(v);
}

static int rx_one(struct vnet *v)
{
	if (!limiter_is_off(&v->rx))
		return rx_limited(v);
	return v->held_len > 0 ? give_held(v) : rx_direct(v);
}

static int rx_serve(struct vnet *v)
{
	struct vq *q = &v->d.vq[RX];
	int r = STEP_DONE;

	if (!q->enabled)
		return 0;
	v->n.rx_serves++;
	if (!q->quiet)
		vq_quiet(q);
	for (unsigned i = 0; r == STEP_DONE && i < BUDGET; i++) {
		r = rx_one(v);
		if (r != STEP_NO_BUFFERS)
			continue;
		pool_undo(v);     /* a frame may need more than there is */
		if (vq_wake(q)) { /* they came meanwhile */
			vq_quiet(q);
			r = STEP_DONE;
		} else {
			v->n.rx_no_buffers++;
		}
	}
	pool_undo(v);
	vdev_notify(&v->d, RX);
	if (r == STEP_DONE)
		vdev_kick(&v->d, RX);
	return r < 0 ? r : 0;
}

/* --- from the guest ----------------------------------------------------------------------------------------- */

/* tx_one() - the chain in v->chain. Return: 0 it is done with; -EAGAIN later. */
static int tx_one(struct vnet *v)
{
	struct vq_chain *c = &v->chain;
	uint32_t len = c->in_left;
	nsec_t now;

	if (len < LINK_HDR_BYTES + LINK_ETH_BYTES || len > LINK_FRAME_MAX) {
		v->n.tx_bad++;
		return 0;
	}
	if (!limiter_is_off(&v->tx)) {
		now = time_now_ns(CLOCK_MONOTONIC);
		if (!limiter_take(&v->tx, len, now)) {
			v->n.tx_limited++;
			loop_timer_set(v->d.loop, &v->tx_timer, limiter_wait(&v->tx, now));
			return -EAGAIN;
		}
	}
	if (v->mmds && mmds_net_send(v->mmds, c->iov, c->n_in)) {
		v->mmds_asked = true;
		v->n.tx_frames++;
		v->n.tx_bytes += len;
		return 0;
	}
	if (link_send(v->link, c->iov, c->n_in) == -EAGAIN) {
		v->n.tx_waits++;
		v->tx_stalled = true;
		limiter_give_back(&v->tx, len);
		return -EAGAIN;
	}
	v->n.tx_frames++;
	v->n.tx_bytes += len;
	return 0;
}

/* tx_end() - what was sent leaves, and the guest hears that it may send more. */
static void tx_end(struct vnet *v)
{
	if (link_flush(v->link) == -EAGAIN)
		v->tx_stalled = true;
	vdev_notify(&v->d, TX);
}

static int tx_serve(struct vnet *v)
{
	struct vq *q = &v->d.vq[TX];
	unsigned n = 0;
	int r;

	v->n.tx_serves++;
	v->tx_stalled = false;
	do {
		if (!q->quiet)
			vq_quiet(q);
		while (n < BUDGET && (r = vq_pop(q, &v->chain)) > 0) {
			if (tx_one(v) < 0) {
				vq_undo(q, &v->chain);
				tx_end(v);
				return 0; /* quiet: what comes meanwhile is seen when we go on */
			}
			v->chain.written = 0;
			r = vq_push(q, &v->chain);
			if (r < 0)
				break;
			n++;
		}
		if (n >= BUDGET) {
			vdev_kick(&v->d, TX);
			break;
		}
	} while (r == 0 && vq_wake(q));
	tx_end(v);
	return n >= BUDGET || r >= 0 ? 0 : r;
}

/* --- control ------------------------------------------------------------------------------------------------ */

/* set_offloads() - what the guest takes from now on, of what it negotiated. */
static bool set_offloads(struct vnet *v, uint64_t bits)
{
	uint64_t may = 0;
	unsigned tun_f = 0;

	for (unsigned i = 0; i < N_OFFLOADS; i++) {
		may |= v->d.negotiated & BIT(offloads[i].guest);
		if (bits & BIT(offloads[i].guest))
			tun_f |= offloads[i].tun_f;
	}
	if ((bits & ~may) || link_offloads(v->link, tun_f) < 0)
		return false;
	v->tun_f = tun_f;
	if (v->mmds)
		mmds_net_offloads(v->mmds, tun_f);
	return true;
}

/* ctrl_do() - Spec: virtio 1.2 §5.1.6.5 */
static bool ctrl_do(struct vnet *v, uint8_t class, uint8_t cmd, struct vq_chain *c)
{
	uint8_t mac[6];
	uint64_t bits;

	switch (class << 8 | cmd) {
	case VIRTIO_NET_CTRL_RX << 8 | VIRTIO_NET_CTRL_RX_PROMISC:
	case VIRTIO_NET_CTRL_RX << 8 | VIRTIO_NET_CTRL_RX_ALLMULTI:
	case VIRTIO_NET_CTRL_MAC << 8 | VIRTIO_NET_CTRL_MAC_TABLE_SET:
		return true; /* a hint: the guest filters what it does not want */
	case VIRTIO_NET_CTRL_MAC << 8 | VIRTIO_NET_CTRL_MAC_ADDR_SET:
		if (c->in_left != sizeof(mac) || vq_read(c, mac, sizeof(mac)) < 0 || (mac[0] & 1))
			return false;
		memcpy(v->mac, mac, sizeof(mac));
		v->n.mac_changes++;
		return true;
	case VIRTIO_NET_CTRL_GUEST_OFFLOADS << 8 | VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET:
		return c->in_left == sizeof(bits) && vq_read(c, &bits, sizeof(bits)) == 0 &&
		       set_offloads(v, le64toh(bits));
	default: return false;
	}
}

static int ctrl_serve(struct vnet *v)
{
	struct vq *q = &v->d.vq[CTRL];
	struct vq_chain *c = &v->chain;
	int r;

	for (unsigned n = 0; n < BUDGET && (r = vq_pop(q, c)) > 0; n++) {
		uint8_t head[2];
		bool good = vq_read(c, head, sizeof(head)) == 0 && ctrl_do(v, head[0], head[1], c);

		if (c->out_left > 0)
			vq_write_last(q, c, good ? VIRTIO_NET_OK : VIRTIO_NET_ERR);
		r = vq_push(q, c);
		if (r < 0)
			break;
	}
	vdev_notify(&v->d, CTRL);
	if (r > 0) /* more than the budget */
		vdev_kick(&v->d, CTRL);
	return r < 0 ? r : 0;
}

/* --- the device --------------------------------------------------------------------------------------------- */

static int vnet_serve(struct vdev *d, unsigned i)
{
	struct vnet *v = vnet_of(d);
	int r;

	switch (i) {
	case RX: return rx_serve(v);
	case TX: break;
	default: return ctrl_serve(v);
	}
	r = tx_serve(v);
	if (r == 0 && v->mmds_asked) {
		v->mmds_asked = false;
		r = rx_serve(v);
	}
	return r;
}

/* on_link() - frames came in, or there is room. */
static void on_link(void *arg)
{
	struct vnet *v = arg;

	v->n.rx_wakes++;
	vdev_serve(&v->d, RX);
	if (v->tx_stalled)
		vdev_serve(&v->d, TX);
}

static void on_rx(void *arg)
{
	vdev_serve(arg, RX);
}

static void on_tx(void *arg)
{
	vdev_serve(arg, TX);
}

static void config_read(struct vdev *d, unsigned off, void *dst, unsigned len)
{
	struct vnet *v = vnet_of(d);
	struct virtio_net_config c = { .status = htole16(VIRTIO_NET_S_LINK_UP),
				       .max_virtqueue_pairs = htole16(1),
				       .mtu = htole16(v->mtu) };

	memcpy(c.mac, v->mac, sizeof(c.mac));
	for (unsigned i = 0; i < len && off + i < sizeof(c) && off + i >= off; i++)
		((uint8_t *)dst)[i] = ((const uint8_t *)&c)[off + i];
}

static int activate(struct vdev *d)
{
	struct vnet *v = vnet_of(d);
	uint64_t guest = 0;

	for (unsigned i = 0; i < N_OFFLOADS; i++)
		guest |= d->negotiated & BIT(offloads[i].guest);
	if (!set_offloads(v, guest))
		return -EIO;
	vdev_kick(d, RX); /* frames may wait since before */
	return 0;
}

static void reset(struct vdev *d)
{
	struct vnet *v = vnet_of(d);

	v->held_len = 0;
	v->expect_long = v->tx_stalled = false;
	if (d->loop) {
		loop_timer_off(d->loop, &v->rx_timer);
		loop_timer_off(d->loop, &v->tx_timer);
	}
	if (v->mmds)
		mmds_net_reset(v->mmds);
	link_offloads(v->link, 0);
}

/* A frame in @held is lost on the way to another host, as frames are. */
static void save(struct vdev *d, struct record_out *o)
{
	struct vnet *v = vnet_of(d);

	record_begin(o, "NET", VNET_RECORD_VERSION);
	record_put(o, v->mac, sizeof(v->mac));
	record_put_u32(o, v->tun_f);
	limiter_save(&v->rx, o);
	limiter_save(&v->tx, o);
	record_end(o);
}

static void restore(struct vdev *d, struct record_in *in)
{
	struct vnet *v = vnet_of(d);
	nsec_t now = time_now_ns(CLOCK_MONOTONIC);
	uint64_t bits = 0;
	uint8_t mac[6];
	unsigned tun_f;

	record_open(in, "NET", VNET_RECORD_VERSION);
	record_get(in, mac, sizeof(mac));
	tun_f = record_get_u32(in);
	limiter_restore(&v->rx, in, now);
	limiter_restore(&v->tx, in, now);
	record_close(in);
	if (in->rc < 0)
		return;
	for (unsigned i = 0; i < N_OFFLOADS; i++) {
		if (tun_f & offloads[i].tun_f)
			bits |= BIT(offloads[i].guest);
		tun_f &= ~offloads[i].tun_f;
	}
	if (tun_f || (vdev_is_active(d) ? !set_offloads(v, bits) : bits != 0))
		record_fail(in, "%s: offloads that were not negotiated, or that the link cannot do", d->name);
	else
		memcpy(v->mac, mac, sizeof(mac));
}

static void vnet_free(struct vdev *d)
{
	struct vnet *v = vnet_of(d);

	if (d->loop) {
		loop_timer_off(d->loop, &v->rx_timer);
		loop_timer_off(d->loop, &v->tx_timer);
	}
	mmds_net_free(v->mmds);
	link_free(v->link);
	vdev_fini(d);
	free(v);
}

static const struct vdev_ops vnet_ops = {
	.name = "net",
	.id = VDEV_NET,
	.config_read = config_read,
	.activate = activate,
	.serve = vnet_serve,
	.reset = reset,
	.save = save,
	.restore = restore,
	.free = vnet_free,
};

static uint64_t features(const struct vnet_config *c, const struct link *link)
{
	uint64_t f = BIT(VIRTIO_NET_F_STATUS) | BIT(VIRTIO_NET_F_MRG_RXBUF) | BIT(VIRTIO_NET_F_CTRL_VQ) |
		     BIT(VIRTIO_NET_F_CTRL_RX) | BIT(VIRTIO_NET_F_CTRL_MAC_ADDR) |
		     BIT(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS);

	if (c->has_mac)
		f |= BIT(VIRTIO_NET_F_MAC);
	if (c->mtu)
		f |= BIT(VIRTIO_NET_F_MTU);
	for (unsigned i = 0; i < N_OFFLOADS; i++)
		if (link->host_offloads & offloads[i].tun_f)
			f |= BIT(offloads[i].guest) | BIT(offloads[i].host);
	return f;
}

int vnet_new(struct vdev **ret_d, const struct vnet_config *c, struct link *link, const struct gmem *mem,
	     struct loop *loop, struct err *e)
{
	struct vnet *v;
	nsec_t now = time_now_ns(CLOCK_MONOTONIC);
	int r;

	if (c->mtu != 0 && c->mtu < LINK_MTU_MIN) {
		link_free(link);
		return err_set(e, EINVAL, "%s: mtu: %u, want %d to %d", c->name, c->mtu, LINK_MTU_MIN,
			       LINK_MTU_MAX);
	}
	v = calloc(1, sizeof(*v));
	if (!v) {
		link_free(link);
		return err_sys(e, ENOMEM, "%s", c->name);
	}
	v->link = link;
	v->mtu = c->mtu;
	memcpy(v->mac, c->mac, sizeof(v->mac));
	limiter_init(&v->rx, &c->rx, now);
	limiter_init(&v->tx, &c->tx, now);
	v->rx_timer = (struct loop_timer){ .fire = on_rx, .arg = v };
	v->tx_timer = (struct loop_timer){ .fire = on_tx, .arg = v };
	r = vdev_init(&v->d, &vnet_ops, c->name, mem, loop, features(c, link), QUEUES, e);
	if (r == 0 && c->mmds)
		r = mmds_net_new(&v->mmds, c->mmds, loop, on_link, v, e);
	if (r < 0) {
		vnet_free(&v->d);
		return r;
	}
	link->ready = on_link;
	link->arg = v;
	*ret_d = &v->d;
	return 0;
}

void vnet_limit(struct vdev *d, const struct vnet_limits *l)
{
	struct vnet *v = vnet_of(d);
	nsec_t now = time_now_ns(CLOCK_MONOTONIC);

	pthread_mutex_lock(&d->lock);
	limiter_update(&v->rx, l->rx_bytes, l->rx_ops, now);
	limiter_update(&v->tx, l->tx_bytes, l->tx_ops, now);
	pthread_mutex_unlock(&d->lock);
	vdev_kick(d, RX); /* what waited for the old ones tries the new */
	vdev_kick(d, TX);
}

void vnet_counts(struct vdev *d, struct vnet_counts *ret_c)
{
	struct vnet *v = vnet_of(d);

	*ret_c = v->n;
	ret_c->link_dropped = v->link->n_dropped;
}

const struct mmds_counts *vnet_mmds_counts(struct vdev *d)
{
	struct vnet *v = vnet_of(d);

	return v->mmds ? mmds_net_counts(v->mmds) : NULL;
}
