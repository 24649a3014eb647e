/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unpack.c - a layer into a directory tree, where EROFS images cannot be mounted
 *
 * Every name is made relative to a descriptor of its parent, which sys/path.h's resolver opened inside the
 * root, and never follows a symlink in its last component: what the layer says, or somebody swaps while we
 * work, does not lead outside. Attributes are set on descriptors of what was just made. Directories are
 * closed to others (0700) until the end, when their modes and times come, for both change what may be made in
 * them and are changed by it.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "store/layer_internal.h"
#include "sys/file.h"
#include "sys/inode.h"
#include "sys/path.h"

enum { UNPACK_DIR_BYTES_MAX = 512 << 20 }; /* memory for directories that wait for their attributes */

/* A directory that gets mode and time at the end; dev and ino, for a name may mean another one by then. */
struct later {
	struct later *next;
	size_t serial;
	dev_t dev;
	ino_t ino;
	mode_t mode;
	uint32_t mtime_ns;
	int64_t mtime_s;
	char path[];
};

struct unpack {
	struct layer_sink sink;
	int rootfd; /* borrowed */
	unsigned flags;
	uint64_t skipped;
	/* Device 0/0 is not to be had here: whiteouts are empty files with an attribute */
	bool plain_whiteouts;
	int parentfd; /* owned, O_PATH: directory of the last entry */
	char parent[PATH_MAX];
	int fd; /* owned: file being written */
	uint64_t pos, size;
	struct layer_entry entry; /* of that file; borrowed until its end */
	struct later *later;      /* newest first */
	size_t n_later;
	struct arena arena;
	size_t later_bytes;
};

static struct unpack *unpack_of(struct layer_sink *s)
{
	return (struct unpack *)s;
}

static bool own_ids(const struct unpack *u)
{
	return u->flags & LAYER_ROOTLESS;
}

static const char *overlay_name(const struct unpack *u, const char *trusted, const char *user)
{
	return u->flags & (LAYER_ROOTLESS | LAYER_USERXATTR) ? user : trusted;
}

static int set_opaque(const struct unpack *u, int fd, const char *value, struct err *e)
{
	const char *name = overlay_name(u, "trusted.overlay.opaque", "user.overlay.opaque");
	int r = inode_set_xattr(fd, name, value, 1);

	return r < 0 ? err_sys(e, -r, "set %s", name) : 0;
}

static void forget_parent(struct unpack *u)
{
	fd_close(&u->parentfd);
}

/* --- whiteouts -------------------------------------------------------------------------------------- */
static bool is_whiteout(const struct unpack *u, int dirfd, const char *name, const struct stat *st)
{
	auto_close int fd = -1;

	if (S_ISCHR(st->st_mode))
		return st->st_rdev == 0;
	if (!u->plain_whiteouts || !S_ISREG(st->st_mode) || st->st_size > 0)
		return false;
	fd = file_open(dirfd, name, O_PATH | O_NOFOLLOW, 0);
	return fd >= 0 && inode_get_xattr(fd, "user.overlay.whiteout", NULL, 0) >= 0;
}

/*
 * make_plain_whiteout() - Linux 6.7: an empty file with an attribute, in a directory marked as holding such
 * ones
 */
