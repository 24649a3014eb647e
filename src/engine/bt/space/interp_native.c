/* SPDX-License-Identifier: Apache-2.0 */
/*
 * interp_native.c - instructions that only compute are carried out by the processor itself
 *
 * Theory of operation. An instruction that reads and writes general registers, flags, vector registers and at most one memory operand
 * needs no emulation, only other places: it is copied to a page of our own with its memory operand pointing to a buffer, between
 * code that loads the guest's general registers and code that stores them. Vector and x87 registers are the guest's already. What
 * it would have read is moved to the buffer before, what it wrote is moved back after; of LOCK and XCHG, the operand is the memory
 * itself, unless it crosses a page or is a device's.
 * Encodings that 64-bit mode has not are rewritten to those it has.
 *
 * A host signal in the copy is the guest's exception. The handler calls bt_interp_native_fault(), which sends it to the end of the copy's
 * code, where nothing of it is kept.
 *
 * The page:	code, then struct native at NATIVE_DATA
 */
#include <signal.h>
#include <ucontext.h>

#include "engine/bt/space/interp.h"
#include "engine/bt/space/interp_internal.h"
#include "engine/bt/space/mmu.h"
#include "engine/bt/space/segment.h"
#include "engine/bt/space/system.h"

enum { NATIVE_DATA = 4096, SLOT_BYTES = 48, VECTOR_BYTES = 64 };

struct native {
	uint64_t reg[X86_GPR_COUNT], flags, host_rsp;
	uint64_t failed;
	_Alignas(64) uint8_t buffer[X86_XSAVE_MAX + 64];
};

_Static_assert(NATIVE_DATA + sizeof(struct native) <= BT_NATIVE_BYTES, "the page has room");

struct code {
	uint8_t *base, *at;
};

static struct native *data_of(const struct bt_cpu *c)
{
	return (struct native *)(c->native + NATIVE_DATA);
}

static void byte(struct code *k, unsigned b)
{
	*k->at++ = (uint8_t)b;
}

static void word32(struct code *k, uint32_t v)
{
	__builtin_memcpy(k->at, &v, 4);
	k->at += 4;
}

/* rip_to() - the displacement from the end of this field to @offset in the page. */
static void rip_to(struct code *k, size_t offset)
{
	word32(k, (uint32_t)(k->base + offset - (k->at + 4)));
}

/* move() - MOV between a register and the page: opcode 0x8b loads, 0x89 stores. */
static void move(struct code *k, unsigned opcode, unsigned reg, size_t offset)
{
	byte(k, 0x48 | (reg >> 3) << 2);
	byte(k, opcode);
	byte(k, 5 | (reg & 7) << 3);
	rip_to(k, offset);
}

static const uint8_t saved[] = { X86_RBX, X86_RBP, 12, 13, 14, 15 }; /* that a function must keep */

static void push_pop(struct code *k, unsigned opcode, unsigned reg)
{
	if (reg >= 8)
		byte(k, 0x41);
	byte(k, opcode | (reg & 7));
}

#define AT(member) (NATIVE_DATA + offsetof(struct native, member))

/* bt_interp_init() - the parts that stay: before the slot, and behind it. */
void bt_interp_init(struct bt_cpu *c, void *page)
{
	struct code k = { page, page };

	c->native = page;
	for (size_t i = 0; i < sizeof(saved); i++)
		push_pop(&k, 0x50, saved[i]);
	move(&k, 0x89, X86_RSP, AT(host_rsp));
	byte(&k, 0xff); /* PUSH flags */
	byte(&k, 0x35);
	rip_to(&k, AT(flags));
	byte(&k, 0x9d); /* POPF */
	for (unsigned r = 0; r < X86_GPR_COUNT; r++)
		move(&k, 0x8b, r, AT(reg) + 8UL * r);
	c->native_slot = (uint16_t)(k.at - k.base);
	for (unsigned i = 0; i < SLOT_BYTES; i++)
		byte(&k, 0x90);
	for (unsigned r = 0; r < X86_GPR_COUNT; r++)
		move(&k, 0x89, r, AT(reg) + 8UL * r);
	move(&k, 0x8b, X86_RSP, AT(host_rsp));
	byte(&k, 0x9c); /* PUSHF, POP flags */
	byte(&k, 0x8f);
	byte(&k, 0x05);
	rip_to(&k, AT(flags));
	c->native_out = (uint64_t)(uintptr_t)k.at + 7;
	move(&k, 0x8b, X86_RSP, AT(host_rsp)); /* 7 bytes; a fault comes in behind it: its RSP is set */
	byte(&k, 0xfc);                        /* CLD */
	for (size_t i = sizeof(saved); i-- > 0;)
		push_pop(&k, 0x58, saved[i]);
	byte(&k, 0xc3);
}

