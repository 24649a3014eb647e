/* SPDX-License-Identifier: Apache-2.0 */
/* bt_internal.h - what the files of this folder share: the manager's side of the bt engine; the ops are listed in vm.c */
#ifndef ENGINE_BT_INTERNAL_H
#define ENGINE_BT_INTERNAL_H

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/types.h>

#include "base/time.h"
#include "engine/bt/exchange.h"
#include "engine/engine.h"
#include "engine/ioapic.h"
#include "engine/pic.h"

enum { BT_DOORBELLS_MAX = 512, BT_SLOT_WORDS = (BT_SLOTS_MAX + 63) / 64 };

struct bt_file {        /* of guest memory */
	unsigned slots; /* in it; 0: none, and nothing below */
	int fd;         /* owned */
	bool readonly;  /* it may be open for reading alone: one that is written is another */
	dev_t dev;
	ino_t ino;
	uint32_t age; /* another for each that has had this number */
};

struct bt_doorbell {
	uint64_t addr;
	int64_t match; /* -1: any value */
	unsigned len;  /* 0: any */
	bool port;
	int fd; /* borrowed */
};

struct bt_machine {
	struct engine_vm vm; /* first */
	bool no_irqchip;
	int exchange_fd;     /* owned: BT_CPUS_MAX exchanges */
	uint8_t *exchanges;  /* owned mapping */
	int code_fd;         /* owned: where each processor's translated code is from, and the dirty log */
	const uint8_t *code; /* owned mapping, of n_cpus * BT_CODE_BYTES, and behind them: */
	uint64_t *written;   /* the dirty log */
	unsigned n_cpus;
	pthread_mutex_t lock; /* of all below; never held while a space is waited for */
	struct ioapic ioapic;
	struct pic pic;
	struct engine_mem slot[BT_SLOTS_MAX]; /* size 0: none; fd is nobody's */
	uint8_t slot_file[BT_SLOTS_MAX];      /* the number of its file */
	struct bt_file file[BT_FILES_MAX];
	uint32_t files_age;
	struct bt_doorbell doorbell[BT_DOORBELLS_MAX];
	unsigned n_doorbells;
	struct bt_vcpu *cpu[BT_CPUS_MAX];
	uint64_t clock_base;  /* CLOCK_MONOTONIC at which the guest's clock was 0, in ns */
	uint64_t clock_ahead; /* ns that its paravirtual clock is ahead of its TSC, which nobody moves */
	uint64_t real;        /* of a restored one: CLOCK_REALTIME when it was saved; 0: not known */
	uint64_t real_base;   /* and what it would be now, were no time lost: CLOCK_MONOTONIC plus this */
};

struct bt_space {                /* the processes that run guest code of one processor */
	pid_t pid;               /* of the first, which the others die with; 0: none */
	int pidfd;               /* owned, as the others */
	int kick[BT_SPACES_MAX]; /* the writing ends of their pipes */
	int sock;
	bool dead;
	siginfo_t how;
};

struct bt_vcpu {
	struct engine_cpu cpu; /* first */
	struct bt_space space;
	struct bt_exchange *x;
	pthread_mutex_t lock; /* who may talk to the space; free while it runs the guest */
	pthread_cond_t changed;
	bool inside;                        /* it runs the guest */
	uint64_t slots_todo[BT_SLOT_WORDS]; /* that the space has not been told of, by number */
	uint32_t file_age[BT_FILES_MAX];    /* of the files that it has; 0: not */
	bool log_todo;                      /* nor that the dirty log has been taken */
	uint32_t kicked;                    /* atomic */
	bool answer;                        /* @data is the answer to the last exit */
	uint8_t data[8];
	uint64_t exits[ENGINE_EXIT_COUNT];

	/* where its thread runs: on one core, so that its space finds it there */
	bool placed;
	cpu_set_t allowed; /* to the thread, by whoever made it */
	int core;          /* -1: any */
	nsec_t loosened;
};

static inline struct bt_machine *bt__vm(struct engine_vm *vm)
{
	return (struct bt_machine *)vm;
}

static inline struct bt_vcpu *bt__cpu(struct engine_cpu *cpu)
{
	return (struct bt_vcpu *)cpu;
}

/* spawn.c */
/* bt__space_start() - of processor @index; it waits for its first command. */
int bt__space_start(struct bt_space *s, const struct bt_machine *vm, struct bt_exchange *x, unsigned index,
		    uint32_t tsc_khz, struct err *e);
void bt__space_end(struct bt_space *s);
/* bt__space_died() - notes how; the text for people in @dst. */
void bt__space_died(struct bt_space *s, char *dst, size_t size);

/* turn.c */
/* bt__turn() - the space's until it gives it back. @kicked: becomes true when it has to do so soon, or NULL. -ESRCH: it died. */
int bt__turn(struct bt_space *s, struct bt_exchange *x, const uint32_t *kicked);
int bt__command(struct bt_vcpu *c, enum bt_command command); /* c->lock is held. Return: its result */
void bt__notify(struct bt_vcpu *c); /* any thread: it looks at what has been posted */

/* cpu.c */
int bt__cpu_new(struct engine_vm *vm, unsigned index, struct engine_cpu **ret_cpu, struct err *e);
void bt__cpu_free(struct engine_cpu *cpu);
int bt__cpu_run(struct engine_cpu *cpu, struct engine_exit *x);
void bt__cpu_kick(struct engine_cpu *cpu);
int bt__cpu_get(struct engine_cpu *cpu, struct x86_state *s, struct err *e);
int bt__cpu_set(struct engine_cpu *cpu, const struct x86_state *s, struct err *e);
int bt__cpu_nmi(struct engine_cpu *cpu);
int bt__cpu_debug(struct engine_cpu *cpu, const struct x86_debug *d);
int bt__cpu_cpuid(struct engine_cpu *cpu, const struct x86_cpuid *table, unsigned n, struct err *e);
void bt__cpu_stats(struct engine_cpu *cpu, uint64_t by_kind[ENGINE_EXIT_COUNT]);
unsigned bt__cpu_counters(struct engine_cpu *cpu, struct engine_counter *ret, unsigned max);
int bt__slot_changed(struct bt_vcpu *c, unsigned slot); /* waits until the space knows */
void bt__log_taken(struct bt_vcpu *c); /* it knows before it runs the guest again; waits where it does */

/* host.c */
int bt__cpuid_host(struct engine_vm *vm, struct x86_cpuid *table, unsigned *n, struct err *e);
int bt__host_check(struct err *e); /* does this host have what a space needs? */
uint32_t bt__tsc_khz(void);

/* irq.c */
void bt__irqs_init(struct bt_machine *vm);
int bt__irq_set(struct engine_vm *vm, unsigned gsi, bool level);
int bt__msi_send(struct engine_vm *vm, uint64_t addr, uint32_t data);
void bt__irq_ipi(struct bt_machine *vm, unsigned from, uint32_t dest, uint32_t low);
void bt__irq_kick(struct bt_machine *vm, uint32_t cpus); /* they have been told something */
void bt__irq_eoi(struct bt_machine *vm, unsigned vector);
uint8_t bt__irq_acknowledge(struct bt_machine *vm);
/* bt__irq_access() - is it to one of the controllers? Then it is done. */
bool bt__irq_access(struct bt_machine *vm, bool port, bool write, uint64_t addr, unsigned size,
		    uint8_t *data);
void bt__vm_save(struct engine_vm *vm, struct record_out *o, struct err *e);
void bt__vm_restore(struct engine_vm *vm, struct record_in *in);
int bt__vm_catch_up(struct engine_vm *vm, struct err *e);

#endif
