/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layer.c - a layer into an EROFS image: the sink that feeds fmt/erofs, and the file that gets its name at
 * the end
 */
#include "store/layer.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "fmt/erofs.h"
#include "store/layer_internal.h"
#include "sys/file.h"
#include "sys/inode.h"

enum {
	TMP_NAME_SIZE = 48,
	TMP_TRIES_MAX = 100,
	/* Write-back goes on behind the stream, so that the fsync at the end does not find it all undone. */
	SOON_BYTES = 16 << 20,
};

struct image {
	struct layer_sink sink;
	struct erofs *erofs;     /* owned */
	int dirfd;               /* borrowed */
	int fd;                  /* owned */
	char tmp[TMP_NAME_SIZE]; /* its name meanwhile; "" with O_TMPFILE */
	uint64_t soon;           /* write-back is asked for up to here */
	uint64_t bytes;          /* length of the image */
	struct erofs_xattr xattrs[TAR_XATTRS_MAX];
};

static struct image *image_of(struct layer_sink *s)
{
	return (struct image *)s;
}

static int image_write(void *arg, const void *bytes, size_t len, uint64_t at, struct err *e)
{
	struct image *im = arg;
	int r = inode_pwrite(im->fd, bytes, len, at);

	if (r < 0)
		return err_sys(e, -r, "write the image");
	if (at > im->soon + 2UL * SOON_BYTES) { /* what is half a step behind is not touched again */
		inode_write_soon(im->fd, im->soon, at - SOON_BYTES - im->soon);
		im->soon = at - SOON_BYTES;
	}
	return 0;
}

static struct erofs_attr attr_of(struct image *im, const struct layer_entry *n)
{
	static const mode_t fmt[TAR_TYPE_COUNT] = {
		[TAR_CHAR] = S_IFCHR,
		[TAR_BLOCK] = S_IFBLK,
		[TAR_FIFO] = S_IFIFO,
	};

	for (size_t i = 0; i < n->n_xattrs; i++)
		im->xattrs[i] =
			(struct erofs_xattr){ n->xattrs[i].name, n->xattrs[i].value, n->xattrs[i].len };
	return (struct erofs_attr){
		.mode = fmt[n->tar->type] | n->tar->mode,
		.uid = n->tar->uid,
		.gid = n->tar->gid,
		.major = n->tar->major,
		.minor = n->tar->minor,
		.mtime_s = n->tar->mtime_s,
		.mtime_ns = n->tar->mtime_ns,
		.xattrs = im->xattrs,
		.n_xattrs = n->n_xattrs,
	};
}

static int image_dir(struct layer_sink *s, const struct layer_entry *n, struct err *e)
{
	struct erofs_attr a = attr_of(image_of(s), n);

	return erofs_add_dir(image_of(s)->erofs, n->path, &a, e);
}

static int image_file(struct layer_sink *s, const struct layer_entry *n, struct err *e)
{
	struct erofs_attr a = attr_of(image_of(s), n);

	return erofs_add_file(image_of(s)->erofs, n->path, &a, n->tar->size, e);
}

static int image_data(struct layer_sink *s, const void *bytes, uint64_t len, struct err *e)
{
	return erofs_write(image_of(s)->erofs, bytes, len, e);
}

static int image_symlink(struct layer_sink *s, const struct layer_entry *n, struct err *e)
{
	struct erofs_attr a = attr_of(image_of(s), n);

	return erofs_add_symlink(image_of(s)->erofs, n->path, &a, n->target, e);
}

static int image_link(struct layer_sink *s, const struct layer_entry *n, struct err *e)
{
	return erofs_add_link(image_of(s)->erofs, n->path, n->target, e);
}

static int image_node(struct layer_sink *s, const struct layer_entry *n, struct err *e)
{
	struct erofs_attr a = attr_of(image_of(s), n);

	return erofs_add_node(image_of(s)->erofs, n->path, &a, e);
}

static int image_whiteout(struct layer_sink *s, const char *path, struct err *e)
{
	return erofs_add_whiteout(image_of(s)->erofs, path, e);
}

