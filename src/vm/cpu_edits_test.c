/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "vm/machine.h"

static void test_cpu_edits_change_only_the_bits_of_the_mask(void **state)
{
	struct x86_cpuid t[] = { { .leaf = 1, .eax = 0xff, .ecx = 0xf0 },
				 { .leaf = 7, .subleaf = 0, .indexed = 1, .ebx = 1 },
				 { .leaf = 7, .subleaf = 1, .indexed = 1, .ebx = 1 } };
	struct machine_cpuid_edit c[] = { { .leaf = 1, .reg = { { 0x0f, 0x05 }, { 0 }, { 0x101, 0x1ff } } },
					  { .leaf = 7, .subleaf = 1, .reg[1] = { 1, 0 } } };
	struct machine_cpu_edits edits = { .cpuid = c, .n_cpuid = 2 };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(machine_cpu_edit_cpuid(&edits, t, 3, &e), 0);
	assert_int_equal(t[0].eax, 0xf5);
	assert_int_equal(t[0].ecx, 0x1f1);
	assert_int_equal(t[1].ebx, 1);
	assert_int_equal(t[2].ebx, 0);
	c[1].subleaf = 2;
	assert_int_equal(machine_cpu_edit_cpuid(&edits, t, 3, &e), -ENOENT);
	assert_string_equal(e.text, "CPUID leaf 0x7, subleaf 0x2: this machine has none");
}

static void test_cpu_edits_add_msrs_that_are_not_there(void **state)
{
	struct machine_msr_edit m[] = { { 0x10, { 0xff, 0x12 } }, { 0x20, { ~0ULL, 7 } } };
	struct machine_cpu_edits edits = { .msr = m, .n_msrs = 2 };
	struct x86_state *s = calloc(1, sizeof(*s));
	struct err e = { 0 };

	(void)state;
	assert_non_null(s);
	s->n_msrs = 1;
	s->msr[0] = (struct x86_msr){ 0x10, 0x3400 };
	assert_int_equal(machine_cpu_edit_msrs(&edits, s, &e), 0);
	assert_int_equal(s->n_msrs, 2);
	assert_int_equal(s->msr[0].value, 0x3412);
	assert_int_equal(s->msr[1].index, 0x20);
	assert_int_equal(s->msr[1].value, 7);
	s->n_msrs = X86_MSRS_MAX;
	m[1].index = 0x30;
	assert_int_equal(machine_cpu_edit_msrs(&edits, s, &e), -ENOSPC);
	free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cpu_edits_change_only_the_bits_of_the_mask),
		cmocka_unit_test(test_cpu_edits_add_msrs_that_are_not_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
