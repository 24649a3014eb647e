/* SPDX-License-Identifier: Apache-2.0 */
#include "container/mask.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/guard.h"
#include "container/device.h"
#include "fmt/oci.h"
#include "sys/file.h"
#include "sys/mount.h"
#include "sys/path.h"

int ct_mask_empty_dir(struct err *e)
{
	const unsigned attr = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
	auto_close int fs = mnt_fsopen("tmpfs");
	int r = fs;

	if (r >= 0)
		r = mnt_config_string(fs, "source", "tmpfs");
	if (r >= 0)
		r = mnt_config_string(fs, "nr_blocks", "1");
	if (r >= 0)
		r = mnt_config_string(fs, "nr_inodes", "2");
	if (r >= 0)
		r = mnt_config_create(fs);
	if (r >= 0)
		r = mnt_fsmount(fs, attr);
	return r < 0 ? err_sys(e, -r, "empty directory") : r;
}

/*
 * What covers: the null device, and one mount for all directories; each opened when the first path needs
 * it.
 */
struct mask {
	int rootfd;
	int null_fd; /* O_PATH */
	int dir_fd;  /* the first directory's mask; the others are clones of it */
	bool dir_used;
};

static void mask_fini(struct mask *m)
{
	fd_close(&m->null_fd);
	fd_close(&m->dir_fd);
}

static int mask_file(struct mask *m, int dst, struct err *e)
{
	auto_close int tree = -1;
	int r;

	if (m->null_fd < 0)
		m->null_fd = ct_device_open_null(m->rootfd, e);
	if (m->null_fd < 0)
		return m->null_fd;
	tree = mnt_open_tree(m->null_fd, "", OPEN_TREE_CLONE | AT_EMPTY_PATH);
	r = tree < 0 ? tree : mnt_attach(tree, dst);
	return r < 0 ? err_sys(e, -r, "mask") : 0;
}

static int mask_dir(struct mask *m, int dst, struct err *e)
{
	auto_close int tree = -1;
	int r;

	if (m->dir_fd < 0)
		m->dir_fd = ct_mask_empty_dir(e);
	if (m->dir_fd < 0)
		return m->dir_fd;
	if (!m->dir_used) { /* a mount that is attached can be cloned by any kernel, a detached one by 6.15
			       and later */
		r = mnt_attach(m->dir_fd, dst);
		m->dir_used = r == 0;
	} else {
		tree = mnt_open_tree(m->dir_fd, "", OPEN_TREE_CLONE | AT_EMPTY_PATH);
		r = tree < 0 ? tree : mnt_attach(tree, dst);
	}
	return r < 0 ? err_sys(e, -r, "mask") : 0;
}

int ct_mask_paths(int rootfd, const struct oci_strs *paths, struct err *e)
{
	auto_fini(mask) struct mask m = { .rootfd = rootfd, .null_fd = -1, .dir_fd = -1 };

	for (size_t i = 0; i < paths->n; i++) {
		auto_close int dst = path_open_in_root(rootfd, paths->v[i], O_PATH, 0);
		struct stat st;
		int r;

		if (dst == -ENOENT)
			continue;
		r = dst < 0 ? dst : file_fstatat(dst, "", &st, AT_EMPTY_PATH);
		if (r < 0)
			r = err_sys(e, -r, "open");
		else
			r = S_ISDIR(st.st_mode) ? mask_dir(&m, dst, e) : mask_file(&m, dst, e);
		if (r < 0)
			return err_wrap(e, r, "linux.maskedPaths '%s'", paths->v[i]);
	}
	return 0;
}

int ct_readonly_paths(int rootfd, const struct oci_strs *paths, struct err *e)
{
	for (size_t i = 0; i < paths->n; i++) {
		auto_close int dst = path_open_in_root(rootfd, paths->v[i], O_PATH, 0);
		auto_close int tree = -1;
		int r;

		if (dst == -ENOENT)
			continue;
		if (dst >= 0)
			tree = mnt_open_tree(dst, "", OPEN_TREE_CLONE | AT_RECURSIVE | AT_EMPTY_PATH);
		r = dst < 0 ? dst : tree;
		if (r >= 0)
			r = mnt_set_attr(tree, MOUNT_ATTR_RDONLY, 0, 0, -1, true);
		if (r >= 0)
			r = mnt_attach(tree, dst);
		if (r < 0)
			return err_sys(e, -r, "linux.readonlyPaths '%s'", paths->v[i]);
	}
	return 0;
}
