/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/balloon.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "virtio/driver_testing.h"

enum { MIB = 1 << 20, ALL = 2 | 4 | 8 | 32 /* every feature */ };

static const struct balloon_config full = {
	.target_mib = 4, .deflate_on_oom = true, .hinting = true, .reporting = true, .stats_s = 1
};
static struct loop *loop_of; /* of devices made */

static struct vdev *make(struct driver *t)
{
	struct vdev *d = NULL;

	BUG_ON(balloon_new(&d, &t->mem, loop_of, &full, NULL) < 0);
	return d;
}

static void up(struct driver *t, unsigned layout)
{
	driver_init(t, 16 * MIB);
	driver_start(t, make(t), driver_layouts[layout].features | ALL);
}

/* dirty() - write to the pages from @at; is_zero() - do they read as zeroes? */
static void dirty(struct driver *t, gpa_t at, uint64_t len)
{
	memset(driver_ptr(t, at, len), 0xaa, len);
}

static bool is_zero(struct driver *t, gpa_t at, uint64_t len)
{
	const uint8_t *p = driver_ptr(t, at, len);

	for (uint64_t i = 0; i < len; i++)
		if (p[i])
			return false;
	return true;
}

static int64_t resident(struct driver *t)
{
	struct stat st;

	assert_int_equal(fstat(t->mem.region[0].fd, &st), 0);
	return st.st_blocks * 512;
}

static void test_balloon_gives_inflated_pages_to_the_host(void **state)
{
	(void)state;
	for (unsigned l = 0; l < DRIVER_LAYOUTS; l++) {
		struct balloon_status s;
		struct driver t;
		uint32_t pfn[256];
		int64_t before;

		up(&t, l);
		dirty(&t, 8 * MIB, 2 * MIB);
		before = resident(&t);
		for (uint32_t i = 0; i < 256; i++) /* in no order */
			pfn[i] = htole32(8 * 256 + i * 37 % 256);
		assert_int_equal(driver_request(&t, 0, pfn, sizeof(pfn), NULL, 0), 0);
		assert_int_equal(before - resident(&t), MIB);
		assert_true(is_zero(&t, 8 * MIB, MIB));
		assert_false(is_zero(&t, 9 * MIB, GMEM_PAGE));
		balloon_status(t.d, &s);
		assert_int_equal(s.n_discarded, 256);
		assert_int_equal(driver_request(&t, 1, pfn, sizeof(pfn), NULL, 0), 0);
		driver_fini(&t);
	}
}

static void test_balloon_ignores_pages_that_are_nowhere(void **state)
{
	struct balloon_status s;
	struct driver t;
	uint32_t pfn[5] = { htole32(16 * 256), htole32(UINT32_MAX), htole32(8 * 256), htole32(1 << 30),
			    htole32(8 * 256) };

	(void)state;
	up(&t, 0);
	dirty(&t, 8 * MIB, GMEM_PAGE);
	assert_int_equal(driver_request(&t, 0, pfn, sizeof(pfn) + 0, NULL, 0), 0);
	assert_true(is_zero(&t, 8 * MIB, GMEM_PAGE));
	balloon_status(t.d, &s);
	assert_int_equal(s.n_nowhere, 3);
	assert_int_equal(s.n_discarded, 1);
	assert_int_equal(driver_request(&t, 0, pfn, 3, NULL, 0), 0); /* not even one */
	assert_false(vdev_get_status(t.d) & VDEV_S_NEEDS_RESET);
	driver_fini(&t);
}

static void test_balloon_target_is_told_by_the_configuration(void **state)
{
	struct err e = { 0 };
	struct driver t;
	struct vdev *d;
	uint32_t v[4];

	(void)state;
	driver_init(&t, 16 * MIB);
	d = make(&t);
	assert_int_equal(balloon_set_target(d, 1, &e), -ENODEV);
	driver_start(&t, d, ALL);
	vdev_config_read(d, 0, v, 16);
	assert_int_equal(le32toh(v[0]), 4 * 256);
	assert_int_equal(balloon_set_target(d, 16, &e), 0);
	assert_int_equal(t.n_config, 1);
	vdev_config_read(d, 0, v, 4);
	assert_int_equal(le32toh(v[0]), 16 * 256);
	assert_int_equal(balloon_set_target(d, 17, &e), -EINVAL);
	assert_int_equal(balloon_set_target(d, UINT32_MAX, &e), -EINVAL);
	v[0] = htole32(77);
	vdev_config_write(d, 4, v, 4);
	vdev_config_write(d, 0, v, 4); /* not the driver's */
	vdev_config_write(d, 4, v, 2);
	assert_int_equal(d->n_ignored, 2);
	vdev_config_read(d, 0, v, 16);
	assert_int_equal(le32toh(v[0]), 16 * 256);
	assert_int_equal(le32toh(v[1]), 77);
	driver_fini(&t);
}

