/* SPDX-License-Identifier: Apache-2.0 */
/* cpu_test.h - a processor with a few MiB of memory and a world that counts, for the tests of this folder */
#ifndef ENGINE_BT_SPACE_CPU_TEST_H
#define ENGINE_BT_SPACE_CPU_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bug.h"
#include "engine/bt/space/cpu.h"
#include "engine/bt/space/mmu.h"
#include "engine/bt/space/segment.h"
#include "engine/bt/space/system.h"

enum { RAM_SIZE = 4 << 20, ROM_SIZE = 4096, IO_SEEN = 64 };
#define ROM_GPA  0xfffff000U
#define TEST_KHZ 1000000U

struct fixture {
	struct bt_cpu c; /* first: the world finds the rest by it */
	struct bt_vm vm;
	uint8_t *ram, *rom;
	struct bt_exchange *exchange;
	struct bt_io io[IO_SEEN]; /* asked of the manager */
	unsigned n_io, n_timer, n_ipi, n_eoi, n_written;
	unsigned n_flush[BT_FLUSH_COUNT];
	uint64_t io_answer, flushed, written;
	struct bt_ipi ipi;
	unsigned eoi;
};

static inline void fixture_io(struct bt_cpu *c, struct bt_io *io)
{
	struct fixture *f = (struct fixture *)c;

	if (!io->write)
		io->data = f->io_answer;
	if (f->n_io < IO_SEEN)
		f->io[f->n_io] = *io;
	f->n_io++;
}

static inline void fixture_timer(struct bt_cpu *c)
{
	((struct fixture *)c)->n_timer++;
}

static inline void fixture_flush(struct bt_cpu *c, enum bt_flush what, uint64_t va)
{
	((struct fixture *)c)->n_flush[what]++;
	((struct fixture *)c)->flushed = va;
}

static inline void fixture_code_made(struct bt_cpu *c, uint64_t gpa)
{
	(void)c;
	(void)gpa;
}

static inline void fixture_code_written(struct bt_cpu *c, uint64_t gpa, size_t len)
{
	(void)len;
	((struct fixture *)c)->n_written++;
	((struct fixture *)c)->written = gpa;
}

static inline void fixture_ipi(struct bt_cpu *c, const struct bt_ipi *ipi)
{
	((struct fixture *)c)->n_ipi++;
	((struct fixture *)c)->ipi = *ipi;
}

static inline void fixture_eoi(struct bt_cpu *c, unsigned vector)
{
	((struct fixture *)c)->n_eoi++;
	((struct fixture *)c)->eoi = vector;
}

static inline uint8_t fixture_acknowledge(struct bt_cpu *c)
{
	c->exchange->extint = 0;
	return c->exchange->data[0];
}

static const struct bt_world fixture_world = {
	.io = fixture_io,
	.timer = fixture_timer,
	.flush = fixture_flush,
	.code_made = fixture_code_made,
	.code_written = fixture_code_written,
	.ipi = fixture_ipi,
	.eoi = fixture_eoi,
	.acknowledge = fixture_acknowledge,
};

static inline struct fixture *fixture_new(void)
{
	struct fixture *f = calloc(1, sizeof(*f));

	BUG_ON(!f);
	f->ram = aligned_alloc(4096, RAM_SIZE);
	f->rom = aligned_alloc(4096, ROM_SIZE);
	f->exchange = calloc(1, sizeof(*f->exchange));
	BUG_ON(!f->ram || !f->rom || !f->exchange);
	memset(f->ram, 0, RAM_SIZE);
	memset(f->rom, 0x90, ROM_SIZE);
	f->vm.slot[1] = (struct bt_slot){ .gpa = 0, .size = RAM_SIZE, .host = f->ram };
	f->vm.slot[5] =
		(struct bt_slot){ .gpa = ROM_GPA, .size = ROM_SIZE, .host = f->rom, .readonly = true };
	bt_slots_sort(&f->vm);
	f->vm.tsc_khz = TEST_KHZ;
	f->c.vm = &f->vm;
	f->c.world = &fixture_world;
	bt_cpu_reset(&f->c, 0);
	return f;
}

