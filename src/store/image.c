/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "fmt/digest.h"
#include "fmt/image.h"
#include "store/store_internal.h"

void image_fini(struct image *im)
{
	free(im->config);
	for (size_t i = 0; i < im->n_layers; i++)
		free(im->layers[i]);
	free(im->layers);
	strv_fini(&im->tags);
	*im = (struct image){ 0 };
}

/* --- reading -------------------------------------------------------------------------------------------- */

static int read_layers(struct store *st, struct image *im, struct err *e)
{
	struct strv ids = { 0 };
	sqlite3_stmt *q =
		store__query(st, e,
			     "SELECT i.diff_id, coalesce(l.tar_bytes, 0) FROM image_layer i LEFT JOIN layer l"
			     " ON l.diff_id = i.diff_id WHERE i.image = ? ORDER BY i.position",
			     "s", im->id);
	int r;

	while ((r = store__step(st, q, e)) > 0) {
		strv_add(&ids, store__text(q, 0));
		im->size_bytes += (uint64_t)sqlite3_column_int64(q, 1);
	}
	if (r >= 0 && strv_finish(&ids) < 0)
		r = err_sys(e, ENOMEM, "image");
	im->layers = ids.item;
	im->n_layers = ids.len;
	return r;
}

static int read_tags(struct store *st, struct image *im, struct err *e)
{
	sqlite3_stmt *q =
		store__query(st, e, "SELECT name FROM tag WHERE image = ? ORDER BY name", "s", im->id);
	int r;

	while ((r = store__step(st, q, e)) > 0)
		strv_add(&im->tags, store__text(q, 0));
	return r < 0 ? r : strv_finish(&im->tags) < 0 ? err_sys(e, ENOMEM, "image") : 0;
}

/* read_config() - one that is gone or damaged is an error when the @whole image is wanted, else "{}". */
static int read_config(struct store *st, struct image *im, bool whole, struct err *e)
{
	auto_fini(buf) struct buf config = { 0 };
	struct err why = { 0 };
	int r = store_blob_get(st, im->id, IMAGE_TEXT_MAX, &config, &why);

	if (r < 0 && !whole) {
		im->config = strdup("{}");
		return im->config ? 0 : err_sys(e, ENOMEM, "image");
	}
	if (r == -ENOENT) /* there is such an image, of no use */
		r = -EBADMSG;
	if (r < 0)
		return err_set(e, -r, "%s", why.text);
	im->config = buf_take(&config);
	return 0;
}

/* image_read() - everything about the image @id, which is an id in full. -ENOENT without a text: there is
 * none. */
static int image_read(struct store *st, const char *id, bool whole, struct image *ret_im, struct err *e)
{
	auto_fini(image) struct image im = { 0 };
	sqlite3_stmt *q = store__query(st, e, "SELECT manifest, created_ns FROM image WHERE id = ?", "s", id);
	int r = store__step(st, q, e);

	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	str_copy(im.id, sizeof(im.id), id);
	str_copy(im.manifest, sizeof(im.manifest), store__text(q, 0));
	im.created_ns = sqlite3_column_int64(q, 1);
	sqlite3_reset(q);
	r = read_layers(st, &im, e);
	if (r >= 0)
		r = read_tags(st, &im, e);
	if (r >= 0)
		r = read_config(st, &im, whole, e);
	if (r < 0)
		return err_wrap(e, r, "image %.19s", id);
	*ret_im = im;
	im = (struct image){ 0 };
	return 0;
}

static bool is_hex(const char *s)
{
	return s[0] && s[strspn(s, "0123456789abcdef")] == '\0';
}

/* id_from_prefix() - Return: 1, 0 none, -EEXIST several */
static int id_from_prefix(struct store *st, const char *hex, char *ret_id, struct err *e)
{
	char low[STORE_DIGEST_SIZE], high[STORE_DIGEST_SIZE + 1];
	sqlite3_stmt *q;
	int r;

	if (!is_hex(hex) || strlen(hex) > 64)
		return 0;
	str_format(low, sizeof(low), "sha256:%s", hex);
	str_format(high, sizeof(high), "%sg", low); /* behind every digit */
	q = store__query(st, e, "SELECT id FROM image WHERE id >= ? AND id < ? LIMIT 2", "ss", low, high);
	r = store__step(st, q, e);
	if (r <= 0)
		return r;
	str_copy(ret_id, STORE_DIGEST_SIZE, store__text(q, 0));
	r = store__step(st, q, e);
	if (r > 0) {
		sqlite3_reset(q);
		return err_set(e, EEXIST, "image id '%s' is ambiguous", hex);
	}
	return r < 0 ? r : 1;
}

