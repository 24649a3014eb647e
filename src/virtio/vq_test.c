/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/vq.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include "virtio/echo_testing.h"

struct fixture {
	struct driver t;
	struct echo *x;
};

static void up(struct fixture *f, unsigned layout, uint16_t size)
{
	driver_init(&f->t, 16 << 20);
	f->x = echo_new(&f->t, NULL);
	driver_start(&f->t, &f->x->d, driver_layouts[layout].features);
	if (size)
		assert_int_equal(driver_restart(&f->t, driver_layouts[layout].features, size), 15);
}

static void test_vq_carries_chains_around_the_ring_many_times(void **state)
{
	(void)state;
	for (unsigned l = 0; l < DRIVER_LAYOUTS; l++)
		for (uint16_t size = 2; size <= 256; size = (uint16_t)(size * 4)) {
			struct fixture f;

			up(&f, l, size);
			for (unsigned n = 0; n < 700; n++) {
				char out[300], in[300] = { 0 };
				uint32_t len = 1 + n % sizeof(out);

				memset(out, (int)n, sizeof(out));
				assert_int_equal(driver_request(&f.t, n & 1, out, len, in, sizeof(in)), len);
				assert_memory_equal(in, out, len);
			}
			assert_int_equal(f.x->n_done, 700);
			driver_fini(&f.t);
		}
}

/* draw() - the same numbers in each run */
static unsigned draw(void)
{
	static uint64_t x = 1;

	x = x * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned)(x >> 33);
}

/* Random traffic: chains of many shapes, several in the ring at once, each with bytes of its own. */
static void shuffle(struct driver *t, unsigned rounds)
{
	struct {
		gpa_t in;
		uint32_t len;
		uint8_t fill;
	} want[VQ_SIZE_MAX];
	gpa_t brk = t->brk;

	for (unsigned round = 0; round < rounds; round++) {
		int n = 0, id;
		uint32_t len;

		t->brk = brk;
		while (n < 1 + (int)(draw() % 100)) {
			struct driver_buf b[40];
			unsigned n_out = 1 + draw() % 18, n_in = 1 + draw() % 18;
			uint32_t total = 0;
			gpa_t in = driver_alloc(t, 64ULL * n_in, 8);
			uint8_t fill = (uint8_t)draw();

			for (unsigned k = 0; k < n_out; k++) {
				b[k] = (struct driver_buf){ driver_alloc(t, 64, 64), draw() % 64, 0 };
				memset(driver_ptr(t, b[k].gpa, 64), fill, 64);
				total += b[k].len;
			}
			for (unsigned k = 0; k < n_in; k++)
				b[n_out + k] = (struct driver_buf){ in + 64ULL * k, 64, true };
			id = driver_add(t, 0, b, n_out + n_in);
			if (id < 0)
				break;
			want[id].in = in;
			want[id].fill = fill;
			want[id].len = total < 64 * n_in ? total : 64 * n_in;
			n++;
		}
		driver_kick(t, 0);
		while ((id = driver_used(t, 0, &len)) >= 0) {
			const uint8_t *p = driver_ptr(t, want[id].in, 64);

			assert_int_equal(len, want[id].len);
			for (uint32_t k = 0; k < len; k++)
				assert_int_equal(p[k], want[id].fill);
			n--;
		}
		assert_int_equal(n, 0);
	}
}

static void test_vq_carries_chains_of_every_shape(void **state)
{
	(void)state;
	for (unsigned l = 0; l < DRIVER_LAYOUTS; l++)
		for (int quiet = 0; quiet < 2; quiet++) {
			struct fixture f;

			up(&f, l, 0);
			f.x->use_quiet = quiet;
			shuffle(&f.t, 100);
			driver_fini(&f.t);
		}
}

static void test_vq_takes_a_packed_ring_of_any_size(void **state)
{
	(void)state;
	for (uint16_t size = 1; size < 12; size++) {
		struct fixture f;

		up(&f, 3, size);
		for (unsigned n = 0; n < 50; n++) {
			char in[4];

			assert_int_equal(driver_request(&f.t, 0, "abcd", 4, in, 4), 4);
			assert_memory_equal(in, "abcd", 4);
		}
		driver_fini(&f.t);
	}
}

