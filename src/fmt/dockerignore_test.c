/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/dockerignore.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/arena.h"
#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"

static void test_dockerignore_decides_by_the_last_line_that_matches(void **state)
{
	static const struct {
		const char *text, *path;
		bool out;
	} cases[] = {
		{ "a", "a", true },
		{ "a", "a/b", true },
		{ "a", "b/a", false },
		{ "a", "ab", false },
		{ "/a/", "a", true },
		{ "./a", "a", true },
		{ "b/../a", "a", true },
		{ "../a", "a", true },
		{ "# a\n", "a", false },
		{ " a \r\n", "a", true },
		{ "*.o", "x.o", true },
		{ "*.o", "d/x.o", false },
		{ "**/*.o", "x.o", true },
		{ "**/*.o", "d/e/x.o", true },
		{ "d/**", "d/e/f", true },
		{ "d/**", "d", false },
		{ "**", "anything/at/all", true },
		{ "d/**/x", "d/x", true },
		{ "d/**/x", "d/e/f/x", true },
		{ "d/**/x", "d/ex", false },
		{ "**x", "d/x", true },
		{ "**x", "d/yx", false },
		{ "?", "a", true },
		{ "?", "ab", false },
		{ "[a-c]x", "bx", true },
		{ "[^a-c]x", "bx", false },
		{ "[]]", "]", true },
		{ "a\n!a/keep", "a/keep", false },
		{ "a\n!a/keep", "a/other", true },
		{ "!a\na", "a", true },
		{ "*\n!*.md\nR*.md", "x.md", false },
		{ "*\n!*.md\nR*.md", "R1.md", true },
		{ "\\#a", "#a", true },
		{ "\xEF\xBB\xBF"
		  "a",
		  "a", true },
		{ ".\n/\n", "a", false },
		{ "a\\*", "a*", true },
		{ "a\\*", "ab", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_fini(arena) struct arena a = { 0 };
		struct dockerignore di;
		struct err e = { 0 };

		if (dockerignore_parse(&di, ".dockerignore", cases[i].text, strlen(cases[i].text), &a, &e) <
		    0)
			fail_msg("%s: %s", cases[i].text, e.text);
		if (dockerignore_excludes(&di, cases[i].path) != cases[i].out)
			fail_msg("'%s' and %s: want %s", cases[i].text, cases[i].path,
				 cases[i].out ? "left out" : "kept");
	}
}

static void test_dockerignore_names_the_line_it_refuses(void **state)
{
	auto_fini(arena) struct arena a = { 0 };
	struct dockerignore di;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(dockerignore_parse(&di, ".dockerignore", "a\n[b\n", 5, &a, &e), -EINVAL);
	assert_string_equal(e.text, ".dockerignore:2: '[b': not a pattern");
	assert_int_equal(dockerignore_parse(&di, ".dockerignore", "a\0b", 3, &a, &e), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dockerignore_decides_by_the_last_line_that_matches),
		cmocka_unit_test(test_dockerignore_names_the_line_it_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
