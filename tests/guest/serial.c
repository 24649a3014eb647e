/* SPDX-License-Identifier: Apache-2.0 */
/* serial.c - COM1's registers, its interrupt by the I/O APIC, and input: echoes lines until "quit" */
#include "cpu.h"

enum { COM1 = 0x3f8, GSI = 4, VECTOR = 0x54, IER_RX = 1, IER_TX = 2, LSR_RX = 1, LSR_IDLE = 0x60 };

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
