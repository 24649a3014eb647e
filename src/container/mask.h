/* SPDX-License-Identifier: Apache-2.0 */
/* mask.h - linux.maskedPaths and linux.readonlyPaths */
#ifndef CONTAINER_MASK_H
#define CONTAINER_MASK_H

struct err;
struct oci_strs;

/* ct_mask_empty_dir() - a new detached mount, an empty directory that stays so: its descriptor, or -errno. */
int ct_mask_empty_dir(struct err *e);

/**
 * ct_mask_paths() - cover files with the container's /dev/null, directories with one shared empty one
 * @rootfd: the container's root mount; every path is resolved in it. What is missing is passed over.
 * Return: 0; -EPERM when /dev/null is not the null device (CVE-2025-31133); -errno naming the path
 */
int ct_mask_paths(int rootfd, const struct oci_strs *paths, struct err *e);

/* ct_readonly_paths() - each with all that is mounted below it; what is missing is passed over. */
int ct_readonly_paths(int rootfd, const struct oci_strs *paths, struct err *e);

#endif
