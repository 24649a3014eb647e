/* SPDX-License-Identifier: Apache-2.0 */
/* kvm_internal.h - what the files of this folder share; the ops are listed in vm.c */
#ifndef ENGINE_KVM_INTERNAL_H
#define ENGINE_KVM_INTERNAL_H

#include <linux/kvm.h>
#include <pthread.h>

#include "engine/engine.h"
#include "engine/ioapic.h"
#include "sys/beside.h"

enum { KVM_MSR_LIST_MAX = 512, KVM_POINTS = 4 /* debug registers */ };

struct kvm_begun { /* memory slots that are being set by somebody else */
	struct beside beside;
	struct beside_call call[ENGINE_BEGIN_MAX];
	struct kvm_userspace_memory_region region[ENGINE_BEGIN_MAX];
};

enum kvm_irqs { KVM_IRQS_NONE, KVM_IRQS_KERNEL, KVM_IRQS_SPLIT };

struct kvm_split { /* split.c */
	pthread_mutex_t lock;
	struct ioapic ioapic;
	uint32_t irqfds; /* bit n: pin n has one */
	struct kvm_split_route {
		uint32_t addr, data; /* of the message; data 0: there is none */
	} route[IOAPIC_PINS];
	bool told; /* the kernel has these */
};

struct kvm_vm {
	struct engine_vm vm; /* first */
	int sys_fd, fd;      /* owned: /dev/kvm, the machine */
	enum kvm_irqs irqs;
	bool irqs_made;
	struct kvm_split split;               /* only if it is */
	size_t run_size;                      /* bytes of a processor's exchange mapping */
	uint64_t slot_size[ENGINE_SLOTS_MAX]; /* bytes; 0: empty */
	struct kvm_begun *begun;              /* owned; NULL: nothing */
	pthread_mutex_t lock;                 /* of making the controller, and of the list below */
	uint32_t n_msrs;                      /* 0: not asked yet */
	uint32_t msr[X86_MSRS_MAX];           /* what a state has of them, in the order they are set */
	uint64_t clock,
		real; /* of a restored one: its clock when it was saved, and CLOCK_REALTIME; 0: not known */
};

struct kvm_cpu {
	struct engine_cpu cpu; /* first */
	int fd;                /* owned */
	struct kvm_run *run;   /* owned mapping */
	int tid;               /* atomic: the thread inside KVM_RUN, 0: none */
	uint64_t exits[ENGINE_EXIT_COUNT];
	struct x86_debug debug; /* what the debug registers hold while they are the debugger's */
};

static inline struct kvm_vm *kvm__vm(struct engine_vm *vm)
{
	return (struct kvm_vm *)vm;
}

static inline struct kvm_cpu *kvm__cpu(struct engine_cpu *cpu)
{
	return (struct kvm_cpu *)cpu;
}

/* vm.c */
/* kvm__mem_ready() - wait until memory that was begun is there. The thread that began it, or one started since. */
int kvm__mem_ready(struct kvm_vm *vm, struct err *e);

/* cpu.c */
int kvm__kick_setup(struct err *e); /* the signal that gets a thread out of KVM_RUN; once for each process */
int kvm__cpu_new(struct engine_vm *vm, unsigned index, struct engine_cpu **ret_cpu, struct err *e);
void kvm__cpu_free(struct engine_cpu *cpu);
int kvm__cpu_run(struct engine_cpu *cpu, struct engine_exit *x);
void kvm__cpu_kick(struct engine_cpu *cpu);
int kvm__cpu_nmi(struct engine_cpu *cpu);
int kvm__cpu_debug(struct engine_cpu *cpu, const struct x86_debug *d);
void kvm__cpu_stats(struct engine_cpu *cpu, uint64_t by_kind[ENGINE_EXIT_COUNT]);

/* state.c */
int kvm__cpu_get(struct engine_cpu *cpu, struct x86_state *s, struct err *e);
int kvm__cpu_set(struct engine_cpu *cpu, const struct x86_state *s, struct err *e);

/* msr.c */
int kvm__msrs_get(struct kvm_cpu *c, struct x86_state *s, struct err *e);
int kvm__msrs_set(struct kvm_cpu *c, const struct x86_state *s, struct err *e);

/* cpuid.c */
int kvm__cpuid_host(struct engine_vm *vm, struct x86_cpuid *table, unsigned *n, struct err *e);
int kvm__cpu_cpuid(struct engine_cpu *cpu, const struct x86_cpuid *table, unsigned n, struct err *e);

/* irq.c */
int kvm__irqs_ready(struct kvm_vm *vm, struct err *e);
int kvm__irq_set(struct engine_vm *vm, unsigned gsi, bool level);
int kvm__msi_send(struct engine_vm *vm, uint64_t addr, uint32_t data);
int kvm__irqfd(struct engine_vm *vm, unsigned gsi, int fd, bool on);
int kvm__ioeventfd(struct engine_vm *vm, bool port, uint64_t addr, unsigned len, int64_t match, int fd,
		   bool on);
void kvm__vm_save(struct engine_vm *vm, struct record_out *o, struct err *e);
void kvm__vm_restore(struct engine_vm *vm, struct record_in *in);
int kvm__vm_catch_up(struct engine_vm *vm, struct err *e);

/* split.c - only of a machine whose controller is split; any thread */
void kvm__split_init(struct kvm_vm *vm);
int kvm__split_line(struct kvm_vm *vm, unsigned gsi, bool level);
int kvm__split_irqfd(struct kvm_vm *vm, unsigned gsi, bool on);
void kvm__split_eoi(struct kvm_vm *vm, unsigned vector);
/* kvm__split_access() - of a memory-mapped exit. Return: it was the I/O APIC's, and is answered */
bool kvm__split_access(struct kvm_vm *vm, struct kvm_run *run);
void kvm__split_save(struct kvm_vm *vm, struct record_out *o); /* the record's content */
void kvm__split_restore(struct kvm_vm *vm, struct record_in *in);

#endif
