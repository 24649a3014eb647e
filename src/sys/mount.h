/* SPDX-License-Identifier: Apache-2.0 */
/* mount.h - the descriptor-based mount calls (Linux 5.2 and later); constants from <linux/mount.h>, not <sys/mount.h> */
#ifndef SYS_MOUNT_H
#define SYS_MOUNT_H

#include <fcntl.h>
#include <linux/mount.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct err;

int mnt_fsopen(const char *fstype); /* O_CLOEXEC context, or -errno */
int mnt_config_flag(int fsfd, const char *key);
int mnt_config_string(int fsfd, const char *key, const char *value);
int mnt_config_fd(int fsfd, const char *key, int fd);
int mnt_config_create(int fsfd);
int mnt_fsmount(int fsfd, unsigned attr); /* detached mount fd */
int mnt_open_tree(int dirfd, const char *path,
		  unsigned flags);    /* OPEN_TREE_CLONE | AT_RECURSIVE | AT_EMPTY_PATH ... */
int mnt_attach(int tree, int target); /* move_mount by two descriptors */
int mnt_attach_at(int tree, int dirfd, const char *path, unsigned flags);
/* mnt_set_attr() - @fd's mount (or, @recursive, its tree): set and clear MOUNT_ATTR_x, @propagation MS_x or 0,
 * @userns_fd for MOUNT_ATTR_IDMAP or -1. */
int mnt_set_attr(int fd, uint64_t set, uint64_t clr, uint64_t propagation, int userns_fd, bool recursive);
int mnt_detach(int fd); /* umount2(fd, MNT_DETACH) of what is mounted on it */
int mnt_detach_at(const char *path);
int mnt_propagation(const char *path, uint64_t flags); /* mount(NULL, path, NULL, flags, NULL) */

/* mnt_fail() - err_sys(), with what the kernel noted in the file system context behind it: "what: errno (ext4: why)". */
int mnt_fail(int fsfd, int code, const char *what, struct err *e);

/* mnt_statx_id() - mount id of an open descriptor (STATX_MNT_ID), or -errno. */
int64_t mnt_id(int fd);

/* mnt_fstype_is() - fstatfs(2): is @fd on a file system of this magic? */
bool mnt_fstype_is(int fd, long magic);

#endif
