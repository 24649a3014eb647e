/* SPDX-License-Identifier: Apache-2.0 */
/* idmap.h - a user namespace that nobody lives in, for the id mapping it stands for */
#ifndef CONTAINER_IDMAP_H
#define CONTAINER_IDMAP_H

struct err;
struct oci_idmaps;

/**
 * ct_idmap_userns() - a user namespace with these mappings, for mount_setattr(2) MOUNT_ATTR_IDMAP
 * @uids: container_id: the id in the file system; host_id: the id it appears as
 * Context: a privileged process whose /proc shows its own children, so not init.
 * Return: nsfs descriptor (O_CLOEXEC, caller closes), or -errno
 */
int ct_idmap_userns(const struct oci_idmaps *uids, const struct oci_idmaps *gids, struct err *e);

#endif
