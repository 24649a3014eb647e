/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/oci_internal.h"

#include <errno.h>
#include <linux/sched.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"

enum { UMASK_MAX = 0777, OOM_SCORE_MAX = 1000, IO_PRIORITY_MAX = 7, NICE_MIN = -20, NICE_MAX = 19 };

static void read_user(const struct json_at *at, struct oci_user *u)
{
	struct json_at obj = json_read_obj(at, "user"), gids = oci__list(&obj, "additionalGids");

	u->uid = (uint32_t)json_read_u64(&obj, "uid", UINT32_MAX, 0);
	u->gid = (uint32_t)json_read_u64(&obj, "gid", UINT32_MAX, 0);
	u->umask = oci__u64(&obj, "umask", UMASK_MAX);
	u->username = oci__str(&obj, "username");
	u->additional_gids = json_alloc(at, json_count(&gids), sizeof(*u->additional_gids));
	for (size_t i = 0; i < json_count(&gids); i++) {
		struct json_at item = json_item(&gids, i);

		json_need(&item, NULL);
		u->additional_gids[u->n_additional_gids++] =
			(uint32_t)json_read_u64(&item, NULL, UINT32_MAX, 0);
	}
}

/*
 * read_caps() - one set as bits. A name that looks right and is unknown is dropped with a debug line: the
 * specification wants no failure for what cannot be granted.
 */
static uint64_t read_caps(const struct json_at *at, const char *key)
{
	struct json_at list = oci__list(at, key);
	uint64_t caps = 0;

	for (size_t i = 0; i < json_count(&list); i++) {
		struct json_at item = json_item(&list, i);
		const char *name = json_need(&item, NULL) ? json_read_str(&item, NULL) : NULL;
		int cap = name ? oci_cap_from_name(name) : -EINVAL;

		if (name && !str_starts(name, "CAP_"))
			json_fail(&item, NULL, EINVAL, "got '%.64s', want a name that begins with CAP_",
				  name);
		else if (cap >= 0)
			caps |= UINT64_C(1) << cap;
		else if (name)
			log_debug("oci", "process.capabilities.%s: '%.64s': unknown, ignored", key, name);
	}
	return caps;
}

static void read_capabilities(const struct json_at *at, struct oci_process *p)
{
	static const char *const set[OCI_CAP_SET_COUNT] = {
		[OCI_CAP_BOUNDING] = "bounding",       [OCI_CAP_EFFECTIVE] = "effective",
		[OCI_CAP_INHERITABLE] = "inheritable", [OCI_CAP_PERMITTED] = "permitted",
		[OCI_CAP_AMBIENT] = "ambient",
	};
	struct json_at obj = json_read_obj(at, "capabilities");

	p->has_capabilities = json_has(&obj, NULL);
	for (int i = 0; i < OCI_CAP_SET_COUNT; i++)
		p->caps[i] = read_caps(&obj, set[i]);
}

static void read_rlimits(const struct json_at *at, struct oci_process *p)
{
	struct json_at list = oci__list(at, "rlimits");
	uint64_t seen = 0;

	p->rlimits = json_alloc(at, json_count(&list), sizeof(*p->rlimits));
	for (size_t i = 0; i < json_count(&list); i++) {
		struct json_at item = json_item(&list, i), obj = json_read_obj(&item, NULL);
		struct oci_rlimit *l = &p->rlimits[p->n_rlimits++];

		l->resource = (int)oci__name(&obj, "type", &oci__rlimits);
		l->name = json_read_str(&obj, "type");
		json_need(&obj, "soft");
		json_need(&obj, "hard");
		l->soft = json_read_u64(&obj, "soft", UINT64_MAX, 0);
		l->hard = json_read_u64(&obj, "hard", UINT64_MAX, 0);
		if (l->soft > l->hard)
			json_fail(&obj, "soft", EINVAL, "got %llu, want no more than the hard limit of %llu",
				  (unsigned long long)l->soft, (unsigned long long)l->hard);
		/* Spec: "duplicated entries with same type, the runtime MUST generate an error" */
		if (seen & UINT64_C(1) << l->resource)
			json_fail(&obj, "type", EINVAL, "'%s' is there twice", l->name);
		seen |= UINT64_C(1) << l->resource;
	}
}

