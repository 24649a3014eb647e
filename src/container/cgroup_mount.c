/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup_mount.c - an OCI mount of type "cgroup"
 *
 * With a cgroup namespace a fresh mount shows the container's own groups as the root. Without one that would
 * be the host's whole tree, so the container's own directories are bound instead. The mounts of the host are
 * still there to bind from: this runs in the container's mount namespace before pivot_root, on paths the host
 * alone controls.
 */
#include "container/cgroup_internal.h"

#include <fcntl.h>

#include "base/guard.h"
#include "base/str.h"
#include "sys/call.h"
#include "sys/file.h"
#include "sys/mount.h"

/* configure() - name the hierarchy to a v1 file system context. */
static int configure(int fs, const char *controllers)
{
	const char *name = str_after(controllers, "name=");
	char one[64];
	int r;

	if (name) {
		r = mnt_config_flag(fs, "none");
		return r < 0 ? r : mnt_config_string(fs, "name", name);
	}
	for (const char *s = controllers; *s; s += strcspn(s, ","), s += *s == ',') {
		str_format(one, sizeof(one), "%.*s", (int)strcspn(s, ","), s);
		r = mnt_config_flag(fs, one);
		if (r < 0)
			return r;
	}
	return 0;
}

/* new_mount() - Return: detached mount, or -errno. */
static int new_mount(const struct cgroup_hierarchy *h, uint64_t attr)
{
	auto_close int fs = mnt_fsopen(h->v2 ? "cgroup2" : "cgroup");
	int r = fs;

	if (r >= 0 && !h->v2)
		r = configure(fs, h->controllers);
	if (r >= 0)
		r = mnt_config_create(fs);
	return r < 0 ? r : mnt_fsmount(fs, (unsigned)attr);
}

static int bind_own(const struct cgroup_hierarchy *h, uint64_t attr)
{
	char full[CGROUP__FULL_MAX];
	auto_close int tree =
		mnt_open_tree(AT_FDCWD, cgroup__full_path(h, full), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	int r;

	if (tree < 0)
		return tree;
	r = attr ? mnt_set_attr(tree, attr, 0, 0, -1, false) : 0;
	return r < 0 ? r : TAKE_FD(tree);
}

static int make_tree(const struct cgroup_hierarchy *h, uint64_t attr, bool has_cgroup_ns)
{
	int tree = has_cgroup_ns ? new_mount(h, attr) : -EPERM;

	/* A user namespace that does not own the cgroup namespace may not mount; binding shows it the same
	 * directories. */
	if (tree == -EPERM || tree == -EBUSY)
		tree = bind_own(h, attr);
	return tree;
}

/* link_controllers() - /sys/fs/cgroup/cpu beside cpu,cpuacct, where programs look for one controller. */
static void link_controllers(int dirfd, const char *dir, const char *controllers)
{
	char one[64];

	if (!strchr(controllers, ','))
		return;
	for (const char *s = controllers; *s; s += strcspn(s, ","), s += *s == ',') {
		str_format(one, sizeof(one), "%.*s", (int)strcspn(s, ","), s);
		SYS3(SYS_symlinkat, dir, dirfd, one); /* the directory itself may have that name */
	}
}

static int mount_one(int dirfd, const struct cgroup_hierarchy *h, uint64_t attr, bool has_cgroup_ns,
		     struct err *e)
{
	const char *name = str_after(h->controllers, "name=");
	auto_close int tree = -1;
	auto_close int at = -1;
	int r;

	name = h->v2 ? "unified" : name ? name : h->controllers;
	r = file_mkdir(dirfd, name, 0755);
	at = r < 0 ? r : file_open(dirfd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);
	tree = at < 0 ? at : make_tree(h, attr, has_cgroup_ns);
	r = tree < 0 ? tree : mnt_attach(tree, at);
	if (r < 0)
		return err_sys(e, -r, "cgroup mount '%s'", name);
	link_controllers(dirfd, name, h->controllers);
	return 0;
}

/* tmpfs_under() - the directory of directories that v1 is. Return: detached mount, or -errno. */
static int tmpfs_under(uint64_t attr)
{
	auto_close int fs = mnt_fsopen("tmpfs");
	int r = fs < 0 ? fs : mnt_config_string(fs, "source", "tmpfs");

	if (r >= 0)
		r = mnt_config_string(fs, "mode", "755");
	if (r >= 0)
		r = mnt_config_string(fs, "size", "64k");
	if (r >= 0)
		r = mnt_config_create(fs);
	return r < 0 ? r : mnt_fsmount(fs, (unsigned)(attr & ~(uint64_t)MOUNT_ATTR_RDONLY));
}

int cgroup_mount(const struct cgroup *cg, int dstfd, uint64_t attr, bool has_cgroup_ns, struct err *e)
{
	auto_close int tree = -1;
	int r;

	if (cg->layout == CGROUP_V2) {
		tree = make_tree(&cg->h[0], attr, has_cgroup_ns);
		r = tree < 0 ? tree : mnt_attach(tree, dstfd);
		return r < 0 ? err_sys(e, -r, "cgroup mount") : 0;
	}
	if (cg->n == 0 || !(has_cgroup_ns || cgroup_any(cg)))
		return err_set(e, ENOTSUP, "cgroup mount: there is no group of its own");
	tree = tmpfs_under(attr);
	r = tree < 0 ? tree : mnt_attach(tree, dstfd);
	if (r < 0)
		return err_sys(e, -r, "cgroup mount: tmpfs");
	for (size_t i = 0; i < cg->n; i++) {
		if (cg->h[i].dirfd < 0 && !has_cgroup_ns) /* an unprivileged user has groups in some only */
			continue;
		r = mount_one(tree, &cg->h[i], attr, has_cgroup_ns, e);
		if (r < 0)
			return r;
	}
	r = attr & MOUNT_ATTR_RDONLY ? mnt_set_attr(tree, attr, 0, 0, -1, false) : 0;
	return r < 0 ? err_sys(e, -r, "cgroup mount: attributes") : 0;
}
