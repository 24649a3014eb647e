/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics.c - what a machine's processors and devices have counted, under Firecracker's names
 *
 * Each call tells what came since the call before: what was told of each count is remembered by its place, a device's by the
 * device's place.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/str.h"
#include "fmt/json.h"
#include "net/mmds.h"
#include "virtio/vblk.h"
#include "virtio/vdev.h"
#include "virtio/vnet.h"
#include "vm/machine_internal.h"
#include "vm/serial.h"

enum { COUNTS_MAX = 24, GROUP_NAME_MAX = MACHINE_NAME_MAX + 16, OWN_GROUPS = 3 };
enum { TOLD_MAX = COUNTS_MAX * (OWN_GROUPS + BOARD_DEVICES_MAX) };

struct count {
	const char *name;
	uint64_t value;
};

struct group { /* of one device, or the sum of all of a kind */
	unsigned n;
	struct count c[COUNTS_MAX];
};

struct metrics {
	struct machine *m;
	struct json_out *o;
	const char *prefix; /* "net" */
	int kind;           /* enum vdev_id */
	void (*read)(struct vdev *d, struct group *g);
	struct group sum;
};

/* since() - the counts of the @at-th group become what came since the last time. */
static void since(struct metrics *x, unsigned at, struct group *g)
{
	uint64_t *told = x->m->told ? x->m->told + (size_t)at * COUNTS_MAX : NULL;

	for (unsigned i = 0; told && i < g->n; i++) {
		g->c[i].value -= told[i];
		told[i] += g->c[i].value;
	}
}

static void put_group(struct metrics *x, const char *name, const struct group *g)
{
	json_put_open(x->o, name, '{');
	for (unsigned i = 0; i < g->n; i++)
		json_put_u64(x->o, g->c[i].name, g->c[i].value);
	json_put_close(x->o, '}');
}

void machine__metrics_forget(struct machine *m, unsigned place)
{
	if (m->told)
		memset(m->told + (size_t)(OWN_GROUPS + place) * COUNTS_MAX, 0, COUNTS_MAX * sizeof(*m->told));
}

static void add(struct group *g, const char *name, uint64_t value)
{
	BUG_ON(g->n == COUNTS_MAX);
	g->c[g->n++] = (struct count){ name, value };
}

static void put_vcpu(struct metrics *x)
{
	struct group g = { 0 };
	uint64_t sum[5] = { 0 };

	for (unsigned i = 0; i < x->m->n_cpus; i++) {
		const struct machine_cpu *c = &x->m->cpu[i];
		const uint64_t *const n[5] = { &c->n_io_in, &c->n_io_out, &c->n_mmio_read, &c->n_mmio_write,
					       &c->n_failures };

		for (int k = 0; k < 5; k++)
			sum[k] += __atomic_load_n(n[k], __ATOMIC_RELAXED);
	}
	add(&g, "exit_io_in", sum[0]);
	add(&g, "exit_io_out", sum[1]);
	add(&g, "exit_mmio_read", sum[2]);
	add(&g, "exit_mmio_write", sum[3]);
	add(&g, "failures", sum[4]);
	since(x, 0, &g);
	put_group(x, "vcpu", &g);
}

static void put_uart(struct metrics *x)
{
	struct group g = { 0 };

	add(&g, "missed_write_count", x->m->serial ? serial_dropped(x->m->serial) : 0);
	since(x, 1, &g);
	put_group(x, "uart", &g);
}

static void read_net(struct vdev *d, struct group *g)
{
	struct vnet_counts c;

	vnet_counts(d, &c);
	add(g, "mac_address_updates", c.mac_changes);
	add(g, "no_rx_avail_buffer", c.rx_no_buffers);
	add(g, "rx_queue_event_count", c.rx_serves);
	add(g, "rx_tap_event_count", c.rx_wakes);
	add(g, "rx_rate_limiter_throttled", c.rx_limited);
	add(g, "rx_bytes_count", c.rx_bytes);
	add(g, "rx_packets_count", c.rx_frames);
	add(g, "rx_count", c.rx_frames);
	add(g, "rx_fails", c.rx_bad);
	add(g, "tap_write_fails", c.tx_waits);
	add(g, "tx_queue_event_count", c.tx_serves);
	add(g, "tx_rate_limiter_throttled", c.tx_limited);
	add(g, "tx_bytes_count", c.tx_bytes);
	add(g, "tx_packets_count", c.tx_frames);
	add(g, "tx_count", c.tx_frames);
	add(g, "tx_malformed_frames", c.tx_bad);
}

