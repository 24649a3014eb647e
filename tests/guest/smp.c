/* SPDX-License-Identifier: Apache-2.0 */
/* smp.c - all processors start, know who they are, run ring 3 and reach each other by interrupts. "cpus=N" */
#include "cpu.h"

enum { VECTOR_PING = 0x60, VECTOR_PONG = 0x61, ROUNDS = 20 };

static volatile unsigned online, id[CPUS_MAX], pings[CPUS_MAX], pongs;
static volatile long sums[CPUS_MAX];

static long work(void *arg)
{
	volatile long sum = 0;

	for (long i = 0; i < 100000; i++)
		sum += i % ((long)arg + 2);
	return sum;
}

static void ping(struct trap_frame *f)
{
	(void)f;
	pings[lapic_id()]++;
	lapic_send(0, VECTOR_PONG);
}

static void pong(struct trap_frame *f)
{
	(void)f;
	pongs++;
}

static void other(unsigned cpu)
{
	lapic_on();
	id[cpu] = lapic_id();
	sums[cpu] = ring3(work, (void *)(uint64_t)cpu);
	online++;
	for (;;)
		wait_irq();
}

int guest_main(void)
{
	unsigned cpus = (unsigned)cmdline_u64("cpus", 1);

	lapic_on();
	trap_on(VECTOR_PING, ping);
	trap_on(VECTOR_PONG, pong);
	for (unsigned cpu = 1; cpu < cpus; cpu++) {
		cpu_start(cpu, other);
		spin_until(online == cpu);
		print("cpu %u: apic id %u, sum %s\n", cpu, id[cpu],
		      sums[cpu] == ring3(work, (void *)(uint64_t)cpu) ? "right" : "wrong");
	}
	for (unsigned round = 1; round <= ROUNDS; round++)
		for (unsigned cpu = 1; cpu < cpus; cpu++) {
			unsigned want = pongs + 1;

			lapic_send(cpu, VECTOR_PING);
			while (pongs != want)
				wait_irq();
		}
	for (unsigned cpu = 1; cpu < cpus; cpu++)
		print("cpu %u: %u pings\n", cpu, pings[cpu]);
	print("%u processors, %u pongs\n", online + 1, pongs);
	return 0;
}
