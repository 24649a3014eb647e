/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/bt/space/cpu_test.h"

#include "engine/bt/space/host.h"
#include "engine/bt/space/lapic.h"

enum { TIMER_PERIODIC = 1 << 17, TIMER_DEADLINE = 2 << 17 };
#define LONG_TIME 0xffffffffU
#define X2        (0xfee00000U | APIC_BASE_ON | APIC_BASE_X2)

static int setup(void **state)
{
	struct fixture *f = fixture_new();

	f->c.lapic.svr = 0xff | SVR_ENABLED;
	f->c.exchange = f->exchange;
	*state = f;
	return 0;
}

static void put(struct fixture *f, unsigned reg, uint64_t value)
{
	if (bt_lapic_write(&f->c, reg, value) != BT_OK)
		fail_msg("register 0x%x refuses 0x%llx", reg, (unsigned long long)value);
}

static uint64_t get(struct fixture *f, unsigned reg)
{
	uint64_t value = 0;

	if (bt_lapic_read(&f->c, reg, &value) != BT_OK)
		fail_msg("register 0x%x cannot be read", reg);
	return value;
}

static void refused(struct fixture *f, unsigned reg, uint64_t value)
{
	if (bt_lapic_write(&f->c, reg, value) != BT_FAULT)
		fail_msg("register 0x%x takes 0x%llx", reg, (unsigned long long)value);
	check_eq("fault", fault_word(&f->c), FAULT(X86_GP, 0));
}

static void test_after_reset_registers_are_as_documented(void **state)
{
	static const struct {
		unsigned reg;
		uint64_t want;
	} cases[] = {
		{ LAPIC_ID, 2 << 24 },      { LAPIC_VERSION, 0x50014 }, { LAPIC_TPR, 0 },
		{ LAPIC_LDR, 0 },           { LAPIC_DFR, ~0U },         { LAPIC_SVR, 0xff },
		{ LAPIC_ESR, 0 },           { LAPIC_ICR, 0 },           { LAPIC_LVT, 0x10000 },
		{ LAPIC_LVT + 5, 0x10000 }, { LAPIC_TIMER_CURRENT, 0 }, { LAPIC_ISR + 7, 0 },
	};
	struct fixture *f = *state;

	bt_cpu_reset(&f->c, 2);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		check_eq("register", get(f, cases[i].reg), cases[i].want);
}

static void test_priorities_decide_what_comes_through(void **state)
{
	struct fixture *f = *state;
	struct bt_cpu *c = &f->c;

	check_eq("nothing", bt_lapic_pending(c), -1);
	bt_lapic_post(c, 0x31, false);
	bt_lapic_post(c, 0x45, false);
	bt_lapic_post(c, 0x42, false);
	check_eq("the highest", bt_lapic_pending(c), 0x45);
	put(f, LAPIC_TPR, 0x40);
	check_eq("its class is held back", bt_lapic_pending(c), -1);
	put(f, LAPIC_TPR, 0x3f);
	check_eq("the lower half of the priority does not count", bt_lapic_pending(c), 0x45);
	bt_lapic_accept(c, 0x45);
	check_eq("ppr", get(f, LAPIC_PPR), 0x40);
	check_eq("the same class waits", bt_lapic_pending(c), -1);
	bt_lapic_post(c, 0x51, false);
	check_eq("a higher one does not", bt_lapic_pending(c), 0x51);
	bt_lapic_accept(c, 0x51);
	put(f, LAPIC_EOI, 0);
	check_eq("in service", get(f, LAPIC_ISR + 2), 1 << 5);
	put(f, LAPIC_EOI, 0);
	check_eq("next", bt_lapic_pending(c), 0x42);
	check_eq("irr", get(f, LAPIC_IRR + 2), 1 << 2);
	put(f, LAPIC_EOI, 0); /* with nothing in service */
	check_eq("edges are nobody's", f->n_eoi, 0);
}

static void test_the_end_of_a_level_interrupt_is_told(void **state)
{
	struct fixture *f = *state;

	bt_lapic_post(&f->c, 0x55, true);
	check_eq("tmr", get(f, LAPIC_TMR + 2), 1 << 21);
	bt_lapic_accept(&f->c, 0x55);
	put(f, LAPIC_EOI, 0);
	check_eq("told", f->n_eoi, 1);
	check_eq("which", f->eoi, 0x55);
	bt_lapic_post(&f->c, 0x55, false);
	check_eq("an edge", get(f, LAPIC_TMR + 2), 0);
}

