/* SPDX-License-Identifier: Apache-2.0 */
/*
 * irq.c - interrupts and doorbells of the kvm engine, and the state of its interrupt controllers and clock
 *
 * The saved form is no engine's own: the two 8259 in the order of their registers, the IOAPIC's table, nanoseconds of the
 * guest's paravirtual clock and, since version 2 of its record, what time it was then (CLOCK_REALTIME).
 */
#include "engine/kvm/kvm_internal.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "base/time.h"
#include "fmt/record.h"
#include "sys/kvm.h"

enum { IRQCHIP_VERSION = 1, CLOCK_VERSION = 2 };

static int irqs_make(struct kvm_vm *vm, struct err *e)
{
	struct kvm_enable_cap split = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { ENGINE_GSIS } };
	long r;

	if (vm->irqs == KVM_IRQS_NONE)
		return 0;
	if (vm->irqs == KVM_IRQS_SPLIT) {
		r = kvm_ioctl(vm->fd, KVM_ENABLE_CAP, &split);
		return r < 0 ? err_sys(e, (int)-r, "a split interrupt controller") : 0;
	}
	r = kvm_ioctl_n(vm->fd, KVM_CREATE_IRQCHIP, 0);
	return r < 0 ? err_sys(e, (int)-r, "KVM_CREATE_IRQCHIP") : 0;
}

/*
 * kvm__irqs_ready() - the controller is made when it is first needed, which is after memory: the kernel waits for its readers
 * when a memory slot is set (SRCU), 0.15 ms; behind a new controller it waits for a grace period that is under way, 5 to 9 ms.
 */
int kvm__irqs_ready(struct kvm_vm *vm, struct err *e)
{
	int r = 0;

	pthread_mutex_lock(&vm->lock);
	if (!vm->irqs_made)
		r = kvm__mem_ready(vm, e);
	if (r == 0 && !vm->irqs_made)
		r = irqs_make(vm, e);
	if (r == 0)
		vm->irqs_made = true;
	pthread_mutex_unlock(&vm->lock);
	return r;
}

/* has_lines() - there is a controller. */
static bool has_lines(struct kvm_vm *vm)
{
	return vm->irqs != KVM_IRQS_NONE && kvm__irqs_ready(vm, NULL) == 0;
}

int kvm__irq_set(struct engine_vm *v, unsigned gsi, bool level)
{
	struct kvm_vm *vm = kvm__vm(v);
	struct kvm_irq_level line = { .irq = gsi, .level = level };

	if (!has_lines(vm))
		return -EOPNOTSUPP;
	return vm->irqs == KVM_IRQS_SPLIT ? kvm__split_line(vm, gsi, level) :
					    (int)kvm_ioctl(vm->fd, KVM_IRQ_LINE, &line);
}

int kvm__msi_send(struct engine_vm *v, uint64_t addr, uint32_t data)
{
	struct kvm_vm *vm = kvm__vm(v);
	struct kvm_msi msi = { .address_lo = (uint32_t)addr,
			       .address_hi = (uint32_t)(addr >> 32),
			       .data = data };
	long r;

	if (vm->irqs == KVM_IRQS_NONE)
		return -EOPNOTSUPP;
	r = kvm_ioctl(vm->fd, KVM_SIGNAL_MSI, &msi);
	return r < 0 ? (int)r : 0; /* 1: delivered, 0: the guest has blocked it; both are done */
}

int kvm__irqfd(struct engine_vm *v, unsigned gsi, int fd, bool on)
{
	struct kvm_vm *vm = kvm__vm(v);
	struct kvm_irqfd irqfd = { .fd = (uint32_t)fd,
				   .gsi = gsi,
				   .flags = on ? 0 : KVM_IRQFD_FLAG_DEASSIGN };

	int r = has_lines(vm) ? 0 : -EOPNOTSUPP;

	if (r == 0 && vm->irqs == KVM_IRQS_SPLIT)
		r = kvm__split_irqfd(vm, gsi, on);
	return r < 0 ? r : (int)kvm_ioctl(vm->fd, KVM_IRQFD, &irqfd);
}

int kvm__ioeventfd(struct engine_vm *v, bool port, uint64_t addr, unsigned len, int64_t match, int fd,
		   bool on)
{
	struct kvm_ioeventfd io = {
		.datamatch = match < 0 ? 0 : (uint64_t)match,
		.addr = addr,
		.len = len,
		.fd = fd,
		.flags = (match >= 0 ? KVM_IOEVENTFD_FLAG_DATAMATCH : 0) |
			 (port ? KVM_IOEVENTFD_FLAG_PIO : 0) | (on ? 0 : KVM_IOEVENTFD_FLAG_DEASSIGN),
	};
	int r = kvm__mem_ready(kvm__vm(v), NULL);

	return r < 0 ? r : (int)kvm_ioctl(kvm__vm(v)->fd, KVM_IOEVENTFD, &io);
}

/* A PIC's state is 16 bytes, registers in a fixed order, in every version of the KVM API. */
static_assert(sizeof(struct kvm_pic_state) == 16, "as the kernel has it");

