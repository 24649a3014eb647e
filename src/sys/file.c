/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/file.h"

#include <dirent.h>
#include <linux/close_range.h>
#include <linux/openat2.h>
#include <stdio.h>
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

enum { REMOVE_DEPTH_MAX = 32, REMOVE_ROUNDS_MAX = 100000 };

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
	do { /* what is there was left by a killed process that had our number, or planted: never written to */
		fd = file_open(dirfd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
	} while (fd == -EEXIST && file_unlink(dirfd, tmp, 0) == 0);
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
	for (char *end = part + strlen(part); end > part + 1 && end[-1] == '/'; end--)
		end[-1] = '\0'; /* so that the last directory is the last component */
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

/* What one file_remove_tree() knows. A tree of any depth takes few descriptors: what lies deep is moved up to the top first. */
struct removal {
	int top;
	unsigned moved;
};

/* open_child() - the directory @name; -EBUSY when something is mounted there, also of the same file system. */
static int open_child(int dirfd, const char *name)
{
	struct open_how how = {
		.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS,
	};
	long r;

	do {
		r = SYS4(SYS_openat2, dirfd, name, &how, sizeof(how));
	} while (r == -EINTR || r == -EAGAIN);
	return r == -EXDEV ? -EBUSY : (int)r;
}

static int move_up(struct removal *m, int dirfd, const char *name)
{
	char to[32];
	int r;

	do {
		str_format(to, sizeof(to), ".deep-%u", m->moved++);
		r = file_rename(dirfd, name, m->top, to, RENAME_NOREPLACE);
	} while (r == -EEXIST);
	return r;
}

static int remove_children(struct removal *m, int fd, int depth, struct err *e);

/* remove_entry() - @name in @dirfd, whatever it is; gone meanwhile is as good. */
static int remove_entry(struct removal *m, int dirfd, const char *name, int depth, struct err *e)
{
	int r = file_unlink(dirfd, name, 0), sub;

	if (r != -EISDIR && r != -EPERM)
		return r == -ENOENT ? 0 : r;
	sub = open_child(dirfd, name);
	if (sub == -ENOTDIR) /* a file that may not be removed: immutable, or in an append-only directory */
		return r;
	if (sub >= 0 && depth == REMOVE_DEPTH_MAX) {
		fd_close(&sub);
		r = move_up(m, dirfd, name);
	} else {
		r = sub < 0 ? sub : remove_children(m, sub, depth + 1, e);
		r = r < 0 ? r : file_unlink(dirfd, name, AT_REMOVEDIR);
	}
	return r == -ENOENT ? 0 : r;
}

/* remove_children() - empty the directory @fd (taken). */
static int remove_children(struct removal *m, int fd, int depth, struct err *e)
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
		if (str_eq(de->d_name, ".") || str_eq(de->d_name, ".."))
			continue;
		r = remove_entry(m, dirfd(d), de->d_name, depth, e);
		if (r < 0)
			err_wrap(e, r, "%s", de->d_name);
	}
	closedir(d);
	return r;
}

/* is_mount() - is a mount's root at @fd? */
static bool is_mount(int fd)
{
	struct statx stx;

	return SYS5(SYS_statx, fd, "", AT_EMPTY_PATH, 0, &stx) == 0 &&
	       stx.stx_attributes & STATX_ATTR_MOUNT_ROOT;
}

int file_remove_tree(int dirfd, const char *name, struct err *e)
{
	auto_close int fd = -1;
	struct removal m;
	int r = file_unlink(dirfd, name, 0);

	if (r == 0 || r == -ENOENT)
		return 0;
	fd = file_open(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return err_sys(e, fd == -ENOTDIR ? -r : -fd, "remove '%s'", name);
	m = (struct removal){ .top = fd };
	r = is_mount(fd) ? -EBUSY : 0;
	for (int i = 0; i < REMOVE_ROUNDS_MAX && r >= 0; i++) { /* again for what was moved up meanwhile */
		int top = file_open(fd, ".", O_RDONLY | O_DIRECTORY, 0);

		r = top < 0 ? top : remove_children(&m, top, 1, e);
		if (r < 0)
			break;
		r = file_unlink(dirfd, name, AT_REMOVEDIR);
		if (r != -ENOTEMPTY)
			break;
		r = 0;
	}
	if (r == -ENOENT)
		r = 0;
	return r < 0 ? err_wrap(e, r, "remove '%s'", name) : 0;
}

int file_mkdir_private(const char *path)
{
	auto_close int fd = -1;
	struct stat st;
	int r = file_mkdir(AT_FDCWD, path, 0700);

	fd = r < 0 ? r : file_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd < 0)
		return fd == -ELOOP || fd == -ENOTDIR || fd == -EACCES ? -EPERM : fd;
	r = file_fstatat(fd, "", &st, AT_EMPTY_PATH);
	if (r == 0 && (st.st_uid != geteuid() || st.st_mode & 022))
		r = -EPERM;
	return r;
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

int fd_fill_stdio(void)
{
	for (int fd = 0; fd < 3; fd++) {
		int r = (int)SYS3(SYS_fcntl, fd, F_GETFD, 0);

		if (r != -EBADF)
			continue;
		r = (int)SYS4(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR,
			      0); /* it takes the lowest number, so this one */
		if (r < 0)
			return r;
	}
	return 0;
}

int fd_list(int *ret_fd, int max)
{
	DIR *d = opendir("/proc/self/fd");
	const struct dirent *entry;
	uint64_t fd;
	int n = 0;

	if (!d)
		return -errno;
	while (n < max && (entry = readdir(d)))
		if (str_to_u64(entry->d_name, &fd) == 0 && fd > 2 && (int)fd != dirfd(d))
			ret_fd[n++] = (int)fd;
	closedir(d);
	return n;
}
