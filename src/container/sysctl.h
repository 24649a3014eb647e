/* SPDX-License-Identifier: Apache-2.0 */
/* sysctl.h - linux.sysctl: kernel parameters of the container's own namespaces, and no others */
#ifndef CONTAINER_SYSCTL_H
#define CONTAINER_SYSCTL_H

struct err;
struct oci_spec;

/**
 * ct_sysctl_check() - may every key of linux.sysctl be set with the namespaces of @spec?
 * Context: before any namespace is entered: a network namespace path that names the caller's own is the
 *          host's.
 * Return: 0; -EINVAL or -EPERM naming the key
 */
int ct_sysctl_check(const struct oci_spec *spec, struct err *e);

/**
 * ct_sysctl_apply() - check again and write, through a procfs that is verified to be one (CVE-2025-52881)
 * @rootfd: the container's root mount, for its /proc when a procfs of our own is not to be had
 * Context: in the container's namespaces, before its /proc/sys becomes read-only.
 * Return: 0; -errno naming the key
 */
int ct_sysctl_apply(const struct oci_spec *spec, int rootfd, struct err *e);

#endif
