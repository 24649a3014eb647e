/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vblk.h - a disk: virtio-blk in front of a struct blk
 *
 * Spec: virtio 1.2 §5.2
 */
#ifndef VIRTIO_VBLK_H
#define VIRTIO_VBLK_H

#include <stdbool.h>
#include <stdint.h>

#include "virtio/limiter.h"

struct blk;
struct err;
struct gmem;
struct loop;
struct vdev;

enum {
	VBLK_ID_BYTES = 20,
	VBLK_QUEUES_MAX = 16,
	VBLK_ZEROES_SECTORS_MAX = 1 << 17,
	VBLK_DISCARD_SECTORS_MAX = 1 << 22
};

struct vblk_config {
	const char *name; /* for messages: "drive 'rootfs'"; borrowed */
	struct blk *disk; /* taken, also on failure */
	const char *id;   /* serial number, cut to VBLK_ID_BYTES; borrowed; NULL: none */
	bool writeback;   /* the driver is offered to flush; else it believes that writes are safe at once */
	unsigned queues;  /* 1 to VBLK_QUEUES_MAX; 0: 1 */
	struct limiter_config limit;
};

struct vblk_counts {
	uint64_t reads, writes, read_bytes, write_bytes;
	uint64_t flushes, discards, zeroes;
	uint64_t failures;            /* requests answered with an error of the disk */
	uint64_t invalid;             /* requests that make no sense */
	uint64_t throttled;           /* a request had to wait for the limiter */
	uint64_t waited;              /* a request had to wait for the disk to take it */
	uint64_t serves, no_requests; /* calls; those that found none */
	uint64_t limiter_events;
	uint64_t updates, update_failures; /* vblk_set_disk() */
};

/**
 * vblk_new() - a drive
 * Context: the loop's thread, as everything here but what the transport calls. @loop NULL: the disk must not be asynchronous.
 * Return: 0; -EINVAL, -ENOMEM with @e
 */
int vblk_new(struct vdev **ret_d, const struct vblk_config *c, const struct gmem *mem, struct loop *loop,
	     struct err *e);

/* vblk_set_disk() - another disk from now on, and the guest is told its size. @disk: taken, also on failure. Return: 0; -EINVAL
 * it is read-only and the drive is not; what epoll says. Then the drive has the disk that it had. */
int vblk_set_disk(struct vdev *d, struct blk *disk, struct err *e);

/* vblk_limit() - new limits; a bucket that is NULL stays as it is. */
void vblk_limit(struct vdev *d, const struct bucket_config *bytes, const struct bucket_config *ops);
void vblk_counts(struct vdev *d, struct vblk_counts *ret_c);
struct blk *vblk_disk(struct vdev *d); /* borrowed */

#endif
