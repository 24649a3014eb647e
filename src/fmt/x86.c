/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x86.c - see x86.h
 *
 * Theory of operation. Four steps: prefixes up to the opcode; ModRM with its memory operand; what the opcode means, a switch for
 * each map, in the order of the manual's tables; the immediate. The meaning needs ModRM because many opcodes are groups.
 */
#include "fmt/x86.h"

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI };
enum { ES, CS, SS, DS, FS, GS };

enum imm {
	IMM_NONE,
	IMM_8,  /* sign-extended */
	IMM_U8, /* not */
	IMM_16,
	IMM_Z,     /* 2 or 4 bytes by operand size, sign-extended */
	IMM_V,     /* 2, 4 or 8 bytes */
	IMM_FAR,   /* offset and selector */
	IMM_ENTER, /* 2 bytes and 1 */
};

struct work {
	struct x86_insn *i;
	const uint8_t *code;
	size_t n, at;
	bool is_short; /* bytes ran out */
	enum imm imm;
	bool lockable;
};

static uint8_t byte_at(struct work *w)
{
	if (w->at >= w->n) {
		w->is_short = true;
		return 0;
	}
	return w->code[w->at++];
}

static uint64_t bytes_at(struct work *w, unsigned n)
{
	uint64_t v = 0;

	for (unsigned k = 0; k < n; k++)
		v |= (uint64_t)byte_at(w) << (8 * k);
	return v;
}

static int64_t sign_extend(uint64_t v, unsigned bytes)
{
	unsigned shift = 64 - 8 * bytes;

	return (int64_t)(v << shift) >> shift;
}

/* --- prefixes ----------------------------------------------------------------------------------------------------- */

static bool is_prefix(struct x86_insn *i, uint8_t b)
{
	bool is_64 = i->bits == 64;

	switch (b) {
	case 0xf0: i->lock = true; return true;
	case 0xf2:
	case 0xf3: i->rep = b; return true;
	case 0x66: i->p66 = true; return true;
	case 0x67: i->p67 = true; return true;
	case 0x64: i->segment = FS; return true;
	case 0x65: i->segment = GS; return true;
	case 0x26: i->segment = is_64 ? i->segment : ES; return true;
	case 0x2e: i->segment = is_64 ? i->segment : CS; return true;
	case 0x36: i->segment = is_64 ? i->segment : SS; return true;
	case 0x3e: i->segment = is_64 ? i->segment : DS; return true;
	default: return false;
	}
}

static void vex(struct work *w, uint8_t b)
{
	struct x86_insn *i = w->i;
	uint8_t p1 = byte_at(w), p2 = p1;

	i->form = X86_VEX;
	i->rex = (~p1 >> 5) & 4;
	i->map = X86_MAP_0F;
	if (b == 0xc4) {
		p2 = byte_at(w);
		i->rex = ((~p1 >> 5) & 7) | ((p2 >> 4) & 8);
		i->map = (p1 & 31) <= X86_MAP_0F3A ? p1 & 31 : X86_MAP_COUNT;
	}
	i->vvvv = (~p2 >> 3) & 15;
	i->vl = (p2 >> 2) & 1;
	i->pp = p2 & 3;
	if (i->bits != 64) { /* eight registers there */
		i->rex &= 8;
		i->vvvv &= 7;
	}
}

static void evex(struct work *w)
{
	struct x86_insn *i = w->i;
	uint8_t p1 = byte_at(w), p2 = byte_at(w), p3 = byte_at(w);

	i->form = X86_EVEX;
	i->rex = ((~p1 >> 5) & 7) | ((p2 >> 4) & 8);
	i->map = (p1 & 15) <= X86_MAP_0F3A && (p2 & 4) ? p1 & 7 : X86_MAP_COUNT;
	i->evex_rr = !(p1 & 0x10);
	i->vvvv = (~p2 >> 3) & 15;
	i->pp = p2 & 3;
	i->vl = (p3 >> 5) & 3;
	i->evex_bcst = p3 & 0x10;
	i->evex_vv = !(p3 & 8);
	if (i->bits != 64) {
		i->rex &= 8;
		i->vvvv &= 7;
	}
}

static void opcode(struct work *w)
{
	struct x86_insn *i = w->i;
	bool is_64 = i->bits == 64;
	uint8_t b = byte_at(w), next;

	while (!w->is_short) {
		if (is_prefix(i, b))
			i->rex = 0; /* it counts only right before the opcode */
		else if (is_64 && (b & 0xf0) == 0x40)
			i->rex = b;
		else
			break;
		b = byte_at(w);
	}
	i->at_escape = (uint8_t)(w->at - 1 - (i->rex != 0));
	next = w->at < w->n ? w->code[w->at] : 0;
	if ((b == 0xc4 || b == 0xc5) && (is_64 || (next & 0xc0) == 0xc0)) {
		i->at_escape = (uint8_t)(w->at - 1);
		vex(w, b);
		b = byte_at(w);
	} else if (b == 0x62 && (is_64 || (next & 0xc0) == 0xc0)) {
		i->at_escape = (uint8_t)(w->at - 1);
		evex(w);
		b = byte_at(w);
	} else if (b == 0x0f) {
		b = byte_at(w);
		i->map = X86_MAP_0F;
		if (b == 0x38 || b == 0x3a) {
			i->map = b == 0x38 ? X86_MAP_0F38 : X86_MAP_0F3A;
			b = byte_at(w);
		}
	}
	i->opcode = b;
	i->at_opcode = (uint8_t)(w->at - 1);
}

/* --- ModRM -------------------------------------------------------------------------------------------------------- */

static bool has_modrm(const struct x86_insn *i)
{
	/* bit n of word w: opcode 32 * w + n */
	static const uint32_t map1[8] = { 0x0f0f0f0f, 0x0f0f0f0f, 0x00000000, 0x00000a0c,
					  0x0000ffff, 0x00000000, 0xff0f00f3, 0xc0c00000 };

	if (i->map > X86_MAP_0F || i->form != X86_LEGACY)
		return !(i->form == X86_VEX && i->map == X86_MAP_0F && i->opcode == 0x77);
	if (i->map == X86_MAP_1)
		return map1[i->opcode >> 5] >> (i->opcode & 31) & 1;
	switch (i->opcode) {
	case 0x00 ... 0x03:
	case 0x0d:
	case 0x0f ... 0x23:
	case 0x28 ... 0x2f:
	case 0x40 ... 0x76:
	case 0x78 ... 0x7f:
	case 0x90 ... 0x9f:
	case 0xa3 ... 0xa5:
	case 0xab ... 0xaf:
	case 0xb0 ... 0xc7:
	case 0xd0 ... 0xff: return true;
	default: return false;
	}
}

/* memory_16() - base, index and displacement of 16-bit addressing. */
static void memory_16(struct work *w)
{
	static const int8_t base[] = { RBX, RBX, RBP, RBP, RSI, RDI, RBP, RBX };
	static const int8_t index[] = { RSI, RDI, RSI, RDI, X86_NONE, X86_NONE, X86_NONE, X86_NONE };
	struct x86_insn *i = w->i;
	unsigned rm = i->modrm & 7;

	i->base = base[rm];
	i->index = index[rm];
	i->disp_len = i->mod == 1 ? 1 : i->mod == 2 ? 2 : 0;
	if (i->mod == 0 && rm == 6) {
		i->base = X86_NONE;
		i->disp_len = 2;
	}
}

