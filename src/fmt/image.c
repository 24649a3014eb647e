/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "fmt/digest.h"
#include "fmt/json.h"

const char *image_architecture(void)
{
#if defined(__x86_64__)
	return "amd64";
#elif defined(__aarch64__)
	return "arm64";
#else
	return "";
#endif
}

static int parse_begin(struct json_doc *doc, struct json_at *ret_root, const char *what, const char *text,
		       size_t len)
{
	if (len > IMAGE_TEXT_MAX) {
		doc->rc = err_set(doc->e, EFBIG, "%s: %zu bytes, the limit is %d", what, len, IMAGE_TEXT_MAX);
		return doc->rc;
	}
	*ret_root = json_parse(doc, text, len);
	return doc->rc;
}

static int parse_end(struct json_doc *doc, const char *what)
{
	int r = json_finish(doc);

	return r < 0 ? err_wrap(doc->e, r, "%s", what) : 0;
}

static size_t count(const struct json_at *list, size_t max)
{
	size_t n = json_count(list);

	if (n <= max)
		return n;
	json_fail(list, NULL, E2BIG, "%zu elements, the limit is %zu", n, max);
	return 0;
}

static const char *text_or(const char *s, const char *fallback)
{
	return s ? s : fallback;
}

static nsec_t read_time(const struct json_at *at, const char *key)
{
	const char *text = json_read_str(at, key);
	nsec_t t = 0;

	if (text && *text && time_parse_rfc3339(text, &t) < 0)
		return 0; /* years 0001 and below that some tools write: as good as not given */
	return t > 0 ? t : 0;
}

static const char *read_digest(const struct json_at *at, const char *key)
{
	const char *d = json_read_str(at, key);

	if (d && digest_valid(d))
		return d;
	json_fail(at, key, EINVAL, "'%.80s' is not a digest", d ? d : "");
	return "";
}

/* read_strings() - a list of strings as char **, all of them the arena's. */
static char **read_strings(const struct json_at *list, size_t n, bool digests)
{
	char **s = json_alloc(list, n, sizeof(*s));

	for (size_t i = 0; s && i < n; i++) {
		struct json_at item = json_item(list, i);
		const char *text = digests ? read_digest(&item, NULL) : json_read_str(&item, NULL);

		if (!text)
			json_fail(&item, NULL, EINVAL, "missing");
		s[i] = (char *)text_or(text, "");
	}
	return s;
}

static void read_history(const struct json_at *root, struct image_config *c)
{
	struct json_at list = json_read_list(root, "history");

	c->n_history = count(&list, IMAGE_LIST_MAX);
	c->history = json_alloc(&list, c->n_history, sizeof(*c->history));
	for (size_t i = 0; c->history && i < c->n_history; i++) {
		struct json_at item = json_item(&list, i);

		c->history[i] = (struct image_history){
			.created_ns = read_time(&item, "created"),
			.created_by = text_or(json_read_str(&item, "created_by"), ""),
			.comment = text_or(json_read_str(&item, "comment"), ""),
			.author = text_or(json_read_str(&item, "author"), ""),
			.empty_layer = json_read_bool(&item, "empty_layer", false),
		};
	}
}

/* Spec: image-spec config.md; "rootfs" is REQUIRED there, and an image without layers still names it. */
int image_config_parse(struct arena *a, const char *text, size_t len, struct image_config *ret, struct err *e)
{
	struct json_doc doc = { .arena = a, .e = e };
	struct image_config c = { 0 };
	struct json_at root, rootfs, list;
	int r = parse_begin(&doc, &root, "image config", text, len);

	if (r < 0)
		return parse_end(&doc, "image config");
	c.os = text_or(json_read_str(&root, "os"), "");
	c.architecture = text_or(json_read_str(&root, "architecture"), "");
	c.variant = text_or(json_read_str(&root, "variant"), "");
	c.created_ns = read_time(&root, "created");
	json_need(&root, "rootfs");
	rootfs = json_read_obj(&root, "rootfs");
	list = json_read_list(&rootfs, "diff_ids");
	c.n_layers = count(&list, IMAGE_LAYERS_MAX);
	c.diff_ids = read_strings(&list, c.n_layers, true);
	read_history(&root, &c);
	r = parse_end(&doc, "image config");
	if (r >= 0)
		*ret = c;
	return r;
}

