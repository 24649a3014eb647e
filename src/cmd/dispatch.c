/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/cmd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/log.h"
#include "runtime/rootless.h"
#include "runtime/runtime.h"
#include "sys/seal.h"

struct cmd_globals cmd_globals;

#define OPT(member) offsetof(struct cmd_globals, member)
const struct opt cmd_global_opts[] = {
	{ "root", 0, OPT_STRING, OPT(root), "DIR",
	  "Where images and instances live (/var/lib/hull; HULL_ROOT)", "@dir" },
	{ "run-root", 0, OPT_STRING, OPT(run_root), "DIR",
	  "Where sockets and state of what runs live (/run/hull, or DIR/run below --root; HULL_RUN_ROOT)",
	  "@dir" },
	{ "debug", 'D', OPT_FLAG, OPT(debug), NULL, "Say more on standard error", NULL },
	{ "log-format", 0, OPT_STRING, OPT(log_format), "text|json", "Form of errors and warnings",
	  "text json" },
	{ "log-level", 'l', OPT_STRING, OPT(log_level), "LEVEL",
	  "Least level worth a line: error, warn, info or debug", "error warn info debug" },
	{ "help", 'h', OPT_FLAG, OPT(help), NULL, "Print this help", NULL },
	{ "version", 'v', OPT_FLAG, OPT(version), NULL, "Print the version", NULL },
	{ 0 }
};

static const struct cmd global_cmd = {
	.name = "",
	.opts = cmd_global_opts,
	.opts_size = sizeof(cmd_globals),
	.options_first = true,
	.max_args = -1,
};

static struct runtime *open_runtime;
static char *run_dir; /* owned; NULL: not asked for yet */

int cmd_runtime(struct runtime **ret_rt, struct err *e)
{
	if (!open_runtime) {
		int r = rootless_enter(&cmd_globals.root, &cmd_globals.run_root, e);

		if (r >= 0)
			r = runtime_open(&open_runtime, cmd_globals.root, cmd_globals.run_root, e);

		if (r < 0)
			return r;
	}
	*ret_rt = open_runtime;
	return 0;
}

const char *cmd_engine(void)
{
	const char *name = getenv("HULL_ENGINE");

	return name && *name ? name : NULL;
}

const char *cmd_run_dir(void)
{
	auto_free char *root = NULL;

	if (!run_dir)
		runtime_roots(cmd_globals.root, cmd_globals.run_root, &root, &run_dir, NULL);
	return run_dir;
}

void cmd_close(void)
{
	free(run_dir);
	run_dir = NULL;
	runtime_close(open_runtime);
	open_runtime = NULL;
}

int cmd_fail(const struct err *e)
{
	fflush(stdout);
	if (str_eq(cmd_globals.log_format, "json"))
		log_error("cmd", "%s", e->text);
	else
		fprintf(stderr, "hull: %s\n", e->text);
	return 1;
}

static bool names_match(const char *names, const char *word, size_t len)
{
	while (names) {
		size_t n = strcspn(names, ",");

		if (n == len && memcmp(names, word, len) == 0)
			return true;
		names = names[n] ? names + n + 1 : NULL;
	}
	return false;
}

static const struct cmd *find_named(const char *name)
{
	for (const struct cmd *const *c = cmd_table; *c; c++)
		if (str_eq((*c)->name, name) || names_match((*c)->aliases, name, strlen(name)))
			return *c;
	return NULL;
}

const struct cmd *cmd_find(int argc, char *const *argv, int *ret_words)
{
	char two[64];
	const struct cmd *c = NULL;

	*ret_words = 2;
	if (argc > 1 && str_format(two, sizeof(two), "%s %s", argv[0], argv[1]) < sizeof(two))
		c = find_named(two);
	if (c)
		return c;
	*ret_words = 1;
	return argc > 0 ? find_named(argv[0]) : NULL;
}

/*
 * list_subcommands() - for a first word that only goes with a second one. Return: whether @word is such a
 * word.
 */
static bool list_subcommands(const char *word, struct buf *b)
{
	struct strv all = { 0 };
	size_t len = strlen(word);
	bool found = false;

	for (const struct cmd *const *c = cmd_table; *c; c++) {
		strv_add(&all, (*c)->name);
		if ((*c)->aliases)
			strv_split(&all, (*c)->aliases, ',');
	}
	for (size_t i = 0; i < all.len; i++)
		if (strncmp(all.item[i], word, len) == 0 && all.item[i][len] == ' ') {
			buf_printf(b, "%s%s", found ? ", " : "", all.item[i] + len + 1);
			found = true;
		}
	strv_fini(&all);
	return found;
}

