/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/bt/space/cpu_test.h"

#include <errno.h>

#include "engine/bt/space/event.h"
#include "engine/bt/space/lapic.h"

static struct x86_state *state_of(struct fixture *f)
{
	struct x86_state *s = aligned_alloc(64, sizeof(*s));

	BUG_ON(!s);
	memset(s, 0, sizeof(*s));
	bt_cpu_get(&f->c, s);
	return s;
}

static void test_after_power_on_the_first_processor_runs_at_the_reset_vector(void **state)
{
	struct fixture *f = *state;
	struct bt_cpu *c = &f->c;

	c->cpuid[0] = (struct x86_cpuid){ .leaf = 1, .eax = 0x806f8 };
	c->n_cpuid = 1;
	bt_cpu_reset(c, 0);
	check_eq("first byte", bt_seg_base(c, X86_CS) + c->rip, 0xfffffff0);
	check_eq("selector", c->seg[X86_CS].selector, 0xf000);
	check_eq("flags", c->rflags, 2);
	check_eq("cr0", c->cr0, 0x60000010);
	check_eq("family and model", c->gpr[X86_RDX], 0x806f8);
	check_eq("xcr0", c->xcr0, 1);
	check_eq("dr6", c->dr6, 0xffff0ff0);
	check_eq("dr7", c->dr7, 0x400);
	check_eq("run", c->run, X86_RUNNABLE);
	check_eq("APIC", c->apic_base, 0xfee00900);
	check_eq("level", bt_cpl(c), 0);
	assert_false(bt_is_long(c));
	bt_cpu_reset(c, 4);
	check_eq("another waits", c->run, X86_UNINITIALIZED);
	check_eq("its APIC", c->apic_base, 0xfee00800);
	check_eq("its id", c->lapic.id, 4);
}

static void test_init_and_startup_make_another_processor_run(void **state)
{
	struct fixture *f = *state;
	struct bt_cpu *c = &f->c;

	bt_cpu_reset(c, 1);
	fixture_long(f);
	c->lstar = 0xffffffff81000000;
	c->xcr0 = 7;
	c->cr0 |= X86_CR0_CD;
	c->apic_base |= APIC_BASE_X2;
	c->lapic.tpr = 0x30;
	bt_cpu_init(c);
	check_eq("run", c->run, X86_INIT_RECEIVED);
	check_eq("cr0", c->cr0, 0x40000010);
	check_eq("cr4, efer", c->cr4 | c->efer, 0);
	check_eq("MSRs stay", c->lstar, 0xffffffff81000000);
	check_eq("XCR0 stays", c->xcr0, 7);
	check_eq("x2APIC stays", c->apic_base, 0xfee00c00);
	check_eq("its registers do not", c->lapic.tpr, 0);
	check_eq("its id does", c->lapic.id, 1);
	assert_true(f->n_flush[BT_FLUSH_ALL] > 0);
	bt_cpu_startup(c, 0x9a);
	check_eq("run", c->run, X86_RUNNABLE);
	check_eq("first byte", bt_seg_base(c, X86_CS) + c->rip, 0x9a000);
	check_eq("selector", c->seg[X86_CS].selector, 0x9a00);
}

static void test_a_state_goes_out_and_in_again(void **state)
{
	struct fixture *f = *state;
	struct x86_state *s, *again;

	fixture_long(f);
	for (int i = 0; i < X86_GPR_COUNT; i++)
		f->c.gpr[i] = 0x1111111111111111U * (unsigned)i;
	f->c.fs_base = 0x7f0000001000;
	f->c.gs_base = 0xffff888000001000;
	f->c.kernel_gs_base = 0x1234;
	f->c.cr2 = 0xdead;
	f->c.dr[2] = 0x4000;
	f->c.dr7 = 0x402;
	f->c.xcr0 = 7;
	f->c.lapic.tpr = 0x50;
	f->c.lapic.svr = 0x1ff;
	f->c.nmi_masked = true;
	f->c.shadow = true;
	f->c.run = X86_HALTED;
	s = state_of(f);
	check_eq("cr8", s->cr8, 5);
	check_eq("fs", s->seg[X86_FS].base, 0x7f0000001000);
	bt_cpu_reset(&f->c, 0);
	assert_int_equal(bt_cpu_set(&f->c, s), 0);
	check_eq("gs", f->c.gs_base, 0xffff888000001000);
	check_eq("kernel gs", f->c.kernel_gs_base, 0x1234);
	assert_true(f->c.nmi_masked && f->c.shadow);
	again = state_of(f);
	for (unsigned i = 0; i < s->n_msrs; i++) /* that runs on */
		if (s->msr[i].index == 0x10)
			again->msr[i].value = s->msr[i].value;
	assert_memory_equal(s, again, sizeof(*s));
	free(s);
	free(again);
}

