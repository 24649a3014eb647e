/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/balloon.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "fmt/record.h"
#include "virtio/vdev.h"

#define F_STATS          (1ULL << 1)
#define F_DEFLATE_ON_OOM (1ULL << 2)
#define F_HINT           (1ULL << 3)
#define F_REPORTING      (1ULL << 5)

enum { Q_INFLATE, Q_DEFLATE, Q_STATS, Q_HINT, Q_REPORTING, Q_KINDS };
enum {
	PAGES_PER_MIB = 256,
	BATCH_PFNS = 256,
	PFNS_MAX = 1 << 16, /* of one request; a driver sends 256 */
	STATS_MAX = 64,     /* entries of one report */
	TURN_MAX = 64,      /* requests of one turn */
};

struct config {
	uint32_t num_pages, actual, hint_cmd, poison;
};

struct stat {
	uint16_t tag;
	uint64_t val;
} __attribute__((packed));

struct balloon {
	struct vdev d;
	struct balloon_status s;
	int kind[VDEV_QUEUES_MAX]; /* of each queue, as negotiated */
	bool acknowledge;
	uint32_t rounds; /* so far */
	bool holds_stats;
	struct vq_chain stats; /* the driver's buffer, while it is held */
	struct loop_timer timer;
	bool timer_on;
};

/* --- giving pages back -------------------------------------------------------------------------------------- */

/* discard() - of [addr, addr + len) what is the machine's memory. */
static void discard(struct balloon *b, gpa_t addr, uint64_t len)
{
	void *host;

	while (len > 0) {
		uint64_t n = gmem_span(b->d.mem, addr, len, true, &host);

		if (n == 0) {
			b->s.n_nowhere++;
			return;
		}
		if (gmem_discard(b->d.mem, addr, n) < 0) /* syscalls: fallocate, mmap, madvise */
			b->s.n_discard_failed += n / GMEM_PAGE;
		else
			b->s.n_discarded += n / GMEM_PAGE;
		addr += n;
		len -= n;
	}
}

