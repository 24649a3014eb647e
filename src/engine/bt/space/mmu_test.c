/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/bt/space/cpu_test.h"

/* One page mapped at VA in each kind of tables; the entries of all levels can be changed by a case. */
enum kind { NONE, OLD, PAE, LONG };
#define VA 0x00400000ULL
enum { TARGET = 0x50000, DIR = 0x14000, TABLE = 0x15000, TOP = 0x16000, ROOT = 0x17000 };
enum { P = 1, W = 2, U = 4, A = 0x20, D = 0x40, PS = 0x80, G = 0x100 };
#define NX (1ULL << 63)

static void paging(struct fixture *f, enum kind k, uint64_t top, uint64_t dir, uint64_t leaf)
{
	struct bt_cpu *c = &f->c;
	unsigned n = k == OLD ? 4 : 8;

	memset(f->ram + DIR, 0, 0x4000);
	c->cr0 = X86_CR0_PE | X86_CR0_PG | X86_CR0_WP;
	c->cr4 = k == OLD ? X86_CR4_PSE : X86_CR4_PAE;
	c->efer = k == LONG ? X86_EFER_LME | X86_EFER_LMA | X86_EFER_NX : k == PAE ? X86_EFER_NX : 0;
	c->cr3 = k == OLD ? DIR : k == PAE ? TOP : ROOT;
	ram_put(f, ROOT, TOP | P | W | U, 8);
	ram_put(f, TOP, top, 8);
	ram_put(f, DIR + (VA >> (k == OLD ? 22 : 21)) * n, dir, n);
	ram_put(f, TABLE, leaf, n);
	c->seg[X86_SS].attr = 0xc093;
	c->seg[X86_CS].attr = k == LONG ? 0xa09b : 0xc09b;
}

static void set_cpl(struct bt_cpu *c, unsigned cpl)
{
	c->seg[X86_SS].attr = (uint16_t)(0xc093 | cpl << 5);
}

static void test_without_paging_addresses_are_physical_and_32_bits(void **state)
{
	struct fixture *f = *state;
	struct bt_page p;

	f->c.cr0 = X86_CR0_PE;
	assert_int_equal(bt_walk(&f->c, 0x100012345, BT_WRITE, &p), BT_OK);
	check_eq("gpa", p.gpa, 0x12345);
	assert_true(p.writable && p.user && p.exec && p.dirty);
}

