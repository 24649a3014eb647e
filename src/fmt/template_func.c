/* SPDX-License-Identifier: Apache-2.0 */
/* template_func.c - the functions of a --format, and how values are printed */
#include "fmt/template_internal.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "fmt/json.h"

typedef json_t *function_fn(struct template_run *r, json_t **arg, size_t n);

const char *template__kind(const json_t *v)
{
	if (!v)
		return "no value";
	switch (json_typeof(v)) {
	case JSON_OBJECT: return "an object";
	case JSON_ARRAY: return "a list";
	case JSON_STRING: return "a string";
	case JSON_INTEGER: return "a number";
	case JSON_REAL: return "a fraction";
	case JSON_NULL: return "null";
	default: return "a boolean";
	}
}

bool template__truth(const json_t *v)
{
	if (!v)
		return false;
	switch (json_typeof(v)) {
	case JSON_OBJECT: return json_object_size(v) > 0;
	case JSON_ARRAY: return json_array_size(v) > 0;
	case JSON_STRING: return json_string_length(v) > 0;
	case JSON_INTEGER: return json_integer_value(v) != 0;
	case JSON_REAL: return json_real_value(v) != 0;
	default: return json_is_true(v);
	}
}

json_t *template__text(struct template_run *r, struct buf *text)
{
	json_t *s = buf_finish(text) < 0 ? NULL : json_stringn_nocheck(buf_str(text), text->len);

	buf_fini(text);
	return template__keep(r, s);
}

int template__compare_keys(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* print_real() - the shortest text that reads back as the same number. */
static void print_real(struct buf *to, double real)
{
	char text[40];

	for (int digits = 6; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, real);
		if (strtod(text, NULL) == real)
			break;
	}
	buf_puts(to, text);
}

static void print_inner(struct buf *to, const json_t *v);

static void print_object(struct buf *to, const json_t *v)
{
	size_t n = json_object_size(v), i = 0;
	auto_free const char **keys = calloc(n + 1, sizeof(*keys));
	const char *key;
	json_t *member;

	if (!keys) {
		to->rc = -ENOMEM;
		return;
	}
	json_object_foreach((json_t *)v, key, member) keys[i++] = key;
	qsort(keys, n, sizeof(*keys), template__compare_keys);
	buf_puts(to, "map[");
	for (i = 0; i < n; i++) {
		buf_printf(to, "%s%s:", i ? " " : "", keys[i]);
		print_inner(to, json_object_get(v, keys[i]));
	}
	buf_putc(to, ']');
}

/* print_inner() - a value within another, where nothing is <nil>, as Go has it. */
static void print_inner(struct buf *to, const json_t *v)
{
	if (!v || json_is_null(v))
		buf_puts(to, "<nil>");
	else
		template__print(to, v);
}

void template__print(struct buf *to, const json_t *v)
{
	if (!v) {
		buf_puts(to, "<no value>");
		return;
	}
	switch (json_typeof(v)) {
	case JSON_OBJECT: print_object(to, v); break;
	case JSON_ARRAY:
		buf_putc(to, '[');
		for (size_t i = 0; i < json_array_size(v); i++) {
			buf_puts(to, i ? " " : "");
			print_inner(to, json_array_get(v, i));
		}
		buf_putc(to, ']');
		break;
	case JSON_STRING: buf_put(to, json_string_value(v), json_string_length(v)); break;
	case JSON_INTEGER: buf_printf(to, "%lld", (long long)json_integer_value(v)); break;
	case JSON_REAL: print_real(to, json_real_value(v)); break;
	default: buf_puts(to, json_is_true(v) ? "true" : "false");
	}
}

/* --- comparing ------------------------------------------------------------------------------------------ */

/* compare() - -1, 0, 1 of two numbers or two strings; fails for others. */
static int compare(struct template_run *r, const json_t *a, const json_t *b)
{
	double x, y;

	if (json_is_string(a) && json_is_string(b)) {
		int c = strcmp(json_string_value(a), json_string_value(b));

		return (c > 0) - (c < 0);
	}
	if (json_is_integer(a) && json_is_integer(b))
		return (json_integer_value(a) > json_integer_value(b)) -
		       (json_integer_value(a) < json_integer_value(b));
	if (!json_is_number(a) || !json_is_number(b)) {
		template__fail(r, EINVAL, "%s and %s cannot be compared", template__kind(a),
			       template__kind(b));
		return 0;
	}
	x = json_number_value(a);
	y = json_number_value(b);
	return (x > y) - (x < y);
}

