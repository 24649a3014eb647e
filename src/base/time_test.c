/* SPDX-License-Identifier: Apache-2.0 */
#include "base/time.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/bug.h"
#include "base/str.h"

#define S NSEC_PER_SEC

static void test_times_are_written_and_read_back(void **state)
{
	static const struct {
		nsec_t ns;
		const char *text;
	} t[] = {
		{ 0, "1970-01-01T00:00:00.000000000Z" },
		{ 1, "1970-01-01T00:00:00.000000001Z" },
		{ -1, "1969-12-31T23:59:59.999999999Z" },
		{ -S, "1969-12-31T23:59:59.000000000Z" },
		{ 951782400 * S, "2000-02-29T00:00:00.000000000Z" },
		{ 1795233274 * S + 123456789, "2026-11-21T03:54:34.123456789Z" },
		{ INT64_MAX, "2262-04-11T23:47:16.854775807Z" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		char got[TIME_RFC3339_SIZE];
		nsec_t back = 42;

		assert_string_equal(time_rfc3339(t[i].ns, got), t[i].text);
		assert_int_equal(time_parse_rfc3339(t[i].text, &back), 0);
		assert_true(back == t[i].ns);
	}
}

static void test_days_of_the_week_are_those_of_libc(void **state)
{
	(void)state;
	for (nsec_t day = -40000; day < 40000; day += 7919) {
		time_t sec = (time_t)(day * 86400 + 3661);
		struct tm want, tm;

		gmtime_r(&sec, &want);
		time_utc(sec * NSEC_PER_SEC + 5, &tm);
		assert_int_equal(tm.tm_wday, want.tm_wday);
		assert_int_equal(tm.tm_year, want.tm_year);
		assert_int_equal(tm.tm_mday, want.tm_mday);
		assert_int_equal(tm.tm_sec, want.tm_sec);
	}
}

static void test_times_are_read_with_fraction_and_offset(void **state)
{
	static const struct {
		const char *text;
		nsec_t ns;
	} t[] = {
		{ "1970-01-01T00:00:01Z", S },
		{ "1970-01-01T00:00:01.5Z", 3 * S / 2 },
		{ "1970-01-01T00:00:00.1234567899Z", 123456789 },
		{ "1970-01-01T01:00:00+01:00", 0 },
		{ "1969-12-31T18:30:00-05:30", 0 },
		{ "2016-12-31T23:59:60Z", 1483228800 * S }, /* a leap second */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		nsec_t ns = 42;

		print_message("# %s\n", t[i].text);
		assert_int_equal(time_parse_rfc3339(t[i].text, &ns), 0);
		assert_true(ns == t[i].ns);
	}
}

static void test_what_is_no_time_is_refused(void **state)
{
	static const char *const t[] = {
		"",
		"2026",
		"2026-11-21",
		"2026-11-21T03:54:34",
		"2026-11-21 03:54:34Z",
		"2026-13-01T00:00:00Z",
		"2026-00-01T00:00:00Z",
		"2026-01-32T00:00:00Z",
		"2026-02-30T00:00:00Z",
		"2026-04-31T00:00:00Z",
		"2026-01-01T24:00:00Z",
		"2026-01-01T00:60:00Z",
		"2026-01-01T00:00:61Z",
		"2026-01-01T00:00:00.Z",
		"2026-01-01T00:00:00Zx",
		"2026-01-01T00:00:00+0100",
		"2026-01-01T00:00:00+25:00",
		"2026-01-01T00:00:00+01:60",
		"-026-01-01T00:00:00Z",
		"1600-01-01T00:00:00Z",
		"2300-01-01T00:00:00Z",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		nsec_t ns = 42;

		print_message("# %s\n", t[i]);
		assert_int_equal(time_parse_rfc3339(t[i], &ns), -EINVAL);
	}
}

static void test_durations_are_read_as_go_writes_them(void **state)
{
	static const struct {
		const char *text;
		int rc;
		nsec_t ns;
	} t[] = {
		{ "0", 0, 0 },
		{ "300ms", 0, 300 * NSEC_PER_MSEC },
		{ "1m30s", 0, 90 * S },
		{ "2h", 0, 7200 * S },
		{ "1.5s", 0, 3 * S / 2 },
		{ ".5s", 0, S / 2 },
		{ "1us", 0, 1000 },
		{ "1µs", 0, 1000 },
		{ "7ns", 0, 7 },
		{ "1h1m1s1ms", 0, 3661 * S + NSEC_PER_MSEC },
		{ "", -EINVAL, 0 },
		{ "1", -EINVAL, 0 },
		{ "s", -EINVAL, 0 },
		{ ".s", -EINVAL, 0 },
		{ "-1s", -EINVAL, 0 },
		{ "1s ", -EINVAL, 0 },
		{ "1d", -EINVAL, 0 },
		{ "1.2.3s", -EINVAL, 0 },
		{ "9999999999999h", -ERANGE, 0 },
		{ "99999999999999999999s", -ERANGE, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		nsec_t ns = 42;

		print_message("# '%s'\n", t[i].text);
		assert_int_equal(time_parse_duration(t[i].text, &ns), t[i].rc);
		assert_true(ns == (t[i].rc ? 42 : t[i].ns));
	}
}

static void test_ages_are_told_as_people_tell_them(void **state)
{
	static const struct {
		int64_t s;
		const char *want;
	} t[] = {
		{ -5, "Less than a second" }, { 0, "Less than a second" },  { 1, "1 second" },
		{ 59, "59 seconds" },         { 60, "About a minute" },     { 119, "About a minute" },
		{ 120, "2 minutes" },         { 3600, "About an hour" },    { 47 * 3600, "47 hours" },
		{ 48 * 3600, "2 days" },      { 13 * 86400, "13 days" },    { 14 * 86400, "2 weeks" },
		{ 60 * 86400, "2 months" },   { 730 * 86400LL, "2 years" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		char got[32];

		assert_string_equal(time_ago(t[i].s * S, got, sizeof(got)), t[i].want);
	}
}

static void test_the_clock_goes_forward(void **state)
{
	nsec_t before = time_now_ns(CLOCK_MONOTONIC);

	(void)state;
	assert_true(time_now_ns(CLOCK_MONOTONIC) >= before);
	assert_true(time_now_ns(CLOCK_REALTIME) > 1700000000 * S);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_times_are_written_and_read_back),
		cmocka_unit_test(test_days_of_the_week_are_those_of_libc),
		cmocka_unit_test(test_times_are_read_with_fraction_and_offset),
		cmocka_unit_test(test_what_is_no_time_is_refused),
		cmocka_unit_test(test_durations_are_read_as_go_writes_them),
		cmocka_unit_test(test_ages_are_told_as_people_tell_them),
		cmocka_unit_test(test_the_clock_goes_forward),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
