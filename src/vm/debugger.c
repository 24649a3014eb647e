/* SPDX-License-Identifier: Apache-2.0 */
/*
 * debugger.c - gdb at a machine: its stub
 *
 * Theory of operation. One client at a time, on the loop thread; a second one is turned away. A client that comes stops the
 * machine, one that goes lets it run on. While it is stopped each processor's thread is parked (run.c: machine__hold()), so that its
 * state can be read and written here; while it runs the only thing that a client may say is "stop". A processor that comes to a
 * point, or has made its step, holds all of them, and the loop tells the client.
 *
 *	STOPPED  --continue, step-->  RUNNING  --point, step done, Ctrl-C-->  STOPPED
 *
 * A processor is a thread of gdb's, numbered from 1. Devices and clocks go on while the guest is stopped: it is they who do not
 * know. Points are the engine's (struct x86_debug): nothing is written into guest memory for them. Only memory is read and
 * written, by the page tables of the processor that gdb has chosen; a device's registers are never touched.
 *
 * The client counts as the machine's owner, for he may do with the guest whatever he likes, but not with hull: a packet is parsed
 * at one door (fmt/gdb.c), gets one answer, and the next is not read before that is sent.
 *
 * syscalls(debug): accept4 recvfrom sendto poll
 *
 * Spec: Debugging with GDB, appendix E
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "engine/debug.h"
#include "fmt/gdb.h"
#include "sys/call.h"
#include "sys/sock.h"
#include "vm/debugger_regs.h"
#include "vm/machine_internal.h"
#include "vm/walk.h"

enum {
	MEM_BYTES_MAX = GDB_PACKET_MAX / 2, /* of one read */
	SIGNAL_INT = 2,                     /* as gdb numbers them */
	SIGNAL_TRAP = 5,
	SIGNAL_ABORT = 6,
	SIGNAL_KILL = 9,
};

struct point {
	enum gdb_point kind;
	struct x86_point at;
};

struct machine_debugger {
	struct machine *m;
	struct loop_source listener, client;
	int fd;                   /* owned: the client's; -1: none */
	struct engine_debugs can; /* what the engine hears here */
	bool running, no_acks, tells_soft, tells_hard;
	unsigned cpu;  /* that reads and writes mean */
	int resumes;   /* the thread that the old commands to go on mean */
	uint32_t step; /* processors that make one step, a bit for each */
	struct point point[X86_POINTS_MAX];
	unsigned n_points;

	struct gdb_input in;
	uint8_t bytes[4096]; /* received, and not looked at from @at */
	size_t at, len;
	struct buf out; /* not sent yet */
	struct gdb_command cmd;
	int has_state; /* of which processor @state is; -1: none */
	struct x86_state state, before;
	uint8_t mem[MEM_BYTES_MAX];
};

/* --- answers ------------------------------------------------------------------------------------------------------ */

static void say_bytes(struct machine_debugger *d, const struct buf *b)
{
	gdb_put_packet(&d->out, buf_str(b), b->len);
}

static void say(struct machine_debugger *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct machine_debugger *d, const char *fmt, ...)
{
	char text[128];
	va_list ap;

	va_start(ap, fmt);
	str_vformat(text, sizeof(text), fmt, ap);
	va_end(ap);
	gdb_put_packet(&d->out, text, strlen(text));
}

/* say_result() - @r: 0 or -errno, whose number is what gdb shows */
static void say_result(struct machine_debugger *d, int r)
{
	if (r < 0)
		say(d, "E%02x", -r & 0xff);
	else
		say(d, "OK");
}

/* --- processors ---------------------------------------------------------------------------------------------------- */

static bool is_thread(const struct machine_debugger *d, int thread)
{
	return thread >= 1 && (unsigned)thread <= d->m->n_cpus;
}

