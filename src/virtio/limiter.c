/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/limiter.h"

#include "fmt/record.h"

enum { LIMITER_RECORD_VERSION = 1 };

/* 128 bits: sizes, times and their products are what a user wrote, up to 64 bits each */
typedef unsigned __int128 wide_t;

#define WAIT_MAX (365LL * 24 * 3600 * NSEC_PER_SEC)

static bool bucket_off(const struct bucket *b)
{
	return b->config.size == 0 || b->config.refill_ms == 0;
}

static void bucket_init(struct bucket *b, const struct bucket_config *c, nsec_t now)
{
	b->config = *c;
	b->tokens = c->size;
	b->burst_left = c->burst;
	b->refilled = now;
}

static void bucket_refill(struct bucket *b, nsec_t now)
{
	wide_t period = (wide_t)b->config.refill_ms * NSEC_PER_MSEC, fresh;
	uint64_t elapsed = now > b->refilled ? (uint64_t)(now - b->refilled) : 0;

	if (elapsed >= period || b->tokens >= b->config.size) {
		b->tokens = b->config.size;
		b->refilled = now;
		return;
	}
	fresh = (wide_t)elapsed * b->config.size / period;
	if (fresh >= b->config.size - b->tokens) {
		b->tokens = b->config.size;
		b->refilled = now;
		return;
	}
	b->tokens += (uint64_t)fresh;
	/* only the time that whole tokens took: asking often must not lose what lies between */
	b->refilled += (nsec_t)((fresh * period + b->config.size - 1) / b->config.size);
}

/*
 * bucket_take() - @n tokens. Nothing changes when they are refused.
 * Return: false refused; true, and *ret_wait how long the bucket owes for more than it can ever hold
 */
static bool bucket_take(struct bucket *b, uint64_t n, nsec_t now, nsec_t *ret_wait)
{
	uint64_t burst = b->burst_left < n ? b->burst_left : n;
	wide_t owed;

	if (bucket_off(b))
		return true;
	if (n - burst > b->tokens)
		bucket_refill(b, now);
	if (n - burst > b->config.size) {
		owed = (wide_t)(n - burst - b->tokens) * b->config.refill_ms * NSEC_PER_MSEC / b->config.size;
		*ret_wait = owed < (wide_t)WAIT_MAX ? (nsec_t)owed : WAIT_MAX;
		b->burst_left -= burst;
		b->tokens = 0;
		b->refilled = now;
		return true;
	}
	if (n - burst > b->tokens)
		return false;
	b->burst_left -= burst;
	b->tokens -= n - burst;
	return true;
}

/* What finds no room among the tokens had come from the burst. */
static void bucket_give_back(struct bucket *b, uint64_t n)
{
	uint64_t room = b->config.size - b->tokens, burst_room = b->config.burst - b->burst_left;

	if (bucket_off(b))
		return;
	if (room > n)
		room = n;
	b->tokens += room;
	n -= room;
	b->burst_left += n < burst_room ? n : burst_room;
}

static void block(struct limiter *l, nsec_t now, nsec_t wait)
{
	l->blocked = true;
	l->blocked_until = now + wait;
}

void limiter_init(struct limiter *l, const struct limiter_config *c, nsec_t now)
{
	*l = (struct limiter){ 0 };
	bucket_init(&l->bytes, &c->bytes, now);
	bucket_init(&l->ops, &c->ops, now);
}

void limiter_update(struct limiter *l, const struct bucket_config *bytes, const struct bucket_config *ops,
		    nsec_t now)
{
	if (bytes)
		bucket_init(&l->bytes, bytes, now);
	if (ops)
		bucket_init(&l->ops, ops, now);
	if (bytes || ops)
		l->blocked = false; /* what was owed was owed to a bucket that is gone */
}

bool limiter_take(struct limiter *l, uint64_t bytes, nsec_t now)
{
	nsec_t wait = 0;

	if (l->blocked && now < l->blocked_until)
		return false;
	l->blocked = false;
	if (!bucket_take(&l->ops, 1, now, &wait)) {
		block(l, now, LIMITER_TIMER_NS);
		return false;
	}
	if (!bucket_take(&l->bytes, bytes, now, &wait)) {
		bucket_give_back(&l->ops, 1);
		block(l, now, LIMITER_TIMER_NS);
		return false;
	}
	if (wait > 0)
		block(l, now, wait);
	return true;
}

void limiter_give_back(struct limiter *l, uint64_t bytes)
{
	bucket_give_back(&l->ops, 1);
	bucket_give_back(&l->bytes, bytes);
}

nsec_t limiter_wait(const struct limiter *l, nsec_t now)
{
	return l->blocked && now < l->blocked_until ? l->blocked_until - now : 0;
}

bool limiter_is_off(const struct limiter *l)
{
	return bucket_off(&l->bytes) && bucket_off(&l->ops);
}

static void bucket_save(const struct bucket *b, struct record_out *o)
{
	record_put_u64(o, b->config.size);
	record_put_u64(o, b->config.burst);
	record_put_u64(o, b->config.refill_ms);
	record_put_u64(o, b->tokens);
	record_put_u64(o, b->burst_left);
}

static void bucket_restore(struct bucket *b, struct record_in *in, nsec_t now)
{
	b->config.size = record_get_u64(in);
	b->config.burst = record_get_u64(in);
	b->config.refill_ms = record_get_u64(in);
	b->tokens = record_get_u64(in);
	b->burst_left = record_get_u64(in);
	b->refilled = now;
	if (b->tokens > b->config.size || b->burst_left > b->config.burst)
		record_fail(in, "rate limit: more tokens than its bucket holds");
}

void limiter_save(const struct limiter *l, struct record_out *o)
{
	record_begin(o, "LIMITER", LIMITER_RECORD_VERSION);
	bucket_save(&l->bytes, o);
	bucket_save(&l->ops, o);
	record_end(o);
}

void limiter_restore(struct limiter *l, struct record_in *in, nsec_t now)
{
	struct limiter saved = { 0 };

	record_open(in, "LIMITER", LIMITER_RECORD_VERSION);
	bucket_restore(&saved.bytes, in, now);
	bucket_restore(&saved.ops, in, now);
	record_close(in);
	if (in->rc == 0)
		*l = saved; /* and not blocked: time stood still */
}
