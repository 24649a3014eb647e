/* SPDX-License-Identifier: Apache-2.0 */
/*
 * msr.c - which model-specific registers belong to a processor's state, read and written
 *
 * The kernel lists what it emulates. Left out is what is derived (the old paravirtual clock registers are other names of the new), what
 * no guest of ours can see (Hyper-V, nested virtualization, performance counters) and what this kernel lists but cannot
 * read. Time comes first, the deadline timer last: it is armed by being written and needs the clock and the APIC in place.
 */
#include "engine/kvm/kvm_internal.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "sys/kvm.h"

enum { MSR_TSC = 0x10, MSR_TSC_DEADLINE = 0x6e0 };

static const struct {
	uint32_t first, last;
} left_out[] = {
	{ 0x11, 0x12 },             /* kvmclock's old names */
	{ 0xc1, 0xc8 },             /* PMC */
	{ 0x186, 0x18d },           /* PERFEVTSEL */
	{ 0x1a6, 0x1a7 },           /* OFFCORE_RSP */
	{ 0x309, 0x30c },           /* FIXED_CTR */
	{ 0x345, 0x345 },           /* PERF_CAPABILITIES */
	{ 0x38d, 0x390 },           /* PERF_GLOBAL */
	{ 0x3f1, 0x3f7 },           /* PEBS */
	{ 0x480, 0x493 },           /* VMX capabilities */
	{ 0x4c1, 0x4c8 },           /* PMC, full width */
	{ 0x560, 0x58f },           /* processor trace */
	{ 0x600, 0x600 },           /* DS_AREA */
	{ 0x14ce, 0x14cf },         /* LBR */
	{ 0x40000000, 0x400001ff }, /* Hyper-V */
	{ 0xc0010000, 0xc0010007 }, /* AMD PMC */
	{ 0xc0010200, 0xc001020b }, /* AMD PMC, extended */
	{ 0xc0000300, 0xc0000302 }, /* AMD PERF_CNTR_GLOBAL */
};

/* The kernel's two structs end in an array of no size; these are the same with one. */
struct msr_list {
	uint32_t n;
	uint32_t index[KVM_MSR_LIST_MAX];
};
static_assert(offsetof(struct msr_list, index) == offsetof(struct kvm_msr_list, indices),
	      "as the kernel has it");

struct msr_set {
	uint32_t n, pad;
	struct kvm_msr_entry entry[X86_MSRS_MAX];
};
static_assert(offsetof(struct msr_set, entry) == offsetof(struct kvm_msrs, entries), "as the kernel has it");

static bool is_left_out(uint32_t index)
{
	for (size_t i = 0; i < ARRAY_SIZE(left_out); i++)
		if (index >= left_out[i].first && index <= left_out[i].last)
			return true;
	return false;
}

static bool can_read(struct kvm_cpu *c, uint32_t index, uint64_t *ret_value)
{
	struct {
		uint32_t n, pad;
		struct kvm_msr_entry entry;
	} one = { .n = 1, .entry.index = index };

	if (kvm_ioctl(c->fd, KVM_GET_MSRS, &one) != 1)
		return false;
	*ret_value = one.entry.data;
	return true;
}

/* add_readable() - @index into the machine's list if this processor has it. */
static int add_readable(struct kvm_cpu *c, struct kvm_vm *vm, uint32_t index, uint32_t *n)
{
	uint64_t value;

	if (!can_read(c, index, &value))
		return 0;
	if (*n == X86_MSRS_MAX)
		return -E2BIG;
	vm->msr[(*n)++] = index;
	return 0;
}

