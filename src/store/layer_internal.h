/* SPDX-License-Identifier: Apache-2.0 */
/* layer_internal.h - the one loop that reads a layer, and what receives its entries */
#ifndef STORE_LAYER_INTERNAL_H
#define STORE_LAYER_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

#include "fmt/source.h"
#include "fmt/tar.h"
#include "store/layer.h"

struct err;
struct layer_sink;

struct layer_entry {
	/* Clean: relative, no "." and "..", components within NAME_MAX; "" is the root */
	const char *path;
	const char *target;             /* of a link: clean, too; of a symlink: as it is */
	const struct tar_entry *tar;    /* the rest; its own names are the tar's */
	const struct tar_xattr *xattrs; /* those that may be set */
	size_t n_xattrs;
};

/* All return 0, or -errno with @e set; after a failure only the maker's clean-up follows. */
struct layer_sink_ops {
	int (*dir)(struct layer_sink *s, const struct layer_entry *n, struct err *e);
	int (*file)(struct layer_sink *s, const struct layer_entry *n, struct err *e);
	/* NULL: a hole */
	int (*data)(struct layer_sink *s, const void *bytes, uint64_t len, struct err *e);
	/* May be NULL */
	int (*file_end)(struct layer_sink *s, struct err *e);
	int (*symlink)(struct layer_sink *s, const struct layer_entry *n, struct err *e);
	int (*link)(struct layer_sink *s, const struct layer_entry *n, struct err *e);
	int (*node)(struct layer_sink *s, const struct layer_entry *n, struct err *e);
	int (*whiteout)(struct layer_sink *s, const char *path, struct err *e);
	int (*opaque)(struct layer_sink *s, const char *path, struct err *e);
	int (*finish)(struct layer_sink *s, const char *diff_id, struct err *e);
};

struct layer_sink { /* first member of the concrete one */
	const struct layer_sink_ops *ops;
};

/**
 * layer__read() - the whole stream of @from into @sink
 * @expect: as for layer_write_erofs(); checked before finish() is called
 */
int layer__read(const struct source *from, struct layer_sink *sink, const char *expect, unsigned flags,
		struct layer_result *ret, struct err *e);

/* layer__read_fd() - the same from a file descriptor */
enum { LAYER_READ_BYTES = 256 << 10 };
struct layer_input {
	int fd;         /* borrowed */
	uint8_t *bytes; /* owned, LAYER_READ_BYTES */
};
int layer__read_fd(int fd, struct layer_sink *sink, const char *expect, unsigned flags,
		   struct layer_result *ret, struct err *e);

#endif
