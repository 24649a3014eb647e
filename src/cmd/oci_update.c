/* SPDX-License-Identifier: Apache-2.0 */
/* oci_update.c - hull oci update, events: limits of a live container, and what it uses */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "base/err.h"
#include "base/guard.h"
#include "base/time.h"
#include "cmd/oci.h"
#include "fmt/json.h"
#include "fmt/oci.h"
#include "sys/file.h"

/* --- update -------------------------------------------------------------------------------------------------------- */

struct update_opts {
	const char *resources, *cpuset_cpus, *cpuset_mems, *memory, *memory_reservation, *memory_swap,
		*kernel_memory, *kernel_memory_tcp, *l3_cache_schema, *mem_bw_schema;
	const char *cpu_period, *cpu_quota, *cpu_burst, *cpu_share, *cpu_rt_period, *cpu_rt_runtime,
		*cpu_idle, *pids_limit, *blkio_weight;
};

static int read_resources(const char *path, struct oci_resources *r, struct arena *a, struct err *e)
{
	auto_fini(buf) struct buf text = { 0 };
	int rc = str_eq(path, "-") ? file_slurp(STDIN_FILENO, &text, OCI_CONFIG_BYTES_MAX) :
				     file_slurp_at(AT_FDCWD, path, &text, OCI_CONFIG_BYTES_MAX);

	if (rc < 0)
		return err_sys(e, -rc, "--resources '%s'", path);
	rc = oci_resources_parse(r, text.data, text.len, a, e);
	return rc < 0 ? err_wrap(e, rc, "%s", path) : 0;
}

static int set_i64(const char *flag, const char *s, bool bytes, struct oci_i64 *ret_v, struct err *e)
{
	int64_t v = 0;
	int r;

	if (!s)
		return 0;
	r = bytes && !str_eq(s, "-1") ? str_to_bytes(s, &v) : str_to_i64(s, &v);
	if (r < 0)
		return err_set(e, EINVAL, "--%s '%s': %s", flag, s,
			       bytes ? "a size such as 512m, or -1, is wanted" : "a whole number is wanted");
	*ret_v = (struct oci_i64){ .set = true, .v = v };
	return 0;
}

static int set_u64(const char *flag, const char *s, struct oci_u64 *ret_v, struct err *e)
{
	uint64_t v;

	if (!s)
		return 0;
	if (str_to_u64(s, &v) < 0)
		return err_set(e, EINVAL, "--%s '%s': a number from 0 on is wanted", flag, s);
	*ret_v = (struct oci_u64){ .set = true, .v = v };
	return 0;
}

static int from_flags(const struct update_opts *o, struct oci_resources *r, struct err *e)
{
	int rc = set_i64("memory", o->memory, true, &r->memory.limit, e);

	if (rc == 0)
		rc = set_i64("memory-reservation", o->memory_reservation, true, &r->memory.reservation, e);
	if (rc == 0)
		rc = set_i64("memory-swap", o->memory_swap, true, &r->memory.swap, e);
	if (rc == 0)
		rc = set_i64("kernel-memory", o->kernel_memory, true, &r->memory.kernel, e);
	if (rc == 0)
		rc = set_i64("kernel-memory-tcp", o->kernel_memory_tcp, true, &r->memory.kernel_tcp, e);
	if (rc == 0)
		rc = set_u64("cpu-period", o->cpu_period, &r->cpu.period, e);
	if (rc == 0)
		rc = set_i64("cpu-quota", o->cpu_quota, false, &r->cpu.quota, e);
	if (rc == 0)
		rc = set_u64("cpu-burst", o->cpu_burst, &r->cpu.burst, e);
	if (rc == 0)
		rc = set_u64("cpu-share", o->cpu_share, &r->cpu.shares, e);
	if (rc == 0)
		rc = set_u64("cpu-rt-period", o->cpu_rt_period, &r->cpu.realtime_period, e);
	if (rc == 0)
		rc = set_i64("cpu-rt-runtime", o->cpu_rt_runtime, false, &r->cpu.realtime_runtime, e);
	if (rc == 0)
		rc = set_i64("cpu-idle", o->cpu_idle, false, &r->cpu.idle, e);
	if (rc == 0)
		rc = set_i64("pids-limit", o->pids_limit, false, &r->pids_limit, e);
	if (rc == 0)
		rc = set_u64("blkio-weight", o->blkio_weight, &r->block_io.weight, e);
	if (o->cpuset_cpus)
		r->cpu.cpus = o->cpuset_cpus;
	if (o->cpuset_mems)
		r->cpu.mems = o->cpuset_mems;
	return rc;
}

