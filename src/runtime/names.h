/* SPDX-License-Identifier: Apache-2.0 */
/* names.h - /etc/hosts, /etc/hostname and /etc/resolv.conf of a workload, written anew by each start */
#ifndef RUNTIME_NAMES_H
#define RUNTIME_NAMES_H

#include <jansson.h>

struct err;

/* names_write() - the three files, new ones, in @dirfd. Without a network there is only the loopback, and no
 * server unless --dns. */
int names_write(int dirfd, const json_t *config, struct err *e);

#endif
