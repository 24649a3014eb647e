/* SPDX-License-Identifier: Apache-2.0 */
/* commit.c - an instance's changes as one more layer, and a new image of it */
#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "fmt/image.h"
#include "fmt/json.h"
#include "runtime/runtime_internal.h"

/* new_config() - what the instance was told at create becomes the image's own. */
static json_t *new_config(const json_t *image, const json_t *instance)
{
	static const char *const keep[] = {
		"Env",    "Cmd",     "Entrypoint",   "User",        "WorkingDir",
		"Labels", "Volumes", "ExposedPorts", "Healthcheck", "StopSignal"
	};
	json_t *config = json_is_object(json_object_get(image, "config")) ?
				 json_deep_copy(json_object_get(image, "config")) :
				 json_object();

	for (size_t i = 0; i < sizeof(keep) / sizeof(keep[0]); i++) {
		json_t *v = instance__get(instance, "Config", keep[i]);

		if (v && !json_is_null(v))
			json_object_set(config, keep[i], v);
		else
			json_object_del(config, keep[i]);
	}
	return config;
}

static void add_history(json_t *image, const json_t *instance, const char *author, const char *message,
			bool empty)
{
	json_t *list = json_object_get(image, "history"), *one = json_object();
	char when[TIME_RFC3339_SIZE];

	if (!json_is_array(list)) {
		json_object_set_new(image, "history", json_array());
		list = json_object_get(image, "history");
	}
	time_rfc3339(time_now_ns(CLOCK_REALTIME), when);
	json_object_set_new(image, "created", json_string(when));
	json_object_set_new(one, "created", json_string(when));
	json_object_set_new(one, "created_by", json_string(instance__str(instance, NULL, "Path")));
	if (author)
		json_object_set_new(one, "author", json_string(author));
	if (message)
		json_object_set_new(one, "comment", json_string(message));
	if (empty)
		json_object_set_new(one, "empty_layer", json_true());
	json_array_append_new(list, one);
	if (author)
		json_object_set_new(image, "author", json_string(author));
}

/* make_layer() - Return: 1 when nothing was changed. */
static int make_layer(struct runtime *rt, const struct instance *in, bool pause, char *ret_diff_id,
		      struct err *e)
{
	bool paused = pause && in->status == INSTANCE_RUNNING && instance_pause(rt, in->id, NULL) == 0;
	auto_close int upper = instance_upper(rt, in->id, e);
	bool empty = false;
	int r = upper < 0 ? upper : store_layer_from_upper(rt->store, upper, ret_diff_id, &empty, e);

	if (paused)
		instance_resume(rt, in->id, NULL);
	return r < 0 ? r : empty;
}

int instance_commit(struct runtime *rt, const char *id, const char *tag, char *const *changes,
		    size_t n_changes, const char *author, const char *message, bool pause, char *ret_image_id,
		    struct err *e)
{
	auto_fini(instance) struct instance in = { 0 };
	auto_fini(image) struct image im = { 0 };
	auto_fini(buf) struct buf text = { 0 };
	auto_json json_t *image = NULL;
	auto_free char **layers = NULL;
	char diff_id[STORE_DIGEST_SIZE];
	json_t *config, *ids;
	int empty, r = instance_find(rt, id, &in, e);

	if (r >= 0)
		r = store_image_find(rt->store, in.image_id, &im, e);
	if (r >= 0)
		r = json_tree_parse(&image, im.config, strlen(im.config), e);
	if (r < 0)
		return err_wrap(e, r, "commit '%s'", id);
	config = new_config(image, in.config);
	json_object_set_new(image, "config", config);
	for (size_t i = 0; i < n_changes && r >= 0; i++)
		r = image_config_change(config, changes[i], e);
	empty = r < 0 ? r : make_layer(rt, &in, pause, diff_id, e);
	layers = calloc(im.n_layers + 2, sizeof(char *));
	if (empty < 0 || !layers)
		return empty < 0 ? err_wrap(e, empty, "commit '%s'", id) : err_sys(e, ENOMEM, "commit");
	memcpy(layers, im.layers, im.n_layers * sizeof(char *));
	if (!empty)
		layers[im.n_layers] = diff_id;
	ids = json_array();
	for (size_t i = 0; i < im.n_layers + !empty; i++)
		json_array_append_new(ids, json_string(layers[i]));
	json_object_set_new(image, "rootfs", json_pack("{s:s,s:o}", "type", "layers", "diff_ids", ids));
	add_history(image, in.config, author, message, empty);
	json_tree_text(&text, image, 0);
	r = store_image_put(rt->store, buf_str(&text), text.len, layers, im.n_layers + !empty, tag,
			    ret_image_id, e);
	return r < 0 ? err_wrap(e, r, "commit '%s'", id) : 0;
}
