/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transfer.c - far jumps, calls and returns, IRET, and the fast system calls
 *
 * Not to be had: hardware task switches (a jump or call to a TSS or task gate, IRET with NT set) and virtual-8086 mode (IRET with VM
 * set). They are #GP, with the selector where there is one. No 64-bit system uses them.
 *
 * A fault leaves registers as they were; bytes may have been written below the stack pointer.
 * Spec: Intel SDM volume 3, chapters 5.8 and 6.12; volume 2: CALL, IRET, JMP, RET, SYSCALL, SYSRET, SYSENTER, SYSEXIT
 */
#include "engine/bt/space/event.h"
#include "engine/bt/space/mmu.h"
#include "engine/bt/space/segment.h"
#include "engine/bt/space/system.h"

enum {
	CODE_LONG = 0xa09b,
	CODE_32 = 0xc09b,
	STACK_32 = 0xc093,
	RPL_3 = 3 << BT_ATTR_DPL_SHIFT,
	PARAMS_MAX = 31,
	DR7_ENABLES = 0xff,
};
#define SYSRET_FLAGS 0x3c7fd7U
#define VENDOR_AMD   0x68747541U /* "Auth", CPUID 0 EBX */

enum frame { FRAME_RIP, FRAME_CS, FRAME_FLAGS, FRAME_RSP, FRAME_SS };

struct gate {
	uint16_t selector;
	uint64_t offset;
	unsigned size, n_params; /* of what is pushed */
};

static bool is_null(uint16_t selector)
{
	return (selector & ~3U) == 0;
}

static void go(struct bt_cpu *c, const struct x86_segment *cs, unsigned cpl, uint64_t rip)
{
	c->seg[X86_CS] = *cs;
	c->seg[X86_CS].selector = (uint16_t)((cs->selector & ~3U) | cpl);
	c->rip = rip;
}

/* direct_check() - a code segment named by a jump or call itself: the level stays */
static int direct_check(struct bt_cpu *c, const struct bt_desc *d, uint64_t rip)
{
	uint16_t selector = d->seg.selector;
	unsigned cpl = bt_cpl(c), attr = d->seg.attr, dpl = bt_dpl(&d->seg);
	bool ok = attr & BT_ATTR_DOWN ? dpl <= cpl : (selector & 3) <= (int)cpl && dpl == cpl;

	if (!(attr & BT_ATTR_CODE) || !ok)
		return bt_raise_code(c, X86_GP, selector & ~3U);
	if (!(attr & BT_ATTR_P))
		return bt_raise_code(c, X86_NP, selector & ~3U);
	if (bt_in_long(c) && attr & BT_ATTR_L && attr & BT_ATTR_DB)
		return bt_raise_code(c, X86_GP, selector & ~3U);
	return bt_rip_check(c, &d->seg, rip);
}

/* gate_read() - the call gate that a selector turned out to name; #GP(selector) for all other system descriptors */
static int gate_read(struct bt_cpu *c, struct bt_desc *d, struct gate *ret_g)
{
	uint16_t selector = d->seg.selector;
	unsigned type = d->seg.attr & BT_ATTR_TYPE, cpl = bt_cpl(c), dpl = bt_dpl(&d->seg);

	if (type != BT_CALL_32 && (type != BT_CALL_16 || bt_in_long(c)))
		return bt_raise_code(c, X86_GP, selector & ~3U);
	if (dpl < cpl || dpl < (selector & 3U))
		return bt_raise_code(c, X86_GP, selector & ~3U);
	if (!(d->seg.attr & BT_ATTR_P))
		return bt_raise_code(c, X86_NP, selector & ~3U);
	ret_g->selector = (uint16_t)(d->low >> 16);
	ret_g->offset = d->low & 0xffff;
	ret_g->n_params = 0;
	if (bt_in_long(c)) {
		if (bt_desc_wide(c, selector, X86_GP, d) < 0)
			return BT_FAULT;
		ret_g->offset |= (d->low >> 32 & 0xffff0000) | d->high << 32;
		ret_g->size = 8;
		return BT_OK;
	}
	if (type == BT_CALL_32)
		ret_g->offset |= d->low >> 32 & 0xffff0000;
	ret_g->size = type == BT_CALL_32 ? 4 : 2;
	ret_g->n_params = d->low >> 32 & PARAMS_MAX;
	return BT_OK;
}

