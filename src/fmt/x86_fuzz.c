/* SPDX-License-Identifier: Apache-2.0 */
/* x86_fuzz.c - any bytes, in each mode: never past their end, and the same again from a copy */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "fmt/x86.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const unsigned bits[] = { 16, 32, 64 };

	for (size_t m = 0; m < ARRAY_SIZE(bits); m++) {
		uint8_t *copy = malloc(size ? size : 1); /* of the very size: a byte too far is seen */
		struct x86_insn a, b;
		int r, again;

		if (!copy)
			return 0;
		memcpy(copy, data, size);
		r = x86_decode(&a, copy, size, bits[m]);
		BUG_ON(r > (int)size || r > X86_INSN_MAX);
		again = x86_decode(&b, data, size, bits[m]);
		BUG_ON(r != again || (r > 0 && (a.class != b.class || a.len != b.len)));
		free(copy);
	}
	return 0;
}
