/* SPDX-License-Identifier: Apache-2.0 */
/* http_fuzz.c - hostile bytes into the request parser: whole, and cut anywhere, must come to the same */
#include "fmt/http.h"

#include <string.h>

#include "base/bug.h"
#include "base/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static ssize_t feed(struct http_request *r, const uint8_t *p, size_t len, size_t run)
{
	size_t at = 0;

	http_request_init(r);
	while (at < len && !r->done) {
		size_t n = len - at < run ? len - at : run;
		ssize_t got = http_request_feed(r, p + at, n);

		if (got < 0)
			return got;
		BUG_ON((size_t)got > n || (!r->done && (size_t)got != n));
		at += (size_t)got;
	}
	return (ssize_t)at;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct http_request a, b;
	ssize_t ra, rb;

	if (size < 1)
		return 0;
	ra = feed(&a, data + 1, size - 1, size);
	rb = feed(&b, data + 1, size - 1, 1 + (size_t)data[0] % 97);
	BUG_ON(ra != rb || a.done != b.done || !a.why != !b.why);
	BUG_ON(ra < 0 && !a.why);
	if (!a.done)
		return 0;
	BUG_ON(!str_eq(a.target, b.target) || a.target[0] != '/' || a.n_fields != b.n_fields ||
	       a.n_fields > HTTP_FIELDS_MAX || a.body_len != b.body_len);
	for (unsigned i = 0; i < a.n_fields; i++)
		BUG_ON(!http_request_field(&a, b.field[i].name) ||
		       strlen(a.field[i].value) != strlen(b.field[i].value) ||
		       strchr(a.field[i].value, '\r'));
	return 0;
}
