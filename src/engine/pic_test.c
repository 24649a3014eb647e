/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/pic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "fmt/record.h"

enum { MASTER = 0x20, SLAVE = 0xa0, MASTER_ELCR = 0x4d0, SLAVE_ELCR = 0x4d1 };
enum {
	EOI = 0x20,
	EOI_OF = 0x60,
	ROTATE_EOI = 0xa0,
	ROTATE_EOI_OF = 0xe0,
	LOWEST_IS = 0xc0,
	ROTATE_AUTO = 0x80
};
enum { READ_IRR = 0x0a, READ_ISR = 0x0b, POLL = 0x0c, SPECIAL_ON = 0x68, SPECIAL_OFF = 0x48 };
enum { AUTO_EOI = 2, SPECIAL_NESTED = 0x10, NONE = -1 };

/* init() - vectors from 0x20 and 0x28, nothing masked; @icw4: of both */
static void init(struct pic *p, uint8_t icw4)
{
	static const uint8_t chip[2][3] = { { MASTER, 0x20, 4 }, { SLAVE, 0x28, 2 } };

	pic_init(p);
	for (int i = 0; i < 2; i++) {
		uint16_t port = chip[i][0];

		pic_write(p, port, 0x11);
		pic_write(p, port + 1, chip[i][1] | 5); /* its lower bits are the line's */
		pic_write(p, port + 1, chip[i][2]);
		pic_write(p, port + 1, icw4 | 1);
		pic_write(p, port + 1, 0);
	}
}

static void pulse(struct pic *p, unsigned line)
{
	pic_line(p, line, true);
	pic_line(p, line, false);
}

/* take() - the vector, or NONE when the line to the processor is down */
static int take(struct pic *p)
{
	return pic_output(p) ? pic_acknowledge(p) : NONE;
}

static uint8_t status(struct pic *p, uint16_t port, uint8_t which)
{
	pic_write(p, port, which);
	return pic_read(p, port);
}

#define check_take(p, want)                                                                                  \
	do {                                                                                                 \
		int got_ = take(p), want_ = (want);                                                          \
		if (got_ != want_)                                                                           \
			fail_msg("line %d: want vector 0x%x, got 0x%x", __LINE__, (unsigned)want_,           \
				 (unsigned)got_);                                                            \
	} while (0)

static void test_ports_are_known(void **state)
{
	static const uint16_t ports[] = { 0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1 };
	unsigned n = 0;

	(void)state;
	for (unsigned port = 0; port < 0x10000; port++)
		n += pic_has_port((uint16_t)port);
	assert_int_equal(n, sizeof(ports) / sizeof(ports[0]));
	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++)
		assert_true(pic_has_port(ports[i]));
}

static void test_each_line_has_its_vector(void **state)
{
	struct pic p;

	(void)state;
	for (unsigned line = 0; line < PIC_LINES; line++) {
		init(&p, 0);
		assert_false(pic_output(&p));
		pulse(&p, line);
		check_take(&p, line == 2 ? NONE : 0x20 + (int)line); /* line 2 is the slave */
		check_take(&p, NONE);
	}
	pulse(&p, PIC_LINES);
	check_take(&p, NONE);
}

static void test_an_edge_counts_once_until_the_line_was_down(void **state)
{
	struct pic p;

	(void)state;
	init(&p, AUTO_EOI);
	pic_line(&p, 5, true);
	check_take(&p, 0x25);
	pic_line(&p, 5, true);
	check_take(&p, NONE);
	pic_line(&p, 5, false);
	pic_line(&p, 5, true);
	check_take(&p, 0x25);
}

static void test_a_level_asks_as_long_as_it_is_up(void **state)
{
	struct pic p;

	(void)state;
	init(&p, 0);
	pic_write(&p, MASTER_ELCR, 0xff);
	pic_write(&p, SLAVE_ELCR, 0xff);
	assert_int_equal(pic_read(&p, MASTER_ELCR), 0xf8); /* not the timer, the keyboard, the cascade */
	assert_int_equal(pic_read(&p, SLAVE_ELCR), 0xde);  /* not the clock, the coprocessor */
	pic_line(&p, 5, true);
	check_take(&p, 0x25);
	check_take(&p, NONE);
	pic_write(&p, MASTER, EOI);
	check_take(&p, 0x25);
	pic_line(&p, 5, false);
	pic_write(&p, MASTER, EOI);
	check_take(&p, NONE);
	pulse(&p, 5); /* nobody took it */
	check_take(&p, NONE);
	pic_line(&p, 10, true);
	check_take(&p, 0x2a);
	pic_write(&p, SLAVE, EOI);
	pic_write(&p, MASTER, EOI);
	check_take(&p, 0x2a);
}

