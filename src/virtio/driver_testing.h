/* SPDX-License-Identifier: Apache-2.0 */
/*
 * driver_testing.h - a driver in the test process: guest memory, negotiation, rings of both layouts; for tests only
 *
 *	struct driver t;
 *	driver_init(&t, 16 << 20);				guest memory at 0
 *	rng_new(&dev, &t.mem, NULL, ...);			a device on it
 *	driver_start(&t, dev, driver_layouts[i].features);	negotiated, all queues up; takes the device
 *	driver_request(&t, 0, "out", 3, buf, sizeof(buf));	one chain there and back
 *	driver_fini(&t);					device and memory gone
 *
 * driver_kick() serves in the caller; a device with a loop and completions of its own is waited for by driver_wait(). Failures
 * of the driver itself abort (BUG_ON): the header serves fuzz targets too. driver_hostile() breaks a ring in one of the
 * ways there are, driver_hostile_all() tries them all on a device.
 */
#ifndef VIRTIO_DRIVER_TESTING_H
#define VIRTIO_DRIVER_TESTING_H

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/bug.h"
#include "base/err.h"
#include "fmt/record.h"
#include "io/loop.h"
#include "mem/gmem.h"
#include "virtio/vdev.h"

enum { DRIVER_TABLE_MAX = 32 };

static const struct driver_layout {
	const char *name;
	uint64_t features;
} driver_layouts[] = {
	{ "split", 0 },
	{ "split, event-idx, indirect", VDEV_F_EVENT_IDX | VDEV_F_INDIRECT },
	{ "packed", VDEV_F_PACKED },
	{ "packed, event-idx, indirect", VDEV_F_PACKED | VDEV_F_EVENT_IDX | VDEV_F_INDIRECT },
};
enum { DRIVER_LAYOUTS = sizeof(driver_layouts) / sizeof(driver_layouts[0]) };

struct driver_desc { /* split ring, tables: flags, next; packed ring: id, flags in their places */
	uint64_t addr;
	uint32_t len;
	uint16_t a, b;
};

struct driver_queue {
	uint16_t size;
	gpa_t desc_gpa, avail_gpa, used_gpa, table_gpa; /* a table of DRIVER_TABLE_MAX for each id */
	struct driver_desc *desc;
	uint16_t *avail, *used; /* split: flags, idx, ring...; packed: position, flags */
	uint16_t next;          /* split: index of the next entry in avail; packed: position */
	bool wrap, used_wrap;   /* packed */
	uint16_t last_used;
	uint16_t kicked; /* @next at the last driver_should_kick() */
	uint16_t n_free;
	uint16_t free_id[VQ_SIZE_MAX]; /* split: descriptors; packed: buffer ids */
	uint16_t n_of[VQ_SIZE_MAX];    /* ring entries of the chain with this id */
	uint16_t link[VQ_SIZE_MAX];    /* the next id of the same chain */
};

struct driver {
	struct gmem mem;
	uint64_t mem_bytes;
	gpa_t brk;
	struct vdev *d; /* owned once started */
	uint64_t features;
	bool packed, event_idx, indirect;
	unsigned n_interrupts[VDEV_QUEUES_MAX], n_config;
	struct driver_queue *q; /* owned; VDEV_QUEUES_MAX */
};

struct driver_buf { /* one segment */
	gpa_t gpa;
	uint32_t len;
	bool write; /* by the device */
};

/* --- memory ------------------------------------------------------------------------------------------------- */

static inline void driver_init(struct driver *t, uint64_t mem_bytes)
{
	struct err e = { 0 };

	memset(t, 0, sizeof(*t));
	t->mem_bytes = mem_bytes;
	t->brk = 0x10000; /* below: the test's own, for buffers at fixed addresses */
	t->q = calloc(VDEV_QUEUES_MAX, sizeof(*t->q));
	BUG_ON(!t->q);
	BUG_ON(gmem_add_ram(&t->mem, 0, mem_bytes, GMEM_PAGES_SMALL, &e) < 0);
}

