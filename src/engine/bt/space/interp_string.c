/* SPDX-License-Identifier: Apache-2.0 */
/*
 * interp_string.c - string instructions, and input and output
 *
 * A repeated one does a bounded number of elements; rip then stays at it, so that interrupts are taken as the architecture has it.
 */
#include "engine/bt/space/interp_internal.h"
#include "engine/bt/space/mmu.h"
#include "engine/bt/space/segment.h"

enum {
	PORTION = 256,
	STRING_MOVS = 0xa4,
	STRING_CMPS = 0xa6,
	STRING_STOS = 0xaa,
	STRING_LODS = 0xac,
	STRING_SCAS = 0xae
};

/* side() - an element at RSI or RDI. */
static int side(struct work *w, unsigned reg, void *buf, bool write)
{
	enum x86_seg s = reg == X86_RDI           ? X86_ES :
			 w->i.segment != X86_NONE ? (enum x86_seg)w->i.segment :
						    X86_DS;
	unsigned n = w->i.op_size;
	uint64_t va;

	if (interp__linear(w, s, interp__reg(w, reg, w->i.addr_size), n, write, &va) < 0)
		return BT_FAULT;
	return write ? bt_store(w->c, va, buf, n, 0) : bt_load(w->c, va, buf, n, 0);
}

static void advance(struct work *w, unsigned reg)
{
	uint64_t step = w->c->rflags & X86_DF ? -(uint64_t)w->i.op_size : w->i.op_size;

	interp__reg_put(w, reg, w->i.addr_size, interp__reg(w, reg, w->i.addr_size) + step);
}

/* compare() - the flags of @a - @b. */
static void compare(struct work *w, uint64_t a, uint64_t b)
{
	unsigned bits = 8U * w->i.op_size;
	uint64_t mask = bits == 64 ? UINT64_MAX : (1ULL << bits) - 1, d = (a - b) & mask, f = 0;

	f |= a < b ? X86_CF : 0;
	f |= __builtin_parity((unsigned)d & 0xff) ? 0 : X86_PF;
	f |= (a ^ b ^ d) & 0x10 ? X86_AF : 0;
	f |= d == 0 ? X86_ZF : 0;
	f |= d >> (bits - 1) & 1 ? X86_SF : 0;
	f |= ((a ^ b) & (a ^ d)) >> (bits - 1) & 1 ? X86_OF : 0;
	w->c->rflags = (w->c->rflags & ~(uint64_t)X86_ARITH) | f;
}

static int element(struct work *w)
{
	uint64_t a = 0, b = 0;

	switch (w->i.opcode & 0xfe) {
	case STRING_MOVS:
		if (side(w, X86_RSI, &a, false) < 0 || side(w, X86_RDI, &a, true) < 0)
			return BT_FAULT;
		advance(w, X86_RSI);
		advance(w, X86_RDI);
		return BT_OK;
	case STRING_CMPS:
		if (side(w, X86_RSI, &a, false) < 0 || side(w, X86_RDI, &b, false) < 0)
			return BT_FAULT;
		compare(w, a, b);
		advance(w, X86_RSI);
		advance(w, X86_RDI);
		return BT_OK;
	case STRING_STOS:
		a = w->c->gpr[X86_RAX];
		if (side(w, X86_RDI, &a, true) < 0)
			return BT_FAULT;
		advance(w, X86_RDI);
		return BT_OK;
	case STRING_LODS:
		if (side(w, X86_RSI, &a, false) < 0)
			return BT_FAULT;
		interp__reg_put(w, X86_RAX, w->i.op_size, a);
		advance(w, X86_RSI);
		return BT_OK;
	default:
		if (side(w, X86_RDI, &b, false) < 0)
			return BT_FAULT;
		compare(w, interp__reg(w, X86_RAX, w->i.op_size), b);
		advance(w, X86_RDI);
		return BT_OK;
	}
}

