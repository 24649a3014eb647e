/* SPDX-License-Identifier: Apache-2.0 */
/*
 * translate.c - one block: guest instructions in, host code and records out
 *
 * Theory of operation. Most instructions are copied. In kernel mode a memory operand gets the segment prefix whose base is BT_SHIFT; the
 * stack pointer is shifted as it stands, so operands on it, pushes and pops are right without one. What names an address
 * relative to RIP, or the stack pointer as a number, is rewritten (rewrite.c). Nothing here that was not in the guest's code
 * touches a flag: what computes beside it is LEA, MOV, JRCXZ, SHRX, PEXT.
 *
 * An instruction that no rule covers is left to the interpreter: BT_LEAVE_STEP ends the block.
 */
#include "engine/bt/space/debug.h"
#include "engine/bt/space/emit.h"
#include "engine/bt/space/map.h"
#include "engine/bt/space/mmu.h"
#include "engine/bt/space/rewrite.h"
#include "engine/bt/space/translate_internal.h"

#define PAGE 4096ULL
#define NONE (~0ULL)

struct stub { /* a hole in the block that leads to an exit */
	uint8_t *hole;
	uint32_t way; /* which leads to @rip; 0: none */
	uint8_t why, mode;
	uint64_t rip;
};

enum {
	STUBS_MAX = 2 * BLOCK_INSNS_MAX + 8,
	SELECTOR_PLACE = 4 /* in scratch: rewrite() has those below */
};

struct translation {
	struct bt_cpu *c;
	struct bt_block *b;
	struct emit e;
	enum bt_mode mode;
	uint64_t rip, next;
	struct x86_insn i;
	uint8_t code[X86_INSN_MAX];
	bool looks;
	uint8_t bytes[BLOCK_INSNS_MAX * X86_INSN_MAX]; /* of the block, as they were read; when it looks */
	struct stub stub[STUBS_MAX];
	unsigned n_stubs, n_insns;
	uint8_t *pushed; /* the displacement of an address that a call pushes; NULL: none */
	bool again; /* the instruction is to be read once more: its second page could still be written unseen */
	struct bt_record record[BLOCK_INSNS_MAX + 1];
};

/*
 * keep_apart() - a kill overwrites a block's first bytes, a link its own displacement for as long as its target lives: what comes next
 * has one behind @opcode bytes, so it gets out of the way. What is moved is shorter than a displacement, so it has none.
 */
static void keep_apart(struct translation *t, unsigned opcode)
{
	static const uint8_t nop[KILL_BYTES][4] = {
		{ 0 }, { 0x90 }, { 0x66, 0x90 }, { 0x0f, 0x1f, 0x00 }, { 0x0f, 0x1f, 0x40, 0x00 },
	};
	uint8_t *entry = t->b->entry;
	unsigned len = (unsigned)(t->e.at - entry), by = KILL_BYTES - opcode - len;

	if (len + opcode >= KILL_BYTES)
		return;
	for (unsigned n = len; n-- > 0;)
		entry[n + by] = entry[n];
	for (unsigned n = 0; n < by; n++)
		entry[n] = nop[by][n];
	for (unsigned n = 0; n < t->n_insns; n++) {
		t->record[n].host += (uint16_t)(n ? by : 0);
		t->record[n].undo += (uint16_t)by;
	}
	t->e.at += by;
}

/* way() - for a branch of the user's to another page, which may be one and then another: JMP [the way]. Return: 0, and nothing, for others. */
static uint32_t way(struct translation *t, enum bt_leave why, uint64_t rip)
{
	return why == BT_LEAVE_LINK && t->mode == BT_USER && ((rip ^ t->b->rip) & -PAGE) ?
		       translate__way(rip) :
		       0;
}

static void jump_through(struct emit *e, uint32_t n)
{
	emit_8(e, 0xff);
	emit_absolute(e, 4, (uint32_t)BT_WAY_BASE + 8 * n);
}

/* hole() - JMP to an exit of the block's own. */
static void hole(struct translation *t, enum bt_leave why, uint64_t rip)
{
	uint32_t n = way(t, why, rip);

	if (n) {
		jump_through(&t->e, n);
		return;
	}
	if (why == BT_LEAVE_LINK)
		keep_apart(t, 1);
	t->stub[t->n_stubs++] = (struct stub){ emit_hole(&t->e), 0, (uint8_t)why, (uint8_t)t->mode, rip };
}