static inline void driver_fini(struct driver *t)
{
	vdev_free(t->d);
	t->d = NULL;
	gmem_fini(&t->mem);
	free(t->q);
	t->q = NULL;
}

/* driver_alloc() - zeroed guest memory, @align a power of two. It stays until driver_fini(); t->brk may be set back. */
static inline gpa_t driver_alloc(struct driver *t, uint64_t len, uint64_t align)
{
	gpa_t at = (t->brk + align - 1) & ~(align - 1);

	BUG_ON(at + len > t->mem_bytes);
	t->brk = at + len;
	memset(gmem_ptr(&t->mem, at, len), 0, len);
	return at;
}

static inline void *driver_ptr(struct driver *t, gpa_t at, uint64_t len)
{
	void *p = gmem_ptr(&t->mem, at, len);

	BUG_ON(!p);
	return p;
}

static inline gpa_t driver_put(struct driver *t, const void *bytes, uint64_t len)
{
	gpa_t at = driver_alloc(t, len ? len : 1, 8);

	if (len)
		memcpy(driver_ptr(t, at, len), bytes, len);
	return at;
}

/* --- bringing a device up ----------------------------------------------------------------------------------- */

static inline void driver_interrupt(void *arg, int queue)
{
	struct driver *t = arg;

	if (queue < 0)
		__atomic_fetch_add(&t->n_config, 1, __ATOMIC_RELAXED);
	else
		__atomic_fetch_add(&t->n_interrupts[queue], 1, __ATOMIC_RELAXED);
}

static inline void driver_queue_layout(struct driver *t, unsigned i, uint16_t size)
{
	struct driver_queue *q = &t->q[i];

	q->size = size;
	q->desc_gpa = driver_alloc(t, 16ULL * size, 16);
	q->avail_gpa = driver_alloc(t, 6 + 2ULL * size, 4);
	q->used_gpa = driver_alloc(t, 6 + 8ULL * size, 4);
	q->table_gpa = driver_alloc(t, 16ULL * DRIVER_TABLE_MAX * size, 16);
	q->desc = driver_ptr(t, q->desc_gpa, 16ULL * size);
	q->avail = driver_ptr(t, q->avail_gpa, 6 + 2ULL * size);
	q->used = driver_ptr(t, q->used_gpa, 6 + 8ULL * size);
	q->next = q->last_used = q->kicked = 0;
	q->wrap = q->used_wrap = true;
	q->n_free = size;
	for (uint16_t n = 0; n < size; n++)
		q->free_id[n] = (uint16_t)(size - 1 - n);
}

/* driver_queue_registers() - tell the device where the queue is, and enable it. */
static inline void driver_queue_registers(struct driver *t, unsigned i)
{
	struct driver_queue *q = &t->q[i];

	vdev_queue_write(t->d, i, VDEV_Q_SIZE, q->size);
	vdev_queue_write(t->d, i, VDEV_Q_DESC_LO, (uint32_t)q->desc_gpa);
	vdev_queue_write(t->d, i, VDEV_Q_DESC_HI, (uint32_t)(q->desc_gpa >> 32));
	vdev_queue_write(t->d, i, VDEV_Q_AVAIL_LO, (uint32_t)q->avail_gpa);
	vdev_queue_write(t->d, i, VDEV_Q_AVAIL_HI, (uint32_t)(q->avail_gpa >> 32));
	vdev_queue_write(t->d, i, VDEV_Q_USED_LO, (uint32_t)q->used_gpa);
	vdev_queue_write(t->d, i, VDEV_Q_USED_HI, (uint32_t)(q->used_gpa >> 32));
	vdev_queue_write(t->d, i, VDEV_Q_ENABLE, 1);
}

