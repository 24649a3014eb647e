/* SPDX-License-Identifier: Apache-2.0 */
/* block_test.c - blocks linked, found through tables and ways, killed, dropped */
#include "engine/bt/space/translate_test.h"

static void test_a_link_is_followed_until_its_target_is_killed(void **state)
{
	static const uint8_t code[] = { 0x48, 0xff, 0xc0, 0xeb, 0x0b }; /* INC rax; JMP to 0x10 */
	static const uint8_t there[] = { 0x48, 0xff, 0xc3, 0xf4 };      /* INC rbx; HLT */
	static struct bt_exchange exchange;
	const struct bt_exit *x;
	struct bt_block *a, *b;

	(void)state;
	NEED_PLACES();
	bt_code_kill(cpu, CODE, 4096);
	memcpy(memory, code, sizeof(code));
	memcpy(memory + 0x10, there, sizeof(there));
	memset(cpu->gpr, 0, sizeof(cpu->gpr));
	x = go(CODE, BT_USER, &a);
	assert_int_equal(x->why, BT_LEAVE_LINK);
	assert_int_equal(x->rip, CODE + 0x10);
	b = bt_block_get(cpu, x->rip, BT_USER);
	bt_link(x, b);
	x = go(CODE, BT_USER, &a);
	assert_int_equal(x->why, BT_LEAVE_STEP);
	assert_int_equal(x->rip, CODE + 0x13);
	assert_int_equal(cpu->gpr[X86_RAX], 2);
	assert_int_equal(cpu->gpr[X86_RBX], 1);

	cpu->exchange = &exchange;
	bt_code_kill(cpu, CODE + 0x11, 1);
	cpu->exchange = NULL;
	assert_int_equal(exchange.counter[BT_COUNT_CODE_KILLS], 1);
	assert_true(b->dead);
	assert_false(a->dead);
	x = go(CODE, BT_USER, &a);
	assert_int_equal(x->why, BT_LEAVE_LINK);
	assert_int_equal(cpu->gpr[X86_RBX], 1);
	assert_true(bt_code_has(CODE));
	bt_code_kill(cpu, CODE, 4096);
	assert_false(bt_code_has(CODE));
}

static void test_a_block_on_a_page_that_is_always_written_looks_at_its_bytes(void **state)
{
	/* MOV byte [CODE + 8], 0xc1; INC ebx (INC ecx afterwards); HLT */
	static const uint8_t code[] = { 0xc6, 0x04, 0x25, 0, 0, 0, 0, 0xff, 0xc3, 0xf4 };
	const uint32_t own = (uint32_t)CODE + 8;
	const struct bt_exit *x;
	struct bt_block *b;

	(void)state;
	NEED_PLACES();
	bt_code_kill(cpu, CODE, 4096);
	memcpy(memory, code, sizeof(code));
	memcpy(memory + 3, &own, sizeof(own));
	memory[7] = 0xff;
	memory[8] = 0xc3;
	bt_process()->store_count[CODE >> 12] = UINT8_MAX;
	assert_true(bt_code_is_hot(CODE));
	for (unsigned n = 0; n < sizeof(cpu->gpr) / sizeof(cpu->gpr[0]); n++)
		cpu->gpr[n] = 0x1111 * n;
	memcpy(memory, (const uint8_t[]){ 0x90, 0x90, 0xf4 }, 3);
	x = go(CODE, BT_USER, &b);
	assert_int_equal(x->why, BT_LEAVE_STEP);
	assert_int_equal(x->rip, CODE + 2);
	assert_false(bt_code_has(CODE)); /* nobody is kept from writing */
	memcpy(memory, code, 3);
	b = bt_block_get(cpu, CODE, BT_USER);
	cpu->rflags |= X86_CF | X86_ZF;
	x = enter(b);
	assert_int_equal(x->why, BT_LEAVE_STALE);
	assert_int_equal(x->rip, CODE);
	for (unsigned n = 0; n < sizeof(cpu->gpr) / sizeof(cpu->gpr[0]); n++)
		assert_int_equal(cpu->gpr[n], 0x1111 * n);
	assert_int_equal(cpu->rflags & BT_HOST_FLAGS, X86_CF | X86_ZF);

	bt_block_kill(cpu, b);
	memory[8] = 0xc3;
	x = go(CODE, BT_USER, &b); /* it ends behind its store, into what comes next */
	assert_int_equal(x->why, BT_LEAVE_LINK);
	assert_int_equal(x->rip, CODE + 7 + 1);
	bt_block_kill(cpu, b);
	bt_process()->store_count[CODE >> 12] = 0;
}

