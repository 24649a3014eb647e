/* SPDX-License-Identifier: Apache-2.0 */
/* archive.h - the files of a tar on disk, by name: what `load` picks images from. Names are never paths of
 * the host. */
#ifndef STORE_ARCHIVE_H
#define STORE_ARCHIVE_H

#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;
struct store;
struct stream_fd;

enum { ARCHIVE_FILES_MAX = 100000 };

struct archive_file {
	char *name; /* owned; clean: no "./", no leading '/' */
	char *link; /* owned; NULL, or the name of the file meant */
	uint64_t at, len;
};

struct archive {
	int fd;                    /* owned: a plain tar, seekable */
	struct archive_file *file; /* owned; sorted by name, the last of several first */
	size_t n, cap;
};

/* archive_open() - index @in_fd (borrowed), which may be a pipe, and compressed: then it is spooled to the
 * store's disk. */
int archive_open(struct archive *a, struct store *st, int in_fd, struct err *e);
void archive_fini(struct archive *a);

/* archive_find() - links followed; NULL: no such file. */
const struct archive_file *archive_find(const struct archive *a, const char *name);
/* archive_read() - a small file as a whole, at most @max bytes. */
int archive_read(const struct archive *a, const char *name, size_t max, struct buf *b, struct err *e);

#endif
