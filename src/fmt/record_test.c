/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/record.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"

static void sample(struct buf *b)
{
	struct record_out o = { .to = b };

	record_begin(&o, "MACHINE", 2);
	record_put_u8(&o, 1);
	record_put_u16(&o, 0x203);
	record_put_u32(&o, 0x4050607);
	record_put_u64(&o, 0x8090a0b0c0d0e0f);
	record_put_str(&o, "name");
	record_put_str(&o, NULL);
	record_begin_optional(&o, "HINT", 1);
	record_put_u32(&o, 77);
	record_end(&o);
	record_begin(&o, "CPU", 1);
	record_put(&o, "xyz", 3);
	record_end(&o);
	record_end(&o);
	assert_int_equal(buf_finish(b), 0);
}

/* read_sample() - all but the optional record. Return: record_finish(). */
static int read_sample(const void *bytes, size_t len, struct err *e)
{
	struct record_in in;
	char text[16];

	record_init(&in, bytes, len, e);
	record_open(&in, "MACHINE", 2);
	record_get_u8(&in);
	record_get_u16(&in);
	record_get_u32(&in);
	record_get_u64(&in);
	record_get_str(&in, text, sizeof(text));
	record_get_str(&in, text, sizeof(text));
	record_open(&in, "CPU", 1);
	record_take(&in, 3);
	record_close(&in);
	record_close(&in);
	return record_finish(&in);
}

static void test_record_reads_back_what_was_written(void **state)
{
	auto_fini(buf) struct buf b = { 0 };
	struct record_in in;
	struct err e = { 0 };
	char tag[RECORD_TAG_MAX + 1], text[16];

	(void)state;
	sample(&b);
	record_init(&in, b.data, b.len, &e);
	assert_true(record_peek(&in, tag));
	assert_string_equal(tag, "MACHINE");
	assert_int_equal(record_open(&in, "MACHINE", 3), 2);
	assert_int_equal(record_get_u8(&in), 1);
	assert_int_equal(record_get_u16(&in), 0x203);
	assert_int_equal(record_get_u32(&in), 0x4050607);
	assert_true(record_get_u64(&in) == 0x8090a0b0c0d0e0f);
	record_get_str(&in, text, sizeof(text));
	assert_string_equal(text, "name");
	record_get_str(&in, text, sizeof(text));
	assert_string_equal(text, "");
	assert_true(record_peek(&in, tag));
	assert_string_equal(tag, "HINT");
	assert_int_equal(record_open(&in, "CPU", 1), 1); /* over the optional one */
	assert_memory_equal(record_take(&in, 3), "xyz", 3);
	record_close(&in);
	assert_false(record_peek(&in, tag));
	record_close(&in);
	assert_int_equal(record_finish(&in), 0);
	assert_int_equal(read_sample(b.data, b.len, &e), 0);
}

static void test_record_bytes_are_those_of_the_format(void **state)
{
	static const uint8_t want[] = { 'A', 'B', 0, 0, 0, 0, 0, 0, 3, 0, 1, 0, 2, 0, 0, 0, 0x34, 0x12 };
	auto_fini(buf) struct buf b = { 0 };
	struct record_out o = { .to = &b };

	(void)state;
	record_begin(&o, "AB", 3);
	record_put_u16(&o, 0x1234);
	record_end(&o);
	assert_int_equal(b.len, sizeof(want));
	assert_memory_equal(b.data, want, sizeof(want));
}

static void test_record_refuses_every_truncation(void **state)
{
	auto_fini(buf) struct buf b = { 0 };

	(void)state;
	sample(&b);
	for (size_t len = 0; len < b.len; len++) {
		auto_free uint8_t *copy = malloc(len + 1); /* so that a sanitizer sees a read beyond */
		struct err e = { 0 };

		assert_non_null(copy);
		memcpy(copy, b.data, len);
		assert_int_equal(read_sample(copy, len, &e), -EBADMSG);
		assert_int_equal(e.code, EBADMSG);
		assert_true(e.text[0] != '\0');
	}
}

static void test_record_refuses_what_follows(void **state)
{
	auto_fini(buf) struct buf b = { 0 };
	struct err e = { 0 };

	(void)state;
	sample(&b);
	buf_putc(&b, 'x');
	assert_int_equal(read_sample(b.data, b.len, &e), -EBADMSG);
	assert_string_equal(e.text, "1 bytes behind the last record");
}

