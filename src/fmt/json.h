/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json.h - JSON text to typed values, and back to text
 *
 * Reading. json_parse() makes a compact tree in an arena; every string in it is the arena's, so that a result
 * may point at it. A reader then goes straight down, naming members; the first failure stays in the doc,
 * later reads return defaults, and json_finish() reports it with the member's path:
 *
 *	struct json_doc doc = { .arena = a, .e = e };
 *	struct json_at root = json_parse(&doc, text, len);
 *	struct json_at user = json_read_obj(&root, "user");
 *
 *	u->uid = (uint32_t)json_read_u64(&user, "uid", UINT32_MAX, 0);
 *	u->name = json_read_str(&user, "name");
 *	return json_finish(&doc);
 *
 * says "user.uid: got a string, want a number from 0 to 4294967295". null is the same as absent. Members
 * nobody asks for are ignored. Of a repeated key the last one counts. Integers are exact from INT64_MIN to
 * UINT64_MAX. Strings are valid UTF-8 without NUL.
 *
 * Why not jansson here: it has no unsigned 64-bit integers, which every unlimited rlimit of a config.json is,
 * and a fresh process waits four times as long for a Docker-size one. It serves where values are built,
 * joined and handed about: json_tree_parse(), json_tree_text().
 *
 * Writing. json_put_x() append to a buf; commas, line ends and indentation are theirs; buf_finish() tells of
 * failure.
 */
#ifndef FMT_JSON_H
#define FMT_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;
struct buf;
struct err;

enum { JSON_DEPTH_MAX = 128 };

enum json_kind {
	JV_NULL,
	JV_BOOL,
	JV_UINT,
	JV_NEGATIVE,
	JV_REAL,
	JV_STRING,
	JV_LIST,
	JV_OBJECT,
	JV_KIND_COUNT
};

struct json_value {
	const char *key; /* as a member of an object, else NULL */
	enum json_kind kind;
	uint32_t n; /* elements or members */
	union {
		bool truth;
		uint64_t number;  /* JV_UINT */
		int64_t negative; /* JV_NEGATIVE: below 0 */
		double real;
		const char *string;
		const struct json_value *item; /* JV_LIST, JV_OBJECT: @n of them */
	};
};

struct json_doc {
	struct arena *arena; /* borrowed; holds the tree */
	struct err *e;       /* borrowed; may be NULL */
	int rc;              /* first failure; everything after it is skipped */
};

/* A value and where it stands. It points at its parent: keep that one in scope. */
struct json_at {
	const struct json_value *value; /* NULL: absent */
	const struct json_at *up;
	const char *key;
	size_t index; /* in a list, when @key is NULL */
	struct json_doc *doc;
};

/**
 * json_parse() - the text as a tree, and the place of its root
 * @text: @len bytes; borrowed, not needed afterwards
 * Fails with "line 3, column 14: expected ':'" (-EINVAL), or -ENOMEM.
 * Spec: RFC 8259
 */
struct json_at json_parse(struct json_doc *doc, const char *text, size_t len);

/* json_finish() - 0, or the first failure with the document's err set. */
int json_finish(const struct json_doc *doc);

/* In all of these @key names a member of the object @at; NULL means @at itself, as for elements of a list. */
bool json_has(const struct json_at *at, const char *key);  /* there, not null, of whatever type */
bool json_need(const struct json_at *at, const char *key); /* the same; "x.y: missing" when not */

struct json_at json_read_obj(const struct json_at *at, const char *key); /* absent is empty */
struct json_at json_read_list(const struct json_at *at, const char *key);
const char *json_read_str(const struct json_at *at, const char *key); /* NULL: absent */
bool json_read_bool(const struct json_at *at, const char *key, bool fallback);
uint64_t json_read_u64(const struct json_at *at, const char *key, uint64_t max, uint64_t fallback);
int64_t json_read_i64(const struct json_at *at, const char *key, int64_t min, int64_t max); /* 0: absent */

/* json_count(), json_item() - elements of a list or members (they have keys); 0 after a failure. */
size_t json_count(const struct json_at *at);
struct json_at json_item(const struct json_at *at, size_t i);

struct json_name {
	const char *name;
	uint64_t value;
};

/* json_read_name() - a string that must be one of @n names, as its value. Absent: @fallback. */
uint64_t json_read_name(const struct json_at *at, const char *key, const struct json_name *names, size_t n,
			uint64_t fallback);

/* json_fail() - record a failure at a member, unless one is there: "path: text". @code: positive errno. */
void json_fail(const struct json_at *at, const char *key, int code, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* json_alloc() - zeroed array in the document's arena; a failure is recorded. NULL when @n is 0. */
void *json_alloc(const struct json_at *at, size_t n, size_t size);

/* --- writing -------------------------------------------------------------------------------------------- */

struct json_out {
	struct buf *to;     /* borrowed */
	const char *indent; /* of one level, "\t"; NULL: all on one line */
	int depth;
	bool more; /* something stands before, on this level */
};

/* @key: NULL for elements of a list and the outermost value. */
void json_put_open(struct json_out *o, const char *key, char bracket); /* '{' or '[' */
void json_put_close(struct json_out *o, char bracket);                 /* '}' or ']' */
void json_put_str(struct json_out *o, const char *key, const char *s); /* NULL: null */
void json_put_bool(struct json_out *o, const char *key, bool b);
void json_put_u64(struct json_out *o, const char *key, uint64_t n);
void json_put_i64(struct json_out *o, const char *key, int64_t n);
void json_put_strs(struct json_out *o, const char *key, char *const *s, size_t n); /* a list of strings */
void json_put_raw(struct json_out *o, const char *key, const char *json); /* text that is JSON already */

/* --- jansson -------------------------------------------------------------------------------------------- */

/* json_tree_parse() - a text as a jansson value, the caller's. Return: 0; -EINVAL; -ENOMEM. */
int json_tree_parse(json_t **ret_tree, const char *text, size_t len, struct err *e);

/* json_tree_text() - append @tree; @indent in spaces, 0 for one line; keys in the order they were set. */
void json_tree_text(struct buf *to, const json_t *tree, int indent);

#endif
