/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qcow2_meta.c - the cache of table slices, and the commit that a kill cannot divide
 *
 * Theory of operation. A commit must change several places of the file (a refcount here, an L2 entry there) so that a process killed
 * at any instruction leaves all of it or nothing. No call writes to several places of a file; but one call, preadv(2), writes to several
 * places of memory, and memory may be the file's own pages. So the new content is put into a memory file, the pages of the image that
 * change are mapped and made present and writable (MADV_POPULATE_WRITE, where a full disk or a bad sector shows as an error),
 * and then a single preadv(2) copies from the memory file into all of them: in the kernel, where SIGKILL waits for the end of the
 * call. The mapping is never touched from here, so there is no SIGBUS to fear.
 *
 * What one call cannot take (more than IOV_MAX places), or a file that cannot be mapped, is written by ordinary writes, refcounts
 * before what refers to the clusters: a kill in the middle may then leak clusters, which the next opening for writing frees.
 */
#include <endian.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bug.h"
#include "base/guard.h"
#include "blk/qcow2_internal.h"
#include "sys/call.h"
#include "sys/file.h"

enum { META_HASH = 1024, PAGE = 4096 };

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

int meta_init(struct qcow2 *q)
{
	q->meta.slice = q->cluster < META_SLICE ? (uint32_t)q->cluster : META_SLICE;
	q->meta.hash = calloc(META_HASH, sizeof(struct meta_slot *));
	return q->meta.hash ? 0 : -ENOMEM;
}

void meta_fini(struct qcow2 *q)
{
	for (unsigned i = 0; i < q->meta.n; i++)
		free(q->meta.slot[i]);
	free(q->meta.slot);
	free(q->meta.hash);
	q->meta = (struct meta){ 0 };
}

static struct meta_slot **chain(struct meta *m, uint64_t at)
{
	return &m->hash[(at / m->slice * 0x9e3779b97f4a7c15ULL) >> 54];
}

static bool is_dirty(const struct meta_slot *s)
{
	return s->hi > s->lo;
}

static void unhash(struct meta *m, struct meta_slot *s)
{
	struct meta_slot **p = chain(m, s->at);

	while (*p != s)
		p = &(*p)->next;
	*p = s->next;
}

/* more_room() - space for one more slot in the array */
static int more_room(struct meta *m)
{
	unsigned cap = m->cap ? m->cap * 2 : 32;
	struct meta_slot **slot;

	if (m->n < m->cap)
		return 0;
	slot = realloc(m->slot, cap * sizeof(*slot));
	if (!slot)
		return -ENOMEM;
	m->slot = slot;
	m->cap = cap;
	return 0;
}

/* recycle() - a clean slot that was not used lately, out of the hash; NULL: all are dirty */
static struct meta_slot *recycle(struct meta *m)
{
	for (unsigned i = 0; i < 2 * m->n; i++) {
		struct meta_slot *s = m->slot[m->hand];

		m->hand = (m->hand + 1) % m->n;
		if (is_dirty(s))
			continue;
		if (s->used) {
			s->used = false;
			continue;
		}
		unhash(m, s);
		return s;
	}
	return NULL;
}

static int new_slot(struct qcow2 *q, struct meta_slot **ret_s)
{
	struct meta *m = &q->meta;
	struct meta_slot *s = NULL;

	/* Walking the ring is for nothing while nearly all of it is dirty. */
	if (m->n >= META_SLOTS_MAX && m->n_dirty < m->n - m->n / 4)
		s = recycle(m);
	if (!s && m->n >= META_SLOTS_HARD) {
		int r = m->n_dirty ? qcow2_commit(q) : 0;

		if (r < 0)
			return r;
		s = recycle(m);
	}
	if (!s) {
		if (more_room(m) < 0)
			return -ENOMEM;
		s = malloc(sizeof(*s) + m->slice);
		if (!s)
			return -ENOMEM;
		m->slot[m->n++] = s;
	}
	*ret_s = s;
	return 0;
}