static void test_each_kind_of_paging_finds_its_page(void **state)
{
	static const struct {
		const char *name;
		enum kind kind;
		uint64_t top, dir, leaf, va, gpa;
		unsigned shift;
	} cases[] = {
		{ "32-bit, 4 KiB", OLD, 0, TABLE | 7, TARGET | 7, VA + 0x123, TARGET + 0x123, 12 },
		{ "32-bit, 4 MiB", OLD, 0, 0xc00000 | PS | 7, 0, VA + 0x212345, 0xe12345, 22 },
		{ "32-bit, 4 MiB above 4 GiB", OLD, 0, 0xc00000 | 0xff << 13 | PS | 7, 0, VA + 5,
		  0xff00c00005, 22 },
		{ "PAE, 4 KiB", PAE, DIR | P, TABLE | 7, TARGET | 7, VA + 0xfff, TARGET + 0xfff, 12 },
		{ "PAE, 2 MiB", PAE, DIR | P, 0x3fffffe00000 | PS | 7, 0, VA + 0x1fffff, 0x3fffffffffff, 21 },
		{ "long, 4 KiB", LONG, DIR | 7, TABLE | 7, TARGET | 7, VA + 1, TARGET + 1, 12 },
		{ "long, 2 MiB", LONG, DIR | 7, 0x600000 | PS | 0x1000 | 7, 0, VA + 0x1abcd, 0x61abcd, 21 },
		{ "long, 1 GiB", LONG, 0x40000000 | PS | 7, 0, 0, VA + 0x12345678,
		  0x40000000 + VA + 0x12345678, 30 },
		{ "long, ignored bits", LONG, DIR | 7 | 1ULL << 52, TABLE | 7, TARGET | 7 | 0x7ffULL << 52,
		  VA, TARGET, 12 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fixture *f = *state;
		struct bt_page p = { 0 };

		paging(f, cases[i].kind, cases[i].top, cases[i].dir, cases[i].leaf);
		set_cpl(&f->c, 3);
		if (bt_walk(&f->c, cases[i].va, BT_WRITE, &p) != BT_OK)
			fail_msg("%s: faults with code 0x%x", cases[i].name, f->c.fault.code);
		check_eq(cases[i].name, p.gpa, cases[i].gpa);
		check_eq(cases[i].name, p.shift, cases[i].shift);
		assert_true(p.writable && p.user && p.exec && p.dirty && !p.global);
	}
}

static void test_reserved_bits_and_absent_entries_fault(void **state)
{
	static const struct {
		const char *name;
		enum kind kind;
		uint64_t top, dir, leaf, code;
	} cases[] = {
		{ "32-bit, no directory entry", OLD, 0, 0, 0, 0 },
		{ "32-bit, no leaf", OLD, 0, TABLE | 7, TARGET, 0 },
		{ "32-bit, bit 21 of 4 MiB", OLD, 0, 0xc00000 | 1 << 21 | PS | 7, 0, 9 },
		{ "PAE, no top", PAE, DIR, 0, 0, 0 },
		{ "PAE, rights in the top", PAE, DIR | 3, TABLE | 7, TARGET | 7, 9 },
		{ "PAE, NX in the top", PAE, DIR | P | NX, TABLE | 7, TARGET | 7, 9 },
		{ "PAE, bit 52", PAE, DIR | P, TABLE | 7, TARGET | 7 | 1ULL << 52, 9 },
		{ "PAE, bit 13 of 2 MiB", PAE, DIR | P, PS | 1 << 13 | 7, 0, 9 },
		{ "long, bit 46", LONG, DIR | 7, TABLE | 7, TARGET | 7 | 1ULL << 46, 9 },
		{ "long, bit 51", LONG, DIR | 7 | 1ULL << 51, TABLE | 7, TARGET | 7, 9 },
		{ "long, bit 20 of 2 MiB", LONG, DIR | 7, PS | 1 << 20 | 7, 0, 9 },
		{ "long, bit 29 of 1 GiB", LONG, PS | 1 << 29 | 7, 0, 0, 9 },
		{ "long, table where no memory is", LONG, 0x3f0000000000 | 7, 0, 0, 0 },
		{ "long, absent before reserved", LONG, DIR | 6 | 1ULL << 51, 0, 0, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fixture *f = *state;
		struct bt_page p;

		paging(f, cases[i].kind, cases[i].top, cases[i].dir, cases[i].leaf);
		if (bt_walk(&f->c, VA, 0, &p) != BT_FAULT)
			fail_msg("%s: no fault", cases[i].name);
		check_eq(cases[i].name, fault_word(&f->c), FAULT(X86_PAGE, cases[i].code));
		check_eq(cases[i].name, f->c.fault.cr2, VA);
	}
}

static void test_nx_is_reserved_until_it_is_turned_on(void **state)
{
	struct fixture *f = *state;
	struct bt_page p;

	paging(f, LONG, DIR | 7, TABLE | 7 | NX, TARGET | 7);
	assert_int_equal(bt_walk(&f->c, VA, 0, &p), BT_OK);
	assert_false(p.exec);
	assert_int_equal(bt_walk(&f->c, VA, BT_FETCH, &p), BT_FAULT);
	check_eq("fetch", fault_word(&f->c), FAULT(X86_PAGE, 0x11));
	f->c.efer &= ~(uint64_t)X86_EFER_NX;
	assert_int_equal(bt_walk(&f->c, VA, 0, &p), BT_FAULT);
	check_eq("read", fault_word(&f->c), FAULT(X86_PAGE, 9));
	assert_int_equal(bt_walk(&f->c, VA, BT_FETCH, &p), BT_FAULT);
	check_eq("fetch, without NX and SMEP", fault_word(&f->c), FAULT(X86_PAGE, 9));
}

static void test_rights_are_as_the_processor_checks_them(void **state)
{
	enum { WP = 1, SMEP = 2, SMAP = 4, AC = 8 };
	static const struct {
		const char *name;
		unsigned cpl, set, access, rights;
		int code; /* -1: allowed */
	} cases[] = {
		{ "kernel reads kernel", 0, 0, 0, 0, -1 },
		{ "kernel writes read-only", 0, 0, BT_WRITE, 0, -1 },
		{ "kernel writes read-only, WP", 0, WP, BT_WRITE, 0, 3 },
		{ "kernel writes user read-only", 0, 0, BT_WRITE, U, -1 },
		{ "kernel writes user read-only, WP", 0, WP, BT_WRITE, U, 3 },
		{ "kernel reads user, SMAP", 0, SMAP, 0, U, 1 },
		{ "kernel reads user, SMAP, AC", 0, SMAP | AC, 0, U, -1 },
		{ "kernel writes user, SMAP", 0, SMAP | WP, BT_WRITE, U | W, 3 },
		{ "kernel writes user, SMAP, no WP", 0, SMAP, BT_WRITE, U | W, 3 },
		{ "kernel writes user, SMAP, AC", 0, SMAP | WP | AC, BT_WRITE, U | W, -1 },
		{ "processor reads user, SMAP, AC", 0, SMAP | AC, BT_SYSTEM, U, 1 },
		{ "processor in user code reads kernel", 3, WP, BT_SYSTEM, 0, -1 },
		{ "processor in user code writes user, SMAP", 3, SMAP, BT_SYSTEM | BT_WRITE, U | W, 3 },
		{ "kernel fetches user", 0, 0, BT_FETCH, U, -1 },
		{ "kernel fetches user, SMEP", 0, SMEP, BT_FETCH, U, 0x11 },
		{ "kernel fetches user, SMAP", 0, SMAP, BT_FETCH, U, -1 },
		{ "kernel fetches kernel, SMEP", 0, SMEP, BT_FETCH, 0, -1 },
		{ "user reads kernel", 3, 0, 0, W, 5 },
		{ "user reads user", 3, SMEP | SMAP | WP, 0, U, -1 },
		{ "user writes read-only, no WP", 3, 0, BT_WRITE, U, 7 },
		{ "user writes user", 3, SMAP, BT_WRITE, U | W, -1 },
		{ "user fetches kernel", 3, 0, BT_FETCH, W, 0x15 },
		{ "user fetches user, SMEP", 3, SMEP, BT_FETCH, U, -1 },
		{ "ring 2 reads kernel", 2, 0, 0, 0, -1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fixture *f = *state;
		struct bt_page p;
		int r;

		paging(f, LONG, DIR | 7, TABLE | 7, TARGET | P | cases[i].rights);
		set_cpl(&f->c, cases[i].cpl);
		f->c.cr0 = (f->c.cr0 & ~(uint64_t)X86_CR0_WP) | (cases[i].set & WP ? X86_CR0_WP : 0);
		f->c.cr4 |=
			(cases[i].set & SMEP ? X86_CR4_SMEP : 0) | (cases[i].set & SMAP ? X86_CR4_SMAP : 0);
		f->c.rflags = cases[i].set & AC ? X86_AC | 2 : 2;
		r = bt_walk(&f->c, VA, cases[i].access, &p);
		if ((r == BT_OK) != (cases[i].code < 0))
			fail_msg("%s: got %d, code 0x%x", cases[i].name, r, f->c.fault.code);
		if (r == BT_OK)
			continue;
		check_eq(cases[i].name, fault_word(&f->c), FAULT(X86_PAGE, (uint32_t)cases[i].code));
		check_eq("untouched after a fault", ram_get(f, TABLE, 8) & (A | D), 0);
	}
}

static void test_every_level_can_take_a_right_away(void **state)
{
	static const uint64_t without[] = { 7 & ~W, 7 & ~U };

	for (size_t i = 0; i < ARRAY_SIZE(without); i++)
		for (int level = 0; level < 3; level++) {
			struct fixture *f = *state;
			struct bt_page p;

			paging(f, LONG, DIR | (level == 0 ? without[i] : 7),
			       TABLE | (level == 1 ? without[i] : 7), TARGET | (level == 2 ? without[i] : 7));
			assert_int_equal(bt_walk(&f->c, VA, BT_QUIET, &p), BT_OK);
			check_eq("writable", p.writable, i != 0);
			check_eq("user", p.user, i != 1);
		}
}

static void test_accessed_and_dirty_bits_are_set_when_allowed(void **state)
{
	static const enum kind kinds[] = { OLD, PAE, LONG };
	struct fixture *f = *state;
	struct bt_page p;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		unsigned n = kinds[i] == OLD ? 4 : 8;
		uint64_t dir = DIR + (VA >> (kinds[i] == OLD ? 22 : 21)) * n;

		paging(f, kinds[i], DIR | (kinds[i] == PAE ? P : 7), TABLE | 7, TARGET | 7);
		assert_int_equal(bt_walk(&f->c, VA, BT_QUIET | BT_WRITE, &p), BT_OK);
		check_eq("quiet leaf", ram_get(f, TABLE, n), TARGET | 7);
		assert_false(p.dirty);
		assert_int_equal(bt_walk(&f->c, VA, 0, &p), BT_OK);
		check_eq("read leaf", ram_get(f, TABLE, n), TARGET | 7 | A);
		check_eq("read directory", ram_get(f, dir, n), TABLE | 7 | A);
		if (kinds[i] != OLD)
			check_eq("top", ram_get(f, TOP, 8), kinds[i] == PAE ? DIR | P : DIR | 7 | A);
		assert_int_equal(bt_walk(&f->c, VA, BT_WRITE, &p), BT_OK);
		check_eq("written leaf", ram_get(f, TABLE, n), TARGET | 7 | A | D);
		check_eq("directory is not dirty", ram_get(f, dir, n), TABLE | 7 | A);
		assert_true(p.dirty);
	}
}

static void test_global_counts_only_with_pge(void **state)
{
	struct fixture *f = *state;
	struct bt_page p;

	paging(f, LONG, DIR | 7, TABLE | 7, TARGET | 7 | G);
	assert_int_equal(bt_walk(&f->c, VA, 0, &p), BT_OK);
	assert_false(p.global);
	f->c.cr4 |= X86_CR4_PGE;
	assert_int_equal(bt_walk(&f->c, VA, 0, &p), BT_OK);
	assert_true(p.global);
}

static void test_pcid_is_no_part_of_the_table_address(void **state)
{
	struct fixture *f = *state;
	struct bt_page p;

	paging(f, LONG, DIR | 7, TABLE | 7, TARGET | 7);
	f->c.cr3 |= 0xfff;
	assert_int_equal(bt_walk(&f->c, VA, 0, &p), BT_OK);
	check_eq("gpa", p.gpa, TARGET);
}

static void test_addresses_that_are_not_canonical_are_gp(void **state)
{
	static const uint64_t bad[] = { 0x0000800000000000, 0xffff7fffffffffff, 0x1000000000000000 };
	struct fixture *f = *state;
	struct bt_page p;

	paging(f, LONG, DIR | 7, TABLE | 7, TARGET | 7);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		f->c.fault = (struct bt_fault){ 0 };
		assert_int_equal(bt_walk(&f->c, bad[i], BT_QUIET, &p), BT_FAULT);
		check_eq("quiet raises nothing", f->c.fault.vector, 0);
		assert_int_equal(bt_walk(&f->c, bad[i], 0, &p), BT_FAULT);
		check_eq("raised", fault_word(&f->c), FAULT(X86_GP, 0));
	}
}

static void test_tables_that_point_at_themselves_end(void **state)
{
	struct fixture *f = *state;
	struct bt_page p;

	paging(f, LONG, 0, 0, 0);
	for (unsigned i = 0; i < 512; i++)
		ram_put(f, ROOT + i * 8, ROOT | 7, 8);
	assert_int_equal(bt_walk(&f->c, 0xffff888012345678, BT_WRITE, &p), BT_OK);
	check_eq("gpa", p.gpa, ROOT | 0x678);
}

static void test_ram_is_only_what_lies_in_one_slot(void **state)
{
	struct fixture *f = *state;
	struct bt_vm *vm = &f->vm;

	assert_ptr_equal(bt_ram(vm, 0x1000, 8, true), f->ram + 0x1000);
	assert_ptr_equal(bt_ram(vm, RAM_SIZE - 8, 8, true), f->ram + RAM_SIZE - 8);
	assert_null(bt_ram(vm, RAM_SIZE - 7, 8, false));
	assert_null(bt_ram(vm, RAM_SIZE, 1, false));
	assert_null(bt_ram(vm, ~0ULL, 2, false));
	assert_ptr_equal(bt_ram(vm, ROM_GPA, 8, false), f->rom);
	assert_null(bt_ram(vm, ROM_GPA, 8, true));
	vm->slot[BT_SLOTS_MAX - 1] = (struct bt_slot){ .gpa = 1ULL << 32, .size = 4096, .host = f->rom };
	bt_slots_sort(vm);
	assert_ptr_equal(bt_ram(vm, (1ULL << 32) + 4095, 1, true), f->rom + 4095);
}

static void test_accesses_cross_pages_whole_or_not_at_all(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[64], want[64];

	paging(f, LONG, DIR | 7, TABLE | 7, TARGET | 7);
	ram_put(f, TABLE + 8, (TARGET + 0x8000) | 7, 8);
	for (unsigned i = 0; i < 64; i++)
		want[i] = (uint8_t)(i + 1);
	assert_int_equal(bt_store(&f->c, VA + 0xfe0, want, 64, 0), BT_OK);
	assert_memory_equal(f->ram + TARGET + 0xfe0, want, 32);
	assert_memory_equal(f->ram + TARGET + 0x8000, want + 32, 32);
	check_eq("told of", f->n_written, 2);
	assert_int_equal(bt_load(&f->c, VA + 0xfe0, buf, 64, 0), BT_OK);
	assert_memory_equal(buf, want, 64);
	ram_put(f, TABLE + 8, 0, 8);
	memset(buf, 0xee, 64);
	assert_int_equal(bt_store(&f->c, VA + 0xfe0, buf, 64, 0), BT_FAULT);
	check_eq("second page", f->c.fault.cr2, VA + 0x1000);
	check_eq("code", f->c.fault.code, 2);
	assert_memory_equal(f->ram + TARGET + 0xfe0, want, 32);
}

static void test_what_is_no_memory_is_the_managers_in_natural_pieces(void **state)
{
	static const struct {
		unsigned n, sizes[4];
	} cases[] = { { 1, { 1 } },       { 2, { 2 } }, { 3, { 2, 1 } }, { 4, { 4 } },
		      { 7, { 4, 2, 1 } }, { 8, { 8 } }, { 16, { 8, 8 } } };
	struct fixture *f = *state;
	uint8_t buf[16];

	f->c.cr0 = X86_CR0_PE;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t at = 0xd0000000;

		f->n_io = 0;
		f->io_answer = 0x1122334455667788;
		assert_int_equal(bt_load(&f->c, at, buf, cases[i].n, 0), BT_OK);
		for (unsigned k = 0; k < f->n_io; k++) {
			check_eq("size", f->io[k].size, cases[i].sizes[k]);
			check_eq("address", f->io[k].addr, at);
			assert_false(f->io[k].write || f->io[k].port);
			check_eq("byte", buf[at - 0xd0000000], 0x88);
			at += f->io[k].size;
		}
		check_eq("all of it", at - 0xd0000000, cases[i].n);
	}
	f->n_io = 0;
	assert_int_equal(bt_store(&f->c, ROM_GPA + 4, "\x12\x34", 2, 0), BT_OK);
	check_eq("a store to ROM", f->n_io, 1);
	check_eq("its data", f->io[0].data, 0x3412);
	check_eq("ROM stays", f->rom[4], 0x90);
}

