/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ends.c - how a guest ends its machine, and how it says that it has booted
 *
 *	debug exit (0xf4)   the low byte of what is written is the exit status, 0 to 255, as it is
 *	pvpanic (0x505)     reads 1; a write with bit 0 set: the guest has panicked
 *	sleep (0x600)       ACPI sleep control: SLP_EN with type 5 is power-off. Status (0x601) reads 0
 *	reset (0x602)       ACPI reset register: 1 resets. A reset ends the machine, as a power-off does
 *	boot timer          a write of 123 to the page at BOARD_BOOT_TIMER
 *
 * Spec: ACPI 6.5 §4.8.3.7 sleep registers, §4.8.3.6 reset register; QEMU docs/specs/pvpanic
 */
#include <string.h>

#include "vm/machine_internal.h"

enum {
	PANIC_PANICKED = 1,
	SLEEP_ENABLE = 0x20,
	SLEEP_TYPE = 0x1c,
	SLEEP_TYPE_OFF = 5 << 2,
	BOOT_TIMER_DONE = 123,
};

static uint8_t low_byte(const void *src)
{
	return *(const uint8_t *)src;
}

static void debug_exit_write(void *arg, uint64_t off, const void *src, unsigned len)
{
	(void)len;
	if (off == 0)
		machine__end(arg, MACHINE_END_EXIT, low_byte(src), "the guest gave its exit status");
}

static void pvpanic_read(void *arg, uint64_t off, void *dst, unsigned len)
{
	(void)arg;
	(void)off;
	memset(dst, 0, len);
	*(uint8_t *)dst = PANIC_PANICKED;
}

static void pvpanic_write(void *arg, uint64_t off, const void *src, unsigned len)
{
	(void)off;
	(void)len;
	if (low_byte(src) & PANIC_PANICKED)
		machine__end(arg, MACHINE_END_PANIC, 0, "the guest's kernel panicked");
}

static void sleep_read(void *arg, uint64_t off, void *dst, unsigned len)
{
	(void)arg;
	(void)off;
	memset(dst, 0, len);
}

static void sleep_write(void *arg, uint64_t off, const void *src, unsigned len)
{
	uint8_t v = low_byte(src);

	(void)len;
	if (off == 0 && (v & SLEEP_ENABLE) && (v & SLEEP_TYPE) == SLEEP_TYPE_OFF)
		machine__end(arg, MACHINE_END_HALT, 0, "the guest powered off");
}

static void reset_write(void *arg, uint64_t off, const void *src, unsigned len)
{
	(void)off;
	(void)len;
	if (low_byte(src) == BOARD_RESET_VALUE)
		machine__end(arg, MACHINE_END_HALT, 0, "the guest reset itself");
}

static void boot_timer_write(void *arg, uint64_t off, const void *src, unsigned len)
{
	(void)len;
	if (off == 0 && low_byte(src) == BOOT_TIMER_DONE)
		machine__boot_timer(arg);
}

static const struct bus_ops debug_exit = { .name = "debug exit", .write = debug_exit_write };
static const struct bus_ops pvpanic = { .name = "pvpanic", .read = pvpanic_read, .write = pvpanic_write };
static const struct bus_ops sleep_ports = { .name = "ACPI sleep", .read = sleep_read, .write = sleep_write };
static const struct bus_ops reset_port = { .name = "ACPI reset", .write = reset_write };
static const struct bus_ops boot_timer = { .name = "boot timer", .write = boot_timer_write };

int machine__ends_add(struct machine *m, struct err *e)
{
	int r = bus_add(&m->ports, BOARD_PORT_SLEEP, 2, &sleep_ports, m, e);

	if (r == 0)
		r = bus_add(&m->ports, BOARD_PORT_RESET, 1, &reset_port, m, e);
	if (r == 0 && m->config.debug_exit)
		r = bus_add(&m->ports, BOARD_PORT_DEBUG_EXIT, 4, &debug_exit, m, e);
	if (r == 0 && m->config.pvpanic)
		r = bus_add(&m->ports, BOARD_PORT_PVPANIC, 1, &pvpanic, m, e);
	if (r == 0 && m->config.boot_timer)
		r = bus_add(&m->mmio, BOARD_BOOT_TIMER, BOARD_PAGE, &boot_timer, m, e);
	return r;
}
