/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qcow2.h - bytes of a qcow2 image's header, tables and snapshot list <-> structs; no input or output
 *
 * Whatever is read here may come from anybody: each count and offset is checked against a named limit before it is used, and what
 * hull does not do (encryption, external data files, extended L2 entries, features it has no name for) is refused by name.
 *
 * Spec: QEMU docs/interop/qcow2.txt
 */
#ifndef FMT_QCOW2_H
#define FMT_QCOW2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

enum {
	QCOW2_CLUSTER_BITS_MIN = 9,
	QCOW2_CLUSTER_BITS_MAX = 21,
	QCOW2_HEADER_MAX = 64 << 10, /* bytes of the file that qcow2_header_read() looks at */
	QCOW2_BACKING_NAME_MAX = 1023,
	QCOW2_FORMAT_MAX = 31,
	QCOW2_EXTRA_MAX = 2048, /* bytes of header extensions that are kept though unknown */
	QCOW2_L1_BYTES_MAX = 32 << 20,
	QCOW2_REFTABLE_BYTES_MAX = 8 << 20,
	QCOW2_SNAPSHOTS_MAX = 1024,
	QCOW2_SNAPSHOT_BYTES_MAX = 1 << 20, /* of the whole list */
	QCOW2_SNAPSHOT_ID_MAX = 127,
	QCOW2_SNAPSHOT_NAME_MAX = 255,
	QCOW2_V2_HEADER = 72,
	QCOW2_V3_HEADER = 112,
};

/* Offsets of fields that are changed alone. */
enum {
	QCOW2_AT_SIZE = 24,
	QCOW2_AT_L1 = 36,       /* u32 entries, u64 offset */
	QCOW2_AT_REFTABLE = 48, /* u64 offset, u32 clusters */
	QCOW2_AT_SNAPSHOTS = 60 /* u32 number, u64 offset */,
	QCOW2_AT_INCOMPATIBLE = 72,
	QCOW2_AT_AUTOCLEAR = 88,
};

#define QCOW2_INCOMPATIBLE_DIRTY    1ULL
#define QCOW2_INCOMPATIBLE_CORRUPT  2ULL
#define QCOW2_INCOMPATIBLE_DATAFILE 4ULL
#define QCOW2_INCOMPATIBLE_COMPRESS 8ULL
#define QCOW2_INCOMPATIBLE_EXTL2    16ULL
#define QCOW2_COMPATIBLE_LAZY       1ULL

#define QCOW2_COPIED     (1ULL << 63)
#define QCOW2_COMPRESSED (1ULL << 62)
#define QCOW2_ZERO       1ULL
#define QCOW2_OFFSET     0x00fffffffffffe00ULL
#define QCOW2_FILE_MAX   (1ULL << 56)

enum qcow2_compression { QCOW2_ZLIB, QCOW2_ZSTD };

struct qcow2_header {
	uint32_t version, cluster_bits, refcount_order;
	uint64_t size;
	uint32_t l1_size; /* entries */
	uint64_t l1_offset;
	uint64_t reftable_offset;
	uint32_t reftable_clusters;
	uint32_t n_snapshots;
	uint64_t snapshots_offset;
	uint64_t incompatible, compatible, autoclear;
	enum qcow2_compression compression;
	char backing[QCOW2_BACKING_NAME_MAX + 1]; /* "": none */
	char backing_format[QCOW2_FORMAT_MAX + 1];
	uint8_t extra[QCOW2_EXTRA_MAX]; /* unknown extensions, whole, padded */
	size_t extra_len;
};

/**
 * qcow2_header_read() - check and take apart the first bytes of an image
 * @len: at most QCOW2_HEADER_MAX, or the whole file when it is shorter
 * Return: 0; -EINVAL no qcow2, -EOPNOTSUPP a feature hull has not, -EBADMSG makes no sense; with @e
 */
int qcow2_header_read(struct qcow2_header *ret_h, const void *bytes, size_t len, struct err *e);

/* qcow2_header_write() - the whole header, with extensions and backing name. Return: bytes; -ENOSPC more than @size or a cluster. */
int qcow2_header_write(const struct qcow2_header *h, void *dst, size_t size);

enum qcow2_kind {
	QCOW2_IS_NONE,      /* the backing file's, or zeroes */
	QCOW2_IS_ZERO,      /* zeroes, no cluster */
	QCOW2_IS_ZERO_KEPT, /* zeroes, with a cluster kept for later */
	QCOW2_IS_DATA,
	QCOW2_IS_COMPRESSED,
	QCOW2_IS_BAD
};

struct qcow2_entry {
	enum qcow2_kind kind;
	bool copied;     /* nobody else has the cluster */
	uint64_t offset; /* in the file; of a compressed one not aligned */
	uint32_t bytes;  /* compressed only: at most so many */
};

/* qcow2_entry_read() - an L2 entry, host byte order. */
struct qcow2_entry qcow2_entry_read(const struct qcow2_header *h, uint64_t raw);

/* qcow2_refcount_get(), _set() - entry @i of a refcount block, or of any part of one that begins at a whole byte. */
uint64_t qcow2_refcount_get(const uint8_t *block, unsigned order, uint64_t i);
void qcow2_refcount_set(uint8_t *block, unsigned order, uint64_t i, uint64_t v);

struct qcow2_snapshot {
	uint64_t l1_offset;
	uint32_t l1_size;
	char id[QCOW2_SNAPSHOT_ID_MAX + 1], name[QCOW2_SNAPSHOT_NAME_MAX + 1];
	uint32_t date_s, date_ns;
	uint64_t clock_ns, vm_state_bytes, disk_size, icount;
};

/* qcow2_snapshot_read() - one entry. Return: bytes it takes; -ENODATA more bytes are needed; -EBADMSG with @e. */
int qcow2_snapshot_read(struct qcow2_snapshot *ret_s, const struct qcow2_header *h, const void *bytes,
			size_t len, struct err *e);
/* qcow2_snapshot_write() - into @dst of at least QCOW2_SNAPSHOT_MAX bytes. Return: bytes. */
enum { QCOW2_SNAPSHOT_MAX = 512 };
size_t qcow2_snapshot_write(const struct qcow2_snapshot *s, void *dst);

#endif
