/* SPDX-License-Identifier: Apache-2.0 */
/*
 * translate_test.c - translated code against the interpreter, one random instruction at a time, in each mode
 *
 * Environment: HULL_BT_CASES, how many instructions; HULL_BT_SEED.
 */
#include "engine/bt/space/translate_test.h"

#include "fmt/x86.h"

enum { CASES = 60000 };

static uint8_t before[MEMORY], wanted[MEMORY];
static uint64_t base; /* where the code runs: CODE, or HIGH, with more operands that are relative to RIP */
static unsigned n_compared; /* instructions that translated code carried out itself */

/* --- random instructions ----------------------------------------------------------------------------------------------------- */

static bool is_wanted(const struct x86_insn *i)
{
	switch (i->class) {
	case X86_PLAIN:
		return !(i->map == X86_MAP_0F &&
			 (i->opcode == 0xc7 || i->opcode == 0xae)); /* RDRAND differs by itself */
	case X86_LEA:
	case X86_STACK: return i->opcode != 0xc8;
	case X86_VECTOR: /* not those that make a number of a vector register: C code between has its own in it */
		return !i->implicit_written && i->form != X86_EVEX && i->map != X86_MAP_1 && !i->vsib &&
		       i->is_mem &&
		       !(i->rm_use & X86_WRITTEN); /* C code between has its own in those registers */
	case X86_STRING: return !i->rep;
	case X86_JCC:
	case X86_LOOP:
	case X86_JMP:
	case X86_JMP_IND:
	case X86_CALL:
	case X86_CALL_IND:
	case X86_RET:
	case X86_PUSHF: return true;
	default: return false;
	}
}

static uint64_t operand_address(const struct x86_insn *i, const uint64_t *gpr, uint64_t next)
{
	uint64_t at = (uint64_t)i->disp + (i->rip_relative ? next : 0);

	at += i->base != X86_NONE ? gpr[i->base] : 0;
	return at + (i->index != X86_NONE ? gpr[i->index] * i->scale : 0);
}

