/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segment.c - descriptors read and judged, segment registers loaded, stacks
 *
 * Nothing of the processor changes before all checks are done and all memory was reached.
 * Spec: Intel SDM volume 3, chapters 3.4, 5.6 to 5.8, 8.7
 */
#include "engine/bt/space/segment.h"

#include "engine/bt/space/event.h"
#include "engine/bt/space/mmu.h"

enum { SELECTOR_LDT = 4, TYPE_OFFSET = 5, TSS32_LEVELS = 4, TSS16_LEVELS = 2, TSS64_IST = 36 };

static struct x86_segment segment_of(uint64_t low, uint16_t selector)
{
	struct x86_segment s = {
		.base = (low >> 16 & 0xffffff) | (low >> 56) << 24,
		.limit = (uint32_t)((low & 0xffff) | (low >> 32 & 0xf0000)),
		.selector = selector,
		.attr = (uint16_t)((low >> 40 & 0xff) | (low >> 40 & 0xf000)),
	};

	if (s.attr & BT_ATTR_G)
		s.limit = s.limit << 12 | 0xfff;
	return s;
}

/* table_find() - where @n bytes of @selector's entry are. Return: BT_FAULT, nothing raised */
static int table_find(const struct bt_cpu *c, uint16_t selector, unsigned n, uint64_t *ret_at)
{
	const struct x86_segment *ldt = &c->seg[X86_LDTR];
	uint32_t offset = selector & ~7U, limit = c->gdt.limit;
	uint64_t base = c->gdt.base;

	if (selector & SELECTOR_LDT) {
		if (ldt->attr & BT_ATTR_UNUSABLE || !(ldt->attr & BT_ATTR_P))
			return BT_FAULT;
		base = ldt->base;
		limit = ldt->limit;
	}
	if ((uint64_t)offset + n - 1 > limit)
		return BT_FAULT;
	*ret_at = base + offset;
	return BT_OK;
}

int bt_desc_read(struct bt_cpu *c, uint16_t selector, enum x86_vector vector, struct bt_desc *ret_d)
{
	struct bt_desc d = { 0 };

	if (table_find(c, selector, 8, &d.at) < 0)
		return bt_raise_code(c, vector, selector & ~3U);
	if (bt_load(c, d.at, &d.low, 8, BT_SYSTEM) < 0)
		return BT_FAULT;
	d.seg = segment_of(d.low, selector);
	*ret_d = d;
	return BT_OK;
}

int bt_desc_wide(struct bt_cpu *c, uint16_t selector, enum x86_vector vector, struct bt_desc *d)
{
	uint64_t at;

	if (table_find(c, selector, 16, &at) < 0)
		return bt_raise_code(c, vector, selector & ~3U);
	if (bt_load(c, at + 8, &d->high, 8, BT_SYSTEM) < 0)
		return BT_FAULT;
	if (d->high >> 40 & 0x1f) /* its type is 0: the second half of nothing */
		return bt_raise_code(c, vector, selector & ~3U);
	d->seg.base |= d->high << 32;
	return BT_OK;
}

/* type_or() - @bits into a descriptor's type byte, as one locked access where it is memory */
static int type_or(struct bt_cpu *c, uint64_t at, uint8_t bits)
{
	uint8_t *p, type;

	if (bt_reach(c, at + TYPE_OFFSET, 1, BT_SYSTEM, &p) < 0)
		return BT_FAULT;
	if (p) {
		__atomic_or_fetch(p, bits, __ATOMIC_SEQ_CST);
		return BT_OK;
	}
	if (bt_load(c, at + TYPE_OFFSET, &type, 1, BT_SYSTEM) < 0)
		return BT_FAULT;
	type |= bits;
	return bt_store(c, at + TYPE_OFFSET, &type, 1, BT_SYSTEM);
}

int bt_desc_touch(struct bt_cpu *c, struct bt_desc *d)
{
	if (d->seg.attr & BT_ATTR_ACCESSED)
		return BT_OK;
	if (type_or(c, d->at, BT_ATTR_ACCESSED) < 0)
		return BT_FAULT;
	d->seg.attr |= BT_ATTR_ACCESSED;
	return BT_OK;
}