static struct image_desc read_desc(const struct json_at *at)
{
	struct json_at notes = json_read_obj(at, "annotations"), platform = json_read_obj(at, "platform");

	return (struct image_desc){
		.media_type = text_or(json_read_str(at, "mediaType"), ""),
		.digest = read_digest(at, "digest"),
		.size = json_read_u64(at, "size", INT64_MAX, 0),
		.image_name = json_read_str(&notes, "io.containerd.image.name"),
		.ref_name = json_read_str(&notes, "org.opencontainers.image.ref.name"),
		.os = json_read_str(&platform, "os"),
		.architecture = json_read_str(&platform, "architecture"),
	};
}

static struct image_desc *read_descs(const struct json_at *root, const char *key, size_t max, size_t *ret_n)
{
	struct json_at list = json_read_list(root, key);
	struct image_desc *d;

	*ret_n = count(&list, max);
	d = json_alloc(&list, *ret_n, sizeof(*d));
	for (size_t i = 0; d && i < *ret_n; i++) {
		struct json_at item = json_item(&list, i);

		d[i] = read_desc(&item);
	}
	return d;
}

/* A text that is both manifest and index would be read differently by different tools: refused
 * (CVE-2021-41190). */
static void refuse_both(const struct json_at *root, const char *mine, const char *other)
{
	json_need(root, mine);
	if (json_has(root, other))
		json_fail(root, other, EINVAL, "stands beside '%s': neither a manifest nor an index", mine);
}

int image_manifest_parse(struct arena *a, const char *text, size_t len, struct image_manifest *ret,
			 struct err *e)
{
	struct json_doc doc = { .arena = a, .e = e };
	struct image_manifest m = { 0 };
	struct json_at root, config;
	int r = parse_begin(&doc, &root, "image manifest", text, len);

	if (r < 0)
		return parse_end(&doc, "image manifest");
	refuse_both(&root, "config", "manifests");
	config = json_read_obj(&root, "config");
	m.config = read_desc(&config);
	m.layers = read_descs(&root, "layers", IMAGE_LAYERS_MAX, &m.n_layers);
	r = parse_end(&doc, "image manifest");
	if (r >= 0)
		*ret = m;
	return r;
}

int image_index_parse(struct arena *a, const char *text, size_t len, struct image_index *ret, struct err *e)
{
	struct json_doc doc = { .arena = a, .e = e };
	struct image_index x = { 0 };
	struct json_at root;
	int r = parse_begin(&doc, &root, "image index", text, len);

	if (r < 0)
		return parse_end(&doc, "image index");
	refuse_both(&root, "manifests", "config");
	x.manifests = read_descs(&root, "manifests", IMAGE_LIST_MAX, &x.n_manifests);
	r = parse_end(&doc, "image index");
	if (r >= 0)
		*ret = x;
	return r;
}

static struct image_archived read_archived(const struct json_at *at)
{
	struct json_at layers = json_read_list(at, "Layers"), tags = json_read_list(at, "RepoTags");
	struct image_archived i = { .config = text_or(json_read_str(at, "Config"), "") };

	json_need(at, "Config");
	i.n_layers = count(&layers, IMAGE_LAYERS_MAX);
	i.layers = read_strings(&layers, i.n_layers, false);
	i.n_tags = count(&tags, IMAGE_LIST_MAX);
	i.tags = read_strings(&tags, i.n_tags, false);
	return i;
}

