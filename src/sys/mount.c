/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/mount.h"

#include <linux/stat.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/err.h"
#include "base/str.h"
#include "sys/call.h"

enum { MNT_DETACH_FLAG = 2 }; /* umount2(2) MNT_DETACH; <sys/mount.h> cannot be had beside <linux/mount.h> */

int mnt_fsopen(const char *fstype)
{
	return (int)SYS2(SYS_fsopen, fstype, FSOPEN_CLOEXEC);
}

int mnt_config_flag(int fsfd, const char *key)
{
	return (int)SYS5(SYS_fsconfig, fsfd, FSCONFIG_SET_FLAG, key, NULL, 0);
}

int mnt_config_string(int fsfd, const char *key, const char *value)
{
	return (int)SYS5(SYS_fsconfig, fsfd, FSCONFIG_SET_STRING, key, value, 0);
}

int mnt_config_fd(int fsfd, const char *key, int fd)
{
	return (int)SYS5(SYS_fsconfig, fsfd, FSCONFIG_SET_FD, key, NULL, fd);
}

int mnt_config_create(int fsfd)
{
	return (int)SYS5(SYS_fsconfig, fsfd, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
}

int mnt_fsmount(int fsfd, unsigned attr)
{
	return (int)SYS3(SYS_fsmount, fsfd, FSMOUNT_CLOEXEC, attr);
}

int mnt_open_tree(int dirfd, const char *path, unsigned flags)
{
	return (int)SYS3(SYS_open_tree, dirfd, path, flags | OPEN_TREE_CLOEXEC);
}

int mnt_attach_at(int tree, int dirfd, const char *path, unsigned flags)
{
	return (int)SYS5(SYS_move_mount, tree, "", dirfd, path, flags | MOVE_MOUNT_F_EMPTY_PATH);
}

int mnt_attach(int tree, int target)
{
	return mnt_attach_at(tree, target, "", MOVE_MOUNT_T_EMPTY_PATH);
}

int mnt_set_attr(int fd, uint64_t set, uint64_t clr, uint64_t propagation, int userns_fd, bool recursive)
{
	struct mount_attr attr = {
		.attr_set = set,
		.attr_clr = clr,
		.propagation = propagation,
		.userns_fd = userns_fd >= 0 ? (uint64_t)userns_fd : 0,
	};

	if ((set | clr) &
	    MOUNT_ATTR__ATIME) /* the three access-time modes are one field: cleared whole, then set */
		attr.attr_clr |= MOUNT_ATTR__ATIME;
	return (int)SYS5(SYS_mount_setattr, fd, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), &attr,
			 sizeof(attr));
}

int mnt_detach(int fd)
{
	char path[32];

	str_format(path, sizeof(path), "/proc/self/fd/%d", fd);
	return mnt_detach_at(path);
}

int mnt_detach_at(const char *path)
{
	return (int)SYS2(SYS_umount2, path, MNT_DETACH_FLAG);
}

int mnt_propagation(const char *path, uint64_t flags)
{
	return (int)SYS5(SYS_mount, NULL, path, NULL, flags, NULL);
}

int mnt_fail(int fsfd, int code, const char *what, struct err *e)
{
	char log[256]; /* one message, oldest first: "e ext4: why", the letter telling its level */
	long n = SYS3(SYS_read, fsfd, log, sizeof(log) - 1);

	if (n <= 2)
		return err_sys(e, code, "%s", what);
	log[n] = '\0';
	return err_set(e, code, "%s: %s (%.*s)", what, err_name(code), (int)strcspn(log + 2, "\n"), log + 2);
}

int64_t mnt_id(int fd)
{
	struct statx stx;
	long r = SYS5(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &stx);

	return r < 0 ? r : (int64_t)stx.stx_mnt_id;
}

bool mnt_fstype_is(int fd, long magic)
{
	struct statfs fs;

	return SYS2(SYS_fstatfs, fd, &fs) == 0 && (long)fs.f_type == magic;
}
