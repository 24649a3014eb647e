/* SPDX-License-Identifier: Apache-2.0 */
/* interp_string_test.c - string instructions and ports: repeats, faults half-way, both directions, every address size, permissions */
#include "engine/bt/space/interp_test.h"

enum { FROM = 0x62000, TO = 0x64000 };

static void fill(struct fixture *f, uint64_t at, unsigned n)
{
	for (unsigned k = 0; k < n; k++)
		f->ram[at + k] = (uint8_t)(k * 7 + 1);
}

/* repeats() - steps until rip is behind it. Return: how many steps it took. */
static unsigned repeats(struct fixture *f, const char *code, size_t len)
{
	unsigned n = 0;

	f->c.rip = code_at;
	do {
		check_eq("step", steps(f, code, len), BT_STEP_ON);
		check_eq("exception", vector_of(f), NO_VECTOR);
		assert_in_range(++n, 1, 100);
	} while (f->c.rip == code_at);
	check_eq("rip", f->c.rip, code_at + len);
	return n;
}

/* offset() - of a linear address, in the segments that real_mode() has */
static uint64_t offset(uint64_t at)
{
	return word == 2 ? at - DATA : at;
}

static void (*const modes[])(struct fixture *f) = { long_mode, protected_mode, real_mode };

static void test_moves_in_every_mode_and_direction(void **state)
{
	struct fixture *f = *state;

	for (size_t m = 0; m < ARRAY_SIZE(modes); m++) {
		modes[m](f);
		fill(f, FROM, 1000);
		memset(f->ram + TO, 0, 1024);
		f->c.gpr[X86_RSI] = offset(FROM);
		f->c.gpr[X86_RDI] = offset(TO);
		f->c.gpr[X86_RCX] = 1000;
		assert_in_range(repeats(f, CODE("\xf3\xa4")), 2,
				10); /* in portions: interrupts come between */
		assert_memory_equal(f->ram + FROM, f->ram + TO, 1000);
		check_eq("behind", f->ram[TO + 1000], 0);
		check_eq("rcx", f->c.gpr[X86_RCX], 0);
		check_eq("rsi", f->c.gpr[X86_RSI], offset(FROM + 1000));
		check_eq("rdi", f->c.gpr[X86_RDI], offset(TO + 1000));
		check_eq("steps of none", repeats(f, CODE("\xf3\xa4")), 1);
		check_eq("rsi", f->c.gpr[X86_RSI], offset(FROM + 1000));
		f->c.rflags |= X86_DF;
		f->c.gpr[X86_RCX] = 4;
		f->c.gpr[X86_RSI] = offset(FROM + 12);
		f->c.gpr[X86_RDI] = offset(FROM + 16);
		if (word == 2)
			repeats(f, CODE("\x66\xf3\xa5"));
		else
			repeats(f, CODE("\xf3\xa5"));
		assert_memory_equal(f->ram + FROM + 4, f->ram + TO, 16);
		check_eq("rsi", f->c.gpr[X86_RSI], offset(FROM - 4));
	}
}

static void test_a_fault_half_way_leaves_what_is_done(void **state)
{
	struct fixture *f = *state;

	long_mode(f);
	fill(f, FROM, 64);
	f->c.gpr[X86_RSI] = FROM;
	f->c.gpr[X86_RDI] = HOLE - 12;
	f->c.gpr[X86_RCX] = 5;
	begin(f);
	check_eq("step", steps(f, CODE("\xf3\xa5")), BT_STEP_ON);
	check_eq("exception", vector_of(f), X86_PAGE);
	check_eq("code", stacked(f, 0), 2);
	check_eq("rip pushed", stacked(f, 1), code_at);
	check_eq("cr2", f->c.cr2, HOLE);
	check_eq("rcx", f->c.gpr[X86_RCX], 2);
	check_eq("rsi", f->c.gpr[X86_RSI], FROM + 12);
	check_eq("rdi", f->c.gpr[X86_RDI], HOLE);
	ram_put(f, PT + HOLE / 4096 * 8, HOLE | 3, 8);
	repeats(f, CODE("\xf3\xa5"));
	assert_memory_equal(f->ram + FROM, f->ram + HOLE - 12, 20);
	check_eq("rcx", f->c.gpr[X86_RCX], 0);
}

