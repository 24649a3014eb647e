/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/template.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants the above first */
#include <cmocka.h>

#include "base/bug.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"

static const char sample[] =
	"{\"ID\":\"abc123\",\"Name\":\"web\",\"N\":3,\"F\":1.5,\"T\":true,\"Null\":null,"
	"\"L\":[\"a\",\"b\",\"c\"],\"E\":[],\"Labels\":{\"z\":\"1\",\"com.x.role\":\"db\"},"
	"\"S\":{\"P\":{\"Q\":7}},\"M\":[{\"Source\":\"/s\"}]}";

struct example {
	const char *format, *want;
};

static void check(const struct example *x, size_t n)
{
	json_t *value = json_loads(sample, 0, NULL);

	for (size_t i = 0; i < n; i++) {
		auto_fini(buf) struct buf out = { 0 };
		struct err e = { 0 };
		int r = template_render(x[i].format, value, &out, &e);

		assert_string_equal(r < 0 ? e.text : buf_str(&out), x[i].want);
	}
	json_decref(value);
}

static void test_template_prints_values(void **state)
{
	static const struct example cases[] = {
		{ "", "" },
		{ "no action }}", "no action }}" },
		{ "{{.ID}}-{{.S.P.Q}} {{ .F }} {{.T}}", "abc123-7 1.5 true" },
		{ "{{.Nope}} {{.Nope.X.Y}} {{.Null}}", "<no value> <no value> <no value>" },
		{ "{{.L}} {{.Labels}} {{.S}} {{.E}}", "[a b c] map[com.x.role:db z:1] map[P:map[Q:7]] []" },
		{ "{{json .L}} {{json .Labels}} {{json .Nope}} {{json .ID}}",
		  "[\"a\",\"b\",\"c\"] {\"z\":\"1\",\"com.x.role\":\"db\"} null \"abc123\"" },
		{ "{{with .S}}{{json .}}{{end}}", "{\"P\":{\"Q\":7}}" },
		{ "{{\"a\\tb\\\"\"}} {{`raw\\n`}} {{'c'}} {{0x1f}} {{-3}} {{1e3}} {{false}} {{nil}}",
		  "a\tb\" raw\\n 99 31 -3 1000 false <no value>" },
		{ "{{.Labels \"com.x.role\"}} {{(index .M 0).Source}} {{index .S \"P\" \"Q\"}}", "db /s 7" },
	};

	(void)state;
	check(cases, ARRAY_SIZE(cases));
}

static void test_template_takes_branches_and_loops(void **state)
{
	static const struct example cases[] = {
		{ "{{if .ID}}y{{end}}{{if .E}}n{{end}}{{if .Nope}}n{{else}}e{{end}}", "ye" },
		{ "{{if .E}}1{{else if .Null}}2{{else if .T}}3{{else}}4{{end}}!", "3!" },
		{ "{{if .E}}1{{else with .Name}}{{.}}{{end}}!", "web!" },
		{ "{{with .S}}{{.P.Q}}{{else}}no{{end}}{{with .E}}x{{else}}{{.ID}}{{end}}", "7abc123" },
		{ "{{with $x := .Name}}{{$x}}={{.}}{{end}}", "web=web" },
		{ "{{range .L}}<{{.}}>{{else}}none{{end}}{{range .E}}x{{else}}none{{end}}", "<a><b><c>none" },
		{ "{{range $v := .L}}{{$v}}{{$.N}}{{end}}", "a3b3c3" },
		{ "{{range $i, $v := .L}}{{$i}}{{$v}} {{end}}", "0a 1b 2c " },
		{ "{{range $k, $v := .Labels}}{{$k}}={{$v}};{{end}}", "com.x.role=db;z=1;" },
		{ "{{range .L}}{{if eq . \"b\"}}{{continue}}{{end}}{{.}}{{end}}", "ac" },
		{ "{{range .L}}{{if eq . \"b\"}}{{break}}{{end}}{{range $.L}}{{.}}{{end}}|{{end}}after",
		  "abc|after" },
		{ "{{range .L}}{{break}}{{range $.E}}{{end}}still{{end}}", "" },
		{ "{{range .L}}{{range $.L}}{{break}}{{end}}{{.}}{{end}}", "abc" },
		{ "{{$x := .ID}}{{if true}}{{$x = \"new\"}}{{end}}{{$x}}", "new" },
		{ "{{$x := 1}}{{range $i, $x := .L}}{{end}}{{$x}}", "1" },
		{ "{{$x := print \"a\" \"b\"}}{{with $x}}{{if true}}{{$x = 1}}{{end}}{{.}}{{end}}{{$x}}",
		  "ab1" },
		{ "{{if false}}{{index .L 9}}{{.Name.X}}{{end}}ok", "ok" },
	};

	(void)state;
	check(cases, ARRAY_SIZE(cases));
}

