/* SPDX-License-Identifier: Apache-2.0 */
/*
 * path.h - the one resolver: paths inside a root that an outsider controls
 *
 * After the first open there are no path strings: everything is a descriptor, resolved by openat2(2) with
 * RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS, so a symlink planted in an image or a volume, or swapped in while we
 * work, never leads out of the root. Runtime, cp, build and store all come through here.
 */
#ifndef SYS_PATH_H
#define SYS_PATH_H

#include <stdbool.h>
#include <sys/types.h>

struct err;

/* path_open_in_root() - openat2(@rootfd, @path, @flags | O_CLOEXEC, @mode) in root. Return: fd or -errno. */
int path_open_in_root(int rootfd, const char *path, int flags, mode_t mode);

/**
 * path_make_in_root() - the target of a mount or copy, made when missing
 * @rootfd: O_PATH or directory descriptor of the root; borrowed
 * @path:   any path; ".." stops at the root, symlinks are followed inside the root
 * @is_dir: what to make when it is missing (parents are directories of mode 0755)
 * Return:  O_PATH descriptor, or -errno: what is there is a file and not a directory (or vice versa) gives -ENOTDIR
 *          (-EISDIR); a dangling symlink is resolved in the root and its target made.
 */
int path_make_in_root(int rootfd, const char *path, bool is_dir, mode_t mode, struct err *e);

/* path_parent_in_root() - open the directory that holds the last component (made when @make); the component goes
 * to *ret_name (points into @path's copy, caller frees *ret_copy). Return: directory fd or -errno. */
int path_parent_in_root(int rootfd, const char *path, bool make,
			char **ret_name); /* *ret_name: caller frees */

/* path_reopen() - a real open of what an O_PATH descriptor names, through our own /proc descriptor. */
int path_reopen(int fd, int flags);

#endif
