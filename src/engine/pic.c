/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/pic.h"

#include <assert.h>

#include "fmt/record.h"

enum { MASTER, SLAVE, CASCADE = 2, SPURIOUS = 7, LINES = 8 };
enum {
	MASTER_COMMAND = 0x20,
	MASTER_DATA,
	SLAVE_COMMAND = 0xa0,
	SLAVE_DATA,
	MASTER_ELCR = 0x4d0,
	SLAVE_ELCR
};
enum { ICW1 = 0x10, ICW1_NEEDS_4 = 1, ICW4_AUTO_EOI = 2, ICW4_SPECIAL_NESTED = 0x10 };
enum {
	OCW3 = 8,
	OCW3_READ = 2,
	OCW3_READ_ISR = 1,
	OCW3_POLL = 4,
	OCW3_SPECIAL = 0x40,
	OCW3_SPECIAL_ON = 0x20
};

static_assert(sizeof(struct pic_chip) == 16, "as snapshots have it");

/* Not the timer, the keyboard, the cascade, the clock and the coprocessor. */
static const uint8_t elcr_mask[2] = { [MASTER] = 0xf8, [SLAVE] = 0xde };

void pic_init(struct pic *p)
{
	*p = (struct pic){ 0 };
	for (unsigned i = 0; i < 2; i++)
		p->chip[i].elcr_mask = elcr_mask[i];
}

/* priority() - of the first line in @lines, counted from the highest; LINES: none */
static unsigned priority(const struct pic_chip *c, unsigned lines)
{
	unsigned n = 0;

	while (n < LINES && !(lines >> ((n + c->lowest) & 7) & 1))
		n++;
	return n;
}

/* in_service() - which count: in special mask mode those that are masked do not */
static unsigned in_service(const struct pic_chip *c)
{
	return c->special_mask ? c->isr & ~c->imr : c->isr;
}

/* waiting() - the line that may interrupt now; -1: none */
static int waiting(const struct pic_chip *c, bool master)
{
	unsigned asks = priority(c, c->irr & ~c->imr), busy = priority(c, in_service(c));
	unsigned line = (asks + c->lowest) & 7;

	if (asks == busy && asks < LINES && c->special_nested && master && line == CASCADE)
		return CASCADE; /* of the slave's another one may go before that in service */
	return asks < busy ? (int)line : -1;
}

static void chip_line(struct pic_chip *c, unsigned line, bool up)
{
	uint8_t bit = (uint8_t)(1U << line);

	if (!up) {
		c->last &= (uint8_t)~bit;
		if (c->elcr & bit)
			c->irr &= (uint8_t)~bit;
		return;
	}
	if (c->elcr & bit || !(c->last & bit))
		c->irr |= bit;
	c->last |= bit;
}

/* cascade() - each interrupt of the slave is an edge of its own; one that it takes back is nothing the master asks with. */
static void cascade(struct pic *p)
{
	chip_line(&p->chip[MASTER], CASCADE, false);
	if (waiting(&p->chip[SLAVE], false) >= 0)
		chip_line(&p->chip[MASTER], CASCADE, true);
	else
		p->chip[MASTER].irr &= (uint8_t) ~(1U << CASCADE);
}

void pic_line(struct pic *p, unsigned line, bool up)
{
	if (line >= PIC_LINES || line == CASCADE)
		return;
	chip_line(&p->chip[line / LINES], line % LINES, up);
	cascade(p);
}

bool pic_output(const struct pic *p)
{
	return waiting(&p->chip[MASTER], true) >= 0;
}

static void chip_acknowledge(struct pic_chip *c, unsigned line)
{
	uint8_t bit = (uint8_t)(1U << line);

	if (!c->auto_eoi)
		c->isr |= bit;
	else if (c->rotate_on_auto_eoi)
		c->lowest = (line + 1) & 7;
	if (!(c->elcr & bit))
		c->irr &= (uint8_t)~bit;
}

/* chip_take() - Return: the line; that of spurious interrupts when nothing waits any more */
static unsigned chip_take(struct pic_chip *c, bool master)
{
	int line = waiting(c, master);

	if (line < 0)
		return SPURIOUS;
	chip_acknowledge(c, (unsigned)line);
	return (unsigned)line;
}

