/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pci.h - the virtio-pci transport (modern only): a device behind a PCI function's configuration space and one memory BAR
 *
 * Theory of operation. The board's bus routes accesses: vpci_config_x() for the 256 bytes of configuration space, vpci_bar_x()
 * for BAR 0 while memory decoding is on. The host's placed() hears where the BAR is decoded and when it is not, so that it can
 * route it and hand QueueNotify to the engine (ioeventfd of 4 or 2 bytes at base + VPCI_NOTIFY + 4 * queue).
 *
 *	BAR 0, 64 bits: 0x0000 common  0x1000 ISR  0x2000 device  0x3000 notify  0x4000 MSI-X table  0x5000 pending bits
 *
 * Interrupts are messages (MSI-X): one vector for each queue and one for the configuration; there is no pin. A masked vector
 * pends until it is unmasked.
 *
 * Locks, in order: @lock (selectors, configuration space), the device's, @msix_lock. The guest may access anything at any size:
 * what is not a register reads as zero and is dropped.
 *
 * Spec: virtio 1.2 §4.1; PCI Local Bus 3.0 §6.7 capabilities, §6.8 MSI-X
 */
#ifndef VIRTIO_PCI_H
#define VIRTIO_PCI_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "virtio/vdev.h"

struct record_in;
struct record_out;

enum {
	VPCI_BAR_BYTES = 0x8000,
	VPCI_NOTIFY = 0x3000,
	VPCI_CONFIG_BYTES = 256,
	VPCI_VECTORS_MAX = VDEV_QUEUES_MAX + 1,
	VPCI_NO_VECTOR = 0xffff,
};

struct vpci_host {                                            /* the board's half */
	void (*msi)(void *arg, uint64_t addr, uint32_t data); /* any thread */
	void (*placed)(void *arg, uint64_t base,
		       bool decoded); /* a processor's thread; @lock is held; may be NULL */
	void *arg;
};

struct vpci_vector {
	uint64_t addr;
	uint32_t data;
	bool masked;
};

struct vpci {
	struct vdev *d; /* borrowed */
	struct vpci_host host;
	pthread_mutex_t lock, msix_lock;
	uint8_t config[VPCI_CONFIG_BYTES]; /* as it is read */
	uint8_t msix_at, cfg_at;           /* of these capabilities */
	bool decoded;                      /* as placed() was last told */
	uint64_t base;
	uint32_t features_sel, driver_sel;
	uint16_t queue_sel;
	uint8_t isr; /* atomic */
	/* under @msix_lock: */
	bool msix_on, msix_masked;
	unsigned n_vectors;
	uint16_t config_vector, queue_vector[VDEV_QUEUES_MAX];
	struct vpci_vector vector[VPCI_VECTORS_MAX];
	uint64_t pending; /* a bit for each vector */
};

/* vpci_init() - put @d behind a PCI function; sets its interrupt. vpci_fini(): the device stays the caller's. */
void vpci_init(struct vpci *p, struct vdev *d, const struct vpci_host *host);
void vpci_fini(struct vpci *p);

/* vpci_place() - what firmware does: give BAR 0 its address, decode it. @base: a multiple of VPCI_BAR_BYTES. */
void vpci_place(struct vpci *p, uint64_t base);

/* @len 1, 2 or 4 at any @off. */
void vpci_config_read(struct vpci *p, unsigned off, void *data, unsigned len);
void vpci_config_write(struct vpci *p, unsigned off, const void *data, unsigned len);
/* @off into BAR 0, @len up to 8. */
void vpci_bar_read(struct vpci *p, uint64_t off, void *data, unsigned len);
void vpci_bar_write(struct vpci *p, uint64_t off, const void *data, unsigned len);

void vpci_save(struct vpci *p, struct record_out *o);
void vpci_restore(struct vpci *p, struct record_in *in);
void vpci_resume(struct vpci *p);

#endif