/* lookup() - to the head that the table has for the low word of the target, in RCX */
static void lookup(struct translation *t, enum bt_head which)
{
	struct emit *e = &t->e;

	emit_8(e, 0xff); /* JMP [rcx * 8 + table] */
	emit_8(e, 0x24);
	emit_8(e, 0xcd);
	emit_32(e, BT_TABLE(which, t->mode == BT_USER));
}

/* --- control flow: each ends the block, but for a branch that is not taken -------------------------------------------------------- */

enum verdict { GO_ON, END };

static enum verdict step(struct translation *t)
{
	hole(t, BT_LEAVE_STEP, t->rip);
	return END;
}

static void low_word(struct translation *t, unsigned reg) /* MOVZX ecx, reg16 */
{
	struct emit *e = &t->e;

	if (reg >= 8)
		emit_8(e, 0x41);
	emit_8(e, 0x0f);
	emit_8(e, 0xb7);
	emit_8(e, 0xc8 | (reg & 7));
}

/* found() - an indirect branch's target is in the register */
static void found(struct translation *t, unsigned reg)
{
	emit_store(&t->e, BT_AT(rip), reg);
	low_word(t, reg);
}

static void save_rcx(struct translation *t)
{
	emit_store(&t->e, BT_AT(target_rcx), X86_RCX);
}

static void undo_here(struct translation *t, struct bt_record *r)
{
	r->undo = (uint16_t)(t->e.at - t->b->entry);
}

/*
 * push_return() - PUSH takes 32 bits: a longer address lies behind the block. Two stores would do, but the return that loads both at once
 * would wait until they have left the processor.
 */
static void push_return(struct translation *t)
{
	struct emit *e = &t->e;

	if ((int64_t)t->next == (int32_t)t->next) {
		emit_8(e, 0x68);
		emit_32(e, t->next);
		return;
	}
	emit_8(e, 0xff); /* PUSH qword [rip + ...] */
	emit_8(e, 0x35);
	emit_32(e, 0);
	t->pushed = e->at - 4;
}

static enum verdict jump_if(struct translation *t)
{
	uint64_t target = t->next + t->i.imm;
	struct emit *e = &t->e;

	if (t->i.p66)
		return step(t);
	keep_apart(t, 2);
	emit_8(e, 0x0f);
	emit_8(e, 0x80 | t->i.cc);
	emit_32(e, 0);
	t->stub[t->n_stubs++] = (struct stub){ e->at - 4, way(t, BT_LEAVE_LINK, target), BT_LEAVE_LINK,
					       (uint8_t)t->mode, target };
	return GO_ON;
}

/* loop() - LOOPcc and JRCXZ have a byte of distance only: they jump over a jump. */
static enum verdict loop(struct translation *t)
{
	struct emit *e = &t->e;
	uint8_t *over;

	if (t->i.p66)
		return step(t);
	if (t->i.p67)
		emit_8(e, 0x67);
	emit_8(e, t->i.opcode);
	emit_8(e, 2);
	emit_8(e, 0xeb);
	emit_8(e, 0);
	over = e->at;
	hole(t, BT_LEAVE_LINK, t->next + t->i.imm);
	over[-1] = (uint8_t)(e->at - over);
	return GO_ON;
}

/* target() - of an indirect branch, into RCX. Return: false when the interpreter must. */
static bool target(struct translation *t, struct bt_record *r)
{
	struct x86_insn load = t->i;
	uint8_t code[X86_INSN_MAX];

	if (!t->i.is_mem) {
		if (t->i.rm == X86_RSP && t->mode != BT_USER)
			return false;
		save_rcx(t);
		found(t, t->i.rm);
		return true;
	}
	/* CALL or JMP [x] is MOV rcx, [x] in other bits: the same ModRM but for its middle */
	for (unsigned n = 0; n < t->i.len; n++)
		code[n] = t->code[n];
	code[t->i.at_opcode] = 0x8b;
	code[t->i.at_modrm] = (t->i.modrm & ~0x38U) | X86_RCX << 3;
	load.opcode = 0x8b;
	load.modrm = code[t->i.at_modrm];
	load.reg = X86_RCX;
	load.reg_is = X86_OP_GPR;
	load.reg_use = X86_WRITTEN;
	load.implicit_read = load.implicit_written = 0;
	load.rex = (load.rex & ~4U) | 0x48;
	load.class = X86_PLAIN;
	load.p66 = false;
	load.op_size = 8;
	if (!rewrite_possible(&load, t->mode, t->next))
		return false;
	save_rcx(t);
	rewrite(&t->e, &load, code, t->mode, t->next, t->b->entry, r);
	found(t, X86_RCX);
	r->undo_first = r->undo; /* RCX is written by the load itself: at the load it is the guest's */
	r->n_first = r->n_saved;
	return true;
}

