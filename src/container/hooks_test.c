/* SPDX-License-Identifier: Apache-2.0 */
#include "container/hooks.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "base/time.h"
#include "sys/call.h"
#include "sys/file.h"

static char dir[40];

static int setup(void **state)
{
	(void)state;
	str_copy(dir, sizeof(dir), "/tmp/hull-test-hooks.XXXXXX");
	return mkdtemp(dir) && chdir(dir) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	sys_call = sys_call_real;
	return chdir("/") < 0 ? -1 : file_remove_tree(AT_FDCWD, dir, NULL);
}

/* run() - one hook: a shell script, in the temporary directory. */
static int run_kind(enum oci_hook_kind kind, const char *script, char **env, int64_t timeout_s,
		    const char *state, struct err *e)
{
	char *args[] = { (char *)"sh", (char *)"-c", (char *)script, NULL };
	struct oci_hook hook = { .path = "/bin/sh", .args = { args, 3 }, .timeout_s = timeout_s };
	struct oci_spec spec = { 0 };

	spec.hooks[kind] = (struct oci_hooks){ &hook, 1 };
	for (; env && env[hook.env.n];)
		hook.env.n++;
	hook.env.v = env;
	return hooks_run(&spec, kind, state, strlen(state), e);
}

static int run(const char *script, char **env, int64_t timeout_s, const char *state, struct err *e)
{
	return run_kind(OCI_HOOK_CREATE_RUNTIME, script, env, timeout_s, state, e);
}

static const char *out(void)
{
	static char text[4096];
	auto_close int fd = open("out", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	text[n < 0 ? 0 : n] = '\0';
	return text;
}

static void test_a_hook_reads_the_state_and_its_own_arguments(void **state)
{
	struct err e = { 0 };

	(void)state;
	assert_int_equal(run("cat >out; echo \"$0\" >>out", NULL, 0, "{\"id\":\"x\"}\n", &e), 0);
	assert_string_equal(out(), "{\"id\":\"x\"}\nsh\n");
	assert_int_equal(e.code, 0);
}

static void test_a_hook_that_reads_nothing_does_not_block(void **state)
{
	size_t len = 1 << 20; /* more than any pipe holds */
	auto_free char *big = malloc(len + 1);

	(void)state;
	memset(big, 'x', len);
	big[len] = '\0';
	assert_int_equal(run("exit 0", NULL, 0, big, NULL), 0);
}

static void test_a_hook_has_the_environment_that_is_given_and_no_other(void **state)
{
	char *env[] = { (char *)"A=1", (char *)"PATH=/usr/bin:/bin", NULL };

	(void)state;
	setenv("HULL_TEST_SECRET", "s", 1);
	assert_int_equal(run("env >out", env, 0, "", NULL), 0);
	assert_non_null(strstr(out(), "A=1\n"));
	assert_null(strstr(out(), "HULL_TEST_SECRET"));
	/* what runs inside is the image's: it learns nothing of the host */
	assert_int_equal(run_kind(OCI_HOOK_START_CONTAINER, "/usr/bin/env >out", NULL, 0, "", NULL), 0);
	assert_null(strstr(out(), "HULL_TEST_SECRET"));
	unsetenv("HULL_TEST_SECRET");
}

static void test_a_hook_gets_no_descriptor_but_the_streams(void **state)
{
	int leak = open("/etc/hostname", O_RDONLY); /* as a careless caller leaves it: no O_CLOEXEC */

	(void)state;
	assert_int_equal(run("ls /proc/$$/fd >out", NULL, 0, "", NULL), 0);
	close(leak);
	for (const char *line = out(); *line; line = strchr(line, '\n') + 1)
		assert_true(atoi(line) <= 2 || atoi(line) >= 10); /* a shell keeps its own at 10 and above */
}

static void test_a_failure_names_the_hook_and_the_rest_does_not_run(void **state)
{
	char *args[3][4] = { { (char *)"sh", (char *)"-c", (char *)"echo 0 >>out" },
			     { (char *)"sh", (char *)"-c", (char *)"exit 3" },
			     { (char *)"sh", (char *)"-c", (char *)"echo 2 >>out" } };
	struct oci_hook hook[3];
	struct oci_spec spec = { .hooks[OCI_HOOK_PRESTART] = { hook, 3 } };
	struct err e = { 0 };

	(void)state;
	for (int i = 0; i < 3; i++)
		hook[i] = (struct oci_hook){ .path = "/bin/sh", .args = { args[i], 3 } };
	assert_int_equal(hooks_run(&spec, OCI_HOOK_PRESTART, "", 0, &e), -EIO);
	assert_string_equal(e.text, "hooks.prestart[1] '/bin/sh': exit code 3");
	assert_string_equal(out(), "0\n");
	assert_int_equal(hooks_run(&spec, OCI_HOOK_POSTSTOP, "", 0, &e), 0); /* of this kind there are none */
}

static void test_a_signal_and_a_failed_exec_are_told(void **state)
{
	struct oci_hook hook = { .path = "/nonexistent/hook" };
	struct oci_spec spec = { .hooks[OCI_HOOK_POSTSTOP] = { &hook, 1 } };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(run("kill -9 $$", NULL, 0, "", &e), -EIO);
	assert_string_equal(e.text, "hooks.createRuntime[0] '/bin/sh': killed by signal 9");
	assert_int_equal(hooks_run(&spec, OCI_HOOK_POSTSTOP, "", 0, &e), -ENOENT);
	assert_string_equal(e.text, "hooks.poststop[0] '/nonexistent/hook': exec: No such file or directory");
}

static void test_a_hook_that_hangs_is_killed_at_its_timeout(void **state)
{
	nsec_t start = time_now_ns(CLOCK_MONOTONIC);
	struct err e = { 0 };

	(void)state;
	assert_int_equal(run("exec sleep 60", NULL, 1, "", &e), -ETIMEDOUT);
	assert_string_equal(e.text, "hooks.createRuntime[0] '/bin/sh': did not end within 1 s, killed");
	assert_in_range(time_now_ns(CLOCK_MONOTONIC) - start, NSEC_PER_SEC, 20 * NSEC_PER_SEC);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* reaped */
}

static void test_a_timeout_longer_than_poll_takes_is_no_hurry(void **state)
{
	(void)state;
	assert_int_equal(run("sleep 0.1", NULL, INT32_MAX, "", NULL), 0);
}

static void test_signals_are_as_new_in_a_hook(void **state)
{
	sigset_t all, was;

	(void)state;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &was);
	assert_int_equal(run("grep SigBlk /proc/self/status >out", NULL, 0, "", NULL), 0);
	sigprocmask(SIG_SETMASK, &was, NULL);
	assert_string_equal(out(), "SigBlk:\t0000000000000000\n");
}

