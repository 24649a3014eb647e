/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpu.c - a processor of the kvm engine: made, run, kicked
 *
 * Theory of operation. The thread that runs a processor is inside KVM_RUN nearly always. A kick must get it out, and must not be
 * lost when it comes just before the thread goes in, or while it is between two runs:
 *
 *	kicker	immediate_exit = 1;  if (tid) tgkill(tid, KICK)
 *	runner	tid = self;  KVM_RUN;  tid = 0;  on EINTR: immediate_exit = 0, and tell the caller KICKED
 *
 * Both pairs of store and load are sequentially consistent: either the runner's KVM_RUN sees immediate_exit and returns before
 * it enters the guest, or the kicker sees tid and the signal ends KVM_RUN. The signal's handler does nothing. immediate_exit is
 * cleared by nobody but an exit that is reported as KICKED, so a kick during another exit makes the next run return
 * at once, after it has completed the access that was answered. Hence a caller that kicks and runs until KICKED has a processor
 * with nothing half done, whose state may be read.
 *
 * syscalls(cpu): ioctl[1]=KVM_RUN,KVM_GET_REGS
 * syscalls(device): ioctl[1]=KVM_IRQ_LINE,KVM_SIGNAL_MSI,KVM_NMI
 *
 * Spec: Linux, Documentation/virt/kvm/api.rst, 4.10 KVM_RUN and "5. The kvm_run structure"
 */
#include "engine/kvm/kvm_internal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/str.h"
#include "sys/call.h"
#include "sys/kvm.h"

#define KICK_SIGNAL SIGRTMIN

static void on_kick(int sig)
{
	(void)sig; /* its arrival is all: KVM_RUN says EINTR */
}

int kvm__kick_setup(struct err *e)
{
	struct sigaction sa = { .sa_handler = on_kick }; /* no SA_RESTART */

	return sigaction(KICK_SIGNAL, &sa, NULL) < 0 ? err_sys(e, errno, "the signal for kicks") : 0;
}

/* self() - this thread's id; the first time it also lets the kick through, whatever mask the thread was born with. */
static int self(void)
{
	static _Thread_local int tid;

	if (!tid) {
		sigset_t kick;

		sigemptyset(&kick);
		sigaddset(&kick, KICK_SIGNAL);
		pthread_sigmask(SIG_UNBLOCK, &kick, NULL);
		tid = gettid();
	}
	return tid;
}

int kvm__cpu_new(struct engine_vm *v, unsigned index, struct engine_cpu **ret_cpu, struct err *e)
{
	struct kvm_vm *vm = kvm__vm(v);
	struct kvm_cpu *c = calloc(1, sizeof(*c));
	void *p = NULL;
	long r;

	if (!c)
		return err_sys(e, ENOMEM, "processor %u", index);
	r = kvm__irqs_ready(vm, e); /* a processor made before it would have no APIC */
	if (r < 0) {
		free(c);
		return (int)r;
	}
	c->cpu = (struct engine_cpu){ .vm = v, .index = index };
	c->fd = -1;
	r = kvm_ioctl_n(vm->fd, KVM_CREATE_VCPU, index);
	if (r >= 0) {
		c->fd = (int)r;
		r = kvm_map(c->fd, vm->run_size, &p);
	}
	if (r < 0) {
		kvm__cpu_free(&c->cpu);
		return err_sys(e, (int)-r, "KVM_CREATE_VCPU: processor %u", index);
	}
	c->run = p;
	*ret_cpu = &c->cpu;
	return 0;
}

void kvm__cpu_free(struct engine_cpu *cpu)
{
	struct kvm_cpu *c = kvm__cpu(cpu);

	kvm_unmap(c->run, kvm__vm(cpu->vm)->run_size);
	if (c->fd >= 0)
		close(c->fd);
	free(c);
}

void kvm__cpu_kick(struct engine_cpu *cpu)
{
	struct kvm_cpu *c = kvm__cpu(cpu);
	int tid;

	__atomic_store_n(&c->run->immediate_exit, 1,
			 __ATOMIC_SEQ_CST); /* pairs with tid's store in kvm__cpu_run() */
	tid = __atomic_load_n(&c->tid, __ATOMIC_SEQ_CST);
	if (tid)
		SYS3(SYS_tgkill, getpid(), tid,
		     KICK_SIGNAL); /* a thread that left meanwhile takes no harm from it */
}

int kvm__cpu_nmi(struct engine_cpu *cpu)
{
	return (int)kvm_ioctl_n(kvm__cpu(cpu)->fd, KVM_NMI, 0);
}

