/* SPDX-License-Identifier: Apache-2.0 */
/* interp.c - fetch, decode, carry out, and what comes of it */
#include "engine/bt/space/interp.h"

#include "engine/bt/space/interp_internal.h"
#include "engine/bt/space/mmu.h"
#include "engine/bt/space/segment.h"

enum { DR6_STEP = 1 << 14, DR7_ENABLES = 0xff };

static unsigned bits_of(const struct bt_cpu *c)
{
	if (bt_is_long(c))
		return 64;
	return (c->cr0 & X86_CR0_PE) && (c->seg[X86_CS].attr & BT_ATTR_DB) ? 32 : 16;
}

/* fetch() - the instruction at CS:rip into @w. What cannot be had of it faults where it ends. */
static int fetch(struct work *w)
{
	struct bt_cpu *c = w->c;
	bool wide = bt_is_long(c);
	uint64_t base = wide ? 0 : c->seg[X86_CS].base, va = wide ? c->rip : (base + c->rip) & UINT32_MAX;
	uint64_t room = X86_INSN_MAX;
	int n, len;

	if (!wide && c->rip > c->seg[X86_CS].limit)
		return bt_raise_code(c, X86_GP, 0);
	if (!wide && c->seg[X86_CS].limit - c->rip < room)
		room = c->seg[X86_CS].limit - c->rip + 1;
	n = bt_fetch(c, va, w->code, room);
	if (n < 0)
		return BT_FAULT;
	len = x86_decode(&w->i, w->code, (size_t)n, bits_of(c));
	if (len < 0 || (len == 0 && (uint64_t)n == room)) /* too long, or over the segment's end */
		return bt_raise_code(c, X86_GP, 0);
	if (len == 0) { /* its rest is on a page that cannot be read */
		uint8_t rest;

		return bt_fetch(c, va + (uint64_t)n, &rest, 1) < 0 ? BT_FAULT : bt_raise_code(c, X86_GP, 0);
	}
	w->next = c->rip + (uint64_t)len;
	if (!wide)
		w->next &= bits_of(c) == 32 ? UINT32_MAX : 0xffff;
	return BT_OK;
}

static int address(struct work *w) /* LEA */
{
	interp__reg_put(w, w->i.reg, w->i.op_size, interp__offset(w));
	return BT_OK;
}

/* absolute() - MOV between RAX and an address in the instruction. */
static int absolute(struct work *w)
{
	uint64_t value = interp__reg(w, X86_RAX, w->i.op_size);

	if (w->i.opcode >= 0xa2)
		return interp__mem_put(w, 0, &value, w->i.op_size);
	value = 0;
	if (interp__mem_get(w, 0, &value, w->i.op_size) < 0)
		return BT_FAULT;
	interp__reg_put(w, X86_RAX, w->i.op_size, value);
	return BT_OK;
}

/* cache_line() - CLFLUSH and its like: what host caches hold is what memory holds, only the address can be wrong. */
static int cache_line(struct work *w)
{
	struct bt_page page;
	uint64_t va;

	if (interp__linear(w, interp__segment(w), interp__offset(w), 1, false, &va) < 0)
		return BT_FAULT;
	return bt_walk(w->c, va, 0, &page);
}

/* plain() - decimal adjustments have no form that 64-bit mode could run; of flags, only arithmetic's go through there. */
static int plain(struct work *w)
{
	const struct x86_insn *i = &w->i;

	if (i->moffs)
		return absolute(w);
	if (i->map == X86_MAP_1 && (i->opcode == 0xfc || i->opcode == 0xfd)) {
		w->c->rflags = i->opcode & 1 ? w->c->rflags | X86_DF : w->c->rflags & ~(uint64_t)X86_DF;
		return BT_OK;
	}
	if (i->map == X86_MAP_0F && i->opcode == 0xae && i->is_mem)
		return cache_line(w);
	if (i->map == X86_MAP_1 && (i->opcode == 0x27 || i->opcode == 0x2f || i->opcode == 0x37 ||
				    i->opcode == 0x3f || i->opcode == 0xd4 || i->opcode == 0xd5))
		return interp__decimal(w);
	return interp__native(w);
}

