/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup_stats.c - what a group has used: runc's `events --stats` object, and the few numbers `hull stats`
 * shows
 *
 * Every file may be missing (a controller the host lacks): then its members are absent or 0, never an error.
 */
#include "container/cgroup_internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/bug.h"
#include "base/guard.h"
#include "base/str.h"
#include "sys/file.h"

typedef unsigned long long ull;

static uint64_t read_or_0(int dirfd, const char *file)
{
	uint64_t n = 0;

	cgroup__read_u64(dirfd, file, &n);
	return n;
}

static uint64_t key_or_0(const char *text, const char *key)
{
	uint64_t n = 0;

	cgroup__key_u64(text, key, &n);
	return n;
}

/* slurp() - a whole file or "". */
static const char *slurp(int dirfd, const char *file, struct buf *b)
{
	b->len = 0;
	if (file_slurp_at(dirfd, file, b, CGROUP__FILE_MAX) < 0 || b->len == 0)
		return "";
	return buf_str(b);
}

/* add_raw() - lines of "key number" as members of an object. */
static void add_raw(struct buf *json, const char *text)
{
	const char *comma = "";

	buf_puts(json, "{");
	for (const char *s = text; *s; s = strchrnul(s, '\n'), s += *s == '\n') {
		size_t key = strcspn(s, " \n"),
		       digits = s[key] == ' ' ? strspn(s + key + 1, "0123456789") : 0;

		if (digits == 0 || strcspn(s, "\"\\") < key)
			continue;
		buf_printf(json, "%s\"%.*s\":%.*s", comma, (int)key, s, (int)digits, s + key + 1);
		comma = ",";
	}
	buf_puts(json, "}");
}

/* add_list() - space-separated numbers as an array member, with the comma behind it. */
static void add_list(struct buf *json, const char *name, const char *text)
{
	const char *comma = "";

	if (!*text)
		return;
	buf_printf(json, "\"%s\":[", name);
	for (const char *s = text; *s; s += strspn(s, " \n")) {
		size_t n = strspn(s, "0123456789");

		if (n == 0)
			break;
		buf_printf(json, "%s%.*s", comma, (int)n, s);
		comma = ",";
		s += n;
	}
	buf_puts(json, "],");
}

/* --- cpu, pids ------------------------------------------------------------------------------------------ */

static void v1_cpu(struct buf *json, const struct cgroup *cg)
{
	const struct cgroup_hierarchy *acct = cgroup__v1(cg, "cpuacct"), *cpu = cgroup__v1(cg, "cpu");
	auto_fini(buf) struct buf b = { 0 };
	const char *stat;

	buf_puts(json, "\"cpu\":{\"usage\":{");
	if (acct) {
		buf_printf(json, "\"total\":%llu,", (ull)read_or_0(acct->dirfd, "cpuacct.usage"));
		add_list(json, "percpu", slurp(acct->dirfd, "cpuacct.usage_percpu", &b));
		add_list(json, "percpu_kernel", slurp(acct->dirfd, "cpuacct.usage_percpu_sys", &b));
		add_list(json, "percpu_user", slurp(acct->dirfd, "cpuacct.usage_percpu_user", &b));
	}
	buf_printf(json, "\"kernel\":%llu,\"user\":%llu},\"throttling\":{",
		   acct ? (ull)read_or_0(acct->dirfd, "cpuacct.usage_sys") : 0,
		   acct ? (ull)read_or_0(acct->dirfd, "cpuacct.usage_user") : 0);
	stat = cpu ? slurp(cpu->dirfd, "cpu.stat", &b) : "";
	buf_printf(json, "\"periods\":%llu,\"throttledPeriods\":%llu,\"throttledTime\":%llu}}",
		   (ull)key_or_0(stat, "nr_periods"), (ull)key_or_0(stat, "nr_throttled"),
		   (ull)key_or_0(stat, "throttled_time"));
}

static void v2_cpu(struct buf *json, int dirfd)
{
	auto_fini(buf) struct buf b = { 0 };
	const char *stat = slurp(dirfd, "cpu.stat", &b);

	buf_printf(json, "\"cpu\":{\"usage\":{\"total\":%llu,\"kernel\":%llu,\"user\":%llu},",
		   (ull)key_or_0(stat, "usage_usec") * 1000, (ull)key_or_0(stat, "system_usec") * 1000,
		   (ull)key_or_0(stat, "user_usec") * 1000);
	buf_printf(json,
		   "\"throttling\":{\"periods\":%llu,\"throttledPeriods\":%llu,\"throttledTime\":%llu}}",
		   (ull)key_or_0(stat, "nr_periods"), (ull)key_or_0(stat, "nr_throttled"),
		   (ull)key_or_0(stat, "throttled_usec") * 1000);
}

