/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * A request owns its chain from vq_pop() to vq_push(); requests come from a pool that grows as they are needed, up to what the
 * disk takes at once. serve() submits all that waits, sends it to the kernel together and takes what is complete already;
 * the rest completes when the disk's descriptor is readable. The guest gets one interrupt for what completed together.
 *
 * A request that must wait (for the limiter, for the disk) is put back on its ring, and everything behind it waits too: for
 * the timer, or for a completion.
 *
 * The driver may choose that writes are safe when they are complete (CONFIG_WCE, or no FLUSH taken): then a write is followed by a
 * flush before it is answered.
 *
 * Reset and pause wait until nothing is under way. The loop's source and timer are touched in its own thread only.
 *
 * syscalls(device): preadv pwritev fdatasync fallocate io_uring_enter epoll_ctl ftruncate memfd_create
 */
#include "virtio/vblk.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <linux/virtio_blk.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "blk/blk.h"
#include "fmt/record.h"
#include "io/loop.h"
#include "virtio/vdev.h"

enum { VBLK_RECORD_VERSION = 1, STATUS_BYTES = 1 };

#define F(bit) (1ULL << VIRTIO_BLK_F_##bit)

struct vblk;

struct request {
	struct blk_request r;
	struct vblk *v;
	struct request *next;  /* free */
	struct iovec *own_iov; /* owned; for chains cut in unusual places; NULL until one came */
	unsigned queue;
	bool flush_after;
	struct vq_chain c;
};
static_assert((int)VQ_SEGS_MAX <= (int)BLK_IOV_MAX, "a chain fits a request");

struct vblk {
	struct vdev d;
	struct blk *disk; /* owned */
	struct loop_source source;
	struct loop_timer timer;
	struct limiter limiter;
	char id[VBLK_ID_BYTES];
	bool writeback; /* as configured */
	bool wce;       /* as the driver has set it */
	struct request *free;
	unsigned n_requests, n_inflight;
	uint32_t waiting; /* queues with requests that were put back */
	uint32_t pushed;  /* queues that something was pushed to since the last notification */
	bool broken;      /* a queue cannot be trusted any more */
	struct vblk_counts n;
};

static struct vblk *vblk_of(struct vdev *d)
{
	return (struct vblk *)d;
}
static_assert(offsetof(struct vblk, d) == 0, "the generic part comes first");

/* --- requests --------------------------------------------------------------------------------------------- */

static void request_done(struct blk_request *r, int result);

static struct request *request_get(struct vblk *v)
{
	struct request *q = v->free;

	if (q) {
		v->free = q->next;
		return q;
	}
	if (v->n_requests >= BLK_INFLIGHT_MAX)
		return NULL;
	q = malloc(sizeof(*q)); /* not zeroed: the chain is large, and vq_pop() fills it */
	if (!q)
		return NULL;
	q->v = v;
	q->own_iov = NULL;
	v->n_requests++;
	return q;
}

static void request_put(struct vblk *v, struct request *q)
{
	q->next = v->free;
	v->free = q;
}

/* answer() - give the chain back. Context: d->lock is held. */
static void answer(struct request *q, uint8_t status)
{
	struct vblk *v = q->v;
	struct vq *vq = &v->d.vq[q->queue];

	vq_write_last(vq, &q->c, status); /* a chain without room for it is refused, and goes back empty */
	if (vq_push(vq, &q->c) < 0)
		v->broken = true;
	v->pushed |= 1U << q->queue;
	request_put(v, q);
}

static void refuse(struct request *q, uint8_t status)
{
	q->v->n.invalid++;
	answer(q, status);
}

static void count(struct vblk *v, const struct blk_request *r)
{
	switch (r->op) {
	case BLK_READ:
		v->n.reads++;
		v->n.read_bytes += r->len;
		break;
	case BLK_WRITE:
		v->n.writes++;
		v->n.write_bytes += r->len;
		break;
	case BLK_FLUSH: v->n.flushes++; break;
	case BLK_DISCARD: v->n.discards++; break;
	default: v->n.zeroes++;
	}
}

