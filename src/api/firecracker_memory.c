/* SPDX-License-Identifier: Apache-2.0 */
/* firecracker_memory.c - the balloon and memory hot-plug */
#include "api/firecracker_internal.h"
#include "base/bug.h"
#include "base/err.h"

/* has_balloon() - Return: 0; -ENOENT. */
static int has_balloon(struct fc_call *c)
{
	return fc__config(c->f)->balloon.on ? 0 : err_set(c->e, ENOENT, "No balloon device found");
}

int fc__get_balloon(struct fc_call *c)
{
	const struct machine_balloon *b = &fc__config(c->f)->balloon;
	int r = has_balloon(c);

	if (r < 0)
		return r;
	json_put_open(&c->out, NULL, '{');
	json_put_u64(&c->out, "amount_mib", b->mib);
	json_put_bool(&c->out, "deflate_on_oom", b->deflate_on_oom);
	json_put_u64(&c->out, "stats_polling_interval_s", b->stats_s);
	json_put_bool(&c->out, "free_page_hinting", b->hinting);
	json_put_bool(&c->out, "free_page_reporting", b->reporting);
	json_put_close(&c->out, '}');
	return 0;
}

static int check_amount(struct fc_call *c, uint64_t mib)
{
	if (mib > fc__config(c->f)->mem_bytes >> 20)
		return err_set(c->e, EINVAL,
			       "Amount of pages requested cannot be greater than the memory: %llu MiB",
			       (unsigned long long)mib);
	return 0;
}

int fc__put_balloon(struct fc_call *c)
{
	const struct json_at *b = c->body;
	struct machine_balloon n = {
		.on = true,
		.mib = (uint32_t)json_read_u64(b, "amount_mib", UINT32_MAX, 0),
		.deflate_on_oom = json_read_bool(b, "deflate_on_oom", false),
		.stats_s = (uint16_t)json_read_u64(b, "stats_polling_interval_s", UINT16_MAX, 0),
		.hinting = json_read_bool(b, "free_page_hinting", false),
		.reporting = json_read_bool(b, "free_page_reporting", false),
	};
	int r;

	json_need(b, "amount_mib");
	json_need(b, "deflate_on_oom");
	r = json_finish(b->doc);
	if (r == 0)
		r = check_amount(c, n.mib);
	if (r == 0)
		c->f->c.balloon = n;
	return r;
}

int fc__patch_balloon(struct fc_call *c)
{
	uint32_t mib = (uint32_t)json_read_u64(c->body, "amount_mib", UINT32_MAX, 0);
	int r;

	json_need(c->body, "amount_mib");
	r = json_finish(c->body->doc);
	if (r == 0)
		r = has_balloon(c);
	if (r == 0)
		r = check_amount(c, mib);
	return r < 0 ? r : machine_balloon_set(c->f->m, mib, c->e);
}

/* has_stats() - a balloon that asks its guest. */
static int has_stats(struct fc_call *c)
{
	int r = has_balloon(c);

	if (r == 0 && !fc__config(c->f)->balloon.stats_s)
		return err_set(c->e, EINVAL, "The balloon's statistics are not enabled");
	return r;
}

int fc__get_balloon_stats(struct fc_call *c)
{
	static const char name[MACHINE_BALLOON_STATS][22] = {
		"swap_in",          "swap_out",    "major_faults",
		"minor_faults",     "free_memory", "total_memory",
		"available_memory", "disk_caches", "hugetlb_allocations",
		"hugetlb_failures", "oom_kill",    "alloc_stall",
		"async_scan",       "direct_scan", "async_reclaim",
		"direct_reclaim",
	};
	struct machine_balloon_stats s = { 0 };
	int r = has_stats(c);

	if (r == 0)
		r = machine_balloon_stats(c->f->m, &s, c->e);
	if (r < 0)
		return r;
	json_put_open(&c->out, NULL, '{');
	json_put_u64(&c->out, "target_pages", s.target_pages);
	json_put_u64(&c->out, "actual_pages", s.actual_pages);
	json_put_u64(&c->out, "target_mib", s.target_pages >> 8);
	json_put_u64(&c->out, "actual_mib", s.actual_pages >> 8);
	for (unsigned i = 0; i < MACHINE_BALLOON_STATS; i++)
		if (s.has & 1U << i)
			json_put_u64(&c->out, name[i], s.value[i]);
	json_put_close(&c->out, '}');
	return 0;
}

int fc__patch_balloon_stats(struct fc_call *c)
{
	uint16_t s = (uint16_t)json_read_u64(c->body, "stats_polling_interval_s", UINT16_MAX, 0), old;
	int r;

	json_need(c->body, "stats_polling_interval_s");
	r = json_finish(c->body->doc);
	if (r == 0)
		r = has_balloon(c);
	if (r < 0)
		return r;
	old = fc__config(c->f)->balloon.stats_s;
	if (!old != !s)
		return err_set(c->e, EINVAL,
			       "The balloon's statistics cannot be %s after starting the microVM",
			       s ? "enabled" : "disabled");
	return s == old ? 0 : machine_balloon_interval(c->f->m, s, c->e);
}

