/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange.h - what the manager (hull) and a processor's space process say to each other, through one shared mapping
 *
 * Theory of operation. One of the two works, the other sleeps on a futex in @turn:
 *
 *	manager   turn = the space's, wake;  wait while it is the space's;  read the exit
 *	space     write the exit;  turn = BT_TURN_MANAGER, wake;  wait while turn == BT_TURN_MANAGER;  read command and answer
 *
 * The space's turn is its thread's number and FUTEX_WAITERS: the form of a robust futex, so that the kernel gives the turn
 * back when the space dies, with FUTEX_OWNER_DIED in it.
 *
 * A processor has several space processes (space/spaces.h), one of which runs: @runner is its number, @owner its thread's.
 *
 * A hand-off costs about a microsecond when both run on one core and fifty when they do not: the manager says in @core where it
 * is, and the space goes there too. One that has been running for long without an exit may run anywhere again.
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

#include <stddef.h>
#include <stdint.h>

#include "engine/x86_state.h"

enum {
	BT_CPUID_MAX = 256,
	BT_SLOTS_MAX = 1040,
	BT_FILES_MAX = 64, /* that slots are in: hundreds may be in one */
	BT_CPUS_MAX = 32,
	BT_SPACES_MAX = 8,
	BT_CORES_MAX = 1024,
	BT_IO_MAX = 4096,
	BT_TEXT_MAX = 160
};

/*
 * What a processor is told of guest memory by the manager and by the other processors; whoever tells it then kicks it, and it listens before
 * it goes on. A place has the number of its round in it: who takes it knows whether it is there yet. When there is no room, @lost
 * says so, and all translated code is dropped.
 */
struct bt_notices {
	uint32_t put, taken; /* how many, ever */
	uint32_t lost;
	uint64_t notice[256];
};

enum bt_notice {
	BT_NOTICE_WRITTEN, /* what was translated from there is no more */
	BT_NOTICE_CODE,    /* another processor translates from that page: it must not be written unseen */
	BT_NOTICE_OFTEN,   /* WRITTEN, of the whole page, by a processor that has written there before */
};

/* of the round of @n: address (40 bits), length (6; 0: the whole page), kind */
static inline uint64_t bt_notice_make(uint32_t n, enum bt_notice kind, uint64_t gpa, size_t len)
{
	return (uint64_t)(uint16_t)(n / 256 + 1) << 48 | (gpa & 0xffffffffffULL) << 8 |
	       (uint64_t)(len < 64 ? len : 0) << 2 | (uint64_t)kind;
}

/* bt_notice_put() - Return: its number; it has been taken when @taken is beyond it */
static inline uint32_t bt_notice_put(struct bt_notices *to, enum bt_notice kind, uint64_t gpa, size_t len)
{
	uint32_t n = __atomic_fetch_add(&to->put, 1, __ATOMIC_SEQ_CST);

	if (n - __atomic_load_n(&to->taken, __ATOMIC_SEQ_CST) >= 256)
		__atomic_store_n(&to->lost, 1, __ATOMIC_SEQ_CST);
	else
		__atomic_store_n(&to->notice[n % 256], bt_notice_make(n, kind, gpa, len), __ATOMIC_SEQ_CST);
	return n;
}

/*
 * Bits for each page of guest memory from 0, which spaces write: where each processor has translated code; and behind them, once, which
 * pages of slots with a dirty log have been written since it was taken. A bit of the log is set before the page is mapped
 * writable or written, and whoever takes it has all mappings made read-only again (BT_PROTECT) before he tells of it.
 */
#define BT_CODE_BYTES 0x2000000UL

enum bt_turn { BT_TURN_MANAGER, BT_TURN_START /* the space is being made */ };
enum bt_where { BT_OUTSIDE, BT_IN_GUEST, BT_HALTED };

enum bt_command {
	BT_RUN,     /* the guest, until something happens; the answer to the last exit is in @data */
	BT_GET,     /* all of the processor into @state */
	BT_SET,     /* @state into the processor */
	BT_CPUID,   /* @cpuid is what it shows */
	BT_DEBUG,   /* @debug is where it stops */
	BT_SLOT,    /* @slot is set; its file came through the socket if it is a new one */
	BT_CLOCK,   /* the paravirtual clock is @clock_ahead ns ahead of the TSC from now on */
	BT_PROTECT, /* the dirty log has been taken: what is written from now on is noted again */
	BT_COMMAND_COUNT
};

