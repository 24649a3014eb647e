/* SPDX-License-Identifier: Apache-2.0 */
/* start.c - start and attach */
#include <errno.h>
#include <stdio.h>

#include "base/err.h"
#include "base/guard.h"
#include "cmd/each.h"
#include "cmd/print.h"
#include "cmd/run_flags.h"
#include "cmd/table.h"

enum { STATUS_OURS = 125 };

struct start_opts {
	bool attach, interactive, no_stdin, sig_proxy;
	const char *detach_keys;
};
#define OPT(member) offsetof(struct start_opts, member)

static const struct opt start_opts[] = {
	{ "attach", 'a', OPT_FLAG, OPT(attach), NULL,
	  "Attach its output, pass signals on, end with its exit status", NULL },
	{ "detach-keys", 0, OPT_STRING, OPT(detach_keys), "KEYS", "Keys that end the session (ctrl-p,ctrl-q)",
	  NULL },
	{ "interactive", 'i', OPT_FLAG, OPT(interactive), NULL, "Attach its standard input", NULL },
	{ 0 }
};

static const struct opt attach_opts[] = {
	{ "detach-keys", 0, OPT_STRING, OPT(detach_keys), "KEYS", "Keys that end the session (ctrl-p,ctrl-q)",
	  NULL },
	{ "no-stdin", 0, OPT_FLAG, OPT(no_stdin), NULL, "Do not attach standard input", NULL },
	{ "sig-proxy", 0, OPT_FLAG, OPT(sig_proxy), NULL, "Pass signals on to it (true)", NULL },
	{ 0 }
};

static void start_defaults(void *o)
{
	((struct start_opts *)o)->sig_proxy = true;
}

static int start_quietly(struct runtime *rt, const char *id, void *arg, struct err *e)
{
	int code;

	(void)arg;
	return instance_start(rt, id, NULL, &code, e);
}

/* join() - connect to container @name, by starting it or as it runs. Return: exit status or -errno. */
static int join(const char *name, const struct start_opts *o, bool start, bool want_stdin, struct err *e)
{
	auto_fini(instance) struct instance in = { 0 };
	struct instance_streams io = { .detach_keys = o->detach_keys, .sig_proxy = o->sig_proxy };
	int code = STATUS_OURS, r;
	struct runtime *rt;

	r = cmd_runtime(&rt, e);
	if (r == 0)
		r = instance_find(rt, name, &in, e);
	if (r < 0)
		return r;
	r = flag_streams(&io, want_stdin && json_is_true(json_path(in.config, "Config.OpenStdin")),
			 json_is_true(json_path(in.config, "Config.Tty")), NULL, e);
	if (r < 0)
		return r;
	if (!start && in.status != INSTANCE_RUNNING && in.status != INSTANCE_PAUSED)
		return err_set(e, EINVAL, "container '%s' is not running; 'hull start -a %s' starts it", name,
			       name);
	if (!start && in.status == INSTANCE_PAUSED)
		return err_set(e, EINVAL, "container '%s' is paused; 'hull unpause %s' first", name, name);
	r = start ? instance_start(rt, in.id, &io, &code, e) : instance_attach(rt, in.id, &io, &code, e);
	if (r == INSTANCE_DETACHED)
		return 0;
	if (r < 0)
		cmd_fail(e);
	return code;
}

static int start_main(void *o, int argc, char **argv, struct err *e)
{
	const struct start_opts *s = o;

	if (!s->attach && !s->interactive)
		return each_container(argc, argv, start_quietly, NULL, e);
	if (argc > 1)
		return err_set(e, EINVAL, "only one container at a time can be started and attached");
	return join(argv[0], s, true, s->interactive, e);
}

static int attach_main(void *o, int argc, char **argv, struct err *e)
{
	const struct start_opts *s = o;

	(void)argc;
	return join(argv[0], s, false, !s->no_stdin, e);
}

const struct cmd cmd_start = {
	.name = "start",
	.aliases = "container start",
	.group = CMD_LIFE,
	.args = "[OPTIONS] CONTAINER [CONTAINER...]",
	.summary = "Start stopped containers",
	.about = "Starts containers that were created or have ended. With --attach or --interactive it stays "
		 "connected to the one "
		 "named, and ends with its exit status.",
	.examples = "hull start -ai shell\nBack into a container made with -it",
	.opts = start_opts,
	.opts_size = sizeof(struct start_opts),
	.defaults = start_defaults,
	.min_args = 1,
	.max_args = -1,
	.makes_processes = true,
	.run = start_main,
	.complete = "@container",
};

const struct cmd cmd_attach = {
	.name = "attach",
	.aliases = "container attach",
	.group = CMD_LIFE,
	.args = "[OPTIONS] CONTAINER",
	.summary = "Connect to the standard streams of a running container",
	.about = "Joins the session of a running container: its output from now on, its input if it was made "
		 "with --interactive. "
		 "The detach keys leave it running; several sessions may be attached at once.",
	.opts = attach_opts,
	.opts_size = sizeof(struct start_opts),
	.defaults = start_defaults,
	.min_args = 1,
	.max_args = 1,
	.status_error = STATUS_OURS,
	.run = attach_main,
	.complete = "@container",
};
