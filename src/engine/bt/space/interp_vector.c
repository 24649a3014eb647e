/* SPDX-License-Identifier: Apache-2.0 */
/*
 * interp_vector.c - vector instructions with more than one place in memory: gathers, scatters, MASKMOVDQU
 *
 * Theory of operation. Registers are the host's: an instruction or two, run natively, moves them to the buffer and back. Elements are
 * done one by one from the lowest, and each clears its bit of the mask; when one faults, what was done is put back into the
 * registers, and the instruction begins again with what is left.
 * Spec: Intel SDM volume 2, VPGATHERDD and its like; 2.3.12 (VSIB)
 */
#include "engine/bt/space/interp_internal.h"
#include "engine/bt/space/mmu.h"

enum { VECTOR_MAX = 64, MASK_BYTES = 2 };

/* --- registers ------------------------------------------------------------------------------------------------------------ */

/* vector_move() - VMOVDQU between register @n and the buffer. A load clears what is above @bytes. */
static int vector_move(struct work *w, unsigned n, unsigned bytes, bool load)
{
	uint8_t length = bytes == 64 ? 2 : bytes == 32, opcode = load ? 0x6f : 0x7f,
		modrm = (uint8_t)((n & 7) << 3 | X86_RDI);
	const uint8_t vex[] = { 0xc4, n & 8 ? 0x61 : 0xe1, (uint8_t)(0x7a | length << 2), opcode, modrm };
	const uint8_t evex[] = { 0x62,   (uint8_t)(0x61 | (n & 8 ? 0 : 0x80) | (n & 16 ? 0 : 0x10)),
				 0xfe,   (uint8_t)(length << 5 | 0x08),
				 opcode, modrm };

	return w->i.form == X86_EVEX ? interp__native_code(w, evex, sizeof(evex)) :
				       interp__native_code(w, vex, sizeof(vex));
}

static int vector_get(struct work *w, unsigned n, unsigned bytes, uint8_t *ret)
{
	const uint8_t *buffer = interp__native_buffer(w);

	if (vector_move(w, n, bytes, false) < 0)
		return BT_FAULT;
	for (unsigned k = 0; k < bytes; k++)
		ret[k] = buffer[k];
	return BT_OK;
}

static int vector_put(struct work *w, unsigned n, unsigned bytes, const uint8_t *from)
{
	uint8_t *buffer = interp__native_buffer(w);

	for (unsigned k = 0; k < bytes; k++)
		buffer[k] = from[k];
	return vector_move(w, n, bytes, true);
}

/* mask_move() - KMOVW between mask register @n and the buffer's first bytes. */
static int mask_move(struct work *w, unsigned n, bool load)
{
	const uint8_t code[] = { 0xc5, 0xf8, load ? 0x90 : 0x91, (uint8_t)(n << 3 | X86_RDI) };

	return interp__native_code(w, code, sizeof(code));
}

/* --- gathers and scatters -------------------------------------------------------------------------------------------------- */

struct gather {
	unsigned data, index, mask;   /* registers */
	unsigned element, index_size; /* bytes */
	unsigned n, bytes;            /* elements; bytes of the longest vector of them */
	bool evex, store;
	uint8_t indices[VECTOR_MAX], value[VECTOR_MAX];
	uint8_t sign[VECTOR_MAX]; /* VEX: the mask, an element's highest bit */
	uint16_t bits;            /* EVEX: the mask */
};

static int gather_parse(struct work *w, struct gather *g)
{
	const struct x86_insn *i = &w->i;
	unsigned wide;

	g->evex = i->form == X86_EVEX;
	g->store = i->opcode >= 0xa0;
	g->element = i->rex & 8 ? 8 : 4;
	g->index_size = i->opcode & 1 ? 8 : 4;
	wide = g->element > g->index_size ? g->element : g->index_size;
	g->bytes = 16U << i->vl;
	g->n = g->bytes / wide;
	g->data = i->reg | (unsigned)(g->evex && i->evex_rr) << 4;
	g->index = (w->code[i->at_sib] >> 3 & 7) | (i->rex & 2) << 2 | (unsigned)(g->evex && i->evex_vv) << 4;
	g->mask = g->evex ? w->code[i->at_escape + 3] & 7 : i->vvvv;
	if (!i->at_sib || i->pp != 1 || i->vl > (g->evex ? 2 : 1) || (!g->store && g->data == g->index))
		return bt_raise(w->c, X86_UD);
	if (g->evex ? !g->mask || w->code[i->at_escape + 3] & 0x90 || i->vvvv :
		      g->mask == g->data || g->mask == g->index)
		return bt_raise(w->c, X86_UD);
	return BT_OK;
}

static int gather_registers(struct work *w, struct gather *g)
{
	if (vector_get(w, g->index, g->bytes, g->indices) < 0 ||
	    vector_get(w, g->data, g->bytes, g->value) < 0)
		return BT_FAULT;
	if (!g->evex)
		return vector_get(w, g->mask, g->bytes, g->sign);
	if (mask_move(w, g->mask, false) < 0)
		return BT_FAULT;
	__builtin_memcpy(&g->bits, interp__native_buffer(w), MASK_BYTES);
	return BT_OK;
}

