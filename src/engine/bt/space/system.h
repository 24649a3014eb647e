/* SPDX-License-Identifier: Apache-2.0 */
/* system.h - registers that only kernels touch: control and model-specific ones, CPUID, the local APIC */
#ifndef ENGINE_BT_SPACE_SYSTEM_H
#define ENGINE_BT_SPACE_SYSTEM_H

#include "engine/bt/space/cpu.h"

/* control.c: MOV to CRn, LMSW, CLTS, XSETBV, MOV DRn, with all that follows from them (paging mode, flushes). The privilege is checked by the caller. */
int bt_cr_read(struct bt_cpu *c, unsigned n, uint64_t *ret_value);
int bt_cr_write(struct bt_cpu *c, unsigned n, uint64_t value);
int bt_dr_read(struct bt_cpu *c, unsigned n, uint64_t *ret_value);
int bt_dr_write(struct bt_cpu *c, unsigned n, uint64_t value);
int bt_xsetbv(struct bt_cpu *c, uint32_t index, uint64_t value);
uint64_t bt_cr4_valid(const struct bt_cpu *c); /* the bits that may be set */
uint64_t bt_efer_valid(const struct bt_cpu *c);
bool bt_xcr0_valid(const struct bt_cpu *c, uint64_t value);

/* msr.c: #GP for those there are not */
int bt_msr_read(struct bt_cpu *c, uint32_t index, uint64_t *ret_value);
int bt_msr_write(struct bt_cpu *c, uint32_t index, uint64_t value);
uint64_t bt_tsc(const struct bt_cpu *c); /* as the guest reads it */
void bt_msr_reset(struct bt_cpu *c);
void bt_clock_set_ahead(struct bt_cpu *c,
			uint64_t ns); /* of the paravirtual clock: what is ahead of the TSC */
/* Those that a snapshot has, with the numbers and values that the kernel's KVM uses. bt_msr_save() - Return: how many, up to X86_MSRS_MAX */
unsigned bt_msr_save(const struct bt_cpu *c, struct x86_msr *ret_msr);
bool bt_msr_can_restore(const struct bt_cpu *c, const struct x86_msr *msr, unsigned n);
void bt_msr_restore(struct bt_cpu *c, const struct x86_msr *msr, unsigned n);

/* cpuid.c: from the table, with what follows from the state (OSXSAVE, XCR0's size, APIC id) */
void bt_cpuid(const struct bt_cpu *c, uint32_t leaf, uint32_t subleaf, uint32_t ret_reg[4]);
/* bt_has() - is the bit shown? @reg: 0 to 3, EAX to EDX. A processor that was given no table has everything. */
bool bt_has(const struct bt_cpu *c, uint32_t leaf, uint32_t subleaf, unsigned reg, unsigned bit);

/*
 * lapic.c: xAPIC by its page and x2APIC by MSRs are the same registers. @reg is the offset in the page / 16: 0x02 id, 0x08 tpr, 0x0b eoi...
 * Spec: Intel SDM volume 3, chapter 10
 */
int bt_lapic_read(struct bt_cpu *c, unsigned reg, uint64_t *ret_value);
int bt_lapic_write(struct bt_cpu *c, unsigned reg, uint64_t value);
bool bt_lapic_has_page(const struct bt_cpu *c, uint64_t gpa);
void bt_lapic_reset(struct bt_cpu *c);
void bt_lapic_init(struct bt_cpu *c); /* INIT: the same, but the id stays */
int bt_lapic_set_base(struct bt_cpu *c,
		      uint64_t value); /* the APIC_BASE MSR: on, off, x2APIC; #GP as the architecture wants */
void bt_lapic_post(struct bt_cpu *c, unsigned vector, bool level); /* an interrupt arrives */
void bt_lapic_collect(
	struct bt_cpu *c); /* takes what the exchange has posted, and the timer when its time has come */
int bt_lapic_pending(
	const struct bt_cpu *c); /* the vector that the processor's priority lets through; -1: none */
bool bt_lapic_extint(const struct bt_cpu *c); /* the 8259's line is up, and leads here */
void bt_lapic_accept(struct bt_cpu *c, unsigned vector);
uint64_t bt_lapic_deadline(const struct bt_cpu *c);     /* host TSC of the timer's next interrupt; 0: none */
uint64_t bt_lapic_tsc_deadline(const struct bt_cpu *c); /* its MSR, in the guest's TSC */
void bt_lapic_set_tsc_deadline(struct bt_cpu *c, uint64_t value);
void bt_lapic_save(const struct bt_cpu *c, uint8_t page[X86_LAPIC_BYTES]);
void bt_lapic_load(struct bt_cpu *c, const uint8_t page[X86_LAPIC_BYTES]);
/* does an interrupt for @dest (x2APIC or xAPIC form, physical or logical) mean this processor? */
bool bt_lapic_is_dest(const struct bt_cpu *c, uint32_t dest, bool logical);

#endif
