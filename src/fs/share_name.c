/* SPDX-License-Identifier: Apache-2.0 */
/* share_name.c - names and attributes: what works on directories' entries and on inodes as such */
#include <errno.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "base/guard.h"
#include "fs/share_internal.h"
#include "sys/call.h"
#include "sys/file.h"
#include "sys/inode.h"

static struct fuse_entry_out *entry_out(struct share *s)
{
	return (struct fuse_entry_out *)s->small.bytes;
}

/* entry_reply() - what stands at @name now, with a reference. */
static long entry_reply(struct share *s, const struct share_node *dir, const char *name, struct share_io *io)
{
	int fd = share__find(s, dir, name);
	int r = fd < 0 ? fd : share__entry(s, fd, entry_out(s));

	return r < 0 ? r : share__reply(s, io, sizeof(struct fuse_entry_out));
}

long share__lookup(struct share *s, const struct fuse_request *r, struct share_io *io)
{
	int rc;
	struct share_node *dir = share__dir(s, r->h.nodeid, &rc);

	return dir ? entry_reply(s, dir, r->name, io) : rc;
}

/* --- attributes ------------------------------------------------------------------------------------------ */

static long attr_reply(struct share *s, const struct share_node *n, struct share_io *io)
{
	struct fuse_attr_out *out = (struct fuse_attr_out *)s->small.bytes;
	struct stat st;
	int r = share__stat(n->fd, &st);

	if (r < 0)
		return r;
	memset(out, 0, sizeof(*out));
	share__valid(s, &out->attr_valid, &out->attr_valid_nsec);
	share__attr(s, &st, &out->attr);
	return share__reply(s, io, sizeof(*out));
}

long share__getattr(struct share *s, const struct fuse_request *r, struct share_io *io)
{
	struct share_node *n = share__node(s, r->h.nodeid);

	return n ? attr_reply(s, n, io) : -ESTALE;
}

static int set_mode(struct share *s, const struct share_node *n, uint32_t mode)
{
	char name[SHARE_PROC_NAME];

	if (n->type == S_IFLNK)
		return -EOPNOTSUPP;
	return (int)SYS3(SYS_fchmodat, s->proc_fd, share__proc_name(n->fd, name), mode & 07777);
}

static int set_owner(struct share *s, const struct share_node *n, const struct fuse_setattr_in *in)
{
	if (s->c.squash)
		return -EPERM;
	return inode_chown(n->fd, in->valid & FATTR_UID ? in->uid : (uid_t)-1,
			   in->valid & FATTR_GID ? in->gid : (gid_t)-1);
}

static int set_size(struct share *s, const struct share_node *n, const struct fuse_setattr_in *in)
{
	struct share_open *o = in->valid & FATTR_FH ? share__open(s, in->fh, false) : NULL;
	auto_close int own = -1;
	int fd = o ? o->fd : -1, r = 0;

	if ((in->valid & FATTR_FH) && !o)
		return -EBADF;
	if (!o)
		fd = own = share__reopen(s, n, O_WRONLY);
	if (fd < 0)
		return fd;
	if (in->valid & FATTR_KILL_SUIDGID)
		r = share__drop_setid(fd);
	return r < 0 ? r : inode_truncate(fd, in->size);
}

static int set_times(const struct share_node *n, const struct fuse_setattr_in *in)
{
	struct timespec ts[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_nsec = UTIME_OMIT } };

	if (in->valid & FATTR_ATIME)
		ts[0] = (struct timespec){ (time_t)in->atime, in->atimensec };
	if (in->valid & FATTR_ATIME_NOW)
		ts[0].tv_nsec = UTIME_NOW;
	if (in->valid & FATTR_MTIME)
		ts[1] = (struct timespec){ (time_t)in->mtime, in->mtimensec };
	if (in->valid & FATTR_MTIME_NOW)
		ts[1].tv_nsec = UTIME_NOW;
	return (int)SYS4(SYS_utimensat, n->fd, "", ts, AT_EMPTY_PATH);
}

