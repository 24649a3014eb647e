/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup_limits.c - each limit of linux.resources to the hierarchy that has its controller
 *
 * v1 comes first where both could: on a hybrid host it is the one in use. A limit that neither has is refused
 * with the name of its field; so is every field one version of cgroups has no notion of.
 */
#include "container/cgroup_internal.h"

#include <fcntl.h>
#include <stdarg.h>

#include "base/bug.h"
#include "base/guard.h"
#include "base/str.h"
#include "sys/file.h"

/* The first field of a controller that @r asks for, or NULL. */
typedef const char *(*asked_fn)(const struct oci_resources *r);

static const char *asked_cpu(const struct oci_resources *r)
{
	return r->cpu.shares.v           ? "cpu.shares" :
	       r->cpu.quota.v            ? "cpu.quota" :
	       r->cpu.period.v           ? "cpu.period" :
	       r->cpu.burst.set          ? "cpu.burst" :
	       r->cpu.realtime_period.v  ? "cpu.realtimePeriod" :
	       r->cpu.realtime_runtime.v ? "cpu.realtimeRuntime" :
	       r->cpu.idle.set           ? "cpu.idle" :
					   NULL;
}

static const char *asked_cpuset(const struct oci_resources *r)
{
	return r->cpu.cpus && *r->cpu.cpus ? "cpu.cpus" : r->cpu.mems && *r->cpu.mems ? "cpu.mems" : NULL;
}

static const char *asked_memory(const struct oci_resources *r)
{
	return r->memory.limit.v                                                ? "memory.limit" :
	       r->memory.reservation.v                                          ? "memory.reservation" :
	       r->memory.swap.v                                                 ? "memory.swap" :
	       r->memory.kernel_tcp.v                                           ? "memory.kernelTCP" :
	       r->memory.swappiness.set && r->memory.swappiness.v != UINT64_MAX ? "memory.swappiness" :
	       r->memory.disable_oom_killer                                     ? "memory.disableOOMKiller" :
	       r->memory.use_hierarchy                                          ? "memory.useHierarchy" :
										  NULL;
}

static const char *asked_pids(const struct oci_resources *r)
{
	return r->pids_limit.v ? "pids.limit" : NULL;
}

static const char *asked_io(const struct oci_resources *r)
{
	static const char *const throttle[OCI_THROTTLE_COUNT] = {
		[OCI_READ_BPS] = "blockIO.throttleReadBpsDevice",
		[OCI_WRITE_BPS] = "blockIO.throttleWriteBpsDevice",
		[OCI_READ_IOPS] = "blockIO.throttleReadIOPSDevice",
		[OCI_WRITE_IOPS] = "blockIO.throttleWriteIOPSDevice",
	};

	for (int i = 0; i < OCI_THROTTLE_COUNT; i++)
		if (r->block_io.throttle[i].n)
			return throttle[i];
	return r->block_io.weight.v         ? "blockIO.weight" :
	       r->block_io.leaf_weight.v    ? "blockIO.leafWeight" :
	       r->block_io.n_weight_devices ? "blockIO.weightDevice" :
					      NULL;
}

static const char *asked_hugetlb(const struct oci_resources *r)
{
	return r->n_hugepages ? "hugepageLimits" : NULL;
}

static const char *asked_net_cls(const struct oci_resources *r)
{
	return r->network.class_id.v ? "network.classID" : NULL;
}

static const char *asked_net_prio(const struct oci_resources *r)
{
	return r->network.n_priorities ? "network.priorities" : NULL;
}

static const char *asked_rdma(const struct oci_resources *r)
{
	return r->n_rdma ? "rdma" : NULL;
}

static const struct {
	const char *v1, *v2;
	asked_fn asked;
	bool expected; /* a host without it is worth a warning */
} controller[CGROUP__CONTROLLER_COUNT] = {
	[CGROUP__CPU] = { "cpu", "cpu", asked_cpu, true },
	[CGROUP__CPUSET] = { "cpuset", "cpuset", asked_cpuset, true },
	[CGROUP__MEMORY] = { "memory", "memory", asked_memory, true },
	[CGROUP__PIDS] = { "pids", "pids", asked_pids, true },
	[CGROUP__IO] = { "blkio", "io", asked_io, true },
	[CGROUP__HUGETLB] = { "hugetlb", "hugetlb", asked_hugetlb, false },
	[CGROUP__NET_CLS] = { "net_cls", "net_cls", asked_net_cls, false },
	[CGROUP__NET_PRIO] = { "net_prio", "net_prio", asked_net_prio, false },
	[CGROUP__RDMA] = { "rdma", "rdma", asked_rdma, false },
};

int cgroup__put(const struct cgroup__dir *d, const char *field, const char *file, const char *fmt, ...)
{
	char value[CGROUP__VALUE_MAX];
	va_list ap;
	size_t n;
	int r;

	va_start(ap, fmt);
	n = str_vformat(value, sizeof(value), fmt, ap);
	va_end(ap);
	if (n >= sizeof(value))
		return err_set(d->e, E2BIG, "linux.resources.%s: %s: the value is too long", field, file);
	r = file_put(d->fd, file, value);
	if (r == -ENOENT)
		return err_set(d->e, ENOTSUP, "linux.resources.%s: this kernel has no %s here", field, file);
	return r < 0 ? err_sys(d->e, -r, "linux.resources.%s: %s: '%s'", field, file, value) : 0;
}

