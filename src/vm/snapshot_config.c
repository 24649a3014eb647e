/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshot_config.c - a machine's configuration in a snapshot
 *
 * What is read is as hostile as any file: counts and strings are bounded here, everything else is judged by
 * machine_config_check(), the same door that a command line's configuration goes through.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/str.h"
#include "fmt/record.h"
#include "vm/snapshot_internal.h"

enum { CONFIG_VERSION = 3, DRIVE_VERSION = 1, NET_VERSION = 1, PMEM_VERSION = 2, SHARE_VERSION = 1 };

static void put_limit(struct record_out *o, const struct limiter_config *l)
{
	const uint64_t v[] = { l->bytes.size, l->bytes.burst, l->bytes.refill_ms,
			       l->ops.size,   l->ops.burst,   l->ops.refill_ms };

	for (size_t i = 0; i < ARRAY_SIZE(v); i++)
		record_put_u64(o, v[i]);
}

static void get_limit(struct record_in *in, struct limiter_config *l)
{
	uint64_t *const v[] = { &l->bytes.size, &l->bytes.burst, &l->bytes.refill_ms,
				&l->ops.size,   &l->ops.burst,   &l->ops.refill_ms };

	for (size_t i = 0; i < ARRAY_SIZE(v); i++)
		*v[i] = record_get_u64(in);
}

/* get_text() - a string of its own; "" is NULL. */
static char *get_text(struct record_in *in)
{
	char text[PATH_MAX];
	char *copy;

	record_get_str(in, text, sizeof(text));
	if (in->rc < 0 || !*text)
		return NULL;
	copy = strdup(text);
	if (!copy)
		record_fail(in, "out of memory");
	return copy;
}

static bool get_bool(struct record_in *in)
{
	uint8_t v = record_get_u8(in);

	if (v > 1)
		record_fail(in, "%u where 0 or 1 belongs", v);
	return v == 1;
}

static void put_bools(struct record_out *o, const bool *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		record_put_u8(o, v[i]);
}

static void get_bools(struct record_in *in, bool *const *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		*v[i] = get_bool(in);
}

/* --- each kind of device ---------------------------------------------------------------------------------------- */

static void drive_save(const struct machine_drive *d, struct record_out *o)
{
	record_begin(o, "drive", DRIVE_VERSION);
	record_put_str(o, d->id);
	record_put_str(o, d->file.path);
	record_put_str(o, d->format);
	record_put_str(o, d->partuuid);
	put_bools(o, (const bool[]){ d->root, d->readonly, d->writeback, d->async }, 4);
	put_limit(o, &d->limit);
	record_end(o);
}

static void drive_restore(struct machine_drive *d, struct record_in *in)
{
	d->file.fd = -1;
	if (!record_open(in, "drive", DRIVE_VERSION))
		return;
	record_get_str(in, d->id, sizeof(d->id));
	d->file.path = get_text(in);
	record_get_str(in, d->format, sizeof(d->format));
	d->partuuid = get_text(in);
	get_bools(in, (bool *const[]){ &d->root, &d->readonly, &d->writeback, &d->async }, 4);
	get_limit(in, &d->limit);
	record_close(in);
}

static void net_save(const struct machine_net *n, struct record_out *o)
{
	record_begin(o, "net", NET_VERSION);
	record_put_str(o, n->id);
	record_put_str(o, n->host_dev);
	record_put_u8(o, (uint8_t)n->kind);
	put_bools(o, (const bool[]){ n->has_mac, n->mmds }, 2);
	record_put(o, n->mac, sizeof(n->mac));
	record_put_u16(o, n->mtu);
	put_limit(o, &n->rx);
	put_limit(o, &n->tx);
	record_end(o);
}

static void net_restore(struct machine_net *n, struct record_in *in)
{
	uint8_t kind;

	n->tap_fd = -1;
	if (!record_open(in, "net", NET_VERSION))
		return;
	record_get_str(in, n->id, sizeof(n->id));
	n->host_dev = get_text(in);
	kind = record_get_u8(in);
	if (kind > MACHINE_NET_USER)
		record_fail(in, "network of kind %u", kind);
	else
		n->kind = kind;
	get_bools(in, (bool *const[]){ &n->has_mac, &n->mmds }, 2);
	record_get(in, n->mac, sizeof(n->mac));
	n->mtu = record_get_u16(in);
	get_limit(in, &n->rx);
	get_limit(in, &n->tx);
	record_close(in);
}

static void pmem_save(const struct machine_pmem *p, struct record_out *o)
{
	record_begin(o, "pmem", PMEM_VERSION);
	record_put_str(o, p->id);
	record_put_str(o, p->file.path);
	record_put_u64(o, p->base);
	put_bools(o, (const bool[]){ p->root, p->readonly }, 2);
	put_limit(o, &p->limit);
	record_end(o);
}

static void pmem_restore(struct machine_pmem *p, struct record_in *in)
{
	p->file.fd = -1;
	if (!record_open(in, "pmem", PMEM_VERSION))
		return;
	record_get_str(in, p->id, sizeof(p->id));
	p->file.path = get_text(in);
	p->base = record_get_u64(in);
	get_bools(in, (bool *const[]){ &p->root, &p->readonly }, 2);
	get_limit(in, &p->limit);
	record_close(in);
}

static void share_save(const struct machine_share *s, struct record_out *o)
{
	record_begin(o, "share", SHARE_VERSION);
	record_put_str(o, s->tag);
	record_put_str(o, s->dir.path);
	record_put_u8(o, s->readonly);
	record_end(o);
}

