/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mount_internal.h - one entry of "mounts" on its way, shared by mount.c, mount_fs.c, mount_bind.c,
 * mount_copyup.c
 */
#ifndef CONTAINER_MOUNT_INTERNAL_H
#define CONTAINER_MOUNT_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "container/mount.h"

struct mount_job {
	struct ct_rootfs *r;
	const struct oci_mount *m;
	int rootfd;             /* borrowed */
	int given;              /* the parent's clone of the source, or -1; borrowed */
	int early;              /* our own, from before the root was attached, or -1; borrowed */
	uint64_t attr;          /* m->attr_set less what waits for ct_rootfs_enter() */
	char dest[CT_PATH_MAX]; /* m->destination, clean */
};

/*
 * mount__make_fs() - a new detached mount of a file system; @tmpfs_mode is used unless the options have
 * one, 0: none.
 */
int mount__make_fs(const struct mount_job *j, mode_t tmpfs_mode, struct err *e);

/* mount__reconfigure() - "remount": superblock options of what is mounted at @dst. */
int mount__reconfigure(const struct mount_job *j, int dst, struct err *e);

/* mount__clone_source() - the source of a bind mount as a detached tree. */
int mount__clone_source(const struct mount_job *j, struct err *e);

/*
 * mount__copy_symlink() - "copy-symlink": 1 when the source was a symlink and now is one in the root,
 * else 0, -errno.
 */
int mount__copy_symlink(const struct mount_job *j, struct err *e);

/* mount__copy_up() - fill the detached tmpfs @tree from the directory @dst it is going to cover. */
int mount__copy_up(int dst, int tree, struct err *e);

#endif
