/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/pci.h"

#include <endian.h>
#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>
#include <string.h>

#include "base/bug.h"
#include "fmt/record.h"
#include "virtio/pci_internal.h"

enum { VENDOR = 0x1af4, DEVICE_BASE = 0x1040, CAPS_AT = 0x40, VPCI_RECORD_VERSION = 1 };
enum { COMMAND_BITS = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE };
enum { CFG_CAP_BYTES = 20, CFG_DATA_AT = 16 }; /* the window of VIRTIO_PCI_CAP_PCI_CFG */

static void put16(struct vpci *p, unsigned off, uint16_t v)
{
	v = htole16(v);
	memcpy(p->config + off, &v, sizeof(v));
}

static void put32(struct vpci *p, unsigned off, uint32_t v)
{
	v = htole32(v);
	memcpy(p->config + off, &v, sizeof(v));
}

static uint16_t get16(const struct vpci *p, unsigned off)
{
	uint16_t v;

	memcpy(&v, p->config + off, sizeof(v));
	return le16toh(v);
}

static uint32_t get32(const struct vpci *p, unsigned off)
{
	uint32_t v;

	memcpy(&v, p->config + off, sizeof(v));
	return le32toh(v);
}

/* --- what the space holds ----------------------------------------------------------------------------------- */

/* cap_virtio() - one of virtio's capabilities at @at. Return: where the next may go. */
static unsigned cap_virtio(struct vpci *p, unsigned at, uint8_t type, uint32_t offset, uint32_t len,
			   uint8_t bytes)
{
	p->config[at] = PCI_CAP_ID_VNDR;
	p->config[at + 2] = bytes;
	p->config[at + 3] = type;
	put32(p, at + 8, offset);
	put32(p, at + 12, len);
	return at + bytes;
}

static void capabilities(struct vpci *p)
{
	unsigned at = CAPS_AT, first[8], n = 0;

	p->config[PCI_CAPABILITY_LIST] = CAPS_AT;
	first[n++] = at;
	at = cap_virtio(p, at, VIRTIO_PCI_CAP_COMMON_CFG, VPCI__COMMON, 56, 16);
	first[n++] = at;
	at = cap_virtio(p, at, VIRTIO_PCI_CAP_ISR_CFG, VPCI__ISR, 1, 16);
	first[n++] = at;
	at = cap_virtio(p, at, VIRTIO_PCI_CAP_DEVICE_CFG, VPCI__DEVICE, VPCI__PAGE, 16);
	first[n++] = at;
	at = cap_virtio(p, at, VIRTIO_PCI_CAP_NOTIFY_CFG, VPCI_NOTIFY, 4 * p->d->n_queues, 20);
	put32(p, first[n - 1] + 16, 4); /* bytes from queue to queue */
	first[n++] = at;
	p->cfg_at = (uint8_t)at;
	at = cap_virtio(p, at, VIRTIO_PCI_CAP_PCI_CFG, 0, 0, CFG_CAP_BYTES);
	first[n++] = at;
	p->msix_at = (uint8_t)at;
	p->config[at] = PCI_CAP_ID_MSIX;
	put16(p, at + PCI_MSIX_FLAGS, (uint16_t)(p->n_vectors - 1));
	put32(p, at + PCI_MSIX_TABLE, VPCI__TABLE); /* low bits 0: BAR 0 */
	put32(p, at + PCI_MSIX_PBA, VPCI__PBA);
	for (unsigned i = 0; i + 1 < n; i++)
		p->config[first[i] + 1] = (uint8_t)first[i + 1];
}

/* class_of() - base class and sub-class: for people and for drivers that look. */
static uint16_t class_of(enum vdev_id id)
{
	switch (id) {
	case VDEV_NET: return 0x0200;
	case VDEV_BLK: return 0x0180;
	case VDEV_CONSOLE: return 0x0780;
	case VDEV_PMEM:
	case VDEV_MEM: return 0x0580;
	default: return 0x00ff;
	}
}