long share__setattr(struct share *s, const struct fuse_request *r, struct share_io *io)
{
	const struct fuse_setattr_in *in = r->in.setattr;
	struct share_node *n = share__node(s, r->h.nodeid);
	int rc = 0;

	if (!n)
		return -ESTALE;
	if (in->valid & FATTR_MODE)
		rc = set_mode(s, n, in->mode);
	if (rc == 0 && (in->valid & (FATTR_UID | FATTR_GID)))
		rc = set_owner(s, n, in);
	if (rc == 0 && (in->valid & FATTR_SIZE))
		rc = set_size(s, n, in);
	if (rc == 0 && (in->valid & (FATTR_ATIME | FATTR_MTIME | FATTR_ATIME_NOW | FATTR_MTIME_NOW)))
		rc = set_times(n, in);
	return rc < 0 ? rc : attr_reply(s, n, io);
}

long share__statfs(struct share *s, const struct fuse_request *r, struct share_io *io)
{
	struct share_node *n = share__node(s, r->h.nodeid);
	struct fuse_statfs_out *out = (struct fuse_statfs_out *)s->small.bytes;
	struct statfs st;
	int rc;

	if (!n)
		return -ESTALE;
	rc = (int)SYS2(SYS_fstatfs, n->fd, &st);
	if (rc < 0)
		return rc;
	memset(out, 0, sizeof(*out));
	out->st = (struct fuse_kstatfs){
		.blocks = st.f_blocks,
		.bfree = st.f_bfree,
		.bavail = st.f_bavail,
		.files = st.f_files,
		.ffree = st.f_ffree,
		.bsize = (uint32_t)st.f_bsize,
		.namelen = (uint32_t)st.f_namelen,
		.frsize = (uint32_t)st.f_frsize,
	};
	return share__reply(s, io, sizeof(*out));
}

long share__readlink(struct share *s, const struct fuse_request *r, struct share_io *io)
{
	struct share_node *n = share__node(s, r->h.nodeid);
	long len;

	if (!n)
		return -ESTALE;
	if (n->type != S_IFLNK)
		return -EINVAL;
	len = SYS4(SYS_readlinkat, n->fd, "", s->small.bytes, FUSE_TARGET_BYTES_MAX + 1);
	return len < 0 ? len : share__reply(s, io, (size_t)len);
}

/* --- making and removing --------------------------------------------------------------------------------- */

/* made() - @rc of what was to be made at @name; then the entry. */
static long made(struct share *s, const struct share_node *dir, const struct fuse_request *r, int rc,
		 struct share_io *io)
{
	return rc < 0 ? rc : entry_reply(s, dir, r->name, io);
}

long share__symlink(struct share *s, const struct fuse_request *r, struct share_io *io)
{
	int rc;
	struct share_node *dir = share__dir(s, r->h.nodeid, &rc);

	if (!dir)
		return rc;
	rc = share__ids_begin(s, &r->h);
	if (rc < 0)
		return rc;
	rc = inode_symlink(r->name2, dir->fd, r->name);
	share__ids_end(s, &r->h);
	return made(s, dir, r, rc, io);
}

long share__mknod(struct share *s, const struct fuse_request *r, struct share_io *io)
{
	uint32_t type = r->in.mknod->mode & S_IFMT;
	int rc;
	struct share_node *dir = share__dir(s, r->h.nodeid, &rc);

	if (!dir)
		return rc;
	if (type != S_IFREG && type != S_IFIFO && type != S_IFSOCK)
		return -EPERM; /* a device of the host, at a guest's wish: never */
	rc = share__ids_begin(s, &r->h);
	if (rc < 0)
		return rc;
	rc = inode_mknod(dir->fd, r->name, type | (r->in.mknod->mode & 07777), 0);
	share__ids_end(s, &r->h);
	return made(s, dir, r, rc, io);
}

long share__mkdir(struct share *s, const struct fuse_request *r, struct share_io *io)
{
	int rc;
	struct share_node *dir = share__dir(s, r->h.nodeid, &rc);

	if (!dir)
		return rc;
	rc = share__ids_begin(s, &r->h);
	if (rc < 0)
		return rc;
	rc = (int)SYS3(SYS_mkdirat, dir->fd, r->name, r->in.mkdir->mode & 07777);
	share__ids_end(s, &r->h);
	return made(s, dir, r, rc, io);
}

