/* SPDX-License-Identifier: Apache-2.0 */
/* print.h - lists as tables, templates or JSON lines, and the small texts in them */
#ifndef CMD_PRINT_H
#define CMD_PRINT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/time.h"

struct err;
struct strv;

/* A field of a list's rows, and what stands above it in a table. */
struct print_field {
	const char *name, *header;
};

struct print_list {
	const char *format;               /* --format as typed, or NULL */
	const char *table;                /* the template when there is none: "{{.ID}}\t{{.Names}}" */
	const char *quiet;                /* the template of -q, or NULL when -q was not given */
	const struct print_field *fields; /* ended by {0} */
};

/* print_list() - an array of objects onto standard output. Takes @rows. Return: 0, or -errno with @e. */
int print_list(const struct print_list *p, json_t *rows, struct err *e);

/* print_value() - one value: by template, "json", or with NULL as indented JSON. Borrows @value. */
int print_value(const char *format, const json_t *value, struct err *e);

/*
 * print_table() - lines of tab-separated cells in columns, at least three spaces apart; @text ends with a
 * newline.
 */
void print_table(const char *text);

enum { SHORT_ID_SIZE = 13 };

/* short_id() - 12 digits, without "sha256:". @dst holds SHORT_ID_SIZE. Returns @dst. */
const char *short_id(const char *id, char *dst);

json_t *json_id(const char *id, bool no_trunc); /* short_id() or all of it, as a string */
json_t *json_ago(nsec_t since_epoch);           /* "5 minutes ago" */
json_t *json_local_time(nsec_t since_epoch);    /* "2026-11-21 03:54:34 +0000 UTC" */
json_t *json_size(uint64_t bytes);              /* "1.24MB" */
json_t *json_format(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* json_path() - member by member through objects; NULL when one is missing. @path: "Config.Labels". */
const json_t *json_path(const json_t *v, const char *path);
const char *json_path_str(const json_t *v, const char *path); /* "" when missing */

/*
 * filters: --filter KEY=VALUE. Values of one key are alternatives, different keys must all hold; labels
 * must all hold.
 */
int filter_check(const struct strv *filters, const char *keys, struct err *e); /* @keys: "name id label" */
bool filter_has(const struct strv *filters, const char *key);
bool filter_match(const struct strv *filters, const char *key, bool (*is)(const void *arg, const char *value),
		  const void *arg);
bool filter_labels(const struct strv *filters, const json_t *labels); /* keys label and label! */
bool filter_equals(const void *arg, const char *value); /* for filter_match(): @arg is a string */
bool filter_contains(const void *arg, const char *value);
bool filter_prefix(const void *arg, const char *value);

/*
 * ask_yes() - "text [y/N] " and a line of standard input. Return: 1 yes, 0 no; -EINVAL when nobody can
 * answer.
 */
int ask_yes(const char *text, struct err *e);

#endif
