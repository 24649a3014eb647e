/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/dockerfile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/arena.h"
#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"

static int parse(struct dockerfile *df, struct arena *a, const char *text, struct err *e)
{
	*e = (struct err){ 0 };
	return dockerfile_parse(df, "Dockerfile", text, strlen(text), a, e);
}

static void parse_well(struct dockerfile *df, struct arena *a, const char *text)
{
	struct err e;

	if (parse(df, a, text, &e) < 0)
		fail_msg("%s\nin:\n%s", e.text, text);
}

static void test_dockerfile_refuses_with_line_and_column(void **state)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{ "FROM a\n\nCOPPY x y\n",
		  "Dockerfile:3:1: unknown instruction 'COPPY' (did you mean COPY?)" },
		{ "FROM a\n  frm b\n", "Dockerfile:2:3: unknown instruction 'frm' (did you mean FROM?)" },
		{ "FROM a\nxyzzy b\n", "Dockerfile:2:1: unknown instruction 'xyzzy'" },
		{ "", "Dockerfile: no instructions" },
		{ "# only\n\n", "Dockerfile: no instructions" },
		{ "ARG a\n", "Dockerfile: no FROM" },
		{ "RUN a\nFROM b\n", "Dockerfile:1:1: RUN stands in front of the first FROM" },
		{ "FROM\n", "Dockerfile:1:1: FROM wants IMAGE [AS NAME]" },
		{ "FROM a b\n", "Dockerfile:1:1: FROM wants IMAGE [AS NAME]" },
		{ "FROM a is b\n", "Dockerfile:1:1: FROM wants IMAGE [AS NAME]" },
		{ "FROM a as b c\n", "Dockerfile:1:1: FROM wants IMAGE [AS NAME]" },
		{ "FROM a AS 1b\n",
		  "Dockerfile:1:1: '1b' is not a name for a stage (letters, digits, '-', '_', '.')" },
		{ "FROM a\nCOPY x\n", "Dockerfile:2:1: COPY wants SOURCE... DESTINATION" },
		{ "FROM a\nCOPY --form=b x y\n", "Dockerfile:2:6: COPY has no flag --form" },
		{ "FROM a\nCOPY \\\n   --from=b \\\n  --from=c x y\n",
		  "Dockerfile:4:3: COPY --from is given twice" },
		{ "FROM a\nENV a\n", "Dockerfile:2:1: ENV a has no value" },
		{ "FROM a\nENV a=b c\n", "Dockerfile:2:1: ENV: 'c' is not NAME=VALUE" },
		{ "FROM a\nENV =b\n", "Dockerfile:2:1: ENV: '=b' is not NAME=VALUE" },
		{ "FROM a\nSHELL sh\n", "Dockerfile:2:1: SHELL wants a JSON array of strings" },
		{ "FROM a\nUSER\n", "Dockerfile:2:1: USER wants USER[:GROUP]" },
		{ "FROM a\nRUN\n", "Dockerfile:2:1: RUN wants a command" },
		{ "FROM a\nRUN []\n", "Dockerfile:2:1: RUN wants a command" },
		{ "FROM a\nHEALTHCHECK x\n", "Dockerfile:2:1: HEALTHCHECK wants NONE or CMD and a command" },
		{ "FROM a\nHEALTHCHECK NONE x\n", "Dockerfile:2:1: HEALTHCHECK NONE takes nothing more" },
		{ "FROM a\nHEALTHCHECK CMD\n", "Dockerfile:2:1: HEALTHCHECK CMD wants a command" },
		{ "FROM a\nONBUILD FROM b\n", "Dockerfile:2:1: ONBUILD cannot hold FROM" },
		{ "FROM a\nONBUILD NOPE b\n", "Dockerfile:2:1: ONBUILD: unknown instruction 'NOPE'" },
		{ "FROM a\nRUN <<EOF\nx\n", "Dockerfile:2:1: the here-document 'EOF' has no end" },
		{ "# escape=x\nFROM a\n", "Dockerfile:1:1: escape is '\\' or '`', not 'x'" },
		{ "# escape=`\n# ESCAPE = `\nFROM a\n",
		  "Dockerfile:2:1: the directive 'escape' stands here twice" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_fini(arena) struct arena a = { 0 };
		struct dockerfile df;
		struct err e;

		assert_int_equal(parse(&df, &a, cases[i].text, &e), -EINVAL);
		assert_string_equal(e.text, cases[i].want);
		assert_int_equal(
			dockerfile_parse(&df, "Dockerfile", cases[i].text, strlen(cases[i].text), &a, NULL),
			-EINVAL);
	}
}

