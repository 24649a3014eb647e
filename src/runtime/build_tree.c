/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: one walk serves the cache key and the copy, so that the two cannot disagree. What is
 * digested are names, types, permissions, contents, link targets, and owners where they are kept; never
 * times, so that a fresh checkout hits the cache. Everything goes by directory descriptors, and no symlink
 * is followed here: which one may be was settled by build_source.c.
 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/err.h"
#include "base/guard.h"
#include "runtime/build_internal.h"
#include "sys/file.h"
#include "sys/path.h"

enum { COPY_CHUNK_BYTES = 256 << 10, COPY_XATTRS_MAX = 64 << 10 };

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int build__list(int dirfd, struct strv *names)
{
	int fd = file_open(dirfd, ".", O_RDONLY | O_DIRECTORY, 0);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *de;

	if (!d) {
		guard_close(&fd);
		return fd < 0 ? fd : -ENOMEM;
	}
	while ((de = readdir(d))) {
		if (!str_eq(de->d_name, ".") && !str_eq(de->d_name, ".."))
			strv_add(names, de->d_name);
	}
	closedir(d);
	if (names->len > 0)
		qsort(names->item, names->len, sizeof(*names->item), by_name);
	return strv_finish(names);
}

bool build__copy_skips(const struct build_copy *c, const char *path)
{
	return !c->from && *path && dockerignore_excludes(&c->b->ignore, path);
}

static mode_t wanted_mode(const struct build_copy *c, const struct stat *st)
{
	return c->mode_set ? c->mode : st->st_mode & 07777;
}

static uid_t wanted_uid(const struct build_copy *c, const struct stat *st)
{
	return c->owner_set ? c->uid : c->from ? st->st_uid : 0;
}

static gid_t wanted_gid(const struct build_copy *c, const struct stat *st)
{
	return c->owner_set ? c->gid : c->from ? st->st_gid : 0;
}

/* copy_xattrs() - of another image's file: capabilities and what users set. */
static int copy_xattrs(int from, int to)
{
	auto_free char *names = malloc(COPY_XATTRS_MAX), *value = malloc(COPY_XATTRS_MAX);
	ssize_t len = names && value ? flistxattr(from, names, COPY_XATTRS_MAX) : -1;

	for (ssize_t at = 0; at < len; at += (ssize_t)strlen(names + at) + 1) {
		ssize_t n;

		if (!str_eq(names + at, "security.capability") && !str_starts(names + at, "user."))
			continue;
		n = fgetxattr(from, names + at, value, COPY_XATTRS_MAX);
		if (n >= 0 && fsetxattr(to, names + at, value, (size_t)n, 0) < 0 && errno != EOPNOTSUPP)
			return -errno;
	}
	return 0;
}

int build__copy_meta(struct build_copy *c, int fd, const struct stat *st, struct err *e)
{
	struct timespec times[2] = { st->st_atim, st->st_mtim };

	if (fchown(fd, wanted_uid(c, st), wanted_gid(c, st)) < 0)
		return err_sys(e, errno, "chown");
	if (fchmod(fd, wanted_mode(c, st)) < 0)
		return err_sys(e, errno, "chmod");
	return futimens(fd, times) < 0 ? err_sys(e, errno, "set times") : 0;
}

void build__copy_digest(struct build_copy *c, const char *path, const struct stat *st)
{
	const uint64_t facts[] = {
		st->st_mode & S_IFMT,
		wanted_mode(c, st),
		c->from && !c->chown ? st->st_uid : 0,
		c->from && !c->chown ? st->st_gid :
				       0, /* what --chown says is part of the key as it is written */
		S_ISREG(st->st_mode) ? (uint64_t)st->st_size : 0,
		S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode) ? st->st_rdev : 0,
	};

	build__key_str(c->digest, path);
	digest_update(c->digest, facts, sizeof(facts));
}

/* make_room() - nothing but a directory may stand in the way, and only for one. */
static int make_room(int dstdir, const char *name, struct err *e)
{
	int r = file_unlink(dstdir, name, 0);

	if (r == -EISDIR || r == -EPERM)
		return err_set(e, EISDIR, "a directory stands where it should go");
	return r < 0 && r != -ENOENT ? err_sys(e, -r, "replace") : 0;
}

