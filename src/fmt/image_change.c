/* SPDX-License-Identifier: Apache-2.0 */
/* image_change.c - `import --change` and `commit --change`: a Dockerfile instruction applied to an image's
 * config */
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "base/time.h"
#include "fmt/dockerfile.h"
#include "fmt/image.h"
#include "fmt/json.h"

static const char *no_variable(void *arg, const char *name)
{
	(void)arg;
	(void)name;
	return NULL;
}

struct change {
	json_t *config;
	const struct df_inst *inst;
	struct arena *a;
	struct err *e;
	int rc;
};

/* word() - without its quotes */
static const char *word(struct change *c, const char *text)
{
	const struct df_vars vars = { .lookup = no_variable, .escape = '\\' };
	char *plain = NULL;

	if (c->rc >= 0)
		c->rc = df_expand(&vars, text, &plain, c->a, c->e);
	return plain ? plain : "";
}

static json_t *member(struct change *c, const char *key, json_t *(*make)(void))
{
	json_t *v = json_object_get(c->config, key);

	if (!v || json_is_null(v)) {
		v = make();
		json_object_set_new(c->config, key, v);
	}
	return v;
}

/* set_command() - CMD, ENTRYPOINT: the array, or a line for the shell */
static void set_command(struct change *c, const char *key)
{
	json_t *list = json_array();

	if (!c->inst->json) {
		json_array_append_new(list, json_string("/bin/sh"));
		json_array_append_new(list, json_string("-c"));
	}
	for (size_t i = 0; i < c->inst->n_words; i++)
		json_array_append_new(list, json_string(c->inst->words[i]));
	json_object_set_new(c->config, key, list);
}

static void set_text(struct change *c, const char *key)
{
	json_object_set_new(c->config, key, json_string(c->inst->n_words ? word(c, c->inst->words[0]) : ""));
}

/* set_env() - "K=V" in the place of an older K */
static void set_env(struct change *c)
{
	json_t *list = member(c, "Env", json_array);

	for (size_t i = 0; i < c->inst->n_pairs; i++) {
		const char *key = word(c, c->inst->pairs[i].key);
		const char *line = arena_printf(
			c->a, "%s=%s", key, word(c, c->inst->pairs[i].value ? c->inst->pairs[i].value : ""));
		size_t at = 0, len = strlen(key) + 1;

		while (at < json_array_size(list) &&
		       strncmp(json_string_value(json_array_get(list, at)), line, len) != 0)
			at++;
		if (at < json_array_size(list))
			json_array_set_new(list, at, json_string(line));
		else
			json_array_append_new(list, json_string(line));
	}
}

static void set_labels(struct change *c)
{
	json_t *labels = member(c, "Labels", json_object);

	for (size_t i = 0; i < c->inst->n_pairs; i++)
		json_object_set_new(
			labels, word(c, c->inst->pairs[i].key),
			json_string(word(c, c->inst->pairs[i].value ? c->inst->pairs[i].value : "")));
}

/* set_names() - EXPOSE, VOLUME: members of an object that are {} */
static void set_names(struct change *c, const char *key, const char *suffix)
{
	json_t *set = member(c, key, json_object);

	for (size_t i = 0; i < c->inst->n_words; i++) {
		const char *name = c->inst->json ? c->inst->words[i] : word(c, c->inst->words[i]);
		const char *whole = arena_printf(c->a, "%s%s", name, strchr(name, '/') ? "" : suffix);

		if (whole)
			json_object_set_new(set, whole, json_object());
	}
}

static void apply(struct change *c)
{
	switch (c->inst->op) {
	case DF_CMD: set_command(c, "Cmd"); break;
	case DF_ENTRYPOINT: set_command(c, "Entrypoint"); break;
	case DF_USER: set_text(c, "User"); break;
	case DF_WORKDIR: set_text(c, "WorkingDir"); break;
	case DF_STOPSIGNAL: set_text(c, "StopSignal"); break;
	case DF_ENV: set_env(c); break;
	case DF_LABEL: set_labels(c); break;
	case DF_EXPOSE: set_names(c, "ExposedPorts", "/tcp"); break;
	case DF_VOLUME: set_names(c, "Volumes", ""); break;
	default:
		c->rc = err_set(c->e, EINVAL,
				"%s cannot be given as a change: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, "
				"STOPSIGNAL, USER, VOLUME and WORKDIR can",
				df_op_name(c->inst->op));
	}
}

int image_config_change(json_t *config, const char *text, struct err *e)
{
	auto_fini(arena) struct arena a = { 0 };
	struct df_inst inst;
	struct change c = { .config = config, .inst = &inst, .a = &a, .e = e };

	c.rc = dockerfile_parse_one(&inst, "--change", text, &a, e);
	if (c.rc >= 0)
		apply(&c);
	return c.rc;
}
