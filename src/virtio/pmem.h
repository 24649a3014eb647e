/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pmem.h - persistent memory: a file that the guest maps, and a queue to have it written back
 *
 * The board makes the region (gmem_add_file(), not ram, shared unless read-only) and gives it to the engine; the device tells the
 * guest where it is (start and size in the configuration, which every transport has; no shared memory region) and flushes. A flush blocks the machine's loop for as long as the disk takes.
 *
 * Spec: virtio 1.2 §5.19
 */
#ifndef VIRTIO_PMEM_H
#define VIRTIO_PMEM_H

#include <stdint.h>

#include "mem/gmem.h"

struct bucket_config;
struct err;
struct limiter_config;
struct loop;
struct vdev;

enum { PMEM_ALIGN = 2 << 20 }; /* a region's size is the file's, rounded up to this */

/* pmem_new() - for the region at @base of @mem. @name: for messages. @limit: of flushes; NULL: none. Return: -EINVAL also: no region. */
int pmem_new(struct vdev **ret, const struct gmem *mem, struct loop *loop, const char *name, gpa_t base,
	     const struct limiter_config *limit, struct err *e);
/* pmem_limit() - new limits, NULL: unchanged. From the loop's thread. */
void pmem_limit(struct vdev *d, const struct bucket_config *bytes, const struct bucket_config *ops);

#endif
