/* SPDX-License-Identifier: Apache-2.0 */
/* stats.c - what containers use, once or as a list that renews itself */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "cmd/print.h"
#include "cmd/table.h"
#include "runtime/runtime.h"

struct stats_opts {
	bool all, no_stream, no_trunc;
	const char *format;
};
#define OPT(member) offsetof(struct stats_opts, member)

static const struct opt stats_opts[] = {
	{ "all", 'a', OPT_FLAG, OPT(all), NULL, "Those that do not run, too", NULL },
	{ "format", 0, OPT_STRING, OPT(format), "FORMAT",
	  "'json', 'table TEMPLATE' or a template: {{.Name}} {{.CPUPerc}}", NULL },
	{ "no-stream", 0, OPT_FLAG, OPT(no_stream), NULL, "Print once and end", NULL },
	{ "no-trunc", 0, OPT_FLAG, OPT(no_trunc), NULL, "Do not shorten ids", NULL },
	{ 0 }
};

static const struct print_field stats_fields[] = { { "Container", "CONTAINER" },
						   { "ID", "CONTAINER ID" },
						   { "Name", "NAME" },
						   { "CPUPerc", "CPU %" },
						   { "MemUsage", "MEM USAGE / LIMIT" },
						   { "MemPerc", "MEM %" },
						   { "NetIO", "NET I/O" },
						   { "BlockIO", "BLOCK I/O" },
						   { "PIDs", "PIDS" },
						   { 0 } };

enum { INTERVAL_S = 1 };

/* One container between two looks at it. */
struct sample {
	char id[65];
	char *name; /* owned */
	bool live;
	uint64_t cpu_ns;
	nsec_t when_ns; /* 0: not looked at yet */
};

struct stats {
	const struct stats_opts *o;
	struct runtime *rt;
	int argc;
	char **argv;
	struct sample *sample;
	size_t n;
};

