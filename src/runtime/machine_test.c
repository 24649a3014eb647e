/* SPDX-License-Identifier: Apache-2.0 */
/* machine_test.c - the machines there are, without running one: names, failing calls, what killed commands left, the log's bound */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/guard.h"
#include "fmt/json.h"
#include "runtime/machine_internal.h"
#include "sys/call.h"
#include "sys/file.h"
#include "sys/ns.h"

static char dir[] = "/tmp/hull-machine-test-XXXXXX";
static struct machines *ms;

static int setup(void **state)
{
	struct err e = { 0 };
	auto_free char *root = NULL, *run = NULL;

	(void)state;
	if (!mkdtemp(dir))
		return -1;
	root = str_printf("%s/root", dir);
	run = str_printf("%s/run", dir);
	return machines_open(&ms, root, run, &e);
}

static int teardown(void **state)
{
	(void)state;
	machines_close(ms);
	return file_remove_tree(AT_FDCWD, dir, NULL);
}

static unsigned entries(int at, const char *name)
{
	int fd = file_open(at, name, O_RDONLY | O_DIRECTORY, 0);
	DIR *d = fdopendir(fd);
	unsigned n = 0;
	struct dirent *de;

	assert_non_null(d);
	while ((de = readdir(d)))
		n += de->d_name[0] != '.';
	closedir(d);
	return n;
}

static unsigned machines_there(void)
{
	return entries(ms->dirfd, ".") - 1; /* names */
}

static int create(const char *name, char id[65], struct err *e)
{
	json_t *options = json_pack("{s:s}", "Kernel", "/k");
	int r = machines_create(ms, name, options, NULL, NULL, id, e);

	json_decref(options);
	return r;
}

static void assert_gone(const char *id)
{
	struct err e = { 0 };

	assert_int_equal(machines_remove(ms, id, false, &e), 0);
	assert_int_equal(machines_there(), entries(ms->dirfd, MACHINES_NAMES));
}

static void test_a_machine_is_found_by_its_name_its_id_and_the_beginning_of_one(void **state)
{
	char id[65], way[3][65] = { "one" };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(create("one", id, &e), 0);
	str_copy(way[1], 65, id);
	str_format(way[2], 65, "%.9s", id);
	for (int i = 0; i < 3; i++) {
		auto_fini(instance) struct instance in = { 0 };

		assert_int_equal(machines_find(ms, way[i], &in, &e), 0);
		assert_string_equal(in.id, id);
		assert_string_equal(in.name, "one");
		assert_int_equal(in.status, INSTANCE_CREATED);
		assert_string_equal(instance__str(in.config, "Options", "Kernel"), "/k");
	}
	assert_gone(id);
}

static void test_what_is_no_machine_is_not_found(void **state)
{
	static const char *const bad[] = {
		"", "nobody", "..", "../names", "a/b", "abcdef0123", "names", ".", "0",
	};
	char id[65];

	(void)state;
	assert_int_equal(create("one", id, NULL), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct instance in = { 0 };
		struct err e = { 0 };

		if (*bad[i] && strncmp(id, bad[i], strlen(bad[i])) == 0) /* by chance it begins so */
			continue;
		assert_int_equal(machines_find(ms, bad[i], &in, &e), -ENOENT);
		assert_non_null(strstr(e.text, "no such machine"));
	}
	assert_gone(id);
}

static void test_a_name_is_given_once(void **state)
{
	char id[65], other[65];
	struct err e = { 0 };

	(void)state;
	assert_int_equal(create("one", id, &e), 0);
	assert_int_equal(create("one", other, &e), -EEXIST);
	assert_string_equal(e.text, "the name 'one' is in use by another machine");
	assert_int_equal(machines_there(), 1);
	assert_gone(id);
	assert_int_equal(create("one", other, &e), 0);
	assert_gone(other);
}

static void test_a_name_whose_directory_somebody_removed_is_free_again(void **state)
{
	char id[65], other[65];
	struct instance in = { 0 };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(create("one", id, &e), 0);
	assert_int_equal(file_remove_tree(ms->dirfd, id, &e), 0);
	assert_true(machines_find(ms, "one", &in, &e) < 0);
	assert_int_equal(create("one", other, &e), 0);
	assert_gone(other);
}

