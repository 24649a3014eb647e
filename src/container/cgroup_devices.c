/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup_devices.c - the device filter: v1's devices controller where there is one, a BPF program in the v2
 * group else */
#include "container/cgroup_internal.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <string.h>

#include "base/buf.h"
#include "base/guard.h"
#include "container/devfilter.h"
#include "sys/bpf.h"
#include "sys/file.h"

enum { DEVICES_LIST_MAX = 1 << 20 };

/* put_line() - @fd: devices.allow or devices.deny, opened once for all lines: opening costs more than the
 * writing. */
static int put_line(int fd, const char *file, const struct devfilter_rule *rule, struct err *e)
{
	char line[DEVFILTER_LINE_SIZE];
	int r;

	devfilter_line(rule, line);
	r = fd < 0 ? fd : file_write(fd, line, strlen(line));
	/* Inside another container's group not even the usual devices may all be given on; whoever asked for
	 * one by name has to hear it. */
	if (r == -EPERM && !rule->wanted)
		return 0;
	return r < 0 ? err_sys(e, -r, "linux.resources.devices: %s: '%s'", file, line) : 0;
}

/* v1_current() - what the group allows now. */
static int v1_current(int dirfd, struct devfilter *ret_f)
{
	auto_fini(buf) struct buf b = { 0 };
	int r = file_slurp_at(dirfd, "devices.list", &b, DEVICES_LIST_MAX);

	return r < 0 ? r : devfilter_parse(ret_f, buf_str(&b));
}

/* v1_reset() - from any state to @f's default without exceptions. */
static int v1_reset(int dirfd, const struct devfilter *f, struct err *e)
{
	const char *file = f->allow ? "devices.allow" : "devices.deny";
	int r = file_put(dirfd, file, "a");

	return r < 0 ? err_sys(e, -r, "linux.resources.devices: %s: 'a'", file) : 0;
}

/*
 * v1_set() - a new group is reset and filled. One in use moves from its list to the new one by the
 * differences, what is to be refused last, so that no device the container may use before and after is
 * refused for a moment in between.
 */
static int v1_set(int dirfd, const struct devfilter *f, bool fresh, struct err *e)
{
	const char *except = f->allow ? "devices.deny" : "devices.allow";
	const char *revoke = f->allow ? "devices.allow" : "devices.deny";
	auto_close int except_fd = file_open(dirfd, except, O_WRONLY, 0);
	auto_close int revoke_fd = -1;
	auto_fini(devfilter) struct devfilter now = { 0 };
	int r = fresh ? 0 : v1_current(dirfd, &now);

	if (r < 0)
		return err_sys(e, -r, "linux.resources.devices: devices.list");
	if (fresh || now.allow != f->allow || f->allow) {
		devfilter_fini(&now);
		r = v1_reset(dirfd, f, e);
	}
	for (size_t i = 0; i < f->n && r == 0; i++)
		if (!devfilter_has(&now, &f->rule[i]))
			r = put_line(except_fd, except, &f->rule[i], e);
	if (now.n > 0)
		revoke_fd = file_open(dirfd, revoke, O_WRONLY, 0);
	for (size_t i = 0; i < now.n && r == 0; i++) {
		struct devfilter_rule gone = now.rule[i];

		/* the same range with other access: only the bits not wanted go */
		for (size_t k = 0; k < f->n; k++)
			if (f->rule[k].type == gone.type && f->rule[k].major == gone.major &&
			    f->rule[k].minor == gone.minor)
				gone.access &= ~f->rule[k].access;
		if (gone.access)
			r = put_line(revoke_fd, revoke, &gone, e);
	}
	return r;
}

/* v2_set() - the new program goes beside the old ones, then the old ones go: there is no moment without a
 * filter. */
static int v2_set(int dirfd, const struct devfilter *f, bool fresh, struct err *e)
{
	auto_free struct bpf_insn *insn = NULL;
	auto_close int prog = -1;
	uint32_t old[BPF_ATTACHED_MAX];
	size_t len;
	int n = fresh ? 0 : bpf_query_device(dirfd, old);
	int r;

	if (n < 0)
		return err_sys(e, -n, "linux.resources.devices: BPF_PROG_QUERY");
	if (!f->allow || f->n > 0) { /* everything allowed needs no program */
		r = devfilter_compile(f, &insn, &len);
		prog = r < 0 ? r : bpf_load_device(insn, len, e);
		if (prog < 0)
			return err_wrap(e, prog, "linux.resources.devices");
		r = bpf_attach_device(dirfd, prog);
		if (r < 0)
			return err_sys(e, -r, "linux.resources.devices: BPF_PROG_ATTACH");
	}
	for (int i = 0; i < n; i++) {
		auto_close int fd = bpf_open_id(old[i]);

		r = fd < 0 ? fd : bpf_detach_device(dirfd, fd);
		if (r < 0 && r != -ENOENT)
			return err_sys(e, -r, "linux.resources.devices: BPF_PROG_DETACH");
	}
	return 0;
}

int cgroup__set_devices(struct cgroup *cg, const struct oci_resources *r, bool fresh, struct err *e)
{
	const struct cgroup_hierarchy *v1 = cgroup__v1(cg, "devices"), *v2 = cgroup__v2(cg);
	auto_fini(devfilter) struct devfilter f = { 0 };
	int rc = devfilter_build(&f, r->devices, r->n_devices, e);

	if (rc < 0)
		return rc;
	if (v1) {
		rc = devfilter_flatten(&f, e);
		return rc < 0 ? rc : v1_set(v1->dirfd, &f, fresh, e);
	}
	if (v2)
		return v2_set(v2->dirfd, &f, fresh, e);
	if (f.allow && f.n == 0)
		return 0;
	return err_set(e, ENOTSUP,
		       "linux.resources.devices: no devices controller and no cgroup v2 here, nothing would "
		       "keep the container from the host's devices");
}
