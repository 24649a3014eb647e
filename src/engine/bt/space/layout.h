/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layout.h - what lies where in a space process
 *
 * Theory of operation. The guest's user half is mapped where the guest has it. Its kernel half is seen BT_SHIFT higher, which
 * wraps round into the host's user half: 0xffff888000000000 (Linux' direct map) is at 0x018000000000, 0xffffffff81000000 at
 * 0x78ff81000000. A kernel's access to a low address x, too, goes to x + BT_SHIFT: the first 4 GiB are left for that. Translated
 * kernel code reaches all this through a segment register whose base is BT_SHIFT; see translate.h.
 *
 *	0x000070000000  the program: text, data, stacks                              private to each process
 *	0x000071000000  struct bt_cpu of the processor that runs here                shared by its processes
 *	0x000071070000  its vector registers while none of its processes runs
 *	0x000071080000  struct bt_vm, the same for all
 *	0x000071100000  exchanges with the manager, of all processors
 *	0x000072000000  tables of indirect targets, and from 0x72800000 ways to other pages    private
 *	0x000074000000  translated code                                              shared by the machine's processors
 *	0x007000000000  descriptions of blocks, views, lists                         shared
 *	0x007050000000  where each processor has translated code, a bit for each page
 *	0x007090000000  which pages have been written, likewise; only those of slots with a dirty log
 *	0x008000000000  guest memory, linear: guest physical address + this; the rest is the guest's
 *	0x018000000000  the guest's kernel half begins
 *	0x790000000000  the guest's low 4 GiB as its kernel reaches them
 *
 * Everything else is the guest's user half. A guest page that falls on one of the places above is never mapped: its accesses are
 * interpreted (map.h).
 */
#ifndef ENGINE_BT_SPACE_LAYOUT_H
#define ENGINE_BT_SPACE_LAYOUT_H

#define BT_SHIFT    0x0000790000000000ULL
#define BT_LOW_SIZE 0x100000000ULL /* bytes of low addresses that kernel code reaches through the shift */

#define BT_PROGRAM_BASE  0x70000000UL /* also in the Makefile: where the program is linked */
#define BT_CPU_BASE      0x71000000UL
#define BT_CPU_SIZE      0x20000UL
#define BT_FPU_BASE      0x71070000UL
#define BT_VM_BASE       0x71080000UL /* struct bt_vm */
#define BT_NATIVE_BASE   0x710c0000UL /* interp_native.c's page */
#define BT_EXCHANGE_BASE 0x71100000UL
#define BT_TABLE_BASE    0x72000000UL /* four of them: see BT_TABLE_x */
#define BT_CACHE_BASE    0x74000000UL
#define BT_CACHE_SIZE    0x08000000UL
#define BT_COLD_BASE     (BT_CACHE_BASE + BT_CACHE_SIZE / 2) /* the half for what is seldom run */
#define BT_WINDOW_END    0x80000000UL                        /* of all the above */

#define BT_ARENA_BASE  0x007000000000ULL
#define BT_ARENA_SIZE  0x40000000ULL
#define BT_CODES_BASE  0x007050000000ULL
#define BT_LOG_BASE    0x007090000000ULL
#define BT_RAM_BASE    0x008000000000ULL
#define BT_RAM_SIZE    0x010000000000ULL /* bytes of guest physical addresses that can hold memory */
#define BT_KERNEL_VIEW 0x018000000000ULL

/* Tables of indirect targets: 64-bit addresses of translated code, by bits of the guest address. Two of each: the kernel's, the user's. */
#define BT_TABLE_BYTES        0x80000UL
#define BT_TABLE(which, user) (BT_TABLE_BASE + (2UL * (which) + (user)) * BT_TABLE_BYTES) /* enum bt_head */
#define BT_TABLE_BITS         16                                                          /* the low ones */
#define BT_TABLE2_BITS        15 /* second level, reached when the first has another target: those of the mask */
#define BT_TABLE2_MASK        0xff01fcUL
#define BT_WAY_BASE           (BT_TABLE_BASE + 0x800000UL) /* way.c: 64-bit addresses of translated code */
#define BT_WAYS_MAX           (1UL << 20)
#define BT_TABLES_SIZE        0x1000000UL /* of all the above */

#endif
