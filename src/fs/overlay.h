/* SPDX-License-Identifier: Apache-2.0 */
/*
 * overlay.h - a root file system put together as one detached mount: nothing is ever mounted on the host
 *
 * Each lower is an EROFS image file or a directory. The result is a descriptor that the container's init
 * attaches in its own mount namespace; when the last user is gone so is the mount, however its makers died.
 */
#ifndef FS_OVERLAY_H
#define FS_OVERLAY_H

#include <stdbool.h>
#include <stddef.h>

struct err;

struct overlay {
	char *const *lower; /* absolute paths, topmost first; a regular file is an EROFS image */
	size_t n_lower;
	const char *upper, *work; /* absolute, both or neither (then the mount is read-only) */
	bool discard;             /* "volatile": no sync; for what will be deleted anyway */
	bool userxattr;           /* in a user namespace */
	/*
	 * NULL, or room for @n_lower descriptors: the lowers', which the caller closes when it has time; -1 where there is none.
	 * The last close of a detached mount waits for all processors (synchronize_rcu() in the kernel), each anew.
	 */
	int *keep;
};

/**
 * overlay_open() - mount @o, detached
 * Return: mount descriptor (caller closes); -errno with the layer or option named
 * Linux 6.13 takes descriptors of detached layers; before that the layers are mounted in a private mount
 * namespace of a child.
 */
int overlay_open(const struct overlay *o, struct err *e);

/* overlay_layer_open() - one lower alone, to be read: a directory, or an EROFS image's detached read-only
 * mount. Return: its root's fd. */
int overlay_layer_open(const char *path, struct err *e);

/* overlay_erofs_mountable() - can this kernel and user mount an EROFS image file (6.12: file-backed, else by
 * loop device)? */
bool overlay_erofs_mountable(void);

#endif
