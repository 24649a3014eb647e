/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bug.h"
#include "base/str.h"
#include "runtime/subid.h"
#include "sys/file.h"

static char path[] = "/tmp/hull-subid-test.XXXXXX";

static int make_file(void **state)
{
	int fd = mkstemp(path);

	(void)state;
	return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
	(void)state;
	return unlink(path);
}

static void put(const char *text)
{
	assert_int_equal(file_replace(AT_FDCWD, path, text, strlen(text), 0600, false, NULL), 0);
}

static void test_subid_ranges_follow_one_another_from_id_1(void **state)
{
	static const struct {
		const char *text, *want;
	} table[] = {
		{ "", "0=1001+1" },
		{ "me:100000:65536\n", "0=1001+1 1=100000+65536" },
		{ "me:100000:65536", "0=1001+1 1=100000+65536" },
		{ "1001:5:6\n", "0=1001+1 1=5+6" },
		{ "you:1:2\nme:100:10\nyou:3:4\n1001:500:20\n", "0=1001+1 1=100+10 11=500+20" },
		{ "# me\n\nme\nme:\nme:5\nme:x:y\nme:7:0\nmeme:1:1\nm:1:1\n", "0=1001+1" },
		{ "me:4294967290:10\nme:10:4294967295\nme:20:5\n", "0=1001+1 1=20+5" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct subid_map map;
		char got[256] = "";

		put(table[i].text);
		subid_map(&map, path, "me", 1001, 1001);
		for (size_t k = 0; k < map.list.n; k++) {
			const struct oci_idmap *m = &map.list.v[k];
			size_t at = strlen(got);

			str_format(got + at, sizeof(got) - at, "%s%u=%u+%u", k ? " " : "", m->container_id,
				   m->host_id, m->size);
		}
		assert_string_equal(got, table[i].want);
	}
}

static void test_subid_takes_no_line_for_a_user_without_a_name(void **state)
{
	struct subid_map map;

	(void)state;
	put(":100:10\n");
	subid_map(&map, path, "", 1001, 1001);
	assert_int_equal(map.list.n, 1);
}

static void test_subid_uses_no_more_ranges_than_it_has_room_for(void **state)
{
	char text[64 * 16] = "";
	struct subid_map map;

	(void)state;
	for (int i = 0; i < 64; i++)
		str_format(text + strlen(text), sizeof(text) - strlen(text), "me:%d:1\n", 100 + i);
	put(text);
	subid_map(&map, path, "me", 1001, 1001);
	assert_int_equal(map.list.n, 1 + SUBID_RANGES_MAX);
}

static void test_subid_needs_no_file(void **state)
{
	struct subid_map map;
	char name[16] = "x";

	(void)state;
	subid_map(&map, "/nonexistent/subuid", "me", 1001, 1001);
	assert_int_equal(map.list.n, 1);
	subid_name("/nonexistent/passwd", 1001, name, sizeof(name));
	assert_string_equal(name, "");
}

static void test_subid_finds_the_name_of_a_number(void **state)
{
	char name[16];

	(void)state;
	put("root:x:0:0:root:/root:/bin/sh\nbad\na:b\nme:x:1001:7:,,,:/home/me:/bin/sh\n");
	subid_name(path, 1001, name, sizeof(name));
	assert_string_equal(name, "me");
	subid_name(path, 7, name, sizeof(name));
	assert_string_equal(name, "");
}

static void test_a_private_directory_is_nobody_elses(void **state)
{
	char dir[] = "/tmp/hull-private-test.XXXXXX", below[64], link[64];

	(void)state;
	assert_non_null(mkdtemp(dir));
	str_format(below, sizeof(below), "%s/d", dir);
	str_format(link, sizeof(link), "%s/l", dir);
	assert_int_equal(file_mkdir_private(below), 0);
	assert_int_equal(file_mkdir_private(below), 0);
	assert_int_equal(chmod(below, 0770), 0);
	assert_int_equal(file_mkdir_private(below), -EPERM);
	assert_int_equal(chmod(below, 0700), 0);
	assert_int_equal(symlink(below, link), 0);
	assert_int_equal(file_mkdir_private(link), -EPERM);
	if (geteuid() == 0) {
		assert_int_equal(chown(below, 65534, 65534), 0);
		assert_int_equal(file_mkdir_private(below), -EPERM);
	}
	assert_int_equal(file_remove_tree(AT_FDCWD, dir, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_subid_ranges_follow_one_another_from_id_1),
		cmocka_unit_test(test_subid_takes_no_line_for_a_user_without_a_name),
		cmocka_unit_test(test_subid_uses_no_more_ranges_than_it_has_room_for),
		cmocka_unit_test(test_subid_needs_no_file),
		cmocka_unit_test(test_subid_finds_the_name_of_a_number),
		cmocka_unit_test(test_a_private_directory_is_nobody_elses),
	};

	return cmocka_run_group_tests(tests, make_file, remove_file);
}
