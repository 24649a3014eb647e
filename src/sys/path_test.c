/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "sys/file.h"

/* "root" is the container's; what lies beside it must never be touched. */
static char dir[] = "/tmp/hull-test-path.XXXXXX";
static int top = -1, root = -1;

static int setup(void **state)
{
	(void)state;
	str_copy(dir, sizeof(dir), "/tmp/hull-test-path.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	top = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (mkdirat(top, "root", 0755) < 0 || mkdirat(top, "host", 0755) < 0)
		return -1;
	root = openat(top, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return root < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	(void)state;
	fd_close(&root);
	fd_close(&top);
	return file_remove_tree(AT_FDCWD, dir, NULL);
}

static void put_link(const char *target, const char *at)
{
	assert_int_equal(symlinkat(target, root, at), 0);
}

static void put_dir(const char *at)
{
	assert_int_equal(mkdirat(root, at, 0755), 0);
}

static void put_file(const char *at)
{
	auto_close int fd = openat(root, at, O_WRONLY | O_CREAT | O_EXCL, 0644);

	assert_true(fd >= 0);
}

/* same() - is @fd the file that the path @at below the temporary directory names, links followed not at all? */
static bool same(int fd, const char *at)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && fstatat(top, at, &b, AT_SYMLINK_NOFOLLOW) == 0 && a.st_ino == b.st_ino &&
	       a.st_dev == b.st_dev;
}

static bool host_is_empty(void)
{
	return unlinkat(top, "host", AT_REMOVEDIR) == 0 && mkdirat(top, "host", 0755) == 0;
}

static void test_open_resolves_every_link_inside_the_root(void **state)
{
	static const struct {
		const char *path, *want;
	} t[] = {
		{ "", "root" },
		{ "/", "root" },
		{ "..", "root" },
		{ "../../../..", "root" },
		{ "/d/../../../d", "root/d" },
		{ "/abs", "root/d" },
		{ "/abs/f", "root/d/f" },
		{ "/up", "root/d" },
		{ "/d/back/f", "root/d/f" },
		{ "/chain", "root/d" },
	};

	(void)state;
	put_dir("d");
	put_file("d/f");
	put_link("/d", "abs");
	put_link("../../../../../d", "up");
	put_link("../../d", "d/back");
	put_link("abs", "chain");
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		auto_close int fd = path_open_in_root(root, t[i].path, O_PATH, 0);

		print_message("# '%s'\n", t[i].path);
		assert_true(fd >= 0);
		assert_true(same(fd, t[i].want));
	}
}

static void test_open_refuses_loops_and_magic_links(void **state)
{
	auto_close int slash = open("/", O_PATH | O_DIRECTORY);

	(void)state;
	put_link("loop", "loop");
	put_link("b", "a");
	put_link("a", "b");
	assert_int_equal(path_open_in_root(root, "loop", O_PATH, 0), -ELOOP);
	assert_int_equal(path_open_in_root(root, "a/x", O_PATH, 0), -ELOOP);
	assert_int_equal(path_open_in_root(slash, "/proc/self/cwd", O_PATH, 0), -ELOOP);
	assert_int_equal(path_open_in_root(slash, "/proc/self/fd/0", O_PATH, 0), -ELOOP);
}

static void test_open_closes_on_exec(void **state)
{
	auto_close int fd = path_open_in_root(root, "/", O_PATH, 0);

	(void)state;
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
}

static void test_make_makes_what_is_missing_and_nothing_outside(void **state)
{
	static const struct {
		const char *path;
		bool is_dir;
		int rc;
		const char *want; /* where it ends, or the text */
	} t[] = {
		{ "/new/a/b", true, 0, "root/new/a/b" },
		{ "/new/a/file", false, 0, "root/new/a/file" },
		{ "//new//./c/", true, 0, "root/new/c" },
		{ "../../e", true, 0, "root/e" },
		{ "/x/../y", true, 0, "root/y" },
		{ "/dangling/z", true, 0, "root/nowhere/z" },
		{ "/dangling-up/z", true, 0, "root/host/z" },
		{ "/dangling-file", false, 0, "root/made" },
		{ "/dangling-chain/q", true, 0, "root/nowhere/q" },
		{ "/d/rel/q", true, 0, "root/d/sub/q" },
		{ "/d", true, 0, "root/d" },
		{ "/f", false, 0, "root/f" },
		{ "/f", true, -ENOTDIR, "/f: Not a directory" },
		{ "/d", false, -EISDIR, "/d: Is a directory" },
		{ "/f/x", true, -ENOTDIR, "/f/x: Not a directory" },
		{ "/loop/x", true, -ELOOP, "/loop/x: Too many levels of symbolic links" },
	};

	(void)state;
	put_dir("d");
	put_file("f");
	put_link("/nowhere", "dangling");
	put_link("../../../host", "dangling-up");
	put_link("made", "dangling-file");
	put_link("dangling", "dangling-chain");
	put_link("sub", "d/rel");
	put_link("loop", "loop");
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct err e = { 0 };
		auto_close int fd = path_make_in_root(root, t[i].path, t[i].is_dir, 0700, &e);

		print_message("# '%s' -> %d %s\n", t[i].path, fd, e.text);
		assert_int_equal(fd < 0 ? fd : 0, t[i].rc);
		if (fd >= 0)
			assert_true(same(fd, t[i].want));
		else
			assert_string_equal(e.text, t[i].want);
		assert_true(host_is_empty());
	}
}