static void test_dockerfile_refuses_bytes_that_are_not_text(void **state)
{
	auto_fini(arena) struct arena a = { 0 };
	struct dockerfile df;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(dockerfile_parse(&df, "F", "FROM a\n\0RUN b", 13, &a, &e), -EINVAL);
	assert_string_equal(e.text, "F: not a text file: a NUL byte at offset 7");
}

/* dump() - one instruction as text: op, flags, words between bars, pairs. */
static const char *dump(const struct df_inst *i, struct arena *a)
{
	const char *s = df_op_name(i->op);

	for (size_t f = 0; f < i->n_flags; f++)
		s = arena_printf(a, "%s --%s=%s", s, i->flags[f].name, i->flags[f].value);
	if (i->json)
		s = arena_printf(a, "%s json", s);
	for (size_t w = 0; i->words && w < i->n_words; w++)
		s = arena_printf(a, "%s|%s", s, i->words[w]);
	for (size_t p = 0; p < i->n_pairs; p++)
		s = arena_printf(a, "%s {%s}{%s}", s, i->pairs[p].key,
				 i->pairs[p].value ? i->pairs[p].value : "-");
	for (size_t d = 0; d < i->n_docs; d++)
		s = arena_printf(a, "%s <%s%s:%s>", s, i->docs[d].name, i->docs[d].expand ? "" : "!",
				 i->docs[d].text);
	return s;
}

