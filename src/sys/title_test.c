/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/title.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "sys/file.h"

static char **own_argv;

static int in_child(int (*fn)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(fn());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int reads_as_set(void)
{
	struct buf b = { 0 };
	int ok;

	title_set("hull t");
	ok = file_slurp_at(AT_FDCWD, "/proc/self/cmdline", &b, 1 << 20) == 0 &&
	     strcmp(buf_str(&b), "hull t") == 0;
	buf_fini(&b);
	return ok && environ[0] == NULL ? 0 : 1;
}

static void test_the_command_line_reads_as_set_and_the_environment_is_gone(void **state)
{
	(void)state;
	title_init(own_argv);
	assert_int_equal(in_child(reads_as_set), 0);
	assert_non_null(environ[0]);
}

static int nothing_of_the_call_is_left(void)
{
	char text[4096];
	struct buf b = { 0 };
	int left;

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	title_set(text);
	left = file_slurp_at(AT_FDCWD, "/proc/self/environ", &b, 1 << 20) == 0 &&
	       memmem(b.data, b.len, "PATH=", 5);
	buf_fini(&b);
	return left;
}

static void test_a_long_title_is_cut_and_leaves_nothing_of_the_environment(void **state)
{
	(void)state;
	title_init(own_argv);
	assert_int_equal(in_child(nothing_of_the_call_is_left), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_command_line_reads_as_set_and_the_environment_is_gone),
		cmocka_unit_test(test_a_long_title_is_cut_and_leaves_nothing_of_the_environment),
	};

	(void)argc;
	own_argv = argv;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
