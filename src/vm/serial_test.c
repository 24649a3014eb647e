/* SPDX-License-Identifier: Apache-2.0 */
#include "vm/serial.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "fmt/record.h"
#include "io/loop.h"

enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCRATCH };

struct world {
	struct loop loop;
	struct loop_timer end;
	struct serial *s;
	int in[2], out[2]; /* pipes: [0] is read from */
	unsigned edges;
	bool level;
};

static void on_irq(void *arg, bool level)
{
	struct world *w = arg;

	w->edges += level && !w->level;
	w->level = level;
}

static void on_end(void *arg)
{
	struct world *w = arg;

	w->loop.stop = true;
}

static void world_open(struct world *w, const struct limiter_config *limit)
{
	struct serial_config c = { .loop = &w->loop, .irq = on_irq, .irq_arg = w };

	*w = (struct world){ .loop.epfd = -1, .end = { .fire = on_end, .arg = w } };
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(loop_init(&w->loop), 0);
	assert_int_equal(pipe2(w->in, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(pipe2(w->out, O_CLOEXEC | O_NONBLOCK), 0);
	c.in_fd = w->in[0];
	c.out_fd = w->out[1];
	if (limit)
		c.limit = *limit;
	assert_int_equal(serial_new(&w->s, &c, NULL), 0);
}

static void world_close(struct world *w)
{
	serial_free(w->s);
	for (int i = 0; i < 2; i++) {
		fd_close(&w->in[i]);
		fd_close(&w->out[i]);
	}
	loop_fini(&w->loop);
}

/* run() - the loop, for so long that everything it has to do is done. */
static void run(struct world *w)
{
	w->loop.stop = false;
	loop_timer_set(&w->loop, &w->end, 10 * NSEC_PER_MSEC);
	assert_int_equal(loop_run(&w->loop), 0);
}

static uint8_t in(struct world *w, unsigned reg)
{
	uint8_t v = 0xee;

	serial_bus.read(w->s, reg, &v, 1);
	return v;
}

static void out(struct world *w, unsigned reg, uint8_t v)
{
	serial_bus.write(w->s, reg, &v, 1);
}

static void check_out(struct world *w, const char *want)
{
	char got[256] = "";
	ssize_t n = read(w->out[0], got, sizeof(got) - 1);

	assert_int_equal(n < 0 ? 0 : n, strlen(want)); /* an empty pipe is -1, EAGAIN */
	assert_string_equal(got, want);
}

static void test_what_the_guest_transmits_comes_out(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, NULL);
	for (const char *p = "hello"; *p; p++) {
		assert_int_equal(in(&w, LSR), 0x60);
		out(&w, DATA, (uint8_t)*p);
	}
	run(&w);
	check_out(&w, "hello");
	out(&w, DATA, '!');
	serial_flush(w.s, 100); /* without the loop */
	check_out(&w, "!");
	world_close(&w);
}

static void test_what_is_typed_is_received_with_an_interrupt(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, NULL);
	out(&w, IER, 1);
	assert_int_equal(write(w.in[1], "ab", 2), 2);
	run(&w);
	assert_true(w.level && w.edges == 1);
	assert_int_equal(in(&w, IIR) & 15, 4);
	assert_int_equal(in(&w, LSR), 0x61);
	assert_int_equal(in(&w, DATA), 'a');
	assert_true(w.level);
	assert_int_equal(in(&w, DATA), 'b');
	assert_false(w.level);
	assert_int_equal(in(&w, IIR) & 15, 1);
	assert_int_equal(in(&w, DATA), 0);
	world_close(&w);
}

static void test_input_waits_in_the_descriptor_until_there_is_room(void **state)
{
	char typed[1000];
	struct world w;

	(void)state;
	for (size_t i = 0; i < sizeof(typed); i++)
		typed[i] = (char)i;
	world_open(&w, NULL);
	assert_int_equal(write(w.in[1], typed, sizeof(typed)), sizeof(typed));
	fd_close(&w.in[1]); /* and its end, behind a full ring, must not make the loop spin */
	for (size_t i = 0; i < sizeof(typed); i++) {
		if (!(in(&w, LSR) & 1))
			run(&w);
		assert_int_equal(in(&w, DATA), (uint8_t)typed[i]);
	}
	run(&w);
	assert_int_equal(in(&w, LSR), 0x60);
	world_close(&w);
}

static void test_an_empty_transmitter_interrupts_again_after_each_byte(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, NULL);
	out(&w, IER, 2);
	assert_true(w.level && w.edges == 1);
	assert_int_equal(in(&w, IIR) & 15, 2);
	assert_false(w.level); /* reading it is the acknowledgement */
	out(&w, DATA, 'x');
	assert_true(w.level && w.edges == 2);
	out(&w, DATA, 'y'); /* without having looked: still an edge */
	assert_true(w.level && w.edges == 3);
	world_close(&w);
}

