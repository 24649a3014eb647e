/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An archive that is both: a docker archive (manifest.json) and an OCI layout (index.json) over the same
 * blobs, as docker 25 writes it. Layers come out as plain tars, made again from their files and recipes.
 *
 * A header tells a layer's length and name, its digest, before its bytes are made. Whether they will be the
 * same as ever is tried once for each layer and kept in its row; a layer that comes out different (no recipe,
 * sparse files) is saved as what it now is, and the image gets another id.
 */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "fmt/digest.h"
#include "fmt/image.h"
#include "store/store_internal.h"
#include "store/tartree.h"

/* A blob of the archive. */
struct blob {
	char digest[STORE_DIGEST_SIZE];
	uint64_t len;
	const char *text;    /* NULL: a layer */
	const char *diff_id; /* of a layer: where it is in the store */
	bool canonical;      /* its tar is made anew, not from its recipe */
};

/* An image whose blobs are planned; beside archive.images. */
struct saved {
	const char *id;       /* in the store */
	const char *manifest; /* in the archive */
	size_t manifest_len;
};

struct save {
	struct store *st;
	struct arena arena;
	struct tarout out;
	struct tartree_file *file;
	struct blob *blobs;
	size_t n_blobs, cap_blobs;
	struct saved *saved;
	struct image_archive archive;
	struct image_index index;
	size_t n_changed; /* layers that are not what they were */
};

static void save_fini(struct save *s)
{
	tarout_fini(&s->out);
	free(s->file);
	free(s->blobs);
	arena_fini(&s->arena);
}

/* add_blob() - Return: the blob of this digest or diff id, new or old; NULL: out of memory */
static struct blob *add_blob(struct save *s, const struct blob *b)
{
	for (size_t i = 0; i < s->n_blobs; i++)
		if (str_eq(s->blobs[i].digest, b->digest))
			return &s->blobs[i];
	if (s->n_blobs == s->cap_blobs) {
		size_t cap = s->cap_blobs ? 2 * s->cap_blobs : 32;
		struct blob *grown = reallocarray(s->blobs, cap, sizeof(*grown));

		if (!grown)
			return NULL;
		s->blobs = grown;
		s->cap_blobs = cap;
	}
	s->blobs[s->n_blobs] = *b;
	return &s->blobs[s->n_blobs++];
}

/* --- layers --------------------------------------------------------------------------------------------- */

struct measure {
	struct digest sum;
	uint64_t len;
};

static int measure_write(void *arg, const void *bytes, size_t len, struct err *e)
{
	struct measure *m = arg;

	(void)e;
	digest_update(&m->sum, bytes, len);
	m->len += len;
	return 0;
}

static int measure_layer(struct save *s, struct blob *b, struct err *e)
{
	struct measure m = { 0 };
	int r;

	digest_init(&m.sum, DIGEST_SHA256);
	r = store__layer_tar(s->st, b->diff_id, b->canonical, measure_write, &m, e);
	if (r < 0)
		return r;
	digest_final(&m.sum, b->digest);
	b->len = m.len;
	return 0;
}

static int set_exact(struct save *s, const char *diff_id, bool exact, struct err *e)
{
	return store__run(s->st, e, "UPDATE layer SET exact = ? WHERE diff_id = ?", "is",
			  (int64_t)(exact ? 1 : -1), diff_id);
}

/* try_exact() - make it once for nobody: is it still the same? A recipe that leads nowhere is no error. */
static int try_exact(struct save *s, struct blob *b, struct err *e)
{
	struct err ignored = { 0 };
	int r = measure_layer(s, b, &ignored);
	const bool exact = r >= 0 && str_eq(b->digest, b->diff_id);

	if (r < 0 && r != -EBADMSG && r != -ENOENT && r != -EACCES) {
		if (e)
			*e = ignored;
		return r;
	}
	r = set_exact(s, b->diff_id, exact, e);
	return r < 0 ? r : exact;
}