static int id_from_sql(struct store *st, const char *sql, const char *key, char *ret_id, struct err *e)
{
	sqlite3_stmt *q = store__query(st, e, sql, "s", key);
	int r = store__step(st, q, e);

	if (r <= 0)
		return r;
	str_copy(ret_id, STORE_DIGEST_SIZE, store__text(q, 0));
	sqlite3_reset(q);
	return 1;
}

/* id_find() - Return: 1 found; 0; -errno. *ret_tag (caller frees): the tag that @ref named, or NULL. */
static int id_find(struct store *st, const char *ref, char *ret_id, char **ret_tag, struct err *e)
{
	auto_free char *full = NULL;
	struct err grammar = { 0 };
	const char *at = strchr(ref, '@');
	int r = 0;

	*ret_tag = NULL;
	if (str_starts(ref, "sha256:"))
		return id_from_prefix(st, ref + 7, ret_id, e);
	if (at && digest_valid(at + 1)) { /* the digest decides, whatever name stands before it */
		r = id_from_sql(st, "SELECT id FROM image WHERE manifest = ?", at + 1, ret_id, e);
		return r != 0 || !str_starts(at + 1, "sha256:") ? r : id_from_prefix(st, at + 8, ret_id, e);
	}
	if (image_ref_normalize(ref, &full, &grammar) == 0)
		r = id_from_sql(st, "SELECT image FROM tag WHERE name = ?", full, ret_id, e);
	if (r > 0)
		*ret_tag = TAKE_PTR(full);
	if (r != 0)
		return r;
	r = id_from_prefix(st, ref, ret_id, e);
	if (r == 0 && grammar.code && !is_hex(ref)) {
		if (e)
			*e = grammar;
		return -grammar.code;
	}
	return r;
}

int store__image_find(struct store *st, const char *ref, struct image *ret_im, char **ret_tag, struct err *e)
{
	char id[STORE_DIGEST_SIZE];
	int r = id_find(st, ref, id, ret_tag, e);

	if (r > 0)
		r = image_read(st, id, true, ret_im, e);
	else if (r == 0)
		r = err_set(e, ENOENT, "no such image: '%s'", ref);
	if (r < 0) {
		free(*ret_tag);
		*ret_tag = NULL;
	}
	return r;
}

int store_image_find(struct store *st, const char *ref, struct image *ret_im, struct err *e)
{
	auto_free char *tag = NULL;

	return store__image_find(st, ref, ret_im, &tag, e);
}

int store_image_each(struct store *st, int (*each)(void *arg, const struct image *im), void *arg,
		     struct err *e)
{
	auto_fini(strv) struct strv ids = { 0 };
	sqlite3_stmt *q = store__query(st, e, "SELECT id FROM image ORDER BY created_ns DESC, id", "");
	int r;

	while ((r = store__step(st, q, e)) > 0)
		strv_add(&ids, store__text(q, 0));
	if (r >= 0 && strv_finish(&ids) < 0)
		r = err_sys(e, ENOMEM, "images");
	for (size_t i = 0; i < ids.len && r >= 0; i++) {
		auto_fini(image) struct image im = { 0 };

		r = image_read(st, ids.item[i], false, &im, e);
		if (r == -ENOENT && (!e || !e->code)) { /* removed since */
			r = 0;
			continue;
		}
		if (r >= 0)
			r = each(arg, &im);
	}
	return r < 0 ? r : 0;
}

/* --- writing -------------------------------------------------------------------------------------------- */

