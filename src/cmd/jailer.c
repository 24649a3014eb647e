/* SPDX-License-Identifier: Apache-2.0 */
/* jailer.c - `hull jailer`, also as a link named jailer: Firecracker's jailer, its arguments and its order */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/firecracker.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/time.h"
#include "cmd/table.h"
#include "vm/jailer.h"

enum { NO_FILE_DEFAULT = 2048 };

struct jailer_opts {
	const char *id, *exec_file, *uid, *gid, *base, *netns, *parent_cgroup, *cgroup_version;
	struct strv cgroup, limit;
	bool daemonize, new_pid_ns, version;
};
#define OPT(member) offsetof(struct jailer_opts, member)

static const struct opt opts[] = {
	{ "cgroup", 0, OPT_LIST, OPT(cgroup), "FILE=VALUE", "Write this into a file of the jail's cgroup",
	  NULL },
	{ "cgroup-version", 0, OPT_STRING, OPT(cgroup_version), "1|2", "Version of the cgroups to use (1)",
	  "1 2" },
	{ "chroot-base-dir", 0, OPT_STRING, OPT(base), "DIR", "Where jails are made (/srv/jailer)", "@dir" },
	{ "daemonize", 0, OPT_FLAG, OPT(daemonize), NULL, "A session of its own, streams to /dev/null",
	  NULL },
	{ "exec-file", 0, OPT_STRING, OPT(exec_file), "FILE", "The program to run in the jail", "@file" },
	{ "gid", 0, OPT_STRING, OPT(gid), "GID", "Group the program runs as", NULL },
	{ "id", 0, OPT_STRING, OPT(id), "ID", "Name of the machine and of its jail", NULL },
	{ "netns", 0, OPT_STRING, OPT(netns), "PATH", "Network namespace to join", "@file" },
	{ "new-pid-ns", 0, OPT_FLAG, OPT(new_pid_ns), NULL, "Run the program in a PID namespace of its own",
	  NULL },
	{ "parent-cgroup", 0, OPT_STRING, OPT(parent_cgroup), "PATH",
	  "Cgroup that the jail's is made in (the program's name)", NULL },
	{ "resource-limit", 0, OPT_LIST, OPT(limit), "fsize|no-file=N",
	  "Longest file in bytes, open descriptors (no-file=2048)", NULL },
	{ "uid", 0, OPT_STRING, OPT(uid), "UID", "User the program runs as", NULL },
	{ "version", 0, OPT_FLAG, OPT(version), NULL, "Print the version and end", NULL },
	{ 0 }
};

static void defaults(void *arg)
{
	struct jailer_opts *o = arg;

	o->base = "/srv/jailer";
	o->cgroup_version = "1";
}

static int read_id(const char *text, const char *flag, uint32_t *ret, struct err *e)
{
	uint64_t n;

	if (!text)
		return err_set(e, EINVAL, "--%s is needed", flag);
	if (str_to_u64(text, &n) < 0 || n >= UINT32_MAX)
		return err_set(e, EINVAL, "--%s: '%s' is no id", flag, text);
	*ret = (uint32_t)n;
	return 0;
}

static int read_limits(const struct strv *v, struct jailer_config *c, struct err *e)
{
	for (size_t i = 0; i < v->len; i++) {
		const char *fsize = str_after(v->item[i], "fsize="),
			   *files = str_after(v->item[i], "no-file=");

		if (!(fsize && str_to_u64(fsize, &c->fsize) == 0) &&
		    !(files && str_to_u64(files, &c->no_file) == 0))
			return err_set(e, EINVAL, "--resource-limit '%s': want fsize=N or no-file=N",
				       v->item[i]);
	}
	return 0;
}

static int read_config(const struct jailer_opts *o, struct jailer_config *c, struct err *e)
{
	int r = read_id(o->uid, "uid", &c->uid, e);

	if (r == 0)
		r = read_id(o->gid, "gid", &c->gid, e);
	if (r == 0)
		r = read_limits(&o->limit, c, e);
	if (r == 0 && !o->id)
		r = err_set(e, EINVAL, "--id is needed");
	if (r == 0)
		r = fc_id_check(o->id, e);
	if (r == 0 && !o->exec_file)
		r = err_set(e, EINVAL, "--exec-file is needed");
	if (r == 0 && o->cgroup.len > JAILER_CGROUPS_MAX)
		r = err_set(e, EINVAL, "--cgroup: more than %d", JAILER_CGROUPS_MAX);
	if (r == 0 && str_eq(o->cgroup_version, "2"))
		c->cgroup_version = 2;
	else if (r == 0 && !str_eq(o->cgroup_version, "1"))
		r = err_set(e, EINVAL, "--cgroup-version: '%s', want 1 or 2", o->cgroup_version);
	return r;
}

static int jailer_main(void *arg, int argc, char **argv, struct err *e)
{
	const struct jailer_opts *o = arg;
	auto_free char *engine = cmd_engine() ? str_printf("HULL_ENGINE=%s", cmd_engine()) : NULL;
	char *const env[] = { engine, NULL };
	struct jailer_config c = {
		.id = o->id,
		.exec_file = o->exec_file,
		.base = o->base,
		.netns = o->netns,
		.parent_cgroup = o->parent_cgroup,
		.cgroup = o->cgroup.item,
		.n_cgroups = (unsigned)o->cgroup.len,
		.cgroup_version = 1,
		.daemonize = o->daemonize,
		.new_pid_ns = o->new_pid_ns,
		.fsize = UINT64_MAX,
		.no_file = NO_FILE_DEFAULT,
		.args = argv,
		.n_args = (unsigned)argc,
		.env = env,
		.start_us = time_now_ns(CLOCK_MONOTONIC) / 1000,
		.start_cpu_us = time_now_ns(CLOCK_PROCESS_CPUTIME_ID) / 1000,
	};
	int r;

	if (o->version) {
		printf("Jailer v%s\nhull %s\n", FC_API_VERSION, HULL_VERSION);
		return 0;
	}
	r = read_config(o, &c, e);
	return r < 0 ? r : jailer_run(&c, e);
}

const struct cmd cmd_jailer = {
	.name = "jailer",
	.group = CMD_SYSTEM,
	.args = "--id ID --exec-file FILE --uid UID --gid GID [OPTIONS] [-- ARGUMENT...]",
	.summary = "Run a program in a jail of its own, as Firecracker's jailer does",
	.about = "Makes DIR/NAME/ID/root, where NAME is the program's file name, copies the program there, "
		 "sets limits and cgroups, enters "
		 "a mount namespace that has nothing but this directory, makes the devices a machine needs, "
		 "joins the network namespace, "
		 "becomes the user and runs the program with --id and whatever stands behind --, with "
		 "nothing in its environment but HULL_ENGINE if that is set. NAME.pid in "
		 "the jail holds its process id. "
		 "A link named jailer that points to hull is this command; for the program, use a link named "
		 "firecracker.",
	.examples = "hull jailer --id vm1 --exec-file /usr/bin/firecracker --uid 123 --gid 100 -- --api-sock "
		    "/run/fc.sock\n"
		    "Serve a machine's API as user 123 on /srv/jailer/firecracker/vm1/root/run/fc.sock.",
	.opts = opts,
	.opts_size = sizeof(struct jailer_opts),
	.defaults = defaults,
	.max_args = -1,
	.options_first = true,
	.run = jailer_main,
};