static void add_pids(struct buf *json, int dirfd)
{
	uint64_t limit = read_or_0(dirfd, "pids.max");

	buf_printf(json, ",\"pids\":{\"current\":%llu,\"limit\":%llu}", (ull)read_or_0(dirfd, "pids.current"),
		   limit == UINT64_MAX ? 0 : (ull)limit);
}

/* --- memory --------------------------------------------------------------------------------------------- */

static void add_entry(struct buf *json, const char *name, uint64_t limit, uint64_t usage, uint64_t max,
		      uint64_t fails)
{
	buf_printf(json, ",\"%s\":{\"limit\":%llu,\"usage\":%llu,\"max\":%llu,\"failcnt\":%llu}", name,
		   (ull)limit, (ull)usage, (ull)max, (ull)fails);
}

static void v1_memory(struct buf *json, int dirfd)
{
	static const char *const name[][2] = {
		{ "usage", "memory" },
		{ "swap", "memory.memsw" },
		{ "kernel", "memory.kmem" },
		{ "kernelTCP", "memory.kmem.tcp" },
	};
	auto_fini(buf) struct buf b = { 0 };
	const char *stat = slurp(dirfd, "memory.stat", &b);

	buf_printf(json, ",\"memory\":{\"cache\":%llu", (ull)key_or_0(stat, "cache"));
	for (size_t i = 0; i < ARRAY_SIZE(name); i++) {
		static const char *const suffix[] = { "limit_in_bytes", "usage_in_bytes",
						      "max_usage_in_bytes", "failcnt" };
		uint64_t v[4];

		for (size_t k = 0; k < 4; k++) {
			char file[64];

			str_format(file, sizeof(file), "%s.%s", name[i][1], suffix[k]);
			v[k] = read_or_0(dirfd, file);
		}
		add_entry(json, name[i][0], v[0], v[1], v[2], v[3]);
	}
	buf_puts(json, ",\"raw\":");
	add_raw(json, stat);
	buf_puts(json, "}");
}

static void v2_memory(struct buf *json, int dirfd)
{
	auto_fini(buf) struct buf b = { 0 }, ev = { 0 };
	const char *stat = slurp(dirfd, "memory.stat", &b);
	const char *events = slurp(dirfd, "memory.events", &ev);
	uint64_t usage = read_or_0(dirfd, "memory.current"), swap = read_or_0(dirfd, "memory.swap.current");
	uint64_t limit = read_or_0(dirfd, "memory.max"), swap_limit = read_or_0(dirfd, "memory.swap.max");

	/* "swap" is memory and swap together, as on v1 */
	if (swap_limit != UINT64_MAX)
		swap_limit = limit == UINT64_MAX ? limit : swap_limit + limit;
	buf_printf(json, ",\"memory\":{\"cache\":%llu", (ull)key_or_0(stat, "file"));
	add_entry(json, "usage", limit, usage, read_or_0(dirfd, "memory.peak"), key_or_0(events, "max"));
	add_entry(json, "swap", swap_limit, usage + swap, 0, 0);
	buf_puts(json, ",\"raw\":");
	add_raw(json, stat);
	buf_puts(json, "}");
}

/* --- block devices -------------------------------------------------------------------------------------- */

static void add_io(struct buf *json, const char **comma, ull major, ull minor, const char *op, int op_len,
		   ull value)
{
	buf_printf(json, "%s{\"major\":%llu,\"minor\":%llu,\"op\":\"%.*s\",\"value\":%llu}", *comma, major,
		   minor, op_len, op, value);
	*comma = ",";
}

