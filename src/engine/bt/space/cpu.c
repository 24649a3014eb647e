/* SPDX-License-Identifier: Apache-2.0 */
/* cpu.c - a processor's state: as after power-on, after INIT, and to and from struct x86_state */
#include "engine/bt/space/cpu.h"

#include <errno.h>

#include "engine/bt/space/host.h"
#include "engine/bt/space/mmu.h"
#include "engine/bt/space/system.h"

enum {
	ATTR_CODE = 0x9b, /* present, code, accessed: real mode's, too */
	ATTR_DATA = 0x93,
	ATTR_LDT = 0x82,
	ATTR_TSS = 0x8b,
	ATTR_LONG = 1 << 13,
	REAL_LIMIT = 0xffff,
	DR7_RESET = 0x400,
	LAPIC_VERSION_OFFSET = 0x30,
	SHADOW_STI = 2,          /* as snapshots tell it */
	TSC_TOLERANCE_PPM = 250, /* what guests' own clocks bear */
};
#define CR0_RESET   0x60000010U
#define CR0_CACHE   0x60000000U /* CD and NW: INIT leaves them */
#define DR6_RESET   0xffff0ff0U
#define FLAGS_VALID 0x3f7fd5U
#define PAT_RESET   0x0007040600070406ULL

static void segments_reset(struct bt_cpu *c)
{
	for (int i = 0; i < X86_SEG_COUNT; i++)
		c->seg[i] = (struct x86_segment){ .limit = REAL_LIMIT, .attr = ATTR_DATA };
	c->seg[X86_CS] = (struct x86_segment){
		.selector = 0xf000, .base = 0xffff0000, .limit = REAL_LIMIT, .attr = ATTR_CODE
	};
	c->seg[X86_LDTR].attr = ATTR_LDT;
	c->seg[X86_TR].attr = ATTR_TSS;
	c->fs_base = 0;
	c->gs_base = 0;
	c->gdt = (struct x86_table){ .limit = REAL_LIMIT };
	c->idt = (struct x86_table){ .limit = REAL_LIMIT };
}

/* both_reset() - what power-on and INIT have in common. Spec: Intel SDM volume 3, table 9-1 */
static void both_reset(struct bt_cpu *c)
{
	uint32_t id[4];

	__builtin_memset(c->gpr, 0, sizeof(c->gpr));
	bt_cpuid(c, 1, 0, id);
	c->gpr[X86_RDX] = id[0];
	c->rip = 0xfff0;
	c->rflags = 2;
	segments_reset(c);
	c->cr2 = 0;
	c->cr3 = 0;
	c->cr4 = 0;
	c->efer = 0;
	__builtin_memset(c->dr, 0, sizeof(c->dr));
	c->dr6 = DR6_RESET;
	c->dr7 = DR7_RESET;
	c->shadow = false;
	c->nmi_masked = false;
	c->nmi_pending = false;
	c->fault = (struct bt_fault){ 0 };
	c->coming = (struct x86_events){ 0 };
}

void bt_cpu_reset(struct bt_cpu *c, unsigned index)
{
	c->home = 1;
	c->index = index;
	c->shift_of[0] = 0;
	c->shift_of[1] = BT_SHIFT;
	c->unshift_of[0] = 0;
	c->unshift_of[1] = -BT_SHIFT;
	c->table2_mask = BT_TABLE2_MASK;
	both_reset(c);
	c->cr0 = CR0_RESET;
	c->xcr0 = 1;
	c->run = index == 0 ? X86_RUNNABLE : X86_UNINITIALIZED;
	c->apic_base = 0xfee00800U | (index == 0 ? 0x100U : 0);
	c->pat = PAT_RESET;
	bt_msr_reset(c);
	bt_lapic_reset(c);
}

void bt_cpu_init(struct bt_cpu *c)
{
	uint64_t cache = c->cr0 & CR0_CACHE;

	both_reset(c);
	c->cr0 = (CR0_RESET & ~CR0_CACHE) | cache;
	c->run = c->apic_base & 0x100 ? X86_RUNNABLE : X86_INIT_RECEIVED;
	bt_lapic_init(c);
	c->world->flush(c, BT_FLUSH_ALL, 0);
}

void bt_cpu_startup(struct bt_cpu *c, uint8_t vector)
{
	c->seg[X86_CS].selector = (uint16_t)(vector << 8);
	c->seg[X86_CS].base = (uint64_t)vector << 12;
	c->rip = 0;
	c->run = X86_RUNNABLE;
}

static void events_get(const struct bt_cpu *c, struct x86_state *s)
{
	s->events = c->coming;
	s->events.interrupt_shadow = c->shadow ? SHADOW_STI : 0;
	s->events.nmi_masked = c->nmi_masked;
	s->events.nmi_pending = c->nmi_pending;
	if (!c->exchange)
		return;
	s->events.nmi_pending |= __atomic_load_n(&c->exchange->nmi, __ATOMIC_SEQ_CST) != 0;
	if (s->run == X86_INIT_RECEIVED && __atomic_load_n(&c->exchange->sipi, __ATOMIC_SEQ_CST)) {
		s->run = X86_SIPI_RECEIVED;
		s->events.sipi_vector = c->exchange->sipi & 0xff;
	}
}

