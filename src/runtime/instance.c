/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"
#include "base/guard.h"
#include "fmt/json.h"
#include "runtime/name.h"
#include "runtime/runtime_internal.h"
#include "runtime/state.h"
#include "sys/file.h"
#include "sys/ns.h"

#define COLUMNS "id, name, image, image_id, created_ns, config"

void instance_fini(struct instance *in)
{
	free(in->name);
	free(in->image);
	free(in->image_id);
	free(in->error);
	free(in->health);
	json_decref(in->config);
	json_decref(in->state);
	*in = (struct instance){ 0 };
}

json_t *instance__get(const json_t *config, const char *object, const char *key)
{
	if (object)
		config = json_object_get(config, object);
	return json_object_get(config, key);
}

const char *instance__str(const json_t *config, const char *object, const char *key)
{
	const char *s = json_string_value(instance__get(config, object, key));

	return s && *s ? s : NULL;
}

int64_t instance__int(const json_t *config, const char *object, const char *key)
{
	return json_integer_value(instance__get(config, object, key));
}

bool instance__bool(const json_t *config, const char *object, const char *key)
{
	return json_is_true(instance__get(config, object, key));
}

/* read_row() - from the statement's current row; the state comes from the instance's directory. */
static int read_row(struct runtime *rt, sqlite3_stmt *q, struct instance *in, struct err *e)
{
	const char *text = (const char *)sqlite3_column_text(q, 5);
	auto_close int dir = -1;
	int r;

	str_copy(in->id, sizeof(in->id), (const char *)sqlite3_column_text(q, 0));
	in->name = strdup((const char *)sqlite3_column_text(q, 1));
	in->image = strdup((const char *)sqlite3_column_text(q, 2));
	in->image_id = strdup((const char *)sqlite3_column_text(q, 3));
	in->created_ns = sqlite3_column_int64(q, 4);
	if (!in->name || !in->image || !in->image_id || !text)
		return err_sys(e, ENOMEM, "instance %.12s", in->id);
	r = json_tree_parse(&in->config, text, strlen(text), e);
	if (r < 0)
		return err_wrap(e, r, "instance %.12s: its configuration", in->id);
	dir = runtime__dir(rt, in->id, NULL);
	r = state_read(dir, in, e);
	json_object_set_new(in->config, "RestartCount", json_integer(in->restart_count));
	return r;
}

static bool is_hex(const char *s)
{
	return *s && strspn(s, "0123456789abcdef") == strlen(s) && strlen(s) < INSTANCE_ID_SIZE;
}

static int find_by(struct runtime *rt, const char *sql, const char *name, struct instance *in, struct err *e)
{
	__attribute__((cleanup(sqlite_resetp))) sqlite3_stmt *q = runtime__query(rt, e, sql, "s", name);
	int r = runtime__step(rt, q, e);

	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	r = read_row(rt, q, in, e);
	if (r < 0) {
		instance_fini(in);
		return r;
	}
	if (runtime__step(rt, q, e) != 0) {
		instance_fini(in);
		return err_set(e, EEXIST, "'%s' begins the ids of several containers", name);
	}
	return 0;
}

int instance__take_fresh(struct runtime *rt, const char *id, struct instance *ret_in)
{
	struct instance *in = &rt->fresh;

	if (rt->fresh_lock < 0 || !str_eq(in->id, id) || !in->name || !in->image || !in->image_id)
		return 0;
	*ret_in = *in;
	*in = (struct instance){ 0 };
	str_copy(in->id, sizeof(in->id), id); /* the lock is still to be taken */
	return 1;
}

int instance_find(struct runtime *rt, const char *name, struct instance *ret_in, struct err *e)
{
	struct instance in = { 0 };
	bool whole =
		strlen(name) == INSTANCE_ID_SIZE - 1 && is_hex(name); /* commands pass on what they found */
	int r = whole ? find_by(rt, "SELECT " COLUMNS " FROM instance WHERE id = ?", name, &in, e) : -ENOENT;

	if (r == -ENOENT)
		r = find_by(rt, "SELECT " COLUMNS " FROM instance WHERE name = ?",
			    *name == '/' ? name + 1 : name, &in, e);

	if (r == -ENOENT && !whole && is_hex(name)) /* every hex digit sorts below 'g' */
		r = find_by(rt, "SELECT " COLUMNS " FROM instance WHERE id >= ?1 AND id < ?1 || 'g' LIMIT 2",
			    name, &in, e);
	if (r == -ENOENT)
		return err_set(e, ENOENT, "no such container: '%s'", name);
	if (r == 0)
		*ret_in = in;
	return r;
}

