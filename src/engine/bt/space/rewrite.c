/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rewrite.c - see rewrite.h
 *
 * Theory of operation. First it is found out what must change (plan): the memory operand's segment prefix, an address relative to RIP that
 * becomes absolute or goes through a scratch register, an operand whose side of the guest is chosen as it runs, the stack
 * pointer as a number. Then scratch registers are saved, the instruction is put together from its parts, and all is restored.
 * Scratch registers are ones the instruction does not name: from R8 up where it can have REX, else from the first eight.
 */
#include "engine/bt/space/rewrite.h"

enum memory { AS_IS, ABSOLUTE, REGISTER, CHOSEN };
enum stack_use { RSP_NOT, RSP_READ, RSP_WRITTEN, RSP_BOTH };

struct plan {
	uint8_t segment; /* prefix to add; 0: none */
	enum memory memory;
	enum stack_use rsp;
	uint64_t address; /* of a RIP-relative operand */
	/* scratch registers: address, choice of shift, RSP as the guest has it */
	int8_t pointer, select, number;
	bool own; /* the pointer is the register that the instruction loads */
};

enum { FS_PREFIX = 0x64, GS_PREFIX = 0x65 };

static bool fits_32(uint64_t v)
{
	return (int64_t)v == (int32_t)v;
}

static bool is_high_byte(const struct x86_insn *i)
{
	bool reg = i->reg_is == X86_OP_GPR8 && i->reg >= 4 && i->reg < 8;
	bool rm = !i->is_mem && i->rm_is == X86_OP_GPR8 && i->rm >= 4 && i->rm < 8;

	return i->form == X86_LEGACY && !i->rex && (reg || rm);
}

/* used() - general registers that may not be scratch. */
static unsigned used(const struct x86_insn *i)
{
	unsigned u = i->implicit_read | i->implicit_written | 1U << X86_RSP;

	if (i->has_modrm)
		u |= 1U << i->reg | 1U << (i->reg & 3);
	if (i->has_modrm && !i->is_mem)
		u |= 1U << i->rm | 1U << (i->rm & 3);
	if (i->base != X86_NONE)
		u |= 1U << i->base;
	if (i->index != X86_NONE)
		u |= 1U << i->index;
	if (i->form != X86_LEGACY)
		u |= 1U << i->vvvv;
	return u;
}

static int8_t scratch(const struct x86_insn *i, unsigned *taken)
{
	bool low = is_high_byte(i) || i->form != X86_LEGACY;
	static const uint8_t order[] = { 8, 9, 10, 11, 12, 13, 14, 15, 6, 7, 3, 5, 1, 2, 0 };

	for (size_t n = low ? 8 : 0; n < sizeof(order); n++)
		if (!(*taken >> order[n] & 1)) {
			*taken |= 1U << order[n];
			return (int8_t)order[n];
		}
	return X86_NONE;
}

static enum stack_use rsp_use(const struct x86_insn *i)
{
	unsigned use = 0;

	if (i->reg_is == X86_OP_GPR && i->reg == X86_RSP)
		use |= i->reg_use;
	if (!i->is_mem && i->rm_is == X86_OP_GPR && i->rm == X86_RSP)
		use |= i->rm_use;
	if (i->vvvv_is == X86_OP_GPR && i->vvvv == X86_RSP)
		return RSP_BOTH;
	if (i->class == X86_PLAIN) /* that of the opcode: MOV r, imm; XCHG; BSWAP */
		use |= (i->implicit_read >> X86_RSP & 1 ? X86_READ : 0U) |
		       (i->implicit_written >> X86_RSP & 1 ? X86_WRITTEN : 0U);
	return use == 0 ? RSP_NOT : use == X86_READ ? RSP_READ : use == X86_WRITTEN ? RSP_WRITTEN : RSP_BOTH;
}

