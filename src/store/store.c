/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * Files come first, rows second. A blob or layer is written under <root>/tmp, synced and renamed into place;
 * only then a transaction names it. Killed in between, a command leaves a file that no row names, which the
 * next prune removes. A row goes before its file.
 *
 * <root>/lock (flock, gone with its holder) keeps the two apart: whoever puts files holds it shared from the
 * first put to store_close(), whoever removes unnamed ones holds it exclusively, or leaves them for later.
 *
 * Opening must be cheap, since every command does it: one open, one read of user_version. The last command to
 * close does not fold the write-ahead log back into the database (that would sync twice); the log is kept
 * short instead, because the next command reads it to the end.
 */
#include "store/store.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/statvfs.h>
#include <time.h>

#include "base/err.h"
#include "base/guard.h"
#include "fmt/digest.h"
#include "store/store_internal.h"
#include "sys/file.h"

#define RESERVE "reserve"

enum {
	BUSY_WAIT_MS = 30000,
	LOG_PAGES_MAX = 100, /* of the write-ahead log; reading 100 costs about 0.2 ms */
	TMP_TRIES = 16,
	RESERVE_BYTES = 1 << 20, /* more than the write-ahead log grows before it begins anew */
};

/*
 * migration[n] takes a database from version n to n + 1; it never changes once released.
 * layer.exact: can its tar be made again byte for byte? 1 yes, -1 no, 0 nobody tried yet. image_layer.diff_id
 * and cache.diff_id keep a layer; tag.image keeps a name.
 */
static const char *const migration[] = {
	"CREATE TABLE layer(diff_id TEXT PRIMARY KEY, tar_bytes INTEGER NOT NULL, stored_bytes INTEGER NOT "
	"NULL,"
	" exact INTEGER NOT NULL, added_ns INTEGER NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE image(id TEXT PRIMARY KEY, manifest TEXT NOT NULL, created_ns INTEGER NOT NULL,"
	" added_ns INTEGER NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE image_layer(image TEXT NOT NULL, position INTEGER NOT NULL, diff_id TEXT NOT NULL,"
	" PRIMARY KEY(image, position)) WITHOUT ROWID;"
	"CREATE INDEX image_layer_diff ON image_layer(diff_id);"
	"CREATE TABLE tag(name TEXT PRIMARY KEY, image TEXT NOT NULL) WITHOUT ROWID;"
	"CREATE INDEX tag_image ON tag(image);"
	"CREATE TABLE cache(key TEXT PRIMARY KEY, diff_id TEXT NOT NULL, config TEXT NOT NULL,"
	" used_ns INTEGER NOT NULL) WITHOUT ROWID;"
	"CREATE INDEX cache_diff ON cache(diff_id);",
};

enum { SCHEMA_VERSION = sizeof(migration) / sizeof(migration[0]) };

/* busy_wait() - SQLite's own handler sleeps up to 100 ms at a time; commands here hold the database for
 * microseconds. */
static int busy_wait(void *arg, int tries)
{
	long us = tries < 10 ? 200 : tries < 100 ? 1000 : 5000;
	struct timespec nap = { .tv_nsec = us * 1000 };

	(void)arg;
	if (tries > 100 && tries - 100 > BUSY_WAIT_MS / 5)
		return 0;
	nanosleep(&nap, NULL);
	return 1;
}

static int sql_errno(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB: return EBADMSG;
	case SQLITE_FULL: return ENOSPC;
	case SQLITE_BUSY:
	case SQLITE_LOCKED: return EBUSY;
	case SQLITE_NOMEM: return ENOMEM;
	case SQLITE_READONLY: return EROFS;
	case SQLITE_PERM:
	case SQLITE_AUTH: return EACCES;
	case SQLITE_CONSTRAINT: return EEXIST;
	default: return EIO;
	}
}

static int sql_error(struct store *st, int rc, struct err *e)
{
	int code = sql_errno(rc), sys = st->db ? sqlite3_system_errno(st->db) : 0;

	if (code == EBADMSG)
		return err_set(e, code,
			       "%s/hull.db: damaged (%s): move it away to start afresh, the images must be "
			       "loaded or "
			       "built again",
			       st->root, sqlite3_errstr(rc));
	if (code == EIO && sys)
		return err_sys(e, sys, "%s/hull.db", st->root);
	if (code == EBUSY)
		return err_set(e, code, "%s/hull.db: another command has held it for %d s", st->root,
			       BUSY_WAIT_MS / 1000);
	return err_set(e, code, "%s/hull.db: %s", st->root,
		       st->db ? sqlite3_errmsg(st->db) : sqlite3_errstr(rc));
}

