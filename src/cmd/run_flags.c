/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/run_flags.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"

static const int64_t memory_min_bytes = 6 << 20; /* less cannot even start a process */

void run_flags_defaults(void *o)
{
	struct run_flags *f = o;

	f->sig_proxy = true;
	f->oom_score_adj = OOM_SCORE_NOT_GIVEN;
	f->config.memory_swappiness = -1;
	f->config.stop_timeout_s = -1;
}

int flag_bad(struct err *e, const char *flag, const char *value, const char *why)
{
	return err_set(e, EINVAL, "invalid argument \"%s\" for --%s: %s", value, flag, why);
}

static int flag_bad_number(struct err *e, const char *flag, int64_t value, const char *why)
{
	return err_set(e, EINVAL, "invalid argument \"%lld\" for --%s: %s", (long long)value, flag, why);
}

static int check_memory(const struct instance_config *c, struct err *e)
{
	if (c->memory > 0 && c->memory < memory_min_bytes)
		return flag_bad_number(e, "memory", c->memory, "less than the least possible, 6m");
	if (c->memory_swap > 0 && c->memory <= 0)
		return flag_bad_number(e, "memory-swap", c->memory_swap, "goes only together with --memory");
	if (c->memory_swap > 0 && c->memory_swap < c->memory)
		return flag_bad_number(e, "memory-swap", c->memory_swap,
				       "less than --memory, which it includes");
	if (c->memory_reservation > 0 && c->memory > 0 && c->memory_reservation > c->memory)
		return flag_bad_number(e, "memory-reservation", c->memory_reservation, "more than --memory");
	if (c->memory_swappiness < -1 || c->memory_swappiness > 100)
		return flag_bad_number(e, "memory-swappiness", c->memory_swappiness, "0 to 100 is wanted");
	if (c->shm_size < 0)
		return flag_bad_number(e, "shm-size", c->shm_size, "a size such as 64m is wanted");
	return 0;
}

static int check_cpu(const struct instance_config *c, struct err *e)
{
	if (c->nano_cpus && (c->cpu_quota || c->cpu_period))
		return err_set(e, EINVAL, "--cpus cannot go together with --cpu-%s",
			       c->cpu_quota ? "quota" : "period");
	if (c->nano_cpus && c->nano_cpus < 10000000)
		return err_set(e, EINVAL, "--cpus: less than the least possible, 0.01");
	if (c->nano_cpus > sysconf(_SC_NPROCESSORS_CONF) * NSEC_PER_SEC)
		return err_set(e, EINVAL, "--cpus: this machine has only %ld", sysconf(_SC_NPROCESSORS_CONF));
	if (c->cpu_shares < 0)
		return flag_bad_number(e, "cpu-shares", c->cpu_shares, "not below 0");
	if (c->cpu_period && (c->cpu_period < 1000 || c->cpu_period > 1000000))
		return flag_bad_number(e, "cpu-period", c->cpu_period, "1000 to 1000000 is wanted");
	if (c->cpu_quota && c->cpu_quota != -1 && c->cpu_quota < 1000)
		return flag_bad_number(e, "cpu-quota", c->cpu_quota, "at least 1000, or -1, is wanted");
	if (c->blkio_weight && (c->blkio_weight < 10 || c->blkio_weight > 1000))
		return flag_bad_number(e, "blkio-weight", c->blkio_weight, "10 to 1000, or 0, is wanted");
	if (c->pids_limit < -1)
		return flag_bad_number(e, "pids-limit", c->pids_limit, "a number, or -1, is wanted");
	return 0;
}

