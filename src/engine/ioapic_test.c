/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/ioapic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "fmt/record.h"

enum { SELECT = 0x00, WINDOW = 0x10, SENT_MAX = 64 };
enum { LOGICAL = 1 << 11, PENDING = 1 << 12, REMOTE_IRR = 1 << 14, LEVEL = 1 << 15, MASKED = 1 << 16 };

struct fixture {
	struct ioapic io; /* first: it is what send() gets */
	struct irq_message sent[SENT_MAX];
	unsigned n;
};

static void send(void *arg, const struct irq_message *m)
{
	struct fixture *f = arg;

	assert_true(f->n < SENT_MAX);
	f->sent[f->n++] = *m;
}

static void setup(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	ioapic_init(&f->io, send, f);
}

static uint32_t reg_read(struct fixture *f, unsigned reg)
{
	ioapic_write(&f->io, SELECT, reg);
	return ioapic_read(&f->io, WINDOW);
}

static void reg_write(struct fixture *f, unsigned reg, uint32_t value)
{
	ioapic_write(&f->io, SELECT, reg);
	ioapic_write(&f->io, WINDOW, value);
}

static void entry(struct fixture *f, unsigned pin, uint32_t dest, uint32_t low)
{
	reg_write(f, 0x11 + 2 * pin, dest << 24);
	reg_write(f, 0x10 + 2 * pin, low);
}

static uint32_t entry_low(struct fixture *f, unsigned pin)
{
	return reg_read(f, 0x10 + 2 * pin);
}

static void test_registers_are_behind_the_window(void **state)
{
	static const struct {
		const char *name;
		uint32_t reg, write, want;
	} cases[] = {
		{ "id", 0, 0xffffffff, 0x0f000000 },
		{ "version: 24 entries", 1, 0xffffffff, 0x00170011 },
		{ "arbitration", 2, 0, 0x0f000000 },
		{ "nothing", 3, 0xffffffff, 0 },
		{ "nothing before the entries", 0x0f, 0xffffffff, 0 },
		{ "first entry, lower half", 0x10, 0xffffffff & ~LEVEL, 0x00012fff },
		{ "first entry, upper half", 0x11, 0xffffffff, 0xff000000 },
		{ "last entry, lower half", 0x3e, 0x000100a5, 0x000100a5 },
		{ "behind the last entry", 0x40, 0xffffffff, 0 },
		{ "far behind", 0xff, 0xffffffff, 0 },
	};
	struct fixture f;

	(void)state;
	setup(&f);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t got;

		reg_write(&f, cases[i].reg, cases[i].write);
		got = reg_read(&f, cases[i].reg);
		if (got != cases[i].want)
			fail_msg("%s: want 0x%x, got 0x%x", cases[i].name, cases[i].want, got);
	}
	ioapic_write(&f.io, SELECT, 0x12345601);
	assert_int_equal(ioapic_read(&f.io, SELECT), 1);
	assert_int_equal(ioapic_read(&f.io, 0x20), 0);
	ioapic_write(&f.io, 0x40, 0x20); /* there is no EOI register */
	assert_int_equal(f.n, 0);
}

static void test_every_pin_is_masked_first_and_an_edge_there_is_lost(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f);
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
		assert_int_equal(entry_low(&f, pin), MASKED);
		ioapic_line(&f.io, pin, true);
	}
	entry(&f, 3, 0, 0x31);
	assert_int_equal(f.n, 0);
	ioapic_line(&f.io, 3, false);
	ioapic_line(&f.io, 3, true);
	assert_int_equal(f.n, 1);
}

