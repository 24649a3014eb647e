/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange.h - what the manager (hull) and a processor's space process say to each other, through one shared mapping
 *
 * Theory of operation. One of the two works, the other sleeps on a futex in @turn:
 *
 *	manager   turn = BT_TURN_SPACE, wake;  wait while turn == BT_TURN_SPACE;  read the exit
 *	space     write the exit;  turn = BT_TURN_MANAGER, wake;  wait while turn == BT_TURN_MANAGER;  read command and answer
 *
 * What may come at any time is outside this: @kick, @posted (interrupts, ORed in by whoever sends them, taken by the space with an
 * exchange) and @asleep, on which a halted processor waits. After changing one of them its sender looks at @where: a processor
 * that runs guest code gets a byte through its pipe, whose SIGIO ends what it does; one that is halted is woken by @asleep.
 * Stores and loads of @where, @kick and @posted are sequentially consistent on both sides, so one of them sees the other.
 *
 * The space process counts as the guest. The manager copies what it reads here once, and believes none of it.
 */
#ifndef ENGINE_BT_EXCHANGE_H
#define ENGINE_BT_EXCHANGE_H

#include <stdint.h>

#include "engine/x86_state.h"

enum { BT_CPUID_MAX = 256, BT_SLOTS_MAX = 64, BT_CPUS_MAX = 32, BT_IO_MAX = 4096, BT_TEXT_MAX = 160 };

enum bt_turn { BT_TURN_MANAGER, BT_TURN_SPACE };
enum bt_where { BT_OUTSIDE, BT_IN_GUEST, BT_HALTED };

enum bt_command {
	BT_RUN,   /* the guest, until something happens; the answer to the last exit is in @data */
	BT_GET,   /* all of the processor into @state */
	BT_SET,   /* @state into the processor */
	BT_CPUID, /* @cpuid is what it shows */
	BT_SLOT,  /* @slot is set; its file came through the socket if it has a size */
	BT_COMMAND_COUNT
};

enum bt_exit_kind {
	BT_EXIT_DONE, /* of a command that is not BT_RUN */
	BT_EXIT_IO,
	BT_EXIT_MMIO,
	BT_EXIT_EOI, /* of the level-triggered vector @addr */
	BT_EXIT_IPI, /* to other processors: @addr is the destination, @size the lower half of the APIC's command register */
	BT_EXIT_HALT,
	BT_EXIT_SHUTDOWN,
	BT_EXIT_KICKED,
	BT_EXIT_DEBUG,
	BT_EXIT_ERROR, /* @text */
	BT_EXIT_COUNT
};

struct bt_slot_set {
	uint32_t slot;
	uint32_t readonly;
	uint64_t gpa, size, offset; /* bytes; size 0: taken away */
};

/* What a space counts for `hull engine stats`; relaxed, one writer. */
enum bt_counter {
	BT_COUNT_BLOCKS,   /* translated */
	BT_COUNT_INSNS,    /* guest instructions in them */
	BT_COUNT_CACHE,    /* bytes of translated code */
	BT_COUNT_ENTER,    /* translated code entered from C */
	BT_COUNT_LINK,     /* exits to a direct target */
	BT_COUNT_INDIRECT, /* exits to an indirect target the tables did not have */
	BT_COUNT_STEP,     /* instructions interpreted */
	BT_COUNT_SYSCALL,
	BT_COUNT_IRET,
	BT_COUNT_FAULT,     /* host signals of memory */
	BT_COUNT_MAP,       /* of pages made */
	BT_COUNT_UNMAP,     /* ranges taken away */
	BT_COUNT_FLUSH,     /* whole address spaces */
	BT_COUNT_EXCEPTION, /* delivered to the guest */
	BT_COUNT_INTERRUPT,
	BT_COUNT_SIGNAL,     /* timer and kick */
	BT_COUNT_CODE_FINE,  /* stores into code that killed single blocks */
	BT_COUNT_CODE_PAGE,  /* pages of code dropped */
	BT_COUNT_CODE_KILLS, /* blocks */
	BT_COUNT_IO,
	BT_COUNT_SWITCH, /* between space processes */
	BT_COUNTER_COUNT
};

struct bt_exchange {
	uint32_t turn;  /* enum bt_turn; futex */
	uint32_t where; /* enum bt_where */
	uint32_t kick;
	uint32_t asleep; /* futex: 1 while halted; whoever wakes stores 0 */
	uint32_t posted[8], posted_level[8];
	uint32_t nmi, init, sipi; /* sipi: 0x100 | vector */

	uint32_t command;
	int32_t result; /* of a command: 0 or -errno */
	uint32_t exit;  /* enum bt_exit_kind */
	uint32_t write, size, count;
	uint64_t addr;
	uint8_t data[BT_IO_MAX];
	char text[BT_TEXT_MAX];

	struct bt_slot_set slot;
	uint32_t n_cpuid;
	struct x86_cpuid cpuid[BT_CPUID_MAX];
	struct x86_state state;
	uint64_t counter[BT_COUNTER_COUNT];
};

/* How a space process is started: its arguments are the numbers of inherited descriptors, in this order. */
enum bt_fd {
	BT_FD_EXCHANGE = 3, /* memfd: BT_CPUS_MAX exchanges, each at a multiple of BT_EXCHANGE_STRIDE */
	BT_FD_SOCKET,       /* SOCK_SEQPACKET: files of memory slots come through it */
	BT_FD_KICK,         /* this processor's pipe, end to read */
	BT_FD_SHARED,       /* memfd of BT_SHARED_SIZE: what the machine's processors share (layout.h) */
	BT_FD_COUNT
};
#define BT_EXCHANGE_STRIDE 0x8000UL

_Static_assert(sizeof(struct bt_exchange) <= BT_EXCHANGE_STRIDE, "an exchange fits its place");

#endif