/* state_of() - the processor's, which is parked. NULL: the engine cannot say. */
static struct x86_state *state_of(struct machine_debugger *d, unsigned cpu)
{
	if (d->has_state == (int)cpu)
		return &d->state;
	d->has_state = -1;
	if (engine_cpu_get(d->m->cpu[cpu].cpu, &d->state, NULL) < 0)
		return NULL;
	d->has_state = (int)cpu;
	return &d->state;
}

/* put() - what a debugger changes: all that goes on by itself (clocks, APIC, MSRs) stays as the processor has it. */
static int put(struct engine_cpu *cpu, struct x86_state *s)
{
	s->n_msrs = s->tsc_khz = 0;
	s->apic_base = s->xcr0 = s->dr7 = 0;
	memset(s->lapic, 0, sizeof(s->lapic));
	return engine_cpu_set(cpu, s, NULL);
}

static int state_put(struct machine_debugger *d)
{
	struct engine_cpu *cpu = d->m->cpu[d->has_state].cpu;
	int r = put(cpu, &d->state);

	if (r < 0)
		put(cpu, &d->before); /* it may have taken a part */
	d->has_state = -1;
	return r;
}

/* debug_of() - what processor @cpu is to stop for */
static struct x86_debug debug_of(const struct machine_debugger *d, unsigned cpu)
{
	struct x86_debug x = { .step = d->step >> cpu & 1, .n = d->n_points };

	for (unsigned i = 0; i < d->n_points; i++)
		x.point[i] = d->point[i].at;
	return x;
}

/* go_on() - those of @cpus. Return: 0; -errno: none of them does. */
static int go_on(struct machine_debugger *d, uint32_t cpus)
{
	int r = 0;

	for (unsigned i = 0; i < d->m->n_cpus && r == 0; i++)
		if (cpus >> i & 1) {
			const struct x86_debug x = debug_of(d, i);

			r = engine_cpu_debug(d->m->cpu[i].cpu, &x);
		}
	if (r < 0)
		return r;
	d->has_state = -1;
	d->running = true;
	machine__release(d->m, cpus);
	return 0;
}

/* let_go() - there is no debugger: the machine runs as if there never was one. */
static void let_go(struct machine_debugger *d)
{
	const struct x86_debug none = { 0 };

	machine__hold(d->m);
	for (unsigned i = 0; i < d->m->n_cpus; i++)
		engine_cpu_debug(d->m->cpu[i].cpu, &none);
	d->running = true;
	machine__release(d->m, ~0U);
}

/* --- why it stopped ------------------------------------------------------------------------------------------------ */

static const struct point *point_at(const struct machine_debugger *d, uint64_t addr, bool run)
{
	for (unsigned i = 0; i < d->n_points; i++)
		if (d->point[i].at.addr == addr && (d->point[i].at.kind == X86_POINT_RUN) == run)
			return &d->point[i];
	return NULL;
}

/* reason() - "swbreak:;", "watch:ADDR;" or nothing */
static void reason(struct machine_debugger *d, const struct machine_stop *stop, char *dst, size_t size)
{
	static const char *const word[] = {
		[GDB_POINT_WRITE] = "watch", [GDB_POINT_READ] = "rwatch", [GDB_POINT_ACCESS] = "awatch"
	};
	const struct x86_state *s = state_of(d, stop->cpu);
	const struct point *p;

	*dst = '\0';
	if (stop->size) {
		p = point_at(d, stop->addr, false);
		if (p)
			str_format(dst, size, "%s:%llx;", word[p->kind], (unsigned long long)stop->addr);
		return;
	}
	p = s && !(d->step >> stop->cpu & 1) ? point_at(d, s->rip, true) : NULL;
	if (p && p->kind == GDB_POINT_SOFT && d->tells_soft)
		str_copy(dst, size, "swbreak:;");
	else if (p && p->kind == GDB_POINT_HARD && d->tells_hard)
		str_copy(dst, size, "hwbreak:;");
}

