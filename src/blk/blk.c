/* SPDX-License-Identifier: Apache-2.0 */
#include "blk/blk.h"

#include <errno.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "blk/blk_internal.h"
#include "blk/qcow2.h"

static const struct blk_ops *const formats[] = { &blk_raw, &blk_qcow2 };

/*
 * never_waits() - everything @b reads and writes is in memory. There a ring costs more than it gives: the kernel cannot tell that
 * such a file never waits, and hands each request to a thread (measured: 5.2 us of processor time instead of 2.1 for 4 KiB).
 */
static bool never_waits(const struct blk *b)
{
	const struct blk *backing = blk_is_qcow2(b) ? qcow2_backing(b) : NULL;

	return plain_is_memory(b->fd) && (!backing || never_waits(backing));
}

int blk_open(struct blk **ret_b, int fd, const struct blk_options *o, struct err *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		struct blk *b;
		int r;

		if (!str_eq(formats[i]->name, o->format))
			continue;
		r = formats[i]->open(&b, fd, o, e);
		if (r < 0)
			return r;
		if (o->async && (o->ring || !never_waits(b)))
			b->aio = aio_new(); /* refused: blocking calls do as well */
		*ret_b = b;
		return 0;
	}
	fd_close(&fd);
	return err_set(e, EINVAL, "format '%s': only raw and qcow2 are known", o->format ? o->format : "");
}

uint64_t blk_size(const struct blk *b)
{
	return b->size;
}

bool blk_is_readonly(const struct blk *b)
{
	return b->readonly;
}

void blk_info(const struct blk *b, struct blk_info *ret_i)
{
	*ret_i = (struct blk_info){ .format = b->ops->name, .size = b->size, .readonly = b->readonly };
	b->ops->info(b, ret_i);
}

static int check(const struct blk *b, enum blk_op op, uint64_t offset, uint64_t len)
{
	if (op != BLK_FLUSH && (len > b->size || offset > b->size - len))
		return -EIO;
	if (b->readonly && op != BLK_READ && op != BLK_FLUSH)
		return -EROFS;
	return 0;
}

/* run() - one checked request, blocking */
static int run(struct blk *b, enum blk_op op, uint64_t offset, uint64_t len, const struct iovec *iov,
	       unsigned n_iov, bool unmap)
{
	if (op == BLK_FLUSH)
		return b->readonly ? 0 : b->ops->flush(b);
	if (len == 0)
		return 0;
	switch (op) {
	case BLK_READ:
	case BLK_WRITE: return b->ops->rw(b, op == BLK_WRITE, offset, iov, n_iov, len);
	case BLK_DISCARD: return b->ops->discard(b, offset, len);
	case BLK_ZEROES: return b->ops->zeroes(b, offset, len, unmap);
	default: return -EINVAL;
	}
}

static int check_and_run(struct blk *b, enum blk_op op, uint64_t offset, uint64_t len, bool unmap)
{
	int r = check(b, op, offset, len);

	return r < 0 ? r : run(b, op, offset, len, NULL, 0, unmap);
}

int blk_rw(struct blk *b, enum blk_op op, uint64_t offset, const struct iovec *iov, unsigned n_iov)
{
	uint64_t len = iov_bytes(iov, n_iov);
	int r = op == BLK_READ || op == BLK_WRITE ? check(b, op, offset, len) : -EINVAL;

	return r < 0 ? r : run(b, op, offset, len, iov, n_iov, false);
}

int blk_pread(struct blk *b, void *dst, size_t len, uint64_t offset)
{
	return blk_rw(b, BLK_READ, offset, &(struct iovec){ dst, len }, 1);
}

int blk_pwrite(struct blk *b, const void *src, size_t len, uint64_t offset)
{
	return blk_rw(b, BLK_WRITE, offset, &(struct iovec){ (void *)src, len }, 1);
}

int blk_flush(struct blk *b)
{
	return check_and_run(b, BLK_FLUSH, 0, 0, false);
}

int blk_discard(struct blk *b, uint64_t offset, uint64_t len)
{
	return check_and_run(b, BLK_DISCARD, offset, len, true);
}

int blk_zeroes(struct blk *b, uint64_t offset, uint64_t len, bool unmap)
{
	return check_and_run(b, BLK_ZEROES, offset, len, unmap);
}

int blk_map(struct blk *b, uint64_t offset, uint64_t *ret_len, bool *ret_data)
{
	return offset >= b->size ? -EIO : b->ops->map(b, offset, ret_len, ret_data);
}

void blk_done(struct blk *b, struct blk_request *r, int result)
{
	b->inflight--;
	r->done(r, result);
}

int blk_submit(struct blk *b, struct blk_request *r)
{
	bool at_once;
	int rc;

	if (b->inflight >= BLK_INFLIGHT_MAX)
		return -EAGAIN;
	rc = check(b, r->op, r->offset, r->len);
	if (rc == 0 && (r->op == BLK_READ || r->op == BLK_WRITE) &&
	    (r->n_iov > BLK_IOV_MAX || iov_bytes(r->iov, r->n_iov) != r->len))
		rc = -EINVAL;
	at_once = rc < 0 || !b->aio || (r->op != BLK_FLUSH && r->len == 0) ||
		  (r->op == BLK_FLUSH && b->readonly);
	b->inflight++;
	if (!at_once) {
		rc = b->ops->submit(b, r);
		if (rc == -EAGAIN)
			b->inflight--;
		return rc;
	}
	if (rc == 0)
		rc = run(b, r->op, r->offset, r->len, r->iov, r->n_iov, r->unmap);
	blk_done(b, r, rc);
	return 0;
}

void blk_kick(struct blk *b)
{
	if (b->aio)
		aio_kick(b->aio);
}

int blk_event_fd(const struct blk *b)
{
	return b->aio ? b->aio->ring.fd : -1;
}

int blk_reap(struct blk *b, bool wait)
{
	int n = 0, r;

	if (!b->aio)
		return 0;
	do {
		r = aio_reap(b->aio, wait && b->inflight > 0, b->ops->done, b);
		n += r > 0 ? r : 0;
	} while (wait && b->inflight > 0 && (r >= 0 || r == -EAGAIN || r == -EBUSY));
	return r < 0 && n == 0 ? r : n;
}

int blk_resize(struct blk *b, uint64_t size, struct err *e)
{
	BUG_ON(b->inflight > 0);
	if (b->readonly)
		return err_sys(e, EROFS, "resize");
	if (size >> BLK_SIZE_MAX_BITS || size % BLK_SECTOR)
		return err_set(e, EINVAL, "size %llu: want whole sectors of %d bytes",
			       (unsigned long long)size, BLK_SECTOR);
	return b->ops->resize(b, size, e);
}

int blk_finish(struct blk *b)
{
	struct aio *a;
	int r;

	if (!b)
		return 0;
	blk_reap(b, true);
	a = b->aio;
	r = b->ops->close(b);
	aio_free(a);
	return r;
}

void blk_close(struct blk *b)
{
	blk_finish(b);
}
