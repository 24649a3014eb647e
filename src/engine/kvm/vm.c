/* SPDX-License-Identifier: Apache-2.0 */
/* vm.c - the kvm engine: can this host, the machine, its memory; and the table of all that it does */
#include "engine/kvm/kvm_internal.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "sys/call.h"
#include "sys/kvm.h"

/* Two places below 4 GiB that the kernel keeps for itself (4 pages); no RAM, no device is there. Spec: KVM API 4.35, 4.41 */
#define TSS_ADDR          0xfffbd000UL
#define IDENTITY_MAP_ADDR 0xfffbc000UL

#define BESIDE_MIN (256UL << 20) /* bytes of memory that it pays for to have set by somebody else */

static const struct {
	unsigned cap;
	const char *what;
} needed[] = {
	{ KVM_CAP_USER_MEMORY, "memory slots" },
	{ KVM_CAP_IRQCHIP, "an interrupt controller" },
	{ KVM_CAP_IRQFD, "irqfd" },
	{ KVM_CAP_IOEVENTFD, "ioeventfd" },
	{ KVM_CAP_SIGNAL_MSI, "MSI" },
	{ KVM_CAP_MP_STATE, "processor run states" },
	{ KVM_CAP_XSAVE, "XSAVE state" },
	{ KVM_CAP_XCRS, "extended control registers" },
	{ KVM_CAP_VCPU_EVENTS, "pending events" },
	{ KVM_CAP_DEBUGREGS, "debug registers" },
	{ KVM_CAP_ADJUST_CLOCK, "the clock" },
	{ KVM_CAP_EXT_CPUID, "CPUID" },
	{ KVM_CAP_GET_TSC_KHZ, "the TSC's frequency" },
	{ KVM_CAP_IMMEDIATE_EXIT, "immediate exits" },
};

/* open_checked() - /dev/kvm, if it is what this engine is written for. */
static int open_checked(struct err *e)
{
	auto_close int fd = kvm_open();
	long version;

	if (fd < 0)
		return err_sys(e, -fd, "/dev/kvm");
	version = kvm_ioctl_n(fd, KVM_GET_API_VERSION, 0);
	if (version != KVM_API_VERSION)
		return err_set(e, ENOSYS, "/dev/kvm: API version %ld, want %d", version, KVM_API_VERSION);
	for (size_t i = 0; i < ARRAY_SIZE(needed); i++)
		if (kvm_ioctl_n(fd, KVM_CHECK_EXTENSION, needed[i].cap) <= 0)
			return err_set(e, ENOSYS, "/dev/kvm: the kernel's KVM lacks %s", needed[i].what);
	return TAKE_FD(fd);
}

static int vm_probe(struct err *e)
{
	auto_close int fd = open_checked(e);

	return fd < 0 ? fd : 0;
}

static void vm_free(struct engine_vm *v)
{
	struct kvm_vm *vm = kvm__vm(v);

	if (!vm)
		return;
	kvm__mem_ready(vm, NULL);
	fd_close(&vm->fd);
	fd_close(&vm->sys_fd);
	pthread_mutex_destroy(&vm->split.lock);
	pthread_mutex_destroy(&vm->lock);
	free(vm);
}

static int vm_setup(struct kvm_vm *vm, const struct engine_config *c, struct err *e)
{
	uint64_t identity = IDENTITY_MAP_ADDR;
	long r;

	vm->sys_fd = open_checked(e);
	if (vm->sys_fd < 0)
		return vm->sys_fd;
	do
		r = kvm_ioctl_n(vm->sys_fd, KVM_CREATE_VM, 0);
	while (r == -EINTR);
	if (r < 0)
		return err_sys(e, (int)-r, "KVM_CREATE_VM");
	vm->fd = (int)r;
	r = kvm_ioctl_n(vm->sys_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (r < (long)sizeof(struct kvm_run))
		return err_set(e, ENOSYS, "KVM_GET_VCPU_MMAP_SIZE: %ld", r);
	vm->run_size = (size_t)r;
	r = kvm_ioctl_n(vm->sys_fd, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);
	if (r > 0 && (unsigned)r < c->n_cpus)
		return err_set(e, EINVAL, "%u processors, the kernel's KVM has at most %ld", c->n_cpus, r);
	r = kvm_ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity);
	if (r >= 0)
		r = kvm_ioctl_n(vm->fd, KVM_SET_TSS_ADDR, TSS_ADDR);
	if (r < 0)
		return err_sys(e, (int)-r, "KVM_SET_TSS_ADDR");
	return kvm__kick_setup(e);
}

static int vm_new(struct engine_vm **ret_vm, const struct engine_config *c, struct err *e)
{
	struct kvm_vm *vm = calloc(1, sizeof(*vm));
	int r;

	if (!vm)
		return err_sys(e, ENOMEM, "a machine");
	vm->vm.ops = &engine_kvm;
	vm->fd = vm->sys_fd = -1;
	vm->irqs = c->no_irqchip ? KVM_IRQS_NONE : c->split_irqchip ? KVM_IRQS_SPLIT : KVM_IRQS_KERNEL;
	pthread_mutex_init(&vm->lock, NULL);
	kvm__split_init(vm);
	r = vm_setup(vm, c, e);
	if (r < 0) {
		vm_free(&vm->vm);
		return r;
	}
	*ret_vm = &vm->vm;
	return 0;
}

static int region_of(const struct engine_mem *m, struct kvm_userspace_memory_region *ret, struct err *e)
{
	if (m->slot >= ENGINE_SLOTS_MAX)
		return err_set(e, ENOSPC, "memory slot %u: at most %d", m->slot, ENGINE_SLOTS_MAX);
	*ret = (struct kvm_userspace_memory_region){
		.slot = m->slot,
		.flags = (m->log_dirty ? KVM_MEM_LOG_DIRTY_PAGES : 0) | (m->readonly ? KVM_MEM_READONLY : 0),
		.guest_phys_addr = m->gpa,
		.memory_size = m->size,
		.userspace_addr = (uintptr_t)m->host,
	};
	return 0;
}