static void rcx_is_saved(struct bt_record *r)
{
	r->saved[r->n_saved].reg = X86_RCX;
	r->saved[r->n_saved++].scratch = SAVED_RCX;
}

/* indirect() - the table's blocks are of plain kernel mode: between STAC and CLAC the interpreter goes there. */
static enum verdict indirect(struct translation *t, struct bt_record *r, bool call)
{
	if (t->i.p66 || t->mode == BT_KERNEL_AC || !target(t, r))
		return step(t);
	if (call) {
		rcx_is_saved(r);
		undo_here(t, r);
		push_return(t);
	}
	lookup(t, BT_HEAD_JUMP);
	return END;
}

static enum verdict ret(struct translation *t, struct bt_record *r)
{
	struct emit *e = &t->e;

	if (t->i.p66 || t->mode == BT_KERNEL_AC)
		return step(t);
	save_rcx(t);
	undo_here(t, r);
	if (t->i.imm) {          /* what it takes from the stack besides, no head knows */
		emit_8(e, 0x59); /* POP rcx */
		emit_8(e, 0x48); /* LEA rsp, [rsp + imm] */
		emit_8(e, 0x8d);
		emit_8(e, 0xa4);
		emit_8(e, 0x24);
		emit_32(e, t->i.imm);
		found(t, X86_RCX);
		lookup(t, BT_HEAD_JUMP);
		return END;
	}
	emit_8(e, 0x48); /* MOV rcx, [rsp] */
	emit_8(e, 0x8b);
	emit_8(e, 0x0c);
	emit_8(e, 0x24);
	low_word(t, X86_RCX);
	lookup(t, BT_HEAD_RETURN);
	return END;
}

/* --- what kernels do often ---------------------------------------------------------------------------------------------------------- */

/* leave_if_zero() - by an exit of that kind at @rip when the word is 0; RCX is saved at scratch 0, and is again afterwards. */
static void leave_if_zero(struct translation *t, uint32_t word, enum bt_leave why, uint64_t rip)
{
	struct emit *e = &t->e;

	emit_store(e, BT_AT(scratch[0]), X86_RCX);
	emit_load(e, X86_RCX, word);
	emit_8(e, 0xe3); /* JRCXZ over the next jump */
	emit_8(e, 2);
	emit_8(e, 0xeb);
	emit_8(e, 8 + 5);
	emit_load(e, X86_RCX, BT_AT(scratch[0]));
	hole(t, why, rip);
	emit_load(e, X86_RCX, BT_AT(scratch[0]));
}

/* shadow_counts() - is what follows STI one of those before which no interrupt may come? */
static bool shadow_counts(struct translation *t)
{
	uint8_t code[X86_INSN_MAX];
	struct x86_insn i;
	int n = bt_fetch(t->c, t->next, code, X86_INSN_MAX);

	if (((t->next ^ t->b->rip) & -PAGE) || n < 0 || x86_decode(&i, code, (size_t)n, 64) <= 0 ||
	    ((t->next + i.len - 1) ^ t->b->rip) & -PAGE)
		return true;
	switch (i.class) {
	case X86_HLT:
	case X86_SYSEXIT:
	case X86_SYSRET:
	case X86_IRET:
	case X86_STI:
	case X86_SYSTEM: return true;
	default: return false;
	}
}

static enum verdict interrupts(struct translation *t, struct bt_record *r)
{
	bool on = t->i.class == X86_STI;

	if (t->mode == BT_USER)
		return step(t);
	if (on && shadow_counts(t))
		return step(t);
	undo_here(t, r);
	emit_store_imm(&t->e, BT_AT(if_clear), on ? 0 : (uint32_t)-X86_IF);
	if (on)
		leave_if_zero(t, BT_AT(quiet), BT_LEAVE_ATTENTION, t->next);
	return GO_ON;
}

/* push_flags() - the host's have IF set; if_clear makes of them the guest's. */
static enum verdict push_flags(struct translation *t, struct bt_record *r)
{
	struct emit *e = &t->e;