static void memory(struct work *w)
{
	struct x86_insn *i = w->i;
	unsigned rm = i->modrm & 7, sib;

	i->base = (int8_t)(rm | (i->rex & 1) << 3);
	i->disp_len = i->mod == 1 ? 1 : i->mod == 2 ? 4 : 0;
	if (rm == 4) {
		i->at_sib = (uint8_t)w->at;
		sib = byte_at(w);
		i->scale = (uint8_t)(1 << (sib >> 6));
		i->index = (int8_t)(((sib >> 3) & 7) | (i->rex & 2) << 2);
		if (i->index == RSP)
			i->index = X86_NONE;
		i->base = (int8_t)((sib & 7) | (i->rex & 1) << 3);
		if ((sib & 7) == 5 && i->mod == 0) {
			i->base = X86_NONE;
			i->disp_len = 4;
		}
	} else if (rm == 5 && i->mod == 0) {
		i->base = X86_NONE;
		i->rip_relative = i->bits == 64;
		i->disp_len = 4;
	}
}

static void modrm(struct work *w)
{
	struct x86_insn *i = w->i;

	i->has_modrm = true;
	i->at_modrm = (uint8_t)w->at;
	i->modrm = byte_at(w);
	i->mod = i->modrm >> 6;
	i->reg = ((i->modrm >> 3) & 7) | (i->rex & 4) << 1;
	i->rm = (i->modrm & 7) | (i->rex & 1) << 3;
	/* control and debug registers have no memory form, whatever mod says */
	i->is_mem =
		i->mod != 3 && !(i->form == X86_LEGACY && i->map == X86_MAP_0F && (i->opcode & 0xfc) == 0x20);
	if (!i->is_mem)
		return;
	i->scale = 1;
	if (i->addr_size == 2)
		memory_16(w);
	else
		memory(w);
	if (i->disp_len) {
		i->at_disp = (uint8_t)w->at;
		i->disp = sign_extend(bytes_at(w, i->disp_len), i->disp_len);
	}
}

/* --- meaning ------------------------------------------------------------------------------------------------------ */

static void sizes(struct x86_insn *i)
{
	bool w = i->rex & 8;

	i->addr_size = i->bits == 64 ? (i->p67 ? 4 : 8) : (i->bits == 32) != i->p67 ? 4 : 2;
	i->op_size = i->bits == 64 ? (w ? 8 : i->p66 ? 2 : 4) : (i->bits == 32) != i->p66 ? 4 : 2;
}

/* always_64() - stack and near branches in 64-bit code: no 32-bit form. */
static void always_64(struct x86_insn *i)
{
	if (i->bits == 64)
		i->op_size = i->p66 && !(i->rex & 8) ? 2 : 8;
}

static void near_64(struct x86_insn *i) /* branches: 66 is ignored there */
{
	if (i->bits == 64)
		i->op_size = 8;
}

/* w_bytes() - a general register by REX.W, VEX.W or EVEX.W: it counts in 64-bit code alone. */
static unsigned w_bytes(const struct x86_insn *i)
{
	return i->bits == 64 && i->rex & 8 ? 8 : 4;
}

static uint8_t gpr(const struct x86_insn *i)
{
	return i->op_size == 1 ? X86_OP_GPR8 : X86_OP_GPR;
}

/* reg_rm(), rm_only() - plain operands of the instruction's size. */
static void rm_only(struct x86_insn *i, uint8_t use)
{
	i->rm_is = gpr(i);
	i->rm_use = use;
	i->mem_size = i->op_size;
}

static void reg_rm(struct x86_insn *i, uint8_t reg_use, uint8_t rm_use)
{
	i->reg_is = gpr(i);
	i->reg_use = reg_use;
	rm_only(i, rm_use);
}

static void implicit(struct x86_insn *i, unsigned read, unsigned written)
{
	i->implicit_read |= (uint16_t)read;
	i->implicit_written |= (uint16_t)written;
}

#define BIT(r) (1U << (r))
#define R      X86_READ
#define W      X86_WRITTEN
#define RW     (X86_READ | X86_WRITTEN)

static void opcode_register(struct x86_insn *i, unsigned use)
{
	i->opcode_reg = (i->opcode & 7) | (i->rex & 1) << 3;
	implicit(i, use & R ? BIT(i->opcode_reg) : 0, use & W ? BIT(i->opcode_reg) : 0);
}

/* alu() - 00-3f: ADD OR ADC SBB AND SUB XOR CMP in their six forms. */
static void alu(struct work *w)
{
	struct x86_insn *i = w->i;
	bool cmp = (i->opcode & 0x38) == 0x38;

	i->class = X86_PLAIN;
	if (!(i->opcode & 1))
		i->op_size = 1;
	w->lockable = !cmp && !(i->opcode & 6);
	switch (i->opcode & 7) {
	case 0:
	case 1: reg_rm(i, R, cmp ? R : RW); break;
	case 2:
	case 3: reg_rm(i, cmp ? R : RW, R); break;
	default: implicit(i, BIT(RAX), cmp ? 0 : BIT(RAX)); w->imm = i->op_size == 1 ? IMM_8 : IMM_Z;
	}
}

static void push_pop_segment(struct x86_insn *i)
{
	always_64(i);
	i->class = X86_SYSTEM;
	implicit(i, BIT(RSP), BIT(RSP));
}

static void string(struct x86_insn *i, unsigned read, unsigned written)
{
	i->class = X86_STRING;
	if (!(i->opcode & 1))
		i->op_size = 1;
	if (i->rep) {
		read |= BIT(RCX);
		written |= BIT(RCX);
	}
	implicit(i, read, written);
}

static void group3(struct work *w)
{
	struct x86_insn *i = w->i;

	i->class = X86_PLAIN;
	if (!(i->opcode & 1))
		i->op_size = 1;
	switch ((i->modrm >> 3) & 7) {
	case 0:
	case 1:
		rm_only(i, R);
		w->imm = i->op_size == 1 ? IMM_8 : IMM_Z;
		break;
	case 2:
	case 3:
		rm_only(i, RW);
		w->lockable = true;
		break;
	default:
		rm_only(i, R);
		implicit(i, i->op_size == 1 ? BIT(RAX) : BIT(RAX) | BIT(RDX),
			 i->op_size == 1 ? BIT(RAX) : BIT(RAX) | BIT(RDX));
	}
}

static void group5(struct work *w)
{
	struct x86_insn *i = w->i;

	switch ((i->modrm >> 3) & 7) {
	case 0:
	case 1:
		i->class = X86_PLAIN;
		rm_only(i, RW);
		w->lockable = true;
		break;
	case 2:
		near_64(i);
		i->class = X86_CALL_IND;
		rm_only(i, R);
		implicit(i, BIT(RSP), BIT(RSP));
		break;
	case 4:
		near_64(i);
		i->class = X86_JMP_IND;
		rm_only(i, R);
		break;
	case 3:
	case 5:
		i->class = i->is_mem ? X86_FAR : X86_INVALID;
		i->rm_is = X86_OP_GPR;
		i->rm_use = R;
		i->mem_size = i->op_size + 2;
		break;
	case 6:
		always_64(i);
		i->class = X86_STACK;
		rm_only(i, R);
		implicit(i, BIT(RSP), BIT(RSP));
		break;
	default: i->class = X86_INVALID;
	}
}