/* invent() - an instruction at CODE whose memory lies in DATA or STACK, and registers for it. Return: its length. */
static int invent(struct x86_insn *i, uint64_t *gpr)
{
	static const uint8_t first[] = { 0x48, 0x4c, 0x49, 0x66, 0x0f, 0x41, 0x89,
					 0x8b, 0x8d, 0xff, 0xc5, 0xc4, 0xf0, 0x01 };

	for (;;) {
		uint8_t code[X86_INSN_MAX + 1];
		uint64_t at = 0;
		int len;

		for (size_t k = 0; k < sizeof(code); k++)
			code[k] = (uint8_t)(random() >> 8);
		if (random() & 1)
			code[0] = first[(size_t)random() % sizeof(first)];
		if ((random() & 3) == 0)
			code[1] = 0x0f;
		len = x86_decode(i, code, X86_INSN_MAX, 64);
		if (len > 0 && base == HIGH && i->has_modrm && random() & 3) {
			code[i->at_modrm] = (code[i->at_modrm] & 0x38) | 5;
			len = x86_decode(i, code, X86_INSN_MAX, 64);
		}
		if (len <= 0 || !is_wanted(i) || i->p67 || i->segment != X86_NONE)
			continue;
		for (int r = 0; r < X86_GPR_COUNT; r++)
			gpr[r] = random() & 1 ? (uint64_t)random() << 33 ^ (uint64_t)random() :
						(uint64_t)random() & 0xff;
		gpr[X86_RSP] = STACK + 0x800 + ((uint64_t)random() & 0xff8);
		gpr[X86_RCX] &= 0xff;
		if (i->class == X86_STRING)
			gpr[X86_RSI] = DATA + ((uint64_t)random() & 0xfff),
			gpr[X86_RDI] = DATA + 0x2000 + ((uint64_t)random() & 0xfff);
		if (i->class == X86_STACK && i->opcode == 0xc9)
			gpr[X86_RBP] = STACK + 0x800;
		if ((i->class == X86_JMP_IND || i->class == X86_CALL_IND) && !i->is_mem && i->rm != X86_RSP)
			gpr[i->rm] >>=
				17; /* elsewhere the fault is the target's, not the branch's: as some processors have it */
		if (i->is_mem && i->class != X86_LEA) {
			if (i->moffs)
				continue;
			if (i->base != X86_NONE && i->base != X86_RSP)
				gpr[i->base] = DATA + 0x4000 + ((uint64_t)random() & 0xfff);
			if (i->index != X86_NONE && i->index != i->base)
				gpr[i->index] = (uint64_t)random() & 0xff;
			if (i->disp_len == 4) { /* a distance that stays inside */
				int32_t d = i->rip_relative     ? DATA + 0x4000 - (CODE + len) :
					    i->base == X86_NONE ? DATA + 0x4000 :
								  (int32_t)(random() & 0x3ff);

				memcpy(code + i->at_disp, &d, 4);
				len = x86_decode(i, code, X86_INSN_MAX, 64);
			}
			at = operand_address(i, gpr, CODE + (uint64_t)len);
			if (at < DATA || at > CODE + MEMORY - 64)
				continue;
			/* bit strings reach far */
			if (i->map == X86_MAP_0F && (i->opcode & 0xe7) == 0xa3 && i->form == X86_LEGACY)
				gpr[i->reg] &= i->reg == (unsigned)i->base || i->reg == (unsigned)i->index ?
						       ~0ULL :
						       0x1ff;
			if (i->map == X86_MAP_0F && (i->opcode & 0xe7) == 0xa3 &&
			    (i->reg == (unsigned)i->base || i->reg == (unsigned)i->index ||
			     i->reg == X86_RSP))
				continue;
		}
		at = i->class == X86_RET ? gpr[X86_RSP] : i->is_mem ? at : 0;
		if (i->class == X86_RET || (at && (i->class == X86_JMP_IND || i->class == X86_CALL_IND))) {
			/* a target that can be: where it cannot, translated code has the fault there, not at the branch */
			const uint64_t to = (uint64_t)random() << 10;

			memcpy(memory + (at - CODE), &to, 8);
		}
		memcpy(memory, code, (size_t)len);
		memory[len] = 0xf4; /* HLT: the interpreter's, in every mode */
		return len;
	}
}

static void explain(enum bt_mode mode, int len, const char *what, uint64_t got, uint64_t want)
{
	fprintf(stderr, "mode %d:", mode);
	for (int k = 0; k < len; k++)
		fprintf(stderr, " %02x", memory[k]);
	fprintf(stderr, ": %s: got 0x%lx, want 0x%lx\n", what, got, want);
}