bool bt_interp_native_fault(struct bt_cpu *c, void *context, int sig)
{
	greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;
	uint64_t pc = (uint64_t)g[REG_RIP];

	if (!c->native || pc - (uint64_t)(uintptr_t)c->native >= NATIVE_DATA)
		return false;
	data_of(c)->failed = (uint64_t)sig;
	g[REG_RIP] = (greg_t)c->native_out;
	g[REG_RSP] = (greg_t)data_of(c)->host_rsp;
	return true;
}

/* --- the copy ---------------------------------------------------------------------------------------------------------- */

/* pointer_reg() - a register that the instruction does not use, for its operand's address. Those below 8 need no REX. */
static unsigned pointer_reg(const struct x86_insn *i)
{
	unsigned used =
		i->implicit_read | i->implicit_written | 1U << X86_RSP | 1U << i->reg | 1U << (i->reg & 3);
	static const uint8_t choice[] = { X86_RSI, X86_RDI, X86_RBX, X86_RAX, X86_RCX, X86_RDX };

	if (i->vvvv_is)
		used |= 1U << i->vvvv;
	for (size_t k = 0; k < sizeof(choice); k++)
		if (!(used >> choice[k] & 1))
			return choice[k];
	return X86_RBP;
}

/* prefixes() - those that count in the copy: no segment, no address size; the operand's size as the mode had it. */
static void prefixes(struct code *k, const struct x86_insn *i)
{
	/* ADCX and ADOX are told apart by them; MOVBE and CRC32 have them for their operand's size */
	bool mandatory = i->map >= X86_MAP_0F &&
			 (i->class != X86_PLAIN || (i->map == X86_MAP_0F38 && i->opcode == 0xf6));
	bool p66 = i->p66;

	if (i->bits == 16 && !mandatory) /* 64-bit code's default is 32 bits */
		p66 = i->op_size == 2;
	if (i->lock)
		byte(k, 0xf0);
	if (p66)
		byte(k, 0x66);
	if (i->rep)
		byte(k, i->rep);
}

/* end() - on to the end of the slot */
static void end(struct code *k, const struct bt_cpu *c)
{
	byte(k, 0xe9);
	word32(k, (uint32_t)(k->base + c->native_slot + SLOT_BYTES - (k->at + 4)));
}

/* copy_prefix() - VEX or EVEX, and the opcode: without base and index; outside 64-bit code without what counts only there. */
static void copy_prefix(const struct work *w, struct code *k)
{
	const struct x86_insn *i = &w->i;
	bool gpr = i->reg_is == X86_OP_GPR || i->rm_is == X86_OP_GPR || i->vvvv_is == X86_OP_GPR;
	uint8_t *p = k->at;

	for (unsigned n = i->at_escape; n <= i->at_opcode; n++)
		byte(k, w->code[n]);
	if (p[0] == 0xc5)
		return;
	if (i->is_mem)
		p[1] |= 0x60;
	if (i->bits == 64)
		return;
	p[1] |= i->form == X86_EVEX ? 0xf0 : 0xe0; /* registers there are not */
	p[2] |= 0x40;
	if (gpr)
		p[2] &= 0x7f;
}

/*
 * is_supervisor() - XSAVES and XRSTORS, which only kernels may use. There is no state that is only theirs, so XSAVEC and XRSTOR do the same;
 * the form in memory is compact in both cases.
 */
static bool is_supervisor(const struct x86_insn *i)
{
	unsigned op = i->modrm >> 3 & 7;

	return i->class == X86_XSAVE && i->map == X86_MAP_0F && i->opcode == 0xc7 && (op == 3 || op == 5);
}