/* x87() - what its memory forms read and write; register forms touch no general register but FNSTSW AX. */
static void x87(struct x86_insn *i)
{
	/* bytes, by opcode and ModRM.reg; 0: an environment or a whole state */
	static const uint8_t size[8][8] = {
		{ 4, 4, 4, 4, 4, 4, 4, 4 },   { 4, 4, 4, 4, 0, 2, 0, 2 },   { 4, 4, 4, 4, 4, 4, 4, 4 },
		{ 4, 4, 4, 4, 4, 10, 4, 10 }, { 8, 8, 8, 8, 8, 8, 8, 8 },   { 8, 8, 8, 8, 0, 8, 0, 2 },
		{ 2, 2, 2, 2, 2, 2, 2, 2 },   { 2, 2, 2, 2, 10, 8, 10, 8 },
	};
	/* bit n: /n stores */
	static const uint8_t store[8] = { 0, 0xcc, 0, 0x8e, 0, 0xce, 0, 0xce };
	unsigned reg = (i->modrm >> 3) & 7, row = i->opcode & 7;

	i->class = X86_VECTOR;
	i->rm_is = X86_OP_X87;
	if (i->is_mem) {
		i->mem_size = size[row][reg];
		i->rm_use = store[row] >> reg & 1 ? W : R;
		if (i->mem_size == 0)
			i->class = X86_XSAVE;
	} else if (i->opcode == 0xdf && i->modrm == 0xe0) {
		implicit(i, 0, BIT(RAX));
	}
}

/* From here on a line for each opcode, or group of them. */
/* clang-format off */