void vpci_init(struct vpci *p, struct vdev *d, const struct vpci_host *host)
{
	*p = (struct vpci){ .d = d, .host = *host };
	pthread_mutex_init(&p->lock, NULL);
	pthread_mutex_init(&p->msix_lock, NULL);
	p->n_vectors = d->n_queues + 1;
	for (unsigned v = 0; v < p->n_vectors; v++)
		p->vector[v].masked = true; /* as after a reset. Spec: PCI 3.0 §6.8.2.9 */
	vpci__msix_reset(p);
	put16(p, PCI_VENDOR_ID, VENDOR);
	put16(p, PCI_DEVICE_ID, (uint16_t)(DEVICE_BASE + d->ops->id));
	put16(p, PCI_STATUS, PCI_STATUS_CAP_LIST);
	p->config[PCI_REVISION_ID] = 1; /* modern. Spec: virtio 1.2 §4.1.2.1 */
	put16(p, PCI_CLASS_DEVICE, class_of(d->ops->id));
	put32(p, PCI_BASE_ADDRESS_0, PCI_BASE_ADDRESS_MEM_TYPE_64);
	put16(p, PCI_SUBSYSTEM_VENDOR_ID, VENDOR);
	put16(p, PCI_SUBSYSTEM_ID, (uint16_t)(DEVICE_BASE + d->ops->id));
	capabilities(p);
	d->interrupt = vpci__interrupt;
	d->interrupt_arg = p;
}

void vpci_fini(struct vpci *p)
{
	if (!p->d)
		return;
	pthread_mutex_destroy(&p->lock);
	pthread_mutex_destroy(&p->msix_lock);
	p->d->interrupt = NULL;
	p->d = NULL;
}

/* --- access ------------------------------------------------------------------------------------------------- */

/* placed() - tell the board where the BAR is decoded, when that has changed. */
static void placed(struct vpci *p)
{
	uint64_t base = ((uint64_t)get32(p, PCI_BASE_ADDRESS_1) << 32) |
			(get32(p, PCI_BASE_ADDRESS_0) & ~(uint32_t)(VPCI_BAR_BYTES - 1));
	bool on = get16(p, PCI_COMMAND) & PCI_COMMAND_MEMORY;

	if (on == p->decoded && (!on || base == p->base))
		return;
	if (p->decoded && p->host.placed)
		p->host.placed(p->host.arg, p->base, false);
	p->base = base;
	p->decoded = on;
	if (on && p->host.placed)
		p->host.placed(p->host.arg, base, true);
}

/* mask_of() - the bits of the byte at @off that can be written. */
static uint8_t mask_of(const struct vpci *p, unsigned off)
{
	unsigned in_cfg = off - p->cfg_at; /* below it: huge */

	switch (off) {
	case PCI_COMMAND: return COMMAND_BITS & 0xff;
	case PCI_COMMAND + 1: return COMMAND_BITS >> 8;
	case PCI_CACHE_LINE_SIZE:
	case PCI_INTERRUPT_LINE:
	case PCI_BASE_ADDRESS_0 + 2:
	case PCI_BASE_ADDRESS_0 + 3:
	case PCI_BASE_ADDRESS_1:
	case PCI_BASE_ADDRESS_1 + 1:
	case PCI_BASE_ADDRESS_1 + 2:
	case PCI_BASE_ADDRESS_1 + 3: return 0xff;
	case PCI_BASE_ADDRESS_0 + 1: return (uint8_t)(~(VPCI_BAR_BYTES - 1U) >> 8);
	default: break;
	}
	if (off == p->msix_at + PCI_MSIX_FLAGS + 1U)
		return (PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL) >> 8;
	/* bar, offset, length of the window */
	return in_cfg == 4 || (in_cfg >= 8 && in_cfg < CFG_DATA_AT) ? 0xff : 0;
}

/* window() - an access to the window's data is one to the BAR. Spec: virtio 1.2 §4.1.4.9. Return: whether it was one. */
static bool window(struct vpci *p, unsigned off, void *data, unsigned len, bool write)
{
	uint32_t to, bytes;
	bool sane;

	if (off != p->cfg_at + (unsigned)CFG_DATA_AT)
		return false;
	pthread_mutex_lock(&p->lock);
	to = get32(p, p->cfg_at + 8U);
	bytes = get32(p, p->cfg_at + 12U);
	sane = p->config[p->cfg_at + 4] == 0 && bytes == len && to % len == 0;
	pthread_mutex_unlock(&p->lock); /* the access takes it again */
	if (sane && write)
		vpci_bar_write(p, to, data, len);
	else if (sane)
		vpci_bar_read(p, to, data, len);
	return true;
}

