/* SPDX-License-Identifier: Apache-2.0 */
#include "store/tartree.h"

#include <dirent.h>
#include <limits.h>
#include <linux/limits.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "sys/file.h"
#include "sys/path.h"

enum {
	DEPTH_MAX = 1000,
	COPY_BYTES = 1 << 16,
};

/* A file with several names, by its inode; the first name in order is the file, the others are links. */
struct link_name {
	dev_t dev;
	ino_t ino;
	char *name;
};

struct walk {
	struct tarout *out;
	unsigned flags;
	struct buf name; /* of the entry at hand, as in the archive */
	int depth;
	bool failed; /* and the error names the entry */
	void *links; /* tsearch(3) tree of struct link_name */
	char *copy;  /* COPY_BYTES */
};

struct xattrs {
	struct tar_xattr list[TAR_XATTRS_MAX];
	size_t n;
	struct buf names;
	void *value[TAR_XATTRS_MAX]; /* owned */
	bool opaque, whiteout;
};

/* --- extended attributes -------------------------------------------------------------------------------- */

static void xattrs_fini(struct xattrs *x)
{
	for (size_t i = 0; i < x->n; i++)
		free(x->value[i]);
	buf_fini(&x->names);
}

/* xattr_wanted() - capabilities, and what users set; labels and access lists belong to this host. */
static bool xattr_wanted(const char *name)
{
	if (str_starts(name, "trusted.overlay.") || str_starts(name, "user.overlay."))
		return false;
	return str_starts(name, "user.") || str_starts(name, "trusted.") ||
	       str_eq(name, "security.capability");
}

static int xattr_by_name(const void *a, const void *b)
{
	return strcmp(((const struct tar_xattr *)a)->name, ((const struct tar_xattr *)b)->name);
}

static int xattr_read(const char *path, const char *name, struct xattrs *x, struct err *e)
{
	ssize_t len = getxattr(path, name, NULL, 0);
	auto_free char *value = len < 0 ? NULL : malloc((size_t)len + 1);

	if (len < 0)
		return errno == ENODATA ? 0 : err_sys(e, errno, "attribute '%s'", name);
	if (!value)
		return err_sys(e, ENOMEM, "attribute '%s'", name);
	len = getxattr(path, name, value, (size_t)len);
	if (len < 0)
		return errno == ENODATA ? 0 : err_sys(e, errno, "attribute '%s'", name);
	if (x->n == TAR_XATTRS_MAX)
		return err_set(e, E2BIG, "more than %d extended attributes", TAR_XATTRS_MAX);
	x->list[x->n] = (struct tar_xattr){ .name = name, .value = value, .len = (size_t)len };
	x->value[x->n++] = TAKE_PTR(value);
	return 0;
}

/* overlay_mark() - the kernel's own marks: gone from the archive, but for what they mean. */
static void overlay_mark(const char *path, const char *name, unsigned flags, struct xattrs *x)
{
	const char *mark = str_after(name, flags & TARTREE_USERXATTR ? "user.overlay." : "trusted.overlay.");
	char value = 0;

	if (!mark)
		return;
	if (str_eq(mark, "opaque"))
		x->opaque = getxattr(path, name, &value, 1) == 1 && value == 'y';
	else if (str_eq(mark, "whiteout"))
		x->whiteout = true;
}

/* xattrs_read() - of what @fd (any, also O_PATH) names, sorted. */
static int xattrs_read(int fd, unsigned flags, struct xattrs *x, struct err *e)
{
	char path[FD_PATH_SIZE];
	ssize_t len;
	int r = 0;

	fd_path(fd, path);
	len = listxattr(path, NULL, 0);
	if (len <= 0)
		return len == 0 || errno == EOPNOTSUPP ? 0 : err_sys(e, errno, "extended attributes");
	if (!buf_room(&x->names, XATTR_LIST_MAX))
		return err_sys(e, ENOMEM, "extended attributes");
	len = listxattr(path, x->names.data, XATTR_LIST_MAX);
	if (len < 0)
		return err_sys(e, errno, "extended attributes");
	for (const char *name = x->names.data; name < x->names.data + len && r >= 0;
	     name += strlen(name) + 1) {
		if (flags & TARTREE_LAYER)
			overlay_mark(path, name, flags, x);
		if (xattr_wanted(name))
			r = xattr_read(path, name, x, e);
	}
	qsort(x->list, x->n, sizeof(x->list[0]), xattr_by_name);
	return r;
}

/* --- names ---------------------------------------------------------------------------------------------- */

static int link_compare(const void *a, const void *b)
{
	const struct link_name *x = a, *y = b;

	if (x->dev != y->dev)
		return x->dev < y->dev ? -1 : 1;
	return x->ino == y->ino ? 0 : x->ino < y->ino ? -1 : 1;
}

static void link_free(void *p)
{
	struct link_name *l = p;

	free(l->name);
	free(l);
}