/* one() - Return: whether both did the same. */
static bool one(enum bt_mode mode)
{
	uint64_t gpr[X86_GPR_COUNT], want[X86_GPR_COUNT], want_flags, want_rip, rip,
		flags = (uint64_t)random() & X86_ARITH;
	struct x86_insn i;
	int len = invent(&i, gpr);
	const struct bt_exit *x;
	enum bt_step step;
	struct bt_block *b;
	bool same = true;

	memcpy(before, memory, MEMORY);
	be(mode);
	cpu->rflags |= flags;
	memcpy(cpu->gpr, gpr, sizeof(gpr));
	cpu->rip = base;
	step = bt_interp(cpu);
	if (step == BT_STEP_UNKNOWN)
		return true;
	memcpy(want, cpu->gpr, sizeof(want));
	memcpy(wanted, memory, MEMORY);
	want_flags = cpu->rflags;
	want_rip = cpu->rip;
	memcpy(memory, before, MEMORY);

	be(mode);
	cpu->rflags |= flags;
	memcpy(cpu->gpr, gpr, sizeof(gpr));
	cpu->rip = base;
	bt_code_kill(cpu, base, 4096);
	faulted = false;
	b = bt_block_get(cpu, base, mode);
	if (!b)
		return true;
	x = enter(b);
	rip = faulted || x->why == BT_LEAVE_INDIRECT ? cpu->rip : x->rip;
	if (!faulted && x->why == BT_LEAVE_STEP && rip == base)
		return true; /* left to the interpreter: nothing to compare */
	n_compared++;
	if (faulted != (step == BT_STEP_SHUTDOWN)) {
		explain(mode, len, "faults", faulted, step == BT_STEP_SHUTDOWN);
		return false;
	}
	if (!faulted && rip != want_rip) {
		explain(mode, len, "goes on at", rip, want_rip);
		same = false;
	}
	if (faulted) {
		memcpy(want, gpr, sizeof(want));
		want_flags = flags;
	}
	for (int r = 0; r < X86_GPR_COUNT; r++)
		if (cpu->gpr[r] != want[r]) {
			explain(mode, len,
				(const char *[]){ "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
						  "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15" }[r],
				cpu->gpr[r], want[r]);
			same = false;
		}
	if ((cpu->rflags ^ want_flags) & X86_ARITH && i.class != X86_VECTOR &&
	    !(mode != BT_USER && i.rm == X86_RSP && !i.is_mem)) {
		explain(mode, len, "flags", cpu->rflags & X86_ARITH, want_flags & X86_ARITH);
		same = false;
	}
	if (!faulted && memcmp(memory, wanted, MEMORY) != 0) {
		explain(mode, len, "memory", 0, 0);
		same = false;
	}
	return same;
}

static void run(enum bt_mode mode, uint64_t at)
{
	const char *n = getenv("HULL_BT_CASES"), *seed = getenv("HULL_BT_SEED");
	const long cases = n ? atol(n) : CASES;
	unsigned bad = 0;

	take_signals();
	n_compared = 0;
	base = at;
	srandom(seed ? (unsigned)atoi(seed) : 1 + (unsigned)mode);
	for (long k = cases; k > 0 && bad < 10; k--)
		bad += !one(mode);
	assert_int_equal(bad, 0);
	assert_in_range(n_compared, cases / 2, cases); /* most are not left to the interpreter */
}

static void test_user_code_does_what_the_interpreter_does(void **state)
{
	(void)state;
	NEED_PLACES();
	run(BT_USER, CODE);
}

static void test_user_code_above_four_gigabytes_does_what_the_interpreter_does(void **state)
{
	(void)state;
	NEED_PLACES();
	run(BT_USER, HIGH);
}

static void test_kernel_code_does_the_same_a_shift_away(void **state)
{
	(void)state;
	NEED_PLACES();
	run(BT_KERNEL, CODE);
}

static void test_kernel_code_that_may_touch_the_user_chooses_its_side(void **state)
{
	(void)state;
	NEED_PLACES();
	run(BT_KERNEL_AC, CODE);
}

/* --- one by one ------------------------------------------------------------ */

static void test_the_stack_pointer_as_a_number_has_no_shift(void **state)
{
	static const struct {
		uint8_t len, code[7];
		uint64_t want; /* of RSP, STACK + 0x123 before */
	} cases[] = {
		{ 4, { 0x48, 0x83, 0xe4, 0xf0 }, STACK + 0x120 },           /* AND rsp, -16 */
		{ 4, { 0x48, 0x83, 0xe4, 0x21 }, 0x21 },                    /* AND rsp, 0x21 */
		{ 7, { 0x48, 0x81, 0xe4, 0xff, 0x0f, 0x00, 0x00 }, 0x123 }, /* AND rsp, 0xfff */
		{ 4, { 0x48, 0x83, 0xec, 0x23 }, STACK + 0x100 },           /* SUB rsp, 0x23 */
		{ 6, { 0x8d, 0xa0, 0x05, 0x00, 0x00, 0x00 }, 0x5 },         /* LEA esp, [rax + 5] */
		{ 3, { 0x48, 0x89, 0xc4 }, 0 },                             /* MOV rsp, rax */
		{ 5, { 0x48, 0x8d, 0x64, 0x24, 0x08 }, STACK + 0x12b },     /* LEA rsp, [rsp + 8] */
	};

	(void)state;
	NEED_PLACES();
	take_signals();
	for (enum bt_mode mode = BT_KERNEL; mode < BT_MODE_COUNT; mode++)
		for (size_t k = 0; k < ARRAY_SIZE(cases); k++) {
			const struct bt_exit *x;
			struct bt_block *b;

			bt_code_kill(cpu, CODE, 4096);
			memcpy(memory, cases[k].code, cases[k].len);
			memory[cases[k].len] = 0xf4;
			memset(cpu->gpr, 0, sizeof(cpu->gpr));
			cpu->gpr[X86_RSP] = STACK + 0x123;
			x = go(CODE, mode, &b);
			assert_int_equal(x->why, BT_LEAVE_STEP);
			if (x->rip == CODE) { /* the interpreter's */
				cpu->rip = CODE;
				assert_int_equal(bt_interp(cpu), BT_STEP_ON);
			}
			if (cpu->gpr[X86_RSP] != cases[k].want)
				fail_msg("mode %d, case %zu: got 0x%lx, want 0x%lx", mode, k,
					 cpu->gpr[X86_RSP], cases[k].want);
		}
}

