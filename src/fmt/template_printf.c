/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/template_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/guard.h"
#include "fmt/json.h"

enum { FIELD_MAX = 1024 }; /* width and precision */

struct verb {
	bool left, zero, plus;
	int width, precision; /* precision -1: none */
	char letter;
};

static int read_number(const char **f)
{
	int n = 0;

	for (; **f >= '0' && **f <= '9'; (*f)++)
		n = n > FIELD_MAX ? n : n * 10 + (**f - '0');
	return n > FIELD_MAX ? FIELD_MAX : n;
}

static struct verb read_verb(const char **f)
{
	struct verb v = { .precision = -1 };

	for (; **f && strchr("-0+# ", **f); (*f)++) {
		v.left |= **f == '-';
		v.zero |= **f == '0';
		v.plus |= **f == '+';
	}
	v.width = read_number(f);
	if (**f == '.') {
		(*f)++;
		v.precision = read_number(f);
	}
	v.letter = **f;
	if (**f)
		(*f)++;
	return v;
}

/* characters() - of UTF-8 text; stops at @most of them, and says how many bytes those are. */
static size_t characters(const char *s, size_t most, size_t *ret_bytes)
{
	size_t n = 0, i = 0;

	for (; s[i]; i++)
		if (((unsigned char)s[i] & 0xc0) != 0x80 && n++ == most) {
			n--;
			break;
		}
	*ret_bytes = i;
	return n;
}

static void put_padded(struct buf *to, const struct verb *v, const char *s)
{
	size_t most = v->precision >= 0 && strchr("sv", v->letter) ? (size_t)v->precision : SIZE_MAX, bytes;
	size_t n = characters(s, most, &bytes);
	size_t pad = (size_t)v->width > n ? (size_t)v->width - n : 0;

	for (size_t i = v->left ? 0 : pad; i > 0; i--)
		buf_putc(to, ' ');
	buf_put(to, s, bytes);
	for (size_t i = v->left ? pad : 0; i > 0; i--)
		buf_putc(to, ' ');
}

/* integer_text() - %d %x %X %o; false: the value is none. */
static bool integer_text(struct buf *text, const struct verb *v, const json_t *arg)
{
	static const char *const formats[] = {
		['d'] = "%0*llu",
		['x'] = "%0*llx",
		['X'] = "%0*llX",
		['o'] = "%0*llo",
	};
	char digits[FIELD_MAX + 32];
	long long n = json_integer_value(arg);
	unsigned long long magnitude = n < 0 ? 0ULL - (unsigned long long)n : (unsigned long long)n;
	int fill = v->zero && !v->left ? v->width - (n < 0 || v->plus) : 0;

	if (!json_is_integer(arg))
		return false;
	snprintf(digits, sizeof(digits), formats[(unsigned char)v->letter], fill > 0 ? fill : 1, magnitude);
	buf_printf(text, "%s%s", n < 0 ? "-" : v->plus ? "+" : "", digits);
	return true;
}

static bool real_text(struct buf *text, const struct verb *v, const json_t *arg)
{
	const char *format = v->letter == 'f' ? "%.*f" : v->letter == 'e' ? "%.*e" : "%.*g";
	char digits[FIELD_MAX + 320];

	if (!json_is_number(arg))
		return false;
	snprintf(digits, sizeof(digits), format, v->precision >= 0 ? v->precision : 6,
		 json_number_value(arg));
	buf_puts(text, digits);
	return true;
}

static const char *go_type(const json_t *v)
{
	switch (json_typeof(v)) {
	case JSON_STRING: return "string";
	case JSON_INTEGER: return "int";
	case JSON_REAL: return "float64";
	case JSON_ARRAY: return "[]interface {}";
	case JSON_OBJECT: return "map[string]interface {}";
	default: return "bool";
	}
}

/* verb_text() - the value as the verb says, without padding; false: they do not fit. */
static bool verb_text(struct buf *text, const struct verb *v, const json_t *arg)
{
	switch (v->letter) {
	case 'v': template__print(text, arg); return true;
	case 's':
		if (json_is_string(arg) || json_is_array(arg) || json_is_object(arg))
			template__print(text, arg);
		return json_is_string(arg) || json_is_array(arg) || json_is_object(arg);
	case 'q':
		if (json_is_string(arg))
			json_tree_text(text, arg, 0);
		return json_is_string(arg);
	case 't':
		if (json_is_boolean(arg))
			template__print(text, arg);
		return json_is_boolean(arg);
	case 'd':
	case 'x':
	case 'X':
	case 'o': return integer_text(text, v, arg);
	case 'f':
	case 'e':
	case 'g': return real_text(text, v, arg);
	default: return false;
	}
}

static void put_verb(struct buf *to, const struct verb *v, const json_t *arg)
{
	auto_fini(buf) struct buf text = { 0 };

	if (!arg) {
		if (v->letter == 'v')
			buf_puts(&text, "<nil>");
		else
			buf_printf(&text, "%%!%c(<nil>)", v->letter);
	} else if (!verb_text(&text, v, arg)) { /* Go's way to say it: %!d(string=x) */
		buf_printf(&text, "%%!%c(%s=", v->letter, go_type(arg));
		template__print(&text, arg);
		buf_putc(&text, ')');
	}
	put_padded(to, v, buf_str(&text));
	if (buf_finish(&text) < 0)
		to->rc = -ENOMEM;
}

json_t *template__printf(struct template_run *r, json_t **arg, size_t n)
{
	const char *f = json_string_value(arg[0]);
	auto_fini(buf) struct buf text = { 0 };
	size_t next = 1;

	if (!f)
		return template__fail(r, EINVAL, "printf wants a text first");
	while (*f) {
		struct verb v;

		if (*f != '%') {
			buf_putc(&text, *f++);
			continue;
		}
		f++;
		v = read_verb(&f);
		if (v.letter == '%')
			buf_putc(&text, '%');
		else if (!v.letter)
			buf_puts(&text, "%!(NOVERB)");
		else if (next >= n)
			buf_printf(&text, "%%!%c(MISSING)", v.letter);
		else
			put_verb(&text, &v, arg[next++]);
	}
	return template__text(r, &text);
}
