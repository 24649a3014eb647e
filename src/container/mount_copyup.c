/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mount_copyup.c - tmpcopyup: what a tmpfs covers is copied into it first
 *
 * Everything by descriptors, names opened without following symlinks: the source is the image's and may
 * change under us. Copied: type, mode, owner, times, contents. Not: hard links as links, extended
 * attributes, sockets; other file systems mounted below are copied as they appear.
 */
#include "container/mount_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "sys/call.h"
#include "sys/file.h"

enum { COPY_DEPTH_MAX = 128, COPY_CHUNK = 1 << 20 };

static void dir_closep(DIR **d)
{
	if (*d)
		closedir(*d);
}

/* copy_meta() - owner first: changing it clears set-id bits of the mode. */
static int copy_meta(int dst, const char *name, const struct stat *st)
{
	const struct timespec times[2] = { st->st_atim, st->st_mtim };
	int at = *name ? AT_SYMLINK_NOFOLLOW : AT_EMPTY_PATH;
	long r = SYS5(SYS_fchownat, dst, name, st->st_uid, st->st_gid, at);

	if (r == 0 && !S_ISLNK(st->st_mode))
		r = *name ? SYS3(SYS_fchmodat, dst, name, st->st_mode & 07777) :
			    SYS2(SYS_fchmod, dst, st->st_mode & 07777);
	if (r == 0)
		r = *name ? SYS4(SYS_utimensat, dst, name, times, AT_SYMLINK_NOFOLLOW) :
			    SYS4(SYS_utimensat, dst, NULL, times, 0);
	return (int)r;
}

static int copy_file(int src_dir, int dst_dir, const char *name)
{
	auto_close int src = file_open(src_dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	auto_close int dst = -1;
	struct stat st;
	long n;
	int r;

	if (src < 0)
		return src;
	r = file_fstatat(src, "", &st, AT_EMPTY_PATH);
	if (r == 0 && !S_ISREG(st.st_mode))
		r = -ESTALE; /* swapped since it was looked at */
	if (r < 0)
		return r;
	dst = file_open(dst_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
	if (dst < 0)
		return dst;
	do {
		n = SYS4(SYS_sendfile, dst, src, NULL, COPY_CHUNK);
	} while (n > 0 || n == -EINTR);
	return n < 0 ? (int)n : copy_meta(dst, "", &st);
}

static int copy_link(int src_dir, int dst_dir, const char *name)
{
	char text[PATH_MAX];
	long n = SYS4(SYS_readlinkat, src_dir, name, text, sizeof(text) - 1);

	if (n < 0)
		return (int)n;
	text[n] = '\0';
	return (int)SYS3(SYS_symlinkat, text, dst_dir, name);
}

static int copy_dir(int src, int dst, int depth, struct err *e);

static int copy_subdir(int src_dir, int dst_dir, const char *name, int depth, struct err *e)
{
	auto_close int src = file_open(src_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	auto_close int dst = -1;
	int r = src < 0 ? src : file_mkdir(dst_dir, name, 0700);

	if (r < 0)
		return err_sys(e, -r, "%s", name);
	dst = file_open(dst_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (dst < 0)
		return err_sys(e, -dst, "%s", name);
	r = copy_dir(src, dst, depth + 1, e);
	return r < 0 ? err_wrap(e, r, "%s", name) : 0;
}

static int copy_entry(int src_dir, int dst_dir, const char *name, int depth, struct err *e)
{
	struct stat st;
	int r = file_fstatat(src_dir, name, &st, AT_SYMLINK_NOFOLLOW);

	if (r < 0)
		return r == -ENOENT ? 0 : err_sys(e, -r, "%s", name);
	if (S_ISDIR(st.st_mode))
		return copy_subdir(src_dir, dst_dir, name, depth, e);
	if (S_ISREG(st.st_mode)) {
		r = copy_file(src_dir, dst_dir, name);
	} else if (!S_ISSOCK(st.st_mode)) {
		if (S_ISLNK(st.st_mode))
			r = copy_link(src_dir, dst_dir, name);
		else
			r = (int)SYS4(SYS_mknodat, dst_dir, name, st.st_mode, st.st_rdev);
		r = r < 0 ? r : copy_meta(dst_dir, name, &st);
	}
	return r < 0 ? err_sys(e, -r, "%s", name) : 0;
}

/*
 * copy_dir() - entries of the open directory @src into @dst, then, below the top, its own owner, mode
 * and times.
 */
static int copy_dir(int src, int dst, int depth, struct err *e)
{
	__attribute__((cleanup(dir_closep))) DIR *d = NULL;
	struct dirent *de;
	struct stat st;
	int fd, r;

	if (depth > COPY_DEPTH_MAX)
		return err_set(e, ELOOP, "more than %d directories deep", (int)COPY_DEPTH_MAX);
	r = file_fstatat(src, "", &st, AT_EMPTY_PATH);
	fd = r < 0 ? r : (int)SYS3(SYS_fcntl, src, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return err_sys(e, -fd, "read");
	d = fdopendir(fd);
	if (!d) {
		fd_close(&fd);
		return err_sys(e, ENOMEM, "read");
	}
	while (r >= 0 && (errno = 0, de = readdir(d))) {
		if (!str_eq(de->d_name, ".") && !str_eq(de->d_name, ".."))
			r = copy_entry(src, dst, de->d_name, depth, e);
	}
	if (r < 0)
		return r;
	r = errno ? -errno : 0;
	if (r == 0 && depth > 0)
		r = copy_meta(dst, "", &st);
	return r < 0 ? err_sys(e, -r, "copy") : 0;
}

/* copy_owner() - of the top directory; its mode came with the mount, and so did an owner given by option. */
static int copy_owner(int from, int to)
{
	struct stat src, dst;
	int r = file_fstatat(from, "", &src, AT_EMPTY_PATH);

	if (r == 0)
		r = file_fstatat(to, "", &dst, AT_EMPTY_PATH);
	if (r == 0 && dst.st_uid == 0 && dst.st_gid == 0)
		r = (int)SYS3(SYS_fchown, to, src.st_uid, src.st_gid);
	return r;
}

int mount__copy_up(int dst, int tree, struct err *e)
{
	auto_close int from = file_open(dst, ".", O_RDONLY | O_DIRECTORY, 0);
	auto_close int to = -1;
	int r;

	if (from < 0)
		return err_sys(e, -from, "tmpcopyup");
	to = file_open(tree, ".", O_RDONLY | O_DIRECTORY, 0);
	if (to < 0)
		return err_sys(e, -to, "tmpcopyup");
	r = copy_owner(from, to);
	r = r < 0 ? err_sys(e, -r, "owner") : copy_dir(from, to, 0, e);
	return r < 0 ? err_wrap(e, r, "tmpcopyup") : 0;
}
