/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blk.h - a disk as bytes at offsets, whatever format is behind it; a format is one constant struct blk_ops
 *
 * Theory of operation. blk_open() never guesses a format: guessing from content a guest wrote has given guests the host's
 * files. Requests run in one of two ways: blk_rw() and its kin block the caller; blk_submit() starts and the completion comes
 * from blk_reap(), which the owner calls when blk_event_fd() is readable. One thread uses a disk at a time.
 *
 * Offsets and lengths are bytes and need not be aligned. A request beyond the end is -EIO, checked once, here.
 */
#ifndef BLK_BLK_H
#define BLK_BLK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct blk;
struct err;

enum {
	BLK_SECTOR = 512,
	BLK_SIZE_MAX_BITS = 62,
	BLK_IOV_MAX = 256,
	BLK_INFLIGHT_MAX = 128,
	BLK_BACKING_MAX = 8
};

enum blk_op { BLK_READ, BLK_WRITE, BLK_FLUSH, BLK_DISCARD, BLK_ZEROES, BLK_OP_COUNT };

struct blk_request { /* the caller's, until done() */
	enum blk_op op;
	uint64_t offset, len;    /* bytes; the sum of @iov for reads and writes */
	const struct iovec *iov; /* borrowed until done */
	unsigned n_iov;
	bool unmap; /* BLK_ZEROES: space may be given back */
	void (*done)(struct blk_request *r,
		     int result); /* 0 or -errno; from blk_reap() or, at once, from blk_submit() */
	void *arg;
	uint64_t cookie; /* the format's */
};

struct blk_options {
	const char *format; /* "raw", "qcow2"; never NULL */
	bool readonly;
	bool direct; /* O_DIRECT; raw only */
	bool async; /* io_uring, unless all files are in memory; else blk_submit() completes before it returns */
	bool ring;    /* with @async: io_uring for files in memory too (tests) */
	bool no_sync; /* flushes do nothing: cache_type=Unsafe */
	bool pad;     /* raw: half a sector at the end is filled up with zeroes; else it is not shown */
	bool as_is;   /* qcow2: refcounts that a crash left wrong stay so, for who wants to look at them */
	bool backing_none;     /* do not open the backing file: its bytes read as zeroes */
	bool backing_anywhere; /* backing names are a user's own: absolute ones and "../x" are followed */
	unsigned
		backing_max; /* files of a backing chain that may be opened; 0: an image that names one is refused */
	int backing_dirfd; /* where relative backing names are looked up, RESOLVE_BENEATH; -1: nowhere */
};

struct blk_info {
	const char *format;
	uint64_t size;      /* bytes a guest sees */
	uint64_t allocated; /* bytes on the host */
	uint32_t cluster;   /* bytes; 0: none */
	bool readonly, has_backing, dirty;
};

/* blk_open() - @fd: the open file (or block device); taken, also on failure. */
int blk_open(struct blk **ret_b, int fd, const struct blk_options *o, struct err *e);
uint64_t blk_size(const struct blk *b);
bool blk_is_readonly(const struct blk *b);
void blk_info(const struct blk *b, struct blk_info *ret_i);

/* Blocking. Return: 0, -errno. */
int blk_rw(struct blk *b, enum blk_op op, uint64_t offset, const struct iovec *iov, unsigned n_iov);
int blk_pread(struct blk *b, void *dst, size_t len, uint64_t offset);
int blk_pwrite(struct blk *b, const void *src, size_t len, uint64_t offset);
int blk_flush(struct blk *b);
int blk_discard(struct blk *b, uint64_t offset, uint64_t len);
int blk_zeroes(struct blk *b, uint64_t offset, uint64_t len, bool unmap);
/* blk_map() - how many bytes from @offset are alike; *ret_data: they hold data (else they read as zeroes). */
int blk_map(struct blk *b, uint64_t offset, uint64_t *ret_len, bool *ret_data);

/* Asynchronous. blk_submit(): 0 started (or done already); -EAGAIN BLK_INFLIGHT_MAX are under way: reap first. What was submitted
 * is sent to the kernel together by blk_kick(), which the owner calls when it has no more for now; blk_reap() does too. */
int blk_submit(struct blk *b, struct blk_request *r);
void blk_kick(struct blk *b);
int blk_event_fd(const struct blk *b); /* borrowed; -1 when nothing is ever asynchronous */
int blk_reap(
	struct blk *b,
	bool wait); /* call done() for what has completed; @wait: until nothing is under way. Return: how many */

/* blk_resize() - grow with zeroes, or cut off; nothing may be under way. Return: 0; -EOPNOTSUPP, -EBUSY with @e. */
int blk_resize(struct blk *b, uint64_t size, struct err *e);

void blk_close(struct blk *b); /* flushes what the format holds back; takes NULL */
int blk_finish(struct blk *b); /* blk_close(), for who wants to know whether that went well: 0, -errno */

static inline void blk_closep(struct blk **bp)
{
	blk_close(*bp);
}
#define auto_blk __attribute__((cleanup(blk_closep))) /* a local that owns a disk */

#endif
