/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/print.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "fmt/json.h"
#include "fmt/template.h"

enum { COLUMN_MIN = 10, COLUMN_GAP = 3, COLUMNS_MAX = 64 };

/* text_width() - characters, not bytes, up to a tab or the end of the line; *ret_len: the bytes. */
static size_t text_width(const char *s, size_t *ret_len)
{
	size_t len = strcspn(s, "\t\n"), width = 0;

	for (size_t i = 0; i < len; i++)
		width += ((unsigned char)s[i] & 0xc0) != 0x80;
	*ret_len = len;
	return width;
}

static void column_widths(const char *text, size_t width[COLUMNS_MAX])
{
	int column = 0;

	while (*text) {
		size_t len, w = text_width(text, &len);

		text += len;
		if (*text == '\t' && column < COLUMNS_MAX && w + COLUMN_GAP > width[column])
			width[column] = w + COLUMN_GAP;
		column = *text == '\t' ? column + 1 : 0;
		text += *text != '\0';
	}
}

void print_table(const char *text)
{
	size_t width[COLUMNS_MAX];
	int column = 0;

	for (int i = 0; i < COLUMNS_MAX; i++)
		width[i] = COLUMN_MIN;
	column_widths(text, width);
	while (*text) {
		size_t len, w = text_width(text, &len);

		fwrite(text, 1, len, stdout);
		text += len;
		if (*text == '\t') { /* the last cell of a line is not padded */
			size_t pad = column < COLUMNS_MAX ? width[column] - w : COLUMN_GAP;

			printf("%*s", (int)pad, "");
			column++;
		} else {
			putchar('\n');
			column = 0;
		}
		text += *text != '\0';
	}
}

static json_t *titles_of(const struct print_field *fields)
{
	json_t *titles = json_object();

	for (; fields->name; fields++)
		json_object_set_new(titles, fields->name, json_string(fields->header));
	return titles;
}

static int render_header(const struct print_list *p, const char *template, struct buf *b, struct err *e)
{
	json_t *titles = titles_of(p->fields);
	int r = template_header(template, titles, b, e);

	json_decref(titles);
	buf_putc(b, '\n');
	return r;
}

static int render_line(const char *template, json_t *row, struct buf *b, struct err *e)
{
	int r = 0;

	if (template)
		r = template_render(template, row, b, e);
	else {
		json_object_del(row, "Label"); /* only there to be called: {{.Label "key"}} */
		json_tree_text(b, row, 0);
	}
	buf_putc(b, '\n');
	return r;
}

/* render_rows() - @template NULL: as JSON */
static int render_rows(const struct print_list *p, const char *template, bool table, json_t *rows,
		       struct err *e)
{
	auto_fini(buf) struct buf b = { 0 };
	int r = table ? render_header(p, template, &b, e) : 0;
	json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		if (r < 0)
			break;
		r = render_line(template, row, &b, e);
	}
	if (r < 0)
		return err_wrap(e, r, "--format");
	if (buf_finish(&b) < 0)
		return err_sys(e, ENOMEM, "printing the list");
	if (table)
		print_table(buf_str(&b));
	else
		fwrite(buf_str(&b), 1, b.len, stdout);
	return 0;
}

int print_list(const struct print_list *p, json_t *rows, struct err *e)
{
	bool table = !p->format || str_eq(p->format, "table");
	const char *template = table ? p->table : p->format;
	auto_fini(buf) struct buf own = { 0 };
	int r;

	if (table && p->quiet) {
		table = false;
		template = p->quiet;
	} else if (!table && template_is_table(p->format)) {
		table = true;
		template = template_is_table(p->format);
	} else if (str_eq(p->format, "json")) {
		template = NULL;
	}
	if (template)
		template_unescape(&own, template);
	r = buf_finish(&own) < 0 ? err_sys(e, ENOMEM, "printing the list") :
				   render_rows(p, template ? buf_str(&own) : NULL, table, rows, e);
	json_decref(rows);
	return r;
}

int print_value(const char *format, const json_t *value, struct err *e)
{
	auto_fini(buf) struct buf b = { 0 };
	auto_fini(buf) struct buf own = { 0 };
	int r = 0;

	if (format && !str_eq(format, "json")) {
		template_unescape(&own, format);
		r = template_render(buf_str(&own), value, &b, e);
	} else {
		json_tree_text(&b, value, format ? 0 : 4);
	}
	if (r < 0)
		return err_wrap(e, r, "--format");
	buf_putc(&b, '\n');
	if (buf_finish(&b) < 0)
		return err_sys(e, ENOMEM, "printing");
	fwrite(buf_str(&b), 1, b.len, stdout);
	return 0;
}

const char *short_id(const char *id, char *dst)
{
	const char *hex = str_after(id, "sha256:");

	str_copy(dst, SHORT_ID_SIZE, hex ? hex : id);
	return dst;
}

json_t *json_id(const char *id, bool no_trunc)
{
	char cut[SHORT_ID_SIZE];

	return json_string(no_trunc ? id : short_id(id, cut));
}

json_t *json_ago(nsec_t since_epoch)
{
	char text[64];
	nsec_t ns = time_now_ns(CLOCK_REALTIME) - since_epoch;

	return json_format("%s ago", time_ago(ns > 0 ? ns : 0, text, sizeof(text)));
}

json_t *json_local_time(nsec_t since_epoch)
{
	time_t sec = (time_t)(since_epoch / NSEC_PER_SEC);
	char text[64];
	struct tm tm;

	localtime_r(&sec, &tm);
	strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S %z %Z", &tm);
	return json_string(text);
}

json_t *json_size(uint64_t bytes)
{
	char text[32];

	return json_string(str_from_bytes(bytes, text, sizeof(text)));
}

json_t *json_format(const char *fmt, ...)
{
	va_list ap, again;
	auto_free char *text = NULL;
	size_t size;

	va_start(ap, fmt);
	va_copy(again, ap);
	size = str_vformat(NULL, 0, fmt, ap) + 1;
	text = malloc(size);
	if (text)
		str_vformat(text, size, fmt, again);
	va_end(again);
	va_end(ap);
	return text ? json_string(text) : NULL;
}

const json_t *json_path(const json_t *v, const char *path)
{
	while (v && *path) {
		size_t len = strcspn(path, ".");

		v = json_object_getn(v, path, len);
		path += len + (path[len] == '.');
	}
	return v;
}

const char *json_path_str(const json_t *v, const char *path)
{
	const char *s = json_string_value(json_path(v, path));

	return s ? s : "";
}

int ask_yes(const char *text, struct err *e)
{
	char answer[16];

	printf("%s [y/N] ", text);
	fflush(stdout);
	if (!fgets(answer, sizeof(answer), stdin)) {
		putchar('\n');
		return isatty(STDIN_FILENO) ?
			       0 :
			       err_set(e, EINVAL, "there was no answer; --force does without one");
	}
	return answer[0] == 'y' || answer[0] == 'Y';
}
