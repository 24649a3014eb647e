/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "cmd/print.h"
#include "cmd/table.h"
#include "cmd/when.h"
#include "runtime/runtime.h"

struct events_opts {
	const char *since, *until, *format;
	struct strv filter;
};
#define OPT(member) offsetof(struct events_opts, member)

static const struct opt events_opts[] = {
	{ "filter", 'f', OPT_LIST, OPT(filter), "KEY=VALUE",
	  "Only these: type, event, container, image, volume, label", NULL },
	{ "format", 0, OPT_STRING, OPT(format), "FORMAT",
	  "'json' or a template: {{.Type}} {{.Action}} {{.Actor.ID}}", NULL },
	{ "since", 0, OPT_STRING, OPT(since), "TIME",
	  "Also what happened since: 2026-01-02T13:23:37Z, or 10m", NULL },
	{ "until", 0, OPT_STRING, OPT(until), "TIME", "End there", NULL },
	{ 0 }
};

struct events {
	const struct events_opts *o;
	struct err *e;
};

/* is_object() - --filter container=X: the event is of that type, and X is its id's beginning or its name */
static bool is_object(const json_t *event, const struct strv *filters, const char *type)
{
	if (!filter_has(filters, type))
		return true;
	return str_eq(json_path_str(event, "Type"), type) &&
	       (filter_match(filters, type, filter_prefix, json_path_str(event, "Actor.ID")) ||
		filter_match(filters, type, filter_equals, json_path_str(event, "Actor.Attributes.name")));
}

static bool action_matches(const void *action, const char *want)
{
	size_t len = strlen(want); /* "exec_start" also for "exec_start: sh -c ..." */

	return strncmp(action, want, len) == 0 &&
	       (!((const char *)action)[len] || ((const char *)action)[len] == ':');
}

static bool event_wanted(const json_t *event, const struct strv *f)
{
	return filter_match(f, "type", filter_equals, json_path_str(event, "Type")) &&
	       filter_match(f, "event", action_matches, json_path_str(event, "Action")) &&
	       is_object(event, f, "container") && is_object(event, f, "image") &&
	       is_object(event, f, "volume") && filter_labels(f, json_path(event, "Actor.Attributes"));
}

/* print_plain() - "2026-11-21T03:54:34.1Z container start ID (image=a, name=b)" */
static void print_plain(const json_t *event)
{
	auto_fini(buf) struct buf b = { 0 };
	const json_t *attributes = json_path(event, "Actor.Attributes");
	char time[TIME_RFC3339_SIZE];
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)attributes, key, value)
		buf_printf(&b, "%s%s=%s", b.len > 0 ? ", " : "", key, json_string_value(value));
	printf("%s %s %s %s", time_rfc3339(json_integer_value(json_path(event, "timeNano")), time),
	       json_path_str(event, "Type"), json_path_str(event, "Action"),
	       json_path_str(event, "Actor.ID"));
	if (b.len > 0)
		printf(" (%s)", b.data);
	putchar('\n');
}

static int events_each(void *arg, const json_t *event)
{
	const struct events *ev = arg;
	int r = 0;

	if (!event_wanted(event, &ev->o->filter))
		return 0;
	if (ev->o->format)
		r = print_value(ev->o->format, event, ev->e);
	else
		print_plain(event);
	fflush(stdout);
	return ferror(stdout) ? -EPIPE : r;
}

static int events_main(void *opts, int argc, char **argv, struct err *e)
{
	struct events ev = { .o = opts, .e = e };
	nsec_t now = time_now_ns(CLOCK_REALTIME), since = now, until = 0;
	struct runtime *rt;
	int r = filter_check(&ev.o->filter, "type event container image volume label label!", e);

	(void)argc;
	(void)argv;
	if (r >= 0)
		r = when_parse("since", ev.o->since, &since, e);
	if (r >= 0)
		r = when_parse("until", ev.o->until, &until, e);
	if (r >= 0)
		r = cmd_runtime(&rt, e);
	return r < 0 ? r : event_read(rt, since, until, until == 0 || until > now, events_each, &ev, e);
}

const struct cmd cmd_events = {
	.name = "events",
	.aliases = "system events",
	.group = CMD_SYSTEM,
	.args = "[OPTIONS]",
	.summary = "Print what happens, as it happens",
	.about = "Prints one line for each thing that happens to containers, images and volumes, until "
		 "interrupted or --until is reached.",
	.examples = "hull events --since 1h --until 0s --filter event=die\nContainers that ended in the last "
		    "hour",
	.opts = events_opts,
	.opts_size = sizeof(struct events_opts),
	.max_args = 0,
	.run = events_main,
};