static void map_1(struct work *w)
{
	struct x86_insn *i = w->i;
	bool is_64 = i->bits == 64;
	unsigned reg = (i->modrm >> 3) & 7;

	switch (i->opcode) {
	case 0x06: case 0x07: case 0x0e: case 0x16: case 0x17: case 0x1e: case 0x1f:
		push_pop_segment(i);
		if (is_64)
			i->class = X86_INVALID;
		break;
	case 0x27: case 0x2f: case 0x37: case 0x3f:
		i->class = is_64 ? X86_INVALID : X86_PLAIN;
		implicit(i, BIT(RAX), BIT(RAX));
		break;
	case 0x00 ... 0x05: case 0x08 ... 0x0d: case 0x10 ... 0x15: case 0x18 ... 0x1d:
	case 0x20 ... 0x25: case 0x28 ... 0x2d: case 0x30 ... 0x35: case 0x38 ... 0x3d: alu(w); break;
	case 0x40 ... 0x4f: i->class = X86_PLAIN; opcode_register(i, RW); break;
	case 0x50 ... 0x57: always_64(i); i->class = X86_STACK; opcode_register(i, R); implicit(i, BIT(RSP), BIT(RSP)); break;
	case 0x58 ... 0x5f: always_64(i); i->class = X86_STACK; opcode_register(i, W); implicit(i, BIT(RSP), BIT(RSP)); break;
	case 0x60: i->class = is_64 ? X86_INVALID : X86_STACK; implicit(i, 0xff, BIT(RSP)); break;
	case 0x61: i->class = is_64 ? X86_INVALID : X86_STACK; implicit(i, BIT(RSP), 0xff); break;
	case 0x62: /* BOUND */
		i->class = is_64 || !i->is_mem ? X86_INVALID : X86_SYSTEM;
		reg_rm(i, R, R);
		i->mem_size = 2 * i->op_size;
		break;
	case 0x63:
		i->class = X86_PLAIN;
		if (is_64) { /* MOVSXD */
			reg_rm(i, W, R);
			i->mem_size = i->op_size == 2 ? 2 : 4;
		} else { /* ARPL */
			i->class = X86_SYSTEM;
			i->op_size = 2;
			reg_rm(i, R, RW);
		}
		break;
	case 0x68: always_64(i); i->class = X86_STACK; w->imm = IMM_Z; implicit(i, BIT(RSP), BIT(RSP)); break;
	case 0x6a: always_64(i); i->class = X86_STACK; w->imm = IMM_8; implicit(i, BIT(RSP), BIT(RSP)); break;
	case 0x69: i->class = X86_PLAIN; reg_rm(i, W, R); w->imm = IMM_Z; break;
	case 0x6b: i->class = X86_PLAIN; reg_rm(i, W, R); w->imm = IMM_8; break;
	case 0x6c: case 0x6d: string(i, BIT(RDI) | BIT(RDX), BIT(RDI)); i->class = X86_IO; break;
	case 0x6e: case 0x6f: string(i, BIT(RSI) | BIT(RDX), BIT(RSI)); i->class = X86_IO; break;
	case 0x70 ... 0x7f: near_64(i); i->class = X86_JCC; i->cc = i->opcode & 15; w->imm = IMM_8; break;
	case 0x80: case 0x82: case 0x81: case 0x83:
		i->class = is_64 && i->opcode == 0x82 ? X86_INVALID : X86_PLAIN;
		if (!(i->opcode & 1))
			i->op_size = 1;
		rm_only(i, reg == 7 ? R : RW);
		w->lockable = reg != 7;
		w->imm = i->opcode == 0x81 ? IMM_Z : IMM_8;
		break;
	case 0x84: case 0x85: i->class = X86_PLAIN; i->op_size = i->opcode & 1 ? i->op_size : 1; reg_rm(i, R, R); break;
	case 0x86: case 0x87: i->class = X86_PLAIN; i->op_size = i->opcode & 1 ? i->op_size : 1; reg_rm(i, RW, RW); w->lockable = true; break;
	case 0x88: case 0x89: i->class = X86_PLAIN; i->op_size = i->opcode & 1 ? i->op_size : 1; reg_rm(i, R, W); break;
	case 0x8a: case 0x8b: i->class = X86_PLAIN; i->op_size = i->opcode & 1 ? i->op_size : 1; reg_rm(i, W, R); break;
	case 0x8c: i->class = reg < 6 ? X86_SYSTEM : X86_INVALID; i->reg_is = X86_OP_SEGMENT; i->reg_use = R; i->rm_is = X86_OP_GPR; i->rm_use = W; i->mem_size = 2; break;
	case 0x8e: i->class = reg < 6 && reg != CS ? X86_SYSTEM : X86_INVALID; i->reg_is = X86_OP_SEGMENT; i->reg_use = W; i->rm_is = X86_OP_GPR; i->rm_use = R; i->mem_size = 2; break;
	case 0x8d: i->class = i->is_mem ? X86_LEA : X86_INVALID; i->reg_is = X86_OP_GPR; i->reg_use = W; break;
	case 0x8f:
		always_64(i);
		i->class = reg == 0 ? X86_STACK : X86_INVALID; /* others: XOP, which nobody has any more */
		rm_only(i, W);
		implicit(i, BIT(RSP), BIT(RSP));
		break;
	case 0x90:
		if (i->rep == 0xf3 || !(i->rex & 1)) {
			i->class = X86_NOP;
			break;
		}
		__attribute__((fallthrough));
	case 0x91 ... 0x97: i->class = X86_PLAIN; opcode_register(i, RW); implicit(i, BIT(RAX), BIT(RAX)); break;
	case 0x98: i->class = X86_PLAIN; implicit(i, BIT(RAX), BIT(RAX)); break;
	case 0x99: i->class = X86_PLAIN; implicit(i, BIT(RAX), BIT(RDX)); break;
	case 0x9a: case 0xea: i->class = is_64 ? X86_INVALID : X86_FAR; w->imm = IMM_FAR; break;
	case 0x9b: i->class = X86_VECTOR; break;
	case 0x9c: always_64(i); i->class = X86_PUSHF; implicit(i, BIT(RSP), BIT(RSP)); break;
	case 0x9d: always_64(i); i->class = X86_POPF; implicit(i, BIT(RSP), BIT(RSP)); break;
	case 0x9e: i->class = X86_PLAIN; implicit(i, BIT(RAX), 0); break;
	case 0x9f: i->class = X86_PLAIN; implicit(i, 0, BIT(RAX)); break;
	case 0xa0 ... 0xa3:
		i->class = X86_PLAIN;
		i->op_size = i->opcode & 1 ? i->op_size : 1;
		i->moffs = i->is_mem = true;
		i->mem_size = i->op_size;
		i->rm_use = i->opcode < 0xa2 ? R : W;
		implicit(i, i->opcode < 0xa2 ? 0 : BIT(RAX), i->opcode < 0xa2 ? BIT(RAX) : 0);
		i->at_disp = (uint8_t)w->at;
		i->disp_len = i->addr_size;
		i->disp = (int64_t)bytes_at(w, i->addr_size);
		break;
	case 0xa4 ... 0xa7: string(i, BIT(RSI) | BIT(RDI), BIT(RSI) | BIT(RDI)); break;
	case 0xa8: i->class = X86_PLAIN; i->op_size = 1; implicit(i, BIT(RAX), 0); w->imm = IMM_8; break;
	case 0xa9: i->class = X86_PLAIN; implicit(i, BIT(RAX), 0); w->imm = IMM_Z; break;
	case 0xaa: case 0xab: string(i, BIT(RAX) | BIT(RDI), BIT(RDI)); break;
	case 0xac: case 0xad: string(i, BIT(RSI), BIT(RSI) | BIT(RAX)); break;
	case 0xae: case 0xaf: string(i, BIT(RAX) | BIT(RDI), BIT(RDI)); break;
	case 0xb0 ... 0xb7:
		i->class = X86_PLAIN;
		i->op_size = 1;
		i->opcode_reg = (i->opcode & 7) | (i->rex & 1) << 3;
		implicit(i, 0, BIT(!i->rex && i->opcode_reg > 3 ? i->opcode_reg - 4 : i->opcode_reg)); /* AH..BH */
		w->imm = IMM_8;
		break;
	case 0xb8 ... 0xbf: i->class = X86_PLAIN; opcode_register(i, W); w->imm = IMM_V; break;
	case 0xc0: case 0xc1: i->class = X86_PLAIN; i->op_size = i->opcode & 1 ? i->op_size : 1; rm_only(i, RW); w->imm = IMM_U8; break;
	case 0xc2: near_64(i); i->class = X86_RET; w->imm = IMM_16; implicit(i, BIT(RSP), BIT(RSP)); break;
	case 0xc3: near_64(i); i->class = X86_RET; implicit(i, BIT(RSP), BIT(RSP)); break;
	case 0xc4: case 0xc5: /* LES, LDS */
		i->class = i->is_mem ? X86_SYSTEM : X86_INVALID;
		reg_rm(i, W, R);
		i->mem_size = i->op_size + 2;
		break;
	case 0xc6: case 0xc7:
		i->class = reg == 0 ? X86_PLAIN : X86_INVALID; /* /7: XABORT, XBEGIN: hidden */
		i->op_size = i->opcode & 1 ? i->op_size : 1;
		rm_only(i, W);
		w->imm = i->op_size == 1 ? IMM_8 : IMM_Z;
		break;
	case 0xc8: always_64(i); i->class = X86_STACK; w->imm = IMM_ENTER; implicit(i, BIT(RSP) | BIT(RBP), BIT(RSP) | BIT(RBP)); break;
	case 0xc9: always_64(i); i->class = X86_STACK; implicit(i, BIT(RBP), BIT(RSP) | BIT(RBP)); break;
	case 0xca: i->class = X86_FAR; w->imm = IMM_16; implicit(i, BIT(RSP), BIT(RSP)); break;
	case 0xcb: i->class = X86_FAR; implicit(i, BIT(RSP), BIT(RSP)); break;
	case 0xcc: case 0xf1: i->class = X86_INT; break;
	case 0xcd: i->class = X86_INT; w->imm = IMM_U8; break;
	case 0xce: i->class = is_64 ? X86_INVALID : X86_INT; break;
	case 0xcf: i->class = X86_IRET; implicit(i, BIT(RSP), BIT(RSP)); break;
	case 0xd0: case 0xd1: i->class = X86_PLAIN; i->op_size = i->opcode & 1 ? i->op_size : 1; rm_only(i, RW); break;
	case 0xd2: case 0xd3: i->class = X86_PLAIN; i->op_size = i->opcode & 1 ? i->op_size : 1; rm_only(i, RW); implicit(i, BIT(RCX), 0); break;
	case 0xd4: case 0xd5: i->class = is_64 ? X86_INVALID : X86_PLAIN; w->imm = IMM_U8; implicit(i, BIT(RAX), BIT(RAX)); break;
	case 0xd7: i->class = X86_SYSTEM; i->op_size = 1; implicit(i, BIT(RAX) | BIT(RBX), BIT(RAX)); break; /* XLAT: its operand is implicit */
	case 0xd8 ... 0xdf: x87(i); break;
	case 0xe0 ... 0xe2: near_64(i); i->class = X86_LOOP; w->imm = IMM_8; implicit(i, BIT(RCX), BIT(RCX)); break;
	case 0xe3: near_64(i); i->class = X86_LOOP; w->imm = IMM_8; implicit(i, BIT(RCX), 0); break;
	case 0xe4: case 0xe5: i->class = X86_IO; i->op_size = i->opcode & 1 ? (i->op_size == 8 ? 4 : i->op_size) : 1; w->imm = IMM_U8; implicit(i, 0, BIT(RAX)); break;
	case 0xe6: case 0xe7: i->class = X86_IO; i->op_size = i->opcode & 1 ? (i->op_size == 8 ? 4 : i->op_size) : 1; w->imm = IMM_U8; implicit(i, BIT(RAX), 0); break;
	case 0xec: case 0xed: i->class = X86_IO; i->op_size = i->opcode & 1 ? (i->op_size == 8 ? 4 : i->op_size) : 1; implicit(i, BIT(RDX), BIT(RAX)); break;
	case 0xee: case 0xef: i->class = X86_IO; i->op_size = i->opcode & 1 ? (i->op_size == 8 ? 4 : i->op_size) : 1; implicit(i, BIT(RDX) | BIT(RAX), 0); break;
	case 0xe8: near_64(i); i->class = X86_CALL; w->imm = IMM_Z; implicit(i, BIT(RSP), BIT(RSP)); break;
	case 0xe9: near_64(i); i->class = X86_JMP; w->imm = IMM_Z; break;
	case 0xeb: near_64(i); i->class = X86_JMP; w->imm = IMM_8; break;
	case 0xf4: i->class = X86_HLT; break;
	case 0xf5: case 0xf8: case 0xf9: case 0xfc: case 0xfd: i->class = X86_PLAIN; break;
	case 0xf6: case 0xf7: group3(w); break;
	case 0xfa: i->class = X86_CLI; break;
	case 0xfb: i->class = X86_STI; break;
	case 0xfe:
		i->class = reg < 2 ? X86_PLAIN : X86_INVALID;
		i->op_size = 1;
		rm_only(i, RW);
		w->lockable = true;
		break;
	case 0xff: group5(w); break;
	default: i->class = X86_INVALID;
	}
}

