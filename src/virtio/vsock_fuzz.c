/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vsock_fuzz.c - a hostile guest, and a host that comes and goes: the input is a program of both
 *
 * Each step is a byte that chooses, and what it takes from the input. The same bytes go through the CONNECT parser first.
 */
#include <stdint.h>

#include "virtio/vsock_internal.h"
#include "virtio/vsock_testing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HOSTS = 4 };

struct input {
	const uint8_t *p;
	size_t left;
};

static uint8_t take(struct input *in)
{
	if (in->left == 0)
		return 0;
	in->left--;
	return *in->p++;
}

static struct guest g;
static int listener = -1, host[HOSTS];

static void host_put(int fd)
{
	for (int i = 0; i < HOSTS; i++)
		if (host[i] < 0) {
			host[i] = fd;
			return;
		}
	if (fd >= 0)
		close(fd);
}

static void host_step(struct input *in)
{
	static uint8_t block[70000];
	uint8_t what = take(in);
	int *fd = &host[what >> 4 & (HOSTS - 1)];
	int s;

	switch (what & 7) {
	case 0: host_put(accept4(listener, NULL, NULL, SOCK_NONBLOCK)); break;
	case 1:
		s = sock_connect_at(g.dirfd, "v.sock", SOCK_STREAM | SOCK_NONBLOCK);
		if (s >= 0)
			(void)!send(s, "CONNECT 5\n", 10, MSG_NOSIGNAL);
		host_put(s);
		break;
	case 2: (void)!send(*fd, block, (size_t)take(in) << 8, MSG_NOSIGNAL); break;
	case 3: (void)!recv(*fd, block, sizeof(block), 0); break;
	case 4: shutdown(*fd, what & 8 ? SHUT_RD : SHUT_WR); break;
	case 5: fd_close(fd); break;
	case 6: (void)!send(*fd, in->p, in->left < 20 ? in->left : 20, MSG_NOSIGNAL); break;
	default: break;
	}
}

static void guest_step(struct input *in)
{
	static uint8_t block[VSOCK_PKT_MAX + 4096];
	/* few ports, so that packets meet; host ports as the device gives them, too */
	uint8_t op = take(in), ports = take(in), more = take(in);
	uint32_t src = 5 + (ports & 3);
	uint32_t dst = ports & 0x80 ? VSOCK_PORT_FIRST + 1 + (ports >> 2 & 7) : 52;
	uint32_t len = more & 1 ? (uint32_t)take(in) << (more >> 4) : 0;

	g.type = more & 2 && ports & 0x40 ? more : VIRTIO_VSOCK_TYPE_STREAM;
	g.claim_extra = more & 4 && ports & 0x20 ? take(in) * 0x01010101U : 0;
	g.alloc = more & 8 ? take(in) * 997U : 1 << 18;
	g.fwd += more & 8 ? take(in) : 0;
	if (len > VSOCK_PKT_MAX + 4095)
		len = VSOCK_PKT_MAX + 4095;
	guest_send(&g, op & 0x80 ? op : op & 7, src, dst, take(in), block, len);
	while (driver_used(&g.t, TXQ, NULL) >= 0)
		;
}

static void check(const struct vsock *v)
{
	unsigned n = 0;

	for (unsigned i = 0; i < VSOCK_CONNS_MAX; i++) {
		const struct vsock_conn *c = &v->conn[i];

		n += c->state != VSOCK_FREE;
		BUG_ON(c->state >= VSOCK_STATE_COUNT || c->buf_len > c->window);
		BUG_ON(c->state == VSOCK_OPEN && c->received - c->fwd_cnt != c->buf_len);
		BUG_ON(c->state == VSOCK_FREE && c->fd >= 0);
	}
	BUG_ON(n != v->n_conns || v->rst_len > VSOCK_RSTS_MAX);
}

static void step(struct input *in)
{
	uint8_t what = take(in);

	switch (what & 7) {
	case 0:
	case 1:
	case 2: guest_step(in); break;
	case 3:
	case 4: host_step(in); break;
	case 5:
		for (unsigned i = 0; i <= (what >> 5) && driver_has_used(&g.t, 0); i++)
			guest_recv(&g, 0);
		break;
	case 6: driver_wait(&g.t, 0, 0); break;
	default:
		if (what == 0xff) {
			vdev_pause(g.t.d);
			vdev_resume(g.t.d);
		} else if (what == 0x7f) {
			vsock__conn_tick((struct vsock *)g.t.d, INT64_MAX);
		}
		break;
	}
	check((const struct vsock *)g.t.d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	uint32_t port;
	int r;

	if (size < 1)
		return 0;
	r = vsock_greeting_parse((const char *)data, size < VSOCK_GREETING_MAX ? size : VSOCK_GREETING_MAX,
				 &port);
	BUG_ON(r > (int)size || (r < 0 && r != -EPROTO));
	guest_begin(&g);
	listener = sock_listen_at(g.dirfd, "v.sock_52", SOCK_STREAM | SOCK_NONBLOCK, 0600);
	for (int i = 0; i < HOSTS; i++)
		host[i] = -1;
	guest_up(&g, driver_layouts[take(&in) % DRIVER_LAYOUTS].features, 8);
	while (in.left > 0)
		step(&in);
	for (int i = 0; i < HOSTS; i++)
		fd_close(&host[i]);
	close(listener);
	guest_end(&g);
	return 0;
}
