/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state.c - struct x86_state to and from the kernel's pieces
 *
 * The order matters. Reading: the run state first, for asking makes the kernel take INIT and SIPI that wait. Writing: control
 * registers before XSAVE (XCR0 says what it holds), the APIC's base before the APIC, the APIC before the registers that arm its
 * timer, events last for they are cancelled by what goes before.
 *
 * Writing is for before the first instruction, and for a debugger: any other machine that runs only reads.
 * syscalls(loop): ioctl[1]=KVM_GET_REGS,KVM_GET_SREGS,KVM_GET_XCRS,KVM_GET_XSAVE,KVM_GET_DEBUGREGS,KVM_GET_VCPU_EVENTS,KVM_GET_MP_STATE
 * syscalls(loop): ioctl[1]=KVM_GET_LAPIC,KVM_GET_MSRS,KVM_GET_TSC_KHZ,KVM_GET_IRQCHIP,KVM_GET_CLOCK,KVM_GET_DIRTY_LOG
 * syscalls(loop): ioctl[1]=KVM_GET_MSR_INDEX_LIST
 * syscalls(debug): ioctl[1]=KVM_SET_REGS,KVM_SET_SREGS,KVM_SET_XSAVE,KVM_SET_MP_STATE,KVM_SET_VCPU_EVENTS
 */
#include "engine/kvm/kvm_internal.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/bug.h"
#include "base/err.h"
#include "sys/kvm.h"

enum {
	ATTR_UNUSABLE = 1 << 8,
	LAPIC_VERSION_OFFSET = 0x30,
	TSC_TOLERANCE_PPM = 250, /* what guests' own clocks bear without scaling */
};

static_assert(sizeof(struct kvm_xsave) == X86_XSAVE_MAX, "as the kernel has it");
static_assert(sizeof(struct kvm_lapic_state) == X86_LAPIC_BYTES, "as the kernel has it");

static const enum x86_run run_of[] = {
	[KVM_MP_STATE_RUNNABLE] = X86_RUNNABLE,           [KVM_MP_STATE_UNINITIALIZED] = X86_UNINITIALIZED,
	[KVM_MP_STATE_INIT_RECEIVED] = X86_INIT_RECEIVED, [KVM_MP_STATE_HALTED] = X86_HALTED,
	[KVM_MP_STATE_SIPI_RECEIVED] = X86_SIPI_RECEIVED,
};

static const uint32_t mp_of[X86_RUN_COUNT] = {
	[X86_RUNNABLE] = KVM_MP_STATE_RUNNABLE,           [X86_UNINITIALIZED] = KVM_MP_STATE_UNINITIALIZED,
	[X86_INIT_RECEIVED] = KVM_MP_STATE_INIT_RECEIVED, [X86_HALTED] = KVM_MP_STATE_HALTED,
	[X86_SIPI_RECEIVED] = KVM_MP_STATE_SIPI_RECEIVED,
};

static struct x86_segment segment_from(const struct kvm_segment *k)
{
	return (struct x86_segment){
		.base = k->base,
		.limit = k->limit,
		.selector = k->selector,
		.attr = (uint16_t)((k->type & 15) | k->s << 4 | (k->dpl & 3) << 5 | k->present << 7 |
				   (k->unusable ? ATTR_UNUSABLE : 0) | k->avl << 12 | k->l << 13 |
				   k->db << 14 | k->g << 15),
	};
}

static struct kvm_segment segment_to(const struct x86_segment *s)
{
	return (struct kvm_segment){
		.base = s->base,
		.limit = s->limit,
		.selector = s->selector,
		.type = s->attr & 15,
		.s = s->attr >> 4 & 1,
		.dpl = s->attr >> 5 & 3,
		.present = s->attr >> 7 & 1,
		.unusable = (s->attr & ATTR_UNUSABLE) != 0,
		.avl = s->attr >> 12 & 1,
		.l = s->attr >> 13 & 1,
		.db = s->attr >> 14 & 1,
		.g = s->attr >> 15 & 1,
	};
}

