/* SPDX-License-Identifier: Apache-2.0 */
/* interp_legacy.c - what 64-bit code has no encoding for: decimal adjustments, BOUND, ARPL */
#include "engine/bt/space/interp_internal.h"
#include "engine/bt/space/segment.h"

enum { BY_RESULT = X86_SF | X86_ZF | X86_PF, CARRIES = X86_CF | X86_AF };

static unsigned al(const struct work *w)
{
	return w->c->gpr[X86_RAX] & 0xff;
}

static void put_ax(struct work *w, unsigned ax)
{
	w->c->gpr[X86_RAX] = (w->c->gpr[X86_RAX] & ~0xffffULL) | (ax & 0xffff);
}

static void put_flags(struct work *w, unsigned mask, unsigned value)
{
	w->c->rflags = (w->c->rflags & ~(uint64_t)mask) | (value & mask);
}

static unsigned flags_of(unsigned byte)
{
	byte &= 0xff;
	return (byte & 0x80 ? X86_SF : 0) | (byte ? 0 : X86_ZF) | (__builtin_parity(byte) ? 0 : X86_PF);
}

/* adjust_packed() - DAA, DAS: each half of AL is a digit again after an addition, a subtraction. */
static int adjust_packed(struct work *w, bool subtracted)
{
	unsigned was = al(w), now = was, carries = 0;
	bool cf = w->c->rflags & X86_CF;

	if ((was & 15) > 9 || w->c->rflags & X86_AF) {
		now = subtracted ? now - 6 : now + 6;
		carries = X86_AF | (subtracted && now > 0xff ? X86_CF : 0);
	}
	if (was > 0x99 || cf) {
		now = subtracted ? now - 0x60 : now + 0x60;
		carries |= X86_CF;
	}
	if (cf)
		carries |= X86_CF;
	interp__reg_put(w, X86_RAX, 1, now);
	put_flags(w, BY_RESULT | CARRIES, flags_of(now) | carries);
	return BT_OK;
}

/* adjust_unpacked() - AAA, AAS: AL is one digit, what it carries is in AH. */
static int adjust_unpacked(struct work *w, bool subtracted)
{
	unsigned ax = w->c->gpr[X86_RAX] & 0xffff;
	bool over = (ax & 15) > 9 || w->c->rflags & X86_AF;

	if (over)
		ax = subtracted ? ax - 0x106 : ax + 0x106;
	put_ax(w, ax & 0xff0f);
	put_flags(w, CARRIES, over ? CARRIES : 0);
	return BT_OK;
}

static int divide(struct work *w) /* AAM */
{
	unsigned by = (uint8_t)w->i.imm, was = al(w);

	if (!by)
		return bt_raise(w->c, X86_DE);
	put_ax(w, was / by << 8 | was % by);
	put_flags(w, BY_RESULT, flags_of(was % by));
	return BT_OK;
}

static int multiply(struct work *w) /* AAD */
{
	unsigned now = (al(w) + (w->c->gpr[X86_RAX] >> 8 & 0xff) * (uint8_t)w->i.imm) & 0xff;

	put_ax(w, now);
	put_flags(w, BY_RESULT, flags_of(now));
	return BT_OK;
}

int interp__decimal(struct work *w)
{
	switch (w->i.opcode) {
	case 0x27: return adjust_packed(w, false);
	case 0x2f: return adjust_packed(w, true);
	case 0x37: return adjust_unpacked(w, false);
	case 0x3f: return adjust_unpacked(w, true);
	case 0xd4: return divide(w);
	default: return multiply(w);
	}
}

int interp__bound(struct work *w)
{
	unsigned size = w->i.op_size, shift = 64 - 8 * size;
	uint64_t low = 0, high = 0;
	int64_t index = (int64_t)(interp__reg(w, w->i.reg, size) << shift);

	if (interp__mem_get(w, 0, &low, size) < 0 || interp__mem_get(w, size, &high, size) < 0)
		return BT_FAULT;
	if (index < (int64_t)(low << shift) || index > (int64_t)(high << shift))
		return bt_raise(w->c, X86_BR);
	return BT_OK;
}

int interp__arpl(struct work *w)
{
	uint64_t selector, rpl = interp__reg(w, w->i.reg, 2) & 3;
	bool raised;

	if (!bt_in_protected(w->c))
		return bt_raise(w->c, X86_UD);
	if (interp__rm_get(w, 2, &selector) < 0)
		return BT_FAULT;
	raised = (selector & 3) < rpl;
	if (raised && interp__rm_put(w, 2, (selector & ~3ULL) | rpl) < 0)
		return BT_FAULT;
	put_flags(w, X86_ZF, raised ? X86_ZF : 0);
	return BT_OK;
}
