/* SPDX-License-Identifier: Apache-2.0 */
/* json_fuzz.c - json_parse() and jansson, on the same bytes, must agree on what is JSON where they mean to */
#include "fmt/json.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/bug.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void put(struct json_out *o, const struct json_value *v)
{
	switch (v->kind) {
	case JV_LIST:
	case JV_OBJECT:
		json_put_open(o, v->key, v->kind == JV_LIST ? '[' : '{');
		for (uint32_t i = 0; i < v->n; i++)
			put(o, &v->item[i]);
		json_put_close(o, v->kind == JV_LIST ? ']' : '}');
		break;
	case JV_STRING: json_put_str(o, v->key, v->string); break;
	case JV_UINT: json_put_u64(o, v->key, v->number); break;
	case JV_NEGATIVE: json_put_i64(o, v->key, v->negative); break;
	case JV_BOOL: json_put_bool(o, v->key, v->truth); break;
	default: json_put_raw(o, v->key, "null"); break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	auto_fini(arena) struct arena a = { 0 };
	auto_fini(buf) struct buf text = { 0 };
	struct err e = { 0 };
	struct json_doc doc = { .arena = &a, .e = &e }, again = { .arena = &a };
	struct json_out o = { .to = &text };
	struct json_at root = json_parse(&doc, (const char *)data, len);
	json_error_t why;
	json_t *tree = json_loadb((const char *)data, len, JSON_DECODE_ANY, &why);
	bool numbers = !tree && json_error_code(&why) == json_error_numeric_overflow; /* ours are wider */

	/* jansson allows more nesting, and a NUL byte behind a number */
	BUG_ON(tree && doc.rc < 0 && !strstr(e.text, "less nesting") && !memchr(data, 0, len));
	BUG_ON(!tree && doc.rc == 0 && !numbers);
	json_decref(tree);
	if (doc.rc == 0) {
		put(&o, root.value);
		json_parse(&again, buf_str(&text), text.len);
		BUG_ON(again.rc < 0); /* what we write, we read */
	}
	return 0;
}
