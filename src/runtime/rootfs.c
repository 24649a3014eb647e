/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/rootfs.h"

#include <stdio.h>

#include "base/buf.h"
#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "fmt/json.h"
#include "fs/overlay.h"
#include "runtime/runtime_internal.h"
#include "sys/cred.h"
#include "sys/file.h"

/* --- the base --------------------------------------------- */

#define BASE_DIR "base"

enum { BASE_TRIES = 16 };

static const struct {
	const char *path;
	mode_t mode;
} base_dir[] = {
	{ "dev", 0755 },  { "dev/pts", 0755 }, { "dev/shm", 0755 }, { "dev/mqueue", 0755 },
	{ "proc", 0555 }, { "sys", 0555 },     { "etc", 0755 },
};
static const char *const base_file[] = { "dev/console", "etc/hosts", "etc/hostname", "etc/resolv.conf" };

static int base_fill(int dir)
{
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(base_dir) && r >= 0; i++) {
		r = file_mkdir(dir, base_dir[i].path, base_dir[i].mode);
		if (r >= 0 && fchmodat(dir, base_dir[i].path, base_dir[i].mode, 0) < 0)
			r = -errno;
	}
	for (size_t i = 0; i < ARRAY_SIZE(base_file) && r >= 0; i++) {
		auto_close int fd = file_open(dir, base_file[i], O_WRONLY | O_CREAT | O_EXCL, 0644);

		r = fd < 0 ? fd : fchmod(fd, 0644) < 0 ? -errno : 0;
	}
	if (r >= 0 && symlinkat("/proc/mounts", dir, "etc/mtab") < 0)
		r = -errno;
	return r;
}