/* link_first() - the name under which this inode went out already; NULL: this is the first. */
static int link_first(struct walk *w, const struct stat *st, const char **ret_name, struct err *e)
{
	struct link_name *l = calloc(1, sizeof(*l));
	struct link_name **found;

	if (l) {
		*l = (struct link_name){ .dev = st->st_dev, .ino = st->st_ino };
		l->name = strdup(buf_str(&w->name));
	}
	found = l && l->name ? tsearch(l, &w->links, link_compare) : NULL;
	if (!found) {
		if (l)
			link_free(l);
		return err_sys(e, ENOMEM, "hard links");
	}
	*ret_name = *found == l ? NULL : (*found)->name;
	if (*found != l)
		link_free(l);
	return 0;
}

static int name_compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int list_children(int dir, struct strv *names, struct err *e)
{
	int fd = path_reopen(dir, O_RDONLY | O_DIRECTORY);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *de;

	if (!d) {
		guard_close(&fd);
		return err_sys(e, fd < 0 ? -fd : ENOMEM, "read directory");
	}
	errno = 0;
	while ((de = readdir(d)))
		if (!str_eq(de->d_name, ".") && !str_eq(de->d_name, ".."))
			strv_add(names, de->d_name);
	closedir(d);
	if (strv_finish(names) < 0)
		return err_sys(e, ENOMEM, "read directory");
	if (names->len > 0)
		qsort(names->item, names->len, sizeof(names->item[0]), name_compare);
	return 0;
}

/* --- entries -------------------------------------------------------------------------------------------- */

static int write_mark(struct walk *w, const char *dir, size_t dir_len, const char *prefix, const char *name,
		      struct err *e)
{
	auto_free char *path = str_printf("%.*s%s%s", (int)dir_len, dir, prefix, name);
	const struct tar_entry n = { .type = TAR_FILE, .name = path, .link = "", .mode = 0600 };

	return path ? tarout_entry(w->out, &n, e) : err_sys(e, ENOMEM, "whiteout");
}

/* write_whiteout() - w->name is gone from the layers below: "dir/.wh.NAME". */
static int write_whiteout(struct walk *w, struct err *e)
{
	const char *slash = strrchr(buf_str(&w->name), '/');
	size_t dir_len = slash ? (size_t)(slash + 1 - w->name.data) : 0;

	return write_mark(w, buf_str(&w->name), dir_len, ".wh.", buf_str(&w->name) + dir_len, e);
}

/* write_data() - exactly @size bytes: a file that shrank meanwhile ends in zeros, one that grew is cut. */
static int write_data(struct walk *w, int fd, uint64_t size, struct err *e)
{
	while (size > 0) {
		size_t want = size < COPY_BYTES ? (size_t)size : COPY_BYTES;
		ssize_t n = file_read(fd, w->copy, want);
		int r;

		if (n < 0)
			return err_sys(e, (int)-n, "read");
		memset(w->copy + n, 0, want - (size_t)n);
		r = tarout_data(w->out, w->copy, want, e);
		if (r < 0)
			return r;
		size -= want;
	}
	return 0;
}

static int write_file(struct walk *w, int fd, struct tar_entry *n, const struct stat *st, struct err *e)
{
	auto_close int data = -1;
	const char *first = NULL;
	int r = st->st_nlink > 1 ? link_first(w, st, &first, e) : 0;

	if (r < 0)
		return r;
	if (first) {
		n->type = TAR_LINK;
		n->link = first;
		n->n_xattrs = 0;
		return tarout_entry(w->out, n, e);
	}
	n->type = TAR_FILE;
	n->size = (uint64_t)st->st_size;
	if (n->size > 0) {
		data = path_reopen(fd, O_RDONLY);
		if (data < 0)
			return err_sys(e, -data, "open");
	}
	r = tarout_entry(w->out, n, e);
	return r < 0 ? r : write_data(w, data, n->size, e);
}

static int write_symlink(struct walk *w, int fd, struct tar_entry *n, struct err *e)
{
	char target[PATH_MAX + 1];
	ssize_t len = readlinkat(fd, "", target, sizeof(target) - 1);

	if (len < 0)
		return err_sys(e, errno, "read symlink");
	target[len] = '\0';
	n->type = TAR_SYMLINK;
	n->link = target;
	return tarout_entry(w->out, n, e);
}

static int write_children(struct walk *w, int dir, struct err *e);

static int write_dir(struct walk *w, int fd, struct tar_entry *n, bool opaque, struct err *e)
{
	int r = 0;

	n->type = TAR_DIR;
	if (w->name.len > 0)
		r = tarout_entry(w->out, n, e);
	if (r >= 0 && opaque) {
		auto_free char *dir = str_printf("%s%s", buf_str(&w->name), w->name.len > 0 ? "/" : "");

		r = dir ? write_mark(w, dir, strlen(dir), "", ".wh..wh..opq", e) :
			  err_sys(e, ENOMEM, "opaque");
	}
	return r < 0 ? r : write_children(w, fd, e);
}

/* write_entry() - what @fd (O_PATH) names, called w->name; looked at once, so nothing can be swapped in
 * between. */
