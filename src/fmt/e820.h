/* SPDX-License-Identifier: Apache-2.0 */
/* e820.h - the memory map as Linux's zero page, PVH and multiboot tell it. Spec: ACPI 6.5, 15.4 */
#ifndef FMT_E820_H
#define FMT_E820_H

#include <stdbool.h>
#include <stdint.h>

enum e820_type { E820_RAM = 1, E820_RESERVED = 2, E820_ACPI = 3 };

struct e820_entry {
	uint64_t addr, size;
	uint32_t type;
} __attribute__((packed));

/* e820_add() - behind the others; false when there are @max already. A @size of 0 adds nothing. */
bool e820_add(struct e820_entry *map, unsigned *n, unsigned max, uint64_t addr, uint64_t size,
	      enum e820_type type);

/* e820_ram_bytes() - the sum of the RAM in [from, to) */
uint64_t e820_ram_bytes(const struct e820_entry *map, unsigned n, uint64_t from, uint64_t to);

#endif