static void test_an_apic_that_is_off_takes_nothing(void **state)
{
	struct fixture *f = *state;

	put(f, LAPIC_LVT, 0x30);
	put(f, LAPIC_SVR, 0xff);
	check_eq("entries are masked", get(f, LAPIC_LVT), 0x10030);
	put(f, LAPIC_LVT, 0x30);
	check_eq("and stay so", get(f, LAPIC_LVT), 0x10030);
	bt_lapic_post(&f->c, 0x55, false);
	check_eq("by software", bt_lapic_pending(&f->c), -1);
	put(f, LAPIC_SVR, 0x1ff);
	f->c.apic_base &= ~(uint64_t)APIC_BASE_ON;
	bt_lapic_post(&f->c, 0x55, false);
	f->c.apic_base |= APIC_BASE_ON;
	check_eq("by its base", bt_lapic_pending(&f->c), -1);
}

static void test_what_others_post_is_collected(void **state)
{
	struct fixture *f = *state;

	f->exchange->posted[1] = 1 << 3 | 1U << 31;
	f->exchange->posted_level[1] = 1 << 3;
	f->exchange->nmi = 1;
	f->exchange->init = 1;
	f->exchange->sipi = 0x1f0;
	bt_lapic_collect(&f->c);
	check_eq("irr", f->c.lapic.irr[1], 1 << 3 | 1U << 31);
	check_eq("tmr", f->c.lapic.tmr[1], 1 << 3);
	check_eq("posted", f->exchange->posted[1] | f->exchange->posted_level[1] | f->exchange->nmi, 0);
	assert_true(f->c.nmi_pending);
	check_eq("INIT and startup are the loop's", f->exchange->init + f->exchange->sipi, 0x1f1);
}

static void test_bad_vectors_are_errors_that_are_read_once(void **state)
{
	struct fixture *f = *state;

	put(f, LAPIC_LVT + 5, 0x70);
	bt_lapic_post(&f->c, 15, false);
	check_eq("not before it is written", get(f, LAPIC_ESR), 0);
	put(f, LAPIC_ESR, 0);
	check_eq("received", get(f, LAPIC_ESR), 1 << 6);
	check_eq("the error interrupt", bt_lapic_pending(&f->c), 0x70);
	put(f, LAPIC_ICR, 5);
	put(f, LAPIC_ESR, 0);
	check_eq("sent", get(f, LAPIC_ESR), 1 << 5);
	get(f, 0x3a);
	put(f, LAPIC_ESR, 0);
	check_eq("no such register", get(f, LAPIC_ESR), 1 << 7);
	put(f, LAPIC_ESR, 0);
	check_eq("once", get(f, LAPIC_ESR), 0);
	put(f, LAPIC_LVT + 5, 3);
	bt_lapic_post(&f->c, 3, false); /* whose own error has a bad vector */
	put(f, LAPIC_ESR, 0);
	check_eq("ends", get(f, LAPIC_ESR), 1 << 6);
	check_eq("sent to nobody", f->n_ipi, 0);
}

