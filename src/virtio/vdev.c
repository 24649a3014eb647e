/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/vdev.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "fmt/record.h"
#include "sys/call.h"

enum { VDEV_RECORD_VERSION = 1 };

#define F_ALWAYS (VDEV_F_VERSION_1 | VDEV_F_INDIRECT | VDEV_F_EVENT_IDX | VDEV_F_PACKED)

static const uint8_t S_STEPS = VDEV_S_ACKNOWLEDGE | VDEV_S_DRIVER | VDEV_S_FEATURES_OK | VDEV_S_DRIVER_OK;

static void lock(struct vdev *d)
{
	pthread_mutex_lock(&d->lock);
}

static void unlock(struct vdev *d)
{
	pthread_mutex_unlock(&d->lock);
}

static void queue_empty(struct vdev *d, unsigned i)
{
	vq_reset(&d->vq[i]);
	d->vq[i].size = d->queue_max;
}

static void kicked(void *arg, uint32_t events)
{
	struct vdev_source *s = arg;
	uint64_t n = 0;

	(void)events;
	/* the count is gone before the queue is looked at: a kick from now on makes the descriptor ready again */
	if (SYS3(SYS_read, s->source.fd, &n, sizeof(n)) == sizeof(n))
		s->d->vq[s->i].n_kicks += n;
	vdev_serve(s->d, s->i);
}

static int queue_init(struct vdev *d, unsigned i, struct err *e)
{
	struct vdev_source *s = &d->source[i];
	int r = (int)SYS2(SYS_eventfd2, 0, EFD_NONBLOCK | EFD_CLOEXEC);

	if (r < 0)
		return err_sys(e, -r, "%s: eventfd", d->name);
	d->kick_fd[i] = r;
	s->d = d;
	s->i = i;
	s->source.ready = kicked;
	s->source.arg = s;
	d->vq[i].mem = d->mem;
	queue_empty(d, i);
	if (!d->loop)
		return 0;
	r = loop_add(d->loop, &s->source, d->kick_fd[i], EPOLLIN);
	return r < 0 ? err_sys(e, -r, "%s: event loop", d->name) : 0;
}

int vdev_init(struct vdev *d, const struct vdev_ops *ops, const char *name, const struct gmem *mem,
	      struct loop *loop, uint64_t offered, unsigned n_queues, struct err *e)
{
	int r = 0;

	BUG_ON(n_queues > VDEV_QUEUES_MAX);
	d->ops = ops;
	str_copy(d->name, sizeof(d->name), name);
	d->mem = mem;
	d->loop = loop;
	d->offered = offered | F_ALWAYS;
	d->n_queues = n_queues;
	d->queue_max = VQ_SIZE_MAX;
	pthread_mutex_init(&d->lock, NULL);
	for (unsigned i = 0; i < VDEV_QUEUES_MAX; i++)
		d->kick_fd[i] = d->source[i].source.fd = -1;
	for (unsigned i = 0; i < n_queues && r == 0; i++)
		r = queue_init(d, i, e);
	return r;
}

void vdev_fini(struct vdev *d)
{
	if (!d->ops)
		return;
	for (unsigned i = 0; i < VDEV_QUEUES_MAX; i++) {
		if (d->loop)
			loop_remove(d->loop, &d->source[i].source);
		fd_close(&d->kick_fd[i]);
	}
	pthread_mutex_destroy(&d->lock);
	d->ops = NULL;
}

void vdev_free(struct vdev *d)
{
	if (d)
		d->ops->free(d);
}

/* --- configuration space ------------------------------------------------------------------------------------ */

void vdev_config_read(struct vdev *d, unsigned off, void *dst, unsigned len)
{
	memset(dst, 0, len);
	if (!d->ops->config_read)
		return;
	lock(d);
	d->ops->config_read(d, off, dst, len);
	unlock(d);
}

void vdev_config_write(struct vdev *d, unsigned off, const void *src, unsigned len)
{
	lock(d);
	/* Spec: virtio 1.2 §3.1.1: the space is read and written from DRIVER on */
	if (d->ops->config_write && (d->status & VDEV_S_DRIVER))
		d->ops->config_write(d, off, src, len);
	else
		d->n_ignored++;
	unlock(d);
}

/* --- features and status ------------------------------------------------------------------------------------ */