/* driver_features() - what the driver will ask for: of @want and the ring features what the device offers. */
static inline void driver_features(struct driver *t, uint64_t want)
{
	t->features = (want | VDEV_F_VERSION_1) & t->d->offered;
	t->packed = t->features & VDEV_F_PACKED;
	t->event_idx = t->features & VDEV_F_EVENT_IDX;
	t->indirect = t->features & VDEV_F_INDIRECT;
}

/**
 * driver_restart() - reset, negotiate, set up queues of @size entries (0: the device's most), DRIVER_OK
 * Return: the status after it
 */
static inline uint8_t driver_restart(struct driver *t, uint64_t features, uint16_t size)
{
	struct vdev *d = t->d;

	vdev_set_status(d, 0);
	vdev_set_status(d, VDEV_S_ACKNOWLEDGE);
	vdev_set_status(d, VDEV_S_ACKNOWLEDGE | VDEV_S_DRIVER);
	driver_features(t, features);
	vdev_set_features(d, t->features);
	vdev_set_status(d, VDEV_S_ACKNOWLEDGE | VDEV_S_DRIVER | VDEV_S_FEATURES_OK);
	for (unsigned i = 0; i < d->n_queues; i++) {
		driver_queue_layout(t, i, size && size < d->queue_max ? size : d->queue_max);
		driver_queue_registers(t, i);
	}
	vdev_set_status(d, VDEV_S_ACKNOWLEDGE | VDEV_S_DRIVER | VDEV_S_FEATURES_OK | VDEV_S_DRIVER_OK);
	return vdev_get_status(d);
}

/* driver_start() - the same with a new device, which is taken; it must come up. @features: of the device and a layout's. */
static inline void driver_start(struct driver *t, struct vdev *d, uint64_t features)
{
	t->d = d;
	d->interrupt = driver_interrupt;
	d->interrupt_arg = t;
	BUG_ON(driver_restart(t, features, 0) !=
	       (VDEV_S_ACKNOWLEDGE | VDEV_S_DRIVER | VDEV_S_FEATURES_OK | VDEV_S_DRIVER_OK));
}

/* --- chains ------------------------------------------------------------------------------------------------- */

static inline void driver_store(uint16_t *p, uint16_t v)
{
	__atomic_store_n(p, htole16(v), __ATOMIC_SEQ_CST);
}

static inline uint16_t driver_load(const uint16_t *p)
{
	return le16toh(__atomic_load_n(p, __ATOMIC_SEQ_CST));
}

/* driver_table() - write @n segments as an indirect table. */
static inline gpa_t driver_table(struct driver *t, unsigned i, uint16_t id, const struct driver_buf *b,
				 unsigned n)
{
	gpa_t at = t->q[i].table_gpa + 16ULL * DRIVER_TABLE_MAX * id;
	struct driver_desc *d = driver_ptr(t, at, 16ULL * n);

	for (unsigned k = 0; k < n; k++) {
		uint16_t flags = (uint16_t)(b[k].write ? 2 : 0);

		d[k].addr = htole64(b[k].gpa);
		d[k].len = htole32(b[k].len);
		d[k].a = htole16(t->packed ? 0 : (uint16_t)(flags | (k + 1 < n ? 1 : 0)));
		d[k].b = htole16(t->packed ? flags : (uint16_t)(k + 1));
	}
	return at;
}

static inline int driver_add_split(struct driver *t, unsigned i, const struct driver_buf *b, unsigned n,
				   uint16_t extra)
{
	struct driver_queue *q = &t->q[i];
	uint16_t head;

	if (n > q->n_free)
		return -ENOSPC;
	head = q->free_id[q->n_free - 1];
	q->n_of[head] = (uint16_t)n;
	for (unsigned k = 0; k < n; k++) {
		uint16_t id = q->free_id[q->n_free - 1 - k];

		q->link[id] = q->free_id[(q->n_free - 2 - k) % VQ_SIZE_MAX];
		q->desc[id].addr = htole64(b[k].gpa);
		q->desc[id].len = htole32(b[k].len);
		q->desc[id].a = htole16((uint16_t)(extra | (b[k].write ? 2 : 0) | (k + 1 < n ? 1 : 0)));
		q->desc[id].b = htole16(k + 1 < n ? q->free_id[q->n_free - 2 - k] : 0);
	}
	q->n_free = (uint16_t)(q->n_free - n);
	q->avail[2 + (q->next & (q->size - 1))] = htole16(head);
	q->next++;
	driver_store(&q->avail[1], q->next);
	return head;
}