static void test_vq_joins_neighbours_and_splits_at_regions(void **state)
{
	struct fixture f;
	struct driver_buf b[3];
	struct vq_chain c;
	struct err e = { 0 };
	uint8_t bytes[16];

	(void)state;
	up(&f, 0, 0);
	assert_int_equal(gmem_add_ram(&f.t.mem, 16 << 20, 1 << 20, GMEM_PAGES_SMALL, &e), 0);
	b[0] = (struct driver_buf){ 0x2000, 8, false };
	b[1] = (struct driver_buf){ 0x2008, 8, false };
	b[2] = (struct driver_buf){ (16 << 20) - 4, 8, true }; /* across two regions */
	driver_add(&f.t, 0, b, 3);
	assert_int_equal(vq_pop(&f.x->d.vq[0], &c), 1);
	assert_int_equal(c.n_in, 1);
	assert_int_equal(c.in_left, 16);
	assert_int_equal(c.out_left, 8);
	assert_int_equal(vq_read(&c, bytes, 17), -ENODATA);
	assert_int_equal(c.in_left, 16);
	assert_int_equal(vq_read(&c, bytes, 16), 0);
	assert_int_equal(vq_write(&f.x->d.vq[0], &c, "12345678", 8), 0);
	assert_int_equal(gmem_read(&f.t.mem, (16 << 20) - 4, bytes, 8), 0);
	assert_memory_equal(bytes, "12345678", 8);
	driver_fini(&f.t);
}

static void test_vq_reads_readonly_memory_but_does_not_write_it(void **state)
{
	(void)state;
	for (int write = 0; write < 2; write++) {
		struct fixture f;
		struct driver_buf b = { 32 << 20, 8, write };
		struct vq_chain c;
		int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

		up(&f, 0, 0);
		assert_int_equal(gmem_add_file(&f.t.mem, 32 << 20, 4096, fd, 0, true, true, false, NULL), 0);
		driver_add(&f.t, 0, &b, 1);
		assert_int_equal(vq_pop(&f.x->d.vq[0], &c), write ? -EPROTO : 1);
		driver_fini(&f.t);
	}
}

static void test_vq_gives_segments_for_vectored_calls(void **state)
{
	struct fixture f;
	struct driver_buf b[6];
	struct iovec iov[4];
	struct vq_chain c;
	size_t len;

	(void)state;
	up(&f, 0, 0);
	for (unsigned k = 0; k < 6; k++)
		b[k] = (struct driver_buf){ 0x2000 + 0x100 * k, 0x10, k >= 3 };
	driver_add(&f.t, 0, b, 6);
	assert_int_equal(vq_pop(&f.x->d.vq[0], &c), 1);
	assert_int_equal(vq_read_iov(&c, iov, 4, 0x18, &len), 2);
	assert_int_equal(len, 0x18);
	assert_int_equal(iov[1].iov_len, 8);
	assert_int_equal(vq_read_iov(&c, iov, 4, 1000, &len), 2);
	assert_int_equal(len, 0x18);
	assert_int_equal(vq_write_iov(&c, iov, 2, 1000, &len), 2); /* no more segments than asked for */
	assert_int_equal(len, 0x20);
	assert_int_equal(c.written, 0x20);
	assert_int_equal(vq_write_last(&f.x->d.vq[0], &c, 7), 0);
	assert_int_equal(c.written, 0x20); /* there is a gap */
	assert_int_equal(vq_write_iov(&c, iov, 4, 15, &len), 1);
	vq_write_last(&f.x->d.vq[0], &c, 7);
	assert_int_equal(c.written, 0x30);
	assert_int_equal(*(uint8_t *)driver_ptr(&f.t, 0x250f, 1), 7);
	driver_fini(&f.t);
}

static void test_vq_has_no_last_byte_in_a_chain_without_bytes(void **state)
{
	static const struct driver_buf none[] = { { 0x2000, 0, true }, { 0x3000, 0, true } };
	static const struct driver_buf in_only[] = { { 0x2000, 0x10, false }, { 0x3000, 0, true } };
	struct fixture f;
	struct vq_chain c;

	(void)state;
	for (unsigned l = 0; l < DRIVER_LAYOUTS; l++)
		for (unsigned k = 0; k < 2; k++) {
			up(&f, l, 0);
			driver_add(&f.t, 0, k ? in_only : none, 2);
			assert_int_equal(vq_pop(&f.x->d.vq[0], &c), 1);
			assert_int_equal(vq_write_last(&f.x->d.vq[0], &c, 7), -ENODATA);
			assert_int_equal(c.written, 0);
			driver_fini(&f.t);
		}
}