static int jump_gate(struct bt_cpu *c, struct bt_desc *d)
{
	struct gate g;
	unsigned cpl;

	if (gate_read(c, d, &g) < 0 || bt_code_check(c, g.selector, d, &cpl) < 0)
		return BT_FAULT;
	if (cpl != bt_cpl(c))
		return bt_raise_code(c, X86_GP, g.selector & ~3U);
	if (bt_rip_check(c, &d->seg, g.offset) < 0 || bt_desc_touch(c, d) < 0)
		return BT_FAULT;
	go(c, &d->seg, cpl, g.offset);
	return BT_OK;
}

static void go_real(struct bt_cpu *c, uint16_t selector, uint64_t rip)
{
	bt_seg_real(c, X86_CS, selector);
	c->rip = rip;
}

int bt_far_jump(struct bt_cpu *c, uint16_t selector, uint64_t offset)
{
	struct bt_desc d;

	if (!bt_in_protected(c)) {
		if (bt_rip_check(c, &c->seg[X86_CS], offset) < 0)
			return BT_FAULT;
		go_real(c, selector, offset);
		return BT_OK;
	}
	if (is_null(selector))
		return bt_raise_code(c, X86_GP, 0);
	if (bt_desc_read(c, selector, X86_GP, &d) < 0)
		return BT_FAULT;
	if (!(d.seg.attr & BT_ATTR_S))
		return jump_gate(c, &d);
	if (direct_check(c, &d, offset) < 0 || bt_desc_touch(c, &d) < 0)
		return BT_FAULT;
	go(c, &d.seg, bt_cpl(c), offset);
	return BT_OK;
}

static int push_return(struct bt_cpu *c, struct bt_stack *s, unsigned size)
{
	if (bt_stack_push(c, s, c->seg[X86_CS].selector, size) < 0)
		return BT_FAULT;
	return bt_stack_push(c, s, c->rip, size);
}

/* push_old() - what an inner stack starts with: the outer one's pointer, and its parameters */
static int push_old(struct bt_cpu *c, struct bt_stack *s, const struct gate *g)
{
	struct bt_stack old;
	uint64_t param[PARAMS_MAX];

	bt_stack_now(c, &old);
	if (bt_stack_push(c, s, old.seg.selector, g->size) < 0 || bt_stack_push(c, s, old.sp, g->size) < 0)
		return BT_FAULT;
	for (unsigned i = 0; i < g->n_params; i++)
		if (bt_stack_pop(c, &old, &param[i], g->size) < 0)
			return BT_FAULT;
	for (unsigned i = g->n_params; i > 0; i--)
		if (bt_stack_push(c, s, param[i - 1], g->size) < 0)
			return BT_FAULT;
	return BT_OK;
}

static int call_gate(struct bt_cpu *c, struct bt_desc *d)
{
	struct bt_stack s;
	struct gate g;
	unsigned cpl;

	if (gate_read(c, d, &g) < 0 || bt_code_check(c, g.selector, d, &cpl) < 0)
		return BT_FAULT;
	if (cpl < bt_cpl(c)) {
		if (bt_stack_inner(c, cpl, 0, &s) < 0 || push_old(c, &s, &g) < 0)
			return BT_FAULT;
	} else {
		bt_stack_now(c, &s);
		s.wide = bt_in_long(c); /* from compatibility mode, too: the code that is called is 64-bit */
	}
	if (bt_rip_check(c, &d->seg, g.offset) < 0 || push_return(c, &s, g.size) < 0 ||
	    bt_desc_touch(c, d) < 0)
		return BT_FAULT;
	bt_stack_take(c, &s);
	go(c, &d->seg, cpl, g.offset);
	return BT_OK;
}

static int call_direct(struct bt_cpu *c, struct bt_desc *d, uint64_t offset, unsigned size)
{
	struct bt_stack s;

	bt_stack_now(c, &s);
	if (direct_check(c, d, offset) < 0 || push_return(c, &s, size) < 0 || bt_desc_touch(c, d) < 0)
		return BT_FAULT;
	bt_stack_take(c, &s);
	go(c, &d->seg, bt_cpl(c), offset);
	return BT_OK;
}

static int call_real(struct bt_cpu *c, uint16_t selector, uint64_t offset, unsigned size)
{
	struct bt_stack s;

	bt_stack_now(c, &s);
	if (bt_rip_check(c, &c->seg[X86_CS], offset) < 0 || push_return(c, &s, size) < 0)
		return BT_FAULT;
	bt_stack_take(c, &s);
	go_real(c, selector, offset);
	return BT_OK;
}

int bt_far_call(struct bt_cpu *c, uint16_t selector, uint64_t offset, unsigned size)
{
	struct bt_desc d;

	if (!bt_in_protected(c))
		return call_real(c, selector, offset, size);
	if (is_null(selector))
		return bt_raise_code(c, X86_GP, 0);
	if (bt_desc_read(c, selector, X86_GP, &d) < 0)
		return BT_FAULT;
	return d.seg.attr & BT_ATTR_S ? call_direct(c, &d, offset, size) : call_gate(c, &d);
}

