/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gso.h - undo offloads: complete a checksum, cut a long TCP segment into frames
 *
 * For a guest that does not take what its neighbour left to the far end. The header is hostile: another guest wrote it.
 *
 * Spec: virtio 1.2 §5.1.6.2 packet transmission
 */
#ifndef NET_GSO_H
#define NET_GSO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "net/inet.h"

/* What a frame's header asks for, checked against the frame. */
struct gso_need {
	unsigned tun_f; /* TUN_F_x a receiver must take for the frame to go as it is; 0: any can */
	bool csum;      /* the sum at @csum_at, of all bytes from @csum_start, is left to do */
	uint16_t csum_start, csum_at, size;
};

/**
 * gso_check() - read and check a virtio_net_hdr
 * @hdr: LINK_HDR_BYTES; @len: bytes of the Ethernet frame it belongs to
 * Return: 0; -EINVAL what it says cannot be
 */
int gso_check(struct gso_need *need, const uint8_t *hdr, size_t len);

/* A frame being cut. The frame is borrowed and written to. */
struct gso_cut {
	uint8_t *eth;
	struct inet_frame f;
	uint32_t size; /* payload of one segment; 0: the frame goes out whole */
	uint32_t at;   /* next payload byte */
	uint32_t seq;
	uint16_t id;
	uint8_t flags;
	bool first;
};

/* gso_cut_start() - @eth: @len bytes as gso_check() found them. Return: 0; -EINVAL no TCP, or one that cannot be cut. */
int gso_cut_start(struct gso_cut *c, const struct gso_need *need, uint8_t *eth, size_t len);
bool gso_cut_more(const struct gso_cut *c);
/* gso_cut_next() - the next frame with a header that asks for nothing. Return: bytes; -EMSGSIZE it did not fit, and is skipped. */
long gso_cut_next(struct gso_cut *c, const struct iovec *iov, unsigned n);

#endif
