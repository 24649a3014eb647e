/* SPDX-License-Identifier: Apache-2.0 */
/*
 * interp_test.c - operands in memory, exceptions and traps, against what the architecture says, written by hand
 */
#include "engine/bt/space/interp_test.h"

#include <cpuid.h>
#include <pthread.h>

/* --- memory ------------------------------------------------------------------------------------------------------------- */

static void test_a_plain_store_does_not_read_its_target(void **state)
{
	static const struct {
		const char *code;
		unsigned len, bytes;
	} cases[] = {
		{ CODE("\x88\x07"), 1 },                              /* MOV [rdi], al */
		{ CODE("\x89\x07"), 4 },                              /* MOV [rdi], eax */
		{ CODE("\x48\x89\x07"), 8 },                          /* MOV [rdi], rax */
		{ CODE("\xc6\x07\x55"), 1 },                          /* MOV [rdi], 0x55 */
		{ CODE("\x66\xc7\x07\x55\xaa"), 2 },                  /* MOV [rdi], 0xaa55 */
		{ CODE("\x0f\x94\x07"), 1 },                          /* SETZ [rdi] */
		{ CODE("\x0f\xc3\x07"), 4 },                          /* MOVNTI [rdi], eax */
		{ CODE("\x0f\x38\xf1\x07"), 4 },                      /* MOVBE [rdi], eax */
		{ CODE("\xaa"), 1 },                                  /* STOSB */
		{ CODE("\x48\xab"), 8 },                              /* STOSQ */
		{ CODE("\xa4"), 1 },                                  /* MOVSB, from memory */
		{ CODE("\x8f\x07"), 8 },                              /* POP [rdi] */
		{ CODE("\x8c\x1f"), 2 },                              /* MOV [rdi], ds */
		{ CODE("\x0f\x01\x07"), 10 },                         /* SGDT [rdi] */
		{ CODE("\x0f\x01\x27"), 2 },                          /* SMSW [rdi] */
		{ CODE("\x44\x0f\x29\x27"), 16 },                     /* MOVAPS [rdi], xmm12 */
		{ CODE("\xf3\x44\x0f\x7f\x27"), 16 },                 /* MOVDQU [rdi], xmm12 */
		{ CODE("\x66\x44\x0f\x7e\x27"), 4 },                  /* MOVD [rdi], xmm12 */
		{ CODE("\x66\x44\x0f\xd6\x27"), 8 },                  /* MOVQ [rdi], xmm12 */
		{ CODE("\xf2\x44\x0f\x11\x27"), 8 },                  /* MOVSD [rdi], xmm12 */
		{ CODE("\x66\x44\x0f\x3a\x14\x27\x00"), 1 },          /* PEXTRB [rdi], xmm12, 0 */
		{ CODE("\xc5\x7c\x11\x27"), 32 },                     /* VMOVUPS [rdi], ymm12 */
		{ CODE("\xc4\x63\x7d\x39\x27\x00"), 16 },             /* VEXTRACTI128 [rdi], ymm12, 0 */
		{ CODE("\xd9\x3f"), 2 },                              /* FNSTCW [rdi] */
		{ CODE("\xdd\x3f"), 2 },                              /* FNSTSW [rdi] */
		{ CODE("\x0f\xae\x1f"), 4 },                          /* STMXCSR [rdi] */
		{ CODE("\x0f\xae\x3f"), 0 },                          /* CLFLUSH [rdi] */
		{ "\x48\xa3\x00\x00\x40\x00\x00\x00\x00\x00", 10, 8 } /* MOV [DEVICE], rax */
	};
	struct fixture *f = *state;

	NEED_HOST("avx2")
	for (size_t k = 0; k < ARRAY_SIZE(cases); k++) {
		unsigned n = 0;

		long_mode(f);
		f->n_io = 0;
		f->c.gpr[X86_RDI] = DEVICE;
		f->c.gpr[X86_RSI] = DATA;
		runs(f, cases[k].code, cases[k].len);
		for (unsigned i = 0; i < f->n_io; i++) {
			if (!f->io[i].write)
				fail_msg("case %zu: the device was read", k);
			n += f->io[i].size;
		}
		if (n != cases[k].bytes)
			fail_msg("case %zu: got %u bytes written, want %u", k, n, cases[k].bytes);
	}
}

