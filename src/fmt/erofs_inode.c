/* SPDX-License-Identifier: Apache-2.0 */
/* erofs_inode.c - inodes on disk, and the runs of blocks they are packed into */
#include <assert.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "fmt/erofs_internal.h"

enum {
	COMPACT_BYTES = 32,
	EXTENDED_BYTES = 64,
	FORMAT_EXTENDED = 1,
	FLAT_PLAIN = 0 << 1,
	FLAT_INLINE = 2 << 1
};

struct disk_inode_compact {
	uint16_t format, xattr_icount, mode, nlink;
	uint32_t size, reserved, block, ino;
	uint16_t uid, gid;
	uint32_t reserved2;
};

struct disk_inode {
	uint16_t format, xattr_icount, mode, reserved;
	uint64_t size;
	uint32_t block, ino, uid, gid;
	uint64_t mtime;
	uint32_t mtime_ns, nlink;
	uint8_t reserved2[16];
};

static_assert(sizeof(struct disk_inode_compact) == COMPACT_BYTES, "on-disk format");
static_assert(sizeof(struct disk_inode) == EXTENDED_BYTES, "on-disk format");

uint64_t erofs__blocks(uint64_t bytes)
{
	return (bytes >> EROFS_BLOCK_BITS) + ((bytes & (EROFS_BLOCK - 1)) != 0);
}

/* erofs__take_blocks() - the address of @n fresh blocks. Return: 0, -EFBIG */
int erofs__take_blocks(struct erofs *w, uint64_t n, uint64_t *ret, struct err *e)
{
	if (n > EROFS_NO_BLOCK - w->next_block)
		return err_set(e, EFBIG, "the image would pass 16 TiB");
	*ret = w->next_block;
	w->next_block += n;
	return 0;
}

int erofs__put(struct erofs *w, const void *bytes, size_t len, uint64_t at, struct err *e)
{
	return len > 0 ? w->out.write(w->out.arg, bytes, len, at, e) : 0;
}

/* --- runs of inodes --------------------------------------------------------------------------------- */
int erofs__flush_run(struct erofs *w, struct err *e)
{
	uint64_t block = 0;
	int r;

	if (w->run_len == 0)
		return 0;
	if (w->n_runs == w->cap_runs) {
		size_t cap = w->cap_runs ? 2 * w->cap_runs : 16;
		uint32_t *grown = reallocarray(w->run_block, cap, sizeof(*grown));

		if (!grown)
			return err_sys(e, ENOMEM, "inodes");
		w->run_block = grown;
		w->cap_runs = cap;
	}
	r = erofs__take_blocks(w, w->run_len >> EROFS_BLOCK_BITS, &block, e);
	if (r >= 0)
		r = erofs__put(w, w->run, w->run_len, block << EROFS_BLOCK_BITS, e);
	if (r < 0)
		return r;
	w->run_block[w->n_runs++] = (uint32_t)block;
	memset(w->run, 0, w->run_len);
	memset(w->bin, 0, sizeof(w->bin));
	w->run_len = 0;
	return 0;
}

static size_t room_in(const struct ebin *b)
{
	return b->used > 0 ? EROFS_BLOCK - b->used : 0; /* used 0: no block yet */
}

/* new_block() - at the end of the run, taking the place of the fullest bin */
static struct ebin *new_block(struct erofs *w)
{
	struct ebin *b = &w->bin[0];

	for (int i = 1; i < BINS; i++)
		if (room_in(&w->bin[i]) < room_in(b))
			b = &w->bin[i];
	*b = (struct ebin){ .at = (uint32_t)w->run_len };
	w->run_len += EROFS_BLOCK;
	return b;
}

/*
 * place() - room for @len bytes that do not cross a block (or, larger than one, begin at one). -errno with @e
 * set
 */