static void test_comparing_stops_where_it_should(void **state)
{
	struct fixture *f = *state;

	for (size_t m = 0; m < ARRAY_SIZE(modes); m++) {
		modes[m](f);
		fill(f, FROM, 300);
		fill(f, TO, 300);
		f->ram[TO + 270] = 0xff;
		f->c.gpr[X86_RSI] = offset(FROM);
		f->c.gpr[X86_RDI] = offset(TO);
		f->c.gpr[X86_RCX] = 300;
		repeats(f, CODE("\xf3\xa6")); /* REPE CMPSB */
		check_eq("rcx", f->c.gpr[X86_RCX], 300 - 271);
		check_eq("rdi", f->c.gpr[X86_RDI], offset(TO + 271));
		/* 0x63 - 0xff: borrows, is 0x64 */
		check_eq("flags", f->c.rflags & X86_ARITH, X86_CF | X86_AF);
		f->c.gpr[X86_RAX] = 0x12ff;
		f->c.gpr[X86_RDI] = offset(TO + 255);
		f->c.gpr[X86_RCX] = 100;
		repeats(f, CODE("\xf2\xae")); /* REPNE SCASB */
		check_eq("rcx", f->c.gpr[X86_RCX], 100 - 16);
		check_eq("flags", f->c.rflags & X86_ARITH, X86_ZF | X86_PF);
		f->c.rflags = 2 | X86_CF;
		f->c.gpr[X86_RCX] = 0;
		repeats(f, CODE("\xf2\xae"));
		check_eq("flags of none", f->c.rflags, 2 | X86_CF);
		f->c.gpr[X86_RSI] = offset(FROM);
		runs(f, CODE("\xac")); /* LODSB */
		check_eq("rax", f->c.gpr[X86_RAX], 0x1201);
	}
}

static void test_the_address_size_says_which_registers_count(void **state)
{
	struct fixture *f = *state;

	long_mode(f);
	f->c.gpr[X86_RDI] = 0xabcd00000000 | TO;
	f->c.gpr[X86_RCX] = 0xabcd00000003;
	f->c.gpr[X86_RAX] = 0x55;
	repeats(f, CODE("\x67\xf3\xaa"));
	check_eq("edi", f->c.gpr[X86_RDI], TO + 3);
	check_eq("ecx", f->c.gpr[X86_RCX], 0);
	real_mode(f);
	f->c.gpr[X86_RDI] = 0x1fffe;
	f->c.gpr[X86_RCX] = 0x20004;
	memset(f->ram + DATA, 0, 8);
	repeats(f, CODE("\xf3\xaa"));
	check_eq("di", f->c.gpr[X86_RDI], 0x10002);
	check_eq("cx", f->c.gpr[X86_RCX], 0x20000);
	check_eq("round the end", ram_get(f, DATA + 0xfffe, 2) << 16 | ram_get(f, DATA, 4), 0);
	runs(f, CODE("\x26\x67\xac")); /* LODSB es:[esi] */
}

static void test_a_segment_s_end_is_respected(void **state)
{
	struct fixture *f = *state;

	real_mode(f);
	f->c.gpr[X86_RSI] = 0xffff;
	faults(f, CODE("\xad"), X86_GP, -1); /* LODSW over the end */
	f->c.gpr[X86_RSI] = 0x10000;
	faults(f, CODE("\x67\xac"), X86_GP, -1);
	protected_mode(f);
	f->c.seg[X86_ES].limit = TO + 5;
	f->c.gpr[X86_RDI] = TO;
	f->c.gpr[X86_RCX] = 9;
	begin(f);
	check_eq("step", steps(f, CODE("\xf3\xaa")), BT_STEP_ON);
	check_eq("exception", vector_of(f), X86_GP);
	check_eq("ecx", f->c.gpr[X86_RCX], 3);
	f->c.seg[X86_DS] = bt_flat(SEL_READ_ONLY, 0xc091);
	begin(f);
	f->c.gpr[X86_RSI] = f->c.gpr[X86_RBX] = FROM;
	runs(f, CODE("\xac"));
	faults(f, CODE("\x88\x03"), X86_GP, 0); /* MOV [ebx], al */
	f->c.seg[X86_DS] = bt_flat(SEL_NO_READ, 0xc099);
	faults(f, CODE("\xac"), X86_GP, 0);
	f->c.seg[X86_DS] = (struct x86_segment){ .attr = BT_ATTR_UNUSABLE };
	faults(f, CODE("\xac"), X86_GP, 0);
	runs(f, CODE("\x2e\xac")); /* of CS */
	f->c.seg[X86_SS].limit = 0xfff;
	f->c.gpr[X86_RBP] = FROM;
	f->c.gpr[X86_RAX] = 1;
	f->c.rip = code_at;
	f->c.seg[X86_SS].limit = 0x3ffff;
	f->c.gpr[X86_RBP] = 0x40000;
	faults(f, CODE("\x8b\x45\x00"), X86_SS_FAULT, 0); /* MOV eax, [ebp] */
}

