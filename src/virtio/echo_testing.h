/* SPDX-License-Identifier: Apache-2.0 */
/* echo_testing.h - the smallest device: gives back what it reads, as much as fits; for tests of queues and transports only */
#ifndef VIRTIO_ECHO_TESTING_H
#define VIRTIO_ECHO_TESTING_H

#include "virtio/driver_testing.h"

struct echo {
	struct vdev d;
	uint8_t config[16];
	uint32_t limit;    /* chains for each serve; 0: all */
	bool use_quiet;    /* the worker's discipline: quiet, pop, wake */
	bool put_back;     /* undo what was popped */
	unsigned n_served; /* calls */
	unsigned n_resets, n_activated, n_pauses;
	int activate_rc;
	uint64_t n_done;
};

static inline int echo_one(struct vdev *d, struct vq *q)
{
	struct echo *x = (struct echo *)d;
	struct vq_chain c;
	uint8_t bytes[256];
	int r = vq_pop(q, &c);

	if (r <= 0)
		return r;
	if (x->put_back) {
		vq_undo(q, &c);
		return 0;
	}
	while (c.in_left > 0 && c.out_left > 0) {
		uint32_t n = c.in_left < c.out_left ? c.in_left : c.out_left;

		n = n < sizeof(bytes) ? n : sizeof(bytes);
		BUG_ON(vq_read(&c, bytes, n) < 0 || vq_write(q, &c, bytes, n) < 0);
	}
	r = vq_push(q, &c);
	x->n_done++;
	return r < 0 ? r : 1;
}

static inline int echo_serve(struct vdev *d, unsigned i)
{
	struct echo *x = (struct echo *)d;
	struct vq *q = &d->vq[i];
	uint32_t n = 0;
	int r;

	x->n_served++;
	do {
		if (x->use_quiet)
			vq_quiet(q);
		while ((r = echo_one(d, q)) > 0 && ++n != x->limit)
			;
		/* as many as a ring has entries are enough for one turn: the guest may add for ever */
	} while (r == 0 && x->use_quiet && vq_wake(q) && n < VQ_SIZE_MAX);
	vdev_notify(d, i);
	return r < 0 ? r : 0;
}

static inline void echo_config_read(struct vdev *d, unsigned off, void *dst, unsigned len)
{
	struct echo *x = (struct echo *)d;

	for (unsigned k = 0; k < len && off + k < sizeof(x->config); k++)
		((uint8_t *)dst)[k] = x->config[off + k];
}

static inline void echo_config_write(struct vdev *d, unsigned off, const void *src, unsigned len)
{
	struct echo *x = (struct echo *)d;

	for (unsigned k = 0; k < len && off + k < sizeof(x->config); k++)
		x->config[off + k] = ((const uint8_t *)src)[k];
}

static inline int echo_activate(struct vdev *d)
{
	((struct echo *)d)->n_activated++;
	return ((struct echo *)d)->activate_rc;
}

static inline void echo_reset(struct vdev *d)
{
	((struct echo *)d)->n_resets++;
}

static inline void echo_pause(struct vdev *d)
{
	((struct echo *)d)->n_pauses++;
}

static inline void echo_save(struct vdev *d, struct record_out *o)
{
	record_put_u64(o, ((struct echo *)d)->n_done);
}

static inline void echo_restore(struct vdev *d, struct record_in *in)
{
	((struct echo *)d)->n_done = record_get_u64(in);
}

static inline void echo_free(struct vdev *d)
{
	vdev_fini(d);
	free(d);
}

static const struct vdev_ops echo_ops = {
	.name = "echo",
	.id = VDEV_RNG,
	.config_read = echo_config_read,
	.config_write = echo_config_write,
	.activate = echo_activate,
	.serve = echo_serve,
	.reset = echo_reset,
	.pause = echo_pause,
	.save = echo_save,
	.restore = echo_restore,
	.free = echo_free,
};

/* echo_new() - two queues; feature bits 0 and 1 are its own. */
static inline struct echo *echo_new(struct driver *t, struct loop *loop)
{
	struct echo *x = calloc(1, sizeof(*x));

	BUG_ON(!x || vdev_init(&x->d, &echo_ops, "echo", &t->mem, loop, 3, 2, NULL) < 0);
	return x;
}

#endif
