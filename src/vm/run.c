/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run.c - a thread for each processor: run, answer, park, leave
 *
 * Theory of operation. m->want is what all processors are to do; whoever changes it kicks them all. A thread runs its processor,
 * answers its accesses, and looks at m->want when a run ends with a kick (engine.h: nothing is half done then):
 *
 *	RUN    run on
 *	PAUSE  park: leave n_inside, sleep on m->changed until it is something else
 *	STOP   leave n_inside for good and end
 *
 * Besides, a debugger may hold processors (debugger.c): one that is held parks as if it were paused, whatever is wanted. Which
 * are held says he, and a processor that has come to where he wants it holds all of them.
 *
 * n_inside says how many may touch the machine; the loop thread waits for 0 after PAUSE and joins the threads after STOP.
 * A processor that ends the machine sets STOP itself, so that its fellows stop at once, and the loop tells the owner.
 *
 * Lock order: a device's lock, then m->lock. The loop waits for processors only while it holds neither.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/err.h"
#include "base/str.h"
#include "sys/sched.h"
#include "vm/jail.h"
#include "vm/machine_internal.h"
#include "vm/serial.h"

enum {
	THREAD_STACK_BYTES = 256 * 1024, /* touched as needed; a chain of a queue takes 8 KiB of it */
	SERIAL_FLUSH_MS = 1000,          /* without anybody reading */
};

static void wake_loop(struct machine *m)
{
	const uint64_t one = 1;
	ssize_t n = write(m->wake_fd, &one, sizeof(one));

	(void)n; /* fails only when the loop has 2^64 - 2 reasons to wake up already */
}

static void kick_all(struct machine *m)
{
	for (unsigned i = 0; i < m->n_cpus; i++)
		if (m->cpu[i].cpu)
			engine_cpu_kick(m->cpu[i].cpu);
}

static void want_set(struct machine *m, enum machine_want want)
{
	__atomic_store_n(&m->want, want,
			 __ATOMIC_RELEASE); /* m->lock is held; read without it by want_get() */
}

static enum machine_want want_get(const struct machine *m)
{
	return __atomic_load_n(&m->want, __ATOMIC_ACQUIRE);
}

/* held_set() - m->lock is held. */
static void held_set(struct machine *m, uint32_t cpus, bool held)
{
	for (unsigned i = 0; i < m->n_cpus; i++)
		if (cpus >> i & 1)
			__atomic_store_n(&m->cpu[i].held, held, __ATOMIC_RELEASE); /* read by is_held() */
}

void machine__end(struct machine *m, enum machine_end how, int status, const char *why)
{
	pthread_mutex_lock(&m->lock);
	if (m->end == MACHINE_END_NONE) {
		m->end = how;
		m->end_status = status;
		str_copy(m->end_why, sizeof(m->end_why), why);
	}
	want_set(m, MACHINE_WANT_STOP);
	pthread_cond_broadcast(&m->changed);
	pthread_mutex_unlock(&m->lock);
	kick_all(m);
	wake_loop(m);
}

void machine__boot_timer(struct machine *m)
{
	pthread_mutex_lock(&m->lock);
	if (!m->boot_timer_hit) {
		m->boot_wall = time_now_ns(CLOCK_MONOTONIC) - m->made_wall;
		m->boot_cpu = time_now_ns(CLOCK_PROCESS_CPUTIME_ID) - m->made_cpu;
	}
	m->boot_timer_hit = true;
	pthread_mutex_unlock(&m->lock);
	wake_loop(m);
}

/* --- a processor's thread ------------------------------------------------------------------------------------ */

static void count(uint64_t *n)
{
	__atomic_store_n(n, *n + 1, __ATOMIC_RELAXED); /* one writer; metrics read it */
}

static void answer_io(struct machine_cpu *c, const struct engine_exit *x)
{
	struct machine *m = c->m;

	count(x->write ? &c->n_io_out : &c->n_io_in);
	for (uint32_t i = 0; i < x->count; i++) {
		uint8_t *data = x->data + (size_t)i * x->size;

		if (x->write)
			bus_write(&m->ports, x->addr, data, x->size);
		else
			bus_read(&m->ports, x->addr, data, x->size);
	}
}

static void answer_mmio(struct machine_cpu *c, const struct engine_exit *x)
{
	struct machine *m = c->m;

	count(x->write ? &c->n_mmio_write : &c->n_mmio_read);
	if (x->write)
		bus_write(&m->mmio, x->addr, x->data, x->size);
	else
		bus_read(&m->mmio, x->addr, x->data, x->size);
}

