/* SPDX-License-Identifier: Apache-2.0 */
/* machine.c - made, started, paused, resumed, stopped, freed; see machine.h */
#include "vm/machine.h"

#include <assert.h>
#include <errno.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "engine/speed.h"
#include "vm/boot.h"
#include "vm/jail.h"
#include "vm/machine_internal.h"
#include "vm/serial.h"

/* --- making ----------------------------------------------------------------------------------------------------- */

static int memory_add(struct machine *m, struct err *e)
{
	uint64_t bytes = m->config.mem_bytes;
	uint64_t low = bytes < BOARD_LOW_RAM_END ? bytes : BOARD_LOW_RAM_END;
	int r = machine__ram_add(m, 0, low, e);

	if (r == 0 && bytes > low)
		r = machine__ram_add(m, BOARD_HIGH_RAM, bytes - low, e);
	if (r == 0 && m->config.track_dirty)
		r = gmem_track(&m->mem, e);
	return r;
}

int machine__cpuid_keep(struct machine *m, unsigned i, const struct x86_cpuid *table, unsigned n,
			struct err *e)
{
	struct x86_cpuid *copy = malloc(n * sizeof(*copy) + 1);

	if (!copy)
		return err_sys(e, ENOMEM, "processor %u", i);
	memcpy(copy, table, n * sizeof(*copy));
	free(m->cpu[i].cpuid);
	m->cpu[i].cpuid = copy;
	m->cpu[i].n_cpuid = n;
	return engine_cpu_cpuid(m->cpu[i].cpu, table, n, e);
}

/* cpuid_set() - one processor's view; @host is what the engine offers, the same for all. */
static int cpuid_set(struct machine *m, unsigned i, const struct x86_cpuid *host, unsigned n_host,
		     struct x86_cpuid *table, struct err *e)
{
	unsigned n = n_host;
	int r;

	memcpy(table, host, n_host * sizeof(*host));
	r = cpuid_table(table, &n, m->config.cpu_model, i, m->n_cpus, m->config.smt ? 2 : 1, e);
	if (r == 0)
		r = machine_cpu_edit_cpuid(&m->config.cpu_edits, table, n, e);
	return r < 0 ? r : machine__cpuid_keep(m, i, table, n, e);
}

/* edits_set() - MSRs that a model or the user sets; the user's on the first processor are set with its registers. */
static int edits_set(struct machine *m, unsigned i, struct x86_state *s, struct err *e)
{
	bool edits = i > 0 && m->config.cpu_edits.n_msrs > 0;
	bool model = cpuid_model_has_msrs(m->config.cpu_model);
	int r;

	if (!edits && !model)
		return 0;
	r = engine_cpu_get(m->cpu[i].cpu, s, e);
	if (r == 0 && model)
		cpuid_model_msrs(m->config.cpu_model, s);
	if (r == 0 && edits)
		r = machine_cpu_edit_msrs(&m->config.cpu_edits, s, e);
	return r < 0 ? r : engine_cpu_set(m->cpu[i].cpu, s, e);
}

int machine__cpus_add(struct machine *m, struct err *e)
{
	int r = machine__devices_ring(m, e);

	m->n_cpus = m->config.cpus;
	for (unsigned i = 0; i < m->n_cpus && r == 0; i++) {
		m->cpu[i].m = m;
		r = engine_cpu_new(m->vm, i, &m->cpu[i].cpu, e);
	}
	return r;
}

/* cpus_show() - what processors say they are, before the first instruction. */
static int cpus_show(struct machine *m, struct cpu_scratch *s, unsigned n_host, struct err *e)
{
	int r = 0;

	for (unsigned i = 0; i < m->n_cpus && r == 0; i++) {
		r = cpuid_set(m, i, s->host, n_host, s->table, e);
		if (r == 0)
			r = edits_set(m, i, &s->state, e);
	}
	return r;
}

