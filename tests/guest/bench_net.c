/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_net.c - "role=recv" greets and counts the frames that then arrive for "ticks" of the time stamp counter, from the first
 * on; "role=send" sends frames of "bytes" to whoever greeted, for ever. Between the lines "begin" and "end" nothing but frames
 * happens. What drives the queues runs in ring 3.
 */
#include "cpu.h"
#include "virtio.h"

enum {
	VECTOR = 0x58,
	SLACK = 4, /* entries of a queue that are left free */
	ROOM = 68 << 10,
	BUFFERS = 16 << 20, /* address of the first */
	HEADER = 12,        /* struct virtio_net_hdr of version 1 */
	ETHERNET = 14,
	TYPE_HI = 0x88,
	TYPE_LO = 0xb5, /* for local experiments */
	F_MAC = 1 << 5,
};

static struct virtio v;
static struct virtq rx, tx;
static uint8_t greeting[64], *frame = (uint8_t *)BUFFERS;
static uint16_t in_of[VIRTQ_SIZE_MAX];
static uint64_t frames, total, sleeps, end;
static uint32_t bytes;
static unsigned inside;

static uint8_t *in(uint16_t i)
{
	return (uint8_t *)BUFFERS + (uint64_t)(i + 1) * ROOM;
}

static void offer(uint16_t i)
{
	in_of[virtq_add(&rx, &(struct virtq_buf){ in(i), ROOM, true }, 1)] = i;
}

static void on_irq(struct trap_frame *f)
{
	(void)f;
	virtio_ack(&v);
}

static long offer_all(void *arg)
{
	(void)arg;
	for (uint16_t i = 0; i < rx.size - SLACK; i++)
		offer(i);
	virtq_kick(&rx);
	return 0;
}

/* receive() - what has come, until nothing more is there. Return: frames of ours among it */
static long receive(void *arg)
{
	uint32_t len;
	uint16_t id;
	long n = 0;

	(void)arg;
	virtq_quiet(&rx);
	do {
		while (virtq_take(&rx, &id, &len)) {
			uint16_t i = in_of[id];
			uint8_t *p = in(i);

			if (len > HEADER + ETHERNET && p[HEADER + 12] == TYPE_HI &&
			    p[HEADER + 13] == TYPE_LO) {
				n++;
				total += len - HEADER;
				memcpy(frame + HEADER, p + HEADER + 6, 6);
			}
			offer(i);
		}
		virtq_kick(&rx);
	} while (virtq_loud(&rx, 0));
	frames += (uint64_t)n;
	return rdtsc() >= end ? -1 : n;
}

static long send(void *arg)
{
	uint32_t len;
	uint16_t id;

	(void)arg;
	virtq_quiet(&tx);
	do {
		for (; virtq_take(&tx, &id, &len); inside--)
			;
		for (; inside < tx.size - SLACK; inside++)
			virtq_add(&tx, &(struct virtq_buf){ frame, HEADER + bytes, false }, 1);
		virtq_kick(&tx);
	} while (virtq_loud(&tx, (uint16_t)(tx.size / 2)));
	return 0;
}

static void make_frame(uint8_t *p, uint8_t to)
{
	memset(p, 0, HEADER);
	memset(p + HEADER, to, 6);
	for (unsigned i = 0; i < 6; i++)
		p[HEADER + 6 + i] =
			v.features & F_MAC ? virtio_config8(&v, i) : (uint8_t)(2 + 4 * (to != 0) + i);
	p[HEADER + 12] = TYPE_HI;
	p[HEADER + 13] = TYPE_LO;
}

static _Noreturn void do_send(void)
{
	make_frame(frame, 0);
	print("ready\n");
	end = ~0ULL;
	while (ring3(receive, NULL) == 0)
		wait_irq();
	virtq_quiet(&rx);
	for (;;) {
		ring3(send, NULL);
		wait_irq();
	}
}

static int do_receive(void)
{
	make_frame(greeting, 0xff);
	virtq_quiet(&tx);
	virtq_add(&tx, &(struct virtq_buf){ greeting, sizeof(greeting), false }, 1);
	virtq_kick(&tx);
	end = ~0ULL;
	while (ring3(receive, NULL) == 0)
		wait_irq();
	print("begin\n");
	frames = total = 0;
	end = rdtsc() + cmdline_u64("ticks", 1000000000);
	while (ring3(receive, NULL) >= 0) {
		wait_irq();
		sleeps++;
	}
	print("end %lu of %lu bytes, %lu sleeps\n", frames, total, sleeps);
	return 0;
}

int guest_main(void)
{
	const char *role = cmdline_has("role");

	lapic_on();
	bytes = (uint32_t)cmdline_u64("bytes", 1500);
	if (!role || bytes > ROOM - HEADER)
		panic("role=send or role=recv");
	if (!virtio_find(&v, VIRTIO_NET, 0))
		panic("no network card");
	virtio_begin(&v, F_MAC);
	virtq_init(&v, &rx, 0);
	virtq_init(&v, &tx, 1);
	virtio_ready(&v, VECTOR);
	trap_on(VECTOR, on_irq);
	ring3(offer_all, NULL);
	if (role[0] == 's')
		do_send();
	return do_receive();
}
