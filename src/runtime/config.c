/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/config.h"

#include "base/err.h"
#include "base/guard.h"
#include "fmt/json.h"
#include "fmt/oci.h"
#include "runtime/runtime_internal.h"

void instance_config_fini(struct instance_config *c)
{
	char **const text[] = { &c->image,         &c->name,          &c->isolation,   &c->hostname,
				&c->domainname,    &c->workdir,       &c->user,        &c->network,
				&c->pid_mode,      &c->ipc_mode,      &c->uts_mode,    &c->userns_mode,
				&c->cgroupns_mode, &c->cgroup_parent, &c->cpuset_cpus, &c->cpuset_mems,
				&c->restart,       &c->stop_signal,   &c->health.cmd,  &c->log_driver };
	struct strv *const list[] = { &c->cmd,
				      &c->entrypoint,
				      &c->env,
				      &c->labels,
				      &c->annotations,
				      &c->group_add,
				      &c->mounts,
				      &c->cap_add,
				      &c->cap_drop,
				      &c->security_opt,
				      &c->devices,
				      &c->device_cgroup_rules,
				      &c->ulimits,
				      &c->sysctls,
				      &c->dns,
				      &c->extra_hosts,
				      &c->ports,
				      &c->blkio_weight_device,
				      &c->device_read_bps,
				      &c->device_write_bps,
				      &c->device_read_iops,
				      &c->device_write_iops,
				      &c->log_opts };

	for (size_t i = 0; i < sizeof(text) / sizeof(text[0]); i++)
		free(*text[i]);
	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		strv_fini(list[i]);
	*c = (struct instance_config){ 0 };
}

void config_put_str(json_t *to, const char *key, const char *s)
{
	json_object_set_new(to, key, json_string(s ? s : ""));
}

void config_put_strv(json_t *to, const char *key, const struct strv *v)
{
	json_t *list = json_array();

	for (size_t i = 0; i < v->len; i++)
		json_array_append_new(list, json_string(v->item[i]));
	json_object_set_new(to, key, list);
}

static void put_pair(json_t *to, const char *pair)
{
	const char *eq = strchr(pair, '=');
	size_t len = eq ? (size_t)(eq - pair) : strlen(pair);

	json_object_setn_new(to, pair, len, json_string(eq ? eq + 1 : ""));
}

void config_put_pairs(json_t *to, const char *key, const struct strv *v)
{
	json_t *object = json_object();

	for (size_t i = 0; i < v->len; i++)
		put_pair(object, v->item[i]);
	json_object_set_new(to, key, object);
}

/* env_set() - replace the variable of the same name, or append; a name without '=' takes it out. */
static void env_set(json_t *list, const char *pair)
{
	const char *eq = strchr(pair, '=');
	size_t len = eq ? (size_t)(eq - pair) : strlen(pair);
	json_t *old;
	size_t i;

	json_array_foreach(list, i, old)
	{
		const char *s = json_string_value(old);

		if (!s || strncmp(s, pair, len) != 0 || s[len] != '=')
			continue;
		if (eq)
			json_array_set_new(list, i, json_string(pair));
		else
			json_array_remove(list, i);
		return;
	}
	if (eq)
		json_array_append_new(list, json_string(pair));
}

static json_t *make_env(const struct instance_config *c, const json_t *image)
{
	json_t *env = json_array(), *one;
	size_t i;

	json_array_foreach(json_object_get(image, "Env"), i, one) if (json_is_string(one))
		env_set(env, json_string_value(one));
	for (i = 0; i < c->env.len; i++)
		env_set(env, c->env.item[i]);
	return env;
}

static json_t *make_labels(const struct instance_config *c, const json_t *image)
{
	json_t *labels = json_object();
	const json_t *from = json_object_get(image, "Labels");

	if (json_is_object(from))
		json_object_update(labels, (json_t *)(uintptr_t)from);
	for (size_t i = 0; i < c->labels.len; i++)
		put_pair(labels, c->labels.item[i]);
	return labels;
}

/* image_list() - a list of strings of the image's configuration, as our own copy; null when it is none. */
static json_t *image_list(const json_t *image, const char *key)
{
	const json_t *list = json_object_get(image, key);
	json_t *out, *one;
	size_t i;

	if (!json_is_array(list) || json_array_size(list) == 0)
		return json_null();
	out = json_array();
	json_array_foreach(list, i, one) if (json_is_string(one)) json_array_append(out, one);
	return out;
}

/* put_command() - Docker's rule: an entry point given anew drops the image's command too. */
static int put_command(json_t *config, const struct instance_config *c, const json_t *image, struct err *e)
{
	if (c->entrypoint_set && c->entrypoint.len > 0)
		config_put_strv(config, "Entrypoint", &c->entrypoint);
	else
		json_object_set_new(config, "Entrypoint",
				    c->entrypoint_set ? json_null() : image_list(image, "Entrypoint"));
	if (c->cmd.len > 0)
		config_put_strv(config, "Cmd", &c->cmd);
	else
		json_object_set_new(config, "Cmd",
				    c->entrypoint_set ? json_null() : image_list(image, "Cmd"));
	if (json_array_size(json_object_get(config, "Entrypoint")) +
		    json_array_size(json_object_get(config, "Cmd")) ==
	    0)
		return err_set(e, EINVAL, "no command: the image '%s' names none and none was given",
			       c->image);
	return 0;
}

