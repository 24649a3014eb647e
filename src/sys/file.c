/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/file.h"

#include <dirent.h>
#include <linux/close_range.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "sys/call.h"

int file_open(int dirfd, const char *path, int flags, mode_t mode)
{
	long r;

	do {
		r = SYS4(SYS_openat, dirfd, path, flags | O_CLOEXEC, mode);
	} while (r == -EINTR);
	return (int)r;
}

int file_mkdir(int dirfd, const char *path, mode_t mode)
{
	long r = SYS3(SYS_mkdirat, dirfd, path, mode);
	struct stat st;

	if (r == -EEXIST && file_fstatat(dirfd, path, &st, 0) == 0 && S_ISDIR(st.st_mode))
		return 0;
	return (int)r;
}

int file_unlink(int dirfd, const char *path, int flags)
{
	return (int)SYS3(SYS_unlinkat, dirfd, path, flags);
}

int file_rename(int olddir, const char *oldpath, int newdir, const char *newpath, unsigned flags)
{
	return (int)SYS5(SYS_renameat2, olddir, oldpath, newdir, newpath, flags);
}

int file_fstatat(int dirfd, const char *path, struct stat *ret_st, int flags)
{
	return (int)SYS4(SYS_newfstatat, dirfd, path, ret_st, flags);
}

int file_pipe(int ret_fd[2])
{
	return (int)SYS2(SYS_pipe2, ret_fd, O_CLOEXEC);
}

int file_memfd(const char *name, unsigned flags)
{
	return (int)SYS2(SYS_memfd_create, name, flags | MFD_CLOEXEC);
}

int file_sync(int fd)
{
	return (int)SYS1(SYS_fsync, fd);
}

ssize_t file_read(int fd, void *dst, size_t len)
{
	size_t done = 0;

	while (done < len) {
		long r = SYS3(SYS_read, fd, (char *)dst + done, len - done);

		if (r == -EINTR)
			continue;
		if (r < 0)
			return r;
		if (r == 0)
			break;
		done += (size_t)r;
	}
	return (ssize_t)done;
}

int file_write(int fd, const void *src, size_t len)
{
	size_t done = 0;

	while (done < len) {
		long r = SYS3(SYS_write, fd, (const char *)src + done, len - done);

		if (r == -EINTR)
			continue;
		if (r < 0)
			return (int)r;
		done += (size_t)r;
	}
	return 0;
}

int file_slurp(int fd, struct buf *b, size_t max)
{
	const size_t start = b->len;
	size_t chunk = 4096;
	struct stat st;

	if (file_fstatat(fd, "", &st, AT_EMPTY_PATH) == 0 && st.st_size > 0 && (size_t)st.st_size < max)
		chunk = (size_t)st.st_size + 1;
	for (;; chunk = 65536) {
		void *room = buf_room(b, chunk);
		ssize_t r;

		if (!room)
			return -ENOMEM;
		r = file_read(fd, room, chunk);
		if (r < 0)
			return (int)r;
		b->len += (size_t)r;
		b->data[b->len] = '\0';
		if (b->len - start > max)
			return -EFBIG;
		if ((size_t)r < chunk)
			return 0;
	}
}

int file_slurp_at(int dirfd, const char *path, struct buf *b, size_t max)
{
	auto_close int fd = file_open(dirfd, path, O_RDONLY, 0);

	return fd < 0 ? fd : file_slurp(fd, b, max);
}

int file_replace(int dirfd, const char *path, const void *src, size_t len, mode_t mode, bool sync,
		 struct err *e)
{
	auto_free char *tmp = str_printf("%s.%d.tmp", path, (int)getpid());
	auto_close int fd = -1;
	int r;

	if (!tmp)
		return err_sys(e, ENOMEM, "%s", path);
	fd = file_open(dirfd, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, mode);
	r = fd < 0 ? fd : file_write(fd, src, len);
	if (r >= 0 && sync)
		r = file_sync(fd);
	if (r >= 0)
		r = file_rename(dirfd, tmp, dirfd, path, 0);
	if (r < 0) {
		if (fd >= 0)
			file_unlink(dirfd, tmp, 0);
		return err_sys(e, -r, "write %s", path);
	}
	return 0;
}

