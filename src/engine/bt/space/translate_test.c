/* SPDX-License-Identifier: Apache-2.0 */
/*
 * translate_test.c - translated code against the interpreter, one random instruction at a time, in each mode
 *
 * The guest's memory is a file that is seen where the guest has it (user mode) and BT_SHIFT higher (kernel mode). Paging is off:
 * linear addresses are physical ones. Environment: HULL_BT_CASES, how many instructions; HULL_BT_SEED.
 */
#include "engine/bt/space/translate.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bug.h"
#include "engine/bt/space/interp.h"
#include "engine/bt/space/map.h"
#include "engine/bt/space/mmu.h"
#include "engine/bt/space/process.h"
#include "engine/bt/space/translate_internal.h"
#include "fmt/x86.h"

enum {
	CODE = 0x10000000,
	DATA = 0x10010000,
	STACK = 0x10020000,
	MEMORY = 0x30000,
	CASES = 60000,
	SIGNAL_STACK = 65536
};

static struct bt_cpu *cpu;
static struct bt_vm vm;
static uint8_t *memory, before[MEMORY], wanted[MEMORY];
static bool faulted, has_places; /* the second: what a space process has at fixed places is free here */
static unsigned n_made, n_written,
	n_compared; /* of the last: instructions that translated code carried out itself */

/* --- a world -------------------------------------------------------------------------------------------------------- */

static void world_io(struct bt_cpu *c, struct bt_io *io)
{
	(void)c;
	io->data = 0;
}

static void world_nothing(struct bt_cpu *c)
{
	(void)c;
}

static void world_flush(struct bt_cpu *c, enum bt_flush what, uint64_t va)
{
	(void)c;
	(void)what;
	(void)va;
}

static void world_made(struct bt_cpu *c, uint64_t gpa)
{
	(void)c;
	(void)gpa;
	n_made++;
}

static void world_written(struct bt_cpu *c, uint64_t gpa, size_t len)
{
	(void)c;
	(void)gpa;
	(void)len;
	n_written++;
}

static void world_ipi(struct bt_cpu *c, const struct bt_ipi *ipi)
{
	(void)c;
	(void)ipi;
}

static void world_eoi(struct bt_cpu *c, unsigned vector)
{
	(void)c;
	(void)vector;
}

static uint8_t world_acknowledge(struct bt_cpu *c)
{
	(void)c;
	return 0;
}

static const struct bt_world world = { world_io,      world_nothing, world_flush, world_made,
				       world_written, world_ipi,     world_eoi,   world_acknowledge };

/* --- the host's signals, as a space process has them ---------------------------------------------------------------------- */

static const uint8_t context_reg[] = {
	REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
	REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15
};

static uint64_t host_fs, host_gs; /* libc's own, while translated code has the guest's */

/* Libc's canary is not where the guest's FS points. */
__attribute__((no_stack_protector)) static void on_signal(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	greg_t *g = uc->uc_mcontext.gregs;
	const void *pc = (const void *)(uintptr_t)g[REG_RIP];
	const struct bt_record *r;
	const struct bt_block *b;
	enum bt_recover how;

	(void)info;
	__asm__ volatile("wrfsbase %0" ::"r"(host_fs));
	if (bt_interp_native_fault(cpu, uc, sig))
		return;
	b = bt_block_at(pc);
	if (!b)
		_exit(99);
	for (int i = 0; i < X86_GPR_COUNT; i++)
		cpu->gpr[i] = (uint64_t)g[context_reg[i]];
	r = bt_recover(cpu, b, pc, cpu->gpr, &how);
	if (how != BT_RECOVER_BEFORE)
		_exit(98);
	cpu->flags = (uint64_t)g[REG_EFL] & BT_HOST_FLAGS;
	cpu->rip = b->rip + r->guest;
	cpu->left_mode = r->mode;
	faulted = true;
	g[REG_RIP] = (greg_t)(uintptr_t)bt_leave_signal();
}

static void *map_at(uint64_t at, size_t size, int prot, int fd)
{
	void *p = mmap((void *)(uintptr_t)at, size, prot,
		       MAP_FIXED_NOREPLACE |
			       (fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE : MAP_SHARED),
		       fd, 0);

	return p == (void *)(uintptr_t)at ? p : NULL;
}

#define NEED_PLACES()                                                                                        \
	if (!has_places) {                                                                                   \
		print_message(                                                                               \
			"# the addresses of a space process are taken (a sanitizer's), or no FSGSBASE\n");   \
		skip();                                                                                      \
	}

enum { HWCAP2_FSGSBASE = 1 << 1 };