static void test_make_gives_the_mode_to_the_last_component_only(void **state)
{
	auto_close int fd = path_make_in_root(root, "/p/q", true, 0700, NULL);
	struct stat st;

	(void)state;
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(fstatat(root, "p", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0755);
}

static void test_make_refuses_names_and_paths_that_are_too_long(void **state)
{
	char name[300], path[5000];

	(void)state;
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(path_make_in_root(root, name, true, 0755, NULL), -ENAMETOOLONG);
	memset(path, '/', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(path_make_in_root(root, path, true, 0755, NULL), -ENAMETOOLONG);
	put_link("deep/deep", "l0"); /* a chain that grows on the way */
	for (int i = 1; i < 60; i++) {
		char at[8], to[32];

		snprintf(at, sizeof(at), "l%d", i);
		snprintf(to, sizeof(to), "l%d/x", i - 1);
		put_link(to, at);
	}
	assert_int_equal(path_make_in_root(root, "l59", true, 0755, NULL), -ELOOP);
	assert_true(host_is_empty());
}

static void test_parent_splits_off_the_last_component(void **state)
{
	static const struct {
		const char *path;
		bool make;
		int rc;
		const char *dir, *name;
	} t[] = {
		{ "/d/f", false, 0, "root/d", "f" },      { "d/f/", false, 0, "root/d", "f" },
		{ "f", false, 0, "root", "f" },           { "/abs/f", false, 0, "root/d", "f" },
		{ "../../f", false, 0, "root", "f" },     { "/none/f", false, -ENOENT, NULL, NULL },
		{ "/none/f", true, 0, "root/none", "f" }, { "/", false, -EINVAL, NULL, NULL },
		{ "", false, -EINVAL, NULL, NULL },       { "/d/..", false, -EINVAL, NULL, NULL },
		{ "/d/.", false, -EINVAL, NULL, NULL },
	};

	(void)state;
	put_dir("d");
	put_link("/d", "abs");
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		auto_free char *name = NULL;
		auto_close int fd = path_parent_in_root(root, t[i].path, t[i].make, &name);

		print_message("# '%s'\n", t[i].path);
		assert_int_equal(fd < 0 ? fd : 0, t[i].rc);
		if (fd < 0) {
			assert_null(name);
			continue;
		}
		assert_true(same(fd, t[i].dir));
		assert_string_equal(name, t[i].name);
	}
}

static void test_reopen_gives_a_real_descriptor(void **state)
{
	auto_close int fd = -1;
	auto_close int real = -1;
	char c;

	(void)state;
	put_file("f");
	fd = path_open_in_root(root, "f", O_PATH, 0);
	assert_int_equal(read(fd, &c, 1), -1);
	real = path_reopen(fd, O_RDWR);
	assert_int_equal(write(real, "x", 1), 1);
	assert_true(same(real, "root/f"));
}

/* child() - a fork that does not outlive us. */
static pid_t child(void)
{
	pid_t pid = fork();

	if (pid == 0)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

/* swap() - in a process of its own: "a", a directory, and "b", a link out, change places as fast as they can. */
static pid_t swap(void)
{
	pid_t pid = child();

	if (pid == 0)
		for (;;)
			renameat2(root, "a", root, "b", RENAME_EXCHANGE);
	return pid;
}

static void test_make_stays_inside_while_a_link_is_swapped_in(void **state)
{
	int made = 0, refused = 0;
	char path[32];
	pid_t pid;

	(void)state;
	put_dir("a");
	put_link("../../../host", "b"); /* in the root this is "/host" */
	pid = swap();
	assert_true(pid > 0);
	for (int i = 0; i < 1000; i++) {
		auto_close int fd = -1;

		snprintf(path, sizeof(path), "/a/%d/x", i);
		fd = path_make_in_root(root, path, true, 0755, NULL);
		made += fd >= 0;
		refused += fd < 0;
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	print_message("# made %d, refused %d\n", made, refused);
	assert_true(made > 0);
	assert_true(host_is_empty());
}

static void test_open_stays_inside_while_its_directory_is_moved_out(void **state)
{
	auto_close int secret = openat(top, "host/secret", O_WRONLY | O_CREAT, 0600);
	pid_t pid;

	(void)state;
	put_dir("d");
	put_dir("d/e");
	pid = child();
	if (pid == 0) /* what ".." means changes under whoever is inside "e" */
		for (;;) {
			renameat2(root, "d/e", top, "host/e", 0);
			renameat2(top, "host/e", root, "d/e", 0);
		}
	assert_true(pid > 0);
	for (int i = 0; i < 5000; i++) {
		int fd = path_open_in_root(root, "/d/e/../secret", O_PATH, 0);

		if (fd >= 0)
			i = INT32_MAX - 1;
		fd_close(&fd);
		assert_int_not_equal(i, INT32_MAX - 1);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_open_resolves_every_link_inside_the_root),
		T(test_open_refuses_loops_and_magic_links),
		T(test_open_closes_on_exec),
		T(test_make_makes_what_is_missing_and_nothing_outside),
		T(test_make_gives_the_mode_to_the_last_component_only),
		T(test_make_refuses_names_and_paths_that_are_too_long),
		T(test_parent_splits_off_the_last_component),
		T(test_reopen_gives_a_real_descriptor),
		T(test_make_stays_inside_while_a_link_is_swapped_in),
		T(test_open_stays_inside_while_its_directory_is_moved_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
