/* SPDX-License-Identifier: Apache-2.0 */
#include "store/archive.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "fmt/decomp.h"
#include "fmt/tar.h"
#include "store/store_internal.h"
#include "store/stream.h"
#include "sys/call.h"
#include "sys/file.h"

enum { LINKS_MAX = 8 };

/* clean_name() - "./a//b/../c" as "a/c"; ".." stops at the top. Caller frees; NULL: out of memory. */
static char *clean_name(const char *dir, size_t dir_len, const char *name)
{
	auto_fini(buf) struct buf out = { 0 };
	auto_free char *all = str_printf("%.*s/%s", name[0] == '/' ? 0 : (int)dir_len, dir, name);
	char *rest = all, *part;

	while (rest && (part = strsep(&rest, "/"))) {
		if (!*part || str_eq(part, "."))
			continue;
		if (str_eq(part, "..")) {
			char *slash = out.len ? memrchr(out.data, '/', out.len) : NULL;

			out.len = slash ? (size_t)(slash - out.data) : 0;
			continue;
		}
		buf_printf(&out, "%s%s", out.len ? "/" : "", part);
	}
	return all ? buf_take(&out) : NULL;
}

static int add(struct archive *a, struct tar *t, const struct tar_entry *n, struct err *e)
{
	const char *slash = strrchr(n->name, '/');
	struct archive_file *file;

	if (n->type != TAR_FILE && n->type != TAR_LINK && n->type != TAR_SYMLINK)
		return 0;
	if (a->n == ARCHIVE_FILES_MAX)
		return err_set(e, E2BIG, "more than %d files", ARCHIVE_FILES_MAX);
	if (a->n == a->cap) {
		size_t cap = a->cap ? 2 * a->cap : 64;

		file = reallocarray(a->file, cap, sizeof(*file));
		if (!file)
			return err_sys(e, ENOMEM, "archive");
		a->file = file;
		a->cap = cap;
	}
	file = &a->file[a->n++];
	*file = (struct archive_file){ .at = tar_offset(t),
				       .len = n->size,
				       .name = clean_name("", 0, n->name) };
	if (n->type == TAR_LINK)
		file->link = clean_name("", 0, n->link);
	else if (n->type == TAR_SYMLINK) /* old docker archives name equal layers so */
		file->link = clean_name(n->name, slash ? (size_t)(slash - n->name) : 0, n->link);
	if (!file->name || (n->type != TAR_FILE && !file->link))
		return err_sys(e, ENOMEM, "archive");
	return 0;
}

/* by_name() - and of equal names the last in the archive first. */
static int by_name(const void *x, const void *y)
{
	const struct archive_file *a = x, *b = y;
	int r = strcmp(a->name, b->name);

	return r ? r : a->at > b->at ? -1 : a->at < b->at;
}

static int index_files(struct archive *a, struct err *e)
{
	struct stream_fd *file = malloc(sizeof(*file));
	const struct tar_entry *n;
	struct source from;
	struct tar *t;
	int r;

	if (!file)
		return err_sys(e, ENOMEM, "archive");
	stream_fd_init_part(file, a->fd, 0, (uint64_t)lseek(a->fd, 0, SEEK_END));
	from = stream_fd_source(file);
	t = tar_new(&from);
	r = t ? 0 : err_sys(e, ENOMEM, "archive");
	while (r >= 0 && (r = tar_next(t, &n, e)) > 0)
		r = add(a, t, n, e);
	tar_free(t);
	free(file);
	if (r >= 0 && a->n > 0)
		qsort(a->file, a->n, sizeof(a->file[0]), by_name);
	return r;
}

static int copy_all(const struct source *from, int fd, struct err *e)
{
	const uint8_t *bytes;
	ssize_t n;

	while ((n = from->next(from->arg, &bytes, e)) > 0) {
		int r = file_write(fd, bytes, (size_t)n);

		if (r < 0)
			return err_sys(e, -r, "keep the archive on disk");
	}
	return (int)n;
}

/* spool() - the decoded archive as an anonymous file, which a full disk bounds and nothing outlives. */
static int spool(struct archive *a, struct store *st, const struct source *from, struct err *e)
{
	a->fd = store__spool(st, e);
	return a->fd < 0 ? a->fd : copy_all(from, a->fd, e);
}

static int decode(struct archive *a, struct store *st, int in_fd, struct err *e)
{
	struct stream_fd *file = malloc(sizeof(*file));
	struct decomp *d = NULL;
	struct source from;
	struct stat in;
	int r;

	if (!file)
		return err_sys(e, ENOMEM, "archive");
	stream_fd_init(file, in_fd);
	from = stream_fd_source(file);
	r = decomp_new(&d, &from, e);
	if (r >= 0) {
		bool plain = str_eq(decomp_name(d), "plain");

		from = decomp_source(d);
		if (plain && file_fstatat(in_fd, "", &in, AT_EMPTY_PATH) == 0 && S_ISREG(in.st_mode)) {
			a->fd = (int)SYS3(SYS_fcntl, in_fd, F_DUPFD_CLOEXEC, 0);
			r = a->fd < 0 ? err_sys(e, -a->fd, "archive") : 0;
		} else {
			r = spool(a, st, &from, e);
		}
	}
	decomp_free(d);
	free(file);
	return r;
}

int archive_open(struct archive *a, struct store *st, int in_fd, struct err *e)
{
	int r;

	*a = (struct archive){ .fd = -1 };
	r = decode(a, st, in_fd, e);
	if (r >= 0)
		r = index_files(a, e);
	if (r < 0)
		archive_fini(a);
	return r;
}

void archive_fini(struct archive *a)
{
	for (size_t i = 0; i < a->n; i++) {
		free(a->file[i].name);
		free(a->file[i].link);
	}
	free(a->file);
	guard_close(&a->fd);
	*a = (struct archive){ .fd = -1 };
}

static const struct archive_file *find_one(const struct archive *a, const char *name)
{
	size_t low = 0, high = a->n;

	while (low < high) { /* the first of equal names */
		size_t mid = low + (high - low) / 2;

		if (strcmp(a->file[mid].name, name) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low < a->n && str_eq(a->file[low].name, name) ? &a->file[low] : NULL;
}

const struct archive_file *archive_find(const struct archive *a, const char *name)
{
	auto_free char *clean = clean_name("", 0, name);
	const struct archive_file *f = clean ? find_one(a, clean) : NULL;

	for (int i = 0; f && f->link; i++)
		f = i < LINKS_MAX ? find_one(a, f->link) : NULL;
	return f;
}

int archive_read(const struct archive *a, const char *name, size_t max, struct buf *b, struct err *e)
{
	const struct archive_file *f = archive_find(a, name);
	void *room;
	long n;

	if (!f)
		return err_set(e, ENOENT, "'%.100s': missing from the archive", name);
	if (f->len > max)
		return err_set(e, EFBIG, "'%.100s': %llu bytes, the limit is %zu", name,
			       (unsigned long long)f->len, max);
	room = buf_room(b, f->len);
	if (!room)
		return err_sys(e, ENOMEM, "'%.100s'", name);
	n = SYS4(SYS_pread64, a->fd, room, f->len, f->at);
	if (n != (long)f->len)
		return err_sys(e, n < 0 ? (int)-n : EIO, "read '%.100s'", name);
	b->len += f->len;
	b->data[b->len] = '\0';
	return 0;
}
