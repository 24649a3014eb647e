/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: the pattern is a row of tokens, and a set of positions in it is carried over the
 * text byte by byte (a non-deterministic automaton run as such), so that no pattern can make matching
 * exponential.
 */
#include "fmt/glob.h"

#include <errno.h>
#include <string.h>

/* class_end() - behind the ']' that closes the class opening at @p, or NULL. */
static const char *class_end(const char *p)
{
	p++;
	if (*p == '^' || *p == '!')
		p++;
	for (bool first = true; *p; first = false) {
		if (*p == ']' && !first)
			return p + 1;
		if (*p == '\\' && !*++p)
			return NULL;
		p++;
	}
	return NULL;
}

/* token_end() - behind the token at @p; "**" is one only with GLOB_STARSTAR. */
static const char *token_end(const char *p, unsigned flags)
{
	if (*p == '\\')
		return p + 2;
	if (*p == '[')
		return class_end(p);
	if ((flags & GLOB_STARSTAR) && p[0] == '*' && p[1] == '*')
		return p + (p[2] == '/' ? 3 : 2);
	return p + 1;
}

int glob_check(const char *pattern)
{
	if (strlen(pattern) > GLOB_PATTERN_MAX)
		return -EINVAL;
	for (const char *p = pattern; *p;) {
		if (*p == '\\' && !p[1])
			return -EINVAL;
		p = token_end(p, 0);
		if (!p)
			return -EINVAL;
	}
	return 0;
}

bool glob_has_magic(const char *pattern)
{
	return strpbrk(pattern, "*?[\\") != NULL;
}

static unsigned char class_char(const char **p)
{
	if (**p == '\\')
		(*p)++;
	return (unsigned char)*(*p)++;
}

static bool class_has(const char *p, const char *end, unsigned char c)
{
	bool negated = p[1] == '^' || p[1] == '!', found = false;

	p += negated ? 2 : 1;
	while (p < end - 1) {
		unsigned char low = class_char(&p), high = low;

		if (p[0] == '-' && p + 1 < end - 1) {
			p++;
			high = class_char(&p);
		}
		found = found || (c >= low && c <= high);
	}
	return found != negated;
}

/* A set of places in the pattern. */
struct places {
	unsigned char at[GLOB_PATTERN_MAX + 1];
};

static bool is_starstar(const char *p, unsigned flags)
{
	return (flags & GLOB_STARSTAR) && p[0] == '*' && p[1] == '*';
}

/* step() - from place @i over the byte @c into @next. */
static void step(struct places *next, const char *pattern, size_t i, unsigned char c, unsigned flags)
{
	const char *p = pattern + i, *end = token_end(p, flags);
	bool separator = (flags & GLOB_PATH) && c == '/', hit;

	if (is_starstar(p, flags)) {
		/*
		 * in front of more it ends only behind a slash, as "**" of "**" + "/x" must not match "a"
		 * of "ax"
		 */
		if (!*end)
			next->at[i] = 1;
		else if (!next->at[i])
			next->at[i] = 2;
		if (c == '/')
			next->at[end - pattern] = 1;
		return;
	}
	switch (*p) {
	case '*':
		if (!separator)
			next->at[i] = 1;
		return;
	case '?': hit = !separator; break;
	case '[': hit = !separator && class_has(p, end, c); break;
	case '\\': hit = (unsigned char)p[1] == c; break;
	default: hit = (unsigned char)*p == c;
	}
	if (hit)
		next->at[end - pattern] = 1;
}

/*
 * spread() - what may match nothing is also passed without a byte. A "**" with more behind it that has
 * swallowed something (2) is left only by step(), at a slash.
 */
static void spread(struct places *set, const char *pattern, size_t n, unsigned flags)
{
	for (size_t i = 0; i < n; i++) {
		if (set->at[i] == 1 && pattern[i] == '*')
			set->at[token_end(pattern + i, flags) - pattern] = 1;
	}
}

ssize_t glob_prefix(const char *pattern, const char *text, size_t len, unsigned flags)
{
	struct places a, b, *now = &a, *next = &b, *swap;
	size_t n = strlen(pattern);
	ssize_t longest;

	if (glob_check(pattern) < 0)
		return -1;
	memset(now->at, 0, n + 1);
	now->at[0] = 1;
	spread(now, pattern, n, flags);
	longest = now->at[n] ? 0 : -1;
	for (size_t t = 0; t < len; t++) {
		memset(next->at, 0, n + 1);
		for (size_t i = 0; i < n; i++) {
			if (now->at[i])
				step(next, pattern, i, (unsigned char)text[t], flags);
		}
		spread(next, pattern, n, flags);
		if (next->at[n])
			longest = (ssize_t)t + 1;
		swap = now;
		now = next;
		next = swap;
	}
	return longest;
}

bool glob_match(const char *pattern, const char *text, size_t len, unsigned flags)
{
	return glob_prefix(pattern, text, len, flags) == (ssize_t)len;
}
