/* SPDX-License-Identifier: Apache-2.0 */
/* share_testing.h - a share of a fresh directory, and a client that speaks FUSE to it; for tests only */
#ifndef FS_SHARE_TESTING_H
#define FS_SHARE_TESTING_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/err.h"
#include "fmt/fuse.h"
#include "fs/share.h"
#include "sys/file.h"

struct client {
	struct share *s;
	char dir[40];
	int dirfd;
	uint32_t uid, gid;
	union { /* the last reply */
		uint64_t align;
		uint8_t bytes[SHARE_IO_MAX];
		struct fuse_entry_out entry;
		struct fuse_attr_out attr;
		struct fuse_open_out open;
		struct fuse_init_out init;
		struct fuse_write_out write;
		struct fuse_lseek_out lseek;
		struct fuse_statfs_out statfs;
		struct fuse_getxattr_out xattr;
		struct {
			struct fuse_entry_out entry;
			struct fuse_open_out open;
		} create;
	} out;
	union {
		uint64_t align;
		uint8_t bytes[FUSE_ARGS_MAX];
	} in;
	size_t room; /* for the reply */
};

/* client_raw() - bytes as they are behind a header. Return: bytes of reply or -errno. */
static inline long client_raw(struct client *c, uint32_t op, uint64_t node, const void *args, size_t len,
			      const void *data, size_t data_len)
{
	struct fuse_in_header h = {
		.len = (uint32_t)(sizeof(h) + len + data_len),
		.opcode = op,
		.unique = 1,
		.nodeid = node,
		.uid = c->uid,
		.gid = c->gid,
	};
	struct iovec payload = { (void *)data, data_len }, room = { c->out.bytes, c->room };
	struct share_io io = { &payload, 1, data_len, &room, 1, c->room, NULL };
	struct fuse_request r;
	long n;

	BUG_ON(len > sizeof(c->in.bytes));
	memcpy(c->in.bytes, args, len);
	n = fuse_parse(&h, c->in.bytes, len, share_setxattr_ext(c->s), &r);
	if (n < 0)
		return n;
	n = share_serve(c->s, &r, &io);
	BUG_ON(n > (long)c->room);
	if (n > 0 && io.small)
		memcpy(c->out.bytes, io.small, (size_t)n);
	return n;
}

/* client_call() - fixed arguments (or NULL), and up to two strings. */
static inline long client_call(struct client *c, uint32_t op, uint64_t node, const void *args, size_t len,
			       const char *name, const char *name2)
{
	uint8_t buf[8192];
	size_t n = len;

	if (len)
		memcpy(buf, args, len);
	for (int i = 0; i < 2; i++) {
		const char *s = i ? name2 : name;

		if (s) {
			memcpy(buf + n, s, strlen(s) + 1);
			n += strlen(s) + 1;
		}
	}
	return client_raw(c, op, node, buf, n, NULL, 0);
}

#define CLIENT_CALL(c, op, node, type, ...)                                                                  \
	client_call((c), (op), (node), &(type)__VA_ARGS__, sizeof(type), NULL, NULL)
#define CLIENT_NAMED(c, op, node, name, type, ...)                                                           \
	client_call((c), (op), (node), &(type)__VA_ARGS__, sizeof(type), (name), NULL)

static inline long client_init(struct client *c)
{
	return CLIENT_CALL(c, FUSE_INIT, 0, struct fuse_init_in,
			   { .major = 7, .minor = 31, .max_readahead = 131072, .flags = 0x7fffffff });
}

static inline void client_begin(struct client *c, struct share_config config)
{
	struct err e = { 0 };

	memset(c, 0, sizeof(*c));
	c->room = sizeof(c->out.bytes);
	strcpy(c->dir, "/tmp/hull-share-XXXXXX");
	BUG_ON(!mkdtemp(c->dir));
	c->dirfd = open(c->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	BUG_ON(mkdirat(c->dirfd, "root", 0755) < 0); /* what lies beside it must stay out of reach */
	BUG_ON(mkdirat(c->dirfd, "outside", 0755) < 0);
	config.root_fd = openat(c->dirfd, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (share_new(&c->s, &config, &e) < 0)
		fprintf(stderr, "%s\n", e.text);
	BUG_ON(!c->s || share_thread_begin(c->s) < 0);
	close(config.root_fd);
}

static inline void client_end(struct client *c)
{
	share_free(c->s);
	close(c->dirfd);
	file_remove_tree(AT_FDCWD, c->dir, NULL);
}

/* client_lookup() - Return: node id; 0 with *ret_rc. */
static inline uint64_t client_lookup(struct client *c, uint64_t dir, const char *name, long *ret_rc)
{
	long n = client_call(c, FUSE_LOOKUP, dir, NULL, 0, name, NULL);

	if (ret_rc)
		*ret_rc = n;
	return n < 0 ? 0 : c->out.entry.nodeid;
}

#endif
