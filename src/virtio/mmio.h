/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mmio.h - the virtio-mmio transport: a device behind one page of registers and one interrupt line
 *
 * Theory of operation. Registers are 32 bits wide and aligned; any other access below the configuration space reads as zero and
 * is dropped. What the registers mean lies in vdev.c. A processor's thread calls vmmio_read() and vmmio_write(); @lock keeps
 * the selectors of several processors apart and is taken before the device's own lock, never after it.
 *
 * The interrupt is an edge: each event sets its bit in InterruptStatus and calls irq() (an eventfd that the engine turns into
 * an edge). The driver acknowledges before it looks at its rings, so an event between is seen by the one or the other. The
 * board describes the line as edge-triggered, active high, exclusive.
 *
 * QueueNotify may be taken by the engine (ioeventfd on VMMIO_NOTIFY with the queue's number as value, on d->kick_fd[]); what
 * still arrives here is a kick like any other.
 *
 * Spec: virtio 1.2 §4.2
 */
#ifndef VIRTIO_MMIO_H
#define VIRTIO_MMIO_H

#include <pthread.h>
#include <stdint.h>

struct record_in;
struct record_out;
struct vdev;

enum { VMMIO_BYTES = 0x1000, VMMIO_NOTIFY = 0x50, VMMIO_CONFIG = 0x100 };

struct vmmio {
	struct vdev *d; /* borrowed */
	pthread_mutex_t lock;
	uint32_t features_sel, driver_sel, queue_sel, shm_sel;
	uint32_t pending;       /* InterruptStatus; atomic */
	void (*irq)(void *arg); /* any thread */
	void *arg;
	uint64_t n_ignored; /* accesses of no sense; under @lock */
};

/* vmmio_init() - put @d behind registers; sets its interrupt. vmmio_fini(): the device stays the caller's. */
void vmmio_init(struct vmmio *m, struct vdev *d, void (*irq)(void *arg), void *arg);
void vmmio_fini(struct vmmio *m);

/* @off below VMMIO_BYTES, @len up to 8: anything a guest may try. */
void vmmio_read(struct vmmio *m, uint64_t off, void *data, unsigned len);
void vmmio_write(struct vmmio *m, uint64_t off, const void *data, unsigned len);

/* The transport's registers and the device. vmmio_resume(): the device works again, and an interrupt that may have been under
 * way is given once more. */
void vmmio_save(struct vmmio *m, struct record_out *o);
void vmmio_restore(struct vmmio *m, struct record_in *in);
void vmmio_resume(struct vmmio *m);

#endif
