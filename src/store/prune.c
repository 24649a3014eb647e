/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/guard.h"
#include "fmt/digest.h"
#include "store/store_internal.h"
#include "sys/file.h"

enum { DEPTH_MAX = 512 };

static uint64_t dir_bytes(int fd, int depth)
{
	DIR *d = fdopendir(fd);
	struct dirent *de;
	uint64_t sum = 0;

	if (!d) {
		close(fd);
		return 0;
	}
	while (depth < DEPTH_MAX && (de = readdir(d))) {
		struct stat item;

		if (str_eq(de->d_name, ".") || str_eq(de->d_name, "..") ||
		    file_fstatat(dirfd(d), de->d_name, &item, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		sum += (uint64_t)item.st_blocks * 512;
		if (S_ISDIR(item.st_mode)) {
			int sub = file_open(dirfd(d), de->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);

			sum += sub < 0 ? 0 : dir_bytes(sub, depth + 1);
		}
	}
	closedir(d);
	return sum;
}

uint64_t store__disk_bytes(int dirfd, const char *name)
{
	struct stat item;
	uint64_t sum;
	int fd;

	if (file_fstatat(dirfd, name, &item, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	sum = (uint64_t)item.st_blocks * 512;
	if (!S_ISDIR(item.st_mode))
		return sum;
	fd = file_open(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	return fd < 0 ? sum : sum + dir_bytes(fd, 0);
}

/* --- files that no row names ---------------------------------------------------------------------------- */

static int row_exists(struct store *st, const char *sql, const char *digest, struct err *e)
{
	sqlite3_stmt *q = store__query(st, e, sql, "s", digest);
	int r = store__step(st, q, e);

	if (r > 0)
		sqlite3_reset(q);
	return r;
}

/* digest_of_file() - "<64 hex>" with or without a suffix, as a digest; false: not one of our names. */
static bool digest_of_file(const char *name, char *dst)
{
	char hex[65];

	if (strlen(name) < 64 || (name[64] && name[64] != '.'))
		return false;
	str_format(hex, sizeof(hex), "%.64s", name);
	str_format(dst, STORE_DIGEST_SIZE, "sha256:%s", hex);
	return digest_valid(dst);
}

struct unnamed {
	const char *dir; /* below the root */
	const char *sql; /* one row when the digest is named */
};

static const struct unnamed unnamed_layers = {
	"layers",
	"SELECT 1 FROM layer WHERE diff_id = ?",
};
static const struct unnamed unnamed_blobs = {
	"blobs/sha256",
	"SELECT 1 FROM image WHERE id = ?1 OR manifest = ?1",
};

static int remove_unnamed(struct store *st, const struct unnamed *u, uint64_t *freed, struct err *e)
{
	int fd = file_open(st->rootfd, u->dir, O_RDONLY | O_DIRECTORY, 0);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *de;
	int r = 0;

	if (!d) {
		guard_close(&fd);
		return fd == -ENOENT ? 0 : err_sys(e, fd < 0 ? -fd : ENOMEM, "%s/%s", st->root, u->dir);
	}
	while (r >= 0 && (de = readdir(d))) {
		char digest[STORE_DIGEST_SIZE];
		uint64_t bytes;

		if (de->d_name[0] == '.')
			continue;
		if (digest_of_file(de->d_name, digest)) {
			r = row_exists(st, u->sql, digest, e);
			if (r != 0)
				continue;
		}
		bytes = store__disk_bytes(dirfd(d), de->d_name);
		r = file_remove_tree(dirfd(d), de->d_name, e);
		if (r >= 0)
			*freed += bytes;
	}
	closedir(d);
	return r < 0 ? r : 0;
}

/* collect_rows() - layer rows that neither an image nor the build cache needs. */
static int collect_rows(struct store *st, struct strv *told, struct err *e)
{
	static const char unused[] =
		"SELECT diff_id FROM layer WHERE diff_id NOT IN (SELECT diff_id FROM image_layer)"
		" AND diff_id NOT IN (SELECT diff_id FROM cache)";
	auto_fini(strv) struct strv ids = { 0 };
	sqlite3_stmt *q;
	int r = store__begin_durable(st, e);

	if (r < 0)
		return r;
	q = store__query(st, e, unused, "");
	while ((r = store__step(st, q, e)) > 0)
		strv_add(&ids, store__text(q, 0));
	if (r >= 0 && strv_finish(&ids) < 0)
		r = err_sys(e, ENOMEM, "layers");
	for (size_t i = 0; i < ids.len && r >= 0; i++)
		r = store__run(st, e, "DELETE FROM layer WHERE diff_id = ?", "s", ids.item[i]);
	if (r < 0) {
		store_rollback(st);
		return r;
	}
	r = store_commit(st, e);
	for (size_t i = 0; told && i < ids.len && r >= 0; i++)
		strv_addf(told, "Deleted: %s", ids.item[i]);
	return r;
}

int store__collect(struct store *st, struct strv *told, uint64_t *freed, struct err *e)
{
	int r = store__alone(st, e);

	if (r <= 0)
		return r;
	r = collect_rows(st, told, e);
	if (r >= 0)
		r = remove_unnamed(st, &unnamed_layers, freed, e);
	if (r >= 0)
		r = remove_unnamed(st, &unnamed_blobs, freed, e);
	store__alone_end(st);
	return r;
}

/* --- prune ---------------------------------------------------------------------------------------------- */

struct doomed {
	struct store *st;
	bool all;
	struct strv ids;
};

static int doom(void *arg, const struct image *im)
{
	struct doomed *x = arg;
	char by[128];

	if (im->tags.len > 0 && !x->all)
		return 0;
	if (!x->st->in_use || !x->st->in_use(x->st->in_use_arg, im->id, by, sizeof(by)))
		strv_add(&x->ids, im->id);
	return 0;
}

static int prune_images(struct store *st, bool all, struct strv *told, struct err *e)
{
	struct doomed x = { .st = st, .all = all };
	int r = store_image_each(st, doom, &x, e);

	for (size_t i = 0; i < x.ids.len && r >= 0; i++) {
		r = store_image_remove(st, x.ids.item[i], true, told, e);
		if (r == -ENOENT)
			r = 0;
	}
	strv_fini(&x.ids);
	return r;
}

struct volume_list {
	struct store *st;
	struct strv names;
	uint64_t bytes, n;
};

static int volume_sum(void *arg, const char *name, const char *path)
{
	struct volume_list *x = arg;

	x->bytes += store__disk_bytes(AT_FDCWD, path);
	x->n++;
	strv_add(&x->names, name);
	return 0;
}

/* is_anonymous() - made for one container, not named by a person: 64 hex digits. */
static bool is_anonymous(const char *name)
{
	return strlen(name) == 64 && strspn(name, "0123456789abcdef") == 64;
}

/* prune_volumes() - anonymous ones that nobody uses; what a person has named only the person removes. */
static int prune_volumes(struct store *st, struct strv *told, uint64_t *freed, struct err *e)
{
	struct volume_list x = { .st = st };
	int r = store_volume_each(st, volume_sum, &x, e);

	for (size_t i = 0; i < x.names.len && r >= 0; i++) {
		auto_free char *path = str_printf("volumes/%s", x.names.item[i]);
		char by[128];
		uint64_t bytes;

		if (!path || !is_anonymous(x.names.item[i]) ||
		    st->volume_in_use(st->volume_in_use_arg, x.names.item[i], by, sizeof(by)))
			continue;
		bytes = store__disk_bytes(st->rootfd, path);
		r = store_volume_remove(st, x.names.item[i], e);
		if (r >= 0) {
			*freed += bytes;
			if (told)
				strv_addf(told, "Deleted: volume %s", x.names.item[i]);
		}
	}
	strv_fini(&x.names);
	return r;
}

int store_prune(struct store *st, bool all, bool cache, bool volumes, struct strv *told, uint64_t *ret_freed,
		struct err *e)
{
	uint64_t before = store__disk_bytes(st->rootfd, "layers") + store__disk_bytes(st->rootfd, "blobs");
	uint64_t after, freed = 0, ignored = 0;
	int r = 0;

	if (volumes && !st->volume_in_use) /* never guess: what is in there is somebody's data */
		return err_set(e, EOPNOTSUPP, "prune: nobody here can tell which volumes are in use");
	store__tmp_sweep(st);
	store_reserve_use(st);
	if (cache)
		r = store__run(st, e, "DELETE FROM cache", "");
	if (r >= 0)
		r = prune_images(st, all, told, e);
	if (r >= 0)
		r = store__collect(st, told, &ignored, e);
	after = store__disk_bytes(st->rootfd, "layers") + store__disk_bytes(st->rootfd, "blobs");
	freed = before > after ? before - after : 0;
	if (r >= 0 && volumes)
		r = prune_volumes(st, told, &freed, e);
	if (r >= 0 && ret_freed)
		*ret_freed = freed;
	store_reserve_keep(st);
	return r;
}

/* --- accounting ----------------------------------------------------------------------------------------- */

static int sum_of(struct store *st, const char *sql, uint64_t *ret_n, uint64_t *ret_sum, struct err *e)
{
	sqlite3_stmt *q = store__query(st, e, sql, "");
	int r = store__step(st, q, e);

	if (r <= 0)
		return r;
	*ret_n = (uint64_t)sqlite3_column_int64(q, 0);
	*ret_sum = (uint64_t)sqlite3_column_int64(q, 1);
	sqlite3_reset(q);
	return 0;
}

/* reclaimable() - stored bytes of layers that only images nobody runs need. */
static int reclaimable(struct store *st, uint64_t *ret_bytes, struct err *e)
{
	struct doomed x = { .st = st, .all = true };
	uint64_t n;
	int r = store_image_each(st, doom, &x, e);

	if (r >= 0)
		r = store_exec(st, e,
			       "CREATE TEMP TABLE IF NOT EXISTS idle(id TEXT PRIMARY KEY); DELETE FROM idle");
	for (size_t i = 0; i < x.ids.len && r >= 0; i++)
		r = store__run(st, e, "INSERT INTO idle VALUES(?)", "s", x.ids.item[i]);
	strv_fini(&x.ids);
	if (r < 0)
		return r;
	return sum_of(st,
		      "SELECT count(*), coalesce(sum(stored_bytes), 0) FROM layer WHERE"
		      " diff_id IN (SELECT diff_id FROM image_layer) AND diff_id NOT IN"
		      " (SELECT diff_id FROM image_layer WHERE image NOT IN (SELECT id FROM idle))",
		      &n, ret_bytes, e);
}

int store_usage(struct store *st, struct store_usage *ret_u, struct err *e)
{
	struct volume_list x = { .st = st };
	struct store_usage u = { 0 };
	uint64_t ignored;
	int r = sum_of(st,
		       "SELECT (SELECT count(*) FROM image), coalesce(sum(stored_bytes), 0) FROM layer WHERE "
		       "diff_id IN"
		       " (SELECT diff_id FROM image_layer)",
		       &u.images, &u.images_bytes, e);

	if (r >= 0)
		r = reclaimable(st, &u.images_reclaimable, e);
	if (r >= 0)
		r = sum_of(st, "SELECT count(*), 0 FROM cache", &u.cache, &ignored, e);
	if (r >= 0) /* what the cache alone keeps */
		r = sum_of(
			st,
			"SELECT count(*), coalesce(sum(stored_bytes), 0) FROM layer WHERE diff_id IN"
			" (SELECT diff_id FROM cache) AND diff_id NOT IN (SELECT diff_id FROM image_layer)",
			&ignored, &u.cache_bytes, e);
	if (r >= 0)
		r = store_volume_each(st, volume_sum, &x, e);
	strv_fini(&x.names);
	u.volumes = x.n;
	u.volumes_bytes = x.bytes;
	if (r >= 0)
		*ret_u = u;
	return r;
}
