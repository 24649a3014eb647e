/* SPDX-License-Identifier: Apache-2.0 */
/* interp_system.c - what only kernels do, and what tells of the system */
#include "engine/bt/space/event.h"
#include "engine/bt/space/interp_internal.h"
#include "engine/bt/space/mmu.h"
#include "engine/bt/space/segment.h"
#include "engine/bt/space/system.h"

enum { KVM_ENOSYS = 1000 };

static int gp(struct work *w)
{
	return bt_raise_code(w->c, X86_GP, 0);
}

static int ud(struct work *w)
{
	return bt_raise(w->c, X86_UD);
}

/* kernel_only() - #GP outside CPL 0. */
static int kernel_only(struct work *w)
{
	return bt_cpl(w->c) ? gp(w) : BT_OK;
}

static void put_pair(struct work *w, uint64_t value) /* EDX:EAX */
{
	w->c->gpr[X86_RAX] = (uint32_t)value;
	w->c->gpr[X86_RDX] = value >> 32;
}

static uint64_t get_pair(const struct work *w)
{
	return (w->c->gpr[X86_RDX] & UINT32_MAX) << 32 | (w->c->gpr[X86_RAX] & UINT32_MAX);
}

/* --- segments and tables ---------------------------------------------------------------------------------------------------- */

struct table_image { /* as LGDT and SGDT have it in memory */
	uint16_t limit;
	uint64_t base;
} __attribute__((packed));

static unsigned table_bytes(const struct work *w)
{
	return w->i.bits == 64 ? 10 : 6;
}

static int table_load(struct work *w, struct bt_cpu *c, struct x86_table *t)
{
	struct table_image m = { 0 };

	if (kernel_only(w) < 0 || interp__mem_get(w, 0, &m, table_bytes(w)) < 0)
		return BT_FAULT;
	if (w->i.bits != 64 && w->i.op_size == 2)
		m.base &= 0xffffff;
	if (bt_is_long(c) && !bt_is_canonical(m.base))
		return gp(w);
	*t = (struct x86_table){ m.base, m.limit };
	return BT_OK;
}

static int table_store(struct work *w, const struct x86_table *t)
{
	const struct table_image m = { t->limit, t->base };

	if ((w->c->cr4 & X86_CR4_UMIP) && bt_cpl(w->c))
		return gp(w);
	return interp__mem_put(w, 0, &m, table_bytes(w)); /* at once: a fault leaves all of it as it was */
}

/* seen() - LAR, LSL, VERR, VERW: a descriptor that this privilege may know of. Return: 1, 0 for not, BT_FAULT. */
static int seen(struct work *w, uint16_t selector, struct bt_desc *d)
{
	const unsigned rpl = selector & 3;

	if (!(selector & ~3U))
		return 0;
	if (bt_desc_read(w->c, selector, X86_GP, d) < 0)
		return w->c->fault.vector == X86_PAGE ? BT_FAULT : 0;
	if ((d->seg.attr & (BT_ATTR_S | BT_ATTR_CODE | BT_ATTR_DOWN)) ==
	    (BT_ATTR_S | BT_ATTR_CODE | BT_ATTR_DOWN))
		return 1; /* conforming code is for all */
	return bt_dpl(&d->seg) >= bt_cpl(w->c) && bt_dpl(&d->seg) >= rpl;
}

static void zero_flag(struct work *w, bool on)
{
	w->c->rflags = on ? w->c->rflags | X86_ZF : w->c->rflags & ~(uint64_t)X86_ZF;
}

/* look() - LAR (0f 02) and LSL (0f 03). */
static int look(struct work *w)
{
	struct bt_desc d = { 0 };
	uint64_t selector;
	unsigned type;
	int r;

	if (!bt_in_protected(w->c))
		return ud(w);
	if (interp__rm_get(w, 2, &selector) < 0)
		return BT_FAULT;
	r = seen(w, (uint16_t)selector, &d);
	if (r < 0)
		return BT_FAULT;
	type = d.seg.attr & 15;
	if (r &&
	    !(d.seg.attr & BT_ATTR_S)) { /* of the system ones: task states and LDTs; LAR also call gates */
		bool tss = type == BT_LDT || type == BT_TSS_32 || type == BT_TSS_32_BUSY ||
			   (!bt_in_long(w->c) && (type == BT_TSS_16 || type == BT_TSS_16_BUSY));

		r = tss || (w->i.opcode == 0x02 &&
			    (type == BT_CALL_32 ||
			     (!bt_in_long(w->c) && (type == BT_CALL_16 || type == BT_TASK_GATE))));
	}
	if (r)
		interp__reg_put(w, w->i.reg, w->i.op_size,
				w->i.opcode == 0x02 ? d.low >> 32 & 0xf0ff00 : d.seg.limit);
	zero_flag(w, r);
	return BT_OK;
}

