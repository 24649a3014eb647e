/* SPDX-License-Identifier: Apache-2.0 */
/*
 * irq.c - interrupts of the bt engine: lines, messages, and who they mean
 *
 * Theory of operation. Each processor's local APIC is in its space; the I/O APIC and the pair of 8259 are here, for devices are
 * here. A message becomes a bit in the exchange of each processor that it means, and a word to that processor. Which one a logical
 * destination means depends on what a guest wrote into its local APICs: spaces tell it in their exchanges; one that lies
 * harms its own guest.
 *
 * Spec: Intel SDM volume 3, 10.6 (command register, destinations), 10.11 (messages)
 */
#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "engine/bt/bt_internal.h"
#include "fmt/record.h"

enum { RECORD_IRQCHIP = 1, RECORD_CLOCK = 2, RECORD_AHEAD = 1 };
#define TAG_AHEAD "ahead"
enum { ICR_LOGICAL = 1 << 11, TO_DEST = 0, TO_ALL = 2, TO_OTHERS = 3 };
#define ALL   0xffffffffU
#define ALL_8 0xffU

/* is_meant() - Spec: 10.6.2 */
static bool is_meant(const struct bt_vcpu *c, uint32_t dest, bool logical)
{
	uint32_t ldr = __atomic_load_n(&c->x->ldr, __ATOMIC_RELAXED);

	if (dest == ALL || (dest == ALL_8 && !logical))
		return true;
	if (!logical)
		return dest == c->cpu.index;
	if (__atomic_load_n(&c->x->x2, __ATOMIC_RELAXED))
		return dest >> 16 == ldr >> 16 && dest & ldr & 0xffff;
	ldr >>= 24;
	if (__atomic_load_n(&c->x->dfr, __ATOMIC_RELAXED) >> 28 == 0xf)
		return dest & ldr & 0xff;
	return (dest >> 4 & 15) == ldr >> 4 && dest & ldr & 15;
}

static void post(struct bt_vcpu *c, const struct irq_message *m)
{
	uint32_t bit = 1U << (m->vector & 31), word = m->vector / 32;

	switch (m->mode) {
	case IRQ_FIXED:
	case IRQ_LOWEST:
		if (m->level) /* first: who takes the interrupt asks for it */
			__atomic_fetch_or(&c->x->posted_level[word], bit, __ATOMIC_SEQ_CST);
		__atomic_fetch_or(&c->x->posted[word], bit, __ATOMIC_SEQ_CST);
		break;
	case IRQ_NMI: __atomic_store_n(&c->x->nmi, 1, __ATOMIC_SEQ_CST); break;
	case IRQ_INIT: __atomic_store_n(&c->x->init, 1, __ATOMIC_SEQ_CST); break;
	case IRQ_STARTUP: __atomic_store_n(&c->x->sipi, 0x100U | m->vector, __ATOMIC_SEQ_CST); break;
	case IRQ_SMI:            /* there is no system management mode */
	case IRQ_EXTINT: return; /* the 8259's line is each processor's own */
	}
	bt__notify(c);
}

/* send() - vm->lock is held. @not: a processor that it does not mean, -1: none */
static void send(struct bt_machine *vm, const struct irq_message *m, int not )
{
	for (int i = 0; i < BT_CPUS_MAX; i++) {
		struct bt_vcpu *c = vm->cpu[i];

		if (!c || i == not || !is_meant(c, m->dest, m->logical))
			continue;
		post(c, m);
		if (m->mode == IRQ_LOWEST)
			break;
	}
}

static void from_ioapic(void *arg, const struct irq_message *m)
{
	send(arg, m, -1);
}

void bt__irqs_init(struct bt_machine *vm)
{
	ioapic_init(&vm->ioapic, from_ioapic, vm);
	pic_init(&vm->pic);
}

/* extint_show() - the 8259's line to the first processor; vm->lock is held. */
static void extint_show(struct bt_machine *vm)
{
	struct bt_vcpu *c = vm->cpu[0];
	uint32_t up = pic_output(&vm->pic);

	if (!c || __atomic_exchange_n(&c->x->extint, up, __ATOMIC_SEQ_CST) == up)
		return;
	if (up)
		bt__notify(c);
}

