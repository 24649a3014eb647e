/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A layer is put by two threads: one reads, decodes and records the recipe (or walks an upper directory), the
 * other digests the plain tar and makes the image. Everything lies in one temporary directory until the
 * digest is known; then the recipe and the layer are renamed into place, and the row follows.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "fmt/decomp.h"
#include "fs/overlay.h"
#include "store/layer.h"
#include "store/recipe.h"
#include "store/store_internal.h"
#include "store/stream.h"
#include "store/tartree.h"
#include "sys/call.h"
#include "sys/cred.h"
#include "sys/file.h"

enum { LAYER_PATH_SIZE = 96 };

static const char *layer_path(const char *diff_id, const char *suffix, char *dst)
{
	str_format(dst, LAYER_PATH_SIZE, "layers/%s.%s", store__hex(diff_id), suffix);
	return dst;
}

/* user_flags() - enum layer_flags for who is not root, or is root of a user namespace only. */
static unsigned user_flags(void)
{
	if (geteuid() != 0)
		return LAYER_ROOTLESS;
	return cred_in_userns() ? LAYER_USERXATTR | LAYER_MAPPED_IDS : 0;
}

/* --- rows ----------------------------------------------------------------------------------------------- */

/* layer_row() - Return: 1, 0, -errno. Outputs may be NULL. */
static int layer_row(struct store *st, const char *diff_id, uint64_t *ret_tar, uint64_t *ret_stored,
		     struct err *e)
{
	sqlite3_stmt *q = store__query(st, e, "SELECT tar_bytes, stored_bytes FROM layer WHERE diff_id = ?",
				       "s", diff_id);
	int r = store__step(st, q, e);

	if (r <= 0)
		return r;
	if (ret_tar)
		*ret_tar = (uint64_t)sqlite3_column_int64(q, 0);
	if (ret_stored)
		*ret_stored = (uint64_t)sqlite3_column_int64(q, 1);
	sqlite3_reset(q);
	return 1;
}

int store__layer_bytes(struct store *st, const char *diff_id, uint64_t *ret_bytes, struct err *e)
{
	int r = layer_row(st, diff_id, ret_bytes, NULL, e);

	return r == 0 ? err_set(e, ENOENT, "layer %s: missing from the store", diff_id) : r < 0 ? r : 0;
}

/* layer_file() - which of the two forms is there, whole. Return: 1 image, 2 tree, 0 none; -EBADMSG cut short
 */
static int layer_file(struct store *st, const char *diff_id, uint64_t stored, char *path, struct err *e)
{
	struct stat file;

	if (file_fstatat(st->rootfd, layer_path(diff_id, "erofs", path), &file, AT_SYMLINK_NOFOLLOW) == 0) {
		if (stored == 0 || (uint64_t)file.st_size == stored)
			return 1;
		return err_set(
			e, EBADMSG,
			"layer %s: damaged, %s/%s has %llu bytes of %llu: load or build the image again",
			diff_id, st->root, path, (unsigned long long)file.st_size,
			(unsigned long long)stored);
	}
	return file_fstatat(st->rootfd, layer_path(diff_id, "tree", path), &file, AT_SYMLINK_NOFOLLOW) == 0 ?
		       2 :
		       0;
}

int store__layer_has(struct store *st, const char *diff_id, struct err *e)
{
	char path[LAYER_PATH_SIZE];
	uint64_t stored;
	int r = layer_row(st, diff_id, NULL, &stored, e);

	if (r <= 0)
		return r;
	return layer_file(st, diff_id, stored, path, NULL) > 0; /* a damaged one is put anew */
}