void bt_cpu_get(const struct bt_cpu *c, struct x86_state *s)
{
	__builtin_memcpy(s->gpr, c->gpr, sizeof(s->gpr));
	s->rip = c->rip;
	s->rflags = c->rflags;
	__builtin_memcpy(s->seg, c->seg, sizeof(s->seg));
	s->seg[X86_FS].base = c->fs_base;
	s->seg[X86_GS].base = c->gs_base;
	s->gdt = c->gdt;
	s->idt = c->idt;
	s->cr0 = c->cr0;
	s->cr2 = c->cr2;
	s->cr3 = c->cr3;
	s->cr4 = c->cr4;
	s->cr8 = c->lapic.tpr >> 4;
	s->efer = c->efer;
	s->apic_base = c->apic_base;
	s->xcr0 = c->xcr0;
	__builtin_memcpy(s->dr, c->dr, sizeof(s->dr));
	s->dr6 = c->dr6;
	s->dr7 = c->dr7;
	s->run = c->run;
	events_get(c, s);
	s->tsc_khz = (uint32_t)c->vm->tsc_khz;
	s->n_msrs = bt_msr_save(c, s->msr);
	bt_lapic_save(c, s->lapic);
}

static bool has_lapic(const struct x86_state *s)
{
	uint32_t version;

	__builtin_memcpy(&version, s->lapic + LAPIC_VERSION_OFFSET, sizeof(version));
	return version != 0;
}

/* Paging and long mode go together as they can on a processor. */
static bool is_mode_valid(const struct bt_cpu *c, const struct x86_state *s)
{
	bool pg = s->cr0 & X86_CR0_PG, pae = s->cr4 & X86_CR4_PAE;
	bool lme = s->efer & X86_EFER_LME, lma = s->efer & X86_EFER_LMA;

	if (pg && !(s->cr0 & X86_CR0_PE))
		return false;
	if (s->cr4 & ~bt_cr4_valid(c) || s->cr3 & ~(BT_PHYS_END - 1) || s->efer & ~bt_efer_valid(c))
		return false;
	if (lma != (lme && pg) || (lma && !pae))
		return false;
	if (!lma && (s->cr4 & X86_CR4_PCIDE || s->seg[X86_CS].attr & ATTR_LONG))
		return false;
	return !(s->rflags & X86_VM); /* virtual-8086 mode is not to be had: event.h */
}

static bool is_clock_valid(const struct bt_cpu *c, uint32_t khz)
{
	int64_t has = (int64_t)c->vm->tsc_khz, ppm;

	if (khz == 0 || has == 0)
		return true;
	ppm = ((int64_t)khz - has) * 1000000 / has;
	return ppm <= TSC_TOLERANCE_PPM && ppm >= -TSC_TOLERANCE_PPM;
}

static bool is_state_valid(const struct bt_cpu *c, const struct x86_state *s)
{
	if ((unsigned)s->run >= X86_RUN_COUNT || s->n_msrs > X86_MSRS_MAX || s->events.smi_smm)
		return false;
	if (s->xcr0 && !bt_xcr0_valid(c, s->xcr0))
		return false;
	if (s->events.exception_nr > 31)
		return false;
	return is_mode_valid(c, s) && is_clock_valid(c, s->tsc_khz) &&
	       bt_msr_can_restore(c, s->msr, s->n_msrs);
}

/* events_set() - what was on its way arrives before the next instruction (bt_event_take()). */
static void events_set(struct bt_cpu *c, const struct x86_state *s)
{
	const struct x86_events *x = &s->events;

	c->coming = (struct x86_events){
		.exception_injected = x->exception_injected || x->exception_pending,
		.exception_nr = x->exception_nr,
		.exception_has_code = x->exception_has_code,
		.exception_code = x->exception_code,
		.interrupt_injected = x->interrupt_injected,
		.interrupt_nr = x->interrupt_nr,
		.interrupt_soft = x->interrupt_soft,
		.nmi_injected = x->nmi_injected,
	};
	if (x->exception_pending && x->exception_has_payload) {
		if (x->exception_nr == X86_PAGE)
			c->cr2 = x->exception_payload;
		else if (x->exception_nr == X86_DB)
			c->dr6 |= x->exception_payload;
	}
	c->shadow = x->interrupt_shadow != 0;
	c->nmi_masked = x->nmi_masked;
	c->nmi_pending = x->nmi_pending;
	if (!c->exchange)
		return;
	if (s->run == X86_SIPI_RECEIVED) {
		c->run = X86_INIT_RECEIVED;
		__atomic_store_n(&c->exchange->sipi, 0x100 | (x->sipi_vector & 0xff), __ATOMIC_SEQ_CST);
	}
}

int bt_cpu_set(struct bt_cpu *c, const struct x86_state *s)
{
	if (!is_state_valid(c, s))
		return -EINVAL;
	__builtin_memcpy(c->gpr, s->gpr, sizeof(c->gpr));
	c->rip = s->rip;
	c->rflags = (s->rflags & FLAGS_VALID) | 2;
	__builtin_memcpy(c->seg, s->seg, sizeof(c->seg));
	c->fs_base = s->seg[X86_FS].base;
	c->gs_base = s->seg[X86_GS].base;
	c->gdt = s->gdt;
	c->idt = s->idt;
	c->cr0 = s->cr0;
	c->cr2 = s->cr2;
	c->cr3 = s->cr3;
	c->cr4 = s->cr4;
	c->efer = s->efer;
	if (s->apic_base)
		c->apic_base = s->apic_base;
	if (s->xcr0)
		c->xcr0 = s->xcr0;
	if (s->dr7) {
		__builtin_memcpy(c->dr, s->dr, sizeof(c->dr));
		c->dr6 = s->dr6;
		c->dr7 = s->dr7;
	}
	c->run = s->run;
	c->lapic.tpr = (s->cr8 & 15) << 4;
	if (has_lapic(s))
		bt_lapic_load(c, s->lapic);
	bt_msr_restore(c, s->msr, s->n_msrs);
	events_set(c, s);
	c->world->flush(c, BT_FLUSH_ALL, 0);
	c->world->timer(c);
	return 0;
}
