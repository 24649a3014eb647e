/* SPDX-License-Identifier: Apache-2.0 */
/* oci_ctl.c - hull oci state, kill, delete, list, ps, pause, resume, features, spec: what looks at or steers a container */
#include <errno.h>
#include <fcntl.h>
#include <regex.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "base/guard.h"
#include "base/time.h"
#include "cmd/oci.h"
#include "fmt/json.h"
#include "fmt/oci.h"
#include "sys/file.h"
#include "sys/ns.h"

static int print(const struct buf *b, struct err *e)
{
	int r = file_write(STDOUT_FILENO, b->data, b->len);

	return r < 0 ? err_sys(e, -r, "standard output") : 0;
}

static int print_line(struct buf *b, struct err *e)
{
	buf_putc(b, '\n');
	return buf_finish(b) < 0 ? err_sys(e, ENOMEM, "output") : print(b, e);
}

/* with() - @fn on the container called @id. */
static int with(const char *id, int (*fn)(struct ct *ct, const void *o, struct err *e), const void *o,
		struct err *e)
{
	struct ct *ct;
	int r = oci_open(&ct, id, e);

	if (r < 0)
		return r;
	r = fn(ct, o, e);
	ct_free(ct);
	return r;
}

/* --- state, kill, delete ------------------------------------------------------------------------------------------ */

static int state_of(struct ct *ct, const void *o, struct err *e)
{
	auto_fini(buf) struct buf json = { 0 };
	int r = ct_state_json(ct, &json, e);

	(void)o;
	return r < 0 ? r : print_line(&json, e);
}

static int state_run(void *o, int argc, char **argv, struct err *e)
{
	(void)argc;
	return with(argv[0], state_of, o, e);
}

const struct cmd oci_cmd_state = {
	.name = "oci state",
	.args = "ID",
	.summary = "Print a container's state",
	.min_args = 1,
	.max_args = 1,
	.run = state_run,
};

struct kill_opts {
	bool all;
	int sig;
};

static int kill_one(struct ct *ct, const void *opts, struct err *e)
{
	const struct kill_opts *o = opts;

	return ct_kill(ct, o->sig, o->all, e);
}

static int kill_run(void *opts, int argc, char **argv, struct err *e)
{
	struct kill_opts *o = opts;

	o->sig = argc > 1 ? oci_signal_from_name(argv[1]) : SIGTERM;
	if (o->sig < 0)
		return err_set(e, EINVAL, "unknown signal \"%s\"", argv[1]);
	return with(argv[0], kill_one, o, e);
}

static const struct opt kill_opts[] = { { "all", 'a', OPT_FLAG, offsetof(struct kill_opts, all), NULL,
					  "Signal every process of the container", NULL },
					{ 0 } };

const struct cmd oci_cmd_kill = {
	.name = "oci kill",
	.args = "[OPTIONS] ID [SIGNAL]",
	.summary = "Send a signal (TERM) to a container's process",
	.opts = kill_opts,
	.opts_size = sizeof(struct kill_opts),
	.min_args = 1,
	.max_args = 2,
	.run = kill_run,
};

struct delete_opts {
	bool force, regex;
};

static int delete_one(struct ct *ct, const void *opts, struct err *e)
{
	const struct delete_opts *o = opts;
	int r = ct_delete(ct, o->force, e);

	if (r == 0)
		oci_warn(e);
	return r;
}

/* delete_matching() - crun's --regex: every container whose id matches. */
static int delete_matching(const char *pattern, const struct delete_opts *o, struct err *e)
{
	struct strv ids = { 0 };
	regex_t re;
	int r;

	if (regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB))
		return err_set(e, EINVAL, "--regex '%s': not a regular expression", pattern);
	r = ct_list(oci_globals.root, &ids.item, &ids.len, e);
	for (size_t i = 0; i < ids.len && r == 0; i++)
		if (regexec(&re, ids.item[i], 0, NULL, 0) == 0)
			r = with(ids.item[i], delete_one, o, e);
	regfree(&re);
	strv_fini(&ids);
	return r;
}