static int verify(struct work *w, bool write)
{
	struct bt_desc d = { 0 };
	uint64_t selector;
	int r;

	if (!bt_in_protected(w->c))
		return ud(w);
	if (interp__rm_get(w, 2, &selector) < 0)
		return BT_FAULT;
	r = seen(w, (uint16_t)selector, &d);
	if (r < 0)
		return BT_FAULT;
	if (r) {
		bool code = d.seg.attr & BT_ATTR_CODE, bit = d.seg.attr & BT_ATTR_WRITABLE;

		r = (d.seg.attr & BT_ATTR_S) && (write ? !code && bit : !code || bit);
	}
	zero_flag(w, r);
	return BT_OK;
}

/* group6() - 0f 00: SLDT STR LLDT LTR VERR VERW */
static int group6(struct work *w)
{
	struct bt_cpu *c = w->c;
	unsigned op = w->i.modrm >> 3 & 7;
	uint64_t selector;

	if (!bt_in_protected(c))
		return ud(w);
	switch (op) {
	case 0:
	case 1:
		if ((c->cr4 & X86_CR4_UMIP) && bt_cpl(c))
			return gp(w);
		selector = c->seg[op ? X86_TR : X86_LDTR].selector;
		return interp__rm_put(w, w->i.is_mem ? 2 : w->i.op_size, selector);
	case 2:
	case 3:
		if (kernel_only(w) < 0 || interp__rm_get(w, 2, &selector) < 0)
			return BT_FAULT;
		return bt_seg_load(c, op == 2 ? X86_LDTR : X86_TR, (uint16_t)selector);
	default: return verify(w, op == 5);
	}
}

/* segment_load() - MOV and POP of a segment: of SS, nothing comes between them and the load of the stack pointer. */
static int segment_load(struct work *w, enum x86_seg s, uint16_t selector)
{
	if (bt_seg_load(w->c, s, selector) < 0)
		return BT_FAULT;
	w->shadow = w->quiet = s == X86_SS;
	return BT_OK;
}

static int segment_pop(struct work *w, enum x86_seg s)
{
	struct bt_stack stack;
	uint64_t selector;

	bt_stack_now(w->c, &stack);
	if (bt_stack_pop(w->c, &stack, &selector, w->i.op_size) < 0 ||
	    segment_load(w, s, (uint16_t)selector) < 0)
		return BT_FAULT;
	if (s == X86_SS) /* sp in the new segment */
		stack.seg = w->c->seg[X86_SS];
	bt_stack_take(w->c, &stack);
	return BT_OK;
}

static int segment_push(struct work *w, enum x86_seg s)
{
	struct bt_stack stack;

	bt_stack_now(w->c, &stack);
	if (bt_stack_push(w->c, &stack, w->c->seg[s].selector, w->i.op_size) < 0)
		return BT_FAULT;
	bt_stack_take(w->c, &stack);
	return BT_OK;
}

static int pointer_load(struct work *w, enum x86_seg s) /* LES LDS LSS LFS LGS */
{
	uint64_t offset = 0;
	uint16_t selector;

	if (interp__mem_get(w, 0, &offset, w->i.op_size) < 0 ||
	    interp__mem_get(w, w->i.op_size, &selector, 2) < 0 || bt_seg_load(w->c, s, selector) < 0)
		return BT_FAULT;
	interp__reg_put(w, w->i.reg, w->i.op_size, offset);
	return BT_OK;
}

static int map_1(struct work *w)
{
	struct bt_cpu *c = w->c;
	const struct x86_insn *i = &w->i;
	uint64_t value;

	switch (i->opcode) {
	case 0x06: return segment_push(w, X86_ES);
	case 0x0e: return segment_push(w, X86_CS);
	case 0x16: return segment_push(w, X86_SS);
	case 0x1e: return segment_push(w, X86_DS);
	case 0x07: return segment_pop(w, X86_ES);
	case 0x17: return segment_pop(w, X86_SS);
	case 0x1f: return segment_pop(w, X86_DS);
	case 0x8c: return interp__rm_put(w, i->is_mem ? 2 : i->op_size, c->seg[i->reg & 7].selector);
	case 0x8e:
		return interp__rm_get(w, 2, &value) < 0 ?
			       BT_FAULT :
			       segment_load(w, (enum x86_seg)(i->reg & 7), (uint16_t)value);
	case 0xc4: return pointer_load(w, X86_ES);
	case 0xc5: return pointer_load(w, X86_DS);
	case 0xd7: { /* XLAT */
		uint64_t at = c->gpr[X86_RBX] + (c->gpr[X86_RAX] & 0xff), va;
		uint8_t byte;

		at &= i->addr_size == 8 ? UINT64_MAX : i->addr_size == 4 ? UINT32_MAX : 0xffff;
		if (interp__linear(w, i->segment != X86_NONE ? (enum x86_seg)i->segment : X86_DS, at, 1,
				   false, &va) < 0 ||
		    bt_load(c, va, &byte, 1, 0) < 0)
			return BT_FAULT;
		interp__reg_put(w, X86_RAX, 1, byte);
		return BT_OK;
	}
	case 0x62: return interp__bound(w);
	case 0x63: return interp__arpl(w);
	default: return INTERP_UNKNOWN;
	}
}

