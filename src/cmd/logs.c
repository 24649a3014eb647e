/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "cmd/each.h"
#include "cmd/when.h"
#include "cmd/table.h"
#include "runtime/runtime.h"

struct logs_opts {
	bool follow, timestamps;
	const char *since, *until, *tail;
};
#define OPT(member) offsetof(struct logs_opts, member)

static const struct opt logs_opts[] = {
	{ "follow", 'f', OPT_FLAG, OPT(follow), NULL, "Go on with what is written from now on", NULL },
	{ "since", 0, OPT_STRING, OPT(since), "TIME",
	  "Only from here: 2026-01-02T13:23:37Z, or 10m for ten minutes ago", NULL },
	{ "tail", 'n', OPT_STRING, OPT(tail), "N|all", "Only the last N lines (all)", "all 10 100" },
	{ "timestamps", 't', OPT_FLAG, OPT(timestamps), NULL, "Put the time in front of each line", NULL },
	{ "until", 0, OPT_STRING, OPT(until), "TIME", "Only up to here", NULL },
	{ 0 }
};

static int logs_line(void *arg, const char *stream, nsec_t when, const char *text, size_t len)
{
	const struct logs_opts *o = arg;
	FILE *out = str_eq(stream, "stderr") ? stderr : stdout;
	char time[TIME_RFC3339_SIZE];

	if (out == stderr)
		fflush(stdout); /* both may lead to one place: keep the order */
	if (o->timestamps)
		fprintf(out, "%s ", time_rfc3339(when, time));
	fwrite(text, 1, len, out);
	if (o->follow)
		fflush(out);
	return ferror(out) ? -EPIPE : 0;
}

static int logs_query(const struct logs_opts *o, struct instance_log_query *q, struct err *e)
{
	int r = when_parse("since", o->since, &q->since, e);

	if (r == 0)
		r = when_parse("until", o->until, &q->until, e);
	q->follow = o->follow;
	q->tail = -1;
	if (r < 0 || !o->tail || str_eq(o->tail, "all"))
		return r;
	if (str_to_i64(o->tail, &q->tail) < 0)
		return err_set(e, EINVAL,
			       "invalid argument \"%s\" for --tail: a number of lines, or all, is wanted",
			       o->tail);
	if (q->tail < 0)
		q->tail = -1;
	return 0;
}

static int logs_main(void *opts, int argc, char **argv, struct err *e)
{
	struct logs_opts *o = opts;
	struct instance_log_query q = { 0 };
	struct runtime *rt;
	char id[65];
	int r = logs_query(o, &q, e);

	(void)argc;
	if (r < 0)
		return r;
	r = cmd_runtime(&rt, e);
	if (r == 0)
		r = each_id(rt, argv[0], id, e);
	return r < 0 ? r : instance_log(rt, id, &q, logs_line, o, e);
}

const struct cmd cmd_logs = {
	.name = "logs",
	.aliases = "container logs",
	.group = CMD_LOOK,
	.args = "[OPTIONS] CONTAINER",
	.summary = "Print what a container has written",
	.about = "Prints a container's output, its standard error onto standard error. Logs are kept when "
		 "the container ends and go with "
		 "it; they are rotated at 10 MB, three files deep, unless --log-opt of hull-run(1) said "
		 "otherwise.",
	.examples = "hull logs -f -n 20 web\nThe last twenty lines, and what follows",
	.opts = logs_opts,
	.opts_size = sizeof(struct logs_opts),
	.min_args = 1,
	.max_args = 1,
	.run = logs_main,
	.complete = "@container",
};