static int list_make(struct kvm_cpu *c, struct kvm_vm *vm, struct err *e)
{
	auto_free struct msr_list *all = calloc(1, sizeof(*all));
	uint32_t n = 0;
	long r;

	if (!all)
		return err_sys(e, ENOMEM, "the list of MSRs");
	all->n = KVM_MSR_LIST_MAX;
	r = kvm_ioctl(vm->sys_fd, KVM_GET_MSR_INDEX_LIST, all);
	if (r < 0)
		return err_sys(e, (int)-r, "KVM_GET_MSR_INDEX_LIST");
	r = add_readable(c, vm, MSR_TSC, &n);
	for (uint32_t i = 0; i < all->n && r == 0; i++)
		if (!is_left_out(all->index[i]) && all->index[i] != MSR_TSC &&
		    all->index[i] != MSR_TSC_DEADLINE)
			r = add_readable(c, vm, all->index[i], &n);
	if (r == 0)
		r = add_readable(c, vm, MSR_TSC_DEADLINE, &n);
	if (r < 0)
		return err_set(e, E2BIG, "the kernel's KVM has more than %d MSRs", X86_MSRS_MAX);
	vm->n_msrs = n;
	return 0;
}

int kvm__msrs_get(struct kvm_cpu *c, struct x86_state *s, struct err *e)
{
	struct kvm_vm *vm = kvm__vm(c->cpu.vm);
	struct msr_set set = { 0 };
	int r = 0;
	long got;

	pthread_mutex_lock(&vm->lock);
	if (vm->n_msrs == 0)
		r = list_make(c, vm, e);
	pthread_mutex_unlock(&vm->lock);
	if (r < 0)
		return r;
	set.n = vm->n_msrs;
	for (uint32_t i = 0; i < vm->n_msrs; i++)
		set.entry[i].index = vm->msr[i];
	got = kvm_ioctl(c->fd, KVM_GET_MSRS, &set);
	if (got < 0)
		return err_sys(e, (int)-got, "KVM_GET_MSRS");
	if (got != vm->n_msrs)
		return err_set(e, EIO, "KVM_GET_MSRS: MSR 0x%x cannot be read", vm->msr[got]);
	for (uint32_t i = 0; i < vm->n_msrs; i++)
		s->msr[i] = (struct x86_msr){ .index = set.entry[i].index, .value = set.entry[i].data };
	s->n_msrs = vm->n_msrs;
	return 0;
}

/* set_all() - KVM stops at the first that it refuses; that is no harm when it has the value already. */
static int set_all(struct kvm_cpu *c, const struct kvm_msr_entry *entry, uint32_t n, struct err *e)
{
	uint32_t done = 0;

	while (done < n) {
		struct msr_set set = { .n = n - done };
		uint64_t has = 0;
		long r;

		for (uint32_t i = 0; i < n - done; i++)
			set.entry[i] = entry[done + i];
		r = kvm_ioctl(c->fd, KVM_SET_MSRS, &set);
		if (r < 0)
			return err_sys(e, (int)-r, "KVM_SET_MSRS");
		done += (uint32_t)r;
		if (done >= n)
			break;
		if (!can_read(c, entry[done].index, &has) || has != entry[done].data)
			return err_set(e, EINVAL,
				       "processor %u: MSR 0x%x cannot be 0x%llx here (it is 0x%llx)",
				       c->cpu.index, entry[done].index, (unsigned long long)entry[done].data,
				       (unsigned long long)has);
		done++;
	}
	return 0;
}

int kvm__msrs_set(struct kvm_cpu *c, const struct x86_state *s, struct err *e)
{
	struct kvm_msr_entry entry[X86_MSRS_MAX] = { 0 };
	uint32_t n = 0;

	if (s->n_msrs == 0)
		return 0;
	for (uint32_t i = 0; i < s->n_msrs; i++)
		if (s->msr[i].index != MSR_TSC_DEADLINE)
			entry[n++] =
				(struct kvm_msr_entry){ .index = s->msr[i].index, .data = s->msr[i].value };
	for (uint32_t i = 0; i < s->n_msrs && n < X86_MSRS_MAX; i++)
		if (s->msr[i].index == MSR_TSC_DEADLINE)
			entry[n++] =
				(struct kvm_msr_entry){ .index = s->msr[i].index, .data = s->msr[i].value };
	return set_all(c, entry, n, e);
}
