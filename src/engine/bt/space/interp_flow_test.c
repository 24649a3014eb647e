/* SPDX-License-Identifier: Apache-2.0 */
/* interp_flow_test.c - branches, stacks, flags as a whole, far transfers: by hand, in each mode */
#include "engine/bt/space/interp_test.h"

static void (*const modes[])(struct fixture *f) = { long_mode, protected_mode, real_mode };

/* goes() - one step from code_at to @want. */
static void goes(struct fixture *f, const char *code, size_t len, uint64_t want)
{
	f->c.rip = code_at;
	check_eq("step", steps(f, code, len), BT_STEP_ON);
	check_eq("goes on at", f->c.rip, want);
}

static uint64_t cut(uint64_t v)
{
	return word == 8 ? v : word == 4 ? (uint32_t)v : (uint16_t)v;
}

/* top() - what lies at the stack's top, @n words up */
static uint64_t top(const struct fixture *f, unsigned n)
{
	return stacked(f, n);
}

static void test_conditions_are_those_of_the_flags(void **state)
{
	struct fixture *f = *state;

	long_mode(f);
	for (unsigned bits = 0; bits < 32; bits++) {
		bool c = bits & 1, z = bits & 2, s = bits & 4, o = bits & 8, p = bits & 16;
		const bool yes[] = { o, c, z, c || z, s, p, s != o, z || s != o };

		f->c.rflags = 2 | (c ? X86_CF : 0) | (z ? X86_ZF : 0) | (s ? X86_SF : 0) | (o ? X86_OF : 0) |
			      (p ? X86_PF : 0);
		for (unsigned cc = 0; cc < 16; cc++) {
			const char code[] = { (char)(0x70 | cc), 0x10 };
			const char near[] = { 0x0f, (char)(0x80 | cc), (char)0xf0, -1, -1, -1 };
			bool go = yes[cc >> 1] != (cc & 1);

			goes(f, code, 2, code_at + 2 + (go ? 0x10 : 0));
			goes(f, near, 6, code_at + 6 - (go ? 0x10 : 0));
		}
	}
}

static void test_loops_count_in_the_address_size(void **state)
{
	struct fixture *f = *state;

	for (size_t m = 0; m < ARRAY_SIZE(modes); m++) {
		modes[m](f);
		f->c.gpr[X86_RCX] = 2;
		goes(f, CODE("\xe2\x20"), code_at + 0x22); /* LOOP */
		goes(f, CODE("\xe2\x20"), code_at + 2);
		check_eq("rcx", f->c.gpr[X86_RCX], 0);
		goes(f, CODE("\xe3\x20"), code_at + 0x22); /* JCXZ */
		goes(f, CODE("\xe2\x20"), code_at + 0x22);
		check_eq("rcx", f->c.gpr[X86_RCX], cut(~0ULL));
		goes(f, CODE("\xe3\x20"), code_at + 2);
		f->c.gpr[X86_RCX] = 2;
		f->c.rflags = 2 | X86_ZF;
		goes(f, CODE("\xe0\x20"), code_at + 2);    /* LOOPNE */
		goes(f, CODE("\xe1\x20"), code_at + 2);    /* LOOPE, to 0 */
		goes(f, CODE("\xe1\x20"), code_at + 0x22); /* again */
	}
	real_mode(f);
	f->c.gpr[X86_RCX] = 0x10000;
	goes(f, CODE("\xe3\x20"), code_at + 0x22);
	goes(f, CODE("\x67\xe3\x20"), code_at + 3); /* JECXZ */
	long_mode(f);
	f->c.gpr[X86_RCX] = 0x100000000;
	goes(f, CODE("\x67\xe3\x20"), code_at + 0x23);
	goes(f, CODE("\x67\xe2\x20"), code_at + 0x23);
	check_eq("ecx", f->c.gpr[X86_RCX], 0xffffffff);
}

