/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/shim_config.h"

#include <limits.h>
#include <signal.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "fmt/json.h"
#include "fmt/oci.h"
#include "runtime/runtime_internal.h"
#include "sys/file.h"

static const nsec_t check_interval = 30 * NSEC_PER_SEC, check_start_interval = 5 * NSEC_PER_SEC;

enum { STOP_TIMEOUT_S = 10, CHECK_RETRIES = 3, LOG_MAX_FILES = 3, LOG_MAX_SIZE = 10 << 20 };

static void put_health(struct json_out *o, const json_t *config)
{
	static const char *const number[] = { "Interval", "Timeout", "StartPeriod", "StartInterval",
					      "Retries" };
	const json_t *health = json_object_get(config, "Healthcheck"),
		     *test = json_object_get(health, "Test");
	const char *kind = json_string_value(json_array_get(test, 0));
	json_t *one;
	size_t i;

	if (!kind || str_eq(kind, "NONE"))
		return;
	json_put_open(o, "test", '[');
	json_array_foreach(test, i, one)
		json_put_str(o, NULL, json_string_value(one) ? json_string_value(one) : "");
	json_put_close(o, ']');
	for (i = 0; i < sizeof(number) / sizeof(number[0]); i++)
		json_put_i64(o, number[i], instance__int(health, NULL, number[i]));
}

static void put_log(struct json_out *o, const json_t *config)
{
	const json_t *log = instance__get(config, "HostConfig", "LogConfig");
	const char *size = instance__str(log, "Config", "max-size"),
		   *files = instance__str(log, "Config", "max-file");
	int64_t bytes = LOG_MAX_SIZE;
	uint64_t n = LOG_MAX_FILES;

	if (size)
		str_to_bytes(size, &bytes);
	if (files)
		str_to_u64(files, &n);
	json_put_i64(o, "logMaxSize", bytes);
	json_put_u64(o, "logMaxFiles", str_eq(instance__str(log, NULL, "Type"), "none") ? 0 : n);
}

static int make_text(const struct runtime *rt, const struct instance *in, struct buf *b, struct err *e)
{
	auto_free char *dir = runtime__path(rt, in->id);
	char run_dir[RUN_PATH_SIZE];
	const json_t *config = json_object_get(in->config, "Config"),
		     *host = json_object_get(in->config, "HostConfig");
	const char *sig = instance__str(config, NULL, "StopSignal");
	const json_t *timeout = json_object_get(config, "StopTimeout");
	struct json_out out = { .to = b }, *o = &out;
	int r;

	json_put_open(o, NULL, '{');
	json_put_str(o, "id", in->id);
	json_put_str(o, "name", in->name);
	json_put_str(o, "image", in->image);
	json_put_str(o, "level", instance__str(host, NULL, "Isolation"));
	json_put_str(o, "dir", dir);
	json_put_str(o, "runDir", runtime__run_path(in->id, run_dir));
	json_put_str(o, "root", rt->root);
	json_put_str(o, "runRoot", rt->run_root);
	json_put_str(o, "levels", rt->levels);
	json_put_bool(o, "tty", instance__bool(config, NULL, "Tty"));
	json_put_bool(o, "stdin", instance__bool(config, NULL, "OpenStdin"));
	json_put_bool(o, "autoRemove", instance__bool(host, NULL, "AutoRemove"));
	json_put_str(o, "restart", instance__str(host, "RestartPolicy", "Name"));
	json_put_i64(o, "restartMax", instance__int(host, "RestartPolicy", "MaximumRetryCount"));
	json_put_i64(o, "stopSignal", sig ? oci_signal_from_name(sig) : SIGTERM);
	json_put_i64(o, "stopTimeout",
		     json_is_integer(timeout) ? json_integer_value(timeout) : STOP_TIMEOUT_S);
	put_log(o, in->config);
	put_health(o, config);
	json_put_close(o, '}');
	r = dir ? buf_finish(b) : -ENOMEM;
	return r < 0 ? err_sys(e, -r, INSTANCE_SHIM) : 0;
}

int shim_config_write(const struct runtime *rt, const struct instance *in, int run_fd, struct err *e)
{
	auto_fini(buf) struct buf b = { 0 };
	int r = make_text(rt, in, &b, e);

	return r < 0 ? r : file_replace(run_fd, INSTANCE_SHIM, buf_str(&b), b.len, 0600, false, e);
}

static char *dup_str(const struct json_at *at, const char *key)
{
	const char *s = json_need(at, key) ? json_read_str(at, key) : NULL;
	char *copy = s ? strdup(s) : NULL;

	if (s && !copy)
		json_fail(at, key, ENOMEM, "out of memory");
	return copy;
}

