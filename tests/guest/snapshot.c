/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshot.c - works on and does not notice that it was saved and restored: a timer's interrupts, a disk with a request always
 * under way, floating point in ring 3. A line for each round; "rounds=N".
 */
#include "cpu.h"
#include "virtio.h"

enum { VECTOR = 0x58, TIMER = 0x70, SECTOR = 512, DEPTH = 4, SECTORS = 4096, WORK = 20, ADDITIONS = 3000000 };

static struct virtio v;
static struct virtq q;
static volatile unsigned ticks;
static uint64_t next;
static struct slot {
	uint32_t type, zero;
	uint64_t sector;
	uint8_t status, data[SECTOR];
} slot[DEPTH];
static struct slot *of[VIRTQ_SIZE_MAX];

static void tick(struct trap_frame *f)
{
	(void)f;
	ticks++;
}

static void send(struct slot *s)
{
	s->type = 0;
	s->sector = next++ % SECTORS;
	s->status = 0xee;
	of[virtq_add(
		&q,
		(struct virtq_buf[]){ { s, 16, false }, { s->data, SECTOR, true }, { &s->status, 1, true } },
		3)] = s;
	virtq_kick(&q);
}

/* one() - a request comes back, right or wrong, and another goes */
static void one(void)
{
	uint32_t len;
	struct slot *s = of[virtq_wait(&q, &len)];
	uint64_t nr;

	__builtin_memcpy(&nr, s->data, sizeof(nr));
	if (s->status != 0 || nr != s->sector)
		panic("sector %lu: status %u, holds %lu", s->sector, s->status, nr);
	send(s);
}

/* sum() - ring 3, in a register of the floating point unit all the while */
static long sum(void *arg)
{
	long n = ADDITIONS, ret;

	(void)arg;
	__asm__ volatile("fninit; fldz; 1: fld1; faddp; dec %0; jnz 1b; fistpq %1"
			 : "+r"(n), "=m"(ret)::"cc");
	return ret;
}

int guest_main(void)
{
	uint64_t rounds = cmdline_u64("rounds", 1000);

	lapic_on();
	trap_on(TIMER, tick);
	if (!virtio_find(&v, VIRTIO_BLK, 0))
		panic("no disk");
	virtio_begin(&v, 0);
	virtq_init(&v, &q, 0);
	virtio_ready(&v, VECTOR);
	lapic_timer_periodic(TIMER, 10000000);
	for (unsigned i = 0; i < DEPTH; i++)
		send(&slot[i]);
	for (uint64_t round = 1; round <= rounds; round++) {
		unsigned before = ticks;
		long got;

		for (unsigned i = 0; i < WORK; i++)
			one();
		irq_on();
		got = ring3(sum, NULL);
		irq_off();
		if (got != ADDITIONS)
			panic("the sum is %ld", got);
		while (ticks == before)
			wait_irq();
		print("round %lu\n", round);
	}
	print("done, disk interrupts %s\n", virtio_irqs(&v) ? "came" : "did not come");
	return 0;
}
