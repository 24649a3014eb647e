/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run.c - see run.h
 *
 * Theory of operation. The loop has two parts. look() deals with what comes from outside: kicks, interrupts, start-up requests; it is
 * called when bt_cpu.attention says so, and after instructions that may have changed what is pending. advance() runs
 * translated code where the processor's state allows it and the interpreter everywhere else, and does what an exit asks for.
 *
 * bt_cpu.quiet tells translated code whether it must leave once it turns interrupts on.
 */
#include "engine/bt/space/run.h"

#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>

#include "engine/bt/space/debug.h"
#include "engine/bt/space/event.h"
#include "engine/bt/space/host.h"
#include "engine/bt/space/interp.h"
#include "engine/bt/space/map.h"
#include "engine/bt/space/others.h"
#include "engine/bt/space/process.h"
#include "engine/bt/space/spaces.h"
#include "engine/bt/space/system.h"
#include "engine/bt/space/translate.h"

/* --- the manager -------------------------------------------------------------------------------------------------- */

static void futex_wait(uint32_t *word, uint32_t while_it_is)
{
	BT_CALL(SYS_futex, word, FUTEX_WAIT, while_it_is, 0);
}

static uint32_t load(const uint32_t *p)
{
	return __atomic_load_n(p, __ATOMIC_SEQ_CST);
}

static void store(uint32_t *p, uint32_t v)
{
	__atomic_store_n(p, v, __ATOMIC_SEQ_CST);
}

/* receive_file() - the descriptor that came through the socket. Return: -errno. */
static long receive_file(void)
{
	char byte;
	struct iovec io = { &byte, 1 };
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { .room = { 0 } };
	struct msghdr m = { .msg_iov = &io,
			    .msg_iovlen = 1,
			    .msg_control = control.room,
			    .msg_controllen = sizeof(control.room) };
	long r = BT_CALL(SYS_recvmsg, BT_FD_SOCKET, &m, MSG_CMSG_CLOEXEC);
	int fd;

	if (r < 0)
		return r;
	if (m.msg_controllen < sizeof(struct cmsghdr) || control.h.cmsg_type != SCM_RIGHTS)
		return -EPROTO;
	__builtin_memcpy(&fd, CMSG_DATA(&control.h), sizeof(fd));
	return fd;
}

/* file_set() - another one for a number, or none; no slot is in what it was before. */
static long file_set(struct bt_vm *vm, const struct bt_slot_set *set)
{
	int *file = &vm->file[set->file];
	long fd = set->new_file ? receive_file() : -1;

	if (set->new_file && fd < 0)
		return fd;
	if (*file)
		BT_CALL(SYS_close, *file - 1);
	*file = (int)fd + 1;
	return 0;
}

static long slot_set(struct bt_cpu *c, const struct bt_slot_set *set)
{
	const bool fits = set->gpa < BT_RAM_SIZE && set->size <= BT_RAM_SIZE - set->gpa &&
			  !((set->gpa | set->size | set->offset) & 4095);
	struct bt_slot *s;
	long r;

	if (set->slot >= BT_SLOTS_MAX || set->file >= BT_FILES_MAX)
		return -EINVAL;
	r = set->new_file || set->close_file ? file_set(c->vm, set) : 0;
	if (r < 0)
		return r;
	s = &c->vm->slot[set->slot];
	if (s->size) {
		bt_spaces_flush(c, BT_FLUSH_ALL, 0);
		bt_code_kill(c, s->gpa, s->size);
	}
	*s = (struct bt_slot){ .age = ++c->vm->slots_age };
	if (set->size && fits)
		*s = (struct bt_slot){ .gpa = set->gpa,
				       .size = set->size,
				       .host = (uint8_t *)BT_RAM_BASE + set->gpa,
				       .readonly = set->readonly,
				       .log = set->log,
				       .fd = c->vm->file[set->file] - 1,
				       .offset = set->offset,
				       .age = s->age };
	bt_slots_sort(c->vm);
	r = bt_spaces_slots(c);
	return r < 0 ? r : fits ? 0 : -EINVAL;
}

static void fpu_get(struct x86_state *s)
{
	/* XSAVE leaves what is in its initial state as it finds it */
	__builtin_memset(s->xsave, 0, sizeof(s->xsave));
	bt_fpu_save(s->xsave);
}

