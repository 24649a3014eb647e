/* SPDX-License-Identifier: Apache-2.0 */
/*
 * event.c - exceptions and interrupts delivered through the guest's IDT
 *
 * Theory of operation. Delivery is tried as a whole and changes nothing until it succeeds. When it faults, the fault takes its place, or
 * the two make a double fault, by their classes; a fault in delivering that is a shutdown. The chain is short: each step goes
 * up in class (benign, contributory, page fault, double fault).
 * Spec: Intel SDM volume 3, chapter 6; 20.1.4 (real mode)
 */
#include "engine/bt/space/event.h"

#include "engine/bt/space/mmu.h"
#include "engine/bt/space/segment.h"
#include "engine/bt/space/system.h"

enum {
	CODE_EXT = 1, /* an error code's: what was delivered came not from the program */
	CODE_IDT = 2,
	DR7_GD = 1 << 13,
};

struct event {
	enum bt_event kind;
	unsigned vector;
	bool has_code;
	uint32_t code;
};

struct gate {
	uint16_t selector;
	uint64_t offset;
	unsigned size, ist; /* of what is pushed */
	bool keeps_if;
};

static uint32_t gate_code(const struct event *e)
{
	return e->vector * 8 + CODE_IDT;
}

/* gate_parse() - of the kinds that the mode has; a task gate is none */
static bool gate_parse(const struct bt_cpu *c, const struct bt_desc *d, struct gate *ret_g)
{
	unsigned type = d->seg.attr & BT_ATTR_TYPE;

	switch (type) {
	case BT_INT_32:
	case BT_TRAP_32: ret_g->size = bt_in_long(c) ? 8 : 4; break;
	case BT_INT_16:
	case BT_TRAP_16:
		if (bt_in_long(c))
			return false;
		ret_g->size = 2;
		break;
	default: return false;
	}
	ret_g->keeps_if = type & 1;
	ret_g->selector = (uint16_t)(d->low >> 16);
	ret_g->offset = d->low & 0xffff;
	if (ret_g->size > 2)
		ret_g->offset |= d->low >> 32 & 0xffff0000;
	ret_g->ist = 0;
	if (ret_g->size == 8) {
		ret_g->offset |= d->high << 32;
		ret_g->ist = d->low >> 32 & 7;
	}
	return true;
}

static int gate_read(struct bt_cpu *c, const struct event *e, struct gate *ret_g)
{
	unsigned n = bt_in_long(c) ? 16 : 8;
	struct bt_desc d = { 0 };
	uint64_t raw[2] = { 0 };

	if (e->vector * n + n - 1 > c->idt.limit)
		return bt_raise_code(c, X86_GP, gate_code(e));
	if (bt_load(c, c->idt.base + (uint64_t)e->vector * n, raw, n, BT_SYSTEM) < 0)
		return BT_FAULT;
	d.low = raw[0];
	d.high = raw[1];
	d.seg.attr = raw[0] >> 40 & 0xff;
	if (!gate_parse(c, &d, ret_g) || (e->kind == BT_EVENT_SOFT && bt_dpl(&d.seg) < bt_cpl(c)))
		return bt_raise_code(c, X86_GP, gate_code(e));
	if (!(d.seg.attr & BT_ATTR_P))
		return bt_raise_code(c, X86_NP, gate_code(e));
	return BT_OK;
}

/* flags_pushed() - RF is set for faults, so that a breakpoint on their instruction does not strike twice */
static uint64_t flags_pushed(const struct bt_cpu *c, const struct event *e)
{
	bool is_fault = e->kind == BT_EVENT_FAULT && e->vector != X86_DB && e->vector != X86_BP &&
			e->vector != X86_OVERFLOW && e->vector != X86_DOUBLE;

	return is_fault ? c->rflags | X86_RF : c->rflags;
}

/* push_frame() - @old: the stack before, when it is part of the frame */
static int push_frame(struct bt_cpu *c, const struct event *e, unsigned size, const struct bt_stack *old,
		      struct bt_stack *s)
{
	const uint64_t frame[] = { old ? old->seg.selector : 0,
				   old ? old->sp : 0,
				   flags_pushed(c, e),
				   c->seg[X86_CS].selector,
				   c->rip,
				   e->code };
	unsigned end = e->has_code ? 6 : 5;

