/* SPDX-License-Identifier: Apache-2.0 */
/* cpu.h - exceptions and interrupts, ring 3, local and I/O APIC, timers, other processors */
#ifndef CPU_H
#define CPU_H

#include "guest.h"

enum { CPUS_MAX = 32, VECTOR_FIRST = 0x50, VECTOR_SPURIOUS = 0xff };

struct trap_frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
	uint64_t vector, code, rip, cs, rflags, rsp, ss;
};
typedef void trap_handler(struct trap_frame *f);

void trap_init(void); /* the first processor's; guest_start() has called it */
/* trap_on() - who is called; interrupts (from VECTOR_FIRST on) are acknowledged afterwards */
void trap_on(uint8_t vector, trap_handler *fn);

/* ring3() - run @fn there, ports and memory open to it, until it returns. Interrupts go on if they are on. */
long ring3(long (*fn)(void *arg), void *arg);

/* --- local APIC: as MSRs when the processor has x2APIC, unless the command line says "xapic" --- */
enum {
	LAPIC_ID = 0x20,
	LAPIC_VERSION = 0x30,
	LAPIC_TPR = 0x80,
	LAPIC_EOI = 0xb0,
	LAPIC_SVR = 0xf0,
	LAPIC_ISR = 0x100,
	LAPIC_IRR = 0x200,
	LAPIC_ESR = 0x280,
	LAPIC_ICR = 0x300,
	LAPIC_LVT_TIMER = 0x320,
	LAPIC_TIMER_INIT = 0x380,
	LAPIC_TIMER_NOW = 0x390,
	LAPIC_TIMER_DIVIDE = 0x3e0,
	MSR_TSC_DEADLINE = 0x6e0,
};
bool lapic_is_x2(void);
void lapic_on(void); /* on each processor that uses it */
uint32_t lapic_read(unsigned reg);
void lapic_write(unsigned reg, uint32_t v);
void lapic_send(unsigned cpu, uint32_t low); /* @low: vector and delivery mode */
unsigned lapic_id(void);
void lapic_timer_once(uint8_t vector, uint32_t count);
void lapic_timer_periodic(uint8_t vector, uint32_t count);
void lapic_timer_deadline(uint8_t vector, uint64_t tsc); /* 0: off */

void ioapic_route(unsigned gsi, uint8_t vector, unsigned cpu, bool level);
void ioapic_mask(unsigned gsi);

/* --- other processors --- */

/* cpu_start() - @fn runs on @cpu with interrupts off; when it returns the processor halts for good */
void cpu_start(unsigned cpu, void (*fn)(unsigned cpu));

/* spin_until() - wait for another processor or a device; panics when @flag stays 0 for about a minute */
#define spin_until(cond)                                                                                     \
	do {                                                                                                 \
		for (unsigned long spins_ = 0; !(cond); spins_++) {                                          \
			if (spins_ > 20000000)                                                               \
				panic("%s:%d: waited too long for %s", __FILE__, __LINE__, #cond);           \
			relax();                                                                             \
		}                                                                                            \
	} while (0)

#endif
