/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/guard.h"
#include "runtime/runtime_internal.h"
#include "sys/file.h"
#include "sys/sock.h"

static const char schema[] =
	"CREATE TABLE IF NOT EXISTS instance(id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, image TEXT NOT "
	"NULL,"
	" image_id TEXT NOT NULL, created_ns INTEGER NOT NULL, config TEXT NOT NULL) WITHOUT ROWID;";

static sqlite3_stmt *query(struct runtime *rt, struct err *e, const char *sql, const char *types, va_list ap)
{
	sqlite3_stmt *q = store_prepare(rt->store, sql, e);

	for (int i = 0; q && types[i]; i++) {
		if (types[i] == 'i')
			sqlite3_bind_int64(q, i + 1, va_arg(ap, int64_t));
		else
			sqlite3_bind_text(q, i + 1, va_arg(ap, const char *), -1, SQLITE_TRANSIENT);
	}
	return q;
}

sqlite3_stmt *runtime__query(struct runtime *rt, struct err *e, const char *sql, const char *types, ...)
{
	sqlite3_stmt *q;
	va_list ap;

	va_start(ap, types);
	q = query(rt, e, sql, types, ap);
	va_end(ap);
	return q;
}

int runtime__step(struct runtime *rt, sqlite3_stmt *q, struct err *e)
{
	int rc;

	if (!q)
		return e && e->code ? -e->code : -EIO;
	rc = sqlite3_step(q);
	if (rc == SQLITE_ROW)
		return 1;
	if (rc == SQLITE_DONE) {
		sqlite3_reset(q);
		return 0;
	}
	err_set(e,
		(rc & 0xff) == SQLITE_CONSTRAINT ? EEXIST :
		(rc & 0xff) == SQLITE_FULL       ? ENOSPC :
						   EIO,
		"%s/hull.db: %s", rt->root, sqlite3_errmsg(store_db(rt->store)));
	sqlite3_reset(q);
	return (rc & 0xff) == SQLITE_CONSTRAINT ? -EEXIST : (rc & 0xff) == SQLITE_FULL ? -ENOSPC : -EIO;
}

int runtime__run(struct runtime *rt, struct err *e, const char *sql, const char *types, ...)
{
	struct err mine = { 0 };
	sqlite3_stmt *q;
	va_list ap;
	int r;

	va_start(ap, types);
	q = query(rt, e ? e : &mine, sql, types, ap);
	va_end(ap);
	r = runtime__step(rt, q, e ? e : &mine);
	if (q)
		sqlite3_reset(q);
	return r < 0 ? r : 0;
}

/* image_in_use() - rmi and prune ask: which instance was made from it? */
static bool image_in_use(void *arg, const char *image_id, char *ret_by, size_t size)
{
	struct runtime *rt = arg;
	sqlite3_stmt *q =
		runtime__query(rt, NULL, "SELECT id FROM instance WHERE image_id = ? LIMIT 1", "s", image_id);
	bool found = q && runtime__step(rt, q, NULL) == 1;

	if (found)
		str_format(ret_by, size, "%.12s", (const char *)sqlite3_column_text(q, 0));
	if (q)
		sqlite3_reset(q);
	return found;
}

/* volume_in_use() - which instance mounts it? "Name" is what JSON text has in front of a volume's, and of
 * nothing else's of this form. */
static bool volume_in_use(void *arg, const char *volume, char *ret_by, size_t size)
{
	struct runtime *rt = arg;
	auto_free char *part = str_printf("\"Name\":\"%s\",\"Driver\":", volume);
	sqlite3_stmt *q =
		part ? runtime__query(rt, NULL, "SELECT id FROM instance WHERE instr(config, ?) LIMIT 1", "s",
				      part) :
		       NULL;
	int r = q ? runtime__step(rt, q, NULL) : -ENOMEM;

	str_format(ret_by, size, "%.12s", r == 1 ? (const char *)sqlite3_column_text(q, 0) : "");
	if (q)
		sqlite3_reset(q);
	return r != 0; /* who cannot be asked is not overruled */
}

