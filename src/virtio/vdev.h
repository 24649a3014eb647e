/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vdev.h - what a virtio device is to its transport, and a transport to its device
 *
 * Theory of operation. One struct vdev_ops for each kind of device; the generic struct vdev is the first member of the
 * device's own. The transport (mmio.c, pci.c) owns the registers: feature negotiation, status, queue layout, interrupts. It
 * calls the device only through the wrappers below, which check the state once for all devices.
 *
 * Threads. A processor's thread comes in through the transport's registers; queues are served by the machine's loop thread,
 * woken by an eventfd for each queue. d->lock is held in every op but free(); an op may drop nothing and wait for nothing
 * but the device's own backend. reset() returns when nothing of the device's is in flight any more. activate(), reset() and
 * the config ops may run on a processor's thread: there a loop's sources and timers must not be touched. A device that needs
 * one then kicks its own queue, and serve() does it; a timer that fires after a reset looks at vdev_is_active() first.
 *
 * The guest is hostile: a register write that makes no sense in the device's state is ignored and counted in n_ignored.
 *
 * Spec: virtio 1.2 §2.1 status, §2.2 features, §2.4 notifications, §3 initialisation
 */
#ifndef VIRTIO_VDEV_H
#define VIRTIO_VDEV_H

#include <pthread.h>

#include "io/loop.h"
#include "virtio/vq.h"

struct err;
struct record_in;
struct record_out;
struct vdev;

/* Device numbers. Spec: virtio 1.2 §5 */
enum vdev_id {
	VDEV_NET = 1,
	VDEV_BLK = 2,
	VDEV_CONSOLE = 3,
	VDEV_RNG = 4,
	VDEV_BALLOON = 5,
	VDEV_9P = 9,
	VDEV_VSOCK = 19,
	VDEV_MEM = 24,
	VDEV_FS = 26,
	VDEV_PMEM = 27,
};

enum { VDEV_QUEUES_MAX = 18, VDEV_NAME_MAX = 64, VDEV_SHM_MAX = 2 };

/* Feature bits of every device. Spec: virtio 1.2 §6 */
#define VDEV_F_INDIRECT  (1ULL << 28)
#define VDEV_F_EVENT_IDX (1ULL << 29)
#define VDEV_F_VERSION_1 (1ULL << 32)
#define VDEV_F_PACKED    (1ULL << 34)

enum {
	VDEV_S_ACKNOWLEDGE = 1,
	VDEV_S_DRIVER = 2,
	VDEV_S_DRIVER_OK = 4,
	VDEV_S_FEATURES_OK = 8,
	VDEV_S_NEEDS_RESET = 64,
	VDEV_S_FAILED = 128,
};

struct vdev_ops {
	const char *name; /* "blk" */
	enum vdev_id id;
	/* config_read() - @len bytes at @off of the configuration space; out of range reads as zero. */
	void (*config_read)(struct vdev *d, unsigned off, void *dst, unsigned len);
	void (*config_write)(struct vdev *d, unsigned off, const void *src,
			     unsigned len); /* may be NULL: read-only */
	/* activate() - DRIVER_OK: features are final, queues enabled. Return: 0; -errno: the device needs a reset. */
	int (*activate)(struct vdev *d);
	/* serve() - queue @i was kicked, or the device has work for it. Return: 0; -EPROTO: needs a reset. */
	int (*serve)(struct vdev *d, unsigned i);
	void (*reset)(
		struct vdev *d); /* to the state before activate(); nothing is in flight when it returns */
	/* pause() - nothing in flight when it returns, nothing starts until resume(). May be NULL: serve() is all there is. */
	void (*pause)(struct vdev *d);
	void (*resume)(struct vdev *d);
	void (*save)(struct vdev *d, struct record_out *o); /* own state, without the queues; may be NULL */
	/* restore() - into a device made anew from the same configuration; activate() has run if the driver was ready */
	void (*restore)(struct vdev *d, struct record_in *in);
	void (*free)(struct vdev *d); /* takes a half-made @d; cannot fail */
};

struct vdev_shm { /* shared memory region; the device's memory, outside the machine's RAM. Spec: virtio 1.2 §2.10 */
	gpa_t base;
	uint64_t size; /* 0: there is none of this number */
};

struct vdev_source {
	struct loop_source source;
	struct vdev *d;
	unsigned i;
};

