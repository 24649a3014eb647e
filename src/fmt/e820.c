/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/e820.h"

bool e820_add(struct e820_entry *map, unsigned *n, unsigned max, uint64_t addr, uint64_t size,
	      enum e820_type type)
{
	if (size == 0)
		return true;
	if (*n >= max)
		return false;
	map[(*n)++] = (struct e820_entry){ addr, size, type };
	return true;
}

uint64_t e820_ram_bytes(const struct e820_entry *map, unsigned n, uint64_t from, uint64_t to)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < n; i++) {
		uint64_t start = map[i].addr > from ? map[i].addr : from;
		uint64_t end = map[i].addr + map[i].size < to ? map[i].addr + map[i].size : to;

		if (map[i].type == E820_RAM && end > start)
			sum += end - start;
	}
	return sum;
}