/*
 * Operands relative to RIP that are too far away, several in a block: the register that reaches them is borrowed, and has its value again
 * wherever it is looked at, also when one of them cannot be reached.
 */
static void test_a_register_that_is_borrowed_twice_is_given_back(void **state)
{
	static const struct {
		uint8_t len, code[40];
		unsigned faults_after; /* so many instructions; 0: it does not */
	} cases[] = {
		/* ADD [DATA], rax; ADD [DATA], r9; MOV [DATA + 8], r8 */
		{ 21,
		  { 0x48, 0x01, 0x05, 0xf9, 0xff, 0,    0,    0x4c, 0x01, 0x0d, 0xf2,
		    0xff, 0,    0,    0x4c, 0x89, 0x05, 0xf3, 0xff, 0,    0 },
		  0 },
		/* ADD [DATA], rax; INC r8; ADD [DATA], rax; MOV [rdi], r8 */
		{ 20,
		  { 0x48, 0x01, 0x05, 0xf9, 0xff, 0, 0, 0x49, 0xff, 0xc0,
		    0x48, 0x01, 0x05, 0xef, 0xff, 0, 0, 0x4c, 0x89, 0x07 },
		  0 },
		/* ADD [DATA], rax; POP r8; ADD [DATA], rax; PUSH r8 */
		{ 18,
		  { 0x48, 0x01, 0x05, 0xf9, 0xff, 0, 0, 0x41, 0x58, 0x48, 0x01, 0x05, 0xf0, 0xff, 0, 0, 0x41,
		    0x50 },
		  0 },
		/* ADD [DATA], rax; LEA r8, [DATA]; ADD [DATA], rax; MOV rdx, r8 */
		{ 24,
		  { 0x48, 0x01, 0x05, 0xf9, 0xff, 0,    0,    0x4c, 0x8d, 0x05, 0xf2, 0xff,
		    0,    0,    0x48, 0x01, 0x05, 0xeb, 0xff, 0,    0,    0x4c, 0x89, 0xc2 },
		  0 },
		/* MOV r8, [DATA]; ADD [DATA], rax; MOV eax, [DATA]; MOVZX ecx, byte [DATA] */
		{ 27,
		  { 0x4c, 0x8b, 0x05, 0xf9, 0xff, 0, 0,    0x48, 0x01, 0x05, 0xf2, 0xff, 0, 0,
		    0x8b, 0x05, 0xec, 0xff, 0,    0, 0x0f, 0xb6, 0x0d, 0xe5, 0xff, 0,    0 },
		  0 },
		/* ADD [DATA], rax; JNE (not taken); ADD [DATA], rax; XCHG r8, rax; ADD [DATA], rax */
		{ 25,
		  { 0x48, 0x01, 0x05, 0xf9, 0xff, 0,    0,    0x74, 0x7f, 0x48, 0x01, 0x05, 0xf0,
		    0xff, 0,    0,    0x49, 0x90, 0x48, 0x01, 0x05, 0xe7, 0xff, 0,    0 },
		  0 },
		/* ADD [DATA], rax; MOV r8d, ds; ADD [DATA], rax */
		{ 17,
		  { 0x48, 0x01, 0x05, 0xf9, 0xff, 0, 0, 0x41, 0x8c, 0xd8, 0x48, 0x01, 0x05, 0xef, 0xff, 0,
		    0 },
		  0 },
		/* ADD [DATA], rax; ADD [far away], rax */
		{ 14, { 0x48, 0x01, 0x05, 0xf9, 0xff, 0, 0, 0x48, 0x01, 0x05, 0, 0, 0, 0x10 }, 1 },
		/* ADD [DATA], rax; INC r8; MOV r8, [far away] */
		{ 17,
		  { 0x48, 0x01, 0x05, 0xf9, 0xff, 0, 0, 0x49, 0xff, 0xc0, 0x4c, 0x8b, 0x05, 0, 0, 0, 0x10 },
		  2 },
		/* ADD [DATA], rax; CALL [far away] */
		{ 13, { 0x48, 0x01, 0x05, 0xf9, 0xff, 0, 0, 0xff, 0x15, 0, 0, 0, 0x10 }, 1 },
	};

	(void)state;
	NEED_PLACES();
	take_signals();
	for (size_t k = 0; k < ARRAY_SIZE(cases); k++) {
		uint64_t gpr[X86_GPR_COUNT], want[X86_GPR_COUNT];
		const struct bt_exit *x;
		struct bt_block *b;
		uint64_t rip;

		bt_code_kill(cpu, HIGH, 4096);
		memset(memory, 0xf4, MEMORY);
		memcpy(memory, cases[k].code, cases[k].len);
		memcpy(before, memory, MEMORY);
		for (unsigned r = 0; r < X86_GPR_COUNT; r++)
			gpr[r] = 0x1234567890abcdefULL * (r + 1);
		gpr[X86_RSP] = HIGH + (STACK - CODE) + 0x100;
		gpr[X86_RDI] = HIGH + (DATA - CODE) + 0x40;
		memcpy(cpu->gpr, gpr, sizeof(gpr));
		be(BT_USER);
		cpu->rip = HIGH;
		for (unsigned n = 0;
		     cases[k].faults_after ? n < cases[k].faults_after : cpu->rip < HIGH + cases[k].len; n++)
			assert_int_equal(bt_interp(cpu), BT_STEP_ON);
		rip = cpu->rip;
		memcpy(want, cpu->gpr, sizeof(want));
		memcpy(wanted, memory, MEMORY);
		memcpy(memory, before, MEMORY);

		memcpy(cpu->gpr, gpr, sizeof(gpr));
		faulted = false;
		x = go(HIGH, BT_USER, &b);
		assert_int_equal(faulted, cases[k].faults_after > 0);
		assert_int_equal(faulted ? cpu->rip : x->rip, rip);
		for (unsigned r = 0; r < X86_GPR_COUNT; r++)
			if (cpu->gpr[r] != want[r])
				fail_msg("case %zu: register %u: got 0x%lx, want 0x%lx", k, r, cpu->gpr[r],
					 want[r]);
		assert_memory_equal(memory, wanted, MEMORY);
	}
}

