/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link.h - the far end of a network card: a tap device, the user-mode stack, a switch between machines
 *
 * Frames go with the virtio_net_hdr (12 bytes, version 1) in front, in both directions: offloads are carried, not undone,
 * where the link can. A link is used by one thread, the loop's.
 *
 * Who wakes whom. ready() is called once when frames come in after link_recv() has said -EAGAIN, or room after link_send()
 * has; it need not come again before they have said so again. So a card that stops early (its guest has no buffers) takes up
 * link_recv() where it left, without being asked. ready() may call both; it is never called from within either.
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
	LINK_ETH_BYTES = 14,
	LINK_FRAME_MAX = 65562 + LINK_HDR_BYTES,
	LINK_IOV_MAX = 320, /* segments of one frame */
	LINK_MTU_MIN = 68,
	LINK_MTU_MAX = 65535
};

struct link_ops {
	const char *name; /* "tap", "user", "switch" */
	/* send() - one frame to the far end. Return: 0 taken or dropped; -EAGAIN: later, ready() tells. */
	int (*send)(struct link *l, const struct iovec *iov, unsigned n);
	/* flush() - what send() held back. Return: 0; -EAGAIN: later, ready() tells. NULL: it holds nothing back. */
	int (*flush)(struct link *l);
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
	uint64_t n_dropped; /* frames of either side that made no sense, or that nobody could take */
};

/* link_open_tap() - an existing or new tap device. @name: borrowed. link_take_tap() - an open one's descriptor, taken,
 * also on failure. */
int link_open_tap(struct link **ret_l, struct loop *loop, const char *name, struct err *e);
int link_take_tap(struct link **ret_l, struct loop *loop, int fd, struct err *e);

/* link_open_user() - TCP/IP in this process, no privileges: address by DHCP, NAT to the host's sockets, names, MMDS aside. */
struct link_user_config {
	uint32_t net, mask;  /* host order; 0: 10.0.2.0/24 */
	bool restricted;     /* the guest reaches nothing outside */
	const char *hostfwd; /* "tcp:127.0.0.1:8080-:80,..."; NULL: none */
};
int link_open_user(struct link **ret_l, struct loop *loop, const struct link_user_config *c, struct err *e);

/* link_open_switch() - a learning switch between the machines that name the same directory (made when there is none, mode
 * 0700, the caller's own); no process in the middle. See switch.c. */
int link_open_switch(struct link **ret_l, struct loop *loop, const char *path, struct err *e);

/* link_send(), link_recv() - as the ops; a frame shorter than its headers or longer than LINK_FRAME_MAX, or in more than
 * LINK_IOV_MAX pieces, is dropped. Room for less than the headers, or in too many pieces: -ENOBUFS, and nothing is lost. */
int link_send(struct link *l, const struct iovec *iov, unsigned n);
/* link_flush() - after the last of several link_send(): until then a link may hold small frames back, to send them together.
 * Return: 0; -EAGAIN as link_send(): to be called again, nothing is lost. */
int link_flush(struct link *l);
long link_recv(struct link *l, const struct iovec *iov, unsigned n);
/* link_offloads() - what the guest takes from now on; until it is called, nothing. */
int link_offloads(struct link *l, unsigned tun_f);
void link_free(struct link *l); /* takes NULL */

/* --- for links -------------------------------------------------------------------------------------------- */

void link_tell(struct link *l); /* ready(), when the card has set it */
size_t link_iov_bytes(const struct iovec *iov, unsigned n);
/* link_iov_copy() - up to @len bytes from @off of @iov; link_iov_fill() - into it. Return: how many fitted. */
size_t link_iov_copy(void *dst, size_t len, const struct iovec *iov, unsigned n, size_t off);
size_t link_iov_fill(const struct iovec *iov, unsigned n, size_t off, const void *src, size_t len);
/* link_iov_skip() - @iov without its first @off bytes, into @to of @n pieces. Return: pieces. */
unsigned link_iov_skip(struct iovec *to, const struct iovec *iov, unsigned n, size_t off);

#endif
