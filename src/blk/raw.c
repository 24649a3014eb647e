/* SPDX-License-Identifier: Apache-2.0 */
/* raw.c - a file or block device whose bytes are the disk's */
/* syscalls(device): newfstatat[3]=AT_EMPTY_PATH */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/guard.h"
#include "blk/blk_internal.h"
#include "blk/mapped.h"
#include "sys/call.h"
#include "sys/file.h"

enum { RAW_ALIGN = 4096 }; /* what O_DIRECT wants at most */

struct raw {
	struct blk blk;
	bool direct;
	int flags;             /* of the open file */
	struct mapped *mapped; /* owned; NULL: by system calls */
};

static int raw_close(struct blk *b)
{
	struct raw *w = (struct raw *)b;

	mapped_free(w->mapped);
	fd_close(&b->fd);
	free(w);
	return 0;
}

static int raw_set_direct(struct raw *w, struct err *e)
{
	int r;

	w->flags = (int)SYS3(SYS_fcntl, w->blk.fd, F_GETFL, 0);
	if (w->flags < 0)
		return err_sys(e, -w->flags, "raw disk");
	w->flags |= O_DIRECT;
	r = (int)SYS3(SYS_fcntl, w->blk.fd, F_SETFL, w->flags);
	return r < 0 ? err_sys(e, -r, "raw disk: O_DIRECT") : 0;
}

static int raw_open(struct blk **ret_b, int fd, const struct blk_options *o, struct err *e)
{
	struct raw *w = calloc(1, sizeof(*w));
	uint64_t size;
	int r;

	if (!w) {
		fd_close(&fd);
		return err_sys(e, ENOMEM, "raw disk");
	}
	w->blk = (struct blk){ .ops = &blk_raw, .fd = fd, .readonly = o->readonly, .no_sync = o->no_sync };
	r = plain_size(fd, &size);
	if (r < 0) {
		raw_close(&w->blk);
		return r == -EINVAL ? err_set(e, EINVAL, "raw disk: neither a file nor a block device") :
				      err_sys(e, -r, "raw disk");
	}
	/* A guest counts in sectors: what is behind the last whole one cannot be told to it. */
	w->blk.size = size - size % BLK_SECTOR + (o->pad && size % BLK_SECTOR ? BLK_SECTOR : 0);
	w->direct = o->direct;
	r = w->direct ? raw_set_direct(w, e) : 0;
	if (r < 0) {
		raw_close(&w->blk);
		return r;
	}
	if (o->async && !o->ring && !o->direct && plain_is_memory(fd))
		w->mapped = mapped_new(fd, size, o->readonly);
	*ret_b = &w->blk;
	return 0;
}

static bool is_aligned(uint64_t offset, const struct iovec *iov, unsigned n_iov)
{
	uint64_t bits = offset;

	for (unsigned i = 0; i < n_iov; i++)
		bits |= (uintptr_t)iov[i].iov_base | iov[i].iov_len;
	return bits % BLK_SECTOR == 0;
}

/* raw_buffered_rw() - what O_DIRECT cannot do goes through the page cache, and out of it again */
static int raw_buffered_rw(struct raw *w, bool write, uint64_t offset, const struct iovec *iov,
			   unsigned n_iov, uint64_t len)
{
	int r = (int)SYS3(SYS_fcntl, w->blk.fd, F_SETFL, w->flags & ~O_DIRECT);

	if (r < 0)
		return r;
	r = plain_rw(w->blk.fd, write, offset, iov, n_iov, len);
	SYS3(SYS_fcntl, w->blk.fd, F_SETFL, w->flags);
	return r;
}

static int raw_rw(struct blk *b, bool write, uint64_t offset, const struct iovec *iov, unsigned n_iov,
		  uint64_t len)
{
	struct raw *w = (struct raw *)b;
	int r = -EINVAL;

	if (w->mapped) {
		if (mapped_rw(w->mapped, write, offset, iov, n_iov, len) == 0)
			return 0;
		r = plain_rw(b->fd, write, offset, iov, n_iov, len);
		if (r == 0 && write)
			mapped_filled(w->mapped, offset, len);
		return r;
	}
	if (!w->direct || is_aligned(offset, iov, n_iov))
		r = plain_rw(b->fd, write, offset, iov, n_iov, len);
	/* Devices of larger sectors refuse what is aligned to 512. */
	return w->direct && r == -EINVAL ? raw_buffered_rw(w, write, offset, iov, n_iov, len) : r;
}