void kvm__cpu_stats(struct engine_cpu *cpu, uint64_t by_kind[ENGINE_EXIT_COUNT])
{
	for (int i = 0; i < ENGINE_EXIT_COUNT; i++)
		by_kind[i] = __atomic_load_n(&kvm__cpu(cpu)->exits[i], __ATOMIC_RELAXED);
}

/* --- the debugger ----------------------------------------------------------------------------------------------- */

/* dr7_of() - Spec: Intel SDM volume 3, 18.2.4 */
static uint64_t dr7_of(const struct x86_debug *d)
{
	static const uint8_t how[] = { [X86_POINT_RUN] = 0, [X86_POINT_WRITE] = 1, [X86_POINT_TOUCH] = 3 };
	static const uint8_t size[] = { [1] = 0, [2] = 1, [4] = 3, [8] = 2 };
	uint64_t dr7 = 0x400;

	for (unsigned i = 0; i < d->n; i++)
		if (!d->step || d->point[i].kind != X86_POINT_RUN)
			dr7 |= 2ULL << 2 * i | (uint64_t)(how[d->point[i].kind] | size[d->point[i].len] << 2)
						       << (16 + 4 * i);
	return dr7;
}

/*
 * kvm__cpu_debug() - while the debugger has points they are in the debug registers, and the guest's own do nothing.
 *
 * syscalls(debug): ioctl[1]=KVM_SET_GUEST_DEBUG
 */
int kvm__cpu_debug(struct engine_cpu *cpu, const struct x86_debug *d)
{
	struct kvm_cpu *c = kvm__cpu(cpu);
	struct kvm_guest_debug g = { 0 };
	int r;

	if (d->n)
		g.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP;
	for (unsigned i = 0; i < d->n; i++)
		g.arch.debugreg[i] = d->point[i].addr;
	g.arch.debugreg[7] = dr7_of(d);
	if (d->step)
		g.control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_BLOCKIRQ;
	r = (int)kvm_ioctl(c->fd, KVM_SET_GUEST_DEBUG, &g);
	if (r == -EINVAL && d->step) { /* kernels before 5.15: an interrupt may come first */
		g.control &= ~KVM_GUESTDBG_BLOCKIRQ;
		r = (int)kvm_ioctl(c->fd, KVM_SET_GUEST_DEBUG, &g);
	}
	if (r >= 0)
		c->debug = *d;
	return r < 0 ? r : 0;
}

static void exit_debug(const struct kvm_cpu *c, struct engine_exit *x)
{
	x->kind = ENGINE_EXIT_DEBUG;
	x->size = 0;
	for (unsigned i = 0; i < c->debug.n; i++)
		if (c->run->debug.arch.dr6 >> i & 1 && c->debug.point[i].kind != X86_POINT_RUN) {
			x->addr = c->debug.point[i].addr;
			x->size = (uint8_t)c->debug.point[i].len;
		}
}

/* --- exits -------------------------------------------------------------------------------------------------------- */

static const char *suberror_name(uint32_t suberror)
{
	switch (suberror) {
	case KVM_INTERNAL_ERROR_EMULATION: return "an instruction that the kernel's KVM cannot carry out";
	case KVM_INTERNAL_ERROR_SIMUL_EX: return "exceptions inside exceptions";
	case KVM_INTERNAL_ERROR_DELIVERY_EV: return "an exit while an event was delivered";
	case KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON: return "an exit of a kind nobody expected";
	default: return "the kernel's KVM gave up";
	}
}

/* internal_error() - why, where, and the bytes there when the kernel tells them. */
static void internal_error(struct kvm_cpu *c, struct engine_exit *x)
{
	const struct kvm_run *run = c->run;
	struct kvm_regs regs = { 0 };
	size_t len;

	kvm_ioctl(c->fd, KVM_GET_REGS, &regs);
	len = str_format(x->text, sizeof(x->text), "processor %u at rip 0x%llx: %s (suberror %u)",
			 c->cpu.index, (unsigned long long)regs.rip, suberror_name(run->internal.suberror),
			 run->internal.suberror);
	if (run->internal.suberror != KVM_INTERNAL_ERROR_EMULATION || run->emulation_failure.ndata < 3 ||
	    !(run->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES))
		return;
	for (unsigned i = 0; i < run->emulation_failure.insn_size && i < 15 && len < sizeof(x->text); i++)
		len += str_format(x->text + len, sizeof(x->text) - len, "%s%02x", i ? " " : ", bytes ",
				  run->emulation_failure.insn_bytes[i]);
}

