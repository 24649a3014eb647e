/* SPDX-License-Identifier: Apache-2.0 */
/*
 * block.c - blocks found, listed by page, linked, killed, and all dropped when there is no room
 *
 * A processor at a time runs here: several that share the cache will need a lock around translation, and epochs before room is used again.
 */
#include "engine/bt/space/emit.h"
#include "engine/bt/space/mmu.h"
#include "engine/bt/space/translate_internal.h"

#define PAGE 4096ULL
#define NONE (~0ULL)

unsigned translate__hash(uint64_t v)
{
	return (unsigned)(v * 0x9e3779b97f4a7c15ULL >> 48);
}

void *translate__alloc(size_t n)
{
	struct translate_store *s = translate__store();
	void *p = (void *)(uintptr_t)s->arena_at;

	s->arena_at += (n + 15) & ~15ULL;
	return p;
}

uint32_t translate__exit(enum bt_leave why, enum bt_mode mode, uint64_t rip, uint8_t *patch)
{
	struct translate_store *s = translate__store();

	s->exit[s->n_exits] =
		(struct bt_exit){ .why = (uint8_t)why, .mode = (uint8_t)mode, .rip = rip, .patch = patch };
	return s->n_exits++;
}

/* --- start and restart ----------------------------------------------------------------------------------------------------- */

void translate__reset(void)
{
	struct translate_store *s = translate__store();

	for (unsigned i = 0; i < HASH_BUCKETS; i++)
		s->hash[i] = s->page[i] = NULL;
	for (unsigned i = 0; i < WAY_BUCKETS; i++)
		s->way_page[i] = 0;
	s->n_ways = 1;
	for (uint32_t i = 0; i < s->n_blocks; i++) {
		struct bt_block *b = s->order[i];

		s->code_page[b->gpa >> 15] = 0;
		if (b->gpa2 != NONE)
			s->code_page[b->gpa2 >> 15] = 0;
	}
	s->n_blocks = 0;
	s->n_exits = 2; /* the stubs' */
	s->cache_at = (uint8_t *)s->cache_first;
	s->cold_at = (uint8_t *)BT_COLD_BASE;
	s->arena_at = BT_ARENA_BASE + sizeof(*s);
	s->age++;
	bt_table_catch_up();
}

/* is_quick_at_loop() - AMD's are, and Hygon's, which are of the same kind */
static bool is_quick_at_loop(void)
{
	uint32_t a, b, c, d;

	__asm__ volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(0), "c"(0));
	return c == 0x444d4163 || c == 0x656e6975; /* "cAMD", "uine" */
}

void bt_translate_init(struct bt_vm *vm)
{
	struct translate_store *s = translate__store();

	(void)vm;
	s->cache_at = (uint8_t *)BT_CACHE_BASE;
	s->loops = is_quick_at_loop();
	translate__stubs();
	translate__reset();
}

static bool is_full(void)
{
	const struct translate_store *s = translate__store();

	return s->cache_at + BLOCK_BYTES_MAX > (uint8_t *)BT_COLD_BASE ||
	       s->cold_at + BLOCK_BYTES_MAX > (uint8_t *)BT_CACHE_BASE + BT_CACHE_SIZE ||
	       s->arena_at + 65536 > BT_ARENA_BASE + BT_ARENA_SIZE || s->n_blocks + 1 >= BLOCKS_MAX ||
	       s->n_exits + 4 * BLOCK_INSNS_MAX >= EXITS_MAX ||
	       s->n_ways + 4 * BLOCK_INSNS_MAX >= BT_WAYS_MAX;
}

/* --- finding --------------------------------------------------------------------------------------------------------------- */

static bool page_bit(uint64_t gpa)
{
	return translate__store()->code_page[gpa >> 15] >> (gpa >> 12 & 7) & 1;
}

uint8_t *bt_code_pages(void)
{
	return translate__store()->code_page;
}

void bt_code_drop(void)
{
	translate__reset();
}

bool bt_code_has(uint64_t gpa)
{
	return gpa < BT_RAM_SIZE && page_bit(gpa);
}

