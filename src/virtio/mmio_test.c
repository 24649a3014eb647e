/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/mmio.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/guard.h"
#include "virtio/echo_testing.h"

struct fixture {
	struct driver t;
	struct echo *x;
	struct vmmio m;
	unsigned n_irqs;
};

static void irq(void *arg)
{
	(*(unsigned *)arg)++;
}

static void make(struct fixture *f)
{
	driver_init(&f->t, 16 << 20);
	f->x = echo_new(&f->t, NULL);
	f->t.d = &f->x->d;
	f->n_irqs = 0;
	vmmio_init(&f->m, f->t.d, irq, &f->n_irqs);
}

static void gone(struct fixture *f)
{
	vmmio_fini(&f->m);
	driver_fini(&f->t);
}

static uint32_t rd(struct fixture *f, uint64_t off)
{
	uint32_t v = 0x5a5a5a5a;

	vmmio_read(&f->m, off, &v, 4);
	return v;
}

static void wr(struct fixture *f, uint64_t off, uint32_t v)
{
	vmmio_write(&f->m, off, &v, 4);
}

/* negotiate() - as a driver does by the book. Spec: virtio 1.2 §3.1.1, §4.2.3 */
static void negotiate(struct fixture *f, uint64_t features)
{
	wr(f, 0x70, 0);
	wr(f, 0x70, 1);
	wr(f, 0x70, 3);
	wr(f, 0x24, 0);
	wr(f, 0x20, (uint32_t)features);
	wr(f, 0x24, 1);
	wr(f, 0x20, (uint32_t)(features >> 32));
	wr(f, 0x70, 11);
	assert_int_equal(rd(f, 0x70), 11);
	driver_features(&f->t, features);
}

static void queue(struct fixture *f, unsigned i)
{
	struct driver_queue *q = &f->t.q[i];

	wr(f, 0x30, i);
	assert_int_equal(rd(f, 0x44), 0);
	assert_int_equal(rd(f, 0x34), 256);
	driver_queue_layout(&f->t, i, 64);
	wr(f, 0x38, 64);
	wr(f, 0x80, (uint32_t)q->desc_gpa);
	wr(f, 0x84, 0);
	wr(f, 0x90, (uint32_t)q->avail_gpa);
	wr(f, 0x94, 0);
	wr(f, 0xa0, (uint32_t)q->used_gpa);
	wr(f, 0xa4, 0);
	wr(f, 0x44, 1);
	assert_int_equal(rd(f, 0x44), 1);
}

static void up(struct fixture *f, unsigned layout)
{
	make(f);
	negotiate(f, driver_layouts[layout].features | VDEV_F_VERSION_1);
	queue(f, 0);
	queue(f, 1);
	wr(f, 0x70, 15);
	assert_int_equal(rd(f, 0x70), 15);
}

static void test_mmio_brings_a_device_up_by_its_registers(void **state)
{
	(void)state;
	for (unsigned l = 0; l < DRIVER_LAYOUTS; l++) {
		struct fixture f;
		char in[4];

		up(&f, l);
		assert_int_equal(rd(&f, 0), 0x74726976);
		assert_int_equal(rd(&f, 4), 2);
		assert_int_equal(rd(&f, 8), VDEV_RNG);
		wr(&f, 0x14, 1);
		assert_int_equal(rd(&f, 0x10), (uint32_t)(f.x->d.offered >> 32));
		wr(&f, 0x14, 0);
		assert_int_equal(rd(&f, 0x10), (uint32_t)f.x->d.offered);
		wr(&f, 0x14, 2);
		assert_int_equal(rd(&f, 0x10), 0);
		wr(&f, 0x30, 2);
		assert_int_equal(rd(&f, 0x34), 0); /* no such queue */
		for (unsigned n = 0; n < 100; n++)
			assert_int_equal(driver_request(&f.t, n & 1, "abcd", 4, in, 4), 4);
		assert_int_equal(f.m.n_ignored, 0);
		assert_int_equal(f.x->d.n_ignored, 0);
		gone(&f);
	}
}