static void test_a_reader_that_stalls_stops_the_transmitter_and_loses_only_what_did_not_wait(void **state)
{
	char drain[4096];
	unsigned sent = 0, got = 0;
	ssize_t n;
	struct world w;

	(void)state;
	world_open(&w, NULL);
	for (int round = 0; round < 100; round++) {
		while ((in(&w, LSR) & 0x20) && sent < 200000) {
			out(&w, DATA, 'z');
			sent++;
		}
		run(&w);
		if (!(in(&w, LSR) & 0x20))
			break;
	}
	assert_true(sent > SERIAL_OUT_MAX && sent < 200000);
	assert_int_equal(serial_dropped(w.s), 0);
	out(&w, DATA, 'z');
	assert_int_equal(serial_dropped(w.s), 1);
	for (int round = 0; round < 50; round++) {
		while ((n = read(w.out[0], drain, sizeof(drain))) > 0)
			got += (unsigned)n;
		run(&w);
	}
	assert_int_equal(got, sent);
	assert_int_equal(in(&w, LSR), 0x60);
	world_close(&w);
}

static void test_a_limit_drops_and_counts_what_is_over_it(void **state)
{
	const struct limiter_config limit = { .bytes = { .size = 10, .refill_ms = 100000 } };
	struct world w;

	(void)state;
	world_open(&w, &limit);
	for (int i = 0; i < 25; i++)
		out(&w, DATA, 'q');
	run(&w);
	check_out(&w, "qqqqqqqqqq");
	assert_int_equal(serial_dropped(w.s), 15);
	world_close(&w);
}

static void test_a_driver_finds_divisor_scratch_and_loop_back(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, NULL);
	out(&w, LCR, 0x83);
	out(&w, DATA, 0x0c);
	out(&w, IER, 0x01);
	assert_true(in(&w, DATA) == 0x0c && in(&w, IER) == 0x01);
	out(&w, LCR, 0x03);
	assert_int_equal(in(&w, IER), 0);
	out(&w, SCRATCH, 0xa5);
	assert_int_equal(in(&w, SCRATCH), 0xa5);
	out(&w, IIR, 1);
	assert_int_equal(in(&w, IIR), 0xc1);
	assert_int_equal(in(&w, MSR), 0xb0);
	out(&w, MCR, 0x1a); /* loop-back, OUT2, RTS */
	assert_int_equal(in(&w, MSR) & 0xf0, 0x90);
	out(&w, DATA, 'L');
	assert_int_equal(in(&w, DATA), 'L');
	run(&w);
	check_out(&w, "");
	world_close(&w);
}

static void test_odd_accesses_change_nothing(void **state)
{
	uint64_t v = ~0ULL;
	struct world w;

	(void)state;
	world_open(&w, NULL);
	serial_bus.read(w.s, 0, &v, 8);
	assert_true(v == ~0ULL);
	serial_bus.write(w.s, 0, &v, 4);
	run(&w);
	check_out(&w, "");
	world_close(&w);
}

static void test_a_reader_that_is_gone_costs_nothing(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, NULL);
	fd_close(&w.out[0]);
	for (int i = 0; i < 3 * SERIAL_OUT_MAX; i++) {
		out(&w, DATA, 'x');
		if (i % SERIAL_OUT_MAX == 0)
			run(&w);
	}
	run(&w);
	serial_flush(w.s, 100);
	assert_int_equal(in(&w, LSR), 0x60);
	world_close(&w);
}

static void test_a_snapshot_keeps_registers_and_input(void **state)
{
	struct buf saved = { 0 };
	struct record_out o = { .to = &saved };
	struct record_in r;
	struct err e = { 0 };
	struct world a, b;

	(void)state;
	world_open(&a, NULL);
	world_open(&b, NULL);
	out(&a, IER, 5);
	out(&a, SCRATCH, 0x77);
	assert_int_equal(write(a.in[1], "in", 2), 2);
	run(&a);
	serial_save(a.s, &o);
	record_init(&r, saved.data, saved.len, &e);
	serial_restore(b.s, &r);
	if (record_finish(&r) < 0)
		fail_msg("%s", e.text);
	assert_true(in(&b, IER) == 5 && in(&b, SCRATCH) == 0x77);
	assert_int_equal(in(&b, DATA), 'i');
	assert_int_equal(in(&b, DATA), 'n');
	for (size_t cut = 0; cut < saved.len; cut++) {
		record_init(&r, saved.data, cut, &e);
		serial_restore(b.s, &r);
		assert_true(record_finish(&r) < 0);
	}
	world_close(&a);
	world_close(&b);
	buf_fini(&saved);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_the_guest_transmits_comes_out),
		cmocka_unit_test(test_what_is_typed_is_received_with_an_interrupt),
		cmocka_unit_test(test_input_waits_in_the_descriptor_until_there_is_room),
		cmocka_unit_test(test_an_empty_transmitter_interrupts_again_after_each_byte),
		cmocka_unit_test(
			test_a_reader_that_stalls_stops_the_transmitter_and_loses_only_what_did_not_wait),
		cmocka_unit_test(test_a_limit_drops_and_counts_what_is_over_it),
		cmocka_unit_test(test_a_driver_finds_divisor_scratch_and_loop_back),
		cmocka_unit_test(test_odd_accesses_change_nothing),
		cmocka_unit_test(test_a_reader_that_is_gone_costs_nothing),
		cmocka_unit_test(test_a_snapshot_keeps_registers_and_input),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
