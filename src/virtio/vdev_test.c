/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/vdev.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include "virtio/echo_testing.h"

struct fixture {
	struct driver t;
	struct echo *x;
	struct vdev *d;
};

static void make(struct fixture *f, struct loop *loop)
{
	driver_init(&f->t, 16 << 20);
	f->x = echo_new(&f->t, loop);
	f->d = f->t.d = &f->x->d;
	f->d->interrupt = driver_interrupt;
	f->d->interrupt_arg = &f->t;
}

static void test_vdev_takes_status_bits_in_their_order_only(void **state)
{
	static const struct {
		uint8_t write[6], want;
		unsigned ignored;
	} row[] = {
		{ { 1, 3, 11, 15 }, 15, 0 },
		{ { 15 }, 15, 0 }, /* all at once: each has its predecessor */
		{ { 2 }, 0, 1 },
		{ { 4 }, 0, 1 },
		{ { 1, 5 }, 1, 1 },
		{ { 1, 3, 7 }, 3, 1 },
		{ { 1, 3, 1 }, 3, 1 }, /* a bit is not taken back */
		{ { 11, 3 }, 11, 1 },
		{ { 1, 3, 0x83 }, 0x83, 0 },
		{ { 1, 3, 0x43 }, 3, 0 }, /* NEEDS_RESET is not the driver's */
		{ { 1, 0x11 }, 1, 0 },    /* unknown bits: nothing */
		{ { 15, 1 }, 15, 1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(row); i++) {
		struct fixture f;

		make(&f, NULL);
		vdev_set_features(f.d, VDEV_F_VERSION_1);
		for (int k = 0; row[i].write[k]; k++)
			vdev_set_status(f.d, row[i].write[k]);
		if (f.d->status != row[i].want || f.d->n_ignored != row[i].ignored)
			print_error("row %zu: want 0x%x, %u got 0x%x, %lu\n", i, row[i].want, row[i].ignored,
				    f.d->status, (unsigned long)f.d->n_ignored);
		assert_int_equal(f.d->status, row[i].want);
		assert_int_equal(f.d->n_ignored, row[i].ignored);
		assert_int_equal(f.x->n_activated, row[i].want == 15);
		driver_fini(&f.t);
	}
}

static void test_vdev_takes_offered_features_only(void **state)
{
	static const struct {
		uint64_t features;
		bool good;
	} row[] = {
		{ VDEV_F_VERSION_1, true },
		{ VDEV_F_VERSION_1 | 3 | VDEV_F_PACKED, true },
		{ 0, false },
		{ 3, false }, /* a legacy driver's */
		{ VDEV_F_VERSION_1 | 4, false },
		{ UINT64_MAX, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(row); i++) {
		struct fixture f;

		make(&f, NULL);
		vdev_set_status(f.d, 3);
		vdev_set_features(f.d, row[i].features);
		assert_int_equal(f.d->negotiated, 0);
		vdev_set_status(f.d, 11);
		assert_int_equal(f.d->status, row[i].good ? 11 : 3);
		assert_true(f.d->negotiated == (row[i].good ? row[i].features : 0));
		vdev_set_features(f.d, VDEV_F_VERSION_1); /* too late, or another try */
		vdev_set_status(f.d, 11);
		assert_int_equal(f.d->status, 11);
		assert_true(f.d->negotiated == (row[i].good ? row[i].features : VDEV_F_VERSION_1));
		driver_fini(&f.t);
	}
}

static void test_vdev_freezes_the_queues_at_driver_ok(void **state)
{
	struct fixture f;
	struct vq before;

	(void)state;
	make(&f, NULL);
	vdev_queue_write(f.d, 0, VDEV_Q_SIZE, 8); /* not negotiated yet */
	assert_int_equal(f.d->n_ignored, 1);
	assert_int_equal(vdev_queue_read(f.d, 0, VDEV_Q_SIZE), 256);
	assert_int_equal(driver_restart(&f.t, 0, 16), 15);
	before = f.d->vq[0];
	for (int reg = 0; reg < VDEV_Q_REG_COUNT + 3; reg++) {
		uint64_t ignored = f.d->n_ignored;

		for (uint32_t v = 0; v < 3; v++)
			vdev_queue_write(f.d, 0, reg, v);
		assert_int_equal(f.d->n_ignored, ignored + 3);
	}
	assert_memory_equal(&before, &f.d->vq[0], sizeof(before));
	vdev_queue_write(f.d, 2, VDEV_Q_SIZE, 8); /* no such queue */
	vdev_queue_write(f.d, UINT32_MAX, VDEV_Q_SIZE, 8);
	assert_int_equal(vdev_queue_read(f.d, UINT32_MAX, VDEV_Q_SIZE), 0);
	driver_fini(&f.t);
}

static void test_vdev_refuses_a_queue_it_cannot_trust(void **state)
{
	struct fixture f;
	char in[4];

	(void)state;
	make(&f, NULL);
	vdev_set_status(f.d, 3);
	vdev_set_features(f.d, VDEV_F_VERSION_1);
	vdev_set_status(f.d, 11);
	driver_queue_layout(&f.t, 0, 16);
	driver_queue_layout(&f.t, 1, 16);
	vdev_queue_write(f.d, 1, VDEV_Q_SIZE, 257);
	vdev_queue_write(f.d, 1, VDEV_Q_SIZE, 0);
	assert_int_equal(f.d->n_ignored, 2);
	f.t.q[1].avail_gpa = UINT64_MAX - 1;
	driver_queue_registers(&f.t, 1);
	assert_int_equal(vdev_queue_read(f.d, 1, VDEV_Q_ENABLE), 0);
	driver_queue_registers(&f.t, 0);
	assert_int_equal(vdev_queue_read(f.d, 0, VDEV_Q_ENABLE), 1);
	vdev_queue_write(f.d, 0, VDEV_Q_DESC_LO, 0); /* enabled: frozen */
	assert_int_equal(vdev_queue_read(f.d, 0, VDEV_Q_DESC_LO), f.t.q[0].desc_gpa);
	vdev_queue_write(f.d, 0, VDEV_Q_ENABLE, 0); /* until it is taken back */
	vdev_queue_write(f.d, 0, VDEV_Q_ENABLE, 1);
	vdev_set_status(f.d, 15);
	f.t.features = VDEV_F_VERSION_1;
	assert_int_equal(driver_request(&f.t, 0, "abcd", 4, in, 4), 4);
	driver_kick(&f.t, 1); /* never enabled: not served */
	driver_kick(&f.t, 7);
	assert_int_equal(f.x->n_served, 1);
	driver_fini(&f.t);
}

static void test_vdev_serves_nothing_before_driver_ok(void **state)
{
	struct fixture f;

	(void)state;
	make(&f, NULL);
	vdev_serve(f.d, 0);
	vdev_set_features(f.d, VDEV_F_VERSION_1);
	vdev_set_status(f.d, 11);
	driver_queue_layout(&f.t, 0, 16);
	driver_queue_registers(&f.t, 0);
	vdev_serve(f.d, 0);
	vdev_config_changed(f.d);
	assert_int_equal(f.x->n_served, 0);
	assert_int_equal(f.t.n_config, 0);
	vdev_set_status(f.d, 15);
	vdev_serve(f.d, 0);
	vdev_config_changed(f.d);
	assert_int_equal(f.x->n_served, 1);
	assert_int_equal(f.t.n_config, 1);
	assert_int_equal(vdev_generation(f.d), 2);
	driver_fini(&f.t);
}

static void test_vdev_that_cannot_be_activated_needs_a_reset(void **state)
{
	struct fixture f;

	(void)state;
	make(&f, NULL);
	f.x->activate_rc = -EINVAL;
	assert_int_equal(driver_restart(&f.t, 0, 0), 15 | VDEV_S_NEEDS_RESET);
	assert_int_equal(f.t.n_config, 1);
	driver_kick(&f.t, 0);
	assert_int_equal(f.x->n_served, 0);
	f.x->activate_rc = 0;
	assert_int_equal(driver_restart(&f.t, 0, 0), 15);
	assert_int_equal(f.x->n_resets, 1);
	driver_fini(&f.t);
}

static void test_vdev_reset_makes_it_new(void **state)
{
	struct fixture f;

	(void)state;
	make(&f, NULL);
	assert_int_equal(driver_restart(&f.t, VDEV_F_PACKED, 16), 15);
	vdev_set_status(f.d, 0);
	assert_int_equal(f.x->n_resets, 1);
	vdev_set_status(f.d, 0); /* nothing to reset */
	assert_int_equal(f.x->n_resets, 1);
	assert_int_equal(f.d->negotiated, 0);
	assert_false(f.d->vq[0].enabled);
	assert_int_equal(vdev_queue_read(f.d, 0, VDEV_Q_SIZE), 256);
	assert_int_equal(vdev_queue_read(f.d, 0, VDEV_Q_DESC_LO), 0);
	vdev_queue_write(f.d, 0, VDEV_Q_ENABLE, 0); /* drivers do */
	assert_int_equal(f.d->n_ignored, 0);
	driver_fini(&f.t);
}

static void test_vdev_kicks_reach_the_loop(void **state)
{
	struct loop loop = { .epfd = -1 };
	struct fixture f;
	struct driver_buf b = { 0x2000, 8, true };

	(void)state;
	assert_int_equal(loop_init(&loop), 0);
	make(&f, &loop);
	assert_int_equal(driver_restart(&f.t, 0, 16), 15);
	driver_add(&f.t, 1, &b, 1);
	assert_false(driver_wait(&f.t, 1, 10));
	vdev_kick(f.d, 1);
	vdev_kick(f.d, 1);
	vdev_kick(f.d, 2); /* no such queue */
	assert_true(driver_wait(&f.t, 1, 1000));
	assert_int_equal(f.d->vq[1].n_kicks, 2);
	assert_int_equal(f.x->n_served, 1);
	driver_fini(&f.t);
	loop_fini(&loop);
}

static void test_vdev_paused_serves_nothing_and_loses_nothing(void **state)
{
	struct loop loop = { .epfd = -1 };
	struct fixture f;
	struct driver_buf b = { 0x2000, 8, true };

	(void)state;
	assert_int_equal(loop_init(&loop), 0);
	make(&f, &loop);
	assert_int_equal(driver_restart(&f.t, 0, 16), 15);
	vdev_pause(f.d);
	vdev_pause(f.d);
	assert_int_equal(f.x->n_pauses, 1);
	driver_add(&f.t, 0, &b, 1);
	vdev_kick(f.d, 0);
	assert_false(driver_wait(&f.t, 0, 10));
	vdev_resume(f.d);
	assert_true(driver_wait(&f.t, 0, 1000));
	driver_fini(&f.t);
	loop_fini(&loop);
}

static void test_vdev_moves_with_what_waits_in_its_queues(void **state)
{
	(void)state;
	for (unsigned l = 0; l < DRIVER_LAYOUTS; l++) {
		struct fixture f;
		struct err e = { 0 };
		struct driver_buf b = { 0x2000, 8, true };
		char in[4];
		int r;

		make(&f, NULL);
		assert_int_equal(driver_restart(&f.t, driver_layouts[l].features | 1, 16), 15);
		for (unsigned n = 0; n < 21; n++)
			assert_int_equal(driver_request(&f.t, 0, "abcd", 4, in, 4), 4);
		driver_add(&f.t, 0, &b, 1);
		f.x = echo_new(&f.t, NULL);
		r = driver_move(&f.t, &f.x->d, &e);
		if (r < 0)
			print_error("%s\n", e.text);
		assert_int_equal(r, 0);
		assert_int_equal(f.x->d.status, 15);
		assert_int_equal(f.x->n_activated, 1);
		assert_int_equal(f.x->n_done, 21);
		driver_kick(&f.t, 0);
		assert_true(driver_used(&f.t, 0, NULL) >= 0);
		for (unsigned n = 0; n < 21; n++)
			assert_int_equal(driver_request(&f.t, 0, "abcd", 4, in, 4), 4);
		driver_fini(&f.t);
	}
}

/* each bit of a saved device flipped: refused, or a device that is as sound as any */
static void test_vdev_believes_no_saved_state(void **state)
{
	struct fixture f;
	struct buf b = { 0 };
	struct record_out o = { .to = &b };
	unsigned refused = 0;

	(void)state;
	make(&f, NULL);
	assert_int_equal(driver_restart(&f.t, VDEV_F_EVENT_IDX, 16), 15);
	vdev_save(f.d, &o);
	assert_int_equal(buf_finish(&b), 0);
	for (size_t bit = 0; bit < b.len * 8; bit++) {
		struct err e = { 0 };
		struct record_in in;
		struct echo *x = echo_new(&f.t, NULL);

		b.data[bit / 8] ^= (char)(1 << bit % 8);
		record_init(&in, b.data, b.len, &e);
		vdev_restore(&x->d, &in);
		if (record_finish(&in) < 0) {
			refused++;
			assert_int_equal(x->d.status, 0);
			assert_false(x->d.vq[0].enabled);
		} else {
			vdev_resume(&x->d);
			vdev_serve(&x->d, 0);
			vdev_serve(&x->d, 1);
		}
		vdev_free(&x->d);
		b.data[bit / 8] ^= (char)(1 << bit % 8);
	}
	assert_in_range(refused, b.len * 3, b.len * 8 - 1);
	buf_fini(&b);
	driver_fini(&f.t);
}

static void test_vdev_frees_half_made_devices(void **state)
{
	struct vdev d = { 0 };

	(void)state;
	vdev_fini(&d);
	vdev_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vdev_takes_status_bits_in_their_order_only),
		cmocka_unit_test(test_vdev_takes_offered_features_only),
		cmocka_unit_test(test_vdev_freezes_the_queues_at_driver_ok),
		cmocka_unit_test(test_vdev_refuses_a_queue_it_cannot_trust),
		cmocka_unit_test(test_vdev_serves_nothing_before_driver_ok),
		cmocka_unit_test(test_vdev_that_cannot_be_activated_needs_a_reset),
		cmocka_unit_test(test_vdev_reset_makes_it_new),
		cmocka_unit_test(test_vdev_kicks_reach_the_loop),
		cmocka_unit_test(test_vdev_paused_serves_nothing_and_loses_nothing),
		cmocka_unit_test(test_vdev_moves_with_what_waits_in_its_queues),
		cmocka_unit_test(test_vdev_believes_no_saved_state),
		cmocka_unit_test(test_vdev_frees_half_made_devices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
