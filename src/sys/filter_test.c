/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/filter.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bug.h"
#include "base/err.h"

enum { OK, REFUSED };

/* made() - a child with the filter @f makes one call, which is not there and so does nothing. */
static int made(const struct filter *f, long nr, long a, long b)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		if (filter_install(f, FILTER_KILL, NULL) < 0)
			syscall(SYS_exit_group, 99);
		syscall(nr, a, b, 0, 0, 0, 0);
		syscall(SYS_exit_group, 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
		return REFUSED;
	assert_int_equal(status, 0);
	return OK;
}

static const struct filter_rule end = { SYS_exit_group, -1, ~0U, 0 };

/* Numbers that no kernel has yet, so that each can be tried. */
enum { FIRST = 2000 };

/* Each third of many numbers, added from both ends: trees of every size have all of them and none between. */
static void test_of_many_rules_each_and_no_other_is_allowed(void **state)
{
	(void)state;
	for (unsigned n = 1; n <= 40; n += n < 12 ? 1 : 7) {
		struct filter f = { 0 };

		filter_allow(&f, &end, 1);
		for (unsigned i = 0; i < n; i++) {
			unsigned k = i % 2 ? i / 2 : n - 1 - i / 2;
			const struct filter_rule r = { (uint16_t)(FIRST + 3 * k), -1, ~0U, 0 };

			filter_allow(&f, &r, 1);
		}
		for (unsigned i = 0; i <= 3 * n; i++)
			assert_int_equal(made(&f, FIRST + i, 0, 0), i % 3 == 0 && i < 3 * n ? OK : REFUSED);
		assert_int_equal(made(&f, SYS_getppid, 0, 0), REFUSED);
	}
}

static void test_arguments_are_looked_at(void **state)
{
	static const struct filter_rule rule[] = {
		{ FIRST, 1, ~0U, 7 },      { FIRST + 1, -1, ~0U, 0 }, { FIRST, 1, ~0U, 9 },
		{ FIRST + 2, 0, 0xf0, 0 }, { FIRST, 0, ~0U, 3 },      { FIRST, 1, ~0U, 11 },
		{ FIRST, 1, ~0U, 7 },
	};
	struct filter f = { 0 };

	(void)state;
	filter_allow(&f, &end, 1);
	filter_allow(&f, rule, ARRAY_SIZE(rule));
	assert_int_equal(f.n, ARRAY_SIZE(rule)); /* one of them twice */
	for (long b = 6; b < 13; b++)
		assert_int_equal(made(&f, FIRST, 0, b), b == 7 || b == 9 || b == 11 ? OK : REFUSED);
	assert_int_equal(made(&f, FIRST, 3, 0), OK);
	assert_int_equal(made(&f, FIRST + 2, 0x10f, 0), OK);
	assert_int_equal(made(&f, FIRST + 2, 0x110, 0), REFUSED);
}

static void test_what_is_allowed_always_needs_no_arguments(void **state)
{
	static const struct filter_rule rule[] = {
		{ FIRST, 0, ~0U, 1 }, { FIRST, 0, ~0U, 2 }, { FIRST, -1, ~0U, 0 }, { FIRST, 0, ~0U, 3 }
	};
	struct filter f = { 0 };

	(void)state;
	filter_allow(&f, &end, 1);
	filter_allow(&f, rule, ARRAY_SIZE(rule));
	assert_int_equal(f.n, 2);
	assert_int_equal(made(&f, FIRST, 5, 0), OK);
}

static void test_an_empty_filter_allows_nothing(void **state)
{
	const struct filter f = { 0 };
	int status;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		filter_install(&f, FILTER_KILL, NULL);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
}

static void test_more_rules_than_there_is_room_for_are_refused(void **state)
{
	struct filter f = { 0 };
	struct err e = { 0 };

	(void)state;
	for (unsigned i = 0; i < FILTER_RULES_MAX; i++) /* the longest kind there is */
		filter_allow(&f, &(struct filter_rule){ (uint16_t)(FIRST + i), 0, ~0U, 1 }, 1);
	assert_int_equal(made(&f, FIRST, 1, 0), REFUSED); /* by the end: there is no exit_group */
	filter_allow(&f, &end, 1);
	assert_int_equal(filter_install(&f, FILTER_KILL, &e), -E2BIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_of_many_rules_each_and_no_other_is_allowed),
		cmocka_unit_test(test_arguments_are_looked_at),
		cmocka_unit_test(test_what_is_allowed_always_needs_no_arguments),
		cmocka_unit_test(test_an_empty_filter_allows_nothing),
		cmocka_unit_test(test_more_rules_than_there_is_room_for_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
