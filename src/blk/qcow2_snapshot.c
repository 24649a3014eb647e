/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qcow2_snapshot.c - snapshots inside an image, its size, its backing file
 *
 * A snapshot is a copy of the L1 table. All clusters that it refers to count one more reference, and lose their COPIED marks in the
 * active tables, so that the next write to one goes elsewhere. Everything here is one commit.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "base/time.h"
#include "blk/qcow2_internal.h"

/* --- walking over a tree ---------------------------------------------------------------------------------- */

/* mark() - COPIED as the refcount says */
static int mark(struct qcow2 *q, uint64_t cluster, uint64_t raw, uint64_t *ret_raw)
{
	uint64_t v;
	int r = ref_get(q, cluster, &v);

	*ret_raw = v == 1 ? raw | QCOW2_COPIED : raw & ~QCOW2_COPIED;
	return r;
}

static int count_entry(struct qcow2 *q, const struct qcow2_entry *n, int delta)
{
	uint64_t first = n->offset / q->cluster, last = first;
	int r = 0;

	if (n->offset == 0 || delta == 0)
		return 0;
	if (n->kind == QCOW2_IS_COMPRESSED)
		last = (n->offset + n->bytes - 1) / q->cluster;
	for (uint64_t c = first; c <= last && r == 0; c++)
		r = delta > 0 ? ref_add(q, c) : ref_drop(q, c);
	return r;
}

/* walk_l2() - each entry's clusters count @delta more; @marks: the table is the active one's, so its marks follow */
static int walk_l2(struct qcow2 *q, uint64_t l2, int delta, bool marks)
{
	for (uint64_t i = 0; i < q->l2_entries; i++) {
		struct qcow2_entry n;
		uint64_t raw, now;
		int r = meta_get64(q, l2 + i * 8, &raw);

		if (r < 0)
			return r;
		n = qcow2_entry_read(&q->h, raw);
		if (n.kind == QCOW2_IS_BAD)
			return -EUCLEAN;
		r = count_entry(q, &n, delta);
		if (r == 0 && marks && n.offset && n.kind != QCOW2_IS_COMPRESSED) {
			r = mark(q, n.offset / q->cluster, raw, &now);
			if (r == 0 && now != raw)
				r = meta_put64(q, l2 + i * 8, now);
		}
		if (r < 0)
			return r;
	}
	return 0;
}

/* walk() - a tree's L2 tables and what they refer to count @delta more */
static int walk(struct qcow2 *q, const uint64_t *l1, uint64_t n, int delta)
{
	for (uint64_t i = 0; i < n; i++) {
		uint64_t l2 = l1[i] & QCOW2_OFFSET;
		int r;

		if (!l2)
			continue;
		if (l2 & (q->cluster - 1) || l2 >= q->file_end)
			return -EUCLEAN;
		r = walk_l2(q, l2, delta, false);
		if (r == 0)
			r = delta > 0 ? ref_add(q, l2 / q->cluster) : ref_drop(q, l2 / q->cluster);
		if (r < 0)
			return r;
	}
	return 0;
}

/* mark_active() - all marks of the active tables as the refcounts are now */
static int mark_active(struct qcow2 *q)
{
	for (uint64_t i = 0; i < q->h.l1_size; i++) {
		uint64_t l2 = q->l1[i] & QCOW2_OFFSET, now;
		int r;

		if (!l2)
			continue;
		r = walk_l2(q, l2, 0, true);
		r = r < 0 ? r : mark(q, l2 / q->cluster, q->l1[i], &now);
		if (r == 0 && now != q->l1[i])
			r = map_set_l1(q, i, now);
		if (r < 0)
			return r;
	}
	return 0;
}

/* --- the list --------------------------------------------------------------------------------------------- */

