/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vsock.c - streams to and from the host: "connect=PORT" sends a line and prints the answer, "listen=PORT" sends back what one
 * connection brings, until it ends
 */
#include "cpu.h"
#include "virtio.h"
#include "vsock.h"

enum { VECTOR = 0x58, BUFS = 8, ROOM = 4096, BUF_ALLOC = 64 << 10, PORT = 1234 };

struct packet {
	struct vsock_header h;
	uint8_t data[ROOM];
};

static struct virtio v;
static struct virtq rx, tx;
static struct packet in[BUFS], out;
static struct packet *in_of[VIRTQ_SIZE_MAX];
static uint64_t cid;
static uint32_t local_port, remote_port, taken;

static void offer(struct packet *p)
{
	in_of[virtq_add(&rx, &(struct virtq_buf){ p, sizeof(*p), true }, 1)] = p;
	virtq_kick(&rx);
}

static void send(uint16_t op, uint32_t flags, const void *data, uint32_t len)
{
	struct virtq_buf buf[2] = { { &out.h, sizeof(out.h), false }, { out.data, len, false } };
	uint32_t n;

	out.h = (struct vsock_header){ cid,          VSOCK_HOST, local_port, remote_port, len,
				       VSOCK_STREAM, op,         flags,      BUF_ALLOC,   taken };
	if (len)
		memcpy(out.data, data, len);
	virtq_add(&tx, buf, len ? 2 : 1);
	virtq_kick(&tx);
	virtq_wait(&tx, &n);
}

/* next() - a packet of our connection; the caller gives it back with offer() */
static struct packet *next(void)
{
	for (;;) {
		uint32_t len;
		struct packet *p = in_of[virtq_wait(&rx, &len)];

		if (p->h.dst_cid != cid || p->h.type != VSOCK_STREAM || p->h.len > ROOM)
			panic("a packet for cid %lu, type %u, %u bytes", p->h.dst_cid, p->h.type, p->h.len);
		if (p->h.op == VSOCK_CREDIT_REQUEST)
			send(VSOCK_CREDIT_UPDATE, 0, NULL, 0);
		if (p->h.op != VSOCK_CREDIT_REQUEST && p->h.op != VSOCK_CREDIT_UPDATE)
			return p;
		offer(p);
	}
}

static int do_connect(void)
{
	struct packet *p;

	local_port = PORT;
	send(VSOCK_REQUEST, 0, NULL, 0);
	p = next();
	if (p->h.op != VSOCK_RESPONSE) {
		print("refused\n");
		return 1;
	}
	offer(p);
	send(VSOCK_RW, 0, "ping\n", 5);
	p = next();
	if (p->h.op == VSOCK_RW) {
		print("answer ");
		print_bytes((const char *)p->data, p->h.len);
		taken += p->h.len;
	}
	offer(p);
	send(VSOCK_SHUTDOWN, VSOCK_SHUTDOWN_BOTH, NULL, 0);
	do {
		p = next();
		offer(p);
	} while (p->h.op != VSOCK_RST);
	print("closed\n");
	return 0;
}

static int do_listen(void)
{
	uint64_t bytes = 0;

	for (;;) {
		struct packet *p = next();
		uint16_t op = p->h.op;

		switch (op) {
		case VSOCK_REQUEST:
			remote_port = p->h.src_port;
			send(VSOCK_RESPONSE, 0, NULL, 0);
			break;
		case VSOCK_RW:
			taken += p->h.len;
			bytes += p->h.len;
			send(VSOCK_RW, 0, p->data, p->h.len);
			break;
		case VSOCK_SHUTDOWN: send(VSOCK_RST, 0, NULL, 0); break;
		default: break;
		}
		offer(p);
		if (op == VSOCK_SHUTDOWN || op == VSOCK_RST) {
			print("%lu bytes\n", bytes);
			return 0;
		}
	}
}

int guest_main(void)
{
	lapic_on();
	if (!virtio_find(&v, VIRTIO_VSOCK, 0))
		panic("no vsock");
	virtio_begin(&v, 0);
	virtq_init(&v, &rx, 0);
	virtq_init(&v, &tx, 1);
	virtio_ready(&v, VECTOR);
	cid = virtio_config64(&v, 0);
	print("cid %lu\n", cid);
	for (unsigned i = 0; i < BUFS; i++)
		offer(&in[i]);
	remote_port = (uint32_t)cmdline_u64("connect", 0);
	if (remote_port)
		return do_connect();
	local_port = (uint32_t)cmdline_u64("listen", 0);
	print("listening\n");
	return do_listen();
}