/* request_done() - from blk_submit() or blk_reap(), with d->lock held */
static void request_done(struct blk_request *r, int result)
{
	struct request *q = r->arg;
	struct vblk *v = q->v;

	if (result == 0 && q->flush_after) {
		q->flush_after = false;
		count(v, r);
		*r = (struct blk_request){ .op = BLK_FLUSH, .done = request_done, .arg = q };
		/* There is room: this very request has just made some. */
		result = blk_submit(v->disk, r);
		if (result == 0)
			return;
	} else if (result == 0) {
		count(v, r);
	}
	v->n_inflight--;
	v->n.failures += result < 0;
	answer(q, result == 0 ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR);
}

/* data_iov() - the segments of @len data bytes; in the common case the chain's own, without a copy */
static int data_iov(struct request *q, bool from_guest, size_t len)
{
	struct vq_chain *c = &q->c;
	size_t got;

	if (from_guest && c->in_off == 0) {
		q->r.iov = c->iov + c->in_at;
		q->r.n_iov = (unsigned)c->n_in - c->in_at;
		return 0;
	}
	if (!from_guest && c->iov[c->n_in + c->n_out - 1].iov_len == STATUS_BYTES) {
		q->r.iov = c->iov + c->n_in;
		q->r.n_iov = (unsigned)c->n_out - 1;
		c->out_at = (uint16_t)(c->n_out -
				       1); /* the cursor: vq_push() marks what is behind it as changed */
		c->written = (uint32_t)len;
		return 0;
	}
	if (!q->own_iov)
		q->own_iov = malloc(VQ_SEGS_MAX * sizeof(*q->own_iov));
	if (!q->own_iov)
		return -ENOMEM;
	q->r.iov = q->own_iov;
	q->r.n_iov = from_guest ? vq_read_iov(c, q->own_iov, VQ_SEGS_MAX, len, &got) :
				  vq_write_iov(c, q->own_iov, VQ_SEGS_MAX, len, &got);
	return got == len ? 0 : -ENODATA;
}

static bool is_in_disk(const struct vblk *v, uint64_t sector, uint64_t n)
{
	uint64_t size = blk_size(v->disk) / BLK_SECTOR;

	return n <= size && sector <= size - n;
}

/* prepare_data() - Return: 0, or a status */
static int prepare_data(struct request *q, bool write, uint64_t sector)
{
	struct vblk *v = q->v;
	uint32_t len = write ? q->c.in_left : q->c.out_left - STATUS_BYTES;

	if (len % BLK_SECTOR || !is_in_disk(v, sector, len / BLK_SECTOR) ||
	    (write && blk_is_readonly(v->disk)))
		return VIRTIO_BLK_S_IOERR;
	q->r.op = write ? BLK_WRITE : BLK_READ;
	q->r.offset = sector * BLK_SECTOR;
	q->r.len = len;
	q->flush_after = write && v->writeback && !v->wce;
	return data_iov(q, write, len) < 0 ? VIRTIO_BLK_S_IOERR : 0;
}

/* prepare_range() - DISCARD and WRITE_ZEROES, of one range each. Spec: §5.2.6.2 */
static int prepare_range(struct request *q, bool zeroes)
{
	struct virtio_blk_discard_write_zeroes range;
	struct vblk *v = q->v;
	uint32_t n, flags;

	if (q->c.in_left != sizeof(range) || vq_read(&q->c, &range, sizeof(range)) < 0)
		return VIRTIO_BLK_S_IOERR;
	n = le32toh(range.num_sectors);
	flags = le32toh(range.flags);
	if (flags & ~(zeroes ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0U))
		return VIRTIO_BLK_S_UNSUPP;
	if (blk_is_readonly(v->disk) || !is_in_disk(v, le64toh(range.sector), n) ||
	    n > (zeroes ? VBLK_ZEROES_SECTORS_MAX : VBLK_DISCARD_SECTORS_MAX))
		return VIRTIO_BLK_S_IOERR;
	q->r.op = zeroes ? BLK_ZEROES : BLK_DISCARD;
	q->r.offset = le64toh(range.sector) * BLK_SECTOR;
	q->r.len = (uint64_t)n * BLK_SECTOR;
	q->r.unmap = !zeroes || flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
	q->flush_after = v->writeback && !v->wce;
	return 0;
}