void vdev_set_features(struct vdev *d, uint64_t features)
{
	lock(d);
	if (d->status & VDEV_S_FEATURES_OK)
		d->n_ignored++;
	else
		d->wanted = features;
	unlock(d);
}

void vdev_set_features_word(struct vdev *d, uint32_t word, uint32_t v)
{
	lock(d);
	if ((d->status & VDEV_S_FEATURES_OK) || (word > 1 && v != 0))
		d->n_ignored++; /* words beyond are of no feature; a driver may write zero there */
	else if (word == 0)
		d->wanted = (d->wanted & ~0xffffffffULL) | v;
	else if (word == 1)
		d->wanted = (d->wanted & 0xffffffffULL) | ((uint64_t)v << 32);
	unlock(d);
}

/* Spec: virtio 1.2 §2.2.2: FEATURES_OK stays off for a set that the device cannot work with; §6.1: VERSION_1 is one */
static bool features_ok(const struct vdev *d, uint64_t features)
{
	return (features & ~d->offered) == 0 && (features & VDEV_F_VERSION_1);
}

/* status_ok() - bits come in order: each one's predecessors are there. Spec: virtio 1.2 §3.1.1 */
static bool status_ok(uint8_t s)
{
	switch (s & ~(VDEV_S_FAILED | VDEV_S_NEEDS_RESET)) {
	case 0:
	case VDEV_S_ACKNOWLEDGE:
	case VDEV_S_ACKNOWLEDGE | VDEV_S_DRIVER:
	case VDEV_S_ACKNOWLEDGE | VDEV_S_DRIVER | VDEV_S_FEATURES_OK:
	case VDEV_S_ACKNOWLEDGE | VDEV_S_DRIVER | VDEV_S_FEATURES_OK | VDEV_S_DRIVER_OK: return true;
	default: return false;
	}
}

static void reset(struct vdev *d)
{
	if (d->status & VDEV_S_DRIVER_OK)
		d->ops->reset(d);
	for (unsigned i = 0; i < d->n_queues; i++)
		queue_empty(d, i);
	d->status = 0;
	d->wanted = d->negotiated = 0;
}

static void driver_ok(struct vdev *d)
{
	d->status |= VDEV_S_DRIVER_OK;
	if (d->ops->activate && d->ops->activate(d) < 0)
		vdev_broken(d);
}

static void status_write(struct vdev *d, uint8_t s)
{
	uint8_t now = d->status & (S_STEPS | VDEV_S_FAILED), fresh;

	s &= S_STEPS | VDEV_S_FAILED; /* NEEDS_RESET is the device's */
	/* Spec: virtio 1.2 §2.1.1: the driver must not clear a bit but by a reset */
	if ((now & ~s) || !status_ok(s)) {
		d->n_ignored++;
		return;
	}
	if ((s & ~now & VDEV_S_FEATURES_OK) && !features_ok(d, d->wanted)) {
		d->n_ignored++;
		s &= (uint8_t) ~(VDEV_S_FEATURES_OK | VDEV_S_DRIVER_OK);
	}
	fresh = s & (uint8_t)~now;
	if (fresh & VDEV_S_FEATURES_OK)
		d->negotiated = d->wanted;
	d->status |= s & (uint8_t)~VDEV_S_DRIVER_OK;
	if (fresh & VDEV_S_DRIVER_OK)
		driver_ok(d);
}

void vdev_set_status(struct vdev *d, uint8_t status)
{
	lock(d);
	if (status == 0)
		reset(d);
	else
		status_write(d, status);
	unlock(d);
}

uint8_t vdev_get_status(struct vdev *d)
{
	uint8_t s;

	lock(d);
	s = d->status;
	unlock(d);
	return s;
}

uint32_t vdev_generation(struct vdev *d)
{
	uint32_t g;

	lock(d);
	g = d->generation;
	unlock(d);
	return g;
}

/* --- queues ------------------------------------------------------------------------------------------------- */

static void put_low(gpa_t *a, uint32_t v)
{
	*a = (*a & ~0xffffffffULL) | v;
}

static void put_high(gpa_t *a, uint32_t v)
{
	*a = (*a & 0xffffffffULL) | ((gpa_t)v << 32);
}

