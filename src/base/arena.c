/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

enum { ARENA_BLOCK_BYTES = 16384 };

struct arena_block {
	struct arena_block *below;
	size_t used, size;
	alignas(max_align_t) char bytes[];
};

void *arena_alloc(struct arena *a, size_t size)
{
	const size_t align = alignof(max_align_t);
	struct arena_block *b = a->top;
	void *p;

	if (size > SIZE_MAX / 2)
		return NULL;
	size = (size + align - 1) & ~(align - 1);
	if (!b || b->size - b->used < size) {
		size_t room = size > ARENA_BLOCK_BYTES ? size : ARENA_BLOCK_BYTES;

		b = malloc(sizeof(*b) + room);
		if (!b)
			return NULL;
		*b = (struct arena_block){ .below = a->top, .size = room };
		a->top = b;
	}
	p = b->bytes + b->used;
	b->used += size;
	return memset(p, 0, size);
}

void *arena_array(struct arena *a, size_t n, size_t size)
{
	size_t bytes;

	return __builtin_mul_overflow(n, size, &bytes) ? NULL : arena_alloc(a, bytes);
}

char *arena_strndup(struct arena *a, const char *s, size_t len)
{
	char *copy = arena_alloc(a, len + 1);

	return copy ? memcpy(copy, s, len) : NULL;
}

char *arena_strdup(struct arena *a, const char *s)
{
	return arena_strndup(a, s, strlen(s));
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	size_t n;
	char *s;

	va_start(ap, fmt);
	n = str_vformat(NULL, 0, fmt, ap);
	va_end(ap);
	s = arena_alloc(a, n + 1);
	if (!s)
		return NULL;
	va_start(ap, fmt);
	str_vformat(s, n + 1, fmt, ap);
	va_end(ap);
	return s;
}

void arena_fini(struct arena *a)
{
	while (a->top) {
		struct arena_block *b = a->top;

		a->top = b->below;
		free(b);
	}
}