static void test_calls_and_returns(void **state)
{
	struct fixture *f = *state;

	for (size_t m = 0; m < ARRAY_SIZE(modes); m++) {
		unsigned len = m == 2 ? 3 : 5;

		modes[m](f);
		goes(f, m == 2 ? "\xe8\x40\x00" : "\xe8\x40\x00\x00\x00", len, code_at + len + 0x40);
		check_eq("rsp", f->c.gpr[X86_RSP], stack_top - word);
		check_eq("back", top(f, 0), code_at + len);
		goes(f, CODE("\xc3"), code_at + len);
		check_eq("rsp", f->c.gpr[X86_RSP], stack_top);
		f->c.gpr[X86_RCX] = code_at + 0x80;
		goes(f, CODE("\xff\xd1"), code_at + 0x80); /* CALL rcx */
		check_eq("back", top(f, 0), code_at + 2);
		goes(f, CODE("\xc2\x10\x00"), code_at + 2); /* RET 16 */
		check_eq("rsp", f->c.gpr[X86_RSP], stack_top + 16);
		goes(f, CODE("\xff\xe1"), code_at + 0x80); /* JMP rcx */
	}
	long_mode(f);
	f->c.gpr[X86_RCX] = 0x8000000000000000;
	faults(f, CODE("\xff\xd1"), X86_GP, 0);
	ram_put(f, IDT + 16 * X86_PAGE + 4, 1, 1); /* page faults have a stack of their own */
	stack_top = HOLE + 8;
	f->c.gpr[X86_RCX] = code_at;
	faults(f, CODE("\xff\xd1"), X86_PAGE, 2);
	check_eq("cr2", f->c.cr2, HOLE);
	faults(f, CODE("\xe8\x00\x00\x00\x00"), X86_PAGE, 2);
	stack_top = HOLE;
	faults(f, CODE("\xc3"), X86_PAGE, 0);
	protected_mode(f);
	f->c.seg[X86_CS].limit = KERNEL_CODE + 0x1000;
	f->c.gpr[X86_RCX] = KERNEL_CODE + 0x1001;
	begin(f);
	check_eq("step", steps(f, CODE("\xff\xe1")), BT_STEP_ON);
	check_eq("exception", vector_of(f), X86_GP);
	f->c.seg[X86_CS].limit = KERNEL_CODE + 1; /* an instruction over the end */
	begin(f);
	check_eq("step", steps(f, CODE("\xb8\x00\x00\x00\x00")), BT_STEP_ON);
	check_eq("exception", vector_of(f), X86_GP);
	f->c.seg[X86_CS].limit = KERNEL_CODE + 1;
	begin(f);
	check_eq("step", steps(f, CODE("\x89\xc0")), BT_STEP_ON);
	check_eq("rip", f->c.rip, KERNEL_CODE + 2);
}

static void test_pushes_and_pops(void **state)
{
	struct fixture *f = *state;

	for (size_t m = 0; m < ARRAY_SIZE(modes); m++) {
		uint64_t data = m == 2 ? 0 : DATA;

		modes[m](f);
		f->c.gpr[X86_RAX] = 0x1122334455667788;
		f->c.gpr[X86_RDI] = f->c.gpr[X86_RBX] = data;
		runs(f, CODE("\x50")); /* PUSH rax */
		check_eq("rsp", f->c.gpr[X86_RSP], stack_top - word);
		check_eq("pushed", top(f, 0), cut(0x1122334455667788));
		runs(f, CODE("\x6a\x80")); /* PUSH -128 */
		check_eq("pushed", top(f, 0), cut(-0x80ULL));
		runs(f, CODE("\x54")); /* PUSH rsp: as it was */
		check_eq("pushed", top(f, 0), stack_top - 2ULL * word);
		runs(f, CODE("\x5c")); /* POP rsp */
		check_eq("rsp", f->c.gpr[X86_RSP], stack_top - 2ULL * word);
		runs(f, CODE("\x8f\x07")); /* POP [rdi] */
		check_eq("in memory", ram_get(f, DATA, word), cut(-0x80ULL));
		runs(f, CODE("\xff\x37")); /* PUSH [rdi] */
		check_eq("pushed", top(f, 0), cut(-0x80ULL));
		begin(f);
		runs(f, CODE("\x66\x50")); /* the other size */
		check_eq("rsp", f->c.gpr[X86_RSP], stack_top - (m == 2 ? 4 : 2));
		check_eq("pushed", ram_get(f, linear(f, X86_SS, f->c.gpr[X86_RSP]), m == 2 ? 4 : 2),
			 m == 2 ? 0x55667788 : 0x7788);
		f->c.gpr[X86_RCX] = 0x1111111111111111;
		runs(f, CODE("\x66\x59")); /* POP cx, ecx */
		check_eq("popped", f->c.gpr[X86_RCX], m == 2 ? 0x55667788 : 0x1111111111117788);
		check_eq("rsp", f->c.gpr[X86_RSP], stack_top);
	}
	long_mode(f);
	f->c.gpr[X86_RSP] = stack_top = DATA;
	ram_put(f, DATA, 0x1234, 8);
	runs(f, CODE("\x8f\x44\x24\x10")); /* POP [rsp + 16]: by RSP as it is then */
	check_eq("popped", ram_get(f, DATA + 24, 8), 0x1234);
	f->c.gpr[X86_RDI] = HOLE;
	faults(f, CODE("\x8f\x07"), X86_PAGE, 2);
	check_eq("rsp", f->c.gpr[X86_RSP], stack_top);
}

