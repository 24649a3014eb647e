/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a docker archive (manifest.json) or an OCI layout (index.json) names becomes an image. The config's
 * digest is the image's id, and the config names the layers by digest: nothing else that the archive says
 * about itself is believed.
 */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "fmt/digest.h"
#include "fmt/image.h"
#include "store/archive.h"
#include "store/store_internal.h"
#include "store/stream.h"

enum { INDEX_DEPTH_MAX = 3 };

struct load {
	struct store *st;
	struct archive archive;
	struct arena arena;
	struct strv *loaded;
	size_t images;
};

static void load_fini(struct load *l)
{
	archive_fini(&l->archive);
	arena_fini(&l->arena);
}

/* put_layer() - @name in the archive has digest @blob (NULL: not said) and is the layer @diff_id. */
static int put_layer(struct load *l, const char *name, const char *blob, const char *diff_id, struct err *e)
{
	const struct archive_file *f = archive_find(&l->archive, name);
	struct store__layer_input in = {
		.fd = -1, .upper_dirfd = -1, .expect_blob = blob, .expect_diff = diff_id
	};
	char got[STORE_DIGEST_SIZE];
	struct stream_fd *part;
	struct source from;
	int r = store__digest_check("layer", diff_id, e);

	if (r >= 0)
		r = store__layer_has(l->st, diff_id, e);
	if (r != 0) /* here already, whatever the archive brings */
		return r < 0 ? r : 0;
	if (!f)
		return err_set(e, ENOENT, "layer '%.100s': missing from the archive", name);
	part = malloc(sizeof(*part));
	if (!part)
		return err_sys(e, ENOMEM, "layer");
	stream_fd_init_part(part, l->archive.fd, f->at, f->len);
	from = stream_fd_source(part);
	in.from = &from;
	r = store__layer_put(l->st, &in, got, e);
	free(part);
	return r < 0 ? err_wrap(e, r, "layer '%.100s'", name) : 0;
}

static int put_image(struct load *l, const struct buf *config, const struct image_config *c,
		     char *const *tags, size_t n_tags, struct err *e)
{
	char id[STORE_DIGEST_SIZE];
	int r = 0;

	for (size_t i = 0; i < (n_tags ? n_tags : 1) && r >= 0; i++) {
		auto_free char *full = NULL;

		r = n_tags ? image_ref_normalize(tags[i], &full, e) : 0;
		if (r >= 0)
			r = store_image_put(l->st, config->data, config->len, c->diff_ids, c->n_layers, full,
					    id, e);
		if (r >= 0 && l->loaded)
			strv_add(l->loaded, full ? image_ref_familiar(full) : id);
	}
	l->images += r >= 0;
	return r;
}

/* --- docker archive ------------------------------------------------------------------------------------- */

static int load_archived(struct load *l, const struct image_archived *i, struct err *e)
{
	auto_fini(buf) struct buf config = { 0 };
	struct image_config c;
	int r = archive_read(&l->archive, i->config, IMAGE_TEXT_MAX, &config, e);

	if (r >= 0)
		r = image_config_parse(&l->arena, config.data, config.len, &c, e);
	if (r >= 0 && c.n_layers != i->n_layers)
		r = err_set(e, EINVAL, "manifest.json names %zu layers, the config '%.80s' %zu", i->n_layers,
			    i->config, c.n_layers);
	for (size_t n = 0; r >= 0 && n < i->n_layers; n++)
		r = put_layer(l, i->layers[n], NULL, c.diff_ids[n], e);
	return r < 0 ? r : put_image(l, &config, &c, i->tags, i->n_tags, e);
}

static int load_docker(struct load *l, struct err *e)
{
	auto_fini(buf) struct buf text = { 0 };
	struct image_archive x;
	int r = archive_read(&l->archive, "manifest.json", IMAGE_TEXT_MAX, &text, e);

	if (r >= 0)
		r = image_archive_parse(&l->arena, text.data, text.len, &x, e);
	for (size_t i = 0; r >= 0 && i < x.n_images; i++)
		r = load_archived(l, &x.images[i], e);
	return r;
}

/* --- OCI layout ----------------------------------------------------------------------------------------- */

static const char *blob_name(const char *digest, char *dst, size_t size)
{
	const char *hex = strchr(digest, ':') + 1;

	str_format(dst, size, "blobs/%.*s/%s", (int)(hex - 1 - digest), digest, hex);
	return dst;
}

