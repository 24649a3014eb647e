/* SPDX-License-Identifier: Apache-2.0 */
/*
 * split.c - the split interrupt controller: the kernel has the local APICs, the I/O APIC is ours (engine/ioapic.c)
 *
 * Theory of operation. A line that goes up is a message to a processor, sent by one ioctl. Accesses to the I/O APIC's registers are
 * exits that kvm__cpu_run() answers itself. Whoever ends a level-triggered interrupt has to tell: the kernel exits at the end of those
 * whose vector it finds in its routes, so each level-triggered pin has one, masked or not; a pin with an irqfd has one while it
 * is not masked. Routes are set again when a register's write has changed them, which guests do when they start.
 *
 * A snapshot comes when a processor may have ended an interrupt and the exit that tells of it is still in the kernel, which gives it to
 * nobody else: what is restored counts as ended.
 *
 * There are no 8259 here. The board does not tell guests of any, and its snapshots have them as they are at reset.
 *
 * syscalls(split): ioctl[1]=KVM_SET_GSI_ROUTING
 *
 * Spec: Linux, Documentation/virt/kvm/api.rst, 7.5 KVM_CAP_SPLIT_IRQCHIP; SDM volume 3, 10.11 (messages)
 */
#include "engine/kvm/kvm_internal.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "engine/pic.h"
#include "fmt/record.h"
#include "sys/kvm.h"

static_assert((int)IOAPIC_PINS == (int)ENGINE_GSIS, "a pin for each line");

enum { MSI_LOGICAL = 1 << 2, MSI_UP = 1 << 14, MSI_LEVEL = 1 << 15, VECTOR_FIRST = 16 };

static uint32_t msi_addr(const struct irq_message *m)
{
	return 0xfee00000U | (m->dest & 0xff) << 12 | (m->logical ? MSI_LOGICAL : 0);
}

static uint32_t msi_data(const struct irq_message *m)
{
	return m->vector | (uint32_t)m->mode << 8 | (m->level ? MSI_LEVEL | MSI_UP : 0);
}

static void send(void *arg, const struct irq_message *m)
{
	struct kvm_vm *vm = arg;
	struct kvm_msi msi = { .address_lo = msi_addr(m), .data = msi_data(m) };

	if (m->vector >= VECTOR_FIRST || (m->mode != IRQ_FIXED && m->mode != IRQ_LOWEST))
		kvm_ioctl(vm->fd, KVM_SIGNAL_MSI, &msi); /* to nobody: lost, as on a bus */
}

void kvm__split_init(struct kvm_vm *vm)
{
	ioapic_init(&vm->split.ioapic, send, vm);
	pthread_mutex_init(&vm->split.lock, NULL);
	vm->split.told = true; /* that there are none */
}

/* route_of() - what the kernel has to know of @pin; a data of 0: nothing */
static struct kvm_split_route route_of(const struct kvm_split *s, unsigned pin)
{
	struct irq_message m;
	bool open = ioapic_message(&s->ioapic, pin, &m);
	bool wanted = m.vector >= VECTOR_FIRST && (m.level || (open && s->irqfds >> pin & 1));

	return wanted ? (struct kvm_split_route){ msi_addr(&m), msi_data(&m) } :
			(struct kvm_split_route){ 0 };
}

static long routes_tell(struct kvm_vm *vm)
{
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry entry[IOAPIC_PINS];
	} to = { 0 };

	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
		const struct kvm_split_route *r = &vm->split.route[pin];

		if (r->data)
			to.entry[to.head.nr++] = (struct kvm_irq_routing_entry){
				.gsi = pin,
				.type = KVM_IRQ_ROUTING_MSI,
				.u.msi = { .address_lo = r->addr, .data = r->data },
			};
	}
	return kvm_ioctl(vm->fd, KVM_SET_GSI_ROUTING, &to);
}

/* routes_set() - after a change of the pins; most change no route. */
static int routes_set(struct kvm_vm *vm)
{
	struct kvm_split *s = &vm->split;
	bool same = s->told;

	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
		struct kvm_split_route r = route_of(s, pin);

		same &= r.addr == s->route[pin].addr && r.data == s->route[pin].data;
		s->route[pin] = r;
	}
	if (!same) {
		long r = routes_tell(vm);

		s->told = r >= 0;
		return r < 0 ? (int)r : 0;
	}
	return 0;
}

int kvm__split_line(struct kvm_vm *vm, unsigned gsi, bool level)
{
	pthread_mutex_lock(&vm->split.lock);
	ioapic_line(&vm->split.ioapic, gsi, level);
	pthread_mutex_unlock(&vm->split.lock);
	return 0;
}

int kvm__split_irqfd(struct kvm_vm *vm, unsigned gsi, bool on)
{
	uint32_t bit = 1U << gsi;
	int r;

	pthread_mutex_lock(&vm->split.lock);
	vm->split.irqfds = on ? vm->split.irqfds | bit : vm->split.irqfds & ~bit;
	r = routes_set(vm);
	pthread_mutex_unlock(&vm->split.lock);
	return r;
}

void kvm__split_eoi(struct kvm_vm *vm, unsigned vector)
{
	pthread_mutex_lock(&vm->split.lock);
	ioapic_eoi(&vm->split.ioapic, vector);
	pthread_mutex_unlock(&vm->split.lock);
}

bool kvm__split_access(struct kvm_vm *vm, struct kvm_run *run)
{
	uint64_t at = run->mmio.phys_addr - IOAPIC_BASE;
	size_t len = run->mmio.len < 4 ? run->mmio.len : 4;
	uint32_t value = 0;

	if (at >= IOAPIC_BYTES)
		return false;
	pthread_mutex_lock(&vm->split.lock);
	if (run->mmio.is_write) {
		memcpy(&value, run->mmio.data, len);
		ioapic_write(&vm->split.ioapic, (unsigned)at, value);
		routes_set(vm); /* out of memory: a level-triggered interrupt comes once */
	} else {
		value = ioapic_read(&vm->split.ioapic, (unsigned)at);
		memcpy(run->mmio.data, &value, len);
	}
	pthread_mutex_unlock(&vm->split.lock);
	return true;
}

void kvm__split_save(struct kvm_vm *vm, struct record_out *o)
{
	struct pic none;

	pic_init(&none);
	pic_save(&none, o);
	pthread_mutex_lock(&vm->split.lock);
	ioapic_save(&vm->split.ioapic, o);
	pthread_mutex_unlock(&vm->split.lock);
}

void kvm__split_restore(struct kvm_vm *vm, struct record_in *in)
{
	struct pic none;
	int r = 0;

	pic_init(&none);
	pic_restore(&none, in);
	pthread_mutex_lock(&vm->split.lock);
	ioapic_restore(&vm->split.ioapic, in);
	if (in->rc == 0)
		r = routes_set(vm);
	if (in->rc == 0 && r == 0)
		ioapic_forget(&vm->split.ioapic);
	pthread_mutex_unlock(&vm->split.lock);
	if (r < 0)
		record_fail(in, "KVM_SET_GSI_ROUTING: %s", err_name(-r));
}
