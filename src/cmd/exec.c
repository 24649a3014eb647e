/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "cmd/each.h"
#include "cmd/run_flags.h"
#include "cmd/table.h"

enum { STATUS_OURS = 125, STATUS_CONTAINER = 1 }; /* as docker's: the container named cannot be used */

struct exec_opts {
	struct instance_exec x;
	struct strv env, env_file;
	bool interactive;
	const char *detach_keys;
};
#define OPT(member) offsetof(struct exec_opts, member)

static const struct opt exec_opts[] = {
	{ "detach", 'd', OPT_FLAG, OPT(x.detach), NULL, "Do not wait for it", NULL },
	{ "detach-keys", 0, OPT_STRING, OPT(detach_keys), "KEYS", "Keys that end the session (ctrl-p,ctrl-q)",
	  NULL },
	{ "env", 'e', OPT_LIST, OPT(env), "VAR[=VALUE]", "Set a variable; without a value: as it is here",
	  NULL },
	{ "env-file", 0, OPT_LIST, OPT(env_file), "FILE", "Set the variables of a file, one on each line",
	  "@file" },
	{ "interactive", 'i', OPT_FLAG, OPT(interactive), NULL, "Connect standard input", NULL },
	{ "privileged", 0, OPT_FLAG, OPT(x.privileged), NULL, "Give it all capabilities", NULL },
	{ "tty", 't', OPT_FLAG, OPT(x.tty), NULL, "Give it a terminal", NULL },
	{ "user", 'u', OPT_OWNED, OPT(x.user), "USER[:GROUP]", "User by name or number", NULL },
	{ "workdir", 'w', OPT_OWNED, OPT(x.workdir), "DIR", "Working directory", NULL },
	{ 0 }
};

static int exec_fill(struct exec_opts *o, int argc, char **argv, struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < o->env_file.len && r == 0; i++)
		r = flag_env_file(&o->x.env, o->env_file.item[i], e);
	for (size_t i = 0; i < o->env.len && r == 0; i++)
		r = flag_env(&o->x.env, o->env.item[i], e);
	for (int i = 1; i < argc; i++)
		strv_add(&o->x.cmd, argv[i]);
	if (r == 0 && (strv_finish(&o->x.cmd) < 0 || strv_finish(&o->x.env) < 0))
		r = err_sys(e, ENOMEM, "reading the command line");
	return r;
}

static int exec_in(struct exec_opts *o, const char *name, struct err *e)
{
	struct instance_streams io = { .in = -1, .out = -1, .err = -1, .detach_keys = o->detach_keys };
	int code = STATUS_OURS, r = 0;
	struct runtime *rt;
	char id[65];

	if (!o->x.detach)
		r = flag_streams(&io, o->interactive, o->x.tty, NULL, e);
	if (r >= 0)
		r = cmd_runtime(&rt, e);
	if (r < 0)
		return r;
	if (each_id(rt, name, id, e) < 0) {
		cmd_fail(e);
		return STATUS_CONTAINER;
	}
	r = instance_exec(rt, id, &o->x, o->x.detach ? NULL : &io, &code, e);
	if (r < 0)
		cmd_fail(e);
	return r == INSTANCE_DETACHED || (r == 0 && o->x.detach) ? 0 : code;
}

static int exec_main(void *opts, int argc, char **argv, struct err *e)
{
	struct exec_opts *o = opts;
	int r = exec_fill(o, argc, argv, e);

	if (r == 0)
		r = exec_in(o, argv[0], e);
	strv_fini(&o->x.cmd);
	strv_fini(&o->x.env);
	return r;
}

const struct cmd cmd_exec = {
	.name = "exec",
	.aliases = "container exec",
	.group = CMD_LIFE,
	.args = "[OPTIONS] CONTAINER COMMAND [ARG...]",
	.summary = "Run a command in a running container",
	.about = "Starts a further process in a running container and stays connected to it. The exit status "
		 "is the command's; "
		 "126 when it cannot be executed, 127 when it is not there, 1 when the container is not "
		 "there or "
		 "does not run, 125 when hull itself failed.",
	.examples = "hull exec -it web sh\nA shell in the container web\n\nhull exec -u 0 -w /srv web ls "
		    "-l\nOne command, as root",
	.opts = exec_opts,
	.opts_size = sizeof(struct exec_opts),
	.min_args = 2,
	.max_args = -1,
	.status_error = STATUS_OURS,
	.options_first = true,
	.makes_processes = true,
	.run = exec_main,
	.complete = "@container",
};