int bt__irq_set(struct engine_vm *v, unsigned gsi, bool level)
{
	struct bt_machine *vm = bt__vm(v);

	if (vm->no_irqchip)
		return -EOPNOTSUPP;
	pthread_mutex_lock(&vm->lock);
	pic_line(&vm->pic, gsi, level);
	extint_show(vm);
	ioapic_line(&vm->ioapic, gsi, level);
	pthread_mutex_unlock(&vm->lock);
	return 0;
}

int bt__msi_send(struct engine_vm *v, uint64_t addr, uint32_t data)
{
	struct bt_machine *vm = bt__vm(v);
	const struct irq_message m = {
		.dest = (uint32_t)(addr >> 12 & 0xff),
		.logical = addr & 4,
		.vector = (uint8_t)data,
		.mode = (enum irq_mode)(data >> 8 & 7),
		.level = data >> 15 & 1,
	};

	if (vm->no_irqchip)
		return -EOPNOTSUPP;
	if (addr >> 20 != 0xfee)
		return -EINVAL;
	pthread_mutex_lock(&vm->lock);
	send(vm, &m, -1);
	pthread_mutex_unlock(&vm->lock);
	return 0;
}

void bt__irq_ipi(struct bt_machine *vm, unsigned from, uint32_t dest, uint32_t low)
{
	unsigned to = low >> 18 & 3;
	const struct irq_message m = {
		.dest = to == TO_DEST ? dest : ALL,
		.logical = to == TO_DEST && low & ICR_LOGICAL,
		.vector = (uint8_t)low,
		.mode = (enum irq_mode)(low >> 8 & 7),
	};

	if (to != TO_DEST && to != TO_ALL && to != TO_OTHERS)
		return;
	pthread_mutex_lock(&vm->lock);
	send(vm, &m, (int)from); /* its own part it has taken itself */
	pthread_mutex_unlock(&vm->lock);
}

void bt__irq_kick(struct bt_machine *vm, uint32_t cpus)
{
	pthread_mutex_lock(&vm->lock);
	for (; cpus; cpus &= cpus - 1)
		if (vm->cpu[__builtin_ctz(cpus)])
			bt__notify(vm->cpu[__builtin_ctz(cpus)]);
	pthread_mutex_unlock(&vm->lock);
}

void bt__irq_eoi(struct bt_machine *vm, unsigned vector)
{
	pthread_mutex_lock(&vm->lock);
	ioapic_eoi(&vm->ioapic, vector);
	pthread_mutex_unlock(&vm->lock);
}

uint8_t bt__irq_acknowledge(struct bt_machine *vm)
{
	uint8_t vector;

	pthread_mutex_lock(&vm->lock);
	vector = pic_acknowledge(&vm->pic);
	extint_show(vm);
	pthread_mutex_unlock(&vm->lock);
	return vector;
}

static void ioapic_access(struct bt_machine *vm, bool write, unsigned offset, unsigned size, uint8_t *data)
{
	uint32_t value = 0;

	if (write) {
		memcpy(&value, data, size < 4 ? size : 4);
		ioapic_write(&vm->ioapic, offset, value);
	} else {
		value = ioapic_read(&vm->ioapic, offset);
		memcpy(data, &value, size < 4 ? size : 4);
	}
}

static void pic_access(struct bt_machine *vm, bool write, uint16_t port, uint8_t *data)
{
	if (write)
		pic_write(&vm->pic, port, *data);
	else
		*data = pic_read(&vm->pic, port);
	extint_show(vm);
}

bool bt__irq_access(struct bt_machine *vm, bool port, bool write, uint64_t addr, unsigned size, uint8_t *data)
{
	if (vm->no_irqchip || (port ? !pic_has_port((uint16_t)addr) : addr - IOAPIC_BASE >= IOAPIC_BYTES))
		return false;
	pthread_mutex_lock(&vm->lock);
	if (port)
		pic_access(vm, write, (uint16_t)addr, data);
	else
		ioapic_access(vm, write, (unsigned)(addr - IOAPIC_BASE), size, data);
	pthread_mutex_unlock(&vm->lock);
	return true;
}

