/* SPDX-License-Identifier: Apache-2.0 */
/* buf.h - a growing run of bytes; sticky: appends return nothing, buf_finish() reports the first failure */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stddef.h>

struct buf {
	char *data; /* owned; always one NUL behind the last byte, once something is in it */
	size_t len; /* bytes, without that NUL */
	size_t cap;
	int rc; /* first failure */
};

void buf_put(struct buf *b, const void *bytes, size_t len);
void buf_puts(struct buf *b, const char *s);
void buf_putc(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* buf_room() - make room for @len more bytes and return where they go (then raise b->len), or NULL. */
void *buf_room(struct buf *b, size_t len);

int buf_finish(const struct buf *b);      /* 0 or -ENOMEM */
const char *buf_str(const struct buf *b); /* never NULL: "" while empty; borrowed */
char *buf_take(struct buf *b); /* the bytes, now the caller's; NULL after a failure; @b is empty again */
void buf_fini(struct buf *b);

#endif
