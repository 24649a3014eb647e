/* SPDX-License-Identifier: Apache-2.0 */
/* emit.h - host instructions, the few forms that translated code is glued together with. None of them touches a flag. */
#ifndef ENGINE_BT_SPACE_EMIT_H
#define ENGINE_BT_SPACE_EMIT_H

#include "engine/bt/space/cpu.h"

struct emit {
	uint8_t *at;
	uint8_t kept; /* 1 + the register that bt_cpu.scratch[0] has the value of; 0: none (rewrite.c) */
};

static inline void emit_8(struct emit *e, unsigned v)
{
	*e->at++ = (uint8_t)v;
}

static inline void emit_32(struct emit *e, uint64_t v)
{
	uint32_t w = (uint32_t)v;

	__builtin_memcpy(e->at, &w, 4);
	e->at += 4;
}

static inline void emit_64(struct emit *e, uint64_t v)
{
	__builtin_memcpy(e->at, &v, 8);
	e->at += 8;
}

/* The absolute address of a member of bt_cpu: ModRM and SIB without base or index. */
static inline void emit_absolute(struct emit *e, unsigned reg, uint32_t at)
{
	emit_8(e, 4 | (reg & 7) << 3);
	emit_8(e, 0x25);
	emit_32(e, at);
}

static inline void emit_store(struct emit *e, uint32_t at, unsigned reg)
{
	emit_8(e, 0x48 | (reg >> 3) << 2);
	emit_8(e, 0x89);
	emit_absolute(e, reg, at);
}

static inline void emit_load(struct emit *e, unsigned reg, uint32_t at)
{
	emit_8(e, 0x48 | (reg >> 3) << 2);
	emit_8(e, 0x8b);
	emit_absolute(e, reg, at);
}

static inline void emit_store_imm(struct emit *e, uint32_t at, uint32_t v) /* sign-extended to 64 bits */
{
	emit_8(e, 0x48);
	emit_8(e, 0xc7);
	emit_absolute(e, 0, at);
	emit_32(e, v);
}

static inline void emit_mov_imm(struct emit *e, unsigned reg, uint64_t v)
{
	if (v <= UINT32_MAX) {
		if (reg >= 8)
			emit_8(e, 0x41);
		emit_8(e, 0xb8 | (reg & 7));
		emit_32(e, v);
		return;
	}
	emit_8(e, 0x48 | reg >> 3);
	emit_8(e, 0xb8 | (reg & 7));
	emit_64(e, v);
}

static inline void emit_mov(struct emit *e, unsigned to, unsigned from)
{
	emit_8(e, 0x48 | (from >> 3) << 2 | to >> 3);
	emit_8(e, 0x89);
	emit_8(e, 0xc0 | (from & 7) << 3 | (to & 7));
}

/* emit_add() - LEA to, [a + b + disp]; not both of them RSP */
static inline void emit_add(struct emit *e, unsigned to, unsigned a, unsigned b, int8_t disp)
{
	if (b == X86_RSP) {
		b = a;
		a = X86_RSP;
	}
	emit_8(e, 0x48 | (to >> 3) << 2 | (b >> 3) << 1 | a >> 3);
	emit_8(e, 0x8d);
	emit_8(e, 0x44 | (to & 7) << 3);
	emit_8(e, (b & 7) << 3 | (a & 7));
	emit_8(e, (uint8_t)disp);
}

static inline void emit_jump(struct emit *e, const uint8_t *to)
{
	emit_8(e, 0xe9);
	emit_32(e, (uint64_t)(to - (e->at + 4)));
}

/* emit_hole() - JMP to a place not known yet. Return: its displacement, for emit_fill(). */
static inline uint8_t *emit_hole(struct emit *e)
{
	emit_8(e, 0xe9);
	emit_32(e, 0);
	return e->at - 4;
}

static inline void emit_fill(uint8_t *hole, const uint8_t *to)
{
	int32_t d = (int32_t)(to - (hole + 4));

	__atomic_store_n((int32_t *)hole, d, __ATOMIC_RELEASE); /* others may run through it */
}

#endif
