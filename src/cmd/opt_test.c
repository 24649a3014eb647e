/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/time.h"
#include "cmd/cmd.h"

struct some {
	bool detach, tty, rm;
	const char *name;
	char *user;
	struct strv env;
	int64_t count, memory, cpus;
	int small;
	nsec_t time;
};
#define OPT(member) offsetof(struct some, member)

static const struct opt opts[] = { { "detach", 'd', OPT_FLAG, OPT(detach), NULL, "x", NULL },
				   { "tty", 't', OPT_FLAG, OPT(tty), NULL, "x", NULL },
				   { "rm", 0, OPT_FLAG, OPT(rm), NULL, "x", NULL },
				   { "name", 'n', OPT_STRING, OPT(name), NULL, "x", NULL },
				   { "user", 'u', OPT_OWNED, OPT(user), NULL, "x", NULL },
				   { "env", 'e', OPT_LIST, OPT(env), NULL, "x", NULL },
				   { "count", 'c', OPT_INT, OPT(count), NULL, "x", NULL },
				   { "small", 0, OPT_INT32, OPT(small), NULL, "x", NULL },
				   { "memory", 'm', OPT_BYTES, OPT(memory), NULL, "x", NULL },
				   { "cpus", 0, OPT_CPUS, OPT(cpus), NULL, "x", NULL },
				   { "time", 0, OPT_DURATION, OPT(time), NULL, "x", NULL },
				   { 0 } };

static const struct cmd free_order = {
	.name = "some", .opts = opts, .opts_size = sizeof(struct some), .max_args = -1
};
static const struct cmd first_ends = {
	.name = "some", .opts = opts, .opts_size = sizeof(struct some), .max_args = -1, .options_first = true
};

/*
 * One command line, split at blanks. opt_parse() moves words about, so the ones it is given are borrowed
 * from @owned.
 */
struct line {
	struct strv owned;
	struct {
		char **item;
		size_t len;
	} word;
	struct some o;
	struct err e;
	int first;
};

static void parse(struct line *l, const struct cmd *c, const char *text)
{
	*l = (struct line){ 0 };
	strv_split(&l->owned, text, ' ');
	l->word.len = l->owned.len;
	l->word.item = test_malloc(l->owned.len * sizeof(char *));
	memcpy(l->word.item, l->owned.item, l->owned.len * sizeof(char *));
	l->first = opt_parse(c, &l->o, (int)l->word.len, l->word.item, &l->e);
}

static void done(struct line *l, const struct cmd *c)
{
	opt_fini(c, &l->o);
	test_free(l->word.item);
	strv_fini(&l->owned);
}

static void test_opt_takes_values_in_every_form(void **state)
{
	static const char *const text[] = { "--name x a", "--name=x a", "-n x a", "-nx a",
					    "-n=x a",     "-dn x a",    "-dtnx a" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(text); i++) {
		struct line l;

		parse(&l, &free_order, text[i]);
		assert_true(l.first >= 0);
		assert_string_equal(l.o.name, "x");
		assert_string_equal(l.word.item[l.first], "a");
		done(&l, &free_order);
	}
}

