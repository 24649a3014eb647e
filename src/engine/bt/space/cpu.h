/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpu.h - one guest processor as its space process keeps it
 *
 * Theory of operation. Outside translated code every register is in struct bt_cpu as the guest sees it: gpr[RSP] without the
 * shift, rflags whole. bt_enter() (enter.h) makes the other form and takes it back. Vector and x87 registers are never in
 * memory here: nothing in a space process is compiled to touch them, so the guest's stay in the host's registers.
 *
 * Functions that stand for a step of the guest return BT_OK, or BT_FAULT after bt_raise() noted the exception in @fault; whoever
 * drives the instruction delivers it (event.h). Nothing of the instruction has happened then, as the architecture wants of faults.
 */
#ifndef ENGINE_BT_SPACE_CPU_H
#define ENGINE_BT_SPACE_CPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/bt/exchange.h"
#include "engine/bt/space/layout.h"
#include "engine/x86_state.h"

/* How code is translated: what its memory operands mean. */
enum bt_mode {
	BT_KERNEL, /* CPL 0, 64-bit; every operand through the shift */
	BT_KERNEL_AC, /* the same between STAC and CLAC: operands are user's or kernel's, chosen by bit 63 as it runs */
	BT_USER, /* CPL 3, 64-bit; addresses are the host's */
	BT_MODE_COUNT
};

enum { BT_OK = 0, BT_FAULT = -1 };

enum x86_flag {
	X86_CF = 1 << 0,
	X86_PF = 1 << 2,
	X86_AF = 1 << 4,
	X86_ZF = 1 << 6,
	X86_SF = 1 << 7,
	X86_TF = 1 << 8,
	X86_IF = 1 << 9,
	X86_DF = 1 << 10,
	X86_OF = 1 << 11,
	X86_IOPL = 3 << 12,
	X86_NT = 1 << 14,
	X86_RF = 1 << 16,
	X86_VM = 1 << 17,
	X86_AC = 1 << 18,
	X86_VIF = 1 << 19,
	X86_VIP = 1 << 20,
	X86_ID = 1 << 21,
	X86_ARITH = X86_CF | X86_PF | X86_AF | X86_ZF | X86_SF | X86_OF,
	BT_HOST_FLAGS =
		X86_ARITH |
		X86_DF, /* of the guest's flags, those that are the host's while translated code runs */
};

enum x86_vector {
	X86_DE = 0,
	X86_DB = 1,
	X86_NMI = 2,
	X86_BP = 3,
	X86_OVERFLOW = 4,
	X86_BR = 5,
	X86_UD = 6,
	X86_NM = 7,
	X86_DOUBLE = 8,
	X86_TS = 10,
	X86_NP = 11,
	X86_SS_FAULT = 12,
	X86_GP = 13,
	X86_PAGE = 14,
	X86_MATH = 16, /* x87 */
	X86_ALIGN = 17,
	X86_SIMD = 19
};

enum { /* bits of control registers and EFER */
       X86_CR0_PE = 1 << 0,
       X86_CR0_MP = 1 << 1,
       X86_CR0_EM = 1 << 2,
       X86_CR0_TS = 1 << 3,
       X86_CR0_ET = 1 << 4,
       X86_CR0_NE = 1 << 5,
       X86_CR0_WP = 1 << 16,
       X86_CR0_AM = 1 << 18,
       X86_CR4_VME = 1 << 0,
       X86_CR4_TSD = 1 << 2,
       X86_CR4_PVI = 1 << 1,
       X86_CR4_DE = 1 << 3,
       X86_CR4_PSE = 1 << 4,
       X86_CR4_PAE = 1 << 5,
       X86_CR4_MCE = 1 << 6,
       X86_CR4_PGE = 1 << 7,
       X86_CR4_PCE = 1 << 8,
       X86_CR4_OSFXSR = 1 << 9,
       X86_CR4_OSXMMEXCPT = 1 << 10,
       X86_CR4_UMIP = 1 << 11,
       X86_CR4_FSGSBASE = 1 << 16,
       X86_CR4_PCIDE = 1 << 17,
       X86_CR4_OSXSAVE = 1 << 18,
       X86_CR4_SMEP = 1 << 20,
       X86_CR4_SMAP = 1 << 21,
       X86_EFER_SCE = 1 << 0,
       X86_EFER_LME = 1 << 8,
       X86_EFER_LMA = 1 << 10,
       X86_EFER_NX = 1 << 11,
       X86_EFER_AUTO_IBRS = 1 << 21, /* AMD: nothing follows from it here */
};
#define X86_CR0_PG 0x80000000U
#define X86_CR0_CD 0x40000000U
#define X86_CR0_NW 0x20000000U

