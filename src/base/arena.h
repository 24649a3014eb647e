/* SPDX-License-Identifier: Apache-2.0 */
/* arena.h - memory of one request: many small allocations, one release */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

struct arena_block;

struct arena {
	struct arena_block *top; /* owned; newest first */
};

/* arena_alloc() - zeroed, aligned for any type. Return: NULL when out of memory. */
void *arena_alloc(struct arena *a, size_t size);
void *arena_array(struct arena *a, size_t n, size_t size); /* NULL also when n * size overflows */
char *arena_strdup(struct arena *a, const char *s);
char *arena_strndup(struct arena *a, const char *s, size_t len);
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void arena_fini(struct arena *a);

#endif