	if (t->i.op_size != 8 || t->mode == BT_USER)
		return step(t);
	if (t->mode == BT_KERNEL_AC) /* AC would be missing */
		return step(t);
	undo_here(t, r);
	emit_8(e, 0x9c);
	emit_store(e, BT_AT(scratch[0]), X86_RCX);
	emit_store(e, BT_AT(scratch[1]), X86_RAX);
	emit_8(e, 0x59); /* POP rcx */
	emit_load(e, X86_RAX, BT_AT(if_clear));
	emit_add(e, X86_RCX, X86_RCX, X86_RAX, 0);
	emit_8(e, 0x51); /* PUSH rcx */
	emit_load(e, X86_RAX, BT_AT(scratch[1]));
	emit_load(e, X86_RCX, BT_AT(scratch[0]));
	return GO_ON;
}

/* view_write() - RCX is the guest's new GS base, which the kernel's code reaches through the host's FS; RAX is lost. */
static void view_write(struct emit *e)
{
	emit_mov_imm(e, X86_RAX, BT_SHIFT);
	emit_add(e, X86_RAX, X86_RAX, X86_RCX, 0);
	emit_store(e, BT_AT(fs_view), X86_RAX);
	emit_8(e, 0xf3); /* WRFSBASE rax */
	emit_8(e, 0x48);
	emit_8(e, 0x0f);
	emit_8(e, 0xae);
	emit_8(e, 0xd0);
}

static enum verdict swap_bases(struct translation *t)
{
	struct emit *e = &t->e;

	if (t->mode == BT_USER)
		return step(t);
	emit_store(e, BT_AT(scratch[0]), X86_RAX);
	emit_store(e, BT_AT(scratch[1]), X86_RCX);
	emit_load(e, X86_RAX, BT_AT(gs_base));
	emit_load(e, X86_RCX, BT_AT(kernel_gs_base));
	emit_store(e, BT_AT(gs_base), X86_RCX);
	emit_store(e, BT_AT(kernel_gs_base), X86_RAX);
	view_write(e);
	emit_load(e, X86_RAX, BT_AT(scratch[0]));
	emit_load(e, X86_RCX, BT_AT(scratch[1]));
	return GO_ON;
}

static enum verdict access_mode(struct translation *t)
{
	if (t->mode == BT_USER)
		return step(t);
	if (t->i.class == X86_STAC && t->mode == BT_KERNEL) /* from here on it reaches the user's half */
		leave_if_zero(t, BT_AT(home), BT_LEAVE_AWAY, t->rip);
	t->mode = t->i.class == X86_STAC ? BT_KERNEL_AC : BT_KERNEL;
	return GO_ON;
}

/* load_word() - of the 16 bits at an absolute address; @only: the upper ones of the register stay, else they become 0 */
static void load_word(struct emit *e, unsigned reg, uint32_t at, bool only)
{
	if (only)
		emit_8(e, 0x66);
	if (reg >= 8)
		emit_8(e, 0x44);
	if (!only)
		emit_8(e, 0x0f);
	emit_8(e, only ? 0x8b : 0xb7);
	emit_absolute(e, reg, at);
}

/* selector_store() - MOV m16, sreg is MOV m16, r16 of a register that has been loaded with it */
static enum verdict selector_store(struct translation *t, struct bt_record *r, uint32_t at)
{
	uint8_t code[X86_INSN_MAX + 4];
	unsigned reg = X86_R8, n = 0, rex;
	struct x86_insn store;

	while (reg == (unsigned)t->i.base || reg == (unsigned)t->i.index)
		reg++;
	if (t->i.p67)
		return step(t);
	if (t->i.segment == X86_FS || t->i.segment == X86_GS)
		code[n++] = t->i.segment == X86_FS ? 0x64 : 0x65;
	rex = 0x44 | (t->i.rex & 3);
	code[n++] = 0x66;
	code[n++] = (uint8_t)rex;
	code[n++] = 0x89;
	code[n++] = (uint8_t)((t->i.modrm & 0xc7) | (reg & 7) << 3);
	for (unsigned k = t->i.at_modrm + 1U; k < t->i.len; k++)
		code[n++] = t->code[k];
	if (x86_decode(&store, code, n, 64) != (int)n || !rewrite_possible(&store, t->mode, t->next))
		return step(t);
	emit_store(&t->e, BT_AT(scratch[SELECTOR_PLACE]), reg);
	load_word(&t->e, reg, at, false);
	r->saved[r->n_saved].reg = (uint8_t)reg;
	r->saved[r->n_saved++].scratch = SELECTOR_PLACE;
	rewrite(&t->e, &store, code, t->mode, t->next, t->b->entry, r);
	emit_load(&t->e, reg, BT_AT(scratch[SELECTOR_PLACE]));
	return GO_ON;
}