int store_exec(struct store *st, struct err *e, const char *sql)
{
	int rc = sqlite3_exec(st->db, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : sql_error(st, rc, e);
}

int store_begin(struct store *st, struct err *e)
{
	int r = st->depth > 0 ? 0 : store_exec(st, e, "BEGIN IMMEDIATE");

	if (r >= 0)
		st->depth++;
	return r;
}

int store__begin_durable(struct store *st, struct err *e)
{
	if (st->depth == 0 && !st->durable) {
		int r = store_exec(st, e, "PRAGMA synchronous=FULL");

		if (r < 0)
			return r;
		st->durable = true;
	}
	return store_begin(st, e);
}

static void durable_end(struct store *st)
{
	if (st->durable && st->depth == 0 && store_exec(st, NULL, "PRAGMA synchronous=NORMAL") == 0)
		st->durable = false;
}

int store_commit(struct store *st, struct err *e)
{
	int r = 0;

	if (st->depth > 1) {
		st->depth--;
		return 0;
	}
	r = store_exec(st, e, "COMMIT");
	if (r < 0) {
		store_rollback(st);
		return r;
	}
	st->depth = 0;
	durable_end(st);
	return 0;
}

void store_rollback(struct store *st)
{
	if (!sqlite3_get_autocommit(st->db))
		store_exec(st, NULL, "ROLLBACK");
	st->depth = 0;
	durable_end(st);
}

sqlite3_stmt *store_prepare(struct store *st, const char *sql, struct err *e)
{
	sqlite3_stmt *q;
	int rc;

	for (size_t i = 0; i < st->n_statements; i++)
		if (st->statement[i].sql == sql || str_eq(sqlite3_sql(st->statement[i].stmt), sql)) {
			sqlite3_reset(st->statement[i].stmt);
			sqlite3_clear_bindings(st->statement[i].stmt);
			return st->statement[i].stmt;
		}
	if (st->n_statements == STORE_STATEMENT_MAX) { /* the oldest makes room */
		sqlite3_finalize(st->statement[0].stmt);
		memmove(st->statement, st->statement + 1, sizeof(st->statement[0]) * --st->n_statements);
	}
	rc = sqlite3_prepare_v3(st->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &q, NULL);
	if (rc != SQLITE_OK) {
		sql_error(st, rc, e);
		return NULL;
	}
	st->statement[st->n_statements].sql = sqlite3_sql(q);
	st->statement[st->n_statements++].stmt = q;
	return q;
}

static sqlite3_stmt *query(struct store *st, struct err *e, const char *sql, const char *types, va_list ap)
{
	sqlite3_stmt *q = store_prepare(st, sql, e);
	int rc = SQLITE_OK;

	for (int i = 0; q && types[i] && rc == SQLITE_OK; i++) {
		if (types[i] == 'i')
			rc = sqlite3_bind_int64(q, i + 1, va_arg(ap, int64_t));
		else
			rc = sqlite3_bind_text(q, i + 1, va_arg(ap, const char *), -1, SQLITE_TRANSIENT);
	}
	if (rc != SQLITE_OK) {
		sql_error(st, rc, e);
		return NULL;
	}
	return q;
}

sqlite3_stmt *store__query(struct store *st, struct err *e, const char *sql, const char *types, ...)
{
	sqlite3_stmt *q;
	va_list ap;

	va_start(ap, types);
	q = query(st, e, sql, types, ap);
	va_end(ap);
	return q;
}

int store__step(struct store *st, sqlite3_stmt *q, struct err *e)
{
	int rc, r;

	if (!q)
		return e && e->code ? -e->code : -EIO;
	rc = sqlite3_step(q);
	if (rc == SQLITE_ROW)
		return 1;
	r = rc == SQLITE_DONE ? 0 : sql_error(st, rc, e);
	sqlite3_reset(q); /* no read transaction stays open */
	return r;
}

int store__run(struct store *st, struct err *e, const char *sql, const char *types, ...)
{
	struct err mine = { 0 };
	sqlite3_stmt *q;
	va_list ap;
	int r;

	va_start(ap, types);
	q = query(st, e ? e : &mine, sql, types, ap);
	va_end(ap);
	r = store__step(st, q, e ? e : &mine);
	if (r > 0)
		sqlite3_reset(q);
	return r < 0 ? r : 0;
}

const char *store__text(sqlite3_stmt *q, int column)
{
	const unsigned char *text = sqlite3_column_text(q, column);

	return text ? (const char *)text : "";
}

static uint64_t room(const struct store *st)
{
	struct statvfs fs;

	return fstatvfs(st->rootfd, &fs) < 0 ? 0 : (uint64_t)fs.f_bavail * fs.f_frsize;
}

void store_reserve_keep(struct store *st)
{
	struct stat there;
	int fd;

	if (file_fstatat(st->rootfd, RESERVE, &there, AT_SYMLINK_NOFOLLOW) == 0 ||
	    room(st) < 4UL * RESERVE_BYTES)
		return;
	fd = file_open(st->rootfd, RESERVE, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
	if (fd >= 0 && fallocate(fd, 0, 0, RESERVE_BYTES) < 0)
		file_unlink(st->rootfd, RESERVE, 0);
	guard_close(&fd);
}

void store_reserve_use(struct store *st)
{
	if (room(st) < RESERVE_BYTES)
		file_unlink(st->rootfd, RESERVE, 0);
}

static int schema_version(struct store *st, struct err *e)
{
	sqlite3_stmt *q = NULL;
	int rc = sqlite3_prepare_v2(st->db, "PRAGMA user_version", -1, &q, NULL);
	int version = 0;

	if (rc == SQLITE_OK)
		rc = sqlite3_step(q);
	if (rc == SQLITE_ROW)
		version = sqlite3_column_int(q, 0);
	sqlite3_finalize(q);
	return rc == SQLITE_ROW ? version : sql_error(st, rc, e);
}

/* schema_migrate() - from whatever version stands there under the lock (two commands may get here at once) to
 * ours. */
static int schema_migrate(struct store *st, struct err *e)
{
	int r = store_exec(st, e, "PRAGMA journal_mode=WAL");
	int version;

	if (r >= 0)
		r = store__begin_durable(st, e);
	if (r < 0)
		return r;
	version = schema_version(st, e);
	r = version;
	for (; r >= 0 && version < SCHEMA_VERSION; version++)
		r = store_exec(st, e, migration[version]);
	if (r >= 0) {
		char set[48];

		str_format(set, sizeof(set), "PRAGMA user_version=%d", version);
		r = store_exec(st, e, set);
	}
	if (r < 0) {
		store_rollback(st);
		return r;
	}
	return store_commit(st, e);
}

static int make_dirs(struct store *st, struct err *e)
{
	static const char *const dir[] = { "blobs", "blobs/sha256", "layers", "instances", "volumes", "tmp" };

	for (size_t i = 0; i < sizeof(dir) / sizeof(dir[0]); i++) {
		int r = file_mkdir(st->rootfd, dir[i], 0700);

		if (r < 0)
			return err_sys(e, -r, "%s/%s", st->root, dir[i]);
	}
	return 0;
}

/*
 * database_exists() - a file that is there was begun by somebody; where there is none we begin, whatever else is there
 * The reserve is made when a database is finished: then one without our schema is not new but damaged.
 */
static bool database_exists(struct store *st)
{
	struct stat db;

	if (file_fstatat(st->rootfd, "hull.db", &db, AT_SYMLINK_NOFOLLOW) == 0)
		return true;
	file_unlink(st->rootfd, RESERVE, 0);
	return false;
}

static bool was_finished(struct store *st)
{
	struct stat reserve;

	return file_fstatat(st->rootfd, RESERVE, &reserve, AT_SYMLINK_NOFOLLOW) == 0;
}

static int database_open(struct store *st, struct err *e)
{
	auto_free char *path = str_printf("%s/hull.db", st->root);
	int rc, version, r = 0, on = 1;
	bool exists;

	if (!path)
		return err_set(e, ENOMEM, "%s: out of memory", st->root);
	exists = database_exists(st);
	rc = sqlite3_open_v2(path, &st->db,
			     SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
				     SQLITE_OPEN_NOFOLLOW,
			     NULL);
	if (rc != SQLITE_OK)
		return sql_error(st, rc, e);
	sqlite3_busy_handler(st->db, busy_wait, NULL);
	sqlite3_db_config(st->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	sqlite3_db_config(st->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_file_control(st->db, "main", SQLITE_FCNTL_PERSIST_WAL, &on);
	sqlite3_wal_autocheckpoint(st->db, LOG_PAGES_MAX);
	r = store_exec(st, e, "PRAGMA synchronous=NORMAL");
	if (r < 0)
		return r;
	version = schema_version(st, e);
	if (version < 0)
		return version;
	if (version > SCHEMA_VERSION)
		return err_set(e, EPROTO, "%s/hull.db: of a newer hull (format %d, this one knows %d)",
			       st->root, version, (int)SCHEMA_VERSION);
	if (version == SCHEMA_VERSION)
		return 0;
	if (version == 0 && exists && was_finished(st))
		return sql_error(st, SQLITE_NOTADB, e);
	r = make_dirs(st, e);
	if (r >= 0)
		r = schema_migrate(st, e);
	if (r >= 0)
		store_reserve_keep(st);
	return r;
}

static int root_open(struct store *st, const char *root, struct err *e)
{
	int r;

	st->root = strdup(root);
	if (!st->root)
		return err_set(e, ENOMEM, "%s: out of memory", root);
	st->rootfd = file_open(AT_FDCWD, root, O_RDONLY | O_DIRECTORY, 0);
	if (st->rootfd == -ENOENT) {
		r = file_mkdirs(AT_FDCWD, root, 0700);
		if (r < 0)
			return err_sys(e, -r, "store '%s'", root);
		st->rootfd = file_open(AT_FDCWD, root, O_RDONLY | O_DIRECTORY, 0);
	}
	return st->rootfd < 0 ? err_sys(e, -st->rootfd, "store '%s'", root) : 0;
}

int store_open(struct store **ret_st, const char *root, struct err *e)
{
	struct store *st = calloc(1, sizeof(*st));
	int r;

	if (!st)
		return err_set(e, ENOMEM, "store '%s': out of memory", root);
	st->rootfd = st->lockfd = -1;
	r = root_open(st, root, e);
	if (r >= 0)
		r = database_open(st, e);
	if (r < 0) {
		store_close(st);
		return r;
	}
	store__tmp_sweep(st);
	*ret_st = st;
	return 0;
}

void store_close(struct store *st)
{
	if (!st)
		return;
	for (size_t i = 0; i < st->n_statements; i++)
		sqlite3_finalize(st->statement[i].stmt);
	sqlite3_close(st->db);
	fd_close(&st->lockfd);
	fd_close(&st->rootfd);
	free(st->root);
	free(st);
}

const char *store_root(const struct store *st)
{
	return st->root;
}

int store_rootfd(const struct store *st)
{
	return st->rootfd;
}

sqlite3 *store_db(struct store *st)
{
	return st->db;
}

void store_set_in_use(struct store *st, store_in_use_fn fn, void *arg)
{
	st->in_use = fn;
	st->in_use_arg = arg;
}

void store_set_volume_in_use(struct store *st, store_in_use_fn fn, void *arg)
{
	st->volume_in_use = fn;
	st->volume_in_use_arg = arg;
}

static int lock_open(struct store *st, struct err *e)
{
	if (st->lockfd < 0)
		st->lockfd = file_open(st->rootfd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
	return st->lockfd < 0 ? err_sys(e, -st->lockfd, "%s/lock", st->root) : 0;
}

int store__writing(struct store *st, struct err *e)
{
	int r;

	if (st->writing)
		return 0;
	r = lock_open(st, e);
	if (r < 0)
		return r;
	r = file_lock(st->lockfd, false, true);
	if (r < 0)
		return err_sys(e, -r, "%s/lock", st->root);
	st->writing = true;
	return 0;
}

int store__alone(struct store *st, struct err *e)
{
	int r = lock_open(st, e);

	if (r < 0)
		return r;
	r = file_lock(st->lockfd, true, false);
	if (r == 0)
		return 1;
	store__alone_end(st); /* a conversion that fails loses the shared lock */
	return r == -EWOULDBLOCK ? 0 : err_sys(e, -r, "%s/lock", st->root);
}

void store__alone_end(struct store *st)
{
	if (st->writing)
		file_lock(st->lockfd, false, true);
	else
		fd_close(&st->lockfd);
}

/* tmp_try() - make, lock, and see that it is still ours: a sweep may have come between the two. */
static int tmp_try(struct store__tmp *t, struct store *st)
{
	struct stat by_name, by_fd;
	uint64_t random = 0;
	int r;

	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0)
		random = (uint64_t)time_now_ns(CLOCK_MONOTONIC);
	str_format(t->name, sizeof(t->name), "tmp/%llx", (unsigned long long)random);
	r = file_mkdir(st->rootfd, t->name, 0700);
	if (r < 0)
		return r;
	t->dirfd = file_open(st->rootfd, t->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (t->dirfd < 0)
		return t->dirfd == -ENOENT ? -EAGAIN : t->dirfd;
	r = file_lock(t->dirfd, true, false);
	if (r == 0 && file_fstatat(st->rootfd, t->name, &by_name, AT_SYMLINK_NOFOLLOW) == 0 &&
	    file_fstatat(t->dirfd, "", &by_fd, AT_EMPTY_PATH) == 0 && by_name.st_ino == by_fd.st_ino)
		return 0;
	fd_close(&t->dirfd);
	return r == 0 || r == -EWOULDBLOCK ? -EAGAIN : r;
}

int store__tmp_new(struct store__tmp *t, struct store *st, struct err *e)
{
	int r = -EAGAIN;

	for (int i = 0; i < TMP_TRIES && r == -EAGAIN; i++)
		r = tmp_try(t, st);
	if (r == -ENOENT) { /* somebody tidied up our directories */
		r = make_dirs(st, e);
		if (r >= 0)
			r = tmp_try(t, st);
	}
	if (r < 0)
		return err_sys(e, -r, "temporary directory in %s/tmp", st->root);
	t->st = st;
	return 0;
}

void store__tmp_fini(struct store__tmp *t)
{
	if (t->dirfd < 0)
		return;
	file_remove_tree(t->st->rootfd, t->name, NULL);
	fd_close(&t->dirfd);
}

void store__tmp_sweep(struct store *st)
{
	int fd = file_open(st->rootfd, "tmp", O_RDONLY | O_DIRECTORY, 0);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *de;

	if (!d) {
		guard_close(&fd);
		return;
	}
	while ((de = readdir(d))) {
		auto_close int item = -1;

		if (de->d_name[0] == '.' || str_starts(de->d_name, STORE_TMP_FOREIGN))
			continue;
		item = file_open(dirfd(d), de->d_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
		if (item >= 0 && file_lock(item, true, false) == 0)
			file_remove_tree(dirfd(d), de->d_name, NULL);
	}
	closedir(d);
}

int store__spool(struct store *st, struct err *e)
{
	struct store__tmp t = STORE_TMP_NONE;
	int fd = file_open(st->rootfd, "tmp", O_TMPFILE | O_RDWR, 0600);
	int r;

	if (fd >= 0)
		return fd;
	r = store__tmp_new(&t, st, e);
	if (r < 0)
		return r;
	fd = file_open(t.dirfd, "spool", O_RDWR | O_CREAT | O_EXCL, 0600);
	store__tmp_fini(&t); /* the name goes, the file stays ours */
	return fd < 0 ? err_sys(e, -fd, "temporary file in %s/tmp", st->root) : fd;
}

int store__sync_dir(struct store *st, const char *path, struct err *e)
{
	auto_close int fd = file_open(st->rootfd, path, O_RDONLY | O_DIRECTORY, 0);
	int r = fd < 0 ? fd : file_sync(fd);

	return r < 0 ? err_sys(e, -r, "%s/%s", st->root, path) : 0;
}

const char *store__hex(const char *digest)
{
	return strchr(digest, ':') + 1;
}

int store__digest_check(const char *what, const char *digest, struct err *e)
{
	enum digest_alg alg;

	if (!digest || digest_parse(digest, &alg, NULL) < 0)
		return err_set(e, EINVAL, "%s '%s': not a digest", what, digest ? digest : "");
	if (alg != DIGEST_SHA256)
		return err_set(e, EOPNOTSUPP, "%s '%.20s...': the store keeps sha256 digests only", what,
			       digest);
	return 0;
}
