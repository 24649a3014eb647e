/* SPDX-License-Identifier: Apache-2.0 */
/*
 * share.c - making a share, negotiation, and which operation does what
 *
 * syscalls(share): openat openat2 newfstatat fstat readlinkat symlinkat mknodat mkdirat unlinkat renameat2 linkat fchmod fchmodat
 *	fchownat utimensat ftruncate preadv pwritev pread64 pwrite64 lseek getdents64 fsync fdatasync fallocate
 *	copy_file_range fstatfs fgetxattr fsetxattr flistxattr fremovexattr setfsuid setfsgid capget capset fcntl
 */
#include "fs/share.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "fs/share_internal.h"
#include "sys/call.h"
#include "sys/file.h"
#include "sys/mount.h"

enum { MINOR_OLDEST = 27, MAX_BACKGROUND = 64, MAX_PAGES = SHARE_IO_MAX / 4096 };

bool share_setxattr_ext(const struct share *s)
{
	return s->setxattr_ext;
}

/* --- making ---------------------------------------------------------------------------------------------- */

/* root_open() - a copy of the directory's mount that hangs nowhere; without the right to make one, the directory. */
static int root_open(const struct share_config *c)
{
	auto_close int dir = file_open(c->root_fd, ".", O_PATH | O_DIRECTORY, 0);
	int tree, r;

	if (dir < 0)
		return dir;
	tree = mnt_open_tree(dir, "",
			     OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH |
				     (c->submounts ? AT_RECURSIVE : 0));
	if (tree < 0)
		return TAKE_FD(dir);
	r = mnt_set_attr(tree, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | (c->readonly ? MOUNT_ATTR_RDONLY : 0),
			 0, 0, -1, c->submounts);
	if (r < 0) {
		fd_close(&tree);
		return TAKE_FD(dir);
	}
	return tree;
}

/* proc_open() - /proc/self/fd, cut off from the rest of /proc when that can be. */
static int proc_open(void)
{
	auto_close int dir = file_open(AT_FDCWD, "/proc/self/fd", O_PATH | O_DIRECTORY, 0);
	int tree =
		dir < 0 ? dir : mnt_open_tree(dir, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);

	return tree < 0 ? TAKE_FD(dir) : tree;
}

/* limits() - as many descriptors as are asked for, or as the process may have. */
static void limits(struct share *s)
{
	struct rlimit l = { 1024, 1024 };
	uint64_t room;

	getrlimit(RLIMIT_NOFILE, &l);
	room = l.rlim_cur > 2UL * SHARE_FDS_KEPT ? l.rlim_cur - SHARE_FDS_KEPT : SHARE_FDS_KEPT;
	s->max_open = room / 4 < SHARE_OPEN_MAX ? (unsigned)(room / 4) : SHARE_OPEN_MAX;
	room -= s->max_open;
	s->max_nodes = s->c.max_nodes ? s->c.max_nodes : SHARE_NODES_MAX;
	if (s->max_nodes > room)
		s->max_nodes = (unsigned)room;
}

static int share_make(struct share *s, struct err *e)
{
	s->root_fd = root_open(&s->c);
	if (s->root_fd < 0)
		return err_sys(e, -s->root_fd, "share: directory");
	s->proc_fd = proc_open();
	if (s->proc_fd < 0)
		return err_sys(e, -s->proc_fd, "share: /proc/self/fd");
	limits(s);
	s->node = calloc(s->max_nodes, sizeof(*s->node));
	s->open = calloc(s->max_open, sizeof(*s->open));
	if (!s->node || !s->open)
		return err_sys(e, ENOMEM, "share");
	share_reset(s);
	return s->n_nodes == 1 ? 0 : err_set(e, EMFILE, "share: no descriptor is left");
}

int share_new(struct share **ret_s, const struct share_config *c, struct err *e)
{
	struct share *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return err_sys(e, ENOMEM, "share");
	s->c = *c;
	s->c.root_fd = -1;
	s->root_fd = s->proc_fd = -1;
	s->node_free = s->open_free = SHARE_NONE;
	for (unsigned i = 0; i < SHARE_HASH; i++)
		s->hash[i] = SHARE_NONE;
	s->c.root_fd = c->root_fd; /* borrowed until share_make() returns */
	r = share_make(s, e);
	s->c.root_fd = -1;
	if (r < 0) {
		share_free(s);
		return r;
	}
	*ret_s = s;
	return 0;
}

void share_free(struct share *s)
{
	if (!s)
		return;
	for (unsigned i = 0; i < s->nodes_high; i++)
		fd_close(&s->node[i].fd);
	for (unsigned i = 0; i < s->open_high; i++)
		fd_close(&s->open[i].fd);
	free(s->node);
	free(s->open);
	fd_close(&s->root_fd);
	fd_close(&s->proc_fd);
	free(s);
}

int share_thread_begin(struct share *s)
{
	int r = (int)SYS1(SYS_unshare, CLONE_FS); /* a umask, and a working directory, of our own */

	if (r < 0)
		return r;
	SYS1(SYS_umask, 0);
	s->switch_ids = !s->c.squash && SYS0(SYS_geteuid) == 0;
	return s->switch_ids ? cred_get_caps(&s->caps) : 0;
}

/* --- negotiation ----------------------------------------------------------------------------------------- */

