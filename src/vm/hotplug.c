/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hotplug.c - drives, cards and pmem devices that come and go while the machine runs
 *
 * Theory of operation. Only on PCI: a guest that scans the bus finds what is new, and reads ones where something has gone. Nothing
 * tells it to (there is no slot controller): whoever plugs also tells the guest. What is added and removed is added to the
 * configuration and removed from it, so a snapshot has it.
 *
 * Devices are made and freed on the loop's thread, which serves them. Memory is another matter: devices and processors go
 * through its map without a lock. While it changes all of them stand still.
 *
 * A queue whose rings lie in a pmem device keeps the device where it is.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "virtio/vdev.h"
#include "vm/machine_internal.h"

static const struct {
	const char *what;
	int id; /* enum vdev_id */
} kind_of[] = {
	[MACHINE_DEVICE_DRIVE] = { "drive", VDEV_BLK },
	[MACHINE_DEVICE_NET] = { "network interface", VDEV_NET },
	[MACHINE_DEVICE_PMEM] = { "pmem device", VDEV_PMEM },
};

/* One of the configuration's arrays. Every element begins with its id. */
struct list {
	void **array;
	unsigned *n, max;
	size_t size;
};

static struct list list_of(struct machine *m, enum machine_device kind)
{
	struct machine_config *c = &m->config;

	switch (kind) {
	case MACHINE_DEVICE_DRIVE:
		return (struct list){ (void **)&c->drive, &c->n_drives, MACHINE_DRIVES_MAX,
				      sizeof(*c->drive) };
	case MACHINE_DEVICE_NET:
		return (struct list){ (void **)&c->net, &c->n_nets, MACHINE_NETS_MAX, sizeof(*c->net) };
	default: return (struct list){ (void **)&c->pmem, &c->n_pmems, MACHINE_PMEMS_MAX, sizeof(*c->pmem) };
	}
}

static void *element(const struct list *l, unsigned i)
{
	return (char *)*l->array + i * l->size;
}

/* position() - of the one with that id; *l->n: there is none. */
static unsigned position(const struct list *l, const char *id)
{
	unsigned i = 0;

	while (i < *l->n && !str_eq(element(l, i), id))
		i++;
	return i;
}

/* changeable() - may devices come and go? */
static int changeable(const struct machine *m, enum machine_device kind, const char *id, struct err *e)
{
	const char *what = kind_of[kind].what;

	if (!m->config.pci)
		return err_set(e, EOPNOTSUPP,
			       "%s '%s': PCI is not enabled, without which devices do not come and go", what,
			       id);
	if (m->state != MACHINE_RUNNING && m->state != MACHINE_PAUSED)
		return err_set(e, EBUSY, "%s '%s': the machine does not run", what, id);
	return 0;
}

/* append() - a copy of @item at the end of its list, which owns what is in it from now on; drop_last() undoes it. */
static int append(struct machine *m, enum machine_device kind, const void *item, bool root, struct err *e)
{
	struct list l = list_of(m, kind);
	const char *what = kind_of[kind].what;
	void *array;
	int r = changeable(m, kind, item, e);

	if (r < 0)
		return r;
	if (root)
		return err_set(e, EINVAL, "%s '%s': a root device is there from the start or not at all",
			       what, (const char *)item);
	if (!*(const char *)item || position(&l, item) < *l.n)
		return err_set(e, EEXIST, "%s '%s': there is one already", what, (const char *)item);
	if (*l.n == l.max)
		return err_set(e, E2BIG, "%s '%s': there are %u already", what, (const char *)item, l.max);
	array = realloc(*l.array, (*l.n + 1) * l.size);
	if (!array)
		return err_sys(e, ENOMEM, "%s '%s'", what, (const char *)item);
	*l.array = array;
	memcpy(element(&l, *l.n), item, l.size);
	(*l.n)++;
	return 0;
}

/* take_out() - the element leaves the list, into @item if that is not NULL. */
static void take_out(const struct list *l, unsigned i, void *item)
{
	if (item)
		memcpy(item, element(l, i), l->size);
	(*l->n)--;
	memmove(element(l, i), element(l, i + 1), (*l->n - i) * l->size);
}

static void drop_last(struct machine *m, enum machine_device kind, void *item)
{
	struct list l = list_of(m, kind);

	take_out(&l, *l.n - 1, item);
}

/* new_one() - a device that was plugged just now is as all others are. */
static void new_one(struct machine *m, enum machine_device kind, const char *id)
{
	struct vdev *d = machine__device_find(m, kind_of[kind].id, id);

	if (m->state == MACHINE_PAUSED)
		vdev_pause(d);
}

/* --- adding ------------------------------------------------------------------------------------------------------ */

int machine_drive_add(struct machine *m, struct machine_drive *d, struct err *e)
{
	int r = append(m, MACHINE_DEVICE_DRIVE, d, d->root, e);

	if (r < 0)
		return r;
	r = machine__drive_add(m, &m->config.drive[m->config.n_drives - 1], e);
	if (r < 0)
		drop_last(m, MACHINE_DEVICE_DRIVE, d);
	else
		new_one(m, MACHINE_DEVICE_DRIVE, d->id);
	return r;
}

