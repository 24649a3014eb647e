/* SPDX-License-Identifier: Apache-2.0 */
/* oci.c - `hull oci`, also as a link named hull-oci, runc or crun: the OCI runtime's command line */
#include "cmd/oci.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/log.h"
#include "sys/cred.h"
#include "sys/file.h"
#include "sys/seal.h"

struct oci_globals oci_globals;

#define OPT(member) offsetof(struct oci_globals, member)
static const struct opt global_opts[] = {
	{ "root", 0, OPT_STRING, OPT(root), "DIR", "Where the state of containers is kept (/run/hull-oci)",
	  "@dir" },
	{ "log", 0, OPT_STRING, OPT(log), "FILE", "Append errors and warnings to FILE as well", "@file" },
	{ "log-format", 0, OPT_STRING, OPT(log_format), "text|json", "Form of the lines in --log",
	  "text json" },
	{ "log-level", 0, OPT_STRING, OPT(log_level), "LEVEL", "error, warning, info or debug",
	  "error warning info debug" },
	{ "debug", 0, OPT_FLAG, OPT(debug), NULL, "Log decisions too", NULL },
	{ "systemd-cgroup", 0, OPT_FLAG, OPT(systemd_cgroup), NULL,
	  "Let systemd make the cgroups: slice:prefix:name", NULL },
	{ "cgroup-manager", 0, OPT_STRING, OPT(cgroup_manager), "NAME", "cgroupfs, systemd or disabled",
	  "cgroupfs systemd disabled" },
	{ "rootless", 0, OPT_STRING, OPT(rootless), "true|false|auto", "Ignore cgroup permission errors",
	  "true false auto" },
	{ "criu", 0, OPT_STRING, OPT(criu), "PATH",
	  "Accepted for compatibility; checkpoints are not made by CRIU", NULL },
	{ "help", 'h', OPT_FLAG, OPT(help), NULL, "Print this help", NULL },
	{ "version", 'v', OPT_FLAG, OPT(version), NULL, "Print the version", NULL },
	{ 0 }
};
static const struct cmd global_cmd = {
	.name = "oci",
	.opts = global_opts,
	.opts_size = sizeof(oci_globals),
	.options_first = true,
	.max_args = -1,
};

static const struct cmd *const commands[] = {
	&oci_cmd_create, &oci_cmd_start,  &oci_cmd_run,    &oci_cmd_state,    &oci_cmd_kill,
	&oci_cmd_delete, &oci_cmd_exec,   &oci_cmd_list,   &oci_cmd_ps,       &oci_cmd_pause,
	&oci_cmd_resume, &oci_cmd_update, &oci_cmd_events, &oci_cmd_features, &oci_cmd_spec,
};

/* The name behind "oci " in a command's table. */
static const char *verb(const struct cmd *c)
{
	return c->name + sizeof("oci ") - 1;
}

enum cgroup_manager oci_cgroup_manager(void)
{
	const char *m = oci_globals.cgroup_manager;

	if (oci_globals.systemd_cgroup || str_eq(m, "systemd"))
		return CGROUP_SYSTEMD;
	return str_eq(m, "disabled") ? CGROUP_DISABLED : CGROUP_FS;
}

bool oci_rootless(void)
{
	if (str_eq(oci_globals.rootless, "true"))
		return true;
	return (geteuid() != 0 || cred_in_userns()) && !str_eq(oci_globals.rootless, "false");
}

int oci_config_load(struct oci_config *ret_c, const char *bundle, const char *file, struct err *e)
{
	auto_free char *path = file[0] == '/' ? strdup(file) : str_printf("%s/%s", bundle, file);
	int r = path ? file_slurp_at(AT_FDCWD, path, &ret_c->text, OCI_CONFIG_BYTES_MAX) : -ENOMEM;

	if (r == -ENOENT)
		return err_set(e, ENOENT, "%s: no such file; `hull oci spec` writes a first one", path);
	if (r < 0)
		return err_sys(e, -r, "%s", path ? path : file);
	r = oci_spec_parse(&ret_c->spec, ret_c->text.data, ret_c->text.len, &ret_c->arena, e);
	return r < 0 ? err_wrap(e, r, "%s", path) : 0;
}

void oci_config_fini(struct oci_config *c)
{
	arena_fini(&c->arena);
	buf_fini(&c->text);
}

int oci_open(struct ct **ret_ct, const char *id, struct err *e)
{
	return ct_open(ret_ct, oci_globals.root, id, e);
}

void oci_warn(const struct err *e)
{
	if (!e->code)
		return;
	fprintf(stderr, "hull: warning: %s\n", e->text);
	if (oci_globals.log)
		log_warn("oci", "%s", e->text);
}

int oci_write_pid(const char *path, pid_t pid, struct err *e)
{
	char text[16];
	size_t n = str_format(text, sizeof(text), "%d", (int)pid);

	return path ? file_replace(AT_FDCWD, path, text, n, 0644, false, e) : 0;
}