/* Spec: Intel SDM volume 1, 13.8: what XRSTOR raises #GP for */
static bool fpu_is_valid(const struct x86_state *s)
{
	enum { MXCSR_AT = 24, HEADER_AT = 512, HEADER_BYTES = 64 };
	uint64_t word[HEADER_BYTES / 8];
	uint32_t mxcsr;

	__builtin_memcpy(&mxcsr, s->xsave + MXCSR_AT, sizeof(mxcsr));
	__builtin_memcpy(word, s->xsave + HEADER_AT, sizeof(word));
	if (s->xsave_len < HEADER_AT + HEADER_BYTES || mxcsr >> 16 || word[0] & ~(uint64_t)bt_fpu_parts())
		return false;
	for (unsigned i = 1; i < HEADER_BYTES / 8; i++)
		if (word[i])
			return false;
	return true;
}

/* state_get() - the exchange's place is filled piece by piece: the manager looks only when it has the turn. */
static long state_get(struct bt_cpu *c)
{
	struct x86_state *s = &c->exchange->state;

	bt_cpu_get(c, s);
	fpu_get(s);
	s->xsave_len = X86_XSAVE_MAX;
	return 0;
}

static long state_set(struct bt_cpu *c)
{
	struct x86_state *s = &c->exchange->state;
	int r = s->xsave_len && !fpu_is_valid(s) ? -EINVAL : bt_cpu_set(c, s);

	if (r < 0)
		return r;
	if (s->xsave_len)
		bt_fpu_load(s->xsave);
	bt_spaces_flush(c, BT_FLUSH_SPACE, c->cr3); /* everything has been flushed: which process it is */
	c->attention = 1;
	return 0;
}

static long cpuid_set(struct bt_cpu *c)
{
	if (c->exchange->n_cpuid > BT_CPUID_MAX)
		return -E2BIG;
	c->n_cpuid = c->exchange->n_cpuid;
	__builtin_memcpy(c->cpuid, c->exchange->cpuid, c->n_cpuid * sizeof(c->cpuid[0]));
	return 0;
}

/* command() - all but BT_RUN. */
static long command(struct bt_cpu *c)
{
	switch (c->exchange->command) {
	case BT_GET: return state_get(c);
	case BT_SET: return state_set(c);
	case BT_CPUID: return cpuid_set(c);
	case BT_DEBUG: return bt_debug_set(c, &c->exchange->debug);
	case BT_SLOT: return slot_set(c, &c->exchange->slot);
	case BT_CLOCK: bt_clock_set_ahead(c, c->exchange->clock_ahead); return 0;
	case BT_PROTECT: bt_spaces_flush(c, BT_FLUSH_ALL, 0); return 0;
	default: return -ENOSYS;
	}
}

void bt_give(struct bt_cpu *c, enum bt_exit_kind kind)
{
	struct bt_exchange *x = c->exchange;

	for (;; kind = BT_EXIT_DONE) {
		x->exit = kind;
		store(&x->where, BT_OUTSIDE);
		store(&x->turn, BT_TURN_MANAGER);
		BT_CALL(SYS_futex, &x->turn, FUTEX_WAKE, 1);
		while (load(&x->turn) == BT_TURN_MANAGER)
			futex_wait(&x->turn, BT_TURN_MANAGER);
		if (x->command == BT_RUN)
			break;
		x->result = (int32_t)command(c);
	}
	bt_spaces_follow(c);
	store(&x->where, BT_IN_GUEST);
	c->attention = 1; /* of what came before that store nobody told it */
}

void bt_kick_drain(void)
{
	char buf[64];
	long n;

	do
		n = BT_CALL(SYS_read, BT_FD_KICK + bt_process()->index, buf, sizeof(buf));
	while (n == (long)sizeof(buf));
	if (n == 0) /* there is no manager any more */
		BT_CALL(SYS_exit_group, 0);
}

/* --- messages ------------------------------------------------------------------------------------------------------- */

struct text {
	char *at, *end;
};

static void text_char(struct text *t, char ch)
{
	if (t->at < t->end)
		*t->at++ = ch;
}

static void text_number(struct text *t, uint64_t n, unsigned base)
{
	char digit[20];
	int i = 0;

	do
		digit[i++] = "0123456789abcdef"[n % base];
	while ((n /= base) > 0);
	while (i > 0)
		text_char(t, digit[--i]);
}

static void text_format(struct text *t, const char *fmt, va_list ap)
{
	for (; *fmt; fmt++) {
		const char *s;
		int d;

		if (*fmt != '%') {
			text_char(t, *fmt);
			continue;
		}
		switch (*++fmt) {
		case 'd':
			d = va_arg(ap, int);
			if (d < 0)
				text_char(t, '-');
			text_number(t, d < 0 ? 0U - (unsigned)d : (unsigned)d, 10);
			break;
		case 'u': text_number(t, va_arg(ap, unsigned), 10); break;
		case 'p': text_number(t, va_arg(ap, uintptr_t), 16); break;
		case 'l':
			fmt++;
			text_number(t, va_arg(ap, uint64_t), 16);
			break;
		case 's':
			for (s = va_arg(ap, const char *); *s; s++)
				text_char(t, *s);
			break;
		default: return;
		}
	}
}

