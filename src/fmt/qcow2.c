/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/qcow2.h"

#include <endian.h>
#include <errno.h>
#include <assert.h>
#include <string.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/str.h"

enum {
	MAGIC = 0x514649fb,
	FEATURE_ENTRY = 48,
	FEATURE_NAME_MAX = 46,
	SNAPSHOT_FIXED = 40,
	SNAPSHOT_EXTRA = 24
};

enum { /* header extensions */
       EXT_END = 0,
       EXT_BACKING_FORMAT = (int)0xe2792aca,
       EXT_FEATURES = 0x6803f857,
       EXT_BITMAPS = 0x23852875,
       EXT_CRYPTO = 0x0537be77,
       EXT_DATA_FILE = 0x44415441,
};

static uint16_t get16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return be16toh(v);
}

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return be32toh(v);
}

static uint64_t get64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return be64toh(v);
}

static void put16(uint8_t *p, uint16_t v)
{
	v = htobe16(v);
	memcpy(p, &v, sizeof(v));
}

static void put32(uint8_t *p, uint32_t v)
{
	v = htobe32(v);
	memcpy(p, &v, sizeof(v));
}

static void put64(uint8_t *p, uint64_t v)
{
	v = htobe64(v);
	memcpy(p, &v, sizeof(v));
}

/* --- reading ---------------------------------------------------------------------------------------------- */

/* feature_name() - what the image's own table calls incompatible feature @bit; printable, or "". */
static void feature_name(const uint8_t *table, size_t len, unsigned bit, char *dst)
{
	dst[0] = '\0';
	for (; len >= FEATURE_ENTRY; table += FEATURE_ENTRY, len -= FEATURE_ENTRY) {
		if (table[0] != 0 || table[1] != bit)
			continue;
		memcpy(dst, table + 2, FEATURE_NAME_MAX);
		dst[FEATURE_NAME_MAX] = '\0';
		for (char *p = dst; *p; p++)
			if (*p < ' ' || *p > '~')
				*p = '?';
	}
}

static int refuse_features(const struct qcow2_header *h, const uint8_t *table, size_t len, struct err *e)
{
	uint64_t unknown = h->incompatible & ~(QCOW2_INCOMPATIBLE_DIRTY | QCOW2_INCOMPATIBLE_CORRUPT |
					       QCOW2_INCOMPATIBLE_COMPRESS);

	if (h->incompatible & QCOW2_INCOMPATIBLE_DATAFILE)
		return err_set(e, EOPNOTSUPP, "qcow2: the data is in another file: not supported");
	if (h->incompatible & QCOW2_INCOMPATIBLE_EXTL2)
		return err_set(e, EOPNOTSUPP, "qcow2: extended L2 entries (subclusters): not supported");
	if (unknown) {
		unsigned bit = (unsigned)__builtin_ctzll(unknown);
		char name[FEATURE_NAME_MAX + 1];

		feature_name(table, len, bit, name);
		return err_set(e, EOPNOTSUPP, "qcow2: incompatible feature %u%s%s%s is not supported", bit,
			       name[0] ? " ('" : "", name, name[0] ? "')" : "");
	}
	return 0;
}

static int keep_extension(struct qcow2_header *h, const uint8_t *p, size_t len, struct err *e)
{
	if (len > sizeof(h->extra) - h->extra_len)
		return err_set(e, EBADMSG, "qcow2: more than %d bytes of unknown header extensions",
			       QCOW2_EXTRA_MAX);
	memcpy(h->extra + h->extra_len, p, len);
	h->extra_len += len;
	return 0;
}

/* read_extensions() - from @at up to @end, which the end mark must precede */
static int read_extensions(struct qcow2_header *h, const uint8_t *b, size_t at, size_t end,
			   const uint8_t **ret_table, size_t *ret_table_len, struct err *e)
{
	while (end - at >= 8) {
		uint32_t type = get32(b + at), len = get32(b + at + 4);
		const uint8_t *p = b + at + 8;
		size_t whole = 8 + (((size_t)len + 7) & ~(size_t)7);
		int r = 0;

		if (type == EXT_END)
			return 0;
		if (whole > end - at)
			return err_set(e, EBADMSG, "qcow2: a header extension of %u bytes does not fit", len);
		switch (type) {
		case (uint32_t)EXT_BACKING_FORMAT:
			if (len > QCOW2_FORMAT_MAX)
				return err_set(e, EBADMSG, "qcow2: backing format's name: %u bytes", len);
			memcpy(h->backing_format, p, len);
			h->backing_format[len] = '\0';
			break;
		case EXT_FEATURES:
			*ret_table = p;
			*ret_table_len = len;
			break;
		case EXT_BITMAPS: /* not kept up to date by hull, so dropped; see autoclear */
		case EXT_CRYPTO:  /* refused by its feature, as is the next */
		case EXT_DATA_FILE: break;
		default: r = keep_extension(h, b + at, whole, e);
		}
		if (r < 0)
			return r;
		at += whole;
	}
	return 0; /* v2 images of old have no end mark */
}

