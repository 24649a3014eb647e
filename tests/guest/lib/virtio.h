/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio.h - the driver's half of virtio 1.2 over memory-mapped registers or PCI, split and packed rings
 *
 * The command line chooses what is negotiated, where the device offers it: "packed", "noevent" (without event-idx),
 * "indirect" (every chain through a table), "poll" (no waiting for interrupts), "queue=N" (entries of a queue, 64), and where devices are: "base=N stride=N gsi=N", decimal.
 *
 * Where there are no registers at "base", devices are looked for on PCI, by its memory window or, with "ports", by ports; "move":
 * BARs are put elsewhere, below 4 GiB; "shared": one interrupt for all queues.
 */
#ifndef VIRTIO_H
#define VIRTIO_H

#include "guest.h"

enum {
	VIRTIO_NET = 1,
	VIRTIO_BLK = 2,
	VIRTIO_CONSOLE = 3,
	VIRTIO_RNG = 4,
	VIRTIO_BALLOON = 5,
	VIRTIO_VSOCK = 19,
	VIRTIO_MEM = 24,
	VIRTIO_FS = 26,
	VIRTIO_PMEM = 27,
};

#define VIRTIO_F_INDIRECT  (1ULL << 28)
#define VIRTIO_F_EVENT_IDX (1ULL << 29)
#define VIRTIO_F_VERSION_1 (1ULL << 32)
#define VIRTIO_F_PACKED    (1ULL << 34)

enum { VIRTQ_SIZE_MAX = 256, VIRTQ_SIZE = 64, VIRTQ_BUFS_MAX = 8 };

struct virtio {
	uint64_t base; /* of the registers; on PCI: of the common ones */
	uint64_t config;
	unsigned gsi;
	unsigned pci;                  /* its number; 0: it is not on PCI */
	uint64_t notify, msix, pba;    /* on PCI */
	unsigned notify_each, msix_at; /* bytes from queue to queue; the capability */
	uint8_t vector;                /* 0: nobody listens */
	uint64_t features;             /* negotiated */
	volatile unsigned irqs, config_irqs;
};

struct virtq_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t a, b; /* split: flags, next; packed: id, flags */
};

struct virtq {
	struct virtq_desc desc[VIRTQ_SIZE_MAX] __attribute__((aligned(16)));
	struct {
		uint16_t flags, idx, ring[VIRTQ_SIZE_MAX + 1]; /* behind the last one: used_event */
	} avail __attribute__((aligned(8)));
	volatile struct {
		uint16_t flags, idx;
		struct {
			uint32_t id, len;
		} ring[VIRTQ_SIZE_MAX + 1]; /* behind the last one: avail_event */
	} used __attribute__((aligned(8)));
	volatile struct {
		uint16_t off_wrap, flags;
	} driver_event, device_event;
	struct virtio *v;
	uint64_t doorbell; /* on PCI */
	unsigned index, size;
	bool packed, wrap, used_wrap;
	bool quiet; /* the device need not interrupt now */
	uint16_t next, used_next; /* packed: places in the ring; split: avail index, used index */
	uint16_t kicked;          /* avail index at the last kick */
	uint16_t free[VIRTQ_SIZE_MAX], n_free;
	uint8_t n_desc[VIRTQ_SIZE_MAX]; /* by id */
	struct virtq_desc table[VIRTQ_SIZE_MAX][VIRTQ_BUFS_MAX] __attribute__((aligned(16)));
};

struct virtq_buf {
	void *p;
	uint32_t len;
	bool device_writes;
};

/* virtio_find() - the @nth device of a kind. Memory above 4 GiB is mapped as needed. */
bool virtio_find(struct virtio *v, unsigned id, unsigned nth);
uint64_t virtio_offered(const struct virtio *v);
/* virtio_begin() - reset and negotiate: @wanted of the device's own bits, and the generic ones */
void virtio_begin(struct virtio *v, uint64_t wanted);
void virtq_init(struct virtio *v, struct virtq *q, unsigned index);
/* virtio_ready() - DRIVER_OK, and its interrupts arrive at @vector from now on */
void virtio_ready(struct virtio *v, uint8_t vector);
void virtio_reset(struct virtio *v);
/* virtio_ack() - for who has a handler of its own: trap_on() after virtio_ready() */
void virtio_ack(const struct virtio *v);
uint32_t virtio_status(const struct virtio *v);
uint8_t virtio_config8(const struct virtio *v, unsigned at);
void virtio_config_write32(const struct virtio *v, unsigned at, uint32_t value);
uint32_t virtio_config32(const struct virtio *v, unsigned at);
uint64_t virtio_config64(const struct virtio *v, unsigned at);

/* virtq_add() - a chain; returns its id. The device sees it at once, and may be polling: virtq_kick() for the others. */
uint16_t virtq_add(struct virtq *q, const struct virtq_buf *buf, unsigned n);
void virtq_kick(struct virtq *q);
bool virtq_take(struct virtq *q, uint16_t *ret_id, uint32_t *ret_len);
/* virtq_quiet() - the device need not interrupt for this queue; virtq_loud() - it is to when more than @skip have come (a wish, by
 * event-idx). Return: so many were there before it knew. */
void virtq_quiet(struct virtq *q);
bool virtq_loud(struct virtq *q, uint16_t skip);
/* virtio_irqs() - have any come? Those that are under way are let in first. */
bool virtio_irqs(const struct virtio *v);
/* virtq_wait() - sleep until the device gives one back */
uint16_t virtq_wait(struct virtq *q, uint32_t *ret_len);

#endif
