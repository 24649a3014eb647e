/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu.h"

enum {
	GATE_KERNEL = 0x8e,
	TSS_SELECTOR = 0x28,
	MSR_APIC_BASE = 0x1b,
	APIC_BASE_ON = 1 << 11,
	APIC_BASE_X2 = 1 << 10,
	MSR_X2APIC = 0x800,
	LAPIC_ADDR = 0xfee00000,
	IOAPIC_ADDR = 0xfec00000,
	AP_PAGE = 0x8000,
	ICR_INIT = 0x4500,
	ICR_STARTUP = 0x4600,
	TIMER_PERIODIC = 1 << 17,
	TIMER_DEADLINE = 2 << 17,
	DIVIDE_BY_1 = 0xb,
	KERNEL_STACK = 8192,
	VECTOR_UD = 6,
};

struct gate {
	uint16_t low, selector;
	uint8_t ist, type;
	uint16_t mid;
	uint32_t high, zero;
};

struct tss { /* padded: trap.S counts in 128 */
	uint32_t zero;
	uint8_t rsp0[8];
	uint8_t rest[116];
};

struct table_ptr {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed));

extern char trap_stubs[], ring3_end[], ap_begin[], ap_end[];
extern uint64_t gdt[];
extern struct tss tss[CPUS_MAX];
struct tss tss[CPUS_MAX];

static struct gate idt[256] __attribute__((aligned(16)));
static trap_handler *handler[256];
static uint8_t trap_stack[CPUS_MAX][KERNEL_STACK] __attribute__((aligned(16)));

static void set_gate(unsigned vector)
{
	uint64_t at = (uint64_t)trap_stubs + 16 * vector;

	idt[vector] = (struct gate){ (uint16_t)at,         8, 0, GATE_KERNEL, (uint16_t)(at >> 16),
				     (uint32_t)(at >> 32), 0 };
}

static void load_tables(unsigned cpu)
{
	const struct table_ptr p = { sizeof(idt) - 1, (uint64_t)idt };
	uint64_t at = (uint64_t)&tss[cpu], rsp0 = (uint64_t)trap_stack[cpu] + KERNEL_STACK;
	uint64_t *d = &gdt[TSS_SELECTOR / 8 + 2 * cpu];

	__builtin_memcpy(tss[cpu].rsp0, &rsp0, sizeof(rsp0));
	d[0] = 0x67 | (at & 0xffffff) << 16 | 0x89ULL << 40 | (at >> 24 & 0xff) << 56;
	d[1] = at >> 32;
	__asm__ volatile("lidt %0" ::"m"(p));
	__asm__ volatile("ltr %0" ::"r"((uint16_t)(TSS_SELECTOR + 16 * cpu)));
}

void trap_init(void)
{
	for (unsigned v = 0; v < 32; v++)
		set_gate(v);
	set_gate(VECTOR_SPURIOUS);
	load_tables(0);
}

void trap_on(uint8_t vector, trap_handler *fn)
{
	handler[vector] = fn;
	set_gate(vector);
}

_Noreturn void ring3_return(long result);
void trap_dispatch(struct trap_frame *f);
void trap_dispatch(struct trap_frame *f)
{
	uint64_t cr2;

	if (f->vector == VECTOR_UD && f->rip == (uint64_t)ring3_end)
		ring3_return((long)f->rax);
	if (handler[f->vector]) {
		handler[f->vector](f);
		if (f->vector >= VECTOR_FIRST && f->vector != VECTOR_SPURIOUS)
			lapic_write(LAPIC_EOI, 0);
		return;
	}
	if (f->vector == VECTOR_SPURIOUS)
		return;
	__asm__ volatile("mov %%cr2, %0" : "=r"(cr2));
	panic("vector %lu, code 0x%lx, rip 0x%lx, cr2 0x%lx, cs 0x%lx", f->vector, f->code, f->rip, cr2,
	      f->cs);
}

/* --- local APIC ---------------------------------------------------------------------------------------------------- */

