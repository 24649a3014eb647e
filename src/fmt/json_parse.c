/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: the text is copied once, into the arena, and strings are decoded in place there (an
 * escape is never shorter than what it stands for) and terminated where their closing quote was. Values of a
 * list that is still open wait on a stack; when it closes they move to the arena side by side. Nesting is
 * bounded by JSON_DEPTH_MAX.
 */
#include "fmt/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/err.h"

struct parser {
	char *start, *at; /* NUL behind the last byte */
	struct arena *arena;
	struct json_value *stack; /* owned */
	size_t n, cap;
	int depth;
	int rc;
	const char *want; /* why @rc is -EINVAL at @at */
};

static int parse_value(struct parser *p, struct json_value *v);

static int bad(struct parser *p, const char *want)
{
	p->want = want;
	return p->rc = -EINVAL;
}

static void skip_space(struct parser *p)
{
	while (*p->at == ' ' || *p->at == '\n' || *p->at == '\t' || *p->at == '\r')
		p->at++;
}

static int hex4(const char *s)
{
	int n = 0;

	for (int i = 0; i < 4; i++) {
		char c = s[i];
		if (c >= '0' && c <= '9')
			n = n << 4 | (c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			n = n << 4 | ((c | 0x20) - 'a' + 10);
		else
			return -1;
	}
	return n;
}

static char *utf8_put(char *to, int c)
{
	if (c < 0x80) {
		*to++ = (char)c;
	} else if (c < 0x800) {
		*to++ = (char)(0xc0 | c >> 6);
		*to++ = (char)(0x80 | (c & 0x3f));
	} else if (c < 0x10000) {
		*to++ = (char)(0xe0 | c >> 12);
		*to++ = (char)(0x80 | (c >> 6 & 0x3f));
		*to++ = (char)(0x80 | (c & 0x3f));
	} else {
		*to++ = (char)(0xf0 | c >> 18);
		*to++ = (char)(0x80 | (c >> 12 & 0x3f));
		*to++ = (char)(0x80 | (c >> 6 & 0x3f));
		*to++ = (char)(0x80 | (c & 0x3f));
	}
	return to;
}

/* utf8_len() - bytes of the well-formed sequence at @s, which is not ASCII, or 0. A NUL within ends it. */
static int utf8_len(const char *s)
{
	const unsigned char *u = (const unsigned char *)s;
	int len = 0;

	if (u[0] >= 0xc2 && u[0] < 0xf5)
		len = u[0] < 0xe0 ? 2 : u[0] < 0xf0 ? 3 : 4;
	for (int i = 1; i < len; i++)
		if ((u[i] & 0xc0) != 0x80)
			return 0;
	if ((u[0] == 0xe0 && u[1] < 0xa0) || (u[0] == 0xed && u[1] > 0x9f) || (u[0] == 0xf0 && u[1] < 0x90) ||
	    (u[0] == 0xf4 && u[1] > 0x8f))
		return 0; /* overlong, a surrogate, or beyond U+10FFFF */
	return len;
}

/* parse_unicode() - what stands behind "\u", perhaps a pair, into @to. Return: the end there, or NULL. */
static char *parse_unicode(struct parser *p, char *to)
{
	int c = hex4(p->at), low;

	if (c < 0)
		return bad(p, "four hexadecimal digits"), NULL;
	if (c == 0)
		return bad(p, "a string without NUL"), NULL;
	p->at += 4;
	if (c >= 0xd800 && c < 0xe000) {
		low = c < 0xdc00 && p->at[0] == '\\' && p->at[1] == 'u' ? hex4(p->at + 2) : -1;
		if (low < 0xdc00 || low > 0xdfff)
			return bad(p, "a pair of surrogates"), NULL;
		p->at += 6;
		c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
	}
	return utf8_put(to, c);
}

static char *parse_escape(struct parser *p, char *to)
{
	static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
	const char *at;

	p->at++;
	if (*p->at == 'u') {
		p->at++;
		return parse_unicode(p, to);
	}
	at = *p->at ? strchr(from, *p->at) : NULL;
	if (!at)
		return bad(p, "an escape sequence"), NULL;
	p->at++;
	*to++ = into[at - from];
	return to;
}

static int parse_string(struct parser *p, const char **ret_s)
{
	char *to = ++p->at;

	*ret_s = to;
	for (;;) {
		unsigned char c = (unsigned char)*p->at;

		if (c == '"') {
			p->at++;
			*to = '\0';
			return 0;
		} else if (c == '\\') {
			to = parse_escape(p, to);
			if (!to)
				return p->rc;
		} else if (c < 0x20) {
			return bad(p, "a closing quote");
		} else if (c < 0x80) {
			*to++ = *p->at++;
		} else {
			int len = utf8_len(p->at);

			if (len == 0)
				return bad(p, "valid UTF-8");
			for (; len > 0; len--)
				*to++ = *p->at++;
		}
	}
}

static bool digit(char c)
{
	return c >= '0' && c <= '9';
}

static int skip_digits(struct parser *p)
{
	if (!digit(*p->at))
		return bad(p, "a digit");
	while (digit(*p->at))
		p->at++;
	return 0;
}

static int parse_real(struct parser *p, const char *from, struct json_value *v)
{
	if (*p->at == '.') {
		p->at++;
		if (skip_digits(p) < 0)
			return p->rc;
	}
	if (*p->at == 'e' || *p->at == 'E') {
		p->at++;
		if (*p->at == '+' || *p->at == '-')
			p->at++;
		if (skip_digits(p) < 0)
			return p->rc;
	}
	v->kind = JV_REAL;
	v->real = strtod(from, NULL);
	return 0;
}

static int parse_number(struct parser *p, struct json_value *v)
{
	const char *from = p->at;
	bool minus = *p->at == '-', exact = true;
	uint64_t n = 0;

	p->at += minus;
	if (*p->at == '0' && digit(p->at[1]))
		return bad(p, "a number without leading zeros");
	if (!digit(*p->at))
		return bad(p, minus ? "a digit" : "a value");
	for (; digit(*p->at); p->at++)
		if (__builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(*p->at - '0'), &n))
			exact = false;
	if (!exact || *p->at == '.' || *p->at == 'e' || *p->at == 'E' ||
	    (minus && n > (uint64_t)INT64_MAX + 1))
		return parse_real(p, from, v);
	if (minus && n > 0) {
		v->kind = JV_NEGATIVE;
		v->negative = (int64_t)(0 - n);
	} else {
		v->kind = JV_UINT;
		v->number = n;
	}
	return 0;
}

