/* SPDX-License-Identifier: Apache-2.0 */
/* inspect.c - inspect, image inspect, port */
#include <errno.h>
#include <stdio.h>

#include "base/err.h"
#include "base/guard.h"
#include "cmd/du.h"
#include "cmd/each.h"
#include "cmd/print.h"
#include "cmd/table.h"
#include "cmd/volume.h"
#include "fmt/json.h"
#include "runtime/runtime.h"

struct inspect_opts {
	const char *format, *type;
	bool size;
};
#define OPT(member) offsetof(struct inspect_opts, member)

static const struct opt inspect_opts[] = {
	{ "format", 'f', OPT_STRING, OPT(format), "FORMAT", "'json' or a template: {{.State.Pid}}", NULL },
	{ "size", 's', OPT_FLAG, OPT(size), NULL, "How much a container has written", NULL },
	{ "type", 0, OPT_STRING, OPT(type), "TYPE", "Only this kind: container, image or volume",
	  "container image volume" },
	{ 0 }
};

static const struct opt image_inspect_opts[] = { { "format", 'f', OPT_STRING, OPT(format), "FORMAT",
						   "'json' or a template: {{.Config.Env}}", NULL },
						 { 0 } };

/* with_first() - the members of @first, then those that only @rest has. Takes both. */
static json_t *with_first(json_t *first, json_t *rest)
{
	json_object_update_missing(first, rest);
	json_decref(rest);
	return first;
}

static void put_sizes(struct runtime *rt, const struct instance *in, json_t *to)
{
	auto_fini(image) struct image im = { 0 };
	auto_close int upper = instance_upper(rt, in->id, NULL);
	uint64_t written = upper >= 0 ? du_tree(upper) : 0;

	store_image_find(runtime_store(rt), in->image_id, &im, NULL);
	json_object_set_new(to, "SizeRw", json_integer((json_int_t)written));
	json_object_set_new(to, "SizeRootFs", json_integer((json_int_t)written + (json_int_t)im.size_bytes));
}

static int inspect_container(struct runtime *rt, const char *name, bool size, json_t **ret, struct err *e)
{
	auto_fini(instance) struct instance in = { 0 };
	json_t *all;
	int r = instance_find(rt, name, &in, e);

	if (r < 0)
		return r;
	all = json_object();
	for (const char *const *key = (const char *const[]){ "Id", "Created", "Path", "Args", NULL }; *key;
	     key++)
		json_object_set(all, *key, json_object_get(in.config, *key));
	json_object_set(all, "State", in.state);
	all = with_first(all, json_incref(in.config));
	if (size)
		put_sizes(rt, &in, all);
	*ret = all;
	return 0;
}

static void put_tags(json_t *to, const struct image *im)
{
	json_t *tags = json_array(), *digests = json_array();

	for (size_t i = 0; i < im->tags.len; i++) {
		const char *name = image_ref_familiar(im->tags.item[i]);

		json_array_append_new(tags, json_string(name));
		if (im->manifest[0])
			json_array_append_new(
				digests, json_format("%.*s@%s", (int)strcspn(name, ":"), name, im->manifest));
	}
	json_object_set_new(to, "RepoTags", tags);
	json_object_set_new(to, "RepoDigests", digests);
}

static json_t *image_object(const struct image *im, const json_t *config)
{
	static const struct {
		const char *to, *from;
	} member[] = {
		{ "Created", "created" }, { "Author", "author" }, { "Architecture", "architecture" },
		{ "Variant", "variant" }, { "Os", "os" },         { "Config", "config" },
	};
	const json_t *history = json_object_get(config, "history");
	const json_t *last = json_array_get(history, json_array_size(history) - 1);
	json_t *all = json_object(), *layers = json_array();

	json_object_set_new(all, "Id", json_string(im->id));
	put_tags(all, im);
	json_object_set_new(all, "Parent", json_string(""));
	json_object_set_new(all, "Comment", json_string(json_path_str(last, "comment")));
	for (size_t i = 0; i < sizeof(member) / sizeof(member[0]); i++) {
		json_t *value = json_object_get(config, member[i].from);

		if (value)
			json_object_set(all, member[i].to, value);
	}
	json_object_set_new(all, "Size", json_integer((json_int_t)im->size_bytes));
	for (size_t i = 0; i < im->n_layers; i++)
		json_array_append_new(layers, json_string(im->layers[i]));
	json_object_set_new(all, "RootFS", json_pack("{s:s, s:o}", "Type", "layers", "Layers", layers));
	return all;
}

