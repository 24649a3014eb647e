/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup_v2.c - linux.resources as the files of v2 controllers; a number of 0 is "not given", as other
 * runtimes take it */
#include "container/cgroup_internal.h"

#include <math.h>

#include "base/str.h"
#include "sys/file.h"

#define put cgroup__put

enum { SHARES_MIN = 2, SHARES_MAX = 262144, WEIGHT_MAX = 10000 };

/*
 * Three points are fixed: 2 -> 1, 1024 -> 100 (both the default) and 262144 -> 10000. With l = log2(shares)
 * the exponent of ten is the parabola through them, (l^2 + 125 l) / 612 - 7/34, so that half the default
 * shares stay near half the default weight; the straight line that was used before gave a container of 1024
 * shares the weight 39.
 */
uint64_t cgroup__shares_to_weight(uint64_t shares)
{
	double l;

	if (shares <= SHARES_MIN)
		return 1;
	if (shares >= SHARES_MAX)
		return WEIGHT_MAX;
	l = log2((double)shares);
	return (uint64_t)ceil(pow(10, (l * l + 125 * l) / 612 - 7.0 / 34));
}

/* --- memory --------------------------------------------------------------------------------------------- */

static int put_bytes(const struct cgroup__dir *d, const char *field, const char *file, int64_t bytes)
{
	return bytes < 0 ? put(d, field, file, "max") : put(d, field, file, "%lld", (long long)bytes);
}

/* The specification's swap is memory and swap together; v2 counts swap alone. */
static int put_swap(const struct cgroup__dir *d, int64_t limit, int64_t total)
{
	static const char field[] = "memory.swap", file[] = "memory.swap.max";
	uint64_t now;

	if (limit == -1 && total == 0)
		total = -1;
	if (total == 0 || (total < 0 && !cgroup__has(d->fd, file))) /* no swap accounting is no limit */
		return 0;
	if (total < 0)
		return put_bytes(d, field, file, -1);
	if (limit == 0 && !d->fresh && cgroup__read_u64(d->fd, "memory.max", &now) == 0 && now <= INT64_MAX)
		limit = (int64_t)now; /* an update of swap alone */
	if (limit <= 0)
		return cgroup__refuse(d, field,
				      "memory and swap cannot be limited together without memory.limit");
	if (total < limit)
		return err_set(d->e, EINVAL,
			       "linux.resources.memory.swap: %lld (memory and swap together) is below "
			       "memory.limit, %lld",
			       (long long)total, (long long)limit);
	return put_bytes(d, field, file, total - limit);
}

static int check_before_update(const struct cgroup__dir *d, int64_t limit)
{
	uint64_t usage;

	if (limit <= 0 || cgroup__read_u64(d->fd, "memory.current", &usage) < 0 || (uint64_t)limit > usage)
		return 0;
	return err_set(d->e, EBUSY,
		       "linux.resources.memory.limit: %lld bytes are not above the %llu in use "
		       "(checkBeforeUpdate)",
		       (long long)limit, (unsigned long long)usage);
}

static int refuse_memory(const struct cgroup__dir *d, const struct oci_resources *r)
{
	if (r->memory.kernel_tcp.v > 0)
		return cgroup__refuse(d, "memory.kernelTCP",
				      "cgroup v2 has no separate limit for TCP buffers");
	if (r->memory.swappiness.set && r->memory.swappiness.v != UINT64_MAX)
		return cgroup__refuse(d, "memory.swappiness", "cgroup v2 has no swappiness");
	if (r->memory.disable_oom_killer)
		return cgroup__refuse(d, "memory.disableOOMKiller",
				      "cgroup v2 cannot switch the OOM killer off");
	return 0;
}

static int set_memory(const struct cgroup__dir *d, const struct oci_resources *r)
{
	int64_t limit = r->memory.limit.v;
	int rc = refuse_memory(d, r);

	if (rc == 0 && r->memory.check_before_update)
		rc = check_before_update(d, limit);
	if (rc == 0)
		rc = put_swap(d, limit, r->memory.swap.v);
	if (rc == 0 && limit)
		rc = put_bytes(d, "memory.limit", "memory.max", limit);
	if (rc == 0 && r->memory.reservation.v)
		rc = put_bytes(d, "memory.reservation", "memory.low", r->memory.reservation.v);
	return rc;
}