static void test_the_apic_page_is_there_until_it_is_turned_off(void **state)
{
	struct fixture *f = *state;
	uint32_t v = 0;

	f->c.cr0 = X86_CR0_PE;
	assert_int_equal(bt_load(&f->c, 0xfee00030, &v, 4, 0), BT_OK);
	check_eq("version", v, 0x50014);
	assert_int_equal(bt_load(&f->c, 0xfee00032, &v, 1, 0), BT_OK);
	check_eq("its third byte", v & 0xff, 5);
	v = 0x1ff;
	assert_int_equal(bt_store(&f->c, 0xfee000f0, &v, 4, 0), BT_OK);
	check_eq("spurious vector register", f->c.lapic.svr, 0x1ff);
	check_eq("not the manager's", f->n_io, 0);
	f->c.apic_base &= ~0x800ULL;
	assert_int_equal(bt_load(&f->c, 0xfee00030, &v, 4, 0), BT_OK);
	check_eq("the manager's", f->n_io, 1);
}

static void test_a_fetch_gets_what_it_can(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[32];

	paging(f, LONG, DIR | 7, TABLE | 7, TARGET | 7);
	memset(f->ram + TARGET, 0xcc, 4096);
	check_eq("all", bt_fetch(&f->c, VA, buf, 15), 15);
	check_eq("up to the page's end", bt_fetch(&f->c, VA + 0xffd, buf, 15), 3);
	assert_int_equal(bt_fetch(&f->c, VA + 0x1000, buf, 15), BT_FAULT);
	check_eq("the next page's", f->c.fault.cr2, VA + 0x1000);
	check_eq("code", f->c.fault.code, 0x10);
	ram_put(f, TABLE, 0xd0000000 | 7, 8);
	check_eq("no memory", bt_fetch(&f->c, VA, buf, 2), 2);
	check_eq("reads as ones", buf[1], 0xff);
	check_eq("and asks nobody", f->n_io, 0);
}