static void test_dockerfile_reads_each_form(void **state)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{ "RUN echo  a  b ", "RUN|echo  a  b" },
		{ "run echo a \\\n  && echo b", "RUN|echo a   && echo b" },
		{ "RUN a \\\n# comment\n\n  # more\nb", "RUN|a b" },
		{ "RUN a \\  \nb", "RUN|a b" },
		{ "RUN a \\\\\nEXPOSE 1", "RUN|a \\\\" },
		{ "RUN [\"a\", \"b c\"]", "RUN json|a|b c" },
		{ "RUN [\"a\", b]", "RUN|[\"a\", b]" },
		{ "RUN [\"a\", 1]", "RUN|[\"a\", 1]" },
		{ "RUN [ a = b ]", "RUN|[ a = b ]" },
		{ "RUN [\"a\"] && b", "RUN|[\"a\"] && b" },
		{ "RUN --network=none --mount=type=cache,target=/a --mount=type=tmpfs,target=/b x --y",
		  "RUN --network=none --mount=type=cache,target=/a --mount=type=tmpfs,target=/b|x --y" },
		{ "RUN -- --x", "RUN|--x" },
		{ "CMD []", "CMD json" },
		{ "CMD a b", "CMD|a b" },
		{ "COPY --from=b --link a   b\tc", "COPY --from=b --link=|a|b|c" },
		{ "COPY [\"a b\", \"c\"]", "COPY json|a b|c" },
		{ "ADD a /b/", "ADD|a|/b/" },
		{ "ENV a=b c=\"d e\" f='g \"h' i=j\\ k", "ENV {a}{b} {c}{\"d e\"} {f}{'g \"h'} {i}{j\\ k}" },
		{ "ENV a b  c=d", "ENV {a}{b  c=d}" },
		{ "ENV a=", "ENV {a}{}" },
		{ "LABEL \"a.b\"=c", "LABEL {\"a.b\"}{c}" },
		{ "ARG a b=c", "ARG {a}{-} {b}{c}" },
		{ "EXPOSE 80 90/udp", "EXPOSE|80|90/udp" },
		{ "VOLUME /a /b", "VOLUME|/a|/b" },
		{ "VOLUME [\"/a b\"]", "VOLUME json|/a b" },
		{ "WORKDIR /a b", "WORKDIR|/a b" },
		{ "SHELL [\"/bin/x\", \"-c\"]", "SHELL json|/bin/x|-c" },
		{ "HEALTHCHECK none", "HEALTHCHECK|NONE" },
		{ "HEALTHCHECK --interval=5s --retries=3 CMD  a b",
		  "HEALTHCHECK --interval=5s --retries=3|CMD|a b" },
		{ "HEALTHCHECK CMD [\"a\",\"b\"]", "HEALTHCHECK json|CMD|a|b" },
		{ "ONBUILD  RUN a b", "ONBUILD|RUN a b" },
		{ "MAINTAINER a <b>", "MAINTAINER|a <b>" },
		{ "STOPSIGNAL SIGINT", "STOPSIGNAL|SIGINT" },
		{ "RUN <<EOF\na\n b $c\nEOF", "RUN|<<EOF <EOF:a\n b $c\n>" },
		{ "RUN cat <<'A' <<-B\nx\nA\n\ty\n\tB", "RUN|cat <<'A' <<-B <A!:x\n> <B:y\n>" },
		{ "COPY <<f 3<<\"g h\" /d/\n1\nf\ng h", "COPY|<<f|3<<\"g|h\"|/d/ <f:1\n> <g h!:>" },
		{ "RUN echo $((1<<2)) a<<B <<<c", "RUN|echo $((1<<2)) a<<B <<<c" },
		{ "RUN <<EOF\r\na\r\nEOF\r", "RUN|<<EOF <EOF:a\n>" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_fini(arena) struct arena a = { 0 };
		struct dockerfile df;

		parse_well(&df, &a, arena_printf(&a, "FROM x\n%s\n", cases[i].text));
		assert_string_equal(dump(&df.inst[1], &a), cases[i].want);
		assert_int_equal(df.inst[1].line, 2);
	}
}

static void test_dockerfile_cuts_stages(void **state)
{
	auto_fini(arena) struct arena a = { 0 };
	struct dockerfile df;

	(void)state;
	parse_well(&df, &a,
		   "\xEF\xBB\xBF# a comment\nARG v=1\nFROM --platform=linux/amd64 a:$v as Build-1\n"
		   "RUN x\nRUN y\n\nFROM scratch\nCOPY --from=build-1 / /");
	assert_int_equal(df.n_global, 1);
	assert_int_equal(df.n_stages, 2);
	assert_string_equal(df.stages[0].base, "a:$v");
	assert_string_equal(df.stages[0].name, "build-1");
	assert_string_equal(df_flag(df.stages[0].from, "platform"), "linux/amd64");
	assert_int_equal(df.stages[0].n_inst, 2);
	assert_int_equal(df.stages[0].inst[1].line, 5);
	assert_null(df.stages[1].name);
	assert_int_equal(df.stages[1].n_inst, 1);
	assert_string_equal(df_flag(&df.stages[1].inst[0], "from"), "build-1");
	assert_null(df_flag(&df.stages[1].inst[0], "chown"));
}

static void test_dockerfile_honours_the_escape_directive(void **state)
{
	auto_fini(arena) struct arena a = { 0 };
	struct dockerfile df;

	(void)state;
	parse_well(&df, &a,
		   "# syntax=docker/dockerfile:1\r\n#escape=`\r\nFROM a\r\nRUN x `\r\n  y\\\r\nCMD z");
	assert_int_equal(df.escape, '`');
	assert_string_equal(df.inst[1].words[0], "x   y\\");
	assert_int_equal(df.inst[2].line, 6);
	parse_well(&df, &a, "\n# escape=`\nFROM a\n"); /* not at the very top: a comment */
	assert_int_equal(df.escape, '\\');
}