/* vector() - an SSE or AVX operand pair; @bytes of memory, 0: the whole vector. */
static void vector(struct x86_insn *i, uint8_t reg_use, uint8_t rm_use, unsigned bytes)
{
	i->class = X86_VECTOR;
	i->reg_is = i->rm_is = i->vvvv_is = X86_OP_VECTOR;
	i->reg_use = reg_use;
	i->rm_use = rm_use;
	i->vvvv_use = R;
	i->mem_size = (uint8_t)(bytes ? bytes : 16U << i->vl);
}

/* prefix_of() - the mandatory prefix: 0, 1 (66), 2 (f3), 3 (f2), however it was written. */
static unsigned prefix_of(const struct x86_insn *i)
{
	if (i->form != X86_LEGACY)
		return i->pp;
	return i->rep == 0xf3 ? 2 : i->rep == 0xf2 ? 3 : i->p66 ? 1 : 0;
}

static unsigned scalar_bytes(unsigned pp)
{
	return pp == 2 ? 4 : pp == 3 ? 8 : 0;
}

/* vector_0f() - opcodes of the 0F map that are vector ones in some form. Return: false for the others. */
static bool vector_0f(struct work *w)
{
	struct x86_insn *i = w->i;
	unsigned pp = prefix_of(i), wide = w_bytes(i), mmx = i->form == X86_LEGACY && pp == 0 ? 8 : 0;

	switch (i->opcode) {
	case 0x10: vector(i, W, R, scalar_bytes(pp)); break;
	case 0x11: vector(i, R, W, scalar_bytes(pp)); break;
	case 0x12: case 0x16: vector(i, W, R, pp > 1 && !(pp == 3 && i->vl == 0) ? 0 : 8); break;
	case 0x13: case 0x17: vector(i, R, W, 8); break;
	case 0x14: case 0x15: case 0x28: vector(i, W, R, 0); break;
	case 0x29: case 0x2b: vector(i, R, W, pp > 1 ? scalar_bytes(pp) : 0); break;
	case 0x2a: vector(i, W, R, pp > 1 ? wide : 8); i->rm_is = pp > 1 ? X86_OP_GPR : X86_OP_VECTOR; i->op_size = wide; break;
	case 0x2c: case 0x2d: vector(i, W, R, pp > 1 ? scalar_bytes(pp) : pp == 1 ? 16 : 8); i->reg_is = pp > 1 ? X86_OP_GPR : X86_OP_VECTOR; i->op_size = wide; break;
	case 0x2e: case 0x2f: vector(i, R, R, pp == 1 ? 8 : 4); break;
	case 0x50: vector(i, W, R, 0); i->reg_is = X86_OP_GPR; i->op_size = 4; break;
	case 0x51 ... 0x59: case 0x5c ... 0x5f: vector(i, W, R, scalar_bytes(pp)); break;
	case 0x5a: vector(i, W, R, pp > 1 ? scalar_bytes(pp) : pp == 0 ? 8U << i->vl : 0); break;
	case 0x5b: vector(i, W, R, 0); break;
	case 0x60 ... 0x62: vector(i, W, R, mmx / 2); break;
	case 0x63 ... 0x6d: vector(i, W, R, mmx); break;
	case 0x6e: vector(i, W, R, wide); i->rm_is = X86_OP_GPR; i->op_size = wide; break;
	case 0x6f: vector(i, W, R, mmx); break;
	case 0x70: vector(i, W, R, mmx); w->imm = IMM_U8; break;
	case 0x71 ... 0x73: vector(i, 0, i->is_mem ? R : RW, mmx); i->reg_is = X86_OP_NONE; i->vvvv_use = W; w->imm = IMM_U8; break;
	case 0x74 ... 0x76: vector(i, W, R, mmx); break;
	case 0x77: i->class = X86_VECTOR; break;
	case 0x7c: case 0x7d: vector(i, W, R, 0); break;
	case 0x7e:
		if (pp == 2) {
			vector(i, W, R, 8);
		} else {
			vector(i, R, W, wide);
			i->rm_is = X86_OP_GPR;
			i->op_size = wide;
		}
		break;
	case 0x7f: vector(i, R, W, mmx); break;
	case 0xc2: vector(i, W, R, scalar_bytes(pp)); w->imm = IMM_U8; break;
	case 0xc4: vector(i, RW, R, 2); i->rm_is = X86_OP_GPR; i->op_size = 4; w->imm = IMM_U8; break;
	case 0xc5: vector(i, W, R, 0); i->reg_is = X86_OP_GPR; i->op_size = 4; w->imm = IMM_U8; break;
	case 0xc6: vector(i, W, R, 0); w->imm = IMM_U8; break;
	case 0xd0: vector(i, W, R, 0); break;
	case 0xd6: vector(i, R, W, 8); break;
	case 0xd7: vector(i, W, R, mmx); i->reg_is = X86_OP_GPR; i->op_size = 4; break;
	case 0xe6: vector(i, W, R, pp == 2 && !(i->form == X86_EVEX && i->rex & 8) ? 8U << i->vl : 0); break;
	case 0xe7: vector(i, R, W, mmx); break;
	case 0xf0: vector(i, W, R, 0); break;
	case 0xf7: vector(i, R, R, mmx); i->class = X86_SYSTEM; implicit(i, BIT(RDI), 0); break; /* MASKMOV: its operand is implicit */
	case 0xd1 ... 0xd3: case 0xe1: case 0xe2: case 0xf1 ... 0xf3: vector(i, W, R, mmx ? mmx : 16); break; /* shifts by one number */
	case 0xd4: case 0xd5: case 0xd8 ... 0xe0: case 0xe3 ... 0xe5: case 0xe8 ... 0xef: case 0xf4 ... 0xf6: case 0xf8 ... 0xfe: vector(i, W, R, mmx); break;
	default: return false;
	}
	return true;
}

/* group15() - 0f ae */
static void group15(struct work *w)
{
	struct x86_insn *i = w->i;
	unsigned reg = (i->modrm >> 3) & 7;

	if (!i->is_mem) {
		if (i->rep == 0xf3 && reg < 4) {
			i->class = X86_FSGSBASE;
			rm_only(i, reg < 2 ? W : R);
		} else {
			i->class = reg >= 5 && !i->rep && !i->p66 ? X86_PLAIN : X86_INVALID; /* fences */
		}
		return;
	}
	i->rm_use = reg == 1 || reg == 2 || reg == 5 ? R : W;
	switch (reg) {
	case 2:
	case 3:
		i->class = X86_XSAVE;
		i->mem_size = 4;
		break;
	case 6:
		i->class = i->p66 ? X86_PLAIN : X86_XSAVE; /* CLWB */
		break;
	case 7: i->class = X86_PLAIN; break; /* CLFLUSH, CLFLUSHOPT */
	default: i->class = X86_XSAVE;
	}
	if (i->class == X86_PLAIN) {
		i->mem_size = 1;
		i->rm_use = R;
	}
	if (reg >= 4 && i->class == X86_XSAVE)
		implicit(i, BIT(RAX) | BIT(RDX), 0);
}

