/* SPDX-License-Identifier: Apache-2.0 */
/* share_internal.h - what the files of the file server share: nodes, open files, the two ways to a descriptor */
#ifndef FS_SHARE_INTERNAL_H
#define FS_SHARE_INTERNAL_H

#include <fcntl.h>
#include <sys/stat.h>

#include "fmt/fuse.h"
#include "fs/share.h"
#include "sys/cred.h"

enum {
	SHARE_HASH = 4096,
	SHARE_NONE = -1,
	SHARE_ROOT = 0, /* index of the root's node; its id is FUSE_ROOT_ID */
};

struct share_node {
	int fd;   /* owned O_PATH descriptor; -1: free */
	int next; /* same hash; or next free */
	dev_t dev;
	ino_t ino;
	uint64_t nlookup; /* references the guest holds */
	uint32_t gen;
	mode_t type; /* S_IFx */
};

struct share_open {
	int fd;   /* owned; -1: free */
	int next; /* free */
	uint32_t gen;
	bool dir;
};

struct share {
	struct share_config c;
	int root_fd; /* owned */
	int proc_fd; /* owned: /proc/self/fd, the way from an O_PATH descriptor to a real one */
	struct share_node *node;
	unsigned max_nodes, n_nodes, nodes_high; /* in use; ever used */
	int node_free;
	int hash[SHARE_HASH];
	struct share_open *open;
	unsigned max_open, n_open, open_high;
	int open_free;
	uint32_t
		first_gen; /* of numbers given out for the first time: above all that a saved guest may remember */
	bool ready;        /* INIT has been */
	bool setxattr_ext, plus;
	bool switch_ids; /* files are made as the guest's user */
	struct cred_caps caps;
	uint64_t n_nonsense;
	union {
		uint64_t align;
		uint8_t bytes[SHARE_SMALL_MAX];
	} small; /* reply */
	union {
		uint64_t align;
		uint8_t bytes[SHARE_DIR_MAX];
	} dirents;
};

/* --- share_node.c ---------------------------------------------------------------------------------------- */

struct share_node *share__node(struct share *s, uint64_t id); /* NULL: no such, ESTALE */
struct share_node *share__dir(struct share *s, uint64_t id,
			      int *ret_rc); /* the same, of a directory; -ESTALE, -ENOTDIR */
/* share__find() - openat2(2) of one component: O_PATH, whatever it is. Return: fd or -errno. */
int share__find(const struct share *s, const struct share_node *dir, const char *name);
/* share__resolve() - the flags of every openat2(2) below the root. */
uint64_t share__resolve(const struct share *s);
/* share__entry() - a reference for the guest to what @fd (O_PATH, taken) is. Return: 0 with *ret_e; -ENFILE; -errno. */
int share__entry(struct share *s, int fd, struct fuse_entry_out *ret_e);
void share__forget(struct share *s, uint64_t id, uint64_t n);
/* share__reopen() - a real descriptor of a regular file or directory. Return: fd; -EPERM it is something else; -errno. */
int share__reopen(const struct share *s, const struct share_node *n, int flags);
/* share__proc_name() - what @fd is called in s->proc_fd. */
enum { SHARE_PROC_NAME = 12 };
const char *share__proc_name(int fd, char *dst);

/* share__open_add() - @fd is taken. Return: 0 with its number; -ENFILE. */
int share__open_add(struct share *s, int fd, bool dir, uint64_t *ret_fh);
struct share_open *share__open(struct share *s, uint64_t fh, bool dir); /* NULL: no such, EBADF */
void share__open_drop(struct share *s, struct share_open *o);

void share__attr(const struct share *s, const struct stat *st, struct fuse_attr *ret_a);
void share__valid(const struct share *s, uint64_t *ret_s, uint32_t *ret_ns);
int share__stat(int fd, struct stat *ret_st);

/* share__ids_begin(), share__ids_end() - what is made between them belongs to the guest's user. Return: 0, -EPERM. */
int share__ids_begin(struct share *s, const struct fuse_in_header *h);
void share__ids_end(struct share *s, const struct fuse_in_header *h);

/* --- operations: share_name.c, share_file.c, share_dir.c, share_xattr.c ----------------------------------- */

typedef long share_op(struct share *s, const struct fuse_request *r, struct share_io *io);

share_op share__lookup, share__getattr, share__setattr, share__readlink, share__symlink, share__mknod,
	share__mkdir, share__unlink, share__rmdir, share__rename, share__link, share__create, share__statfs;
share_op share__open_file, share__read, share__write, share__release, share__fsync, share__fallocate,
	share__lseek, share__copy, share__flush;
share_op share__opendir, share__readdir;
share_op share__setxattr, share__getxattr, share__listxattr, share__removexattr;

/* share__reply() - @len bytes of s->small. */
static inline long share__reply(struct share *s, struct share_io *io, size_t len)
{
	io->small = s->small.bytes;
	return (long)len;
}

int share__open_flags(const struct share *s, uint32_t asked, int *ret_flags);
int share__drop_setid(int fd);
uint32_t share__fopen_flags(const struct share *s);

#endif