static void test_commands_reach_this_processor_and_others(void **state)
{
	static const struct {
		const char *name;
		bool x2;
		uint32_t high, low;
		bool self, nmi, others;
		uint32_t dest;
	} cases[] = {
		{ "itself, shorthand", false, 0, 0x40055, true, false, false, 0 },
		{ "all", false, 0, 0x80055, true, false, true, 0 },
		{ "all others", false, 0, 0xc0055, false, false, true, 0 },
		{ "itself by id", false, 1 << 24, 0x55, true, false, false, 0 },
		{ "another by id", false, 2 << 24, 0x55, false, false, true, 2 },
		{ "everybody by id", false, 0xff000000, 0x55, true, false, true, 0xffffffff },
		{ "logical, with itself", false, 0x03000000, 0x855, true, false, true, 3 },
		{ "logical, without", false, 0x01000000, 0x855, false, false, true, 1 },
		{ "lowest priority, with itself", false, 0x03000000, 0x955, true, false, false, 0 },
		{ "NMI to itself", false, 1 << 24, 0x400, false, true, false, 0 },
		{ "NMI to all others", false, 0, 0xc0400, false, false, true, 0 },
		{ "INIT", false, 3 << 24, 0x4500, false, false, true, 3 },
		{ "INIT, de-assert", false, 0, 0x88500, false, false, false, 0 },
		{ "startup", false, 3 << 24, 0x4699, false, false, true, 3 },
		{ "x2APIC: itself", true, 1, 0x55, true, false, false, 0 },
		{ "x2APIC: another", true, 0x100, 0x55, false, false, true, 0x100 },
		{ "x2APIC: everybody", true, 0xffffffff, 0x55, true, false, true, 0xffffffff },
		{ "x2APIC: its cluster", true, 0x0000ffff, 0x855, true, false, true, 0xffff },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fixture *f = *state;

		f->c.apic_base = cases[i].x2 ? X2 : X2 & ~(uint32_t)APIC_BASE_X2;
		f->c.lapic.id = 1;
		f->c.lapic.ldr = 0x02000000;
		memset(f->c.lapic.irr, 0, sizeof(f->c.lapic.irr));
		f->c.nmi_pending = false;
		f->n_ipi = 0;
		if (cases[i].x2) {
			put(f, LAPIC_ICR, (uint64_t)cases[i].high << 32 | cases[i].low);
			check_eq(cases[i].name, get(f, LAPIC_ICR),
				 (uint64_t)cases[i].high << 32 | cases[i].low);
		} else {
			put(f, LAPIC_ICR_HIGH, cases[i].high);
			put(f, LAPIC_ICR, cases[i].low | 1 << 12);
			check_eq(cases[i].name, get(f, LAPIC_ICR), cases[i].low);
		}
		check_eq(cases[i].name, f->c.lapic.irr[2] == 1 << 21, cases[i].self);
		check_eq(cases[i].name, f->c.nmi_pending, cases[i].nmi);
		check_eq(cases[i].name, f->n_ipi, cases[i].others);
		if (!f->n_ipi)
			continue;
		check_eq(cases[i].name, f->ipi.low, cases[i].low);
		if (cases[i].dest)
			check_eq(cases[i].name, f->ipi.dest, cases[i].dest);
	}
}

