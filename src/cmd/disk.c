/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "base/guard.h"
#include "sys/file.h"

int disk_format(const char *path, int fd, const char **ret_format, struct err *e)
{
	char magic[4] = "";

	*ret_format = "raw";
	if (str_ends(path, ".qcow2")) {
		*ret_format = "qcow2";
		return 0;
	}
	if (fd >= 0 && pread(fd, magic, sizeof(magic), 0) == sizeof(magic) &&
	    memcmp(magic, "QFI\xfb", sizeof(magic)) == 0)
		return err_set(e, EINVAL, "'%s' begins like a qcow2 image: say -f qcow2 or -f raw", path);
	return 0;
}

/* directory_of() - where relative names of backing files begin */
static int directory_of(const char *path)
{
	auto_free char *copy = strdup(path);

	return copy ? file_open(AT_FDCWD, dirname(copy), O_PATH | O_DIRECTORY, 0) : -ENOMEM;
}

int disk_open(struct blk **ret_b, const struct disk_image *d, struct err *e)
{
	auto_close int fd = file_open(AT_FDCWD, d->path, d->writable ? O_RDWR : O_RDONLY, 0), dir = -1;
	struct blk_options o = { .format = d->format,
				 .readonly = !d->writable,
				 .no_sync = d->no_sync,
				 .pad = true,
				 .as_is = d->as_is,
				 .backing_max = BLK_BACKING_MAX,
				 .backing_anywhere = true };
	int r = 0;

	if (fd < 0)
		return err_sys(e, -fd, "'%s'", d->path);
	if (!o.format)
		r = disk_format(d->path, fd, &o.format, e);
	if (r < 0)
		return r;
	dir = directory_of(d->path);
	if (dir < 0)
		return err_sys(e, -dir, "'%s'", d->path);
	o.backing_dirfd = dir;
	o.backing_none = d->no_backing;
	r = blk_open(ret_b, TAKE_FD(fd), &o, e);
	return r < 0 ? err_wrap(e, r, "'%s'", d->path) : 0;
}

int disk_close(struct blk *b, const char *path, struct err *e)
{
	int r = blk_finish(b);

	return r < 0 ? err_sys(e, -r, "'%s'", path) : 0;
}

int disk_size(const char *text, uint64_t *ret_size, struct err *e)
{
	int64_t n;

	if (str_to_bytes(text, &n) < 0 || n < 0)
		return err_set(e, EINVAL, "size '%s': a number such as 512M or 10G is wanted", text);
	*ret_size = ((uint64_t)n + BLK_SECTOR - 1) / BLK_SECTOR * BLK_SECTOR;
	return 0;
}

/* --- create ----------------------------------------------------------------------------------------------- */

static int option_bool(const char *value, bool *ret_v)
{
	*ret_v = str_eq(value, "on") || str_eq(value, "true");
	return *ret_v || str_eq(value, "off") || str_eq(value, "false") ? 0 : -EINVAL;
}

/* set_option() - one of -o's, in the words of qemu-img */
static int set_option(struct qcow2_create *c, const char *key, const char *value)
{
	int64_t n;

	if (str_eq(key, "cluster_size")) {
		if (str_to_bytes(value, &n) < 0 || n < 0 || n > UINT32_MAX)
			return -EINVAL;
		c->cluster = (uint32_t)n;
	} else if (str_eq(key, "compat")) {
		bool old = str_eq(value, "0.10") || str_eq(value, "v2");

		if (!old && !str_eq(value, "1.1") && !str_eq(value, "v3"))
			return -EINVAL;
		c->version = old ? 2 : 3;
	} else if (str_eq(key, "refcount_bits")) {
		if (str_to_i64(value, &n) < 0 || n < 0 || n > 64)
			return -EINVAL;
		c->refcount_bits = (unsigned)n;
	} else if (str_eq(key, "lazy_refcounts")) {
		return option_bool(value, &c->lazy_refcounts);
	} else if (str_eq(key, "compression_type")) {
		c->compression = str_eq(value, "zstd") ? QCOW2_ZSTD : QCOW2_ZLIB;
		return str_eq(value, "zstd") || str_eq(value, "zlib") ? 0 : -EINVAL;
	} else if (str_eq(key, "preallocation")) {
		return str_eq(value, "off") ? 0 : -EINVAL;
	} else {
		return -ENOENT;
	}
	return 0;
}

