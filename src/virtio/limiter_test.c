/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/limiter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "fmt/record.h"

#define MS NSEC_PER_MSEC

static struct limiter make(struct bucket_config bytes, struct bucket_config ops)
{
	struct limiter l;

	limiter_init(&l, &(struct limiter_config){ .bytes = bytes, .ops = ops }, 1000 * MS);
	return l;
}

static void test_limiter_without_limits_lets_everything_through(void **state)
{
	static const struct bucket_config off[] = { { 0, 0, 0 }, { 100, 100, 0 }, { 0, 100, 100 } };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct limiter l = make(off[i], off[2 - i]);

		assert_true(limiter_is_off(&l));
		for (int n = 0; n < 1000; n++)
			assert_true(limiter_take(&l, UINT64_MAX, 0));
		limiter_give_back(&l, 5);
		assert_int_equal(limiter_wait(&l, 0), 0);
	}
}

static void test_limiter_starts_full_and_refills_with_time(void **state)
{
	struct limiter l = make((struct bucket_config){ 1000, 0, 100 }, (struct bucket_config){ 0 });
	nsec_t now = 1000 * MS;

	(void)state;
	assert_false(limiter_is_off(&l));
	assert_true(limiter_take(&l, 600, now));
	assert_true(limiter_take(&l, 400, now));
	assert_false(limiter_take(&l, 1, now));
	assert_int_equal(limiter_wait(&l, now), LIMITER_TIMER_NS);
	assert_false(limiter_take(&l, 1, now + 99 * MS)); /* there are 990 by now: all wait for the timer */
	assert_true(limiter_take(&l, 1000, now + 100 * MS));
	assert_int_equal(limiter_wait(&l, now + 100 * MS), 0);
}

static void test_limiter_loses_no_fraction_of_a_token(void **state)
{
	struct limiter l = make((struct bucket_config){ 10, 0, 1000 }, (struct bucket_config){ 0 });
	nsec_t now = 1000 * MS;
	unsigned got = 0;

	(void)state;
	assert_true(limiter_take(&l, 10, now));
	for (int n = 0; n < 1000; n++) { /* 10 s in steps of 10 ms, a tenth of a token each */
		now += 10 * MS;
		got += limiter_take(&l, 1, now);
	}
	assert_in_range(got, 98, 100);
}

static void test_limiter_spends_the_burst_first_and_once(void **state)
{
	struct limiter l = make((struct bucket_config){ 100, 50, 100 }, (struct bucket_config){ 0 });
	nsec_t now = 1000 * MS;

	(void)state;
	assert_true(limiter_take(&l, 30, now));
	assert_int_equal(l.bytes.tokens, 100);
	assert_true(limiter_take(&l, 30, now));
	assert_int_equal(l.bytes.tokens, 90);
	assert_int_equal(l.bytes.burst_left, 0);
	assert_true(limiter_take(&l, 90, now));
	assert_false(limiter_take(&l, 1, now));
	now += 1000 * MS;
	assert_true(limiter_take(&l, 100, now));
	assert_false(limiter_take(&l, 1, now)); /* the burst does not come back */
}

static void test_limiter_refused_request_costs_nothing(void **state)
{
	struct limiter l = make((struct bucket_config){ 100, 10, 100 }, (struct bucket_config){ 5, 2, 100 });
	nsec_t now = 1000 * MS;

	(void)state;
	assert_true(limiter_take(&l, 105, now));
	assert_int_equal(l.ops.burst_left, 1);
	assert_false(limiter_take(&l, 96, now)); /* bytes refuse: the operation is given back */
	assert_int_equal(l.ops.burst_left + l.ops.tokens, 6);
	assert_int_equal(l.bytes.tokens, 5);
	l.blocked = false;
	limiter_give_back(&l, 105); /* the first was not done after all */
	assert_int_equal(l.bytes.tokens, 100);
	assert_int_equal(l.bytes.burst_left, 10);
	assert_int_equal(l.ops.tokens, 5);
	assert_int_equal(l.ops.burst_left, 2);
}

static void test_limiter_counts_operations(void **state)
{
	struct limiter l = make((struct bucket_config){ 0 }, (struct bucket_config){ 3, 0, 300 });
	nsec_t now = 1000 * MS;

	(void)state;
	for (int n = 0; n < 3; n++)
		assert_true(limiter_take(&l, 1 << 30, now));
	assert_false(limiter_take(&l, 0, now));
	assert_true(limiter_take(&l, 0, now + 100 * MS));
	assert_false(limiter_take(&l, 0, now + 100 * MS));
}

