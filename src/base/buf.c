/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

void *buf_room(struct buf *b, size_t len)
{
	size_t need, cap;
	char *data;

	if (b->rc < 0)
		return NULL;
	if (__builtin_add_overflow(b->len, len, &need) || need >= SIZE_MAX / 2) {
		b->rc = -ENOMEM;
		return NULL;
	}
	if (need + 1 > b->cap) {
		cap = b->cap ? b->cap : 64;
		while (cap < need + 1)
			cap *= 2;
		data = realloc(b->data, cap);
		if (!data) {
			b->rc = -ENOMEM;
			return NULL;
		}
		b->data = data;
		b->cap = cap;
	}
	b->data[need] = '\0';
	return b->data + b->len;
}

void buf_put(struct buf *b, const void *bytes, size_t len)
{
	void *room = buf_room(b, len);

	if (!room)
		return;
	if (len > 0)
		memcpy(room, bytes, len);
	b->len += len;
}

void buf_puts(struct buf *b, const char *s)
{
	buf_put(b, s, strlen(s));
}

void buf_putc(struct buf *b, char c)
{
	buf_put(b, &c, 1);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	size_t n;
	char *room;

	va_start(ap, fmt);
	n = str_vformat(NULL, 0, fmt, ap);
	va_end(ap);
	room = buf_room(b, n);
	if (!room)
		return;
	va_start(ap, fmt);
	str_vformat(room, n + 1, fmt, ap);
	va_end(ap);
	b->len += n;
}

int buf_finish(const struct buf *b)
{
	return b->rc;
}

const char *buf_str(const struct buf *b)
{
	return b->data ? b->data : "";
}

char *buf_take(struct buf *b)
{
	char *data = NULL;

	if (b->rc == 0 && buf_room(b, 0))
		data = b->data;
	else
		free(b->data);
	*b = (struct buf){ 0 };
	return data;
}

void buf_fini(struct buf *b)
{
	free(b->data);
	*b = (struct buf){ 0 };
}
