/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/oci_internal.h"

#include <errno.h>
#include <string.h>

#include "base/bug.h"
#include "base/str.h"

enum { WEIGHT_MIN = 10, WEIGHT_MAX = 1000, SWAPPINESS_MAX = 100, MAJOR_MAX = 4095, MINOR_MAX = 0xfffff };

static void read_device_rule(const struct json_at *at, struct oci_device_rule *rule)
{
	static const struct json_name types[] = { { "a", 'a' }, { "b", 'b' }, { "c", 'c' } };
	struct json_at obj = json_read_obj(at, NULL);
	const char *access = json_read_str(&obj, "access");

	rule->allow = json_read_bool(&obj, "allow", false);
	rule->type = 'a';
	if (oci__str(&obj, "type"))
		rule->type = (char)json_read_name(&obj, "type", types, ARRAY_SIZE(types), 'a');
	rule->major = oci__i64(&obj, "major", -1, MAJOR_MAX);
	rule->minor = oci__i64(&obj, "minor", -1, MINOR_MAX);
	if (!access || !*access || access[strspn(access, "rwm")])
		json_fail(&obj, "access", EINVAL, "got '%.16s', want letters of rwm", access ? access : "");
	for (; access && *access; access++) {
		rule->read |= *access == 'r';
		rule->write |= *access == 'w';
		rule->mknod |= *access == 'm';
	}
}

static void read_devices(const struct json_at *at, struct oci_resources *r)
{
	struct json_at list = oci__list(at, "devices");

	r->devices = json_alloc(at, json_count(&list), sizeof(*r->devices));
	for (size_t i = 0; i < json_count(&list); i++) {
		struct json_at item = json_item(&list, i);

		read_device_rule(&item, &r->devices[r->n_devices++]);
	}
}

static void read_memory(const struct json_at *at, struct oci_resources *r)
{
	struct json_at m = json_read_obj(at, "memory");

	r->memory.limit = oci__i64(&m, "limit", -1, INT64_MAX);
	r->memory.reservation = oci__i64(&m, "reservation", -1, INT64_MAX);
	r->memory.swap = oci__i64(&m, "swap", -1, INT64_MAX);
	r->memory.kernel = oci__i64(&m, "kernel", -1, INT64_MAX);
	r->memory.kernel_tcp = oci__i64(&m, "kernelTCP", -1, INT64_MAX);
	r->memory.swappiness = oci__u64(&m, "swappiness", UINT64_MAX);
	if (r->memory.swappiness.v == UINT64_MAX) /* Docker's -1, "not given", after a cast */
		r->memory.swappiness = (struct oci_u64){ 0 };
	if (r->memory.swappiness.v > SWAPPINESS_MAX)
		json_fail(&m, "swappiness", EINVAL, "got %llu, want a number from 0 to %d",
			  (unsigned long long)r->memory.swappiness.v, SWAPPINESS_MAX);
	r->memory.disable_oom_killer = json_read_bool(&m, "disableOOMKiller", false);
	r->memory.use_hierarchy = json_read_bool(&m, "useHierarchy", false);
	r->memory.check_before_update = json_read_bool(&m, "checkBeforeUpdate", false);
}

static void read_cpu(const struct json_at *at, struct oci_resources *r)
{
	struct json_at c = json_read_obj(at, "cpu");

	r->cpu.shares = oci__u64(&c, "shares", UINT64_MAX);
	r->cpu.period = oci__u64(&c, "period", UINT64_MAX);
	r->cpu.realtime_period = oci__u64(&c, "realtimePeriod", UINT64_MAX);
	r->cpu.burst = oci__u64(&c, "burst", UINT64_MAX);
	r->cpu.quota = oci__i64(&c, "quota", -1, INT64_MAX);
	r->cpu.realtime_runtime = oci__i64(&c, "realtimeRuntime", -1, INT64_MAX);
	r->cpu.idle = oci__i64(&c, "idle", 0, 1);
	r->cpu.cpus = oci__cpus(&c, "cpus");
	r->cpu.mems = oci__cpus(&c, "mems");
	if (r->cpu.quota.v > 0 && r->cpu.burst.v > (uint64_t)r->cpu.quota.v)
		json_fail(&c, "burst", EINVAL, "got %llu, want no more than the quota of %lld",
			  (unsigned long long)r->cpu.burst.v, (long long)r->cpu.quota.v);
}

/* read_weight() - 0 is what Go programs write for "not given". */
static struct oci_u64 read_weight(const struct json_at *at, const char *key)
{
	struct oci_u64 w = oci__u64(at, key, WEIGHT_MAX);

	if (w.set && w.v > 0 && w.v < WEIGHT_MIN)
		json_fail(at, key, EINVAL, "got %llu, want a number from %d to %d", (unsigned long long)w.v,
			  WEIGHT_MIN, WEIGHT_MAX);
	w.set = w.v > 0;
	return w;
}

/* read_number() - "major" or "minor" of a block device. */
static int64_t read_number(const struct json_at *at, const char *key, int64_t max)
{
	json_need(at, key);
	return json_read_i64(at, key, 0, max);
}

static void read_weight_devices(const struct json_at *at, struct oci_resources *r)
{
	struct json_at list = oci__list(at, "weightDevice");

	r->block_io.weight_devices = json_alloc(at, json_count(&list), sizeof(*r->block_io.weight_devices));
	for (size_t i = 0; i < json_count(&list); i++) {
		struct json_at item = json_item(&list, i), obj = json_read_obj(&item, NULL);
		struct oci_weight_device *w = &r->block_io.weight_devices[r->block_io.n_weight_devices++];

		w->major = read_number(&obj, "major", MAJOR_MAX);
		w->minor = read_number(&obj, "minor", MINOR_MAX);
		w->weight = read_weight(&obj, "weight");
		w->leaf_weight = read_weight(&obj, "leafWeight");
		/* Spec: "You MUST specify at least one of weight or leafWeight in a given entry" */
		if (!json_has(&obj, "weight") && !json_has(&obj, "leafWeight"))
			json_fail(&obj, "weight", EINVAL, "missing, and so is leafWeight");
	}
}