static int place(struct erofs *w, size_t len, uint32_t *ret_at, struct err *e)
{
	struct ebin *best = NULL;
	int r;

	if (len <= EROFS_BLOCK)
		for (int i = 0; i < BINS; i++)
			if (room_in(&w->bin[i]) >= len && (!best || room_in(&w->bin[i]) < room_in(best)))
				best = &w->bin[i];
	if (!best && w->run_len + len > RUN_BYTES) {
		r = erofs__flush_run(w, e);
		if (r < 0)
			return r;
	}
	if (len > EROFS_BLOCK) {
		*ret_at = (uint32_t)w->run_len;
		w->run_len += erofs__blocks(len) << EROFS_BLOCK_BITS;
		return 0;
	}
	if (!best)
		best = new_block(w);
	*ret_at = best->at + best->used;
	best->used += (uint32_t)(len + SLOT_BYTES - 1) & ~(uint32_t)(SLOT_BYTES - 1);
	return 0;
}

/* --- inodes ----------------------------------------------------------------------------------------- */
static bool is_compact(const struct erofs *w, const struct inode *n)
{
	return n->uid <= UINT16_MAX && n->gid <= UINT16_MAX && n->nlink <= UINT16_MAX &&
	       n->size <= UINT32_MAX && n->mtime_s == w->time_s && n->mtime_ns == w->time_ns;
}

size_t erofs__head_bytes(const struct erofs *w, const struct inode *n)
{
	return (is_compact(w, n) ? COMPACT_BYTES : EXTENDED_BYTES) + n->ibody_len;
}

/* encode() - @n at @dst, its attributes behind it; erofs__head_bytes() in all */
void erofs__encode(const struct erofs *w, const struct inode *n, uint32_t ino, uint8_t *dst)
{
	const uint16_t layout = n->inlined ? FLAT_INLINE : FLAT_PLAIN;
	const uint16_t icount = n->ibody_len ? (uint16_t)(1 + (n->ibody_len - 12) / 4) : 0;
	const struct disk_inode_compact compact = {
		.format = htole16(layout),
		.xattr_icount = htole16(icount),
		.mode = htole16((uint16_t)n->mode),
		.nlink = htole16((uint16_t)n->nlink),
		.size = htole32((uint32_t)n->size),
		.block = htole32(n->block),
		.ino = htole32(ino),
		.uid = htole16((uint16_t)n->uid),
		.gid = htole16((uint16_t)n->gid),
	};
	const struct disk_inode full = {
		.format = htole16(layout | FORMAT_EXTENDED),
		.xattr_icount = htole16(icount),
		.mode = htole16((uint16_t)n->mode),
		.size = htole64(n->size),
		.block = htole32(n->block),
		.ino = htole32(ino),
		.uid = htole32(n->uid),
		.gid = htole32(n->gid),
		.mtime = htole64((uint64_t)n->mtime_s),
		.mtime_ns = htole32(n->mtime_ns),
		.nlink = htole32(n->nlink),
	};
	const size_t len = is_compact(w, n) ? sizeof(compact) : sizeof(full);

	memcpy(dst, len == sizeof(compact) ? (const void *)&compact : &full, len);
	if (n->ibody_len > 0)
		memcpy(dst + len, n->ibody, n->ibody_len);
}

/*
 * erofs__new_node() - an inode that is not a directory goes to the run, with @tail behind it; @node remembers
 * where.
 */
int erofs__new_node(struct erofs *w, struct enode *node, const struct inode *n, const void *tail,
		    struct err *e)
{
	const size_t head = erofs__head_bytes(w, n), tail_len = n->inlined ? n->size & (EROFS_BLOCK - 1) : 0;
	uint32_t at = 0;
	int r;

	if (w->n_inodes++ >= EROFS_INODES_MAX)
		return err_set(e, E2BIG, "more than %d inodes", EROFS_INODES_MAX);
	r = place(w, head + tail_len, &at, e);
	if (r < 0)
		return r;
	erofs__encode(w, n, w->n_inodes, w->run + at);
	if (tail_len > 0)
		memcpy(w->run + at + head, tail, tail_len);
	node->place = (uint64_t)w->n_runs << 32 | at >> EROFS_SLOT_BITS;
	node->fmt = n->mode & S_IFMT;
	node->compact = is_compact(w, n);
	node->nlink = 1;
	return 0;
}

/* erofs__nid() - the number of an inode, once every run has its address */
uint64_t erofs__nid(const struct erofs *w, const struct enode *n)
{
	if (S_ISDIR(n->fmt))
		return n->place;
	return ((uint64_t)w->run_block[n->place >> 32] << (EROFS_BLOCK_BITS - EROFS_SLOT_BITS)) +
	       (uint32_t)n->place;
}
