/* SPDX-License-Identifier: Apache-2.0 */
/*
 * map.c - see map.h
 *
 * Only writable views are remembered by guest page: a page that becomes code need not be taken from who only reads it. What has
 * been unmapped meanwhile stays in those lists until somebody walks them: making a place read-only that has
 * become another's costs it one fault, and is no mistake.
 *
 * A process may have only so many mappings (vm.max_map_count), and one of a page in the midst of another's is two more. When the host gives no
 * more, all of the guest's go, and come again one by one as they are touched.
 */
#include "engine/bt/space/map.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "engine/bt/space/host.h"
#include "engine/bt/space/others.h"
#include "engine/bt/space/process.h"
#include "engine/bt/space/translate.h"

#define PAGE          4096UL
#define GRANULE       (2UL << 20)
#define GRANULE_OF(a) ((a) >> 21)
#define USER_END      0x7fffffe00000ULL
#define HALF          (1ULL << 47)

enum { /* flags of a granule */
       OF_USER = 1,
       OF_KERNEL = 2,
       NOT_GLOBAL = 4, /* it holds a page that a change of CR3 flushes */
       LARGE = 8,      /* one of its pages is part of a large page of the guest's */
       GIANT = 16,     /* 1 GiB */
       LISTED = 32,    /* in process->flushable: its next flush is at a change of CR3 */
};

/* own_end() - of the engine's places that end with guest memory, linear, as far as there is any. */
static uint64_t own_end(const struct bt_vm *vm)
{
	const struct bt_slot *last = vm->n_slots ? &vm->slot[vm->by_gpa[vm->n_slots - 1]] : NULL;
	uint64_t end = BT_RAM_BASE + (last ? last->gpa + last->size : 0);

	return end < BT_KERNEL_VIEW ? (end + GRANULE - 1) & -GRANULE : BT_KERNEL_VIEW;
}

/* is_ours() - does the host page belong to the engine? */
static bool is_ours(const struct bt_vm *vm, uint64_t host)
{
	return (host >= BT_PROGRAM_BASE && host < BT_WINDOW_END) ||
	       (host >= BT_ARENA_BASE && host < own_end(vm)) || host >= USER_END;
}

static void all_go(struct bt_cpu *c, struct bt_process *p);

/* unmap() - a hole in the midst of a mapping is one more mapping, which may be one too many. */
static void unmap(struct bt_cpu *c, uint64_t host, size_t len)
{
	bt_count(c, BT_COUNT_UNMAP);
	if (BT_CALL(SYS_munmap, host, len) < 0)
		all_go(c, bt_process());
}

/* is_local() - a granule of the kernel's half that is not the same in all address spaces */
static bool is_local(uint8_t granule)
{
	return (granule & (OF_KERNEL | NOT_GLOBAL)) == (OF_KERNEL | NOT_GLOBAL);
}

static void granule_drop(struct bt_cpu *c, struct bt_process *p, uint64_t g)
{
	if (!p->granule[g])
		return;
	unmap(c, g * GRANULE, GRANULE);
	if (is_local(p->granule[g]))
		p->n_local--;
	p->granule[g] = 0;
}

/* flush_space() - all granules with something that is not global. */
static void flush_space(struct bt_cpu *c, struct bt_process *p)
{
	bt_count(c, BT_COUNT_FLUSH);
	for (unsigned i = 0; i < p->n_flushable; i++)
		granule_drop(c, p, p->flushable[i]);
	p->n_flushable = 0;
	bt_table_clear(true);
}

static void flush_all(struct bt_cpu *c, struct bt_process *p)
{
	flush_space(c, p);
	for (unsigned i = 0; i < p->n_global; i++)
		granule_drop(c, p, p->global[i]);
	p->n_global = 0;
	p->n_views = 1;
	p->views_age++; /* heads of an older age are empty */
	bt_table_clear(false);
}