/* pour() - the content, to the digest and to @out when that is a file. */
static int pour(struct build_copy *c, int in, int out, const struct stat *st, struct err *e)
{
	auto_free char *chunk = malloc(COPY_CHUNK_BYTES);
	off_t left = st->st_size;

	if (!chunk)
		return err_set(e, ENOMEM, "out of memory");
	while (left > 0) {
		ssize_t n = file_read(in, chunk, left < COPY_CHUNK_BYTES ? (size_t)left : COPY_CHUNK_BYTES);
		int r;

		if (n <= 0)
			return n < 0 ? err_sys(e, (int)-n, "read") :
				       err_set(e, EIO, "it became shorter while it was read");
		digest_update(c->digest, chunk, (size_t)n);
		r = out < 0 ? 0 : file_write(out, chunk, (size_t)n);
		if (r < 0)
			return err_sys(e, -r, "write");
		left -= n;
	}
	return 0;
}

int build__copy_file(struct build_copy *c, int in, const struct stat *st, int out, struct err *e)
{
	int r = pour(c, in, out, st, e);

	if (r < 0 || out < 0)
		return r;
	r = build__copy_meta(c, out, st, e);
	if (r >= 0 && c->from) { /* behind chown, which drops capabilities */
		r = copy_xattrs(in, out);
		if (r < 0)
			return err_sys(e, -r, "copy extended attributes");
	}
	return r;
}

