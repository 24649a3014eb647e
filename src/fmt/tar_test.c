/* SPDX-License-Identifier: Apache-2.0 */
/* What real tar programs write is tested through store/layer_test.c; here the forms they seldom write. */
#include "fmt/tar.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/bug.h"
#include "base/err.h"
#include "base/str.h"

/* --- an archive in memory, handed out in runs of a few bytes ---------------------------------------- */
struct bytes {
	struct buf b;
	size_t at, run;
};

static ssize_t next(void *arg, const uint8_t **ret, struct err *e)
{
	struct bytes *s = arg;
	size_t n = s->b.len - s->at < s->run ? s->b.len - s->at : s->run;

	(void)e;
	*ret = (const uint8_t *)s->b.data + s->at;
	s->at += n;
	return (ssize_t)n;
}

static void sum(char *h)
{
	unsigned n = 0;

	memset(h + 148, ' ', 8);
	for (int i = 0; i < 512; i++)
		n += (unsigned char)h[i];
	snprintf(h + 148, 8, "%06o", n);
}

/* put() - a header, and @len bytes padded. Return: its offset, for changes before sum() */
static size_t put(struct bytes *s, char type, const char *name, const void *data, size_t len)
{
	char h[512] = "";
	size_t at = s->b.len;

	memcpy(h, name, strnlen(name, 100));
	memcpy(h + 100,
	       "0000644\0"
	       "0000001\0"
	       "0000002",
	       23);
	snprintf(h + 124, 12, "%011zo", len);
	memcpy(h + 136, "00000000012", 11);
	h[156] = type;
	memcpy(h + 257,
	       "ustar\0"
	       "00",
	       8);
	sum(h);
	buf_put(&s->b, h, 512);
	buf_put(&s->b, data, len);
	while (s->b.len % 512)
		buf_putc(&s->b, '\0');
	return at;
}

/* add_pax() - one record, its length counted */
static void add_pax(struct buf *b, const char *key, const char *value)
{
	size_t n = strlen(key) + strlen(value) + 3, digits = n + 2 >= 100 ? 3 : n + 1 >= 10 ? 2 : 1;

	buf_printf(b, "%zu %s=%s\n", n + digits, key, value);
}

static struct tar *open_bytes(struct bytes *s)
{
	static const char zeros[1024];
	struct tar *t;

	buf_put(&s->b, zeros, sizeof(zeros));
	s->run = s->run ? s->run : 7;
	t = tar_new(&(struct source){ next, s });
	assert_non_null(t);
	return t;
}

static const struct tar_entry *must_next(struct tar *t)
{
	const struct tar_entry *n = NULL;
	struct err e = { 0 };

	if (tar_next(t, &n, &e) != 1)
		fail_msg("no entry: %s", e.text);
	return n;
}

static void assert_end(struct tar *t, struct bytes *s)
{
	const struct tar_entry *n;

	assert_int_equal(tar_next(t, &n, NULL), 0);
	assert_true(tar_has_end(t));
	tar_free(t);
	buf_fini(&s->b);
}

static void test_tar_joins_the_ustar_prefix(void **state)
{
	struct bytes s = { 0 };
	size_t at = put(&s, '0', "name", "", 0);
	struct tar *t;

	(void)state;
	memcpy(s.b.data + at + 345, "pre/fix", 7);
	sum(s.b.data + at);
	t = open_bytes(&s);
	assert_string_equal(must_next(t)->name, "pre/fix/name");
	assert_end(t, &s);
}

static void test_tar_reads_gnu_long_names_and_large_numbers(void **state)
{
	static const uint8_t id[8] = { 0x80, 0, 0, 0, 0, 0x12, 0x34, 0x56 };
	static const uint8_t before_1970[12] = {
		255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0xfe
	};
	struct bytes s = { 0 };
	const struct tar_entry *n;
	struct tar *t;
	size_t at;

	(void)state;
	put(&s, 'L', "././@LongLink", "a/long/name", 12);
	put(&s, 'K', "././@LongLink", "its/target", 11);
	at = put(&s, '2', "short", "", 0);
	memcpy(s.b.data + at + 108, id, 8);
	memcpy(s.b.data + at + 136, before_1970, 12);
	sum(s.b.data + at);
	put(&s, '0', "next", "", 0);
	t = open_bytes(&s);
	n = must_next(t);
	assert_int_equal(n->type, TAR_SYMLINK);
	assert_string_equal(n->name, "a/long/name");
	assert_string_equal(n->link, "its/target");
	assert_int_equal(n->uid, 0x123456);
	assert_int_equal(n->mtime_s, -2);
	assert_string_equal(must_next(t)->name, "next"); /* the long name was for one entry */
	assert_end(t, &s);
}