/* copy() - the instruction into the slot, its memory operand at [@pointer]. */
static void copy(struct work *w, unsigned pointer)
{
	const struct x86_insn *i = &w->i;
	struct code k = { w->c->native, w->c->native + w->c->native_slot };
	unsigned tail = i->at_disp ? i->at_disp + i->disp_len : i->at_sib ? i->at_sib + 1U : i->at_modrm + 1U;
	unsigned modrm = i->modrm & 0x38;

	if (i->form == X86_LEGACY) {
		prefixes(&k, i);
		if (i->rex)
			byte(&k, i->is_mem ? i->rex & ~3U : i->rex);
		if (i->bits != 64 && i->map == X86_MAP_1 && i->opcode >= 0x40 && i->opcode < 0x50) {
			byte(&k, 0xff); /* INC, DEC: these bytes are REX now */
			byte(&k, 0xc0 | (i->opcode & 15));
			tail = i->len;
		} else {
			for (unsigned n = i->at_escape + (i->rex != 0); n < i->at_opcode; n++)
				byte(&k, w->code[n]);
			byte(&k, i->map == X86_MAP_1 && i->opcode == 0x82 ? 0x80 :
				 is_supervisor(i) && modrm == 0x18        ? 0xae :
									    i->opcode);
		}
		if (is_supervisor(i)) /* XRSTOR, XSAVEC */
			modrm = modrm == 0x18 ? 0x28 : 0x20;
	} else {
		copy_prefix(w, &k);
	}
	if (i->has_modrm) {
		byte(&k, i->is_mem ? modrm | pointer : i->modrm);
	} else {
		tail = i->at_opcode + 1U;
	}
	for (unsigned n = tail; n < i->len; n++)
		byte(&k, w->code[n]);
	end(&k, w->c);
}

/* --- running it ----------------------------------------------------------------------------------------------------------- */

static int native_fault(struct work *w, uint64_t sig)
{
	struct bt_cpu *c = w->c;

	switch (sig) {
	case SIGFPE:
		if (w->i.class == X86_PLAIN)
			return bt_raise(c, X86_DE);
		if (w->i.map == X86_MAP_1)
			return bt_raise(c, X86_MATH);
		return bt_raise(c, c->cr4 & X86_CR4_OSXMMEXCPT ? X86_SIMD : X86_UD);
	case SIGILL: return bt_raise(c, X86_UD);
	default: return bt_raise_code(c, X86_GP, 0);
	}
}

static void run(struct bt_cpu *c)
{
	struct native *d = data_of(c);

	d->flags = (c->rflags & X86_ARITH) | 2;
	d->failed = 0;
	((void (*)(void))(uintptr_t)c->native)();
}

uint8_t *interp__native_buffer(const struct work *w)
{
	return data_of(w->c)->buffer;
}

int interp__native_code(struct work *w, const uint8_t *code, unsigned n)
{
	struct native *d = data_of(w->c);
	struct code k = { w->c->native, w->c->native + w->c->native_slot };

	for (int r = 0; r < X86_GPR_COUNT; r++)
		d->reg[r] = w->c->gpr[r];
	d->reg[X86_RDI] = (uint64_t)(uintptr_t)d->buffer;
	for (unsigned at = 0; at < n; at++)
		byte(&k, code[at]);
	end(&k, w->c);
	run(w->c);
	return d->failed ? native_fault(w, d->failed) : BT_OK;
}

/* --- its memory ---------------------------------------------------------------------------------------------------------- */

struct operand {
	unsigned bytes;
	uint64_t plus;   /* of a bit string: from the operand's address to the bit's unit */
	uint8_t *at;     /* in the buffer, aligned as it is in the guest */
	uint8_t *direct; /* of what is atomic: the memory itself */
};

static unsigned state_bytes(const struct work *w)
{
	const struct x86_insn *i = &w->i;

	if (i->map == X86_MAP_1) /* FLDENV, FNSTENV; FRSTOR, FNSAVE */
		return i->opcode == 0xd9 ? (i->op_size == 2 ? 14 : 28) : i->op_size == 2 ? 94 : 108;
	if (i->opcode == 0xae && (i->modrm >> 3 & 7) < 2)
		return 512;
	return w->c->xcr0 & 0xe0 ? 2688 : w->c->xcr0 & 4 ? 832 : 576;
}

/* is_bit_string() - BT, BTS, BTR, BTC by a register reach beyond their operand. */
static bool is_bit_string(const struct x86_insn *i)
{
	return i->is_mem && i->form == X86_LEGACY && i->map == X86_MAP_0F && (i->opcode & 0xe7) == 0xa3;
}