static int check_restart(const struct instance_config *c, struct err *e)
{
	static const char *const policy[] = { "no", "always", "unless-stopped", "on-failure" };
	const char *count = c->restart ? str_after(c->restart, "on-failure:") : NULL;
	uint64_t n;

	if (!c->restart || !*c->restart)
		return 0;
	if (c->auto_remove && !str_eq(c->restart, "no"))
		return err_set(e, EINVAL, "--restart cannot go together with --rm");
	if (count)
		return str_to_u64(count, &n) == 0 ?
			       0 :
			       flag_bad(e, "restart", c->restart, "a number of tries is wanted behind ':'");
	for (size_t i = 0; i < ARRAY_SIZE(policy); i++)
		if (str_eq(c->restart, policy[i]))
			return 0;
	return flag_bad(e, "restart", c->restart, "no, on-failure[:N], always or unless-stopped is wanted");
}

static int check_health(const struct instance_config *c, struct err *e)
{
	bool any = c->health.cmd || c->health.interval || c->health.timeout || c->health.start_period ||
		   c->health.start_interval || c->health.retries;

	if (c->no_healthcheck && any)
		return err_set(e, EINVAL, "--no-healthcheck cannot go together with --health-* options");
	if (c->health.retries < 0)
		return flag_bad_number(e, "health-retries", c->health.retries, "not below 0");
	if (c->health.interval && c->health.interval < NSEC_PER_MSEC)
		return err_set(e, EINVAL, "--health-interval: at least 1ms is wanted");
	if (c->health.timeout && c->health.timeout < NSEC_PER_MSEC)
		return err_set(e, EINVAL, "--health-timeout: at least 1ms is wanted");
	return 0;
}

static int check_network(const struct run_flags *f, struct err *e)
{
	const struct instance_config *c = &f->config;

	if (c->ports.len > 0)
		return flag_bad(e, "publish", c->ports.item[0],
				"there are no bridge networks yet, so no port can be published; --network "
				"host shares the host's ports");
	if (f->publish_all)
		return err_set(e, EINVAL,
			       "--publish-all: there are no bridge networks yet; --network host shares the "
			       "host's ports");
	if (c->network && !str_eq(c->network, "none") && !str_eq(c->network, "host") &&
	    !str_starts(c->network, "container:"))
		return flag_bad(e, "network", c->network, "only none, host and container:NAME are there yet");
	if (c->hostname && str_eq(c->uts_mode, "host"))
		return err_set(e, EINVAL,
			       "--hostname cannot go together with --uts host, which shares the host's name");
	for (size_t i = 0; i < c->extra_hosts.len; i++)
		if (!strpbrk(c->extra_hosts.item[i], ":=") || strchr(":=", c->extra_hosts.item[i][0]))
			return flag_bad(e, "add-host", c->extra_hosts.item[i], "HOST:IP is wanted");
	return 0;
}

static int check_words(const struct run_flags *f, struct err *e)
{
	const struct instance_config *c = &f->config;

	if (str_eq(f->pull, "always"))
		return flag_bad(e, "pull", f->pull,
				"registries are not there yet; hull load, import or build make an image");
	if (f->pull && !str_eq(f->pull, "missing") && !str_eq(f->pull, "never"))
		return flag_bad(e, "pull", f->pull, "never or missing is wanted");
	if (f->platform && !str_eq(f->platform, "linux/amd64") && !str_eq(f->platform, "linux/x86_64") &&
	    !str_eq(f->platform, "linux") && !str_eq(f->platform, "amd64"))
		return flag_bad(e, "platform", f->platform, "only linux/amd64 runs here");
	if (c->stop_signal && flag_signal(c->stop_signal) < 0)
		return flag_bad(e, "stop-signal", c->stop_signal, "there is no such signal");
	if (c->stop_timeout_s < -1)
		return flag_bad_number(e, "stop-timeout", c->stop_timeout_s, "seconds, or -1, are wanted");
	if (c->workdir && c->workdir[0] != '/')
		return flag_bad(e, "workdir", c->workdir, "an absolute path is wanted");
	if (f->oom_score_adj != OOM_SCORE_NOT_GIVEN && (f->oom_score_adj < -1000 || f->oom_score_adj > 1000))
		return flag_bad_number(e, "oom-score-adj", f->oom_score_adj, "-1000 to 1000 is wanted");
	return 0;
}

