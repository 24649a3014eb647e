/* SPDX-License-Identifier: Apache-2.0 */
/* aio.c - requests on files through one ring; what the ring does by halves is finished by blocking calls */
#include <errno.h>
#include <linux/falloc.h>
#include <stdlib.h>

#include "blk/blk_internal.h"

struct aio *aio_new(void)
{
	struct aio *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->ring.fd = -1;
	if (uring_init(&a->ring, AIO_ENTRIES) < 0) {
		free(a);
		return NULL;
	}
	return a;
}

void aio_free(struct aio *a)
{
	if (!a)
		return;
	uring_fini(&a->ring);
	free(a);
}

static void prepare(struct io_uring_sqe *s, int fd, const struct blk_request *r)
{
	s->fd = fd;
	s->off = r->offset;
	s->user_data = (uintptr_t)r;
	switch (r->op) {
	case BLK_READ:
	case BLK_WRITE:
		s->opcode = r->op == BLK_READ ? IORING_OP_READV : IORING_OP_WRITEV;
		s->addr = (uintptr_t)r->iov;
		s->len = r->n_iov;
		break;
	case BLK_FLUSH:
		s->opcode = IORING_OP_FSYNC;
		s->fsync_flags = IORING_FSYNC_DATASYNC;
		s->off = 0;
		break;
	default:
		s->opcode = IORING_OP_FALLOCATE;
		s->addr = r->len;
		s->len = FALLOC_FL_KEEP_SIZE |
			 (r->op == BLK_DISCARD || r->unmap ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE);
	}
}

int aio_start(struct aio *a, int fd, struct blk_request *r)
{
	struct io_uring_sqe *s = a->pending < AIO_ENTRIES ? uring_sqe(&a->ring) : NULL;

	if (!s)
		return -EAGAIN;
	r->cookie = (uint64_t)fd;
	prepare(s, fd, r);
	a->pending++;
	return 0;
}

int aio_kick(struct aio *a)
{
	return a->ring.queued ? uring_send(&a->ring, 0) : 0;
}

/* by_hand() - the whole request, or what is left of it behind @done bytes, by a blocking call */
static int by_hand(const struct blk_request *r, uint64_t done)
{
	int fd = (int)r->cookie;

	switch (r->op) {
	case BLK_READ:
	case BLK_WRITE: {
		struct iovec rest[BLK_IOV_MAX];
		uint64_t len;
		unsigned n = iov_part(r->iov, r->n_iov, done, r->len - done, rest, BLK_IOV_MAX, &len);

		return plain_rw(fd, r->op == BLK_WRITE, r->offset + done, rest, n, len);
	}
	case BLK_FLUSH: return plain_sync(fd);
	case BLK_DISCARD: {
		int got = plain_punch(fd, r->offset, r->len);

		return got == -EOPNOTSUPP ? 0 : got; /* advice */
	}
	default: return plain_zero(fd, r->offset, r->len, r->unmap);
	}
}

static int settle(const struct blk_request *r, int result)
{
	bool moves = r->op == BLK_READ || r->op == BLK_WRITE;

	if (result >= 0 && (!moves || (uint64_t)result == r->len))
		return 0;
	if (result >= 0)
		return by_hand(r, (uint64_t)result);
	switch (result) {
	case -EAGAIN:
	case -EINTR:
	case -EINVAL:
	case -ENODEV:
	case -EOPNOTSUPP: return by_hand(r, 0);
	default: return result;
	}
}

int aio_reap(struct aio *a, bool wait, aio_done_fn done, void *arg)
{
	uint64_t data;
	int result, n = 0, r = 0;

	if (wait && a->pending > 0)
		r = uring_send(&a->ring, 1);
	else
		r = aio_kick(a);
	while (uring_next(&a->ring, &data, &result)) {
		struct blk_request *q = (struct blk_request *)(uintptr_t)data;

		a->pending--;
		n++;
		done(arg, q, settle(q, result));
	}
	if (n > 0)
		aio_kick(a); /* what done() has queued */
	return r < 0 && n == 0 ? r : n;
}