/* return_check() - the code segment that a return or IRET goes back to; its RPL is the level then */
static int return_check(struct bt_cpu *c, uint16_t selector, uint64_t rip, struct bt_desc *ret_d)
{
	unsigned rpl = selector & 3, attr, dpl;

	if (is_null(selector))
		return bt_raise_code(c, X86_GP, 0);
	if (bt_desc_read(c, selector, X86_GP, ret_d) < 0)
		return BT_FAULT;
	attr = ret_d->seg.attr;
	dpl = bt_dpl(&ret_d->seg);
	if ((attr & (BT_ATTR_S | BT_ATTR_CODE)) != (BT_ATTR_S | BT_ATTR_CODE) || rpl < bt_cpl(c) ||
	    (attr & BT_ATTR_DOWN ? dpl > rpl : dpl != rpl))
		return bt_raise_code(c, X86_GP, selector & ~3U);
	if (bt_in_long(c) && attr & BT_ATTR_L && attr & BT_ATTR_DB)
		return bt_raise_code(c, X86_GP, selector & ~3U);
	if (!(attr & BT_ATTR_P))
		return bt_raise_code(c, X86_NP, selector & ~3U);
	return bt_rip_check(c, &ret_d->seg, rip);
}

/* return_stack() - the stack segment that comes with it; null is one only for 64-bit code that is not the user's */
static int return_stack(struct bt_cpu *c, uint16_t selector, const struct x86_segment *cs,
			struct bt_desc *ret_d)
{
	unsigned cpl = cs->selector & 3;

	if (!is_null(selector)) {
		if (bt_ss_check(c, selector, cpl, X86_GP, ret_d) < 0)
			return BT_FAULT;
		return bt_desc_touch(c, ret_d);
	}
	if (!bt_in_long(c) || !(cs->attr & BT_ATTR_L) || cpl == 3 || (selector & 3U) != cpl)
		return bt_raise_code(c, X86_GP, 0);
	ret_d->seg = bt_flat(selector, BT_ATTR_UNUSABLE | cpl << BT_ATTR_DPL_SHIFT);
	return BT_OK;
}

/* drop_inner() - segments that the outer level may not have become null */
static void drop_inner(struct bt_cpu *c, unsigned cpl)
{
	static const uint8_t data[] = { X86_ES, X86_DS, X86_FS, X86_GS };

	for (unsigned i = 0; i < sizeof(data); i++) {
		const struct x86_segment *s = &c->seg[data[i]];
		bool conforming = (s->attr & (BT_ATTR_CODE | BT_ATTR_DOWN)) == (BT_ATTR_CODE | BT_ATTR_DOWN);
		struct x86_segment none = { .attr = BT_ATTR_UNUSABLE };

		if (!(s->attr & BT_ATTR_UNUSABLE) && bt_dpl(s) < cpl && !conforming)
			bt_seg_put(c, data[i], &none);
	}
}

/* take_outer() - the stack of the level returned to; only as much of RSP as its code can name */
static void take_outer(struct bt_cpu *c, const struct x86_segment *ss, const struct x86_segment *cs,
		       uint64_t sp)
{
	struct bt_stack s = { .seg = *ss, .sp = sp };

	if (!(cs->attr & BT_ATTR_L && bt_in_long(c))) {
		uint64_t mask = ss->attr & BT_ATTR_DB ? 0xffffffff : 0xffff;

		s.sp = (c->gpr[X86_RSP] & 0xffffffff & ~mask) | (sp & mask);
	}
	bt_stack_take(c, &s);
}

static int return_real(struct bt_cpu *c, struct bt_stack *s, unsigned size, unsigned pop_bytes)
{
	uint64_t rip, cs;

	if (bt_stack_pop(c, s, &rip, size) < 0 || bt_stack_pop(c, s, &cs, size) < 0 ||
	    bt_rip_check(c, &c->seg[X86_CS], rip) < 0)
		return BT_FAULT;
	bt_stack_skip(s, pop_bytes);
	bt_stack_take(c, s);
	go_real(c, (uint16_t)cs, rip);
	return BT_OK;
}