static int check_flags(const struct run_flags *f, struct err *e)
{
	int r = check_memory(&f->config, e);

	if (r == 0)
		r = check_cpu(&f->config, e);
	if (r == 0)
		r = check_restart(&f->config, e);
	if (r == 0)
		r = check_health(&f->config, e);
	if (r == 0)
		r = check_network(f, e);
	return r == 0 ? check_words(f, e) : r;
}

static int add_env(struct run_flags *f, struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < f->env_file.len && r == 0; i++)
		r = flag_env_file(&f->config.env, f->env_file.item[i], e);
	for (size_t i = 0; i < f->env.len && r == 0; i++)
		r = flag_env(&f->config.env, f->env.item[i], e);
	return r;
}

static int add_label(struct strv *labels, const char *text, struct err *e)
{
	if (!*text || *text == '=')
		return flag_bad(e, "label", text, "KEY[=VALUE] is wanted");
	strv_addf(labels, "%s%s", text, strchr(text, '=') ? "" : "=");
	return 0;
}

static int add_labels(struct run_flags *f, struct err *e)
{
	auto_fini(strv) struct strv line = { 0 };
	int r = 0;

	for (size_t i = 0; i < f->label_file.len && r == 0; i++)
		r = flag_env_file(&line, f->label_file.item[i], e);
	for (size_t i = 0; i < line.len && r == 0; i++)
		r = add_label(&f->config.labels, line.item[i], e);
	for (size_t i = 0; i < f->label.len && r == 0; i++)
		r = add_label(&f->config.labels, f->label.item[i], e);
	for (size_t i = 0; i < f->config.annotations.len && r == 0; i++)
		if (!strchr(f->config.annotations.item[i], '=') || f->config.annotations.item[i][0] == '=')
			r = flag_bad(e, "annotation", f->config.annotations.item[i], "KEY=VALUE is wanted");
	return r;
}

static int add_mounts(struct run_flags *f, struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < f->volume.len && r == 0; i++)
		r = flag_volume(&f->config.mounts, f->volume.item[i], e);
	for (size_t i = 0; i < f->mount.len; i++)
		strv_add(&f->config.mounts, f->mount.item[i]);
	for (size_t i = 0; i < f->tmpfs.len && r == 0; i++)
		r = flag_tmpfs(&f->config.mounts, f->tmpfs.item[i], e);
	return r;
}

static int add_operands(struct run_flags *f, int argc, char **argv, struct err *e)
{
	struct instance_config *c = &f->config;

	if (argc == 0)
		return 0;
	c->image = strdup(argv[0]);
	if (!c->image)
		return err_sys(e, ENOMEM, "reading the command line");
	for (int i = 1; i < argc; i++)
		strv_add(&c->cmd, argv[i]);
	c->entrypoint_set = f->entrypoint;
	if (f->entrypoint && *f->entrypoint)
		strv_add(&c->entrypoint, f->entrypoint);
	for (size_t i = 0; i < f->sysctl.len; i++)
		strv_add(&c->sysctls, f->sysctl.item[i]);
	return 0;
}

int run_flags_finish(struct run_flags *f, int argc, char **argv, struct err *e)
{
	struct instance_config *c = &f->config;
	int r = check_flags(f, e);

	if (r == 0)
		r = add_operands(f, argc, argv, e);
	if (r == 0)
		r = add_env(f, e);
	if (r == 0)
		r = add_labels(f, e);
	if (r == 0)
		r = add_mounts(f, e);
	if (r == 0 && (strv_finish(&c->env) | strv_finish(&c->labels) | strv_finish(&c->mounts) |
		       strv_finish(&c->cmd)) < 0)
		r = err_sys(e, ENOMEM, "reading the command line");
	if (f->oom_score_adj != OOM_SCORE_NOT_GIVEN) {
		c->oom_score_adj = (int)f->oom_score_adj;
		c->oom_score_adj_set = true;
	}
	return r;
}
