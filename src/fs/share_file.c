/* SPDX-License-Identifier: Apache-2.0 */
/* share_file.c - open files: bytes go between the file and the guest's memory without a stop */
#include <errno.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/guard.h"
#include "fs/share_internal.h"
#include "sys/call.h"
#include "sys/file.h"

/*
 * share__open_flags() - of what a guest asks, what may be. O_APPEND stays: its writes carry offsets from the end as the guest
 * knows it, and another writer's bytes must not be overwritten. O_DIRECT does not: guest memory need not be aligned for it.
 */
int share__open_flags(const struct share *s, uint32_t asked, int *ret_flags)
{
	int flags = (int)asked & (O_ACCMODE | O_APPEND | O_TRUNC | O_SYNC | O_DSYNC);

	if ((flags & O_ACCMODE) == O_ACCMODE)
		return -EINVAL;
	if (s->c.readonly && ((flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC)))
		return -EROFS;
	*ret_flags = flags;
	return 0;
}

uint32_t share__fopen_flags(const struct share *s)
{
	static const uint32_t flags[SHARE_CACHE_COUNT] = { FOPEN_DIRECT_IO, 0,
							   FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR };

	return flags[s->c.cache];
}

/* share__drop_setid() - a write by somebody without the right to keep them; as HANDLE_KILLPRIV_V2 wants it. */
int share__drop_setid(int fd)
{
	struct stat st;
	int r = share__stat(fd, &st);
	mode_t mode = st.st_mode & 07777;

	if (r < 0)
		return r;
	if ((st.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP))
		mode &= ~(mode_t)S_ISGID;
	mode &= ~(mode_t)S_ISUID;
	return mode == (st.st_mode & 07777) ? 0 : (int)SYS2(SYS_fchmod, fd, mode);
}

long share__open_file(struct share *s, const struct fuse_request *r, struct share_io *io)
{
	struct share_node *n = share__node(s, r->h.nodeid);
	struct fuse_open_out *out = (struct fuse_open_out *)s->small.bytes;
	int flags, fd, rc;

	if (!n)
		return -ESTALE;
	rc = share__open_flags(s, r->in.open->flags, &flags);
	if (rc < 0)
		return rc;
	if (n->type == S_IFDIR)
		return -EISDIR;
	fd = share__reopen(s, n, flags);
	if (fd < 0)
		return fd;
	if (r->in.open->open_flags & FUSE_OPEN_KILL_SUIDGID)
		share__drop_setid(fd);
	memset(out, 0, sizeof(*out));
	rc = share__open_add(s, fd, false, &out->fh);
	if (rc < 0)
		return rc;
	out->open_flags = share__fopen_flags(s);
	return share__reply(s, io, sizeof(*out));
}

/* cut() - the first @len bytes of @from. Return: segments. */
static unsigned cut(struct iovec *to, const struct iovec *from, unsigned n, size_t len)
{
	unsigned i;

	for (i = 0; i < n && i < SHARE_SEGS_MAX && len > 0; i++) {
		to[i] = from[i];
		if (to[i].iov_len > len)
			to[i].iov_len = len;
		len -= to[i].iov_len;
	}
	return i;
}

long share__read(struct share *s, const struct fuse_request *r, struct share_io *io)
{
	struct share_open *o = share__open(s, r->in.read->fh, false);
	struct iovec iov[SHARE_SEGS_MAX];
	unsigned n;
	long len;

	if (!o)
		return -EBADF;
	if (r->in.read->size > io->room_len || r->in.read->size > SHARE_IO_MAX ||
	    r->in.read->offset > INT64_MAX)
		return -EINVAL;
	n = cut(iov, io->room, io->n_room, r->in.read->size);
	do {
		len = SYS5(SYS_preadv, o->fd, iov, n, r->in.read->offset, 0);
	} while (len == -EINTR);
	return len;
}

