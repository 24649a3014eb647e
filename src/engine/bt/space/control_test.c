/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/bt/space/cpu_test.h"

#define PG X86_CR0_PG
enum { PE = X86_CR0_PE, ET = X86_CR0_ET, WP = X86_CR0_WP, PAE = X86_CR4_PAE, PSE = X86_CR4_PSE };
enum { LME = X86_EFER_LME, LMA = X86_EFER_LMA };

static void test_control_registers_refuse_what_the_architecture_refuses(void **state)
{
	static const struct {
		const char *name;
		uint64_t cr0, cr3, cr4, efer;
		unsigned cs, n;
		uint64_t value;
		bool ok;
	} cases[] = {
		{ "protection", ET, 0, 0, 0, 0x9b, 0, PE, true },
		{ "upper half of CR0", ET, 0, 0, 0, 0x9b, 0, 1ULL << 32, false },
		{ "paging without protection", ET, 0, 0, 0, 0x9b, 0, PG, false },
		{ "NW without CD", ET, 0, 0, 0, 0x9b, 0, X86_CR0_NW, false },
		{ "paging", PE | ET, 0, 0, 0, 0xc09b, 0, PG | PE, true },
		{ "long without PAE", PE | ET, 0, 0, LME, 0xc09b, 0, PG | PE, false },
		{ "long", PE | ET, 0, PAE, LME, 0xc09b, 0, PG | PE, true },
		{ "long from code with L", PE | ET, 0, PAE, LME, 0xa09b, 0, PG | PE, false },
		{ "paging off in 64-bit code", PG | PE | ET, 0, PAE, LME | LMA, 0xa09b, 0, PE, false },
		{ "paging off in compatibility mode", PG | PE | ET, 0, PAE, LME | LMA, 0xc09b, 0, PE, true },
		{ "paging off with PCIDs", PG | PE | ET, 0, PAE | X86_CR4_PCIDE, LME | LMA, 0xc09b, 0, PE,
		  false },
		{ "PAE with bad top entries", PE | ET, 0x1000, PAE, 0, 0xc09b, 0, PG | PE, false },
		{ "CR3, bit 46", PG | PE | ET, 0, PAE, LME | LMA, 0xa09b, 3, 1ULL << 46, false },
		{ "CR3, bit 45", PG | PE | ET, 0, PAE, LME | LMA, 0xa09b, 3, 1ULL << 45, true },
		{ "CR3, bit 63 without PCIDs", PG | PE | ET, 0, PAE, LME | LMA, 0xa09b, 3, 1ULL << 63,
		  false },
		{ "CR3 with bad top entries", PG | PE | ET, 0, PAE, 0, 0xc09b, 3, 0x1000, false },
		{ "CR4, unknown", ET, 0, 0, 0, 0x9b, 4, 1 << 13, false },
		{ "CR4, upper half", ET, 0, 0, 0, 0x9b, 4, 1ULL << 32, false },
		{ "CR4, PAE off in long mode", PG | PE | ET, 0, PAE, LME | LMA, 0xa09b, 4, 0, false },
		{ "PCIDs in long mode", PG | PE | ET, 0, PAE, LME | LMA, 0xa09b, 4, PAE | X86_CR4_PCIDE,
		  true },
		{ "PCIDs, one in use", PG | PE | ET, 1, PAE, LME | LMA, 0xa09b, 4, PAE | X86_CR4_PCIDE,
		  false },
		{ "PCIDs without long mode", PG | PE | ET, 0, PAE, 0, 0xc09b, 4, PAE | X86_CR4_PCIDE, false },
		{ "PSE turned on under bad top entries", PG | PE | ET, 0x1000, PAE, 0, 0xc09b, 4, PAE | PSE,
		  false },
		{ "CR8", ET, 0, 0, 0, 0x9b, 8, 15, true },
		{ "CR8, too much", ET, 0, 0, 0, 0x9b, 8, 16, false },
		{ "CR2", ET, 0, 0, 0, 0x9b, 2, ~0ULL, true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fixture *f = *state;
		uint64_t before[5], after[5];
		int r;

		ram_put(f, 0x1000, 0x2000 | 3, 8); /* a PAE top entry with a reserved bit */
		f->c.cr0 = cases[i].cr0;
		f->c.cr2 = 0;
		f->c.cr3 = cases[i].cr3;
		f->c.cr4 = cases[i].cr4;
		f->c.efer = cases[i].efer;
		f->c.seg[X86_CS].attr = (uint16_t)cases[i].cs;
		memcpy(before, (uint64_t[]){ f->c.cr0, f->c.cr2, f->c.cr3, f->c.cr4, f->c.efer },
		       sizeof(before));
		r = bt_cr_write(&f->c, cases[i].n, cases[i].value);
		if ((r == BT_OK) != cases[i].ok)
			fail_msg("%s: got %d", cases[i].name, r);
		if (r == BT_OK)
			continue;
		check_eq(cases[i].name, fault_word(&f->c), FAULT(X86_GP, 0));
		memcpy(after, (uint64_t[]){ f->c.cr0, f->c.cr2, f->c.cr3, f->c.cr4, f->c.efer },
		       sizeof(after));
		assert_memory_equal(before, after, sizeof(before));
	}
}

static void test_long_mode_is_active_while_paging_is_on(void **state)
{
	struct fixture *f = *state;

	f->c.cr0 = PE | ET;
	f->c.cr4 = PAE;
	f->c.efer = LME;
	assert_int_equal(bt_cr_write(&f->c, 0, PG | PE), BT_OK);
	check_eq("on", f->c.efer, LME | LMA);
	check_eq("ET is always there", f->c.cr0, PG | PE | ET);
	assert_int_equal(bt_msr_write(&f->c, 0xc0000080, 0), BT_FAULT);
	assert_int_equal(bt_cr_write(&f->c, 0, PE), BT_OK);
	check_eq("off", f->c.efer, LME);
}

static void test_changes_of_the_mapping_are_told(void **state)
{
	static const struct {
		const char *name;
		unsigned n;
		uint64_t value;
		int flush; /* -1: none */
	} cases[] = {
		{ "CR3", 3, 0x5000, BT_FLUSH_SPACE },
		{ "TS", 0, PG | PE | ET | WP | X86_CR0_TS, -1 },
		{ "WP", 0, PG | PE | ET, BT_FLUSH_ALL },
		{ "PGE", 4, PAE | X86_CR4_PGE, BT_FLUSH_ALL },
		{ "SMEP", 4, PAE | X86_CR4_SMEP, BT_FLUSH_ALL },
		{ "OSFXSR", 4, PAE | X86_CR4_OSFXSR, -1 },
		{ "CR2", 2, 5, -1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fixture *f = *state;

		memset(f->n_flush, 0, sizeof(f->n_flush));
		f->c.cr0 = PG | PE | ET | WP;
		f->c.cr4 = PAE;
		f->c.efer = LME | LMA;
		assert_int_equal(bt_cr_write(&f->c, cases[i].n, cases[i].value), BT_OK);
		for (int k = 0; k < BT_FLUSH_COUNT; k++)
			check_eq(cases[i].name, f->n_flush[k], k == cases[i].flush);
	}
}

static void test_loading_cr3_may_keep_what_a_pcid_has(void **state)
{
	struct fixture *f = *state;

	f->c.cr0 = PG | PE | ET;
	f->c.cr4 = PAE | X86_CR4_PCIDE;
	f->c.efer = LME | LMA;
	assert_int_equal(bt_cr_write(&f->c, 3, 1ULL << 63 | 0x5003), BT_OK);
	check_eq("CR3", f->c.cr3, 0x5003);
	check_eq("told", f->flushed, 1ULL << 63 | 0x5003);
	assert_int_equal(bt_cr_write(&f->c, 3, 1ULL << 62), BT_FAULT);
}

static void test_cr4_has_what_cpuid_shows(void **state)
{
	struct fixture *f = *state;

	f->c.cpuid[0] = (struct x86_cpuid){ .leaf = 7, .indexed = 1, .ebx = 1 << 20 };
	f->c.n_cpuid = 1;
	assert_int_equal(bt_cr_write(&f->c, 4, X86_CR4_SMAP), BT_OK);
	assert_int_equal(bt_cr_write(&f->c, 4, X86_CR4_SMEP), BT_FAULT);
}

static void test_cr8_is_the_apics_priority(void **state)
{
	struct fixture *f = *state;
	uint64_t v = 0;

	assert_int_equal(bt_cr_write(&f->c, 8, 9), BT_OK);
	check_eq("tpr", f->c.lapic.tpr, 0x90);
	assert_int_equal(bt_cr_read(&f->c, 8, &v), BT_OK);
	check_eq("read", v, 9);
	assert_int_equal(bt_cr_read(&f->c, 1, &v), BT_FAULT);
	check_eq("CR1", fault_word(&f->c), FAULT(X86_UD, NO_CODE));
}

static void test_xcr0_takes_sets_that_make_sense(void **state)
{
	static const struct {
		uint64_t value;
		bool ok;
	} cases[] = { { 1, true },     { 3, true },      { 7, true },     { 2, false },
		      { 5, false },    { 0xe7, true },   { 0x67, false }, { 0xe3, false },
		      { 0x1f, false }, { 0x207, false }, { 0, false } };
	struct fixture *f = *state;

	f->c.cpuid[0] = (struct x86_cpuid){ .leaf = 0xd, .indexed = 1, .eax = 0xe7 };
	f->c.n_cpuid = 1;
	assert_int_equal(bt_xsetbv(&f->c, 0, 7), BT_FAULT);
	check_eq("without OSXSAVE", fault_word(&f->c), FAULT(X86_UD, NO_CODE));
	f->c.cr4 = X86_CR4_OSXSAVE;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if ((bt_xsetbv(&f->c, 0, cases[i].value) == BT_OK) != cases[i].ok)
			fail_msg("0x%llx", (unsigned long long)cases[i].value);
	assert_int_equal(bt_xsetbv(&f->c, 1, 1), BT_FAULT);
	check_eq("XCR1", fault_word(&f->c), FAULT(X86_GP, 0));
}

static void test_debug_registers(void **state)
{
	struct fixture *f = *state;
	uint64_t v = 0;

	assert_int_equal(bt_dr_write(&f->c, 3, ~0ULL), BT_OK);
	assert_int_equal(bt_dr_write(&f->c, 6, 0), BT_OK);
	check_eq("dr6", f->c.dr6, 0xffff0ff0);
	assert_int_equal(bt_dr_write(&f->c, 5, 0xffffdfff), BT_OK);
	check_eq("dr5 is dr7", f->c.dr7, 0xffff07ff);
	assert_int_equal(bt_dr_write(&f->c, 7, 1ULL << 32), BT_FAULT);
	check_eq("upper half", fault_word(&f->c), FAULT(X86_GP, 0));
	f->c.cr4 = X86_CR4_DE;
	assert_int_equal(bt_dr_read(&f->c, 4, &v), BT_FAULT);
	check_eq("DE", fault_word(&f->c), FAULT(X86_UD, NO_CODE));
	f->c.dr7 |= 1 << 13;
	assert_int_equal(bt_dr_read(&f->c, 3, &v), BT_FAULT);
	check_eq("GD", fault_word(&f->c), FAULT(X86_DB, NO_CODE));
	check_eq("BD", f->c.fault.dr6, 1 << 13);
}

#define CASE(x) cmocka_unit_test_setup_teardown(x, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_control_registers_refuse_what_the_architecture_refuses),
		CASE(test_long_mode_is_active_while_paging_is_on),
		CASE(test_changes_of_the_mapping_are_told),
		CASE(test_loading_cr3_may_keep_what_a_pcid_has),
		CASE(test_cr4_has_what_cpuid_shows),
		CASE(test_cr8_is_the_apics_priority),
		CASE(test_xcr0_takes_sets_that_make_sense),
		CASE(test_debug_registers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
