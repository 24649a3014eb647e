/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup_v1.c - linux.resources as the files of v1 controllers; a number of 0 is "not given", as other
 * runtimes take it */
#include "container/cgroup_internal.h"

#include "base/str.h"
#include "sys/file.h"

#define put cgroup__put

/* --- memory --------------------------------------------------------------------------------------------- */

static int put_limit(const struct cgroup__dir *d, int64_t limit)
{
	int r = put(d, "memory.limit", "memory.limit_in_bytes", "%lld", (long long)limit);
	uint64_t usage = 0, peak = 0;

	if (r != -EBUSY)
		return r;
	cgroup__read_u64(d->fd, "memory.usage_in_bytes", &usage);
	cgroup__read_u64(d->fd, "memory.max_usage_in_bytes", &peak);
	return err_set(
		d->e, EBUSY,
		"linux.resources.memory.limit: memory.limit_in_bytes: %lld bytes are less than what is "
		"in use (%llu, at most %llu)",
		(long long)limit, (unsigned long long)usage, (unsigned long long)peak);
}

static int put_swap(const struct cgroup__dir *d, int64_t swap)
{
	static const char file[] = "memory.memsw.limit_in_bytes";

	if (swap < 0 && !cgroup__has(d->fd, file)) /* no accounting of swap is no limit to it */
		return 0;
	return put(d, "memory.swap", file, "%lld", (long long)swap);
}

/* memsw must never be below the limit: whichever grows goes first. */
static int put_limit_and_swap(const struct cgroup__dir *d, int64_t limit, int64_t swap)
{
	uint64_t now = UINT64_MAX;
	bool swap_first;
	int r;

	if (limit == -1 &&
	    swap == 0) /* memory without limit in a group with a memsw limit would still have one */
		swap = -1;
	if (!d->fresh && limit && swap)
		cgroup__read_u64(d->fd, "memory.limit_in_bytes", &now);
	swap_first = limit && swap && (swap < 0 || now < (uint64_t)swap);
	r = swap && swap_first ? put_swap(d, swap) : 0;
	if (r == 0 && limit)
		r = put_limit(d, limit);
	return r == 0 && swap && !swap_first ? put_swap(d, swap) : r;
}

static int check_before_update(const struct cgroup__dir *d, int64_t limit)
{
	uint64_t usage;
	int r = cgroup__read_u64(d->fd, "memory.usage_in_bytes", &usage);

	if (r < 0 || limit <= 0 || (uint64_t)limit > usage)
		return 0;
	return err_set(d->e, EBUSY,
		       "linux.resources.memory.limit: %lld bytes are not above the %llu in use "
		       "(checkBeforeUpdate)",
		       (long long)limit, (unsigned long long)usage);
}

/* memory.kernel is deprecated in the specification and without effect in kernels from 5.16: accepted, not
 * written. */
static int set_memory(const struct cgroup__dir *d, const struct oci_resources *r)
{
	uint64_t swappiness = r->memory.swappiness.v;
	int rc = 0;

	if (r->memory.check_before_update)
		rc = check_before_update(d, r->memory.limit.v);
	if (rc == 0 && r->memory.use_hierarchy)
		rc = put(d, "memory.useHierarchy", "memory.use_hierarchy", "1");
	if (rc == 0)
		rc = put_limit_and_swap(d, r->memory.limit.v, r->memory.swap.v);
	if (rc == 0 && r->memory.reservation.v)
		rc = put(d, "memory.reservation", "memory.soft_limit_in_bytes", "%lld",
			 (long long)r->memory.reservation.v);
	if (rc == 0 && r->memory.kernel_tcp.v)
		rc = put(d, "memory.kernelTCP", "memory.kmem.tcp.limit_in_bytes", "%lld",
			 (long long)r->memory.kernel_tcp.v);
	if (rc == 0 && r->memory.disable_oom_killer)
		rc = put(d, "memory.disableOOMKiller", "memory.oom_control", "1");
	if (rc < 0 || !r->memory.swappiness.set || swappiness == UINT64_MAX) /* Docker's -1: the default */
		return rc;
	if (swappiness > 100)
		return err_set(d->e, EINVAL, "linux.resources.memory.swappiness: %llu: want 0 to 100",
			       (unsigned long long)swappiness);
	return put(d, "memory.swappiness", "memory.swappiness", "%llu", (unsigned long long)swappiness);
}

