/* SPDX-License-Identifier: Apache-2.0 */
/*
 * devices.c - virtio devices in their places: each behind a page of registers and a line, or behind a function of the PCI bus
 *
 * Doorbells (a queue's eventfd) are given to the engine; where it has none, the write
 * arrives at the transport, which rings them itself. The order of plugging is the order of addresses and lines, and follows
 * from the configuration alone, so a restored machine has the same. On PCI devices come and go: a snapshot says which
 * number each has, and the restored machine's are moved there.
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
#include "vm/pcibus.h"

enum { DEVICES_VERSION = 2, DEVICE_VERSION = 2 };

struct machine_device_slot {
	struct machine *m;
	struct vdev *vdev; /* owned; NULL: a free place */
	struct vmmio mmio; /* of a machine without PCI */
	char id[MACHINE_NAME_MAX + 1];
	unsigned index; /* address and line follow from it */
};

struct machine_devices {
	struct machine_device_slot slot[BOARD_DEVICES_MAX];
	unsigned n;         /* places that have been used */
	bool ringing;       /* the engine has the doorbells */
	struct pcibus *bus; /* owned; NULL: without PCI */
};

/* next() - the device from place *@i on, and *@i behind it; NULL: none. */
static struct machine_device_slot *next(const struct machine *m, unsigned *i)
{
	while (*i < m->devices->n) {
		struct machine_device_slot *s = &m->devices->slot[(*i)++];

		if (s->vdev)
			return s;
	}
	return NULL;
}

/* --- behind registers ----------------------------------------------------------------------------------------------- */

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

static int registers_ring(struct machine_device_slot *s)
{
	uint64_t at = board_virtio_addr(s->index) + VMMIO_NOTIFY;
	int r = 0;

	for (unsigned q = 0; q < s->vdev->n_queues && r == 0; q++)
		r = engine_ioeventfd(s->m->vm, false, at, 4, q, s->vdev->kick_fd[q], true);
	return r;
}

/* --- behind the PCI bus ------------------------------------------------------------------------------------------- */

static void msi(void *arg, uint64_t addr, uint32_t data)
{
	struct machine *m = arg;

	engine_msi_send(m->vm, addr, data); /* an address that is no interrupt's harms nobody but the guest */
}

static int function_ring(struct machine *m, const struct vdev *d, uint64_t base, bool on)
{
	int r = 0;

	for (unsigned q = 0; q < d->n_queues && r == 0; q++) /* of any length: the address says which queue */
		r = engine_ioeventfd(m->vm, false, base + VPCI_NOTIFY + 4 * (uint64_t)q, 0, -1, d->kick_fd[q],
				     on);
	return r;
}

/*
 * doorbells() - a BAR is decoded elsewhere, or not at all. What the engine does not take (a guest may put one BAR over another)
 * still arrives at the transport.
 *
 * syscalls(pci): ioctl[1]=KVM_IOEVENTFD
 */
static void doorbells(void *arg, struct vdev *d, uint64_t base, bool on)
{
	struct machine *m = arg;

	if (m->devices->ringing)
		function_ring(m, d, base, on);
}

static const struct bus_ops ecam = { .name = "PCI configuration",
				     .read = pcibus_ecam_read,
				     .write = pcibus_ecam_write };
static const struct bus_ops config_ports = { .name = "PCI configuration ports",
					     .read = pcibus_port_read,
					     .write = pcibus_port_write };
static const struct bus_ops mem32 = { .name = "PCI memory below 4 GiB",
				      .read = pcibus_mem32_read,
				      .write = pcibus_mem32_write };
static const struct bus_ops mem64 = { .name = "PCI memory above 4 GiB",
				      .read = pcibus_mem64_read,
				      .write = pcibus_mem64_write };

/* bus_new() - the window above 4 GiB is where it always is, unless the machine's memory is there. */
static int bus_new(struct machine *m, struct err *e)
{
	const struct pcibus_host host = { msi, doorbells, m };
	const struct pcibus_window low = { BOARD_PCI_MEM32, BOARD_PCI_MEM32_BYTES };
	struct pcibus_window high = { machine__memory_end(m, BOARD_PCI_MEM64_BYTES), BOARD_PCI_MEM64_BYTES };
	struct pcibus *b = calloc(1, sizeof(*b));
	int r;

	if (!b)
		return err_sys(e, ENOMEM, "the PCI bus");
	if (high.base < BOARD_PCI_MEM64)
		high.base = BOARD_PCI_MEM64;
	pcibus_init(b, &host, low, high);
	m->devices->bus = b;
	r = bus_add(&m->mmio, BOARD_PCI_ECAM, BOARD_PCI_ECAM_BYTES, &ecam, b, e);
	if (r == 0)
		r = bus_add(&m->ports, PCIBUS_PORT, PCIBUS_PORTS, &config_ports, b, e);
	if (r == 0)
		r = bus_add(&m->mmio, low.base, low.size, &mem32, b, e);
	return r < 0 ? r : bus_add(&m->mmio, high.base, high.size, &mem64, b, e);
}

