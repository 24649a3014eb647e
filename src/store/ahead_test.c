/* SPDX-License-Identifier: Apache-2.0 */
#include "store/ahead.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"

enum { RUN_MAX = 3 * AHEAD_SLOT_BYTES };

/* Counting bytes, in runs of uneven length; fails or ends behind @total. */
struct counter {
	uint8_t bytes[RUN_MAX];
	size_t at, total;
	bool fails;
};

static ssize_t next(void *arg, const uint8_t **ret, struct err *e)
{
	struct counter *c = arg;
	size_t n = 1 + (c->at * 7919) % (RUN_MAX - 1);

	if (c->at == c->total)
		return c->fails ? err_set(e, EBADMSG, "it broke at %zu", c->at) : 0;
	n = n < c->total - c->at ? n : c->total - c->at;
	for (size_t i = 0; i < n; i++)
		c->bytes[i] = (uint8_t)((c->at + i) * 31 >> 3);
	c->at += n;
	*ret = c->bytes;
	return (ssize_t)n;
}

static void read_it(struct ahead *a, size_t total, ssize_t want, struct err *e)
{
	struct source s = ahead_source(a);
	const uint8_t *p;
	size_t at = 0;
	ssize_t n;

	while ((n = s.next(s.arg, &p, e)) > 0) {
		for (ssize_t i = 0; i < n; i++, at++)
			if (p[i] != (uint8_t)(at * 31 >> 3))
				fail_msg("byte %zu is wrong", at);
	}
	assert_int_equal(n, want);
	assert_int_equal(at, total);
	assert_int_equal(s.next(s.arg, &p, e), want); /* the end stays the end */
}

static void test_ahead_gives_the_same_bytes_in_order(void **state)
{
	struct counter *c = calloc(1, sizeof(*c));
	struct ahead *a;

	(void)state;
	for (c->total = 0; c->total < 40u << 20; c->total = 5 * c->total + 4097) {
		c->at = 0;
		a = ahead_new(&(struct source){ next, c });
		assert_non_null(a);
		read_it(a, c->total, 0, NULL);
		ahead_free(a);
	}
	free(c);
}

static void test_ahead_hands_on_a_failure_behind_what_came_before(void **state)
{
	struct counter *c = calloc(1, sizeof(*c));
	struct err e = { 0 };
	struct ahead *a;

	(void)state;
	c->total = 5000000;
	c->fails = true;
	a = ahead_new(&(struct source){ next, c });
	assert_non_null(a);
	read_it(a, c->total, -EBADMSG, &e);
	assert_string_equal(e.text, "it broke at 5000000");
	ahead_free(a);
	free(c);
}

static void test_ahead_stops_when_nobody_reads_on(void **state)
{
	struct counter *c = calloc(1, sizeof(*c));
	struct source s;
	const uint8_t *p;
	struct ahead *a;

	(void)state;
	c->total = SIZE_MAX;
	for (int reads = 0; reads < 10; reads++) {
		c->at = 0;
		a = ahead_new(&(struct source){ next, c });
		assert_non_null(a);
		s = ahead_source(a);
		for (int i = 0; i < reads; i++)
			assert_true(s.next(s.arg, &p, NULL) > 0);
		ahead_free(a);
	}
	free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ahead_gives_the_same_bytes_in_order),
		cmocka_unit_test(test_ahead_hands_on_a_failure_behind_what_came_before),
		cmocka_unit_test(test_ahead_stops_when_nobody_reads_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
