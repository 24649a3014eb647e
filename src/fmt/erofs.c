/* SPDX-License-Identifier: Apache-2.0 */
/*
 * erofs.c - the image: inodes, data and directories to their places
 *
 * Theory of operation. EROFS lets an inode lie anywhere: its number is its byte address over 32. So a file's
 * data goes to fresh blocks as it arrives, and its inode, with the attributes and the last partial block
 * behind it, to a *run*: up to 1 MiB of metadata blocks collected in memory, which gets the next free address
 * when it is full. An inode and its tail must not cross a block, so runs are packed with the best fit among
 * the few blocks with room. Directories are known only at the end; they and the shared attributes are laid
 * out last, close together. What a hard link adds to a written inode's count is put right then. Inodes of
 * replaced files stay as garbage that no name leads to.
 *
 * The root's number has but 16 bits, so the root lies in block 0 behind the superblock, in the room that is
 * left there.
 *
 * Limits: erofs.h. Not done: compression, chunks, holes in files (they read as zeros from blocks nobody
 * wrote).
 * Spec: Linux Documentation/filesystems/erofs.rst, "On-disk details"
 */
#include "fmt/erofs.h"

#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/err.h"
#include "fmt/erofs_internal.h"

struct erofs *erofs_new(const struct erofs_out *out)
{
	struct erofs *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->out = *out;
	w->next_block = 1; /* block 0: superblock and root */
	w->run = calloc(1, RUN_ROOM);
	if (!w->run || erofs__xattr_init(w) < 0 || erofs__tree_init(w, NULL) < 0) {
		erofs_free(w);
		return NULL;
	}
	return w;
}

void erofs_free(struct erofs *w)
{
	if (!w)
		return;
	erofs__xattr_fini(w);
	arena_fini(&w->arena);
	buf_fini(&w->file_ibody);
	buf_fini(&w->ibody);
	free(w->table);
	free(w->run);
	free(w->run_block);
	free(w->linked);
	free(w);
}

/* Device numbers are stored as the kernel's 32-bit form: 12 bits of major, 20 of minor. */
static uint32_t device(uint32_t major, uint32_t minor)
{
	return (minor & 0xff) | major << 8 | (minor & ~UINT32_C(0xff)) << 12;
}

static struct inode inode_of(const struct erofs_attr *a, mode_t fmt, const struct buf *ibody)
{
	return (struct inode){
		.mode = fmt | (a->mode & 07777),
		.uid = a->uid,
		.gid = a->gid,
		.nlink = 1,
		.mtime_s = a->mtime_s,
		.mtime_ns = a->mtime_ns,
		.ibody = ibody->data,
		.ibody_len = ibody->len,
	};
}

/* --- entries ---------------------------------------------------------------------------------------- */
static void learn_time(struct erofs *w, const struct erofs_attr *a)
{
	if (w->has_time)
		return;
	/*
	 * Layers are often made with one time for all: with the first as the image's, those inodes are the
	 * short ones.
	 */
	w->has_time = true;
	w->time_s = w->root->mtime_s = a->mtime_s;
	w->time_ns = w->root->mtime_ns = a->mtime_ns;
}

/* begin() - what every new name starts with: a free place for it, what was there dropped */
static int begin(struct erofs *w, const char *path, const struct erofs_attr *a, struct edent **ret,
		 struct err *e)
{
	if (w->file)
		return err_set(e, EINVAL, "the file before it is not complete");
	if (a)
		learn_time(w, a);
	return erofs__tree_place(w, path, ret, e);
}

/* name_node() - put a fresh inode of @size bytes (sizeof a struct that begins with enode) under @d. */
static int name_node(struct erofs *w, struct edent *d, size_t size, struct enode **ret, struct err *e)
{
	struct enode *n = erofs__alloc(w, size, e);

	if (!n) {
		BUG_ON(w->rc >= 0);
		return w->rc;
	}
	erofs__tree_drop(w, d);
	d->node = n;
	*ret = n;
	return 0;
}

static int set_dir(struct erofs *w, struct edir *d, const struct erofs_attr *a, struct err *e)
{
	void *ibody = NULL;
	int r;

	w->ibody.len = 0;
	r = erofs__xattr_encode(w, a, d == w->root, &w->ibody, e);
	if (r < 0)
		return r;
	if (w->ibody.len > 0) {
		ibody = erofs__alloc(w, w->ibody.len, e);
		if (!ibody)
			return w->rc;
		memcpy(ibody, w->ibody.data, w->ibody.len);
	}
	d->ibody = ibody;
	d->ibody_len = w->ibody.len;
	d->mode = a->mode & 07777;
	d->uid = a->uid;
	d->gid = a->gid;
	d->mtime_s = a->mtime_s;
	d->mtime_ns = a->mtime_ns;
	return 0;
}