static void test_template_calls_functions(void **state)
{
	static const struct example cases[] = {
		{ "{{len .L}} {{len .ID}} {{len .Labels}} {{len .E}}", "3 6 2 0" },
		{ "{{eq .N 3}} {{eq .Name \"a\" \"web\"}} {{ne .ID \"x\"}} {{eq .T true}} {{eq .Nope nil}}",
		  "true true true true true" },
		{ "{{lt .N 4}} {{le .N 3}} {{gt .N 3}} {{ge .F 1}} {{lt \"a\" \"b\"}}",
		  "true true false true true" },
		{ "{{and .T .N}} {{and .E .N}} {{or .E .Name}} {{or .E 0}} {{not .E}}", "3 [] web 0 true" },
		{ "{{if and (eq .N 3) (or .E .T)}}yes{{end}}", "yes" },
		{ "{{join .L \",\"}} {{split \"a/b/c\" \"/\"}} {{json (split \"a\" \"/\")}}",
		  "a,b,c [a b c] [\"a\"]" },
		{ "{{upper .Name}} {{.Name | title}} {{lower \"ABC\"}} {{title \"one two-three\"}}",
		  "WEB Web abc One Two-Three" },
		{ "{{truncate .ID 3}} {{truncate \"\xc3\xa9\xc3\xa9x\" 2}} {{truncate \"ab\" 9}}",
		  "abc \xc3\xa9\xc3\xa9 ab" },
		{ "{{slice .ID 1 3}} {{slice .ID 4}} {{slice .L 1 2}}", "bc 23 [b]" },
		{ "{{pad .Name 2 1}}|{{pad \"\" 2 2}}|", "  web ||" },
		{ "{{print 1 2 \"a\" 3}} {{println \"a\" 1}}", "1 2a3 a 1\n" },
		{ "{{contains .ID \"c1\"}} {{contains .ID \"zz\"}}", "true false" },
		{ "{{printf \"%s|%-5s|%5s|%.2s|%q\" .Name .Name .Name .Name .Name}}",
		  "web|web  |  web|we|\"web\"" },
		{ "{{printf \"%d %5d %-3d| %05d %x %X %o %+d\" .N .N .N -42 255 255 8 1}}",
		  "3     3 3  | -0042 ff FF 10 +1" },
		{ "{{printf \"%v %v %t %.2f %g %%\" .L .Labels .T .F .F}}",
		  "[a b c] map[com.x.role:db z:1] true 1.50 1.5 %" },
		{ "{{printf \"%d\" \"x\"}} {{printf \"%s\" 5}} {{printf \"%s\" .Nope}} {{printf \"%d\"}} "
		  "{{printf \"%\"}}",
		  "%!d(string=x) %!s(int=5) %!s(<nil>) %!d(MISSING) %!(NOVERB)" },
		{ "{{.Name | upper | printf \"%s-%s\" .ID}}", "abc123-WEB" },
	};

	(void)state;
	check(cases, ARRAY_SIZE(cases));
}

static void test_template_trims_and_skips_comments(void **state)
{
	static const struct example cases[] = {
		{ "a  {{- \" x \" -}}  b", "a x b" },
		{ "a {{/* } {{ */}} b {{- /* c */ -}} d", "a  bd" },
		{ "{{range .L -}}  {{.}} {{- end}}", "abc" },
		{ "{{.N}} {{-3}}", "3 -3" },
		{ "{{ .ID -}} \n\t {{- .Name }}", "abc123web" },
	};

	(void)state;
	check(cases, ARRAY_SIZE(cases));
}