static int set_up(void **state)
{
	const int rw = PROT_READ | PROT_WRITE, fd = memfd_create("guest", MFD_CLOEXEC);
	static uint8_t signal_stack[SIGNAL_STACK];
	stack_t ss = { .ss_sp = signal_stack, .ss_size = SIGNAL_STACK };
	void *native = mmap(NULL, BT_NATIVE_BYTES, rw | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	if (!(getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE))
		return 0;
	cpu = map_at(BT_CPU_BASE, BT_CPU_SIZE, rw, -1);
	memory = fd >= 0 && ftruncate(fd, MEMORY) == 0 ? map_at(CODE, MEMORY, rw, fd) : NULL;
	has_places = cpu && memory && map_at(CODE + BT_SHIFT, MEMORY, rw, fd) &&
		     map_at(BT_TABLE_BASE, BT_TABLES_SIZE, rw, -1) &&
		     map_at(BT_CACHE_BASE, BT_CACHE_SIZE, rw | PROT_EXEC, -1) &&
		     map_at(BT_ARENA_BASE, BT_ARENA_SIZE, rw, -1);
	if (!has_places)
		return 0;
	sigaltstack(&ss, NULL);
	__asm__ volatile("rdfsbase %0" : "=r"(host_fs));
	__asm__ volatile("rdgsbase %0" : "=r"(host_gs));
	bt_process()->store_count = calloc(1, (CODE + MEMORY) >> 12);
	assert_non_null(bt_process()->store_count);
	vm.slot[0] = (struct bt_slot){ .gpa = CODE, .size = MEMORY, .host = memory };
	bt_slots_sort(&vm);
	cpu->vm = &vm;
	cpu->world = &world;
	bt_cpu_reset(cpu, 0);
	bt_interp_init(cpu, native);
	bt_translate_init(&vm);
	return 0;
}

/* be() - 64-bit code at the level of @mode, without paging, which no processor has but which keeps addresses plain. */
static void be(enum bt_mode mode)
{
	unsigned dpl = mode == BT_USER ? 3 : 0;

	cpu->cr0 = X86_CR0_PE | X86_CR0_NE | 0x10;
	cpu->cr4 = X86_CR4_PAE | X86_CR4_OSFXSR | X86_CR4_OSXSAVE;
	cpu->efer = X86_EFER_LME | X86_EFER_LMA;
	cpu->xcr0 = 7;
	cpu->idt.limit = 0;
	cpu->seg[X86_CS].attr = (uint16_t)(0x9b | dpl << 5 | 1 << 13);
	cpu->seg[X86_SS].attr = (uint16_t)(0x93 | dpl << 5 | 1 << 14);
	cpu->rflags = 2;
	if (mode == BT_KERNEL_AC)
		cpu->rflags |= X86_AC;
}

static const struct bt_exit *enter(struct bt_block *b)
{
	const struct bt_exit *x = bt_enter(cpu, b);

	/* before anything that might look for its canary */
	__asm__ volatile("wrfsbase %0" ::"r"(host_fs));
	__asm__ volatile("wrgsbase %0" ::"r"(host_gs));
	return x;
}

/* --- random instructions ----------------------------------------------------------------------------------------------------- */

static bool is_wanted(const struct x86_insn *i)
{
	switch (i->class) {
	case X86_PLAIN:
		return !(i->map == X86_MAP_0F &&
			 (i->opcode == 0xc7 || i->opcode == 0xae)); /* RDRAND differs by itself */
	case X86_LEA:
	case X86_STACK: return i->opcode != 0xc8;
	case X86_VECTOR: /* not those that make a number of a vector register: C code between has its own in it */
		return !i->implicit_written && i->form != X86_EVEX && i->map != X86_MAP_1 && !i->vsib &&
		       i->is_mem &&
		       !(i->rm_use & X86_WRITTEN); /* C code between has its own in those registers */
	case X86_STRING: return !i->rep;
	case X86_JCC:
	case X86_LOOP:
	case X86_JMP:
	case X86_JMP_IND:
	case X86_CALL:
	case X86_CALL_IND:
	case X86_RET:
	case X86_PUSHF: return true;
	default: return false;
	}
}

static uint64_t operand_address(const struct x86_insn *i, const uint64_t *gpr, uint64_t next)
{
	uint64_t at = (uint64_t)i->disp + (i->rip_relative ? next : 0);

	at += i->base != X86_NONE ? gpr[i->base] : 0;
	return at + (i->index != X86_NONE ? gpr[i->index] * i->scale : 0);
}

/* invent() - an instruction at CODE whose memory lies in DATA or STACK, and registers for it. Return: its length. */
static int invent(struct x86_insn *i, uint64_t *gpr)
{
	static const uint8_t first[] = { 0x48, 0x4c, 0x49, 0x66, 0x0f, 0x41, 0x89,
					 0x8b, 0x8d, 0xff, 0xc5, 0xc4, 0xf0, 0x01 };

	for (;;) {
		uint8_t code[X86_INSN_MAX + 1];
		uint64_t at = 0;
		int len;

		for (size_t k = 0; k < sizeof(code); k++)
			code[k] = (uint8_t)(random() >> 8);
		if (random() & 1)
			code[0] = first[(size_t)random() % sizeof(first)];
		if ((random() & 3) == 0)
			code[1] = 0x0f;
		len = x86_decode(i, code, X86_INSN_MAX, 64);
		if (len <= 0 || !is_wanted(i) || i->p67 || i->segment != X86_NONE)
			continue;
		for (int r = 0; r < X86_GPR_COUNT; r++)
			gpr[r] = random() & 1 ? (uint64_t)random() << 33 ^ (uint64_t)random() :
						(uint64_t)random() & 0xff;
		gpr[X86_RSP] = STACK + 0x800 + ((uint64_t)random() & 0xff8);
		gpr[X86_RCX] &= 0xff;
		if (i->class == X86_STRING)
			gpr[X86_RSI] = DATA + ((uint64_t)random() & 0xfff),
			gpr[X86_RDI] = DATA + 0x2000 + ((uint64_t)random() & 0xfff);
		if (i->class == X86_STACK && i->opcode == 0xc9)
			gpr[X86_RBP] = STACK + 0x800;
		if ((i->class == X86_JMP_IND || i->class == X86_CALL_IND) && !i->is_mem && i->rm != X86_RSP)
			gpr[i->rm] >>=
				17; /* elsewhere the fault is the target's, not the branch's: as some processors have it */
		if (i->is_mem && i->class != X86_LEA) {
			if (i->moffs)
				continue;
			if (i->base != X86_NONE && i->base != X86_RSP)
				gpr[i->base] = DATA + 0x4000 + ((uint64_t)random() & 0xfff);
			if (i->index != X86_NONE && i->index != i->base)
				gpr[i->index] = (uint64_t)random() & 0xff;
			if (i->disp_len == 4) { /* a distance that stays inside */
				int32_t d = i->rip_relative     ? DATA + 0x4000 - (CODE + len) :
					    i->base == X86_NONE ? DATA + 0x4000 :
								  (int32_t)(random() & 0x3ff);

				memcpy(code + i->at_disp, &d, 4);
				len = x86_decode(i, code, X86_INSN_MAX, 64);
			}
			at = operand_address(i, gpr, CODE + (uint64_t)len);
			if (at < DATA || at > CODE + MEMORY - 64)
				continue;
			/* bit strings reach far */
			if (i->map == X86_MAP_0F && (i->opcode & 0xe7) == 0xa3 && i->form == X86_LEGACY)
				gpr[i->reg] &= i->reg == (unsigned)i->base || i->reg == (unsigned)i->index ?
						       ~0ULL :
						       0x1ff;
			if (i->map == X86_MAP_0F && (i->opcode & 0xe7) == 0xa3 &&
			    (i->reg == (unsigned)i->base || i->reg == (unsigned)i->index ||
			     i->reg == X86_RSP))
				continue;
		}
		at = i->class == X86_RET ? gpr[X86_RSP] : i->is_mem ? at : 0;
		if (i->class == X86_RET || (at && (i->class == X86_JMP_IND || i->class == X86_CALL_IND))) {
			/* a target that can be: where it cannot, translated code has the fault there, not at the branch */
			const uint64_t to = (uint64_t)random() << 10;

			memcpy(memory + (at - CODE), &to, 8);
		}
		memcpy(memory, code, (size_t)len);
		memory[len] = 0xf4; /* HLT: the interpreter's, in every mode */
		return len;
	}
}

static void explain(enum bt_mode mode, int len, const char *what, uint64_t got, uint64_t want)
{
	fprintf(stderr, "mode %d:", mode);
	for (int k = 0; k < len; k++)
		fprintf(stderr, " %02x", memory[k]);
	fprintf(stderr, ": %s: got 0x%lx, want 0x%lx\n", what, got, want);
}

/* one() - Return: whether both did the same. */
static bool one(enum bt_mode mode)
{
	uint64_t gpr[X86_GPR_COUNT], want[X86_GPR_COUNT], want_flags, want_rip, rip,
		flags = (uint64_t)random() & X86_ARITH;
	struct x86_insn i;
	int len = invent(&i, gpr);
	const struct bt_exit *x;
	enum bt_step step;
	struct bt_block *b;
	bool same = true;

	memcpy(before, memory, MEMORY);
	be(mode);
	cpu->rflags |= flags;
	memcpy(cpu->gpr, gpr, sizeof(gpr));
	cpu->rip = CODE;
	step = bt_interp(cpu);
	if (step == BT_STEP_UNKNOWN)
		return true;
	memcpy(want, cpu->gpr, sizeof(want));
	memcpy(wanted, memory, MEMORY);
	want_flags = cpu->rflags;
	want_rip = cpu->rip;
	memcpy(memory, before, MEMORY);

	be(mode);
	cpu->rflags |= flags;
	memcpy(cpu->gpr, gpr, sizeof(gpr));
	cpu->rip = CODE;
	bt_code_kill(cpu, CODE, 4096);
	faulted = false;
	b = bt_block_get(cpu, CODE, mode);
	if (!b)
		return true;
	x = enter(b);
	rip = faulted || x->why == BT_LEAVE_INDIRECT ? cpu->rip : x->rip;
	if (!faulted && x->why == BT_LEAVE_STEP && rip == CODE)
		return true; /* left to the interpreter: nothing to compare */
	n_compared++;
	if (faulted != (step == BT_STEP_SHUTDOWN)) {
		explain(mode, len, "faults", faulted, step == BT_STEP_SHUTDOWN);
		return false;
	}
	if (!faulted && rip != want_rip) {
		explain(mode, len, "goes on at", rip, want_rip);
		same = false;
	}
	if (faulted) {
		memcpy(want, gpr, sizeof(want));
		want_flags = flags;
	}
	for (int r = 0; r < X86_GPR_COUNT; r++)
		if (cpu->gpr[r] != want[r]) {
			explain(mode, len,
				(const char *[]){ "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
						  "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15" }[r],
				cpu->gpr[r], want[r]);
			same = false;
		}
	if ((cpu->rflags ^ want_flags) & X86_ARITH && i.class != X86_VECTOR &&
	    !(mode != BT_USER && i.rm == X86_RSP && !i.is_mem)) {
		explain(mode, len, "flags", cpu->rflags & X86_ARITH, want_flags & X86_ARITH);
		same = false;
	}
	if (!faulted && memcmp(memory, wanted, MEMORY) != 0) {
		explain(mode, len, "memory", 0, 0);
		same = false;
	}
	return same;
}

/* take_signals() - in each test: cmocka takes them for itself before. */
static void take_signals(void)
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP };
	struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };

	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		sigaction(signals[i], &sa, NULL);
}