static void test_reach_gives_a_pointer_to_memory_in_one_page(void **state)
{
	struct fixture *f = *state;
	uint8_t *p = NULL;

	paging(f, LONG, DIR | 7, TABLE | 7, TARGET | 7);
	assert_int_equal(bt_reach(&f->c, VA + 8, 8, 0, &p), BT_OK);
	assert_ptr_equal(p, f->ram + TARGET + 8);
	check_eq("told of", f->written, TARGET + 8);
	check_eq("dirty", ram_get(f, TABLE, 8) & D, D);
	assert_int_equal(bt_reach(&f->c, VA + 0xffc, 8, 0, &p), BT_OK);
	assert_null(p);
	ram_put(f, TABLE, 0xd0000000 | 7, 8);
	assert_int_equal(bt_reach(&f->c, VA, 8, 0, &p), BT_OK);
	assert_null(p);
	ram_put(f, TABLE, TARGET | 5, 8);
	assert_int_equal(bt_reach(&f->c, VA, 8, 0, &p), BT_FAULT);
	check_eq("code", f->c.fault.code, 3);
}

static void test_accessed_bits_in_rom_stay(void **state)
{
	struct fixture *f = *state;
	uint64_t entry = TARGET | 7;
	struct bt_page p;

	paging(f, LONG, DIR | 7, ROM_GPA | 7, 0);
	memcpy(f->rom, &entry, 8);
	assert_int_equal(bt_walk(&f->c, VA, BT_WRITE, &p), BT_OK);
	check_eq("gpa", p.gpa, TARGET);
	assert_memory_equal(f->rom, &entry, 8);
}

