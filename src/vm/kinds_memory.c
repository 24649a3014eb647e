/* SPDX-License-Identifier: Apache-2.0 */
/* kinds_memory.c - the devices that give and take a machine's memory: balloon, hot-plug; and how they are asked while it runs */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "virtio/balloon.h"
#include "virtio/memhp.h"
#include "virtio/vdev.h"
#include "vm/machine_internal.h"

#define MIB (1ULL << 20)

/* --- balloon ---------------------------------------------------------------------------------------------------- */

int machine__balloon_add(struct machine *m, struct err *e)
{
	const struct machine_balloon *b = &m->config.balloon;
	const struct balloon_config c = {
		.target_mib = b->mib,
		.deflate_on_oom = b->deflate_on_oom,
		.hinting = b->hinting,
		.reporting = b->reporting,
		.stats_s = b->stats_s,
	};
	struct vdev *d;
	int r;

	if (!b->on)
		return 0;
	r = balloon_new(&d, &m->mem, m->loop, &c, e);
	return r ? r : machine__plug(m, d, "", e);
}

/* balloon_of() - Return: 0 with *ret_d; -ENOENT. */
static int balloon_of(struct machine *m, struct vdev **ret_d, struct err *e)
{
	*ret_d = machine__device_find(m, VDEV_BALLOON, "");
	return *ret_d ? 0 : err_set(e, ENOENT, "the machine has no balloon");
}

int machine_balloon_set(struct machine *m, uint32_t mib, struct err *e)
{
	struct vdev *d;
	int r = balloon_of(m, &d, e);

	if (r == 0)
		r = balloon_set_target(d, mib, e);
	if (r == 0)
		m->config.balloon.mib = mib;
	return r;
}

/* The board's contract counts statistics by their tags; the device's enum is in that order. */
static_assert((int)BALLOON_STAT_COUNT == (int)MACHINE_BALLOON_STATS, "by tag");
static_assert(BALLOON_SWAP_IN == 0 && BALLOON_AVAILABLE == 6 && BALLOON_DIRECT_RECLAIM == 15, "by tag");

int machine_balloon_stats(struct machine *m, struct machine_balloon_stats *ret_s, struct err *e)
{
	struct balloon_status now;
	struct vdev *d;
	int r = balloon_of(m, &d, e);

	if (r < 0)
		return r;
	balloon_status(d, &now);
	*ret_s = (struct machine_balloon_stats){ .target_pages = now.target_pages,
						 .actual_pages = now.actual_pages,
						 .has = now.stats_there };
	memcpy(ret_s->value, now.stat, sizeof(ret_s->value));
	return 0;
}

int machine_balloon_interval(struct machine *m, uint16_t seconds, struct err *e)
{
	struct vdev *d;
	int r = balloon_of(m, &d, e);

	if (r == 0)
		r = balloon_set_stats(d, seconds, e);
	if (r == 0)
		m->config.balloon.stats_s = seconds;
	return r;
}

int machine_balloon_hint(struct machine *m, bool start, bool ack, struct err *e)
{
	struct vdev *d;
	int r = balloon_of(m, &d, e);

	if (r < 0)
		return r;
	return start ? balloon_hint_start(d, ack, e) : balloon_hint_stop(d, e);
}

int machine_balloon_hint_status(struct machine *m, uint32_t *ret_host, uint32_t *ret_guest, struct err *e)
{
	struct balloon_status now;
	struct vdev *d;
	int r = balloon_of(m, &d, e);

	if (r < 0)
		return r;
	balloon_status(d, &now);
	*ret_host = now.host_cmd;
	*ret_guest = now.guest_cmd;
	return 0;
}

/* --- hot-plug ------------------------------------------------------------------------------------------------- */

/* machine__memhp_add() - a region behind all other memory, with nothing of it plugged; no page of it exists until one is touched. */
int machine__memhp_add(struct machine *m, struct err *e)
{
	struct machine_memhp *h = &m->config.memhp;
	struct memhp_config c = {
		.size = h->total_mib * MIB,
		.slot = h->slot_mib * MIB,
		.block = h->block_mib * MIB,
		.requested = h->requested_mib * MIB,
		.slot_set = machine__memory_part,
		.arg = m,
	};
	struct vdev *d;
	int r;

	if (!h->on)
		return 0;
	if (!c.slot || !c.size)
		return err_set(e, EINVAL, "memory hot-plug: a size of 0");
	r = machine__memory_place(m, &h->base, c.size, c.slot, e);
	c.base = h->base;
	if (r == 0)
		r = machine__ram_add(m, c.base, c.size, e);
	/* while a snapshot is restored all of it counts as there: rings of devices may lie in it, until this one says which is not */
	if (r == 0)
		r = gmem_blocks(&m->mem, c.base, c.block, m->source.n > 0, e);
	if (r == 0 && m->config.track_dirty)
		r = gmem_track(&m->mem, e);
	if (r == 0)
		r = memhp_new(&d, &m->mem, m->loop, &c, e);
	return r ? err_wrap(e, r, "memory hot-plug") : machine__plug(m, d, "", e);
}

static int memhp_of(struct machine *m, struct vdev **ret_d, struct err *e)
{
	*ret_d = machine__device_find(m, VDEV_MEM, "");
	return *ret_d ? 0 : err_set(e, ENOENT, "the machine has no memory hot-plug");
}

int machine_memhp_request(struct machine *m, uint32_t mib, struct err *e)
{
	struct vdev *d;
	int r = memhp_of(m, &d, e);

	if (r == 0)
		r = memhp_request(d, mib * MIB, e);
	if (r == 0)
		m->config.memhp.requested_mib = mib;
	return r;
}

int machine_memhp_status(struct machine *m, uint32_t *ret_plugged_mib, uint32_t *ret_requested_mib,
			 struct err *e)
{
	struct memhp_status now;
	struct vdev *d;
	int r = memhp_of(m, &d, e);

	if (r < 0)
		return r;
	memhp_status(d, &now);
	*ret_plugged_mib = (uint32_t)(now.plugged / MIB);
	*ret_requested_mib = (uint32_t)(now.requested / MIB);
	return 0;
}