int store_layer_path(struct store *st, const char *diff_id, char **ret_path, struct err *e)
{
	char path[LAYER_PATH_SIZE];
	uint64_t stored = 0;
	int r = store__digest_check("layer", diff_id, e);

	if (r >= 0)
		r = layer_row(st, diff_id, NULL, &stored, e);
	if (r >= 0)
		r = layer_file(st, diff_id, stored, path, e);
	if (r == 0)
		return err_set(e, ENOENT,
			       "layer %s: missing from the store (%s/layers): load or build the image again",
			       diff_id, st->root);
	if (r < 0)
		return r;
	*ret_path = str_printf("%s/%s", st->root, path);
	return *ret_path ? 0 : err_sys(e, ENOMEM, "layer");
}

int store__layer_open(struct store *st, const char *diff_id, struct err *e)
{
	auto_free char *path = NULL;
	int r = store_layer_path(st, diff_id, &path, e);

	return r < 0 ? r : overlay_layer_open(path, e);
}

/* --- writing -------------------------------------------------------------------------------------------- */

struct layer_put {
	const struct store__layer_input *in;
	int recipe_fd; /* -1: the tar is our own, and needs none */
	bool recipe_whole;
	char blob_digest[DIGEST_TEXT_SIZE]; /* of the stream, when one is expected */
};

static int feed_upper(struct layer_put *p, int out_fd, struct err *e)
{
	struct tartree_file *file = malloc(sizeof(*file));
	struct tarout out;
	int r;

	if (!file)
		return err_sys(e, ENOMEM, "layer");
	file->fd = out_fd;
	file->n = 0;
	tarout_init(&out, tartree_file_write, file);
	r = tartree_write(&out, p->in->upper_dirfd, "",
			  TARTREE_LAYER | (user_flags() ? TARTREE_USERXATTR : 0), e);
	if (r >= 0)
		r = tarout_end(&out, e);
	if (r >= 0)
		r = tartree_file_flush(file, e);
	tarout_fini(&out);
	free(file);
	return r;
}

static int feed_decoded(struct layer_put *p, const struct source *from, int out_fd, struct err *e)
{
	struct decomp *d = NULL;
	struct source plain;
	int r = decomp_new(&d, from, e);

	if (r < 0)
		return r;
	plain = decomp_source(d);
	r = recipe_record(&plain, out_fd, p->recipe_fd, &p->recipe_whole, e);
	decomp_free(d);
	return r;
}

static enum digest_alg expected_alg(const struct store__layer_input *in)
{
	enum digest_alg alg = DIGEST_SHA256;

	digest_parse(in->expect_blob ? in->expect_blob : in->expect_any, &alg, NULL);
	return alg;
}

static int feed_stream(struct layer_put *p, int out_fd, struct err *e)
{
	struct stream_fd *file = malloc(sizeof(*file));
	struct stream_digest digested;
	struct source from;
	int r;

	if (!file)
		return err_sys(e, ENOMEM, "layer");
	stream_fd_init(file, p->in->fd);
	from = p->in->from ? *p->in->from : stream_fd_source(file);
	if (p->in->expect_blob || p->in->expect_any) {
		stream_digest_init(&digested, &from, expected_alg(p->in));
		from = stream_digest_source(&digested);
	}
	r = feed_decoded(p, &from, out_fd, e);
	if (r >= 0 && (p->in->expect_blob || p->in->expect_any))
		digest_final(&digested.digest, p->blob_digest);
	free(file);
	return r;
}

static int feed(void *arg, int out_fd, struct err *e)
{
	struct layer_put *p = arg;

	return p->in->upper_dirfd >= 0 ? feed_upper(p, out_fd, e) : feed_stream(p, out_fd, e);
}

/* build() - what @in_fd brings, as "<hex>.erofs" or "tree" in the temporary directory. */
static int build(struct layer_put *p, int in_fd, struct store__tmp *tmp, struct layer_result *res,
		 struct err *e)
{
	auto_close int tree = -1;
	int r;

