/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <string.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/guard.h"
#include "fmt/dockerfile.h"

static const char *lookup(void *arg, const char *name)
{
	(void)arg;
	return *name == 'a' ? "va/lue" : *name == 'e' ? "" : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_fini(arena) struct arena a = { 0 };
	struct dockerfile df;
	struct err e = { 0 };

	if (dockerfile_parse(&df, "Dockerfile", (const char *)data, size, &a, &e) < 0)
		return 0;
	for (size_t i = 0; i < df.n_inst; i++) {
		const struct df_vars vars = { .lookup = lookup, .escape = df.escape };
		const struct df_inst *inst = &df.inst[i];
		char *out;

		for (size_t w = 0; inst->words && w < inst->n_words; w++)
			df_expand(&vars, inst->words[w], &out, &a, &e);
		for (size_t p = 0; p < inst->n_pairs; p++)
			df_expand(&vars, inst->pairs[p].value ? inst->pairs[p].value : "", &out, &a, &e);
		for (size_t d = 0; d < inst->n_docs; d++)
			df_expand_doc(&vars, inst->docs[d].text, &out, &a, &e);
	}
	return 0;
}
