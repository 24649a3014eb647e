/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/bt/space/spaces.h"

#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "engine/bt/space/host.h"
#include "engine/bt/space/map.h"
#include "engine/bt/space/process.h"
#include "engine/bt/space/run.h"
#include "engine/bt/space/translate.h"

#define HALF (1ULL << 47)

/* --- the log ---------------------------------------------------------------------------------------------------------- */

static void note(struct bt_cpu *c, enum bt_change what, uint64_t at)
{
	struct bt_spaces *s = &c->spaces;

	s->change[s->n_changes++ % BT_CHANGES_MAX] =
		(struct bt_space_change){ .what = (uint8_t)what, .space = (uint8_t)s->wanted, .at = at };
	bt_process()->seen = s->n_changes;
}

static void apply(struct bt_cpu *c, const struct bt_space_change *change)
{
	switch ((enum bt_change)change->what) {
	case BT_CHANGE_PAGE: /* in the user's half it was another's, unless such pages are global here */
		if (change->at < HALF && change->space != bt_process()->index && !c->spaces.global_users)
			break;
		bt_map_flush(c, BT_FLUSH_PAGE, change->at);
		break;
	case BT_CHANGE_ALL: bt_map_flush(c, BT_FLUSH_ALL, 0); break;
	case BT_CHANGE_CODE: bt_map_protect(c, change->at); break;
	}
}

static void catch_up(struct bt_cpu *c)
{
	struct bt_process *p = bt_process();
	struct bt_spaces *s = &c->spaces;

	bt_table_catch_up();
	bt_fetched_clear();
	bt_spaces_slots(c);
	if (s->n_changes - p->seen > BT_CHANGES_MAX)
		bt_map_flush(c, BT_FLUSH_ALL, 0);
	else
		for (; p->seen < s->n_changes; p->seen++)
			apply(c, &s->change[p->seen % BT_CHANGES_MAX]);
	p->seen = s->n_changes;
	if (s->flush[p->index])
		bt_map_flush(c, BT_FLUSH_SPACE, 0);
	s->flush[p->index] = false;
}

/* --- address spaces ----------------------------------------------------------------------------------------------------- */

/* space_of() - the process for a tag: the one that has it, else the one that was not needed for longest, whose mappings go */
static unsigned space_of(struct bt_spaces *s, uint16_t pcid, bool keep)
{
	unsigned oldest = 0;

	for (unsigned i = 0; i < BT_SPACES_MAX; i++) {
		if (s->used[i] && s->pcid[i] == pcid) {
			s->flush[i] |= !keep;
			return i;
		}
		if (s->used[i] < s->used[oldest])
			oldest = i;
	}
	s->pcid[oldest] = pcid;
	s->flush[oldest] = true;
	return oldest;
}

static void choose(struct bt_cpu *c, uint64_t cr3)
{
	struct bt_process *p = bt_process();
	struct bt_spaces *s = &c->spaces;
	bool tagged = c->cr4 & X86_CR4_PCIDE;

	s->wanted = space_of(s, tagged ? cr3 & 0xfff : 0, tagged && cr3 >> 63);
	s->used[s->wanted] = ++s->clock;
	c->home = s->wanted == p->index;
	bt_fetched_clear();
	if (c->home && s->flush[p->index]) {
		bt_map_flush(c, BT_FLUSH_SPACE, 0);
		s->flush[p->index] = false;
	}
}

void bt_spaces_flush(struct bt_cpu *c, enum bt_flush what, uint64_t va)
{
	switch (what) {
	case BT_FLUSH_PAGE:
		note(c, BT_CHANGE_PAGE, va);
		bt_map_flush(c, what, va);
		break;
	case BT_FLUSH_ALL:
		note(c, BT_CHANGE_ALL, 0);
		bt_map_flush(c, what, 0);
		break;
	case BT_FLUSH_SPACE: choose(c, va); break;
	case BT_FLUSH_COUNT: break;
	}
}

void bt_spaces_code_made(struct bt_cpu *c, uint64_t gpa)
{
	note(c, BT_CHANGE_CODE, gpa);
	bt_map_protect(c, gpa);
}

/* --- memory's slots --------------------------------------------------------------------------------------------------------- */

static long slot_map(const struct bt_slot *s)
{
	return BT_CALL(SYS_mmap, s->host, s->size, PROT_READ | (s->readonly ? 0 : PROT_WRITE),
		       MAP_SHARED | MAP_FIXED, s->fd, s->offset);
}

