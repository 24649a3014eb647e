/* SPDX-License-Identifier: Apache-2.0 */
/* stop.c - stop, restart and kill */
#include <errno.h>

#include "base/err.h"
#include "cmd/each.h"
#include "cmd/run_flags.h"
#include "cmd/table.h"

struct stop_opts {
	const char *signal;
	int timeout_s;
};
#define OPT(member) offsetof(struct stop_opts, member)

static const struct opt stop_opts[] = { { "signal", 's', OPT_STRING, OPT(signal), "SIGNAL",
					  "Signal that asks it to end", "TERM INT QUIT HUP KILL" },
					{ "time", 0, OPT_INT32, OPT(timeout_s), "SECONDS",
					  "The same as --timeout", NULL },
					{ "timeout", 't', OPT_INT32, OPT(timeout_s), "SECONDS",
					  "Time before it is killed; -1: never (its own: 10)", NULL },
					{ 0 } };

static const struct opt kill_opts[] = { { "signal", 's', OPT_STRING, OPT(signal), "SIGNAL",
					  "Signal to send (KILL)",
					  "KILL TERM INT HUP QUIT USR1 USR2 STOP CONT" },
					{ 0 } };

enum { TIMEOUT_ITS_OWN = -1, TIMEOUT_NOT_GIVEN = INT32_MIN, TIMEOUT_NEVER = INT32_MAX };

static void stop_defaults(void *o)
{
	((struct stop_opts *)o)->timeout_s = TIMEOUT_NOT_GIVEN;
}

static int stop_one(struct runtime *rt, const char *id, void *arg, struct err *e)
{
	const struct stop_opts *o = arg;
	int timeout_s = o->timeout_s;

	if (timeout_s == TIMEOUT_NOT_GIVEN)
		timeout_s = TIMEOUT_ITS_OWN;
	else if (timeout_s < 0)
		timeout_s = TIMEOUT_NEVER;
	return instance_stop(rt, id, timeout_s, o->signal, e);
}

static int restart_one(struct runtime *rt, const char *id, void *arg, struct err *e)
{
	int code;
	int r = stop_one(rt, id, arg, e);

	return r < 0 ? r : instance_start(rt, id, NULL, &code, e);
}

static int kill_one(struct runtime *rt, const char *id, void *arg, struct err *e)
{
	const struct stop_opts *o = arg;

	return instance_kill(rt, id, flag_signal(o->signal ? o->signal : "KILL"), e);
}

static int check_signal(const struct stop_opts *o, struct err *e)
{
	return o->signal && flag_signal(o->signal) < 0 ?
		       flag_bad(e, "signal", o->signal, "there is no such signal") :
		       0;
}

static int stop_main(void *o, int argc, char **argv, struct err *e)
{
	int r = check_signal(o, e);

	return r < 0 ? r : each_container(argc, argv, stop_one, o, e);
}

static int restart_main(void *o, int argc, char **argv, struct err *e)
{
	int r = check_signal(o, e);

	return r < 0 ? r : each_container(argc, argv, restart_one, o, e);
}

static int kill_main(void *o, int argc, char **argv, struct err *e)
{
	int r = check_signal(o, e);

	return r < 0 ? r : each_container(argc, argv, kill_one, o, e);
}

const struct cmd cmd_stop = {
	.name = "stop",
	.aliases = "container stop",
	.group = CMD_LIFE,
	.args = "[OPTIONS] CONTAINER [CONTAINER...]",
	.summary = "Stop running containers",
	.about = "Sends each container its stop signal, waits, and kills what still runs when the time is "
		 "up. A container that has ended "
		 "already is no error.",
	.opts = stop_opts,
	.opts_size = sizeof(struct stop_opts),
	.defaults = stop_defaults,
	.min_args = 1,
	.max_args = -1,
	.run = stop_main,
	.complete = "@container",
};

const struct cmd cmd_restart = {
	.name = "restart",
	.aliases = "container restart",
	.group = CMD_LIFE,
	.args = "[OPTIONS] CONTAINER [CONTAINER...]",
	.summary = "Stop containers and start them again",
	.opts = stop_opts,
	.opts_size = sizeof(struct stop_opts),
	.defaults = stop_defaults,
	.min_args = 1,
	.max_args = -1,
	.makes_processes = true,
	.run = restart_main,
	.complete = "@container",
};

const struct cmd cmd_kill = {
	.name = "kill",
	.aliases = "container kill",
	.group = CMD_LIFE,
	.args = "[OPTIONS] CONTAINER [CONTAINER...]",
	.summary = "Send a signal to running containers",
	.about = "Sends a signal, KILL unless told otherwise, to the first process of each container.",
	.opts = kill_opts,
	.opts_size = sizeof(struct stop_opts),
	.min_args = 1,
	.max_args = -1,
	.run = kill_main,
	.complete = "@container",
};
