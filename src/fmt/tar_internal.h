/* SPDX-License-Identifier: Apache-2.0 */
/* tar_internal.h - what tar.c, tar_pax.c and tar_sparse.c share */
#ifndef FMT_TAR_INTERNAL_H
#define FMT_TAR_INTERNAL_H

#include "base/buf.h"
#include "fmt/tar.h"

enum { TAR_BLOCK_BYTES = 512 };

struct tar_piece {
	uint64_t off, len; /* where in the expanded file */
};

/* What pax records and GNU headers say about the entry to come. Strings point into struct tar's buffers. */
struct tar_over {
	const char *long_name, *long_link; /* GNU */
	const char *name, *link;           /* pax */
	const char *sparse_name;
	bool has_size, has_uid, has_gid, has_mtime;
	bool sparse;           /* some GNU.sparse.* record was there */
	unsigned sparse_major; /* 1: the map is in front of the data */
	uint64_t size, sparse_size;
	uint32_t uid, gid;
	int64_t mtime_s;
	uint32_t mtime_ns;
	size_t n_xattrs;
};

struct tar {
	struct source from;
	const uint8_t *p; /* borrowed from @from */
	size_t have;
	uint64_t offset; /* bytes consumed */
	uint64_t left;   /* stored data of the entry, not read yet */
	unsigned pad;    /* zeros behind it */
	bool has_end, done;

	struct tar_entry entry;
	struct tar_over over;
	struct tar_xattr xattrs[TAR_XATTRS_MAX];
	struct buf long_name, long_link, pax;
	char name[TAR_BLOCK_BYTES], link[TAR_BLOCK_BYTES]; /* from the header block */

	struct tar_piece *map; /* owned; grows to TAR_SPARSE_MAX */
	size_t n_map, at_map, cap_map;
	uint64_t pos; /* in the expanded file */
};

/* tar__take() - exactly @len bytes. Return: 0; -EBADMSG when the archive ends before; -errno */
int tar__take(struct tar *t, void *dst, size_t len, struct err *e);
int tar__malformed(const struct tar *t, struct err *e, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* tar__number() - a numeric header field: octal, or base-256 when its first bit is set. Return: 0, -EINVAL */
int tar__number(const uint8_t *field, size_t len, int64_t *ret);

/* tar__parse_pax() - t->pax holds the body of an 'x' header; t->over takes what it says. */
int tar__parse_pax(struct tar *t, struct err *e);

int tar__sparse_add(struct tar *t, uint64_t off, uint64_t len, struct err *e);
/*
 * tar__sparse_set_len() - the length of the last piece, for the format that gives it in a record of its own.
 */
int tar__sparse_set_len(struct tar *t, uint64_t len, struct err *e);
int tar__sparse_old_gnu(struct tar *t, const uint8_t *header, struct err *e);
int tar__sparse_from_data(struct tar *t, struct err *e);
int tar__sparse_from_list(struct tar *t, char *list, struct err *e);
/* tar__sparse_check() - the pieces ascend, fit into @size, and add up to what is stored. */
int tar__sparse_check(const struct tar *t, uint64_t size, struct err *e);

#endif
