/* SPDX-License-Identifier: Apache-2.0 */
/* timer.c - the local APIC's timer in its three modes, in ring 0 and in ring 3, and masked */
#include "cpu.h"

enum { VECTOR = 0x70, PERIODS = 5, FOREVER = 1 << 30 };

static volatile unsigned ticks;

static void tick(struct trap_frame *f)
{
	ticks++;
	if (ticks >= PERIODS && cmdline_has("trace"))
		print("tick at cs 0x%lx\n", f->cs);
}

static void wait_for(unsigned want)
{
	while (ticks < want)
		wait_irq();
}

static long spin(void *arg)
{
	unsigned want = (unsigned)(uint64_t)arg;

	for (unsigned long i = 0; i < FOREVER && ticks < want; i++)
		barrier();
	return ticks;
}

int guest_main(void)
{
	uint64_t start;

	lapic_on();
	trap_on(VECTOR, tick);

	lapic_timer_once(VECTOR, 1000000);
	wait_for(1);
	print("one-shot: %u\n", ticks);

	ticks = 0;
	lapic_timer_periodic(VECTOR, 1000000);
	wait_for(PERIODS);
	lapic_write(LAPIC_TIMER_INIT, 0);
	print("periodic: %s\n", ticks >= PERIODS ? "enough" : "too few");

	ticks = 0;
	if (cpuid(1, 0).ecx >> 24 & 1) {
		start = rdtsc();
		lapic_timer_deadline(VECTOR, start + 5000000);
		wait_for(1);
		print("deadline: %u, %s\n", ticks, rdtsc() - start >= 5000000 ? "not early" : "early");
		ticks = 0;
		lapic_timer_deadline(VECTOR, 1); /* long past */
		wait_for(1);
		print("deadline in the past: %u\n", ticks);
	}

	ticks = 0;
	lapic_timer_once(VECTOR, 5000000);
	irq_on();
	print("interrupts ring 3: %ld\n", ring3(spin, (void *)1));
	irq_off();

	ticks = 0;
	lapic_write(LAPIC_LVT_TIMER, 1 << 16 | VECTOR);
	lapic_write(LAPIC_TIMER_INIT, 100000);
	irq_on();
	for (int i = 0; i < 2000 && ticks == 0; i++)
		relax();
	irq_off();
	print("masked: %u\n", ticks);
	return 0;
}