static int delete_run(void *opts, int argc, char **argv, struct err *e)
{
	const struct delete_opts *o = opts;
	int r = 0;

	for (int i = 0; i < argc && o->regex && r == 0; i++)
		r = delete_matching(argv[i], o, e);
	if (o->regex)
		return r;

	for (int i = 0; i < argc && r == 0; i++) {
		struct ct *ct;

		r = ct_id_check(argv[i], e);
		if (r < 0)
			break;
		r = oci_open(&ct, argv[i], e);
		if (r == 0) {
			r = delete_one(ct, o, e);
			ct_free(ct);
		} else if (o->force) { /* as runc: what is not there needs no force */
			r = r == -ENOENT ? 0 : ct_delete_damaged(oci_globals.root, argv[i], e);
		}
	}
	return r;
}

static const struct opt delete_opts[] = { { "force", 'f', OPT_FLAG, offsetof(struct delete_opts, force), NULL,
					    "Kill it first when it runs", NULL },
					  { "regex", 0, OPT_FLAG, offsetof(struct delete_opts, regex), NULL,
					    "ID is a regular expression", NULL },
					  { 0 } };

const struct cmd oci_cmd_delete = {
	.name = "oci delete",
	.args = "[OPTIONS] ID...",
	.summary = "Remove stopped containers",
	.opts = delete_opts,
	.opts_size = sizeof(struct delete_opts),
	.min_args = 1,
	.max_args = -1,
	.run = delete_run,
};

/* --- pause, resume ------------------------------------------------------------------------------------------------- */

static int pause_one(struct ct *ct, const void *o, struct err *e)
{
	(void)o;
	return ct_pause(ct, e);
}

static int pause_run(void *o, int argc, char **argv, struct err *e)
{
	(void)argc;
	return with(argv[0], pause_one, o, e);
}

const struct cmd oci_cmd_pause = {
	.name = "oci pause",
	.args = "ID",
	.summary = "Freeze every process of a container",
	.min_args = 1,
	.max_args = 1,
	.run = pause_run,
};

static int resume_one(struct ct *ct, const void *o, struct err *e)
{
	(void)o;
	return ct_resume(ct, e);
}

static int resume_run(void *o, int argc, char **argv, struct err *e)
{
	(void)argc;
	return with(argv[0], resume_one, o, e);
}

const struct cmd oci_cmd_resume = {
	.name = "oci resume",
	.args = "ID",
	.summary = "Thaw a paused container",
	.min_args = 1,
	.max_args = 1,
	.run = resume_run,
};

/* --- list, ps ------------------------------------------------------------------------------------------------------ */

struct list_opts {
	const char *format;
	bool quiet;
};

static void list_row(const struct ct *ct, struct buf *out)
{
	char when[TIME_RFC3339_SIZE];
	enum ct_status s = ct_status(ct);

	buf_printf(out, "%-16s %-10d %-10s %-36s %-30s #%u\n", ct->id, s == CT_STOPPED ? 0 : (int)ct->pid,
		   ct_status_name(s), ct->bundle ? ct->bundle : "", time_rfc3339(ct->created_ns, when),
		   ct->owner);
}

static int list_add(const char *id, const struct list_opts *o, struct buf *out, struct err *e)
{
	struct err why = { 0 };
	struct ct *ct;
	int r = oci_open(&ct, id, &why);

	if (r < 0) { /* deleted meanwhile; or damaged, which must not hide the others */
		if (r != -ENOENT)
			oci_warn(&why);
		return 0;
	}
	if (o->quiet)
		buf_printf(out, "%s\n", id);
	else if (str_eq(o->format, "json")) {
		if (out->len > 1)
			buf_putc(out, ',');
		r = ct_state_json(ct, out, e);
	} else {
		list_row(ct, out);
	}
	ct_free(ct);
	return r;
}

static int list_run(void *opts, int argc, char **argv, struct err *e)
{
	const struct list_opts *o = opts;
	bool json = str_eq(o->format, "json");
	auto_fini(buf) struct buf out = { 0 };
	struct strv ids = { 0 };
	int r;

	(void)argc;
	(void)argv;
	if (o->format && !json && !str_eq(o->format, "table"))
		return err_set(e, EINVAL, "--format '%s': table or json", o->format);
	r = ct_list(oci_globals.root, &ids.item, &ids.len, e);
	if (r < 0)
		return r;
	if (json && !o->quiet)
		buf_puts(&out, "[");
	else if (!o->quiet)
		buf_printf(&out, "%-16s %-10s %-10s %-36s %-30s %s\n", "ID", "PID", "STATUS", "BUNDLE",
			   "CREATED", "OWNER");
	for (size_t i = 0; i < ids.len && r == 0; i++)
		r = list_add(ids.item[i], o, &out, e);
	if (json && !o->quiet)
		buf_puts(&out, "]\n");
	strv_fini(&ids);
	return r < 0 ? r : print(&out, e);
}

