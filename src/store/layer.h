/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layer.h - an OCI layer, read as a stream: into an EROFS image (layers/<hex>.erofs), or unpacked into a
 * directory
 *
 * The stream is a tar, plain or in gzip, zstd or xz. Paths are relative to the layer's root also when they
 * begin with '/'; one with ".." is refused. Whiteouts become overlayfs's, so either result is an overlay
 * lower layer as it is. What overlayfs would read as its own (trusted.overlay.*, user.overlay.*) is not taken
 * from the tar. A name that a layer has twice is what came last; a symlink among the parents is followed
 * within the layer.
 *
 * Spec: OCI image-spec 1.1, layer.md
 */
#ifndef STORE_LAYER_H
#define STORE_LAYER_H

#include <stdint.h>

#include "fmt/digest.h"

struct err;

enum {
	LAYER_ENTRIES_MAX = 1 << 21, /* and fmt/erofs.h, fmt/tar.h bound the rest */
};

enum layer_flags {
	/* Own ids for all, device nodes left out; overlay marks as with LAYER_USERXATTR */
	LAYER_ROOTLESS = 1,
	/* Overlay marks are user.overlay.*, for mounts in a user namespace (userxattr) */
	LAYER_USERXATTR = 2,
	/* An owner whom this user namespace does not have becomes the caller */
	LAYER_MAPPED_IDS = 8,
	/* The caller compares the digest: a tar without end-of-archive is whole all the same */
	LAYER_END_OPTIONAL = 4,
};

struct layer_result {
	char diff_id[DIGEST_SHA256_SIZE];     /* of the plain tar */
	char blob_digest[DIGEST_SHA256_SIZE]; /* of what was read */
	uint64_t tar_bytes, blob_bytes;
	uint64_t erofs_bytes; /* length of the image; 0 when unpacked */
	uint64_t files;       /* entries of the tar, whiteouts included */
	uint64_t skipped;     /* device nodes left out */
};

/**
 * layer_write_erofs() - make <dirfd>/<hex of the diff id>.erofs of a layer stream
 * @in_fd:  read to its end; borrowed
 * @dirfd:  directory of layers; borrowed
 * @expect: digest of the stream or of the plain tar, sha256 or sha512; NULL: none is known
 * Context: blocks. Killed at any moment it leaves no name, or the whole layer (where O_TMPFILE is not
 *          supported a ".layer-*.tmp", which is garbage once nobody holds its lock).
 * Return:  0, also when that layer was there already; -EBADMSG damaged or cut short, or not the digest
 *          expected; -E2BIG, -EFBIG a limit; -EINVAL @expect is none; -ENOSPC and other errors of the store.
 *          @e names the entry.
 */
int layer_write_erofs(int in_fd, int dirfd, const char *expect, struct layer_result *ret, struct err *e);

/**
 * layer_unpack() - the same stream into the directory @root_dirfd, which is empty and nobody else's
 * @flags: enum layer_flags
 * Context: as above. After a failure the tree is half-made: the caller unpacks into a temporary one.
 * Return:  as above; the caller compares ret->diff_id and ret->blob_digest with what it expects
 */
int layer_unpack(int in_fd, int root_dirfd, unsigned flags, struct layer_result *ret, struct err *e);

#endif