/* binary_size() - "5.2MiB": powers of 1024, as memory is counted */
static const char *binary_size(uint64_t bytes, char *dst, size_t size)
{
	static const char *const unit[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
	double value = (double)bytes;
	size_t u = 0;

	for (; value >= 1024 && u + 1 < ARRAY_SIZE(unit); u++)
		value /= 1024;
	snprintf(dst, size, "%.4g%s", value, unit[u]);
	return dst;
}

static json_t *percent(double part)
{
	char text[32];

	snprintf(text, sizeof(text), "%.2f%%", part * 100);
	return json_string(text);
}

static uint64_t host_memory(void)
{
	return (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void put_usage(json_t *row, struct sample *s, const struct iso_usage *u)
{
	nsec_t now = time_now_ns(CLOCK_MONOTONIC);
	uint64_t limit =
		u->mem_limit_bytes && u->mem_limit_bytes < host_memory() ? u->mem_limit_bytes : host_memory();
	double cpu = s->when_ns && now > s->when_ns && u->cpu_ns > s->cpu_ns ?
			     (double)(u->cpu_ns - s->cpu_ns) / (double)(now - s->when_ns) :
			     0;
	char a[32], b[32];

	json_object_set_new(row, "CPUPerc", percent(cpu));
	json_object_set_new(row, "MemUsage",
			    json_format("%s / %s", binary_size(u->mem_bytes, a, sizeof(a)),
					binary_size(limit, b, sizeof(b))));
	json_object_set_new(row, "MemPerc", percent((double)u->mem_bytes / (double)limit));
	json_object_set_new(row, "BlockIO",
			    json_format("%s / %s", str_from_bytes(u->io_read_bytes, a, sizeof(a)),
					str_from_bytes(u->io_write_bytes, b, sizeof(b))));
	json_object_set_new(row, "PIDs", json_format("%llu", (unsigned long long)u->pids));
	s->cpu_ns = u->cpu_ns;
	s->when_ns = now;
}

static json_t *stats_row(struct stats *st, struct sample *s)
{
	static const char *const absent[] = { "CPUPerc", "MemUsage", "MemPerc", "BlockIO", "PIDs" };
	struct iso_usage u = { 0 };
	json_t *row = json_object();

	json_object_set_new(row, "Container", json_id(s->id, st->o->no_trunc));
	json_object_set_new(row, "ID", json_id(s->id, st->o->no_trunc));
	json_object_set_new(row, "Name", json_string(s->name));
	json_object_set_new(row, "NetIO", json_string("0B / 0B")); /* no network of its own to count on */
	if (s->live && instance_usage(st->rt, s->id, &u, NULL) == 0) {
		put_usage(row, s, &u);
		return row;
	}
	for (size_t i = 0; i < ARRAY_SIZE(absent); i++)
		json_object_set_new(row, absent[i], json_string("--"));
	return row;
}

static void stats_clear(struct stats *st)
{
	for (size_t i = 0; i < st->n; i++)
		free(st->sample[i].name);
	free(st->sample);
	st->sample = NULL;
	st->n = 0;
}

static int add_sample(void *arg, const struct instance *in)
{
	struct stats *st = arg;
	bool live = in->status == INSTANCE_RUNNING || in->status == INSTANCE_PAUSED;
	struct sample *more;

	if (!live && !st->o->all && st->argc == 0)
		return 0;
	more = reallocarray(st->sample, st->n + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	st->sample = more;
	more[st->n] = (struct sample){ .name = strdup(in->name), .live = live };
	memcpy(more[st->n].id, in->id, sizeof(in->id));
	st->n++;
	return 0;
}

/* find_samples() - who there is now; what was known of those that stay is kept */
static int find_samples(struct stats *st, struct err *e)
{
	struct stats old = { .sample = st->sample, .n = st->n };
	int r = 0;

	st->sample = NULL;
	st->n = 0;
	if (st->argc == 0)
		r = instance_each(st->rt, add_sample, st, e);
	for (int i = 0; i < st->argc && r == 0; i++) {
		auto_fini(instance) struct instance in = { 0 };

		r = instance_find(st->rt, st->argv[i], &in, e);
		if (r == 0)
			r = add_sample(st, &in);
	}
	for (size_t i = 0; i < st->n; i++)
		for (size_t k = 0; k < old.n; k++)
			if (str_eq(st->sample[i].id, old.sample[k].id)) {
				st->sample[i].cpu_ns = old.sample[k].cpu_ns;
				st->sample[i].when_ns = old.sample[k].when_ns;
			}
	stats_clear(&old);
	return r;
}

static int stats_print(struct stats *st, bool again, struct err *e)
{
	struct print_list list = {
		.format = st->o->format,
		.fields = stats_fields,
		.table = "{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{."
			 "BlockIO}}\t{{.PIDs}}",
	};
	json_t *rows = json_array();
	int r;

	for (size_t i = 0; i < st->n; i++)
		json_array_append_new(rows, stats_row(st, &st->sample[i]));
	if (again)
		fputs("\033[H\033[J", stdout); /* cursor home, clear below: the list stays in place */
	r = print_list(&list, rows, e);
	fflush(stdout);
	return r;
}

/* prime() - a first look, so that the processor's share is over a second and not since the start */
static void prime(struct stats *st)
{
	for (size_t i = 0; i < st->n; i++) {
		struct iso_usage u;

		if (!st->sample[i].live || instance_usage(st->rt, st->sample[i].id, &u, NULL) < 0)
			continue;
		st->sample[i].cpu_ns = u.cpu_ns;
		st->sample[i].when_ns = time_now_ns(CLOCK_MONOTONIC);
	}
}

static int stats_main(void *opts, int argc, char **argv, struct err *e)
{
	struct stats st = { .o = opts, .argc = argc, .argv = argv };
	bool terminal = isatty(STDOUT_FILENO) && !st.o->no_stream;
	int r = cmd_runtime(&st.rt, e);

	if (r == 0)
		r = find_samples(&st, e);
	if (r == 0)
		prime(&st);
	if (r == 0 && terminal)
		fputs("\033[2J", stdout);
	do {
		if (r == 0 && st.n > 0)
			sleep(INTERVAL_S);
		if (r == 0)
			r = stats_print(&st, terminal, e);
		if (r == 0 && !st.o->no_stream && st.n == 0)
			sleep(INTERVAL_S);
		if (r == 0 && !st.o->no_stream)
			r = find_samples(&st, e);
	} while (r == 0 && !st.o->no_stream && !ferror(stdout));
	stats_clear(&st);
	return r;
}

const struct cmd cmd_stats = {
	.name = "stats",
	.aliases = "container stats",
	.group = CMD_LOOK,
	.args = "[OPTIONS] [CONTAINER...]",
	.summary = "Show what containers use of processor, memory and disk",
	.about = "Shows the use of every running container, or of those named, renewed each second until "
		 "interrupted. The processor's "
		 "share is of one processor: two busy ones are 200%.",
	.examples = "hull stats --no-stream --format '{{.Name}} {{.MemUsage}}'\nOnce, for a script",
	.opts = stats_opts,
	.opts_size = sizeof(struct stats_opts),
	.max_args = -1,
	.run = stats_main,
	.complete = "@container",
};