static void test_destinations_in_every_form(void **state)
{
	static const struct {
		const char *name;
		uint32_t ldr, dfr, id;
		bool x2, logical;
		uint32_t dest;
		bool want;
	} cases[] = {
		{ "id", 0, ~0U, 5, false, false, 5, true },
		{ "another", 0, ~0U, 5, false, false, 4, false },
		{ "broadcast", 0, ~0U, 5, false, false, 0xff, true },
		{ "x2APIC broadcast", 0, ~0U, 5, true, false, ~0U, true },
		{ "flat", 0x20000000, ~0U, 5, false, true, 0xf0, true },
		{ "flat, another", 0x20000000, ~0U, 5, false, true, 0x10, false },
		{ "cluster", 0x32000000, 0x0fffffff, 5, false, true, 0x32, true },
		{ "cluster, another of it", 0x32000000, 0x0fffffff, 5, false, true, 0x31, false },
		{ "another cluster", 0x32000000, 0x0fffffff, 5, false, true, 0x42, false },
		{ "x2APIC cluster", 0, ~0U, 0x15, true, true, 0x10020, true },
		{ "x2APIC, another of it", 0, ~0U, 0x15, true, true, 0x10010, false },
		{ "x2APIC, another cluster", 0, ~0U, 0x15, true, true, 0x20, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fixture *f = *state;

		f->c.apic_base = cases[i].x2 ? X2 : X2 & ~(uint32_t)APIC_BASE_X2;
		f->c.lapic.id = cases[i].id;
		f->c.lapic.ldr = cases[i].ldr;
		f->c.lapic.dfr = cases[i].dfr;
		check_eq(cases[i].name, bt_lapic_is_dest(&f->c, cases[i].dest, cases[i].logical),
			 cases[i].want);
	}
}

static void test_x2apic_msrs_refuse_what_is_reserved(void **state)
{
	static const struct {
		unsigned reg;
		uint64_t value;
	} bad[] = {
		{ LAPIC_ID, 0 },
		{ LAPIC_VERSION, 0 },
		{ LAPIC_LDR, 0 },
		{ LAPIC_DFR, 0 },
		{ LAPIC_TPR, 0x100 },
		{ LAPIC_EOI, 1 },
		{ LAPIC_SVR, 0x1ff | 1 << 12 },
		{ LAPIC_ESR, 1 },
		{ LAPIC_ICR_HIGH, 0 },
		{ LAPIC_ICR, 1 << 20 },
		{ LAPIC_LVT, 1 << 13 },
		{ LAPIC_LVT, 3 << 17 },
		{ LAPIC_LVT + 5, 1 << 8 },
		{ LAPIC_TIMER_CURRENT, 0 },
		{ LAPIC_TIMER_DIVIDE, 4 },
		{ 0x3a, 0 },
		{ LAPIC_TIMER_INITIAL, 1ULL << 32 },
		{ LAPIC_SELF_IPI, 0x100 },
		{ LAPIC_LVT_CMCI, 0 },
		{ 0xff, 0 },
	};
	struct fixture *f = *state;
	uint64_t v;

	f->c.apic_base = X2;
	f->c.lapic.id = 0x15;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		refused(f, bad[i].reg, bad[i].value);
	check_eq("id", get(f, LAPIC_ID), 0x15);
	check_eq("ldr", get(f, LAPIC_LDR), 0x10020);
	assert_int_equal(bt_lapic_read(&f->c, LAPIC_DFR, &v), BT_FAULT);
	assert_int_equal(bt_lapic_read(&f->c, LAPIC_EOI, &v), BT_FAULT);
	assert_int_equal(bt_lapic_read(&f->c, LAPIC_SELF_IPI, &v), BT_FAULT);
	put(f, LAPIC_SELF_IPI, 0x44);
	check_eq("to itself", bt_lapic_pending(&f->c), 0x44);
}

static void test_modes_change_as_the_architecture_lets_them(void **state)
{
	enum { OFF = 0, ON = APIC_BASE_ON, ON_X2 = APIC_BASE_ON | APIC_BASE_X2, NO = APIC_BASE_X2 };
	static const struct {
		uint64_t from, to;
		bool ok;
	} cases[] = {
		{ OFF, OFF, true },   { OFF, ON, true },    { OFF, ON_X2, false },  { OFF, NO, false },
		{ ON, OFF, true },    { ON, ON, true },     { ON, ON_X2, true },    { ON, NO, false },
		{ ON_X2, OFF, true }, { ON_X2, ON, false }, { ON_X2, ON_X2, true }, { ON_X2, NO, false },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		f->c.apic_base = 0xfee00000 | cases[i].from;
		check_eq("change", bt_lapic_set_base(&f->c, 0xfee00000 | cases[i].to) == BT_OK, cases[i].ok);
		check_eq("base", f->c.apic_base, 0xfee00000 | (cases[i].ok ? cases[i].to : cases[i].from));
	}
	assert_int_equal(bt_lapic_set_base(&f->c, 1ULL << 46 | ON), BT_FAULT);
	assert_int_equal(bt_lapic_set_base(&f->c, 1 | ON), BT_FAULT);
	f->c.apic_base = 0xfee00000 | ON;
	assert_true(bt_lapic_has_page(&f->c, 0xfee00ff0));
	assert_false(bt_lapic_has_page(&f->c, 0xfee01000));
	f->c.apic_base = X2;
	assert_false(bt_lapic_has_page(&f->c, 0xfee00000));
}

static void test_the_timer_counts_down_and_fires_once(void **state)
{
	struct fixture *f = *state;
	uint64_t first, end;

	f->vm.tsc_khz = 1000000000; /* so that the end is far behind what the host's TSC does in a test */
	put(f, LAPIC_LVT, 0x60);
	put(f, LAPIC_TIMER_DIVIDE, 0); /* by two */
	put(f, LAPIC_TIMER_INITIAL, LONG_TIME);
	first = get(f, LAPIC_TIMER_CURRENT);
	assert_true(first <= LONG_TIME && first > LONG_TIME - (LONG_TIME >> 4));
	while (get(f, LAPIC_TIMER_CURRENT) == first)
		;
	end = bt_lapic_deadline(&f->c);
	assert_true(end > bt_host_tsc());
	bt_lapic_collect(&f->c);
	check_eq("not yet", bt_lapic_pending(&f->c), -1);
	f->c.lapic.deadline = bt_host_tsc() - 1;
	bt_lapic_collect(&f->c);
	check_eq("now", bt_lapic_pending(&f->c), 0x60);
	check_eq("once", bt_lapic_deadline(&f->c), 0);
	check_eq("at its end", get(f, LAPIC_TIMER_CURRENT), 0);
}

static void test_the_divisor_is_as_documented(void **state)
{
	static const struct {
		unsigned bits, by;
	} cases[] = { { 0, 2 }, { 1, 4 }, { 2, 8 }, { 3, 16 }, { 8, 32 }, { 9, 64 }, { 10, 128 }, { 11, 1 } };
	struct fixture *f = *state;

	put(f, LAPIC_LVT, 0x60);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t now, far;

		put(f, LAPIC_TIMER_DIVIDE, cases[i].bits);
		now = bt_host_tsc();
		put(f, LAPIC_TIMER_INITIAL, 1000000000); /* a tick is a nanosecond: TEST_KHZ */
		far = bt_lapic_deadline(&f->c) - now;
		if (far < 1000000000ULL * cases[i].by || far > 1000000000ULL * cases[i].by + 500000000)
			fail_msg("0x%x: %llu", cases[i].bits, (unsigned long long)far);
		put(f, LAPIC_TIMER_INITIAL, 0);
		check_eq("stopped", bt_lapic_deadline(&f->c), 0);
	}
}

