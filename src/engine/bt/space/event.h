/* SPDX-License-Identifier: Apache-2.0 */
/* event.h - exceptions and interrupts delivered through the guest's IDT */
#ifndef ENGINE_BT_SPACE_EVENT_H
#define ENGINE_BT_SPACE_EVENT_H

#include "engine/bt/space/cpu.h"

enum bt_event {
	BT_EVENT_FAULT,     /* of the instruction at rip, or a trap after it: rip says which */
	BT_EVENT_SOFT,      /* INT n, INT3, INTO: gate's DPL counts */
	BT_EVENT_INTERRUPT, /* from outside; NMI too */
};

enum bt_step {                   /* what became of the processor */
	       BT_STEP_ON,       /* it goes on at rip */
	       BT_STEP_HALT,     /* it waits for an interrupt */
	       BT_STEP_SHUTDOWN, /* triple fault */
	       BT_STEP_UNKNOWN,  /* an instruction that hull does not know; rip is at it */
};

/**
 * bt_event_deliver() - enter the guest's handler: real mode, protected mode (16- and 32-bit gates, task gates refused as #GP), long mode
 * with IST. What goes wrong on the way becomes a double fault, then BT_STEP_SHUTDOWN.
 * @vector, @code: @has_code says whether one is pushed. CR2 and DR6 have been set by the caller (bt_event_fault() does both).
 * Spec: Intel SDM volume 3, chapter 6
 */
enum bt_step bt_event_deliver(struct bt_cpu *c, enum bt_event kind, unsigned vector, bool has_code,
			      uint32_t code);

/* bt_event_fault() - what c->fault says. */
enum bt_step bt_event_fault(struct bt_cpu *c);

/* bt_event_pending() - is there an interrupt or NMI that would be taken now (IF, shadow, priorities)? */
bool bt_event_pending(struct bt_cpu *c);
/* bt_event_take() - and take it: a processor that was halted is so no longer. */
enum bt_step bt_event_take(struct bt_cpu *c);

/*
 * Segments: loading one checks its descriptor as the instruction would. The interrupt shadow of MOV SS is the caller's; so is rip
 * after a fault: where it stays as it was, which is behind the instruction. Offsets are cut to the operand's size by the caller.
 */
int bt_seg_load(struct bt_cpu *c, enum x86_seg s,
		uint16_t selector); /* MOV, POP, LDS...: not CS; real mode too; LLDT, LTR */
int bt_far_jump(struct bt_cpu *c, uint16_t selector, uint64_t offset);
int bt_far_call(struct bt_cpu *c, uint16_t selector, uint64_t offset, unsigned size /* 2, 4, 8 */);
int bt_far_return(struct bt_cpu *c, unsigned size, unsigned pop_bytes);
int bt_iret(struct bt_cpu *c, unsigned size);
int bt_syscall(struct bt_cpu *c); /* rip is behind the instruction already, for all of these */
int bt_sysret(struct bt_cpu *c, bool wide);
int bt_sysenter(struct bt_cpu *c);
int bt_sysexit(struct bt_cpu *c, bool wide);

#endif