	for (unsigned i = old ? 0 : 2; i < end; i++)
		if (bt_stack_push(c, s, frame[i], size) < 0)
			return BT_FAULT;
	return BT_OK;
}

/* push_frame_long() - by one access, for these are many */
static int push_frame_long(struct bt_cpu *c, const struct event *e, const struct bt_stack *old,
			   struct bt_stack *s)
{
	const uint64_t frame[] = { e->code, c->rip,           c->seg[X86_CS].selector, flags_pushed(c, e),
				   old->sp, old->seg.selector };
	unsigned from = e->has_code ? 0 : 1, bytes = (6 - from) * 8;

	s->sp = (s->sp & ~15ULL) - bytes;
	if (!bt_is_canonical(s->sp) || !bt_is_canonical(s->sp + bytes - 1))
		return bt_raise_code(c, X86_SS_FAULT, 0);
	return bt_store(c, s->sp, frame + from, bytes, s->access);
}

static int deliver_protected(struct bt_cpu *c, const struct event *e)
{
	uint64_t clear = X86_TF | X86_VM | X86_RF | X86_NT;
	struct bt_stack old, s;
	struct bt_desc code;
	struct gate g;
	unsigned cpl;
	bool inner;
	int r;

	if (gate_read(c, e, &g) < 0 || bt_code_check(c, g.selector, &code, &cpl) < 0)
		return BT_FAULT;
	bt_stack_now(c, &old);
	inner = cpl < bt_cpl(c);
	s = old;
	s.access = cpl < 3 ? BT_SYSTEM : 0;
	if ((inner || g.ist) && bt_stack_inner(c, cpl, g.ist, &s) < 0)
		return BT_FAULT;
	if (bt_rip_check(c, &code.seg, g.offset) < 0)
		return BT_FAULT;
	r = g.size == 8 ? push_frame_long(c, e, &old, &s) : push_frame(c, e, g.size, inner ? &old : NULL, &s);
	if (r < 0 || bt_desc_touch(c, &code) < 0)
		return BT_FAULT;
	bt_stack_take(c, &s);
	c->seg[X86_CS] = code.seg;
	c->seg[X86_CS].selector = (uint16_t)((g.selector & ~3U) | cpl);
	c->rip = g.offset;
	c->rflags &= ~(clear | (g.keeps_if ? 0 : X86_IF));
	return BT_OK;
}

static int deliver_real(struct bt_cpu *c, const struct event *e)
{
	const struct event plain = { .kind = BT_EVENT_INTERRUPT, .vector = e->vector }; /* no codes, no RF */
	struct bt_stack s;
	uint16_t to[2];

	if (e->vector * 4 + 3 > c->idt.limit)
		return bt_raise_code(c, X86_GP, gate_code(e));
	bt_stack_now(c, &s);
	if (bt_load(c, c->idt.base + (uint64_t)e->vector * 4, to, 4, BT_SYSTEM) < 0 ||
	    push_frame(c, &plain, 2, NULL, &s) < 0)
		return BT_FAULT;
	bt_stack_take(c, &s);
	bt_seg_real(c, X86_CS, to[1]);
	c->rip = to[0];
	c->rflags &= ~(uint64_t)(X86_IF | X86_TF | X86_AC | X86_RF);
	return BT_OK;
}

static bool is_contributory(unsigned vector)
{
	return vector == X86_DE || (vector >= X86_TS && vector <= X86_GP);
}

static bool is_double(const struct event *first, unsigned second)
{
	if (first->kind != BT_EVENT_FAULT)
		return false;
	if (first->vector == X86_PAGE)
		return second == X86_PAGE || is_contributory(second);
	return is_contributory(first->vector) && is_contributory(second);
}

/* next_event() - what delivering @e has led to */
static struct event next_event(struct bt_cpu *c, const struct event *e)
{
	const struct bt_fault *f = &c->fault;
	struct event next = {
		.kind = BT_EVENT_FAULT, .vector = f->vector, .has_code = f->has_code, .code = f->code
	};

	if (is_double(e, f->vector))
		return (struct event){ .kind = BT_EVENT_FAULT, .vector = X86_DOUBLE, .has_code = true };
	if (f->vector == X86_PAGE)
		c->cr2 = f->cr2;
	else if (f->has_code && e->kind != BT_EVENT_SOFT)
		next.code |= CODE_EXT;
	return next;
}