void translate__page(struct bt_cpu *c, uint64_t gpa)
{
	if (page_bit(gpa))
		return;
	__atomic_fetch_or(&translate__store()->code_page[gpa >> 15], (uint8_t)(1U << (gpa >> 12 & 7)),
			  __ATOMIC_SEQ_CST);
	c->world->code_made(c, gpa & -PAGE);
}

static void page_add(struct bt_block *b, unsigned which, uint64_t gpa)
{
	struct bt_block **head = &translate__store()->page[translate__hash(gpa / PAGE)];

	b->page_next[which] = *head;
	*head = b;
}

/* translate__page_first(), _next() - blocks in the list that has those of @of's page */
struct bt_block *translate__page_first(const struct bt_block *of)
{
	return translate__store()->page[translate__hash(of->gpa / PAGE)];
}

struct bt_block *translate__page_next(const struct bt_block *b, const struct bt_block *of)
{
	return b->page_next[translate__hash(b->gpa / PAGE) != translate__hash(of->gpa / PAGE)];
}

bool translate__insert(struct bt_block *b)
{
	struct translate_store *s = translate__store();
	struct bt_block **head = &s->hash[translate__hash(b->rip)];

	if (!b->look && (!page_bit(b->gpa) || (b->gpa2 != NONE && !page_bit(b->gpa2))))
		return false;
	s->order[s->n_blocks++] = b;
	b->next = *head;
	*head = b;
	if (b->look)
		return true;
	page_add(b, 0, b->gpa);
	/* two pages may share a bucket: the second list is kept apart by which pointer it goes through */
	if (b->gpa2 != NONE && translate__hash(b->gpa / PAGE) != translate__hash(b->gpa2 / PAGE))
		page_add(b, 1, b->gpa2);
	return true;
}

/*
 * Where code was fetched from last: a TLB of walks that have been made and found good. It is emptied with whatever empties the tables,
 * and by every new CR3.
 */
static struct {
	uint64_t page; /* and the mode, plus one */
	uint64_t gpa;
	uint32_t age;
} fetched[256];
static uint32_t fetched_age = 1;

void bt_fetched_clear(void)
{
	fetched_age++;
}

/* fetch_page() - the physical address of @rip */
static int fetch_page(struct bt_cpu *c, uint64_t rip, enum bt_mode mode, uint64_t *ret_gpa)
{
	unsigned n = rip / PAGE % 256;
	uint64_t key = (rip & -PAGE) | ((uint64_t)mode + 1);
	struct bt_page page;

	if (fetched[n].age == fetched_age && fetched[n].page == key) {
		*ret_gpa = fetched[n].gpa | (rip & (PAGE - 1));
		return BT_OK;
	}
	if (bt_walk(c, rip, BT_FETCH, &page) < 0)
		return BT_FAULT;
	if (!bt_ram(c->vm, page.gpa, 1, false) || page.gpa >= BT_RAM_SIZE)
		return bt_raise_code(c, X86_GP, 0);
	fetched[n].page = key;
	fetched[n].gpa = page.gpa & -PAGE;
	fetched[n].age = fetched_age;
	*ret_gpa = page.gpa;
	return BT_OK;
}

struct bt_block *translate__find(uint64_t rip, uint64_t gpa, enum bt_mode mode)
{
	struct bt_block *b = translate__store()->hash[translate__hash(rip)];

	while (b && (b->rip != rip || b->gpa != gpa || b->mode != mode))
		b = b->next;
	return b;
}

struct bt_block *bt_block_come(struct bt_cpu *c, uint64_t rip, enum bt_mode mode, enum bt_head by)
{
	struct bt_block *b;
	uint64_t gpa;

	if (fetch_page(c, rip, mode, &gpa) < 0)
		return NULL;
	if (!translate__has_head(rip))
		by = BT_HEAD_COUNT;
	b = translate__find(rip, gpa, mode);
	while (!b) {
		if (is_full()) /* each try uses room up */
			translate__reset();
		b = translate__block(c, rip, mode, gpa, by);
	}
	return b;
}