static void test_a_periodic_timer_goes_on_and_lost_periods_are_one(void **state)
{
	struct fixture *f = *state;
	uint64_t now;

	put(f, LAPIC_LVT, 0x60 | TIMER_PERIODIC);
	put(f, LAPIC_TIMER_DIVIDE, 11);
	put(f, LAPIC_TIMER_INITIAL, 4000000000U);
	now = bt_host_tsc();
	f->c.lapic.deadline = now - 10 * 4000000000ULL - 5;
	if ((int64_t)f->c.lapic.deadline <= 0) /* a host that has just been started */
		skip();
	bt_lapic_collect(&f->c);
	check_eq("fires", bt_lapic_pending(&f->c), 0x60);
	assert_true(bt_lapic_deadline(&f->c) > now);
	assert_true(bt_lapic_deadline(&f->c) <= now + 4000000000ULL);
	put(f, LAPIC_TIMER_INITIAL, 1);
	f->c.lapic.deadline = 1;
	bt_lapic_collect(&f->c);
	assert_true(bt_lapic_deadline(&f->c) > now);
}

static void test_the_deadline_is_in_the_guests_time(void **state)
{
	struct fixture *f = *state;
	uint64_t now, far;

	f->c.tsc_offset = -bt_host_tsc(); /* its TSC is about 0 */
	bt_lapic_set_tsc_deadline(&f->c, 1000);
	check_eq("not in another mode", bt_lapic_tsc_deadline(&f->c), 0);
	put(f, LAPIC_LVT, 0x60 | TIMER_DEADLINE);
	put(f, LAPIC_TIMER_INITIAL, 5);
	check_eq("the count does nothing", bt_lapic_deadline(&f->c), 0);
	bt_lapic_set_tsc_deadline(&f->c, 1ULL << 40);
	check_eq("reads back", bt_lapic_tsc_deadline(&f->c), 1ULL << 40);
	now = bt_host_tsc();
	far = bt_lapic_deadline(&f->c);
	assert_true(far > now && far - now <= 1ULL << 40 && far - now > 1ULL << 39);
	bt_lapic_collect(&f->c);
	check_eq("not yet", bt_lapic_pending(&f->c), -1);
	bt_lapic_set_tsc_deadline(&f->c, 1);
	bt_lapic_collect(&f->c);
	check_eq("past", bt_lapic_pending(&f->c), 0x60);
	check_eq("then none", bt_lapic_tsc_deadline(&f->c), 0);
	bt_lapic_set_tsc_deadline(&f->c, ~0ULL);
	assert_true(bt_lapic_deadline(&f->c) > now);
	put(f, LAPIC_LVT, 0x60);
	check_eq("leaving the mode disarms", bt_lapic_deadline(&f->c), 0);
}

