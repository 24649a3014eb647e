/* SPDX-License-Identifier: Apache-2.0 */
/*
 * interp_fuzz.c - any code, in any mode and state: every step ends, in guest memory or in a fault
 *
 * The input: registers and mode, then code, at which each step begins anew where the last one has left it. Guest memory has pages that
 * are not there, read-only ones, user's and kernel's, a read-only slot, and a device behind its end. An instruction run natively that
 * has a page fault of the host has left its buffer: that is a finding, as is an instruction that the interpreter does not know.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "base/bug.h"
#include "engine/bt/space/interp.h"
#include "engine/bt/space/mmu.h"
#include "engine/bt/space/segment.h"
#include "engine/bt/space/system.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	PAGE = 4096,
	RAM_SIZE = 128 << 10,
	ROM_SIZE = 8 << 10, /* of it, at the end */
	STEPS = 24,
	TRAP_PAGE = 14,
	SIGNAL_STACK = 65536,
	PML4 = 0x2000,
	PDPT = 0x3000,
	PD = 0x4000,
	PT = 0x5000,
	GDT = 0x6000,
	IDT = 0x7000,
	TSS = 0x8000,
	PAE = 0x9000, /* PDPT, as PAE paging has it: no rights in it */
	STACK = 0xa800,
	CODE = 0x10000,
	CODE_MAX = 2 * PAGE,
	N_SELECTORS = 16,
};

struct head {
	uint64_t reg[X86_GPR_COUNT], fs_base, gs_base;
	uint32_t rflags, cr4, near; /* bit n of the last: register n points into memory */
	uint16_t rip, attr[6];
	uint8_t mode, cpl, xcr0, dr7;
};

static struct bt_cpu *cpu;
static uint8_t *native, *ram;

static void io(struct bt_cpu *c, struct bt_io *x)
{
	(void)c;
	BUG_ON(x->size != 1 && x->size != 2 && x->size != 4 && x->size != 8);
	BUG_ON(x->port && (x->addr > UINT16_MAX || x->size == 8));
	if (!x->write)
		x->data = 0x0123456789abcdef;
}

static void nothing(struct bt_cpu *c)
{
	(void)c;
}

static void flush(struct bt_cpu *c, enum bt_flush what, uint64_t va)
{
	(void)c;
	(void)va;
	BUG_ON(what >= BT_FLUSH_COUNT);
}

static void code_made(struct bt_cpu *c, uint64_t gpa)
{
	(void)c;
	(void)gpa;
}

static void code_written(struct bt_cpu *c, uint64_t gpa, size_t len)
{
	BUG_ON(!bt_ram(c->vm, gpa, len, true));
}

static void ipi(struct bt_cpu *c, const struct bt_ipi *x)
{
	(void)c;
	(void)x;
}

static void eoi(struct bt_cpu *c, unsigned vector)
{
	(void)c;
	BUG_ON(vector > 255);
}

static const struct bt_world world = {
	.io = io,
	.timer = nothing,
	.flush = flush,
	.code_made = code_made,
	.code_written = code_written,
	.ipi = ipi,
	.eoi = eoi,
};

static void on_signal(int sig, siginfo_t *info, void *context)
{
	const ucontext_t *uc = context;

	(void)info;
	if ((sig == SIGSEGV || sig == SIGBUS) && uc->uc_mcontext.gregs[REG_TRAPNO] == TRAP_PAGE)
		abort();
	if (!bt_interp_native_fault(cpu, context, sig))
		abort();
}

static void set_up(void)
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP };
	static uint8_t signal_stack[SIGNAL_STACK];
	stack_t ss = { .ss_sp = signal_stack, .ss_size = SIGNAL_STACK };
	struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	int rw = PROT_READ | PROT_WRITE, how = MAP_PRIVATE | MAP_ANONYMOUS;

	cpu = calloc(1, sizeof(*cpu));
	native = mmap(NULL, BT_NATIVE_BYTES, rw | PROT_EXEC, how, -1, 0);
	ram = mmap(NULL, RAM_SIZE + 2 * PAGE, PROT_NONE, how, -1, 0); /* nothing on either side */
	BUG_ON(!cpu || native == MAP_FAILED || ram == MAP_FAILED);
	ram += PAGE;
	BUG_ON(mprotect(ram, RAM_SIZE - ROM_SIZE, rw) ||
	       mprotect(ram + RAM_SIZE - ROM_SIZE, ROM_SIZE, PROT_READ));
	sigaltstack(&ss, NULL);
	for (size_t k = 0; k < ARRAY_SIZE(signals); k++)
		sigaction(signals[k], &sa, NULL);
}