static int find_slot(struct qcow2 *q, uint64_t at, struct meta_slot **ret_s)
{
	struct meta *m = &q->meta;
	uint64_t base = at - at % m->slice;
	struct meta_slot *s = *chain(m, base);
	int r;

	while (s && s->at != base)
		s = s->next;
	if (s) {
		s->used = true;
		*ret_s = s;
		return 0;
	}
	r = new_slot(q, &s);
	if (r < 0) {
		q->stays_dirty = true; /* what asked for it may have been half-way through a change */
		return r;
	}
	*s = (struct meta_slot){ .at = base, .used = true };
	r = plain_read(q->blk.fd, s->data, m->slice, base);
	if (r < 0) {
		q->stays_dirty = true;
		s->at = UINT64_MAX - m->slice; /* found by nobody, recycled later */
	}
	s->next = *chain(m, s->at);
	*chain(m, s->at) = s;
	*ret_s = s;
	return r;
}

int meta_slice(struct qcow2 *q, uint64_t at, uint8_t **ret_p, uint32_t *ret_left)
{
	struct meta_slot *s;
	int r = find_slot(q, at, &s);

	if (r < 0)
		return r;
	*ret_p = s->data + (at - s->at);
	*ret_left = q->meta.slice - (uint32_t)(at - s->at);
	return 0;
}

int meta_touch(struct qcow2 *q, uint64_t at, uint32_t len, uint8_t **ret_p)
{
	struct meta_slot *s;
	uint32_t lo, hi;
	int r;

	if (q->failed)
		return -EIO;
	r = find_slot(q, at, &s);
	if (r < 0)
		return r;
	lo = (uint32_t)(at - s->at);
	hi = lo + len;
	BUG_ON(hi > q->meta.slice);
	if (!is_dirty(s)) {
		q->meta.n_dirty++;
		s->lo = lo;
		s->hi = hi;
	}
	s->lo = lo < s->lo ? lo : s->lo;
	s->hi = hi > s->hi ? hi : s->hi;
	*ret_p = s->data + lo;
	return 0;
}

int meta_get64(struct qcow2 *q, uint64_t at, uint64_t *ret_v)
{
	uint32_t left;
	uint8_t *p;
	int r = meta_slice(q, at, &p, &left);

	if (r == 0) {
		memcpy(ret_v, p, sizeof(*ret_v));
		*ret_v = be64toh(*ret_v);
	}
	return r;
}

int meta_put64(struct qcow2 *q, uint64_t at, uint64_t v)
{
	uint8_t *p;
	int r = meta_touch(q, at, sizeof(v), &p);

	v = htobe64(v);
	if (r == 0)
		memcpy(p, &v, sizeof(v));
	return r;
}

int meta_put32(struct qcow2 *q, uint64_t at, uint32_t v)
{
	uint8_t *p;
	int r = meta_touch(q, at, sizeof(v), &p);

	v = htobe32(v);
	if (r == 0)
		memcpy(p, &v, sizeof(v));
	return r;
}

void meta_forget(struct qcow2 *q, uint64_t at, uint64_t len)
{
	struct meta *m = &q->meta;

	for (uint64_t base = at - at % m->slice; base < at + len; base += m->slice) {
		struct meta_slot *s = *chain(m, base);

		while (s && s->at != base)
			s = s->next;
		if (!s)
			continue;
		if (is_dirty(s))
			m->n_dirty--;
		unhash(m, s);
		s->lo = s->hi = 0;
		s->used = false;
		s->at = UINT64_MAX - m->slice;
		s->next = *chain(m, s->at);
		*chain(m, s->at) = s;
	}
}

/* --- commit ----------------------------------------------------------------------------------------------- */

struct commit {
	struct meta_slot **slot; /* owned; the dirty ones by address */
	struct iovec *from, *to; /* owned; in memory; in the mapped pages */
	struct iovec *map;       /* owned; the mappings */
	unsigned n, n_map;
	uint64_t bytes;
};