static int plan_layer(struct save *s, const char *diff_id, struct blob *b, struct err *e)
{
	sqlite3_stmt *q =
		store__query(s->st, e, "SELECT exact, tar_bytes FROM layer WHERE diff_id = ?", "s", diff_id);
	int r = store__step(s->st, q, e), exact;

	if (r <= 0)
		return r < 0 ? r : err_set(e, ENOENT, "layer %s: missing from the store", diff_id);
	exact = sqlite3_column_int(q, 0);
	*b = (struct blob){ .diff_id = arena_strdup(&s->arena, diff_id),
			    .len = (uint64_t)sqlite3_column_int64(q, 1) };
	sqlite3_reset(q);
	if (!b->diff_id)
		return err_sys(e, ENOMEM, "save");
	if (exact == 0) {
		r = try_exact(s, b, e);
		if (r < 0)
			return r;
		exact = r > 0 ? 1 : -1;
	}
	if (exact > 0) {
		str_copy(b->digest, sizeof(b->digest), diff_id);
		return 0;
	}
	b->canonical = true;
	s->n_changed++;
	return measure_layer(s, b, e);
}

/* --- images --------------------------------------------------------------------------------------------- */

static int add_text(struct save *s, struct buf *text, char *ret_digest, size_t *ret_len, struct err *e)
{
	struct blob b = { .len = text->len };

	b.text = text->data ? arena_strndup(&s->arena, text->data, text->len) : NULL;
	if (buf_finish(text) < 0 || !b.text)
		return err_sys(e, ENOMEM, "save");
	digest_of(b.text, text->len, b.digest);
	str_copy(ret_digest, STORE_DIGEST_SIZE, b.digest);
	*ret_len = text->len;
	return add_blob(s, &b) ? 0 : err_sys(e, ENOMEM, "save");
}

static const char *blob_name(struct save *s, const char *digest)
{
	return arena_printf(&s->arena, "blobs/sha256/%s", store__hex(digest));
}

/* plan_config() - the config as it was, or with the digests that changed layers now have. */
static int plan_config(struct save *s, const struct image *im, char *const *diff_ids, char *ret_digest,
		       size_t *ret_len, struct err *e)
{
	auto_fini(buf) struct buf text = { 0 };
	bool same = true;
	int r = 0;

	for (size_t i = 0; i < im->n_layers; i++)
		same &= str_eq(im->layers[i], diff_ids[i]);
	if (same)
		buf_puts(&text, im->config);
	else
		r = image_config_with_layers(im->config, strlen(im->config), diff_ids, im->n_layers, &text,
					     e);
	return r < 0 ? r : add_text(s, &text, ret_digest, ret_len, e);
}

static int plan_layers(struct save *s, const struct image *im, struct image_desc *layers, char **diff_ids,
		       char **names, struct err *e)
{
	for (size_t i = 0; i < im->n_layers; i++) {
		struct blob b;
		int r = plan_layer(s, im->layers[i], &b, e);

		if (r < 0)
			return r;
		if (!add_blob(s, &b))
			return err_sys(e, ENOMEM, "save");
		diff_ids[i] = arena_strdup(&s->arena, b.digest);
		names[i] = (char *)blob_name(s, b.digest);
		if (!diff_ids[i] || !names[i])
			return err_sys(e, ENOMEM, "save");
		layers[i] = (struct image_desc){ .media_type = IMAGE_MEDIA_LAYER,
						 .digest = diff_ids[i],
						 .size = b.len };
	}
	return 0;
}

