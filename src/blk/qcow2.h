/* SPDX-License-Identifier: Apache-2.0 */
/* qcow2.h - what a qcow2 image can do beyond being a disk; @b is one that blk_open() made with format "qcow2" */
#ifndef BLK_QCOW2_H
#define BLK_QCOW2_H

#include "blk/blk.h"
#include "fmt/qcow2.h"

struct qcow2_create {
	uint64_t size;
	unsigned version;       /* 2 or 3 */
	uint32_t cluster;       /* bytes, a power of two */
	unsigned refcount_bits; /* 1 to 64; 16 in version 2 */
	bool lazy_refcounts;    /* written to the header for other programs; hull has no use for it */
	enum qcow2_compression compression;
	const char *backing, *backing_format; /* NULL: none */
};

extern const struct qcow2_create qcow2_create_default;

/* qcow2_make() - an empty image into the empty file @fd, borrowed. */
int qcow2_make(int fd, const struct qcow2_create *c, struct err *e);

bool blk_is_qcow2(const struct blk *b);
const struct qcow2_header *qcow2_header(const struct blk *b);
struct blk *qcow2_backing(const struct blk *b); /* borrowed; NULL: none */

/* qcow2_is_here() - does the image itself (not its backing file) say what the bytes at @offset are? *ret_len: for how many. */
int qcow2_is_here(struct blk *b, uint64_t offset, uint64_t *ret_len, bool *ret_here);

/* qcow2_host() - where a run of data is in the image's own file; -ENODATA when it is not simply there. */
int qcow2_host(struct blk *b, uint64_t offset, uint64_t *ret_at);

/* qcow2_set_backing() - name another backing file (NULL: none); the disk that is open stays what it is until it is opened again. */
int qcow2_set_backing(struct blk *b, const char *name, const char *format, struct err *e);

/* qcow2_detach() - close the backing file, for who is about to write to it; its bytes read as zeroes from now on. */
int qcow2_detach(struct blk *b, struct err *e);

/* qcow2_empty() - forget all data of its own: everything reads from the backing file again. */
int qcow2_empty(struct blk *b, struct err *e);

struct qcow2_check {
	uint64_t clusters, allocated, compressed,
		end;            /* of the disk; of those; of those; bytes of the file in use */
	uint64_t errors, leaks; /* found */
	uint64_t errors_fixed, leaks_fixed;
	uint64_t unfixable; /* of the errors: entries that make no sense */
};

enum qcow2_fix { QCOW2_FIX_NONE, QCOW2_FIX_LEAKS, QCOW2_FIX_ALL };

/* qcow2_check() - compare every refcount with what refers to the cluster. @tell: a line for each fault; may be NULL. */
int qcow2_check(struct blk *b, enum qcow2_fix fix, struct qcow2_check *ret_c,
		void (*tell)(void *arg, const char *line), void *arg, struct err *e);

/* Snapshots inside the image; @name: a name or an id. Nothing may be under way. */
int qcow2_snapshot_list(struct blk *b, const struct qcow2_snapshot **ret_s, unsigned *ret_n); /* borrowed */
int qcow2_snapshot_create(struct blk *b, const char *name, struct err *e);
int qcow2_snapshot_apply(struct blk *b, const char *name, struct err *e);
int qcow2_snapshot_delete(struct blk *b, const char *name, struct err *e);

#endif
