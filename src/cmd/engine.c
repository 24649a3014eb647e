/* SPDX-License-Identifier: Apache-2.0 */
/* engine.c - `hull engine`: what executes machines on this host, and how fast */
#include <errno.h>

#include "base/bug.h"
#include "base/err.h"
#include "cmd/print.h"
#include "cmd/table.h"
#include "cmd/vm_machines.h"
#include "engine/engine.h"
#include "engine/speed.h"
#include "runtime/machine.h"

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
						  { "Auto", "AUTO" },
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

/* auto_for() - the kernels that `auto` takes @ops for, as vm/machine.c does it */
static const char *auto_for(const struct engine_ops *ops)
{
	const bool first = engine_find(NULL, NULL) == ops,
		   fastest = engine_fastest(cmd_run_dir(), NULL) == ops;

	return first && fastest ? "all" : first ? "small guests" : fastest ? "operating systems" : "";
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
	row = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "Name", ops->name, "Ring0", "", "Ring3", "",
			"Exit", "", "FullSpeed", "", "Auto", o->quiet ? "" : auto_for(ops), "Reason", "");
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
			 "Auto}}\t{{.Reason}}",
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

/* --- stats --------------------------------------------------------------------------------------------------- */

struct stats_opts {
	bool all;
	const char *format;
};
#undef OPT
#define OPT(member) offsetof(struct stats_opts, member)

static const struct opt stats_opts[] = {
	{ "all", 'a', OPT_FLAG, OPT(all), NULL, "What has not happened yet, too", NULL },
	{ "format", 0, OPT_STRING, OPT(format), "FORMAT",
	  "'json', 'table TEMPLATE' or a template: {{.Counter}} {{.Value}}", NULL },
	{ 0 }
};

static const struct print_field stats_fields[] = { { "Machine", "MACHINE" }, { "Engine", "ENGINE" },
						   { "Cpu", "CPU" },         { "Counter", "COUNTER" },
						   { "Value", "VALUE" },     { 0 } };

static void stats_rows(const char *machine, const json_t *counters, bool all, json_t *rows)
{
	const json_t *cpus = json_object_get(counters, "Cpus");
	size_t cpu;
	json_t *one, *value;
	const char *name;

	json_array_foreach(cpus, cpu, one) json_object_foreach(one, name, value)
	{
		if (!all && json_integer_value(value) == 0)
			continue;
		json_array_append_new(rows, json_pack("{s:s, s:s, s:I, s:s, s:O}", "Machine", machine,
						      "Engine", json_path_str(counters, "Engine"), "Cpu",
						      (json_int_t)cpu, "Counter", name, "Value", value));
	}
}

static int stats_main(void *opts, int argc, char **argv, struct err *e)
{
	const struct stats_opts *o = opts;
	const struct print_list print = {
		.format = o->format,
		.fields = stats_fields,
		.table = "{{.Machine}}\t{{.Engine}}\t{{.Cpu}}\t{{.Counter}}\t{{.Value}}",
	};
	auto_machines struct machines *ms = NULL;
	int status = 0, r = vm_machines(&ms, e);
	json_t *rows = json_array();

	for (int i = 0; i < argc && ms; i++) {
		json_t *counters = NULL;
		struct err one = { 0 };
		char id[65];

		r = vm_id(ms, argv[i], id, &one);
		if (r == 0)
			r = machines_counters(ms, id, &counters, &one);
		if (r == 0)
			stats_rows(argv[i], counters, o->all, rows);
		else
			status = cmd_fail(&one);
		json_decref(counters);
	}
	if (!ms || (status && json_array_size(rows) == 0)) {
		json_decref(rows);
		return ms ? status : r;
	}
	r = print_list(&print, rows, e);
	return r < 0 ? r : status;
}

const struct cmd cmd_engine_stats = {
	.name = "engine stats",
	.group = CMD_SYSTEM,
	.args = "[OPTIONS] MACHINE [MACHINE...]",
	.summary = "Show what the engine has counted of a machine's processors",
	.about = "For each processor of machines that run, what has been counted since they started: "
		 "exits to hull by kind (exit-io, exit-mmio, exit-kicked, ...), and what the engine "
		 "counts of its own work.\n\n"
		 "bt counts blocks and instructions translated (blocks, instructions-translated) and the "
		 "bytes they take (cache-bytes), entries into translated code (enter) and its exits to a "
		 "direct or an indirect target (leave-direct, leave-indirect), instructions interpreted, "
		 "system calls and returns from interrupts (syscalls, irets), memory faults of the host "
		 "(host-faults), mappings made, ranges and whole address spaces dropped "
		 "(ranges-unmapped, flushes), exceptions and interrupts delivered to the guest, signals "
		 "from outside, stores into code and what they dropped (code-stores, code-pages-dropped, "
		 "code-blocks-dropped), accesses to devices (io), and switches between its processes "
		 "(space-switches). They are the word of the process that runs the guest: a guest that "
		 "has broken out into it may count as it likes.",
	.examples =
		"hull engine stats db\nWhat has happened in the machine 'db'\n\n"
		"hull engine stats --all --format '{{.Cpu}} {{.Counter}} {{.Value}}' db\nOne counter a line",
	.opts = stats_opts,
	.opts_size = sizeof(struct stats_opts),
	.min_args = 1,
	.max_args = -1,
	.run = stats_main,
	.complete = "@machine",
};

const struct cmd cmd_engine_list = {
	.name = "engine list",
	.aliases = "engine ls",
	.group = CMD_SYSTEM,
	.args = "[OPTIONS]",
	.summary = "List what can execute machines here, and how fast",
	.about = "Lists every engine in the order of preference: whether it can run on this host, if not "
		 "why, and how fast it is. Each is measured for a twentieth of a second in a machine of "
		 "2 MiB: the time of an instruction of a loop that adds numbers, in the guest's kernel "
		 "(ring 0) and in its programs (ring 3), and of a write to a port, which goes to hull "
		 "and back. FULL SPEED is yes where ring 0 takes no more than four times what the host "
		 "takes for the same.\n\n"
		 "HULL_ENGINE is the default of --engine wherever a machine starts: auto, kvm or bt. "
		 "What auto takes an engine for is under AUTO. Small guests go to the first of this list "
		 "that can run. An "
		 "operating system's kernel (a bzImage, or an ELF file for the upper half of the address "
		 "space) works "
		 "in ring 0: it goes to the first whose ring 0 has full speed, which is found out once and "
		 "kept in the run directory until the "
		 "host boots anew. A snapshot goes on on the engine that it was saved on.",
	.examples = "hull engine list\nWhat this host has\n\n"
		    "hull engine list --format '{{.Name}} {{.Ring0Picoseconds}}'\nPicoseconds for an "
		    "instruction of a guest's kernel\n\n"
		    "hull engine list -q\nNames of those that can run here",
	.opts = list_opts,
	.opts_size = sizeof(struct list_opts),
	.max_args = 0,
	.run = list_main,
};
