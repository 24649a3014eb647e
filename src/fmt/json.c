/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/json.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

enum { PATH_BYTES_MAX = 256, TEXT_BYTES_MAX = 384, NAMES_BYTES_MAX = 256 };

int json_finish(const struct json_doc *doc)
{
	return doc->rc;
}

/* path_put() - "linux.namespaces[2].type"; control characters of a key become '?': one line it stays. */
static size_t path_put(const struct json_at *at, char *to, size_t size)
{
	size_t len, from;

	if (!at || (!at->up && !at->key))
		return 0;
	len = path_put(at->up, to, size);
	from = len;
	if (at->key)
		len += str_format(to + len, size - len, "%s%s", len ? "." : "", at->key);
	else
		len += str_format(to + len, size - len, "[%zu]", at->index);
	if (len >= size)
		len = size - 1;
	for (; from < len; from++)
		if ((unsigned char)to[from] < 0x20 || to[from] == 0x7f)
			to[from] = '?';
	return len;
}

void json_fail(const struct json_at *at, const char *key, int code, const char *fmt, ...)
{
	struct json_at member = { .up = at, .key = key };
	char path[PATH_BYTES_MAX] = "", text[TEXT_BYTES_MAX];
	va_list ap;

	if (at->doc->rc < 0)
		return;
	path_put(key ? &member : at, path, sizeof(path));
	va_start(ap, fmt);
	str_vformat(text, sizeof(text), fmt, ap);
	va_end(ap);
	for (char *c = text; *c; c++) /* strings of the document are quoted in it */
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	at->doc->rc = err_set(at->doc->e, code, "%s%s%s", path, path[0] ? ": " : "", text);
}

static const char *kind_name(const struct json_value *v)
{
	static const char *const name[JV_KIND_COUNT] = {
		[JV_NULL] = "null",       [JV_BOOL] = "a boolean",
		[JV_UINT] = "a number",   [JV_NEGATIVE] = "a negative number",
		[JV_REAL] = "a fraction", [JV_STRING] = "a string",
		[JV_LIST] = "a list",     [JV_OBJECT] = "an object",
	};

	return name[v->kind];
}

static const struct json_value *find(const struct json_at *at, const char *key)
{
	const struct json_value *v = at->value, *found = NULL;

	if (at->doc->rc < 0 || !v)
		return NULL;
	if (!key)
		return v->kind == JV_NULL ? NULL : v;
	if (v->kind != JV_OBJECT)
		return NULL;
	for (uint32_t i = 0; i < v->n; i++)
		if (v->item[i].key[0] == key[0] && strcmp(v->item[i].key, key) == 0)
			found = &v->item[i];
	return found && found->kind != JV_NULL ? found : NULL;
}

/* typed() - a member that must be of one kind, or NULL: absent, or failed. */
static const struct json_value *typed(const struct json_at *at, const char *key, enum json_kind kind)
{
	const struct json_value *v = find(at, key), wanted = { .kind = kind };

	if (v && v->kind != kind) {
		json_fail(at, key, EINVAL, "got %s, want %s", kind_name(v), kind_name(&wanted));
		return NULL;
	}
	return v;
}

bool json_has(const struct json_at *at, const char *key)
{
	return find(at, key);
}

bool json_need(const struct json_at *at, const char *key)
{
	bool there = find(at, key);

	if (!there)
		json_fail(at, key, EINVAL, "missing");
	return there;
}

static struct json_at place(const struct json_at *at, const char *key, const struct json_value *v)
{
	if (!key)
		return (struct json_at){
			.value = v, .up = at->up, .key = at->key, .index = at->index, .doc = at->doc
		};
	return (struct json_at){ .value = v, .up = at, .key = key, .doc = at->doc };
}

struct json_at json_read_obj(const struct json_at *at, const char *key)
{
	return place(at, key, typed(at, key, JV_OBJECT));
}

struct json_at json_read_list(const struct json_at *at, const char *key)
{
	return place(at, key, typed(at, key, JV_LIST));
}

const char *json_read_str(const struct json_at *at, const char *key)
{
	const struct json_value *v = typed(at, key, JV_STRING);

	return v ? v->string : NULL;
}

bool json_read_bool(const struct json_at *at, const char *key, bool fallback)
{
	const struct json_value *v = typed(at, key, JV_BOOL);

	return v ? v->truth : fallback;
}

uint64_t json_read_u64(const struct json_at *at, const char *key, uint64_t max, uint64_t fallback)
{
	const struct json_value *v = find(at, key);

	if (!v)
		return fallback;
	if (v->kind == JV_UINT && v->number <= max)
		return v->number;
	if (v->kind == JV_UINT)
		json_fail(at, key, EINVAL, "got %llu, want a number from 0 to %llu",
			  (unsigned long long)v->number, (unsigned long long)max);
	else
		json_fail(at, key, EINVAL, "got %s, want a number from 0 to %llu", kind_name(v),
			  (unsigned long long)max);
	return fallback;
}

int64_t json_read_i64(const struct json_at *at, const char *key, int64_t min, int64_t max)
{
	const struct json_value *v = find(at, key);
	int64_t n;

	if (!v)
		return 0;
	if (v->kind != JV_NEGATIVE && v->kind != JV_UINT) {
		json_fail(at, key, EINVAL, "got %s, want a number from %lld to %lld", kind_name(v),
			  (long long)min, (long long)max);
		return 0;
	}
	n = v->kind == JV_NEGATIVE ? v->negative : v->number > INT64_MAX ? INT64_MAX : (int64_t)v->number;
	if (n >= min && n <= max && (v->kind == JV_NEGATIVE || v->number <= INT64_MAX))
		return n;
	if (v->kind == JV_UINT)
		json_fail(at, key, EINVAL, "got %llu, want a number from %lld to %lld",
			  (unsigned long long)v->number, (long long)min, (long long)max);
	else
		json_fail(at, key, EINVAL, "got %lld, want a number from %lld to %lld", (long long)n,
			  (long long)min, (long long)max);
	return 0;
}

