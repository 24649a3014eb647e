/* SPDX-License-Identifier: Apache-2.0 */
/* memory.c - what the map calls memory is memory: fresh, and each MiB below 4 GiB keeps its own value */
#include "cpu.h"

enum { STEP = 1 << 20 };

static long try(void *arg)
{
	long bad = 0;

	(void)arg;
	for (int pass = 0; pass < 2; pass++)
		for (unsigned i = 0; i < boot.n_map; i++) {
			uint64_t first = boot.map[i].addr, end = first + boot.map[i].size;

			if (boot.map[i].type != 1 || first < STEP || end > 1ULL << 32)
				continue;
			for (uint64_t at = (first + 8 * STEP) & -(uint64_t)STEP; at + 8 <= end; at += STEP) {
				volatile uint64_t *p = (volatile uint64_t *)at;

				bad += pass == 0 ? *p != 0 : *p != at;
				*p = at;
			}
		}
	return bad;
}

int guest_main(void)
{
	uint64_t total = 0;

	for (unsigned i = 0; i < boot.n_map; i++)
		if (boot.map[i].type == 1)
			total += boot.map[i].size;
	print("%lu MiB and %lu KiB\n", total >> 20, (total >> 10) % 1024);
	print("bad words %ld\n", ring3(try, NULL));
	return 0;
}
