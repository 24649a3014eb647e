/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/logfile.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "fmt/json.h"
#include "sys/file.h"

static char dir[] = "/tmp/hull-logfile-test-XXXXXX";
static int dirfd_;

static const nsec_t when = 1795237890LL * NSEC_PER_SEC + 14976466;

static int setup(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	dirfd_ = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dirfd_ < 0;
}

static int teardown(void **state)
{
	(void)state;
	close(dirfd_);
	return file_remove_tree(AT_FDCWD, dir, NULL);
}

static void assert_file(const char *name, const char *want)
{
	struct buf b = { 0 };

	assert_int_equal(file_slurp_at(dirfd_, name, &b, 1 << 20), 0);
	assert_string_equal(buf_str(&b), want);
	buf_fini(&b);
}

static void test_logfile_writes_each_line_as_docker_does(void **state)
{
	static const struct {
		const char *in, *out;
	} row[] = {
		{ "hello\n", "hello\\n" },
		{ "a\"b\\c\t<&>\r\n", "a\\\"b\\\\c\\u0009\\u003c\\u0026\\u003e\\r\\n" },
		{ "\xc3\xa4 \xf0\x9f\x98\x80\n", "\xc3\xa4 \xf0\x9f\x98\x80\\n" },
		{ "\xff\xc0\xaf\xed\xa0\x80\n", "\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\\n" },
		{ "\xe2\x80\xa8\xe2\x80\xa9\n", "\\u2028\\u2029\\n" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		char want[256];
		struct logfile l;

		logfile_init(&l, dirfd_, 1 << 20, 2);
		assert_int_equal(logfile_put(&l, LOGFILE_STDERR, row[i].in, strlen(row[i].in), when), 0);
		str_format(want, sizeof(want),
			   "{\"log\":\"%s\",\"stream\":\"stderr\",\"time\":\"2026-11-21T05:11:30."
			   "014976466Z\"}\n",
			   row[i].out);
		assert_file("log.json", want);
		logfile_fini(&l);
		unlinkat(dirfd_, "log.json", 0);
	}
}

static void count(size_t *ret_entries, size_t *ret_ended, size_t *ret_bytes)
{
	struct buf b = { 0 };
	char *line, *end;

	*ret_entries = *ret_ended = *ret_bytes = 0;
	assert_int_equal(file_slurp_at(dirfd_, "log.json", &b, 1 << 22), 0);
	for (line = b.data; (end = strchr(line, '\n')); line = end + 1) {
		json_t *entry = NULL;

		assert_int_equal(json_tree_parse(&entry, line, (size_t)(end - line), NULL), 0);
		++*ret_entries;
		*ret_bytes += json_string_length(json_object_get(entry, "log"));
		*ret_ended += strchr(json_string_value(json_object_get(entry, "log")), '\n') != NULL;
		json_decref(entry);
	}
	buf_fini(&b);
}

static void test_logfile_joins_pieces_and_splits_long_lines(void **state)
{
	static char big[50001];
	size_t entries, ended, bytes;
	struct logfile l;

	(void)state;
	memset(big, 'y', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\n';
	logfile_init(&l, dirfd_, 1 << 22, 2);
	for (size_t at = 0, n = 1; at < sizeof(big); at += n, n = n * 3 + 1) { /* uneven pieces */
		if (n > sizeof(big) - at)
			n = sizeof(big) - at;
		assert_int_equal(logfile_put(&l, LOGFILE_STDOUT, big + at, n, when), 0);
	}
	assert_int_equal(logfile_put(&l, LOGFILE_STDOUT, "no end", 6, when), 0);
	assert_int_equal(logfile_flush(&l, when), 0);
	count(&entries, &ended, &bytes);
	assert_int_equal(entries, 50001 / LOGFILE_LINE_MAX + 1 + 1);
	assert_int_equal(ended, 1);
	assert_int_equal(bytes, sizeof(big) + 6);
	assert_null(l.partial[LOGFILE_STDOUT].text); /* nothing is held at rest */
	logfile_fini(&l);
	unlinkat(dirfd_, "log.json", 0);
}

static void test_logfile_rotates_and_keeps_so_many(void **state)
{
	struct logfile l;
	struct stat st;

	(void)state;
	logfile_init(&l, dirfd_, 200, 3);
	for (int i = 0; i < 20; i++) {
		char line[8];

		str_format(line, sizeof(line), "%d\n", i);
		assert_int_equal(logfile_put(&l, LOGFILE_STDOUT, line, strlen(line), when), 0);
	}
	assert_int_equal(fstatat(dirfd_, "log.json", &st, 0), 0);
	assert_true(st.st_size <= 200);
	assert_int_equal(fstatat(dirfd_, "log.json.1", &st, 0), 0);
	assert_int_equal(fstatat(dirfd_, "log.json.2", &st, 0), 0);
	assert_int_equal(fstatat(dirfd_, "log.json.3", &st, 0), -1);
	logfile_fini(&l);
	logfile_init(&l, dirfd_, 200, 0);
	assert_int_equal(unlinkat(dirfd_, "log.json", 0), 0);
	assert_int_equal(logfile_put(&l, LOGFILE_STDOUT, "x\n", 2, when), 0);
	assert_int_equal(fstatat(dirfd_, "log.json", &st, 0), -1); /* driver none */
	logfile_fini(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_logfile_writes_each_line_as_docker_does),
		cmocka_unit_test(test_logfile_joins_pieces_and_splits_long_lines),
		cmocka_unit_test(test_logfile_rotates_and_keeps_so_many),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
