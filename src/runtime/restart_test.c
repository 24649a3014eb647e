/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/restart.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_restart_follows_its_policy(void **state)
{
	static const struct {
		enum restart_policy policy;
		int code;
		bool stopped, again;
	} row[] = {
		{ RESTART_NO, 1, false, false },
		{ RESTART_NO, 0, false, false },
		{ RESTART_ON_FAILURE, 0, false, false },
		{ RESTART_ON_FAILURE, 1, false, true },
		{ RESTART_ON_FAILURE, 1, true, false },
		{ RESTART_ALWAYS, 0, false, true },
		{ RESTART_ALWAYS, 1, true, false },
		{ RESTART_UNLESS_STOPPED, 0, false, true },
		{ RESTART_UNLESS_STOPPED, 0, true, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct restart r = { .policy = row[i].policy };
		bool again = restart_next(&r, row[i].code, 0, row[i].stopped) >= 0;

		if (again != row[i].again)
			fail_msg("row %zu: got %d, want %d", i, again, row[i].again);
	}
	assert_int_equal(restart_policy("unless-stopped"), RESTART_UNLESS_STOPPED);
	assert_int_equal(restart_policy(NULL), RESTART_NO);
	assert_int_equal(restart_policy("sometimes"), -EINVAL);
}

static void test_restart_backs_off_to_a_minute_and_forgets_after_ten_seconds(void **state)
{
	struct restart r = { .policy = RESTART_ALWAYS };
	nsec_t want = 100 * NSEC_PER_MSEC;

	(void)state;
	for (int i = 0; i < 20; i++) {
		assert_true(restart_next(&r, 1, NSEC_PER_SEC, false) == want);
		want = want * 2 > 60 * NSEC_PER_SEC ? 60 * NSEC_PER_SEC : want * 2;
	}
	assert_true(restart_next(&r, 1, 10 * NSEC_PER_SEC, false) == 100 * NSEC_PER_MSEC);
}

static void test_restart_gives_up_after_so_many_tries(void **state)
{
	struct restart r = { .policy = RESTART_ON_FAILURE, .max_tries = 2 };

	(void)state;
	assert_true(restart_next(&r, 1, 0, false) >= 0);
	assert_true(restart_next(&r, 1, 0, false) >= 0);
	assert_true(restart_next(&r, 1, 0, false) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_restart_follows_its_policy),
		cmocka_unit_test(test_restart_backs_off_to_a_minute_and_forgets_after_ten_seconds),
		cmocka_unit_test(test_restart_gives_up_after_so_many_tries),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
