/* SPDX-License-Identifier: Apache-2.0 */
#include "base/bug.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"

void bug_die(const char *expr, const char *file, int line)
{
	char text[256];
	size_t n = str_format(text, sizeof(text), "hull: BUG at %s:%d: %s\n", file, line, expr);

	if (n >= sizeof(text))
		n = sizeof(text) - 1;
	if (write(STDERR_FILENO, text, n) < 0)
		abort();
	abort();
}
