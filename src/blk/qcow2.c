/* SPDX-License-Identifier: Apache-2.0 */
/* qcow2.c - an image as a disk: open, read, write, discard, close; qcow2_internal.h has the theory of operation */
#include "blk/qcow2.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "blk/qcow2_internal.h"
#include "sys/call.h"
#include "sys/file.h"

enum { LOCK_WAIT_MS = 300, LOCK_STEP_MS = 5 };

bool blk_is_qcow2(const struct blk *b)
{
	return b->ops == &blk_qcow2;
}

const struct qcow2_header *qcow2_header(const struct blk *b)
{
	return &qcow2_of(b)->h;
}

struct blk *qcow2_backing(const struct blk *b)
{
	return qcow2_of(b)->backing;
}

int qcow2_detach(struct blk *b, struct err *e)
{
	struct qcow2 *q = qcow2_of(b);

	if (b->inflight)
		return err_sys(e, EBUSY, "qcow2");
	blk_close(q->backing);
	q->backing = NULL;
	return 0;
}

/* --- open ------------------------------------------------------------------------------------------------- */

static int load_table(struct qcow2 *q, uint64_t offset, uint64_t n, uint64_t **ret_table, struct err *e)
{
	uint64_t *t = calloc(n ? n : 1, sizeof(*t));
	int r = t ? plain_read(q->blk.fd, t, n * 8, offset) : -ENOMEM;

	for (uint64_t i = 0; i < n && r == 0; i++)
		t[i] = be64toh(t[i]);
	if (r < 0) {
		free(t);
		return err_sys(e, -r, "qcow2: table at 0x%llx", (unsigned long long)offset);
	}
	*ret_table = t;
	return 0;
}

/* claim() - the clusters of [offset, offset + bytes) hold @what, and nothing else may be there */
static int claim(struct qcow2 *q, const char *what, uint64_t offset, uint64_t bytes, struct err *e)
{
	for (uint64_t at = offset; at < offset + bytes; at += q->cluster) {
		int r = cluster_set_add(&q->tables, at / q->cluster);

		if (r == 1)
			return err_set(e, EBADMSG, "qcow2: %s at 0x%llx: another table is there", what,
				       (unsigned long long)at);
		if (r < 0)
			return err_sys(e, -r, "qcow2");
	}
	return 0;
}

/* claim_each() - the tables that a table of offsets names */
static int claim_each(struct qcow2 *q, const char *what, const uint64_t *table, uint64_t n, struct err *e)
{
	for (uint64_t i = 0; i < n; i++) {
		uint64_t at = table[i] & QCOW2_OFFSET;
		int r;

		if (table[i] == 0)
			continue;
		if (table[i] & ~(QCOW2_OFFSET | QCOW2_COPIED) || at & (q->cluster - 1) || at == 0 ||
		    at >= q->file_end)
			return err_set(e, EBADMSG, "qcow2: %s: bad offset 0x%llx", what,
				       (unsigned long long)table[i]);
		r = claim(q, what, at, q->cluster, e);
		if (r < 0)
			return r;
	}
	return 0;
}

static int load_tables(struct qcow2 *q, struct err *e)
{
	uint64_t l1_bytes = (uint64_t)q->h.l1_size * 8;
	uint64_t ref_bytes = (uint64_t)q->h.reftable_clusters * q->cluster;
	int r;

	/* Sparse files are cheap, memory is not: a table that the file does not hold is none. */
	if (q->h.l1_offset + l1_bytes > q->file_end || q->h.reftable_offset + ref_bytes > q->file_end)
		return err_set(e, EBADMSG, "qcow2: the file ends before its tables do");
	q->n_reftable = ref_bytes / 8;
	r = load_table(q, q->h.l1_offset, q->h.l1_size, &q->l1, e);
	r = r < 0 ? r : load_table(q, q->h.reftable_offset, q->n_reftable, &q->reftable, e);
	r = r < 0 ? r : claim(q, "header", 0, q->cluster, e);
	r = r < 0 ? r : claim(q, "L1 table", q->h.l1_offset, l1_bytes, e);
	r = r < 0 ? r : claim(q, "refcount table", q->h.reftable_offset, ref_bytes, e);
	r = r < 0 ? r : claim_each(q, "refcount block", q->reftable, q->n_reftable, e);
	r = r < 0 ? r : claim_each(q, "L2 table", q->l1, q->h.l1_size, e);
	r = r < 0 ? r : snapshots_load(q, e);
	for (uint32_t i = 0; i < q->h.n_snapshots && r == 0; i++)
		if (q->snapshot[i].l1_size)
			r = claim(q, "snapshot's L1 table", q->snapshot[i].l1_offset,
				  (uint64_t)q->snapshot[i].l1_size * 8, e);
	if (r == 0 && q->snapshots_bytes)
		r = claim(q, "snapshot table", q->h.snapshots_offset, q->snapshots_bytes, e);
	return r;
}