static inline int driver_add_packed(struct driver *t, unsigned i, const struct driver_buf *b, unsigned n,
				    uint16_t extra)
{
	struct driver_queue *q = &t->q[i];
	uint16_t id, head_flags = 0, head = q->next;

	if (n > q->n_free)
		return -ENOSPC;
	id = q->free_id[q->n_free - 1];
	for (unsigned k = 0; k < n; k++) {
		struct driver_desc *d = &q->desc[q->next];
		uint16_t flags = (uint16_t)(extra | (b[k].write ? 2 : 0) | (k + 1 < n ? 1 : 0) |
					    (q->wrap ? 1 << 7 : 1 << 15));

		/* as many ids as entries are taken: simple, and enough */
		q->link[q->free_id[q->n_free - 1 - k]] = q->free_id[(q->n_free - 2 - k) % VQ_SIZE_MAX];
		d->addr = htole64(b[k].gpa);
		d->len = htole32(b[k].len);
		d->a = htole16(id);
		if (k == 0)
			head_flags = flags; /* last of all: it makes the chain available */
		else
			driver_store(&d->b, flags);
		if (++q->next == q->size) {
			q->next = 0;
			q->wrap = !q->wrap;
		}
	}
	q->n_of[id] = (uint16_t)n;
	q->n_free = (uint16_t)(q->n_free - n);
	driver_store(&q->desc[head].b, head_flags);
	return id;
}

/**
 * driver_add() - make a chain available on queue @i; readable segments first
 * Indirect, when that was negotiated, for 2 to DRIVER_TABLE_MAX segments.
 * Return: the chain's id; -ENOSPC the ring is full
 */
static inline int driver_add(struct driver *t, unsigned i, const struct driver_buf *b, unsigned n)
{
	struct driver_buf table;
	uint16_t extra = 0;

	if (t->indirect && n >= 2 && n <= DRIVER_TABLE_MAX && t->q[i].n_free > 0) {
		uint16_t id = t->q[i].free_id[t->q[i].n_free - 1];

		table = (struct driver_buf){ driver_table(t, i, id, b, n), 16 * n, false };
		b = &table;
		n = 1;
		extra = 4;
	}
	return t->packed ? driver_add_packed(t, i, b, n, extra) : driver_add_split(t, i, b, n, extra);
}

/* driver_kick() - the device serves the queue, here and now. */
static inline void driver_kick(struct driver *t, unsigned i)
{
	vdev_serve(t->d, i);
}

/* driver_should_kick() - what a driver that honours suppression would do with what was added since it was last asked. */
static inline bool driver_should_kick(struct driver *t, unsigned i)
{
	struct driver_queue *q = &t->q[i];
	uint16_t old = q->kicked, now = q->next, event;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	q->kicked = now;
	if (t->packed) {
		event = driver_load(&q->used[0]);
		if (driver_load(&q->used[1]) != 2)
			return driver_load(&q->used[1]) == 0;
		if ((bool)(event >> 15) != q->wrap)
			event = (uint16_t)((event & 0x7fff) - q->size);
		else
			event &= 0x7fff;
		if (old > now)
			old = (uint16_t)(old - q->size);
	} else {
		if (!t->event_idx)
			return !(driver_load(&q->used[0]) & 1);
		event = driver_load(&q->used[2 + 4 * q->size]);
	}
	return (uint16_t)(now - event - 1) < (uint16_t)(now - old);
}