static void test_what_a_state_leaves_out_stays_as_reset(void **state)
{
	struct fixture *f = *state;
	struct x86_state *s = state_of(f);

	s->n_msrs = 0;
	s->xcr0 = 0;
	s->dr7 = 0;
	s->apic_base = 0;
	s->tsc_khz = 0;
	memset(s->lapic, 0, sizeof(s->lapic));
	s->cr8 = 3;
	assert_int_equal(bt_cpu_set(&f->c, s), 0);
	check_eq("xcr0", f->c.xcr0, 1);
	check_eq("dr7", f->c.dr7, 0x400);
	check_eq("APIC", f->c.apic_base, 0xfee00900);
	check_eq("its registers", f->c.lapic.svr, 0xff);
	check_eq("but its priority", f->c.lapic.tpr, 0x30);
	check_eq("PAT", f->c.pat, 0x0007040600070406);
	free(s);
}

enum what { RUN, MSRS, PG_WITHOUT_PE, CR4, CR3, LMA, L_IN_LEGACY, XCR0, KHZ, SMM, VM86, VECTOR };

static void spoil(struct x86_state *s, enum what what)
{
	switch (what) {
	case RUN: s->run = X86_RUN_COUNT; break;
	case MSRS: s->n_msrs = X86_MSRS_MAX + 1; break;
	case PG_WITHOUT_PE: s->cr0 = X86_CR0_PG; break;
	case CR4: s->cr4 = 1 << 13; break;
	case CR3: s->cr3 = 1ULL << 46; break;
	case LMA: s->efer = X86_EFER_LMA; break;
	case L_IN_LEGACY: s->seg[X86_CS].attr |= BT_ATTR_L; break;
	case XCR0: s->xcr0 = 4; break;
	case KHZ: s->tsc_khz = TEST_KHZ + TEST_KHZ / 1000; break;
	case SMM: s->events.smi_smm = 1; break;
	case VM86: s->rflags |= X86_VM; break;
	case VECTOR: s->events.exception_nr = 32; break;
	}
}

static void test_states_that_cannot_be_change_nothing(void **state)
{
	for (int what = RUN; what <= (int)VECTOR; what++) {
		struct fixture *f = *state;
		struct x86_state *s = state_of(f);
		struct bt_cpu before = f->c;

		s->gpr[X86_RAX] = 0x1234;
		spoil(s, (enum what)what);
		if (bt_cpu_set(&f->c, s) != -EINVAL)
			fail_msg("case %d is taken", what);
		assert_memory_equal(&before, &f->c, sizeof(before));
		free(s);
	}
}

static void test_events_on_their_way_are_delivered_after_the_restore(void **state)
{
	struct fixture *f = *state;
	struct x86_state *s;

	fixture_long(f);
	ram_put(f, IDT + 14 * 16, 0x00008e0000080000 | 0x7000, 8);
	s = state_of(f);
	s->events = (struct x86_events){ .exception_pending = 1,
					 .exception_nr = X86_PAGE,
					 .exception_has_code = 1,
					 .exception_code = 2,
					 .exception_has_payload = 1,
					 .exception_payload = 0xbad };
	assert_int_equal(bt_cpu_set(&f->c, s), 0);
	memset(s, 0, sizeof(*s));
	bt_cpu_get(&f->c, s);
	check_eq("is told", s->events.exception_injected, 1);
	assert_true(bt_event_pending(&f->c));
	check_eq("step", bt_event_take(&f->c), BT_STEP_ON);
	check_eq("rip", f->c.rip, 0x7000);
	check_eq("cr2", f->c.cr2, 0xbad);
	free(s);
}

static void test_a_startup_that_waits_is_part_of_the_state(void **state)
{
	struct fixture *f = *state;
	struct x86_state *s;

	bt_cpu_reset(&f->c, 1);
	f->c.exchange = f->exchange;
	f->c.run = X86_INIT_RECEIVED;
	f->exchange->sipi = 0x19a;
	f->exchange->nmi = 1;
	s = state_of(f);
	check_eq("run", s->run, X86_SIPI_RECEIVED);
	check_eq("vector", s->events.sipi_vector, 0x9a);
	check_eq("NMI", s->events.nmi_pending, 1);
	f->exchange->sipi = 0;
	assert_int_equal(bt_cpu_set(&f->c, s), 0);
	check_eq("run", f->c.run, X86_INIT_RECEIVED);
	check_eq("waits again", f->exchange->sipi, 0x19a);
	free(s);
}

#define CASE(x) cmocka_unit_test_setup_teardown(x, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_after_power_on_the_first_processor_runs_at_the_reset_vector),
		CASE(test_init_and_startup_make_another_processor_run),
		CASE(test_a_state_goes_out_and_in_again),
		CASE(test_what_a_state_leaves_out_stays_as_reset),
		CASE(test_states_that_cannot_be_change_nothing),
		CASE(test_events_on_their_way_are_delivered_after_the_restore),
		CASE(test_a_startup_that_waits_is_part_of_the_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