/* selector() - MOV from a segment register */
static enum verdict selector(struct translation *t, struct bt_record *r)
{
	uint32_t at = BT_AT(seg) + (uint32_t)(t->i.reg * sizeof(struct x86_segment) +
					      offsetof(struct x86_segment, selector));

	if (t->i.map != X86_MAP_1 || t->i.opcode != 0x8c || t->i.reg > X86_GS)
		return step(t);
	if (t->i.is_mem)
		return selector_store(t, r, at);
	if (t->i.rm == X86_RSP)
		return step(t);
	load_word(&t->e, t->i.rm, at, t->i.p66);
	return GO_ON;
}

/* base_read() - RDFSBASE, RDGSBASE */
static enum verdict base_read(struct translation *t)
{
	if (t->i.reg > 1 || t->i.op_size != 8 || t->i.rm == X86_RSP || !(t->c->cr4 & X86_CR4_FSGSBASE))
		return step(t);
	emit_load(&t->e, t->i.rm, t->i.reg ? BT_AT(gs_base) : BT_AT(fs_base));
	return GO_ON;
}

/* is_canonical() - JRCXZ to the end when RCX has 47 equal bits at its top, else it runs on; RAX and RCX are lost. Return: the jumps to fill. */
static void is_canonical(struct emit *e, uint8_t *jump[2])
{
	static const uint8_t sarx[] = { 0xc4, 0xe2, 0xfa, 0xf7, 0xc9 }; /* SARX rcx, rcx, rax */

	emit_mov_imm(e, X86_RAX, 47);
	for (size_t n = 0; n < sizeof(sarx); n++)
		emit_8(e, sarx[n]);
	for (unsigned n = 0; n < 2; n++) { /* 0, or -1 */
		emit_8(e, 0xe3);
		emit_8(e, 0);
		jump[n] = e->at - 1;
		emit_8(e, 0x48); /* LEA rcx, [rcx + 1] */
		emit_8(e, 0x8d);
		emit_8(e, 0x49);
		emit_8(e, 1);
	}
}

/* base_write() - WRFSBASE, WRGSBASE by the kernel, whose own FS base the host's registers do not have */
static enum verdict base_write(struct translation *t, struct bt_record *r)
{
	struct emit *e = &t->e;
	uint8_t *jump[2];

	if (t->i.op_size != 8 || t->i.rm == X86_RSP || t->mode == BT_USER || !(t->c->cr4 & X86_CR4_FSGSBASE))
		return step(t);
	undo_here(t, r);
	emit_store(e, BT_AT(scratch[0]), X86_RCX);
	emit_store(e, BT_AT(scratch[1]), X86_RAX);
	emit_store(e, BT_AT(scratch[2]), t->i.rm);
	emit_load(e, X86_RCX, BT_AT(scratch[2]));
	is_canonical(e, jump);
	emit_load(e, X86_RAX, BT_AT(scratch[1]));
	emit_load(e, X86_RCX, BT_AT(scratch[0]));
	hole(t, BT_LEAVE_STEP, t->rip);
	for (unsigned n = 0; n < 2; n++)
		*jump[n] = (uint8_t)(e->at - (jump[n] + 1));
	emit_load(e, X86_RCX, BT_AT(scratch[2]));
	emit_store(e, t->i.reg == 3 ? BT_AT(gs_base) : BT_AT(fs_base), X86_RCX);
	if (t->i.reg == 3)
		view_write(e);
	emit_load(e, X86_RAX, BT_AT(scratch[1]));
	emit_load(e, X86_RCX, BT_AT(scratch[0]));
	return GO_ON;
}

/* time_stamp() - RDTSC, RDTSCP */
static enum verdict time_stamp(struct translation *t)
{
	bool p = t->i.opcode != 0x31;

	if (t->c->tsc_offset || (t->c->cr4 & X86_CR4_TSD))
		return step(t);
	if (p) { /* LFENCE: it waits for what is before it */
		emit_8(&t->e, 0x0f);
		emit_8(&t->e, 0xae);
		emit_8(&t->e, 0xe8);
	}
	emit_8(&t->e, 0x0f);
	emit_8(&t->e, 0x31);
	if (p) {
		emit_8(&t->e, 0x8b); /* MOV ecx, [tsc_aux] */
		emit_absolute(&t->e, X86_RCX, BT_AT(tsc_aux));
	}
	return GO_ON;
}