static void test_all_registers_are_pushed_and_popped(void **state)
{
	struct fixture *f = *state;

	for (size_t m = 1; m < ARRAY_SIZE(modes); m++) {
		modes[m](f);
		for (unsigned r = 0; r < 8; r++)
			if (r != X86_RSP)
				f->c.gpr[r] = 0x11111111 * r;
		runs(f, CODE("\x60"));
		check_eq("rsp", f->c.gpr[X86_RSP], stack_top - 8ULL * word);
		for (unsigned r = 0; r < 8; r++)
			check_eq("pushed", top(f, 7 - r), r == X86_RSP ? stack_top : cut(0x11111111 * r));
		for (unsigned r = 0; r < 8; r++)
			if (r != X86_RSP)
				f->c.gpr[r] = 0x99999999;
		runs(f, CODE("\x61"));
		for (unsigned r = 0; r < 8; r++)
			check_eq("popped", f->c.gpr[r],
				 r == X86_RSP ? stack_top :
				 m == 2       ? 0x99990000 | cut(0x11111111 * r) :
						0x11111111 * r);
	}
	long_mode(f);
	faults(f, CODE("\x60"), X86_UD, -1);
}

static void test_frames_are_entered_and_left(void **state)
{
	struct fixture *f = *state;

	for (size_t m = 0; m < ARRAY_SIZE(modes); m++) {
		uint64_t outer, frame;

		modes[m](f);
		outer = stack_top + 0x40;
		frame = stack_top - word;
		f->c.gpr[X86_RBP] = outer;
		ram_put(f, linear(f, X86_SS, outer - word), 0x7171, word);
		ram_put(f, linear(f, X86_SS, outer - 2ULL * word), 0x7272, word);
		runs(f, CODE("\xc8\x20\x00\x00")); /* ENTER 32, 0 */
		check_eq("rbp", f->c.gpr[X86_RBP], frame);
		check_eq("rsp", f->c.gpr[X86_RSP], frame - 0x20);
		check_eq("outer frame", ram_get(f, linear(f, X86_SS, frame), word), outer);
		runs(f, CODE("\xc9")); /* LEAVE */
		check_eq("rbp", f->c.gpr[X86_RBP], outer);
		check_eq("rsp", f->c.gpr[X86_RSP], stack_top);
		runs(f, CODE("\xc8\x08\x00\x03")); /* ENTER 8, 3 */
		check_eq("rbp", f->c.gpr[X86_RBP], frame);
		check_eq("rsp", f->c.gpr[X86_RSP], frame - 3ULL * word - 8);
		check_eq("display", ram_get(f, linear(f, X86_SS, frame - word), word), 0x7171);
		check_eq("display", ram_get(f, linear(f, X86_SS, frame - 2ULL * word), word), 0x7272);
		check_eq("own frame", ram_get(f, linear(f, X86_SS, frame - 3ULL * word), word), frame);
	}
	long_mode(f);
	f->c.gpr[X86_RBP] = HOLE;
	faults(f, CODE("\xc9"), X86_PAGE, 0);
}

