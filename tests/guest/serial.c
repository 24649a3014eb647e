/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serial.c - COM1's registers, its interrupt by the I/O APIC, and input: "echo" echoes lines until "quit"; "level" has the interrupt
 * level-triggered, and takes what came at the third one only
 */
#include "cpu.h"

enum {
	COM1 = 0x3f8,
	GSI = 4,
	VECTOR = 0x54,
	TIMER = 0x70,
	ENOUGH = 3,
	SOON = 1000000,
	IER_RX = 1,
	IER_TX = 2,
	LSR_RX = 1,
	LSR_IDLE = 0x60
};

static volatile bool over;
static volatile unsigned irqs;
static volatile uint8_t cause;

static void on_serial(struct trap_frame *f)
{
	(void)f;
	cause = inb(COM1 + 2) & 0xf;
	irqs++;
	if (cause == 2) /* transmitter empty: enough */
		outb(COM1 + 1, 0);
}

static volatile unsigned levels;

static void on_level(struct trap_frame *f)
{
	(void)f;
	if (++levels >= ENOUGH)
		while (inb(COM1 + 5) & LSR_RX)
			inb(COM1);
}

/* level() - an interrupt whose cause stays comes again when it has been ended, and no more when the cause is gone. One more may
 * have been on its way: some processors end an interrupt when they take it. */
static void level(void)
{
	trap_on(VECTOR, on_level);
	ioapic_route(GSI, VECTOR, 0, true);
	outb(COM1 + 1, IER_RX);
	while (levels < ENOUGH)
		wait_irq();
	lapic_timer_once(TIMER, SOON);
	while (!over)
		wait_irq();
	print("level: %s\n", levels <= ENOUGH + 1 ? "until it was down" : "and on");
}

static void on_timer(struct trap_frame *f)
{
	(void)f;
	over = true;
}

static unsigned read_line(char *line, unsigned size)
{
	unsigned n = 0;

	for (;;) {
		irq_off();
		while (inb(COM1 + 5) & LSR_RX) {
			char c = (char)inb(COM1);

			if (c == '\n' || c == '\r')
				return n;
			if (n < size)
				line[n++] = c;
		}
		wait_irq();
	}
}

int guest_main(void)
{
	char line[128];
	unsigned n;

	lapic_on();
	trap_on(VECTOR, on_serial);
	outb(COM1 + 7, 0x5a);
	print("scratch 0x%x\n", inb(COM1 + 7));
	print("line status idle %s\n", (inb(COM1 + 5) & LSR_IDLE) == LSR_IDLE ? "yes" : "no");
	ioapic_route(GSI, VECTOR, 0, false);
	outb(COM1 + 4, 0xb); /* DTR, RTS, OUT2: interrupts leave the chip */
	outb(COM1 + 1, IER_TX);
	while (irqs == 0)
		wait_irq();
	print("transmit interrupt, cause %u\n", cause);
	trap_on(TIMER, on_timer);
	if (cmdline_has("level"))
		level();
	if (!cmdline_has("echo"))
		return 0;
	outb(COM1 + 1, IER_RX);
	for (;;) {
		n = read_line(line, sizeof(line));
		if (n == 4 && memcmp(line, "quit", 4) == 0)
			return 0;
		print("got '");
		print_bytes(line, n);
		print("'\n");
	}
}