/* rsp_arithmetic() - ADD, SUB of a number, which is below the shift's lowest bit; AND with a negative one, which keeps the shift. */
static bool rsp_arithmetic(const struct x86_insn *i)
{
	unsigned op = i->modrm >> 3 & 7;

	return i->map == X86_MAP_1 && (i->opcode == 0x81 || i->opcode == 0x83) && i->op_size == 8 &&
	       !i->is_mem && (op == 0 || op == 5 || (op == 4 && (int64_t)i->imm < 0));
}

/* loads() - does it give its register another value whatever that had? */
static bool loads(const struct x86_insn *i)
{
	return i->class == X86_PLAIN && i->form == X86_LEGACY && i->op_size >= 4 && i->reg_is == X86_OP_GPR &&
	       i->reg_use == X86_WRITTEN && i->reg != X86_RSP &&
	       !((i->implicit_read | i->implicit_written) >> i->reg & 1);
}

/* plan_memory() - Return: false when the interpreter must. */
static bool plan_memory(const struct x86_insn *i, enum bt_mode mode, uint64_t next, unsigned *taken,
			struct plan *p)
{
	bool user = mode == BT_USER;

	p->address = next + (uint64_t)i->disp;
	if (i->class == X86_LEA)
		return !i->p67 && !(i->rip_relative && i->op_size == 2);
	if (i->moffs)
		return user && !i->p67 && i->segment == X86_NONE;
	if (user)
		p->segment = i->segment == X86_FS ? FS_PREFIX : i->segment == X86_GS ? GS_PREFIX : 0;
	else if (i->segment == X86_FS || i->p67)
		return false;
	else if (i->segment == X86_GS)
		p->segment = FS_PREFIX; /* the host's FS has the guest's GS */
	else if (i->base != X86_RSP)
		p->segment = GS_PREFIX;
	if (i->rip_relative && i->p67)
		return false;
	if (i->rip_relative) {
		p->memory = fits_32(p->address) ? ABSOLUTE : REGISTER;
		if (p->memory == REGISTER) {
			p->own = loads(i);
			p->pointer = p->own ? (int8_t)i->reg : scratch(i, taken);
		}
		return p->memory == ABSOLUTE || p->pointer != X86_NONE;
	}
	if (mode == BT_KERNEL_AC && p->segment == GS_PREFIX) {
		if (i->vsib || i->form == X86_EVEX)
			return false;
		p->segment = 0;
		p->memory = CHOSEN;
		p->pointer = scratch(i, taken);
		p->select = scratch(i, taken);
		return p->pointer != X86_NONE && p->select != X86_NONE;
	}
	return true;
}

static bool plan_stack(const struct x86_insn *i, enum bt_mode mode)
{
	if (mode == BT_USER)
		return true;
	if (i->op_size != 8)
		return false;
	switch (i->opcode) {
	case 0x50 ... 0x5f:
	case 0x68:
	case 0x6a: return true;
	case 0x8f: return i->is_mem && i->base != X86_RSP && mode == BT_KERNEL;
	case 0xff: return i->is_mem || i->rm != X86_RSP;
	case 0xc9: return mode == BT_KERNEL;
	default: return false;
	}
}

static bool plan(const struct x86_insn *i, enum bt_mode mode, uint64_t next, struct plan *p)
{
	unsigned taken = used(i);

	*p = (struct plan){ .pointer = X86_NONE, .select = X86_NONE, .number = X86_NONE };
	if (i->class == X86_STRING)
		return mode == BT_USER || (!i->p67 && i->segment == X86_NONE);
	if (i->class == X86_XSAVE && (i->implicit_read & 1) && (i->base == X86_RAX || i->index == X86_RAX))
		return false;
	if (i->class == X86_STACK && !plan_stack(i, mode))
		return false;
	if (i->is_mem && !plan_memory(i, mode, next, &taken, p))
		return false;
	if (mode == BT_USER)
		return true;
	p->rsp = rsp_use(i);
	if (p->rsp == RSP_BOTH && rsp_arithmetic(i))
		return true;
	if (p->rsp == RSP_WRITTEN)
		return i->op_size >= 4 && (i->class == X86_LEA || i->class == X86_PLAIN) &&
		       i->form == X86_LEGACY;
	if (p->rsp == RSP_READ || p->rsp == RSP_BOTH) {
		p->number = scratch(i, &taken);
		return p->number != X86_NONE && i->form == X86_LEGACY && i->op_size >= 4 && i->has_modrm;
	}
	return true;
}

