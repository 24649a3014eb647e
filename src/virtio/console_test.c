/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/console.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/guard.h"
#include "virtio/driver_testing.h"

enum { RXQ, TXQ };

struct world {
	struct driver t;
	struct loop loop;
	int in[2], out[2]; /* pipes; the device has in[0] and out[1] */
};

static struct vdev *device(struct world *w, int in, int out)
{
	struct console_config c = { .in_fd = in, .out_fd = out, .cols = 80, .rows = 25 };
	struct vdev *d = NULL;

	assert_int_equal(console_new(&d, &c, &w->t.mem, &w->loop, NULL), 0);
	return d;
}

static void begin(struct world *w)
{
	memset(w, 0, sizeof(*w));
	w->loop.epfd = -1;
	assert_int_equal(loop_init(&w->loop), 0);
	assert_int_equal(pipe2(w->in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(w->out, O_CLOEXEC), 0);
	driver_init(&w->t, 4 << 20);
}

static void end(struct world *w)
{
	driver_fini(&w->t);
	loop_fini(&w->loop);
	for (int i = 0; i < 2; i++) {
		fd_close(&w->in[i]);
		fd_close(&w->out[i]);
	}
}

static void test_output_and_input_pass_on_every_layout(void **state)
{
	(void)state;
	for (unsigned l = 0; l < DRIVER_LAYOUTS; l++) {
		struct world w;
		char got[16] = { 0 };

		begin(&w);
		driver_start(&w.t, device(&w, w.in[0], w.out[1]), driver_layouts[l].features);
		assert_int_equal(driver_request(&w.t, TXQ, "hello", 5, NULL, 0), 0);
		assert_int_equal(read(w.out[0], got, sizeof(got)), 5);
		assert_string_equal(got, "hello");
		assert_int_equal(write(w.in[1], "typed", 5), 5);
		memset(got, 0, sizeof(got));
		assert_int_equal(driver_request(&w.t, RXQ, NULL, 0, got, sizeof(got)), 5);
		assert_string_equal(got, "typed");
		end(&w);
	}
}

static void test_the_descriptors_flags_stay_as_they_are(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	driver_start(&w.t, device(&w, w.in[0], w.out[1]), 0);
	assert_int_equal(driver_request(&w.t, TXQ, "x", 1, NULL, 0), 0);
	assert_false(fcntl(w.out[1], F_GETFL) & O_NONBLOCK);
	assert_false(fcntl(w.in[0], F_GETFL) & O_NONBLOCK);
	end(&w);
}

static void test_input_that_comes_before_the_guest_has_room_waits(void **state)
{
	struct world w;
	char got[4] = { 0 };

	(void)state;
	begin(&w);
	assert_int_equal(write(w.in[1], "abcdef", 6), 6);
	driver_start(&w.t, device(&w, w.in[0], w.out[1]), 0);
	driver_wait(&w.t, RXQ, 5);
	assert_int_equal(driver_request(&w.t, RXQ, NULL, 0, got, 3), 3);
	assert_memory_equal(got, "abc", 3);
	assert_int_equal(driver_request(&w.t, RXQ, NULL, 0, got, 3), 3);
	assert_memory_equal(got, "def", 3);
	end(&w);
}

/* slow_reader() - a full pipe stops the guest, and nothing is lost or doubled when it drains in odd steps */
static void slow_reader(struct world *w, int reader, unsigned n)
{
	static uint8_t block[10000], got[7001];
	size_t total = 0, taken = 0;
	gpa_t at = driver_put(&w->t, block, sizeof(block));

	for (size_t i = 0; i < sizeof(block); i++)
		((uint8_t *)driver_ptr(&w->t, at, sizeof(block)))[i] = block[i] = (uint8_t)(i * 31 >> 3);
	for (unsigned i = 0; i < n; i++) {
		struct driver_buf b[3] = { { at, 1, false },
					   { at + 1, 4095, false },
					   { at + 4096, 5904, false } };

		assert_true(driver_add(&w->t, TXQ, b, 3) >= 0);
	}
	driver_kick(&w->t, TXQ);
	while (driver_used(&w->t, TXQ, NULL) >= 0)
		taken++;
	assert_true(taken < n); /* the pipe is full */
	while (total < sizeof(block) * n) {
		struct pollfd p = { .fd = reader, .events = POLLIN };
		ssize_t r;

		if (poll(&p, 1, 0) == 0) {
			driver_wait(&w->t, TXQ, 2);
			while (driver_used(&w->t, TXQ, NULL) >= 0)
				taken++;
			continue;
		}
		r = read(reader, got, sizeof(got));
		assert_true(r > 0);
		for (ssize_t k = 0; k < r; k++)
			assert_int_equal(got[k], block[(total + (size_t)k) % sizeof(block)]);
		total += (size_t)r;
	}
	driver_wait(&w->t, TXQ, 2);
	while (driver_used(&w->t, TXQ, NULL) >= 0)
		taken++;
	assert_int_equal(taken, n);
}

static void test_a_full_pipe_stops_the_guest_and_loses_nothing(void **state)
{
	(void)state;
	for (unsigned l = 0; l < DRIVER_LAYOUTS; l++) {
		struct world w;

		begin(&w);
		driver_start(&w.t, device(&w, w.in[0], w.out[1]), driver_layouts[l].features);
		slow_reader(&w, w.out[0], 40);
		end(&w);
	}
}

static void test_a_full_socket_stops_the_guest_and_loses_nothing(void **state)
{
	struct world w;
	char got[8];
	int s[2];

	(void)state;
	begin(&w);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s), 0);
	driver_start(&w.t, device(&w, s[0], s[0]), 0);
	slow_reader(&w, s[1], 60);
	assert_int_equal(write(s[1], "in", 2), 2);
	assert_int_equal(driver_request(&w.t, RXQ, NULL, 0, got, sizeof(got)), 2);
	close(s[0]);
	close(s[1]);
	end(&w);
}

