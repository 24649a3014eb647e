/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/guard.h"
#include "fmt/oci.h"
#include "runtime/build_internal.h"

/* entry_value() - what follows "KEY=" in @entry, or NULL when it is of another key. */
static const char *entry_value(const char *entry, const char *key)
{
	size_t n = strlen(key);

	return entry && strncmp(entry, key, n) == 0 && entry[n] == '=' ? entry + n + 1 : NULL;
}

const char *build__scope_get(void *scope, const char *name)
{
	const struct build_scope *s = scope;
	json_t *env = s->image ? json_object_get(json_object_get(s->image, "config"), "Env") : NULL;
	const char *value;

	for (size_t i = 0; i < json_array_size(env); i++) {
		value = entry_value(json_string_value(json_array_get(env, i)), name);
		if (value)
			return value;
	}
	for (size_t i = s->args.len; i > 0; i--) {
		value = entry_value(s->args.item[i - 1], name);
		if (value)
			return value;
	}
	return NULL;
}

int build__scope_set(struct build_scope *s, const char *key, const char *value)
{
	for (size_t i = 0; i < s->args.len; i++) {
		if (entry_value(s->args.item[i], key)) {
			char *entry = str_printf("%s=%s", key, value);

			if (!entry)
				return -ENOMEM;
			free(s->args.item[i]);
			s->args.item[i] = entry;
			return 0;
		}
	}
	strv_addf(&s->args, "%s=%s", key, value);
	return strv_finish(&s->args);
}

int build__expand(const struct build_scope *s, const char *word, char **ret, struct arena *a, struct err *e)
{
	const struct df_vars vars = { .lookup = build__scope_get,
				      .arg = (void *)s,
				      .escape = s->escape ? s->escape : '\\' };

	return df_expand(&vars, word, ret, a, e);
}

json_t *build__config_of(json_t *image)
{
	json_t *config = json_object_get(image, "config");

	if (!json_is_object(config)) {
		config = json_object();
		json_object_set_new(image, "config", config);
	}
	return config;
}

const char *build__config_str(json_t *image, const char *key)
{
	const char *s = json_string_value(json_object_get(json_object_get(image, "config"), key));

	return s ? s : "";
}

json_t *build__shell(json_t *image)
{
	json_t *shell = json_object_get(json_object_get(image, "config"), "Shell");

	return json_array_size(shell) > 0 ? json_deep_copy(shell) : json_pack("[ss]", "/bin/sh", "-c");
}

char *build__clean_path(const char *path, struct arena *a)
{
	char *out = arena_alloc(a, strlen(path) + 2), *end = out;

	if (!out)
		return NULL;
	while (*path) {
		size_t n = strcspn(path, "/");

		if (n == 2 && path[0] == '.' && path[1] == '.') {
			while (end > out && *--end != '/')
				;
		} else if (n > 0 && !(n == 1 && *path == '.')) {
			*end++ = '/';
			memcpy(end, path, n);
			end += n;
		}
		path += n;
		path += *path == '/';
	}
	if (end == out)
		*end++ = '/';
	*end = '\0';
	return out;
}

int build__abs_path(json_t *image, const char *path, char **ret, struct arena *a)
{
	if (*path != '/') {
		path = arena_printf(a, "%s/%s", build__config_str(image, "WorkingDir"), path);
		if (!path)
			return -ENOMEM;
	}
	*ret = build__clean_path(path, a);
	return *ret ? 0 : -ENOMEM;
}

int build__history_add(json_t *image, const char *created, const char *created_by, bool empty_layer)
{
	json_t *history = json_object_get(image, "history"), *entry;

	if (!json_is_array(history)) {
		history = json_array();
		if (json_object_set_new(image, "history", history) < 0)
			return -ENOMEM;
	}
	entry = json_pack("{ss, ss, ss}", "created", created, "created_by", created_by, "comment",
			  "hull build");
	if (!entry || (empty_layer && json_object_set_new(entry, "empty_layer", json_true()) < 0)) {
		json_decref(entry);
		return -ENOMEM;
	}
	return json_array_append_new(history, entry) < 0 ? -ENOMEM : 0;
}

/*
 * set() - config[@key] = @value, whose reference is taken; NULL is what jansson gives for bytes that are
 * not UTF-8.
 */
static int set(json_t *image, const char *key, json_t *value, struct err *e)
{
	if (!value)
		return err_set(e, EINVAL, "not UTF-8");
	return json_object_set_new(build__config_of(image), key, value) < 0 ?
		       err_set(e, ENOMEM, "out of memory") :
		       0;
}