static int left;

static long failing(long nr, long a, long b, long c, long d, long e, long f)
{
	return left-- == 0 ? -ENOMEM : sys_call_real(nr, a, b, c, d, e, f);
}

static void test_whichever_call_fails_there_is_a_reason_and_no_process(void **state)
{
	(void)state;
	for (int n = 0;; n++) {
		struct err e = { 0 };
		int r;

		left = n;
		sys_call = failing;
		r = run("exit 0", NULL, 5, "state", &e);
		sys_call = sys_call_real;
		if (r == 0 && left >= 0)
			break;
		assert_true(n < 40);
		if (r < 0)
			assert_true(str_starts(e.text, "hooks.createRuntime[0] '/bin/sh': "));
		while (waitpid(-1, NULL, 0) > 0) /* it was the wait that failed */
			;
	}
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_a_hook_reads_the_state_and_its_own_arguments),
		T(test_a_hook_that_reads_nothing_does_not_block),
		T(test_a_hook_has_the_environment_that_is_given_and_no_other),
		T(test_a_hook_gets_no_descriptor_but_the_streams),
		T(test_a_failure_names_the_hook_and_the_rest_does_not_run),
		T(test_a_signal_and_a_failed_exec_are_told),
		T(test_a_hook_that_hangs_is_killed_at_its_timeout),
		T(test_a_timeout_longer_than_poll_takes_is_no_hurry),
		T(test_signals_are_as_new_in_a_hook),
		T(test_whichever_call_fails_there_is_a_reason_and_no_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
