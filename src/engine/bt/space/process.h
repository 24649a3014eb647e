/* SPDX-License-Identifier: Apache-2.0 */
/* process.h - what one space process has for itself: what it has mapped, its timer, its descriptors */
#ifndef ENGINE_BT_SPACE_PROCESS_H
#define ENGINE_BT_SPACE_PROCESS_H

#include "engine/bt/space/cpu.h"

#define BT_VIEWS_MAX    (1U << 20)
#define BT_GRANULES_MAX 65536U

struct bt_view {
	uint64_t host;
	uint32_t next;
};

struct bt_view_head { /* of a list of views; empty when it is of another age */
	uint32_t first, age;
};

struct bt_process {
	uint8_t *granule; /* flags of each 2 MiB of the host's user half, by number */
	uint32_t *flushable, *global;
	uint32_t n_flushable, n_global;
	uint32_t n_local; /* granules of the kernel's half with pages that are not global */
	struct bt_view_head *page_views, *chunk_views; /* by guest page, by 2 MiB of guest memory */
	struct bt_view *view;
	uint32_t n_views, views_age;

	uint8_t *store_count; /* stores into code, by guest page (code.c) */

	unsigned index;  /* among the processor's */
	bool must_leave; /* a page was wanted that only the address space's own process may map */
	uint64_t seen;   /* of the log of changes */
	uint32_t slots_age;
	struct bt_slot slot[BT_SLOTS_MAX]; /* as they are mapped here */

	int timer; /* of the kernel */
	int tid;
	uint64_t since;       /* host TSC at which it came to run last */
	uint64_t timer_armed; /* the deadline it is set to */
	bool stepping;        /* the host's trap flag is set until an instruction's border is reached */
};

/* Where it lies: in the program's own data, so that a fork has its own. */
struct bt_process *bt_process(void);

#endif