static void test_flags_are_loaded_by_privilege(void **state)
{
	const uint64_t all = X86_ARITH | X86_TF | X86_IF | X86_DF | X86_IOPL | X86_NT | X86_AC | X86_ID;
	struct fixture *f = *state;
	unsigned bytes;

	for (size_t m = 0; m < ARRAY_SIZE(modes); m++) {
		modes[m](f);
		bytes = word;
		f->c.rflags = 2 | X86_CF | X86_IF | X86_RF;
		runs(f, CODE("\x9c"));
		check_eq("pushed", top(f, 0), 2 | X86_CF | X86_IF);
		ram_put(f, linear(f, X86_SS, f->c.gpr[X86_RSP]), all | X86_VM | X86_RF, bytes);
		runs(f, CODE("\x9d"));
		check_eq("flags", f->c.rflags, (2 | all) & (m == 2 ? 0xffff : ~0ULL));
	}
	long_mode(f);
	fixture_cpl(f, 3, true);
	code_at = USER_PAGE;
	f->c.gpr[X86_RSP] = USER_STACK;
	ram_put(f, USER_STACK, all & ~(uint64_t)X86_TF, 8);
	runs(f, CODE("\x9d"));
	check_eq("flags", f->c.rflags, 2 | X86_ARITH | X86_DF | X86_NT | X86_AC | X86_ID);
	f->c.rflags = 2 | X86_IOPL;
	ram_put(f, USER_STACK, X86_IF, 8);
	f->c.gpr[X86_RSP] = USER_STACK;
	runs(f, CODE("\x9d"));
	check_eq("flags", f->c.rflags, 2 | X86_IF | X86_IOPL);
	runs(f, CODE("\xfa"));
	check_eq("flags", f->c.rflags, 2 | X86_IOPL);
	f->c.rflags = 2;
	stack_top = USER_STACK;
	faults(f, CODE("\xfb"), X86_GP, 0);
	fixture_cpl(f, 3, true);
	faults(f, CODE("\xf4"), X86_GP, 0); /* HLT */
}

static void test_a_system_starts_from_real_mode(void **state)
{
	struct fixture *f = *state;
	const struct {
		uint16_t limit;
		uint32_t base;
	} __attribute__((packed)) table = { GDT_END - 1, GDT };

	real_mode(f);
	fixture_gdt(f);
	f->c.gdt = (struct x86_table){ 0 };
	memcpy(f->ram + DATA + 0x10, &table, sizeof(table));
	runs(f, CODE("\x66\x0f\x01\x16\x10\x00")); /* LGDT [0x10] */
	check_eq("base", f->c.gdt.base, GDT);
	f->c.gpr[X86_RAX] = f->c.cr0 | X86_CR0_PE;
	runs(f, CODE("\x0f\x22\xc0"));                                  /* MOV cr0, eax */
	goes(f, CODE("\x66\xea\x00\x00\x04\x00\x30\x00"), KERNEL_CODE); /* JMP SEL_CODE32:KERNEL_CODE */
	check_eq("cs", f->c.seg[X86_CS].selector, SEL_CODE32);
	check_eq("base", f->c.seg[X86_CS].base, 0);
	code_at = KERNEL_CODE;
	f->c.gpr[X86_RAX] = SEL_DATA;
	runs(f, CODE("\x8e\xd0")); /* MOV ss, eax */
	assert_true(f->c.shadow);
	check_eq("limit", f->c.seg[X86_SS].limit, 0xffffffff);
	runs(f, CODE("\xbc\x00\x10\x03\x00")); /* MOV esp, 0x31000 */
	assert_false(f->c.shadow);
	runs(f, CODE("\x8e\xd8"));
	runs(f, CODE("\xa1\x10\x00\x06\x00")); /* MOV eax, [DATA + 0x10] */
	check_eq("eax", f->c.gpr[X86_RAX], (uint32_t)((uint64_t)GDT << 16 | (GDT_END - 1)));
	runs(f, CODE("\x1e")); /* PUSH ds */
	runs(f, CODE("\x17")); /* POP ss */
	assert_true(f->c.shadow);
}