static bool queue_enable(struct vdev *d, struct vq *q)
{
	q->packed = vdev_has(d, VDEV_F_PACKED);
	q->event_idx = vdev_has(d, VDEV_F_EVENT_IDX);
	q->indirect = vdev_has(d, VDEV_F_INDIRECT);
	return q->size <= d->queue_max && vq_enable(q, NULL) == 0;
}

/* queue_put() - one register of a queue that is not enabled. Return: whether it made sense. */
static bool queue_put(struct vdev *d, struct vq *q, enum vdev_queue_reg reg, uint32_t v)
{
	switch (reg) {
	case VDEV_Q_SIZE:
		if (v == 0 || v > d->queue_max)
			return false;
		q->size = (uint16_t)v;
		return true;
	case VDEV_Q_DESC_LO: put_low(&q->desc, v); return true;
	case VDEV_Q_DESC_HI: put_high(&q->desc, v); return true;
	case VDEV_Q_AVAIL_LO: put_low(&q->avail, v); return true;
	case VDEV_Q_AVAIL_HI: put_high(&q->avail, v); return true;
	case VDEV_Q_USED_LO: put_low(&q->used, v); return true;
	case VDEV_Q_USED_HI: put_high(&q->used, v); return true;
	case VDEV_Q_ENABLE: return v == 0 || (v == 1 && queue_enable(d, q));
	default: return false;
	}
}

void vdev_queue_write(struct vdev *d, unsigned i, enum vdev_queue_reg reg, uint32_t v)
{
	bool done = false;

	lock(d);
	if (i < d->n_queues && (d->status & VDEV_S_FEATURES_OK) && !(d->status & VDEV_S_DRIVER_OK)) {
		struct vq *q = &d->vq[i];

		if (!q->enabled)
			done = queue_put(d, q, reg, v);
		else if (reg == VDEV_Q_ENABLE) {
			done = v <= 1;
			if (v == 0)
				q->enabled = false;
		}
	} else if (reg == VDEV_Q_ENABLE && v == 0) {
		/* what a driver says to be sure, after a reset: nothing to do then */
		done = i >= d->n_queues || !d->vq[i].enabled;
	}
	if (!done)
		d->n_ignored++;
	unlock(d);
}

static uint32_t queue_get(const struct vq *q, enum vdev_queue_reg reg)
{
	switch (reg) {
	case VDEV_Q_SIZE: return q->size;
	case VDEV_Q_DESC_LO: return (uint32_t)q->desc;
	case VDEV_Q_DESC_HI: return (uint32_t)(q->desc >> 32);
	case VDEV_Q_AVAIL_LO: return (uint32_t)q->avail;
	case VDEV_Q_AVAIL_HI: return (uint32_t)(q->avail >> 32);
	case VDEV_Q_USED_LO: return (uint32_t)q->used;
	case VDEV_Q_USED_HI: return (uint32_t)(q->used >> 32);
	case VDEV_Q_ENABLE: return q->enabled;
	default: return 0;
	}
}

uint32_t vdev_queue_read(struct vdev *d, unsigned i, enum vdev_queue_reg reg)
{
	uint32_t v;

	if (i >= d->n_queues)
		return 0;
	lock(d);
	v = queue_get(&d->vq[i], reg);
	unlock(d);
	return v;
}

void vdev_serve(struct vdev *d, unsigned i)
{
	lock(d);
	if (i < d->n_queues && !d->paused && vdev_is_active(d) && d->vq[i].enabled &&
	    d->ops->serve(d, i) == -EPROTO)
		vdev_broken(d);
	unlock(d);
}

void vdev_kick(struct vdev *d, unsigned i)
{
	uint64_t one = 1;

	if (i < d->n_queues) /* EAGAIN: 2^64 - 2 kicks wait already, one more is no news */
		SYS3(SYS_write, d->kick_fd[i], &one, sizeof(one));
}

void vdev_notify(struct vdev *d, unsigned i)
{
	if (vq_should_interrupt(&d->vq[i]) && d->interrupt)
		d->interrupt(d->interrupt_arg, (int)i);
}

/* Spec: virtio 1.2 §2.1.2: no notification before DRIVER_OK */
static void tell_config(struct vdev *d)
{
	if ((d->status & VDEV_S_DRIVER_OK) && d->interrupt)
		d->interrupt(d->interrupt_arg, -1);
}