bool rewrite_possible(const struct x86_insn *i, enum bt_mode mode, uint64_t next)
{
	struct plan p;

	return plan(i, mode, next, &p);
}

/* --- parts ------------------------------------------------------------------------------------------------------------------ */

/*
 * save() - In user mode the first place often has the value already: what is stored there and loaded again and again makes each
 * instruction wait for the one before.
 */
static void save(struct emit *e, struct bt_record *r, unsigned reg, unsigned place)
{
	if (place > 0 || e->kept != reg + 1)
		emit_store(e, BT_AT(scratch) + 8 * place, reg);
	if (place == 0)
		e->kept = (uint8_t)(reg + 1);
	r->saved[r->n_saved].reg = (uint8_t)reg;
	r->saved[r->n_saved++].scratch = (uint8_t)place;
}

/* operand_end() - the offset behind ModRM and all that belongs to it. */
static unsigned operand_end(const struct x86_insn *i)
{
	return i->at_disp ? i->at_disp + i->disp_len : i->at_sib ? i->at_sib + 1U : i->at_modrm + 1U;
}

/* assemble() - the instruction with what the plan changes in it. */
static void assemble(struct emit *e, const struct x86_insn *i, const uint8_t *code, const struct plan *p)
{
	unsigned rex = i->rex, reg = i->reg, rm = i->rm, tail = i->at_modrm + 1U;
	bool replaced = p->memory != AS_IS;
	bool had_rex = (code[i->at_escape] & 0xf0) ==
		       0x40; /* in the bytes: @i may be of another instruction by now */
	uint8_t *prefix;

	for (unsigned n = 0; n < i->at_escape; n++)
		if (code[n] == 0xf0 || code[n] == 0xf2 || code[n] == 0xf3 || code[n] == 0x66 ||
		    code[n] == 0x67)
			emit_8(e, code[n]);
	if (p->segment)
		emit_8(e, p->segment);
	if (p->number != X86_NONE) {
		if (i->reg_is == X86_OP_GPR && reg == X86_RSP)
			reg = (unsigned)p->number;
		if (!i->is_mem && i->rm_is == X86_OP_GPR && rm == X86_RSP)
			rm = (unsigned)p->number;
	}
	if (p->memory == REGISTER || p->memory == CHOSEN)
		rm = (unsigned)p->pointer;
	prefix = e->at;
	if (i->form == X86_LEGACY) {
		rex = (rex & ~4U) | (reg & 8 ? 4 : 0);
		if (replaced)
			rex = (rex & ~3U) | (p->memory != ABSOLUTE && (rm & 8) ? 1 : 0);
		else if (!i->is_mem && i->has_modrm)
			rex = (rex & ~1U) | (rm & 8 ? 1 : 0);
		if (i->rex || rex)
			emit_8(e, 0x40 | (rex & 15));
		for (unsigned n = i->at_escape + had_rex; n <= i->at_opcode; n++)
			emit_8(e, code[n]);
	} else {
		for (unsigned n = i->at_escape; n <= i->at_opcode; n++)
			emit_8(e, code[n]);
		if (replaced && prefix[0] != 0xc5) /* no index, a base below 8: their bits are inverted */
			prefix[1] |= 0x60;
	}
	if (!i->has_modrm) {
		tail = i->at_opcode + 1U;
	} else if (p->memory == ABSOLUTE) {
		emit_8(e, 4 | (reg & 7) << 3);
		emit_8(e, 0x25);
		emit_32(e, p->address);
		tail = operand_end(i);
	} else if (replaced) { /* [register], with a distance of 0, which R13 and RBP need */
		emit_8(e, 0x40 | (reg & 7) << 3 | ((rm & 7) == 4 ? 4 : (rm & 7)));
		if ((rm & 7) == 4)
			emit_8(e, 0x24);
		emit_8(e, 0);
		tail = operand_end(i);
	} else {
		emit_8(e, (i->modrm & 0xc0) | (reg & 7) << 3 | (i->is_mem ? i->modrm & 7 : rm & 7));
	}
	for (unsigned n = tail; n < i->len; n++)
		emit_8(e, code[n]);
}