static int get_id(struct request *q)
{
	struct vblk *v = q->v;
	uint32_t n = q->c.out_left - STATUS_BYTES;

	vq_write(&v->d.vq[q->queue], &q->c, v->id, n < VBLK_ID_BYTES ? n : VBLK_ID_BYTES);
	return VIRTIO_BLK_S_OK;
}

enum { TO_SUBMIT = -1 };

/* prepare() - Return: TO_SUBMIT, or the status to answer with. Spec: §5.2.6 */
static int prepare(struct request *q)
{
	struct virtio_blk_outhdr hdr;
	int status;

	q->r = (struct blk_request){ .done = request_done, .arg = q };
	q->flush_after = false;
	if (vq_read(&q->c, &hdr, sizeof(hdr)) < 0 || q->c.out_left < STATUS_BYTES)
		return VIRTIO_BLK_S_IOERR;
	switch (le32toh(hdr.type)) {
	case VIRTIO_BLK_T_IN: status = prepare_data(q, false, le64toh(hdr.sector)); break;
	case VIRTIO_BLK_T_OUT: status = prepare_data(q, true, le64toh(hdr.sector)); break;
	case VIRTIO_BLK_T_FLUSH:
		q->r.op = BLK_FLUSH;
		status = 0;
		break;
	case VIRTIO_BLK_T_DISCARD: status = prepare_range(q, false); break;
	case VIRTIO_BLK_T_WRITE_ZEROES: status = prepare_range(q, true); break;
	case VIRTIO_BLK_T_GET_ID:
		get_id(q);
		q->r.op = BLK_OP_COUNT;
		return VIRTIO_BLK_S_OK;
	default: return VIRTIO_BLK_S_UNSUPP;
	}
	return status ? status : TO_SUBMIT;
}

/* --- queues ----------------------------------------------------------------------------------------------- */

/* put_back() - the chain popped last waits on its ring */
static void put_back(struct vblk *v, struct request *q)
{
	vq_undo(&v->d.vq[q->queue], &q->c);
	v->waiting |= 1U << q->queue;
	request_put(v, q);
}

static bool may_go(struct vblk *v, uint64_t bytes)
{
	nsec_t now;

	if (limiter_is_off(&v->limiter))
		return true;
	now = time_now_ns(CLOCK_MONOTONIC);
	if (limiter_take(&v->limiter, bytes, now))
		return true;
	v->n.throttled++;
	if (v->d.loop && v->timer.at == 0)
		loop_timer_set(v->d.loop, &v->timer, limiter_wait(&v->limiter, now));
	return false;
}

/* start() - one request. Return: 1; 0 it waits */
static int start(struct vblk *v, struct request *q)
{
	int status = prepare(q);

	if (status != TO_SUBMIT) {
		if (q->r.op == BLK_OP_COUNT)
			answer(q, VIRTIO_BLK_S_OK);
		else
			refuse(q, (uint8_t)status);
		return 1;
	}
	if (!may_go(v, q->r.len)) {
		put_back(v, q);
		return 0;
	}
	v->n_inflight++;
	if (blk_submit(v->disk, &q->r) == 0)
		return 1;
	v->n_inflight--;
	v->n.waited++;
	limiter_give_back(&v->limiter, q->r.len);
	put_back(v, q);
	return 0;
}

