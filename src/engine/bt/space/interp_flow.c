/* SPDX-License-Identifier: Apache-2.0 */
/* interp_flow.c - branches, the stack, flags as a whole, interrupts by instruction */
#include "engine/bt/space/event.h"
#include "engine/bt/space/interp_internal.h"
#include "engine/bt/space/mmu.h"
#include "engine/bt/space/segment.h"

static uint64_t cut(const struct work *w, uint64_t target)
{
	return w->i.op_size == 8 ? target : w->i.op_size == 4 ? target & UINT32_MAX : target & 0xffff;
}

int interp__branch(struct work *w, uint64_t target)
{
	target = cut(w, target);
	if (bt_rip_check(w->c, &w->c->seg[X86_CS], target) < 0)
		return BT_FAULT;
	w->next = target;
	return BT_OK;
}

/* condition() - Jcc's, by the four bits of its opcode. */
static bool condition(const struct bt_cpu *c, unsigned cc)
{
	uint64_t f = c->rflags;
	bool less = !(f & X86_SF) != !(f & X86_OF), yes = false;

	switch (cc >> 1) {
	case 0: yes = f & X86_OF; break;
	case 1: yes = f & X86_CF; break;
	case 2: yes = f & X86_ZF; break;
	case 3: yes = f & (X86_CF | X86_ZF); break;
	case 4: yes = f & X86_SF; break;
	case 5: yes = f & X86_PF; break;
	case 6: yes = less; break;
	case 7: yes = less || (f & X86_ZF); break;
	}
	return yes != (cc & 1);
}

/* loop() - LOOPNE, LOOPE, LOOP, JCXZ: they count in as much of RCX as addresses have. */
static int loop(struct work *w)
{
	unsigned size = w->i.addr_size;
	uint64_t count = interp__reg(w, X86_RCX, size);
	bool zero = w->c->rflags & X86_ZF, go;

	if (w->i.opcode == 0xe3) {
		go = count == 0;
	} else {
		count--;
		go = (count & (size == 8 ? UINT64_MAX : (1ULL << (8 * size)) - 1)) != 0 &&
		     (w->i.opcode == 0xe2 || zero == (w->i.opcode == 0xe1));
	}
	if (go && interp__branch(w, w->next + w->i.imm) < 0)
		return BT_FAULT;
	if (w->i.opcode != 0xe3)
		interp__reg_put(w, X86_RCX, size, count);
	return BT_OK;
}

static int push(struct work *w, uint64_t value, unsigned size)
{
	struct bt_stack s;

	bt_stack_now(w->c, &s);
	if (bt_stack_push(w->c, &s, value, size) < 0)
		return BT_FAULT;
	bt_stack_take(w->c, &s);
	return BT_OK;
}

static int pop(struct work *w, uint64_t *ret_value, unsigned size)
{
	struct bt_stack s;

	bt_stack_now(w->c, &s);
	if (bt_stack_pop(w->c, &s, ret_value, size) < 0)
		return BT_FAULT;
	bt_stack_take(w->c, &s);
	return BT_OK;
}

static int call(struct work *w, uint64_t target)
{
	uint64_t back = w->next;

	if (interp__branch(w, target) < 0)
		return BT_FAULT;
	return push(w, back, w->i.op_size);
}

static int ret(struct work *w)
{
	struct bt_stack s;
	uint64_t target;

	bt_stack_now(w->c, &s);
	if (bt_stack_pop(w->c, &s, &target, w->i.op_size) < 0 || interp__branch(w, target) < 0)
		return BT_FAULT;
	bt_stack_skip(&s, (int64_t)w->i.imm);
	bt_stack_take(w->c, &s);
	return BT_OK;
}

/* pop_operand() - an address with RSP in it is one with what RSP is afterwards. */
static int pop_operand(struct work *w)
{
	uint64_t value, before = w->c->gpr[X86_RSP];

	if (pop(w, &value, w->i.op_size) < 0)
		return BT_FAULT;
	if (interp__rm_put(w, w->i.op_size, value) == BT_OK)
		return BT_OK;
	w->c->gpr[X86_RSP] = before;
	return BT_FAULT;
}