/* add_mmds() - of one card's metadata service, to the sum. */
static void add_mmds(void *arg, struct vdev *d, const char *id, unsigned place)
{
	struct mmds_counts *sum = arg;
	const struct mmds_counts *c = d->ops->id == VDEV_NET ? vnet_mmds_counts(d) : NULL;

	(void)id;
	(void)place;
	if (!c)
		return;
	sum->rx_accepted += c->rx_accepted;
	sum->rx_bad += c->rx_bad;
	sum->rx_count += c->rx_count;
	sum->tx_count += c->tx_count;
	sum->tx_bytes += c->tx_bytes;
	sum->tx_frames += c->tx_frames;
	sum->tx_errors += c->tx_errors;
	sum->connections_created += c->connections_created;
	sum->connections_destroyed += c->connections_destroyed;
	sum->rx_invalid_token += c->rx_invalid_token;
	sum->rx_no_token += c->rx_no_token;
}

static void put_mmds(struct metrics *x)
{
	struct mmds_counts c = { 0 };
	struct group g = { 0 };

	machine__devices_each(x->m, add_mmds, &c);
	add(&g, "rx_accepted", c.rx_accepted);
	add(&g, "rx_accepted_err", c.rx_bad);
	add(&g, "rx_accepted_unusual", 0);
	add(&g, "rx_bad_eth", 0); /* such a frame is not ours */
	add(&g, "rx_invalid_token", c.rx_invalid_token);
	add(&g, "rx_no_token", c.rx_no_token);
	add(&g, "rx_count", c.rx_count);
	add(&g, "tx_bytes", c.tx_bytes);
	add(&g, "tx_count", c.tx_count);
	add(&g, "tx_errors", c.tx_errors);
	add(&g, "tx_frames", c.tx_frames);
	add(&g, "connections_created", c.connections_created);
	add(&g, "connections_destroyed", c.connections_destroyed);
	since(x, 2, &g);
	put_group(x, "mmds", &g);
}

static void read_block(struct vdev *d, struct group *g)
{
	struct vblk_counts c;

	vblk_counts(d, &c);
	add(g, "execute_fails", c.failures);
	add(g, "invalid_reqs_count", c.invalid);
	add(g, "flush_count", c.flushes);
	add(g, "discard_count", c.discards);
	add(g, "queue_event_count", c.serves);
	add(g, "rate_limiter_event_count", c.limiter_events);
	add(g, "rate_limiter_throttled_events", c.throttled);
	add(g, "io_engine_throttled_events", c.waited);
	add(g, "update_count", c.updates);
	add(g, "update_fails", c.update_failures);
	add(g, "read_bytes", c.read_bytes);
	add(g, "write_bytes", c.write_bytes);
	add(g, "read_count", c.reads);
	add(g, "write_count", c.writes);
	add(g, "no_avail_buffer", c.no_requests);
}

/* put_device() - its own group, and its part of the sum. */
static void put_device(void *arg, struct vdev *d, const char *id, unsigned place)
{
	struct metrics *x = arg;
	struct group g = { 0 };
	char name[GROUP_NAME_MAX];

	if ((int)d->ops->id != x->kind)
		return;
	x->read(d, &g);
	since(x, OWN_GROUPS + place, &g);
	str_format(name, sizeof(name), "%s_%s", x->prefix, id);
	put_group(x, name, &g);
	for (unsigned i = 0; i < g.n; i++)
		g.c[i].value += x->sum.n ? x->sum.c[i].value : 0;
	x->sum = g;
}

void machine_metrics(struct machine *m, struct json_out *o)
{
	static const struct {
		const char *prefix;
		int kind;
		void (*read)(struct vdev *d, struct group *g);
	} kind[] = { { "block", VDEV_BLK, read_block }, { "net", VDEV_NET, read_net } };
	struct metrics x = { .m = m, .o = o };

	if (!m->told)
		m->told = calloc(TOLD_MAX, sizeof(*m->told)); /* without it: totals */
	put_vcpu(&x);
	put_uart(&x);
	put_mmds(&x);
	for (size_t i = 0; i < ARRAY_SIZE(kind); i++) {
		x.prefix = kind[i].prefix;
		x.kind = kind[i].kind;
		x.read = kind[i].read;
		x.sum.n = 0;
		machine__devices_each(m, put_device, &x);
		if (x.sum.n)
			put_group(&x, x.prefix, &x.sum);
	}
}

void machine_counters(struct machine *m, struct json_out *o)
{
	struct engine_counter c[ENGINE_COUNTERS_MAX];

	json_put_open(o, NULL, '{');
	json_put_str(o, "Engine", m->vm->ops->name);
	json_put_open(o, "Cpus", '[');
	for (unsigned i = 0; i < m->n_cpus; i++) {
		unsigned n = engine_cpu_counters(m->cpu[i].cpu, c);

		json_put_open(o, NULL, '{');
		for (unsigned k = 0; k < n; k++)
			json_put_u64(o, c[k].name, c[k].value);
		json_put_close(o, '}');
	}
	json_put_close(o, ']');
	json_put_close(o, '}');
}
