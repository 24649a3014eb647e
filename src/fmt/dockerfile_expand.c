/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "fmt/dockerfile.h"
#include "fmt/glob.h"

/* Matching at each place of a value costs its square. */
enum { PATTERN_VALUE_MAX = 4096 };

/* One word being expanded. */
struct expansion {
	const struct df_vars *vars;
	const char *at;
	bool keep_quotes; /* a here-document */
	int depth;
	int rc; /* first failure */
	struct err *e;
};

static void expand_until(struct expansion *x, char stop, bool pattern, struct buf *out);

static void expand_fail(struct expansion *x, int code, const char *what)
{
	if (x->rc == 0)
		x->rc = err_set(x->e, code, "%s", what);
}

static void expand_put(struct expansion *x, struct buf *out, const char *s, size_t len)
{
	if (out->len + len > DF_EXPANDED_MAX)
		expand_fail(x, E2BIG, "a variable makes it longer than 1 MiB");
	else
		buf_put(out, s, len);
}

/* variable_end() - behind the name that begins at @p: a word, or one of the shell's single characters. */
static const char *variable_end(const char *p)
{
	if (isdigit((unsigned char)*p) || (*p && strchr("@*#?!", *p)))
		return p + 1;
	while (isalnum((unsigned char)*p) || *p == '_')
		p++;
	return p;
}

/* cut() - ${v#p} and its kin: how much of @value goes. @longest: "##", "%%". */
static void cut(struct expansion *x, struct buf *out, const char *value, const char *pattern, bool front,
		bool longest)
{
	size_t len = strlen(value), skip = 0;

	for (size_t i = 0; i <= len; i++) {
		size_t n = longest ? len - i : i;

		if (glob_match(pattern, front ? value : value + len - n, n, 0)) {
			skip = n;
			break;
		}
	}
	expand_put(x, out, front ? value + skip : value, len - skip);
}

/* replace() - ${v/p/w}, or with @all ${v//p/w}: the longest match at the first place that has one. */
static void replace(struct expansion *x, struct buf *out, const char *value, const char *pattern,
		    const char *with, bool all)
{
	bool active = *pattern;

	while (*value && x->rc == 0) {
		ssize_t n = active ? glob_prefix(pattern, value, strlen(value), 0) : 0;

		if (n <= 0) {
			expand_put(x, out, value++, 1);
			continue;
		}
		expand_put(x, out, with, strlen(with));
		value += n;
		active = all;
	}
}

/* expand_pattern() - behind ${v# ${v% ${v/ : the operator itself is at x->at. */
static void expand_pattern(struct expansion *x, const char *value, struct buf *out)
{
	auto_fini(buf) struct buf pattern = { 0 }, with = { 0 };
	const char op = *x->at++;
	bool twice = *x->at == op;

	x->at += twice;
	expand_until(x, op == '/' ? '/' : '}', true, &pattern);
	if (op == '/')
		expand_until(x, '}', false, &with);
	if (strlen(value) > PATTERN_VALUE_MAX)
		expand_fail(x, E2BIG, "the value is too long for a pattern");
	if (glob_check(buf_str(&pattern)) < 0)
		expand_fail(x, EINVAL, "not a pattern");
	if (x->rc < 0)
		return;
	if (op == '/')
		replace(x, out, value, buf_str(&pattern), buf_str(&with), twice);
	else
		cut(x, out, value, buf_str(&pattern), op == '#', twice);
}

/* expand_word() - behind ${v- ${v+ ${v? and their forms with a colon, which take an empty value for none. */
static void expand_word(struct expansion *x, const char *name, const char *value, struct buf *out)
{
	auto_fini(buf) struct buf word = { 0 };
	bool colon = *x->at == ':', have;
	char op;

	x->at += colon;
	op = *x->at;
	if (op != '-' && op != '+' && op != '?') {
		expand_fail(x, EINVAL, "unsupported modifier in a substitution");
		return;
	}
	x->at++;
	expand_until(x, '}', false, &word);
	have = value && (!colon || *value);
	if (op == '+')
		expand_put(x, out, buf_str(&word), have ? word.len : 0);
	else if (have)
		expand_put(x, out, value, strlen(value));
	else if (op == '-')
		expand_put(x, out, buf_str(&word), word.len);
	else if (x->rc == 0)
		x->rc = err_set(x->e, EINVAL, "%s: %s", name, word.len ? buf_str(&word) : "not set");
}

/* expand_braced() - x->at is behind "${". */
static void expand_braced(struct expansion *x, struct buf *out)
{
	const char *start = x->at, *end = variable_end(start), *value;
	auto_free char *name = strndup(start, (size_t)(end - start));

	if (!name || !*name) {
		expand_fail(x, name ? EINVAL : ENOMEM, name ? "no name in '${'" : "out of memory");
		return;
	}
	x->at = end;
	value = x->vars->lookup(x->vars->arg, name);
	switch (*x->at) {
	case '}':
		x->at++;
		expand_put(x, out, value ? value : "", value ? strlen(value) : 0);
		break;
	case '\0': expand_fail(x, EINVAL, "no '}' for '${'"); break;
	case '#':
	case '%':
	case '/': expand_pattern(x, value ? value : "", out); break;
	default: expand_word(x, name, value, out);
	}
}

