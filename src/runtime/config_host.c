/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/resource.h>

#include "base/buf.h"
#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "fmt/json.h"
#include "fmt/oci.h"
#include "runtime/config.h"
#include "runtime/runtime_internal.h"
#include "runtime/spec.h"
#include "sys/file.h"

enum { SECCOMP_FILE_MAX = 1 << 20 };

static int check_word(const char *flag, const char *value, const char *const *words, struct err *e)
{
	if (!value || !*value)
		return 0;
	for (; *words; words++) {
		size_t len = strlen(*words);

		if (str_eq(value, *words) ||
		    ((*words)[len - 1] == ':' && str_starts(value, *words) && value[len]))
			return 0;
	}
	return err_set(e, EINVAL, "invalid argument \"%s\" for --%s", value, flag);
}

static int check_modes(const struct instance_config *c, struct err *e)
{
	static const char
		*const host[] = { "host", NULL },
		       *const join[] = { "host", "container:", NULL },
		       *const network[] = { "none", "host", "container:", NULL },
		       *const ipc[] = { "none", "private", "shareable", "host", "container:", NULL },
		       *const cgroup[] = { "private", "host", NULL };
	int r = check_word("network", c->network, network, e);

	if (r >= 0)
		r = check_word("pid", c->pid_mode, join, e);
	if (r >= 0)
		r = check_word("ipc", c->ipc_mode, ipc, e);
	if (r >= 0)
		r = check_word("uts", c->uts_mode, host, e);
	if (r >= 0)
		r = check_word("userns", c->userns_mode, host, e);
	return r >= 0 ? check_word("cgroupns", c->cgroupns_mode, cgroup, e) : r;
}

static int put_caps(json_t *host, const char *key, const char *flag, const struct strv *v, struct err *e)
{
	json_t *list = json_array();

	json_object_set_new(host, key, list);
	for (size_t i = 0; i < v->len; i++) {
		int cap = strcasecmp(v->item[i], "all") == 0 ? -1 : oci_cap_from_name(v->item[i]);

		if (cap == -EINVAL)
			return err_set(e, EINVAL,
				       "invalid argument \"%s\" for --%s: there is no such capability",
				       v->item[i], flag);
		json_array_append_new(list, json_string(cap == -1 ? "ALL" : oci_cap_name(cap)));
	}
	return 0;
}

static const struct {
	const char *name;
	int resource;
} ulimit_name[] = {
	{ "as", RLIMIT_AS },           { "core", RLIMIT_CORE },         { "cpu", RLIMIT_CPU },
	{ "data", RLIMIT_DATA },       { "fsize", RLIMIT_FSIZE },       { "locks", RLIMIT_LOCKS },
	{ "memlock", RLIMIT_MEMLOCK }, { "msgqueue", RLIMIT_MSGQUEUE }, { "nice", RLIMIT_NICE },
	{ "nofile", RLIMIT_NOFILE },   { "nproc", RLIMIT_NPROC },       { "rss", RLIMIT_RSS },
	{ "rtprio", RLIMIT_RTPRIO },   { "rttime", RLIMIT_RTTIME },     { "sigpending", RLIMIT_SIGPENDING },
	{ "stack", RLIMIT_STACK },
};

static int put_ulimit(json_t *list, const char *text, struct err *e)
{
	auto_fini(strv) struct strv part = { 0 };
	const char *eq = strchr(text, '=');
	int64_t soft = 0, hard = 0;
	bool known = false;

	for (size_t i = 0; i < ARRAY_SIZE(ulimit_name) && eq; i++)
		known |= strlen(ulimit_name[i].name) == (size_t)(eq - text) &&
			 str_starts(text, ulimit_name[i].name);
	if (!known)
		return err_set(e, EINVAL, "invalid argument \"%s\" for --ulimit: there is no such limit",
			       text);
	strv_split(&part, eq + 1, ':');
	if (part.len < 1 || part.len > 2 || str_to_i64(part.item[0], &soft) < 0 || soft < -1 ||
	    (part.len == 2 && (str_to_i64(part.item[1], &hard) < 0 || hard < -1)))
		return err_set(e, EINVAL, "invalid argument \"%s\" for --ulimit: NAME=SOFT[:HARD] is wanted",
			       text);
	if (part.len == 2 && hard != -1 && (soft == -1 || soft > hard))
		return err_set(e, EINVAL, "invalid argument \"%s\" for --ulimit: soft is more than hard",
			       text);
	json_array_append_new(list,
			      json_pack("{s:s%,s:I,s:I}", "Name", text, (size_t)(eq - text), "Soft",
					(json_int_t)soft, "Hard", (json_int_t)(part.len == 2 ? hard : soft)));
	return 0;
}