static void test_interrupts_turned_on_are_a_way_out_when_something_waits(void **state)
{
	static const uint8_t code[] = { 0xfa, 0x90, 0xfb, 0x90, 0xf4 }; /* CLI NOP STI NOP HLT */
	const struct bt_exit *x;
	struct bt_block *b;

	(void)state;
	NEED_PLACES();
	bt_code_kill(cpu, CODE, 4096);
	memcpy(memory, code, sizeof(code));
	cpu->gpr[X86_RCX] = 7;
	cpu->quiet = 1;
	x = go(CODE, BT_KERNEL, &b);
	assert_int_equal(x->why, BT_LEAVE_STEP);
	assert_true(cpu->rflags & X86_IF);
	cpu->quiet = 0;
	x = go(CODE, BT_KERNEL, &b);
	assert_int_equal(x->why, BT_LEAVE_ATTENTION);
	assert_int_equal(x->rip, CODE + 3);
	assert_true(cpu->rflags & X86_IF);
	assert_int_equal(cpu->gpr[X86_RCX], 7);
	cpu->quiet = 1;
	cpu->attention = 1;
	x = go(CODE, BT_KERNEL, &b);
	cpu->attention = 0;
	assert_int_equal(x->why, BT_LEAVE_SIGNAL);
	assert_int_equal(cpu->rip, CODE);
}

