/* SPDX-License-Identifier: Apache-2.0 */
/* blk_internal.h - what a disk format promises blk.c, and the plain file input and output that formats share */
#ifndef BLK_BLK_INTERNAL_H
#define BLK_BLK_INTERNAL_H

#include "blk/blk.h"
#include "sys/uring.h"

/* How a run of bytes is kept. */
enum blk_run_kind {
	BLK_RUN_ZERO, /* nowhere: reads as zeroes */
	BLK_RUN_FILE, /* at @at of the file @fd, as it is */
	BLK_RUN_SLOW, /* only ops->rw() can tell (compressed) */
};

struct blk_run {
	enum blk_run_kind kind;
	int fd; /* borrowed */
	uint64_t at, len;
};

struct aio;

struct blk { /* first member of a format's own */
	const struct blk_ops *ops;
	int fd; /* owned */
	uint64_t size;
	bool readonly, no_sync;
	unsigned inflight;
	struct aio *aio; /* owned; NULL: nothing is asynchronous */
};

/* Offsets and lengths are checked, @len > 0, and the disk is writable where it must be. */
struct blk_ops {
	const char *name;
	int (*open)(struct blk **ret_b, int fd, const struct blk_options *o, struct err *e); /* @fd taken */
	int (*rw)(struct blk *b, bool write, uint64_t offset, const struct iovec *iov, unsigned n_iov,
		  uint64_t len);
	int (*flush)(struct blk *b);
	int (*discard)(struct blk *b, uint64_t offset, uint64_t len);
	int (*zeroes)(struct blk *b, uint64_t offset, uint64_t len, bool unmap);
	/* locate() - where the bytes from @offset are, for reading; *ret_run's length is at most @len. */
	int (*locate)(struct blk *b, uint64_t offset, uint64_t len, struct blk_run *ret_run);
	int (*map)(struct blk *b, uint64_t offset, uint64_t *ret_len, bool *ret_data);
	int (*submit)(struct blk *b, struct blk_request *r);      /* only with b->aio */
	void (*done)(void *b, struct blk_request *r, int result); /* of what submit() gave to b->aio */
	int (*resize)(struct blk *b, uint64_t size, struct err *e);
	void (*info)(const struct blk *b, struct blk_info *ret_i);
	int (*close)(struct blk *b); /* frees; the first error of the last flush */
};

extern const struct blk_ops blk_raw, blk_qcow2;

/* blk_done() - a request of blk_submit() is complete. */
void blk_done(struct blk *b, struct blk_request *r, int result);

/* --- plain files: whole across short counts; what is behind the end of a file reads as zeroes ------------- */

int plain_rw(int fd, bool write, uint64_t offset, const struct iovec *iov, unsigned n_iov, uint64_t len);
int plain_read(int fd, void *dst, size_t len, uint64_t offset);
int plain_write(int fd, const void *src, size_t len, uint64_t offset);
int plain_sync(int fd); /* fdatasync(2) */
/* plain_punch() - give the space back; the bytes read as zeroes. -EOPNOTSUPP when the file system cannot. */
int plain_punch(int fd, uint64_t offset, uint64_t len);
/* plain_zero() - the bytes read as zeroes, by whatever way there is. */
int plain_zero(int fd, uint64_t offset, uint64_t len, bool unmap);
bool plain_is_memory(int fd);               /* tmpfs and the like */
int plain_size(int fd, uint64_t *ret_size); /* also of a block device */

/* iov_part() - segments for @len bytes from @skip on; at most @max. Return: how many; *ret_len bytes in them. */
unsigned iov_part(const struct iovec *iov, unsigned n_iov, uint64_t skip, uint64_t len, struct iovec *dst,
		  unsigned max, uint64_t *ret_len);
uint64_t iov_bytes(const struct iovec *iov, unsigned n_iov);
void iov_zero(const struct iovec *iov, unsigned n_iov, uint64_t skip, uint64_t len);
void iov_fill(const struct iovec *iov, unsigned n_iov, uint64_t skip, const void *src, uint64_t len);
void iov_take(const struct iovec *iov, unsigned n_iov, uint64_t skip, void *dst, uint64_t len);

/* --- asynchronous: a ring for any number of files --------------------------------------------------------- */

enum { AIO_ENTRIES = 256 };

struct aio {
	struct uring ring;
	unsigned pending; /* sent or queued, not yet completed */
};

/* aio_new() - NULL when the kernel gives no ring: then everything is done by blocking calls. */
struct aio *aio_new(void);
void aio_free(struct aio *a); /* takes NULL */
/* aio_start() - queue @r (BLK_READ, BLK_WRITE, BLK_FLUSH, or fallocate for the others) on @fd at r->offset. r->cookie is
 * used. Return: 0; -EAGAIN the ring is full. */
int aio_start(struct aio *a, int fd, struct blk_request *r);
int aio_kick(struct aio *a);
/* aio_reap() - call @done for what has completed; @wait: for one at least. Return: how many; -errno. */
typedef void (*aio_done_fn)(void *arg, struct blk_request *r, int result);
int aio_reap(struct aio *a, bool wait, aio_done_fn done, void *arg);

#endif