/* log_take() - the one page that it has; more: 1, none: 0 */
static uint64_t log_take(uint64_t written[RAM_SIZE / 4096 / 64])
{
	uint64_t page = 0;

	for (uint64_t i = 1; i < RAM_SIZE / 4096; i++)
		if (written[i / 64] >> i % 64 & 1)
			page = page ? 1 : i * 4096;
	memset(written, 0, RAM_SIZE / 4096 / 8);
	return page;
}

static void test_the_log_has_what_is_written_here_tables_too(void **state)
{
	static uint64_t written[RAM_SIZE / 4096 / 64];
	struct fixture *f = *state;
	uint64_t value = 1;
	struct bt_page p;
	uint8_t *at;

	f->vm.written = written;
	paging(f, LONG, DIR | 7 | A, TABLE | 7 | A, TARGET | 7);
	ram_put(f, ROOT, TOP | 7 | A, 8);
	assert_int_equal(bt_store(&f->c, VA, &value, 8, 0), BT_OK);
	check_eq("no log", log_take(written), 0);
	f->vm.slot[1].log = true;
	assert_int_equal(bt_store(&f->c, VA, &value, 8, 0), BT_OK);
	check_eq("a store", log_take(written), TARGET);
	assert_int_equal(bt_load(&f->c, VA, &value, 8, 0), BT_OK);
	check_eq("a load", log_take(written), 0);
	assert_int_equal(bt_reach(&f->c, VA, 8, 0, &at), BT_OK);
	check_eq("a reach", log_take(written), TARGET);
	ram_put(f, TABLE, TARGET | 7, 8);
	assert_int_equal(bt_walk(&f->c, VA, BT_QUIET | BT_WRITE, &p), BT_OK);
	check_eq("a question", log_take(written), 0);
	assert_int_equal(bt_walk(&f->c, VA, BT_WRITE, &p), BT_OK);
	check_eq("accessed and dirty", log_take(written), TABLE);
	assert_int_equal(bt_walk(&f->c, VA, BT_WRITE, &p), BT_OK);
	check_eq("as they are", log_take(written), 0);
}