/* put_device() - "HOST[:CONTAINER][:rwm]"; a directory stands for the devices in it. */
static int put_device(json_t *list, const char *text, struct err *e)
{
	auto_fini(strv) struct strv part = { 0 };
	const char *inside, *access = "rwm";
	struct stat st;
	size_t n;

	strv_split(&part, text, ':');
	n = part.len;
	if (n > 1 && part.item[n - 1][0] && strspn(part.item[n - 1], "rwm") == strlen(part.item[n - 1]))
		access = part.item[--n];
	inside = n > 1 ? part.item[1] : part.item[0];
	if (n > 2 || part.item[0][0] != '/' || *inside != '/')
		return err_set(e, EINVAL, "invalid argument \"%s\" for --device: PATH[:PATH][:rwm] is wanted",
			       text);
	if (stat(part.item[0], &st) < 0)
		return err_sys(e, errno, "--device %s", part.item[0]);
	if (!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode) && !S_ISDIR(st.st_mode))
		return err_set(e, ENODEV, "--device %s: not a device", part.item[0]);
	json_array_append_new(list, json_pack("{s:s,s:s,s:s}", "PathOnHost", part.item[0], "PathInContainer",
					      inside, "CgroupPermissions", access));
	return 0;
}

/* put_rates() - "PATH:NUMBER" as {Path, Rate}; only a number of bytes has a unit. */
static int put_rates(json_t *host, const char *key, const char *flag, const char *member,
		     const struct strv *v, struct err *e)
{
	int (*number)(const char *s, int64_t *ret_n) = str_ends(key, "Bps") ? str_to_bytes : str_to_i64;
	json_t *list = json_array();

	json_object_set_new(host, key, list);
	for (size_t i = 0; i < v->len; i++) {
		const char *colon = strrchr(v->item[i], ':');
		int64_t n;

		if (v->item[i][0] != '/' || !colon || number(colon + 1, &n) < 0 || n < 0)
			return err_set(e, EINVAL, "invalid argument \"%s\" for --%s: PATH:NUMBER is wanted",
				       v->item[i], flag);
		json_array_append_new(list, json_pack("{s:s%,s:I}", "Path", v->item[i],
						      (size_t)(colon - v->item[i]), member, (json_int_t)n));
	}
	return 0;
}

static int put_all_rates(json_t *host, const struct instance_config *c, struct err *e)
{
	int r = put_rates(host, "BlkioWeightDevice", "blkio-weight-device", "Weight", &c->blkio_weight_device,
			  e);

	if (r >= 0)
		r = put_rates(host, "BlkioDeviceReadBps", "device-read-bps", "Rate", &c->device_read_bps, e);
	if (r >= 0)
		r = put_rates(host, "BlkioDeviceWriteBps", "device-write-bps", "Rate", &c->device_write_bps,
			      e);
	if (r >= 0)
		r = put_rates(host, "BlkioDeviceReadIOps", "device-read-iops", "Rate", &c->device_read_iops,
			      e);
	return r >= 0 ? put_rates(host, "BlkioDeviceWriteIOps", "device-write-iops", "Rate",
				  &c->device_write_iops, e) :
			r;
}

/* put_seccomp() - a profile is read now: later commands must not depend on the file. */
static int put_seccomp(json_t *list, const char *file, struct err *e)
{
	auto_fini(buf) struct buf text = { 0 };
	auto_fini(buf) struct buf opt = { 0 };
	auto_json json_t *profile = NULL;
	auto_json json_t *checked = NULL;
	int r;

	if (str_eq(file, "unconfined") || str_eq(file, "builtin")) {
		json_array_append_new(list, json_sprintf("seccomp=%s", file));
		return 0;
	}
	if (*file != '{') {
		r = file_slurp_at(AT_FDCWD, file, &text, SECCOMP_FILE_MAX);
		if (r < 0)
			return err_sys(e, -r, "--security-opt seccomp=%s", file);
		file = buf_str(&text);
	}
	r = json_tree_parse(&profile, file, strlen(file), e);
	if (r >= 0)
		r = spec_seccomp_convert(profile, 0, &checked, e);
	if (r < 0)
		return err_wrap(e, r, "--security-opt seccomp");
	buf_puts(&opt, "seccomp=");
	json_tree_text(&opt, profile, 0);
	json_array_append_new(list, json_string(buf_str(&opt)));
	return 0;
}

/* is_label() - "label=disable", or a part of a label: "label=type:container_t"; ':' stands for '=', too. */
static bool is_label(const char *opt)
{
	static const char *const part[] = { "user:", "role:", "type:", "level:" };
	const char *what = opt + strlen("label=");

	if (!str_starts(opt, "label=") && !str_starts(opt, "label:"))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(part); i++)
		if (str_starts(what, part[i]))
			return what[strlen(part[i])] != '\0';
	return str_eq(what, "disable");
}