/* --- cpu ------------------------------------------------------------------------------------------------ */

static int put_shares(const struct cgroup__dir *d, uint64_t shares)
{
	uint64_t now;
	int r = put(d, "cpu.shares", "cpu.shares", "%llu", (unsigned long long)shares);

	if (r < 0)
		return r;
	/* The kernel clamps without a word; who asked for more than it gives should know. */
	if (cgroup__read_u64(d->fd, "cpu.shares", &now) == 0 && now != shares)
		return err_set(d->e, EINVAL, "linux.resources.cpu.shares: %llu: the kernel's %s is %llu",
			       (unsigned long long)shares, shares > now ? "maximum" : "minimum",
			       (unsigned long long)now);
	return 0;
}

/*
 * Period and burst are checked by the kernel against the quota of before: what it refuses with EINVAL may be
 * right after the new quota is in, and is tried again.
 */
static int put_bandwidth(const struct cgroup__dir *d, const struct oci_resources *r)
{
	unsigned long long period = r->cpu.period.v, burst = r->cpu.burst.v;
	bool again_period = false, again_burst = false;
	int rc;

	if (period) {
		rc = put(d, "cpu.period", "cpu.cfs_period_us", "%llu", period);
		again_period = rc == -EINVAL && r->cpu.quota.v;
		if (rc < 0 && !again_period)
			return rc;
	}
	if (r->cpu.burst.set) {
		rc = put(d, "cpu.burst", "cpu.cfs_burst_us", "%llu", burst);
		again_burst = rc == -EINVAL && r->cpu.quota.v;
		if (rc < 0 && !again_burst)
			return rc;
	}
	rc = r->cpu.quota.v ? put(d, "cpu.quota", "cpu.cfs_quota_us", "%lld", (long long)r->cpu.quota.v) : 0;
	if (rc == 0 && again_period)
		rc = put(d, "cpu.period", "cpu.cfs_period_us", "%llu", period);
	if (rc == 0 && again_burst)
		rc = put(d, "cpu.burst", "cpu.cfs_burst_us", "%llu", burst);
	return rc;
}

