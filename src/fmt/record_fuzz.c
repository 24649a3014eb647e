/* SPDX-License-Identifier: Apache-2.0 */
/* record_fuzz.c - hostile records, walked by a script of reads that the input's first bytes choose */
#include <string.h>

#include "base/bug.h"
#include "base/err.h"
#include "fmt/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void step(struct record_in *in, uint8_t what)
{
	char tag[RECORD_TAG_MAX + 1], text[32], bytes[64];

	switch (what % 8) {
	case 0:
		if (record_peek(in, tag))
			record_open(in, tag, what >> 3);
		break;
	case 1: record_open(in, "A", what >> 3); break;
	case 2:
		if (in->depth > 0)
			record_close(in);
		break;
	case 3: record_get(in, bytes, what >> 3); break;
	case 4: record_get_str(in, text, 1 + (what >> 3)); break;
	case 5: record_get_u64(in); break;
	case 6: record_take(in, (size_t)1 << (what >> 3)); break;
	default: record_get_u16(in); break;
	}
	BUG_ON(in->at > in->end || in->depth > RECORD_DEPTH_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err e = { 0 };
	struct record_in in;
	size_t n;

	if (size < 1)
		return 0;
	n = data[0] % 64;
	if (n + 1 > size)
		return 0;
	record_init(&in, data + 1 + n, size - 1 - n, &e);
	for (size_t i = 0; i < n; i++)
		step(&in, data[1 + i]);
	while (in.depth > 0 && in.rc == 0)
		record_close(&in);
	BUG_ON(record_finish(&in) < 0 && !e.text[0]);
	return 0;
}
