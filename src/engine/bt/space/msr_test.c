/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/bt/space/cpu_test.h"

#include <time.h>

#include "engine/bt/space/host.h"
#include "engine/bt/space/lapic.h"

#define NS_IN_SEC 1000000000ULL

static void msr_put(struct fixture *f, uint32_t index, uint64_t value)
{
	if (bt_msr_write(&f->c, index, value) != BT_OK)
		fail_msg("MSR 0x%x refuses 0x%llx", index, (unsigned long long)value);
}

static uint64_t msr_get(struct fixture *f, uint32_t index)
{
	uint64_t value = 0;

	if (bt_msr_read(&f->c, index, &value) != BT_OK)
		fail_msg("MSR 0x%x cannot be read", index);
	return value;
}

/* One leaf with one bit, for what is there only with a feature. */
static void show(struct fixture *f, uint32_t leaf, uint32_t subleaf, unsigned reg, unsigned bit)
{
	uint32_t r[4] = { 0 };

	r[reg] = 1U << bit;
	f->c.cpuid[0] = (struct x86_cpuid){ .leaf = leaf,
					    .subleaf = subleaf,
					    .indexed = 1,
					    .eax = r[0],
					    .ebx = r[1],
					    .ecx = r[2],
					    .edx = r[3] };
	f->c.n_cpuid = 1;
}