static inline void driver_free_ids(struct driver_queue *q, uint16_t id)
{
	uint16_t n = q->n_of[id];

	q->n_of[id] = 0;
	for (uint16_t at = id; n > 0; n--, at = q->link[at])
		q->free_id[q->n_free++ % VQ_SIZE_MAX] = at;
}

/* driver_has_used() - a chain has come back. */
static inline bool driver_has_used(struct driver *t, unsigned i)
{
	struct driver_queue *q = &t->q[i];
	uint16_t flags;

	if (!t->packed)
		return driver_load(&q->used[1]) != q->last_used;
	flags = driver_load(&q->desc[q->last_used].b);
	return !!(flags & (1 << 7)) == q->used_wrap && !!(flags & (1 << 15)) == q->used_wrap;
}

/* driver_used() - the next chain that came back. Return: its id, with *ret_len; -EAGAIN none. */
static inline int driver_used(struct driver *t, unsigned i, uint32_t *ret_len)
{
	struct driver_queue *q = &t->q[i];
	uint32_t elem[2];
	uint16_t id;

	if (!driver_has_used(t, i))
		return -EAGAIN;
	if (t->packed) {
		id = le16toh(q->desc[q->last_used].a);
		elem[1] = q->desc[q->last_used].len;
		BUG_ON(id >= q->size || q->n_of[id] == 0);
		q->last_used = (uint16_t)(q->last_used + q->n_of[id]);
		if (q->last_used >= q->size) {
			q->last_used = (uint16_t)(q->last_used - q->size);
			q->used_wrap = !q->used_wrap;
		}
	} else {
		memcpy(elem, &q->used[2 + 4 * (q->last_used & (q->size - 1))], sizeof(elem));
		BUG_ON(le32toh(elem[0]) >= q->size || q->n_of[le32toh(elem[0])] == 0);
		id = (uint16_t)le32toh(elem[0]);
		q->last_used++;
	}
	driver_free_ids(q, id);
	if (ret_len)
		*ret_len = le32toh(elem[1]);
	return id;
}

/* driver_quiet() - no interrupts, please; or again. */
static inline void driver_quiet(struct driver *t, unsigned i, bool quiet)
{
	struct driver_queue *q = &t->q[i];

	if (t->packed)
		driver_store(&q->avail[1], quiet ? 1 : 0);
	else if (t->event_idx)
		driver_store(&q->avail[2 + q->size], (uint16_t)(quiet ? q->last_used - 1 : q->last_used));
	else
		driver_store(&q->avail[0], quiet ? 1 : 0);
}

/* --- whole requests ----------------------------------------------------------------------------------------- */

struct driver_watch {
	struct driver *t;
	unsigned i, left_ms;
	struct loop_timer timer;
};

static inline void driver_watch_fire(void *arg)
{
	struct driver_watch *w = arg;

	if (driver_has_used(w->t, w->i) || w->left_ms-- == 0)
		w->t->d->loop->stop = true;
	else
		loop_timer_set(w->t->d->loop, &w->timer, NSEC_PER_MSEC);
}

/* driver_wait() - run the device's loop until a chain comes back on queue @i, at most @ms. Return: whether one did. */
static inline bool driver_wait(struct driver *t, unsigned i, unsigned ms)
{
	struct driver_watch w = { .t = t, .i = i, .left_ms = ms };

	w.timer.fire = driver_watch_fire;
	w.timer.arg = &w;
	t->d->loop->stop = false;
	loop_timer_set(t->d->loop, &w.timer, 0);
	loop_run(t->d->loop);
	loop_timer_off(t->d->loop, &w.timer);
	return driver_has_used(t, i);
}

/**
 * driver_request() - one chain of @out (readable) and @in (writable) bytes through queue @i, each in one segment
 * A device with a loop is waited for, 5 s at most. Buffers are free again afterwards.
 * Return: the length the device gave; -ENOSPC; -EAGAIN it did not come back
 */