static const struct opt list_opts[] = { { "format", 'f', OPT_STRING, offsetof(struct list_opts, format),
					  "table|json", "Form of the list", "table json" },
					{ "quiet", 'q', OPT_FLAG, offsetof(struct list_opts, quiet), NULL,
					  "Only the ids", NULL },
					{ 0 } };

const struct cmd oci_cmd_list = {
	.name = "oci list",
	.args = "[OPTIONS]",
	.summary = "List containers",
	.opts = list_opts,
	.opts_size = sizeof(struct list_opts),
	.max_args = 0,
	.run = list_run,
};

enum { PS_BYTES_MAX = 64 << 20 };

struct ps_opts {
	const char *format;
	int argc;
	char **argv;
};

/* ps_column() - which column of ps's first line is called PID; -1: none. */
static int ps_column(const char *line)
{
	int column = 0;

	for (const char *p = line; *p; column++) {
		size_t len;

		p += strspn(p, " ");
		len = strcspn(p, " ");
		if (len == 3 && strncmp(p, "PID", 3) == 0)
			return column;
		p += len;
	}
	return -1;
}

static bool ps_is_ours(const char *line, int column, const pid_t *pids, size_t n)
{
	long pid;

	for (; column > 0; column--) {
		line += strspn(line, " ");
		line += strcspn(line, " ");
	}
	pid = strtol(line, NULL, 10);
	for (size_t i = 0; i < n; i++)
		if (pids[i] == pid)
			return true;
	return false;
}

/* ps_filter() - the first line of what ps(1) said, and those about @pids. */
static int ps_filter(char *text, const pid_t *pids, size_t n, struct buf *out, struct err *e)
{
	int column = -1;

	for (char *line = text, *next; line && *line; line = next) {
		next = strchrnul(line, '\n');
		if (*next)
			*next++ = '\0';
		if (line == text && (column = ps_column(line)) < 0)
			return err_set(e, EINVAL, "ps: its output has no column PID");
		if (line == text || ps_is_ours(line, column, pids, n))
			buf_printf(out, "%s\n", line);
	}
	return buf_finish(out) < 0 ? err_sys(e, ENOMEM, "ps") : 0;
}

/* ps_table() - the host's ps(1) knows every column people ask for; ours is to keep the lines of the container. */
static int ps_table(const struct ps_opts *o, const pid_t *pids, size_t n, struct err *e)
{
	auto_fini(strv) struct strv argv = { 0 };
	auto_fini(buf) struct buf text = { 0 }, out = { 0 };
	auto_close int pidfd = -1;
	auto_close int from = -1;
	siginfo_t info;
	int fds[2], r;
	pid_t child;

	strv_add(&argv, "ps");
	for (int i = 0; i < o->argc; i++)
		strv_add(&argv, o->argv[i]);
	if (o->argc == 0)
		strv_add(&argv, "-ef");
	r = strv_finish(&argv);
	if (r >= 0)
		r = file_pipe(fds);
	if (r < 0)
		return err_sys(e, -r, "ps");
	from = fds[0];
	child = ns_clone(0, -1, &pidfd);
	if (child == 0) {
		fd_dup_to(fds[1], STDOUT_FILENO, false);
		execvp("ps", argv.item);
		_exit(127);
	}
	close(fds[1]);
	r = child < 0 ? (int)child : file_slurp(from, &text, PS_BYTES_MAX);
	fd_close(&from); /* after too much of it ps must not wait for us for ever */
	if (child < 0 || pidfd_wait(pidfd, &info, WEXITED) < 0 || r < 0)
		return err_sys(e, r < 0 ? -r : ECHILD, "ps");
	if (info.si_status == 127)
		return err_set(e, ENOENT, "ps: not installed (package procps); --format json needs none");
	if (info.si_code != CLD_EXITED || info.si_status != 0)
		return err_set(e, EINVAL, "ps: it does not take these options");
	r = ps_filter(text.data, pids, n, &out, e);
	return r < 0 ? r : print(&out, e);
}