static void test_an_exit_of_before_everything_was_dropped_is_not_linked(void **state)
{
	static const uint8_t code[] = { 0x74, 0x10, 0x75, 0x10, 0xeb, 0x0c }; /* JE, JNE, JMP: three exits */
	uint8_t *const cache = (uint8_t *)BT_CACHE_BASE;
	const struct bt_exit *x;
	struct bt_block *a, *to;
	static uint8_t copy[8192];

	(void)state;
	NEED_PLACES();
	bt_code_kill(cpu, CODE, 4096);
	memset(memory, 0xf4, 4096);
	memcpy(memory, code, sizeof(code));
	for (unsigned k = 0; k < 16; k++) /* so that its exits are not the first */
		bt_block_get(cpu, CODE + 0x40 + k, BT_USER);
	x = go(CODE, BT_USER, &a);
	assert_int_equal(x->why, BT_LEAVE_LINK);
	translate__reset();
	to = bt_block_get(cpu, x->rip, BT_USER);
	assert_non_null(to);
	memcpy(copy, cache, sizeof(copy));
	bt_link(x, to);
	assert_memory_equal(copy, cache, sizeof(copy));
	assert_null(to->in);
}

static void test_a_return_finds_its_block_in_the_table(void **state)
{
	static const uint8_t code[] = { 0xc3 };
	const uint64_t back = CODE + 0x20;
	const struct bt_exit *x;
	struct bt_block *a, *b;

	(void)state;
	NEED_PLACES();
	take_signals();
	for (enum bt_mode mode = BT_KERNEL; mode < BT_MODE_COUNT; mode++) {
		if (mode == BT_KERNEL_AC)
			continue;
		bt_code_kill(cpu, CODE, 4096);
		memcpy(memory, code, sizeof(code));
		memory[0x20] = 0xf4;
		memcpy(memory + (STACK - CODE), &back, 8);
		memset(cpu->gpr, 0x5a, sizeof(cpu->gpr));
		cpu->gpr[X86_RSP] = STACK;
		x = go(CODE, mode, &a);
		assert_int_equal(x->why, BT_LEAVE_INDIRECT);
		assert_int_equal(cpu->rip, back);
		assert_int_equal(cpu->gpr[X86_RSP], STACK + 8);
		assert_int_equal(cpu->gpr[X86_RCX], 0x5a5a5a5a5a5a5a5a);
		b = bt_block_get(cpu, back, mode);
		bt_table_put(b);
		cpu->gpr[X86_RSP] = STACK;
		x = go(CODE, mode, &a);
		assert_int_equal(x->why, BT_LEAVE_STEP);
		assert_int_equal(x->rip, back);
		assert_int_equal(cpu->gpr[X86_RAX], 0x5a5a5a5a5a5a5a5a);
		assert_int_equal(cpu->gpr[X86_RCX], 0x5a5a5a5a5a5a5a5a);
		bt_table_clear_page(CODE);
		cpu->gpr[X86_RSP] = STACK;
		assert_int_equal(go(CODE, mode, &a)->why, BT_LEAVE_INDIRECT);
		faulted = false;
		cpu->gpr[X86_RSP] = CODE + MEMORY - 4; /* half of the address is there */
		go(CODE, mode, &a);
		assert_true(faulted);
		assert_int_equal(cpu->rip, CODE);
		assert_int_equal(cpu->gpr[X86_RSP], CODE + MEMORY - 4);
		assert_int_equal(cpu->gpr[X86_RCX], 0x5a5a5a5a5a5a5a5a);
	}
}

/*
 * An indirect branch in every form of operand, with and without REX: to where it says, by the table when that has it, and with
 * the registers of before when its operand, or its push, cannot be reached.
 */