/* v1_io_list() - lines of "254:0 Read 1024"; the last line, "Total 1024", has no device. */
static void v1_io_list(struct buf *json, const char *name, const char *text)
{
	const char *comma = "";

	buf_printf(json, "\"%s\":[", name);
	for (const char *s = text; *s; s = strchrnul(s, '\n'), s += *s == '\n') {
		char *p;
		ull major = strtoull(s, &p, 10), minor;
		int op;

		if (*p != ':')
			continue;
		minor = strtoull(p + 1, &p, 10);
		op = *p == ' ' ? (int)strspn(p + 1, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") :
				 0;
		if (op > 0)
			add_io(json, &comma, major, minor, p + 1, op, strtoull(p + 1 + op, NULL, 10));
	}
	buf_puts(json, "]");
}

static void v1_io(struct buf *json, int dirfd)
{
	auto_fini(buf) struct buf b = { 0 };
	bool throttle =
		!*slurp(dirfd, "blkio.bfq.io_serviced_recursive", &b) || strstr(buf_str(&b), ":") == NULL;
	const char *from = throttle ? "throttle" : "bfq"; /* BFQ counts only the disks it schedules */
	char file[64];

	buf_puts(json, ",\"blkio\":{");
	str_format(file, sizeof(file), "blkio.%s.io_service_bytes_recursive", from);
	v1_io_list(json, "ioServiceBytesRecursive", slurp(dirfd, file, &b));
	buf_puts(json, ",");
	str_format(file, sizeof(file), "blkio.%s.io_serviced_recursive", from);
	v1_io_list(json, "ioServicedRecursive", slurp(dirfd, file, &b));
	buf_puts(json, "}");
}

/* v2_io_list() - lines of "254:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6". */
static void v2_io_list(struct buf *json, const char *name, const char *text, const char *const key[3])
{
	static const char *const op[] = { "Read", "Write", "Discard" };
	const char *comma = "";

	buf_printf(json, "\"%s\":[", name);
	for (const char *s = text; *s; s = strchrnul(s, '\n'), s += *s == '\n') {
		size_t line = strcspn(s, "\n");
		char *p;
		ull major = strtoull(s, &p, 10), minor;

		if (*p != ':')
			continue;
		minor = strtoull(p + 1, &p, 10);
		for (size_t k = 0; k < 3; k++) {
			const char *at = memmem(s, line, key[k], strlen(key[k]));

			if (at)
				add_io(json, &comma, major, minor, op[k], (int)strlen(op[k]),
				       strtoull(at + strlen(key[k]), NULL, 10));
		}
	}
	buf_puts(json, "]");
}

static void v2_io(struct buf *json, int dirfd)
{
	static const char *const bytes[] = { " rbytes=", " wbytes=", " dbytes=" };
	static const char *const ios[] = { " rios=", " wios=", " dios=" };
	auto_fini(buf) struct buf b = { 0 };
	const char *text = slurp(dirfd, "io.stat", &b);

	buf_puts(json, ",\"blkio\":{");
	v2_io_list(json, "ioServiceBytesRecursive", text, bytes);
	buf_puts(json, ",");
	v2_io_list(json, "ioServicedRecursive", text, ios);
	buf_puts(json, "}");
}

/* --- huge pages ----------------------------------------------------------------------------------------- */

/* page_size_of() - "hugetlb.2MB.max" or "hugetlb.2MB.limit_in_bytes" -> "2MB". */
static bool page_size_of(const char *file, const char *suffix, char *dst, size_t size)
{
	const char *s = str_after(file, "hugetlb.");

	if (!s || !str_ends(s, suffix) || strlen(s) <= strlen(suffix) || strlen(s) - strlen(suffix) >= size)
		return false;
	memcpy(dst, s, strlen(s) - strlen(suffix));
	dst[strlen(s) - strlen(suffix)] = '\0';
	return cgroup__page_size_ok(dst);
}

static void add_hugetlb_size(struct buf *json, int dirfd, bool v2, const char *page)
{
	auto_fini(buf) struct buf b = { 0 };
	char usage[64], max[64], fails[64];
	uint64_t failcnt;

	str_format(usage, sizeof(usage), "hugetlb.%s.%s", page, v2 ? "current" : "usage_in_bytes");
	str_format(max, sizeof(max), "hugetlb.%s.max_usage_in_bytes", page);
	str_format(fails, sizeof(fails), "hugetlb.%s.%s", page, v2 ? "events" : "failcnt");
	failcnt = v2 ? key_or_0(slurp(dirfd, fails, &b), "max") : read_or_0(dirfd, fails);
	buf_printf(json, "\"%s\":{\"usage\":%llu,\"max\":%llu,\"failcnt\":%llu}", page,
		   (ull)read_or_0(dirfd, usage), v2 ? 0 : (ull)read_or_0(dirfd, max), (ull)failcnt);
}

static void add_hugetlb(struct buf *json, int dirfd, bool v2)
{
	int fd = file_open(dirfd, ".", O_RDONLY | O_DIRECTORY, 0);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const char *comma = "";
	struct dirent *d;

	if (!dir) {
		fd_close(&fd);
		return;
	}
	buf_puts(json, ",\"hugetlb\":{");
	while ((d = readdir(dir))) {
		char page[32];

		if (!page_size_of(d->d_name, v2 ? ".max" : ".limit_in_bytes", page, sizeof(page)))
			continue;
		buf_puts(json, comma);
		add_hugetlb_size(json, dirfd, v2, page);
		comma = ",";
	}
	closedir(dir);
	buf_puts(json, "}");
}

/* --- all ------------------------------------------------------------------------------------------------ */

int cgroup_stats(const struct cgroup *cg, struct buf *json, struct err *e)
{
	const struct cgroup_hierarchy *v2 = cgroup__v2(cg), *h;

	buf_puts(json, "{");
	if (cgroup__v1(cg, "cpuacct") || cgroup__v1(cg, "cpu") || !v2)
		v1_cpu(json, cg);
	else
		v2_cpu(json, v2->dirfd);
	h = cgroup__v1(cg, "memory");
	if (h)
		v1_memory(json, h->dirfd);
	else if (v2)
		v2_memory(json, v2->dirfd);
	h = cgroup__v1(cg, "pids");
	if (h || v2)
		add_pids(json, h ? h->dirfd : v2->dirfd);
	h = cgroup__v1(cg, "blkio");
	if (h)
		v1_io(json, h->dirfd);
	else if (v2)
		v2_io(json, v2->dirfd);
	h = cgroup__v1(cg, "hugetlb");
	if (h || v2)
		add_hugetlb(json, h ? h->dirfd : v2->dirfd, !h);
	buf_puts(json, "}");
	return buf_finish(json) < 0 ? err_sys(e, ENOMEM, "cgroup stats") : 0;
}

static void usage_memory(const struct cgroup *cg, struct cgroup_usage *u)
{
	const struct cgroup_hierarchy *v1 = cgroup__v1(cg, "memory"), *h = v1 ? v1 : cgroup__v2(cg);
	auto_fini(buf) struct buf b = { 0 };
	uint64_t cache;

	u->mem_limit_bytes = UINT64_MAX;
	if (!h)
		return;
	cache = key_or_0(slurp(h->dirfd, "memory.stat", &b), v1 ? "total_inactive_file" : "inactive_file");
	u->mem_bytes = read_or_0(h->dirfd, v1 ? "memory.usage_in_bytes" : "memory.current");
	u->mem_bytes = u->mem_bytes > cache ? u->mem_bytes - cache : 0;
	cgroup__read_u64(h->dirfd, v1 ? "memory.limit_in_bytes" : "memory.max", &u->mem_limit_bytes);
	if (u->mem_limit_bytes > INT64_MAX - (1 << 20)) /* v1's "none" is the largest number of whole pages */
		u->mem_limit_bytes = UINT64_MAX;
}

static void usage_io(const struct cgroup *cg, struct cgroup_usage *u)
{
	const struct cgroup_hierarchy *v1 = cgroup__v1(cg, "blkio"), *h = v1 ? v1 : cgroup__v2(cg);
	const char *read_key = v1 ? " Read " : " rbytes=", *write_key = v1 ? " Write " : " wbytes=";
	auto_fini(buf) struct buf b = { 0 };
	const char *text, *s;

	if (!h)
		return;
	text = slurp(h->dirfd, v1 ? "blkio.throttle.io_service_bytes_recursive" : "io.stat", &b);
	for (s = text; (s = strstr(s, read_key)); s++)
		u->io_read_bytes += strtoull(s + strlen(read_key), NULL, 10);
	for (s = text; (s = strstr(s, write_key)); s++)
		u->io_write_bytes += strtoull(s + strlen(write_key), NULL, 10);
}

int cgroup_usage(const struct cgroup *cg, struct cgroup_usage *ret_u)
{
	const struct cgroup_hierarchy *acct = cgroup__v1(cg, "cpuacct"), *v2 = cgroup__v2(cg), *pids;
	struct cgroup_usage u = { 0 };
	char text[1024];

	if (acct)
		u.cpu_ns = read_or_0(acct->dirfd, "cpuacct.usage");
	else if (v2 && cgroup__read(v2->dirfd, "cpu.stat", text, sizeof(text)) > 0)
		u.cpu_ns = key_or_0(text, "usage_usec") * 1000;
	pids = cgroup__v1(cg, "pids");
	if (!pids)
		pids = v2;
	u.pids = pids ? read_or_0(pids->dirfd, "pids.current") : 0;
	usage_memory(cg, &u);
	usage_io(cg, &u);
	*ret_u = u;
	return 0;
}