static void test_mmio_notify_kicks_the_queue(void **state)
{
	struct fixture f;
	uint64_t n = 0;

	(void)state;
	up(&f, 0);
	wr(&f, VMMIO_NOTIFY, 1);
	wr(&f, VMMIO_NOTIFY, 1);
	wr(&f, VMMIO_NOTIFY, 2);
	wr(&f, VMMIO_NOTIFY, UINT32_MAX);
	assert_int_equal(read(f.x->d.kick_fd[1], &n, 8), 8);
	assert_int_equal(n, 2);
	assert_int_equal(read(f.x->d.kick_fd[0], &n, 8), -1);
	gone(&f);
}

static void test_mmio_interrupts_are_edges_with_a_status(void **state)
{
	struct fixture f;
	char in[4];

	(void)state;
	up(&f, 0);
	assert_int_equal(rd(&f, 0x60), 0);
	driver_request(&f.t, 0, "abcd", 4, in, 4);
	assert_int_equal(rd(&f, 0x60), 1);
	driver_request(&f.t, 0, "abcd", 4, in, 4); /* not acknowledged: an edge all the same */
	assert_int_equal(f.n_irqs, 2);
	vdev_config_changed(&f.x->d);
	assert_int_equal(rd(&f, 0x60), 3);
	assert_int_equal(rd(&f, 0xfc), 1);
	wr(&f, 0x64, 1);
	assert_int_equal(rd(&f, 0x60), 2);
	wr(&f, 0x64, 0xffffffff);
	assert_int_equal(rd(&f, 0x60), 0);
	driver_request(&f.t, 0, "abcd", 4, in, 4);
	wr(&f, 0x70, 0);
	assert_int_equal(rd(&f, 0x60), 0);
	gone(&f);
}

static void test_mmio_odd_accesses_do_nothing(void **state)
{
	struct fixture f;
	struct vdev before;

	(void)state;
	up(&f, 0);
	before = f.x->d;
	before.n_ignored = 0;
	for (uint64_t off = 0; off < 0x100; off++)
		for (unsigned len = 1; len <= 8; len++) {
			uint8_t data[8];

			if (len == 4 && off % 4 == 0)
				continue;
			memset(data, 0xff, sizeof(data));
			vmmio_write(&f.m, off, data, len);
			vmmio_read(&f.m, off, data, len);
			for (unsigned k = 0; k < len; k++)
				assert_int_equal(data[k], 0);
		}
	for (uint64_t off = 0; off < 0x100; off += 4) /* registers that are not, or are read-only */
		if (!strchr("\x14\x20\x24\x30\x38\x44\x50\x64\x70\x80\x84\x90\x94\xa0\xa4\xac", (int)off)) {
			wr(&f, off, 0xffffffff);
			rd(&f, off);
		}
	f.x->d.n_ignored = 0;
	assert_memory_equal(&before, &f.x->d, sizeof(before));
	gone(&f);
}

static void test_mmio_configuration_space_takes_any_size(void **state)
{
	struct fixture f;
	uint8_t data[8];

	(void)state;
	up(&f, 0);
	for (unsigned k = 0; k < 16; k++)
		f.x->config[k] = (uint8_t)(k + 1);
	for (unsigned len = 1; len <= 8; len++)
		for (unsigned off = 0; off < 24; off++) {
			vmmio_read(&f.m, VMMIO_CONFIG + off, data, len);
			for (unsigned k = 0; k < len; k++)
				assert_int_equal(data[k], off + k < 16 ? off + k + 1 : 0);
		}
	vmmio_write(&f.m, VMMIO_CONFIG + 15, "xy", 2);
	assert_int_equal(f.x->config[15], 'x');
	vmmio_read(&f.m, VMMIO_BYTES - 4, data, 8);
	vmmio_write(&f.m, VMMIO_BYTES - 1, data, 8);
	vmmio_read(&f.m, UINT64_MAX, data, 8);
	vmmio_write(&f.m, UINT64_MAX - 3, data, 4);
	gone(&f);
}

