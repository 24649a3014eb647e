/* SPDX-License-Identifier: Apache-2.0 */
/* store_testing.h - a store in a temporary directory, and layers made in memory; for tests only */
#ifndef STORE_STORE_TESTING_H
#define STORE_STORE_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "fmt/digest.h"
#include "fmt/tarout.h"
#include "store/store.h"
#include "sys/file.h"

static char testing_dir[] = "/tmp/hull-store-XXXXXX";
static char testing_root[64];

/* must() - a call that has to work; prints why when it does not. */
#define must(call, e)                                                                                        \
	do {                                                                                                 \
		int must_r = (call);                                                                         \
		if (must_r < 0)                                                                              \
			print_error("%s: %d %s\n", #call, must_r, (e).text);                                 \
		assert_true(must_r >= 0);                                                                    \
	} while (0)

static inline int testing_setup(void **state)
{
	(void)state;
	if (!mkdtemp(testing_dir))
		return -1;
	str_format(testing_root, sizeof(testing_root), "%s/root", testing_dir);
	return 0;
}

static inline int testing_teardown(void **state)
{
	(void)state;
	return file_remove_tree(AT_FDCWD, testing_dir, NULL);
}

static inline struct store *testing_open(void)
{
	struct store *st = NULL;
	struct err e = { 0 };

	must(store_open(&st, testing_root, &e), e);
	return st;
}

static inline int testing_buf_write(void *arg, const void *bytes, size_t len, struct err *e)
{
	(void)e;
	buf_put(arg, bytes, len);
	return 0;
}

/* testing_layer() - the tar of a layer with one directory and @n files, "<name>0" and so on, of @len bytes
 * each. */
static inline void testing_layer(struct buf *tar, const char *name, size_t n, size_t len)
{
	struct tar_entry dir = {
		.type = TAR_DIR, .name = "etc", .link = "", .mode = 0755, .mtime_s = 1600000000
	};
	struct tarout out;

	tarout_init(&out, testing_buf_write, tar);
	assert_int_equal(tarout_entry(&out, &dir, NULL), 0);
	for (size_t i = 0; i < n; i++) {
		char path[64];
		auto_free char *data = malloc(len + 1);
		struct tar_entry file = { .type = TAR_FILE,
					  .name = path,
					  .link = "",
					  .mode = 0640,
					  .uid = 1,
					  .gid = 2,
					  .mtime_s = 1600000001,
					  .size = len };

		str_format(path, sizeof(path), "etc/%s%zu", name, i);
		for (size_t at = 0; at < len; at++)
			data[at] = (char)(at * 31 + i + (at >> 8));
		assert_int_equal(tarout_entry(&out, &file, NULL), 0);
		if (len > 0)
			assert_int_equal(tarout_data(&out, data, len, NULL), 0);
	}
	assert_int_equal(tarout_end(&out, NULL), 0);
	tarout_fini(&out);
}

/* testing_fd() - @len bytes as an open file. */
static inline int testing_fd(const void *bytes, size_t len)
{
	int fd = file_memfd("test", 0);

	assert_true(fd >= 0);
	assert_int_equal(file_write(fd, bytes, len), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

/* testing_put_layer() - such a layer into @st. */
static inline void testing_put_layer(struct store *st, const char *name, size_t n, size_t len,
				     char *ret_diff_id)
{
	auto_fini(buf) struct buf tar = { 0 };
	auto_close int fd = -1;
	struct err e = { 0 };

	testing_layer(&tar, name, n, len);
	fd = testing_fd(tar.data, tar.len);
	must(store_layer_put(st, fd, NULL, ret_diff_id, &e), e);
}

/* testing_put_image() - an image of one such layer. */
static inline void testing_put_image(struct store *st, const char *name, const char *tag, char *ret_id)
{
	char diff_id[STORE_DIGEST_SIZE];
	char *layers[] = { diff_id };
	auto_free char *config = NULL;
	struct err e = { 0 };

	testing_put_layer(st, name, 3, 5000, diff_id);
	config = str_printf("{\"architecture\":\"amd64\",\"os\":\"linux\",\"created\":\"2026-01-02T03:04:"
			    "05Z\",\"config\":{\"Cmd\":[\"%s\"]},"
			    "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"%s\"]},\"history\":[{\"created_"
			    "by\":\"first\"},"
			    "{\"created_by\":\"second\",\"empty_layer\":true}]}",
			    name, diff_id);
	must(store_image_put(st, config, strlen(config), layers, 1, tag, ret_id, &e), e);
}

#endif
