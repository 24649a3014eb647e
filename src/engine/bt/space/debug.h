/* SPDX-License-Identifier: Apache-2.0 */
/*
 * debug.h - a processor stopped for a debugger: at an address, after an instruction, when memory is touched
 *
 * Theory of operation. The interpreter does it all: before an instruction it looks at RUN points, behind it at the step and at what
 * was touched. Translated code ends before the address of a RUN point and leaves to the interpreter, so a processor that only has
 * such points runs as fast as ever; while something is watched, or for a step, nothing else than the interpreter runs. Code that
 * was translated for other points is dropped before translated code runs again. Guest memory stays as it is.
 */
#ifndef ENGINE_BT_SPACE_DEBUG_H
#define ENGINE_BT_SPACE_DEBUG_H

#include "engine/bt/space/cpu.h"

/* bt_debug_set() - from the exchange. Return: 0, -EINVAL. */
long bt_debug_set(struct bt_cpu *c, const struct x86_debug *d);

bool bt_debug_breaks_at(const struct bt_cpu *c, uint64_t va);
void bt_debug_touch(struct bt_cpu *c, uint64_t va, size_t n, bool write);

/* bt_debug_breaks() - is there a point at the linear address @va? Asked before each instruction is interpreted or translated. */
static inline bool bt_debug_breaks(const struct bt_cpu *c, uint64_t va)
{
	return c->debug.n && bt_debug_breaks_at(c, va);
}

/* bt_debug_touches() - the guest touches memory there. */
static inline void bt_debug_touches(struct bt_cpu *c, uint64_t va, size_t n, bool write)
{
	if (c->n_watched)
		bt_debug_touch(c, va, n, write);
}

/* bt_debug_interprets() - each instruction is to be looked at behind it */
static inline bool bt_debug_interprets(const struct bt_cpu *c)
{
	return c->debug.step || c->n_watched;
}

#endif
