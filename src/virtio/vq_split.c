/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vq_split.c - the split ring: a table of descriptors, the driver's ring of heads, the device's ring of used heads
 *
 * Spec: virtio 1.2 §2.7
 */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "virtio/vq_internal.h"

enum { AVAIL_NO_INTERRUPT = 1, USED_NO_NOTIFY = 1 };

struct avail {
	uint16_t flags, idx, ring[]; /* behind the ring: used_event */
};

struct used_elem {
	uint32_t id, len;
};

struct used {
	uint16_t flags, idx;
	struct used_elem ring[]; /* behind the ring: avail_event */
};

static uint16_t *avail_event(const struct vq *q)
{
	return (uint16_t *)&((struct used *)q->used_p)->ring[q->size];
}

static const uint16_t *used_event(const struct vq *q)
{
	return &((const struct avail *)q->avail_p)->ring[q->size];
}

static int split_check(struct vq *q, struct err *e)
{
	int r;

	if (q->size & (q->size - 1))
		return err_set(e, EINVAL, "queue: %u entries, want a power of two", q->size);
	r = vq__ring_ptr(q, q->desc, 16ULL * q->size, 16, "descriptors", &q->desc_p, e);
	if (r == 0)
		r = vq__ring_ptr(q, q->avail, 6 + 2ULL * q->size, 2, "available ring", &q->avail_p, e);
	if (r == 0)
		r = vq__ring_ptr(q, q->used, 6 + 8ULL * q->size, 4, "used ring", &q->used_p, e);
	return r;
}

static void tell_avail_event(struct vq *q, uint16_t at)
{
	vq__store(avail_event(q), at);
	vq__mark(q, q->used, q->used_p, avail_event(q), 2);
}

/* waiting() - how many chains; more than the ring holds is a lie. Return: count or -EPROTO. */
static int waiting(const struct vq *q, uint16_t idx)
{
	uint16_t n = (uint16_t)(idx - q->next_avail);

	return n > q->size ? -EPROTO : n;
}

static int look(struct vq *q)
{
	/* acquire: pairs with the driver's write barrier between ring entry and index. Spec: §2.7.13.3 */
	return waiting(q, vq__load_acquire(&((const struct avail *)q->avail_p)->idx));
}

/*
 * look_again() - nothing waits: ask for a kick at the next one, then look once more. The full barrier's partner is the driver's
 * between storing its index and loading avail_event; one of the two sees the other's store. Spec: §2.7.10
 */
static int look_again(struct vq *q)
{
	tell_avail_event(q, q->next_avail);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return look(q);
}

/* walk() - the chain that begins at @head. */
static int walk(const struct vq *q, struct vq_chain *c, uint16_t head)
{
	uint16_t i = head;

	for (unsigned steps = 0; steps < q->size; steps++) { /* more steps than entries would be a loop */
		struct vq_desc d;
		uint16_t flags;

		memcpy(&d, (const struct vq_desc *)q->desc_p + i, sizeof(d));
		flags = le16toh(d.flags);
		if (flags & VQ_F_INDIRECT)
			/* Spec: §2.7.5.3.1: it is the last of its chain */
			return flags & VQ_F_NEXT ?
				       -EPROTO :
				       vq__chain_indirect(q, c, le64toh(d.addr), le32toh(d.len), true);
		if (vq__chain_add(q, c, le64toh(d.addr), le32toh(d.len), flags & VQ_F_WRITE) < 0)
			return -EPROTO;
		if (!(flags & VQ_F_NEXT))
			return 0;
		i = le16toh(d.next);
		if (i >= q->size)
			return -EPROTO;
	}
	return -EPROTO;
}

static int split_pop(struct vq *q, struct vq_chain *c)
{
	const struct avail *a = q->avail_p;
	int n = look(q);
	uint16_t head;

	if (n == 0 && q->event_idx && !q->quiet)
		n = look_again(q);
	if (n <= 0)
		return n;
	head = vq__load(&a->ring[q->next_avail & (q->size - 1)]);
	if (head >= q->size)
		return -EPROTO;
	vq__chain_begin(c);
	c->head = head;
	c->n_ring = 1;
	if (walk(q, c, head) < 0)
		return -EPROTO;
	vq__chain_end(c);
	q->next_avail++;
	return 1;
}

static void split_push(struct vq *q, const struct vq_done *d, unsigned n)
{
	struct used *u = q->used_p;

	for (unsigned i = 0; i < n; i++) {
		struct used_elem *elem = &u->ring[q->next_used & (q->size - 1)];

		elem->id = htole32(d[i].head);
		elem->len = htole32(d[i].written);
		q->next_used++;
		vq__mark(q, q->used, u, elem, sizeof(*elem));
	}
	/* release: the entries, and what the device wrote, before the index; pairs with the driver's read barrier. Spec: §2.7.8.2 */
	vq__store_release(&u->idx, q->next_used);
	vq__mark(q, q->used, u, &u->idx, sizeof(u->idx));
}

static void split_undo(struct vq *q, const struct vq_chain *c)
{
	(void)c;
	q->next_avail--;
}

static uint16_t split_end(const struct vq *q)
{
	return vq__load(&((const struct avail *)q->avail_p)->idx);
}

static bool split_should_interrupt(struct vq *q)
{
	uint16_t event, now = q->next_used;

	if (!q->event_idx)
		return !(vq__load(&((const struct avail *)q->avail_p)->flags) & AVAIL_NO_INTERRUPT);
	event = vq__load(used_event(q));
	if (!q->signalled_valid || q->n_unsignalled >= q->size)
		return true;
	/* has the index gone past @event since the last look? Spec: §2.7.10 */
	return (uint16_t)(now - event - 1) < (uint16_t)(now - q->signalled);
}

static void split_quiet(struct vq *q)
{
	struct used *u = q->used_p;

	if (q->event_idx) /* avail_event stays where it is, behind the driver's index: no kick for a long way */
		return;
	vq__store(&u->flags, USED_NO_NOTIFY);
	vq__mark(q, q->used, u, &u->flags, sizeof(u->flags));
}

static bool split_wake(struct vq *q)
{
	const struct avail *a = q->avail_p;
	struct used *u = q->used_p;
	uint16_t idx = q->undone ? q->seen : q->next_avail;

	if (q->event_idx) {
		tell_avail_event(q, idx);
	} else {
		vq__store(&u->flags, 0);
		vq__mark(q, q->used, u, &u->flags, sizeof(u->flags));
	}
	/* full barrier: partner as in look_again() */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return vq__load(&a->idx) != idx;
}

static bool split_positions_ok(const struct vq *q)
{
	return (uint16_t)(q->next_avail - q->next_used) <= q->size;
}

const struct vq_layout vq__split = {
	.check = split_check,
	.pop = split_pop,
	.push = split_push,
	.undo = split_undo,
	.end = split_end,
	.should_interrupt = split_should_interrupt,
	.quiet = split_quiet,
	.wake = split_wake,
	.positions_ok = split_positions_ok,
};
