/* SPDX-License-Identifier: Apache-2.0 */
#include "vm/debugger_regs.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/guard.h"
#include "base/str.h"

static struct x86_state s;
static char names[128][16];
static unsigned n_names;

/* setup() - the registers' names in the order of the description, which is how gdb numbers them */
static int setup(void **state)
{
	auto_fini(buf) struct buf b = { 0 };
	const char *at;

	(void)state;
	memset(&s, 0, sizeof(s));
	s.xsave_len = X86_XSAVE_MAX;
	n_names = 0;
	debugger_regs_describe(&b);
	for (at = buf_str(&b); (at = strstr(at, "<reg name=\"")); n_names++)
		if (sscanf(at += 11, "%15[^\"]", names[n_names]) != 1)
			return -1;
	return 0;
}

static unsigned number(const char *name)
{
	for (unsigned i = 0; i < n_names; i++)
		if (str_eq(names[i], name))
			return i;
	fail_msg("no register %s", name);
	return 0;
}

static uint64_t get(const char *name)
{
	uint8_t value[DEBUGGER_REG_BYTES_MAX];
	uint64_t v;

	assert_true(debugger_reg_get(&s, number(name), value) > 0);
	memcpy(&v, value, sizeof(v));
	return v;
}

static int set(const char *name, uint64_t v)
{
	uint8_t value[DEBUGGER_REG_BYTES_MAX] = { 0 };

	memcpy(value, &v, sizeof(v));
	return debugger_reg_set(&s, number(name), value, debugger_reg_bytes(number(name)));
}

static void test_the_description_names_each_register_once(void **state)
{
	(void)state;
	assert_int_equal(n_names, debugger_regs());
	for (unsigned i = 0; i < n_names; i++)
		assert_int_equal(number(names[i]), i);
	assert_int_equal(debugger_reg_bytes(n_names), 0);
	assert_int_equal(debugger_reg_bytes(~0U), 0);
	assert_int_equal(debugger_reg_bytes(number("st0")), 10);
	assert_int_equal(debugger_reg_bytes(number("xmm15")), 16);
}

static void test_what_is_written_is_read_again_and_nothing_else_changes(void **state)
{
	(void)state;
	for (unsigned i = 0; i < n_names; i++) {
		bool is_segment = number("cs") <= i && i <= number("gs");
		bool is_none = i == number("fiseg") || i == number("foseg");
		uint64_t other = get(i == number("rbx") ? "rcx" : "rbx");

		assert_int_equal(set(names[i], 0x46), is_segment ? -EOPNOTSUPP : 0);
		if (!is_segment && !is_none && i != number("ftag"))
			assert_int_equal(get(names[i]), 0x46);
		assert_int_equal(get(i == number("rbx") ? "rcx" : "rbx"), other);
	}
	assert_int_equal(s.gpr[X86_RBX], 0x46);
	assert_int_equal(s.seg[X86_FS].base, 0x46);
}

static void test_values_that_no_processor_can_have_are_refused(void **state)
{
	uint8_t value[DEBUGGER_REG_BYTES_MAX] = { 0 };

	(void)state;
	assert_int_equal(set("rip", 0x0000800000000000), -EINVAL);
	assert_int_equal(set("fs_base", 0x8000000000000000), -EINVAL);
	assert_int_equal(set("rip", 0xffff800000000000), 0);
	s.cr4 = 1 << 12;
	assert_int_equal(set("rip", 0x0000800000000000), 0);
	assert_int_equal(set("eflags", ~0ULL), 0);
	assert_int_equal(get("eflags"), 0x3f7fd7);
	s.seg[X86_CS].selector = 0x10;
	assert_int_equal(set("cs", 0x10), 0);
	assert_int_equal(set("cs", 0x33), -EOPNOTSUPP);
	assert_int_equal(debugger_reg_set(&s, number("rax"), value, 4), -EINVAL);
	assert_int_equal(debugger_reg_set(&s, n_names, value, 8), -EINVAL);
}

static void test_x87_and_vectors_in_their_initial_state_read_as_that(void **state)
{
	uint8_t value[DEBUGGER_REG_BYTES_MAX];

	(void)state;
	memset(s.xsave, 0xaa, 512);
	assert_int_equal(get("fctrl"), 0x37f);
	assert_int_equal(get("ftag"), 0xffff);
	assert_int_equal(get("st3"), 0);
	assert_int_equal(get("xmm3"), 0);
	assert_int_equal(get("mxcsr"), 0xaaaaaaaa);
	assert_int_equal(set("xmm2", 7), 0);
	assert_int_equal(s.xsave[512], 2);
	assert_int_equal(get("xmm2"), 7);
	assert_int_equal(get("xmm3"), 0);
	assert_int_equal(set("st1", 5), 0);
	assert_int_equal(s.xsave[512], 3);
	assert_int_equal(get("fctrl"), 0x37f);
	assert_int_equal(get("xmm2"), 7);
	assert_int_equal(debugger_reg_get(&s, number("st1"), value), 10);
	assert_int_equal(value[0], 5);
	/* ST0 is register 6: a zero there, the last one empty, ST1 (a denormal) in register 7 */
	assert_int_equal(set("fstat", 6 << 11), 0);
	assert_int_equal(set("ftag", 0x0fff), 0);
	assert_int_equal(get("ftag"), 0x9fff);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_the_description_names_each_register_once, setup),
		cmocka_unit_test_setup(test_what_is_written_is_read_again_and_nothing_else_changes, setup),
		cmocka_unit_test_setup(test_values_that_no_processor_can_have_are_refused, setup),
		cmocka_unit_test_setup(test_x87_and_vectors_in_their_initial_state_read_as_that, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
