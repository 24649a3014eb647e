/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api.c - a guest for the API's tests: says that it has booted, then a line for each tick, and what keys it gets; resets by the
 * keyboard controller. "reset": at once; "fault": by a triple fault; without either: at Ctrl-Alt-Del.
 */
#include "guest.h"

enum {
	KBD_DATA = 0x60,
	KBD_COMMAND = 0x64,
	KBD_FULL = 1,
	KBD_RESET = 0xfe,
	KEY_DELETE = 0x53,
	BOOT_DONE = 123
};

#define BOOT_TIMER 0xc0000000ULL
#define TICK       200000000ULL /* of the TSC */

static _Noreturn void reset(void)
{
	print("reset\n");
	outb(KBD_COMMAND, KBD_RESET);
	for (;;)
		__asm__ volatile("cli; hlt");
}

static _Noreturn void fault(void)
{
	static const struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) none = { 0 };

	print("fault\n");
	__asm__ volatile("lidt %0; ud2" ::"m"(none));
	__builtin_unreachable();
}

int guest_main(void)
{
	uint64_t last = rdtsc();
	unsigned ticks = 0;

	*(volatile uint8_t *)BOOT_TIMER = BOOT_DONE;
	print("up '%s'\n", boot.cmdline);
	if (cmdline_has("reset"))
		reset();
	if (cmdline_has("fault"))
		fault();
	for (;;) {
		if (inb(KBD_COMMAND) & KBD_FULL) {
			uint8_t key = inb(KBD_DATA);

			print("key %x\n", key);
			if ((key & 0x7f) == KEY_DELETE || key == 0x71)
				reset();
		}
		if (rdtsc() - last > TICK) {
			last = rdtsc();
			print("tick %u\n", ++ticks);
		}
	}
}
