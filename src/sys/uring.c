/* SPDX-License-Identifier: Apache-2.0 */
/* syscalls(device): io_uring_enter */
#include "sys/uring.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/guard.h"
#include "sys/call.h"

static int ring_setup(struct uring *u, unsigned entries, struct io_uring_params *p)
{
	/* Completions need no interrupt of the thread: it looks when it comes by, or sleeps in poll or enter. */
	*p = (struct io_uring_params){ .flags = IORING_SETUP_COOP_TASKRUN };
	u->fd = (int)SYS2(SYS_io_uring_setup, entries, p);
	if (u->fd == -EINVAL) {
		*p = (struct io_uring_params){ 0 };
		u->fd = (int)SYS2(SYS_io_uring_setup, entries, p);
	}
	return u->fd;
}

static void *ring_map(struct uring *u, size_t size, uint64_t offset)
{
	long r = SYS6(SYS_mmap, NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, u->fd, offset);

	return r < 0 && r > -4096 ? NULL : (void *)r;
}

int uring_init(struct uring *u, unsigned entries)
{
	struct io_uring_params p;
	unsigned *array;
	size_t sq, cq;
	uint8_t *m;
	int r = ring_setup(u, entries, &p);

	if (r < 0) {
		u->fd = -1;
		return r;
	}
	if (!(p.features & IORING_FEAT_SINGLE_MMAP) || !(p.features & IORING_FEAT_NODROP)) {
		uring_fini(u);
		return -ENOSYS;
	}
	sq = p.sq_off.array + p.sq_entries * sizeof(unsigned);
	cq = p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe);
	u->rings_size = sq > cq ? sq : cq;
	u->sqe_size = p.sq_entries * sizeof(struct io_uring_sqe);
	u->rings = m = ring_map(u, u->rings_size, IORING_OFF_SQ_RING);
	u->sqe = m ? ring_map(u, u->sqe_size, IORING_OFF_SQES) : NULL;
	if (!u->sqe) {
		uring_fini(u);
		return -ENOMEM;
	}
	u->sq_head = (unsigned *)(void *)(m + p.sq_off.head);
	u->sq_tail = (unsigned *)(void *)(m + p.sq_off.tail);
	u->sq_mask = *(unsigned *)(void *)(m + p.sq_off.ring_mask);
	u->sq_entries = p.sq_entries;
	u->cq_head = (unsigned *)(void *)(m + p.cq_off.head);
	u->cq_tail = (unsigned *)(void *)(m + p.cq_off.tail);
	u->cq_mask = *(unsigned *)(void *)(m + p.cq_off.ring_mask);
	u->cqe = (struct io_uring_cqe *)(void *)(m + p.cq_off.cqes);
	array = (unsigned *)(void *)(m + p.sq_off.array);
	for (unsigned i = 0; i < p.sq_entries; i++)
		array[i] = i; /* entry i is always in slot i */
	return 0;
}

void uring_fini(struct uring *u)
{
	if (u->sqe)
		SYS2(SYS_munmap, u->sqe, u->sqe_size);
	if (u->rings)
		SYS2(SYS_munmap, u->rings, u->rings_size);
	fd_close(&u->fd);
	*u = (struct uring){ .fd = -1 };
}

struct io_uring_sqe *uring_sqe(struct uring *u)
{
	unsigned tail = *u->sq_tail; /* only we write it */
	struct io_uring_sqe *s;

	/* acquire: pairs with the kernel's release when it has taken an entry */
	if (tail - __atomic_load_n(u->sq_head, __ATOMIC_ACQUIRE) >= u->sq_entries)
		return NULL;
	s = &u->sqe[tail & u->sq_mask];
	memset(s, 0, sizeof(*s));
	/* Without SQPOLL the kernel looks at the tail only in io_uring_enter(): the caller fills the entry in before that. */
	__atomic_store_n(u->sq_tail, tail + 1, __ATOMIC_RELEASE);
	u->queued++;
	return s;
}

int uring_send(struct uring *u, unsigned wait)
{
	while (u->queued > 0 || wait > 0) {
		long r = SYS6(SYS_io_uring_enter, u->fd, u->queued, wait, wait ? IORING_ENTER_GETEVENTS : 0,
			      NULL, 0);

		if (r == -EINTR)
			continue;
		if (r < 0)
			return (int)r;
		u->queued -= (unsigned)r < u->queued ? (unsigned)r : u->queued;
		if (wait > 0 || r == 0)
			break;
	}
	return 0;
}

bool uring_next(struct uring *u, uint64_t *ret_data, int *ret_result)
{
	unsigned head = *u->cq_head;

	/* acquire: pairs with the kernel's release of the completion's content */
	if (head == __atomic_load_n(u->cq_tail, __ATOMIC_ACQUIRE))
		return false;
	*ret_data = u->cqe[head & u->cq_mask].user_data;
	*ret_result = u->cqe[head & u->cq_mask].res;
	__atomic_store_n(u->cq_head, head + 1, __ATOMIC_RELEASE); /* the slot may be used again */
	return true;
}
