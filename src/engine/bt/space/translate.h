/* SPDX-License-Identifier: Apache-2.0 */
/*
 * translate.h - guest code to host code, block by block; blocks found, chained, killed; their exact state recovered
 *
 * Theory of operation. A block is a straight run of guest instructions with side exits at conditional branches, keyed by guest address,
 * mode, and the physical page its bytes are on. Guest registers are in the host's; in kernel mode the host's RSP is the guest's
 * plus BT_SHIFT. Most instructions are copied, with a segment prefix in kernel mode. What a block cannot do itself leaves by an exit: a
 * number in bt_cpu.exit, which names a struct bt_exit.
 *
 *	direct branches    a jump that first leads to an exit stub (BT_LEAVE_LINK) and is patched to its target's @entry: a link. Links are on
 *	                   the target's list; killing a block takes them back.
 *	                   A user's to another page, which may be one today and another tomorrow, is no link but a way (way.c).
 *	indirect branches  jump through a table to the head of a block, which checks that it is what was looked for (table.c)
 *
 * On a page that is written all the time (code.c) a block of the user's begins with a look at the bytes that it was made from, and ends
 * behind each store: a store into its own next instruction takes effect, too.
 *
 * Records tell, for every guest instruction, where its host code begins, up to where nothing of it has happened, and which
 * registers lie in scratch places meanwhile.
 */
#ifndef ENGINE_BT_SPACE_TRANSLATE_H
#define ENGINE_BT_SPACE_TRANSLATE_H

#include "engine/bt/space/cpu.h"

enum bt_leave {
	BT_LEAVE_LINK,     /* go on at @rip; @patch may then be linked */
	BT_LEAVE_STEP,     /* the instruction at @rip is the interpreter's */
	BT_LEAVE_INDIRECT, /* go on at bt_cpu.rip; the table wants it */
	BT_LEAVE_SYSCALL,  /* @rip: behind it */
	BT_LEAVE_SYSRET,   /* @rip: at it, here and below */
	BT_LEAVE_IRET,
	BT_LEAVE_AWAY, /* at @rip, to the process of the address space: what follows reaches the user's half */
	BT_LEAVE_STALE, /* at @rip: the bytes there are others now */
	BT_LEAVE_ATTENTION, /* go on at @rip, but look at what waits first: interrupts have been turned on, or attention was set */
	BT_LEAVE_SIGNAL, /* a signal handler has set everything, rip and mode too */
	BT_LEAVE_COUNT
};

struct bt_exit {
	uint8_t why;  /* enum bt_leave */
	uint8_t mode; /* enum bt_mode at @rip */
	bool way;     /* it was a way that led here */
	uint64_t rip;
	uint8_t *patch; /* the 32-bit displacement that led here; NULL: none */
};

struct bt_record {            /* of one guest instruction */
	uint16_t host, guest; /* offsets of its code: from bt_block.entry, from bt_block.rip */
	uint16_t
		undo; /* from entry: the host instruction that can fault; @saved and @shifted then undo all that was moved for it */
	uint16_t undo_first; /* another one before it, with the first @n_first of @saved; 0: none */
	uint8_t n_saved, n_first;
	uint8_t shifted; /* bit 0: RSI, bit 1: RDI have been moved by shift_of[select] */
	uint8_t mode;
	int8_t select; /* register that holds the choice of shift_of (a BT_KERNEL_AC operand) at @undo; -1: none */
	struct {
		uint8_t reg, scratch; /* guest register, index into bt_cpu.scratch */
	} saved[4];
};
/* A string instruction keeps the choice (bit 63 of the address) for RSI in scratch BT_SELECT_RSI, for RDI in BT_SELECT_RDI. */
enum { BT_SELECT_RSI = BT_SCRATCH - 2, BT_SELECT_RDI = BT_SCRATCH - 1 };

struct bt_link;

/* Which table a block is entered from (table.c). */
enum bt_head { BT_HEAD_JUMP, BT_HEAD_RETURN, BT_HEAD_SECOND, BT_HEAD_COUNT };