static void test_a_store_that_faults_has_done_nothing(void **state)
{
	struct fixture *f = *state;
	uint64_t depth;

	long_mode(f);
	f->c.gpr[X86_RDI] = LOCKED;
	__asm__ volatile("fninit; fld1");
	faults(f, CODE("\xdd\x1f"), X86_PAGE, 3); /* FSTP [rdi] */
	check_eq("cr2", f->c.cr2, LOCKED);
	f->c.gpr[X86_RDI] = HOLE;
	faults(f, CODE("\xdd\x1f"), X86_PAGE, 2);
	faults(f, CODE("\x88\x07"), X86_PAGE, 2);     /* MOV [rdi], al */
	faults(f, CODE("\x00\x07"), X86_PAGE, 2);     /* ADD [rdi], al */
	faults(f, CODE("\x0f\xae\x3f"), X86_PAGE, 0); /* CLFLUSH [rdi] */
	f->c.gpr[X86_RDI] = HOLE - 4;
	ram_put(f, HOLE - 4, 0x11111111, 4);
	faults(f, CODE("\x48\x89\x07"), X86_PAGE, 2);
	check_eq("cr2", f->c.cr2, HOLE);
	check_eq("bytes before the page", ram_get(f, HOLE - 4, 4), 0x11111111);
	f->c.gpr[X86_RDI] = DATA;
	runs(f, CODE("\xdd\x1f"));
	__asm__ volatile("fnstsw %%ax" : "=a"(depth));
	check_eq("value", ram_get(f, DATA, 8), 0x3ff0000000000000);
	check_eq("top of the stack", depth >> 11 & 7, 0);
}

static void test_a_store_under_a_mask_touches_only_what_the_mask_has(void **state)
{
	static const uint32_t mask[4] = { 0x80000000, 0, 0xffffffff, 0 }, data[4] = { 1, 2, 3, 4 };
	struct fixture *f = *state;

	NEED_HOST("avx2")
	long_mode(f);
	memset(f->ram + DATA, 0xaa, 16);
	f->c.gpr[X86_RDI] = DATA;
	f->c.rip = KERNEL_CODE;
	memcpy(f->ram + KERNEL_CODE, "\xc4\x62\x11\x2e\x37", 5); /* VMASKMOVPS [rdi], xmm13, xmm14 */
	__asm__ volatile("vmovdqu %0, %%xmm13\n\tvmovdqu %1, %%xmm14" ::"m"(mask), "m"(data));
	check_eq("step", bt_interp(&f->c), BT_STEP_ON);
	check_eq("exception", vector_of(f), NO_VECTOR);
	check_eq("elements 0 and 1", ram_get(f, DATA, 8), 0xaaaaaaaa00000001);
	check_eq("elements 2 and 3", ram_get(f, DATA + 8, 8), 0xaaaaaaaa00000003);

	f->c.gpr[X86_RDI] = HOLE - 12; /* only element 3 is in the hole */
	f->c.rip = KERNEL_CODE;
	__asm__ volatile("vmovdqu %0, %%xmm13\n\tvmovdqu %1, %%xmm14" ::"m"(mask), "m"(data));
	check_eq("step", bt_interp(&f->c), BT_STEP_ON);
	check_eq("exception", vector_of(f), NO_VECTOR);
	check_eq("element 2", ram_get(f, HOLE - 4, 4), 3);

	f->c.gpr[X86_RDI] = HOLE - 8;
	f->c.rip = KERNEL_CODE;
	ram_put(f, HOLE - 8, 0x77777777, 4);
	__asm__ volatile("vmovdqu %0, %%xmm13\n\tvmovdqu %1, %%xmm14" ::"m"(mask), "m"(data));
	check_eq("step", bt_interp(&f->c), BT_STEP_ON);
	check_eq("exception", vector_of(f), X86_PAGE);
	check_eq("cr2", f->c.cr2, HOLE);
	check_eq("element 0", ram_get(f, HOLE - 8, 4), 0x77777777);
}

/* --- atomic ones -------------------------------------------------------------------------------------------------------- */

enum { ROUNDS = 200000 };

struct other { /* a processor beside the guest's: it swaps its own token, and counts, until it is told to stop */
	uint32_t *word, token, *counter, counted;
	int stop;
};

static void *other_main(void *arg)
{
	struct other *o = arg;

	while (!__atomic_load_n(&o->stop, __ATOMIC_SEQ_CST)) {
		o->token = __atomic_exchange_n(o->word, o->token, __ATOMIC_SEQ_CST);
		__atomic_fetch_add(o->counter, 1, __ATOMIC_SEQ_CST);
		o->counted++;
	}
	return NULL;
}

static void test_exchange_and_lock_are_atomic_against_other_processors(void **state)
{
	struct fixture *f = *state;
	struct other o = { .token = 1 };
	unsigned seen;
	pthread_t t;

	long_mode(f);
	o.word = (uint32_t *)(f->ram + DATA);
	o.counter = (uint32_t *)(f->ram + DATA + 64);
	*o.word = 2;
	*o.counter = 0;
	f->c.gpr[X86_RDI] = DATA;
	f->c.gpr[X86_RAX] = 4;
	assert_int_equal(pthread_create(&t, NULL, other_main, &o), 0);
	for (unsigned k = 0; k < ROUNDS; k++) {
		runs(f, CODE("\x87\x07"));         /* XCHG [rdi], eax */
		runs(f, CODE("\xf0\xff\x47\x40")); /* LOCK INC [rdi + 64] */
	}
	__atomic_store_n(&o.stop, 1, __ATOMIC_SEQ_CST);
	pthread_join(t, NULL);
	seen = 1U << o.token | 1U << *o.word | 1U << f->c.gpr[X86_RAX];
	check_eq("tokens, none lost", seen, 1 << 1 | 1 << 2 | 1 << 4);
	check_eq("counted", *o.counter, ROUNDS + o.counted);
}

