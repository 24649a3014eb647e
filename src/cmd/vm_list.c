/* SPDX-License-Identifier: Apache-2.0 */
/* vm_list.c - machines with names: ps and inspect */
#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/guard.h"
#include "cmd/print.h"
#include "cmd/table.h"
#include "cmd/vm_machines.h"
#include "runtime/machine.h"

struct list_opts {
	bool all, no_trunc, quiet;
	struct strv filter;
	const char *format;
};
#define OPT(member) offsetof(struct list_opts, member)

static const struct opt ps_opts[] = {
	{ "all", 'a', OPT_FLAG, OPT(all), NULL, "Those that do not run, too", NULL },
	{ "filter", 'f', OPT_LIST, OPT(filter), "KEY=VALUE", "Only these: name, id, status, exited", NULL },
	{ "format", 0, OPT_STRING, OPT(format), "FORMAT",
	  "'json', 'table TEMPLATE' or a template: {{.ID}} {{.Names}}", NULL },
	{ "no-trunc", 0, OPT_FLAG, OPT(no_trunc), NULL, "Do not shorten ids", NULL },
	{ "quiet", 'q', OPT_FLAG, OPT(quiet), NULL, "Only ids", NULL },
	{ 0 }
};

static const struct opt inspect_opts[] = { { "format", 'f', OPT_STRING, OPT(format), "FORMAT",
					     "'json' or a template: {{.State.Pid}}", NULL },
					   { 0 } };

static const struct print_field ps_fields[] = { { "ID", "MACHINE ID" },
						{ "Kernel", "KERNEL" },
						{ "Cpus", "CPUS" },
						{ "Memory", "MEMORY" },
						{ "CreatedAt", "CREATED AT" },
						{ "RunningFor", "CREATED" },
						{ "State", "STATE" },
						{ "Status", "STATUS" },
						{ "Names", "NAMES" },
						{ 0 } };

struct list { /* one pass over all */
	const struct list_opts *o;
	bool all;
	struct list_row {
		nsec_t created_ns;
		json_t *row;
	} * row;
	size_t n;
};

static json_t *status_text(const struct instance *in)
{
	nsec_t now = time_now_ns(CLOCK_REALTIME);
	nsec_t up = now > in->started_ns ? now - in->started_ns : 0;
	nsec_t down = now > in->finished_ns ? now - in->finished_ns : 0;
	char ago[64];

	switch (in->status) {
	case INSTANCE_CREATED: return json_string("Created");
	case INSTANCE_PAUSED: return json_format("Up %s (Paused)", time_ago(up, ago, sizeof(ago)));
	case INSTANCE_EXITED:
		return json_format("Exited (%d) %s ago", in->exit_code, time_ago(down, ago, sizeof(ago)));
	case INSTANCE_DEAD: return json_string("Dead");
	default: return json_format("Up %s", time_ago(up, ago, sizeof(ago)));
	}
}

static json_t *ps_row(const struct list *l, const struct instance *in)
{
	const json_t *options = json_object_get(in->config, "Options");
	json_int_t mib = json_integer_value(json_object_get(options, "Memory")) >> 20;
	json_t *row = json_object();

	json_object_set_new(row, "ID", json_id(in->id, l->o->no_trunc));
	json_object_set_new(row, "Kernel", json_string(json_path_str(options, "Kernel")));
	json_object_set_new(
		row, "Cpus",
		json_format("%lld", (long long)json_integer_value(json_object_get(options, "Cpus"))));
	json_object_set_new(row, "Memory", json_format("%lldMiB", (long long)mib));
	json_object_set_new(row, "CreatedAt", json_local_time(in->created_ns));
	json_object_set_new(row, "RunningFor", json_ago(in->created_ns));
	json_object_set_new(row, "State", json_string(instance_status_name(in->status)));
	json_object_set_new(row, "Status", status_text(in));
	json_object_set_new(row, "Names", json_string(in->name));
	return row;
}

