/* SPDX-License-Identifier: Apache-2.0 */
/* qcow2_make.c - a new, empty image: header, refcount table, refcount blocks, L1 table, in this order */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "blk/blk_internal.h"
#include "blk/qcow2.h"
#include "sys/call.h"

const struct qcow2_create qcow2_create_default = { .version = 3, .cluster = 64 << 10, .refcount_bits = 16 };

struct layout {
	uint64_t table, blocks, l1, total; /* clusters */
};

static int check(const struct qcow2_create *c, struct err *e)
{
	if (c->version != 2 && c->version != 3)
		return err_set(e, EINVAL, "qcow2: version %u, want 2 or 3", c->version);
	if (c->cluster < 1U << QCOW2_CLUSTER_BITS_MIN || c->cluster > 1U << QCOW2_CLUSTER_BITS_MAX ||
	    c->cluster & (c->cluster - 1))
		return err_set(e, EINVAL, "cluster size %u: want a power of two from 512 to 2M", c->cluster);
	if (!c->refcount_bits || c->refcount_bits > 64 || c->refcount_bits & (c->refcount_bits - 1))
		return err_set(e, EINVAL, "refcounts of %u bits: want a power of two up to 64",
			       c->refcount_bits);
	if (c->version == 2 && (c->refcount_bits != 16 || c->lazy_refcounts || c->compression != QCOW2_ZLIB))
		return err_set(e, EINVAL,
			       "qcow2: version 2 has refcounts of 16 bits, never lazy, and compression zlib");
	if (c->size % BLK_SECTOR || c->size >> BLK_SIZE_MAX_BITS)
		return err_set(e, EINVAL, "size %llu: want whole sectors of %d bytes",
			       (unsigned long long)c->size, BLK_SECTOR);
	return 0;
}

static uint64_t up(uint64_t a, uint64_t b)
{
	return a / b + (a % b != 0);
}

static int plan(struct layout *l, const struct qcow2_create *c, struct err *e)
{
	uint64_t span = (uint64_t)c->cluster * (c->cluster / 8),
		 per_block = (uint64_t)c->cluster * 8 / c->refcount_bits;
	uint64_t entries = up(c->size, span);

	if (entries > QCOW2_L1_BYTES_MAX / 8)
		return err_set(e, EFBIG, "a disk of %llu bytes needs larger clusters than %u bytes",
			       (unsigned long long)c->size, c->cluster);
	*l = (struct layout){ .table = 1, .blocks = 1, .l1 = up(entries * 8, c->cluster) };
	for (;;) { /* blocks count themselves */
		uint64_t blocks, table;

		l->total = 1 + l->table + l->blocks + l->l1;
		blocks = up(l->total, per_block);
		table = up(blocks * 8, c->cluster);
		if (blocks == l->blocks && table == l->table)
			return 0;
		l->blocks = blocks > l->blocks ? blocks : l->blocks;
		l->table = table > l->table ? table : l->table;
		if (blocks < l->blocks || table < l->table)
			return 0;
	}
}

static int write_refcounts(int fd, const struct qcow2_create *c, const struct layout *l)
{
	uint64_t bytes = l->table * c->cluster, per_block = (uint64_t)c->cluster * 8 / c->refcount_bits;
	auto_free uint64_t *table = calloc(1, bytes);
	auto_free uint8_t *block = malloc(c->cluster);
	unsigned order = (unsigned)__builtin_ctz(c->refcount_bits);
	int r = 0;

	if (!table || !block)
		return -ENOMEM;
	for (uint64_t i = 0; i < l->blocks && r == 0; i++) {
		uint64_t at = (1 + l->table + i) * c->cluster;

		table[i] = htobe64(at);
		memset(block, 0, c->cluster);
		for (uint64_t k = 0; k < per_block && i * per_block + k < l->total; k++)
			qcow2_refcount_set(block, order, k, 1);
		r = plain_write(fd, block, c->cluster, at);
	}
	return r < 0 ? r : plain_write(fd, table, bytes, c->cluster);
}

int qcow2_make(int fd, const struct qcow2_create *c, struct err *e)
{
	auto_free uint8_t *bytes = NULL;
	auto_free struct qcow2_header *h = calloc(1, sizeof(*h));
	struct layout l = { 0 };
	int r = check(c, e), len;

	r = r < 0 ? r : plan(&l, c, e);
	if (r < 0)
		return r;
	bytes = calloc(1, c->cluster);
	if (!bytes || !h)
		return err_sys(e, ENOMEM, "qcow2");
	h->version = c->version;
	h->cluster_bits = (uint32_t)__builtin_ctz(c->cluster);
	h->refcount_order = (uint32_t)__builtin_ctz(c->refcount_bits);
	h->size = c->size;
	h->l1_size = (uint32_t)up(c->size, (uint64_t)c->cluster * (c->cluster / 8));
	h->l1_offset = h->l1_size ? (1 + l.table + l.blocks) * c->cluster : 0;
	h->reftable_offset = c->cluster;
	h->reftable_clusters = (uint32_t)l.table;
	h->compatible = c->lazy_refcounts ? QCOW2_COMPATIBLE_LAZY : 0;
	h->compression = c->compression;
	h->incompatible = c->compression != QCOW2_ZLIB ? QCOW2_INCOMPATIBLE_COMPRESS : 0;
	if (!str_copy(h->backing, sizeof(h->backing), c->backing ? c->backing : "") ||
	    !str_copy(h->backing_format, sizeof(h->backing_format),
		      c->backing_format ? c->backing_format : ""))
		return err_sys(e, ENAMETOOLONG, "backing file '%s'", c->backing);
	len = qcow2_header_write(h, bytes, c->cluster);
	if (len < 0)
		return err_sys(e, -len, "header: a cluster of %u bytes is too small for it", c->cluster);
	r = (int)SYS2(SYS_ftruncate, fd, l.total * c->cluster);
	r = r < 0 ? r : write_refcounts(fd, c, &l);
	r = r < 0 ? r : plain_write(fd, bytes, (size_t)len, 0); /* last: before it, the file is no image */
	return r < 0 ? err_sys(e, -r, "qcow2") : 0;
}
