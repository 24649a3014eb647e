/* SPDX-License-Identifier: Apache-2.0 */
/*
 * map.h - host mappings as the guest's TLB
 *
 * Theory of operation. Nothing of the guest's address space is mapped at first. A touch faults; the guest's page tables are walked; if they
 * allow it, the page is mapped from guest memory's file, and the instruction runs again. What the guest flushes is unmapped.
 * Pages are writable here only once they are dirty in the guest's tables, and only while they hold no translated code; where there is a
 * dirty log, only those that it has.
 *
 * Every mapping is remembered twice: by place (granules of 2 MiB: whose it is, whether anything in it is not global), so that a
 * flush finds it; and by guest page (views), so that a page that becomes code can be made read-only wherever it is seen.
 */
#ifndef ENGINE_BT_SPACE_MAP_H
#define ENGINE_BT_SPACE_MAP_H

#include "engine/bt/space/mmu.h"

enum bt_map {
	BT_MAPPED,
	BT_MAP_NOT
}; /* NOT: no memory, code that is written, or a place that is the engine's: interpret */

/* bt_map_page() - @host is where the access went, @p what the walk for it found. Async-signal-safe, as all here. */
enum bt_map bt_map_page(struct bt_cpu *c, uint64_t host, uint64_t va, const struct bt_page *p, bool write);
void bt_map_flush(struct bt_cpu *c, enum bt_flush what, uint64_t va);
/* bt_map_protect() - a page begins to hold code: no view of it stays writable. */
void bt_map_protect(struct bt_cpu *c, uint64_t gpa);

/*
 * code.c: stores into pages with translated code. bt_code_store() - a store at @gpa is about to happen: blocks it touches are killed.
 * Often-written pages lose all of theirs, and may then be mapped writable again.
 */
void bt_code_store(struct bt_cpu *c, uint64_t gpa, size_t len);
bool bt_code_is_hot(uint64_t gpa); /* is the page one that is written all the time? */
void bt_code_often(uint64_t gpa);  /* all its blocks go once more, for it is written */

#endif