/* --- cpu ------------------------------------------------------------------------------------------------ */

/* put_max() - what is not given stays: a quota alone leaves the period, a period alone is written with the
 * quota of now. */
static int put_max(const struct cgroup__dir *d, const struct oci_resources *r)
{
	unsigned long long period = r->cpu.period.v;
	char quota[64] = "max";

	if (r->cpu.quota.v > 0)
		str_format(quota, sizeof(quota), "%lld", (long long)r->cpu.quota.v);
	else if (r->cpu.quota.v == 0 && !d->fresh && cgroup__read(d->fd, "cpu.max", quota, sizeof(quota)) > 0)
		quota[strcspn(quota, " \n")] = '\0';
	if (period)
		return put(d, r->cpu.quota.v ? "cpu.quota" : "cpu.period", "cpu.max", "%s %llu", quota,
			   period);
	return put(d, "cpu.quota", "cpu.max", "%s", quota);
}

static int set_cpu(const struct cgroup__dir *d, const struct oci_resources *r)
{
	unsigned long long burst = r->cpu.burst.v;
	bool again = false;
	int rc = 0;

	if (r->cpu.realtime_period.v || r->cpu.realtime_runtime.v)
		return cgroup__refuse(d,
				      r->cpu.realtime_period.v ? "cpu.realtimePeriod" : "cpu.realtimeRuntime",
				      "cgroup v2 has no real-time limits");
	if (r->cpu.idle.set) /* first: an idle group's weight cannot be changed */
		rc = put(d, "cpu.idle", "cpu.idle", "%lld", (long long)r->cpu.idle.v);
	if (rc == 0 && r->cpu.shares.v)
		rc = put(d, "cpu.shares", "cpu.weight", "%llu",
			 (unsigned long long)cgroup__shares_to_weight(r->cpu.shares.v));
	if (rc == 0 && r->cpu.burst.set) { /* checked against the quota of before; see v1 */
		rc = put(d, "cpu.burst", "cpu.max.burst", "%llu", burst);
		again = rc == -EINVAL && r->cpu.quota.v;
		rc = again ? 0 : rc;
	}
	if (rc == 0 && (r->cpu.quota.v || r->cpu.period.v))
		rc = put_max(d, r);
	return rc == 0 && again ? put(d, "cpu.burst", "cpu.max.burst", "%llu", burst) : rc;
}

static int set_cpuset(const struct cgroup__dir *d, const struct oci_resources *r)
{
	int rc = 0;

	if (r->cpu.cpus && *r->cpu.cpus)
		rc = put(d, "cpu.cpus", "cpuset.cpus", "%s", r->cpu.cpus);
	if (rc == 0 && r->cpu.mems && *r->cpu.mems)
		rc = put(d, "cpu.mems", "cpuset.mems", "%s", r->cpu.mems);
	return rc;
}

/* --- io ------------------------------------------------------------------------------------------------- */

/* The specification's weight is v1's, 10 to 1000; io.weight goes from 1 to 10000, BFQ's own file keeps the
 * old range. */
static unsigned long long io_weight(uint64_t v1, bool bfq)
{
	return bfq || v1 < 10 ? v1 : 1 + (v1 - 10) * 9999 / 990;
}

static int set_weights(const struct cgroup__dir *d, const struct oci_resources *r)
{
	bool bfq = cgroup__has(d->fd, "io.bfq.weight");
	const char *file = bfq ? "io.bfq.weight" : "io.weight";
	int rc = 0;

	if (r->block_io.leaf_weight.v)
		return cgroup__refuse(d, "blockIO.leafWeight", "cgroup v2 has no leaf weight");
	if (r->block_io.weight.v)
		rc = put(d, "blockIO.weight", file, "%llu", io_weight(r->block_io.weight.v, bfq));
	for (size_t i = 0; i < r->block_io.n_weight_devices && rc == 0; i++) {
		const struct oci_weight_device *w = &r->block_io.weight_devices[i];

		if (w->leaf_weight.v)
			return cgroup__refuse(d, "blockIO.weightDevice.leafWeight",
					      "cgroup v2 has no leaf weight");
		if (w->weight.v)
			rc = put(d, "blockIO.weightDevice", file, "%lld:%lld %llu", (long long)w->major,
				 (long long)w->minor, io_weight(w->weight.v, bfq));
	}
	return rc;
}

