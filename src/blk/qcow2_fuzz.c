/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qcow2_fuzz.c - a hostile image: opened, checked, read, written to, snapshots and all; nothing but its own file may change, and no
 * guest's write may reach the header
 *
 * The input is a list of changes to a good image: it would take long to find one by chance.
 */
#include "blk/qcow2.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CLUSTER = 512, DISK_BYTES = 256 << 10, CHANGES_MAX = 40 };

struct in {
	const uint8_t *p, *end;
};

static uint64_t take(struct in *in, unsigned n)
{
	uint64_t v = 0;

	while (n-- > 0 && in->p < in->end)
		v = v << 8 | *in->p++;
	return v;
}

static struct blk *open_image(int fd, bool readonly, struct err *e)
{
	struct blk_options o = {
		.format = "qcow2", .readonly = readonly, .no_sync = true, .backing_dirfd = -1
	};
	int copy = dup(fd);
	struct blk *b;

	BUG_ON(copy < 0);
	return blk_open(&b, copy, &o, e) < 0 ? NULL : b;
}

/* good_image() - data, a snapshot, data over it; its bytes are kept for the next time */
static int good_image(void)
{
	static uint8_t kept[256 << 10];
	static ssize_t kept_len;
	struct qcow2_create c = qcow2_create_default;
	int fd = memfd_create("image", MFD_CLOEXEC);
	uint8_t buf[6000];
	struct err e = { 0 };
	struct blk *b;

	BUG_ON(fd < 0);
	if (kept_len) {
		BUG_ON(pwrite(fd, kept, (size_t)kept_len, 0) != kept_len);
		return fd;
	}
	c.size = DISK_BYTES;
	c.cluster = CLUSTER;
	memset(buf, 7, sizeof(buf));
	BUG_ON(qcow2_make(fd, &c, NULL) < 0);
	b = open_image(fd, false, &e);
	BUG_ON(!b || blk_pwrite(b, buf, sizeof(buf), 0) < 0 || qcow2_snapshot_create(b, "one", &e) < 0);
	BUG_ON(blk_pwrite(b, buf, 2000, 3000) < 0 || blk_pwrite(b, buf, 2000, 100000) < 0);
	blk_close(b);
	kept_len = pread(fd, kept, sizeof(kept), 0);
	return fd;
}

static void change(int fd, struct in *in)
{
	uint64_t n = take(in, 1) % CHANGES_MAX;

	for (uint64_t i = 0; i < n; i++) {
		uint64_t at = take(in, 2), how = take(in, 1);
		uint8_t bytes[8];
		unsigned len = 1 + how % 8;
		uint64_t v = take(in, len > 3 ? 3 : len);

		if (how & 64) /* an entry: a cluster, with marks */
			v = (take(in, 1) % 200 * CLUSTER) | (how & 128 ? 1ULL << 63 : 0), at &= ~7ULL,
			len = 8;
		for (unsigned k = 0; k < 8; k++)
			bytes[k] = (uint8_t)(v >> (8 * (7 - k)));
		BUG_ON(pwrite(fd, bytes + 8 - len, len, (off_t)at) != (ssize_t)len);
	}
}

static void use(struct blk *b, struct in *in)
{
	static uint8_t buf[20000];
	struct qcow2_check found;
	uint64_t len, offset, n;
	bool data;

	while (in->p < in->end) {
		unsigned op = (unsigned)take(in, 1);

		offset = take(in, 3) % (blk_size(b) ? blk_size(b) : 1);
		n = take(in, 2) % sizeof(buf);
		switch (op % 9) {
		case 0: blk_pread(b, buf, n, offset); break;
		case 1:
		case 2: blk_pwrite(b, buf, n, offset); break;
		case 3: blk_discard(b, offset, n); break;
		case 4: blk_zeroes(b, offset, n, op & 64); break;
		case 5: blk_map(b, offset, &len, &data); break;
		case 6: blk_flush(b); break;
		case 7:
			qcow2_check(b, op & 64 ? QCOW2_FIX_ALL : QCOW2_FIX_NONE, &found, NULL, NULL, NULL);
			break;
		default:
			if (op & 64)
				qcow2_snapshot_create(b, op & 128 ? "one" : "two", NULL);
			else if (op & 128)
				qcow2_snapshot_apply(b, "one", NULL);
			else
				qcow2_snapshot_delete(b, "one", NULL);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct in in = { data, data + size };
	int fd = good_image();
	uint8_t before[20], after[20];
	struct err e = { 0 };
	struct blk *b;
	bool readonly = take(&in, 1) % 4 == 0;

	change(fd, &in);
	BUG_ON(pread(fd, before, sizeof(before), 0) != sizeof(before));
	b = open_image(fd, readonly, &e);
	BUG_ON(!b && (!e.code || strchr(e.text, '\n')));
	if (b && blk_size(b) <= 64 << 20)
		use(b, &in);
	blk_close(b);
	/* magic, version, and above all the backing file's name */
	BUG_ON(pread(fd, after, sizeof(after), 0) != sizeof(after) ||
	       memcmp(before, after, sizeof(after)) != 0);
	close(fd);
	return 0;
}
