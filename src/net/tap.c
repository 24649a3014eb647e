/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tap.c - a card's far end in the host's network: a tap device
 *
 * The kernel does all the work: it splits, sums and checks by the virtio_net_hdr. The descriptor is watched edge-triggered,
 * so that frames which wait for a guest's buffers do not keep the loop awake.
 */
/* syscalls(device): readv writev ioctl[1]=TUNSETOFFLOAD epoll_ctl */
#include <linux/if_tun.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/guard.h"
#include "io/loop.h"
#include "net/link.h"
#include "sys/call.h"
#include "sys/tun.h"

struct tap {
	struct link link;
	struct loop *loop; /* borrowed */
	struct loop_source source;
	int fd; /* owned */
	char name[IFNAMSIZ];
};

static int tap_send(struct link *l, const struct iovec *iov, unsigned n)
{
	struct tap *t = (struct tap *)l;
	long r = SYS3(SYS_writev, t->fd, iov, n);

	if (r == -EAGAIN)
		return -EAGAIN;
	if (r < 0) /* a header that lies, or the device is down */
		l->n_dropped++;
	return 0;
}

static long tap_recv(struct link *l, const struct iovec *iov, unsigned n)
{
	struct tap *t = (struct tap *)l;
	size_t room = link_iov_bytes(iov, n);
	struct iovec with[LINK_IOV_MAX + 1];
	char beyond;
	long r;

	/* The kernel does not tell that it cut a frame: a byte behind the room does. */
	memcpy(with, iov, n * sizeof(*iov));
	with[n] = (struct iovec){ &beyond, 1 };
	r = SYS3(SYS_readv, t->fd, with, n + 1);
	if (r < 0)
		return -EAGAIN; /* also when the device is gone: nothing will come any more */
	if ((size_t)r > room) {
		l->n_dropped++;
		return -EMSGSIZE;
	}
	return r;
}

static int tap_offloads(struct link *l, unsigned tun_f)
{
	struct tap *t = (struct tap *)l;

	return tun_set_offload(t->fd, tun_f);
}

static void tap_free(struct link *l)
{
	struct tap *t = (struct tap *)l;

	loop_remove(t->loop, &t->source);
	fd_close(&t->fd);
	free(t);
}

static void tap_ready(void *arg, uint32_t events)
{
	struct tap *t = arg;

	(void)events;
	link_tell(&t->link);
}

static const struct link_ops tap_ops = {
	.name = "tap",
	.send = tap_send,
	.recv = tap_recv,
	.offloads = tap_offloads,
	.free = tap_free,
};

/* tap_new() - @fd: as tun_open() made it; taken. */
static int tap_new(struct link **ret_l, struct loop *loop, int fd, const char *name, struct err *e)
{
	struct tap *t = calloc(1, sizeof(*t));
	int r;

	if (!t) {
		guard_close(&fd);
		return err_sys(e, ENOMEM, "tap '%s'", name);
	}
	t->link = (struct link){ .ops = &tap_ops,
				 .host_offloads =
					 TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN | TUN_F_UFO };
	t->loop = loop;
	t->fd = fd;
	t->source = (struct loop_source){ .fd = -1, .ready = tap_ready, .arg = t };
	r = tun_set_offload(fd, 0); /* who had it before may have left some on */
	if (r >= 0)
		r = loop_add(loop, &t->source, fd, EPOLLIN | EPOLLOUT | EPOLLET);
	if (r < 0) {
		tap_free(&t->link);
		return err_sys(e, -r, "tap '%s'", name);
	}
	*ret_l = &t->link;
	return 0;
}

/* refuse() - why a tap could not be had, in words. */
static int refuse(int r, const char *name, struct err *e)
{
	switch (-r) {
	case ENODEV: return err_set(e, ENODEV, "tap '%s': this host has no /dev/net/tun", name);
	case EBUSY: return err_set(e, EBUSY, "tap '%s': in use by another process", name);
	case EINVAL:
		return err_set(e, EINVAL, "tap '%s': not a tap device, or not a device name of 1 to 15 bytes",
			       name);
	case EPERM:
	case EACCES:
		return err_set(e, EPERM, "tap '%s': not this user's, and making one needs CAP_NET_ADMIN",
			       name);
	default: return err_sys(e, -r, "tap '%s'", name);
	}
}

int link_open_tap(struct link **ret_l, struct loop *loop, const char *name, struct err *e)
{
	char real[IFNAMSIZ];
	int fd = tun_open(name, real);

	return fd < 0 ? refuse(fd, name, e) : tap_new(ret_l, loop, fd, real, e);
}

int link_take_tap(struct link **ret_l, struct loop *loop, int fd, struct err *e)
{
	auto_close int mine = fd;
	char real[IFNAMSIZ];
	int r = tun_adopt(mine, real);

	if (r < 0)
		return err_set(e, -r, "tap: descriptor %d is not a tap device with IFF_VNET_HDR: %s", fd,
			       err_name(-r));
	return tap_new(ret_l, loop, TAKE_FD(mine), real, e);
}
