/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <string.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/guard.h"
#include "fmt/dockerignore.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_fini(arena) struct arena a = { 0 };
	const char *paths[] = { "a", "a/b/c", "dir/file.o", "x", ".git/config", "[a]/*" };
	struct dockerignore di;
	struct err e = { 0 };

	if (dockerignore_parse(&di, ".dockerignore", (const char *)data, size, &a, &e) < 0)
		return 0;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		dockerignore_excludes(&di, paths[i]);
	return 0;
}
