/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/bt/space/cpu_test.h"

#include "engine/bt/space/event.h"

enum mode { REAL, PROTECTED, LONG };

static void enter(struct fixture *f, enum mode mode, unsigned cpl)
{
	memset(f->ram, 0, RAM_SIZE);
	bt_cpu_reset(&f->c, 0);
	if (mode == PROTECTED)
		fixture_protected(f);
	else if (mode == LONG)
		fixture_long(f);
	if (mode != REAL)
		fixture_cpl(f, cpl, mode == LONG);
	if (cpl == 3)
		f->c.gpr[X86_RSP] = USER_STACK;
}

/* A fault has to leave all of these. */
struct snapshot {
	uint64_t gpr[X86_GPR_COUNT], rip, rflags;
	struct x86_segment seg[X86_SEG_COUNT];
};

static void snap(const struct bt_cpu *c, struct snapshot *s)
{
	memset(s, 0, sizeof(*s));
	memcpy(s->gpr, c->gpr, sizeof(s->gpr));
	memcpy(s->seg, c->seg, sizeof(s->seg));
	s->rip = c->rip;
	s->rflags = c->rflags;
}

static void check_unchanged(const char *name, const struct bt_cpu *c, const struct snapshot *s)
{
	struct snapshot now;

	snap(c, &now);
	if (memcmp(&now, s, sizeof(now)) != 0)
		fail_msg("%s: a fault changed the processor", name);
}

static uint64_t call_gate32(unsigned selector, uint32_t offset, unsigned attr, unsigned n)
{
	return (offset & 0xffff) | (uint64_t)selector << 16 | (uint64_t)n << 32 | (uint64_t)attr << 40 |
	       (uint64_t)(offset >> 16) << 48;
}

