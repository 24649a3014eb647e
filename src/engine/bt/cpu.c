/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpu.c - a processor of the bt engine, as its manager sees it
 *
 * Theory of operation. The thread that runs a processor gives its space the turn and sleeps until an exit. What belongs to
 * the engine's own controllers and doorbells is answered here, and the space goes on; the rest is the caller's. What the exchange
 * says is copied once into locals and checked, for the space is the guest's.
 *
 * Memory slots may be changed by any thread at any time. Each space has to be told while it does not run the guest: whoever
 * changes a slot does so himself where the processor is outside its guest, and else gets it out with a kick that the caller of
 * bt__cpu_run() never sees. Whoever takes the dirty log gets it out in the same way; a processor that is outside is told when it goes back.
 *
 * Lock order: a processor's lock, then the machine's.
 */
#include <errno.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/str.h"
#include "engine/bt/bt_internal.h"
#include "sys/call.h"
#include "sys/sock.h"

/* --- memory slots -------------------------------------------------------------------------------------------------- */

/* slot_tell() - c->lock is held. */
static int slot_tell(struct bt_vcpu *c, unsigned n)
{
	struct bt_machine *vm = bt__vm(c->cpu.vm);
	unsigned file;
	struct engine_mem m;
	struct bt_file f;
	bool new_file, close_file;
	ssize_t sent = 1;

	pthread_mutex_lock(&vm->lock);
	m = vm->slot[n];
	file = vm->slot_file[n];
	f = vm->file[file];
	new_file = m.size && c->file_age[file] != f.age;
	close_file = !m.size && !f.slots && c->file_age[file] == f.age;
	if (new_file)
		sent = sock_send_fd(c->space.sock, "", 1, f.fd);
	pthread_mutex_unlock(&vm->lock);
	if (sent < 0)
		return (int)sent;
	if (new_file || close_file)
		c->file_age[file] = new_file ? f.age : 0;
	c->x->slot = (struct bt_slot_set){ .slot = n,
					   .file = file,
					   .new_file = new_file,
					   .close_file = close_file,
					   .readonly = m.readonly,
					   .log = m.log_dirty,
					   .gpa = m.gpa,
					   .size = m.size,
					   .offset = m.fd_offset };
	return bt__command(c, BT_SLOT);
}

/* tell() - all that the space has not been told of; c->lock is held. */
static int tell(struct bt_vcpu *c)
{
	int r = c->log_todo ? bt__command(c, BT_PROTECT) : 0;

	c->log_todo = false;
	for (unsigned i = 0; i < BT_SLOT_WORDS; i++)
		while (c->slots_todo[i] && r >= 0) {
			unsigned n = i * 64 + (unsigned)__builtin_ctzll(c->slots_todo[i]);

			c->slots_todo[i] &= c->slots_todo[i] - 1;
			r = slot_tell(c, n);
		}
	pthread_cond_broadcast(&c->changed);
	return r;
}

/* come_out() - until the processor is outside its guest, or has been; c->lock is held. */
static void come_out(struct bt_vcpu *c)
{
	__atomic_store_n(&c->x->kick, 1, __ATOMIC_SEQ_CST);
	bt__notify(c);
	pthread_cond_wait(&c->changed, &c->lock);
}

int bt__slot_changed(struct bt_vcpu *c, unsigned slot)
{
	const uint64_t bit = 1ULL << slot % 64;
	uint64_t *todo = &c->slots_todo[slot / 64];
	int r = 0;

	pthread_mutex_lock(&c->lock);
	*todo |= bit;
	while (c->inside && *todo & bit)
		come_out(c);
	if (*todo & bit)
		r = tell(c);
	pthread_mutex_unlock(&c->lock);
	return r;
}

void bt__log_taken(struct bt_vcpu *c)
{
	pthread_mutex_lock(&c->lock);
	c->log_todo = true;
	while (c->inside && c->log_todo)
		come_out(c);
	pthread_mutex_unlock(&c->lock);
}

/* --- making --------------------------------------------------------------------------------------------------------- */