static void test_masked_lines_wait(void **state)
{
	struct pic p;

	(void)state;
	init(&p, 0);
	pic_write(&p, MASTER + 1, 0x20);
	pic_write(&p, SLAVE + 1, 0x01);
	assert_true(pic_read(&p, MASTER + 1) == 0x20 && pic_read(&p, SLAVE + 1) == 0x01);
	pulse(&p, 5);
	pulse(&p, 8);
	check_take(&p, NONE);
	assert_int_equal(status(&p, MASTER, READ_IRR), 0x20);
	assert_int_equal(status(&p, SLAVE, READ_IRR), 0x01);
	pic_write(&p, MASTER + 1, 0);
	check_take(&p, 0x25);
	assert_int_equal(status(&p, MASTER, READ_IRR), 0);
	assert_int_equal(status(&p, MASTER, READ_ISR), 0x20);
	pic_write(&p, SLAVE + 1, 0);
	check_take(&p, 0x28); /* line 2 goes before line 5 */
	assert_int_equal(status(&p, MASTER, READ_ISR), 0x24);
}

static void test_higher_priorities_interrupt_lower_ones(void **state)
{
	struct pic p;

	(void)state;
	init(&p, 0);
	pulse(&p, 6);
	pulse(&p, 3);
	check_take(&p, 0x23);
	check_take(&p, NONE);
	pulse(&p, 1);
	check_take(&p, 0x21);
	assert_int_equal(status(&p, MASTER, READ_ISR), 0x0a);
	pic_write(&p, MASTER, EOI); /* that of 1 */
	check_take(&p, NONE);
	pic_write(&p, MASTER, EOI);
	check_take(&p, 0x26);
	pic_write(&p, MASTER, EOI_OF | 6);
	pic_write(&p, MASTER, EOI); /* nothing is in service */
	assert_int_equal(status(&p, MASTER, READ_ISR), 0);
}

static void test_priorities_rotate(void **state)
{
	struct pic p;

	(void)state;
	init(&p, 0);
	pulse(&p, 3);
	check_take(&p, 0x23);
	pic_write(&p, MASTER, ROTATE_EOI); /* 4 is the highest now, 3 the lowest */
	pulse(&p, 3);
	pulse(&p, 0);
	pulse(&p, 4);
	check_take(&p, 0x24);
	pic_write(&p, MASTER, EOI);
	check_take(&p, 0x20);
	pic_write(&p, MASTER, ROTATE_EOI_OF | 0); /* 1 is */
	check_take(&p, 0x23);
	pic_write(&p, MASTER, EOI);
	pic_write(&p, MASTER, LOWEST_IS | 5);
	pulse(&p, 5);
	pulse(&p, 6);
	check_take(&p, 0x26);
	pic_write(&p, MASTER, 0x40 | 6); /* no operation */
	check_take(&p, NONE);
	assert_int_equal(status(&p, MASTER, READ_ISR), 0x40);
}

static void test_automatic_ends_and_their_rotation(void **state)
{
	struct pic p;

	(void)state;
	init(&p, AUTO_EOI);
	pulse(&p, 3);
	check_take(&p, 0x23);
	assert_int_equal(status(&p, MASTER, READ_ISR), 0);
	pulse(&p, 6);
	check_take(&p, 0x26);
	pulse(&p, 9);
	check_take(&p, 0x29);
	assert_int_equal(status(&p, SLAVE, READ_ISR), 0);
	pic_write(&p, MASTER, ROTATE_AUTO);
	pulse(&p, 3);
	check_take(&p, 0x23);
	pulse(&p, 3);
	pulse(&p, 4);
	check_take(&p, 0x24);
	pic_write(&p, MASTER, 0);
	check_take(&p, 0x23); /* 5 is the highest and stays it */
	pulse(&p, 4);
	pulse(&p, 5);
	check_take(&p, 0x25);
}

