/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kinds.c - the one file that knows every kind of virtio device: made from the configuration, changed while it runs
 *
 * The order of the table is the order of addresses and lines.
 *
 * syscalls(hotplug): eventfd2 epoll_ctl fstat newfstatat fstatfs fcntl lseek
 * syscalls(ring): io_uring_setup
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "blk/blk.h"
#include "net/link.h"
#include "sys/file.h"
#include "virtio/console.h"
#include "virtio/pmem.h"
#include "virtio/rng.h"
#include "virtio/vblk.h"
#include "virtio/vdev.h"
#include "virtio/vfs.h"
#include "virtio/vnet.h"
#include "virtio/vsock.h"
#include "vm/boot.h"
#include "vm/broker.h"
#include "vm/jail.h"
#include "vm/machine_internal.h"

#define ALIGN_UP(n, to) (((n) + (to)-1) / (to) * (to))

/* --- drives -------------------------------------------------------------------------------------------------------- */

/* backing_dir() - where an image's relative backing names start: its own directory. -1: it has none to open. */
static int backing_dir(const struct machine_file *f, const struct machine_drive *d)
{
	const char *slash = d->backing && f->path ? strrchr(f->path, '/') : NULL;
	auto_free char *dir = slash > f->path ? strndup(f->path, (size_t)(slash - f->path)) : NULL;
	int fd = d->backing ? file_open(AT_FDCWD,
					dir   ? dir :
					slash ? "/" :
						".",
					O_PATH | O_DIRECTORY, 0) :
			      -1;

	return fd < 0 ? -1 : fd;
}

/* disk_open() - @f's descriptor is taken, also on failure. */
static int disk_open(struct blk **ret_b, struct machine_file *f, const struct machine_drive *d, struct err *e)
{
	auto_close int dir = backing_dir(f, d);
	const struct blk_options o = {
		.format = d->format,
		.readonly = d->readonly,
		.async = d->async,
		.no_sync = !d->writeback,
		.backing_max = d->backing ? BLK_BACKING_MAX : 0,
		.backing_anywhere = d->backing,
		.backing_dirfd = dir,
	};

	return blk_open(ret_b, TAKE_FD(f->fd), &o, e);
}

int machine__drive_add(struct machine *m, struct machine_drive *d, struct err *e)
{
	char name[VDEV_NAME_MAX + 1];
	struct vblk_config c = { .name = name, .id = d->id, .writeback = d->writeback, .limit = d->limit };
	struct vdev *v;
	int r;

	str_format(name, sizeof(name), "drive '%s'", d->id);
	r = disk_open(&c.disk, &d->file, d, e);
	if (r == 0)
		r = vblk_new(&v, &c, &m->mem, m->loop, e);
	return r ? err_wrap(e, r, "drive '%s'", d->id) : machine__plug(m, v, d->id, e);
}

/* drives_add() - the root device first: guests number disks as they find them. */
static int drives_add(struct machine *m, struct err *e)
{
	int r = 0;

	for (int root = 1; root >= 0; root--)
		for (unsigned i = 0; i < m->config.n_drives && r == 0; i++)
			if (m->config.drive[i].root == (root == 1))
				r = machine__drive_add(m, &m->config.drive[i], e);
	return r;
}

/* --- persistent memory ------------------------------------------------------------------------------------------- */

gpa_t machine__memory_end(const struct machine *m, uint64_t align)
{
	const struct gmem_region *last = &m->mem.region[m->mem.n - 1]; /* they are in order */
	gpa_t end = last->base + last->size;

	return ALIGN_UP(end < BOARD_HIGH_RAM ? BOARD_HIGH_RAM : end, align);
}

static bool meet(gpa_t a, uint64_t a_size, gpa_t b, uint64_t b_size)
{
	return a < b + b_size && b < a + a_size;
}

/* room() - the first multiple of @align, at 4 GiB or above, with @size bytes that nobody has. */
static gpa_t room(const struct machine *m, const struct boot_window *pci, uint64_t size, uint64_t align)
{
	gpa_t at = ALIGN_UP(BOARD_HIGH_RAM, align), was;

	do {
		was = at;
		for (unsigned i = 0; i < m->mem.n; i++) {
			const struct gmem_region *r = &m->mem.region[i];

			if (meet(at, size, r->base, r->size))
				at = ALIGN_UP(r->base + r->size, align);
		}
		if (meet(at, size, pci->base, pci->size))
			at = ALIGN_UP(pci->base + pci->size, align);
	} while (at != was);
	return at;
}

