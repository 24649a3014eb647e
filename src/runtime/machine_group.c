/* SPDX-License-Identifier: Apache-2.0 */
/*
 * machine_group.c - a machine's control group: its share of the processors among its equals, its caps
 *
 * Every machine has one where the host lets us make one, so that machines are equals whatever the number of their
 * processors: the scheduler divides between groups first. Where it does not, only limits that were asked for are an error.
 * What was made is written into the machine's directory before anybody is in, for whoever finds the keeper killed.
 */
#include <signal.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "runtime/machine_internal.h"
#include "sys/cred.h"
#include "sys/file.h"

enum {
	WEIGHT_USUAL = 100,
	SHARES_USUAL = 1024,
	SHARES_MIN = 2,
	PERIOD_US = 100000,
	GROUP_TEXT_MAX = 1 << 16
};

/* put_in() - the limits as a container's would be. Devices are the jail's affair: all allowed here. */
static void put_in(struct oci_resources *r, const struct machines_limits *l)
{
	static struct oci_device_rule all = {
		.allow = true, .type = 'a', .read = true, .write = true, .mknod = true
	};
	uint64_t shares =
		(uint64_t)(l->cpu_weight ? l->cpu_weight : WEIGHT_USUAL) * SHARES_USUAL / WEIGHT_USUAL;

	r->devices = &all;
	r->n_devices = 1;
	if (l->cpu_weight) {
		r->cpu.shares.set = true;
		r->cpu.shares.v = shares < SHARES_MIN ? SHARES_MIN : shares;
	}
	if (l->nano_cpus) {
		r->cpu.period.set = r->cpu.quota.set = true;
		r->cpu.period.v = PERIOD_US;
		r->cpu.quota.v = l->nano_cpus * PERIOD_US / 1000000000;
	}
	if (l->memory) {
		r->memory.limit.set = true;
		r->memory.limit.v = l->memory;
	}
}

static int note(const struct cgroup *cg, int dirfd, struct err *e)
{
	auto_fini(buf) struct buf text = { 0 };

	cgroup_save(cg, &text);
	if (buf_finish(&text) < 0)
		return err_sys(e, ENOMEM, MACHINES_GROUP);
	return file_replace(dirfd, MACHINES_GROUP, buf_str(&text), text.len, 0600, false, e);
}

int machines__group_make(struct cgroup *cg, const char *id, const struct machines_limits *l, int dirfd,
			 struct err *e)
{
	bool asked = l->cpu_weight || l->nano_cpus || l->memory;
	struct oci_resources res = { 0 };
	char path[16 + INSTANCE_ID_SIZE];
	struct err why = { 0 };
	int r;

	str_format(path, sizeof(path), "%shull/%s", cred_in_userns() ? "" : "/", id);
	put_in(&res, l);
	r = cgroup_open(cg, path, id, CGROUP_FS, &why);
	if (r >= 0)
		r = note(cg, dirfd, &why);
	if (r >= 0)
		r = cgroup_create(cg, &res, false, &why);
	if (r >= 0)
		r = note(cg, dirfd, &why); /* which directories above are ours, too */
	if (r >= 0)
		return 0;
	machines__group_remove(cg, dirfd);
	return asked ? err_set(e, -r, "limits: %s", why.text) : 0;
}

int machines__group_join_fds(const struct cgroup *cg, int *fds, size_t *ret_n, struct err *e)
{
	*ret_n = 0;
	return cgroup_any(cg) ? cgroup_join_open(cg, true, fds, ret_n, e) : 0;
}

void machines__group_remove(struct cgroup *cg, int dirfd)
{
	cgroup_delete(cg, NULL);
	cgroup_fini(cg);
	file_unlink(dirfd, MACHINES_GROUP, 0);
}

void machines__group_clean(int dirfd)
{
	auto_fini(buf) struct buf text = { 0 };
	struct cgroup cg = { 0 };

	if (file_slurp_at(dirfd, MACHINES_GROUP, &text, GROUP_TEXT_MAX) < 0)
		return;
	if (cgroup_load(&cg, buf_str(&text), NULL) >= 0)
		cgroup_kill(&cg, SIGKILL, NULL); /* whoever is still in belongs to the machine */
	machines__group_remove(&cg, dirfd);
}
