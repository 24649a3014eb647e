/* SPDX-License-Identifier: Apache-2.0 */
/* pci_internal.h - what the halves of the PCI transport share: configuration space (pci.c), registers (pci_bar.c), messages
 * (pci_msix.c) */
#ifndef VIRTIO_PCI_INTERNAL_H
#define VIRTIO_PCI_INTERNAL_H

#include "virtio/pci.h"

enum {
	VPCI__COMMON = 0x0000,
	VPCI__ISR = 0x1000,
	VPCI__DEVICE = 0x2000,
	VPCI__TABLE = 0x4000,
	VPCI__PBA = 0x5000,
	VPCI__PAGE = 0x1000,
};

void vpci__interrupt(void *arg, int queue);
void vpci__msix_reset(struct vpci *p); /* no vector is anybody's */
void vpci__msix_control(struct vpci *p, bool on, bool masked);
uint16_t vpci__msix_vector(struct vpci *p, int queue); /* -1: the configuration's */
void vpci__msix_set_vector(struct vpci *p, int queue, uint16_t v);
void vpci__table_read(struct vpci *p, unsigned off, void *data, unsigned len);
void vpci__table_write(struct vpci *p, unsigned off, const void *data, unsigned len);
void vpci__pba_read(struct vpci *p, unsigned off, void *data, unsigned len);
void vpci__msix_save(struct vpci *p, struct record_out *o);
void vpci__msix_restore(struct vpci *p, struct record_in *in);

#endif
