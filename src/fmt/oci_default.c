/* SPDX-License-Identifier: Apache-2.0 */
/* oci_default.c - the two JSON texts a runtime offers: a configuration to start from, and what it knows */
#include <assert.h>
#include <seccomp.h>
#include <string.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/buf.h"
#include "base/str.h"
#include "fmt/oci_internal.h"

#define STRS(...) ((char *const[]){ __VA_ARGS__ }), ARRAY_SIZE(((char *const[]){ __VA_ARGS__ }))

enum { DEFAULT_NOFILE = 1024, OPTIONS_MAX = 6 };

struct default_mount {
	const char *destination, *type, *source;
	char *options[OPTIONS_MAX]; /* NULL behind the last, unless full */
};

static const struct default_mount default_mounts[] = {
	{ "/proc", "proc", "proc", { 0 } },
	{ "/dev", "tmpfs", "tmpfs", { "nosuid", "strictatime", "mode=755", "size=65536k" } },
	{ "/dev/pts",
	  "devpts",
	  "devpts",
	  { "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5" } },
	{ "/dev/shm", "tmpfs", "shm", { "nosuid", "noexec", "nodev", "mode=1777", "size=65536k" } },
	{ "/dev/mqueue", "mqueue", "mqueue", { "nosuid", "noexec", "nodev" } },
	{ "/sys", "sysfs", "sysfs", { "nosuid", "noexec", "nodev", "ro" } },
	{ "/sys/fs/cgroup", "cgroup", "cgroup", { "nosuid", "noexec", "nodev", "relatime", "ro" } },
};

/* Without root these replace them: no group 5 is mapped, and sysfs is the host's network namespace's. */
static const struct default_mount rootless_mounts[] = {
	{ "/dev/pts",
	  "devpts",
	  "devpts",
	  { "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620" } },
	{ "/sys", "none", "/sys", { "rbind", "nosuid", "noexec", "nodev", "ro" } },
};

static void put_mount(struct json_out *o, const struct default_mount *m)
{
	size_t n = 0;

	while (n < OPTIONS_MAX && m->options[n])
		n++;
	json_put_open(o, NULL, '{');
	json_put_str(o, "destination", m->destination);
	json_put_str(o, "type", m->type);
	json_put_str(o, "source", m->source);
	if (n > 0)
		json_put_strs(o, "options", m->options, n);
	json_put_close(o, '}');
}

static void put_mounts(struct json_out *o, bool rootless)
{
	json_put_open(o, "mounts", '[');
	for (size_t i = 0; i < ARRAY_SIZE(default_mounts); i++) {
		const struct default_mount *m = &default_mounts[i];

		for (size_t k = 0; rootless && k < ARRAY_SIZE(rootless_mounts); k++)
			if (strcmp(rootless_mounts[k].destination, m->destination) == 0)
				m = &rootless_mounts[k];
		put_mount(o, m);
	}
	json_put_close(o, ']');
}

static void put_process(struct json_out *o)
{
	static const char *const sets[] = { "bounding", "effective", "permitted", "ambient" };

	json_put_open(o, "process", '{');
	json_put_bool(o, "terminal", true);
	json_put_open(o, "user", '{');
	json_put_u64(o, "uid", 0);
	json_put_u64(o, "gid", 0);
	json_put_close(o, '}');
	json_put_strs(o, "args", STRS("sh"));
	json_put_strs(
		o, "env",
		STRS("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"));
	json_put_str(o, "cwd", "/");
	json_put_open(o, "capabilities", '{');
	for (size_t i = 0; i < ARRAY_SIZE(sets); i++)
		json_put_strs(o, sets[i], STRS("CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"));
	json_put_close(o, '}');
	json_put_open(o, "rlimits", '[');
	json_put_open(o, NULL, '{');
	json_put_str(o, "type", "RLIMIT_NOFILE");
	json_put_u64(o, "hard", DEFAULT_NOFILE);
	json_put_u64(o, "soft", DEFAULT_NOFILE);
	json_put_close(o, '}');
	json_put_close(o, ']');
	json_put_bool(o, "noNewPrivileges", true);
	json_put_close(o, '}');
}

static void put_mapping(struct json_out *o, const char *key, uint32_t host_id)
{
	json_put_open(o, key, '[');
	json_put_open(o, NULL, '{');
	json_put_u64(o, "containerID", 0);
	json_put_u64(o, "hostID", host_id);
	json_put_u64(o, "size", 1);
	json_put_close(o, '}');
	json_put_close(o, ']');
}

/* put_isolation() - what differs without root: mapped ids, and no resources and network of its own. */
static void put_isolation(struct json_out *o, bool rootless)
{
	static const enum oci_ns with_root[] = { OCI_NS_PID, OCI_NS_NETWORK, OCI_NS_IPC, OCI_NS_UTS,
						 OCI_NS_MOUNT };
	static const enum oci_ns without[] = { OCI_NS_PID, OCI_NS_IPC, OCI_NS_UTS, OCI_NS_MOUNT,
					       OCI_NS_USER };

	if (rootless) {
		put_mapping(o, "uidMappings", geteuid());
		put_mapping(o, "gidMappings", getegid());
	} else {
		json_put_open(o, "resources", '{');
		json_put_open(o, "devices", '[');
		json_put_open(o, NULL, '{');
		json_put_bool(o, "allow", false);
		json_put_str(o, "access", "rwm");
		json_put_close(o, '}');
		json_put_close(o, ']');
		json_put_close(o, '}');
	}
	json_put_open(o, "namespaces", '[');
	static_assert(ARRAY_SIZE(with_root) == ARRAY_SIZE(without), "one loop serves both");
	for (size_t i = 0; i < ARRAY_SIZE(without); i++) {
		json_put_open(o, NULL, '{');
		json_put_str(o, "type", oci_ns_name(rootless ? without[i] : with_root[i]));
		json_put_close(o, '}');
	}
	json_put_close(o, ']');
}