static void test_far_calls_and_returns(void **state)
{
	struct fixture *f = *state;

	real_mode(f);
	goes(f, CODE("\x9a\x34\x12\x00\x20"), 0x1234); /* CALL 2000:1234 */
	check_eq("cs", f->c.seg[X86_CS].base, 0x20000);
	check_eq("ip pushed", top(f, 0), 5);
	check_eq("cs pushed", top(f, 1), 0x4000);
	memcpy(f->ram + 0x21234, "\xca\x04\x00", 3); /* RETF 4 */
	check_eq("step", bt_interp(&f->c), BT_STEP_ON);
	check_eq("rip", f->c.rip, 5);
	check_eq("cs", f->c.seg[X86_CS].base, 0x40000);
	check_eq("sp", f->c.gpr[X86_RSP], stack_top + 4);
	f->c.gpr[X86_RBX] = 0;
	ram_put(f, DATA, 0x21110042, 4);
	goes(f, CODE("\xff\x2f"), 0x42); /* JMP FAR [bx] */
	check_eq("cs", f->c.seg[X86_CS].base, 0x21110);
	real_mode(f);
	f->c.gpr[X86_RBX] = 0;
	runs(f, CODE("\xc4\x0f")); /* LES cx, [bx] */
	check_eq("cx", f->c.gpr[X86_RCX], 0x42);
	check_eq("es", f->c.seg[X86_ES].base, 0x21110);
	f->c.rflags = 2;
	f->c.gpr[X86_RSP] = stack_top - 6;
	ram_put(f, 0x30000 + stack_top - 6, 0x0077, 2);
	ram_put(f, 0x30000 + stack_top - 4, 0x2000, 2);
	ram_put(f, 0x30000 + stack_top - 2, 0x0203, 2);
	goes(f, CODE("\xcf"), 0x77); /* IRET */
	check_eq("cs", f->c.seg[X86_CS].base, 0x20000);
	check_eq("flags", f->c.rflags, 0x203);

	protected_mode(f);
	goes(f, CODE("\x9a\x00\x01\x04\x00\x30\x00"), KERNEL_CODE + 0x100); /* CALL SEL_CODE32:... */
	check_eq("eip pushed", top(f, 0), KERNEL_CODE + 7);
	check_eq("cs pushed", top(f, 1), SEL_CODE32);
	memcpy(f->ram + KERNEL_CODE + 0x100, "\xcb", 1); /* RETF */
	check_eq("step", bt_interp(&f->c), BT_STEP_ON);
	check_eq("rip", f->c.rip, KERNEL_CODE + 7);
	check_eq("esp", f->c.gpr[X86_RSP], stack_top);
	faults(f, CODE("\x9a\x00\x01\x04\x00\x38\x00"), X86_GP, 0); /* beyond the limit there */
	faults(f, CODE("\x9a\x00\x01\x04\x00\x60\x00"), X86_GP, SEL_NOT_PRESENT);
	f->c.gpr[X86_RDI] = DATA;
	ram_put(f, DATA, (uint64_t)SEL_DATA << 32 | 0x99887766, 8);
	runs(f, CODE("\x0f\xb4\x0f")); /* LFS ecx, [edi] */
	check_eq("ecx", f->c.gpr[X86_RCX], 0x99887766);
	check_eq("fs", f->c.seg[X86_FS].selector, SEL_DATA);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_conditions_are_those_of_the_flags),
		TEST(test_loops_count_in_the_address_size),
		TEST(test_calls_and_returns),
		TEST(test_pushes_and_pops),
		TEST(test_all_registers_are_pushed_and_popped),
		TEST(test_frames_are_entered_and_left),
		TEST(test_flags_are_loaded_by_privilege),
		TEST(test_a_system_starts_from_real_mode),
		TEST(test_far_calls_and_returns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