/* effective_address() - LEA pointer, [the operand] */
static void effective_address(struct emit *e, const struct x86_insn *i, const uint8_t *code, unsigned to)
{
	unsigned end = operand_end(i);
	unsigned base = i->base != X86_NONE ? (unsigned)i->base : 0,
		 index = i->index != X86_NONE ? (unsigned)i->index : 0;

	emit_8(e, 0x48 | (to & 8 ? 4 : 0) | (index & 8 ? 2 : 0) | (base & 8 ? 1 : 0));
	emit_8(e, 0x8d);
	emit_8(e, (i->modrm & 0xc7) | (to & 7) << 3);
	for (unsigned n = i->at_modrm + 1U; n < end; n++)
		emit_8(e, code[n]);
}

/* choose() - @select = bit 63 of @reg. Flags stay. */
static void choose(struct emit *e, unsigned reg, unsigned select)
{
	emit_mov_imm(e, select, 63);
	emit_8(e, 0xc4); /* SHRX select, reg, select */
	emit_8(e, 0x42 | (select & 8 ? 0 : 0x80) | (reg & 8 ? 0 : 0x20));
	emit_8(e, 0x83 | (~select & 15) << 3);
	emit_8(e, 0xf7);
	emit_8(e, 0xc0 | (select & 7) << 3 | (reg & 7));
}

static void load_indexed(struct emit *e, unsigned to, unsigned index,
			 uint32_t table) /* MOV to, [index * 8 + table] */
{
	emit_8(e, 0x48 | (to & 8 ? 4 : 0) | (index & 8 ? 2 : 0));
	emit_8(e, 0x8b);
	emit_8(e, 4 | (to & 7) << 3);
	emit_8(e, 0xc5 | (index & 7) << 3);
	emit_32(e, table);
}

/* --- the kinds ------------------------------------------------------------------------------------------------------------------ */

static void mark_undo(struct emit *e, const uint8_t *entry, struct bt_record *r)
{
	r->undo = (uint16_t)(e->at - entry);
}

static void string(struct emit *e, const struct x86_insn *i, const uint8_t *code, const uint8_t *entry,
		   struct bt_record *r)
{
	static const struct {
		uint8_t reg, place;
	} side[] = { { X86_RSI, BT_SELECT_RSI }, { X86_RDI, BT_SELECT_RDI } };

	save(e, r, 8, 0);
	for (unsigned n = 0; n < 2; n++) {
		if (!(i->implicit_read >> side[n].reg & 1))
			continue;
		r->shifted |= (uint8_t)(1U << n);
		choose(e, side[n].reg, 8);
		emit_store(e, BT_AT(scratch) + 8 * side[n].place, 8);
		load_indexed(e, 8, 8, BT_AT(shift_of));
		emit_add(e, side[n].reg, side[n].reg, 8, 0);
	}
	mark_undo(e, entry, r);
	for (unsigned n = 0; n < i->len; n++)
		emit_8(e, code[n]);
	for (unsigned n = 0; n < 2; n++) {
		if (!(r->shifted >> n & 1))
			continue;
		emit_load(e, 8, BT_AT(scratch) + 8 * side[n].place);
		load_indexed(e, 8, 8, BT_AT(unshift_of));
		emit_add(e, side[n].reg, side[n].reg, 8, 0);
	}
	emit_load(e, 8, BT_AT(scratch[0]));
}