static int push_all(struct work *w)
{
	struct bt_stack s;

	bt_stack_now(w->c, &s);
	for (unsigned r = 0; r < 8; r++)
		if (bt_stack_push(w->c, &s, w->c->gpr[r], w->i.op_size) < 0)
			return BT_FAULT;
	bt_stack_take(w->c, &s);
	return BT_OK;
}

static int pop_all(struct work *w)
{
	uint64_t value[8];
	struct bt_stack s;

	bt_stack_now(w->c, &s);
	for (unsigned r = 8; r-- > 0;)
		if (bt_stack_pop(w->c, &s, &value[r], w->i.op_size) < 0)
			return BT_FAULT;
	bt_stack_take(w->c, &s);
	for (unsigned r = 0; r < 8; r++)
		if (r != X86_RSP)
			interp__reg_put(w, r, w->i.op_size, value[r]);
	return BT_OK;
}

/* enter() - a frame, with @imm2 pointers to outer ones. */
static int enter(struct work *w)
{
	unsigned size = w->i.op_size, level = w->i.imm2 & 31;
	uint64_t frame, bp, outer = 0;
	struct bt_stack s, old;

	bt_stack_now(w->c, &s);
	old = s;
	if (bt_stack_push(w->c, &s, w->c->gpr[X86_RBP], size) < 0)
		return BT_FAULT;
	frame = s.sp;
	bp = w->c->gpr[X86_RBP];
	for (unsigned n = 1; n < level; n++) {
		bp -= size;
		old.sp = bp;
		if (bt_stack_pop(w->c, &old, &outer, size) < 0 || bt_stack_push(w->c, &s, outer, size) < 0)
			return BT_FAULT;
	}
	if (level && bt_stack_push(w->c, &s, frame, size) < 0)
		return BT_FAULT;
	bt_stack_skip(&s, -(int64_t)w->i.imm);
	bt_stack_take(w->c, &s);
	interp__reg_put(w, X86_RBP, size, frame);
	return BT_OK;
}

static int leave(struct work *w)
{
	struct bt_stack s;
	uint64_t value;

	bt_stack_now(w->c, &s);
	s.sp = s.wide || (s.seg.attr & BT_ATTR_DB) ? w->c->gpr[X86_RBP] :
						     (s.sp & ~0xffffULL) | (w->c->gpr[X86_RBP] & 0xffff);
	if (bt_stack_pop(w->c, &s, &value, w->i.op_size) < 0)
		return BT_FAULT;
	bt_stack_take(w->c, &s);
	interp__reg_put(w, X86_RBP, w->i.op_size, value);
	return BT_OK;
}

static int stack(struct work *w)
{
	const struct x86_insn *i = &w->i;
	uint64_t value;

	switch (i->opcode) {
	case 0x50 ... 0x57: return push(w, w->c->gpr[i->opcode_reg], i->op_size);
	case 0x58 ... 0x5f:
		if (pop(w, &value, i->op_size) < 0)
			return BT_FAULT;
		interp__reg_put(w, i->opcode_reg, i->op_size, value);
		return BT_OK;
	case 0x60: return push_all(w);
	case 0x61: return pop_all(w);
	case 0x68:
	case 0x6a: return push(w, i->imm, i->op_size);
	case 0x8f: return pop_operand(w);
	case 0xc8: return enter(w);
	case 0xc9: return leave(w);
	case 0xff: return interp__rm_get(w, i->op_size, &value) < 0 ? BT_FAULT : push(w, value, i->op_size);
	default: return INTERP_UNKNOWN;
	}
}

static unsigned iopl(const struct bt_cpu *c)
{
	return (c->rflags & X86_IOPL) >> 12;
}

static int popf(struct work *w)
{
	struct bt_cpu *c = w->c;
	uint64_t value, mask = X86_ARITH | X86_TF | X86_DF | X86_NT;

	if (pop(w, &value, w->i.op_size) < 0)
		return BT_FAULT;
	if (w->i.op_size > 2)
		mask |= X86_AC | X86_ID;
	if (bt_cpl(c) <= iopl(c))
		mask |= X86_IF;
	if (bt_cpl(c) == 0)
		mask |= X86_IOPL;
	c->rflags = (c->rflags & ~(mask | X86_RF)) | (value & mask) | 2;
	return BT_OK;
}

