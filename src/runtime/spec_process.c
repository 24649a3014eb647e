/* SPDX-License-Identifier: Apache-2.0 */
#include <linux/capability.h>
#include <limits.h>

#include "base/buf.h"
#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "fmt/json.h"
#include "fmt/oci.h"
#include "runtime/runtime_internal.h"
#include "runtime/spec.h"
#include "runtime/user.h"
#include "sys/cred.h"

#define CAP(name) (1ULL << CAP_##name)

/* What Docker gives everybody. */
static const uint64_t default_caps = CAP(CHOWN) | CAP(DAC_OVERRIDE) | CAP(FSETID) | CAP(FOWNER) | CAP(MKNOD) |
				     CAP(NET_RAW) | CAP(SETGID) | CAP(SETUID) | CAP(SETFCAP) | CAP(SETPCAP) |
				     CAP(NET_BIND_SERVICE) | CAP(SYS_CHROOT) | CAP(KILL) | CAP(AUDIT_WRITE);

/* all_caps() - all there are to give: a host may itself lack some (CAP_SYS_RESOURCE in a container). */
static uint64_t all_caps(void)
{
	struct cred_caps own;

	return cred_get_caps(&own) < 0 ? default_caps : own.permitted;
}

static uint64_t caps_of(const json_t *list)
{
	uint64_t caps = 0;
	json_t *one;
	size_t i;

	json_array_foreach(list, i, one)
	{
		const char *name = json_string_value(one);
		int cap = name ? oci_cap_from_name(name) : -1;

		if (str_eq(name, "ALL"))
			caps |= all_caps();
		else if (cap >= 0)
			caps |= 1ULL << cap;
	}
	return caps;
}

uint64_t spec__caps(const json_t *host)
{
	const json_t *add = json_object_get(host, "CapAdd"), *drop = json_object_get(host, "CapDrop");
	uint64_t add_caps = caps_of(add), drop_caps = caps_of(drop);

	if (instance__bool(host, NULL, "Privileged"))
		return all_caps();
	if ((drop_caps & all_caps()) == all_caps()) /* "--cap-drop ALL --cap-add X" keeps X */
		return add_caps;
	return (default_caps | add_caps) & ~drop_caps;
}

static void put_cap_set(struct json_out *o, const char *set, uint64_t caps)
{
	json_put_open(o, set, '[');
	for (int i = 0; i < 64; i++)
		if (caps & 1ULL << i && oci_cap_name(i))
			json_put_str(o, NULL, oci_cap_name(i));
	json_put_close(o, ']');
}

/* put_caps() - only root starts with them, as execve itself would have it; nothing is ever inheritable. */
static void put_caps(struct json_out *o, uint64_t caps, bool root)
{
	json_put_open(o, "capabilities", '{');
	put_cap_set(o, "bounding", caps);
	if (root) {
		put_cap_set(o, "effective", caps);
		put_cap_set(o, "permitted", caps);
	}
	json_put_close(o, '}');
}

static char **find_key(const struct strv *env, const char *key, size_t len)
{
	for (size_t i = 0; i < env->len; i++)
		if (strncmp(env->item[i], key, len) == 0 && env->item[i][len] == '=')
			return &env->item[i];
	return NULL;
}

static void env_put(struct strv *env, const char *pair)
{
	const char *eq = strchr(pair, '=');
	char **at;

	if (!eq)
		return;
	at = find_key(env, pair, (size_t)(eq - pair));
	if (at) {
		char *copy = strdup(pair);

		if (!copy) {
			env->rc = -ENOMEM;
			return;
		}
		free(*at);
		*at = copy;
		return;
	}
	strv_add(env, pair);
}

static int put_env(const struct spec_input *in, const struct spec_exec *x, bool tty, const char *home,
		   struct json_out *o, struct err *e)
{
	auto_fini(strv) struct strv env = { 0 };
	const char *hostname = instance__str(in->config, "Config", "Hostname");
	char own[HOST_NAME_MAX + 1] = "";
	json_t *one;
	size_t i;