/* deliver() - @e; what goes wrong on the way to its handler has its rip at @back. */
static enum bt_step deliver(struct bt_cpu *c, struct event e, uint64_t back)
{
	bt_count(c, e.kind == BT_EVENT_INTERRUPT ? BT_COUNT_INTERRUPT : BT_COUNT_EXCEPTION);
	for (;; c->rip = back) {
		int r = bt_in_protected(c) ? deliver_protected(c, &e) : deliver_real(c, &e);

		if (r == BT_OK)
			break;
		if (e.kind == BT_EVENT_FAULT && e.vector == X86_DOUBLE)
			return BT_STEP_SHUTDOWN;
		e = next_event(c, &e);
	}
	c->shadow = false;
	return BT_STEP_ON;
}

enum bt_step bt_event_deliver(struct bt_cpu *c, enum bt_event kind, unsigned vector, bool has_code,
			      uint32_t code)
{
	return deliver(
		c,
		(struct event){ .kind = kind, .vector = vector & 0xff, .has_code = has_code, .code = code },
		c->rip);
}

enum bt_step bt_event_soft(struct bt_cpu *c, unsigned vector, bool is_icebp, uint64_t back)
{
	enum bt_event kind = is_icebp ? BT_EVENT_FAULT : BT_EVENT_SOFT;

	return deliver(c, (struct event){ .kind = kind, .vector = vector & 0xff }, back);
}

enum bt_step bt_event_fault(struct bt_cpu *c)
{
	const struct bt_fault f = c->fault;

	if (f.vector == X86_PAGE) {
		c->cr2 = f.cr2;
		c->refill = f.code & 2 ? BT_REFILL_WRITE : BT_REFILL_READ;
	}
	if (f.vector == X86_DB) {
		c->dr6 |= f.dr6;
		c->dr7 &= ~(uint64_t)DR7_GD;
	}
	return bt_event_deliver(c, BT_EVENT_FAULT, f.vector, f.has_code, f.code);
}

static bool is_coming(const struct bt_cpu *c)
{
	return c->coming.exception_injected || c->coming.interrupt_injected || c->coming.nmi_injected;
}

static bool is_nmi_due(const struct bt_cpu *c)
{
	return c->nmi_pending && !c->nmi_masked && !c->shadow;
}

static bool is_interrupt_due(const struct bt_cpu *c)
{
	return c->rflags & X86_IF && !c->shadow && (bt_lapic_extint(c) || bt_lapic_pending(c) >= 0);
}

bool bt_event_pending(struct bt_cpu *c)
{
	bt_lapic_collect(c);
	return is_coming(c) || is_nmi_due(c) || is_interrupt_due(c);
}

static enum bt_step take_coming(struct bt_cpu *c)
{
	const struct x86_events x = c->coming;

	c->coming = (struct x86_events){ 0 };
	if (x.exception_injected)
		return bt_event_deliver(c, BT_EVENT_FAULT, x.exception_nr, x.exception_has_code,
					x.exception_code);
	if (x.nmi_injected) {
		c->nmi_masked = true;
		return bt_event_deliver(c, BT_EVENT_INTERRUPT, X86_NMI, false, 0);
	}
	return bt_event_deliver(c, x.interrupt_soft ? BT_EVENT_SOFT : BT_EVENT_INTERRUPT, x.interrupt_nr,
				false, 0);
}

enum bt_step bt_event_take(struct bt_cpu *c)
{
	int vector;

	bt_lapic_collect(c);
	if (!is_coming(c) && !is_nmi_due(c) && !is_interrupt_due(c))
		return BT_STEP_ON;
	if (c->run == X86_HALTED)
		c->run = X86_RUNNABLE;
	if (is_coming(c))
		return take_coming(c);
	if (is_nmi_due(c)) {
		c->nmi_pending = false;
		c->nmi_masked = true;
		return bt_event_deliver(c, BT_EVENT_INTERRUPT, X86_NMI, false, 0);
	}
	if (bt_lapic_extint(c)) {
		vector = c->world->acknowledge(c);
	} else {
		vector = bt_lapic_pending(c);
		bt_lapic_accept(c, (unsigned)vector);
	}
	return bt_event_deliver(c, BT_EVENT_INTERRUPT, (unsigned)vector, false, 0);
}
