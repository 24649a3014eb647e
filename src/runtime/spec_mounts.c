/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "fmt/json.h"
#include "runtime/runtime_internal.h"
#include "runtime/spec.h"

/* Docker's own mounts; the options are separated by commas. */
static const struct fixed {
	const char *target, *type, *source, *options;
} fixed[] = {
	{ "/proc", "proc", "proc", "nosuid,noexec,nodev" },
	{ "/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k" },
	{ "/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5" },
	{ "/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro" },
	{ "/sys/fs/cgroup", "cgroup", "cgroup", "ro,nosuid,noexec,nodev" },
	{ "/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev" },
};

static void open_mount(struct json_out *o, const char *target, const char *type, const char *source)
{
	json_put_open(o, NULL, '{');
	json_put_str(o, "destination", target);
	json_put_str(o, "type", type);
	json_put_str(o, "source", source);
	json_put_open(o, "options", '[');
}

static void close_mount(struct json_out *o)
{
	json_put_close(o, ']');
	json_put_close(o, '}');
}

/* put_words() - the comma-separated options, "ro" left out when everything is writable. */
static void put_words(struct json_out *o, const char *options, bool writable)
{
	auto_fini(strv) struct strv word = { 0 };

	strv_split(&word, options, ',');
	for (size_t i = 0; i < word.len; i++)
		if (!writable || !str_eq(word.item[i], "ro"))
			json_put_str(o, NULL, word.item[i]);
}

static bool same_path(const char *a, const char *b)
{
	size_t n = strlen(a);

	return strncmp(a, b, n) == 0 && b[n + strspn(b + n, "/")] == '\0';
}

static bool is_covered(const json_t *mounts, const char *target)
{
	json_t *m;
	size_t i;

	json_array_foreach(mounts, i, m)
	{
		const char *other = instance__str(m, NULL, "Destination");

		if (other && same_path(target, other))
			return true;
	}
	return false;
}

/*
 * put_hosts() - in a user namespace of ours the host's processes and queues cannot be mounted anew: what the host shows is bound
 * Return: whether that was the case
 */
static bool put_hosts(const struct spec_input *in, const struct fixed *m, const json_t *host,
		      struct json_out *o)
{
	const char *pid = instance__str(host, NULL, "PidMode"), *ipc = instance__str(host, NULL, "IpcMode");

	if (!in->rootless || !((str_eq(m->type, "proc") && str_eq(pid, "host")) ||
			       (str_eq(m->type, "mqueue") && str_eq(ipc, "host"))))
		return false;
	if (access(m->target, F_OK) < 0) /* /dev/mqueue is not everywhere */
		return true;
	open_mount(o, m->target, "bind", m->target);
	put_words(o, "rbind,rprivate", false);
	close_mount(o);
	return true;
}

static void put_fixed(const struct spec_input *in, const json_t *mounts, const json_t *host,
		      struct json_out *o)
{
	bool privileged = instance__bool(host, NULL, "Privileged");
	const char *ipc = instance__str(host, NULL, "IpcMode");

	for (size_t i = 0; i < ARRAY_SIZE(fixed); i++) {
		if (is_covered(mounts, fixed[i].target) || put_hosts(in, &fixed[i], host, o))
			continue;
		open_mount(o, fixed[i].target, fixed[i].type, fixed[i].source);
		/* without a map of its own, group 5 does not exist for an unprivileged user */
		put_words(o,
			  in->rootless && str_eq(fixed[i].type, "devpts") ?
				  "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620" :
				  fixed[i].options,
			  privileged);
		close_mount(o);
	}
	if (str_eq(ipc, "none") || is_covered(mounts, "/dev/shm"))
		return;
	if (str_eq(ipc, "host") || in->pid_of_ipc > 0) {
		char path[48];

		str_format(path, sizeof(path), "/proc/%d/root/dev/shm", in->pid_of_ipc);
		open_mount(o, "/dev/shm", "bind", in->pid_of_ipc > 0 ? path : "/dev/shm");
		put_words(o, "rbind,rprivate", false);
	} else {
		char size[32];

		open_mount(o, "/dev/shm", "tmpfs", "shm");
		put_words(o, "nosuid,noexec,nodev,mode=1777", false);
		str_format(size, sizeof(size), "size=%lld", (long long)instance__int(host, NULL, "ShmSize"));
		json_put_str(o, NULL, size);
	}
	close_mount(o);
}

/* put_names() - hosts, hostname and resolv.conf, files of the instance's directory. */
static int put_names(const struct spec_input *in, const json_t *mounts, struct json_out *o, struct err *e)
{
	static const char *const name[] = { "resolv.conf", "hostname", "hosts" };

	for (size_t i = 0; i < ARRAY_SIZE(name) && in->dir; i++) {
		auto_free char *source = str_printf("%s/%s", in->dir, name[i]);
		char target[24];

		if (!source)
			return err_sys(e, ENOMEM, "mounts");
		str_format(target, sizeof(target), "/etc/%s", name[i]);
		if (is_covered(mounts, target))
			continue;
		open_mount(o, target, "bind", source);
		put_words(o, "rbind,rprivate,ro",
			  !instance__bool(in->config, "HostConfig", "ReadonlyRootfs"));
		close_mount(o);
	}
	return 0;
}

static size_t depth(const json_t *m)
{
	const char *s = instance__str(m, NULL, "Destination");
	size_t n = 0;

	for (; s && *s; s++)
		n += *s == '/' && s[1] && s[1] != '/';
	return n;
}

static int by_depth(const void *a, const void *b)
{
	size_t da = depth(*(json_t *const *)a), db = depth(*(json_t *const *)b);

	return da < db ? -1 : da > db;
}

static void put_asked(const json_t *m, struct json_out *o)
{
	const char *source = instance__str(m, NULL, "Source");
	bool tmpfs = str_eq(instance__str(m, NULL, "Type"), "tmpfs");
	json_t *one;
	size_t i;

	open_mount(o, instance__str(m, NULL, "Destination"), tmpfs ? "tmpfs" : "bind",
		   tmpfs ? "tmpfs" : source);
	json_array_foreach(json_object_get(m, "Options"), i, one)
		json_put_str(o, NULL, json_string_value(one));
	close_mount(o);
}

int spec__mounts(const struct spec_input *in, struct json_out *o, struct err *e)
{
	const json_t *host = json_object_get(in->config, "HostConfig"),
		     *mounts = json_object_get(in->config, "Mounts");
	size_t n = json_array_size(mounts);
	auto_free json_t **sorted = calloc(n + 1, sizeof(json_t *));
	int r;

	if (!sorted)
		return err_sys(e, ENOMEM, "mounts");
	json_put_open(o, "mounts", '[');
	put_fixed(in, mounts, host, o);
	r = put_names(in, mounts, o, e);
	for (size_t i = 0; i < n; i++)
		sorted[i] = json_array_get(mounts, i);
	qsort(sorted, n, sizeof(*sorted), by_depth); /* what lies below another mount comes after it */
	for (size_t i = 0; i < n; i++)
		put_asked(sorted[i], o);
	json_put_close(o, ']');
	return r;
}