static bool is_on(const struct gather *g, unsigned k)
{
	return g->evex ? g->bits >> k & 1 : g->sign[(k + 1) * g->element - 1] & 0x80;
}

static void off(struct gather *g, unsigned k)
{
	g->bits &= (uint16_t) ~(1U << k);
	for (unsigned b = 0; b < g->element; b++)
		g->sign[k * g->element + b] = 0;
}

static int gather_element(struct work *w, struct gather *g, unsigned k)
{
	const struct x86_insn *i = &w->i;
	uint8_t *value = g->value + (size_t)k * g->element;
	uint64_t offset = interp__offset(w), va;
	int64_t index = 0;

	if (g->index_size == 8) {
		__builtin_memcpy(&index, g->indices + (size_t)k * 8, 8);
	} else {
		int32_t narrow;

		__builtin_memcpy(&narrow, g->indices + (size_t)k * 4, 4);
		index = narrow;
	}
	offset += (uint64_t)index * i->scale;
	offset = i->addr_size == 8 ? offset : (uint32_t)offset;
	if (interp__linear(w, interp__segment(w), offset, g->element, g->store, &va) < 0)
		return BT_FAULT;
	return g->store ? bt_store(w->c, va, value, g->element, 0) : bt_load(w->c, va, value, g->element, 0);
}

/* gather_finish() - what was done, and what is left, into the registers. */
static int gather_finish(struct work *w, struct gather *g, bool done)
{
	unsigned used = g->n * g->element;

	if (!g->store) {
		for (unsigned k = used; k < g->bytes; k++)
			g->value[k] = 0;
		if (vector_put(w, g->data, g->bytes, g->value) < 0)
			return BT_FAULT;
	}
	if (!g->evex) {
		for (unsigned k = done ? 0 : used; k < g->bytes; k++)
			g->sign[k] = 0;
		return vector_put(w, g->mask, g->bytes, g->sign);
	}
	if (done)
		g->bits = 0;
	__builtin_memcpy(interp__native_buffer(w), &g->bits, MASK_BYTES);
	return mask_move(w, g->mask, true);
}

int interp__gather(struct work *w)
{
	struct gather g = { 0 };
	struct bt_fault fault;

	if (interp__may_vector(w) < 0 || gather_parse(w, &g) < 0 || gather_registers(w, &g) < 0)
		return BT_FAULT;
	for (unsigned k = 0; k < g.n; k++) {
		if (!is_on(&g, k))
			continue;
		if (gather_element(w, &g, k) < 0) {
			fault = w->c->fault;
			if (gather_finish(w, &g, false) == BT_OK)
				w->c->fault = fault;
			return BT_FAULT;
		}
		off(&g, k);
	}
	return gather_finish(w, &g, true);
}

/* --- MASKMOVQ, MASKMOVDQU ---------------------------------------------------------------------------------------------------- */

/* masked_run() - the instruction over a buffer of @fill. */
static int masked_run(struct work *w, unsigned fill, unsigned bytes, uint8_t *ret)
{
	const struct x86_insn *i = &w->i;
	uint8_t *buffer = interp__native_buffer(w), code[X86_INSN_MAX];
	unsigned n = 0;

	if (i->form == X86_LEGACY && i->p66)
		code[n++] = 0x66;
	for (unsigned k = i->at_escape; k < i->len; k++)
		code[n++] = w->code[k];
	for (unsigned k = 0; k < bytes; k++)
		buffer[k] = (uint8_t)fill;
	if (interp__native_code(w, code, n) < 0)
		return BT_FAULT;
	for (unsigned k = 0; k < bytes; k++)
		ret[k] = buffer[k];
	return BT_OK;
}

int interp__masked_move(struct work *w)
{
	enum x86_seg s = w->i.segment != X86_NONE ? (enum x86_seg)w->i.segment : X86_DS;
	uint64_t at = interp__reg(w, X86_RDI, w->i.addr_size), va;
	unsigned bytes = w->i.form == X86_LEGACY && !w->i.p66 ? 8 : 16;
	uint8_t zeros[16], ones[16];
	struct bt_page page;

	w->i.class = X86_VECTOR;
	if (w->i.is_mem || w->i.rep || w->i.form == X86_EVEX || w->i.vl)
		return bt_raise(w->c, X86_UD);
	if (interp__may_vector(w) < 0 || masked_run(w, 0, bytes, zeros) < 0 ||
	    masked_run(w, 0xff, bytes, ones) < 0)
		return BT_FAULT;
	for (unsigned pass = 0; pass < 2; pass++) /* all that can fault, then all stores */
		for (unsigned k = 0; k < bytes; k++) {
			if (zeros[k] != ones[k])
				continue;
			if (interp__linear(w, s, at + k, 1, true, &va) < 0 ||
			    (pass ? bt_store(w->c, va, &ones[k], 1, 0) : bt_walk(w->c, va, BT_WRITE, &page)) <
				    0)
				return BT_FAULT;
		}
	return BT_OK;
}