/* add_tag() - one more name for image @i of manifest.json and index.json; @full NULL: it has none. */
static int add_tag(struct save *s, size_t i, const char *full, struct err *e)
{
	struct image_archived *a = &s->archive.images[i];
	struct image_desc *d = &s->index.manifests[s->index.n_manifests++];
	const char *colon = full ? strrchr(full, ':') : NULL;

	*d = (struct image_desc){
		.media_type = IMAGE_MEDIA_MANIFEST,
		.digest = s->saved[i].manifest,
		.size = s->saved[i].manifest_len,
	};
	if (!full)
		return 0;
	d->image_name = arena_strdup(&s->arena, full);
	d->ref_name = arena_strdup(&s->arena, colon ? colon + 1 : "latest");
	a->tags[a->n_tags] = arena_strdup(&s->arena, image_ref_familiar(full));
	return a->tags[a->n_tags++] && d->image_name && d->ref_name ? 0 : err_sys(e, ENOMEM, "save");
}

/* plan_image() - all the blobs of one image. @n_refs: so many names at most. */
static int plan_image(struct save *s, const struct image *im, size_t n_refs, struct err *e)
{
	auto_fini(buf) struct buf text = { 0 };
	struct image_archived *a = &s->archive.images[s->archive.n_images];
	struct saved *saved = &s->saved[s->archive.n_images];
	struct image_desc *layers = arena_array(&s->arena, im->n_layers, sizeof(*layers));
	char **diff_ids = arena_array(&s->arena, im->n_layers, sizeof(*diff_ids));
	char *config = arena_alloc(&s->arena, STORE_DIGEST_SIZE),
	     *manifest = arena_alloc(&s->arena, STORE_DIGEST_SIZE);
	struct image_manifest m = { .layers = layers, .n_layers = im->n_layers };
	size_t config_len;
	int r;

	a->tags = arena_array(&s->arena, n_refs, sizeof(*a->tags));
	a->layers = arena_array(&s->arena, im->n_layers, sizeof(*a->layers));
	saved->id = arena_strdup(&s->arena, im->id);
	if (!layers || !diff_ids || !config || !manifest || !a->tags || !a->layers || !saved->id)
		return err_sys(e, ENOMEM, "save");
	r = plan_layers(s, im, layers, diff_ids, a->layers, e);
	if (r >= 0)
		r = plan_config(s, im, diff_ids, config, &config_len, e);
	if (r < 0)
		return r;
	m.config =
		(struct image_desc){ .media_type = IMAGE_MEDIA_CONFIG, .digest = config, .size = config_len };
	image_manifest_put(&text, &m);
	r = add_text(s, &text, manifest, &saved->manifest_len, e);
	saved->manifest = manifest;
	a->config = r < 0 ? NULL : blob_name(s, config);
	if (r < 0 || !a->config)
		return r < 0 ? r : err_sys(e, ENOMEM, "save");
	a->n_layers = im->n_layers;
	s->archive.n_images++;
	return 0;
}

static int plan_ref(struct save *s, const char *ref, size_t n_refs, struct err *e)
{
	auto_fini(image) struct image im = { 0 };
	auto_free char *tag = NULL;
	int r = store__image_find(s->st, ref, &im, &tag, e);
	size_t i = 0;

	if (r < 0)
		return r;
	while (i < s->archive.n_images && !str_eq(s->saved[i].id, im.id))
		i++;
	if (i == s->archive.n_images) {
		r = plan_image(s, &im, n_refs, e);
	} else if (!tag) {
		return 0; /* named twice, the second time by id */
	}
	return r < 0 ? r : add_tag(s, i, tag, e);
}

/* --- writing -------------------------------------------------------------------------------------------- */

static int write_dir(struct save *s, const char *name, struct err *e)
{
	const struct tar_entry n = { .type = TAR_DIR, .name = name, .link = "", .mode = 0755 };

	return tarout_entry(&s->out, &n, e);
}

/* A layer on its way out: digested, so that nobody gets what is not what its name says. */
struct passing {
	struct save *s;
	struct measure m;
	uint64_t left;
};

static int pass_on(void *arg, const void *bytes, size_t len, struct err *e)
{
	struct passing *p = arg;

	if (len > p->left)
		return err_set(e, EBADMSG, "it has grown since it was stored");
	p->left -= len;
	measure_write(&p->m, bytes, len, NULL);
	return tarout_data(&p->s->out, bytes, len, e);
}