/* stop_here() - for the debugger: everybody does, and the loop tells him. */
static void stop_here(struct machine_cpu *c, const struct engine_exit *x)
{
	struct machine *m = c->m;

	if (!m->debugger) {
		machine__end(m, MACHINE_END_ERROR, 0, "a debug exit nobody asked for");
		return;
	}
	pthread_mutex_lock(&m->lock);
	if (!m->stop.hit)
		m->stop = (struct machine_stop){
			.hit = true, .cpu = (unsigned)(c - m->cpu), .addr = x->addr, .size = x->size
		};
	held_set(m, ~0U, true);
	pthread_mutex_unlock(&m->lock);
	kick_all(m);
	wake_loop(m);
}

/* answer() - everything but a kick. */
static void answer(struct machine_cpu *c, const struct engine_exit *x)
{
	struct machine *m = c->m;

	switch (x->kind) {
	case ENGINE_EXIT_IO: answer_io(c, x); break;
	case ENGINE_EXIT_MMIO: answer_mmio(c, x); break;
	case ENGINE_EXIT_HALT: machine__end(m, MACHINE_END_HALT, 0, "the guest halted for good"); break;
	case ENGINE_EXIT_SHUTDOWN: machine__end(m, MACHINE_END_SHUTDOWN, 0, "a triple fault"); break;
	case ENGINE_EXIT_RESET: machine__end(m, MACHINE_END_HALT, 0, "the guest reset itself"); break;
	case ENGINE_EXIT_DEBUG: stop_here(c, x); break;
	case ENGINE_EXIT_ERROR:
		count(&c->n_failures);
		machine__end(m, MACHINE_END_ERROR, 0, x->text);
		break;
	case ENGINE_EXIT_KICKED:
	case ENGINE_EXIT_COUNT: break;
	}
}

/* run_until_kicked() - returns after a kick, a stop for the debugger, or an end. */
static void run_until_kicked(struct machine_cpu *c)
{
	struct engine_exit x;

	do {
		int r = engine_cpu_run(c->cpu, &x);

		if (r < 0) {
			machine__end(c->m, MACHINE_END_ERROR, 0, err_name(-r));
			return;
		}
		answer(c, &x);
	} while (x.kind != ENGINE_EXIT_KICKED && x.kind != ENGINE_EXIT_DEBUG &&
		 want_get(c->m) != MACHINE_WANT_STOP);
}

static bool is_held(const struct machine_cpu *c)
{
	return __atomic_load_n(&c->held, __ATOMIC_ACQUIRE);
}

/* is_parked() - m->lock is held. */
static bool is_parked(const struct machine_cpu *c)
{
	enum machine_want want = c->m->want;

	return want == MACHINE_WANT_PAUSE || (want == MACHINE_WANT_RUN && is_held(c));
}

/* gate() - waits while the machine is paused, or the processor held. Return: whether to go on. */
static bool gate(struct machine_cpu *c)
{
	struct machine *m = c->m;
	bool go;

	if (want_get(m) == MACHINE_WANT_RUN && !is_held(c))
		return true;
	pthread_mutex_lock(&m->lock);
	if (is_parked(c)) {
		m->n_inside--;
		pthread_cond_broadcast(&m->changed);
		while (is_parked(c))
			pthread_cond_wait(&m->changed, &m->lock);
		m->n_inside++;
	}
	go = m->want == MACHINE_WANT_RUN;
	pthread_mutex_unlock(&m->lock);
	return go;
}

/* pin() - to its own host processors. Later it may not ask for that any more. */
static int pin(const struct machine_cpu *c, struct err *e)
{
	const struct strv *pin = &c->m->config.pin;
	size_t i = (size_t)(c - c->m->cpu);
	int r = i < pin->len ? sched_set_affinity(pin->item[i]) : 0;

	return r < 0 ? err_sys(e, -r, "processor %zu on host processors %s", i, pin->item[i]) : 0;
}

static void *cpu_main(void *arg)
{
	struct machine_cpu *c = arg;
	struct machine *m = c->m;

	struct err e = { 0 };
	char name[16];

	str_format(name, sizeof(name), "cpu %u", (unsigned)(c - m->cpu));
	pthread_setname_np(pthread_self(), name); /* from outside it would take a file of /proc */
	if (pin(c, &e) < 0)
		machine__end(m, MACHINE_END_ERROR, 0, e.text);
	if (m->config.jail.on && jail_filter(JAIL_CPU | m->work, m->config.jail.trap, &e) < 0)
		machine__end(m, MACHINE_END_ERROR, 0, e.text);
	while (gate(c))
		run_until_kicked(c);
	pthread_mutex_lock(&m->lock);
	m->n_inside--;
	pthread_cond_broadcast(&m->changed);
	pthread_mutex_unlock(&m->lock);
	return NULL;
}

/* --- the loop's side -------------------------------------------------------------------------------------------- */

