/* SPDX-License-Identifier: Apache-2.0 */
/* translate_internal.h - what blocks, links, stubs and the translator share: all of it in the arena */
#ifndef ENGINE_BT_SPACE_TRANSLATE_INTERNAL_H
#define ENGINE_BT_SPACE_TRANSLATE_INTERNAL_H

#include "engine/bt/space/translate.h"
#include "fmt/x86.h"

enum {
	HASH_BUCKETS = 1 << 16,
	BLOCKS_MAX = 1 << 19,
	EXITS_MAX = 1 << 21,
	BLOCK_INSNS_MAX = 64,
	BLOCK_BYTES_MAX = 16384, /* of host code: far above what 64 instructions become */
	SAVED_RAX = BT_SCRATCH,  /* as places of bt_record.saved: target_rax, target_rcx */
	SAVED_RCX,
};

_Static_assert(offsetof(struct bt_cpu, target_rcx) == offsetof(struct bt_cpu, scratch) + 8UL * SAVED_RCX,
	       "they follow the scratch places");

struct bt_link {
	struct bt_link *next;
	uint8_t *patch, *stub; /* the displacement; where it leads without the link */
};

struct translate_store {                 /* at BT_ARENA_BASE */
	uint8_t *cache_at, *cache_first; /* free; the first byte behind the stubs */
	uint64_t arena_at;
	uint32_t n_blocks, n_exits;
	uint32_t age; /* how often all of it has been dropped */
	const uint8_t *enter, *enter_from, *enter_to, *bail, *leave, *leave_signal, *miss, *second[2];
	struct bt_block *hash[HASH_BUCKETS];
	struct bt_block *page[HASH_BUCKETS]; /* lists by page, hashed; a block may be in two */
	struct bt_block *order[BLOCKS_MAX];  /* by address, as they were made */
	struct bt_exit exit[EXITS_MAX];
	/* Bit for each guest page: a live block is on it. The manager sees it, too: another file is mapped over it. */
	uint8_t code_page[BT_CODE_BYTES] __attribute__((aligned(4096)));
};

_Static_assert(BT_CODE_BYTES == BT_RAM_SIZE >> 15, "a bit for each page");

static inline struct translate_store *translate__store(void)
{
	return (struct translate_store *)BT_ARENA_BASE;
}

void *translate__alloc(size_t n);
uint32_t translate__exit(enum bt_leave why, enum bt_mode mode, uint64_t rip, uint8_t *patch);
void translate__reset(void); /* everything is dropped; the stubs stay */
void translate__stubs(void);
/* translate__block() - NULL: its code has been written meanwhile; once more. */
struct bt_block *translate__block(struct bt_cpu *c, uint64_t rip, enum bt_mode mode, uint64_t gpa);
/* translate__page() - from now on nobody writes it unseen: before it is read. */
void translate__page(struct bt_cpu *c, uint64_t gpa);
bool translate__insert(struct bt_block *b); /* false: one of its pages has been written meanwhile */
void translate__tables_clear(void);

#endif
