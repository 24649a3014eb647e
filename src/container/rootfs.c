/* SPDX-License-Identifier: Apache-2.0 */
#include "container/rootfs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/guard.h"
#include "container/device.h"
#include "container/mask.h"
#include "container/mount.h"
#include "container/sysctl.h"
#include "fmt/oci.h"
#include "sys/call.h"
#include "sys/file.h"
#include "sys/mount.h"

static bool has_mount_ns(const struct ct_rootfs *r)
{
	return r->spec->linux.ns[OCI_NS_MOUNT].present;
}

/*
 * check_host_ns() - in the host's own mount namespace nothing may be mounted: it would stay, and
 * everybody would see it.
 */
static int check_host_ns(const struct ct_rootfs *r, struct err *e)
{
	const struct oci_spec *s = r->spec;
	const char *what = NULL;

	if (s->n_mounts)
		what = "mounts";
	else if (s->root_readonly)
		what = "root.readonly";
	else if (s->linux.masked_paths.n)
		what = "linux.maskedPaths";
	else if (s->linux.readonly_paths.n)
		what = "linux.readonlyPaths";
	else if (s->linux.rootfs_propagation)
		what = "linux.rootfsPropagation";
	else if (s->has_process && s->process.terminal)
		what = "process.terminal";
	else if (r->rootfs_fd >= 0 || r->new_userns || r->rootless)
		what = "this root file system";
	return what ? err_set(e, EINVAL, "%s: needs a mount namespace in linux.namespaces", what) : 0;
}

/*
 * outer_propagation() - what "/" becomes before anything is mounted. Shared stays in the host's peer group,
 * so that volumes can be; unbindable is for the container's root alone, later, or its volumes could not be
 * bound.
 */
static uint64_t outer_propagation(const struct ct_rootfs *r)
{
	uint64_t p = r->spec->linux.rootfs_propagation;

	return !p || (p & MS_UNBINDABLE) ? MS_SLAVE | MS_REC : p;
}

/* outer_shared() - can mounts outside the root still be in a peer group with the host's? */
static bool outer_shared(const struct ct_rootfs *r)
{
	uint64_t p = outer_propagation(r);

	return (p & MS_SHARED) || !(p & MS_REC);
}

/* unshare_parent() - the mount that holds @fd: what is attached there must not appear at the host's. */
static int unshare_parent(int fd, uint64_t propagation)
{
	auto_close int at = (int)SYS3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 0);
	int r = at;

	for (int depth = 0; r >= 0 && depth < CT_PATH_MAX; depth++) {
		int up;

		r = mnt_set_attr(at, 0, 0, propagation & MS_SLAVE ? MS_SLAVE : MS_PRIVATE, -1, false);
		if (r != -EINVAL)
			return r;
		up = file_open(at, "..", O_PATH | O_DIRECTORY, 0); /* not the root of its mount: one up */
		r = up;
		if (up >= 0) {
			fd_close(&at);
			at = up;
		}
	}
	return r < 0 ? r : -ELOOP;
}

/* attach_root() - the root as a mount of its own in our namespace. Return: O_PATH descriptor of it. */
static int attach_root(const struct ct_rootfs *r, struct err *e)
{
	const uint64_t outer = outer_propagation(r);
	auto_close int at = -1;
	auto_close int tree = -1;
	int rc = 0;

	/* A new mount namespace of a user namespace has only slaves and private mounts already. */
	if (!r->new_userns || r->spec->linux.ns[OCI_NS_MOUNT].path || outer != (MS_SLAVE | MS_REC))
		rc = mnt_propagation("/", outer);
	if (rc < 0)
		return err_sys(e, -rc, "linux.rootfsPropagation: '/'");
	at = file_open(AT_FDCWD, r->rootfs, O_PATH | O_DIRECTORY, 0);
	if (at < 0)
		return err_sys(e, -at, "root file system '%s'", r->rootfs);
	if (outer_shared(r))
		rc = unshare_parent(at, outer);
	if (rc < 0)
		return err_sys(e, -rc, "root file system '%s': propagation", r->rootfs);
	if (r->rootfs_fd >= 0)
		tree = (int)SYS3(SYS_fcntl, r->rootfs_fd, F_DUPFD_CLOEXEC, 0);
	else
		tree = mnt_open_tree(at, "", OPEN_TREE_CLONE | AT_RECURSIVE | AT_EMPTY_PATH);
	rc = tree < 0 ? tree : mnt_attach(tree, at);
	return rc < 0 ? err_sys(e, -rc, "root file system '%s'", r->rootfs) : TAKE_FD(tree);
}

static int open_root(struct ct_rootfs *r, struct err *e)
{
	int fd;

	if (!r->rootfs || r->rootfs[0] != '/')
		return err_set(e, EINVAL, "root file system: no absolute path to attach it on");
	if (has_mount_ns(r)) {
		fd = r->rootfs_fd >= 0 ? ct_mount_open_early(r, e) : 0;
		return fd < 0 ? fd : attach_root(r, e);
	}
	fd = check_host_ns(r, e);
	if (fd < 0)
		return fd;
	fd = file_open(AT_FDCWD, r->rootfs, O_PATH | O_DIRECTORY, 0);
	return fd < 0 ? err_sys(e, -fd, "root file system '%s'", r->rootfs) : fd;
}

