/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memhp.h - virtio-mem: a region of memory that the guest plugs and unplugs block by block, up to what is asked of it
 *
 * The board lays the region out (gmem_add_ram()) and plugs the device with nothing plugged. The region is cut into slots; when
 * @slot_set is given it is told of a slot's first plugged block and of its last unplugged one, so that the engine need not map
 * what nobody may use. Unplugged blocks go back to the host at once.
 *
 * Spec: virtio 1.2 §5.15. Functions are called from the loop's thread.
 */
#ifndef VIRTIO_MEMHP_H
#define VIRTIO_MEMHP_H

#include <stdbool.h>
#include <stdint.h>

#include "mem/gmem.h"

struct err;
struct loop;
struct vdev;

enum { MEMHP_BLOCKS_MAX = 1 << 20, MEMHP_BLOCK_MIN = 2 << 20 };

struct memhp_config {
	gpa_t base; /* of a region of RAM, aligned to @block */
	uint64_t size, slot, block,
		requested; /* bytes; each a multiple of the next but @requested, which is one of @block */
	/* 0, or -errno: the guest is told to try later. NULL: not wanted. May be called from restore(). */
	int (*slot_set)(void *arg, gpa_t base, uint64_t size, bool on);
	void *arg;
};

struct memhp_status {
	uint64_t size, slot, block, plugged, requested;
};

/* memhp_new() - Return: -EINVAL: sizes, or no such region. */
int memhp_new(struct vdev **ret, const struct gmem *mem, struct loop *loop, const struct memhp_config *c,
	      struct err *e);
/* memhp_request() - ask the guest to plug or unplug up to @bytes. Return: 0; -EINVAL; -ENODEV: the driver is not up. */
int memhp_request(struct vdev *d, uint64_t bytes, struct err *e);
void memhp_status(struct vdev *d, struct memhp_status *ret);

#endif
