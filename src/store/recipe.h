/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recipe.h - what a layer's tar says besides the contents of its files, so that the very same bytes can be
 * made again
 *
 * A layer is kept as a file system, which is all that running it takes; its digest is that of the tar it came
 * as. The recipe
 * ("<hex>.recipe", zstd) holds that tar with each file's contents replaced by the file's name. Most of it
 * compresses to little: 1 to 2 % of the layer.
 *
 * Format: "hullrcp1", then records: u8 kind, u64 length (little-endian); kind 0: that many bytes; kind 1:
 * that many bytes from the file whose name follows (u32 length, bytes); kind 2: the end.
 */
#ifndef STORE_RECIPE_H
#define STORE_RECIPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "fmt/source.h"

struct err;

/**
 * recipe_record() - pass a plain tar on and write its recipe
 * @from:      the tar; @out_fd gets its bytes, @recipe_fd (an empty file) the recipe; all borrowed
 * @ret_whole: false: this tar has something a recipe cannot hold (sparse files); @recipe_fd is of no use
 */
int recipe_record(const struct source *from, int out_fd, int recipe_fd, bool *ret_whole, struct err *e);

/* recipe_replay() - the tar again, from its recipe and the tree below @rootfd; whether it is the same, its
 * digest tells. */
int recipe_replay(int recipe_fd, int rootfd,
		  int (*write)(void *arg, const void *bytes, size_t len, struct err *e), void *arg,
		  struct err *e);

#endif
