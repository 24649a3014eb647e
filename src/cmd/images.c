/* SPDX-License-Identifier: Apache-2.0 */
/* images.c - images, rmi, tag */
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/guard.h"
#include "cmd/print.h"
#include "cmd/table.h"
#include "fmt/json.h"
#include "runtime/runtime.h"

struct images_opts {
	bool all, digests, no_trunc, quiet;
	struct strv filter;
	const char *format;
};
#define OPT(member) offsetof(struct images_opts, member)

static const struct opt images_opts[] = {
	{ "all", 'a', OPT_FLAG, OPT(all), NULL,
	  "All; there are no intermediate images, so this changes nothing", NULL },
	{ "digests", 0, OPT_FLAG, OPT(digests), NULL, "Show the manifests' digests", NULL },
	{ "filter", 'f', OPT_LIST, OPT(filter), "KEY=VALUE",
	  "Only these: dangling, label, reference, before, since", NULL },
	{ "format", 0, OPT_STRING, OPT(format), "FORMAT",
	  "'json', 'table TEMPLATE' or a template: {{.Repository}}:{{.Tag}}", NULL },
	{ "no-trunc", 0, OPT_FLAG, OPT(no_trunc), NULL, "Do not shorten ids", NULL },
	{ "quiet", 'q', OPT_FLAG, OPT(quiet), NULL, "Only ids", NULL },
	{ 0 }
};

static const struct print_field images_fields[] = { { "Repository", "REPOSITORY" },
						    { "Tag", "TAG" },
						    { "Digest", "DIGEST" },
						    { "ID", "IMAGE ID" },
						    { "CreatedSince", "CREATED" },
						    { "CreatedAt", "CREATED AT" },
						    { "Size", "SIZE" },
						    { "Containers", "CONTAINERS" },
						    { 0 } };

struct images {
	const struct images_opts *o;
	struct store *st;
	const char *name; /* operand: REPOSITORY[:TAG], or NULL */
	nsec_t before_ns, since_ns;
	struct images_row {
		nsec_t created_ns;
		json_t *row;
	} * row;
	size_t n;
};

/* tag_split() - "docker.io/library/a:1" as "a" and "1". Caller frees *ret_repository, which holds both. */
static const char *tag_split(const char *full, char **ret_repository)
{
	char *name = strdup(image_ref_familiar(full));
	char *colon = name ? strrchr(name, ':') : NULL;

	*ret_repository = name;
	if (!colon || strchr(colon, '/'))
		return "<none>";
	*colon = '\0';
	return colon + 1;
}

static bool reference_matches(const void *ref, const char *pattern)
{
	auto_free char *repository = NULL;
	const char *tag = tag_split(ref, &repository);
	auto_free char *both = repository ? str_printf("%s:%s", repository, tag) : NULL;

	return both &&
	       (fnmatch(pattern, both, FNM_PATHNAME) == 0 || fnmatch(pattern, repository, FNM_PATHNAME) == 0);
}

static json_t *images_row(const struct images *is, const struct image *im, const char *full)
{
	auto_free char *repository = NULL;
	const char *tag = full ? tag_split(full, &repository) : "<none>";
	json_t *row = json_object();

	json_object_set_new(row, "Repository", json_string(repository ? repository : "<none>"));
	json_object_set_new(row, "Tag", json_string(tag));
	json_object_set_new(row, "Digest", json_string(im->manifest[0] ? im->manifest : "<none>"));
	json_object_set_new(row, "ID", json_id(im->id, is->o->no_trunc));
	json_object_set_new(row, "CreatedSince",
			    im->created_ns ? json_ago(im->created_ns) : json_string("N/A"));
	json_object_set_new(row, "CreatedAt",
			    im->created_ns ? json_local_time(im->created_ns) : json_string("N/A"));
	json_object_set_new(row, "Size", json_size(im->size_bytes));
	json_object_set_new(row, "VirtualSize", json_size(im->size_bytes));
	json_object_set_new(row, "SharedSize", json_string("N/A"));
	json_object_set_new(row, "UniqueSize", json_string("N/A"));
	json_object_set_new(row, "Containers", json_string("N/A"));
	return row;
}

static int add_row(struct images *is, const struct image *im, const char *full)
{
	struct images_row *row;

	if (is->name && (!full || !reference_matches(full, is->name)))
		return 0;
	if (full ? !filter_match(&is->o->filter, "reference", reference_matches, full) :
		   filter_has(&is->o->filter, "reference"))
		return 0;
	row = reallocarray(is->row, is->n + 1, sizeof(*row));
	if (!row)
		return -ENOMEM;
	is->row = row;
	is->row[is->n++] = (struct images_row){ im->created_ns, images_row(is, im, full) };
	return 0;
}

static bool image_wanted(const struct images *is, const struct image *im)
{
	const struct strv *f = &is->o->filter;
	json_t *config = NULL;
	bool wanted = filter_match(f, "dangling", filter_equals, im->tags.len ? "false" : "true");

	if (is->before_ns && im->created_ns >= is->before_ns)
		wanted = false;
	if (is->since_ns && im->created_ns <= is->since_ns)
		wanted = false;
	if (!wanted || (!filter_has(f, "label") && !filter_has(f, "label!")))
		return wanted;
	json_tree_parse(&config, im->config, strlen(im->config), NULL);
	wanted = filter_labels(f, json_path(config, "config.Labels"));
	json_decref(config);
	return wanted;
}

static int images_each(void *arg, const struct image *im)
{
	struct images *is = arg;
	int r = 0;

	if (!image_wanted(is, im))
		return 0;
	if (im->tags.len == 0)
		return add_row(is, im, NULL);
	for (size_t i = 0; i < im->tags.len && r == 0; i++)
		r = add_row(is, im, im->tags.item[i]);
	return r;
}

