/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/oci_internal.h"

#include <errno.h>
#include <linux/mempolicy.h>
#include <net/if.h>
#include <string.h>
#include <sys/stat.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/str.h"

enum { DEVICE_MAJOR_MAX = 4095, DEVICE_MINOR_MAX = 0xfffff, PERMISSIONS_MAX = 07777, NSEC_MAX = 999999999 };

static void read_namespaces(const struct json_at *at, struct oci_linux *l)
{
	struct json_at list = oci__list(at, "namespaces");

	for (size_t i = 0; i < json_count(&list); i++) {
		struct json_at item = json_item(&list, i), obj = json_read_obj(&item, NULL);
		struct oci_namespace *ns = &l->ns[oci__name(&obj, "type", &oci__ns_types)];

		/* Spec: "duplicated namespaces with same type, the runtime MUST generate an error" */
		if (ns->present)
			json_fail(&obj, "type", EINVAL, "'%s' is there twice", json_read_str(&obj, "type"));
		ns->present = true;
		ns->path = oci__path(&obj, "path");
	}
}

static void read_time_offset(const struct json_at *at, struct oci_linux *l)
{
	struct json_at obj = json_read_obj(at, NULL);
	struct oci_time_offset *o = str_eq(at->key, "boottime")  ? &l->boottime :
				    str_eq(at->key, "monotonic") ? &l->monotonic :
								   NULL;

	if (!o) {
		json_fail(at, NULL, EINVAL, "unknown clock, want boottime or monotonic");
		return;
	}
	o->set = json_has(&obj, NULL);
	o->secs = json_read_i64(&obj, "secs", INT64_MIN, INT64_MAX);
	o->nanosecs = (uint32_t)json_read_u64(&obj, "nanosecs", NSEC_MAX, 0);
}

static void read_time_offsets(const struct json_at *at, struct oci_linux *l)
{
	struct json_at map = oci__map(at, "timeOffsets");

	for (size_t i = 0; i < json_count(&map); i++) {
		struct json_at item = json_item(&map, i);

		read_time_offset(&item, l);
	}
}

static void read_device(const struct json_at *at, struct oci_device *d)
{
	static const struct json_name types[] = { { "c", 'c' }, { "b", 'b' }, { "u", 'u' }, { "p", 'p' } };
	struct json_at obj = json_read_obj(at, NULL);

	json_need(&obj, "path");
	json_need(&obj, "type");
	d->path = oci__path(&obj, "path");
	if (!d->path)
		json_fail(&obj, "path", EINVAL, "got '', want an absolute path");
	d->type = (char)json_read_name(&obj, "type", types, ARRAY_SIZE(types), 0);
	if (d->type != 'p' && json_need(&obj, "major") && json_need(&obj, "minor")) {
		d->major = json_read_i64(&obj, "major", 0, DEVICE_MAJOR_MAX);
		d->minor = json_read_i64(&obj, "minor", 0, DEVICE_MINOR_MAX);
	}
	d->mode = oci__u64(&obj, "fileMode", UINT32_MAX);
	d->mode.v &= ~(uint64_t)S_IFMT; /* Docker leaves the type in */
	if (d->mode.v > PERMISSIONS_MAX)
		json_fail(&obj, "fileMode", EINVAL, "got %llu, want permission bits",
			  (unsigned long long)d->mode.v);
	d->uid = (uint32_t)json_read_u64(&obj, "uid", UINT32_MAX, 0);
	d->gid = (uint32_t)json_read_u64(&obj, "gid", UINT32_MAX, 0);
}

static void read_devices(const struct json_at *at, struct oci_linux *l)
{
	struct json_at list = oci__list(at, "devices");

	l->devices = json_alloc(at, json_count(&list), sizeof(*l->devices));
	for (size_t i = 0; i < json_count(&list); i++) {
		struct json_at item = json_item(&list, i);

		read_device(&item, &l->devices[l->n_devices++]);
	}
}

/* ifname_valid() - as the kernel's dev_valid_name(). */
static bool ifname_valid(const char *s)
{
	return *s && strlen(s) < IF_NAMESIZE && !str_eq(s, ".") && !str_eq(s, "..") &&
	       !strpbrk(s, "/: \t\n\v\f\r");
}

static void read_net_devices(const struct json_at *at, struct oci_linux *l)
{
	struct json_at map = oci__map(at, "netDevices");

	l->net_devices = json_alloc(at, json_count(&map), sizeof(*l->net_devices));
	for (size_t i = 0; i < json_count(&map); i++) {
		struct json_at item = json_item(&map, i), obj = json_read_obj(&item, NULL);
		const char *name = oci__str(&obj, "name");

		if (!ifname_valid(item.key) || (name && !ifname_valid(name)))
			json_fail(&item, NULL, EINVAL, "'%.32s' is no name of a network device",
				  name && ifname_valid(item.key) ? name : item.key);
		else
			l->net_devices[l->n_net_devices++] =
				(struct oci_net_device){ .host_name = item.key, .name = name };
	}
}

static const char *read_schema(const struct json_at *at, const char *key, const char *start)
{
	const char *s = oci__str(at, key);

	if (s && (strchr(s, '\n') || !str_starts(s, start)))
		json_fail(at, key, EINVAL, "got '%.64s', want one line that begins with '%s'", s, start);
	return s;
}

