/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse.h - a FUSE request as typed values: the one door between a guest's bytes and the file server
 *
 * Numbers are in the byte order of this machine, as the protocol has them. The structs are the kernel's (<linux/fuse.h>).
 *
 * Spec: FUSE kernel interface 7.27 to 7.38; virtio 1.2 §5.11.6
 */
#ifndef FMT_FUSE_H
#define FMT_FUSE_H

#include <linux/fuse.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	FUSE_HDR_BYTES = sizeof(struct fuse_in_header),
	FUSE_NAME_BYTES_MAX = 255,    /* of one name */
	FUSE_TARGET_BYTES_MAX = 4095, /* of a symlink */
	FUSE_XATTR_BYTES_MAX = 65536, /* of an attribute's value */
	FUSE_ARGS_MAX = 68 << 10,     /* what follows a header, but for the bytes of a WRITE */
	FUSE_FORGETS_MAX = FUSE_ARGS_MAX / (int)sizeof(struct fuse_forget_one)
};

struct fuse_request {
	struct fuse_in_header h; /* copied */
	/* Borrowed from the bytes given, and as the operation has them: */
	union {
		const void *any;
		const struct fuse_forget_in *forget;
		const struct fuse_getattr_in *getattr;
		const struct fuse_setattr_in *setattr;
		const struct fuse_mknod_in *mknod;
		const struct fuse_mkdir_in *mkdir;
		const struct fuse_rename2_in *rename; /* RENAME too: its flags are then 0 */
		const struct fuse_link_in *link;
		const struct fuse_open_in *open;
		const struct fuse_create_in *create;
		const struct fuse_read_in *read; /* READDIR, READDIRPLUS too */
		const struct fuse_write_in *write;
		const struct fuse_release_in *release;
		const struct fuse_fsync_in *fsync;
		const struct fuse_flush_in *flush;
		const struct fuse_setxattr_in *setxattr;
		const struct fuse_getxattr_in *getxattr; /* LISTXATTR too */
		const struct fuse_access_in *access;
		const struct fuse_init_in *init;
		const struct fuse_fallocate_in *fallocate;
		const struct fuse_lseek_in *lseek;
		const struct fuse_copy_file_range_in *copy;
	} in;
	union { /* room for arguments shorter than the newest form: the rest is zero */
		struct fuse_init_in init;
		struct fuse_rename2_in rename;
		struct fuse_setxattr_in setxattr;
	} longer;
	const char *name,
		*name2; /* NUL-terminated; a component, an attribute's name, or a symlink's target (name2) */
	const struct fuse_forget_one *forgets; /* BATCH_FORGET */
	unsigned n_forgets;
	const void *value; /* SETXATTR */
	uint32_t value_len;
};

/* fuse_args_len() - bytes behind the header that belong to fuse_parse() when @len follow: all, but for a WRITE's payload. */
size_t fuse_args_len(const struct fuse_in_header *h, size_t len);

/**
 * fuse_parse() - check everything about a request that can be said without the file system
 * @h:    header, copied from the guest
 * @args: what follows it, fuse_args_len() bytes, a copy that stays as it is while @ret_r is used; 8-byte aligned
 * @setxattr_ext: that feature was negotiated: SETXATTR has its longer form
 * Return: 0; -ENOSYS an operation that is not known; -EINVAL it is too short, or a name is none; -ENAMETOOLONG
 */
int fuse_parse(const struct fuse_in_header *h, const void *args, size_t len, bool setxattr_ext,
	       struct fuse_request *ret_r);

/* fuse_has_reply() - does the guest wait for an answer to this operation? */
bool fuse_has_reply(uint32_t opcode);

/* fuse_is_change() - does the operation change a file system, whatever its arguments? (OPEN and others depend on them.) */
bool fuse_is_change(uint32_t opcode);

#endif
