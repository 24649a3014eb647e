/* SPDX-License-Identifier: Apache-2.0 */
/* rdt.h - linux.intelRdt: cache and memory-bandwidth classes by the resctrl file system */
#ifndef CONTAINER_RDT_H
#define CONTAINER_RDT_H

#include <sys/types.h>

#include "fmt/oci.h"

struct err;

/**
 * rdt_apply() - put process @pid into its class, made when it is not there, and set the schemata
 * @ret_made: path of a directory we made, for rdt_delete(); caller frees; NULL when the class was there
 * Return: 0; -EOPNOTSUPP "linux.intelRdt: resctrl is not mounted"; -errno naming the field
 * Spec: OCI runtime-spec 1.3, config-linux.md "IntelRdt"
 */
int rdt_apply(const struct oci_rdt *rdt, const char *id, pid_t pid, char **ret_made, struct err *e);
void rdt_delete(const char *made); /* NULL: nothing to do */

#endif
