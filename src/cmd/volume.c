/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/volume.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/guard.h"
#include "cmd/du.h"
#include "cmd/print.h"
#include "cmd/table.h"
#include "runtime/runtime.h"

struct volume_opts {
	bool force, quiet, all;
	const char *format, *driver;
	struct strv filter;
};
#define OPT(member) offsetof(struct volume_opts, member)

static const struct opt ls_opts[] = { { "filter", 'f', OPT_LIST, OPT(filter), "KEY=VALUE",
					"Only these: name, dangling", NULL },
				      { "format", 0, OPT_STRING, OPT(format), "FORMAT",
					"'json', 'table TEMPLATE' or a template: {{.Name}}", NULL },
				      { "quiet", 'q', OPT_FLAG, OPT(quiet), NULL, "Only names", NULL },
				      { 0 } };

static const struct opt create_volume_opts[] = {
	{ "driver", 'd', OPT_STRING, OPT(driver), "NAME", "Only 'local' is there", "local" }, { 0 }
};

static const struct opt inspect_volume_opts[] = { { "format", 'f', OPT_STRING, OPT(format), "FORMAT",
						    "'json' or a template: {{.Mountpoint}}", NULL },
						  { 0 } };

static const struct opt rm_volume_opts[] = {
	{ "force", 'f', OPT_FLAG, OPT(force), NULL, "One that is not there is no error", NULL }, { 0 }
};

static const struct opt prune_volume_opts[] = {
	{ "all", 'a', OPT_FLAG, OPT(all), NULL, "Those with a name of their own, too", NULL },
	{ "force", 'f', OPT_FLAG, OPT(force), NULL, "Do not ask", NULL },
	{ 0 }
};

static const struct print_field ls_fields[] = { { "Driver", "DRIVER" },
						{ "Name", "VOLUME NAME" },
						{ "Mountpoint", "MOUNTPOINT" },
						{ "Scope", "SCOPE" },
						{ 0 } };

enum { ANONYMOUS_NAME_LEN = 64 };

struct use {
	const char *name;
	char by[65];
};

static int use_each(void *arg, const struct instance *in)
{
	struct use *u = arg;
	const json_t *mounts = json_path(in->config, "Mounts");

	for (size_t i = 0; i < json_array_size(mounts) && !u->by[0]; i++)
		if (str_eq(json_path_str(json_array_get(mounts, i), "Name"), u->name))
			memcpy(u->by, in->id, sizeof(u->by));
	return 0;
}

int volume_in_use(struct runtime *rt, const char *name, char *ret_by, struct err *e)
{
	struct use u = { .name = name };
	int r = instance_each(rt, use_each, &u, e);

	if (r == 0)
		memcpy(ret_by, u.by, sizeof(u.by));
	return r;
}

/* All volumes, by name; filled by store_volume_each(). */
struct volumes {
	struct strv name, path;
};

static int list_each(void *arg, const char *name, const char *path)
{
	struct volumes *v = arg;

	strv_add(&v->name, name);
	strv_add(&v->path, path);
	return strv_finish(&v->name) | strv_finish(&v->path);
}

static void volumes_fini(struct volumes *v)
{
	strv_fini(&v->name);
	strv_fini(&v->path);
}

static json_t *volume_object(const char *name, const char *path)
{
	json_t *v = json_object();
	char created[TIME_RFC3339_SIZE];
	struct stat st;

	if (stat(path, &st) == 0)
		json_object_set_new(
			v, "CreatedAt",
			json_string(time_rfc3339((nsec_t)st.st_ctim.tv_sec * NSEC_PER_SEC, created)));
	json_object_set_new(v, "Driver", json_string("local"));
	json_object_set_new(v, "Labels", json_object());
	json_object_set_new(v, "Mountpoint", json_string(path));
	json_object_set_new(v, "Name", json_string(name));
	json_object_set_new(v, "Options", json_object());
	json_object_set_new(v, "Scope", json_string("local"));
	return v;
}