static int write_layer(struct save *s, const struct blob *b, struct err *e)
{
	struct passing p = { .s = s, .left = b->len };
	const struct tar_entry n = {
		.type = TAR_FILE,
		.name = blob_name(s, b->digest),
		.link = "",
		.mode = 0644,
		.size = b->len,
	};
	char got[STORE_DIGEST_SIZE];
	int r = n.name ? tarout_entry(&s->out, &n, e) : err_sys(e, ENOMEM, "save");

	digest_init(&p.m.sum, DIGEST_SHA256);
	if (r >= 0)
		r = store__layer_tar(s->st, b->diff_id, b->canonical, pass_on, &p, e);
	if (r < 0)
		return r;
	digest_final(&p.m.sum, got);
	if (p.left > 0 || !str_eq(got, b->digest))
		return err_set(
			e, EBADMSG,
			"layer %s: damaged in the store, its contents now have digest %s; the archive is of "
			"no use",
			b->diff_id, got);
	return 0;
}

static int write_blobs(struct save *s, struct err *e)
{
	int r = write_dir(s, "blobs", e);

	if (r >= 0)
		r = write_dir(s, "blobs/sha256", e);
	for (size_t i = 0; i < s->n_blobs && r >= 0; i++) {
		const struct blob *b = &s->blobs[i];

		if (b->text)
			r = tarout_file(&s->out, blob_name(s, b->digest), b->text, b->len, e);
		else
			r = write_layer(s, b, e);
	}
	return r;
}

static int write_lists(struct save *s, struct err *e)
{
	static const char layout[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
	auto_fini(buf) struct buf index = { 0 }, archive = { 0 };
	int r;

	image_index_put(&index, &s->index);
	image_archive_put(&archive, &s->archive);
	if (buf_finish(&index) < 0 || buf_finish(&archive) < 0)
		return err_sys(e, ENOMEM, "save");
	r = tarout_file(&s->out, "index.json", index.data, index.len, e);
	if (r >= 0)
		r = tarout_file(&s->out, "manifest.json", archive.data, archive.len, e);
	if (r >= 0)
		r = tarout_file(&s->out, "oci-layout", layout, sizeof(layout) - 1, e);
	if (r >= 0)
		r = tarout_end(&s->out, e);
	return r < 0 ? r : tartree_file_flush(s->file, e);
}

static int save_init(struct save *s, size_t n, int out_fd, struct err *e)
{
	s->file = malloc(sizeof(*s->file));
	s->saved = arena_array(&s->arena, n, sizeof(*s->saved));
	s->archive.images = arena_array(&s->arena, n, sizeof(*s->archive.images));
	s->index.manifests = arena_array(&s->arena, n, sizeof(*s->index.manifests));
	if (!s->file || !s->saved || !s->archive.images || !s->index.manifests)
		return err_sys(e, ENOMEM, "save");
	s->file->fd = out_fd;
	s->file->n = 0;
	tarout_init(&s->out, tartree_file_write, s->file);
	return 0;
}

size_t store_save_changed(const struct store *st)
{
	return st->save_changed;
}

int store_save(struct store *st, char *const *refs, size_t n, int out_fd, struct err *e)
{
	__attribute__((cleanup(save_fini))) struct save s = { .st = st };
	int r = store__writing(st, e); /* nothing of it is collected meanwhile */

	if (r >= 0)
		r = save_init(&s, n, out_fd, e);
	for (size_t i = 0; i < n && r >= 0; i++)
		r = plan_ref(&s, refs[i], n, e);
	if (r >= 0)
		r = write_blobs(&s, e);
	if (r >= 0)
		r = write_lists(&s, e);
	st->save_changed = s.n_changed;
	return r < 0 ? err_wrap(e, r, "save") : 0;
}