static int read_header(struct qcow2 *q, struct err *e)
{
	auto_free uint8_t *bytes = calloc(1, QCOW2_HEADER_MAX);
	uint64_t size;
	size_t len;
	int r = bytes ? plain_size(q->blk.fd, &size) : -ENOMEM;

	if (r < 0)
		return err_sys(e, -r, "qcow2");
	len = size < QCOW2_HEADER_MAX ? (size_t)size : QCOW2_HEADER_MAX;
	r = plain_read(q->blk.fd, bytes, len, 0);
	if (r < 0)
		return err_sys(e, -r, "qcow2: header");
	r = qcow2_header_read(&q->h, bytes, len, e);
	if (r < 0)
		return r;
	q->cluster = 1ULL << q->h.cluster_bits;
	q->l2_entries = q->cluster / 8;
	q->block_entries = q->cluster * 8 >> q->h.refcount_order;
	q->file_len = size;
	q->file_end = (size + q->cluster - 1) & ~(q->cluster - 1);
	q->blk.size = q->h.size - q->h.size % BLK_SECTOR;
	if (q->h.incompatible & QCOW2_INCOMPATIBLE_CORRUPT && !q->blk.readonly)
		return err_set(e, EBADMSG, "qcow2: the image is marked corrupt: it can only be read");
	return 0;
}

/* open_in() - @path below @dirfd, not above it; or anywhere */
static int open_in(int dirfd, const char *path, int flags, bool anywhere)
{
	struct open_how how = { .flags = (uint64_t)(flags | O_CLOEXEC),
				.resolve = anywhere ? 0 : RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };
	long r;

	do {
		r = SYS4(SYS_openat2, dirfd, path, &how, sizeof(how));
	} while (r == -EINTR || (r == -EAGAIN && !anywhere));
	return (int)r;
}

/* has_protocol() - "nbd:...", "json:{...}": other programs open those, not files */
static bool has_protocol(const char *name)
{
	const char *colon = strchr(name, ':'), *slash = strchr(name, '/');

	return colon && (!slash || colon < slash);
}

static int open_backing(struct qcow2 *q, const struct blk_options *o, struct err *e)
{
	struct blk_options sub = { .format = q->h.backing_format,
				   .readonly = true,
				   .pad = true,
				   .backing_max = o->backing_max - 1,
				   .backing_dirfd = -1,
				   .backing_anywhere = o->backing_anywhere };
	const char *name = q->h.backing, *slash = strrchr(name, '/');
	auto_close int dir = -1;
	char parent[QCOW2_BACKING_NAME_MAX + 1];
	int fd, r;

	if (o->backing_max == 0 || o->backing_dirfd == -1)
		return err_set(e, EPERM, "qcow2: backing file '%s': not allowed here", name);
	if (has_protocol(name))
		return err_set(e, EOPNOTSUPP, "qcow2: backing file '%s': only files are supported", name);
	if (!sub.format[0])
		return err_set(e, EINVAL, "qcow2: backing file '%s': the image does not say its format",
			       name);
	str_format(parent, sizeof(parent), "%.*s", slash ? slash == name ? 1 : (int)(slash - name) : 1,
		   slash ? name : ".");
	dir = open_in(o->backing_dirfd, parent, O_PATH | O_DIRECTORY, o->backing_anywhere);
	fd = dir < 0 ? dir :
		       open_in(dir, slash ? slash + 1 : name, O_RDONLY | O_NONBLOCK, o->backing_anywhere);
	if (fd < 0)
		return err_sys(e, fd == -EXDEV ? EPERM : -fd, "qcow2: backing file '%s'", name);
	sub.backing_dirfd = dir;
	r = blk_open(&q->backing, fd, &sub, e);
	return r < 0 ? err_wrap(e, r, "backing file '%s'", name) : 0;
}