static void test_dockerfile_reads_a_trigger_alone(void **state)
{
	auto_fini(arena) struct arena a = { 0 };
	struct df_inst inst;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(dockerfile_parse_one(&inst, "ONBUILD", "COPY a b", &a, &e), 0);
	assert_string_equal(dump(&inst, &a), "COPY|a|b");
	assert_int_equal(dockerfile_parse_one(&inst, "ONBUILD", "  \n", &a, &e), -EINVAL);
	assert_string_equal(e.text, "ONBUILD: an empty instruction");
}

static const char *lookup(void *arg, const char *name)
{
	static const char *const vars[][2] = {
		{ "a", "1" },   { "e", "" },      { "path", "/usr/local/lib.tar.gz" },
		{ "q", "\"'" }, { "two", "x y" },
	};

	(void)arg;
	for (size_t i = 0; i < ARRAY_SIZE(vars); i++) {
		if (str_eq(vars[i][0], name))
			return vars[i][1];
	}
	return NULL;
}

static void test_expand_replaces_variables(void **state)
{
	static const struct {
		const char *word, *want;
	} cases[] = {
		{ "plain", "plain" },
		{ "", "" },
		{ "$a", "1" },
		{ "${a}", "1" },
		{ "x${a}y$a-$a", "x1y1-1" },
		{ "$none", "" },
		{ "$a$b", "1" },
		{ "$ab", "" },
		{ "$", "$" },
		{ "a$", "a$" },
		{ "$-", "$-" },
		{ "$1x", "x" },
		{ "\\$a", "$a" },
		{ "\\\\$a", "\\1" },
		{ "'$a'", "$a" },
		{ "\"$a\"", "1" },
		{ "\"\\$a \\\" \\n\"", "$a \" \\n" },
		{ "a\\ b", "a b" },
		{ "\\", "" },
		{ "'a\\'", "a\\" },
		{ "$q", "\"'" },
		{ "\"'$a'\"", "'1'" },
		{ "${none:-w}", "w" },
		{ "${e:-w}", "w" },
		{ "${a:-w}", "1" },
		{ "${none-w}", "w" },
		{ "${e-w}", "" },
		{ "${a:+w}", "w" },
		{ "${e:+w}", "" },
		{ "${none:+w}", "" },
		{ "${e+w}", "w" },
		{ "${none+w}", "" },
		{ "${none:-${none:-$a}}", "1" },
		{ "${none:-'}'}", "}" },
		{ "${none:-\\}}", "}" },
		{ "${none:-a b}", "a b" },
		{ "${a:?no}", "1" },
		{ "${e?no}", "" },
		{ "${path#*/}", "usr/local/lib.tar.gz" },
		{ "${path##*/}", "lib.tar.gz" },
		{ "${path%.*}", "/usr/local/lib.tar" },
		{ "${path%%.*}", "/usr/local/lib" },
		{ "${path#x}", "/usr/local/lib.tar.gz" },
		{ "${path%\\*}", "/usr/local/lib.tar.gz" },
		{ "${path/l/L}", "/usr/Local/lib.tar.gz" },
		{ "${path//l/L}", "/usr/LocaL/Lib.tar.gz" },
		{ "${path//[aeiou]/}", "/sr/lcl/lb.tr.gz" },
		{ "${path/u*l/X}", "/Xib.tar.gz" },
		{ "${two// /_}", "x_y" },
	};
	const struct df_vars vars = { .lookup = lookup, .escape = '\\' };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_fini(arena) struct arena a = { 0 };
		struct err e = { 0 };
		char *got = NULL;

		if (df_expand(&vars, cases[i].word, &got, &a, &e) < 0)
			fail_msg("%s: %s", cases[i].word, e.text);
		if (strcmp(got, cases[i].want) != 0)
			fail_msg("%s: got '%s', want '%s'", cases[i].word, got, cases[i].want);
	}
}

