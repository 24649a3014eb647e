/* SPDX-License-Identifier: Apache-2.0 */
/*
 * way.c - direct branches of the user's to other pages
 *
 * Theory of operation. Which code such a branch leads to depends on what the other page is, and that differs between address spaces and
 * changes with time. So it is a JMP through a word, the target's way, which each process has for itself: to the target's @entry, or, as long as that
 * is not known here, out of translated code. Ways are forgotten with whatever empties the tables of indirect targets, and found by page: the first
 * target on a page brings all ways that lead there.
 */
#include "engine/bt/space/emit.h"
#include "engine/bt/space/translate_internal.h"

#define PAGE 4096ULL

enum { WRITTEN_MAX = 16384 };

/* Of this process: the ways that lead somewhere, and a bit for each page, hashed, with such. More than the list holds: all are filled anew. */
static struct {
	uint32_t filled; /* ways up to here have a value */
	uint32_t at[WRITTEN_MAX], n;
	uint64_t pages[WAY_BUCKETS / 64];
} ways = { .filled = 1 };

static uint64_t *place(uint32_t n)
{
	return (uint64_t *)BT_WAY_BASE + n;
}

static uint32_t bucket(uint64_t rip)
{
	return translate__hash(rip & -PAGE) % WAY_BUCKETS;
}

static void reset(uint32_t n)
{
	*place(n) = translate__store()->way[n].out;
}

static void set(uint32_t n, const struct bt_block *b)
{
	*place(n) = (uint64_t)(uintptr_t)b->entry;
	if (ways.n < WRITTEN_MAX)
		ways.at[ways.n++] = n;
}

uint32_t translate__way(uint64_t rip)
{
	struct translate_store *s = translate__store();
	uint32_t *head = &s->way_page[bucket(rip)], n = *head, exit;
	struct emit e = { .at = s->cold_at };

	while (n && s->way[n].rip != rip)
		n = s->way[n].next;
	if (n)
		return n;
	n = s->n_ways++;
	s->way[n] = (struct bt_way){ .rip = rip, .out = (uint32_t)(uintptr_t)e.at, .next = *head };
	*head = n;
	exit = translate__exit(BT_LEAVE_LINK, BT_USER, rip, NULL);
	s->exit[exit].way = true;
	emit_store_imm(&e, BT_AT(exit), exit);
	emit_jump(&e, s->leave);
	s->cold_at = e.at;
	reset(n);
	ways.filled = n + 1;
	return n;
}

void translate__ways_catch_up(bool again)
{
	const struct translate_store *s = translate__store();

	if (again) {
		ways.filled = 1;
		ways.n = 0;
		__builtin_memset(ways.pages, 0, sizeof(ways.pages));
	}
	for (; ways.filled < s->n_ways; ways.filled++)
		reset(ways.filled);
}

void translate__ways_clear(void)
{
	if (ways.n >= WRITTEN_MAX) {
		translate__ways_catch_up(true);
		return;
	}
	for (uint32_t i = 0; i < ways.n; i++)
		reset(ways.at[i]);
	__builtin_memset(ways.pages, 0, sizeof(ways.pages));
	ways.n = 0;
}

void translate__ways_clear_page(uint64_t va)
{
	const struct translate_store *s = translate__store();
	uint32_t h = bucket(va);

	if (!(ways.pages[h / 64] >> h % 64 & 1))
		return;
	for (uint32_t n = s->way_page[h]; n; n = s->way[n].next)
		reset(n);
	ways.pages[h / 64] &= ~(1ULL << h % 64);
}

/* translate__ways_remove() - in other processes they lead to the dead block, and from there out */
void translate__ways_remove(const struct bt_block *b)
{
	const struct translate_store *s = translate__store();

	if (b->mode != BT_USER)
		return;
	for (uint32_t n = s->way_page[bucket(b->rip)]; n; n = s->way[n].next)
		if (*place(n) == (uint64_t)(uintptr_t)b->entry)
			reset(n);
}

void bt_way_put(struct bt_block *b)
{
	const struct translate_store *s = translate__store();
	uint32_t h = bucket(b->rip);
	bool first = !(ways.pages[h / 64] >> h % 64 & 1);

	if (b->mode != BT_USER)
		return;
	ways.pages[h / 64] |= 1ULL << h % 64;
	for (uint32_t n = s->way_page[h]; n; n = s->way[n].next) {
		uint64_t rip = s->way[n].rip;

		if (rip == b->rip) {
			set(n, b);
		} else if (first && !((rip ^ b->rip) & -PAGE)) {
			const struct bt_block *o =
				translate__find(rip, (b->gpa & -PAGE) | (rip & (PAGE - 1)), BT_USER);

			if (o)
				set(n, o);
		}
	}
}