static int set_cpu(const struct cgroup__dir *d, const struct oci_resources *r)
{
	int rc = 0;

	if (r->cpu.idle.set) /* first: an idle group's shares cannot be changed */
		rc = put(d, "cpu.idle", "cpu.idle", "%lld", (long long)r->cpu.idle.v);
	if (rc == 0 && r->cpu.shares.v)
		rc = put_shares(d, r->cpu.shares.v);
	if (rc == 0)
		rc = put_bandwidth(d, r);
	if (rc == 0 && r->cpu.realtime_period.v)
		rc = put(d, "cpu.realtimePeriod", "cpu.rt_period_us", "%llu",
			 (unsigned long long)r->cpu.realtime_period.v);
	if (rc == 0 && r->cpu.realtime_runtime.v)
		rc = put(d, "cpu.realtimeRuntime", "cpu.rt_runtime_us", "%lld",
			 (long long)r->cpu.realtime_runtime.v);
	return rc;
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

/* --- the others ----------------------------------------------------------------------------------------- */

static int set_pids(const struct cgroup__dir *d, const struct oci_resources *r)
{
	if (r->pids_limit.v < 0)
		return put(d, "pids.limit", "pids.max", "max");
	return put(d, "pids.limit", "pids.max", "%lld", (long long)r->pids_limit.v);
}

static int set_weights(const struct cgroup__dir *d, const struct oci_resources *r)
{
	bool bfq = !cgroup__has(d->fd, "blkio.weight") && cgroup__has(d->fd, "blkio.bfq.weight");
	const char *weight = bfq ? "blkio.bfq.weight" : "blkio.weight";
	const char *device = bfq ? "blkio.bfq.weight_device" : "blkio.weight_device";
	int rc = 0;

	if (r->block_io.weight.v)
		rc = put(d, "blockIO.weight", weight, "%llu", (unsigned long long)r->block_io.weight.v);
	if (rc == 0 && r->block_io.leaf_weight.v)
		rc = put(d, "blockIO.leafWeight", "blkio.leaf_weight", "%llu",
			 (unsigned long long)r->block_io.leaf_weight.v);
	for (size_t i = 0; i < r->block_io.n_weight_devices && rc == 0; i++) {
		const struct oci_weight_device *w = &r->block_io.weight_devices[i];

		if (w->weight.v)
			rc = put(d, "blockIO.weightDevice", device, "%lld:%lld %llu", (long long)w->major,
				 (long long)w->minor, (unsigned long long)w->weight.v);
		if (rc == 0 && w->leaf_weight.v)
			rc = put(d, "blockIO.weightDevice.leafWeight", "blkio.leaf_weight_device",
				 "%lld:%lld %llu", (long long)w->major, (long long)w->minor,
				 (unsigned long long)w->leaf_weight.v);
	}
	return rc;
}

static int set_io(const struct cgroup__dir *d, const struct oci_resources *r)
{
	static const struct {
		const char *field, *file;
	} throttle[OCI_THROTTLE_COUNT] = {
		[OCI_READ_BPS] = { "blockIO.throttleReadBpsDevice", "blkio.throttle.read_bps_device" },
		[OCI_WRITE_BPS] = { "blockIO.throttleWriteBpsDevice", "blkio.throttle.write_bps_device" },
		[OCI_READ_IOPS] = { "blockIO.throttleReadIOPSDevice", "blkio.throttle.read_iops_device" },
		[OCI_WRITE_IOPS] = { "blockIO.throttleWriteIOPSDevice", "blkio.throttle.write_iops_device" },
	};
	int rc = set_weights(d, r);

	for (int k = 0; k < OCI_THROTTLE_COUNT; k++)
		for (size_t i = 0; i < r->block_io.throttle[k].n && rc == 0; i++) {
			const struct oci_throttle *t = &r->block_io.throttle[k].v[i];

			rc = put(d, throttle[k].field, throttle[k].file, "%lld:%lld %llu",
				 (long long)t->major, (long long)t->minor, (unsigned long long)t->rate);
		}
	return rc;
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
		str_format(file, sizeof(file), "hugetlb.%s.limit_in_bytes", p->page_size);
		rc = put(d, "hugepageLimits", file, "%llu", (unsigned long long)p->limit);
		str_format(file, sizeof(file), "hugetlb.%s.rsvd.limit_in_bytes", p->page_size);
		if (rc == 0 &&
		    cgroup__has(d->fd, file)) /* since 5.7: a reservation fails early, a page fault kills */
			rc = put(d, "hugepageLimits", file, "%llu", (unsigned long long)p->limit);
	}
	return rc;
}

static int set_net_cls(const struct cgroup__dir *d, const struct oci_resources *r)
{
	return put(d, "network.classID", "net_cls.classid", "%llu",
		   (unsigned long long)r->network.class_id.v);
}

static int set_net_prio(const struct cgroup__dir *d, const struct oci_resources *r)
{
	int rc = 0;

	for (size_t i = 0; i < r->network.n_priorities && rc == 0; i++)
		rc = put(d, "network.priorities", "net_prio.ifpriomap", "%s %u",
			 r->network.priorities[i].name, r->network.priorities[i].priority);
	return rc;
}

const cgroup__set_fn cgroup__v1_set[CGROUP__CONTROLLER_COUNT] = {
	[CGROUP__CPU] = set_cpu,
	[CGROUP__CPUSET] = set_cpuset,
	[CGROUP__MEMORY] = set_memory,
	[CGROUP__PIDS] = set_pids,
	[CGROUP__IO] = set_io,
	[CGROUP__HUGETLB] = set_hugetlb,
	[CGROUP__NET_CLS] = set_net_cls,
	[CGROUP__NET_PRIO] = set_net_prio,
	[CGROUP__RDMA] = cgroup__set_rdma,
};