int machine__memory_place(const struct machine *m, gpa_t *base, uint64_t size, uint64_t align, struct err *e)
{
	struct boot_window pci = { 0 };

	machine__pci_window(m, &pci);
	if (*base == 0)
		*base = room(m, &pci, size, align);
	if (*base < BOARD_HIGH_RAM || *base % align || size > UINT64_MAX / 2 - *base ||
	    meet(*base, size, pci.base, pci.size))
		return err_set(e, EINVAL, "memory cannot be at 0x%llx", (unsigned long long)*base);
	return 0;
}

int machine__pmem_add(struct machine *m, struct machine_pmem *p, struct err *e)
{
	char name[VDEV_NAME_MAX + 1];
	struct vdev *v;
	struct stat st;
	uint64_t size;
	int r;

	str_format(name, sizeof(name), "pmem '%s'", p->id);
	if (fstat(p->file.fd, &st) < 0)
		return err_sys(e, errno, "%s", name);
	if (!S_ISREG(st.st_mode) || st.st_size == 0)
		return err_set(e, EINVAL, "%s: want a regular file with something in it", name);
	size = ALIGN_UP((uint64_t)st.st_size, (uint64_t)PMEM_ALIGN);
	r = machine__memory_place(m, &p->base, size, PMEM_ALIGN, e);
	if (r == 0)
		r = gmem_add_file(&m->mem, p->base, size, TAKE_FD(p->file.fd), 0,
				  !p->readonly || m->vm->ops->shared_memory, p->readonly, false, e);
	if (r == 0)
		r = pmem_new(&v, &m->mem, m->loop, name, p->base, &p->limit, e);
	return r ? err_wrap(e, r, "%s", name) : machine__plug(m, v, p->id, e);
}

static int pmems_add(struct machine *m, struct err *e)
{
	int r = 0;

	for (unsigned i = 0; i < m->config.n_pmems && r == 0; i++)
		r = machine__pmem_add(m, &m->config.pmem[i], e);
	return r;
}

/* --- shared directories, entropy, console, sockets ------------------------------------------------------------- */

static int shares_add(struct machine *m, struct err *e)
{
	int r = 0;

	for (unsigned i = 0; i < m->config.n_shares && r == 0; i++) {
		const struct machine_share *s = &m->config.share[i];
		const struct vfs_config c = {
			.tag = s->tag,
			.share = { .root_fd = s->dir.fd, .readonly = s->readonly, .cache = SHARE_CACHE_AUTO },
		};
		struct vdev *v;

		r = vfs_new(&v, &c, &m->mem, m->loop, e);
		if (r == 0)
			r = machine__plug(m, v, s->tag, e);
	}
	return r;
}

static int rng_add(struct machine *m, struct err *e)
{
	struct vdev *v;
	int r;

	if (!m->config.rng)
		return 0;
	r = rng_new(&v, &m->mem, m->loop, &m->config.rng_limit, e);
	return r ? r : machine__plug(m, v, "", e);
}

static int console_add(struct machine *m, struct err *e)
{
	const struct console_config c = { .in_fd = m->config.serial_in, .out_fd = m->config.serial_out };
	struct vdev *d;
	int r;

	if (!m->config.console)
		return 0;
	r = console_new(&d, &c, &m->mem, m->loop, e);
	return r ? r : machine__plug(m, d, "", e);
}

static int vsock_connect(void *arg, uint32_t port)
{
	const struct machine *m = arg;

	return broker_connect(m->broker, port);
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
	if (m->config.jail.on) {
		c.connect = vsock_connect;
		c.arg = m;
	}
	r = vsock_new(&d, &c, &m->mem, m->loop, e);
	if (r == 0 && m->config.jail.on) {
		m->broker = broker_start(dirfd, c.name, e);
		if (m->broker < 0) {
			r = m->broker;
			vdev_free(d);
			file_unlink(dirfd, c.name, 0);
		}
	}
	return r ? r : machine__plug(m, d, "", e);
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

int machine__net_add(struct machine *m, struct machine_net *n, struct err *e)
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
	return r ? r : machine__plug(m, d, n->id, e);
}

