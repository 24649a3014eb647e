/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/ioapic.h"

#include "fmt/record.h"

enum { SELECT = 0x00, WINDOW = 0x10 };
enum { REG_ID, REG_VERSION, REG_ARBITRATION, REG_ENTRIES = 0x10 };

enum { /* an entry */
       LOGICAL = 1 << 11,
       PENDING = 1 << 12,    /* read only */
       REMOTE_IRR = 1 << 14, /* read only: a processor is at it */
       LEVEL = 1 << 15,
       MASKED = 1 << 16,
       MODE_SHIFT = 8,
       DEST_SHIFT = 56,
};
#define VERSION 0x00170011U /* 24 entries; no EOI register */

void ioapic_init(struct ioapic *io, void (*send)(void *arg, const struct irq_message *m), void *arg)
{
	*io = (struct ioapic){ .send = send, .arg = arg };
	for (unsigned i = 0; i < IOAPIC_PINS; i++)
		io->entry[i] = MASKED;
}

static bool is_up(const struct ioapic *io, unsigned pin)
{
	return io->lines >> pin & 1;
}

/* is_level() - Spec: 82093AA 3.2.4: NMI, SMI and INIT are edges, whatever the entry says. */
static bool is_level(uint64_t e)
{
	unsigned mode = e >> MODE_SHIFT & 7;

	return e & LEVEL && (mode == IRQ_FIXED || mode == IRQ_LOWEST);
}

bool ioapic_message(const struct ioapic *io, unsigned pin, struct irq_message *ret_m)
{
	uint64_t e = io->entry[pin];

	*ret_m = (struct irq_message){
		.dest = (uint32_t)(e >> DEST_SHIFT),
		.vector = (uint8_t)e,
		.mode = (enum irq_mode)(e >> MODE_SHIFT & 7),
		.logical = e & LOGICAL,
		.level = is_level(e),
	};
	return !(e & MASKED);
}

/* deliver() - what waits at the pin, unless a processor is still at it */
static void deliver(struct ioapic *io, unsigned pin)
{
	struct irq_message m;
	bool open = ioapic_message(io, pin, &m);

	if (!open || (m.level && io->entry[pin] & REMOTE_IRR))
		return;
	if (m.level)
		io->entry[pin] |= REMOTE_IRR;
	io->send(io->arg, &m);
}

void ioapic_line(struct ioapic *io, unsigned pin, bool up)
{
	bool was;

	if (pin >= IOAPIC_PINS)
		return;
	was = is_up(io, pin);
	io->lines = up ? io->lines | 1U << pin : io->lines & ~(1U << pin);
	if (up && (!was || is_level(io->entry[pin])))
		deliver(io, pin);
}

void ioapic_eoi(struct ioapic *io, unsigned vector)
{
	for (unsigned i = 0; i < IOAPIC_PINS; i++) {
		uint64_t e = io->entry[i];

		if (!(e & LEVEL) || !(e & REMOTE_IRR) || (e & 0xff) != vector)
			continue;
		io->entry[i] &= ~(uint64_t)REMOTE_IRR;
		if (is_up(io, i))
			deliver(io, i);
	}
}

static void entry_write(struct ioapic *io, unsigned reg, uint32_t value)
{
	unsigned pin = reg / 2;
	uint64_t *e = &io->entry[pin];

	if (reg & 1) {
		*e = (*e & 0xffffffff) | (uint64_t)(value & 0xff000000) << 32;
		return;
	}
	*e = (*e & ~0xffffffffULL) | (*e & REMOTE_IRR) |
	     (value & 0x1ffff & ~(uint32_t)(PENDING | REMOTE_IRR));
	if (!is_level(*e)) /* which is how software without an EOI register ends one */
		*e &= ~(uint64_t)REMOTE_IRR;
	else if (is_up(io, pin))
		deliver(io, pin);
}

uint32_t ioapic_read(const struct ioapic *io, unsigned offset)
{
	uint32_t reg = io->select;

	if (offset == SELECT)
		return reg;
	if (offset != WINDOW)
		return 0;
	switch (reg) {
	case REG_ID:
	case REG_ARBITRATION: return io->id << 24;
	case REG_VERSION: return VERSION;
	default:
		if (reg < REG_ENTRIES || reg >= REG_ENTRIES + 2 * IOAPIC_PINS)
			return 0;
		reg -= REG_ENTRIES;
		return (uint32_t)(io->entry[reg / 2] >> (reg & 1 ? 32 : 0));
	}
}

void ioapic_write(struct ioapic *io, unsigned offset, uint32_t value)
{
	if (offset == SELECT)
		io->select = value & 0xff;
	else if (offset == WINDOW && io->select == REG_ID)
		io->id = value >> 24 & 15;
	else if (offset == WINDOW && io->select >= REG_ENTRIES && io->select < REG_ENTRIES + 2 * IOAPIC_PINS)
		entry_write(io, io->select - REG_ENTRIES, value);
}

void ioapic_save(const struct ioapic *io, struct record_out *o)
{
	record_put_u64(o, IOAPIC_BASE);
	record_put_u32(o, io->select);
	record_put_u32(o, io->id);
	record_put_u32(o, io->lines);
	for (unsigned i = 0; i < IOAPIC_PINS; i++)
		record_put_u64(o, io->entry[i]);
}

void ioapic_restore(struct ioapic *io, struct record_in *in)
{
	if (record_get_u64(in) != IOAPIC_BASE)
		record_fail(in, "an I/O APIC that is not at 0x%llx", (unsigned long long)IOAPIC_BASE);
	io->select = record_get_u32(in) & 0xff;
	io->id = record_get_u32(in) & 15;
	io->lines = record_get_u32(in) & ((1U << IOAPIC_PINS) - 1);
	for (unsigned i = 0; i < IOAPIC_PINS; i++)
		io->entry[i] = record_get_u64(in) & (0xff000000ffffffffULL & ~0xfffe1000ULL);
	for (unsigned i = 0; i < IOAPIC_PINS && in->rc == 0; i++)
		if (is_up(io, i) && is_level(io->entry[i]))
			deliver(io, i); /* it was on its way */
}

void ioapic_forget(struct ioapic *io)
{
	for (unsigned i = 0; i < IOAPIC_PINS; i++)
		if (io->entry[i] & REMOTE_IRR)
			ioapic_eoi(io, io->entry[i] & 0xff);
}