int build__copy_create(int dstdir, const char *dstname, struct err *e)
{
	int r = make_room(dstdir, dstname, e);

	if (r < 0)
		return r;
	r = file_open(dstdir, dstname, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
	return r < 0 ? err_sys(e, -r, "create") : r;
}

static int copy_file(struct build_copy *c, int srcdir, const char *name, int dstdir, const char *dstname,
		     struct err *e)
{
	auto_close int in = file_open(srcdir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	auto_close int out = -1;
	struct stat st;

	if (in < 0 || fstat(in, &st) < 0)
		return err_sys(e, in < 0 ? -in : errno, "open");
	if (!S_ISREG(st.st_mode))
		return err_set(e, EAGAIN, "it was replaced while it was read");
	if (dstdir >= 0) {
		out = build__copy_create(dstdir, dstname, e);
		if (out < 0)
			return out;
	}
	return build__copy_file(c, in, &st, out, e);
}

static int copy_symlink(struct build_copy *c, int srcdir, const char *name, const struct stat *st, int dstdir,
			const char *dstname, struct err *e)
{
	const struct timespec times[2] = { st->st_atim, st->st_mtim };
	char target[PATH_MAX];
	ssize_t n = readlinkat(srcdir, name, target, sizeof(target) - 1);
	int r;

	if (n < 0)
		return err_sys(e, errno, "read link");
	target[n] = '\0';
	build__key_str(c->digest, target);
	if (dstdir < 0)
		return 0;
	r = make_room(dstdir, dstname, e);
	if (r < 0)
		return r;
	if (symlinkat(target, dstdir, dstname) < 0 ||
	    fchownat(dstdir, dstname, wanted_uid(c, st), wanted_gid(c, st), AT_SYMLINK_NOFOLLOW) < 0 ||
	    utimensat(dstdir, dstname, times, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, errno, "make link");
	return 0;
}

static int copy_node(struct build_copy *c, const struct stat *st, int dstdir, const char *dstname,
		     struct err *e)
{
	const struct timespec times[2] = { st->st_atim, st->st_mtim };
	int r;

	if (dstdir < 0)
		return 0;
	r = make_room(dstdir, dstname, e);
	if (r < 0)
		return r;
	if (mknodat(dstdir, dstname, (st->st_mode & S_IFMT) | wanted_mode(c, st), st->st_rdev) < 0 ||
	    fchownat(dstdir, dstname, wanted_uid(c, st), wanted_gid(c, st), AT_SYMLINK_NOFOLLOW) < 0 ||
	    fchmodat(dstdir, dstname, wanted_mode(c, st), 0) < 0 ||
	    utimensat(dstdir, dstname, times, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, errno, "make node");
	return 0;
}

/* open_made_dir() - @name in @dstdir as a directory; *ret_new: it was not there. */
static int open_made_dir(int dstdir, const char *name, bool *ret_new, struct err *e)
{
	int r = mkdirat(dstdir, name, 0755), fd;

	*ret_new = r == 0;
	if (r < 0 && errno != EEXIST)
		return err_sys(e, errno, "make directory");
	fd = file_open(dstdir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd == -ENOTDIR || fd == -ELOOP)
		return err_set(e, ENOTDIR, "a directory cannot replace a file or link");
	return fd < 0 ? err_sys(e, -fd, "open") : fd;
}

static int copy_dir(struct build_copy *c, int srcdir, const char *name, const char *path, int dstdir,
		    const char *dstname, struct err *e)
{
	auto_close int from = file_open(srcdir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	auto_close int to = -1;
	bool is_new = false;
	struct stat st;
	int r;

	if (from < 0 || fstat(from, &st) < 0)
		return err_sys(e, from < 0 ? -from : errno, "open");
	if (dstdir >= 0) {
		to = open_made_dir(dstdir, dstname, &is_new, e);
		if (to < 0)
			return to;
	}
	r = build__copy_children(c, from, path, to, e);
	return r >= 0 && is_new ? build__copy_meta(c, to, &st, e) :
				  r; /* last: writing into it moved its time */
}

int build__copy_children(struct build_copy *c, int srcdir, const char *path, int dstdir, struct err *e)
{
	auto_fini(strv) struct strv names = { 0 };
	int r = build__list(srcdir, &names);

	if (r < 0)
		return err_sys(e, -r, "list");
	for (size_t i = 0; i < names.len && r >= 0; i++) {
		auto_free char *sub = str_printf("%s%s%s", path, *path ? "/" : "", names.item[i]);

		if (!sub)
			return err_set(e, ENOMEM, "out of memory");
		r = build__copy_tree(c, srcdir, names.item[i], sub, dstdir, names.item[i], e);
	}
	return r;
}

/* holds_kept() - an excluded directory is walked only for what a '!' may bring back. */
static bool holds_kept(const struct build_copy *c, int srcdir, const char *name, const char *path)
{
	auto_fini(strv) struct strv names = { 0 };
	auto_close int fd = file_open(srcdir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);

	if (!c->b->ignore.has_keep || fd < 0 || build__list(fd, &names) < 0)
		return false;
	for (size_t i = 0; i < names.len; i++) {
		auto_free char *sub = str_printf("%s/%s", path, names.item[i]);

		if (sub && (!build__copy_skips(c, sub) || holds_kept(c, fd, names.item[i], sub)))
			return true;
	}
	return false;
}

int build__copy_tree(struct build_copy *c, int srcdir, const char *name, const char *path, int dstdir,
		     const char *dstname, struct err *e)
{
	struct stat st;
	int r = file_fstatat(srcdir, name, &st, AT_SYMLINK_NOFOLLOW);

	if (r < 0)
		return err_sys(e, -r, "'%s'", path);
	if (strlen(path) >= PATH_MAX) /* also bounds the depth */
		return err_set(e, ENAMETOOLONG, "'%.100s...': its path is too long", path);
	if (S_ISSOCK(st.st_mode))
		return 0; /* means nothing in an image */
	if (build__copy_skips(c, path) && !(S_ISDIR(st.st_mode) && holds_kept(c, srcdir, name, path)))
		return 0;
	build__copy_digest(c, path, &st);
	if (S_ISDIR(st.st_mode))
		r = copy_dir(c, srcdir, name, path, dstdir, dstname, e);
	else if (S_ISREG(st.st_mode))
		r = copy_file(c, srcdir, name, dstdir, dstname, e);
	else if (S_ISLNK(st.st_mode))
		r = copy_symlink(c, srcdir, name, &st, dstdir, dstname, e);
	else
		r = copy_node(c, &st, dstdir, dstname, e);
	/* a directory's children have named themselves */
	return r < 0 && !S_ISDIR(st.st_mode) ? err_wrap(e, r, "'%s'", path) : r;
}
