/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gso_fuzz.c - another guest's frame and header into what checks and cuts it
 */
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "net/gso.h"
#include "net/link.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t out[LINK_FRAME_MAX];
	struct iovec iov[] = { { out, 40 }, { out + 40, sizeof(out) - 40 } };
	struct gso_need need;
	struct gso_cut c;
	size_t len;
	uint8_t *eth;

	if (size < LINK_HDR_BYTES + LINK_ETH_BYTES || size > LINK_FRAME_MAX)
		return 0;
	len = size - LINK_HDR_BYTES;
	if (gso_check(&need, data, len) < 0)
		return 0;
	eth = malloc(len); /* exactly: a byte beyond is found */
	BUG_ON(!eth);
	memcpy(eth, data + LINK_HDR_BYTES, len);
	if (gso_cut_start(&c, &need, eth, len) == 0) {
		size_t frames = 0;

		while (gso_cut_more(&c)) {
			long r = gso_cut_next(&c, iov, 2);

			BUG_ON(r == 0 || r > LINK_FRAME_MAX || ++frames > LINK_FRAME_MAX / 48 + 1);
		}
	}
	free(eth);
	return 0;
}