void vdev_config_changed(struct vdev *d)
{
	d->generation++;
	tell_config(d);
}

void vdev_broken(struct vdev *d)
{
	if (d->status & VDEV_S_NEEDS_RESET)
		return;
	d->status |= VDEV_S_NEEDS_RESET;
	tell_config(d);
}

/* --- life --------------------------------------------------------------------------------------------------- */

void vdev_pause(struct vdev *d)
{
	lock(d);
	if (!d->paused && vdev_is_active(d) && d->ops->pause)
		d->ops->pause(d);
	d->paused = true;
	unlock(d);
}

void vdev_resume(struct vdev *d)
{
	lock(d);
	if (d->paused && vdev_is_active(d) && d->ops->resume)
		d->ops->resume(d);
	d->paused = false;
	unlock(d);
	/* what the driver kicked meanwhile, or before a snapshot, was read and dropped */
	for (unsigned i = 0; i < d->n_queues; i++)
		vdev_kick(d, i);
}

void vdev_save(struct vdev *d, struct record_out *o)
{
	lock(d);
	record_begin(o, "VDEV", VDEV_RECORD_VERSION);
	record_put_u32(o, d->ops->id);
	record_put_u64(o, d->wanted);
	record_put_u64(o, d->negotiated);
	record_put_u8(o, d->status);
	record_put_u32(o, d->generation);
	record_put_u32(o, d->n_queues);
	for (unsigned i = 0; i < d->n_queues; i++)
		vq_save(&d->vq[i], o);
	record_begin(o, "DEVICE", VDEV_RECORD_VERSION);
	if (d->ops->save)
		d->ops->save(d, o);
	record_end(o);
	record_end(o);
	unlock(d);
}

/* queues_restore() - each must say of itself what the negotiated features say. */
static void queues_restore(struct vdev *d, struct record_in *in)
{
	for (unsigned i = 0; i < d->n_queues && in->rc == 0; i++) {
		struct vq *q = &d->vq[i];

		vq_restore(q, in);
		if (in->rc == 0 && (q->size > d->queue_max ||
				    (q->enabled && (!(d->status & VDEV_S_FEATURES_OK) ||
						    q->packed != vdev_has(d, VDEV_F_PACKED) ||
						    q->event_idx != vdev_has(d, VDEV_F_EVENT_IDX) ||
						    q->indirect != vdev_has(d, VDEV_F_INDIRECT)))))
			record_fail(in, "%s: queue %u is not what was negotiated", d->name, i);
	}
}

static void generic_restore(struct vdev *d, struct record_in *in)
{
	uint32_t id = record_get_u32(in);

	d->wanted = record_get_u64(in);
	d->negotiated = record_get_u64(in);
	d->status = record_get_u8(in);
	d->generation = record_get_u32(in);
	if (in->rc < 0)
		return;
	if (id != d->ops->id)
		record_fail(in, "%s: the state of device %u for device %d", d->name, id, (int)d->ops->id);
	else if (!status_ok(d->status))
		record_fail(in, "%s: status 0x%x is impossible", d->name, d->status);
	else if (d->status & VDEV_S_FEATURES_OK ? !features_ok(d, d->negotiated) : d->negotiated != 0)
		record_fail(in, "%s: features 0x%llx, offered are 0x%llx", d->name,
			    (unsigned long long)d->negotiated, (unsigned long long)d->offered);
	else if (record_get_u32(in) != d->n_queues)
		record_fail(in, "%s: another number of queues", d->name);
}

void vdev_restore(struct vdev *d, struct record_in *in)
{
	lock(d);
	d->paused = true;
	record_open(in, "VDEV", VDEV_RECORD_VERSION);
	generic_restore(d, in);
	queues_restore(d, in);
	if (in->rc == 0 && vdev_is_active(d) && d->ops->activate && d->ops->activate(d) < 0)
		record_fail(in, "%s: cannot be activated", d->name);
	record_open(in, "DEVICE", VDEV_RECORD_VERSION);
	if (in->rc == 0 && d->ops->restore)
		d->ops->restore(d, in);
	record_close(in);
	record_close(in);
	if (in->rc < 0) /* as new: nothing half believed */
		reset(d);
	unlock(d);
}
