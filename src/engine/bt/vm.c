/* SPDX-License-Identifier: Apache-2.0 */
/* vm.c - the bt engine: can this host, the machine, its memory and doorbells; and the table of all that it does */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/time.h"
#include "engine/bt/bt_internal.h"
#include "sys/call.h"
#include "sys/file.h"

#define EXCHANGES_BYTES (BT_CPUS_MAX * BT_EXCHANGE_STRIDE)

static size_t code_bytes(const struct bt_machine *vm)
{
	return (vm->n_cpus + 1) * BT_CODE_BYTES;
}

static void vm_free(struct engine_vm *v)
{
	struct bt_machine *vm = bt__vm(v);

	if (!vm)
		return;
	for (unsigned i = 0; i < BT_FILES_MAX; i++)
		if (vm->file[i].slots)
			close(vm->file[i].fd);
	if (vm->exchanges)
		munmap(vm->exchanges, EXCHANGES_BYTES);
	if (vm->code)
		munmap((void *)(uintptr_t)vm->code, code_bytes(vm));
	fd_close(&vm->code_fd);
	fd_close(&vm->exchange_fd);
	pthread_mutex_destroy(&vm->lock);
	free(vm);
}

/* shared_make() - a file in memory that spaces share with us, and our mapping of it */
static int shared_make(const char *name, size_t bytes, int *ret_fd, void **ret_p)
{
	*ret_fd = file_memfd(name, MFD_CLOEXEC);
	if (*ret_fd < 0)
		return *ret_fd;
	if (ftruncate(*ret_fd, (off_t)bytes) < 0)
		return -errno;
	*ret_p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, *ret_fd, 0);
	if (*ret_p != MAP_FAILED)
		return 0;
	*ret_p = NULL;
	return -errno;
}

