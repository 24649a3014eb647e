/* SPDX-License-Identifier: Apache-2.0 */
/* debugger_regs.h - a processor's registers as gdb numbers and describes them */
#ifndef VM_DEBUGGER_REGS_H
#define VM_DEBUGGER_REGS_H

#include <stdint.h>

#include "engine/x86_state.h"

struct buf;

enum { DEBUGGER_REG_BYTES_MAX = 16 };

unsigned debugger_regs(void);               /* how many there are */
unsigned debugger_reg_bytes(unsigned n);    /* of register @n; 0: there is none */
void debugger_regs_describe(struct buf *b); /* target.xml */

/* debugger_reg_get() - its bytes, the lowest first. Return: how many. */
unsigned debugger_reg_get(const struct x86_state *s, unsigned n, uint8_t value[DEBUGGER_REG_BYTES_MAX]);
/* debugger_reg_set() - @len: as it has. Return: 0; -EINVAL: not so long, or it cannot have this value; -EOPNOTSUPP: it is only read. */
int debugger_reg_set(struct x86_state *s, unsigned n, const uint8_t *value, unsigned len);

#endif