/* child() - the object or array config[@key], made when missing. */
static json_t *child(json_t *image, const char *key, bool array)
{
	json_t *config = build__config_of(image), *v = json_object_get(config, key);

	if (array ? json_is_array(v) : json_is_object(v))
		return v;
	v = array ? json_array() : json_object();
	json_object_set_new(config, key, v);
	return v;
}

/* env_set() - in place of an older value, or at the end. */
static int env_set(json_t *image, const char *key, const char *value, struct arena *a, struct err *e)
{
	json_t *env = child(image, "Env", true), *entry;
	const char *text = arena_printf(a, "%s=%s", key, value);
	size_t i = 0;

	entry = text ? json_string(text) : NULL;
	if (!entry)
		return err_set(e, EINVAL, "'%s': not UTF-8", key);
	while (i < json_array_size(env) && !entry_value(json_string_value(json_array_get(env, i)), key))
		i++;
	if (i < json_array_size(env) ? json_array_set_new(env, i, entry) < 0 :
				       json_array_append_new(env, entry) < 0)
		return err_set(e, ENOMEM, "out of memory");
	return 0;
}

/* pairs() - ENV and LABEL: all are expanded with what was there before the first is set. */
static int pairs(struct build_scope *s, const struct df_inst *inst, struct arena *a, struct err *e)
{
	char **v = arena_array(a, inst->n_pairs * 2, sizeof(*v));
	int r = v ? 0 : -ENOMEM;

	for (size_t i = 0; i < inst->n_pairs && r >= 0; i++) {
		r = build__expand(s, inst->pairs[i].key, &v[2 * i], a, e);
		if (r >= 0)
			r = build__expand(s, inst->pairs[i].value, &v[2 * i + 1], a, e);
		if (r >= 0 && !*v[2 * i])
			r = err_set(e, EINVAL, "an empty name");
	}
	for (size_t i = 0; i < inst->n_pairs && r >= 0; i++) {
		if (inst->op == DF_ENV)
			r = env_set(s->image, v[2 * i], v[2 * i + 1], a, e);
		else if (json_object_set_new(child(s->image, "Labels", false), v[2 * i],
					     json_string(v[2 * i + 1])) < 0)
			r = err_set(e, EINVAL, "'%s': not UTF-8", v[2 * i]);
	}
	return r;
}

/* command() - CMD, ENTRYPOINT, SHELL: the array, or a shell in front of the text. */
static json_t *command(json_t *image, const struct df_inst *inst)
{
	json_t *argv = inst->json ? json_array() : build__shell(image);

	for (size_t i = 0; i < inst->n_words; i++) {
		if (json_array_append_new(argv, json_string(inst->words[i])) < 0) {
			json_decref(argv);
			return NULL;
		}
	}
	return argv;
}

static int duration(const struct df_inst *inst, const char *flag, json_t *health, const char *key,
		    struct err *e)
{
	const char *value = df_flag(inst, flag);
	nsec_t ns;

	if (!value)
		return 0;
	if (time_parse_duration(value, &ns) < 0 || ns < 0 || (ns > 0 && ns < NSEC_PER_MSEC))
		return err_set(e, EINVAL, "--%s=%s: not a duration of 1ms or more", flag, value);
	return json_object_set_new(health, key, json_integer(ns)) < 0 ? -ENOMEM : 0;
}

static int healthcheck(struct build_scope *s, const struct df_inst *inst, struct err *e)
{
	json_t *health = json_object(), *test = json_array();
	const char *retries = df_flag(inst, "retries");
	uint64_t n = 0;
	int r = 0;

	for (size_t i = 0; i < inst->n_words; i++) {
		bool shell = i == 0 && !inst->json && str_eq(inst->words[0], "CMD");

		json_array_append_new(test, json_string(shell ? "CMD-SHELL" : inst->words[i]));
	}
	json_object_set_new(health, "Test", test);
	r = duration(inst, "interval", health, "Interval", e);
	if (r >= 0)
		r = duration(inst, "timeout", health, "Timeout", e);
	if (r >= 0)
		r = duration(inst, "start-period", health, "StartPeriod", e);
	if (r >= 0)
		r = duration(inst, "start-interval", health, "StartInterval", e);
	if (r >= 0 && retries && (str_to_u64(retries, &n) < 0 || n > INT32_MAX))
		r = err_set(e, EINVAL, "--retries=%s: not a count", retries);
	if (r >= 0 && n > 0)
		json_object_set_new(health, "Retries", json_integer((json_int_t)n));
	if (r < 0) {
		json_decref(health);
		return r;
	}
	return set(s->image, "Healthcheck", health, e);
}