static int check_table(const struct qcow2_header *h, const char *what, uint64_t offset, uint64_t bytes,
		       uint64_t max, struct err *e)
{
	if (bytes > max)
		return err_set(e, EBADMSG, "qcow2: %s: %llu bytes, at most %llu", what,
			       (unsigned long long)bytes, (unsigned long long)max);
	if (bytes > 0 &&
	    (offset == 0 || offset & ((1ULL << h->cluster_bits) - 1) || offset > QCOW2_FILE_MAX - bytes))
		return err_set(e, EBADMSG, "qcow2: %s: bad offset 0x%llx", what, (unsigned long long)offset);
	return 0;
}

static int check_sizes(const struct qcow2_header *h, struct err *e)
{
	unsigned l2_bits = 2 * h->cluster_bits - 3; /* bytes of the disk that an L1 entry stands for */
	uint64_t need = (h->size >> l2_bits) + ((h->size & ((1ULL << l2_bits) - 1)) != 0);
	int r;

	if (h->size >> 62)
		return err_set(e, EBADMSG, "qcow2: disk of %llu bytes", (unsigned long long)h->size);
	if (h->l1_size < need)
		return err_set(e, EBADMSG, "qcow2: L1 table of %u entries, the disk needs %llu", h->l1_size,
			       (unsigned long long)need);
	r = check_table(h, "L1 table", h->l1_offset, (uint64_t)h->l1_size * 8, QCOW2_L1_BYTES_MAX, e);
	if (r == 0 && h->reftable_clusters == 0)
		return err_set(e, EBADMSG, "qcow2: no refcount table");
	if (r == 0)
		r = check_table(h, "refcount table", h->reftable_offset,
				(uint64_t)h->reftable_clusters << h->cluster_bits, QCOW2_REFTABLE_BYTES_MAX,
				e);
	if (r == 0 && h->n_snapshots > QCOW2_SNAPSHOTS_MAX)
		return err_set(e, EBADMSG, "qcow2: %u snapshots, at most %d", h->n_snapshots,
			       QCOW2_SNAPSHOTS_MAX);
	if (r == 0)
		r = check_table(h, "snapshot table", h->snapshots_offset,
				(uint64_t)h->n_snapshots * SNAPSHOT_FIXED, QCOW2_SNAPSHOT_BYTES_MAX, e);
	return r;
}

static int read_v3(struct qcow2_header *h, const uint8_t *b, size_t len, uint32_t *ret_header_len,
		   struct err *e)
{
	uint32_t header_len;

	if (len < 104)
		return err_set(e, EBADMSG, "qcow2: cut short");
	h->incompatible = get64(b + 72);
	h->compatible = get64(b + 80);
	h->autoclear = get64(b + 88);
	h->refcount_order = get32(b + 96);
	header_len = get32(b + 100);
	if (h->refcount_order > 6)
		return err_set(e, EBADMSG, "qcow2: refcounts of 2^%u bits", h->refcount_order);
	if (header_len < 104 || header_len > len || header_len > 1U << h->cluster_bits || header_len % 8)
		return err_set(e, EBADMSG, "qcow2: header of %u bytes", header_len);
	if (h->incompatible & QCOW2_INCOMPATIBLE_COMPRESS) {
		uint8_t type = header_len > 104 ? b[104] : 0;

		if (type != QCOW2_ZLIB && type != QCOW2_ZSTD)
			return err_set(e, EOPNOTSUPP, "qcow2: compression type %u is not supported", type);
		h->compression = type;
	}
	*ret_header_len = header_len;
	return 0;
}