static void test_locked_ones_reach_devices_and_over_pages(void **state)
{
	struct fixture *f = *state;

	long_mode(f);
	f->io_answer = 0x11;
	f->c.gpr[X86_RDI] = DEVICE;
	f->c.gpr[X86_RAX] = 0x22;
	runs(f, CODE("\x87\x07"));
	check_eq("read", f->c.gpr[X86_RAX], 0x11);
	check_eq("accesses", f->n_io, 2);
	check_eq("written", f->io[1].data, 0x22);
	f->c.gpr[X86_RDI] = DATA + 4094;
	ram_put(f, DATA + 4094, 0x12345678, 4);
	runs(f, CODE("\xf0\x0f\xc1\x07")); /* LOCK XADD [rdi], eax */
	check_eq("sum", ram_get(f, DATA + 4094, 4), 0x12345689);
	check_eq("before", f->c.gpr[X86_RAX], 0x12345678);
}

static void test_the_direction_flag_is_set_and_cleared(void **state)
{
	struct fixture *f = *state;

	long_mode(f);
	runs(f, CODE("\xfd"));
	check_eq("flags", f->c.rflags, 2 | X86_DF);
	f->c.gpr[X86_RDI] = DATA;
	runs(f, CODE("\xaa"));
	check_eq("rdi", f->c.gpr[X86_RDI], DATA - 1);
	runs(f, CODE("\xfc"));
	check_eq("flags", f->c.rflags, 2);
}

/* --- exceptions, traps, shadows ----------------------------------------------------------------------------------------- */

static void test_a_fault_on_the_way_to_a_handler_is_at_the_instruction(void **state)
{
	struct fixture *f = *state;

	long_mode(f);
	ram_put(f, IDT + 16 * 0x40 + 5, 0x6e, 1); /* not present */
	faults(f, CODE("\xcd\x40"), X86_NP, 0x40 * 8 + 2);
	ram_put(f, IDT + 16 * X86_BP + 5, 0x6e, 1);
	faults(f, CODE("\xcc"), X86_NP, X86_BP * 8 + 2);
	ram_put(f, IDT + 16 * X86_DB + 5, 0x6e, 1);
	faults(f, CODE("\xf1"), X86_NP, X86_DB * 8 + 3); /* INT1 counts as from outside */
	raises(f, CODE("\xcd\x41"), 0x41, -1, code_at + 2);
	real_mode(f);
	raises(f, CODE("\xcd\x41"), 0x41, -1, code_at + 2);
	f->c.idt.limit = 0x41 * 4 - 1;
	faults(f, CODE("\xcd\x41"), X86_GP, -1);
}

/* trapped() - @code runs, and what the step ends in: the single-step trap behind it, or nothing. */
static bool trapped(struct fixture *f, const char *code, size_t len)
{
	f->c.rip = KERNEL_CODE;
	f->c.gpr[X86_RSP] = KERNEL_STACK - 0x100;
	f->c.dr6 = 0;
	check_eq("step", steps(f, code, len), BT_STEP_ON);
	if (vector_of(f) == NO_VECTOR) {
		check_eq("rip", f->c.rip, KERNEL_CODE + len);
		return false;
	}
	check_eq("exception", vector_of(f), X86_DB);
	check_eq("dr6", f->c.dr6, 1 << 14);
	check_eq("rip pushed", ram_get(f, f->c.gpr[X86_RSP], 8), KERNEL_CODE + len);
	return true;
}

static void test_the_trap_flag_is_lost_behind_loads_of_ss_alone(void **state)
{
	struct fixture *f = *state;

	long_mode(f);
	f->c.gpr[X86_RAX] = SEL_DATA;
	f->c.gpr[X86_RDI] = DATA;
	ram_put(f, DATA, (uint64_t)SEL_DATA << 32 | 0x1234, 8);
	f->c.rflags = 2 | X86_TF;
	assert_true(trapped(f, CODE("\x90")));
	f->c.rflags = 2 | X86_TF;
	assert_true(trapped(f, CODE("\xfb"))); /* STI */
	f->c.rflags = 2 | X86_TF;
	assert_false(trapped(f, CODE("\x8e\xd0"))); /* MOV ss, ax */
	assert_true(f->c.shadow);
	f->c.shadow = false;
	f->c.rflags = 2 | X86_TF;
	assert_true(trapped(f, CODE("\x0f\xb2\x0f"))); /* LSS ecx, [rdi] */
	check_eq("rcx", f->c.gpr[X86_RCX], 0x1234);
	f->c.rflags = 2;
	assert_false(trapped(f, CODE("\x0f\xb2\x0f")));
	assert_false(f->c.shadow);
	assert_false(trapped(f, CODE("\xfb")));
	assert_true(f->c.shadow);
	assert_false(trapped(f, CODE("\xfb"))); /* the second has none */
	assert_false(f->c.shadow);
}