static int image_opaque(struct layer_sink *s, const char *path, struct err *e)
{
	return erofs_set_opaque(image_of(s)->erofs, path, e);
}

/* publish() - the finished file gets its name; when the layer is there already, this one was not needed */
static int publish(struct image *im, const char *name, struct err *e)
{
	int r;

	if (im->tmp[0])
		r = file_rename(im->dirfd, im->tmp, im->dirfd, name, 0);
	else
		r = inode_publish(im->fd, im->dirfd, name);
	if (r == 0)
		im->tmp[0] = '\0';
	if (r == 0)
		r = file_sync(im->dirfd);
	return r < 0 && r != -EEXIST ? err_sys(e, -r, "name the image '%s'", name) : 0;
}

static int image_finish(struct layer_sink *s, const char *diff_id, struct err *e)
{
	struct image *im = image_of(s);
	char name[DIGEST_TEXT_SIZE + sizeof(".erofs")];
	uint8_t uuid[SHA256_DIGEST_LENGTH];
	SHA256_CTX h;
	const char *hex;
	int r;

	BUG_ON(digest_parse(diff_id, NULL, &hex) < 0);
	str_format(name, sizeof(name), "%s.erofs", hex);
	SHA256_Init(&h); /* not SHA256(): that one links all of libcrypto */
	SHA256_Update(&h, diff_id, strlen(diff_id));
	SHA256_Final(uuid, &h);
	uuid[6] = (uuid[6] & 0x0f) | 0x80; /* RFC 9562: version 8, made as we please */
	uuid[8] = (uuid[8] & 0x3f) | 0x80;
	r = erofs_finish(im->erofs, uuid, &im->bytes, e);
	if (r < 0)
		return r;
	r = inode_truncate(im->fd, im->bytes);
	if (r >= 0)
		r = file_sync(im->fd);
	return r < 0 ? err_sys(e, -r, "write the image") : publish(im, name, e);
}

static const struct layer_sink_ops image_ops = {
	.dir = image_dir,
	.file = image_file,
	.data = image_data,
	.symlink = image_symlink,
	.link = image_link,
	.node = image_node,
	.whiteout = image_whiteout,
	.opaque = image_opaque,
	.finish = image_finish,
};

/*
 * open_named() - where O_TMPFILE is not supported; locked, so that who cleans up can tell it from one left
 * behind
 */
static int open_named(struct image *im)
{
	static unsigned serial;
	int fd = -EEXIST;

	for (int i = 0; i < TMP_TRIES_MAX && fd == -EEXIST; i++) {
		str_format(im->tmp, sizeof(im->tmp), ".layer-%d-%u.tmp", (int)getpid(),
			   __atomic_fetch_add(&serial, 1, __ATOMIC_RELAXED));
		fd = file_open(im->dirfd, im->tmp, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0444);
	}
	if (fd < 0)
		im->tmp[0] = '\0';
	else
		file_lock(fd, true, false);
	return fd;
}

static int image_open(struct image *im, struct err *e)
{
	const struct erofs_out out = { image_write, im };

	im->fd = file_open(im->dirfd, ".", O_RDWR | O_TMPFILE, 0444);
	if (im->fd == -EOPNOTSUPP || im->fd == -EISDIR || im->fd == -ENOENT)
		im->fd = open_named(im);
	if (im->fd < 0)
		return err_sys(e, -im->fd, "make a file for the image");
	im->erofs = erofs_new(&out);
	return im->erofs ? 0 : err_sys(e, ENOMEM, "layer");
}

static void image_fini(struct image *im)
{
	erofs_free(im->erofs);
	if (im->tmp[0])
		file_unlink(im->dirfd, im->tmp, 0);
	fd_close(&im->fd);
}

int layer_write_erofs(int in_fd, int dirfd, const char *expect, struct layer_result *ret, struct err *e)
{
	auto_fini(image) struct image im = { .sink.ops = &image_ops, .dirfd = dirfd, .fd = -1 };
	int r = image_open(&im, e);

	if (r >= 0)
		r = layer__read_fd(in_fd, &im.sink, expect, 0, ret, e);
	if (r >= 0)
		ret->erofs_bytes = im.bytes;
	return r;
}