static void check_scheduler(const struct json_at *at, const struct oci_scheduler *s)
{
	bool fair = s->policy == SCHED_NORMAL || s->policy == SCHED_BATCH;
	bool fixed = s->policy == SCHED_FIFO || s->policy == SCHED_RR;

	if (fair && (s->nice < NICE_MIN || s->nice > NICE_MAX))
		json_fail(at, "nice", EINVAL, "got %d, want a number from %d to %d", s->nice, NICE_MIN,
			  NICE_MAX);
	if (s->priority != 0 && !fixed)
		json_fail(at, "priority", EINVAL, "only for SCHED_FIFO and SCHED_RR");
	if (s->policy != SCHED_DEADLINE && (s->runtime || s->deadline || s->period))
		json_fail(at, NULL, EINVAL, "runtime, deadline and period are only for SCHED_DEADLINE");
}

static const struct oci_scheduler *read_scheduler(const struct json_at *at)
{
	struct json_at obj = json_read_obj(at, "scheduler");
	struct oci_scheduler *s = json_has(&obj, NULL) ? json_alloc(at, 1, sizeof(*s)) : NULL;

	if (!s)
		return NULL;
	if (str_eq(json_read_str(&obj, "policy"), "SCHED_ISO"))
		json_fail(&obj, "policy", ENOTSUP, "Linux reserves SCHED_ISO and has never had it");
	s->policy = (int)oci__name(&obj, "policy", &oci__schedulers);
	s->nice = (int32_t)json_read_i64(&obj, "nice", INT32_MIN, INT32_MAX);
	s->priority = (int32_t)json_read_i64(&obj, "priority", INT32_MIN, INT32_MAX);
	s->flags = oci__flags(&obj, "flags", &oci__scheduler_flags);
	s->runtime = json_read_u64(&obj, "runtime", UINT64_MAX, 0);
	s->deadline = json_read_u64(&obj, "deadline", UINT64_MAX, 0);
	s->period = json_read_u64(&obj, "period", UINT64_MAX, 0);
	check_scheduler(&obj, s);
	return s;
}

static const struct oci_io_priority *read_io_priority(const struct json_at *at)
{
	struct json_at obj = json_read_obj(at, "ioPriority");
	struct oci_io_priority *io = json_has(&obj, NULL) ? json_alloc(at, 1, sizeof(*io)) : NULL;

	if (!io)
		return NULL;
	io->class = (int)oci__name(&obj, "class", &oci__io_classes);
	io->priority = (int)json_read_i64(&obj, "priority", 0, IO_PRIORITY_MAX);
	return io;
}

/* check_env() - each is "name=value". */
static void check_env(const struct json_at *at, const char *key, const struct oci_strs *env)
{
	for (size_t i = 0; i < env->n; i++)
		if (env->v[i][0] == '=' || !strchr(env->v[i], '='))
			json_fail(at, key, EINVAL, "entry %zu: got '%.64s', want name=value", i, env->v[i]);
}

void oci__process(const struct json_at *at, struct oci_process *p)
{
	struct json_at size = json_read_obj(at, "consoleSize"),
		       affinity = json_read_obj(at, "execCPUAffinity");

	p->terminal = json_read_bool(at, "terminal", false);
	p->console_rows = (uint16_t)json_read_u64(&size, "height", UINT16_MAX, 0);
	p->console_cols = (uint16_t)json_read_u64(&size, "width", UINT16_MAX, 0);
	read_user(at, &p->user);
	p->args = oci__strs(at, "args");
	if (p->args.n > 0 && !p->args.v[0][0])
		json_fail(at, "args", EINVAL, "entry 0: got '', want a program");
	p->env = oci__strs(at, "env");
	check_env(at, "env", &p->env);
	p->cwd = oci__path(at, "cwd");
	if (!p->cwd)
		json_fail(at, "cwd", EINVAL, "%s",
			  json_has(at, "cwd") ? "got '', want an absolute path" : "missing");
	read_capabilities(at, p);
	read_rlimits(at, p);
	p->no_new_privileges = json_read_bool(at, "noNewPrivileges", false);
	p->apparmor_profile = oci__str(at, "apparmorProfile");
	p->selinux_label = oci__str(at, "selinuxLabel");
	p->oom_score_adj = oci__i64(at, "oomScoreAdj", -OOM_SCORE_MAX, OOM_SCORE_MAX);
	p->scheduler = read_scheduler(at);
	p->io_priority = read_io_priority(at);
	p->exec_affinity_initial = oci__cpus(&affinity, "initial");
	p->exec_affinity_final = oci__cpus(&affinity, "final");
}
