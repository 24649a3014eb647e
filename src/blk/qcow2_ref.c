/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qcow2_ref.c - refcounts: reading, changing, and giving out clusters
 *
 * Clusters are looked for from q->alloc_at on, upwards. A cluster that is freed lies either before that point, or moves the point
 * behind itself: so nothing freed since the last commit is given out again before the next (meta_give_back() moves it down).
 */
#include <errno.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "base/guard.h"
#include "blk/qcow2_internal.h"
#include "sys/call.h"

enum { ZERO_STEP = 64 << 10 };

/* ref_at() - where the refcount of @cluster is in the file: the byte, and the entry's number from that byte on */
static uint64_t ref_at(const struct qcow2 *q, uint64_t block, uint64_t cluster, uint64_t *ret_entry)
{
	uint64_t i = cluster & (q->block_entries - 1);
	unsigned order = q->h.refcount_order;
	uint64_t byte = order >= 3 ? i << (order - 3) : i >> (3 - order);

	*ret_entry = order >= 3 ? 0 : i & ((1U << (3 - order)) - 1);
	return block + byte;
}

static uint64_t ref_max(const struct qcow2 *q)
{
	unsigned bits = 1U << q->h.refcount_order;

	return bits == 64 ? INT64_MAX : (1ULL << bits) - 1;
}

static uint64_t block_of(const struct qcow2 *q, uint64_t cluster)
{
	uint64_t i = cluster / q->block_entries;

	return i < q->n_reftable ? q->reftable[i] & QCOW2_OFFSET : 0;
}

int ref_get(struct qcow2 *q, uint64_t cluster, uint64_t *ret_v)
{
	uint64_t block = block_of(q, cluster), entry;
	uint32_t left;
	uint8_t *p;
	int r;

	*ret_v = 0;
	if (!block)
		return 0;
	r = meta_slice(q, ref_at(q, block, cluster, &entry), &p, &left);
	if (r == 0)
		*ret_v = qcow2_refcount_get(p, q->h.refcount_order, entry);
	return r;
}

static int find_free(struct qcow2 *q, uint64_t n, bool all, uint64_t *ret_first)
{
	uint64_t got = 0, at = q->alloc_at, v;

	while (got < n) {
		int r;

		if (at >= QCOW2_FILE_MAX / q->cluster)
			return -ENOSPC;
		r = ref_get(q, at, &v);
		if (r < 0)
			return r;
		if (v == 0 && cluster_set_has(&q->tables, at))
			return -EUCLEAN; /* the refcounts are wrong */
		if (v == 0) {
			if (got++ == 0)
				*ret_first = at;
		} else if (got > 0 && !all) {
			break;
		} else {
			got = 0;
		}
		at++;
	}
	if (!all || *ret_first == q->alloc_at) {
		q->alloc_at = *ret_first + got;
	} else { /* holes too small for this one serve others later */
		if (q->alloc_at < q->alloc_low)
			q->alloc_low = q->alloc_at;
		q->alloc_at = *ret_first + got;
	}
	return (int)got;
}

/* zero_new() - what will be read from @offset on is zeroes, whatever was there before */
static int zero_new(struct qcow2 *q, uint64_t offset, uint64_t bytes)
{
	static const uint8_t zero[ZERO_STEP];
	int r = 0;

	for (uint64_t done = 0; done < bytes && r == 0; done += ZERO_STEP) {
		uint64_t n = bytes - done < ZERO_STEP ? bytes - done : ZERO_STEP;

		r = plain_write(q->blk.fd, zero, (size_t)n, offset + done);
	}
	return r;
}

static void wrote_up_to(struct qcow2 *q, uint64_t end)
{
	if (end > q->file_end)
		q->file_end = end;
}

/* grow_reftable() - a larger table elsewhere, that has entry @i; the header is switched by the same commit */
static int grow_reftable(struct qcow2 *q, uint64_t i)
{
	uint64_t per = q->cluster / 8, want = (i + 1 + (i + 1) / 2 + per - 1) / per * per;
	uint64_t old = q->h.reftable_offset, old_bytes = (uint64_t)q->h.reftable_clusters * q->cluster;
	uint64_t n = want / per, first;
	uint64_t *table;
	int r;

	if (want * 8 > QCOW2_REFTABLE_BYTES_MAX)
		return -EFBIG;
	table = calloc(want, sizeof(*table));
	if (!table)
		return -ENOMEM;
	r = find_free(q, n, true, &first);
	r = r < 0 ? r : zero_new(q, first * q->cluster, want * 8);
	if (r < 0) {
		free(table);
		return r;
	}
	wrote_up_to(q, (first + n) * q->cluster);
	meta_forget(q, first * q->cluster, want * 8);
	memcpy(table, q->reftable, q->n_reftable * sizeof(*table));
	free(q->reftable);
	q->reftable = table;
	q->n_reftable = want;
	q->h.reftable_offset = first * q->cluster;
	q->h.reftable_clusters = (uint32_t)n;
	for (uint64_t k = 0; k < want && r == 0; k++)
		if (table[k])
			r = meta_put64(q, q->h.reftable_offset + k * 8, table[k]);
	for (uint64_t k = 0; k < n && r >= 0; k++)
		r = cluster_set_add(&q->tables, first + k);
	r = r < 0 ? r : meta_put64(q, QCOW2_AT_REFTABLE, q->h.reftable_offset);
	r = r < 0 ? r : meta_put32(q, QCOW2_AT_REFTABLE + 8, q->h.reftable_clusters);
	for (uint64_t k = 0; k < n && r >= 0; k++)
		r = ref_set(q, first + k, 1);
	if (r >= 0)
		ref_free_table(q, old, old_bytes);
	return r < 0 ? r : 0;
}