/* stopped() - all are parked; the client hears why: for what a processor has come to, else by @signal. */
static void stopped(struct machine_debugger *d, unsigned signal)
{
	struct machine_stop stop;
	char why[48] = "";

	d->running = false;
	if (machine__stop_take(d->m, &stop)) {
		d->cpu = stop.cpu;
		signal = SIGNAL_TRAP;
		reason(d, &stop, why, sizeof(why));
	}
	say(d, "T%02xthread:%x;%s", signal, d->cpu + 1, why);
}

/* --- commands ------------------------------------------------------------------------------------------------------ */

static void do_supported(struct machine_debugger *d)
{
	d->tells_soft = d->cmd.tells_soft;
	d->tells_hard = d->cmd.tells_hard;
	say(d, "PacketSize=%x;qXfer:features:read+;vContSupported+;swbreak+;hwbreak+;QStartNoAckMode+",
	    GDB_PACKET_MAX);
}

static void do_target_xml(struct machine_debugger *d)
{
	auto_fini(buf) struct buf xml = { 0 }, part = { 0 };
	uint64_t from = d->cmd.addr, len = d->cmd.len;

	debugger_regs_describe(&xml);
	if (from > xml.len)
		from = xml.len;
	if (len > xml.len - from)
		len = xml.len - from;
	if (len > GDB_PACKET_MAX / 4)
		len = GDB_PACKET_MAX / 4;
	buf_putc(&part, from + len == xml.len ? 'l' : 'm');
	buf_put(&part, buf_str(&xml) + from, len);
	say_bytes(d, &part);
}

static void do_regs_read(struct machine_debugger *d)
{
	const struct x86_state *s = state_of(d, d->cpu);
	auto_fini(buf) struct buf b = { 0 };
	uint8_t value[DEBUGGER_REG_BYTES_MAX];

	if (!s) {
		say_result(d, -EIO);
		return;
	}
	for (unsigned n = 0; n < debugger_regs(); n++) {
		unsigned len = debugger_reg_get(s, n, value);

		gdb_put_hex(&b, value, len);
	}
	say_bytes(d, &b);
}

static void do_reg_read(struct machine_debugger *d)
{
	const struct x86_state *s = state_of(d, d->cpu);
	auto_fini(buf) struct buf b = { 0 };
	uint8_t value[DEBUGGER_REG_BYTES_MAX];
	unsigned len =
		s && d->cmd.addr < debugger_regs() ? debugger_reg_get(s, (unsigned)d->cmd.addr, value) : 0;

	if (len == 0) {
		say_result(d, s ? -EINVAL : -EIO);
		return;
	}
	gdb_put_hex(&b, value, len);
	say_bytes(d, &b);
}

/* regs_write() - from register @n on, as many as there are values. Nothing is changed when one of them cannot be. */
static int regs_write(struct machine_debugger *d, unsigned n)
{
	struct x86_state *s = state_of(d, d->cpu);
	const uint8_t *p = d->cmd.data;
	size_t left = d->cmd.n_data;
	int r = 0;

	if (!s)
		return -EIO;
	d->before = *s;
	for (; left > 0 && r == 0; n++) {
		unsigned len = debugger_reg_bytes(n);

		r = len && len <= left ? debugger_reg_set(s, n, p, len) : -EINVAL;
		p += len;
		left -= r == 0 ? len : 0;
	}
	if (r < 0) {
		*s = d->before;
		return r;
	}
	return state_put(d);
}

static int reg_write(struct machine_debugger *d)
{
	unsigned n = d->cmd.addr < debugger_regs() ? (unsigned)d->cmd.addr : debugger_regs();

	return d->cmd.n_data == debugger_reg_bytes(n) && d->cmd.n_data ? regs_write(d, n) : -EINVAL;
}