static void test_registers_hold_what_they_take_and_refuse_the_rest(void **state)
{
	static const struct {
		const char *name;
		uint32_t index;
		uint64_t reset, good, bad;
	} cases[] = {
		{ "SYSENTER_CS", 0x174, 0, 0x10, 1ULL << 32 },
		{ "SYSENTER_ESP", 0x175, 0, 0xffff888000000000, 1ULL << 47 },
		{ "SYSENTER_EIP", 0x176, 0, 0xffffffff81000000, 1ULL << 63 },
		{ "LSTAR", 0xc0000082, 0, 0xffffffff81000000, 1ULL << 47 },
		{ "CSTAR", 0xc0000083, 0, 0xffffffff81000000, 1ULL << 47 },
		{ "SFMASK", 0xc0000084, 0, 0x257fd5, 1ULL << 32 },
		{ "FS_BASE", 0xc0000100, 0, 0x7f0000000000, 1ULL << 47 },
		{ "GS_BASE", 0xc0000101, 0, 0xffff888000000000, 1ULL << 47 },
		{ "KERNEL_GS_BASE", 0xc0000102, 0, 0xffff888000000000, 1ULL << 47 },
		{ "TSC_AUX", 0xc0000103, 0, 0x1003, 1ULL << 32 },
		{ "PAT", 0x277, 0x0007040600070406, 0x0407050600070106, 2 },
		{ "PAT, type 3", 0x277, 0x0007040600070406, 0, 0x0300000000000000 },
		{ "PAT, type 8", 0x277, 0x0007040600070406, 0, 0x0800 },
		{ "MISC_ENABLE", 0x1a0, 0x1801, 0x1801 & ~1, 2 },
		{ "SPEC_CTRL", 0x48, 0, 5, 1 << 9 },
		{ "MCG_STATUS", 0x17a, 0, 4, 8 },
		{ "MTRR, default type", 0x2ff, 0, 0xc06, 1 << 8 },
		{ "MTRR, base", 0x200, 0, 0x80000000, 2 },
		{ "MTRR, mask", 0x201, 0, 0x3fff80000800, 1ULL << 46 },
		{ "MTRR, fixed", 0x250, 0, 0x0606060606060606, 7 },
		{ "EFER", 0xc0000080, 0, 0x901, 1 << 12 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fixture *f = *state;
		const char *name = cases[i].name;

		bt_cpu_reset(&f->c, 0);
		check_eq(name, msr_get(f, cases[i].index), cases[i].reset);
		msr_put(f, cases[i].index, cases[i].good);
		check_eq(name, msr_get(f, cases[i].index), cases[i].good);
		if (bt_msr_write(&f->c, cases[i].index, cases[i].bad) != BT_FAULT)
			fail_msg("%s: takes 0x%llx", name, (unsigned long long)cases[i].bad);
		check_eq(name, fault_word(&f->c), FAULT(X86_GP, 0));
		check_eq(name, msr_get(f, cases[i].index), cases[i].good);
	}
}

static void test_some_can_only_be_read_or_written(void **state)
{
	static const uint32_t read_only[] = { 0x17, 0x34, 0x10a, 0x179, 0xfe },
			      write_only[] = { 0x49, 0x10b, 0x79 };
	struct fixture *f = *state;
	uint64_t v = 0;

	for (size_t i = 0; i < ARRAY_SIZE(read_only); i++) {
		v = msr_get(f, read_only[i]);
		assert_int_equal(bt_msr_write(&f->c, read_only[i], v), BT_FAULT);
	}
	for (size_t i = 0; i < ARRAY_SIZE(write_only); i++) {
		msr_put(f, write_only[i], 1);
		assert_int_equal(bt_msr_read(&f->c, write_only[i], &v), BT_FAULT);
	}
	msr_put(f, 0x8b, 0);
	check_eq("microcode", msr_get(f, 0x8b), 1ULL << 32);
	msr_put(f, 0x1d9, 3);
	check_eq("DEBUGCTL", msr_get(f, 0x1d9), 0);
	check_eq("no Meltdown, no MDS", msr_get(f, 0x10a) & 0x21, 0x21);
}

static void test_unknown_registers_are_gp(void **state)
{
	static const uint32_t unknown[] = { 0,          0x3a,       0xce,       0x140,     0x64e,
					    0x4b564d02, 0x4b564d03, 0xc0011029, 0xffffffff };
	struct fixture *f = *state;
	uint64_t v;

	for (size_t i = 0; i < ARRAY_SIZE(unknown); i++) {
		if (bt_msr_read(&f->c, unknown[i], &v) != BT_FAULT ||
		    bt_msr_write(&f->c, unknown[i], 0) != BT_FAULT)
			fail_msg("MSR 0x%x is there", unknown[i]);
		check_eq("fault", fault_word(&f->c), FAULT(X86_GP, 0));
	}
}

static void test_registers_come_with_their_features(void **state)
{
	static const struct {
		uint32_t index, leaf, subleaf;
		unsigned reg, bit;
	} cases[] = {
		{ 0x48, 7, 0, 3, 26 },
		{ 0x10a, 7, 0, 3, 29 },
		{ 0x3b, 7, 0, 1, 1 },
		{ 0x6e0, 1, 0, 2, 24 },
		{ 0x2ff, 1, 0, 3, 12 },
		{ 0x250, 1, 0, 3, 12 },
		{ 0xda0, 0xd, 1, 0, 3 },
		{ 0x17a, 1, 0, 3, 14 },
		{ 0xc0000103, 0x80000001, 0, 3, 27 },
		{ 0x4b564d01, 0x40000001, 0, 0, 3 },
		{ 0x12, 0x40000001, 0, 0, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fixture *f = *state;
		uint64_t v;

		show(f, 2, 0, 0, 0);
		if (bt_msr_read(&f->c, cases[i].index, &v) != BT_FAULT ||
		    bt_msr_write(&f->c, cases[i].index, 0) != BT_FAULT)
			fail_msg("MSR 0x%x is there without its feature", cases[i].index);
		show(f, cases[i].leaf, cases[i].subleaf, cases[i].reg, cases[i].bit);
		msr_get(f, cases[i].index);
	}
}

static void test_one_vendors_registers(void **state)
{
	struct fixture *f = *state;

	f->c.cpuid[0] = (struct x86_cpuid){ .ebx = 0x68747541 };
	f->c.n_cpuid = 1;
	check_eq("LFENCE serializes", msr_get(f, 0xc0011029), 2);
	check_eq("HWCR", msr_get(f, 0xc0010015), 0);
	check_eq("northbridge's configuration", msr_get(f, 0xc001001f), 0);
	msr_put(f, 0xc001001f, 1ULL << 46);
}

static void test_efer_cannot_change_long_mode_under_paging(void **state)
{
	struct fixture *f = *state;

	fixture_long(f);
	assert_int_equal(bt_msr_write(&f->c, 0xc0000080, 0x801), BT_FAULT);
	msr_put(f, 0xc0000080, 0x101);
	check_eq("LMA is not for writing; NX is off", f->c.efer, 0x501);
	check_eq("mappings are made anew", f->n_flush[BT_FLUSH_ALL], 1);
}

static void test_the_tsc_moves_by_writing_it_or_its_adjustment(void **state)
{
	struct fixture *f = *state;
	uint64_t v;

	msr_put(f, 0x10, 1000);
	v = msr_get(f, 0x10);
	assert_true(v >= 1000 && v < 1ULL << 40);
	assert_true(msr_get(f, 0x3b) != 0);
	msr_put(f, 0x3b, 0);
	v = bt_host_tsc();
	assert_true(msr_get(f, 0x10) - v < 1ULL << 40);
	msr_put(f, 0x3b, 1ULL << 50);
	assert_true(msr_get(f, 0x10) - v >= 1ULL << 50);
}

static void test_x2apic_registers_are_there_in_that_mode(void **state)
{
	struct fixture *f = *state;
	uint64_t v;

	assert_int_equal(bt_msr_read(&f->c, 0x803, &v), BT_FAULT);
	assert_int_equal(bt_msr_write(&f->c, 0x80b, 0), BT_FAULT);
	msr_put(f, 0x1b, 0xfee00d00);
	check_eq("base", msr_get(f, 0x1b), 0xfee00d00);
	check_eq("version", msr_get(f, 0x803), 0x50014);
	msr_put(f, 0x808, 0x30);
	check_eq("priority", f->c.lapic.tpr, 0x30);
	assert_int_equal(bt_msr_read(&f->c, 0x8ff, &v), BT_FAULT);
	msr_put(f, 0x832, 0x400ec);
	msr_put(f, 0x6e0, 1ULL << 62);
	check_eq("deadline", msr_get(f, 0x6e0), 1ULL << 62);
}

/* pvclock_now() - as a guest computes it */
static uint64_t pvclock_now(const struct fixture *f, uint64_t gpa, uint64_t tsc)
{
	uint64_t since = tsc - ram_get(f, gpa + 8, 8);
	int8_t shift = (int8_t)ram_get(f, gpa + 28, 1);

	since = shift < 0 ? since >> -shift : since << shift;
	return ram_get(f, gpa + 16, 8) + (uint64_t)((unsigned __int128)since * ram_get(f, gpa + 24, 4) >> 32);
}

static void test_the_paravirtual_clock_is_the_tsc_in_nanoseconds(void **state)
{
	static const uint64_t khz[] = { 1, 1000000, 2100000, 3893154, 5999999, 16000000 };
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(khz); i++) {
		uint64_t hour = khz[i] * 1000 * 3600, got;

		f->vm.tsc_khz = khz[i];
		msr_put(f, 0x4b564d01, 0x3000 | 1);
		check_eq("version is even", ram_get(f, 0x3000, 4) & 1, 0);
		check_eq("stable", ram_get(f, 0x3000 + 29, 1), 1);
		got = pvclock_now(f, 0x3000, hour);
		if (got > 3600 * NS_IN_SEC || got < 3600 * NS_IN_SEC - 3600)
			fail_msg("%llu kHz: an hour is %llu ns", (unsigned long long)khz[i],
				 (unsigned long long)got);
	}
	check_eq("told of", f->written, 0x3000);
	msr_put(f, 0x4b564d01, 0x4000); /* not turned on */
	check_eq("nothing written", ram_get(f, 0x4000 + 24, 4), 0);
	msr_put(f, 0x4b564d01, RAM_SIZE - 8 + 1); /* half of it is no memory */
	msr_put(f, 0x12, ~0ULL);
	check_eq("one register with two names", msr_get(f, 0x4b564d01), ~0ULL);
}

static void test_the_paravirtual_clock_can_be_ahead_and_says_so_at_once(void **state)
{
	static const uint64_t ahead = 7200 * NS_IN_SEC;
	struct fixture *f = *state;
	uint64_t tsc = f->vm.tsc_khz * 1000 * 60, was;

	bt_clock_set_ahead(&f->c, 0);
	check_eq("off: nothing is written", ram_get(f, 0x3000, 4), 0);
	msr_put(f, 0x4b564d01, 0x3000 | 1);
	was = pvclock_now(f, 0x3000, tsc);
	bt_clock_set_ahead(&f->c, ahead);
	check_eq("version is even", ram_get(f, 0x3000, 4) & 1, 0);
	check_eq("ahead", pvclock_now(f, 0x3000, tsc) - was, ahead);
	msr_put(f, 0x10, 5); /* the TSC moves: it stays ahead of it */
	check_eq("still ahead", pvclock_now(f, 0x3000, tsc) - was, ahead);
	f->c.tsc_offset = -bt_host_tsc();
	msr_put(f, 0x4b564d00, 0x5000);
	bt_clock_set_ahead(&f->c, 0);
	msr_put(f, 0x4b564d00, 0x6000);
	assert_in_range(ram_get(f, 0x6000 + 4, 4) - ram_get(f, 0x5000 + 4, 4), 7199, 7201);
}

static void test_the_wall_clock_is_when_the_other_was_0(void **state)
{
	struct fixture *f = *state;
	int64_t wall, now;

	f->c.tsc_offset = -bt_host_tsc();
	msr_put(f, 0x4b564d01, 0x3000 | 1);
	msr_put(f, 0x4b564d00, 0x5000);
	check_eq("version is even", ram_get(f, 0x5000, 4) & 1, 0);
	assert_true(ram_get(f, 0x5000, 4) != 0);
	wall = (int64_t)(ram_get(f, 0x5000 + 4, 4) * NS_IN_SEC + ram_get(f, 0x5000 + 8, 4));
	now = wall + (int64_t)pvclock_now(f, 0x3000, bt_tsc(&f->c));
	now = now / (int64_t)NS_IN_SEC - (int64_t)time(NULL);
	assert_true(now >= -20 && now <= 20);
	f->vm.tsc_khz = 0;
	assert_int_equal(bt_msr_write(&f->c, 0x4b564d00, 0x5000), BT_FAULT);
}

static void test_what_is_saved_can_be_restored(void **state)
{
	struct fixture *f = *state;
	struct x86_msr msr[X86_MSRS_MAX];
	unsigned n;
	uint64_t tsc;

	msr_put(f, 0xc0000082, 0xffffffff81000000);
	msr_put(f, 0x48, 1);
	msr_put(f, 0x250, 0x0606060606060606);
	msr_put(f, 0x4b564d01, 0x3001);
	f->c.lapic.svr |= SVR_ENABLED;
	assert_int_equal(bt_lapic_write(&f->c, LAPIC_LVT, 0x400ec), BT_OK);
	msr_put(f, 0x6e0, 1ULL << 62);
	f->c.tsc_offset = 1ULL << 50;
	n = bt_msr_save(&f->c, msr);
	check_eq("the TSC is first", msr[0].index, 0x10);
	check_eq("the deadline is last", msr[n - 1].index, 0x6e0);
	for (unsigned i = 0; i < n; i++)
		for (unsigned k = 0; k < i; k++)
			assert_true(msr[i].index != msr[k].index);
	tsc = msr[0].value;
	bt_msr_reset(&f->c);
	f->c.tsc_offset = 0;
	f->c.lapic.deadline = 0;
	memset(f->ram + 0x3000, 0, 32);
	assert_true(bt_msr_can_restore(&f->c, msr, n));
	bt_msr_restore(&f->c, msr, n);
	check_eq("LSTAR", f->c.lstar, 0xffffffff81000000);
	check_eq("SPEC_CTRL", msr_get(f, 0x48), 1);
	check_eq("MTRR", msr_get(f, 0x250), 0x0606060606060606);
	check_eq("deadline", msr_get(f, 0x6e0), 1ULL << 62);
	assert_true(bt_tsc(&f->c) - tsc < 1ULL << 45);
	assert_true(ram_get(f, 0x3000 + 24, 4) != 0); /* the clock's page is written anew */
}

static void test_another_engines_registers_are_kept_and_too_many_refused(void **state)
{
	struct fixture *f = *state;
	struct x86_msr msr[X86_MSRS_MAX] = { { 0x140, 1 }, { 0x3a, 5 }, { 0x345, 0 }, { 0x1a0, ~0ULL } };
	uint64_t v;

	assert_true(bt_msr_can_restore(&f->c, msr, 4));
	bt_msr_restore(&f->c, msr, 4);
	check_eq("kept", msr_get(f, 0x140), 1);
	msr_put(f, 0x140, 0);
	check_eq("written", msr_get(f, 0x140), 0);
	assert_int_equal(bt_msr_read(&f->c, 0x345, &v), BT_FAULT);
	for (unsigned i = 0; i < X86_MSRS_MAX; i++)
		msr[i] = (struct x86_msr){ 0x20000 + i, 1 };
	assert_false(bt_msr_can_restore(&f->c, msr, X86_MSRS_MAX));
	msr[0] = (struct x86_msr){ 0xc0000082, 1ULL << 47 };
	assert_false(bt_msr_can_restore(&f->c, msr, 1));
}

#define CASE(x) cmocka_unit_test_setup_teardown(x, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_registers_hold_what_they_take_and_refuse_the_rest),
		CASE(test_some_can_only_be_read_or_written),
		CASE(test_unknown_registers_are_gp),
		CASE(test_registers_come_with_their_features),
		CASE(test_one_vendors_registers),
		CASE(test_efer_cannot_change_long_mode_under_paging),
		CASE(test_the_tsc_moves_by_writing_it_or_its_adjustment),
		CASE(test_x2apic_registers_are_there_in_that_mode),
		CASE(test_the_paravirtual_clock_is_the_tsc_in_nanoseconds),
		CASE(test_the_paravirtual_clock_can_be_ahead_and_says_so_at_once),
		CASE(test_the_wall_clock_is_when_the_other_was_0),
		CASE(test_what_is_saved_can_be_restored),
		CASE(test_another_engines_registers_are_kept_and_too_many_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
