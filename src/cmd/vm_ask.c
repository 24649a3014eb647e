/* SPDX-License-Identifier: Apache-2.0 */
/* vm_ask.c - what is asked of machines by name: stop, kill, pause, resume, wait, rm, console, logs */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/err.h"
#include "base/guard.h"
#include "cmd/table.h"
#include "cmd/vm_machines.h"
#include "runtime/machine.h"
#include "runtime/session.h"

enum { STOP_TIMEOUT_S = 10, STATUS_ERROR = 125 };

struct ask_opts {
	const char *detach_keys;
	int timeout_s;
	bool force, no_stdin;
};
#define OPT(member) offsetof(struct ask_opts, member)

static const struct opt stop_opts[] = { { "timeout", 't', OPT_INT32, OPT(timeout_s), "SECONDS",
					  "Time before it is killed; -1: never (10)", NULL },
					{ 0 } };
static const struct opt rm_opts[] = { { "force", 'f', OPT_FLAG, OPT(force), NULL,
					"Kill what runs; one that is not there is no error", NULL },
				      { 0 } };
static const struct opt console_opts[] = { { "detach-keys", 0, OPT_STRING, OPT(detach_keys), "KEYS",
					     "Keys that leave it running (ctrl-p,ctrl-q)", NULL },
					   { "no-stdin", 0, OPT_FLAG, OPT(no_stdin), NULL,
					     "Only look: nothing typed reaches the guest", NULL },
					   { 0 } };

int vm_machines(struct machines **ret_ms, struct err *e)
{
	return machines_open(ret_ms, cmd_globals.root, cmd_globals.run_root, e);
}

int vm_id(struct machines *ms, const char *name, char ret_id[65], struct err *e)
{
	return machines_id(ms, name, ret_id, e);
}

int vm_each(int argc, char **argv, int (*act)(struct machines *ms, const char *id, void *arg, struct err *e),
	    void *arg, struct err *e)
{
	auto_machines struct machines *ms = NULL;
	int status = 0, r = vm_machines(&ms, e);

	for (int i = 0; i < argc && ms; i++) {
		struct err one = { 0 };
		char id[65];

		r = vm_id(ms, argv[i], id, &one);
		if (r == 0)
			r = act(ms, id, arg, &one);
		if (r < 0)
			status = cmd_fail(&one);
		else
			puts(argv[i]);
		fflush(stdout);
	}
	return ms ? status : r;
}

int vm_join(struct machines *ms, const char *id, const char *detach_keys, bool no_stdin,
	    struct machines_launch *start, struct err *e)
{
	unsigned char keys[SESSION_KEYS_MAX];
	struct instance_streams io = { .in = no_stdin ? -1 : STDIN_FILENO,
				       .out = STDOUT_FILENO,
				       .err = -1,
				       .tty = !no_stdin && isatty(STDIN_FILENO),
				       .detach_keys = detach_keys };
	int code = STATUS_ERROR, r = session_keys(detach_keys, keys, e);

	if (r >= 0)
		r = start ? machines_start(ms, id, start, &io, &code, e) :
			    machines_attach(ms, id, &io, &code, e);
	if (r == INSTANCE_DETACHED)
		return 0;
	return r < 0 ? r : code;
}

static void stop_defaults(void *o)
{
	((struct ask_opts *)o)->timeout_s = STOP_TIMEOUT_S;
}

static int stop_one(struct machines *ms, const char *id, void *arg, struct err *e)
{
	return machines_stop(ms, id, ((const struct ask_opts *)arg)->timeout_s, e);
}

static int kill_one(struct machines *ms, const char *id, void *arg, struct err *e)
{
	(void)arg;
	return machines_kill(ms, id, e);
}

static int pause_one(struct machines *ms, const char *id, void *arg, struct err *e)
{
	(void)arg;
	return machines_pause(ms, id, e);
}

static int resume_one(struct machines *ms, const char *id, void *arg, struct err *e)
{
	(void)arg;
	return machines_resume(ms, id, e);
}

static int stop_main(void *o, int argc, char **argv, struct err *e)
{
	return vm_each(argc, argv, stop_one, o, e);
}

static int kill_main(void *o, int argc, char **argv, struct err *e)
{
	return vm_each(argc, argv, kill_one, o, e);
}

static int pause_main(void *o, int argc, char **argv, struct err *e)
{
	return vm_each(argc, argv, pause_one, o, e);
}

static int resume_main(void *o, int argc, char **argv, struct err *e)
{
	return vm_each(argc, argv, resume_one, o, e);
}

static int rm_main(void *opts, int argc, char **argv, struct err *e)
{
	const struct ask_opts *o = opts;
	auto_machines struct machines *ms = NULL;
	int status = 0, r = vm_machines(&ms, e);

	for (int i = 0; i < argc && ms; i++) {
		struct err one = { 0 };
		char id[65];

		r = vm_id(ms, argv[i], id, &one);
		if (r == 0)
			r = machines_remove(ms, id, o->force, &one);
		if (r == 0) {
			puts(argv[i]);
			continue;
		}
		cmd_fail(&one);
		status |= !(r == -ENOENT && o->force);
	}
	return ms ? status : r;
}

