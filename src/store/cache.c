/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"
#include "base/guard.h"
#include "store/store_internal.h"

int store_cache_get(struct store *st, const char *key, char *ret_diff_id, char **ret_config, struct err *e)
{
	auto_free char *config = NULL;
	char diff_id[STORE_DIGEST_SIZE];
	sqlite3_stmt *q;
	int r = store__writing(st, e); /* what we found must not be collected before it is used */

	if (r < 0)
		return r;
	q = store__query(st, e, "SELECT diff_id, config FROM cache WHERE key = ?", "s", key);
	r = store__step(st, q, e);
	if (r <= 0)
		return r;
	str_copy(diff_id, sizeof(diff_id), store__text(q, 0));
	config = strdup(store__text(q, 1));
	sqlite3_reset(q);
	if (!config)
		return err_sys(e, ENOMEM, "build cache");
	if (diff_id[0]) { /* "": a step that made no layer */
		r = store__layer_has(st, diff_id, e);
		if (r <= 0)
			return r;
	}
	r = store__run(st, e, "UPDATE cache SET used_ns = ? WHERE key = ?", "is",
		       (int64_t)time_now_ns(CLOCK_REALTIME), key);
	if (r < 0)
		return r;
	str_copy(ret_diff_id, STORE_DIGEST_SIZE, diff_id);
	*ret_config = TAKE_PTR(config);
	return 1;
}

int store_cache_put(struct store *st, const char *key, const char *diff_id, const char *config, struct err *e)
{
	int r = diff_id && diff_id[0] ? store__digest_check("build cache", diff_id, e) : 0;

	if (r < 0)
		return r;
	return store__run(st, e,
			  "INSERT OR REPLACE INTO cache(key, diff_id, config, used_ns) VALUES(?, ?, ?, ?)",
			  "sssi", key, diff_id ? diff_id : "", config ? config : "",
			  (int64_t)time_now_ns(CLOCK_REALTIME));
}
