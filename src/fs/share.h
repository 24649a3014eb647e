/* SPDX-License-Identifier: Apache-2.0 */
/*
 * share.h - a file server: FUSE requests against one directory of the host, and nothing outside of it
 *
 * Theory of operation. A guest names a file by a number (node id) that a LOOKUP gave it; behind each stands an O_PATH
 * descriptor. A name is one component, resolved by openat2(2) from its directory's descriptor: beneath it, following no
 * symlink, into no other mount (unless @submounts). So there is no path, and nothing the guest or a process on the host swaps
 * meanwhile leads out: not "..", not a symlink, not a renamed directory. Numbers carry a generation; one that is made up or old
 * is ESTALE. What is opened for reading and writing is opened anew from the O_PATH descriptor, and only regular files and
 * directories are: a FIFO or device of the host is never touched.
 *
 * The directory is a detached copy of its mount where the caller may make one, read-only for read-only shares: then even
 * the descriptor has no "..".
 *
 * Who: as root, files are made with the guest's user and group (the guest's kernel checks permissions, as virtio-fs does); or
 * all is squashed to one owner. Device nodes are never made. Attributes of files: "user." only, unless @xattr_all.
 *
 * Limits: nodes and open files are descriptors of this process, bounded by the configuration and by RLIMIT_NOFILE; beyond it
 * is ENFILE until the guest forgets some.
 *
 * Used by one thread at a time. Locks stay the guest's own business: two guests that share a directory do not see each other's.
 *
 * Spec: FUSE 7.27 to 7.38; virtio 1.2 §5.11
 */
#ifndef FS_SHARE_H
#define FS_SHARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct err;
struct fuse_request;
struct record_in;
struct record_out;
struct share;

enum {
	SHARE_NODES_MAX = 65536,    /* default of max_nodes */
	SHARE_OPEN_MAX = 4096,      /* files and directories open at once */
	SHARE_FDS_KEPT = 128,       /* descriptors of the process left to others */
	SHARE_SEGS_MAX = 256,       /* of a READ or WRITE */
	SHARE_IO_MAX = 512 << 10,   /* bytes of one READ or WRITE, told to the guest */
	SHARE_DIR_MAX = 64 << 10,   /* bytes of one READDIR */
	SHARE_SMALL_MAX = 66 << 10, /* of any other reply */
	SHARE_COPY_MAX = 16 << 20   /* bytes of one COPY_FILE_RANGE, so that others get their turn */
};

enum share_cache {                     /* what the guest may believe, and for how long */
		   SHARE_CACHE_NONE,   /* nothing: each read comes here */
		   SHARE_CACHE_AUTO,   /* a second; data until the file changes */
		   SHARE_CACHE_ALWAYS, /* the directory is the guest's alone */
		   SHARE_CACHE_COUNT
};

struct share_config {
	int root_fd; /* directory; borrowed */
	bool readonly, submounts, xattr_all;
	enum share_cache cache;
	bool squash; /* the guest sees all files as @uid:@gid; what it makes is ours, owners cannot be changed */
	uint32_t uid, gid;  /* of that view */
	unsigned max_nodes; /* 0: SHARE_NODES_MAX */
};

/* share_new() - Context: before a jail: wants /proc, and open_tree(2). Return: 0; -ENOTDIR; -ENOMEM; -errno. */
int share_new(struct share **ret_s, const struct share_config *c, struct err *e);
void share_free(struct share *s); /* takes NULL */

/* share_reset() - the guest is gone: everything it had open is closed. */
void share_reset(struct share *s);

/* share_thread_begin() - once in the thread that serves: its umask becomes 0 and nobody else's. Return: 0, -errno. */
int share_thread_begin(struct share *s);

struct share_io {
	const struct iovec *data; /* payload of a WRITE */
	unsigned n_data;
	size_t data_len;
	const struct iovec *room; /* for the reply, behind its header */
	unsigned n_room;
	size_t room_len;
	const void *small; /* out: where the reply is; NULL: in @room already. Until the next request. */
};

/**
 * share_serve() - one request that went through fuse_parse()
 * Context: the share's thread; may block in the file system
 * Return: bytes of reply behind its header; -errno for the guest
 */
long share_serve(struct share *s, const struct fuse_request *r, struct share_io *io);

/* share_setxattr_ext() - negotiated? For fuse_parse(). */
bool share_setxattr_ext(const struct share *s);
/*
 * share_save(), share_restore() - what was negotiated. Descriptors cannot be saved: numbers from before are ESTALE or EBADF, so
 * files that were open are lost to the guest, and names are found again from the root as its caches run out.
 */
void share_save(const struct share *s, struct record_out *o);
void share_restore(struct share *s, struct record_in *in);

/* share_counts() - nodes and handles that are in use. */
void share_counts(const struct share *s, unsigned *ret_nodes, unsigned *ret_open);

#endif