static int run_dir_open(struct runtime *rt, struct err *e)
{
	rt->run_fd = file_open(AT_FDCWD, rt->run_root, O_RDONLY | O_DIRECTORY, 0);
	if (rt->run_fd == -ENOENT) {
		int r = file_mkdirs(AT_FDCWD, rt->run_root, 0700);

		if (r < 0)
			return err_sys(e, -r, "run directory '%s'", rt->run_root);
		rt->run_fd = file_open(AT_FDCWD, rt->run_root, O_RDONLY | O_DIRECTORY, 0);
	}
	if (rt->run_fd < 0)
		return err_sys(e, -rt->run_fd, "run directory '%s'", rt->run_root);
	for (int i = 0; i < 2; i++) {
		int r = file_mkdir(rt->run_fd, i ? RUNTIME_LEVEL_DIR : RUNTIME_SHIM_DIR, 0700);

		if (r < 0)
			return err_sys(e, -r, "run directory '%s'", rt->run_root);
	}
	return 0;
}

/* default_dir() - where a root of ours is when nobody says; an unprivileged user has it in his own places. */
static char *default_dir(const char *root, const char *env, const char *below_home)
{
	const char *base = getenv(env), *home = getenv("HOME");

	if (geteuid() == 0)
		return strdup(root);
	if (base && *base == '/')
		return str_printf("%s/hull", base);
	if (below_home && home && *home == '/')
		return str_printf("%s/%s/hull", home, below_home);
	return str_printf("/tmp/hull-%u", (unsigned)geteuid());
}

static char *absolute(const char *path)
{
	auto_free char *here = NULL;

	if (*path == '/')
		return strdup(path);
	here = getcwd(NULL, 0);
	return here ? str_printf("%s/%s", here, path) : NULL;
}

int runtime_roots(const char *root, const char *run_root, char **ret_root, char **ret_run_root, struct err *e)
{
	auto_free char *own =
		root ? absolute(root) : default_dir("/var/lib/hull", "XDG_DATA_HOME", ".local/share");
	/* A root of one's own has its own run directory, so that `--root` alone keeps two of them apart. */
	auto_free char *run = run_root    ? absolute(run_root) :
			      root && own ? str_printf("%s/run", own) :
					    default_dir("/run/hull", "XDG_RUNTIME_DIR", NULL);

	if (!own || !run)
		return err_sys(e, ENOMEM, "open the store");
	*ret_root = TAKE_PTR(own);
	*ret_run_root = TAKE_PTR(run);
	return 0;
}

int runtime_open(struct runtime **ret_rt, const char *root, const char *run_root, struct err *e)
{
	struct runtime *rt = calloc(1, sizeof(*rt));
	int r;

	if (!rt)
		return err_sys(e, ENOMEM, "open the store");
	rt->run_fd = rt->fresh_lock = -1;
	r = runtime_roots(root, run_root, &rt->root, &rt->run_root, e);
	if (r >= 0 && !(rt->levels = str_printf("%s/%s", rt->run_root, RUNTIME_LEVEL_DIR)))
		r = err_sys(e, ENOMEM, "open the store");
	if (r >= 0)
		r = store_open(&rt->store, rt->root, e);
	if (r >= 0)
		r = run_dir_open(rt, e);
	if (r >= 0)
		r = store_exec(rt->store, e, schema);
	if (r < 0) {
		runtime_close(rt);
		return r;
	}
	store_set_in_use(rt->store, image_in_use, rt);
	store_set_volume_in_use(rt->store, volume_in_use, rt);
	*ret_rt = rt;
	return 0;
}

void runtime_close(struct runtime *rt)
{
	if (!rt)
		return;
	store_close(rt->store);
	fd_close(&rt->fresh_lock);
	instance_fini(&rt->fresh);
	fd_close(&rt->run_fd);
	free(rt->levels);
	free(rt->run_root);
	free(rt->root);
	free(rt);
}