/* repeat() - @one for each element while RCX lasts (and CMPS, SCAS agree). */
static int repeat(struct work *w, int (*one)(struct work *w))
{
	bool compares = (w->i.opcode & 0xf6) == 0xa6;
	unsigned size = w->i.addr_size, portion = PORTION;
	uint64_t count;

	if (!w->i.rep)
		return one(w);
	if (w->c->rflags & X86_TF || w->c->dr7 & 0xff) /* traps come after each element */
		portion = 1;
	for (unsigned n = 0; n < portion; n++) {
		count = interp__reg(w, X86_RCX, size);
		if (!count)
			return BT_OK;
		if (one(w) < 0)
			return BT_FAULT; /* what has been done is done: registers say so */
		interp__reg_put(w, X86_RCX, size, count - 1);
		if (compares && !(w->c->rflags & X86_ZF) != (w->i.rep == 0xf2))
			return BT_OK;
	}
	if (interp__reg(w, X86_RCX, size))
		w->next = w->c->rip;
	return BT_OK;
}

int interp__string(struct work *w)
{
	return repeat(w, element);
}

/* --- ports -------------------------------------------------------------------------------------------------------------- */

/* may_use() - IOPL, else the bitmap of the task state segment. */
static int may_use(struct work *w, uint16_t port, unsigned n)
{
	struct bt_cpu *c = w->c;
	const struct x86_segment *tr = &c->seg[X86_TR];
	uint16_t at, bits;

	if (!(c->cr0 & X86_CR0_PE) || (bt_cpl(c) <= (c->rflags & X86_IOPL) >> 12 && !(c->rflags & X86_VM)))
		return BT_OK;
	if (tr->limit < 103)
		return bt_raise_code(c, X86_GP, 0);
	if (bt_load(c, tr->base + 102, &at, 2, BT_SYSTEM) < 0)
		return BT_FAULT;
	if ((uint32_t)at + port / 8 + 1 > tr->limit)
		return bt_raise_code(c, X86_GP, 0);
	if (bt_load(c, tr->base + at + port / 8, &bits, 2, BT_SYSTEM) < 0)
		return BT_FAULT;
	return bits >> (port & 7) & ((1U << n) - 1) ? bt_raise_code(c, X86_GP, 0) : BT_OK;
}

static uint64_t port_access(struct work *w, uint16_t port, unsigned n, bool write, uint64_t data)
{
	struct bt_io io = { .port = true, .write = write, .size = (uint8_t)n, .addr = port, .data = data };

	w->c->world->io(w->c, &io);
	return io.data;
}

/* port_element() - INS and OUTS. An input's place is checked before the port is read: what was read cannot be put back. */
static int port_element(struct work *w)
{
	uint16_t port = (uint16_t)w->c->gpr[X86_RDX];
	unsigned n = w->i.op_size > 4 ? 4 : w->i.op_size;
	uint64_t data = 0;

	w->i.op_size = (uint8_t)n;
	if (w->i.opcode < 0x6e) {
		struct bt_page page;
		uint64_t va;

		if (interp__linear(w, X86_ES, interp__reg(w, X86_RDI, w->i.addr_size), n, true, &va) < 0 ||
		    bt_walk(w->c, va, BT_WRITE, &page) < 0 || bt_walk(w->c, va + n - 1, BT_WRITE, &page) < 0)
			return BT_FAULT;
		data = port_access(w, port, n, false, 0);
		if (bt_store(w->c, va, &data, n, 0) < 0)
			return BT_FAULT;
		advance(w, X86_RDI);
		return BT_OK;
	}
	if (side(w, X86_RSI, &data, false) < 0)
		return BT_FAULT;
	port_access(w, port, n, true, data);
	advance(w, X86_RSI);
	return BT_OK;
}

int interp__io(struct work *w)
{
	const struct x86_insn *i = &w->i;
	bool string = i->opcode < 0x70, by_dx = string || i->opcode >= 0xec, write = i->opcode & 2;
	uint16_t port = by_dx ? (uint16_t)w->c->gpr[X86_RDX] : (uint16_t)i->imm;
	uint64_t data;

	if (may_use(w, port, i->op_size) < 0)
		return BT_FAULT;
	if (string)
		return repeat(w, port_element);
	data = interp__reg(w, X86_RAX, i->op_size);
	data = port_access(w, port, i->op_size, write, data);
	if (!write)
		interp__reg_put(w, X86_RAX, i->op_size, data);
	return BT_OK;
}
