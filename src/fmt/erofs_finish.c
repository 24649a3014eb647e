/* SPDX-License-Identifier: Apache-2.0 */
/*
 * erofs_finish.c - directories, shared attributes, link counts, superblock: all that is known only at the end
 */
#include <assert.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/guard.h"
#include "fmt/erofs_internal.h"

enum {
	SB_AT = 1024,
	SB_BYTES = 128,
	ROOT_AT = SB_AT + SB_BYTES,
	DIRENT_BYTES = 12,
	COMPAT_SB_CHKSUM = 1,
	COMPAT_MTIME = 2,
	NLINK_AT_COMPACT = 6,
	NLINK_AT_EXTENDED = 44,
};
#define SB_MAGIC UINT32_C(0xE0F5E1E2)

struct disk_dirent {
	uint64_t nid;
	uint16_t name_at;
	uint8_t type, reserved;
} __attribute__((packed));

struct disk_super {
	uint32_t magic, checksum, feature_compat;
	uint8_t block_bits, ext_slots;
	uint16_t root_nid;
	uint64_t inodes, build_time;
	uint32_t build_time_ns, blocks, meta_block, xattr_block;
	uint8_t uuid[16], volume_name[16];
	uint32_t feature_incompat;
	uint8_t reserved[44];
};

static_assert(sizeof(struct disk_dirent) == DIRENT_BYTES, "on-disk format");
static_assert(sizeof(struct disk_super) == SB_BYTES, "on-disk format");

struct layout {
	struct erofs *w;
	struct edir **dir; /* owned; each behind its parent */
	size_t n, cap;
	uint64_t at; /* of the inodes waiting in w->run */
	size_t len;
	uint8_t first[EROFS_BLOCK];
};

static void layout_fini(struct layout *l)
{
	free(l->dir);
}