static int pfn_order(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* discard_pfns() - in order of address, so that neighbours go in one call. */
static void discard_pfns(struct balloon *b, uint32_t *pfn, unsigned n)
{
	qsort(pfn, n, sizeof(*pfn), pfn_order);
	for (unsigned i = 0, end; i < n; i = end) {
		for (end = i + 1; end < n && pfn[end] - pfn[end - 1] <= 1; end++)
			;
		discard(b, (gpa_t)pfn[i] * GMEM_PAGE, ((uint64_t)pfn[end - 1] - pfn[i] + 1) * GMEM_PAGE);
	}
}

static void inflate(struct balloon *b, struct vq_chain *c)
{
	uint32_t pfn[BATCH_PFNS];

	for (unsigned left = PFNS_MAX; left > 0 && c->in_left >= sizeof(*pfn); left -= BATCH_PFNS) {
		unsigned n = c->in_left / sizeof(*pfn);

		if (n > BATCH_PFNS)
			n = BATCH_PFNS;
		vq_read(c, pfn, n * sizeof(*pfn));
		for (unsigned i = 0; i < n; i++)
			pfn[i] = le32toh(pfn[i]);
		discard_pfns(b, pfn, n);
	}
}

/* discard_buffers() - the pages that the writable part of the chain is made of. Nothing is written to them. */
static void discard_buffers(struct balloon *b, const struct vq_chain *c)
{
	for (unsigned i = c->n_in; i < (unsigned)c->n_in + c->n_out; i++)
		discard(b, c->gpa[i], c->iov[i].iov_len);
}

/* Spec: virtio 1.2 §5.5.6.7: a number begins or ends a round, buffers are its pages */
static void hint(struct balloon *b, struct vq_chain *c)
{
	uint32_t cmd;

	if (vq_read(c, &cmd, sizeof(cmd)) == 0) {
		b->s.guest_cmd = le32toh(cmd);
		if (b->s.guest_cmd == BALLOON_CMD_STOP && b->acknowledge &&
		    b->s.host_cmd > BALLOON_CMD_DONE) {
			b->s.host_cmd = BALLOON_CMD_DONE;
			vdev_config_changed(&b->d);
		}
	}
	if (b->s.host_cmd > BALLOON_CMD_DONE && b->s.guest_cmd == b->s.host_cmd)
		discard_buffers(b, c);
}

/* --- statistics --------------------------------------------------------------------------------------------- */

static void read_stats(struct balloon *b, struct vq_chain *c)
{
	struct stat st;

	b->s.stats_there = 0;
	for (int n = 0; n < STATS_MAX && vq_read(c, &st, sizeof(st)) == 0; n++) {
		unsigned tag = le16toh(st.tag);

		if (tag >= BALLOON_STAT_COUNT) /* of a newer driver */
			continue;
		b->s.stat[tag] = le64toh(st.val);
		b->s.stats_there |= 1U << tag;
	}
}

static int stats_queue(const struct balloon *b)
{
	for (unsigned i = 0; i < b->d.n_queues; i++)
		if (b->kind[i] == Q_STATS)
			return (int)i;
	return -1;
}

/* return_stats() - the driver gets its buffer back: it fills it and leaves it again. */
static int return_stats(struct balloon *b, unsigned i)
{
	int r;

	if (!b->holds_stats)
		return 0;
	b->holds_stats = false;
	r = vq_push(&b->d.vq[i], &b->stats);
	vdev_notify(&b->d, i);
	return r;
}

static void timer_set(struct balloon *b)
{
	if (!b->d.loop)
		return;
	b->timer_on = true;
	loop_timer_set(b->d.loop, &b->timer, b->s.stats_s * NSEC_PER_SEC);
}

static void fire(void *arg)
{
	struct balloon *b = arg;
	int i;

	pthread_mutex_lock(&b->d.lock);
	b->timer_on = false;
	i = stats_queue(b);
	if (vdev_is_active(&b->d) && i >= 0) {
		if (!b->d.paused && return_stats(b, (unsigned)i) < 0)
			vdev_broken(&b->d);
		timer_set(b);
	}
	pthread_mutex_unlock(&b->d.lock);
}

static int serve_stats(struct balloon *b, unsigned i)
{
	struct vq_chain c;
	int r;

	/* one at a time: who leaves more gets the older one back, for ring's length turns at most */
	for (int n = 0; (r = vq_pop(&b->d.vq[i], &c)) > 0 && n < VQ_SIZE_MAX; n++) {
		r = return_stats(b, i);
		if (r < 0)
			return r;
		read_stats(b, &c);
		b->stats = c;
		b->holds_stats = true;
	}
	if (!b->timer_on)
		timer_set(b);
	return r < 0 ? r : 0;
}

/* --- the device --------------------------------------------------------------------------------------------- */

static void handle(struct balloon *b, int kind, struct vq_chain *c)
{
	switch (kind) {
	case Q_INFLATE: inflate(b, c); break;
	case Q_HINT: hint(b, c); break;
	case Q_REPORTING: discard_buffers(b, c); break;
	default: break; /* Q_DEFLATE: the pages come when they are touched */
	}
}

static int balloon_serve(struct vdev *d, unsigned i)
{
	struct balloon *b = (struct balloon *)d;
	struct vq *q = &d->vq[i];
	struct vq_chain c;
	int r;

	if (b->kind[i] == Q_STATS)
		return serve_stats(b, i);
	for (int n = 0; (r = vq_pop(q, &c)) > 0; n++) {
		handle(b, b->kind[i], &c);
		r = vq_push(q, &c);
		if (r < 0)
			break;
		if (n == TURN_MAX) {
			vdev_kick(d, i); /* later */
			break;
		}
	}
	vdev_notify(d, i);
	return r < 0 ? r : 0;
}

static void balloon_config_read(struct vdev *d, unsigned off, void *dst, unsigned len)
{
	const struct balloon *b = (const struct balloon *)d;
	struct config c = { htole32(b->s.target_pages), htole32(b->s.actual_pages), htole32(b->s.host_cmd),
			    0 };

	if (off < sizeof(c))
		memcpy(dst, (const char *)&c + off, len < sizeof(c) - off ? len : sizeof(c) - off);
}

static void balloon_config_write(struct vdev *d, unsigned off, const void *src, unsigned len)
{
	struct balloon *b = (struct balloon *)d;
	uint32_t v;

	/* the driver's one field. Spec: virtio 1.2 §5.5.4 */
	if (off != offsetof(struct config, actual) || len != sizeof(v)) {
		d->n_ignored++;
		return;
	}
	memcpy(&v, src, sizeof(v));
	b->s.actual_pages = le32toh(v);
}

/* Queues that go with features are counted only if these are negotiated. Spec: virtio 1.2 §5.5.2 */
static int balloon_activate(struct vdev *d)
{
	static const uint64_t feature[Q_KINDS] = {
		[Q_STATS] = F_STATS, [Q_HINT] = F_HINT, [Q_REPORTING] = F_REPORTING
	};
	struct balloon *b = (struct balloon *)d;
	unsigned i = 0;

	for (int kind = 0; kind < Q_KINDS; kind++)
		if (!feature[kind] || vdev_has(d, feature[kind]))
			b->kind[i++] = kind;
	while (i < d->n_queues)
		b->kind[i++] = Q_KINDS;
	return 0;
}

static void balloon_reset(struct vdev *d)
{
	struct balloon *b = (struct balloon *)d;

	b->holds_stats = false; /* a timer that still runs finds the device down */
	b->s.actual_pages = 0;
	b->s.stats_there = 0;
	b->s.host_cmd = b->s.guest_cmd = BALLOON_CMD_STOP;
	for (unsigned i = 0; i < VDEV_QUEUES_MAX; i++)
		b->kind[i] = Q_KINDS;
}

/* The buffer goes back into the ring: a snapshot holds nothing that is under way. */
static void balloon_pause(struct vdev *d)
{
	struct balloon *b = (struct balloon *)d;
	int i = stats_queue(b);

	if (b->holds_stats && i >= 0)
		vq_undo(&d->vq[i], &b->stats);
	b->holds_stats = false;
}

static void balloon_save(struct vdev *d, struct record_out *o)
{
	const struct balloon *b = (const struct balloon *)d;

	record_put_u32(o, b->s.target_pages);
	record_put_u32(o, b->s.actual_pages);
	record_put_u16(o, b->s.stats_s);
	record_put_u32(o, b->s.stats_there);
	record_put_u32(o, b->rounds);
	for (int i = 0; i < BALLOON_STAT_COUNT; i++)
		record_put_u64(o, b->s.stat[i]);
}

static uint64_t ram_pages(const struct vdev *d)
{
	return gmem_ram_bytes(d->mem) / GMEM_PAGE;
}

static void balloon_restore(struct vdev *d, struct record_in *in)
{
	struct balloon *b = (struct balloon *)d;
	uint16_t stats_s;

	b->s.target_pages = record_get_u32(in);
	b->s.actual_pages = record_get_u32(in);
	stats_s = record_get_u16(in);
	b->s.stats_there = record_get_u32(in) & ((1U << BALLOON_STAT_COUNT) - 1);
	b->rounds = record_get_u32(in);
	for (int i = 0; i < BALLOON_STAT_COUNT; i++)
		b->s.stat[i] = record_get_u64(in);
	if (in->rc == 0 && b->s.target_pages > ram_pages(d))
		record_fail(in, "balloon: target of %u pages is more than the machine's memory",
			    b->s.target_pages);
	if (in->rc == 0 && !stats_s != !b->s.stats_s)
		record_fail(in, "balloon: statistics are not as configured");
	if (in->rc == 0)
		b->s.stats_s = stats_s;
	b->s.host_cmd = b->s.guest_cmd = BALLOON_CMD_STOP;
}

static void balloon_resume(struct vdev *d)
{
	/* a round that was under way when the snapshot was taken is over: its driver must hear so */
	if (vdev_has(d, F_HINT))
		vdev_config_changed(d);
}

static void balloon_free(struct vdev *d)
{
	struct balloon *b = (struct balloon *)d;

	if (d->loop)
		loop_timer_off(d->loop, &b->timer);
	vdev_fini(d);
	free(b);
}

static const struct vdev_ops balloon_ops = {
	.name = "balloon",
	.id = VDEV_BALLOON,
	.config_read = balloon_config_read,
	.config_write = balloon_config_write,
	.activate = balloon_activate,
	.serve = balloon_serve,
	.reset = balloon_reset,
	.pause = balloon_pause,
	.resume = balloon_resume,
	.save = balloon_save,
	.restore = balloon_restore,
	.free = balloon_free,
};

static int check_target(const struct gmem *mem, uint32_t mib, struct err *e)
{
	if ((uint64_t)mib << 20 > gmem_ram_bytes(mem))
		return err_set(e, EINVAL, "balloon: %u MiB is more than the machine's memory", mib);
	return 0;
}

int balloon_new(struct vdev **ret, const struct gmem *mem, struct loop *loop, const struct balloon_config *c,
		struct err *e)
{
	uint64_t offered = (c->stats_s ? F_STATS : 0) | (c->deflate_on_oom ? F_DEFLATE_ON_OOM : 0) |
			   (c->hinting ? F_HINT : 0) | (c->reporting ? F_REPORTING : 0);
	unsigned n_queues = 2U + (c->stats_s > 0) + c->hinting + c->reporting;
	struct balloon *b;
	int r = check_target(mem, c->target_mib, e);

	if (r < 0)
		return r;
	b = calloc(1, sizeof(*b));
	if (!b)
		return err_sys(e, ENOMEM, "balloon");
	b->s = (struct balloon_status){ .target_pages = c->target_mib * PAGES_PER_MIB,
					.stats_s = c->stats_s,
					.deflate_on_oom = c->deflate_on_oom,
					.hinting = c->hinting,
					.reporting = c->reporting };
	b->rounds = BALLOON_CMD_DONE;
	b->timer.fire = fire;
	b->timer.arg = b;
	r = vdev_init(&b->d, &balloon_ops, "balloon", mem, loop, offered, n_queues, e);
	if (r < 0) {
		balloon_free(&b->d);
		return r;
	}
	balloon_reset(&b->d);
	*ret = &b->d;
	return 0;
}

/* --- for who owns the machine ------------------------------------------------------------------------------- */

void balloon_status(struct vdev *d, struct balloon_status *ret)
{
	pthread_mutex_lock(&d->lock);
	*ret = ((struct balloon *)d)->s;
	pthread_mutex_unlock(&d->lock);
}

int balloon_set_target(struct vdev *d, uint32_t mib, struct err *e)
{
	struct balloon *b = (struct balloon *)d;
	int r = check_target(d->mem, mib, e);

	if (r < 0)
		return r;
	pthread_mutex_lock(&d->lock);
	if (vdev_is_active(d)) {
		b->s.target_pages = mib * PAGES_PER_MIB;
		vdev_config_changed(d);
	} else {
		r = err_set(e, ENODEV, "balloon: the guest's driver is not up");
	}
	pthread_mutex_unlock(&d->lock);
	return r;
}

int balloon_set_stats(struct vdev *d, uint16_t stats_s, struct err *e)
{
	struct balloon *b = (struct balloon *)d;
	int r = 0;

	pthread_mutex_lock(&d->lock);
	if (!stats_s != !b->s.stats_s)
		r = err_set(e, EINVAL, "balloon: statistics cannot be turned %s in a running machine",
			    stats_s ? "on" : "off");
	else
		b->s.stats_s = stats_s;
	if (r == 0 && b->timer_on)
		timer_set(b);
	pthread_mutex_unlock(&d->lock);
	return r;
}

/* hint_set() - what start and stop have in common. @cmd 0: the next round's number. */
static int hint_set(struct vdev *d, uint32_t cmd, bool acknowledge, struct err *e)
{
	struct balloon *b = (struct balloon *)d;
	int r = 0;

	if (!b->s.hinting)
		return err_set(e, EOPNOTSUPP, "balloon: made without free page hinting");
	pthread_mutex_lock(&d->lock);
	if (!vdev_is_active(d) || !vdev_has(d, F_HINT)) {
		r = err_set(e, ENODEV, "balloon: the guest's driver does not hint");
	} else {
		if (cmd == 0) {
			if (++b->rounds <= BALLOON_CMD_DONE) /* around: 0 and 1 are no round's */
				b->rounds = BALLOON_CMD_DONE + 1;
			cmd = b->rounds;
			b->acknowledge = acknowledge;
		}
		b->s.host_cmd = cmd;
		vdev_config_changed(d);
	}
	pthread_mutex_unlock(&d->lock);
	return r;
}

int balloon_hint_start(struct vdev *d, bool acknowledge_on_stop, struct err *e)
{
	return hint_set(d, 0, acknowledge_on_stop, e);
}

int balloon_hint_stop(struct vdev *d, struct err *e)
{
	return hint_set(d, BALLOON_CMD_DONE, false, e);
}