enum bt_exit_kind {
	BT_EXIT_DONE, /* of a command that is not BT_RUN */
	BT_EXIT_IO,
	BT_EXIT_MMIO,
	BT_EXIT_EOI, /* of the level-triggered vector @addr */
	BT_EXIT_IPI, /* to other processors: @addr is the destination, @size the lower half of the APIC's command register */
	BT_EXIT_ACKNOWLEDGE, /* the interrupt that @extint tells of is taken: the answer is its vector, in @data */
	BT_EXIT_KICK_OTHERS, /* those in the bits of @addr have been told something */
	BT_EXIT_HALT,        /* only when the machine has no interrupt controller */
	BT_EXIT_SHUTDOWN,
	BT_EXIT_KICKED,
	BT_EXIT_DEBUG, /* @size: 0, or what was touched at @addr */
	BT_EXIT_ERROR, /* @text */
	BT_EXIT_COUNT
};

struct bt_slot_set {
	uint32_t slot, file; /* by number */
	uint32_t new_file;   /* instead of what had the file's number, if anything had */
	uint32_t readonly, log;
	uint64_t gpa, size, offset; /* bytes; size 0: taken away */
	uint32_t close_file;        /* no slot is in it any more */
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
	uint32_t turn;  /* enum bt_turn, or the space's; futex */
	uint32_t where; /* enum bt_where */
	uint32_t kick;
	uint32_t asleep; /* futex: 1 while halted; whoever wakes stores 0 */
	uint32_t posted[8], posted_level[8];
	uint32_t nmi, init, sipi;            /* sipi: 0x100 | vector */
	uint32_t extint;                     /* the line of the pair of 8259 is up */
	uint32_t ldr, dfr, x2;               /* of the space's APIC: who a logical destination means */
	uint32_t core;                       /* the host's, on which the manager runs */
	uint64_t allowed[BT_CORES_MAX / 64]; /* on which it may */
	uint32_t runner, owner;              /* of the processes: which runs, from 0; its thread's number */
	struct bt_notices notices;
	uint32_t halt_exits; /* there is no interrupt controller: HLT is an exit */

	uint32_t command;
	int32_t result; /* of a command: 0 or -errno */
	uint32_t exit;  /* enum bt_exit_kind */
	uint32_t write, size, count;
	uint64_t addr;
	uint8_t data[BT_IO_MAX];
	char text[BT_TEXT_MAX];

	struct bt_slot_set slot;
	struct x86_debug debug;
	uint64_t clock_ahead;
	uint32_t n_cpuid;
	struct x86_cpuid cpuid[BT_CPUID_MAX];
	struct x86_state state;
	uint64_t counter[BT_COUNTER_COUNT];
};

/* Descriptors that a space process inherits; its arguments are its processor's number, how many there are, and the
 * TSC's frequency in kHz. */
enum bt_fd {
	BT_FD_EXCHANGE = 3, /* memfd: BT_CPUS_MAX exchanges, each at a multiple of BT_EXCHANGE_STRIDE */
	BT_FD_CODE, /* memfd of BT_CODE_BYTES for each processor and for the dirty log, one behind the other */
	BT_FD_SOCKET, /* SOCK_SEQPACKET: files of memory slots come through it */
	BT_FD_KICK,   /* a pipe for each of the processor's processes, end to read */
	BT_FD_COUNT = BT_FD_KICK + BT_SPACES_MAX
};
/* What a space process ends with that never got as far as giving the turn. */
enum bt_start {
	BT_START_NO_MEMORY = 10,
	BT_START_NO_SIGNALS,
	BT_START_NO_FILTER,
	BT_START_NO_PROCESS,
	BT_START_BAD_ARGUMENTS
};

#define BT_EXCHANGE_STRIDE 0x8000UL

_Static_assert(sizeof(struct bt_exchange) <= BT_EXCHANGE_STRIDE, "an exchange fits its place");

#endif
