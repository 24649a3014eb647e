/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/multiboot.h"

#include "base/bug.h"
#include "base/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err e = { 0 };
	struct multiboot m = { 0 };
	int r = multiboot_find(&m, data, size, &e);

	BUG_ON(r < 0 && !e.code);
	BUG_ON(r > 0 && m.offset + 12 > size);
	BUG_ON(r > 0 && m.has_addresses && m.header_addr - m.load_addr > m.offset);
	return 0;
}
