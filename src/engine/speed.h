/* SPDX-License-Identifier: Apache-2.0 */
/*
 * speed.h - how fast an engine is on this host: measured on a machine of 2 MiB that is made for it
 *
 * Theory of operation. On hardware with VT-x or AMD-V, kvm runs both of a guest's rings at full speed. Where /dev/kvm is
 * itself software, ring 0 may be interpreted, a thousand times slower, and nothing but a measurement tells the two apart. So
 * a small guest adds numbers, in ring 0 and then in ring 3, and writes to a port; the same loop runs on the host beside it. The
 * numbers are for choosing and for people to look at; a busy host makes them larger, so what decides is a ratio of many.
 */
#ifndef ENGINE_SPEED_H
#define ENGINE_SPEED_H

#include <stdbool.h>
#include <stdint.h>

struct engine_ops;
struct err;

struct engine_speed {
	uint64_t host_ps; /* picoseconds for an instruction of the loop; of the host's own */
	uint64_t ring0_ps, ring3_ps;
	uint64_t exit_ns; /* for a write to a port from ring 0, to the caller and back */
};

enum { ENGINE_SPEED_MS = 50 };

/**
 * engine_speed() - measure @ops, which can run here (its probe)
 * @budget_ms: about how long it may take, beside making and ending the machine; 3 and more
 * Context: may block that long; makes threads or processes as the engine does.
 * Return: 0; -errno with @e when no machine can be made, or its guest does not do what it should
 */
int engine_speed(const struct engine_ops *ops, unsigned budget_ms, struct engine_speed *ret_s, struct err *e);

/* engine_speed_is_full() - does a guest's kernel run at about the host's speed? */
bool engine_speed_is_full(const struct engine_speed *s);

/**
 * engine_fastest() - the first engine of the table that can run here and whose ring 0 has about full speed; if none has, the one with the
 * fastest ring 0. What `auto` means for an operating system: kvm on hardware, bt where kvm interprets.
 * @dir: of ours alone, made if need be; there the answer is kept until the host boots anew, or has another kernel, hull, or other engines.
 *       NULL, or a place that is no such directory: it is measured each time, which takes a few milliseconds for each engine
 * Return: NULL with @e when none can
 */
const struct engine_ops *engine_fastest(const char *dir, struct err *e);

#endif