/* push_pop_rsp() - in kernel mode: what memory has is the number, without the shift. */
static void push_pop_rsp(struct emit *e, bool pop, const uint8_t *entry, struct bt_record *r)
{
	save(e, r, 8, 0);
	save(e, r, 9, 1);
	emit_mov_imm(e, 9, pop ? BT_SHIFT : -BT_SHIFT);
	if (!pop)
		emit_add(e, 8, X86_RSP, 9, 0);
	mark_undo(e, entry, r);
	emit_8(e, 0x41); /* PUSH r8, POP r8 */
	emit_8(e, pop ? 0x58 : 0x50);
	if (pop)
		emit_add(e, X86_RSP, 8, 9, 0);
	emit_load(e, 8, BT_AT(scratch[0]));
	emit_load(e, 9, BT_AT(scratch[1]));
}

/* rsp_set() - from the number, which the instruction has worked on */
static void rsp_set(struct emit *e, unsigned number)
{
	emit_mov(e, X86_RSP, number);
	emit_mov_imm(e, number, BT_SHIFT);
	emit_add(e, X86_RSP, X86_RSP, number, 0);
}

/* leave() - in kernel mode: RBP is not shifted, RSP is. */
static void leave(struct emit *e, const uint8_t *entry, struct bt_record *r)
{
	save(e, r, 8, 0);
	save(e, r, 9, 1);
	mark_undo(e, entry, r);
	emit_8(e, GS_PREFIX); /* MOV r8, gs:[rbp] */
	emit_8(e, 0x4c);
	emit_8(e, 0x8b);
	emit_8(e, 0x45);
	emit_8(e, 0);
	emit_mov_imm(e, 9, BT_SHIFT);
	emit_add(e, X86_RSP, X86_RBP, 9, 8);
	emit_mov(e, X86_RBP, 8);
	emit_load(e, 8, BT_AT(scratch[0]));
	emit_load(e, 9, BT_AT(scratch[1]));
}

/* lea() - an address is a number: no shift, but for what comes from RSP or goes there. */
static void lea(struct emit *e, const struct x86_insn *i, const uint8_t *code, enum bt_mode mode,
		const struct plan *p)
{
	bool kernel = mode != BT_USER, from = kernel && i->base == X86_RSP, to = kernel && i->reg == X86_RSP;
	struct plan as_is = { .pointer = X86_NONE, .select = X86_NONE, .number = X86_NONE };
	unsigned other = i->reg == X86_RAX || i->index == X86_RAX ? X86_RCX : X86_RAX;

	if (i->rip_relative) {
		uint64_t v = i->op_size == 4 ? (uint32_t)p->address : p->address;

		emit_mov_imm(e, i->reg, v + (to ? BT_SHIFT : 0));
		return;
	}
	assemble(e, i, code, &as_is);
	if (i->op_size == 4)
		from = false; /* the shift's lower half is 0, and the upper is cut off */
	if (from == to || i->op_size == 2)
		return;
	emit_store(e, BT_AT(scratch[0]), other);
	emit_mov_imm(e, other, from ? -BT_SHIFT : BT_SHIFT);
	emit_add(e, i->reg, i->reg, other, 0);
	emit_load(e, other, BT_AT(scratch[0]));
}

