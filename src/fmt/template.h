/* SPDX-License-Identifier: Apache-2.0 */
/*
 * template.h - what people type behind --format: the part of Go's text/template that Docker's users know
 *
 *	{{.State.Status}}  {{json .}}  {{range $k, $v := .Labels}}{{$k}}={{$v}} {{else}}none{{end}}
 *	{{if eq .Name "x"}} {{else if .ID}} {{else}} {{end}}  {{with .Config}}{{.Image}}{{end}}
 *	{{break}} {{continue}}  {{$x := .ID}} {{$x = "y"}} {{$.Name}}  {{(index .Mounts 0).Source}}
 *	{{.Name | upper | printf "%-20s"}}  {{- trim -}}  {{/" comments "/}} with * for "
 *	"strings" `raw strings` 'c' 12 0x1f 1.5 true false nil
 *
 * Functions: and contains eq ge gt index join json le len lower lt ne not or pad print printf println slice
 * split title truncate upper. A member may be called with a key, as {{.Label "com.example.role"}}: as index.
 *
 * What is absent, or null, prints as <no value>. Members of an object come in the order of their keys, except
 * in json. Functions of letter case know ASCII only.
 */
#ifndef FMT_TEMPLATE_H
#define FMT_TEMPLATE_H

#include <jansson.h>
#include <stdbool.h>

struct buf;
struct err;

enum {
	TEMPLATE_DEPTH_MAX = 64,        /* blocks and parentheses within each other */
	TEMPLATE_ACTIONS_MAX = 1 << 20, /* actions done, loops counted each time round */
	TEMPLATE_OUTPUT_MAX = 16 << 20, /* bytes written by one rendering */
};

/**
 * template_render() - write @value as @format says, at the end of @out
 * @value: what {{.}} is; borrowed
 * Return: 0; -EINVAL with one line and the offset in @format ("format: offset 7: function 'foo' is not
 * defined"); -E2BIG beyond a limit above; -ENOMEM. @out then holds what came before the error.
 */
int template_render(const char *format, const json_t *value, struct buf *out, struct err *e);

/* template_is_table() - "table {{.ID}}\t{{.Image}}": the format behind the word, or NULL when it is none. */
const char *template_is_table(const char *format);

/**
 * template_header() - the head line of a table: each field as its title, functions on texts leave them alone
 * @titles: an object of fields and their titles; may be NULL. Else CreatedAt becomes "CREATED AT"
 * Return:  as template_render()
 */
int template_header(const char *format, const json_t *titles, struct buf *out, struct err *e);

/* template_unescape() - append @format, the pairs \t and \n, which shells leave in quotes, made into one. */
void template_unescape(struct buf *out, const char *format);

#endif
