/* SPDX-License-Identifier: Apache-2.0 */
/*
 * interp.h - one guest instruction carried out in C: in every mode, with every check
 *
 * Theory of operation. The interpreter is what the architecture says, slowly. Translated code leaves to it what is rare or has side
 * effects; all code outside 64-bit mode runs in it; and when translated code faults for a reason that is not the engine's own, the
 * instruction is carried out again here, which raises the right exception. It decodes afresh each time (fmt/x86.h), reads operands by mmu.h.
 * Vector and x87 instructions are run natively, one at a time, on the guest's own registers, with the memory operand moved
 * to a buffer (interp_native.c).
 */
#ifndef ENGINE_BT_SPACE_INTERP_H
#define ENGINE_BT_SPACE_INTERP_H

#include "engine/bt/space/event.h"

/**
 * bt_interp() - the instruction at CS:rip, and the exception it may end in; single-step and breakpoints (TF, DR7) included
 * A repeated string instruction is done in bounded portions: rip stays at it until it is done, as interrupts may see.
 */
enum bt_step bt_interp(struct bt_cpu *c);

/* bt_interp_init() - @page: BT_NATIVE_BYTES that may be written and executed, for instructions that are run natively; outlives @c. */
enum { BT_NATIVE_BYTES = 16384 };
void bt_interp_init(struct bt_cpu *c, void *page);

/* bt_interp_native_fault() - for signal handlers: did it come from such an instruction? Then it ends there, as the guest's exception. */
bool bt_interp_native_fault(struct bt_cpu *c, void *context, int sig);

#endif
