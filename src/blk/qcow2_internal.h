/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qcow2_internal.h - an open qcow2 image, shared by the files that each do one part of it
 *
 * Theory of operation. All tables are changed in memory only, in a cache of slices of the file (qcow2_meta.c): refcounts, L2 entries,
 * L1 entries, header fields. meta_commit() writes everything that changed since the last commit in one step that a kill cannot
 * divide. What is on disk is therefore always the image as it was at some commit, and no cluster that such an image refers to
 * is written to in place unless it alone refers to it. The rules that make this true:
 *
 *	- a cluster that is given out was free at the last commit; a cluster freed since then is not given out before the next;
 *	- fresh tables are filled with what they hold by ordinary writes before the commit that makes anything refer to them;
 *	- a commit comes after the data that its entries refer to: in order for a kill, behind fdatasync(2) for a power failure.
 *
 * Data that was written since the last commit to clusters given out since then is lost by a kill: no flush has promised it.
 *
 * A power failure may leave a part of a commit's pages on disk. Entries then refer only to clusters whose content is durable,
 * but refcounts may be behind: so version 3 images carry the dirty bit from the first commit until they are closed, and opening a
 * dirty image for writing counts anew (qcow2_check.c). Version 2 has no such bit, so those are counted at every opening for
 * writing; another program that writes to a version 2 image after a power failure should check it first.
 */
#ifndef BLK_QCOW2_INTERNAL_H
#define BLK_QCOW2_INTERNAL_H

#include "blk/blk_internal.h"
#include "blk/qcow2.h"

enum {
	META_SLICE = 4096,        /* bytes of a slice; a cluster when that is smaller */
	META_SLOTS_MAX = 1024,    /* slices kept when nothing keeps more of them dirty */
	META_SLOTS_HARD = 65536,  /* no operation holds more than that */
	META_DIRTY_MAX = 512,     /* dirty slices after which a commit is due */
	QCOW2_FREED_MAX = 1024,   /* runs of freed clusters remembered until their space is given back */
	QCOW2_CHILDREN_MAX = 256, /* pieces of asynchronous requests at once */
	QCOW2_CHILD_IOV = 16,
};

struct meta_slot {
	uint64_t at;            /* file offset */
	struct meta_slot *next; /* of the same hash */
	uint32_t lo, hi;        /* dirty bytes; lo == hi: clean */
	bool used;              /* since the clock hand came by */
	uint8_t data[];
};

struct meta {
	struct meta_slot **hash; /* META_HASH chains; owned */
	struct meta_slot **slot; /* owned, each owned */
	unsigned n, cap, hand, n_dirty;
	uint32_t slice;
};

struct cluster_set {   /* open addressing; 0 is empty, so numbers are kept plus one */
	uint64_t *key; /* owned */
	size_t n, cap;
};

struct qcow2_freed {
	uint64_t first, n; /* clusters */
};

/* A request cut into pieces. */
struct qcow2_parent {
	struct blk_request *r;
	unsigned left;
	int result;
	struct qcow2_parent *next; /* free */
};

struct qcow2_child {
	struct blk_request r; /* first */
	struct qcow2_parent *parent;
	struct qcow2_child *next; /* free */
	struct iovec iov[QCOW2_CHILD_IOV];
};

enum qcow2_flush { QCOW2_FLUSH_NONE, QCOW2_FLUSH_DRAIN, QCOW2_FLUSH_DATA, QCOW2_FLUSH_TABLES };

struct qcow2 {
	struct blk blk;
	struct qcow2_header h;
	uint64_t cluster, l2_entries, block_entries; /* bytes; entries of an L2 table, of a refcount block */
	struct blk *backing;                         /* owned; NULL: none */

	struct meta meta;
	struct cluster_set tables; /* clusters that hold header and tables: never data */
	uint64_t *l1;              /* owned; h.l1_size, host byte order, as in the cache */
	uint64_t *reftable;        /* owned */
	uint64_t n_reftable;

	uint64_t file_end;  /* nothing was ever written from there on */
	uint64_t file_len;  /* the file is at least so long */
	uint64_t alloc_at;  /* clusters before are in use, or were freed since the last commit */
	uint64_t alloc_low; /* where to begin again after the commit; UINT64_MAX: at alloc_at */
	struct qcow2_freed freed[QCOW2_FREED_MAX];
	unsigned n_freed;
	bool wrote;       /* something since all was durable last */
	bool dirty_bit;   /* on disk */
	bool stays_dirty; /* refcounts are not known to be right: closing does not say that they are */
	bool failed;      /* a commit went wrong half-way: nothing more is written */

	struct qcow2_snapshot *snapshot; /* owned; h.n_snapshots */
	uint64_t snapshots_bytes;

	uint8_t *plain;    /* owned; the cluster decompressed last */
	uint64_t plain_of; /* its entry; 0: none */

	/* asynchronous */
	struct qcow2_parent *parents, *parent_free; /* owned array */
	struct qcow2_child *children, *child_free;  /* owned array */
	unsigned n_children, n_writes;              /* under way; of those, not reads */
	enum qcow2_flush flush;
	bool hold; /* requests wait in held until a commit is through */
	struct blk_request *held, *held_last, *flushing;
	struct blk_request sync;
};