static int check_layers(struct store *st, const struct image_config *c, char *const *layers, size_t n,
			struct err *e)
{
	if (c->n_layers != n)
		return err_set(e, EINVAL, "image config: names %zu layers, there are %zu", c->n_layers, n);
	for (size_t i = 0; i < n; i++) {
		int r = store__digest_check("layer", layers[i], e);

		if (r < 0)
			return r;
		if (!str_eq(c->diff_ids[i], layers[i]))
			return err_set(e, EINVAL,
				       "image config: layer %zu is %s, its contents have digest %s", i,
				       c->diff_ids[i], layers[i]);
		r = store__layer_has(st, layers[i], e);
		if (r == 0)
			return err_set(e, ENOENT, "layer %s: missing from the store", layers[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

static int put_manifest(struct store *st, const char *id, size_t config_len, const struct image_config *c,
			struct arena *a, char *ret_digest, struct err *e)
{
	auto_fini(buf) struct buf text = { 0 };
	struct image_manifest m = {
		.config = { .media_type = IMAGE_MEDIA_CONFIG, .digest = id, .size = config_len },
		.layers = arena_array(a, c->n_layers, sizeof(*m.layers)),
		.n_layers = c->n_layers,
	};

	if (!m.layers)
		return err_sys(e, ENOMEM, "image manifest");
	for (size_t i = 0; i < m.n_layers; i++) {
		int r;

		m.layers[i] =
			(struct image_desc){ .media_type = IMAGE_MEDIA_LAYER, .digest = c->diff_ids[i] };
		r = store__layer_bytes(st, c->diff_ids[i], &m.layers[i].size, e);
		if (r < 0)
			return r;
	}
	image_manifest_put(&text, &m);
	if (buf_finish(&text) < 0)
		return err_sys(e, ENOMEM, "image manifest");
	return store_blob_put(st, text.data, text.len, ret_digest, e);
}

static int put_rows(struct store *st, const char *id, const char *manifest, const struct image_config *c,
		    struct err *e)
{
	int r = store__run(
		st, e, "INSERT OR IGNORE INTO image(id, manifest, created_ns, added_ns) VALUES(?, ?, ?, ?)",
		"ssii", id, manifest, (int64_t)c->created_ns, (int64_t)time_now_ns(CLOCK_REALTIME));

	for (size_t i = 0; i < c->n_layers && r >= 0; i++)
		r = store__run(st, e,
			       "INSERT OR IGNORE INTO image_layer(image, position, diff_id) VALUES(?, ?, ?)",
			       "sis", id, (int64_t)i, c->diff_ids[i]);
	return r;
}

static int put_tag(struct store *st, const char *full, const char *id, struct err *e)
{
	return store__run(st, e, "INSERT OR REPLACE INTO tag(name, image) VALUES(?, ?)", "ss", full, id);
}

static int tag_normalize(const char *tag, char **ret_full, struct err *e)
{
	int r = image_ref_normalize(tag, ret_full, e);

	if (r < 0 || !strchr(*ret_full, '@'))
		return r;
	free(*ret_full);
	*ret_full = NULL;
	return err_set(e, EINVAL, "tag '%s': a digest cannot be given as a name", tag);
}

int store_image_put(struct store *st, const char *config, size_t len, char *const *layers, size_t n_layers,
		    const char *tag, char *ret_id, struct err *e)
{
	auto_fini(arena) struct arena a = { 0 };
	auto_free char *full = NULL;
	char id[STORE_DIGEST_SIZE], manifest[STORE_DIGEST_SIZE];
	struct image_config c;
	int r = tag ? tag_normalize(tag, &full, e) : 0;

	if (r >= 0)
		r = image_config_parse(&a, config, len, &c, e);
	if (r >= 0)
		r = store__writing(st, e); /* before we look whether the layers are there */
	if (r >= 0)
		r = check_layers(st, &c, layers, n_layers, e);
	if (r >= 0)
		r = store_blob_put(st, config, len, id, e);
	if (r >= 0)
		r = put_manifest(st, id, len, &c, &a, manifest, e);
	if (r >= 0)
		r = store__begin_durable(st, e);
	if (r < 0)
		return r;
	r = put_rows(st, id, manifest, &c, e);
	if (r >= 0 && full)
		r = put_tag(st, full, id, e);
	if (r < 0) {
		store_rollback(st);
		return r;
	}
	r = store_commit(st, e);
	if (r >= 0)
		str_copy(ret_id, STORE_DIGEST_SIZE, id);
	return r;
}

int store_image_tag(struct store *st, const char *ref, const char *tag, struct err *e)
{
	auto_free char *full = NULL, *named = NULL;
	char id[STORE_DIGEST_SIZE];
	int r = tag_normalize(tag, &full, e);

	if (r >= 0)
		r = store__begin_durable(st, e);
	if (r < 0)
		return r;
	r = id_find(st, ref, id, &named, e);
	if (r == 0)
		r = err_set(e, ENOENT, "no such image: '%s'", ref);
	if (r > 0)
		r = put_tag(st, full, id, e);
	if (r < 0) {
		store_rollback(st);
		return r;
	}
	return store_commit(st, e);
}

/* --- removing ------------------------------------------------------------------------------------------- */

/* What rmi decided before it changes anything. */
struct removal {
	struct image im;
	char *tag;       /* owned; only this one, or NULL: all */
	bool keep_image; /* rows stay: other tags, or somebody runs it */
};

static void removal_fini(struct removal *x)
{
	image_fini(&x->im);
	free(x->tag);
}

/* Docker's rules: a name is untagged, the last one takes the image along; an id takes all when it is not
 * ambiguous. */
static int removal_decide(struct store *st, struct removal *x, const char *ref, bool force, struct err *e)
{
	char by[128] = "";
	bool used;

	if (x->tag && x->im.tags.len > 1) {
		x->keep_image = true;
		return 0;
	}
	if (!x->tag && x->im.tags.len > 1 && !force)
		return err_set(e, EBUSY, "image '%s' has %zu names: remove them one by one, or force it", ref,
			       x->im.tags.len);
	used = st->in_use && st->in_use(st->in_use_arg, x->im.id, by, sizeof(by));
	if (used && !force)
		return err_set(e, EBUSY, "image '%s' is used by container %s: remove that first, or force it",
			       ref, by);
	x->keep_image = used;
	return 0;
}

static int delete_rows(struct store *st, const struct removal *x, struct err *e)
{
	int r;

	if (x->tag)
		r = store__run(st, e, "DELETE FROM tag WHERE name = ?", "s", x->tag);
	else
		r = store__run(st, e, "DELETE FROM tag WHERE image = ?", "s", x->im.id);
	if (r >= 0 && !x->keep_image)
		r = store__run(st, e, "DELETE FROM image_layer WHERE image = ?", "s", x->im.id);
	if (r >= 0 && !x->keep_image)
		r = store__run(st, e, "DELETE FROM image WHERE id = ?", "s", x->im.id);
	return r;
}

static void removal_tell(const struct removal *x, struct strv *told)
{
	if (!told)
		return;
	if (x->tag)
		strv_addf(told, "Untagged: %s", image_ref_familiar(x->tag));
	for (size_t i = 0; !x->tag && i < x->im.tags.len; i++)
		strv_addf(told, "Untagged: %s", image_ref_familiar(x->im.tags.item[i]));
	if (!x->keep_image)
		strv_addf(told, "Deleted: %s", x->im.id);
}

/* removal_find() - one whose config is damaged can be removed, too. */
static int removal_find(struct store *st, const char *ref, struct removal *x, struct err *e)
{
	char id[STORE_DIGEST_SIZE];
	int r = id_find(st, ref, id, &x->tag, e);

	return r > 0 ? image_read(st, id, false, &x->im, e) :
	       r < 0 ? r :
		       err_set(e, ENOENT, "no such image: '%s'", ref);
}

int store_image_remove(struct store *st, const char *ref, bool force, struct strv *told, struct err *e)
{
	__attribute__((cleanup(removal_fini))) struct removal x = { 0 };
	uint64_t freed = 0;
	int r;

	store_reserve_use(st);
	r = store__begin_durable(st, e);
	if (r < 0)
		return r;
	r = removal_find(st, ref, &x, e);
	if (r >= 0)
		r = removal_decide(st, &x, ref, force, e);
	if (r >= 0)
		r = delete_rows(st, &x, e);
	if (r < 0) {
		store_rollback(st);
		return r;
	}
	r = store_commit(st, e);
	if (r < 0)
		return r;
	removal_tell(&x, told);
	if (!x.keep_image)
		r = store__collect(st, told, &freed, e);
	store_reserve_keep(st);
	return r;
}

/* --- history -------------------------------------------------------------------------------------------- */

int store_image_history(struct store *st, const struct image *im,
			int (*each)(void *arg, const struct store_history *h), void *arg, struct err *e)
{
	auto_fini(arena) struct arena a = { 0 };
	struct image_config c;
	size_t layer;
	int r = image_config_parse(&a, im->config, strlen(im->config), &c, e);

	if (r < 0)
		return r;
	layer = im->n_layers;
	for (size_t i = c.n_history; i-- > 0 && r >= 0;) { /* newest first */
		const struct image_history *line = &c.history[i];
		struct store_history h = {
			.id = i + 1 == c.n_history ? im->id : NULL,
			.created_ns = line->created_ns,
			.created_by = line->created_by,
			.comment = line->comment,
		};

		if (!line->empty_layer && layer > 0) {
			h.diff_id = im->layers[--layer];
			r = store__layer_bytes(st, h.diff_id, &h.size_bytes, e);
		}
		if (r >= 0)
			r = each(arg, &h);
	}
	return r < 0 ? r : 0;
}