void vpci_config_read(struct vpci *p, unsigned off, void *data, unsigned len)
{
	memset(data, 0, len);
	if ((len != 1 && len != 2 && len != 4) || off >= VPCI_CONFIG_BYTES || off % len)
		return;
	if (window(p, off, data, len, false))
		return;
	pthread_mutex_lock(&p->lock);
	memcpy(data, p->config + off, len);
	pthread_mutex_unlock(&p->lock);
}

static void apply(struct vpci *p)
{
	uint16_t flags = get16(p, p->msix_at + (unsigned)PCI_MSIX_FLAGS);

	placed(p);
	vpci__msix_control(p, flags & PCI_MSIX_FLAGS_ENABLE, flags & PCI_MSIX_FLAGS_MASKALL);
}

void vpci_config_write(struct vpci *p, unsigned off, const void *data, unsigned len)
{
	uint8_t copy[4];

	if ((len != 1 && len != 2 && len != 4) || off >= VPCI_CONFIG_BYTES || off % len)
		return;
	memcpy(copy, data, len);
	if (window(p, off, copy, len, true))
		return;
	pthread_mutex_lock(&p->lock);
	for (unsigned i = 0; i < len; i++) {
		uint8_t mask = mask_of(p, off + i);

		p->config[off + i] = (uint8_t)((p->config[off + i] & ~mask) | (copy[i] & mask));
	}
	apply(p);
	pthread_mutex_unlock(&p->lock);
}

void vpci_place(struct vpci *p, uint64_t base)
{
	BUG_ON(base % VPCI_BAR_BYTES);
	pthread_mutex_lock(&p->lock);
	put32(p, PCI_BASE_ADDRESS_0, (uint32_t)base | PCI_BASE_ADDRESS_MEM_TYPE_64);
	put32(p, PCI_BASE_ADDRESS_1, (uint32_t)(base >> 32));
	put16(p, PCI_COMMAND, get16(p, PCI_COMMAND) | PCI_COMMAND_MEMORY);
	placed(p);
	pthread_mutex_unlock(&p->lock);
}

/* --- state -------------------------------------------------------------------------------------------------- */

void vpci_save(struct vpci *p, struct record_out *o)
{
	record_begin(o, "VPCI", VPCI_RECORD_VERSION);
	record_put(o, p->config, sizeof(p->config));
	record_put_u32(o, p->features_sel);
	record_put_u32(o, p->driver_sel);
	record_put_u16(o, p->queue_sel);
	record_put_u8(o, __atomic_load_n(&p->isr, __ATOMIC_SEQ_CST));
	vpci__msix_save(p, o);
	vdev_save(p->d, o);
	record_end(o);
}

void vpci_restore(struct vpci *p, struct record_in *in)
{
	const uint8_t *config;

	record_open(in, "VPCI", VPCI_RECORD_VERSION);
	config = record_take(in, sizeof(p->config));
	p->features_sel = record_get_u32(in);
	p->driver_sel = record_get_u32(in);
	p->queue_sel = record_get_u16(in);
	p->isr = record_get_u8(in) & 3;
	vpci__msix_restore(p, in);
	vdev_restore(p->d, in);
	record_close(in);
	if (in->rc < 0)
		return;
	pthread_mutex_lock(&p->lock);
	for (unsigned i = 0; i < VPCI_CONFIG_BYTES; i++) { /* what a guest may write, and nothing else */
		uint8_t mask = mask_of(p, i);

		p->config[i] = (uint8_t)((p->config[i] & ~mask) | (config[i] & mask));
	}
	placed(p);
	pthread_mutex_unlock(&p->lock);
}

/* What pends is sent by the control, which is first applied here: before this nothing may run. */
void vpci_resume(struct vpci *p)
{
	pthread_mutex_lock(&p->lock);
	apply(p);
	pthread_mutex_unlock(&p->lock);
	vdev_resume(p->d);
}
