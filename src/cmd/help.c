/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/cmd.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/bug.h"
#include "base/guard.h"
#include "sys/file.h"

enum { HELP_COLUMNS = 80, HELP_COLUMNS_MAX = 120, HELP_TEXT_MIN = 30 };

static int help_columns(int fd)
{
	struct winsize w;

	if (ioctl(fd, TIOCGWINSZ, &w) < 0 || w.ws_col < HELP_COLUMNS)
		return HELP_COLUMNS;
	return w.ws_col < HELP_COLUMNS_MAX ? w.ws_col : HELP_COLUMNS_MAX;
}

static const char *opt_arg(const struct opt *t)
{
	static const char *const word[OPT_KIND_COUNT] = {
		[OPT_STRING] = "STRING",     [OPT_OWNED] = "STRING",
		[OPT_LIST] = "LIST",         [OPT_INT] = "N",
		[OPT_INT32] = "N",           [OPT_BYTES] = "BYTES",
		[OPT_DURATION] = "DURATION", [OPT_CPUS] = "NUMBER",
	};

	if (t->kind == OPT_FLAG)
		return NULL;
	return t->arg ? t->arg : word[t->kind];
}

static void put_padding(struct buf *b, int n)
{
	while (n-- > 0)
		buf_putc(b, ' ');
}

/* put_wrapped() - @text from column @indent on, lines no longer than @columns. */
static void put_wrapped(struct buf *b, const char *text, int indent, int columns)
{
	int room = columns - indent, used = 0;

	if (room < HELP_TEXT_MIN)
		room = HELP_TEXT_MIN;
	while (*text) {
		int len = (int)strcspn(text, " ");

		if (used > 0 && used + 1 + len > room) {
			buf_putc(b, '\n');
			put_padding(b, indent);
			used = 0;
		} else if (used > 0) {
			buf_putc(b, ' ');
			used++;
		}
		buf_put(b, text, (size_t)len);
		used += len;
		text += len;
		text += strspn(text, " ");
	}
	buf_putc(b, '\n');
}

static int opt_by_name(const void *a, const void *b)
{
	return strcmp((*(const struct opt *const *)a)->name, (*(const struct opt *const *)b)->name);
}

size_t opt_sorted(const struct opt *opts, const struct opt *ret_sorted[OPTS_MAX])
{
	size_t n = 0;

	for (const struct opt *t = opts; t && t->name; t++) {
		BUG_ON(n == OPTS_MAX);
		ret_sorted[n++] = t;
	}
	if (n > 1)
		qsort(ret_sorted, n, sizeof(*ret_sorted), opt_by_name);
	return n;
}

static int opt_width(const struct opt *t)
{
	const char *arg = opt_arg(t);

	return (int)(strlen("  -x, --") + strlen(t->name) + (arg ? 1 + strlen(arg) : 0));
}

static void put_opts(struct buf *b, const struct opt *opts, int columns)
{
	const struct opt *sorted[OPTS_MAX];
	size_t n = opt_sorted(opts, sorted);
	int width = 0;

	for (size_t i = 0; i < n; i++)
		if (opt_width(sorted[i]) > width)
			width = opt_width(sorted[i]);
	for (size_t i = 0; i < n; i++) {
		const struct opt *t = sorted[i];
		const char *arg = opt_arg(t);

		if (t->letter)
			buf_printf(b, "  -%c, --%s", t->letter, t->name);
		else
			buf_printf(b, "      --%s", t->name);
		if (arg)
			buf_printf(b, " %s", arg);
		put_padding(b, width + 3 - opt_width(t));
		put_wrapped(b, t->help, width + 3, columns);
	}
}

static void put_aliases(struct buf *b, const char *aliases)
{
	auto_fini(strv) struct strv alias = { 0 };

	strv_split(&alias, aliases, ',');
	buf_puts(b, "\nAliases:\n ");
	for (size_t i = 0; i < alias.len; i++)
		buf_printf(b, " hull %s%s", alias.item[i], i + 1 < alias.len ? "," : "\n");
}

void cmd_help(const struct cmd *c, int fd)
{
	auto_fini(buf) struct buf b = { 0 };
	int columns = help_columns(fd);

	buf_printf(&b, "Usage:  hull %s %s\n\n", c->name, c->args ? c->args : "");
	put_wrapped(&b, c->summary, 0, columns);
	if (c->aliases)
		put_aliases(&b, c->aliases);
	if (c->opts && c->opts->name) {
		buf_puts(&b, "\nOptions:\n");
		put_opts(&b, c->opts, columns);
	}
	buf_puts(&b, "\nMore: man hull-");
	for (const char *p = c->name; *p; p++)
		buf_putc(&b, *p == ' ' ? '-' : *p);
	buf_putc(&b, '\n');
	file_write(fd, buf_str(&b), b.len);
}

static const char *const group_title[CMD_GROUP_COUNT] = {
	[CMD_LIFE] = "Run and control containers",
	[CMD_LOOK] = "Look into containers",
	[CMD_IMAGES] = "Images",
	[CMD_SYSTEM] = "System",
};

void cmd_help_all(int fd)
{
	auto_fini(buf) struct buf b = { 0 };
	int columns = help_columns(fd);

	buf_puts(&b, "Usage:  hull [GLOBAL OPTIONS] COMMAND [OPTIONS] [ARG...]\n\n"
		     "Builds images and runs them, isolated as strongly as asked for; no daemon.\n");
	for (int g = 0; g < CMD_GROUP_COUNT; g++) {
		if (!group_title[g])
			continue;
		buf_printf(&b, "\n%s:\n", group_title[g]);
		for (const struct cmd *const *c = cmd_table; *c; c++) {
			if ((int)(*c)->group != g)
				continue;
			buf_printf(&b, "  %-18s", (*c)->name);
			put_wrapped(&b, (*c)->summary, 20, columns);
		}
	}
	buf_puts(&b, "\nGlobal options:\n");
	put_opts(&b, cmd_global_opts, columns);
	buf_puts(&b, "\n'hull COMMAND --help' tells more about a command; 'hull oci --help' about the OCI "
		     "runtime.\n");
	file_write(fd, buf_str(&b), b.len);
}

/* edit_distance() - insertions, deletions, replacements and swaps of neighbours between two short words. */
static int edit_distance(const char *a, const char *b)
{
	enum { WORD_MAX = 24 };
	int d[WORD_MAX + 1][WORD_MAX + 1];
	int n = (int)strlen(a), m = (int)strlen(b);

	if (n > WORD_MAX || m > WORD_MAX)
		return WORD_MAX;
	for (int i = 0; i <= n; i++)
		for (int j = 0; j <= m; j++) {
			int best;

			if (i == 0 || j == 0) {
				d[i][j] = i + j;
				continue;
			}
			best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
			if (d[i - 1][j] + 1 < best)
				best = d[i - 1][j] + 1;
			if (d[i][j - 1] + 1 < best)
				best = d[i][j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    d[i - 2][j - 2] + 1 < best)
				best = d[i - 2][j - 2] + 1;
			d[i][j] = best;
		}
	return d[n][m];
}

const char *cmd_suggest(const char *word)
{
	const char *found = NULL;
	int best = ((int)strlen(word) + 1) / 3; /* further away it is another word, not a slip */

	for (const struct cmd *const *c = cmd_table; *c; c++) {
		int d = (*c)->group == CMD_HIDDEN ? best + 1 : edit_distance(word, (*c)->name);

		if (d <= best && (!found || d < best)) {
			best = d;
			found = (*c)->name;
		}
	}
	return found;
}
