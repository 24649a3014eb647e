/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/rng.h"

#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "sys/call.h"
#include "virtio/limiter.h"
#include "virtio/vdev.h"

enum { RNG_SEGS = 64, RNG_TURN_MAX = 64 /* requests in one turn: others want the loop too */ };

struct rng {
	struct vdev d;
	struct limiter limit;
	struct loop_timer timer;
	bool timer_on;
};

/* fill() - random bytes into the chain. Return: 0 or -errno of getrandom(2): the request comes back shorter. */
static int fill(struct vq_chain *c)
{
	struct iovec iov[RNG_SEGS];
	size_t len, done = 0;
	unsigned n = vq_write_iov(c, iov, RNG_SEGS, RNG_REQUEST_MAX, &len);
	long r = 0;

	for (unsigned i = 0; i < n; i++)
		for (size_t at = 0; at < iov[i].iov_len; at += (size_t)r) {
			/* syscalls: getrandom */
			r = SYS3(SYS_getrandom, (char *)iov[i].iov_base + at, iov[i].iov_len - at, 0);
			if (r == -EINTR)
				r = 0;
			if (r < 0) {
				c->written = (uint32_t)done;
				return (int)r;
			}
			done += (size_t)r;
		}
	return 0;
}

static void wait_for_limit(struct rng *dev, nsec_t now)
{
	if (!dev->d.loop || dev->timer_on)
		return;
	dev->timer_on = true;
	loop_timer_set(dev->d.loop, &dev->timer, limiter_wait(&dev->limit, now));
}

static int serve_one(struct rng *dev, struct vq *q)
{
	nsec_t now = time_now_ns(CLOCK_MONOTONIC);
	struct vq_chain c;
	int r = vq_pop(q, &c);

	if (r <= 0)
		return r;
	if (!limiter_take(&dev->limit, c.out_left < RNG_REQUEST_MAX ? c.out_left : RNG_REQUEST_MAX, now)) {
		vq_undo(q, &c);
		wait_for_limit(dev, now);
		return 0;
	}
	fill(&c);
	r = vq_push(q, &c);
	return r < 0 ? r : 1;
}

static int rng_serve(struct vdev *d, unsigned i)
{
	struct rng *dev = (struct rng *)d;
	int r = 1;

	for (int n = 0; r > 0; n++) {
		if (n == RNG_TURN_MAX) {
			vdev_kick(d, i); /* later */
			break;
		}
		r = serve_one(dev, &d->vq[i]);
	}
	vdev_notify(d, i);
	return r < 0 ? r : 0;
}

static void fire(void *arg)
{
	struct rng *dev = arg;

	dev->timer_on = false;
	vdev_serve(&dev->d, 0);
}

static void rng_reset(struct vdev *d)
{
	(void)d; /* nothing is ever in flight; a timer that still runs finds nothing to do */
}

static void rng_save(struct vdev *d, struct record_out *o)
{
	limiter_save(&((struct rng *)d)->limit, o);
}

static void rng_restore(struct vdev *d, struct record_in *in)
{
	limiter_restore(&((struct rng *)d)->limit, in, time_now_ns(CLOCK_MONOTONIC));
}

static void rng_free(struct vdev *d)
{
	struct rng *dev = (struct rng *)d;

	if (d->loop)
		loop_timer_off(d->loop, &dev->timer);
	vdev_fini(d);
	free(dev);
}

static const struct vdev_ops rng_ops = {
	.name = "rng",
	.id = VDEV_RNG,
	.serve = rng_serve,
	.reset = rng_reset,
	.save = rng_save,
	.restore = rng_restore,
	.free = rng_free,
};

int rng_new(struct vdev **ret, const struct gmem *mem, struct loop *loop, const struct limiter_config *limit,
	    struct err *e)
{
	static const struct limiter_config none;
	struct rng *dev = calloc(1, sizeof(*dev));
	int r;

	if (!dev)
		return err_sys(e, ENOMEM, "rng");
	limiter_init(&dev->limit, limit ? limit : &none, time_now_ns(CLOCK_MONOTONIC));
	dev->timer.fire = fire;
	dev->timer.arg = dev;
	r = vdev_init(&dev->d, &rng_ops, "rng", mem, loop, 0, 1, e);
	if (r < 0) {
		rng_free(&dev->d);
		return r;
	}
	*ret = &dev->d;
	return 0;
}
