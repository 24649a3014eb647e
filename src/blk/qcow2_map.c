/* SPDX-License-Identifier: Apache-2.0 */
/* qcow2_map.c - from offsets of the disk to offsets of the file: L1 and L2 tables, for reading and for writing */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/guard.h"
#include "blk/qcow2_internal.h"

enum { RUN_CLUSTERS_MAX = 4096, COPY_STEP = 64 << 10 };

static uint64_t l2_of(const struct qcow2 *q, uint64_t offset)
{
	uint64_t i = offset / q->cluster / q->l2_entries;

	return i < q->h.l1_size ? q->l1[i] & QCOW2_OFFSET : 0;
}

static uint64_t l2_index(const struct qcow2 *q, uint64_t offset)
{
	return offset / q->cluster % q->l2_entries;
}

int map_entry(struct qcow2 *q, uint64_t offset, uint64_t *ret_raw)
{
	uint64_t l2 = l2_of(q, offset);

	*ret_raw = 0;
	return l2 ? meta_get64(q, l2 + l2_index(q, offset) * 8, ret_raw) : 0;
}

static int entry_at(struct qcow2 *q, uint64_t offset, struct qcow2_entry *ret_n)
{
	uint64_t raw;
	int r = map_entry(q, offset, &raw);

	if (r < 0)
		return r;
	*ret_n = qcow2_entry_read(&q->h, raw);
	return ret_n->kind == QCOW2_IS_BAD ? -EUCLEAN : 0;
}

int map_set_l1(struct qcow2 *q, uint64_t i, uint64_t v)
{
	int r = meta_put64(q, q->h.l1_offset + i * 8, v);

	if (r == 0)
		q->l1[i] = v;
	return r;
}

/* --- reading ---------------------------------------------------------------------------------------------- */

static enum blk_run_kind run_kind(const struct qcow2_entry *n)
{
	return n->kind == QCOW2_IS_DATA       ? BLK_RUN_FILE :
	       n->kind == QCOW2_IS_COMPRESSED ? BLK_RUN_SLOW :
						BLK_RUN_ZERO;
}

/* none_run() - how many bytes from @offset on, @len at most, the image says nothing about */
static int none_run(struct qcow2 *q, uint64_t offset, uint64_t len, uint64_t *ret_len)
{
	uint64_t run = 0;

	while (run < len) {
		uint64_t span = q->cluster, l2 = l2_of(q, offset + run);
		struct qcow2_entry n = { .kind = QCOW2_IS_NONE };
		int r = l2 ? entry_at(q, offset + run, &n) : 0;

		if (r < 0)
			return r;
		if (n.kind != QCOW2_IS_NONE)
			break;
		if (!l2) /* all that the L1 entry stands for */
			span = q->cluster * q->l2_entries;
		run += span - (offset + run) % span;
	}
	*ret_len = run < len ? run : len;
	return 0;
}

static int read_none(struct qcow2 *q, uint64_t offset, uint64_t len, struct blk_run *ret_run)
{
	uint64_t have = q->backing && offset < q->backing->size ? q->backing->size - offset : 0;
	int r = none_run(q, offset, len, &len);

	if (r < 0)
		return r;
	if (have == 0) {
		*ret_run = (struct blk_run){ .kind = BLK_RUN_ZERO, .fd = -1, .len = len };
		return 0;
	}
	r = q->backing->ops->locate(q->backing, offset, len < have ? len : have, ret_run);
	/* What the backing file holds in its own way only it can read: through this disk's slow path. */
	return r;
}

int map_read(struct qcow2 *q, uint64_t offset, uint64_t len, struct blk_run *ret_run)
{
	uint64_t within = offset % q->cluster, run = q->cluster - within;
	struct qcow2_entry first, n;
	int r = entry_at(q, offset, &first);

	if (r < 0)
		return r;
	if (first.kind == QCOW2_IS_NONE)
		return read_none(q, offset, len, ret_run);
	while (run < len && first.kind != QCOW2_IS_COMPRESSED) {
		r = entry_at(q, offset + run, &n);
		if (r < 0 || n.kind == QCOW2_IS_NONE || run_kind(&n) != run_kind(&first))
			break; /* a bad one is met when it is its turn */
		if (n.kind == QCOW2_IS_DATA && n.offset != first.offset + within + run)
			break;
		run += q->cluster;
	}
	*ret_run =
		(struct blk_run){ run_kind(&first), q->blk.fd, first.offset + within, run < len ? run : len };
	return 0;
}

bool map_reads_zero(struct qcow2 *q, uint64_t offset, uint64_t len)
{
	while (len > 0) {
		struct blk_run run;

		if (map_read(q, offset, len, &run) < 0 || run.kind != BLK_RUN_ZERO)
			return false;
		offset += run.len;
		len -= run.len;
	}
	return true;
}

/* --- writing ---------------------------------------------------------------------------------------------- */

