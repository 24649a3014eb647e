/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vq_chain.c - a chain: how it is put together from descriptors, and how a device moves through it
 *
 * Every descriptor passes vq__chain_add(), the one door: its range is in guest memory (writable memory if the device writes),
 * readable before writable, at most VQ_SEGS_MAX segments and VQ_CHAIN_BYTES_MAX bytes in all.
 */
#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "virtio/vq.h"
#include "virtio/vq_internal.h"

static_assert(sizeof(struct vq_desc) == 16, "a descriptor has 16 bytes");

void vq__chain_begin(struct vq_chain *c)
{
	memset(c, 0,
	       offsetof(struct vq_chain, iov)); /* the arrays are 6 KiB: only what is counted is ever read */
}

/* put_segment() - @host ... behind what is there; neighbours become one. */
static int put_segment(struct vq_chain *c, gpa_t gpa, void *host, uint32_t len, bool write)
{
	unsigned n = (unsigned)c->n_in + c->n_out;

	if (n > 0 && (c->n_out > 0) == write) {
		struct iovec *last = &c->iov[n - 1];

		/* both addresses: regions that touch in this process need not touch in the guest */
		if ((uint8_t *)last->iov_base + last->iov_len == host &&
		    c->gpa[n - 1] + last->iov_len == gpa) {
			last->iov_len += len;
			return 0;
		}
	}
	if (n == VQ_SEGS_MAX)
		return -EPROTO;
	c->iov[n] = (struct iovec){ host, len };
	c->gpa[n] = gpa;
	if (write)
		c->n_out++;
	else
		c->n_in++;
	return 0;
}

int vq__chain_add(const struct vq *q, struct vq_chain *c, uint64_t addr, uint32_t len, bool write)
{
	if (len > VQ_CHAIN_BYTES_MAX - c->in_left - c->out_left)
		return -EPROTO;
	/* Spec: virtio 1.2 §2.7.4.2: device-writable elements come after all device-readable ones */
	if (!write && c->n_out > 0)
		return -EPROTO;
	while (len > 0) {
		void *host;
		uint32_t n = (uint32_t)gmem_span(q->mem, addr, len, write, &host);

		if (n == 0 || put_segment(c, addr, host, n, write) < 0)
			return -EPROTO;
		if (write)
			c->out_left += n;
		else
			c->in_left += n;
		addr += n;
		len -= n;
	}
	return 0;
}

/* @linked: entries follow each other by `next` (split), else one after the other (packed). Spec: §2.7.5.3, §2.8.7 */
int vq__chain_indirect(const struct vq *q, struct vq_chain *c, uint64_t addr, uint32_t len, bool linked)
{
	unsigned n = len / sizeof(struct vq_desc), i = 0;
	void *table;

	if (!q->indirect || n == 0 || n > VQ_INDIRECT_MAX || len % sizeof(struct vq_desc) ||
	    gmem_span(q->mem, addr, len, false, &table) < len)
		return -EPROTO;
	for (unsigned steps = 0; steps < n; steps++) { /* more steps than entries would be a loop */
		struct vq_desc d;
		uint16_t flags;

		memcpy(&d, (uint8_t *)table + (size_t)i * sizeof(d), sizeof(d));
		/* the packed layout has the flags last, behind an id that means nothing here. Spec: §2.8.7 */
		flags = le16toh(linked ? d.flags : d.next);
		if (flags & VQ_F_INDIRECT) /* no table in a table */
			return -EPROTO;
		if (vq__chain_add(q, c, le64toh(d.addr), le32toh(d.len), flags & VQ_F_WRITE) < 0)
			return -EPROTO;
		if (linked && !(flags & VQ_F_NEXT))
			return 0;
		i = linked ? le16toh(d.next) : i + 1;
		if (i >= n)
			return linked ? -EPROTO : 0;
	}
	return -EPROTO;
}

void vq__chain_end(struct vq_chain *c)
{
	c->out_total = c->out_left;
}

/* --- the device's side -------------------------------------------------------------------------------------- */

/* A cursor: the readable or the writable part of a chain. */
struct cursor {
	const struct iovec *iov;
	uint16_t n, *at;
	uint32_t *off, *left;
};

static struct cursor in_cursor(struct vq_chain *c)
{
	return (struct cursor){ c->iov, c->n_in, &c->in_at, &c->in_off, &c->in_left };
}

static struct cursor out_cursor(struct vq_chain *c)
{
	return (struct cursor){ c->iov + c->n_in, c->n_out, &c->out_at, &c->out_off, &c->out_left };
}

/* advance() - up to @len bytes of the segment the cursor is in. Return: its address; *ret_n bytes, 0 at the end. */
static void *advance(struct cursor *k, size_t len, size_t *ret_n)
{
	const struct iovec *v = &k->iov[*k->at];
	uint8_t *p;
	size_t n;

	*ret_n = 0;
	if (*k->at == k->n || len == 0)
		return NULL;
	n = v->iov_len - *k->off;
	if (n > len)
		n = len;
	p = (uint8_t *)v->iov_base + *k->off;
	*k->off += (uint32_t)n;
	*k->left -= (uint32_t)n;
	if (*k->off == v->iov_len) {
		(*k->at)++;
		*k->off = 0;
	}
	*ret_n = n;
	return p;
}

int vq_read(struct vq_chain *c, void *dst, size_t len)
{
	struct cursor k = in_cursor(c);
	uint8_t *to = dst;
	size_t n;

	if (len > c->in_left)
		return -ENODATA;
	for (; len > 0; to += n, len -= n) {
		void *p = advance(&k, len, &n);

		memcpy(to, p, n);
	}
	return 0;
}

int vq_write(struct vq *q, struct vq_chain *c, const void *src, size_t len)
{
	struct cursor k = out_cursor(c);
	const uint8_t *from = src;
	size_t n;

	(void)q;
	if (len > c->out_left)
		return -ENODATA;
	for (size_t left = len; left > 0; from += n, left -= n) {
		void *p = advance(&k, left, &n);

		memcpy(p, from, n);
	}
	c->written += (uint32_t)len;
	return 0;
}

int vq_write_last(struct vq *q, struct vq_chain *c, uint8_t byte)
{
	struct iovec *last;

	(void)q;
	if (c->n_out == 0) /* perhaps there is not one segment */
		return -ENODATA;
	last = &c->iov[c->n_in + c->n_out - 1];
	((uint8_t *)last->iov_base)[last->iov_len - 1] = byte;
	if (c->written == c->out_total - 1)
		c->written = c->out_total;
	return 0;
}

static unsigned take_iov(struct cursor *k, struct iovec *iov, unsigned max, size_t len, size_t *ret_len)
{
	unsigned n = 0;

	*ret_len = 0;
	while (n < max) {
		size_t got;
		void *p = advance(k, len - *ret_len, &got);

		if (got == 0)
			break;
		iov[n++] = (struct iovec){ p, got };
		*ret_len += got;
	}
	return n;
}

unsigned vq_read_iov(struct vq_chain *c, struct iovec *iov, unsigned max, size_t len, size_t *ret_len)
{
	struct cursor k = in_cursor(c);

	return take_iov(&k, iov, max, len, ret_len);
}

unsigned vq_write_iov(struct vq_chain *c, struct iovec *iov, unsigned max, size_t len, size_t *ret_len)
{
	struct cursor k = out_cursor(c);
	unsigned n = take_iov(&k, iov, max, len, ret_len);

	c->written += (uint32_t)*ret_len;
	return n;
}
