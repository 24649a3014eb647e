/* SPDX-License-Identifier: Apache-2.0 */
/* pci_bar.c - the registers in BAR 0. Spec: virtio 1.2 §4.1.4 */
#include <endian.h>
#include <linux/virtio_pci.h>
#include <string.h>

#include "virtio/pci_internal.h"

/* width() - of the common register at @off: the only size it may be accessed with. Spec: §4.1.3.1. 0: there is none. */
static unsigned width(unsigned off)
{
	switch (off) {
	case VIRTIO_PCI_COMMON_DFSELECT:
	case VIRTIO_PCI_COMMON_DF:
	case VIRTIO_PCI_COMMON_GFSELECT:
	case VIRTIO_PCI_COMMON_GF:
	case VIRTIO_PCI_COMMON_Q_DESCLO:
	case VIRTIO_PCI_COMMON_Q_DESCHI:
	case VIRTIO_PCI_COMMON_Q_AVAILLO:
	case VIRTIO_PCI_COMMON_Q_AVAILHI:
	case VIRTIO_PCI_COMMON_Q_USEDLO:
	case VIRTIO_PCI_COMMON_Q_USEDHI: return 4;
	case VIRTIO_PCI_COMMON_MSIX:
	case VIRTIO_PCI_COMMON_NUMQ:
	case VIRTIO_PCI_COMMON_Q_SELECT:
	case VIRTIO_PCI_COMMON_Q_SIZE:
	case VIRTIO_PCI_COMMON_Q_MSIX:
	case VIRTIO_PCI_COMMON_Q_ENABLE:
	case VIRTIO_PCI_COMMON_Q_NOFF: return 2;
	case VIRTIO_PCI_COMMON_STATUS:
	case VIRTIO_PCI_COMMON_CFGGENERATION: return 1;
	default: return 0;
	}
}

/* queue_reg() - the queue register at @off. Return: VDEV_Q_REG_COUNT: it is another. */
static enum vdev_queue_reg queue_reg(unsigned off)
{
	switch (off) {
	case VIRTIO_PCI_COMMON_Q_SIZE: return VDEV_Q_SIZE;
	case VIRTIO_PCI_COMMON_Q_ENABLE: return VDEV_Q_ENABLE;
	case VIRTIO_PCI_COMMON_Q_DESCLO: return VDEV_Q_DESC_LO;
	case VIRTIO_PCI_COMMON_Q_DESCHI: return VDEV_Q_DESC_HI;
	case VIRTIO_PCI_COMMON_Q_AVAILLO: return VDEV_Q_AVAIL_LO;
	case VIRTIO_PCI_COMMON_Q_AVAILHI: return VDEV_Q_AVAIL_HI;
	case VIRTIO_PCI_COMMON_Q_USEDLO: return VDEV_Q_USED_LO;
	case VIRTIO_PCI_COMMON_Q_USEDHI: return VDEV_Q_USED_HI;
	default: return VDEV_Q_REG_COUNT;
	}
}

static uint32_t word(uint64_t v, uint32_t i)
{
	return i < 2 ? (uint32_t)(v >> (32 * i)) : 0;
}

static uint32_t common_read(struct vpci *p, unsigned off)
{
	struct vdev *d = p->d;
	bool there = p->queue_sel < d->n_queues;

	switch (off) {
	case VIRTIO_PCI_COMMON_DFSELECT: return p->features_sel;
	case VIRTIO_PCI_COMMON_DF: return word(d->offered, p->features_sel);
	case VIRTIO_PCI_COMMON_GFSELECT: return p->driver_sel;
	case VIRTIO_PCI_COMMON_GF: return word(d->wanted, p->driver_sel);
	case VIRTIO_PCI_COMMON_MSIX: return vpci__msix_vector(p, -1);
	case VIRTIO_PCI_COMMON_NUMQ: return d->n_queues;
	case VIRTIO_PCI_COMMON_STATUS: return vdev_get_status(d);
	case VIRTIO_PCI_COMMON_CFGGENERATION: return (uint8_t)vdev_generation(d);
	case VIRTIO_PCI_COMMON_Q_SELECT: return p->queue_sel;
	case VIRTIO_PCI_COMMON_Q_MSIX: return there ? vpci__msix_vector(p, p->queue_sel) : VPCI_NO_VECTOR;
	case VIRTIO_PCI_COMMON_Q_NOFF: return there ? p->queue_sel : 0;
	default: return vdev_queue_read(d, p->queue_sel, queue_reg(off));
	}
}