static void test_a_repeated_string_traps_at_each_element(void **state)
{
	struct fixture *f = *state;

	long_mode(f);
	f->c.gpr[X86_RDI] = DATA;
	f->c.gpr[X86_RCX] = 3;
	f->c.rflags = 2 | X86_TF;
	f->c.rip = KERNEL_CODE;
	check_eq("step", steps(f, CODE("\xf3\xaa")), BT_STEP_ON);
	check_eq("exception", vector_of(f), X86_DB);
	check_eq("rip pushed", ram_get(f, f->c.gpr[X86_RSP], 8), KERNEL_CODE);
	check_eq("rcx", f->c.gpr[X86_RCX], 2);
}

static void test_tables_are_stored_whole_or_not_at_all(void **state)
{
	struct fixture *f = *state;

	long_mode(f);
	f->c.gdt.base = 0xffff888000001000;
	f->c.idt.limit = 0xfff;
	f->c.gpr[X86_RDI] = DATA;
	runs(f, CODE("\x0f\x01\x07"));
	check_eq("limit", ram_get(f, DATA, 2), GDT_END - 1);
	check_eq("base", ram_get(f, DATA + 2, 8), 0xffff888000001000);
	f->c.gdt.base = GDT;
	for (unsigned room = 1; room < 10; room++) {
		ram_put(f, HOLE - room, 0, room < 8 ? room : 8);
		f->c.gpr[X86_RDI] = HOLE - room;
		faults(f, CODE("\x0f\x01\x0f"), X86_PAGE, 2); /* SIDT [rdi] */
		check_eq("bytes before the page", ram_get(f, HOLE - room, room < 8 ? room : 8), 0);
	}
	ram_put(f, HOLE + 4096, 0, 8);
	f->c.gpr[X86_RDI] = HOLE + 4096 - 2;
	faults(f, CODE("\x0f\x01\x0f"), X86_PAGE, 2);
	check_eq("bytes behind the page", ram_get(f, HOLE + 4096, 8), 0);
}

static void test_simd_exceptions_are_undefined_where_the_system_takes_none(void **state)
{
	static const uint32_t unmasked = 0x1d00,
			      masked = 0x1f80; /* invalid operations, denormals: reported */
	struct fixture *f = *state;

	long_mode(f);
	f->c.gpr[X86_RDI] = DATA;
	ram_put(f, DATA, 0x7f800001, 4); /* a signalling NaN */
	for (unsigned on = 0; on < 2; on++) {
		f->c.cr4 = (f->c.cr4 & ~(uint64_t)X86_CR4_OSXMMEXCPT) | (on ? X86_CR4_OSXMMEXCPT : 0);
		__asm__ volatile("ldmxcsr %0" ::"m"(unmasked));
		faults(f, CODE("\xf3\x44\x0f\x58\x27"), on ? X86_SIMD : X86_UD, -1); /* ADDSS xmm12, [rdi] */
		__asm__ volatile("ldmxcsr %0" ::"m"(masked));
	}
}