/* --- ports ---------------------------------------------------------------------------------------------------------------- */

static void test_ports_of_every_size(void **state)
{
	struct fixture *f = *state;

	for (size_t m = 0; m < ARRAY_SIZE(modes); m++) {
		modes[m](f);
		f->n_io = 0;
		f->io_answer = 0x99887766;
		f->c.gpr[X86_RAX] = 0x11223344;
		f->c.gpr[X86_RDX] = 0x5f3f8;
		runs(f, CODE("\xec")); /* IN al, dx */
		check_eq("al", f->c.gpr[X86_RAX], 0x11223366);
		runs(f, CODE("\xe5\x71")); /* IN eax, 0x71; ax */
		check_eq("eax", f->c.gpr[X86_RAX], m == 2 ? 0x11227766 : 0x99887766);
		runs(f, CODE("\xee")); /* OUT dx, al */
		runs(f, CODE("\xe7\x80"));
		check_eq("accesses", f->n_io, 4);
		check_eq("port", f->io[0].addr, 0xf3f8);
		check_eq("size", f->io[0].size, 1);
		check_eq("port", f->io[1].addr, 0x71);
		check_eq("size", f->io[1].size, m == 2 ? 2 : 4);
		check_eq("data", f->io[2].data, 0x66);
		check_eq("written", f->io[3].write && f->io[3].port, 1);
		f->c.gpr[X86_RDI] = offset(TO);
		f->c.gpr[X86_RCX] = 3;
		repeats(f, CODE("\xf3\x6c")); /* REP INSB */
		check_eq("in memory", ram_get(f, TO, 4) & 0xffffff, 0x666666);
		f->c.gpr[X86_RSI] = offset(TO);
		f->c.gpr[X86_RCX] = 2;
		repeats(f, CODE("\xf3\x6e")); /* REP OUTSB */
		check_eq("accesses", f->n_io, 9);
		check_eq("data", f->io[8].data, 0x66);
	}
	long_mode(f);
	f->n_io = 0;
	f->c.gpr[X86_RDI] = HOLE;
	faults(f, CODE("\x6c"), X86_PAGE, 2);
	check_eq("a port is not read for nothing", f->n_io, 0);
}

static void user(struct fixture *f)
{
	fixture_cpl(f, 3, true);
	f->c.rip = code_at = USER_PAGE;
	f->c.gpr[X86_RSP] = stack_top = USER_STACK;
}

static void test_permission_is_iopl_s_or_the_bitmap_s(void **state)
{
	struct fixture *f = *state;

	long_mode(f);
	f->c.gpr[X86_RDX] = 0x3f8;
	user(f);
	faults(f, CODE("\xec"), X86_GP, 0); /* no bitmap: beyond the limit */
	user(f);
	f->c.seg[X86_TR].limit = 0x67 + 0x81;
	ram_put(f, TSS + 102, 0x68, 2);
	memset(f->ram + TSS + 0x68, 0xff, 0x82);
	ram_put(f, TSS + 0x68 + 0x7f, 0xfe, 1); /* 0x3f8 alone */
	runs(f, CODE("\xec"));
	faults(f, CODE("\xed"), X86_GP, 0); /* 0x3f8 to 0x3fb */
	user(f);
	ram_put(f, TSS + 0x68 + 0x7f, 0xf0, 1);
	runs(f, CODE("\xed"));
	f->c.gpr[X86_RDX] = 0x3fc;
	faults(f, CODE("\xee"), X86_GP, 0);
	user(f);
	f->c.gpr[X86_RDX] = 0x408; /* its bit is there, the byte behind it is not */
	faults(f, CODE("\xee"), X86_GP, 0);
	user(f);
	f->c.rflags |= X86_IOPL;
	runs(f, CODE("\xee"));
	f->c.rflags &= ~(uint64_t)X86_IOPL;
	f->c.seg[X86_TR].base = HOLE - 0x40; /* its stacks are there, the bitmap's place is not */
	ram_put(f, HOLE - 0x40 + 4, KERNEL_STACK, 8);
	faults(f, CODE("\xee"), X86_PAGE, 0);
	check_eq("cr2", f->c.cr2, HOLE - 0x40 + 102);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_moves_in_every_mode_and_direction),
		TEST(test_a_fault_half_way_leaves_what_is_done),
		TEST(test_comparing_stops_where_it_should),
		TEST(test_the_address_size_says_which_registers_count),
		TEST(test_a_segment_s_end_is_respected),
		TEST(test_ports_of_every_size),
		TEST(test_permission_is_iopl_s_or_the_bitmap_s),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