static inline void fixture_free(struct fixture *f)
{
	free(f->ram);
	free(f->rom);
	free(f->exchange);
	free(f);
}

static inline int fixture_setup(void **state)
{
	*state = fixture_new();
	return 0;
}

static inline int fixture_teardown(void **state)
{
	fixture_free(*state);
	return 0;
}

static inline void ram_put(struct fixture *f, uint64_t gpa, uint64_t value, size_t n)
{
	BUG_ON(gpa + n > RAM_SIZE);
	memcpy(f->ram + gpa, &value, n);
}

static inline uint64_t ram_get(const struct fixture *f, uint64_t gpa, size_t n)
{
	uint64_t value = 0;

	BUG_ON(gpa + n > RAM_SIZE);
	memcpy(&value, f->ram + gpa, n);
	return value;
}

/*
 * What the tests of long and protected mode start from: tables at these places, memory mapped as it is, kernel's and user's by turns
 * (4 KiB pages below 2 MiB: those at USER_PAGE and behind are the user's).
 */
enum {
	PML4 = 0x10000,
	PDPT = 0x11000,
	PD = 0x12000,
	PT = 0x13000,
	GDT = 0x20000,
	IDT = 0x21000,
	TSS = 0x22000,
	LDT = 0x23000,
	KERNEL_STACK = 0x31000, /* TSS: RSP0, ESP0 */
	IST_STACK = 0x33000,
	KERNEL_CODE = 0x40000,
	USER_PAGE = 0x100000,
	USER_STACK = 0x110000,
};

/* Selectors of the test GDT. */
enum {
	SEL_CODE64 = 0x08,
	SEL_DATA = 0x10,
	SEL_USER32 = 0x18,
	SEL_USER_DATA = 0x20,
	SEL_USER64 = 0x28,
	SEL_CODE32 = 0x30,
	SEL_CODE16 = 0x38,
	SEL_TSS = 0x40, /* two entries */
	SEL_LDT = 0x50, /* two */
	SEL_NOT_PRESENT = 0x60,
	SEL_NO_READ = 0x68,
	SEL_CONFORMING = 0x70,
	SEL_GATE = 0x78, /* two */
	SEL_READ_ONLY = 0x88,
	SEL_DOWN = 0x90,
	SEL_TSS16 = 0x98,
	SEL_FREE = 0xa0, /* two, for a test's own */
	GDT_END = 0xb0,
};

