/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ioapic.h - the I/O APIC: interrupt lines become messages to processors; for engines that have none of their own
 *
 * One thread at a time: the caller locks.
 *
 * Spec: Intel 82093AA; SDM volume 3, 10.8.5 (the end of a level-triggered interrupt)
 */
#ifndef ENGINE_IOAPIC_H
#define ENGINE_IOAPIC_H

#include <stdbool.h>
#include <stdint.h>

struct record_in;
struct record_out;

enum { IOAPIC_PINS = 24, IOAPIC_BYTES = 0x100 };
#define IOAPIC_BASE 0xfec00000ULL

enum irq_mode { IRQ_FIXED, IRQ_LOWEST, IRQ_SMI, IRQ_NMI = 4, IRQ_INIT, IRQ_STARTUP, IRQ_EXTINT };

struct irq_message {
	uint32_t dest; /* APIC ids, or a logical destination; 0xff and 0xffffffff mean all */
	uint8_t vector;
	enum irq_mode mode;
	bool logical, level;
};

struct ioapic {
	void (*send)(void *arg, const struct irq_message *m);
	void *arg;
	uint32_t select, id;
	uint32_t lines; /* bit n: pin n is up */
	uint64_t entry[IOAPIC_PINS];
};

void ioapic_init(struct ioapic *io, void (*send)(void *arg, const struct irq_message *m), void *arg);
void ioapic_line(struct ioapic *io, unsigned pin, bool up);
/* ioapic_message() - what pin @pin sends when it is up. Return: whether it would now: it is not masked */
bool ioapic_message(const struct ioapic *io, unsigned pin, struct irq_message *ret_m);
void ioapic_eoi(struct ioapic *io, unsigned vector); /* a processor has ended a level-triggered interrupt */
/* @offset: from its base; accesses of other sizes than 4 bytes see the lower half or nothing */
uint32_t ioapic_read(const struct ioapic *io, unsigned offset);
void ioapic_write(struct ioapic *io, unsigned offset, uint32_t value);

/* Its part of the record "irqchip": base, selected register, id, lines, entries. */
void ioapic_save(const struct ioapic *io, struct record_out *o);
/* ioapic_restore() - sends what a line that is up waits with, so processors come before it. */
void ioapic_restore(struct ioapic *io, struct record_in *in);
/* ioapic_forget() - behind it, where ioapic_eoi() may have got lost on the way: what was at a processor counts as ended. A line that is
 * up has its interrupt sent once too often at worst. */
void ioapic_forget(struct ioapic *io);

#endif
