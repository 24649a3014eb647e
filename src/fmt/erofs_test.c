/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a whole tar becomes is tested in store/layer_test.c; here the writer alone: order, limits, size,
 * memory.
 */
#include "fmt/erofs.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/mount.h>

#include <cmocka.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"

static const uint8_t uuid[16] = { 1, 2, 3 };

struct image {
	char path[40];
	int fd;
	uint64_t bytes;
	struct erofs *w;
};

/* Blocks of zeros stay holes, so that large images cost neither disk nor time. */
static int write_sparse(void *arg, const void *bytes, size_t len, uint64_t at, struct err *e)
{
	const struct image *im = arg;
	const char *p = bytes;

	if (len >= EROFS_BLOCK && p[0] == 0 && memcmp(p, p + 1, len - 1) == 0)
		return 0;
	return pwrite(im->fd, bytes, len, (off_t)at) == (ssize_t)len ? 0 : err_sys(e, EIO, "pwrite");
}

/* A test that fails or skips runs no guards: what the last one made goes when the program does. */
static char last_path[sizeof(((struct image *)0)->path)];

static void remove_last(void)
{
	unlink(last_path);
}

static void image_new(struct image *im)
{
	if (last_path[0])
		remove_last();
	else
		atexit(remove_last);
	strcpy(im->path, "/tmp/hull-erofs-test-XXXXXX");
	im->fd = mkstemp(im->path);
	assert_true(im->fd >= 0);
	strcpy(last_path, im->path);
	im->w = erofs_new(&(struct erofs_out){ write_sparse, im });
	assert_non_null(im->w);
}

static void image_fini(struct image *im)
{
	erofs_free(im->w);
	fd_close(&im->fd);
	unlink(im->path);
}

static void finish(struct image *im)
{
	auto_free char *cmd = str_printf("fsck.erofs %s >/dev/null 2>&1", im->path);
	struct err e = { 0 };

	if (erofs_finish(im->w, uuid, &im->bytes, &e) < 0)
		fail_msg("erofs_finish: %s", e.text);
	assert_int_equal(im->bytes % EROFS_BLOCK, 0);
	assert_int_equal(ftruncate(im->fd, (off_t)im->bytes), 0);
	if (system("command -v fsck.erofs >/dev/null") == 0)
		assert_int_equal(system(cmd), 0);
	else
		printf("no fsck.erofs here: not checked\n");
}

/* mount_it() - Return: fd of the detached mount; skips the test where there is none to be had */
static int mount_it(const struct image *im)
{
	int fs = geteuid() == 0 ? (int)syscall(SYS_fsopen, "erofs", FSOPEN_CLOEXEC) : -1, m;

	if (fs < 0) {
		printf("skipped: not root, or no EROFS in this kernel\n");
		skip();
	}
	assert_int_equal(syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "source", im->path, 0), 0);
	assert_int_equal(syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0), 0);
	m = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, 0);
	assert_true(m >= 0);
	close(fs);
	return m;
}

static const struct erofs_attr plain = { .mode = 0640, .uid = 7, .gid = 8, .mtime_s = 99 };

static void add_text(struct image *im, const char *path, const char *text)
{
	assert_int_equal(erofs_add_file(im->w, path, &plain, strlen(text), NULL), 0);
	if (*text)
		assert_int_equal(erofs_write(im->w, text, strlen(text), NULL), 0);
}

static void assert_text(int m, const char *path, const char *want)
{
	auto_close int fd = openat(m, path, O_RDONLY | O_CLOEXEC);
	char got[64] = "";

	if (fd < 0 || read(fd, got, sizeof(got) - 1) < 0 || !str_eq(got, want))
		fail_msg("'%s': want \"%s\", got \"%s\"", path, want, got);
}

static unsigned long links(int m, const char *path)
{
	struct stat st;

	return fstatat(m, path, &st, AT_SYMLINK_NOFOLLOW) < 0 ? 0 : st.st_nlink;
}

