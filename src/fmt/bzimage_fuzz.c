/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/bzimage.h"

#include "base/bug.h"
#include "base/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err e = { 0 };
	struct bzimage z;

	bzimage_compression(data, size);
	if (bzimage_parse(&z, data, size < BZIMAGE_HEAD_BYTES ? size : BZIMAGE_HEAD_BYTES, size, &e) < 0)
		BUG_ON(!e.code);
	else
		BUG_ON(z.payload_offset > size || z.payload_bytes > size - z.payload_offset ||
		       z.setup_bytes > BZIMAGE_SETUP_BYTES);
	return 0;
}
