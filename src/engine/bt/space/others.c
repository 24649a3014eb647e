/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/bt/space/others.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>

#include "engine/bt/space/host.h"
#include "engine/bt/space/map.h"
#include "engine/bt/space/run.h"
#include "engine/bt/space/spaces.h"
#include "engine/bt/space/translate.h"

#define PAGE 4096ULL

static uint32_t load(const uint32_t *p)
{
	return __atomic_load_n(p, __ATOMIC_SEQ_CST);
}

static struct bt_exchange *exchange_of(unsigned i)
{
	return (struct bt_exchange *)(BT_EXCHANGE_BASE + i * BT_EXCHANGE_STRIDE);
}

static bool has_code(unsigned i, uint64_t gpa)
{
	const uint8_t *bits = (const uint8_t *)(BT_CODES_BASE + i * BT_CODE_BYTES);

	return __atomic_load_n(&bits[gpa >> 15], __ATOMIC_SEQ_CST) >> (gpa >> 12 & 7) & 1;
}

bool bt_others_code_has(const struct bt_cpu *c, uint64_t gpa)
{
	bool has = bt_code_has(gpa);

	for (unsigned i = 0; i < c->vm->n_cpus && gpa < BT_RAM_SIZE && !has; i++)
		has = i != c->index && has_code(i, gpa);
	return has;
}

/* kick() - those of @cpus that run their guest: only the manager can. */
static void kick(struct bt_cpu *c, uint32_t cpus)
{
	for (unsigned i = 0; i < c->vm->n_cpus; i++)
		if (cpus >> i & 1 && load(&exchange_of(i)->where) != BT_IN_GUEST)
			cpus &= ~(1U << i);
	if (!cpus)
		return;
	c->exchange->addr = cpus;
	bt_give(c, BT_EXIT_KICK_OTHERS);
}

/* await() - until @i has taken its notice @n, or is where it will before it goes on */
static void await(struct bt_cpu *c, unsigned i, uint32_t n)
{
	struct bt_exchange *x = exchange_of(i);
	const struct timespec rest = { .tv_nsec = 100000 };

	for (;;) {
		uint32_t taken = load(&x->notices.taken);

		if ((int32_t)(taken - n) > 0 || load(&x->where) != BT_IN_GUEST)
			return;
		bt_others_listen(c, false);
		BT_CALL(SYS_futex, &x->notices.taken, FUTEX_WAIT, taken, &rest);
	}
}

void bt_others_code_made(struct bt_cpu *c, uint64_t gpa)
{
	uint32_t n[BT_CPUS_MAX], told = 0;

	for (unsigned i = 0; i < c->vm->n_cpus; i++)
		if (i != c->index) {
			n[i] = bt_notice_put(&exchange_of(i)->notices, BT_NOTICE_CODE, gpa, 0);
			told |= 1U << i;
		}
	if (!told)
		return;
	kick(c, told);
	for (; told; told &= told - 1)
		await(c, (unsigned)__builtin_ctz(told), n[__builtin_ctz(told)]);
}

void bt_others_code_written(struct bt_cpu *c, uint64_t gpa, size_t len, bool often)
{
	uint32_t told = 0;

	for (unsigned i = 0; i < c->vm->n_cpus; i++) {
		if (i == c->index || !has_code(i, gpa))
			continue;
		bt_notice_put(&exchange_of(i)->notices, often ? BT_NOTICE_OFTEN : BT_NOTICE_WRITTEN, gpa,
			      len);
		told |= 1U << i;
	}
	if (told)
		kick(c, told);
}

bool bt_others_have_told(const struct bt_cpu *c)
{
	const struct bt_notices *n = &c->exchange->notices;

	return n->taken != load(&n->put) || load(&n->lost);
}

static void heed(struct bt_cpu *c, uint64_t notice)
{
	uint64_t gpa = notice >> 8 & 0xffffffffffULL;
	size_t len = notice >> 2 & 63;

	if ((notice & 3) == BT_NOTICE_CODE) {
		bt_spaces_code_made(c, gpa);
		return;
	}
	if ((notice & 3) == BT_NOTICE_OFTEN && gpa < BT_RAM_SIZE)
		bt_code_often(gpa);
	bt_count(c, BT_COUNT_CODE_PAGE);
	bt_code_kill(c, len ? gpa : gpa & -PAGE, len ? len : PAGE);
}

void bt_others_listen(struct bt_cpu *c, bool may_drop)
{
	struct bt_notices *n = &c->exchange->notices;
	uint32_t all = load(&n->put);

	while (n->taken != all && !load(&n->lost)) {
		uint64_t notice = __atomic_load_n(&n->notice[n->taken % 256], __ATOMIC_SEQ_CST);

		if (notice >> 48 != (uint16_t)(n->taken / 256 + 1)) /* who puts it there has been held up */
			return;
		heed(c, notice);
		__atomic_store_n(&n->taken, n->taken + 1, __ATOMIC_SEQ_CST);
	}
	if (__atomic_exchange_n(&n->lost, 0, __ATOMIC_SEQ_CST)) {
		all = load(&n->put); /* now: who finds no room from here on says so once more */
		bt_spaces_flush(c, BT_FLUSH_ALL, 0);
		c->drop_code = true;
		__atomic_store_n(&n->taken, all, __ATOMIC_SEQ_CST);
	}
	BT_CALL(SYS_futex, &n->taken, FUTEX_WAKE, BT_CPUS_MAX);
	if (may_drop && c->drop_code) {
		bt_code_drop();
		c->drop_code = false;
	}
}
