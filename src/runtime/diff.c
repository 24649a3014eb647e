/* SPDX-License-Identifier: Apache-2.0 */
/*
 * diff.c - what an instance has changed, read from the overlay's upper directory
 *
 * A character device 0:0 there hides what is below ('D'), anything else was added ('A') or stands for
 * something below ('C'), which the image's own layers tell. Names of the upper directory come from the
 * workload: only descriptors are followed.
 */
#include <dirent.h>
#include <sys/sysmacros.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "fmt/json.h"
#include "fs/overlay.h"
#include "runtime/runtime_internal.h"
#include "sys/cred.h"
#include "sys/file.h"
#include "sys/path.h"

enum { DEPTH_MAX = 1000 };

struct diff {
	int lower; /* the image alone, mounted; owned */
	int (*each)(void *arg, char kind, const char *path);
	void *arg;
	struct buf path;
};

static bool in_lower(const struct diff *d)
{
	auto_close int fd = path_open_in_root(d->lower, buf_str(&d->path), O_PATH | O_NOFOLLOW, 0);

	return fd >= 0;
}

static int walk(struct diff *d, int dir, int level);

static int visit(struct diff *d, int dir, const char *name, int level)
{
	struct stat st;
	bool below;
	int r = file_fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW);
	auto_close int sub = -1;

	if (r < 0)
		return r == -ENOENT ? 0 : r; /* it runs, and just removed it */
	below = in_lower(d);
	if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0))
		return below ? d->each(d->arg, 'D', buf_str(&d->path)) : 0;
	r = d->each(d->arg, below ? 'C' : 'A', buf_str(&d->path));
	if (r != 0 || !S_ISDIR(st.st_mode))
		return r;
	sub = file_open(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	return sub < 0 ? 0 : walk(d, TAKE_FD(sub), level + 1);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* walk() - the directory @dir (taken), names in order. */
static int walk(struct diff *d, int dir, int level)
{
	auto_fini(strv) struct strv names = { 0 };
	DIR *stream = fdopendir(dir);
	size_t at = d->path.len;
	struct dirent *de;
	int r = 0;

	if (!stream || level > DEPTH_MAX) {
		if (stream)
			closedir(stream);
		else
			close(dir);
		return stream ? -ELOOP : -ENOMEM;
	}
	while ((de = readdir(stream)))
		if (!str_eq(de->d_name, ".") && !str_eq(de->d_name, ".."))
			strv_add(&names, de->d_name);
	if (names.len > 0)
		qsort(names.item, names.len, sizeof(names.item[0]), by_name);
	for (size_t i = 0; i < names.len && r == 0; i++) {
		buf_printf(&d->path, "/%s", names.item[i]);
		r = buf_finish(&d->path);
		if (r == 0)
			r = visit(d, dirfd(stream), names.item[i], level);
		d->path.len = at;
		if (d->path.data)
			d->path.data[at] = '\0';
	}
	closedir(stream);
	return r;
}

/* lower_open() - the instance's image without what the instance did. */
static int lower_open(const char *dir, struct err *e)
{
	auto_free char *path = str_printf("%s/" INSTANCE_ROOTFS, dir);
	auto_fini(buf) struct buf text = { 0 };
	auto_json json_t *tree = NULL;
	auto_free char **lower = NULL;
	struct overlay o = { .userxattr = cred_in_userns() };
	const json_t *list;
	int r = path ? file_slurp_at(AT_FDCWD, path, &text, INSTANCE_TEXT_MAX) : -ENOMEM;

	if (r < 0)
		return err_sys(e, -r, "%s/" INSTANCE_ROOTFS, dir);
	r = json_tree_parse(&tree, buf_str(&text), text.len, e);
	if (r < 0)
		return r;
	list = json_object_get(tree, "lower");
	o.n_lower = json_array_size(list);
	lower = calloc(o.n_lower + 1, sizeof(char *));
	if (!lower)
		return err_sys(e, ENOMEM, "diff");
	for (size_t i = 0; i < o.n_lower; i++) {
		lower[i] = (char *)(uintptr_t)json_string_value(json_array_get(list, i));
		if (!lower[i])
			return err_set(e, EBADMSG, "%s/" INSTANCE_ROOTFS " is damaged", dir);
	}
	o.lower = lower;
	return overlay_open(&o, e);
}

int instance_diff(struct runtime *rt, const char *id, int (*each)(void *arg, char kind, const char *path),
		  void *arg, struct err *e)
{
	auto_fini(instance) struct instance in = { 0 };
	struct diff d = { .lower = -1, .each = each, .arg = arg };
	auto_free char *dir = NULL;
	int upper, r = instance_find(rt, id, &in, e);

	if (r < 0)
		return r;
	upper = instance_upper(rt, in.id, e);
	dir = runtime__path(rt, in.id);
	if (upper < 0 || !dir) {
		if (upper >= 0)
			close(upper);
		return upper < 0 ? upper : err_sys(e, ENOMEM, "diff");
	}
	d.lower = lower_open(dir, e);
	if (d.lower < 0) {
		close(upper);
		return err_wrap(e, d.lower, "diff of '%s'", in.name);
	}
	r = walk(&d, upper, 0);
	fd_close(&d.lower);
	buf_fini(&d.path);
	return r < 0 ? err_sys(e, -r, "diff of '%s'", in.name) : r;
}
