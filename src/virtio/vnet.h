/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vnet.h - a network card: virtio-net in front of a link
 *
 * Spec: virtio 1.2 §5.1
 */
#ifndef VIRTIO_VNET_H
#define VIRTIO_VNET_H

#include <stdbool.h>
#include <stdint.h>

#include "virtio/limiter.h"

struct err;
struct gmem;
struct link;
struct loop;
struct mmds;
struct mmds_counts;
struct vdev;

struct vnet_config {
	const char *name; /* for messages: "network interface 'eth0'"; borrowed */
	bool has_mac;     /* else the driver makes one up */
	uint8_t mac[6];
	uint16_t mtu;                 /* 0: not told; else LINK_MTU_MIN to 65535 */
	struct limiter_config rx, tx; /* rx: towards the guest */
	struct mmds *mmds;            /* borrowed; NULL: no metadata service on this card */
};

struct vnet_counts {
	uint64_t rx_frames, rx_bytes, tx_frames, tx_bytes; /* with the virtio_net_hdr */
	uint64_t rx_no_buffers;                            /* a frame had to wait for them */
	uint64_t rx_limited, tx_limited;                   /* a frame had to wait for the limiter */
	uint64_t rx_bad, tx_bad;                 /* chains that can hold no frame; frames that are none */
	uint64_t tx_waits;                       /* the link was full */
	uint64_t rx_serves, tx_serves, rx_wakes; /* calls: kicks, and the link's */
	uint64_t mac_changes;
	uint64_t link_dropped;
};

/**
 * vnet_new() - a card on @link
 * @link: taken, also on failure
 * Context: the loop's thread, as everything here but what the transport calls
 * Return: 0; -EINVAL the MTU; -ENOMEM
 */
int vnet_new(struct vdev **ret_d, const struct vnet_config *c, struct link *link, const struct gmem *mem,
	     struct loop *loop, struct err *e);

/* vnet_limit() - new limits at run time; a bucket that is NULL stays as it is. */
struct vnet_limits {
	const struct bucket_config *rx_bytes, *rx_ops, *tx_bytes, *tx_ops;
};
void vnet_limit(struct vdev *d, const struct vnet_limits *l);
void vnet_counts(struct vdev *d, struct vnet_counts *ret_c);
/* vnet_mmds_counts() - of the card's metadata service; NULL: it has none. */
const struct mmds_counts *vnet_mmds_counts(struct vdev *d);

#endif