static void test_opt_reads_flags_with_and_without_a_value(void **state)
{
	static const struct {
		const char *text;
		bool want;
	} c[] = {
		{ "--rm", true },        { "--rm=true", true },        { "--rm=1", true },
		{ "--rm=false", false }, { "--rm --rm=false", false }, { "--rm=0", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(c); i++) {
		struct line l;

		parse(&l, &free_order, c[i].text);
		assert_true(l.first >= 0);
		assert_int_equal(l.o.rm, c[i].want);
		done(&l, &free_order);
	}
}

static void test_opt_reads_numbers(void **state)
{
	struct line l;

	(void)state;
	parse(&l, &free_order, "-c -7 --small 12 -m 1.5g --cpus 1.25 --time 1m30s");
	assert_int_equal(l.first, (int)l.word.len);
	assert_int_equal(l.o.count, -7);
	assert_int_equal(l.o.small, 12);
	assert_int_equal(l.o.memory, 1610612736);
	assert_int_equal(l.o.cpus, 1250000000);
	assert_int_equal(l.o.time, 90 * NSEC_PER_SEC);
	done(&l, &free_order);
	parse(&l, &free_order, "-m -1 --cpus .5");
	assert_int_equal(l.o.memory, -1);
	assert_int_equal(l.o.cpus, 500000000);
	done(&l, &free_order);
}

static void test_opt_finds_options_among_operands(void **state)
{
	struct line l;

	(void)state;
	parse(&l, &free_order, "a -d b --name x c");
	assert_true(l.first >= 0 && l.o.detach);
	assert_int_equal((int)l.word.len - l.first, 3);
	assert_string_equal(l.word.item[l.first], "a");
	assert_string_equal(l.word.item[l.first + 1], "b");
	assert_string_equal(l.word.item[l.first + 2], "c");
	done(&l, &free_order);
}

static void test_opt_leaves_the_command_behind_the_image_alone(void **state)
{
	struct line l;

	(void)state;
	parse(&l, &first_ends, "-d image ls -d --name y");
	assert_int_equal(l.first, 1);
	assert_null(l.o.name);
	done(&l, &first_ends);
}

static void test_opt_ends_at_two_dashes(void **state)
{
	struct line l;

	(void)state;
	parse(&l, &free_order, "a -- -d b");
	assert_false(l.o.detach);
	assert_int_equal((int)l.word.len - l.first, 3);
	assert_string_equal(l.word.item[l.first], "a");
	assert_string_equal(l.word.item[l.first + 1], "-d");
	done(&l, &free_order);
	parse(&l, &free_order, "-"); /* standard input is an operand */
	assert_int_equal(l.first, 0);
	done(&l, &free_order);
}

static void test_opt_keeps_lists_and_the_last_of_single_values(void **state)
{
	struct line l;

	(void)state;
	parse(&l, &free_order, "-e A=1 --env B=2 -u x -u y");
	assert_int_equal(l.o.env.len, 2);
	assert_string_equal(l.o.env.item[1], "B=2");
	assert_string_equal(l.o.user, "y");
	done(&l, &free_order);
	assert_null(l.o.user);
}

static void test_opt_refuses_what_it_does_not_know(void **state)
{
	static const struct {
		const char *text, *why;
	} c[] = {
		{ "--nmae x", "unknown flag: --nmae" },
		{ "--nmae=x", "unknown flag: --nmae, see" },
		{ "-dz", "unknown shorthand flag: 'z' in -dz" },
		{ "--name", "flag needs an argument: --name" },
		{ "-n", "flag needs an argument: --name" },
		{ "--rm=maybe", "invalid argument \"maybe\" for --rm" },
		{ "-m 5x", "invalid argument \"5x\" for --memory" },
		{ "-m -2", "for --memory" },
		{ "-c 1.5", "for --count" },
		{ "--small 3000000000", "for --small: out of range" },
		{ "--cpus x", "for --cpus" },
		{ "--cpus .", "for --cpus" },
		{ "--cpus 1e3", "for --cpus" },
		{ "--time 5", "for --time" },
		{ "--time ", "for --time" },
		{ "-c 99999999999999999999", "for --count: out of range" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(c); i++) {
		struct line l;

		parse(&l, &free_order, c[i].text);
		if (l.first != -EINVAL || !strstr(l.e.text, c[i].why))
			fail_msg("'%s': want '%s', got %d '%s'", c[i].text, c[i].why, l.first, l.e.text);
		done(&l, &free_order);
	}
}

static void test_opt_sees_a_call_for_help(void **state)
{
	static const char *const text[] = { "--help", "-d --help", "-h", "-dh" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(text); i++) {
		struct line l;

		parse(&l, &free_order, text[i]);
		assert_int_equal(l.first, -ECANCELED);
		done(&l, &free_order);
	}
}

/* Every table: names and letters are there once, and every option says what it is. */
static void test_opt_tables_are_sound(void **state)
{
	(void)state;
	for (const struct cmd *const *c = cmd_table; *c; c++) {
		assert_true((*c)->name && (*c)->summary && (*c)->run);
		for (const struct opt *a = (*c)->opts; a && a->name; a++) {
			if (!a->help || a->offset >= (*c)->opts_size)
				fail_msg("%s --%s: no help, or outside of its struct", (*c)->name, a->name);
			for (const struct opt *b = a + 1; b->name; b++)
				if (str_eq(a->name, b->name) || (a->letter && a->letter == b->letter))
					fail_msg("%s: --%s and --%s clash", (*c)->name, a->name, b->name);
		}
	}
}

static void test_opt_suggests_a_near_command(void **state)
{
	static const struct {
		const char *word, *want;
	} c[] = {
		{ "rnu", "run" },  { "imges", "images" },   { "strat", "start" },
		{ "xyzzy", NULL }, { "inspec", "inspect" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(c); i++) {
		const char *got = cmd_suggest(c[i].word);

		if (c[i].want ? !str_eq(got, c[i].want) : got != NULL)
			fail_msg("'%s': want '%s', got '%s'", c[i].word, c[i].want ? c[i].want : "nothing",
				 got ? got : "nothing");
	}
}

static void test_opt_finds_commands_by_name_and_alias(void **state)
{
	static const struct {
		const char *line, *want;
		int words;
	} c[] = {
		{ "run x", "run", 1 },          { "container ls", "ps", 2 },
		{ "image ls -q", "images", 2 }, { "system df", "system df", 2 },
		{ "container run", "run", 2 },  { "volume list", "volume ls", 2 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(c); i++) {
		struct strv word = { 0 };
		const struct cmd *got;
		int words;

		strv_split(&word, c[i].line, ' ');
		got = cmd_find((int)word.len, word.item, &words);
		if (!got || !str_eq(got->name, c[i].want) || words != c[i].words)
			fail_msg("'%s': want '%s', got '%s'", c[i].line, c[i].want,
				 got ? got->name : "nothing");
		strv_fini(&word);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_opt_takes_values_in_every_form),
		cmocka_unit_test(test_opt_reads_flags_with_and_without_a_value),
		cmocka_unit_test(test_opt_reads_numbers),
		cmocka_unit_test(test_opt_finds_options_among_operands),
		cmocka_unit_test(test_opt_leaves_the_command_behind_the_image_alone),
		cmocka_unit_test(test_opt_ends_at_two_dashes),
		cmocka_unit_test(test_opt_keeps_lists_and_the_last_of_single_values),
		cmocka_unit_test(test_opt_refuses_what_it_does_not_know),
		cmocka_unit_test(test_opt_sees_a_call_for_help),
		cmocka_unit_test(test_opt_tables_are_sound),
		cmocka_unit_test(test_opt_suggests_a_near_command),
		cmocka_unit_test(test_opt_finds_commands_by_name_and_alias),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
