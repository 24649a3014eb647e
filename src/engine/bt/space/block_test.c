/* SPDX-License-Identifier: Apache-2.0 */
/* block_test.c - blocks linked, found through tables and ways, killed, dropped
 */
#include "engine/bt/space/emit.h"
#include "engine/bt/space/others.h"
#include "engine/bt/space/translate_test.h"

static void test_a_link_is_followed_until_its_target_is_killed(void **state)
{
	static const uint8_t code[] = { 0x48, 0xff, 0xc0, 0xeb, 0x0b }; /* INC rax; JMP to 0x10 */
	static const uint8_t there[] = { 0x48, 0xff, 0xc3, 0xf4 };      /* INC rbx; HLT */
	static struct bt_exchange exchange;
	const struct bt_exit *x;
	struct bt_block *a, *b;
	int32_t distance;

	(void)state;
	NEED_PLACES();
	bt_code_kill(cpu, CODE, 4096);
	memcpy(memory, code, sizeof(code));
	memcpy(memory + 0x10, there, sizeof(there));
	memset(cpu->gpr, 0, sizeof(cpu->gpr));
	x = go(CODE, BT_USER, &a);
	assert_int_equal(x->why, BT_LEAVE_LINK);
	assert_int_equal(x->rip, CODE + 0x10);
	memcpy(&distance, x->patch, sizeof(distance));
	assert_ptr_equal(bt_block_at(x->patch), a);
	assert_true(bt_is_cache(x->patch + 4 + distance)); /* its way out is no block's, and not among them */
	assert_null(bt_block_at(x->patch + 4 + distance));
	assert_in_range((uintptr_t)(x->patch + 4 + distance), BT_COLD_BASE, BT_CACHE_BASE + BT_CACHE_SIZE);
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
		bt_table_put(b, BT_HEAD_RETURN);
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
 * An indirect branch in every form of operand, with and without REX: to where
 * it says, by the table when that has it, and with the registers of before when
 * its operand, or its push, cannot be reached.
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
				if (mode == BT_KERNEL_AC) { /* where it leads, that mode is another's:
                                       the interpreter's */
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
				bt_table_put(bt_block_get(cpu, there, mode), BT_HEAD_JUMP);
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

/* --- to other pages
 * ------------------------------------------------------------------------------------------------------------
 */

/* follow() - what run.c does with an exit */
static struct bt_block *follow(const struct bt_exit *x, enum bt_mode mode)
{
	enum bt_head by = cpu->by_return ? BT_HEAD_RETURN : BT_HEAD_JUMP;
	struct bt_block *b;

	if (x->why == BT_LEAVE_INDIRECT) {
		b = bt_block_come(cpu, cpu->rip, mode, by);
		bt_table_put(b, by);
		return b;
	}
	assert_int_equal(x->why, BT_LEAVE_LINK);
	b = bt_block_get(cpu, x->rip, mode);
	if (x->patch)
		bt_link(x, b);
	else
		bt_way_put(b);
	if (!x->patch && !x->way)
		bt_table_put_over(b);
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

/* Branches of the user's to another page in each form, on the way of which
 * nothing changes but what they say. */
static void test_a_way_to_another_page_is_followed_until_it_is_forgotten(void **state)
{
	static const struct {
		uint8_t len, code[8];
		unsigned pushes;
		bool taken; /* with ZF clear and RCX not 0 */
	} forms[] = {
		{ 5, { 0xe9, 0xfb, 0xff, 0x00, 0x00 }, 0, true },       /* JMP */
		{ 5, { 0xe8, 0xfb, 0xff, 0x00, 0x00 }, 8, true },       /* CALL */
		{ 6, { 0x0f, 0x85, 0xfa, 0xff, 0x00, 0x00 }, 0, true }, /* JNE */
	};
	struct bt_block *a, *to;
	const struct bt_exit *x;

	(void)state;
	NEED_PLACES();
	for (size_t k = 0; k < ARRAY_SIZE(forms); k++)
		for (unsigned forget = 0; forget < 4; forget++) {
			uint64_t gpr[X86_GPR_COUNT];

			clear();
			put(CODE, forms[k].code, forms[k].len);
			memcpy(gpr, cpu->gpr, sizeof(gpr));
			gpr[X86_RSP] -= forms[k].pushes;
			x = go(CODE, BT_USER, &a);
			assert_true(x->why == BT_LEAVE_LINK && x->way && x->rip == DATA);
			to = follow(x, BT_USER);
			for (unsigned round = 0; round < 3; round++) {
				cpu->gpr[X86_RSP] = STACK + 0x100;
				be(BT_USER);
				cpu->rflags |= X86_CF | X86_OF;
				x = enter(a);
				assert_true(x->why == BT_LEAVE_STEP && x->rip == DATA);
				assert_memory_equal(cpu->gpr, gpr, sizeof(gpr));
				assert_int_equal(cpu->rflags & X86_ARITH, X86_CF | X86_OF);
				bt_table_clear_page(STACK); /* another page, and another half */
				bt_table_clear(false);
			}
			switch (forget) {
			case 0: bt_table_clear(true); break;
			case 1: bt_table_clear_page(DATA + 0x123); break;
			case 2: bt_code_kill(cpu, DATA, 1); break;
			default: /* what there is in a process that has not heard of it: the dead
                  block's entry */
				bt_code_kill(cpu, DATA, 1);
				((uint64_t *)BT_WAY_BASE)[translate__way(DATA)] =
					(uint64_t)(uintptr_t)to->entry;
			}
			cpu->gpr[X86_RSP] = STACK + 0x100;
			x = go(CODE, BT_USER, &a);
			assert_true(x->why == BT_LEAVE_LINK && x->rip == DATA && x->way == (forget < 3));
			assert_memory_equal(cpu->gpr, gpr, sizeof(gpr));
			memory[DATA - CODE] = 0x90;
			follow(x, BT_USER);
			cpu->gpr[X86_RSP] = STACK + 0x100;
			x = go(CODE, BT_USER, &a);
			assert_true(x->why == BT_LEAVE_STEP);
			assert_int_equal(x->rip, DATA + (forget < 2 ? 0 : 1));
		}
}

static void test_the_first_target_on_a_page_brings_the_ways_to_all(void **state)
{
	/* JE to DATA; JMP to DATA + 0x10 */
	static const uint8_t code[] = { 0x0f, 0x84, 0xfa, 0xff, 0, 0, 0xe9, 0x05, 0, 1, 0 };
	const struct bt_exit *x;
	struct bt_block *a;

	(void)state;
	NEED_PLACES();
	clear();
	put(CODE, code, sizeof(code));
	follow(go(CODE, BT_USER, &a), BT_USER);
	be(BT_USER);
	cpu->rflags |= X86_ZF;
	follow(enter(a), BT_USER);
	bt_table_clear(true);
	x = go(CODE, BT_USER, &a);
	assert_true(x->way && x->rip == DATA + 0x10);
	follow(x, BT_USER);
	be(BT_USER);
	cpu->rflags |= X86_ZF;
	x = enter(a);
	assert_true(x->why == BT_LEAVE_STEP && x->rip == DATA);
}

/* A compiler at run time makes the same code again and again: what it calls has one way for all. */
static void test_all_branches_to_one_place_share_a_way(void **state)
{
	static const uint8_t jump[] = { 0xe9, 0xfb, 0xff, 0, 0 }, other[] = { 0xe9, 0xfb, 0xfe, 0, 0 };
	struct bt_block *a;
	uint32_t n;

	(void)state;
	NEED_PLACES();
	clear();
	put(CODE, jump, sizeof(jump));
	put(CODE + 0x100, other, sizeof(other));
	follow(go(CODE, BT_USER, &a), BT_USER);
	n = translate__store()->n_ways;
	assert_int_equal(go(CODE + 0x100, BT_USER, &a)->rip, DATA);
	for (unsigned round = 0; round < 100; round++) {
		bt_code_kill(cpu, CODE, 1);
		assert_int_equal(go(CODE, BT_USER, &a)->why, BT_LEAVE_STEP);
	}
	assert_int_equal(translate__store()->n_ways, n);
}

/* --- tables
 * --------------------------------------------------------------------------------------------------------------------
 */

/*
 * One indirect branch to targets whose low 16 bits are the same, that need a
 * head of their own in each table, and two that fall on one place in both
 * tables: each time it comes to where it was sent, whoever was there before.
 */
static void told_apart(void)
{
	static const uint64_t targets[] = { CODE + 0x140, DATA + 0x140, HIGH + 0x140, STACK + 0x140,
					    HIGH + 0x10140 };
	static const uint8_t jump[] = { 0xff, 0xe0 }, back[] = { 0xc3, 0xf4 };

	assert_int_equal((CODE ^ HIGH) & 0xffffff, 0);
	for (unsigned k = 0; k < 4; k++)
		for (enum bt_mode mode = BT_KERNEL; mode < BT_MODE_COUNT; mode++) {
			unsigned n_missed = 0, returns = k & 1,
				 first = k & 2; /* who has the first table's place */

			if (mode == BT_KERNEL_AC)
				continue;
			clear();
			put(CODE, returns ? back : jump, sizeof(jump));
			for (unsigned round = 0; round < 40; round++) {
				const uint64_t to = targets[(first + round * 7 / 3) % ARRAY_SIZE(targets)];
				const struct bt_exit *x;
				struct bt_block *b;

				memset(cpu->gpr, 0x5a, sizeof(cpu->gpr));
				cpu->gpr[X86_RAX] = to;
				cpu->gpr[X86_RSP] = STACK + 0x200;
				put(STACK + 0x200, (const uint8_t *)&to, 8);
				be(mode);
				cpu->rflags |= X86_CF | X86_ZF;
				cpu->rip = CODE;
				x = enter(bt_block_get(cpu, CODE, mode));
				if (x->why == BT_LEAVE_INDIRECT) {
					n_missed++;
					assert_int_equal(cpu->rip, to);
					assert_int_equal(cpu->by_return, returns);
					b = follow(x, mode);
					assert_int_equal(b->rip, to);
				} else {
					assert_int_equal(x->why, BT_LEAVE_STEP);
					assert_int_equal(x->rip, to);
				}
				assert_int_equal(cpu->gpr[X86_RAX], to);
				assert_int_equal(cpu->gpr[X86_RCX], 0x5a5a5a5a5a5a5a5a);
				assert_int_equal(cpu->gpr[X86_RSP], STACK + 0x200 + 8 * returns);
				assert_int_equal(cpu->rflags & X86_ARITH, X86_CF | X86_ZF);
			}
			assert_in_range(n_missed, ARRAY_SIZE(targets), 30);
		}
}

static void test_targets_with_one_place_in_the_tables_are_told_apart(void **state)
{
	bool loops;

	(void)state;
	NEED_PLACES();
	loops = translate__store()->loops;
	for (unsigned n = 0; n < 2; n++) { /* on either kind of processor */
		translate__store()->loops = n;
		translate__reset();
		told_apart();
	}
	translate__store()->loops = loops;
	translate__reset();
}

/* enters() - does the head of a kernel's block at @rip take @target? What it makes of one that it does not is in cpu->rip. */
static bool enters(uint64_t rip, uint64_t target, enum bt_head which)
{
	struct translate_store *s = translate__store();
	struct bt_block b = { .rip = rip, .mode = BT_KERNEL };
	const uint8_t *second = s->second[BT_HEAD_JUMP][0], *popped = s->popped[0];
	struct emit e = { .at = s->cache_at };
	uint64_t entered, rcx;

	s->second[BT_HEAD_JUMP][0] = e.at; /* XOR eax, eax; RET */
	emit_8(&e, 0x31);
	emit_8(&e, 0xc0);
	emit_8(&e, 0xc3);
	s->popped[0] = e.at;
	emit_store(&e, BT_AT(rip), X86_RCX);
	emit_jump(&e, s->second[BT_HEAD_JUMP][0]);
	translate__head(&e, &b, which);
	emit_mov_imm(&e, X86_RAX, 1);
	emit_8(&e, 0xc3);
	s->second[BT_HEAD_JUMP][0] = second;
	s->popped[0] = popped;
	cpu->rip = which == BT_HEAD_RETURN ? 0 : target;
	cpu->target_rcx = 0x1122334455667788;
	__asm__ volatile("	sub $128, %%rsp\n" /* the red zone */
			 "	lea 1f(%%rip), %%rax\n"
			 "	push %%rax\n"
			 "	cmp %[back], %[which]\n"
			 "	jne 2f\n"
			 "	push %[target]\n"
			 "2:	jmp *%[head]\n"
			 "1:	add $128, %%rsp\n"
			 : "=&a"(entered), "=&c"(rcx)
			 : [head] "r"(b.head[which]), [target] "r"(target), [which] "r"((uint64_t)which),
			   [back] "i"(BT_HEAD_RETURN)
			 : "cc", "memory");
	if (entered)
		assert_int_equal(rcx, 0x1122334455667788);
	else
		assert_int_equal(cpu->rip, target);
	return entered;
}

static void test_a_head_takes_its_own_target_alone(void **state)
{
	static const uint64_t targets[] = {
		0,
		1,
		0x7fffffff,
		0x80000002,
		0xffffffff,
		0x100000000,
		0x17fffffff,
		0x180000002,
		0x5555deadbeef,
		0x7ffff7fff000,
		0x7fffffffffff,
		0xffff888012345678,
		0xffffc900fedcba98,
		0xfffffffe00000000,
		0xffffffff7fffffff,
		0xffffffff80000002,
		0xffffffff81000000,
		0xffffffffffffffff,
	};
	bool loops;

	(void)state;
	NEED_PLACES();
	loops = translate__store()->loops;
	for (unsigned n = 0; n < 4; n++) {
		enum bt_head which = n & 1 ? BT_HEAD_RETURN : BT_HEAD_JUMP;

		translate__store()->loops = n & 2;
		for (size_t k = 0; k < ARRAY_SIZE(targets); k++) {
			const uint64_t rip = targets[k];

			assert_true(translate__has_head(rip));
			for (size_t i = 0; i < ARRAY_SIZE(targets); i++)
				assert_int_equal(enters(rip, targets[i], which), i == k);
			for (unsigned bit = 0; bit < 64; bit++) {
				assert_false(enters(rip, rip ^ 1ULL << bit, which));
				assert_false(enters(rip, rip + (1ULL << bit), which));
				assert_false(enters(rip, rip - (1ULL << bit), which));
			}
		}
	}
	assert_false(
		translate__has_head(0x80000000)); /* their lower half less 1 has no 32 bits with a sign */
	assert_false(translate__has_head(0xffffffff80000001));
	translate__store()->loops = loops;
	translate__reset();
}

/* A call pushes where it goes on, also where that takes more than 32 bits, and
 * the return finds it. */
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

/* --- the end of blocks
 * ------------------------------------------------------------------------------------------------------------
 */

/* A block that is dead leads out, also where its first bytes were a branch, and
 * stays so when what the branch led to dies. */
static void test_a_dead_block_leads_out_whatever_it_began_with(void **state)
{
	static const struct {
		uint8_t len, code[8];
	} starts[] = {
		{ 2, { 0xeb, 0x3e } },                         /* JMP to 0x40 */
		{ 2, { 0x75, 0x3e } },                         /* JNE */
		{ 4, { 0x85, 0xc0, 0x75, 0x3c } },             /* TEST eax, eax; JNE */
		{ 5, { 0x48, 0x85, 0xc0, 0x75, 0x3b } },       /* TEST rax, rax; JNE */
		{ 3, { 0x50, 0xeb, 0x3d } },                   /* PUSH; JMP */
		{ 4, { 0x50, 0x58, 0x75, 0x3c } },             /* PUSH, POP; JNE */
		{ 6, { 0x50, 0x58, 0x50, 0x58, 0xeb, 0x3a } }, /* PUSH, POP twice; JMP */
		{ 2, { 0xe3, 0x3e } },                         /* JRCXZ */
		{ 1, { 0xc3 } },                               /* RET */
	};

	(void)state;
	NEED_PLACES();
	for (enum bt_mode mode = BT_KERNEL; mode < BT_MODE_COUNT; mode++)
		for (size_t k = 0; k < ARRAY_SIZE(starts); k++) {
			const struct bt_exit *x;
			struct bt_block *a, *to, *again;

			clear();
			put(CODE, starts[k].code, starts[k].len);
			cpu->gpr[X86_RCX] = starts[k].code[0] != 0xe3;
			x = go(CODE, mode, &a);
			if (x->why == BT_LEAVE_LINK) {
				assert_int_equal(x->rip, CODE + 0x40);
				to = follow(x, mode);
				x = go(CODE, mode, &a);
				assert_true(x->why == BT_LEAVE_STEP && x->rip == CODE + 0x40);
				assert_non_null(to->in);
			}
			bt_code_kill(cpu, CODE, 1);
			bt_code_kill(cpu, CODE + 0x40, 1);
			assert_true(a->dead);
			memory[0] = 0x90;
			memory[1] = 0xf4;
			cpu->gpr[X86_RSP] = STACK + 0x100;
			be(mode);
			x = enter(a);
			assert_true(x->why == BT_LEAVE_LINK && x->rip == CODE && !x->patch && !x->way);
			assert_int_equal(cpu->gpr[X86_RSP], STACK + 0x100);
			again = bt_block_get(cpu, CODE, mode);
			assert_ptr_not_equal(again, a);
			x = enter(again);
			assert_true(x->why == BT_LEAVE_STEP && x->rip == CODE + 1);
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

/* A page with another's code and our data: neither may go on for ever with a fault for each store. */
static void test_a_page_that_one_writes_and_another_runs_becomes_one_that_is_always_written(void **state)
{
	const int rw = PROT_READ | PROT_WRITE;
	struct bt_exchange *x = map_at(BT_EXCHANGE_BASE, 2 * BT_EXCHANGE_STRIDE, rw, -1);
	uint8_t *codes = map_at(BT_CODES_BASE, 2 * BT_CODE_BYTES, rw, -1);
	struct bt_notices *theirs =
		(void *)(BT_EXCHANGE_BASE + BT_EXCHANGE_STRIDE + offsetof(struct bt_exchange, notices));
	uint8_t *count = &bt_process()->store_count[CODE >> 12];

	(void)state;
	NEED_PLACES();
	assert_true(x && codes);
	bt_code_kill(cpu, CODE, 4096);
	*count = 0;
	cpu->exchange = x;
	vm.n_cpus = 2;
	bt_code_store(cpu, CODE, 8); /* nobody has code there */
	assert_int_equal(theirs->put, 0);
	codes[BT_CODE_BYTES + (CODE >> 15)] = 1 << (CODE >> 12 & 7);
	for (unsigned i = 0; i < 4; i++)
		bt_code_store(cpu, CODE + 8 * i, 8);
	assert_int_equal(theirs->put, 4);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(theirs->notice[i] & 3, i < 3 ? BT_NOTICE_WRITTEN : BT_NOTICE_OFTEN);
	/* and where it is heard, until code that looks at its bytes is made of the page */
	*count = 0;
	for (unsigned i = 0; i < 4; i++) {
		assert_false(bt_code_is_hot(CODE));
		bt_notice_put(&x->notices, BT_NOTICE_OFTEN, CODE, 0);
		bt_others_listen(cpu, true);
	}
	assert_true(bt_code_is_hot(CODE));
	*count = 0;
	vm.n_cpus = 0;
	munmap(codes, 2 * BT_CODE_BYTES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_link_is_followed_until_its_target_is_killed),
		cmocka_unit_test(test_a_block_on_a_page_that_is_always_written_looks_at_its_bytes),
		cmocka_unit_test(test_an_exit_of_before_everything_was_dropped_is_not_linked),
		cmocka_unit_test(test_a_return_finds_its_block_in_the_table),
		cmocka_unit_test(test_an_indirect_branch_goes_where_its_operand_says),
		cmocka_unit_test(test_a_way_to_another_page_is_followed_until_it_is_forgotten),
		cmocka_unit_test(test_the_first_target_on_a_page_brings_the_ways_to_all),
		cmocka_unit_test(test_all_branches_to_one_place_share_a_way),
		cmocka_unit_test(test_targets_with_one_place_in_the_tables_are_told_apart),
		cmocka_unit_test(test_a_head_takes_its_own_target_alone),
		cmocka_unit_test(test_a_call_above_four_gigabytes_is_returned_from),
		cmocka_unit_test(test_a_dead_block_leads_out_whatever_it_began_with),
		cmocka_unit_test(test_a_full_cache_is_emptied_and_used_again),
		cmocka_unit_test(
			test_a_page_that_one_writes_and_another_runs_becomes_one_that_is_always_written),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
