/* SPDX-License-Identifier: Apache-2.0 */
/* prune.c - container prune, image prune, system prune */
#include <errno.h>
#include <stdio.h>

#include "base/err.h"
#include "base/guard.h"
#include "cmd/print.h"
#include "cmd/table.h"
#include "runtime/runtime.h"

struct prune_opts {
	bool all, force, volumes;
};
#define OPT(member) offsetof(struct prune_opts, member)

static const struct opt container_opts[] = { { "force", 'f', OPT_FLAG, OPT(force), NULL, "Do not ask", NULL },
					     { 0 } };

static const struct opt image_opts[] = {
	{ "all", 'a', OPT_FLAG, OPT(all), NULL,
	  "Every image that no container uses, not only those without a name", NULL },
	{ "force", 'f', OPT_FLAG, OPT(force), NULL, "Do not ask", NULL },
	{ 0 }
};

static const struct opt system_opts[] = {
	{ "all", 'a', OPT_FLAG, OPT(all), NULL,
	  "Every image that no container uses, not only those without a name", NULL },
	{ "force", 'f', OPT_FLAG, OPT(force), NULL, "Do not ask", NULL },
	{ "volumes", 0, OPT_FLAG, OPT(volumes), NULL, "Anonymous volumes that no container uses, too", NULL },
	{ 0 }
};

/* What one run removes. */
struct prune {
	bool containers, images, cache, volumes, all;
};

static int prune(const struct prune *p, struct err *e)
{
	auto_fini(strv) struct strv told = { 0 };
	uint64_t freed = 0, more = 0;
	struct runtime *rt;
	char size[32];
	int r = cmd_runtime(&rt, e);

	if (r == 0 && p->containers)
		r = runtime_prune(rt, true, &told, &freed, e);
	if (r == 0 && p->images)
		r = store_prune(runtime_store(rt), p->all, p->cache, p->volumes, &told, &more, e);
	for (size_t i = 0; i < told.len; i++)
		puts(told.item[i]);
	if (r < 0)
		return r;
	printf("%sTotal reclaimed space: %s\n", told.len > 0 ? "\n" : "",
	       str_from_bytes(freed + more, size, sizeof(size)));
	return 0;
}

static int confirmed(const struct prune_opts *o, const char *what, struct err *e)
{
	return o->force ? 1 : ask_yes(what, e);
}

static int container_prune_main(void *opts, int argc, char **argv, struct err *e)
{
	int yes = confirmed(opts, "This removes all containers that do not run. Go on?", e);

	(void)argc;
	(void)argv;
	return yes <= 0 ? yes : prune(&(struct prune){ .containers = true }, e);
}

static int image_prune_main(void *opts, int argc, char **argv, struct err *e)
{
	const struct prune_opts *o = opts;
	int yes = confirmed(o,
			    o->all ? "This removes all images that no container uses. Go on?" :
				     "This removes all images without a name. Go on?",
			    e);

	(void)argc;
	(void)argv;
	return yes <= 0 ? yes : prune(&(struct prune){ .images = true, .all = o->all }, e);
}

static int system_prune_main(void *opts, int argc, char **argv, struct err *e)
{
	const struct prune_opts *o = opts;
	char what[256];
	int yes;

	(void)argc;
	(void)argv;
	str_format(what, sizeof(what),
		   "This removes all containers that do not run, all images %s,%s the build cache, and what "
		   "killed "
		   "commands left. Go on?",
		   o->all ? "that no container uses" : "without a name",
		   o->volumes ? " all anonymous volumes that no container uses," : "");
	yes = confirmed(o, what, e);
	return yes <= 0 ? yes :
			  prune(&(struct prune){ .containers = true,
						 .images = true,
						 .cache = true,
						 .volumes = o->volumes,
						 .all = o->all },
				e);
}

const struct cmd cmd_container_prune = {
	.name = "container prune",
	.group = CMD_LIFE,
	.args = "[OPTIONS]",
	.summary = "Remove all containers that do not run",
	.opts = container_opts,
	.opts_size = sizeof(struct prune_opts),
	.max_args = 0,
	.run = container_prune_main,
};

const struct cmd cmd_image_prune = {
	.name = "image prune",
	.group = CMD_IMAGES,
	.args = "[OPTIONS]",
	.summary = "Remove images nobody needs",
	.opts = image_opts,
	.opts_size = sizeof(struct prune_opts),
	.max_args = 0,
	.run = image_prune_main,
};

const struct cmd cmd_system_prune = {
	.name = "system prune",
	.group = CMD_SYSTEM,
	.args = "[OPTIONS]",
	.summary = "Remove everything nobody needs",
	.about = "Removes containers that do not run, images without a name (with --all: every image that no "
		 "container uses), the build "
		 "cache, and whatever commands that were killed have left behind.",
	.opts = system_opts,
	.opts_size = sizeof(struct prune_opts),
	.max_args = 0,
	.run = system_prune_main,
};
