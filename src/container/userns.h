/* SPDX-License-Identifier: Apache-2.0 */
/* userns.h - a new user namespace's id maps, written from outside */
#ifndef CONTAINER_USERNS_H
#define CONTAINER_USERNS_H

#include <stdbool.h>
#include <sys/types.h>

#include "fmt/oci.h"

struct err;

/**
 * userns_map() - write uid_map, setgroups and gid_map of @pid
 * @rootless: an unprivileged caller: one own id is written directly with setgroups denied, more go through newuidmap(1) and
 *            newgidmap(1)
 * Return: 0; -errno naming the map
 * Spec: OCI runtime-spec 1.3, config-linux.md "User namespace mappings"; user_namespaces(7)
 */
int userns_map(pid_t pid, const struct oci_idmaps *uids, const struct oci_idmaps *gids, bool rootless,
	       struct err *e);

#endif