static void test_expand_refuses_what_is_not_whole(void **state)
{
	static const struct {
		const char *word, *want;
	} cases[] = {
		{ "'a", "no closing single quote" },
		{ "\"a", "no closing double quote" },
		{ "${a", "no '}' for '${'" },
		{ "${a:-b", "no '}' for '${'" },
		{ "${}", "no name in '${'" },
		{ "${a:b}", "unsupported modifier in a substitution" },
		{ "${a^}", "unsupported modifier in a substitution" },
		{ "${none:?is needed}", "none: is needed" },
		{ "${none?}", "none: not set" },
		{ "${path#[}", "not a pattern" },
	};
	const struct df_vars vars = { .lookup = lookup, .escape = '\\' };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_fini(arena) struct arena a = { 0 };
		struct err e = { 0 };
		char *got = (char *)"untouched";

		assert_int_equal(df_expand(&vars, cases[i].word, &got, &a, &e), -EINVAL);
		assert_string_equal(e.text, cases[i].want);
		assert_string_equal(got, "untouched");
	}
}

static const char *lookup_long(void *arg, const char *name)
{
	(void)name;
	return arg;
}

static void test_expand_stays_within_its_limits(void **state)
{
	auto_fini(arena) struct arena a = { 0 };
	char *big = malloc(DF_EXPANDED_MAX + 1), *deep = malloc(6 * 100 + 200), *got;
	const struct df_vars vars = { .lookup = lookup_long, .arg = big, .escape = '\\' };
	const struct df_vars none = { .lookup = lookup, .escape = '\\' };
	struct err e = { 0 };

	(void)state;
	memset(big, 'x', DF_EXPANDED_MAX);
	big[DF_EXPANDED_MAX] = '\0';
	assert_int_equal(df_expand(&vars, "$a", &got, &a, &e), 0);
	assert_int_equal(df_expand(&vars, "$a$a", &got, &a, &e), -E2BIG);
	assert_string_equal(e.text, "a variable makes it longer than 1 MiB");
	deep[0] = '\0';
	for (int i = 0; i < 100; i++)
		strcat(deep, "${n:-");
	for (int i = 0; i < 100; i++)
		strcat(deep, "}");
	assert_int_equal(df_expand(&none, deep, &got, &a, &e), -E2BIG);
	assert_string_equal(e.text, "substitutions are nested too deeply");
	free(big);
	free(deep);
}

static void test_expand_keeps_quotes_in_here_documents(void **state)
{
	auto_fini(arena) struct arena a = { 0 };
	const struct df_vars vars = { .lookup = lookup, .escape = '\\' };
	struct err e = { 0 };
	char *got;

	(void)state;
	assert_int_equal(df_expand_doc(&vars, "it's \"$a\"\n\\$a '${none:-x}'\n", &got, &a, &e), 0);
	assert_string_equal(got, "it's \"1\"\n$a 'x'\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dockerfile_refuses_with_line_and_column),
		cmocka_unit_test(test_dockerfile_refuses_bytes_that_are_not_text),
		cmocka_unit_test(test_dockerfile_reads_each_form),
		cmocka_unit_test(test_dockerfile_cuts_stages),
		cmocka_unit_test(test_dockerfile_honours_the_escape_directive),
		cmocka_unit_test(test_dockerfile_reads_a_trigger_alone),
		cmocka_unit_test(test_expand_replaces_variables),
		cmocka_unit_test(test_expand_refuses_what_is_not_whole),
		cmocka_unit_test(test_expand_stays_within_its_limits),
		cmocka_unit_test(test_expand_keeps_quotes_in_here_documents),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