/* The kernel's general registers, in the order of enum x86_gpr. */
static void gprs_from(const struct kvm_regs *k, uint64_t *g)
{
	const uint64_t all[X86_GPR_COUNT] = {
		k->rax, k->rcx, k->rdx, k->rbx, k->rsp, k->rbp, k->rsi, k->rdi,
		k->r8,  k->r9,  k->r10, k->r11, k->r12, k->r13, k->r14, k->r15
	};

	memcpy(g, all, sizeof(all));
}

static struct kvm_regs regs_to(const struct x86_state *s)
{
	const uint64_t *g = s->gpr;

	return (struct kvm_regs){
		.rax = g[X86_RAX],
		.rcx = g[X86_RCX],
		.rdx = g[X86_RDX],
		.rbx = g[X86_RBX],
		.rsp = g[X86_RSP],
		.rbp = g[X86_RBP],
		.rsi = g[X86_RSI],
		.rdi = g[X86_RDI],
		.r8 = g[X86_R8],
		.r9 = g[X86_R8 + 1],
		.r10 = g[X86_R8 + 2],
		.r11 = g[X86_R8 + 3],
		.r12 = g[X86_R8 + 4],
		.r13 = g[X86_R8 + 5],
		.r14 = g[X86_R8 + 6],
		.r15 = g[X86_R15],
		.rip = s->rip,
		.rflags = s->rflags,
	};
}

static void sregs_from(const struct kvm_sregs *k, struct x86_state *s)
{
	const struct kvm_segment *const seg[X86_SEG_COUNT] = { &k->es, &k->cs, &k->ss,  &k->ds,
							       &k->fs, &k->gs, &k->ldt, &k->tr };

	for (int i = 0; i < X86_SEG_COUNT; i++)
		s->seg[i] = segment_from(seg[i]);
	s->gdt = (struct x86_table){ .base = k->gdt.base, .limit = k->gdt.limit };
	s->idt = (struct x86_table){ .base = k->idt.base, .limit = k->idt.limit };
	s->cr0 = k->cr0;
	s->cr2 = k->cr2;
	s->cr3 = k->cr3;
	s->cr4 = k->cr4;
	s->cr8 = k->cr8;
	s->efer = k->efer;
	s->apic_base = k->apic_base;
}

static void sregs_to(const struct x86_state *s, struct kvm_sregs *k)
{
	struct kvm_segment *const seg[X86_SEG_COUNT] = { &k->es, &k->cs, &k->ss,  &k->ds,
							 &k->fs, &k->gs, &k->ldt, &k->tr };

	for (int i = 0; i < X86_SEG_COUNT; i++)
		*seg[i] = segment_to(&s->seg[i]);
	k->gdt = (struct kvm_dtable){ .base = s->gdt.base, .limit = s->gdt.limit };
	k->idt = (struct kvm_dtable){ .base = s->idt.base, .limit = s->idt.limit };
	k->cr0 = s->cr0;
	k->cr2 = s->cr2;
	k->cr3 = s->cr3;
	k->cr4 = s->cr4;
	k->cr8 = s->cr8;
	k->efer = s->efer;
	k->apic_base = s->apic_base;
}

static void events_from(const struct kvm_vcpu_events *k, struct x86_events *x)
{
	*x = (struct x86_events){
		.exception_injected = k->exception.injected,
		.exception_nr = k->exception.nr,
		.exception_has_code = k->exception.has_error_code,
		.exception_pending = k->exception.pending,
		.exception_code = k->exception.error_code,
		.exception_payload = k->exception_payload,
		.exception_has_payload = k->exception_has_payload,
		.interrupt_injected = k->interrupt.injected,
		.interrupt_nr = k->interrupt.nr,
		.interrupt_soft = k->interrupt.soft,
		.interrupt_shadow = k->interrupt.shadow,
		.nmi_injected = k->nmi.injected,
		.nmi_pending = k->nmi.pending,
		.nmi_masked = k->nmi.masked,
		.sipi_vector = k->sipi_vector,
		.smi_smm = k->smi.smm,
		.smi_pending = k->smi.pending,
		.smi_inside_nmi = k->smi.smm_inside_nmi,
		.smi_latched_init = k->smi.latched_init,
	};
}