/* group7() - 0f 01 */
static void group7(struct work *w)
{
	struct x86_insn *i = w->i;
	unsigned reg = (i->modrm >> 3) & 7;

	i->class = X86_SYSTEM;
	if (i->is_mem || reg == 4 || reg == 6) { /* SGDT SIDT LGDT LIDT, SMSW, LMSW, INVLPG */
		static const uint8_t use[] = { W, W, R, R, W, 0, R, 0 };

		i->rm_is = X86_OP_GPR;
		i->rm_use = use[reg];
		i->mem_size = reg < 4 ? (i->bits == 64 ? 10 : 6) : reg == 7 ? 0 : 2;
		if (reg == 5)
			i->class = X86_INVALID;
		return;
	}
	switch (i->modrm) {
	case 0xca: i->class = X86_CLAC; break;
	case 0xcb: i->class = X86_STAC; break;
	case 0xe8: i->class = i->rep || i->p66 ? X86_INVALID : X86_SERIALIZE; break;
	case 0xf8: i->class = i->bits == 64 ? X86_SWAPGS : X86_INVALID; break;
	case 0xf9: i->class = X86_RDTSC; implicit(i, 0, BIT(RAX) | BIT(RCX) | BIT(RDX)); break;
	case 0xc1: case 0xd9: implicit(i, 0xff, BIT(RAX)); break;     /* VMCALL, VMMCALL */
	case 0xc8: case 0xc9: implicit(i, 0x7, 0); break;             /* MONITOR, MWAIT */
	case 0xd0: implicit(i, BIT(RCX), BIT(RAX) | BIT(RDX)); break; /* XGETBV */
	case 0xd1: implicit(i, 0x7, 0); break;                        /* XSETBV */
	default: i->class = X86_INVALID;
	}
}

static void group9(struct work *w)
{
	struct x86_insn *i = w->i;
	unsigned reg = (i->modrm >> 3) & 7;

	i->class = X86_INVALID;
	if (i->is_mem && reg == 1) { /* CMPXCHG8B, 16B */
		i->class = X86_PLAIN;
		i->mem_size = i->rex & 8 ? 16 : 8;
		i->rm_use = RW;
		w->lockable = true;
		implicit(i, 0xf, BIT(RAX) | BIT(RDX));
	} else if (i->is_mem && reg >= 3 && reg <= 5) { /* XRSTORS, XSAVEC, XSAVES */
		i->class = X86_XSAVE;
		i->rm_use = reg == 3 ? R : W;
		implicit(i, BIT(RAX) | BIT(RDX), 0);
	} else if (!i->is_mem && reg >= 6) { /* RDRAND, RDSEED; RDPID */
		i->class = i->rep == 0xf3 ? X86_SYSTEM : X86_PLAIN;
		rm_only(i, W);
	}
}

static void map_0f(struct work *w)
{
	struct x86_insn *i = w->i;
	unsigned reg = (i->modrm >> 3) & 7;

	switch (i->opcode) {
	case 0x00:
		i->class = reg < 6 ? X86_SYSTEM : X86_INVALID;
		i->rm_is = X86_OP_GPR;
		i->rm_use = reg < 2 ? W : R;
		i->mem_size = 2;
		break;
	case 0x01: group7(w); break;
	case 0x02: case 0x03: i->class = X86_SYSTEM; reg_rm(i, W, R); i->mem_size = 2; break; /* LAR, LSL */
	case 0x05: i->class = X86_SYSCALL; implicit(i, 0, BIT(RCX) | BIT(11)); break;
	case 0x07: i->class = X86_SYSRET; implicit(i, BIT(RCX) | BIT(11), 0); break;
	case 0x06: case 0x08: case 0x09: i->class = X86_SYSTEM; break; /* CLTS, INVD, WBINVD */
	case 0x0b: i->class = X86_INT; break;
	case 0xb9: case 0xff: i->class = X86_INT; reg_rm(i, R, R); break;
	case 0x0d: case 0x18 ... 0x1f: i->class = X86_NOP; i->rm_is = X86_OP_GPR; break;
	case 0x20: case 0x22: i->class = X86_SYSTEM; i->reg_is = X86_OP_CONTROL; i->rm_is = X86_OP_GPR; i->op_size = i->bits == 64 ? 8 : 4; i->reg_use = i->opcode == 0x20 ? R : W; i->rm_use = i->opcode == 0x20 ? W : R; break;
	case 0x21: case 0x23: i->class = X86_SYSTEM; i->reg_is = X86_OP_DEBUG; i->rm_is = X86_OP_GPR; i->op_size = i->bits == 64 ? 8 : 4; i->reg_use = i->opcode == 0x21 ? R : W; i->rm_use = i->opcode == 0x21 ? W : R; break;
	case 0x30: i->class = X86_SYSTEM; implicit(i, 0x7, 0); break;
	case 0x31: i->class = X86_RDTSC; implicit(i, 0, BIT(RAX) | BIT(RDX)); break;
	case 0x32: case 0x33: i->class = X86_SYSTEM; implicit(i, BIT(RCX), BIT(RAX) | BIT(RDX)); break;
	case 0x34: i->class = X86_SYSENTER; break;
	case 0x35: i->class = X86_SYSEXIT; implicit(i, BIT(RCX) | BIT(RDX), 0); break;
	case 0x40 ... 0x4f: i->class = X86_PLAIN; i->cc = i->opcode & 15; reg_rm(i, RW, R); break;
	case 0x80 ... 0x8f: near_64(i); i->class = X86_JCC; i->cc = i->opcode & 15; w->imm = IMM_Z; break;
	case 0x90 ... 0x9f: i->class = X86_PLAIN; i->cc = i->opcode & 15; i->op_size = 1; rm_only(i, W); break;
	case 0xa0: case 0xa1: case 0xa8: case 0xa9: push_pop_segment(i); break;
	case 0xa2: i->class = X86_CPUID; implicit(i, BIT(RAX) | BIT(RCX), 0xf); break;
	case 0xa3: i->class = X86_PLAIN; reg_rm(i, R, R); break;
	case 0xa4: case 0xac: i->class = X86_PLAIN; reg_rm(i, R, RW); w->imm = IMM_U8; break;
	case 0xa5: case 0xad: i->class = X86_PLAIN; reg_rm(i, R, RW); implicit(i, BIT(RCX), 0); break;
	case 0xab: case 0xb3: case 0xbb: i->class = X86_PLAIN; reg_rm(i, R, RW); w->lockable = true; break;
	case 0xae: group15(w); break;
	case 0xaf: i->class = X86_PLAIN; reg_rm(i, RW, R); break;
	case 0xb0: case 0xb1: i->class = X86_PLAIN; i->op_size = i->opcode & 1 ? i->op_size : 1; reg_rm(i, R, RW); implicit(i, BIT(RAX), BIT(RAX)); w->lockable = true; break;
	case 0xb2: case 0xb4: case 0xb5: i->class = i->is_mem ? X86_SYSTEM : X86_INVALID; reg_rm(i, W, R); i->mem_size = i->op_size + 2; break;
	case 0xb6: case 0xbe: i->class = X86_PLAIN; reg_rm(i, W, R); i->rm_is = X86_OP_GPR8; i->mem_size = 1; break;
	case 0xb7: case 0xbf: i->class = X86_PLAIN; reg_rm(i, W, R); i->mem_size = 2; break;
	case 0xb8: i->class = i->rep == 0xf3 ? X86_PLAIN : X86_INVALID; reg_rm(i, W, R); break;
	case 0xba: i->class = reg >= 4 ? X86_PLAIN : X86_INVALID; rm_only(i, reg == 4 ? R : RW); w->lockable = reg > 4; w->imm = IMM_U8; break;
	case 0xbc: case 0xbd: i->class = X86_PLAIN; reg_rm(i, RW, R); break;
	case 0xc0: case 0xc1: i->class = X86_PLAIN; i->op_size = i->opcode & 1 ? i->op_size : 1; reg_rm(i, RW, RW); w->lockable = true; break;
	case 0xc3: i->class = i->is_mem ? X86_PLAIN : X86_INVALID; i->op_size = (uint8_t)w_bytes(i); reg_rm(i, R, W); break;
	case 0xc7: group9(w); break;
	case 0xc8 ... 0xcf: i->class = X86_PLAIN; opcode_register(i, RW); break;
	default:
		if (!vector_0f(w))
			i->class = X86_INVALID;
	}
}