long share__write(struct share *s, const struct fuse_request *r, struct share_io *io)
{
	const struct fuse_write_in *in = r->in.write;
	struct share_open *o = share__open(s, in->fh, false);
	struct fuse_write_out *out = (struct fuse_write_out *)s->small.bytes;
	struct iovec iov[SHARE_SEGS_MAX];
	unsigned n;
	long len;

	if (!o)
		return -EBADF;
	if (in->size > io->data_len || in->size > SHARE_IO_MAX || in->offset > INT64_MAX)
		return -EINVAL;
	if (in->write_flags & FUSE_WRITE_KILL_SUIDGID)
		share__drop_setid(o->fd);
	n = cut(iov, io->data, io->n_data, in->size);
	do {
		len = SYS5(SYS_pwritev, o->fd, iov, n, in->offset, 0);
	} while (len == -EINTR);
	if (len < 0)
		return len;
	*out = (struct fuse_write_out){ .size = (uint32_t)len };
	return share__reply(s, io, sizeof(*out));
}

long share__release(struct share *s, const struct fuse_request *r, struct share_io *io)
{
	struct share_open *o = share__open(s, r->in.release->fh, r->h.opcode == FUSE_RELEASEDIR);

	(void)io;
	if (!o)
		return -EBADF;
	share__open_drop(s, o);
	return 0;
}

/* What close(2) would report is known to us only when the last descriptor goes; writes went through already. */
long share__flush(struct share *s, const struct fuse_request *r, struct share_io *io)
{
	(void)io;
	return share__open(s, r->in.flush->fh, false) ? 0 : -EBADF;
}

long share__fsync(struct share *s, const struct fuse_request *r, struct share_io *io)
{
	struct share_open *o = share__open(s, r->in.fsync->fh, r->h.opcode == FUSE_FSYNCDIR);

	(void)io;
	if (!o)
		return -EBADF;
	return SYS1(r->in.fsync->fsync_flags & FUSE_FSYNC_FDATASYNC ? SYS_fdatasync : SYS_fsync, o->fd);
}

long share__fallocate(struct share *s, const struct fuse_request *r, struct share_io *io)
{
	const struct fuse_fallocate_in *in = r->in.fallocate;
	struct share_open *o = share__open(s, in->fh, false);

	(void)io;
	if (!o)
		return -EBADF;
	if (in->mode & ~(uint32_t)(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		return -EOPNOTSUPP;
	return SYS4(SYS_fallocate, o->fd, in->mode, in->offset, in->length);
}

long share__lseek(struct share *s, const struct fuse_request *r, struct share_io *io)
{
	const struct fuse_lseek_in *in = r->in.lseek;
	struct share_open *o = share__open(s, in->fh, false);
	struct fuse_lseek_out *out = (struct fuse_lseek_out *)s->small.bytes;
	long at;

	if (!o)
		return -EBADF;
	if (in->whence != SEEK_DATA && in->whence != SEEK_HOLE)
		return -EINVAL; /* the others are the guest's own to answer */
	at = SYS3(SYS_lseek, o->fd, in->offset, in->whence);
	if (at < 0)
		return at;
	out->offset = (uint64_t)at;
	return share__reply(s, io, sizeof(*out));
}

long share__copy(struct share *s, const struct fuse_request *r, struct share_io *io)
{
	const struct fuse_copy_file_range_in *in = r->in.copy;
	struct share_open *from = share__open(s, in->fh_in, false), *to = share__open(s, in->fh_out, false);
	struct fuse_write_out *out = (struct fuse_write_out *)s->small.bytes;
	uint64_t len = in->len < SHARE_COPY_MAX ? in->len : SHARE_COPY_MAX;
	int64_t at_in = (int64_t)in->off_in, at_out = (int64_t)in->off_out;
	long n;

	if (!from || !to)
		return -EBADF;
	if (in->flags)
		return -EINVAL;
	n = SYS6(SYS_copy_file_range, from->fd, &at_in, to->fd, &at_out, len, 0);
	if (n < 0)
		return n;
	*out = (struct fuse_write_out){ .size = (uint32_t)n };
	return share__reply(s, io, sizeof(*out));
}