static struct oci_throttles read_throttles(const struct json_at *at, const char *key)
{
	struct json_at list = oci__list(at, key);
	struct oci_throttles t = { .v = json_alloc(at, json_count(&list), sizeof(*t.v)) };

	for (size_t i = 0; i < json_count(&list); i++) {
		struct json_at item = json_item(&list, i), obj = json_read_obj(&item, NULL);
		struct oci_throttle *one = &t.v[t.n++];

		json_need(&obj, "rate");
		one->major = read_number(&obj, "major", MAJOR_MAX);
		one->minor = read_number(&obj, "minor", MINOR_MAX);
		one->rate = json_read_u64(&obj, "rate", UINT64_MAX, 0);
	}
	return t;
}

static void read_block_io(const struct json_at *at, struct oci_resources *r)
{
	static const char *const throttle[OCI_THROTTLE_COUNT] = {
		[OCI_READ_BPS] = "throttleReadBpsDevice",
		[OCI_WRITE_BPS] = "throttleWriteBpsDevice",
		[OCI_READ_IOPS] = "throttleReadIOPSDevice",
		[OCI_WRITE_IOPS] = "throttleWriteIOPSDevice",
	};
	struct json_at b = json_read_obj(at, "blockIO");

	r->block_io.weight = read_weight(&b, "weight");
	r->block_io.leaf_weight = read_weight(&b, "leafWeight");
	read_weight_devices(&b, r);
	for (int i = 0; i < OCI_THROTTLE_COUNT; i++)
		r->block_io.throttle[i] = read_throttles(&b, throttle[i]);
}

/* page_size_valid() - "64KB", "2MB", "1GB": it becomes part of a file's name. */
static bool page_size_valid(const char *s)
{
	size_t digits = strspn(s, "0123456789");

	return digits > 0 && digits < 10 && *s != '0' && strchr("KMG", s[digits]) && s[digits] &&
	       str_eq(s + digits + 1, "B");
}

static void read_hugepages(const struct json_at *at, struct oci_resources *r)
{
	struct json_at list = oci__list(at, "hugepageLimits");

	r->hugepages = json_alloc(at, json_count(&list), sizeof(*r->hugepages));
	for (size_t i = 0; i < json_count(&list); i++) {
		struct json_at item = json_item(&list, i), obj = json_read_obj(&item, NULL);
		struct oci_hugepage *h = &r->hugepages[r->n_hugepages++];

		json_need(&obj, "pageSize");
		json_need(&obj, "limit");
		h->page_size = json_read_str(&obj, "pageSize");
		h->limit = json_read_u64(&obj, "limit", UINT64_MAX, 0);
		if (h->page_size && !page_size_valid(h->page_size))
			json_fail(&obj, "pageSize", EINVAL, "got '%.32s', want one such as 64KB, 2MB or 1GB",
				  h->page_size);
	}
}

static void read_network(const struct json_at *at, struct oci_resources *r)
{
	struct json_at n = json_read_obj(at, "network"), list = oci__list(&n, "priorities");

	r->network.class_id = oci__u64(&n, "classID", UINT32_MAX);
	r->network.priorities = json_alloc(at, json_count(&list), sizeof(*r->network.priorities));
	for (size_t i = 0; i < json_count(&list); i++) {
		struct json_at item = json_item(&list, i), obj = json_read_obj(&item, NULL);

		json_need(&obj, "name");
		json_need(&obj, "priority");
		r->network.priorities[r->network.n_priorities++] = (struct oci_if_prio){
			.name = json_read_str(&obj, "name"),
			.priority = (uint32_t)json_read_u64(&obj, "priority", UINT32_MAX, 0),
		};
	}
}

static void read_rdma(const struct json_at *at, struct oci_resources *r)
{
	struct json_at map = oci__map(at, "rdma");

	r->rdma = json_alloc(at, json_count(&map), sizeof(*r->rdma));
	for (size_t i = 0; i < json_count(&map); i++) {
		struct json_at item = json_item(&map, i), obj = json_read_obj(&item, NULL);

		r->rdma[r->n_rdma++] = (struct oci_rdma){
			.device = item.key,
			.hca_handles = oci__u64(&obj, "hcaHandles", UINT32_MAX),
			.hca_objects = oci__u64(&obj, "hcaObjects", UINT32_MAX),
		};
		/* Spec: "You MUST specify at least one of the hcaHandles or hcaObjects in a given entry" */
		if (!json_has(&obj, "hcaHandles") && !json_has(&obj, "hcaObjects"))
			json_fail(&obj, "hcaHandles", EINVAL, "missing, and so is hcaObjects");
	}
}

void oci__resources(const struct json_at *at, struct oci_resources *r)
{
	struct json_at pids = json_read_obj(at, "pids");

	read_devices(at, r);
	read_memory(at, r);
	read_cpu(at, r);
	r->pids_limit = oci__i64(&pids, "limit", -1, INT64_MAX);
	read_block_io(at, r);
	read_hugepages(at, r);
	read_network(at, r);
	read_rdma(at, r);
	r->unified = oci__kvs(at, "unified");
	for (size_t i = 0; i < r->unified.n; i++) {
		const char *file = r->unified.v[i].key;

		if (!*file || strchr(file, '/') || str_eq(file, ".") || str_eq(file, ".."))
			json_fail(at, "unified", EINVAL, "'%.64s' is no file name", file);
	}
}
