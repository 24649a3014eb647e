/* SPDX-License-Identifier: Apache-2.0 */
/* walk.h - from a guest's linear address to a physical one, by its page tables, for who looks at it from outside */
#ifndef VM_WALK_H
#define VM_WALK_H

#include "engine/x86_state.h"
#include "mem/gmem.h"

/**
 * walk_linear() - as the processor with state @s translates @va; whether it may go there is not asked, and nothing is marked as used
 * Return: 0 with the address, good up to the end of its 4 KiB; -EFAULT: nothing is mapped there, or a table is no memory
 * Spec: Intel SDM volume 3, chapter 4: no paging, 32-bit, PAE, 4-level and 5-level
 */
int walk_linear(const struct gmem *mem, const struct x86_state *s, uint64_t va, gpa_t *ret_gpa);

/* walk_read() - Return: how many bytes there are up to the first that is not there. */
size_t walk_read(const struct gmem *mem, const struct x86_state *s, uint64_t va, void *dst, size_t len);
/* walk_write() - all or nothing. Return: 0; -EFAULT: some of it is not mapped, is no memory, or is read-only memory. */
int walk_write(const struct gmem *mem, const struct x86_state *s, uint64_t va, const void *src, size_t len);

#endif