bool bt_seg_fits(const struct x86_segment *s, uint64_t offset, unsigned n)
{
	uint64_t last = offset + n - 1;

	if (s->attr & BT_ATTR_UNUSABLE)
		return false;
	if ((s->attr & (BT_ATTR_S | BT_ATTR_CODE | BT_ATTR_DOWN)) == (BT_ATTR_S | BT_ATTR_DOWN))
		return offset > s->limit && last <= (s->attr & BT_ATTR_DB ? 0xffffffffU : 0xffffU);
	return last <= s->limit;
}

void bt_seg_put(struct bt_cpu *c, enum x86_seg s, const struct x86_segment *seg)
{
	c->seg[s] = *seg;
	if (s == X86_FS)
		c->fs_base = seg->base;
	else if (s == X86_GS)
		c->gs_base = seg->base;
}

void bt_seg_real(struct bt_cpu *c, enum x86_seg s, uint16_t selector)
{
	struct x86_segment seg = c->seg[s]; /* limit and rights stay what protected mode made of them */

	seg.selector = selector;
	seg.base = (uint64_t)selector << 4;
	bt_seg_put(c, s, &seg);
}

struct x86_segment bt_flat(uint16_t selector, unsigned attr)
{
	return (struct x86_segment){ .selector = selector, .limit = 0xffffffff, .attr = (uint16_t)attr };
}

static struct x86_segment null_segment(uint16_t selector, unsigned dpl)
{
	return (struct x86_segment){ .selector = selector,
				     .attr = (uint16_t)(BT_ATTR_UNUSABLE | dpl << BT_ATTR_DPL_SHIFT) };
}

static bool is_null(uint16_t selector)
{
	return (selector & ~3U) == 0;
}

int bt_ss_check(struct bt_cpu *c, uint16_t selector, unsigned cpl, enum x86_vector vector,
		struct bt_desc *ret_d)
{
	unsigned type;

	if (bt_desc_read(c, selector, vector, ret_d) < 0)
		return BT_FAULT;
	type = ret_d->seg.attr & BT_ATTR_TYPE;
	if ((selector & 3) != cpl || bt_dpl(&ret_d->seg) != cpl || !(type & BT_ATTR_S) ||
	    type & BT_ATTR_CODE || !(type & BT_ATTR_WRITABLE))
		return bt_raise_code(c, vector, selector & ~3U);
	if (!(ret_d->seg.attr & BT_ATTR_P))
		return bt_raise_code(c, X86_SS_FAULT, selector & ~3U);
	return BT_OK;
}

static int load_ss(struct bt_cpu *c, uint16_t selector)
{
	unsigned cpl = bt_cpl(c);
	struct bt_desc d;

	if (is_null(selector)) {
		if (!bt_is_long(c) || cpl == 3 || (selector & 3) != cpl)
			return bt_raise_code(c, X86_GP, 0);
		c->seg[X86_SS] = null_segment(selector, cpl);
		return BT_OK;
	}
	if (bt_ss_check(c, selector, cpl, X86_GP, &d) < 0 || bt_desc_touch(c, &d) < 0)
		return BT_FAULT;
	c->seg[X86_SS] = d.seg;
	return BT_OK;
}

static int load_data(struct bt_cpu *c, enum x86_seg s, uint16_t selector)
{
	unsigned cpl = bt_cpl(c), rpl = selector & 3, attr, dpl;
	struct bt_desc d;

	if (is_null(selector)) {
		d.seg = null_segment(selector, 0);
		bt_seg_put(c, s, &d.seg);
		return BT_OK;
	}
	if (bt_desc_read(c, selector, X86_GP, &d) < 0)
		return BT_FAULT;
	attr = d.seg.attr;
	dpl = bt_dpl(&d.seg);
	if (!(attr & BT_ATTR_S) || (attr & BT_ATTR_CODE && !(attr & BT_ATTR_WRITABLE)))
		return bt_raise_code(c, X86_GP, selector & ~3U);
	if ((attr & (BT_ATTR_CODE | BT_ATTR_DOWN)) != (BT_ATTR_CODE | BT_ATTR_DOWN) &&
	    (rpl > dpl || cpl > dpl))
		return bt_raise_code(c, X86_GP, selector & ~3U);
	if (!(attr & BT_ATTR_P))
		return bt_raise_code(c, X86_NP, selector & ~3U);
	if (bt_desc_touch(c, &d) < 0)
		return BT_FAULT;
	bt_seg_put(c, s, &d.seg);
	return BT_OK;
}

