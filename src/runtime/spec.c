/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/spec.h"

#include <linux/magic.h>
#include <sys/vfs.h>

#include "base/buf.h"
#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "fmt/json.h"
#include "fmt/oci.h"
#include "runtime/runtime_internal.h"
#include "runtime/user.h"

enum { CPUS_MASKED_MAX = 1024 };

static const char *const masked[] = {
	"/proc/acpi",
	"/proc/asound",
	"/proc/interrupts",
	"/proc/kcore",
	"/proc/keys",
	"/proc/latency_stats",
	"/proc/sched_debug",
	"/proc/scsi",
	"/proc/timer_list",
	"/proc/timer_stats",
	"/sys/devices/virtual/powercap",
	"/sys/firmware",
};

static const char *const read_only[] = { "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
					 "/proc/sysrq-trigger" };

/* opt_is() - is one of the --security-opt values this one? */
static bool opt_is(const json_t *host, const char *word)
{
	json_t *one;
	size_t i;

	json_array_foreach(json_object_get(host, "SecurityOpt"), i,
			   one) if (str_eq(json_string_value(one), word)) return true;
	return false;
}

/* put_masked() - Docker's list, and what tells the temperature of each processor. */
static void put_masked(struct json_out *o)
{
	json_put_open(o, "maskedPaths", '[');
	for (size_t i = 0; i < ARRAY_SIZE(masked); i++)
		json_put_str(o, NULL, masked[i]);
	for (int i = 0; i < CPUS_MASKED_MAX; i++) {
		char path[80];

		str_format(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/thermal_throttle", i);
		if (access(path, F_OK) < 0)
			break;
		json_put_str(o, NULL, path);
	}
	json_put_close(o, ']');
	json_put_strs(o, "readonlyPaths", (char *const *)(uintptr_t)read_only, ARRAY_SIZE(read_only));
}

static void put_ns(struct json_out *o, const char *type, int pid, const char *file)
{
	char path[48];

	json_put_open(o, NULL, '{');
	json_put_str(o, "type", type);
	if (pid > 0) {
		str_format(path, sizeof(path), "/proc/%d/ns/%s", pid, file);
		json_put_str(o, "path", path);
	}
	json_put_close(o, '}');
}

/* cgroup_private() - Docker's default: the container's own view where cgroup v2 alone is mounted. */
static bool cgroup_private(const char *mode)
{
	struct statfs fs;

	if (mode)
		return str_eq(mode, "private");
	return statfs("/sys/fs/cgroup", &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC;
}

static void put_namespaces(const struct spec_input *in, const json_t *host, struct json_out *o)
{
	const char *network = instance__str(host, NULL, "NetworkMode"),
		   *pid = instance__str(host, NULL, "PidMode");
	const char *ipc = instance__str(host, NULL, "IpcMode"), *uts = instance__str(host, NULL, "UTSMode");

	json_put_open(o, "namespaces", '[');
	put_ns(o, "mount", 0, NULL);
	if (!str_eq(network, "host"))
		put_ns(o, "network", in->pid_of_network, "net");
	if (!str_eq(uts, "host"))
		put_ns(o, "uts", 0, NULL);
	if (!str_eq(pid, "host"))
		put_ns(o, "pid", in->pid_of_pid, "pid");
	if (!str_eq(ipc, "host"))
		put_ns(o, "ipc", in->pid_of_ipc, "ipc");
	if (cgroup_private(instance__str(host, NULL, "CgroupnsMode")))
		put_ns(o, "cgroup", 0, NULL);
	json_put_close(o, ']');
}

static bool sysctl_has_ns(const char *key, const json_t *host)
{
	if (str_starts(key, "net."))
		return !str_eq(instance__str(host, NULL, "NetworkMode"), "host");
	return true;
}

/* put_sysctls() - Docker lets unprivileged workloads ping and bind low ports in a network of their own. */
static int put_sysctls(const struct spec_input *in, const json_t *host, struct json_out *o, struct err *e)
{
	json_t *own = json_object_get(host, "Sysctls");
	const char *network = instance__str(host, NULL, "NetworkMode");
	bool defaults = !str_eq(network, "host") && in->pid_of_network == 0;

	json_put_open(o, "sysctl", '{');
	if (defaults && !json_object_get(own, "net.ipv4.ip_unprivileged_port_start"))
		json_put_str(o, "net.ipv4.ip_unprivileged_port_start", "0");
	if (defaults && !in->rootless && !json_object_get(own, "net.ipv4.ping_group_range"))
		json_put_str(o, "net.ipv4.ping_group_range", "0 2147483647");
	for (void *i = json_object_iter(own); i; i = json_object_iter_next(own, i)) {
		const char *key = json_object_iter_key(i);

		if (!sysctl_has_ns(key, host))
			return err_set(e, EINVAL, "--sysctl %s: not with --network host", key);
		json_put_str(o, key, json_string_value(json_object_iter_value(i)));
	}
	json_put_close(o, '}');
	return 0;
}

static void put_cgroup(const struct spec_input *in, const json_t *host, struct json_out *o)
{
	const char *parent = instance__str(host, NULL, "CgroupParent");
	char path[512];

	if (!parent && in->rootless) /* below our own group, which may have been delegated to us */
		str_format(path, sizeof(path), "hull/%s", in->id);
	else
		str_format(path, sizeof(path), "%s%s/%s", parent && *parent == '/' ? "" : "/",
			   parent ? parent : "hull", in->id);
	json_put_str(o, "cgroupsPath", path);
}

/* put_propagation() - a shared or slave mount needs a root that lets it through. */
static void put_propagation(const struct spec_input *in, struct json_out *o)
{
	bool shared = false, slave = false;
	json_t *m;
	size_t i;

	json_array_foreach(json_object_get(in->config, "Mounts"), i, m)
	{
		const char *p = instance__str(m, NULL, "Propagation");

		shared |= str_eq(p, "shared") || str_eq(p, "rshared");
		slave |= str_eq(p, "slave") || str_eq(p, "rslave");
	}
	if (shared || slave)
		json_put_str(o, "rootfsPropagation", shared ? "shared" : "slave");
}

static int put_linux(const struct spec_input *in, const json_t *host, struct json_out *o, struct err *e)
{
	bool privileged = instance__bool(host, NULL, "Privileged");
	int r;

	json_put_open(o, "linux", '{');
	put_namespaces(in, host, o);
	r = put_sysctls(in, host, o, e);
	put_cgroup(in, host, o);
	put_propagation(in, o);
	if (r >= 0)
		r = spec__resources(host, false, o, e);
	if (r >= 0)
		r = spec__devices(host, o, e);
	if (!privileged && !opt_is(host, "systempaths=unconfined"))
		put_masked(o);
	if (!privileged && r >= 0)
		r = spec__seccomp(host, spec__caps(host), o, e);
	json_put_close(o, '}');
	return r;
}

int spec__seccomp(const json_t *host, uint64_t caps, struct json_out *o, struct err *e)
{
	auto_json json_t *profile = NULL;
	auto_json json_t *rules = NULL;
	auto_fini(buf) struct buf text = { 0 };
	const char *given = NULL;
	json_t *one;
	size_t i;
	int r;

	json_array_foreach(json_object_get(host, "SecurityOpt"), i, one)
	{
		const char *value =
			json_string_value(one) ? str_after(json_string_value(one), "seccomp=") : NULL;

		given = value ? value : given;
	}
	if (str_eq(given, "unconfined"))
		return 0;
	if (!given || str_eq(given, "builtin")) {
		spec_seccomp_default(o, caps);
		return 0;
	}
	r = json_tree_parse(&profile, given, strlen(given), e);
	if (r >= 0)
		r = spec_seccomp_convert(profile, caps, &rules, e);
	if (r < 0)
		return err_wrap(e, r, "--security-opt seccomp");
	json_tree_text(&text, rules, 0);
	json_put_raw(o, "seccomp", buf_str(&text));
	return 0;
}

static void put_annotations(const struct spec_input *in, const json_t *host, struct json_out *o)
{
	json_t *own = json_object_get(in->config, "Annotations");

	json_put_open(o, "annotations", '{');
	for (void *i = json_object_iter(own); i; i = json_object_iter_next(own, i))
		if (!str_starts(json_object_iter_key(i), "hull."))
			json_put_str(o, json_object_iter_key(i),
				     json_string_value(json_object_iter_value(i)));
	if (instance__bool(host, NULL, "Init"))
		json_put_str(o, "hull.init", "1");
	json_put_close(o, '}');
}

int spec_make(const struct spec_input *in, struct buf *json, struct err *e)
{
	const json_t *host = json_object_get(in->config, "HostConfig");
	const char *hostname = instance__str(in->config, "Config", "Hostname");
	const char *domain = instance__str(in->config, "Config", "Domainname");
	struct json_out out = { .to = json }, *o = &out;
	int r;

	json_put_open(o, NULL, '{');
	json_put_str(o, "ociVersion", OCI_VERSION);
	r = spec__process(in, NULL, o, e);
	json_put_open(o, "root", '{');
	json_put_str(o, "path", "rootfs");
	json_put_bool(o, "readonly", instance__bool(host, NULL, "ReadonlyRootfs"));
	json_put_close(o, '}');
	if (!str_eq(instance__str(host, NULL, "UTSMode"), "host")) {
		if (hostname)
			json_put_str(o, "hostname", hostname);
		if (domain)
			json_put_str(o, "domainname", domain);
	}
	put_annotations(in, host, o);
	if (r >= 0)
		r = spec__mounts(in, o, e);
	if (r >= 0)
		r = put_linux(in, host, o, e);
	json_put_close(o, '}');
	if (r < 0)
		return r;
	r = buf_finish(json);
	return r < 0 ? err_sys(e, -r, "specification") : 0;
}
