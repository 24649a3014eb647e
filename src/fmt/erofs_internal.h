/* SPDX-License-Identifier: Apache-2.0 */
/*
 * erofs_internal.h - the tree in memory (erofs_tree.c), attributes (erofs_xattr.c), and the image (erofs.c)
 */
#ifndef FMT_EROFS_INTERNAL_H
#define FMT_EROFS_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "base/buf.h"
#include "fmt/erofs.h"

enum { EROFS_BLOCK_BITS = 12, EROFS_SLOT_BITS = 5 };
#define EROFS_NO_BLOCK UINT32_MAX

enum {
	SLOT_BYTES = 32,
	RUN_BYTES = 1 << 20,
	RUN_ROOM = RUN_BYTES + EROFS_XATTR_BYTES_MAX + EROFS_BLOCK,
	BINS = 8
};

/*
 * An inode. What is not a directory is in the image already; of it we only keep what a name or a link needs.
 */
struct enode {
	uint64_t place; /* directory: its nid, once laid out; else run << 32 | slot in the run */
	uint32_t nlink;
	uint16_t fmt; /* S_IFMT bits */
	bool compact; /* how it was written */
	bool whiteout;
};

struct esymlink {
	struct enode n;
	char target[];
};

struct edent {
	struct edent *chain; /* hash chain */
	struct edent *next;  /* in its directory */
	struct edir *parent;
	struct enode *node; /* NULL: removed again */
	uint8_t len;
	char name[];
};

struct edir {
	struct enode n;
	struct edir *parent; /* the root's is itself */
	struct edent *first;
	uint32_t depth;
	bool opaque;
	uint32_t uid, gid;
	uint16_t mode;
	uint32_t mtime_ns;
	int64_t mtime_s;
	const void *ibody; /* encoded attributes; arena */
	size_t ibody_len;
	uint64_t data_block; /* layout: dirent blocks that are not inline, */
	uint32_t n_blocks;   /* blocks of dirents in all, */
	uint32_t last_len;   /* bytes in the last one, */
	bool inlined;        /* and whether that one is behind the inode */
};

struct eshared; /* attributes met before (erofs_xattr.c) */

/* A block of a run with room left. */
struct ebin {
	uint32_t at, used; /* offset in the run, bytes taken */
};

struct erofs {
	struct erofs_out out;
	struct arena arena;
	size_t mem; /* taken from it, for the limit */
	int rc;     /* why erofs__alloc() gave NULL */
	uint32_t n_inodes;

	struct edent **table; /* owned; hash of (directory, name) */
	size_t n_table, n_dents;
	uint64_t seed;
	struct edir *root;

	bool has_time; /* the image's own time: compact inodes have that one */
	int64_t time_s;
	uint32_t time_ns;

	uint64_t next_block; /* of the image, not given away yet */
	uint8_t *run;        /* owned; inodes waiting for their address */
	size_t run_len;
	struct ebin bin[BINS];
	uint32_t *run_block; /* owned; where each run went */
	size_t n_runs, cap_runs;

	struct enode **linked; /* owned; whose link count may differ from what was written */
	size_t n_linked, cap_linked;

	struct eshared *shared; /* owned */

	struct enode *file; /* being written, or NULL */
	struct erofs_attr file_attr;
	struct buf file_ibody;
	/* Full: bytes that go to file_at, the rest to tail */
	uint64_t file_size, file_pos, file_at, file_full;
	uint8_t tail[EROFS_BLOCK];
	struct buf ibody; /* scratch */
};

/* --- erofs_tree.c ----------------------------------------------------------------------------------- */
void *erofs__alloc(struct erofs *w, size_t size, struct err *e); /* within EROFS_META_BYTES_MAX */
int erofs__tree_init(struct erofs *w, struct err *e);
/*
 * erofs__tree_place() - the name @path, parents made, with nothing at it but perhaps a directory or whiteout
 * Return: 0 and *ret, whose node may be there; -errno
 */
int erofs__tree_place(struct erofs *w, const char *path, struct edent **ret, struct err *e);
/* Parents followed; NULL when there is none */
struct enode *erofs__tree_find(struct erofs *w, const char *path);
int erofs__tree_new_dir(struct erofs *w, struct edir *parent, struct edir **ret, struct err *e);
void erofs__tree_drop(struct erofs *w, struct edent *d); /* the name, and all that is below it */
void erofs__tree_sort(struct edir *d);                   /* d->first in the order of names */
/* erofs__tree_dot() - "." and ".." as entries of @d, for the order of names counts them too */
int erofs__tree_dot(struct erofs *w, struct edir *d, const char *name, struct edir *to, struct err *e);

/* --- erofs_xattr.c ---------------------------------------------------------------------------------- */
int erofs__xattr_init(struct erofs *w);
void erofs__xattr_fini(struct erofs *w);
/*
 * erofs__xattr_encode() - the attributes of one inode behind what @b holds
 * @at_once: put all of them into the shared area (the root's inode has little room)
 */
int erofs__xattr_encode(struct erofs *w, const struct erofs_attr *a, bool at_once, struct buf *b,
			struct err *e);
/* erofs__xattr_add() - one more, inline, to an encoded set (or to none) */
void erofs__xattr_add(struct buf *b, const char *name, const void *value, size_t len);
/* erofs__xattr_shared() - the shared area as it stands */
const struct buf *erofs__xattr_shared(const struct erofs *w);

/* What an inode says, whatever its form on disk. */
struct inode {
	mode_t mode;
	uint32_t uid, gid, nlink;
	uint64_t size;
	uint32_t block; /* first data block, or device number */
	int64_t mtime_s;
	uint32_t mtime_ns;
	const void *ibody;
	size_t ibody_len;
	bool inlined;
};

/* --- erofs_inode.c ---------------------------------------------------------------------------------- */
uint64_t erofs__blocks(uint64_t bytes);
/* erofs__take_blocks() - the address of @n fresh blocks. Return: 0, -EFBIG */
int erofs__take_blocks(struct erofs *w, uint64_t n, uint64_t *ret, struct err *e);
int erofs__put(struct erofs *w, const void *bytes, size_t len, uint64_t at, struct err *e);
int erofs__flush_run(struct erofs *w, struct err *e);
size_t erofs__head_bytes(const struct erofs *w, const struct inode *n); /* inode and attributes */
void erofs__encode(const struct erofs *w, const struct inode *n, uint32_t ino, uint8_t *dst);
/* erofs__new_node() - an inode that is not a directory goes to the run, with @tail behind it */
int erofs__new_node(struct erofs *w, struct enode *node, const struct inode *n, const void *tail,
		    struct err *e);
/* Its number, once every run has its address */
uint64_t erofs__nid(const struct erofs *w, const struct enode *n);

static inline struct edir *edir_of(struct enode *n)
{
	return (struct edir *)n;
}

#endif