static void test_mmio_freezes_the_queues_at_driver_ok(void **state)
{
	struct fixture f;
	char in[4];

	(void)state;
	up(&f, 0);
	for (unsigned i = 0; i < 5; i++) {
		static const uint32_t reg[] = { 0x38, 0x44, 0x80, 0x84, 0x90, 0x94, 0xa0, 0xa4 };

		wr(&f, 0x30, i);
		for (size_t k = 0; k < ARRAY_SIZE(reg); k++) {
			wr(&f, reg[k], 0);
			wr(&f, reg[k], 0xfffffff0);
			wr(&f, reg[k], 1);
		}
	}
	assert_int_equal(f.x->d.n_ignored, 5 * 8 * 3 - 3); /* a queue that is not there is disabled already */
	assert_int_equal(driver_request(&f.t, 0, "abcd", 4, in, 4), 4);
	gone(&f);
}

static void test_mmio_tells_shared_memory_regions(void **state)
{
	struct fixture f;

	(void)state;
	make(&f);
	f.x->d.shm[1] = (struct vdev_shm){ 0x123456789000, 0x200000000 };
	wr(&f, 0xac, 0);
	assert_int_equal(rd(&f, 0xb0), UINT32_MAX);
	assert_int_equal(rd(&f, 0xb4), UINT32_MAX);
	wr(&f, 0xac, 1);
	assert_int_equal(rd(&f, 0xb0), 0);
	assert_int_equal(rd(&f, 0xb4), 2);
	assert_int_equal(rd(&f, 0xb8), 0x56789000);
	assert_int_equal(rd(&f, 0xbc), 0x1234);
	wr(&f, 0xac, UINT32_MAX);
	assert_int_equal(rd(&f, 0xb8), UINT32_MAX);
	gone(&f);
}

static void test_mmio_state_moves_with_the_device(void **state)
{
	struct fixture f;
	auto_fini(buf) struct buf b = { 0 };
	struct record_out o = { .to = &b };
	struct record_in in;
	struct err e = { 0 };
	char got[4];

	(void)state;
	up(&f, 3);
	for (unsigned n = 0; n < 100; n++)
		driver_request(&f.t, 0, "abcd", 4, got, 4);
	vdev_pause(f.t.d);
	vmmio_save(&f.m, &o);
	vdev_free(f.t.d);
	f.x = echo_new(&f.t, NULL);
	f.t.d = &f.x->d;
	vmmio_init(&f.m, f.t.d, irq, &f.n_irqs);
	record_init(&in, b.data, b.len, &e);
	vmmio_restore(&f.m, &in);
	assert_int_equal(record_finish(&in), 0);
	f.n_irqs = 0;
	vmmio_resume(&f.m);
	assert_int_equal(f.n_irqs, 1); /* it was not acknowledged */
	assert_int_equal(rd(&f, 0x60), 1);
	assert_int_equal(rd(&f, 0x70), 15);
	for (unsigned n = 0; n < 100; n++)
		assert_int_equal(driver_request(&f.t, 0, "abcd", 4, got, 4), 4);
	gone(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mmio_brings_a_device_up_by_its_registers),
		cmocka_unit_test(test_mmio_notify_kicks_the_queue),
		cmocka_unit_test(test_mmio_interrupts_are_edges_with_a_status),
		cmocka_unit_test(test_mmio_odd_accesses_do_nothing),
		cmocka_unit_test(test_mmio_configuration_space_takes_any_size),
		cmocka_unit_test(test_mmio_freezes_the_queues_at_driver_ok),
		cmocka_unit_test(test_mmio_tells_shared_memory_regions),
		cmocka_unit_test(test_mmio_state_moves_with_the_device),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