static int update_run(void *opts, int argc, char **argv, struct err *e)
{
	const struct update_opts *o = opts;
	auto_fini(arena) struct arena a = { 0 };
	struct oci_resources r = { 0 };
	struct ct *ct;
	int rc;

	(void)argc;
	if (o->l3_cache_schema || o->mem_bw_schema)
		return err_set(e, EOPNOTSUPP, "--%s: linux.intelRdt of a live container cannot be changed",
			       o->l3_cache_schema ? "l3-cache-schema" : "mem-bw-schema");
	rc = oci_open(&ct, argv[0], e);
	if (rc < 0)
		return rc;
	rc = o->resources ? read_resources(o->resources, &r, &a, e) : 0;
	if (rc == 0)
		rc = from_flags(o, &r, e);
	if (rc == 0)
		rc = ct_update(ct, &r, e);
	ct_free(ct);
	return rc;
}

#define OPT(member) offsetof(struct update_opts, member)
static const struct opt update_opts[] = {
	{ "resources", 'r', OPT_STRING, OPT(resources), "FILE",
	  "A resources object of the runtime specification; -: standard input", "@file" },
	{ "memory", 0, OPT_STRING, OPT(memory), "BYTES", "Memory limit", NULL },
	{ "memory-reservation", 0, OPT_STRING, OPT(memory_reservation), "BYTES", "Memory soft limit", NULL },
	{ "memory-swap", 0, OPT_STRING, OPT(memory_swap), "BYTES", "Memory and swap together; -1: no limit",
	  NULL },
	{ "kernel-memory", 0, OPT_STRING, OPT(kernel_memory), "BYTES", "Obsolete: kernels ignore it", NULL },
	{ "kernel-memory-tcp", 0, OPT_STRING, OPT(kernel_memory_tcp), "BYTES", "Kernel memory of TCP buffers",
	  NULL },
	{ "cpu-period", 0, OPT_STRING, OPT(cpu_period), "USEC", "Period that the quota is for", NULL },
	{ "cpu-quota", 0, OPT_STRING, OPT(cpu_quota), "USEC", "Processor time in a period; -1: no limit",
	  NULL },
	{ "cpu-burst", 0, OPT_STRING, OPT(cpu_burst), "USEC", "Unused time that may be saved up", NULL },
	{ "cpu-share", 0, OPT_STRING, OPT(cpu_share), "N", "Weight among others", NULL },
	{ "cpu-rt-period", 0, OPT_STRING, OPT(cpu_rt_period), "USEC", "Realtime period", NULL },
	{ "cpu-rt-runtime", 0, OPT_STRING, OPT(cpu_rt_runtime), "USEC", "Realtime time in a period", NULL },
	{ "cpu-idle", 0, OPT_STRING, OPT(cpu_idle), "0|1", "Run only when nobody else wants to", "0 1" },
	{ "cpuset-cpus", 0, OPT_STRING, OPT(cpuset_cpus), "LIST", "Processors it may use", NULL },
	{ "cpuset-mems", 0, OPT_STRING, OPT(cpuset_mems), "LIST", "Memory nodes it may use", NULL },
	{ "pids-limit", 0, OPT_STRING, OPT(pids_limit), "N", "Processes at the same time", NULL },
	{ "blkio-weight", 0, OPT_STRING, OPT(blkio_weight), "N", "Weight of its disk accesses, 10 to 1000",
	  NULL },
	{ "l3-cache-schema", 0, OPT_STRING, OPT(l3_cache_schema), "TEXT", "Intel RDT cache schema", NULL },
	{ "mem-bw-schema", 0, OPT_STRING, OPT(mem_bw_schema), "TEXT", "Intel RDT memory bandwidth schema",
	  NULL },
	{ 0 }
};
#undef OPT