static int read_backing(struct qcow2_header *h, const uint8_t *b, size_t end, struct err *e)
{
	uint64_t offset = get64(b + 8);
	uint32_t len = get32(b + 16);

	if (offset == 0)
		return 0;
	if (len == 0 || len > QCOW2_BACKING_NAME_MAX || offset > end || len > end - offset)
		return err_set(e, EBADMSG, "qcow2: backing file's name: %u bytes at 0x%llx", len,
			       (unsigned long long)offset);
	memcpy(h->backing, b + offset, len);
	h->backing[len] = '\0';
	if (strlen(h->backing) != len)
		return err_set(e, EBADMSG, "qcow2: a NUL in the backing file's name");
	return 0;
}

int qcow2_header_read(struct qcow2_header *ret_h, const void *bytes, size_t len, struct err *e)
{
	struct qcow2_header h = { 0 };
	const uint8_t *b = bytes, *table = NULL;
	size_t table_len = 0, end;
	uint32_t header_len = QCOW2_V2_HEADER;
	uint64_t name_at;
	int r;

	if (len < 8 || get32(b) != MAGIC)
		return err_set(e, EINVAL, "not a qcow2 image");
	if (len < QCOW2_V2_HEADER)
		return err_set(e, EBADMSG, "qcow2: cut short");
	h.version = get32(b + 4);
	if (h.version != 2 && h.version != 3)
		return err_set(e, EOPNOTSUPP, "qcow2: version %u, only 2 and 3 are known", h.version);
	h.cluster_bits = get32(b + 20);
	if (h.cluster_bits < QCOW2_CLUSTER_BITS_MIN || h.cluster_bits > QCOW2_CLUSTER_BITS_MAX)
		return err_set(e, EBADMSG, "qcow2: clusters of 2^%u bytes, want 2^%d to 2^%d", h.cluster_bits,
			       QCOW2_CLUSTER_BITS_MIN, QCOW2_CLUSTER_BITS_MAX);
	h.size = get64(b + 24);
	if (get32(b + 32) != 0)
		return err_set(e, EOPNOTSUPP, "qcow2: encryption is not supported");
	h.l1_size = get32(b + 36);
	h.l1_offset = get64(b + 40);
	h.reftable_offset = get64(b + 48);
	h.reftable_clusters = get32(b + 56);
	h.n_snapshots = get32(b + 60);
	h.snapshots_offset = get64(b + 64);
	h.refcount_order = 4;
	end = len < 1ULL << h.cluster_bits ? len : (size_t)1 << h.cluster_bits;
	r = h.version == 3 ? read_v3(&h, b, len, &header_len, e) : 0;
	if (r == 0)
		r = read_backing(&h, b, end, e);
	name_at = get64(b + 8);
	if (r == 0) /* extensions end where the backing file's name begins */
		r = read_extensions(&h, b, header_len, name_at > header_len && name_at < end ? name_at : end,
				    &table, &table_len, e);
	if (r == 0)
		r = refuse_features(&h, table, table_len, e);
	if (r == 0)
		r = check_sizes(&h, e);
	if (r == 0)
		*ret_h = h;
	return r;
}

/* --- writing ---------------------------------------------------------------------------------------------- */

struct out {
	uint8_t *to;
	size_t at, size;
};

static void put(struct out *o, const void *bytes, size_t len)
{
	if (len > 0 && o->at <= o->size && len <= o->size - o->at)
		memcpy(o->to + o->at, bytes, len);
	o->at += len;
}

static void put_extension(struct out *o, uint32_t type, const void *bytes, uint32_t len)
{
	static const uint8_t zero[8];
	uint8_t head[8];

	put32(head, type);
	put32(head + 4, len);
	put(o, head, sizeof(head));
	put(o, bytes, len);
	put(o, zero, -len & 7);
}

/* put_features() - the names of the features that hull may set, for programs that do not know them */
static void put_features(struct out *o)
{
	static const struct {
		uint8_t type, bit;
		const char *name;
	} known[] = {
		{ 0, 0, "dirty bit" },
		{ 0, 1, "corrupt bit" },
		{ 0, 3, "compression type" },
		{ 1, 0, "lazy refcounts" },
	};
	uint8_t table[ARRAY_SIZE(known) * FEATURE_ENTRY] = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		table[i * FEATURE_ENTRY] = known[i].type;
		table[i * FEATURE_ENTRY + 1] = known[i].bit;
		memcpy(table + i * FEATURE_ENTRY + 2, known[i].name, strlen(known[i].name));
	}
	put_extension(o, EXT_FEATURES, table, sizeof(table));
}

