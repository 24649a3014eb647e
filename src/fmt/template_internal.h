/* SPDX-License-Identifier: Apache-2.0 */
/* template_internal.h - one rendering, shared by the reader of the text and the functions it calls */
#ifndef FMT_TEMPLATE_INTERNAL_H
#define FMT_TEMPLATE_INTERNAL_H

#include "fmt/template.h"

#include <stddef.h>

enum { TEMPLATE_VARS_MAX = 64, TEMPLATE_ARGS_MAX = 16 };

enum template_flow { FLOW_ON, FLOW_BREAK, FLOW_CONTINUE };

struct template_var {
	const char *name; /* in the text, behind '$'; not terminated */
	size_t len;
	json_t *value;
};

/* Absent and null values are NULL everywhere. */
struct template_run {
	const char *text, *at;
	json_t *dot; /* borrowed, as all values: from the caller or from @kept */
	struct template_var var[TEMPLATE_VARS_MAX];
	size_t n_vars;
	json_t **kept; /* values made on the way; owned, each owned */
	size_t n_kept, cap_kept;
	struct buf *out;
	size_t out_start;
	bool live;               /* false: in a branch not taken; read, but nothing happens */
	enum template_flow flow; /* of the innermost loop */
	int loops;               /* we are in */
	bool trim;               /* the text that follows loses its leading space */
	bool header;
	const json_t *titles;
	int depth;
	unsigned actions;
	struct err *e;
	int rc;
};

/* template__fail() - record the first failure, at the current offset. Return: NULL, for values. */
json_t *template__fail(struct template_run *r, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* template__keep() - takes a fresh value, to be freed when its block ends; NULL is a failure to make one. */
json_t *template__keep(struct template_run *r, json_t *fresh);
json_t *template__text(struct template_run *r, struct buf *text); /* the same, of a text; empties @text */

/* template__print() - append a value as {{.}} does. */
void template__print(struct buf *to, const json_t *v);

bool template__truth(const json_t *v);
const char *template__kind(const json_t *v);              /* "a string", for messages */
int template__compare_keys(const void *a, const void *b); /* qsort(3) of char pointers */

bool template__is_function(const char *name, size_t len);

/* template__call() - function @name (@len bytes) of @n arguments. */
json_t *template__call(struct template_run *r, const char *name, size_t len, json_t **arg, size_t n);

/* template__index() - arg[0] by each of the keys behind it. */
json_t *template__index(struct template_run *r, json_t **arg, size_t n);

json_t *template__printf(struct template_run *r, json_t **arg, size_t n);

#endif