static void test_balloon_frees_reported_pages(void **state)
{
	(void)state;
	for (unsigned l = 0; l < DRIVER_LAYOUTS; l++) {
		struct driver t;
		struct driver_buf b[2] = { { 8 * MIB, MIB, true }, { 10 * MIB, GMEM_PAGE, true } };

		up(&t, l);
		dirty(&t, 8 * MIB, 3 * MIB);
		driver_add(&t, 4, b, 2);
		driver_kick(&t, 4);
		assert_true(driver_used(&t, 4, NULL) >= 0);
		assert_true(is_zero(&t, 8 * MIB, MIB));
		assert_false(is_zero(&t, 9 * MIB, GMEM_PAGE));
		assert_true(is_zero(&t, 10 * MIB, GMEM_PAGE));
		assert_false(is_zero(&t, 10 * MIB + GMEM_PAGE, GMEM_PAGE));
		driver_fini(&t);
	}
}

static void test_balloon_asks_for_statistics_each_interval(void **state)
{
	struct loop loop = { .epfd = -1 };

	(void)state;
	assert_int_equal(loop_init(&loop), 0);
	loop_of = &loop;
	for (unsigned l = 0; l < DRIVER_LAYOUTS; l += 3) {
		static const uint8_t stats[] = {
			4,  0, 1, 2, 0, 0, 0, 0, 0, 0,      /* free: 0x201 */
			99, 0, 1, 1, 1, 1, 1, 1, 1, 1,      /* a newer driver's */
			15, 0, 0, 0, 0, 0, 0, 0, 0, 1, 7, 7 /* the last, and half an entry */
		};
		struct balloon_status s;
		struct driver t;
		struct driver_buf b;

		up(&t, l);
		b = (struct driver_buf){ driver_put(&t, stats, sizeof(stats)), sizeof(stats), false };
		driver_add(&t, 2, &b, 1);
		vdev_kick(t.d, 2);
		assert_false(driver_wait(&t, 2, 500)); /* held until the second is over */
		balloon_status(t.d, &s);
		assert_int_equal(s.stats_there, 1 << BALLOON_FREE | 1 << BALLOON_DIRECT_RECLAIM);
		assert_int_equal(s.stat[BALLOON_FREE], 0x201);
		assert_true(driver_wait(&t, 2, 2000));
		assert_true(driver_used(&t, 2, NULL) >= 0);
		assert_int_equal(t.n_interrupts[2], 1);
		driver_add(&t, 2, &b, 1); /* left again, it stays again */
		vdev_kick(t.d, 2);
		assert_false(driver_wait(&t, 2, 300));
		driver_add(&t, 2, &b, 1); /* one too many: the older comes back */
		vdev_kick(t.d, 2);
		assert_true(driver_wait(&t, 2, 300));
		driver_fini(&t);
	}
	loop_of = NULL;
	loop_fini(&loop);
}

static void test_balloon_statistics_cannot_be_turned_on_or_off(void **state)
{
	static const struct balloon_config none = { .target_mib = 0 };
	struct err e = { 0 };
	struct driver t;
	struct vdev *d = NULL;

	(void)state;
	up(&t, 0);
	assert_int_equal(balloon_set_stats(t.d, 0, &e), -EINVAL);
	assert_int_equal(balloon_set_stats(t.d, 5, &e), 0);
	assert_int_equal(balloon_new(&d, &t.mem, NULL, &none, &e), 0);
	assert_int_equal(d->n_queues, 2);
	assert_int_equal(balloon_set_stats(d, 5, &e), -EINVAL);
	assert_int_equal(balloon_set_stats(d, 0, &e), 0);
	assert_int_equal(balloon_hint_start(d, true, &e), -EOPNOTSUPP);
	vdev_free(d);
	assert_int_equal(balloon_new(&d, &t.mem, NULL, &(struct balloon_config){ .target_mib = 17 }, &e),
			 -EINVAL);
	driver_fini(&t);
}

static void put_cmd(struct driver *t, uint32_t cmd)
{
	cmd = htole32(cmd);
	assert_int_equal(driver_request(t, 3, &cmd, 4, NULL, 0), 0);
}

static void put_page(struct driver *t, gpa_t at)
{
	struct driver_buf b = { at, GMEM_PAGE, true };

	driver_add(t, 3, &b, 1);
	driver_kick(t, 3);
	assert_true(driver_used(t, 3, NULL) >= 0);
}