/* expand_dollar() - x->at is at '$'. */
static void expand_dollar(struct expansion *x, struct buf *out)
{
	const char *end = variable_end(x->at + 1);
	const char *value;
	char *name;

	if (x->at[1] == '{') {
		x->at += 2;
		if (x->depth == DF_NESTING_MAX) {
			expand_fail(x, E2BIG, "substitutions are nested too deeply");
			return;
		}
		x->depth++;
		expand_braced(x, out);
		x->depth--;
		return;
	}
	if (end == x->at + 1) {
		expand_put(x, out, x->at++, 1);
		return;
	}
	name = strndup(x->at + 1, (size_t)(end - x->at - 1));
	if (!name) {
		expand_fail(x, ENOMEM, "out of memory");
		return;
	}
	value = x->vars->lookup(x->vars->arg, name);
	free(name);
	expand_put(x, out, value ? value : "", value ? strlen(value) : 0);
	x->at = end;
}

static void expand_single(struct expansion *x, struct buf *out)
{
	const char *end = strchr(++x->at, '\'');

	if (!end) {
		expand_fail(x, EINVAL, "no closing single quote");
		return;
	}
	expand_put(x, out, x->at, (size_t)(end - x->at));
	x->at = end + 1;
}

static void expand_double(struct expansion *x, struct buf *out)
{
	const char escape = x->vars->escape;

	for (x->at++; x->rc == 0 && *x->at != '"';) {
		if (!*x->at) {
			expand_fail(x, EINVAL, "no closing double quote");
		} else if (*x->at == '$') {
			expand_dollar(x, out);
		} else {
			if (*x->at == escape && x->at[1] &&
			    (x->at[1] == '"' || x->at[1] == '$' || x->at[1] == escape))
				x->at++;
			expand_put(x, out, x->at++, 1);
		}
	}
	x->at += *x->at == '"';
}

/*
 * expand_until() - up to an unquoted @stop (taken), or to the end when that is NUL
 * @pattern: escapes stay, for glob_match() (which knows only the backslash)
 */
static void expand_until(struct expansion *x, char stop, bool pattern, struct buf *out)
{
	while (x->rc == 0 && *x->at != stop) {
		if (!*x->at) {
			expand_fail(x, EINVAL, "no '}' for '${'");
		} else if (*x->at == '\'' && !x->keep_quotes) {
			expand_single(x, out);
		} else if (*x->at == '"' && !x->keep_quotes) {
			expand_double(x, out);
		} else if (*x->at == '$') {
			expand_dollar(x, out);
		} else if (*x->at == x->vars->escape) {
			x->at++;
			if (pattern && *x->at)
				expand_put(x, out, "\\", 1);
			if (*x->at)
				expand_put(x, out, x->at++, 1);
		} else {
			expand_put(x, out, x->at++, 1);
		}
	}
	if (x->rc == 0 && stop)
		x->at++;
}

static int expand(struct expansion *x, char **ret, struct arena *a)
{
	auto_fini(buf) struct buf out = { 0 };
	char *copy;

	expand_until(x, '\0', false, &out);
	if (x->rc < 0)
		return x->rc;
	copy = buf_finish(&out) < 0 ? NULL : arena_strndup(a, buf_str(&out), out.len);
	if (!copy)
		return err_set(x->e, ENOMEM, "out of memory");
	*ret = copy;
	return 0;
}

int df_expand(const struct df_vars *v, const char *word, char **ret, struct arena *a, struct err *e)
{
	struct expansion x = { .vars = v, .at = word, .e = e };

	return expand(&x, ret, a);
}

int df_expand_doc(const struct df_vars *v, const char *text, char **ret, struct arena *a, struct err *e)
{
	struct expansion x = { .vars = v, .at = text, .keep_quotes = true, .e = e };

	return expand(&x, ret, a);
}

static bool is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* word_end() - behind the word at @p. */
static const char *word_end(const char *p, char escape)
{
	char quote = '\0';

	for (; *p && (quote || !is_blank(*p)); p++) {
		if (*p == escape && quote != '\'' && p[1])
			p++;
		else if (quote && *p == quote)
			quote = '\0';
		else if (!quote && (*p == '"' || *p == '\''))
			quote = *p;
	}
	return p;
}

int df_split(const char *text, char escape, char ***ret_words, size_t *ret_n, struct arena *a)
{
	const char *p, *end;
	size_t n = 0;
	char **words;

	for (int pass = 0; pass < 2; pass++) {
		words = pass ? arena_array(a, n + 1, sizeof(*words)) : NULL;
		if (pass && !words)
			return -ENOMEM;
		n = 0;
		for (p = text;; p = end) {
			while (is_blank(*p))
				p++;
			if (!*p)
				break;
			end = word_end(p, escape);
			if (pass && !(words[n] = arena_strndup(a, p, (size_t)(end - p))))
				return -ENOMEM;
			n++;
		}
	}
	*ret_words = words;
	*ret_n = n;
	return 0;
}