static void do_mem_read(struct machine_debugger *d)
{
	const struct x86_state *s = state_of(d, d->cpu);
	size_t len = d->cmd.len < MEM_BYTES_MAX ? (size_t)d->cmd.len : MEM_BYTES_MAX;
	size_t got = s ? walk_read(&d->m->mem, s, d->cmd.addr, d->mem, len) : 0;
	auto_fini(buf) struct buf b = { 0 };

	if (got == 0 && len > 0) {
		say_result(d, s ? -EFAULT : -EIO);
		return;
	}
	gdb_put_hex(&b, d->mem, got);
	say_bytes(d, &b);
}

static int mem_write(struct machine_debugger *d)
{
	const struct x86_state *s = state_of(d, d->cpu);

	return s ? walk_write(&d->m->mem, s, d->cmd.addr, d->cmd.data, d->cmd.n_data) : -EIO;
}

/* point_of() - gdb's kinds as the processor's: what x86 cannot tell from an access is one. Of a breakpoint the length says nothing. */
static int point_of(const struct gdb_command *c, struct point *ret_p)
{
	static const uint32_t kind[] = { [GDB_POINT_SOFT] = X86_POINT_RUN,
					 [GDB_POINT_HARD] = X86_POINT_RUN,
					 [GDB_POINT_WRITE] = X86_POINT_WRITE,
					 [GDB_POINT_READ] = X86_POINT_TOUCH,
					 [GDB_POINT_ACCESS] = X86_POINT_TOUCH };

	if (c->len > UINT32_MAX)
		return -EINVAL;
	*ret_p = (struct point){ .kind = c->point,
				 .at = { .addr = c->addr, .kind = kind[c->point], .len = (uint32_t)c->len } };
	if (ret_p->at.kind == X86_POINT_RUN)
		ret_p->at.len = 1;
	return 0;
}

static unsigned point_find(const struct machine_debugger *d, const struct point *p)
{
	unsigned i = 0;

	while (i < d->n_points && (d->point[i].kind != p->kind || d->point[i].at.addr != p->at.addr ||
				   d->point[i].at.len != p->at.len))
		i++;
	return i;
}

static int point_set(struct machine_debugger *d)
{
	struct point p;
	int r = point_of(&d->cmd, &p);
	struct x86_debug x;

	if (r < 0)
		return r;
	if (point_find(d, &p) < d->n_points)
		return 0;
	if (d->n_points == X86_POINTS_MAX)
		return -ENOSPC;
	d->point[d->n_points++] = p;
	x = debug_of(d, 0);
	r = engine_debug_check(d->m->vm, &x);
	if (r < 0)
		d->n_points--;
	return r;
}

static int point_clear(struct machine_debugger *d)
{
	struct point p;
	int r = point_of(&d->cmd, &p);
	unsigned i = r < 0 ? d->n_points : point_find(d, &p);

	if (i == d->n_points)
		return -ENOENT;
	d->n_points--;
	memmove(&d->point[i], &d->point[i + 1], (d->n_points - i) * sizeof(d->point[0]));
	return 0;
}

/* do_point() - of what the engine cannot watch here the stub says that it does not know it: gdb steps and compares then. */
static void do_point(struct machine_debugger *d, int (*change)(struct machine_debugger *d))
{
	if (d->cmd.point >= GDB_POINT_WRITE && !d->can.data)
		say(d, "%s", "");
	else
		say_result(d, change(d));
}

static bool is_meant(const struct machine_debugger *d, const struct gdb_action *a, unsigned cpu)
{
	if (a->thread != GDB_THREAD_ANY)
		return a->thread == GDB_THREAD_ALL || a->thread == (int)cpu + 1;
	if (d->resumes > 0)
		return d->resumes == (int)cpu + 1;
	return !a->step || cpu == d->cpu;
}

/* steps_check() - no step where it would be an exception that the guest gets */
static int steps_check(struct machine_debugger *d)
{
	for (unsigned cpu = 0; cpu < d->m->n_cpus && !d->can.user; cpu++) {
		const struct x86_state *s = d->step >> cpu & 1 ? state_of(d, cpu) : NULL;

		if (s && (s->seg[X86_SS].attr >> 5 & 3) == 3)
			return -EOPNOTSUPP;
	}
	return 0;
}