static void test_a_reader_that_leaves_does_not_stop_the_guest(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	driver_start(&w.t, device(&w, w.in[0], w.out[1]), 0);
	fd_close(&w.out[0]);
	for (int i = 0; i < 300; i++)
		assert_int_equal(driver_request(&w.t, TXQ, "lost", 4, NULL, 0), 0);
	end(&w);
}

static void test_the_end_of_input_is_quiet(void **state)
{
	struct world w;
	struct driver_buf b;

	(void)state;
	begin(&w);
	driver_start(&w.t, device(&w, w.in[0], w.out[1]), 0);
	b = (struct driver_buf){ driver_alloc(&w.t, 64, 8), 64, true };
	assert_true(driver_add(&w.t, RXQ, &b, 1) >= 0);
	driver_kick(&w.t, RXQ);
	assert_int_equal(write(w.in[1], "z", 1), 1);
	fd_close(&w.in[1]);
	assert_true(driver_wait(&w.t, RXQ, 500));
	assert_true(driver_used(&w.t, RXQ, NULL) >= 0);
	assert_true(driver_add(&w.t, RXQ, &b, 1) >= 0);
	driver_kick(&w.t, RXQ);
	assert_false(driver_wait(&w.t, RXQ, 10));
	assert_int_equal(driver_request(&w.t, TXQ, "on", 2, NULL, 0), 0);
	end(&w);
}

static void test_a_file_and_dev_null_serve_as_input(void **state)
{
	struct world w;
	char got[8] = { 0 };
	FILE *f = tmpfile();
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)state;
	assert_non_null(f);
	assert_true(fputs("file", f) >= 0 && fflush(f) == 0);
	rewind(f);
	begin(&w);
	driver_start(&w.t, device(&w, fileno(f), null), 0);
	assert_int_equal(driver_request(&w.t, RXQ, NULL, 0, got, sizeof(got)), 4);
	assert_string_equal(got, "file");
	assert_int_equal(driver_request(&w.t, TXQ, "gone", 4, NULL, 0), 0);
	end(&w);
	fclose(f);
	close(null);
}

static void test_the_size_is_told_and_its_changes(void **state)
{
	struct world w;
	uint16_t size[2];
	unsigned before;

	(void)state;
	begin(&w);
	driver_start(&w.t, device(&w, -1, -1), 1);
	vdev_config_read(w.t.d, 0, size, sizeof(size));
	assert_int_equal(size[0], 80);
	assert_int_equal(size[1], 25);
	before = w.t.n_config;
	console_resize(w.t.d, 80, 25);
	assert_int_equal(w.t.n_config, before);
	console_resize(w.t.d, 132, 50);
	assert_int_equal(w.t.n_config, before + 1);
	vdev_config_read(w.t.d, 0, size, sizeof(size));
	assert_int_equal(size[0], 132);
	assert_int_equal(driver_request(&w.t, TXQ, "nobody", 6, NULL, 0), 0);
	end(&w);
}

