/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse.c - each operation is a row: how long its fixed arguments are, and what strings follow
 */
#include "fmt/fuse.h"

#include <errno.h>
#include <string.h>

enum tail {
	T_NONE,
	T_NAME,        /* one component */
	T_NAME_NAME,   /* two */
	T_NAME_TARGET, /* a component, and what the symlink says */
	T_XATTR,       /* an attribute's name */
	T_XATTR_VALUE, /* and its value */
	T_FORGETS,
	T_COUNT
};

enum { ROW_KNOWN = 1, ROW_CHANGE = 2, ROW_SILENT = 4 };

static const struct row {
	uint8_t args; /* bytes */
	uint8_t tail; /* enum tail */
	uint8_t flags;
} rows[] = {
	[FUSE_LOOKUP] = { 0, T_NAME, ROW_KNOWN },
	[FUSE_FORGET] = { sizeof(struct fuse_forget_in), T_NONE, ROW_KNOWN | ROW_SILENT },
	[FUSE_GETATTR] = { sizeof(struct fuse_getattr_in), T_NONE, ROW_KNOWN },
	[FUSE_SETATTR] = { sizeof(struct fuse_setattr_in), T_NONE, ROW_KNOWN | ROW_CHANGE },
	[FUSE_READLINK] = { 0, T_NONE, ROW_KNOWN },
	[FUSE_SYMLINK] = { 0, T_NAME_TARGET, ROW_KNOWN | ROW_CHANGE },
	[FUSE_MKNOD] = { sizeof(struct fuse_mknod_in), T_NAME, ROW_KNOWN | ROW_CHANGE },
	[FUSE_MKDIR] = { sizeof(struct fuse_mkdir_in), T_NAME, ROW_KNOWN | ROW_CHANGE },
	[FUSE_UNLINK] = { 0, T_NAME, ROW_KNOWN | ROW_CHANGE },
	[FUSE_RMDIR] = { 0, T_NAME, ROW_KNOWN | ROW_CHANGE },
	[FUSE_RENAME] = { sizeof(struct fuse_rename_in), T_NAME_NAME, ROW_KNOWN | ROW_CHANGE },
	[FUSE_RENAME2] = { sizeof(struct fuse_rename2_in), T_NAME_NAME, ROW_KNOWN | ROW_CHANGE },
	[FUSE_LINK] = { sizeof(struct fuse_link_in), T_NAME, ROW_KNOWN | ROW_CHANGE },
	[FUSE_OPEN] = { sizeof(struct fuse_open_in), T_NONE, ROW_KNOWN },
	[FUSE_READ] = { sizeof(struct fuse_read_in), T_NONE, ROW_KNOWN },
	[FUSE_WRITE] = { sizeof(struct fuse_write_in), T_NONE, ROW_KNOWN | ROW_CHANGE },
	[FUSE_STATFS] = { 0, T_NONE, ROW_KNOWN },
	[FUSE_RELEASE] = { sizeof(struct fuse_release_in), T_NONE, ROW_KNOWN },
	[FUSE_FSYNC] = { sizeof(struct fuse_fsync_in), T_NONE, ROW_KNOWN },
	[FUSE_SETXATTR] = { FUSE_COMPAT_SETXATTR_IN_SIZE, T_XATTR_VALUE, ROW_KNOWN | ROW_CHANGE },
	[FUSE_GETXATTR] = { sizeof(struct fuse_getxattr_in), T_XATTR, ROW_KNOWN },
	[FUSE_LISTXATTR] = { sizeof(struct fuse_getxattr_in), T_NONE, ROW_KNOWN },
	[FUSE_REMOVEXATTR] = { 0, T_XATTR, ROW_KNOWN | ROW_CHANGE },
	[FUSE_FLUSH] = { sizeof(struct fuse_flush_in), T_NONE, ROW_KNOWN },
	[FUSE_INIT] = { 16, T_NONE, ROW_KNOWN }, /* up to flags; the newest form is longer */
	[FUSE_OPENDIR] = { sizeof(struct fuse_open_in), T_NONE, ROW_KNOWN },
	[FUSE_READDIR] = { sizeof(struct fuse_read_in), T_NONE, ROW_KNOWN },
	[FUSE_READDIRPLUS] = { sizeof(struct fuse_read_in), T_NONE, ROW_KNOWN },
	[FUSE_RELEASEDIR] = { sizeof(struct fuse_release_in), T_NONE, ROW_KNOWN },
	[FUSE_FSYNCDIR] = { sizeof(struct fuse_fsync_in), T_NONE, ROW_KNOWN },
	[FUSE_ACCESS] = { sizeof(struct fuse_access_in), T_NONE, ROW_KNOWN },
	[FUSE_CREATE] = { sizeof(struct fuse_create_in), T_NAME, ROW_KNOWN | ROW_CHANGE },
	[FUSE_INTERRUPT] = { sizeof(struct fuse_interrupt_in), T_NONE, ROW_KNOWN | ROW_SILENT },
	[FUSE_DESTROY] = { 0, T_NONE, ROW_KNOWN },
	[FUSE_BATCH_FORGET] = { sizeof(struct fuse_batch_forget_in), T_FORGETS, ROW_KNOWN | ROW_SILENT },
	[FUSE_FALLOCATE] = { sizeof(struct fuse_fallocate_in), T_NONE, ROW_KNOWN | ROW_CHANGE },
	[FUSE_LSEEK] = { sizeof(struct fuse_lseek_in), T_NONE, ROW_KNOWN },
	[FUSE_COPY_FILE_RANGE] = { sizeof(struct fuse_copy_file_range_in), T_NONE, ROW_KNOWN | ROW_CHANGE },
};