static void test_template_refuses_with_one_line_and_the_offset(void **state)
{
	static const struct example cases[] = {
		{ "{{.ID", "format: offset 5: expected '}}' before ''" },
		{ "x{{", "format: offset 3: a value is missing" },
		{ "{{}}", "format: offset 2: a value is missing" },
		{ "{{foo .ID}}", "format: offset 9: function 'foo' is not defined" },
		{ "{{if false}}{{foo}}{{end}}", "format: offset 17: function 'foo' is not defined" },
		{ "{{end}}", "format: offset 7: {{end}} or {{else}} without a beginning" },
		{ "{{if .T}}x", "format: offset 10: {{if}} has no {{end}}" },
		{ "{{range .L}}", "format: offset 12: {{range}} has no {{end}}" },
		{ "{{if 1}}{{else}}{{else}}{{end}}", "format: offset 22: {{if}} has two {{else}}" },
		{ "{{.ID | }}", "format: offset 8: a value is missing" },
		{ "{{.Name.Foo}}", "format: offset 7: no field 'Foo' in a string" },
		{ "{{(.ID}}", "format: offset 6: expected ')'" },
		{ "{{.ID.}}", "format: offset 5: unexpected '.}}'" },
		{ "{{\"abc}}", "format: offset 8: the string has no end" },
		{ "{{\"\\y\"}}", "format: offset 4: unknown escape sequence" },
		{ "{{'ab'}}", "format: offset 6: a character constant holds one character" },
		{ "{{12ab}}", "format: offset 2: a number that cannot be read" },
		{ "{{$y}}", "format: offset 2: variable '$y' is not defined" },
		{ "{{if 1}}{{$y := 1}}{{end}}{{$y}}", "format: offset 28: variable '$y' is not defined" },
		{ "{{break}}", "format: offset 7: outside of {{range}}" },
		{ "{{/* x", "format: offset 4: the comment has no end" },
		{ "{{index .L 9}}", "format: offset 12: index 9 of a list of 3" },
		{ "{{eq .N \"x\"}}", "format: offset 11: a number and a string cannot be compared" },
		{ "{{range .ID}}{{end}}", "format: offset 13: range over a string" },
		{ "{{len 5}}", "format: offset 7: len of a number" },
		{ "{{len}}", "format: offset 5: len wants 1 to 1 arguments, got 0" },
		{ "{{slice .ID 4 2}}", "format: offset 15: a slice from 4 to 2" },
		{ "{{\"a\nb\"}}", "format: offset 4: the string has no end" },
	};

	(void)state;
	check(cases, ARRAY_SIZE(cases));
}

/* times() - @n times the same text; the caller frees it. */
static char *times(const char *s, size_t n)
{
	struct buf b = { 0 };

	while (n-- > 0)
		buf_puts(&b, s);
	return buf_take(&b);
}

static void test_template_is_bounded(void **state)
{
	auto_free char *deep = times("{{if true}}", TEMPLATE_DEPTH_MAX + 1),
		       *parentheses = times("(", 100000);
	auto_fini(buf) struct buf open = { 0 };
	auto_fini(buf) struct buf out = { 0 };
	json_t *many = json_array();
	struct err e = { 0 };

	(void)state;
	assert_int_equal(template_render(deep, NULL, &out, &e), -E2BIG);
	buf_printf(&open, "{{%s", parentheses);
	assert_int_equal(template_render(buf_str(&open), NULL, &out, &e), -E2BIG);
	for (int i = 0; i < 2000; i++)
		json_array_append_new(many, json_integer(i));
	assert_int_equal(template_render("{{range $}}{{range $}}{{end}}{{end}}", many, &out, &e), -E2BIG);
	json_decref(many);
}

static void test_template_makes_titles(void **state)
{
	static const struct example cases[] = {
		{ "{{.ID}}\t{{.Image}}\t{{.CreatedAt}}", "ID\tIMAGE\tCREATED AT" },
		{ "{{.Names}} {{.State.Status}} {{.HTTPPort}}", "NAMES STATUS HTTPPORT" },
		{ "{{json .ID}} {{truncate .Digest 12}} {{upper .Size}} {{join .Ports \",\"}}",
		  "ID DIGEST SIZE PORTS" },
		{ "{{.RunningFor}} {{.Label \"com.x.my-role\"}}", "CREATED MY-ROLE" },
		{ "{{range .Ports}}{{.}}{{end}}|{{if .X}}{{.Y}}{{end}}", "|Y" },
	};
	json_t *titles = json_pack("{s:s}", "RunningFor", "CREATED");

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_fini(buf) struct buf out = { 0 };
		struct err e = { 0 };
		int r = template_header(cases[i].format, titles, &out, &e);

		assert_string_equal(r < 0 ? e.text : buf_str(&out), cases[i].want);
	}
	json_decref(titles);
}

static void test_template_knows_a_table(void **state)
{
	auto_fini(buf) struct buf out = { 0 };

	(void)state;
	assert_string_equal(template_is_table("table {{.ID}}"), "{{.ID}}");
	assert_string_equal(template_is_table("table"), "");
	assert_null(template_is_table("tables {{.ID}}"));
	assert_null(template_is_table("{{.ID}}"));
	template_unescape(&out, "{{.ID}}\\t{{.Name}}\\n\\x");
	assert_string_equal(buf_str(&out), "{{.ID}}\t{{.Name}}\n\\x");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_template_prints_values),
		cmocka_unit_test(test_template_takes_branches_and_loops),
		cmocka_unit_test(test_template_calls_functions),
		cmocka_unit_test(test_template_trims_and_skips_comments),
		cmocka_unit_test(test_template_refuses_with_one_line_and_the_offset),
		cmocka_unit_test(test_template_is_bounded),
		cmocka_unit_test(test_template_makes_titles),
		cmocka_unit_test(test_template_knows_a_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