static int set_options(struct qcow2_create *c, const struct strv *options, struct err *e)
{
	for (size_t i = 0; i < options->len; i++) {
		auto_fini(strv) struct strv one = { 0 };

		strv_split(&one, options->item[i], ',');
		for (size_t k = 0; k < one.len; k++) {
			char *eq = strchr(one.item[k], '=');
			int r = -EINVAL;

			if (eq) {
				*eq = '\0';
				r = set_option(c, one.item[k], eq + 1);
			}
			if (r == -ENOENT)
				return err_set(e, EINVAL,
					       "-o %s: only cluster_size, compat, refcount_bits, "
					       "lazy_refcounts, compression_type, preallocation=off",
					       one.item[k]);
			if (r < 0)
				return err_set(e, EINVAL, "-o %s=%s: no such value", one.item[k],
					       eq ? eq + 1 : "");
		}
	}
	return 0;
}

/* backing_size() - of the file that a new image at @path will have behind it; also: can it be opened? */
static int backing_size(const char *path, struct qcow2_create *c, struct err *e)
{
	auto_free char *copy = strdup(path), *full = NULL;
	struct blk *b;
	int r;

	if (c->backing[0] == '/')
		full = strdup(c->backing);
	else
		full = copy ? str_printf("%s/%s", dirname(copy), c->backing) : NULL;
	if (!full)
		return err_sys(e, ENOMEM, "'%s'", path);
	r = disk_open(&b, &(struct disk_image){ .path = full, .format = c->backing_format }, e);
	if (r < 0)
		return err_wrap(e, r, "backing file");
	c->size = blk_size(b);
	blk_close(b);
	return 0;
}

static int create_raw(int fd, const struct qcow2_create *c, struct err *e)
{
	if (c->backing)
		return err_set(e, EINVAL, "a raw disk has no backing file: say -f qcow2");
	return ftruncate(fd, (off_t)c->size) < 0 ? err_sys(e, errno, "set the size") : 0;
}

int disk_create(const char *path, const char *format, struct qcow2_create *c, bool size_known,
		const struct strv *options, struct err *e)
{
	auto_close int fd = -1;
	uint64_t size = c->size;
	int r = set_options(c, options, e);

	if (r < 0)
		return r;
	if (!format)
		disk_format(path, -1, &format, NULL);
	if (!str_eq(format, "raw") && !str_eq(format, "qcow2"))
		return err_set(e, EINVAL, "format '%s': only raw and qcow2 are known", format);
	if (str_eq(format, "raw") && options->len)
		return err_set(e, EINVAL, "a raw disk has no options");
	if (c->backing && !c->backing_format)
		return err_set(e, EINVAL, "-b needs -F: a backing file's format is never guessed");
	if (c->backing) {
		r = backing_size(path, c, e);
		if (r < 0)
			return r;
		if (size_known)
			c->size = size;
	} else if (!size_known) {
		return err_set(e, EINVAL, "'%s': a size is wanted", path);
	}
	fd = file_open(AT_FDCWD, path, O_RDWR | O_CREAT, 0644);
	if (fd < 0)
		return err_sys(e, -fd, "'%s'", path);
	r = file_lock(fd, true, false);
	if (r < 0)
		return err_set(e, -r, "'%s': another process has it open", path);
	if (ftruncate(fd, 0) < 0)
		return err_sys(e, errno, "'%s'", path);
	r = str_eq(format, "raw") ? create_raw(fd, c, e) : qcow2_make(fd, c, e);
	if (r == 0 && file_sync(fd) < 0)
		r = err_sys(e, EIO, "write");
	if (r < 0)
		file_unlink(AT_FDCWD, path, 0);
	return r < 0 ? err_wrap(e, r, "'%s'", path) : 0;
}

/* --- small things ----------------------------------------------------------------------------------------- */

bool disk_is_zero(const void *p, size_t len)
{
	const char *c = p;

	return len == 0 || (c[0] == 0 && memcmp(c, c + 1, len - 1) == 0);
}

void disk_progress(struct disk_progress *p, uint64_t done)
{
	int now = p->total ? (int)((double)done * 100 / (double)p->total) : 100;

	if (!p->on || now == p->shown || !isatty(STDOUT_FILENO))
		return;
	p->shown = now;
	printf("\r    (%d/100%%)", now);
	fflush(stdout);
}

void disk_progress_end(struct disk_progress *p)
{
	if (p->on && p->shown >= 0)
		putchar('\n');
}

int disk_wants_json(bool json, const char *output, struct err *e)
{
	if (output && !str_eq(output, "json") && !str_eq(output, "human"))
		return err_set(e, EINVAL, "--output %s: only human and json are known", output);
	return json || str_eq(output, "json");
}

void disk_print_json(json_t *v)
{
	json_dumpf(v, stdout, JSON_INDENT(4) | JSON_ESCAPE_SLASH * 0);
	putchar('\n');
	json_decref(v);
}
