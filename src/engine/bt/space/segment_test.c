/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/bt/space/cpu_test.h"

#include "engine/bt/space/event.h"

enum mode { REAL, PROTECTED, LONG };

static void enter(struct fixture *f, enum mode mode, unsigned cpl)
{
	memset(f->ram, 0, RAM_SIZE);
	bt_cpu_reset(&f->c, 0);
	if (mode == PROTECTED)
		fixture_protected(f);
	else if (mode == LONG)
		fixture_long(f);
	if (mode != REAL)
		fixture_cpl(f, cpl, mode == LONG);
}

static void test_real_mode_makes_bases_of_selectors(void **state)
{
	struct fixture *f = *state;

	enter(f, REAL, 0);
	f->c.seg[X86_DS].limit = 0xffffffff; /* unreal mode */
	assert_int_equal(bt_seg_load(&f->c, X86_DS, 0x1234), BT_OK);
	check_eq("base", f->c.seg[X86_DS].base, 0x12340);
	check_eq("limit stays", f->c.seg[X86_DS].limit, 0xffffffff);
	assert_int_equal(bt_seg_load(&f->c, X86_GS, 0x100), BT_OK);
	check_eq("gs", f->c.gs_base, 0x1000);
}

static void test_segment_loads_check_their_descriptor(void **state)
{
	static const struct {
		const char *name;
		enum mode mode;
		unsigned cpl;
		enum x86_seg seg;
		unsigned selector;
		uint64_t want; /* 0: loaded */
	} cases[] = {
		{ "data", PROTECTED, 0, X86_DS, SEL_DATA, 0 },
		{ "data, RPL 3", PROTECTED, 0, X86_DS, SEL_DATA | 3, FAULT(X86_GP, SEL_DATA) },
		{ "kernel's data by the user", PROTECTED, 3, X86_ES, SEL_DATA, FAULT(X86_GP, SEL_DATA) },
		{ "user's data by the kernel", PROTECTED, 0, X86_ES, SEL_USER_DATA | 3, 0 },
		{ "readable code", PROTECTED, 0, X86_DS, SEL_CODE32, 0 },
		{ "code that cannot be read", PROTECTED, 0, X86_DS, SEL_NO_READ, FAULT(X86_GP, SEL_NO_READ) },
		{ "conforming code by the user", PROTECTED, 3, X86_FS, SEL_CONFORMING | 3, 0 },
		{ "a system segment", PROTECTED, 0, X86_DS, SEL_TSS, FAULT(X86_GP, SEL_TSS) },
		{ "beyond the table", PROTECTED, 0, X86_DS, GDT_END, FAULT(X86_GP, GDT_END) },
		{ "without an LDT", PROTECTED, 0, X86_DS, 4, FAULT(X86_GP, 4) },
		{ "null", PROTECTED, 3, X86_GS, 3, 0 },
		{ "null stack", PROTECTED, 0, X86_SS, 0, FAULT(X86_GP, 0) },
		{ "null stack, 64-bit kernel", LONG, 0, X86_SS, 0, 0 },
		{ "null stack, wrong RPL", LONG, 0, X86_SS, 3, FAULT(X86_GP, 0) },
		{ "null stack, 64-bit user", LONG, 3, X86_SS, 3, FAULT(X86_GP, 0) },
		{ "stack", PROTECTED, 0, X86_SS, SEL_DATA, 0 },
		{ "stack, read-only", PROTECTED, 0, X86_SS, SEL_READ_ONLY, FAULT(X86_GP, SEL_READ_ONLY) },
		{ "stack, wrong DPL", PROTECTED, 0, X86_SS, SEL_USER_DATA, FAULT(X86_GP, SEL_USER_DATA) },
		{ "stack, wrong RPL", PROTECTED, 0, X86_SS, SEL_DATA | 1, FAULT(X86_GP, SEL_DATA) },
		{ "stack, code", PROTECTED, 0, X86_SS, SEL_CODE32, FAULT(X86_GP, SEL_CODE32) },
		{ "LTR", PROTECTED, 0, X86_TR, SEL_TSS, 0 },
		{ "LTR in long mode", LONG, 0, X86_TR, SEL_TSS, 0 },
		{ "LTR of 16 bits", PROTECTED, 0, X86_TR, SEL_TSS16, 0 },
		{ "LTR of 16 bits in long mode", LONG, 0, X86_TR, SEL_TSS16, FAULT(X86_GP, SEL_TSS16) },
		{ "LTR, null", PROTECTED, 0, X86_TR, 0, FAULT(X86_GP, 0) },
		{ "LTR, data", PROTECTED, 0, X86_TR, SEL_DATA, FAULT(X86_GP, SEL_DATA) },
		{ "LTR, of an LDT", PROTECTED, 0, X86_TR, SEL_TSS | 4, FAULT(X86_GP, SEL_TSS | 4) },
		{ "LLDT", PROTECTED, 0, X86_LDTR, SEL_LDT, 0 },
		{ "LLDT, null", PROTECTED, 0, X86_LDTR, 0, 0 },
		{ "LLDT, TSS", PROTECTED, 0, X86_LDTR, SEL_TSS, FAULT(X86_GP, SEL_TSS) },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fixture *f = *state;
		struct x86_segment before;
		int r;

		enter(f, cases[i].mode, cases[i].cpl);
		before = f->c.seg[cases[i].seg];
		f->c.seg[X86_LDTR].attr = BT_ATTR_UNUSABLE;
		r = bt_seg_load(&f->c, cases[i].seg, (uint16_t)cases[i].selector);
		if ((r == BT_OK) != (cases[i].want == 0))
			fail_msg("%s: got %d, fault 0x%llx", cases[i].name, r,
				 (unsigned long long)fault_word(&f->c));
		if (r == BT_OK) {
			check_eq(cases[i].name, f->c.seg[cases[i].seg].selector, cases[i].selector);
			continue;
		}
		check_eq(cases[i].name, fault_word(&f->c), cases[i].want);
		assert_memory_equal(&before, &f->c.seg[cases[i].seg], sizeof(before));
	}
}