static int ps_of(struct ct *ct, const void *opts, struct err *e)
{
	const struct ps_opts *o = opts;
	auto_fini(buf) struct buf out = { 0 };
	auto_free pid_t *pids = NULL;
	size_t n;
	int r = ct_pids(ct, &pids, &n, e);

	if (r < 0)
		return r;
	if (!str_eq(o->format, "json"))
		return ps_table(o, pids, n, e);
	buf_putc(&out, '[');
	for (size_t i = 0; i < n; i++)
		buf_printf(&out, "%s%d", i ? "," : "", (int)pids[i]);
	buf_putc(&out, ']');
	return print_line(&out, e);
}

static int ps_run(void *opts, int argc, char **argv, struct err *e)
{
	struct ps_opts *o = opts;

	o->argc = argc - 1;
	o->argv = argv + 1;
	if (o->format && !str_eq(o->format, "json") && !str_eq(o->format, "table"))
		return err_set(e, EINVAL, "--format '%s': table or json", o->format);
	return with(argv[0], ps_of, o, e);
}

static const struct opt ps_opts[] = { { "format", 'f', OPT_STRING, offsetof(struct ps_opts, format),
					"table|json", "Form of the list", "table json" },
				      { 0 } };

const struct cmd oci_cmd_ps = {
	.name = "oci ps",
	.args = "[OPTIONS] ID [PS-OPTION...]",
	.summary = "List the processes of a container",
	.opts = ps_opts,
	.opts_size = sizeof(struct ps_opts),
	.min_args = 1,
	.max_args = -1,
	.options_first = true,
	.run = ps_run,
};

/* --- features, spec ------------------------------------------------------------------------------------------------ */

static int put_text(const char *text, struct err *e)
{
	int r = text ? file_write(STDOUT_FILENO, text, strlen(text)) : -ENOMEM;

	return r < 0 ? err_sys(e, -r, "standard output") : 0;
}

static int features_run(void *o, int argc, char **argv, struct err *e)
{
	auto_free char *text = oci_features();
	int r = put_text(text, e);

	(void)o;
	(void)argc;
	(void)argv;
	return r < 0 ? r : put_text("\n", e);
}

const struct cmd oci_cmd_features = {
	.name = "oci features",
	.args = "",
	.summary = "Print what this runtime supports, as JSON",
	.max_args = 0,
	.run = features_run,
};

struct spec_opts {
	const char *bundle;
	bool rootless;
};

static int spec_run(void *opts, int argc, char **argv, struct err *e)
{
	const struct spec_opts *o = opts;
	auto_close int dir = file_open(AT_FDCWD, o->bundle ? o->bundle : ".", O_RDONLY | O_DIRECTORY, 0);
	auto_close int fd = -1;
	auto_free char *text = oci_spec_default(o->rootless);
	int r;

	(void)argc;
	(void)argv;
	if (dir < 0)
		return err_sys(e, -dir, "--bundle '%s'", o->bundle ? o->bundle : ".");
	if (!text)
		return err_sys(e, ENOMEM, "config.json");
	fd = file_open(dir, "config.json", O_WRONLY | O_CREAT | O_EXCL, 0666);
	if (fd == -EEXIST)
		return err_set(e, EEXIST, "File config.json exists. Remove it first");
	r = fd < 0 ? fd : file_write(fd, text, strlen(text));
	return r < 0 ? err_sys(e, -r, "config.json") : 0;
}

static const struct opt spec_opts[] = { { "bundle", 'b', OPT_STRING, offsetof(struct spec_opts, bundle),
					  "DIR", "Where to write config.json", "@dir" },
					{ "rootless", 0, OPT_FLAG, offsetof(struct spec_opts, rootless), NULL,
					  "For a user without privileges", NULL },
					{ 0 } };

const struct cmd oci_cmd_spec = {
	.name = "oci spec",
	.args = "[OPTIONS]",
	.summary = "Write a first config.json",
	.opts = spec_opts,
	.opts_size = sizeof(struct spec_opts),
	.max_args = 0,
	.run = spec_run,
};