int volume_inspect(struct runtime *rt, const char *name, json_t **ret, struct err *e)
{
	auto_fini(volumes) struct volumes all = { 0 };
	int r = store_volume_each(runtime_store(rt), list_each, &all, e);

	for (size_t i = 0; i < all.name.len && r == 0; i++)
		if (str_eq(all.name.item[i], name)) {
			*ret = volume_object(name, all.path.item[i]);
			return 0;
		}
	return r < 0 ? r : err_set(e, ENOENT, "no such volume: '%s'", name);
}

static int ls_rows(struct runtime *rt, const struct volume_opts *o, json_t *rows, struct err *e)
{
	auto_fini(volumes) struct volumes all = { 0 };
	int r = store_volume_each(runtime_store(rt), list_each, &all, e);

	for (size_t i = 0; i < all.name.len && r == 0; i++) {
		char by[65] = "";

		if (!filter_match(&o->filter, "name", filter_contains, all.name.item[i]))
			continue;
		if (filter_has(&o->filter, "dangling"))
			r = volume_in_use(rt, all.name.item[i], by, e);
		if (r == 0 && filter_match(&o->filter, "dangling", filter_equals, by[0] ? "false" : "true"))
			json_array_append_new(rows, volume_object(all.name.item[i], all.path.item[i]));
	}
	return r;
}

static int ls_main(void *opts, int argc, char **argv, struct err *e)
{
	const struct volume_opts *o = opts;
	struct print_list list = {
		.format = o->format,
		.fields = ls_fields,
		.quiet = o->quiet ? "{{.Name}}" : NULL,
		.table = "{{.Driver}}\t{{.Name}}",
	};
	json_t *rows = json_array();
	struct runtime *rt;
	int r = filter_check(&o->filter, "name dangling", e);

	(void)argc;
	(void)argv;
	if (r == 0)
		r = cmd_runtime(&rt, e);
	if (r == 0)
		r = ls_rows(rt, o, rows, e);
	if (r == 0)
		return print_list(&list, rows, e);
	json_decref(rows);
	return r;
}

static int create_main(void *opts, int argc, char **argv, struct err *e)
{
	const struct volume_opts *o = opts;
	auto_free char *path = NULL;
	char name[ANONYMOUS_NAME_LEN + 1];
	unsigned char random[ANONYMOUS_NAME_LEN / 2];
	struct runtime *rt;
	bool is_new;
	int r;

	if (o->driver && !str_eq(o->driver, "local"))
		return err_set(e, EINVAL, "invalid argument \"%s\" for --driver: only 'local' is there",
			       o->driver);
	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return err_sys(e, errno, "a name for the volume");
	str_hex(name, random, sizeof(random));
	r = cmd_runtime(&rt, e);
	if (r >= 0)
		r = store_volume_make(runtime_store(rt), argc > 0 ? argv[0] : name, &path, &is_new, e);
	if (r < 0)
		return r;
	puts(argc > 0 ? argv[0] : name);
	if (is_new)
		event_emit(rt, "volume", "create", argc > 0 ? argv[0] : name,
			   json_pack("{s:s}", "driver", "local"));
	return 0;
}

static int inspect_main(void *opts, int argc, char **argv, struct err *e)
{
	const struct volume_opts *o = opts;
	json_t *found = json_array(), *one;
	struct runtime *rt;
	int r = cmd_runtime(&rt, e);
	size_t k;

	for (int i = 0; i < argc && r == 0; i++) {
		r = volume_inspect(rt, argv[i], &one, e);
		if (r == 0)
			json_array_append_new(found, one);
	}
	if (r == 0 && (!o->format || str_eq(o->format, "json")))
		r = print_value(o->format, found, e);
	else
		json_array_foreach(found, k, one) if (r == 0) r = print_value(o->format, one, e);
	json_decref(found);
	return r;
}

static int rm_one(struct runtime *rt, const char *name, struct err *e)
{
	char by[65];
	int r = volume_in_use(rt, name, by, e);

	if (r == 0 && by[0])
		r = err_set(e, EBUSY, "volume '%s' is in use by container %.12s", name, by);
	if (r == 0)
		r = store_volume_remove(runtime_store(rt), name, e);
	if (r == 0)
		event_emit(rt, "volume", "destroy", name, json_pack("{s:s}", "driver", "local"));
	return r;
}