/* all_go() - in whole ranges, which makes no holes: all that is not the engine's */
static void all_go(struct bt_cpu *c, struct bt_process *p)
{
	BT_CALL(SYS_munmap, 0, BT_PROGRAM_BASE);
	BT_CALL(SYS_munmap, BT_WINDOW_END, BT_ARENA_BASE - BT_WINDOW_END);
	BT_CALL(SYS_munmap, own_end(c->vm), USER_END - own_end(c->vm));
	flush_all(c, p);
}

/* flush_at() - what maps @host. */
static void flush_at(struct bt_cpu *c, struct bt_process *p, uint64_t host)
{
	uint64_t g = GRANULE_OF(host);

	if (is_ours(c->vm, host) || !p->granule[g])
		return;
	if (p->granule[g] & GIANT) {
		for (uint64_t i = g & ~511ULL, end = i + 512; i < end; i++)
			if (p->granule[i] & GIANT)
				unmap(c, i * GRANULE, GRANULE);
	} else if (p->granule[g] & LARGE) {
		unmap(c, g * GRANULE, GRANULE);
	} else {
		unmap(c, host & -PAGE, PAGE);
	}
}

void bt_map_flush(struct bt_cpu *c, enum bt_flush what, uint64_t va)
{
	struct bt_process *p = bt_process();

	switch (what) {
	case BT_FLUSH_PAGE:
		if (va >= HALF) {
			flush_at(c, p, va + BT_SHIFT);
		} else {
			flush_at(c, p, va);
			if (va < BT_LOW_SIZE)
				flush_at(c, p, va + BT_SHIFT);
		}
		bt_table_clear_page(va);
		break;
	case BT_FLUSH_SPACE: flush_space(c, p); break;
	case BT_FLUSH_ALL: flush_all(c, p); break;
	case BT_FLUSH_COUNT: break;
	}
}

/* --- views: who sees a guest page writable ----------------------------------------------------------------------- */

static uint32_t *head_of(struct bt_process *p, struct bt_view_head *heads, uint64_t n)
{
	struct bt_view_head *h = &heads[n];

	if (h->age != p->views_age)
		*h = (struct bt_view_head){ .age = p->views_age };
	return &h->first;
}

/* view_add() - @host sees what @head lists. Return: false when there is no room left. */
static bool view_add(struct bt_process *p, uint32_t *head, uint64_t host)
{
	for (uint32_t i = *head; i; i = p->view[i].next)
		if (p->view[i].host == host)
			return true;
	if (p->n_views >= BT_VIEWS_MAX)
		return false;
	p->view[p->n_views] = (struct bt_view){ .host = host, .next = *head };
	*head = p->n_views++;
	return true;
}

/* make_readonly() - or unmapped, if it is not mapped at all any more, or the host has no mapping left for a part of one. */
static void make_readonly(struct bt_cpu *c, uint64_t host)
{
	if (BT_CALL(SYS_mprotect, host, PAGE, PROT_READ) < 0)
		unmap(c, host, PAGE);
}

void bt_map_protect(struct bt_cpu *c, uint64_t gpa)
{
	struct bt_process *p = bt_process();
	uint32_t *pages, *chunks;

	if (gpa >= BT_RAM_SIZE)
		return;
	pages = head_of(p, p->page_views, gpa / PAGE);
	for (uint32_t i = *pages; i; i = p->view[i].next)
		make_readonly(c, p->view[i].host);
	*pages = 0;
	chunks = head_of(p, p->chunk_views, gpa / GRANULE);
	for (uint32_t i = *chunks; i; i = p->view[i].next)
		make_readonly(c, p->view[i].host + (gpa & (GRANULE - PAGE)));
}

/* --- mapping ------------------------------------------------------------------------------------------------------ */

