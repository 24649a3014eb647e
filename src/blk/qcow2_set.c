/* SPDX-License-Identifier: Apache-2.0 */
/* qcow2_set.c - a set of cluster numbers */
#include <errno.h>
#include <stdlib.h>

#include "blk/qcow2_internal.h"

enum { SET_MIN = 64 };

static size_t home(const struct cluster_set *s, uint64_t key)
{
	return (size_t)((key * 0x9e3779b97f4a7c15ULL) >> 20) & (s->cap - 1);
}

static size_t find(const struct cluster_set *s, uint64_t key)
{
	size_t i = home(s, key);

	while (s->key[i] != 0 && s->key[i] != key)
		i = (i + 1) & (s->cap - 1);
	return i;
}

static int grow(struct cluster_set *s)
{
	struct cluster_set to = { .cap = s->cap ? s->cap * 2 : SET_MIN, .n = s->n };

	to.key = calloc(to.cap, sizeof(*to.key));
	if (!to.key)
		return -ENOMEM;
	for (size_t i = 0; i < s->cap; i++)
		if (s->key[i])
			to.key[find(&to, s->key[i])] = s->key[i];
	free(s->key);
	*s = to;
	return 0;
}

int cluster_set_add(struct cluster_set *s, uint64_t n)
{
	size_t i;

	if ((s->n + 1) * 2 > s->cap && grow(s) < 0)
		return -ENOMEM;
	i = find(s, n + 1);
	if (s->key[i])
		return 1;
	s->key[i] = n + 1;
	s->n++;
	return 0;
}

bool cluster_set_has(const struct cluster_set *s, uint64_t n)
{
	return s->cap && s->key[find(s, n + 1)] != 0;
}

void cluster_set_remove(struct cluster_set *s, uint64_t n)
{
	size_t i, gap;

	if (!cluster_set_has(s, n))
		return;
	gap = find(s, n + 1);
	s->n--;
	/* What stands behind the gap and would be looked for from before it moves in. */
	for (i = (gap + 1) & (s->cap - 1); s->key[i]; i = (i + 1) & (s->cap - 1)) {
		size_t h = home(s, s->key[i]);

		if (((i - h) & (s->cap - 1)) >= ((i - gap) & (s->cap - 1))) {
			s->key[gap] = s->key[i];
			gap = i;
		}
	}
	s->key[gap] = 0;
}

void cluster_set_fini(struct cluster_set *s)
{
	free(s->key);
	*s = (struct cluster_set){ 0 };
}