/* load_system() - LLDT and LTR */
static int load_system(struct bt_cpu *c, enum x86_seg s, uint16_t selector)
{
	struct bt_desc d;
	unsigned type;
	bool fits;

	if (is_null(selector)) {
		if (s == X86_TR)
			return bt_raise_code(c, X86_GP, 0);
		c->seg[s] = null_segment(selector, 0);
		return BT_OK;
	}
	if (selector & SELECTOR_LDT)
		return bt_raise_code(c, X86_GP, selector & ~3U);
	if (bt_desc_read(c, selector, X86_GP, &d) < 0)
		return BT_FAULT;
	type = d.seg.attr & BT_ATTR_TYPE;
	fits = s == X86_LDTR ? type == BT_LDT : type == BT_TSS_32 || (type == BT_TSS_16 && !bt_in_long(c));
	if (!fits)
		return bt_raise_code(c, X86_GP, selector & ~3U);
	if (!(d.seg.attr & BT_ATTR_P))
		return bt_raise_code(c, X86_NP, selector & ~3U);
	if (bt_in_long(c) && bt_desc_wide(c, selector, X86_GP, &d) < 0)
		return BT_FAULT;
	if (s == X86_TR) {
		if (type_or(c, d.at, 2) < 0)
			return BT_FAULT;
		d.seg.attr |= 2; /* busy */
	}
	c->seg[s] = d.seg;
	return BT_OK;
}

int bt_seg_load(struct bt_cpu *c, enum x86_seg s, uint16_t selector)
{
	if (s == X86_LDTR || s == X86_TR)
		return load_system(c, s, selector);
	if (!bt_in_protected(c)) {
		bt_seg_real(c, s, selector);
		return BT_OK;
	}
	return s == X86_SS ? load_ss(c, selector) : load_data(c, s, selector);
}

int bt_rip_check(struct bt_cpu *c, const struct x86_segment *cs, uint64_t rip)
{
	bool ok = bt_in_long(c) && cs->attr & BT_ATTR_L ? bt_is_canonical(rip) : rip <= cs->limit;

	return ok ? BT_OK : bt_raise_code(c, X86_GP, 0);
}

int bt_code_check(struct bt_cpu *c, uint16_t selector, struct bt_desc *ret_d, unsigned *ret_cpl)
{
	unsigned cpl = bt_cpl(c), attr, dpl;

	if (is_null(selector))
		return bt_raise_code(c, X86_GP, 0);
	if (bt_desc_read(c, selector, X86_GP, ret_d) < 0)
		return BT_FAULT;
	attr = ret_d->seg.attr;
	dpl = bt_dpl(&ret_d->seg);
	if ((attr & (BT_ATTR_S | BT_ATTR_CODE)) != (BT_ATTR_S | BT_ATTR_CODE) || dpl > cpl)
		return bt_raise_code(c, X86_GP, selector & ~3U);
	if (bt_in_long(c) && (attr & (BT_ATTR_L | BT_ATTR_DB)) != BT_ATTR_L)
		return bt_raise_code(c, X86_GP, selector & ~3U);
	if (!(attr & BT_ATTR_P))
		return bt_raise_code(c, X86_NP, selector & ~3U);
	*ret_cpl = attr & BT_ATTR_DOWN ? cpl : dpl;
	return BT_OK;
}

void bt_stack_now(const struct bt_cpu *c, struct bt_stack *ret_s)
{
	*ret_s = (struct bt_stack){ .seg = c->seg[X86_SS], .sp = c->gpr[X86_RSP], .wide = bt_is_long(c) };
}

