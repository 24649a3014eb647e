/* SPDX-License-Identifier: Apache-2.0 */
/*
 * devices.c - the virtio devices of a machine, from its configuration, each behind a page of registers and a line
 *
 * The one place that knows every kind. Doorbells (a queue's eventfd) are given to the engine; where it has none, the write
 * arrives at the transport, which rings them itself. The order of plugging is the order of addresses and lines, and follows
 * from the configuration alone, so a restored machine has the same.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "fmt/record.h"
#include "net/link.h"
#include "sys/file.h"
#include "virtio/console.h"
#include "virtio/mmio.h"
#include "virtio/vdev.h"
#include "virtio/vnet.h"
#include "virtio/vsock.h"
#include "vm/boot.h"
#include "vm/machine_internal.h"

enum { DEVICES_VERSION = 1, DEVICE_VERSION = 1 };

struct machine_device_slot {
	struct machine *m;
	struct vdev *vdev; /* owned */
	struct vmmio mmio;
	const char *id; /* borrowed */
	unsigned index; /* address and line follow from it */
};

struct machine_devices {
	struct machine_device_slot slot[BOARD_DEVICES_MAX];
	unsigned n;
};

/* --- plugging ------------------------------------------------------------------------------------------------------- */

/* edge() - two requests to the engine; cheaper than its irqfd, which takes a detour through a kernel worker for such lines. */
static void edge(void *arg)
{
	struct machine_device_slot *s = arg;
	unsigned gsi = board_virtio_gsi(s->index);

	engine_irq_set(s->m->vm, gsi, true);
	engine_irq_set(s->m->vm, gsi, false);
}

static void registers_read(void *arg, uint64_t off, void *dst, unsigned len)
{
	struct machine_device_slot *s = arg;

	vmmio_read(&s->mmio, off, dst, len);
}

static void registers_write(void *arg, uint64_t off, const void *src, unsigned len)
{
	struct machine_device_slot *s = arg;

	vmmio_write(&s->mmio, off, src, len);
}

static const struct bus_ops registers = { .name = "virtio device",
					  .read = registers_read,
					  .write = registers_write };

static int doorbells_set(struct machine_device_slot *s, struct err *e)
{
	uint64_t at = board_virtio_addr(s->index) + VMMIO_NOTIFY;
	int r = 0;

	for (unsigned q = 0; q < s->vdev->n_queues && r == 0; q++)
		r = engine_ioeventfd(s->m->vm, false, at, 4, q, s->vdev->kick_fd[q], true);
	if (r == -EOPNOTSUPP)
		return 0;
	return r < 0 ? err_sys(e, -r, "%s: a doorbell", s->vdev->name) : 0;
}

/* plug() - @d: taken, also on failure. @id: of those that have one, else ""; borrowed from the configuration. */
static int plug(struct machine *m, struct vdev *d, const char *id, struct err *e)
{
	struct machine_devices *all = m->devices;
	struct machine_device_slot *s;
	int r;

	if (all->n == BOARD_DEVICES_MAX) {
		r = err_set(e, ENOSPC, "%s: more than %d devices", d->name, BOARD_DEVICES_MAX);
		vdev_free(d);
		return r;
	}
	s = &all->slot[all->n];
	*s = (struct machine_device_slot){ .m = m, .vdev = d, .id = id, .index = all->n };
	all->n++;
	vmmio_init(&s->mmio, d, edge, s);
	return bus_add(&m->mmio, board_virtio_addr(s->index), BOARD_VIRTIO_MMIO_BYTES, &registers, s, e);
}

/* --- each kind -------------------------------------------------------------------------------------------------- */

static int console_add(struct machine *m, struct err *e)
{
	const struct console_config c = { .in_fd = m->config.serial_in, .out_fd = m->config.serial_out };
	struct vdev *d;
	int r;

	if (!m->config.console)
		return 0;
	r = console_new(&d, &c, &m->mem, m->loop, e);
	return r < 0 ? r : plug(m, d, "", e);
}

