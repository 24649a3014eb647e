/* SPDX-License-Identifier: Apache-2.0 */
/* device.h - the nodes and links of a container's /dev, and its terminal */
#ifndef CONTAINER_DEVICE_H
#define CONTAINER_DEVICE_H

struct ct_rootfs;
struct err;

/**
 * ct_device_make_all() - default devices, linux.devices, the usual symlinks, a terminal's /dev/console
 *
 * A node that is there already is kept when it is what it should be. In a user namespace, where nodes cannot
 * be made, the host's are bound, each checked by its descriptor.
 * @rootfd: the container's root mount, everything of "mounts" attached
 * Context: umask 0.
 * Return: 0; -ENOTDIR when /dev is a symlink or no directory (CVE-2026-41579); -errno naming the device
 */
int ct_device_make_all(const struct ct_rootfs *r, int rootfd, struct err *e);

/* ct_device_open_null() - the container's /dev/null, checked to be the null device: O_PATH fd, or -errno. */
int ct_device_open_null(int rootfd, struct err *e);

/* ct_device_open_terminal() - see ct_rootfs_console(). */
int ct_device_open_terminal(int rootfd, int *ret_master, int *ret_slave, struct err *e);

#endif