static inline long driver_request(struct driver *t, unsigned i, const void *out, uint32_t n_out, void *in,
				  uint32_t n_in)
{
	gpa_t brk = t->brk;
	struct driver_buf b[2];
	unsigned n = 0;
	uint32_t len = 0;
	int r;

	if (n_out > 0)
		b[n++] = (struct driver_buf){ driver_put(t, out, n_out), n_out, false };
	if (n_in > 0)
		b[n++] = (struct driver_buf){ driver_alloc(t, n_in, 8), n_in, true };
	r = driver_add(t, i, b, n);
	if (r < 0)
		return r;
	driver_kick(t, i);
	if (!driver_has_used(t, i) && t->d->loop)
		driver_wait(t, i, 5000);
	r = driver_used(t, i, &len);
	if (r >= 0 && n_in > 0)
		memcpy(in, driver_ptr(t, b[n - 1].gpa, n_in), n_in);
	if (r >= 0)
		t->brk = brk;
	return r < 0 ? r : (long)len;
}

/* driver_move() - save the started device, free it, restore the state into @fresh (taken) and resume that: as a snapshot does. */
static inline int driver_move(struct driver *t, struct vdev *fresh, struct err *e)
{
	struct buf b = { 0 };
	struct record_out o = { .to = &b };
	struct record_in in;
	int r;

	vdev_pause(t->d);
	vdev_save(t->d, &o);
	BUG_ON(buf_finish(&b) < 0);
	vdev_free(t->d);
	t->d = fresh;
	fresh->interrupt = driver_interrupt;
	fresh->interrupt_arg = t;
	record_init(&in, b.data, b.len, e);
	vdev_restore(fresh, &in);
	r = record_finish(&in);
	buf_fini(&b);
	if (r == 0)
		vdev_resume(fresh);
	return r;
}

/* --- hostile rings ------------------------------------------------------------------------------------------ */

enum driver_hostile_kind {
	HOSTILE_ADDR_OUTSIDE,
	HOSTILE_ADDR_WRAPS,
	HOSTILE_LEN_HUGE,
	HOSTILE_LEN_TOTAL, /* each is fine, the sum is not */
	HOSTILE_WRITE_BEFORE_READ,
	HOSTILE_LOOP,
	HOSTILE_INDEX_JUMP,         /* split */
	HOSTILE_HEAD_OUT_OF_RANGE,  /* split */
	HOSTILE_NEXT_OUT_OF_RANGE,  /* split */
	HOSTILE_INDIRECT_NOT_TAKEN, /* without the feature; with it the rest */
	HOSTILE_INDIRECT_EMPTY,
	HOSTILE_INDIRECT_ODD_LENGTH,
	HOSTILE_INDIRECT_OUTSIDE,
	HOSTILE_INDIRECT_HUGE,
	HOSTILE_INDIRECT_AND_NEXT,
	HOSTILE_INDIRECT_IN_INDIRECT,
	HOSTILE_INDIRECT_LOOP,     /* split */
	HOSTILE_INDIRECT_NEXT_OUT, /* split */
	HOSTILE_INDIRECT_SEGMENTS, /* more of them than a chain may have */
	HOSTILE_COUNT
};

/* driver_raw() - the descriptor @k entries on from the next one (packed: available), without any bookkeeping. */
static inline void driver_raw(struct driver *t, unsigned i, unsigned k, uint64_t addr, uint32_t len,
			      uint16_t flags, uint16_t next)
{
	struct driver_queue *q = &t->q[i];
	unsigned at = t->packed ? q->next + k : k;
	bool wrap = q->wrap;

	if (t->packed && at >= q->size) {
		at -= q->size;
		wrap = !wrap;
	}
	q->desc[at % q->size] =
		(struct driver_desc){ htole64(addr), htole32(len), htole16(flags), htole16(next) };
	if (t->packed) {
		q->desc[at].a = htole16(next);
		driver_store(&q->desc[at].b, (uint16_t)(flags | (wrap ? 1 << 7 : 1 << 15)));
	}
}

