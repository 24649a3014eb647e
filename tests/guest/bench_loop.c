/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_loop.c - fill "fill" MiB of memory, then write a byte after the other, for ever: whoever restores it sees one at once.
 * "still": write one and sleep
 */
#include "cpu.h"

enum { FIRST = 16 << 20, PAGE = 4096 };

static long work(void *arg)
{
	uint64_t bytes = *(uint64_t *)arg << 20;

	for (uint64_t i = 0; i < bytes; i += 8)
		*(volatile uint64_t *)(FIRST + i) = i ^ (i / PAGE << 32) ^ 0x9e3779b97f4a7c15;
	return 0;
}

int guest_main(void)
{
	uint64_t fill = cmdline_u64("fill", 0);

	ring3(work, &fill);
	print("ready\n");
	for (;;) {
		outb(0x3f8, '~');
		while (cmdline_has("still"))
			wait_irq();
	}
}