/* --- 0f 01 ------------------------------------------------------------------------------------------------------------------ */

static int machine_status(struct work *w) /* LMSW: four bits, and PE only to set */
{
	uint64_t v;

	if (kernel_only(w) < 0 || interp__rm_get(w, 2, &v) < 0)
		return BT_FAULT;
	return bt_cr_write(w->c, 0, (w->c->cr0 & ~14ULL) | (v & 15));
}

static int xcr(struct work *w)
{
	struct bt_cpu *c = w->c;

	if (!(c->cr4 & X86_CR4_OSXSAVE))
		return ud(w);
	if (w->i.modrm == 0xd1)
		return kernel_only(w) < 0 ? BT_FAULT : bt_xsetbv(c, (uint32_t)c->gpr[X86_RCX], get_pair(w));
	switch ((uint32_t)c->gpr[X86_RCX]) {
	case 0:
	case 1: put_pair(w, c->xcr0); return BT_OK; /* in use: no less than what is on */
	default: return gp(w);
	}
}

static int group7(struct work *w)
{
	struct bt_cpu *c = w->c;
	unsigned op = w->i.modrm >> 3 & 7;

	if (!w->i.is_mem && op != 4 && op != 6) {
		switch (w->i.modrm) {
		case 0xd0:
		case 0xd1: return xcr(w);
		case 0xc1:
		case 0xd9: /* a hypercall that nobody answers */
			if (bt_cpl(c))
				return ud(w);
			c->gpr[X86_RAX] = -(uint64_t)KVM_ENOSYS;
			return BT_OK;
		default: return ud(w); /* MONITOR, MWAIT: hidden */
		}
	}
	switch (op) {
	case 0: return table_store(w, &c->gdt);
	case 1: return table_store(w, &c->idt);
	case 2: return table_load(w, c, &c->gdt);
	case 3: return table_load(w, c, &c->idt);
	case 4:
		if ((c->cr4 & X86_CR4_UMIP) && bt_cpl(c))
			return gp(w);
		return interp__rm_put(w, w->i.is_mem ? 2 : w->i.op_size, c->cr0);
	case 6: return machine_status(w);
	default:
		if (kernel_only(w) < 0)
			return BT_FAULT;
		c->world->flush(c, BT_FLUSH_PAGE,
				interp__offset(w) + bt_seg_base(c, interp__segment(w)) *
							    (!bt_is_long(c) || interp__segment(w) >= X86_FS));
		return BT_OK;
	}
}

static int invpcid(struct work *w)
{
	uint64_t d[2], type = interp__reg(w, w->i.reg, w->i.op_size);

	if (!bt_has(w->c, 7, 0, 1, 10))
		return ud(w);
	if (kernel_only(w) < 0 || interp__mem_get(w, 0, d, 16) < 0)
		return BT_FAULT;
	if (type > 3 || d[0] >> 12)
		return gp(w);
	if (type == 0)
		w->c->world->flush(w->c, BT_FLUSH_PAGE, d[1]);
	else
		w->c->world->flush(w->c, BT_FLUSH_ALL, 0);
	return BT_OK;
}

static int control(struct work *w)
{
	struct bt_cpu *c = w->c;
	const struct x86_insn *i = &w->i;
	bool debug = i->opcode & 1;
	uint64_t value = interp__reg(w, i->rm, i->op_size);

	if (kernel_only(w) < 0)
		return BT_FAULT;
	if (i->opcode & 2)
		return debug ? bt_dr_write(c, i->reg, value) : bt_cr_write(c, i->reg, value);
	if ((debug ? bt_dr_read(c, i->reg, &value) : bt_cr_read(c, i->reg, &value)) < 0)
		return BT_FAULT;
	interp__reg_put(w, i->rm, i->op_size, value);
	return BT_OK;
}

