/* SPDX-License-Identifier: Apache-2.0 */
/* vq_internal.h - what the two ring layouts share with vq.c */
#ifndef VIRTIO_VQ_INTERNAL_H
#define VIRTIO_VQ_INTERNAL_H

#include "virtio/vq.h"

enum { VQ_F_NEXT = 1, VQ_F_WRITE = 2, VQ_F_INDIRECT = 4 };

struct vq_desc { /* split ring and indirect tables; le. Spec: virtio 1.2 §2.7.5 */
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

/* One layout's half of vq.h's verbs; the queue is enabled and not broken. */
struct vq_layout {
	int (*check)(struct vq *q, struct err *e); /* layout to pointers */
	int (*pop)(struct vq *q, struct vq_chain *c);
	void (*push)(struct vq *q, const struct vq_done *d,
		     unsigned n); /* n > 0; the driver sees all or none */
	void (*undo)(struct vq *q, const struct vq_chain *c);
	uint16_t (*end)(const struct vq *q); /* where the next chain that is not there yet will begin */
	bool (*should_interrupt)(struct vq *q);
	void (*quiet)(struct vq *q);
	bool (*wake)(struct vq *q);
	bool (*positions_ok)(const struct vq *q); /* restored ones */
};

extern const struct vq_layout vq__split, vq__packed;

/* vq__ring_ptr() - a part of the ring: aligned, in memory that the guest may write. Return: 0, -EINVAL, -EFAULT. */
int vq__ring_ptr(const struct vq *q, gpa_t addr, uint64_t len, unsigned align, const char *what, void **ret_p,
		 struct err *e);

/* A chain under construction. All return 0 or -EPROTO. */
void vq__chain_begin(struct vq_chain *c);
int vq__chain_add(const struct vq *q, struct vq_chain *c, uint64_t addr, uint32_t len, bool write);
int vq__chain_indirect(const struct vq *q, struct vq_chain *c, uint64_t addr, uint32_t len, bool linked);
void vq__chain_end(struct vq_chain *c);

/* Ring words: little-endian, shared with the guest's processors. */
uint16_t vq__load(const uint16_t *p);            /* relaxed */
uint16_t vq__load_acquire(const uint16_t *p);    /* pairs with the driver's write barrier before it stored */
void vq__store(uint16_t *p, uint16_t v);         /* relaxed */
void vq__store_release(uint16_t *p, uint16_t v); /* pairs with the driver's read barrier after it loaded */
void vq__mark(const struct vq *q, gpa_t base, const void *base_p, const void *p, size_t len);

#endif