int snapshots_load(struct qcow2 *q, struct err *e)
{
	auto_free uint8_t *bytes = NULL;
	size_t len = QCOW2_SNAPSHOT_BYTES_MAX, at = 0;

	if (q->h.n_snapshots == 0)
		return 0;
	if (q->h.snapshots_offset >= q->file_end)
		return err_set(e, EBADMSG, "qcow2: snapshot table behind the end of the file");
	if (len > q->file_end - q->h.snapshots_offset)
		len = (size_t)(q->file_end - q->h.snapshots_offset);
	bytes = malloc(len);
	q->snapshot = calloc(q->h.n_snapshots, sizeof(*q->snapshot));
	if (!bytes || !q->snapshot)
		return err_sys(e, ENOMEM, "qcow2");
	if (plain_read(q->blk.fd, bytes, len, q->h.snapshots_offset) < 0)
		return err_set(e, EIO, "qcow2: snapshot table cannot be read");
	for (uint32_t i = 0; i < q->h.n_snapshots; i++) {
		int n = qcow2_snapshot_read(&q->snapshot[i], &q->h, bytes + at, len - at, e);

		if (n == -ENODATA)
			err_set(e, EBADMSG, "qcow2: snapshot table is cut short or too long");
		if (n < 0)
			return -EBADMSG;
		if (q->snapshot[i].l1_offset + (uint64_t)q->snapshot[i].l1_size * 8 > q->file_end)
			return err_set(e, EBADMSG, "qcow2: a snapshot's L1 table behind the end of the file");
		at += (size_t)n;
	}
	q->snapshots_bytes = at;
	return 0;
}

/* store_list() - the list as it is in @list goes into a new table; the header and q follow */
static int store_list(struct qcow2 *q, struct qcow2_snapshot *list, uint32_t n)
{
	auto_free uint8_t *bytes = calloc(n ? n : 1, QCOW2_SNAPSHOT_MAX);
	uint64_t offset = 0, old = q->h.snapshots_offset, old_bytes = q->snapshots_bytes;
	size_t len = 0;
	int r = bytes ? 0 : -ENOMEM;

	for (uint32_t i = 0; i < n && r == 0; i++)
		len += qcow2_snapshot_write(&list[i], bytes + len);
	if (r == 0 && len > QCOW2_SNAPSHOT_BYTES_MAX)
		r = -ENOSPC;
	if (r == 0 && n)
		r = ref_alloc_table(q, len, bytes, &offset);
	r = r < 0 ? r : meta_put32(q, QCOW2_AT_SNAPSHOTS, n);
	r = r < 0 ? r : meta_put64(q, QCOW2_AT_SNAPSHOTS + 4, offset);
	if (r < 0)
		return r;
	ref_free_table(q, old, old_bytes);
	q->h.n_snapshots = n;
	q->h.snapshots_offset = offset;
	q->snapshots_bytes = len;
	free(q->snapshot);
	q->snapshot = list;
	return 0;
}

int qcow2_snapshot_list(struct blk *b, const struct qcow2_snapshot **ret_s, unsigned *ret_n)
{
	*ret_s = qcow2_of(b)->snapshot;
	*ret_n = qcow2_of(b)->h.n_snapshots;
	return 0;
}

static int find(const struct qcow2 *q, const char *name)
{
	for (uint32_t i = 0; i < q->h.n_snapshots; i++)
		if (str_eq(q->snapshot[i].id, name))
			return (int)i;
	for (uint32_t i = 0; i < q->h.n_snapshots; i++)
		if (str_eq(q->snapshot[i].name, name))
			return (int)i;
	return -ENOENT;
}

/* ended() - commit what an operation changed; what failed half-way must never be committed */
static int ended(struct qcow2 *q, int r, struct err *e, const char *what, const char *name)
{
	if (r == 0)
		r = qcow2_commit(q);
	if (r == 0)
		return 0;
	q->failed = true; /* the tables in memory are neither the old nor the new ones */
	return err_sys(e, -r, "qcow2: %s '%s'", what, name);
}

static int may_change(const struct qcow2 *q, struct err *e)
{
	if (q->blk.readonly)
		return err_sys(e, EROFS, "qcow2");
	if (q->failed)
		return err_sys(e, EIO, "qcow2: an earlier change failed");
	return q->blk.inflight ? err_sys(e, EBUSY, "qcow2") : 0;
}

static void new_id(const struct qcow2 *q, char *dst, size_t size)
{
	uint64_t max = 0, n;

	for (uint32_t i = 0; i < q->h.n_snapshots; i++)
		if (str_to_u64(q->snapshot[i].id, &n) == 0 && n > max)
			max = n;
	str_format(dst, size, "%llu", (unsigned long long)max + 1);
}