static void run(enum bt_mode mode)
{
	const char *n = getenv("HULL_BT_CASES"), *seed = getenv("HULL_BT_SEED");
	const long cases = n ? atol(n) : CASES;
	unsigned bad = 0;

	take_signals();
	n_compared = 0;
	srandom(seed ? (unsigned)atoi(seed) : 1 + (unsigned)mode);
	for (long k = cases; k > 0 && bad < 10; k--)
		bad += !one(mode);
	assert_int_equal(bad, 0);
	assert_in_range(n_compared, cases / 2, cases); /* most are not left to the interpreter */
}

static void test_user_code_does_what_the_interpreter_does(void **state)
{
	(void)state;
	NEED_PLACES();
	run(BT_USER);
}

static void test_kernel_code_does_the_same_a_shift_away(void **state)
{
	(void)state;
	NEED_PLACES();
	run(BT_KERNEL);
}

static void test_kernel_code_that_may_touch_the_user_chooses_its_side(void **state)
{
	(void)state;
	NEED_PLACES();
	run(BT_KERNEL_AC);
}

/* --- blocks ---------------------------------------------------------------------------------------------------------------------- */

static const struct bt_exit *go(uint64_t rip, enum bt_mode mode, struct bt_block **ret_b)
{
	be(mode);
	cpu->rip = rip;
	*ret_b = bt_block_get(cpu, rip, mode);
	assert_non_null(*ret_b);
	return enter(*ret_b);
}