static int exchanges_make(struct bt_machine *vm)
{
	void *x = NULL, *code = NULL;
	int r = shared_make("hull-exchange", EXCHANGES_BYTES, &vm->exchange_fd, &x);

	vm->exchanges = x;
	if (r == 0)
		r = shared_make("hull-code", code_bytes(vm), &vm->code_fd, &code);
	vm->code = code;
	if (r == 0)
		vm->written = (uint64_t *)((uint8_t *)code + vm->n_cpus * BT_CODE_BYTES);
	return r;
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
	vm->exchange_fd = vm->code_fd = -1;
	vm->n_cpus = c->n_cpus;
	vm->no_irqchip = c->no_irqchip;
	vm->clock_base = (uint64_t)time_now_ns(CLOCK_MONOTONIC);
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

/* file_take() - the number of @m's file among ours, with one slot more in it; vm->lock is held. Return: -errno */
static int file_take(struct bt_machine *vm, const struct engine_mem *m)
{
	struct bt_file *f, *unused = NULL;
	struct stat st;

	if (fstat(m->fd, &st) < 0)
		return -errno;
	for (f = vm->file; f < vm->file + BT_FILES_MAX; f++) {
		if (!f->slots && !unused)
			unused = f;
		if (f->slots && f->dev == st.st_dev && f->ino == st.st_ino && f->readonly == m->readonly)
			break;
	}
	if (f == vm->file + BT_FILES_MAX) {
		int own = unused ? (int)SYS3(SYS_fcntl, m->fd, F_DUPFD_CLOEXEC, 0) : -ENOSPC;

		if (own < 0)
			return own;
		f = unused;
		*f = (struct bt_file){ .fd = own,
				       .readonly = m->readonly,
				       .dev = st.st_dev,
				       .ino = st.st_ino,
				       .age = ++vm->files_age };
	}
	f->slots++;
	return (int)(f - vm->file);
}

static void file_drop(struct bt_file *f)
{
	if (--f->slots == 0)
		close(f->fd);
}

/* syscalls(memory): sendmsg fcntl[1]=F_DUPFD_CLOEXEC fstat newfstatat[3]=AT_EMPTY_PATH */
static int vm_mem_set(struct engine_vm *v, const struct engine_mem *m, struct err *e)
{
	struct bt_machine *vm = bt__vm(v);
	struct engine_mem *s;
	int r = 0;

	if (m->slot >= BT_SLOTS_MAX)
		return err_set(e, ENOSPC, "memory slot %u: the bt engine has %d", m->slot, BT_SLOTS_MAX);
	if (m->size && (m->fd < 0 || !m->shared))
		return err_set(e, EOPNOTSUPP,
			       "memory slot %u: the bt engine wants memory that its processes can share: a "
			       "file mapped shared",
			       m->slot);
	s = &vm->slot[m->slot];
	pthread_mutex_lock(&vm->lock);
	if (m->size)
		r = file_take(vm, m);
	if (r >= 0 && s->size)
		file_drop(&vm->file[vm->slot_file[m->slot]]);
	if (r >= 0)
		*s = *m;
	if (r >= 0 && m->size)
		vm->slot_file[m->slot] = (uint8_t)r;
	pthread_mutex_unlock(&vm->lock);
	for (unsigned i = 0; i < BT_CPUS_MAX && r >= 0; i++)
		if (vm->cpu[i])
			r = bt__slot_changed(vm->cpu[i], m->slot);
	return r < 0 ? err_sys(e, -r, "memory slot %u", m->slot) : 0;
}

/* log_take() - the bits of @m's pages, whatever a space may have written there, go to @bits, whose first is that of its first page. */
static void log_take(uint64_t *written, const struct engine_mem *m, uint64_t *bits)
{
	const uint64_t first = m->gpa / 4096, end = first + m->size / 4096;

	for (uint64_t at = first & ~63ULL; at < end && at / 8 < BT_CODE_BYTES; at += 64) {
		uint64_t *word = &written[at / 64], own = ~0ULL, taken;

		if (at < first)
			own <<= first - at;
		if (end - at < 64)
			own &= (1ULL << (end - at)) - 1;
		if (!(__atomic_load_n(word, __ATOMIC_RELAXED) & own))
			continue;
		for (taken = __atomic_fetch_and(word, ~own, __ATOMIC_SEQ_CST) & own; taken;
		     taken &= taken - 1) {
			uint64_t page = at + (uint64_t)__builtin_ctzll(taken) - first;

			bits[page / 64] |= 1ULL << page % 64;
		}
	}
}

static int vm_dirty_get(struct engine_vm *v, unsigned slot, uint64_t *bits, size_t n_words)
{
	struct bt_machine *vm = bt__vm(v);
	struct engine_mem m = { 0 };

	pthread_mutex_lock(&vm->lock);
	if (slot < BT_SLOTS_MAX)
		m = vm->slot[slot];
	pthread_mutex_unlock(&vm->lock);
	if (!m.size || !m.log_dirty)
		return -ENOENT;
	if ((m.size / 4096 + 63) / 64 > n_words)
		return -EINVAL;
	log_take(vm->written, &m, bits);
	for (unsigned i = 0; i < BT_CPUS_MAX; i++)
		if (vm->cpu[i])
			bt__log_taken(vm->cpu[i]);
	return 0;
}

static void vm_mem_written(struct engine_vm *v, uint64_t gpa, uint64_t len)
{
	struct bt_machine *vm = bt__vm(v);

	for (uint64_t page = gpa / 4096; page <= (gpa + len - 1) / 4096 && page / 8 < BT_CODE_BYTES; page++)
		for (unsigned i = 0; i < vm->n_cpus; i++) {
			if (!(__atomic_load_n(&vm->code[i * BT_CODE_BYTES + page / 8], __ATOMIC_RELAXED) >>
				      (page & 7) &
			      1))
				continue;
			pthread_mutex_lock(&vm->lock);
			if (vm->cpu[i]) {
				bt_notice_put(&vm->cpu[i]->x->notices, BT_NOTICE_WRITTEN, page * 4096, 0);
				bt__notify(vm->cpu[i]);
			}
			pthread_mutex_unlock(&vm->lock);
		}
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
	.points = X86_POINTS_MAX,
	.probe = bt__host_check,
	.vm_new = vm_new,
	.vm_free = vm_free,
	.mem_set = vm_mem_set,
	.dirty_get = vm_dirty_get,
	.mem_written = vm_mem_written,
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
	.cpu_debug = bt__cpu_debug,
	.cpu_stats = bt__cpu_stats,
	.cpu_counters = bt__cpu_counters,
};
