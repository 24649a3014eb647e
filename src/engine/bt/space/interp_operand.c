/* SPDX-License-Identifier: Apache-2.0 */
/* interp_operand.c - registers of every size, and memory through segments */
#include "engine/bt/space/interp_internal.h"
#include "engine/bt/space/mmu.h"
#include "engine/bt/space/segment.h"

static bool is_high_byte(const struct work *w, unsigned n, unsigned size)
{
	return size == 1 && !w->i.rex && w->i.form == X86_LEGACY && n >= 4 && n < 8;
}

static uint64_t mask_of(unsigned size)
{
	return size == 8 ? UINT64_MAX : (1ULL << (8 * size)) - 1;
}

uint64_t interp__reg(const struct work *w, unsigned n, unsigned size)
{
	if (is_high_byte(w, n, size))
		return w->c->gpr[n - 4] >> 8 & 0xff;
	return w->c->gpr[n] & mask_of(size);
}

void interp__reg_put(struct work *w, unsigned n, unsigned size, uint64_t value)
{
	uint64_t *r = &w->c->gpr[n], mask = mask_of(size);

	if (is_high_byte(w, n, size))
		w->c->gpr[n - 4] = (w->c->gpr[n - 4] & ~0xff00ULL) | (value & 0xff) << 8;
	else if (size == 4)
		*r = (uint32_t)value;
	else
		*r = (*r & ~mask) | (value & mask);
}

uint64_t interp__offset(const struct work *w)
{
	const struct x86_insn *i = &w->i;
	uint64_t at = (uint64_t)i->disp;

	if (i->rip_relative)
		at += w->next;
	if (i->base != X86_NONE)
		at += w->c->gpr[i->base];
	if (i->index != X86_NONE && !i->vsib)
		at += w->c->gpr[i->index] * i->scale;
	return at & mask_of(i->addr_size);
}

enum x86_seg interp__segment(const struct work *w)
{
	if (w->i.segment != X86_NONE)
		return (enum x86_seg)w->i.segment;
	return x86_is_stack(&w->i) ? X86_SS : X86_DS;
}

unsigned interp__watched(const struct bt_cpu *c, uint64_t va, unsigned n, unsigned kinds)
{
	static const uint8_t bytes[] = { 1, 2, 8, 4 };
	unsigned hit = 0;

	for (unsigned k = 0; k < 4; k++) {
		unsigned how = (unsigned)(c->dr7 >> (16 + 4 * k)) & 15;
		uint64_t len = bytes[how >> 2], at = c->dr[k] & ~(len - 1);

		if (c->dr7 >> (2 * k) & 3 && kinds >> (how & 3) & 1 && at < va + n && va < at + len)
			hit |= 1U << k;
	}
	return hit;
}

/* watch() - what it is about to touch */
static void watch(struct work *w, uint64_t va, unsigned n, bool write)
{
	if (w->c->dr7 & 0xff)
		w->watched |= (uint8_t)interp__watched(w->c, va, n,
						       INTERP_WATCH_TOUCH | (write ? INTERP_WATCH_WRITE : 0));
}

int interp__linear(struct work *w, enum x86_seg s, uint64_t offset, unsigned n, bool write, uint64_t *ret_va)
{
	struct bt_cpu *c = w->c;
	const struct x86_segment *seg = &c->seg[s];
	enum x86_vector vector = s == X86_SS ? X86_SS_FAULT : X86_GP;

	if (bt_is_long(c)) {
		*ret_va = offset + (s == X86_FS || s == X86_GS ? bt_seg_base(c, s) : 0);
		if (!bt_is_canonical(*ret_va) || !bt_is_canonical(*ret_va + n - 1))
			return bt_raise_code(c, vector, 0);
		watch(w, *ret_va, n, write);
		return BT_OK;
	}
	if (bt_in_protected(c)) {
		bool code = seg->attr & BT_ATTR_CODE, w_bit = seg->attr & BT_ATTR_WRITABLE;

		if ((seg->attr & BT_ATTR_UNUSABLE) || (write && (code || !w_bit)) ||
		    (!write && code && !w_bit))
			return bt_raise_code(c, vector, 0);
	}
	if (!bt_seg_fits(seg, offset, n))
		return bt_raise_code(c, vector, 0);
	*ret_va = (bt_seg_base(c, s) + offset) & UINT32_MAX;
	watch(w, *ret_va, n, write);
	return BT_OK;
}

int interp__mem_get(struct work *w, uint64_t plus, void *buf, unsigned n)
{
	uint64_t va, offset = (interp__offset(w) + plus) & mask_of(w->i.addr_size);

	if (interp__linear(w, interp__segment(w), offset, n, false, &va) < 0)
		return BT_FAULT;
	return bt_load(w->c, va, buf, n, 0);
}

int interp__mem_put(struct work *w, uint64_t plus, const void *buf, unsigned n)
{
	uint64_t va, offset = (interp__offset(w) + plus) & mask_of(w->i.addr_size);

	if (interp__linear(w, interp__segment(w), offset, n, true, &va) < 0)
		return BT_FAULT;
	return bt_store(w->c, va, buf, n, 0);
}

int interp__rm_get(struct work *w, unsigned size, uint64_t *ret_value)
{
	*ret_value = 0;
	if (w->i.is_mem)
		return interp__mem_get(w, 0, ret_value, size);
	*ret_value = interp__reg(w, w->i.rm, size);
	return BT_OK;
}

int interp__rm_put(struct work *w, unsigned size, uint64_t value)
{
	if (w->i.is_mem)
		return interp__mem_put(w, 0, &value, size);
	interp__reg_put(w, w->i.rm, size, value);
	return BT_OK;
}
