/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup_limits_test.c - what is written to which file, on plain directories: no root, no controller wanted
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/bug.h"
#include "base/guard.h"
#include "base/str.h"
#include "container/cgroup_internal.h"
#include "sys/file.h"

#define NUM(n)                                                                                               \
	{                                                                                                    \
		.set = true, .v = (n)                                                                        \
	}

/* One limit, the files that are there, and what must be in one of them afterwards (or the error). */
struct fake_case {
	const char *what;
	bool v2;
	enum cgroup__controller controller;
	struct oci_resources r;
	const char *files; /* "name=content" separated by ';' */
	const char *file, *want;
	int rc;
	const char *text;
	bool update;
};

static struct oci_weight_device weight_device[] = { { 8, 16, NUM(500), { 0 } } };
static struct oci_throttle throttle[] = { { 8, 0, 1048576 } }, unthrottle[] = { { 8, 0, 0 } };
static struct oci_hugepage huge[] = { { "2MB", 4194304 } }, huge_bad[] = { { "../x", 1 } };
static struct oci_rdma rdma[] = { { "mlx5_0", NUM(3), NUM(5) } };
static struct oci_if_prio prio[] = { { "eth0", 5 } };

#define GOOD 0, NULL, false

static const struct fake_case fake_cases[] = {
	{ "v2 limit",
	  true,
	  CGROUP__MEMORY,
	  { .memory.limit = NUM(1000) },
	  "memory.max=",
	  "memory.max",
	  "1000",
	  GOOD },
	{ "v2 no limit",
	  true,
	  CGROUP__MEMORY,
	  { .memory.limit = NUM(-1) },
	  "memory.max=;memory.swap.max=",
	  "memory.swap.max",
	  "max",
	  GOOD },
	{ "v2 swap",
	  true,
	  CGROUP__MEMORY,
	  { .memory.limit = NUM(1000), .memory.swap = NUM(1500) },
	  "memory.max=;memory.swap.max=",
	  "memory.swap.max",
	  "500",
	  GOOD },
	{ "v2 swap below limit",
	  true,
	  CGROUP__MEMORY,
	  { .memory.limit = NUM(1000), .memory.swap = NUM(900) },
	  "memory.max=;memory.swap.max=",
	  NULL,
	  NULL,
	  -EINVAL,
	  "linux.resources.memory.swap",
	  false },
	{ "v2 swap alone",
	  true,
	  CGROUP__MEMORY,
	  { .memory.swap = NUM(900) },
	  "memory.swap.max=",
	  NULL,
	  NULL,
	  -ENOTSUP,
	  "without memory.limit",
	  false },
	{ "v2 swap alone, updated",
	  true,
	  CGROUP__MEMORY,
	  { .memory.swap = NUM(900) },
	  "memory.max=600;memory.swap.max=",
	  "memory.swap.max",
	  "300",
	  0,
	  NULL,
	  true },
	{ "v2 reservation",
	  true,
	  CGROUP__MEMORY,
	  { .memory.reservation = NUM(77) },
	  "memory.low=",
	  "memory.low",
	  "77",
	  0,
	  NULL,
	  false },
	{ "v2 swappiness",
	  true,
	  CGROUP__MEMORY,
	  { .memory.swappiness = NUM(50) },
	  "",
	  NULL,
	  NULL,
	  -ENOTSUP,
	  "linux.resources.memory.swappiness",
	  false },
	{ "v2 swappiness of Docker's -1",
	  true,
	  CGROUP__MEMORY,
	  { .memory.swappiness = NUM(UINT64_MAX) },
	  "",
	  NULL,
	  NULL,
	  0,
	  NULL,
	  false },
	{ "v2 oom killer",
	  true,
	  CGROUP__MEMORY,
	  { .memory.disable_oom_killer = true },
	  "",
	  NULL,
	  NULL,
	  -ENOTSUP,
	  "linux.resources.memory.disableOOMKiller",
	  false },
	{ "v2 kernelTCP",
	  true,
	  CGROUP__MEMORY,
	  { .memory.kernel_tcp = NUM(5) },
	  "",
	  NULL,
	  NULL,
	  -ENOTSUP,
	  "linux.resources.memory.kernelTCP",
	  false },
	{ "v2 check before update",
	  true,
	  CGROUP__MEMORY,
	  { .memory.limit = NUM(100), .memory.check_before_update = true },
	  "memory.max=;memory.current=200\n",
	  NULL,
	  NULL,
	  -EBUSY,
	  "checkBeforeUpdate",
	  true },
	{ "v2 weight",
	  true,
	  CGROUP__CPU,
	  { .cpu.shares = NUM(1024) },
	  "cpu.weight=",
	  "cpu.weight",
	  "100",
	  GOOD },
	{ "v2 quota and period",
	  true,
	  CGROUP__CPU,
	  { .cpu.quota = NUM(50000), .cpu.period = NUM(200000) },
	  "cpu.max=",
	  "cpu.max",
	  "50000 200000",
	  GOOD },
	{ "v2 quota alone",
	  true,
	  CGROUP__CPU,
	  { .cpu.quota = NUM(50000) },
	  "cpu.max=",
	  "cpu.max",
	  "50000",
	  GOOD },
	{ "v2 no quota", true, CGROUP__CPU, { .cpu.quota = NUM(-1) }, "cpu.max=", "cpu.max", "max", GOOD },
	{ "v2 period updated",
	  true,
	  CGROUP__CPU,
	  { .cpu.period = NUM(50000) },
	  "cpu.max=7000 9\n",
	  "cpu.max",
	  "7000 50000",
	  0,
	  NULL,
	  true },
	{ "v2 burst",
	  true,
	  CGROUP__CPU,
	  { .cpu.burst = NUM(10) },
	  "cpu.max.burst=",
	  "cpu.max.burst",
	  "10",
	  GOOD },
	{ "v2 idle", true, CGROUP__CPU, { .cpu.idle = NUM(1) }, "cpu.idle=", "cpu.idle", "1", GOOD },
	{ "v2 realtime",
	  true,
	  CGROUP__CPU,
	  { .cpu.realtime_runtime = NUM(1) },
	  "",
	  NULL,
	  NULL,
	  -ENOTSUP,
	  "linux.resources.cpu.realtimeRuntime",
	  false },
	{ "v2 cpus",
	  true,
	  CGROUP__CPUSET,
	  { .cpu.cpus = "0-1" },
	  "cpuset.cpus=",
	  "cpuset.cpus",
	  "0-1",
	  GOOD },
	{ "v2 mems", true, CGROUP__CPUSET, { .cpu.mems = "0" }, "cpuset.mems=", "cpuset.mems", "0", GOOD },
	{ "v2 pids", true, CGROUP__PIDS, { .pids_limit = NUM(64) }, "pids.max=", "pids.max", "64", GOOD },
	{ "v2 no pids limit",
	  true,
	  CGROUP__PIDS,
	  { .pids_limit = NUM(-1) },
	  "pids.max=",
	  "pids.max",
	  "max",
	  GOOD },
	{ "v2 io weight",
	  true,
	  CGROUP__IO,
	  { .block_io.weight = NUM(1000) },
	  "io.weight=",
	  "io.weight",
	  "10000",
	  GOOD },
	{ "v2 io weight, lowest",
	  true,
	  CGROUP__IO,
	  { .block_io.weight = NUM(10) },
	  "io.weight=",
	  "io.weight",
	  "1",
	  GOOD },
	{ "v2 bfq weight",
	  true,
	  CGROUP__IO,
	  { .block_io.weight = NUM(300) },
	  "io.bfq.weight=;io.weight=",
	  "io.bfq.weight",
	  "300",
	  0,
	  NULL,
	  false },
	{ "v2 weight of a device",
	  true,
	  CGROUP__IO,
	  { .block_io = { .weight_devices = weight_device, .n_weight_devices = 1 } },
	  "io.bfq.weight=",
	  "io.bfq.weight",
	  "8:16 500",
	  GOOD },
	{ "v2 leaf weight",
	  true,
	  CGROUP__IO,
	  { .block_io.leaf_weight = NUM(10) },
	  "",
	  NULL,
	  NULL,
	  -ENOTSUP,
	  "linux.resources.blockIO.leafWeight",
	  false },
	{ "v2 read bps",
	  true,
	  CGROUP__IO,
	  { .block_io.throttle[OCI_READ_BPS] = { throttle, 1 } },
	  "io.max=",
	  "io.max",
	  "8:0 rbps=1048576",
	  GOOD },
	{ "v2 write iops off",
	  true,
	  CGROUP__IO,
	  { .block_io.throttle[OCI_WRITE_IOPS] = { unthrottle, 1 } },
	  "io.max=",
	  "io.max",
	  "8:0 wiops=max",
	  GOOD },
	{ "v2 huge pages",
	  true,
	  CGROUP__HUGETLB,
	  { .hugepages = huge, .n_hugepages = 1 },
	  "hugetlb.2MB.max=;hugetlb.2MB.rsvd.max=",
	  "hugetlb.2MB.rsvd.max",
	  "4194304",
	  GOOD },
	{ "v2 huge pages by a path",
	  true,
	  CGROUP__HUGETLB,
	  { .hugepages = huge_bad, .n_hugepages = 1 },
	  "",
	  NULL,
	  NULL,
	  -EINVAL,
	  "'../x'",
	  false },
	{ "v2 rdma",
	  true,
	  CGROUP__RDMA,
	  { .rdma = rdma, .n_rdma = 1 },
	  "rdma.max=",
	  "rdma.max",
	  "mlx5_0 hca_handle=3 hca_object=5",
	  GOOD },
	{ "v2 without the file",
	  true,
	  CGROUP__PIDS,
	  { .pids_limit = NUM(64) },
	  "",
	  NULL,
	  NULL,
	  -ENOTSUP,
	  "pids.max",
	  false },
	{ "v1 burst",
	  false,
	  CGROUP__CPU,
	  { .cpu.burst = NUM(10) },
	  "cpu.cfs_burst_us=",
	  "cpu.cfs_burst_us",
	  "10",
	  GOOD },
	{ "v1 clamped shares",
	  false,
	  CGROUP__CPU,
	  { .cpu.shares = NUM(1) },
	  "cpu.shares=123",
	  NULL,
	  NULL,
	  -EINVAL,
	  "linux.resources.cpu.shares",
	  false },
	{ "v1 realtime",
	  false,
	  CGROUP__CPU,
	  { .cpu.realtime_runtime = NUM(9) },
	  "cpu.rt_runtime_us=",
	  "cpu.rt_runtime_us",
	  "9",
	  0,
	  NULL,
	  false },
	{ "v1 kernelTCP",
	  false,
	  CGROUP__MEMORY,
	  { .memory.kernel_tcp = NUM(5) },
	  "memory.kmem.tcp.limit_in_bytes=",
	  "memory.kmem.tcp.limit_in_bytes",
	  "5",
	  GOOD },
	{ "v1 no swap accounting and no limit",
	  false,
	  CGROUP__MEMORY,
	  { .memory.swap = NUM(-1) },
	  "",
	  NULL,
	  NULL,
	  GOOD },
	{ "v1 no swap accounting",
	  false,
	  CGROUP__MEMORY,
	  { .memory.swap = NUM(5) },
	  "",
	  NULL,
	  NULL,
	  -ENOTSUP,
	  "memory.memsw.limit_in_bytes",
	  false },
	{ "v1 swappiness",
	  false,
	  CGROUP__MEMORY,
	  { .memory.swappiness = NUM(50) },
	  "memory.swappiness=",
	  "memory.swappiness",
	  "50",
	  0,
	  NULL,
	  false },
	{ "v1 swappiness too large",
	  false,
	  CGROUP__MEMORY,
	  { .memory.swappiness = NUM(101) },
	  "memory.swappiness=",
	  NULL,
	  NULL,
	  -EINVAL,
	  "0 to 100",
	  false },
	{ "v1 oom killer",
	  false,
	  CGROUP__MEMORY,
	  { .memory.disable_oom_killer = true },
	  "memory.oom_control=",
	  "memory.oom_control",
	  "1",
	  GOOD },
	{ "v1 leaf weight",
	  false,
	  CGROUP__IO,
	  { .block_io.leaf_weight = NUM(10) },
	  "blkio.leaf_weight=",
	  "blkio.leaf_weight",
	  "10",
	  0,
	  NULL,
	  false },
	{ "v1 bfq weight",
	  false,
	  CGROUP__IO,
	  { .block_io.weight = NUM(10) },
	  "blkio.bfq.weight=",
	  "blkio.bfq.weight",
	  "10",
	  0,
	  NULL,
	  false },
	{ "v1 write bps",
	  false,
	  CGROUP__IO,
	  { .block_io.throttle[OCI_WRITE_BPS] = { throttle, 1 } },
	  "blkio.throttle.write_bps_device=",
	  "blkio.throttle.write_bps_device",
	  "8:0 1048576",
	  GOOD },
	{ "v1 class",
	  false,
	  CGROUP__NET_CLS,
	  { .network.class_id = NUM(0x100001) },
	  "net_cls.classid=",
	  "net_cls.classid",
	  "1048577",
	  0,
	  NULL,
	  false },
	{ "v1 priorities",
	  false,
	  CGROUP__NET_PRIO,
	  { .network = { .priorities = prio, .n_priorities = 1 } },
	  "net_prio.ifpriomap=",
	  "net_prio.ifpriomap",
	  "eth0 5",
	  GOOD },
	{ "v1 huge pages",
	  false,
	  CGROUP__HUGETLB,
	  { .hugepages = huge, .n_hugepages = 1 },
	  "hugetlb.2MB.limit_in_bytes=",
	  "hugetlb.2MB.limit_in_bytes",
	  "4194304",
	  GOOD },
};

