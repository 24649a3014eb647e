/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table.c - where indirect branches find their blocks
 *
 * Theory of operation. An indirect branch jumps through a table, by the low 16 bits of its target: returns through one, the others
 * through another, for neither may find the other's heads. A head is code that stands for one block: it checks that its block is what
 * was looked for and goes on into it. RCX is all that the two use between them, and no flag:
 *
 *	others   MOV [target_rcx], rcx; MOV [rip], target; MOVZX ecx, target's low word; JMP [rcx * 8 + table]
 *	head     MOV rcx, [rip]; LEA rcx, [rcx - the block's rip + 1]; LOOP second; MOV rcx, [target_rcx]
 *	returns  MOV [target_rcx], rcx; MOV rcx, [rsp]; MOVZX ecx, cx; JMP [rcx * 8 + table]
 *	head     POP rcx; as above
 *
 * What a return could read it can pop: no fault is in a head. Who is not found goes to a second table, for both kinds and by other bits,
 * and from there out (BT_LEAVE_INDIRECT). A head is made when it is wanted first: before the block, if the block is made then, else by itself.
 *
 * Tables are each process's own: they say what is at an address, which is another thing in another address space.
 */
#include "engine/bt/space/emit.h"
#include "engine/bt/space/translate_internal.h"

#define PAGE 4096ULL

enum { WRITTEN_MAX = 16384, HEAD_BYTES_MAX = 160 };

static unsigned bits(unsigned which)
{
	return which == BT_HEAD_SECOND ? BT_TABLE2_BITS : BT_TABLE_BITS;
}

static uint64_t *slot(unsigned which, bool user, uint64_t rip)
{
	uint64_t n = which == BT_HEAD_SECOND ? (rip >> 2 & 0x7f) | (rip >> 16 & 0xff) << 7 : rip & 0xffff;

	return (uint64_t *)BT_TABLE(which, user) + n;
}

_Static_assert(BT_TABLE_BITS == 16 && BT_TABLE2_BITS == 15 && BT_TABLE2_MASK == 0xff01fc, "as slot() has it");

/* empty() - what an unused place of a table holds: the way on. */
static uint64_t empty(unsigned which, bool user)
{
	const struct translate_store *s = translate__store();

	return (uint64_t)(uintptr_t)(which == BT_HEAD_SECOND ? s->miss : s->second[which][user]);
}

/*
 * What has been put into the tables of kernel and user since they were empty: a kernel loads CR3 ten thousand times a second, and
 * seldom has it run much in between; and most pages that it invalidates hold no code. More than the list holds: the whole table is
 * filled anew.
 */
static struct {
	uint64_t *at[WRITTEN_MAX];
	unsigned n;
	uint64_t pages[1024]; /* a bit for each page with a target, hashed */
} written[2];

static uint32_t tables_age; /* of the cache that this process's tables are filled from */

static unsigned page_hash(uint64_t va)
{
	return translate__hash(va & -PAGE);
}

static void tables_fill(bool user)
{
	for (unsigned which = 0; which < BT_HEAD_COUNT; which++) {
		uint64_t *t = (uint64_t *)BT_TABLE(which, user), value = empty(which, user);

		for (size_t i = 0; i < 1UL << bits(which); i++)
			t[i] = value;
	}
	written[user].n = 0;
	__builtin_memset(written[user].pages, 0, sizeof(written[user].pages));
}

void bt_table_clear(bool user)
{
	bt_fetched_clear();
	if (user)
		translate__ways_clear();
	if (written[user].n >= WRITTEN_MAX) {
		tables_fill(user);
		return;
	}
	for (unsigned i = 0; i < written[user].n; i++) {
		uint64_t *s = written[user].at[i];

		*s = empty(((uintptr_t)s - BT_TABLE_BASE) / BT_TABLE_BYTES / 2, user);
	}
	if (written[user].n)
		__builtin_memset(written[user].pages, 0, sizeof(written[user].pages));
	written[user].n = 0;
}

void bt_table_clear_page(uint64_t va)
{
	unsigned h = page_hash(va);

	bt_fetched_clear();
	translate__ways_clear_page(va);
	for (unsigned user = 0; user < 2; user++) {
		if (!(written[user].pages[h >> 6] >> (h & 63) & 1))
			continue;
		for (unsigned which = 0; which < BT_HEAD_COUNT; which++)
			for (uint64_t at = va & -PAGE, end = at + PAGE; at < end; at++)
				*slot(which, user, at) = empty(which, user);
	}
}

void bt_table_catch_up(void)
{
	translate__ways_catch_up(tables_age != translate__store()->age);
	if (tables_age == translate__store()->age)
		return;
	tables_fill(false);
	tables_fill(true);
	tables_age = translate__store()->age;
}

/* --- heads ------------------------------------------------------------------------------------------------------------------ */

static void lea(struct emit *e, uint64_t disp) /* LEA rcx, [rcx + disp] */
{
	emit_8(e, 0x48);
	emit_8(e, 0x8d);
	emit_8(e, 0x89);
	emit_32(e, disp);
}

static void swap_halves(struct emit *e) /* RORX rcx, rcx, 32 */
{
	static const uint8_t rorx[] = { 0xc4, 0xe3, 0xfb, 0xf0, 0xc9, 32 };

	for (size_t n = 0; n < sizeof(rorx); n++)
		emit_8(e, rorx[n]);
}

/*
 * The block's address as a head takes it from the target, of which it may add 32 bits with a sign at a time: the lower half, then, with the
 * halves changed, the upper one. An upper half that is negative, as a kernel's, leaves 1 behind it.
 */
struct parts {
	int32_t low, high;
	bool one; /* the comparison is with 1, not 0 */
};

static struct parts parts_of(uint64_t rip)
{
	struct parts p = { .low = (int32_t)rip, .high = (int32_t)((rip - (uint64_t)(int32_t)rip) >> 32) };

	p.one = translate__store()->loops || p.high < 0;
	return p;
}

bool translate__has_head(uint64_t rip)
{
	return (int32_t)rip > INT32_MIN + 1; /* less, and 1: as many as fit */
}

/* missed() - behind the head's comparison: a return's target is off the stack, and only in what is left of RCX. */
static void missed(const struct bt_block *b, enum bt_head which)
{
	struct translate_store *s = translate__store();
	struct parts p = parts_of(b->rip);
	bool user = b->mode == BT_USER;
	struct emit e = { .at = s->cold_at };

	if (which == BT_HEAD_RETURN) {
		if (p.high < 0) {
			lea(&e, 1);
			swap_halves(&e);
		}
		if (p.high) {
			lea(&e, (uint64_t)p.high);
			swap_halves(&e);
		}
		lea(&e, (uint64_t)p.low);
	}
	emit_jump(&e, which == BT_HEAD_SECOND ? s->miss :
		      which == BT_HEAD_RETURN ? s->popped[user] :
						s->second[which][user]);
	s->cold_at = e.at;
}

/*
 * compare() - on where the target is the block's, else to @near. JRCXZ would be taken each time it is, LOOP is not: it takes 1 from what is 1
 * there. Not on every processor, though: to some it is microcode.
 */
static void compare(struct emit *e, uint64_t rip, const uint8_t *near)
{
	struct parts p = parts_of(rip);
	uint64_t more = p.one && p.high >= 0; /* to come to 1 */

	lea(e, (p.high ? 0 : more) - (uint64_t)p.low);
	if (p.high) {
		swap_halves(e);
		lea(e, more - (uint64_t)p.high);
	}
	if (p.high < 0)
		swap_halves(e);
	if (translate__store()->loops) {
		emit_8(e, 0xe2); /* LOOP */
	} else {
		if (p.one)
			lea(e, -1ULL);
		emit_8(e, 0xe3); /* JRCXZ over the jump */
		emit_8(e, 2);
		emit_8(e, 0xeb);
	}
	emit_8(e, (unsigned)(near - (e->at + 1)));
}

void translate__head(struct emit *e, struct bt_block *b, enum bt_head which)
{
	const uint8_t *miss = translate__store()->cold_at, *near = e->at;

	missed(b, which);
	emit_jump(e, miss); /* before the line: who compares reaches no farther */
	b->head[which] = e->at = translate__line(e->at);
	if (which == BT_HEAD_RETURN)
		emit_8(e, 0x59); /* POP rcx */
	else
		emit_load(e, X86_RCX, BT_AT(rip));
	compare(e, b->rip, near);
	emit_load(e, X86_RCX, BT_AT(target_rcx));
}

/* head_of() - NULL: there is no room for it, or it cannot be */
static uint8_t *head_of(struct bt_block *b, enum bt_head which)
{
	struct translate_store *s = translate__store();
	struct emit e = { .at = s->cache_at };

	if (b->head[which] || !translate__has_head(b->rip) ||
	    e.at + HEAD_BYTES_MAX > (uint8_t *)BT_COLD_BASE ||
	    s->cold_at + HEAD_BYTES_MAX > (uint8_t *)BT_CACHE_BASE + BT_CACHE_SIZE)
		return b->head[which];
	translate__head(&e, b, which);
	emit_jump(&e, b->entry);
	s->cache_at = e.at;
	return b->head[which];
}

/* --- entries ---------------------------------------------------------------------------------------------------------------- */

static void table_set(struct bt_block *b, enum bt_head which)
{
	bool user = b->mode == BT_USER;
	uint64_t *s = slot(which, user, b->rip);
	uint8_t *head = head_of(b, which);
	unsigned h = page_hash(b->rip);

	if (!head)
		return;
	*s = (uint64_t)(uintptr_t)head;
	written[user].pages[h >> 6] |= 1ULL << (h & 63);
	if (written[user].n < WRITTEN_MAX)
		written[user].at[written[user].n++] = s;
}

static void table_add(struct bt_block *b, enum bt_head which)
{
	bool user = b->mode == BT_USER;

	table_set(b, *slot(which, user, b->rip) != empty(which, user) ? BT_HEAD_SECOND : which);
}

/*
 * bt_table_put() - the first target on a page brings all that have been some: a program that is started once more, or whose page
 * was invalidated, does not miss them one by one.
 */
void bt_table_put(struct bt_block *b, enum bt_head which)
{
	unsigned h = page_hash(b->rip);

	if (!(written[b->mode == BT_USER].pages[h >> 6] >> (h & 63) & 1))
		for (struct bt_block *o = translate__page_first(b); o; o = translate__page_next(o, b)) {
			if (o->dead || o == b || o->mode != b->mode || (o->gpa ^ b->gpa) & -PAGE ||
			    (o->rip ^ b->rip) & -PAGE)
				continue;
			for (unsigned k = 0; k < BT_HEAD_SECOND; k++)
				if (o->come_by >> k & 1)
					table_add(o, k);
		}
	b->come_by |= (uint8_t)(1U << which);
	table_add(b, which);
}

void bt_table_put_over(struct bt_block *b)
{
	table_set(b, BT_HEAD_JUMP);
	table_set(b, BT_HEAD_RETURN);
}

void translate__table_remove(const struct bt_block *b)
{
	bool user = b->mode == BT_USER;

	for (unsigned which = 0; which < BT_HEAD_COUNT; which++)
		if (b->head[which] && *slot(which, user, b->rip) == (uint64_t)(uintptr_t)b->head[which])
			*slot(which, user, b->rip) = empty(which, user);
}