static void test_breakpoints_strike_before_instructions_and_behind_data(void **state)
{
	static const struct {
		uint32_t dr7;
		uint64_t at;
		const char *code;
		unsigned len;
		bool hit;
	} cases[] = {
		{ 0x00010001, DATA, CODE("\x89\x07"), true },         /* written, 1 byte: MOV [rdi], eax */
		{ 0x00010001, DATA + 3, CODE("\x89\x07"), true },     /* its last */
		{ 0x00010001, DATA + 4, CODE("\x89\x07"), false },    /* the next */
		{ 0x00050001, DATA + 5, CODE("\x89\x07"), false },    /* 2 bytes, from an even address */
		{ 0x00090001, DATA + 6, CODE("\x89\x07"), true },     /* 8 bytes */
		{ 0x00010001, DATA, CODE("\x8b\x07"), false },        /* MOV eax, [rdi] */
		{ 0x00030001, DATA, CODE("\x8b\x07"), true },         /* touched */
		{ 0x00030002, DATA, CODE("\x01\x07"), true },         /* by the global bit: ADD [rdi], eax */
		{ 0x00030004, DATA, CODE("\x8b\x07"), false },        /* another's */
		{ 0x00010001, DATA, CODE("\xaa"), true },             /* STOSB */
		{ 0x00030001, DATA, CODE("\x8d\x07"), false },        /* LEA */
		{ 0x00030001, DATA, CODE("\xf3\x0f\x6f\x3f"), true }, /* MOVDQU xmm7, [rdi] */
		{ 0x00000001, KERNEL_CODE + 1, CODE("\x8b\x07"), false }, /* inside the instruction */
	};
	struct fixture *f = *state;

	for (size_t k = 0; k < ARRAY_SIZE(cases); k++) {
		long_mode(f);
		f->c.gpr[X86_RDI] = DATA;
		f->c.dr[0] = cases[k].at;
		f->c.dr7 = 0x400 | cases[k].dr7;
		f->c.dr6 = 0;
		check_eq("step", steps(f, cases[k].code, cases[k].len), BT_STEP_ON);
		if ((vector_of(f) == X86_DB) != cases[k].hit || f->c.dr6 != cases[k].hit)
			fail_msg("case %zu: exception %u, dr6 0x%lx", k, vector_of(f), f->c.dr6);
		if (cases[k].hit)
			check_eq("rip pushed", stacked(f, 0), code_at + cases[k].len);
	}
	long_mode(f);
	f->c.dr[3] = KERNEL_CODE;
	f->c.dr7 = 0x440;
	f->c.dr6 = 0;
	faults(f, CODE("\x90"), X86_DB, -1);
	check_eq("dr6", f->c.dr6, 8);
	f->c.rflags |= X86_RF;
	runs(f, CODE("\x90"));
	check_eq("flags", f->c.rflags, 2);
	faults(f, CODE("\x90"), X86_DB, -1);
	ram_put(f, stack_top, KERNEL_CODE, 8); /* IRETQ, with RF: it runs */
	ram_put(f, stack_top + 8, SEL_CODE64, 8);
	ram_put(f, stack_top + 16, X86_RF | 2, 8);
	ram_put(f, stack_top + 24, stack_top, 8);
	ram_put(f, stack_top + 32, SEL_DATA, 8);
	f->c.rip = KERNEL_CODE + 0x100;
	check_eq("step", steps(f, CODE("\x48\xcf")), BT_STEP_ON);
	check_eq("rip", f->c.rip, KERNEL_CODE);
	runs(f, CODE("\x90"));
	f->c.dr7 = 0x400;
	runs(f, CODE("\x90"));
}

/* --- what 64-bit code has not ------------------------------------------------------------------------------------------- */

static void test_decimal_adjustments(void **state)
{
	enum { C = X86_CF, A = X86_AF, S = X86_SF, Z = X86_ZF, P = X86_PF };
	static const struct {
		const char *code;
		unsigned len, ax, flags, want, want_flags, mask;
	} cases[] = {
		{ CODE("\x27"), 0x35, 0, 0x35, P, ~0U }, /* DAA */
		{ CODE("\x27"), 0x7d, 0, 0x83, A | S, ~0U },
		{ CODE("\x27"), 0x9a, 0, 0x00, A | C | Z | P, ~0U },
		{ CODE("\x27"), 0xa0, 0, 0x00, C | Z | P, ~0U },
		{ CODE("\x27"), 0x11, A, 0x17, A | P, ~0U },
		{ CODE("\x27"), 0x11, C, 0x71, C | P, ~0U },
		{ CODE("\x2f"), 0x35, 0, 0x35, P, ~0U }, /* DAS */
		{ CODE("\x2f"), 0x3f, 0, 0x39, A | P, ~0U },
		{ CODE("\x2f"), 0x02, A, 0xfc, A | C | S | P, ~0U },
		{ CODE("\x2f"), 0xee, 0, 0x88, A | C | S | P, ~0U },
		{ CODE("\x37"), 0x0109, 0, 0x0109, 0, A | C }, /* AAA */
		{ CODE("\x37"), 0x010c, 0, 0x0202, A | C, A | C },
		{ CODE("\x37"), 0x0133, A, 0x0209, A | C, A | C },
		{ CODE("\x37"), 0x00ff, 0, 0x0205, A | C, A | C }, /* carries into AH, besides */
		{ CODE("\x3f"), 0x0209, 0, 0x0209, 0, A | C },     /* AAS */
		{ CODE("\x3f"), 0x020b, 0, 0x0105, A | C, A | C },
		{ CODE("\x3f"), 0x0203, A, 0x000d, A | C, A | C },
		{ CODE("\xd4\x0a"), 0x55f9, 0, 0x1809, P, S | Z | P }, /* AAM */
		{ CODE("\xd4\x10"), 0x55f0, 0, 0x0f00, Z | P, S | Z | P },
		{ CODE("\xd5\x0a"), 0x0305, 0, 0x0023, 0, S | Z | P }, /* AAD */
		{ CODE("\xd5\x10"), 0x0fff, 0, 0x00ef, S, S | Z | P },
	};
	struct fixture *f = *state;

	for (unsigned real = 0; real < 2; real++)
		for (size_t k = 0; k < ARRAY_SIZE(cases); k++) {
			if (real)
				real_mode(f);
			else
				protected_mode(f);
			f->c.gpr[X86_RAX] = 0x12340000 | cases[k].ax;
			f->c.rflags = 2 | cases[k].flags;
			runs(f, cases[k].code, cases[k].len);
			if (f->c.gpr[X86_RAX] != (0x12340000 | cases[k].want) ||
			    (f->c.rflags ^ cases[k].want_flags) & cases[k].mask & (A | C | S | Z | P))
				fail_msg("case %zu: got 0x%lx, flags 0x%lx, want 0x%x, 0x%x", k,
					 f->c.gpr[X86_RAX], f->c.rflags, cases[k].want, cases[k].want_flags);
		}
	protected_mode(f);
	faults(f, CODE("\xd4\x00"), X86_DE, -1); /* AAM 0 */
	long_mode(f);
	faults(f, CODE("\x27"), X86_UD, -1);
}