struct vdev {
	const struct vdev_ops *ops;
	char name[VDEV_NAME_MAX + 1]; /* "drive 'rootfs'", for messages */
	const struct gmem *mem;       /* borrowed */
	struct loop *loop;            /* borrowed; the thread that serves */
	pthread_mutex_t lock;
	uint64_t offered;    /* features; set by the device before it is plugged in */
	uint64_t wanted;     /* what the driver has written so far */
	uint64_t negotiated; /* what the driver took, at FEATURES_OK */
	uint8_t status;
	uint32_t generation; /* of the configuration space */
	unsigned n_queues;   /* set by the device */
	uint16_t queue_max;  /* entries; VQ_SIZE_MAX, or what the device sets right after vdev_init() */
	bool paused;
	struct vdev_shm shm[VDEV_SHM_MAX]; /* set by the device before it is plugged in */
	struct vq vq[VDEV_QUEUES_MAX];
	int kick_fd[VDEV_QUEUES_MAX]; /* owned eventfds; the engine or the transport signals them */
	struct vdev_source source[VDEV_QUEUES_MAX];
	uint64_t n_ignored; /* register writes that made no sense */
	/* set by the transport: */
	void (*interrupt)(void *arg,
			  int queue); /* queue -1: the configuration changed, or the status. Any thread. */
	void *interrupt_arg;
};

/* vdev_init() - the generic part. @loop NULL: nothing serves but vdev_serve() (tests). From the loop's thread. @n_queues <= VDEV_QUEUES_MAX. VERSION_1, INDIRECT, EVENT_IDX and PACKED are added to @offered.
 * vdev_fini() - its end; also of a half-made one. For the devices' own new and free. */
int vdev_init(struct vdev *d, const struct vdev_ops *ops, const char *name, const struct gmem *mem,
	      struct loop *loop, uint64_t offered, unsigned n_queues, struct err *e);
void vdev_fini(struct vdev *d);

/* --- for transports; each takes d->lock ------------------------------------------------------------------ */

void vdev_config_read(struct vdev *d, unsigned off, void *dst, unsigned len);
void vdev_config_write(struct vdev *d, unsigned off, const void *src, unsigned len);
/* vdev_set_features() - before FEATURES_OK only; vdev_set_features_word() - 32 bits of them: @word 0, 1. */
void vdev_set_features(struct vdev *d, uint64_t features);
void vdev_set_features_word(struct vdev *d, uint32_t word, uint32_t v);
/* vdev_set_status() - the driver writes the status register; 0 resets. Follows §3.1.1's order, refuses the rest. */
void vdev_set_status(struct vdev *d, uint8_t status);
/* The layout of queue @i. Writes count from FEATURES_OK to DRIVER_OK, and not while the queue is enabled. */
enum vdev_queue_reg {
	VDEV_Q_SIZE,
	VDEV_Q_DESC_LO,
	VDEV_Q_DESC_HI,
	VDEV_Q_AVAIL_LO, /* packed: driver event */
	VDEV_Q_AVAIL_HI,
	VDEV_Q_USED_LO, /* packed: device event */
	VDEV_Q_USED_HI,
	VDEV_Q_ENABLE, /* 1: checked, and reads back as 1 if it can be trusted */
	VDEV_Q_REG_COUNT
};
void vdev_queue_write(struct vdev *d, unsigned i, enum vdev_queue_reg reg, uint32_t v);
uint32_t vdev_queue_read(struct vdev *d, unsigned i, enum vdev_queue_reg reg);
uint8_t vdev_get_status(struct vdev *d);
uint32_t vdev_generation(struct vdev *d);
/* vdev_serve() - serve queue @i now if the device is up; what the loop does after a kick. From the loop's thread. */
void vdev_serve(struct vdev *d, unsigned i);
/* vdev_kick() - queue @i has work: its eventfd. Any thread. */
void vdev_kick(struct vdev *d, unsigned i);
void vdev_pause(struct vdev *d);
void vdev_resume(struct vdev *d);
void vdev_save(struct vdev *d, struct record_out *o);
/* vdev_restore() - through the checks that a driver's writes go through; the device is paused then. */
void vdev_restore(struct vdev *d, struct record_in *in);
void vdev_free(struct vdev *d); /* takes NULL */

/* --- for devices; d->lock is held ------------------------------------------------------------------------- */

/* vdev_notify() - after pushes: interrupt for queue @i if the driver wants one. */
void vdev_notify(struct vdev *d, unsigned i);
/* vdev_config_changed() - a new generation, and the interrupt for it. */
void vdev_config_changed(struct vdev *d);
/* vdev_broken() - DEVICE_NEEDS_RESET, and the interrupt for it. */
void vdev_broken(struct vdev *d);
static inline bool vdev_is_active(const struct vdev *d)
{
	return (d->status & (VDEV_S_DRIVER_OK | VDEV_S_NEEDS_RESET)) == VDEV_S_DRIVER_OK;
}
static inline bool vdev_has(const struct vdev *d, uint64_t feature)
{
	return (d->negotiated & feature) != 0;
}

#endif
