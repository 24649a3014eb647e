/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rootfs.h - an instance's root file system: rootfs.json names the layers, so that a restart needs no
 * database
 */
#ifndef RUNTIME_ROOTFS_H
#define RUNTIME_ROOTFS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct err;
struct image;
struct store;

/* rootfs_write() - "<dir>/rootfs.json", upper/ and work/ for an instance of @im. @discard: it goes with its
 * first run. */
int rootfs_write(struct store *st, const struct image *im, const char *dir, int dirfd, bool discard,
		 struct err *e);
/* rootfs_open() - all of it mounted, detached. @dir: absolute. Return: mount descriptor. */
int rootfs_open(const char *dir, struct err *e);

#endif
