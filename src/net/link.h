/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link.h - the far end of a network card: a tap device, the user-mode stack, a switch between machines
 *
 * Frames go with the virtio_net_hdr (12 bytes, version 1) in front, in both directions: offloads are carried, not undone,
 * where the link can. A link is used by one thread.
 */
#ifndef NET_LINK_H
#define NET_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct err;
struct link;
struct loop;

enum {
	LINK_HDR_BYTES = 12,
	LINK_FRAME_MAX = 65562 + LINK_HDR_BYTES,
	LINK_MTU_MIN = 68,
	LINK_MTU_MAX = 65535
};

struct link_ops {
	const char *name; /* "tap", "user", "switch" */
	/* send() - one frame to the far end. Return: 0 taken or dropped; -EAGAIN: later, ready() tells. */
	int (*send)(struct link *l, const struct iovec *iov, unsigned n);
	/* recv() - one frame from the far end into @iov. Return: bytes with the header; -EAGAIN none; -EMSGSIZE it did not fit: dropped. */
	long (*recv)(struct link *l, const struct iovec *iov, unsigned n);
	/* offloads() - what the guest negotiated: TUN_F_x bits the guest takes. */
	int (*offloads)(struct link *l, unsigned tun_f);
	void (*free)(struct link *l);
};

struct link { /* first member of the link's own struct */
	const struct link_ops *ops;
	unsigned host_offloads; /* TUN_F_x the link itself takes from the guest */
	void (*ready)(
		void *arg); /* a frame waits, or there is room again; from the loop's thread; set by the card */
	void *arg;
};

/* link_open_tap() - an existing or new tap device. @name: borrowed. link_take_tap() - an open one's descriptor, taken. */
int link_open_tap(struct link **ret_l, struct loop *loop, const char *name, struct err *e);
int link_take_tap(struct link **ret_l, struct loop *loop, int fd, struct err *e);

/* link_open_user() - TCP/IP in this process, no privileges: address by DHCP, NAT to the host's sockets, names, MMDS aside. */
struct link_user_config {
	uint32_t net, mask;  /* host order; 0: 10.0.2.0/24 */
	bool restricted;     /* the guest reaches nothing outside */
	const char *hostfwd; /* "tcp:127.0.0.1:8080-:80,..."; NULL: none */
};
int link_open_user(struct link **ret_l, struct loop *loop, const struct link_user_config *c, struct err *e);

/* link_open_switch() - a learning switch between the machines that name the same socket; SEQPACKET, mode 0600. */
int link_open_switch(struct link **ret_l, struct loop *loop, const char *path, struct err *e);

int link_send(struct link *l, const struct iovec *iov, unsigned n);
long link_recv(struct link *l, const struct iovec *iov, unsigned n);
void link_free(struct link *l); /* takes NULL */

#endif