static int wait_main(void *o, int argc, char **argv, struct err *e)
{
	auto_machines struct machines *ms = NULL;
	int status = 0, r = vm_machines(&ms, e);

	(void)o;
	for (int i = 0; i < argc && ms; i++) {
		struct err one = { 0 };
		char id[65];
		int code = 0;

		r = vm_id(ms, argv[i], id, &one);
		if (r == 0)
			r = machines_wait(ms, id, &code, &one);
		if (r < 0)
			status = cmd_fail(&one);
		else
			printf("%d\n", code);
		fflush(stdout);
	}
	return ms ? status : r;
}

static int console_main(void *opts, int argc, char **argv, struct err *e)
{
	const struct ask_opts *o = opts;
	auto_machines struct machines *ms = NULL;
	char id[65];
	int r = vm_machines(&ms, e);

	(void)argc;
	if (r == 0)
		r = vm_id(ms, argv[0], id, e);
	return r < 0 ? r : vm_join(ms, id, o->detach_keys, o->no_stdin, NULL, e);
}

static int logs_main(void *o, int argc, char **argv, struct err *e)
{
	auto_machines struct machines *ms = NULL;
	char id[65];
	int r = vm_machines(&ms, e);

	(void)o;
	(void)argc;
	if (r == 0)
		r = vm_id(ms, argv[0], id, e);
	return r < 0 ? r : machines_log(ms, id, STDOUT_FILENO, e);
}

const struct cmd cmd_vm_stop = {
	.name = "vm stop",
	.group = CMD_LIFE,
	.args = "[OPTIONS] MACHINE [MACHINE...]",
	.summary = "Stop machines",
	.about = "Presses Ctrl-Alt-Del in each machine, which its system may take for a wish to shut down, "
		 "waits, and ends it "
		 "when the time is up. A paused one goes on first. One that has ended already is no error.",
	.examples = "hull vm stop -t 60 db\nA minute for its services to end",
	.opts = stop_opts,
	.opts_size = sizeof(struct ask_opts),
	.defaults = stop_defaults,
	.min_args = 1,
	.max_args = -1,
	.run = stop_main,
	.complete = "@machine",
};

const struct cmd cmd_vm_kill = {
	.name = "vm kill",
	.group = CMD_LIFE,
	.args = "MACHINE [MACHINE...]",
	.summary = "End machines at once",
	.about = "As if the power was cut: the guest is not asked. The exit status is 137.",
	.opts_size = sizeof(struct ask_opts),
	.min_args = 1,
	.max_args = -1,
	.run = kill_main,
	.complete = "@machine",
};

const struct cmd cmd_vm_pause = {
	.name = "vm pause",
	.group = CMD_LIFE,
	.args = "MACHINE [MACHINE...]",
	.summary = "Halt machines where they stand",
	.about = "No instruction of the guest runs until hull-vm-resume(1).",
	.min_args = 1,
	.max_args = -1,
	.run = pause_main,
	.complete = "@machine",
};

const struct cmd cmd_vm_resume = {
	.name = "vm resume",
	.aliases = "vm unpause",
	.group = CMD_LIFE,
	.args = "MACHINE [MACHINE...]",
	.summary = "Let paused machines go on",
	.min_args = 1,
	.max_args = -1,
	.run = resume_main,
	.complete = "@machine",
};

const struct cmd cmd_vm_rm = {
	.name = "vm rm",
	.group = CMD_LIFE,
	.args = "[OPTIONS] MACHINE [MACHINE...]",
	.summary = "Remove machines",
	.about = "Removes machines that do not run, and with --force those that do, with all that hull keeps "
		 "of them: the "
		 "console's log, overlays of restored disks, a snapshot made without --to. Disks that were "
		 "given by "
		 "name stay. What an earlier, killed command left of them goes too.",
	.opts = rm_opts,
	.opts_size = sizeof(struct ask_opts),
	.min_args = 1,
	.max_args = -1,
	.run = rm_main,
	.complete = "@machine",
};

const struct cmd cmd_vm_wait = {
	.name = "vm wait",
	.group = CMD_LIFE,
	.args = "MACHINE [MACHINE...]",
	.summary = "Wait until machines end, then print their exit statuses",
	.min_args = 1,
	.max_args = -1,
	.run = wait_main,
	.complete = "@machine",
};

const struct cmd cmd_vm_console = {
	.name = "vm console",
	.aliases = "vm attach",
	.group = CMD_LIFE,
	.args = "[OPTIONS] MACHINE",
	.summary = "Connect to a machine's console",
	.about = "What the guest writes from now on appears here, what is typed goes to it; hull-vm-logs(1) "
		 "has what it wrote "
		 "before. The detach keys leave it running; several may be connected at once. The exit "
		 "status is the "
		 "machine's when it ends.",
	.examples = "hull vm console --detach-keys ctrl-] web\nLeave it with Ctrl-]",
	.opts = console_opts,
	.opts_size = sizeof(struct ask_opts),
	.min_args = 1,
	.max_args = 1,
	.status_error = STATUS_ERROR,
	.run = console_main,
	.complete = "@machine",
};

const struct cmd cmd_vm_logs = {
	.name = "vm logs",
	.group = CMD_LOOK,
	.args = "MACHINE",
	.summary = "Print what a machine's console has said",
	.about = "The last one to two megabytes, byte for byte, of all its runs.",
	.min_args = 1,
	.max_args = 1,
	.run = logs_main,
	.complete = "@machine",
};