static int check_mac(const struct machine *m, const struct machine_net *n, struct err *e)
{
	for (unsigned i = 0; i < m->config.n_nets && n->has_mac; i++) {
		const struct machine_net *o = &m->config.net[i];

		if (o->has_mac && memcmp(o->mac, n->mac, sizeof(n->mac)) == 0)
			return err_set(e, EEXIST, "network interface '%s': its MAC address is that of '%s'",
				       n->id, o->id);
	}
	return 0;
}

int machine_net_add(struct machine *m, struct machine_net *n, struct err *e)
{
	int r = check_mac(m, n, e);

	if (r == 0)
		r = append(m, MACHINE_DEVICE_NET, n, false, e);
	if (r < 0)
		return r;
	r = machine__net_add(m, &m->config.net[m->config.n_nets - 1], e);
	if (r < 0)
		drop_last(m, MACHINE_DEVICE_NET, n);
	else
		new_one(m, MACHINE_DEVICE_NET, n->id);
	return r;
}

/* all_stand() - nobody looks at the map of memory until all_go(). */
static void all_stand(struct machine *m)
{
	machine__ahead_stop(m);
	if (m->state != MACHINE_RUNNING)
		return; /* they do already */
	machine__threads_want(m, MACHINE_WANT_PAUSE);
	machine__devices_pause(m);
}

static void all_go(struct machine *m)
{
	if (m->state != MACHINE_RUNNING)
		return;
	machine__devices_resume(m);
	machine__threads_want(m, MACHINE_WANT_RUN);
}

int machine_pmem_add(struct machine *m, struct machine_pmem *p, struct err *e)
{
	struct machine_pmem *now;
	int r;

	p->base = 0;
	r = append(m, MACHINE_DEVICE_PMEM, p, p->root, e);
	if (r < 0)
		return r;
	now = &m->config.pmem[m->config.n_pmems - 1];
	all_stand(m);
	r = machine__pmem_add(m, now, e);
	if (r == 0) {
		r = machine__memory_show(m, e);
		if (r < 0)
			machine__unplug(m, machine__device_find(m, VDEV_PMEM, p->id));
	}
	if (r < 0) {
		machine__memory_remove(m, now->base);
		drop_last(m, MACHINE_DEVICE_PMEM, p);
	} else {
		new_one(m, MACHINE_DEVICE_PMEM, p->id);
	}
	all_go(m);
	return r;
}

/* --- removing ---------------------------------------------------------------------------------------------------- */

struct search { /* for a device other than @not that has a ring in [base, base + size) */
	const struct vdev * not, *found;
	gpa_t base;
	uint64_t size;
};

static void search_one(void *arg, struct vdev *d, const char *id, unsigned place)
{
	struct search *s = arg;

	(void)id;
	(void)place;
	for (unsigned i = 0; d != s->not &&i < d->n_queues; i++) {
		const struct vq *q = &d->vq[i];

		if (q->enabled && (q->desc - s->base < s->size || q->avail - s->base < s->size ||
				   q->used - s->base < s->size))
			s->found = d;
	}
}

static int pmem_remove(struct machine *m, struct vdev *d, const struct machine_pmem *p, struct err *e)
{
	const struct gmem_region *g = gmem_find(&m->mem, p->base, 1);
	struct search s = { .not = d, .base = p->base, .size = g ? g->size : 0 };

	all_stand(m);
	machine__devices_each(m, search_one, &s);
	if (!s.found) {
		machine__unplug(m, d);
		machine__memory_remove(m, p->base);
	}
	all_go(m);
	return s.found ? err_set(e, EBUSY, "pmem device '%s': the rings of %s are in it", p->id,
				 s.found->name) :
			 0;
}

static bool is_root(const struct machine *m, enum machine_device kind, unsigned i)
{
	return (kind == MACHINE_DEVICE_DRIVE && m->config.drive[i].root) ||
	       (kind == MACHINE_DEVICE_PMEM && m->config.pmem[i].root);
}

/* forget() - the @i-th leaves the configuration. */
static void forget(struct machine *m, enum machine_device kind, unsigned i)
{
	struct list from = list_of(m, kind);
	union {
		struct machine_drive drive;
		struct machine_net net;
		struct machine_pmem pmem;
	} u;

	take_out(&from, i, &u);
	switch (kind) {
	case MACHINE_DEVICE_DRIVE:
		free(u.drive.file.path);
		free(u.drive.partuuid);
		fd_close(&u.drive.file.fd);
		break;
	case MACHINE_DEVICE_NET:
		free(u.net.host_dev);
		fd_close(&u.net.tap_fd);
		break;
	case MACHINE_DEVICE_PMEM:
		free(u.pmem.file.path);
		fd_close(&u.pmem.file.fd);
		break;
	}
}

int machine_device_remove(struct machine *m, enum machine_device kind, const char *id, struct err *e)
{
	struct list l = list_of(m, kind);
	unsigned i = position(&l, id);
	struct vdev *d;
	int r = changeable(m, kind, id, e);

	if (r < 0)
		return r;
	d = machine__device_find(m, kind_of[kind].id, id);
	if (i == *l.n || !d)
		return err_set(e, ENOENT, "%s '%s': there is none", kind_of[kind].what, id);
	if (is_root(m, kind, i))
		return err_set(e, EBUSY, "%s '%s' is the root device", kind_of[kind].what, id);
	if (kind == MACHINE_DEVICE_PMEM)
		r = pmem_remove(m, d, &m->config.pmem[i], e);
	else
		machine__unplug(m, d);
	if (r == 0)
		forget(m, kind, i);
	return r;
}
