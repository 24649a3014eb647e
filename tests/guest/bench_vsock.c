/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_vsock.c - one stream to the port "connect" of the host for "ticks" of the time stamp counter: "op=send" sends "bytes" in
 * each packet, as far as the host has room; "op=recv" takes what comes. As in bench_blk.c, nothing else happens between the lines
 * "begin" and "end", and what drives the queues runs in ring 3.
 */
#include "cpu.h"
#include "virtio.h"
#include "vsock.h"

enum {
	VECTOR = 0x58,
	BUFS = 32, /* each way */
	ROOM = 64 << 10,
	PORT = 1234,
	BUF_ALLOC = BUFS * ROOM /
		    2, /* what the host may have on its way: there is a buffer for each byte of it */
	TELL = BUF_ALLOC / 4,
	BUFFERS = 16 << 20, /* address of the first */
};

static struct virtio v;
static struct virtq rx, tx;
static struct vsock_header in[BUFS], out[BUFS];
static struct vsock_header *of_rx[VIRTQ_SIZE_MAX], *of_tx[VIRTQ_SIZE_MAX], *idle[BUFS];
static unsigned n_idle;
static uint64_t cid, done, moved, batches, end;
static uint32_t port, bytes, sent, room, passed, taken, told;
static bool sending, answered, refused;

static uint8_t *data_of(const struct vsock_header *h)
{
	return (uint8_t *)BUFFERS + (h >= in && h < in + BUFS ? h - in : BUFS + (h - out)) * (uint64_t)ROOM;
}

static void offer(struct vsock_header *h)
{
	of_rx[virtq_add(&rx, (struct virtq_buf[]){ { h, sizeof(*h), true }, { data_of(h), ROOM, true } },
			2)] = h;
}

/* send() - one of the idle ones goes; there is one */
static void send(uint16_t op, uint32_t len)
{
	struct vsock_header *h = idle[--n_idle];
	struct virtq_buf buf[2] = { { h, sizeof(*h), false }, { data_of(h), len, false } };

	*h = (struct vsock_header){ cid, VSOCK_HOST, PORT, port, len, VSOCK_STREAM, op, 0, BUF_ALLOC, taken };
	told = taken;
	sent += len;
	of_tx[virtq_add(&tx, buf, len ? 2 : 1)] = h;
}

/* take() - what has come and gone. Return: whether there was anything */
static bool take(void)
{
	bool any = false;
	uint32_t len;
	uint16_t id;

	while (virtq_take(&rx, &id, &len)) {
		struct vsock_header *h = of_rx[id];

		any = true;
		answered |= h->op == VSOCK_RESPONSE;
		refused |= h->op == VSOCK_RST;
		room = h->buf_alloc;
		passed = h->fwd_cnt;
		taken += h->len;
		if (!sending && h->op == VSOCK_RW) {
			done++;
			moved += h->len;
		}
		offer(h);
	}
	while (virtq_take(&tx, &id, &len)) {
		any = true;
		idle[n_idle++] = of_tx[id];
		if (sending && of_tx[id]->op == VSOCK_RW) {
			done++;
			moved += of_tx[id]->len;
		}
	}
	return any;
}

static void give(void)
{
	if (n_idle && taken - told >= TELL)
		send(VSOCK_CREDIT_UPDATE, 0);
	while (sending && n_idle && room - (sent - passed) >= bytes && room >= bytes)
		send(VSOCK_RW, bytes);
	virtq_kick(&rx);
	virtq_kick(&tx);
}

/* work() - until nothing more is there to do. Return: 0; -1 the host has ended it */
static long work(void *arg)
{
	(void)arg;
	virtq_quiet(&rx);
	virtq_quiet(&tx);
	do {
		while (take())
			;
		if (rdtsc() < end)
			give();
	} while (virtq_loud(&rx, 0) | virtq_loud(&tx, 0));
	return refused ? -1 : 0;
}

static void on_irq(struct trap_frame *f)
{
	(void)f;
	virtio_ack(&v);
}

static void connect(void)
{
	send(VSOCK_REQUEST, 0);
	virtq_kick(&rx);
	virtq_kick(&tx);
	while (!answered && !refused) {
		if (!take())
			wait_irq();
	}
	if (refused)
		panic("nobody listens at port %u", port);
}

int guest_main(void)
{
	const char *op = cmdline_has("op");
	long r;

	lapic_on();
	sending = op && op[0] == 's';
	bytes = (uint32_t)cmdline_u64("bytes", 4096);
	port = (uint32_t)cmdline_u64("connect", 0);
	if (bytes == 0 || bytes > ROOM)
		panic("packets of %u bytes", bytes);
	if (!virtio_find(&v, VIRTIO_VSOCK, 0))
		panic("no vsock");
	virtio_begin(&v, 0);
	virtq_init(&v, &rx, 0);
	virtq_init(&v, &tx, 1);
	virtio_ready(&v, VECTOR);
	trap_on(VECTOR, on_irq);
	cid = virtio_config64(&v, 0);
	for (unsigned i = 0; i < BUFS; i++) {
		offer(&in[i]);
		idle[n_idle++] = &out[i];
	}
	connect();
	print("begin\n");
	end = rdtsc() + cmdline_u64("ticks", 1000000000);
	for (r = ring3(work, NULL); r == 0 && rdtsc() < end; r = ring3(work, NULL)) {
		wait_irq();
		batches++;
	}
	print("end %lu of %lu bytes, %lu sleeps\n", done, moved, batches);
	return r < 0;
}
