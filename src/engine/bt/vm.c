/* SPDX-License-Identifier: Apache-2.0 */
/* vm.c - the bt engine: can this host, the machine, its memory and doorbells; and the table of all that it does */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/time.h"
#include "engine/bt/bt_internal.h"
#include "sys/call.h"
#include "sys/file.h"

#define EXCHANGES_BYTES (BT_CPUS_MAX * BT_EXCHANGE_STRIDE)

static void vm_free(struct engine_vm *v)
{
	struct bt_machine *vm = bt__vm(v);

	if (!vm)
		return;
	for (unsigned i = 0; i < BT_SLOTS_MAX; i++)
		if (vm->slot[i].size)
			close(vm->slot[i].fd);
	if (vm->exchanges)
		munmap(vm->exchanges, EXCHANGES_BYTES);
	fd_close(&vm->exchange_fd);
	pthread_mutex_destroy(&vm->lock);
	free(vm);
}

static int exchanges_make(struct bt_machine *vm)
{
	void *p;

	vm->exchange_fd = file_memfd("hull-exchange", MFD_CLOEXEC);
	if (vm->exchange_fd < 0)
		return vm->exchange_fd;
	if (ftruncate(vm->exchange_fd, EXCHANGES_BYTES) < 0)
		return -errno;
	p = mmap(NULL, EXCHANGES_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, vm->exchange_fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	vm->exchanges = p;
	return 0;
}

static int vm_new(struct engine_vm **ret_vm, const struct engine_config *c, struct err *e)
{
	struct bt_machine *vm;
	int r;

	if (c->split_irqchip)
		return err_set(e, EOPNOTSUPP, "the bt engine has no split interrupt controller");
	vm = calloc(1, sizeof(*vm));
	if (!vm)
		return err_sys(e, ENOMEM, "a machine");
	vm->vm.ops = &engine_bt;
	vm->exchange_fd = -1;
	vm->no_irqchip = c->no_irqchip;
	vm->clock_base = time_now_ns(CLOCK_MONOTONIC);
	pthread_mutex_init(&vm->lock, NULL);
	bt__irqs_init(vm);
	r = exchanges_make(vm);
	if (r < 0) {
		vm_free(&vm->vm);
		return err_sys(e, -r, "a machine");
	}
	*ret_vm = &vm->vm;
	return 0;
}

/* syscalls(memory): sendmsg fcntl[1]=F_DUPFD_CLOEXEC */
static int vm_mem_set(struct engine_vm *v, const struct engine_mem *m, struct err *e)
{
	struct bt_machine *vm = bt__vm(v);
	struct engine_mem was, now = *m;
	int r = 0;

	if (m->slot >= BT_SLOTS_MAX)
		return err_set(e, ENOSPC, "memory slot %u: the bt engine has %d", m->slot, BT_SLOTS_MAX);
	if (m->size && (m->fd < 0 || !m->shared))
		return err_set(e, EOPNOTSUPP,
			       "memory slot %u: the bt engine wants memory that its processes can share: a "
			       "file mapped shared",
			       m->slot);
	if (m->size)
		now.fd = (int)SYS3(SYS_fcntl, m->fd, F_DUPFD_CLOEXEC, 0);
	if (m->size && now.fd < 0)
		return err_sys(e, -now.fd, "memory slot %u", m->slot);
	pthread_mutex_lock(&vm->lock);
	was = vm->slot[m->slot];
	vm->slot[m->slot] = now;
	pthread_mutex_unlock(&vm->lock);
	if (was.size)
		close(was.fd);
	for (unsigned i = 0; i < BT_CPUS_MAX && r >= 0; i++)
		if (vm->cpu[i])
			r = bt__slot_changed(vm->cpu[i], m->slot);
	return r < 0 ? err_sys(e, -r, "memory slot %u", m->slot) : 0;
}

static int vm_ioeventfd(struct engine_vm *v, bool port, uint64_t addr, unsigned len, int64_t match, int fd,
			bool on)
{
	struct bt_machine *vm = bt__vm(v);
	int r = on ? -ENOSPC : -ENOENT;

	pthread_mutex_lock(&vm->lock);
	if (on && vm->n_doorbells < BT_DOORBELLS_MAX) {
		vm->doorbell[vm->n_doorbells++] = (struct bt_doorbell){
			.addr = addr, .match = match, .len = len, .port = port, .fd = fd
		};
		r = 0;
	}
	for (unsigned i = 0; !on && i < vm->n_doorbells; i++) {
		const struct bt_doorbell *d = &vm->doorbell[i];

		if (d->port != port || d->addr != addr || d->len != len || d->match != match || d->fd != fd)
			continue;
		vm->doorbell[i] = vm->doorbell[--vm->n_doorbells];
		r = 0;
		break;
	}
	pthread_mutex_unlock(&vm->lock);
	return r;
}

const struct engine_ops engine_bt = {
	.name = "bt",
	.shared_memory = true,
	.slots = BT_SLOTS_MAX,
	.probe = bt__host_check,
	.vm_new = vm_new,
	.vm_free = vm_free,
	.mem_set = vm_mem_set,
	.irq_set = bt__irq_set,
	.msi_send = bt__msi_send,
	.ioeventfd = vm_ioeventfd,
	.cpuid_host = bt__cpuid_host,
	.vm_save = bt__vm_save,
	.vm_restore = bt__vm_restore,
	.vm_catch_up = bt__vm_catch_up,
	.cpu_new = bt__cpu_new,
	.cpu_free = bt__cpu_free,
	.cpu_cpuid = bt__cpu_cpuid,
	.cpu_run = bt__cpu_run,
	.cpu_kick = bt__cpu_kick,
	.cpu_get = bt__cpu_get,
	.cpu_set = bt__cpu_set,
	.cpu_nmi = bt__cpu_nmi,
	.cpu_stats = bt__cpu_stats,
	.cpu_counters = bt__cpu_counters,
};
