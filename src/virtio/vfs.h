/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vfs.h - virtio-fs: a directory of the host in the guest, served by a thread of its own
 *
 * What may be reached, and what a guest can ask for, is fs/share.h's business; the device brings requests there and replies
 * back. File data goes between guest memory and the file without a copy.
 *
 * Spec: virtio 1.2 §5.11
 */
#ifndef VIRTIO_VFS_H
#define VIRTIO_VFS_H

#include "fs/share.h"

struct err;
struct gmem;
struct loop;
struct vdev;

enum { VFS_TAG_MAX = 36 };

struct vfs_config {
	const char *tag; /* what the guest mounts: 1 to VFS_TAG_MAX bytes; borrowed */
	struct share_config share;
};

/**
 * vfs_new() - the device; nothing is served before vfs_start()
 * Context: the loop's thread, before a jail
 * Return: 0; -EINVAL the tag; what share_new() says
 */
int vfs_new(struct vdev **ret_d, const struct vfs_config *c, const struct gmem *mem, struct loop *loop,
	    struct err *e);

/**
 * vfs_start() - make the thread that serves
 * @enter: runs in it first: its system call filter; may be NULL. Its failure is ours.
 * Context: the loop's thread, once, behind a jail
 * Return: 0; what pthread_create(3), unshare(2) or @enter says
 */
int vfs_start(struct vdev *d, int (*enter)(void *arg), void *arg, struct err *e);

#endif