/* is_atomic() - LOCK, and XCHG without it: other processors, which are other processes, see it done at once. */
static bool is_atomic(const struct x86_insn *i)
{
	return i->lock ||
	       (i->form == X86_LEGACY && i->map == X86_MAP_1 && (i->opcode == 0x86 || i->opcode == 0x87));
}

/* writes_part() - stores that may leave bytes of their operand alone: what they write is found by running them twice. */
static bool writes_part(const struct x86_insn *i)
{
	bool store = i->is_mem && i->class == X86_VECTOR && i->rm_use == X86_WRITTEN;

	return store && (i->form == X86_EVEX || (i->form == X86_VEX && i->map == X86_MAP_0F38));
}

/*
 * reads() - is the operand read before? A plain store must not: a device would see it. XSAVE and its like change a part of what is there.
 */
static bool reads(const struct x86_insn *i)
{
	if (i->class == X86_XSAVE && i->map != X86_MAP_1 && i->mem_size == 0)
		return true;
	return i->rm_use & X86_READ;
}

/* may_store() - what running it has done cannot be undone, so what can fault does so before. */
static int may_store(struct work *w, uint64_t plus, unsigned n)
{
	unsigned size = w->i.addr_size;
	uint64_t va, offset = interp__offset(w) + plus;
	struct bt_page page;

	offset &= size == 8 ? UINT64_MAX : (1ULL << (8 * size)) - 1;
	if (interp__linear(w, interp__segment(w), offset, n, true, &va) < 0 ||
	    bt_walk(w->c, va, BT_WRITE, &page) < 0)
		return BT_FAULT;
	return ((va ^ (va + n - 1)) & ~4095ULL) == 0 ?
		       BT_OK :
		       bt_walk(w->c, (va + n - 1) & ~4095ULL, BT_WRITE, &page);
}

/* run_twice() - a store over zeros, then over ones: bytes that come out alike are those it writes. */
static int run_twice(struct work *w, const struct operand *o, uint8_t first[VECTOR_BYTES])
{
	struct native *d = data_of(w->c);

	for (unsigned fill = 0; fill < 2; fill++) {
		for (unsigned k = 0; k < o->bytes; k++) {
			first[k] = o->at[k];
			o->at[k] = fill ? 0xff : 0;
		}
		run(w->c);
		if (d->failed)
			return native_fault(w, d->failed);
	}
	return BT_OK;
}

/* --- loads under a mask ------------------------------------------------------------------------------------------------------ */

/* is_masked_load() - one that does not fault for elements that its mask has not. */
static bool is_masked_load(const struct work *w)
{
	const struct x86_insn *i = &w->i;

	if (i->class != X86_VECTOR || i->rm_use & X86_WRITTEN)
		return false;
	if (i->form == X86_EVEX)
		return w->code[i->at_escape + 3] & 7;
	return i->form == X86_VEX && i->map == X86_MAP_0F38 &&
	       (i->opcode == 0x2c || i->opcode == 0x2d || i->opcode == 0x8c);
}

/* vex_mask() - VMASKMOV's: the store that goes with the load tells which bytes the mask has. */
static int vex_mask(struct work *w, const struct operand *o, uint8_t on[VECTOR_BYTES])
{
	unsigned pointer = pointer_reg(&w->i);
	uint8_t *opcode = &w->code[w->i.at_opcode], load = *opcode;
	uint64_t *reg = &data_of(w->c)->reg[pointer], was = *reg;
	int r;

	*reg = (uint64_t)(uintptr_t)o->at;
	*opcode = load + 2;
	copy(w, pointer);
	*opcode = load;
	r = run_twice(w, o, on);
	*reg = was;
	for (unsigned k = 0; k < o->bytes; k++)
		on[k] = on[k] == o->at[k];
	return r;
}