/* size_0f38() - memory operands that are no whole vector. @narrows: AVX-512's VPMOV to smaller elements. */
static void size_0f38(struct x86_insn *i, unsigned pp, bool narrows)
{
	static const uint8_t part[] = { 2, 4, 8, 2, 4, 2 }; /* by the low bits of the opcode: of words in bytes, and so on */
	bool evex = i->form == X86_EVEX;
	unsigned wide = i->rex & 8 ? 8 : 4;

	if (narrows || (pp == 1 && (i->opcode & 0xe8) == 0x20 && (i->opcode & 7) < 6)) {
		i->mem_size /= part[i->opcode & 7];
		return;
	}
	switch (i->opcode) {
	case 0x30 ... 0x35: i->mem_size /= pp == 1 ? part[i->opcode & 7] : 1; break;
	case 0x18: case 0x58: i->mem_size = 4; break;
	case 0x19: case 0x59: i->mem_size = 8; break;
	case 0x1a: case 0x5a: i->mem_size = 16; break;
	case 0x1b: case 0x5b: i->mem_size = evex ? 32 : i->mem_size; break;
	case 0x78: i->mem_size = 1; break;
	case 0x79: i->mem_size = 2; break;
	case 0x13: i->mem_size /= 2; break;
	case 0xc8 ... 0xcd: /* SHA; AVX-512 has others there */
		if (!evex) {
			i->mem_size = 16;
			break;
		}
		i->mem_size = (uint8_t)(i->opcode == 0xcb || i->opcode == 0xcd ? wide : i->mem_size);
		break;
	case 0x2d: case 0x43: case 0x4d: case 0x4f: i->mem_size = (uint8_t)(evex ? wide : i->mem_size); break;
	case 0x99: case 0x9b: case 0x9d: case 0x9f: case 0xa9: case 0xab: case 0xad: case 0xaf: case 0xb9: case 0xbb: case 0xbd: case 0xbf:
		i->mem_size = (uint8_t)wide;
		break;
	default: break;
	}
}

static void map_0f38(struct work *w)
{
	struct x86_insn *i = w->i;
	unsigned pp = prefix_of(i);
	bool legacy = i->form == X86_LEGACY, mmx = legacy && pp == 0;

	if (legacy && (i->opcode == 0xf0 || i->opcode == 0xf1)) {
		i->class = X86_PLAIN;
		if (pp == 3) { /* CRC32 */
			i->reg_is = X86_OP_GPR;
			i->reg_use = RW;
			i->mem_size = i->opcode == 0xf0 ? 1 : i->op_size;
			i->rm_is = i->opcode == 0xf0 ? X86_OP_GPR8 : X86_OP_GPR;
			i->rm_use = R;
		} else { /* MOVBE */
			reg_rm(i, i->opcode == 0xf0 ? W : R, i->opcode == 0xf0 ? R : W);
			if (!i->is_mem)
				i->class = X86_INVALID;
		}
	} else if (legacy && i->opcode >= 0xf8) { /* MOVDIR64B, ENQCMD, MOVDIRI: hidden */
		i->class = X86_INVALID;
	} else if (legacy && i->opcode == 0xf6) { /* ADCX, ADOX */
		i->class = X86_PLAIN;
		i->op_size = i->rex & 8 ? 8 : 4;
		reg_rm(i, RW, R);
	} else if (legacy && (i->opcode == 0x80 || i->opcode == 0x82)) { /* INVEPT..., INVPCID */
		i->class = X86_SYSTEM;
		i->op_size = i->bits == 64 ? 8 : 4;
		reg_rm(i, R, R);
		i->mem_size = 16;
	} else if (i->form == X86_VEX && i->opcode >= 0xf2 && i->opcode <= 0xf7) { /* BMI */
		i->class = X86_PLAIN;
		i->op_size = (uint8_t)w_bytes(i);
		reg_rm(i, W, R);
		i->vvvv_is = X86_OP_GPR;
		i->vvvv_use = R;
		if (i->opcode == 0xf3) {
			i->reg_is = X86_OP_NONE;
			i->reg_use = 0;
			i->vvvv_use = W;
		} else if (i->opcode == 0xf6) {
			i->vvvv_use = W;
			implicit(i, BIT(RDX), 0);
		}
	} else {
		bool narrows = i->form == X86_EVEX && pp == 2 && (i->opcode & 0xc8) == 0 && (i->opcode & 7) < 6 && i->opcode >= 0x10;
		bool store = (i->form == X86_VEX && (i->opcode == 0x2e || i->opcode == 0x2f || i->opcode == 0x8e)) || narrows ||
			     (i->form == X86_EVEX && (i->opcode == 0x63 || i->opcode == 0x8a || i->opcode == 0x8b ||
						      (i->opcode >= 0xa0 && i->opcode <= 0xa3)));

		vector(i, store ? R : W, store ? W : R, mmx ? 8 : 0);
		i->vsib = !legacy && i->is_mem &&
			  ((i->opcode >= 0x90 && i->opcode <= 0x93) ||
			   (i->form == X86_EVEX && i->opcode >= 0xa0 && i->opcode <= 0xa3));
		if (i->form == X86_EVEX && i->opcode >= 0x7a && i->opcode <= 0x7c && i->opcode != 0x7d)
			i->rm_is = X86_OP_GPR; /* VPBROADCAST from a register */
		size_0f38(i, pp, narrows);
		if (i->form == X86_EVEX && pp == 3 && ((i->opcode & 0xfe) == 0x52 || (i->opcode & 0xce) == 0x8a))
			i->class = X86_INVALID; /* Xeon Phi's, of four registers */
	}
}

