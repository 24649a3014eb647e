/* SPDX-License-Identifier: Apache-2.0 */
#include "vm/cmos.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/err.h"
#include "fmt/record.h"

static nsec_t fixed_now(void)
{
	return 1785614705LL * NSEC_PER_SEC; /* 2026-08-01 20:05:05 UTC, a Saturday */
}

static uint8_t reg(struct cmos *c, uint8_t index)
{
	uint8_t v = 0;

	cmos_bus.write(c, 0, &index, 1);
	cmos_bus.read(c, 1, &v, 1);
	return v;
}

static void set(struct cmos *c, uint8_t index, uint8_t v)
{
	cmos_bus.write(c, 0, &index, 1);
	cmos_bus.write(c, 1, &v, 1);
}

static void test_the_time_is_the_hosts_in_the_form_the_guest_chose(void **state)
{
	static const struct {
		uint8_t index, bcd, binary;
	} want[] = { { 0, 0x05, 5 }, { 2, 0x05, 5 }, { 4, 0x20, 20 }, { 6, 7, 7 },
		     { 7, 1, 1 },    { 8, 0x08, 8 }, { 9, 0x26, 26 }, { 0x32, 0x20, 20 } };
	struct cmos c;

	(void)state;
	cmos_init(&c, fixed_now);
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
		assert_int_equal(reg(&c, want[i].index), want[i].bcd);
	set(&c, 11, 6);
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
		assert_int_equal(reg(&c, want[i].index), want[i].binary);
	set(&c, 11, 0); /* twelve hours: 8 in the afternoon */
	assert_int_equal(reg(&c, 4), 0x88);
	set(&c, 0, 0x59); /* setting the time is accepted and has no effect */
	assert_int_equal(reg(&c, 0), 0x05);
	assert_int_equal(reg(&c, 10) & 0x80, 0);
	assert_int_equal(reg(&c, 13), 0x80);
	cmos_fini(&c);
}

static void test_other_bytes_are_memory_that_a_snapshot_keeps(void **state)
{
	struct buf saved = { 0 };
	struct record_out o = { .to = &saved };
	struct record_in in;
	struct err e = { 0 };
	struct cmos a, b;

	(void)state;
	cmos_init(&a, fixed_now);
	cmos_init(&b, fixed_now);
	set(&a, 0x80 | 0x40, 0x5a); /* bit 7 of the index is not part of it */
	cmos_save(&a, &o);
	record_init(&in, saved.data, saved.len, &e);
	cmos_restore(&b, &in);
	assert_int_equal(record_finish(&in), 0);
	assert_int_equal(reg(&b, 0x40), 0x5a);
	record_init(&in, saved.data, saved.len - 1, &e);
	cmos_restore(&b, &in);
	assert_true(record_finish(&in) < 0);
	cmos_fini(&a);
	cmos_fini(&b);
	buf_fini(&saved);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_time_is_the_hosts_in_the_form_the_guest_chose),
		cmocka_unit_test(test_other_bytes_are_memory_that_a_snapshot_keeps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