static bool equal(struct template_run *r, const json_t *a, const json_t *b)
{
	if (!a || !b)
		return a == b;
	if (json_is_boolean(a) && json_is_boolean(b))
		return json_is_true(a) == json_is_true(b);
	return compare(r, a, b) == 0;
}

static json_t *boolean(struct template_run *r, bool b)
{
	return template__keep(r, json_boolean(b));
}

/* fn_eq() - is the first equal to any of the others? */
static json_t *fn_eq(struct template_run *r, json_t **arg, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if (equal(r, arg[0], arg[i]))
			return boolean(r, true);
	return boolean(r, false);
}

static json_t *fn_ne(struct template_run *r, json_t **arg, size_t n)
{
	(void)n;
	return boolean(r, !equal(r, arg[0], arg[1]));
}

static json_t *fn_lt(struct template_run *r, json_t **arg, size_t n)
{
	(void)n;
	return boolean(r, compare(r, arg[0], arg[1]) < 0);
}

static json_t *fn_le(struct template_run *r, json_t **arg, size_t n)
{
	(void)n;
	return boolean(r, compare(r, arg[0], arg[1]) <= 0);
}

static json_t *fn_gt(struct template_run *r, json_t **arg, size_t n)
{
	(void)n;
	return boolean(r, compare(r, arg[0], arg[1]) > 0);
}

static json_t *fn_ge(struct template_run *r, json_t **arg, size_t n)
{
	(void)n;
	return boolean(r, compare(r, arg[0], arg[1]) >= 0);
}

/* fn_and() - the first that is false, or the last; fn_or() - the first that is true, or the last. */
static json_t *fn_and(struct template_run *r, json_t **arg, size_t n)
{
	size_t i = 0;

	(void)r;
	while (i + 1 < n && template__truth(arg[i]))
		i++;
	return arg[i];
}

static json_t *fn_or(struct template_run *r, json_t **arg, size_t n)
{
	size_t i = 0;

	(void)r;
	while (i + 1 < n && !template__truth(arg[i]))
		i++;
	return arg[i];
}

static json_t *fn_not(struct template_run *r, json_t **arg, size_t n)
{
	(void)n;
	return boolean(r, !template__truth(arg[0]));
}

/* --- parts ---------------------------------------------------------------------------------------------- */

static json_t *fn_len(struct template_run *r, json_t **arg, size_t n)
{
	const json_t *v = arg[0];

	(void)n;
	if (!json_is_string(v) && !json_is_array(v) && !json_is_object(v))
		return template__fail(r, EINVAL, "len of %s", template__kind(v));
	if (json_is_string(v))
		return template__keep(r, json_integer((json_int_t)json_string_length(v)));
	return template__keep(r,
			      json_integer((json_int_t)json_array_size(v) + (json_int_t)json_object_size(v)));
}

static json_t *index_one(struct template_run *r, json_t *of, const json_t *key)
{
	json_int_t i = json_integer_value(key);
	json_t *v;

	if (json_is_object(of) && json_is_string(key)) {
		v = json_object_getn(of, json_string_value(key), json_string_length(key));
	} else if (json_is_array(of) && json_is_integer(key)) {
		if (i < 0 || (size_t)i >= json_array_size(of))
			return template__fail(r, EINVAL, "index %lld of a list of %zu", (long long)i,
					      json_array_size(of));
		v = json_array_get(of, (size_t)i);
	} else {
		return template__fail(r, EINVAL, "%s has no index that is %s", template__kind(of),
				      template__kind(key));
	}
	return json_is_null(v) ? NULL : v;
}

json_t *template__index(struct template_run *r, json_t **arg, size_t n)
{
	json_t *v = arg[0];

	for (size_t i = 1; i < n && v && r->rc == 0; i++)
		v = index_one(r, v, arg[i]);
	return v;
}

/* append() - takes @v; NULL is a failure to make it. */
static void append(struct template_run *r, json_t *list, json_t *v)
{
	if (json_array_append_new(list, v) < 0)
		template__fail(r, ENOMEM, "%s", err_name(ENOMEM));
}