int erofs_add_dir(struct erofs *w, const char *path, const struct erofs_attr *a, struct err *e)
{
	struct edent *d;
	struct edir *dir;
	int r;

	if (!*path) {
		learn_time(w, a);
		return set_dir(w, w->root, a, e);
	}
	r = begin(w, path, a, &d, e);
	if (r < 0)
		return r;
	if (!d->node || !S_ISDIR(d->node->fmt)) {
		r = erofs__tree_new_dir(w, d->parent, &dir, e);
		if (r < 0)
			return r;
		dir->opaque = d->node && d->node->whiteout; /* gone below, and here again */
		erofs__tree_drop(w, d);
		d->node = &dir->n;
	}
	return set_dir(w, edir_of(d->node), a, e);
}

int erofs_add_file(struct erofs *w, const char *path, const struct erofs_attr *a, uint64_t size,
		   struct err *e)
{
	const size_t tail = size & (EROFS_BLOCK - 1);
	struct enode *node = NULL;
	struct inode n;
	struct edent *d;
	uint64_t block = 0;
	int r;

	r = begin(w, path, a, &d, e);
	if (r < 0)
		return r;
	w->file_ibody.len = 0;
	r = erofs__xattr_encode(w, a, false, &w->file_ibody, e);
	if (r >= 0)
		r = name_node(w, d, sizeof(struct enode), &node, e);
	if (r < 0)
		return r;
	w->file_attr = *a;
	w->file_attr.xattrs = NULL;
	n = inode_of(a, S_IFREG, &w->file_ibody);
	n.size = size;
	w->file_full = tail > 0 && erofs__head_bytes(w, &n) + tail <= EROFS_BLOCK ? size - tail : size;
	r = erofs__take_blocks(w, erofs__blocks(w->file_full), &block, e);
	if (r < 0)
		return r;
	w->file = node;
	w->file_at = block << EROFS_BLOCK_BITS;
	w->file_size = size;
	w->file_pos = 0;
	return erofs_write(w, NULL, 0, e);
}

static int end_file(struct erofs *w, struct err *e)
{
	struct inode n = inode_of(&w->file_attr, S_IFREG, &w->file_ibody);
	struct enode *node = w->file;

	w->file = NULL;
	n.size = w->file_size;
	n.inlined = w->file_full < w->file_size;
	n.block = w->file_full > 0 ? (uint32_t)(w->file_at >> EROFS_BLOCK_BITS) : EROFS_NO_BLOCK;
	return erofs__new_node(w, node, &n, w->tail, e);
}

int erofs_write(struct erofs *w, const void *bytes, uint64_t len, struct err *e)
{
	uint64_t direct, pos;
	int r;

	if (!w->file || len > w->file_size - w->file_pos)
		return err_set(e, EINVAL, "more data than the file was said to have");
	pos = w->file_pos;
	direct = pos >= w->file_full ? 0 : len < w->file_full - pos ? len : w->file_full - pos;
	if (bytes && direct > 0) {
		r = erofs__put(w, bytes, direct, w->file_at + pos, e);
		if (r < 0)
			return r;
	}
	if (len > direct && bytes)
		memcpy(w->tail + (pos + direct - w->file_full), (const char *)bytes + direct, len - direct);
	else if (len > direct)
		memset(w->tail + (pos + direct - w->file_full), 0, len - direct);
	w->file_pos += len;
	return w->file_pos == w->file_size ? end_file(w, e) : 0;
}

int erofs_add_symlink(struct erofs *w, const char *path, const struct erofs_attr *a, const char *target,
		      struct err *e)
{
	const size_t len = strlen(target);
	struct enode *node = NULL;
	struct inode n;
	struct edent *d;
	uint64_t block = 0;
	int r;