/* granule() - bytes of memory for each bit of an AVX-512 mask: by the opcode for comparisons and moves of bytes and words. */
static unsigned granule(const struct x86_insn *i)
{
	bool wide = i->rex & 8;

	if (i->evex_bcst)
		return 0;
	if (i->map == X86_MAP_0F && i->opcode == 0x6f && i->pp == 3)
		return wide ? 2 : 1;
	if ((i->map == X86_MAP_0F38 && (i->opcode == 0x26 || i->opcode == 0x66)) ||
	    (i->map == X86_MAP_0F3A && (i->opcode == 0x3e || i->opcode == 0x3f)))
		return wide ? 2 : 1;
	if (i->map == X86_MAP_0F && (i->opcode == 0x64 || i->opcode == 0x74))
		return 1;
	if (i->map == X86_MAP_0F && (i->opcode == 0x65 || i->opcode == 0x75))
		return 2;
	return wide ? 8 : 4;
}

static int evex_mask(struct work *w, const struct operand *o, uint8_t on[VECTOR_BYTES])
{
	const uint8_t kmovq[] = { 0xc4, 0xe1, 0xf8, 0x91,
				  (uint8_t)((w->code[w->i.at_escape + 3] & 7) << 3 | X86_RDI) };
	struct native *d = data_of(w->c);
	unsigned bytes = granule(&w->i);
	uint64_t mask;
	int r = interp__native_code(w, kmovq, sizeof(kmovq));

	__builtin_memcpy(&mask, d->buffer, 8);
	for (int k = 0; k < X86_GPR_COUNT; k++)
		d->reg[k] = w->c->gpr[k];
	for (unsigned k = 0; k < o->bytes; k++)
		on[k] = bytes ? mask >> (k / bytes) & 1 : mask != 0;
	return r;
}

/* masked_load() - byte by byte, for some of the whole cannot be had. */
static int masked_load(struct work *w, const struct operand *o)
{
	uint8_t on[VECTOR_BYTES] = { 0 };

	if ((w->i.form == X86_EVEX ? evex_mask(w, o, on) : vex_mask(w, o, on)) < 0)
		return BT_FAULT;
	for (unsigned k = 0; k < o->bytes; k++) {
		o->at[k] = 0;
		if (on[k] && interp__mem_get(w, k, o->at + k, 1) < 0)
			return BT_FAULT;
	}
	return BT_OK;
}

static uint64_t segment_base(const struct work *w)
{
	enum x86_seg s = interp__segment(w);

	return bt_is_long(w->c) && s < X86_FS ? 0 : bt_seg_base(w->c, s);
}

static int operand_load(struct work *w, struct operand *o)
{
	struct native *d = data_of(w->c);
	const struct x86_insn *i = &w->i;
	uint64_t va;

	o->bytes = i->class == X86_XSAVE && i->mem_size == 0 ? state_bytes(w) : i->mem_size;
	if (is_bit_string(i)) {
		uint64_t raw = interp__reg(w, i->reg, i->op_size);
		int64_t bit = (int64_t)(raw << (64 - 8 * i->op_size)) >> (64 - 8 * i->op_size);

		o->plus = (uint64_t)(bit >> (i->op_size == 8 ? 6 : i->op_size == 4 ? 5 : 4)) * i->op_size;
		d->reg[i->reg] = (uint64_t)bit & (8U * i->op_size - 1);
	}
	if (is_atomic(i)) {
		uint64_t mask = i->addr_size == 8 ? UINT64_MAX : (1ULL << (8 * i->addr_size)) - 1;

		if (interp__linear(w, interp__segment(w), (interp__offset(w) + o->plus) & mask, o->bytes,
				   true, &va) < 0 ||
		    bt_reach(w->c, va, o->bytes, BT_WRITE, &o->direct) < 0)
			return BT_FAULT;
		if (o->direct)
			return BT_OK;
	}
	o->at = d->buffer + ((interp__offset(w) + o->plus + segment_base(w)) & 63);
	if (i->rm_use & X86_WRITTEN && !writes_part(i) && may_store(w, o->plus, o->bytes) < 0)
		return BT_FAULT;
	for (unsigned at = 0; reads(i) && at < o->bytes; at += 64)
		if (interp__mem_get(w, o->plus + at, o->at + at, o->bytes - at < 64 ? o->bytes - at : 64) < 0)
			return is_masked_load(w) ? masked_load(w, o) : BT_FAULT;
	return BT_OK;
}

static int operand_store(struct work *w, const struct operand *o)
{
	if (!(w->i.rm_use & X86_WRITTEN) || o->direct)
		return BT_OK;
	for (unsigned at = 0; at < o->bytes; at += 64)
		if (interp__mem_put(w, o->plus + at, o->at + at, o->bytes - at < 64 ? o->bytes - at : 64) < 0)
			return BT_FAULT;
	return BT_OK;
}