int file_put(int dirfd, const char *path, const char *text)
{
	auto_close int fd = file_open(dirfd, path, O_WRONLY, 0);
	size_t len = strlen(text);
	long r;

	if (fd < 0)
		return fd;
	do {
		r = SYS3(SYS_write, fd, text, len);
	} while (r == -EINTR);
	return r < 0 ? (int)r : (size_t)r == len ? 0 : -EIO;
}

int file_mkdirs(int dirfd, const char *path, mode_t mode)
{
	char part[4096];

	if (!str_copy(part, sizeof(part), path))
		return -ENAMETOOLONG;
	for (char *p = part + 1; *p; p++) {
		int r;

		if (*p != '/')
			continue;
		*p = '\0';
		r = file_mkdir(dirfd, part, 0755);
		if (r < 0 && r != -EROFS)
			return r;
		*p = '/';
	}
	return file_mkdir(dirfd, part, mode);
}

/* remove_children() - empty the directory @fd (taken); stays on its file system. */
static int remove_children(int fd, dev_t dev, struct err *e)
{
	DIR *d = fdopendir(fd);
	struct dirent *de;
	int r = 0;

	if (!d) {
		r = -errno;
		close(fd);
		return r;
	}
	while (r >= 0 && (de = readdir(d))) {
		auto_close int sub = -1;
		struct stat st;

		if (str_eq(de->d_name, ".") || str_eq(de->d_name, ".."))
			continue;
		r = file_unlink(dirfd(d), de->d_name, 0);
		if (r == -ENOENT)
			r = 0;
		if (r != -EISDIR && r != -EPERM)
			continue;
		sub = file_open(dirfd(d), de->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
		if (sub < 0 || fstat(sub, &st) < 0 || st.st_dev != dev) {
			r = sub < 0 ? sub : -EBUSY;
		} else {
			r = remove_children(TAKE_FD(sub), dev, e);
			if (r >= 0)
				r = file_unlink(dirfd(d), de->d_name, AT_REMOVEDIR);
		}
		if (r < 0)
			err_wrap(e, r, "%s", de->d_name);
	}
	closedir(d);
	return r;
}

int file_remove_tree(int dirfd, const char *name, struct err *e)
{
	auto_close int fd = -1;
	struct stat st;
	int r = file_unlink(dirfd, name, 0);

	if (r == 0 || r == -ENOENT)
		return 0;
	fd = file_open(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, fd < 0 ? -fd : errno, "remove '%s'", name);
	r = remove_children(TAKE_FD(fd), st.st_dev, e);
	if (r >= 0)
		r = file_unlink(dirfd, name, AT_REMOVEDIR);
	return r < 0 ? err_wrap(e, r, "remove '%s'", name) : 0;
}

int file_lock(int fd, bool exclusive, bool wait)
{
	long r;

	do {
		r = SYS2(SYS_flock, fd, (exclusive ? LOCK_EX : LOCK_SH) | (wait ? 0 : LOCK_NB));
	} while (r == -EINTR);
	return (int)r;
}

const char *fd_path(int fd, char *dst)
{
	BUG_ON(str_format(dst, FD_PATH_SIZE, "/proc/self/fd/%d", fd) >= FD_PATH_SIZE);
	return dst;
}

int fd_cloexec_from(int first)
{
	return (int)SYS3(SYS_close_range, first, ~0U, CLOSE_RANGE_CLOEXEC);
}

int fd_close_from(int first)
{
	return (int)SYS3(SYS_close_range, first, ~0U, 0);
}

int fd_dup_to(int fd, int target, bool cloexec)
{
	if (fd == target)
		return (int)SYS3(SYS_fcntl, fd, F_SETFD, cloexec ? FD_CLOEXEC : 0);
	return (int)SYS3(SYS_dup3, fd, target, cloexec ? O_CLOEXEC : 0);
}