/* claim() - the granule for one side of the guest; the lists have room. Return: false when the other side has it. */
static bool claim(struct bt_process *p, uint64_t host, bool user, const struct bt_page *page)
{
	uint64_t g = GRANULE_OF(host);
	uint8_t was = p->granule[g], want = user ? OF_USER : OF_KERNEL;

	if (was & (OF_USER | OF_KERNEL) & ~want)
		return false;
	if (user || !page->global)
		want |= NOT_GLOBAL;
	if (page->shift >= 30)
		want |= GIANT;
	else if (page->shift > 12)
		want |= LARGE;
	if ((want & NOT_GLOBAL) && !(was & LISTED)) {
		p->flushable[p->n_flushable++] = (uint32_t)g;
		want |= LISTED;
	}
	if (!was && !(want & NOT_GLOBAL))
		p->global[p->n_global++] = (uint32_t)g;
	if (is_local(was | want) && !is_local(was))
		p->n_local++;
	p->granule[g] = was | want;
	return true;
}

static long map(struct bt_cpu *c, const struct bt_slot *s, uint64_t host, uint64_t gpa, size_t len,
		bool writable)
{
	long r = BT_CALL(SYS_mmap, host, len, PROT_READ | (writable ? PROT_WRITE : 0),
			 MAP_SHARED | MAP_FIXED | (len == PAGE ? MAP_POPULATE : 0), s->fd,
			 s->offset + (gpa - s->gpa));

	bt_count(c, BT_COUNT_MAP);
	return r;
}

/* map_chunk() - 2 MiB at once of a large page of the kernel's, its pages with code read-only. */
static bool map_chunk(struct bt_cpu *c, struct bt_process *p, uint64_t host, const struct bt_page *page,
		      bool writable)
{
	uint64_t gpa = page->gpa & -GRANULE;
	const struct bt_slot *s = bt_slot_of(c->vm, gpa, GRANULE);

	host &= -GRANULE;
	if (!s || (s->readonly && writable))
		return false;
	/* remembered first: what is writable and not remembered could not be taken back when it becomes code */
	if (writable && !view_add(p, head_of(p, p->chunk_views, gpa / GRANULE), host))
		return false;
	if (map(c, s, host, gpa, GRANULE, writable) < 0)
		return false;
	for (uint64_t at = 0; writable && at < GRANULE; at += PAGE)
		if (bt_others_code_has(c, gpa + at))
			make_readonly(c, host + at);
	return true;
}

enum bt_map bt_map_page(struct bt_cpu *c, uint64_t host, uint64_t va, const struct bt_page *page, bool write)
{
	struct bt_process *p = bt_process();
	bool user = host == va, writable = page->writable && page->dirty, code;
	const struct bt_slot *s;
	long r;

	if (is_ours(c->vm, host))
		return BT_MAP_NOT;
	s = bt_slot_of(c->vm, page->gpa & -PAGE, PAGE);
	if (!s || (write && (s->readonly || !writable)))
		return BT_MAP_NOT;
	code = bt_others_code_has(c, page->gpa);
	if (code && write)
		return BT_MAP_NOT;
	if (p->n_flushable >= BT_GRANULES_MAX || p->n_global >= BT_GRANULES_MAX)
		flush_all(c, p);
	if (!claim(p, host, user, page))
		return BT_MAP_NOT;
	writable = writable && !s->readonly;
	/* with a log, pages become writable one by one, and the rest of a chunk stays as it is */
	if (!user && page->shift >= 21 && ((host ^ page->gpa) & (GRANULE - PAGE)) == 0 &&
	    !(s->log && write) && map_chunk(c, p, host, page, writable && !s->log))
		return BT_MAPPED;
	if (s->log && write)
		bt_log_note(c->vm, page->gpa);
	else if (s->log)
		writable = writable && bt_log_has(c->vm, page->gpa);
	host &= -PAGE;
	if (writable && !code && !view_add(p, head_of(p, p->page_views, page->gpa / PAGE), host)) {
		flush_all(c, p);
		return bt_map_page(c, host, va & -PAGE, page, write); /* once: now there is room */
	}
	r = map(c, s, host, page->gpa & -PAGE, PAGE, writable && !code);
	if (r == -ENOMEM && p->n_flushable + p->n_global > 1) { /* of others, too: now it is the only one */
		all_go(c, p);
		return bt_map_page(c, host, va & -PAGE, page, write);
	}
	return r < 0 ? BT_MAP_NOT : BT_MAPPED;
}
