/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/file.h"

#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "sys/call.h"

static char dir[32];
static int top = -1;

static int setup(void **state)
{
	(void)state;
	str_copy(dir, sizeof(dir), "/tmp/hull-test-file.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	top = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return top < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	(void)state;
	sys_call = sys_call_real;
	fd_close(&top);
	return file_remove_tree(AT_FDCWD, dir, NULL);
}

static bool exists(const char *at)
{
	struct stat st;

	return fstatat(top, at, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static void put(const char *at, const char *text)
{
	auto_close int fd = openat(top, at, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static const char *get(const char *at)
{
	static char text[256];
	auto_close int fd = openat(top, at, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	text[n < 0 ? 0 : n] = '\0';
	return n < 0 ? NULL : text;
}

/* entries() - how many names @at holds. */
static int entries(const char *at)
{
	char path[64], line[8] = "";
	FILE *p;

	snprintf(path, sizeof(path), "ls -A %s/%s | wc -l", dir, at);
	p = popen(path, "r");
	assert_non_null(fgets(line, sizeof(line), p));
	pclose(p);
	return atoi(line);
}

/* --- the n-th call fails -------------------------------------------------------------------------------------- */

static int calls_left; /* before the one that fails */
static long fail_nr, fail_with;

static long failing(long nr, long a, long b, long c, long d, long e, long f)
{
	if ((fail_nr < 0 || nr == fail_nr) && calls_left-- == 0)
		return fail_with;
	return sys_call_real(nr, a, b, c, d, e, f);
}

/* short_counts() - reads and writes of three bytes at most, every other one interrupted. */
static long short_counts(long nr, long a, long b, long c, long d, long e, long f)
{
	static bool interrupt;

	if (nr != SYS_read && nr != SYS_write)
		return sys_call_real(nr, a, b, c, d, e, f);
	interrupt = !interrupt;
	return interrupt ? -EINTR : sys_call_real(nr, a, b, c > 3 ? 3 : c, d, e, f);
}

/* --- reading and writing -------------------------------------------------------------------------------------- */

static void test_every_descriptor_closes_on_exec(void **state)
{
	int fds[4];

	(void)state;
	fds[0] = file_open(top, "f", O_RDWR | O_CREAT, 0644);
	fds[1] = file_memfd("x", 0);
	assert_int_equal(file_pipe(fds + 2), 0);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
		close(fds[i]);
	}
	assert_int_equal(file_open(top, "none", O_RDONLY, 0), -ENOENT);
}

static void test_reads_and_writes_are_whole_across_short_counts(void **state)
{
	auto_fini(buf) struct buf b = { 0 };
	auto_close int fd = file_open(top, "f", O_RDWR | O_CREAT, 0644);
	char text[100];

	(void)state;
	sys_call = short_counts;
	assert_int_equal(file_write(fd, "twelve bytes", 12), 0);
	lseek(fd, 0, SEEK_SET);
	assert_int_equal(file_read(fd, text, sizeof(text)), 12);
	assert_memory_equal(text, "twelve bytes", 12);
	lseek(fd, 0, SEEK_SET);
	buf_puts(&b, "before ");
	assert_int_equal(file_slurp(fd, &b, 100), 0);
	assert_string_equal(buf_str(&b), "before twelve bytes");
}

static void test_slurp_takes_what_it_may_and_no_more(void **state)
{
	auto_fini(buf) struct buf b = { 0 };
	auto_fini(buf) struct buf zero = { 0 };

	(void)state;
	put("f", "12345");
	assert_int_equal(file_slurp_at(top, "f", &b, 5), 0);
	assert_string_equal(buf_str(&b), "12345");
	assert_int_equal(file_slurp_at(top, "f", &b, 4), -EFBIG);
	assert_int_equal(file_slurp_at(top, "none", &b, 4), -ENOENT);
	assert_int_equal(file_slurp_at(AT_FDCWD, "/dev/zero", &zero, 1000000), -EFBIG);
	buf_fini(&b);
	assert_int_equal(file_slurp_at(AT_FDCWD, "/proc/self/stat", &b, 4096), 0); /* says it has no size */
	assert_true(b.len > 20);
}

static void test_put_changes_a_file_that_is_there(void **state)
{
	(void)state;
	put("f", "xxxxx");
	assert_int_equal(file_put(top, "f", "ab"), 0);
	assert_string_equal(get("f"), "abxxx");
	assert_int_equal(file_put(top, "none", "ab"), -ENOENT);
	assert_false(exists("none"));
}

/* --- replace --------------------------------------------------------------------------------------------------- */

static void test_replace_is_done_or_not_done_whichever_call_fails(void **state)
{
	(void)state;
	put("f", "old");
	fail_nr = -1;
	fail_with = -ENOSPC;
	for (int n = 0;; n++) {
		struct err e = { 0 };
		int r;

		calls_left = n;
		sys_call = failing;
		r = file_replace(top, "f", "new", 3, 0600, true, &e);
		sys_call = sys_call_real;
		if (r == 0)
			break;
		assert_true(n < 20);
		assert_int_equal(r, -ENOSPC);
		assert_string_equal(e.text, "write f: No space left on device");
		assert_string_equal(get("f"), "old");
		assert_int_equal(entries("."), 1); /* no temporary file is left */
	}
	assert_string_equal(get("f"), "new");
	assert_int_equal(entries("."), 1);
}

static void test_replace_sets_the_mode_of_a_new_file(void **state)
{
	struct stat st;

	(void)state;
	put("f", "old");
	assert_int_equal(file_replace(top, "f", "", 0, 0600, false, NULL), 0);
	assert_int_equal(fstatat(top, "f", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_size, 0);
}

static void test_replace_never_writes_to_what_was_planted_at_its_temporary_name(void **state)
{
	char tmp[32];

	(void)state;
	snprintf(tmp, sizeof(tmp), "f.%d.tmp", getpid());
	put("victim", "precious");
	assert_int_equal(symlinkat("victim", top, tmp), 0);
	assert_int_equal(file_replace(top, "f", "new", 3, 0600, false, NULL), 0);
	assert_string_equal(get("victim"), "precious");
	assert_int_equal(linkat(top, "victim", top, tmp, 0), 0); /* or as a hard link */
	assert_int_equal(file_replace(top, "f", "newer", 5, 0600, false, NULL), 0);
	assert_string_equal(get("victim"), "precious");
	assert_string_equal(get("f"), "newer");
	assert_false(exists(tmp));
}

/* --- directories ----------------------------------------------------------------------------------------------- */

static void test_mkdirs_makes_parents_and_gives_the_last_its_mode(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(file_mkdirs(top, "a/b/c", 0700), 0);
	assert_int_equal(fstatat(top, "a/b", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0755);
	assert_int_equal(fstatat(top, "a/b/c", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(file_mkdirs(top, "x/y//", 0700), 0); /* a slash at the end changes nothing */
	assert_int_equal(fstatat(top, "x/y", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	put("f", "");
	assert_int_equal(file_mkdirs(top, "f/x", 0755), -EEXIST);
	assert_int_equal(file_mkdirs(top, "a/b/c", 0755), 0);
	assert_int_equal(file_mkdirs(AT_FDCWD, "/", 0755), 0);
}

static void test_remove_tree_takes_everything_below_and_follows_no_link(void **state)
{
	(void)state;
	assert_int_equal(file_mkdirs(top, "t/a/b", 0755), 0);
	assert_int_equal(file_mkdirs(top, "kept/d", 0755), 0);
	put("t/f", "x");
	put("t/a/b/f", "x");
	put("kept/d/f", "x");
	assert_int_equal(symlinkat("../kept", top, "t/link"), 0);
	assert_int_equal(symlinkat("nowhere", top, "t/dangling"), 0);
	assert_int_equal(mkfifoat(top, "t/fifo", 0600), 0);
	assert_int_equal(linkat(top, "kept/d/f", top, "t/hard", 0), 0);
	assert_int_equal(file_remove_tree(top, "t", NULL), 0);
	assert_false(exists("t"));
	assert_string_equal(get("kept/d/f"), "x");
	assert_int_equal(symlinkat("kept", top, "l"), 0);
	assert_int_equal(file_remove_tree(top, "l", NULL), 0); /* the link itself */
	assert_false(exists("l"));
	assert_string_equal(get("kept/d/f"), "x");
	assert_int_equal(file_remove_tree(top, "kept/d/f", NULL), 0);
	assert_int_equal(file_remove_tree(top, "none", NULL), 0);
}

static void test_remove_tree_goes_deeper_than_there_are_descriptors(void **state)
{
	struct rlimit was, few = { 64, 64 };
	int at = dup(top), r;

	(void)state;
	assert_int_equal(mkdirat(top, "t", 0755), 0);
	for (int i = 0; i < 3000; i++) { /* deeper than PATH_MAX and RLIMIT_NOFILE */
		int next;

		assert_int_equal(mkdirat(at, i ? "d" : "t/d", 0755), 0);
		next = openat(at, i ? "d" : "t/d", O_RDONLY | O_DIRECTORY);
		close(at);
		at = next;
		assert_true(at >= 0);
		if (i % 100 == 0)
			close(openat(at, "f", O_WRONLY | O_CREAT, 0644));
	}
	close(at);
	getrlimit(RLIMIT_NOFILE, &was);
	few.rlim_max = was.rlim_max;
	setrlimit(RLIMIT_NOFILE, &few);
	r = file_remove_tree(top, "t", NULL);
	setrlimit(RLIMIT_NOFILE, &was);
	assert_int_equal(r, 0);
	assert_false(exists("t"));
	assert_int_equal(entries("."), 0);
}

/* bind_over() - in a mount namespace of the caller's own: "kept" shows at @at. */
static bool bind_over(const char *at)
{
	char from[64], to[64];

	snprintf(from, sizeof(from), "%s/kept", dir);
	snprintf(to, sizeof(to), "%s/%s", dir, at);
	return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	       mount(from, to, NULL, MS_BIND, NULL) == 0;
}

static void test_remove_tree_does_not_cross_into_a_mount_of_the_same_file_system(void **state)
{
	static const char *const at[] = { "t/a/m", "t" };

	(void)state;
	if (geteuid() != 0) {
		print_message("# skipped: wants root\n");
		skip();
	}
	assert_int_equal(file_mkdirs(top, "t/a/m", 0755), 0);
	assert_int_equal(file_mkdirs(top, "kept", 0755), 0);
	put("kept/f", "x");
	for (int i = 0; i < 2; i++) {
		int status;
		pid_t pid = fork();

		if (pid == 0) {
			struct err e = { 0 };

			if (!bind_over(at[i]))
				_exit(77);
			top = open(dir, O_RDONLY | O_DIRECTORY); /* the old one sees the old mounts */
			if (file_remove_tree(top, "t", &e) != -EBUSY)
				_exit(1);
			_exit(strstr(e.text, "Device or resource busy") ? 0 : 2);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (WEXITSTATUS(status) == 77)
			skip();
		assert_int_equal(status, 0);
		assert_string_equal(get("kept/f"), "x");
	}
}

/* racing() - somebody else removes each directory just before we open it. */
static long racing(long nr, long a, long b, long c, long d, long e, long f)
{
	if (nr == SYS_openat2)
		unlinkat((int)a, (const char *)b, AT_REMOVEDIR);
	return sys_call_real(nr, a, b, c, d, e, f);
}

static void test_remove_tree_may_be_done_by_two_at_once(void **state)
{
	(void)state;
	assert_int_equal(file_mkdirs(top, "t/a/b", 0755), 0);
	assert_int_equal(file_mkdirs(top, "t/c", 0755), 0);
	sys_call = racing;
	assert_int_equal(file_remove_tree(top, "t", NULL), 0);
	assert_false(exists("t"));
}

static void test_remove_tree_says_what_it_could_not_remove(void **state)
{
	struct err e = { 0 };

	(void)state;
	assert_int_equal(file_mkdirs(top, "t/a", 0755), 0);
	put("t/a/f", "");
	fail_nr = SYS_unlinkat;
	fail_with = -EROFS;
	calls_left = 2; /* after "t" and "a", which are directories */
	sys_call = failing;
	assert_int_equal(file_remove_tree(top, "t", &e), -EROFS);
	sys_call = sys_call_real;
	assert_string_equal(e.text, "remove 't': a: f: Read-only file system");
}

/* --- locks and descriptors ------------------------------------------------------------------------------------- */

static void test_a_lock_excludes_and_ends_with_its_holder(void **state)
{
	auto_close int mine = file_open(top, "lock", O_RDWR | O_CREAT, 0600);
	int pipes[2], status;
	char c;
	pid_t pid;

	(void)state;
	assert_int_equal(file_pipe(pipes), 0);
	pid = fork();
	if (pid == 0) {
		int fd = file_open(top, "lock", O_RDWR, 0);

		c = file_lock(fd, true, false) == 0 ? 'y' : 'n';
		if (write(pipes[1], &c, 1) == 1)
			pause();
		_exit(0);
	}
	assert_int_equal(read(pipes[0], &c, 1), 1);
	assert_int_equal(c, 'y');
	assert_int_equal(file_lock(mine, true, false), -EWOULDBLOCK);
	assert_int_equal(file_lock(mine, false, false), -EWOULDBLOCK);
	kill(pid, SIGKILL);
	assert_int_equal(file_lock(mine, true, true), 0); /* waits for its end */
	waitpid(pid, &status, 0);
	close(pipes[0]);
	close(pipes[1]);
}

static void test_readers_share_a_lock(void **state)
{
	auto_close int a = file_open(top, "lock", O_RDWR | O_CREAT, 0600);
	auto_close int b = file_open(top, "lock", O_RDWR, 0);

	(void)state;
	assert_int_equal(file_lock(a, false, false), 0);
	assert_int_equal(file_lock(b, false, false), 0);
	assert_int_equal(file_lock(b, true, false), -EWOULDBLOCK);
}

static void test_dup_to_sets_the_flag_also_on_the_same_number(void **state)
{
	int fd = file_open(top, "f", O_RDWR | O_CREAT, 0600), other = fcntl(fd, F_DUPFD_CLOEXEC, 50);

	(void)state;
	assert_true(fd_dup_to(fd, fd, false) >= 0);
	assert_int_equal(fcntl(fd, F_GETFD), 0);
	assert_true(fd_dup_to(fd, fd, true) >= 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fd_dup_to(fd, other, false), other);
	assert_int_equal(fcntl(other, F_GETFD), 0);
	assert_int_equal(fd_cloexec_from(other), 0);
	assert_int_equal(fcntl(other, F_GETFD), FD_CLOEXEC);
	close(fd);
	close(other);
}

static void test_closed_standard_streams_become_dev_null(void **state)
{
	int status;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		struct stat st;

		close(0);
		close(2);
		if (fd_fill_stdio() < 0 || fstat(0, &st) < 0 || st.st_rdev != 0x103)
			_exit(1);
		_exit(fstat(2, &st) < 0 || st.st_rdev != 0x103 || open("/", O_RDONLY) < 3);
	}
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
}

static void test_a_private_directory_is_nobody_elses(void **state)
{
	char path[64];

	(void)state;
	snprintf(path, sizeof(path), "%s/p", dir);
	assert_int_equal(file_mkdir_private(path), 0);
	assert_int_equal(file_mkdir_private(path), 0);
	chmod(path, 0770);
	assert_int_equal(file_mkdir_private(path), -EPERM);
	chmod(path, 0700);
	if (geteuid() == 0) {
		assert_int_equal(chown(path, 12345, 0), 0);
		assert_int_equal(file_mkdir_private(path), -EPERM);
	}
	rmdir(path);
	assert_int_equal(symlink("/tmp", path), 0);
	assert_int_equal(file_mkdir_private(path), -EPERM);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_every_descriptor_closes_on_exec),
		T(test_reads_and_writes_are_whole_across_short_counts),
		T(test_slurp_takes_what_it_may_and_no_more),
		T(test_put_changes_a_file_that_is_there),
		T(test_replace_is_done_or_not_done_whichever_call_fails),
		T(test_replace_sets_the_mode_of_a_new_file),
		T(test_replace_never_writes_to_what_was_planted_at_its_temporary_name),
		T(test_mkdirs_makes_parents_and_gives_the_last_its_mode),
		T(test_remove_tree_takes_everything_below_and_follows_no_link),
		T(test_remove_tree_goes_deeper_than_there_are_descriptors),
		T(test_remove_tree_does_not_cross_into_a_mount_of_the_same_file_system),
		T(test_remove_tree_may_be_done_by_two_at_once),
		T(test_remove_tree_says_what_it_could_not_remove),
		T(test_a_lock_excludes_and_ends_with_its_holder),
		T(test_readers_share_a_lock),
		T(test_dup_to_sets_the_flag_also_on_the_same_number),
		T(test_closed_standard_streams_become_dev_null),
		T(test_a_private_directory_is_nobody_elses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
