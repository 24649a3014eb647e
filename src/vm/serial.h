/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serial.h - a 16550 UART between a guest and two descriptors
 *
 * Theory of operation. A processor's thread writes and reads the eight registers; the loop thread moves bytes between the two
 * rings here and the descriptors. The rings are bounded: input is read only while there is room for it, and while
 * the output ring is full the transmitter says so (LSR without THRE). A guest that transmits all the same, or faster than its
 * limit, loses bytes, which are counted.
 *
 * Output never blocks the loop longer than one write of a descriptor that poll(2) called writable. SIGPIPE is ignored by who
 * runs the loop.
 *
 * Spec: PC16550D data sheet, "Register Summary"
 */
#ifndef VM_SERIAL_H
#define VM_SERIAL_H

#include <stdint.h>

#include "virtio/limiter.h"
#include "vm/bus.h"

struct err;
struct loop;
struct record_in;
struct record_out;
struct serial;

enum { SERIAL_PORTS = 8, SERIAL_IN_MAX = 64, SERIAL_OUT_MAX = 16384 };

struct serial_config {
	struct loop *loop;                  /* borrowed */
	int in_fd, out_fd;                  /* borrowed; -1: none, output is dropped without being counted */
	struct limiter_config limit;        /* of output; its bytes bucket counts */
	void (*irq)(void *arg, bool level); /* any thread, under the device's lock: it must not come back */
	void *irq_arg;
};

extern const struct bus_ops serial_bus; /* @arg: the serial */

int serial_new(struct serial **ret_s, const struct serial_config *c, struct err *e);
void serial_free(struct serial *s); /* takes NULL */

/* serial_flush() - what the guest wrote goes out now; gives up after @wait_ms without progress. Loop thread. */
void serial_flush(struct serial *s, int wait_ms);
uint64_t serial_dropped(const struct serial *s);

void serial_save(struct serial *s, struct record_out *o); /* after serial_flush() */
void serial_restore(struct serial *s, struct record_in *in);

#endif