/* boot() - kernel and tables into memory, registers into the first processor. What the state leaves out stays as its reset is. */
static int boot(struct machine *m, struct x86_state *s, struct err *e)
{
	const struct machine_config *c = &m->config;
	struct boot_device dev[BOARD_DEVICES_MAX];
	struct boot_image b = {
		.mem = &m->mem,
		.kernel_name = c->kernel.path,
		.initrd_name = c->initrd.path,
		.kernel_fd = c->kernel.fd,
		.initrd_fd = c->initrd.fd,
		.cmdline = c->cmdline,
		.cpus = m->n_cpus,
		.serial = c->serial,
		.i8042 = c->i8042,
		.pvpanic = c->pvpanic,
		.vmgenid = c->vmgenid,
		.vmgenid_gsi = BOARD_GSI_VMGENID,
		.reset_port = BOARD_PORT_RESET,
		.reset_value = BOARD_RESET_VALUE,
		.sleep_port = BOARD_PORT_SLEEP,
		.hotplug_base = m->hotplug_base,
	};
	int r;

	machine__devices_boot(m, &b, dev);
	memcpy(b.guid, m->guid, sizeof(b.guid));
	memset(s, 0, sizeof(*s));
	r = boot_load(&b, s, e);
	if (r == 0)
		r = machine_cpu_edit_msrs(&c->cpu_edits, s, e);
	return r < 0 ? r : engine_cpu_set(m->cpu[0].cpu, s, e);
}

static int wake_add(struct machine *m, struct err *e)
{
	int r;

	m->wake = (struct loop_source){ .fd = -1, .ready = machine__wake, .arg = m };
	m->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (m->wake_fd < 0)
		return err_sys(e, errno, "eventfd");
	r = loop_add(m->loop, &m->wake, m->wake_fd, EPOLLIN);
	return r < 0 ? err_sys(e, -r, "the event loop") : 0;
}

/* memory_written() - by a device */
static void memory_written(void *arg, gpa_t addr, uint64_t len)
{
	struct engine_vm *vm = arg;

	vm->ops->mem_written(vm, addr, len);
}

/* engine_of() - as named. Auto: what a restored machine was saved on, where that can run; for an operating system what runs its kernel fast. */
static const struct engine_ops *engine_of(const struct machine *m, struct err *e)
{
	const struct machine_config *c = &m->config;
	const struct engine_ops *ops = NULL;

	if (!c->engine && m->source.engine)
		ops = engine_find(m->source.engine, NULL);
	else if (!c->engine && boot_is_system(c->kernel.fd))
		ops = engine_fastest(c->engine_dir, NULL);
	return ops ? ops : engine_find(c->engine, e);
}

/* vm_make() - an engine that has all of the controller itself shows no less than a split one: a snapshot goes on there. */
static int vm_make(struct machine *m, const struct engine_ops *ops, struct err *e)
{
	struct engine_config c = { .n_cpus = m->config.cpus, .split_irqchip = m->config.split_irqchip };
	int r = engine_vm_new(ops, &m->vm, &c, e);

	if (r != -EOPNOTSUPP || !c.split_irqchip || m->source.n == 0)
		return r;
	m->config.split_irqchip = c.split_irqchip = false;
	if (e)
		*e = (struct err){ 0 };
	return engine_vm_new(ops, &m->vm, &c, e);
}

int machine__make(struct machine *m, struct err *e)
{
	const struct engine_ops *ops = engine_of(m, e);
	int r;

	if (!ops)
		return e && e->code ? -e->code : -ENODEV;
	r = vm_make(m, ops, e);
	m->mem.marked = r == 0 && ops->mem_written ? memory_written : NULL;
	m->mem.marked_arg = m->vm;
	if (r == 0)
		r = memory_add(m, e);
	if (r == 0)
		r = machine__memory_begin(m, e);
	if (r == 0)
		r = wake_add(m, e);
	if (r == 0)
		r = machine__ends_add(m, e);
	if (r == 0)
		r = machine__board_add(m, e);
	if (r == 0)
		r = machine__devices_add(m, e);
	if (r == 0)
		r = machine__memory_show(m, e);
	return r < 0 ? r : machine__debugger_new(m, e);
}

struct machine *machine__alloc(struct loop *loop, const struct machine_events *ev)
{
	struct machine *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->made_wall = time_now_ns(CLOCK_MONOTONIC);
	m->made_cpu = time_now_ns(CLOCK_PROCESS_CPUTIME_ID);
	m->loop = loop;
	m->wake_fd = m->broker = -1;
	m->wake.fd = -1;
	if (ev)
		m->ev = *ev;
	pthread_mutex_init(&m->lock, NULL);
	pthread_cond_init(&m->changed, NULL);
	machine_config_defaults(&m->config);
	return m;
}

