/* SPDX-License-Identifier: Apache-2.0 */
/* run.h - a processor's life: the loop around translated code, and its talk with the manager */
#ifndef ENGINE_BT_SPACE_RUN_H
#define ENGINE_BT_SPACE_RUN_H

#include "engine/bt/space/cpu.h"

extern const struct bt_world bt_world_space; /* what a processor's surroundings are in a real space process */

/* bt_cpu_here() - the processor that this process runs. */
static inline struct bt_cpu *bt_cpu_here(void)
{
	return (struct bt_cpu *)BT_CPU_BASE;
}

/* bt_run() - serve the manager's commands, run the guest; for ever. Those of the processor's processes that are not the first sleep
 * until they are needed. */
_Noreturn void bt_run(struct bt_cpu *c);

/* bt_give() - the turn to the manager with the exit that is in the exchange; returns when the guest may run on. */
void bt_give(struct bt_cpu *c, enum bt_exit_kind kind);

/* bt_die() - the engine is wrong, or the host refused what it must not: tells the manager, and ends. %d %u %lx %p %s */
_Noreturn void bt_die(struct bt_cpu *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

void bt_kick_drain(void); /* takes what is in the kick's pipe */

#endif
