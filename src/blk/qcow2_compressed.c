/* SPDX-License-Identifier: Apache-2.0 */
/* qcow2_compressed.c - one cluster out of its compressed form; hull reads these and never writes them */
#include <errno.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#include "base/guard.h"
#include "blk/qcow2_internal.h"

enum { WINDOW_BITS = -15 }; /* raw deflate; writers use 12, any fits */

static int inflate_cluster(struct qcow2 *q, const uint8_t *in, uint32_t len)
{
	z_stream z = {
		.next_in = (Bytef *)in, .avail_in = len, .next_out = q->plain, .avail_out = (uInt)q->cluster
	};
	int r;

	if (inflateInit2(&z, WINDOW_BITS) != Z_OK)
		return -ENOMEM;
	r = inflate(&z, Z_FINISH);
	inflateEnd(&z);
	/* The input's length is in sectors, so something may follow; the output must be all there. */
	return z.avail_out == 0 && (r == Z_STREAM_END || r == Z_BUF_ERROR) ? 0 : -EIO;
}

static int unzstd_cluster(struct qcow2 *q, const uint8_t *in, uint32_t len)
{
	ZSTD_DStream *d = ZSTD_createDStream();
	ZSTD_inBuffer from = { in, len, 0 };
	ZSTD_outBuffer to = { q->plain, q->cluster, 0 };
	size_t r = 1;

	if (!d)
		return -ENOMEM;
	ZSTD_DCtx_setParameter(d, ZSTD_d_windowLogMax, QCOW2_CLUSTER_BITS_MAX + 2);
	while (to.pos < to.size && from.pos < from.size) {
		r = ZSTD_decompressStream(d, &to, &from);
		if (ZSTD_isError(r))
			break;
	}
	ZSTD_freeDStream(d);
	return to.pos == to.size && !ZSTD_isError(r) ? 0 : -EIO;
}

int compressed_read(struct qcow2 *q, uint64_t raw, const uint8_t **ret_cluster)
{
	struct qcow2_entry n = qcow2_entry_read(&q->h, raw);
	auto_free uint8_t *in = NULL;
	int r;

	if (q->plain_of == raw) {
		*ret_cluster = q->plain;
		return 0;
	}
	if (!q->plain)
		q->plain = malloc(q->cluster);
	in = malloc(n.bytes);
	if (!q->plain || !in)
		return -ENOMEM;
	q->plain_of = 0;
	r = plain_read(q->blk.fd, in, n.bytes, n.offset);
	if (r == 0)
		r = q->h.compression == QCOW2_ZSTD ? unzstd_cluster(q, in, n.bytes) :
						     inflate_cluster(q, in, n.bytes);
	if (r < 0)
		return r;
	q->plain_of = raw;
	*ret_cluster = q->plain;
	return 0;
}
