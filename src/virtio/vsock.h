/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vsock.h - virtio-vsock: streams between a guest and Unix sockets on the host
 *
 * The host connects to the socket @name, sends "CONNECT <port>\n" and gets "OK <host port>\n" once the guest has accepted,
 * or the end of the connection. A guest that connects to CID 2, port P reaches the host's socket "@name_P", or is refused.
 *
 * A snapshot ends every connection: the guest gets a TRANSPORT_RESET event when it runs again, on the machine that was saved
 * and on the one that is restored. The listening socket stays.
 *
 * Spec: virtio 1.2 §5.10
 */
#ifndef VIRTIO_VSOCK_H
#define VIRTIO_VSOCK_H

#include <stdint.h>

struct err;
struct gmem;
struct loop;
struct vdev;

enum {
	VSOCK_CONNS_MAX = 1023,
	VSOCK_PKT_MAX = 64 << 10, /* payload bytes of a packet, both ways */
	/* Bytes a guest may have under way to one host socket that does not read: generous while few connections are open. */
	VSOCK_WINDOW = 256 << 10,
	VSOCK_WINDOW_SMALL = 32 << 10,
	VSOCK_WINDOWS_FULL =
		64, /* connections with the large one; in all: 64 * 256 KiB + 959 * 32 KiB, 46 MiB */
	VSOCK_CID_HOST = 2,
	VSOCK_CID_MIN = 3,
};

struct vsock_config {
	uint64_t cid;     /* the guest's, >= VSOCK_CID_MIN, below 2^32 - 1 */
	int dirfd;        /* directory of the sockets; borrowed, duplicated; AT_FDCWD: the current one */
	const char *name; /* of the listening socket in @dirfd, without '/'; borrowed */
	/* How the guest's connections get to "@name_PORT" when the process will be jailed by then, and who removes the listening socket at
	 * the end: @connect's owner. NULL: by @dirfd, and the device itself. Return of connect(): a non-blocking stream socket, -errno. */
	int (*connect)(void *arg, uint32_t port);
	void *arg;
};

/**
 * vsock_new() - the device, and its socket on the host
 * Context: the loop's thread
 * Return: 0; -EINVAL configuration; -EADDRINUSE something stands at @name; what bind(2) says
 */
int vsock_new(struct vdev **ret_d, const struct vsock_config *c, const struct gmem *mem, struct loop *loop,
	      struct err *e);

/* vsock_connect_at() - to the socket "@name_@port" in @dirfd, which is no symlink. Return: a non-blocking stream socket, -errno. */
int vsock_connect_at(int dirfd, const char *name, uint32_t port);

#endif
