/* SPDX-License-Identifier: Apache-2.0 */
/* docs_man.c - man pages in the man(7) macros */
#include <string.h>

#include "base/buf.h"
#include "base/guard.h"
#include "cmd/docs.h"
#include "cmd/table.h"

static const char *const group_title[CMD_GROUP_COUNT] = {
	[CMD_LIFE] = "Run and control containers",
	[CMD_LOOK] = "Look into containers",
	[CMD_IMAGES] = "Images",
	[CMD_SYSTEM] = "System",
};

/* put_text() - @text with what roff would take for itself escaped */
static void put_text(struct buf *b, const char *text, size_t len)
{
	bool start = b->len == 0 || b->data[b->len - 1] == '\n';

	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (start && (c == '.' || c == '\''))
			buf_puts(b, "\\&");
		start = c == '\n';
		if (c == '\\')
			buf_puts(b, "\\e");
		else if (c == '-')
			buf_puts(b, "\\-");
		else if (c == '\'')
			buf_puts(b, "\\(aq");
		else if (c == '`')
			buf_puts(b, "\\(ga");
		else if (c == '^')
			buf_puts(b, "\\(ha");
		else if (c == '~')
			buf_puts(b, "\\(ti");
		else
			buf_putc(b, c);
	}
}

static void put(struct buf *b, const char *text)
{
	put_text(b, text, strlen(text));
}

void docs_page_name(const struct cmd *c, char *dst, size_t size)
{
	str_format(dst, size, "hull-%s", c->name);
	for (char *s = dst; *s; s++)
		if (*s == ' ')
			*s = '-';
}

static void put_head(struct buf *b, const char *page, const char *summary)
{
	buf_printf(b,
		   ".\\\" made by hull docs man\n.TH \"%s\" 1 \"\" \"hull %s\" \"hull manual\"\n.nh\n.ad "
		   "l\n.SH NAME\n",
		   page, HULL_VERSION);
	put(b, page);
	buf_puts(b, " \\- ");
	put(b, summary);
	buf_putc(b, '\n');
}

static void put_options(struct buf *b, const struct opt *opts)
{
	const struct opt *sorted[OPTS_MAX];
	size_t n = opt_sorted(opts, sorted);

	for (size_t i = 0; i < n; i++) {
		const struct opt *t = sorted[i];

		buf_puts(b, ".TP\n");
		if (t->letter)
			buf_printf(b, "\\fB\\-%c\\fR, ", t->letter);
		buf_puts(b, "\\fB\\-\\-");
		put(b, t->name);
		buf_puts(b, "\\fR");
		if (t->kind != OPT_FLAG) {
			buf_puts(b, " \\fI");
			put(b, t->arg ? t->arg : "VALUE");
			buf_puts(b, "\\fR");
		}
		buf_putc(b, '\n');
		put(b, t->help);
		buf_puts(b, t->kind == OPT_LIST ? " (may be given several times).\n" : ".\n");
	}
}

/* put_paragraphs() - texts separated by empty lines */
static void put_paragraphs(struct buf *b, const char *text)
{
	while (*text) {
		const char *end = strstr(text, "\n\n");
		size_t len = end ? (size_t)(end - text) : strlen(text);

		buf_puts(b, ".PP\n");
		put_text(b, text, len);
		buf_putc(b, '\n');
		text += len + (end ? 2 : 0);
	}
}

/* put_examples() - pairs of a command line and what it does */
static void put_examples(struct buf *b, const char *text)
{
	buf_puts(b, ".SH EXAMPLES\n");
	while (*text) {
		const char *end = strstr(text, "\n\n");
		size_t len = end ? (size_t)(end - text) : strlen(text);
		size_t line = strcspn(text, "\n");

		buf_puts(b, ".TP\n\\fB");
		put_text(b, text, line);
		buf_puts(b, "\\fR\n");
		if (line + 1 < len)
			put_text(b, text + line + 1, len - line - 1);
		buf_puts(b, ".\n");
		text += len + (end ? 2 : 0);
	}
}