static inline struct qcow2 *qcow2_of(const struct blk *b)
{
	return (struct qcow2 *)b;
}

/* --- qcow2_set.c ------------------------------------------------------------------------------------------ */

int cluster_set_add(struct cluster_set *s, uint64_t n); /* 1 it was there already; 0; -ENOMEM */
bool cluster_set_has(const struct cluster_set *s, uint64_t n);
void cluster_set_remove(struct cluster_set *s, uint64_t n);
void cluster_set_fini(struct cluster_set *s);

/* --- qcow2_meta.c ----------------------------------------------------------------------------------------- */

int meta_init(struct qcow2 *q);
void meta_fini(struct qcow2 *q);
/* meta_slice() - the slice that @at lies in, and where in it; valid until the next call of any meta function */
int meta_slice(struct qcow2 *q, uint64_t at, uint8_t **ret_p, uint32_t *ret_left);
/* meta_touch() - the slice that holds [at, at + len) is about to be changed there; as meta_slice() */
int meta_touch(struct qcow2 *q, uint64_t at, uint32_t len, uint8_t **ret_p);
int meta_get64(struct qcow2 *q, uint64_t at, uint64_t *ret_v);
int meta_put64(struct qcow2 *q, uint64_t at, uint64_t v);
int meta_put32(struct qcow2 *q, uint64_t at, uint32_t v);
void meta_forget(struct qcow2 *q, uint64_t at, uint64_t len); /* a table is gone, or begins anew */
static inline bool meta_is_dirty(const struct qcow2 *q)
{
	return q->meta.n_dirty > 0;
}
int meta_commit(struct qcow2 *q);
void meta_give_back(struct qcow2 *q); /* the commit is durable: what it freed may be used again */
int meta_clean(struct qcow2 *q);      /* commit, and the image says that it was closed in order */
/* qcow2_commit() - data first, then tables, each durable unless nobody asks for that; blocking */
int qcow2_commit(struct qcow2 *q);

/* --- qcow2_ref.c ------------------------------------------------------------------------------------------ */

int ref_get(struct qcow2 *q, uint64_t cluster, uint64_t *ret_v);
int ref_set(struct qcow2 *q, uint64_t cluster, uint64_t v);
int ref_add(struct qcow2 *q, uint64_t cluster); /* -EOVERFLOW */
int ref_drop(struct qcow2 *q, uint64_t cluster);
int ref_drop_bytes(struct qcow2 *q, uint64_t offset, uint64_t bytes); /* every cluster that these touch */
/* ref_alloc() - up to @n clusters in a row, refcount 1. Return: how many; -errno. */
int ref_alloc(struct qcow2 *q, uint64_t n, bool all, uint64_t *ret_first);
/* ref_alloc_table() - the same for @bytes of tables: all zeroes or @content (as long), remembered as a table */
int ref_alloc_table(struct qcow2 *q, uint64_t bytes, const void *content, uint64_t *ret_offset);
void ref_free_table(struct qcow2 *q, uint64_t offset, uint64_t bytes);

/* --- qcow2_map.c ------------------------------------------------------------------------------------------ */

int map_entry(struct qcow2 *q, uint64_t offset,
	      uint64_t *ret_raw); /* L2 entry, host order; 0 when there is no table */
int map_read(struct qcow2 *q, uint64_t offset, uint64_t len, struct blk_run *ret_run);
/* map_write() - make [offset, offset + part of len) writable in place, with what is around it kept */
int map_write(struct qcow2 *q, uint64_t offset, uint64_t len, uint64_t *ret_at, uint64_t *ret_len);
int map_zero(struct qcow2 *q, uint64_t offset, uint64_t len, bool unmap); /* whole clusters, or to the end */
int map_set_l1(struct qcow2 *q, uint64_t i, uint64_t v);
bool map_reads_zero(struct qcow2 *q, uint64_t offset, uint64_t len);

/* --- the rest --------------------------------------------------------------------------------------------- */

int compressed_read(struct qcow2 *q, uint64_t raw, const uint8_t **ret_cluster); /* q->plain */
int qcow2_read(struct qcow2 *q, uint64_t offset, const struct iovec *iov, unsigned n_iov, uint64_t skip,
	       uint64_t len);
int qcow2_write(struct qcow2 *q, uint64_t offset, const struct iovec *iov, unsigned n_iov, uint64_t skip,
		uint64_t len);
int qcow2_zero(struct qcow2 *q, uint64_t offset, uint64_t len, bool unmap);
int qcow2_discard_range(struct qcow2 *q, uint64_t offset, uint64_t len);
int qcow2_commit_if_due(struct qcow2 *q);

int qcow2_async_submit(struct blk *b, struct blk_request *r);
void qcow2_async_done(void *b, struct blk_request *r, int result);
void qcow2_async_drain(struct qcow2 *q);
void qcow2_async_fini(struct qcow2 *q);

int snapshots_load(struct qcow2 *q, struct err *e);
int snapshots_need_l1(struct qcow2 *q, uint64_t entries, struct err *e); /* grow the L1 table */
int qcow2_resize(struct blk *b, uint64_t size, struct err *e);

#endif
