/* SPDX-License-Identifier: Apache-2.0 */
/* firecracker_mmds.c - the store of net/mmds.h until net/ has it; weak, so that this file goes without a change elsewhere */
#include <stdlib.h>

#include "api/firecracker_internal.h"
#include "base/guard.h"
#include "net/mmds.h"

#define WEAK __attribute__((weak))

struct mmds {
	struct mmds_config config;
	size_t limit;
	json_t *tree; /* owned; NULL: nothing was put */
};

WEAK int mmds_new(struct mmds **ret_m, size_t limit, struct err *e)
{
	struct mmds *m = calloc(1, sizeof(*m));

	if (!m)
		return err_sys(e, ENOMEM, "metadata");
	m->limit = limit;
	*ret_m = m;
	return 0;
}

WEAK void mmds_free(struct mmds *m)
{
	if (m)
		json_decref(m->tree);
	free(m);
}

WEAK int mmds_configure(struct mmds *m, const struct mmds_config *c, struct err *e)
{
	uint32_t a = c->ipv4_address;

	if (a && (a >> 16 != 0xa9fe || (a >> 8 & 0xff) < 1 || (a >> 8 & 0xff) > 254))
		return err_set(e, EINVAL, "The MMDS IPv4 address is not link local");
	m->config = *c;
	return 0;
}

WEAK const struct mmds_config *mmds_config(const struct mmds *m)
{
	return &m->config;
}

static int keep(struct mmds *m, json_t *tree, struct err *e)
{
	auto_fini(buf) struct buf text = { 0 };

	json_tree_text(&text, tree, 0);
	if (text.len > m->limit) {
		json_decref(tree);
		return err_set(e, EMSGSIZE,
			       "The MMDS patch or data exceeds the data store limit of %zu bytes", m->limit);
	}
	json_decref(m->tree);
	m->tree = tree;
	return 0;
}

WEAK int mmds_put(struct mmds *m, const char *json, size_t len, struct err *e)
{
	json_t *tree;
	int r = json_tree_parse(&tree, json, len, e);

	return r < 0 ? r : keep(m, tree, e);
}

/* merge() - Spec: RFC 7396 */
static json_t *merge(json_t *into, json_t *patch)
{
	const char *key;
	json_t *v;

	if (!json_is_object(patch))
		return json_incref(patch);
	into = json_is_object(into) ? json_incref(into) : json_object();
	json_object_foreach(patch, key, v)
	{
		if (json_is_null(v))
			json_object_del(into, key);
		else
			json_object_set_new(into, key, merge(json_object_get(into, key), v));
	}
	return into;
}

WEAK int mmds_patch(struct mmds *m, const char *json, size_t len, struct err *e)
{
	json_t *patch, *copy, *all;
	int r;

	if (!m->tree)
		return err_set(e, ENODATA, "The MMDS data store is not initialized");
	r = json_tree_parse(&patch, json, len, e);
	if (r < 0)
		return r;
	copy = json_deep_copy(m->tree);
	all = merge(copy, patch);
	json_decref(copy);
	json_decref(patch);
	return keep(m, all, e);
}

WEAK void mmds_get(const struct mmds *m, struct buf *to)
{
	json_tree_text(to, m->tree, 0);
}

WEAK bool mmds_has_data(const struct mmds *m)
{
	return m->tree && !json_is_null(m->tree);
}
