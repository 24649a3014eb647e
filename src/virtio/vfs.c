/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * A disk may block, so requests are served by a thread of the device's own, which waits for the queues' kicks itself; the
 * machine's loop does not see them. It is a thread and not a process so that read(2) and write(2) reach guest memory of every
 * kind, private copies of a snapshot too; what it can reach in the host is bounded by the share, by who the machine's process
 * is, and by the thread's system call filter.
 *
 * Two locks, in this order: the device's (d->lock), which every op holds; and v->work, which the worker holds while it serves
 * and an op takes to stop it. The worker lets go of v->work between requests when somebody waits for it (v->waiting). It uses the
 * queues without d->lock: whoever changes them holds v->work or comes when @up is false.
 *
 * syscalls(share): ppoll read write
 */
#include "virtio/vfs.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "fmt/fuse.h"
#include "fmt/record.h"
#include "sys/call.h"
#include "virtio/vdev.h"

enum {
	HIPRIO,
	REQUESTS,
	QUEUES,
	VFS_RECORD_VERSION = 1,
	HEAD = sizeof(struct fuse_out_header),
	BATCH_MAX = 16, /* answers for one interrupt */
};

struct vfs {
	struct vdev d;
	char tag[VFS_TAG_MAX + 1];
	struct share *share; /* owned; the worker's, or whoever holds @work while the worker is stopped */
	/* worker */
	pthread_t thread;
	bool started;
	int stop_fd; /* owned eventfd: the worker ends */
	pthread_mutex_t work;
	int waiting; /* atomic: ops that want @work */
	bool up;     /* under @work: may serve */
	struct vq_chain chain;
	union {
		uint64_t align;
		uint8_t bytes[FUSE_ARGS_MAX];
	} args;
	struct iovec data[SHARE_SEGS_MAX], room[SHARE_SEGS_MAX];
	/* of vfs_start() */
	int (*enter)(void *arg);
	void *enter_arg;
	sem_t entered;
	int enter_rc;
};

static struct vfs *vfs_of(struct vdev *d)
{
	return (struct vfs *)d;
}
static_assert(offsetof(struct vfs, d) == 0, "the generic part comes first");

/* --- one request ----------------------------------------------------------------------------------------- */

/* put() - @len bytes over segments that have room for them. */
static void put(const struct iovec *iov, unsigned n, const void *src, size_t len)
{
	const uint8_t *from = src;

	for (unsigned i = 0; i < n && len > 0; i++) {
		size_t part = iov[i].iov_len < len ? iov[i].iov_len : len;

		memcpy(iov[i].iov_base, from, part);
		from += part;
		len -= part;
	}
}

/* request_read() - header and arguments, copied once. Return: 0; -errno, with @h if it got that far. */
static int request_read(struct vfs *v, struct fuse_in_header *h, struct fuse_request *r)
{
	size_t len, total = v->chain.in_left;

	if (vq_read(&v->chain, h, sizeof(*h)) < 0)
		return -EINVAL;
	if (h->len < sizeof(*h) || h->len > total)
		return -EINVAL;
	len = fuse_args_len(h, h->len - sizeof(*h));
	if (len > sizeof(v->args))
		return -E2BIG;
	if (vq_read(&v->chain, v->args.bytes, len) < 0)
		return -EINVAL;
	return fuse_parse(h, v->args.bytes, len, share_setxattr_ext(v->share), r);
}

static long request_serve(struct vfs *v, const struct fuse_request *r, struct share_io *io)
{
	size_t left = r->h.len - sizeof(r->h);

	if (r->h.opcode == FUSE_WRITE) {
		left -= sizeof(struct fuse_write_in);
		io->n_data = vq_read_iov(&v->chain, v->data, SHARE_SEGS_MAX, left, &io->data_len);
		io->data = v->data;
	}
	io->n_room = vq_write_iov(&v->chain, v->room, SHARE_SEGS_MAX, v->chain.out_left, &io->room_len);
	io->room = v->room;
	return share_serve(v->share, r, io);
}

/* request() - the chain at hand, there and back. */
static void request(struct vfs *v)
{
	struct fuse_in_header h = { 0 };
	struct fuse_out_header out;
	struct iovec place[HEAD];
	struct share_io io = { 0 };
	struct fuse_request r;
	size_t room;
	int rc = request_read(v, &h, &r);
	unsigned n = vq_write_iov(&v->chain, place, HEAD, HEAD, &room);
	long len = rc < 0 ? rc : request_serve(v, &r, &io);

	if (room < HEAD || !fuse_has_reply(h.opcode)) {
		v->chain.written = 0;
		return;
	}
	if (len > 0 && io.small)
		put(io.room, io.n_room, io.small, (size_t)len);
	out = (struct fuse_out_header){
		.len = HEAD + (len > 0 ? (uint32_t)len : 0),
		.error = len < 0 ? (int32_t)len : 0,
		.unique = h.unique,
	};
	put(place, n, &out, HEAD);
	v->chain.written = out.len;
}