static int make_plain_whiteout(struct unpack *u, int dirfd, const char *name, struct err *e)
{
	auto_close int fd = file_open(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
	auto_close int dir = -1;
	char value;
	int r = fd < 0 ? fd :
			 inode_set_xattr(fd,
					 overlay_name(u, "trusted.overlay.whiteout", "user.overlay.whiteout"),
					 "", 0);

	if (r < 0)
		return err_sys(e, -r, "whiteout");
	u->plain_whiteouts = true;
	dir = file_open(dirfd, ".", O_RDONLY | O_DIRECTORY, 0);
	if (dir < 0)
		return err_sys(e, -dir, "whiteout");
	if (inode_get_xattr(dir, overlay_name(u, "trusted.overlay.opaque", "user.overlay.opaque"), &value,
			    1) == 1)
		return 0; /* 'y' hides more, and says the same of what is in it */
	return set_opaque(u, dir, "x", e);
}

/* --- parents ---------------------------------------------------------------------------------------- */
/*
 * clear_whiteouts() - parents of @path that this layer itself removed and now has again: opaque directories
 */
static int clear_whiteouts(struct unpack *u, const char *path, struct err *e)
{
	char part[PATH_MAX];

	for (const char *slash = strchr(path, '/');; slash = strchr(slash + 1, '/')) {
		const size_t len = slash ? (size_t)(slash - path) : strlen(path);
		auto_free char *name = NULL;
		auto_close int dirfd = -1, made = -1;
		struct stat st;
		int r = 0;

		memcpy(part, path, len);
		part[len] = '\0';
		dirfd = path_parent_in_root(u->rootfd, part, false, &name);
		if (dirfd < 0 || file_fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return 0; /* from here on nothing is there */
		if (is_whiteout(u, dirfd, name, &st)) {
			r = file_unlink(dirfd, name, 0);
			if (r >= 0)
				r = file_mkdir(dirfd, name, 0755);
			if (r >= 0)
				r = made = file_open(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
			if (r < 0)
				return err_sys(e, -r, "replace a whiteout");
			return set_opaque(u, made, "y", e);
		}
		if (!slash)
			return 0;
	}
}

/*
 * open_parent() - the directory of @path, made when missing; @ret_name points into @path. Return: borrowed
 * fd, -errno
 */
static int open_parent(struct unpack *u, const char *path, const char **ret_name, struct err *e)
{
	const char *slash = strrchr(path, '/');
	const size_t len = slash ? (size_t)(slash - path) : 0;
	char parent[PATH_MAX];
	int r;

	*ret_name = slash ? slash + 1 : path;
	memcpy(parent, path, len);
	parent[len] = '\0';
	if (u->parentfd >= 0 && str_eq(u->parent, parent))
		return u->parentfd;
	forget_parent(u);
	u->parentfd = path_open_in_root(u->rootfd, parent, O_PATH | O_DIRECTORY, 0);
	if (u->parentfd == -ENOENT || u->parentfd == -ENOTDIR) {
		u->parentfd = -1;
		r = clear_whiteouts(u, parent, e);
		if (r < 0)
			return r;
		u->parentfd = path_make_in_root(u->rootfd, parent, true, 0755, e);
		if (u->parentfd < 0)
			return err_wrap(e, u->parentfd, "a parent");
	}
	if (u->parentfd < 0)
		return err_sys(e, -u->parentfd, "a parent");
	memcpy(u->parent, parent, len + 1);
	return u->parentfd;
}

/* clear() - nothing is at @name any more. Return: 1 when there was a whiteout, 0, -errno */
static int clear(struct unpack *u, int dirfd, const char *name, struct err *e)
{
	struct stat st;
	bool whiteout;
	int r = file_fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return err_sys(e, -r, "replace what was there");
	whiteout = is_whiteout(u, dirfd, name, &st);
	r = file_remove_tree(dirfd, name, e);
	return r < 0 ? err_wrap(e, r, "replace what was there") : whiteout;
}

/* place() - open_parent() and clear() */
static int place(struct unpack *u, const char *path, const char **ret_name, struct err *e)
{
	int dirfd = open_parent(u, path, ret_name, e);
	int r = dirfd < 0 ? dirfd : clear(u, dirfd, *ret_name, e);

	return r < 0 ? r : dirfd;
}

/* --- attributes ------------------------------------------------------------------------------------- */
static int set_xattrs(const struct unpack *u, int fd, const struct layer_entry *n, struct err *e)
{
	for (size_t i = 0; i < n->n_xattrs; i++) {
		const struct tar_xattr *x = &n->xattrs[i];
		int r;

		if (own_ids(u) && !str_starts(x->name, "user."))
			continue; /* not ours to give */
		r = inode_set_xattr(fd, x->name, x->value, x->len);
		/*
		 * What this file system cannot hold (or not on this type of file) is left out, as tar does.
		 */
		if (r < 0 && r != -EOPNOTSUPP && r != -EPERM)
			return err_sys(e, -r, "extended attribute '%.60s'", x->name);
	}
	return 0;
}

static int own(const struct unpack *u, int fd, const struct layer_entry *n)
{
	int r = own_ids(u) ? 0 : inode_chown(fd, n->tar->uid, n->tar->gid);

	return r == -EINVAL && u->flags & LAYER_MAPPED_IDS ? 0 : r;
}

/* set_attrs() - in this order: chown clears set-id bits and capabilities */
static int set_attrs(const struct unpack *u, int fd, const struct layer_entry *n, struct err *e)
{
	int r = own(u, fd, n);

	if (r < 0)
		return err_sys(e, -r, "owner %u:%u", n->tar->uid, n->tar->gid);
	r = set_xattrs(u, fd, n, e);
	if (r < 0)
		return r;
	if (n->tar->type != TAR_SYMLINK)
		r = inode_chmod(fd, n->tar->mode);
	if (r >= 0)
		r = inode_set_mtime(fd, n->tar->mtime_s, n->tar->mtime_ns);
	return r < 0 ? err_sys(e, -r, "mode and time") : 0;
}

/* set_attrs_at() - of what we have just made as @name: and not of what somebody put in its place */
static int set_attrs_at(const struct unpack *u, int dirfd, const char *name, mode_t fmt,
			const struct layer_entry *n, struct err *e)
{
	auto_close int fd = file_open(dirfd, name, O_PATH | O_NOFOLLOW, 0);
	struct stat st;
	int r = fd < 0 ? fd : file_fstatat(fd, "", &st, AT_EMPTY_PATH);

	if (r < 0)
		return err_sys(e, -r, "open it again");
	if ((st.st_mode & S_IFMT) != fmt || st.st_nlink != 1)
		return err_set(e, EBUSY, "somebody else changes the tree");
	return set_attrs(u, fd, n, e);
}

/* --- entries ---------------------------------------------------------------------------------------- */
static int remember(struct unpack *u, int fd, const struct layer_entry *n, struct err *e)
{
	const size_t size = sizeof(struct later) + strlen(n->path) + 1;
	struct later *l = NULL;
	struct stat st;
	int r = file_fstatat(fd, "", &st, AT_EMPTY_PATH);

	if (r < 0)
		return err_sys(e, -r, "stat");
	u->later_bytes += size;
	if (u->later_bytes > UNPACK_DIR_BYTES_MAX)
		return err_set(e, E2BIG, "more than %d MiB of directories", UNPACK_DIR_BYTES_MAX >> 20);
	l = arena_alloc(&u->arena, size);
	if (!l)
		return err_sys(e, ENOMEM, "directories");
	l->dev = st.st_dev;
	l->ino = st.st_ino;
	l->mode = n->tar->mode;
	l->mtime_s = n->tar->mtime_s;
	l->mtime_ns = n->tar->mtime_ns;
	memcpy(l->path, n->path, strlen(n->path));
	l->serial = u->n_later++;
	l->next = u->later;
	u->later = l;
	return 0;
}

/*
 * enter_dir() - the directory @name, made when it is not there; opaque when a whiteout was. Return: fd,
 * -errno
 */
static int enter_dir(struct unpack *u, int dirfd, const char *name, struct err *e)
{
	auto_close int fd = -1;
	struct stat st;
	int r = file_fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW);
	bool whiteout = false;

	if (r < 0 || !S_ISDIR(st.st_mode)) {
		r = clear(u, dirfd, name, e);
		if (r < 0)
			return r;
		whiteout = r > 0;
		r = file_mkdir(dirfd, name, 0700);
		if (r < 0)
			return err_sys(e, -r, "make the directory");
	}
	fd = file_open(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd < 0)
		return err_sys(e, -fd, "open the directory");
	r = whiteout ? set_opaque(u, fd, "y", e) : 0;
	return r < 0 ? r : TAKE_FD(fd);
}

static int open_dir(struct unpack *u, const char *path, struct err *e)
{
	const char *name;
	int fd;

	if (!*path) {
		fd = file_open(u->rootfd, ".", O_RDONLY | O_DIRECTORY, 0);
		return fd < 0 ? err_sys(e, -fd, "open the root") : fd;
	}
	fd = open_parent(u, path, &name, e);
	return fd < 0 ? fd : enter_dir(u, fd, name, e);
}

static int unpack_dir(struct layer_sink *s, const struct layer_entry *n, struct err *e)
{
	struct unpack *u = unpack_of(s);
	auto_close int fd = open_dir(u, n->path, e);
	int r = fd;

	if (r >= 0) {
		r = own(u, fd, n);
		if (r < 0)
			err_sys(e, -r, "owner %u:%u", n->tar->uid, n->tar->gid);
	}
	if (r >= 0)
		r = set_xattrs(u, fd, n, e);
	return r < 0 ? r : remember(u, fd, n, e);
}

static int unpack_file(struct layer_sink *s, const struct layer_entry *n, struct err *e)
{
	struct unpack *u = unpack_of(s);
	const char *name;
	int dirfd = place(u, n->path, &name, e);

	if (dirfd < 0)
		return dirfd;
	u->fd = file_open(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
	if (u->fd < 0)
		return err_sys(e, -u->fd, "make the file");
	u->pos = 0;
	u->size = n->tar->size;
	u->entry = *n;
	return 0;
}

static int unpack_data(struct layer_sink *s, const void *bytes, uint64_t len, struct err *e)
{
	struct unpack *u = unpack_of(s);
	int r = bytes ? inode_pwrite(u->fd, bytes, len, u->pos) : 0;

	u->pos += len;
	if (r >= 0 && !bytes && u->pos == u->size)
		r = inode_truncate(u->fd, u->size); /* it ends in a hole */
	return r < 0 ? err_sys(e, -r, "write the file") : 0;
}

static int unpack_file_end(struct layer_sink *s, struct err *e)
{
	struct unpack *u = unpack_of(s);
	int r = set_attrs(u, u->fd, &u->entry, e);

	fd_close(&u->fd);
	return r;
}

static int unpack_symlink(struct layer_sink *s, const struct layer_entry *n, struct err *e)
{
	struct unpack *u = unpack_of(s);
	const char *name;
	int dirfd = place(u, n->path, &name, e), r;

	if (dirfd < 0)
		return dirfd;
	r = inode_symlink(n->target, dirfd, name);
	return r < 0 ? err_sys(e, -r, "make the symlink") : set_attrs_at(u, dirfd, name, S_IFLNK, n, e);
}

static int unpack_link(struct layer_sink *s, const struct layer_entry *n, struct err *e)
{
	struct unpack *u = unpack_of(s);
	auto_free char *from_name = NULL;
	auto_close int from = path_parent_in_root(u->rootfd, n->target, false, &from_name);
	struct stat st, there;
	const char *name;
	int dirfd, r;

	r = from < 0 ? from : file_fstatat(from, from_name, &st, AT_SYMLINK_NOFOLLOW);
	if (!*n->target || (r >= 0 && S_ISDIR(st.st_mode)))
		return err_set(e, EPERM, "hard link to '%.200s', which is a directory", n->target);
	if (r < 0 || is_whiteout(u, from, from_name, &st))
		return err_set(e, ENOENT, "hard link to '%.200s', which is not there", n->target);
	dirfd = open_parent(u, n->path, &name, e);
	if (dirfd < 0)
		return dirfd;
	if (file_fstatat(dirfd, name, &there, AT_SYMLINK_NOFOLLOW) == 0 && there.st_dev == st.st_dev &&
	    there.st_ino == st.st_ino)
		return 0; /* the same file by both names already */
	r = clear(u, dirfd, name, e);
	if (r < 0)
		return r;
	r = inode_link(from, from_name, dirfd, name);
	return r < 0 ? err_sys(e, -r, "hard link to '%.200s'", n->target) : 0;
}

static int unpack_node(struct layer_sink *s, const struct layer_entry *n, struct err *e)
{
	struct unpack *u = unpack_of(s);
	const mode_t fmt = n->tar->type == TAR_CHAR ? S_IFCHR : n->tar->type == TAR_BLOCK ? S_IFBLK : S_IFIFO;
	const char *name;
	int dirfd = place(u, n->path, &name, e), r;

	if (dirfd < 0)
		return dirfd;
	r = fmt != S_IFIFO && own_ids(u) ?
		    -EPERM :
		    inode_mknod(dirfd, name, fmt | 0600, makedev(n->tar->major, n->tar->minor));
	if (r == -EPERM && fmt != S_IFIFO) {
		u->skipped++;
		return 0;
	}
	return r < 0 ? err_sys(e, -r, "make the device") : set_attrs_at(u, dirfd, name, fmt, n, e);
}

static int unpack_whiteout(struct layer_sink *s, const char *path, struct err *e)
{
	struct unpack *u = unpack_of(s);
	auto_close int fd = -1;
	const char *name;
	struct stat st;
	int dirfd = open_parent(u, path, &name, e), r;

	if (dirfd < 0)
		return dirfd;
	r = file_fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW);
	if (r >= 0 && S_ISDIR(st.st_mode)) { /* it speaks of the layers below; what this one has stays */
		fd = file_open(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
		return fd < 0 ? err_sys(e, -fd, "whiteout") : set_opaque(u, fd, "y", e);
	}
	if (r != -ENOENT)
		return r < 0 ? err_sys(e, -r, "whiteout") : 0;
	r = u->plain_whiteouts ? -EPERM : inode_mknod(dirfd, name, S_IFCHR, 0);
	if (r == -EPERM)
		return make_plain_whiteout(u, dirfd, name, e);
	return r < 0 ? err_sys(e, -r, "whiteout") : 0;
}

static int unpack_opaque(struct layer_sink *s, const char *path, struct err *e)
{
	auto_close int fd = open_dir(unpack_of(s), path, e);

	return fd < 0 ? fd : set_opaque(unpack_of(s), fd, "y", e);
}

static int finish_dir(const struct unpack *u, const struct later *l)
{
	auto_close int fd = path_open_in_root(u->rootfd, l->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	struct stat st;
	int r = fd < 0 ? fd : file_fstatat(fd, "", &st, AT_EMPTY_PATH);

	if (r == -ENOENT || r == -ENOTDIR || r == -ELOOP)
		return 0; /* replaced by a later entry */
	if (r < 0 || st.st_dev != l->dev || st.st_ino != l->ino)
		return r < 0 ? r : 0;
	r = inode_chmod(fd, l->mode);
	return r < 0 ? r : inode_set_mtime(fd, l->mtime_s, l->mtime_ns);
}

/* by_inode() - the newest of those that speak of one directory first */
static int by_inode(const void *pa, const void *pb)
{
	const struct later *a = *(struct later *const *)pa, *b = *(struct later *const *)pb;

	if (a->ino != b->ino)
		return a->ino < b->ino ? -1 : 1;
	if (a->dev != b->dev)
		return a->dev < b->dev ? -1 : 1;
	return a->serial > b->serial ? -1 : 1;
}

/* by_depth() - a directory comes before its parent, whose mode may lock us out */
static int by_depth(const void *pa, const void *pb)
{
	const size_t a = strlen((*(struct later *const *)pa)->path),
		     b = strlen((*(struct later *const *)pb)->path);

	return a > b ? -1 : a < b;
}

static int finish_dirs(struct unpack *u, struct err *e)
{
	auto_free struct later **all = calloc(u->n_later + 1, sizeof(*all));
	size_t n = 0, kept = 0;

	if (!all)
		return err_sys(e, ENOMEM, "directories");
	for (struct later *l = u->later; l; l = l->next)
		all[n++] = l;
	qsort(all, n, sizeof(*all), by_inode);
	for (size_t i = 0; i < n; i++)
		if (kept == 0 || all[kept - 1]->ino != all[i]->ino || all[kept - 1]->dev != all[i]->dev)
			all[kept++] = all[i];
	qsort(all, kept, sizeof(*all), by_depth);
	for (size_t i = 0; i < kept; i++) {
		int r = finish_dir(u, all[i]);

		if (r < 0)
			return err_sys(e, -r, "directory '%.200s'", all[i]->path);
	}
	return 0;
}

static int unpack_finish(struct layer_sink *s, const char *diff_id, struct err *e)
{
	struct unpack *u = unpack_of(s);
	int r;

	(void)diff_id;
	forget_parent(u);
	r = finish_dirs(u, e);
	if (r < 0)
		return r;
	r = inode_syncfs(u->rootfd);
	return r < 0 ? err_sys(e, -r, "write the tree") : 0;
}

static const struct layer_sink_ops unpack_ops = {
	.dir = unpack_dir,
	.file = unpack_file,
	.data = unpack_data,
	.file_end = unpack_file_end,
	.symlink = unpack_symlink,
	.link = unpack_link,
	.node = unpack_node,
	.whiteout = unpack_whiteout,
	.opaque = unpack_opaque,
	.finish = unpack_finish,
};

static void unpack_fini(struct unpack *u)
{
	fd_close(&u->fd);
	fd_close(&u->parentfd);
	arena_fini(&u->arena);
}

int layer_unpack(int in_fd, int root_dirfd, unsigned flags, struct layer_result *ret, struct err *e)
{
	auto_fini(unpack) struct unpack u = {
		.sink.ops = &unpack_ops,
		.rootfd = root_dirfd,
		.flags = flags,
		.parentfd = -1,
		.fd = -1,
	};
	int r = layer__read_fd(in_fd, &u.sink, NULL, flags, ret, e);

	if (r >= 0)
		ret->skipped = u.skipped;
	return r;
}