/* make_ready() - for writing: what a crash, or features that hull does not keep up, left behind */
static int make_ready(struct qcow2 *q, bool as_is, struct err *e)
{
	bool count = q->h.version < 3 || q->h.incompatible & QCOW2_INCOMPATIBLE_DIRTY || q->h.autoclear;
	struct qcow2_check found;
	int r = 0;

	if (q->h.autoclear) {
		q->h.autoclear = 0;
		r = meta_put64(q, QCOW2_AT_AUTOCLEAR, 0);
	}
	q->dirty_bit = q->h.incompatible & QCOW2_INCOMPATIBLE_DIRTY;
	q->h.incompatible &= ~QCOW2_INCOMPATIBLE_DIRTY;
	q->stays_dirty = as_is && q->dirty_bit;
	if (as_is)
		return r;
	if (r == 0 && count)
		r = qcow2_check(&q->blk, QCOW2_FIX_ALL, &found, NULL, NULL, e);
	if (r == 0 && count && found.unfixable)
		return err_set(e, EBADMSG, "qcow2: %llu damaged table entries: see hull disk check",
			       (unsigned long long)found.unfixable);
	if (r == 0 && count)
		r = meta_clean(q);
	return r < 0 ? err_wrap(e, r, "qcow2: refcounts") : 0;
}

static int qcow2_close(struct blk *b)
{
	struct qcow2 *q = qcow2_of(b);
	int r = b->readonly || !q->meta.hash || q->failed ? 0 : meta_clean(q);

	if (q->failed)
		r = -EIO;
	blk_close(q->backing);
	qcow2_async_fini(q);
	meta_fini(q);
	cluster_set_fini(&q->tables);
	free(q->l1);
	free(q->reftable);
	free(q->snapshot);
	free(q->plain);
	fd_close(&b->fd);
	free(q);
	return r;
}

static int open_checked(struct qcow2 *q, const struct blk_options *o, struct err *e)
{
	int r;

	if (o->direct)
		return err_set(e, EINVAL, "qcow2: direct input and output is for raw disks");
	r = read_header(q, e);
	if (r == 0 && q->h.backing[0] && !o->backing_none)
		r = open_backing(q, o, e);
	if (r < 0)
		return r;
	r = meta_init(q);
	if (r < 0)
		return err_sys(e, -r, "qcow2");
	r = load_tables(q, e);
	return r < 0 || q->blk.readonly ? r : make_ready(q, o->as_is, e);
}

/*
 * lock_image() - two writers would each give out the same clusters. A process that was killed holds its lock until the last request of
 * its ring is through, which is after its end: what they still write must not meet us.
 */
static int lock_image(int fd, bool writes)
{
	int r = file_lock(fd, writes, false);

	for (int ms = 0; r == -EWOULDBLOCK && ms < LOCK_WAIT_MS; ms += LOCK_STEP_MS) {
		struct timespec t = { .tv_nsec = LOCK_STEP_MS * 1000000L };

		SYS2(SYS_nanosleep, &t, NULL);
		r = file_lock(fd, writes, false);
	}
	return r;
}

static int qcow2_open(struct blk **ret_b, int fd, const struct blk_options *o, struct err *e)
{
	struct qcow2 *q = calloc(1, sizeof(*q));
	int r;

	if (!q) {
		fd_close(&fd);
		return err_sys(e, ENOMEM, "qcow2");
	}
	q->blk = (struct blk){ .ops = &blk_qcow2, .fd = fd, .readonly = o->readonly, .no_sync = o->no_sync };
	q->alloc_low = UINT64_MAX;
	r = lock_image(fd, !o->readonly);
	r = r < 0 ? err_set(e, -r, "qcow2: another process has the image open%s",
			    o->readonly ? " for writing" : "") :
		    open_checked(q, o, e);
	if (r < 0) {
		q->failed = true; /* nothing of it is written */
		qcow2_close(&q->blk);
		return r;
	}
	*ret_b = &q->blk;
	return 0;
}

/* --- blocking --------------------------------------------------------------------------------------------- */

/* read_slow() - one run that only its owner can read */
static int read_slow(struct qcow2 *q, uint64_t offset, const struct iovec *iov, unsigned n_iov, uint64_t skip,
		     uint64_t len)
{
	struct iovec part[BLK_IOV_MAX];
	const uint8_t *plain;
	uint64_t raw, got;
	unsigned n;
	int r = map_entry(q, offset, &raw);

	if (r < 0)
		return r;
	if (raw & QCOW2_COMPRESSED) {
		r = compressed_read(q, raw, &plain);
		if (r == 0)
			iov_fill(iov, n_iov, skip, plain + offset % q->cluster, len);
		return r;
	}
	while (len > 0 && r == 0) { /* the backing file's */
		n = iov_part(iov, n_iov, skip, len, part, BLK_IOV_MAX, &got);
		r = q->backing->ops->rw(q->backing, false, offset, part, n, got);
		offset += got;
		skip += got;
		len -= got;
	}
	return r;
}

