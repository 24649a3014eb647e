/* SPDX-License-Identifier: Apache-2.0 */
/* segment.h - descriptors, code segments and stacks, as segment.c, transfer.c and event.c need them */
#ifndef ENGINE_BT_SPACE_SEGMENT_H
#define ENGINE_BT_SPACE_SEGMENT_H

#include "engine/bt/space/event.h"

enum bt_attr { /* of struct x86_segment */
	       BT_ATTR_ACCESSED = 1 << 0,
	       BT_ATTR_WRITABLE = 1 << 1, /* code: readable */
	       BT_ATTR_DOWN = 1 << 2,     /* code: conforming */
	       BT_ATTR_CODE = 1 << 3,
	       BT_ATTR_S = 1 << 4,
	       BT_ATTR_DPL_SHIFT = 5,
	       BT_ATTR_P = 1 << 7,
	       BT_ATTR_UNUSABLE = 1 << 8,
	       BT_ATTR_L = 1 << 13,
	       BT_ATTR_DB = 1 << 14,
	       BT_ATTR_G = 1 << 15,
	       BT_ATTR_TYPE = 0x1f, /* with S */
};

enum bt_system_type { /* of a descriptor, S clear */
		      BT_TSS_16 = 1,
		      BT_LDT = 2,
		      BT_TSS_16_BUSY = 3,
		      BT_CALL_16 = 4,
		      BT_TASK_GATE = 5,
		      BT_INT_16 = 6,
		      BT_TRAP_16 = 7,
		      BT_TSS_32 = 9,
		      BT_TSS_32_BUSY = 11,
		      BT_CALL_32 = 12, /* 64-bit in long mode, as are the next */
		      BT_INT_32 = 14,
		      BT_TRAP_32 = 15,
};

struct bt_desc {
	uint64_t low, high; /* @high: of the 16-byte ones of long mode */
	uint64_t at;        /* linear address */
	struct x86_segment seg;
};

/* A stack that is pushed to or popped from; nothing of the processor changes until its sp is taken over. */
struct bt_stack {
	struct x86_segment seg;
	uint64_t sp;
	unsigned access; /* enum bt_access of its bytes */
	bool wide;       /* 64-bit: no limits */
	uint16_t code;   /* of the #SS for a byte beyond the limit */
};

static inline unsigned bt_dpl(const struct x86_segment *s)
{
	return s->attr >> BT_ATTR_DPL_SHIFT & 3;
}

static inline bool bt_in_long(const struct bt_cpu *c) /* 64-bit or compatibility */
{
	return c->efer & X86_EFER_LMA;
}

static inline bool bt_in_protected(const struct bt_cpu *c)
{
	return c->cr0 & X86_CR0_PE && !(c->rflags & X86_VM);
}

/* bt_desc_read() - the descriptor that @selector names; @vector(selector) is raised when there is none. Null selectors are the caller's. */
int bt_desc_read(struct bt_cpu *c, uint16_t selector, enum x86_vector vector, struct bt_desc *ret_d);
/* bt_desc_wide() - the second half of a system descriptor or gate in long mode, the base with it */
int bt_desc_wide(struct bt_cpu *c, uint16_t selector, enum x86_vector vector, struct bt_desc *d);
/* bt_desc_touch() - the accessed bit, in memory and in d->seg */
int bt_desc_touch(struct bt_cpu *c, struct bt_desc *d);

/* bt_seg_fits() - do @n bytes at @offset lie in the segment? */
bool bt_seg_fits(const struct x86_segment *s, uint64_t offset, unsigned n);
void bt_seg_put(struct bt_cpu *c, enum x86_seg s, const struct x86_segment *seg);
/* bt_seg_real() - CS and the others as real mode loads them */
void bt_seg_real(struct bt_cpu *c, enum x86_seg s, uint16_t selector);

/* bt_code_check() - is it code that a gate may lead to? (null: #GP(0)) *ret_cpl is the level it runs at. */
int bt_code_check(struct bt_cpu *c, uint16_t selector, struct bt_desc *ret_d, unsigned *ret_cpl);
/* bt_rip_check() - #GP(0) where code in @cs cannot run at @rip */
int bt_rip_check(struct bt_cpu *c, const struct x86_segment *cs, uint64_t rip);
/* bt_ss_check() - a stack segment for level @cpl; faults are @vector(selector), #SS(selector) when it is not present */
int bt_ss_check(struct bt_cpu *c, uint16_t selector, unsigned cpl, enum x86_vector vector,
		struct bt_desc *ret_d);

void bt_stack_now(const struct bt_cpu *c, struct bt_stack *ret_s);
/* bt_stack_inner() - the stack of level @cpl, from the task state segment; @ist (long mode): 1 to 7, 0: by level */
int bt_stack_inner(struct bt_cpu *c, unsigned cpl, unsigned ist, struct bt_stack *ret_s);
int bt_stack_push(struct bt_cpu *c, struct bt_stack *s, uint64_t value, unsigned size);
int bt_stack_pop(struct bt_cpu *c, struct bt_stack *s, uint64_t *ret_value, unsigned size);
void bt_stack_skip(struct bt_stack *s, int64_t bytes); /* sp moved, within what the segment lets it reach */
/* bt_stack_take() - the processor goes on on @s */
void bt_stack_take(struct bt_cpu *c, const struct bt_stack *s);

/* bt_event_soft() - bt_event_deliver() for INT n (@is_icebp: INT1), rip behind it: what goes wrong on the way has its rip at @back. */
enum bt_step bt_event_soft(struct bt_cpu *c, unsigned vector, bool is_icebp, uint64_t back);

/* bt_flat() - segments that no descriptor was read for: SYSCALL's and the like */
struct x86_segment bt_flat(uint16_t selector, unsigned attr);

#endif
