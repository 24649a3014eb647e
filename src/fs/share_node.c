/* SPDX-License-Identifier: Apache-2.0 */
/* share_node.c - numbers for the guest, descriptors for us */
#include <assert.h>
#include <errno.h>
#include <linux/openat2.h>
#include <string.h>

#include "base/guard.h"
#include "base/str.h"
#include "fmt/record.h"
#include "fs/share_internal.h"
#include "sys/call.h"
#include "sys/file.h"

enum { RACES_MAX = 16, SHARE_RECORD_VERSION = 1 };

#define CAP_BIT_FSETID (1ULL << 4) /* CAP_FSETID */

static uint64_t id_of(const struct share *s, const struct share_node *n)
{
	return (uint64_t)n->gen << 32 | (uint64_t)(n - s->node + FUSE_ROOT_ID);
}

struct share_node *share__node(struct share *s, uint64_t id)
{
	uint64_t at = (id & UINT32_MAX) - FUSE_ROOT_ID; /* of 0: beyond any table */
	struct share_node *n;

	if (at >= s->nodes_high)
		return NULL;
	n = &s->node[at];
	return n->fd < 0 || n->gen != id >> 32 ? NULL : n;
}

struct share_node *share__dir(struct share *s, uint64_t id, int *ret_rc)
{
	struct share_node *n = share__node(s, id);

	*ret_rc = n ? -ENOTDIR : -ESTALE;
	return n && n->type == S_IFDIR ? n : NULL;
}

int share__stat(int fd, struct stat *ret_st)
{
	return file_fstatat(fd, "", ret_st, AT_EMPTY_PATH);
}

uint64_t share__resolve(const struct share *s)
{
	return RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS |
	       (s->c.submounts ? 0 : RESOLVE_NO_XDEV);
}

int share__find(const struct share *s, const struct share_node *dir, const char *name)
{
	struct open_how how = { .flags = O_PATH | O_NOFOLLOW | O_CLOEXEC, .resolve = share__resolve(s) };
	long r = -EAGAIN;

	for (int i = 0; i < RACES_MAX && (r == -EAGAIN || r == -EINTR); i++)
		r = SYS4(SYS_openat2, dir->fd, name, &how, sizeof(how));
	return (int)r;
}

/* --- the table of nodes ---------------------------------------------------------------------------------- */

static int *bucket(struct share *s, dev_t dev, ino_t ino)
{
	return &s->hash[((ino * 0x9e3779b97f4a7c15ULL) ^ dev) >> 52];
}
static_assert(SHARE_HASH == 1 << (64 - 52), "bucket() gives an index of the table");

static struct share_node *node_known(struct share *s, const struct stat *st)
{
	for (int i = *bucket(s, st->st_dev, st->st_ino); i != SHARE_NONE; i = s->node[i].next)
		if (s->node[i].ino == st->st_ino && s->node[i].dev == st->st_dev)
			return &s->node[i];
	return NULL;
}

/* node_new() - Return: NULL at the limit. */
static struct share_node *node_new(struct share *s, int fd, const struct stat *st)
{
	int *head = bucket(s, st->st_dev, st->st_ino);
	struct share_node *n;

	if (s->node_free != SHARE_NONE) {
		n = &s->node[s->node_free];
		s->node_free = n->next;
	} else if (s->nodes_high < s->max_nodes) {
		n = &s->node[s->nodes_high++];
		n->gen = n == s->node ? 0 : s->first_gen;
	} else {
		return NULL;
	}
	s->n_nodes++;
	n->fd = fd;
	n->dev = st->st_dev;
	n->ino = st->st_ino;
	n->type = st->st_mode & S_IFMT;
	n->nlookup = 0;
	n->next = *head;
	*head = (int)(n - s->node);
	return n;
}

static void node_drop(struct share *s, struct share_node *n)
{
	int at = (int)(n - s->node);

	for (int *p = bucket(s, n->dev, n->ino); *p != SHARE_NONE; p = &s->node[*p].next)
		if (*p == at) {
			*p = n->next;
			break;
		}
	fd_close(&n->fd);
	n->gen++;
	n->next = s->node_free;
	s->node_free = at;
	s->n_nodes--;
}

