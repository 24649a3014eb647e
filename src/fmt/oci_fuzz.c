/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/oci.h"

#include <string.h>

#include "base/arena.h"
#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* What the header promises of a specification that was accepted. */
static void check(const struct oci_spec *spec)
{
	BUG_ON(!spec->root_path || !*spec->root_path);
	BUG_ON(spec->has_process && spec->process.cwd[0] != '/');
	for (size_t i = 0; i < spec->n_mounts; i++) {
		BUG_ON(!spec->mounts[i].destination);
		BUG_ON(spec->mounts[i].attr_set & spec->mounts[i].attr_clr &
		       ~UINT64_C(0x70)); /* but atime's field */
	}
	for (size_t i = 0; i < spec->linux.n_devices; i++)
		BUG_ON(spec->linux.devices[i].path[0] != '/');
	for (size_t i = 0; i < spec->linux.masked_paths.n; i++)
		BUG_ON(spec->linux.masked_paths.v[i][0] != '/');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	auto_fini(arena) struct arena a = { 0 };
	struct oci_spec spec = { 0 };
	struct oci_process process = { 0 };
	struct oci_resources resources = { 0 };
	struct err e = { 0 };

	if (oci_spec_parse(&spec, (const char *)data, len, &a, &e) == 0)
		check(&spec);
	else
		BUG_ON(!e.code || !e.text[0] || strchr(e.text, '\n'));
	oci_process_parse(&process, (const char *)data, len, &a, &e);
	oci_resources_parse(&resources, (const char *)data, len, &a, &e);
	return 0;
}