static void test_vq_refuses_every_hostile_ring(void **state)
{
	for (unsigned l = 0; l < DRIVER_LAYOUTS; l++)
		for (int kind = 0; kind < HOSTILE_COUNT; kind++) {
			struct fixture f;
			struct vq_chain c;

			(void)state;
			up(&f, l, 0);
			if (driver_hostile(&f.t, 0, kind)) {
				struct vq *q = &f.x->d.vq[0];
				int r = vq_pop(q, &c);

				if (r != -EPROTO)
					print_error("%s: kind %d: want %d got %d\n", driver_layouts[l].name,
						    kind, -EPROTO, r);
				assert_int_equal(r, -EPROTO);
				assert_true(q->broken);
				assert_int_equal(vq_pop(q, &c), -EPROTO); /* now and from now on */
				assert_int_equal(vq_push(q, &c), -EPROTO);
				assert_false(vq_should_interrupt(q));
				assert_false(vq_wake(q));
			}
			driver_fini(&f.t);
		}
}

static struct vdev *make_echo(struct driver *t)
{
	return &echo_new(t, NULL)->d;
}

static void test_vq_hostile_rings_end_in_needs_reset(void **state)
{
	(void)state;
	driver_hostile_all(make_echo, 0, 0);
	driver_hostile_all(make_echo, 1, 0);
}