size_t json_count(const struct json_at *at)
{
	return at->value && at->doc->rc == 0 && at->value->kind >= JV_LIST ? at->value->n : 0;
}

struct json_at json_item(const struct json_at *at, size_t i)
{
	const struct json_value *v = &at->value->item[i];

	return (struct json_at){ .value = v, .up = at, .key = v->key, .index = i, .doc = at->doc };
}

/* fail_name() - "got 'x', want one of a, b, c"; of many names only the first. */
static void fail_name(const struct json_at *at, const char *key, const struct json_name *names, size_t n)
{
	char known[NAMES_BYTES_MAX] = "";
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		if (len + strlen(names[i].name) + strlen(", , ...") >= sizeof(known)) {
			str_format(known + len, sizeof(known) - len, ", ...");
			break;
		}
		len += str_format(known + len, sizeof(known) - len, "%s%s", i ? ", " : "", names[i].name);
	}
	json_fail(at, key, EINVAL, "got '%.64s', want one of %s", json_read_str(at, key), known);
}

uint64_t json_read_name(const struct json_at *at, const char *key, const struct json_name *names, size_t n,
			uint64_t fallback)
{
	const char *s = json_read_str(at, key);

	if (!s)
		return fallback;
	for (size_t i = 0; i < n; i++)
		if (strcmp(s, names[i].name) == 0)
			return names[i].value;
	fail_name(at, key, names, n);
	return fallback;
}

void *json_alloc(const struct json_at *at, size_t n, size_t size)
{
	void *p = n ? arena_array(at->doc->arena, n, size) : NULL;

	if (n && !p)
		json_fail(at, NULL, ENOMEM, "%s", err_name(ENOMEM));
	return p;
}

/* --- writing -------------------------------------------------------------------------------------------- */

static void put_line(struct json_out *o)
{
	if (!o->indent)
		return;
	buf_putc(o->to, '\n');
	for (int i = 0; i < o->depth; i++)
		buf_puts(o->to, o->indent);
}

static void put_quoted(struct buf *to, const char *s)
{
	static const char plain[] = "\"\\\n\r\t\b\f", escaped[] = "\"\\nrtbf";

	buf_putc(to, '"');
	for (const char *from = s;; s++) {
		unsigned char c = (unsigned char)*s;
		const char *at;

		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		buf_put(to, from, (size_t)(s - from));
		from = s + 1;
		if (!c)
			break;
		at = strchr(plain, c);
		if (at)
			buf_printf(to, "\\%c", escaped[at - plain]);
		else
			buf_printf(to, "\\u%04x", c);
	}
	buf_putc(to, '"');
}

static void put_key(struct json_out *o, const char *key)
{
	if (o->more)
		buf_putc(o->to, ',');
	if (o->depth > 0)
		put_line(o);
	if (key) {
		put_quoted(o->to, key);
		buf_puts(o->to, o->indent ? ": " : ":");
	}
	o->more = true;
}

void json_put_open(struct json_out *o, const char *key, char bracket)
{
	put_key(o, key);
	buf_putc(o->to, bracket);
	o->depth++;
	o->more = false;
}

void json_put_close(struct json_out *o, char bracket)
{
	o->depth--;
	if (o->more)
		put_line(o);
	buf_putc(o->to, bracket);
	o->more = true;
}

void json_put_raw(struct json_out *o, const char *key, const char *json)
{
	put_key(o, key);
	buf_puts(o->to, json);
}

void json_put_str(struct json_out *o, const char *key, const char *s)
{
	put_key(o, key);
	if (s)
		put_quoted(o->to, s);
	else
		buf_puts(o->to, "null");
}

void json_put_bool(struct json_out *o, const char *key, bool b)
{
	json_put_raw(o, key, b ? "true" : "false");
}

void json_put_u64(struct json_out *o, const char *key, uint64_t n)
{
	put_key(o, key);
	buf_printf(o->to, "%llu", (unsigned long long)n);
}

void json_put_i64(struct json_out *o, const char *key, int64_t n)
{
	put_key(o, key);
	buf_printf(o->to, "%lld", (long long)n);
}

void json_put_strs(struct json_out *o, const char *key, char *const *s, size_t n)
{
	json_put_open(o, key, '[');
	for (size_t i = 0; i < n; i++)
		json_put_str(o, NULL, s[i]);
	json_put_close(o, ']');
}

/* --- jansson -------------------------------------------------------------------------------------------- */

int json_tree_parse(json_t **ret_tree, const char *text, size_t len, struct err *e)
{
	json_error_t why;
	json_t *tree = json_loadb(text, len, JSON_DECODE_ANY, &why);

	if (!tree && json_error_code(&why) == json_error_out_of_memory)
		return err_sys(e, ENOMEM, "JSON of %zu bytes", len);
	if (!tree)
		return err_set(e, EINVAL, "line %d, column %d: %s", why.line, why.column, why.text);
	*ret_tree = tree;
	return 0;
}

static int dump_to_buf(const char *bytes, size_t len, void *to)
{
	buf_put(to, bytes, len);
	return 0;
}

void json_tree_text(struct buf *to, const json_t *tree, int indent)
{
	size_t flags = JSON_ENCODE_ANY | (indent ? JSON_INDENT((size_t)indent) : JSON_COMPACT);

	if (json_dump_callback(tree, dump_to_buf, to, flags) < 0)
		to->rc = -ENOMEM;
}