int instance_each(struct runtime *rt, int (*each)(void *arg, const struct instance *in), void *arg,
		  struct err *e)
{
	auto_fini(strv) struct strv ids = { 0 };
	sqlite3_stmt *q = runtime__query(rt, e, "SELECT id FROM instance ORDER BY created_ns DESC, id", "");
	int r;

	/* Names first: what @each does with the database does not disturb the list. */
	while ((r = runtime__step(rt, q, e)) > 0)
		strv_add(&ids, (const char *)sqlite3_column_text(q, 0));
	if (r >= 0 && strv_finish(&ids) < 0)
		r = err_sys(e, ENOMEM, "list instances");
	for (size_t i = 0; i < ids.len && r >= 0; i++) {
		auto_fini(instance) struct instance in = { 0 };

		r = find_by(rt, "SELECT " COLUMNS " FROM instance WHERE id = ?", ids.item[i], &in, e);
		if (r == -ENOENT) /* removed meanwhile */
			r = 0;
		else if (r >= 0)
			r = each(arg, &in);
	}
	return r;
}

int instance__reread(struct instance *in, int dirfd, struct err *e)
{
	json_decref(in->state);
	free(in->error);
	free(in->health);
	in->state = NULL;
	in->error = in->health = NULL;
	return state_read(dirfd, in, e);
}

int instance__save(struct runtime *rt, const struct instance *in, struct err *e)
{
	auto_free char *text = json_dumps(in->config, JSON_COMPACT);

	if (!text)
		return err_sys(e, ENOMEM, "instance %.12s", in->id);
	return runtime__run(rt, e, "UPDATE instance SET config = ?, name = ? WHERE id = ?", "sss", text,
			    in->name, in->id);
}

const struct iso_ops *instance__level(const struct instance *in, struct err *e)
{
	return iso_find(instance__str(in->config, "HostConfig", "Isolation"), e);
}

int instance__iso(struct runtime *rt, const struct instance *in, struct iso **ret_i, struct err *e)
{
	const struct iso_ops *ops = instance__level(in, e);

	return ops ? iso_open(ops, ret_i, rt->levels, in->id, e) : -EINVAL;
}

bool instance__stirs(const struct runtime *rt, const struct instance *in)
{
	return instance__live(in) || runtime__shim_pid(rt, in->id) > 0 ||
	       (in->pid > 0 && proc_alive(in->pid, (uint64_t)instance__int(in->state, NULL, "PidStart")));
}

bool instance__live(const struct instance *in)
{
	return in->status == INSTANCE_RUNNING || in->status == INSTANCE_PAUSED ||
	       in->status == INSTANCE_RESTARTING;
}

int instance__need_live(const struct instance *in, const char *what, struct err *e)
{
	if (in->status == INSTANCE_RUNNING || in->status == INSTANCE_PAUSED)
		return 0;
	return err_set(e, EBUSY, "%s '%s': it is not running (%s)", what, in->name,
		       instance_status_name(in->status));
}

int instance_rename(struct runtime *rt, const char *id, const char *name, struct err *e)
{
	auto_fini(instance) struct instance in = { 0 };
	auto_free char *slashed = str_printf("/%s", name);
	int r = instance_find(rt, id, &in, e);

	if (r >= 0)
		r = name_check(name, e);
	if (r < 0)
		return r;
	free(in.name);
	in.name = strdup(name);
	if (!in.name || !slashed)
		return err_sys(e, ENOMEM, "rename '%s'", id);
	json_object_set_new(in.config, "Name", json_string(slashed));
	r = instance__save(rt, &in, e);
	if (r == -EEXIST)
		return err_set(e, EEXIST, "the name '%s' is in use by another container", name);
	if (r >= 0)
		event_emit(rt, "container", "rename", in.id, json_pack("{s:s}", "name", name));
	return r;
}
