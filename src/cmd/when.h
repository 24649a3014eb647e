/* SPDX-License-Identifier: Apache-2.0 */
/* when.h - points in time as people give them to --since and --until */
#ifndef CMD_WHEN_H
#define CMD_WHEN_H

#include "base/time.h"

struct err;

/*
 * when_parse() - RFC 3339 (date alone or without a zone: local), seconds since the epoch, or "10m" ago
 * @text NULL: *ret_ns is left as it is. Return: 0, or -EINVAL naming --@flag.
 */
int when_parse(const char *flag, const char *text, nsec_t *ret_ns, struct err *e);

#endif