static void test_limiter_request_beyond_the_bucket_blocks_what_follows(void **state)
{
	struct limiter l = make((struct bucket_config){ 100, 0, 1000 }, (struct bucket_config){ 0 });
	nsec_t now = 1000 * MS;

	(void)state;
	assert_true(limiter_take(&l, 350, now)); /* 250 too many: two and a half refills */
	assert_int_equal(limiter_wait(&l, now), 2500 * MS);
	assert_false(limiter_take(&l, 0, now + 2499 * MS));
	assert_true(limiter_take(&l, 0, now + 2500 * MS));
}

static void test_limiter_update_fills_the_buckets_it_names(void **state)
{
	struct limiter l =
		make((struct bucket_config){ 100, 0, 1000 }, (struct bucket_config){ 10, 0, 1000 });
	nsec_t now = 1000 * MS;

	(void)state;
	assert_true(limiter_take(&l, 100, now));
	assert_false(limiter_take(&l, 100, now));
	limiter_update(&l, &(struct bucket_config){ 50, 0, 1000 }, NULL, now);
	assert_int_equal(l.ops.tokens, 9);
	assert_true(limiter_take(&l, 50, now));
	limiter_update(&l, &(struct bucket_config){ 0 }, &(struct bucket_config){ 0 }, now);
	assert_true(limiter_is_off(&l));
}

static void test_limiter_bears_any_numbers(void **state)
{
	static const uint64_t v[] = { 0, 1, 2, 1000, UINT32_MAX, INT64_MAX, UINT64_MAX - 1, UINT64_MAX };
	nsec_t now[] = { 0, 1, 1000 * MS, 100LL * 365 * 24 * 3600 * NSEC_PER_SEC, 5 };

	(void)state;
	for (size_t a = 0; a < 8; a++)
		for (size_t b = 0; b < 8; b++)
			for (size_t c = 0; c < 8; c++) {
				struct limiter l = make((struct bucket_config){ v[a], v[b], v[c] },
							(struct bucket_config){ v[b], v[c], v[a] });

				for (size_t n = 0; n < 40; n++) {
					limiter_take(&l, v[n % 8], now[n % 5]);
					if (n % 3 == 0)
						limiter_give_back(&l, v[n % 7]);
					assert_true(l.bytes.tokens <= v[a] && l.bytes.burst_left <= v[b]);
					assert_true(l.ops.tokens <= v[b] && l.ops.burst_left <= v[c]);
					assert_true(limiter_wait(&l, now[n % 5]) >= 0);
				}
			}
}

static void test_limiter_state_survives_a_snapshot(void **state)
{
	struct limiter l = make((struct bucket_config){ 100, 50, 1000 }, (struct bucket_config){ 0 }), got;
	auto_fini(buf) struct buf b = { 0 };
	struct record_out o = { .to = &b };
	struct record_in in;

	(void)state;
	limiter_take(&l, 120, 1000 * MS);
	limiter_save(&l, &o);
	record_init(&in, b.data, b.len, NULL);
	limiter_init(&got, &(struct limiter_config){ 0 }, 0);
	limiter_restore(&got, &in, 5 * MS);
	assert_int_equal(record_finish(&in), 0);
	assert_int_equal(got.bytes.tokens, 30);
	assert_int_equal(got.bytes.burst_left, 0);
	assert_false(limiter_take(&got, 31, 5 * MS));
	b.data[16]--; /* size 99: fine; tokens beyond it are not */
	b.data[16 + 24] = 100;
	record_init(&in, b.data, b.len, NULL);
	limiter_restore(&got, &in, 5 * MS);
	assert_true(record_finish(&in) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limiter_without_limits_lets_everything_through),
		cmocka_unit_test(test_limiter_starts_full_and_refills_with_time),
		cmocka_unit_test(test_limiter_loses_no_fraction_of_a_token),
		cmocka_unit_test(test_limiter_spends_the_burst_first_and_once),
		cmocka_unit_test(test_limiter_refused_request_costs_nothing),
		cmocka_unit_test(test_limiter_counts_operations),
		cmocka_unit_test(test_limiter_request_beyond_the_bucket_blocks_what_follows),
		cmocka_unit_test(test_limiter_update_fills_the_buckets_it_names),
		cmocka_unit_test(test_limiter_bears_any_numbers),
		cmocka_unit_test(test_limiter_state_survives_a_snapshot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
