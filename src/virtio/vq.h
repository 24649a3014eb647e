/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vq.h - one virtqueue, split or packed, and the one checked way from a ring to bytes
 *
 * A device sees chains of bytes, never descriptors. vq_pop() copies a chain's descriptors once, checks them (ranges, loops,
 * direction, total length, indirect tables) and turns them into host addresses; from there on nothing the guest does to its
 * rings matters to the request. A ring that cannot be trusted breaks the queue: vq_pop() and vq_push() say -EPROTO from then
 * on, and the transport sets DEVICE_NEEDS_RESET.
 *
 * Layout (addresses, size) is frozen by vq_enable(); later writes to the transport's registers do not reach it.
 *
 * Spec: virtio 1.2 §2.6 virtqueues, §2.7 split, §2.8 packed
 */
#ifndef VIRTIO_VQ_H
#define VIRTIO_VQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "mem/gmem.h"

struct err;
struct record_in;
struct record_out;

enum {
	VQ_SIZE_MAX = 256,           /* entries of a ring */
	VQ_INDIRECT_MAX = 1024,      /* entries of an indirect table */
	VQ_SEGS_MAX = 256,           /* segments of one chain, after neighbours are joined */
	VQ_CHAIN_BYTES_MAX = 1 << 28 /* of one chain, both directions */
};

struct vq {
	const struct gmem *mem;  /* borrowed */
	uint16_t size;           /* entries; a power of two for a split ring */
	gpa_t desc, avail, used; /* packed: descriptor ring, driver event, device event */
	bool enabled, broken;
	bool packed, event_idx, indirect; /* as negotiated, from the device's features at vq_enable() */
	uint16_t next_avail,
		next_used;  /* free running (split), or ring position with wrap in bit 15 (packed) */
	uint16_t signalled; /* next_used when the guest was last interrupted */
	bool signalled_valid;
	uint16_t n_unsignalled; /* ring entries used since then; stops at the ring's size */
	bool missed;            /* the last vq_pop() found nothing: the worker has seen all there is */
	bool undone;            /* the last chain seen was put back: only newer ones are news */
	uint16_t seen;          /* where the newer ones begin */
	bool quiet;             /* the guest was told not to kick (vq_quiet()) */
	void *desc_p, *avail_p, *used_p; /* checked by vq_enable() */
	uint64_t n_kicks, n_interrupts, n_suppressed, n_errors;
};

/* A request. Cursors move through its readable part and its writable part separately. */
struct vq_chain {
	uint16_t head;              /* buffer id given back to the guest */
	uint16_t n_ring;            /* ring entries it took (packed) */
	uint16_t n_in, n_out;       /* segments the device reads; writes (iov[n_in...]) */
	uint32_t in_left, out_left; /* bytes not yet read; not yet written */
	uint32_t written;   /* bytes the device has written from the start; the length the guest is told */
	uint32_t out_total; /* bytes of the writable part */
	uint16_t in_at, out_at;   /* segments the cursors are in */
	uint32_t in_off, out_off; /* bytes into them */
	struct iovec iov[VQ_SEGS_MAX];
	gpa_t gpa[VQ_SEGS_MAX]; /* of each segment, for dirty marks */
};

/**
 * vq_enable() - take the layout as the driver has set it, check it, start at the beginning
 * Return: 0; -EINVAL size or alignment; -EFAULT not in memory
 */
int vq_enable(struct vq *q, struct err *e);
void vq_reset(struct vq *q); /* empty: as it was made; @mem stays */

/**
 * vq_pop() - the next waiting chain
 * Context: the queue's one worker. The guest reaches every line at will: no assert, no log.
 * Return: 1; 0 nothing waits; -EPROTO the rings cannot be trusted, now and from now on
 */
int vq_pop(struct vq *q, struct vq_chain *c);

/* vq_read(), vq_write() - copy from, to the cursor. Return: 0; -ENODATA the chain is too short (nothing is copied). */
int vq_read(struct vq_chain *c, void *dst, size_t len);
int vq_write(struct vq *q, struct vq_chain *c, const void *src, size_t len);

/* vq_write_last() - the last writable byte, wherever the cursor stands: a status; it counts as written when all before it
 * was. Return: 0; -ENODATA. */
int vq_write_last(struct vq *q, struct vq_chain *c, uint8_t byte);

/* vq_read_iov(), vq_write_iov() - move the cursor over up to @len bytes and return them as host segments for preadv(2) and the
 * like; fewer when @max segments or the chain end first. What vq_write_iov() returns counts as written: who fills less takes
 * the rest off c->written. Return: number of segments; *ret_len bytes. */
unsigned vq_read_iov(struct vq_chain *c, struct iovec *iov, unsigned max, size_t len, size_t *ret_len);
unsigned vq_write_iov(struct vq_chain *c, struct iovec *iov, unsigned max, size_t len, size_t *ret_len);

/* vq_push() - give the chain back, with c->written as its length. Written memory is marked dirty. Return: 0; -EPROTO. */
int vq_push(struct vq *q, const struct vq_chain *c);

/* vq_push_all() - give several chains back so that the driver sees all of them or none: a network frame in more than one. What
 * the device wrote is not marked dirty here: it does that (gmem_mark()). Return: 0; -EPROTO. */
struct vq_done {
	uint16_t head, n_ring; /* of the chain */
	uint32_t written;
};
int vq_push_all(struct vq *q, const struct vq_done *d, unsigned n);

/* vq_undo() - put the chain just popped back (nothing was pushed since): it is popped again later. Several go back last first.
 * A worker that then waits for more calls vq_wake() first. */
void vq_undo(struct vq *q, const struct vq_chain *c);

/* vq_should_interrupt() - after pushes: does the driver want to know? Honours event-idx; remembers that it was told. */
bool vq_should_interrupt(struct vq *q);

/* vq_quiet() - kicks are not needed while the worker is at it; vq_wake() - they are again. vq_wake() returns true when chains
 * wait (after vq_undo(): newer ones than those put back): serve on, or they are lost. A worker that uses neither, and pops
 * until nothing waits, loses nothing either. */
void vq_quiet(struct vq *q);
bool vq_wake(struct vq *q);

/* vq_save(), vq_restore() - layout and positions; restore checks as vq_enable() does. A queue whose layout fails is broken, the
 * record's reader has the reason. */
void vq_save(const struct vq *q, struct record_out *o);
void vq_restore(struct vq *q, struct record_in *in);

#endif
