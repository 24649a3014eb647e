/* SPDX-License-Identifier: Apache-2.0 */
/* cachestat.h - cachestat(2) (Linux 6.5) for C libraries that do not know it yet: how many pages of a file are in memory */
#ifndef SYS_CACHESTAT_H
#define SYS_CACHESTAT_H

#include <stdint.h>
#include <sys/syscall.h>

#ifndef __NR_cachestat
#define __NR_cachestat 451
#endif
#ifndef SYS_cachestat
#define SYS_cachestat __NR_cachestat
#endif

struct sys_cachestat_range {
	uint64_t offset, len;
};
struct sys_cachestat {
	uint64_t cached, dirty, writeback, evicted, recently_evicted;
};

#endif