static void make_files(int dirfd, const char *files)
{
	auto_fini(strv) struct strv v = { 0 };

	strv_split(&v, files, ';');
	for (size_t i = 0; i < v.len; i++) {
		char *eq = strchr(v.item[i], '=');
		auto_close int fd = -1;

		if (!eq)
			continue;
		*eq++ = '\0';
		fd = file_open(dirfd, v.item[i], O_WRONLY | O_CREAT | O_EXCL, 0600);
		assert_true(fd >= 0);
		assert_int_equal(file_write(fd, eq, strlen(eq)), 0);
	}
}

static void check_fake(const struct fake_case *c)
{
	const cgroup__set_fn *set = c->v2 ? cgroup__v2_set : cgroup__v1_set;
	char dir[] = "/tmp/hull-cgroup-test-XXXXXX", value[256] = "";
	struct err e = { 0 };
	auto_close int fd = -1;
	struct cgroup__dir d = { .fresh = !c->update, .e = &e };
	int r;

	assert_non_null(mkdtemp(dir));
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	make_files(fd, c->files);
	d.fd = fd;
	r = set[c->controller](&d, &c->r);
	if (c->file)
		cgroup__read(fd, c->file, value, sizeof(value));
	assert_int_equal(file_remove_tree(AT_FDCWD, dir, NULL), 0);
	if (r != c->rc || (c->text && !strstr(e.text, c->text)))
		fail_msg("%s: want %d '%s', got %d '%s'", c->what, c->rc, c->text ? c->text : "", r, e.text);
	if (c->file && strncmp(value, c->want, strlen(c->want)) != 0)
		fail_msg("%s: %s: want '%s', got '%s'", c->what, c->file, c->want, value);
}

