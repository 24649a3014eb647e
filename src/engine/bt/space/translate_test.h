/* SPDX-License-Identifier: Apache-2.0 */
/*
 * translate_test.h - a space process's places, signals and world, for the tests of translated code
 *
 * The guest's memory is a file that is seen where the guest has it (user mode) and BT_SHIFT higher (kernel mode). Paging is off:
 * linear addresses are physical ones.
 */
#ifndef ENGINE_BT_SPACE_TRANSLATE_TEST_H
#define ENGINE_BT_SPACE_TRANSLATE_TEST_H

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

enum { CODE = 0x10000000, DATA = 0x10010000, STACK = 0x10020000, MEMORY = 0x30000, SIGNAL_STACK = 65536 };
#define HIGH                                                                                                 \
	0x590000000ULL /* where all of it is once more, for user mode: its low 24 bits are CODE's, and bit 31 is set */

static struct bt_cpu *cpu;
static struct bt_vm vm;
static uint8_t *memory;
static bool faulted, has_places; /* the second: what a space process has at fixed places is free here */

/* --- a world -------------------------------------------------------------------------------------------------------- */

static inline void world_io(struct bt_cpu *c, struct bt_io *io)
{
	(void)c;
	io->data = 0;
}

static inline void world_nothing(struct bt_cpu *c)
{
	(void)c;
}

static inline void world_flush(struct bt_cpu *c, enum bt_flush what, uint64_t va)
{
	(void)c;
	(void)what;
	(void)va;
}

static inline void world_made(struct bt_cpu *c, uint64_t gpa)
{
	(void)c;
	(void)gpa;
}

static inline void world_written(struct bt_cpu *c, uint64_t gpa, size_t len)
{
	(void)c;
	(void)gpa;
	(void)len;
}

static inline void world_ipi(struct bt_cpu *c, const struct bt_ipi *ipi)
{
	(void)c;
	(void)ipi;
}

static inline void world_eoi(struct bt_cpu *c, unsigned vector)
{
	(void)c;
	(void)vector;
}

static inline uint8_t world_acknowledge(struct bt_cpu *c)
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
__attribute__((no_stack_protector)) static inline void on_signal(int sig, siginfo_t *info, void *context)
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

static inline void *map_at(uint64_t at, size_t size, int prot, int fd)
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

static inline int set_up(void **state)
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
		     map_at(HIGH, MEMORY, rw, fd) && map_at(BT_TABLE_BASE, BT_TABLES_SIZE, rw, -1) &&
		     map_at(BT_CACHE_BASE, BT_CACHE_SIZE, rw | PROT_EXEC, -1) &&
		     map_at(BT_ARENA_BASE, BT_ARENA_SIZE, rw, -1);
	if (!has_places)
		return 0;
	sigaltstack(&ss, NULL);
	__asm__ volatile("rdfsbase %0" : "=r"(host_fs));
	__asm__ volatile("rdgsbase %0" : "=r"(host_gs));
	bt_process()->store_count = calloc(1, (HIGH + MEMORY) >> 12);
	assert_non_null(bt_process()->store_count);
	vm.slot[0] = (struct bt_slot){ .gpa = CODE, .size = MEMORY, .host = memory };
	vm.slot[1] = (struct bt_slot){ .gpa = HIGH, .size = MEMORY, .host = memory };
	bt_slots_sort(&vm);
	cpu->vm = &vm;
	cpu->world = &world;
	bt_cpu_reset(cpu, 0);
	bt_interp_init(cpu, native);
	bt_translate_init(&vm);
	return 0;
}

/* be() - 64-bit code at the level of @mode, without paging, which no processor has but which keeps addresses plain. */
static inline void be(enum bt_mode mode)
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

static inline const struct bt_exit *enter(struct bt_block *b)
{
	const struct bt_exit *x = bt_enter(cpu, b);

	/* before anything that might look for its canary */
	__asm__ volatile("wrfsbase %0" ::"r"(host_fs));
	__asm__ volatile("wrgsbase %0" ::"r"(host_gs));
	return x;
}

/* take_signals() - in each test: cmocka takes them for itself before. */
static inline void take_signals(void)
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP };
	struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };

	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		sigaction(signals[i], &sa, NULL);
}

static inline const struct bt_exit *go(uint64_t rip, enum bt_mode mode, struct bt_block **ret_b)
{
	be(mode);
	cpu->rip = rip;
	*ret_b = bt_block_get(cpu, rip, mode);
	assert_non_null(*ret_b);
	return enter(*ret_b);
}

#endif
