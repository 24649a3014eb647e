/* SPDX-License-Identifier: Apache-2.0 */
#include "io/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

struct world {
	struct loop loop;
	struct loop_source a, b;
	struct loop_timer first, second, off;
	int calls, order[4], n;
};

static void remove_both(void *arg, uint32_t events)
{
	struct world *w = arg;

	(void)events;
	w->calls++;
	loop_remove(&w->loop, &w->a);
	loop_remove(&w->loop, &w->b);
}

static void on_first(void *arg)
{
	struct world *w = arg;

	w->order[w->n++] = 1;
}

static void on_second(void *arg)
{
	struct world *w = arg;

	w->order[w->n++] = 2;
	w->loop.stop = true;
}

static void test_loop_does_not_serve_a_source_removed_in_the_same_batch(void **state)
{
	struct world w = { .loop.epfd = -1 };
	int p[2], q[2];

	(void)state;
	assert_int_equal(loop_init(&w.loop), 0);
	assert_int_equal(pipe(p), 0);
	assert_int_equal(pipe(q), 0);
	assert_int_equal(write(p[1], "x", 1) + write(q[1], "x", 1), 2);
	w.a = (struct loop_source){ .ready = remove_both, .arg = &w };
	w.b = w.a;
	assert_int_equal(loop_add(&w.loop, &w.a, p[0], EPOLLIN), 0);
	assert_int_equal(loop_add(&w.loop, &w.b, q[0], EPOLLIN), 0);
	w.second = (struct loop_timer){ .fire = on_second, .arg = &w };
	loop_timer_set(&w.loop, &w.second, 20 * NSEC_PER_MSEC);
	assert_int_equal(loop_run(&w.loop), 0);
	assert_int_equal(w.calls, 1);
	loop_fini(&w.loop);
	for (int i = 0; i < 2; i++) {
		close(p[i]);
		close(q[i]);
	}
}

static void test_loop_fires_timers_in_order_and_not_those_turned_off(void **state)
{
	struct world w = { .loop.epfd = -1 };
	nsec_t start = time_now_ns(CLOCK_MONOTONIC);

	(void)state;
	assert_int_equal(loop_init(&w.loop), 0);
	w.first = (struct loop_timer){ .fire = on_first, .arg = &w };
	w.second = (struct loop_timer){ .fire = on_second, .arg = &w };
	w.off = (struct loop_timer){ .fire = on_first, .arg = &w };
	loop_timer_set(&w.loop, &w.second, 30 * NSEC_PER_MSEC);
	loop_timer_set(&w.loop, &w.first, 10 * NSEC_PER_MSEC);
	loop_timer_set(&w.loop, &w.off, 5 * NSEC_PER_MSEC);
	loop_timer_off(&w.loop, &w.off);
	assert_int_equal(loop_run(&w.loop), 0);
	assert_int_equal(w.n, 2);
	assert_int_equal(w.order[0], 1);
	assert_int_equal(w.order[1], 2);
	assert_true(time_now_ns(CLOCK_MONOTONIC) - start >= 30 * NSEC_PER_MSEC);
	loop_fini(&w.loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_loop_does_not_serve_a_source_removed_in_the_same_batch),
		cmocka_unit_test(test_loop_fires_timers_in_order_and_not_those_turned_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