int ct_rootfs_prepare(struct ct_rootfs *r, int *ret_rootfd, struct err *e)
{
	auto_close int rootfd = open_root(r, e);
	mode_t mask;
	int rc;

	if (rootfd < 0)
		return rootfd;
	mask = (mode_t)SYS1(SYS_umask, 0); /* modes are what the configuration says */
	rc = ct_mount_all(r, rootfd, e);
	if (rc == 0 && !ct_mount_covers_dev(r->spec))
		rc = ct_device_make_all(r, rootfd, e);
	SYS1(SYS_umask, mask);
	if (rc == 0)
		*ret_rootfd = TAKE_FD(rootfd);
	return rc;
}

int ct_rootfs_console(struct ct_rootfs *r, int rootfd, int *ret_master, int *ret_slave, struct err *e)
{
	int rc = has_mount_ns(r) ? 0 : check_host_ns(r, e);

	if (rc == 0)
		rc = ct_device_open_terminal(rootfd, ret_master, ret_slave, e);
	return rc < 0 ? err_wrap(e, rc, "process.terminal") : 0;
}

/* enter_by_chroot() - "/" is then @rootfd, whatever the mount namespace's own root is. */
static int enter_by_chroot(int rootfd)
{
	long r = SYS1(SYS_fchdir, rootfd);

	if (r == 0)
		r = SYS1(SYS_chroot, ".");
	if (r == 0)
		r = SYS1(SYS_chdir, "/");
	return (int)r;
}

static int enter_by_move(int rootfd, struct err *e)
{
	int r = ct_mount_hide_host(rootfd, e);

	if (r < 0)
		return r;
	r = mnt_attach_at(rootfd, AT_FDCWD, "/", 0);
	if (r == 0)
		r = enter_by_chroot(rootfd);
	return r < 0 ? err_sys(e, -r, "move the root to '/'") : 0;
}

/*
 * enter_by_pivot() - the old root ends up on top of the new one and is taken off. One that has peers on the
 * host is cut off in between, or the unmount would reach them; not before, when the container's own shared
 * mounts are still below it.
 */
static int enter_by_pivot(int rootfd, bool shared, struct err *e)
{
	auto_close int old = shared ? file_open(AT_FDCWD, "/", O_PATH | O_DIRECTORY, 0) : -1;
	long r = shared && old < 0 ? old : SYS1(SYS_fchdir, rootfd);

	if (r == 0)
		r = SYS2(SYS_pivot_root, ".", ".");
	if (r == 0 && shared)
		r = mnt_set_attr(old, 0, 0, MS_SLAVE, -1, true);
	if (r == 0)
		r = mnt_detach_at(".");
	if (r == 0)
		r = SYS1(SYS_chdir, "/");
	return r < 0 ? err_sys(e, (int)-r, "pivot_root") : 0;
}

/* check_entered() - never go on in the wrong root. */
static int check_entered(int rootfd, struct err *e)
{
	auto_close int now = file_open(AT_FDCWD, "/", O_PATH | O_DIRECTORY, 0);
	struct stat a, b;

	if (now >= 0 && mnt_id(now) == mnt_id(rootfd) && file_fstatat(now, "", &a, AT_EMPTY_PATH) == 0 &&
	    file_fstatat(rootfd, "", &b, AT_EMPTY_PATH) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino)
		return 0;
	return err_set(e, ESTALE, "'/' is not the container's root file system");
}

/* seal() - what had to stay writable until now. */
static int seal(struct ct_rootfs *r, int rootfd, struct err *e)
{
	const uint64_t inner = r->spec->linux.rootfs_propagation;
	int rc = 0;

	if (inner & (MS_SHARED | MS_UNBINDABLE))
		rc = mnt_set_attr(rootfd, 0, 0, inner & ~(uint64_t)MS_REC, -1, inner & MS_REC);
	if (rc < 0)
		return err_sys(e, -rc, "linux.rootfsPropagation");
	for (size_t i = 0; i < r->n_late; i++) {
		rc = mnt_set_attr(r->late_fds[i], MOUNT_ATTR_RDONLY, 0, 0, -1, false);
		if (rc < 0)
			return err_sys(e, -rc, "mounts: read-only");
	}
	if (r->spec->root_readonly)
		rc = mnt_set_attr(rootfd, MOUNT_ATTR_RDONLY, 0, 0, -1, false);
	return rc < 0 ? err_sys(e, -rc, "root.readonly") : 0;
}

int ct_rootfs_enter(struct ct_rootfs *r, int rootfd, struct err *e)
{
	int rc;

	if (!has_mount_ns(r)) {
		rc = enter_by_chroot(rootfd);
		rc = rc < 0 ? err_sys(e, -rc, "chroot") : check_entered(rootfd, e);
		return rc < 0 ? rc : ct_sysctl_apply(r->spec, rootfd, e);
	}
	rc = r->no_pivot ? enter_by_move(rootfd, e) : enter_by_pivot(rootfd, outer_shared(r), e);
	if (rc == 0)
		rc = check_entered(rootfd, e);
	if (rc == 0)
		rc = seal(r, rootfd, e);
	if (rc == 0)
		rc = ct_sysctl_apply(r->spec, rootfd, e);
	if (rc == 0)
		rc = ct_readonly_paths(rootfd, &r->spec->linux.readonly_paths, e);
	if (rc == 0)
		rc = ct_mask_paths(rootfd, &r->spec->linux.masked_paths, e);
	return rc;
}

void ct_rootfs_fini(struct ct_rootfs *r)
{
	for (size_t i = 0; i < r->n_late; i++)
		fd_close(&r->late_fds[i]);
	for (size_t i = 0; r->early_fds && i < r->spec->n_mounts; i++)
		fd_close(&r->early_fds[i]);
	free(r->late_fds);
	free(r->early_fds);
	r->early_fds = NULL;
	r->late_fds = NULL;
	r->n_late = 0;
}