static void test_far_jumps_check_where_they_go(void **state)
{
	static const struct {
		const char *name;
		enum mode mode;
		unsigned cpl, selector;
		uint64_t offset, want; /* 0: gone there */
		unsigned cs;
	} cases[] = {
		{ "real mode", REAL, 0, 0x1234, 0x10, 0, 0x1234 },
		{ "real mode, beyond 64 KiB", REAL, 0, 0x1234, 0x10000, FAULT(X86_GP, 0), 0 },
		{ "code", PROTECTED, 0, SEL_CODE32, 0x1000, 0, SEL_CODE32 },
		{ "code, the user's RPL", PROTECTED, 0, SEL_CODE32 | 3, 0x1000, FAULT(X86_GP, SEL_CODE32),
		  0 },
		{ "code of 16 bits, beyond", PROTECTED, 0, SEL_CODE16, 0x10000, FAULT(X86_GP, 0), 0 },
		{ "null", PROTECTED, 0, 3, 0, FAULT(X86_GP, 0), 0 },
		{ "data", PROTECTED, 0, SEL_DATA, 0, FAULT(X86_GP, SEL_DATA), 0 },
		{ "a task", PROTECTED, 0, SEL_TSS, 0, FAULT(X86_GP, SEL_TSS), 0 },
		{ "kernel's code by the user", PROTECTED, 3, SEL_CODE32, 0, FAULT(X86_GP, SEL_CODE32), 0 },
		{ "conforming by the user", PROTECTED, 3, SEL_CONFORMING, 0x1000, 0, SEL_CONFORMING | 3 },
		{ "user's code by the kernel", PROTECTED, 0, SEL_USER32, 0, FAULT(X86_GP, SEL_USER32), 0 },
		{ "not present", PROTECTED, 0, SEL_FREE, 0, FAULT(X86_NP, SEL_FREE), 0 },
		{ "64-bit", LONG, 0, SEL_CODE64, 0xffff888000001000, 0, SEL_CODE64 },
		{ "64-bit, not canonical", LONG, 0, SEL_CODE64, 1ULL << 47, FAULT(X86_GP, 0), 0 },
		{ "to compatibility mode", LONG, 0, SEL_CODE32, 0x1000, 0, SEL_CODE32 },
		{ "L and D", LONG, 0, SEL_FREE + 8, 0, FAULT(X86_GP, SEL_FREE + 8), 0 },
		{ "gate", PROTECTED, 0, SEL_GATE, 0, 0, SEL_CODE32 },
		{ "gate of a lower level", PROTECTED, 3, SEL_GATE, 0, FAULT(X86_GP, SEL_CODE32), 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fixture *f = *state;
		struct snapshot before;
		int r;

		enter(f, cases[i].mode, cases[i].cpl);
		gdt_put(f, SEL_FREE, descriptor(0, 0xfffff, 0xc01b));
		gdt_put(f, SEL_FREE + 8, descriptor(0, 0xfffff, 0xe09b));
		gdt_put(f, SEL_GATE, call_gate32(SEL_CODE32, 0x12345678, 0xec, 0));
		snap(&f->c, &before);
		r = bt_far_jump(&f->c, (uint16_t)cases[i].selector, cases[i].offset);
		if ((r == BT_OK) != (cases[i].want == 0))
			fail_msg("%s: got %d, fault 0x%llx", cases[i].name, r,
				 (unsigned long long)fault_word(&f->c));
		if (r != BT_OK) {
			check_eq(cases[i].name, fault_word(&f->c), cases[i].want);
			check_unchanged(cases[i].name, &f->c, &before);
			continue;
		}
		check_eq(cases[i].name, f->c.seg[X86_CS].selector, cases[i].cs);
		check_eq(cases[i].name, f->c.rip,
			 cases[i].selector == SEL_GATE ? 0x12345678 : cases[i].offset);
	}
}

static void test_a_far_call_returns_in_every_mode(void **state)
{
	static const struct {
		const char *name;
		enum mode mode;
		unsigned size, selector;
	} cases[] = {
		{ "real", REAL, 2, 0x100 },
		{ "protected, 16", PROTECTED, 2, SEL_CODE16 },
		{ "protected, 32", PROTECTED, 4, SEL_CODE32 },
		{ "long, 32", LONG, 4, SEL_CODE64 },
		{ "long, 64", LONG, 8, SEL_CODE64 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fixture *f = *state;
		uint64_t sp = cases[i].mode == REAL ? 0x8000 : KERNEL_STACK - 0x100, at;
		uint16_t cs;

		enter(f, cases[i].mode, 0);
		f->c.rip = 0x4567;
		f->c.gpr[X86_RSP] = sp;
		cs = f->c.seg[X86_CS].selector;
		at = sp - 2 * cases[i].size;
		assert_int_equal(bt_far_call(&f->c, (uint16_t)cases[i].selector, 0x100, cases[i].size),
				 BT_OK);
		check_eq(cases[i].name, f->c.rip, 0x100);
		check_eq(cases[i].name, f->c.gpr[X86_RSP], at);
		check_eq("pushed rip", ram_get(f, at, cases[i].size), 0x4567);
		check_eq("pushed cs", ram_get(f, at + cases[i].size, cases[i].size), cs);
		if (cases[i].mode != REAL)
			f->c.seg[X86_CS].attr |= cases[i].mode == LONG ? BT_ATTR_L : 0;
		assert_int_equal(bt_far_return(&f->c, cases[i].size, 16), BT_OK);
		check_eq(cases[i].name, f->c.rip, 0x4567);
		check_eq(cases[i].name, f->c.seg[X86_CS].selector, cs);
		check_eq(cases[i].name, f->c.gpr[X86_RSP], sp + 16);
	}
}

static void test_a_call_gate_changes_stacks_and_takes_parameters(void **state)
{
	struct fixture *f = *state;

	enter(f, PROTECTED, 3);
	gdt_put(f, SEL_GATE, call_gate32(SEL_CODE32, 0x5000, 0xec, 2));
	ram_put(f, USER_STACK, 0xaaaa, 4);
	ram_put(f, USER_STACK + 4, 0xbbbb, 4);
	f->c.seg[X86_DS] = bt_flat(SEL_DATA, 0xc093); /* as a kernel's own */
	f->c.rip = 0x1234;
	assert_int_equal(bt_far_call(&f->c, SEL_GATE | 3, 0xdead, 4), BT_OK);
	check_eq("level", bt_cpl(&f->c), 0);
	check_eq("rip", f->c.rip, 0x5000);
	check_eq("stack", f->c.gpr[X86_RSP], KERNEL_STACK - 24);
	check_eq("pushed rip", ram_get(f, KERNEL_STACK - 24, 4), 0x1234);
	check_eq("pushed cs", ram_get(f, KERNEL_STACK - 20, 4), SEL_USER32 | 3);
	check_eq("first parameter", ram_get(f, KERNEL_STACK - 16, 4), 0xaaaa);
	check_eq("second parameter", ram_get(f, KERNEL_STACK - 12, 4), 0xbbbb);
	check_eq("pushed esp", ram_get(f, KERNEL_STACK - 8, 4), USER_STACK);
	check_eq("pushed ss", ram_get(f, KERNEL_STACK - 4, 4), SEL_USER_DATA | 3);
	assert_int_equal(bt_far_return(&f->c, 4, 8), BT_OK);
	check_eq("back at level", bt_cpl(&f->c), 3);
	check_eq("back at rip", f->c.rip, 0x1234);
	check_eq("parameters taken", f->c.gpr[X86_RSP], USER_STACK + 8);
	assert_true(f->c.seg[X86_DS].attr & BT_ATTR_UNUSABLE);
}

static void test_a_64_bit_call_gate_pushes_eight_bytes_each(void **state)
{
	struct fixture *f = *state;

	enter(f, LONG, 3);
	gdt_put(f, SEL_GATE, call_gate32(SEL_CODE64, 0x5000, 0xec, 0));
	ram_put(f, GDT + SEL_GATE + 8, 0xffff8880, 8);
	f->c.rip = 0x1234;
	assert_int_equal(bt_far_call(&f->c, SEL_GATE | 3, 0, 4), BT_OK);
	check_eq("rip", f->c.rip, 0xffff888000005000);
	check_eq("stack", f->c.gpr[X86_RSP], KERNEL_STACK - 32);
	check_eq("pushed rip", ram_get(f, KERNEL_STACK - 32, 8), 0x1234);
	check_eq("pushed rsp", ram_get(f, KERNEL_STACK - 16, 8), USER_STACK);
	check_eq("its ss is null", f->c.seg[X86_SS].selector, 0);
	ram_put(f, GDT + SEL_GATE + 8, 0x0800ffff8880, 8);
	fixture_cpl(f, 3, true);
	assert_int_equal(bt_far_call(&f->c, SEL_GATE | 3, 0, 4), BT_FAULT);
	check_eq("a second half with a type", fault_word(&f->c), FAULT(X86_GP, SEL_GATE));
}

static void put_frame(struct fixture *f, unsigned size, const uint64_t frame[5])
{
	for (unsigned i = 0; i < 5; i++)
		ram_put(f, f->c.gpr[X86_RSP] + i * size, frame[i], size);
}

static void test_iret_checks_its_frame(void **state)
{
	static const struct {
		const char *name;
		enum mode mode;
		unsigned cpl, size;
		uint64_t frame[5], want; /* 0: returned */
	} cases[] = {
		{ "64-bit kernel", LONG, 0, 8, { 0x1000, SEL_CODE64, 2, 0x2000, SEL_DATA }, 0 },
		{ "64-bit kernel, null ss", LONG, 0, 8, { 0x1000, SEL_CODE64, 2, 0x2000, 0 }, 0 },
		{ "64-bit user",
		  LONG,
		  0,
		  8,
		  { 0x1000, SEL_USER64 | 3, 0x202, 0x2000, SEL_USER_DATA | 3 },
		  0 },
		{ "32-bit user",
		  LONG,
		  0,
		  8,
		  { 0x1000, SEL_USER32 | 3, 0x202, 0x2000, SEL_USER_DATA | 3 },
		  0 },
		{ "user, null ss", LONG, 0, 8, { 0x1000, SEL_USER64 | 3, 2, 0, 3 }, FAULT(X86_GP, 0) },
		{ "user, kernel's ss",
		  LONG,
		  0,
		  8,
		  { 0, SEL_USER64 | 3, 2, 0, SEL_DATA | 3 },
		  FAULT(X86_GP, SEL_DATA) },
		{ "user's cs, RPL 0",
		  LONG,
		  0,
		  8,
		  { 0, SEL_USER64, 2, 0, SEL_DATA },
		  FAULT(X86_GP, SEL_USER64) },
		{ "to a lower level",
		  LONG,
		  3,
		  8,
		  { 0, SEL_CODE64, 2, 0, SEL_DATA },
		  FAULT(X86_GP, SEL_CODE64) },
		{ "not canonical", LONG, 0, 8, { 1ULL << 47, SEL_CODE64, 2, 0, 0 }, FAULT(X86_GP, 0) },
		{ "null cs", LONG, 0, 8, { 0, 0, 2, 0, 0 }, FAULT(X86_GP, 0) },
		{ "32-bit kernel", PROTECTED, 0, 4, { 0x1000, SEL_CODE32, 2, 0, 0 }, 0 },
		{ "32-bit to user",
		  PROTECTED,
		  0,
		  4,
		  { 0x1000, SEL_USER32 | 3, 2, 0x2000, SEL_USER_DATA | 3 },
		  0 },
		{ "32-bit, beyond the limit",
		  PROTECTED,
		  0,
		  4,
		  { 0x10000, SEL_CODE16, 2, 0, 0 },
		  FAULT(X86_GP, 0) },
		{ "virtual-8086", PROTECTED, 0, 4, { 0, SEL_CODE32, X86_VM | 2, 0, 0 }, FAULT(X86_GP, 0) },
		{ "16-bit frame", PROTECTED, 0, 2, { 0x1000, SEL_CODE16, 2, 0, 0 }, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fixture *f = *state;
		const uint64_t *frame = cases[i].frame;
		struct snapshot before;
		int r;

		enter(f, cases[i].mode, cases[i].cpl);
		put_frame(f, cases[i].size, frame);
		f->c.nmi_masked = true;
		snap(&f->c, &before);
		r = bt_iret(&f->c, cases[i].size);
		if ((r == BT_OK) != (cases[i].want == 0))
			fail_msg("%s: got %d, fault 0x%llx", cases[i].name, r,
				 (unsigned long long)fault_word(&f->c));
		check_eq(cases[i].name, f->c.nmi_masked, r != BT_OK);
		if (r != BT_OK) {
			check_eq(cases[i].name, fault_word(&f->c), cases[i].want);
			check_unchanged(cases[i].name, &f->c, &before);
			continue;
		}
		check_eq(cases[i].name, f->c.rip, frame[0]);
		check_eq(cases[i].name, f->c.seg[X86_CS].selector, frame[1]);
		check_eq(cases[i].name, bt_cpl(&f->c), frame[1] & 3);
		check_eq(cases[i].name, f->c.rflags, frame[2]);
		check_eq(cases[i].name, f->c.gpr[X86_RSP],
			 frame[3] ? frame[3] : before.gpr[X86_RSP] + 3 * cases[i].size);
	}
}

static void test_iret_gives_only_the_flags_that_the_level_may_change(void **state)
{
	static const struct {
		const char *name;
		unsigned cpl, size;
		uint64_t has, frame, want;
	} cases[] = {
		{ "kernel, all", 0, 8, 2, 0x3f7fd7, 0x3f7fd7 & ~(uint64_t)(X86_VM | X86_RF) },
		{ "user keeps IF and IOPL", 3, 8, 0x202, 0x3002, 0x202 },
		{ "user with IOPL 3 changes IF", 3, 8, 0x3202, 2, 0x3002 },
		{ "user changes AC and TF", 3, 8, 0x202, X86_AC | X86_TF | 2, X86_AC | X86_TF | 0x202 },
		{ "16 bits leave the upper half", 0, 2, X86_AC | 2, X86_ID | 3, X86_AC | 3 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fixture *f = *state;
		unsigned cs = cases[i].cpl ? SEL_USER64 | 3 : SEL_CODE64;
		const uint64_t frame[5] = { 0x1000, cs, cases[i].frame, 0x2000,
					    cases[i].cpl ? SEL_USER_DATA | 3 : SEL_DATA };

		enter(f, LONG, cases[i].cpl);
		f->c.rflags = cases[i].has;
		put_frame(f, cases[i].size, frame);
		if (bt_iret(&f->c, cases[i].size) != BT_OK)
			fail_msg("%s: fault 0x%llx", cases[i].name, (unsigned long long)fault_word(&f->c));
		check_eq(cases[i].name, f->c.rflags, cases[i].want);
	}
}

static void test_iret_with_nested_task_is_refused(void **state)
{
	struct fixture *f = *state;
	const uint64_t frame[5] = { 0x1000, SEL_CODE64, 2, 0x2000, 0 };

	enter(f, LONG, 0);
	put_frame(f, 8, frame);
	f->c.rflags |= X86_NT;
	assert_int_equal(bt_iret(&f->c, 8), BT_FAULT);
	check_eq("fault", fault_word(&f->c), FAULT(X86_GP, 0));
}

static void test_resume_flag_is_kept_only_for_breakpoints(void **state)
{
	struct fixture *f = *state;
	const uint64_t frame[5] = { 0x1000, SEL_CODE64, X86_RF | 2, 0x2000, 0 };

	enter(f, LONG, 0);
	put_frame(f, 8, frame);
	f->c.dr7 = 0x401;
	assert_int_equal(bt_iret(&f->c, 8), BT_OK);
	check_eq("flags", f->c.rflags, X86_RF | 2);
}

static void test_real_mode_iret_takes_six_bytes(void **state)
{
	struct fixture *f = *state;

	enter(f, REAL, 0);
	f->c.gpr[X86_RSP] = 0xfffa;
	ram_put(f, 0xfffa, 0x0246c0001234, 6);
	assert_int_equal(bt_iret(&f->c, 2), BT_OK);
	check_eq("rip", f->c.rip, 0x1234);
	check_eq("cs base", f->c.seg[X86_CS].base, 0xc0000);
	check_eq("flags", f->c.rflags, 0x246);
	check_eq("sp wraps", f->c.gpr[X86_RSP], 0);
}

static void test_iret_to_user_drops_the_kernels_segments(void **state)
{
	struct fixture *f = *state;
	const uint64_t frame[5] = { 0x1000, SEL_USER64 | 3, 2, 0x2000, SEL_USER_DATA | 3 };

	enter(f, LONG, 0);
	f->c.seg[X86_ES] = bt_flat(SEL_USER_DATA | 3, 0xc0f3);
	f->c.gs_base = 0x1234;
	put_frame(f, 8, frame);
	assert_int_equal(bt_iret(&f->c, 8), BT_OK);
	check_eq("the user's stays", f->c.seg[X86_ES].selector, SEL_USER_DATA | 3);
	check_eq("the kernel's is null", f->c.seg[X86_DS].selector, 0);
	check_eq("its base too", f->c.gs_base, 0);
}

static void syscall_msrs(struct fixture *f)
{
	f->c.star = 0x0018000800000000; /* as the test GDT has them: 0x08, 0x10; 0x18, 0x20, 0x28 */
	f->c.lstar = 0xffffffff81000000;
	f->c.cstar = 0xffffffff82000000;
	f->c.sfmask = X86_IF | X86_TF;
}

static void test_syscall_and_sysret_go_there_and_back(void **state)
{
	struct fixture *f = *state;

	enter(f, LONG, 3);
	syscall_msrs(f);
	f->c.rip = 0x401000;
	f->c.rflags = X86_IF | X86_CF | X86_RF | 2;
	assert_int_equal(bt_syscall(&f->c), BT_OK);
	check_eq("rip", f->c.rip, f->c.lstar);
	check_eq("rcx", f->c.gpr[X86_RCX], 0x401000);
	check_eq("r11", f->c.gpr[11], X86_IF | X86_CF | 2);
	check_eq("flags", f->c.rflags, X86_CF | 2);
	check_eq("cs", f->c.seg[X86_CS].selector, 8);
	check_eq("ss", f->c.seg[X86_SS].selector, 0x10);
	check_eq("level", bt_cpl(&f->c), 0);
	assert_true(bt_is_long(&f->c));
	assert_int_equal(bt_sysret(&f->c, true), BT_OK);
	check_eq("back at rip", f->c.rip, 0x401000);
	check_eq("flags back", f->c.rflags, X86_IF | X86_CF | 2);
	check_eq("cs back", f->c.seg[X86_CS].selector, 0x2b);
	check_eq("ss back", f->c.seg[X86_SS].selector, 0x23);
	check_eq("level back", bt_cpl(&f->c), 3);
	assert_true(bt_is_long(&f->c));
}

static void test_sysret_to_32_bits_and_its_refusals(void **state)
{
	struct fixture *f = *state;

	enter(f, LONG, 0);
	syscall_msrs(f);
	f->c.gpr[X86_RCX] = 0x1234567801000;
	assert_int_equal(bt_sysret(&f->c, true), BT_FAULT);
	check_eq("not canonical", fault_word(&f->c), FAULT(X86_GP, 0));
	assert_int_equal(bt_sysret(&f->c, false), BT_OK);
	check_eq("rip", f->c.rip, 0x67801000);
	check_eq("cs", f->c.seg[X86_CS].selector, 0x1b);
	assert_false(bt_is_long(&f->c));
	assert_int_equal(bt_syscall(&f->c), BT_FAULT);
	check_eq("from compatibility mode", fault_word(&f->c), FAULT(X86_UD, NO_CODE));
	fixture_cpl(f, 3, true);
	assert_int_equal(bt_sysret(&f->c, true), BT_FAULT);
	check_eq("by the user", fault_word(&f->c), FAULT(X86_GP, 0));
	f->c.efer &= ~(uint64_t)X86_EFER_SCE;
	assert_int_equal(bt_syscall(&f->c), BT_FAULT);
	check_eq("turned off", fault_word(&f->c), FAULT(X86_UD, NO_CODE));
}

static void test_one_vendors_processors_have_syscall_in_compatibility_mode(void **state)
{
	struct fixture *f = *state;

	enter(f, LONG, 3);
	fixture_cpl(f, 3, false);
	syscall_msrs(f);
	f->c.cpuid[0] = (struct x86_cpuid){ .eax = 1, .ebx = 0x68747541 };
	f->c.n_cpuid = 1;
	assert_int_equal(bt_syscall(&f->c), BT_OK);
	check_eq("rip", f->c.rip, f->c.cstar);
}

static void test_sysenter_and_sysexit(void **state)
{
	struct fixture *f = *state;

	enter(f, LONG, 3);
	assert_int_equal(bt_sysenter(&f->c), BT_FAULT);
	check_eq("no selector", fault_word(&f->c), FAULT(X86_GP, 0));
	f->c.sysenter_cs = 0x08;
	f->c.sysenter_eip = 0xffffffff81000000;
	f->c.sysenter_esp = 0xffff888000000100;
	f->c.rflags = X86_IF | 2;
	assert_int_equal(bt_sysenter(&f->c), BT_OK);
	check_eq("rip", f->c.rip, f->c.sysenter_eip);
	check_eq("rsp", f->c.gpr[X86_RSP], f->c.sysenter_esp);
	check_eq("flags", f->c.rflags, 2);
	check_eq("level", bt_cpl(&f->c), 0);
	f->c.gpr[X86_RCX] = 0x7000;
	f->c.gpr[X86_RDX] = 0x6000;
	assert_int_equal(bt_sysexit(&f->c, true), BT_OK);
	check_eq("cs", f->c.seg[X86_CS].selector, 0x2b);
	check_eq("ss", f->c.seg[X86_SS].selector, 0x33);
	check_eq("back at rip", f->c.rip, 0x6000);
	check_eq("back at rsp", f->c.gpr[X86_RSP], 0x7000);
	assert_int_equal(bt_sysexit(&f->c, true), BT_FAULT);
	check_eq("by the user", fault_word(&f->c), FAULT(X86_GP, 0));
}

#define CASE(x) cmocka_unit_test_setup_teardown(x, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_far_jumps_check_where_they_go),
		CASE(test_a_far_call_returns_in_every_mode),
		CASE(test_a_call_gate_changes_stacks_and_takes_parameters),
		CASE(test_a_64_bit_call_gate_pushes_eight_bytes_each),
		CASE(test_iret_checks_its_frame),
		CASE(test_iret_gives_only_the_flags_that_the_level_may_change),
		CASE(test_iret_with_nested_task_is_refused),
		CASE(test_resume_flag_is_kept_only_for_breakpoints),
		CASE(test_real_mode_iret_takes_six_bytes),
		CASE(test_iret_to_user_drops_the_kernels_segments),
		CASE(test_syscall_and_sysret_go_there_and_back),
		CASE(test_sysret_to_32_bits_and_its_refusals),
		CASE(test_one_vendors_processors_have_syscall_in_compatibility_mode),
		CASE(test_sysenter_and_sysexit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
