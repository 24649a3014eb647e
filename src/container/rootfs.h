/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rootfs.h - a container's file system, made by its first process in its own mount namespace, before exec
 *
 * Theory of operation. After the root is open there are no path strings: a mount is made detached, gets its
 * attributes while nobody can reach it, and is attached by descriptor onto a target resolved inside the
 * root (sys/path.h). What is bound over something is checked through the descriptor that is bound. A step
 * that fails is an error, never a reason to try the same by path. Two things stay outside: sources of bind
 * mounts are the configuration's own host paths, and a symlinked target inside the root is followed inside
 * the root (procfs and sysfs: refused).
 *
 * Order: ct_mount_open_sources() in the parent; then in init, one thread, host's root still in place:
 * ct_rootfs_prepare(), hooks, ct_rootfs_console() if there is a terminal, ct_rootfs_enter(),
 * ct_rootfs_fini(). Needs Linux 5.12 (mount_setattr(2)). Spec: OCI runtime-spec 1.3, config.md "Mounts",
 * config-linux.md.
 */
#ifndef CONTAINER_ROOTFS_H
#define CONTAINER_ROOTFS_H

#include <stdbool.h>
#include <stddef.h>

struct cgroup;
struct err;
struct oci_spec;

/* What the caller fills in is borrowed; the rest is {0}. */
struct ct_rootfs {
	const struct oci_spec *spec;
	int rootfs_fd;         /* detached mount to use as root, or -1 */
	const char *rootfs;    /* absolute path of the root; with rootfs_fd, any directory to attach it on */
	const int *source_fds; /* from ct_mount_open_sources(), or NULL */
	const struct cgroup *cgroup; /* what a mount of type "cgroup" shows; NULL: an empty directory */
	bool rootless;               /* made by an unprivileged user */
	bool no_pivot;               /* the host's "/" is an initramfs: move the root mount, then chroot */
	bool new_userns;             /* init is in the container's user namespace */

	int *late_fds; /* private: mounts that become read-only in ct_rootfs_enter(); owned */
	size_t n_late;
	int *early_fds; /* private: sources opened before the root was attached; owned */
};

/**
 * ct_rootfs_prepare() - root mount, every entry of "mounts", devices, symlinks, the console's mount point
 * @r:          the working directory is the bundle: relative bind sources start there
 * @ret_rootfd: O_PATH descriptor of the root mount; caller closes
 * Return: 0; -errno naming the entry ("mounts[3] '/x' (tmpfs): ...")
 */
int ct_rootfs_prepare(struct ct_rootfs *r, int *ret_rootfd, struct err *e);

/**
 * ct_rootfs_console() - a terminal from the container's own devpts, its slave bound on /dev/console
 * Context: between ct_rootfs_prepare() and ct_rootfs_enter() or after it.
 * Return: 0 with both descriptors (O_CLOEXEC, caller closes); -errno
 */
int ct_rootfs_console(struct ct_rootfs *r, int rootfd, int *ret_master, int *ret_slave, struct err *e);

/**
 * ct_rootfs_enter() - make the root "/": pivot, propagation, what is read-only, sysctls, masked paths
 * Return: 0 with "/" as working directory; -errno naming the field
 */
int ct_rootfs_enter(struct ct_rootfs *r, int rootfd, struct err *e);

void ct_rootfs_fini(struct ct_rootfs *r);

#endif