void share__forget(struct share *s, uint64_t id, uint64_t n)
{
	struct share_node *node = share__node(s, id);

	if (!node || n > node->nlookup) {
		s->n_nonsense++;
		n = node ? node->nlookup : 0;
	}
	if (!node || id == FUSE_ROOT_ID)
		return;
	node->nlookup -= n;
	if (node->nlookup == 0)
		node_drop(s, node);
}

int share__entry(struct share *s, int fd, struct fuse_entry_out *ret_e)
{
	auto_close int own = fd;
	struct share_node *n;
	struct stat st;
	int r = share__stat(fd, &st);

	if (r < 0)
		return r;
	n = node_known(s,
		       &st); /* its descriptor holds the inode: the number cannot be another file's by now */
	if (!n) {
		n = node_new(s, own, &st);
		if (!n)
			return -ENFILE;
		own = -1;
	}
	n->nlookup++;
	memset(ret_e, 0, sizeof(*ret_e));
	ret_e->nodeid = id_of(s, n);
	share__valid(s, &ret_e->entry_valid, &ret_e->entry_valid_nsec);
	share__valid(s, &ret_e->attr_valid, &ret_e->attr_valid_nsec);
	share__attr(s, &st, &ret_e->attr);
	return 0;
}

static int nodes_root(struct share *s)
{
	int fd = (int)SYS3(SYS_fcntl, s->root_fd, F_DUPFD_CLOEXEC, 3);
	struct stat st;
	int r = fd < 0 ? fd : share__stat(fd, &st);

	if (r < 0) {
		guard_close(&fd);
		return r;
	}
	node_new(s, fd, &st)->nlookup = 1;
	return 0;
}

void share_reset(struct share *s)
{
	for (unsigned i = 0; i < s->nodes_high; i++)
		if (s->node[i].fd >= 0 && i != SHARE_ROOT)
			node_drop(s, &s->node[i]);
	for (unsigned i = 0; i < s->open_high; i++)
		if (s->open[i].fd >= 0)
			share__open_drop(s, &s->open[i]);
	s->ready = s->setxattr_ext = s->plus = false;
	if (s->nodes_high == 0)
		nodes_root(s); /* share_new() looks whether it is there */
}

/* --- snapshots ------------------------------------------------------------------------------------------- */

void share_save(const struct share *s, struct record_out *o)
{
	uint32_t gen = s->first_gen;

	for (unsigned i = 0; i < s->nodes_high; i++)
		gen = s->node[i].gen > gen ? s->node[i].gen : gen;
	for (unsigned i = 0; i < s->open_high; i++)
		gen = s->open[i].gen > gen ? s->open[i].gen : gen;
	record_begin(o, "SHARE", SHARE_RECORD_VERSION);
	record_put_u8(o, s->ready);
	record_put_u8(o, s->setxattr_ext);
	record_put_u8(o, s->plus);
	record_put_u32(o, gen + 1);
	record_end(o);
}

void share_restore(struct share *s, struct record_in *in)
{
	if (!record_open(in, "SHARE", SHARE_RECORD_VERSION))
		return;
	s->ready = record_get_u8(in) & 1;
	s->setxattr_ext = record_get_u8(in) & 1;
	s->plus = record_get_u8(in) & 1;
	s->first_gen = record_get_u32(in);
	record_close(in);
}

void share_counts(const struct share *s, unsigned *ret_nodes, unsigned *ret_open)
{
	*ret_nodes = s->n_nodes;
	*ret_open = s->n_open;
}

/* --- open files ------------------------------------------------------------------------------------------ */

const char *share__proc_name(int fd, char *dst)
{
	str_format(dst, SHARE_PROC_NAME, "%d", fd);
	return dst;
}

int share__reopen(const struct share *s, const struct share_node *n, int flags)
{
	char name[SHARE_PROC_NAME];
	struct stat st;
	int fd, r;

	/* The type from now: nothing but these two may be opened, whatever the table remembers. */
	r = share__stat(n->fd, &st);
	if (r < 0)
		return r;
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return S_ISLNK(st.st_mode) ? -ELOOP : -EPERM;
	fd = file_open(s->proc_fd, share__proc_name(n->fd, name), flags | O_NOCTTY | O_NONBLOCK, 0);
	return fd;
}

