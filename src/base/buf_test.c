/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/guard.h"
#include "base/str.h"

static void test_buf_grows_and_stays_terminated(void **state)
{
	auto_fini(buf) struct buf b = { 0 };

	(void)state;
	assert_string_equal(buf_str(&b), "");
	for (int i = 0; i < 5000; i++) {
		buf_putc(&b, (char)('a' + i % 26));
		assert_int_equal(b.len, i + 1);
		assert_int_equal(b.data[b.len], 0);
	}
	buf_puts(&b, "-end");
	buf_put(&b, "", 0);
	buf_printf(&b, "%d%s", 42, "");
	assert_int_equal(b.len, 5006);
	assert_string_equal(b.data + 5000, "-end42");
	assert_int_equal(buf_finish(&b), 0);
}

static void test_buf_holds_any_byte(void **state)
{
	auto_fini(buf) struct buf b = { 0 };

	(void)state;
	buf_put(&b, "a\0b", 3);
	buf_putc(&b, '\0');
	assert_int_equal(b.len, 4);
	assert_memory_equal(b.data, "a\0b\0", 5);
}

static void test_buf_remembers_its_first_failure(void **state)
{
	auto_fini(buf) struct buf b = { 0 };

	(void)state;
	buf_puts(&b, "kept");
	assert_null(buf_room(&b, SIZE_MAX - 2));
	buf_puts(&b, "not added");
	assert_int_equal(buf_finish(&b), -ENOMEM);
	assert_int_equal(b.len, 4);
	assert_null(buf_room(&b, 1));
	assert_null(buf_take(&b));
	assert_int_equal(buf_finish(&b), 0); /* empty again */
	assert_null(b.data);
}

static void test_buf_take_hands_over(void **state)
{
	auto_fini(buf) struct buf b = { 0 };
	auto_free char *text = NULL, *empty = NULL;

	(void)state;
	buf_puts(&b, "text");
	text = buf_take(&b);
	assert_string_equal(text, "text");
	assert_int_equal(b.len, 0);
	assert_null(b.data);
	empty = buf_take(&b);
	assert_string_equal(empty, "");
}

static void test_arena_memory_is_zeroed_and_aligned(void **state)
{
	auto_fini(arena) struct arena a = { 0 };
	char *last = NULL;

	(void)state;
	for (size_t size = 1; size < 40000; size = size * 2 + 1) {
		char *p = arena_alloc(&a, size);

		assert_non_null(p);
		assert_int_equal((uintptr_t)p % 16, 0);
		for (size_t i = 0; i < size; i++)
			assert_int_equal(p[i], 0);
		memset(p, 'x', size);
		assert_true(p != last);
		last = p;
	}
}

static void test_arena_blocks_do_not_overlap(void **state)
{
	auto_fini(arena) struct arena a = { 0 };
	char *p[500];

	(void)state;
	for (int i = 0; i < 500; i++)
		p[i] = arena_printf(&a, "%d-%0*d", i, i, 0);
	for (int i = 0; i < 500; i++) {
		auto_free char *want = str_printf("%d-%0*d", i, i, 0);

		assert_string_equal(p[i], want);
	}
}

static void test_arena_refuses_sizes_that_overflow(void **state)
{
	auto_fini(arena) struct arena a = { 0 };

	(void)state;
	assert_null(arena_alloc(&a, SIZE_MAX));
	assert_null(arena_array(&a, SIZE_MAX / 2, 4));
	assert_non_null(arena_array(&a, 4, 4));
}

static void test_arena_copies_strings(void **state)
{
	auto_fini(arena) struct arena a = { 0 };

	(void)state;
	assert_string_equal(arena_strdup(&a, "whole"), "whole");
	assert_string_equal(arena_strndup(&a, "whole", 2), "wh");
	assert_string_equal(arena_strndup(&a, "whole", 0), "");
	arena_fini(&a);
	assert_null(a.top);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_buf_grows_and_stays_terminated),
		cmocka_unit_test(test_buf_holds_any_byte),
		cmocka_unit_test(test_buf_remembers_its_first_failure),
		cmocka_unit_test(test_buf_take_hands_over),
		cmocka_unit_test(test_arena_memory_is_zeroed_and_aligned),
		cmocka_unit_test(test_arena_blocks_do_not_overlap),
		cmocka_unit_test(test_arena_refuses_sizes_that_overflow),
		cmocka_unit_test(test_arena_copies_strings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
