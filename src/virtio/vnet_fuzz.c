/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vnet_fuzz.c - a driver that does what it likes: bytes over its rings, chains of any shape, kicks, frames from the link
 */
#include "virtio/vnet.h"

#include <linux/if_tun.h>

#include "net/link.h"
#include "virtio/driver_testing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct wire {
	struct link link;
	size_t next; /* bytes of the frame that waits; 0: none */
	bool full;
};

static uint8_t bytes[LINK_FRAME_MAX];

static int wire_send(struct link *l, const struct iovec *iov, unsigned n)
{
	size_t len = link_iov_bytes(iov, n);

	BUG_ON(link_iov_copy(bytes, sizeof(bytes), iov, n, 0) != len); /* every byte is there to be read */
	return ((struct wire *)l)->full ? -EAGAIN : 0;
}

static long wire_recv(struct link *l, const struct iovec *iov, unsigned n)
{
	struct wire *w = (struct wire *)l;
	size_t len = w->next;

	if (len == 0)
		return -EAGAIN;
	w->next = len > 5000 ? len - 5000 : 0;
	return link_iov_fill(iov, n, 0, bytes, len) == len ? (long)len : -EMSGSIZE;
}

static void wire_free(struct link *l)
{
	free(l);
}

static const struct link_ops wire_ops = {
	.name = "wire", .send = wire_send, .recv = wire_recv, .free = wire_free
};

struct in {
	const uint8_t *p, *end;
};

static unsigned take(struct in *in, unsigned n)
{
	unsigned v = 0;

	while (n-- > 0 && in->p < in->end)
		v = v << 8 | *in->p++;
	return v;
}

/* scribble() - the input's bytes somewhere over a queue's rings. */
static void scribble(struct driver *t, struct in *in, unsigned q)
{
	gpa_t base[] = { t->q[q].desc_gpa, t->q[q].avail_gpa, t->q[q].used_gpa, t->q[q].table_gpa };
	gpa_t at = base[take(in, 1) % 4] + take(in, 2) % 4096;
	unsigned n = take(in, 1) % 40;
	uint8_t *p = driver_ptr(t, at, n + 1);

	for (unsigned i = 0; i < n; i++)
		p[i] = (uint8_t)take(in, 1);
}

static void chain(struct driver *t, struct in *in, unsigned q)
{
	struct driver_buf b[8];
	unsigned n = 1 + take(in, 1) % 8, readable = take(in, 1) % 9;

	for (unsigned i = 0; i < n; i++)
		b[i] = (struct driver_buf){ take(in, 2) * (gpa_t)8, take(in, 2) * (i == 7 ? 4 : 1),
					    i >= readable };
	driver_add(t, q, b, n);
}

static void one(struct driver *t, struct wire *w, struct in *in)
{
	unsigned op = take(in, 1), q = op / 8 % 3;

	switch (op % 8) {
	case 0: scribble(t, in, q); break;
	case 1: chain(t, in, q); break;
	case 2: w->next = LINK_HDR_BYTES + LINK_ETH_BYTES + take(in, 2); break;
	case 3: w->full = !w->full; break;
	case 4: w->link.ready(w->link.arg); break;
	case 5:
		if (take(in, 1) == 7) {
			t->brk = 0x10000;
			driver_restart(t, ~0ULL, 0);
		}
		break;
	default: driver_kick(t, q); break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vnet_config c = { .name = "eth0" };
	struct loop loop = { .epfd = -1 };
	struct in in = { data, data + size };
	struct wire *w = calloc(1, sizeof(*w));
	struct vdev *d;
	struct driver t;
	unsigned how = take(&in, 1);

	BUG_ON(!w || loop_init(&loop) < 0);
	driver_init(&t, 4 << 20);
	w->link = (struct link){ .ops = &wire_ops, .host_offloads = TUN_F_CSUM | TUN_F_TSO4 };
	if (how & 4)
		c.rx.ops = c.tx.bytes = (struct bucket_config){ .size = 2000, .refill_ms = 1 };
	BUG_ON(vnet_new(&d, &c, &w->link, &t.mem, &loop, NULL) < 0);
	/* bits 0 to 24, or without MRG_RXBUF (15) */
	driver_start(&t, d, driver_layouts[how % 4].features | (how & 8 ? 0x1ff7fff : 0x1ffffff));
	while (in.p < in.end)
		one(&t, w, &in);
	driver_fini(&t);
	loop_fini(&loop);
	return 0;
}
