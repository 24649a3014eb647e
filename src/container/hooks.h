/* SPDX-License-Identifier: Apache-2.0 */
/* hooks.h - the programs a configuration wants run at points of a container's life */
#ifndef CONTAINER_HOOKS_H
#define CONTAINER_HOOKS_H

#include <stddef.h>

#include "fmt/oci.h"

struct err;

/**
 * hooks_run() - run every hook of one kind, in order, with the container's state on standard input
 * @state: the text of the state object
 * Context: may block until each hook ends or its timeout kills it; in whatever namespaces the caller is in.
 * Return: 0; -errno with "hooks.createRuntime[1] '/path': exit code 2"; the ones after a failed one do not run
 * Spec: OCI runtime-spec 1.3, config.md "POSIX-platform Hooks"
 */
int hooks_run(const struct oci_spec *spec, enum oci_hook_kind kind, const char *state, size_t len,
	      struct err *e);

#endif
