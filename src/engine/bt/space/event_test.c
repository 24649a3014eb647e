/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/bt/space/cpu_test.h"

#include "engine/bt/space/event.h"
#include "engine/bt/space/lapic.h"

enum { HANDLER = 0x48000, FRAME_WORDS = 6, NO_STACK = 0x500000 };

static uint64_t gate(unsigned selector, uint32_t offset, unsigned attr, unsigned ist)
{
	return (offset & 0xffff) | (uint64_t)selector << 16 | (uint64_t)ist << 32 | (uint64_t)attr << 40 |
	       (uint64_t)(offset >> 16) << 48;
}

static void idt_put(struct fixture *f, unsigned vector, uint64_t low, uint64_t high)
{
	ram_put(f, IDT + vector * 16, low, 8);
	ram_put(f, IDT + vector * 16 + 8, high, 8);
}

/* idt_fill() - every vector at a handler of its own: HANDLER + vector * 16 */
static void idt_fill(struct fixture *f, unsigned attr)
{
	for (unsigned i = 0; i < 256; i++)
		idt_put(f, i, gate(SEL_CODE64, HANDLER + i * 16, attr, 0), 0);
}

static void idt32_fill(struct fixture *f, unsigned attr)
{
	for (unsigned i = 0; i < 256; i++)
		ram_put(f, IDT + i * 8, gate(SEL_CODE32, HANDLER + i * 16, attr, 0), 8);
}

static void check_frame(struct fixture *f, const char *name, unsigned size, const uint64_t *want, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		uint64_t got = ram_get(f, f->c.gpr[X86_RSP] + i * size, size);

		if (got != want[i])
			fail_msg("%s: word %u of the frame: got 0x%llx, want 0x%llx", name, i,
				 (unsigned long long)got, (unsigned long long)want[i]);
	}
}