static int create(struct qcow2 *q, const char *name)
{
	uint32_t n = q->h.n_snapshots;
	struct qcow2_snapshot *list = calloc((size_t)n + 1, sizeof(*list)), *s;
	auto_free uint64_t *l1 = calloc(q->h.l1_size ? q->h.l1_size : 1, sizeof(*l1));
	nsec_t now = time_now_ns(CLOCK_REALTIME);
	int r;

	if (!list || !l1) {
		free(list);
		return -ENOMEM;
	}
	if (n)
		memcpy(list, q->snapshot, n * sizeof(*list));
	s = &list[n];
	*s = (struct qcow2_snapshot){ .l1_size = q->h.l1_size,
				      .date_s = (uint32_t)(now / NSEC_PER_SEC),
				      .date_ns = (uint32_t)(now % NSEC_PER_SEC),
				      .disk_size = q->h.size,
				      .icount = UINT64_MAX };
	str_copy(s->name, sizeof(s->name), name);
	new_id(q, s->id, sizeof(s->id));
	for (uint32_t i = 0; i < q->h.l1_size; i++)
		l1[i] = htobe64(q->l1[i] & ~QCOW2_COPIED);
	r = walk(q, q->l1, q->h.l1_size, 1);
	r = r < 0 ? r : mark_active(q);
	if (r == 0 && q->h.l1_size)
		r = ref_alloc_table(q, (uint64_t)q->h.l1_size * 8, l1, &s->l1_offset);
	r = r < 0 ? r : store_list(q, list, n + 1);
	if (r < 0)
		free(list);
	return r;
}

int qcow2_snapshot_create(struct blk *b, const char *name, struct err *e)
{
	struct qcow2 *q = qcow2_of(b);
	int r = may_change(q, e);

	if (r < 0)
		return r;
	if (!name[0] || strlen(name) > QCOW2_SNAPSHOT_NAME_MAX)
		return err_set(e, EINVAL, "snapshot name: 1 to %d bytes", QCOW2_SNAPSHOT_NAME_MAX);
	if (find(q, name) >= 0)
		return err_sys(e, EEXIST, "snapshot '%s'", name);
	if (q->h.n_snapshots >= QCOW2_SNAPSHOTS_MAX)
		return err_set(e, ENOSPC, "snapshot '%s': the image has %d already", name,
			       QCOW2_SNAPSHOTS_MAX);
	r = qcow2_commit(q); /* so that a failure loses nothing */
	return ended(q, r < 0 ? r : create(q, name), e, "snapshot", name);
}

static int load_l1(struct qcow2 *q, const struct qcow2_snapshot *s, uint64_t n, uint64_t **ret_l1)
{
	uint64_t *l1 = calloc(n ? n : 1, sizeof(*l1));
	int r = l1 ? plain_read(q->blk.fd, l1, (size_t)s->l1_size * 8, s->l1_offset) : -ENOMEM;

	if (r < 0) {
		free(l1);
		return r;
	}
	for (uint32_t i = 0; i < s->l1_size; i++)
		l1[i] = be64toh(l1[i]);
	*ret_l1 = l1;
	return 0;
}

int snapshots_need_l1(struct qcow2 *q, uint64_t entries, struct err *e)
{
	uint64_t at, *l1, old = q->h.l1_offset, old_bytes = (uint64_t)q->h.l1_size * 8;
	auto_free uint64_t *be = NULL;
	int r;

	if (entries <= q->h.l1_size)
		return 0;
	if (entries * 8 > QCOW2_L1_BYTES_MAX)
		return err_set(e, EFBIG,
			       "qcow2: clusters of %llu bytes are too small for a disk of that size",
			       (unsigned long long)q->cluster);
	l1 = calloc(entries, sizeof(*l1));
	be = calloc(entries, sizeof(*be));
	if (!l1 || !be) {
		free(l1);
		return err_sys(e, ENOMEM, "qcow2");
	}
	for (uint32_t i = 0; i < q->h.l1_size; i++) {
		l1[i] = q->l1[i];
		be[i] = htobe64(l1[i]);
	}
	r = ref_alloc_table(q, entries * 8, be, &at);
	r = r < 0 ? r : meta_put32(q, QCOW2_AT_L1, (uint32_t)entries);
	r = r < 0 ? r : meta_put64(q, QCOW2_AT_L1 + 4, at);
	if (r < 0) {
		free(l1);
		return err_sys(e, -r, "qcow2: L1 table");
	}
	free(q->l1);
	q->l1 = l1;
	q->h.l1_size = (uint32_t)entries;
	q->h.l1_offset = at;
	ref_free_table(q, old, old_bytes);
	return 0;
}