static void test_bound_and_arpl(void **state)
{
	struct fixture *f = *state;

	protected_mode(f);
	f->c.gpr[X86_RDI] = DATA;
	ram_put(f, DATA, 0x00000005fffffffd, 8); /* -3 to 5 */
	for (int at = -5; at < 8; at++) {
		f->c.gpr[X86_RAX] = (uint32_t)at;
		if (at < -3 || at > 5)
			faults(f, CODE("\x62\x07"), X86_BR, -1);
		else
			runs(f, CODE("\x62\x07"));
	}
	ram_put(f, DATA, 0x0005fffd, 4);
	f->c.gpr[X86_RAX] = 0x10006;
	faults(f, CODE("\x66\x62\x07"), X86_BR, -1);
	f->c.gpr[X86_RAX] = 0x1fffe;
	runs(f, CODE("\x66\x62\x07"));

	f->c.gpr[X86_RAX] = 2;
	f->c.gpr[X86_RCX] = 0x11110009;
	runs(f, CODE("\x63\xc1")); /* ARPL cx, ax */
	check_eq("raised", f->c.gpr[X86_RCX], 0x1111000a);
	check_eq("flags", f->c.rflags, 2 | X86_ZF);
	runs(f, CODE("\x63\xc1"));
	check_eq("left", f->c.gpr[X86_RCX], 0x1111000a);
	check_eq("flags", f->c.rflags, 2);
	ram_put(f, DATA, 0xabcd0010, 4);
	runs(f, CODE("\x63\x07"));
	check_eq("raised in memory", ram_get(f, DATA, 4), 0xabcd0012);
	real_mode(f);
	faults(f, CODE("\x63\xc1"), X86_UD, -1);
}

/* --- gathers ------------------------------------------------------------------------------------------------------------ */

/* gathers() - @code with xmm13: the mask, xmm14: the indices, xmm15: what is there before; @got: xmm15 and xmm13 after. */
static void gathers(struct fixture *f, const char *code, size_t len, const void *mask, const void *index,
		    uint64_t got[4])
{
	const uint64_t before[2] = { 0xaaaaaaaaaaaaaaaa, 0xbbbbbbbbbbbbbbbb };

	begin(f);
	memcpy(f->ram + KERNEL_CODE, code, len);
	__asm__ volatile("vmovdqu %0, %%xmm13\n\tvmovdqu %1, %%xmm14\n\tvmovdqu %2, %%xmm15" ::"m"(
				 *(const uint64_t(*)[2])mask),
			 "m"(*(const uint64_t(*)[2])index), "m"(before));
	check_eq("step", bt_interp(&f->c), BT_STEP_ON);
	__asm__ volatile("vmovdqu %%xmm15, %0\n\tvmovdqu %%xmm13, %1"
			 : "=m"(*(uint64_t(*)[2])got), "=m"(*(uint64_t(*)[2])(got + 2)));
}