static int set_io(const struct cgroup__dir *d, const struct oci_resources *r)
{
	static const struct {
		const char *field, *key;
	} throttle[OCI_THROTTLE_COUNT] = {
		[OCI_READ_BPS] = { "blockIO.throttleReadBpsDevice", "rbps" },
		[OCI_WRITE_BPS] = { "blockIO.throttleWriteBpsDevice", "wbps" },
		[OCI_READ_IOPS] = { "blockIO.throttleReadIOPSDevice", "riops" },
		[OCI_WRITE_IOPS] = { "blockIO.throttleWriteIOPSDevice", "wiops" },
	};
	int rc = 0;

	if (r->block_io.weight.v || r->block_io.leaf_weight.v || r->block_io.n_weight_devices)
		rc = set_weights(d, r);
	for (int k = 0; k < OCI_THROTTLE_COUNT; k++)
		for (size_t i = 0; i < r->block_io.throttle[k].n && rc == 0; i++) {
			const struct oci_throttle *t = &r->block_io.throttle[k].v[i];

			if (t->rate)
				rc = put(d, throttle[k].field, "io.max", "%lld:%lld %s=%llu",
					 (long long)t->major, (long long)t->minor, throttle[k].key,
					 (unsigned long long)t->rate);
			else /* v1's "no limit" */
				rc = put(d, throttle[k].field, "io.max", "%lld:%lld %s=max",
					 (long long)t->major, (long long)t->minor, throttle[k].key);
		}
	return rc;
}

/* --- the others ----------------------------------------------------------------------------------------- */

static int set_pids(const struct cgroup__dir *d, const struct oci_resources *r)
{
	return put_bytes(d, "pids.limit", "pids.max", r->pids_limit.v);
}

static int set_hugetlb(const struct cgroup__dir *d, const struct oci_resources *r)
{
	int rc = 0;

	for (size_t i = 0; i < r->n_hugepages && rc == 0; i++) {
		const struct oci_hugepage *p = &r->hugepages[i];
		char file[64];

		if (!cgroup__page_size_ok(p->page_size))
			return err_set(d->e, EINVAL,
				       "linux.resources.hugepageLimits: '%s': want a size such as '2MB'",
				       p->page_size);
		str_format(file, sizeof(file), "hugetlb.%s.max", p->page_size);
		rc = put(d, "hugepageLimits", file, "%llu", (unsigned long long)p->limit);
		str_format(file, sizeof(file), "hugetlb.%s.rsvd.max", p->page_size);
		if (rc == 0 &&
		    cgroup__has(d->fd, file)) /* since 5.7: a reservation fails early, a page fault kills */
			rc = put(d, "hugepageLimits", file, "%llu", (unsigned long long)p->limit);
	}
	return rc;
}

int cgroup__set_rdma(const struct cgroup__dir *d, const struct oci_resources *r)
{
	int rc = 0;

	for (size_t i = 0; i < r->n_rdma && rc == 0; i++) {
		const struct oci_rdma *x = &r->rdma[i];
		char handles[40] = "", objects[40] = "";

		if (x->hca_handles.set)
			str_format(handles, sizeof(handles), " hca_handle=%llu",
				   (unsigned long long)x->hca_handles.v);
		if (x->hca_objects.set)
			str_format(objects, sizeof(objects), " hca_object=%llu",
				   (unsigned long long)x->hca_objects.v);
		rc = put(d, "rdma", "rdma.max", "%s%s%s", x->device, handles, objects);
	}
	return rc;
}

const cgroup__set_fn cgroup__v2_set[CGROUP__CONTROLLER_COUNT] = {
	[CGROUP__CPU] = set_cpu,           [CGROUP__CPUSET] = set_cpuset, [CGROUP__MEMORY] = set_memory,
	[CGROUP__PIDS] = set_pids,         [CGROUP__IO] = set_io,         [CGROUP__HUGETLB] = set_hugetlb,
	[CGROUP__RDMA] = cgroup__set_rdma,
};