static void put(uint64_t gpa, uint64_t value)
{
	memcpy(ram + gpa, &value, 8);
}

/* tables() - pages: where they are, by turns the user's; descriptors and gates of each kind that there is. */
static void tables(void)
{
	static const uint16_t attr[N_SELECTORS] = { 0,      0xa09b, 0xc093, 0xc0fb, 0xc0f3, 0xa0fb,
						    0xc09a, 0x009b, 0x0089, 0,      0xc013, 0xc091,
						    0xc096, 0x008c, 0,      0x0082 };

	for (uint64_t base = PML4; base < PT; base += PAGE) {
		put(base, (base + PAGE) | 7);
		put(base + PAGE - 8, (base + PAGE) | 7);
	}
	for (uint64_t k = 0; k < 512; k++)
		put(PT + 8 * k,
		    k % 13 == 12 ? 0 : k << 12 | (k & 1 ? 7 : 3) | (k % 7 == 6 ? 0 : 2) | (k >= 24 ? 4 : 0));
	put(PAE, PD | 1);
	put(PT + 8 * 27, 27 << 12 | 5); /* read-only */
	for (uint64_t k = 0; k < N_SELECTORS; k++)
		put(GDT + 8 * k, 0xffff | (uint64_t)(attr[k] & 0xf0ff) << 40 | 0xfULL << 48 |
					 (k == 8 ? (uint64_t)TSS << 16 : 0));
	for (uint64_t k = 0; k < 256; k++) {
		put(IDT + 16 * k, (CODE & 0xffff) | 1ULL << 19 | (k & 1 ? 0xeeULL : 0x8fULL) << 40 |
					  (uint64_t)(CODE >> 16) << 48);
		put(IDT + 16 * k + 8, 0);
	}
	memset(ram + TSS, 0, 0x100);
	put(TSS + 4, STACK);
	put(TSS + 102, 0x68);
}

