/* SPDX-License-Identifier: Apache-2.0 */
#include "container/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "container/cgroup.h"
#include "container/mask.h"
#include "container/mount_internal.h"
#include "container/rootfs.h"
#include "fmt/oci.h"
#include "sys/call.h"
#include "sys/file.h"
#include "sys/mount.h"
#include "sys/path.h"

enum { MOUNT_DIR_MODE = 0755, MOUNT_FILE_MODE = 0644 }; /* of mount points that are missing */

int ct_path_clean(char *dst, const char *path)
{
	size_t len = 0;

	for (const char *p = path; *p;) {
		const char *part = p + strspn(p, "/");
		size_t n = strcspn(part, "/");

		p = part + n;
		if (n == 0 || (n == 1 && part[0] == '.'))
			continue;
		if (n == 2 && part[0] == '.' && part[1] == '.') {
			while (len > 0 && dst[--len] != '/')
				;
			continue;
		}
		if (len + 1 + n >= CT_PATH_MAX)
			return -ENAMETOOLONG;
		dst[len++] = '/';
		memcpy(dst + len, part, n);
		len += n;
	}
	if (len == 0)
		dst[len++] = '/';
	dst[len] = '\0';
	return 0;
}

int ct_open_no_symlinks(int rootfd, const char *path, int flags)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned)flags | O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS,
	};
	long r;

	do { /* without ".." in @path the kernel never asks to try again for ever */
		r = SYS4(SYS_openat2, rootfd, path, &how, sizeof(how));
	} while (r == -EINTR);
	return (int)r;
}

static bool is_bind(const struct oci_mount *m)
{
	return m->flags & OCI_MOUNT_BIND;
}

bool ct_mount_covers_dev(const struct oci_spec *spec)
{
	char dest[CT_PATH_MAX];

	for (size_t i = 0; i < spec->n_mounts; i++) {
		const struct oci_mount *m = &spec->mounts[i];

		if (is_bind(m) && ct_path_clean(dest, m->destination) == 0 && str_eq(dest, "/dev"))
			return true;
	}
	return false;
}

static bool in_proc(const char *dest)
{
	const char *rest = str_after(dest, "/proc");

	return rest && (*rest == '\0' || *rest == '/');
}

/*
 * proc_file_allowed() - the files of /proc that tools such as lxcfs replace; the rest of it cannot be
 * mounted over.
 */
static bool proc_file_allowed(const char *dest)
{
	static const char *const allowed[] = {
		"/proc/cpuinfo",
		"/proc/diskstats",
		"/proc/loadavg",
		"/proc/meminfo",
		"/proc/slabinfo",
		"/proc/stat",
		"/proc/swaps",
		"/proc/uptime",
		"/proc/sys/crypto/fips_enabled",
		"/proc/sys/kernel/ns_last_pid",
	};

	for (size_t i = 0; i < ARRAY_SIZE(allowed); i++)
		if (str_eq(dest, allowed[i]))
			return true;
	return false;
}

/* is_container_proc() - is @fd, which is on some procfs, on the one mounted at the container's /proc? */
static bool is_container_proc(int rootfd, int fd)
{
	auto_close int proc = ct_open_no_symlinks(rootfd, "/proc", O_DIRECTORY);
	struct stat a, b;

	return proc < 0 || file_fstatat(proc, "", &a, AT_EMPTY_PATH) < 0 ||
	       file_fstatat(fd, "", &b, AT_EMPTY_PATH) < 0 || a.st_dev == b.st_dev;
}

/*
 * check_proc() - CVE-2019-16884 and its kin: what writes to /proc, the runtime included, must meet procfs
 * there, so nothing else goes onto it, into it, or through a symlink to it.
 * @tree: the source of a bind, or -1
 */
