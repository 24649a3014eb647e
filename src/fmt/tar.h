/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tar.h - tar archives as a stream: v7, ustar, pax, GNU (long names, base-256 numbers) and every form of
 * sparse files
 *
 * Names and values are bytes, passed on as they are: no locale, no conversion (a name in UTF-8 arrives in
 * UTF-8 whatever the environment says). Everything from the archive is hostile: sizes and counts are bounded
 * below; what a name may be is the caller's business.
 */
#ifndef FMT_TAR_H
#define FMT_TAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fmt/source.h"

struct err;
struct tar;

enum {
	TAR_EXTRA_MAX = 4 << 20,  /* bytes of one pax header or long name */
	TAR_XATTRS_MAX = 255,     /* of one entry */
	TAR_SPARSE_MAX = 1 << 16, /* pieces of one sparse file */
};

enum tar_type { TAR_FILE, TAR_LINK, TAR_SYMLINK, TAR_CHAR, TAR_BLOCK, TAR_DIR, TAR_FIFO, TAR_TYPE_COUNT };

struct tar_xattr {
	const char *name; /* "user.x", NUL-terminated */
	const void *value;
	size_t len;
};

struct tar_entry {
	enum tar_type type;
	const char *name; /* as written: may be absolute, may hold ".." */
	const char *link; /* target of a TAR_LINK or TAR_SYMLINK, else "" */
	unsigned mode;    /* permission bits, 07777 */
	uint32_t uid, gid;
	uint32_t major, minor;
	int64_t mtime_s;
	uint32_t mtime_ns;
	uint64_t size; /* of a TAR_FILE, sparse ones expanded; else 0 */
	const struct tar_xattr *xattrs;
	size_t n_xattrs;
};

/* tar_new() - @from is copied, what it points to borrowed. Return: NULL when out of memory. */
struct tar *tar_new(const struct source *from);
void tar_free(struct tar *t);

/**
 * tar_next() - the next entry; data of the one before that nobody read is passed over
 * @ret: borrowed, good until the next call
 * Return: 1; 0 at the end; -EBADMSG (malformed or cut short), -E2BIG (a limit above), or the source's, with
 *         @e set
 */
int tar_next(struct tar *t, const struct tar_entry **ret, struct err *e);

/**
 * tar_read() - the next run of the entry's data; the runs add up to its size
 * @ret_bytes: borrowed, good until the next call; NULL for a hole
 * Return: how many; 0 at the end of the entry; -errno with @e set
 */
ssize_t tar_read(struct tar *t, const uint8_t **ret_bytes, struct err *e);

/* tar_drain() - read what is behind the end (padding), for those who digest the whole. Return: 0, -errno */
int tar_drain(struct tar *t, struct err *e);

/* tar_has_end() - was there an end-of-archive block, or did the bytes just stop between two entries? */
bool tar_has_end(const struct tar *t);
uint64_t tar_offset(const struct tar *t); /* bytes consumed, for messages */

#endif
