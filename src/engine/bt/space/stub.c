/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stub.c - the doors of translated code: in, out, and past a missed table
 *
 * A signal between the look at bt_cpu.attention and the jump into a block would be overlooked; its handler asks bt_is_entering() and
 * goes to the bail instead, which leaves as if nothing had been entered: the registers in bt_cpu have not changed yet.
 */
#include "engine/bt/space/emit.h"
#include "engine/bt/space/translate_internal.h"

static const uint8_t kept[] = { X86_RBX, X86_RBP, 12, 13, 14, 15 }; /* of a C function's caller */

static void push_pop(struct emit *e, unsigned opcode, unsigned reg)
{
	if (reg >= 8)
		emit_8(e, 0x41);
	emit_8(e, opcode | (reg & 7));
}

static void base_write(struct emit *e, uint32_t from, unsigned which) /* WRFSBASE (2), WRGSBASE (3) of RAX */
{
	emit_load(e, X86_RAX, from);
	emit_8(e, 0xf3);
	emit_8(e, 0x48);
	emit_8(e, 0x0f);
	emit_8(e, 0xae);
	emit_8(e, 0xc0 | which << 3);
}

/* back() - to C: the caller's registers and stack. */
static void back(struct emit *e)
{
	emit_8(e, 0xfc); /* CLD */
	for (size_t i = sizeof(kept); i-- > 0;)
		push_pop(e, 0x58, kept[i]);
	emit_8(e, 0xc3);
}

static void exit_number(struct emit *e, uint32_t n)
{
	emit_store_imm(e, BT_AT(exit), n);
}

static uint8_t *enter(struct emit *e)
{
	uint8_t *bail;

	for (size_t i = 0; i < sizeof(kept); i++)
		push_pop(e, 0x50, kept[i]);
	emit_store(e, BT_AT(host_rsp), X86_RSP);
	emit_8(e, 0x48); /* CMP qword [attention], 0 */
	emit_8(e, 0x83);
	emit_absolute(e, 7, BT_AT(attention));
	emit_8(e, 0);
	emit_8(e, 0x0f); /* JNE */
	emit_8(e, 0x85);
	emit_32(e, 0);
	bail = e->at - 4;
	translate__store()->enter_from = e->at;
	base_write(e, BT_AT(fs_view), 2);
	base_write(e, BT_AT(gs_view), 3);
	emit_8(e, 0xff); /* PUSH qword [flags], POPF */
	emit_absolute(e, 6, BT_AT(flags));
	emit_8(e, 0x9d);
	for (unsigned r = 0; r < X86_GPR_COUNT; r++)
		emit_load(e, r, BT_AT(gpr) + 8 * r);
	emit_8(e, 0xff); /* JMP [entry] */
	emit_absolute(e, 4, BT_AT(entry));
	translate__store()->enter_to = e->at;
	return bail;
}

static void leave(struct emit *e)
{
	for (unsigned r = 0; r < X86_GPR_COUNT; r++)
		emit_store(e, BT_AT(gpr) + 8 * r, r);
	emit_load(e, X86_RSP, BT_AT(host_rsp));
	emit_8(e, 0x9c); /* PUSHF, POP [flags] */
	emit_8(e, 0x8f);
	emit_absolute(e, 0, BT_AT(flags));
	back(e);
}

/* second() - the other table, by bits of the target that PEXT gathers without touching a flag */
static void second(struct emit *e, enum bt_head which, bool user)
{
	static const uint8_t pext[] = { 0xc4, 0xe2, 0x72, 0xf5, 0x0c, 0x25 }; /* PEXT ecx, ecx, [mask] */
	struct translate_store *s = translate__store();

	s->second[which][user] = e->at;
	if (which == BT_HEAD_RETURN) {
		emit_8(e, 0x59); /* POP rcx */
		s->popped[user] = e->at;
		emit_store(e, BT_AT(rip), X86_RCX);
	}
	emit_store_imm(e, BT_AT(by_return), which == BT_HEAD_RETURN);
	emit_load(e, X86_RCX, BT_AT(rip));
	for (size_t i = 0; i < sizeof(pext); i++)
		emit_8(e, pext[i]);
	emit_32(e, BT_AT(table2_mask));
	emit_8(e, 0xff); /* JMP [rcx * 8 + table] */
	emit_8(e, 0x24);
	emit_8(e, 0xcd);
	emit_32(e, BT_TABLE(BT_HEAD_SECOND, user));
}

void translate__stubs(void)
{
	struct translate_store *s = translate__store();
	struct emit e = { .at = s->cache_at };
	uint32_t signal = translate__exit(BT_LEAVE_SIGNAL, BT_KERNEL, 0, NULL);
	uint32_t indirect = translate__exit(BT_LEAVE_INDIRECT, BT_KERNEL, 0, NULL);
	uint8_t *bail;

	s->enter = e.at;
	bail = enter(&e);
	s->bail = s->leave_signal = e.at;
	emit_fill(bail, e.at);
	exit_number(&e, signal);
	emit_load(&e, X86_RSP, BT_AT(host_rsp));
	back(&e);
	s->leave = e.at;
	leave(&e);
	s->miss = e.at;
	emit_load(&e, X86_RCX, BT_AT(target_rcx));
	exit_number(&e, indirect);
	emit_jump(&e, s->leave);
	for (enum bt_head which = BT_HEAD_JUMP; which < BT_HEAD_SECOND; which++)
		for (unsigned user = 0; user < 2; user++)
			second(&e, which, user);
	s->cache_at = s->cache_first = e.at;
}

bool bt_is_entering(const void *pc)
{
	const struct translate_store *s = translate__store();

	return (const uint8_t *)pc >= s->enter_from && (const uint8_t *)pc < s->enter_to;
}

const uint8_t *bt_leave_signal(void)
{
	return translate__store()->leave_signal;
}

const struct bt_exit *bt_enter(struct bt_cpu *c, const struct bt_block *b)
{
	const struct translate_store *s = translate__store();
	bool user = b->mode == BT_USER;
	const struct bt_exit *x;
	uint64_t shift = user ? 0 : BT_SHIFT, flags = c->rflags;
	const uint8_t *door = s->enter;
	unsigned mode;

	c->gpr[X86_RSP] += shift;
	c->flags = (flags & BT_HOST_FLAGS) | X86_IF | 2;
	c->if_clear = flags & X86_IF ? 0 : -(uint64_t)X86_IF;
	c->fs_view = user ? c->fs_base : c->gs_base + BT_SHIFT;
	c->gs_view = user ? c->gs_base : BT_SHIFT;
	c->entry = (uint64_t)(uintptr_t)b->entry;
	c->left_step = false;
	c->left_mode = b->mode;
	__asm__ volatile("call *%0"
			 : "+r"(door)
			 :
			 : "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "cc", "memory");
	x = &s->exit[c->exit];
	c->gpr[X86_RSP] -= shift;
	mode = x->why == BT_LEAVE_SIGNAL ? c->left_mode : x->why == BT_LEAVE_INDIRECT ? BT_KERNEL : x->mode;
	flags = (flags & ~(uint64_t)(BT_HOST_FLAGS | X86_IF)) | (c->flags & BT_HOST_FLAGS) |
		(c->if_clear ? 0 : X86_IF);
	if (!user)
		flags = mode == BT_KERNEL_AC ? flags | X86_AC : flags & ~(uint64_t)X86_AC;
	c->rflags = flags;
	return x;
}
