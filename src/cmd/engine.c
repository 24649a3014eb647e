/* SPDX-License-Identifier: Apache-2.0 */
/* engine.c - `hull engine`: what executes machines on this host, and how fast */
#include <errno.h>

#include "base/bug.h"
#include "base/err.h"
#include "cmd/print.h"
#include "cmd/table.h"
#include "engine/engine.h"
#include "engine/speed.h"

struct list_opts {
	bool quiet;
	const char *format;
};
#define OPT(member) offsetof(struct list_opts, member)

static const struct opt list_opts[] = {
	{ "format", 0, OPT_STRING, OPT(format), "FORMAT",
	  "'json', 'table TEMPLATE' or a template: {{.Name}} {{.Ring0}}", NULL },
	{ "quiet", 'q', OPT_FLAG, OPT(quiet), NULL,
	  "Only names of those that can run here; nothing is measured", NULL },
	{ 0 }
};

static const struct print_field list_fields[] = { { "Name", "ENGINE" },
						  { "Usable", "USABLE" },
						  { "Ring0", "RING 0" },
						  { "Ring3", "RING 3" },
						  { "Exit", "PORT EXIT" },
						  { "FullSpeed", "FULL SPEED" },
						  { "Reason", "WHY NOT" },
						  { "Ring0Picoseconds", "RING 0 PS" },
						  { "Ring3Picoseconds", "RING 3 PS" },
						  { "ExitNanoseconds", "EXIT NS" },
						  { 0 } };

/* json_duration() - three digits or so: "0.25 ns", "18.3 us" */
static json_t *json_duration(uint64_t ps)
{
	static const char *const unit[] = { "ps", "ns", "us", "ms" };
	unsigned long long div = 1, whole;
	size_t i = 0;

	while (ps / div >= 1000 && i + 1 < ARRAY_SIZE(unit)) {
		div *= 1000;
		i++;
	}
	whole = ps / div;
	if (i == 0 || whole >= 100)
		return json_format("%llu %s", whole, unit[i]);
	if (whole >= 10)
		return json_format("%llu.%llu %s", whole, ps % div * 10 / div, unit[i]);
	return json_format("%llu.%02llu %s", whole, ps % div * 100 / div, unit[i]);
}

static void put_speed(json_t *row, const struct engine_speed *s)
{
	json_object_set_new(row, "Ring0", json_duration(s->ring0_ps));
	json_object_set_new(row, "Ring3", json_duration(s->ring3_ps));
	json_object_set_new(row, "Exit", json_duration(s->exit_ns * 1000));
	json_object_set_new(row, "FullSpeed", json_string(engine_speed_is_full(s) ? "yes" : "no"));
	json_object_set_new(row, "Ring0Picoseconds", json_integer((json_int_t)s->ring0_ps));
	json_object_set_new(row, "Ring3Picoseconds", json_integer((json_int_t)s->ring3_ps));
	json_object_set_new(row, "ExitNanoseconds", json_integer((json_int_t)s->exit_ns));
}

/* list_row() - Return: NULL when only names of usable ones are wanted and this is none */
static json_t *list_row(const struct engine_ops *ops, const struct list_opts *o)
{
	struct err why = { 0 };
	struct engine_speed s;
	int r = ops->probe(&why);
	json_t *row;

	if (r < 0 && o->quiet)
		return NULL;
	row = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "Name", ops->name, "Ring0", "", "Ring3", "", "Exit",
			"", "FullSpeed", "", "Reason", "");
	if (r == 0 && !o->quiet) {
		r = engine_speed(ops, ENGINE_SPEED_MS, &s, &why);
		if (r == 0)
			put_speed(row, &s);
	}
	json_object_set_new(row, "Usable", json_string(r < 0 ? "no" : "yes"));
	json_object_set_new(row, "Reason", json_string(r < 0 ? why.text : ""));
	return row;
}

static int list_main(void *opts, int argc, char **argv, struct err *e)
{
	const struct list_opts *o = opts;
	const struct print_list print = {
		.format = o->format,
		.fields = list_fields,
		.quiet = o->quiet ? "{{.Name}}" : NULL,
		.table = "{{.Name}}\t{{.Usable}}\t{{.Ring0}}\t{{.Ring3}}\t{{.Exit}}\t{{.FullSpeed}}\t{{."
			 "Reason}}",
	};
	json_t *rows = json_array();

	(void)argc;
	(void)argv;
	for (const struct engine_ops *const *t = engine_table; *t; t++) {
		json_t *row = list_row(*t, o);

		if (row)
			json_array_append_new(rows, row);
	}
	return print_list(&print, rows, e);
}

const struct cmd cmd_engine_list = {
	.name = "engine list",
	.aliases = "engine ls",
	.group = CMD_SYSTEM,
	.args = "[OPTIONS]",
	.summary = "List what can execute machines here, and how fast",
	.about =
		"Lists every engine in the order of preference: whether it can run on this host, if not why, "
		"and how fast it is. "
		"Each is measured for a twentieth of a second in a machine of 2 MiB: the time of an "
		"instruction of a loop "
		"that adds numbers, in the guest's kernel (ring 0) and in its programs (ring 3), and of a "
		"write to a port, "
		"which goes to hull and back. FULL SPEED is yes where ring 0 takes no more than four times "
		"what the host takes for "
		"the same.\n\n"
		"HULL_ENGINE is the default of --engine wherever a machine starts: auto, kvm or bt. auto is "
		"the first of this list that can run.",
	.examples = "hull engine list\nWhat this host has\n\n"
		    "hull engine list --format '{{.Name}} {{.Ring0Picoseconds}}'\nPicoseconds for an "
		    "instruction of a guest's kernel\n\n"
		    "hull engine list -q\nNames of those that can run here",
	.opts = list_opts,
	.opts_size = sizeof(struct list_opts),
	.max_args = 0,
	.run = list_main,
};