int bt__cpu_new(struct engine_vm *v, unsigned index, struct engine_cpu **ret_cpu, struct err *e)
{
	struct bt_machine *vm = bt__vm(v);
	struct bt_vcpu *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return err_sys(e, ENOMEM, "processor %u", index);
	c->cpu = (struct engine_cpu){ .vm = v, .index = index };
	c->x = (struct bt_exchange *)(vm->exchanges + index * BT_EXCHANGE_STRIDE);
	c->x->halt_exits = vm->no_irqchip;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->changed, NULL);
	r = bt__space_start(&c->space, vm, c->x, index, bt__tsc_khz(), e);
	if (r == 0) {
		pthread_mutex_lock(&vm->lock);
		for (unsigned i = 0; i < BT_SLOTS_MAX; i++)
			if (vm->slot[i].size)
				c->slots_todo[i / 64] |= 1ULL << i % 64;
		vm->cpu[index] = c;
		pthread_mutex_unlock(&vm->lock);
		r = tell(c);
		if (r < 0)
			err_sys(e, -r, "processor %u: guest memory", index);
	}
	if (r < 0) {
		bt__cpu_free(&c->cpu);
		return r;
	}
	*ret_cpu = &c->cpu;
	return 0;
}

void bt__cpu_free(struct engine_cpu *cpu)
{
	struct bt_vcpu *c = bt__cpu(cpu);
	struct bt_machine *vm = bt__vm(cpu->vm);

	pthread_mutex_lock(&vm->lock);
	if (vm->cpu[cpu->index] == c)
		vm->cpu[cpu->index] = NULL;
	pthread_mutex_unlock(&vm->lock);
	bt__space_end(&c->space);
	pthread_cond_destroy(&c->changed);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

/* --- running -------------------------------------------------------------------------------------------------------- */

void bt__cpu_kick(struct engine_cpu *cpu)
{
	struct bt_vcpu *c = bt__cpu(cpu);

	__atomic_store_n(&c->kicked, 1, __ATOMIC_SEQ_CST);
	__atomic_store_n(&c->x->kick, 1, __ATOMIC_SEQ_CST);
	bt__notify(c);
	SYS3(SYS_futex, &c->x->turn, FUTEX_WAKE,
	     1); /* whoever waits for the turn waits no longer than it takes now */
}

int bt__cpu_nmi(struct engine_cpu *cpu)
{
	struct bt_vcpu *c = bt__cpu(cpu);

	__atomic_store_n(&c->x->nmi, 1, __ATOMIC_SEQ_CST);
	bt__notify(c);
	return 0;
}

void bt__cpu_stats(struct engine_cpu *cpu, uint64_t by_kind[ENGINE_EXIT_COUNT])
{
	for (int i = 0; i < ENGINE_EXIT_COUNT; i++)
		by_kind[i] = __atomic_load_n(&bt__cpu(cpu)->exits[i], __ATOMIC_RELAXED);
}

/* bt__cpu_counters() - the space's own, as it says. */
unsigned bt__cpu_counters(struct engine_cpu *cpu, struct engine_counter *ret, unsigned max)
{
	static const char *const name[BT_COUNTER_COUNT] = {
		[BT_COUNT_BLOCKS] = "blocks",
		[BT_COUNT_INSNS] = "instructions-translated",
		[BT_COUNT_CACHE] = "cache-bytes",
		[BT_COUNT_ENTER] = "enter",
		[BT_COUNT_LINK] = "leave-direct",
		[BT_COUNT_INDIRECT] = "leave-indirect",
		[BT_COUNT_STEP] = "instructions-interpreted",
		[BT_COUNT_SYSCALL] = "syscalls",
		[BT_COUNT_IRET] = "irets",
		[BT_COUNT_FAULT] = "host-faults",
		[BT_COUNT_MAP] = "mappings-made",
		[BT_COUNT_UNMAP] = "ranges-unmapped",
		[BT_COUNT_FLUSH] = "flushes",
		[BT_COUNT_EXCEPTION] = "exceptions",
		[BT_COUNT_INTERRUPT] = "interrupts",
		[BT_COUNT_SIGNAL] = "signals",
		[BT_COUNT_CODE_FINE] = "code-stores",
		[BT_COUNT_CODE_PAGE] = "code-pages-dropped",
		[BT_COUNT_CODE_KILLS] = "code-blocks-dropped",
		[BT_COUNT_IO] = "io",
		[BT_COUNT_SWITCH] = "space-switches",
	};
	const struct bt_exchange *x = bt__cpu(cpu)->x;
	unsigned n = 0;

	for (unsigned i = 0; i < BT_COUNTER_COUNT && n < max; i++)
		if (name[i])
			ret[n++] = (struct engine_counter){ name[i], __atomic_load_n(&x->counter[i],
										     __ATOMIC_RELAXED) };
	return n;
}

static void fail(struct engine_exit *x, struct bt_vcpu *c, int r)
{
	char why[128];

	x->kind = ENGINE_EXIT_ERROR;
	if (r == -ESRCH)
		bt__space_died(&c->space, why, sizeof(why));
	else
		str_copy(why, sizeof(why), r == -ETIMEDOUT ? "it does not answer" : err_name(-r));
	str_format(x->text, sizeof(x->text), "processor %u: its process: %s", c->cpu.index, why);
}

/* ring() - Return: whether it is a doorbell's */
static bool ring(struct bt_machine *vm, bool port, uint64_t addr, unsigned size, const uint8_t *data)
{
	const uint64_t one = 1;
	uint64_t value = 0;
	bool found = false;

	memcpy(&value, data, size);
	pthread_mutex_lock(&vm->lock);
	for (unsigned i = 0; i < vm->n_doorbells && !found; i++) {
		const struct bt_doorbell *d = &vm->doorbell[i];

		found = d->port == port && d->addr == addr && (!d->len || d->len == size) &&
			(d->match < 0 || (uint64_t)d->match == value);
		if (found)
			SYS3(SYS_write, d->fd, &one, sizeof(one));
	}
	pthread_mutex_unlock(&vm->lock);
	return found;
}

/* access_exit() - a port, or an address where there is no memory. Return: whether the caller has to answer it. */
static bool access_exit(struct bt_vcpu *c, bool port, struct engine_exit *x)
{
	struct bt_machine *vm = bt__vm(c->cpu.vm);
	const uint32_t size = c->x->size;

	if (size != 1 && size != 2 && size != 4 && size != 8) {
		fail(x, c, -EPROTO);
		return true;
	}
	*x = (struct engine_exit){ .kind = port ? ENGINE_EXIT_IO : ENGINE_EXIT_MMIO,
				   .write = c->x->write != 0,
				   .size = (uint8_t)size,
				   .count = 1,
				   .addr = c->x->addr,
				   .data = c->data };
	memset(c->data, 0, sizeof(uint64_t));
	if (x->write)
		memcpy(c->data, c->x->data, size);
	c->answer = !x->write;
	if (bt__irq_access(vm, port, x->write, x->addr, size, c->data))
		return false;
	return !(x->write && ring(vm, port, x->addr, size, c->data));
}

/* came() - what the space gave the turn back for. Return: whether it is the caller's. */
static bool came(struct bt_vcpu *c, struct engine_exit *x)
{
	struct bt_machine *vm = bt__vm(c->cpu.vm);

	switch (c->x->exit) {
	case BT_EXIT_IO: return access_exit(c, true, x);
	case BT_EXIT_MMIO: return access_exit(c, false, x);
	case BT_EXIT_EOI: bt__irq_eoi(vm, (uint8_t)c->x->addr); return false;
	case BT_EXIT_IPI: bt__irq_ipi(vm, c->cpu.index, (uint32_t)c->x->addr, c->x->size); return false;
	case BT_EXIT_KICK_OTHERS: bt__irq_kick(vm, (uint32_t)c->x->addr); return false;
	case BT_EXIT_ACKNOWLEDGE:
		c->data[0] = bt__irq_acknowledge(vm);
		c->answer = true;
		return false;
	case BT_EXIT_KICKED:
		x->kind = ENGINE_EXIT_KICKED;
		return __atomic_exchange_n(&c->kicked, 0, __ATOMIC_SEQ_CST);
	case BT_EXIT_HALT: x->kind = ENGINE_EXIT_HALT; return true;
	case BT_EXIT_SHUTDOWN: x->kind = ENGINE_EXIT_SHUTDOWN; return true;
	case BT_EXIT_DEBUG:
		*x = (struct engine_exit){ .kind = ENGINE_EXIT_DEBUG,
					   .size = (uint8_t)c->x->size,
					   .addr = c->x->addr };
		return true;
	case BT_EXIT_ERROR:
		x->kind = ENGINE_EXIT_ERROR;
		memcpy(x->text, c->x->text, sizeof(x->text));
		x->text[sizeof(x->text) - 1] = '\0';
		return true;
	default: fail(x, c, -EPROTO); return true;
	}
}

/*
 * stay() - the thread stays where it is, for as long as its space calls it often; now and then the host may move it. A hand-over on one
 * core costs a tenth of one between two.
 *
 * syscalls(cpu): sched_setaffinity[0]=0 sched_getaffinity[0]=0
 */
static void stay(struct bt_vcpu *c)
{
	enum { LOOSEN_MS = 100 };
	nsec_t now = time_now_ns(CLOCK_MONOTONIC);
	int core = sched_getcpu();
	cpu_set_t one;

	if (!c->placed) {
		c->placed = sched_getaffinity(0, sizeof(c->allowed), &c->allowed) == 0;
		c->core = -1;
		for (int i = 0; i < BT_CORES_MAX && i < CPU_SETSIZE; i++)
			if (CPU_ISSET(i, &c->allowed))
				c->x->allowed[i / 64] |= 1ULL << i % 64;
	}
	if (!c->placed || core < 0 || core >= CPU_SETSIZE)
		return;
	if (now - c->loosened > LOOSEN_MS * NSEC_PER_MSEC) {
		c->loosened = now;
		core = -1;
	}
	if (core == c->core)
		return;
	CPU_ZERO(&one);
	if (core >= 0)
		CPU_SET(core, &one);
	sched_setaffinity(0, sizeof(one), core >= 0 ? &one : &c->allowed);
	c->core = core;
}

int bt__cpu_run(struct engine_cpu *cpu, struct engine_exit *x)
{
	struct bt_vcpu *c = bt__cpu(cpu);
	int r;

	*x = (struct engine_exit){ 0 };
	pthread_mutex_lock(&c->lock);
	do {
		stay(c);
		r = tell(c);
		if (r < 0)
			break;
		if (c->answer)
			memcpy(c->x->data, c->data, sizeof(uint64_t));
		c->answer = false;
		c->x->command = BT_RUN;
		c->inside = true;
		pthread_mutex_unlock(&c->lock);
		r = bt__turn(&c->space, c->x, &c->kicked);
		pthread_mutex_lock(&c->lock);
		c->inside = false;
	} while (r == 0 && !came(c, x));
	if (r < 0)
		fail(x, c, r);
	pthread_cond_broadcast(&c->changed);
	pthread_mutex_unlock(&c->lock);
	__atomic_store_n(&c->exits[x->kind], c->exits[x->kind] + 1, __ATOMIC_RELAXED); /* one writer */
	return 0;
}

/* --- state ---------------------------------------------------------------------------------------------------------- */

static int state_error(struct bt_vcpu *c, int r, const char *what, struct err *e)
{
	char why[128];

	if (r != -ESRCH)
		return err_sys(e, -r, "processor %u: %s", c->cpu.index, what);
	bt__space_died(&c->space, why, sizeof(why));
	return err_set(e, EIO, "processor %u: its process: %s", c->cpu.index, why);
}

/* bt__cpu_get() - what comes from a space is checked by whoever sets it: for this process it is a number of bytes. */
int bt__cpu_get(struct engine_cpu *cpu, struct x86_state *s, struct err *e)
{
	struct bt_vcpu *c = bt__cpu(cpu);
	int r;

	pthread_mutex_lock(&c->lock);
	r = bt__command(c, BT_GET);
	if (r == 0)
		memcpy(s, &c->x->state, sizeof(*s));
	pthread_mutex_unlock(&c->lock);
	if (r < 0)
		return state_error(c, r, "read its state", e);
	if (s->n_msrs > X86_MSRS_MAX || s->xsave_len > X86_XSAVE_MAX || (unsigned)s->run >= X86_RUN_COUNT)
		return state_error(c, -EPROTO, "read its state", e);
	s->tsc_khz = bt__tsc_khz();
	return 0;
}

int bt__cpu_set(struct engine_cpu *cpu, const struct x86_state *s, struct err *e)
{
	struct bt_vcpu *c = bt__cpu(cpu);
	int r;

	pthread_mutex_lock(&c->lock);
	memcpy(&c->x->state, s, sizeof(*s));
	r = bt__command(c, BT_SET);
	pthread_mutex_unlock(&c->lock);
	return r < 0 ? state_error(c, r, "set its state", e) : 0;
}

int bt__cpu_cpuid(struct engine_cpu *cpu, const struct x86_cpuid *table, unsigned n, struct err *e)
{
	struct bt_vcpu *c = bt__cpu(cpu);
	int r;

	if (n > BT_CPUID_MAX)
		return err_set(e, E2BIG, "processor %u: %u CPUID leaves, at most %d", cpu->index, n,
			       BT_CPUID_MAX);
	pthread_mutex_lock(&c->lock);
	memcpy(c->x->cpuid, table, n * sizeof(*table));
	c->x->n_cpuid = n;
	r = bt__command(c, BT_CPUID);
	pthread_mutex_unlock(&c->lock);
	return r < 0 ? state_error(c, r, "CPUID", e) : 0;
}

int bt__cpu_debug(struct engine_cpu *cpu, const struct x86_debug *d)
{
	struct bt_vcpu *c = bt__cpu(cpu);
	int r;

	pthread_mutex_lock(&c->lock);
	c->x->debug = *d;
	r = bt__command(c, BT_DEBUG);
	pthread_mutex_unlock(&c->lock);
	return r;
}
