/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "fmt/image.h"
#include "fmt/json.h"
#include "store/store_internal.h"

/* config_tree() - the config of an image that is one layer and has no past. */
static json_t *config_tree(const char *diff_id, json_t *config, const char *message)
{
	char now[TIME_RFC3339_SIZE];

	time_rfc3339(time_now_ns(CLOCK_REALTIME), now);
	return json_pack("{s:s, s:s, s:s, s:O, s:{s:s, s:[s]}, s:[{s:s, s:s}]}", "created", now,
			 "architecture", image_architecture(), "os", "linux", "config", config, "rootfs",
			 "type", "layers", "diff_ids", diff_id, "history", "created", now, "comment",
			 message && *message ? message : "Imported from -");
}

static int put_config(struct store *st, char *diff_id, json_t *config, const char *message, const char *tag,
		      char *ret_id, struct err *e)
{
	auto_fini(buf) struct buf text = { 0 };
	json_t *tree = config_tree(diff_id, config, message);

	if (!tree)
		return err_set(e, EINVAL, "message: not valid UTF-8");
	json_tree_text(&text, tree, 0);
	json_decref(tree);
	if (buf_finish(&text) < 0)
		return err_sys(e, ENOMEM, "image config");
	return store_image_put(st, text.data, text.len, &diff_id, 1, tag, ret_id, e);
}

int store_import(struct store *st, int in_fd, const char *tag, char *const *changes, size_t n,
		 const char *message, char *ret_id, struct err *e)
{
	auto_free char *full = NULL;
	char diff_id[STORE_DIGEST_SIZE];
	json_t *config = json_object();
	int r = tag ? image_ref_normalize(tag, &full, e) : 0;

	for (size_t i = 0; i < n && r >= 0; i++)
		r = image_config_change(config, changes[i], e);
	if (r >= 0)
		r = store_layer_put(st, in_fd, NULL, diff_id, e);
	if (r >= 0)
		r = put_config(st, diff_id, config, message, full, ret_id, e);
	json_decref(config);
	return r < 0 ? err_wrap(e, r, "import") : 0;
}
