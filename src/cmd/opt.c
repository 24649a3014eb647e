/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/cmd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/time.h"

/* One run over a command line. */
struct parse {
	const struct cmd *c;
	void *o;
	int argc;
	char **argv;
	int at; /* the next word */
	struct err *e;
};

static const struct opt *opt_by_name(const struct cmd *c, const char *name, size_t len)
{
	for (const struct opt *t = c->opts; t && t->name; t++)
		if (strlen(t->name) == len && memcmp(t->name, name, len) == 0)
			return t;
	return NULL;
}

static const struct opt *opt_by_letter(const struct cmd *c, char letter)
{
	for (const struct opt *t = c->opts; t && t->name; t++)
		if (t->letter == letter)
			return t;
	return NULL;
}

static int parse_bool(const char *s, bool *ret_b)
{
	static const struct {
		const char *word;
		bool value;
	} word[] = {
		{ "true", true }, { "1", true },    { "t", true },      { "T", true },
		{ "True", true }, { "TRUE", true }, { "false", false }, { "0", false },
		{ "f", false },   { "F", false },   { "False", false }, { "FALSE", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(word); i++)
		if (str_eq(s, word[i].word)) {
			*ret_b = word[i].value;
			return 0;
		}
	return -EINVAL;
}

static int parse_int32(const char *s, int *ret_n)
{
	int64_t n;
	int r = str_to_i64(s, &n);

	if (r == 0 && (n < INT32_MIN || n > INT32_MAX))
		r = -ERANGE;
	if (r == 0)
		*ret_n = (int)n;
	return r;
}

static int parse_bytes(const char *s, int64_t *ret_n)
{
	if (str_eq(s, "-1")) {
		*ret_n = -1;
		return 0;
	}
	return str_to_bytes(s, ret_n);
}

/* parse_cpus() - "1.5" as 1e-9 processors. */
static int parse_cpus(const char *s, int64_t *ret_n)
{
	int64_t whole = 0, fraction = 0, scale = NSEC_PER_SEC;
	const char *p = s;

	for (; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(whole, 10, &whole) ||
		    __builtin_add_overflow(whole, *p - '0', &whole))
			return -ERANGE;
	if (*p == '.')
		for (p++; *p >= '0' && *p <= '9'; p++) {
			if (scale == 1)
				return -ERANGE; /* finer than a nanosecond of each second */
			scale /= 10;
			fraction += (*p - '0') * scale;
		}
	if (*p || p == s || (p == s + 1 && *s == '.'))
		return -EINVAL;
	if (__builtin_mul_overflow(whole, NSEC_PER_SEC, &whole) ||
	    __builtin_add_overflow(whole, fraction, &whole))
		return -ERANGE;
	*ret_n = whole;
	return 0;
}

static int store_owned(char **slot, const char *value)
{
	char *copy = strdup(value);

	if (!copy)
		return -ENOMEM;
	free(*slot);
	*slot = copy;
	return 0;
}

static int store_list(struct strv *v, const char *value)
{
	strv_add(v, value);
	return strv_finish(v);
}

/* store_value() - @value, as typed, into the member of @t. Return: 0, -EINVAL, -ERANGE, -ENOMEM. */
static int store_value(const struct opt *t, void *o, const char *value)
{
	void *slot = (char *)o + t->offset;

	switch (t->kind) {
	case OPT_FLAG: return parse_bool(value, slot);
	case OPT_STRING: *(const char **)slot = value; return 0;
	case OPT_OWNED: return store_owned(slot, value);
	case OPT_LIST: return store_list(slot, value);
	case OPT_INT: return str_to_i64(value, slot);
	case OPT_INT32: return parse_int32(value, slot);
	case OPT_BYTES: return parse_bytes(value, slot);
	case OPT_DURATION: return time_parse_duration(value, slot);
	case OPT_CPUS: return parse_cpus(value, slot);
	case OPT_KIND_COUNT: break;
	}
	BUG_ON(true);
}

static int parse_value(struct parse *p, const struct opt *t, const char *value)
{
	static const char *const want[OPT_KIND_COUNT] = {
		[OPT_FLAG] = "true or false is wanted",
		[OPT_INT] = "a whole number is wanted",
		[OPT_INT32] = "a whole number is wanted",
		[OPT_BYTES] = "a size such as 512m or 2g is wanted",
		[OPT_DURATION] = "a duration such as 300ms, 10s or 1m30s is wanted",
		[OPT_CPUS] = "a number of processors such as 1.5 is wanted",
	};
	int r = store_value(t, p->o, value);

	if (r == -ENOMEM)
		return err_sys(p->e, ENOMEM, "--%s", t->name);
	if (r == -ERANGE)
		return err_set(p->e, EINVAL, "invalid argument \"%s\" for --%s: out of range", value,
			       t->name);
	if (r < 0)
		return err_set(p->e, EINVAL, "invalid argument \"%s\" for --%s: %s", value, t->name,
			       want[t->kind]);
	return 0;
}

enum { FULL_NAME_SIZE = 64 };

static const char *full_name(const struct cmd *c, char *dst)
{
	str_format(dst, FULL_NAME_SIZE, "hull%s%s", c->name[0] ? " " : "", c->name);
	return dst;
}

static int parse_next_value(struct parse *p, const struct opt *t)
{
	char name[FULL_NAME_SIZE];

	if (p->at >= p->argc)
		return err_set(p->e, EINVAL, "flag needs an argument: --%s, see '%s --help'", t->name,
			       full_name(p->c, name));
	return parse_value(p, t, p->argv[p->at++]);
}

/* parse_long() - @word is what stands behind "--". */
static int parse_long(struct parse *p, const char *word)
{
	size_t len = strcspn(word, "=");
	const struct opt *t = opt_by_name(p->c, word, len);
	char name[FULL_NAME_SIZE];

	if (!t && str_eq(word, "help"))
		return -ECANCELED;
	if (!t)
		return err_set(p->e, EINVAL, "unknown flag: --%.*s, see '%s --help'", (int)len, word,
			       full_name(p->c, name));
	if (word[len] == '=')
		return parse_value(p, t, word + len + 1);
	return t->kind == OPT_FLAG ? parse_value(p, t, "true") : parse_next_value(p, t);
}

/*
 * parse_cluster() - @word is what stands behind "-": flags, and maybe one option whose value is the rest
 * or the next word.
 */
static int parse_cluster(struct parse *p, const char *word)
{
	for (const char *s = word; *s; s++) {
		const struct opt *t = opt_by_letter(p->c, *s);
		char name[FULL_NAME_SIZE];
		int r;

		if (!t && *s == 'h')
			return -ECANCELED;
		if (!t)
			return err_set(p->e, EINVAL, "unknown shorthand flag: '%c' in -%s, see '%s --help'",
				       *s, word, full_name(p->c, name));
		if (t->kind != OPT_FLAG)
			return s[1] ? parse_value(p, t, s + 1 + (s[1] == '=')) : parse_next_value(p, t);
		if (s[1] == '=')
			return parse_value(p, t, s + 2);
		r = parse_value(p, t, "true");
		if (r < 0)
			return r;
	}
	return 0;
}

/* parse_words() - until the options end; operands met on the way are moved to the front of @operands. */
static int parse_words(struct parse *p, char **operands, int *ret_n)
{
	int n = 0, r = 0;

	while (p->at < p->argc && r == 0) {
		char *word = p->argv[p->at];

		if (word[0] != '-' || !word[1]) {
			if (p->c->options_first)
				break;
			operands[n++] = word;
			p->at++;
			continue;
		}
		p->at++;
		if (str_eq(word, "--"))
			break;
		r = word[1] == '-' ? parse_long(p, word + 2) : parse_cluster(p, word + 1);
	}
	*ret_n = n;
	return r;
}

int opt_parse(const struct cmd *c, void *o, int argc, char **argv, struct err *e)
{
	struct parse p = { .c = c, .o = o, .argc = argc, .argv = argv, .e = e };
	char **operands = calloc((size_t)argc + 1, sizeof(*operands));
	int n = 0, r;

	if (!operands)
		return err_sys(e, ENOMEM, "reading the command line");
	r = parse_words(&p, operands, &n);
	if (r == 0) {
		/* What follows the options stays; what stood between them goes in front of that. */
		r = p.at - n;
		for (int i = 0; i < n; i++)
			argv[r + i] = operands[i];
	}
	free(operands);
	return r;
}

void opt_fini(const struct cmd *c, void *o)
{
	for (const struct opt *t = c->opts; t && t->name; t++) {
		void *slot = (char *)o + t->offset;

		if (t->kind == OPT_LIST)
			strv_fini(slot);
		if (t->kind != OPT_OWNED)
			continue;
		free(*(char **)slot);
		*(char **)slot = NULL;
	}
}