static int set_size(struct qcow2 *q, uint64_t size)
{
	int r = meta_put64(q, QCOW2_AT_SIZE, size);

	if (r == 0) {
		q->h.size = size;
		q->blk.size = size - size % BLK_SECTOR;
	}
	return r;
}

static int apply(struct qcow2 *q, const struct qcow2_snapshot *s, struct err *e)
{
	auto_free uint64_t *l1 = NULL, *was = NULL;
	uint64_t n;
	int r = snapshots_need_l1(q, s->l1_size, e);

	if (r < 0)
		return r;
	n = q->h.l1_size;
	was = malloc((n ? n : 1) * sizeof(*was));
	r = was ? load_l1(q, s, n, &l1) : -ENOMEM;
	if (r < 0)
		return r;
	memcpy(was, q->l1, n * sizeof(*was));
	r = walk(q, l1, s->l1_size, 1); /* first, so that nothing comes down to zero in between */
	for (uint64_t i = 0; i < n && r == 0; i++) {
		if (was[i])
			cluster_set_remove(&q->tables, (was[i] & QCOW2_OFFSET) / q->cluster);
		if (was[i] != l1[i])
			r = map_set_l1(q, i, l1[i] & QCOW2_OFFSET);
	}
	r = r < 0 ? r : walk(q, was, n, -1);
	for (uint64_t i = 0; i < n && r >= 0; i++)
		if (l1[i])
			r = cluster_set_add(&q->tables, (l1[i] & QCOW2_OFFSET) / q->cluster);
	r = r < 0 ? r : mark_active(q);
	q->plain_of = 0;
	return r < 0 || s->disk_size == q->h.size ? r : set_size(q, s->disk_size);
}

int qcow2_snapshot_apply(struct blk *b, const char *name, struct err *e)
{
	struct qcow2 *q = qcow2_of(b);
	int r = may_change(q, e), i = find(q, name);

	if (r < 0)
		return r;
	if (i < 0)
		return err_set(e, ENOENT, "no snapshot '%s'", name);
	r = qcow2_commit(q);
	return ended(q, r < 0 ? r : apply(q, &q->snapshot[i], e), e, "apply snapshot", name);
}

static int delete (struct qcow2 *q, uint32_t i)
{
	uint32_t n = q->h.n_snapshots;
	struct qcow2_snapshot gone = q->snapshot[i], *list = calloc(n, sizeof(*list));
	auto_free uint64_t *l1 = NULL;
	int r = list ? load_l1(q, &gone, gone.l1_size, &l1) : -ENOMEM;

	if (r == 0) {
		memcpy(list, q->snapshot, i * sizeof(*list));
		memcpy(list + i, q->snapshot + i + 1, (n - i - 1) * sizeof(*list));
		r = store_list(q, list, n - 1);
	}
	if (r < 0) {
		free(list);
		return r;
	}
	r = walk(q, l1, gone.l1_size, -1);
	if (r == 0)
		ref_free_table(q, gone.l1_offset, (uint64_t)gone.l1_size * 8);
	q->plain_of = 0;
	return r < 0 ? r : mark_active(q);
}

int qcow2_snapshot_delete(struct blk *b, const char *name, struct err *e)
{
	struct qcow2 *q = qcow2_of(b);
	int r = may_change(q, e), i = find(q, name);

	if (r < 0)
		return r;
	if (i < 0)
		return err_set(e, ENOENT, "no snapshot '%s'", name);
	r = qcow2_commit(q);
	return ended(q, r < 0 ? r : delete (q, (uint32_t)i), e, "delete snapshot", name);
}

/* --- size and backing file -------------------------------------------------------------------------------- */

static int grow(struct qcow2 *q, uint64_t size, struct err *e)
{
	uint64_t old = q->h.size, span = q->cluster * q->l2_entries, edge, shown;
	int r = snapshots_need_l1(q, size / span + (size % span != 0), e);

	r = r < 0 ? r : set_size(q, size);
	if (r < 0)
		return r;
	/* What the last cluster, or a longer backing file, holds behind the old end is not part of the disk. */
	edge = (old + q->cluster - 1) & ~(q->cluster - 1);
	shown = q->backing ? q->backing->size : 0;
	if (edge < shown)
		edge = shown;
	if (edge > size)
		edge = size;
	return edge > old ? qcow2_zero(q, old, edge - old, true) : 0;
}

