/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/image.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "fmt/digest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_desc(const struct image_desc *d)
{
	if (!digest_valid(d->digest))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_fini(arena) struct arena a = { 0 };
	auto_fini(buf) struct buf b = { 0 };
	const char *text = (const char *)data;
	struct image_config c;
	struct image_manifest m;
	struct image_index x;
	struct image_archive r;
	struct err e = { 0 };

	if (image_config_parse(&a, text, size, &c, &e) == 0) {
		for (size_t i = 0; i < c.n_layers; i++)
			if (!digest_valid(c.diff_ids[i]))
				abort();
		image_config_with_layers(text, size, c.diff_ids, c.n_layers, &b, &e);
	}
	if (image_manifest_parse(&a, text, size, &m, &e) == 0) {
		check_desc(&m.config);
		for (size_t i = 0; i < m.n_layers; i++)
			check_desc(&m.layers[i]);
		image_manifest_put(&b, &m);
	}
	if (image_index_parse(&a, text, size, &x, &e) == 0) {
		for (size_t i = 0; i < x.n_manifests; i++)
			check_desc(&x.manifests[i]);
		image_index_put(&b, &x);
	}
	if (image_archive_parse(&a, text, size, &r, &e) == 0)
		image_archive_put(&b, &r);
	return 0;
}