static char *run_path(const struct json_at *root)
{
	const char *base = json_read_str(root, "runRoot"), *rest = json_read_str(root, "runDir");
	char *path = base && rest ? str_printf("%s/%s", base, rest) : NULL;

	if (!path)
		json_fail(root, "runDir", EINVAL, "missing");
	return path;
}

static void read_health(struct shim_config *c, const struct json_at *root)
{
	struct json_at test = json_read_list(root, "test");

	for (size_t i = 0; i < json_count(&test); i++) {
		struct json_at one = json_item(&test, i);
		const char *word = json_read_str(&one, NULL);

		strv_add(&c->health.test, word ? word : "");
	}
	c->health.interval = json_read_i64(root, "Interval", 0, INT64_MAX);
	c->health.timeout = json_read_i64(root, "Timeout", 0, INT64_MAX);
	c->health.start_period = json_read_i64(root, "StartPeriod", 0, INT64_MAX);
	c->health.start_interval = json_read_i64(root, "StartInterval", 0, INT64_MAX);
	c->health.retries = (int)json_read_i64(root, "Retries", 0, INT_MAX);
	c->health.interval = c->health.interval ? c->health.interval : check_interval;
	c->health.timeout = c->health.timeout ? c->health.timeout : check_interval;
	c->health.start_interval = c->health.start_interval ? c->health.start_interval : check_start_interval;
	c->health.retries = c->health.retries ? c->health.retries : CHECK_RETRIES;
}

static void read_all(struct shim_config *c, const struct json_at *root)
{
	int policy;

	c->id = dup_str(root, "id");
	c->name = dup_str(root, "name");
	c->image = dup_str(root, "image");
	c->level = dup_str(root, "level");
	c->dir = dup_str(root, "dir");
	c->run_dir = run_path(root);
	c->root = dup_str(root, "root");
	c->run_root = dup_str(root, "runRoot");
	c->levels = dup_str(root, "levels");
	c->tty = json_read_bool(root, "tty", false);
	c->open_stdin = json_read_bool(root, "stdin", false);
	c->auto_remove = json_read_bool(root, "autoRemove", false);
	policy = restart_policy(json_read_str(root, "restart"));
	if (policy < 0)
		json_fail(root, "restart", EINVAL, "not a policy");
	c->restart = policy < 0 ? RESTART_NO : (enum restart_policy)policy;
	c->restart_max = (int)json_read_i64(root, "restartMax", 0, INT_MAX);
	c->stop_signal = (int)json_read_i64(root, "stopSignal", 1, 64);
	c->stop_timeout_s = (int)json_read_i64(root, "stopTimeout", -1, INT_MAX);
	c->log_max_size = json_read_u64(root, "logMaxSize", INT64_MAX, LOG_MAX_SIZE);
	c->log_max_files = (unsigned)json_read_u64(root, "logMaxFiles", 1000, LOG_MAX_FILES);
	read_health(c, root);
}

static int read_text(struct shim_config *c, const struct buf *b, struct err *e)
{
	auto_fini(arena) struct arena a = { 0 };
	struct json_doc doc = { .arena = &a, .e = e };
	struct json_at root = json_parse(&doc, buf_str(b), b->len);
	int r;

	read_all(c, &root);
	r = json_finish(&doc);
	return r < 0 ? err_wrap(e, r, INSTANCE_SHIM) : 0;
}

int shim_config_make(struct shim_config *c, const struct runtime *rt, const struct instance *in,
		     struct err *e)
{
	auto_fini(buf) struct buf b = { 0 };
	int r = make_text(rt, in, &b, e);

	return r < 0 ? r : read_text(c, &b, e);
}

int shim_config_read(struct shim_config *c, int run_fd, struct err *e)
{
	auto_fini(buf) struct buf b = { 0 };
	int r = file_slurp_at(run_fd, INSTANCE_SHIM, &b, INSTANCE_TEXT_MAX);

	return r < 0 ? err_sys(e, -r, INSTANCE_SHIM) : read_text(c, &b, e);
}

void shim_config_fini(struct shim_config *c)
{
	char *const text[] = { c->id,      c->name, c->image,    c->level, c->dir,
			       c->run_dir, c->root, c->run_root, c->levels };

	for (size_t i = 0; i < sizeof(text) / sizeof(text[0]); i++)
		free(text[i]);
	strv_fini(&c->health.test);
	*c = (struct shim_config){ 0 };
}
