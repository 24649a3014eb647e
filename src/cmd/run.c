/* SPDX-License-Identifier: Apache-2.0 */
/* run.c - run and create */
#include <errno.h>
#include <stdio.h>

#include "base/err.h"
#include "cmd/run_flags.h"
#include "cmd/table.h"

enum { STATUS_OURS = 125 };

/*
 * run_attached() - start with our streams connected. Return: the workload's exit status, 0 when detached
 * from, -errno.
 */
static int run_attached(struct runtime *rt, const char *id, const struct run_flags *f, struct err *e)
{
	struct instance_streams io = { .detach_keys = f->detach_keys, .sig_proxy = f->sig_proxy };
	int code = STATUS_OURS;
	int r = flag_streams(&io, f->config.open_stdin, f->config.tty, &f->attach, e);

	if (r == 0)
		r = instance_start(rt, id, &io, &code, e);
	if (r == INSTANCE_DETACHED)
		return 0;
	if (r == 0)
		return code;
	cmd_fail(e);
	return code;
}

static int run_detached(struct runtime *rt, const char *id, struct err *e)
{
	int code = STATUS_OURS;

	puts(id);
	fflush(stdout);
	if (instance_start(rt, id, NULL, &code, e) == 0)
		return 0;
	cmd_fail(e);
	return code;
}

static int check_session(const struct run_flags *f, struct err *e)
{
	struct instance_streams io = { .detach_keys = f->detach_keys };

	if (!f->detach)
		return flag_streams(&io, f->config.open_stdin, f->config.tty, &f->attach, e);
	if (f->attach.len > 0)
		return err_set(e, EINVAL, "--attach cannot go together with --detach");
	return 0;
}

static int run_main(void *o, int argc, char **argv, struct err *e)
{
	struct run_flags *f = o;
	struct runtime *rt;
	char id[65];
	int r = check_session(f, e);

	if (r == 0)
		r = run_create(f, argc, argv, id, e);
	if (r == 0)
		r = cmd_runtime(&rt, e);
	if (r == 0)
		r = f->detach ? run_detached(rt, id, e) : run_attached(rt, id, f, e);
	instance_config_fini(&f->config);
	return r;
}

static int create_main(void *o, int argc, char **argv, struct err *e)
{
	struct run_flags *f = o;
	char id[65];
	int r = run_create(f, argc, argv, id, e);

	if (r == 0)
		puts(id);
	instance_config_fini(&f->config);
	return r;
}

const struct cmd cmd_run = {
	.name = "run",
	.aliases = "container run",
	.group = CMD_LIFE,
	.args = "[OPTIONS] IMAGE [COMMAND] [ARG...]",
	.summary = "Create a container from an image and start it",
	.about = "Makes a container from IMAGE, starts COMMAND in it (or what the image says) and stays "
		 "connected to it until it ends. "
		 "With --detach it prints the container's id and leaves it running under a small process of "
		 "its own; there is no daemon.\n\n"
		 "Without --network a container has only its loopback interface: bridge networks are not "
		 "there yet, and what is not asked for "
		 "is not shared. --network host shares the host's interfaces.\n\n"
		 "The exit status is the command's own; 128+N when signal N ended it; 126 when it cannot be "
		 "executed; 127 when it is "
		 "not there; 125 when hull itself failed.",
	.examples = "hull run --rm -it debian bash\nA shell in a container that is removed when it ends\n\n"
		    "hull run -d --name web -v ./site:/srv:ro -m 256m --cpus 0.5 web:1\nIn the background, "
		    "with a directory of the host, "
		    "read-only, and limits",
	.opts = run_flag_opts + RUN_FLAGS_RUN,
	.opts_size = sizeof(struct run_flags),
	.defaults = run_flags_defaults,
	.min_args = 1,
	.max_args = -1,
	.status_error = STATUS_OURS,
	.options_first = true,
	.makes_processes = true,
	.run = run_main,
	.complete = "@image",
};

const struct cmd cmd_create = {
	.name = "create",
	.aliases = "container create",
	.group = CMD_LIFE,
	.args = "[OPTIONS] IMAGE [COMMAND] [ARG...]",
	.summary = "Create a container from an image, without starting it",
	.about = "Makes a container as hull-run(1) does and prints its id; hull-start(1) starts it.",
	.examples =
		"hull create --name job -e MODE=fast img:1\nMade now, started later by: hull start -a job",
	.opts = run_flag_opts + RUN_FLAGS_CREATE,
	.opts_size = sizeof(struct run_flags),
	.defaults = run_flags_defaults,
	.min_args = 1,
	.max_args = -1,
	.options_first = true,
	.run = create_main,
	.complete = "@image",
};