static int has_hinting(struct fc_call *c)
{
	int r = has_balloon(c);

	if (r == 0 && !fc__config(c->f)->balloon.hinting)
		return err_set(c->e, EINVAL, "Free page hinting is not enabled");
	return r;
}

int fc__balloon_hint_start(struct fc_call *c)
{
	bool ack = c->body ? json_read_bool(c->body, "acknowledge_on_stop", true) : true;
	int r = c->body ? json_finish(c->body->doc) : 0;

	if (r == 0)
		r = has_hinting(c);
	return r < 0 ? r : machine_balloon_hint(c->f->m, true, ack, c->e);
}

int fc__balloon_hint_stop(struct fc_call *c)
{
	int r = has_hinting(c);

	return r < 0 ? r : machine_balloon_hint(c->f->m, false, false, c->e);
}

int fc__balloon_hint_status(struct fc_call *c)
{
	uint32_t host, guest;
	int r = has_hinting(c);

	if (r == 0)
		r = machine_balloon_hint_status(c->f->m, &host, &guest, c->e);
	if (r < 0)
		return r;
	json_put_open(&c->out, NULL, '{');
	json_put_u64(&c->out, "host_cmd", host);
	json_put_u64(&c->out, "guest_cmd", guest);
	json_put_close(&c->out, '}');
	return 0;
}

/* --- memory hot-plug ------------------------------------------------------------------------------------------ */

static int check_memhp(const struct machine_memhp *h, struct err *e)
{
	if (h->block_mib < 2 || (h->block_mib & (h->block_mib - 1)))
		return err_set(e, EINVAL, "block_size_mib: got %u, want a power of 2 from 2", h->block_mib);
	if (h->slot_mib < 128 || h->slot_mib % h->block_mib)
		return err_set(e, EINVAL, "slot_size_mib: got %u, want a multiple of the block from 128",
			       h->slot_mib);
	if (h->total_mib < h->slot_mib || h->total_mib % h->slot_mib)
		return err_set(e, EINVAL, "total_size_mib: got %u, want a multiple of the slot, %u",
			       h->total_mib, h->slot_mib);
	return 0;
}

int fc__put_memhp(struct fc_call *c)
{
	struct machine_memhp h = {
		.on = true,
		.total_mib = (uint32_t)json_read_u64(c->body, "total_size_mib", UINT32_MAX, 0),
		.slot_mib = (uint32_t)json_read_u64(c->body, "slot_size_mib", UINT32_MAX, 128),
		.block_mib = (uint32_t)json_read_u64(c->body, "block_size_mib", UINT32_MAX, 2),
	};
	int r;

	json_need(c->body, "total_size_mib");
	r = json_finish(c->body->doc);
	if (r == 0)
		r = check_memhp(&h, c->e);
	if (r == 0)
		c->f->c.memhp = h;
	return r;
}

static int has_memhp(struct fc_call *c)
{
	return fc__config(c->f)->memhp.on ? 0 : err_set(c->e, ENOENT, "No memory hot-plug device found");
}

int fc__get_memhp(struct fc_call *c)
{
	const struct machine_memhp *h = &fc__config(c->f)->memhp;
	uint32_t plugged = 0, requested = 0;
	int r = has_memhp(c);

	if (r == 0)
		r = machine_memhp_status(c->f->m, &plugged, &requested, c->e);
	if (r < 0)
		return r;
	json_put_open(&c->out, NULL, '{');
	json_put_u64(&c->out, "total_size_mib", h->total_mib);
	json_put_u64(&c->out, "slot_size_mib", h->slot_mib);
	json_put_u64(&c->out, "block_size_mib", h->block_mib);
	json_put_u64(&c->out, "plugged_size_mib", plugged);
	json_put_u64(&c->out, "requested_size_mib", requested);
	json_put_close(&c->out, '}');
	return 0;
}

int fc__patch_memhp(struct fc_call *c)
{
	const struct machine_memhp *h = &fc__config(c->f)->memhp;
	uint32_t mib = (uint32_t)json_read_u64(c->body, "requested_size_mib", UINT32_MAX, 0);
	int r;

	json_need(c->body, "requested_size_mib");
	r = json_finish(c->body->doc);
	if (r == 0)
		r = has_memhp(c);
	if (r < 0)
		return r;
	if (mib > h->total_mib || mib % h->block_mib)
		return err_set(c->e, EINVAL, "requested_size_mib: got %u, want a multiple of %u up to %u",
			       mib, h->block_mib, h->total_mib);
	return machine_memhp_request(c->f->m, mib, c->e);
}
