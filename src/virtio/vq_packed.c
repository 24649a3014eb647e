/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vq_packed.c - the packed ring: one ring of descriptors that driver and device both write
 *
 * A position is an index and a wrap counter (bit 15) that flips each time around. A descriptor is available when its AVAIL flag
 * equals the driver's wrap counter and its USED flag does not; the device marks it used by making both equal its own.
 *
 * Spec: virtio 1.2 §2.8
 */
#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "virtio/vq_internal.h"

enum { F_AVAIL = 1 << 7, F_USED = 1 << 15, WRAP = 1 << 15 };
enum { EVENT_ENABLE = 0, EVENT_DISABLE = 1, EVENT_DESC = 2 };

struct packed_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t id, flags;
};

struct event {
	uint16_t at, flags; /* @at: position, for EVENT_DESC */
};

static_assert(sizeof(struct packed_desc) == 16, "a descriptor has 16 bytes");

static int packed_check(struct vq *q, struct err *e)
{
	int r = vq__ring_ptr(q, q->desc, 16ULL * q->size, 16, "descriptors", &q->desc_p, e);

	if (r == 0)
		r = vq__ring_ptr(q, q->avail, sizeof(struct event), 4, "driver event", &q->avail_p, e);
	if (r == 0)
		r = vq__ring_ptr(q, q->used, sizeof(struct event), 4, "device event", &q->used_p, e);
	return r;
}

/* step() - position @at, @n entries further on; @n <= the ring's size. */
static uint16_t step(const struct vq *q, uint16_t at, unsigned n)
{
	unsigned i = (at & ~WRAP) + n, wrap = at & WRAP;

	if (i >= q->size) {
		i -= q->size;
		wrap ^= WRAP;
	}
	return (uint16_t)(i | wrap);
}

/* linear() - positions as numbers below twice the size, so that distances can be taken. */
static unsigned linear(const struct vq *q, uint16_t at)
{
	return ((at & ~WRAP) + (at & WRAP ? 0 : q->size)) % (2U * q->size);
}

static unsigned distance(const struct vq *q, uint16_t from, uint16_t to)
{
	return (linear(q, to) + 2U * q->size - linear(q, from)) % (2U * q->size);
}

static struct packed_desc *entry(const struct vq *q, uint16_t at)
{
	return (struct packed_desc *)q->desc_p + (at & ~WRAP);
}

/* is_available() - acquire: pairs with the driver's write barrier before it stored the flags. Spec: §2.8.21 */
static bool is_available(const struct vq *q, uint16_t at)
{
	uint16_t flags = vq__load_acquire(&entry(q, at)->flags);
	bool wrap = at & WRAP;

	return !!(flags & F_AVAIL) == wrap && !!(flags & F_USED) != wrap;
}

static void tell_event(struct vq *q, uint16_t at, uint16_t flags)
{
	struct event *ev = q->used_p;

	vq__store(&ev->at, at);
	/* release: the position before the flags that make it count; pairs with the driver's single load or its barrier */
	vq__store_release(&ev->flags, flags);
	vq__mark(q, q->used, ev, ev, sizeof(*ev));
}

