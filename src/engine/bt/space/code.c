/* SPDX-License-Identifier: Apache-2.0 */
/*
 * code.c - stores into pages that hold translated code
 *
 * Theory of operation. Such pages are mapped read-only everywhere, so a store faults and is interpreted, which comes here before the
 * bytes change. Three answers, by how often a page is written:
 *
 *	seldom	(a kernel that patches itself): the blocks that the store touches are killed, the page stays code
 *	often	(a page that is filled anew, data that lies beside code): all its blocks are killed, and the page may be mapped writable
 *		again until somebody executes from it once more
 */
#include "engine/bt/space/map.h"
#include "engine/bt/space/others.h"
#include "engine/bt/space/process.h"
#include "engine/bt/space/translate.h"

enum { FEW_STORES = 3 };

static uint8_t *count_of(uint64_t gpa)
{
	return &bt_process()->store_count[gpa >> 12];
}

static void store_on_page(struct bt_cpu *c, uint64_t gpa, size_t len)
{
	uint8_t *n;

	if (gpa >= BT_RAM_SIZE)
		return;
	if (c->vm->n_cpus > 1)
		bt_others_code_written(c, gpa, len);
	if (!bt_code_has(gpa))
		return;
	n = count_of(gpa);
	if (*n < UINT8_MAX)
		++*n;
	if (*n <= FEW_STORES) {
		bt_count(c, BT_COUNT_CODE_FINE);
		bt_code_kill(c->vm, gpa, len);
	} else {
		bt_count(c, BT_COUNT_CODE_PAGE);
		bt_code_kill(c->vm, gpa & ~4095ULL, 4096);
		*n = 0;
	}
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
