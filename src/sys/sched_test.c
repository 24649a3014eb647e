/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/sched.h"

#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bug.h"

enum { BITS = 128, WORD = 8 * sizeof(long) };

static bool has(const unsigned long *bits, int n)
{
	return bits[n / WORD] >> n % WORD & 1;
}

static int count(const unsigned long *bits)
{
	int n = 0;

	for (int i = 0; i < BITS; i++)
		n += has(bits, i);
	return n;
}

static void test_a_list_of_numbers_and_ranges_is_read(void **state)
{
	static const struct {
		const char *list;
		int top, first, last, n;
	} t[] = {
		{ "0", 1, 0, 0, 1 },       { "7", 8, 7, 7, 1 },        { "0-3", 4, 0, 3, 4 },
		{ "0,2-3,7", 8, 0, 7, 4 }, { "63-64", 65, 63, 64, 2 }, { "127", 128, 127, 127, 1 },
		{ "3,3,3-3", 4, 3, 3, 1 }, { "5,1", 6, 1, 5, 2 },      { "0-127", 128, 0, 127, 128 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		unsigned long bits[BITS / WORD];

		memset(bits, 0xff, sizeof(bits));
		print_message("# '%s'\n", t[i].list);
		assert_int_equal(sched_parse_list(t[i].list, bits, BITS), t[i].top);
		assert_true(has(bits, t[i].first));
		assert_true(has(bits, t[i].last));
		assert_int_equal(count(bits), t[i].n);
	}
}

static void test_what_is_no_list_is_refused(void **state)
{
	static const struct {
		const char *list;
		int rc;
	} t[] = {
		{ "", -EINVAL },
		{ ",", -EINVAL },
		{ "1,", -EINVAL },
		{ ",1", -EINVAL },
		{ "1,,2", -EINVAL },
		{ "3-1", -EINVAL },
		{ "1-", -EINVAL },
		{ "-1", -EINVAL },
		{ "1-2-3", -EINVAL },
		{ "a", -EINVAL },
		{ "0x1", -EINVAL },
		{ "1 ", -EINVAL },
		{ " 1", -EINVAL },
		{ "1\n", -EINVAL },
		{ "128", -ERANGE },
		{ "0-128", -ERANGE },
		{ "18446744073709551616", -ERANGE },
		{ "99999999999999999999999", -ERANGE },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		unsigned long bits[BITS / WORD];

		print_message("# '%s'\n", t[i].list);
		assert_int_equal(sched_parse_list(t[i].list, bits, BITS), t[i].rc);
	}
}

/* in_child() - what these calls change must not change the test program. */
static void in_child(int (*fn)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(fn());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static int set_affinity(void)
{
	cpu_set_t set;

	if (sched_set_affinity("0") < 0 || sched_getaffinity(0, sizeof(set), &set) < 0)
		return 1;
	if (CPU_COUNT(&set) != 1 || !CPU_ISSET(0, &set))
		return 2;
	return sched_set_affinity("8000") == -EINVAL ? 0 : 3; /* a processor nobody has */
}

static void test_affinity_reaches_the_kernel(void **state)
{
	(void)state;
	in_child(set_affinity);
}

static int set_limit(void)
{
	struct rlimit lim;

	if (sched_set_rlimit(RLIMIT_NOFILE, 77, 88) < 0 || getrlimit(RLIMIT_NOFILE, &lim) < 0)
		return 1;
	if (lim.rlim_cur != 77 || lim.rlim_max != 88)
		return 2;
	return sched_set_rlimit(RLIMIT_NOFILE, 9, 8) == -EINVAL ? 0 : 3;
}

static void test_a_limit_reaches_the_kernel(void **state)
{
	(void)state;
	in_child(set_limit);
}

static int set_policy(void)
{
	const uint64_t none[3] = { 0 };

	if (sched_set_policy(SCHED_BATCH, 5, 0, 0, none) < 0)
		return 1;
	if (sched_getscheduler(0) != SCHED_BATCH || getpriority(PRIO_PROCESS, 0) != 5)
		return 2;
	return sched_set_policy(99, 0, 0, 0, none) == -EINVAL ? 0 : 3;
}

static void test_a_policy_reaches_the_kernel(void **state)
{
	(void)state;
	in_child(set_policy);
}

static int set_rest(void)
{
	if (sched_set_personality(PER_LINUX32) < 0 || personality(0xffffffff) != PER_LINUX32)
		return 1;
	if (sched_set_io(3, 0) < 0) /* idle */
		return 2;
	if (sched_set_io(7, 0) != -EINVAL) /* IOPRIO_CLASS_INVALID */
		return 3;
	if (sched_set_memory(0, 0, NULL) < 0 || sched_set_memory(2, 0, "0") < 0) /* default; bind to node 0 */
		return 4;
	if (sched_set_memory(2, 0, "1000") != -EINVAL || sched_set_memory(2, 0, "9999") != -ERANGE)
		return 5;
	return sched_set_memory(2, 0, "x") == -EINVAL ? 0 : 6;
}

static void test_personality_io_and_memory_policy_reach_the_kernel(void **state)
{
	(void)state;
	in_child(set_rest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_list_of_numbers_and_ranges_is_read),
		cmocka_unit_test(test_what_is_no_list_is_refused),
		cmocka_unit_test(test_affinity_reaches_the_kernel),
		cmocka_unit_test(test_a_limit_reaches_the_kernel),
		cmocka_unit_test(test_a_policy_reaches_the_kernel),
		cmocka_unit_test(test_personality_io_and_memory_policy_reach_the_kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