static void test_erofs_keeps_what_came_last_under_a_name(void **state)
{
	auto_fini(image) struct image im;
	auto_close int m = -1;
	struct stat st;

	(void)state;
	image_new(&im);
	add_text(&im, "file", "old");
	add_text(&im, "file", "new");
	assert_int_equal(erofs_add_link(im.w, "link", "file", NULL), 0);
	assert_int_equal(erofs_add_link(im.w, "link", "file", NULL), 0); /* no third link */
	add_text(&im, "dir/sub/inner", "x");
	assert_int_equal(erofs_add_link(im.w, "dir/sub/link", "file", NULL), 0);
	add_text(&im, "dir", "a file where a directory was");
	add_text(&im, "tree/kept", "kept");
	assert_int_equal(erofs_add_dir(im.w, "tree", &plain, NULL), 0);
	assert_int_equal(erofs_add_symlink(im.w, "alias", &plain, "/tree", NULL), 0);
	add_text(&im, "alias/through", "in the tree");
	assert_int_equal(erofs_add_dir(im.w, "", &(struct erofs_attr){ .mode = 01711, .uid = 70000 }, NULL),
			 0);
	finish(&im);
	m = mount_it(&im);
	assert_text(m, "file", "new");
	assert_text(m, "dir", "a file where a directory was");
	assert_text(m, "tree/kept", "kept");
	assert_text(m, "tree/through", "in the tree");
	assert_int_equal(links(m, "file"), 2);
	assert_int_equal(links(m, "tree"), 2);
	assert_int_equal(fstat(m, &st), 0);
	assert_int_equal(st.st_mode, S_IFDIR | 01711);
	assert_int_equal(st.st_uid, 70000);
	assert_int_equal(st.st_nlink, 3);
}

static void test_erofs_finds_every_name_of_a_large_directory(void **state)
{
	enum { COUNT = 20000 };
	auto_fini(image) struct image im;
	auto_close int m = -1;
	struct stat st;
	char name[64];

	(void)state;
	image_new(&im);
	for (unsigned i = 0; i < COUNT; i++) {
		snprintf(name, sizeof(name), "d/%u-%.*s", i * 2654435761U, (int)(i % 30),
			 "!-.abcdefghijklmnopqrstuvwxyz~");
		add_text(&im, name, i % 3 ? name : "");
	}
	finish(&im);
	m = mount_it(&im);
	for (unsigned i = 0; i < COUNT; i++) {
		snprintf(name, sizeof(name), "d/%u-%.*s", i * 2654435761U, (int)(i % 30),
			 "!-.abcdefghijklmnopqrstuvwxyz~");
		if (fstatat(m, name, &st, 0) < 0)
			fail_msg("'%s' is not found", name);
		assert_int_equal(st.st_size, i % 3 ? (int)strlen(name) : 0);
	}
	assert_int_equal(fstatat(m, "d/none", &st, 0), -1);
}

static void test_erofs_holds_more_than_4_gib(void **state)
{
	const uint64_t size = (UINT64_C(5) << 30) + 17;
	auto_fini(image) struct image im;
	auto_close int m = -1, fd = -1;
	char got[8] = "";
	struct stat st;

	(void)state;
	image_new(&im);
	assert_int_equal(erofs_add_file(im.w, "large", &plain, size, NULL), 0);
	assert_int_equal(erofs_write(im.w, "head", 4, NULL), 0);
	assert_int_equal(erofs_write(im.w, NULL, size - 8, NULL), 0);
	assert_int_equal(erofs_write(im.w, "tail", 4, NULL), 0);
	add_text(&im, "behind", "it");
	assert_int_equal(erofs_add_link(im.w, "dir/hard", "behind", NULL), 0);
	finish(&im);
	assert_true(im.bytes > size);
	m = mount_it(&im);
	fd = openat(m, "large", O_RDONLY | O_CLOEXEC);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, size);
	assert_int_equal(pread(fd, got, 4, (off_t)size - 4), 4);
	assert_string_equal(got, "tail");
	assert_int_equal(pread(fd, got, 4, 0), 4);
	assert_string_equal(got, "head");
	assert_text(m, "dir/hard", "it");
	assert_int_equal(links(m, "behind"), 2);
}

static void test_erofs_content_of_every_length_comes_back(void **state)
{
	auto_fini(image) struct image im;
	auto_close int m = -1;
	char name[32], *data = malloc(20000), *got = malloc(20000);

	(void)state;
	for (int i = 0; i < 20000; i++)
		data[i] = (char)(i * 31 + i / 251);
	image_new(&im);
	for (unsigned len = 1; len < 12400; len += len < 3900 ? 97 : len < 4200 ? 1 : 701) {
		snprintf(name, sizeof(name), "%u", len);
		assert_int_equal(erofs_add_file(im.w, name, &plain, len, NULL), 0);
		for (unsigned at = 0, n; at < len; at += n) {
			n = len - at < 1000 ? len - at : 1000;
			assert_int_equal(erofs_write(im.w, data + at, n, NULL), 0);
		}
	}
	finish(&im);
	m = mount_it(&im);
	for (unsigned len = 1; len < 12400; len += len < 3900 ? 97 : len < 4200 ? 1 : 701) {
		auto_close int fd = -1;

		snprintf(name, sizeof(name), "%u", len);
		fd = openat(m, name, O_RDONLY | O_CLOEXEC);
		assert_int_equal(read(fd, got, 20000), len);
		assert_memory_equal(got, data, len);
	}
	free(data);
	free(got);
}