static const struct row *row_of(uint32_t opcode)
{
	if (opcode >= sizeof(rows) / sizeof(rows[0]) || !(rows[opcode].flags & ROW_KNOWN))
		return NULL;
	return &rows[opcode];
}

bool fuse_has_reply(uint32_t opcode)
{
	const struct row *row = row_of(opcode);

	return !row || !(row->flags & ROW_SILENT);
}

bool fuse_is_change(uint32_t opcode)
{
	const struct row *row = row_of(opcode);

	return row && (row->flags & ROW_CHANGE);
}

size_t fuse_args_len(const struct fuse_in_header *h, size_t len)
{
	if (h->opcode == FUSE_WRITE && len > sizeof(struct fuse_write_in))
		return sizeof(struct fuse_write_in);
	return len;
}

/* --- strings --------------------------------------------------------------------------------------------- */

struct rest { /* what follows the fixed arguments */
	const char *at;
	size_t left;
};

/* take_text() - a NUL-terminated, not empty string of at most @max bytes. */
static int take_text(struct rest *k, size_t max, const char **ret)
{
	const char *end = memchr(k->at, '\0', k->left);
	size_t n;

	if (!end || end == k->at)
		return -EINVAL;
	n = (size_t)(end - k->at);
	if (n > max)
		return -ENAMETOOLONG;
	*ret = k->at;
	k->at += n + 1;
	k->left -= n + 1;
	return 0;
}

/* take_name() - one component: never a way up, never more than one step down */
static int take_name(struct rest *k, const char **ret)
{
	int r = take_text(k, FUSE_NAME_BYTES_MAX, ret);

	if (r < 0)
		return r;
	if (strchr(*ret, '/') || strcmp(*ret, ".") == 0 || strcmp(*ret, "..") == 0)
		return -EINVAL;
	return 0;
}

static int take_value(struct rest *k, struct fuse_request *r)
{
	uint32_t len = r->in.setxattr->size;

	if (len > FUSE_XATTR_BYTES_MAX || len > k->left)
		return -EINVAL;
	r->value = k->at;
	r->value_len = len;
	return 0;
}

static int take_forgets(struct rest *k, struct fuse_request *r)
{
	const struct fuse_batch_forget_in *in = r->in.any;

	if (in->count > k->left / sizeof(struct fuse_forget_one))
		return -EINVAL;
	r->forgets = (const struct fuse_forget_one *)(const void *)k->at;
	r->n_forgets = in->count;
	return 0;
}

static int take_tail(struct rest *k, enum tail tail, struct fuse_request *r)
{
	int rc = 0;

	switch (tail) {
	case T_NAME: return take_name(k, &r->name);
	case T_NAME_NAME: rc = take_name(k, &r->name); return rc < 0 ? rc : take_name(k, &r->name2);
	case T_NAME_TARGET:
		rc = take_name(k, &r->name);
		return rc < 0 ? rc : take_text(k, FUSE_TARGET_BYTES_MAX, &r->name2);
	case T_XATTR: return take_text(k, FUSE_NAME_BYTES_MAX, &r->name);
	case T_XATTR_VALUE:
		rc = take_text(k, FUSE_NAME_BYTES_MAX, &r->name);
		return rc < 0 ? rc : take_value(k, r);
	case T_FORGETS: return take_forgets(k, r);
	case T_NONE:
	case T_COUNT:
	default: return 0;
	}
}

/* --- arguments ------------------------------------------------------------------------------------------- */

/* fixed_len() - bytes of the fixed arguments as this guest sends them */
static size_t fixed_len(uint32_t opcode, const struct row *row, size_t len, bool setxattr_ext)
{
	if (opcode == FUSE_INIT && len >= sizeof(struct fuse_init_in))
		return sizeof(struct fuse_init_in);
	if (opcode == FUSE_SETXATTR && setxattr_ext)
		return sizeof(struct fuse_setxattr_in);
	return row->args;
}

/* lengthen() - forms that grew over the versions: give the newest one, the rest zero */
static void lengthen(struct fuse_request *r, const void *args, size_t fixed)
{
	switch (r->h.opcode) {
	case FUSE_INIT:
		memcpy(&r->longer.init, args, fixed);
		r->in.init = &r->longer.init;
		break;
	case FUSE_RENAME:
		memcpy(&r->longer.rename, args, fixed);
		r->in.rename = &r->longer.rename;
		break;
	case FUSE_SETXATTR:
		memcpy(&r->longer.setxattr, args, fixed);
		r->in.setxattr = &r->longer.setxattr;
		break;
	default: break;
	}
}

int fuse_parse(const struct fuse_in_header *h, const void *args, size_t len, bool setxattr_ext,
	       struct fuse_request *ret_r)
{
	const struct row *row = row_of(h->opcode);
	struct fuse_request *r = ret_r;
	struct rest k;
	size_t fixed;

	memset(r, 0, sizeof(*r));
	r->h = *h;
	if (!row)
		return -ENOSYS;
	fixed = fixed_len(h->opcode, row, len, setxattr_ext);
	if (len < fixed || len > FUSE_ARGS_MAX)
		return -EINVAL;
	r->in.any = args;
	lengthen(r, args, fixed);
	k = (struct rest){ (const char *)args + fixed, len - fixed };
	return take_tail(&k, (enum tail)row->tail, r);
}