/* Spec: the kernel's <linux/fuse.h>, FUSE_INIT: what both want; the older minor version counts */
static long serve_init(struct share *s, const struct fuse_request *r, struct share_io *io)
{
	const struct fuse_init_in *in = r->in.init;
	struct fuse_init_out *out = (struct fuse_init_out *)s->small.bytes;
	uint32_t want = FUSE_ASYNC_READ | FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES | FUSE_ASYNC_DIO |
			FUSE_PARALLEL_DIROPS | FUSE_MAX_PAGES | FUSE_HANDLE_KILLPRIV_V2 | FUSE_SETXATTR_EXT |
			FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO;

	if (in->major < FUSE_KERNEL_VERSION || (in->major == FUSE_KERNEL_VERSION && in->minor < MINOR_OLDEST))
		return -EPROTO;
	memset(out, 0, sizeof(*out));
	out->major = FUSE_KERNEL_VERSION;
	out->minor = FUSE_KERNEL_MINOR_VERSION;
	if (in->major > FUSE_KERNEL_VERSION) /* it will ask again with ours */
		return share__reply(s, io, sizeof(*out));
	share_reset(s); /* a kernel that starts anew has nothing */
	if (s->c.cache == SHARE_CACHE_AUTO)
		want |= FUSE_AUTO_INVAL_DATA;
	if (s->c.cache != SHARE_CACHE_NONE)
		want |= FUSE_CACHE_SYMLINKS;
	out->flags = in->flags & want;
	s->setxattr_ext = out->flags & FUSE_SETXATTR_EXT;
	s->plus = out->flags & FUSE_DO_READDIRPLUS;
	s->ready = true;
	out->max_readahead = in->max_readahead < SHARE_IO_MAX ? in->max_readahead : SHARE_IO_MAX;
	out->max_background = MAX_BACKGROUND;
	out->congestion_threshold = MAX_BACKGROUND * 3 / 4;
	out->max_write = SHARE_IO_MAX;
	out->time_gran = 1;
	out->max_pages = MAX_PAGES;
	return share__reply(s, io, sizeof(*out));
}

static long serve_destroy(struct share *s, const struct fuse_request *r, struct share_io *io)
{
	(void)r;
	(void)io;
	share_reset(s);
	return 0;
}

static long serve_forget(struct share *s, const struct fuse_request *r, struct share_io *io)
{
	(void)io;
	if (r->h.opcode == FUSE_FORGET)
		share__forget(s, r->h.nodeid, r->in.forget->nlookup);
	for (unsigned i = 0; i < r->n_forgets; i++)
		share__forget(s, r->forgets[i].nodeid, r->forgets[i].nlookup);
	return 0;
}

/* A request that is being served cannot be interrupted: it ends soon by itself. */
static long serve_nothing(struct share *s, const struct fuse_request *r, struct share_io *io)
{
	(void)s;
	(void)r;
	(void)io;
	return 0;
}

/* --- dispatch -------------------------------------------------------------------------------------------- */

/* What is not here is ENOSYS: locks (then the guest keeps its own), ACCESS (it checks permissions itself), IOCTL, POLL, BMAP. */
static share_op *op_of(uint32_t opcode)
{
	switch (opcode) {
	case FUSE_INIT: return serve_init;
	case FUSE_DESTROY: return serve_destroy;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET: return serve_forget;
	case FUSE_INTERRUPT: return serve_nothing;
	case FUSE_LOOKUP: return share__lookup;
	case FUSE_GETATTR: return share__getattr;
	case FUSE_SETATTR: return share__setattr;
	case FUSE_READLINK: return share__readlink;
	case FUSE_SYMLINK: return share__symlink;
	case FUSE_MKNOD: return share__mknod;
	case FUSE_MKDIR: return share__mkdir;
	case FUSE_UNLINK: return share__unlink;
	case FUSE_RMDIR: return share__rmdir;
	case FUSE_RENAME:
	case FUSE_RENAME2: return share__rename;
	case FUSE_LINK: return share__link;
	case FUSE_CREATE: return share__create;
	case FUSE_STATFS: return share__statfs;
	case FUSE_OPEN: return share__open_file;
	case FUSE_READ: return share__read;
	case FUSE_WRITE: return share__write;
	case FUSE_RELEASE:
	case FUSE_RELEASEDIR: return share__release;
	case FUSE_FSYNC:
	case FUSE_FSYNCDIR: return share__fsync;
	case FUSE_FLUSH: return share__flush;
	case FUSE_FALLOCATE: return share__fallocate;
	case FUSE_LSEEK: return share__lseek;
	case FUSE_COPY_FILE_RANGE: return share__copy;
	case FUSE_OPENDIR: return share__opendir;
	case FUSE_READDIR:
	case FUSE_READDIRPLUS: return share__readdir;
	case FUSE_SETXATTR: return share__setxattr;
	case FUSE_GETXATTR: return share__getxattr;
	case FUSE_LISTXATTR: return share__listxattr;
	case FUSE_REMOVEXATTR: return share__removexattr;
	default: return NULL;
	}
}

long share_serve(struct share *s, const struct fuse_request *r, struct share_io *io)
{
	share_op *op = op_of(r->h.opcode);
	long n;

	io->small = NULL;
	if (!op)
		return -ENOSYS;
	if (!s->ready && r->h.opcode != FUSE_INIT)
		return -EIO;
	if (s->c.readonly && fuse_is_change(r->h.opcode))
		return -EROFS;
	n = op(s, r, io);
	if (n > 0 && (size_t)n > io->room_len) /* a reply that the guest left no room for */
		return -EINVAL;
	return n;
}
