/* SPDX-License-Identifier: Apache-2.0 */
/* tartree.h - a tree of files, walked by descriptors, as tar */
#ifndef STORE_TARTREE_H
#define STORE_TARTREE_H

#include <stdbool.h>

#include "fmt/tarout.h"

struct err;

enum {
	TARTREE_LAYER = 1, /* overlay marks become OCI whiteouts, times whole seconds: a layer, the same bytes
			      each time */
	TARTREE_USERXATTR = 2, /* the marks are user.overlay.* */
};

/**
 * tartree_write() - the entries of one tree, in the order of their names' bytes; no end of archive
 * @dirfd: its root; borrowed. @name: what it is called in the archive; "": only what is in it
 * Context: the tree may change meanwhile, and hostilely: nothing outside of it is read, sizes announced are
 * kept. Spec:    image-spec layer.md "Whiteouts"
 */
int tartree_write(struct tarout *out, int dirfd, const char *name, unsigned flags, struct err *e);

/* tartree_open() - @path resolved in @rootfd, symlinks on the way but not the last, for tartree_write().
 * Return: O_PATH fd */
int tartree_open(int rootfd, const char *path, struct err *e);

/* A file to write an archive to, with few large writes. */
struct tartree_file {
	int fd; /* borrowed */
	size_t n;
	char bytes[1 << 16];
};
int tartree_file_write(void *file, const void *bytes, size_t len, struct err *e);
int tartree_file_flush(struct tartree_file *f, struct err *e);

#endif
