/* SPDX-License-Identifier: Apache-2.0 */
/* child.h - start a program of ours and wait for it; descriptors 0-2 are given, nothing else is inherited */
#ifndef IO_CHILD_H
#define IO_CHILD_H

#include <sys/types.h>

struct err;

/* child_spawn() - @path with @argv; @stdio: -1 is /dev/null. Return: pid (the caller's child), or -errno also
 * of a failed exec. */
pid_t child_spawn(const char *path, char *const *argv, const int stdio[3], struct err *e);
/* child_wait() - until it ends. Return: exit code, 128 + signal, or -errno. */
int child_wait(pid_t pid);
/* child_exit_code() - a wait status as shells count: 0..255, 128 + signal. */
int child_exit_code(int status);

#endif