bool lapic_is_x2(void)
{
	static int answer = -1;

	if (answer < 0)
		answer = (cpuid(1, 0).ecx >> 21 & 1) && !cmdline_has("xapic");
	return answer;
}

uint32_t lapic_read(unsigned reg)
{
	return lapic_is_x2() ? (uint32_t)rdmsr(MSR_X2APIC + reg / 16) : read32(LAPIC_ADDR + reg);
}

void lapic_write(unsigned reg, uint32_t v)
{
	if (lapic_is_x2())
		wrmsr(MSR_X2APIC + reg / 16, v);
	else
		write32(LAPIC_ADDR + reg, v);
}

void lapic_on(void)
{
	if (lapic_is_x2())
		wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_ON | APIC_BASE_X2);
	lapic_write(LAPIC_TPR, 0);
	lapic_write(LAPIC_SVR, 0x100 | VECTOR_SPURIOUS);
}

unsigned lapic_id(void)
{
	return lapic_is_x2() ? lapic_read(LAPIC_ID) : lapic_read(LAPIC_ID) >> 24;
}

void lapic_send(unsigned cpu, uint32_t low)
{
	if (lapic_is_x2()) {
		wrmsr(MSR_X2APIC + LAPIC_ICR / 16, (uint64_t)cpu << 32 | low);
		return;
	}
	write32(LAPIC_ADDR + LAPIC_ICR + 16, cpu << 24);
	write32(LAPIC_ADDR + LAPIC_ICR, low);
}

static void timer(uint32_t lvt, uint32_t count)
{
	lapic_write(LAPIC_TIMER_DIVIDE, DIVIDE_BY_1);
	lapic_write(LAPIC_LVT_TIMER, lvt);
	lapic_write(LAPIC_TIMER_INIT, count);
}

void lapic_timer_once(uint8_t vector, uint32_t count)
{
	timer(vector, count);
}

void lapic_timer_periodic(uint8_t vector, uint32_t count)
{
	timer(vector | TIMER_PERIODIC, count);
}

void lapic_timer_deadline(uint8_t vector, uint64_t tsc)
{
	lapic_write(LAPIC_LVT_TIMER, vector | TIMER_DEADLINE);
	__asm__ volatile("mfence" ::: "memory");
	wrmsr(MSR_TSC_DEADLINE, tsc);
}

/* --- I/O APIC ------------------------------------------------------------------------------------------------------ */

static void ioapic_write(unsigned reg, uint32_t v)
{
	write32(IOAPIC_ADDR, reg);
	write32(IOAPIC_ADDR + 0x10, v);
}

void ioapic_route(unsigned gsi, uint8_t vector, unsigned cpu, bool level)
{
	ioapic_write(0x11 + 2 * gsi, cpu << 24);
	ioapic_write(0x10 + 2 * gsi, vector | (level ? 1 << 15 : 0));
}

void ioapic_mask(unsigned gsi)
{
	ioapic_write(0x10 + 2 * gsi, 1 << 16);
}

/* --- other processors ------------------------------------------------------------------------------------------------ */

static void (*volatile ap_fn)(unsigned cpu);
static volatile unsigned ap_seen;

void ap_main(unsigned cpu);
void ap_main(unsigned cpu)
{
	void (*fn)(unsigned cpu) = ap_fn;

	load_tables(cpu);
	ap_seen = cpu;
	fn(cpu);
}

void cpu_start(unsigned cpu, void (*fn)(unsigned cpu))
{
	memcpy((void *)AP_PAGE, ap_begin, (size_t)(ap_end - ap_begin));
	ap_fn = fn;
	ap_seen = 0;
	barrier();
	lapic_send(cpu, ICR_INIT);
	for (int i = 0; i < 1000; i++) /* 10 ms by the book; no machine of ours needs any */
		relax();
	lapic_send(cpu, ICR_STARTUP | AP_PAGE >> 12);
	spin_until(ap_seen == cpu);
}