static int put_security(json_t *host, const struct instance_config *c, struct err *e)
{
	static const char *const plain[] = { "no-new-privileges",       "no-new-privileges:true",
					     "no-new-privileges=true",  "no-new-privileges:false",
					     "no-new-privileges=false", "systempaths=unconfined" };
	static const char *const with_value[] = { "apparmor=", "apparmor:" };
	json_t *list = json_array();
	int r = 0;

	json_object_set_new(host, "SecurityOpt", list);
	for (size_t i = 0; i < c->security_opt.len && r >= 0; i++) {
		const char *opt = c->security_opt.item[i];
		bool known = is_label(opt);

		if (str_starts(opt, "seccomp=") || str_starts(opt, "seccomp:")) {
			r = put_seccomp(list, opt + strlen("seccomp="), e);
			continue;
		}
		for (size_t k = 0; k < ARRAY_SIZE(plain); k++)
			known |= str_eq(opt, plain[k]);
		for (size_t k = 0; k < ARRAY_SIZE(with_value); k++)
			known |= str_starts(opt, with_value[k]);
		if (!known)
			return err_set(e, EINVAL, "invalid argument \"%s\" for --security-opt", opt);
		json_array_append_new(list, json_string(opt));
	}
	return r;
}

static int put_restart(json_t *host, const char *policy, struct err *e)
{
	const char *count = policy ? str_after(policy, "on-failure:") : NULL;
	uint64_t n = 0;
	static const char *const words[] = { "no", "always", "unless-stopped", "on-failure", NULL };
	int r = count ? 0 : check_word("restart", policy, words, e);

	if (count && (str_to_u64(count, &n) < 0 || n > INT32_MAX))
		return err_set(e, EINVAL,
			       "invalid argument \"%s\" for --restart: a number is wanted behind ':'",
			       policy);
	if (r < 0)
		return r;
	json_object_set_new(host, "RestartPolicy",
			    json_pack("{s:s,s:I}", "Name",
				      count             ? "on-failure" :
				      policy && *policy ? policy :
							  "no",
				      "MaximumRetryCount", (json_int_t)n));
	return 0;
}

static int put_log(json_t *host, const struct instance_config *c, struct err *e)
{
	const char *driver = c->log_driver ? c->log_driver : "json-file";
	static const char *const drivers[] = { "json-file", "none", NULL };
	json_t *log = json_object(), *options;
	int r = check_word("log-driver", driver, drivers, e);
	int64_t bytes;
	uint64_t n;

	config_put_str(log, "Type", driver);
	config_put_pairs(log, "Config", &c->log_opts);
	json_object_set_new(host, "LogConfig", log);
	options = json_object_get(log, "Config");
	for (void *i = json_object_iter(options); i && r >= 0; i = json_object_iter_next(options, i)) {
		const char *key = json_object_iter_key(i),
			   *value = json_string_value(json_object_iter_value(i));
		bool ok = str_eq(key, "max-size") ?
				  str_to_bytes(value, &bytes) == 0 && bytes > 0 :
				  str_eq(key, "max-file") && str_to_u64(value, &n) == 0 && n > 0 && n <= 1000;

		if (!ok)
			r = err_set(e, EINVAL,
				    "invalid argument \"%s=%s\" for --log-opt: max-size=BYTES and max-file=N "
				    "are known",
				    key, value);
	}
	return r;
}

static int check_sysctls(const struct strv *v, struct err *e)
{
	static const char *const known[] = { "net.",
					     "fs.mqueue.",
					     "kernel.msgmax=",
					     "kernel.msgmnb=",
					     "kernel.msgmni=",
					     "kernel.sem=",
					     "kernel.shmall=",
					     "kernel.shmmax=",
					     "kernel.shmmni=",
					     "kernel.shm_rmid_forced=",
					     "kernel.domainname=",
					     "kernel.hostname=" };

	for (size_t i = 0; i < v->len; i++) {
		bool ok = false;

		for (size_t k = 0; k < ARRAY_SIZE(known); k++)
			ok |= str_starts(v->item[i], known[k]);
		if (!ok || !strchr(v->item[i], '='))
			return err_set(e, EINVAL,
				       "invalid argument \"%s\" for --sysctl: it does not belong to a "
				       "namespace of the "
				       "container",
				       v->item[i]);
	}
	return 0;
}