static int fill_fails(void *arg, struct machines *m, const char *id, json_t *options, struct err *e)
{
	(void)options;
	*(int *)arg = machines__dir(m, id, e) >= 0; /* it is there to be filled */
	return err_set(e, ENOSPC, "no room");
}

static void test_a_machine_that_could_not_be_filled_is_not_there(void **state)
{
	json_t *options = json_object();
	struct err e = { 0 };
	int was_there = 0;
	char id[65];

	(void)state;
	assert_int_equal(machines_create(ms, "one", options, fill_fails, &was_there, id, &e), -ENOSPC);
	assert_string_equal(e.text, "no room");
	assert_true(was_there);
	assert_int_equal(machines_there(), 0);
	assert_int_equal(entries(ms->dirfd, MACHINES_NAMES), 0);
	json_decref(options);
}

static int fail_at, calls;

static long failing(long nr, long a, long b, long c, long d, long e, long f)
{
	return ++calls == fail_at ? -EIO : sys_call_real(nr, a, b, c, d, e, f);
}

static void test_whichever_call_fails_a_machine_is_made_or_not_made(void **state)
{
	int made = 0, failed = 0, fds[64], n_fds;

	(void)state;
	n_fds = fd_list(fds, 64);
	for (fail_at = 1; made < 5; fail_at++) { /* beyond the last call it always goes well */
		struct err e = { 0 };
		char id[65];
		int r;

		calls = 0;
		sys_call = failing;
		r = create("one", id, &e);
		sys_call = sys_call_real;
		assert_int_equal(fd_list(fds, 64), n_fds);
		if (r == 0) {
			made++;
			assert_gone(id);
			continue;
		}
		failed++;
		made = 0;
		assert_true(e.code > 0 && e.text[0]);
		assert_int_equal(entries(ms->dirfd, MACHINES_NAMES), 0);
		if (machines_there() > 0) /* its removal is what failed */
			machines_sweep(ms, NULL);
		assert_int_equal(machines_there(), 0);
		assert_true(fail_at < 1000);
	}
	assert_true(failed > 5);
}

static void test_a_sweep_takes_what_has_no_name_and_nothing_else(void **state)
{
	char id[65], lost[65];
	struct err e = { 0 };
	struct instance in = { 0 };

	(void)state;
	assert_int_equal(create("one", id, &e), 0);
	assert_int_equal(create("lost", lost, &e), 0);
	assert_int_equal(file_unlink(ms->dirfd, MACHINES_NAMES "/lost", 0), 0); /* as an rm that was killed */
	assert_int_equal(file_mkdir(ms->dirfd, "lost+found", 0700), 0);
	assert_int_equal(machines_sweep(ms, &e), 0);
	assert_int_equal(faccessat(ms->dirfd, lost, F_OK, 0), -1);
	assert_int_equal(faccessat(ms->dirfd, "lost+found", F_OK, 0), 0);
	assert_int_equal(file_unlink(ms->dirfd, "lost+found", AT_REMOVEDIR), 0);
	assert_int_equal(machines_find(ms, "one", &in, &e), 0);
	instance_fini(&in);
	assert_gone(id);
}

static void test_a_sweep_leaves_what_is_just_being_made(void **state)
{
	char id[65];
	auto_close int d = -1, lock = -1;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(create("one", id, &e), 0);
	assert_int_equal(file_unlink(ms->dirfd, MACHINES_NAMES "/one", 0), 0);
	d = machines__dir(ms, id, &e);
	lock = machines__lock(ms, id, d, true, &e);
	assert_true(lock >= 0);
	assert_int_equal(machines_sweep(ms, &e), 0);
	assert_int_equal(faccessat(ms->dirfd, id, F_OK, 0), 0);
	fd_close(&lock);
	assert_int_equal(machines_sweep(ms, &e), 0);
	assert_int_equal(faccessat(ms->dirfd, id, F_OK, 0), -1);
}

/* put_state() - as a keeper with this pid and start time would have written it. */
static void put_state(const char *id, pid_t keeper, uint64_t start)
{
	const struct state s = {
		.status = INSTANCE_RUNNING, .shim_pid = keeper, .shim_start = start, .started_ns = 1
	};
	auto_close int d = machines__dir(ms, id, NULL);

	assert_int_equal(state_write(d, &s, NULL), 0);
}