static void test_an_indirect_branch_goes_where_its_operand_says(void **state)
{
	static const struct {
		uint8_t len, code[8];
		bool call, by_base; /* the second: its operand is at RBX or R8 */
	} forms[] = {
		{ 7, { 0xff, 0x24, 0xd5, 0x00, 0x00, 0x01, 0x10 }, false, false }, /* JMP [rdx * 8 + DATA] */
		{ 8,
		  { 0x42, 0xff, 0x24, 0xcd, 0x00, 0x00, 0x01, 0x10 },
		  false,
		  false },                                                        /* JMP [r9 * 8 + DATA] */
		{ 2, { 0xff, 0x23 }, false, true },                               /* JMP [rbx] */
		{ 3, { 0x41, 0xff, 0x20 }, false, true },                         /* JMP [r8] */
		{ 6, { 0xff, 0x25, 0xfa, 0xff, 0x00, 0x00 }, false, false },      /* JMP [rip + ...]: DATA */
		{ 2, { 0xff, 0x13 }, true, true },                                /* CALL [rbx] */
		{ 4, { 0x41, 0xff, 0x50, 0x00 }, true, true },                    /* CALL [r8 + 0] */
		{ 7, { 0xff, 0x14, 0xd5, 0x00, 0x00, 0x01, 0x10 }, true, false }, /* CALL [rdx * 8 + DATA] */
		{ 2, { 0xff, 0xe0 }, false, false },                              /* JMP rax */
		{ 2, { 0xff, 0xd1 }, true, false },                               /* CALL rcx */
		{ 3, { 0x41, 0xff, 0xd3 }, true, false },                         /* CALL r11 */
	};
	const uint64_t there = CODE + 0x100;

	(void)state;
	NEED_PLACES();
	take_signals();
	for (enum bt_mode mode = BT_KERNEL; mode < BT_MODE_COUNT; mode++)
		for (size_t k = 0; k < ARRAY_SIZE(forms); k++) {
			uint64_t gpr[X86_GPR_COUNT], back = 0;
			const struct bt_exit *x;
			struct bt_block *b;

			bt_code_kill(cpu, CODE, 4096);
			memset(memory, 0xf4, 4096);
			memcpy(memory, forms[k].code, forms[k].len);
			memcpy(memory + (DATA - CODE), &there, 8);
			for (int r = 0; r < X86_GPR_COUNT; r++)
				gpr[r] = 0x1111111111111111ULL * (unsigned)r;
			gpr[X86_RDX] = gpr[9] = 0;
			gpr[X86_RBX] = gpr[8] = DATA;
			gpr[X86_RAX] = gpr[X86_RCX] = gpr[11] = there;
			gpr[X86_RSP] = STACK + 0x100;
			for (unsigned round = 0; round < 2; round++) {
				memcpy(cpu->gpr, gpr, sizeof(gpr));
				x = go(CODE, mode, &b);
				if (mode ==
				    BT_KERNEL_AC) { /* where it leads, that mode is another's: the interpreter's */
					assert_int_equal(x->why, BT_LEAVE_STEP);
					assert_int_equal(x->rip, CODE);
					continue;
				}
				assert_int_equal(x->why, round ? BT_LEAVE_STEP : BT_LEAVE_INDIRECT);
				assert_int_equal(round ? x->rip : cpu->rip, there);
				for (int r = 0; r < X86_GPR_COUNT; r++)
					assert_int_equal(cpu->gpr[r],
							 gpr[r] - (r == X86_RSP && forms[k].call ? 8 : 0));
				if (forms[k].call)
					memcpy(&back, memory + (STACK + 0xf8 - CODE), 8);
				assert_int_equal(back, forms[k].call ? CODE + (uint64_t)forms[k].len : 0);
				bt_table_put(bt_block_get(cpu, there, mode));
			}
			/* what cannot be reached: the operand, then a call's stack */
			for (unsigned which = 0; which < 2 && mode != BT_KERNEL_AC; which++) {
				if (which == 0 ? !forms[k].by_base : !forms[k].call)
					continue;
				memcpy(cpu->gpr, gpr, sizeof(gpr));
				if (which == 0)
					cpu->gpr[X86_RBX] = cpu->gpr[8] = 0x20000000;
				else
					cpu->gpr[X86_RSP] = 0x20000000;
				faulted = false;
				go(CODE, mode, &b);
				assert_true(faulted);
				assert_int_equal(cpu->rip, CODE);
				for (int r = 0; r < X86_GPR_COUNT; r++)
					assert_int_equal(cpu->gpr[r],
							 which == 0 && (r == X86_RBX || r == 8) ? 0x20000000 :
							 which == 1 && r == X86_RSP             ? 0x20000000 :
												  gpr[r]);
			}
		}
}