static void test_gathers_go_on_behind_a_fault(void **state)
{
	static const uint32_t all[4] = { ~0U, ~0U, ~0U, ~0U }, some[4] = { ~0U, 0, 1, 1U << 31 };
	static const int32_t index[4] = { 2, -1, 0, 0x1000 / 4 };
	static const uint64_t all_64[2] = { 1ULL << 63, 1ULL << 63 }, index_64[2] = { 3, 1 };
	struct fixture *f = *state;
	uint64_t got[4];

	NEED_HOST("avx2")
	long_mode(f);
	f->c.gpr[X86_RDI] = DATA + 0x100;
	for (unsigned k = 0; k < 64; k++)
		ram_put(f, DATA + 0xf0 + 4ULL * k, 0x1000 + k, 4);
	ram_put(f, DATA + 0x1100, 0x2222, 4);
	gathers(f, CODE("\xc4\x22\x11\x90\x3c\xb7"), all, index,
		got); /* VPGATHERDD xmm15, [rdi + xmm14 * 4], xmm13 */
	check_eq("exception", vector_of(f), NO_VECTOR);
	check_eq("elements", got[0], 0x0000100300001006);
	check_eq("elements", got[1], 0x0000222200001004);
	check_eq("mask", got[2] | got[3], 0);
	gathers(f, CODE("\xc4\x22\x11\x90\x3c\xb7"), some, index, got);
	check_eq("elements, some", got[0], 0xaaaaaaaa00001006);
	check_eq("elements, some", got[1], 0x00002222bbbbbbbb);
	check_eq("mask", got[2] | got[3], 0);
	gathers(f, CODE("\xc4\x22\x91\x91\x3c\xf7"), all_64, index_64, got); /* VPGATHERQQ, * 8 */
	check_eq("quadword 0", got[0], 0x0000100b0000100a);
	check_eq("quadword 1", got[1], 0x0000100700001006);
	gathers(f, CODE("\xc4\x22\x11\x93\x3c\xb7"), all, index_64, got); /* VGATHERQPS: half a vector */
	check_eq("elements by quadword", got[0], 0x0000100500001007);
	check_eq("above", got[1], 0);
	check_eq("mask", got[2] | got[3], 0);

	f->c.gpr[X86_RDI] = HOLE - 0x1000; /* element 3 is in the hole */
	ram_put(f, HOLE - 0xff8, 0x71, 4);
	ram_put(f, HOLE - 0x1004, 0x72, 4);
	ram_put(f, HOLE - 0x1000, 0x73, 4);
	gathers(f, CODE("\xc4\x22\x11\x90\x3c\xb7"), all, index, got);
	check_eq("exception", vector_of(f), X86_PAGE);
	check_eq("cr2", f->c.cr2, HOLE);
	check_eq("done", got[0], 0x0000007200000071);
	check_eq("done, and not", got[1], 0xbbbbbbbb00000073);
	check_eq("mask", got[2], 0);
	check_eq("mask", got[3], 0xffffffff00000000);
	gathers(f, CODE("\xc4\x22\x01\x90\x3c\xb7"), all, index, got); /* xmm15 twice */
	check_eq("exception", vector_of(f), X86_UD);
}

static void test_masked_moves_store_what_the_mask_has(void **state)
{
	static const uint8_t mask[16] = { 0x80, 0, 0xff, 0x7f, [15] = 0x80 };
	static const uint64_t data[2] = { 0x0807060504030201, 0x100f0e0d0c0b0a09 };
	struct fixture *f = *state;

	NEED_HOST("avx2")
	long_mode(f);
	f->c.gpr[X86_RDI] = DATA + 1;
	memset(f->ram + DATA, 0x55, 32);
	begin(f);
	memcpy(f->ram + KERNEL_CODE, "\x66\x45\x0f\xf7\xf5", 5); /* MASKMOVDQU xmm14, xmm13 */
	__asm__ volatile("vmovdqu %0, %%xmm13\n\tvmovdqu %1, %%xmm14" ::"m"(mask), "m"(data));
	check_eq("step", bt_interp(&f->c), BT_STEP_ON);
	check_eq("exception", vector_of(f), NO_VECTOR);
	check_eq("low", ram_get(f, DATA + 1, 8), 0x5555555555035501);
	check_eq("high", ram_get(f, DATA + 9, 8), 0x1055555555555555);
	f->n_io = 0;
	f->c.gpr[X86_RDI] = HOLE - 15;
	begin(f);
	__asm__ volatile("vmovdqu %0, %%xmm13\n\tvmovdqu %1, %%xmm14" ::"m"(mask), "m"(data));
	check_eq("step", bt_interp(&f->c), BT_STEP_ON);
	check_eq("exception", vector_of(f), X86_PAGE);
	check_eq("cr2", f->c.cr2, HOLE);
}

