/* SPDX-License-Identifier: Apache-2.0 */
/* system_df.c - where the disk space goes: images, containers with their logs, volumes, build cache */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/guard.h"
#include "cmd/du.h"
#include "cmd/print.h"
#include "cmd/table.h"
#include "cmd/volume.h"
#include "runtime/runtime.h"

struct df_opts {
	bool verbose;
	const char *format;
};
#define OPT(member) offsetof(struct df_opts, member)

static const struct opt df_opts[] = { { "format", 0, OPT_STRING, OPT(format), "FORMAT",
					"'json', 'table TEMPLATE' or a template: {{.Type}} {{.Size}}", NULL },
				      { "verbose", 'v', OPT_FLAG, OPT(verbose), NULL, "Each object", NULL },
				      { 0 } };

static const struct print_field df_fields[] = {
	{ "Type", "TYPE" }, { "TotalCount", "TOTAL" },        { "Active", "ACTIVE" },
	{ "Size", "SIZE" }, { "Reclaimable", "RECLAIMABLE" }, { 0 }
};
static const struct print_field df_image_fields[] = { { "Repository", "REPOSITORY" },
						      { "Tag", "TAG" },
						      { "ID", "IMAGE ID" },
						      { "CreatedSince", "CREATED" },
						      { "Size", "SIZE" },
						      { "Containers", "CONTAINERS" },
						      { 0 } };
static const struct print_field df_container_fields[] = { { "ID", "CONTAINER ID" },    { "Image", "IMAGE" },
							  { "Size", "SIZE" },          { "LogSize", "LOGS" },
							  { "RunningFor", "CREATED" }, { "State", "STATE" },
							  { "Names", "NAMES" },        { 0 } };
static const struct print_field df_volume_fields[] = {
	{ "Name", "VOLUME NAME" }, { "Links", "LINKS" }, { "Size", "SIZE" }, { 0 }
};

struct df {
	struct runtime *rt;
	struct strv used_images; /* ids, one for each container */
	uint64_t containers, live, container_bytes, dead_bytes;
	uint64_t images, images_used;
	uint64_t volumes, volumes_used, volume_bytes, unused_volume_bytes;
	json_t *image_rows, *container_rows, *volume_rows;
};

/* log_bytes() - of all rotated files of an instance */
static uint64_t log_bytes(const char *dir)
{
	uint64_t sum = 0;

	for (int n = 0; n < 100; n++) {
		auto_free char *path =
			n == 0 ? str_printf("%s/log.json", dir) : str_printf("%s/log.json.%d", dir, n);
		struct stat st;

		if (!path || stat(path, &st) < 0)
			break;
		sum += (uint64_t)st.st_size;
	}
	return sum;
}

static int df_instance(void *arg, const struct instance *in)
{
	struct df *d = arg;
	auto_free char *dir = str_printf("%s/instances/%s", store_root(runtime_store(d->rt)), in->id);
	auto_free char *upper = dir ? str_printf("%s/upper", dir) : NULL;
	bool live = in->status == INSTANCE_RUNNING || in->status == INSTANCE_PAUSED ||
		    in->status == INSTANCE_RESTARTING;
	uint64_t written, logs;
	json_t *row;

	if (!upper)
		return -ENOMEM;
	written = du_path(upper);
	logs = log_bytes(dir);
	d->containers++;
	d->live += live;
	d->container_bytes += written + logs;
	d->dead_bytes += live ? 0 : written + logs;
	strv_add(&d->used_images, in->image_id);
	row = json_object();
	json_object_set_new(row, "ID", json_id(in->id, false));
	json_object_set_new(row, "Image", json_string(in->image));
	json_object_set_new(row, "Size", json_size(written));
	json_object_set_new(row, "LogSize", json_size(logs));
	json_object_set_new(row, "RunningFor", json_ago(in->created_ns));
	json_object_set_new(row, "State", json_string(instance_status_name(in->status)));
	json_object_set_new(row, "Names", json_string(in->name));
	json_array_append_new(d->container_rows, row);
	return 0;
}

static int df_image(void *arg, const struct image *im)
{
	struct df *d = arg;
	const char *name = im->tags.len > 0 ? image_ref_familiar(im->tags.item[0]) : "<none>:<none>";
	const char *colon = strrchr(name, ':');
	int users = 0;
	json_t *row = json_object();

	for (size_t i = 0; i < d->used_images.len; i++)
		users += str_eq(d->used_images.item[i], im->id);
	d->images++;
	d->images_used += users > 0;
	json_object_set_new(row, "Repository",
			    json_format("%.*s", (int)(colon ? colon - name : (long)strlen(name)), name));
	json_object_set_new(row, "Tag", json_string(colon ? colon + 1 : "<none>"));
	json_object_set_new(row, "ID", json_id(im->id, false));
	json_object_set_new(row, "CreatedSince", json_ago(im->created_ns));
	json_object_set_new(row, "Size", json_size(im->size_bytes));
	json_object_set_new(row, "Containers", json_format("%d", users));
	json_array_append_new(d->image_rows, row);
	return 0;
}

