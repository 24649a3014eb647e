/* SPDX-License-Identifier: Apache-2.0 */
/* vsock_internal.h - what vsock.c (device and queues), vsock_conn.c (connections) and vsock_host.c (sockets) share */
#ifndef VIRTIO_VSOCK_INTERNAL_H
#define VIRTIO_VSOCK_INTERNAL_H

#include <assert.h>
#include <linux/virtio_vsock.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "base/time.h"
#include "io/loop.h"
#include "virtio/vdev.h"
#include "virtio/vsock.h"

enum {
	VSOCK_RX,
	VSOCK_TX,
	VSOCK_EVENT,
	VSOCK_QUEUES,
};

enum {
	VSOCK_NONE = 0xffff, /* end of a list of connections */
	VSOCK_HASH = 1024,
	VSOCK_RSTS_MAX = 64, /* refusals that wait for room in the guest's queue; then its own queue waits */
	VSOCK_BATCH = 256,   /* packets in a row before other devices get their turn */
	VSOCK_GREETING_MAX = 32,   /* bytes of "CONNECT <port>\n" */
	VSOCK_NAME_MAX = 60,       /* of the socket; "_4294967295" and the directory go on top */
	VSOCK_PORT_FIRST = 1 << 30 /* host ports of connections that the host opened: here to 2^31 - 1 */
};

#define VSOCK_GREETING_NS (10 * NSEC_PER_SEC)
#define VSOCK_REQUEST_NS  (2 * NSEC_PER_SEC)
#define VSOCK_DRAIN_NS    (30 * NSEC_PER_SEC)
#define VSOCK_TICK_NS     (500 * NSEC_PER_MSEC)

#define VSOCK_SHUT_BOTH (VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND)

enum vsock_state {
	VSOCK_FREE,
	VSOCK_GREETING,  /* the host connected; its line is not complete */
	VSOCK_REQUESTED, /* the guest was asked; no answer yet */
	VSOCK_OPEN,
	VSOCK_CLOSING,   /* the host is gone and the guest was told; its RST is to come */
	VSOCK_RESETTING, /* an RST is to go to the guest; bytes for the host may still wait */
	VSOCK_DRAINING,  /* over for the guest; bytes for the host still wait */
	VSOCK_STATE_COUNT
};

enum vsock_event { /* the guest's packets first, in the order of their numbers */
		   VSOCK_G_REQUEST,
		   VSOCK_G_RESPONSE,
		   VSOCK_G_RST,
		   VSOCK_G_SHUTDOWN,
		   VSOCK_G_RW,
		   VSOCK_G_CREDIT_UPDATE,
		   VSOCK_G_CREDIT_REQUEST,
		   VSOCK_H_READABLE, /* bytes, or the end of them */
		   VSOCK_H_WRITABLE,
		   VSOCK_H_GONE, /* nothing can be written to the host any more */
		   VSOCK_TIMEOUT,
		   VSOCK_EVENT_COUNT
};

/* One connection: a slot in the device's table. Ports are named from the guest's side of the glass: peer is the guest. */
struct vsock_conn {
	uint8_t state;      /* enum vsock_state */
	uint8_t guest_shut; /* VIRTIO_VSOCK_SHUTDOWN_x that the guest told us */
	uint8_t host_shut;  /* that we told, or will tell, the guest */
	uint8_t todo;       /* packets to send: bits of 1 << VIRTIO_VSOCK_OP_x */
	bool readable;      /* a read from the host may bring something */
	bool gone;          /* nothing can be written to the host any more */
	bool wr_closed;     /* the host has our end of file */
	bool watch_out;     /* room in the host's socket is waited for */
	bool asked_credit;  /* a CREDIT_REQUEST is out for the present shortage */
	bool in_ready, in_hash, full_window;
	uint16_t gen;       /* of the slot: tells late events of its former user apart */
	uint16_t hash_next; /* slot numbers or VSOCK_NONE; hash_next also chains free slots */
	uint16_t ready_next;
	int fd; /* owned; -1: none */
	uint32_t local_port, peer_port;
	/* guest to host; counters wrap as the protocol's do */
	uint32_t window;   /* what we promised to buffer */
	uint32_t received; /* bytes from the guest */
	uint32_t fwd_cnt;  /* of these, handed to the host */
	uint32_t fwd_told; /* fwd_cnt the guest knows of */
	uint8_t *buf;      /* owned ring of @window bytes; NULL until the host does not keep up */
	uint32_t buf_at, buf_len;
	/* host to guest */
	uint32_t sent, peer_alloc, peer_fwd;
	nsec_t deadline; /* 0: none */
};

