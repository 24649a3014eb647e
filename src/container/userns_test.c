/* SPDX-License-Identifier: Apache-2.0 */
#include "container/userns.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bug.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "sys/call.h"
#include "sys/file.h"
#include "sys/ns.h"

static pid_t pid;

/* setup() - a child in a new user namespace that waits to be mapped. */
static int setup(void **state)
{
	(void)state;
	pid = ns_clone(CLONE_NEWUSER, -1, NULL);
	if (pid == 0) {
		pause();
		_exit(0);
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	sys_call = sys_call_real;
	if (pid > 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	return 0;
}

static void need(bool root)
{
	if (pid < 0 || (root && geteuid() != 0)) {
		print_message("# skipped: wants %s\n", root ? "root" : "user namespaces");
		skip();
	}
}

/* map() - the file of the child, its runs of spaces made one. */
static const char *map(const char *file)
{
	static char text[512];
	auto_fini(buf) struct buf b = { 0 };
	char path[64], *to = text;

	str_format(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	assert_int_equal(file_slurp_at(AT_FDCWD, path, &b, sizeof(text) - 1), 0);
	for (const char *s = buf_str(&b); *s; s++)
		if (*s != ' ' || (to > text && to[-1] != ' ' && to[-1] != '\n'))
			*to++ = *s;
	*to = '\0';
	return text;
}

static void test_root_writes_both_maps_as_given(void **state)
{
	struct oci_idmap uid[] = { { 0, 100000, 1000 }, { 1000, 0, 1 } }, gid[] = { { 0, 200000, 10 } };
	const struct oci_idmaps uids = { uid, 2 }, gids = { gid, 1 };
	struct err e = { 0 };

	(void)state;
	need(true);
	assert_int_equal(userns_map(pid, &uids, &gids, false, &e), 0);
	assert_string_equal(map("uid_map"), "0 100000 1000\n1000 0 1\n");
	assert_string_equal(map("gid_map"), "0 200000 10\n");
	assert_string_equal(map("setgroups"), "allow\n");
	assert_int_equal(userns_map(pid, &uids, &gids, false, &e), -EPERM); /* once and for all */
	assert_string_equal(e.text, "linux.uidMappings: uid_map: Operation not permitted");
}

static void test_a_map_the_kernel_refuses_is_named(void **state)
{
	struct oci_idmap good[] = { { 0, 100000, 10 } },
			 overlapping[] = { { 0, 100000, 10 }, { 5, 200000, 10 } };
	const struct oci_idmaps g = { good, 1 }, bad = { overlapping, 2 }, none = { NULL, 0 };
	struct err e = { 0 };

	(void)state;
	need(true);
	assert_int_equal(userns_map(pid, &bad, &g, false, &e), -EINVAL);
	assert_string_equal(e.text, "linux.uidMappings: uid_map: Invalid argument");
	assert_int_equal(userns_map(pid, &g, &bad, false, &e), -EINVAL);
	assert_true(str_starts(e.text, "linux.gidMappings: gid_map: "));
	assert_true(userns_map(0x7fffffff, &g, &g, false, &e) < 0);
	assert_true(userns_map(pid, &none, &none, false, &e) < 0);
}

static void test_ones_own_single_id_needs_no_helper(void **state)
{
	struct oci_idmap uid[] = { { 0, geteuid(), 1 } }, gid[] = { { 0, getegid(), 1 } };
	const struct oci_idmaps uids = { uid, 1 }, gids = { gid, 1 };
	char want[32];

	(void)state;
	need(false);
	setenv("PATH", "/nonexistent", 1);
	assert_int_equal(userns_map(pid, &uids, &gids, true, NULL), 0);
	str_format(want, sizeof(want), "0 %u 1\n", geteuid());
	assert_string_equal(map("uid_map"), want);
	assert_string_equal(map("setgroups"), "deny\n");
}

/* with_helpers() - newuidmap and newgidmap that write down what they are asked, and end with @code. */
static void with_helpers(char *dir, int code)
{
	static const char *const name[] = { "newuidmap", "newgidmap" };

	assert_non_null(mkdtemp(dir));
	for (int i = 0; i < 2; i++) {
		auto_free char *path = str_printf("%s/%s", dir, name[i]);
		auto_free char *text =
			str_printf("#!/bin/sh\necho \"${0##*/} $*\" >>%s/asked\nexit %d\n", dir, code);
		auto_close int fd = open(path, O_WRONLY | O_CREAT, 0755);

		assert_int_equal(file_write(fd, text, strlen(text)), 0);
	}
	setenv("PATH", dir, 1);
}

static void test_a_range_is_asked_of_the_helpers(void **state)
{
	struct oci_idmap uid[] = { { 0, 1000, 1 }, { 1, 100000, 65536 } }, gid[] = { { 0, 200000, 10 } };
	const struct oci_idmaps uids = { uid, 2 }, gids = { gid, 1 };
	auto_fini(buf) struct buf asked = { 0 };
	auto_free char *want =
		str_printf("newuidmap %d 0 1000 1 1 100000 65536\nnewgidmap %d 0 200000 10\n", pid, pid);
	char dir[] = "/tmp/hull-test-userns.XXXXXX", path[64];

	(void)state;
	need(false);
	with_helpers(dir, 0);
	assert_int_equal(userns_map(pid, &uids, &gids, true, NULL), 0);
	str_format(path, sizeof(path), "%s/asked", dir);
	assert_int_equal(file_slurp_at(AT_FDCWD, path, &asked, 4096), 0);
	assert_string_equal(buf_str(&asked), want);
	assert_string_equal(map("setgroups"), "allow\n"); /* the helper's business */
	assert_int_equal(file_remove_tree(AT_FDCWD, dir, NULL), 0);
}

static void test_a_helper_that_refuses_or_is_not_there_is_named(void **state)
{
	struct oci_idmap id[] = { { 0, 100000, 10 } };
	const struct oci_idmaps ids = { id, 1 };
	char dir[] = "/tmp/hull-test-userns.XXXXXX";
	struct err e = { 0 };

	(void)state;
	need(false);
	with_helpers(dir, 1);
	assert_int_equal(userns_map(pid, &ids, &ids, true, &e), -EPERM);
	assert_string_equal(
		e.text, "linux.uidMappings: newuidmap refused the mapping; see /etc/subuid and /etc/subgid");
	assert_int_equal(file_remove_tree(AT_FDCWD, dir, NULL), 0);
	assert_int_equal(userns_map(pid, &ids, &ids, true, &e), -ENOENT);
	assert_string_equal(e.text, "linux.uidMappings: newuidmap: not found; install the package uidmap");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_root_writes_both_maps_as_given),
		T(test_a_map_the_kernel_refuses_is_named),
		T(test_ones_own_single_id_needs_no_helper),
		T(test_a_range_is_asked_of_the_helpers),
		T(test_a_helper_that_refuses_or_is_not_there_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