struct bt_block {
	uint64_t rip;
	uint64_t gpa, gpa2; /* of its first byte; of the second page it is on, ~0: none */
	uint8_t mode;
	bool dead;
	uint16_t n_insns, guest_len;
	uint8_t come_by;              /* a bit for each head that it has been wanted for */
	uint8_t *head[BT_HEAD_COUNT]; /* NULL: not yet wanted */
	uint8_t *begin;               /* of its code: the head it was made with, or entry */
	uint8_t *
		entry; /* entered by links and from C: KILL_BYTES, with no link's displacement in them, that a jump may overwrite */
	uint8_t *kill; /* where a dead block's entry leads: out */
	uint8_t *look,
		*look_load; /* where it looks at its bytes, and where that can fault; NULL: its page is kept from being written */
	uint8_t *end;
	struct bt_record *record;
	struct bt_link *in;                   /* links that lead here */
	struct bt_block *next, *page_next[2]; /* of the hash bucket; of its pages' lists */
};

/* bt_translate_init() - the cache and its stubs, once for each machine. Both areas of layout.h are mapped and zero; the host has BMI2. */
void bt_translate_init(struct bt_vm *vm);

/* bt_block_get() - the block at @rip, translated if need be. NULL: c->fault has why it cannot be fetched. May first drop everything, when the cache is full. */
struct bt_block *bt_block_get(struct bt_cpu *c, uint64_t rip, enum bt_mode mode);
/* bt_block_come() - the same, by an indirect branch: a block that is made begins with the head for it */
struct bt_block *bt_block_come(struct bt_cpu *c, uint64_t rip, enum bt_mode mode, enum bt_head by);
/* bt_block_at() - the block in whose code (begin to end) the host address is; NULL: none, a stub. Async-signal-safe. */
struct bt_block *bt_block_at(const void *pc);
bool bt_is_cache(const void *pc);

/* bt_enter() - run translated code from @b until it leaves; registers in and out of bt_cpu as cpu.h says, c->rip and the segments' CPL untouched.
 * Return: the exit. A set c->attention makes it leave at once. @mode is the block's. */
const struct bt_exit *bt_enter(struct bt_cpu *c, const struct bt_block *b);
const uint8_t *
bt_leave_signal(void); /* where a signal handler sends the host's RIP after it stored all registers itself */
/* bt_enter()'s own code: a signal there has come before the guest's first instruction. */
bool bt_is_entering(const void *pc);

void bt_link(const struct bt_exit *x, struct bt_block *to); /* refuses what must not be linked */
void bt_table_put(struct bt_block *b, enum bt_head which);  /* into the tables of indirect targets */
void bt_table_put_over(struct bt_block *b); /* the same, where one that is dead now has the place */
void bt_way_put(struct bt_block *b);        /* the ways of the user's that lead there */
void bt_fetched_clear(void); /* forgets where code was fetched from: addresses may mean other pages now */
void bt_table_catch_up(
	void); /* the tables are each process's own, the cache is not: it may have been dropped meanwhile */
void bt_table_clear(bool user);        /* the user's or the kernel's */
void bt_table_clear_page(uint64_t va); /* all targets on one guest page */

/* bt_block_kill() - unlinked, out of tables, left by who comes to it still. Nobody is in it. It is counted. */
void bt_block_kill(struct bt_cpu *c, struct bt_block *b);
/* bt_code_kill() - every block with a byte in [gpa, gpa + len) */
void bt_code_kill(struct bt_cpu *c, uint64_t gpa, size_t len);
uint8_t *bt_code_pages(void);   /* where it is noted, of BT_CODE_BYTES */
void bt_code_drop(void);        /* all of it */
bool bt_code_has(uint64_t gpa); /* is there a live block on the page? Async-signal-safe */

enum bt_recover { BT_RECOVER_BEFORE, BT_RECOVER_INSIDE };

/**
 * bt_recover() - the guest's registers at a host address in a block
 * @reg: the host's 16 registers there, in x86 order; changed in place to the guest's (RSP still with the shift)
 * Return: the record; *ret_how says BEFORE where nothing of the record's instruction has happened (registers are the guest's at its
 * start: at its first host instruction, and at the one that can fault), INSIDE elsewhere: let it run on. Async-signal-safe.
 */
const struct bt_record *bt_recover(const struct bt_cpu *c, const struct bt_block *b, const void *pc,
				   uint64_t reg[16], enum bt_recover *ret_how);

#endif