int qcow2_header_write(const struct qcow2_header *h, void *dst, size_t size)
{
	uint8_t b[QCOW2_V3_HEADER] = { 0 };
	size_t header_len = h->version == 3 ? QCOW2_V3_HEADER : QCOW2_V2_HEADER,
	       name_len = strlen(h->backing);
	struct out o = { dst, header_len, size };

	if (size > 1ULL << h->cluster_bits)
		o.size = (size_t)1 << h->cluster_bits;
	if (h->backing_format[0])
		put_extension(&o, (uint32_t)EXT_BACKING_FORMAT, h->backing_format,
			      (uint32_t)strlen(h->backing_format));
	/* Names are a courtesy: not where a small cluster leaves no room for them. */
	if (h->version == 3 && o.size >= 1024 + name_len + h->extra_len)
		put_features(&o);
	put(&o, h->extra, h->extra_len);
	put_extension(&o, EXT_END, NULL, 0);
	put32(b, MAGIC);
	put32(b + 4, h->version);
	if (name_len) {
		put64(b + 8, o.at);
		put32(b + 16, (uint32_t)name_len);
		put(&o, h->backing, name_len);
	}
	put32(b + 20, h->cluster_bits);
	put64(b + 24, h->size);
	put32(b + 36, h->l1_size);
	put64(b + 40, h->l1_offset);
	put64(b + 48, h->reftable_offset);
	put32(b + 56, h->reftable_clusters);
	put32(b + 60, h->n_snapshots);
	put64(b + 64, h->snapshots_offset);
	if (h->version == 3) {
		put64(b + 72, h->incompatible);
		put64(b + 80, h->compatible);
		put64(b + 88, h->autoclear);
		put32(b + 96, h->refcount_order);
		put32(b + 100, QCOW2_V3_HEADER);
		b[104] = (uint8_t)h->compression;
	}
	if (o.at > o.size || header_len > o.size)
		return -ENOSPC;
	memcpy(dst, b, header_len);
	return (int)o.at;
}

/* --- entries ---------------------------------------------------------------------------------------------- */

struct qcow2_entry qcow2_entry_read(const struct qcow2_header *h, uint64_t raw)
{
	struct qcow2_entry n = { .copied = raw & QCOW2_COPIED };
	uint64_t reserved = ~(QCOW2_COPIED | QCOW2_COMPRESSED | QCOW2_OFFSET | QCOW2_ZERO);

	if (raw & QCOW2_COMPRESSED) {
		unsigned x = 62 - (h->cluster_bits - 8);
		uint64_t sectors;

		n.offset = raw & ((1ULL << x) - 1);
		sectors = ((raw & (QCOW2_COMPRESSED - 1)) >> x) + 1;
		n.bytes = (uint32_t)(sectors * 512 - (n.offset & 511));
		n.kind = n.copied || n.offset == 0 || n.offset > QCOW2_FILE_MAX - n.bytes ?
				 QCOW2_IS_BAD :
				 QCOW2_IS_COMPRESSED;
		return n;
	}
	n.offset = raw & QCOW2_OFFSET;
	if (raw & reserved || n.offset & ((1ULL << h->cluster_bits) - 1) ||
	    (h->version < 3 && raw & QCOW2_ZERO) || (n.copied && n.offset == 0))
		n.kind = QCOW2_IS_BAD;
	else if (raw & QCOW2_ZERO)
		n.kind = n.offset ? QCOW2_IS_ZERO_KEPT : QCOW2_IS_ZERO;
	else
		n.kind = n.offset ? QCOW2_IS_DATA : QCOW2_IS_NONE;
	return n;
}

uint64_t qcow2_refcount_get(const uint8_t *block, unsigned order, uint64_t i)
{
	switch (order) {
	case 6: return get64(block + i * 8);
	case 5: return get32(block + i * 4);
	case 4: return get16(block + i * 2);
	case 3: return block[i];
	default: { /* less than a byte: the first is in the lowest bits */
		unsigned bits = 1U << order, per = 8 / bits;

		return block[i / per] >> (i % per * bits) & ((1U << bits) - 1);
	}
	}
}

