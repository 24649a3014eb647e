/* SPDX-License-Identifier: Apache-2.0 */
/*
 * erofs.h - write an EROFS image (uncompressed) while the tree streams in
 *
 * Entries come in any order, as they do in a tar: a later one replaces an earlier one (a directory met again
 * keeps its children), missing parents are made (0755, root), a symlink among the parents is followed inside
 * the image. File data goes straight to the output; only names and directories are kept in memory until
 * erofs_finish(), within the limits below. The same calls make the same bytes.
 *
 * Paths are relative and clean: no leading '/', no empty, "." or ".." component, "" is the root. That is the
 * caller's duty (a path that breaks it is refused with -EINVAL).
 */
#ifndef FMT_EROFS_H
#define FMT_EROFS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct err;
struct erofs;

enum {
	EROFS_BLOCK = 4096,
	EROFS_INODES_MAX = 1 << 21,
	EROFS_META_BYTES_MAX = 512 << 20, /* memory for names, directories, their attributes */
	EROFS_DEPTH_MAX = 2048,           /* directories inside one another */
	EROFS_LINKS_MAX = 65535,
	EROFS_XATTRS_MAX = 255,            /* of one inode */
	EROFS_XATTR_BYTES_MAX = 128 << 10, /* of one inode, encoded */
	EROFS_SHARED_BYTES_MAX = 16 << 20, /* attributes that several inodes have */
};

struct erofs_out {
	/*
	 * write() - bytes to an absolute position of the image, in no particular order, never twice to the
	 * same place but for single fields. What is never written must read as zeros. Return: 0, -errno with
	 * @e set
	 */
	int (*write)(void *arg, const void *bytes, size_t len, uint64_t at, struct err *e);
	void *arg;
};

struct erofs_xattr {
	/* With its prefix: user. trusted. security. system.posix_acl_access|default */
	const char *name;
	const void *value;
	size_t len;
};

struct erofs_attr {
	mode_t mode; /* permission bits; for erofs_add_node() with the type */
	uint32_t uid, gid;
	uint32_t major, minor; /* of a device node */
	int64_t mtime_s;
	uint32_t mtime_ns;
	const struct erofs_xattr *xattrs;
	size_t n_xattrs; /* those EROFS has no prefix for are left out */
};

/* erofs_new() - @out is copied, what it points to borrowed. Return: NULL when out of memory. */
struct erofs *erofs_new(const struct erofs_out *out);
void erofs_free(struct erofs *w);

/*
 * All of these: Return 0; -EINVAL (path), -ENOTDIR, -ELOOP (parents), -E2BIG (a limit above), -EFBIG (16
 * TiB), -ENOMEM, or what write() said; @e says why, the caller knows which entry. After a failure the image
 * is worth nothing: only erofs_free().
 */
int erofs_add_dir(struct erofs *w, const char *path, const struct erofs_attr *a, struct err *e);
int erofs_add_symlink(struct erofs *w, const char *path, const struct erofs_attr *a, const char *target,
		      struct err *e);
int erofs_add_node(struct erofs *w, const char *path, const struct erofs_attr *a, struct err *e);

/* erofs_add_file() - then erofs_write() until @size bytes are in, before anything else is added. */
int erofs_add_file(struct erofs *w, const char *path, const struct erofs_attr *a, uint64_t size,
		   struct err *e);
int erofs_write(struct erofs *w, const void *bytes, uint64_t len, struct err *e); /* NULL: a hole */

/* erofs_add_link() - another name for what @target is, added before: -ENOENT; -EPERM for a directory. */
int erofs_add_link(struct erofs *w, const char *path, const char *target, struct err *e);

/*
 * erofs_add_whiteout() - overlayfs's "this is gone": device 0/0. It speaks of the layers below: what this
 * image itself has at @path stays, and a directory there becomes opaque.
 * erofs_set_opaque() - nothing of the directory of this name in layers below shows through
 * (trusted.overlay.opaque=y).
 */
int erofs_add_whiteout(struct erofs *w, const char *path, struct err *e);
int erofs_set_opaque(struct erofs *w, const char *path, struct err *e);

/**
 * erofs_finish() - write directories and superblock
 * @uuid:      of the image; derived from its content, so that the image stays reproducible
 * @ret_bytes: length of the image: a multiple of EROFS_BLOCK; the caller makes the output exactly that long
 */
int erofs_finish(struct erofs *w, const uint8_t uuid[16], uint64_t *ret_bytes, struct err *e);

#endif
