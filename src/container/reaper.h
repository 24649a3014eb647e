/* SPDX-License-Identifier: Apache-2.0 */
/* reaper.h - `run --init`: process 1 of the container stays ours, hands signals on and reaps orphans */
#ifndef CONTAINER_REAPER_H
#define CONTAINER_REAPER_H

struct err;

/**
 * reaper_split() - fork: the child returns 0 and goes on to exec; the caller becomes the reaper and never returns
 * Context: all privileges are dropped already. The reaper keeps no descriptor, and exits as the child did: its code, or 128 + signal.
 */
int reaper_split(struct err *e);

#endif
