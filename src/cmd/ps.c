/* SPDX-License-Identifier: Apache-2.0 */
/* ps.c - the list of containers */
#include <errno.h>
#include <regex.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "cmd/du.h"
#include "cmd/print.h"
#include "cmd/table.h"
#include "runtime/runtime.h"

struct ps_opts {
	bool all, latest, no_trunc, quiet, size;
	int last;
	struct strv filter;
	const char *format;
};
#define OPT(member) offsetof(struct ps_opts, member)

static const struct opt ps_opts[] = {
	{ "all", 'a', OPT_FLAG, OPT(all), NULL, "Those that do not run, too", NULL },
	{ "filter", 'f', OPT_LIST, OPT(filter), "KEY=VALUE",
	  "Only these: name, id, status, exited, label, ancestor, before, since, volume, network, health, "
	  "isolation",
	  NULL },
	{ "format", 0, OPT_STRING, OPT(format), "FORMAT",
	  "'json', 'table TEMPLATE' or a template: {{.ID}} {{.Names}}", NULL },
	{ "last", 'n', OPT_INT32, OPT(last), "N", "The N newest, in any state", NULL },
	{ "latest", 'l', OPT_FLAG, OPT(latest), NULL, "The newest, in any state", NULL },
	{ "no-trunc", 0, OPT_FLAG, OPT(no_trunc), NULL, "Do not shorten ids and commands", NULL },
	{ "quiet", 'q', OPT_FLAG, OPT(quiet), NULL, "Only ids", NULL },
	{ "size", 's', OPT_FLAG, OPT(size), NULL, "How much each has written", NULL },
	{ 0 }
};

static const struct print_field ps_fields[] = { { "ID", "CONTAINER ID" },
						{ "Image", "IMAGE" },
						{ "Command", "COMMAND" },
						{ "CreatedAt", "CREATED AT" },
						{ "RunningFor", "CREATED" },
						{ "Ports", "PORTS" },
						{ "State", "STATE" },
						{ "Status", "STATUS" },
						{ "Size", "SIZE" },
						{ "Names", "NAMES" },
						{ "Labels", "LABELS" },
						{ "Mounts", "MOUNTS" },
						{ "LocalVolumes", "LOCAL VOLUMES" },
						{ "Networks", "NETWORKS" },
						{ "Isolation", "ISOLATION" },
						{ 0 } };

static const char ps_filters[] =
	"name id status exited label label! ancestor before since volume network health isolation";

enum { COMMAND_COLUMNS = 20 };

/* One pass over all instances. */
struct ps {
	const struct ps_opts *o;
	struct runtime *rt;
	bool all;
	nsec_t before_ns, since_ns; /* of the containers these filters name; 0: none */
	struct strv ancestors;      /* image ids */
	struct ps_row {
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
	case INSTANCE_RESTARTING:
		return json_format("Restarting (%d) %s ago", in->exit_code, time_ago(down, ago, sizeof(ago)));
	case INSTANCE_EXITED:
		return json_format("Exited (%d) %s ago", in->exit_code, time_ago(down, ago, sizeof(ago)));
	case INSTANCE_DEAD: return json_string("Dead");
	case INSTANCE_RUNNING:
	case INSTANCE_STATUS_COUNT: break;
	}
	if (!in->health)
		return json_format("Up %s", time_ago(up, ago, sizeof(ago)));
	return json_format("Up %s (%s%s)", time_ago(up, ago, sizeof(ago)),
			   str_eq(in->health, "starting") ? "health: " : "", in->health);
}

/* command_text() - path and arguments in quotes, cut to a column's width unless all of it is wanted */
static json_t *command_text(const struct instance *in, bool no_trunc)
{
	auto_fini(buf) struct buf b = { 0 };
	const json_t *args = json_path(in->config, "Args");
	size_t keep;

	buf_puts(&b, json_path_str(in->config, "Path"));
	for (size_t i = 0; i < json_array_size(args); i++)
		buf_printf(&b, " %s", json_string_value(json_array_get(args, i)));
	for (size_t i = 0; i < b.len; i++)
		if (b.data[i] == '\n' || b.data[i] == '\t')
			b.data[i] = ' ';
	if (no_trunc || b.len < COMMAND_COLUMNS)
		return json_format("\"%s\"", buf_str(&b));
	keep = COMMAND_COLUMNS - 1;
	while (keep > 0 && ((unsigned char)b.data[keep] & 0xc0) == 0x80) /* not inside a character */
		keep--;
	return json_format("\"%.*s…\"", (int)keep, b.data);
}

static json_t *labels_text(const json_t *labels)
{
	auto_fini(buf) struct buf b = { 0 };
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)labels, key, value)
		buf_printf(&b, "%s%s=%s", b.len > 0 ? "," : "", key, json_string_value(value));
	return json_string(buf_str(&b));
}