static int check_proc(const struct mount_job *j, int dst, int tree, struct err *e)
{
	bool on_proc = mnt_fstype_is(dst, PROC_SUPER_MAGIC);

	if (!in_proc(j->dest)) {
		if (on_proc && is_container_proc(j->rootfd, dst))
			return err_set(e, EPERM, "leads into /proc, which cannot be mounted over");
		return 0;
	}
	if (str_eq(j->dest, "/proc")) {
		if (tree >= 0 ? mnt_fstype_is(tree, PROC_SUPER_MAGIC) : str_eq(j->m->type, "proc"))
			return 0;
		return err_set(e, EPERM, "only procfs goes on /proc");
	}
	if (!proc_file_allowed(j->dest) || !on_proc)
		return err_set(e, EPERM, "is inside /proc, which cannot be mounted over");
	return 0;
}

/* target_strict() - a place that must be meant literally: no symlink on the way to it. */
static bool target_strict(const struct mount_job *j)
{
	return str_eq(j->dest, "/proc") ||
	       (!is_bind(j->m) && (str_eq(j->m->type, "proc") || str_eq(j->m->type, "sysfs")));
}

static int target_open(const struct mount_job *j)
{
	if (target_strict(j))
		return ct_open_no_symlinks(j->rootfd, j->dest, 0);
	return path_open_in_root(j->rootfd, j->dest,
				 O_PATH | (j->m->flags & OCI_MOUNT_DEST_NOFOLLOW ? O_NOFOLLOW : 0), 0);
}

/* make_in_parent() - the usual case, in few calls: all but the last part of the path is there. */
static int make_in_parent(const struct mount_job *j, bool is_dir)
{
	auto_free char *name = NULL;
	auto_close int dir = path_parent_in_root(j->rootfd, j->dest, false, &name);
	int fd;

	if (dir < 0)
		return dir;
	if (is_dir) {
		fd = file_mkdir(dir, name, MOUNT_DIR_MODE);
	} else {
		fd = file_open(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, MOUNT_FILE_MODE);
		guard_close(&fd);
	}
	return fd < 0 ? fd : file_open(dir, name, O_PATH | O_NOFOLLOW | (is_dir ? O_DIRECTORY : 0), 0);
}

/*
 * target_make() - the mount point is missing: a directory, or a file when what is bound (@tree) is not
 * one.
 */
static int target_make(const struct mount_job *j, int tree, struct err *e)
{
	bool is_dir = true;
	struct stat st;
	int fd, r;

	if (tree >= 0) {
		r = file_fstatat(tree, "", &st, AT_EMPTY_PATH);
		if (r < 0)
			return err_sys(e, -r, "source '%s'", j->m->source);
		is_dir = S_ISDIR(st.st_mode);
	}
	fd = make_in_parent(j, is_dir);
	if (fd < 0)
		fd = path_make_in_root(j->rootfd, j->dest, is_dir, is_dir ? MOUNT_DIR_MODE : MOUNT_FILE_MODE,
				       e);
	if (fd < 0)
		return err_wrap(e, fd, "make mount point");
	if (target_strict(j)) {
		fd_close(&fd);
		fd = target_open(j);
		if (fd < 0)
			return err_sys(e, -fd, "mount point");
	}
	return fd;
}

/**
 * target() - the mount point, resolved in the root
 * @tree:         what is bound, or -1
 * @ret_existing: permission bits of a directory that was there, or 0; may be NULL
 * Return: O_PATH descriptor or -errno
 */
static int target(const struct mount_job *j, int tree, mode_t *ret_existing, struct err *e)
{
	auto_close int fd = target_open(j);
	struct stat st;
	int r;

	if (fd == -ELOOP && target_strict(j))
		return err_set(e, ELOOP, "must be a real directory, and is or lies behind a symlink");
	if (fd == -ENOENT && !(j->m->flags & OCI_MOUNT_DEST_NOFOLLOW)) {
		fd = target_make(j, tree, e);
		if (fd < 0)
			return fd;
	} else if (fd < 0) {
		return err_sys(e, -fd, "mount point");
	} else if (ret_existing) {
		r = file_fstatat(fd, "", &st, AT_EMPTY_PATH);
		if (r < 0)
			return err_sys(e, -r, "mount point");
		*ret_existing = st.st_mode & 07777;
	}
	r = check_proc(j, fd, tree, e);
	return r < 0 ? r : TAKE_FD(fd);
}