/* --- the worker ------------------------------------------------------------------------------------------ */

/* work_lock() - for ops: the worker stands still between two requests when it returns. */
static void work_lock(struct vfs *v)
{
	__atomic_fetch_add(&v->waiting, 1, __ATOMIC_SEQ_CST);
	pthread_mutex_lock(&v->work);
	__atomic_fetch_sub(&v->waiting, 1, __ATOMIC_SEQ_CST);
}

static void work_unlock(struct vfs *v)
{
	pthread_mutex_unlock(&v->work);
}

/* work_yield() - let them have it. */
static void work_yield(struct vfs *v)
{
	work_unlock(v);
	while (__atomic_load_n(&v->waiting, __ATOMIC_SEQ_CST) > 0)
		sched_yield();
	pthread_mutex_lock(&v->work);
}

/* notify() - the guest, of the *n that were answered since it was told */
static void notify(struct vfs *v, unsigned i, unsigned *n)
{
	if (*n)
		vdev_notify(&v->d, i);
	*n = 0;
}

/*
 * queue_serve() - the first answer is told at once, later ones two, four, ... at a time while more is asked for than that: a
 * guest that has asked for much is interrupted once for some of it, and one that waits for an answer has it.
 * Context: worker, @work held. Return: 0; -EPROTO. */
static int queue_serve(struct vfs *v, unsigned i)
{
	struct vq *q = &v->d.vq[i];
	unsigned n = 0, batch = 1;
	int r = 0;

	if (!v->up || !q->enabled)
		return 0;
	vq_quiet(q);
	do {
		while (v->up && (r = vq_pop(q, &v->chain)) > 0) {
			request(v);
			r = vq_push(q, &v->chain);
			if (r < 0)
				break;
			if (++n == batch) {
				notify(v, i, &n);
				batch = batch < BATCH_MAX ? 2 * batch : BATCH_MAX;
			}
			if (__atomic_load_n(&v->waiting, __ATOMIC_SEQ_CST) == 0)
				continue;
			notify(v, i, &n); /* whoever waits may end it */
			work_yield(v);
		}
		notify(v, i, &n);
	} while (v->up && r == 0 && vq_wake(q));
	return v->up ? r : 0;
}

/* queue_kicked() - Return: false: nobody kicked. */
static bool queue_kicked(struct vfs *v, unsigned i)
{
	uint64_t n;
	int r;

	if (SYS3(SYS_read, v->d.kick_fd[i], &n, sizeof(n)) != sizeof(n))
		return false;
	pthread_mutex_lock(&v->work);
	r = queue_serve(v, i);
	work_unlock(v);
	if (r < 0) { /* vdev_broken() wants d->lock, which comes before @work */
		pthread_mutex_lock(&v->d.lock);
		if (vdev_is_active(&v->d) && v->d.vq[i].broken)
			vdev_broken(&v->d);
		pthread_mutex_unlock(&v->d.lock);
	}
	return true;
}

static void *worker(void *arg)
{
	struct vfs *v = arg;
	struct pollfd p[QUEUES + 1];

	v->enter_rc = share_thread_begin(v->share);
	if (v->enter_rc == 0 && v->enter)
		v->enter_rc = v->enter(v->enter_arg);
	sem_post(&v->entered);
	if (v->enter_rc < 0)
		return NULL;
	for (unsigned i = 0; i < QUEUES; i++)
		p[i] = (struct pollfd){ .fd = v->d.kick_fd[i], .events = POLLIN };
	p[QUEUES] = (struct pollfd){ .fd = v->stop_fd, .events = POLLIN };
	for (;;) {
		long n = SYS5(SYS_ppoll, p, QUEUES + 1, NULL, NULL, 0);

		if (n < 0 && n != -EINTR)
			return NULL;
		if (n > 0 && p[QUEUES].revents)
			return NULL;
		for (unsigned i = 0; i < QUEUES && n > 0; i++)
			if (p[i].revents)
				queue_kicked(v, i);
	}
}

int vfs_start(struct vdev *d, int (*enter)(void *arg), void *arg, struct err *e)
{
	struct vfs *v = vfs_of(d);
	int r;

	BUG_ON(v->started);
	v->enter = enter;
	v->enter_arg = arg;
	r = pthread_create(&v->thread, NULL, worker, v);
	if (r != 0)
		return err_sys(e, r, "%s: thread", d->name);
	while (sem_wait(&v->entered) < 0)
		;
	if (v->enter_rc < 0) {
		pthread_join(v->thread, NULL);
		return err_sys(e, -v->enter_rc, "%s: thread", d->name);
	}
	v->started = true;
	return 0;
}