/* driver_raw_table() - entry @k of the table of id 0. */
static inline void driver_raw_table(struct driver *t, unsigned i, unsigned k, uint64_t addr, uint32_t len,
				    uint16_t flags, uint16_t next)
{
	struct driver_desc *d = driver_ptr(t, t->q[i].table_gpa + 16ULL * k, 16);

	*d = (struct driver_desc){ htole64(addr), htole32(len), htole16(t->packed ? 0 : flags),
				   htole16(t->packed ? flags : next) };
}

/* driver_raw_publish() - split: descriptor @head is available, index moved by @by. */
static inline void driver_raw_publish(struct driver *t, unsigned i, uint16_t head, uint16_t by)
{
	struct driver_queue *q = &t->q[i];

	if (t->packed)
		return;
	q->avail[2 + (q->next & (q->size - 1))] = htole16(head);
	q->next = (uint16_t)(q->next + by);
	driver_store(&q->avail[1], q->next);
}

static inline bool driver_hostile_indirect(struct driver *t, unsigned i, enum driver_hostile_kind kind)
{
	gpa_t table = t->q[i].table_gpa, good = 0x1000;

	if (!t->indirect)
		return false;
	switch (kind) {
	case HOSTILE_INDIRECT_EMPTY: driver_raw(t, i, 0, table, 0, 4, 0); break;
	case HOSTILE_INDIRECT_ODD_LENGTH: driver_raw(t, i, 0, table, 17, 4, 0); break;
	case HOSTILE_INDIRECT_OUTSIDE: driver_raw(t, i, 0, t->mem_bytes - 16, 32, 4, 0); break;
	case HOSTILE_INDIRECT_HUGE: driver_raw(t, i, 0, table, 16 * (VQ_INDIRECT_MAX + 1), 4, 0); break;
	case HOSTILE_INDIRECT_AND_NEXT:
		driver_raw_table(t, i, 0, good, 8, 0, 0);
		driver_raw(t, i, 1, good, 8, 0, 0);
		driver_raw(t, i, 0, table, 16, 4 | 1, 1);
		break;
	case HOSTILE_INDIRECT_IN_INDIRECT:
		driver_raw_table(t, i, 0, table, 16, 4, 0);
		driver_raw(t, i, 0, table, 16, 4, 0);
		break;
	case HOSTILE_INDIRECT_LOOP:
		if (t->packed)
			return false;
		driver_raw_table(t, i, 0, good, 8, 1, 1);
		driver_raw_table(t, i, 1, good, 8, 1, 0);
		driver_raw(t, i, 0, table, 32, 4, 0);
		break;
	case HOSTILE_INDIRECT_NEXT_OUT:
		if (t->packed)
			return false;
		driver_raw_table(t, i, 0, good, 8, 1, 2);
		driver_raw(t, i, 0, table, 32, 4, 0);
		break;
	default: /* HOSTILE_INDIRECT_SEGMENTS */
		for (unsigned k = 0; k <= VQ_SEGS_MAX; k++)
			driver_raw_table(t, i, (uint16_t)k, good + 16 * (gpa_t)(k % 100), 8, k < VQ_SEGS_MAX,
					 (uint16_t)(k + 1));
		driver_raw(t, i, 0, table, 16 * (VQ_SEGS_MAX + 1), 4, 0);
		break;
	}
	driver_raw_publish(t, i, 0, 1);
	return true;
}