/* need_block() - a refcount block for @cluster; it may be one of the clusters that it counts itself */
static int need_block(struct qcow2 *q, uint64_t cluster)
{
	uint64_t i = cluster / q->block_entries, at;
	int r;

	if (block_of(q, cluster))
		return 0;
	if (i >= q->n_reftable) {
		r = grow_reftable(q, i);
		if (r < 0 || block_of(q, cluster))
			return r;
	}
	r = find_free(q, 1, false, &at);
	r = r < 0 ? r : zero_new(q, at * q->cluster, q->cluster);
	if (r < 0)
		return r;
	wrote_up_to(q, (at + 1) * q->cluster);
	meta_forget(q, at * q->cluster, q->cluster);
	r = cluster_set_add(&q->tables, at);
	if (r < 0)
		return r;
	q->reftable[i] = at * q->cluster;
	r = meta_put64(q, q->h.reftable_offset + i * 8, q->reftable[i]);
	return r < 0 ? r : ref_set(q, at, 1);
}

int ref_set(struct qcow2 *q, uint64_t cluster, uint64_t v)
{
	uint64_t entry, at;
	uint32_t len = q->h.refcount_order > 3 ? 1U << (q->h.refcount_order - 3) : 1;
	uint8_t *p;
	int r = need_block(q, cluster);

	if (r < 0)
		return r;
	at = ref_at(q, block_of(q, cluster), cluster, &entry);
	r = meta_touch(q, at, len, &p);
	if (r == 0)
		qcow2_refcount_set(p, q->h.refcount_order, entry, v);
	return r;
}

int ref_add(struct qcow2 *q, uint64_t cluster)
{
	uint64_t v;
	int r = ref_get(q, cluster, &v);

	if (r < 0)
		return r;
	return v >= ref_max(q) ? -EOVERFLOW : ref_set(q, cluster, v + 1);
}

static void note_freed(struct qcow2 *q, uint64_t cluster)
{
	struct qcow2_freed *last = q->n_freed ? &q->freed[q->n_freed - 1] : NULL;
	uint64_t low = cluster < q->alloc_at ? cluster : q->alloc_at;

	if (low < q->alloc_low)
		q->alloc_low = low;
	if (cluster >= q->alloc_at)
		q->alloc_at = cluster + 1;
	if (last && last->first + last->n == cluster)
		last->n++;
	else if (last && cluster + 1 == last->first)
		last->first--, last->n++;
	else if (q->n_freed < QCOW2_FREED_MAX)
		q->freed[q->n_freed++] = (struct qcow2_freed){ cluster, 1 };
	/* else its space is not given back, but used again */
}

int ref_drop(struct qcow2 *q, uint64_t cluster)
{
	uint64_t v;
	int r = ref_get(q, cluster, &v);

	if (r < 0)
		return r;
	if (v == 0)
		return -EUCLEAN;
	r = ref_set(q, cluster, v - 1);
	if (r == 0 && v == 1)
		note_freed(q, cluster);
	return r;
}

int ref_drop_bytes(struct qcow2 *q, uint64_t offset, uint64_t bytes)
{
	uint64_t first = offset / q->cluster, last = (offset + bytes - 1) / q->cluster;
	int r = 0;

	for (uint64_t c = first; c <= last && r == 0; c++)
		r = ref_drop(q, c);
	return r;
}

int ref_alloc(struct qcow2 *q, uint64_t n, bool all, uint64_t *ret_first)
{
	uint64_t first = 0;
	int got = find_free(q, n, all, &first), r = 0;

	for (int i = 0; i < got && r == 0; i++)
		r = ref_set(q, first + (uint64_t)i, 1);
	if (got < 0 || r < 0)
		return got < 0 ? got : r;
	*ret_first = first;
	return got;
}

int ref_alloc_table(struct qcow2 *q, uint64_t bytes, const void *content, uint64_t *ret_offset)
{
	uint64_t n = (bytes + q->cluster - 1) / q->cluster, first;
	int r = ref_alloc(q, n, true, &first);
	uint64_t at = r < 0 ? 0 : first * q->cluster;

	if (r < 0)
		return r;
	r = content ? plain_write(q->blk.fd, content, bytes, at) : 0;
	if (r == 0) /* the rest of the last cluster, too: the file ends with a whole cluster */
		r = zero_new(q, at + (content ? bytes : 0), n * q->cluster - (content ? bytes : 0));
	if (r < 0) {
		ref_drop_bytes(q, at, n * q->cluster);
		return r;
	}
	wrote_up_to(q, at + n * q->cluster);
	meta_forget(q, at, n * q->cluster);
	for (uint64_t i = 0; i < n && r >= 0; i++)
		r = cluster_set_add(&q->tables, first + i);
	*ret_offset = at;
	return r < 0 ? r : 0;
}

void ref_free_table(struct qcow2 *q, uint64_t offset, uint64_t bytes)
{
	if (bytes == 0)
		return;
	for (uint64_t c = offset / q->cluster; c <= (offset + bytes - 1) / q->cluster; c++) {
		cluster_set_remove(&q->tables, c);
		meta_forget(q, c * q->cluster, q->cluster);
		ref_drop(q, c); /* a failure leaks it */
	}
}