static void test_a_link_is_followed_until_its_target_is_killed(void **state)
{
	static const uint8_t code[] = { 0x48, 0xff, 0xc0, 0xeb, 0x0b }; /* INC rax; JMP to 0x10 */
	static const uint8_t there[] = { 0x48, 0xff, 0xc3, 0xf4 };      /* INC rbx; HLT */
	static struct bt_exchange exchange;
	const struct bt_exit *x;
	struct bt_block *a, *b;

	(void)state;
	NEED_PLACES();
	bt_code_kill(cpu, CODE, 4096);
	memcpy(memory, code, sizeof(code));
	memcpy(memory + 0x10, there, sizeof(there));
	memset(cpu->gpr, 0, sizeof(cpu->gpr));
	x = go(CODE, BT_USER, &a);
	assert_int_equal(x->why, BT_LEAVE_LINK);
	assert_int_equal(x->rip, CODE + 0x10);
	b = bt_block_get(cpu, x->rip, BT_USER);
	bt_link(x, b);
	x = go(CODE, BT_USER, &a);
	assert_int_equal(x->why, BT_LEAVE_STEP);
	assert_int_equal(x->rip, CODE + 0x13);
	assert_int_equal(cpu->gpr[X86_RAX], 2);
	assert_int_equal(cpu->gpr[X86_RBX], 1);

	cpu->exchange = &exchange;
	bt_code_kill(cpu, CODE + 0x11, 1);
	cpu->exchange = NULL;
	assert_int_equal(exchange.counter[BT_COUNT_CODE_KILLS], 1);
	assert_true(b->dead);
	assert_false(a->dead);
	x = go(CODE, BT_USER, &a);
	assert_int_equal(x->why, BT_LEAVE_LINK);
	assert_int_equal(cpu->gpr[X86_RBX], 1);
	assert_true(bt_code_has(CODE));
	bt_code_kill(cpu, CODE, 4096);
	assert_false(bt_code_has(CODE));
}

