/* SPDX-License-Identifier: Apache-2.0 */
/*
 * create.c - an instance comes to be
 *
 * Order: directory, its lock, its files, then the row, in one transaction. A directory that has no row and
 * nobody's lock was left by a killed command; runtime_sweep() removes it. So that it never meets one between
 * mkdir and lock, both are done under a shared lock of "instances", which the sweep takes exclusively to look
 * around.
 */
#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "fmt/json.h"
#include "runtime/config.h"
#include "runtime/name.h"
#include "runtime/rootfs.h"
#include "runtime/rootless.h"
#include "runtime/runtime_internal.h"
#include "sys/file.h"

enum { NAME_TRIES = 64 };

static int dir_make(struct runtime *rt, const char *id, int *ret_lock, struct err *e)
{
	auto_close int all = file_open(store_rootfd(rt->store), "instances", O_RDONLY | O_DIRECTORY, 0);
	auto_close int dir = -1;
	int r = all < 0 ? all : file_lock(all, false, true);

	if (r >= 0)
		r = file_mkdir(all, id, 0700);
	if (r < 0)
		return err_sys(e, -r, "%s/instances/%s", rt->root, id);
	dir = runtime__dir(rt, id, e);
	if (dir < 0)
		return dir;
	*ret_lock = runtime__lock(rt, dir, true, e);
	return *ret_lock < 0 ? *ret_lock : TAKE_FD(dir);
}

static int insert(struct runtime *rt, const struct instance_config *c, const struct image *im, const char *id,
		  json_t *config, struct err *e)
{
	struct err why = { 0 };
	int r = -EEXIST;

	for (int i = 0; i < NAME_TRIES && r == -EEXIST; i++) {
		char made_up[NAME_MAX_BYTES];
		auto_fini(buf) struct buf text = { 0 };

		name_random(made_up, sizeof(made_up), i);
		json_object_set_new(config, "Name", json_sprintf("/%s", c->name ? c->name : made_up));
		json_tree_text(&text, config, 0);
		if (buf_finish(&text) < 0)
			return err_sys(e, ENOMEM, "create");
		r = runtime__run(rt, &why,
				 "INSERT INTO instance(id, name, image, image_id, created_ns, config)"
				 " VALUES(?, ?, ?, ?, ?, ?)",
				 "ssssis", id, c->name ? c->name : made_up, c->image, im->id,
				 time_now_ns(CLOCK_REALTIME), buf_str(&text));
		if (c->name)
			break;
	}
	if (r == -EEXIST)
		return err_set(
			e, EEXIST,
			"the name '%s' is in use by another container; 'hull rm' or 'hull rename' frees it",
			c->name ? c->name : "");
	return r < 0 ? err_set(e, -r, "%s", why.text) : 0;
}

/* fill() - everything in the instance's directory, and last the row. */
static int fill(const struct config_from *from, json_t **ret_config, struct err *e)
{
	auto_free char *path = runtime__path(from->rt, from->id);
	int r = path ? config_make(from, ret_config, e) : err_sys(e, ENOMEM, "create");

	if (r >= 0)
		r = rootfs_write(from->rt->store, from->im, path, from->dirfd, from->c->auto_remove, e);
	if (r >= 0)
		r = config_copy_up(*ret_config, path, e);
	if (r == -ENOSPC)
		err_wrap(e, r, "%s", path);
	return r < 0 ? r : insert(from->rt, from->c, from->im, from->id, *ret_config, e);
}

/* warn() - what the level will not be able to do as asked. */
static void warn(const struct instance_config *c, struct strv *warnings)
{
	if (!warnings)
		return;
	rootless_warn(c, warnings);
	if (c->oom_kill_disable && c->memory <= 0)
		strv_add(warnings, "--oom-kill-disable without --memory may take the whole host's memory");
	if (c->dns.len > 0 && !str_eq(c->network, "host"))
		strv_add(warnings, "--dns has no effect without a network");
}

/* keep_fresh() - for a start by this same command. Without memory for that it reads it from the database. */
static void keep_fresh(struct runtime *rt, const char *id, const char *image, const char *image_id,
		       json_t *config)
{
	struct instance *in = &rt->fresh;

	instance_fini(in);
	str_copy(in->id, sizeof(in->id), id);
	in->name = strdup(instance__str(config, NULL, "Name") + 1);
	in->image = strdup(image);
	in->image_id = strdup(image_id);
	in->config = json_incref(config);
}

int instance_create(struct runtime *rt, const struct instance_config *c, char ret_id[65],
		    struct strv *ret_warnings, struct err *e)
{
	auto_fini(image) struct image im = { 0 };
	auto_json json_t *config = NULL;
	auto_close int lock = -1;
	auto_close int dir = -1;
	char id[INSTANCE_ID_SIZE], name[16 + INSTANCE_ID_SIZE];
	struct config_from from = { .rt = rt, .c = c, .im = &im, .id = id };
	int r = c->name ? name_check(c->name, e) : 0;

	if (r >= 0)
		r = store_image_find(rt->store, c->image, &im, e);
	if (r < 0)
		return r;
	name_id(id);
	from.dirfd = dir = dir_make(rt, id, &lock, e);
	r = dir < 0 ? dir : fill(&from, &config, e);
	if (r < 0) {
		config_forget_volumes(rt, dir);
		str_format(name, sizeof(name), "instances/%s", id);
		file_remove_tree(store_rootfd(rt->store), name, NULL);
		return r;
	}
	keep_fresh(rt, id, c->image, im.id, config);
	fd_close(&rt->fresh_lock);
	rt->fresh_lock = TAKE_FD(lock);
	store_reserve_keep(rt->store);
	warn(c, ret_warnings);
	str_copy(ret_id, INSTANCE_ID_SIZE, id);
	event_emit(
		rt, "container", "create", id,
		json_pack("{s:s,s:s}", "image", c->image, "name", instance__str(config, NULL, "Name") + 1));
	return 0;
}
