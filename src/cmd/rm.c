/* SPDX-License-Identifier: Apache-2.0 */
/* rm.c - rm, rename, update and wait */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "cmd/each.h"
#include "cmd/run_flags.h"
#include "cmd/table.h"

struct rm_opts {
	bool force, volumes;
};
#define OPT(member) offsetof(struct rm_opts, member)

static const struct opt rm_opts[] = { { "force", 'f', OPT_FLAG, OPT(force), NULL,
					"Kill what runs; one that is not there is no error", NULL },
				      { "volumes", 'v', OPT_FLAG, OPT(volumes), NULL,
					"Remove its anonymous volumes too", NULL },
				      { 0 } };

static int rm_one(struct runtime *rt, const char *name, const struct rm_opts *o, struct err *e)
{
	char id[65];
	int r = each_id(rt, name, id, e);

	if (r == 0)
		r = instance_remove(rt, id, o->force, o->volumes, e);
	return r;
}

static int rm_main(void *opts, int argc, char **argv, struct err *e)
{
	const struct rm_opts *o = opts;
	struct runtime *rt;
	int status = 0;
	int r = cmd_runtime(&rt, e);

	if (r < 0)
		return r;
	for (int i = 0; i < argc; i++) {
		struct err one = { 0 };

		r = rm_one(rt, argv[i], o, &one);
		if (r == 0) {
			puts(argv[i]);
			continue;
		}
		cmd_fail(&one);
		status |= !(r == -ENOENT && o->force);
	}
	return status;
}

static int rename_main(void *o, int argc, char **argv, struct err *e)
{
	struct runtime *rt;
	char id[65];
	int r = cmd_runtime(&rt, e);

	(void)o;
	(void)argc;
	if (r == 0)
		r = each_id(rt, argv[0], id, e);
	return r < 0 ? r : instance_rename(rt, id, argv[1], e);
}

static int update_one(struct runtime *rt, const char *id, void *arg, struct err *e)
{
	return instance_update(rt, id, arg, e);
}

static int update_main(void *o, int argc, char **argv, struct err *e)
{
	struct run_flags *f = o;
	int r = run_flags_finish(f, 0, NULL, e);

	if (r == 0)
		r = each_container(argc, argv, update_one, &f->config, e);
	instance_config_fini(&f->config);
	return r;
}

static int wait_main(void *o, int argc, char **argv, struct err *e)
{
	struct runtime *rt;
	int status = 0;
	int r = cmd_runtime(&rt, e);

	(void)o;
	if (r < 0)
		return r;
	for (int i = 0; i < argc; i++) {
		struct err one = { 0 };
		char id[65];
		int code;

		r = each_id(rt, argv[i], id, &one);
		if (r >= 0)
			r = instance_wait(rt, id, &code, &one);
		if (r < 0)
			status = cmd_fail(&one);
		else
			printf("%d\n", code);
		fflush(stdout);
	}
	return status;
}

const struct cmd cmd_rm = {
	.name = "rm",
	.aliases = "container rm,container remove",
	.group = CMD_LIFE,
	.args = "[OPTIONS] CONTAINER [CONTAINER...]",
	.summary = "Remove containers",
	.about = "Removes containers that do not run, and with --force those that do, with all that belongs "
		 "to them: what they wrote, "
		 "their logs and limits. What an earlier, killed command left of them goes too.",
	.opts = rm_opts,
	.opts_size = sizeof(struct rm_opts),
	.min_args = 1,
	.max_args = -1,
	.run = rm_main,
	.complete = "@container",
};

const struct cmd cmd_rename = {
	.name = "rename",
	.aliases = "container rename",
	.group = CMD_LIFE,
	.args = "CONTAINER NEW_NAME",
	.summary = "Give a container another name",
	.min_args = 2,
	.max_args = 2,
	.run = rename_main,
	.complete = "@container",
};

const struct cmd cmd_update = {
	.name = "update",
	.aliases = "container update",
	.group = CMD_LIFE,
	.args = "[OPTIONS] CONTAINER [CONTAINER...]",
	.summary = "Change the limits of containers",
	.about = "Changes limits and the restart policy of containers, running or not; what is not named "
		 "stays as it is.",
	.examples = "hull update --memory 1g --cpus 2 web\nMore room for a running container",
	.opts = run_flag_opts + RUN_FLAGS_UPDATE,
	.opts_size = sizeof(struct run_flags),
	.defaults = run_flags_defaults,
	.min_args = 1,
	.max_args = -1,
	.run = update_main,
	.complete = "@container",
};

const struct cmd cmd_wait = {
	.name = "wait",
	.aliases = "container wait",
	.group = CMD_LIFE,
	.args = "CONTAINER [CONTAINER...]",
	.summary = "Wait until containers end, then print their exit codes",
	.min_args = 1,
	.max_args = -1,
	.run = wait_main,
	.complete = "@container",
};