/*
 * events_to() - an exception that was pending is given as injected: only kernels that were asked for payloads (which this
 * engine does not do) tell the two apart.
 */
static struct kvm_vcpu_events events_to(const struct x86_events *x)
{
	return (struct kvm_vcpu_events){
		.exception = { .injected = x->exception_injected || x->exception_pending,
			       .nr = x->exception_nr,
			       .has_error_code = x->exception_has_code,
			       .error_code = x->exception_code },
		.interrupt = { .injected = x->interrupt_injected,
			       .nr = x->interrupt_nr,
			       .soft = x->interrupt_soft,
			       .shadow = x->interrupt_shadow },
		.nmi = { .injected = x->nmi_injected, .pending = x->nmi_pending, .masked = x->nmi_masked },
		.sipi_vector = x->sipi_vector,
		.smi = { .smm = x->smi_smm,
			 .pending = x->smi_pending,
			 .smm_inside_nmi = x->smi_inside_nmi,
			 .latched_init = x->smi_latched_init },
		.flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW |
			 KVM_VCPUEVENT_VALID_SIPI_VECTOR | KVM_VCPUEVENT_VALID_SMM,
	};
}

/* One request of many: the first that fails ends the row, and its name is told. */
struct row {
	struct kvm_cpu *c;
	struct err *e;
	int r;
};

static void row_do(struct row *w, unsigned long request, const void *arg, const char *what)
{
	long r;

	if (w->r < 0)
		return;
	r = kvm_ioctl(w->c->fd, request, arg);
	if (r < 0)
		w->r = err_sys(w->e, (int)-r, "processor %u: %s", w->c->cpu.index, what);
}

static int tsc_khz(struct kvm_cpu *c)
{
	long r = kvm_ioctl_n(c->fd, KVM_GET_TSC_KHZ, 0);

	return r > 0 ? (int)r : 0;
}

static void lapic_get(struct row *w, struct x86_state *s)
{
	if (kvm__vm(w->c->cpu.vm)->irqs != KVM_IRQS_NONE)
		row_do(w, KVM_GET_LAPIC, s->lapic, "KVM_GET_LAPIC");
}

int kvm__cpu_get(struct engine_cpu *cpu, struct x86_state *s, struct err *e)
{
	struct kvm_cpu *c = kvm__cpu(cpu);
	struct row w = { .c = c, .e = e };
	struct kvm_mp_state mp = { 0 };
	struct kvm_regs regs = { 0 };
	struct kvm_sregs sregs = { 0 };
	struct kvm_xcrs xcrs = { 0 };
	struct kvm_debugregs debug = { 0 };
	struct kvm_vcpu_events events = { 0 };

	memset(s, 0, sizeof(*s));
	row_do(&w, KVM_GET_MP_STATE, &mp, "KVM_GET_MP_STATE");
	row_do(&w, KVM_GET_REGS, &regs, "KVM_GET_REGS");
	row_do(&w, KVM_GET_SREGS, &sregs, "KVM_GET_SREGS");
	row_do(&w, KVM_GET_XCRS, &xcrs, "KVM_GET_XCRS");
	row_do(&w, KVM_GET_XSAVE, s->xsave, "KVM_GET_XSAVE");
	row_do(&w, KVM_GET_DEBUGREGS, &debug, "KVM_GET_DEBUGREGS");
	row_do(&w, KVM_GET_VCPU_EVENTS, &events, "KVM_GET_VCPU_EVENTS");
	lapic_get(&w, s);
	if (w.r == 0 && mp.mp_state >= ARRAY_SIZE(run_of))
		w.r = err_set(e, EIO, "processor %u: KVM_GET_MP_STATE: %u", cpu->index, mp.mp_state);
	if (w.r == 0)
		w.r = kvm__msrs_get(c, s, e);
	if (w.r < 0)
		return w.r;
	s->run = run_of[mp.mp_state];
	gprs_from(&regs, s->gpr);
	s->rip = regs.rip;
	s->rflags = regs.rflags;
	sregs_from(&sregs, s);
	for (uint32_t i = 0; i < xcrs.nr_xcrs && i < KVM_MAX_XCRS; i++)
		if (xcrs.xcrs[i].xcr == 0)
			s->xcr0 = xcrs.xcrs[i].value;
	s->xsave_len = sizeof(struct kvm_xsave);
	memcpy(s->dr, debug.db, sizeof(s->dr));
	s->dr6 = debug.dr6;
	s->dr7 = debug.dr7;
	events_from(&events, &s->events);
	s->tsc_khz = (uint32_t)tsc_khz(c);
	return 0;
}

