/* SPDX-License-Identifier: Apache-2.0 */
/* mount.h - the "mounts" of a configuration: sources opened in the parent, everything attached in init */
#ifndef CONTAINER_MOUNT_H
#define CONTAINER_MOUNT_H

#include <stdbool.h>
#include <stddef.h>

struct ct_rootfs;
struct err;
struct oci_mount;
struct oci_spec;

enum { CT_PATH_MAX = 4096 }; /* of a destination, with its NUL */

/**
 * ct_mount_open_sources() - clone the trees that init could not
 *
 * These are the id-mapped ones, and with a user namespace every bind source, in case the ids there may not
 * reach it.
 * @fds: one for each of @spec->mounts, -1 where there is nothing to hand over; caller closes
 * Context: the parent, privileged, in the host's mount namespace; the working directory is the bundle.
 * Return: 0; -errno naming the entry, and then no descriptor is left open. A source that is missing is
 *         init's to report.
 */
int ct_mount_open_sources(const struct oci_spec *spec, int *fds, struct err *e);

/**
 * ct_mount_open_early() - clone the sources of all bind mounts into @r->early_fds
 *
 * For a root that is going to be attached on a directory that is not its own: host paths through that
 * directory would lead into the container's files afterwards.
 * Return: 0; -errno naming the entry
 */
int ct_mount_open_early(struct ct_rootfs *r, struct err *e);

/**
 * ct_mount_all() - attach every entry of @r->spec->mounts, in order
 * @rootfd: the container's root mount; borrowed
 * Return: 0; -errno naming the entry
 */
int ct_mount_all(struct ct_rootfs *r, int rootfd, struct err *e);

/* ct_mount_covers_dev() - is /dev bound from the host, so that nothing is to be made in it? */
bool ct_mount_covers_dev(const struct oci_spec *spec);

/**
 * ct_mount_hide_host() - before chroot: unmount, or cover, each whole procfs and sysfs outside the root
 *
 * The kernel lets a user namespace mount a fresh procfs only while a whole one is in sight; the host's, out
 * of reach but still in the mount namespace, would be that.
 */
int ct_mount_hide_host(int rootfd, struct err *e);

/* ct_path_clean() - @path as absolute, without ".", "..", empty parts; @dst of CT_PATH_MAX. -ENAMETOOLONG. */
int ct_path_clean(char *dst, const char *path);

/* ct_open_no_symlinks() - O_PATH below @rootfd, or -errno: -ELOOP when any part of @path is a symlink. */
int ct_open_no_symlinks(int rootfd, const char *path, int flags);

#endif
