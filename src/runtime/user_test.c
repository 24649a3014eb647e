/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/user.h"

#include <errno.h>
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
#include "base/str.h"
#include "sys/file.h"

static char dir[] = "/tmp/hull-user-test-XXXXXX";
static int root;

static void put(const char *path, const char *text)
{
	unlinkat(root, path, 0);
	assert_int_equal(file_replace(root, path, text, strlen(text), 0644, false, NULL), 0);
}

static int setup(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	mkdirat(root, "etc", 0755);
	put("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n# "
			  "no:x:1:1::/:\nshort:x\nbad:x:1x:1::/:\nann:x:1000:100:Ann:/home/ann:/bin/sh\n"
			  "noslash:x:7:7::home:\nlast:x:8:9:l:/l:/bin/sh");
	put("etc/group",
	    "root:x:0:\nusers:x:100:ann\nwheel:x:10:root,ann\nannex:x:11:annx,xann\nwide:x:12:x,ann,y\n");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	close(root);
	return file_remove_tree(AT_FDCWD, dir, NULL);
}

static void test_user_is_found_as_docker_finds_it(void **state)
{
	static const struct {
		const char *text;
		int rc;
		uint32_t uid, gid;
		size_t n_groups;
		const char *home;
	} row[] = {
		{ "", 0, 0, 0, 1, "/root" },
		{ "root", 0, 0, 0, 1, "/root" },
		{ "ann", 0, 1000, 100, 3, "/home/ann" },
		{ "1000", 0, 1000, 100, 3, "/home/ann" },
		{ "ann:wheel", 0, 1000, 10, 0, "/home/ann" },
		{ "ann:77", 0, 1000, 77, 0, "/home/ann" },
		{ "4242", 0, 4242, 0, 0, "/" },
		{ "4242:users", 0, 4242, 100, 0, "/" },
		{ "noslash", 0, 7, 7, 0, "/" },
		{ "last", 0, 8, 9, 0, "/l" },
		{ "2147483647", 0, 2147483647, 0, 0, "/" },
		{ "2147483648", -EINVAL, 0, 0, 0, NULL },
		{ "99999999999999999999", -EINVAL, 0, 0, 0, NULL },
		{ "-1", -ENOENT, 0, 0, 0, NULL },
		{ "bad", -ENOENT, 0, 0, 0, NULL },
		{ "short", -ENOENT, 0, 0, 0, NULL },
		{ "no", -ENOENT, 0, 0, 0, NULL },
		{ "ann:nogroup", -ENOENT, 0, 0, 0, NULL },
		{ "ann:", -EINVAL, 0, 0, 0, NULL },
		{ "ann:1:2", -EINVAL, 0, 0, 0, NULL },
		{ " 0", -ENOENT, 0, 0, 0, NULL },
		{ "0x0", -ENOENT, 0, 0, 0, NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct user u = { 0 };
		struct err e = { 0 };
		int r = user_find(root, row[i].text, NULL, 0, &u, &e);

		if (r != row[i].rc ||
		    (r == 0 && (u.uid != row[i].uid || u.gid != row[i].gid || u.n_groups != row[i].n_groups ||
				!str_eq(u.home, row[i].home))))
			fail_msg("'%s': got %d %u:%u %zu '%s' (%s)", row[i].text, r, u.uid, u.gid, u.n_groups,
				 u.home ? u.home : "", e.text);
		user_fini(&u);
	}
}

static void test_user_takes_further_groups_by_name_and_number(void **state)
{
	char *extra[] = { "wheel", "55" }, *unknown[] = { "nogroup" };
	struct user u = { 0 };

	(void)state;
	assert_int_equal(user_find(root, "4242", extra, 2, &u, NULL), 0);
	assert_int_equal(u.n_groups, 2);
	assert_int_equal(u.groups[0], 10);
	assert_int_equal(u.groups[1], 55);
	user_fini(&u);
	assert_int_equal(user_find(root, "4242", unknown, 1, &u, NULL), -ENOENT);
}

static void test_user_reads_only_plain_small_files_of_the_image(void **state)
{
	struct user u = { 0 };

	(void)state;
	assert_int_equal(renameat(root, "etc/passwd", root, "etc/keep"), 0);
	assert_int_equal(symlinkat("/etc/keep", root, "etc/passwd"), 0);
	assert_int_equal(user_find(root, "ann", NULL, 0, &u, NULL), -ENOTSUP);
	unlinkat(root, "etc/passwd", 0);
	assert_int_equal(mkfifoat(root, "etc/passwd", 0600), 0);
	assert_int_equal(user_find(root, "ann", NULL, 0, &u, NULL), -ENOTSUP);
	assert_int_equal(user_find(root, "1000", NULL, 0, &u, NULL), -ENOTSUP);
	unlinkat(root, "etc/passwd", 0);
	close(openat(root, "etc/passwd", O_WRONLY | O_CREAT, 0600));
	{
		int fd = openat(root, "etc/passwd", O_WRONLY);

		assert_int_equal(ftruncate(fd, USER_FILE_MAX + 1), 0);
		close(fd);
	}
	assert_int_equal(user_find(root, "ann", NULL, 0, &u, NULL), -EFBIG);
	unlinkat(root, "etc/passwd", 0);
	assert_int_equal(user_find(root, "ann", NULL, 0, &u, NULL), -ENOENT); /* names need an entry, */
	assert_int_equal(user_find(root, "5", NULL, 0, &u, NULL), 0);         /* numbers do not */
	user_fini(&u);
	assert_int_equal(renameat(root, "etc/keep", root, "etc/passwd"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_user_is_found_as_docker_finds_it),
		cmocka_unit_test(test_user_takes_further_groups_by_name_and_number),
		cmocka_unit_test(test_user_reads_only_plain_small_files_of_the_image),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