void qcow2_refcount_set(uint8_t *block, unsigned order, uint64_t i, uint64_t v)
{
	switch (order) {
	case 6: put64(block + i * 8, v); break;
	case 5: put32(block + i * 4, (uint32_t)v); break;
	case 4: put16(block + i * 2, (uint16_t)v); break;
	case 3: block[i] = (uint8_t)v; break;
	default: {
		unsigned bits = 1U << order, per = 8 / bits, shift = (unsigned)(i % per) * bits;
		unsigned mask = ((1U << bits) - 1) << shift;

		block[i / per] = (uint8_t)((block[i / per] & ~mask) | ((unsigned)v << shift & mask));
	}
	}
}

/* --- snapshots -------------------------------------------------------------------------------------------- */

int qcow2_snapshot_read(struct qcow2_snapshot *ret_s, const struct qcow2_header *h, const void *bytes,
			size_t len, struct err *e)
{
	const uint8_t *b = bytes, *p;
	struct qcow2_snapshot s = { 0 };
	uint32_t id_len, name_len, extra;
	size_t whole;
	int r;

	if (len < SNAPSHOT_FIXED)
		return -ENODATA;
	s.l1_offset = get64(b);
	s.l1_size = get32(b + 8);
	id_len = get16(b + 12);
	name_len = get16(b + 14);
	s.date_s = get32(b + 16);
	s.date_ns = get32(b + 20);
	s.clock_ns = get64(b + 24);
	s.vm_state_bytes = get32(b + 32);
	extra = get32(b + 36);
	if (id_len > QCOW2_SNAPSHOT_ID_MAX || name_len > QCOW2_SNAPSHOT_NAME_MAX || extra > 1024)
		return err_set(e, EBADMSG, "qcow2: a snapshot's id, name and more of %u, %u and %u bytes",
			       id_len, name_len, extra);
	whole = ((size_t)SNAPSHOT_FIXED + extra + id_len + name_len + 7) & ~(size_t)7;
	if (whole > len)
		return -ENODATA;
	r = check_table(h, "a snapshot's L1 table", s.l1_offset, (uint64_t)s.l1_size * 8, QCOW2_L1_BYTES_MAX,
			e);
	if (r < 0)
		return r;
	p = b + SNAPSHOT_FIXED;
	if (extra >= 8)
		s.vm_state_bytes = get64(p);
	s.disk_size = extra >= 16 ? get64(p + 8) : h->size;
	s.icount = extra >= 24 ? get64(p + 16) : UINT64_MAX;
	if (s.disk_size >> 62)
		return err_set(e, EBADMSG, "qcow2: a snapshot of %llu bytes",
			       (unsigned long long)s.disk_size);
	memcpy(s.id, p + extra, id_len);
	memcpy(s.name, p + extra + id_len, name_len);
	*ret_s = s;
	return (int)whole;
}

size_t qcow2_snapshot_write(const struct qcow2_snapshot *s, void *dst)
{
	size_t id_len = strlen(s->id), name_len = strlen(s->name);
	size_t whole = (SNAPSHOT_FIXED + SNAPSHOT_EXTRA + id_len + name_len + 7) & ~(size_t)7;
	uint8_t *b = dst;

	static_assert(SNAPSHOT_FIXED + SNAPSHOT_EXTRA + QCOW2_SNAPSHOT_ID_MAX + QCOW2_SNAPSHOT_NAME_MAX + 8 <=
			      QCOW2_SNAPSHOT_MAX,
		      "an entry fits");
	memset(b, 0, whole);
	put64(b, s->l1_offset);
	put32(b + 8, s->l1_size);
	put16(b + 12, (uint16_t)id_len);
	put16(b + 14, (uint16_t)name_len);
	put32(b + 16, s->date_s);
	put32(b + 20, s->date_ns);
	put64(b + 24, s->clock_ns);
	put32(b + 32, s->vm_state_bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)s->vm_state_bytes);
	put32(b + 36, SNAPSHOT_EXTRA);
	put64(b + 40, s->vm_state_bytes);
	put64(b + 48, s->disk_size);
	put64(b + 56, s->icount);
	memcpy(b + 64, s->id, id_len);
	memcpy(b + 64 + id_len, s->name, name_len);
	return whole;
}