const struct cmd oci_cmd_update = {
	.name = "oci update",
	.args = "[OPTIONS] ID",
	.summary = "Change the limits of a live container",
	.opts = update_opts,
	.opts_size = sizeof(struct update_opts),
	.min_args = 1,
	.max_args = 1,
	.run = update_run,
};

/* --- events -------------------------------------------------------------------------------------------------------- */

enum { POLL_MAX_MS = 60 * 60 * 1000 };

struct events_opts {
	bool stats;
	nsec_t interval;
};

static int put_event(const struct ct *ct, const char *type, const char *data, struct err *e)
{
	auto_fini(buf) struct buf line = { 0 };
	struct json_out o = { .to = &line };
	int r;

	json_put_open(&o, NULL, '{');
	json_put_str(&o, "type", type);
	json_put_str(&o, "id", ct->id);
	if (data)
		json_put_raw(&o, "data", data);
	json_put_close(&o, '}');
	buf_putc(&line, '\n');
	r = buf_finish(&line);
	if (r == 0)
		r = file_write(STDOUT_FILENO, line.data, line.len);
	return r < 0 ? err_sys(e, -r, "standard output") : 0;
}

static int put_stats(const struct ct *ct, struct err *e)
{
	auto_fini(buf) struct buf data = { 0 };
	int r = cgroup_stats(&ct->cgroup, &data, e);

	return r < 0 ? r : put_event(ct, "stats", buf_str(&data), e);
}

/* follow() - statistics at each interval, and "oom" whenever the kernel killed for memory, until the container stops. */
static int follow(const struct ct *ct, const struct events_opts *o, struct err *e)
{
	auto_close int oom = cgroup_oom_fd(&ct->cgroup);
	uint64_t seen = cgroup_oom_kills(&ct->cgroup), now;
	nsec_t next = time_now_ns(CLOCK_MONOTONIC);
	char bytes[4096];
	int r = 0;

	while (r == 0 && ct_status(ct) != CT_STOPPED) {
		struct pollfd p[] = { { .fd = ct->pidfd, .events = POLLIN },
				      { .fd = oom, .events = POLLIN | POLLPRI } };
		nsec_t left = next - time_now_ns(CLOCK_MONOTONIC);

		if (left <= 0) {
			r = put_stats(ct, e);
			next += o->interval;
			continue;
		}
		poll(p, 2,
		     left < POLL_MAX_MS * NSEC_PER_MSEC ? (int)(left / NSEC_PER_MSEC) + 1 : POLL_MAX_MS);
		if (p[1].revents && read(oom, bytes, sizeof(bytes)) < 0 && errno != EAGAIN)
			return err_sys(e, errno, "out-of-memory events");
		now = cgroup_oom_kills(&ct->cgroup);
		for (; seen < now && r == 0; seen++)
			r = put_event(ct, "oom", NULL, e);
	}
	return r;
}

static int events_run(void *opts, int argc, char **argv, struct err *e)
{
	const struct events_opts *o = opts;
	struct ct *ct;
	int r = 0;

	(void)argc;
	if (o->interval <= 0)
		return err_set(e, EINVAL, "duration interval must be greater than 0");
	r = oci_open(&ct, argv[0], e);
	if (r < 0)
		return r;
	if (ct_status(ct) == CT_STOPPED)
		r = err_set(e, ESRCH, "container with id %s is not running", ct->id);
	else
		r = o->stats ? put_stats(ct, e) : follow(ct, o, e);
	ct_free(ct);
	return r;
}

static void events_defaults(void *opts)
{
	((struct events_opts *)opts)->interval = 5 * NSEC_PER_SEC;
}

static const struct opt events_opts[] = { { "stats", 0, OPT_FLAG, offsetof(struct events_opts, stats), NULL,
					    "Print the statistics once", NULL },
					  { "interval", 0, OPT_DURATION,
					    offsetof(struct events_opts, interval), "TIME",
					    "Between two lines (5s)", NULL },
					  { 0 } };

const struct cmd oci_cmd_events = {
	.name = "oci events",
	.args = "[OPTIONS] ID",
	.summary = "Print statistics and out-of-memory kills as they happen",
	.opts = events_opts,
	.opts_size = sizeof(struct events_opts),
	.defaults = events_defaults,
	.min_args = 1,
	.max_args = 1,
	.run = events_run,
};