/* take_all() - submit what waits on queue @i. Return: requests taken; -EPROTO */
static int take_all(struct vblk *v, unsigned i)
{
	struct vq *vq = &v->d.vq[i];
	unsigned taken = 0;
	int r;

	v->waiting &= ~(1U << i);
	do {
		vq_quiet(vq);
		for (;;) {
			struct request *q = request_get(v);

			if (!q) { /* a completion goes on with it */
				v->waiting |= 1U << i;
				v->n.waited++;
				return (int)taken;
			}
			q->queue = i;
			r = vq_pop(vq, &q->c);
			if (r <= 0)
				request_put(v, q);
			else
				r = start(v, q);
			if (r <= 0)
				break;
			taken++;
		}
		/* A ring's worth is enough for one turn: the guest may add for ever. */
	} while (r == 0 && !(v->waiting & 1U << i) && vq_wake(vq) && taken < VQ_SIZE_MAX);
	if (taken >= VQ_SIZE_MAX)
		vdev_kick(&v->d, i);
	return r < 0 ? r : (int)taken;
}

/* notify() - one interrupt for each queue that got something back. Return: 0; -EPROTO */
static int notify(struct vblk *v)
{
	for (unsigned i = 0; v->pushed; i++)
		if (v->pushed & 1U << i) {
			v->pushed &= ~(1U << i);
			vdev_notify(&v->d, i);
		}
	return v->broken ? -EPROTO : 0;
}

static int vblk_serve(struct vdev *d, unsigned i)
{
	struct vblk *v = vblk_of(d);
	int r;

	v->n.serves++;
	r = take_all(v, i);
	v->n.no_requests += r == 0;
	blk_reap(v->disk, false); /* sends, and takes what is complete already */
	/* What made this queue wait may be complete now, and then no event tells of it. */
	for (unsigned k = 0; k < d->n_queues && v->n_inflight == 0 && v->timer.at == 0; k++)
		if (v->waiting & 1U << k)
			vdev_kick(d, k);
	return notify(v) < 0 || r < 0 ? -EPROTO : 0;
}

/* go_on() - the queues that wait. Context: the loop's thread, without the lock */
static void go_on(struct vblk *v, uint32_t waiting)
{
	for (unsigned i = 0; i < v->d.n_queues; i++)
		if (waiting & 1U << i)
			vdev_serve(&v->d, i);
}

static void on_complete(void *arg, uint32_t events)
{
	struct vblk *v = arg;
	uint32_t waiting;

	(void)events;
	pthread_mutex_lock(&v->d.lock);
	blk_reap(v->disk, false);
	waiting = v->waiting;
	if (notify(v) < 0)
		vdev_broken(&v->d);
	pthread_mutex_unlock(&v->d.lock);
	if (v->timer.at == 0)
		go_on(v, waiting);
}

static void on_timer(void *arg)
{
	struct vblk *v = arg;
	uint32_t waiting;

	pthread_mutex_lock(&v->d.lock);
	v->n.limiter_events++;
	waiting = v->waiting;
	pthread_mutex_unlock(&v->d.lock);
	go_on(v, waiting);
}

/* --- the device ------------------------------------------------------------------------------------------- */

static void vblk_config_read(struct vdev *d, unsigned off, void *dst, unsigned len)
{
	struct vblk *v = vblk_of(d);
	struct blk_info info;
	struct virtio_blk_config c = {
		.capacity = htole64(blk_size(v->disk) / BLK_SECTOR),
		.seg_max = htole32(VQ_SEGS_MAX - 2), /* header and status are segments too */
		.blk_size = htole32(BLK_SECTOR),
		.wce = v->wce,
		.num_queues = htole16((uint16_t)d->n_queues),
		.max_discard_sectors = htole32(VBLK_DISCARD_SECTORS_MAX),
		.max_discard_seg = htole32(1),
		.max_write_zeroes_sectors = htole32(VBLK_ZEROES_SECTORS_MAX),
		.max_write_zeroes_seg = htole32(1),
		.write_zeroes_may_unmap = 1,
	};

	blk_info(v->disk, &info);
	c.discard_sector_alignment = htole32(info.cluster ? info.cluster / BLK_SECTOR : 8);
	memset(dst, 0, len);
	if (off < sizeof(c))
		memcpy(dst, (const char *)&c + off, len < sizeof(c) - off ? len : sizeof(c) - off);
}

