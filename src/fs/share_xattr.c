/* SPDX-License-Identifier: Apache-2.0 */
/* share_xattr.c - extended attributes: "user." ones; others would speak to the host's kernel */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/guard.h"
#include "base/str.h"
#include "fs/share_internal.h"
#include "sys/call.h"

static bool allowed(const struct share *s, const char *name)
{
	return s->c.xattr_all || str_starts(name, "user.");
}

/* xattr_open() - symlinks and special files have no attributes of users. Return: fd; -EOPNOTSUPP. */
static int xattr_open(struct share *s, uint64_t id)
{
	struct share_node *n = share__node(s, id);

	if (!n)
		return -ESTALE;
	if (n->type != S_IFREG && n->type != S_IFDIR)
		return -EOPNOTSUPP;
	return share__reopen(s, n, O_RDONLY);
}

/* sized() - the reply to a question for @n bytes with room for @asked: the size alone, or the bytes. */
static long sized(struct share *s, long n, uint32_t asked, struct share_io *io)
{
	if (n < 0)
		return n;
	if (asked == 0) {
		struct fuse_getxattr_out *out = (struct fuse_getxattr_out *)s->small.bytes;

		*out = (struct fuse_getxattr_out){ .size = (uint32_t)n };
		return share__reply(s, io, sizeof(*out));
	}
	return n > (long)asked ? -ERANGE : share__reply(s, io, (size_t)n);
}

long share__getxattr(struct share *s, const struct fuse_request *r, struct share_io *io)
{
	auto_close int fd = -1;

	if (!allowed(s, r->name))
		return -ENODATA;
	fd = xattr_open(s, r->h.nodeid);
	if (fd < 0)
		return fd;
	return sized(s, SYS4(SYS_fgetxattr, fd, r->name, s->small.bytes, FUSE_XATTR_BYTES_MAX),
		     r->in.getxattr->size, io);
}

/* keep_allowed() - drop the names in s->small that a guest may not see. Return: bytes left. */
static long keep_allowed(struct share *s, long len)
{
	char *p = (char *)s->small.bytes;
	long to = 0;

	for (long i = 0; i < len;) {
		long n = (long)strnlen(p + i, (size_t)(len - i)) + 1;

		if (i + n > len)
			break;
		if (allowed(s, p + i)) {
			memmove(p + to, p + i, (size_t)n);
			to += n;
		}
		i += n;
	}
	return to;
}

long share__listxattr(struct share *s, const struct fuse_request *r, struct share_io *io)
{
	auto_close int fd = xattr_open(s, r->h.nodeid);
	long n;

	if (fd == -EOPNOTSUPP)
		return sized(s, 0, r->in.getxattr->size, io);
	if (fd < 0)
		return fd;
	n = SYS3(SYS_flistxattr, fd, s->small.bytes, FUSE_XATTR_BYTES_MAX);
	return sized(s, n < 0 ? n : keep_allowed(s, n), r->in.getxattr->size, io);
}

long share__setxattr(struct share *s, const struct fuse_request *r, struct share_io *io)
{
	auto_close int fd = -1;

	(void)io;
	if (!allowed(s, r->name))
		return -EPERM;
	fd = xattr_open(s, r->h.nodeid);
	if (fd < 0)
		return fd;
	return SYS5(SYS_fsetxattr, fd, r->name, r->value, r->value_len, r->in.setxattr->flags);
}

long share__removexattr(struct share *s, const struct fuse_request *r, struct share_io *io)
{
	auto_close int fd = -1;

	(void)io;
	if (!allowed(s, r->name))
		return -EPERM;
	fd = xattr_open(s, r->h.nodeid);
	if (fd < 0)
		return fd;
	return SYS2(SYS_fremovexattr, fd, r->name);
}
