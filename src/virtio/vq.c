/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vq.c - what both ring layouts have in common: enabling, breaking, saving
 *
 * Theory of operation. A queue is *set up* (the transport writes size and addresses), *enabled* (checked, pointers taken) and
 * perhaps *broken* until it is reset. Breaking is final: -EPROTO from vq_pop() and vq_push(), silence from the rest. All
 * ring words are read once; what is decided on is the copy.
 *
 * One worker uses a queue at a time. The other side of every barrier here is the guest's driver; each names its partner.
 */
#include "virtio/vq.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "fmt/record.h"
#include "virtio/vq_internal.h"

enum { VQ_RECORD_VERSION = 1 };

static const struct vq_layout *layout(const struct vq *q)
{
	return q->packed ? &vq__packed : &vq__split;
}

uint16_t vq__load(const uint16_t *p)
{
	return le16toh(__atomic_load_n(p, __ATOMIC_RELAXED));
}

uint16_t vq__load_acquire(const uint16_t *p)
{
	return le16toh(__atomic_load_n(p, __ATOMIC_ACQUIRE));
}

void vq__store(uint16_t *p, uint16_t v)
{
	__atomic_store_n(p, htole16(v), __ATOMIC_RELAXED);
}

void vq__store_release(uint16_t *p, uint16_t v)
{
	__atomic_store_n(p, htole16(v), __ATOMIC_RELEASE);
}

void vq__mark(const struct vq *q, gpa_t base, const void *base_p, const void *p, size_t len)
{
	gmem_mark(q->mem, base + (gpa_t)((const uint8_t *)p - (const uint8_t *)base_p), len);
}

int vq__ring_ptr(const struct vq *q, gpa_t addr, uint64_t len, unsigned align, const char *what, void **ret_p,
		 struct err *e)
{
	void *p;

	if (addr & (align - 1))
		return err_set(e, EINVAL, "queue: %s at 0x%llx: not aligned to %u", what,
			       (unsigned long long)addr, align);
	p = gmem_ptr(q->mem, addr, len);
	if (!p)
		return err_set(e, EFAULT, "queue: %s at 0x%llx, %llu bytes: not in memory", what,
			       (unsigned long long)addr, (unsigned long long)len);
	*ret_p = p;
	return 0;
}

int vq_enable(struct vq *q, struct err *e)
{
	int r;

	if (q->size == 0 || q->size > VQ_SIZE_MAX)
		return err_set(e, EINVAL, "queue: %u entries, want 1 to %d", q->size, VQ_SIZE_MAX);
	r = layout(q)->check(q, e);
	if (r < 0)
		return r;
	/* packed: both wrap counters start at 1. Spec: virtio 1.2 §2.8.1 */
	q->next_avail = q->next_used = q->packed ? 0x8000 : 0;
	q->signalled_valid = q->missed = q->undone = q->quiet = q->broken = false;
	q->n_unsignalled = 0;
	q->enabled = true;
	return 0;
}

void vq_reset(struct vq *q)
{
	*q = (struct vq){ .mem = q->mem };
}

static int vq_break(struct vq *q)
{
	q->broken = true;
	q->n_errors++;
	return -EPROTO;
}

int vq_pop(struct vq *q, struct vq_chain *c)
{
	int r;

	if (!q->enabled || q->broken)
		return -EPROTO;
	q->undone = false;
	r = layout(q)->pop(q, c);
	q->missed = r == 0;
	return r < 0 ? vq_break(q) : r;
}

/* mark_written() - the pages behind the cursor, and the last byte's: a status may be there. */
static void mark_written(const struct vq *q, const struct vq_chain *c)
{
	unsigned last = (unsigned)c->n_in + c->n_out;

	if (c->n_out == 0)
		return;
	for (unsigned i = 0; i < c->out_at && i < c->n_out; i++)
		gmem_mark(q->mem, c->gpa[c->n_in + i], c->iov[c->n_in + i].iov_len);
	if (c->out_at < c->n_out && c->out_off > 0)
		gmem_mark(q->mem, c->gpa[c->n_in + c->out_at], c->out_off);
	gmem_mark(q->mem, c->gpa[last - 1] + c->iov[last - 1].iov_len - 1, 1);
}

int vq_push(struct vq *q, const struct vq_chain *c)
{
	if (!q->enabled || q->broken)
		return -EPROTO;
	mark_written(q, c);
	return vq_push_all(q, &(struct vq_done){ c->head, c->n_ring, c->written }, 1);
}