char *oci_spec_default(bool rootless)
{
	struct buf text = { 0 };
	struct json_out o = { .to = &text, .indent = "\t" };

	json_put_open(&o, NULL, '{');
	json_put_str(&o, "ociVersion", OCI_VERSION);
	put_process(&o);
	json_put_open(&o, "root", '{');
	json_put_str(&o, "path", "rootfs");
	json_put_bool(&o, "readonly", true);
	json_put_close(&o, '}');
	json_put_str(&o, "hostname", "hull");
	put_mounts(&o, rootless);
	json_put_open(&o, "linux", '{');
	put_isolation(&o, rootless);
	json_put_strs(&o, "maskedPaths",
		      STRS("/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
			   "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware",
			   "/proc/scsi"));
	json_put_strs(&o, "readonlyPaths",
		      STRS("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"));
	json_put_close(&o, '}');
	json_put_close(&o, '}');
	buf_putc(&text, '\n');
	return buf_take(&text);
}

/* --- features ------------------------------------------------------------------------------------------- */

static void put_names(struct json_out *o, const char *key, const struct oci__names *names)
{
	json_put_open(o, key, '[');
	for (size_t i = 0; i < names->n; i++)
		json_put_str(o, NULL, names->v[i].name);
	json_put_close(o, ']');
}

/* put_enabled() - { "enabled": true }, with more members that are true. */
static void put_enabled(struct json_out *o, const char *key, const char *more, const char *and_more)
{
	json_put_open(o, key, '{');
	json_put_bool(o, "enabled", true);
	if (more)
		json_put_bool(o, more, true);
	if (and_more)
		json_put_bool(o, and_more, true);
	json_put_close(o, '}');
}

static void put_seccomp(struct json_out *o)
{
	json_put_open(o, "seccomp", '{');
	json_put_bool(o, "enabled", true);
	put_names(o, "actions", &oci__seccomp_actions);
	put_names(o, "operators", &oci__seccomp_operators);
	put_names(o, "archs", &oci__seccomp_arches);
	put_names(o, "knownFlags", &oci__seccomp_flags);
	put_names(o, "supportedFlags", &oci__seccomp_flags);
	json_put_close(o, '}');
}

static void put_linux(struct json_out *o)
{
	json_put_open(o, "linux", '{');
	put_names(o, "namespaces", &oci__ns_types);
	json_put_open(o, "capabilities", '[');
	for (int cap = 0; oci_cap_name(cap); cap++)
		json_put_str(o, NULL, oci_cap_name(cap));
	json_put_close(o, ']');
	json_put_open(o, "cgroup", '{');
	json_put_bool(o, "v1", true);
	json_put_bool(o, "v2", true);
	json_put_bool(o, "systemd", true);
	json_put_bool(o, "systemdUser", true);
	json_put_bool(o, "rdma", true);
	json_put_close(o, '}');
	put_seccomp(o);
	put_enabled(o, "apparmor", NULL, NULL);
	put_enabled(o, "selinux", NULL, NULL);
	put_enabled(o, "intelRdt", "schemata", "monitoring");
	json_put_open(o, "memoryPolicy", '{');
	put_names(o, "modes", &oci__memory_modes);
	put_names(o, "flags", &oci__memory_flags);
	json_put_close(o, '}');
	json_put_open(o, "mountExtensions", '{');
	put_enabled(o, "idmap", NULL, NULL);
	json_put_close(o, '}');
	put_enabled(o, "netDevices", NULL, NULL);
	json_put_close(o, '}');
}

char *oci_features(void)
{
	const struct scmp_version *v = seccomp_version();
	struct buf text = { 0 };
	struct json_out o = { .to = &text, .indent = "    " };
	char version[32];

	str_format(version, sizeof(version), "%u.%u.%u", v->major, v->minor, v->micro);
	json_put_open(&o, NULL, '{');
	json_put_str(&o, "ociVersionMin", "1.0.0");
	json_put_str(&o, "ociVersionMax", OCI_VERSION);
	json_put_open(&o, "hooks", '[');
	for (int k = 0; k < OCI_HOOK_KIND_COUNT; k++)
		json_put_str(&o, NULL, oci_hook_name(k));
	json_put_close(&o, ']');
	json_put_open(&o, "mountOptions", '[');
	for (size_t i = 0; oci__mount_option(i); i++)
		json_put_str(&o, NULL, oci__mount_option(i));
	json_put_close(&o, ']');
	put_linux(&o);
	json_put_open(&o, "annotations", '{');
	json_put_str(&o, "io.github.seccomp.libseccomp.version", version);
	json_put_close(&o, '}');
	json_put_close(&o, '}');
	buf_putc(&text, '\n');
	return buf_take(&text);
}