/* --- all of it ------------------------------------------------------------------------------------------------------------ */

/* interp__may_vector() - vector instructions want the unit to be there and on. */
int interp__may_vector(struct work *w)
{
	struct bt_cpu *c = w->c;
	const struct x86_insn *i = &w->i;
	bool x87 = i->rm_is == X86_OP_X87 || (i->map == X86_MAP_1 && i->class != X86_PLAIN);

	if (i->class == X86_PLAIN)
		return BT_OK;
	if (i->form != X86_LEGACY && !((c->cr4 & X86_CR4_OSXSAVE) && (c->xcr0 & 6) == 6))
		return bt_raise(c, X86_UD);
	if (i->form == X86_EVEX && (c->xcr0 & 0xe0) != 0xe0)
		return bt_raise(c, X86_UD);
	if ((c->cr0 & X86_CR0_EM) && i->opcode != 0x9b)
		return bt_raise(c, x87 ? X86_NM : X86_UD);
	if (c->cr0 & X86_CR0_TS)
		return bt_raise(c, X86_NM);
	return BT_OK;
}

/* run_part() - a store that may leave bytes alone. */
static int run_part(struct work *w, const struct operand *o)
{
	uint8_t first[VECTOR_BYTES];
	unsigned from, to;

	if (run_twice(w, o, first) < 0)
		return BT_FAULT;
	for (unsigned pass = 0; pass < 2; pass++) /* all that can fault, then all stores */
		for (from = 0; from < o->bytes; from = to) {
			bool written = first[from] == o->at[from];
			int r = BT_OK;

			for (to = from; to < o->bytes && (first[to] == o->at[to]) == written;)
				to++;
			if (written)
				r = pass ? interp__mem_put(w, from, o->at + from, to - from) :
					   may_store(w, from, to - from);
			if (r < 0)
				return BT_FAULT;
		}
	return BT_OK;
}

int interp__native(struct work *w)
{
	struct bt_cpu *c = w->c;
	struct native *d = data_of(c);
	const struct x86_insn *i = &w->i;
	struct operand o = { 0 };
	unsigned pointer = i->is_mem ? pointer_reg(i) : 0;
	uint64_t was = 0;

	if (i->vsib)
		return interp__gather(w);
	if (interp__may_vector(w) < 0)
		return BT_FAULT;
	if (is_supervisor(i) && !bt_has(c, 0xd, 1, 0, 3))
		return bt_raise(c, X86_UD);
	if (is_supervisor(i) && bt_cpl(c))
		return bt_raise_code(c, X86_GP, 0);
	for (int r = 0; r < X86_GPR_COUNT; r++)
		d->reg[r] = c->gpr[r];
	if (i->is_mem && operand_load(w, &o) < 0)
		return BT_FAULT;
	if (i->is_mem) {
		was = d->reg[pointer];
		d->reg[pointer] = (uint64_t)(uintptr_t)(o.direct ? o.direct : o.at);
	}
	if (i->class == X86_XSAVE && (i->implicit_read & 1) &&
	    i->map != X86_MAP_1) { /* no more than the guest has turned on */
		d->reg[X86_RAX] &= c->xcr0;
		d->reg[X86_RDX] &= c->xcr0 >> 32;
	}
	copy(w, pointer);
	if (writes_part(i))
		return run_part(w, &o);
	run(c);
	if (d->failed)
		return native_fault(w, d->failed);
	if (i->is_mem) {
		if (operand_store(w, &o) < 0)
			return BT_FAULT;
		d->reg[pointer] = was;
	}
	if (is_bit_string(i))
		d->reg[i->reg] = c->gpr[i->reg];
	if (i->class == X86_XSAVE && i->map != X86_MAP_1) {
		d->reg[X86_RAX] = c->gpr[X86_RAX];
		d->reg[X86_RDX] = c->gpr[X86_RDX];
	}
	for (int r = 0; r < X86_GPR_COUNT; r++)
		c->gpr[r] = d->reg[r];
	c->rflags = (c->rflags & ~(uint64_t)X86_ARITH) | (d->flags & X86_ARITH);
	return BT_OK;
}