static void map_0f3a(struct work *w)
{
	struct x86_insn *i = w->i;
	unsigned pp = prefix_of(i);

	w->imm = IMM_U8;
	if (i->form == X86_VEX && i->opcode == 0xf0) { /* RORX */
		i->class = X86_PLAIN;
		i->op_size = (uint8_t)w_bytes(i);
		reg_rm(i, W, R);
		return;
	}
	vector(i, W, R, i->form == X86_LEGACY && pp == 0 ? 8 : 0);
	if (i->form == X86_EVEX && pp != 1) { /* half precision, as are maps 5 and 6 */
		i->class = X86_INVALID;
		return;
	}
	switch (i->opcode) {
	case 0x14: case 0x15: case 0x16: case 0x17: /* PEXTR */
		i->reg_use = R;
		i->rm_use = W;
		i->rm_is = X86_OP_GPR;
		i->op_size = (uint8_t)w_bytes(i);
		i->mem_size = i->opcode == 0x14 ? 1 : i->opcode == 0x15 ? 2 : i->opcode == 0x17 ? 4 : i->op_size;
		break;
	case 0x20: case 0x22: /* PINSR */
		i->reg_use = RW;
		i->rm_is = X86_OP_GPR;
		i->op_size = (uint8_t)w_bytes(i);
		i->mem_size = i->opcode == 0x20 ? 1 : i->op_size;
		break;
	case 0x0a: case 0x21: i->mem_size = 4; break;
	case 0x0b: i->mem_size = 8; break;
	case 0x18: case 0x38: i->mem_size = 16; break;
	case 0x19: case 0x39: i->reg_use = R; i->rm_use = W; i->mem_size = 16; break;
	case 0x1b: case 0x3b: i->reg_use = R; i->rm_use = W; i->mem_size = 32; break;
	case 0x1d: i->reg_use = R; i->rm_use = W; i->mem_size /= 2; break;
	case 0x1a: case 0x3a: i->mem_size = 32; break;
	case 0x27: case 0x51: case 0x55: case 0x57: case 0x67: /* AVX-512's, of one element */
		i->mem_size = i->form == X86_EVEX ? (i->rex & 8 ? 8 : 4) : i->mem_size;
		break;
	case 0xcc: i->mem_size = 16; break; /* SHA1RNDS4 */
	case 0x60 ... 0x63: /* PCMPxSTRx; M: XMM0 */
		implicit(i, BIT(RAX) | BIT(RDX), BIT(RCX)); break;
	default: break;
	}
}

/* clang-format on */

/* vex_0f() - VEX and EVEX in the 0F map: AVX-512's mask registers, else as SSE. */
static void vex_0f(struct work *w)
{
	struct x86_insn *i = w->i;

	if (i->form == X86_VEX &&
	    ((i->opcode >= 0x41 && i->opcode <= 0x4b) || (i->opcode >= 0x90 && i->opcode <= 0x93) ||
	     i->opcode == 0x98 || i->opcode == 0x99)) {
		i->class = X86_VECTOR;
		i->reg_is = i->rm_is = X86_OP_MASK;
		i->reg_use = i->opcode == 0x91 ? R : W;
		i->rm_use = i->opcode == 0x91 ? W : R;
		i->mem_size = i->rex & 8 ? (i->pp == 1 ? 4 : 8) : i->pp == 1 ? 1 : 2;
		i->op_size = (uint8_t)(i->pp == 3 ? w_bytes(i) : 4);
		if (i->opcode == 0x92)
			i->rm_is = X86_OP_GPR;
		if (i->opcode == 0x93)
			i->reg_is = X86_OP_GPR;
	} else if (i->opcode == 0xae && i->form == X86_VEX) { /* VLDMXCSR, VSTMXCSR */
		group15(w);
	} else if (i->form == X86_EVEX &&
		   (i->opcode >= 0x78 && i->opcode <= 0x7b)) { /* conversions from and to unsigned */
		bool scalar = i->pp > 1 && i->opcode != 0x7a,
		     half = i->opcode == 0x7a ? i->pp == 1 || i->pp == 2 : i->pp == 1;

		vector(i, W, R, scalar ? scalar_bytes(i->pp) : half && !(i->rex & 8) ? 8U << i->vl : 0);
		i->op_size = (uint8_t)w_bytes(i);
		if (scalar && i->opcode < 0x7a)
			i->reg_is = X86_OP_GPR;
		if (scalar && i->opcode == 0x7b) {
			i->rm_is = X86_OP_GPR;
			i->mem_size = i->op_size;
		}
	} else if (!vector_0f(w)) {
		i->class = X86_INVALID;
	}
}

/* vector_memory() - one element of a gather or a broadcast; and AVX-512's short displacements, which count in operands. */
static void vector_memory(struct x86_insn *i)
{
	unsigned element = i->rex & 8 ? 8 : 4, unit;
	bool bytes_words = i->map == X86_MAP_0F38 && (i->opcode == 0x62 || i->opcode == 0x63);
	bool packs = bytes_words || (i->map == X86_MAP_0F38 && i->opcode >= 0x88 && i->opcode <= 0x8b);

	if (i->vsib || (i->form == X86_EVEX && i->evex_bcst))
		i->mem_size = (uint8_t)element;
	if (i->form != X86_EVEX || i->disp_len != 1)
		return;
	unit = bytes_words ? element / 4 : packs ? element : i->mem_size;
	i->disp *= unit;
}

static void meaning(struct work *w)
{
	struct x86_insn *i = w->i;

	if (i->form != X86_LEGACY &&
	    (i->map == X86_MAP_1 || i->map == X86_MAP_COUNT || i->lock || i->rep || i->p66)) {
		i->class = X86_INVALID;
		return;
	}
	switch (i->map) {
	case X86_MAP_1: map_1(w); break;
	case X86_MAP_0F:
		if (i->form == X86_LEGACY)
			map_0f(w);
		else
			vex_0f(w);
		break;
	case X86_MAP_0F38: map_0f38(w); break;
	case X86_MAP_0F3A: map_0f3a(w); break;
	default: i->class = X86_INVALID;
	}
	if (i->lock && !(w->lockable && i->is_mem))
		i->class = X86_INVALID;
	if (i->is_mem && i->class == X86_VECTOR)
		vector_memory(i);
}

static void immediate(struct work *w)
{
	struct x86_insn *i = w->i;
	unsigned z = i->op_size == 2 ? 2 : 4;

	if (w->imm == IMM_NONE)
		return;
	i->at_imm = (uint8_t)w->at;
	if ((i->class == X86_CALL || i->class == X86_JMP || i->class == X86_JCC) && i->bits != 64)
		z = (i->bits == 32) != i->p66 ? 4 : 2;
	switch (w->imm) {
	case IMM_8:
	case IMM_U8: i->imm_len = 1; break;
	case IMM_16: i->imm_len = 2; break;
	case IMM_Z: i->imm_len = (uint8_t)z; break;
	case IMM_V: i->imm_len = i->op_size; break;
	case IMM_FAR: i->imm_len = (uint8_t)(z + 2); break;
	case IMM_ENTER: i->imm_len = 3; break;
	case IMM_NONE: break;
	}
	if (w->imm == IMM_FAR || w->imm == IMM_ENTER) {
		i->imm = bytes_at(w, w->imm == IMM_FAR ? z : 2);
		i->imm2 = (uint16_t)bytes_at(w, w->imm == IMM_FAR ? 2 : 1);
		return;
	}
	i->imm = bytes_at(w, i->imm_len);
	if (w->imm == IMM_8 || w->imm == IMM_Z)
		i->imm = (uint64_t)sign_extend(i->imm, i->imm_len);
}

int x86_decode(struct x86_insn *ret_insn, const uint8_t *code, size_t n, unsigned bits)
{
	struct work w = { .i = ret_insn, .code = code, .n = n < X86_INSN_MAX ? n : X86_INSN_MAX };
	struct x86_insn *i = ret_insn;

	*i = (struct x86_insn){
		.bits = (uint8_t)bits, .segment = X86_NONE, .base = X86_NONE, .index = X86_NONE
	};
	opcode(&w);
	sizes(i);
	if (has_modrm(i))
		modrm(&w);
	if (!w.is_short)
		meaning(&w);
	if (!w.is_short)
		immediate(&w);
	if (w.is_short)
		return n >= X86_INSN_MAX ? -1 : 0;
	i->len = (uint8_t)w.at;
	return i->len;
}