static int msr(struct work *w)
{
	struct bt_cpu *c = w->c;
	uint64_t value;

	if (kernel_only(w) < 0)
		return BT_FAULT;
	if (w->i.opcode == 0x30)
		return bt_msr_write(c, (uint32_t)c->gpr[X86_RCX], get_pair(w));
	if (bt_msr_read(c, (uint32_t)c->gpr[X86_RCX], &value) < 0)
		return BT_FAULT;
	put_pair(w, value);
	return BT_OK;
}

static int map_0f(struct work *w)
{
	struct bt_cpu *c = w->c;

	switch (w->i.opcode) {
	case 0x00: return group6(w);
	case 0x01: return group7(w);
	case 0x02:
	case 0x03: return look(w);
	case 0x06:
		if (kernel_only(w) < 0)
			return BT_FAULT;
		c->cr0 &= ~(uint64_t)X86_CR0_TS;
		return BT_OK;
	case 0x08:
	case 0x09: return kernel_only(w);
	case 0x20 ... 0x23: return control(w);
	case 0x30:
	case 0x32: return msr(w);
	case 0x33: return gp(w); /* RDPMC: there are none */
	case 0xa0: return segment_push(w, X86_FS);
	case 0xa8: return segment_push(w, X86_GS);
	case 0xa1: return segment_pop(w, X86_FS);
	case 0xa9: return segment_pop(w, X86_GS);
	case 0xb2: return pointer_load(w, X86_SS);
	case 0xb4: return pointer_load(w, X86_FS);
	case 0xb5: return pointer_load(w, X86_GS);
	case 0xc7: interp__reg_put(w, w->i.rm, w->i.bits == 64 ? 8 : 4, c->tsc_aux); return BT_OK; /* RDPID */
	case 0xf7: return interp__masked_move(w);
	default: return INTERP_UNKNOWN;
	}
}

/* --- the small classes ---------------------------------------------------------------------------------------------------------- */

static int segment_base(struct work *w)
{
	struct bt_cpu *c = w->c;
	unsigned op = w->i.modrm >> 3 & 3;
	uint64_t *base = op & 1 ? &c->gs_base : &c->fs_base, v;

	if (!bt_is_long(c) || !(c->cr4 & X86_CR4_FSGSBASE))
		return ud(w);
	if (op < 2) {
		interp__reg_put(w, w->i.rm, w->i.op_size, *base);
		return BT_OK;
	}
	v = interp__reg(w, w->i.rm, w->i.op_size);
	if (!bt_is_canonical(v))
		return gp(w);
	*base = v;
	return BT_OK;
}

static int tsc(struct work *w)
{
	if ((w->c->cr4 & X86_CR4_TSD) && bt_cpl(w->c))
		return gp(w);
	put_pair(w, bt_tsc(w->c));
	if (w->i.opcode == 0x01) /* RDTSCP */
		w->c->gpr[X86_RCX] = (uint32_t)w->c->tsc_aux;
	return BT_OK;
}

static int identify(struct work *w)
{
	uint32_t r[4];

	bt_cpuid(w->c, (uint32_t)w->c->gpr[X86_RAX], (uint32_t)w->c->gpr[X86_RCX], r);
	w->c->gpr[X86_RAX] = r[0];
	w->c->gpr[X86_RBX] = r[1];
	w->c->gpr[X86_RCX] = r[2];
	w->c->gpr[X86_RDX] = r[3];
	return BT_OK;
}

static int swap(struct work *w)
{
	uint64_t was = w->c->gs_base;

	if (kernel_only(w) < 0)
		return BT_FAULT;
	w->c->gs_base = w->c->kernel_gs_base;
	w->c->kernel_gs_base = was;
	return BT_OK;
}

static int access_control(struct work *w)
{
	if (bt_cpl(w->c))
		return ud(w);
	if (w->i.class == X86_STAC)
		w->c->rflags |= X86_AC;
	else
		w->c->rflags &= ~(uint64_t)X86_AC;
	return BT_OK;
}

int interp__system(struct work *w)
{
	switch (w->i.class) {
	case X86_FSGSBASE: return segment_base(w);
	case X86_RDTSC: return tsc(w);
	case X86_CPUID: return identify(w);
	case X86_SWAPGS: return swap(w);
	case X86_STAC:
	case X86_CLAC: return access_control(w);
	case X86_SERIALIZE: return BT_OK;
	case X86_HLT: return kernel_only(w) < 0 ? BT_FAULT : INTERP_HALT;
	default: break;
	}
	if (w->i.map == X86_MAP_1)
		return map_1(w);
	if (w->i.map == X86_MAP_0F38)
		return w->i.opcode == 0x82 ? invpcid(w) : ud(w);
	return map_0f(w);
}