static enum verdict plain(struct translation *t, struct bt_record *r)
{
	if (((t->i.class == X86_VECTOR || t->i.class == X86_XSAVE) &&
	     (t->c->cr0 & (X86_CR0_EM | X86_CR0_TS))) ||
	    !rewrite_possible(&t->i, t->mode, t->next))
		return step(t);
	rewrite(&t->e, &t->i, t->code, t->mode, t->next, t->b->entry, r);
	return GO_ON;
}

/* nothing() - but PAUSE stays: who counts how often he has looked counts on what it takes. */
static enum verdict nothing(struct translation *t)
{
	if (t->i.opcode == 0x90 && t->i.rep == 0xf3 && t->i.map == X86_MAP_1) {
		emit_8(&t->e, 0xf3);
		emit_8(&t->e, 0x90);
	}
	return GO_ON;
}

static enum verdict instruction(struct translation *t, struct bt_record *r)
{
	switch (t->i.class) {
	case X86_NOP: return nothing(t);
	case X86_PLAIN:
	case X86_LEA:
	case X86_VECTOR:
	case X86_XSAVE:
	case X86_STRING:
	case X86_STACK: return plain(t, r);
	case X86_JCC: return jump_if(t);
	default: break;
	}
	t->e.kept = 0; /* they may use the place, or change the register */
	switch (t->i.class) {
	case X86_SERIALIZE: return GO_ON;
	case X86_LOOP: return loop(t);
	case X86_JMP:
		if (t->i.p66)
			return step(t);
		hole(t, BT_LEAVE_LINK, t->next + t->i.imm);
		return END;
	case X86_CALL:
		if (t->i.p66)
			return step(t);
		push_return(t);
		hole(t, BT_LEAVE_LINK, t->next + t->i.imm);
		return END;
	case X86_JMP_IND: return indirect(t, r, false);
	case X86_CALL_IND: return indirect(t, r, true);
	case X86_RET: return ret(t, r);
	case X86_SYSCALL: hole(t, BT_LEAVE_SYSCALL, t->next); return END;
	case X86_SYSRET: /* in the usual form: 48 0f 07 */
	case X86_IRET:   /* 48 cf */
		if (t->i.op_size != 8 || t->i.len != (t->i.class == X86_SYSRET ? 3 : 2) || t->mode == BT_USER)
			return step(t);
		hole(t, t->i.class == X86_SYSRET ? BT_LEAVE_SYSRET : BT_LEAVE_IRET, t->next);
		return END;
	case X86_CLI:
	case X86_STI: return interrupts(t, r);
	case X86_PUSHF: return push_flags(t, r);
	case X86_SWAPGS: return swap_bases(t);
	case X86_STAC:
	case X86_CLAC: return access_mode(t);
	case X86_RDTSC: return time_stamp(t);
	case X86_SYSTEM: return selector(t, r);
	case X86_FSGSBASE: return t->i.reg < 2 ? base_read(t) : base_write(t, r);
	default: return step(t);
	}
}

/* --- the block -------------------------------------------------------------------------------------------------------------------------- */

/* on_block() - may the instruction, its first byte at t->rip, be in this block? Pages are looked at as it grows. */
static bool on_block(struct translation *t, unsigned len)
{
	struct bt_block *b = t->b;
	uint64_t last = t->rip + len - 1;
	struct bt_page page;

	if (!((last ^ b->rip) & -PAGE))
		return true;
	if (b->mode == BT_USER && t->n_insns > 0) /* alone, it may lie on two */
		return false;
	if (((last & -PAGE) - (b->rip & -PAGE)) != PAGE)
		return false;
	if (t->looks) /* on one page only */
		return false;
	if (b->gpa2 == NONE) {
		if (bt_walk(t->c, last & -PAGE, BT_FETCH | BT_QUIET, &page) < 0 || page.gpa >= BT_RAM_SIZE)
			return false;
		b->gpa2 = page.gpa;
		translate__page(t->c, page.gpa);
		t->again = true;
	}
	return true;
}

/* fetch() - Return: 1; 0 when the block ends before it; -1 when it is the interpreter's to say what is wrong. */
static int fetch(struct translation *t)
{
	int n, len;

	t->again = false;
	if (bt_debug_breaks(t->c, t->rip))
		return t->n_insns ? 0 : -1;
	n = bt_fetch(t->c, t->rip, t->code, X86_INSN_MAX);
	if (n < 0)
		return t->n_insns ? 0 : -1;
	len = x86_decode(&t->i, t->code, (size_t)n, 64);
	if (len <= 0)
		return t->n_insns ? 0 : -1;
	t->next = t->rip + (uint64_t)len;
	if (!on_block(t, (unsigned)len))
		return t->n_insns ? 0 : -1;
	return t->again ? fetch(t) : 1;
}

