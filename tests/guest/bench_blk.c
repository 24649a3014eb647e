/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_blk.c - keep a disk busy for "ticks" of the time stamp counter: "op=read" or "op=write", "bytes" each, "depth" at once,
 * "random" or one after the other. Between the lines "begin" and "end" nothing but requests happens; "end" is followed by how
 * many were answered, and how often the processor had to sleep for them. What drives the queue runs in ring 3.
 */
#include "cpu.h"
#include "virtio.h"

enum {
	VECTOR = 0x58,
	SECTOR = 512,
	T_IN = 0,
	T_OUT = 1,
	F_FLUSH = 1 << 9,
	BUFFERS = 16 << 20, /* address of the first */
	STATUS_NONE = 0xee,
	LCG_MUL = 1103515245,
	LCG_ADD = 12345,
};

struct header {
	uint32_t type, zero;
	uint64_t sector;
};

static struct virtio v;
static struct virtq q;
static struct header header[VIRTQ_SIZE_MAX];
static uint8_t status[VIRTQ_SIZE_MAX];
static uint16_t slot_of[VIRTQ_SIZE_MAX];
static uint64_t places, next, done, batches, end;
static uint32_t bytes, seed = 1, type;
static unsigned depth, inside;
static bool random;

static uint64_t place(void)
{
	if (random) {
		seed = seed * LCG_MUL + LCG_ADD;
		return (seed >> 8) % places;
	}
	return next++ % places;
}

static void send(uint16_t slot)
{
	struct virtq_buf buf[3] = { { &header[slot], sizeof(header[slot]), false },
				    { (uint8_t *)BUFFERS + (uint64_t)slot * bytes, bytes, type == T_IN },
				    { &status[slot], 1, true } };

	header[slot] = (struct header){ type, 0, place() * (bytes / SECTOR) };
	status[slot] = STATUS_NONE;
	slot_of[virtq_add(&q, buf, 3)] = slot;
}

/* work() - send again what came back, until nothing more is there. Return: 0 nothing is; -1 a request failed */
static long work(void *arg)
{
	(void)arg;
	virtq_quiet(&q);
	do {
		bool more = rdtsc() < end;
		uint32_t len;
		uint16_t id;

		while (virtq_take(&q, &id, &len)) {
			if (status[slot_of[id]] != 0)
				return -1;
			done++;
			inside--;
			if (more) {
				send(slot_of[id]);
				inside++;
			}
		}
		virtq_kick(&q);
	} while (virtq_loud(&q, 0));
	return 0;
}

static long begin(void *arg)
{
	for (; inside < depth; inside++)
		send((uint16_t)inside);
	return work(arg);
}

static void on_irq(struct trap_frame *f)
{
	(void)f;
	virtio_ack(&v);
}

int guest_main(void)
{
	const char *op = cmdline_has("op");
	long r;

	lapic_on();
	type = op && op[0] == 'w' ? T_OUT : T_IN;
	bytes = (uint32_t)cmdline_u64("bytes", 4096);
	depth = (unsigned)cmdline_u64("depth", 32);
	random = cmdline_has("random");
	if (!virtio_find(&v, VIRTIO_BLK, 0))
		panic("no disk");
	virtio_begin(&v, F_FLUSH);
	virtq_init(&v, &q, 0);
	virtio_ready(&v, VECTOR);
	trap_on(VECTOR, on_irq);
	places = virtio_config64(&v, 0) / (bytes / SECTOR);
	if (places == 0 || depth * (v.features & VIRTIO_F_INDIRECT ? 1 : 3) > q.size)
		panic("depth %u, %lu places", depth, places);
	print("begin\n");
	end = rdtsc() + cmdline_u64("ticks", 1000000000);
	for (r = ring3(begin, NULL); r == 0 && inside > 0; r = ring3(work, NULL)) {
		wait_irq();
		batches++;
	}
	print("end %lu of %lu bytes, %lu sleeps\n", done, done * bytes, batches);
	return r < 0;
}