static int add_dir(struct layout *l, struct edir *d)
{
	if (l->n == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 256;
		struct edir **grown = reallocarray(l->dir, cap, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		l->dir = grown;
		l->cap = cap;
	}
	l->dir[l->n++] = d;
	return 0;
}

/* measure() - the dirent blocks of @d, its names sorted */
static void measure(struct edir *d)
{
	uint32_t used = 0;

	d->n_blocks = 1;
	for (const struct edent *i = d->first; i; i = i->next) {
		const uint32_t need = DIRENT_BYTES + i->len;

		if (used + need > EROFS_BLOCK) {
			d->n_blocks++;
			used = 0;
		}
		used += need;
	}
	d->last_len = used;
}

static int add_opaque(struct erofs *w, struct edir *d, struct err *e)
{
	void *ibody;

	w->ibody.len = 0;
	buf_put(&w->ibody, d->ibody, d->ibody_len);
	erofs__xattr_add(&w->ibody, "trusted.overlay.opaque", "y", 1);
	if (buf_finish(&w->ibody) < 0)
		return err_sys(e, ENOMEM, "directories");
	ibody = erofs__alloc(w, w->ibody.len, e);
	if (!ibody)
		return w->rc;
	d->ibody = memcpy(ibody, w->ibody.data, w->ibody.len);
	d->ibody_len = w->ibody.len;
	return 0;
}

/* collect() - every directory that a name leads to, measured */
static int collect(struct layout *l, struct err *e)
{
	int r = add_dir(l, l->w->root);

	for (size_t i = 0; r >= 0 && i < l->n; i++) {
		struct edir *d = l->dir[i];

		d->n.nlink = 2;
		for (struct edent *c = d->first; c && r >= 0; c = c->next) {
			if (!c->node || !S_ISDIR(c->node->fmt))
				continue;
			d->n.nlink++;
			r = add_dir(l, edir_of(c->node));
		}
		if (r < 0)
			return err_sys(e, -r, "directories");
		r = erofs__tree_dot(l->w, d, ".", d, e);
		if (r >= 0)
			r = erofs__tree_dot(l->w, d, "..", d->parent, e);
		if (r >= 0 && d->opaque)
			r = add_opaque(l->w, d, e);
		if (r >= 0) {
			erofs__tree_sort(d);
			measure(d);
		}
	}
	return r;
}

static struct inode inode_of(const struct edir *d)
{
	return (struct inode){
		.mode = S_IFDIR | d->mode,
		.uid = d->uid,
		.gid = d->gid,
		.nlink = d->n.nlink,
		.size = (uint64_t)(d->n_blocks - 1) * EROFS_BLOCK + d->last_len,
		.block = d->n_blocks > d->inlined ? (uint32_t)d->data_block : EROFS_NO_BLOCK,
		.mtime_s = d->mtime_s,
		.mtime_ns = d->mtime_ns,
		.ibody = d->ibody,
		.ibody_len = d->ibody_len,
		.inlined = d->inlined,
	};
}

/* assign() - an address to each directory's inode, then to the blocks that are not behind it */
static int assign(struct layout *l, struct err *e)
{
	struct erofs *w = l->w;
	uint64_t start, at;
	int r = 0;

	start = at = w->next_block << EROFS_BLOCK_BITS;
	for (size_t i = 0; i < l->n; i++) {
		struct edir *d = l->dir[i];
		const struct inode n = inode_of(d);
		const size_t head = erofs__head_bytes(w, &n);
		const size_t room = d == w->root ? EROFS_BLOCK - ROOT_AT : EROFS_BLOCK;
		size_t need;

		if (d == w->root && head > room)
			return err_set(e, E2BIG, "the root directory has too many extended attributes");
		d->inlined = d->last_len < EROFS_BLOCK && head + d->last_len <= room;
		need = head + (d->inlined ? d->last_len : 0);
		if (d == w->root) {
			d->n.place = ROOT_AT >> EROFS_SLOT_BITS;
			continue;
		}
		if ((at & (EROFS_BLOCK - 1)) + need > EROFS_BLOCK)
			at = erofs__blocks(at) << EROFS_BLOCK_BITS;
		d->n.place = at >> EROFS_SLOT_BITS;
		at += (need + SLOT_BYTES - 1) & ~(size_t)(SLOT_BYTES - 1);
	}
	l->at = start;
	r = erofs__take_blocks(w, erofs__blocks(at - start), &start, e);
	for (size_t i = 0; i < l->n && r >= 0; i++)
		r = erofs__take_blocks(w, l->dir[i]->n_blocks - l->dir[i]->inlined, &l->dir[i]->data_block,
				       e);
	return r;
}

static uint8_t type_of(const struct enode *n)
{
	switch (n->fmt) {
	case S_IFREG: return 1;
	case S_IFDIR: return 2;
	case S_IFCHR: return 3;
	case S_IFBLK: return 4;
	case S_IFIFO: return 5;
	case S_IFSOCK: return 6;
	default: return 7; /* symlink */
	}
}

/* fill() - one block of dirents: fixed parts first, names behind. *@i moves on. Return: bytes used */
static uint32_t fill(const struct erofs *w, const struct edent **i, uint8_t *block)
{
	const struct edent *end = *i;
	uint32_t used = 0, count = 0, name_at;

	for (; end && used + DIRENT_BYTES + end->len <= EROFS_BLOCK; end = end->next, count++)
		used += DIRENT_BYTES + end->len;
	name_at = count * DIRENT_BYTES;
	for (uint32_t at = 0; *i != end; *i = (*i)->next, at += DIRENT_BYTES) {
		const struct disk_dirent d = {
			.nid = htole64(erofs__nid(w, (*i)->node)),
			.name_at = htole16((uint16_t)name_at),
			.type = type_of((*i)->node),
		};

		memcpy(block + at, &d, sizeof(d));
		memcpy(block + name_at, (*i)->name, (*i)->len);
		name_at += (*i)->len;
	}
	memset(block + used, 0, EROFS_BLOCK - used);
	return used;
}

/* flush() - the inodes waiting in w->run */
static int flush(struct layout *l, struct err *e)
{
	int r = erofs__put(l->w, l->w->run, l->len, l->at, e);

	l->at += l->len;
	memset(l->w->run, 0, l->len);
	l->len = 0;
	return r;
}

/* inode_room() - where @len bytes of the inode of @d are put together */
static int inode_room(struct layout *l, const struct edir *d, size_t len, uint8_t **ret, struct err *e)
{
	const uint64_t at = d->n.place << EROFS_SLOT_BITS;
	int r = 0;

	if (d == l->w->root) {
		*ret = l->first + ROOT_AT;
		return 0;
	}
	if (at + len - l->at > RUN_ROOM) {
		r = flush(l, e);
		l->at = at;
	}
	l->len = at + len - l->at;
	*ret = l->w->run + (at - l->at);
	return r;
}

/* write_dir() - @d's blocks of names, and its inode */
static int write_dir(struct layout *l, uint32_t ino, const struct edir *d, struct err *e)
{
	const struct inode n = inode_of(d);
	const size_t head = erofs__head_bytes(l->w, &n);
	const struct edent *i = d->first;
	uint8_t block[EROFS_BLOCK], *room;
	int r;

	r = inode_room(l, d, head + (d->inlined ? d->last_len : 0), &room, e);
	if (r < 0)
		return r;
	erofs__encode(l->w, &n, ino, room);
	for (uint32_t b = 0; b < d->n_blocks && r >= 0; b++) {
		const uint32_t used = fill(l->w, &i, block);

		if (b + 1 == d->n_blocks && d->inlined)
			memcpy(room + head, block, used);
		else
			r = erofs__put(l->w, block, sizeof(block), (d->data_block + b) << EROFS_BLOCK_BITS,
				       e);
	}
	return r;
}

/* fix_links() - what later names and removals did to the counts of inodes that are written already */
static int fix_links(struct erofs *w, struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < w->n_linked && r >= 0; i++) {
		const struct enode *n = w->linked[i];
		const uint64_t at = erofs__nid(w, n) << EROFS_SLOT_BITS;
		const uint16_t small = htole16((uint16_t)n->nlink);
		const uint32_t large = htole32(n->nlink);

		if (n->nlink == 0)
			continue; /* no name leads there any more */
		r = n->compact ? erofs__put(w, &small, sizeof(small), at + NLINK_AT_COMPACT, e) :
				 erofs__put(w, &large, sizeof(large), at + NLINK_AT_EXTENDED, e);
	}
	return r;
}

