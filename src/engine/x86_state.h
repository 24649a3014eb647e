/* SPDX-License-Identifier: Apache-2.0 */
/* x86_state.h - all of one x86-64 processor as a guest sees it, in no engine's own terms; snapshots hold this */
#ifndef ENGINE_X86_STATE_H
#define ENGINE_X86_STATE_H

#include <stdint.h>

enum x86_gpr {
	X86_RAX,
	X86_RCX,
	X86_RDX,
	X86_RBX,
	X86_RSP,
	X86_RBP,
	X86_RSI,
	X86_RDI,
	X86_R8,
	X86_R15 = 15,
	X86_GPR_COUNT
};
enum x86_seg { X86_ES, X86_CS, X86_SS, X86_DS, X86_FS, X86_GS, X86_LDTR, X86_TR, X86_SEG_COUNT };

enum { X86_MSRS_MAX = 128, X86_XSAVE_MAX = 4096, X86_LAPIC_BYTES = 1024 };

struct x86_segment {
	uint64_t base;
	uint32_t limit;
	uint16_t selector;
	uint16_t
		attr; /* access rights as in VMX: type 0-3, S 4, DPL 5-6, P 7, AVL 12, L 13, DB 14, G 15; bit 8: unusable */
};

struct x86_table {
	uint64_t base;
	uint16_t limit;
};

struct x86_msr {
	uint32_t index;
	uint64_t value;
};

enum x86_run {
	X86_RUNNABLE,
	X86_UNINITIALIZED,
	X86_INIT_RECEIVED,
	X86_HALTED,
	X86_SIPI_RECEIVED,
	X86_RUN_COUNT
};

struct x86_events { /* what is on its way into the processor */
	uint8_t exception_injected, exception_nr, exception_has_code, exception_pending;
	uint32_t exception_code;
	uint64_t exception_payload;
	uint8_t exception_has_payload;
	uint8_t interrupt_injected, interrupt_nr, interrupt_soft, interrupt_shadow;
	uint8_t nmi_injected, nmi_pending, nmi_masked;
	uint32_t sipi_vector;
	uint8_t smi_smm, smi_pending, smi_inside_nmi, smi_latched_init;
};

/*
 * For engine_cpu_set() a state may leave parts out; they stay as the processor's reset has them: MSRs (n_msrs 0), XSAVE (its length
 * 0), XCR0 (0), debug registers (dr7 0), apic_base (0), the APIC (its version register 0), the TSC's frequency (0).
 */
struct x86_state {
	uint64_t gpr[X86_GPR_COUNT], rip, rflags;
	struct x86_segment seg[X86_SEG_COUNT];
	struct x86_table gdt, idt;
	uint64_t cr0, cr2, cr3, cr4, cr8, efer, apic_base, xcr0;
	uint64_t dr[4], dr6, dr7;
	enum x86_run run;
	struct x86_events events;
	uint32_t tsc_khz; /* 0: not told */
	uint32_t n_msrs, xsave_len;
	struct x86_msr msr[X86_MSRS_MAX];
	uint8_t lapic[X86_LAPIC_BYTES];            /* register page, as the hardware lays it out */
	_Alignas(64) uint8_t xsave[X86_XSAVE_MAX]; /* standard format */
};

enum x86_point_kind { X86_POINT_RUN, X86_POINT_WRITE, X86_POINT_TOUCH /* read or written */ };

enum { X86_POINTS_MAX = 64 };

struct x86_debug {     /* where a debugger wants a processor to stop; nothing of it is seen by the guest */
	uint32_t step; /* after the next instruction, RUN point or not; nothing that waits interrupts it */
	uint32_t n;
	struct x86_point {
		uint64_t addr; /* linear, a multiple of @len */
		uint32_t kind; /* enum x86_point_kind */
		uint32_t len;  /* bytes: 1, 2, 4, 8; RUN: 1 */
	} point[X86_POINTS_MAX];
};

struct x86_cpuid {
	uint32_t leaf, subleaf; /* subleaf counts when @indexed */
	uint32_t eax, ebx, ecx, edx;
	uint32_t indexed;
};

#endif