int qcow2_read(struct qcow2 *q, uint64_t offset, const struct iovec *iov, unsigned n_iov, uint64_t skip,
	       uint64_t len)
{
	struct iovec part[BLK_IOV_MAX];

	while (len > 0) {
		struct blk_run run;
		uint64_t got;
		unsigned n;
		int r = map_read(q, offset, len, &run);

		if (r < 0)
			return r;
		got = run.len;
		switch (run.kind) {
		case BLK_RUN_ZERO: iov_zero(iov, n_iov, skip, got); break;
		case BLK_RUN_SLOW: r = read_slow(q, offset, iov, n_iov, skip, got); break;
		case BLK_RUN_FILE:
			n = iov_part(iov, n_iov, skip, run.len, part, BLK_IOV_MAX, &got);
			r = plain_rw(run.fd, false, run.at, part, n, got);
		}
		if (r < 0)
			return r;
		offset += got;
		skip += got;
		len -= got;
	}
	return 0;
}

int qcow2_write(struct qcow2 *q, uint64_t offset, const struct iovec *iov, unsigned n_iov, uint64_t skip,
		uint64_t len)
{
	struct iovec part[BLK_IOV_MAX];

	while (len > 0) {
		uint64_t at, run, done = 0;
		int r = map_write(q, offset, len, &at, &run);

		while (r == 0 && done < run) {
			uint64_t got;
			unsigned n = iov_part(iov, n_iov, skip + done, run - done, part, BLK_IOV_MAX, &got);

			r = plain_rw(q->blk.fd, true, at + done, part, n, got);
			done += got;
		}
		if (r < 0)
			return r;
		offset += run;
		skip += run;
		len -= run;
	}
	return 0;
}

int qcow2_commit_if_due(struct qcow2 *q)
{
	return q->meta.n_dirty >= META_DIRTY_MAX ? qcow2_commit(q) : 0;
}

static int qcow2_rw(struct blk *b, bool write, uint64_t offset, const struct iovec *iov, unsigned n_iov,
		    uint64_t len)
{
	struct qcow2 *q = qcow2_of(b);
	int r;

	if (!write)
		return qcow2_read(q, offset, iov, n_iov, 0, len);
	r = qcow2_commit_if_due(q);
	return r < 0 ? r : qcow2_write(q, offset, iov, n_iov, 0, len);
}

static int write_zeroes(struct qcow2 *q, uint64_t offset, uint64_t len)
{
	static const uint8_t zero[64 << 10];

	if (len == 0 || map_reads_zero(q, offset, len))
		return 0;
	for (uint64_t done = 0; done < len;) {
		uint64_t n = len - done < sizeof(zero) ? len - done : sizeof(zero);
		struct iovec v = { (void *)zero, (size_t)n };
		int r = qcow2_write(q, offset + done, &v, 1, 0, n);

		if (r < 0)
			return r;
		done += n;
	}
	return 0;
}

/* whole() - the clusters wholly inside [offset, offset + len); the end of the disk ends its last one */
static bool whole(const struct qcow2 *q, uint64_t offset, uint64_t len, uint64_t *ret_begin,
		  uint64_t *ret_end)
{
	uint64_t mask = q->cluster - 1, end = offset + len;

	*ret_begin = (offset + mask) & ~mask;
	*ret_end = end == q->blk.size ? end : end & ~mask;
	return *ret_begin < *ret_end;
}

int qcow2_zero(struct qcow2 *q, uint64_t offset, uint64_t len, bool unmap)
{
	uint64_t begin, end, shown = q->backing ? q->backing->size : 0;
	int r = 0;

	if (!whole(q, offset, len, &begin, &end))
		return write_zeroes(q, offset, len);
	r = write_zeroes(q, offset, begin - offset);
	if (r == 0 && q->h.version < 3 && begin < shown) { /* no mark for zeroes: they must be written */
		uint64_t part = end < shown ? end : ((shown + q->cluster - 1) & ~(q->cluster - 1));

		part = part < end ? part : end;
		r = write_zeroes(q, begin, part - begin);
		begin = part;
	}
	if (r == 0 && begin < end)
		r = map_zero(q, begin, end - begin, unmap);
	return r < 0 ? r : write_zeroes(q, end, offset + len - end);
}