static void test_long_mode_pushes_a_whole_aligned_frame(void **state)
{
	static const struct {
		const char *name;
		unsigned cpl;
		enum bt_event kind;
		unsigned vector;
		bool has_code;
		uint64_t rf;
	} cases[] = {
		{ "interrupt in the kernel", 0, BT_EVENT_INTERRUPT, 0x30, false, 0 },
		{ "page fault in the kernel", 0, BT_EVENT_FAULT, X86_PAGE, true, X86_RF },
		{ "page fault of the user", 3, BT_EVENT_FAULT, X86_PAGE, true, X86_RF },
		{ "interrupt of the user", 3, BT_EVENT_INTERRUPT, 0x80, false, 0 },
		{ "single step of the user", 3, BT_EVENT_FAULT, X86_DB, false, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fixture *f = *state;
		uint64_t sp, flags = X86_IF | X86_TF | X86_NT | X86_CF | 2, want[FRAME_WORDS], *w = want;

		fixture_long(f);
		fixture_cpl(f, cases[i].cpl, true);
		idt_fill(f, 0x8e);
		sp = cases[i].cpl ? USER_STACK - 8 : KERNEL_STACK - 0x108; /* not aligned */
		f->c.gpr[X86_RSP] = sp;
		f->c.rip = 0x1234;
		f->c.rflags = flags;
		if (cases[i].has_code)
			*w++ = 0x15;
		*w++ = 0x1234;
		*w++ = f->c.seg[X86_CS].selector;
		*w++ = flags | cases[i].rf;
		*w++ = sp;
		*w++ = f->c.seg[X86_SS].selector;
		check_eq(cases[i].name,
			 bt_event_deliver(&f->c, cases[i].kind, cases[i].vector, cases[i].has_code, 0x15),
			 BT_STEP_ON);
		check_eq(cases[i].name, f->c.rip, HANDLER + cases[i].vector * 16);
		check_eq(cases[i].name, f->c.rflags, X86_CF | 2);
		check_eq("level", bt_cpl(&f->c), 0);
		check_eq("stack", f->c.gpr[X86_RSP] + (size_t)(w - want) * 8,
			 cases[i].cpl ? KERNEL_STACK : KERNEL_STACK - 0x110);
		check_frame(f, cases[i].name, 8, want, (unsigned)(w - want));
		check_eq("ss", f->c.seg[X86_SS].selector, cases[i].cpl ? 0 : SEL_DATA);
		assert_int_equal(bt_iret(&f->c, 8), cases[i].has_code ? BT_FAULT : BT_OK);
		if (!cases[i].has_code)
			check_eq("back", f->c.gpr[X86_RSP], sp);
	}
}

static void test_trap_gates_leave_interrupts_on(void **state)
{
	struct fixture *f = *state;

	fixture_long(f);
	idt_fill(f, 0x8f);
	f->c.rflags = X86_IF | 2;
	bt_event_deliver(&f->c, BT_EVENT_INTERRUPT, 0x30, false, 0);
	check_eq("flags", f->c.rflags, X86_IF | 2);
}

static void test_an_interrupt_stack_is_taken_at_any_level(void **state)
{
	struct fixture *f = *state;

	fixture_long(f);
	idt_put(f, 2, gate(SEL_CODE64, HANDLER, 0x8e, 1), 0xffff8880);
	check_eq("step", bt_event_deliver(&f->c, BT_EVENT_INTERRUPT, 2, false, 0), BT_STEP_ON);
	check_eq("stack", f->c.gpr[X86_RSP], IST_STACK - 40);
	check_eq("the upper half of the handler", f->c.rip, 0xffff888000000000 | HANDLER);
	check_eq("ss stays", f->c.seg[X86_SS].selector, SEL_DATA);
}

static void test_protected_mode_gates_of_both_sizes(void **state)
{
	static const struct {
		const char *name;
		unsigned cpl, attr, size;
	} cases[] = {
		{ "32-bit, kernel", 0, 0x8e, 4 },
		{ "32-bit, user", 3, 0x8e, 4 },
		{ "16-bit, kernel", 0, 0x86, 2 },
		{ "16-bit, user", 3, 0x86, 2 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fixture *f = *state;
		unsigned n = cases[i].cpl ? 6 : 4;
		uint64_t cut = cases[i].size == 2 ? 0xffff : 0xffffffff, want[FRAME_WORDS];

		fixture_protected(f);
		fixture_cpl(f, cases[i].cpl, false);
		idt32_fill(f, cases[i].attr);
		f->c.gpr[X86_RSP] = USER_STACK;
		f->c.rip = 0x1234;
		f->c.rflags = X86_IF | 2;
		memcpy(want,
		       (uint64_t[]){ 0x18, 0x1234, f->c.seg[X86_CS].selector,
				     (X86_IF | 2 | (cases[i].size == 4 ? X86_RF : 0)) & cut, USER_STACK & cut,
				     f->c.seg[X86_SS].selector },
		       sizeof(want));
		check_eq(cases[i].name, bt_event_deliver(&f->c, BT_EVENT_FAULT, X86_GP, true, 0x18),
			 BT_STEP_ON);
		check_eq(cases[i].name, f->c.rip, (HANDLER + X86_GP * 16) & cut);
		check_eq("stack", f->c.gpr[X86_RSP],
			 (cases[i].cpl ? KERNEL_STACK : USER_STACK) - n * cases[i].size);
		check_frame(f, cases[i].name, cases[i].size, want, n);
		check_eq("flags", f->c.rflags, 2);
	}
}

static void test_a_16_bit_task_has_its_own_stacks(void **state)
{
	struct fixture *f = *state;

	fixture_protected(f);
	fixture_cpl(f, 3, false);
	idt32_fill(f, 0x8e);
	f->c.seg[X86_TR].attr = 0x83;
	memset(f->ram + TSS, 0, 16);
	ram_put(f, TSS + 2, 0x8000, 2);
	ram_put(f, TSS + 4, SEL_DATA, 2);
	bt_event_deliver(&f->c, BT_EVENT_INTERRUPT, 0x30, false, 0);
	check_eq("stack", f->c.gpr[X86_RSP], 0x8000 - 20);
}

static void test_real_mode_goes_through_the_vectors(void **state)
{
	struct fixture *f = *state;

	f->c.idt.limit = 0x3ff;
	ram_put(f, 0x10 * 4, 0xf0001234, 4);
	f->c.seg[X86_CS].selector = 0x100;
	f->c.seg[X86_CS].base = 0x1000;
	f->c.rip = 0x55;
	f->c.gpr[X86_RSP] = 0x7000;
	f->c.rflags = X86_IF | X86_TF | X86_CF | 2;
	check_eq("step", bt_event_deliver(&f->c, BT_EVENT_SOFT, 0x10, false, 0), BT_STEP_ON);
	check_eq("rip", f->c.rip, 0x1234);
	check_eq("cs", f->c.seg[X86_CS].base, 0xf0000);
	check_eq("flags", f->c.rflags, X86_CF | 2);
	check_frame(f, "real", 2, (const uint64_t[]){ 0x55, 0x100, X86_IF | X86_TF | X86_CF | 2 }, 3);
	assert_int_equal(bt_iret(&f->c, 2), BT_OK);
	check_eq("back", f->c.gpr[X86_RSP], 0x7000);
}

static void test_gates_that_cannot_be_used_end_in_gp(void **state)
{
	static const struct {
		const char *name;
		enum bt_event kind;
		uint64_t gate;
		unsigned cpl, vector, code;
	} cases[] = {
		{ "not there", BT_EVENT_INTERRUPT, 0, 0, X86_GP, 0x30 * 8 + 3 },
		{ "not present", BT_EVENT_INTERRUPT, 0x0e0000080000, 0, X86_NP, 0x30 * 8 + 3 },
		{ "not present, by INT", BT_EVENT_SOFT, 0x6e0000080000, 3, X86_NP, 0x30 * 8 + 2 },
		{ "a task gate", BT_EVENT_INTERRUPT, 0x850000400000, 0, X86_GP, 0x30 * 8 + 3 },
		{ "a 16-bit gate", BT_EVENT_INTERRUPT, 0x860000080000, 0, X86_GP, 0x30 * 8 + 3 },
		{ "INT by the user", BT_EVENT_SOFT, 0x8e0000080000, 3, X86_GP, 0x30 * 8 + 2 },
		{ "null code", BT_EVENT_INTERRUPT, 0x8e0000000000, 0, X86_GP, 1 },
		{ "32-bit code", BT_EVENT_INTERRUPT, 0x8e0000300000, 0, X86_GP, SEL_CODE32 | 1 },
		{ "data", BT_EVENT_SOFT, 0x8e0000100000, 0, X86_GP, SEL_DATA },
		{ "user's code by the kernel", BT_EVENT_SOFT, 0x8e0000280000, 0, X86_GP, SEL_USER64 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fixture *f = *state;

		fixture_long(f);
		fixture_cpl(f, cases[i].cpl, true);
		idt_fill(f, 0x8e);
		idt_put(f, 0x30, cases[i].gate, 0);
		check_eq(cases[i].name, bt_event_deliver(&f->c, cases[i].kind, 0x30, false, 0), BT_STEP_ON);
		check_eq(cases[i].name, f->c.rip, HANDLER + cases[i].vector * 16);
		check_eq(cases[i].name, ram_get(f, f->c.gpr[X86_RSP], 8), cases[i].code);
	}
}

static void test_faults_in_faults_follow_their_classes(void **state)
{
	/* The first's gate is absent (#NP), or its stack is (#PF). */
	static const struct {
		const char *name;
		enum bt_event kind;
		unsigned first;
		bool second_is_page;
		unsigned want;
	} cases[] = {
		{ "invalid opcode, then #NP", BT_EVENT_FAULT, X86_UD, false, X86_NP },
		{ "protection, then #NP", BT_EVENT_FAULT, X86_GP, false, X86_DOUBLE },
		{ "divide error, then #NP", BT_EVENT_FAULT, X86_DE, false, X86_DOUBLE },
		{ "page fault, then #NP", BT_EVENT_FAULT, X86_PAGE, false, X86_DOUBLE },
		{ "INT 13, then #NP", BT_EVENT_SOFT, X86_GP, false, X86_NP },
		{ "interrupt 13, then #NP", BT_EVENT_INTERRUPT, X86_GP, false, X86_NP },
		{ "invalid opcode, then #PF", BT_EVENT_FAULT, X86_UD, true, X86_PAGE },
		{ "protection, then #PF", BT_EVENT_FAULT, X86_GP, true, X86_PAGE },
		{ "page fault, then #PF", BT_EVENT_FAULT, X86_PAGE, true, X86_DOUBLE },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fixture *f = *state;

		fixture_long(f);
		idt_fill(f, 0x8e);
		ram_put(f, TSS + 44, NO_STACK, 8);
		f->c.cr2 = 0;
		if (cases[i].second_is_page)
			idt_put(f, cases[i].first, gate(SEL_CODE64, HANDLER, 0x8e, 2), 0);
		else
			ram_put(f, IDT + cases[i].first * 16 + 5, 0x0e, 1);
		check_eq(cases[i].name, bt_event_deliver(&f->c, cases[i].kind, cases[i].first, false, 0),
			 BT_STEP_ON);
		if (cases[i].want == X86_PAGE)
			check_eq("cr2", f->c.cr2, NO_STACK - 40);
		check_eq(cases[i].name, f->c.rip, HANDLER + cases[i].want * 16);
		if (cases[i].want == X86_DOUBLE)
			check_eq("its code", ram_get(f, f->c.gpr[X86_RSP], 8), 0);
	}
}

static void test_the_third_fault_shuts_down_and_leaves_the_processor(void **state)
{
	struct fixture *f = *state;

	fixture_long(f);
	f->c.idt.limit = 0; /* as a guest that wants to be reset does */
	f->c.rip = 0x1234;
	check_eq("step", bt_event_deliver(&f->c, BT_EVENT_SOFT, 3, false, 0), BT_STEP_SHUTDOWN);
	check_eq("rip", f->c.rip, 0x1234);
	f->c.idt = (struct x86_table){ .base = 1ULL << 47, .limit = 0xfff };
	check_eq("no table", bt_event_deliver(&f->c, BT_EVENT_FAULT, X86_UD, false, 0), BT_STEP_SHUTDOWN);
}

static void test_a_stack_that_is_not_there_is_a_double_fault(void **state)
{
	struct fixture *f = *state;

	fixture_long(f);
	idt_fill(f, 0x8e);
	idt_put(f, X86_DOUBLE, gate(SEL_CODE64, HANDLER, 0x8e, 1), 0);
	f->c.gpr[X86_RSP] = 0x400010; /* behind what is mapped */
	f->c.fault = (struct bt_fault){ .vector = X86_PAGE, .has_code = true, .cr2 = 0x400008 };
	check_eq("step", bt_event_fault(&f->c), BT_STEP_ON);
	check_eq("rip", f->c.rip, HANDLER);
	check_eq("cr2", f->c.cr2, 0x400008);
	check_eq("its frame is on the stack of its own", f->c.gpr[X86_RSP], IST_STACK - 48);
	check_eq("the old one", ram_get(f, IST_STACK - 16, 8), 0x400010);
}

static void test_debug_exceptions_set_dr6_and_free_the_registers(void **state)
{
	struct fixture *f = *state;

	fixture_long(f);
	idt_fill(f, 0x8e);
	f->c.dr7 |= 1 << 13;
	f->c.fault = (struct bt_fault){ .vector = X86_DB, .dr6 = 1 << 14 };
	bt_event_fault(&f->c);
	check_eq("dr6", f->c.dr6, 0xffff4ff0);
	check_eq("dr7", f->c.dr7, 0x400);
}

static void test_interrupts_wait_for_their_flag_and_the_shadow(void **state)
{
	struct fixture *f = *state;

	fixture_long(f);
	idt_fill(f, 0x8e);
	f->c.exchange = f->exchange;
	f->c.lapic.svr |= SVR_ENABLED;
	f->c.run = X86_HALTED;
	assert_false(bt_event_pending(&f->c));
	f->exchange->posted[1] = 1 << 1; /* vector 33 */
	assert_false(bt_event_pending(&f->c));
	f->c.rflags |= X86_IF;
	f->c.shadow = true;
	assert_false(bt_event_pending(&f->c));
	f->c.shadow = false;
	assert_true(bt_event_pending(&f->c));
	check_eq("step", bt_event_take(&f->c), BT_STEP_ON);
	check_eq("rip", f->c.rip, HANDLER + 33 * 16);
	check_eq("in service", f->c.lapic.isr[1], 1 << 1);
	check_eq("runs", f->c.run, X86_RUNNABLE);
	f->c.rflags |= X86_IF;
	assert_false(bt_event_pending(&f->c));
}

static void test_the_8259s_interrupt_comes_through_lint0(void **state)
{
	enum { EXTINT = 7 << 8, NMI = 4 << 8, VECTOR = 0x25, FIXED = 0x31, BASE_ON = 1 << 11 };
	static const struct {
		const char *name;
		uint32_t lint0;
		bool hardware_on, software_on, up, off, want;
	} cases[] = {
		{ "as reset leaves it", EXTINT, true, false, true, false, true },
		{ "with the APIC on", EXTINT, true, true, true, false, true },
		{ "masked", EXTINT | LVT_MASKED, true, true, true, false, false },
		{ "a fixed vector", FIXED, true, true, true, false, false },
		{ "an NMI", NMI, true, true, true, false, false },
		{ "the line is down", EXTINT, true, true, false, false, false },
		{ "interrupts are off", EXTINT, true, true, true, true, false },
		{ "masked, but there is no APIC", EXTINT | LVT_MASKED, false, false, true, false, true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fixture *f = *state;

		bt_cpu_reset(&f->c, 0);
		fixture_long(f);
		idt_fill(f, 0x8e);
		f->c.exchange = f->exchange;
		if (!cases[i].hardware_on)
			f->c.apic_base &= ~(uint64_t)BASE_ON;
		if (cases[i].software_on)
			f->c.lapic.svr |= SVR_ENABLED;
		f->c.lapic.lvt[LVT_LINT0] = cases[i].lint0;
		f->c.rflags = cases[i].off ? 2 : X86_IF | 2;
		f->c.run = X86_HALTED;
		f->exchange->extint = cases[i].up;
		f->exchange->data[0] = VECTOR;
		check_eq(cases[i].name, bt_event_pending(&f->c), cases[i].want);
		check_eq(cases[i].name, bt_event_take(&f->c), BT_STEP_ON);
		check_eq(cases[i].name, f->c.rip, cases[i].want ? HANDLER + VECTOR * 16 : KERNEL_CODE);
		check_eq(cases[i].name, f->c.run, cases[i].want ? X86_RUNNABLE : X86_HALTED);
		check_eq("not taken", f->exchange->extint, cases[i].up && !cases[i].want);
		check_eq("nothing is in service", f->c.lapic.isr[VECTOR / 32], 0);
		f->exchange->extint = 0;
	}
}

static void test_the_8259_goes_before_the_apic_and_keeps_its_interrupt(void **state)
{
	struct fixture *f = *state;

	fixture_long(f);
	idt_fill(f, 0x8e);
	f->c.exchange = f->exchange;
	f->c.lapic.svr |= SVR_ENABLED;
	f->c.rflags = X86_IF | 2;
	f->c.lapic.tpr = 0xf0; /* no concern of the 8259's */
	f->exchange->extint = 1;
	f->exchange->data[0] = 0x25;
	f->exchange->posted[1] = 1 << 1; /* vector 33 */
	assert_true(bt_event_pending(&f->c));
	bt_event_take(&f->c);
	check_eq("the 8259's", f->c.rip, HANDLER + 0x25 * 16);
	f->c.rflags = X86_IF | 2;
	f->c.lapic.tpr = 0;
	assert_true(bt_event_pending(&f->c));
	bt_event_take(&f->c);
	check_eq("the APIC's", f->c.rip, HANDLER + 33 * 16);
}

static void test_one_nmi_at_a_time_until_iret(void **state)
{
	struct fixture *f = *state;

	fixture_long(f);
	idt_fill(f, 0x8e);
	f->c.exchange = f->exchange;
	f->exchange->nmi = 1;
	assert_true(bt_event_pending(&f->c));
	bt_event_take(&f->c);
	check_eq("rip", f->c.rip, HANDLER + 2 * 16);
	f->exchange->nmi = 1;
	assert_false(bt_event_pending(&f->c));
	assert_int_equal(bt_iret(&f->c, 8), BT_OK);
	assert_true(bt_event_pending(&f->c));
	bt_event_take(&f->c);
	check_eq("the second", f->c.rip, HANDLER + 2 * 16);
}

static void test_what_a_restored_state_had_on_its_way_comes_first(void **state)
{
	struct fixture *f = *state;

	fixture_long(f);
	idt_fill(f, 0x8e);
	f->c.nmi_pending = true;
	f->c.coming = (struct x86_events){ .exception_injected = 1,
					   .exception_nr = X86_GP,
					   .exception_has_code = 1,
					   .exception_code = 0x55 };
	assert_true(bt_event_pending(&f->c));
	bt_event_take(&f->c);
	check_eq("rip", f->c.rip, HANDLER + X86_GP * 16);
	check_eq("code", ram_get(f, f->c.gpr[X86_RSP], 8), 0x55);
	bt_event_take(&f->c);
	check_eq("then the NMI", f->c.rip, HANDLER + 2 * 16);
	assert_false(bt_event_pending(&f->c));
}

#define CASE(x) cmocka_unit_test_setup_teardown(x, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_long_mode_pushes_a_whole_aligned_frame),
		CASE(test_trap_gates_leave_interrupts_on),
		CASE(test_an_interrupt_stack_is_taken_at_any_level),
		CASE(test_protected_mode_gates_of_both_sizes),
		CASE(test_a_16_bit_task_has_its_own_stacks),
		CASE(test_real_mode_goes_through_the_vectors),
		CASE(test_gates_that_cannot_be_used_end_in_gp),
		CASE(test_faults_in_faults_follow_their_classes),
		CASE(test_the_third_fault_shuts_down_and_leaves_the_processor),
		CASE(test_a_stack_that_is_not_there_is_a_double_fault),
		CASE(test_debug_exceptions_set_dr6_and_free_the_registers),
		CASE(test_interrupts_wait_for_their_flag_and_the_shadow),
		CASE(test_the_8259s_interrupt_comes_through_lint0),
		CASE(test_the_8259_goes_before_the_apic_and_keeps_its_interrupt),
		CASE(test_one_nmi_at_a_time_until_iret),
		CASE(test_what_a_restored_state_had_on_its_way_comes_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