/* driver_hostile() - put something on a fresh queue @i that no device may believe. Return: false: not with this layout. */
static inline bool driver_hostile(struct driver *t, unsigned i, enum driver_hostile_kind kind)
{
	struct driver_queue *q = &t->q[i];
	gpa_t good = 0x1000;
	uint16_t by = 1, head = 0;

	if (kind > HOSTILE_INDIRECT_NOT_TAKEN)
		return driver_hostile_indirect(t, i, kind);
	if (t->packed && kind >= HOSTILE_INDEX_JUMP && kind <= HOSTILE_NEXT_OUT_OF_RANGE)
		return false;
	switch (kind) {
	case HOSTILE_ADDR_OUTSIDE: driver_raw(t, i, 0, t->mem_bytes - 4, 8, 2, 0); break;
	case HOSTILE_ADDR_WRAPS: driver_raw(t, i, 0, UINT64_MAX - 3, 8, 2, 0); break;
	case HOSTILE_LEN_HUGE: driver_raw(t, i, 0, good, UINT32_MAX, 2, 0); break;
	case HOSTILE_LEN_TOTAL:
		for (uint16_t k = 0; k < q->size; k++)
			driver_raw(t, i, k, good, (uint32_t)t->mem_bytes / 2, 2 | (k + 1 < q->size),
				   (uint16_t)(k + 1));
		if ((uint64_t)q->size * (t->mem_bytes / 2) <= VQ_CHAIN_BYTES_MAX)
			return false;
		break;
	case HOSTILE_WRITE_BEFORE_READ:
		driver_raw(t, i, 1, good, 8, 0, 0);
		driver_raw(t, i, 0, good, 8, 2 | 1, 1);
		break;
	case HOSTILE_LOOP:
		for (uint16_t k = 0; k < q->size; k++)
			driver_raw(t, i, k, good, 8, 1, (uint16_t)((k + 1) % q->size));
		break;
	case HOSTILE_INDEX_JUMP:
		driver_raw(t, i, 0, good, 8, 0, 0);
		by = (uint16_t)(q->size + 1);
		break;
	case HOSTILE_HEAD_OUT_OF_RANGE: head = q->size; break;
	case HOSTILE_NEXT_OUT_OF_RANGE: driver_raw(t, i, 0, good, 8, 1, q->size); break;
	default: /* HOSTILE_INDIRECT_NOT_TAKEN */
		if (t->indirect)
			return false;
		driver_raw_table(t, i, 0, good, 8, 0, 0);
		driver_raw(t, i, 0, q->table_gpa, 16, 4, 0);
		break;
	}
	driver_raw_publish(t, i, head, by);
	return true;
}

/**
 * driver_hostile_all() - every kind, every layout, on queue @i of a device that pops when it is kicked
 * @make: a fresh device on t->mem
 * Aborts, saying which, unless each ends in DEVICE_NEEDS_RESET, told once, and the device works on after a reset.
 */
static inline void driver_hostile_all(struct vdev *(*make)(struct driver *t), unsigned i, uint64_t features)
{
	unsigned tried = 0;

	for (unsigned l = 0; l < DRIVER_LAYOUTS; l++)
		for (int kind = 0; kind < HOSTILE_COUNT; kind++) {
			struct driver t;

			driver_init(&t, 16 << 20);
			driver_start(&t, make(&t), features | driver_layouts[l].features);
			if (driver_hostile(&t, i, kind)) {
				tried++;
				driver_kick(&t, i);
				driver_kick(&t, i);
				if (!(vdev_get_status(t.d) & VDEV_S_NEEDS_RESET) || t.n_config != 1)
					fprintf(stderr, "hostile kind %d, %s: status 0x%x\n", kind,
						driver_layouts[l].name, vdev_get_status(t.d));
				BUG_ON(!(vdev_get_status(t.d) & VDEV_S_NEEDS_RESET) || t.n_config != 1);
				BUG_ON(driver_restart(&t, features | driver_layouts[l].features, 0) &
				       VDEV_S_NEEDS_RESET);
			}
			driver_fini(&t);
		}
	BUG_ON(tried < 40);
}

#endif
