/* SPDX-License-Identifier: Apache-2.0 */
/* signal.h - the host's signals in a space process */
#ifndef ENGINE_BT_SPACE_SIGNAL_H
#define ENGINE_BT_SPACE_SIGNAL_H

#include <stddef.h>

struct bt_cpu;

/* bt_signals_init() - handlers, on a stack of their own. Return: 0, or -errno of the host. */
long bt_signals_init(void *stack, size_t stack_bytes);

/* bt_signal_border() - for handlers: leave translated code at the next border of a guest instruction. @context: a ucontext_t. */
void bt_signal_border(struct bt_cpu *c, void *context);

#endif