/* read_blob() - a text of the layout, its digest and length checked. */
static int read_blob(struct load *l, const struct image_desc *d, struct buf *b, struct err *e)
{
	char name[DIGEST_TEXT_SIZE + 16], got[DIGEST_TEXT_SIZE];
	struct digest sum;
	enum digest_alg alg;
	int r = archive_read(&l->archive, blob_name(d->digest, name, sizeof(name)), IMAGE_TEXT_MAX, b, e);

	if (r < 0)
		return r;
	digest_parse(d->digest, &alg, NULL);
	digest_init(&sum, alg);
	digest_update(&sum, b->data, b->len);
	digest_final(&sum, got);
	return str_eq(got, d->digest) ? 0 :
					err_set(e, EBADMSG, "'%s': its contents have digest %s", name, got);
}

static int load_oci_manifest(struct load *l, const struct image_desc *d, const char *tag, struct err *e)
{
	auto_fini(buf) struct buf text = { 0 }, config = { 0 };
	char *tags[] = { (char *)tag };
	struct image_manifest m;
	struct image_config c;
	int r = read_blob(l, d, &text, e);

	if (r >= 0)
		r = image_manifest_parse(&l->arena, text.data, text.len, &m, e);
	if (r >= 0)
		r = read_blob(l, &m.config, &config, e);
	if (r >= 0)
		r = image_config_parse(&l->arena, config.data, config.len, &c, e);
	if (r >= 0 && c.n_layers != m.n_layers)
		r = err_set(e, EINVAL, "the manifest names %zu layers, the config %zu", m.n_layers,
			    c.n_layers);
	for (size_t n = 0; r >= 0 && n < m.n_layers; n++) {
		char name[DIGEST_TEXT_SIZE + 16];

		r = put_layer(l, blob_name(m.layers[n].digest, name, sizeof(name)), m.layers[n].digest,
			      c.diff_ids[n], e);
	}
	return r < 0 ? r : put_image(l, &config, &c, tags, tag ? 1 : 0, e);
}

/* desc_tag() - what the layout calls an image: a whole reference, or a bare tag, which names nothing. */
static const char *desc_tag(const struct image_desc *d, const char *inherited)
{
	if (d->image_name)
		return d->image_name;
	if (d->ref_name && strpbrk(d->ref_name, ":/"))
		return d->ref_name;
	return inherited;
}

static bool is_index(const struct image_desc *d)
{
	return str_eq(d->media_type, IMAGE_MEDIA_INDEX) || str_eq(d->media_type, IMAGE_MEDIA_DOCKER_LIST);
}

/* for_us() - in an index of one image for several platforms: is this ours? */
static bool for_us(const struct image_desc *d)
{
	return !d->os || (str_eq(d->os, "linux") &&
			  str_eq(d->architecture ? d->architecture : "", image_architecture()));
}

static int load_index(struct load *l, const struct buf *text, const char *tag, int depth, struct err *e)
{
	struct image_index x;
	int r = image_index_parse(&l->arena, text->data, text->len, &x, e);

	if (r >= 0 && depth == INDEX_DEPTH_MAX)
		r = err_set(e, ELOOP, "index.json: more than %d indexes deep", INDEX_DEPTH_MAX);
	for (size_t i = 0; r >= 0 && i < x.n_manifests; i++) {
		const struct image_desc *d = &x.manifests[i];
		auto_fini(buf) struct buf inner = { 0 };

		if (depth > 0 && !for_us(d))
			continue;
		if (!is_index(d)) {
			r = load_oci_manifest(l, d, desc_tag(d, tag), e);
			continue;
		}
		r = read_blob(l, d, &inner, e);
		if (r >= 0)
			r = load_index(l, &inner, desc_tag(d, tag), depth + 1, e);
	}
	return r;
}

static int load_oci(struct load *l, struct err *e)
{
	auto_fini(buf) struct buf text = { 0 };
	int r = archive_read(&l->archive, "index.json", IMAGE_TEXT_MAX, &text, e);

	return r < 0 ? r : load_index(l, &text, NULL, 0, e);
}

int store_load(struct store *st, int in_fd, struct strv *loaded, struct err *e)
{
	__attribute__((
		cleanup(load_fini))) struct load l = { .st = st, .archive = { .fd = -1 }, .loaded = loaded };
	int r = store__writing(st, e);

	if (r >= 0)
		r = archive_open(&l.archive, st, in_fd, e);
	if (r < 0)
		return err_wrap(e, r, "load");
	if (archive_find(&l.archive, "manifest.json"))
		r = load_docker(&l, e);
	else if (archive_find(&l.archive, "index.json"))
		r = load_oci(&l, e);
	else
		r = err_set(e, EINVAL,
			    "neither manifest.json (docker archive) nor index.json (OCI layout) is in it");
	if (r >= 0 && l.images == 0)
		r = err_set(e, EINVAL, "it holds no image for linux/%s", image_architecture());
	return r < 0 ? err_wrap(e, r, "load") : 0;
}