static void test_absent_segments_are_np_and_absent_stacks_ss(void **state)
{
	struct fixture *f = *state;

	enter(f, PROTECTED, 0);
	assert_int_equal(bt_seg_load(&f->c, X86_DS, SEL_NOT_PRESENT), BT_FAULT);
	check_eq("data", fault_word(&f->c), FAULT(X86_NP, SEL_NOT_PRESENT));
	assert_int_equal(bt_seg_load(&f->c, X86_SS, SEL_NOT_PRESENT), BT_FAULT);
	check_eq("stack", fault_word(&f->c), FAULT(X86_SS_FAULT, SEL_NOT_PRESENT));
	gdt_put(f, SEL_TSS, descriptor(TSS, 0x67, 0x0009));
	assert_int_equal(bt_seg_load(&f->c, X86_TR, SEL_TSS), BT_FAULT);
	check_eq("task", fault_word(&f->c), FAULT(X86_NP, SEL_TSS));
}

static void test_loading_marks_the_descriptor(void **state)
{
	struct fixture *f = *state;

	enter(f, LONG, 0);
	gdt_put(f, SEL_FREE, descriptor(0x12345678, 0xfffff, 0xc0f2));
	ram_put(f, GDT + SEL_TSS + 8, 0xffff8880, 4);
	assert_int_equal(bt_seg_load(&f->c, X86_FS, SEL_FREE | 3), BT_OK);
	check_eq("accessed in memory", ram_get(f, GDT + SEL_FREE + 5, 1), 0xf3);
	check_eq("accessed here", f->c.seg[X86_FS].attr, 0xc0f3);
	check_eq("base", f->c.fs_base, 0x12345678);
	check_eq("limit", f->c.seg[X86_FS].limit, 0xffffffff);
	assert_int_equal(bt_seg_load(&f->c, X86_TR, SEL_TSS), BT_OK);
	check_eq("busy in memory", ram_get(f, GDT + SEL_TSS + 5, 1), 0x8b);
	check_eq("busy here", f->c.seg[X86_TR].attr, 0x8b);
	check_eq("the upper half of its base", f->c.seg[X86_TR].base, 0xffff888000000000 | TSS);
	assert_int_equal(bt_seg_load(&f->c, X86_TR, SEL_TSS), BT_FAULT);
	check_eq("twice", fault_word(&f->c), FAULT(X86_GP, SEL_TSS));
	assert_int_equal(bt_seg_load(&f->c, X86_FS, 0), BT_OK);
	check_eq("null", f->c.fs_base, 0);
	assert_true(f->c.seg[X86_FS].attr & BT_ATTR_UNUSABLE);
}

static void test_descriptors_come_from_the_ldt_too(void **state)
{
	struct fixture *f = *state;

	enter(f, PROTECTED, 0);
	ram_put(f, LDT + 8, descriptor(0x1000, 0xff, 0x0093), 8);
	assert_int_equal(bt_seg_load(&f->c, X86_LDTR, SEL_LDT), BT_OK);
	assert_int_equal(bt_seg_load(&f->c, X86_DS, 0xc), BT_OK);
	check_eq("base", f->c.seg[X86_DS].base, 0x1000);
	check_eq("limit", f->c.seg[X86_DS].limit, 0xff);
	assert_int_equal(bt_seg_load(&f->c, X86_DS, 0x14), BT_FAULT);
	check_eq("beyond its limit", fault_word(&f->c), FAULT(X86_GP, 0x14));
}

static void test_limits_of_segments_that_grow_up_and_down(void **state)
{
	static const struct {
		const char *name;
		struct x86_segment s;
		uint64_t offset;
		unsigned n;
		bool fits;
	} cases[] = {
		{ "last byte", { .limit = 0xfff, .attr = 0x93 }, 0xfff, 1, true },
		{ "over it", { .limit = 0xfff, .attr = 0x93 }, 0xfff, 2, false },
		{ "whole", { .limit = 0xffffffff, .attr = 0xc093 }, 0xfffffff8, 8, true },
		{ "over 4 GiB", { .limit = 0xffffffff, .attr = 0xc093 }, 0xfffffff9, 8, false },
		{ "down, below", { .limit = 0xfff, .attr = 0x97 }, 0xfff, 1, false },
		{ "down, above", { .limit = 0xfff, .attr = 0x97 }, 0x1000, 4, true },
		{ "down, top of 16 bits", { .limit = 0xfff, .attr = 0x97 }, 0xffff, 2, false },
		{ "down, big", { .limit = 0xfff, .attr = 0x4097 }, 0x10000, 2, true },
		{ "conforming code is not down", { .limit = 0xfff, .attr = 0x9f }, 0x10, 4, true },
		{ "unusable", { .limit = 0xffffffff, .attr = BT_ATTR_UNUSABLE }, 0, 1, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		check_eq(cases[i].name, bt_seg_fits(&cases[i].s, cases[i].offset, cases[i].n), cases[i].fits);
}

#define CASE(x) cmocka_unit_test_setup_teardown(x, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_real_mode_makes_bases_of_selectors),
		CASE(test_segment_loads_check_their_descriptor),
		CASE(test_absent_segments_are_np_and_absent_stacks_ss),
		CASE(test_loading_marks_the_descriptor),
		CASE(test_descriptors_come_from_the_ldt_too),
		CASE(test_limits_of_segments_that_grow_up_and_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
