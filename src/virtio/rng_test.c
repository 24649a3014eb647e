/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include "sys/call.h"
#include "virtio/driver_testing.h"
#include "virtio/limiter.h"

static struct vdev *make(struct driver *t)
{
	struct vdev *d = NULL;

	BUG_ON(rng_new(&d, &t->mem, NULL, NULL, NULL) < 0);
	return d;
}

static void test_rng_fills_what_it_is_given(void **state)
{
	(void)state;
	for (unsigned l = 0; l < DRIVER_LAYOUTS; l++) {
		static uint8_t a[4096], b[4096];
		struct driver t;
		unsigned same = 0;

		driver_init(&t, 16 << 20);
		driver_start(&t, make(&t), driver_layouts[l].features);
		assert_int_equal(driver_request(&t, 0, NULL, 0, a, sizeof(a)), sizeof(a));
		assert_int_equal(driver_request(&t, 0, NULL, 0, b, sizeof(b)), sizeof(b));
		for (size_t i = 0; i < sizeof(a); i++)
			same += a[i] == b[i];
		assert_in_range(same, 0, 200); /* 16 of 4096 by chance */
		assert_int_equal(driver_request(&t, 0, "x", 1, NULL, 0),
				 0); /* no room: comes back all the same */
		driver_fini(&t);
	}
}

static void test_rng_request_has_a_cap(void **state)
{
	static uint8_t big[RNG_REQUEST_MAX + 5000];
	struct driver t;

	(void)state;
	driver_init(&t, 16 << 20);
	driver_start(&t, make(&t), 0);
	assert_int_equal(driver_request(&t, 0, NULL, 0, big, sizeof(big)), RNG_REQUEST_MAX);
	for (size_t i = RNG_REQUEST_MAX; i < sizeof(big); i++)
		assert_int_equal(big[i], 0);
	driver_fini(&t);
}

static void test_rng_waits_for_its_limit(void **state)
{
	static const struct limiter_config limit = { .bytes = { .size = 64, .refill_ms = 100 } };
	struct loop loop = { .epfd = -1 };
	struct vdev *d = NULL;
	struct driver t;
	uint8_t got[64];
	nsec_t from;

	(void)state;
	assert_int_equal(loop_init(&loop), 0);
	driver_init(&t, 16 << 20);
	assert_int_equal(rng_new(&d, &t.mem, &loop, &limit, NULL), 0);
	driver_start(&t, d, VDEV_F_EVENT_IDX);
	assert_int_equal(driver_request(&t, 0, NULL, 0, got, 64), 64);
	from = time_now_ns(CLOCK_MONOTONIC);
	assert_int_equal(driver_request(&t, 0, NULL, 0, got, 64),
			 64); /* driver_request() waits in the loop */
	assert_true(time_now_ns(CLOCK_MONOTONIC) - from > 90 * NSEC_PER_MSEC);
	driver_fini(&t);
	loop_fini(&loop);
}

static long no_random(long nr, long a, long b, long c, long d, long e, long f)
{
	return nr == SYS_getrandom ? -ENOSYS : sys_call_real(nr, a, b, c, d, e, f);
}

static void test_rng_without_a_source_gives_nothing(void **state)
{
	struct driver t;
	uint8_t got[64];

	(void)state;
	driver_init(&t, 16 << 20);
	driver_start(&t, make(&t), 0);
	sys_call = no_random;
	assert_int_equal(driver_request(&t, 0, NULL, 0, got, 64), 0);
	sys_call = sys_call_real;
	assert_int_equal(driver_request(&t, 0, NULL, 0, got, 64), 64);
	driver_fini(&t);
}

static void test_rng_moves(void **state)
{
	struct err e = { 0 };
	struct driver t;
	uint8_t got[64];

	(void)state;
	driver_init(&t, 16 << 20);
	driver_start(&t, make(&t), VDEV_F_PACKED);
	assert_int_equal(driver_request(&t, 0, NULL, 0, got, 64), 64);
	assert_int_equal(driver_move(&t, make(&t), &e), 0);
	assert_int_equal(driver_request(&t, 0, NULL, 0, got, 64), 64);
	driver_fini(&t);
}

static void test_rng_refuses_hostile_rings(void **state)
{
	(void)state;
	driver_hostile_all(make, 0, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rng_fills_what_it_is_given),
		cmocka_unit_test(test_rng_request_has_a_cap),
		cmocka_unit_test(test_rng_waits_for_its_limit),
		cmocka_unit_test(test_rng_without_a_source_gives_nothing),
		cmocka_unit_test(test_rng_moves),
		cmocka_unit_test(test_rng_refuses_hostile_rings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