/* region_set() - the kernel has answered @r. */
static int region_set(struct kvm_vm *vm, const struct kvm_userspace_memory_region *region, long r,
		      struct err *e)
{
	if (r < 0)
		return err_sys(e, (int)-r, "KVM_SET_USER_MEMORY_REGION: slot %u, 0x%llx bytes at 0x%llx",
			       region->slot, region->memory_size, region->guest_phys_addr);
	vm->slot_size[region->slot] = region->memory_size;
	return 0;
}

/* syscalls(memory): ioctl[1]=KVM_SET_USER_MEMORY_REGION */
static int vm_mem_set(struct engine_vm *v, const struct engine_mem *m, struct err *e)
{
	struct kvm_userspace_memory_region region = { 0 };
	struct kvm_vm *vm = kvm__vm(v);
	int r = kvm__mem_ready(vm, e);

	if (r == 0)
		r = region_of(m, &region, e);
	return r < 0 ? r : region_set(vm, &region, kvm_ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region), e);
}

int kvm__mem_ready(struct kvm_vm *vm, struct err *e)
{
	auto_free struct kvm_begun *b = TAKE_PTR(vm->begun);
	int r = 0;

	if (!b)
		return 0;
	beside_wait(&b->beside);
	for (size_t i = 0; i < b->beside.n && r == 0; i++)
		r = region_set(vm, &b->region[i], b->call[i].result, e);
	return r;
}

static int mem_set_all(struct engine_vm *v, const struct engine_mem *m, unsigned n, struct err *e)
{
	int r = 0;

	for (unsigned i = 0; i < n && r == 0; i++)
		r = vm_mem_set(v, &m[i], e);
	return r;
}

/*
 * vm_mem_begin() - the kernel clears 8 bytes for each page of a slot: half a millisecond for a GiB, at which nobody need look on.
 * It takes this only from a process of this memory. A thread would do, if what is done meanwhile were not to enter a jail. What
 * is small is sooner done than given away.
 */
static int vm_mem_begin(struct engine_vm *v, const struct engine_mem *m, unsigned n, struct err *e)
{
	struct kvm_vm *vm = kvm__vm(v);
	struct kvm_begun *b;
	uint64_t bytes = 0;
	int r = kvm__mem_ready(vm, e);

	for (unsigned i = 0; i < n; i++)
		bytes += m[i].size;
	if (r < 0 || bytes < BESIDE_MIN)
		return r < 0 ? r : mem_set_all(v, m, n, e);
	b = calloc(1, sizeof(*b));
	if (!b)
		return err_sys(e, ENOMEM, "memory slots");
	for (unsigned i = 0; i < n && r == 0; i++) {
		r = region_of(&m[i], &b->region[i], e);
		b->call[i] = (struct beside_call){
			.nr = SYS_ioctl,
			.arg = { vm->fd, KVM_SET_USER_MEMORY_REGION, (long)&b->region[i] },
		};
	}
	if (r == 0 && beside_start(&b->beside, b->call, n) == 0) {
		vm->begun = b;
		return 0;
	}
	free(b);
	return r < 0 ? r : mem_set_all(v, m, n, e); /* nobody could be had */
}

/* vm_dirty_get() - the kernel writes a whole bitmap and clears its own; ours collects. */
static int vm_dirty_get(struct engine_vm *v, unsigned slot, uint64_t *bits, size_t n_words)
{
	struct kvm_vm *vm = kvm__vm(v);
	struct kvm_dirty_log log = { .slot = slot };
	auto_free uint64_t *fresh = NULL;
	size_t words;
	long r = kvm__mem_ready(vm, NULL);

	if (r < 0)
		return (int)r;
	if (slot >= ENGINE_SLOTS_MAX || !vm->slot_size[slot])
		return -ENOENT;
	words = (vm->slot_size[slot] / 4096 + 63) / 64;
	if (words > n_words)
		return -EINVAL;
	fresh = calloc(words, sizeof(*fresh));
	if (!fresh)
		return -ENOMEM;
	log.dirty_bitmap = fresh;
	r = kvm_ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log);
	if (r < 0)
		return (int)r;
	for (size_t i = 0; i < words; i++)
		bits[i] |= fresh[i];
	return 0;
}

const struct engine_ops engine_kvm = {
	.name = "kvm",
	.points = KVM_POINTS,
	.probe = vm_probe,
	.vm_new = vm_new,
	.vm_free = vm_free,
	.mem_set = vm_mem_set,
	.mem_begin = vm_mem_begin,
	.dirty_get = vm_dirty_get,
	.irq_set = kvm__irq_set,
	.msi_send = kvm__msi_send,
	.irqfd = kvm__irqfd,
	.ioeventfd = kvm__ioeventfd,
	.cpuid_host = kvm__cpuid_host,
	.vm_save = kvm__vm_save,
	.vm_restore = kvm__vm_restore,
	.vm_catch_up = kvm__vm_catch_up,
	.cpu_new = kvm__cpu_new,
	.cpu_free = kvm__cpu_free,
	.cpu_cpuid = kvm__cpu_cpuid,
	.cpu_run = kvm__cpu_run,
	.cpu_kick = kvm__cpu_kick,
	.cpu_get = kvm__cpu_get,
	.cpu_set = kvm__cpu_set,
	.cpu_nmi = kvm__cpu_nmi,
	.cpu_debug = kvm__cpu_debug,
	.cpu_stats = kvm__cpu_stats,
};
