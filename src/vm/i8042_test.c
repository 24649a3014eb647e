/* SPDX-License-Identifier: Apache-2.0 */
#include "vm/i8042.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/err.h"
#include "fmt/record.h"

struct seen {
	unsigned edges, resets;
	bool level;
};

static void on_irq(void *arg, bool level)
{
	struct seen *s = arg;

	s->edges += level && !s->level;
	s->level = level;
}

static void on_reset(void *arg)
{
	struct seen *s = arg;

	s->resets++;
}

static uint8_t in(struct i8042 *k, unsigned port)
{
	uint8_t v = 0xee;

	i8042_bus.read(k, port, &v, 1);
	return v;
}

static void out(struct i8042 *k, unsigned port, uint8_t v)
{
	i8042_bus.write(k, port, &v, 1);
}

static void test_command_fe_resets_and_nothing_else_does(void **state)
{
	struct seen s = { 0 };
	struct i8042 k;

	(void)state;
	i8042_init(&k, on_irq, on_reset, &s);
	for (unsigned v = 0; v < 256; v++)
		if (v != 0xfe)
			out(&k, 4, (uint8_t)v);
	assert_int_equal(s.resets, 0);
	out(&k, 4, 0xfe);
	assert_int_equal(s.resets, 1);
	out(&k, 4, 0xd1); /* the output port's bit 0 is the reset line, active low */
	out(&k, 0, 0x02);
	assert_int_equal(s.resets, 2);
	i8042_fini(&k);
}

static void test_a_driver_probes_the_controller_and_the_keyboard(void **state)
{
	struct seen s = { 0 };
	struct i8042 k;

	(void)state;
	i8042_init(&k, on_irq, on_reset, &s);
	assert_int_equal(in(&k, 4) & 1, 0);
	out(&k, 4, 0xaa);
	assert_int_equal(in(&k, 4) & 1, 1);
	assert_int_equal(in(&k, 0), 0x55);
	assert_int_equal(in(&k, 4) & 1, 0);
	out(&k, 4, 0x60);
	out(&k, 0, 0x41);
	out(&k, 4, 0x20);
	assert_int_equal(in(&k, 0), 0x41);
	out(&k, 0, 0xf2);
	assert_int_equal(in(&k, 0), 0xfa);
	assert_int_equal(in(&k, 0), 0xab);
	assert_int_equal(in(&k, 0), 0x41);
	out(&k, 0, 0xed); /* lights: the byte behind is data, not a command */
	out(&k, 0, 0xff);
	assert_int_equal(in(&k, 0), 0xfa);
	assert_int_equal(in(&k, 0), 0xfa);
	assert_int_equal(in(&k, 4) & 1, 0);
	i8042_fini(&k);
}

static void test_ctrl_alt_del_is_typed_with_an_edge_for_each_byte(void **state)
{
	static const uint8_t want[] = { 0x1d, 0x38, 0xe0, 0x53, 0xe0, 0xd3, 0xb8, 0x9d };
	struct seen s = { 0 };
	struct i8042 k;

	(void)state;
	i8042_init(&k, on_irq, on_reset, &s);
	assert_int_equal(i8042_ctrl_alt_del(&k), 0);
	assert_int_equal(i8042_ctrl_alt_del(&k), 0);
	assert_int_equal(i8042_ctrl_alt_del(&k), -EAGAIN);
	for (unsigned i = 0; i < 2 * sizeof(want); i++)
		assert_int_equal(in(&k, 0), want[i % sizeof(want)]);
	assert_int_equal(s.edges, 2 * sizeof(want));
	assert_false(s.level);
	i8042_fini(&k);
}

static void test_odd_accesses_read_ones_and_change_nothing(void **state)
{
	struct seen s = { 0 };
	struct i8042 k;
	uint32_t v = 0xffffffff;
	const uint32_t reset = 0xfefefefe;

	(void)state;
	i8042_init(&k, on_irq, on_reset, &s);
	i8042_bus.read(&k, 0, &v, 4);
	assert_int_equal(v, 0xffffffff);
	i8042_bus.write(&k, 1, &reset, 4);
	i8042_bus.write(&k, 1, &reset, 1);
	assert_int_equal(in(&k, 2), 0xee);
	assert_int_equal(s.resets, 0);
	i8042_fini(&k);
}

static void test_what_was_typed_survives_a_snapshot_and_a_liar_is_refused(void **state)
{
	struct buf saved = { 0 };
	struct record_out o = { .to = &saved };
	struct seen s = { 0 };
	struct err e = { 0 };
	struct record_in r;
	struct i8042 a, b;

	(void)state;
	i8042_init(&a, on_irq, on_reset, &s);
	i8042_init(&b, on_irq, on_reset, &s);
	assert_int_equal(i8042_ctrl_alt_del(&a), 0);
	in(&a, 0);
	i8042_save(&a, &o);
	record_init(&r, saved.data, saved.len, &e);
	i8042_restore(&b, &r);
	assert_int_equal(record_finish(&r), 0);
	assert_int_equal(in(&b, 0), 0x38);
	saved.data[saved.len - 8] = 17; /* a count that does not fit, in front of the seven bytes */
	record_init(&r, saved.data, saved.len, &e);
	i8042_restore(&b, &r);
	assert_true(record_finish(&r) < 0);
	i8042_fini(&a);
	i8042_fini(&b);
	buf_fini(&saved);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_command_fe_resets_and_nothing_else_does),
		cmocka_unit_test(test_a_driver_probes_the_controller_and_the_keyboard),
		cmocka_unit_test(test_ctrl_alt_del_is_typed_with_an_edge_for_each_byte),
		cmocka_unit_test(test_odd_accesses_read_ones_and_change_nothing),
		cmocka_unit_test(test_what_was_typed_survives_a_snapshot_and_a_liar_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
