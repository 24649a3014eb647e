/* SPDX-License-Identifier: Apache-2.0 */
#include "net/gso.h"

#include <endian.h>
#include <errno.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <string.h>

#include "net/link.h"

/* Bytes of headers that a segment repeats: tagged Ethernet, IPv6 or IPv4 with options, TCP with options. */
enum { HEADS_MAX = 18 + 60 + 60 };

/* Payload of a segment: no more than 64 KiB / this frames come of one that a peer sends. */
enum { GSO_SIZE_MIN = 48 };

/* need_of() - TUN_F_x for a gso_type. Return: -1: none that we know. */
static int need_of(uint8_t type)
{
	unsigned ecn = type & VIRTIO_NET_HDR_GSO_ECN ? TUN_F_TSO_ECN : 0;

	switch (type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_TCPV4: return (int)(TUN_F_TSO4 | ecn);
	case VIRTIO_NET_HDR_GSO_TCPV6: return (int)(TUN_F_TSO6 | ecn);
	default: return -1;
	}
}

int gso_check(struct gso_need *need, const uint8_t *hdr, size_t len)
{
	struct virtio_net_hdr h;
	struct gso_need n = { 0 };
	int tun_f;

	memcpy(&h, hdr, sizeof(h));
	if (h.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
		n.csum = true;
		n.csum_start = le16toh(h.csum_start);
		if ((size_t)n.csum_start + le16toh(h.csum_offset) + 2 > len)
			return -EINVAL;
		n.csum_at = (uint16_t)(n.csum_start + le16toh(h.csum_offset));
		n.tun_f = TUN_F_CSUM;
	}
	if (h.gso_type != VIRTIO_NET_HDR_GSO_NONE) {
		n.size = le16toh(h.gso_size);
		tun_f = need_of(h.gso_type);
		if (tun_f < 0 || n.size < GSO_SIZE_MIN || !n.csum)
			return -EINVAL;
		n.tun_f |= (unsigned)tun_f;
	}
	*need = n;
	return 0;
}

/* complete() - the sum of the bytes from csum_start on; the field holds the pseudo header's already. */
static void complete(const struct gso_need *need, uint8_t *eth, size_t len)
{
	uint16_t c = inet_csum(inet_sum(0, eth + need->csum_start, len - need->csum_start));

	inet_put16(eth + need->csum_at, c == 0 ? 0xffff : c);
}

int gso_cut_start(struct gso_cut *c, const struct gso_need *need, uint8_t *eth, size_t len)
{
	*c = (struct gso_cut){ .eth = eth, .first = true };
	if (need->size == 0) {
		if (need->csum)
			complete(need, eth, len);
		c->f.end = (uint32_t)len;
		return 0;
	}
	if (inet_parse(&c->f, eth, len) < 0 || c->f.proto != INET_TCP || c->f.payload == 0 || c->f.fragment)
		return -EINVAL;
	if (c->f.type != (need->tun_f & TUN_F_TSO6 ? ETHERTYPE_V6 : ETHERTYPE_V4) || c->f.payload > HEADS_MAX)
		return -EINVAL;
	c->size = need->size;
	c->at = c->f.payload;
	c->seq = inet_get32(eth + c->f.l4 + 4);
	c->flags = eth[c->f.l4 + 13];
	c->id = inet_get16(eth + c->f.l3 + 4);
	return 0;
}

bool gso_cut_more(const struct gso_cut *c)
{
	return c->first || (c->size > 0 && c->at < c->f.end);
}

/* heads() - the headers of the segment of @n payload bytes at c->at, into @to with its checksums. */
static void heads(const struct gso_cut *c, uint8_t *to, uint32_t n)
{
	const struct inet_frame *f = &c->f;
	struct inet_frame one = *f;
	uint32_t l4_len = f->payload - f->l4 + n, sum;
	uint8_t *l3 = to + f->l3, *l4 = to + f->l4;

	memcpy(to, c->eth, f->payload);
	if (f->type == ETHERTYPE_V4) {
		inet_put16(l3 + 2, f->l4 - f->l3 + l4_len);
		inet_put16(l3 + 4, c->id);
		inet_v4_csum(l3);
	} else {
		inet_put16(l3 + 4, l4_len);
	}
	inet_put32(l4 + 4, c->seq);
	l4[13] = c->flags;
	if (!c->first)
		l4[13] &= (uint8_t)~TCP_CWR;
	if (c->at + n < f->end)
		l4[13] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
	inet_put16(l4 + 16, 0);
	sum = inet_sum(inet_pseudo(to, &one, l4_len), l4, f->payload - f->l4); /* whole words: TCP's are */
	inet_put16(l4 + 16, inet_csum(inet_sum(sum, c->eth + c->at, n)));
}

static long put(const struct iovec *iov, unsigned n, const void *head, size_t head_len, const void *body,
		size_t body_len)
{
	static const uint8_t plain[LINK_HDR_BYTES] = { [10] = 1 }; /* num_buffers: 1 */
	size_t len = LINK_HDR_BYTES + head_len + body_len;

	if (len > link_iov_bytes(iov, n))
		return -EMSGSIZE;
	link_iov_fill(iov, n, 0, plain, LINK_HDR_BYTES);
	link_iov_fill(iov, n, LINK_HDR_BYTES, head, head_len);
	link_iov_fill(iov, n, LINK_HDR_BYTES + head_len, body, body_len);
	return (long)len;
}

long gso_cut_next(struct gso_cut *c, const struct iovec *iov, unsigned n)
{
	uint8_t head[HEADS_MAX];
	uint32_t left, here;
	long r;

	if (c->size == 0) {
		c->first = false;
		return put(iov, n, c->eth, c->f.end, NULL, 0);
	}
	left = c->f.end - c->at;
	here = left < c->size ? left : c->size;
	heads(c, head, here);
	r = put(iov, n, head, c->f.payload, c->eth + c->at, here);
	c->at += here;
	c->seq += here;
	c->id++;
	c->first = false;
	return r;
}