bool machine__pci_window(const struct machine *m, struct boot_window *ret_w)
{
	const struct pcibus *b = m->devices ? m->devices->bus : NULL;

	if (b)
		*ret_w = (struct boot_window){ b->mem64.base, b->mem64.size };
	return b;
}

/* --- plugging ------------------------------------------------------------------------------------------------------- */

static int slot_plug(struct machine_device_slot *s, struct err *e)
{
	struct machine *m = s->m;
	int r;

	if (m->devices->bus) {
		r = pcibus_plug(m->devices->bus, s->vdev, -1, e);
		return r < 0 ? r : 0;
	}
	vmmio_init(&s->mmio, s->vdev, edge, s);
	return bus_add(&m->mmio, board_virtio_addr(s->index), BOARD_VIRTIO_MMIO_BYTES, &registers, s, e);
}

static struct machine_device_slot *slot_free(struct machine_devices *all)
{
	unsigned i = 0;

	while (i < all->n && all->slot[i].vdev)
		i++;
	if (i == BOARD_DEVICES_MAX)
		return NULL;
	if (i == all->n)
		all->n++;
	return &all->slot[i];
}

int machine__plug(struct machine *m, struct vdev *d, const char *id, struct err *e)
{
	struct machine_device_slot *s = slot_free(m->devices);
	int r;

	if (!s) {
		r = err_set(e, ENOSPC, "%s: more than %d devices", d->name, BOARD_DEVICES_MAX);
		vdev_free(d);
		return r;
	}
	*s = (struct machine_device_slot){ .m = m, .vdev = d, .index = (unsigned)(s - m->devices->slot) };
	str_copy(s->id, sizeof(s->id), id);
	machine__metrics_forget(m, s->index);
	r = slot_plug(s, e);
	if (r < 0) {
		vmmio_fini(&s->mmio);
		vdev_free(d);
		s->vdev = NULL;
	}
	return r;
}

void machine__unplug(struct machine *m, struct vdev *d)
{
	int number = pcibus_find(m->devices->bus, d);

	if (number > 0)
		pcibus_unplug(m->devices->bus, (unsigned)number);
	vdev_set_status(d, 0); /* as its driver would: nothing of it is in flight any more */
	for (unsigned i = 0; i < m->devices->n; i++)
		if (m->devices->slot[i].vdev == d)
			m->devices->slot[i].vdev = NULL;
	vdev_free(d);
}

int machine__devices_add(struct machine *m, struct err *e)
{
	int r;

	m->devices = calloc(1, sizeof(*m->devices));
	if (!m->devices)
		return err_sys(e, ENOMEM, "devices");
	r = m->config.pci ? bus_new(m, e) : 0;
	return r < 0 ? r : machine__kinds_add(m, e);
}

static int ring_one(struct machine_device_slot *s)
{
	const struct pcibus *b = s->m->devices->bus;
	int number;

	if (!b)
		return registers_ring(s);
	number = pcibus_find(b, s->vdev);
	return number < 0 ? number : function_ring(s->m, s->vdev, b->slot[number].base, true);
}

int machine__devices_ring(struct machine *m, struct err *e)
{
	const struct machine_device_slot *s;
	int r = 0;

	m->devices->ringing = true;
	for (unsigned i = 0; r == 0 && (s = next(m, &i));) {
		r = ring_one(&m->devices->slot[s->index]);
		if (r < 0 && r != -EOPNOTSUPP)
			return err_sys(e, -r, "%s: a doorbell", s->vdev->name);
	}
	return 0;
}

/* --- all of them ------------------------------------------------------------------------------------------------ */

void machine__devices_each(struct machine *m,
			   void (*each)(void *arg, struct vdev *d, const char *id, unsigned place), void *arg)
{
	const struct machine_device_slot *s;

	for (unsigned i = 0; (s = next(m, &i));)
		each(arg, s->vdev, s->id, s->index);
}

static struct machine_device_slot *find(struct machine *m, int kind, const char *id)
{
	struct machine_device_slot *s;

	for (unsigned i = 0; (s = next(m, &i));)
		if ((int)s->vdev->ops->id == kind && str_eq(s->id, id))
			return s;
	return NULL;
}

struct vdev *machine__device_find(struct machine *m, int kind, const char *id)
{
	const struct machine_device_slot *s = find(m, kind, id);

	return s ? s->vdev : NULL;
}

void machine__devices_boot(const struct machine *m, struct boot_image *img, struct boot_device *dev)
{
	const struct machine_device_slot *s;

	img->dev = dev;
	img->pci = machine__pci_window(m, &img->pci_mem64);
	if (img->pci) {
		img->ecam = (struct boot_window){ BOARD_PCI_ECAM, BOARD_PCI_ECAM_BYTES };
		img->pci_mem32 = (struct boot_window){ BOARD_PCI_MEM32, BOARD_PCI_MEM32_BYTES };
		return;
	}
	for (unsigned i = 0; (s = next(m, &i));)
		dev[img->n_dev++] = (struct boot_device){ .addr = board_virtio_addr(s->index),
							  .size = BOARD_VIRTIO_MMIO_BYTES,
							  .gsi = board_virtio_gsi(s->index) };
}