static const struct oci_rdt *read_rdt(const struct json_at *at)
{
	struct json_at obj = json_read_obj(at, "intelRdt");
	struct oci_rdt *rdt = json_has(&obj, NULL) ? json_alloc(at, 1, sizeof(*rdt)) : NULL;

	if (!rdt)
		return NULL;
	rdt->clos_id = oci__str(&obj, "closID");
	if (rdt->clos_id && (str_eq(rdt->clos_id, ".") || str_eq(rdt->clos_id, "..") ||
			     (strchr(rdt->clos_id, '/') && !str_eq(rdt->clos_id, "/"))))
		json_fail(&obj, "closID", EINVAL, "got '%.64s', want one path component or /", rdt->clos_id);
	rdt->l3_cache_schema = read_schema(&obj, "l3CacheSchema", "");
	rdt->mem_bw_schema = read_schema(&obj, "memBwSchema", "MB:");
	rdt->schemata = oci__strs(&obj, "schemata");
	for (size_t i = 0; i < rdt->schemata.n; i++)
		if (strchr(rdt->schemata.v[i], '\n'))
			json_fail(&obj, "schemata", EINVAL, "entry %zu holds a line end", i);
	rdt->enable_cmt = json_read_bool(&obj, "enableCMT", false); /* 1.1 to 1.2 */
	rdt->enable_mbm = json_read_bool(&obj, "enableMBM", false);
	rdt->enable_monitoring = json_read_bool(&obj, "enableMonitoring", false);
	return rdt;
}

static const struct oci_memory_policy *read_memory_policy(const struct json_at *at)
{
	struct json_at obj = json_read_obj(at, "memoryPolicy");
	struct oci_memory_policy *mp = json_has(&obj, NULL) ? json_alloc(at, 1, sizeof(*mp)) : NULL;

	if (!mp)
		return NULL;
	mp->mode = (int)oci__name(&obj, "mode", &oci__memory_modes);
	mp->flags = (unsigned)oci__flags(&obj, "flags", &oci__memory_flags);
	mp->nodes = oci__cpus(&obj, "nodes");
	if (mp->nodes && (mp->mode == MPOL_DEFAULT || mp->mode == MPOL_LOCAL))
		json_fail(&obj, "nodes", EINVAL, "given, but mode %s takes none",
			  json_read_str(&obj, "mode"));
	if (!mp->nodes && mp->mode != MPOL_DEFAULT && mp->mode != MPOL_LOCAL && mp->mode != MPOL_PREFERRED)
		json_fail(&obj, "nodes", EINVAL, "missing: mode %s needs at least one",
			  json_read_str(&obj, "mode"));
	return mp;
}

static const struct oci_personality *read_personality(const struct json_at *at)
{
	struct json_at obj = json_read_obj(at, "personality"), flags = oci__list(&obj, "flags");
	struct oci_personality *p = json_has(&obj, NULL) ? json_alloc(at, 1, sizeof(*p)) : NULL;

	if (!p)
		return NULL;
	p->domain = (unsigned long)oci__name(&obj, "domain", &oci__personalities);
	if (json_count(&flags) > 0)
		json_fail(&obj, "flags", ENOTSUP, "no flag is supported");
	return p;
}

/* check_user() - mappings and the user namespace go together. */
static void check_user(const struct json_at *at, const struct oci_linux *l)
{
	const struct oci_namespace *user = &l->ns[OCI_NS_USER];

	if (!user->present && (l->uid_mappings.n || l->gid_mappings.n))
		json_fail(at, l->uid_mappings.n ? "uidMappings" : "gidMappings", EINVAL,
			  "given without a user namespace");
	if (user->present && !user->path && (!l->uid_mappings.n || !l->gid_mappings.n))
		json_fail(at, l->uid_mappings.n ? "gidMappings" : "uidMappings", EINVAL,
			  "missing: a new user namespace needs them");
}

static void check_namespaces(const struct json_at *at, const struct oci_linux *l)
{
	const struct oci_namespace *time = &l->ns[OCI_NS_TIME];
	bool offsets = l->boottime.set || l->monotonic.set;

	check_user(at, l);
	if (offsets && !time->present)
		json_fail(at, "timeOffsets", EINVAL, "given without a time namespace");
	if (offsets && time->path)
		json_fail(at, "timeOffsets", EINVAL, "given, but the time namespace is joined by path");
	if (l->n_net_devices && !l->ns[OCI_NS_NETWORK].present)
		json_fail(at, "netDevices", EINVAL, "given without a network namespace");
	if ((l->masked_paths.n || l->readonly_paths.n) && !l->ns[OCI_NS_MOUNT].present)
		json_fail(at, l->masked_paths.n ? "maskedPaths" : "readonlyPaths", EINVAL,
			  "given without a mount namespace");
}

void oci__linux(const struct json_at *at, struct oci_linux *l)
{
	struct json_at resources = json_read_obj(at, "resources");

	read_namespaces(at, l);
	l->uid_mappings = oci__idmaps(at, "uidMappings");
	l->gid_mappings = oci__idmaps(at, "gidMappings");
	read_time_offsets(at, l);
	read_devices(at, l);
	read_net_devices(at, l);
	l->cgroups_path = oci__str(at, "cgroupsPath");
	l->has_resources = json_has(&resources, NULL);
	oci__resources(&resources, &l->resources);
	l->rdt = read_rdt(at);
	l->memory_policy = read_memory_policy(at);
	l->sysctl = oci__kvs(at, "sysctl");
	l->seccomp = oci__seccomp(at);
	if (oci__str(at, "rootfsPropagation"))
		l->rootfs_propagation = oci__name(at, "rootfsPropagation", &oci__propagations);
	l->masked_paths = oci__paths(at, "maskedPaths");
	l->readonly_paths = oci__paths(at, "readonlyPaths");
	l->mount_label = oci__str(at, "mountLabel");
	l->personality = read_personality(at);
	check_namespaces(at, l);
}