static void test_special_mask_lets_lower_ones_through(void **state)
{
	struct pic p;

	(void)state;
	init(&p, 0);
	pulse(&p, 3);
	check_take(&p, 0x23);
	pulse(&p, 6);
	check_take(&p, NONE);
	pic_write(&p, MASTER + 1, 0x08);
	check_take(&p, NONE);
	pic_write(&p, MASTER, SPECIAL_ON);
	check_take(&p, 0x26);
	pic_write(&p, MASTER, EOI); /* not that of 3, which is masked */
	assert_int_equal(status(&p, MASTER, READ_ISR), 0x08);
	pulse(&p, 7);
	pic_write(&p, MASTER, SPECIAL_OFF);
	check_take(&p, NONE);
	pic_write(&p, MASTER, EOI);
	check_take(&p, 0x27);
}

static void test_the_slave_is_one_line_of_the_master(void **state)
{
	struct pic p;

	(void)state;
	init(&p, 0);
	pulse(&p, 14);
	pulse(&p, 3);
	check_take(&p, 0x2e); /* line 2 goes before 3 */
	assert_int_equal(status(&p, SLAVE, READ_ISR), 0x40);
	assert_int_equal(status(&p, MASTER, READ_ISR), 0x04);
	pulse(&p, 8);
	check_take(&p, NONE); /* the master thinks that it is the same */
	pulse(&p, 1);
	check_take(&p, 0x21);
	pic_write(&p, MASTER, EOI);
	pic_write(&p, SLAVE, EOI);
	check_take(&p, NONE);
	pic_write(&p, MASTER, EOI);
	check_take(&p, 0x28);
	pic_write(&p, SLAVE, EOI);
	pic_write(&p, MASTER, EOI);
	check_take(&p, 0x23);
}

static void test_special_nesting_is_for_the_slave_alone(void **state)
{
	struct pic p;

	(void)state;
	init(&p, SPECIAL_NESTED);
	pulse(&p, 14);
	check_take(&p, 0x2e);
	pulse(&p, 3);
	check_take(&p, NONE);
	pulse(&p, 15);
	check_take(&p, NONE);
	pulse(&p, 8);
	check_take(&p, 0x28);
	pic_write(&p, SLAVE, EOI);
	pic_write(&p, SLAVE, EOI);
	check_take(&p, 0x2f);
	pic_write(&p, SLAVE, EOI);
	pic_write(&p, MASTER, EOI);
	check_take(&p, 0x23);
}

static void test_what_went_away_is_spurious(void **state)
{
	struct pic p;

	(void)state;
	init(&p, 0);
	assert_int_equal(pic_acknowledge(&p), 0x27);
	assert_int_equal(status(&p, MASTER, READ_ISR), 0);
	pulse(&p, 5);
	pic_write(&p, MASTER + 1, 0x20); /* between its line and its acknowledge */
	assert_int_equal(pic_acknowledge(&p), 0x27);
	assert_int_equal(status(&p, MASTER, READ_IRR), 0x20);
	pulse(&p, 10);
	pic_write(&p, SLAVE + 1, 0x04);
	check_take(&p, NONE); /* the slave's line went down with it */
	assert_int_equal(pic_acknowledge(&p), 0x27);
	assert_int_equal(status(&p, MASTER, READ_ISR), 0);
}

static void test_polling_takes_an_interrupt(void **state)
{
	struct pic p;

	(void)state;
	init(&p, 0);
	pic_write(&p, MASTER, POLL);
	assert_int_equal(pic_read(&p, MASTER) & 0x80, 0);
	pulse(&p, 5);
	pic_write(&p, MASTER, POLL);
	assert_int_equal(pic_read(&p, MASTER), 0x85);
	assert_int_equal(status(&p, MASTER, READ_ISR), 0x20);
	pic_write(&p, MASTER, EOI);
	pulse(&p, 12);
	pic_write(&p, SLAVE, POLL);
	assert_int_equal(pic_read(&p, SLAVE + 1), 0x84);
	check_take(&p, NONE); /* it is taken */
	pic_write(&p, SLAVE, EOI);
	pulse(&p, 12);
	pic_write(&p, MASTER, POLL);
	assert_int_equal(pic_read(&p, MASTER), 0x82);
	pic_write(&p, SLAVE, POLL);
	assert_int_equal(pic_read(&p, SLAVE), 0x84);
	assert_int_equal(pic_read(&p, SLAVE + 1), 0); /* one read each */
}

