/* SPDX-License-Identifier: Apache-2.0 */
/* mmu.h - the guest's page tables walked in C, and its memory reached through them */
#ifndef ENGINE_BT_SPACE_MMU_H
#define ENGINE_BT_SPACE_MMU_H

#include "engine/bt/space/cpu.h"

enum bt_access { /* OR of these; no bit: a read with the processor's own privilege */
		 BT_WRITE = 1,
		 BT_FETCH = 2,
		 BT_SYSTEM =
			 4, /* tables and stacks that the processor itself reaches: supervisor's, whatever the CPL; SMAP counts without AC */
		 BT_QUIET = 8, /* only asking: no accessed or dirty bits are set, nothing is raised */
};

enum { BT_PHYS_BITS = 46 }; /* of physical addresses, as CPUID shows; bits above are reserved in tables */
#define BT_PHYS_END (1ULL << BT_PHYS_BITS)

struct bt_page {                                  /* what a walk found */
	uint64_t gpa;                             /* of the address asked for, whole */
	uint8_t shift;                            /* 12, 21, 22, 30: the size of the guest's page */
	bool writable, user, exec, dirty, global; /* as its tables say, whatever CR0.WP */
};

static inline bool bt_is_canonical(uint64_t va)
{
	return (uint64_t)((int64_t)(va << 16) >> 16) == va;
}

/**
 * bt_walk() - from a linear address to a physical one
 * @access: checked as the processor would: U/S, R/W, NX, CR0.WP, SMEP, SMAP with EFLAGS.AC, reserved bits; accessed and dirty bits are set
 * Return: BT_OK; BT_FAULT with the page fault (code and CR2) raised, unless BT_QUIET. In long mode an address that is not canonical
 * is #GP(0); whoever wants #SS(0) of it asks bt_is_canonical() first. Outside long mode addresses are 32 bits.
 * Spec: Intel SDM volume 3, chapter 4: no paging, 32-bit, PAE and 4-level
 */
int bt_walk(struct bt_cpu *c, uint64_t va, unsigned access, struct bt_page *ret_page);

/* bt_slots_sort() - after a change of vm->slot. They do not overlap. */
void bt_slots_sort(struct bt_vm *vm);

/* bt_slot_of() - the slot that has all @len bytes at @gpa. Return: NULL where there is none. */
const struct bt_slot *bt_slot_of(const struct bt_vm *vm, uint64_t gpa, size_t len);

/*
 * The dirty log. A page of a slot that has one (slot.log) is noted before it is written here or mapped writable; once it is noted it may
 * be either until the log is taken.
 */
static inline bool bt_log_has(const struct bt_vm *vm, uint64_t gpa)
{
	return __atomic_load_n(&vm->written[gpa >> 18], __ATOMIC_SEQ_CST) >> (gpa >> 12 & 63) & 1;
}

static inline void bt_log_note(const struct bt_vm *vm, uint64_t gpa)
{
	if (!bt_log_has(vm, gpa)) /* other processors share the line */
		__atomic_fetch_or(&vm->written[gpa >> 18], 1ULL << (gpa >> 12 & 63), __ATOMIC_SEQ_CST);
}

/*
 * bt_ram() - guest memory at @gpa; @write: which is about to be written, of which the log is told. Return: NULL where not all @len bytes are
 * in one slot (or it is read-only, for @write).
 */
uint8_t *bt_ram(const struct bt_vm *vm, uint64_t gpa, size_t len, bool write);

/*
 * bt_load(), bt_store() - @n bytes (1 to 64) at a linear address, over page borders and to devices, too: accesses to no memory go to
 * the APIC's page when it is there, else to the manager. All pages are walked before the first byte moves. A store tells world->code_written().
 * bt_fetch() - instruction bytes, as many of @n as can be had. Return: their number, at least 1; BT_FAULT. Fewer: the next page
 * cannot be fetched; ask for it alone to have its fault. What is no memory reads as 0xff.
 */
int bt_load(struct bt_cpu *c, uint64_t va, void *buf, size_t n, unsigned access);
int bt_store(struct bt_cpu *c, uint64_t va, const void *buf, size_t n, unsigned access);
int bt_fetch(struct bt_cpu *c, uint64_t va, uint8_t *buf, size_t n);

/*
 * bt_reach() - a pointer to @n bytes of memory at @va for an atomic read-modify-write, access checked for BT_WRITE, world->code_written() told.
 * Return: BT_OK; *ret_p is NULL when the bytes cross a page or are no memory: the caller loads and stores then. BT_FAULT.
 */
int bt_reach(struct bt_cpu *c, uint64_t va, size_t n, unsigned access, uint8_t **ret_p);

#endif