static int inspect_image(struct runtime *rt, const char *name, json_t **ret, struct err *e)
{
	auto_fini(image) struct image im = { 0 };
	json_t *config = NULL;
	int r = store_image_find(runtime_store(rt), name, &im, e);

	if (r == 0)
		r = json_tree_parse(&config, im.config, strlen(im.config), e);
	if (r < 0)
		return r;
	*ret = image_object(&im, config);
	json_decref(config);
	return 0;
}

/* inspect_any() - what @name is: a container, an image or a volume, in that order, unless --type says */
static int inspect_any(struct runtime *rt, const char *name, const struct inspect_opts *o, json_t **ret,
		       struct err *e)
{
	int r = -ENOENT;

	if (!o->type || str_eq(o->type, "container"))
		r = inspect_container(rt, name, o->size, ret, e);
	if (r == -ENOENT && (!o->type || str_eq(o->type, "image")))
		r = inspect_image(rt, name, ret, e);
	if (r == -ENOENT && (!o->type || str_eq(o->type, "volume")))
		r = volume_inspect(rt, name, ret, e);
	if (r == -ENOENT && !o->type)
		return err_set(e, ENOENT, "no such container, image or volume: '%s'", name);
	return r;
}

static int inspect_all(const struct inspect_opts *o, int argc, char **argv, struct err *e)
{
	json_t *found = json_array(), *one;
	struct runtime *rt;
	int status = 0, r = cmd_runtime(&rt, e);
	size_t k;

	for (int i = 0; i < argc && r >= 0; i++) {
		struct err why = { 0 };

		if (inspect_any(rt, argv[i], o, &one, &why) < 0)
			status = cmd_fail(&why);
		else
			json_array_append_new(found, one);
	}
	if (r == 0 && (!o->format || str_eq(o->format, "json")))
		r = print_value(o->format, found, e);
	else
		json_array_foreach(found, k, one) if (r == 0) r = print_value(o->format, one, e);
	json_decref(found);
	return r < 0 ? r : status;
}

static int inspect_main(void *opts, int argc, char **argv, struct err *e)
{
	const struct inspect_opts *o = opts;

	if (o->type && !str_eq(o->type, "container") && !str_eq(o->type, "image") &&
	    !str_eq(o->type, "volume"))
		return err_set(e, EINVAL,
			       "invalid argument \"%s\" for --type: container, image or volume is wanted",
			       o->type);
	return inspect_all(o, argc, argv, e);
}

static int image_inspect_main(void *opts, int argc, char **argv, struct err *e)
{
	struct inspect_opts *o = opts;

	o->type = "image";
	return inspect_all(o, argc, argv, e);
}

static int port_main(void *o, int argc, char **argv, struct err *e)
{
	struct runtime *rt;
	char id[65];
	int r = cmd_runtime(&rt, e);

	(void)o;
	if (r == 0)
		r = each_id(rt, argv[0], id, e);
	if (r < 0 || argc == 1) /* nothing can be published yet: an empty list is the whole truth */
		return r;
	return err_set(e, ENOENT, "no public port '%s%s' published for %s", argv[1],
		       strchr(argv[1], '/') ? "" : "/tcp", argv[0]);
}

const struct cmd cmd_inspect = {
	.name = "inspect",
	.aliases = "container inspect",
	.group = CMD_LOOK,
	.args = "[OPTIONS] NAME|ID [NAME|ID...]",
	.summary = "All that is known of containers, images and volumes, as JSON",
	.examples = "hull inspect -f '{{.State.Pid}}' web\nProcess id of the container's first process",
	.opts = inspect_opts,
	.opts_size = sizeof(struct inspect_opts),
	.min_args = 1,
	.max_args = -1,
	.run = inspect_main,
	.complete = "@container",
};

const struct cmd cmd_image_inspect = {
	.name = "image inspect",
	.group = CMD_IMAGES,
	.args = "[OPTIONS] IMAGE [IMAGE...]",
	.summary = "All that is known of images, as JSON",
	.opts = image_inspect_opts,
	.opts_size = sizeof(struct inspect_opts),
	.min_args = 1,
	.max_args = -1,
	.run = image_inspect_main,
	.complete = "@image",
};

const struct cmd cmd_port = {
	.name = "port",
	.aliases = "container port",
	.group = CMD_LOOK,
	.args = "CONTAINER [PRIVATE_PORT[/PROTO]]",
	.summary = "List a container's published ports",
	.about = "Ports can be published when there are bridge networks; until then the list is empty.",
	.min_args = 1,
	.max_args = 2,
	.run = port_main,
	.complete = "@container",
};
