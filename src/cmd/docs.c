/* SPDX-License-Identifier: Apache-2.0 */
/* docs.c - man pages and shell completions, made from the tables that parse the command line */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/buf.h"
#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "cmd/docs.h"
#include "cmd/table.h"
#include "sys/file.h"

static int write_doc(int dirfd, const char *name, const struct buf *b, struct err *e)
{
	if (buf_finish(b) < 0)
		return err_sys(e, ENOMEM, "%s", name);
	return file_replace(dirfd, name, buf_str(b), b->len, 0644, false, e);
}

static int write_pages(int dirfd, struct err *e)
{
	auto_fini(buf) struct buf all = { 0 };
	int r;

	docs_man_all(&all);
	r = write_doc(dirfd, "hull.1", &all, e);
	for (const struct cmd *const *c = cmd_table; *c && r == 0; c++) {
		auto_fini(buf) struct buf b = { 0 };
		char name[64];

		if ((*c)->group == CMD_HIDDEN)
			continue;
		docs_page_name(*c, name, sizeof(name) - 2);
		strcat(name, ".1");
		docs_man(*c, &b);
		r = write_doc(dirfd, name, &b, e);
	}
	return r;
}

int docs_write(const char *what, const char *dir, struct err *e)
{
	auto_fini(buf) struct buf b = { 0 };
	auto_close int dirfd = -1;
	int r = file_mkdirs(AT_FDCWD, dir, 0755);

	if (r < 0)
		return err_sys(e, -r, "%s", dir);
	dirfd = file_open(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY, 0);
	if (dirfd < 0)
		return err_sys(e, -dirfd, "%s", dir);
	if (str_eq(what, "man"))
		return write_pages(dirfd, e);
	if (str_eq(what, "bash")) {
		docs_bash(&b);
		return write_doc(dirfd, "hull", &b, e);
	}
	if (str_eq(what, "zsh")) {
		docs_zsh(&b);
		return write_doc(dirfd, "_hull", &b, e);
	}
	return err_set(e, EINVAL, "'%s': man, bash or zsh is wanted", what);
}

static int docs_main(void *o, int argc, char **argv, struct err *e)
{
	(void)o;
	(void)argc;
	return docs_write(argv[0], argv[1], e);
}

const struct cmd cmd_docs = {
	.name = "docs",
	.group = CMD_HIDDEN,
	.args = "man|bash|zsh DIR",
	.summary = "Write the man pages, or the completion of bash or zsh, into a directory",
	.min_args = 2,
	.max_args = 2,
	.run = docs_main,
};
