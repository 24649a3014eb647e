/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_an_error_is_born_with_code_and_text(void **state)
{
	struct err e = { 0 };

	(void)state;
	assert_int_equal(err_set(&e, EINVAL, "field %d", 7), -EINVAL);
	assert_int_equal(e.code, EINVAL);
	assert_string_equal(e.text, "field 7");
	assert_int_equal(err_sys(&e, ENOENT, "open '%s'", "/x"), -ENOENT);
	assert_string_equal(e.text, "open '/x': No such file or directory");
}

static void test_wrapping_puts_what_we_were_doing_in_front(void **state)
{
	struct err e = { 0 };

	(void)state;
	err_set(&e, EBUSY, "in use");
	assert_int_equal(err_wrap(&e, -EIO, "mount '%s'", "/x"), -EIO);
	assert_int_equal(e.code, EBUSY); /* where it was born counts */
	assert_string_equal(e.text, "mount '/x': in use");
	assert_int_equal(err_wrap(&e, -EIO, "create"), -EIO);
	assert_string_equal(e.text, "create: mount '/x': in use");
}

static void test_wrapping_an_empty_error_names_the_code(void **state)
{
	struct err e = { 0 };

	(void)state;
	assert_int_equal(err_wrap(&e, -ENOMEM, "create"), -ENOMEM);
	assert_int_equal(e.code, ENOMEM);
	assert_string_equal(e.text, "create: Cannot allocate memory");
}

static void test_nobody_need_ask_for_the_text(void **state)
{
	(void)state;
	assert_int_equal(err_set(NULL, EINVAL, "x"), -EINVAL);
	assert_int_equal(err_sys(NULL, EINVAL, "x"), -EINVAL);
	assert_int_equal(err_wrap(NULL, -EINVAL, "x"), -EINVAL);
}

static void test_a_long_text_is_cut_and_terminated(void **state)
{
	char name[2 * sizeof(((struct err *)0)->text)];
	struct err e = { 0 };

	(void)state;
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	err_sys(&e, EIO, "%s", name);
	assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
	err_wrap(&e, -EIO, "doing");
	assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
	assert_memory_equal(e.text, "doing: nnn", 10);
}

static void test_a_text_is_one_line_whatever_a_name_holds(void **state)
{
	struct err e = { 0 };

	(void)state;
	err_set(&e, EINVAL, "'%s'", "a\nb\033[2Jc\177\303\244");
	assert_string_equal(e.text, "'a?b?[2Jc?\303\244'");
	err_sys(&e, ENOENT, "%s", "a\r\nb");
	assert_string_equal(e.text, "a??b: No such file or directory");
	err_wrap(&e, -EIO, "%s", "x\ty");
	assert_string_equal(e.text, "x?y: a??b: No such file or directory");
}

static void test_every_code_has_a_name(void **state)
{
	(void)state;
	for (int code = 1; code < 200; code++)
		assert_true(strlen(err_name(code)) > 1);
	assert_string_equal(err_name(99999), "unknown error");
	assert_int_equal(sizeof(struct err), 512); /* what one message between processes carries */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_an_error_is_born_with_code_and_text),
		cmocka_unit_test(test_wrapping_puts_what_we_were_doing_in_front),
		cmocka_unit_test(test_wrapping_an_empty_error_names_the_code),
		cmocka_unit_test(test_nobody_need_ask_for_the_text),
		cmocka_unit_test(test_a_long_text_is_cut_and_terminated),
		cmocka_unit_test(test_a_text_is_one_line_whatever_a_name_holds),
		cmocka_unit_test(test_every_code_has_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
