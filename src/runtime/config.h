/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.h - what a person asked for and what the image says, as one JSON object in the shape `inspect` shows
 *
 * Everything that can be refused is refused here, at create, naming the flag; spec.c turns the result into an
 * OCI specification.
 */
#ifndef RUNTIME_CONFIG_H
#define RUNTIME_CONFIG_H

#include <jansson.h>

#include "runtime/runtime.h"

struct image;

/* What an instance is made from. Everything is borrowed. */
struct config_from {
	struct runtime *rt;
	const struct instance_config *c;
	const struct image *im;
	const char *id;
	int dirfd; /* the instance's directory: lists anonymous volumes before they are made */
};

/**
 * config_make() - all of an instance's configuration
 * @ret: caller's reference: Id, Created, Path, Args, Image, Name, Config, HostConfig, Mounts, ...
 * Bind sources that -v makes and volumes are made here; volumes without content yet are left to
 * config_copy_up().
 * Return: 0; -EINVAL with the flag named; -ENOENT: a bind source is missing
 */
int config_make(const struct config_from *from, json_t **ret, struct err *e);

/* config_host() - HostConfig alone. */
int config_host(const struct instance_config *c, json_t **ret, struct err *e);
/* config_limits() - the members of HostConfig that `update` may change, those that @c gives, into @host. */
int config_limits(const struct instance_config *c, json_t *host, struct err *e);

/* config_mounts() - "Mounts": flags and the image's volumes, sources resolved and made. */
int config_mounts(const struct config_from *from, const json_t *image_config, json_t **ret, struct err *e);
/* config_forget_volumes() - the anonymous volumes that the directory @dirfd lists. */
void config_forget_volumes(struct runtime *rt, int dirfd);
/* config_copy_up() - new volumes of @config get what the image has at their place. */
int config_copy_up(const json_t *config, const char *dir, struct err *e);

void config_put_str(json_t *to, const char *key, const char *s); /* NULL: "" */
void config_put_strv(json_t *to, const char *key, const struct strv *v);
void config_put_pairs(json_t *to, const char *key, const struct strv *v); /* "K=V" as an object */

#endif
