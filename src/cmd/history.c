/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "base/err.h"
#include "base/guard.h"
#include "cmd/print.h"
#include "cmd/table.h"
#include "runtime/runtime.h"

struct history_opts {
	bool human, no_trunc, quiet;
	const char *format;
};
#define OPT(member) offsetof(struct history_opts, member)

static const struct opt history_opts[] = {
	{ "format", 0, OPT_STRING, OPT(format), "FORMAT",
	  "'json', 'table TEMPLATE' or a template: {{.CreatedBy}}", NULL },
	{ "human", 'H', OPT_FLAG, OPT(human), NULL, "Sizes and ages as people read them (true)", NULL },
	{ "no-trunc", 0, OPT_FLAG, OPT(no_trunc), NULL, "Do not shorten ids and instructions", NULL },
	{ "quiet", 'q', OPT_FLAG, OPT(quiet), NULL, "Only ids", NULL },
	{ 0 }
};

static const struct print_field history_fields[] = { { "ID", "IMAGE" },
						     { "CreatedSince", "CREATED" },
						     { "CreatedAt", "CREATED AT" },
						     { "CreatedBy", "CREATED BY" },
						     { "Size", "SIZE" },
						     { "Comment", "COMMENT" },
						     { 0 } };

enum { CREATED_BY_COLUMNS = 45 };

struct history {
	const struct history_opts *o;
	json_t *rows;
};

static json_t *created_by(const char *text, bool no_trunc)
{
	if (no_trunc || strlen(text) <= CREATED_BY_COLUMNS)
		return json_string(text);
	return json_format("%.*s…", CREATED_BY_COLUMNS - 1, text);
}

static int history_each(void *arg, const struct store_history *step)
{
	const struct history *h = arg;
	const struct history_opts *o = h->o;
	json_t *row = json_object();
	char time[TIME_RFC3339_SIZE];

	time_rfc3339(step->created_ns, time);
	json_object_set_new(row, "ID", step->id ? json_id(step->id, o->no_trunc) : json_string("<missing>"));
	json_object_set_new(row, "CreatedSince", o->human ? json_ago(step->created_ns) : json_string(time));
	json_object_set_new(row, "CreatedAt", json_string(time));
	json_object_set_new(row, "CreatedBy",
			    created_by(step->created_by ? step->created_by : "", o->no_trunc));
	json_object_set_new(row, "Size",
			    o->human ? json_size(step->size_bytes) :
				       json_format("%llu", (unsigned long long)step->size_bytes));
	json_object_set_new(row, "Comment", json_string(step->comment ? step->comment : ""));
	json_array_append_new(h->rows, row);
	return 0;
}

static void history_defaults(void *o)
{
	((struct history_opts *)o)->human = true;
}

static int history_main(void *opts, int argc, char **argv, struct err *e)
{
	const struct history_opts *o = opts;
	auto_fini(image) struct image im = { 0 };
	struct history h = { .o = o };
	struct print_list list = {
		.format = o->format,
		.fields = history_fields,
		.quiet = o->quiet ? "{{.ID}}" : NULL,
		.table = o->human ? "{{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}" :
				    "{{.ID}}\t{{.CreatedAt}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}",
	};
	struct runtime *rt;
	int r = cmd_runtime(&rt, e);

	(void)argc;
	if (r == 0)
		r = store_image_find(runtime_store(rt), argv[0], &im, e);
	if (r < 0)
		return r;
	h.rows = json_array();
	r = store_image_history(runtime_store(rt), &im, history_each, &h, e);
	if (r == 0)
		return print_list(&list, h.rows, e);
	json_decref(h.rows);
	return r;
}

const struct cmd cmd_history = {
	.name = "history",
	.aliases = "image history",
	.group = CMD_IMAGES,
	.args = "[OPTIONS] IMAGE",
	.summary = "Show the steps an image was made by",
	.opts = history_opts,
	.opts_size = sizeof(struct history_opts),
	.defaults = history_defaults,
	.min_args = 1,
	.max_args = 1,
	.run = history_main,
	.complete = "@image",
};