static void put_aliases(struct buf *b, const char *aliases)
{
	auto_fini(strv) struct strv alias = { 0 };

	strv_split(&alias, aliases, ',');
	buf_puts(b, ".SH ALIASES\n");
	for (size_t i = 0; i < alias.len; i++) {
		buf_puts(b, i ? ", \\fBhull " : "\\fBhull ");
		put(b, alias.item[i]);
		buf_puts(b, "\\fR");
	}
	buf_putc(b, '\n');
}

void docs_man(const struct cmd *c, struct buf *b)
{
	char page[64];

	docs_page_name(c, page, sizeof(page));
	put_head(b, page, c->summary);
	buf_puts(b, ".SH SYNOPSIS\n\\fBhull ");
	put(b, c->name);
	buf_puts(b, "\\fR ");
	put(b, c->args ? c->args : "");
	buf_puts(b, "\n.SH DESCRIPTION\n");
	if (c->about)
		put_paragraphs(b, c->about);
	else {
		put(b, c->summary);
		buf_puts(b, ".\n");
	}
	if (c->opts && c->opts->name) {
		buf_puts(b, ".SH OPTIONS\n");
		put_options(b, c->opts);
	}
	if (c->examples)
		put_examples(b, c->examples);
	if (c->aliases)
		put_aliases(b, c->aliases);
	buf_puts(b, ".SH SEE ALSO\n.BR hull (1)\n");
}

void docs_man_all(struct buf *b)
{
	put_head(b, "hull", "build images and run them, isolated as strongly as asked for");
	buf_puts(b, ".SH SYNOPSIS\n\\fBhull\\fR [GLOBAL OPTIONS] \\fICOMMAND\\fR [OPTIONS] [ARG...]\n"
		    ".br\n\\fBhull oci\\fR ...\n.SH DESCRIPTION\n"
		    "Runs workloads from OCI images. There is no daemon: a command opens the store, does its "
		    "work, and leaves a small process behind "
		    "for each container that runs on. Any number of commands may run at once; one that is "
		    "killed leaves nothing that the next "
		    "does not clean up.\n.PP\n\\fBhull oci\\fR, also when called as \\fBhull\\-oci\\fR, is "
		    "an OCI runtime with the command line "
		    "of runc.\n.SH OPTIONS\n");
	put_options(b, cmd_global_opts);
	for (int g = 0; g < CMD_GROUP_COUNT; g++) {
		if (!group_title[g])
			continue;
		buf_puts(b, ".SH COMMANDS: ");
		put(b, group_title[g]);
		buf_putc(b, '\n');
		for (const struct cmd *const *c = cmd_table; *c; c++) {
			char page[64];

			if ((int)(*c)->group != g)
				continue;
			docs_page_name(*c, page, sizeof(page));
			buf_puts(b, ".TP\n\\fB");
			put(b, page);
			buf_puts(b, "\\fR(1)\n");
			put(b, (*c)->summary);
			buf_puts(b, ".\n");
		}
	}
	buf_puts(b, ".SH ENVIRONMENT\n.TP\n\\fBHULL_ROOT\\fR, \\fBHULL_RUN_ROOT\\fR\nStand for "
		    "\\fB\\-\\-root\\fR and \\fB\\-\\-run\\-root\\fR.\n"
		    ".TP\n\\fBHULL_ENGINE\\fR\nStands for \\fB\\-\\-engine\\fR where a machine starts: "
		    "auto, kvm or bt.\n"
		    ".SH EXIT STATUS\n0, or 1 after an error, which is one line on standard error. "
		    "\\fBrun\\fR, \\fBexec\\fR and "
		    "\\fBstart \\-a\\fR end with the workload\\(aqs status; 125 is an error of hull, 126 a "
		    "command that cannot be executed, 127 "
		    "one that is not there, 128+N the end by signal N.\n"
		    ".SH FILES\n.TP\n\\fI/var/lib/hull\\fR\nImages, containers, volumes (for a user: "
		    "\\fI\\(ti/.local/share/hull\\fR).\n"
		    ".TP\n\\fI/run/hull\\fR\nSockets and state of what runs.\n");
}
