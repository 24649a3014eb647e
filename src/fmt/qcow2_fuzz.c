/* SPDX-License-Identifier: Apache-2.0 */
/* qcow2_fuzz.c - hostile bytes as a header, as entries and as a snapshot list; what is accepted survives writing and reading again */
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/err.h"
#include "fmt/qcow2.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void again(const struct qcow2_header *h)
{
	static uint8_t out[QCOW2_HEADER_MAX];
	static struct qcow2_header back;
	struct err e = { 0 };
	int n = qcow2_header_write(h, out, sizeof(out));

	if (n < 0)
		return; /* no room in a small cluster */
	BUG_ON(qcow2_header_read(&back, out, (size_t)n, &e) < 0);
	BUG_ON(back.size != h->size || back.l1_size != h->l1_size || strcmp(back.backing, h->backing) != 0);
	BUG_ON(back.incompatible != h->incompatible || back.extra_len != h->extra_len);
}

static void snapshots(const struct qcow2_header *h, const uint8_t *p, size_t len)
{
	struct qcow2_snapshot s, back;
	uint8_t out[QCOW2_SNAPSHOT_MAX];
	int n;

	while ((n = qcow2_snapshot_read(&s, h, p, len, NULL)) > 0) {
		size_t m = qcow2_snapshot_write(&s, out);

		BUG_ON(qcow2_snapshot_read(&back, h, out, m, NULL) != (int)m);
		BUG_ON(strcmp(s.id, back.id) != 0 || s.disk_size != back.disk_size);
		p += n;
		len -= (size_t)n;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct qcow2_header h;
	struct err e = { 0 };
	int r = qcow2_header_read(&h, data, size < QCOW2_HEADER_MAX ? size : QCOW2_HEADER_MAX, &e);

	BUG_ON(r < 0 && (e.code == 0 || strchr(e.text, '\n')));
	if (r < 0)
		return 0;
	again(&h);
	snapshots(&h, data, size);
	for (size_t i = 0; i + 8 <= size; i += 8) {
		uint64_t raw;
		struct qcow2_entry n;

		memcpy(&raw, data + i, 8);
		n = qcow2_entry_read(&h, raw);
		BUG_ON(n.kind == QCOW2_IS_DATA &&
		       (n.offset == 0 || n.offset & ((1ULL << h.cluster_bits) - 1)));
		BUG_ON(n.kind == QCOW2_IS_COMPRESSED && (n.bytes == 0 || n.bytes > 2U << h.cluster_bits));
	}
	return 0;
}