long bt_spaces_slots(struct bt_cpu *c)
{
	struct bt_process *p = bt_process();
	long r = 0;

	if (p->slots_age == c->vm->slots_age)
		return 0;
	bt_map_flush(c, BT_FLUSH_ALL,
		     0); /* memory that is new comes to where the guest may have had a page */
	for (unsigned i = 0; i < BT_SLOTS_MAX; i++) /* first: another may come to where one was */
		if (p->slot[i].size && p->slot[i].age != c->vm->slot[i].age)
			BT_CALL(SYS_mmap, p->slot[i].host, p->slot[i].size, PROT_NONE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
	for (unsigned i = 0; i < BT_SLOTS_MAX && r >= 0; i++) {
		if (p->slot[i].age == c->vm->slot[i].age)
			continue;
		p->slot[i] = c->vm->slot[i];
		if (p->slot[i].size)
			r = slot_map(&p->slot[i]);
	}
	p->slots_age = c->vm->slots_age;
	return r;
}

/* --- where -------------------------------------------------------------------------------------------------------------------- */

enum { ALONE_MS = 5, LOOSEN_MS = 100 };

static void place(struct bt_cpu *c, unsigned i, uint32_t core)
{
	uint64_t one[BT_CORES_MAX / 64] = { 0 };

	if (c->spaces.core[i] == core)
		return;
	if (core < BT_CORES_MAX)
		one[core / 64] = 1ULL << core % 64;
	BT_CALL(SYS_sched_setaffinity, c->spaces.tid[i], sizeof(one),
		core < BT_CORES_MAX ? one : c->exchange->allowed);
	c->spaces.core[i] = core;
}

void bt_spaces_follow(struct bt_cpu *c)
{
	struct bt_process *p = bt_process();

	p->since = bt_host_tsc();
	if (c->exchange->core < BT_CORES_MAX)
		place(c, p->index, c->exchange->core);
}

void bt_spaces_loosen(struct bt_cpu *c)
{
	struct bt_process *p = bt_process();

	if (bt_host_tsc() - p->since > c->vm->tsc_khz * ALONE_MS)
		place(c, p->index, BT_CORES_MAX);
}

/* bring() - the process that is to run, to this core; now and then to where the host likes it, or nobody would ever move. */
static void bring(struct bt_cpu *c, unsigned i)
{
	uint32_t core;
	uint64_t now = bt_host_core(&core);

	if (now - c->spaces.loosened > c->vm->tsc_khz * LOOSEN_MS) {
		c->spaces.loosened = now;
		core = BT_CORES_MAX;
	}
	place(c, i, core < BT_CORES_MAX ? core : BT_CORES_MAX);
}

/* --- who runs ------------------------------------------------------------------------------------------------------------------ */

bool bt_spaces_must_switch(const struct bt_cpu *c, enum bt_mode mode)
{
	const struct bt_process *p = bt_process();

	return !c->home && (mode != BT_KERNEL || p->n_local || p->must_leave);
}

void bt_spaces_wait(struct bt_cpu *c)
{
	struct bt_process *p = bt_process();
	uint32_t *go = &c->spaces.go[p->index];

	while (!__atomic_exchange_n(go, 0, __ATOMIC_SEQ_CST))
		BT_CALL(SYS_futex, go, FUTEX_WAIT, 0, 0);
	c->exchange->owner = (uint32_t)p->tid;
	c->home = 1;
	c->attention = 1; /* what was posted meanwhile may have been another's to hear of */
	p->must_leave = false;
	p->since = bt_host_tsc();
	catch_up(c);
	bt_fpu_load((const uint8_t *)BT_FPU_BASE);
}

void bt_spaces_switch(struct bt_cpu *c)
{
	struct bt_spaces *s = &c->spaces;

	bt_count(c, BT_COUNT_SWITCH);
	bt_fpu_save((uint8_t *)BT_FPU_BASE);
	bring(c, s->wanted);
	__atomic_store_n(&c->exchange->runner, s->wanted, __ATOMIC_SEQ_CST);
	__atomic_store_n(&s->go[s->wanted], 1, __ATOMIC_SEQ_CST);
	BT_CALL(SYS_futex, &s->go[s->wanted], FUTEX_WAKE, 1);
	bt_spaces_wait(c);
}
