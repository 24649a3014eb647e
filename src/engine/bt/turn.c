/* SPDX-License-Identifier: Apache-2.0 */
/* turn.c - the manager's half of the exchange (exchange.h) */
#include <errno.h>
#include <linux/futex.h>
#include <sched.h>

#include "base/time.h"
#include "engine/bt/bt_internal.h"
#include "sys/call.h"
#include "sys/ns.h"

enum {
	ANSWER_MS_MAX = 10000
}; /* to a kick, on a busy host; a space that takes longer is not what we started */

/* wait_while() - @ns: at most, 0: for ever */
static void wait_while(uint32_t *turn, uint32_t theirs, nsec_t ns)
{
	const struct timespec t = { .tv_sec = ns / NSEC_PER_SEC, .tv_nsec = ns % NSEC_PER_SEC };

	SYS4(SYS_futex, turn, FUTEX_WAIT, theirs, ns ? &t : NULL);
}

int bt__turn(struct bt_space *s, struct bt_exchange *x, const uint32_t *kicked)
{
	/* as the space says: one that lies is only noticed later when it dies */
	const uint32_t theirs =
		(__atomic_load_n(&x->owner, __ATOMIC_RELAXED) & FUTEX_TID_MASK) | FUTEX_WAITERS;
	nsec_t end = 0;
	uint32_t now;

	if (s->dead)
		return -ESRCH;
	x->core = (uint32_t)sched_getcpu();
	__atomic_store_n(&x->turn, theirs, __ATOMIC_SEQ_CST);
	SYS3(SYS_futex, &x->turn, FUTEX_WAKE, 1);
	while ((now = __atomic_load_n(&x->turn, __ATOMIC_SEQ_CST)) == theirs) {
		nsec_t left = 0;

		if (!kicked || __atomic_load_n(kicked, __ATOMIC_SEQ_CST)) {
			if (!end)
				end = time_now_ns(CLOCK_MONOTONIC) + ANSWER_MS_MAX * NSEC_PER_MSEC;
			left = end - time_now_ns(CLOCK_MONOTONIC);
			if (left <= 0) {
				pidfd_send(s->pidfd, SIGKILL);
				return -ETIMEDOUT;
			}
		}
		wait_while(&x->turn, theirs, left);
	}
	return now == BT_TURN_MANAGER ? 0 : -ESRCH;
}

int bt__command(struct bt_vcpu *c, enum bt_command command)
{
	int32_t result;
	int r;

	c->x->command = command;
	r = bt__turn(&c->space, c->x, NULL);
	if (r < 0)
		return r;
	result =
		__atomic_load_n(&c->x->result, __ATOMIC_RELAXED); /* the word of a space: once, and checked */
	return result > 0 || result < -4095 ? -EPROTO : result;
}

void bt__notify(struct bt_vcpu *c)
{
	switch (__atomic_load_n(&c->x->where, __ATOMIC_SEQ_CST)) {
	case BT_IN_GUEST:
		/* a pipe that is full has enough to say */
		SYS3(SYS_write,
		     c->space.kick[__atomic_load_n(&c->x->runner, __ATOMIC_SEQ_CST) % BT_SPACES_MAX], "", 1);
		break;
	case BT_HALTED:
		__atomic_store_n(&c->x->asleep, 0, __ATOMIC_SEQ_CST);
		SYS3(SYS_futex, &c->x->asleep, FUTEX_WAKE, 1);
		break;
	default: break;
	}
}
