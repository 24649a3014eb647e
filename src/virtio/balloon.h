/* SPDX-License-Identifier: Apache-2.0 */
/*
 * balloon.h - memory that the guest gives back: by inflating to a target, by reporting free pages, by hinting rounds
 *
 * Theory of operation. Pages given back are gone from the host at once (gmem_discard()) and read as zeroes when the guest
 * takes them again. Statistics: the driver leaves one buffer with the device; each time the interval is over it is used, the
 * driver fills it and leaves it again. Hinting: a round has a number; the driver repeats it, then sends free pages that it
 * holds on to until it is told DONE, then STOP.
 *
 *	host_cmd  STOP --balloon_hint_start()--> n >= 2 --guest's STOP, if acknowledged; balloon_hint_stop()--> DONE
 *
 * Pages of a round are discarded only while its number is both sides'. After a restore the host's is STOP: whatever a driver
 * still sends is ignored.
 *
 * Spec: virtio 1.2 §5.5. Functions are called from the loop's thread.
 */
#ifndef VIRTIO_BALLOON_H
#define VIRTIO_BALLOON_H

#include <stdbool.h>
#include <stdint.h>

#include "mem/gmem.h"

struct err;
struct loop;
struct vdev;

enum balloon_stat {
	BALLOON_SWAP_IN,
	BALLOON_SWAP_OUT,
	BALLOON_MAJOR_FAULTS,
	BALLOON_MINOR_FAULTS,
	BALLOON_FREE,
	BALLOON_TOTAL,
	BALLOON_AVAILABLE,
	BALLOON_DISK_CACHES,
	BALLOON_HUGETLB_ALLOCATIONS,
	BALLOON_HUGETLB_FAILURES,
	BALLOON_OOM_KILL,
	BALLOON_ALLOC_STALL,
	BALLOON_ASYNC_SCAN,
	BALLOON_DIRECT_SCAN,
	BALLOON_ASYNC_RECLAIM,
	BALLOON_DIRECT_RECLAIM,
	BALLOON_STAT_COUNT
};

struct balloon_config {
	uint32_t target_mib;
	bool deflate_on_oom, hinting, reporting;
	uint16_t stats_s; /* 0: no statistics */
};

struct balloon_status {
	uint32_t target_pages, actual_pages; /* of 4 KiB */
	uint16_t stats_s;
	bool deflate_on_oom, hinting, reporting;
	uint32_t stats_there; /* a bit for each @stat that the guest has told */
	uint64_t stat[BALLOON_STAT_COUNT];
	uint32_t host_cmd, guest_cmd;
	uint64_t n_discarded, n_discard_failed, n_nowhere; /* pages; pages; ranges outside RAM */
};

enum { BALLOON_CMD_STOP = 0, BALLOON_CMD_DONE = 1 };

/* balloon_new() - Return: -EINVAL: more than the machine's memory; else as vdev_init(). */
int balloon_new(struct vdev **ret, const struct gmem *mem, struct loop *loop, const struct balloon_config *c,
		struct err *e);
void balloon_status(struct vdev *d, struct balloon_status *ret);
/* balloon_set_target() - Return: 0; -EINVAL: more than the machine's memory; -ENODEV: the driver is not up. */
int balloon_set_target(struct vdev *d, uint32_t mib, struct err *e);
/* balloon_set_stats() - another interval; statistics cannot be turned on or off. Return: 0; -EINVAL. */
int balloon_set_stats(struct vdev *d, uint16_t stats_s, struct err *e);
/* Return: 0; -EOPNOTSUPP: made without hinting; -ENODEV. */
int balloon_hint_start(struct vdev *d, bool acknowledge_on_stop, struct err *e);
int balloon_hint_stop(struct vdev *d, struct err *e);

#endif
