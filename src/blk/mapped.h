/* SPDX-License-Identifier: Apache-2.0 */
/* mapped.h - a file of tmpfs (or a memfd) read and written through a mapping */
#ifndef BLK_MAPPED_H
#define BLK_MAPPED_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

/* A file larger than this has a tail that is not mapped. */
#define MAPPED_BYTES_MAX (256ULL << 30)

struct mapped;

/* mapped_new() - of the first @size bytes of @fd, which is borrowed. Return: NULL: the file cannot be had that way. */
struct mapped *mapped_new(int fd, uint64_t size, bool readonly);
void mapped_free(struct mapped *m); /* takes NULL */

/* mapped_rw() - copy between @iov and the file. Return: 0 done; -EAGAIN: by system calls, as not all of it is there to be copied. */
int mapped_rw(struct mapped *m, bool write, uint64_t offset, const struct iovec *iov, unsigned n_iov,
	      uint64_t len);
/* mapped_filled() - the file has all pages of these bytes now; mapped_forget() - it may not have them any more. */
void mapped_filled(struct mapped *m, uint64_t offset, uint64_t len);
void mapped_forget(struct mapped *m, uint64_t offset, uint64_t len);

#endif
