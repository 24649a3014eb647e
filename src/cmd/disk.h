/* SPDX-License-Identifier: Apache-2.0 */
/* disk.h - what the disk commands share: opening images as a user's own files, sizes, progress */
#ifndef CMD_DISK_H
#define CMD_DISK_H

#include <jansson.h>

#include "blk/qcow2.h"
#include "cmd/cmd.h"

enum { DISK_CHUNK = 2 << 20 };

struct disk_image {
	const char *path;
	const char *format; /* "raw", "qcow2", or NULL: see disk_format() */
	bool writable, as_is, no_sync, no_backing;
};

/* disk_format() - what a file is taken for when nobody says: qcow2 by its name's end, else raw; -EINVAL when it begins like qcow2
 * all the same, because a guest may have written that. @fd -1: a file to be made. */
int disk_format(const char *path, int fd, const char **ret_format, struct err *e);
int disk_open(struct blk **ret_b, const struct disk_image *d, struct err *e);
/* disk_create() - a new file of that format. @size_known: else it is the backing file's. */
int disk_create(const char *path, const char *format, struct qcow2_create *c, bool size_known,
		const struct strv *options, struct err *e);
int disk_size(const char *text, uint64_t *ret_size, struct err *e); /* "10G", whole sectors */
int disk_close(struct blk *b, const char *path, struct err *e);
bool disk_is_zero(const void *p, size_t len);

struct disk_progress {
	bool on;
	uint64_t total;
	int shown; /* percent, -1 */
};
void disk_progress(struct disk_progress *p, uint64_t done);
void disk_progress_end(struct disk_progress *p);

/* disk_wants_json() - of --json and --output. Return: 1, 0; -EINVAL */
int disk_wants_json(bool json, const char *output, struct err *e);
void disk_print_json(json_t *v); /* taken */

#endif
