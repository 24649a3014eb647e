/* SPDX-License-Identifier: Apache-2.0 */
/* interp_internal.h - one instruction under way, and what the interpreter's files do with its operands */
#ifndef ENGINE_BT_SPACE_INTERP_INTERNAL_H
#define ENGINE_BT_SPACE_INTERP_INTERNAL_H

#include "engine/bt/space/cpu.h"
#include "fmt/x86.h"

enum { INTERP_DONE = BT_OK, INTERP_HALT = 1, INTERP_UNKNOWN, INTERP_DELIVER }; /* beside BT_FAULT */

struct work {
	struct bt_cpu *c;
	struct x86_insn i;
	uint8_t code[X86_INSN_MAX];
	uint64_t next;   /* where it goes on; a branch changes it */
	bool shadow;     /* interrupts wait for one instruction more */
	bool quiet;      /* and so does the single-step trap */
	uint8_t watched; /* DR6's bits of the data breakpoints that it touched */
	uint8_t vector;  /* INTERP_DELIVER: of INT n and the like */
};

/* interp_operand.c */
uint64_t interp__reg(const struct work *w, unsigned n, unsigned size); /* AH to BH, too */
void interp__reg_put(struct work *w, unsigned n, unsigned size, uint64_t value);
uint64_t interp__offset(const struct work *w); /* of the memory operand, in its segment */
enum x86_seg interp__segment(const struct work *w);
/* interp__linear() - @n bytes at @offset of segment @s: limits, rights, canonical form. */
int interp__linear(struct work *w, enum x86_seg s, uint64_t offset, unsigned n, bool write, uint64_t *ret_va);
int interp__rm_get(struct work *w, unsigned size, uint64_t *ret_value); /* register or memory */
int interp__rm_put(struct work *w, unsigned size, uint64_t value);
int interp__mem_get(struct work *w, uint64_t plus, void *buf,
		    unsigned n); /* at the operand's address + @plus */
int interp__mem_put(struct work *w, uint64_t plus, const void *buf, unsigned n);

enum {
	INTERP_WATCH_RUN = 1,
	INTERP_WATCH_WRITE = 2,
	INTERP_WATCH_TOUCH = 8
}; /* bit n: what DR7's R/W field has as n */
/* interp__watched() - DR6's bits of the breakpoints of those kinds that are on for @n bytes at @va. */
unsigned interp__watched(const struct bt_cpu *c, uint64_t va, unsigned n, unsigned kinds);

int interp__branch(struct work *w, uint64_t target); /* checks it, and goes there */
int interp__native(struct work *w);                  /* interp_native.c */
int interp__may_vector(struct work *w);              /* #UD, #NM where the vector units are off */
/*
 * interp__native_code() - @code, of at most 16 bytes, with RDI at the buffer (64 bytes, aligned) and the other registers the guest's;
 * of what it does, only vector registers and the buffer are kept.
 */
int interp__native_code(struct work *w, const uint8_t *code, unsigned n);
uint8_t *interp__native_buffer(const struct work *w);
int interp__gather(struct work *w); /* interp_vector.c: gathers and scatters */
int interp__masked_move(struct work *w);
int interp__decimal(struct work *w); /* interp_legacy.c */
int interp__bound(struct work *w);
int interp__arpl(struct work *w);
int interp__string(struct work *w); /* interp_string.c */
int interp__io(struct work *w);
int interp__system(struct work *w); /* interp_system.c */
int interp__flow(struct work *w);   /* interp_flow.c: branches, stack, interrupts */

#endif
