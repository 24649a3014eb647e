/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "fmt/digest.h"
#include "store/store_internal.h"
#include "sys/file.h"

enum { BLOB_PATH_SIZE = 96 };

static const char *blob_path(const char *digest, char *dst)
{
	str_format(dst, BLOB_PATH_SIZE, "blobs/sha256/%s", store__hex(digest));
	return dst;
}

static bool blob_is_there(struct store *st, const char *path, size_t len)
{
	struct stat stat_buf;

	return file_fstatat(st->rootfd, path, &stat_buf, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISREG(stat_buf.st_mode) && (size_t)stat_buf.st_size == len;
}

static int blob_write(struct store *st, const char *path, const void *bytes, size_t len, struct err *e)
{
	__attribute__((cleanup(store__tmp_fini))) struct store__tmp tmp = STORE_TMP_NONE;
	auto_close int fd = -1;
	int r = store__tmp_new(&tmp, st, e);

	if (r < 0)
		return r;
	fd = file_open(tmp.dirfd, "blob", O_WRONLY | O_CREAT | O_EXCL, 0600);
	r = fd < 0 ? fd : file_write(fd, bytes, len);
	if (r >= 0)
		r = file_sync(fd);
	if (r >= 0)
		r = file_rename(tmp.dirfd, "blob", st->rootfd, path, 0);
	if (r < 0)
		return err_sys(e, -r, "write %s/%s", st->root, path);
	return store__sync_dir(st, "blobs/sha256", e);
}

int store_blob_put(struct store *st, const void *bytes, size_t len, char *ret_digest, struct err *e)
{
	char digest[STORE_DIGEST_SIZE], path[BLOB_PATH_SIZE];
	int r = store__writing(st, e);

	if (r < 0)
		return r;
	digest_of(bytes, len, digest);
	if (!blob_is_there(st, blob_path(digest, path), len)) {
		r = blob_write(st, path, bytes, len, e);
		if (r < 0)
			return r;
	}
	str_copy(ret_digest, STORE_DIGEST_SIZE, digest);
	return 0;
}

int store_blob_get(struct store *st, const char *digest, size_t max, struct buf *b, struct err *e)
{
	char path[BLOB_PATH_SIZE], got[STORE_DIGEST_SIZE];
	const size_t start = b->len;
	int r = store__digest_check("blob", digest, e);

	if (r < 0)
		return r;
	r = file_slurp_at(st->rootfd, blob_path(digest, path), b, max);
	if (r == -ENOENT)
		return err_set(e, ENOENT, "%s/%s: missing from the store: load or build the image again",
			       st->root, path);
	if (r == -EFBIG)
		return err_set(e, EFBIG, "%s/%s: more than %zu bytes", st->root, path, max);
	if (r < 0)
		return err_sys(e, -r, "read %s/%s", st->root, path);
	digest_of(b->data + start, b->len - start, got);
	if (!str_eq(got, digest))
		return err_set(
			e, EBADMSG,
			"%s/%s: damaged, its contents have another digest (%zu bytes): remove it, then "
			"load or build the image again",
			st->root, path, b->len - start);
	return 0;
}