/* stores() - other than on the stack, where no code is */
static bool stores(const struct x86_insn *i)
{
	return (i->is_mem && i->rm_use & X86_WRITTEN) || i->class == X86_STRING || i->moffs ||
	       i->class == X86_XSAVE;
}

/* same() - is what is at @at in the block's bytes still there? RAX and RCX are lost; JRCXZ over a jump. Return: the jump to fill. */
static uint8_t *same(struct translation *t, uint64_t at, unsigned size)
{
	struct emit *e = &t->e;
	uint64_t word = 0;

	__builtin_memcpy(&word, t->bytes + at, size);
	emit_mov_imm(e, X86_RAX, t->b->rip + at);
	if (!t->b->look_load)
		t->b->look_load = e->at;
	if (size == 8)
		emit_8(e, 0x48);
	if (size < 4)
		emit_8(e, 0x0f);
	emit_8(e, size >= 4 ? 0x8b : size == 2 ? 0xb7 : 0xb6); /* MOV, MOVZX rcx, [rax] */
	emit_8(e, 0x08);
	emit_mov_imm(e, X86_RAX, -word);
	emit_add(e, X86_RCX, X86_RCX, X86_RAX, 0);
	emit_8(e, 0xe3);
	emit_8(e, 5);
	return emit_hole(e);
}

/* look() - the block's bytes, eight at a time and the last ones once more, or fewer. Then to the body. */
static void look(struct translation *t, uint8_t *from, const uint8_t *body)
{
	uint8_t *differs[sizeof(t->bytes) / 8 + 4];
	struct emit *e = &t->e;
	uint64_t n = t->rip - t->b->rip, at = 0;
	unsigned n_differs = 0;

	emit_fill(from, e->at);
	t->b->look = e->at;
	emit_store(e, BT_AT(scratch[0]), X86_RCX);
	emit_store(e, BT_AT(scratch[1]), X86_RAX);
	while (at < n) {
		unsigned size = n >= 8 ? 8 : n - at >= 4 ? 4 : n - at >= 2 ? 2 : 1;

		differs[n_differs++] = same(t, at + size > n ? n - size : at, size);
		at += size;
	}
	emit_load(e, X86_RCX, BT_AT(scratch[0]));
	emit_load(e, X86_RAX, BT_AT(scratch[1]));
	emit_jump(e, body);
	while (n_differs > 0)
		emit_fill(differs[--n_differs], e->at);
	emit_load(e, X86_RCX, BT_AT(scratch[0]));
	emit_load(e, X86_RAX, BT_AT(scratch[1]));
	hole(t, BT_LEAVE_STALE, t->b->rip);
}

static void body(struct translation *t)
{
	enum verdict v = GO_ON;

	while (v == GO_ON) {
		struct bt_record *r = &t->record[t->n_insns];
		int r_fetch = t->n_insns < BLOCK_INSNS_MAX ? fetch(t) : 0;

		if (r_fetch == 0) {
			hole(t, BT_LEAVE_LINK, t->rip);
			return;
		}
		*r = (struct bt_record){ .host = (uint16_t)(t->e.at - t->b->entry),
					 .guest = (uint16_t)(t->rip - t->b->rip),
					 .mode = (uint8_t)t->mode,
					 .select = -1 };
		r->undo = r->host;
		t->n_insns++;
		if (r_fetch < 0) {
			step(t);
			return;
		}
		v = instruction(t, r);
		if (t->looks)
			__builtin_memcpy(t->bytes + (t->rip - t->b->rip), t->code, t->i.len);
		t->rip = t->next;
		if (v == GO_ON && t->looks && stores(&t->i)) {
			hole(t, BT_LEAVE_LINK, t->rip);
			return;
		}
	}
}

/* stub_emit() - the way out of one hole */
static void stub_emit(struct translation *t, const struct stub *s)
{
	struct emit *e = &t->e;

	emit_fill(s->hole, e->at);
	if (s->way) {
		jump_through(e, s->way);
		return;
	}
	emit_store_imm(e, BT_AT(exit),
		       translate__exit((enum bt_leave)s->why, (enum bt_mode)s->mode, s->rip,
				       s->why == BT_LEAVE_LINK ? s->hole : NULL));
	emit_jump(e, translate__store()->leave);
}