/* A call by way of a linker's table: its load goes through a register that may hold an argument. */
static void test_registers_are_whole_where_the_load_of_a_branch_faults(void **state)
{
	static const struct {
		uint8_t len, code[8];
	} cases[] = {
		{ 6,
		  { 0xff, 0x25, 0, 0, 0,
		    0x7f } }, /* JMP [rip + 0x7f000000]: nothing is there, and it has more than 31 bits */
		{ 6, { 0xff, 0x15, 0, 0, 0, 0x7f } }, /* CALL */
		{ 2, { 0xff, 0x23 } },                /* JMP [rbx] */
		{ 2, { 0xff, 0x13 } },                /* CALL [rbx] */
	};
	uint64_t was[X86_GPR_COUNT];

	(void)state;
	NEED_PLACES();
	take_signals();
	for (enum bt_mode mode = BT_KERNEL; mode < BT_MODE_COUNT; mode++)
		for (size_t k = 0; k < ARRAY_SIZE(cases); k++) {
			struct bt_block *b;

			bt_code_kill(cpu, CODE, 4096);
			memcpy(memory, cases[k].code, cases[k].len);
			for (unsigned n = 0; n < X86_GPR_COUNT; n++)
				cpu->gpr[n] = was[n] = 0x0123456789abcdef * (n + 1);
			cpu->gpr[X86_RSP] = was[X86_RSP] = STACK + 0x100;
			cpu->gpr[X86_RBX] = was[X86_RBX] = CODE + 0x20000000;
			faulted = false;
			go(CODE, mode, &b);
			assert_int_equal(faulted, mode != BT_KERNEL_AC); /* else the interpreter's */
			if (faulted)
				assert_int_equal(cpu->rip, CODE);
			assert_memory_equal(cpu->gpr, was, sizeof(was));
		}
}

static void test_PAUSE_is_there_for_who_counts_on_its_time(void **state)
{
	static const uint8_t code[] = { 0xf3, 0x90, 0xf4 }; /* PAUSE HLT */
	const struct bt_block *b;

	(void)state;
	NEED_PLACES();
	bt_code_kill(cpu, CODE, 4096);
	memcpy(memory, code, sizeof(code));
	for (enum bt_mode mode = BT_KERNEL; mode < BT_MODE_COUNT; mode++) {
		b = bt_block_get(cpu, CODE, mode);
		assert_non_null(b);
		assert_memory_equal(b->entry + b->record[0].host, code, 2);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_stack_pointer_as_a_number_has_no_shift),
		cmocka_unit_test(test_a_register_that_is_borrowed_twice_is_given_back),
		cmocka_unit_test(test_interrupts_turned_on_are_a_way_out_when_something_waits),
		cmocka_unit_test(test_registers_are_whole_where_the_load_of_a_branch_faults),
		cmocka_unit_test(test_PAUSE_is_there_for_who_counts_on_its_time),
		cmocka_unit_test(test_user_code_does_what_the_interpreter_does),
		cmocka_unit_test(test_user_code_above_four_gigabytes_does_what_the_interpreter_does),
		cmocka_unit_test(test_kernel_code_does_the_same_a_shift_away),
		cmocka_unit_test(test_kernel_code_that_may_touch_the_user_chooses_its_side),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