static int raw_flush(struct blk *b)
{
	return b->no_sync ? 0 : plain_sync(b->fd);
}

/* forget() - the file is about to lose some of its pages */
static void forget(struct blk *b, uint64_t offset, uint64_t len)
{
	struct raw *w = (struct raw *)b;

	if (w->mapped)
		mapped_forget(w->mapped, offset, len);
}

static int raw_discard(struct blk *b, uint64_t offset, uint64_t len)
{
	int r;

	forget(b, offset, len);
	r = plain_punch(b->fd, offset, len);
	return r == -EOPNOTSUPP ? 0 : r; /* advice */
}

static int raw_zeroes(struct blk *b, uint64_t offset, uint64_t len, bool unmap)
{
	forget(b, offset, len);
	return plain_zero(b->fd, offset, len, unmap);
}

static int raw_locate(struct blk *b, uint64_t offset, uint64_t len, struct blk_run *ret_run)
{
	*ret_run = (struct blk_run){ BLK_RUN_FILE, b->fd, offset, len };
	return 0;
}

static int raw_map(struct blk *b, uint64_t offset, uint64_t *ret_len, bool *ret_data)
{
	long data = SYS3(SYS_lseek, b->fd, offset, SEEK_DATA), hole;

	if (data == -ENXIO) { /* a hole up to the end */
		*ret_len = b->size - offset;
		*ret_data = false;
		return 0;
	}
	if (data < 0) { /* the file system cannot tell */
		*ret_len = b->size - offset;
		*ret_data = true;
		return 0;
	}
	if ((uint64_t)data > offset) {
		*ret_len = ((uint64_t)data < b->size ? (uint64_t)data : b->size) - offset;
		*ret_data = false;
		return 0;
	}
	hole = SYS3(SYS_lseek, b->fd, offset, SEEK_HOLE);
	if (hole <= (long)offset || (uint64_t)hole > b->size)
		hole = (long)b->size;
	*ret_len = (uint64_t)hole - offset;
	*ret_data = true;
	return 0;
}

static int raw_submit(struct blk *b, struct blk_request *r)
{
	struct raw *w = (struct raw *)b;

	if (r->op == BLK_FLUSH && b->no_sync) {
		blk_done(b, r, 0);
		return 0;
	}
	if (w->direct && (r->op == BLK_READ || r->op == BLK_WRITE) &&
	    !is_aligned(r->offset, r->iov, r->n_iov)) {
		blk_done(b, r, raw_buffered_rw(w, r->op == BLK_WRITE, r->offset, r->iov, r->n_iov, r->len));
		return 0;
	}
	return aio_start(b->aio, b->fd, r);
}

static void raw_done(void *b, struct blk_request *r, int result)
{
	struct raw *w = b;

	if (result == -EINVAL && w->direct && (r->op == BLK_READ || r->op == BLK_WRITE))
		result = raw_buffered_rw(w, r->op == BLK_WRITE, r->offset, r->iov, r->n_iov, r->len);
	blk_done(b, r, result);
}

static int raw_resize(struct blk *b, uint64_t size, struct err *e)
{
	int r;

	if (size < b->size)
		forget(b, size, b->size - size);
	r = (int)SYS2(SYS_ftruncate, b->fd, size);
	if (r < 0)
		return err_sys(e, -r, "resize");
	b->size = size;
	return 0;
}

static void raw_info(const struct blk *b, struct blk_info *ret_i)
{
	struct stat st;

	if (file_fstatat(b->fd, "", &st, AT_EMPTY_PATH) == 0)
		ret_i->allocated = (uint64_t)st.st_blocks * 512;
}

const struct blk_ops blk_raw = {
	.name = "raw",
	.open = raw_open,
	.rw = raw_rw,
	.flush = raw_flush,
	.discard = raw_discard,
	.zeroes = raw_zeroes,
	.locate = raw_locate,
	.map = raw_map,
	.submit = raw_submit,
	.done = raw_done,
	.resize = raw_resize,
	.info = raw_info,
	.close = raw_close,
};
