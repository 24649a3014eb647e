/* SPDX-License-Identifier: Apache-2.0 */
/* share_dir.c - reading directories, plain and with a LOOKUP of each entry */
#include <dirent.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/guard.h"
#include "base/str.h"
#include "fs/share_internal.h"
#include "sys/call.h"
#include "sys/file.h"

struct linux_dirent { /* what getdents64(2) writes */
	uint64_t ino;
	int64_t off; /* where the next one is */
	uint16_t reclen;
	uint8_t type;
	char name[];
};

long share__opendir(struct share *s, const struct fuse_request *r, struct share_io *io)
{
	struct fuse_open_out *out = (struct fuse_open_out *)s->small.bytes;
	int rc, fd;
	struct share_node *n = share__dir(s, r->h.nodeid, &rc);

	if (!n)
		return rc;
	fd = share__reopen(s, n, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return fd;
	memset(out, 0, sizeof(*out));
	rc = share__open_add(s, fd, true, &out->fh);
	if (rc < 0)
		return rc;
	out->open_flags = s->c.cache == SHARE_CACHE_ALWAYS ? FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR : 0;
	return share__reply(s, io, sizeof(*out));
}

/* The listing under construction, in s->small. */
struct listing {
	struct share *s;
	struct share_node *dir;
	size_t len, max;
	bool plus;
};

/* entry_plus() - a reference to @name when it is to be had; else an entry without one (node id 0). */
static void entry_plus(struct listing *l, const char *name, struct fuse_entry_out *out)
{
	int fd;

	memset(out, 0, sizeof(*out));
	/* half of the table is kept for what the guest names itself */
	if (str_eq(name, ".") || str_eq(name, "..") || l->s->n_nodes >= l->s->max_nodes / 2)
		return;
	fd = share__find(l->s, l->dir, name);
	if (fd >= 0 && share__entry(l->s, fd, out) < 0)
		memset(out, 0, sizeof(*out));
}

/* entry_add() - Return: false: it does not fit. */
static bool entry_add(struct listing *l, const struct linux_dirent *d)
{
	size_t namelen = strlen(d->name), head = l->plus ? sizeof(struct fuse_entry_out) : 0;
	size_t len = FUSE_DIRENT_ALIGN(head + FUSE_NAME_OFFSET + namelen);
	uint8_t *at = l->s->small.bytes + l->len;
	struct fuse_dirent *out = (struct fuse_dirent *)(void *)(at + head);

	if (namelen > FUSE_NAME_BYTES_MAX)
		return true; /* no guest could say it: as if it were not there */
	if (len > l->max - l->len)
		return false;
	memset(at, 0, len);
	if (l->plus)
		entry_plus(l, d->name, (struct fuse_entry_out *)(void *)at);
	out->ino = d->ino;
	if (l->dir == &l->s->node[SHARE_ROOT] && str_eq(d->name, ".."))
		out->ino = l->dir->ino; /* what is above the root is nobody's business */
	out->off = (uint64_t)d->off;
	out->namelen = (uint32_t)namelen;
	out->type = d->type;
	memcpy(out->name, d->name, namelen);
	l->len += len;
	return true;
}

long share__readdir(struct share *s, const struct fuse_request *r, struct share_io *io)
{
	const struct fuse_read_in *in = r->in.read;
	struct share_open *o = share__open(s, in->fh, true);
	struct listing l = { .s = s, .plus = r->h.opcode == FUSE_READDIRPLUS };
	size_t max = in->size < SHARE_DIR_MAX ? in->size : SHARE_DIR_MAX;
	long n, at;
	int rc;

	l.dir = share__dir(s, r->h.nodeid, &rc);
	if (!l.dir)
		return rc;
	if (!o)
		return -EBADF;
	l.max = max < io->room_len ? max : io->room_len;
	at = SYS3(SYS_lseek, o->fd, in->offset, SEEK_SET);
	if (at < 0)
		return at;
	n = SYS3(SYS_getdents64, o->fd, s->dirents.bytes, max);
	if (n < 0)
		return n;
	for (long i = 0; i < n;) {
		const struct linux_dirent *d =
			(const struct linux_dirent *)(const void *)(s->dirents.bytes + i);

		if (!entry_add(&l, d))
			break;
		i += d->reclen;
	}
	if (n > 0 && l.len == 0)
		return -EINVAL; /* not even one fits */
	return share__reply(s, io, l.len);
}