struct bt_slot { /* of guest memory; size 0: none */
	uint64_t gpa, size;
	uint8_t *host;      /* where this process has it */
	bool readonly, log; /* log: what is written there is noted in bt_vm.written */
	int fd;             /* of the file it is in, and where in it */
	uint64_t offset;
	uint32_t age; /* another whenever it has changed */
};

struct bt_vm { /* the same for all processors */
	struct bt_slot slot[BT_SLOTS_MAX];
	uint16_t by_gpa
		[BT_SLOTS_MAX]; /* those that there are, in the order of their addresses (bt_slots_sort()) */
	unsigned n_slots;
	uint32_t slots_age;     /* of the one that changed last */
	int file[BT_FILES_MAX]; /* descriptors + 1; 0: none */
	uint64_t *written;      /* a bit for each page, of all processors (mmu.h, bt_log_note()) */
	uint64_t tsc_khz;
	uint64_t clock_ahead; /* ns that the paravirtual clock is ahead of the TSC */
	unsigned n_cpus;
};

enum bt_refill { BT_REFILL_NOT, BT_REFILL_READ, BT_REFILL_WRITE };

struct bt_fault {
	uint8_t vector;
	bool has_code;
	uint32_t code;
	uint64_t cr2; /* of a page fault */
	uint64_t dr6; /* of #DB: the bits to set there (BD, BS, B0 to B3) */
};

struct bt_io { /* one access that the manager answers */
	bool port, write;
	uint8_t size; /* 1, 2, 4, 8 */
	uint64_t addr;
	uint64_t data; /* to write; read: the answer */
};

enum bt_flush {
	BT_FLUSH_PAGE,  /* what maps one address, in this address space and among global ones */
	BT_FLUSH_SPACE, /* all that is not global (CR3); the address is what was written there: bit 63 set, what its PCID has may stay */
	BT_FLUSH_ALL,   /* global ones too (CR4.PGE, CR0.PG) */
	BT_FLUSH_COUNT
};

struct bt_ipi {        /* as written to the APIC's command register */
	uint32_t dest; /* x2APIC form */
	uint32_t low;  /* vector, mode, shorthand as in the register's lower half */
};

struct bt_cpu;

struct bt_world { /* what a processor asks of what is around it; tests have their own. None may be NULL. */
	void (*io)(struct bt_cpu *c, struct bt_io *io);
	void (*timer)(struct bt_cpu *c); /* bt_lapic_deadline() has changed */
	void (*flush)(struct bt_cpu *c, enum bt_flush what, uint64_t va);
	void (*code_made)(struct bt_cpu *c,
			  uint64_t gpa); /* the page at @gpa begins to hold translated code */
	void (*code_written)(struct bt_cpu *c, uint64_t gpa,
			     size_t len); /* guest memory is about to be written */
	void (*ipi)(struct bt_cpu *c,
		    const struct bt_ipi *ipi);          /* to others; its own part the sender has taken */
	void (*eoi)(struct bt_cpu *c, unsigned vector); /* of a level-triggered interrupt */
	uint8_t (*acknowledge)(struct bt_cpu *c);       /* of the 8259's interrupt: its vector */
};

