/* SPDX-License-Identifier: Apache-2.0 */
/* vsock_testing.h - a guest with a vsock device, and its host's sockets in a directory of their own; for tests only */
#ifndef VIRTIO_VSOCK_TESTING_H
#define VIRTIO_VSOCK_TESTING_H

#include <fcntl.h>
#include <linux/virtio_vsock.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/guard.h"
#include "sys/file.h"
#include "sys/sock.h"
#include "virtio/driver_testing.h"
#include "virtio/vsock.h"

enum {
	GUEST_CID = 42,
	GUEST_ALLOC = 256 << 10,
	HDR_BYTES = sizeof(struct virtio_vsock_hdr),
	RX_BYTES = HDR_BYTES + 4096,
	TXQ = 1,
	EVQ = 2,
};

struct guest {
	struct driver t;
	struct loop loop;
	char dir[40];
	int dirfd;
	gpa_t rx_gpa[VQ_SIZE_MAX], tx_gpa; /* tx: one packet of the largest size */
	uint32_t alloc, fwd;               /* what our headers say */
	struct virtio_vsock_hdr h;         /* of the last packet received, host order */
	uint8_t data[RX_BYTES];
	uint32_t type;        /* of what we send */
	uint64_t src, dst;    /* CIDs of what we send */
	uint32_t claim_extra; /* added to len, a lie */
};

static inline struct vdev *guest_device(struct guest *g, const char *name)
{
	struct vsock_config c = { .cid = GUEST_CID, .dirfd = g->dirfd, .name = name };
	struct vdev *d = NULL;
	struct err e = { 0 };

	if (vsock_new(&d, &c, &g->t.mem, &g->loop, &e) < 0)
		fprintf(stderr, "%s\n", e.text);
	BUG_ON(!d);
	return d;
}

/* guest_post() - @n more buffers for what the host sends. */
static inline void guest_post(struct guest *g, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		gpa_t at = driver_alloc(&g->t, RX_BYTES, 16);
		/* a header in two pieces now and then */
		struct driver_buf b[2] = { { at, i % 3 ? RX_BYTES : 20, true },
					   { at + 20, RX_BYTES - 20, true } };
		int id = driver_add(&g->t, 0, b, i % 3 ? 1 : 2);

		if (id < 0)
			break;
		g->rx_gpa[id] = at;
	}
	driver_kick(&g->t, 0);
}

static inline void guest_begin(struct guest *g)
{
	memset(g, 0, sizeof(*g));
	g->loop.epfd = -1;
	BUG_ON(loop_init(&g->loop) < 0);
	strcpy(g->dir, "/tmp/hull-vsock-XXXXXX");
	BUG_ON(!mkdtemp(g->dir));
	g->dirfd = open(g->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	BUG_ON(g->dirfd < 0);
	driver_init(&g->t, 8 << 20);
	g->alloc = GUEST_ALLOC;
	g->type = VIRTIO_VSOCK_TYPE_STREAM;
	g->src = GUEST_CID;
	g->dst = VSOCK_CID_HOST;
}

static inline void guest_up(struct guest *g, uint64_t features, unsigned n_rx)
{
	driver_start(&g->t, guest_device(g, "v.sock"), features);
	g->tx_gpa = driver_alloc(&g->t, HDR_BYTES + VSOCK_PKT_MAX + 4096, 16);
	guest_post(g, n_rx);
}

static inline void guest_end(struct guest *g)
{
	driver_fini(&g->t);
	loop_fini(&g->loop);
	close(g->dirfd);
	file_remove_tree(AT_FDCWD, g->dir, NULL);
}

/* guest_queue() - a packet into TX, not kicked. Return: as driver_add(). */
static inline int guest_queue(struct guest *g, unsigned op, uint32_t src_port, uint32_t dst_port,
			      uint32_t flags, const void *data, uint32_t len)
{
	struct virtio_vsock_hdr h = {
		.src_cid = htole64(g->src),
		.dst_cid = htole64(g->dst),
		.src_port = htole32(src_port),
		.dst_port = htole32(dst_port),
		.len = htole32(len + g->claim_extra),
		.type = htole16((uint16_t)g->type),
		.op = htole16((uint16_t)op),
		.flags = htole32(flags),
		.buf_alloc = htole32(g->alloc),
		.fwd_cnt = htole32(g->fwd),
	};
	struct driver_buf b[2] = { { g->tx_gpa, HDR_BYTES, false }, { g->tx_gpa + HDR_BYTES, len, false } };

	memcpy(driver_ptr(&g->t, g->tx_gpa, HDR_BYTES), &h, HDR_BYTES);
	if (len)
		memcpy(driver_ptr(&g->t, g->tx_gpa + HDR_BYTES, len), data, len);
	return driver_add(&g->t, TXQ, b, len ? 2 : 1);
}

/* guest_send() - one packet, served. Return: whether the device took it. */
static inline bool guest_send(struct guest *g, unsigned op, uint32_t src_port, uint32_t dst_port,
			      uint32_t flags, const void *data, uint32_t len)
{
	BUG_ON(guest_queue(g, op, src_port, dst_port, flags, data, len) < 0);
	driver_kick(&g->t, TXQ);
	return driver_used(&g->t, TXQ, NULL) >= 0;
}

/* guest_recv() - the next packet from the host into g->h and g->data. Return: its op; 0 when none comes in @ms. */
static inline unsigned guest_recv(struct guest *g, unsigned ms)
{
	uint32_t len = 0;
	struct driver_buf b;
	int id;

	if (!driver_has_used(&g->t, 0) && !driver_wait(&g->t, 0, ms))
		return 0;
	id = driver_used(&g->t, 0, &len);
	BUG_ON(len < HDR_BYTES || len > RX_BYTES);
	memcpy(&g->h, driver_ptr(&g->t, g->rx_gpa[id], len), HDR_BYTES);
	memcpy(g->data, driver_ptr(&g->t, g->rx_gpa[id] + HDR_BYTES, len - HDR_BYTES + 1), len - HDR_BYTES);
	BUG_ON(le32toh(g->h.len) != len - HDR_BYTES);
	BUG_ON(le64toh(g->h.src_cid) != VSOCK_CID_HOST || le64toh(g->h.dst_cid) != GUEST_CID);
	b = (struct driver_buf){ g->rx_gpa[id], RX_BYTES, true };
	g->rx_gpa[driver_add(&g->t, 0, &b, 1)] = b.gpa;
	driver_kick(&g->t, 0);
	return le16toh(g->h.op);
}

#endif