static void test_a_block_on_a_page_that_is_always_written_looks_at_its_bytes(void **state)
{
	/* MOV byte [CODE + 8], 0xc1; INC ebx (INC ecx afterwards); HLT */
	static const uint8_t code[] = { 0xc6, 0x04, 0x25, 0, 0, 0, 0, 0xff, 0xc3, 0xf4 };
	const uint32_t own = (uint32_t)CODE + 8;
	const struct bt_exit *x;
	struct bt_block *b;

	(void)state;
	NEED_PLACES();
	bt_code_kill(cpu, CODE, 4096);
	memcpy(memory, code, sizeof(code));
	memcpy(memory + 3, &own, sizeof(own));
	memory[7] = 0xff;
	memory[8] = 0xc3;
	bt_process()->store_count[CODE >> 12] = UINT8_MAX;
	assert_true(bt_code_is_hot(CODE));
	for (unsigned n = 0; n < sizeof(cpu->gpr) / sizeof(cpu->gpr[0]); n++)
		cpu->gpr[n] = 0x1111 * n;
	memcpy(memory, (const uint8_t[]){ 0x90, 0x90, 0xf4 }, 3);
	x = go(CODE, BT_USER, &b);
	assert_int_equal(x->why, BT_LEAVE_STEP);
	assert_int_equal(x->rip, CODE + 2);
	assert_false(bt_code_has(CODE)); /* nobody is kept from writing */
	memcpy(memory, code, 3);
	b = bt_block_get(cpu, CODE, BT_USER);
	cpu->rflags |= X86_CF | X86_ZF;
	x = enter(b);
	assert_int_equal(x->why, BT_LEAVE_STALE);
	assert_int_equal(x->rip, CODE);
	for (unsigned n = 0; n < sizeof(cpu->gpr) / sizeof(cpu->gpr[0]); n++)
		assert_int_equal(cpu->gpr[n], 0x1111 * n);
	assert_int_equal(cpu->rflags & BT_HOST_FLAGS, X86_CF | X86_ZF);

	bt_block_kill(cpu, b);
	memory[8] = 0xc3;
	x = go(CODE, BT_USER, &b); /* it ends behind its store, into what comes next */
	assert_int_equal(x->why, BT_LEAVE_LINK);
	assert_int_equal(x->rip, CODE + 7 + 1);
	bt_block_kill(cpu, b);
	bt_process()->store_count[CODE >> 12] = 0;
}

static void test_an_exit_of_before_everything_was_dropped_is_not_linked(void **state)
{
	static const uint8_t code[] = { 0x74, 0x10, 0x75, 0x10, 0xeb, 0x0c }; /* JE, JNE, JMP: three exits */
	uint8_t *const cache = (uint8_t *)BT_CACHE_BASE;
	const struct bt_exit *x;
	struct bt_block *a, *to;
	static uint8_t copy[8192];

	(void)state;
	NEED_PLACES();
	bt_code_kill(cpu, CODE, 4096);
	memset(memory, 0xf4, 4096);
	memcpy(memory, code, sizeof(code));
	for (unsigned k = 0; k < 16; k++) /* so that its exits are not the first */
		bt_block_get(cpu, CODE + 0x40 + k, BT_USER);
	x = go(CODE, BT_USER, &a);
	assert_int_equal(x->why, BT_LEAVE_LINK);
	translate__reset();
	to = bt_block_get(cpu, x->rip, BT_USER);
	assert_non_null(to);
	memcpy(copy, cache, sizeof(copy));
	bt_link(x, to);
	assert_memory_equal(copy, cache, sizeof(copy));
	assert_null(to->in);
}

