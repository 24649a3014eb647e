/* SPDX-License-Identifier: Apache-2.0 */
/* ioapic_fuzz.c - a hostile guest's accesses to the I/O APIC and the pair of 8259, lines between them, hostile states */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/buf.h"
#include "base/guard.h"
#include "engine/ioapic.h"
#include "engine/pic.h"
#include "fmt/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RESERVED (0x00ffffff00000000ULL | 0xfffe1000ULL) /* of an entry */
enum { STEP_BYTES = 6, TAKES_MAX = 2 * PIC_LINES };

static void sent(void *arg, const struct irq_message *m)
{
	unsigned *n = arg;

	BUG_ON((unsigned)m->mode > 7);
	BUG_ON(m->level && m->mode > IRQ_LOWEST);
	(*n)++;
}

/* A step: what, where, a value of four bytes. */
static void step(struct ioapic *io, struct pic *p, const uint8_t *s)
{
	static const uint16_t port[] = { 0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1 };
	uint32_t value;

	memcpy(&value, s + 2, sizeof(value));
	switch (s[0] & 7) {
	case 0: ioapic_line(io, s[1], value & 1); break;
	case 1: ioapic_eoi(io, s[1]); break;
	case 2: ioapic_write(io, s[1], value); break;
	case 3: ioapic_read(io, s[1]); break;
	case 4: pic_line(p, s[1], value & 1); break;
	case 5: pic_write(p, port[s[1] % 6], (uint8_t)value); break;
	case 6: pic_read(p, port[s[1] % 6]); break;
	default: pic_acknowledge(p);
	}
	for (unsigned i = 0; i < 2; i++) {
		BUG_ON(p->chip[i].lowest > 7 || p->chip[i].init > 3);
		BUG_ON(p->chip[i].elcr & ~p->chip[i].elcr_mask);
	}
	for (unsigned i = 0; i < IOAPIC_PINS; i++)
		BUG_ON(io->entry[i] & RESERVED);
}

/* again() - what is saved is the same when it is restored; a hostile state is when it is restored twice. */
static void again(const struct ioapic *io, const struct pic *p, unsigned *n)
{
	auto_fini(buf) struct buf b = { 0 };
	struct record_out o = { .to = &b };
	struct record_in in;
	struct ioapic io2;
	struct pic p2;

	record_begin(&o, "chips", 1);
	pic_save(p, &o);
	ioapic_save(io, &o);
	record_end(&o);
	BUG_ON(buf_finish(&b) < 0);
	ioapic_init(&io2, sent, n);
	pic_init(&p2);
	record_init(&in, b.data, b.len, NULL);
	record_open(&in, "chips", 1);
	pic_restore(&p2, &in);
	ioapic_restore(&io2, &in);
	record_close(&in);
	BUG_ON(record_finish(&in) < 0);
	BUG_ON(memcmp(p, &p2, sizeof(p2)) != 0 || memcmp(io->entry, io2.entry, sizeof(io2.entry)) != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned n = 0, takes = 0;
	struct record_in in;
	struct ioapic io;
	struct pic p;

	ioapic_init(&io, sent, &n);
	pic_init(&p);
	if (size && data[0] & 1) { /* from a state of its own */
		record_init(&in, data + 1, size - 1, NULL);
		pic_restore(&p, &in);
		ioapic_restore(&io, &in);
		if (in.rc)
			return 0;
		data = in.at;
		size = record_left(&in);
	}
	for (; size >= STEP_BYTES; data += STEP_BYTES, size -= STEP_BYTES)
		step(&io, &p, data);
	again(&io, &p, &n);
	for (unsigned i = 0; i < 2; i++) /* what does not end by itself is one that is level-triggered */
		p.chip[i].elcr = 0;
	while (pic_output(&p))
		BUG_ON(pic_acknowledge(&p) > 0xff || ++takes > TAKES_MAX);
	return 0;
}
