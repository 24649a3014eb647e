/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/beside.h"

#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "sys/call.h"

static struct beside b;

static struct beside_call call_of(long nr, long a, const void *at, long n)
{
	return (struct beside_call){ .nr = nr, .arg = { a, (long)at, n } };
}

static void test_calls_are_made_in_this_memory_and_order(void **state)
{
	char got[8] = "";
	struct beside_call c[2];
	int p[2];

	(void)state;
	assert_return_code(pipe(p), errno);
	c[0] = call_of(SYS_write, p[1], "abc", 3);
	c[1] = call_of(SYS_read, p[0], got, 3);
	assert_int_equal(beside_start(&b, c, 2), 0);
	beside_wait(&b);
	assert_int_equal(c[0].result, 3);
	assert_int_equal(c[1].result, 3);
	assert_string_equal(got, "abc");
	close(p[0]);
	close(p[1]);
}

static void test_the_first_that_fails_ends_it(void **state)
{
	struct beside_call c[2] = { call_of(SYS_write, -1, "", 1), call_of(SYS_getpid, 0, NULL, 0) };

	(void)state;
	errno = 0;
	assert_int_equal(beside_start(&b, c, 2), 0);
	beside_wait(&b);
	assert_int_equal(c[0].result, -EBADF);
	assert_int_equal(c[1].result, -ECANCELED);
	assert_int_equal(errno, 0);
	beside_wait(&b); /* of nobody */
}

/* What it is for: a process that has threads is refused. */
static void test_the_caller_may_take_a_user_namespace_meanwhile(void **state)
{
	struct beside_call c[1];
	int p[2], status;
	pid_t pid;

	(void)state;
	assert_return_code(pipe(p), errno);
	pid = fork();
	if (pid == 0) {
		char got[1];
		int r;

		c[0] = call_of(SYS_read, p[0], got, 1);
		r = beside_start(&b, c, 1);
		if (r == 0 && unshare(CLONE_NEWUSER) < 0)
			r = -errno;
		if (write(p[1], "x", 1) != 1)
			r = -errno;
		beside_wait(&b);
		_exit(r == 0 && c[0].result == 1 ? 0 : -r);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(p[0]);
	close(p[1]);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_calls_are_made_in_this_memory_and_order),
		cmocka_unit_test(test_the_first_that_fails_ends_it),
		cmocka_unit_test(test_the_caller_may_take_a_user_namespace_meanwhile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