struct bt_lapic {
	uint32_t id, tpr, ldr, dfr, svr, esr, icr_low, icr_high;
	uint32_t lvt[7]; /* CMCI, timer, thermal, performance, LINT0, LINT1, error: as numbered in lapic.h */
	uint32_t timer_initial, timer_divide;
	uint64_t deadline; /* TSC at which it interrupts next (in deadline mode the guest's); 0: never */
	uint32_t irr[8], isr[8], tmr[8];
};

enum { BT_CHANGES_MAX = 1024 };

enum bt_change { BT_CHANGE_PAGE, BT_CHANGE_ALL, BT_CHANGE_CODE };

struct bt_space_change {
	uint8_t what;  /* enum bt_change */
	uint8_t space; /* in which it was */
	uint64_t at;   /* of a page: the guest's address; of code: the physical one */
};

struct bt_spaces {                  /* what a processor's processes say to each other (spaces.h) */
	uint32_t go[BT_SPACES_MAX]; /* futexes: 1 is the turn of that process */
	uint32_t wanted;            /* the one that CR3 asks for */
	uint32_t tid[BT_SPACES_MAX];
	uint32_t core[BT_SPACES_MAX]; /* of the host, which it stays on; BT_CORES_MAX: any */
	uint64_t loosened;            /* host TSC at which a hand-over last let the host choose */
	bool flush[BT_SPACES_MAX];    /* its address space is to be flushed before it runs */
	bool global_users;            /* there has been a global page in the user's half */
	uint16_t pcid[BT_SPACES_MAX];
	uint64_t used[BT_SPACES_MAX], clock; /* when it was last chosen; 0: never */
	uint64_t n_changes;
	struct bt_space_change change[BT_CHANGES_MAX]; /* the last ones */
};

enum { BT_MSR_KEPT_MAX = 64, BT_SCRATCH = 8 };

struct bt_cpu {
	/* Reached from translated code, at BT_CPU_BASE + offsetof: see BT_AT(). */
	uint64_t gpr[X86_GPR_COUNT];
	uint64_t flags; /* BT_HOST_FLAGS of them, on entry and exit */
	uint64_t rip;   /* where an exit goes on */
	uint64_t
		if_clear; /* 0: interrupts on; -X86_IF: off. Host flags (IF set) plus this are what PUSHF pushes */
	uint64_t quiet;     /* 0: something waits for interrupts to be on */
	uint64_t entry;     /* translated code to enter */
	uint64_t exit;      /* number of the exit taken */
	uint64_t attention; /* not 0: do not enter, there is something to look at */
	uint64_t home;      /* 0: it runs in a process that is not its address space's (spaces.h) */
	uint64_t host_rsp;
	uint64_t fs_view, gs_view; /* the host's segment bases while translated code runs */
	uint64_t scratch[BT_SCRATCH];
	uint64_t target_rcx;    /* saved around an indirect branch */
	uint64_t by_return;     /* 1: the indirect branch that left was one; 0: another */
	uint64_t shift_of[2];   /* by bit 63 of an address: 0, BT_SHIFT */
	uint64_t unshift_of[2]; /* 0, -BT_SHIFT */
	uint64_t table2_mask;   /* BT_TABLE2_MASK */
	uint64_t xcr0;
	uint64_t fs_base, gs_base, kernel_gs_base; /* the guest's; seg[].base is not used for FS and GS */