static void test_a_return_finds_its_block_in_the_table(void **state)
{
	static const uint8_t code[] = { 0xc3 };
	const uint64_t back = CODE + 0x20;
	const struct bt_exit *x;
	struct bt_block *a, *b;

	(void)state;
	NEED_PLACES();
	for (enum bt_mode mode = BT_KERNEL; mode < BT_MODE_COUNT; mode++) {
		if (mode == BT_KERNEL_AC)
			continue;
		bt_code_kill(cpu, CODE, 4096);
		memcpy(memory, code, sizeof(code));
		memory[0x20] = 0xf4;
		memcpy(memory + (STACK - CODE), &back, 8);
		memset(cpu->gpr, 0x5a, sizeof(cpu->gpr));
		cpu->gpr[X86_RSP] = STACK;
		x = go(CODE, mode, &a);
		assert_int_equal(x->why, BT_LEAVE_INDIRECT);
		assert_int_equal(cpu->rip, back);
		assert_int_equal(cpu->gpr[X86_RSP], STACK + 8);
		assert_int_equal(cpu->gpr[X86_RCX], 0x5a5a5a5a5a5a5a5a);
		b = bt_block_get(cpu, back, mode);
		bt_table_put(b);
		cpu->gpr[X86_RSP] = STACK;
		x = go(CODE, mode, &a);
		assert_int_equal(x->why, BT_LEAVE_STEP);
		assert_int_equal(x->rip, back);
		assert_int_equal(cpu->gpr[X86_RAX], 0x5a5a5a5a5a5a5a5a);
		assert_int_equal(cpu->gpr[X86_RCX], 0x5a5a5a5a5a5a5a5a);
		bt_table_clear_page(CODE);
		cpu->gpr[X86_RSP] = STACK;
		assert_int_equal(go(CODE, mode, &a)->why, BT_LEAVE_INDIRECT);
	}
}

/*
 * An indirect branch in every form of operand, with and without REX: to where it says, by the table when that has it, and with
 * the registers of before when its operand, or its push, cannot be reached.
 */
static void test_an_indirect_branch_goes_where_its_operand_says(void **state)
{
	static const struct {
		uint8_t len, code[8];
		bool call, by_base; /* the second: its operand is at RBX or R8 */
	} forms[] = {
		{ 7, { 0xff, 0x24, 0xd5, 0x00, 0x00, 0x01, 0x10 }, false, false }, /* JMP [rdx * 8 + DATA] */
		{ 8,
		  { 0x42, 0xff, 0x24, 0xcd, 0x00, 0x00, 0x01, 0x10 },
		  false,
		  false },                                                        /* JMP [r9 * 8 + DATA] */
		{ 2, { 0xff, 0x23 }, false, true },                               /* JMP [rbx] */
		{ 3, { 0x41, 0xff, 0x20 }, false, true },                         /* JMP [r8] */
		{ 6, { 0xff, 0x25, 0xfa, 0xff, 0x00, 0x00 }, false, false },      /* JMP [rip + ...]: DATA */
		{ 2, { 0xff, 0x13 }, true, true },                                /* CALL [rbx] */
		{ 4, { 0x41, 0xff, 0x50, 0x00 }, true, true },                    /* CALL [r8 + 0] */
		{ 7, { 0xff, 0x14, 0xd5, 0x00, 0x00, 0x01, 0x10 }, true, false }, /* CALL [rdx * 8 + DATA] */
		{ 2, { 0xff, 0xe0 }, false, false },                              /* JMP rax */
		{ 2, { 0xff, 0xd1 }, true, false },                               /* CALL rcx */
		{ 3, { 0x41, 0xff, 0xd3 }, true, false },                         /* CALL r11 */
	};
	const uint64_t there = CODE + 0x100;

	(void)state;
	NEED_PLACES();
	take_signals();
	for (enum bt_mode mode = BT_KERNEL; mode < BT_MODE_COUNT; mode++)
		for (size_t k = 0; k < ARRAY_SIZE(forms); k++) {
			uint64_t gpr[X86_GPR_COUNT], back = 0;
			const struct bt_exit *x;
			struct bt_block *b;

			bt_code_kill(cpu, CODE, 4096);
			memset(memory, 0xf4, 4096);
			memcpy(memory, forms[k].code, forms[k].len);
			memcpy(memory + (DATA - CODE), &there, 8);
			for (int r = 0; r < X86_GPR_COUNT; r++)
				gpr[r] = 0x1111111111111111ULL * (unsigned)r;
			gpr[X86_RDX] = gpr[9] = 0;
			gpr[X86_RBX] = gpr[8] = DATA;
			gpr[X86_RAX] = gpr[X86_RCX] = gpr[11] = there;
			gpr[X86_RSP] = STACK + 0x100;
			for (unsigned round = 0; round < 2; round++) {
				memcpy(cpu->gpr, gpr, sizeof(gpr));
				x = go(CODE, mode, &b);
				if (mode ==
				    BT_KERNEL_AC) { /* where it leads, that mode is another's: the interpreter's */
					assert_int_equal(x->why, BT_LEAVE_STEP);
					assert_int_equal(x->rip, CODE);
					continue;
				}
				assert_int_equal(x->why, round ? BT_LEAVE_STEP : BT_LEAVE_INDIRECT);
				assert_int_equal(round ? x->rip : cpu->rip, there);
				for (int r = 0; r < X86_GPR_COUNT; r++)
					assert_int_equal(cpu->gpr[r],
							 gpr[r] - (r == X86_RSP && forms[k].call ? 8 : 0));
				if (forms[k].call)
					memcpy(&back, memory + (STACK + 0xf8 - CODE), 8);
				assert_int_equal(back, forms[k].call ? CODE + (uint64_t)forms[k].len : 0);
				bt_table_put(bt_block_get(cpu, there, mode));
			}
			/* what cannot be reached: the operand, then a call's stack */
			for (unsigned which = 0; which < 2 && mode != BT_KERNEL_AC; which++) {
				if (which == 0 ? !forms[k].by_base : !forms[k].call)
					continue;
				memcpy(cpu->gpr, gpr, sizeof(gpr));
				if (which == 0)
					cpu->gpr[X86_RBX] = cpu->gpr[8] = 0x20000000;
				else
					cpu->gpr[X86_RSP] = 0x20000000;
				faulted = false;
				go(CODE, mode, &b);
				assert_true(faulted);
				assert_int_equal(cpu->rip, CODE);
				for (int r = 0; r < X86_GPR_COUNT; r++)
					assert_int_equal(cpu->gpr[r],
							 which == 0 && (r == X86_RBX || r == 8) ? 0x20000000 :
							 which == 1 && r == X86_RSP             ? 0x20000000 :
												  gpr[r]);
			}
		}
}

