/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net.c - frames between two machines: "role=pong" answers what arrives until it has answered "count", "role=ping" sends
 * and counts the answers; "bytes" is a frame's length. Both print how many, and neither prints times.
 */
#include "cpu.h"
#include "virtio.h"

enum {
	VECTOR = 0x58,
	BUFS = 32,
	ROOM = 2048,
	HEADER = 12, /* struct virtio_net_hdr of version 1 */
	ETHERNET = 14,
	TYPE_HI = 0x88,
	TYPE_LO = 0xb5, /* for local experiments */
	F_MAC = 1 << 5,
	COUNT = 50,
};

static struct virtio v;
static struct virtq rx, tx;
static uint8_t in[BUFS][ROOM], out[ROOM], mac[6];
static uint8_t *in_of[VIRTQ_SIZE_MAX];

static void offer(uint8_t *p)
{
	in_of[virtq_add(&rx, &(struct virtq_buf){ p, ROOM, true }, 1)] = p;
	virtq_kick(&rx);
}

static void send(const uint8_t *to, uint32_t bytes, uint8_t fill)
{
	uint32_t n;

	memset(out, 0, HEADER);
	memcpy(out + HEADER, to, 6);
	memcpy(out + HEADER + 6, mac, 6);
	out[HEADER + 12] = TYPE_HI;
	out[HEADER + 13] = TYPE_LO;
	memset(out + HEADER + ETHERNET, fill, bytes - ETHERNET);
	virtq_add(&tx, &(struct virtq_buf){ out, HEADER + bytes, false }, 1);
	virtq_kick(&tx);
	virtq_wait(&tx, &n);
}

/* next() - our own kind of frame; others are nobody's business */
static uint8_t *next(uint32_t *ret_bytes)
{
	for (;;) {
		uint32_t len;
		uint8_t *p = in_of[virtq_wait(&rx, &len)];

		*ret_bytes = len - HEADER;
		if (len >= HEADER + ETHERNET && p[HEADER + 12] == TYPE_HI && p[HEADER + 13] == TYPE_LO)
			return p;
		offer(p);
	}
}

static bool filled(const uint8_t *p, uint32_t bytes, uint8_t fill)
{
	return bytes > ETHERNET && p[HEADER + ETHERNET] == fill && p[HEADER + bytes - 1] == fill;
}

int guest_main(void)
{
	static const uint8_t all[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	uint32_t count = (uint32_t)cmdline_u64("count", COUNT), bytes = (uint32_t)cmdline_u64("bytes", 60),
		 got;
	const char *role = cmdline_has("role");
	unsigned right = 0;

	lapic_on();
	if (!role)
		panic("role=ping or role=pong");
	if (!virtio_find(&v, VIRTIO_NET, 0))
		panic("no network card");
	virtio_begin(&v, F_MAC);
	virtq_init(&v, &rx, 0);
	virtq_init(&v, &tx, 1);
	virtio_ready(&v, VECTOR);
	for (unsigned i = 0; i < sizeof(mac); i++)
		mac[i] = v.features & F_MAC ? virtio_config8(&v, i) : (uint8_t)(2 + 4 * (role[1] == 'o') + i);
	if (mac[0] & 1)
		panic("a multicast address");
	for (unsigned i = 0; i < BUFS; i++)
		offer(in[i]);
	if (role[1] == 'i')
		send(all, bytes, 0); /* nobody's address is known yet */
	else
		print("ready\n");
	for (uint32_t i = 0; i < count; i++) {
		uint8_t *p = next(&got), to[6];

		right += filled(p, got, (uint8_t)i) && got == bytes;
		memcpy(to, p + HEADER + 6, 6);
		offer(p);
		if (role[1] == 'o')
			send(to, bytes, (uint8_t)i);
		else if (i + 1 < count)
			send(to, bytes, (uint8_t)(i + 1));
	}
	print("%u frames, %u right\n", count, right);
	return 0;
}