void machine__devices_pause(struct machine *m)
{
	const struct machine_device_slot *s;

	for (unsigned i = 0; (s = next(m, &i));)
		vdev_pause(s->vdev);
}

void machine__devices_resume(struct machine *m)
{
	struct machine_device_slot *s;

	if (m->devices->bus) {
		pcibus_resume(m->devices->bus);
		return;
	}
	for (unsigned i = 0; (s = next(m, &i));)
		vmmio_resume(&s->mmio);
}

/* --- state ------------------------------------------------------------------------------------------------------ */

void machine__devices_save(struct machine *m, struct record_out *o)
{
	struct pcibus *b = m->devices->bus;
	struct machine_device_slot *s;
	uint32_t n = 0;

	for (unsigned i = 0; next(m, &i);)
		n++;
	record_begin(o, "devices", DEVICES_VERSION);
	record_put_u32(o, n);
	for (unsigned i = 0; (s = next(m, &i));) {
		record_begin(o, "device", DEVICE_VERSION);
		record_put_u32(o, s->vdev->ops->id);
		record_put_str(o, s->id);
		if (b)
			record_put_u8(o, (uint8_t)pcibus_find(b, s->vdev));
		else
			vmmio_save(&s->mmio, o);
		record_end(o);
	}
	if (b)
		pcibus_save(b, o);
	record_end(o);
}

/* slot_restore() - @s: whose turn it is. Return: the place that the record is of; NULL: it makes no sense. */
static struct machine_device_slot *slot_restore(struct machine *m, struct machine_device_slot *s, unsigned i,
						struct record_in *in)
{
	char id[MACHINE_NAME_MAX + 1] = "";
	uint32_t kind = record_get_u32(in);

	record_get_str(in, id, sizeof(id));
	if (in->rc < 0)
		return NULL;
	if (m->devices->bus)
		s = find(m, (int)kind, id);
	if (!s || s->vdev->ops->id != kind || !str_eq(s->id, id)) {
		record_fail(in, "device %u is of kind %u with the name '%s', the configuration has none", i,
			    kind, id);
		return NULL;
	}
	return s;
}

/* move() - the devices to the numbers that they had: @number of each place. All leave first, so that none is in another's way. */
static void move(struct machine *m, const uint8_t *number, struct record_in *in)
{
	struct pcibus *b = m->devices->bus;
	const struct machine_device_slot *s;
	struct err e = { 0 };
	bool moved = false;

	for (unsigned i = 0; (s = next(m, &i));)
		moved |= pcibus_find(b, s->vdev) != number[s->index];
	if (!moved)
		return;
	for (unsigned i = 1; i < PCIBUS_DEVICES; i++)
		pcibus_unplug(b, i);
	for (unsigned i = 0; in->rc == 0 && (s = next(m, &i));)
		if (number[s->index] == 0 || pcibus_plug(b, s->vdev, number[s->index], &e) < 0)
			record_fail(in, "%s has the PCI number %u: %s", s->vdev->name, number[s->index],
				    e.text);
}

void machine__devices_restore(struct machine *m, struct record_in *in)
{
	uint8_t number[BOARD_DEVICES_MAX] = { 0 };
	struct machine_device_slot *s;
	uint32_t n, has = 0;

	for (unsigned i = 0; next(m, &i);)
		has++;
	if (!record_open(in, "devices", DEVICES_VERSION))
		return;
	n = record_get_u32(in);
	if (n != has)
		record_fail(in, "%u devices, the configuration has %u", n, has);
	for (unsigned i = 0; in->rc == 0 && (s = next(m, &i));) {
		if (!record_open(in, "device", DEVICE_VERSION))
			return;
		s = slot_restore(m, s, i, in);
		if (s && m->devices->bus)
			number[s->index] = record_get_u8(in); /* one named twice leaves another without */
		else if (s)
			vmmio_restore(&s->mmio, in);
		record_close(in);
	}
	if (in->rc == 0 && m->devices->bus) {
		move(m, number, in);
		pcibus_restore(m->devices->bus, in);
	}
	record_close(in);
}

void machine__devices_free(struct machine *m)
{
	struct machine_device_slot *s;

	if (!m->devices)
		return;
	m->devices->ringing = false; /* the engine's end takes them all */
	if (m->devices->bus)
		pcibus_fini(m->devices->bus);
	for (unsigned i = 0; (s = next(m, &i));) {
		vmmio_fini(&s->mmio);
		vdev_free(s->vdev);
	}
	free(m->devices->bus);
	free(m->devices);
	m->devices = NULL;
}