/* own_l2() - an L2 table for @offset that nobody else refers to */
static int own_l2(struct qcow2 *q, uint64_t offset, uint64_t *ret_l2)
{
	uint64_t i = offset / q->cluster / q->l2_entries, old = l2_of(q, offset), at;
	auto_free uint8_t *copy = NULL;
	int r;

	BUG_ON(i >= q->h.l1_size);
	if (old && q->l1[i] & QCOW2_COPIED) {
		*ret_l2 = old;
		return 0;
	}
	if (old) { /* a snapshot's: its entries have no COPIED marks, as their clusters are shared too */
		copy = malloc(q->cluster);
		if (!copy)
			return -ENOMEM;
		for (uint64_t k = 0; k < q->cluster; k += q->meta.slice) {
			uint32_t left;
			uint8_t *p;

			r = meta_slice(q, old + k, &p, &left);
			if (r < 0)
				return r;
			memcpy(copy + k, p, q->meta.slice);
		}
	}
	r = ref_alloc_table(q, q->cluster, copy, &at);
	if (r < 0)
		return r;
	r = map_set_l1(q, i, at | QCOW2_COPIED);
	if (r < 0)
		return r;
	if (old) {
		cluster_set_remove(&q->tables, old / q->cluster);
		r = ref_drop(q, old / q->cluster);
	}
	*ret_l2 = at;
	return r;
}

/* copy_part() - bytes of the disk, as they are now, to where they will be; @host may hold anything unless it is fresh */
static int copy_part(struct qcow2 *q, uint64_t offset, uint64_t host, uint64_t len, bool fresh)
{
	auto_free uint8_t *buf = NULL;

	if (len == 0)
		return 0;
	if (offset >=
	    q->blk.size) { /* behind the end of the disk: what is there must not come back when it grows */
		return fresh ? 0 : plain_zero(q->blk.fd, host, len, false);
	}
	if (map_reads_zero(q, offset, offset + len <= q->blk.size ? len : q->blk.size - offset))
		return fresh ? 0 : plain_zero(q->blk.fd, host, len, false);
	buf = calloc(1, len < COPY_STEP ? len : COPY_STEP);
	if (!buf)
		return -ENOMEM;
	for (uint64_t done = 0; done < len;) {
		uint64_t n = len - done < COPY_STEP ? len - done : COPY_STEP;
		struct iovec v = { buf, (size_t)n };
		uint64_t inside = offset + done < q->blk.size ? q->blk.size - offset - done : 0;
		int r;

		memset(buf, 0, n);
		r = inside ? qcow2_read(q, offset + done, &v, 1, 0, inside < n ? inside : n) : 0;
		r = r < 0 ? r : plain_write(q->blk.fd, buf, n, host + done);
		if (r < 0)
			return r;
		done += n;
	}
	return 0;
}

/* drop_entry() - the cluster that an entry which is no more referred to */
static int drop_entry(struct qcow2 *q, const struct qcow2_entry *n)
{
	if (n->kind == QCOW2_IS_COMPRESSED)
		return ref_drop_bytes(q, n->offset, n->bytes);
	return n->offset ? ref_drop(q, n->offset / q->cluster) : 0;
}

static bool is_in_place(const struct qcow2_entry *n)
{
	return n->kind == QCOW2_IS_DATA && n->copied;
}

/* in_place() - the run of clusters from @offset on that are ours alone and lie in a row */
static int in_place(struct qcow2 *q, uint64_t offset, uint64_t len, const struct qcow2_entry *first,
		    uint64_t *ret_at, uint64_t *ret_len)
{
	uint64_t within = offset % q->cluster, run = q->cluster - within;

	if (cluster_set_has(&q->tables, first->offset / q->cluster))
		return -EUCLEAN; /* the image would have us write over its own tables */
	while (run < len && l2_index(q, offset + run) != 0) {
		struct qcow2_entry n;

		if (entry_at(q, offset + run, &n) < 0 || !is_in_place(&n) ||
		    n.offset != first->offset + within + run ||
		    cluster_set_has(&q->tables, n.offset / q->cluster))
			break;
		run += q->cluster;
	}
	*ret_at = first->offset + within;
	*ret_len = run < len ? run : len;
	return 0;
}

/* wanted() - how many entries of one table from @offset on need a new cluster, for @len bytes */
static int wanted(struct qcow2 *q, uint64_t offset, uint64_t len, uint64_t *ret_n)
{
	uint64_t n = 1, within = offset % q->cluster;

	while (n * q->cluster - within < len && n < RUN_CLUSTERS_MAX &&
	       l2_index(q, offset) + n < q->l2_entries) {
		struct qcow2_entry next;
		int r = entry_at(q, offset - within + n * q->cluster, &next);

		if (r < 0)
			return r;
		if (is_in_place(&next) || (next.kind == QCOW2_IS_ZERO_KEPT && next.copied))
			break;
		n++;
	}
	*ret_n = n;
	return 0;
}

