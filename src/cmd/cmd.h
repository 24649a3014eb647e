/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd.h - the command line: one file for each command, which parses, calls down and prints
 *
 * A command is one constant struct cmd in the table of cmd_table.c. Its options are data: parsing, --help,
 * the man page and the shell completions are all made from them, so they cannot disagree.
 */
#ifndef CMD_CMD_H
#define CMD_CMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct buf;
struct err;
struct runtime;
struct store;

enum opt_kind {
	OPT_FLAG,     /* bool: --x, --x=false */
	OPT_STRING,   /* const char *: the last one given; borrowed from argv */
	OPT_OWNED,    /* char *: the last one given, a copy; opt_fini() frees it */
	OPT_LIST,     /* struct strv: each one given; opt_fini() frees it */
	OPT_INT,      /* int64_t */
	OPT_INT32,    /* int */
	OPT_BYTES,    /* int64_t: "512m", -1 allowed */
	OPT_DURATION, /* nsec_t: "1m30s" */
	OPT_CPUS,     /* int64_t, 1e-9 processors: "1.5" */
	OPT_KIND_COUNT
};

struct opt {
	const char *name; /* "memory"; long form without dashes */
	char letter;      /* 'm' or 0 */
	enum opt_kind kind;
	size_t offset;    /* of the member in the command's own options struct */
	const char *arg;  /* what --help calls the value: "BYTES" */
	const char *help; /* one line */
	/* for completion: "no always on-failure", "@container", "@machine", "@image", "@file", "@dir", or NULL */
	const char *words;
};

enum cmd_group { CMD_LIFE, CMD_LOOK, CMD_IMAGES, CMD_SYSTEM, CMD_HIDDEN, CMD_GROUP_COUNT };

struct cmd {
	const char *name;     /* "run", or "system df" */
	const char *aliases;  /* "container ls,container list", or NULL */
	enum cmd_group group; /* where `hull --help` lists it */
	const char *args;     /* "[OPTIONS] IMAGE [COMMAND] [ARG...]" */
	const char *summary;  /* one line, no full stop */
	const char *about;    /* man page's DESCRIPTION, paragraphs separated by "\n\n"; NULL: the summary */
	/* man page's EXAMPLES: "command\nwhat it does" pairs separated by blank lines */
	const char *examples;
	const struct opt *opts;    /* ended by {0}; may be NULL */
	size_t opts_size;          /* of the command's options struct, zeroed before defaults() */
	void (*defaults)(void *o); /* values that are not zero; may be NULL */
	int min_args, max_args;    /* max -1: any */
	int status_error;          /* exit status of an error of ours: 0 means 1; run has 125 */
	bool options_first;        /* the first operand ends the options (run, exec, create) */
	bool makes_processes; /* in a container: first the program protects its own file, see sys/seal.h */
	/* run() - @argv: the operands alone. Return: exit status >= 0, or -errno with @e. */
	int (*run)(void *o, int argc, char **argv, struct err *e);
	const char *complete; /* what operands complete to: "@container", "@image", ... */
};

extern const struct cmd *const cmd_table[]; /* cmd_table.c; ended by NULL */

/*
 * Global options, set before run(): --root DIR, --run-root DIR, --debug, --log-format text|json;
 * HULL_ROOT, HULL_RUN_ROOT.
 */
struct cmd_globals {
	const char *root, *run_root, *log_format, *log_level;
	bool debug, version, help;
};
extern struct cmd_globals cmd_globals;

/* oci_main() - `hull oci`, the OCI runtime (oci.c). */
int oci_main(int argc, char **argv);

/*
 * cmd_main() - all of the program behind main()'s fast paths: globals, dispatch, the error line. Return:
 * exit status.
 */
int cmd_main(int argc, char **argv);

/*
 * cmd_find() - the command that @argv begins with, by name or alias. *ret_words: how many words of @argv
 * that took.
 */
const struct cmd *cmd_find(int argc, char *const *argv, int *ret_words);

/* cmd_engine() - the default of --engine wherever a machine starts: HULL_ENGINE, or NULL. */
const char *cmd_engine(void);
/* cmd_run_dir() - where state lies that a boot of the host ends; NULL: out of memory */
const char *cmd_run_dir(void);

/* cmd_runtime() - the runtime at the global root, opened once; cmd_close() closes it. */
int cmd_runtime(struct runtime **ret_rt, struct err *e);
void cmd_close(void);

/* cmd_fail() - report @e, "hull: text" on stderr, and go on with the next operand. Return: exit status 1. */
int cmd_fail(const struct err *e);

/*
 * opt_parse() - options of @argv into @o; operands are moved to the end of @argv
 * Return: index of the first operand; -EINVAL with @e ("unknown flag: --x, see 'hull run --help'");
 * -ECANCELED: --help was asked for.
 */
int opt_parse(const struct cmd *c, void *o, int argc, char **argv, struct err *e);
void opt_fini(const struct cmd *c, void *o);

/* opt_sorted() - the options by name, as people look for them. Return: how many. */
enum { OPTS_MAX = 128 };
size_t opt_sorted(const struct opt *opts, const struct opt *ret_sorted[OPTS_MAX]);

/* cmd_help() - `hull COMMAND --help`; cmd_help_all() - `hull --help`. */
void cmd_help(const struct cmd *c, int fd);
void cmd_help_all(int fd);
extern const struct opt cmd_global_opts[];

/* cmd_suggest() - the command whose name is nearest to @word, or NULL when none is near. */
const char *cmd_suggest(const char *word);

/* docs_write() - man pages, or a shell's completion, into directory @dir. @what: "man", "bash", "zsh". */
int docs_write(const char *what, const char *dir, struct err *e);

#endif
