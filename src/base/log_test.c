/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/str.h"

static int fd;

static int open_file(void **state)
{
	(void)state;
	fd = memfd_create("log", MFD_CLOEXEC);
	return fd < 0;
}

static int close_file(void **state)
{
	(void)state;
	return close(fd);
}

/* said() - all that was logged since the file was opened. */
static const char *said(void)
{
	static char text[8192];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	assert_true(n >= 0);
	text[n] = '\0';
	return text;
}

static void test_a_text_line_names_program_and_level(void **state)
{
	(void)state;
	log_setup(fd, LOG_TEXT, LOG_INFO);
	log_error("x", "disk '%s': full", "a");
	log_warn("x", "slow");
	log_info("x", "started %d", 7);
	log_debug("x", "not asked for");
	assert_string_equal(said(), "hull: error: disk 'a': full\nhull: warning: slow\nhull: started 7\n");
	assert_int_equal(log_most(), LOG_INFO);
}

static void test_a_json_line_is_one_object_whatever_the_text_holds(void **state)
{
	const char *got;

	(void)state;
	log_setup(fd, LOG_JSON, LOG_DEBUG);
	log_debug("area", "%s", "a\"b\\c\nd\te");
	got = said();
	assert_true(str_starts(
		got, "{\"level\":\"debug\",\"area\":\"area\",\"msg\":\"a\\\"b\\\\c d e\",\"time\":\"20"));
	assert_true(str_ends(got, "Z\"}\n"));
}

static void test_a_long_json_line_is_cut_inside_the_string(void **state)
{
	char text[5000];
	const char *got;

	(void)state;
	memset(text, '"', sizeof(text) - 1); /* each takes two bytes when escaped */
	text[sizeof(text) - 1] = '\0';
	log_setup(fd, LOG_JSON, LOG_INFO);
	log_error("area", "%s", text);
	got = said();
	assert_true(str_ends(got, "Z\"}\n"));
	assert_null(strchr(strchr(got, '\n') + 1, '\n'));
}

static void test_a_long_text_line_still_ends(void **state)
{
	char text[5000];
	const char *got;

	(void)state;
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	log_setup(fd, LOG_TEXT, LOG_INFO);
	log_error("area", "%s", text);
	log_error("area", "next");
	got = said();
	assert_true(str_ends(got, "\nhull: error: next\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_text_line_names_program_and_level, open_file,
						close_file),
		cmocka_unit_test_setup_teardown(test_a_json_line_is_one_object_whatever_the_text_holds,
						open_file, close_file),
		cmocka_unit_test_setup_teardown(test_a_long_json_line_is_cut_inside_the_string, open_file,
						close_file),
		cmocka_unit_test_setup_teardown(test_a_long_text_line_still_ends, open_file, close_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
