/* SPDX-License-Identifier: Apache-2.0 */
#include "base/str.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/bug.h"
#include "base/guard.h"

/* same() - libc's snprintf(3) is the reference, at every size of the destination from none to enough. */
#define same(fmt, ...)                                                                                       \
	do {                                                                                                 \
		char want_[512], got_[512];                                                                  \
		int n_ = snprintf(want_, sizeof(want_), fmt, __VA_ARGS__);                                   \
		for (size_t size_ = 0; size_ <= (size_t)n_ + 2; size_++) {                                   \
			memset(got_, 'X', sizeof(got_));                                                     \
			snprintf(want_, size_, fmt, __VA_ARGS__);                                            \
			assert_int_equal(str_format(got_, size_, fmt, __VA_ARGS__), n_);                     \
			if (size_ > 0)                                                                       \
				assert_string_equal(got_, want_);                                            \
			assert_int_equal(got_[size_], 'X');                                                  \
		}                                                                                            \
	} while (0)

static void test_format_agrees_with_snprintf_on_strings(void **state)
{
	(void)state;
	same("%s", "");
	same("a%sb%%c", "text");
	same("[%10s|%-10s]", "right", "left");
	same("[%3s|%-3s]", "longer", "longer");
	same("[%.3s|%.0s|%.9s]", "abcdef", "abcdef", "abcdef");
	same("[%.*s]", 2, "abcdef");
	same("[%.*s]", -1, "abcdef");
	same("[%-8.3s|%8.*s]", "abcdef", 2, "abcdef");
	same("[%*s]", 6, "abc");
	same("[%c%c%3c%-3c]", 'x', 'y', 'z', 'w');
}

static void test_format_agrees_with_snprintf_on_numbers(void **state)
{
	static const long long value[] = { 0,          1,         -1,        9,
					   10,         -10,       255,       -256,
					   65535,      -65537,    INT32_MAX, INT32_MIN,
					   UINT32_MAX, INT64_MAX, INT64_MIN, 1234567890123LL };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(value); i++) {
		long long v = value[i];

		same("%d %i %u %x %o", (int)v, (int)v, (unsigned)v, (unsigned)v, (unsigned)v);
		same("%ld %lu %lx %lo", (long)v, (unsigned long)v, (unsigned long)v, (unsigned long)v);
		same("%lld %llu %llx %llo", v, (unsigned long long)v, (unsigned long long)v,
		     (unsigned long long)v);
		same("%zu %zx %zd %jd %ju", (size_t)v, (size_t)v, (ssize_t)v, (intmax_t)v, (uintmax_t)v);
		same("%hd %hu %hx %hhd %hhu %hhx", (short)v, (unsigned short)v, (unsigned short)v,
		     (signed char)v, (unsigned char)v, (unsigned char)v);
		same("%hx %hhx", (unsigned short)(short)v, (unsigned char)(signed char)v);
		same("[%5d|%-5d|%05d]", (int)v, (int)v, (int)v);
		same("[%40lld|%-40lld|%040lld]", v, v, v);
		same("[%064llx|%08x]", (unsigned long long)v, (unsigned)v);
	}
}

static void test_format_cuts_a_char_that_came_sign_extended(void **state)
{
	const signed char minus[] = { -1, -128 }; /* these arrive as negative ints */
	char got[16];

	(void)state;
	str_format(got, sizeof(got), "%hhx %hhu", minus[0], minus[1]);
	assert_string_equal(got, "ff 128");
}

static void test_format_prints_pointers_and_null_strings(void **state)
{
	const char *volatile nothing = NULL;
	char got[64];

	(void)state;
	same("%p", (void *)got);
	str_format(got, sizeof(got), "%s", nothing);
	assert_string_equal(got, "(null)");
}

static void test_copy_tells_whether_all_fitted(void **state)
{
	char dst[4] = "zzz";

	(void)state;
	assert_true(str_copy(dst, sizeof(dst), "abc"));
	assert_string_equal(dst, "abc");
	assert_false(str_copy(dst, sizeof(dst), "abcd"));
	assert_string_equal(dst, "abc");
	assert_true(str_copy(dst, 1, ""));
	assert_string_equal(dst, "");
	dst[0] = 'z';
	assert_false(str_copy(dst, 0, "a"));
	assert_int_equal(dst[0], 'z');
}