static void test_the_stack_pointer_as_a_number_has_no_shift(void **state)
{
	static const struct {
		uint8_t len, code[7];
		uint64_t want; /* of RSP, STACK + 0x123 before */
	} cases[] = {
		{ 4, { 0x48, 0x83, 0xe4, 0xf0 }, STACK + 0x120 },           /* AND rsp, -16 */
		{ 4, { 0x48, 0x83, 0xe4, 0x21 }, 0x21 },                    /* AND rsp, 0x21 */
		{ 7, { 0x48, 0x81, 0xe4, 0xff, 0x0f, 0x00, 0x00 }, 0x123 }, /* AND rsp, 0xfff */
		{ 4, { 0x48, 0x83, 0xec, 0x23 }, STACK + 0x100 },           /* SUB rsp, 0x23 */
		{ 6, { 0x8d, 0xa0, 0x05, 0x00, 0x00, 0x00 }, 0x5 },         /* LEA esp, [rax + 5] */
		{ 3, { 0x48, 0x89, 0xc4 }, 0 },                             /* MOV rsp, rax */
		{ 5, { 0x48, 0x8d, 0x64, 0x24, 0x08 }, STACK + 0x12b },     /* LEA rsp, [rsp + 8] */
	};

	(void)state;
	NEED_PLACES();
	take_signals();
	for (enum bt_mode mode = BT_KERNEL; mode < BT_MODE_COUNT; mode++)
		for (size_t k = 0; k < ARRAY_SIZE(cases); k++) {
			const struct bt_exit *x;
			struct bt_block *b;

			bt_code_kill(cpu, CODE, 4096);
			memcpy(memory, cases[k].code, cases[k].len);
			memory[cases[k].len] = 0xf4;
			memset(cpu->gpr, 0, sizeof(cpu->gpr));
			cpu->gpr[X86_RSP] = STACK + 0x123;
			x = go(CODE, mode, &b);
			assert_int_equal(x->why, BT_LEAVE_STEP);
			if (x->rip == CODE) { /* the interpreter's */
				cpu->rip = CODE;
				assert_int_equal(bt_interp(cpu), BT_STEP_ON);
			}
			if (cpu->gpr[X86_RSP] != cases[k].want)
				fail_msg("mode %d, case %zu: got 0x%lx, want 0x%lx", mode, k,
					 cpu->gpr[X86_RSP], cases[k].want);
		}
}

static void test_interrupts_turned_on_are_a_way_out_when_something_waits(void **state)
{
	static const uint8_t code[] = { 0xfa, 0x90, 0xfb, 0x90, 0xf4 }; /* CLI NOP STI NOP HLT */
	const struct bt_exit *x;
	struct bt_block *b;

	(void)state;
	NEED_PLACES();
	bt_code_kill(cpu, CODE, 4096);
	memcpy(memory, code, sizeof(code));
	cpu->gpr[X86_RCX] = 7;
	cpu->quiet = 1;
	x = go(CODE, BT_KERNEL, &b);
	assert_int_equal(x->why, BT_LEAVE_STEP);
	assert_true(cpu->rflags & X86_IF);
	cpu->quiet = 0;
	x = go(CODE, BT_KERNEL, &b);
	assert_int_equal(x->why, BT_LEAVE_ATTENTION);
	assert_int_equal(x->rip, CODE + 3);
	assert_true(cpu->rflags & X86_IF);
	assert_int_equal(cpu->gpr[X86_RCX], 7);
	cpu->quiet = 1;
	cpu->attention = 1;
	x = go(CODE, BT_KERNEL, &b);
	cpu->attention = 0;
	assert_int_equal(x->why, BT_LEAVE_SIGNAL);
	assert_int_equal(cpu->rip, CODE);
}