struct vsock {
	struct vdev d;
	uint64_t cid;
	struct vsock_conn *conn; /* VSOCK_CONNS_MAX slots */
	uint16_t free_first;
	uint16_t hash[VSOCK_HASH];
	uint16_t ready_first, ready_last; /* connections with something for the guest, in turn */
	unsigned n_conns, n_full_windows;
	struct virtio_vsock_hdr rst[VSOCK_RSTS_MAX]; /* refusals without a connection */
	unsigned rst_at, rst_len;
	uint32_t next_port;
	bool reset_event; /* TRANSPORT_RESET is to be told */
	/* host */
	int dirfd; /* owned, or AT_FDCWD; -1 with @connect, once it listens */
	char name[VSOCK_NAME_MAX + 1];
	int (*connect)(void *arg, uint32_t port); /* NULL: by @dirfd */
	void *connect_arg;
	int listen_fd;  /* owned */
	dev_t ours_dev; /* the socket file that bind(2) made */
	ino_t ours_ino;
	int epfd, timer_fd; /* owned; all descriptors of connections are in epfd, and it is in the loop */
	bool ticking;       /* timer_fd is armed */
	struct loop_source source; /* of epfd */
	struct vq_chain chain;     /* of the packet at hand */
	uint64_t n_nonsense, n_refused;
};

/* --- vsock_conn.c ---------------------------------------------------------------------------------------- */

/* vsock__conn_new() - a free slot with @fd (taken) in @state; evicts one that only waits for its end. Return: NULL: all in use. */
struct vsock_conn *vsock__conn_new(struct vsock *v, int fd, enum vsock_state state);
/* vsock__conn_name() - its ports: from now on the guest's packets find it. */
void vsock__conn_name(struct vsock *v, struct vsock_conn *c, uint32_t local_port, uint32_t peer_port);
struct vsock_conn *vsock__conn_find(const struct vsock *v, uint32_t local_port, uint32_t peer_port);
void vsock__conn_free(struct vsock *v, struct vsock_conn *c);
void vsock__conns_init(struct vsock *v);
void vsock__conns_drop(struct vsock *v); /* all, without a word to the guest */
/* vsock__conn_event() - the state machine. @h: the guest's packet, in host order; NULL for the host's events. */
void vsock__conn_event(struct vsock *v, struct vsock_conn *c, enum vsock_event ev,
		       const struct virtio_vsock_hdr *h);
/* vsock__conn_send() - the next packet of @c into v->chain; fills *h but for the addresses. Return: payload bytes; -EAGAIN nothing. */
long vsock__conn_send(struct vsock *v, struct vsock_conn *c, struct virtio_vsock_hdr *h);
void vsock__conn_ready(struct vsock *v, struct vsock_conn *c); /* put it in the queue for the guest */
void vsock__conn_tick(struct vsock *v, nsec_t now);
static inline uint16_t vsock__slot(const struct vsock *v, const struct vsock_conn *c)
{
	return (uint16_t)(c - v->conn);
}

/* --- vsock_host.c ---------------------------------------------------------------------------------------- */

int vsock__host_init(struct vsock *v, const struct vsock_config *c, struct err *e);
void vsock__host_fini(struct vsock *v);
int vsock__host_listen(struct vsock *v, bool on); /* take connections, or let them wait */
/* vsock__host_serve() - all that the host's side has for us. */
void vsock__host_serve(struct vsock *v);
/* vsock__host_connect() - to what stands at "name_<port>". Return: fd or -errno. */
int vsock__host_connect(const struct vsock *v, uint32_t port);
int vsock__host_watch(struct vsock *v, struct vsock_conn *c);
/* vsock__host_watch_out() - does room in the host's socket matter? Asked for only then: each read of the peer makes some. */
void vsock__host_watch_out(struct vsock *v, struct vsock_conn *c, bool on);
void vsock__host_timer(struct vsock *v); /* a deadline was set somewhere */
/* vsock__host_greet() - read the CONNECT line of @c. Return: 1 with the port; 0 not complete; -EPROTO or the socket's error. */
int vsock__host_greet(const struct vsock_conn *c, uint32_t *ret_port);
/* vsock_greeting_parse() - @text of @len bytes. Return: bytes of the line; 0 not complete; -EPROTO it is none. */
int vsock_greeting_parse(const char *text, size_t len, uint32_t *ret_port);

/* --- vsock.c --------------------------------------------------------------------------------------------- */

void vsock__refuse(struct vsock *v, uint32_t local_port, uint32_t peer_port);

#endif