/* mounts_text() - volumes by name, the rest by source; *ret_volumes: how many are named volumes */
static json_t *mounts_text(const json_t *mounts, bool no_trunc, int *ret_volumes)
{
	auto_fini(buf) struct buf b = { 0 };

	*ret_volumes = 0;
	for (size_t i = 0; i < json_array_size(mounts); i++) {
		const json_t *m = json_array_get(mounts, i);
		bool volume = str_eq(json_path_str(m, "Type"), "volume");
		const char *what = json_path_str(m, volume ? "Name" : "Source");
		bool cut = !no_trunc && strlen(what) > 15;

		*ret_volumes += volume;
		buf_printf(&b, "%s%.*s%s", b.len > 0 ? "," : "", cut ? 14 : 4096, what, cut ? "…" : "");
	}
	return json_string(buf_str(&b));
}

static json_t *size_text(const struct ps *p, const struct instance *in)
{
	auto_fini(image) struct image im = { 0 };
	auto_close int upper = instance_upper(p->rt, in->id, NULL);
	uint64_t written = upper >= 0 ? du_tree(upper) : 0;
	char w[32], v[32];

	store_image_find(runtime_store(p->rt), in->image_id, &im, NULL);
	return json_format("%s (virtual %s)", str_from_bytes(written, w, sizeof(w)),
			   str_from_bytes(written + im.size_bytes, v, sizeof(v)));
}

static json_t *ps_row(const struct ps *p, const struct instance *in)
{
	const json_t *labels = json_path(in->config, "Config.Labels");
	bool no_trunc = p->o->no_trunc;
	json_t *row = json_object();
	int volumes;

	json_object_set_new(row, "ID", json_id(in->id, no_trunc));
	json_object_set_new(row, "Image", json_string(in->image));
	json_object_set_new(row, "Command", command_text(in, no_trunc));
	json_object_set_new(row, "CreatedAt", json_local_time(in->created_ns));
	json_object_set_new(row, "RunningFor", json_ago(in->created_ns));
	json_object_set_new(row, "Ports", json_string(""));
	json_object_set_new(row, "State", json_string(instance_status_name(in->status)));
	json_object_set_new(row, "Status", status_text(in));
	json_object_set_new(row, "Size", p->o->size ? size_text(p, in) : json_string("0B"));
	json_object_set_new(row, "Names", json_string(in->name));
	json_object_set_new(row, "Labels", labels_text(labels));
	json_object_set(row, "Label", (json_t *)labels);
	json_object_set_new(row, "Mounts", mounts_text(json_path(in->config, "Mounts"), no_trunc, &volumes));
	json_object_set_new(row, "LocalVolumes", json_format("%d", volumes));
	json_object_set_new(row, "Networks",
			    json_string(json_path_str(in->config, "HostConfig.NetworkMode")));
	json_object_set_new(row, "Isolation", json_string(json_path_str(in->config, "HostConfig.Isolation")));
	return row;
}

static bool name_matches(const void *name, const char *pattern)
{
	bool found;
	regex_t re;

	if (*pattern == '/') /* names had a slash in front once, and scripts still ask so: ^/web$ */
		pattern++;
	if (regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB) != 0)
		return filter_contains(name, pattern);
	found = regexec(&re, name, 0, NULL, 0) == 0;
	regfree(&re);
	return found;
}

static bool mount_matches(const void *mounts, const char *want)
{
	for (size_t i = 0; i < json_array_size(mounts); i++) {
		const json_t *m = json_array_get(mounts, i);

		if (str_eq(json_path_str(m, "Name"), want) || str_eq(json_path_str(m, "Destination"), want) ||
		    str_eq(json_path_str(m, "Source"), want))
			return true;
	}
	return false;
}

static bool ancestor_matches(const struct ps *p, const struct instance *in)
{
	for (size_t i = 0; i < p->ancestors.len; i++)
		if (str_eq(p->ancestors.item[i], in->image_id))
			return true;
	return !filter_has(&p->o->filter, "ancestor");
}

