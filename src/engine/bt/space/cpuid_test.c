/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/bt/space/cpu_test.h"

enum { EAX, EBX, ECX, EDX };

static const struct x86_cpuid table[] = {
	{ .leaf = 0, .eax = 0x16, .ebx = 0x756e6547, .ecx = 0x6c65746e, .edx = 0x49656e69 },
	{ .leaf = 1, .eax = 0x806f8, .ebx = 0x12000800, .ecx = 1 << 26, .edx = 1 << 9 },
	{ .leaf = 7, .indexed = 1, .eax = 1 },
	{ .leaf = 7, .subleaf = 1, .indexed = 1, .eax = 0x77 },
	{ .leaf = 0xb, .indexed = 1, .ecx = 0x100 },
	{ .leaf = 0xb, .subleaf = 1, .indexed = 1, .ecx = 0x201 },
	{ .leaf = 0xd, .indexed = 1, .eax = 0xe7, .ebx = 9999, .ecx = 2696 },
	{ .leaf = 0xd, .subleaf = 1, .indexed = 1, .eax = 7, .ebx = 9999 },
	{ .leaf = 0xd, .subleaf = 2, .indexed = 1, .eax = 256, .ebx = 576 },
	{ .leaf = 0xd, .subleaf = 5, .indexed = 1, .eax = 64, .ebx = 1088 },
	{ .leaf = 0xd, .subleaf = 6, .indexed = 1, .eax = 512, .ebx = 1152, .ecx = 2 },
	{ .leaf = 0xd, .subleaf = 7, .indexed = 1, .eax = 1024, .ebx = 1664 },
	{ .leaf = 0x16, .eax = 2000 },
	{ .leaf = 0x40000000, .eax = 0x40000001, .ebx = 0x4b4d564b },
	{ .leaf = 0x80000000, .eax = 0x80000008 },
	{ .leaf = 0x80000008, .eax = 0x302e },
};

static int setup(void **state)
{
	struct fixture *f = fixture_new();

	memcpy(f->c.cpuid, table, sizeof(table));
	f->c.n_cpuid = ARRAY_SIZE(table);
	*state = f;
	return 0;
}

static void test_leaves_come_from_the_table(void **state)
{
	static const struct {
		const char *name;
		uint32_t leaf, subleaf;
		unsigned reg;
		uint32_t want;
	} cases[] = {
		{ "vendor", 0, 0, EBX, 0x756e6547 },
		{ "whatever the subleaf", 0x16, 77, EAX, 2000 },
		{ "a subleaf", 7, 1, EAX, 0x77 },
		{ "a subleaf there is not", 7, 2, EAX, 0 },
		{ "a leaf there is not", 5, 0, EAX, 0 },
		{ "behind the last: the last", 0x17, 0, EAX, 2000 },
		{ "hypervisor", 0x40000000, 0, EBX, 0x4b4d564b },
		{ "behind the hypervisor's last", 0x40000100, 0, EAX, 2000 },
		{ "extended", 0x80000008, 0, EAX, 0x302e },
		{ "extended, none", 0x80000005, 0, EAX, 0 },
		{ "behind the extended", 0x80000009, 0, EAX, 2000 },
		{ "a class of its own", 0xc0000000, 0, EAX, 2000 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fixture *f = *state;
		uint32_t r[4];

		bt_cpuid(&f->c, cases[i].leaf, cases[i].subleaf, r);
		check_eq(cases[i].name, r[cases[i].reg], cases[i].want);
	}
}

static void test_other_vendors_have_nothing_behind_the_last(void **state)
{
	struct fixture *f = *state;
	uint32_t r[4];

	f->c.cpuid[0].ebx = 0x68747541;
	bt_cpuid(&f->c, 0x17, 0, r);
	check_eq("eax", r[EAX], 0);
}

static void test_bits_follow_the_processors_state(void **state)
{
	struct fixture *f = *state;
	uint32_t r[4];

	bt_cpu_reset(&f->c, 3);
	bt_cpuid(&f->c, 1, 0, r);
	check_eq("OSXSAVE, APIC", (r[ECX] >> 27 & 1) << 1 | (r[EDX] >> 9 & 1), 1);
	check_eq("id", r[EBX], 0x03000800);
	f->c.cr4 |= X86_CR4_OSXSAVE;
	f->c.apic_base &= ~0x800ULL;
	bt_cpuid(&f->c, 1, 0, r);
	check_eq("OSXSAVE, no APIC", (r[ECX] >> 27 & 1) << 1 | (r[EDX] >> 9 & 1), 2);
	bt_cpuid(&f->c, 0xb, 1, r);
	check_eq("x2APIC id", r[EDX], 3);
	bt_cpuid(&f->c, 0xb, 5, r);
	check_eq("the level asked for", r[ECX], 5);
	check_eq("its id", r[EDX], 3);
}

static void test_sizes_of_the_xsave_area(void **state)
{
	static const struct {
		uint64_t xcr0;
		unsigned standard, compact;
	} cases[] = { { 1, 576, 576 },
		      { 7, 832, 832 },
		      { 0xe7, 2688, 576 + 256 + 64 + 512 + 1024 },
		      { 0xc7, 2688, 2368 } };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fixture *f = *state;
		uint32_t r[4];

		f->c.xcr0 = cases[i].xcr0;
		bt_cpuid(&f->c, 0xd, 0, r);
		check_eq("standard", r[EBX], cases[i].standard);
		check_eq("largest", r[ECX], 2696);
		bt_cpuid(&f->c, 0xd, 1, r);
		check_eq("compact", r[EBX], cases[i].compact);
	}
}

static void test_a_feature_is_there_if_its_bit_is(void **state)
{
	struct fixture *f = *state;

	assert_true(bt_has(&f->c, 1, 0, ECX, 26));
	assert_false(bt_has(&f->c, 1, 0, ECX, 25));
	assert_false(bt_has(&f->c, 2, 0, ECX, 26));
	f->c.n_cpuid = 0;
	assert_true(bt_has(&f->c, 2, 0, ECX, 26));
}

#define CASE(x) cmocka_unit_test_setup_teardown(x, setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_leaves_come_from_the_table),
		CASE(test_other_vendors_have_nothing_behind_the_last),
		CASE(test_bits_follow_the_processors_state),
		CASE(test_sizes_of_the_xsave_area),
		CASE(test_a_feature_is_there_if_its_bit_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
