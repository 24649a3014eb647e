/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kinds.c - the one file that knows every kind of virtio device: made from the configuration, changed while it runs
 *
 * The order of the table is the order of addresses and lines.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "net/link.h"
#include "sys/file.h"
#include "virtio/console.h"
#include "virtio/vdev.h"
#include "virtio/vnet.h"
#include "virtio/vsock.h"
#include "vm/machine_internal.h"

static int console_add(struct machine *m, struct err *e)
{
	const struct console_config c = { .in_fd = m->config.serial_in, .out_fd = m->config.serial_out };
	struct vdev *d;
	int r;

	if (!m->config.console)
		return 0;
	r = console_new(&d, &c, &m->mem, m->loop, e);
	return r < 0 ? r : machine__plug(m, d, "", e);
}

static int vsock_add(struct machine *m, struct err *e)
{
	const char *path = m->config.vsock.uds_path;
	const char *slash = path ? strrchr(path, '/') : NULL;
	auto_free char *dir = slash && slash > path ? strndup(path, (size_t)(slash - path)) : NULL;
	auto_close int dirfd = -1;
	struct vsock_config c = { .cid = m->config.vsock.cid, .name = slash ? slash + 1 : path };
	struct vdev *d;
	int r;

	if (!m->config.vsock.on)
		return 0;
	dirfd = file_open(AT_FDCWD, dir ? dir : slash ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	if (dirfd < 0)
		return err_sys(e, -dirfd, "vsock: '%s'", path);
	c.dirfd = dirfd;
	r = vsock_new(&d, &c, &m->mem, m->loop, e);
	return r < 0 ? r : machine__plug(m, d, "", e);
}

#pragma weak link_open_user /* until it is there */

static int link_open(struct link **ret_l, struct machine *m, struct machine_net *n, struct err *e)
{
	const struct link_user_config user = { 0 };

	switch (n->kind) {
	case MACHINE_NET_SWITCH: return link_open_switch(ret_l, m->loop, n->host_dev, e);
	case MACHINE_NET_USER:
		if (!link_open_user)
			return err_set(e, ENOSYS, "the user-mode network is not there yet");
		return link_open_user(ret_l, m->loop, &user, e);
	default: break;
	}
	if (n->tap_fd >= 0)
		return link_take_tap(ret_l, m->loop, TAKE_FD(n->tap_fd), e);
	return link_open_tap(ret_l, m->loop, n->host_dev, e);
}

static int net_add(struct machine *m, struct machine_net *n, struct err *e)
{
	char name[VDEV_NAME_MAX + 1];
	struct vnet_config c = { .name = name,
				 .has_mac = n->has_mac,
				 .mtu = n->mtu,
				 .rx = n->rx,
				 .tx = n->tx,
				 .mmds = n->mmds ? m->config.mmds : NULL };
	struct link *link;
	struct vdev *d;
	int r;

	str_format(name, sizeof(name), "network interface '%s'", n->id);
	memcpy(c.mac, n->mac, sizeof(c.mac));
	r = link_open(&link, m, n, e);
	if (r == 0)
		r = vnet_new(&d, &c, link, &m->mem, m->loop, e);
	return r < 0 ? r : machine__plug(m, d, n->id, e);
}

static int nets_add(struct machine *m, struct err *e)
{
	int r = 0;

	for (unsigned i = 0; i < m->config.n_nets && r == 0; i++)
		r = net_add(m, &m->config.net[i], e);
	return r;
}

/* missing() - kinds that no file here gives yet are refused, not left out. */
static int missing(struct machine *m, struct err *e)
{
	const struct machine_config *c = &m->config;
	const struct {
		bool wanted;
		const char *what;
	} kind[] = {
		{ c->n_drives > 0, "drives" },      { c->n_pmems > 0, "pmem devices" },
		{ c->n_shares > 0, "shares" },      { c->balloon.on, "the balloon" },
		{ c->memhp.on, "memory hot-plug" }, { c->rng, "the rng device" },
		{ c->pci, "devices on PCI" },
	};

	for (size_t i = 0; i < sizeof(kind) / sizeof(kind[0]); i++)
		if (kind[i].wanted)
			return err_set(e, ENOSYS, "%s: not there yet", kind[i].what);
	return 0;
}

int machine__kinds_add(struct machine *m, struct err *e)
{
	static int (*const add[])(struct machine *, struct err *) = { missing, nets_add, console_add,
								      vsock_add };
	int r = 0;

	for (size_t i = 0; i < sizeof(add) / sizeof(add[0]) && r == 0; i++)
		r = add[i](m, e);
	return r;
}

/* --- while it runs ---------------------------------------------------------------------------------------------- */

/* changed() - @now, when it is another limit than @was, which becomes @now; else NULL: a bucket that is set again starts full. */
static const struct bucket_config *changed(struct bucket_config *was, const struct bucket_config *now)
{
	if (was->size == now->size && was->burst == now->burst && was->refill_ms == now->refill_ms)
		return NULL;
	*was = *now;
	return was;
}

static struct machine_net *net_config(struct machine *m, const char *id)
{
	for (unsigned i = 0; i < m->config.n_nets; i++)
		if (str_eq(m->config.net[i].id, id))
			return &m->config.net[i];
	return NULL;
}

int machine_net_limit(struct machine *m, const char *id, const struct limiter_config *rx,
		      const struct limiter_config *tx, struct err *e)
{
	struct vdev *d = machine__device_find(m, VDEV_NET, id);
	struct machine_net *c = net_config(m, id);
	struct vnet_limits l = { 0 };

	if (!d || !c)
		return err_set(e, ENOENT, "network interface '%s': there is none", id);
	if (rx) {
		l.rx_bytes = changed(&c->rx.bytes, &rx->bytes);
		l.rx_ops = changed(&c->rx.ops, &rx->ops);
	}
	if (tx) {
		l.tx_bytes = changed(&c->tx.bytes, &tx->bytes);
		l.tx_ops = changed(&c->tx.ops, &tx->ops);
	}
	vnet_limit(d, &l);
	return 0;
}
