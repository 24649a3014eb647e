/* SPDX-License-Identifier: Apache-2.0 */
#include "vm/bus.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/bug.h"
#include "base/err.h"

int bus_add(struct bus *b, uint64_t base, uint64_t size, const struct bus_ops *ops, void *arg, struct err *e)
{
	unsigned at = 0;

	BUG_ON(size == 0 || base + size < base);
	if (b->n == BUS_RANGES_MAX)
		return err_set(e, ENOSPC, "'%s': more than %d ranges on a bus", ops->name, BUS_RANGES_MAX);
	while (at < b->n && b->range[at].base < base)
		at++;
	for (unsigned i = at ? at - 1 : 0; i <= at && i < b->n; i++)
		if (base < b->range[i].base + b->range[i].size && b->range[i].base < base + size)
			return err_set(e, EEXIST, "'%s' at 0x%llx meets '%s' at 0x%llx", ops->name,
				       (unsigned long long)base, b->range[i].ops->name,
				       (unsigned long long)b->range[i].base);
	memmove(&b->range[at + 1], &b->range[at], (b->n - at) * sizeof(b->range[0]));
	b->range[at] = (struct bus_range){ .base = base, .size = size, .ops = ops, .arg = arg };
	b->n++;
	return 0;
}

/* find() - the range that holds all of the access, or NULL. */
static const struct bus_range *find(const struct bus *b, uint64_t addr, unsigned len)
{
	unsigned low = 0, high = b->n;
	const struct bus_range *r;

	while (low < high) { /* the first range that begins behind @addr */
		unsigned mid = (low + high) / 2;

		if (b->range[mid].base <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == 0 || len == 0 || len > BUS_ACCESS_MAX)
		return NULL;
	r = &b->range[low - 1];
	return addr - r->base < r->size && r->size - (addr - r->base) >= len ? r : NULL;
}

static void count_nobody(struct bus *b)
{
	__atomic_fetch_add(&b->n_nobody, 1, __ATOMIC_RELAXED);
}

void bus_read(struct bus *b, uint64_t addr, void *dst, unsigned len)
{
	const struct bus_range *r = find(b, addr, len);

	memset(dst, 0xff, len);
	if (!r)
		count_nobody(b);
	else if (r->ops->read)
		r->ops->read(r->arg, addr - r->base, dst, len);
}

void bus_write(struct bus *b, uint64_t addr, const void *src, unsigned len)
{
	const struct bus_range *r = find(b, addr, len);

	if (!r)
		count_nobody(b);
	else if (r->ops->write)
		r->ops->write(r->arg, addr - r->base, src, len);
}