static void share_restore(struct machine_share *s, struct record_in *in)
{
	s->dir.fd = -1;
	if (!record_open(in, "share", SHARE_VERSION))
		return;
	record_get_str(in, s->tag, sizeof(s->tag));
	s->dir.path = get_text(in);
	s->readonly = get_bool(in);
	record_close(in);
}

/* get_array() - room for a bounded count of things. */
static unsigned get_array(struct record_in *in, void *slot, size_t size, unsigned max, const char *what)
{
	uint32_t n = record_get_u32(in);
	void *array;

	if (n > max) {
		record_fail(in, "%u %s, at most %u", n, what, max);
		return 0;
	}
	if (n == 0)
		return 0;
	array = calloc(n, size);
	if (!array) {
		record_fail(in, "out of memory");
		return 0;
	}
	memcpy(slot, &array, sizeof(array));
	return n;
}

/* --- the whole -------------------------------------------------------------------------------------------------- */

/* The switches, in the order of the file. */
#define SWITCHES(c)                                                                                          \
	{                                                                                                    \
		&(c)->smt, &(c)->track_dirty, &(c)->pci, &(c)->boot_timer, &(c)->vsock.on, &(c)->balloon.on, \
			&(c)->balloon.deflate_on_oom, &(c)->balloon.hinting, &(c)->balloon.reporting,        \
			&(c)->memhp.on, &(c)->rng, &(c)->serial, &(c)->i8042, &(c)->rtc, &(c)->vmgenid,      \
			&(c)->pvpanic, &(c)->debug_exit, &(c)->console                                       \
	}

void snapshot__config_save(const struct machine_config *c, struct record_out *o)
{
	const bool *const on[] = SWITCHES(c);

	record_begin(o, "config", CONFIG_VERSION);
	record_put_str(o, c->id);
	record_put_u32(o, c->cpus);
	record_put_u64(o, c->mem_bytes);
	for (size_t i = 0; i < ARRAY_SIZE(on); i++)
		record_put_u8(o, *on[i]);
	record_put_u64(o, c->vsock.cid);
	record_put_str(o, c->vsock.uds_path);
	record_put_u32(o, c->balloon.mib);
	record_put_u16(o, c->balloon.stats_s);
	record_put_u64(o, c->memhp.base);
	record_put_u32(o, c->memhp.total_mib);
	record_put_u32(o, c->memhp.slot_mib);
	record_put_u32(o, c->memhp.block_mib);
	record_put_u32(o, c->memhp.requested_mib);
	put_limit(o, &c->rng_limit);
	put_limit(o, &c->serial_limit);
	record_put_u32(o, c->n_drives);
	for (unsigned i = 0; i < c->n_drives; i++)
		drive_save(&c->drive[i], o);
	record_put_u32(o, c->n_nets);
	for (unsigned i = 0; i < c->n_nets; i++)
		net_save(&c->net[i], o);
	record_put_u32(o, c->n_pmems);
	for (unsigned i = 0; i < c->n_pmems; i++)
		pmem_save(&c->pmem[i], o);
	record_put_u32(o, c->n_shares);
	for (unsigned i = 0; i < c->n_shares; i++)
		share_save(&c->share[i], o);
	record_put_u8(o, c->split_irqchip); /* since version 3 */
	record_end(o);
}

void snapshot__config_restore(struct machine_config *c, struct record_in *in)
{
	bool *const on[] = SWITCHES(c);
	uint16_t version = record_open(in, "config", CONFIG_VERSION);

	if (!version)
		return;
	record_get_str(in, c->id, sizeof(c->id));
	c->cpus = record_get_u32(in);
	c->mem_bytes = record_get_u64(in);
	get_bools(in, on, ARRAY_SIZE(on));
	c->vsock.cid = record_get_u64(in);
	c->vsock.uds_path = get_text(in);
	c->balloon.mib = record_get_u32(in);
	c->balloon.stats_s = record_get_u16(in);
	c->memhp.base = record_get_u64(in);
	c->memhp.total_mib = record_get_u32(in);
	c->memhp.slot_mib = record_get_u32(in);
	c->memhp.block_mib = record_get_u32(in);
	c->memhp.requested_mib = record_get_u32(in);
	get_limit(in, &c->rng_limit);
	get_limit(in, &c->serial_limit);
	c->n_drives = get_array(in, &c->drive, sizeof(*c->drive), MACHINE_DRIVES_MAX, "drives");
	for (unsigned i = 0; i < c->n_drives; i++)
		drive_restore(&c->drive[i], in);
	c->n_nets = get_array(in, &c->net, sizeof(*c->net), MACHINE_NETS_MAX, "network cards");
	for (unsigned i = 0; i < c->n_nets; i++)
		net_restore(&c->net[i], in);
	c->n_pmems = get_array(in, &c->pmem, sizeof(*c->pmem), MACHINE_PMEMS_MAX, "pmem devices");
	for (unsigned i = 0; i < c->n_pmems; i++)
		pmem_restore(&c->pmem[i], in);
	c->n_shares = get_array(in, &c->share, sizeof(*c->share), MACHINE_SHARES_MAX, "shares");
	for (unsigned i = 0; i < c->n_shares; i++)
		share_restore(&c->share[i], in);
	c->split_irqchip = version >= 3 && get_bool(in);
	record_close(in);
}