	if (len == 0 || len >= EROFS_BLOCK)
		return err_set(e, EINVAL, "a symlink's target of %zu bytes", len);
	r = begin(w, path, a, &d, e);
	if (r < 0)
		return r;
	w->ibody.len = 0;
	r = erofs__xattr_encode(w, a, false, &w->ibody, e);
	if (r >= 0)
		r = name_node(w, d, sizeof(struct esymlink) + len + 1, &node, e);
	if (r < 0)
		return r;
	memcpy(((struct esymlink *)node)->target, target, len + 1);
	n = inode_of(a, S_IFLNK, &w->ibody);
	n.mode = S_IFLNK | 0777;
	n.size = len;
	n.block = EROFS_NO_BLOCK;
	n.inlined = erofs__head_bytes(w, &n) + len <= EROFS_BLOCK;
	if (!n.inlined) {
		r = erofs__take_blocks(w, 1, &block, e);
		if (r >= 0)
			r = erofs__put(w, target, len, block << EROFS_BLOCK_BITS, e);
		if (r < 0)
			return r;
		n.block = (uint32_t)block;
	}
	return erofs__new_node(w, node, &n, target, e);
}

int erofs_add_node(struct erofs *w, const char *path, const struct erofs_attr *a, struct err *e)
{
	struct enode *node = NULL;
	struct inode n;
	struct edent *d;
	int r;

	if (!S_ISCHR(a->mode) && !S_ISBLK(a->mode) && !S_ISFIFO(a->mode) && !S_ISSOCK(a->mode))
		return err_set(e, EINVAL, "not a special file");
	r = begin(w, path, a, &d, e);
	if (r < 0)
		return r;
	w->ibody.len = 0;
	r = erofs__xattr_encode(w, a, false, &w->ibody, e);
	if (r >= 0)
		r = name_node(w, d, sizeof(*node), &node, e);
	if (r < 0)
		return r;
	n = inode_of(a, a->mode & S_IFMT, &w->ibody);
	n.block = S_ISCHR(a->mode) || S_ISBLK(a->mode) ? device(a->major, a->minor) : 0;
	return erofs__new_node(w, node, &n, NULL, e);
}

int erofs_add_link(struct erofs *w, const char *path, const char *target, struct err *e)
{
	struct enode *node = erofs__tree_find(w, target);
	struct edent *d;
	int r;

	if (!node || node->whiteout)
		return err_set(e, ENOENT, "hard link to '%.200s', which is not there", target);
	if (S_ISDIR(node->fmt))
		return err_set(e, EPERM, "hard link to '%.200s', which is a directory", target);
	if (node->nlink >= EROFS_LINKS_MAX)
		return err_set(e, E2BIG, "more than %d links to one file", EROFS_LINKS_MAX);
	r = begin(w, path, NULL, &d, e);
	if (r < 0 || d->node == node)
		return r;
	if (w->n_linked == w->cap_linked) {
		size_t cap = w->cap_linked ? 2 * w->cap_linked : 64;
		struct enode **grown = reallocarray(w->linked, cap, sizeof(*grown));

		if (!grown)
			return err_sys(e, ENOMEM, "hard links");
		w->linked = grown;
		w->cap_linked = cap;
	}
	if (node->nlink == 1)
		w->linked[w->n_linked++] = node;
	node->nlink++;
	erofs__tree_drop(w, d);
	d->node = node;
	return 0;
}

int erofs_add_whiteout(struct erofs *w, const char *path, struct err *e)
{
	const struct erofs_attr a = { .mode = S_IFCHR, .mtime_s = w->time_s, .mtime_ns = w->time_ns };
	struct edent *d;
	struct inode n;
	struct enode *node = NULL;
	int r = begin(w, path, NULL, &d, e);

	if (r < 0)
		return r;
	if (d->node && S_ISDIR(d->node->fmt))
		edir_of(d->node)->opaque = true;
	if (d->node)
		return 0;
	r = name_node(w, d, sizeof(*node), &node, e);
	if (r < 0)
		return r;
	node->whiteout = true;
	n = inode_of(&a, S_IFCHR, &(struct buf){ 0 });
	return erofs__new_node(w, node, &n, NULL, e);
}

int erofs_set_opaque(struct erofs *w, const char *path, struct err *e)
{
	struct edir *dir = w->root;
	struct edent *d;
	int r;

	if (*path) {
		r = begin(w, path, NULL, &d, e);
		if (r < 0)
			return r;
		if (d->node && !S_ISDIR(d->node->fmt) && !d->node->whiteout)
			return err_sys(e, ENOTDIR, "opaque mark");
		if (!d->node || d->node->whiteout) {
			r = erofs__tree_new_dir(w, d->parent, &dir, e);
			if (r < 0)
				return r;
			erofs__tree_drop(w, d);
			d->node = &dir->n;
		}
		dir = edir_of(d->node);
	}
	dir->opaque = true;
	return 0;
}