static void test_each_field_is_written_to_its_file_or_refused_by_name(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(fake_cases); i++)
		check_fake(&fake_cases[i]);
}

static void test_unified_takes_files_of_controllers_only(void **state)
{
	static const struct {
		const char *key;
		int rc;
	} cases[] = {
		{ "memory.high", 0 },          { "cgroup.max.depth", 0 },
		{ "cgroup.procs", -EINVAL },   { "cgroup.freeze", -EINVAL },
		{ "../memory.high", -EINVAL }, { "sub/memory.high", -EINVAL },
		{ "memory", -EINVAL },         { "", -EINVAL },
		{ ".hidden", -EINVAL },        { "memory.nothing", -ENOTSUP },
	};
	char dir[] = "/tmp/hull-cgroup-test-XXXXXX";
	auto_close int fd = -1;

	(void)state;
	assert_non_null(mkdtemp(dir));
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	make_files(fd, "memory.high=;cgroup.max.depth=;cgroup.procs=;cgroup.freeze=");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct oci_kv kv = { cases[i].key, "5\n6" };
		struct oci_resources r = { .unified = { &kv, 1 } };
		struct cgroup cg = { .layout = CGROUP_V2, .n = 1 };
		struct err e = { 0 };
		int rc;

		cg.h[0] = (struct cgroup_hierarchy){ .v2 = true, .dirfd = fd };
		rc = cgroup__set_limits(&cg, &r, false, false, &e);
		if (rc != cases[i].rc || (rc < 0 && !strstr(e.text, "linux.resources.unified")))
			fail_msg("'%s': want %d, got %d '%s'", cases[i].key, cases[i].rc, rc, e.text);
	}
	assert_int_equal(file_remove_tree(AT_FDCWD, dir, NULL), 0);
}

