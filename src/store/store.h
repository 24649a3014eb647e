/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store.h - images, their layers and blobs, named volumes, and the one database
 *
 * <root>/hull.db			SQLite, WAL: what changes
 * <root>/reserve			space to delete with when the disk is full
 * <root>/blobs/sha256/<hex>		image configs and manifests, immutable
 * <root>/layers/<hex>.erofs		a layer, by diff digest; <hex>.tree/ where EROFS cannot be mounted
 * <root>/instances/<id>/		upper, work, logs, configuration of one instance (runtime/)
 * <root>/volumes/<name>/_data
 * <root>/tmp/				what a killed command left here, the next one removes (files locked by
 * live ones stay; "x-...", STORE_TMP_FOREIGN, is somebody else's who knows what belongs to it)
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sqlite3.h>

#include "base/str.h"
#include "base/time.h"

struct buf;
struct err;
struct store;

/* How names in tmp/ begin that are not swept here: a container may live in there. */
#define STORE_TMP_FOREIGN "x-"

enum { STORE_DIGEST_SIZE = 72 }; /* "sha256:" + 64 hex + NUL */

/* store_open() - open or make the store at @root ("/var/lib/hull"). Corrupt database: -EBADMSG, one line that
 * says what to do. */
int store_open(struct store **ret_st, const char *root, struct err *e);
void store_close(struct store *st);
const char *store_root(const struct store *st);
int store_rootfd(const struct store *st);
sqlite3 *store_db(struct store *st); /* borrowed; runtime/ keeps its instance rows there */

/* store_exec() - SQL without results; store_begin/commit/rollback: one writer (BEGIN IMMEDIATE, waits up to
 * 30 s). */
int store_exec(struct store *st, struct err *e, const char *sql);
int store_begin(struct store *st, struct err *e);
int store_commit(struct store *st, struct err *e);
void store_rollback(struct store *st);
/* store_prepare() - a cached, reset statement; borrowed until the next call with the same text. */
sqlite3_stmt *store_prepare(struct store *st, const char *sql, struct err *e);

/* --- blobs ---------------------------------------------------------------------------------------------- */
int store_blob_put(struct store *st, const void *bytes, size_t len, char *ret_digest, struct err *e);
int store_blob_get(struct store *st, const char *digest, size_t max, struct buf *b,
		   struct err *e); /* verified */

/* --- images --------------------------------------------------------------------------------------------- */
struct image {
	char id[STORE_DIGEST_SIZE];       /* digest of the config */
	char manifest[STORE_DIGEST_SIZE]; /* digest of the manifest we keep for it */
	char *config;                     /* owned: config text (image-spec config.md) */
	char **layers;                    /* owned: diff ids, bottom first */
	size_t n_layers;
	uint64_t size_bytes; /* of all layers, uncompressed */
	nsec_t created_ns;
	struct strv tags; /* "docker.io/library/alpine:3" normalised; see image_ref_* */
};
void image_fini(struct image *im);

/* image_ref_normalize() - "alpine" -> "docker.io/library/alpine:latest"; grammar checked. Caller frees. */
int image_ref_normalize(const char *ref, char **ret_full, struct err *e);
/* image_ref_familiar() - the short form people typed: "alpine:latest". Borrowed from @full. */
const char *image_ref_familiar(const char *full);

/* store_image_find() - by reference, id prefix (ambiguous: -EEXIST) or digest. -ENOENT "no such image: 'x'".
 */
int store_image_find(struct store *st, const char *ref, struct image *ret_im, struct err *e);
int store_image_each(struct store *st, int (*each)(void *arg, const struct image *im), void *arg,
		     struct err *e);

/* store_image_put() - register config + layers (already in the store) as an image, maybe with a tag. */
int store_image_put(struct store *st, const char *config, size_t len, char *const *layers, size_t n_layers,
		    const char *tag, char *ret_id, struct err *e);
int store_image_tag(struct store *st, const char *ref, const char *tag, struct err *e);
/* store_image_remove() - docker rmi: untag, delete when that was the last tag. Each thing done is told to
 * @told ("Untagged: x"). */
int store_image_remove(struct store *st, const char *ref, bool force, struct strv *told, struct err *e);
/* store_image_in_use: rmi and prune ask runtime/ through this; NULL: nobody. */
typedef bool (*store_in_use_fn)(void *arg, const char *image_id, char *ret_by, size_t size);
void store_set_in_use(struct store *st, store_in_use_fn fn, void *arg);
/* store_set_volume_in_use() - the same question about a volume's name; without it store_prune() touches no
 * volume. */
void store_set_volume_in_use(struct store *st, store_in_use_fn fn, void *arg);

/* store_image_history() - the lines of `docker history`, newest first. @each: negative ends it. */
struct store_history {
	const char *id;      /* of the image, on the newest line; else NULL ("<missing>") */
	const char *diff_id; /* NULL: the step made no layer */
	const char *created_by, *comment;
	nsec_t created_ns;
	uint64_t size_bytes;
};
int store_image_history(struct store *st, const struct image *im,
			int (*each)(void *arg, const struct store_history *h), void *arg, struct err *e);

/* --- layers --------------------------------------------------------------------------------------------- */
/* store_layer_put() - a layer stream (tar, maybe gzip, zstd or xz) into the store; the same layer twice is
 * one. */
int store_layer_put(struct store *st, int fd, const char *expect_digest, char *ret_diff_id, struct err *e);
/* store_layer_from_upper() - an overlay upper directory as a new layer (build, commit), streamed as tar,
 * never stored as one. */
int store_layer_from_upper(struct store *st, int upper_dirfd, char *ret_diff_id, bool *ret_empty,
			   struct err *e);
/* store_layer_path() - what overlay_open() takes for it. Caller frees. -ENOENT "layer sha256:..: missing from
 * the store". */
int store_layer_path(struct store *st, const char *diff_id, char **ret_path, struct err *e);

/* --- archives: docker save/load format and OCI layout in one tar, import and export --------------------- */
int store_save(struct store *st, char *const *refs, size_t n, int out_fd, struct err *e);
/* store_save_changed() - layers the last store_save() could not make again byte for byte: their images have
 * new ids in it. */
size_t store_save_changed(const struct store *st);
/* store_load() - @loaded: "alpine:latest" for each name, or the id of an image without one. */
int store_load(struct store *st, int in_fd, struct strv *loaded, struct err *e);
int store_import(struct store *st, int in_fd, const char *tag, char *const *changes, size_t n,
		 const char *message, char *ret_id, struct err *e);
/* store_tar_tree() - a tree (a detached mount, a container's root, or a part of it for `cp`) as tar onto
 * @out_fd. */
int store_tar_tree(int dirfd, const char *path_in_root, const char *name_in_tar, int out_fd, struct err *e);
/* store_untar_into() - the other way for `cp`: @in_fd's tar into @path_in_root below @rootfd, never outside
 * of it. */
int store_untar_into(int rootfd, const char *path_in_root, int in_fd, bool keep_owner, struct err *e);

/* --- volumes -------------------------------------------------------------------------------------------- */
int store_volume_make(struct store *st, const char *name, char **ret_path, bool *ret_new, struct err *e);
int store_volume_remove(struct store *st, const char *name, struct err *e);
int store_volume_each(struct store *st, int (*each)(void *arg, const char *name, const char *path), void *arg,
		      struct err *e);

/* --- build cache: key -> layer and config --------------------------------------------------------------- */
int store_cache_get(struct store *st, const char *key, char *ret_diff_id, char **ret_config,
		    struct err *e); /* 1 hit, 0 miss */
int store_cache_put(struct store *st, const char *key, const char *diff_id, const char *config,
		    struct err *e);

/*
 * store_reserve_use() - before rows are deleted: on a full disk even that takes space, which a file kept for it gives back
 * store_reserve_keep() - make that file when it is not there and there is plenty of room
 */
void store_reserve_use(struct store *st);
void store_reserve_keep(struct store *st);

/* --- accounting and clean-up ---------------------------------------------------------------------------- */
struct store_usage {
	uint64_t images, images_bytes, images_reclaimable;
	uint64_t cache, cache_bytes;
	uint64_t volumes, volumes_bytes;
};
int store_usage(struct store *st, struct store_usage *ret_u, struct err *e);
/*
 * store_prune() - dangling (or with @all: unused) images, the build cache, layers and blobs nobody names,
 * stale temporaries, anonymous volumes that nobody uses. Layers and blobs stay while another command writes.
 */
int store_prune(struct store *st, bool all, bool cache, bool volumes, struct strv *told, uint64_t *ret_freed,
		struct err *e);

#endif