static bool ps_wanted(const struct ps *p, const struct instance *in)
{
	const struct strv *f = &p->o->filter;
	bool live = in->status == INSTANCE_RUNNING || in->status == INSTANCE_PAUSED ||
		    in->status == INSTANCE_RESTARTING;
	char code[16];

	str_format(code, sizeof(code), "%d", in->exit_code);
	if (!p->all && !live)
		return false;
	if (filter_has(f, "exited") &&
	    (in->status != INSTANCE_EXITED || !filter_match(f, "exited", filter_equals, code)))
		return false;
	if ((p->before_ns && in->created_ns >= p->before_ns) ||
	    (p->since_ns && in->created_ns <= p->since_ns))
		return false;
	return filter_match(f, "name", name_matches, in->name) &&
	       filter_match(f, "id", filter_prefix, in->id) &&
	       filter_match(f, "status", filter_equals, instance_status_name(in->status)) &&
	       filter_match(f, "health", filter_equals, in->health ? in->health : "none") &&
	       filter_match(f, "network", filter_equals,
			    json_path_str(in->config, "HostConfig.NetworkMode")) &&
	       filter_match(f, "isolation", filter_equals,
			    json_path_str(in->config, "HostConfig.Isolation")) &&
	       filter_match(f, "volume", mount_matches, json_path(in->config, "Mounts")) &&
	       filter_labels(f, json_path(in->config, "Config.Labels")) && ancestor_matches(p, in);
}

static int ps_each(void *arg, const struct instance *in)
{
	struct ps *p = arg;
	struct ps_row *row;

	if (!ps_wanted(p, in))
		return 0;
	row = reallocarray(p->row, p->n + 1, sizeof(*row));
	if (!row)
		return -ENOMEM;
	p->row = row;
	p->row[p->n++] = (struct ps_row){ in->created_ns, ps_row(p, in) };
	return 0;
}

static int newest_first(const void *a, const void *b)
{
	const struct ps_row *x = a, *y = b;

	return (x->created_ns < y->created_ns) - (x->created_ns > y->created_ns);
}

static int created_of(struct runtime *rt, const char *name, nsec_t *ret_ns, struct err *e)
{
	auto_fini(instance) struct instance in = { 0 };
	int r = instance_find(rt, name, &in, e);

	if (r == 0)
		*ret_ns = in.created_ns;
	return r;
}

/* resolve_filters() - those that name another object */
static int resolve_filters(struct ps *p, struct err *e)
{
	const struct strv *f = &p->o->filter;
	int r = 0;

	for (size_t i = 0; i < f->len && r == 0; i++) {
		auto_fini(image) struct image im = { 0 };
		const char *value = strchr(f->item[i], '=') + 1;

		if (str_starts(f->item[i], "before="))
			r = created_of(p->rt, value, &p->before_ns, e);
		else if (str_starts(f->item[i], "since="))
			r = created_of(p->rt, value, &p->since_ns, e);
		else if (str_starts(f->item[i], "ancestor=") &&
			 store_image_find(runtime_store(p->rt), value, &im, NULL) == 0)
			strv_add(&p->ancestors, im.id);
	}
	return r;
}

static int ps_print(struct ps *p, struct err *e)
{
	struct print_list list = {
		.format = p->o->format,
		.fields = ps_fields,
		.quiet = p->o->quiet ? "{{.ID}}" : NULL,
		.table = p->o->size ? "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{."
				      "Ports}}\t{{.Names}}\t{{.Size}}" :
				      "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{."
				      "Ports}}\t{{.Names}}",
	};
	size_t most = p->o->latest ? 1 : p->o->last > 0 ? (size_t)p->o->last : p->n;
	json_t *rows = json_array();

	if (p->n > 1)
		qsort(p->row, p->n, sizeof(*p->row), newest_first);
	for (size_t i = 0; i < p->n && i < most; i++)
		json_array_append(rows, p->row[i].row);
	return print_list(&list, rows, e);
}

static int ps_main(void *opts, int argc, char **argv, struct err *e)
{
	const struct ps_opts *o = opts;
	struct ps p = { .o = o };
	int r = filter_check(&o->filter, ps_filters, e);

	(void)argc;
	(void)argv;
	p.all = o->all || o->latest || o->last > 0 || filter_has(&o->filter, "status") ||
		filter_has(&o->filter, "exited");
	if (r == 0)
		r = cmd_runtime(&p.rt, e);
	if (r == 0)
		r = resolve_filters(&p, e);
	if (r == 0)
		r = instance_each(p.rt, ps_each, &p, e);
	if (r == 0)
		r = ps_print(&p, e);
	for (size_t i = 0; i < p.n; i++)
		json_decref(p.row[i].row);
	free(p.row);
	strv_fini(&p.ancestors);
	return r;
}

const struct cmd cmd_ps = {
	.name = "ps",
	.aliases = "container ls,container list,container ps",
	.group = CMD_LOOK,
	.args = "[OPTIONS]",
	.summary = "List containers",
	.about = "Lists the containers that run, or with --all every one, the newest first. Values of one "
		 "filter key are "
		 "alternatives; different keys must all hold.",
	.examples = "hull ps -a --filter status=exited -q\nIds of those that have ended\n\n"
		    "hull ps --format 'table {{.Names}}\\t{{.Status}}'\nA table of two columns",
	.opts = ps_opts,
	.opts_size = sizeof(struct ps_opts),
	.max_args = 0,
	.run = ps_main,
};