static int execute(struct work *w)
{
	if (w->i.form != X86_LEGACY && !bt_in_protected(w->c))
		return bt_raise(w->c, X86_UD);
	switch (w->i.class) {
	case X86_INVALID: return bt_raise(w->c, X86_UD);
	case X86_PLAIN: return plain(w);
	case X86_NOP: return BT_OK;
	case X86_LEA: return address(w);
	case X86_VECTOR:
	case X86_XSAVE: return interp__native(w);
	case X86_STRING: return interp__string(w);
	case X86_IO: return interp__io(w);
	case X86_STACK:
	case X86_PUSHF:
	case X86_POPF:
	case X86_JCC:
	case X86_LOOP:
	case X86_JMP:
	case X86_JMP_IND:
	case X86_CALL:
	case X86_CALL_IND:
	case X86_RET:
	case X86_FAR:
	case X86_IRET:
	case X86_SYSCALL:
	case X86_SYSRET:
	case X86_SYSENTER:
	case X86_SYSEXIT:
	case X86_INT:
	case X86_CLI:
	case X86_STI: return interp__flow(w);
	default: return interp__system(w);
	}
}

/* soft() - INT n: the handler returns behind it, a fault on the way to it to the instruction itself. */
static enum bt_step soft(struct work *w)
{
	uint64_t back = w->c->rip;

	w->c->rip = w->next;
	return bt_event_soft(w->c, w->vector, w->i.opcode == 0xf1, back);
}

/* is_stepped() - is the trap flag's due behind it? It counts as it was before; the fast system calls' own has that of the flags they load. */
static bool is_stepped(const struct work *w, bool before)
{
	if (w->i.class == X86_SYSCALL || w->i.class == X86_SYSRET)
		return w->c->rflags & X86_TF;
	return before && !w->quiet;
}

/* breakpoint() - one for the instruction at rip, unless RF says that it has been told of. */
static int breakpoint(struct bt_cpu *c)
{
	uint64_t va = bt_is_long(c) ? c->rip : (uint32_t)(c->seg[X86_CS].base + c->rip);
	unsigned hit = c->rflags & X86_RF ? 0 : interp__watched(c, va, 1, INTERP_WATCH_RUN);

	if (!hit)
		return BT_OK;
	bt_raise(c, X86_DB);
	c->fault.dr6 = hit;
	return BT_FAULT;
}

enum bt_step bt_interp(struct bt_cpu *c)
{
	struct work w = { .c = c };
	const bool step = c->rflags & X86_TF, watched = c->dr7 & DR7_ENABLES;
	uint64_t rip = c->rip;
	int r = watched ? breakpoint(c) : BT_OK;

	if (r == BT_OK)
		r = fetch(&w);
	if (r == BT_OK)
		r = execute(&w);
	if (r == BT_FAULT) {
		c->rip = rip;
		return bt_event_fault(c);
	}
	if (r == INTERP_UNKNOWN) {
		c->rip = rip;
		return BT_STEP_UNKNOWN;
	}
	c->shadow = w.shadow;
	if (!(watched && w.i.class == X86_IRET)) /* which may have loaded it for what comes next */
		c->rflags &= ~(uint64_t)X86_RF;
	if (r == INTERP_DELIVER)
		return soft(&w);
	c->rip = w.next;
	if (is_stepped(&w, step) || (w.watched && !w.quiet)) {
		c->dr6 |= w.watched | (is_stepped(&w, step) ? DR6_STEP : 0);
		return bt_event_deliver(c, BT_EVENT_FAULT, X86_DB, false, 0);
	}
	return r == INTERP_HALT ? BT_STEP_HALT : BT_STEP_ON;
}