/* default_root() - /run/hull-oci, or the user's own runtime directory. NULL: what stands in /tmp is not his. */
static const char *default_root(void)
{
	static char path[4096];
	const char *xdg = getenv("XDG_RUNTIME_DIR");

	if (geteuid() == 0 && !(xdg && *xdg && oci_rootless()))
		return "/run/hull-oci";
	if (xdg && *xdg) {
		str_format(path, sizeof(path), "%s/hull-oci", xdg);
		return path;
	}
	str_format(path, sizeof(path), "/tmp/hull-oci-%u", geteuid());
	return file_mkdir_private(path) == 0 ? path : NULL;
}

static void print_help(void)
{
	printf("Usage: hull oci [OPTIONS] COMMAND\n\nAn OCI runtime with runc's command "
	       "line.\n\nCommands:\n");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		printf("  %-10s %s\n", verb(commands[i]), commands[i]->summary);
	printf("\nOptions:\n");
	for (const struct opt *o = global_opts; o->name; o++)
		printf("  --%-16s %s\n", o->name, o->help);
	printf("\n`hull oci COMMAND --help` tells more about a command.\n");
}

/* report() - the error line: on stderr in words, and in --log in the form engines read. */
static void report(const struct err *e)
{
	fprintf(stderr, "hull: %s\n", e->text);
	if (oci_globals.log)
		log_error("oci", "%s", e->text);
}

static int setup_log(struct err *e)
{
	bool json = str_eq(oci_globals.log_format, "json");
	bool debug = oci_globals.debug || str_eq(oci_globals.log_level, "debug");
	int fd = STDERR_FILENO;

	if (oci_globals.log_format && !json && !str_eq(oci_globals.log_format, "text"))
		return err_set(e, EINVAL, "--log-format '%s': text or json", oci_globals.log_format);
	if (oci_globals.log) {
		fd = file_open(AT_FDCWD, oci_globals.log, O_WRONLY | O_CREAT | O_APPEND, 0644);
		if (fd < 0)
			return err_sys(e, -fd, "--log '%s'", oci_globals.log);
	}
	log_setup(fd, json ? LOG_JSON : LOG_TEXT, debug ? LOG_DEBUG : LOG_WARN);
	return 0;
}

/* run_command() - one command with its own options. Return: exit status, or -errno with @e. */
static int run_command(const struct cmd *c, int argc, char **argv, struct err *e)
{
	auto_free void *o = calloc(1, c->opts_size ? c->opts_size : 1);
	int first, r;

	if (!o)
		return err_sys(e, ENOMEM, "%s", c->name);
	if (c->defaults)
		c->defaults(o);
	first = opt_parse(c, o, argc, argv, e);
	if (first == -ECANCELED) {
		cmd_help(c, STDOUT_FILENO);
		r = 0;
	} else if (first < 0) {
		r = first;
	} else if (argc - first < c->min_args || (c->max_args >= 0 && argc - first > c->max_args)) {
		r = err_set(e, EINVAL, "%s: wrong number of arguments, want %s", c->name, c->args);
	} else {
		r = c->run(o, argc - first, argv + first, e);
	}
	opt_fini(c, o);
	return r;
}

/* makes_processes() - commands whose process stands in a container for a moment: sys/seal.h says why that matters. */
static bool makes_processes(const char *name)
{
	return str_eq(name, "run") || str_eq(name, "create") || str_eq(name, "exec");
}

static int dispatch(int argc, char **argv, struct err *e)
{
	if (argc == 0 || oci_globals.help || str_eq(argv[0], "help")) {
		print_help();
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (str_eq(argv[0], verb(commands[i])))
			return run_command(commands[i], argc - 1, argv + 1, e);
	if (str_eq(argv[0], "checkpoint") || str_eq(argv[0], "restore"))
		return err_set(e, EOPNOTSUPP, "%s: not supported", argv[0]);
	return err_set(e, EINVAL, "'%s' is not a command; see 'hull oci --help'", argv[0]);
}

int oci_main(int argc, char **argv)
{
	struct err e = { 0 };
	int first = opt_parse(&global_cmd, &oci_globals, argc - 1, argv + 1, &e);
	int r = first;

	if (first == -ECANCELED) {
		print_help();
		return 0;
	}
	if (oci_globals.version || (r >= 0 && first < argc - 1 && str_eq(argv[1 + first], "version"))) {
		printf("hull-oci version %s\nspec: %s\n", HULL_VERSION, OCI_VERSION);
		return 0;
	}
	if (!oci_globals.root)
		oci_globals.root = default_root();
	if (r >= 0)
		r = setup_log(&e);
	if (r >= 0 && !oci_globals.root)
		r = err_set(&e, EPERM,
			    "/tmp/hull-oci-%u is not yours alone; --root or XDG_RUNTIME_DIR names another",
			    geteuid());
	if (r >= 0 && first < argc - 1 && makes_processes(argv[1 + first])) {
		argv[0] = (char *)"hull-oci"; /* what it was called as may have been `hull oci` */
		r = seal_self(argv, &e);
	}
	if (r >= 0)
		r = dispatch(argc - 1 - first, argv + 1 + first, &e);
	if (r < 0)
		report(&e);
	fflush(stdout);
	return r < 0 ? 1 : r;
}