static void test_the_emergency_register_prints_before_there_are_queues(void **state)
{
	struct world w;
	char c = 0;

	(void)state;
	begin(&w);
	w.t.d = device(&w, w.in[0], w.out[1]);
	vdev_set_status(w.t.d, VDEV_S_ACKNOWLEDGE);
	vdev_set_status(w.t.d, VDEV_S_ACKNOWLEDGE | VDEV_S_DRIVER);
	vdev_config_write(w.t.d, 8, "!\0\0\0", 4);
	assert_int_equal(read(w.out[0], &c, 1), 1);
	assert_int_equal(c, '!');
	vdev_config_write(w.t.d, 0, "xxxx", 4);
	vdev_config_write(w.t.d, 0xffffff00, "xxxx", 4);
	assert_int_equal(w.t.d->n_ignored, 2);
	end(&w);
}

static void test_a_snapshot_goes_on_in_the_middle_of_a_chain(void **state)
{
	static uint8_t block[100000], got[100000];
	struct world w;
	struct err e = { 0 };
	struct driver_buf b;
	size_t n = 0;

	(void)state;
	begin(&w);
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = (uint8_t)(i * 13 >> 4);
	driver_start(&w.t, device(&w, w.in[0], w.out[1]), 0);
	b = (struct driver_buf){ driver_put(&w.t, block, sizeof(block)), sizeof(block), false };
	assert_true(driver_add(&w.t, TXQ, &b, 1) >= 0);
	driver_kick(&w.t, TXQ);
	assert_false(driver_has_used(&w.t, TXQ));
	assert_int_equal(driver_move(&w.t, device(&w, w.in[0], w.out[1]), &e), 0);
	while (n < sizeof(got)) {
		ssize_t r = read(w.out[0], got + n, sizeof(got) - n);

		assert_true(r > 0);
		n += (size_t)r;
		driver_wait(&w.t, TXQ, 5);
	}
	assert_memory_equal(got, block, sizeof(got));
	assert_true(driver_used(&w.t, TXQ, NULL) >= 0);
	end(&w);
}

static struct loop hostile_loop = { .epfd = -1 };
static int hostile_in = -1;

static struct vdev *hostile_make(struct driver *t)
{
	struct console_config c = { .in_fd = hostile_in, .out_fd = -1 };
	struct vdev *d = NULL;

	BUG_ON(console_new(&d, &c, &t->mem, &hostile_loop, NULL) < 0);
	return d;
}

static void test_broken_rings_need_a_reset_and_work_after_it(void **state)
{
	int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);

	(void)state;
	assert_int_equal(loop_init(&hostile_loop), 0);
	hostile_in = zero;
	driver_hostile_all(hostile_make, TXQ, 0);
	driver_hostile_all(hostile_make, RXQ, 0);
	loop_fini(&hostile_loop);
	close(zero);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_output_and_input_pass_on_every_layout),
		cmocka_unit_test(test_the_descriptors_flags_stay_as_they_are),
		cmocka_unit_test(test_input_that_comes_before_the_guest_has_room_waits),
		cmocka_unit_test(test_a_full_pipe_stops_the_guest_and_loses_nothing),
		cmocka_unit_test(test_a_full_socket_stops_the_guest_and_loses_nothing),
		cmocka_unit_test(test_a_reader_that_leaves_does_not_stop_the_guest),
		cmocka_unit_test(test_the_end_of_input_is_quiet),
		cmocka_unit_test(test_a_file_and_dev_null_serve_as_input),
		cmocka_unit_test(test_the_size_is_told_and_its_changes),
		cmocka_unit_test(test_the_emergency_register_prints_before_there_are_queues),
		cmocka_unit_test(test_a_snapshot_goes_on_in_the_middle_of_a_chain),
		cmocka_unit_test(test_broken_rings_need_a_reset_and_work_after_it),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
