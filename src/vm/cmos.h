/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmos.h - the clock of a PC, read-only: the host's time in UTC, and what a guest stores in the bytes behind it
 *
 * There are no alarms and no periodic interrupts. Setting the time is accepted and has no effect: the host's clock is kept.
 *
 * Spec: MC146818 data sheet; registers 0x00 to 0x0d, century in 0x32
 */
#ifndef VM_CMOS_H
#define VM_CMOS_H

#include <pthread.h>
#include <stdint.h>

#include "base/time.h"
#include "vm/bus.h"

struct record_in;
struct record_out;

enum { CMOS_PORTS = 2, CMOS_BYTES = 128 };

struct cmos {
	pthread_mutex_t lock;
	nsec_t (*now)(void); /* since the epoch */
	uint8_t index;
	uint8_t byte[CMOS_BYTES];
};

extern const struct bus_ops cmos_bus; /* @arg: the cmos, at port 0x70 */

void cmos_init(struct cmos *c, nsec_t (*now)(void)); /* @now NULL: the host's clock */
void cmos_fini(struct cmos *c);
void cmos_save(struct cmos *c, struct record_out *o);
void cmos_restore(struct cmos *c, struct record_in *in);

#endif