static int write_entry(struct walk *w, int fd, struct err *e)
{
	__attribute__((cleanup(xattrs_fini))) struct xattrs x = { 0 };
	const bool layer = w->flags & TARTREE_LAYER;
	struct tar_entry n = { .name = buf_str(&w->name), .link = "" };
	struct stat st;
	int r = file_fstatat(fd, "", &st, AT_EMPTY_PATH);

	if (r < 0)
		return err_sys(e, -r, "look at");
	if (layer && S_ISCHR(st.st_mode) && st.st_rdev == 0)
		return write_whiteout(w, e);
	if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))
		r = xattrs_read(fd, w->flags, &x, e);
	if (r < 0)
		return r;
	if (x.whiteout && S_ISREG(st.st_mode) && st.st_size == 0)
		return write_whiteout(w, e);
	n.mode = st.st_mode & 07777;
	n.uid = st.st_uid;
	n.gid = st.st_gid;
	n.mtime_s = st.st_mtim.tv_sec;
	n.mtime_ns = layer ? 0 : (uint32_t)st.st_mtim.tv_nsec;
	n.xattrs = x.list;
	n.n_xattrs = x.n;
	switch (st.st_mode & S_IFMT) {
	case S_IFREG: return write_file(w, fd, &n, &st, e);
	case S_IFDIR: return write_dir(w, fd, &n, x.opaque, e);
	case S_IFLNK: return write_symlink(w, fd, &n, e);
	case S_IFSOCK: return 0; /* tar has none, and one means nothing without its server */
	case S_IFIFO: n.type = TAR_FIFO; break;
	case S_IFCHR: n.type = TAR_CHAR; break;
	case S_IFBLK: n.type = TAR_BLOCK; break;
	default: return err_set(e, EINVAL, "of no known type");
	}
	n.major = major(st.st_rdev);
	n.minor = minor(st.st_rdev);
	return tarout_entry(w->out, &n, e);
}

static int write_child(struct walk *w, int dir, const char *name, struct err *e)
{
	const size_t was = w->name.len;
	auto_close int fd = file_open(dir, name, O_PATH | O_NOFOLLOW, 0);
	int r;

	if (fd == -ENOENT) /* removed since */
		return 0;
	buf_printf(&w->name, "%s%s", was > 0 && w->name.data[was - 1] != '/' ? "/" : "", name);
	r = buf_finish(&w->name);
	if (r >= 0)
		r = fd < 0 ? err_sys(e, -fd, "open") : write_entry(w, fd, e);
	if (r < 0 && !w->failed)
		err_wrap(e, r, "'%s'", buf_str(&w->name));
	w->failed |= r < 0;
	w->name.len = was;
	if (w->name.data)
		w->name.data[was] = '\0';
	return r;
}

static int write_children(struct walk *w, int dir, struct err *e)
{
	auto_fini(strv) struct strv names = { 0 };
	int r;

	if (w->depth == DEPTH_MAX)
		return err_set(e, ELOOP, "'%.80s...': more than %d directories deep", buf_str(&w->name),
			       DEPTH_MAX);
	w->depth++;
	r = list_children(dir, &names, e);
	for (size_t i = 0; i < names.len && r >= 0; i++)
		r = write_child(w, dir, names.item[i], e);
	w->depth--;
	return r;
}

int tartree_write(struct tarout *out, int dirfd, const char *name, unsigned flags, struct err *e)
{
	struct walk w = { .out = out, .flags = flags, .copy = malloc(COPY_BYTES) };
	int r;

	buf_puts(&w.name, name);
	if (!w.copy || buf_finish(&w.name) < 0)
		r = err_sys(e, ENOMEM, "tar");
	else
		r = write_entry(&w, dirfd, e);
	tdestroy(w.links, link_free);
	buf_fini(&w.name);
	free(w.copy);
	return r;
}

int tartree_open(int rootfd, const char *path, struct err *e)
{
	auto_free char *last = NULL;
	auto_close int dir = -1;
	int fd;

	if (!path[strspn(path, "/.")]) { /* "", "/", ".": the root itself (".." stops there) */
		fd = path_open_in_root(rootfd, "/", O_PATH, 0);
		return fd < 0 ? err_sys(e, -fd, "'%s'", path) : fd;
	}
	dir = path_parent_in_root(rootfd, path, false, &last);
	fd = dir < 0 ? dir : file_open(dir, last, O_PATH | O_NOFOLLOW, 0);
	return fd < 0 ? err_sys(e, -fd, "'%s'", path) : fd;
}

int tartree_file_flush(struct tartree_file *f, struct err *e)
{
	int r = file_write(f->fd, f->bytes, f->n);

	f->n = 0;
	return r < 0 ? err_sys(e, -r, "write archive") : 0;
}

int tartree_file_write(void *file, const void *bytes, size_t len, struct err *e)
{
	struct tartree_file *f = file;
	int r;

	if (len > sizeof(f->bytes) - f->n) {
		r = tartree_file_flush(f, e);
		if (r < 0)
			return r;
	}
	if (len > sizeof(f->bytes)) {
		r = file_write(f->fd, bytes, len);
		return r < 0 ? err_sys(e, -r, "write archive") : 0;
	}
	memcpy(f->bytes + f->n, bytes, len);
	f->n += len;
	return 0;
}
