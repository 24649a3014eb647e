/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pcibus.h - the one PCI bus of a machine: a host bridge, virtio functions, and the ways a processor reaches them
 *
 * Theory of operation. Function 0 of each device number is all there is; number 0 is the host bridge. Configuration space is
 * reached through the ECAM window (1 MiB: bus 0) and through ports 0xcf8 to 0xcff. BARs get their places from the window above
 * 4 GiB when a function is plugged, as firmware would do it; a guest may move them inside the windows, and what it puts
 * anywhere else is not decoded.
 *
 * Devices come and go while processors run: @hot is held for reading by every access and for writing by plug and unplug. The
 * doorbell callback runs on the thread that made the access, with @hot held.
 *
 * The functions below have the shape of the board's bus handlers (arg, offset in the range, bytes).
 */
#ifndef VM_PCIBUS_H
#define VM_PCIBUS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "virtio/pci.h"

struct err;
struct pcibus;
struct record_in;
struct record_out;

enum { PCIBUS_DEVICES = 32, PCIBUS_ECAM_BYTES = 1 << 20, PCIBUS_PORT = 0xcf8, PCIBUS_PORTS = 8 };

struct pcibus_host { /* the board's half */
	void (*msi)(void *arg, uint64_t addr, uint32_t data);
	/* the device's queue doorbells are at @base + VPCI_NOTIFY + 4 * queue now, or no longer; may be NULL */
	void (*doorbells)(void *arg, struct vdev *d, uint64_t base, bool on);
	void *arg;
};

struct pcibus_window {
	uint64_t base, size;
};

struct pcibus_slot {
	struct pcibus *bus;
	bool used;
	struct vpci fn;
	uint64_t base; /* atomic; of its BAR; 0: not decoded */
};

struct pcibus {
	struct pcibus_host host;
	struct pcibus_window mem32, mem64;
	pthread_rwlock_t hot;
	uint32_t address; /* of port 0xcf8; atomic */
	struct pcibus_slot slot[PCIBUS_DEVICES];
};

/* @mem32 may be empty; @mem64 holds at least PCIBUS_DEVICES BARs. */
void pcibus_init(struct pcibus *b, const struct pcibus_host *host, struct pcibus_window mem32,
		 struct pcibus_window mem64);
void pcibus_fini(struct pcibus *b); /* the devices stay the caller's */

/**
 * pcibus_plug() - put @d behind a function
 * @number: 1 to 31, or -1: the first free one
 * Return: its number; -ENOSPC no place left; -EBUSY that one is taken
 */
int pcibus_plug(struct pcibus *b, struct vdev *d, int number, struct err *e);
/* pcibus_unplug() - no access reaches the device any more when it returns; it stays the caller's. */
void pcibus_unplug(struct pcibus *b, unsigned number);
/* pcibus_find() - the number of @d, or -ENOENT. */
int pcibus_find(const struct pcibus *b, const struct vdev *d);
void pcibus_resume(struct pcibus *b); /* vpci_resume() of all */

void pcibus_ecam_read(void *bus, uint64_t off, void *dst, unsigned len);
void pcibus_ecam_write(void *bus, uint64_t off, const void *src, unsigned len);
void pcibus_port_read(void *bus, uint64_t off, void *dst, unsigned len); /* @off from 0xcf8 */
void pcibus_port_write(void *bus, uint64_t off, const void *src, unsigned len);
void pcibus_mem32_read(void *bus, uint64_t off, void *dst, unsigned len);
void pcibus_mem32_write(void *bus, uint64_t off, const void *src, unsigned len);
void pcibus_mem64_read(void *bus, uint64_t off, void *dst, unsigned len);
void pcibus_mem64_write(void *bus, uint64_t off, const void *src, unsigned len);

/* State of the bus and all its functions, with their devices; restored into a bus with the same devices plugged. */
void pcibus_save(struct pcibus *b, struct record_out *o);
void pcibus_restore(struct pcibus *b, struct record_in *in);

#endif