/* interrupts() - CLI and STI. */
static int interrupts(struct work *w, bool on)
{
	struct bt_cpu *c = w->c;

	if (bt_cpl(c) > iopl(c))
		return bt_raise_code(c, X86_GP, 0);
	if (on && !(c->rflags & X86_IF))
		w->shadow = true;
	c->rflags = on ? c->rflags | X86_IF : c->rflags & ~(uint64_t)X86_IF;
	return BT_OK;
}

static int soft_interrupt(struct work *w)
{
	const struct x86_insn *i = &w->i;

	if (i->map != X86_MAP_1) /* UD0, UD1, UD2 */
		return bt_raise(w->c, X86_UD);
	switch (i->opcode) {
	case 0xcc: w->vector = X86_BP; return INTERP_DELIVER;
	case 0xcd: w->vector = (uint8_t)i->imm; return INTERP_DELIVER;
	case 0xce:
		if (!(w->c->rflags & X86_OF))
			return BT_OK;
		w->vector = X86_OVERFLOW;
		return INTERP_DELIVER;
	default: w->vector = X86_DB; return INTERP_DELIVER; /* INT1 */
	}
}

static int far_memory(struct work *w, uint16_t *ret_selector, uint64_t *ret_offset)
{
	*ret_offset = 0;
	if (interp__mem_get(w, 0, ret_offset, w->i.op_size) < 0)
		return BT_FAULT;
	return interp__mem_get(w, w->i.op_size, ret_selector, 2);
}

static int far(struct work *w)
{
	struct bt_cpu *c = w->c;
	const struct x86_insn *i = &w->i;
	uint16_t selector = i->imm2;
	uint64_t offset = i->imm;
	bool is_call = i->opcode == 0x9a || (i->opcode == 0xff && (i->modrm >> 3 & 7) == 3);
	int r;

	if (i->opcode == 0xff && far_memory(w, &selector, &offset) < 0)
		return BT_FAULT;
	c->rip = w->next;
	if (i->opcode == 0xca || i->opcode == 0xcb)
		r = bt_far_return(c, i->op_size, (unsigned)i->imm);
	else
		r = is_call ? bt_far_call(c, selector, offset, i->op_size) : bt_far_jump(c, selector, offset);
	w->next = c->rip;
	return r;
}

/* transfer() - those whose whole work is in transfer.c. */
static int transfer(struct work *w)
{
	struct bt_cpu *c = w->c;
	int r;

	c->rip = w->next;
	switch (w->i.class) {
	case X86_IRET: r = bt_iret(c, w->i.op_size); break;
	case X86_SYSCALL: r = bt_syscall(c); break;
	case X86_SYSRET: r = bt_sysret(c, w->i.rex & 8); break;
	case X86_SYSENTER: r = bt_sysenter(c); break;
	default: r = bt_sysexit(c, w->i.rex & 8); break;
	}
	w->next = c->rip;
	return r;
}

int interp__flow(struct work *w)
{
	const struct x86_insn *i = &w->i;
	struct bt_cpu *c = w->c;
	uint64_t value;

	switch (i->class) {
	case X86_JCC: return condition(c, i->cc) ? interp__branch(w, w->next + i->imm) : BT_OK;
	case X86_LOOP: return loop(w);
	case X86_JMP: return interp__branch(w, w->next + i->imm);
	case X86_CALL: return call(w, w->next + i->imm);
	case X86_JMP_IND:
		return interp__rm_get(w, i->op_size, &value) < 0 ? BT_FAULT : interp__branch(w, value);
	case X86_CALL_IND: return interp__rm_get(w, i->op_size, &value) < 0 ? BT_FAULT : call(w, value);
	case X86_RET: return ret(w);
	case X86_STACK: return stack(w);
	case X86_PUSHF: return push(w, c->rflags & ~(uint64_t)(X86_VM | X86_RF), i->op_size);
	case X86_POPF: return popf(w);
	case X86_CLI: return interrupts(w, false);
	case X86_STI: return interrupts(w, true);
	case X86_INT: return soft_interrupt(w);
	case X86_FAR: return far(w);
	default: return transfer(w);
	}
}