static void exit_io(struct kvm_run *run, struct engine_exit *x)
{
	x->kind = ENGINE_EXIT_IO;
	x->write = run->io.direction == KVM_EXIT_IO_OUT;
	x->size = run->io.size;
	x->count = run->io.count;
	x->addr = run->io.port;
	x->data = (uint8_t *)run + run->io.data_offset;
}

static void exit_mmio(struct kvm_run *run, struct engine_exit *x)
{
	x->kind = ENGINE_EXIT_MMIO;
	x->write = run->mmio.is_write;
	x->size = (uint8_t)run->mmio.len;
	x->count = 1;
	x->addr = run->mmio.phys_addr;
	x->data = run->mmio.data;
}

static void exit_system(const struct kvm_run *run, struct engine_exit *x)
{
	if (run->system_event.type == KVM_SYSTEM_EVENT_CRASH) {
		x->kind = ENGINE_EXIT_ERROR;
		str_copy(x->text, sizeof(x->text), "the guest reported a crash to the hypervisor");
	} else {
		x->kind = ENGINE_EXIT_RESET;
	}
}

/* exit_own() - one that nobody above need know of. Return: it is done */
static bool exit_own(struct kvm_cpu *c)
{
	struct kvm_vm *vm = kvm__vm(c->cpu.vm);
	struct kvm_run *run = c->run;

	if (vm->irqs != KVM_IRQS_SPLIT)
		return false;
	if (run->exit_reason == KVM_EXIT_IOAPIC_EOI)
		kvm__split_eoi(vm, run->eoi.vector);
	else if (run->exit_reason != KVM_EXIT_MMIO || !kvm__split_access(vm, run))
		return false;
	return true;
}

static void exit_read(struct kvm_cpu *c, struct engine_exit *x)
{
	struct kvm_run *run = c->run;

	switch (run->exit_reason) {
	case KVM_EXIT_IO: exit_io(run, x); break;
	case KVM_EXIT_MMIO: exit_mmio(run, x); break;
	case KVM_EXIT_HLT: x->kind = ENGINE_EXIT_HALT; break;
	case KVM_EXIT_SHUTDOWN: x->kind = ENGINE_EXIT_SHUTDOWN; break;
	case KVM_EXIT_SYSTEM_EVENT: exit_system(run, x); break;
	case KVM_EXIT_DEBUG: exit_debug(c, x); break;
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN: x->kind = ENGINE_EXIT_KICKED; break;
	case KVM_EXIT_INTERNAL_ERROR:
		x->kind = ENGINE_EXIT_ERROR;
		internal_error(c, x);
		break;
	case KVM_EXIT_FAIL_ENTRY:
		x->kind = ENGINE_EXIT_ERROR;
		str_format(x->text, sizeof(x->text), "processor %u: entry failed, hardware reason 0x%llx",
			   c->cpu.index, (unsigned long long)run->fail_entry.hardware_entry_failure_reason);
		break;
	default:
		x->kind = ENGINE_EXIT_ERROR;
		str_format(x->text, sizeof(x->text), "processor %u: KVM exit %u, which nobody asked for",
			   c->cpu.index, run->exit_reason);
	}
}

/**
 * kvm__cpu_run() - see the theory of operation
 * Return: 0 with @x; what KVM_RUN itself says is an ENGINE_EXIT_ERROR too
 */
int kvm__cpu_run(struct engine_cpu *cpu, struct engine_exit *x)
{
	struct kvm_cpu *c = kvm__cpu(cpu);
	long r;

	__atomic_store_n(&c->tid, self(),
			 __ATOMIC_SEQ_CST); /* pairs with immediate_exit's store in kvm__cpu_kick() */
	do
		r = kvm_ioctl_n(c->fd, KVM_RUN, 0);
	while (r == -EAGAIN /* it waited to be started and was */ || (r == 0 && exit_own(c)));
	__atomic_store_n(&c->tid, 0, __ATOMIC_RELEASE);

	x->text[0] = '\0';
	if (r == -EINTR) {
		__atomic_store_n(&c->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
		x->kind = ENGINE_EXIT_KICKED;
	} else if (r < 0 && r != -EFAULT) {
		x->kind = ENGINE_EXIT_ERROR;
		str_format(x->text, sizeof(x->text), "processor %u: KVM_RUN: %s", cpu->index,
			   err_name((int)-r));
	} else if (r == -EFAULT) {
		x->kind = ENGINE_EXIT_ERROR;
		str_format(x->text, sizeof(x->text), "processor %u: guest memory cannot be reached",
			   cpu->index);
	} else {
		exit_read(c, x);
	}
	__atomic_store_n(&c->exits[x->kind], c->exits[x->kind] + 1, __ATOMIC_RELAXED); /* one writer */
	return 0;
}