uint8_t pic_acknowledge(struct pic *p)
{
	struct pic_chip *m = &p->chip[MASTER], *s = &p->chip[SLAVE];
	unsigned line = chip_take(m, true);
	uint8_t vector = (uint8_t)(m->base + line);

	if (line == CASCADE)
		vector = (uint8_t)(s->base + chip_take(s, false));
	cascade(p);
	return vector;
}

bool pic_has_port(uint16_t port)
{
	return port == MASTER_COMMAND || port == MASTER_DATA || port == SLAVE_COMMAND || port == SLAVE_DATA ||
	       port == MASTER_ELCR || port == SLAVE_ELCR;
}

static unsigned chip_of(uint16_t port)
{
	return port == SLAVE_COMMAND || port == SLAVE_DATA || port == SLAVE_ELCR ? SLAVE : MASTER;
}

uint8_t pic_read(struct pic *p, uint16_t port)
{
	struct pic_chip *c = &p->chip[chip_of(port)];
	int line;

	if (port == MASTER_ELCR || port == SLAVE_ELCR)
		return c->elcr;
	if (c->poll) {
		c->poll = 0;
		line = waiting(c, c == &p->chip[MASTER]);
		if (line < 0)
			return 0;
		chip_acknowledge(c, (unsigned)line);
		cascade(p);
		return (uint8_t)(0x80 | line);
	}
	if (port == MASTER_DATA || port == SLAVE_DATA)
		return c->imr;
	return c->read_isr ? c->isr : c->irr;
}

static void initialize(struct pic_chip *c, uint8_t value)
{
	*c = (struct pic_chip){ .last = c->last,
				.irr = c->irr & c->elcr,
				.base = c->base,
				.init = 1,
				.init4 = value & ICW1_NEEDS_4,
				.elcr = c->elcr,
				.elcr_mask = c->elcr_mask };
}

/* end() - OCW2: the end of an interrupt, which may change priorities. Its upper three bits: rotate, specific, end. */
static void end(struct pic_chip *c, uint8_t value)
{
	bool rotate = value & 0x80, specific = value & 0x40, eoi = value & 0x20;
	unsigned line = value & 7, n;

	if (!specific && !eoi) {
		c->rotate_on_auto_eoi = rotate;
		return;
	}
	if (!specific) {
		n = priority(c, in_service(c));
		if (n == LINES)
			return;
		line = (n + c->lowest) & 7;
	}
	if (eoi)
		c->isr &= (uint8_t) ~(1U << line);
	if (rotate)
		c->lowest = (line + 1) & 7;
}

static void command(struct pic_chip *c, uint8_t value)
{
	if (value & ICW1) {
		initialize(c, value);
	} else if (value & OCW3) {
		if (value & OCW3_POLL)
			c->poll = 1;
		if (value & OCW3_READ)
			c->read_isr = value & OCW3_READ_ISR;
		if (value & OCW3_SPECIAL)
			c->special_mask = (value & OCW3_SPECIAL_ON) != 0;
	} else {
		end(c, value);
	}
}

static void data(struct pic_chip *c, uint8_t value)
{
	switch (c->init) {
	case 0: c->imr = value; break;
	case 1:
		c->base = value & 0xf8;
		c->init = 2;
		break;
	case 2: c->init = c->init4 ? 3 : 0; break;
	default:
		c->special_nested = (value & ICW4_SPECIAL_NESTED) != 0;
		c->auto_eoi = (value & ICW4_AUTO_EOI) != 0;
		c->init = 0;
	}
}

void pic_write(struct pic *p, uint16_t port, uint8_t value)
{
	struct pic_chip *c = &p->chip[chip_of(port)];

	if (port == MASTER_ELCR || port == SLAVE_ELCR)
		c->elcr = value & c->elcr_mask;
	else if (port == MASTER_COMMAND || port == SLAVE_COMMAND)
		command(c, value);
	else
		data(c, value);
	cascade(p);
}

void pic_save(const struct pic *p, struct record_out *o)
{
	record_put(o, p->chip, sizeof(p->chip));
}

void pic_restore(struct pic *p, struct record_in *in)
{
	record_get(in, p->chip, sizeof(p->chip));
	for (unsigned i = 0; i < 2; i++) {
		p->chip[i].lowest &= 7;
		p->chip[i].init &= 3;
		p->chip[i].elcr_mask = elcr_mask[i];
		p->chip[i].elcr &= elcr_mask[i];
	}
}