	/* From here on C alone. */
	uint64_t rflags;
	struct x86_segment seg[X86_SEG_COUNT];
	struct x86_table gdt, idt;
	uint64_t cr0, cr2, cr3, cr4, efer, apic_base; /* CR8 is the APIC's tpr >> 4 */
	uint64_t dr[4], dr6, dr7;
	uint64_t star, lstar, cstar, sfmask, tsc_aux, tsc_offset, pat, misc_enable;
	uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
	struct x86_msr kept[BT_MSR_KEPT_MAX]; /* the rest: what is written is read again */
	unsigned n_kept;
	enum x86_run run;
	bool shadow; /* interrupts wait for one more instruction (STI, MOV SS) */
	bool nmi_masked, nmi_pending;
	struct x86_events
		coming; /* of a restored state: the exception, interrupt or NMI to deliver before anything else */
	bool left_step; /* translated code was left by a signal: the instruction at rip is the interpreter's */
	uint8_t left_mode; /* and the mode it was in (enum bt_mode); before that, the one it was entered in */
	uint8_t *native;   /* interp_vector.c: a page to run single instructions in */
	uint64_t native_out;  /* where a signal there goes on */
	uint16_t native_slot; /* where in the page the instruction goes */
	struct bt_fault fault;
	enum bt_refill refill; /* at cr2, when the handler has returned */
	struct bt_lapic lapic;
	struct x86_cpuid cpuid[BT_CPUID_MAX];
	unsigned n_cpuid, index;
	bool drop_code; /* all that has been translated, when no block is being made (others.h) */

	struct x86_debug debug; /* debug.h */
	unsigned n_watched;     /* of its points that are no RUN */
	uint64_t touched;       /* the watched address that was; @touched_size 0: none */
	uint8_t touched_size;
	uint32_t n_code_points; /* RUN points that translated code leaves at */
	uint64_t code_point[X86_POINTS_MAX];

	struct bt_spaces spaces;
	struct bt_vm *vm;
	const struct bt_world *world;
	struct bt_exchange *exchange; /* NULL in tests */
};

_Static_assert(sizeof(struct bt_cpu) <= BT_CPU_SIZE, "a processor fits its place");

/* BT_AT() - the absolute address of a member, as translated code uses it */
#define BT_AT(member) ((uint32_t)(BT_CPU_BASE + offsetof(struct bt_cpu, member)))

static inline unsigned bt_cpl(const struct bt_cpu *c)
{
	return !(c->cr0 & X86_CR0_PE) ? 0 : c->rflags & X86_VM ? 3 : (c->seg[X86_SS].attr >> 5) & 3;
}

static inline bool bt_is_long(const struct bt_cpu *c) /* 64-bit code: long mode, and CS.L */
{
	return (c->efer & X86_EFER_LMA) && (c->seg[X86_CS].attr & 1 << 13);
}

static inline uint64_t bt_seg_base(const struct bt_cpu *c, enum x86_seg s)
{
	return s == X86_FS ? c->fs_base : s == X86_GS ? c->gs_base : c->seg[s].base;
}

static inline void bt_count(struct bt_cpu *c, enum bt_counter n)
{
	if (c->exchange)
		c->exchange->counter[n]++;
}

/* bt_raise() - notes an exception. Return: BT_FAULT. */
static inline int bt_raise(struct bt_cpu *c, enum x86_vector vector)
{
	c->fault = (struct bt_fault){ .vector = vector };
	return BT_FAULT;
}

static inline int bt_raise_code(struct bt_cpu *c, enum x86_vector vector, uint32_t code)
{
	c->fault = (struct bt_fault){ .vector = vector, .has_code = true, .code = code };
	return BT_FAULT;
}

/* cpu.c */
void bt_cpu_reset(struct bt_cpu *c, unsigned index); /* as after power-on; vm, world and exchange stay */
void bt_cpu_init(
	struct bt_cpu *
		c); /* as INIT leaves it: its MSRs, XCR0 and TSC stay; it waits for SIPI if it is not the first */
void bt_cpu_startup(struct bt_cpu *c, uint8_t vector); /* SIPI */
void bt_cpu_get(const struct bt_cpu *c,
		struct x86_state *s); /* all but xsave, which is where the registers are */
int bt_cpu_set(struct bt_cpu *c,
	       const struct x86_state *s); /* likewise. Return: 0, or -EINVAL and nothing changed */

#endif
