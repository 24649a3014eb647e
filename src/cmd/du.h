/* SPDX-License-Identifier: Apache-2.0 */
/* du.h - how much a directory holds */
#ifndef CMD_DU_H
#define CMD_DU_H

#include <stdint.h>

/*
 * du_tree() - bytes of the files below directory descriptor @dirfd (borrowed), each hard link once a
 * directory entry.
 */
uint64_t du_tree(int dirfd);
uint64_t du_path(const char *path); /* the same of a trusted path of our own; 0 when it is not there */

#endif
