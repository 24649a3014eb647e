/* SPDX-License-Identifier: Apache-2.0 */
/* disk_copy.c - hull disk convert, compare, commit, rebase */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/guard.h"
#include "cmd/disk.h"
#include "cmd/table.h"
#include "sys/file.h"

struct copy_opts {
	const char *format, *to_format, *backing, *backing_format;
	struct strv options;
	bool progress, no_create, strict, drop, unsafe, quiet;
};
#define OPT(member) offsetof(struct copy_opts, member)

#define FORMAT_HELP "raw or qcow2; without it: qcow2 if the name ends in .qcow2, else raw"
#define PROGRESS_OPT                                                                                         \
	{                                                                                                    \
		"progress", 'p', OPT_FLAG, OPT(progress), NULL, "Show how far it is, on a terminal", NULL    \
	}

enum { COPY_GRAIN = 4096 }; /* zeroes shorter than that are copied as data */

/* same_file() - would writing @b write to @a? */
static bool same_file(const char *a, const char *b)
{
	struct stat x, y;

	return file_fstatat(AT_FDCWD, a, &x, 0) == 0 && file_fstatat(AT_FDCWD, b, &y, 0) == 0 &&
	       x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* write_sparse() - @len bytes, without the zeroes; @zeroes: these are written as such */
static int write_sparse(struct blk *to, const uint8_t *p, size_t len, uint64_t at, bool zeroes)
{
	for (size_t done = 0, n; done < len; done += n) {
		size_t grain = len - done < COPY_GRAIN ? len - done : COPY_GRAIN;
		bool zero = disk_is_zero(p + done, grain);
		int r = 0;

		for (n = grain; done + n < len; n += grain) {
			grain = len - done - n < COPY_GRAIN ? len - done - n : COPY_GRAIN;
			if (disk_is_zero(p + done + n, grain) != zero)
				break;
		}
		if (!zero)
			r = blk_pwrite(to, p + done, n, at + done);
		else if (zeroes)
			r = blk_zeroes(to, at + done, n, true);
		if (r < 0)
			return r;
	}
	return 0;
}

/* read_padded() - of a disk that may end before */
static int read_padded(struct blk *b, uint8_t *dst, size_t len, uint64_t at)
{
	size_t have = !b || at >= blk_size(b) ? 0 : blk_size(b) - at < len ? (size_t)(blk_size(b) - at) : len;

	memset(dst + have, 0, len - have);
	return have ? blk_pread(b, dst, have, at) : 0;
}

/* --- convert ---------------------------------------------------------------------------------------------- */

static const struct opt convert_opts[] = {
	{ "format", 'f', OPT_STRING, OPT(format), "FORMAT", "Of SOURCE: " FORMAT_HELP, "raw qcow2" },
	{ "output-format", 'O', OPT_STRING, OPT(to_format), "FORMAT", "Of TARGET: " FORMAT_HELP,
	  "raw qcow2" },
	{ "options", 'o', OPT_LIST, OPT(options), "KEY=VALUE,...", "As for disk create", NULL },
	{ "backing", 'B', OPT_STRING, OPT(backing), "FILE", "TARGET holds only what differs from FILE",
	  "@file" },
	{ "backing-format", 'F', OPT_STRING, OPT(backing_format), "FORMAT", "Of the backing file",
	  "raw qcow2" },
	{ "no-create", 'n', OPT_FLAG, OPT(no_create), NULL,
	  "TARGET is there already, and large enough: write into it", NULL },
	PROGRESS_OPT,
	{ 0 }
};

static int copy_all(struct blk *from, struct blk *to, bool zeroes, bool differing, struct disk_progress *p)
{
	auto_free uint8_t *buf = malloc(DISK_CHUNK), *had = malloc(DISK_CHUNK);
	uint64_t size = blk_size(from);
	int r = buf && had ? 0 : -ENOMEM;

	for (uint64_t at = 0, len; at < size && r == 0; at += len) {
		bool data;

		r = blk_map(from, at, &len, &data);
		if (r < 0)
			break;
		disk_progress(p, at);
		if (!data && !zeroes && !differing)
			continue;
		if (!data && !differing) {
			r = blk_zeroes(to, at, len, true);
			continue;
		}
		len = len < DISK_CHUNK ? len : DISK_CHUNK;
		r = blk_pread(from, buf, len, at);
		if (r == 0 && differing)
			r = read_padded(to, had, len, at);
		if (r == 0 && !(differing && memcmp(buf, had, len) == 0))
			r = write_sparse(to, buf, len, at, zeroes || differing);
	}
	disk_progress(p, size);
	return r;
}

static int open_target(const struct copy_opts *o, const char *path, uint64_t size, struct blk **ret_b,
		       struct err *e)
{
	struct qcow2_create c = qcow2_create_default;
	int r;

	c.size = size;
	c.backing = o->backing;
	c.backing_format = o->backing_format;
	r = o->no_create ? 0 : disk_create(path, o->to_format, &c, true, &o->options, e);
	return r < 0 ? r :
		       disk_open(ret_b,
				 &(struct disk_image){ .path = path,
						       .format = o->to_format,
						       .writable = true,
						       .no_sync = true },
				 e);
}

static int finish_target(struct blk *to, const char *path, int r, bool remove, struct err *e)
{
	auto_close int fd = -1;
	int rc = blk_finish(to);

	r = r < 0 ? r : rc;
	if (r == 0) { /* it was written without waiting for the disk: wait now */
		fd = file_open(AT_FDCWD, path, O_RDWR, 0);
		r = fd < 0 ? fd : file_sync(fd);
	}
	if (r < 0 && remove)
		file_unlink(AT_FDCWD, path, 0);
	return r < 0 ? err_sys(e, -r, "'%s'", path) : 0;
}

static int convert_main(void *opts, int argc, char **argv, struct err *e)
{
	const struct copy_opts *o = opts;
	struct disk_progress p = { .on = o->progress, .shown = -1 };
	struct blk *from, *to;
	int r;

	(void)argc;
	if (same_file(argv[0], argv[1]))
		return err_set(e, EINVAL, "'%s' and '%s' are the same file", argv[0], argv[1]);
	r = disk_open(&from, &(struct disk_image){ .path = argv[0], .format = o->format }, e);
	if (r < 0)
		return r;
	r = open_target(o, argv[1], blk_size(from), &to, e);
	if (r < 0) {
		blk_close(from);
		return r;
	}
	p.total = blk_size(from);
	if (blk_size(to) < p.total)
		r = -ENOSPC;
	else
		r = copy_all(from, to, o->no_create, o->backing != NULL, &p);
	disk_progress_end(&p);
	blk_close(from);
	return finish_target(to, argv[1], r, !o->no_create, e);
}

/* --- compare ---------------------------------------------------------------------------------------------- */

static const struct opt compare_opts[] = {
	{ "format", 'f', OPT_STRING, OPT(format), "FORMAT", "Of the first: " FORMAT_HELP, "raw qcow2" },
	{ "second-format", 'F', OPT_STRING, OPT(backing_format), "FORMAT", "Of the second", "raw qcow2" },
	{ "strict", 's', OPT_FLAG, OPT(strict), NULL,
	  "Disks of different sizes differ, also if there are only zeroes behind", NULL },
	{ "quiet", 'q', OPT_FLAG, OPT(quiet), NULL, "Only the exit status", NULL },
	PROGRESS_OPT,
	{ 0 }
};

static int mapped(struct blk *b, uint64_t at, uint64_t *len, bool *data)
{
	*data = false;
	*len = UINT64_MAX;
	return at < blk_size(b) ? blk_map(b, at, len, data) : 0;
}

/* first_difference() - *ret_at: where; the larger size when there is none */
static int first_difference(struct blk *a, struct blk *b, struct disk_progress *p, uint64_t *ret_at)
{
	auto_free uint8_t *x = malloc(DISK_CHUNK), *y = malloc(DISK_CHUNK);
	uint64_t size = blk_size(a) > blk_size(b) ? blk_size(a) : blk_size(b), n, m;
	int r = x && y ? 0 : -ENOMEM;

	for (*ret_at = 0; *ret_at < size && r == 0; *ret_at += n) {
		bool in_a, in_b;

		disk_progress(p, *ret_at);
		r = mapped(a, *ret_at, &n, &in_a);
		r = r < 0 ? r : mapped(b, *ret_at, &m, &in_b);
		if (r < 0)
			return r;
		n = n < m ? n : m;
		n = n < size - *ret_at ? n : size - *ret_at;
		if (!in_a && !in_b)
			continue;
		n = n < DISK_CHUNK ? n : DISK_CHUNK;
		r = read_padded(a, x, n, *ret_at);
		r = r < 0 ? r : read_padded(b, y, n, *ret_at);
		if (r < 0 || memcmp(x, y, n) == 0)
			continue;
		for (size_t i = 0; i < n; i++)
			if (x[i] != y[i]) {
				*ret_at += i;
				return 0;
			}
	}
	*ret_at = size;
	return r;
}

static int compare(const struct copy_opts *o, char **argv, struct blk *a, struct blk *b, struct err *e)
{
	struct disk_progress p = { .on = o->progress, .shown = -1, .total = blk_size(a) };
	uint64_t at, size = blk_size(a) > blk_size(b) ? blk_size(a) : blk_size(b);
	int r;

	if (o->strict && blk_size(a) != blk_size(b)) {
		if (!o->quiet)
			printf("The disks have %llu and %llu bytes.\n", (unsigned long long)blk_size(a),
			       (unsigned long long)blk_size(b));
		return 1;
	}
	r = first_difference(a, b, &p, &at);
	disk_progress_end(&p);
	if (r < 0)
		return err_sys(e, -r, "compare '%s' and '%s'", argv[0], argv[1]);
	if (at < size) {
		if (!o->quiet)
			printf("The disks differ at byte %llu.\n", (unsigned long long)at);
		return 1;
	}
	if (!o->quiet)
		printf("The disks are identical.\n");
	return 0;
}

static int compare_main(void *opts, int argc, char **argv, struct err *e)
{
	const struct copy_opts *o = opts;
	struct blk *a, *b;
	int r = disk_open(&a, &(struct disk_image){ .path = argv[0], .format = o->format }, e);

	(void)argc;
	if (r < 0)
		return r;
	r = disk_open(&b, &(struct disk_image){ .path = argv[1], .format = o->backing_format }, e);
	if (r < 0) {
		blk_close(a);
		return r;
	}
	r = compare(o, argv, a, b, e);
	blk_close(a);
	blk_close(b);
	return r;
}

/* --- commit ----------------------------------------------------------------------------------------------- */

static const struct opt commit_opts[] = {
	{ "format", 'f', OPT_STRING, OPT(format), "FORMAT", FORMAT_HELP, "qcow2" },
	{ "keep", 'd', OPT_FLAG, OPT(drop), NULL, "Leave FILE as it is; else it is empty afterwards", NULL },
	PROGRESS_OPT,
	{ 0 }
};

static char *backing_path(const char *image, const char *backing)
{
	const char *slash = strrchr(image, '/');

	if (backing[0] == '/' || !slash)
		return strdup(backing);
	return str_printf("%.*s/%s", (int)(slash - image), image, backing);
}

static int commit_all(struct blk *from, struct blk *to, struct disk_progress *p)
{
	auto_free uint8_t *buf = malloc(DISK_CHUNK);
	int r = buf ? 0 : -ENOMEM;

	for (uint64_t at = 0, len; at < blk_size(from) && r == 0; at += len) {
		bool here;

		r = qcow2_is_here(from, at, &len, &here);
		disk_progress(p, at);
		if (r < 0 || !here)
			continue;
		len = len < DISK_CHUNK ? len : DISK_CHUNK;
		r = blk_pread(from, buf, len, at);
		r = r < 0 ? r : write_sparse(to, buf, len, at, true);
	}
	disk_progress(p, blk_size(from));
	return r < 0 ? r : blk_flush(to);
}

static int commit_into(struct blk *b, const char *path, const struct copy_opts *o, struct err *e)
{
	struct disk_progress p = { .on = o->progress, .shown = -1, .total = blk_size(b) };
	auto_free char *to_path = backing_path(path, qcow2_header(b)->backing);
	struct blk *to;
	int r;

	if (!to_path)
		return err_sys(e, ENOMEM, "commit");
	/* A file that is open as the backing file may be changed: its bytes below what @b holds are not read. */
	r = qcow2_detach(b, e);
	r = r < 0 ? r :
		    disk_open(&to,
			      &(struct disk_image){ .path = to_path,
						    .format = qcow2_header(b)->backing_format,
						    .writable = true },
			      e);
	if (r < 0)
		return r;
	if (blk_size(to) < blk_size(b))
		r = blk_resize(to, blk_size(b), e);
	if (r == 0) {
		r = commit_all(b, to, &p);
		if (r < 0)
			err_sys(e, -r, "commit into '%s'", to_path);
		disk_progress_end(&p);
	}
	if (r < 0) {
		blk_close(to);
		return r;
	}
	r = disk_close(to, to_path, e);
	return r < 0 || o->drop ? r : qcow2_empty(b, e);
}

static int commit_main(void *opts, int argc, char **argv, struct err *e)
{
	const struct copy_opts *o = opts;
	struct blk *b;
	int r = disk_open(&b, &(struct disk_image){ .path = argv[0], .format = o->format, .writable = true },
			  e);

	(void)argc;
	if (r < 0)
		return r;
	if (!blk_is_qcow2(b) || !qcow2_backing(b))
		r = err_set(e, EINVAL, "'%s' has no backing file", argv[0]);
	else
		r = commit_into(b, argv[0], o, e);
	if (r < 0) {
		blk_close(b);
		return r;
	}
	return disk_close(b, argv[0], e);
}

/* --- rebase ----------------------------------------------------------------------------------------------- */

static const struct opt rebase_opts[] = {
	{ "format", 'f', OPT_STRING, OPT(format), "FORMAT", FORMAT_HELP, "qcow2" },
	{ "backing", 'b', OPT_STRING, OPT(backing), "FILE", "The new backing file; \"\": none", "@file" },
	{ "backing-format", 'F', OPT_STRING, OPT(backing_format), "FORMAT", "Of the new backing file",
	  "raw qcow2" },
	{ "unsafe", 'u', OPT_FLAG, OPT(unsafe), NULL,
	  "Change only the name: the new file holds the same bytes", NULL },
	PROGRESS_OPT,
	{ 0 }
};

/* keep_content() - where the old and the new backing file differ, the image itself gets what it shows now */
static int keep_content(struct blk *b, struct blk *now, struct disk_progress *p)
{
	auto_free uint8_t *x = malloc(DISK_CHUNK), *y = malloc(DISK_CHUNK);
	int r = x && y ? 0 : -ENOMEM;

	for (uint64_t at = 0, len; at < blk_size(b) && r == 0; at += len) {
		bool here;

		r = qcow2_is_here(b, at, &len, &here);
		disk_progress(p, at);
		if (r < 0 || here)
			continue;
		len = len < DISK_CHUNK ? len : DISK_CHUNK;
		r = blk_pread(b, x, len, at);
		r = r < 0 ? r : read_padded(now, y, len, at);
		for (size_t k = 0, n; r == 0 && k < len; k += n) {
			n = len - k < COPY_GRAIN ? len - k : COPY_GRAIN;
			if (memcmp(x + k, y + k, n) != 0)
				r = blk_pwrite(b, x + k, n, at + k);
		}
	}
	disk_progress(p, blk_size(b));
	return r;
}

static int rebase(struct blk *b, const char *path, const struct copy_opts *o, struct err *e)
{
	struct disk_progress p = { .on = o->progress, .shown = -1, .total = blk_size(b) };
	bool none = !o->backing[0];
	auto_free char *to_path = none ? NULL : backing_path(path, o->backing);
	struct blk *now = NULL;
	int r = 0;

	if (!o->unsafe && !none)
		r = disk_open(&now, &(struct disk_image){ .path = to_path, .format = o->backing_format }, e);
	if (r == 0 && !o->unsafe) {
		r = keep_content(b, now, &p);
		if (r < 0)
			err_sys(e, -r, "rebase '%s'", path);
		disk_progress_end(&p);
	}
	blk_close(now);
	return r < 0 ? r : qcow2_set_backing(b, none ? NULL : o->backing, o->backing_format, e);
}

static int rebase_main(void *opts, int argc, char **argv, struct err *e)
{
	const struct copy_opts *o = opts;
	struct blk *b;
	int r;

	(void)argc;
	if (!o->backing)
		return err_set(e, EINVAL, "-b FILE is wanted (\"\": none)");
	if (o->backing[0] && !o->backing_format)
		return err_set(e, EINVAL, "-b needs -F: a backing file's format is never guessed");
	r = disk_open(
		&b,
		&(struct disk_image){
			.path = argv[0], .format = o->format, .writable = true, .no_backing = o->unsafe },
		e);
	if (r < 0)
		return r;
	r = blk_is_qcow2(b) ? rebase(b, argv[0], o, e) :
			      err_set(e, EINVAL, "'%s' is raw: it has no backing file", argv[0]);
	if (r < 0) {
		blk_close(b);
		return r;
	}
	return disk_close(b, argv[0], e);
}

const struct cmd cmd_disk_convert = {
	.name = "disk convert",
	.group = CMD_SYSTEM,
	.args = "[OPTIONS] SOURCE TARGET",
	.summary = "Copy a disk into another format, without holes and backing files",
	.examples = "hull disk convert -O qcow2 disk.img vm.qcow2\nfrom raw\n\n"
		    "hull disk convert -f qcow2 -O raw vm.qcow2 /dev/vg/vm -n\nonto a block device",
	.opts = convert_opts,
	.opts_size = sizeof(struct copy_opts),
	.min_args = 2,
	.max_args = 2,
	.run = convert_main,
	.complete = "@file",
};

const struct cmd cmd_disk_compare = {
	.name = "disk compare",
	.group = CMD_SYSTEM,
	.args = "[OPTIONS] FILE FILE",
	.summary = "Do two disks hold the same bytes?",
	.about = "Exit status: 0 identical, 1 different, 2 an error.",
	.opts = compare_opts,
	.opts_size = sizeof(struct copy_opts),
	.min_args = 2,
	.max_args = 2,
	.status_error = 2,
	.run = compare_main,
	.complete = "@file",
};

const struct cmd cmd_disk_commit = {
	.name = "disk commit",
	.group = CMD_SYSTEM,
	.args = "[OPTIONS] FILE",
	.summary = "Write what an image holds into its backing file",
	.opts = commit_opts,
	.opts_size = sizeof(struct copy_opts),
	.min_args = 1,
	.max_args = 1,
	.run = commit_main,
	.complete = "@file",
};

const struct cmd cmd_disk_rebase = {
	.name = "disk rebase",
	.group = CMD_SYSTEM,
	.args = "[OPTIONS] -b BACKING FILE",
	.summary = "Give an image another backing file; what it shows stays the same",
	.examples = "hull disk rebase -b \"\" clone.qcow2\nmake it independent",
	.opts = rebase_opts,
	.opts_size = sizeof(struct copy_opts),
	.min_args = 1,
	.max_args = 1,
	.run = rebase_main,
	.complete = "@file",
};