static void vblk_config_write(struct vdev *d, unsigned off, const void *src, unsigned len)
{
	struct vblk *v = vblk_of(d);
	uint8_t wce = len > 0 ? *(const uint8_t *)src : 2;

	if (off != offsetof(struct virtio_blk_config, wce) || len != 1 || wce > 1 ||
	    !vdev_has(d, F(CONFIG_WCE)))
		d->n_ignored++;
	else
		v->wce = wce;
}

static int vblk_activate(struct vdev *d)
{
	struct vblk *v = vblk_of(d);

	/* Spec: §5.2.5.1, §5.2.6.2: without FLUSH writes are safe when they are complete */
	if (!vdev_has(d, F(FLUSH)))
		v->wce = false;
	return 0;
}

static void drain(struct vblk *v)
{
	blk_reap(v->disk, true);
	/* A kernel that refuses to be asked leaves requests under way: their memory must not go. */
	BUG_ON(v->n_inflight > 0);
}

static void vblk_reset(struct vdev *d)
{
	struct vblk *v = vblk_of(d);

	drain(v);
	v->waiting = v->pushed = 0;
	v->broken = false;
	v->wce = v->writeback;
}

static void vblk_pause(struct vdev *d)
{
	struct vblk *v = vblk_of(d);

	drain(v);
	if (notify(v) < 0)
		vdev_broken(d);
}

static void vblk_save(struct vdev *d, struct record_out *o)
{
	struct vblk *v = vblk_of(d);

	int r = blk_flush(v->disk); /* who copies the disk's file beside the state finds all of it there */

	if (r < 0)
		o->to->rc = r;
	record_begin(o, "BLK", VBLK_RECORD_VERSION);
	record_put_u64(o, blk_size(v->disk));
	record_put_u8(o, v->wce);
	limiter_save(&v->limiter, o);
	record_end(o);
}

static void vblk_restore(struct vdev *d, struct record_in *in)
{
	struct vblk *v = vblk_of(d);
	uint64_t size;
	uint8_t wce;

	if (!record_open(in, "BLK", VBLK_RECORD_VERSION))
		return;
	size = record_get_u64(in);
	wce = record_get_u8(in);
	if (wce > 1)
		record_fail(in, "write cache %u", wce);
	v->wce = wce && v->writeback;
	limiter_restore(&v->limiter, in, time_now_ns(CLOCK_MONOTONIC));
	record_close(in);
	if (size != blk_size(v->disk))
		vdev_config_changed(d);
}

static void vblk_free(struct vdev *d)
{
	struct vblk *v = vblk_of(d);

	if (v->disk)
		blk_reap(v->disk, true);
	if (d->loop) {
		loop_remove(d->loop, &v->source);
		loop_timer_off(d->loop, &v->timer);
	}
	blk_close(v->disk);
	vdev_fini(d);
	while (v->free) {
		struct request *q = v->free;

		v->free = q->next;
		free(q->own_iov);
		free(q);
	}
	free(v);
}

static const struct vdev_ops vblk_ops = {
	.name = "blk",
	.id = VDEV_BLK,
	.config_read = vblk_config_read,
	.config_write = vblk_config_write,
	.activate = vblk_activate,
	.serve = vblk_serve,
	.reset = vblk_reset,
	.pause = vblk_pause,
	.save = vblk_save,
	.restore = vblk_restore,
	.free = vblk_free,
};

static uint64_t features(const struct vblk_config *c)
{
	uint64_t f = F(SEG_MAX) | F(BLK_SIZE);

	if (c->writeback)
		f |= F(FLUSH) | F(CONFIG_WCE);
	if (c->queues > 1)
		f |= F(MQ);
	return f | (blk_is_readonly(c->disk) ? F(RO) : F(DISCARD) | F(WRITE_ZEROES));
}

static int watch(struct vblk *v, struct blk *disk, struct err *e)
{
	int fd = blk_event_fd(disk), r;

	if (fd < 0)
		return 0;
	BUG_ON(!v->d.loop);
	r = loop_add(v->d.loop, &v->source, fd, EPOLLIN);
	return r < 0 ? err_sys(e, -r, "%s: event loop", v->d.name) : 0;
}

