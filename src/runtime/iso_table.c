/* SPDX-License-Identifier: Apache-2.0 */
/* iso_table.c - the one file that knows every level; order is order of preference */
#include "base/bug.h"
#include "base/err.h"
#include "runtime/runtime.h"

static const struct iso_ops *const iso_table[] = { &iso_container };

const struct iso_ops *iso_find(const char *name, struct err *e)
{
	char known[128] = "";
	size_t len = 0;

	for (size_t i = 0; i < ARRAY_SIZE(iso_table); i++) {
		if (!name || str_eq(name, iso_table[i]->name))
			return iso_table[i];
		if (len < sizeof(known))
			len += str_format(known + len, sizeof(known) - len, "%s%s", i ? ", " : "",
					  iso_table[i]->name);
	}
	err_set(e, EINVAL, "no isolation level '%.32s': this hull has %s", name, known);
	return NULL;
}
