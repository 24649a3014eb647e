/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/speed.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "base/time.h"
#include "engine/engine.h"
#include "sys/file.h"

static unsigned count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void test_each_engine_of_this_host_is_measured_and_nothing_is_left(void **state)
{
	unsigned measured = 0, fds = count_fds();

	(void)state;
	for (const struct engine_ops *const *t = engine_table; *t; t++) {
		nsec_t from = time_now_ns(CLOCK_MONOTONIC);
		struct engine_speed s = { 0 };
		struct err e = { 0 };

		if ((*t)->probe(&e) < 0) {
			print_message("%s: %s\n", (*t)->name, e.text);
			continue;
		}
		if (engine_speed(*t, ENGINE_SPEED_MS, &s, &e) < 0)
			fail_msg("%s", e.text);
		print_message("%s: host %llu ps, ring 0 %llu ps, ring 3 %llu ps, exit %llu ns\n", (*t)->name,
			      (unsigned long long)s.host_ps, (unsigned long long)s.ring0_ps,
			      (unsigned long long)s.ring3_ps, (unsigned long long)s.exit_ns);
		assert_true(s.host_ps && s.ring0_ps && s.ring3_ps && s.exit_ns);
		assert_true(s.host_ps < 1000000 && s.ring0_ps < 1000000000);
		assert_true(time_now_ns(CLOCK_MONOTONIC) - from < 5 * NSEC_PER_SEC);
		assert_int_equal(count_fds(), fds);
		measured++;
	}
	if (!measured)
		skip();
}

static void test_full_speed_is_about_the_hosts(void **state)
{
	static const struct {
		uint64_t host, ring0;
		bool want;
	} cases[] = {
		{ 100, 100, true },  { 100, 90, true },      { 100, 399, true },
		{ 100, 500, false }, { 100, 250000, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct engine_speed s = { .host_ps = cases[i].host, .ring0_ps = cases[i].ring0 };

		if (engine_speed_is_full(&s) != cases[i].want)
			fail_msg("host %llu, ring 0 %llu", (unsigned long long)cases[i].host,
				 (unsigned long long)cases[i].ring0);
	}
}

static void test_the_fastest_is_one_that_can(void **state)
{
	const struct engine_ops *ops;
	struct err e = { 0 };
	nsec_t from;

	(void)state;
	from = time_now_ns(CLOCK_MONOTONIC);
	ops = engine_fastest(NULL, &e);
	print_message("%s, after %lld us\n", ops ? ops->name : e.text,
		      (long long)(time_now_ns(CLOCK_MONOTONIC) - from) / 1000);
	if (ops) {
		assert_int_equal(ops->probe(&e), 0);
		return;
	}
	assert_null(engine_find(NULL, &e));
	skip();
}

/* kept() - the answer in @dir, NUL-terminated; empty: none */
static char *kept(const char *dir, char text[600])
{
	auto_free char *path = str_printf("%s/engine-auto", dir);
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, 599);

	text[n < 0 ? 0 : n] = '\0';
	return text;
}

static void keep(const char *dir, const char *text, mode_t mode)
{
	auto_free char *path = str_printf("%s/engine-auto", dir);
	auto_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
}

static void test_the_fastest_is_kept_for_this_boot_and_believed_only_where_it_is_ours(void **state)
{
	char base[] = "/tmp/hull-speed-XXXXXX", text[600], other[600], bad[600];
	auto_free char *dir = NULL, *path = NULL;
	const struct engine_ops *best, *second;

	(void)state;
	for (const struct engine_ops *const *t = engine_table; *t; t++)
		if ((*t)->probe(NULL) < 0)
			skip();
	assert_non_null(mkdtemp(base));
	dir = str_printf("%s/run", base); /* which is not there yet */
	path = str_printf("%s/engine-auto", dir);
	best = second = engine_fastest(dir, NULL);
	assert_non_null(best);
	kept(dir, text);
	assert_string_equal(strrchr(text, '\n') + 1, best->name);
	for (const struct engine_ops *const *t = engine_table; *t; t++)
		if (*t != best)
			second = *t;
	str_format(other, sizeof(other), "%.*s\n%s", (int)(strrchr(text, '\n') - text), text, second->name);

	keep(dir, other, 0600);
	assert_ptr_equal(engine_fastest(dir, NULL), second); /* believed, not measured */
	assert_ptr_equal(engine_fastest(NULL, NULL), best);

	keep(dir, other, 0622);
	assert_ptr_equal(engine_fastest(dir, NULL), best);
	assert_string_equal(kept(dir, bad), text);      /* and made anew */
	str_format(bad, sizeof(bad), "x%s", other + 1); /* another boot */
	keep(dir, bad, 0600);
	assert_ptr_equal(engine_fastest(dir, NULL), best);
	str_format(bad, sizeof(bad), "%s and more", other);
	keep(dir, bad, 0600);
	assert_ptr_equal(engine_fastest(dir, NULL), best);
	keep(dir, "", 0600);
	assert_ptr_equal(engine_fastest(dir, NULL), best);
	keep(base, other, 0600);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("../engine-auto", path), 0);
	assert_ptr_equal(engine_fastest(dir, NULL), best);

	keep(dir, other, 0600);
	assert_int_equal(chmod(dir, 0777), 0); /* anybody can have put it there */
	assert_ptr_equal(engine_fastest(dir, NULL), best);
	assert_string_equal(kept(dir, bad), other);
	assert_int_equal(file_remove_tree(AT_FDCWD, base, NULL), 0);
}

static int cannot(struct engine_vm **ret_vm, const struct engine_config *c, struct err *e)
{
	(void)ret_vm;
	(void)c;
	return err_set(e, ENOSPC, "no room");
}

static void test_an_engine_without_a_machine_says_so(void **state)
{
	static const struct engine_ops none = { .name = "none", .vm_new = cannot };
	struct engine_speed s = { .exit_ns = 7 };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(engine_speed(&none, 3, &s, &e), -ENOSPC);
	assert_string_equal(e.text, "engine 'none': measure it: no room");
	assert_int_equal(s.exit_ns, 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_engine_of_this_host_is_measured_and_nothing_is_left),
		cmocka_unit_test(test_full_speed_is_about_the_hosts),
		cmocka_unit_test(test_the_fastest_is_one_that_can),
		cmocka_unit_test(test_the_fastest_is_kept_for_this_boot_and_believed_only_where_it_is_ours),
		cmocka_unit_test(test_an_engine_without_a_machine_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