/* CRC-32C, reflected; the format's checksum starts from ~0 and is not inverted at the end. */
static uint32_t crc32c(const uint8_t *p, size_t len)
{
	uint32_t crc = UINT32_MAX;

	while (len-- > 0) {
		crc ^= *p++;
		for (int i = 0; i < 8; i++)
			crc = crc >> 1 ^ (UINT32_C(0x82f63b78) & -(crc & 1));
	}
	return crc;
}

static int write_super(struct layout *l, const uint8_t uuid[16], uint64_t xattr_block, struct err *e)
{
	const struct erofs *w = l->w;
	struct disk_super sb = {
		.magic = htole32(SB_MAGIC),
		.feature_compat = htole32(COMPAT_SB_CHKSUM | COMPAT_MTIME),
		.block_bits = EROFS_BLOCK_BITS,
		.root_nid = htole16(ROOT_AT >> EROFS_SLOT_BITS),
		.inodes = htole64(w->n_inodes),
		.build_time = htole64((uint64_t)w->time_s),
		.build_time_ns = htole32(w->time_ns),
		.blocks = htole32((uint32_t)w->next_block),
		.xattr_block = htole32((uint32_t)xattr_block),
	};

	memcpy(sb.uuid, uuid, sizeof(sb.uuid));
	memcpy(l->first + SB_AT, &sb, sizeof(sb));
	/* The field itself counted as zero */
	sb.checksum = htole32(crc32c(l->first + SB_AT, EROFS_BLOCK - SB_AT));
	memcpy(l->first + SB_AT, &sb, sizeof(sb));
	return erofs__put(l->w, l->first, sizeof(l->first), 0, e);
}

int erofs_finish(struct erofs *w, const uint8_t uuid[16], uint64_t *ret_bytes, struct err *e)
{
	auto_fini(layout) struct layout l = { .w = w };
	const struct buf *shared = erofs__xattr_shared(w);
	uint64_t xattr_block = 0;
	int r;

	if (w->file)
		return err_set(e, EINVAL, "the last file is not complete");
	r = erofs__flush_run(w, e);
	if (r >= 0)
		r = collect(&l, e);
	if (r >= 0)
		r = assign(&l, e);
	for (size_t i = 0; i < l.n && r >= 0; i++)
		r = write_dir(&l, (uint32_t)(i + 1), l.dir[i], e);
	if (r >= 0)
		r = flush(&l, e);
	if (r >= 0 && shared->len > 0)
		r = erofs__take_blocks(w, erofs__blocks(shared->len), &xattr_block, e);
	if (r >= 0)
		r = erofs__put(w, shared->data, shared->len, xattr_block << EROFS_BLOCK_BITS, e);
	if (r >= 0)
		r = fix_links(w, e);
	if (r >= 0)
		r = write_super(&l, uuid, xattr_block, e);
	if (r >= 0)
		*ret_bytes = w->next_block << EROFS_BLOCK_BITS;
	return r;
}
