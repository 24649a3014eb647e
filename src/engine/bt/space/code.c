/* SPDX-License-Identifier: Apache-2.0 */
/*
 * code.c - stores into pages that hold translated code
 *
 * Theory of operation. Such pages are mapped read-only everywhere, so a store faults and is interpreted, which comes here before the
 * bytes change. Three answers, by how often a page is written:
 *
 *	seldom	(a kernel that patches itself): the blocks that the store touches are killed, the page stays code
 *	often	(a page that is filled anew): all its blocks are killed, and the page may be mapped writable again until somebody
 *		executes from it once more
 *	always	(data that lies beside code, a compiler at run time): the user's code there is translated into blocks that look
 *		at their bytes each time they are entered, and nobody keeps the page from being written
 */
#include "engine/bt/space/map.h"
#include "engine/bt/space/others.h"
#include "engine/bt/space/process.h"
#include "engine/bt/space/translate.h"

enum { FEW_STORES = 3, ALWAYS_DROPS = 4 }; /* a count of stores in the low bits, of drops above */
enum { STORES = 3, DROP = 4 };

static uint8_t *count_of(uint64_t gpa)
{
	return &bt_process()->store_count[gpa >> 12];
}

bool bt_code_is_hot(uint64_t gpa)
{
	return gpa < BT_RAM_SIZE && *count_of(gpa) >= ALWAYS_DROPS * DROP;
}

void bt_code_often(uint64_t gpa)
{
	uint8_t *n = count_of(gpa);

	*n = (uint8_t)((*n & ~STORES) + (*n < UINT8_MAX - DROP ? DROP : 0));
}

/* store_on_page() - counted also where only another processor has code: it would be told of each store, and we map the page for none. */
static void store_on_page(struct bt_cpu *c, uint64_t gpa, size_t len)
{
	bool often;

	if (gpa >= BT_RAM_SIZE || !bt_others_code_has(c, gpa))
		return;
	often = (*count_of(gpa) & STORES) == FEW_STORES;
	if (often) {
		gpa &= ~4095ULL;
		len = 4096;
		bt_code_often(gpa);
	} else {
		++*count_of(gpa);
	}
	bt_count(c, often ? BT_COUNT_CODE_PAGE : BT_COUNT_CODE_FINE);
	if (c->vm->n_cpus > 1)
		bt_others_code_written(c, gpa, len, often);
	if (bt_code_has(gpa))
		bt_code_kill(c, gpa, len);
}

void bt_code_store(struct bt_cpu *c, uint64_t gpa, size_t len)
{
	while (len > 0) {
		size_t part = 4096 - (gpa & 4095);

		if (part > len)
			part = len;
		store_on_page(c, gpa, part);
		gpa += part;
		len -= part;
	}
}