static int newest_first(const void *a, const void *b)
{
	const struct images_row *x = a, *y = b;

	return (x->created_ns < y->created_ns) - (x->created_ns > y->created_ns);
}

static int resolve_filters(struct images *is, struct err *e)
{
	for (size_t i = 0; i < is->o->filter.len; i++) {
		const char *f = is->o->filter.item[i];
		auto_fini(image) struct image im = { 0 };
		int r;

		if (!str_starts(f, "before=") && !str_starts(f, "since="))
			continue;
		r = store_image_find(is->st, strchr(f, '=') + 1, &im, e);
		if (r < 0)
			return r;
		*(f[0] == 'b' ? &is->before_ns : &is->since_ns) = im.created_ns;
	}
	return 0;
}

static int images_print(struct images *is, struct err *e)
{
	struct print_list list = {
		.format = is->o->format,
		.fields = images_fields,
		.quiet = is->o->quiet ? "{{.ID}}" : NULL,
		.table = is->o->digests ? "{{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}"
					  "\t{{.Size}}" :
					  "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}",
	};
	json_t *rows = json_array();

	if (is->n > 1)
		qsort(is->row, is->n, sizeof(*is->row), newest_first);
	for (size_t i = 0; i < is->n; i++)
		json_array_append(rows, is->row[i].row);
	return print_list(&list, rows, e);
}

static int images_main(void *opts, int argc, char **argv, struct err *e)
{
	const struct images_opts *o = opts;
	struct images is = { .o = o, .name = argc > 0 ? argv[0] : NULL };
	struct runtime *rt;
	int r = filter_check(&o->filter, "dangling label label! reference before since", e);

	if (r == 0)
		r = cmd_runtime(&rt, e);
	if (r == 0) {
		is.st = runtime_store(rt);
		r = resolve_filters(&is, e);
	}
	if (r == 0)
		r = store_image_each(is.st, images_each, &is, e);
	if (r == 0)
		r = images_print(&is, e);
	for (size_t i = 0; i < is.n; i++)
		json_decref(is.row[i].row);
	free(is.row);
	return r;
}

struct rmi_opts {
	bool force, no_prune;
};

static const struct opt rmi_opts[] = {
	{ "force", 'f', OPT_FLAG, offsetof(struct rmi_opts, force), NULL,
	  "Also with several tags or stopped containers; one that is not there is no error", NULL },
	{ "no-prune", 0, OPT_FLAG, offsetof(struct rmi_opts, no_prune), NULL,
	  "Accepted: there are no untagged parents", NULL },
	{ 0 }
};

/* tell_events() - "Untagged: x" and "Deleted: x" as events */
static void tell_events(struct runtime *rt, const struct strv *told)
{
	for (size_t i = 0; i < told->len; i++) {
		const char *untagged = str_after(told->item[i], "Untagged: ");
		const char *deleted = str_after(told->item[i], "Deleted: ");

		if (untagged)
			event_emit(rt, "image", "untag", untagged, json_pack("{s:s}", "name", untagged));
		else if (deleted && str_starts(deleted, "sha256:"))
			event_emit(rt, "image", "delete", deleted, json_pack("{s:s}", "name", deleted));
	}
}

static int rmi_main(void *opts, int argc, char **argv, struct err *e)
{
	const struct rmi_opts *o = opts;
	struct runtime *rt;
	int status = 0;
	int r = cmd_runtime(&rt, e);

	if (r < 0)
		return r;
	for (int i = 0; i < argc; i++) {
		auto_fini(strv) struct strv told = { 0 };
		struct err one = { 0 };

		r = store_image_remove(runtime_store(rt), argv[i], o->force, &told, &one);
		for (size_t k = 0; k < told.len; k++)
			puts(told.item[k]);
		tell_events(rt, &told);
		if (r == 0)
			continue;
		cmd_fail(&one);
		status |= !(r == -ENOENT && o->force);
	}
	return status;
}

static int tag_main(void *o, int argc, char **argv, struct err *e)
{
	struct runtime *rt;
	int r = cmd_runtime(&rt, e);

	(void)o;
	(void)argc;
	if (r == 0)
		r = store_image_tag(runtime_store(rt), argv[0], argv[1], e);
	if (r == 0)
		event_emit(rt, "image", "tag", argv[1], json_pack("{s:s}", "name", argv[1]));
	return r;
}

const struct cmd cmd_images = {
	.name = "images",
	.aliases = "image ls,image list",
	.group = CMD_IMAGES,
	.args = "[OPTIONS] [REPOSITORY[:TAG]]",
	.summary = "List images",
	.examples = "hull images --filter dangling=true -q\nIds of images without a name",
	.opts = images_opts,
	.opts_size = sizeof(struct images_opts),
	.max_args = 1,
	.run = images_main,
	.complete = "@image",
};

const struct cmd cmd_rmi = {
	.name = "rmi",
	.aliases = "image rm,image remove",
	.group = CMD_IMAGES,
	.args = "[OPTIONS] IMAGE [IMAGE...]",
	.summary = "Remove images",
	.about = "Takes a name away from an image; with its last name goes the image, unless a container "
		 "uses it.",
	.opts = rmi_opts,
	.opts_size = sizeof(struct rmi_opts),
	.min_args = 1,
	.max_args = -1,
	.run = rmi_main,
	.complete = "@image",
};

const struct cmd cmd_tag = {
	.name = "tag",
	.aliases = "image tag",
	.group = CMD_IMAGES,
	.args = "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
	.summary = "Give an image another name",
	.min_args = 2,
	.max_args = 2,
	.run = tag_main,
	.complete = "@image",
};