static void test_an_edge_is_one_message_with_what_the_entry_says(void **state)
{
	static const struct {
		const char *name;
		uint32_t dest, low;
		struct irq_message want;
	} cases[] = {
		{ "fixed", 2, 0x31, { .dest = 2, .vector = 0x31, .mode = IRQ_FIXED } },
		{ "lowest, logical",
		  0xff,
		  0x41 | 1 << 8 | LOGICAL,
		  { .dest = 0xff, .vector = 0x41, .mode = IRQ_LOWEST, .logical = true } },
		{ "NMI", 0, 4 << 8, { .mode = IRQ_NMI } },
		{ "NMI that says level", 0, 4 << 8 | LEVEL, { .mode = IRQ_NMI } },
		{ "ExtINT", 0, 7 << 8, { .mode = IRQ_EXTINT } },
		{ "INIT that says level", 1, 5 << 8 | LEVEL, { .dest = 1, .mode = IRQ_INIT } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct irq_message *w = &cases[i].want, *m;
		struct fixture f;

		setup(&f);
		entry(&f, 5, cases[i].dest, cases[i].low);
		ioapic_line(&f.io, 5, true);
		ioapic_line(&f.io, 5, true); /* no edge */
		ioapic_line(&f.io, 5, false);
		m = &f.sent[0];
		if (f.n != 1 || m->dest != w->dest || m->vector != w->vector || m->mode != w->mode ||
		    m->logical != w->logical || m->level)
			fail_msg("%s: %u messages, dest 0x%x vector 0x%x mode %d logical %d level %d",
				 cases[i].name, f.n, m->dest, m->vector, m->mode, m->logical, m->level);
		assert_int_equal(entry_low(&f, 5) & REMOTE_IRR, 0);
		ioapic_line(&f.io, 5, true);
		assert_int_equal(f.n, 2);
	}
}

static void test_a_level_waits_for_the_end_of_the_one_before(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f);
	entry(&f, 9, 0, 0x39 | LEVEL);
	ioapic_line(&f.io, 9, true);
	assert_true(f.n == 1 && f.sent[0].level);
	assert_true(entry_low(&f, 9) & REMOTE_IRR);
	ioapic_line(&f.io, 9, false);
	ioapic_line(&f.io, 9, true);
	assert_int_equal(f.n, 1);
	ioapic_eoi(&f.io, 0x38); /* another vector's */
	assert_int_equal(f.n, 1);
	ioapic_eoi(&f.io, 0x39); /* the line is up */
	assert_int_equal(f.n, 2);
	ioapic_line(&f.io, 9, false);
	ioapic_eoi(&f.io, 0x39);
	assert_int_equal(f.n, 2);
	assert_int_equal(entry_low(&f, 9) & REMOTE_IRR, 0);
	ioapic_eoi(&f.io, 0x39);
	assert_int_equal(f.n, 2);
}

static void test_pins_of_one_vector_end_together(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f);
	entry(&f, 9, 0, 0x39 | LEVEL);
	entry(&f, 10, 0, 0x39 | LEVEL);
	ioapic_line(&f.io, 9, true);
	ioapic_line(&f.io, 10, true);
	assert_int_equal(f.n, 2);
	ioapic_line(&f.io, 9, false);
	ioapic_eoi(&f.io, 0x39);
	assert_int_equal(f.n, 3);
	assert_int_equal(entry_low(&f, 9) & REMOTE_IRR, 0);
	assert_true(entry_low(&f, 10) & REMOTE_IRR);
}

static void test_a_masked_level_comes_when_the_mask_goes(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f);
	entry(&f, 9, 0, 0x39 | LEVEL | MASKED);
	ioapic_line(&f.io, 9, true);
	assert_int_equal(f.n, 0);
	entry(&f, 9, 0, 0x39 | LEVEL);
	assert_int_equal(f.n, 1);
	entry(&f, 9, 0, 0x39 | LEVEL | MASKED); /* as kernels do while they handle it */
	assert_true(entry_low(&f, 9) & REMOTE_IRR);
	ioapic_eoi(&f.io, 0x39);
	assert_int_equal(f.n, 1);
	assert_int_equal(entry_low(&f, 9) & REMOTE_IRR, 0);
	entry(&f, 9, 0, 0x39 | LEVEL);
	assert_int_equal(f.n, 2);
}

static void test_remote_irr_is_not_written_and_goes_with_the_trigger_mode(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f);
	entry(&f, 9, 0, 0x39 | LEVEL | REMOTE_IRR | PENDING);
	assert_int_equal(entry_low(&f, 9), 0x39 | LEVEL);
	ioapic_line(&f.io, 9, true);
	entry(&f, 9, 0, 0x39 | LEVEL); /* a write of 0 leaves it */
	assert_int_equal(entry_low(&f, 9), 0x39 | LEVEL | REMOTE_IRR);
	entry(&f, 9, 0,
	      0x39 | MASKED); /* how software without an EOI register ends one: edge, and level again */
	assert_int_equal(entry_low(&f, 9), 0x39 | MASKED);
	assert_int_equal(f.n, 1);
	entry(&f, 9, 0, 0x39 | LEVEL);
	assert_int_equal(f.n, 2);
}

static void test_a_pin_that_is_not_there_is_nothing(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f);
	ioapic_line(&f.io, IOAPIC_PINS, true);
	ioapic_line(&f.io, ~0U, true);
	assert_true(f.n == 0 && f.io.lines == 0);
}

static void save(struct fixture *f, struct buf *b)
{
	struct record_out o = { .to = b };

	record_begin(&o, "io", 1);
	ioapic_save(&f->io, &o);
	record_end(&o);
	assert_int_equal(buf_finish(b), 0);
}

