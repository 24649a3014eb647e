/* SPDX-License-Identifier: Apache-2.0 */
/* snapshot_fuzz.c - the records of a snapshot, read as a forger wrote them; what passes is checked as a configuration is */
#include <stdlib.h>

#include "base/err.h"
#include "fmt/record.h"
#include "vm/snapshot_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct cpu_scratch s;
	struct machine_config c;
	struct machine_source source = { .fd = -1 };
	struct err e = { 0 };
	struct record_in in;
	unsigned n;

	machine_config_defaults(&c);
	record_init(&in, data, size, &e);
	snapshot__config_restore(&c, &in);
	snapshot__layout_restore(&source, &in);
	snapshot__cpu_restore(&s.state, s.table, &n, &in);
	if (record_finish(&in) == 0) {
		machine__config_check_saved(&c, &e);
		snapshot__cpuid_fits(s.table, n, s.host, 0, &e);
	}
	machine_config_fini(&c);
	return 0;
}