static void test_balloon_hinting_frees_pages_of_its_own_round_only(void **state)
{
	struct balloon_status s;
	struct err e = { 0 };
	struct driver t;
	uint32_t round;

	(void)state;
	up(&t, 1);
	dirty(&t, 8 * MIB, MIB);
	put_page(&t, 8 * MIB); /* no round */
	assert_false(is_zero(&t, 8 * MIB, GMEM_PAGE));
	assert_int_equal(balloon_hint_start(t.d, true, &e), 0);
	assert_int_equal(t.n_config, 1);
	vdev_config_read(t.d, 8, &round, 4);
	round = le32toh(round);
	assert_in_range(round, 2, UINT32_MAX);
	put_page(&t, 8 * MIB); /* the driver has not begun */
	put_cmd(&t, round + 1);
	put_page(&t, 8 * MIB);
	assert_false(is_zero(&t, 8 * MIB, GMEM_PAGE));
	put_cmd(&t, round);
	put_page(&t, 8 * MIB);
	assert_true(is_zero(&t, 8 * MIB, GMEM_PAGE));
	put_cmd(&t, BALLOON_CMD_STOP);
	balloon_status(t.d, &s);
	assert_int_equal(s.host_cmd, BALLOON_CMD_DONE); /* acknowledged */
	assert_int_equal(s.guest_cmd, BALLOON_CMD_STOP);
	assert_int_equal(t.n_config, 2);
	dirty(&t, 8 * MIB, MIB);
	assert_int_equal(balloon_hint_start(t.d, false, &e), 0);
	put_cmd(&t, round);
	put_page(&t, 8 * MIB); /* of the last round */
	assert_false(is_zero(&t, 8 * MIB, GMEM_PAGE));
	put_cmd(&t, BALLOON_CMD_STOP);
	balloon_status(t.d, &s);
	assert_int_equal(s.host_cmd, round + 1); /* not acknowledged */
	assert_int_equal(balloon_hint_stop(t.d, &e), 0);
	balloon_status(t.d, &s);
	assert_int_equal(s.host_cmd, BALLOON_CMD_DONE);
	driver_fini(&t);
}

static void test_balloon_counts_only_the_queues_that_were_negotiated(void **state)
{
	struct driver t;
	struct driver_buf b = { 8 * MIB, MIB, true };

	(void)state;
	driver_init(&t, 16 * MIB);
	driver_start(&t, make(&t), 32); /* reporting alone: it is queue 2 */
	dirty(&t, 8 * MIB, MIB);
	driver_add(&t, 2, &b, 1);
	driver_kick(&t, 2);
	assert_true(driver_used(&t, 2, NULL) >= 0);
	assert_true(is_zero(&t, 8 * MIB, MIB));
	driver_fini(&t);
}

static void test_balloon_moves_with_a_buffer_held(void **state)
{
	(void)state;
	for (unsigned l = 0; l < DRIVER_LAYOUTS; l++) {
		struct balloon_status s;
		struct err e = { 0 };
		struct driver t;
		struct driver_buf b;
		int r;

		up(&t, l);
		b = (struct driver_buf){ driver_put(&t, "\4\0\1\2\0\0\0\0\0\0", 10), 10, false };
		driver_add(&t, 2, &b, 1);
		driver_kick(&t, 2);
		balloon_set_target(t.d, 7, &e);
		assert_int_equal(balloon_hint_start(t.d, true, &e), 0);
		r = driver_move(&t, make(&t), &e);
		if (r < 0)
			print_error("%s\n", e.text);
		assert_int_equal(r, 0);
		balloon_status(t.d, &s);
		assert_int_equal(s.target_pages, 7 * 256);
		assert_int_equal(s.host_cmd, BALLOON_CMD_STOP);
		assert_int_equal(s.stat[BALLOON_FREE], 0x201);
		driver_kick(&t, 2); /* it is there again, and held again */
		driver_add(&t, 2, &b, 1);
		driver_kick(&t, 2);
		assert_true(driver_used(&t, 2, NULL) >= 0);
		assert_int_equal(driver_used(&t, 2, NULL), -EAGAIN);
		driver_fini(&t);
	}
}

static void test_balloon_refuses_hostile_rings(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 5; i++)
		driver_hostile_all(make, i, ALL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_balloon_gives_inflated_pages_to_the_host),
		cmocka_unit_test(test_balloon_ignores_pages_that_are_nowhere),
		cmocka_unit_test(test_balloon_target_is_told_by_the_configuration),
		cmocka_unit_test(test_balloon_frees_reported_pages),
		cmocka_unit_test(test_balloon_asks_for_statistics_each_interval),
		cmocka_unit_test(test_balloon_statistics_cannot_be_turned_on_or_off),
		cmocka_unit_test(test_balloon_hinting_frees_pages_of_its_own_round_only),
		cmocka_unit_test(test_balloon_counts_only_the_queues_that_were_negotiated),
		cmocka_unit_test(test_balloon_moves_with_a_buffer_held),
		cmocka_unit_test(test_balloon_refuses_hostile_rings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