struct bt_block *bt_block_get(struct bt_cpu *c, uint64_t rip, enum bt_mode mode)
{
	return bt_block_come(c, rip, mode, BT_HEAD_COUNT);
}

struct bt_block *bt_block_at(const void *pc)
{
	const struct translate_store *s = translate__store();
	uint32_t low = 0, high = s->n_blocks;

	if ((const uint8_t *)pc < s->cache_first || (const uint8_t *)pc >= s->cache_at)
		return NULL;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		struct bt_block *b = s->order[middle];

		if ((const uint8_t *)pc < b->begin)
			high = middle;
		else if ((const uint8_t *)pc >= b->end)
			low = middle + 1;
		else
			return b;
	}
	return NULL;
}

bool bt_is_cache(const void *pc)
{
	return (uintptr_t)pc - BT_CACHE_BASE < BT_CACHE_SIZE;
}

/* --- links and the end of blocks --------------------------------------------------------------------------------------------- */

void bt_link(const struct bt_exit *x, struct bt_block *to)
{
	const struct translate_store *s = translate__store();
	struct bt_link *l;
	int32_t d;

	/* making @to may have dropped everything, and the exit with it: its place is used again, or is not */
	if (x >= s->exit + s->n_exits || !x->patch || to->dead || to->mode != x->mode || to->rip != x->rip)
		return;
	__builtin_memcpy(&d, x->patch, 4);
	if (x->patch + 4 + d == to->entry)
		return;
	l = translate__alloc(sizeof(*l));
	*l = (struct bt_link){ .next = to->in, .patch = x->patch, .stub = x->patch + 4 + d };
	to->in = l;
	emit_fill(x->patch, to->entry);
}

static void unhash(struct bt_block **head, const struct bt_block *b)
{
	while (*head && *head != b)
		head = &(*head)->next;
	if (*head)
		*head = b->next;
}

void bt_block_kill(struct bt_cpu *c, struct bt_block *b)
{
	struct translate_store *s = translate__store();
	struct emit e = { .at = b->entry };

	if (b->dead)
		return;
	b->dead = true;
	bt_count(c, BT_COUNT_CODE_KILLS);
	for (struct bt_link *l = b->in; l; l = l->next)
		emit_fill(l->patch, l->stub);
	b->in = NULL;
	translate__table_remove(b);
	translate__ways_remove(b);
	unhash(&s->hash[translate__hash(b->rip)], b);
	/* nobody is in it: this is C; who comes now leaves, and finds another */
	emit_jump(&e, b->kill);
}

/* is_on() - has the block a byte in there? One more is looked at: what follows STI is peeked at. */
static bool is_on(const struct bt_block *b, uint64_t gpa, size_t len)
{
	uint64_t first_end = b->gpa + b->guest_len, page_end = (b->gpa & -PAGE) + PAGE;

	if (first_end > page_end)
		first_end = page_end;
	if (gpa <= first_end && b->gpa < gpa + len)
		return true;
	return b->gpa2 != NONE && gpa < (b->gpa2 & -PAGE) + (b->gpa + b->guest_len - page_end) + 1 &&
	       (b->gpa2 & -PAGE) < gpa + len;
}

void bt_code_kill(struct bt_cpu *c, uint64_t gpa, size_t len)
{
	struct translate_store *s = translate__store();

	for (uint64_t page = gpa & -PAGE; page < gpa + len; page += PAGE) {
		struct bt_block **at = &s->page[translate__hash(page / PAGE)];
		bool left = false;

		if (!bt_code_has(page))
			continue;
		while (*at) {
			struct bt_block *b = *at;
			unsigned which =
				translate__hash(b->gpa / PAGE) == translate__hash(page / PAGE) ? 0 : 1;
			bool here =
				(b->gpa & -PAGE) == page || (b->gpa2 != NONE && (b->gpa2 & -PAGE) == page);

			if (here && is_on(b, gpa, len))
				bt_block_kill(c, b);
			if (b->dead) {
				*at = b->page_next[which];
				continue;
			}
			left |= here;
			at = &b->page_next[which];
		}
		if (!left)
			s->code_page[page >> 15] &= (uint8_t) ~(1U << (page >> 12 & 7));
	}
}
