/* SPDX-License-Identifier: Apache-2.0 */
/* volume.h - volumes as `inspect` shows them */
#ifndef CMD_VOLUME_H
#define CMD_VOLUME_H

#include <jansson.h>
#include <stdbool.h>

struct err;
struct runtime;

/* volume_inspect() - one volume as an object (caller's reference). -ENOENT "no such volume: 'x'". */
int volume_inspect(struct runtime *rt, const char *name, json_t **ret, struct err *e);

/* volume_in_use() - the first container that mounts it; "" in @ret_by (65 bytes) when there is none. */
int volume_in_use(struct runtime *rt, const char *name, char *ret_by, struct err *e);

#endif
