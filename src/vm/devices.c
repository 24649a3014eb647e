/* SPDX-License-Identifier: Apache-2.0 */
/*
 * devices.c - virtio devices in their places: each behind a page of registers and a line
 *
 * Doorbells (a queue's eventfd) are given to the engine; where it has none, the write
 * arrives at the transport, which rings them itself. The order of plugging is the order of addresses and lines, and follows
 * from the configuration alone, so a restored machine has the same.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/str.h"
#include "fmt/record.h"
#include "virtio/mmio.h"
#include "virtio/vdev.h"
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

int machine__plug(struct machine *m, struct vdev *d, const char *id, struct err *e)
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

int machine__devices_add(struct machine *m, struct err *e)
{
	m->devices = calloc(1, sizeof(*m->devices));
	if (!m->devices)
		return err_sys(e, ENOMEM, "devices");
	return machine__kinds_add(m, e);
}

int machine__devices_ring(struct machine *m, struct err *e)
{
	int r = 0;

	for (unsigned i = 0; i < m->devices->n && r == 0; i++)
		r = doorbells_set(&m->devices->slot[i], e);
	return r;
}

/* --- all of them ------------------------------------------------------------------------------------------------ */

void machine__devices_each(struct machine *m, void (*each)(void *arg, struct vdev *d, const char *id),
			   void *arg)
{
	for (unsigned i = 0; i < m->devices->n; i++)
		each(arg, m->devices->slot[i].vdev, m->devices->slot[i].id);
}

struct vdev *machine__device_find(struct machine *m, int kind, const char *id)
{
	for (unsigned i = 0; i < m->devices->n; i++) {
		const struct machine_device_slot *s = &m->devices->slot[i];

		if ((int)s->vdev->ops->id == kind && str_eq(s->id, id))
			return s->vdev;
	}
	return NULL;
}

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