	env_put(&env, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	if (!hostname && gethostname(own, sizeof(own) - 1) == 0)
		hostname = own;
	if (hostname)
		strv_addf(&env, "HOSTNAME=%s", hostname);
	if (tty)
		env_put(&env, "TERM=xterm");
	json_array_foreach(instance__get(in->config, "Config", "Env"), i, one) if (json_is_string(one))
		env_put(&env, json_string_value(one));
	for (i = 0; x && i < x->n_env; i++)
		env_put(&env, x->env[i]);
	if (!find_key(&env, "HOME", 4))
		strv_addf(&env, "HOME=%s", home);
	if (strv_finish(&env) < 0)
		return err_sys(e, ENOMEM, "environment");
	json_put_strs(o, "env", env.item, env.len);
	return 0;
}

static void put_args(const struct spec_input *in, const struct spec_exec *x, struct json_out *o)
{
	json_t *one;
	size_t i;

	json_put_open(o, "args", '[');
	if (!x)
		json_put_str(o, NULL, json_string_value(json_object_get(in->config, "Path")));
	json_array_foreach(x ? NULL : json_object_get(in->config, "Args"), i, one)
		json_put_str(o, NULL, json_string_value(one));
	for (i = 0; x && i < x->n_args; i++)
		json_put_str(o, NULL, x->args[i]);
	json_put_close(o, ']');
}

static int find_user(const struct spec_input *in, const struct spec_exec *x, struct user *u, struct err *e)
{
	const json_t *extra = instance__get(in->config, "HostConfig", "GroupAdd");
	const char *text = x && x->user ? x->user : instance__str(in->config, "Config", "User");
	auto_free char **group = calloc(json_array_size(extra) + 1, sizeof(char *));
	json_t *one;
	size_t i;

	if (!group)
		return err_sys(e, ENOMEM, "groups");
	json_array_foreach(extra, i, one) group[i] = (char *)(uintptr_t)json_string_value(one);
	return user_find(in->rootfs_fd, text ? text : "", group, json_array_size(extra), u, e);
}

static void put_user(struct json_out *o, const struct user *u)
{
	bool groups = !cred_groups_denied(); /* in a user namespace of one id there are none to give */

	json_put_open(o, "user", '{');
	json_put_u64(o, "uid", u->uid);
	json_put_u64(o, "gid", u->gid);
	json_put_open(o, "additionalGids", '[');
	if (groups) /* or a file's "group: nothing" could be walked around by leaving the group */
		json_put_u64(o, NULL, u->gid);
	for (size_t i = 0; i < u->n_groups && groups; i++)
		if (u->groups[i] != u->gid)
			json_put_u64(o, NULL, u->groups[i]);
	json_put_close(o, ']');
	json_put_close(o, '}');
}

static void put_rlimits(const json_t *host, struct json_out *o)
{
	json_t *one;
	size_t i;

	json_put_open(o, "rlimits", '[');
	json_array_foreach(json_object_get(host, "Ulimits"), i, one)
	{
		char name[32] = "RLIMIT_";
		const char *low = instance__str(one, NULL, "Name");
		size_t at = strlen(name);

		for (; low && *low && at < sizeof(name) - 1; low++)
			name[at++] = *low >= 'a' && *low <= 'z' ? (char)(*low - 'a' + 'A') : *low;
		name[at] = '\0';
		json_put_open(o, NULL, '{');
		json_put_str(o, "type", name);
		/* -1 is no limit: all bits set, which is what the specification has for it */
		json_put_u64(o, "soft", (uint64_t)instance__int(one, NULL, "Soft"));
		json_put_u64(o, "hard", (uint64_t)instance__int(one, NULL, "Hard"));
		json_put_close(o, '}');
	}
	json_put_close(o, ']');
}

/* put_label() - the parts of a SELinux label that were asked for, the rest as containers usually have it. */
static void put_label(const json_t *options, struct json_out *o)
{
	static const char *const key[] = { "user:", "role:", "type:", "level:" };
	const char *part[] = { "system_u", "system_r", "container_t", "s0" };
	char label[512];
	bool asked = false;
	json_t *one;
	size_t i;

	json_array_foreach(options, i, one)
	{
		const char *s = json_string_value(one);

		if (!s || !str_starts(s, "label"))
			continue;
		if (str_eq(s + strlen("label="), "disable"))
			return;
		for (size_t k = 0; k < ARRAY_SIZE(key); k++)
			if (str_starts(s + strlen("label="), key[k])) {
				part[k] = s + strlen("label=") + strlen(key[k]);
				asked = true;
			}
	}
	str_format(label, sizeof(label), "%s:%s:%s:%s", part[0], part[1], part[2], part[3]);
	if (asked)
		json_put_str(o, "selinuxLabel", label);
}

static void put_security(const json_t *host, bool privileged, struct json_out *o)
{
	bool no_new = false;
	json_t *one;
	size_t i;

	json_array_foreach(json_object_get(host, "SecurityOpt"), i, one)
	{
		const char *s = json_string_value(one);

		if (s && str_starts(s, "no-new-privileges"))
			no_new = !str_ends(s, "false");
		if (s && str_starts(s, "apparmor") && !privileged && !str_eq(s + 9, "unconfined"))
			json_put_str(o, "apparmorProfile", s + 9);
	}
	json_put_bool(o, "noNewPrivileges", no_new);
	if (!privileged)
		put_label(json_object_get(host, "SecurityOpt"), o);
}

int spec__process(const struct spec_input *in, const struct spec_exec *x, struct json_out *o, struct err *e)
{
	const json_t *host = json_object_get(in->config, "HostConfig");
	const char *cwd = x && x->cwd ? x->cwd : instance__str(in->config, "Config", "WorkingDir");
	bool tty = x ? x->tty : instance__bool(in->config, "Config", "Tty");
	bool privileged = instance__bool(host, NULL, "Privileged") || (x && x->privileged);
	auto_fini(user) struct user u = { 0 };
	int r = find_user(in, x, &u, e);

	if (r < 0)
		return r;
	json_put_open(o, x ? NULL : "process", '{');
	json_put_bool(o, "terminal", tty);
	if (tty && in->rows && in->cols) {
		json_put_open(o, "consoleSize", '{');
		json_put_u64(o, "height", in->rows);
		json_put_u64(o, "width", in->cols);
		json_put_close(o, '}');
	}
	put_user(o, &u);
	put_args(in, x, o);
	r = put_env(in, x, tty, u.home, o, e);
	json_put_str(o, "cwd", cwd ? cwd : "/");
	put_caps(o, privileged ? all_caps() : spec__caps(host), u.uid == 0);
	put_rlimits(host, o);
	put_security(host, privileged, o);
	if (!x && instance__int(host, NULL, "OomScoreAdj"))
		json_put_i64(o, "oomScoreAdj", instance__int(host, NULL, "OomScoreAdj"));
	json_put_close(o, '}');
	return r;
}

int spec_process(const struct spec_input *in, const struct spec_exec *x, struct buf *json, struct err *e)
{
	struct json_out o = { .to = json };
	int r = spec__process(in, x, &o, e);

	if (r < 0)
		return r;
	r = buf_finish(json);
	return r < 0 ? err_sys(e, -r, "exec") : 0;
}
