/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * read(2) and write(2) on a file of tmpfs cost much more than the copy they make (measured: 4 KiB in 1.3 us instead of 0.3, 128 KiB
 * at 4.4 GB/s instead of 10). So such a file is mapped, and what is in its pages already is copied by this process.
 *
 * A page goes through the mapping only when the file has it. Looking into a hole through a mapping would fill it, and writing
 * there takes a page that the file system may not have: that is SIGBUS where write(2) says ENOSPC. @there has a bit for each page
 * that the file is known to have; what is not known is asked of cachestat(2), and what is not there goes by system calls, after which it
 * is there. Whoever punches holes says so (mapped_forget()).
 *
 * Others may change the file as they may with read(2) and write(2), but cut short, or with a page that cannot be read, it raises
 * SIGBUS here. That is caught: the copy is given up, and the system call that follows instead finds the right error. Only a copy of this
 * thread is given up so; any other SIGBUS goes where it went before.
 *
 * The pages count as this process's resident memory, shared, when they were used; they are the file's.
 *
 * syscalls(device): cachestat rt_sigaction[0]=SIGBUS
 */
#include "blk/mapped.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "sys/cachestat.h"
#include "sys/call.h"

enum { PAGE_BYTES = 4096, WORD_BITS = 64 };

struct mapped {
	uint8_t *at; /* owned mapping */
	uint64_t size;
	int fd; /* borrowed */
	bool readonly;
	uint64_t *there; /* owned; a bit a page */
};

/* --- SIGBUS ------------------------------------------------------------------------------------------------- */

static _Thread_local sigjmp_buf *volatile giving_up; /* of the copy that this thread makes */
static struct sigaction before;
static pthread_mutex_t installing = PTHREAD_MUTEX_INITIALIZER;

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	if (giving_up)
		siglongjmp(*giving_up, 1);
	if (before.sa_flags & SA_SIGINFO) {
		before.sa_sigaction(sig, info, context);
		return;
	}
	if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
		before.sa_handler(sig);
		return;
	}
	sigaction(SIGBUS, &(struct sigaction){ .sa_handler = SIG_DFL }, NULL); /* and again, for good */
}

/* catch_sigbus() - ours on top of whatever is there now: somebody may have set another since. */
static bool catch_sigbus(void)
{
	/* SA_NODEFER: who jumps out of a handler does not unblock its signal */
	struct sigaction act = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_NODEFER }, now;
	bool ours;

	pthread_mutex_lock(&installing);
	ours = sigaction(SIGBUS, NULL, &now) == 0 && (now.sa_flags & SA_SIGINFO) &&
	       now.sa_sigaction == on_sigbus;
	if (!ours)
		ours = sigaction(SIGBUS, &act, &before) == 0;
	pthread_mutex_unlock(&installing);
	return ours;
}

/* --- pages -------------------------------------------------------------------------------------------------- */

static uint64_t pages_end(uint64_t end)
{
	return (end + PAGE_BYTES - 1) / PAGE_BYTES;
}

static void set(struct mapped *m, uint64_t from, uint64_t to, bool there)
{
	for (uint64_t p = from; p < to; p++) {
		uint64_t bit = 1ULL << (p % WORD_BITS);

		if (there)
			m->there[p / WORD_BITS] |= bit;
		else
			m->there[p / WORD_BITS] &= ~bit;
	}
}

void mapped_filled(struct mapped *m, uint64_t offset, uint64_t len)
{
	uint64_t end = offset + len < m->size ? offset + len : m->size;

	if (offset < end)
		set(m, offset / PAGE_BYTES, pages_end(end), true);
}

void mapped_forget(struct mapped *m, uint64_t offset, uint64_t len)
{
	uint64_t end = len < m->size - offset ? offset + len : m->size;

	if (offset < m->size)
		set(m, offset / PAGE_BYTES, pages_end(end), false);
}

static bool is_there(struct mapped *m, uint64_t offset, uint64_t len)
{
	uint64_t from = offset / PAGE_BYTES, to = pages_end(offset + len), p = from;
	struct sys_cachestat_range range = { from * PAGE_BYTES, (to - from) * PAGE_BYTES };
	struct sys_cachestat stat;

	while (p < to && (m->there[p / WORD_BITS] >> (p % WORD_BITS) & 1))
		p++;
	if (p == to)
		return true;
	if (SYS4(SYS_cachestat, m->fd, &range, &stat, 0) < 0 || stat.cached != to - from)
		return false;
	set(m, from, to, true);
	return true;
}

/* --- copying ------------------------------------------------------------------------------------------------ */

static void copy(uint8_t *at, bool write, const struct iovec *iov, unsigned n_iov)
{
	for (unsigned i = 0; i < n_iov; i++) {
		if (write)
			memcpy(at, iov[i].iov_base, iov[i].iov_len);
		else
			memcpy(iov[i].iov_base, at, iov[i].iov_len);
		at += iov[i].iov_len;
	}
}

int mapped_rw(struct mapped *m, bool write, uint64_t offset, const struct iovec *iov, unsigned n_iov,
	      uint64_t len)
{
	sigjmp_buf env;

	if (len > m->size || offset > m->size - len || (write && m->readonly) || !is_there(m, offset, len))
		return -EAGAIN;
	if (sigsetjmp(env, 0) != 0) {
		giving_up = NULL;
		mapped_forget(m, offset, len);
		return -EAGAIN;
	}
	giving_up = &env;
	__atomic_signal_fence(__ATOMIC_SEQ_CST); /* pairs with on_sigbus(), in this thread */
	copy(m->at + offset, write, iov, n_iov);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	giving_up = NULL;
	return 0;
}

struct mapped *mapped_new(int fd, uint64_t size, bool readonly)
{
	struct sys_cachestat_range range = { 0, PAGE_BYTES };
	struct sys_cachestat stat;
	struct mapped *m;
	uint64_t pages;
	long at;

	if (size > MAPPED_BYTES_MAX)
		size = MAPPED_BYTES_MAX;
	pages = pages_end(size);
	if (pages == 0 || SYS4(SYS_cachestat, fd, &range, &stat, 0) < 0)
		return NULL; /* the kernel is older, or does not tell us */
	m = catch_sigbus() ? calloc(1, sizeof(*m)) : NULL;
	if (!m)
		return NULL;
	m->there = calloc((size_t)(pages / WORD_BITS + 1), sizeof(*m->there));
	at = SYS6(SYS_mmap, 0, size, PROT_READ | (readonly ? 0 : PROT_WRITE), MAP_SHARED | MAP_NORESERVE, fd,
		  0);
	if (!m->there || at < 0) {
		if (at >= 0)
			SYS2(SYS_munmap, at, size);
		free(m->there);
		free(m);
		return NULL;
	}
	SYS3(SYS_madvise, at, size, MADV_DONTDUMP);
	m->at = (uint8_t *)at;
	m->size = size;
	m->fd = fd;
	m->readonly = readonly;
	return m;
}

void mapped_free(struct mapped *m)
{
	if (!m)
		return;
	SYS2(SYS_munmap, m->at, m->size);
	free(m->there);
	free(m);
}
