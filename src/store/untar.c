/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Into and out of a live root: whatever runs there may swap directories for symlinks while we work. Every
 * name is resolved in the root by the kernel (RESOLVE_IN_ROOT), then only its last component is made or
 * opened, never followed, and all else happens on the descriptor of what we made. Modes and times of
 * directories come last, and only if they are still the directories we met.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "fmt/decomp.h"
#include "fmt/tar.h"
#include "store/store.h"
#include "store/stream.h"
#include "store/tartree.h"
#include "sys/file.h"
#include "sys/path.h"

enum { UNTAR_DIRS_MAX = 1 << 20 };

/* A directory whose mode and times are set when nothing more goes into it. */
struct late_dir {
	char *path; /* owned; in the root */
	dev_t dev;
	ino_t ino;
	struct tar_entry meta; /* numbers only */
};

struct untar {
	int rootfd;
	const char *base; /* path in the root; borrowed */
	bool keep_owner;
	struct tar *tar;
	struct late_dir *dirs;
	size_t n_dirs, cap_dirs;
};

/* --- meta data ------------------------------------------------------------------------------------------ */

static void times_of(const struct tar_entry *n, struct timespec ts[2])
{
	ts[0] = (struct timespec){ .tv_nsec = UTIME_OMIT };
	ts[1] = (struct timespec){ .tv_sec = n->mtime_s, .tv_nsec = n->mtime_ns };
}

/* set_meta() - owner before mode (it clears set-id bits), times last. */
static int set_meta(const struct untar *u, int fd, const struct tar_entry *n, struct err *e)
{
	struct timespec ts[2];

	times_of(n, ts);
	if (u->keep_owner && fchown(fd, n->uid, n->gid) < 0)
		return err_sys(e, errno, "owner %u:%u", n->uid, n->gid);
	if (fchmod(fd, n->mode) < 0)
		return err_sys(e, errno, "mode");
	for (size_t i = 0; i < n->n_xattrs; i++) {
		const struct tar_xattr *x = &n->xattrs[i];

		if (!str_starts(x->name, "user.") && !str_eq(x->name, "security.capability"))
			continue; /* the others belong to the host they come from */
		if (fsetxattr(fd, x->name, x->value, x->len, 0) < 0 && errno != EOPNOTSUPP && errno != EPERM)
			return err_sys(e, errno, "attribute '%s'", x->name);
	}
	return futimens(fd, ts) < 0 ? err_sys(e, errno, "time") : 0;
}

/* set_meta_nofollow() - of a symlink or node @name in @dir, which has no descriptor of its own to write
 * through. */
static int set_meta_nofollow(const struct untar *u, int dir, const char *name, const struct tar_entry *n,
			     struct err *e)
{
	struct timespec ts[2];

	times_of(n, ts);
	if (u->keep_owner && fchownat(dir, name, n->uid, n->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, errno, "owner %u:%u", n->uid, n->gid);
	return utimensat(dir, name, ts, AT_SYMLINK_NOFOLLOW) < 0 ? err_sys(e, errno, "time") : 0;
}

static int remember_dir(struct untar *u, char *path, const struct stat *st, const struct tar_entry *n,
			struct err *e)
{
	if (u->n_dirs == u->cap_dirs) {
		size_t cap = u->cap_dirs ? 2 * u->cap_dirs : 32;
		struct late_dir *dirs =
			cap > UNTAR_DIRS_MAX ? NULL : reallocarray(u->dirs, cap, sizeof(*dirs));

		if (!dirs)
			return err_set(e, cap > UNTAR_DIRS_MAX ? E2BIG : ENOMEM, "too many directories");
		u->dirs = dirs;
		u->cap_dirs = cap;
	}
	u->dirs[u->n_dirs] =
		(struct late_dir){ .dev = st->st_dev, .ino = st->st_ino, .meta = *n, .path = strdup(path) };
	u->dirs[u->n_dirs].meta.n_xattrs = 0;
	return u->dirs[u->n_dirs++].path ? 0 : err_sys(e, ENOMEM, "directory");
}

static int finish_dirs(struct untar *u, struct err *e)
{
	int r = 0;

	for (size_t i = u->n_dirs; i-- > 0 && r >= 0;) {
		const struct late_dir *d = &u->dirs[i];
		auto_close int fd = path_open_in_root(u->rootfd, d->path, O_RDONLY | O_DIRECTORY, 0);
		struct stat st;

		if (fd < 0 || file_fstatat(fd, "", &st, AT_EMPTY_PATH) < 0 || st.st_dev != d->dev ||
		    st.st_ino != d->ino)
			continue; /* moved away since: not ours to touch */
		r = set_meta(u, fd, &d->meta, e);
		if (r < 0)
			err_wrap(e, r, "'%s'", d->path);
	}
	return r;
}

/* --- entries -------------------------------------------------------------------------------------------- */

static int make_dir(struct untar *u, int dir, const char *name, char *path, const struct tar_entry *n,
		    struct err *e)
{
	auto_close int fd = -1;
	struct stat st;
	int r = mkdirat(dir, name, 0700) < 0 ? -errno : 0;