static void commit_fini(struct commit *c)
{
	for (unsigned i = 0; i < c->n_map; i++)
		SYS2(SYS_munmap, c->map[i].iov_base, c->map[i].iov_len);
	free(c->slot);
	free(c->from);
	free(c->to);
	free(c->map);
}

static int by_address(const void *a, const void *b)
{
	uint64_t x = (*(struct meta_slot *const *)a)->at, y = (*(struct meta_slot *const *)b)->at;

	return x < y ? -1 : x > y;
}

static int gather(struct qcow2 *q, struct commit *c)
{
	unsigned n = q->meta.n_dirty;

	c->slot = calloc(n, sizeof(*c->slot));
	c->from = calloc(n, sizeof(*c->from));
	c->to = calloc(n, sizeof(*c->to));
	c->map = calloc(n, sizeof(*c->map));
	if (!c->slot || !c->from || !c->to || !c->map)
		return -ENOMEM;
	for (unsigned i = 0; i < q->meta.n; i++)
		if (is_dirty(q->meta.slot[i]))
			c->slot[c->n++] = q->meta.slot[i];
	BUG_ON(c->n != n);
	qsort(c->slot, n, sizeof(*c->slot), by_address);
	for (unsigned i = 0; i < n; i++) {
		const struct meta_slot *s = c->slot[i];

		c->from[i] = (struct iovec){ (uint8_t *)s->data + s->lo, s->hi - s->lo };
		c->bytes += s->hi - s->lo;
	}
	return 0;
}

/* map_run() - map the pages of slots [first, last], which lie next to each other */
static int map_run(struct qcow2 *q, struct commit *c, unsigned first, unsigned last)
{
	const struct meta_slot *a = c->slot[first], *z = c->slot[last];
	uint64_t begin = (a->at + a->lo) & ~(uint64_t)(PAGE - 1);
	uint64_t len = ((z->at + z->hi + PAGE - 1) & ~(uint64_t)(PAGE - 1)) - begin;
	long p = SYS6(SYS_mmap, NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, q->blk.fd, begin);
	long r;

	if (p < 0 && p > -4096)
		return (int)p;
	c->map[c->n_map++] = (struct iovec){ (void *)p, (size_t)len };
	r = SYS3(SYS_madvise, p, len, MADV_POPULATE_WRITE);
	for (unsigned i = first; i <= last; i++)
		c->to[i] = (struct iovec){ (uint8_t *)p + (c->slot[i]->at + c->slot[i]->lo - begin),
					   c->slot[i]->hi - c->slot[i]->lo };
	return (int)r;
}

static bool is_next_to(const struct meta_slot *a, const struct meta_slot *b)
{
	return (b->at + b->lo) / PAGE <= (a->at + a->hi + PAGE - 1) / PAGE;
}

/* commit_at_once() - see the theory of operation. Return: 0; negative: nothing, or all, may have been changed */
static int commit_at_once(struct qcow2 *q, struct commit *c)
{
	auto_close int fd = -1;
	uint64_t done;
	long r;

	if (c->n > IOV_MAX)
		return -E2BIG;
	fd = file_memfd("qcow2", 0);
	r = fd < 0 ? fd : SYS5(SYS_pwritev, fd, c->from, c->n, 0, 0);
	if (r < 0 || (uint64_t)r != c->bytes)
		return r < 0 ? (int)r : -EIO;
	for (unsigned i = 0, j; i < c->n; i = j + 1) {
		for (j = i; j + 1 < c->n && is_next_to(c->slot[j], c->slot[j + 1]);)
			j++;
		r = map_run(q, c, i, j);
		if (r < 0)
			return (int)r;
	}
	done = (uint64_t)SYS5(SYS_preadv, fd, c->to, c->n, 0, 0);
	return done == c->bytes ? 0 : -EIO;
}

