/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine.h - what executes a machine's processors: the contract of kvm and bt
 *
 * Theory of operation. An engine gives a machine memory slots, processors, an interrupt controller and doorbells. Everything
 * above sees struct engine_exit and struct x86_state and does not know which engine runs. A processor belongs to the one
 * thread that calls engine_cpu_run(); all else may be called from any thread unless it says so. State is read and written
 * only while the processor is outside engine_cpu_run().
 *
 * Memory is given as a mapping and the file behind it: kvm uses the mapping, bt maps the file into its processes.
 *
 * An access that exited is completed by the next run: read or set a processor's state only after an ENGINE_EXIT_KICKED (kick, and
 * run until it is reported) or an ENGINE_EXIT_DEBUG, or before its first run. To restore, set every processor first, then engine_vm_restore(): an interrupt that is on its
 * way in the controller needs somebody to arrive at.
 *
 * Set memory before anything else: a slot costs little then, and milliseconds behind doorbells, interrupts and processors. It costs
 * by its size, too: engine_mem_begin() has that done beside the caller, until a verb needs it: of memory, doorbells, processors.
 *
 * Optional ops are NULL; the wrappers then say -EOPNOTSUPP, and callers have a slower way (ioeventfd: the exit itself; dirty
 * log: the memory's own tracking or mincore(2)).
 */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/x86_state.h"

struct err;
struct record_in;
struct record_out;

enum {
	ENGINE_CPUS_MAX = 32,
	ENGINE_GSIS = 24,
	ENGINE_CPUID_MAX = 256,
	ENGINE_IO_DATA_MAX = 4096,
	ENGINE_SLOTS_MAX = 1040, /* of memory */
	ENGINE_BEGIN_MAX = 4,    /* slots in one engine_mem_begin() */
	ENGINE_COUNTERS_MAX = 64,
};

enum engine_exit_kind {
	ENGINE_EXIT_IO,       /* port access: answer reads in data before the next run */
	ENGINE_EXIT_MMIO,     /* access to no memory: likewise */
	ENGINE_EXIT_HALT,     /* only without an interrupt controller of the engine's */
	ENGINE_EXIT_SHUTDOWN, /* triple fault */
	ENGINE_EXIT_RESET,    /* the guest asked for one by a paravirtual way */
	ENGINE_EXIT_KICKED,   /* engine_cpu_kick(), or a signal */
	ENGINE_EXIT_DEBUG, /* what engine_cpu_debug() asked for: @size 0: a step or a RUN point, else the watched @addr was touched */
	ENGINE_EXIT_ERROR, /* the engine cannot go on: text says why and where */
	ENGINE_EXIT_COUNT
};

struct engine_exit {
	enum engine_exit_kind kind;
	bool write;
	uint8_t size;   /* bytes of one access: 1, 2, 4, 8 */
	uint32_t count; /* accesses, one after the other at the same port (string instructions); MMIO: 1 */
	uint64_t addr;
	uint8_t *data; /* @size * @count bytes; the engine's own, valid until the next run */
	char text[160];
};

struct engine_config {
	unsigned n_cpus;    /* that may be made */
	bool split_irqchip; /* the kernel has the local APICs, the engine the I/O APIC, and there are no 8259 */
	bool no_irqchip;    /* none at all: guests without interrupts */
};

struct engine_mem {
	unsigned slot;
	uint64_t gpa, size;
	void *host;
	int fd; /* borrowed; -1: none */
	uint64_t fd_offset;
	bool shared; /* what others write into the file is seen in the mapping, and the other way round */
	bool readonly, log_dirty;
};

struct engine_counter {
	const char *name; /* a constant */
	uint64_t value;   /* since the processor was made */
};

struct engine_ops;

struct engine_vm { /* first member of the engine's own struct */
	const struct engine_ops *ops;
};

struct engine_cpu {
	struct engine_vm *vm;
	unsigned index;
};

struct engine_ops {
	const char *name; /* "kvm", "bt" */
	/* guest memory is a file mapped shared, for processes of the engine's own map it, too: no private copy, no userfaultfd */
	bool shared_memory;
	unsigned points;             /* of struct x86_debug that it has */
	int (*probe)(struct err *e); /* can this host? no side effects. 0, or -errno with the reason */
	int (*vm_new)(struct engine_vm **ret_vm, const struct engine_config *c, struct err *e);
	void (*vm_free)(struct engine_vm *vm); /* its processors are freed before */
	int (*mem_set)(struct engine_vm *vm, const struct engine_mem *m,
		       struct err *e); /* size 0 takes the slot away */
	/* mem_begin() - mem_set() of each, which goes on behind the return; what fails is told by the next verb that needs it.
	 * At most ENGINE_BEGIN_MAX. NULL: nothing takes long */
	int (*mem_begin)(struct engine_vm *vm, const struct engine_mem *m, unsigned n, struct err *e);
	int (*dirty_get)(struct engine_vm *vm, unsigned slot, uint64_t *bits,
			 size_t n_words); /* ORs in, and clears */
	/* mem_written() - a device has written there: what was translated from it is no more. NULL: the engine sees it itself. */
	void (*mem_written)(struct engine_vm *vm, uint64_t gpa, uint64_t len);
	int (*irq_set)(struct engine_vm *vm, unsigned gsi, bool level);
	int (*msi_send)(struct engine_vm *vm, uint64_t addr, uint32_t data);
	int (*irqfd)(struct engine_vm *vm, unsigned gsi, int fd, bool on); /* edge on each signal of @fd */
	int (*ioeventfd)(struct engine_vm *vm, bool port, uint64_t addr, unsigned len, int64_t match, int fd,
			 bool on);
	/* cpuid_host() - all that it can show; leaf 0x40000010, EAX: the guest's TSC in kHz, where it is known */
	int (*cpuid_host)(struct engine_vm *vm, struct x86_cpuid *table, unsigned *n, struct err *e);
	void (*vm_save)(struct engine_vm *vm, struct record_out *o, struct err *e);
	void (*vm_restore)(struct engine_vm *vm, struct record_in *in);
	/* behind vm_restore(): the guest's paravirtual clock is where it would be had it gone on since it was saved; may be NULL */
	int (*vm_catch_up)(struct engine_vm *vm, struct err *e);

	int (*cpu_new)(struct engine_vm *vm, unsigned index, struct engine_cpu **ret_cpu, struct err *e);
	void (*cpu_free)(struct engine_cpu *cpu);
	int (*cpu_cpuid)(struct engine_cpu *cpu, const struct x86_cpuid *table, unsigned n, struct err *e);
	int (*cpu_run)(struct engine_cpu *cpu, struct engine_exit *x);
	void (*cpu_kick)(
		struct engine_cpu
			*cpu); /* any thread: cpu_run() returns soon, or at once when it is not running */
	int (*cpu_get)(struct engine_cpu *cpu, struct x86_state *s, struct err *e);
	int (*cpu_set)(struct engine_cpu *cpu, const struct x86_state *s, struct err *e);
	int (*cpu_nmi)(struct engine_cpu *cpu);
	int (*cpu_debug)(struct engine_cpu *cpu, const struct x86_debug *d);
	/* counts of exits by kind for metrics; may be NULL */
	void (*cpu_stats)(struct engine_cpu *cpu, uint64_t by_kind[ENGINE_EXIT_COUNT]);
	/* what this engine counts of its own work, at most @max; any thread; may be NULL. Return: how many */
	unsigned (*cpu_counters)(struct engine_cpu *cpu, struct engine_counter *c, unsigned max);
};

extern const struct engine_ops engine_kvm, engine_bt;
extern const struct engine_ops
	*const engine_table[]; /* engine_table.c; in order of preference; ended by NULL */

/* engine_find() - by name; NULL or "auto": the first that can. Return: NULL with @e, which names those there are. */
const struct engine_ops *engine_find(const char *name, struct err *e);

/*
 * engine_name_check() - is there one of that name? Whether it can run here is not asked.
 * Return: 0 with *ret_name: a constant, NULL for auto (also what NULL and "" mean); -EINVAL with @e, which names those there are
 */
int engine_name_check(const char *name, const char **ret_name, struct err *e);

/* One wrapper for each verb, engine_x(): checks arguments once for all; an op that is NULL is -EOPNOTSUPP. */
int engine_vm_new(const struct engine_ops *ops, struct engine_vm **ret_vm, const struct engine_config *c,
		  struct err *e);
void engine_vm_free(struct engine_vm *vm);
int engine_mem_set(struct engine_vm *vm, const struct engine_mem *m, struct err *e);
int engine_mem_begin(struct engine_vm *vm, const struct engine_mem *m, unsigned n, struct err *e);
int engine_dirty_get(struct engine_vm *vm, unsigned slot, uint64_t *bits, size_t n_words);
int engine_irq_set(struct engine_vm *vm, unsigned gsi, bool level);
int engine_msi_send(struct engine_vm *vm, uint64_t addr, uint32_t data);
int engine_irqfd(struct engine_vm *vm, unsigned gsi, int fd, bool on);
int engine_ioeventfd(struct engine_vm *vm, bool port, uint64_t addr, unsigned len, int64_t match, int fd,
		     bool on);
int engine_cpuid_host(struct engine_vm *vm, struct x86_cpuid *table, unsigned *n, struct err *e);
void engine_vm_save(struct engine_vm *vm, struct record_out *o, struct err *e);
void engine_vm_restore(struct engine_vm *vm, struct record_in *in);
int engine_vm_catch_up(struct engine_vm *vm, struct err *e);
int engine_cpu_new(struct engine_vm *vm, unsigned index, struct engine_cpu **ret_cpu, struct err *e);
void engine_cpu_free(struct engine_cpu *cpu);
int engine_cpu_cpuid(struct engine_cpu *cpu, const struct x86_cpuid *table, unsigned n, struct err *e);
int engine_cpu_run(struct engine_cpu *cpu, struct engine_exit *x);
void engine_cpu_kick(struct engine_cpu *cpu);
int engine_cpu_get(struct engine_cpu *cpu, struct x86_state *s, struct err *e);
int engine_cpu_set(struct engine_cpu *cpu, const struct x86_state *s, struct err *e);
int engine_cpu_nmi(struct engine_cpu *cpu);
/* engine_debug_check() - can its processors stop there? Return: 0; -EOPNOTSUPP; -ENOSPC: too many points; -EINVAL: one makes no sense. */
int engine_debug_check(const struct engine_vm *vm, const struct x86_debug *d);
/* engine_cpu_debug() - when its state may be set; from the next run on. @d: checked. */
int engine_cpu_debug(struct engine_cpu *cpu, const struct x86_debug *d);
/* engine_cpu_counters() - exits by kind ("exit-io"), then what the engine itself counts. Return: how many. Any thread. */
unsigned engine_cpu_counters(struct engine_cpu *cpu, struct engine_counter c[ENGINE_COUNTERS_MAX]);

#endif
