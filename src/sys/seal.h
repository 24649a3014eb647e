/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seal.h - the runtime's own binary is never writable from inside a container (CVE-2019-5736)
 *
 * A container's first process is this program until it execs the workload, and an image may make it exec /proc/self/exe, so that
 * a process inside holds a path to our file. The path it holds is of the mount the program was started from. So the
 * program starts itself once more from a detached, read-only mount of its own file: what /proc/self/exe leads to then refuses
 * every open for writing, and since that mount is in no mount namespace nobody can make it writable again. It costs one exec
 * and no copy. Where such a mount is not allowed (no CAP_SYS_ADMIN) a sealed copy in memory takes its place.
 */
#ifndef SYS_SEAL_H
#define SYS_SEAL_H

#include <stdbool.h>

struct err;

/* seal_is_on() - does this process run from a file that cannot be written through /proc/self/exe? */
bool seal_is_on(void);

/* seal_open() - our file, protected, as a descriptor to execute (execveat(2), AT_EMPTY_PATH); caller closes; -errno. */
int seal_open(void);

/**
 * seal_self() - make it so: returns at once when it is, else executes this program again with the same arguments
 * Context: first thing in main(), before threads, descriptors or state.
 * Return: 0, or -errno with @e
 */
int seal_self(char *const *argv, struct err *e);

#endif
