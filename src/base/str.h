/* SPDX-License-Identifier: Apache-2.0 */
/* str.h - C strings: format without allocation, compare, copy with a bound, parse numbers strictly */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/**
 * str_vformat() - snprintf(3) of our own: no locale, no allocation, safe between clone and exec
 * Conversions: %s %.*s %.Ns %c %d %i %u %x %o %p %% with '0', '-', width, and h l ll z j lengths; not floats.
 * Return: the length the whole text would have; it was cut when that is >= @size. Always terminated if @size > 0.
 */
size_t str_vformat(char *dst, size_t size, const char *fmt, va_list ap) __attribute__((format(printf, 3, 0)));
size_t str_format(char *dst, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* str_copy() - bounded copy, always terminated. Return: true when all of @src fitted. */
bool str_copy(char *dst, size_t size, const char *src);

/* str_printf() - format into fresh heap memory. Return: caller frees; NULL when out of memory. */
char *str_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static inline bool str_eq(const char *a, const char *b)
{
	return a && b && strcmp(a, b) == 0;
}

static inline bool str_starts(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* str_after() - what follows @prefix in @s, or NULL when @s does not start with it. */
static inline const char *str_after(const char *s, const char *prefix)
{
	return str_starts(s, prefix) ? s + strlen(prefix) : NULL;
}

bool str_ends(const char *s, const char *suffix);

/* str_to_u64() / str_to_i64() - the whole string is one decimal number. Return: 0, -EINVAL, -ERANGE. */
int str_to_u64(const char *s, uint64_t *ret_n);
int str_to_i64(const char *s, int64_t *ret_n);

/* str_to_bytes() - "512", "64k", "1.5g", "10MiB" (powers of 1024, as Docker reads them). Return: as above. */
int str_to_bytes(const char *s, int64_t *ret_bytes);

/* str_from_bytes() - "2.01MB", "1.5GB": powers of 1000, rounded to three significant digits as Docker prints sizes. */
const char *str_from_bytes(uint64_t bytes, char *dst, size_t size);

/* str_hex() - lower-case hex of @len bytes; @dst holds 2 * @len + 1. */
void str_hex(char *dst, const void *bytes, size_t len);

/* A list of strings, NULL-terminated once something is in it. Empty value {0}; sticky: appends never fail visibly. */
struct strv {
	char **item; /* owned, each owned; NULL while empty */
	size_t len;
	int rc; /* first failure, for strv_finish() */
};

void strv_add(struct strv *v, const char *s);
void strv_addf(struct strv *v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void strv_split(struct strv *v, const char *s, char sep); /* empty parts are kept */
int strv_finish(const struct strv *v);                    /* 0 or -ENOMEM */
void strv_fini(struct strv *v);

#endif
