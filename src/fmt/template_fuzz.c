/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/template.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const char value[] =
		"{\"ID\":\"abc\",\"N\":3,\"F\":1.5,\"T\":true,\"Z\":null,\"L\":[\"a\",{\"b\":[1]}],"
		"\"M\":{\"k\":\"v\",\"c.d\":\"w\"}}";
	auto_fini(buf) struct buf out = { 0 };
	auto_fini(buf) struct buf head = { 0 };
	auto_free char *format = strndup((const char *)data, len);
	struct err e = { 0 };
	json_t *tree = json_loads(value, 0, NULL);

	BUG_ON(!format || !tree);
	if (template_render(format, tree, &out, &e) < 0)
		BUG_ON(!e.code || !e.text[0] || strchr(e.text, '\n'));
	template_header(format, NULL, &head, &e);
	json_decref(tree);
	return 0;
}