/* arm() - ask for a kick at the next descriptor made available, or at any. */
static void arm(struct vq *q, bool any)
{
	if (q->event_idx && !any)
		tell_event(q, q->next_avail, EVENT_DESC);
	else
		tell_event(q, 0, EVENT_ENABLE);
	/* full barrier: pairs with the driver's between making available and loading the event. Spec: §2.8.21.3.1 */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* walk() - the chain at next_avail. Return: entries it takes, or -EPROTO. */
static int walk(const struct vq *q, struct vq_chain *c)
{
	for (unsigned n = 0; n < q->size; n++) {
		struct packed_desc d;
		uint16_t flags;
		int r;

		memcpy(&d, entry(q, step(q, q->next_avail, n)), sizeof(d));
		flags = le16toh(d.flags);
		if (flags & VQ_F_INDIRECT)
			r = flags & VQ_F_NEXT ?
				    -EPROTO :
				    vq__chain_indirect(q, c, le64toh(d.addr), le32toh(d.len), false);
		else
			r = vq__chain_add(q, c, le64toh(d.addr), le32toh(d.len), flags & VQ_F_WRITE);
		if (r < 0)
			return r;
		if (!(flags & VQ_F_NEXT)) {
			c->head = le16toh(d.id); /* Spec: §2.8.6: the last one's id is the buffer's */
			return (int)n + 1;
		}
	}
	return -EPROTO; /* longer than the ring */
}

static int packed_pop(struct vq *q, struct vq_chain *c)
{
	bool any = is_available(q, q->next_avail);
	int n;

	if (!any && q->event_idx && !q->quiet) {
		arm(q, false);
		any = is_available(q, q->next_avail);
	}
	if (!any)
		return 0;
	vq__chain_begin(c);
	n = walk(q, c);
	if (n < 0)
		return n;
	vq__chain_end(c);
	c->n_ring = (uint16_t)n;
	q->next_avail = step(q, q->next_avail, c->n_ring);
	return 1;
}

/* used_flags() - of an entry at ring position @at. */
static uint16_t used_flags(uint16_t at, uint32_t written)
{
	/* with something written the length counts. Spec: §2.8.5 */
	return (uint16_t)((at & WRAP ? F_AVAIL | F_USED : 0) | (written > 0 ? VQ_F_WRITE : 0));
}

static void packed_push(struct vq *q, const struct vq_done *d, unsigned n)
{
	uint16_t first = q->next_used;

	for (unsigned i = 0; i < n; i++) {
		struct packed_desc *p = entry(q, q->next_used);

		p->id = htole16(d[i].head);
		p->len = htole32(d[i].written);
		if (i > 0) /* the driver gets there through the first, which it does not see yet */
			vq__store(&p->flags, used_flags(q->next_used, d[i].written));
		vq__mark(q, q->desc, q->desc_p, p, sizeof(*p));
		q->next_used = step(q, q->next_used, d[i].n_ring);
	}
	/* release: all of it, and what the device wrote, before the flags; pairs with the driver's read barrier. Spec: §2.8.21 */
	vq__store_release(&entry(q, first)->flags, used_flags(first, d[0].written));
}

static void packed_undo(struct vq *q, const struct vq_chain *c)
{
	unsigned i = q->next_avail & ~WRAP, wrap = q->next_avail & WRAP;

	if (i < c->n_ring) {
		i += q->size;
		wrap ^= WRAP;
	}
	q->next_avail = (uint16_t)((i - c->n_ring) | wrap);
}

static uint16_t packed_end(const struct vq *q)
{
	uint16_t at = q->next_avail;

	for (unsigned n = 0; n < q->size && is_available(q, at); n++)
		at = step(q, at, 1);
	return at;
}

static bool packed_should_interrupt(struct vq *q)
{
	const struct event *ev = q->avail_p;
	/* acquire: the flags before the position that they may refer to; pairs with the driver's write barrier */
	uint16_t flags = vq__load_acquire(&ev->flags) & 3, at;

	if (flags == EVENT_DISABLE)
		return false;
	if (flags != EVENT_DESC || !q->event_idx)
		return true;
	at = vq__load(&ev->at);
	if (!q->signalled_valid || q->n_unsignalled >= q->size || (at & ~WRAP) >= q->size)
		return true;
	/* is @at among what was used since the last look? Spec: §2.8.10 */
	return distance(q, q->signalled, at) < distance(q, q->signalled, q->next_used);
}

static void packed_quiet(struct vq *q)
{
	tell_event(q, 0, EVENT_DISABLE);
}

static bool packed_wake(struct vq *q)
{
	arm(q, q->undone);
	return is_available(q, q->undone ? q->seen : q->next_avail);
}

static bool packed_positions_ok(const struct vq *q)
{
	return (q->next_avail & ~WRAP) < q->size && (q->next_used & ~WRAP) < q->size &&
	       distance(q, q->next_used, q->next_avail) <= q->size && (q->signalled & ~WRAP) < q->size;
}

const struct vq_layout vq__packed = {
	.check = packed_check,
	.pop = packed_pop,
	.push = packed_push,
	.undo = packed_undo,
	.end = packed_end,
	.should_interrupt = packed_should_interrupt,
	.quiet = packed_quiet,
	.wake = packed_wake,
	.positions_ok = packed_positions_ok,
};