/* A call by way of a linker's table: its load goes through a register that may hold an argument. */
static void test_registers_are_whole_where_the_load_of_a_branch_faults(void **state)
{
	static const struct {
		uint8_t len, code[8];
	} cases[] = {
		{ 6,
		  { 0xff, 0x25, 0, 0, 0,
		    0x7f } }, /* JMP [rip + 0x7f000000]: nothing is there, and it has more than 31 bits */
		{ 6, { 0xff, 0x15, 0, 0, 0, 0x7f } }, /* CALL */
		{ 2, { 0xff, 0x23 } },                /* JMP [rbx] */
		{ 2, { 0xff, 0x13 } },                /* CALL [rbx] */
	};
	uint64_t was[X86_GPR_COUNT];

	(void)state;
	NEED_PLACES();
	take_signals();
	for (enum bt_mode mode = BT_KERNEL; mode < BT_MODE_COUNT; mode++)
		for (size_t k = 0; k < ARRAY_SIZE(cases); k++) {
			struct bt_block *b;

			bt_code_kill(cpu, CODE, 4096);
			memcpy(memory, cases[k].code, cases[k].len);
			for (unsigned n = 0; n < X86_GPR_COUNT; n++)
				cpu->gpr[n] = was[n] = 0x0123456789abcdef * (n + 1);
			cpu->gpr[X86_RSP] = was[X86_RSP] = STACK + 0x100;
			cpu->gpr[X86_RBX] = was[X86_RBX] = CODE + 0x20000000;
			faulted = false;
			go(CODE, mode, &b);
			assert_int_equal(faulted, mode != BT_KERNEL_AC); /* else the interpreter's */
			if (faulted)
				assert_int_equal(cpu->rip, CODE);
			assert_memory_equal(cpu->gpr, was, sizeof(was));
		}
}

static void test_PAUSE_is_there_for_who_counts_on_its_time(void **state)
{
	static const uint8_t code[] = { 0xf3, 0x90, 0xf4 }; /* PAUSE HLT */
	const struct bt_block *b;

	(void)state;
	NEED_PLACES();
	bt_code_kill(cpu, CODE, 4096);
	memcpy(memory, code, sizeof(code));
	for (enum bt_mode mode = BT_KERNEL; mode < BT_MODE_COUNT; mode++) {
		b = bt_block_get(cpu, CODE, mode);
		assert_non_null(b);
		assert_memory_equal(b->entry + b->record[0].host, code, 2);
	}
}

static void test_a_full_cache_is_emptied_and_used_again(void **state)
{
	(void)state;
	NEED_PLACES();
	bt_code_kill(cpu, CODE, 4096);
	memory[0] = 0x90;
	memory[1] = 0xf4;
	for (unsigned k = 0; k < 1100000; k++) { /* more blocks than there may be */
		struct bt_block *b = bt_block_get(cpu, CODE, BT_USER);

		assert_non_null(b);
		bt_block_kill(cpu, b);
	}
	assert_non_null(bt_block_get(cpu, CODE, BT_USER));
	assert_true(bt_code_has(CODE));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_link_is_followed_until_its_target_is_killed),
		cmocka_unit_test(test_a_block_on_a_page_that_is_always_written_looks_at_its_bytes),
		cmocka_unit_test(test_an_exit_of_before_everything_was_dropped_is_not_linked),
		cmocka_unit_test(test_a_return_finds_its_block_in_the_table),
		cmocka_unit_test(test_an_indirect_branch_goes_where_its_operand_says),
		cmocka_unit_test(test_the_stack_pointer_as_a_number_has_no_shift),
		cmocka_unit_test(test_interrupts_turned_on_are_a_way_out_when_something_waits),
		cmocka_unit_test(test_registers_are_whole_where_the_load_of_a_branch_faults),
		cmocka_unit_test(test_PAUSE_is_there_for_who_counts_on_its_time),
		cmocka_unit_test(test_user_code_does_what_the_interpreter_does),
		cmocka_unit_test(test_kernel_code_does_the_same_a_shift_away),
		cmocka_unit_test(test_kernel_code_that_may_touch_the_user_chooses_its_side),
		cmocka_unit_test(test_a_full_cache_is_emptied_and_used_again),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