int machine_new(struct machine **ret_m, struct machine_config *c, struct loop *loop,
		const struct machine_events *ev, struct err *e)
{
	auto_free struct cpu_scratch *s = calloc(1, sizeof(*s));
	struct machine *m = s ? machine__alloc(loop, ev) : NULL;
	unsigned n_host = ENGINE_CPUID_MAX;
	int r;

	if (!m)
		return err_sys(e, ENOMEM, "a machine");
	r = machine_config_check(c, e);
	if (r == 0) {
		m->config = *c;
		machine_config_defaults(c);
		r = machine__make(m, e);
		if (r == 0)
			r = engine_cpuid_host(m->vm, s->host, &n_host, e);
		if (r == 0)
			r = machine__cpus_add(m, e);
		if (r == 0)
			r = cpus_show(m, s, n_host, e);
		if (r == 0)
			r = boot(m, &s->state, e);
		if (r < 0) { /* what was not used up is the caller's again */
			*c = m->config;
			machine_config_defaults(&m->config);
		}
	}
	if (r < 0) {
		machine_free(m);
		return r;
	}
	fd_close(&m->config.kernel.fd);
	fd_close(&m->config.initrd.fd);
	*ret_m = m;
	return 0;
}

void machine_free(struct machine *m)
{
	if (!m)
		return;
	machine__threads_want(m, MACHINE_WANT_STOP);
	machine__debugger_free(m);
	machine__ahead_free(m);
	machine__devices_free(m);
	free(m->told);
	for (unsigned i = 0; i < m->n_cpus; i++) {
		engine_cpu_free(m->cpu[i].cpu);
		free(m->cpu[i].cpuid);
	}
	machine__board_fini(m);
	loop_remove(m->loop, &m->wake);
	fd_close(&m->wake_fd);
	fd_close(&m->broker);
	engine_vm_free(m->vm);
	gmem_fini(&m->mem);
	machine_config_fini(&m->config);
	pthread_cond_destroy(&m->changed);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

/* --- states ----------------------------------------------------------------------------------------------------- */

enum verb { VERB_START, VERB_PAUSE, VERB_RESUME, VERB_STOP, VERB_COUNT };

/* work_of() - what devices do besides, in whichever thread (enum jail_work). */
static unsigned work_of(const struct machine_config *c)
{
	unsigned work = (c->vsock.on ? JAIL_SOCKETS : 0) | (c->pci ? JAIL_PCI : 0) |
			(c->split_irqchip ? JAIL_SPLIT : 0);

	for (unsigned i = 0; i < c->n_nets; i++)
		if (c->net[i].kind == MACHINE_NET_USER)
			work |= JAIL_NET;
	return work;
}

/* changes_of() - what the loop does besides when devices come, go and change. */
static unsigned changes_of(const struct machine_config *c)
{
	unsigned work = (c->pci ? JAIL_HOTPLUG | JAIL_RING | JAIL_MEMORY : 0) |
			(c->memhp.on ? JAIL_MEMORY : 0) | (c->gdb.fd >= 0 ? JAIL_DEBUG : 0);

	for (unsigned i = 0; i < c->n_drives && (c->jail.work & JAIL_API); i++) /* they may get other files */
		work |= JAIL_HOTPLUG | (c->drive[i].async ? JAIL_RING : 0);
	return work;
}

/* What serving files as their owners see them takes; they reach no further than the shares. */
#define SHARE_CAPS                                                                                           \
	(1ULL << CAP_CHOWN | 1ULL << CAP_DAC_OVERRIDE | 1ULL << CAP_DAC_READ_SEARCH | 1ULL << CAP_FOWNER |   \
	 1ULL << CAP_FSETID | 1ULL << CAP_SETUID | 1ULL << CAP_SETGID)

int machine__jail(struct machine *m, struct err *e)
{
	const struct machine_jail *j = &m->config.jail;
	struct jail_config c = { .uid = j->uid, .gid = j->gid, .may_stay = j->may_stay };

	c.host_net = work_of(&m->config) & JAIL_NET;
	if (m->config.n_shares && geteuid() == 0)
		c.keep_caps = SHARE_CAPS;
	if (!j->on || m->jailed)
		return 0;
	m->jailed = true;
	return jail_enter(&c, e);
}

/* run_first() - the first guest instruction in this process; what may not be reached from there is given up before. */
static int run_first(struct machine *m, struct err *e)
{
	const struct machine_jail *j = &m->config.jail;
	int r = machine__jail(m, e);

	m->work = work_of(&m->config);
	if (r == 0)
		r = machine__threads_start(m, MACHINE_WANT_RUN, e);
	if (r == 0 && j->on)
		r = jail_filter(JAIL_LOOP | j->work | m->work | changes_of(&m->config), j->trap, e);
	return r;
}

static int do_start(struct machine *m, struct err *e)
{
	return run_first(m, e);
}

static int do_pause(struct machine *m, struct err *e)
{
	(void)e;
	machine__threads_want(m, MACHINE_WANT_PAUSE);
	machine__devices_pause(m);
	return 0;
}

static int do_resume(struct machine *m, struct err *e)
{
	machine__devices_resume(m);
	if (m->n_cpus && !m->cpu[0].has_thread) /* restored: it has not run in this process */
		return run_first(m, e);
	machine__threads_want(m, MACHINE_WANT_RUN);
	return 0;
}

static int do_stop(struct machine *m, struct err *e)
{
	(void)e;
	machine__end(m, MACHINE_END_KILLED, 0, "stopped from outside");
	machine__threads_want(m, MACHINE_WANT_STOP);
	return 0;
}

static int do_nothing(struct machine *m, struct err *e)
{
	(void)m;
	(void)e;
	return 0;
}

/* What a verb does in a state; action NULL: it is refused. After a failure the state stays. */
static const struct {
	int (*action)(struct machine *m, struct err *e);
	enum machine_state next;
} step[][VERB_COUNT] = {
	[MACHINE_CONFIGURED] = { [VERB_START] = { do_start, MACHINE_RUNNING },
				 [VERB_STOP] = { do_stop, MACHINE_STOPPED } },
	[MACHINE_RUNNING] = { [VERB_PAUSE] = { do_pause, MACHINE_PAUSED },
			      [VERB_RESUME] = { do_nothing, MACHINE_RUNNING },
			      [VERB_STOP] = { do_stop, MACHINE_STOPPED } },
	[MACHINE_PAUSED] = { [VERB_PAUSE] = { do_nothing, MACHINE_PAUSED },
			     [VERB_RESUME] = { do_resume, MACHINE_RUNNING },
			     [VERB_STOP] = { do_stop, MACHINE_STOPPED } },
	[MACHINE_STOPPED] = { [VERB_STOP] = { do_nothing, MACHINE_STOPPED } },
};
static_assert(ARRAY_SIZE(step) == MACHINE_STATE_COUNT, "a row for each state");

static int verb_do(struct machine *m, enum verb verb, struct err *e)
{
	static const char *const verb_name[] = { "start", "pause", "resume", "stop" };
	static const char *const state_name[] = { "has not been started", "runs", "is paused", "has ended" };
	enum machine_state was = m->state;
	int r;

	static_assert(ARRAY_SIZE(verb_name) == VERB_COUNT && ARRAY_SIZE(state_name) == MACHINE_STATE_COUNT,
		      "");
	if (!step[was][verb].action)
		return err_set(e, EBUSY, "cannot %s: the machine %s", verb_name[verb], state_name[was]);
	r = step[was][verb].action(m, e);
	if (r == 0)
		m->state = step[was][verb].next;
	return r;
}

int machine_start(struct machine *m, struct err *e)
{
	return verb_do(m, VERB_START, e);
}

int machine_pause(struct machine *m, struct err *e)
{
	return verb_do(m, VERB_PAUSE, e);
}

int machine_resume(struct machine *m, struct err *e)
{
	return verb_do(m, VERB_RESUME, e);
}

void machine_stop(struct machine *m)
{
	enum machine_state was = m->state;

	verb_do(m, VERB_STOP, NULL);
	if (was == MACHINE_STOPPED)
		return;
	serial_flush(m->serial, 0);
	machine__debugger_ended(m);
	if (m->ev.ended)
		m->ev.ended(m->ev.arg, m->end, m->end_status, m->end_why);
}

enum machine_state machine_state(const struct machine *m)
{
	return m->state;
}

const struct machine_config *machine_config_of(const struct machine *m)
{
	return &m->config;
}