static void test_vq_refuses_a_bad_layout(void **state)
{
	static const struct {
		bool packed;
		uint16_t size;
		gpa_t desc, avail, used;
		int want;
	} row[] = {
		{ false, 256, 0x1000, 0x3000, 0x4000, 0 },
		{ false, 1, 0x1000, 0x3000, 0x4000, 0 },
		{ false, 0, 0x1000, 0x3000, 0x4000, -EINVAL },
		{ false, 3, 0x1000, 0x3000, 0x4000, -EINVAL },
		{ false, 512, 0x1000, 0x3000, 0x4000, -EINVAL },
		{ false, 32768, 0x1000, 0x3000, 0x4000, -EINVAL },
		{ false, 256, 0x1008, 0x3000, 0x4000, -EINVAL },
		{ false, 256, 0x1000, 0x3001, 0x4000, -EINVAL },
		{ false, 256, 0x1000, 0x3000, 0x4002, -EINVAL },
		{ false, 256, 0x100000, 0x3000, 0x4000, -EFAULT },
		{ false, 256, 0xff010, 0x3000, 0x4000, -EFAULT },
		{ false, 256, 0x1000, 0xffe00, 0x4000, -EFAULT },
		{ false, 256, 0x1000, 0x3000, 0xff800, -EFAULT },
		{ false, 256, 0x1000, 0x3000, UINT64_MAX - 3, -EFAULT },
		{ false, 256, 0x1000, 0x1000, 0x1000, 0 }, /* its own business: nothing is read twice */
		{ true, 255, 0x1000, 0x3000, 0x4000, 0 },
		{ true, 0, 0x1000, 0x3000, 0x4000, -EINVAL },
		{ true, 257, 0x1000, 0x3000, 0x4000, -EINVAL },
		{ true, 256, 0x1004, 0x3000, 0x4000, -EINVAL },
		{ true, 256, 0x1000, 0x3002, 0x4000, -EINVAL },
		{ true, 256, 0x1000, 0x3000, 0x4001, -EINVAL },
		{ true, 256, 0x1000, 0x3000, 0x100000, -EFAULT },
		{ true, 256, 0xff010, 0x3000, 0x4000, -EFAULT },
	};
	struct gmem m = { 0 };

	(void)state;
	assert_int_equal(gmem_add_ram(&m, 0, 1 << 20, GMEM_PAGES_SMALL, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(row); i++) {
		struct vq q = { .mem = &m, .packed = row[i].packed, .size = row[i].size };
		int r;

		q.desc = row[i].desc;
		q.avail = row[i].avail;
		q.used = row[i].used;
		r = vq_enable(&q, NULL);
		if (r != row[i].want)
			print_error("row %zu: want %d got %d\n", i, row[i].want, r);
		assert_int_equal(r, row[i].want);
		assert_int_equal(q.enabled, r == 0);
	}
	gmem_fini(&m);
}

static void test_vq_does_not_look_twice_at_what_the_guest_rewrites(void **state)
{
	(void)state;
	for (unsigned l = 0; l < DRIVER_LAYOUTS; l++) {
		struct fixture f;
		struct driver_buf b[2] = { { 0x2000, 8, false }, { 0x3000, 8, true } };
		struct vq_chain c;
		uint8_t bytes[8];

		up(&f, l, 0);
		memcpy(driver_ptr(&f.t, 0x2000, 8), "12345678", 8);
		driver_add(&f.t, 0, b, 2);
		assert_int_equal(vq_pop(&f.x->d.vq[0], &c), 1);
		/* the whole ring turns into something else under the request */
		memset(f.t.q[0].desc, 0xff, 16UL * f.t.q[0].size);
		memset(driver_ptr(&f.t, f.t.q[0].table_gpa, 4096), 0xff, 4096);
		assert_int_equal(vq_read(&c, bytes, 8), 0);
		assert_memory_equal(bytes, "12345678", 8);
		assert_int_equal(vq_write(&f.x->d.vq[0], &c, bytes, 8), 0);
		assert_memory_equal(driver_ptr(&f.t, 0x3000, 8), "12345678", 8);
		assert_int_equal(vq_push(&f.x->d.vq[0], &c), 0);
		driver_fini(&f.t);
	}
}

static void test_vq_survives_a_used_ring_over_the_descriptors(void **state)
{
	(void)state;
	for (unsigned l = 0; l < DRIVER_LAYOUTS; l++) {
		struct fixture f;
		struct driver_buf b = { 0x2000, 8, true };

		driver_init(&f.t, 16 << 20);
		f.x = echo_new(&f.t, NULL);
		driver_start(&f.t, &f.x->d, driver_layouts[l].features);
		vdev_set_status(&f.x->d, 0);
		vdev_set_status(&f.x->d, 3);
		vdev_set_features(&f.x->d, f.t.features);
		vdev_set_status(&f.x->d, 11);
		f.t.q[0].used_gpa = f.t.q[0].desc_gpa;
		driver_queue_registers(&f.t, 0);
		vdev_set_status(&f.x->d, 15);
		for (unsigned n = 0; n < 300; n++) { /* nonsense comes out of it, and nothing worse */
			if (driver_add(&f.t, 0, &b, 1) < 0)
				f.t.q[0].n_free = f.t.q[0].size;
			driver_kick(&f.t, 0);
		}
		driver_fini(&f.t);
	}
}

static void test_vq_asks_for_kicks_only_when_it_waits(void **state)
{
	(void)state;
	for (unsigned l = 0; l < DRIVER_LAYOUTS; l++) {
		struct fixture f;
		struct driver_buf b = { 0x2000, 8, true };
		unsigned kicks = 0;

		up(&f, l, 0);
		f.x->use_quiet = true;
		driver_kick(&f.t, 0);
		for (unsigned n = 0; n < 2000; n++) {
			assert_true(driver_add(&f.t, 0, &b, 1) >= 0);
			if (driver_should_kick(&f.t, 0)) {
				kicks++;
				driver_kick(&f.t, 0);
				assert_true(driver_has_used(&f.t, 0)); /* none is lost */
			}
			while (driver_used(&f.t, 0, NULL) >= 0)
				;
		}
		assert_int_equal(kicks, 2000); /* idle each time */
		vq_quiet(&f.x->d.vq[0]);       /* busy */
		for (unsigned n = 0; n < 100; n++) {
			driver_add(&f.t, 0, &b, 1);
			if (driver_should_kick(&f.t, 0))
				kicks++;
		}
		assert_in_range(kicks, 2000, 2001); /* split with event-idx: the event may be just ahead */
		assert_true(vq_wake(&f.x->d.vq[0]));
		driver_kick(&f.t, 0);
		for (unsigned n = 0; n < 100; n++)
			assert_true(driver_used(&f.t, 0, NULL) >= 0);
		driver_fini(&f.t);
	}
}

static void test_vq_without_quiet_loses_no_kick_either(void **state)
{
	(void)state;
	for (unsigned l = 0; l < DRIVER_LAYOUTS; l++) {
		struct fixture f;
		struct driver_buf b = { 0x2000, 8, true };

		up(&f, l, 8);
		for (unsigned n = 0; n < 1000; n++) {
			unsigned batch = 1 + n % 7;

			for (unsigned k = 0; k < batch; k++)
				assert_true(driver_add(&f.t, 0, &b, 1) >= 0);
			assert_true(driver_should_kick(&f.t, 0));
			driver_kick(&f.t, 0);
			for (unsigned k = 0; k < batch; k++)
				assert_true(driver_used(&f.t, 0, NULL) >= 0);
		}
		driver_fini(&f.t);
	}
}

static void test_vq_honours_the_drivers_wish_for_interrupts(void **state)
{
	(void)state;
	for (unsigned l = 0; l < DRIVER_LAYOUTS; l++) {
		struct fixture f;
		char in[4];
		unsigned before;

		up(&f, l, 16);
		for (unsigned n = 0; n < 100; n++) {
			driver_quiet(&f.t, 0, false);
			driver_request(&f.t, 0, "abcd", 4, in, 4);
		}
		assert_int_equal(f.t.n_interrupts[0], 100);
		before = f.t.n_interrupts[0];
		for (unsigned n = 0; n < 100; n++) {
			driver_quiet(&f.t, 0, true);
			driver_request(&f.t, 0, "abcd", 4, in, 4);
		}
		assert_int_equal(f.t.n_interrupts[0], before);
		assert_int_equal(f.x->d.vq[0].n_suppressed, 100);
		driver_kick(&f.t, 0); /* nothing was pushed: nothing to tell */
		driver_quiet(&f.t, 0, false);
		driver_kick(&f.t, 0);
		assert_int_equal(f.t.n_interrupts[0], before);
		driver_fini(&f.t);
	}
}

static void test_vq_puts_chains_back(void **state)
{
	(void)state;
	for (unsigned l = 0; l < DRIVER_LAYOUTS; l++)
		for (unsigned before = 0; before < 9;
		     before++) { /* so that each place of the ring has its turn */
			struct fixture f;
			struct driver_buf b[3] = { { 0x2000, 8, false },
						   { 0x3000, 8, true },
						   { 0x4000, 8, true } };
			struct vq_chain c[2], again;
			struct vq *q;
			char in[4];

			up(&f, l, 8);
			for (unsigned n = 0; n < before; n++)
				driver_request(&f.t, 0, "abcd", 4, in, 4);
			q = &f.x->d.vq[0];
			driver_add(&f.t, 0, b, 3);
			driver_add(&f.t, 0, b, 2);
			assert_int_equal(vq_pop(q, &c[0]), 1);
			assert_int_equal(vq_pop(q, &c[1]), 1);
			assert_int_equal(vq_pop(q, &again), 0);
			driver_should_kick(&f.t, 0);
			vq_undo(q, &c[1]);
			vq_undo(q, &c[0]);
			assert_false(vq_wake(q)); /* those are no news */
			driver_add(&f.t, 0, b, 2);
			assert_true(driver_should_kick(&f.t, 0)); /* that is */
			assert_true(vq_wake(q));
			/* stopped before the end: what waits behind is no news either, the worker would turn for ever */
			assert_int_equal(vq_pop(q, &again), 1);
			vq_undo(q, &again);
			assert_false(vq_wake(q));
			for (unsigned n = 0; n < 3; n++) {
				assert_int_equal(vq_pop(q, &again), 1);
				if (n < 2)
					assert_int_equal(again.head, c[n].head);
				assert_int_equal(again.out_left, n == 0 ? 16 : 8);
				assert_int_equal(vq_push(q, &again), 0);
				assert_true(driver_used(&f.t, 0, NULL) >= 0);
			}
			driver_fini(&f.t);
		}
}

static void test_vq_marks_what_it_writes(void **state)
{
	(void)state;
	for (unsigned l = 0; l < DRIVER_LAYOUTS; l++) {
		struct fixture f;
		struct driver_buf b[3] = { { 0x2000, 8, false },
					   { 0x300ffc, 8, true },
					   { 0x500000, 64, true } };
		uint64_t bits[64] = { 0 };

		up(&f, l, 0);
		assert_int_equal(gmem_track(&f.t.mem, NULL), 0);
		driver_add(&f.t, 0, b, 3);
		driver_kick(&f.t, 0);
		gmem_dirty_take(&f.t.mem, 0, bits);
		assert_true(bits[0x300 / 64] & 1);
		assert_true(bits[0x301 / 64] & 2);
		assert_true(bits[0x500 / 64] & 1); /* where a status would be */
		assert_false(bits[0] & 4);
		/* and the ring */
		if (f.t.packed)
			assert_true(bits[(f.t.q[0].desc_gpa >> 12) / 64] >> (f.t.q[0].desc_gpa >> 12) % 64 &
				    1);
		else
			assert_true(bits[(f.t.q[0].used_gpa >> 12) / 64] >> (f.t.q[0].used_gpa >> 12) % 64 &
				    1);
		driver_fini(&f.t);
	}
}

static void save(struct vq *q, struct buf *b)
{
	struct record_out o = { .to = b };

	vq_save(q, &o);
	assert_int_equal(buf_finish(b), 0);
}

static void test_vq_goes_on_after_save_and_restore(void **state)
{
	(void)state;
	for (unsigned l = 0; l < DRIVER_LAYOUTS; l++)
		for (unsigned before = 0; before < 20; before++) {
			struct fixture f;
			struct buf b = { 0 };
			struct record_in in;
			struct err e = { 0 };
			char got[4];

			up(&f, l, 8);
			for (unsigned n = 0; n < before; n++)
				driver_request(&f.t, 0, "abcd", 4, got, 4);
			save(&f.x->d.vq[0], &b);
			vq_reset(&f.x->d.vq[0]);
			record_init(&in, b.data, b.len, &e);
			vq_restore(&f.x->d.vq[0], &in);
			if (record_finish(&in) < 0)
				print_error("%s\n", e.text);
			assert_int_equal(record_finish(&in), 0);
			for (unsigned n = 0; n < 20; n++)
				assert_int_equal(driver_request(&f.t, 0, "abcd", 4, got, 4), 4);
			buf_fini(&b);
			driver_fini(&f.t);
		}
}

static void test_vq_refuses_impossible_saved_state(void **state)
{
	(void)state;
	for (unsigned l = 0; l < DRIVER_LAYOUTS; l++)
		for (int how = 0; how < 5; how++) {
			struct fixture f;
			struct vq bad, q;
			struct buf b = { 0 };
			struct record_in in;
			struct err e = { 0 };

			up(&f, l, 8);
			bad = f.x->d.vq[0];
			switch (how) {
			case 0: bad.size = 257; break;
			case 1: bad.desc = 1ULL << 40; break;
			case 2: bad.used++; break;
			case 3: bad.next_avail = 9; break;
			default: bad.next_used = 100; break;
			}
			save(&bad, &b);
			q = (struct vq){ .mem = &f.t.mem };
			record_init(&in, b.data, b.len, &e);
			vq_restore(&q, &in);
			assert_int_equal(record_finish(&in), -EBADMSG);
			assert_false(q.enabled);
			buf_fini(&b);
			driver_fini(&f.t);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vq_carries_chains_around_the_ring_many_times),
		cmocka_unit_test(test_vq_carries_chains_of_every_shape),
		cmocka_unit_test(test_vq_takes_a_packed_ring_of_any_size),
		cmocka_unit_test(test_vq_joins_neighbours_and_splits_at_regions),
		cmocka_unit_test(test_vq_reads_readonly_memory_but_does_not_write_it),
		cmocka_unit_test(test_vq_gives_segments_for_vectored_calls),
		cmocka_unit_test(test_vq_has_no_last_byte_in_a_chain_without_bytes),
		cmocka_unit_test(test_vq_refuses_every_hostile_ring),
		cmocka_unit_test(test_vq_hostile_rings_end_in_needs_reset),
		cmocka_unit_test(test_vq_refuses_a_bad_layout),
		cmocka_unit_test(test_vq_does_not_look_twice_at_what_the_guest_rewrites),
		cmocka_unit_test(test_vq_survives_a_used_ring_over_the_descriptors),
		cmocka_unit_test(test_vq_asks_for_kicks_only_when_it_waits),
		cmocka_unit_test(test_vq_without_quiet_loses_no_kick_either),
		cmocka_unit_test(test_vq_honours_the_drivers_wish_for_interrupts),
		cmocka_unit_test(test_vq_puts_chains_back),
		cmocka_unit_test(test_vq_marks_what_it_writes),
		cmocka_unit_test(test_vq_goes_on_after_save_and_restore),
		cmocka_unit_test(test_vq_refuses_impossible_saved_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