/* registers() - what a system could have brought about: what it cannot, is not asked for. */
static void registers(struct bt_cpu *c, const struct head *h)
{
	unsigned mode = h->mode & 3, cpl = mode == 0 ? 0 : h->cpl & 1 ? 3 : 0;
	bool wide = mode == 3;

	c->cr0 = X86_CR0_ET | X86_CR0_NE | (mode ? X86_CR0_PE : 0) | (h->mode & 4 ? X86_CR0_WP : 0) |
		 (h->mode & 8 ? X86_CR0_TS : 0) | (mode >= 2 ? X86_CR0_PG : 0);
	/* zeros are a machine with everything on */
	c->cr4 = (h->cr4 ^ (X86_CR4_OSFXSR | X86_CR4_OSXSAVE | X86_CR4_FSGSBASE)) & bt_cr4_valid(c);
	if (mode >= 2)
		c->cr4 |= X86_CR4_PAE;
	c->cr3 = mode == 2 ? PAE : PML4;
	c->efer = X86_EFER_SCE | X86_EFER_NX | (wide ? X86_EFER_LME | X86_EFER_LMA : 0);
	c->xcr0 = h->xcr0 & 1 ? 1 : h->xcr0 & 2 ? 3 : 7;
	c->rflags = (h->rflags & (X86_ARITH | X86_TF | X86_IF | X86_DF | X86_IOPL | X86_NT | X86_AC)) | 2;
	for (int s = 0; s < 6; s++)
		if (mode)
			c->seg[s] =
				bt_flat((uint16_t)(0x10 | cpl), (h->attr[s] & 0xd01f) | BT_ATTR_P |
									BT_ATTR_S | cpl << BT_ATTR_DPL_SHIFT);
		else
			bt_seg_real(c, (enum x86_seg)s, h->attr[s] & 0x1fff);
	if (mode) {
		c->seg[X86_CS].attr = (uint16_t)((wide && h->mode & 16 ? 0xa09b :
						  h->mode & 32         ? 0xc09b :
									 0x809b) |
						 cpl << 5);
		c->seg[X86_SS].attr = (uint16_t)((h->mode & 64 ? 0xc093 : 0x8093) | cpl << 5);
		c->seg[X86_SS].selector = (uint16_t)(0x10 | cpl);
	} else {
		bt_seg_real(c, X86_CS, CODE >> 4);
	}
	c->seg[X86_TR] = (struct x86_segment){ .selector = 0x40, .base = TSS, .limit = 0xff, .attr = 0x8b };
	c->gdt = (struct x86_table){ .base = GDT, .limit = 8 * N_SELECTORS - 1 };
	c->idt = (struct x86_table){ .base = mode ? IDT : 0, .limit = 0xfff };
	for (int r = 0; r < X86_GPR_COUNT; r++)
		c->gpr[r] = h->near >> r & 1 ? h->reg[r] % (RAM_SIZE + 4 * PAGE) : h->reg[r];
	if (!(h->near >> 16 & 1))
		c->gpr[X86_RSP] = STACK - 0x400;
	for (int r = 0; r < X86_GPR_COUNT && !wide; r++)
		c->gpr[r] = (uint32_t)c->gpr[r];
	c->fs_base = bt_is_canonical(h->fs_base) ? h->fs_base : CODE;
	c->gs_base = bt_is_canonical(h->gs_base) ? h->gs_base : CODE;
	c->dr7 = 0x400 | (h->dr7 & 0x80 ? 0x3d010001U << (h->dr7 & 2) | 4 : 0);
	c->dr[0] = CODE + h->dr7;
	c->dr[1] = c->dr[2] = STACK - h->dr7;
}

/* stay() - rip in the code: elsewhere it begins again. */
static void stay(struct bt_cpu *c, uint16_t rip, size_t len)
{
	uint64_t base = bt_is_long(c) ? 0 : c->seg[X86_CS].base, at = base + c->rip - CODE;

	if (at < len)
		return;
	if (!bt_in_protected(c))
		bt_seg_real(c, X86_CS, CODE >> 4);
	base = bt_is_long(c) ? 0 : c->seg[X86_CS].base;
	c->rip = CODE + rip % len - base;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct bt_vm vm;
	const uint32_t mxcsr = 0x1f80;
	struct head h;
	size_t len;

	if (size <= sizeof(h))
		return 0;
	if (!cpu)
		set_up();
	memcpy(&h, data, sizeof(h));
	len = size - sizeof(h) < CODE_MAX ? size - sizeof(h) : CODE_MAX;
	memset(ram, 0, RAM_SIZE - ROM_SIZE);
	memcpy(ram + CODE, data + sizeof(h), len);
	tables();
	vm = (struct bt_vm){ .tsc_khz = 1000000 };
	vm.slot[0] = (struct bt_slot){ .size = RAM_SIZE - ROM_SIZE, .host = ram };
	vm.slot[1] = (struct bt_slot){ .gpa = RAM_SIZE - ROM_SIZE,
				       .size = ROM_SIZE,
				       .host = ram + RAM_SIZE - ROM_SIZE,
				       .readonly = true };
	bt_slots_sort(&vm);
	memset(cpu, 0, sizeof(*cpu));
	cpu->vm = &vm;
	cpu->world = &world;
	bt_cpu_reset(cpu, 0);
	bt_interp_init(cpu, native);
	registers(cpu, &h);
	for (unsigned n = 0; n < STEPS; n++) {
		enum bt_step step;

		stay(cpu, (uint16_t)(h.rip + 5 * n), len);
		step = bt_interp(cpu);
		BUG_ON(step == BT_STEP_UNKNOWN || !(cpu->rflags & 2));
		if (step != BT_STEP_ON)
			break;
	}
	__asm__ volatile("cld\n\tfninit\n\tldmxcsr %0" ::"m"(mxcsr));
	return 0;
}
