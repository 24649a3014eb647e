/* SPDX-License-Identifier: Apache-2.0 */
/*
 * limiter.h - bytes and operations for each time: two token buckets
 *
 * A bucket starts full. Its one-time burst is spent first and never comes back; the rest refills with elapsed * size /
 * refill time, worked out when asked. A request larger than the bucket empties it and blocks for (excess / size) * refill
 * time. Both buckets are charged for a request, operations first, and the first is given back when the second refuses. While
 * a limiter is blocked everything waits for its timer (100 ms at a time).
 */
#ifndef VIRTIO_LIMITER_H
#define VIRTIO_LIMITER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/time.h"

struct record_in;
struct record_out;

struct bucket_config { /* size 0 or refill 0: no limit */
	uint64_t size, burst;
	uint64_t refill_ms;
};

struct limiter_config {
	struct bucket_config bytes, ops;
};

struct bucket {
	struct bucket_config config;
	uint64_t tokens, burst_left;
	nsec_t refilled;
};

struct limiter {
	struct bucket bytes, ops;
	bool blocked;
	nsec_t blocked_until; /* CLOCK_MONOTONIC */
};

#define LIMITER_TIMER_NS (100 * NSEC_PER_MSEC)

void limiter_init(struct limiter *l, const struct limiter_config *c, nsec_t now);
/* limiter_update() - new limits for the buckets of @c that are not NULL; a bucket that is set starts full. */
void limiter_update(struct limiter *l, const struct bucket_config *bytes, const struct bucket_config *ops,
		    nsec_t now);
/* limiter_take() - may a request of @bytes go now? False: wait limiter_wait() and ask again. */
bool limiter_take(struct limiter *l, uint64_t bytes, nsec_t now);
void limiter_give_back(struct limiter *l, uint64_t bytes);
nsec_t limiter_wait(const struct limiter *l, nsec_t now); /* 0: not blocked */
bool limiter_is_off(const struct limiter *l);
void limiter_save(const struct limiter *l, struct record_out *o);
void limiter_restore(struct limiter *l, struct record_in *in, nsec_t now);

#endif