static void test_erofs_refuses_what_it_cannot_hold(void **state)
{
	auto_fini(image) struct image im;
	struct erofs_xattr many[EROFS_XATTRS_MAX + 1];
	struct erofs_attr a = plain;
	auto_free char *long_target = malloc(EROFS_BLOCK + 1), *deep = calloc(1, 3 * EROFS_DEPTH_MAX);
	struct err e = { 0 };

	(void)state;
	image_new(&im);
	for (size_t i = 0; i < ARRAY_SIZE(many); i++)
		many[i] = (struct erofs_xattr){ "user.x", "v", 1 };
	a.xattrs = many;
	a.n_xattrs = ARRAY_SIZE(many);
	assert_int_equal(erofs_add_dir(im.w, "d", &a, &e), -E2BIG);
	memset(long_target, 'x', EROFS_BLOCK);
	long_target[EROFS_BLOCK] = '\0';
	assert_int_equal(erofs_add_symlink(im.w, "l", &plain, long_target, &e), -EINVAL);
	assert_int_equal(erofs_add_file(im.w, "f", &plain, UINT64_C(1) << 44, &e), -EFBIG);
	assert_int_equal(erofs_add_node(im.w, "n", &plain, &e), -EINVAL); /* no type */
	assert_int_equal(erofs_add_link(im.w, "a", "missing", &e), -ENOENT);
	assert_int_equal(erofs_add_link(im.w, "a", "d", &e), -EPERM);
	assert_int_equal(erofs_write(im.w, "x", 1, &e), -EINVAL); /* no file is open */
	for (int i = 0; i <= EROFS_DEPTH_MAX; i++)
		strcpy(deep + 2 * i, "d/");
	strcat(deep, "f");
	assert_int_equal(erofs_add_symlink(im.w, deep, &plain, "x", &e), -E2BIG);
	assert_non_null(strstr(e.text, "deep"));
}

static void test_erofs_refuses_paths_that_are_not_clean(void **state)
{
	static const char *const bad[] = { "/a", "a/", "a//b", ".", "..", "a/./b", "a/../b", "../a" };
	auto_fini(image) struct image im;

	(void)state;
	image_new(&im);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (erofs_add_dir(im.w, bad[i], &plain, NULL) != -EINVAL)
			fail_msg("'%s' was taken", bad[i]);
	add_text(&im, "f", "x");
	assert_int_equal(erofs_add_dir(im.w, "f/d", &plain, NULL), -ENOTDIR);
	assert_int_equal(erofs_add_symlink(im.w, "l", &plain, "l", NULL), 0);
	assert_int_equal(erofs_add_dir(im.w, "l/d", &plain, NULL), -ELOOP);
}

static void test_erofs_refuses_a_file_with_too_few_or_too_many_bytes(void **state)
{
	auto_fini(image) struct image im;
	uint64_t bytes;

	(void)state;
	image_new(&im);
	assert_int_equal(erofs_add_file(im.w, "f", &plain, 10, NULL), 0);
	assert_int_equal(erofs_write(im.w, "12345", 5, NULL), 0);
	assert_int_equal(erofs_write(im.w, "123456", 6, NULL), -EINVAL);
	assert_int_equal(erofs_add_dir(im.w, "d", &plain, NULL), -EINVAL);
	assert_int_equal(erofs_finish(im.w, uuid, &bytes, NULL), -EINVAL);
}

static void test_erofs_stores_common_attributes_once(void **state)
{
	const struct erofs_xattr label = { "security.label",
					   "a label that every inode has, as SELinux gives them", 51 };
	struct erofs_attr a = plain;
	uint64_t bytes[2];

	(void)state;
	a.xattrs = &label;
	for (int with = 0; with < 2; with++) {
		auto_fini(image) struct image im;
		char name[16];

		image_new(&im);
		a.n_xattrs = (size_t)with;
		for (int i = 0; i < 5000; i++) {
			snprintf(name, sizeof(name), "%d", i);
			assert_int_equal(erofs_add_file(im.w, name, &a, 0, NULL), 0);
		}
		finish(&im);
		bytes[with] = im.bytes;
	}
	/* 16 bytes each (header and id, in slots of 32) instead of 80 */
	assert_true(bytes[1] - bytes[0] <= 5000 * 32 + 2 * EROFS_BLOCK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_erofs_keeps_what_came_last_under_a_name),
		cmocka_unit_test(test_erofs_finds_every_name_of_a_large_directory),
		cmocka_unit_test(test_erofs_holds_more_than_4_gib),
		cmocka_unit_test(test_erofs_content_of_every_length_comes_back),
		cmocka_unit_test(test_erofs_refuses_what_it_cannot_hold),
		cmocka_unit_test(test_erofs_refuses_paths_that_are_not_clean),
		cmocka_unit_test(test_erofs_refuses_a_file_with_too_few_or_too_many_bytes),
		cmocka_unit_test(test_erofs_stores_common_attributes_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