struct bt_block *translate__block(struct bt_cpu *c, uint64_t rip, enum bt_mode mode, uint64_t gpa,
				  enum bt_head by)
{
	struct translate_store *s = translate__store();
	struct bt_block *b = translate__alloc(sizeof(*b));
	struct translation work, *t = &work;
	struct emit *e = &t->e;
	uint8_t *from = NULL, *begin;

	t->looks = mode == BT_USER && bt_code_is_hot(gpa);
	if (!t->looks)
		translate__page(c, gpa);
	*b = (struct bt_block){ .rip = rip, .gpa = gpa, .gpa2 = NONE, .mode = (uint8_t)mode };
	t->c = c;
	t->b = b;
	t->mode = mode;
	t->rip = rip;
	t->n_stubs = t->n_insns = 0;
	t->pushed = NULL;
	e->kept = 0;
	e->at = s->cache_at;
	if (by < BT_HEAD_COUNT)
		translate__head(e, b, by);
	else
		e->at = translate__line(e->at);
	b->entry = e->at;
	b->begin = by < BT_HEAD_COUNT ? b->head[by] : b->entry;
	if (t->looks)
		from = emit_hole(e);
	begin = e->at;
	body(t);
	if (t->looks)
		look(t, from, begin);
	b->end = s->cache_at = e->at;
	e->at = s->cold_at;
	for (unsigned n = 0; n < t->n_stubs; n++)
		stub_emit(t, &t->stub[n]);
	b->kill = e->at;
	emit_store_imm(e, BT_AT(exit), translate__exit(BT_LEAVE_LINK, mode, rip, NULL));
	emit_jump(e, s->leave);
	if (t->pushed) {
		e->at = (uint8_t *)(((uintptr_t)e->at + 7) & ~7UL);
		emit_fill(t->pushed, e->at);
		emit_64(e, t->next);
	}
	s->cold_at = e->at;
	b->n_insns = (uint16_t)t->n_insns;
	b->guest_len = (uint16_t)(t->rip - rip ? t->rip - rip : 1);
	b->record = translate__alloc(t->n_insns * sizeof(*b->record));
	for (unsigned n = 0; n < t->n_insns; n++)
		b->record[n] = t->record[n];
	bt_count(c, BT_COUNT_BLOCKS);
	if (c->exchange) {
		c->exchange->counter[BT_COUNT_INSNS] += t->n_insns;
		c->exchange->counter[BT_COUNT_CACHE] = (uint64_t)(s->cache_at - (uint8_t *)BT_CACHE_BASE +
								  s->cold_at - (uint8_t *)BT_COLD_BASE);
	}
	return translate__insert(b) ? b : NULL;
}

/* --- back from host to guest ---------------------------------------------------------------------------------------------------------------- */

const struct bt_record *bt_recover(const struct bt_cpu *c, const struct bt_block *b, const void *pc,
				   uint64_t reg[16], enum bt_recover *ret_how)
{
	uint32_t off = (const uint8_t *)pc < b->entry ? 0 : (uint32_t)((const uint8_t *)pc - b->entry);
	const struct bt_record *r = b->record;
	bool first;

	if (b->look &&
	    (const uint8_t *)pc >= b->look) { /* up to the first load the registers are as they were */
		*ret_how = (const uint8_t *)pc == b->look_load ? BT_RECOVER_BEFORE : BT_RECOVER_INSIDE;
		if (*ret_how == BT_RECOVER_BEFORE)
			reg[X86_RAX] = c->scratch[1];
		return r;
	}

	for (unsigned n = 1; n < b->n_insns && b->record[n].host <= off; n++)
		r = &b->record[n];
	/* before and behind these points registers are half moved: a few host instructions on they are not */
	*ret_how = off <= r->host || off == r->undo || (r->undo_first && off == r->undo_first) ?
			   BT_RECOVER_BEFORE :
			   BT_RECOVER_INSIDE;
	if (off <= r->host || *ret_how == BT_RECOVER_INSIDE)
		return r;
	if (r->shifted & 1)
		reg[X86_RSI] += c->unshift_of[c->scratch[BT_SELECT_RSI]];
	if (r->shifted & 2)
		reg[X86_RDI] += c->unshift_of[c->scratch[BT_SELECT_RDI]];
	first = r->undo_first && off == r->undo_first; /* which a jump has for both */
	for (unsigned n = first ? 0 : r->n_first; n < (first ? r->n_first : r->n_saved); n++)
		reg[r->saved[n].reg] = c->scratch[r->saved[n].scratch];
	return r;
}