/* do_resume() - for each processor the first action that means it. The answer is why it stops again. */
static void do_resume(struct machine_debugger *d)
{
	uint32_t cpus = 0;
	int r;

	d->step = 0;
	for (unsigned cpu = 0; cpu < d->m->n_cpus; cpu++)
		for (unsigned i = 0; i < d->cmd.n_actions; i++) {
			const struct gdb_action *a = &d->cmd.action[i];

			if (!is_meant(d, a, cpu))
				continue;
			cpus |= 1U << cpu;
			d->step |= (uint32_t)a->step << cpu;
			break;
		}
	r = cpus ? steps_check(d) : -EINVAL;
	if (r == 0)
		r = go_on(d, cpus);
	if (r < 0)
		say_result(d, r);
}

static int thread_for(struct machine_debugger *d)
{
	if (d->cmd.thread > 0 && !is_thread(d, d->cmd.thread))
		return -EINVAL;
	if (d->cmd.resumes)
		d->resumes = d->cmd.thread;
	else if (d->cmd.thread > 0)
		d->cpu = (unsigned)d->cmd.thread - 1;
	return 0;
}

static void do_threads(struct machine_debugger *d)
{
	auto_fini(buf) struct buf b = { 0 };

	for (unsigned i = 0; i < d->m->n_cpus; i++)
		buf_printf(&b, "%c%x", i ? ',' : 'm', i + 1);
	say_bytes(d, &b);
}

static void do_thread_text(struct machine_debugger *d)
{
	static const char *const run[X86_RUN_COUNT] = { [X86_RUNNABLE] = "runs",
							[X86_UNINITIALIZED] = "has not been started",
							[X86_INIT_RECEIVED] = "waits for its start",
							[X86_HALTED] = "halted",
							[X86_SIPI_RECEIVED] = "starts" };
	const struct x86_state *s =
		is_thread(d, d->cmd.thread) ? state_of(d, (unsigned)d->cmd.thread - 1) : NULL;
	auto_fini(buf) struct buf b = { 0 };
	char text[64];

	if (!s) {
		say_result(d, -EINVAL);
		return;
	}
	str_format(text, sizeof(text), "processor %d, %s", d->cmd.thread - 1, run[s->run]);
	gdb_put_hex(&b, text, strlen(text));
	say_bytes(d, &b);
}

static void flush(struct machine_debugger *d);

/* client_close() - also of one that is gone; the machine goes on. */
static void client_close(struct machine_debugger *d)
{
	loop_remove(d->m->loop, &d->client);
	fd_close(&d->fd);
	buf_fini(&d->out);
	let_go(d);
}

static void do_detach(struct machine_debugger *d)
{
	say(d, "OK");
	flush(d);
	if (d->fd >= 0)
		client_close(d);
}

static void obey(struct machine_debugger *d)
{
	switch (d->cmd.op) {
	case GDB_WHY: say(d, "T%02xthread:%x;", SIGNAL_TRAP, d->cpu + 1); break;
	case GDB_SUPPORTED: do_supported(d); break;
	case GDB_TARGET_XML: do_target_xml(d); break;
	case GDB_ATTACHED: say(d, "1"); break;
	case GDB_REGS_READ: do_regs_read(d); break;
	case GDB_REGS_WRITE: say_result(d, regs_write(d, 0)); break;
	case GDB_REG_READ: do_reg_read(d); break;
	case GDB_REG_WRITE: say_result(d, reg_write(d)); break;
	case GDB_MEM_READ: do_mem_read(d); break;
	case GDB_MEM_WRITE: say_result(d, mem_write(d)); break;
	case GDB_RESUME: do_resume(d); break;
	case GDB_RESUME_HOW: say(d, "vCont;c;C;s;S"); break;
	case GDB_THREAD_FOR: say_result(d, thread_for(d)); break;
	case GDB_THREAD_ALIVE: say_result(d, is_thread(d, d->cmd.thread) ? 0 : -ESRCH); break;
	case GDB_THREAD_NOW: say(d, "QC%x", d->cpu + 1); break;
	case GDB_THREADS: do_threads(d); break;
	case GDB_THREADS_MORE: say(d, "l"); break;
	case GDB_THREAD_TEXT: do_thread_text(d); break;
	case GDB_POINT_SET: do_point(d, point_set); break;
	case GDB_POINT_CLEAR: do_point(d, point_clear); break;
	case GDB_DETACH: do_detach(d); break;
	case GDB_KILL:
		say(d, "OK");
		machine__end(d->m, MACHINE_END_KILLED, 0, "killed by its debugger");
		break;
	case GDB_NO_ACKS:
		say(d, "OK");
		d->no_acks = true;
		break;
	case GDB_MALFORMED: say_result(d, -EINVAL); break;
	case GDB_UNKNOWN:
	case GDB_OP_COUNT: say(d, "%s", ""); break;
	}
}