int cgroup__refuse(const struct cgroup__dir *d, const char *field, const char *why)
{
	return err_set(d->e, ENOTSUP, "linux.resources.%s: %s", field, why);
}

bool cgroup__has(int dirfd, const char *file)
{
	struct stat st;

	return file_fstatat(dirfd, file, &st, 0) == 0;
}

bool cgroup__page_size_ok(const char *s)
{
	size_t digits = strspn(s, "0123456789");

	return digits > 0 && digits < 8 && s[digits] && strchr("KMG", s[digits]) &&
	       str_eq(s + digits + 1, "B");
}

static void add_word(char list[256], const char *name)
{
	size_t len = strlen(list);

	if (!cgroup__word_in(list, " ", name))
		str_format(list + len, 256 - len, "%s%s", len ? " " : "", name);
}

void cgroup__skip(struct cgroup *cg, const char *name)
{
	add_word(cg->skipped, name);
}

/* --- unified -------------------------------------------------------------------------------------------- */

/* A key names one file of a controller, or one of the two limits of cgroups themselves. */
static bool unified_key_ok(const char *key)
{
	if (str_eq(key, "cgroup.max.depth") || str_eq(key, "cgroup.max.descendants"))
		return true;
	if (!strchr(key, '.') || key[0] == '.' || str_starts(key, "cgroup."))
		return false;
	for (const char *s = key; *s; s++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-", *s))
			return false;
	return true;
}

/* put_unified() - a value of several lines ("8:0 rbps=1\n8:16 rbps=2") is several writes. */
static int put_unified(const struct cgroup__dir *d, const struct oci_kv *kv)
{
	char field[300];

	if (!unified_key_ok(kv->key))
		return err_set(d->e, EINVAL, "linux.resources.unified: '%s': is not a controller's file",
			       kv->key);
	str_format(field, sizeof(field), "unified[%s]", kv->key);
	for (const char *s = kv->value; *s;) {
		size_t n = strcspn(s, "\n");
		int r = n > 0 ? cgroup__put(d, field, kv->key, "%.*s", (int)n, s) : 0;

		if (r < 0)
			return r;
		s += n + (s[n] == '\n');
	}
	return 0;
}

static int set_unified(struct cgroup *cg, const struct oci_resources *r, const struct cgroup__dir *v2,
		       bool rootless)
{
	for (size_t i = 0; i < r->unified.n; i++) {
		int rc = v2->fd >= 0 ? put_unified(v2, &r->unified.v[i]) :
				       cgroup__refuse(v2, "unified", "this host has no cgroup v2 hierarchy");

		if (rc < 0 && rc != -EINVAL && rootless)
			add_word(cg->ignored, r->unified.v[i].key);
		else if (rc < 0)
			return rc;
	}
	return 0;
}

/* --- all ------------------------------------------------------------------------------------------------ */

/* What the v2 tree has handed down to the container's group; read when first asked. */
struct v2_list {
	bool read;
	char text[256];
};

static bool v2_has(const struct cgroup *cg, struct v2_list *l, const char *name)
{
	const struct cgroup_hierarchy *v2 = cgroup__v2(cg);

	if (!l->read && v2)
		cgroup__read(v2->dirfd, "cgroup.controllers", l->text, sizeof(l->text));
	l->read = true;
	return cgroup__word_in(l->text, " \n", name);
}

/* set_one() - one controller's limits where it is; -ENOTSUP names the field when it is nowhere. */
static int set_one(const struct cgroup *cg, int i, const struct oci_resources *r, struct v2_list *l,
		   struct cgroup__dir *d)
{
	const struct cgroup_hierarchy *h = cgroup__v1(cg, controller[i].v1), *v2 = cgroup__v2(cg);
	const char *field = controller[i].asked(r);

	if (h && cgroup__v1_set[i]) {
		d->fd = h->dirfd;
		return cgroup__v1_set[i](d, r);
	}
	if (!cgroup__v2_set[i])
		return cgroup__refuse(d, field,
				      "only cgroup v1 has it, and this host does not have that controller");
	if (!v2_has(cg, l, controller[i].v2))
		return err_set(d->e, ENOTSUP, "linux.resources.%s: no cgroup controller '%s' here", field,
			       cg->layout == CGROUP_V2 ? controller[i].v2 : controller[i].v1);
	d->fd = v2->dirfd;
	return cgroup__v2_set[i](d, r);
}

int cgroup__set_limits(struct cgroup *cg, const struct oci_resources *r, bool fresh, bool rootless,
		       struct err *e)
{
	const struct cgroup_hierarchy *v2 = cgroup__v2(cg);
	struct cgroup__dir d = { .fresh = fresh, .e = e };
	struct v2_list list = { 0 };
	int rc;

	for (int i = 0; i < CGROUP__CONTROLLER_COUNT; i++) {
		if (!controller[i].asked(r)) {
			if (fresh && controller[i].expected && !cgroup__v1(cg, controller[i].v1) &&
			    !v2_has(cg, &list, controller[i].v2))
				cgroup__skip(cg, controller[i].v2);
			continue;
		}
		rc = set_one(cg, i, r, &list, &d);
		if (rc < 0 && rootless)
			add_word(cg->ignored, controller[i].v2);
		else if (rc < 0)
			return rc;
	}
	d.fd = v2 ? v2->dirfd : -1;
	rc = set_unified(cg, r, &d, rootless);
	if (rc == 0 && e)
		*e = (struct err){ 0 }; /* what was skipped or went at the second try is no error */
	return rc;
}
