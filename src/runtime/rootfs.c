/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/rootfs.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "fmt/json.h"
#include "fs/overlay.h"
#include "runtime/runtime_internal.h"
#include "sys/file.h"

int rootfs_write(struct store *st, const struct image *im, const char *dir, int dirfd, bool discard, struct err *e)
{
	auto_fini(buf) struct buf b = {0};
	struct json_out o = { .to = &b };
	int r = 0;

	json_put_open(&o, NULL, '{');
	json_put_open(&o, "lower", '[');
	for (size_t i = im->n_layers; i-- > 0 && r >= 0;) {	/* the image counts from the bottom, overlay from the top */
		auto_free char *path = NULL;

		r = store_layer_path(st, im->layers[i], &path, e);
		if (r >= 0)
			json_put_str(&o, NULL, path);
	}
	json_put_close(&o, ']');
	json_put_bool(&o, "discard", discard);
	json_put_close(&o, '}');
	if (r < 0)
		return r;
	if (buf_finish(&b) < 0)
		return err_sys(e, ENOMEM, INSTANCE_ROOTFS);
	r = file_mkdir(dirfd, "upper", 0755);
	if (r >= 0)
		r = file_mkdir(dirfd, "work", 0700);
	if (r < 0)
		return err_sys(e, -r, "%s/upper", dir);
	return file_replace(dirfd, INSTANCE_ROOTFS, buf_str(&b), b.len, 0600, false, e);
}

static int open_layers(const char *dir, const json_t *tree, struct err *e)
{
	const json_t *list = json_object_get(tree, "lower");
	size_t n = json_array_size(list);
	auto_free char *upper = str_printf("%s/upper", dir);
	auto_free char *work = str_printf("%s/work", dir);
	auto_free char **lower = calloc(n + 1, sizeof(char *));
	struct overlay o = { .lower = lower, .n_lower = n, .upper = upper, .work = work,
			     .discard = instance__bool(tree, NULL, "discard"), .userxattr = geteuid() != 0 };

	if (!upper || !work || !lower)
		return err_sys(e, ENOMEM, "root file system");
	for (size_t i = 0; i < n; i++) {
		lower[i] = (char *)(uintptr_t)json_string_value(json_array_get(list, i));
		if (!lower[i])
			return err_set(e, EBADMSG, "%s/" INSTANCE_ROOTFS " is damaged", dir);
	}
	return overlay_open(&o, e);
}

int rootfs_open(const char *dir, struct err *e)
{
	auto_free char *path = str_printf("%s/" INSTANCE_ROOTFS, dir);
	auto_fini(buf) struct buf b = {0};
	auto_json json_t *tree = NULL;
	int r = path ? file_slurp_at(AT_FDCWD, path, &b, INSTANCE_TEXT_MAX) : -ENOMEM;

	if (r < 0)
		return err_sys(e, -r, "%s", path ? path : dir);
	r = json_tree_parse(&tree, buf_str(&b), b.len, e);
	if (r >= 0)
		r = open_layers(dir, tree, e);
	return r < 0 ? err_wrap(e, r, "root file system") : r;
}