static void test_a_load_under_a_mask_faults_only_for_what_the_mask_has(void **state)
{
	static const uint32_t low[4] = { ~0U, ~0U, 0, 0 }, high[4] = { 0, 0, ~0U, 0 };
	struct fixture *f = *state;
	uint64_t got[4];

	NEED_HOST("avx2")
	long_mode(f);
	ram_put(f, HOLE - 8, 0x2222222211111111, 8);
	ram_put(f, HOLE + 4096, 0x4444444433333333, 8);
	f->c.gpr[X86_RDI] = HOLE - 8;
	gathers(f, CODE("\xc4\x62\x11\x2c\x3f"), low, low, got); /* VMASKMOVPS xmm15, xmm13, [rdi] */
	check_eq("exception", vector_of(f), NO_VECTOR);
	check_eq("what the mask has", got[0], 0x2222222211111111);
	check_eq("what it has not", got[1], 0);
	gathers(f, CODE("\xc4\x62\x11\x8c\x3f"), high, low, got); /* VPMASKMOVD */
	check_eq("exception", vector_of(f), X86_PAGE);
	check_eq("cr2", f->c.cr2, HOLE);
	check_eq("left as it was", got[0], 0xaaaaaaaaaaaaaaaa);
	f->c.gpr[X86_RDI] = HOLE + 4096 - 8;
	gathers(f, CODE("\xc4\x62\x11\x8c\x3f"), high, low, got);
	check_eq("exception", vector_of(f), NO_VECTOR);
	check_eq("what the mask has", got[1], 0x33333333);
}

static void test_alignment_is_that_of_the_linear_address(void **state)
{
	struct fixture *f = *state;

	long_mode(f);
	f->c.fs_base = DATA + 8;
	f->c.gpr[X86_RAX] = 8;
	runs(f, CODE("\x64\x44\x0f\x28\x20")); /* MOVAPS xmm12, fs:[rax] */
	f->c.gpr[X86_RAX] = 16;
	faults(f, CODE("\x64\x44\x0f\x28\x20"), X86_GP, 0);
	protected_mode(f);
	f->c.seg[X86_ES].base = 4;
	f->c.gpr[X86_RAX] = DATA + 12;
	runs(f, CODE("\x26\x0f\x28\x38"));
}

static void test_supervisor_state_is_saved_and_restored(void **state)
{
	struct fixture *f = *state;
	unsigned eax = 0, ebx, ecx, edx;
	uint64_t back;

	if (!__get_cpuid_count(0xd, 1, &eax, &ebx, &ecx, &edx) || !(eax & 1 << 1)) {
		print_message("# the host has no XSAVEC\n");
		skip();
	}
	long_mode(f);
	f->c.gpr[X86_RAX] = 3;
	f->c.gpr[X86_RDI] = DATA;
	memset(f->ram + DATA, 0, 4096);
	__asm__ volatile("movq %0, %%xmm12" ::"r"(0x1234567890abcdef));
	runs(f, CODE("\x48\x0f\xc7\x2f")); /* XSAVES64 [rdi] */
	check_eq("xmm12", ram_get(f, DATA + 160 + 12 * 16, 8), 0x1234567890abcdef);
	check_eq("compact", ram_get(f, DATA + 520, 8) >> 63, 1);
	ram_put(f, DATA + 160 + 12 * 16, 0x77, 8);
	runs(f, CODE("\x48\x0f\xc7\x1f")); /* XRSTORS64 [rdi] */
	__asm__ volatile("movq %%xmm12, %0" : "=r"(back));
	check_eq("xmm12", back, 0x77);
	f->c.n_cpuid = 1;
	f->c.cpuid[0] = (struct x86_cpuid){ .leaf = 0xd, .subleaf = 1, .eax = 7 };
	faults(f, CODE("\x48\x0f\xc7\x2f"), X86_UD, -1);
	f->c.n_cpuid = 0;
	fixture_cpl(f, 3, true);
	code_at = USER_PAGE;
	f->c.gpr[X86_RSP] = stack_top = USER_STACK;
	f->c.gpr[X86_RDI] = USER_STACK;
	faults(f, CODE("\x48\x0f\xc7\x2f"), X86_GP, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_plain_store_does_not_read_its_target),
		TEST(test_a_store_that_faults_has_done_nothing),
		TEST(test_a_store_under_a_mask_touches_only_what_the_mask_has),
		TEST(test_exchange_and_lock_are_atomic_against_other_processors),
		TEST(test_locked_ones_reach_devices_and_over_pages),
		TEST(test_the_direction_flag_is_set_and_cleared),
		TEST(test_a_fault_on_the_way_to_a_handler_is_at_the_instruction),
		TEST(test_the_trap_flag_is_lost_behind_loads_of_ss_alone),
		TEST(test_a_repeated_string_traps_at_each_element),
		TEST(test_tables_are_stored_whole_or_not_at_all),
		TEST(test_simd_exceptions_are_undefined_where_the_system_takes_none),
		TEST(test_breakpoints_strike_before_instructions_and_behind_data),
		TEST(test_decimal_adjustments),
		TEST(test_bound_and_arpl),
		TEST(test_gathers_go_on_behind_a_fault),
		TEST(test_masked_moves_store_what_the_mask_has),
		TEST(test_a_load_under_a_mask_faults_only_for_what_the_mask_has),
		TEST(test_alignment_is_that_of_the_linear_address),
		TEST(test_supervisor_state_is_saved_and_restored),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
