/* SPDX-License-Identifier: Apache-2.0 */
/* translate_internal.h - what blocks, links, stubs and the translator share: all of it in the arena */
#ifndef ENGINE_BT_SPACE_TRANSLATE_INTERNAL_H
#define ENGINE_BT_SPACE_TRANSLATE_INTERNAL_H

#include "engine/bt/space/translate.h"
#include "fmt/x86.h"

enum {
	HASH_BUCKETS = 1 << 16,
	WAY_BUCKETS = 1 << 10,
	BLOCKS_MAX = 1 << 19,
	EXITS_MAX = 1 << 21,
	BLOCK_INSNS_MAX = 64,
	KILL_BYTES = 5,          /* of a jump out */
	BLOCK_BYTES_MAX = 16384, /* of host code: far above what 64 instructions become */
	SAVED_RCX = BT_SCRATCH,  /* as a place of bt_record.saved: target_rcx */
};

_Static_assert(offsetof(struct bt_cpu, target_rcx) == offsetof(struct bt_cpu, scratch) + 8UL * SAVED_RCX,
	       "it follows the scratch places");

struct bt_link {
	struct bt_link *next;
	uint8_t *patch, *stub; /* the displacement; where it leads without the link */
};

struct bt_way { /* where branches of the user's from other pages lead */
	uint64_t rip;
	uint32_t out;  /* host code: where it leads while its target is not known */
	uint32_t next; /* that leads to the same page, hashed; 0: none */
};

struct translate_store {                 /* at BT_ARENA_BASE */
	uint8_t *cache_at, *cache_first; /* free; the first byte behind the stubs */
	uint8_t *cold_at; /* free, for what is seldom run: it would only fill lines between the blocks */
	uint64_t arena_at;
	uint32_t n_blocks, n_exits, n_ways;
	uint32_t age; /* how often all of it has been dropped */
	bool loops;   /* the host is quick at LOOP */
	const uint8_t *enter, *enter_from, *enter_to, *bail, *leave, *leave_signal, *miss,
		*second[BT_HEAD_SECOND][2], *popped[2];
	struct bt_block *hash[HASH_BUCKETS];
	struct bt_block *page[HASH_BUCKETS]; /* lists by page, hashed; a block may be in two */
	struct bt_block *order[BLOCKS_MAX];  /* by address, as they were made */
	struct bt_exit exit[EXITS_MAX];
	struct bt_way way[BT_WAYS_MAX]; /* the first stands for none */
	uint32_t way_page[WAY_BUCKETS]; /* lists by the page they lead to, hashed */
	/* Bit for each guest page: a live block is on it. The manager sees it, too: another file is mapped over it. */
	uint8_t code_page[BT_CODE_BYTES] __attribute__((aligned(4096)));
};

_Static_assert(BT_CODE_BYTES == BT_RAM_SIZE >> 15, "a bit for each page");

static inline struct translate_store *translate__store(void)
{
	return (struct translate_store *)BT_ARENA_BASE;
}

/* translate__line() - where code begins that jumps lead to: branches that come to lie across two of the host's cache lines cost three times as much */
static inline uint8_t *translate__line(const uint8_t *at)
{
	return (uint8_t *)(((uintptr_t)at + 63) & ~63UL);
}

void *translate__alloc(size_t n);
uint32_t translate__exit(enum bt_leave why, enum bt_mode mode, uint64_t rip, uint8_t *patch);
void translate__reset(void); /* everything is dropped; the stubs stay */
void translate__stubs(void);
/* translate__block() - NULL: its code has been written meanwhile; once more. */
struct bt_block *translate__block(struct bt_cpu *c, uint64_t rip, enum bt_mode mode, uint64_t gpa,
				  enum bt_head by);
/* translate__page() - from now on nobody writes it unseen: before it is read. */
void translate__page(struct bt_cpu *c, uint64_t gpa);
bool translate__insert(struct bt_block *b); /* false: one of its pages has been written meanwhile */
struct bt_block *translate__find(uint64_t rip, uint64_t gpa, enum bt_mode mode); /* NULL: there is none */

unsigned translate__hash(uint64_t v);
struct bt_block *translate__page_first(const struct bt_block *of);
struct bt_block *translate__page_next(const struct bt_block *b, const struct bt_block *of);

/* table.c */
struct emit;
bool translate__has_head(uint64_t rip); /* else what leads there leaves, each time */
void translate__head(struct emit *e, struct bt_block *b, enum bt_head which);
void translate__table_remove(const struct bt_block *b);

/* way.c */
uint32_t translate__way(uint64_t rip);     /* to there, made if need be */
void translate__ways_catch_up(bool again); /* @again: there are others since everything was dropped */
void translate__ways_clear(void);
void translate__ways_clear_page(uint64_t va);
void translate__ways_remove(const struct bt_block *b); /* those of this process that lead there */

#endif