int config_limits(const struct instance_config *c, json_t *host, struct err *e)
{
	const struct {
		const char *key;
		int64_t v;
	} number[] = {
		{ "Memory", c->memory },
		{ "MemorySwap", c->memory_swap },
		{ "MemoryReservation", c->memory_reservation },
		{ "NanoCpus", c->nano_cpus },
		{ "CpuShares", c->cpu_shares },
		{ "CpuQuota", c->cpu_quota },
		{ "CpuPeriod", c->cpu_period },
		{ "PidsLimit", c->pids_limit },
		{ "BlkioWeight", c->blkio_weight },
	};

	for (size_t i = 0; i < ARRAY_SIZE(number); i++)
		if (number[i].v || !json_object_get(host, number[i].key))
			json_object_set_new(host, number[i].key, json_integer(number[i].v));
	if (c->cpuset_cpus || !json_object_get(host, "CpusetCpus"))
		config_put_str(host, "CpusetCpus", c->cpuset_cpus);
	if (c->cpuset_mems || !json_object_get(host, "CpusetMems"))
		config_put_str(host, "CpusetMems", c->cpuset_mems);
	return c->restart || !json_object_get(host, "RestartPolicy") ? put_restart(host, c->restart, e) : 0;
}

static int put_lists(json_t *host, const struct instance_config *c, struct err *e)
{
	json_t *devices = json_array(), *ulimits = json_array();
	int r = put_caps(host, "CapAdd", "cap-add", &c->cap_add, e);

	json_object_set_new(host, "Devices", devices);
	json_object_set_new(host, "Ulimits", ulimits);
	if (r >= 0)
		r = put_caps(host, "CapDrop", "cap-drop", &c->cap_drop, e);
	for (size_t i = 0; i < c->devices.len && r >= 0; i++)
		r = put_device(devices, c->devices.item[i], e);
	for (size_t i = 0; i < c->ulimits.len && r >= 0; i++)
		r = put_ulimit(ulimits, c->ulimits.item[i], e);
	if (r >= 0)
		r = check_sysctls(&c->sysctls, e);
	config_put_pairs(host, "Sysctls", &c->sysctls);
	config_put_strv(host, "DeviceCgroupRules", &c->device_cgroup_rules);
	config_put_strv(host, "GroupAdd", &c->group_add);
	config_put_strv(host, "Dns", &c->dns);
	config_put_strv(host, "ExtraHosts", &c->extra_hosts);
	return r >= 0 ? put_all_rates(host, c, e) : r;
}

static void put_modes(json_t *host, const struct instance_config *c)
{
	config_put_str(host, "Isolation", c->isolation ? c->isolation : "container");
	config_put_str(host, "NetworkMode", c->network ? c->network : "none");
	config_put_str(host, "PidMode", c->pid_mode);
	config_put_str(host, "IpcMode", c->ipc_mode ? c->ipc_mode : "private");
	config_put_str(host, "UTSMode", c->uts_mode);
	config_put_str(host, "UsernsMode", c->userns_mode);
	config_put_str(host, "CgroupnsMode", c->cgroupns_mode);
	config_put_str(host, "CgroupParent", c->cgroup_parent);
	config_put_str(host, "Runtime", "hull");
	json_object_set_new(host, "AutoRemove", json_boolean(c->auto_remove));
	json_object_set_new(host, "Privileged", json_boolean(c->privileged));
	json_object_set_new(host, "ReadonlyRootfs", json_boolean(c->read_only));
	json_object_set_new(host, "Init", json_boolean(c->init));
	json_object_set_new(host, "OomKillDisable", json_boolean(c->oom_kill_disable));
	json_object_set_new(host, "OomScoreAdj", json_integer(c->oom_score_adj));
	json_object_set_new(host, "ShmSize", json_integer(c->shm_size > 0 ? c->shm_size : 64 << 20));
	json_object_set_new(host, "MemorySwappiness",
			    c->memory_swappiness >= 0 ? json_integer(c->memory_swappiness) : json_null());
}

int config_host(const struct instance_config *c, json_t **ret, struct err *e)
{
	auto_json json_t *host = json_object();
	int r = check_modes(c, e);

	if (r >= 0 && !iso_find(c->isolation, e))
		r = -EINVAL;
	if (r >= 0 && c->ports.len > 0)
		r = err_set(
			e, EOPNOTSUPP,
			"--publish %s: publishing needs a bridge network, which this hull does not have yet",
			c->ports.item[0]);
	if (r < 0)
		return r;
	put_modes(host, c);
	r = put_lists(host, c, e);
	if (r >= 0)
		r = put_security(host, c, e);
	if (r >= 0)
		r = put_log(host, c, e);
	if (r >= 0)
		r = config_limits(c, host, e);
	if (r >= 0 && c->auto_remove && !str_eq(instance__str(host, "RestartPolicy", "Name"), "no"))
		r = err_set(e, EINVAL, "--restart and --rm exclude each other");
	if (r < 0)
		return r;
	*ret = TAKE_PTR(host);
	return 0;
}