/* rank() - refcounts first, the header last */
static int rank(const struct qcow2 *q, const struct meta_slot *s)
{
	uint64_t cluster = s->at & ~(q->cluster - 1);

	if (s->at < q->cluster)
		return 3;
	for (uint64_t i = 0; i < q->n_reftable; i++)
		if ((q->reftable[i] & QCOW2_OFFSET) == cluster)
			return 0;
	return s->at - q->h.l1_offset < (uint64_t)q->h.l1_size * 8 ? 2 : 1;
}

static int commit_in_order(struct qcow2 *q, struct commit *c)
{
	int r = 0;

	for (int turn = 0; turn <= 3; turn++)
		for (unsigned i = 0; i < c->n && r == 0; i++)
			if (rank(q, c->slot[i]) == turn)
				r = plain_write(q->blk.fd, c->from[i].iov_base, c->from[i].iov_len,
						c->slot[i]->at + c->slot[i]->lo);
	return r;
}

/* set_dirty_bit() - on disk at once, and in the slice that may be committed later */
static int set_dirty_bit(struct qcow2 *q, bool on)
{
	uint64_t v = htobe64(q->h.incompatible | (on ? QCOW2_INCOMPATIBLE_DIRTY : 0));
	struct meta_slot *s = *chain(&q->meta, 0);
	int r;

	if (q->h.version < 3 || q->dirty_bit == on || (!on && q->stays_dirty))
		return 0;
	r = plain_write(q->blk.fd, &v, sizeof(v), QCOW2_AT_INCOMPATIBLE);
	if (r == 0 && !q->blk.no_sync)
		r = plain_sync(q->blk.fd);
	if (r < 0)
		return r;
	q->dirty_bit = on;
	while (s && s->at != 0)
		s = s->next;
	if (s)
		memcpy(s->data + QCOW2_AT_INCOMPATIBLE, &v, sizeof(v));
	return 0;
}

int meta_commit(struct qcow2 *q)
{
	auto_fini(commit) struct commit c = { 0 };
	int r;

	if (q->failed)
		return -EIO;
	if (!meta_is_dirty(q))
		return 0;
	r = set_dirty_bit(q, true);
	if (r < 0)
		return r;
	/* Clusters whose data could not be written are in the file all the same: a table names nothing behind its end. */
	if (q->file_end > q->file_len && SYS2(SYS_ftruncate, q->blk.fd, q->file_end) >= 0)
		q->file_len = q->file_end;
	r = gather(q, &c);
	if (r < 0)
		return r; /* nothing was changed: the next commit takes it */
	if (commit_at_once(q, &c) < 0)
		r = commit_in_order(q, &c);
	if (r < 0) {
		q->failed = true;
		return r;
	}
	for (unsigned i = 0; i < c.n; i++)
		c.slot[i]->lo = c.slot[i]->hi = 0;
	q->meta.n_dirty = 0;
	return 0;
}

void meta_give_back(struct qcow2 *q)
{
	for (unsigned i = 0; i < q->n_freed; i++) /* advice: what fails is only not given back */
		plain_punch(q->blk.fd, q->freed[i].first * q->cluster, q->freed[i].n * q->cluster);
	q->n_freed = 0;
	if (q->alloc_low < q->alloc_at)
		q->alloc_at = q->alloc_low;
	q->alloc_low = UINT64_MAX;
}

int qcow2_commit(struct qcow2 *q)
{
	bool sync = !q->blk.no_sync;
	int r = 0;

	qcow2_async_drain(q);
	if (!q->wrote && !meta_is_dirty(q))
		return 0;
	if (sync)
		r = plain_sync(q->blk.fd);
	if (r == 0 && meta_is_dirty(q)) {
		r = meta_commit(q);
		r = r < 0 || !sync ? r : plain_sync(q->blk.fd);
		if (r == 0)
			meta_give_back(q);
	}
	if (r == 0)
		q->wrote = false;
	return r;
}

int meta_clean(struct qcow2 *q)
{
	int r = qcow2_commit(q);

	return r < 0 ? r : set_dirty_bit(q, false);
}
