/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/buf.h"
#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "fmt/json.h"
#include "runtime/runtime_internal.h"
#include "runtime/spec.h"

enum { CPU_PERIOD_US = 100000, DEVICE_DEPTH_MAX = 8 };

static void put_number(struct json_out *o, const char *key, int64_t n)
{
	if (n)
		json_put_i64(o, key, n);
}

static void put_memory(const json_t *host, bool update, struct json_out *o)
{
	int64_t limit = instance__int(host, NULL, "Memory"), swap = instance__int(host, NULL, "MemorySwap");
	const json_t *swappiness = json_object_get(host, "MemorySwappiness");

	json_put_open(o, "memory", '{');
	put_number(o, "limit", limit);
	put_number(o, "reservation", instance__int(host, NULL, "MemoryReservation"));
	if (!swap && limit > 0 && !update && limit <= INT64_MAX / 2) /* Docker: as much swap as memory */
		swap = 2 * limit;
	put_number(o, "swap", swap);
	if (json_is_integer(swappiness))
		json_put_i64(o, "swappiness", json_integer_value(swappiness));
	if (instance__bool(host, NULL, "OomKillDisable"))
		json_put_bool(o, "disableOOMKiller", true);
	json_put_close(o, '}');
}

static void put_cpu(const json_t *host, struct json_out *o)
{
	int64_t nano = instance__int(host, NULL, "NanoCpus");
	const char *cpus = instance__str(host, NULL, "CpusetCpus"),
		   *mems = instance__str(host, NULL, "CpusetMems");

	json_put_open(o, "cpu", '{');
	put_number(o, "shares", instance__int(host, NULL, "CpuShares"));
	put_number(o, "quota",
		   nano ? nano / (NSEC_PER_SEC / CPU_PERIOD_US) : instance__int(host, NULL, "CpuQuota"));
	put_number(o, "period", nano ? CPU_PERIOD_US : instance__int(host, NULL, "CpuPeriod"));
	if (cpus)
		json_put_str(o, "cpus", cpus);
	if (mems)
		json_put_str(o, "mems", mems);
	json_put_close(o, '}');
}

/* put_rates() - {Path, Rate} of block devices as numbers. */
static int put_rates(const json_t *host, const char *from, const char *key, const char *member,
		     struct json_out *o, struct err *e)
{
	const json_t *list = json_object_get(host, from);
	bool weight = str_eq(member, "weight");
	json_t *one;
	size_t i;

	if (json_array_size(list) == 0)
		return 0;
	json_put_open(o, key, '[');
	json_array_foreach(list, i, one)
	{
		const char *path = instance__str(one, NULL, "Path");
		struct stat st;

		if (!path || stat(path, &st) < 0)
			return err_sys(e, path ? errno : EINVAL, "block device '%s'", path ? path : "");
		if (!S_ISBLK(st.st_mode))
			return err_set(e, ENOTBLK, "'%s' is not a block device", path);
		json_put_open(o, NULL, '{');
		json_put_u64(o, "major", major(st.st_rdev));
		json_put_u64(o, "minor", minor(st.st_rdev));
		json_put_i64(o, member, instance__int(one, NULL, weight ? "Weight" : "Rate"));
		json_put_close(o, '}');
	}
	json_put_close(o, ']');
	return 0;
}

static int put_block_io(const json_t *host, struct json_out *o, struct err *e)
{
	static const struct {
		const char *from, *key, *member;
	} kind[] = {
		{ "BlkioWeightDevice", "weightDevice", "weight" },
		{ "BlkioDeviceReadBps", "throttleReadBpsDevice", "rate" },
		{ "BlkioDeviceWriteBps", "throttleWriteBpsDevice", "rate" },
		{ "BlkioDeviceReadIOps", "throttleReadIOPSDevice", "rate" },
		{ "BlkioDeviceWriteIOps", "throttleWriteIOPSDevice", "rate" },
	};
	int r = 0;

	json_put_open(o, "blockIO", '{');
	put_number(o, "weight", instance__int(host, NULL, "BlkioWeight"));
	for (size_t i = 0; i < ARRAY_SIZE(kind) && r >= 0; i++)
		r = put_rates(host, kind[i].from, kind[i].key, kind[i].member, o, e);
	json_put_close(o, '}');
	return r;
}