static int nets_add(struct machine *m, struct err *e)
{
	int r = 0;

	for (unsigned i = 0; i < m->config.n_nets && r == 0; i++)
		r = machine__net_add(m, &m->config.net[i], e);
	return r;
}

int machine__kinds_add(struct machine *m, struct err *e)
{
	static int (*const add[])(struct machine *, struct err *) = {
		drives_add,         pmems_add, nets_add,    shares_add, machine__balloon_add,
		machine__memhp_add, rng_add,   console_add, vsock_add
	};
	int r = 0;

	m->hotplug_base = machine__memory_end(m, BOARD_PAGE);
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

static int none(const char *what, const char *id, struct err *e)
{
	return err_set(e, ENOENT, "%s '%s': there is none", what, id);
}

static struct machine_drive *drive_of(struct machine *m, const char *id)
{
	for (unsigned i = 0; i < m->config.n_drives; i++)
		if (str_eq(m->config.drive[i].id, id))
			return &m->config.drive[i];
	return NULL;
}

int machine_drive_path(struct machine *m, const char *id, struct machine_file *f, struct err *e)
{
	struct vdev *v = machine__device_find(m, VDEV_BLK, id);
	struct machine_drive *d = drive_of(m, id);
	struct blk *disk;
	int r;

	if (!v || !d)
		return none("drive", id, e);
	r = disk_open(&disk, f, d, e);
	if (r == 0)
		r = vblk_set_disk(v, disk, e);
	if (r < 0)
		return err_wrap(e, r, "drive '%s'", id);
	free(d->file.path);
	d->file.path = TAKE_PTR(f->path);
	return 0;
}

int machine_drive_limit(struct machine *m, const char *id, const struct limiter_config *l, struct err *e)
{
	struct vdev *v = machine__device_find(m, VDEV_BLK, id);
	struct machine_drive *d = drive_of(m, id);

	if (!v || !d)
		return none("drive", id, e);
	vblk_limit(v, changed(&d->limit.bytes, &l->bytes), changed(&d->limit.ops, &l->ops));
	return 0;
}

int machine_pmem_limit(struct machine *m, const char *id, const struct limiter_config *l, struct err *e)
{
	struct vdev *v = machine__device_find(m, VDEV_PMEM, id);

	struct machine_pmem *p = NULL;

	for (unsigned i = 0; i < m->config.n_pmems; i++)
		if (str_eq(m->config.pmem[i].id, id))
			p = &m->config.pmem[i];
	if (!v || !p)
		return none("pmem device", id, e);
	pmem_limit(v, changed(&p->limit.bytes, &l->bytes), changed(&p->limit.ops, &l->ops));
	return 0;
}

struct device_starts {
	struct machine *m;
	int rc;
	struct err *e;
};

static int share_enter(void *arg)
{
	const struct machine *m = arg;

	return m->config.jail.on ? jail_filter(JAIL_SHARE, m->config.jail.trap, NULL) : 0;
}

static void start_one(void *arg, struct vdev *d, const char *id, unsigned place)
{
	struct device_starts *s = arg;

	(void)id;
	(void)place;
	if (d->ops->id == VDEV_FS && s->rc == 0)
		s->rc = vfs_start(d, share_enter, s->m, s->e);
}

/* machine__kinds_start() - threads of devices that have one; once, just before the processors'. */
int machine__kinds_start(struct machine *m, struct err *e)
{
	struct device_starts s = { .m = m, .e = e };

	machine__devices_each(m, start_one, &s);
	return s.rc;
}

int machine_net_limit(struct machine *m, const char *id, const struct limiter_config *rx,
		      const struct limiter_config *tx, struct err *e)
{
	struct vdev *d = machine__device_find(m, VDEV_NET, id);
	struct machine_net *c = net_config(m, id);
	struct vnet_limits l = { 0 };

	if (!d || !c)
		return none("network interface", id, e);
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
