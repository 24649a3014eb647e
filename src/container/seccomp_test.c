/* SPDX-License-Identifier: Apache-2.0 */
#include "container/seccomp.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/bug.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "sys/file.h"

/* Calls no libc makes by itself, so that filters on them hit nobody else: getppid without, getpgid and prlimit64 with arguments. */
enum { ENOSYS_NR = 500 }; /* newer than any library knows, and than this kernel has */

static char dir[40];
static int cache = -1;

static int setup(void **state)
{
	(void)state;
	str_copy(dir, sizeof(dir), "/tmp/hull-test-seccomp.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	cache = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return cache < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	(void)state;
	fd_close(&cache);
	return file_remove_tree(AT_FDCWD, dir, NULL);
}

/* parse() - linux.seccomp of that text, by the one door it comes through. */
static const struct oci_seccomp *parse(struct arena *a, const char *seccomp, struct err *e)
{
	struct oci_spec *spec = arena_alloc(a, sizeof(*spec));
	const char *text =
		arena_printf(a,
			     "{\"ociVersion\":\"1.3.0\",\"root\":{\"path\":\"r\"},\"process\":{\"cwd\":\"/\","
			     "\"args\":[\"x\"],\"user\":{\"uid\":0,\"gid\":0}},\"linux\":{\"seccomp\":%s}}",
			     seccomp);

	return oci_spec_parse(spec, text, strlen(text), a, e) < 0 ? NULL : spec->linux.seccomp;
}

static int compile(struct ct_seccomp *ret_f, const char *seccomp, struct err *e)
{
	auto_fini(arena) struct arena a = { 0 };
	const struct oci_seccomp *s = parse(&a, seccomp, e);

	assert_non_null(s);
	return ct_seccomp_compile(ret_f, s, cache, e);
}

/* under() - the wait status of a child that loads the filter and makes the call; its exit status is the errno, 0 for success. */
static int under(const struct ct_seccomp *f, long nr, long a, long b)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		long r;

		signal(SIGSYS, SIG_DFL); /* cmocka has a handler of its own */
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		if (ct_seccomp_load(f) < 0)
			_exit(255);
		r = syscall(nr, a, b, 0, 0, 0, 0);
		_exit(r < 0 ? errno & 0xff : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static int exited(int code)
{
	return code << 8;
}

#define ALLOW_BUT(rule)  "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[" rule "]}"
#define ON_GETPPID(more) "{\"names\":[\"getppid\"]," more "}"

static void test_each_action_does_what_its_name_says(void **state)
{
	static const struct {
		const char *rule;
		int status;
	} t[] = {
		{ ON_GETPPID("\"action\":\"SCMP_ACT_ERRNO\""), EPERM << 8 },
		{ ON_GETPPID("\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":28"), 28 << 8 },
		{ ON_GETPPID("\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":0"), 0 },
		{ ON_GETPPID("\"action\":\"SCMP_ACT_ALLOW\""), 0 },
		{ ON_GETPPID("\"action\":\"SCMP_ACT_LOG\""), 0 },
		{ ON_GETPPID("\"action\":\"SCMP_ACT_KILL\""), SIGSYS },
		{ ON_GETPPID("\"action\":\"SCMP_ACT_KILL_THREAD\""), SIGSYS },
		{ ON_GETPPID("\"action\":\"SCMP_ACT_KILL_PROCESS\""), SIGSYS },
		{ ON_GETPPID("\"action\":\"SCMP_ACT_TRAP\""), SIGSYS },
		{ ON_GETPPID("\"action\":\"SCMP_ACT_TRACE\""), ENOSYS << 8 }, /* nobody traces */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		auto_fini(ct_seccomp) struct ct_seccomp f = { 0 };
		char text[256];

		print_message("# %s\n", t[i].rule);
		str_format(text, sizeof(text), ALLOW_BUT("%s"), t[i].rule);
		assert_int_equal(compile(&f, text, NULL), 0);
		assert_int_equal(under(&f, SYS_getppid, 0, 0) & ~0x80,
				 t[i].status); /* without the core flag */
		assert_int_equal(under(&f, SYS_getpgid, 0, 0), 0);
	}
}

static void test_each_operator_compares_as_its_name_says(void **state)
{
	static const struct {
		const char *op;
		uint64_t value, value_two;
		bool hits[4]; /* for an argument of 1, 2, 3, 0x100000002 */
	} t[] = {
		{ "SCMP_CMP_EQ", 2, 0, { false, true, false, false } },
		{ "SCMP_CMP_NE", 2, 0, { true, false, true, true } },
		{ "SCMP_CMP_LT", 2, 0, { true, false, false, false } },
		{ "SCMP_CMP_LE", 2, 0, { true, true, false, false } },
		{ "SCMP_CMP_GT", 2, 0, { false, false, true, true } },
		{ "SCMP_CMP_GE", 2, 0, { false, true, true, true } },
		{ "SCMP_CMP_MASKED_EQ", 1, 1, { true, false, true, false } },
		{ "SCMP_CMP_EQ", 0x100000002, 0, { false, false, false, true } },
	};
	static const long arg[4] = { 1, 2, 3, 0x100000002 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		auto_fini(ct_seccomp) struct ct_seccomp f = { 0 };
		char text[512];

		print_message("# %s %llu\n", t[i].op, (unsigned long long)t[i].value);
		str_format(text, sizeof(text),
			   ALLOW_BUT("{\"names\":[\"getsid\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":99,"
				     "\"args\":"
				     "[{\"index\":0,\"value\":%llu,\"valueTwo\":%llu,\"op\":\"%s\"}]}"),
			   (unsigned long long)t[i].value, (unsigned long long)t[i].value_two, t[i].op);
		assert_int_equal(compile(&f, text, NULL), 0);
		for (int k = 0; k < 4; k++)
			assert_int_equal(under(&f, SYS_getsid, arg[k], 0) == exited(99), t[i].hits[k]);
	}
}

static void test_conditions_on_different_arguments_all_hold(void **state)
{
	auto_fini(ct_seccomp) struct ct_seccomp f = { 0 };

	(void)state;
	assert_int_equal(compile(&f,
				 ALLOW_BUT("{\"names\":[\"setpgid\"],\"action\":\"SCMP_ACT_ERRNO\","
					   "\"errnoRet\":99,\"args\":["
					   "{\"index\":0,\"value\":1,\"op\":\"SCMP_CMP_EQ\"},"
					   "{\"index\":1,\"value\":2,\"op\":\"SCMP_CMP_EQ\"}]}"),
				 NULL),
			 0);
	assert_int_equal(under(&f, SYS_setpgid, 1, 2), exited(99));
	assert_int_not_equal(under(&f, SYS_setpgid, 1, 3), exited(99));
	assert_int_not_equal(under(&f, SYS_setpgid, 2, 2), exited(99));
}

static void test_conditions_on_one_argument_are_alternatives(void **state)
{
	auto_fini(ct_seccomp) struct ct_seccomp f = { 0 };

	(void)state;
	assert_int_equal(compile(&f,
				 ALLOW_BUT("{\"names\":[\"getsid\"],\"action\":\"SCMP_ACT_ERRNO\","
					   "\"errnoRet\":99,\"args\":["
					   "{\"index\":0,\"value\":1,\"op\":\"SCMP_CMP_EQ\"},"
					   "{\"index\":0,\"value\":3,\"op\":\"SCMP_CMP_EQ\"}]}"),
				 NULL),
			 0);
	assert_int_equal(under(&f, SYS_getsid, 1, 0), exited(99));
	assert_int_equal(under(&f, SYS_getsid, 3, 0), exited(99));
	assert_int_not_equal(under(&f, SYS_getsid, 2, 0), exited(99));
}

/* What a program needs to report and end; the address sanitizer asks for the signal stack on the way out. */
#define ENOUGH                                                                                               \
	"{\"names\":[\"exit\",\"exit_group\",\"getpgid\",\"sigaltstack\"],\"action\":\"SCMP_ACT_ALLOW\"}"

static void test_a_default_refusal_covers_what_is_known_and_the_unknown_is_not_there(void **state)
{
	auto_fini(ct_seccomp) struct ct_seccomp f = { 0 };

	(void)state;
	assert_int_equal(
		compile(&f,
			"{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"architectures\":[\"SCMP_ARCH_X86_64\","
			"\"SCMP_ARCH_X86\",\"SCMP_ARCH_X32\"],\"syscalls\":[" ENOUGH "]}",
			NULL),
		0);
	assert_int_equal(under(&f, SYS_getpgid, 0, 0), 0);
	assert_int_equal(under(&f, SYS_getppid, 0, 0), exited(EPERM));
	assert_int_equal(under(&f, ENOSYS_NR, 0, 0), exited(ENOSYS));
	assert_int_equal(under(&f, 1L << 30 | ENOSYS_NR, 0, 0),
			 exited(EPERM)); /* x32's numbers are its own */
}

static void test_a_default_errno_is_the_one_asked_for(void **state)
{
	auto_fini(ct_seccomp) struct ct_seccomp f = { 0 };

	(void)state;
	assert_int_equal(
		compile(&f,
			"{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":77,\"syscalls\":[" ENOUGH
			"]}",
			NULL),
		0);
	assert_int_equal(under(&f, SYS_getppid, 0, 0), exited(77));
}

static void test_a_default_kill_has_no_exception_for_the_unknown(void **state)
{
	auto_fini(ct_seccomp) struct ct_seccomp f = { 0 };

	(void)state;
	assert_int_equal(
		compile(&f, "{\"defaultAction\":\"SCMP_ACT_KILL_PROCESS\",\"syscalls\":[" ENOUGH "]}", NULL),
		0);
	assert_int_equal(under(&f, ENOSYS_NR, 0, 0) & 0x7f, SIGSYS);
}

static void test_a_name_the_library_does_not_know_is_passed_over(void **state)
{
	auto_fini(ct_seccomp) struct ct_seccomp f = { 0 };

	(void)state;
	assert_int_equal(compile(&f,
				 ALLOW_BUT("{\"names\":[\"no_such_call\",\"getppid\"],\"action\":\"SCMP_ACT_"
					   "ERRNO\",\"errnoRet\":99}"),
				 NULL),
			 0);
	assert_int_equal(under(&f, SYS_getppid, 0, 0), exited(99));
}

static void test_a_notification_needs_a_listener_and_cannot_cover_what_hands_it_over(void **state)
{
#define NOTIFY(name) "{\"names\":[\"" name "\"],\"action\":\"SCMP_ACT_NOTIFY\"}"
	static const struct {
		const char *text, *want;
	} t[] = {
		{ "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[" NOTIFY("getppid") "]}",
		  "listenerPath" },
		{ "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"listenerPath\":\"/x\",\"syscalls\":[" NOTIFY(
			  "sendmsg") "]}",
		  "sendmsg" },
		{ "{\"defaultAction\":\"SCMP_ACT_NOTIFY\",\"listenerPath\":\"/x\"}",
		  "linux.seccomp.defaultAction" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		auto_fini(arena) struct arena a = { 0 };
		struct ct_seccomp f = { 0 };
		struct err e = { 0 };
		const struct oci_seccomp *s = parse(&a, t[i].text, &e);

		if (s) /* or the parser has refused it already */
			assert_int_equal(ct_seccomp_compile(&f, s, -1, &e), -EINVAL);
		print_message("# %s\n", e.text);
		assert_non_null(strstr(e.text, t[i].want));
		assert_null(f.insns);
	}
}

static void test_a_notification_gives_a_listener(void **state)
{
	auto_fini(ct_seccomp) struct ct_seccomp f = { 0 };
	int status;
	pid_t pid;

	(void)state;
	assert_int_equal(
		compile(&f,
			"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"listenerPath\":\"/x\",\"flags\":["
			"\"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV\"],\"syscalls\":[" NOTIFY("getppid") "]}",
			NULL),
		0);
	assert_true(f.flags & SECCOMP_FILTER_FLAG_NEW_LISTENER);
	pid = fork();
	if (pid == 0) {
		struct stat st;
		int fd;

		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		fd = ct_seccomp_load(&f);
		_exit(fd > 0 && fstat(fd, &st) == 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC ? 0 : 1);
	}
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
}

/* --- the cache ------------------------------------------------------------------------------------------------ */

#define ONE ALLOW_BUT(ON_GETPPID("\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":98"))
#define TWO ALLOW_BUT(ON_GETPPID("\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":99"))

/* cached() - how many files the cache has; the last one's name in @name of 128 bytes. */
static int cached(char *name)
{
	DIR *d = opendir(dir);
	struct dirent *de;
	int n = 0;

	while ((de = readdir(d)))
		if (de->d_name[0] != '.') {
			str_copy(name, 128, de->d_name);
			n++;
		}
	closedir(d);
	return n;
}

static void test_the_cache_gives_the_same_program(void **state)
{
	auto_fini(ct_seccomp) struct ct_seccomp first = { 0 }, again = { 0 }, other = { 0 };
	struct stat st;
	char name[128];

	(void)state;
	assert_int_equal(compile(&first, ONE, NULL), 0);
	assert_int_equal(cached(name), 1);
	assert_int_equal(fstatat(cache, name, &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(compile(&again, ONE, NULL), 0);
	assert_int_equal(cached(name), 1);
	assert_int_equal(first.n, again.n);
	assert_memory_equal(first.insns, again.insns, first.n * sizeof(*first.insns));
	assert_int_equal(compile(&other, TWO, NULL), 0);
	assert_int_equal(cached(name), 2);
	assert_int_equal(under(&again, SYS_getppid, 0, 0), exited(98));
	assert_int_equal(under(&other, SYS_getppid, 0, 0), exited(99));
}

static void test_the_cache_is_really_used(void **state)
{
	auto_fini(ct_seccomp) struct ct_seccomp f = { 0 };
	struct stat before, after;
	char name[128];

	(void)state;
	compile(&f, ONE, NULL);
	cached(name);
	assert_int_equal(fstatat(cache, name, &before, 0), 0);
	ct_seccomp_fini(&f);
	compile(&f, ONE, NULL);
	assert_int_equal(fstatat(cache, name, &after, 0), 0);
	assert_int_equal(before.st_ino, after.st_ino); /* a miss would have replaced it */
}

static void test_what_was_changed_in_the_cache_is_not_trusted(void **state)
{
	auto_fini(buf) struct buf good = { 0 };
	auto_fini(ct_seccomp) struct ct_seccomp f = { 0 };
	char name[128];

	(void)state;
	compile(&f, ONE, NULL);
	cached(name);
	assert_int_equal(file_slurp_at(cache, name, &good, 1 << 20), 0);
	for (size_t i = 0; i < 2 * good.len + 3; i++) {
		auto_fini(buf) struct buf bad = { 0 };
		size_t len = i < good.len ?
				     i :
				     good.len; /* cut short; then a byte changed; zeros; longer; another's */

		buf_put(&bad, good.data, len);
		if (i >= good.len && i < 2 * good.len)
			bad.data[i - good.len] ^= 1;
		if (i == 2 * good.len)
			memset(bad.data, 0, bad.len);
		if (i > 2 * good.len)
			buf_put(&bad, good.data, 8);
		assert_int_equal(file_replace(cache, name, bad.data, bad.len, 0600, false, NULL), 0);
		ct_seccomp_fini(&f);
		assert_int_equal(compile(&f, ONE, NULL), 0);
		assert_int_equal(under(&f, SYS_getppid, 0, 0), exited(98));
	}
}

static void test_one_program_does_not_pass_for_another(void **state)
{
	auto_fini(ct_seccomp) struct ct_seccomp f = { 0 };
	char one[128], two[128];

	(void)state;
	compile(&f, ONE, NULL);
	cached(one);
	ct_seccomp_fini(&f);
	assert_int_equal(renameat(cache, one, cache, ".one"), 0);
	compile(&f, TWO, NULL);
	cached(two);
	ct_seccomp_fini(&f);
	assert_int_equal(renameat(cache, two, cache, one), 0); /* by its name it is the first */
	compile(&f, ONE, NULL);
	assert_int_equal(under(&f, SYS_getppid, 0, 0), exited(98));
}

static void test_a_cache_that_cannot_be_used_only_costs_time(void **state)
{
	auto_fini(arena) struct arena a = { 0 };
	auto_fini(ct_seccomp) struct ct_seccomp f = { 0 };
	char name[128];

	(void)state;
	assert_int_equal(ct_seccomp_compile(&f, parse(&a, ONE, NULL), -1, NULL), 0);
	assert_int_equal(cached(name), 0);
	ct_seccomp_fini(&f);
	rmdir(dir);
	assert_int_equal(compile(&f, ONE, NULL), 0);
	assert_int_equal(under(&f, SYS_getppid, 0, 0), exited(98));
	mkdir(dir, 0700);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_each_action_does_what_its_name_says),
		T(test_each_operator_compares_as_its_name_says),
		T(test_conditions_on_different_arguments_all_hold),
		T(test_conditions_on_one_argument_are_alternatives),
		T(test_a_default_refusal_covers_what_is_known_and_the_unknown_is_not_there),
		T(test_a_default_errno_is_the_one_asked_for),
		T(test_a_default_kill_has_no_exception_for_the_unknown),
		T(test_a_name_the_library_does_not_know_is_passed_over),
		T(test_a_notification_needs_a_listener_and_cannot_cover_what_hands_it_over),
		T(test_a_notification_gives_a_listener),
		T(test_the_cache_gives_the_same_program),
		T(test_the_cache_is_really_used),
		T(test_what_was_changed_in_the_cache_is_not_trusted),
		T(test_one_program_does_not_pass_for_another),
		T(test_a_cache_that_cannot_be_used_only_costs_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