int spec__resources(const json_t *host, bool update, struct json_out *o, struct err *e)
{
	int64_t pids = instance__int(host, NULL, "PidsLimit");
	int r;

	json_put_open(o, update ? NULL : "resources", '{');
	r = update ? 0 : spec__device_rules(host, o, e);
	put_memory(host, update, o);
	put_cpu(host, o);
	if (pids) {
		json_put_open(o, "pids", '{');
		json_put_i64(o, "limit", pids);
		json_put_close(o, '}');
	}
	if (r >= 0)
		r = put_block_io(host, o, e);
	json_put_close(o, '}');
	return r;
}

int spec_resources(const json_t *host, struct buf *json, struct err *e)
{
	struct json_out o = { .to = json };
	int r = spec__resources(host, true, &o, e);

	if (r < 0)
		return r;
	r = buf_finish(json);
	return r < 0 ? err_sys(e, -r, "limits") : 0;
}

/* --- devices --------------------------------------------- */

static void put_rule(struct json_out *o, bool allow, char type, int64_t dev_major, int64_t dev_minor,
		     const char *access)
{
	char kind[2] = { type, '\0' };

	json_put_open(o, NULL, '{');
	json_put_bool(o, "allow", allow);
	json_put_str(o, "type", kind);
	if (dev_major >= 0)
		json_put_i64(o, "major", dev_major);
	if (dev_minor >= 0)
		json_put_i64(o, "minor", dev_minor);
	json_put_str(o, "access", access);
	json_put_close(o, '}');
}

/* put_written_rule() - "c 189:* rwm" as --device-cgroup-rule has it. */
static int put_written_rule(struct json_out *o, const char *text, struct err *e)
{
	char type, major_text[12], minor_text[12], access[4];
	uint64_t n[2] = { 0 };
	int end = 0;

	if (sscanf(text, " %c %11[0-9*]:%11[0-9*] %3[rwm] %n", &type, major_text, minor_text, access, &end) <
		    4 ||
	    !end || text[end] || !strchr("abc", type) ||
	    (!str_eq(major_text, "*") && str_to_u64(major_text, &n[0]) < 0) ||
	    (!str_eq(minor_text, "*") && str_to_u64(minor_text, &n[1]) < 0))
		return err_set(e, EINVAL,
			       "invalid argument \"%s\" for --device-cgroup-rule: 'c 1:3 rwm' is wanted",
			       text);
	put_rule(o, true, type, *major_text == '*' ? -1 : (int64_t)n[0],
		 *minor_text == '*' ? -1 : (int64_t)n[1], access);
	return 0;
}

/* each_device() - @path, or when it is a directory the devices in it. */
struct device_walk {
	struct json_out *o;
	bool rules; /* rules or nodes */
	const char *access;
	bool quiet; /* what cannot be looked at is left out (--privileged) */
};

static int each_device(const struct device_walk *w, const char *path, const char *inside, int level,
		       struct err *e);

static int each_in_dir(const struct device_walk *w, const char *path, const char *inside, int level,
		       struct err *e)
{
	static const char *const skip[] = { ".",    "..",          "pts",   "shm",     "fd",   "mqueue",
					    ".lxc", ".lxd-mounts", ".udev", "console", "ptmx", "core" };
	DIR *d = level < DEVICE_DEPTH_MAX ? opendir(path) : NULL;
	struct dirent *de;
	int r = 0;

