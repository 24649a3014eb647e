/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spaces.h - the processes of one guest processor: one for each address space that its kernel goes back and forth between
 *
 * Theory of operation. A host process is the TLB of an address space, and a change of address space that empties it costs a fault
 * for each page that is touched again. So there are BT_SPACES_MAX of them, which share everything but their mappings and the
 * tables of indirect targets. A guest that tags its address spaces (CR4.PCIDE) gets a process for each tag, the one that
 * has been away longest for a new tag; one that does not has one. At any time one of them runs, the others sleep.
 *
 * A new CR3 does not hand over yet: the kernel's half is global, the same everywhere, and a kernel that only patches its own
 * code comes back without having touched a user's address. Meanwhile the processor is not at home (bt_cpu.home): it may run kernel code
 * that reaches nothing through the user's half. User code, STAC, and a page of the kernel's own that is not global, hand over.
 *
 * What one of them changes for all (a page invalidated, a page that now holds code) it writes into a log; whoever takes over reads on
 * from where he stopped, and when he has missed more than it holds, drops all he has.
 */
#ifndef ENGINE_BT_SPACE_SPACES_H
#define ENGINE_BT_SPACE_SPACES_H

#include "engine/bt/space/cpu.h"

/* bt_spaces_flush(), bt_spaces_code_made() - the world's (cpu.h) */
void bt_spaces_flush(struct bt_cpu *c, enum bt_flush what, uint64_t va);
void bt_spaces_code_made(struct bt_cpu *c, uint64_t gpa);

/* bt_spaces_must_switch() - may code of @mode not run in this process? */
bool bt_spaces_must_switch(const struct bt_cpu *c, enum bt_mode mode);
/* bt_spaces_switch() - hands over to the process of the address space, and sleeps until it is this one's turn again. */
void bt_spaces_switch(struct bt_cpu *c);
/* bt_spaces_wait() - a process that is new: sleeps until its first turn. */
void bt_spaces_wait(struct bt_cpu *c);
/* bt_spaces_slots() - guest memory's slots have changed: map them here; the others do when their turn comes. Return: -errno. */
long bt_spaces_slots(struct bt_cpu *c);

/* Who runs comes to where he is called from, and when he has run for long without being called the host may move him:
 * bt_spaces_follow() - to the manager's core. bt_spaces_loosen() - to any, if it is time. */
void bt_spaces_follow(struct bt_cpu *c);
void bt_spaces_loosen(struct bt_cpu *c);

#endif