static int rm_main(void *opts, int argc, char **argv, struct err *e)
{
	const struct volume_opts *o = opts;
	struct runtime *rt;
	int status = 0;
	int r = cmd_runtime(&rt, e);

	if (r < 0)
		return r;
	for (int i = 0; i < argc; i++) {
		struct err one = { 0 };

		r = rm_one(rt, argv[i], &one);
		if (r == 0 || (r == -ENOENT && o->force))
			puts(argv[i]);
		else
			status = cmd_fail(&one);
	}
	return status;
}

static bool is_anonymous(const char *name)
{
	return strlen(name) == ANONYMOUS_NAME_LEN && strspn(name, "0123456789abcdef") == ANONYMOUS_NAME_LEN;
}

static int prune_all(struct runtime *rt, bool named, struct err *e)
{
	auto_fini(volumes) struct volumes all = { 0 };
	int r = store_volume_each(runtime_store(rt), list_each, &all, e);
	uint64_t freed = 0;
	bool told = false;
	char size[32];

	for (size_t i = 0; i < all.name.len && r == 0; i++) {
		uint64_t bytes = du_path(all.path.item[i]);
		char by[65];

		if (!named && !is_anonymous(all.name.item[i]))
			continue;
		r = volume_in_use(rt, all.name.item[i], by, e);
		if (r != 0 || by[0])
			continue;
		r = store_volume_remove(runtime_store(rt), all.name.item[i], e);
		if (r < 0)
			continue;
		printf("%s%s\n", told ? "" : "Deleted Volumes:\n", all.name.item[i]);
		told = true;
		freed += bytes;
	}
	printf("%sTotal reclaimed space: %s\n", told ? "\n" : "", str_from_bytes(freed, size, sizeof(size)));
	return r;
}

static int prune_main(void *opts, int argc, char **argv, struct err *e)
{
	const struct volume_opts *o = opts;
	struct runtime *rt;
	int yes = 1, r;

	(void)argc;
	(void)argv;
	if (!o->force)
		yes = ask_yes(o->all ? "This removes all volumes that no container uses. Go on?" :
				       "This removes the anonymous volumes that no container uses. Go on?",
			      e);
	if (yes <= 0)
		return yes;
	r = cmd_runtime(&rt, e);
	return r < 0 ? r : prune_all(rt, o->all, e);
}

const struct cmd cmd_volume_ls = {
	.name = "volume ls",
	.aliases = "volume list",
	.group = CMD_SYSTEM,
	.args = "[OPTIONS]",
	.summary = "List volumes",
	.opts = ls_opts,
	.opts_size = sizeof(struct volume_opts),
	.max_args = 0,
	.run = ls_main,
};

const struct cmd cmd_volume_create = {
	.name = "volume create",
	.group = CMD_SYSTEM,
	.args = "[OPTIONS] [VOLUME]",
	.summary = "Make a volume",
	.opts = create_volume_opts,
	.opts_size = sizeof(struct volume_opts),
	.max_args = 1,
	.run = create_main,
};

const struct cmd cmd_volume_inspect = {
	.name = "volume inspect",
	.group = CMD_SYSTEM,
	.args = "[OPTIONS] VOLUME [VOLUME...]",
	.summary = "All that is known of volumes, as JSON",
	.opts = inspect_volume_opts,
	.opts_size = sizeof(struct volume_opts),
	.min_args = 1,
	.max_args = -1,
	.run = inspect_main,
	.complete = "@volume",
};

const struct cmd cmd_volume_rm = {
	.name = "volume rm",
	.aliases = "volume remove",
	.group = CMD_SYSTEM,
	.args = "[OPTIONS] VOLUME [VOLUME...]",
	.summary = "Remove volumes that no container uses",
	.opts = rm_volume_opts,
	.opts_size = sizeof(struct volume_opts),
	.min_args = 1,
	.max_args = -1,
	.run = rm_main,
	.complete = "@volume",
};

const struct cmd cmd_volume_prune = {
	.name = "volume prune",
	.group = CMD_SYSTEM,
	.args = "[OPTIONS]",
	.summary = "Remove all volumes that no container uses",
	.opts = prune_volume_opts,
	.opts_size = sizeof(struct volume_opts),
	.max_args = 0,
	.run = prune_main,
};
