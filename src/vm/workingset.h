/* SPDX-License-Identifier: Apache-2.0 */
/*
 * workingset.h - which pages a restored machine touches first, remembered and fetched ahead the next time
 *
 * Theory of operation. A restored machine maps its memory file, and a page comes when it is touched: one wait for the disk after
 * the other, in the order of the guest's accidents. The first restore from a snapshot looks, WORKINGSET_AFTER_NS after it went on,
 * which pages are present in its mapping (PAGEMAP_SCAN, Linux 6.7) and writes their ranges into a file. Later
 * restores read that list and a thread of its own asks for the ranges while the guest runs: the kernel reads them in large
 * pieces, and maps what is there already.
 *
 * The list is a hint and a file like any other: ranges that are not inside the memory, not in order, or too many make it
 * worthless, never harmful.
 */
#ifndef VM_WORKINGSET_H
#define VM_WORKINGSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/time.h"

struct err;
struct gmem;
struct machine_source;

enum { WORKINGSET_RANGES_MAX = 16384 };
#define WORKINGSET_AFTER_NS NSEC_PER_SEC

struct workingset_range {
	uint64_t offset, len; /* bytes in the memory file, whole pages */
};

struct workingset {
	struct workingset_range *range; /* owned; in order, apart from each other */
	uint32_t n;
};

/* workingset_read() - from @fd; @bytes: of the memory file. Return: 0; -EBADMSG it is none. */
int workingset_read(struct workingset *w, int fd, uint64_t bytes);
/* workingset_is_list() - is @fd's file a list, though perhaps a damaged or a half-made one? */
bool workingset_is_list(int fd);
/* workingset_begin() - what tells a file just made that it will be a list; workingset_read() takes it for none. */
void workingset_begin(int fd);
/* workingset_write() - from the start of @fd. The last thing written makes it valid. */
int workingset_write(const struct workingset *w, int fd, uint64_t bytes);
/* workingset_scan() - what of @mem's private file mappings is present now. @pagemap_fd: this process's own. Return: 0; -ENOTTY: the
 * kernel cannot tell. */
int workingset_scan(struct workingset *w, const struct gmem *mem, const struct machine_source *s,
		    int pagemap_fd);
/* workingset_fetch() - ask for all of it, until *@stop; blocks while the disk reads. Any thread. */
void workingset_fetch(const struct workingset *w, const struct gmem *mem, const struct machine_source *s,
		      const bool *stop);
void workingset_fini(struct workingset *w);

#endif