struct store *runtime_store(struct runtime *rt)
{
	return rt->store;
}

char *runtime__path(const struct runtime *rt, const char *id)
{
	return str_printf("%s/instances/%s", rt->root, id);
}

int runtime__dir(const struct runtime *rt, const char *id, struct err *e)
{
	char path[16 + INSTANCE_ID_SIZE];
	int fd;

	str_format(path, sizeof(path), "instances/%s", id);
	fd = file_open(store_rootfd(rt->store), path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	return fd < 0 ? err_sys(e, -fd, "%s/%s", rt->root, path) : fd;
}

/* is_in_place() - is @dirfd still one of the instances, not trash? */
static bool is_in_place(const struct runtime *rt, int dirfd)
{
	struct stat above, all;

	return file_fstatat(dirfd, "..", &above, 0) == 0 &&
	       file_fstatat(store_rootfd(rt->store), "instances", &all, 0) == 0 &&
	       above.st_ino == all.st_ino && above.st_dev == all.st_dev;
}

int runtime__lock(const struct runtime *rt, int dirfd, bool wait, struct err *e)
{
	auto_close int fd = file_open(dirfd, INSTANCE_LOCK, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
	struct stat st;
	int r = fd < 0 ? fd : file_lock(fd, true, wait);

	if (r < 0)
		return r == -EWOULDBLOCK ? r : err_sys(e, -r, "lock the instance");
	/* Whoever held it before may have removed the instance: what we locked is then gone, or trash. */
	if (fstat(fd, &st) < 0 || st.st_nlink == 0 || !is_in_place(rt, dirfd))
		return err_set(e, ENOENT, "the instance has just been removed");
	return TAKE_FD(fd);
}

int runtime__lock_of(struct runtime *rt, const char *id, int dirfd, struct err *e)
{
	return rt->fresh_lock >= 0 && str_eq(rt->fresh.id, id) ? TAKE_FD(rt->fresh_lock) :
								 runtime__lock(rt, dirfd, true, e);
}

const char *runtime__run_path(const char *id, char *dst)
{
	str_format(dst, RUN_PATH_SIZE, RUNTIME_SHIM_DIR "/%s", id);
	return dst;
}

static const char *trash_path(const char *id, char *dst)
{
	str_format(dst, RUN_PATH_SIZE, RUNTIME_TRASH_DIR "/%s", id);
	return dst;
}

void runtime__run_discard(int run_fd, int own_fd, const char *id)
{
	char from[RUN_PATH_SIZE], to[RUN_PATH_SIZE];
	int r = file_lock(own_fd, true, false);

	runtime__run_path(id, from);
	trash_path(id, to);
	if (r == 0)
		r = file_rename(run_fd, from, run_fd, to, RENAME_NOREPLACE);
	if (r == -ENOENT) { /* the first one makes the place */
		file_mkdir(run_fd, RUNTIME_TRASH_DIR, 0700);
		r = file_rename(run_fd, from, run_fd, to, RENAME_NOREPLACE);
	}
	if (r < 0)
		file_remove_tree(run_fd, from, NULL);
}

void runtime__run_delete(int run_fd, const char *id)
{
	char path[RUN_PATH_SIZE];

	file_remove_tree(run_fd, trash_path(id, path), NULL);
}

int runtime__shim(const struct runtime *rt, const char *id)
{
	char path[RUN_PATH_SIZE + 8];

	str_format(path, sizeof(path), RUNTIME_SHIM_DIR "/%s/" INSTANCE_SOCKET, id);
	return sock_connect_at(rt->run_fd, path, SOCK_SEQPACKET);
}

pid_t runtime__shim_pid(const struct runtime *rt, const char *id)
{
	auto_close int sock = runtime__shim(rt, id);
	pid_t pid = 0;

	return sock >= 0 && sock_peer_pid(sock, &pid) == 0 ? pid : 0;
}
