/* SPDX-License-Identifier: Apache-2.0 */
/* fuse.h - the requests that a shared directory answers, as far as the guests make them */
#ifndef GUEST_FUSE_H
#define GUEST_FUSE_H

#include <stdint.h>

enum {
	FUSE_ROOT = 1,
	FUSE_LOOKUP = 1,
	FUSE_OPEN = 14,
	FUSE_READ = 15,
	FUSE_WRITE = 16,
	FUSE_INIT = 26,
	FUSE_CREATE = 35,
	FUSE_QUEUE = 1, /* of the device: the first for requests */
};

struct fuse_in {
	uint32_t len, opcode;
	uint64_t unique, node;
	uint32_t uid, gid, pid, extra;
};

struct fuse_out {
	uint32_t len;
	int32_t error;
	uint64_t unique;
};

struct fuse_init {
	uint32_t major, minor, readahead, flags, flags2, unused[11];
};

struct fuse_entry {
	uint64_t node, generation, valid_s[2];
	uint32_t valid_ns[2];
	uint64_t ino, size, rest[9];
};

struct fuse_open {
	uint32_t flags, zero;
};

struct fuse_opened {
	uint64_t handle;
	uint32_t flags, zero;
};

struct fuse_io { /* read and write begin alike */
	uint64_t handle, offset;
	uint32_t size, flags;
	uint64_t owner;
	uint32_t open_flags, zero;
};

struct fuse_wrote {
	uint32_t size, zero;
};

#endif