	if (overlay_erofs_mountable())
		return layer_write_erofs(in_fd, tmp->dirfd, p->in->expect_diff, res, e);
	r = file_mkdir(tmp->dirfd, "tree", 0755);
	tree = r < 0 ? r : file_open(tmp->dirfd, "tree", O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (tree < 0)
		return err_sys(e, -tree, "temporary directory");
	r = layer_unpack(in_fd, tree, (user_flags()) | (p->in->expect_diff ? LAYER_END_OPTIONAL : 0), res, e);
	if (r >= 0)
		r = (int)SYS1(SYS_syncfs, tree);
	return r;
}

static int expected_check(const struct layer_put *p, const struct layer_result *res, struct err *e)
{
	const struct store__layer_input *in = p->in;

	if (in->expect_diff && !str_eq(in->expect_diff, res->diff_id))
		return err_set(e, EBADMSG, "layer: its contents have digest %s, %s was expected",
			       res->diff_id, in->expect_diff);
	if (in->expect_blob && !str_eq(in->expect_blob, p->blob_digest))
		return err_set(e, EBADMSG, "layer: its bytes have digest %s, %s was expected", p->blob_digest,
			       in->expect_blob);
	if (in->expect_any && !str_eq(in->expect_any, p->blob_digest) &&
	    !str_eq(in->expect_any, res->diff_id))
		return err_set(e, EBADMSG, "layer: it has digest %s, its contents %s; %s was expected",
			       p->blob_digest, res->diff_id, in->expect_any);
	return 0;
}

static int insert_row(struct store *st, const struct layer_result *res, struct err *e)
{
	return store__run(st, e,
			  "INSERT OR REPLACE INTO layer(diff_id, tar_bytes, stored_bytes, exact, added_ns)"
			  " VALUES(?, ?, ?, 0, ?)",
			  "siii", res->diff_id, (int64_t)res->tar_bytes,
			  (int64_t)(res->erofs_bytes ? res->erofs_bytes : res->tar_bytes),
			  (int64_t)time_now_ns(CLOCK_REALTIME));
}

/* install() - recipe, layer, row: the row is what makes it ours. */
static int install(struct store *st, struct layer_put *p, struct store__tmp *tmp,
		   const struct layer_result *res, struct err *e)
{
	char path[LAYER_PATH_SIZE], recipe[LAYER_PATH_SIZE], name[LAYER_PATH_SIZE];
	const bool image = res->erofs_bytes > 0;
	int r = store__layer_has(st, res->diff_id, e);

	if (r != 0) /* somebody was faster, or it was there all along */
		return r < 0 ? r : 0;
	layer_path(res->diff_id, image ? "erofs" : "tree", path);
	layer_path(res->diff_id, "recipe", recipe);
	if (p->recipe_fd >= 0 && p->recipe_whole) {
		r = file_sync(p->recipe_fd);
		if (r >= 0)
			r = file_rename(tmp->dirfd, "recipe", st->rootfd, recipe, 0);
		if (r < 0)
			return err_sys(e, -r, "%s/%s", st->root, recipe);
	}
	str_format(name, sizeof(name), "%s.erofs", store__hex(res->diff_id));
	r = file_rename(tmp->dirfd, image ? name : "tree", st->rootfd, path, 0);
	if (r < 0 &&
	    (image || (r != -ENOTEMPTY && r != -EEXIST))) /* a whole tree of no row will do as well */
		return err_sys(e, -r, "%s/%s", st->root, path);
	r = store__sync_dir(st, "layers", e);
	return r < 0 ? r : insert_row(st, res, e);
}

static int recipe_open(struct layer_put *p, struct store__tmp *tmp, struct err *e)
{
	if (p->in->upper_dirfd >= 0)
		return 0;
	p->recipe_fd = file_open(tmp->dirfd, "recipe", O_RDWR | O_CREAT | O_EXCL, 0600);
	return p->recipe_fd < 0 ? err_sys(e, -p->recipe_fd, "temporary file") : 0;
}

int store__layer_put(struct store *st, const struct store__layer_input *in, char *ret_diff_id, struct err *e)
{
	__attribute__((cleanup(store__tmp_fini))) struct store__tmp tmp = STORE_TMP_NONE;
	struct layer_put p = { .in = in, .recipe_fd = -1 };
	struct stream_feed feeder = { .write = feed, .arg = &p };
	struct layer_result res = { 0 };
	int fd, r = store__writing(st, e);

	if (r >= 0)
		r = store__tmp_new(&tmp, st, e);
	if (r >= 0)
		r = recipe_open(&p, &tmp, e);
	if (r < 0)
		return r;
	fd = stream_feed_start(&feeder, e);
	if (fd >= 0) {
		r = build(&p, fd, &tmp, &res, e);
		close(fd);
		r = stream_feed_end(&feeder, r, e);
		if (r >= 0)
			r = expected_check(&p, &res, e);
		if (r >= 0)
			r = install(st, &p, &tmp, &res, e);
	} else {
		r = fd;
	}
	guard_close(&p.recipe_fd);
	if (r == -ENOSPC && e)
		err_set(e, ENOSPC, "%s: no space left for a layer; nothing was kept of it", st->root);
	if (r >= 0)
		str_copy(ret_diff_id, STORE_DIGEST_SIZE, res.diff_id);
	return r;
}

int store_layer_put(struct store *st, int fd, const char *expect_digest, char *ret_diff_id, struct err *e)
{
	struct store__layer_input in = { .fd = fd, .upper_dirfd = -1, .expect_any = expect_digest };

	if (expect_digest && !digest_valid(expect_digest))
		return err_set(e, EINVAL, "layer '%s': not a digest", expect_digest);
	return store__layer_put(st, &in, ret_diff_id, e);
}

static bool dir_is_empty(int dirfd)
{
	int fd = file_open(dirfd, ".", O_RDONLY | O_DIRECTORY, 0);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *de;

	if (!d) {
		guard_close(&fd);
		return false;
	}
	while ((de = readdir(d)) && (str_eq(de->d_name, ".") || str_eq(de->d_name, "..")))
		;
	closedir(d);
	return !de;
}

int store_layer_from_upper(struct store *st, int upper_dirfd, char *ret_diff_id, bool *ret_empty,
			   struct err *e)
{
	struct store__layer_input in = { .fd = -1, .upper_dirfd = upper_dirfd };
	const bool empty = dir_is_empty(upper_dirfd);
	int r;

