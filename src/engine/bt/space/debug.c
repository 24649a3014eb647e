/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/bt/space/debug.h"

#include <errno.h>

#include "engine/bt/space/translate.h"

bool bt_debug_breaks_at(const struct bt_cpu *c, uint64_t va)
{
	for (unsigned i = 0; i < c->debug.n; i++)
		if (c->debug.point[i].kind == X86_POINT_RUN && c->debug.point[i].addr == va)
			return true;
	return false;
}

void bt_debug_touch(struct bt_cpu *c, uint64_t va, size_t n, bool write)
{
	for (unsigned i = 0; i < c->debug.n; i++) {
		const struct x86_point *p = &c->debug.point[i];
		bool wanted = p->kind == X86_POINT_TOUCH || (p->kind == X86_POINT_WRITE && write);

		if (!wanted || p->addr >= va + n || va >= p->addr + p->len)
			continue;
		c->touched = p->addr;
		c->touched_size = (uint8_t)p->len;
	}
}

/* code_points() - RUN points of @d into @at. Return: how many. */
static unsigned code_points(const struct x86_debug *d, uint64_t at[X86_POINTS_MAX])
{
	unsigned n = 0;

	for (unsigned i = 0; i < d->n; i++)
		if (d->point[i].kind == X86_POINT_RUN)
			at[n++] = d->point[i].addr;
	return n;
}

long bt_debug_set(struct bt_cpu *c, const struct x86_debug *d)
{
	uint64_t at[X86_POINTS_MAX];
	unsigned n;

	if (d->n > X86_POINTS_MAX)
		return -EINVAL;
	c->debug = *d;
	c->touched_size = 0;
	n = code_points(&c->debug, at);
	c->n_watched = c->debug.n - n;
	if (bt_debug_interprets(c)) /* what has been translated sleeps, and may be right when it wakes */
		return 0;
	if (n == c->n_code_points && !__builtin_memcmp(at, c->code_point, n * sizeof(at[0])))
		return 0;
	__builtin_memcpy(c->code_point, at, n * sizeof(at[0]));
	c->n_code_points = n;
	bt_code_drop();
	return 0;
}