static int parse_word(struct parser *p, struct json_value *v, const char *word)
{
	size_t len = strlen(word);

	if (strncmp(p->at, word, len) != 0)
		return bad(p, "a value");
	p->at += len;
	v->kind = *word == 'n' ? JV_NULL : JV_BOOL;
	v->truth = *word == 't';
	return 0;
}

static int push(struct parser *p, const struct json_value *v)
{
	if (p->n == p->cap) {
		size_t cap = p->cap ? 2 * p->cap : 512;
		struct json_value *bigger = reallocarray(p->stack, cap, sizeof(*bigger));

		if (!bigger)
			return p->rc = -ENOMEM;
		p->stack = bigger;
		p->cap = cap;
	}
	p->stack[p->n++] = *v;
	return 0;
}

static int parse_member(struct parser *p, bool keyed)
{
	struct json_value v = { 0 };

	skip_space(p);
	if (keyed) {
		if (*p->at != '"')
			return bad(p, "a key in quotes");
		if (parse_string(p, &v.key) < 0)
			return p->rc;
		skip_space(p);
		if (*p->at != ':')
			return bad(p, "':'");
		p->at++;
		skip_space(p);
	}
	if (parse_value(p, &v) < 0)
		return p->rc;
	skip_space(p);
	return push(p, &v);
}

/* parse_many() - a list or an object: its members wait on the stack until all are known. */
static int parse_many(struct parser *p, struct json_value *v, char close)
{
	size_t base = p->n, n;
	struct json_value *item;

	if (p->depth++ == JSON_DEPTH_MAX)
		return bad(p, "less nesting");
	p->at++;
	skip_space(p);
	if (*p->at != close)
		for (;; p->at++) {
			if (parse_member(p, close == '}') < 0)
				return p->rc;
			if (*p->at != ',')
				break;
		}
	if (*p->at != close)
		return bad(p, close == '}' ? "',' or '}'" : "',' or ']'");
	p->at++;
	p->depth--;
	n = p->n - base;
	item = n ? arena_array(p->arena, n, sizeof(*item)) : NULL;
	if (n && !item)
		return p->rc = -ENOMEM;
	if (n)
		memcpy(item, p->stack + base, n * sizeof(*item));
	p->n = base;
	v->kind = close == '}' ? JV_OBJECT : JV_LIST;
	v->n = (uint32_t)n;
	v->item = item;
	return 0;
}

static int parse_value(struct parser *p, struct json_value *v)
{
	switch (*p->at) {
	case '{': return parse_many(p, v, '}');
	case '[': return parse_many(p, v, ']');
	case '"': v->kind = JV_STRING; return parse_string(p, &v->string);
	case 't': return parse_word(p, v, "true");
	case 'f': return parse_word(p, v, "false");
	case 'n': return parse_word(p, v, "null");
	default: return parse_number(p, v);
	}
}

static int syntax_error(const struct parser *p, const char *text, struct err *e)
{
	size_t offset = (size_t)(p->at - p->start), line = 1, column = 1;

	for (size_t i = 0; i < offset; i++) {
		column = text[i] == '\n' ? 1 : column + 1;
		line += text[i] == '\n';
	}
	return err_set(e, EINVAL, "line %zu, column %zu: expected %s", line, column, p->want);
}

struct json_at json_parse(struct json_doc *doc, const char *text, size_t len)
{
	struct parser p = { .arena = doc->arena };
	struct json_value *root = arena_alloc(doc->arena, sizeof(*root));

	p.start = p.at = len < UINT32_MAX ? arena_strndup(doc->arena, text, len) : NULL;
	if (!root || !p.start) {
		doc->rc = err_sys(doc->e, ENOMEM, "JSON of %zu bytes", len);
		return (struct json_at){ .doc = doc };
	}
	skip_space(&p);
	if (parse_value(&p, root) == 0) {
		skip_space(&p);
		if ((size_t)(p.at - p.start) < len)
			bad(&p, "the end");
	}
	free(p.stack);
	if (p.rc < 0)
		doc->rc = p.rc == -EINVAL ? syntax_error(&p, text, doc->e) : err_sys(doc->e, -p.rc, "JSON");
	return (struct json_at){ .value = p.rc < 0 ? NULL : root, .doc = doc };
}