	if (empty) { /* a step that changed nothing makes no layer */
		*ret_empty = true;
		ret_diff_id[0] = '\0';
		return 0;
	}
	r = store__layer_put(st, &in, ret_diff_id, e);
	if (r >= 0)
		*ret_empty = false;
	return r;
}

/* --- and back ------------------------------------------------------------------------------------------- */

int store__layer_tar(struct store *st, const char *diff_id, bool canonical,
		     int (*write)(void *arg, const void *bytes, size_t len, struct err *e), void *arg,
		     struct err *e)
{
	char path[LAYER_PATH_SIZE];
	auto_close int root = store__layer_open(st, diff_id, e);
	auto_close int recipe = -1;
	struct tarout out;
	int r;

	if (root < 0)
		return root;
	recipe = file_open(st->rootfd, layer_path(diff_id, "recipe", path), O_RDONLY | O_NOFOLLOW, 0);
	if (recipe >= 0 && !canonical) {
		r = recipe_replay(recipe, root, write, arg, e);
		return r < 0 ? err_wrap(e, r, "layer %.19s", diff_id) : 0;
	}
	tarout_init(&out, write, arg);
	r = tartree_write(&out, root, "", TARTREE_LAYER | (user_flags() ? TARTREE_USERXATTR : 0), e);
	if (r >= 0)
		r = tarout_end(&out, e);
	tarout_fini(&out);
	return r < 0 ? err_wrap(e, r, "layer %.19s", diff_id) : 0;
}
