/* SPDX-License-Identifier: Apache-2.0 */
/* each.h - commands that do one thing to each container named */
#ifndef CMD_EACH_H
#define CMD_EACH_H

#include "cmd/cmd.h"

typedef int (*each_fn)(struct runtime *rt, const char *id, void *arg, struct err *e);

/**
 * each_container() - @act on every name, echoed when that went well; a failure is told and the rest goes on
 * Return: 0, or 1 when one failed; -errno with @e when nothing could be tried
 */
int each_container(int argc, char **argv, each_fn act, void *arg, struct err *e);

/* each_id() - the id of a container by name, id or id prefix. */
int each_id(struct runtime *rt, const char *name, char ret_id[65], struct err *e);

#endif