static void test_initialization_forgets_edges_and_keeps_levels(void **state)
{
	struct pic p;

	(void)state;
	init(&p, AUTO_EOI | SPECIAL_NESTED);
	pic_write(&p, MASTER_ELCR, 0x20);
	pic_write(&p, MASTER, LOWEST_IS | 4);
	pic_write(&p, MASTER, SPECIAL_ON);
	pic_write(&p, MASTER + 1, 0xff);
	pic_write(&p, MASTER, READ_ISR);
	pic_line(&p, 4, true);
	pic_line(&p, 5, true);
	pic_write(&p, MASTER, 0x10);                  /* no fourth word */
	assert_int_equal(pic_read(&p, MASTER), 0x20); /* IRR is what is read */
	pic_write(&p, MASTER + 1, 0x40);
	pic_write(&p, MASTER + 1, 4);
	assert_int_equal(pic_read(&p, MASTER + 1), 0);
	check_take(&p, 0x45);
	assert_int_equal(status(&p, MASTER, READ_ISR), 0x20); /* nothing is automatic any more */
	pic_line(&p, 4, true);                                /* has not been down */
	check_take(&p, NONE);
	pic_write(&p, MASTER + 1, 0xef);
	assert_int_equal(pic_read(&p, MASTER + 1), 0xef);
}

static void save(const struct pic *p, struct buf *b)
{
	struct record_out o = { .to = b };

	record_begin(&o, "pic", 1);
	pic_save(p, &o);
	record_end(&o);
	assert_int_equal(buf_finish(b), 0);
}

static int restore(struct pic *p, const struct buf *b, struct err *e)
{
	struct record_in in;

	record_init(&in, b->data, b->len, e);
	record_open(&in, "pic", 1);
	pic_restore(p, &in);
	record_close(&in);
	return record_finish(&in);
}

static void test_what_is_saved_goes_on_elsewhere(void **state)
{
	auto_fini(buf) struct buf b = { 0 };
	struct err e = { 0 };
	struct pic p, q;

	(void)state;
	init(&p, 0);
	pic_write(&p, MASTER + 1, 0x80);
	pulse(&p, 14);
	pulse(&p, 6);
	check_take(&p, 0x2e);
	pic_write(&p, SLAVE, 0x11); /* in the middle of it */
	pic_write(&p, SLAVE + 1, 0x70);
	save(&p, &b);
	pic_init(&q);
	if (restore(&q, &b, &e) < 0)
		fail_msg("%s", e.text);
	assert_memory_equal(&p, &q, sizeof(p));
	pic_write(&q, SLAVE + 1, 2);
	pic_write(&q, SLAVE + 1, 1);
	pulse(&q, 9);
	pic_write(&q, MASTER, EOI);
	check_take(&q, 0x71);
	pic_write(&q, MASTER, EOI);
	check_take(&q, 0x26);
}

static void test_hostile_states_are_cut(void **state)
{
	auto_fini(buf) struct buf b = { 0 };
	struct err e = { 0 };
	struct pic p;

	(void)state;
	memset(&p, 0xff, sizeof(p));
	save(&p, &b);
	pic_init(&p);
	assert_int_equal(restore(&p, &b, &e), 0);
	assert_int_equal(pic_read(&p, MASTER_ELCR), 0xf8);
	pic_write(&p, SLAVE_ELCR, 0xff);
	assert_int_equal(pic_read(&p, SLAVE_ELCR), 0xde);
	for (unsigned i = 0; i < 2; i++)
		assert_true(p.chip[i].lowest < 8 && p.chip[i].init < 4);
	while (pic_output(&p))
		pic_acknowledge(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ports_are_known),
		cmocka_unit_test(test_each_line_has_its_vector),
		cmocka_unit_test(test_an_edge_counts_once_until_the_line_was_down),
		cmocka_unit_test(test_a_level_asks_as_long_as_it_is_up),
		cmocka_unit_test(test_masked_lines_wait),
		cmocka_unit_test(test_higher_priorities_interrupt_lower_ones),
		cmocka_unit_test(test_priorities_rotate),
		cmocka_unit_test(test_automatic_ends_and_their_rotation),
		cmocka_unit_test(test_special_mask_lets_lower_ones_through),
		cmocka_unit_test(test_the_slave_is_one_line_of_the_master),
		cmocka_unit_test(test_special_nesting_is_for_the_slave_alone),
		cmocka_unit_test(test_what_went_away_is_spurious),
		cmocka_unit_test(test_polling_takes_an_interrupt),
		cmocka_unit_test(test_initialization_forgets_edges_and_keeps_levels),
		cmocka_unit_test(test_what_is_saved_goes_on_elsewhere),
		cmocka_unit_test(test_hostile_states_are_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