static void test_a_masked_timer_wakes_nobody(void **state)
{
	struct fixture *f = *state;

	put(f, LAPIC_LVT, 0x60 | LVT_MASKED);
	put(f, LAPIC_TIMER_INITIAL, 1);
	check_eq("no deadline", bt_lapic_deadline(&f->c), 0);
	f->c.lapic.deadline = 1;
	bt_lapic_collect(&f->c);
	check_eq("no interrupt", bt_lapic_pending(&f->c), -1);
	put(f, LAPIC_LVT, 0x60);
	bt_lapic_collect(&f->c);
	check_eq("nor later", bt_lapic_pending(&f->c), -1);
}

static void test_the_saved_page_brings_all_back(void **state)
{
	struct fixture *f = *state;
	uint8_t page[X86_LAPIC_BYTES], again[X86_LAPIC_BYTES];

	f->c.lapic.id = 3;
	put(f, LAPIC_LDR, 0x08000000);
	put(f, LAPIC_DFR, 0x0fffffff);
	put(f, LAPIC_TPR, 0x20);
	put(f, LAPIC_LVT + 3, 0x700 | LVT_MASKED);
	put(f, LAPIC_LVT, 0x60);
	put(f, LAPIC_ICR_HIGH, 7 << 24);
	bt_lapic_post(&f->c, 0x55, true);
	bt_lapic_post(&f->c, 0x66, false);
	bt_lapic_accept(&f->c, 0x66);
	f->vm.tsc_khz = 1000000000;
	put(f, LAPIC_TIMER_INITIAL, LONG_TIME);
	f->exchange->posted[7] = 1;
	f->exchange->posted_level[7] = 1;
	bt_lapic_save(&f->c, page);
	check_eq("version", page[0x30] | page[0x32] << 16, 0x50014);
	check_eq("id", page[0x23], 3);
	check_eq("posted is saved as arrived", page[0x270], 1);
	check_eq("with its trigger", page[0x1f0], 1);
	f->exchange->posted[7] = 0;
	bt_lapic_init(&f->c);
	bt_lapic_load(&f->c, page);
	bt_lapic_save(&f->c, again);
	assert_memory_equal(page, again, 0x390);
	assert_memory_equal(page + 0x3a0, again + 0x3a0, X86_LAPIC_BYTES - 0x3a0);
	assert_true(bt_lapic_deadline(&f->c) > bt_host_tsc());
	check_eq("waits", bt_lapic_pending(&f->c), 0xe0);
}

static void test_garbage_in_a_saved_page_does_no_harm(void **state)
{
	struct fixture *f = *state;
	uint8_t page[X86_LAPIC_BYTES];

	memset(page, 0xff, sizeof(page));
	bt_lapic_load(&f->c, page);
	bt_lapic_collect(&f->c);
	check_eq("no exception is pending", bt_lapic_pending(&f->c) < 16 && bt_lapic_pending(&f->c) >= 0, 0);
	check_eq("illegal vectors", f->c.lapic.irr[0] & 0xffff, 0);
}

#define CASE(x) cmocka_unit_test_setup_teardown(x, setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_after_reset_registers_are_as_documented),
		CASE(test_priorities_decide_what_comes_through),
		CASE(test_the_end_of_a_level_interrupt_is_told),
		CASE(test_an_apic_that_is_off_takes_nothing),
		CASE(test_what_others_post_is_collected),
		CASE(test_bad_vectors_are_errors_that_are_read_once),
		CASE(test_commands_reach_this_processor_and_others),
		CASE(test_destinations_in_every_form),
		CASE(test_x2apic_msrs_refuse_what_is_reserved),
		CASE(test_modes_change_as_the_architecture_lets_them),
		CASE(test_the_timer_counts_down_and_fires_once),
		CASE(test_the_divisor_is_as_documented),
		CASE(test_a_periodic_timer_goes_on_and_lost_periods_are_one),
		CASE(test_the_deadline_is_in_the_guests_time),
		CASE(test_a_masked_timer_wakes_nobody),
		CASE(test_the_saved_page_brings_all_back),
		CASE(test_garbage_in_a_saved_page_does_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