int qcow2_discard_range(struct qcow2 *q, uint64_t offset, uint64_t len)
{
	uint64_t begin, end, shown = q->backing ? q->backing->size : 0;

	if (!whole(q, offset, len, &begin, &end))
		return 0;
	if (q->h.version < 3 && begin < shown) /* what the backing file holds would come back */
		begin = (shown + q->cluster - 1) & ~(q->cluster - 1);
	return begin < end ? map_zero(q, begin, end - begin, true) : 0;
}

static int qcow2_flush_op(struct blk *b)
{
	struct qcow2 *q = qcow2_of(b);

	return q->failed ? -EIO : qcow2_commit(q);
}

static int qcow2_discard_op(struct blk *b, uint64_t offset, uint64_t len)
{
	int r = qcow2_commit_if_due(qcow2_of(b));

	return r < 0 ? r : qcow2_discard_range(qcow2_of(b), offset, len);
}

static int qcow2_zeroes_op(struct blk *b, uint64_t offset, uint64_t len, bool unmap)
{
	int r = qcow2_commit_if_due(qcow2_of(b));

	return r < 0 ? r : qcow2_zero(qcow2_of(b), offset, len, unmap);
}

static int qcow2_locate(struct blk *b, uint64_t offset, uint64_t len, struct blk_run *ret_run)
{
	return map_read(qcow2_of(b), offset, len, ret_run);
}

int qcow2_is_here(struct blk *b, uint64_t offset, uint64_t *ret_len, bool *ret_here)
{
	struct qcow2 *q = qcow2_of(b);
	uint64_t run = 0, raw;
	bool here = false;

	while (offset + run < b->size) {
		int r = map_entry(q, offset + run, &raw);

		if (r < 0)
			return r;
		if (run == 0)
			here = raw != 0;
		else if (here != (raw != 0))
			break;
		run += q->cluster - (offset + run) % q->cluster;
	}
	*ret_len = offset + run < b->size ? run : b->size - offset;
	*ret_here = here;
	return 0;
}

static int qcow2_map(struct blk *b, uint64_t offset, uint64_t *ret_len, bool *ret_data)
{
	struct qcow2 *q = qcow2_of(b);
	uint64_t run, raw, there;
	struct blk_run m;
	int r = map_read(q, offset, b->size - offset, &m);

	r = r < 0 ? r : map_entry(q, offset, &raw);
	if (r < 0)
		return r;
	*ret_len = run = m.len;
	*ret_data = m.kind != BLK_RUN_ZERO;
	if (raw != 0 || !*ret_data)
		return 0;
	r = blk_map(q->backing, offset, &there, ret_data); /* holes of a raw one, too */
	*ret_len = there < run ? there : run;
	return r;
}

int qcow2_host(struct blk *b, uint64_t offset, uint64_t *ret_at)
{
	struct blk_run m;
	int r = map_read(qcow2_of(b), offset, 1, &m);

	if (r < 0)
		return r;
	*ret_at = m.at;
	return m.kind == BLK_RUN_FILE && m.fd == b->fd ? 0 : -ENODATA;
}

static void qcow2_info(const struct blk *b, struct blk_info *ret_i)
{
	const struct qcow2 *q = qcow2_of(b);
	struct stat st;

	ret_i->cluster = (uint32_t)q->cluster;
	ret_i->has_backing = q->h.backing[0] != '\0';
	ret_i->dirty = q->h.incompatible & QCOW2_INCOMPATIBLE_DIRTY;
	if (file_fstatat(b->fd, "", &st, AT_EMPTY_PATH) == 0)
		ret_i->allocated = (uint64_t)st.st_blocks * 512;
}

const struct blk_ops blk_qcow2 = {
	.name = "qcow2",
	.open = qcow2_open,
	.rw = qcow2_rw,
	.flush = qcow2_flush_op,
	.discard = qcow2_discard_op,
	.zeroes = qcow2_zeroes_op,
	.locate = qcow2_locate,
	.map = qcow2_map,
	.submit = qcow2_async_submit,
	.done = qcow2_async_done,
	.resize = qcow2_resize,
	.info = qcow2_info,
	.close = qcow2_close,
};
