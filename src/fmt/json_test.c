/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants the above first */
#include <cmocka.h>

#include "base/arena.h"
#include "base/bug.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"

static void test_json_refuses_what_is_no_json_and_says_where(void **state)
{
	static const struct {
		const char *text, *error;
	} cases[] = {
		{ "", "line 1, column 1: expected a value" },
		{ "{", "line 1, column 2: expected a key in quotes" },
		{ "{\"a\"}", "line 1, column 5: expected ':'" },
		{ "{\"a\":1,}", "line 1, column 8: expected a key in quotes" },
		{ "[1,\n 2\n 3]", "line 3, column 2: expected ',' or ']'" },
		{ "{\"a\":1 \"b\":2}", "line 1, column 8: expected ',' or '}'" },
		{ "[1] x", "line 1, column 5: expected the end" },
		{ "[01]", "line 1, column 2: expected a number without leading zeros" },
		{ "[-]", "line 1, column 3: expected a digit" },
		{ "[1.]", "line 1, column 4: expected a digit" },
		{ "[1e]", "line 1, column 4: expected a digit" },
		{ "[+1]", "line 1, column 2: expected a value" },
		{ "[nul]", "line 1, column 2: expected a value" },
		{ "\"abc", "line 1, column 5: expected a closing quote" },
		{ "\"a\nb\"", "line 1, column 3: expected a closing quote" },
		{ "\"\\x\"", "line 1, column 3: expected an escape sequence" },
		{ "\"\\u12g4\"", "line 1, column 4: expected four hexadecimal digits" },
		{ "\"\\u0000\"", "line 1, column 4: expected a string without NUL" },
		{ "\"\\ud800x\"", "line 1, column 8: expected a pair of surrogates" },
		{ "\"\\udc00\"", "line 1, column 8: expected a pair of surrogates" },
		{ "\"\xc3(\"", "line 1, column 2: expected valid UTF-8" },
		{ "\"\xc0\x80\"", "line 1, column 2: expected valid UTF-8" },
		{ "\"\xed\xa0\x80\"", "line 1, column 2: expected valid UTF-8" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_fini(arena) struct arena a = { 0 };
		struct err e = { 0 };
		struct json_doc doc = { .arena = &a, .e = &e };

		json_parse(&doc, cases[i].text, strlen(cases[i].text));
		assert_int_equal(json_finish(&doc), -EINVAL);
		assert_string_equal(e.text, cases[i].error);
	}
}

static void test_json_refuses_a_nul_byte_and_too_much_nesting(void **state)
{
	auto_fini(arena) struct arena a = { 0 };
	struct json_doc nul = { .arena = &a }, deep = { .arena = &a }, deepest = { .arena = &a };
	char text[2 * JSON_DEPTH_MAX + 2];

	(void)state;
	json_parse(&nul, "[1]\0", 4);
	assert_int_equal(nul.rc, -EINVAL);
	memset(text, '[', sizeof(text));
	json_parse(&deep, text, JSON_DEPTH_MAX + 1);
	assert_int_equal(deep.rc, -EINVAL);
	memset(text + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
	json_parse(&deepest, text, (size_t)2 * JSON_DEPTH_MAX);
	assert_int_equal(deepest.rc, 0);
}

static void test_json_decodes_strings(void **state)
{
	static const struct {
		const char *text, *value;
	} cases[] = {
		{ "\"\"", "" },
		{ "\"plain\"", "plain" },
		{ "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t" },
		{ "\"\\u0041\\u00e9\\u20ac\\ud83d\\ude00\"", "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80" },
		{ "  \"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"\r\n\t ",
		  "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_fini(arena) struct arena a = { 0 };
		struct json_doc doc = { .arena = &a };
		struct json_at root = json_parse(&doc, cases[i].text, strlen(cases[i].text));

		assert_string_equal(json_read_str(&root, NULL), cases[i].value);
		assert_int_equal(json_finish(&doc), 0);
	}
}

static void test_json_keeps_integers_exact(void **state)
{
	static const char text[] =
		"{\"most\":18446744073709551615,\"least\":-9223372036854775808,\"zero\":-0,"
		"\"big\":9007199254740993}";
	auto_fini(arena) struct arena a = { 0 };
	struct json_doc doc = { .arena = &a };
	struct json_at root = json_parse(&doc, text, strlen(text));

	(void)state;
	assert_true(json_read_u64(&root, "most", UINT64_MAX, 0) == UINT64_MAX);
	assert_true(json_read_i64(&root, "least", INT64_MIN, INT64_MAX) == INT64_MIN);
	assert_true(json_read_u64(&root, "zero", 0, 1) == 0);
	assert_true(json_read_u64(&root, "big", UINT64_MAX, 0) == 9007199254740993);
	assert_int_equal(json_finish(&doc), 0);
}

static const char sample[] =
	"{\"o\":{\"s\":\"x\",\"n\":5,\"neg\":-5,\"f\":1.5,\"b\":true,\"z\":null,\"s\":\"last\"},"
	"\"l\":[{\"v\":1},{\"v\":\"no\"}],\"big\":18446744073709551616,\"a\\nb\":1}";

static void read_o_s_as_number(struct json_at *root)
{
	struct json_at o = json_read_obj(root, "o");

	json_read_u64(&o, "s", 10, 0);
}

static void read_number_too_large(struct json_at *root)
{
	struct json_at o = json_read_obj(root, "o");

	json_read_u64(&o, "n", 4, 0);
}

static void read_negative(struct json_at *root)
{
	struct json_at o = json_read_obj(root, "o");

	json_read_u64(&o, "neg", UINT32_MAX, 0);
}

static void read_below(struct json_at *root)
{
	struct json_at o = json_read_obj(root, "o");

	json_read_i64(&o, "neg", -1, 7);
}

static void read_above(struct json_at *root)
{
	struct json_at o = json_read_obj(root, "o");

	json_read_i64(&o, "n", -1, 4);
}

static void read_fraction(struct json_at *root)
{
	struct json_at o = json_read_obj(root, "o");

	json_read_i64(&o, "f", -1, 4);
}

static void read_beyond(struct json_at *root)
{
	json_read_u64(root, "big", UINT64_MAX, 0);
}

static void read_element(struct json_at *root)
{
	struct json_at l = json_read_list(root, "l");

	for (size_t i = 0; i < json_count(&l); i++) {
		struct json_at item = json_item(&l, i), obj = json_read_obj(&item, NULL);

		json_read_u64(&obj, "v", 10, 0);
	}
}

static void read_list_of_object(struct json_at *root)
{
	json_read_list(root, "o");
}

static void read_missing(struct json_at *root)
{
	struct json_at o = json_read_obj(root, "o");

	json_need(&o, "z");
}

static void read_name(struct json_at *root)
{
	static const struct json_name names[] = { { "a", 1 }, { "b", 2 } };
	struct json_at o = json_read_obj(root, "o");

	json_read_name(&o, "s", names, ARRAY_SIZE(names), 0);
}

static void read_odd_key(struct json_at *root)
{
	json_read_str(root, "a\nb");
}

static void read_two_mistakes(struct json_at *root)
{
	json_read_str(root, "o");
	json_read_str(root, "l");
}

static void test_json_names_the_path_of_the_first_mistake(void **state)
{
	static const struct {
		void (*read)(struct json_at *);
		const char *error;
	} cases[] = {
		{ read_o_s_as_number, "o.s: got a string, want a number from 0 to 10" },
		{ read_number_too_large, "o.n: got 5, want a number from 0 to 4" },
		{ read_negative, "o.neg: got a negative number, want a number from 0 to 4294967295" },
		{ read_below, "o.neg: got -5, want a number from -1 to 7" },
		{ read_above, "o.n: got 5, want a number from -1 to 4" },
		{ read_fraction, "o.f: got a fraction, want a number from -1 to 4" },
		{ read_beyond, "big: got a fraction, want a number from 0 to 18446744073709551615" },
		{ read_element, "l[1].v: got a string, want a number from 0 to 10" },
		{ read_list_of_object, "o: got an object, want a list" },
		{ read_missing, "o.z: missing" },
		{ read_name, "o.s: got 'last', want one of a, b" },
		{ read_odd_key, "a?b: got a number, want a string" },
		{ read_two_mistakes, "o: got an object, want a string" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_fini(arena) struct arena a = { 0 };
		struct err e = { 0 };
		struct json_doc doc = { .arena = &a, .e = &e };
		struct json_at root = json_parse(&doc, sample, strlen(sample));

		cases[i].read(&root);
		assert_int_equal(json_finish(&doc), -EINVAL);
		assert_string_equal(e.text, cases[i].error);
	}
}

static void test_json_reads_null_as_absent_and_the_last_of_two_keys(void **state)
{
	auto_fini(arena) struct arena a = { 0 };
	struct json_doc doc = { .arena = &a };
	struct json_at root = json_parse(&doc, sample, strlen(sample)), o = json_read_obj(&root, "o");
	struct json_at none = json_read_obj(&root, "none"), deeper = json_read_obj(&none, "deeper");

	(void)state;
	assert_false(json_has(&o, "z"));
	assert_true(json_has(&o, "b"));
	assert_true(json_read_bool(&o, "b", false));
	assert_true(json_read_bool(&deeper, "b", true));
	assert_null(json_read_str(&o, "z"));
	assert_int_equal(json_count(&deeper), 0);
	assert_string_equal(json_read_str(&o, "s"), "last");
	assert_int_equal(json_finish(&doc), 0);
}

static void put_sample(struct json_out *o)
{
	json_put_open(o, NULL, '{');
	json_put_str(o, "s", "a\"\\\n\x01\xc3\xa9");
	json_put_str(o, "nothing", NULL);
	json_put_open(o, "list", '[');
	json_put_u64(o, NULL, UINT64_MAX);
	json_put_i64(o, NULL, INT64_MIN);
	json_put_bool(o, NULL, true);
	json_put_raw(o, NULL, "{}");
	json_put_close(o, ']');
	json_put_strs(o, "strs", (char *[]){ "x", "y" }, 2);
	json_put_open(o, "empty", '{');
	json_put_close(o, '}');
	json_put_close(o, '}');
}

static void test_json_writes_on_one_line_and_indented(void **state)
{
	auto_fini(buf) struct buf line = { 0 };
	auto_fini(buf) struct buf lines = { 0 };
	struct json_out one = { .to = &line }, many = { .to = &lines, .indent = "\t" };

	(void)state;
	put_sample(&one);
	assert_string_equal(
		buf_str(&line),
		"{\"s\":\"a\\\"\\\\\\n\\u0001\xc3\xa9\",\"nothing\":null,\"list\":["
		"18446744073709551615,-9223372036854775808,true,{}],\"strs\":[\"x\",\"y\"],\"empty\":{}}");
	put_sample(&many);
	assert_string_equal(
		buf_str(&lines),
		"{\n\t\"s\": \"a\\\"\\\\\\n\\u0001\xc3\xa9\",\n\t\"nothing\": null,\n"
		"\t\"list\": "
		"[\n\t\t18446744073709551615,\n\t\t-9223372036854775808,\n\t\ttrue,\n\t\t{}\n\t],\n"
		"\t\"strs\": [\n\t\t\"x\",\n\t\t\"y\"\n\t],\n\t\"empty\": {}\n}");
}

static void test_json_tree_parse_tells_line_and_column(void **state)
{
	auto_fini(buf) struct buf text = { 0 };
	struct err e = { 0 };
	json_t *tree = NULL;

	(void)state;
	assert_int_equal(json_tree_parse(&tree, "{\"a\":\n]", 7, &e), -EINVAL);
	assert_null(tree);
	assert_non_null(strstr(e.text, "line 2, column 1: "));
	assert_int_equal(json_tree_parse(&tree, "{\"b\": [1, 2], \"a\": null}", 24, &e), 0);
	json_tree_text(&text, tree, 0);
	assert_string_equal(buf_str(&text), "{\"b\":[1,2],\"a\":null}");
	json_decref(tree);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_json_refuses_what_is_no_json_and_says_where),
		cmocka_unit_test(test_json_refuses_a_nul_byte_and_too_much_nesting),
		cmocka_unit_test(test_json_decodes_strings),
		cmocka_unit_test(test_json_keeps_integers_exact),
		cmocka_unit_test(test_json_names_the_path_of_the_first_mistake),
		cmocka_unit_test(test_json_reads_null_as_absent_and_the_last_of_two_keys),
		cmocka_unit_test(test_json_writes_on_one_line_and_indented),
		cmocka_unit_test(test_json_tree_parse_tells_line_and_column),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