static int inner_long(struct bt_cpu *c, unsigned cpl, unsigned ist, struct bt_stack *ret_s)
{
	const struct x86_segment *tr = &c->seg[X86_TR];
	unsigned offset = ist ? TSS64_IST + 8 * (ist - 1) : TSS32_LEVELS + 8 * cpl;

	if (!bt_seg_fits(tr, offset, 8))
		return bt_raise_code(c, X86_TS, tr->selector & ~3U);
	if (bt_load(c, tr->base + offset, &ret_s->sp, 8, BT_SYSTEM) < 0)
		return BT_FAULT;
	ret_s->wide = true;
	ret_s->seg = null_segment((uint16_t)cpl, cpl);
	if (cpl == bt_cpl(c)) /* IST alone does not load SS */
		ret_s->seg = c->seg[X86_SS];
	return BT_OK;
}

static int inner_protected(struct bt_cpu *c, unsigned cpl, struct bt_stack *ret_s)
{
	const struct x86_segment *tr = &c->seg[X86_TR];
	bool wide = (tr->attr & 15) >= BT_TSS_32;
	unsigned n = wide ? 4 : 2, offset = wide ? TSS32_LEVELS + 8 * cpl : TSS16_LEVELS + 4 * cpl;
	uint16_t selector;
	struct bt_desc d;

	if (!bt_seg_fits(tr, offset, n + 2))
		return bt_raise_code(c, X86_TS, tr->selector & ~3U);
	if (bt_load(c, tr->base + offset, &ret_s->sp, n, BT_SYSTEM) < 0 ||
	    bt_load(c, tr->base + offset + n, &selector, 2, BT_SYSTEM) < 0)
		return BT_FAULT;
	if (is_null(selector))
		return bt_raise_code(c, X86_TS, selector & ~3U);
	if (bt_ss_check(c, selector, cpl, X86_TS, &d) < 0 || bt_desc_touch(c, &d) < 0)
		return BT_FAULT;
	ret_s->seg = d.seg;
	ret_s->code = selector & ~3U;
	return BT_OK;
}

int bt_stack_inner(struct bt_cpu *c, unsigned cpl, unsigned ist, struct bt_stack *ret_s)
{
	*ret_s = (struct bt_stack){ .access = BT_SYSTEM };
	return bt_in_long(c) ? inner_long(c, cpl, ist, ret_s) : inner_protected(c, cpl, ret_s);
}

static uint64_t stack_mask(const struct bt_stack *s)
{
	return s->wide ? ~0ULL : s->seg.attr & BT_ATTR_DB ? 0xffffffff : 0xffff;
}

/* stack_at() - the linear address of @n bytes at @sp; #SS where there is no stack */
static int stack_at(struct bt_cpu *c, const struct bt_stack *s, uint64_t sp, unsigned n, uint64_t *ret_va)
{
	if (s->wide) {
		*ret_va = sp;
		return bt_is_canonical(sp) && bt_is_canonical(sp + n - 1) ?
			       BT_OK :
			       bt_raise_code(c, X86_SS_FAULT, s->code);
	}
	if (!bt_seg_fits(&s->seg, sp & stack_mask(s), n))
		return bt_raise_code(c, X86_SS_FAULT, s->code);
	*ret_va = (uint32_t)(s->seg.base + (sp & stack_mask(s)));
	return BT_OK;
}

void bt_stack_skip(struct bt_stack *s, int64_t by)
{
	uint64_t mask = stack_mask(s);

	s->sp = (s->sp & ~mask) | ((s->sp + (uint64_t)by) & mask);
}

int bt_stack_push(struct bt_cpu *c, struct bt_stack *s, uint64_t value, unsigned size)
{
	uint64_t va;

	if (stack_at(c, s, s->sp - size, size, &va) < 0 || bt_store(c, va, &value, size, s->access) < 0)
		return BT_FAULT;
	bt_stack_skip(s, -(int64_t)size);
	return BT_OK;
}

int bt_stack_pop(struct bt_cpu *c, struct bt_stack *s, uint64_t *ret_value, unsigned size)
{
	uint64_t va, value = 0;

	if (stack_at(c, s, s->sp, size, &va) < 0 || bt_load(c, va, &value, size, s->access) < 0)
		return BT_FAULT;
	*ret_value = value;
	bt_stack_skip(s, size);
	return BT_OK;
}

void bt_stack_take(struct bt_cpu *c, const struct bt_stack *s)
{
	c->seg[X86_SS] = s->seg;
	c->gpr[X86_RSP] = s->sp;
}