static void text_set(struct bt_cpu *c, const char *fmt, va_list ap)
{
	struct text t = { c->exchange->text, c->exchange->text + BT_TEXT_MAX - 1 };

	text_format(&t, fmt, ap);
	*t.at = '\0';
}

static void fail(struct bt_cpu *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* fail() - the guest cannot go on, the engine can. */
static void fail(struct bt_cpu *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	text_set(c, fmt, ap);
	va_end(ap);
	bt_give(c, BT_EXIT_ERROR);
}

void bt_die(struct bt_cpu *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	text_set(c, fmt, ap);
	va_end(ap);
	c->exchange->exit = BT_EXIT_ERROR;
	store(&c->exchange->where, BT_OUTSIDE);
	store(&c->exchange->turn, BT_TURN_MANAGER);
	BT_CALL(SYS_futex, &c->exchange->turn, FUTEX_WAKE, 1);
	for (;;)
		BT_CALL(SYS_exit_group, 1);
}

/* --- the world ------------------------------------------------------------------------------------------------------- */

static void world_io(struct bt_cpu *c, struct bt_io *io)
{
	struct bt_exchange *x = c->exchange;

	bt_count(c, BT_COUNT_IO);
	x->write = io->write;
	x->size = io->size;
	x->count = 1;
	x->addr = io->addr;
	__builtin_memcpy(x->data, &io->data, 8);
	bt_give(c, io->port ? BT_EXIT_IO : BT_EXIT_MMIO);
	if (!io->write) {
		io->data = 0;
		__builtin_memcpy(&io->data, x->data, io->size);
	}
}

/* cycles_ns() - in two parts, for the product alone may be more than 64 bits. */
static uint64_t cycles_ns(uint64_t cycles, uint64_t khz)
{
	return cycles / khz * 1000000 + cycles % khz * 1000000 / khz;
}

/* world_timer() - in nanoseconds from now: the host's timers know no TSC. */
static void world_timer(struct bt_cpu *c)
{
	struct bt_process *p = bt_process();
	uint64_t deadline = bt_lapic_deadline(c), now = bt_host_tsc(), ns = 0;
	struct itimerspec t = { 0 };

	if (deadline == p->timer_armed)
		return;
	p->timer_armed = deadline;
	if (deadline) {
		ns = deadline <= now ? 1 : cycles_ns(deadline - now, c->vm->tsc_khz) + 1;
		t.it_value = (struct timespec){ (time_t)(ns / 1000000000), (long)(ns % 1000000000) };
	}
	BT_CALL(SYS_timer_settime, p->timer, 0, &t, 0);
}

static void world_ipi(struct bt_cpu *c, const struct bt_ipi *ipi)
{
	c->exchange->addr = ipi->dest;
	c->exchange->size = ipi->low;
	bt_give(c, BT_EXIT_IPI);
}

static void world_eoi(struct bt_cpu *c, unsigned vector)
{
	c->exchange->addr = vector;
	bt_give(c, BT_EXIT_EOI);
}

static uint8_t world_acknowledge(struct bt_cpu *c)
{
	bt_give(c, BT_EXIT_ACKNOWLEDGE);
	return c->exchange->data[0];
}

static void world_code_made(struct bt_cpu *c, uint64_t gpa)
{
	bt_spaces_code_made(c, gpa);
	bt_others_code_made(c, gpa);
}

const struct bt_world bt_world_space = {
	.io = world_io,
	.timer = world_timer,
	.flush = bt_spaces_flush,
	.code_made = world_code_made,
	.code_written = bt_code_store,
	.ipi = world_ipi,
	.eoi = world_eoi,
	.acknowledge = world_acknowledge,
};

/* --- what comes from outside ---------------------------------------------------------------------------------------- */

/* doze() - until something is posted, the timer fires, or somebody kicks. */
static void doze(struct bt_cpu *c)
{
	struct bt_exchange *x = c->exchange;

	store(&x->asleep, 1);
	store(&x->where, BT_HALTED);
	bt_lapic_collect(c); /* after @where is set: who posts later wakes */
	if (!load(&x->kick) && !load(&x->init) && !load(&x->sipi) &&
	    (c->run == X86_UNINITIALIZED || !bt_event_pending(c)))
		futex_wait(&x->asleep, 1);
	store(&x->where, BT_IN_GUEST);
	store(&x->asleep, 0);
}

/* start_up() - INIT and SIPI, as another processor sends them. */
static void start_up(struct bt_cpu *c)
{
	uint32_t sipi;

	if (__atomic_exchange_n(&c->exchange->init, 0, __ATOMIC_SEQ_CST)) {
		bt_cpu_init(c);
	}
	sipi = __atomic_exchange_n(&c->exchange->sipi, 0, __ATOMIC_SEQ_CST);
	if (sipi && (c->run == X86_UNINITIALIZED || c->run == X86_INIT_RECEIVED))
		bt_cpu_startup(c, (uint8_t)sipi);
}

static void shut_down(struct bt_cpu *c)
{
	for (;;)
		bt_give(c, BT_EXIT_SHUTDOWN);
}

static void took(struct bt_cpu *c, enum bt_step step)
{
	switch (step) {
	case BT_STEP_ON: break;
	case BT_STEP_HALT:
		if (c->exchange->halt_exits)
			bt_give(c, BT_EXIT_HALT);
		else
			c->run = X86_HALTED;
		break;
	case BT_STEP_SHUTDOWN: shut_down(c); break;
	case BT_STEP_UNKNOWN:
		fail(c, "processor %u: an instruction that the bt engine does not know, at 0x%lx", c->index,
		     c->rip);
		break;
	}
}

/* is_held_back() - no interrupt comes in between the debugger and his one instruction */
static bool is_held_back(const struct bt_cpu *c)
{
	return c->debug.step && c->run == X86_RUNNABLE && !c->coming.exception_injected;
}

/* look() - Return: whether there is guest code to run. */
static bool look(struct bt_cpu *c)
{
	struct bt_exchange *x = c->exchange;

	c->attention = 0;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (__atomic_exchange_n(&x->kick, 0, __ATOMIC_SEQ_CST))
		bt_give(c, BT_EXIT_KICKED);
	if (bt_others_have_told(c))
		bt_others_listen(c, true);
	if (load(&x->init) || load(&x->sipi))
		start_up(c);
	bt_lapic_collect(c);
	world_timer(c);
	if (c->run == X86_UNINITIALIZED || c->run == X86_INIT_RECEIVED) {
		doze(c);
		return false;
	}
	if (bt_event_pending(c) && !is_held_back(c)) {
		c->run = X86_RUNNABLE;
		bt_count(c, BT_COUNT_INTERRUPT);
		took(c, bt_event_take(c));
	} else if (c->run == X86_HALTED) {
		doze(c);
		return false;
	}
	c->quiet = bt_lapic_pending(c) < 0 && !bt_lapic_extint(c) && !c->nmi_pending;
	return true;
}

/* --- guest code ------------------------------------------------------------------------------------------------------ */

/* can_translate() - 64-bit code whose every instruction may run on. */
static bool can_translate(const struct bt_cpu *c)
{
	return bt_is_long(c) && !c->shadow && !bt_debug_interprets(c) && !(c->rflags & (X86_TF | X86_VM)) &&
	       !(c->dr7 & 0xff) && (bt_cpl(c) == 0 || bt_cpl(c) == 3);
}

static enum bt_mode mode_of(const struct bt_cpu *c)
{
	return bt_cpl(c) == 3 ? BT_USER : c->rflags & X86_AC ? BT_KERNEL_AC : BT_KERNEL;
}

static uint64_t linear_rip(const struct bt_cpu *c)
{
	return bt_is_long(c) ? c->rip : (uint32_t)(c->seg[X86_CS].base + c->rip);
}

/* stop() - for the debugger */
static void stop(struct bt_cpu *c)
{
	c->exchange->addr = c->touched;
	c->exchange->size = c->touched_size;
	c->touched_size = 0;
	bt_give(c, BT_EXIT_DEBUG);
	c->attention = 1;
}

static void step(struct bt_cpu *c)
{
	if (bt_debug_breaks(c, linear_rip(c)) && !c->debug.step) {
		stop(c);
		return;
	}
	bt_count(c, BT_COUNT_STEP);
	took(c, bt_interp(c));
	if (c->debug.step || c->touched_size)
		stop(c);
}

/*
 * come() - the block to go on in without another look, @by an indirect branch or (BT_HEAD_COUNT) otherwise. NULL: why it cannot be fetched
 * is an exception.
 */
static struct bt_block *come(struct bt_cpu *c, enum bt_mode mode, enum bt_head by)
{
	struct bt_block *b = bt_block_come(c, c->rip, mode, by);

	if (!b)
		took(c, bt_event_fault(c));
	return b;
}

static struct bt_block *next(struct bt_cpu *c, enum bt_mode mode)
{
	return come(c, mode, BT_HEAD_COUNT);
}

/*
 * crossed() - from user to kernel or back, by an instruction of @len bytes before @behind. Return: as leave(); on the way it may turn
 * interrupts on, or go where this process cannot.
 */
static struct bt_block *crossed(struct bt_cpu *c, uint64_t behind, unsigned len,
				int (*cross)(struct bt_cpu *c))
{
	c->rip = behind;
	if (cross(c) < 0) {
		c->rip = behind - len;
		took(c, bt_event_fault(c));
		return NULL;
	}
	c->rflags &= ~(uint64_t)X86_RF;
	if (!c->quiet || !can_translate(c) || bt_spaces_must_switch(c, mode_of(c)))
		return NULL;
	return next(c, mode_of(c));
}

static int sysret(struct bt_cpu *c)
{
	return bt_sysret(c, true);
}

static int iret(struct bt_cpu *c)
{
	return bt_iret(c, 8);
}

/* refill() - a page that faulted, and that the guest's kernel has put there meanwhile, is mapped before it faults again. */
static void refill(struct bt_cpu *c)
{
	bool write = c->refill == BT_REFILL_WRITE;
	struct bt_page page;

	c->refill = BT_REFILL_NOT;
	if (c->home && bt_cpl(c) == 3 && bt_is_long(c) && !(c->cr2 >> 47) &&
	    bt_walk(c, c->cr2, (write ? BT_WRITE : 0) | BT_QUIET, &page) == BT_OK && !page.global)
		bt_map_page(c, c->cr2, c->cr2, &page, write);
}

/* leave() - what translated code left for. Return: the block to go on in; NULL: look() is due. */
static struct bt_block *leave(struct bt_cpu *c, const struct bt_exit *x)
{
	struct bt_block *b;
	enum bt_head by;

	switch (x->why) {
	case BT_LEAVE_LINK:
		bt_count(c, BT_COUNT_LINK);
		c->rip = x->rip;
		b = next(c, x->mode);
		if (!b)
			return NULL;
		if (x->patch) {
			bt_link(x, b);
			return b;
		}
		bt_way_put(b);
		if (!x->way) /* from one that is dead, which a table still has */
			bt_table_put_over(b);
		return b;
	case BT_LEAVE_INDIRECT:
		bt_count(c, BT_COUNT_INDIRECT);
		by = c->by_return ? BT_HEAD_RETURN : BT_HEAD_JUMP;
		b = come(c, mode_of(c), by);
		if (b)
			bt_table_put(b, by);
		return b;
	case BT_LEAVE_SYSCALL: bt_count(c, BT_COUNT_SYSCALL); return crossed(c, x->rip, 2, bt_syscall);
	case BT_LEAVE_SYSRET: return crossed(c, x->rip, 3, sysret);
	case BT_LEAVE_IRET:
		bt_count(c, BT_COUNT_IRET);
		b = crossed(c, x->rip, 2, iret);
		if (c->refill)
			refill(c);
		return b;
	case BT_LEAVE_STALE:
		c->rip = x->rip;
		b = next(c, x->mode);
		if (!b)
			return NULL;
		bt_block_kill(c, b);
		return next(c, x->mode);
	case BT_LEAVE_AWAY:
		c->rip = x->rip;
		bt_process()->must_leave = true;
		return NULL;
	case BT_LEAVE_STEP:
		c->rip = x->rip;
		step(c);
		return NULL;
	case BT_LEAVE_ATTENTION: c->rip = x->rip; return NULL;
	case BT_LEAVE_SIGNAL:
		if (c->left_step)
			step(c);
		return NULL;
	default: bt_die(c, "exit %u of translated code", (unsigned)x->why);
	}
}

/* advance() - until look() is due. */
static void advance(struct bt_cpu *c)
{
	struct bt_block *b = NULL;

	if (!can_translate(c)) {
		step(c);
		return;
	}
	if (bt_spaces_must_switch(c, mode_of(c))) {
		bt_spaces_switch(c);
		return;
	}
	for (b = next(c, mode_of(c)); b; b = leave(c, bt_enter(c, b)))
		bt_count(c, BT_COUNT_ENTER);
}

void bt_run(struct bt_cpu *c)
{
	if (bt_process()->index == 0)
		bt_give(c, BT_EXIT_DONE);
	else
		bt_spaces_wait(c);
	for (;;) {
		if (look(c))
			advance(c);
	}
}
