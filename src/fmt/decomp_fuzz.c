/* SPDX-License-Identifier: Apache-2.0 */
/* decomp_fuzz.c - hostile bytes into the decoders, in two runs so that one boundary falls anywhere */
#include "fmt/decomp.h"

#include <stddef.h>

#include "base/bug.h"
#include "base/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OUT_MAX = 4 << 20 }; /* a few bytes may decode to gigabytes; more of the same finds nothing new */

struct bytes {
	const uint8_t *p;
	size_t len, first;
};

static ssize_t next(void *arg, const uint8_t **ret, struct err *e)
{
	struct bytes *b = arg;
	size_t n = b->first && b->first < b->len ? b->first : b->len;

	(void)e;
	*ret = b->p;
	b->p += n;
	b->len -= n;
	b->first = 0;
	return (ssize_t)n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes b = { data, size, size > 1 ? 6 + data[size - 1] : 0 };
	struct decomp *d = NULL;
	struct err e = { 0 };
	struct source out;
	const uint8_t *p;
	size_t all = 0;
	ssize_t n;

	int r = size > 0 && data[0] == 0x5d ? decomp_new_as(&d, &(struct source){ next, &b }, "lzma", &e) :
					      decomp_new(&d, &(struct source){ next, &b }, &e);

	if (r < 0)
		return 0;
	out = decomp_source(d);
	while ((n = out.next(out.arg, &p, &e)) > 0 && all < OUT_MAX)
		all += (size_t)n;
	BUG_ON(n < 0 && !e.code);
	decomp_free(d);
	return 0;
}
