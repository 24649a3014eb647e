/* SPDX-License-Identifier: Apache-2.0 */
#include "base/str.h"

#include <errno.h>
#include <stdlib.h>

#include "base/guard.h"

/* Where str_vformat() writes: counts on when the room has run out. */
struct out {
	char *dst;
	size_t size;
	size_t len;
};

struct conversion {
	bool left, zero, negative;
	int width;
	int precision; /* -1: none */
	int longs;     /* -2 char, -1 short, 0 int, 1 long, size_t or intmax_t, 2 long long */
	char kind;
};

static void out_char(struct out *o, char c)
{
	if (o->len + 1 < o->size)
		o->dst[o->len] = c;
	o->len++;
}

static void out_padded(struct out *o, const struct conversion *v, const char *s, size_t len)
{
	size_t pad = v->width > 0 && (size_t)v->width > len ? (size_t)v->width - len : 0;

	for (size_t i = v->left ? 0 : pad; i > 0; i--)
		out_char(o, ' ');
	for (size_t i = 0; i < len; i++)
		out_char(o, s[i]);
	for (size_t i = v->left ? pad : 0; i > 0; i--)
		out_char(o, ' ');
}

static void out_number(struct out *o, const struct conversion *v, unsigned long long n)
{
	unsigned base = v->kind == 'x' || v->kind == 'p' ? 16 : v->kind == 'o' ? 8 : 10;
	struct conversion rest = *v;
	char digits[32];
	size_t at = sizeof(digits);

	do {
		digits[--at] = "0123456789abcdef"[n % base];
		n /= base;
	} while (n);
	if (v->kind == 'p') {
		digits[--at] = 'x';
		digits[--at] = '0';
	}
	if (v->zero && !v->left) {
		int len = (int)(sizeof(digits) - at) + v->negative;

		if (v->negative)
			out_char(o, '-');
		for (; len < v->width; len++)
			out_char(o, '0');
		rest.width = 0;
	} else if (v->negative) {
		digits[--at] = '-';
	}
	out_padded(o, &rest, digits + at, sizeof(digits) - at);
}

static const char *conversion_flags(struct conversion *v, const char *f)
{
	for (;; f++) {
		if (*f == '-')
			v->left = true;
		else if (*f == '0')
			v->zero = true;
		else
			return f;
	}
}

size_t str_vformat(char *dst, size_t size, const char *fmt, va_list ap)
{
	struct out o = { .dst = dst, .size = size };

	for (const char *f = fmt; *f; f++) {
		struct conversion v = { .precision = -1 };

		if (*f != '%') {
			out_char(&o, *f);
			continue;
		}
		f = conversion_flags(&v, f + 1);
		if (*f == '*') {
			v.width = va_arg(ap, int);
			f++;
		}
		for (; *f >= '0' && *f <= '9'; f++)
			v.width = v.width * 10 + (*f - '0');
		if (*f == '.') {
			v.precision = 0;
			if (*++f == '*') {
				v.precision = va_arg(ap, int);
				f++;
			}
			for (; *f >= '0' && *f <= '9'; f++)
				v.precision = v.precision * 10 + (*f - '0');
		}
		for (; *f == 'l' || *f == 'z' || *f == 'j' || *f == 'h'; f++)
			v.longs += *f == 'h' ? -1 : 1;
		v.kind = *f;
		switch (*f) {
		case 's': {
			const char *s = va_arg(ap, const char *);

			if (!s)
				s = "(null)";
			out_padded(&o, &v, s, v.precision >= 0 ? strnlen(s, (size_t)v.precision) : strlen(s));
			break;
		}
		case 'c': {
			char c = (char)va_arg(ap, int);

			out_padded(&o, &v, &c, 1);
			break;
		}
		case 'd':
		case 'i': {
			long long n = v.longs > 1 ? va_arg(ap, long long) :
				      v.longs > 0 ? va_arg(ap, long) :
						    va_arg(ap, int);

			if (v.longs < 0)
				n = v.longs == -1 ? (short)n : (signed char)n;
			v.negative = n < 0;
			out_number(&o, &v, v.negative ? 0ULL - (unsigned long long)n : (unsigned long long)n);
			break;
		}
		case 'u':
		case 'x':
		case 'o': {
			unsigned long long n = v.longs > 1 ? va_arg(ap, unsigned long long) :
					       v.longs > 0 ? va_arg(ap, unsigned long) :
							     va_arg(ap, unsigned);

			if (v.longs < 0)
				n = v.longs == -1 ? (unsigned short)n : (unsigned char)n;
			out_number(&o, &v, n);
			break;
		}
		case 'p': out_number(&o, &v, (uintptr_t)va_arg(ap, void *)); break;
		case '%': out_char(&o, '%'); break;
		default: /* the compiler's format check keeps callers from coming here */
			out_char(&o, '?');
			if (!*f)
				f--;
		}
	}
	if (size > 0)
		dst[o.len < size ? o.len : size - 1] = '\0';
	return o.len;
}

size_t str_format(char *dst, size_t size, const char *fmt, ...)
{
	va_list ap;
	size_t n;

	va_start(ap, fmt);
	n = str_vformat(dst, size, fmt, ap);
	va_end(ap);
	return n;
}

bool str_copy(char *dst, size_t size, const char *src)
{
	size_t len = strlen(src);
	size_t n = len < size ? len : size - 1;

	if (size == 0)
		return false;
	memcpy(dst, src, n);
	dst[n] = '\0';
	return n == len;
}

static char *str_vprintf(const char *fmt, va_list ap)
{
	va_list again;
	size_t n;
	char *s;

	va_copy(again, ap);
	n = str_vformat(NULL, 0, fmt, again);
	va_end(again);
	s = malloc(n + 1);
	if (s)
		str_vformat(s, n + 1, fmt, ap);
	return s;
}

