/* SPDX-License-Identifier: Apache-2.0 */
/* blk_testing.h - for tests: random operations on a disk and on plain memory beside it, and calls that fail */
#ifndef BLK_BLK_TESTING_H
#define BLK_BLK_TESTING_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/guard.h"
#include "blk/blk.h"
#include "sys/call.h"
#include "sys/file.h"

static uint64_t testing_seed = 88172645463325252ULL;

static inline uint64_t testing_random(void)
{
	testing_seed ^= testing_seed << 13;
	testing_seed ^= testing_seed >> 7;
	testing_seed ^= testing_seed << 17;
	return testing_seed;
}

/* testing_fail_after - calls before the one that fails; negative: none does. Only calls on files count. */
static int testing_fail_after = -1;
static bool testing_failed;

static inline long testing_failing(long nr, long a, long b, long c, long d, long e, long f)
{
	bool counts = nr == SYS_preadv || nr == SYS_pwritev || nr == SYS_fdatasync || nr == SYS_fallocate ||
		      nr == SYS_ftruncate || nr == SYS_mmap || nr == SYS_madvise || nr == SYS_newfstatat ||
		      nr == SYS_memfd_create;

	if (counts && testing_fail_after >= 0 && testing_fail_after-- == 0) {
		testing_failed = true;
		return -EIO;
	}
	return sys_call_real(nr, a, b, c, d, e, f);
}

static inline long testing_no_uring(long nr, long a, long b, long c, long d, long e, long f)
{
	return nr == SYS_io_uring_setup ? -EPERM : sys_call_real(nr, a, b, c, d, e, f);
}

struct testing_model {
	uint8_t *bytes; /* what the disk must hold */
	uint64_t size;
};

enum { TESTING_IO_MAX = 300000 };

/* testing_range() - mostly small, sometimes large, aligned to sectors or not at all */
static inline void testing_range(const struct testing_model *m, uint64_t *ret_offset, uint64_t *ret_len)
{
	uint64_t max = testing_random() % 4 ? 8192 : TESTING_IO_MAX;

	*ret_len = 1 + testing_random() % (max < m->size ? max : m->size);
	*ret_offset = testing_random() % (m->size - *ret_len + 1);
	if (testing_random() % 2) {
		*ret_offset &= ~511ULL;
		*ret_len = (*ret_len + 511) & ~511ULL;
		if (*ret_offset + *ret_len > m->size)
			*ret_len = m->size - *ret_offset;
	}
}

static inline void testing_check(struct testing_model *m, struct blk *b)
{
	auto_free uint8_t *got = malloc(m->size);

	assert_int_equal(blk_size(b), m->size);
	assert_int_equal(blk_pread(b, got, m->size, 0), 0);
	for (uint64_t i = 0; i < m->size; i++)
		if (got[i] != m->bytes[i])
			fail_msg("byte %llu: want %02x, got %02x", (unsigned long long)i, m->bytes[i],
				 got[i]);
}

static inline void testing_write(struct testing_model *m, struct blk *b, uint64_t offset, uint64_t len)
{
	for (uint64_t i = 0; i < len; i++)
		m->bytes[offset + i] = (uint8_t)(testing_random() >> 11);
	assert_int_equal(blk_pwrite(b, m->bytes + offset, len, offset), 0);
}

/* testing_step() - one random operation on both */
static inline void testing_step(struct testing_model *m, struct blk *b)
{
	uint64_t offset, len;

	testing_range(m, &offset, &len);
	switch (testing_random() % 10) {
	case 0:
		assert_int_equal(blk_zeroes(b, offset, len, testing_random() % 2), 0);
		memset(m->bytes + offset, 0, len);
		break;
	case 1: assert_int_equal(blk_flush(b), 0); break;
	case 2: {
		auto_free uint8_t *got = malloc(len);

		assert_int_equal(blk_pread(b, got, len, offset), 0);
		assert_memory_equal(got, m->bytes + offset, len);
		break;
	}
	default: testing_write(m, b, offset, len);
	}
}

/* --- asynchronous: many requests at once, none over another's bytes --------------------------------------- */

enum { TESTING_DEPTH = 40 };

struct testing_io {
	struct blk_request r;
	struct iovec iov[3];
	uint8_t *buf;
	int result;
	unsigned n_done;
};

static inline void testing_io_done(struct blk_request *r, int result)
{
	struct testing_io *io = r->arg;

	io->result = result;
	io->n_done++;
}

/* testing_batch() - TESTING_DEPTH requests, each in its own stripe of the disk; then what was read is compared */
static inline void testing_batch(struct testing_model *m, struct blk *b)
{
	struct testing_io *io = calloc(TESTING_DEPTH, sizeof(*io));
	uint64_t stripe = m->size / TESTING_DEPTH;

	for (unsigned i = 0; i < TESTING_DEPTH; i++) {
		uint64_t len = 1 + testing_random() % stripe, cut;
		uint64_t offset = i * stripe + testing_random() % (stripe - len + 1);
		unsigned what = (unsigned)(testing_random() % 8);
		struct testing_io *t = &io[i];

		t->buf = malloc(len);
		t->r = (struct blk_request){ .op = what < 4 ? BLK_WRITE :
						   what < 6 ? BLK_READ :
						   what < 7 ? BLK_ZEROES :
							      BLK_FLUSH,
					     .offset = offset,
					     .len = len,
					     .iov = t->iov,
					     .n_iov = 2,
					     .unmap = testing_random() % 2,
					     .done = testing_io_done,
					     .arg = t };
		cut = testing_random() % (len + 1);
		t->iov[0] = (struct iovec){ t->buf, cut };
		t->iov[1] = (struct iovec){ t->buf + cut, len - cut };
		if (t->r.op == BLK_WRITE) {
			for (uint64_t k = 0; k < len; k++)
				t->buf[k] = (uint8_t)(testing_random() >> 9);
			memcpy(m->bytes + offset, t->buf, len);
		} else if (t->r.op == BLK_ZEROES) {
			memset(m->bytes + offset, 0, len);
		}
		assert_int_equal(blk_submit(b, &t->r), 0);
		if (testing_random() % 8 == 0)
			blk_kick(b);
		if (testing_random() % 16 == 0)
			blk_reap(b, false);
	}
	blk_reap(b, true);
	for (unsigned i = 0; i < TESTING_DEPTH; i++) {
		assert_int_equal(io[i].n_done, 1);
		assert_int_equal(io[i].result, 0);
		if (io[i].r.op == BLK_READ)
			assert_memory_equal(io[i].buf, m->bytes + io[i].r.offset, io[i].r.len);
		free(io[i].buf);
	}
	free(io);
}

#endif