long share__unlink(struct share *s, const struct fuse_request *r, struct share_io *io)
{
	int rc;
	struct share_node *dir = share__dir(s, r->h.nodeid, &rc);

	(void)io;
	return dir ? file_unlink(dir->fd, r->name, 0) : rc;
}

long share__rmdir(struct share *s, const struct fuse_request *r, struct share_io *io)
{
	int rc;
	struct share_node *dir = share__dir(s, r->h.nodeid, &rc);

	(void)io;
	return dir ? file_unlink(dir->fd, r->name, AT_REMOVEDIR) : rc;
}

long share__rename(struct share *s, const struct fuse_request *r, struct share_io *io)
{
	int rc;
	struct share_node *from = share__dir(s, r->h.nodeid, &rc), *to;

	(void)io;
	if (!from)
		return rc;
	to = share__dir(s, r->in.rename->newdir, &rc);
	if (!to)
		return rc;
	if (r->in.rename->flags & ~(uint32_t)(RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL; /* a whiteout is a device node */
	return file_rename(from->fd, r->name, to->fd, r->name2, r->in.rename->flags);
}

long share__link(struct share *s, const struct fuse_request *r, struct share_io *io)
{
	int rc;
	struct share_node *dir = share__dir(s, r->h.nodeid, &rc);
	struct share_node *n = share__node(s, r->in.link->oldnodeid);
	char name[SHARE_PROC_NAME];

	if (!dir)
		return rc;
	if (!n)
		return -ESTALE;
	rc = (int)SYS5(SYS_linkat, s->proc_fd, share__proc_name(n->fd, name), dir->fd, r->name,
		       AT_SYMLINK_FOLLOW);
	return made(s, dir, r, rc, io);
}

/* --- CREATE ---------------------------------------------------------------------------------------------- */

/* create_new() - the file, if nothing is there. Return: fd; -EEXIST; -errno */
static int create_new(struct share *s, const struct share_node *dir, const struct fuse_request *r, int flags)
{
	struct open_how how = {
		.flags = (uint64_t)(flags | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY),
		.mode = r->in.create->mode & 07777,
		.resolve = share__resolve(s),
	};
	int rc = share__ids_begin(s, &r->h);

	if (rc < 0)
		return rc;
	rc = (int)SYS4(SYS_openat2, dir->fd, r->name, &how, sizeof(how));
	share__ids_end(s, &r->h);
	return rc;
}

/* create_existing() - what is there, if it is a file. */
static int create_existing(struct share *s, const struct share_node *dir, const struct fuse_request *r,
			   int flags, int *ret_path)
{
	struct share_node n = { 0 };

	*ret_path = share__find(s, dir, r->name);
	if (*ret_path < 0)
		return *ret_path;
	n.fd = *ret_path;
	return share__reopen(s, &n, flags);
}

long share__create(struct share *s, const struct fuse_request *r, struct share_io *io)
{
	auto_close int fd = -1;
	auto_close int path = -1;
	char name[SHARE_PROC_NAME];
	struct fuse_open_out *out = (struct fuse_open_out *)(s->small.bytes + sizeof(struct fuse_entry_out));
	int rc, flags;
	struct share_node *dir = share__dir(s, r->h.nodeid, &rc);

	if (!dir)
		return rc;
	rc = share__open_flags(s, r->in.create->flags, &flags);
	if (rc < 0)
		return rc;
	fd = create_new(s, dir, r, flags & ~O_TRUNC);
	if (fd == -EEXIST && !(r->in.create->flags & O_EXCL))
		fd = create_existing(s, dir, r, flags, &path);
	else if (fd >= 0) /* by descriptor: the name may be another's by now */
		path = file_open(s->proc_fd, share__proc_name(fd, name), O_PATH, 0);
	if (fd < 0 || path < 0)
		return fd < 0 ? fd : path;
	memset(out, 0, sizeof(*out));
	rc = share__open_add(s, TAKE_FD(fd), false, &out->fh);
	if (rc < 0)
		return rc;
	rc = share__entry(s, TAKE_FD(path), entry_out(s));
	if (rc < 0) {
		share__open_drop(s, share__open(s, out->fh, false));
		return rc;
	}
	out->open_flags = share__fopen_flags(s);
	return share__reply(s, io, sizeof(struct fuse_entry_out) + sizeof(*out));
}