/* follow() - what run.c does with an exit */
static struct bt_block *follow(const struct bt_exit *x, enum bt_mode mode)
{
	bool indirect = x->why == BT_LEAVE_INDIRECT;
	struct bt_block *b = bt_block_get(cpu, indirect ? cpu->rip : x->rip, mode);

	if (indirect)
		bt_table_put(b);
	else
		bt_link(x, b);
	return b;
}

static void put(uint64_t at, const uint8_t *code, size_t len)
{
	memcpy(memory + (at - CODE), code, len);
}

static void clear(void)
{
	bt_code_kill(cpu, CODE, MEMORY);
	bt_code_kill(cpu, HIGH, MEMORY);
	bt_table_clear(true);
	bt_table_clear(false);
	memset(memory, 0xf4, MEMORY);
	memset(cpu->gpr, 0x5a, sizeof(cpu->gpr));
	cpu->gpr[X86_RSP] = STACK + 0x100;
}

/* A call pushes where it goes on, also where that takes more than 32 bits, and the return finds it. */
static void test_a_call_above_four_gigabytes_is_returned_from(void **state)
{
	static const uint8_t call[] = { 0xe8, 0xfb, 0, 0, 0, 0xff, 0xc0 }; /* CALL + 0x100; INC eax; HLT */
	static const uint8_t back[] = { 0xc3 };
	const uint64_t want = HIGH + 5;

	(void)state;
	NEED_PLACES();
	for (enum bt_mode mode = BT_KERNEL; mode < BT_MODE_COUNT; mode++) {
		if (mode == BT_KERNEL_AC)
			continue;
		clear();
		put(CODE, call, sizeof(call));
		put(CODE + 0x100, back, sizeof(back));
		for (unsigned round = 0; round < 4; round++) {
			struct bt_block *b;
			const struct bt_exit *x;

			cpu->gpr[X86_RAX] = 7;
			x = go(HIGH, mode, &b);
			assert_memory_equal(b->entry + b->record[0].host, "\xff\x35", 2); /* by one store */
			for (unsigned n = 0; x->why != BT_LEAVE_STEP && n < 3; n++)
				x = enter(follow(x, mode));
			assert_true(x->why == BT_LEAVE_STEP && x->rip == HIGH + 7);
			assert_int_equal(cpu->gpr[X86_RAX], 8);
			assert_int_equal(cpu->gpr[X86_RSP], STACK + 0x100);
			assert_memory_equal(memory + (STACK + 0xf8 - CODE), &want, 8);
			if (round > 0) /* all of it in one go */
				assert_int_equal(enter(b)->why, BT_LEAVE_STEP);
		}
	}
}

static void test_a_full_cache_is_emptied_and_used_again(void **state)
{
	(void)state;
	NEED_PLACES();
	bt_code_kill(cpu, CODE, 4096);
	memory[0] = 0x90;
	memory[1] = 0xf4;
	for (unsigned k = 0; k < 1100000; k++) { /* more blocks than there may be */
		struct bt_block *b = bt_block_get(cpu, CODE, BT_USER);

		assert_non_null(b);
		bt_block_kill(cpu, b);
	}
	assert_non_null(bt_block_get(cpu, CODE, BT_USER));
	assert_true(bt_code_has(CODE));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_link_is_followed_until_its_target_is_killed),
		cmocka_unit_test(test_a_block_on_a_page_that_is_always_written_looks_at_its_bytes),
		cmocka_unit_test(test_an_exit_of_before_everything_was_dropped_is_not_linked),
		cmocka_unit_test(test_a_return_finds_its_block_in_the_table),
		cmocka_unit_test(test_an_indirect_branch_goes_where_its_operand_says),
		cmocka_unit_test(test_a_call_above_four_gigabytes_is_returned_from),
		cmocka_unit_test(test_a_full_cache_is_emptied_and_used_again),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
