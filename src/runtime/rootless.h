/* SPDX-License-Identifier: Apache-2.0 */
/* rootless.h - hull for whoever is not root: the same, as root of a user namespace of one's own */
#ifndef RUNTIME_ROOTLESS_H
#define RUNTIME_ROOTLESS_H

struct err;
struct instance_config;
struct strv;

/**
 * rootless_enter() - an unprivileged caller becomes root of his user namespace, in a new mount namespace
 * @root, @run_root: as runtime_open() takes them, NULL allowed; what they mean to the user replaces them, and
 *                   goes into HULL_ROOT and HULL_RUN_ROOT for what this process executes
 * Context: one thread, before the store opens. The user namespace is the one his live instances are in, if
 *          there are any. Root stays what it is.
 * Return: 0; -EPERM, -ENOSPC: user namespaces are not allowed here; -EPERM: the run directory is another's
 */
int rootless_enter(const char **root, const char **run_root, struct err *e);

/* rootless_warn() - a line for each limit of @c that nobody will enforce: its controller is not delegated. */
void rootless_warn(const struct instance_config *c, struct strv *warnings);

#endif