int bt_far_return(struct bt_cpu *c, unsigned size, unsigned pop_bytes)
{
	uint64_t rip, cs, sp, ss;
	struct bt_desc code, stack;
	struct bt_stack s;

	bt_stack_now(c, &s);
	if (!bt_in_protected(c))
		return return_real(c, &s, size, pop_bytes);
	if (bt_stack_pop(c, &s, &rip, size) < 0 || bt_stack_pop(c, &s, &cs, size) < 0 ||
	    return_check(c, (uint16_t)cs, rip, &code) < 0)
		return BT_FAULT;
	bt_stack_skip(&s, pop_bytes);
	if ((cs & 3) == bt_cpl(c)) {
		if (bt_desc_touch(c, &code) < 0)
			return BT_FAULT;
		bt_stack_take(c, &s);
		go(c, &code.seg, cs & 3, rip);
		return BT_OK;
	}
	if (bt_stack_pop(c, &s, &sp, size) < 0 || bt_stack_pop(c, &s, &ss, size) < 0 ||
	    return_stack(c, (uint16_t)ss, &code.seg, &stack) < 0 || bt_desc_touch(c, &code) < 0)
		return BT_FAULT;
	take_outer(c, &stack.seg, &code.seg, sp);
	bt_stack_now(c, &s);
	s.wide = bt_in_long(c) && code.seg.attr & BT_ATTR_L;
	bt_stack_skip(&s, pop_bytes);
	c->gpr[X86_RSP] = s.sp;
	go(c, &code.seg, cs & 3, rip);
	drop_inner(c, cs & 3);
	return BT_OK;
}

/* flags_return() - what IRET at level @cpl may change of them */
static uint64_t flags_return(const struct bt_cpu *c, uint64_t flags, unsigned size)
{
	uint64_t may = X86_ARITH | X86_TF | X86_DF | X86_NT | X86_RF | X86_AC | X86_ID;
	unsigned cpl = bt_cpl(c);

	if (cpl == 0)
		may |= X86_IOPL | X86_VIF | X86_VIP;
	if (cpl <= (c->rflags >> 12 & 3))
		may |= X86_IF;
	if (size == 2)
		may &= 0xffff;
	flags = (c->rflags & ~may) | (flags & may);
	if (!(c->dr7 &
	      DR7_ENABLES)) /* its only effect; set for nothing it would be seen in frames and in R11 */
		flags &= ~(uint64_t)X86_RF;
	return flags;
}

static int iret_real(struct bt_cpu *c, struct bt_stack *s, unsigned size)
{
	uint64_t rip, cs, flags;

	if (bt_stack_pop(c, s, &rip, size) < 0 || bt_stack_pop(c, s, &cs, size) < 0 ||
	    bt_stack_pop(c, s, &flags, size) < 0 || bt_rip_check(c, &c->seg[X86_CS], rip) < 0)
		return BT_FAULT;
	bt_stack_take(c, s);
	go_real(c, (uint16_t)cs, rip);
	c->rflags = flags_return(c, flags, size);
	c->nmi_masked = false;
	return BT_OK;
}

/* frame_pop() - what IRET finds; 64-bit frames, which are many, by one access. *ret_outer: it has a stack */
static int frame_pop(struct bt_cpu *c, struct bt_stack *s, unsigned size, uint64_t frame[5], bool *ret_outer)
{
	unsigned n = 3;

	if (s->wide && size == 8) {
		*ret_outer = true;
		if (!bt_is_canonical(s->sp) || !bt_is_canonical(s->sp + 39))
			return bt_raise_code(c, X86_SS_FAULT, 0);
		return bt_load(c, s->sp, frame, 40, 0);
	}
	for (unsigned i = 0; i < n; i++) {
		if (bt_stack_pop(c, s, &frame[i], size) < 0)
			return BT_FAULT;
		if (i == FRAME_FLAGS && (s->wide || (frame[FRAME_CS] & 3) > bt_cpl(c)))
			n = 5;
	}
	*ret_outer = n == 5;
	return BT_OK;
}

int bt_iret(struct bt_cpu *c, unsigned size)
{
	struct bt_desc code, stack;
	struct bt_stack s;
	uint64_t f[5], flags;
	unsigned cpl;
	bool outer;

	bt_stack_now(c, &s);
	if (!bt_in_protected(c))
		return iret_real(c, &s, size);
	if (c->rflags & X86_NT)
		return bt_raise_code(c, X86_GP, 0);
	if (frame_pop(c, &s, size, f, &outer) < 0)
		return BT_FAULT;
	if (size >= 4 && f[FRAME_FLAGS] & X86_VM && bt_cpl(c) == 0 && !bt_in_long(c))
		return bt_raise_code(c, X86_GP, 0);
	if (return_check(c, (uint16_t)f[FRAME_CS], f[FRAME_RIP], &code) < 0)
		return BT_FAULT;
	if (outer && return_stack(c, (uint16_t)f[FRAME_SS], &code.seg, &stack) < 0)
		return BT_FAULT;
	if (bt_desc_touch(c, &code) < 0)
		return BT_FAULT;
	flags = flags_return(c, f[FRAME_FLAGS], size);
	cpl = f[FRAME_CS] & 3;
	if (cpl != bt_cpl(c))
		drop_inner(c, cpl);
	if (outer)
		take_outer(c, &stack.seg, &code.seg, f[FRAME_RSP]);
	else
		bt_stack_take(c, &s);
	go(c, &code.seg, cpl, f[FRAME_RIP]);
	c->rflags = flags;
	c->nmi_masked = false;
	return BT_OK;
}