static void on_event(struct machine_debugger *d, enum gdb_event event)
{
	switch (event) {
	case GDB_EVENT_INTERRUPT:
		if (!d->running)
			break;
		machine__hold(d->m);
		stopped(d, SIGNAL_INT);
		break;
	case GDB_EVENT_BAD:
		if (d->no_acks)
			say_result(d, -EINVAL);
		else
			buf_putc(&d->out, '-');
		break;
	case GDB_EVENT_PACKET:
		if (!d->no_acks)
			buf_putc(&d->out, '+');
		gdb_parse(&d->in, &d->cmd);
		if (d->running)
			say_result(d, -EBUSY);
		else
			obey(d);
		break;
	case GDB_EVENT_NONE: break;
	}
}

/* --- the connection ------------------------------------------------------------------------------------------------ */

/* flush() - as much as the client takes; the rest when it takes more, and until then nothing is read. */
static void flush(struct machine_debugger *d)
{
	size_t sent = 0;
	long n = 0;

	if (buf_finish(&d->out) < 0) {
		client_close(d);
		return;
	}
	while (sent < d->out.len && n >= 0) {
		n = SYS6(SYS_sendto, d->fd, d->out.data + sent, d->out.len - sent,
			 MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0);
		sent += n > 0 ? (size_t)n : 0;
	}
	if (n < 0 && n != -EAGAIN && n != -EINTR) {
		client_close(d);
		return;
	}
	memmove(d->out.data, d->out.data + sent, d->out.len - sent);
	d->out.len -= sent;
	loop_want(d->m->loop, &d->client, d->out.len ? EPOLLOUT : EPOLLIN);
}

/* work() - what has been received, as long as answers get away. */
static void work(struct machine_debugger *d)
{
	while (d->fd >= 0 && d->at < d->len && d->out.len == 0) {
		enum gdb_event event;

		d->at += gdb_feed(&d->in, d->bytes + d->at, d->len - d->at, &event);
		on_event(d, event);
		if (d->fd >= 0 && d->out.len)
			flush(d);
	}
}

static void on_client(void *arg, uint32_t events)
{
	struct machine_debugger *d = arg;
	long n;

	(void)events;
	if (d->out.len)
		flush(d);
	work(d);
	if (d->fd < 0 || d->out.len)
		return;
	n = SYS6(SYS_recvfrom, d->fd, d->bytes, sizeof(d->bytes), MSG_DONTWAIT, NULL, NULL);
	if (n == -EAGAIN || n == -EINTR)
		return;
	if (n <= 0) {
		client_close(d);
		return;
	}
	d->at = 0;
	d->len = (size_t)n;
	work(d);
}

static void client_begin(struct machine_debugger *d, int fd)
{
	d->fd = fd;
	d->running = d->no_acks = d->tells_soft = d->tells_hard = false;
	d->cpu = 0;
	d->resumes = GDB_THREAD_ALL;
	d->step = d->n_points = 0;
	d->at = d->len = 0;
	d->has_state = -1;
	memset(&d->in, 0, sizeof(d->in));
	machine__hold(d->m);
}