static void status_write(struct vpci *p, uint8_t v)
{
	vdev_set_status(p->d, v);
	if (v != 0)
		return;
	vpci__msix_reset(p);
	__atomic_store_n(&p->isr, 0, __ATOMIC_SEQ_CST);
}

static void common_write(struct vpci *p, unsigned off, uint32_t v)
{
	struct vdev *d = p->d;

	switch (off) {
	case VIRTIO_PCI_COMMON_DFSELECT: p->features_sel = v; break;
	case VIRTIO_PCI_COMMON_GFSELECT: p->driver_sel = v; break;
	case VIRTIO_PCI_COMMON_GF: vdev_set_features_word(d, p->driver_sel, v); break;
	case VIRTIO_PCI_COMMON_MSIX: vpci__msix_set_vector(p, -1, (uint16_t)v); break;
	case VIRTIO_PCI_COMMON_STATUS: status_write(p, (uint8_t)v); break;
	case VIRTIO_PCI_COMMON_Q_SELECT: p->queue_sel = (uint16_t)v; break;
	case VIRTIO_PCI_COMMON_Q_MSIX:
		if (p->queue_sel < d->n_queues)
			vpci__msix_set_vector(p, p->queue_sel, (uint16_t)v);
		break;
	default:
		vdev_queue_write(d, p->queue_sel, queue_reg(off), v);
		break; /* a register that is none: counted there */
	}
}

static void common_access(struct vpci *p, unsigned off, void *data, unsigned len, bool write)
{
	uint32_t v = 0;

	if (width(off) != len || len == 0)
		return;
	pthread_mutex_lock(&p->lock);
	if (write) {
		memcpy(&v, data, len);
		common_write(p, off, le32toh(v));
	} else {
		v = htole32(common_read(p, off));
		memcpy(data, &v, len);
	}
	pthread_mutex_unlock(&p->lock);
}

void vpci_bar_read(struct vpci *p, uint64_t off, void *data, unsigned len)
{
	unsigned in = (unsigned)(off % VPCI__PAGE);

	memset(data, 0, len);
	if (off >= VPCI_BAR_BYTES)
		return;
	switch (off - in) {
	case VPCI__COMMON: common_access(p, in, data, len, false); break;
	case VPCI__ISR:
		if (in == 0 && len > 0) /* reading clears; pairs with vpci__interrupt(). Spec: §4.1.4.5.1 */
			*(uint8_t *)data = __atomic_exchange_n(&p->isr, 0, __ATOMIC_SEQ_CST);
		break;
	case VPCI__DEVICE: vdev_config_read(p->d, in, data, len); break;
	case VPCI__TABLE: vpci__table_read(p, in, data, len); break;
	case VPCI__PBA: vpci__pba_read(p, in, data, len); break;
	default: break;
	}
}

void vpci_bar_write(struct vpci *p, uint64_t off, const void *data, unsigned len)
{
	unsigned in = (unsigned)(off % VPCI__PAGE);
	uint8_t copy[8];

	if (off >= VPCI_BAR_BYTES || len > sizeof(copy))
		return;
	memcpy(copy, data, len);
	switch (off - in) {
	case VPCI__COMMON: common_access(p, in, copy, len, true); break;
	case VPCI__DEVICE: vdev_config_write(p->d, in, copy, len); break;
	case VPCI_NOTIFY: /* the address says which queue; the data path: no lock */
		if (in % 4 == 0)
			vdev_kick(p->d, in / 4);
		break;
	case VPCI__TABLE: vpci__table_write(p, in, copy, len); break;
	default: break;
	}
}