	while (d && r >= 0 && (de = readdir(d))) {
		auto_free char *sub = str_printf("%s/%s", path, de->d_name);
		auto_free char *sub_inside = str_printf("%s/%s", inside, de->d_name);
		bool skipped = de->d_type == DT_LNK;

		for (size_t i = 0; i < ARRAY_SIZE(skip); i++)
			skipped |= str_eq(de->d_name, skip[i]);
		if (!skipped)
			r = sub && sub_inside ? each_device(w, sub, sub_inside, level + 1, e) :
						err_sys(e, ENOMEM, "devices");
	}
	if (d)
		closedir(d);
	return r;
}

static int each_device(const struct device_walk *w, const char *path, const char *inside, int level,
		       struct err *e)
{
	struct json_out *o = w->o;
	struct stat st;
	char type;

	if (stat(path, &st) < 0)
		return w->quiet || level > 0 ? 0 : err_sys(e, errno, "--device %s", path);
	if (S_ISDIR(st.st_mode))
		return each_in_dir(w, path, inside, level, e);
	if (!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode))
		return 0;
	type = S_ISCHR(st.st_mode) ? 'c' : 'b';
	if (w->rules) {
		put_rule(o, true, type, major(st.st_rdev), minor(st.st_rdev), w->access);
		return 0;
	}
	json_put_open(o, NULL, '{');
	json_put_str(o, "path", inside);
	json_put_str(o, "type", (char[]){ type, '\0' });
	json_put_u64(o, "major", major(st.st_rdev));
	json_put_u64(o, "minor", minor(st.st_rdev));
	json_put_u64(o, "fileMode", st.st_mode & 07777);
	json_put_u64(o, "uid", st.st_uid);
	json_put_u64(o, "gid", st.st_gid);
	json_put_close(o, '}');
	return 0;
}

static int each_given(const json_t *host, struct json_out *o, bool rules, struct err *e)
{
	json_t *one;
	size_t i;
	int r = 0;

	json_array_foreach(json_object_get(host, "Devices"), i, one)
	{
		struct device_walk w = { .o = o,
					 .rules = rules,
					 .access = instance__str(one, NULL, "CgroupPermissions") };

		r = each_device(&w, instance__str(one, NULL, "PathOnHost"),
				instance__str(one, NULL, "PathInContainer"), 0, e);
		if (r < 0)
			break;
	}
	return r;
}

int spec__device_rules(const json_t *host, struct json_out *o, struct err *e)
{
	static const struct {
		int major, minor;
	} usual[] = {
		{ 1, 5 }, { 1, 3 }, { 1, 9 },
		{ 1, 8 }, { 5, 0 }, { 5, 1 }, /* zero null urandom random tty console */
	};
	json_t *one;
	size_t i;
	int r;

	json_put_open(o, "devices", '[');
	if (instance__bool(host, NULL, "Privileged")) {
		put_rule(o, true, 'a', -1, -1, "rwm");
		json_put_close(o, ']');
		return 0;
	}
	put_rule(o, false, 'a', -1, -1, "rwm");
	for (i = 0; i < ARRAY_SIZE(usual); i++)
		put_rule(o, true, 'c', usual[i].major, usual[i].minor, "rwm");
	put_rule(o, false, 'c', 10, 229, "rwm"); /* fuse */
	r = each_given(host, o, true, e);
	json_array_foreach(json_object_get(host, "DeviceCgroupRules"), i, one) if (r >= 0) r =
		put_written_rule(o, json_string_value(one), e);
	json_put_close(o, ']');
	return r;
}

int spec__devices(const json_t *host, struct json_out *o, struct err *e)
{
	struct device_walk all = { .o = o, .access = "rwm", .quiet = true };
	int r;

	json_put_open(o, "devices", '[');
	r = instance__bool(host, NULL, "Privileged") ? each_device(&all, "/dev", "/dev", 0, e) :
						       each_given(host, o, false, e);
	json_put_close(o, ']');
	return r;
}
