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
/* Descriptors of the layers below a mounted root file system, see struct overlay; empty value {0}. */
struct rootfs_layers {
	int *fd; /* owned, -1: none */
	size_t n;
};

/* rootfs_open() - all of it mounted, detached. @dir: absolute. @layers: NULL, or empty. Return: mount descriptor. */
int rootfs_open(const char *dir, struct rootfs_layers *layers, struct err *e);
void rootfs_layers_fini(struct rootfs_layers *layers);

#endif