static int kernel_save(struct kvm_vm *vm, struct record_out *o)
{
	struct kvm_irqchip chip[3] = { { .chip_id = KVM_IRQCHIP_PIC_MASTER },
				       { .chip_id = KVM_IRQCHIP_PIC_SLAVE },
				       { .chip_id = KVM_IRQCHIP_IOAPIC } };
	const struct kvm_ioapic_state *io = &chip[2].chip.ioapic;

	for (int i = 0; i < 3; i++) {
		long r = kvm_ioctl(vm->fd, KVM_GET_IRQCHIP, &chip[i]);

		if (r < 0)
			return (int)r;
	}
	record_put(o, &chip[0].chip.pic, sizeof(chip[0].chip.pic));
	record_put(o, &chip[1].chip.pic, sizeof(chip[1].chip.pic));
	record_put_u64(o, io->base_address);
	record_put_u32(o, io->ioregsel);
	record_put_u32(o, io->id);
	record_put_u32(o, io->irr);
	for (int i = 0; i < KVM_IOAPIC_NUM_PINS; i++)
		record_put_u64(o, io->redirtbl[i].bits);
	return 0;
}

static int irqchip_save(struct kvm_vm *vm, struct record_out *o)
{
	int r = 0;

	record_begin(o, "irqchip", IRQCHIP_VERSION);
	if (vm->irqs == KVM_IRQS_SPLIT)
		kvm__split_save(vm, o);
	else
		r = kernel_save(vm, o);
	record_end(o);
	return r;
}

void kvm__vm_save(struct engine_vm *v, struct record_out *o, struct err *e)
{
	struct kvm_vm *vm = kvm__vm(v);
	struct kvm_clock_data clock = { 0 };
	long r = 0;

	if (has_lines(vm))
		r = irqchip_save(vm, o);
	if (r < 0) {
		err_sys(e, (int)-r, "KVM_GET_IRQCHIP");
		return;
	}
	r = kvm_ioctl(vm->fd, KVM_GET_CLOCK, &clock);
	if (r < 0) {
		err_sys(e, (int)-r, "KVM_GET_CLOCK");
		return;
	}
	record_begin(o, "clock", CLOCK_VERSION);
	if (!(clock.flags &
	      KVM_CLOCK_REALTIME)) /* the kernel reads both at once where its clock is the TSC */
		clock.realtime = (uint64_t)time_now_ns(CLOCK_REALTIME);
	record_put_u64(o, clock.clock);
	record_put_u64(o, clock.realtime);
	record_end(o);
}

static void kernel_restore(struct kvm_vm *vm, struct record_in *in)
{
	struct kvm_irqchip chip[3] = { { .chip_id = KVM_IRQCHIP_PIC_MASTER },
				       { .chip_id = KVM_IRQCHIP_PIC_SLAVE },
				       { .chip_id = KVM_IRQCHIP_IOAPIC } };
	struct kvm_ioapic_state *io = &chip[2].chip.ioapic;

	record_get(in, &chip[0].chip.pic, sizeof(chip[0].chip.pic));
	record_get(in, &chip[1].chip.pic, sizeof(chip[1].chip.pic));
	io->base_address = record_get_u64(in);
	io->ioregsel = record_get_u32(in);
	io->id = record_get_u32(in);
	io->irr = record_get_u32(in);
	for (int i = 0; i < KVM_IOAPIC_NUM_PINS; i++)
		io->redirtbl[i].bits = record_get_u64(in);
	for (int i = 0; i < 3 && in->rc == 0; i++) {
		long r = kvm_ioctl(vm->fd, KVM_SET_IRQCHIP, &chip[i]);

		if (r < 0)
			record_fail(in, "KVM_SET_IRQCHIP: %s", err_name((int)-r));
	}
}

static void irqchip_restore(struct kvm_vm *vm, struct record_in *in)
{
	if (!record_open(in, "irqchip", IRQCHIP_VERSION))
		return;
	if (vm->irqs == KVM_IRQS_SPLIT)
		kvm__split_restore(vm, in);
	else
		kernel_restore(vm, in);
	record_close(in);
}

void kvm__vm_restore(struct engine_vm *v, struct record_in *in)
{
	struct kvm_vm *vm = kvm__vm(v);
	struct kvm_clock_data clock = { 0 };
	uint16_t version;
	long r;

	if (has_lines(vm))
		irqchip_restore(vm, in);
	version = record_open(in, "clock", CLOCK_VERSION);
	if (!version)
		return;
	vm->clock = clock.clock = record_get_u64(in);
	vm->real = version >= 2 ? record_get_u64(in) : 0;
	if (in->rc == 0) {
		r = kvm_ioctl(vm->fd, KVM_SET_CLOCK, &clock);
		if (r < 0)
			record_fail(in, "KVM_SET_CLOCK: %s", err_name((int)-r));
	}
	record_close(in);
}

int kvm__vm_catch_up(struct engine_vm *v, struct err *e)
{
	struct kvm_vm *vm = kvm__vm(v);
	struct kvm_clock_data clock = { .clock = vm->clock,
					.realtime = vm->real,
					.flags = KVM_CLOCK_REALTIME };
	long r;

	if (!vm->real)
		return err_set(e, EINVAL, "the clock: the snapshot does not say what time it was then");
	r = kvm_ioctl(vm->fd, KVM_SET_CLOCK, &clock); /* the kernel adds what has passed since */
	return r < 0 ? err_sys(e, (int)-r, "KVM_SET_CLOCK") : 0;
}