static void test_running_without_a_live_keeper_is_dead_and_says_what_to_do(void **state)
{
	uint64_t mine = (uint64_t)proc_start_time(getpid());
	struct instance in = { 0 };
	struct err e = { 0 };
	char id[65];

	(void)state;
	assert_int_equal(create("one", id, &e), 0);
	put_state(id, getpid(), mine);
	assert_int_equal(machines_find(ms, "one", &in, &e), 0);
	assert_int_equal(in.status, INSTANCE_RUNNING);
	instance_fini(&in);
	put_state(id, getpid(), mine + 1); /* the number is another process's by now */
	assert_int_equal(machines_find(ms, "one", &in, &e), 0);
	assert_int_equal(in.status, INSTANCE_DEAD);
	assert_non_null(strstr(in.error, "hull vm start"));
	instance_fini(&in);
	assert_int_equal(machines_stop(ms, id, 1, &e), 0); /* it does not run: done */
	assert_gone(id);
}

static void test_a_damaged_machine_hides_no_other_and_can_be_removed(void **state)
{
	char id[65], bad[65];
	auto_close int d = -1;
	struct instance in = { 0 };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(create("one", id, &e), 0);
	assert_int_equal(create("bad", bad, &e), 0);
	d = machines__dir(ms, bad, &e);
	assert_int_equal(file_replace(d, INSTANCE_STATE, "{\"Status\":", 10, 0600, false, &e), 0);
	assert_int_equal(machines_find(ms, "bad", &in, &e), 0);
	assert_int_equal(in.status, INSTANCE_DEAD);
	instance_fini(&in);
	assert_int_equal(file_replace(d, MACHINES_CONFIG, "{}", 2, 0600, false, &e), 0);
	assert_int_equal(machines_find(ms, "bad", &in, &e), -EBADMSG);
	assert_int_equal(machines_find(ms, "one", &in, &e), 0);
	instance_fini(&in);
	assert_int_equal(machines_remove(ms, bad, true, &e), 0);
	assert_gone(id);
}

static void test_the_console_log_is_bounded_and_keeps_the_end(void **state)
{
	enum { CHUNK = 1000, CHUNKS = 5000 };
	struct machines_log l = { .dirfd = ms->events_fd, .fd = -1 };
	char bytes[CHUNK + 1];
	struct stat now = { 0 }, before = { 0 };
	auto_close int fd = -1;

	(void)state;
	for (int i = 0; i < CHUNKS; i++) {
		str_format(bytes, sizeof(bytes), "%0*d", CHUNK, i);
		machines__log_put(&l, bytes, CHUNK);
	}
	fd_close(&l.fd);
	assert_int_equal(fstatat(ms->events_fd, MACHINES_LOG, &now, 0), 0);
	assert_int_equal(fstatat(ms->events_fd, MACHINES_LOG ".1", &before, 0), 0);
	assert_true(now.st_size <= MACHINES_LOG_MAX && before.st_size <= MACHINES_LOG_MAX);
	assert_true(before.st_size > MACHINES_LOG_MAX - 2 * CHUNK);
	fd = file_open(ms->events_fd, MACHINES_LOG, O_RDONLY, 0);
	assert_int_equal(pread(fd, bytes, CHUNK, now.st_size - CHUNK), CHUNK);
	assert_int_equal(atoi(bytes + CHUNK - 4), CHUNKS - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_machine_is_found_by_its_name_its_id_and_the_beginning_of_one),
		cmocka_unit_test(test_what_is_no_machine_is_not_found),
		cmocka_unit_test(test_a_name_is_given_once),
		cmocka_unit_test(test_a_name_whose_directory_somebody_removed_is_free_again),
		cmocka_unit_test(test_a_machine_that_could_not_be_filled_is_not_there),
		cmocka_unit_test(test_whichever_call_fails_a_machine_is_made_or_not_made),
		cmocka_unit_test(test_a_sweep_takes_what_has_no_name_and_nothing_else),
		cmocka_unit_test(test_a_sweep_leaves_what_is_just_being_made),
		cmocka_unit_test(test_running_without_a_live_keeper_is_dead_and_says_what_to_do),
		cmocka_unit_test(test_a_damaged_machine_hides_no_other_and_can_be_removed),
		cmocka_unit_test(test_the_console_log_is_bounded_and_keeps_the_end),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