/* base_try() - made aside, locked, and renamed. -ENOENT: somebody has swept it away before it was locked. */
static int base_try(int root)
{
	auto_close int dir = -1;
	char tmp[48];
	int r;

	str_format(tmp, sizeof(tmp), "tmp/" STORE_TMP_FOREIGN BASE_DIR "-%d", (int)getpid());
	file_remove_tree(root, tmp, NULL); /* of a killed one that had our number */
	r = file_mkdir(root, tmp, 0755);
	if (r >= 0)
		r = dir = file_open(root, tmp, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (r >= 0)
		r = file_lock(dir, true, true);
	if (r >= 0)
		r = base_fill(dir);
	if (r >= 0)
		r = file_rename(root, tmp, root, BASE_DIR, RENAME_NOREPLACE);
	if (r < 0)
		file_remove_tree(root, tmp, NULL);
	return r == -EEXIST ? 0 : r;
}

/*
 * base_make() - the undermost layer of every instance: what mounts need to be there and an image may lack
 * Whatever the image has of it lies above and counts. So no instance's own layer gets these, nor an image
 * committed from it.
 */
static int base_make(int root, struct err *e)
{
	struct stat st;
	int r = -ENOENT;

	if (file_fstatat(root, BASE_DIR, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	for (int i = 0; i < BASE_TRIES && r == -ENOENT; i++)
		r = base_try(root);
	return r < 0 ? err_sys(e, -r, "the base layer '" BASE_DIR "'") : 0;
}

int rootfs_write(struct store *st, const struct image *im, const char *dir, int dirfd, bool discard,
		 struct err *e)
{
	auto_fini(buf) struct buf b = { 0 };
	struct json_out o = { .to = &b };
	auto_free char *base = str_printf("%s/" BASE_DIR, store_root(st));
	int r = base ? base_make(store_rootfd(st), e) : err_sys(e, ENOMEM, "the base layer");

	json_put_open(&o, NULL, '{');
	json_put_open(&o, "lower", '[');
	for (size_t i = im->n_layers;
	     i-- > 0 && r >= 0;) { /* the image counts from the bottom, overlay from the top */
		auto_free char *path = NULL;

		r = store_layer_path(st, im->layers[i], &path, e);
		if (r >= 0)
			json_put_str(&o, NULL, path);
	}
	json_put_str(&o, NULL, base);
	json_put_close(&o, ']');
	json_put_bool(&o, "discard", discard);
	json_put_close(&o, '}');
	if (r < 0)
		return r;
	if (buf_finish(&b) < 0)
		return err_sys(e, ENOMEM, INSTANCE_ROOTFS);
	r = file_mkdir(dirfd, "upper", 0755);
	if (r >= 0)
		r = file_mkdir(dirfd, "work", 0700);
	if (r < 0)
		return err_sys(e, -r, "%s/upper", dir);
	return file_replace(dirfd, INSTANCE_ROOTFS, buf_str(&b), b.len, 0600, false, e);
}

/* advise() - what to do about a root file system of which a part is gone or damaged. */
static int advise(const struct overlay *o, int r, struct err *e)
{
	bool own = access(o->upper, F_OK) < 0 || access(o->work, F_OK) < 0;
	struct err why = *e;

	return err_set(e, -r, "%s: %s", why.text,
		       own          ? "what the container has written is gone, 'hull rm' it" :
		       r == -EINVAL ? "'hull rmi' its image, then load or build it again" :
				      "load or build its image again");
}

void rootfs_layers_fini(struct rootfs_layers *layers)
{
	for (size_t i = 0; i < layers->n; i++)
		fd_close(&layers->fd[i]);
	free(layers->fd);
	*layers = (struct rootfs_layers){ 0 };
}

static int open_layers(const char *dir, const json_t *tree, struct rootfs_layers *layers, struct err *e)
{
	const json_t *list = json_object_get(tree, "lower");
	size_t n = json_array_size(list);
	auto_free char *upper = str_printf("%s/upper", dir);
	auto_free char *work = str_printf("%s/work", dir);
	auto_free char **lower = calloc(n + 1, sizeof(char *));
	struct overlay o = { .lower = lower,
			     .n_lower = n,
			     .upper = upper,
			     .work = work,
			     .discard = instance__bool(tree, NULL, "discard"),
			     .userxattr = cred_in_userns() };

	int r;

	if (!upper || !work || !lower)
		return err_sys(e, ENOMEM, "root file system");
	if (!json_is_array(list))
		return err_set(e, EBADMSG, "%s/" INSTANCE_ROOTFS " is damaged: 'hull rm' the container", dir);
	for (size_t i = 0; i < n; i++) {
		lower[i] = (char *)(uintptr_t)json_string_value(json_array_get(list, i));
		if (!lower[i])
			return err_set(e, EBADMSG,
				       "%s/" INSTANCE_ROOTFS " is damaged: 'hull rm' the container", dir);
	}
	if (layers)
		layers->fd = o.keep =
			malloc((n + 1) * sizeof(*o.keep)); /* without it they are closed at once */
	r = overlay_open(&o, e);
	if (layers && layers->fd && r >= 0)
		layers->n = n;
	return r == -ENOENT || r == -EINVAL || r == -EBADMSG || r == -EUCLEAN ? advise(&o, r, e) : r;
}

int rootfs_open(const char *dir, struct rootfs_layers *layers, struct err *e)
{
	auto_free char *path = str_printf("%s/" INSTANCE_ROOTFS, dir);
	auto_fini(buf) struct buf b = { 0 };
	auto_json json_t *tree = NULL;
	int r = path ? file_slurp_at(AT_FDCWD, path, &b, INSTANCE_TEXT_MAX) : -ENOMEM;

	if (r == -ENOENT)
		return err_set(e, ENOENT, "%s is gone: 'hull rm' the container", path);
	if (r < 0)
		return err_sys(e, -r, "%s", path ? path : dir);
	json_tree_parse(&tree, buf_str(&b), b.len, NULL); /* NULL then, and no list in it */
	r = open_layers(dir, tree, layers, e);
	return r < 0 ? err_wrap(e, r, "root file system") : r;
}