static void test_tar_takes_pax_over_header_and_forgets_it_behind_the_entry(void **state)
{
	struct buf pax = { 0 };
	struct bytes s = { 0 };
	const struct tar_entry *n;
	struct tar *t;

	(void)state;
	add_pax(&pax, "path", "pax/name\xff");
	add_pax(&pax, "uid", "400");
	add_pax(&pax, "mtime", "12.000001");
	add_pax(&pax, "x", "y");
	add_pax(&pax, "SCHILY.xattr.user.a", "b");
	add_pax(&pax, "SCHILY.xattr.user.a", "c");
	put(&s, 'g', "global", "16 path=ignored\n", 16);
	put(&s, 'x', "pax", pax.data, pax.len);
	buf_fini(&pax);
	put(&s, '0', "plain", "data", 4);
	put(&s, '0', "second", "", 0);
	t = open_bytes(&s);
	n = must_next(t);
	assert_string_equal(n->name, "pax/name\xff");
	assert_int_equal(n->uid, 400);
	assert_int_equal(n->gid, 2);
	assert_int_equal(n->mtime_s, 12);
	assert_int_equal(n->mtime_ns, 1000);
	assert_int_equal(n->n_xattrs, 1);
	assert_string_equal(n->xattrs[0].name, "user.a");
	assert_string_equal(n->xattrs[0].value, "c");
	n = must_next(t);
	assert_string_equal(n->name, "second");
	assert_int_equal(n->n_xattrs, 0);
	assert_int_equal(n->uid, 1);
	assert_end(t, &s);
}

static void test_tar_expands_sparse_files(void **state)
{
	struct buf pax = { 0 };
	char got[64] = "";
	struct bytes s = { .run = 3 };
	const struct tar_entry *n;
	const uint8_t *p;
	size_t at = 0;
	ssize_t r;
	struct tar *t;

	(void)state;
	add_pax(&pax, "GNU.sparse.map", "4,4,12,2");
	add_pax(&pax, "GNU.sparse.realsize", "20");
	add_pax(&pax, "GNU.sparse.name", "real");
	put(&s, 'x', "pax", pax.data, pax.len);
	buf_fini(&pax);
	put(&s, '0', "GNUSparseFile.0/real", "abcdef", 6);
	t = open_bytes(&s);
	n = must_next(t);
	assert_string_equal(n->name, "real");
	assert_int_equal(n->size, 20);
	while ((r = tar_read(t, &p, NULL)) > 0) {
		assert_true(at + (size_t)r <= 20);
		if (p)
			memcpy(got + at, p, (size_t)r);
		else
			memset(got + at, '.', (size_t)r);
		at += (size_t)r;
	}
	assert_int_equal(r, 0);
	assert_string_equal(got, "....abcd....ef......");
	assert_end(t, &s);
}

static void test_tar_ends_at_two_zero_blocks_and_says_when_there_were_none(void **state)
{
	struct bytes s = { .run = 512 };
	const struct tar_entry *n;
	struct tar *t;

	(void)state;
	put(&s, '0', "f", "", 0);
	t = tar_new(&(struct source){ next, &s });
	must_next(t);
	assert_int_equal(tar_next(t, &n, NULL), 0);
	assert_false(tar_has_end(t));
	tar_free(t);
	s.at = 0;
	buf_put(&s.b, (char[512]){ 0 }, 512);
	put(&s, '0', "behind", "", 0);
	t = tar_new(&(struct source){ next, &s });
	must_next(t);
	assert_int_equal(tar_next(t, &n, NULL), -EBADMSG);
	tar_free(t);
	buf_fini(&s.b);
}

static void test_tar_bounds_what_a_header_may_hold(void **state)
{
	struct bytes s = { .run = 4096 };
	struct buf pax = { 0 };
	const struct tar_entry *n;
	struct err e = { 0 };
	size_t at;
	struct tar *t;

	(void)state;
	at = put(&s, 'x', "pax", "", 0);
	memcpy(s.b.data + at + 124, "77777777777", 11);
	sum(s.b.data + at);
	t = open_bytes(&s);
	assert_int_equal(tar_next(t, &n, &e), -E2BIG);
	assert_non_null(strstr(e.text, "limit"));
	tar_free(t);
	s.b.len = s.at = 0;
	for (int i = 0; i < TAR_XATTRS_MAX + 1; i++)
		buf_printf(&pax, "28 SCHILY.xattr.user.%04d=x\n", i);
	put(&s, 'x', "pax", pax.data, pax.len);
	t = open_bytes(&s);
	assert_int_equal(tar_next(t, &n, &e), -E2BIG);
	tar_free(t);
	buf_fini(&pax);
	buf_fini(&s.b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tar_joins_the_ustar_prefix),
		cmocka_unit_test(test_tar_reads_gnu_long_names_and_large_numbers),
		cmocka_unit_test(test_tar_takes_pax_over_header_and_forgets_it_behind_the_entry),
		cmocka_unit_test(test_tar_expands_sparse_files),
		cmocka_unit_test(test_tar_ends_at_two_zero_blocks_and_says_when_there_were_none),
		cmocka_unit_test(test_tar_bounds_what_a_header_may_hold),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