static int df_volume(void *arg, const char *name, const char *path)
{
	struct df *d = arg;
	uint64_t bytes = du_path(path);
	char by[65];
	int r = volume_in_use(d->rt, name, by, NULL);
	json_t *row = json_object();

	d->volumes++;
	d->volumes_used += by[0] != '\0';
	d->volume_bytes += bytes;
	d->unused_volume_bytes += by[0] ? 0 : bytes;
	json_object_set_new(row, "Name", json_string(name));
	json_object_set_new(row, "Links", json_string(by[0] ? "1" : "0"));
	json_object_set_new(row, "Size", json_size(bytes));
	json_array_append_new(d->volume_rows, row);
	return r;
}

static void add_row(json_t *rows, const char *type, const uint64_t count[2], uint64_t bytes,
		    uint64_t reclaimable)
{
	json_t *row = json_object();
	char size[32];

	json_object_set_new(row, "Type", json_string(type));
	json_object_set_new(row, "TotalCount", json_format("%llu", (unsigned long long)count[0]));
	json_object_set_new(row, "Active", json_format("%llu", (unsigned long long)count[1]));
	json_object_set_new(row, "Size", json_size(bytes));
	json_object_set_new(row, "Reclaimable",
			    json_format("%s (%llu%%)", str_from_bytes(reclaimable, size, sizeof(size)),
					(unsigned long long)(bytes ? reclaimable * 100 / bytes : 0)));
	json_array_append_new(rows, row);
}

static int print_summary(const struct df_opts *o, const struct df *d, const struct store_usage *u,
			 struct err *e)
{
	struct print_list list = {
		.format = o->format,
		.fields = df_fields,
		.table = "{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}",
	};
	json_t *rows = json_array();

	add_row(rows, "Images", (uint64_t[]){ d->images, d->images_used }, u->images_bytes,
		u->images_reclaimable);
	add_row(rows, "Containers", (uint64_t[]){ d->containers, d->live }, d->container_bytes,
		d->dead_bytes);
	add_row(rows, "Local Volumes", (uint64_t[]){ d->volumes, d->volumes_used }, d->volume_bytes,
		d->unused_volume_bytes);
	add_row(rows, "Build Cache", (uint64_t[]){ u->cache, 0 }, u->cache_bytes, u->cache_bytes);
	return print_list(&list, rows, e);
}

static int print_verbose(struct df *d, const struct store_usage *u, struct err *e)
{
	const struct print_list images = {
		.fields = df_image_fields,
		.table = "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}\t{{.Containers}}"
	};
	const struct print_list containers = { .fields = df_container_fields,
					       .table = "{{.ID}}\t{{.Image}}\t{{.Size}}\t{{.LogSize}}\t{{."
							"RunningFor}}\t{{.State}}\t{{.Names}}" };
	const struct print_list volumes = { .fields = df_volume_fields,
					    .table = "{{.Name}}\t{{.Links}}\t{{.Size}}" };
	char size[32];
	int r;

	puts("Images space usage:\n");
	r = print_list(&images, json_incref(d->image_rows), e);
	puts("\nContainers space usage:\n");
	if (r == 0)
		r = print_list(&containers, json_incref(d->container_rows), e);
	puts("\nLocal Volumes space usage:\n");
	if (r == 0)
		r = print_list(&volumes, json_incref(d->volume_rows), e);
	printf("\nBuild cache usage: %s\n", str_from_bytes(u->cache_bytes, size, sizeof(size)));
	return r;
}

static int df_main(void *opts, int argc, char **argv, struct err *e)
{
	const struct df_opts *o = opts;
	struct df d = { .image_rows = json_array(),
			.container_rows = json_array(),
			.volume_rows = json_array() };
	struct store_usage u = { 0 };
	int r = cmd_runtime(&d.rt, e);

	(void)argc;
	(void)argv;
	if (r == 0)
		r = instance_each(d.rt, df_instance, &d, e);
	if (r == 0)
		r = store_image_each(runtime_store(d.rt), df_image, &d, e);
	if (r == 0)
		r = store_volume_each(runtime_store(d.rt), df_volume, &d, e);
	if (r == 0)
		r = store_usage(runtime_store(d.rt), &u, e);
	if (r == 0)
		r = o->verbose ? print_verbose(&d, &u, e) : print_summary(o, &d, &u, e);
	json_decref(d.image_rows);
	json_decref(d.container_rows);
	json_decref(d.volume_rows);
	strv_fini(&d.used_images);
	return r;
}

const struct cmd cmd_system_df = {
	.name = "system df",
	.group = CMD_SYSTEM,
	.args = "[OPTIONS]",
	.summary = "Show where disk space goes",
	.about = "Counts images (a layer that several share counts once), what containers have written "
		 "together with their logs, volumes and "
		 "the build cache, and how much of each hull-system-prune(1) would free.",
	.opts = df_opts,
	.opts_size = sizeof(struct df_opts),
	.max_args = 0,
	.run = df_main,
};