/* feature_mask() - XSAVE's and XRSTOR's EDX:EAX, ANDed with XCR0 without a flag: bits out and back in. EDX has none. */
static void feature_mask(struct emit *e)
{
	static const uint8_t op[][5] = { { 0xc4, 0xe2, 0x7a, 0xf5, 0x04 }, { 0xc4, 0xe2, 0x7b, 0xf5, 0x04 } };

	for (unsigned n = 0; n < 2; n++) { /* PEXT, PDEP eax, eax, [xcr0] */
		for (unsigned k = 0; k < 5; k++)
			emit_8(e, op[n][k]);
		emit_8(e, 0x25);
		emit_32(e, BT_AT(xcr0));
	}
}

static void rewrite_as_planned(struct emit *e, const struct x86_insn *i, const uint8_t *code,
			       enum bt_mode mode, uint64_t next, const uint8_t *entry, struct bt_record *r)
{
	bool masked = i->class == X86_XSAVE && (i->implicit_read & 1);
	struct plan p;

	plan(i, mode, next, &p);
	if (i->class == X86_LEA) {
		lea(e, i, code, mode, &p);
		return;
	}
	if (i->class == X86_STRING && mode != BT_USER) {
		string(e, i, code, entry, r);
		return;
	}
	if (i->class == X86_STACK && i->opcode == 0xc9 && mode != BT_USER) {
		leave(e, entry, r);
		return;
	}
	if (i->class == X86_STACK && mode != BT_USER && (i->opcode == 0x54 || i->opcode == 0x5c) &&
	    i->opcode_reg == X86_RSP) {
		push_pop_rsp(e, i->opcode == 0x5c, entry, r);
		return;
	}
	if (p.pointer != X86_NONE)
		save(e, r, (unsigned)p.pointer, 0);
	if (p.select != X86_NONE)
		save(e, r, (unsigned)p.select, 1);
	if (p.number != X86_NONE)
		save(e, r, (unsigned)p.number, 2);
	if (masked)
		save(e, r, X86_RAX, 3);
	if (p.memory == REGISTER)
		emit_mov_imm(e, (unsigned)p.pointer, p.address);
	if (p.memory == CHOSEN) {
		unsigned to = (unsigned)p.pointer, select = (unsigned)p.select;

		effective_address(e, i, code, to);
		choose(e, to, select);
		load_indexed(e, select, select, BT_AT(shift_of));
		emit_add(e, to, to, select, 0);
		r->select = p.select;
	}
	if (p.number != X86_NONE) {
		emit_mov_imm(e, (unsigned)p.number, -BT_SHIFT);
		emit_add(e, (unsigned)p.number, X86_RSP, (unsigned)p.number, 0);
	}
	if (masked)
		feature_mask(e);
	mark_undo(e, entry, r);
	assemble(e, i, code, &p);
	if (masked)
		emit_load(e, X86_RAX, BT_AT(scratch[3]));
	if (p.number != X86_NONE && p.rsp == RSP_BOTH)
		rsp_set(e, (unsigned)p.number);
	if (p.number != X86_NONE)
		emit_load(e, (unsigned)p.number, BT_AT(scratch[2]));
	if (p.select != X86_NONE)
		emit_load(e, (unsigned)p.select, BT_AT(scratch[1]));
	if (p.pointer != X86_NONE && !p.own)
		emit_load(e, (unsigned)p.pointer, BT_AT(scratch[0]));
	if (p.rsp == RSP_WRITTEN) {
		emit_store(e, BT_AT(scratch[0]), X86_RAX);
		emit_mov_imm(e, X86_RAX, BT_SHIFT);
		emit_add(e, X86_RSP, X86_RSP, X86_RAX, 0);
		emit_load(e, X86_RAX, BT_AT(scratch[0]));
	}
}

void rewrite(struct emit *e, const struct x86_insn *i, const uint8_t *code, enum bt_mode mode, uint64_t next,
	     const uint8_t *entry, struct bt_record *r)
{
	if (mode != BT_USER)
		e->kept = 0;
	rewrite_as_planned(e, i, code, mode, next, entry, r);
	if (e->kept && (mode != BT_USER || used(i) >> (e->kept - 1) & 1))
		e->kept = 0;
}
