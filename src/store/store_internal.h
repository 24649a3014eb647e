/* SPDX-License-Identifier: Apache-2.0 */
/* store_internal.h - what the files of store/ share */
#ifndef STORE_STORE_INTERNAL_H
#define STORE_STORE_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sqlite3.h>

#include "fmt/source.h"
#include "store/store.h"

enum { STORE_STATEMENT_MAX = 96 };

struct store {
	char *root;   /* owned */
	int rootfd;   /* owned */
	int lockfd;   /* owned; <root>/lock: shared by writers of layers and blobs, exclusive for collecting
		       garbage */
	bool writing; /* we hold it, shared */
	int depth;    /* of nested store_begin() */
	bool durable; /* synchronous=FULL just now */
	sqlite3 *db;
	struct {
		const char *sql;
		sqlite3_stmt *stmt;
	} statement[STORE_STATEMENT_MAX];
	size_t n_statements;
	store_in_use_fn in_use;
	void *in_use_arg;
	store_in_use_fn volume_in_use;
	void *volume_in_use_arg;
	size_t save_changed; /* see store_save_changed() */
};

/* --- SQL. @types: one letter for each argument: 's' const char * (NULL: null), 'i' int64_t. */

/* store__query() - a cached statement with its parameters bound, or NULL with @e set. */
sqlite3_stmt *store__query(struct store *st, struct err *e, const char *sql, const char *types, ...);
/* store__step() - 1: a row; 0: no more; -errno. */
int store__step(struct store *st, sqlite3_stmt *q, struct err *e);
/* store__run() - a statement without rows. */
int store__run(struct store *st, struct err *e, const char *sql, const char *types, ...);
const char *store__text(sqlite3_stmt *q, int column); /* never NULL; good until the next step */
/* store__begin_durable() - as store_begin(), and its commit is on disk before it returns. */
int store__begin_durable(struct store *st, struct err *e);

/* --- files ---------------------------------------------------------------------------------------------- */

/* store__writing() - from now to store_close() no garbage is collected: what we put stays until a row names
 * it. */
int store__writing(struct store *st, struct err *e);
/* store__alone() - nobody writes, and nobody will until store__alone_end(). Return: 1, 0 when somebody does,
 * -errno. */
int store__alone(struct store *st, struct err *e);
void store__alone_end(struct store *st);

/* A directory of ours in <root>/tmp, locked: whoever finds it unlocked removes it. Empty value
 * STORE_TMP_NONE. */
struct store__tmp {
	struct store *st;
	int dirfd;     /* -1: none */
	char name[32]; /* "tmp/..." relative to the root */
};
#define STORE_TMP_NONE                                                                                       \
	{                                                                                                    \
		.dirfd = -1                                                                                  \
	}
int store__tmp_new(struct store__tmp *t, struct store *st, struct err *e);
void store__tmp_fini(struct store__tmp *t);
/* store__tmp_sweep() - remove what killed commands left. */
void store__tmp_sweep(struct store *st);
/* store__spool() - an anonymous file on the store's disk. */
int store__spool(struct store *st, struct err *e);

/* store__sync_dir() - make renames into "<root>/@path" last. */
int store__sync_dir(struct store *st, const char *path, struct err *e);
/* store__free_bytes() - what a file or tree takes on disk. */
uint64_t store__disk_bytes(int dirfd, const char *name);

const char *store__hex(const char *digest); /* the hex part of a digest that was checked */
int store__digest_check(const char *what, const char *digest, struct err *e); /* sha256 only */

/* --- layers --------------------------------------------------------------------------------------------- */

/* store__layer_has() - row and file are there. 1, 0, -errno. */
int store__layer_has(struct store *st, const char *diff_id, struct err *e);
/* store__image_find() - as store_image_find(), and the tag that was named, or NULL (caller frees). */
int store__image_find(struct store *st, const char *ref, struct image *ret_im, char **ret_tag, struct err *e);

/* store__layer_bytes() - of its tar, by the row. */
int store__layer_bytes(struct store *st, const char *diff_id, uint64_t *ret_bytes, struct err *e);
/* What a layer is put from: exactly one of @fd, @from and @upper_dirfd. */
struct store__layer_input {
	int fd;                    /* a stream, or -1 */
	const struct source *from; /* the same, or NULL */
	int upper_dirfd;           /* an overlay upper directory, or -1 */
	const char *expect_blob;   /* digest of the stream as it comes, or NULL */
	const char *expect_diff;   /* digest of the plain tar, or NULL */
	const char *expect_any;    /* one or the other, or NULL */
};
int store__layer_put(struct store *st, const struct store__layer_input *in, char *ret_diff_id, struct err *e);
/* store__layer_open() - its root, to be read. */
int store__layer_open(struct store *st, const char *diff_id, struct err *e);
/*
 * store__layer_tar() - its tar, by recipe or (@canonical, or without one) made anew from its files
 * @write: as in struct tarout. What comes out may differ from what went in: digest it.
 */
int store__layer_tar(struct store *st, const char *diff_id, bool canonical,
		     int (*write)(void *arg, const void *bytes, size_t len, struct err *e), void *arg,
		     struct err *e);

/* --- garbage -------------------------------------------------------------------------------------------- */

/* store__collect() - layers and blobs that no row names; nothing when others write. @told: "Deleted:
 * sha256:..". */
int store__collect(struct store *st, struct strv *told, uint64_t *freed, struct err *e);

#endif