static int vsock_add(struct machine *m, struct err *e)
{
	const char *path = m->config.vsock.uds_path;
	const char *slash = path ? strrchr(path, '/') : NULL;
	auto_free char *dir = slash && slash > path ? strndup(path, (size_t)(slash - path)) : NULL;
	auto_close int dirfd = -1;
	struct vsock_config c = { .cid = m->config.vsock.cid, .name = slash ? slash + 1 : path };
	struct vdev *d;
	int r;

	if (!m->config.vsock.on)
		return 0;
	dirfd = file_open(AT_FDCWD, dir ? dir : slash ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	if (dirfd < 0)
		return err_sys(e, -dirfd, "vsock: '%s'", path);
	c.dirfd = dirfd;
	r = vsock_new(&d, &c, &m->mem, m->loop, e);
	return r < 0 ? r : plug(m, d, "", e);
}

#pragma weak link_open_user /* until it is there */

static int link_open(struct link **ret_l, struct machine *m, struct machine_net *n, struct err *e)
{
	const struct link_user_config user = { 0 };

	switch (n->kind) {
	case MACHINE_NET_SWITCH: return link_open_switch(ret_l, m->loop, n->host_dev, e);
	case MACHINE_NET_USER:
		if (!link_open_user)
			return err_set(e, ENOSYS, "the user-mode network is not there yet");
		return link_open_user(ret_l, m->loop, &user, e);
	default: break;
	}
	if (n->tap_fd >= 0)
		return link_take_tap(ret_l, m->loop, TAKE_FD(n->tap_fd), e);
	return link_open_tap(ret_l, m->loop, n->host_dev, e);
}

static int net_add(struct machine *m, struct machine_net *n, struct err *e)
{
	char name[VDEV_NAME_MAX + 1];
	struct vnet_config c = { .name = name,
				 .has_mac = n->has_mac,
				 .mtu = n->mtu,
				 .rx = n->rx,
				 .tx = n->tx,
				 .mmds = n->mmds ? m->config.mmds : NULL };
	struct link *link;
	struct vdev *d;
	int r;

	str_format(name, sizeof(name), "network interface '%s'", n->id);
	memcpy(c.mac, n->mac, sizeof(c.mac));
	r = link_open(&link, m, n, e);
	if (r == 0)
		r = vnet_new(&d, &c, link, &m->mem, m->loop, e);
	return r < 0 ? r : plug(m, d, n->id, e);
}

static int nets_add(struct machine *m, struct err *e)
{
	int r = 0;

	for (unsigned i = 0; i < m->config.n_nets && r == 0; i++)
		r = net_add(m, &m->config.net[i], e);
	return r;
}

/* missing() - kinds that no file here gives yet are refused, not left out. */
static int missing(struct machine *m, struct err *e)
{
	const struct machine_config *c = &m->config;
	const struct {
		bool wanted;
		const char *what;
	} kind[] = {
		{ c->n_drives > 0, "drives" },      { c->n_pmems > 0, "pmem devices" },
		{ c->n_shares > 0, "shares" },      { c->balloon.on, "the balloon" },
		{ c->memhp.on, "memory hot-plug" }, { c->rng, "the rng device" },
	};

	for (size_t i = 0; i < sizeof(kind) / sizeof(kind[0]); i++)
		if (kind[i].wanted)
			return err_set(e, ENOSYS, "%s: not there yet", kind[i].what);
	return 0;
}

int machine__devices_add(struct machine *m, struct err *e)
{
	static int (*const add[])(struct machine *, struct err *) = { missing, nets_add, console_add,
								      vsock_add };
	int r = 0;

	m->devices = calloc(1, sizeof(*m->devices));
	if (!m->devices)
		return err_sys(e, ENOMEM, "devices");
	for (size_t i = 0; i < sizeof(add) / sizeof(add[0]) && r == 0; i++)
		r = add[i](m, e);
	return r;
}

/* find() - the device of kind @kind that is called @id. */
static struct vdev *find(struct machine *m, enum vdev_id kind, const char *id)
{
	for (unsigned i = 0; i < m->devices->n; i++) {
		const struct machine_device_slot *s = &m->devices->slot[i];

		if (s->vdev->ops->id == kind && str_eq(s->id, id))
			return s->vdev;
	}
	return NULL;
}

int machine_net_limit(struct machine *m, const char *id, const struct limiter_config *rx,
		      const struct limiter_config *tx, struct err *e)
{
	struct vdev *d = find(m, VDEV_NET, id);
	struct vnet_limits l = { 0 };

	if (!d)
		return err_set(e, ENOENT, "network interface '%s': there is none", id);
	if (rx) {
		l.rx_bytes = &rx->bytes;
		l.rx_ops = &rx->ops;
	}
	if (tx) {
		l.tx_bytes = &tx->bytes;
		l.tx_ops = &tx->ops;
	}
	vnet_limit(d, &l);
	return 0;
}

int machine__devices_ring(struct machine *m, struct err *e)
{
	int r = 0;

	for (unsigned i = 0; i < m->devices->n && r == 0; i++)
		r = doorbells_set(&m->devices->slot[i], e);
	return r;
}

/* --- all of them ------------------------------------------------------------------------------------------------ */

unsigned machine__devices_boot(const struct machine *m, struct boot_device *dev)
{
	for (unsigned i = 0; i < m->devices->n; i++)
		dev[i] = (struct boot_device){ .addr = board_virtio_addr(i),
					       .size = BOARD_VIRTIO_MMIO_BYTES,
					       .gsi = board_virtio_gsi(i) };
	return m->devices->n;
}

void machine__devices_pause(struct machine *m)
{
	for (unsigned i = 0; i < m->devices->n; i++)
		vdev_pause(m->devices->slot[i].vdev);
}

void machine__devices_resume(struct machine *m)
{
	for (unsigned i = 0; i < m->devices->n; i++)
		vmmio_resume(&m->devices->slot[i].mmio);
}

void machine__devices_save(struct machine *m, struct record_out *o)
{
	record_begin(o, "devices", DEVICES_VERSION);
	record_put_u32(o, m->devices->n);
	for (unsigned i = 0; i < m->devices->n; i++) {
		record_begin(o, "device", DEVICE_VERSION);
		record_put_u32(o, m->devices->slot[i].vdev->ops->id);
		vmmio_save(&m->devices->slot[i].mmio, o);
		record_end(o);
	}
	record_end(o);
}

void machine__devices_restore(struct machine *m, struct record_in *in)
{
	uint32_t n;

	if (!record_open(in, "devices", DEVICES_VERSION))
		return;
	n = record_get_u32(in);
	if (n != m->devices->n)
		record_fail(in, "%u devices, the configuration has %u", n, m->devices->n);
	for (unsigned i = 0; i < m->devices->n && in->rc == 0; i++) {
		uint32_t id, has = m->devices->slot[i].vdev->ops->id;

		if (!record_open(in, "device", DEVICE_VERSION))
			return;
		id = record_get_u32(in);
		if (id != has)
			record_fail(in, "device %u is of kind %u, the configuration says %u", i, id, has);
		vmmio_restore(&m->devices->slot[i].mmio, in);
		record_close(in);
	}
	record_close(in);
}

void machine__devices_free(struct machine *m)
{
	if (!m->devices)
		return;
	for (unsigned i = 0; i < m->devices->n; i++) {
		vmmio_fini(&m->devices->slot[i].mmio);
		vdev_free(m->devices->slot[i].vdev);
	}
	free(m->devices);
	m->devices = NULL;
}
