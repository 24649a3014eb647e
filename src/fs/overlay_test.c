/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/overlay.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "fs/overlay_internal.h"
#include "sys/file.h"

static char dir[] = "/tmp/hull-overlay-XXXXXX";

#define NEED_ROOT()                                                                                          \
	do {                                                                                                 \
		if (geteuid() != 0) {                                                                        \
			print_message("needs root to mount\n");                                              \
			skip();                                                                              \
		}                                                                                            \
	} while (0)

static char *in_dir(const char *name)
{
	return str_printf("%s/%s", dir, name);
}

static void put(const char *name, const char *text)
{
	auto_free char *path = in_dir(name);
	auto_close int fd = file_open(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(file_write(fd, text, strlen(text)), 0);
}

static void make_dir(const char *name)
{
	auto_free char *path = in_dir(name);

	assert_int_equal(mkdir(path, 0755), 0);
}

static void assert_holds(int root, const char *name, const char *want)
{
	char got[64] = "";
	auto_close int fd = openat(root, name, O_RDONLY | O_CLOEXEC);

	if (!want) {
		assert_int_equal(fd, -1);
		return;
	}
	assert_true(fd >= 0);
	assert_true(file_read(fd, got, sizeof(got) - 1) >= 0);
	assert_string_equal(got, want);
}

static size_t count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	size_t n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static int make_layers(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	make_dir("one");
	make_dir("two");
	make_dir("upper");
	make_dir("work");
	make_dir("upper2");
	make_dir("work2");
	put("one/a", "one a");
	put("one/b", "one b");
	put("two/b", "two b");
	put("damaged.erofs", "this is no EROFS image");
	return 0;
}

static int remove_layers(void **state)
{
	(void)state;
	return file_remove_tree(AT_FDCWD, dir, NULL);
}

/* make_image() - directory "one" as an EROFS image, by Debian's tool. */
static bool make_image(void)
{
	auto_free char *cmd = str_printf("mkfs.erofs %s/one.erofs %s/one >/dev/null 2>&1", dir, dir);

	return system(cmd) == 0;
}

/* check() - mount two layers with an upper in the way that @ways leaves, and look. */
static void check(enum overlay_way ways, const char *bottom, bool upper)
{
	auto_free char *one = in_dir(bottom), *two = in_dir("two"), *up = in_dir("upper"),
		       *work = in_dir("work");
	char *lower[] = { two, one };
	struct overlay o = { .lower = lower,
			     .n_lower = 2,
			     .upper = upper ? up : NULL,
			     .work = upper ? work : NULL,
			     .discard = true };
	size_t before = count_fds();
	struct err e = { 0 };
	int root, made;

	overlay__ways = ways;
	root = overlay_open(&o, &e);
	overlay__ways = OVERLAY_ANY;
	if (root < 0)
		print_error("ways %d: %s\n", ways, e.text);
	assert_true(root >= 0);
	assert_int_equal(count_fds(), before + 1);
	assert_holds(root, "a", "one a");
	assert_holds(root, "b", "two b");
	assert_holds(root, "c", NULL);
	made = openat(root, "c", O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	assert_int_equal(made >= 0, upper);
	if (upper) {
		assert_int_equal(unlinkat(root, "c", 0), 0);
		close(made);
	}
	close(root);
}

static void test_overlay_of_directories_shows_the_topmost_file(void **state)
{
	(void)state;
	NEED_ROOT();
	check(OVERLAY_ANY, "one", true);
	check(OVERLAY_ANY, "one", false);
}

static void test_overlay_takes_erofs_images(void **state)
{
	(void)state;
	NEED_ROOT();
	if (!make_image()) {
		print_message("needs mkfs.erofs\n");
		skip();
	}
	check(OVERLAY_ANY, "one.erofs", true);
	check(OVERLAY_ANY, "one.erofs", false);
}

static void test_overlay_falls_back_on_older_kernels_ways(void **state)
{
	static const enum overlay_way ways[] = { OVERLAY_LOWERDIR_ADD | OVERLAY_FILE_BACKED,
						 OVERLAY_FILE_BACKED };

	(void)state;
	NEED_ROOT();
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		check(ways[i], "one", true);
		check(ways[i], "one", false);
		if (make_image())
			check(ways[i], "one.erofs", true);
	}
}

static void test_overlay_mounts_images_by_loop_device(void **state)
{
	(void)state;
	NEED_ROOT();
	if (access("/dev/loop-control", R_OK | W_OK) != 0 || !make_image()) {
		print_message("needs loop devices and mkfs.erofs\n");
		skip();
	}
	check(OVERLAY_BY_FD, "one.erofs", true);
}

static void test_overlay_of_no_layers_is_an_empty_root(void **state)
{
	auto_free char *up = in_dir("upper2"), *work = in_dir("work2");
	struct overlay o = { .upper = up, .work = work };
	struct err e = { 0 };
	auto_close int root = -1;
	auto_close int readonly = -1;

	(void)state;
	NEED_ROOT();
	root = overlay_open(&o, &e);
	if (root < 0)
		print_error("%s\n", e.text);
	assert_true(root >= 0);
	assert_holds(root, "a", NULL);
	o.upper = o.work = NULL;
	readonly = overlay_open(&o, &e);
	assert_true(readonly >= 0);
}

static void test_overlay_names_the_layer_it_cannot_open(void **state)
{
	auto_free char *missing = in_dir("missing"), *damaged = in_dir("damaged.erofs"), *one = in_dir("one");
	char *lower[2] = { one };
	struct overlay o = { .lower = lower, .n_lower = 2 };
	size_t before = count_fds();
	struct err e = { 0 };

	(void)state;
	NEED_ROOT();
	lower[1] = missing;
	assert_int_equal(overlay_open(&o, &e), -ENOENT);
	assert_non_null(strstr(e.text, missing));
	lower[1] = damaged;
	assert_true(overlay_open(&o, &e) < 0);
	assert_non_null(strstr(e.text, damaged));
	assert_int_equal(count_fds(), before);
}

static void test_overlay_refuses_to_trust_an_upper_once_used_volatile(void **state)
{
	auto_free char *up = in_dir("upper"), *work = in_dir("work");
	struct overlay o = { .upper = up, .work = work };
	struct err e = { 0 };

	(void)state;
	NEED_ROOT();
	check(OVERLAY_ANY, "one", true);
	assert_int_equal(overlay_open(&o, &e), -EUCLEAN);
	assert_non_null(strstr(e.text, "volatile"));
	check(OVERLAY_ANY, "one", true); /* who discards it may go on */
}

static void test_overlay_gives_its_lowers_to_who_asks_for_them(void **state)
{
	auto_free char *one = in_dir("one"), *two = in_dir("two"), *missing = in_dir("missing");
	char *lower[] = { two, one };
	int keep[2];
	struct overlay o = { .lower = lower, .n_lower = 2, .keep = keep };
	size_t before = count_fds();
	struct err e = { 0 };
	int root;

	(void)state;
	NEED_ROOT();
	root = overlay_open(&o, &e);
	assert_true(root >= 0);
	close(root);
	if (keep[0] >= 0) { /* an older kernel's way has none to give */
		assert_holds(keep[0], "a", NULL);
		assert_holds(keep[1], "a", "one a");
		close(keep[0]);
		close(keep[1]);
	}
	assert_int_equal(count_fds(), before);
	lower[1] = missing;
	keep[0] = keep[1] = 0;
	assert_true(overlay_open(&o, &e) < 0);
	assert_int_equal(keep[0], -1);
	assert_int_equal(keep[1], -1);
	assert_int_equal(count_fds(), before);
}

static void test_overlay_leaves_no_mount_on_the_host(void **state)
{
	auto_free char *grep = str_printf("grep -qF %s /proc/self/mountinfo", dir);

	(void)state;
	NEED_ROOT();
	check(OVERLAY_ANY, "one", true);
	check(OVERLAY_LOWERDIR_ADD, "one", true);
	assert_int_not_equal(system(grep), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_overlay_of_directories_shows_the_topmost_file),
		cmocka_unit_test(test_overlay_takes_erofs_images),
		cmocka_unit_test(test_overlay_falls_back_on_older_kernels_ways),
		cmocka_unit_test(test_overlay_mounts_images_by_loop_device),
		cmocka_unit_test(test_overlay_of_no_layers_is_an_empty_root),
		cmocka_unit_test(test_overlay_names_the_layer_it_cannot_open),
		cmocka_unit_test(test_overlay_refuses_to_trust_an_upper_once_used_volatile),
		cmocka_unit_test(test_overlay_gives_its_lowers_to_who_asks_for_them),
		cmocka_unit_test(test_overlay_leaves_no_mount_on_the_host),
	};

	return cmocka_run_group_tests(tests, make_layers, remove_layers);
}