/* copy_around() - what of @n new clusters at @host will not be written over by [offset, offset + len) */
static int copy_around(struct qcow2 *q, uint64_t offset, uint64_t len, uint64_t host, uint64_t n, bool fresh)
{
	uint64_t within = offset % q->cluster, end = n * q->cluster;
	int r = copy_part(q, offset - within, host, within, fresh);

	if (r == 0 && within + len < end)
		r = copy_part(q, offset + len, host + within + len, end - within - len, fresh);
	if (host + end > q->file_end)
		q->file_end = host + end;
	return r;
}

/* link_new() - the entries from @offset on name @n clusters at @host; what they named before is dropped */
static int link_new(struct qcow2 *q, uint64_t l2, uint64_t offset, uint64_t host, uint64_t n)
{
	int r = 0;

	for (uint64_t i = 0; i < n && r == 0; i++) {
		uint64_t at = l2 + (l2_index(q, offset) + i) * 8, to = host + i * q->cluster;
		struct qcow2_entry old;

		r = entry_at(q, offset - offset % q->cluster + i * q->cluster, &old);
		r = r < 0 ? r : meta_put64(q, at, to | QCOW2_COPIED);
		if (r == 0 && old.offset != to) /* not a kept cluster that is used again */
			r = drop_entry(q, &old);
	}
	return r;
}

int map_write(struct qcow2 *q, uint64_t offset, uint64_t len, uint64_t *ret_at, uint64_t *ret_len)
{
	uint64_t within = offset % q->cluster, l2, n, first = 0, room;
	struct qcow2_entry was;
	bool fresh = false, kept;
	int r;

	if (q->failed)
		return -EIO;
	q->wrote = true;
	r = own_l2(q, offset, &l2);
	r = r < 0 ? r : entry_at(q, offset, &was);
	if (r < 0)
		return r;
	if (is_in_place(&was))
		return in_place(q, offset, len, &was, ret_at, ret_len);
	kept = was.kind == QCOW2_IS_ZERO_KEPT && was.copied;
	if (kept) {
		if (cluster_set_has(&q->tables, was.offset / q->cluster))
			return -EUCLEAN;
		first = was.offset / q->cluster;
		n = 1;
	} else {
		r = wanted(q, offset, len, &n);
		r = r < 0 ? r : ref_alloc(q, n, false, &first);
		if (r < 0)
			return r;
		n = (uint64_t)r;
		fresh = first * q->cluster >= q->file_end;
	}
	room = n * q->cluster - within;
	len = len < room ? len : room;
	r = copy_around(q, offset, len, first * q->cluster, n, fresh);
	if (r < 0) {
		if (!kept)
			ref_drop_bytes(q, first * q->cluster, n * q->cluster);
		return r;
	}
	r = link_new(q, l2, offset, first * q->cluster, n);
	if (r < 0)
		return r;
	*ret_at = first * q->cluster + within;
	*ret_len = len;
	return 0;
}

/* --- zeroes ----------------------------------------------------------------------------------------------- */

/* zero_entry() - one whole cluster. @hides: the backing file has something there */
static int zero_entry(struct qcow2 *q, uint64_t offset, bool unmap, bool hides)
{
	struct qcow2_entry was;
	uint64_t l2, at, v;
	int r = entry_at(q, offset, &was);

	if (r < 0 || was.kind == QCOW2_IS_ZERO || (was.kind == QCOW2_IS_NONE && !hides))
		return r;
	if (was.kind == QCOW2_IS_ZERO_KEPT && !unmap)
		return 0;
	r = own_l2(q, offset, &l2);
	if (r < 0)
		return r;
	at = l2 + l2_index(q, offset) * 8;
	if (q->h.version >= 3 && !unmap && is_in_place(&was))
		return meta_put64(q, at, was.offset | QCOW2_COPIED | QCOW2_ZERO);
	v = q->h.version >= 3 && (hides || !unmap || was.kind != QCOW2_IS_NONE) ? QCOW2_ZERO : 0;
	if (!hides)
		v = 0;
	r = meta_put64(q, at, v);
	return r < 0 ? r : drop_entry(q, &was);
}

int map_zero(struct qcow2 *q, uint64_t offset, uint64_t len, bool unmap)
{
	uint64_t done = 0;

	if (q->failed)
		return -EIO;
	while (done < len) {
		uint64_t at = offset + done, span = q->cluster;
		bool hides = q->backing && at < q->backing->size;
		int r;

		if (!l2_of(q, at) && !hides) { /* nothing to change: on to the next L1 entry */
			span = q->cluster * q->l2_entries;
			done += span - at % span;
			continue;
		}
		r = zero_entry(q, at, unmap, hides);
		if (r < 0)
			return r;
		done += span;
	}
	return 0;
}