static void test_record_says_where_it_failed_and_then_reads_zeroes(void **state)
{
	auto_fini(buf) struct buf b = { 0 };
	struct record_in in;
	struct err e = { 0 };
	char text[4];

	(void)state;
	sample(&b);
	record_init(&in, b.data, b.len, &e);
	record_open(&in, "MACHINE", 2);
	record_take(&in, 15);
	record_get_str(&in, text, sizeof(text)); /* "name" needs 5 */
	assert_string_equal(text, "");
	assert_string_equal(e.text, "MACHINE: a string of 4 bytes, at most 3 fit");
	assert_int_equal(record_get_u32(&in), 0);
	assert_null(record_take(&in, 0));
	assert_int_equal(record_open(&in, "CPU", 1), 0);
	record_close(&in);
	record_close(&in);
	record_close(&in);
	record_fail(&in, "another");
	assert_int_equal(record_finish(&in), -EBADMSG);
	assert_string_equal(e.text, "MACHINE: a string of 4 bytes, at most 3 fit");
}

static void test_record_refuses_unknown_mandatory_records_and_newer_versions(void **state)
{
	static const struct {
		const char *tag;
		uint16_t newest;
		const char *want;
	} row[] = {
		{ "OTHER", 1, "record 'MACHINE' where 'OTHER' should be" },
		{ "MACHINE", 1, "record 'MACHINE' has version 2, known up to 1" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(row); i++) {
		auto_fini(buf) struct buf b = { 0 };
		struct record_in in;
		struct err e = { 0 };

		sample(&b);
		record_init(&in, b.data, b.len, &e);
		assert_int_equal(record_open(&in, row[i].tag, row[i].newest), 0);
		assert_int_equal(record_finish(&in), -EBADMSG);
		assert_string_equal(e.text, row[i].want);
	}
}

static void test_record_of_a_newer_version_may_have_more(void **state)
{
	for (uint16_t version = 1; version <= 2; version++) {
		auto_fini(buf) struct buf b = { 0 };
		struct record_out o = { .to = &b };
		struct record_in in;
		struct err e = { 0 };

		(void)state;
		record_begin_optional(&o, "X", version);
		record_put_u32(&o, 5);
		record_end(&o);
		record_init(&in, b.data, b.len, &e);
		assert_int_equal(record_open(&in, "X", 1), version);
		assert_int_equal(record_get_u16(&in), 5);
		record_close(&in);
		assert_int_equal(record_finish(&in), version == 1 ? -EBADMSG : 0);
	}
}

static void test_record_refuses_a_tag_that_cannot_be_printed(void **state)
{
	static const char *const bad[] = { "\0\0\0\0\0\0\0", "A\0B\0\0\0\0", "A\n\0\0\0\0\0",
					   "A \0\0\0\0\0" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		char bytes[16] = { 0 };
		char tag[RECORD_TAG_MAX + 1];
		struct record_in in;
		struct err e = { 0 };

		memcpy(bytes, bad[i], 8);
		bytes[8] = 1;
		record_init(&in, bytes, sizeof(bytes), &e);
		assert_false(record_peek(&in, tag));
		assert_int_equal(record_finish(&in), -EBADMSG);
	}
}

static void test_record_refuses_nesting_without_end(void **state)
{
	auto_fini(buf) struct buf b = { 0 };
	struct record_in in;
	struct err e = { 0 };

	(void)state;
	for (int i = RECORD_DEPTH_MAX; i >= 0; i--) { /* by hand: the writer would not */
		uint8_t head[16] = { 'N', [8] = 1, [10] = 1, [12] = (uint8_t)(16 * i) };

		buf_put(&b, head, sizeof(head));
	}
	record_init(&in, b.data, b.len, &e);
	for (int i = 0; i < RECORD_DEPTH_MAX; i++)
		assert_int_equal(record_open(&in, "N", 1), 1);
	assert_int_equal(record_open(&in, "N", 1), 0);
	assert_int_equal(record_finish(&in), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_record_reads_back_what_was_written),
		cmocka_unit_test(test_record_bytes_are_those_of_the_format),
		cmocka_unit_test(test_record_refuses_every_truncation),
		cmocka_unit_test(test_record_refuses_what_follows),
		cmocka_unit_test(test_record_says_where_it_failed_and_then_reads_zeroes),
		cmocka_unit_test(test_record_refuses_unknown_mandatory_records_and_newer_versions),
		cmocka_unit_test(test_record_of_a_newer_version_may_have_more),
		cmocka_unit_test(test_record_refuses_a_tag_that_cannot_be_printed),
		cmocka_unit_test(test_record_refuses_nesting_without_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