/* --- saved form: the same as the kvm engine's ------------------------------------------------------------------------ */

static uint64_t now_ns(void)
{
	return (uint64_t)time_now_ns(CLOCK_MONOTONIC);
}

void bt__vm_save(struct engine_vm *v, struct record_out *o, struct err *e)
{
	struct bt_machine *vm = bt__vm(v);

	(void)e;
	if (!vm->no_irqchip) {
		pthread_mutex_lock(&vm->lock);
		record_begin(o, "irqchip", RECORD_IRQCHIP);
		pic_save(&vm->pic, o);
		ioapic_save(&vm->ioapic, o);
		record_end(o);
		pthread_mutex_unlock(&vm->lock);
	}
	record_begin_optional(o, TAG_AHEAD, RECORD_AHEAD); /* an engine whose clock is no TSC skips it */
	record_put_u64(o, vm->clock_ahead);
	record_end(o);
	record_begin(o, "clock", RECORD_CLOCK);
	record_put_u64(o, now_ns() - vm->clock_base);
	record_put_u64(o, (uint64_t)time_now_ns(CLOCK_REALTIME));
	record_end(o);
}

/* clock_tell() - every processor writes its guest's clock anew, which none of them runs meanwhile. */
static int clock_tell(struct bt_machine *vm)
{
	int r = 0;

	for (unsigned i = 0; i < BT_CPUS_MAX && r >= 0; i++) {
		struct bt_vcpu *c = vm->cpu[i];

		if (!c)
			continue;
		pthread_mutex_lock(&c->lock);
		c->x->clock_ahead = vm->clock_ahead;
		r = bt__command(c, BT_CLOCK);
		pthread_mutex_unlock(&c->lock);
	}
	return r;
}

static void ahead_restore(struct bt_machine *vm, struct record_in *in)
{
	char tag[RECORD_TAG_MAX + 1];
	int r;

	if (!record_peek(in, tag) || !str_eq(tag, TAG_AHEAD) || !record_open(in, TAG_AHEAD, RECORD_AHEAD))
		return;
	vm->clock_ahead = record_get_u64(in);
	record_close(in);
	r = in->rc == 0 ? clock_tell(vm) : 0;
	if (r < 0)
		record_fail(in, "the processors' clocks: %s", err_name(-r));
}

void bt__vm_restore(struct engine_vm *v, struct record_in *in)
{
	struct bt_machine *vm = bt__vm(v);
	uint16_t version;

	if (!vm->no_irqchip && record_open(in, "irqchip", RECORD_IRQCHIP)) {
		pthread_mutex_lock(&vm->lock);
		pic_restore(&vm->pic, in);
		ioapic_restore(&vm->ioapic, in);
		extint_show(vm);
		pthread_mutex_unlock(&vm->lock);
		record_close(in);
	}
	ahead_restore(vm, in);
	version = record_open(in, "clock", RECORD_CLOCK);
	if (!version)
		return;
	vm->clock_base = now_ns() - record_get_u64(in);
	vm->real = version > 1 ? record_get_u64(in) : 0;
	vm->real_base = vm->real - now_ns();
	record_close(in);
}

int bt__vm_catch_up(struct engine_vm *v, struct err *e)
{
	struct bt_machine *vm = bt__vm(v);
	int64_t lost = (int64_t)((uint64_t)time_now_ns(CLOCK_REALTIME) - (now_ns() + vm->real_base));
	int r = 0;

	if (!vm->real)
		return err_set(e, EINVAL, "the clock: the snapshot does not say what time it was then");
	if (lost > 0) { /* the host's clock may have been put back since: a guest's never is */
		vm->clock_ahead += (uint64_t)lost;
		vm->clock_base -= (uint64_t)lost;
		vm->real_base += (uint64_t)lost;
		r = clock_tell(vm);
	}
	return r < 0 ? err_sys(e, -r, "the processors' clocks") : 0;
}