/* is_gone() - the client has, but for what he said last */
static bool is_gone(const struct machine_debugger *d)
{
	struct pollfd p = { .fd = d->fd };

	return SYS3(SYS_poll, &p, 1, 0) == 1 && p.revents & (POLLHUP | POLLERR);
}

static void on_listener(void *arg, uint32_t events)
{
	struct machine_debugger *d = arg;
	auto_close int fd = sock_accept(d->m->config.gdb.fd);

	(void)events;
	if (d->fd >= 0 && is_gone(d))
		while (d->fd >= 0)
			on_client(d, 0);
	if (fd < 0 || d->fd >= 0 || machine_state(d->m) == MACHINE_STOPPED) /* one is enough */
		return;
	if (loop_add(d->m->loop, &d->client, fd, EPOLLIN) < 0)
		return;
	client_begin(d, TAKE_FD(fd));
}

/* --- the machine's side --------------------------------------------------------------------------------------------- */

int machine__debugger_new(struct machine *m, struct err *e)
{
	const struct x86_debug none = { 0 };
	struct machine_debugger *d;
	int r;

	if (m->config.gdb.fd < 0)
		return 0;
	r = engine_debug_check(m->vm, &none);
	if (r < 0)
		return err_set(e, -r, "gdb: the %s engine cannot stop for a debugger", m->vm->ops->name);
	d = calloc(1, sizeof(*d));
	if (!d)
		return err_sys(e, ENOMEM, "gdb");
	m->debugger = d;
	d->m = m;
	d->fd = -1;
	r = engine_debug_try(m->vm->ops, &d->can, e);
	if (r < 0)
		return err_wrap(e, r, "gdb");
	d->running = true;
	d->client = (struct loop_source){ .fd = -1, .ready = on_client, .arg = d };
	d->listener = (struct loop_source){ .fd = -1, .ready = on_listener, .arg = d };
	for (unsigned i = 0; i < m->config.cpus; i++)
		m->cpu[i].held = m->config.gdb.wait;
	r = loop_add(m->loop, &d->listener, m->config.gdb.fd, EPOLLIN);
	return r < 0 ? err_sys(e, -r, "gdb: the event loop") : 0;
}

void machine__debugger_wake(struct machine *m)
{
	struct machine_debugger *d = m->debugger;
	struct machine_stop stop;

	if (!d || !machine__stopped(m))
		return;
	machine__hold(m);
	if (d->fd >= 0 && d->running) {
		stopped(d, SIGNAL_TRAP);
		flush(d);
		return;
	}
	machine__stop_take(m, &stop);
	if (d->fd < 0) /* he has gone meanwhile */
		let_go(d);
}

void machine__debugger_ended(struct machine *m)
{
	static const uint8_t signal[MACHINE_END_COUNT] = { [MACHINE_END_SHUTDOWN] = SIGNAL_ABORT,
							   [MACHINE_END_PANIC] = SIGNAL_ABORT,
							   [MACHINE_END_ERROR] = SIGNAL_ABORT,
							   [MACHINE_END_KILLED] = SIGNAL_KILL };
	struct machine_debugger *d = m->debugger;

	if (!d || d->fd < 0 || !d->running)
		return;
	if (signal[m->end])
		say(d, "X%02x", signal[m->end]);
	else
		say(d, "W%02x", m->end_status & 0xff);
	d->running = false;
	flush(d);
}

void machine__debugger_free(struct machine *m)
{
	struct machine_debugger *d = m->debugger;

	if (!d)
		return;
	loop_remove(m->loop, &d->client);
	loop_remove(m->loop, &d->listener);
	fd_close(&d->fd);
	buf_fini(&d->out);
	free(d);
	m->debugger = NULL;
}