static void test_printf_allocates_what_it_needs(void **state)
{
	auto_free char *s = str_printf("%s-%0500d", "x", 7);

	(void)state;
	assert_non_null(s);
	assert_int_equal(strlen(s), 502);
	assert_true(str_ends(s, "007"));
}

static void test_comparisons_take_what_is_shorter(void **state)
{
	(void)state;
	assert_true(str_eq("a", "a"));
	assert_false(str_eq("a", NULL));
	assert_false(str_eq(NULL, NULL));
	assert_true(str_starts("abc", "ab"));
	assert_true(str_starts("abc", ""));
	assert_false(str_starts("a", "ab"));
	assert_string_equal(str_after("abc", "ab"), "c");
	assert_null(str_after("abc", "b"));
	assert_true(str_ends("abc", "bc"));
	assert_true(str_ends("abc", ""));
	assert_false(str_ends("c", "bc"));
}

static void test_numbers_are_whole_decimal_and_in_range(void **state)
{
	static const struct {
		const char *s;
		int u_rc;
		uint64_t u;
		int i_rc;
		int64_t i;
	} t[] = {
		{ "0", 0, 0, 0, 0 },
		{ "007", 0, 7, 0, 7 },
		{ "18446744073709551615", 0, UINT64_MAX, -ERANGE, 0 },
		{ "18446744073709551616", -ERANGE, 0, -ERANGE, 0 },
		{ "99999999999999999999999", -ERANGE, 0, -ERANGE, 0 },
		{ "9223372036854775807", 0, INT64_MAX, 0, INT64_MAX },
		{ "9223372036854775808", 0, 9223372036854775808ULL, -ERANGE, 0 },
		{ "-9223372036854775808", -EINVAL, 0, 0, INT64_MIN },
		{ "-9223372036854775809", -EINVAL, 0, -ERANGE, 0 },
		{ "-1", -EINVAL, 0, 0, -1 },
		{ "", -EINVAL, 0, -EINVAL, 0 },
		{ "-", -EINVAL, 0, -EINVAL, 0 },
		{ "--1", -EINVAL, 0, -EINVAL, 0 },
		{ "+1", -EINVAL, 0, -EINVAL, 0 },
		{ " 1", -EINVAL, 0, -EINVAL, 0 },
		{ "1 ", -EINVAL, 0, -EINVAL, 0 },
		{ "0x10", -EINVAL, 0, -EINVAL, 0 },
		{ "1e3", -EINVAL, 0, -EINVAL, 0 },
		{ NULL, -EINVAL, 0, -EINVAL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		uint64_t u = 42;
		int64_t n = 42;

		print_message("# '%s'\n", t[i].s ? t[i].s : "NULL");
		assert_int_equal(str_to_u64(t[i].s, &u), t[i].u_rc);
		assert_true(u == (t[i].u_rc ? 42 : t[i].u));
		assert_int_equal(str_to_i64(t[i].s, &n), t[i].i_rc);
		assert_true(n == (t[i].i_rc ? 42 : t[i].i));
	}
}

static void test_sizes_are_read_as_docker_reads_them(void **state)
{
	static const struct {
		const char *s;
		int rc;
		int64_t bytes;
	} t[] = {
		{ "0", 0, 0 },
		{ "512", 0, 512 },
		{ "512b", 0, 512 },
		{ "512B", 0, 512 },
		{ "64k", 0, 64 << 10 },
		{ "64K", 0, 64 << 10 },
		{ "64kb", 0, 64 << 10 },
		{ "64KiB", 0, 64 << 10 },
		{ "10 MiB", 0, 10 << 20 },
		{ "1.5g", 0, 3LL << 29 },
		{ "0.5m", 0, 1 << 19 },
		{ "2t", 0, 2LL << 40 },
		{ "1p", 0, 1LL << 50 },
		{ "9223372036854775807", 0, INT64_MAX },
		{ "9223372036854775808", -ERANGE, 0 },
		{ "8192p", -ERANGE, 0 },
		{ "18446744073709551616", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ "k", -EINVAL, 0 },
		{ "-1", -EINVAL, 0 },
		{ "1x", -EINVAL, 0 },
		{ "1kk", -EINVAL, 0 },
		{ "1bb", -EINVAL, 0 },
		{ "1.2.3k", -EINVAL, 0 },
		{ "1k ", -EINVAL, 0 },
		{ NULL, -EINVAL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		int64_t bytes = 42;

		print_message("# '%s'\n", t[i].s ? t[i].s : "NULL");
		assert_int_equal(str_to_bytes(t[i].s, &bytes), t[i].rc);
		assert_true(bytes == (t[i].rc ? 42 : t[i].bytes));
	}
}

static void test_sizes_are_printed_as_docker_prints_them(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *want;
	} t[] = {
		{ 0, "0B" },
		{ 999, "999B" },
		{ 1000, "1kB" },
		{ 1234, "1.23kB" },
		{ 1235, "1.24kB" },
		{ 1050, "1.05kB" },
		{ 9995, "10kB" },
		{ 12345, "12.3kB" },
		{ 123456, "123kB" },
		{ 999999, "1000kB" },
		{ 1500000, "1.5MB" },
		{ 2007000, "2.01MB" },
		{ 4700000000, "4.7GB" },
		{ UINT64_MAX, "18.4EB" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		char got[16];

		assert_string_equal(str_from_bytes(t[i].bytes, got, sizeof(got)), t[i].want);
	}
}

static void test_hex_is_lower_case_and_terminated(void **state)
{
	char got[9] = "zzzzzzzz";

	(void)state;
	str_hex(got, "\x00\x0f\xf0\xff", 4);
	assert_string_equal(got, "000ff0ff");
	str_hex(got, "", 0);
	assert_string_equal(got, "");
}

static void test_split_keeps_empty_parts(void **state)
{
	static const struct {
		const char *s;
		size_t n;
		const char *part[4];
	} t[] = {
		{ "", 1, { "" } },
		{ "a", 1, { "a" } },
		{ "a,b", 2, { "a", "b" } },
		{ ",", 2, { "", "" } },
		{ ",a,,", 4, { "", "a", "", "" } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		auto_fini(strv) struct strv v = { 0 };

		strv_split(&v, t[i].s, ',');
		assert_int_equal(strv_finish(&v), 0);
		assert_int_equal(v.len, t[i].n);
		for (size_t k = 0; k < v.len; k++)
			assert_string_equal(v.item[k], t[i].part[k]);
		assert_null(v.item[v.len]);
	}
}

static void test_a_list_is_always_null_terminated(void **state)
{
	auto_fini(strv) struct strv v = { 0 };

	(void)state;
	for (int i = 0; i < 100; i++) {
		strv_addf(&v, "%d", i);
		assert_null(v.item[v.len]);
	}
	strv_add(&v, "last");
	assert_string_equal(v.item[99], "99");
	assert_string_equal(v.item[100], "last");
	assert_int_equal(v.len, 101);
	strv_fini(&v);
	assert_null(v.item);
	assert_int_equal(v.len, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_format_agrees_with_snprintf_on_strings),
		cmocka_unit_test(test_format_agrees_with_snprintf_on_numbers),
		cmocka_unit_test(test_format_cuts_a_char_that_came_sign_extended),
		cmocka_unit_test(test_format_prints_pointers_and_null_strings),
		cmocka_unit_test(test_copy_tells_whether_all_fitted),
		cmocka_unit_test(test_printf_allocates_what_it_needs),
		cmocka_unit_test(test_comparisons_take_what_is_shorter),
		cmocka_unit_test(test_numbers_are_whole_decimal_and_in_range),
		cmocka_unit_test(test_sizes_are_read_as_docker_reads_them),
		cmocka_unit_test(test_sizes_are_printed_as_docker_prints_them),
		cmocka_unit_test(test_hex_is_lower_case_and_terminated),
		cmocka_unit_test(test_split_keeps_empty_parts),
		cmocka_unit_test(test_a_list_is_always_null_terminated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
