/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qcow2_check.c - count what refers to each cluster, and compare that with the refcounts; correct them
 *
 * Corrections: refcounts that are too low are raised first (nothing that is referred to may be given out), those too high lowered
 * after that, then the COPIED marks set to what the refcounts say. New refcount blocks come from behind the end of the file.
 */
#include <errno.h>
#include <stdarg.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "blk/qcow2_internal.h"

enum { LINE_MAX_BYTES = 160 };
#define CHECK_CLUSTERS_MAX (1ULL << 30)

struct checker {
	struct qcow2 *q;
	struct qcow2_check *c;
	uint32_t *want; /* owned; references counted */
	uint64_t n;     /* clusters of the file */
	void (*tell)(void *arg, const char *line);
	void *arg;
};

static void tell(struct checker *k, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void tell(struct checker *k, const char *fmt, ...)
{
	char line[LINE_MAX_BYTES];
	va_list ap;

	if (!k->tell)
		return;
	va_start(ap, fmt);
	str_vformat(line, sizeof(line), fmt, ap);
	va_end(ap);
	k->tell(k->arg, line);
}

static void unfixable(struct checker *k, const char *what, uint64_t v)
{
	k->c->errors++;
	k->c->unfixable++;
	tell(k, "ERROR %s: 0x%llx", what, (unsigned long long)v);
}

/* count() - [offset, offset + bytes) is referred to once more. Return: false: it is not in the file. */
static bool count(struct checker *k, const char *what, uint64_t offset, uint64_t bytes)
{
	uint64_t first = offset / k->q->cluster, last;

	if (bytes == 0)
		return true;
	last = (offset + bytes - 1) / k->q->cluster;
	if (last >= k->n) {
		unfixable(k, what, offset);
		return false;
	}
	for (uint64_t c = first; c <= last; c++)
		if (k->want[c] < UINT32_MAX)
			k->want[c]++;
	return true;
}

static int count_l2(struct checker *k, uint64_t l2, bool active)
{
	struct qcow2 *q = k->q;

	for (uint64_t i = 0; i < q->l2_entries; i++) {
		struct qcow2_entry n;
		uint64_t raw;
		int r = meta_get64(q, l2 + i * 8, &raw);

		if (r < 0)
			return r;
		if (raw == 0)
			continue;
		n = qcow2_entry_read(&q->h, raw);
		if (n.kind == QCOW2_IS_BAD) {
			unfixable(k, "L2 entry makes no sense", raw);
			continue;
		}
		if (active && (n.kind == QCOW2_IS_DATA || n.kind == QCOW2_IS_COMPRESSED))
			k->c->allocated++;
		if (active && n.kind == QCOW2_IS_COMPRESSED)
			k->c->compressed++;
		if (n.kind == QCOW2_IS_COMPRESSED) {
			/* The length is in sectors: the last may reach over the end of the file. */
			uint64_t end = n.offset + n.bytes, file = k->n * q->cluster;

			count(k, "compressed cluster behind the end of the file", n.offset,
			      end > file && end - file < 512 ? file - n.offset : n.bytes);
		} else if (n.offset) {
			count(k, "data cluster behind the end of the file", n.offset, q->cluster);
		}
	}
	return 0;
}

static int count_tree(struct checker *k, const uint64_t *l1, uint64_t n, bool active)
{
	for (uint64_t i = 0; i < n; i++) {
		uint64_t l2 = l1[i] & QCOW2_OFFSET;
		int r;

		if (l1[i] == 0)
			continue;
		if (l2 == 0 || l2 & (k->q->cluster - 1) || l1[i] & ~(QCOW2_OFFSET | QCOW2_COPIED)) {
			unfixable(k, "L1 entry makes no sense", l1[i]);
			continue;
		}
		if (!count(k, "L2 table behind the end of the file", l2, k->q->cluster))
			continue;
		r = count_l2(k, l2, active);
		if (r < 0)
			return r;
	}
	return 0;
}

static int count_snapshot(struct checker *k, const struct qcow2_snapshot *s)
{
	auto_free uint64_t *l1 = calloc(s->l1_size ? s->l1_size : 1, sizeof(*l1));
	int r = l1 ? plain_read(k->q->blk.fd, l1, (size_t)s->l1_size * 8, s->l1_offset) : -ENOMEM;

	if (r < 0)
		return r;
	for (uint32_t i = 0; i < s->l1_size; i++)
		l1[i] = be64toh(l1[i]);
	count(k, "snapshot's L1 table", s->l1_offset, (uint64_t)s->l1_size * 8);
	return count_tree(k, l1, s->l1_size, false);
}

static int count_all(struct checker *k)
{
	struct qcow2 *q = k->q;
	int r;

	count(k, "header", 0, q->cluster);
	count(k, "L1 table", q->h.l1_offset, (uint64_t)q->h.l1_size * 8);
	count(k, "refcount table", q->h.reftable_offset, (uint64_t)q->h.reftable_clusters * q->cluster);
	for (uint64_t i = 0; i < q->n_reftable; i++)
		if (q->reftable[i])
			count(k, "refcount block", q->reftable[i] & QCOW2_OFFSET, q->cluster);
	count(k, "snapshot table", q->h.snapshots_offset, q->snapshots_bytes);
	r = count_tree(k, q->l1, q->h.l1_size, true);
	for (uint32_t i = 0; i < q->h.n_snapshots && r == 0; i++)
		r = count_snapshot(k, &q->snapshot[i]);
	return r;
}

/* compare() - one cluster; @raise, @lower: which way to correct */
static int compare(struct checker *k, uint64_t cluster, bool count_it, bool raise, bool lower)
{
	uint64_t have, want = k->want[cluster];
	int r = ref_get(k->q, cluster, &have);

	if (r < 0 || have == want)
		return r;
	if (count_it) {
		*(have < want ? &k->c->errors : &k->c->leaks) += 1;
		tell(k, "%s cluster %llu refcount=%llu reference=%llu", have < want ? "ERROR" : "Leaked",
		     (unsigned long long)cluster, (unsigned long long)have, (unsigned long long)want);
	}
	if (!(have < want ? raise : lower))
		return 0;
	r = ref_set(k->q, cluster, want);
	if (r == 0)
		*(have < want ? &k->c->errors_fixed : &k->c->leaks_fixed) += 1;
	return r;
}

/* marks() - COPIED of one entry, whose cluster is at @offset */
static int marks(struct checker *k, const char *what, uint64_t raw, uint64_t offset, bool fix,
		 uint64_t *ret_raw)
{
	uint64_t have;
	int r = ref_get(k->q, offset / k->q->cluster, &have);

	*ret_raw = have == 1 ? raw | QCOW2_COPIED : raw & ~QCOW2_COPIED;
	if (r < 0 || *ret_raw == raw)
		return r;
	k->c->errors++;
	tell(k, "ERROR OFLAG_COPIED %s 0x%llx refcount=%llu", what, (unsigned long long)raw,
	     (unsigned long long)have);
	k->c->errors_fixed += fix;
	if (!fix)
		*ret_raw = raw;
	return 0;
}

static int marks_of_l2(struct checker *k, uint64_t l2, bool fix)
{
	for (uint64_t i = 0; i < k->q->l2_entries; i++) {
		struct qcow2_entry n;
		uint64_t raw, now;
		int r = meta_get64(k->q, l2 + i * 8, &raw);

		if (r < 0)
			return r;
		if (raw == 0)
			continue;
		n = qcow2_entry_read(&k->q->h, raw);
		if (n.offset == 0 || (n.kind != QCOW2_IS_DATA && n.kind != QCOW2_IS_ZERO_KEPT))
			continue;
		r = marks(k, "L2 entry", raw, n.offset, fix, &now);
		if (r == 0 && now != raw)
			r = meta_put64(k->q, l2 + i * 8, now);
		if (r < 0)
			return r;
	}
	return 0;
}

static int marks_of_all(struct checker *k, bool fix)
{
	struct qcow2 *q = k->q;

	for (uint64_t i = 0; i < q->h.l1_size; i++) {
		uint64_t l2 = q->l1[i] & QCOW2_OFFSET, now;
		int r;

		if (!l2)
			continue;
		r = marks(k, "L1 entry", q->l1[i], l2, fix, &now);
		if (r == 0 && now != q->l1[i])
			r = map_set_l1(q, i, now);
		r = r < 0 ? r : marks_of_l2(k, l2, fix);
		if (r < 0)
			return r;
	}
	return 0;
}

static int check_all(struct checker *k, enum qcow2_fix fix)
{
	bool raise = fix == QCOW2_FIX_ALL, lower = fix != QCOW2_FIX_NONE;
	struct qcow2 *q = k->q;
	int r = count_all(k);

	if (k->c->unfixable) /* what is referred to is not known: nothing is lowered */
		lower = raise = false;
	if (raise || lower) /* no cluster of the file is given out meanwhile */
		q->alloc_at = k->n;
	for (uint64_t i = 0; i < k->n && r == 0; i++)
		r = compare(k, i, true, raise, false);
	/* Blocks that were made by raising refer to clusters behind the end, which count themselves. */
	for (uint64_t i = 0; i < k->n && r == 0 && lower; i++)
		r = compare(k, i, false, false, true);
	r = r < 0 ? r : marks_of_all(k, raise);
	for (uint64_t i = k->n; i > 0 && !k->c->end; i--)
		if (k->want[i - 1])
			k->c->end = i * q->cluster;
	if (raise || lower) {
		q->alloc_at = 0;
		q->alloc_low = UINT64_MAX;
	}
	return r;
}

int qcow2_check(struct blk *b, enum qcow2_fix fix, struct qcow2_check *ret_c,
		void (*tell_fn)(void *arg, const char *line), void *arg, struct err *e)
{
	struct qcow2 *q = qcow2_of(b);
	struct checker k = { q, ret_c, NULL, q->file_end / q->cluster, tell_fn, arg };
	int r;

	*ret_c = (struct qcow2_check){ .clusters = q->h.size / q->cluster + (q->h.size % q->cluster != 0) };
	if (k.n > CHECK_CLUSTERS_MAX)
		return err_set(e, EFBIG, "qcow2: file of %llu clusters", (unsigned long long)k.n);
	if (fix != QCOW2_FIX_NONE && b->readonly)
		return err_sys(e, EROFS, "qcow2: check");
	k.want = calloc(k.n + 1, sizeof(*k.want));
	if (!k.want)
		return err_sys(e, ENOMEM, "qcow2: check");
	r = check_all(&k, fix);
	free(k.want);
	if (r == 0 && fix != QCOW2_FIX_NONE)
		r = qcow2_commit(q);
	if (r == 0 && ret_c->errors == ret_c->errors_fixed && fix == QCOW2_FIX_ALL)
		q->stays_dirty = false;
	return r < 0 ? err_sys(e, -r, "qcow2: check") : 0;
}