static void test_reads_v2_statistics(void **state)
{
	char dir[] = "/tmp/hull-cgroup-test-XXXXXX";
	auto_fini(buf) struct buf json = { 0 };
	struct cgroup cg = { .layout = CGROUP_V2, .n = 1 };
	struct cgroup_usage u;
	auto_close int fd = -1;

	(void)state;
	assert_non_null(mkdtemp(dir));
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	make_files(fd, "cpu.stat=usage_usec 7\nuser_usec 4\nsystem_usec 3\nnr_periods 2\nnr_throttled "
		       "1\nthrottled_usec 9\n;"
		       "memory.stat=anon 10\nfile 20\ninactive_file "
		       "5\n;memory.current=35\n;memory.max=max\n;memory.swap.max=0\n;"
		       "memory.swap.current=0\n;pids.current=3\n;pids.max=9\n;hugetlb.2MB.max=max\n;hugetlb."
		       "2MB.current=1\n");
	make_files(fd, "io.stat=8:0 rbytes=100 wbytes=200 rios=1 wios=2 dbytes=0 dios=0\n"
		       "8:16 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n");
	cg.h[0] = (struct cgroup_hierarchy){ .v2 = true, .dirfd = fd };
	assert_int_equal(cgroup_stats(&cg, &json, NULL), 0);
	assert_int_equal(cgroup_usage(&cg, &u), 0);
	assert_int_equal(file_remove_tree(AT_FDCWD, dir, NULL), 0);
	assert_non_null(strstr(buf_str(&json), "\"total\":7000,\"kernel\":3000,\"user\":4000"));
	assert_non_null(
		strstr(buf_str(&json), "\"periods\":2,\"throttledPeriods\":1,\"throttledTime\":9000"));
	assert_non_null(strstr(buf_str(&json), "\"raw\":{\"anon\":10,\"file\":20,\"inactive_file\":5}"));
	assert_non_null(strstr(buf_str(&json), "{\"major\":8,\"minor\":16,\"op\":\"Discard\",\"value\":5}"));
	assert_non_null(strstr(buf_str(&json), "\"hugetlb\":{\"2MB\":{\"usage\":1,"));
	assert_non_null(strstr(buf_str(&json), "\"pids\":{\"current\":3,\"limit\":9}"));
	assert_int_equal(u.cpu_ns, 7000);
	assert_int_equal(u.mem_bytes, 30);
	assert_true(u.mem_limit_bytes == UINT64_MAX);
	assert_int_equal(u.pids, 3);
	assert_int_equal(u.io_read_bytes, 101);
	assert_int_equal(u.io_write_bytes, 202);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_field_is_written_to_its_file_or_refused_by_name),
		cmocka_unit_test(test_unified_takes_files_of_controllers_only),
		cmocka_unit_test(test_reads_v2_statistics),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
