/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image.h - the JSON of images: config, manifest and index (OCI image-spec 1.1), and docker-archive's
 * manifest.json
 *
 * Parsers take hostile text. Every digest they return has passed digest_parse(); names of files inside an
 * archive are just names. All results live in the caller's arena.
 */
#ifndef FMT_IMAGE_H
#define FMT_IMAGE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/time.h"

struct arena;
struct buf;
struct err;

enum {
	IMAGE_TEXT_MAX = 4 << 20, /* bytes of one of these texts */
	IMAGE_LAYERS_MAX = 500,   /* what an overlay takes */
	IMAGE_LIST_MAX = 10000,   /* manifests of an index, images of an archive, lines of history */
};

#define IMAGE_MEDIA_INDEX       "application/vnd.oci.image.index.v1+json"
#define IMAGE_MEDIA_MANIFEST    "application/vnd.oci.image.manifest.v1+json"
#define IMAGE_MEDIA_CONFIG      "application/vnd.oci.image.config.v1+json"
#define IMAGE_MEDIA_LAYER       "application/vnd.oci.image.layer.v1.tar"
#define IMAGE_MEDIA_DOCKER_LIST "application/vnd.docker.distribution.manifest.list.v2+json"

struct image_history {
	nsec_t created_ns;                         /* 0: not given */
	const char *created_by, *comment, *author; /* "" when not given */
	bool empty_layer;
};

struct image_config {
	const char *os, *architecture, *variant; /* variant: "" when not given */
	nsec_t created_ns;                       /* 0: not given */
	char **diff_ids;
	size_t n_layers;
	struct image_history *history;
	size_t n_history;
};

struct image_desc {
	const char *media_type, *digest;
	uint64_t size;
	const char *image_name;        /* annotation io.containerd.image.name, or NULL */
	const char *ref_name;          /* annotation org.opencontainers.image.ref.name, or NULL */
	const char *os, *architecture; /* platform; NULL: not given */
};

struct image_manifest {
	struct image_desc config;
	struct image_desc *layers;
	size_t n_layers;
};

struct image_index {
	struct image_desc *manifests;
	size_t n_manifests;
};

struct image_archived {     /* one image of a docker archive */
	const char *config; /* name in the archive */
	char **layers, **tags;
	size_t n_layers, n_tags;
};

struct image_archive {
	struct image_archived *images;
	size_t n_images;
};

/* image_architecture() - what this machine is called in a config: "amd64". */
const char *image_architecture(void);

int image_config_parse(struct arena *a, const char *text, size_t len, struct image_config *ret,
		       struct err *e);
int image_manifest_parse(struct arena *a, const char *text, size_t len, struct image_manifest *ret,
			 struct err *e);
int image_index_parse(struct arena *a, const char *text, size_t len, struct image_index *ret, struct err *e);
int image_archive_parse(struct arena *a, const char *text, size_t len, struct image_archive *ret,
			struct err *e);

void image_manifest_put(struct buf *b, const struct image_manifest *m);
void image_index_put(struct buf *b, const struct image_index *x);
void image_archive_put(struct buf *b, const struct image_archive *x);

/* image_config_with_layers() - the config text with other diff ids, everything else as it was. */
int image_config_with_layers(const char *text, size_t len, char *const *diff_ids, size_t n, struct buf *b,
			     struct err *e);

/**
 * image_config_change() - one `--change` ("ENV K=V", "CMD [\"sh\"]") of import and commit
 * @config: the member "config" of an image config; changed
 * Return: 0; -EINVAL with @e set, then @config may be half changed
 */
int image_config_change(json_t *config, const char *text, struct err *e);

#endif