static inline uint64_t descriptor(uint32_t base, uint32_t limit, unsigned attr)
{
	return (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 | (uint64_t)(attr & 0xf0ff) << 40 |
	       (uint64_t)(limit & 0xf0000) << 32 | (uint64_t)(base >> 24) << 56;
}

static inline void gdt_put(struct fixture *f, unsigned selector, uint64_t value)
{
	ram_put(f, GDT + (selector & ~7U), value, 8);
}

static inline void fixture_gdt(struct fixture *f)
{
	gdt_put(f, SEL_CODE64, descriptor(0, 0xfffff, 0xa09b));
	gdt_put(f, SEL_DATA, descriptor(0, 0xfffff, 0xc093));
	gdt_put(f, SEL_USER32, descriptor(0, 0xfffff, 0xc0fb));
	gdt_put(f, SEL_USER_DATA, descriptor(0, 0xfffff, 0xc0f3));
	gdt_put(f, SEL_USER64, descriptor(0, 0xfffff, 0xa0fb));
	gdt_put(f, SEL_CODE32, descriptor(0, 0xfffff, 0xc09a));
	gdt_put(f, SEL_CODE16, descriptor(0, 0xffff, 0x009a));
	gdt_put(f, SEL_TSS, descriptor(TSS, 0x67, 0x0089));
	gdt_put(f, SEL_LDT, descriptor(LDT, 0xf, 0x0082));
	gdt_put(f, SEL_NOT_PRESENT, descriptor(0, 0xfffff, 0xc013));
	gdt_put(f, SEL_NO_READ, descriptor(0, 0xfffff, 0xc099));
	gdt_put(f, SEL_CONFORMING, descriptor(0, 0xfffff, 0xc09e));
	gdt_put(f, SEL_READ_ONLY, descriptor(0, 0xfffff, 0xc091));
	gdt_put(f, SEL_DOWN, descriptor(0, 0xf, 0xc096));
	gdt_put(f, SEL_TSS16, descriptor(TSS, 0x67, 0x0081));
	f->c.gdt = (struct x86_table){ .base = GDT, .limit = GDT_END - 1 };
}

static inline void fixture_cpl(struct fixture *f, unsigned cpl, bool is_64)
{
	unsigned attr = (cpl << 5) | (is_64 ? 0xa09b : 0xc09b);
	unsigned cs = cpl == 3 ? (is_64 ? SEL_USER64 : SEL_USER32) : is_64 ? SEL_CODE64 : SEL_CODE32;
	unsigned ss = cpl == 3 ? SEL_USER_DATA : SEL_DATA;

	f->c.seg[X86_CS] = bt_flat((uint16_t)(cs | cpl), attr);
	f->c.seg[X86_SS] = bt_flat((uint16_t)(ss | cpl), 0xc093 | cpl << 5);
}

static inline void fixture_flat(struct fixture *f)
{
	fixture_gdt(f);
	for (int s = 0; s < X86_LDTR; s++)
		f->c.seg[s] = bt_flat(SEL_DATA, 0xc093);
	f->c.seg[X86_TR] =
		(struct x86_segment){ .selector = SEL_TSS, .base = TSS, .limit = 0x67, .attr = 0x8b };
	f->c.seg[X86_LDTR] = (struct x86_segment){ .attr = BT_ATTR_UNUSABLE };
	f->c.idt = (struct x86_table){ .base = IDT, .limit = 0xfff };
	f->c.rip = KERNEL_CODE;
	f->c.gpr[X86_RSP] = KERNEL_STACK - 0x100;
}

/* fixture_long() - 64-bit mode at CPL 0, PCID off, SMEP and SMAP off, NX on */
static inline void fixture_long(struct fixture *f)
{
	ram_put(f, PML4, PDPT | 7, 8);
	ram_put(f, PDPT, PD | 7, 8);
	ram_put(f, PD, PT | 7, 8);
	ram_put(f, PD + 8, 0x200000 | 0x83, 8);
	for (uint64_t i = 0; i < 512; i++)
		ram_put(f, PT + i * 8, i << 12 | (i << 12 >= USER_PAGE ? 7 : 3), 8);
	fixture_flat(f);
	f->c.cr3 = PML4;
	f->c.cr4 = X86_CR4_PAE;
	f->c.cr0 = X86_CR0_PG | X86_CR0_PE | X86_CR0_WP | X86_CR0_ET | X86_CR0_NE;
	f->c.efer = X86_EFER_LME | X86_EFER_LMA | X86_EFER_NX | X86_EFER_SCE;
	ram_put(f, TSS + 4, KERNEL_STACK, 8);
	ram_put(f, TSS + 36, IST_STACK, 8);
	fixture_cpl(f, 0, true);
}

/* fixture_protected() - 32-bit protected mode at CPL 0, without paging */
static inline void fixture_protected(struct fixture *f)
{
	fixture_flat(f);
	f->c.cr0 = X86_CR0_PE | X86_CR0_ET;
	ram_put(f, TSS + 4, KERNEL_STACK, 4);
	ram_put(f, TSS + 8, SEL_DATA, 4);
	fixture_cpl(f, 0, false);
}

/* fault_is() - the exception noted, as vector << 32 | code; -1 without a code in the lower half */
static inline uint64_t fault_word(const struct bt_cpu *c)
{
	return (uint64_t)c->fault.vector << 32 | (c->fault.has_code ? c->fault.code : 0xffffffff);
}

#define FAULT(vector, code) ((uint64_t)(vector) << 32 | (code))
#define NO_CODE             0xffffffffU

#define check_eq(what, got, want)                                                                            \
	do {                                                                                                 \
		unsigned long long got_ = (unsigned long long)(got), want_ = (unsigned long long)(want);     \
		if (got_ != want_)                                                                           \
			fail_msg("%s: got 0x%llx, want 0x%llx", what, got_, want_);                          \
	} while (0)

#endif