/*
 * set_attrs() - attributes and propagation of a detached tree; a @fresh mount has j->attr and is private
 * already.
 */
static int set_attrs(const struct mount_job *j, int tree, bool fresh, struct err *e)
{
	const struct oci_mount *m = j->m;
	uint64_t set = fresh ? 0 : j->attr, clr = fresh ? 0 : m->attr_clr;
	uint64_t propagation = fresh && m->propagation == MS_PRIVATE ? 0 : m->propagation;
	uint64_t one = m->propagation_rec ? 0 : propagation, all = m->propagation_rec ? propagation : 0;
	int r = 0;

	if (set || clr || one)
		r = mnt_set_attr(tree, set, clr, one, -1, false);
	if (r == 0 && (m->rec_set || m->rec_clr || all))
		r = mnt_set_attr(tree, m->rec_set, m->rec_clr, all, -1, true);
	if (r == -EPERM)
		return err_set(
			e, EPERM,
			"options: the source's mount has attributes that are locked in a user namespace");
	return r < 0 ? err_sys(e, -r, "options") : 0;
}

/* keep_late() - remember a mount that becomes read-only when the root is complete. */
static int keep_late(struct ct_rootfs *r, int tree)
{
	int *more = reallocarray(r->late_fds, r->n_late + 1, sizeof(*more));
	long fd;

	if (!more)
		return -ENOMEM;
	r->late_fds = more;
	fd = SYS3(SYS_fcntl, tree, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return (int)fd;
	r->late_fds[r->n_late++] = (int)fd;
	return 0;
}

static bool same_kind(int a, int b)
{
	struct stat one, two;

	return file_fstatat(a, "", &one, AT_EMPTY_PATH) < 0 || file_fstatat(b, "", &two, AT_EMPTY_PATH) < 0 ||
	       S_ISDIR(one.st_mode) == S_ISDIR(two.st_mode);
}

static int attach(const struct mount_job *j, int tree, int dst, struct err *e)
{
	int r = mnt_attach(tree, dst);

	if (r == 0 && j->attr != j->m->attr_set)
		r = keep_late(j->r, tree);
	if (r < 0 && !same_kind(tree, dst))
		return err_set(e, ENOTDIR, "one of source and mount point is a directory, the other is not");
	return r < 0 ? err_sys(e, -r, "attach") : 0;
}

static int mount_bind(const struct mount_job *j, struct err *e)
{
	auto_close int tree = mount__clone_source(j, e);
	auto_close int dst = -1;
	int r;

	if (tree < 0)
		return tree;
	dst = target(j, tree, NULL, e);
	if (dst < 0)
		return dst;
	r = set_attrs(j, tree, false, e);
	return r < 0 ? r : attach(j, tree, dst, e);
}

/*
 * sysfs_from_host() - sysfs belongs to the network namespace's owner; a user namespace that has no network
 * namespace of its own gets the host's, read-only to the last mount in it, whatever the options say.
 */
static int sysfs_from_host(const struct mount_job *j, struct err *e)
{
	const uint64_t keep =
		MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOSYMFOLLOW;
	auto_close int tree = mnt_open_tree(AT_FDCWD, "/sys", OPEN_TREE_CLONE | AT_RECURSIVE);
	int r = tree;

	if (r >= 0)
		r = mnt_set_attr(tree, MOUNT_ATTR_RDONLY | (j->attr & keep), 0, MS_PRIVATE, -1, true);
	if (r < 0)
		return err_sys(e, -r, "the host's /sys in place of sysfs");
	if (e)
		*e = (struct err){ 0 }; /* what kept us from a sysfs of our own */
	return TAKE_FD(tree);
}

static int mount_fs(const struct mount_job *j, struct err *e)
{
	auto_close int dst = -1;
	auto_close int tree = -1;
	mode_t mode = 0;
	int r = 0;

	if (j->m->flags & OCI_MOUNT_IDMAP)
		return err_set(e, ENOTSUP, "only bind mounts can be id-mapped");
	dst = target(j, -1, str_eq(j->m->type, "tmpfs") ? &mode : NULL, e);
	if (dst < 0)
		return dst;
	tree = mount__make_fs(j, mode, e);
	if (tree == -EPERM && str_eq(j->m->type, "sysfs") && (j->r->new_userns || j->r->rootless))
		tree = sysfs_from_host(j, e);
	if (tree < 0)
		return tree;
	if (j->m->flags & OCI_MOUNT_TMPCOPYUP)
		r = mount__copy_up(dst, tree, e);
	if (r == 0)
		r = set_attrs(j, tree, true, e);
	return r < 0 ? r : attach(j, tree, dst, e);
}

/* no_cgroup() - an unprivileged user without a group of his own: then there is none to show. */
static bool no_cgroup(const struct mount_job *j, int r)
{
	return j->r->rootless && (r == -ENOENT || r == -EPERM || r == -EACCES || r == -ENOTSUP);
}

static int mount_cgroup(const struct mount_job *j, struct err *e)
{
	const struct oci_namespace *ns = &j->r->spec->linux.ns[OCI_NS_CGROUP];
	const struct cgroup *cg = j->r->cgroup;
	auto_close int dst = target(j, -1, NULL, e);
	auto_close int empty = -1;
	int r;

	if (dst < 0)
		return dst;
	if (cg && cg->layout != CGROUP_NONE) {
		r = cgroup_mount(cg, dst, j->attr, ns->present, e);
		if (!no_cgroup(j, r))
			return r;
		if (e)
			*e = (struct err){ 0 };
	}
	empty = ct_mask_empty_dir(e);
	if (empty < 0)
		return empty;
	r = mnt_attach(empty, dst); /* on top of whatever was begun there */
	return r < 0 ? err_sys(e, -r, "attach") : 0;
}

/*
 * remount() - change what is mounted at the destination: the mount's attributes, and without "bind" the
 * superblock's.
 */
static int remount(const struct mount_job *j, struct err *e)
{
	auto_close int dst = target_open(j);
	int r;

	if (dst < 0)
		return err_sys(e, -dst, "mount point");
	r = is_bind(j->m) ? 0 : mount__reconfigure(j, dst, e);
	return r < 0 ? r : set_attrs(j, dst, false, e);
}

static int mount_one(const struct mount_job *j, struct err *e)
{
	const struct oci_mount *m = j->m;
	int r;

	if (str_eq(j->dest, "/"))
		return err_set(e, EINVAL, "the root itself cannot be mounted over");
	if (m->flags & OCI_MOUNT_REMOUNT)
		return remount(j, e);
	if (m->flags & OCI_MOUNT_COPY_SYMLINK) {
		r = mount__copy_symlink(j, e);
		if (r != 0)
			return r < 0 ? r : 0;
	}
	if (is_bind(m))
		return mount_bind(j, e);
	if (str_eq(m->type, "cgroup"))
		return mount_cgroup(j, e);
	return mount_fs(j, e);
}

int ct_mount_all(struct ct_rootfs *r, int rootfd, struct err *e)
{
	for (size_t i = 0; i < r->spec->n_mounts; i++) {
		const struct oci_mount *m = &r->spec->mounts[i];
		struct mount_job j = {
			.r = r,
			.m = m,
			.rootfd = rootfd,
			.given = r->source_fds ? r->source_fds[i] : -1,
			.early = r->early_fds ? r->early_fds[i] : -1,
			.attr = m->attr_set,
		};
		int rc = ct_path_clean(j.dest, m->destination);

		/* A tmpfs, and /dev, still get mount points and nodes from us. */
		if (rc == 0 && !(m->flags & OCI_MOUNT_REMOUNT) &&
		    (str_eq(m->type, "tmpfs") || str_eq(j.dest, "/dev")))
			j.attr &= ~(uint64_t)MOUNT_ATTR_RDONLY;
		rc = rc < 0 ? rc : mount_one(&j, e);
		if (rc < 0)
			return err_wrap(e, rc, "mounts[%zu] '%s' (%s)", i, m->destination,
					m->type ? m->type : "remount");
	}
	return 0;
}