static int vblk_make(struct vblk *v, const struct vblk_config *c, const struct gmem *mem, struct loop *loop,
		     struct err *e)
{
	unsigned queues = c->queues ? c->queues : 1;
	struct request *first;
	int r;

	if (queues > VBLK_QUEUES_MAX)
		return err_set(e, EINVAL, "%s: %u queues, at most %d", c->name, queues, VBLK_QUEUES_MAX);
	r = vdev_init(&v->d, &vblk_ops, c->name, mem, loop, features(c), queues, e);
	if (r < 0)
		return r;
	first = request_get(v); /* one is always there: else nothing could go on when memory is short */
	if (!first)
		return err_sys(e, ENOMEM, "%s", c->name);
	request_put(v, first);
	return watch(v, v->disk, e);
}

int vblk_new(struct vdev **ret_d, const struct vblk_config *c, const struct gmem *mem, struct loop *loop,
	     struct err *e)
{
	struct vblk *v = calloc(1, sizeof(*v));
	int r;

	if (!v) {
		blk_close(c->disk);
		return err_sys(e, ENOMEM, "%s", c->name);
	}
	v->disk = c->disk;
	v->source = (struct loop_source){ .fd = -1, .ready = on_complete, .arg = v };
	v->timer = (struct loop_timer){ .fire = on_timer, .arg = v };
	v->writeback = v->wce = c->writeback;
	if (c->id)
		memcpy(v->id, c->id, strnlen(c->id, VBLK_ID_BYTES));
	limiter_init(&v->limiter, &c->limit, time_now_ns(CLOCK_MONOTONIC));
	r = vblk_make(v, c, mem, loop, e);
	if (r < 0) {
		vblk_free(&v->d);
		return r;
	}
	*ret_d = &v->d;
	return 0;
}

/* --- while it runs ---------------------------------------------------------------------------------------- */

static int set_disk(struct vblk *v, struct blk *disk, struct err *e)
{
	struct blk *was = v->disk;
	int r;

	if (blk_is_readonly(disk) != blk_is_readonly(was))
		return err_set(e, EINVAL, "%s: a drive cannot become read-only, or writable", v->d.name);
	drain(v);
	loop_remove(v->d.loop, &v->source);
	r = watch(v, disk, e);
	if (r < 0) {
		watch(v, was, NULL);
		return r;
	}
	v->disk = disk;
	vdev_config_changed(&v->d);
	if (notify(v) < 0)
		vdev_broken(&v->d);
	return 0;
}

int vblk_set_disk(struct vdev *d, struct blk *disk, struct err *e)
{
	struct vblk *v = vblk_of(d);
	struct blk *was = v->disk;
	uint32_t waiting;
	int r;

	pthread_mutex_lock(&d->lock);
	r = set_disk(v, disk, e);
	v->n.updates += r == 0;
	v->n.update_failures += r < 0;
	waiting = v->waiting;
	pthread_mutex_unlock(&d->lock);
	blk_close(r < 0 ? disk : was);
	go_on(v, waiting);
	return r;
}

void vblk_limit(struct vdev *d, const struct bucket_config *bytes, const struct bucket_config *ops)
{
	struct vblk *v = vblk_of(d);
	uint32_t waiting;

	pthread_mutex_lock(&d->lock);
	limiter_update(&v->limiter, bytes, ops, time_now_ns(CLOCK_MONOTONIC));
	waiting = v->waiting;
	pthread_mutex_unlock(&d->lock);
	if (d->loop)
		loop_timer_off(d->loop, &v->timer);
	go_on(v, waiting);
}

void vblk_counts(struct vdev *d, struct vblk_counts *ret_c)
{
	pthread_mutex_lock(&d->lock);
	*ret_c = vblk_of(d)->n;
	pthread_mutex_unlock(&d->lock);
}

struct blk *vblk_disk(struct vdev *d)
{
	return vblk_of(d)->disk;
}