static bool wanted(const struct list *l, const struct instance *in)
{
	const struct strv *f = &l->o->filter;
	char code[16];

	str_format(code, sizeof(code), "%d", in->exit_code);
	if (!l->all && in->status != INSTANCE_RUNNING && in->status != INSTANCE_PAUSED)
		return false;
	if (filter_has(f, "exited") &&
	    (in->status != INSTANCE_EXITED || !filter_match(f, "exited", filter_equals, code)))
		return false;
	return filter_match(f, "name", filter_contains, in->name) &&
	       filter_match(f, "id", filter_prefix, in->id) &&
	       filter_match(f, "status", filter_equals, instance_status_name(in->status));
}

static int list_each(void *arg, const struct instance *in)
{
	struct list *l = arg;
	struct list_row *row;

	if (!wanted(l, in))
		return 0;
	row = reallocarray(l->row, l->n + 1, sizeof(*row));
	if (!row)
		return -ENOMEM;
	l->row = row;
	l->row[l->n++] = (struct list_row){ in->created_ns, ps_row(l, in) };
	return 0;
}

static int newest_first(const void *a, const void *b)
{
	const struct list_row *x = a, *y = b;

	return (x->created_ns < y->created_ns) - (x->created_ns > y->created_ns);
}

static int ps_main(void *opts, int argc, char **argv, struct err *e)
{
	const struct list_opts *o = opts;
	const struct print_list print = {
		.format = o->format,
		.fields = ps_fields,
		.quiet = o->quiet ? "{{.ID}}" : NULL,
		.table = "{{.ID}}\t{{.Kernel}}\t{{.Cpus}}\t{{.Memory}}\t{{.RunningFor}}\t{{.Status}}\t{{."
			 "Names}}",
	};
	struct list l = { .o = o };
	auto_machines struct machines *ms = NULL;
	json_t *rows = json_array();
	int r = filter_check(&o->filter, "name id status exited", e);

	(void)argc;
	(void)argv;
	l.all = o->all || filter_has(&o->filter, "status") || filter_has(&o->filter, "exited");
	if (r == 0)
		r = vm_machines(&ms, e);
	if (r == 0)
		r = machines_each(ms, list_each, &l, e);
	if (l.n > 1)
		qsort(l.row, l.n, sizeof(*l.row), newest_first);
	for (size_t i = 0; i < l.n; i++)
		json_array_append_new(rows, l.row[i].row);
	free(l.row);
	if (r == 0)
		return print_list(&print, rows, e);
	json_decref(rows);
	return r;
}

static int inspect_main(void *opts, int argc, char **argv, struct err *e)
{
	const struct list_opts *o = opts;
	auto_machines struct machines *ms = NULL;
	json_t *found = json_array(), *one;
	int status = 0, r = vm_machines(&ms, e);
	size_t k;

	for (int i = 0; i < argc && r == 0; i++) {
		auto_fini(instance) struct instance in = { 0 };
		struct err why = { 0 };

		if (machines_find(ms, argv[i], &in, &why) < 0) {
			status = cmd_fail(&why);
			continue;
		}
		one = json_copy(in.config);
		json_object_set(one, "State", in.state);
		json_array_append_new(found, one);
	}
	if (r == 0 && (!o->format || str_eq(o->format, "json")))
		r = print_value(o->format, found, e);
	else
		json_array_foreach(found, k, one) if (r == 0) r = print_value(o->format, one, e);
	json_decref(found);
	return r < 0 ? r : status;
}

const struct cmd cmd_vm_ps = {
	.name = "vm ps",
	.aliases = "vm ls,vm list",
	.group = CMD_LOOK,
	.args = "[OPTIONS]",
	.summary = "List machines",
	.about = "Lists the machines that run, or with --all every one, the newest first. Values of one "
		 "filter key are "
		 "alternatives; different keys must all hold.",
	.examples = "hull vm ps -a --filter status=exited -q\nIds of those that have ended",
	.opts = ps_opts,
	.opts_size = sizeof(struct list_opts),
	.max_args = 0,
	.run = ps_main,
};

const struct cmd cmd_vm_inspect = {
	.name = "vm inspect",
	.group = CMD_LOOK,
	.args = "[OPTIONS] MACHINE [MACHINE...]",
	.summary = "All that is known of machines, as JSON",
	.examples = "hull vm inspect -f '{{.State.Pid}}' db\nProcess id of the machine",
	.opts = inspect_opts,
	.opts_size = sizeof(struct list_opts),
	.min_args = 1,
	.max_args = -1,
	.run = inspect_main,
	.complete = "@machine",
};