int share__open_add(struct share *s, int fd, bool dir, uint64_t *ret_fh)
{
	struct share_open *o;

	if (s->open_free != SHARE_NONE) {
		o = &s->open[s->open_free];
		s->open_free = o->next;
	} else if (s->open_high < s->max_open) {
		o = &s->open[s->open_high++];
		o->gen = s->first_gen;
	} else {
		fd_close(&fd);
		return -ENFILE;
	}
	o->fd = fd;
	o->dir = dir;
	s->n_open++;
	*ret_fh = (uint64_t)o->gen << 32 | (uint64_t)(o - s->open);
	return 0;
}

struct share_open *share__open(struct share *s, uint64_t fh, bool dir)
{
	uint32_t at = (uint32_t)fh;

	if (at >= s->open_high || s->open[at].fd < 0 || s->open[at].gen != fh >> 32 || s->open[at].dir != dir)
		return NULL;
	return &s->open[at];
}

void share__open_drop(struct share *s, struct share_open *o)
{
	fd_close(&o->fd);
	o->gen++;
	o->next = s->open_free;
	s->open_free = (int)(o - s->open);
	s->n_open--;
}

/* --- attributes ------------------------------------------------------------------------------------------ */

void share__valid(const struct share *s, uint64_t *ret_s, uint32_t *ret_ns)
{
	static const uint32_t seconds[SHARE_CACHE_COUNT] = { 0, 1, 86400 };

	*ret_s = seconds[s->c.cache];
	*ret_ns = 0;
}

void share__attr(const struct share *s, const struct stat *st, struct fuse_attr *ret_a)
{
	*ret_a = (struct fuse_attr){
		.ino = st->st_ino,
		.size = (uint64_t)st->st_size,
		.blocks = (uint64_t)st->st_blocks,
		.atime = (uint64_t)st->st_atim.tv_sec,
		.mtime = (uint64_t)st->st_mtim.tv_sec,
		.ctime = (uint64_t)st->st_ctim.tv_sec,
		.atimensec = (uint32_t)st->st_atim.tv_nsec,
		.mtimensec = (uint32_t)st->st_mtim.tv_nsec,
		.ctimensec = (uint32_t)st->st_ctim.tv_nsec,
		.mode = st->st_mode,
		.nlink = (uint32_t)st->st_nlink,
		.uid = s->c.squash ? s->c.uid : st->st_uid,
		.gid = s->c.squash ? s->c.gid : st->st_gid,
		.rdev = (uint32_t)st->st_rdev,
		.blksize = (uint32_t)st->st_blksize,
	};
}

/* --- who makes files ------------------------------------------------------------------------------------- */

/*
 * The calling thread's file system ids become the guest's user: what is made is that user's from the first instant, nothing is
 * chowned afterwards. Leaving uid 0 takes the file capabilities away; they come back, for it is the guest's kernel that has checked
 * permissions, and may know more groups than we do. All but CAP_FSETID: a set-group-id bit for a group that is not the
 * user's must not survive (CVE-2022-0358).
 */
int share__ids_begin(struct share *s, const struct fuse_in_header *h)
{
	struct cred_caps caps = s->caps;

	if (!s->switch_ids || (h->uid == 0 && h->gid == 0))
		return 0;
	SYS1(SYS_setfsgid, h->gid);
	SYS1(SYS_setfsuid, h->uid);
	if ((uint32_t)SYS1(SYS_setfsuid, -1) != h->uid || (uint32_t)SYS1(SYS_setfsgid, -1) != h->gid) {
		share__ids_end(s, h); /* an id that this user namespace has not */
		return -EPERM;
	}
	caps.effective &= ~CAP_BIT_FSETID;
	if (cred_set_caps(&caps) < 0) {
		share__ids_end(s, h);
		return -EPERM;
	}
	return 0;
}

void share__ids_end(struct share *s, const struct fuse_in_header *h)
{
	if (!s->switch_ids || (h->uid == 0 && h->gid == 0))
		return;
	SYS1(SYS_setfsuid, 0);
	SYS1(SYS_setfsgid, 0);
	cred_set_caps(&s->caps);
}