/* fn_slice() - {{slice .Id 0 12}}: of a string by bytes, or of a list. */
static json_t *fn_slice(struct template_run *r, json_t **arg, size_t n)
{
	size_t len = json_is_string(arg[0]) ? json_string_length(arg[0]) : json_array_size(arg[0]), from, to;
	json_t *list;

	if (!json_is_string(arg[0]) && !json_is_array(arg[0]))
		return template__fail(r, EINVAL, "slice of %s", template__kind(arg[0]));
	for (size_t i = 1; i < n; i++)
		if (!json_is_integer(arg[i]) || json_integer_value(arg[i]) < 0 ||
		    (size_t)json_integer_value(arg[i]) > len)
			return template__fail(r, EINVAL, "a slice of %zu ends at %zu", len, len);
	from = n > 1 ? (size_t)json_integer_value(arg[1]) : 0;
	to = n > 2 ? (size_t)json_integer_value(arg[2]) : len;
	if (from > to)
		return template__fail(r, EINVAL, "a slice from %zu to %zu", from, to);
	if (json_is_string(arg[0]))
		return template__keep(r, json_stringn_nocheck(json_string_value(arg[0]) + from, to - from));
	list = template__keep(r, json_array());
	for (size_t i = from; list && i < to; i++)
		append(r, list, json_incref(json_array_get(arg[0], i)));
	return list;
}

static json_t *fn_split(struct template_run *r, json_t **arg, size_t n)
{
	const char *s = json_string_value(arg[0]), *sep = json_string_value(arg[1]), *end;
	json_t *list = template__keep(r, json_array());

	(void)n;
	if (!s || !sep || !*sep)
		return template__fail(r, EINVAL, "split wants a text and what separates its parts");
	while (list && (end = strstr(s, sep))) {
		append(r, list, json_stringn_nocheck(s, (size_t)(end - s)));
		s = end + strlen(sep);
	}
	if (list)
		append(r, list, json_string_nocheck(s));
	return list;
}

static json_t *fn_join(struct template_run *r, json_t **arg, size_t n)
{
	const char *sep = json_string_value(arg[1]);
	auto_fini(buf) struct buf text = { 0 };

	(void)n;
	if ((arg[0] && !json_is_array(arg[0])) || !sep)
		return template__fail(r, EINVAL, "join wants a list and what goes between");
	for (size_t i = 0; i < json_array_size(arg[0]); i++) {
		buf_puts(&text, i ? sep : "");
		print_inner(&text, json_array_get(arg[0], i));
	}
	return template__text(r, &text);
}

static json_t *fn_contains(struct template_run *r, json_t **arg, size_t n)
{
	const char *s = json_string_value(arg[0]), *part = json_string_value(arg[1]);

	(void)n;
	if (!s || !part)
		return template__fail(r, EINVAL, "contains wants two texts");
	return boolean(r, strstr(s, part));
}

/* --- texts ---------------------------------------------------------------------------------------------- */

static json_t *fn_json(struct template_run *r, json_t **arg, size_t n)
{
	auto_fini(buf) struct buf text = { 0 };

	(void)n;
	if (arg[0])
		json_tree_text(&text, arg[0], 0);
	else
		buf_puts(&text, "null");
	return template__text(r, &text);
}

enum letter_case { LOWER, UPPER, TITLE };

static json_t *change_case(struct template_run *r, const json_t *v, enum letter_case to)
{
	auto_fini(buf) struct buf text = { 0 };
	const char *s = json_string_value(v);
	bool inside = false; /* a word */

	if (!s)
		return template__fail(r, EINVAL, "got %s, want a text", template__kind(v));
	for (; *s; s++) {
		bool lower = *s >= 'a' && *s <= 'z', upper = *s >= 'A' && *s <= 'Z';

		if ((to == UPPER && lower) || (to == TITLE && lower && !inside) || (to == LOWER && upper))
			buf_putc(&text, (char)(*s ^ 0x20));
		else
			buf_putc(&text, *s);
		inside = lower || upper || (*s >= '0' && *s <= '9') || *s == '_' || *s == '\'' ||
			 (unsigned char)*s >= 0x80;
	}
	return template__text(r, &text);
}

static json_t *fn_lower(struct template_run *r, json_t **arg, size_t n)
{
	(void)n;
	return change_case(r, arg[0], LOWER);
}

static json_t *fn_upper(struct template_run *r, json_t **arg, size_t n)
{
	(void)n;
	return change_case(r, arg[0], UPPER);
}

static json_t *fn_title(struct template_run *r, json_t **arg, size_t n)
{
	(void)n;
	return change_case(r, arg[0], TITLE);
}