static bool is_amd(const struct bt_cpu *c)
{
	uint32_t r[4];

	bt_cpuid(c, 0, 0, r);
	return r[1] == VENDOR_AMD;
}

int bt_syscall(struct bt_cpu *c)
{
	uint16_t selector = (uint16_t)(c->star >> 32 & ~3U);

	if (!(c->efer & X86_EFER_SCE) || !bt_in_long(c))
		return bt_raise(c, X86_UD);
	if (!bt_is_long(c) && !is_amd(c)) /* from compatibility mode: one vendor's */
		return bt_raise(c, X86_UD);
	c->gpr[X86_RCX] = c->rip;
	c->gpr[X86_R8 + 3] = c->rflags & ~(uint64_t)X86_RF;
	c->rip = bt_is_long(c) ? c->lstar : c->cstar;
	c->rflags = (c->rflags & ~(c->sfmask | X86_RF)) | 2;
	c->seg[X86_CS] = bt_flat(selector, CODE_LONG);
	c->seg[X86_SS] = bt_flat((uint16_t)(selector + 8), STACK_32);
	return BT_OK;
}

int bt_sysret(struct bt_cpu *c, bool wide)
{
	uint16_t selector = (uint16_t)(c->star >> 48);
	uint64_t rip = c->gpr[X86_RCX];

	if (!(c->efer & X86_EFER_SCE) || !bt_is_long(c))
		return bt_raise(c, X86_UD);
	if (bt_cpl(c) != 0 || (wide && !bt_is_canonical(rip)))
		return bt_raise_code(c, X86_GP, 0);
	c->rip = wide ? rip : (uint32_t)rip;
	c->rflags = (c->gpr[X86_R8 + 3] & SYSRET_FLAGS) | 2;
	c->seg[X86_CS] =
		bt_flat((uint16_t)((selector + (wide ? 16 : 0)) | 3), (wide ? CODE_LONG : CODE_32) | RPL_3);
	c->seg[X86_SS] = bt_flat((uint16_t)((selector + 8) | 3), STACK_32 | RPL_3);
	return BT_OK;
}

int bt_sysenter(struct bt_cpu *c)
{
	uint16_t selector = (uint16_t)(c->sysenter_cs & ~3U);

	if (!(c->cr0 & X86_CR0_PE) || selector == 0)
		return bt_raise_code(c, X86_GP, 0);
	c->rflags &= ~(uint64_t)(X86_VM | X86_IF | X86_RF);
	c->rip = bt_in_long(c) ? c->sysenter_eip : (uint32_t)c->sysenter_eip;
	c->gpr[X86_RSP] = bt_in_long(c) ? c->sysenter_esp : (uint32_t)c->sysenter_esp;
	c->seg[X86_CS] = bt_flat(selector, bt_in_long(c) ? CODE_LONG : CODE_32);
	c->seg[X86_SS] = bt_flat((uint16_t)(selector + 8), STACK_32);
	return BT_OK;
}

int bt_sysexit(struct bt_cpu *c, bool wide)
{
	uint64_t sp = c->gpr[X86_RCX], rip = c->gpr[X86_RDX];
	uint16_t selector = (uint16_t)(c->sysenter_cs & ~3U);

	if (!(c->cr0 & X86_CR0_PE) || bt_cpl(c) != 0 || selector == 0)
		return bt_raise_code(c, X86_GP, 0);
	if (wide && (!bt_is_canonical(rip) || !bt_is_canonical(sp)))
		return bt_raise_code(c, X86_GP, 0);
	selector = (uint16_t)((selector + (wide ? 32 : 16)) | 3);
	c->rip = wide ? rip : (uint32_t)rip;
	c->gpr[X86_RSP] = wide ? sp : (uint32_t)sp;
	c->seg[X86_CS] = bt_flat(selector, (wide ? CODE_LONG : CODE_32) | RPL_3);
	c->seg[X86_SS] = bt_flat((uint16_t)(selector + 8), STACK_32 | RPL_3);
	return BT_OK;
}