static void put_health(json_t *config, const struct instance_config *c, const json_t *image)
{
	const json_t *from = json_object_get(image, "Healthcheck");
	const struct {
		const char *key;
		int64_t v;
	} number[] = {
		{ "Interval", c->health.interval },        { "Timeout", c->health.timeout },
		{ "StartPeriod", c->health.start_period }, { "StartInterval", c->health.start_interval },
		{ "Retries", c->health.retries },
	};
	json_t *health;

	if (c->no_healthcheck) {
		json_object_set_new(config, "Healthcheck", json_pack("{s:[s]}", "Test", "NONE"));
		return;
	}
	health = json_is_object(from) ? json_deep_copy(from) : json_object();
	if (c->health.cmd)
		json_object_set_new(health, "Test", json_pack("[ss]", "CMD-SHELL", c->health.cmd));
	for (size_t i = 0; i < sizeof(number) / sizeof(number[0]); i++)
		if (number[i].v)
			json_object_set_new(health, number[i].key, json_integer(number[i].v));
	if (json_is_array(json_object_get(health, "Test")))
		json_object_set(config, "Healthcheck", health);
	json_decref(health);
}

static void put_keys(json_t *to, const json_t *image, const char *key)
{
	json_t *from = json_object_get(image, key);

	if (json_is_object(from) && json_object_size(from) > 0)
		json_object_set(to, key, from);
}

static int put_stop(json_t *config, const struct instance_config *c, const json_t *image, struct err *e)
{
	const char *sig = c->stop_signal ? c->stop_signal : instance__str(image, NULL, "StopSignal");

	if (sig && oci_signal_from_name(sig) < 0)
		return err_set(e, EINVAL, "stop signal '%.32s': there is no such signal", sig);
	if (sig)
		config_put_str(config, "StopSignal", sig);
	if (c->stop_timeout_s >= 0)
		json_object_set_new(config, "StopTimeout", json_integer(c->stop_timeout_s));
	return 0;
}

static int make_config(const struct instance_config *c, const json_t *image, const char *id, json_t *config,
		       struct err *e)
{
	char host[65];
	int r;

	str_format(host, sizeof(host), "%.12s", id);
	if (c->hostname && !str_copy(host, sizeof(host), c->hostname))
		return err_set(e, EINVAL, "--hostname: longer than 64 bytes");
	config_put_str(config, "Hostname", str_eq(c->uts_mode, "host") ? "" : host);
	config_put_str(config, "Domainname", c->domainname);
	config_put_str(config, "User", c->user ? c->user : instance__str(image, NULL, "User"));
	json_object_set_new(config, "Tty", json_boolean(c->tty));
	json_object_set_new(config, "OpenStdin", json_boolean(c->open_stdin));
	json_object_set_new(config, "StdinOnce", json_boolean(c->open_stdin));
	json_object_set_new(config, "Env", make_env(c, image));
	r = put_command(config, c, image, e);
	if (r < 0)
		return r;
	config_put_str(config, "Image", c->image);
	config_put_str(config, "WorkingDir",
		       c->workdir ? c->workdir : instance__str(image, NULL, "WorkingDir"));
	json_object_set_new(config, "Labels", make_labels(c, image));
	put_keys(config, image, "Volumes");
	put_keys(config, image, "ExposedPorts");
	put_health(config, c, image);
	return put_stop(config, c, image, e);
}

/* put_path() - the first word of the command, and the others. */
static void put_path(json_t *all, const json_t *config)
{
	json_t *args = json_array(), *one;
	size_t i;

	json_array_foreach(json_object_get(config, "Entrypoint"), i, one) json_array_append(args, one);
	json_array_foreach(json_object_get(config, "Cmd"), i, one) json_array_append(args, one);
	json_object_set(all, "Path", json_array_get(args, 0));
	json_array_remove(args, 0);
	json_object_set_new(all, "Args", args);
}

int config_make(const struct config_from *from, json_t **ret, struct err *e)
{
	const struct instance_config *c = from->c;
	auto_json json_t *image = NULL;
	auto_json json_t *all = json_object();
	json_t *config = json_object(), *host = NULL, *mounts = NULL;
	const json_t *image_config;
	char when[TIME_RFC3339_SIZE];
	int r = json_tree_parse(&image, from->im->config, strlen(from->im->config), e);

	json_object_set_new(all, "Config", config);
	if (r < 0)
		return err_wrap(e, r, "image '%s': its configuration", c->image);
	image_config = json_object_get(image, "config");
	json_object_set_new(all, "Id", json_string(from->id));
	json_object_set_new(all, "Created", json_string(time_rfc3339(time_now_ns(CLOCK_REALTIME), when)));
	r = make_config(c, image_config, from->id, config, e);
	if (r >= 0)
		r = config_host(c, &host, e);
	if (r < 0)
		return r;
	json_object_set_new(all, "HostConfig", host);
	put_path(all, config);
	json_object_set_new(all, "Image", json_string(from->im->id));
	config_put_str(all, "Platform", "linux");
	config_put_str(all, "Driver", "overlay");
	config_put_pairs(all, "Annotations", &c->annotations);
	json_object_set_new(
		all, "NetworkSettings",
		json_pack("{s:{},s:{s:{}}}", "Ports", "Networks", c->network ? c->network : "none"));
	r = config_mounts(from, image_config, &mounts, e); /* last: it makes volumes */
	if (r < 0)
		return r;
	json_object_set_new(all, "Mounts", mounts);
	*ret = TAKE_PTR(all);
	return 0;
}
