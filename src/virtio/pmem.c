/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/pmem.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_pmem.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "fmt/record.h"
#include "sys/file.h"
#include "virtio/limiter.h"
#include "virtio/vdev.h"

struct pmem {
	struct vdev d;
	gpa_t base;
	uint64_t size;
	int fd; /* the region's; borrowed */
	bool readonly;
	struct limiter limit;
	struct loop_timer timer;
	bool timer_on;
};

static void pmem_config_read(struct vdev *d, unsigned off, void *dst, unsigned len)
{
	const struct pmem *dev = (const struct pmem *)d;
	struct virtio_pmem_config c = { htole64(dev->base), htole64(dev->size) };

	if (off < sizeof(c))
		memcpy(dst, (const char *)&c + off, len < sizeof(c) - off ? len : sizeof(c) - off);
}

/* answer() - do what the request says. Return: what the guest gets, 0 or 1. */
static uint32_t answer(const struct pmem *dev, struct vq_chain *c)
{
	struct virtio_pmem_req req;

	if (vq_read(c, &req, sizeof(req)) < 0 || le32toh(req.type) != VIRTIO_PMEM_REQ_TYPE_FLUSH)
		return 1;
	if (dev->readonly)
		return 0;
	/* syscalls: fsync; of what was written through mappings too */
	return file_sync(dev->fd) < 0;
}

static void wait_for_limit(struct pmem *dev, nsec_t now)
{
	if (!dev->d.loop || dev->timer_on)
		return;
	dev->timer_on = true;
	loop_timer_set(dev->d.loop, &dev->timer, limiter_wait(&dev->limit, now));
}

static int serve_one(struct pmem *dev, struct vq *q)
{
	nsec_t now = time_now_ns(CLOCK_MONOTONIC);
	struct virtio_pmem_resp resp;
	struct vq_chain c;
	int r = vq_pop(q, &c);

	if (r <= 0)
		return r;
	if (!limiter_take(&dev->limit, dev->size, now)) {
		vq_undo(q, &c);
		wait_for_limit(dev, now);
		return 0;
	}
	resp.ret = htole32(answer(dev, &c));
	vq_write(q, &c, &resp, sizeof(resp)); /* no room for the answer: it is lost, the buffer comes back */
	r = vq_push(q, &c);
	return r < 0 ? r : 1;
}

static int pmem_serve(struct vdev *d, unsigned i)
{
	struct pmem *dev = (struct pmem *)d;
	int r = 1;

	for (int n = 0; r > 0; n++) {
		if (n == VQ_SIZE_MAX) {
			vdev_kick(d, i);
			break;
		}
		r = serve_one(dev, &d->vq[i]);
	}
	vdev_notify(d, i);
	return r < 0 ? r : 0;
}

static void fire(void *arg)
{
	struct pmem *dev = arg;

	dev->timer_on = false;
	vdev_serve(&dev->d, 0);
}

void pmem_limit(struct vdev *d, const struct bucket_config *bytes, const struct bucket_config *ops)
{
	struct pmem *dev = (struct pmem *)d;

	pthread_mutex_lock(&d->lock);
	limiter_update(&dev->limit, bytes, ops, time_now_ns(CLOCK_MONOTONIC));
	pthread_mutex_unlock(&d->lock);
	if (d->loop)
		loop_timer_off(d->loop, &dev->timer);
	dev->timer_on = false;
	vdev_kick(d, 0);
}

static void pmem_reset(struct vdev *d)
{
	(void)d; /* nothing is ever in flight */
}

static void pmem_save(struct vdev *d, struct record_out *o)
{
	const struct pmem *dev = (const struct pmem *)d;

	record_put_u64(o, dev->base);
	record_put_u64(o, dev->size);
	limiter_save(&dev->limit, o);
}

static void pmem_restore(struct vdev *d, struct record_in *in)
{
	struct pmem *dev = (struct pmem *)d;
	uint64_t base = record_get_u64(in), size = record_get_u64(in);

	if (in->rc == 0 && (base != dev->base || size != dev->size)) /* the guest has it mapped there */
		record_fail(in, "%s: was at 0x%llx, 0x%llx bytes", d->name, (unsigned long long)base,
			    (unsigned long long)size);
	limiter_restore(&dev->limit, in, time_now_ns(CLOCK_MONOTONIC));
}

static void pmem_free(struct vdev *d)
{
	struct pmem *dev = (struct pmem *)d;

	if (d->loop)
		loop_timer_off(d->loop, &dev->timer);
	vdev_fini(d);
	free(dev);
}

static const struct vdev_ops pmem_ops = {
	.name = "pmem",
	.id = VDEV_PMEM,
	.config_read = pmem_config_read,
	.serve = pmem_serve,
	.reset = pmem_reset,
	.save = pmem_save,
	.restore = pmem_restore,
	.free = pmem_free,
};

int pmem_new(struct vdev **ret, const struct gmem *mem, struct loop *loop, const char *name, gpa_t base,
	     const struct limiter_config *limit, struct err *e)
{
	static const struct limiter_config none;
	const struct gmem_region *region = gmem_find(mem, base, 1);
	struct pmem *dev;
	int r;

	if (!region || region->base != base || region->ram)
		return err_set(e, EINVAL, "%s: no region at 0x%llx", name, (unsigned long long)base);
	dev = calloc(1, sizeof(*dev));
	if (!dev)
		return err_sys(e, ENOMEM, "%s", name);
	dev->base = base;
	dev->size = region->size;
	dev->fd = region->fd;
	dev->readonly = region->readonly || !region->shared;
	limiter_init(&dev->limit, limit ? limit : &none, time_now_ns(CLOCK_MONOTONIC));
	dev->timer.fire = fire;
	dev->timer.arg = dev;
	r = vdev_init(&dev->d, &pmem_ops, name, mem, loop, 0, 1, e);
	if (r < 0) {
		pmem_free(&dev->d);
		return r;
	}
	*ret = &dev->d;
	return 0;
}
