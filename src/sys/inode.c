/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/inode.h"

#include <fcntl.h>
#include <time.h>

#include "base/err.h"
#include "sys/call.h"
#include "sys/file.h"

int inode_mknod(int dirfd, const char *name, mode_t mode, dev_t dev)
{
	return (int)SYS4(SYS_mknodat, dirfd, name, mode, dev);
}

int inode_symlink(const char *target, int dirfd, const char *name)
{
	return (int)SYS3(SYS_symlinkat, target, dirfd, name);
}

int inode_link(int olddir, const char *oldname, int newdir, const char *newname)
{
	return (int)SYS5(SYS_linkat, olddir, oldname, newdir, newname, 0);
}

int inode_publish(int fd, int dirfd, const char *name)
{
	char path[FD_PATH_SIZE];
	long r = SYS5(SYS_linkat, fd, "", dirfd, name, AT_EMPTY_PATH);

	/* Before Linux 6.10 an empty path takes CAP_DAC_READ_SEARCH, and fails with this. */
	if (r == -ENOENT)
		r = SYS5(SYS_linkat, AT_FDCWD, fd_path(fd, path), dirfd, name, AT_SYMLINK_FOLLOW);
	return (int)r;
}

int inode_chown(int fd, uid_t uid, gid_t gid)
{
	return (int)SYS5(SYS_fchownat, fd, "", uid, gid, AT_EMPTY_PATH);
}

int inode_chmod(int fd, mode_t mode)
{
	char path[FD_PATH_SIZE];
	long r = SYS2(SYS_fchmod, fd, mode);

	return (int)(r == -EBADF ? SYS3(SYS_fchmodat, AT_FDCWD, fd_path(fd, path), mode) : r); /* O_PATH */
}

int inode_set_mtime(int fd, int64_t s, uint32_t ns)
{
	const struct timespec both[2] = { { s, ns }, { s, ns } };

	return (int)SYS4(SYS_utimensat, fd, "", both, AT_EMPTY_PATH);
}

int inode_set_xattr(int fd, const char *name, const void *value, size_t len)
{
	char path[FD_PATH_SIZE];
	long r = SYS5(SYS_fsetxattr, fd, name, value, len, 0);

	/* O_PATH */
	return (int)(r == -EBADF ? SYS5(SYS_setxattr, fd_path(fd, path), name, value, len, 0) : r);
}

ssize_t inode_get_xattr(int fd, const char *name, void *dst, size_t size)
{
	char path[FD_PATH_SIZE];
	long r = SYS4(SYS_fgetxattr, fd, name, dst, size);

	return r == -EBADF ? SYS4(SYS_getxattr, fd_path(fd, path), name, dst, size) : r;
}

int inode_pwrite(int fd, const void *src, size_t len, uint64_t at)
{
	size_t done = 0;

	while (done < len) {
		long r = SYS4(SYS_pwrite64, fd, (const char *)src + done, len - done, at + done);

		if (r == -EINTR)
			continue;
		if (r < 0)
			return (int)r;
		done += (size_t)r;
	}
	return 0;
}

int inode_truncate(int fd, uint64_t size)
{
	return (int)SYS2(SYS_ftruncate, fd, size);
}

int inode_syncfs(int fd)
{
	return (int)SYS1(SYS_syncfs, fd);
}

void inode_write_soon(int fd, uint64_t at, uint64_t len)
{
	SYS4(SYS_sync_file_range, fd, at, len, SYNC_FILE_RANGE_WRITE);
}