int image_archive_parse(struct arena *a, const char *text, size_t len, struct image_archive *ret,
			struct err *e)
{
	struct json_doc doc = { .arena = a, .e = e };
	struct image_archive x = { 0 };
	struct json_at root;
	int r = parse_begin(&doc, &root, "manifest.json", text, len);

	if (r < 0)
		return parse_end(&doc, "manifest.json");
	root = json_read_list(&root, NULL);
	x.n_images = count(&root, IMAGE_LIST_MAX);
	x.images = json_alloc(&root, x.n_images, sizeof(*x.images));
	for (size_t i = 0; x.images && i < x.n_images; i++) {
		struct json_at item = json_item(&root, i);

		x.images[i] = read_archived(&item);
	}
	r = parse_end(&doc, "manifest.json");
	if (r >= 0)
		*ret = x;
	return r;
}

static void put_desc(struct json_out *o, const char *key, const struct image_desc *d)
{
	json_put_open(o, key, '{');
	json_put_str(o, "mediaType", d->media_type);
	json_put_str(o, "digest", d->digest);
	json_put_u64(o, "size", d->size);
	if (d->image_name || d->ref_name) {
		json_put_open(o, "annotations", '{');
		if (d->image_name)
			json_put_str(o, "io.containerd.image.name", d->image_name);
		if (d->ref_name)
			json_put_str(o, "org.opencontainers.image.ref.name", d->ref_name);
		json_put_close(o, '}');
	}
	if (d->os && d->architecture) {
		json_put_open(o, "platform", '{');
		json_put_str(o, "architecture", d->architecture);
		json_put_str(o, "os", d->os);
		json_put_close(o, '}');
	}
	json_put_close(o, '}');
}

static void put_descs(struct json_out *o, const char *key, const struct image_desc *d, size_t n)
{
	json_put_open(o, key, '[');
	for (size_t i = 0; i < n; i++)
		put_desc(o, NULL, &d[i]);
	json_put_close(o, ']');
}

static void put_head(struct json_out *o, const char *media_type)
{
	json_put_open(o, NULL, '{');
	json_put_u64(o, "schemaVersion", 2);
	json_put_str(o, "mediaType", media_type);
}

void image_manifest_put(struct buf *b, const struct image_manifest *m)
{
	struct json_out o = { .to = b };

	put_head(&o, IMAGE_MEDIA_MANIFEST);
	put_desc(&o, "config", &m->config);
	put_descs(&o, "layers", m->layers, m->n_layers);
	json_put_close(&o, '}');
}

void image_index_put(struct buf *b, const struct image_index *x)
{
	struct json_out o = { .to = b };

	put_head(&o, IMAGE_MEDIA_INDEX);
	put_descs(&o, "manifests", x->manifests, x->n_manifests);
	json_put_close(&o, '}');
}

void image_archive_put(struct buf *b, const struct image_archive *x)
{
	struct json_out o = { .to = b };

	json_put_open(&o, NULL, '[');
	for (size_t i = 0; i < x->n_images; i++) {
		json_put_open(&o, NULL, '{');
		json_put_str(&o, "Config", x->images[i].config);
		json_put_strs(&o, "RepoTags", x->images[i].tags, x->images[i].n_tags);
		json_put_strs(&o, "Layers", x->images[i].layers, x->images[i].n_layers);
		json_put_close(&o, '}');
	}
	json_put_close(&o, ']');
}

int image_config_with_layers(const char *text, size_t len, char *const *diff_ids, size_t n, struct buf *b,
			     struct err *e)
{
	json_t *tree = NULL, *list;
	int r = json_tree_parse(&tree, text, len, e);

	if (r < 0)
		return err_wrap(e, r, "image config");
	list = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_string(diff_ids[i]));
	json_object_set_new(tree, "rootfs", json_pack("{s:s, s:o}", "type", "layers", "diff_ids", list));
	json_tree_text(b, tree, 0);
	json_decref(tree);
	return buf_finish(b) < 0 ? err_sys(e, ENOMEM, "image config") : 0;
}
