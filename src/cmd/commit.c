/* SPDX-License-Identifier: Apache-2.0 */
/* commit.c - diff and commit: what a container has changed, and that as an image */
#include <errno.h>
#include <stdio.h>

#include "base/err.h"
#include "cmd/each.h"
#include "cmd/table.h"
#include "runtime/runtime.h"

struct commit_opts {
	const char *author, *message;
	struct strv change;
	bool pause;
};
#define OPT(member) offsetof(struct commit_opts, member)

static const struct opt commit_opts[] = {
	{ "author", 'a', OPT_STRING, OPT(author), "NAME", "Who made it", NULL },
	{ "change", 'c', OPT_LIST, OPT(change), "INSTRUCTION",
	  "A Dockerfile instruction for the image: 'CMD [\"sh\"]'", NULL },
	{ "message", 'm', OPT_STRING, OPT(message), "TEXT", "A comment for its history", NULL },
	{ "pause", 'p', OPT_FLAG, OPT(pause), NULL, "Pause the container meanwhile (true)", NULL },
	{ 0 }
};

static void commit_defaults(void *o)
{
	((struct commit_opts *)o)->pause = true;
}

static int commit_main(void *opts, int argc, char **argv, struct err *e)
{
	const struct commit_opts *o = opts;
	char id[65], image[STORE_DIGEST_SIZE];
	struct runtime *rt;
	int r = cmd_runtime(&rt, e);

	if (r == 0)
		r = each_id(rt, argv[0], id, e);
	if (r == 0)
		r = instance_commit(rt, id, argc > 1 ? argv[1] : NULL, o->change.item, o->change.len,
				    o->author, o->message, o->pause, image, e);
	if (r == 0)
		puts(image);
	return r;
}

static int diff_each(void *arg, char kind, const char *path)
{
	(void)arg;
	printf("%c %s\n", kind, path);
	return 0;
}

static int diff_main(void *o, int argc, char **argv, struct err *e)
{
	struct runtime *rt;
	char id[65];
	int r = cmd_runtime(&rt, e);

	(void)o;
	(void)argc;
	if (r == 0)
		r = each_id(rt, argv[0], id, e);
	return r < 0 ? r : instance_diff(rt, id, diff_each, NULL, e);
}

const struct cmd cmd_commit = {
	.name = "commit",
	.aliases = "container commit",
	.group = CMD_LOOK,
	.args = "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
	.summary = "Make an image of what a container has changed",
	.opts = commit_opts,
	.opts_size = sizeof(struct commit_opts),
	.defaults = commit_defaults,
	.min_args = 1,
	.max_args = 2,
	.run = commit_main,
	.complete = "@container",
};

const struct cmd cmd_diff = {
	.name = "diff",
	.aliases = "container diff",
	.group = CMD_LOOK,
	.args = "CONTAINER",
	.summary = "List what a container has added (A), changed (C) and deleted (D)",
	.min_args = 1,
	.max_args = 1,
	.run = diff_main,
	.complete = "@container",
};
