/* SPDX-License-Identifier: Apache-2.0 */
/* name.h - names of instances: checking those people give, making up the others */
#ifndef RUNTIME_NAME_H
#define RUNTIME_NAME_H

#include <stddef.h>

struct err;

enum { NAME_MAX_BYTES = 128 };

int name_check(const char *name, struct err *e); /* [A-Za-z0-9][A-Za-z0-9_.-]+ */
/* name_random() - "calm_noether"; the @attempt-th try of one command gets a number behind it from the sixth
 * on. */
void name_random(char *dst, size_t size, int attempt);
/* name_id() - 64 random hex digits; never 12 decimal ones in front, which would read as a number. */
void name_id(char dst[65]);

#endif