char *str_printf(const char *fmt, ...)
{
	va_list ap;
	char *s;

	va_start(ap, fmt);
	s = str_vprintf(fmt, ap);
	va_end(ap);
	return s;
}

bool str_ends(const char *s, const char *suffix)
{
	size_t n = strlen(s), m = strlen(suffix);

	return n >= m && memcmp(s + n - m, suffix, m) == 0;
}

int str_to_u64(const char *s, uint64_t *ret_n)
{
	uint64_t n = 0;

	if (!s || !*s)
		return -EINVAL;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return -EINVAL;
		if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, (uint64_t)(*s - '0'), &n))
			return -ERANGE;
	}
	*ret_n = n;
	return 0;
}

int str_to_i64(const char *s, int64_t *ret_n)
{
	bool negative = s && *s == '-';
	uint64_t n;
	int r = str_to_u64(negative ? s + 1 : s, &n);

	if (r < 0)
		return r;
	if (n > (uint64_t)INT64_MAX + negative)
		return -ERANGE;
	*ret_n = negative ? (int64_t)(0 - n) : (int64_t)n;
	return 0;
}

static int unit_shift(const char *unit)
{
	static const char letters[] = "kmgtp";
	const char *at;
	char low;

	if (!*unit || str_eq(unit, "b") || str_eq(unit, "B"))
		return 0;
	low = (char)(*unit | 0x20);
	at = strchr(letters, low);
	if (!at || !low)
		return -EINVAL;
	if (unit[1] && !str_eq(unit + 1, "b") && !str_eq(unit + 1, "B") && !str_eq(unit + 1, "iB") &&
	    !str_eq(unit + 1, "ib"))
		return -EINVAL;
	return 10 * (int)(at - letters + 1);
}

int str_to_bytes(const char *s, int64_t *ret_bytes)
{
	uint64_t whole = 0, fraction = 0, scale = 1, bytes;
	const char *p = s;
	int shift;

	if (!s || *s < '0' || *s > '9')
		return -EINVAL;
	for (; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(whole, 10, &whole) ||
		    __builtin_add_overflow(whole, (uint64_t)(*p - '0'), &whole))
			return -ERANGE;
	if (*p == '.')
		for (p++; *p >= '0' && *p <= '9'; p++)
			if (scale < 1000000) {
				fraction = fraction * 10 + (uint64_t)(*p - '0');
				scale *= 10;
			}
	while (*p == ' ')
		p++;
	shift = unit_shift(p);
	if (shift < 0)
		return shift;
	if (__builtin_mul_overflow(whole, 1ULL << shift, &bytes) ||
	    __builtin_add_overflow(bytes, (uint64_t)((__uint128_t)fraction * (1ULL << shift) / scale),
				   &bytes) ||
	    bytes > INT64_MAX)
		return -ERANGE;
	*ret_bytes = (int64_t)bytes;
	return 0;
}

const char *str_from_bytes(uint64_t bytes, char *dst, size_t size)
{
	static const char *const unit[] = { "B", "kB", "MB", "GB", "TB", "PB", "EB" };
	uint64_t scale = 1, n;
	unsigned digits = 0;
	size_t u = 0;

	while (u + 1 < sizeof(unit) / sizeof(unit[0]) && bytes / scale >= 1000) {
		scale *= 1000;
		u++;
	}
	/* three significant digits, rounded; 999.5 and more become 1000 of the same unit, not one of the next */
	for (n = bytes; scale > 1 && n / scale < 100; digits++)
		scale /= 10;
	n = n / scale + (scale > 1 && n % scale >= scale / 2);
	for (; digits > 0 && n % 10 == 0; digits--) /* no zeros behind the point */
		n /= 10;
	if (digits == 0)
		str_format(dst, size, "%llu%s", (unsigned long long)n, unit[u]);
	else if (digits == 1)
		str_format(dst, size, "%llu.%llu%s", (unsigned long long)n / 10, (unsigned long long)n % 10,
			   unit[u]);
	else
		str_format(dst, size, "%llu.%02llu%s", (unsigned long long)n / 100,
			   (unsigned long long)n % 100, unit[u]);
	return dst;
}

void str_hex(char *dst, const void *bytes, size_t len)
{
	const uint8_t *b = bytes;

	for (size_t i = 0; i < len; i++) {
		dst[2 * i] = "0123456789abcdef"[b[i] >> 4];
		dst[2 * i + 1] = "0123456789abcdef"[b[i] & 15];
	}
	dst[2 * len] = '\0';
}

/* strv_take() - append @s, which the list now owns; NULL records the failure to make it. */
static void strv_take(struct strv *v, char *s)
{
	char **item = s ? reallocarray(v->item, v->len + 2, sizeof(*item)) : NULL;

	if (!item) {
		free(s);
		v->rc = -ENOMEM;
		return;
	}
	v->item = item;
	v->item[v->len++] = s;
	v->item[v->len] = NULL;
}

void strv_add(struct strv *v, const char *s)
{
	strv_take(v, strdup(s));
}

void strv_addf(struct strv *v, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	strv_take(v, str_vprintf(fmt, ap));
	va_end(ap);
}

void strv_split(struct strv *v, const char *s, char sep)
{
	const char *end;

	do {
		end = strchrnul(s, sep);
		strv_take(v, strndup(s, (size_t)(end - s)));
		s = end + 1;
	} while (*end);
}

int strv_finish(const struct strv *v)
{
	return v->rc;
}

void strv_fini(struct strv *v)
{
	for (size_t i = 0; i < v->len; i++)
		free(v->item[i]);
	free(v->item);
	*v = (struct strv){ 0 };
}