int vq_push_all(struct vq *q, const struct vq_done *d, unsigned n)
{
	unsigned entries = q->n_unsignalled;

	if (!q->enabled || q->broken)
		return -EPROTO;
	if (n == 0)
		return 0;
	layout(q)->push(q, d, n);
	for (unsigned i = 0; i < n; i++)
		entries += d[i].n_ring;
	q->n_unsignalled = (uint16_t)(entries < q->size ? entries : q->size);
	return 0;
}

void vq_undo(struct vq *q, const struct vq_chain *c)
{
	if (!q->enabled || q->broken)
		return;
	if (!q->undone)
		/*
		 * Where news begins. A worker that has seen all waits for more: for whatever came since. One that stopped
		 * before the end waits for something else: what is there by now must not make it try again at once.
		 */
		q->seen = q->missed ? q->next_avail : layout(q)->end(q);
	layout(q)->undo(q, c);
	q->undone = true;
}

bool vq_should_interrupt(struct vq *q)
{
	bool yes;

	if (!q->enabled || q->broken || q->n_unsignalled == 0)
		return false;
	/*
	 * Full barrier between the used entries just stored and the driver's wish about to be loaded; its partner is the
	 * driver's between storing the wish and looking for used entries. One of the two sees the other's store.
	 */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	yes = layout(q)->should_interrupt(q);
	q->signalled = q->next_used;
	q->signalled_valid = true;
	q->n_unsignalled = 0;
	if (yes)
		q->n_interrupts++;
	else
		q->n_suppressed++;
	return yes;
}

void vq_quiet(struct vq *q)
{
	if (!q->enabled || q->broken || q->quiet)
		return;
	q->quiet = true;
	layout(q)->quiet(q);
}

bool vq_wake(struct vq *q)
{
	if (!q->enabled || q->broken)
		return false;
	q->quiet = false;
	return layout(q)->wake(q);
}

/* --- state -------------------------------------------------------------------------------------------------- */

void vq_save(const struct vq *q, struct record_out *o)
{
	record_begin(o, "VQ", VQ_RECORD_VERSION);
	record_put_u16(o, q->size);
	record_put_u64(o, q->desc);
	record_put_u64(o, q->avail);
	record_put_u64(o, q->used);
	record_put_u8(o, q->enabled);
	record_put_u8(o, q->broken);
	record_put_u8(o, q->packed);
	record_put_u8(o, q->event_idx);
	record_put_u8(o, q->indirect);
	record_put_u8(o, q->quiet);
	record_put_u16(o, q->next_avail);
	record_put_u16(o, q->next_used);
	record_put_u16(o, q->signalled);
	record_put_u8(o, q->signalled_valid);
	record_put_u16(o, q->n_unsignalled);
	record_end(o);
}

static void get(struct record_in *in, struct vq *q)
{
	q->size = record_get_u16(in);
	q->desc = record_get_u64(in);
	q->avail = record_get_u64(in);
	q->used = record_get_u64(in);
	q->enabled = record_get_u8(in) & 1;
	q->broken = record_get_u8(in) & 1;
	q->packed = record_get_u8(in) & 1;
	q->event_idx = record_get_u8(in) & 1;
	q->indirect = record_get_u8(in) & 1;
	q->quiet = record_get_u8(in) & 1;
	q->next_avail = record_get_u16(in);
	q->next_used = record_get_u16(in);
	q->signalled = record_get_u16(in);
	q->signalled_valid = record_get_u8(in) & 1;
	q->n_unsignalled = record_get_u16(in);
}

void vq_restore(struct vq *q, struct record_in *in)
{
	struct vq saved = { .mem = q->mem }, fresh;
	struct err e = { 0 };

	record_open(in, "VQ", VQ_RECORD_VERSION);
	get(in, &saved);
	record_close(in);
	if (in->rc < 0)
		return;
	fresh = saved;
	fresh.enabled = false;
	if (saved.enabled) { /* the door a guest goes through; then where it had got to */
		if (vq_enable(&fresh, &e) < 0) {
			record_fail(in, "%s", e.text);
			return;
		}
		fresh.next_avail = saved.next_avail;
		fresh.next_used = saved.next_used;
		fresh.signalled = saved.signalled;
		fresh.signalled_valid = saved.signalled_valid;
		fresh.n_unsignalled = saved.n_unsignalled <= saved.size ? saved.n_unsignalled : saved.size;
		fresh.quiet = saved.quiet;
		fresh.broken = saved.broken;
		if (!layout(&fresh)->positions_ok(&fresh)) {
			record_fail(in, "queue: positions %u and %u are impossible", saved.next_avail,
				    saved.next_used);
			return;
		}
	}
	*q = fresh;
}