#define CASE(x) cmocka_unit_test_setup_teardown(x, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_without_paging_addresses_are_physical_and_32_bits),
		CASE(test_each_kind_of_paging_finds_its_page),
		CASE(test_reserved_bits_and_absent_entries_fault),
		CASE(test_nx_is_reserved_until_it_is_turned_on),
		CASE(test_rights_are_as_the_processor_checks_them),
		CASE(test_every_level_can_take_a_right_away),
		CASE(test_accessed_and_dirty_bits_are_set_when_allowed),
		CASE(test_global_counts_only_with_pge),
		CASE(test_pcid_is_no_part_of_the_table_address),
		CASE(test_addresses_that_are_not_canonical_are_gp),
		CASE(test_tables_that_point_at_themselves_end),
		CASE(test_ram_is_only_what_lies_in_one_slot),
		CASE(test_accesses_cross_pages_whole_or_not_at_all),
		CASE(test_what_is_no_memory_is_the_managers_in_natural_pieces),
		CASE(test_the_apic_page_is_there_until_it_is_turned_off),
		CASE(test_a_fetch_gets_what_it_can),
		CASE(test_reach_gives_a_pointer_to_memory_in_one_page),
		CASE(test_accessed_bits_in_rom_stay),
		CASE(test_the_log_has_what_is_written_here_tables_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
