/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory.c - which of a machine's memory the engine shows to the guest, in which slots
 *
 * A region is one slot, whose number stays its own while others come and go. The region of memory hot-plug is many: one for
 * each of its parts in which anything is plugged, so that the guest cannot touch the others; and a single one if there are
 * more of them than the engine has slots. An engine that maps the files itself has a second slot, from the last one down, for what a
 * device's file lacks.
 */
#include <errno.h>
#include <string.h>

#include "base/bug.h"
#include "base/err.h"
#include "vm/machine_internal.h"

enum { PART_FIRST = GMEM_REGIONS_MAX, PAGES_PER_WORD = 64 };

#define MIB (1ULL << 20)

/* in_parts() - is this the region that the guest sees in parts? */
static bool in_parts(const struct machine *m, const struct gmem_region *g)
{
	const struct machine_memhp *h = &m->config.memhp;
	const unsigned slots = ENGINE_SLOTS_MAX - (m->vm->ops->shared_memory ? GMEM_REGIONS_MAX : 0);

	return h->on && g->base == h->base && h->slot_mib && h->total_mib / h->slot_mib <= slots - PART_FIRST;
}

static struct engine_mem slot_of(const struct machine *m, unsigned slot, const struct gmem_region *g,
				 uint64_t offset, uint64_t size)
{
	return (struct engine_mem){
		.slot = slot,
		.gpa = g->base + offset,
		.size = size,
		.host = g->host + offset,
		.fd = g->fd,
		.fd_offset = g->fd_offset + offset,
		.shared = g->shared,
		.readonly = g->readonly,
		.log_dirty = m->config.track_dirty && g->ram,
	};
}

/* slot_set() - @size 0: nothing is there any more. */
static int slot_set(struct machine *m, unsigned slot, const struct gmem_region *g, uint64_t offset,
		    uint64_t size, struct err *e)
{
	const struct engine_mem em = slot_of(m, slot, g, offset, size);

	return engine_mem_set(m->vm, &em, e);
}

/* number() - regions have a slot each: of the first that is free. */
static unsigned number(const struct machine *m)
{
	for (unsigned slot = 0;; slot++) {
		bool used = false;

		for (unsigned i = 0; i < m->mem.n; i++)
			used |= m->mem.region[i].has_slot && m->mem.region[i].slot == slot;
		if (!used)
			return slot;
	}
}

/* tail_set() - what the file of @g lacks, for an engine that maps it itself. */
static int tail_set(struct machine *m, const struct gmem_region *g, bool on, struct err *e)
{
	uint64_t at = gmem_in_file(g);
	const struct engine_mem em = {
		.slot = ENGINE_SLOTS_MAX - 1 - g->slot,
		.gpa = g->base + at,
		.size = on ? g->size - at : 0,
		.host = g->host + at,
		.fd = g->tail_fd,
		.shared = true,
		.readonly = g->readonly,
	};

	return engine_mem_set(m->vm, &em, e);
}

static bool has_tail(const struct machine *m, const struct gmem_region *g)
{
	return m->vm->ops->shared_memory && g->tail_fd >= 0;
}

static int region_show(struct machine *m, struct gmem_region *g, struct err *e)
{
	int r;

	if (in_parts(m, g))
		return 0;
	g->slot = number(m);
	g->has_slot = true;
	r = slot_set(m, g->slot, g, 0, has_tail(m, g) ? gmem_in_file(g) : g->size, e);
	return r == 0 && has_tail(m, g) ? tail_set(m, g, true, e) : r;
}

int machine__memory_begin(struct machine *m, struct err *e)
{
	struct engine_mem em[ENGINE_BEGIN_MAX];
	unsigned n = 0;

	for (unsigned i = 0; i < m->mem.n && n < ENGINE_BEGIN_MAX; i++) {
		struct gmem_region *g = &m->mem.region[i];

		g->slot = number(m);
		g->has_slot = true;
		em[n++] = slot_of(m, g->slot, g, 0, g->size);
	}
	return engine_mem_begin(m->vm, em, n, e);
}

int machine__memory_show(struct machine *m, struct err *e)
{
	int r = 0;

	for (unsigned i = 0; i < m->mem.n && r == 0; i++)
		if (!m->mem.region[i].has_slot)
			r = region_show(m, &m->mem.region[i], e);
	return r;
}

/* machine__memory_remove() - of a device; there may be none at @base. */
void machine__memory_remove(struct machine *m, gpa_t base)
{
	const struct gmem_region *g = gmem_find(&m->mem, base, 1);

	if (!g || g->base != base || g->ram)
		return;
	if (g->has_slot)
		slot_set(m, g->slot, g, 0, 0, NULL);
	if (g->has_slot && has_tail(m, g))
		tail_set(m, g, false, NULL);
	gmem_remove(&m->mem, base);
}

int machine__memory_part(void *arg, gpa_t base, uint64_t size, bool on)
{
	struct machine *m = arg;
	const struct gmem_region *g = gmem_find(&m->mem, base, size);
	uint64_t part = m->config.memhp.slot_mib * MIB;

	if (!g || !in_parts(m, g))
		return 0;
	return slot_set(m, PART_FIRST + (unsigned)((base - g->base) / part), g, base - g->base, on ? size : 0,
			NULL);
}

int machine__memory_dirty(struct machine *m, unsigned i, uint64_t *bits, size_t words)
{
	const struct gmem_region *g = &m->mem.region[i];
	size_t per_part = (size_t)(m->config.memhp.slot_mib * MIB / GMEM_PAGE / PAGES_PER_WORD);
	int r = 0;

	if (!in_parts(m, g))
		return engine_dirty_get(m->vm, g->slot, bits, words);
	for (size_t k = 0, at = 0; at < words && r == 0; k++, at += per_part) {
		r = engine_dirty_get(m->vm, PART_FIRST + (unsigned)k, bits + at,
				     per_part < words - at ? per_part : words - at);
		if (r == -ENOENT) /* not there: what was taken away is marked by who took it */
			r = 0;
	}
	return r;
}
