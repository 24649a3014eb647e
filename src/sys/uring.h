/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uring.h - io_uring as hull uses it: one ring, one thread at a time, entries queued and sent together
 *
 * The ring's own descriptor polls readable while completions wait, so no eventfd is needed.
 *
 * Spec: io_uring(7), io_uring_setup(2), io_uring_enter(2)
 */
#ifndef SYS_URING_H
#define SYS_URING_H

#include <linux/io_uring.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct uring {
	int fd; /* owned; -1: none */
	unsigned *sq_head, *sq_tail, *cq_head, *cq_tail;
	unsigned sq_mask, cq_mask, sq_entries;
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;
	void *rings; /* owned mapping */
	size_t rings_size, sqe_size;
	unsigned queued; /* entries filled in, not yet sent */
};

/* uring_init() - @u is {.fd = -1}. Return: 0; -ENOSYS, -EPERM the kernel has or gives none; -ENOMEM. */
int uring_init(struct uring *u, unsigned entries);
void uring_fini(struct uring *u); /* what is under way is waited for or cancelled by the kernel */

/* uring_sqe() - the next free entry, zeroed, or NULL: send first. */
struct io_uring_sqe *uring_sqe(struct uring *u);

/* uring_send() - start what is queued, and wait until @wait completions are there. Return: 0, -errno (-EINTR is retried). */
int uring_send(struct uring *u, unsigned wait);

/* uring_next() - take a completion. Return: false: none. */
bool uring_next(struct uring *u, uint64_t *ret_data, int *ret_result);

#endif
