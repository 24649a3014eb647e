/* SPDX-License-Identifier: Apache-2.0 */
/* plain.c - blocking input and output on a file or block device, and the arithmetic of segments */
/* syscalls(device): preadv pwritev pread64 pwrite64 fdatasync fsync fallocate ftruncate lseek copy_file_range */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "blk/blk_internal.h"
#include "base/bug.h"
#include "sys/call.h"
#include "sys/file.h"

enum { ZERO_BYTES = 64 << 10 };

uint64_t iov_bytes(const struct iovec *iov, unsigned n_iov)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < n_iov; i++)
		sum += iov[i].iov_len;
	return sum;
}

unsigned iov_part(const struct iovec *iov, unsigned n_iov, uint64_t skip, uint64_t len, struct iovec *dst,
		  unsigned max, uint64_t *ret_len)
{
	uint64_t got = 0;
	unsigned n = 0;

	for (unsigned i = 0; i < n_iov && n < max && got < len; i++) {
		uint64_t room = iov[i].iov_len;

		if (skip >= room) {
			skip -= room;
			continue;
		}
		room -= skip;
		if (room > len - got)
			room = len - got;
		dst[n++] = (struct iovec){ (char *)iov[i].iov_base + skip, (size_t)room };
		got += room;
		skip = 0;
	}
	*ret_len = got;
	return n;
}

/* NOLINTBEGIN(bugprone-macro-parentheses): names of variables take none */
/* each_part() - walk the segments of [skip, skip + len): one place for the three copies below */
#define EACH_PART(iov, n_iov, skip, len, at, n)                                                              \
	for (unsigned i_ = 0; i_ < (n_iov) && (len) > 0; i_++) {                                             \
		uint64_t n, have_ = (iov)[i_].iov_len;                                                       \
		char *at;                                                                                    \
		if ((skip) >= have_) {                                                                       \
			(skip) -= have_;                                                                     \
			continue;                                                                            \
		}                                                                                            \
		at = (char *)(iov)[i_].iov_base + (skip);                                                    \
		n = have_ - (skip) < (len) ? have_ - (skip) : (len);                                         \
		(skip) = 0;                                                                                  \
		(len) -= n;
/* NOLINTEND(bugprone-macro-parentheses) */

void iov_zero(const struct iovec *iov, unsigned n_iov, uint64_t skip, uint64_t len)
{
	EACH_PART(iov, n_iov, skip, len, at, n)
	memset(at, 0, n);
}
}

void iov_fill(const struct iovec *iov, unsigned n_iov, uint64_t skip, const void *src, uint64_t len)
{
	const char *p = src;

	EACH_PART(iov, n_iov, skip, len, at, n)
	memcpy(at, p, n);
	p += n;
}
}

void iov_take(const struct iovec *iov, unsigned n_iov, uint64_t skip, void *dst, uint64_t len)
{
	char *p = dst;

	EACH_PART(iov, n_iov, skip, len, at, n)
	memcpy(p, at, n);
	p += n;
}
}

int plain_rw(int fd, bool write, uint64_t offset, const struct iovec *iov, unsigned n_iov, uint64_t len)
{
	struct iovec part[BLK_IOV_MAX];
	uint64_t done = 0;

	while (done < len) {
		const struct iovec *v = iov;
		uint64_t bytes = len;
		unsigned n = n_iov;
		long r;

		if (done > 0 || n_iov > BLK_IOV_MAX) {
			n = iov_part(iov, n_iov, done, len - done, part, BLK_IOV_MAX, &bytes);
			v = part;
		}
		r = SYS5(write ? SYS_pwritev : SYS_preadv, fd, v, n, offset + done, 0);
		if (r == -EINTR)
			continue;
		if (r < 0)
			return (int)r;
		if (r == 0 && write)
			return -EIO;
		if (r == 0) { /* the end of the file */
			iov_zero(iov, n_iov, done, len - done);
			return 0;
		}
		done += (uint64_t)r;
	}
	return 0;
}

int plain_read(int fd, void *dst, size_t len, uint64_t offset)
{
	return plain_rw(fd, false, offset, &(struct iovec){ dst, len }, 1, len);
}

int plain_write(int fd, const void *src, size_t len, uint64_t offset)
{
	return plain_rw(fd, true, offset, &(struct iovec){ (void *)src, len }, 1, len);
}

int plain_sync(int fd)
{
	long r;

	do {
		r = SYS1(SYS_fdatasync, fd);
	} while (r == -EINTR);
	return r == -EINVAL || r == -EROFS ? 0 : (int)r; /* nothing to sync there */
}

static int fallocate_at(int fd, int mode, uint64_t offset, uint64_t len)
{
	long r;

	do {
		r = SYS4(SYS_fallocate, fd, mode, offset, len);
	} while (r == -EINTR);
	return r == -ENODEV || r == -EINVAL || r == -ENOSYS ? -EOPNOTSUPP : (int)r;
}

int plain_punch(int fd, uint64_t offset, uint64_t len)
{
	return fallocate_at(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, len);
}

int plain_zero(int fd, uint64_t offset, uint64_t len, bool unmap)
{
	static const char zero[ZERO_BYTES];
	int r = unmap ? plain_punch(fd, offset, len) : -EOPNOTSUPP;

	if (r == -EOPNOTSUPP)
		r = fallocate_at(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, offset, len);
	if (r == -EOPNOTSUPP)
		r = 0;
	else
		return r;
	for (uint64_t done = 0; done < len && r == 0;) {
		uint64_t n = len - done < ZERO_BYTES ? len - done : ZERO_BYTES;

		r = plain_write(fd, zero, (size_t)n, offset + done);
		done += n;
	}
	return r;
}

int plain_size(int fd, uint64_t *ret_size)
{
	struct stat st;
	int r = file_fstatat(fd, "", &st, AT_EMPTY_PATH);

	if (r < 0)
		return r;
	if (S_ISBLK(st.st_mode))
		return (int)SYS3(SYS_ioctl, fd, BLKGETSIZE64, ret_size);
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	*ret_size = (uint64_t)st.st_size;
	return 0;
}

bool plain_is_memory(int fd)
{
	struct statfs fs;

	return SYS2(SYS_fstatfs, fd, &fs) == 0 &&
	       (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC || fs.f_type == HUGETLBFS_MAGIC);
}