static int restore(struct fixture *f, const void *data, size_t len, struct err *e)
{
	struct record_in in;

	record_init(&in, data, len, e);
	record_open(&in, "io", 1);
	ioapic_restore(&f->io, &in);
	record_close(&in);
	return record_finish(&in);
}

static void test_what_is_saved_goes_on_elsewhere(void **state)
{
	auto_fini(buf) struct buf b = { 0 };
	struct err e = { 0 };
	struct fixture f, g;

	(void)state;
	setup(&f);
	reg_write(&f, 0, 5 << 24);
	entry(&f, 9, 3, 0x39 | LEVEL);
	entry(&f, 4, 1, 0x34);
	ioapic_line(&f.io, 9, true);
	ioapic_line(&f.io, 4, true);
	ioapic_write(&f.io, SELECT, 0x22);
	save(&f, &b);
	setup(&g);
	if (restore(&g, b.data, b.len, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(g.n, 0); /* both are at their processors */
	assert_int_equal(ioapic_read(&g.io, SELECT), 0x22);
	assert_int_equal(reg_read(&g, 0), 5 << 24);
	assert_memory_equal(g.io.entry, f.io.entry, sizeof(g.io.entry));
	ioapic_line(&g.io, 4, true);
	assert_int_equal(g.n, 0);
	ioapic_eoi(&g.io, 0x39);
	assert_true(g.n == 1 && g.sent[0].dest == 3 && g.sent[0].vector == 0x39);
}

static void test_a_level_on_its_way_arrives_after_the_restore(void **state)
{
	auto_fini(buf) struct buf b = { 0 };
	struct err e = { 0 };
	struct fixture f, g;

	(void)state;
	setup(&f);
	entry(&f, 9, 0, 0x39 | LEVEL);
	ioapic_line(&f.io, 9, true);
	f.io.entry[9] &= ~(uint64_t)REMOTE_IRR; /* as an engine has it that delivers later */
	save(&f, &b);
	setup(&g);
	assert_int_equal(restore(&g, b.data, b.len, &e), 0);
	assert_int_equal(g.n, 1);
	assert_true(entry_low(&g, 9) & REMOTE_IRR);
}

static void test_what_was_at_a_processor_and_is_forgotten_comes_again_if_its_line_is_up(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f);
	entry(&f, 9, 0, 0x39 | LEVEL);
	entry(&f, 10, 0, 0x3a | LEVEL);
	ioapic_line(&f.io, 9, true);
	ioapic_line(&f.io, 10, true);
	ioapic_line(&f.io, 10, false);
	assert_int_equal(f.n, 2);
	ioapic_forget(&f.io);
	assert_int_equal(f.n, 3);
	assert_int_equal(f.sent[2].vector, 0x39);
	assert_true(entry_low(&f, 9) & REMOTE_IRR);
	assert_false(entry_low(&f, 10) & REMOTE_IRR);
}

static void test_hostile_states_are_cut_or_refused(void **state)
{
	auto_fini(buf) struct buf b = { 0 };
	struct err e = { 0 };
	struct fixture f, g;

	(void)state;
	setup(&f);
	f.io.select = f.io.id = f.io.lines = ~0U;
	memset(f.io.entry, 0xff, sizeof(f.io.entry));
	save(&f, &b);
	setup(&g);
	assert_int_equal(restore(&g, b.data, b.len, &e), 0);
	assert_int_equal(g.io.select, 0xff);
	assert_int_equal(g.io.lines, 0xffffff);
	assert_int_equal(entry_low(&g, 0), 0x1ffff & ~PENDING);
	b.data[16] ^= 1; /* where it is */
	assert_true(restore(&g, b.data, b.len, &e) < 0);
	assert_non_null(strstr(e.text, "0xfec00000"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_registers_are_behind_the_window),
		cmocka_unit_test(test_every_pin_is_masked_first_and_an_edge_there_is_lost),
		cmocka_unit_test(test_an_edge_is_one_message_with_what_the_entry_says),
		cmocka_unit_test(test_a_level_waits_for_the_end_of_the_one_before),
		cmocka_unit_test(test_pins_of_one_vector_end_together),
		cmocka_unit_test(test_a_masked_level_comes_when_the_mask_goes),
		cmocka_unit_test(test_remote_irr_is_not_written_and_goes_with_the_trigger_mode),
		cmocka_unit_test(test_a_pin_that_is_not_there_is_nothing),
		cmocka_unit_test(test_what_is_saved_goes_on_elsewhere),
		cmocka_unit_test(test_a_level_on_its_way_arrives_after_the_restore),
		cmocka_unit_test(test_what_was_at_a_processor_and_is_forgotten_comes_again_if_its_line_is_up),
		cmocka_unit_test(test_hostile_states_are_cut_or_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