static int thread_start(struct machine_cpu *c, const pthread_attr_t *attr, struct err *e)
{
	int r = pthread_create(&c->thread, attr, cpu_main, c);

	if (r != 0)
		return err_sys(e, r, "a processor's thread");
	c->has_thread = true;
	return 0;
}

/*
 * machine__threads_start() - with the process's signals blocked: those are the loop thread's; an engine lets through what it
 * needs. What a thread does to itself is its own: blocked, it would kill without asking the process's handler.
 */
int machine__threads_start(struct machine *m, enum machine_want want, struct err *e)
{
	static const int own[] = { SIGSYS, SIGSEGV, SIGBUS, SIGILL, SIGFPE };
	sigset_t all, old;
	pthread_attr_t attr;
	int r = 0;

	sigfillset(&all);
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		sigdelset(&all, own[i]);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, THREAD_STACK_BYTES);
	m->n_inside = m->n_cpus;
	want_set(m, want);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = machine__kinds_start(m, e);
	if (r == 0)
		r = machine__ahead_start(m, e);
	if (r == 0 && m->config.jail.on)
		r = jail_drop(e);
	for (unsigned i = 0; i < m->n_cpus && r == 0; i++)
		r = thread_start(&m->cpu[i], &attr, e);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	if (r < 0)
		machine__threads_want(m, MACHINE_WANT_STOP);
	return r;
}

static void join_all(struct machine *m)
{
	for (unsigned i = 0; i < m->n_cpus; i++)
		if (m->cpu[i].has_thread) {
			pthread_join(m->cpu[i].thread, NULL);
			m->cpu[i].has_thread = false;
		}
}

static void await_parked(struct machine *m)
{
	pthread_mutex_lock(&m->lock);
	while (m->n_inside > 0)
		pthread_cond_wait(&m->changed, &m->lock);
	pthread_mutex_unlock(&m->lock);
}

void machine__threads_want(struct machine *m, enum machine_want want)
{
	pthread_mutex_lock(&m->lock);
	if (m->want != MACHINE_WANT_STOP) /* from which there is no way back */
		want_set(m, want);
	pthread_cond_broadcast(&m->changed);
	pthread_mutex_unlock(&m->lock);
	if (want == MACHINE_WANT_RUN)
		return;
	kick_all(m);
	if (want == MACHINE_WANT_STOP) {
		join_all(m);
		return;
	}
	await_parked(m);
}

void machine__hold(struct machine *m)
{
	pthread_mutex_lock(&m->lock);
	held_set(m, ~0U, true);
	pthread_mutex_unlock(&m->lock);
	kick_all(m);
	await_parked(m);
}

void machine__release(struct machine *m, uint32_t cpus)
{
	pthread_mutex_lock(&m->lock);
	held_set(m, cpus, false);
	pthread_cond_broadcast(&m->changed);
	pthread_mutex_unlock(&m->lock);
}

bool machine__stopped(struct machine *m)
{
	bool hit;

	pthread_mutex_lock(&m->lock);
	hit = m->stop.hit;
	pthread_mutex_unlock(&m->lock);
	return hit;
}

bool machine__stop_take(struct machine *m, struct machine_stop *ret_stop)
{
	pthread_mutex_lock(&m->lock);
	*ret_stop = m->stop;
	m->stop.hit = false;
	pthread_mutex_unlock(&m->lock);
	return ret_stop->hit;
}

static void tell_boot_timer(struct machine *m)
{
	bool hit;

	pthread_mutex_lock(&m->lock);
	hit = m->boot_timer_hit && m->boot_wall != 0;
	pthread_mutex_unlock(&m->lock);
	if (!hit)
		return;
	if (m->ev.boot_timer)
		m->ev.boot_timer(m->ev.arg, m->boot_wall / 1000, m->boot_cpu / 1000);
	m->boot_wall = 0; /* told; the processors do not write it again */
}

/* machine__wake() - the loop thread: what processors have to say. */
void machine__wake(void *arg, uint32_t events)
{
	struct machine *m = arg;
	struct machine_events ev = m->ev;
	enum machine_end end;
	char why[MACHINE_WHY_MAX];
	uint64_t n;

	(void)events;
	if (read(m->wake_fd, &n, sizeof(n)) < 0)
		return;
	tell_boot_timer(m);
	machine__debugger_wake(m);
	pthread_mutex_lock(&m->lock);
	end = m->end;
	pthread_mutex_unlock(&m->lock);
	if (end == MACHINE_END_NONE || m->state == MACHINE_STOPPED)
		return;
	machine__threads_want(m, MACHINE_WANT_STOP);
	serial_flush(m->serial, SERIAL_FLUSH_MS);
	m->state = MACHINE_STOPPED;
	machine__debugger_ended(m);
	str_copy(why, sizeof(why), m->end_why);
	if (ev.ended) /* it may free the machine */
		ev.ended(ev.arg, end, m->end_status, why);
}