/* port_ok() - "80", "80/udp", "8000-8010/tcp" */
static bool port_ok(const char *s)
{
	for (int part = 0; part < 2; part++) {
		char *end;
		unsigned long n = strtoul(s, &end, 10);

		if (!isdigit((unsigned char)*s) || n > 65535)
			return false;
		s = end;
		if (part == 1 || *s != '-')
			break;
		s++;
	}
	return !*s || str_eq(s, "/tcp") || str_eq(s, "/udp") || str_eq(s, "/sctp");
}

static int expose(struct build_scope *s, const char *word, struct arena *a, struct err *e)
{
	char **ports, *text;
	size_t n;
	int r = build__expand(s, word, &text, a, e);

	if (r < 0)
		return r;
	if (df_split(text, s->escape, &ports, &n, a) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		for (char *c = ports[i]; *c; c++)
			*c = (char)tolower((unsigned char)*c);
		if (!port_ok(ports[i]))
			return err_set(e, EINVAL, "'%s' is not PORT[-PORT][/tcp|udp|sctp]", ports[i]);
		text = arena_printf(a, "%s%s", ports[i], strchr(ports[i], '/') ? "" : "/tcp");
		if (!text ||
		    json_object_set_new(child(s->image, "ExposedPorts", false), text, json_object()) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* expanded() - the one word of USER, WORKDIR, STOPSIGNAL, not empty. */
static int expanded(struct build_scope *s, const struct df_inst *inst, char **ret, struct arena *a,
		    struct err *e)
{
	int r = build__expand(s, inst->words[0], ret, a, e);

	return r >= 0 && !**ret ? err_set(e, EINVAL, "'%s' is empty", inst->words[0]) : r;
}

static int words(struct build_scope *s, const struct df_inst *inst, struct arena *a, struct err *e)
{
	int r = 0;
	char *path;

	for (size_t i = 0; i < inst->n_words && r >= 0; i++) {
		if (inst->op == DF_EXPOSE) {
			r = expose(s, inst->words[i], a, e);
			continue;
		}
		r = build__expand(s, inst->words[i], &path, a, e);
		if (r >= 0 && !*path)
			r = err_set(e, EINVAL, "an empty path");
		if (r >= 0 && json_object_set_new(child(s->image, "Volumes", false), path, json_object()) < 0)
			r = err_set(e, EINVAL, "not UTF-8");
	}
	return r;
}

static int meta(struct build_scope *s, const struct df_inst *inst, bool *cmd_set, struct arena *a,
		struct err *e)
{
	char *text;
	int r;

	switch (inst->op) {
	case DF_ENV:
	case DF_LABEL: return pairs(s, inst, a, e);
	case DF_EXPOSE:
	case DF_VOLUME: return words(s, inst, a, e);
	case DF_CMD: *cmd_set = true; return set(s->image, "Cmd", command(s->image, inst), e);
	case DF_ENTRYPOINT:
		if (!*cmd_set) /* a base image's CMD belongs to its own entrypoint */
			json_object_del(build__config_of(s->image), "Cmd");
		return set(s->image, "Entrypoint", command(s->image, inst), e);
	case DF_SHELL: return set(s->image, "Shell", command(s->image, inst), e);
	case DF_HEALTHCHECK: return healthcheck(s, inst, e);
	case DF_ONBUILD:
		return json_array_append_new(child(s->image, "OnBuild", true), json_string(inst->words[0])) <
				       0 ?
			       err_set(e, EINVAL, "not UTF-8") :
			       0;
	case DF_MAINTAINER:
		return json_object_set_new(s->image, "author", json_string(inst->words[0])) < 0 ?
			       err_set(e, EINVAL, "not UTF-8") :
			       0;
	case DF_USER:
		r = expanded(s, inst, &text, a, e);
		return r < 0 ? r : set(s->image, "User", json_string(text), e);
	case DF_WORKDIR:
		r = expanded(s, inst, &text, a, e);
		if (r >= 0)
			r = build__abs_path(s->image, text, &text, a);
		return r < 0 ? r : set(s->image, "WorkingDir", json_string(text), e);
	case DF_STOPSIGNAL:
		r = expanded(s, inst, &text, a, e);
		if (r >= 0 && oci_signal_from_name(text) < 0)
			r = err_set(e, EINVAL, "'%s' is not a signal", text);
		return r < 0 ? r : set(s->image, "StopSignal", json_string(text), e);
	default: return err_set(e, EINVAL, "it does not only edit the configuration");
	}
}

int build__meta(struct build_scope *s, const struct df_inst *inst, bool *cmd_set, struct arena *a,
		struct err *e)
{
	int r = meta(s, inst, cmd_set, a, e);

	return r < 0 ? err_wrap(e, r, "%s", df_op_name(inst->op)) : 0;
}