/* fn_truncate() - at most so many characters. */
static json_t *fn_truncate(struct template_run *r, json_t **arg, size_t n)
{
	const char *s = json_string_value(arg[0]), *end = s;
	json_int_t most = json_integer_value(arg[1]);

	(void)n;
	if (!s || !json_is_integer(arg[1]) || most < 0)
		return template__fail(r, EINVAL, "truncate wants a text and a length");
	for (; *end; end++)
		if (((unsigned char)*end & 0xc0) != 0x80 && most-- == 0) /* a character's first byte */
			break;
	return template__keep(r, json_stringn_nocheck(s, (size_t)(end - s)));
}

/* fn_pad() - so many spaces before and behind a text that is not empty. */
static json_t *fn_pad(struct template_run *r, json_t **arg, size_t n)
{
	const char *s = json_string_value(arg[0]);
	auto_fini(buf) struct buf text = { 0 };

	for (size_t i = 1; i < n; i++)
		if (!json_is_integer(arg[i]) || json_integer_value(arg[i]) < 0 ||
		    json_integer_value(arg[i]) > 1024)
			s = NULL;
	if (!s)
		return template__fail(r, EINVAL, "pad wants a text and two numbers up to 1024");
	if (*s)
		buf_printf(&text, "%*s%s%*s", (int)json_integer_value(arg[1]), "", s,
			   (int)json_integer_value(arg[2]), "");
	return template__text(r, &text);
}

/* fn_print() - Go's: a space only between two neighbours of which neither is a text. */
static json_t *fn_print(struct template_run *r, json_t **arg, size_t n)
{
	auto_fini(buf) struct buf text = { 0 };

	for (size_t i = 0; i < n; i++) {
		if (i > 0 && !json_is_string(arg[i]) && !json_is_string(arg[i - 1]))
			buf_putc(&text, ' ');
		print_inner(&text, arg[i]);
	}
	return template__text(r, &text);
}

static json_t *fn_println(struct template_run *r, json_t **arg, size_t n)
{
	auto_fini(buf) struct buf text = { 0 };

	for (size_t i = 0; i < n; i++) {
		buf_puts(&text, i ? " " : "");
		print_inner(&text, arg[i]);
	}
	buf_putc(&text, '\n');
	return template__text(r, &text);
}

/* --- the table ------------------------------------------------------------------------------------------ */

static const struct function {
	const char *name;
	function_fn *fn;
	size_t least, most; /* arguments */
	bool of_text;       /* leaves titles alone */
} functions[] = {
	{ "and", fn_and, 1, TEMPLATE_ARGS_MAX, false },
	{ "contains", fn_contains, 2, 2, false },
	{ "eq", fn_eq, 2, TEMPLATE_ARGS_MAX, false },
	{ "ge", fn_ge, 2, 2, false },
	{ "gt", fn_gt, 2, 2, false },
	{ "index", template__index, 1, TEMPLATE_ARGS_MAX, true },
	{ "join", fn_join, 2, 2, true },
	{ "json", fn_json, 1, 1, true },
	{ "le", fn_le, 2, 2, false },
	{ "len", fn_len, 1, 1, true },
	{ "lower", fn_lower, 1, 1, true },
	{ "lt", fn_lt, 2, 2, false },
	{ "ne", fn_ne, 2, 2, false },
	{ "not", fn_not, 1, 1, false },
	{ "or", fn_or, 1, TEMPLATE_ARGS_MAX, false },
	{ "pad", fn_pad, 3, 3, false },
	{ "print", fn_print, 0, TEMPLATE_ARGS_MAX, false },
	{ "printf", template__printf, 1, TEMPLATE_ARGS_MAX, false },
	{ "println", fn_println, 0, TEMPLATE_ARGS_MAX, false },
	{ "slice", fn_slice, 1, 3, true },
	{ "split", fn_split, 2, 2, true },
	{ "title", fn_title, 1, 1, true },
	{ "truncate", fn_truncate, 2, 2, true },
	{ "upper", fn_upper, 1, 1, true },
};

static const struct function *find_function(const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(functions); i++)
		if (strncmp(functions[i].name, name, len) == 0 && !functions[i].name[len])
			return &functions[i];
	return NULL;
}

bool template__is_function(const char *name, size_t len)
{
	return find_function(name, len);
}

json_t *template__call(struct template_run *r, const char *name, size_t len, json_t **arg, size_t n)
{
	const struct function *f = find_function(name, len);

	BUG_ON(!f);
	if (n < f->least || n > f->most)
		return template__fail(r, EINVAL, "%s wants %zu to %zu arguments, got %zu", f->name, f->least,
				      f->most, n);
	if (r->header && f->of_text)
		return arg[0];
	return f->fn(r, arg, n);
}