/* not_yet() - what people know from elsewhere and look for here. NULL: nothing of that kind. */
static const char *not_yet(const char *word)
{
	static const struct {
		const char *word, *text;
	} known[] = {
		{ "pull",
		  "there are no registries yet; 'hull load', 'hull import' or 'hull build' make an image" },
		{ "push", "there are no registries yet; 'hull save' writes an image to a file" },
		{ "login", "there are no registries yet" },
		{ "logout", "there are no registries yet" },
		{ "search", "there are no registries yet" },
		{ "network", "there are no networks yet but 'none' and 'host'" },
		{ "compose", "there is no compose yet" },
		{ "daemon", "hull needs no daemon" },
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (str_eq(word, known[i].word))
			return known[i].text;
	return NULL;
}

static int unknown_command(const char *word, const char *next, struct err *e)
{
	auto_fini(buf) struct buf b = { 0 };
	const char *near;

	if (list_subcommands(word, &b)) {
		if (next)
			return err_set(e, EINVAL, "'%s %s' is not a command; '%s' has: %s", word, next, word,
				       buf_str(&b));
		return err_set(e, EINVAL, "'%s' needs one of: %s", word, buf_str(&b));
	}
	if (not_yet(word))
		return err_set(e, EOPNOTSUPP, "'%s': %s", word, not_yet(word));
	near = cmd_suggest(word);
	if (near)
		return err_set(e, EINVAL, "'%s' is not a command; did you mean '%s'? See 'hull --help'", word,
			       near);
	return err_set(e, EINVAL, "'%s' is not a command; see 'hull --help'", word);
}

static int check_operands(const struct cmd *c, int n, struct err *e)
{
	const char *how = c->min_args == c->max_args ? "exactly" : n < c->min_args ? "at least" : "at most";
	int want = n < c->min_args ? c->min_args : c->max_args;

	if (n >= c->min_args && (c->max_args < 0 || n <= c->max_args))
		return 0;
	if (want == 0)
		return err_set(e, EINVAL, "'%s' takes no arguments, see 'hull %s --help'", c->name, c->name);
	return err_set(e, EINVAL, "'%s' needs %s %d argument%s, got %d, see 'hull %s --help'", c->name, how,
		       want, want == 1 ? "" : "s", n, c->name);
}

/* run_command() - parse the options of @c from @argv and run it. Return: exit status, or -errno with @e. */
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
	} else {
		r = check_operands(c, argc - first, e);
		if (r == 0)
			r = c->run(o, argc - first, argv + first, e);
	}
	opt_fini(c, o);
	return r;
}

static int set_log(struct err *e)
{
	static const char *const name[LOG_LEVEL_COUNT] = { "error", "warn", "info", "debug" };
	bool json = str_eq(cmd_globals.log_format, "json");
	int level = LOG_INFO;

	if (cmd_globals.log_format && !json && !str_eq(cmd_globals.log_format, "text"))
		return err_set(e, EINVAL, "invalid argument \"%s\" for --log-format: text or json is wanted",
			       cmd_globals.log_format);
	if (cmd_globals.log_level) {
		for (level = 0; level < LOG_LEVEL_COUNT && !str_eq(cmd_globals.log_level, name[level]);
		     level++)
			;
		if (level == LOG_LEVEL_COUNT)
			return err_set(e, EINVAL,
				       "invalid argument \"%s\" for --log-level: error, warn, info or debug "
				       "is wanted",
				       cmd_globals.log_level);
	}
	log_setup(STDERR_FILENO, json ? LOG_JSON : LOG_TEXT,
		  cmd_globals.debug ? LOG_DEBUG : (enum log_level)level);
	return 0;
}

/* run_words() - the command line @whole from word @first on. *ret_c: the command, once it is known. */
static int run_words(char **whole, int argc, int first, const struct cmd **ret_c, struct err *e)
{
	char **argv = whole + first;
	bool help = argc > first && str_eq(argv[0], "help");
	int words, r = 0;

	argc -= first;
	if (cmd_globals.version) {
		printf("hull version %s\n", HULL_VERSION);
		return 0;
	}
	if (cmd_globals.help || argc == 0 || (help && argc == 1)) {
		cmd_help_all(STDOUT_FILENO);
		return 0;
	}
	*ret_c = cmd_find(argc - help, argv + help, &words);
	if (!*ret_c && argc > 1 && !help && (str_eq(argv[1], "--help") || str_eq(argv[1], "-h")))
		argc = 1;
	if (!*ret_c)
		return unknown_command(argv[help], argc > 1 + help ? argv[1 + help] : NULL, e);
	if (help) {
		cmd_help(*ret_c, STDOUT_FILENO);
		return 0;
	}
	if ((*ret_c)->makes_processes) {
		r = rootless_enter(&cmd_globals.root, &cmd_globals.run_root, e);
		if (r >= 0)
			r = seal_self(whole, e);
	}
	return r < 0 ? r : run_command(*ret_c, argc - words, argv + words, e);
}

/* called_as_command() - a link with one of these names is `hull NAME`. Return: the arguments of that; NULL: it is not. */
static char **called_as_command(int argc, char **argv)
{
	static char firecracker[] = "firecracker", jailer[] = "jailer";
	const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
	const char *name = slash ? slash + 1 : argc > 0 ? argv[0] : "";
	char *word = str_eq(name, firecracker) ? firecracker : str_eq(name, jailer) ? jailer : NULL;
	char **all = word ? calloc((size_t)argc + 2, sizeof(*all)) : NULL;

	if (!all)
		return NULL;
	all[0] = argv[0];
	all[1] = word;
	memcpy(all + 2, argv + 1, (size_t)(argc - 1) * sizeof(*all));
	return all;
}

int cmd_main(int argc, char **argv)
{
	auto_free char **link = called_as_command(argc, argv);
	struct err e = { 0 };
	const struct cmd *c = NULL;
	int first, r;

	if (link) {
		argv = link;
		argc++;
	}
	cmd_globals.root = getenv("HULL_ROOT");
	cmd_globals.run_root = getenv("HULL_RUN_ROOT");
	first = opt_parse(&global_cmd, &cmd_globals, argc - 1, argv + 1, &e);
	r = first < 0 ? first : set_log(&e);
	if (r == 0)
		r = run_words(argv, argc, 1 + first, &c, &e);
	cmd_close();
	if (r < 0) {
		cmd_fail(&e);
		r = c && c->status_error ? c->status_error : 1;
	}
	if (fflush(stdout) != 0) {
		err_sys(&e, errno, "standard output");
		r = cmd_fail(&e);
	}
	return r;
}
