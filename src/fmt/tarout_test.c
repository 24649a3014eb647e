/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/tarout.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/guard.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static int to_buf(void *arg, const void *bytes, size_t len, struct err *e)
{
	(void)e;
	buf_put(arg, bytes, len);
	return 0;
}

static ssize_t from_buf(void *arg, const uint8_t **ret_bytes, struct err *e)
{
	struct buf *b = arg;
	ssize_t n = (ssize_t)b->len;

	(void)e;
	*ret_bytes = (const uint8_t *)b->data;
	b->len = 0;
	return n;
}

static const char *repeat(char c, size_t n)
{
	static char text[5000];

	memset(text, c, n);
	text[n] = '\0';
	return text;
}

static void test_tarout_writes_what_the_reader_reads(void **state)
{
	static const struct tar_xattr attrs[] = { { "user.a",
						    "1\0"
						    "2",
						    3 },
						  { "user.b", "", 0 } };
	char long_link[300];
	const struct tar_entry c[] = {
		{ .type = TAR_FILE,
		  .name = "plain",
		  .link = "",
		  .mode = 04755,
		  .uid = 1,
		  .gid = 2,
		  .mtime_s = 1,
		  .size = 3 },
		{ .type = TAR_DIR, .name = "dir/", .link = "", .mode = 0700, .mtime_s = 8589934592 },
		{ .type = TAR_FILE,
		  .name = repeat('n', 4000),
		  .link = "",
		  .mode = 0644,
		  .uid = 4000000,
		  .gid = 4294967290,
		  .size = 512 },
		{ .type = TAR_SYMLINK,
		  .name = "s",
		  .link = long_link,
		  .mode = 0777,
		  .mtime_s = -2,
		  .mtime_ns = 750000000 },
		{ .type = TAR_LINK, .name = "h", .link = "plain", .mode = 0644, .mtime_s = 5, .mtime_ns = 1 },
		{ .type = TAR_CHAR, .name = "null", .link = "", .mode = 0666, .major = 1, .minor = 3 },
		{ .type = TAR_BLOCK, .name = "disk", .link = "", .mode = 0660, .major = 259, .minor = 70000 },
		{ .type = TAR_FIFO, .name = "fifo\xff\n", .link = "", .mode = 0600 },
		{ .type = TAR_FILE,
		  .name = "attrs",
		  .link = "",
		  .mode = 0600,
		  .xattrs = attrs,
		  .n_xattrs = 2 },
	};
	auto_fini(buf) struct buf b = { 0 };
	struct source from = { .next = from_buf, .arg = &b };
	const struct tar_entry *n;
	struct err e = { 0 };
	struct tarout out;
	struct tar *t;

	(void)state;
	memset(long_link, 'l', sizeof(long_link) - 1);
	long_link[sizeof(long_link) - 1] = '\0';
	tarout_init(&out, to_buf, &b);
	for (size_t i = 0; i < COUNT(c); i++) {
		char data[512] = "abc";

		assert_int_equal(tarout_entry(&out, &c[i], &e), 0);
		if (c[i].size)
			assert_int_equal(tarout_data(&out, data, c[i].size, &e), 0);
	}
	assert_int_equal(tarout_end(&out, &e), 0);
	assert_int_equal(out.bytes % 512, 0);
	assert_int_equal(out.bytes, b.len);
	tarout_fini(&out);

	t = tar_new(&from);
	for (size_t i = 0; i < COUNT(c); i++) {
		int r = tar_next(t, &n, &e);

		if (r != 1)
			print_error("entry %zu: %s\n", i, e.text);
		assert_int_equal(r, 1);
		assert_int_equal(n->type, c[i].type);
		assert_string_equal(n->name, c[i].name);
		assert_string_equal(n->link, c[i].link);
		assert_int_equal(n->mode, c[i].mode);
		assert_int_equal(n->uid, c[i].uid);
		assert_int_equal(n->gid, c[i].gid);
		assert_int_equal(n->size, c[i].size);
		assert_int_equal(n->mtime_s, c[i].mtime_s);
		assert_int_equal(n->mtime_ns, c[i].mtime_ns);
		assert_int_equal(n->major, c[i].major);
		assert_int_equal(n->minor, c[i].minor);
		assert_int_equal(n->n_xattrs, c[i].n_xattrs);
		for (size_t k = 0; k < n->n_xattrs; k++) {
			assert_string_equal(n->xattrs[k].name, attrs[k].name);
			assert_int_equal(n->xattrs[k].len, attrs[k].len);
			assert_memory_equal(n->xattrs[k].value, attrs[k].value, attrs[k].len);
		}
	}
	assert_int_equal(tar_next(t, &n, &e), 0);
	assert_true(tar_has_end(t));
	tar_free(t);
}

static int full_disk(void *arg, const void *bytes, size_t len, struct err *e)
{
	(void)bytes;
	*(size_t *)arg += len;
	return *(size_t *)arg > 1000 ? err_set(e, ENOSPC, "full") : 0;
}

static void test_tarout_hands_on_the_writers_failure(void **state)
{
	const struct tar_entry n = { .type = TAR_FILE, .name = "f", .link = "", .size = 600 };
	char data[600] = "";
	size_t written = 0;
	struct tarout out;
	struct err e = { 0 };

	(void)state;
	tarout_init(&out, full_disk, &written);
	assert_int_equal(tarout_entry(&out, &n, &e), 0);
	assert_int_equal(tarout_data(&out, data, sizeof(data), &e), -ENOSPC);
	assert_string_equal(e.text, "full");
	tarout_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tarout_writes_what_the_reader_reads),
		cmocka_unit_test(test_tarout_hands_on_the_writers_failure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
