/* SPDX-License-Identifier: Apache-2.0 */
#include "vm/bus.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"

struct seen {
	uint64_t off;
	unsigned len, reads, writes;
};

static void seen_read(void *arg, uint64_t off, void *dst, unsigned len)
{
	struct seen *s = arg;

	s->off = off;
	s->len = len;
	s->reads++;
	memset(dst, 0x11, len);
}

static void seen_write(void *arg, uint64_t off, const void *src, unsigned len)
{
	struct seen *s = arg;

	(void)src;
	s->off = off;
	s->len = len;
	s->writes++;
}

static const struct bus_ops both = { .name = "both", .read = seen_read, .write = seen_write };
static const struct bus_ops mute = { .name = "mute" };

static void test_an_access_reaches_the_range_that_holds_it_with_its_offset(void **state)
{
	struct bus b = { 0 };
	struct seen low = { 0 }, high = { 0 };
	uint8_t data[8];

	(void)state;
	assert_int_equal(bus_add(&b, 0x2000, 0x100, &both, &high, NULL), 0);
	assert_int_equal(bus_add(&b, 0x1000, 0x10, &both, &low, NULL), 0);
	bus_read(&b, 0x100c, data, 4);
	assert_true(low.off == 12 && low.len == 4 && low.reads == 1 && data[3] == 0x11);
	bus_write(&b, 0x20f8, data, 8);
	assert_true(high.off == 0xf8 && high.len == 8 && high.writes == 1);
	assert_int_equal(b.n_nobody, 0);
}

static void test_what_nobody_holds_whole_reads_ones_and_drops_writes(void **state)
{
	static const struct {
		uint64_t addr;
		unsigned len;
	} odd[] = { { 0, 1 },      { 0xfff, 1 }, { 0xfff, 2 }, { 0x100e, 4 },   { 0x1010, 1 },
		    { 0x100f, 8 }, { ~0ULL, 1 }, { ~0ULL, 8 }, { ~0ULL - 7, 8 } };
	struct bus b = { 0 };
	struct seen s = { 0 };

	(void)state;
	assert_int_equal(bus_add(&b, 0x1000, 0x10, &both, &s, NULL), 0);
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		uint8_t data[8] = { 0 };

		bus_read(&b, odd[i].addr, data, odd[i].len);
		for (unsigned k = 0; k < sizeof(data); k++)
			assert_int_equal(data[k], k < odd[i].len ? 0xff : 0);
		bus_write(&b, odd[i].addr, data, odd[i].len);
	}
	assert_int_equal(s.reads + s.writes, 0);
	assert_int_equal(b.n_nobody, 2 * sizeof(odd) / sizeof(odd[0]));
}

static void test_a_range_without_a_handler_reads_ones(void **state)
{
	struct bus b = { 0 };
	uint16_t v = 0;

	(void)state;
	assert_int_equal(bus_add(&b, 8, 8, &mute, NULL, NULL), 0);
	bus_read(&b, 10, &v, 2);
	bus_write(&b, 10, &v, 2);
	assert_int_equal(v, 0xffff);
}

static void test_ranges_that_meet_are_refused_by_name(void **state)
{
	struct bus b = { 0 };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(bus_add(&b, 0x100, 0x10, &both, NULL, &e), 0);
	assert_int_equal(bus_add(&b, 0x10f, 1, &mute, NULL, &e), -EEXIST);
	assert_string_equal(e.text, "'mute' at 0x10f meets 'both' at 0x100");
	assert_int_equal(bus_add(&b, 0xff, 2, &mute, NULL, &e), -EEXIST);
	assert_int_equal(bus_add(&b, 0x80, 0x100, &mute, NULL, &e), -EEXIST);
	assert_int_equal(bus_add(&b, 0x110, 1, &mute, NULL, &e), 0);
	assert_int_equal(bus_add(&b, 0xff, 1, &mute, NULL, &e), 0);
	assert_int_equal(b.n, 3);
	for (unsigned i = b.n; i < BUS_RANGES_MAX; i++)
		assert_int_equal(bus_add(&b, 0x1000 + i, 1, &mute, NULL, &e), 0);
	assert_int_equal(bus_add(&b, 0x9000, 1, &mute, NULL, &e), -ENOSPC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_an_access_reaches_the_range_that_holds_it_with_its_offset),
		cmocka_unit_test(test_what_nobody_holds_whole_reads_ones_and_drops_writes),
		cmocka_unit_test(test_a_range_without_a_handler_reads_ones),
		cmocka_unit_test(test_ranges_that_meet_are_refused_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