static int shrink(struct qcow2 *q, uint64_t size)
{
	uint64_t edge = (size + q->cluster - 1) & ~(q->cluster - 1);
	int r = 0;

	for (uint64_t at = edge; at < q->h.size && r == 0; at += q->cluster) {
		uint64_t raw, i = at / q->cluster / q->l2_entries, l2 = q->l1[i] & QCOW2_OFFSET;

		if (!l2) { /* on to the next table */
			at = (i + 1) * q->cluster * q->l2_entries - q->cluster;
			continue;
		}
		r = map_entry(q, at, &raw);
		if (r == 0 && raw)
			r = map_zero(q, at, q->cluster, true);
	}
	return r < 0 ? r : set_size(q, size);
}

int qcow2_resize(struct blk *b, uint64_t size, struct err *e)
{
	struct qcow2 *q = qcow2_of(b);
	char text[32];
	int r = may_change(q, e);

	if (r < 0 || size == q->h.size)
		return r;
	if (q->h.n_snapshots && q->h.version < 3)
		return err_set(e, EOPNOTSUPP, "qcow2: version 2 with snapshots cannot be resized");
	r = qcow2_commit(q);
	if (r == 0)
		r = size > q->h.size ? grow(q, size, e) : shrink(q, size);
	str_format(text, sizeof(text), "%llu", (unsigned long long)size);
	return ended(q, r, e, "resize to", text);
}

int qcow2_set_backing(struct blk *b, const char *name, const char *format, struct err *e)
{
	struct qcow2 *q = qcow2_of(b);
	auto_free uint8_t *bytes = malloc(q->cluster);
	auto_free struct qcow2_header *h = malloc(sizeof(*h));
	int r = may_change(q, e), len;

	if (r < 0 || !bytes || !h)
		return r < 0 ? r : err_sys(e, ENOMEM, "qcow2");
	*h = q->h;
	if (!str_copy(h->backing, sizeof(h->backing), name ? name : "") ||
	    !str_copy(h->backing_format, sizeof(h->backing_format), name && format ? format : ""))
		return err_sys(e, ENAMETOOLONG, "backing file '%s'", name);
	h->incompatible |= QCOW2_INCOMPATIBLE_DIRTY; /* as it is on disk while open */
	if (h->version < 3 || !q->dirty_bit)
		h->incompatible &= ~QCOW2_INCOMPATIBLE_DIRTY;
	len = qcow2_header_write(h, bytes, q->cluster);
	if (len < 0)
		return err_sys(e, -len, "backing file '%s': the image's first cluster has no room", name);
	h->incompatible &= ~QCOW2_INCOMPATIBLE_DIRTY;
	for (int at = 0; at < len && r == 0; at += (int)q->meta.slice) {
		uint32_t n = (uint32_t)(len - at) < q->meta.slice ? (uint32_t)(len - at) : q->meta.slice;
		uint8_t *p;

		r = meta_touch(q, (uint64_t)at, n, &p);
		if (r == 0)
			memcpy(p, bytes + at, n);
	}
	if (r == 0) {
		memcpy(q->h.backing, h->backing, sizeof(h->backing));
		memcpy(q->h.backing_format, h->backing_format, sizeof(h->backing_format));
	}
	return ended(q, r, e, "backing file", name ? name : "");
}

int qcow2_empty(struct blk *b, struct err *e)
{
	struct qcow2 *q = qcow2_of(b);
	auto_free uint64_t *was = NULL;
	uint64_t n = q->h.l1_size;
	int r = may_change(q, e);

	if (r < 0)
		return r;
	r = qcow2_commit(q);
	was = malloc((n ? n : 1) * sizeof(*was));
	r = r < 0 ? r : was ? 0 : -ENOMEM;
	if (r == 0)
		memcpy(was, q->l1, n * sizeof(*was));
	for (uint64_t i = 0; i < n && r == 0; i++)
		if (was[i]) {
			cluster_set_remove(&q->tables, (was[i] & QCOW2_OFFSET) / q->cluster);
			r = map_set_l1(q, i, 0);
		}
	r = r < 0 ? r : walk(q, was, n, -1);
	return ended(q, r, e, "empty", "");
}