/* --- the device ------------------------------------------------------------------------------------------ */

static int vfs_serve(struct vdev *d, unsigned i)
{
	vdev_kick(d, i); /* the worker waits for that */
	return 0;
}

static void set_up(struct vfs *v, bool up)
{
	work_lock(v);
	v->up = up;
	work_unlock(v);
}

static int vfs_activate(struct vdev *d)
{
	set_up(vfs_of(d), !d->paused);
	return 0;
}

static void vfs_pause(struct vdev *d)
{
	set_up(vfs_of(d), false);
}

static void vfs_resume(struct vdev *d)
{
	set_up(vfs_of(d), true);
}

static void vfs_reset(struct vdev *d)
{
	struct vfs *v = vfs_of(d);

	work_lock(v);
	v->up = false;
	share_reset(v->share);
	work_unlock(v);
}

static void vfs_config_read(struct vdev *d, unsigned off, void *dst, unsigned len)
{
	struct {
		char tag[VFS_TAG_MAX];
		uint32_t queues;
	} config = { .queues = htole32(QUEUES - REQUESTS) };

	memcpy(config.tag, vfs_of(d)->tag, VFS_TAG_MAX); /* padded with NUL, not ended by one */
	memset(dst, 0, len);
	if (off < sizeof(config))
		memcpy(dst, (const char *)&config + off,
		       len < sizeof(config) - off ? len : sizeof(config) - off);
}

static void vfs_save(struct vdev *d, struct record_out *o)
{
	record_begin(o, "FS", VFS_RECORD_VERSION);
	share_save(vfs_of(d)->share, o);
	record_end(o);
}

static void vfs_restore(struct vdev *d, struct record_in *in)
{
	if (!record_open(in, "FS", VFS_RECORD_VERSION))
		return;
	share_restore(vfs_of(d)->share, in);
	record_close(in);
}

static void vfs_free(struct vdev *d)
{
	struct vfs *v = vfs_of(d);
	uint64_t one = 1;

	if (v->started) {
		SYS3(SYS_write, v->stop_fd, &one, sizeof(one));
		set_up(v, false);
		pthread_join(v->thread, NULL);
	}
	share_free(v->share);
	fd_close(&v->stop_fd);
	pthread_mutex_destroy(&v->work);
	sem_destroy(&v->entered);
	vdev_fini(d);
	free(v);
}

static const struct vdev_ops vfs_ops = {
	.name = "fs",
	.id = VDEV_FS,
	.config_read = vfs_config_read,
	.activate = vfs_activate,
	.serve = vfs_serve,
	.reset = vfs_reset,
	.pause = vfs_pause,
	.resume = vfs_resume,
	.save = vfs_save,
	.restore = vfs_restore,
	.free = vfs_free,
};

static int vfs_make(struct vfs *v, const struct vfs_config *c, const struct gmem *mem, struct loop *loop,
		    struct err *e)
{
	char name[VDEV_NAME_MAX + 1];
	int r;

	str_format(name, sizeof(name), "share '%s'", c->tag);
	r = vdev_init(&v->d, &vfs_ops, name, mem, loop, 0, QUEUES, e);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < QUEUES && loop; i++)
		loop_remove(loop, &v->d.source[i].source); /* the worker's */
	v->stop_fd = (int)SYS2(SYS_eventfd2, 0, EFD_CLOEXEC);
	if (v->stop_fd < 0)
		return err_sys(e, -v->stop_fd, "%s: eventfd", name);
	r = share_new(&v->share, &c->share, e);
	return r < 0 ? err_wrap(e, r, "%s", name) : 0;
}

int vfs_new(struct vdev **ret_d, const struct vfs_config *c, const struct gmem *mem, struct loop *loop,
	    struct err *e)
{
	struct vfs *v;
	int r;

	if (!*c->tag || strlen(c->tag) > VFS_TAG_MAX)
		return err_set(e, EINVAL, "share: tag '%s', want 1 to %d bytes", c->tag, VFS_TAG_MAX);
	v = calloc(1, sizeof(*v));
	if (!v)
		return err_sys(e, ENOMEM, "share '%s'", c->tag);
	v->stop_fd = -1;
	pthread_mutex_init(&v->work, NULL);
	sem_init(&v->entered, 0, 0);
	str_copy(v->tag, sizeof(v->tag), c->tag);
	r = vfs_make(v, c, mem, loop, e);
	if (r < 0) {
		vfs_free(&v->d);
		return r;
	}
	*ret_d = &v->d;
	return 0;
}
