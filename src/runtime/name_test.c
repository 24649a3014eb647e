/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/name.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"

static void test_name_refuses_what_docker_refuses(void **state)
{
	static const struct {
		const char *name;
		int rc;
	} row[] = {
		{ "a1", 0 },         { "web-1.x_y", 0 },       { "0x", 0 },
		{ "a", -EINVAL },    { "", -EINVAL },          { "-ab", -EINVAL },
		{ ".ab", -EINVAL },  { "a/b", -EINVAL },       { "a b", -EINVAL },
		{ "a\nb", -EINVAL }, { "\xc3\xa4x", -EINVAL },
	};
	char longest[NAME_MAX_BYTES + 2];

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++)
		if (name_check(row[i].name, NULL) != row[i].rc)
			fail_msg("'%s': want %d", row[i].name, row[i].rc);
	memset(longest, 'a', sizeof(longest));
	longest[NAME_MAX_BYTES] = '\0';
	assert_int_equal(name_check(longest, NULL), 0);
	longest[NAME_MAX_BYTES] = 'a';
	longest[NAME_MAX_BYTES + 1] = '\0';
	assert_int_equal(name_check(longest, NULL), -EINVAL);
}

static void test_name_makes_up_valid_names_and_ids(void **state)
{
	char name[NAME_MAX_BYTES], id[65], other[65];

	(void)state;
	for (int i = 0; i < 1000; i++) {
		name_random(name, sizeof(name), i % 10);
		assert_int_equal(name_check(name, NULL), 0);
		name_id(id);
		assert_int_equal(strlen(id), 64);
		assert_int_equal(strspn(id, "0123456789abcdef"), 64);
		assert_true(strspn(id, "0123456789") < 12);
	}
	name_id(other);
	assert_string_not_equal(id, other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_name_refuses_what_docker_refuses),
		cmocka_unit_test(test_name_makes_up_valid_names_and_ids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
