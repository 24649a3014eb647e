/* SPDX-License-Identifier: Apache-2.0 */
/* cpuid.c - what the kernel's KVM can show of a processor, and what this one shows */
#include "engine/kvm/kvm_internal.h"

#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/guard.h"
#include "sys/kvm.h"

static struct kvm_cpuid2 *cpuid_buffer(void)
{
	return calloc(1, sizeof(struct kvm_cpuid2) + ENGINE_CPUID_MAX * sizeof(struct kvm_cpuid_entry2));
}

/* beyond_the_list() - what KVM can do and older kernels' lists do not say: the deadline timer; the TSC's frequency */
static int beyond_the_list(struct kvm_vm *vm, struct x86_cpuid *table, unsigned *n, unsigned room)
{
	enum { LEAF_CLOCK = 0x40000010, TSC_DEADLINE = 1 << 24 };
	long khz = kvm_ioctl_n(vm->fd, KVM_GET_TSC_KHZ, 0);
	bool deadline = kvm_ioctl_n(vm->sys_fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0;

	for (unsigned i = 0; i < *n; i++)
		if (table[i].leaf == 1 && deadline)
			table[i].ecx |= TSC_DEADLINE;
	if (khz <= 0) /* a kernel that tells it of processors only; the guest has kvmclock */
		return 0;
	if (*n >= room)
		return -E2BIG;
	table[(*n)++] = (struct x86_cpuid){ .leaf = LEAF_CLOCK, .eax = (uint32_t)khz };
	return 0;
}

int kvm__cpuid_host(struct engine_vm *vm, struct x86_cpuid *table, unsigned *n, struct err *e)
{
	auto_free struct kvm_cpuid2 *k = cpuid_buffer();
	unsigned room = *n;
	long r;

	if (!k)
		return err_sys(e, ENOMEM, "CPUID");
	k->nent = ENGINE_CPUID_MAX;
	r = kvm_ioctl(kvm__vm(vm)->sys_fd, KVM_GET_SUPPORTED_CPUID, k);
	if (r < 0)
		return err_sys(e, (int)-r, "KVM_GET_SUPPORTED_CPUID");
	if (k->nent > *n)
		return err_set(e, E2BIG, "KVM_GET_SUPPORTED_CPUID: %u entries", k->nent);
	for (unsigned i = 0; i < k->nent; i++)
		table[i] = (struct x86_cpuid){
			.leaf = k->entries[i].function,
			.subleaf = k->entries[i].index,
			.eax = k->entries[i].eax,
			.ebx = k->entries[i].ebx,
			.ecx = k->entries[i].ecx,
			.edx = k->entries[i].edx,
			.indexed = (k->entries[i].flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) != 0,
		};
	*n = k->nent;
	r = beyond_the_list(kvm__vm(vm), table, n, room);
	return r < 0 ? err_set(e, E2BIG, "KVM_GET_SUPPORTED_CPUID: more than %u entries", room) : 0;
}

int kvm__cpu_cpuid(struct engine_cpu *cpu, const struct x86_cpuid *table, unsigned n, struct err *e)
{
	auto_free struct kvm_cpuid2 *k = cpuid_buffer();
	long r;

	if (!k)
		return err_sys(e, ENOMEM, "CPUID");
	k->nent = n;
	for (unsigned i = 0; i < n; i++)
		k->entries[i] = (struct kvm_cpuid_entry2){
			.function = table[i].leaf,
			.index = table[i].subleaf,
			.eax = table[i].eax,
			.ebx = table[i].ebx,
			.ecx = table[i].ecx,
			.edx = table[i].edx,
			.flags = table[i].indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
		};
	r = kvm_ioctl(kvm__cpu(cpu)->fd, KVM_SET_CPUID2, k);
	return r < 0 ? err_sys(e, (int)-r, "KVM_SET_CPUID2: processor %u", cpu->index) : 0;
}
