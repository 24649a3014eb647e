/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bus.h - from an address to who answers there: ports, and memory that is no RAM
 *
 * Ranges are added while the machine is made and do not change afterwards, so processors look them up without a lock. An
 * access that no one range holds whole is nobody's: reads give ones, writes go nowhere, and both are counted. A
 * guest can only harm itself with it.
 */
#ifndef VM_BUS_H
#define VM_BUS_H

#include <stdint.h>

struct err;

enum { BUS_RANGES_MAX = 96, BUS_ACCESS_MAX = 8 };

struct bus_ops {
	const char *name;
	/* @off + @len never leaves the range; @len 1 to BUS_ACCESS_MAX. May be NULL: ones; nowhere. Any processor's thread. */
	void (*read)(void *arg, uint64_t off, void *dst, unsigned len);
	void (*write)(void *arg, uint64_t off, const void *src, unsigned len);
};

struct bus_range {
	uint64_t base, size;
	const struct bus_ops *ops;
	void *arg; /* borrowed */
};

struct bus {
	struct bus_range range[BUS_RANGES_MAX]; /* by address */
	unsigned n;
	uint64_t n_nobody; /* atomic: accesses that met no range */
};

/* bus_add() - Return: 0; -EEXIST it touches another, and @e names both; -ENOSPC. */
int bus_add(struct bus *b, uint64_t base, uint64_t size, const struct bus_ops *ops, void *arg, struct err *e);

void bus_read(struct bus *b, uint64_t addr, void *dst, unsigned len);
void bus_write(struct bus *b, uint64_t addr, const void *src, unsigned len);

#endif