/* tsc_set() - scaled when the hardware can; a frequency so near that no clock notices stays. */
static int tsc_set(struct kvm_cpu *c, uint32_t khz, struct err *e)
{
	int64_t has = tsc_khz(c), off;
	long r;

	if (khz == 0 || has == 0)
		return 0;
	off = ((int64_t)khz - has) * 1000000 / has;
	if (off <= TSC_TOLERANCE_PPM && off >= -TSC_TOLERANCE_PPM)
		return 0;
	r = kvm_ioctl_n(c->fd, KVM_SET_TSC_KHZ, khz);
	return r < 0 ? err_sys(e, (int)-r, "processor %u: a TSC of %u kHz on one of %lld kHz", c->cpu.index,
			       khz, (long long)has) :
		       0;
}

/* What a state may leave out stays as the processor has it since its reset: see x86_state.h. */
static bool has_lapic(const struct x86_state *s)
{
	uint32_t version;

	memcpy(&version, s->lapic + LAPIC_VERSION_OFFSET, sizeof(version));
	return version != 0;
}

static void sregs_set(struct row *w, const struct x86_state *s)
{
	struct kvm_sregs k = { 0 };
	uint64_t apic_base;

	if (!s->apic_base)
		row_do(w, KVM_GET_SREGS, &k, "KVM_GET_SREGS");
	apic_base = k.apic_base;
	sregs_to(s, &k);
	if (!s->apic_base)
		k.apic_base = apic_base;
	memset(k.interrupt_bitmap, 0, sizeof(k.interrupt_bitmap)); /* the events carry it */
	row_do(w, KVM_SET_SREGS, &k, "KVM_SET_SREGS");
}

static void debug_set(struct row *w, const struct x86_state *s)
{
	struct kvm_debugregs debug = { .dr6 = s->dr6, .dr7 = s->dr7 };

	memcpy(debug.db, s->dr, sizeof(debug.db));
	if (s->dr7)
		row_do(w, KVM_SET_DEBUGREGS, &debug, "KVM_SET_DEBUGREGS");
}

int kvm__cpu_set(struct engine_cpu *cpu, const struct x86_state *s, struct err *e)
{
	struct kvm_cpu *c = kvm__cpu(cpu);
	bool irqs = kvm__vm(cpu->vm)->irqs != KVM_IRQS_NONE;
	struct row w = { .c = c, .e = e };
	struct kvm_mp_state mp = { .mp_state = mp_of[s->run] };
	struct kvm_regs regs = regs_to(s);
	struct kvm_xcrs xcrs = { .nr_xcrs = 1, .xcrs = { { .xcr = 0, .value = s->xcr0 } } };
	struct kvm_vcpu_events events = events_to(&s->events);

	w.r = tsc_set(c, s->tsc_khz, e);
	row_do(&w, KVM_SET_REGS, &regs, "KVM_SET_REGS");
	sregs_set(&w, s);
	if (s->xcr0)
		row_do(&w, KVM_SET_XCRS, &xcrs, "KVM_SET_XCRS");
	if (s->xsave_len == sizeof(struct kvm_xsave))
		row_do(&w, KVM_SET_XSAVE, s->xsave, "KVM_SET_XSAVE");
	debug_set(&w, s);
	if (irqs && has_lapic(s))
		row_do(&w, KVM_SET_LAPIC, s->lapic, "KVM_SET_LAPIC");
	if (w.r == 0)
		w.r = kvm__msrs_set(c, s, e);
	if (irqs || s->run != X86_RUNNABLE)
		row_do(&w, KVM_SET_MP_STATE, &mp, "KVM_SET_MP_STATE");
	row_do(&w, KVM_SET_VCPU_EVENTS, &events, "KVM_SET_VCPU_EVENTS");
	return w.r;
}