	if (r < 0 && r != -EEXIST)
		return err_sys(e, -r, "make directory");
	fd = file_open(dir, name, O_PATH | O_NOFOLLOW, 0);
	r = fd < 0 ? fd : file_fstatat(fd, "", &st, AT_EMPTY_PATH);
	if (r < 0)
		return err_sys(e, -r, "open directory");
	if (!S_ISDIR(st.st_mode))
		return err_set(e, ENOTDIR, "a directory cannot replace what is there");
	return remember_dir(u, path, &st, n, e);
}

static int write_data(struct untar *u, int fd, const struct tar_entry *n, struct err *e)
{
	const uint8_t *bytes;
	bool hole = false;
	ssize_t len;

	while ((len = tar_read(u->tar, &bytes, e)) > 0) {
		int r;

		hole = !bytes;
		if (hole)
			r = lseek(fd, len, SEEK_CUR) < 0 ? -errno : 0;
		else
			r = file_write(fd, bytes, (size_t)len);
		if (r < 0)
			return err_sys(e, -r, "write");
	}
	if (len == 0 && hole && ftruncate(fd, (off_t)n->size) < 0)
		return err_sys(e, errno, "write");
	return (int)len;
}

static int make_file(struct untar *u, int dir, const char *name, const struct tar_entry *n, struct err *e)
{
	auto_close int fd = file_open(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
	int r;

	if (fd < 0)
		return err_sys(e, -fd, "create");
	r = write_data(u, fd, n, e);
	return r < 0 ? r : set_meta(u, fd, n, e);
}

/* join() - what @name of the archive is called in the root; ".." in it is refused. Caller frees. */
static int join(const struct untar *u, const char *name, char **ret_path, struct err *e)
{
	for (const char *p = name; *p; p += strspn(p, "/")) {
		size_t n = strcspn(p, "/");

		if (n == 2 && p[0] == '.' && p[1] == '.')
			return err_set(e, EINVAL, "'..' in a path is not allowed");
		p += n;
	}
	*ret_path = str_printf("%s/%s", u->base, name);
	return *ret_path ? 0 : err_sys(e, ENOMEM, "path");
}

static int make_link(struct untar *u, int dir, const char *name, const struct tar_entry *n, struct err *e)
{
	auto_free char *path = NULL, *last = NULL;
	auto_close int from = -1;
	int r = join(u, n->link, &path, e);

	if (r < 0)
		return r;
	from = path_parent_in_root(u->rootfd, path, false, &last);
	if (from < 0)
		return err_sys(e, -from, "link to '%s'", n->link);
	return linkat(from, last, dir, name, 0) < 0 ? err_sys(e, errno, "link to '%s'", n->link) : 0;
}

static int make_node(struct untar *u, int dir, const char *name, const struct tar_entry *n, struct err *e)
{
	mode_t kind = n->type == TAR_FIFO ? S_IFIFO : n->type == TAR_CHAR ? S_IFCHR : S_IFBLK;

	/* the mode is what mknod(2) makes of it: changing it by name afterwards could follow a symlink */
	if (mknodat(dir, name, kind | n->mode, makedev(n->major, n->minor)) < 0)
		return err_sys(e, errno, "make node");
	return set_meta_nofollow(u, dir, name, n, e);
}

static int make_symlink(struct untar *u, int dir, const char *name, const struct tar_entry *n, struct err *e)
{
	if (symlinkat(n->link, dir, name) < 0)
		return err_sys(e, errno, "make symlink");
	return set_meta_nofollow(u, dir, name, n, e);
}

/* clear_way() - files replace files; a directory is not replaced by anything else. */
static int clear_way(int dir, const char *name, struct err *e)
{
	int r = file_unlink(dir, name, 0);

	if (r == 0 || r == -ENOENT)
		return 0;
	return r == -EISDIR ? err_set(e, EISDIR, "cannot replace a directory") : err_sys(e, -r, "replace");
}

static int untar_entry(struct untar *u, const struct tar_entry *n, struct err *e)
{
	auto_free char *path = NULL, *last = NULL;
	auto_close int dir = -1;
	int r = join(u, n->name, &path, e);

	if (r < 0)
		return r;
	if (!n->name[strspn(n->name, "./")])
		return 0; /* "./": where it goes exists, and stays as it is */
	dir = path_parent_in_root(u->rootfd, path, true, &last);
	if (dir < 0)
		return err_sys(e, -dir, "directory of it");
	if (n->type == TAR_DIR)
		return make_dir(u, dir, last, path, n, e);
	r = clear_way(dir, last, e);
	if (r < 0)
		return r;
	switch (n->type) {
	case TAR_FILE: return make_file(u, dir, last, n, e);
	case TAR_LINK: return make_link(u, dir, last, n, e);
	case TAR_SYMLINK: return make_symlink(u, dir, last, n, e);
	default: return make_node(u, dir, last, n, e);
	}
}

static int untar_all(struct untar *u, struct err *e)
{
	const struct tar_entry *n;
	int r;

	while ((r = tar_next(u->tar, &n, e)) > 0) {
		auto_free char *name = strdup(n->name);

		r = name ? untar_entry(u, n, e) : err_sys(e, ENOMEM, "archive");
		if (r < 0)
			return err_wrap(e, r, "'%s'", name ? name : "");
	}
	return r < 0 ? r : finish_dirs(u, e);
}

static void untar_fini(struct untar *u)
{
	tar_free(u->tar);
	for (size_t i = 0; i < u->n_dirs; i++)
		free(u->dirs[i].path);
	free(u->dirs);
}

int store_untar_into(int rootfd, const char *path_in_root, int in_fd, bool keep_owner, struct err *e)
{
	__attribute__((cleanup(untar_fini))) struct untar u = { .rootfd = rootfd,
								.base = path_in_root,
								.keep_owner = keep_owner };
	auto_close int dir = path_open_in_root(rootfd, path_in_root, O_PATH | O_DIRECTORY, 0);
	auto_free struct stream_fd *file = malloc(sizeof(*file));
	struct decomp *d = NULL;
	struct source from;
	int r;

	if (dir < 0)
		return err_sys(e, -dir, "'%s'", path_in_root);
	if (!file)
		return err_sys(e, ENOMEM, "archive");
	stream_fd_init(file, in_fd);
	from = stream_fd_source(file);
	r = decomp_new(&d, &from, e);
	if (r < 0)
		return r;
	from = decomp_source(d);
	u.tar = tar_new(&from);
	r = u.tar ? untar_all(&u, e) : err_sys(e, ENOMEM, "archive");
	decomp_free(d);
	return r;
}

int store_tar_tree(int dirfd, const char *path_in_root, const char *name_in_tar, int out_fd, struct err *e)
{
	auto_close int fd = tartree_open(dirfd, path_in_root, e);
	auto_free struct tartree_file *file = malloc(sizeof(*file));
	struct tarout out;
	int r;

	if (fd < 0)
		return fd;
	if (!file)
		return err_sys(e, ENOMEM, "archive");
	file->fd = out_fd;
	file->n = 0;
	tarout_init(&out, tartree_file_write, file);
	r = tartree_write(&out, fd, name_in_tar, 0, e);
	if (r >= 0)
		r = tarout_end(&out, e);
	if (r >= 0)
		r = tartree_file_flush(file, e);
	tarout_fini(&out);
	return r;
}
