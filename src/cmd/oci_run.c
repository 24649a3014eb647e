/* SPDX-License-Identifier: Apache-2.0 */
/* oci_run.c - hull oci create, run, start, exec: the commands that make processes */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/log.h"
#include "cmd/oci.h"
#include "sys/file.h"
#include "sys/ns.h"
#include "sys/sock.h"

struct create_opts {
	const char *bundle, *config, *console_socket, *pid_file, *pidfd_socket;
	int64_t preserve_fds;
	bool no_pivot, no_new_keyring, detach, keep, no_subreaper;
};

#define OPT(member) offsetof(struct create_opts, member)
#define CREATE_OPTS                                                                                            \
	{                                                                                                      \
		"bundle", 'b', OPT_STRING, OPT(bundle), "DIR", "The bundle's directory (the current one)",     \
		"@dir"                                                                                         \
	},                                                                                                     \
		{ "config",    'f',    OPT_STRING,                                                             \
		  OPT(config), "FILE", "Configuration, in place of the bundle's config.json",                  \
		  "@file" },                                                                                   \
		{ "console-socket", 0,                                                                         \
		  OPT_STRING,       OPT(console_socket),                                                       \
		  "PATH",           "Unix socket that gets the terminal's master",                             \
		  "@file" },                                                                                   \
		{ "pid-file", 0, OPT_STRING, OPT(pid_file), "FILE", "Write the process id to FILE", "@file" }, \
		{ "pidfd-socket", 0,                                                                           \
		  OPT_STRING,     OPT(pidfd_socket),                                                           \
		  "PATH",         "Unix socket that gets the process's pidfd",                                 \
		  "@file" },                                                                                   \
		{ "no-pivot",    0,    OPT_FLAG,                                                               \
		  OPT(no_pivot), NULL, "Do not use pivot_root (the host's root is an initramfs)",              \
		  NULL },                                                                                      \
		{ "no-new-keyring",                                                                            \
		  0,                                                                                           \
		  OPT_FLAG,                                                                                    \
		  OPT(no_new_keyring),                                                                         \
		  NULL,                                                                                        \
		  "Keep the caller's session keyring",                                                         \
		  NULL },                                                                                      \
	{                                                                                                      \
		"preserve-fds", 0, OPT_INT, OPT(preserve_fds), "N", "Pass N descriptors from 3 on", NULL       \
	}

/* listen_fds() - descriptors systemd passed to us (sd_listen_fds(3)), which the workload gets; not those it passed to whoever
 * started us and left the variable in the environment. */
static int listen_fds(void)
{
	const char *n = getenv("LISTEN_FDS"), *pid = getenv("LISTEN_PID");
	uint64_t v, whom;

	if (!n || !pid || str_to_u64(pid, &whom) < 0 || whom != (uint64_t)getpid())
		return 0;
	return str_to_u64(n, &v) == 0 && v < 1024 ? (int)v : 0;
}

/* absolute() - *@path as it was meant before the working directory becomes the bundle; in @a's memory. */
static int absolute(const char **path, struct arena *a, struct err *e)
{
	char cwd[PATH_MAX];
	const char *whole;

	if (!*path || **path == '/')
		return 0;
	whole = getcwd(cwd, sizeof(cwd)) ? arena_printf(a, "%s/%s", cwd, *path) : NULL;
	if (!whole)
		return err_sys(e, errno, "%s", *path);
	*path = whole;
	return 0;
}

static int absolute_all(struct create_opts *o, struct arena *a, struct err *e)
{
	const char **const path[] = { &oci_globals.root, &o->pid_file, &o->console_socket, &o->pidfd_socket };
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(path) && r == 0; i++)
		r = absolute(path[i], a, e);
	return r;
}

static int check_preserved(int64_t n, struct err *e)
{
	if (n < 0 || n > 65536)
		return err_set(e, EINVAL, "--preserve-fds %lld: a number of descriptors is wanted",
			       (long long)n);
	for (int fd = 3; fd < 3 + n; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			return err_set(e, EBADF, "--preserve-fds %lld: descriptor %d is not open",
				       (long long)n, fd);
	/* runc's callers hand them over as they are: whatever flag they carry, the workload gets them */
	for (int fd = 3; fd < 3 + n; fd++)
		fcntl(fd, F_SETFD, 0);
	return 0;
}

static int send_pidfd(const char *path, int pidfd, struct err *e)
{
	auto_close int sock = -1;
	ssize_t r;

	if (!path)
		return 0;
	sock = sock_connect_at(AT_FDCWD, path, SOCK_STREAM);
	r = sock < 0 ? sock : sock_send_fd(sock, "pidfd", 5, pidfd);
	return r < 0 ? err_sys(e, (int)-r, "--pidfd-socket '%s'", path) : 0;
}

/* make() - the container, and what the caller wants to know of it. */
static int make(struct ct **ret_ct, struct create_opts *o, struct ct_config *c, struct oci_config *config,
		struct err *e)
{
	const char *asked = o->bundle ? o->bundle : ".";
	char bundle[PATH_MAX];
	int r;

	if (!realpath(asked, bundle))
		return err_sys(e, errno, "--bundle '%s'", asked);
	r = absolute_all(o, &config->arena, e);
	if (r < 0)
		return r;
	r = oci_config_load(config, bundle, o->config ? o->config : "config.json", e);
	if (r == 0)
		r = check_preserved(o->preserve_fds, e);
	if (r < 0)
		return r;
	if (chdir(bundle) < 0)
		return err_sys(e, errno, "--bundle '%s'", bundle);
	c->root = oci_globals.root;
	c->bundle = arena_strdup(&config->arena, bundle);
	if (!c->bundle)
		return err_sys(e, ENOMEM, "--bundle '%s'", bundle);
	c->spec = &config->spec;
	c->config_text = config->text.data;
	c->config_len = config->text.len;
	c->rootfs_fd = -1;
	c->cgroup_manager = oci_cgroup_manager();
	c->stdio = (struct ct_stdio){ { STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO } };
	c->console_socket = o->console_socket;
	c->listen_fds = listen_fds();
	c->preserve_fds = (int)o->preserve_fds + c->listen_fds;
	c->no_pivot = o->no_pivot;
	c->no_new_keyring = o->no_new_keyring;
	c->rootless = oci_rootless();
	r = ct_create(ret_ct, c, e);
	if (r < 0)
		return r;
	if ((*ret_ct)->cgroup.skipped[0])
		log_debug("oci", "container '%s': no cgroup controller for: %s", c->id,
			  (*ret_ct)->cgroup.skipped);
	if ((*ret_ct)->cgroup.ignored[0]) {
		err_set(e, ENOTSUP,
			"container '%s': no cgroup of yours enforces these limits, they are ignored: %s",
			c->id, (*ret_ct)->cgroup.ignored);
		oci_warn(e);
		*e = (struct err){ 0 };
	}
	r = oci_write_pid(o->pid_file, (*ret_ct)->pid, e);
	if (r == 0)
		r = send_pidfd(o->pidfd_socket, (*ret_ct)->pidfd, e);
	if (r < 0)
		ct_delete(*ret_ct, true, NULL);
	return r;
}

static int create_run(void *opts, int argc, char **argv, struct err *e)
{
	struct create_opts *o = opts;
	struct ct_config c = { .id = argv[0], .console_fd = -1 };
	auto_fini(oci_config) struct oci_config config = { 0 };
	struct ct *ct = NULL;
	int r = make(&ct, o, &c, &config, e);

	(void)argc;
	ct_free(ct);
	return r;
}

static const struct opt create_opts[] = { CREATE_OPTS, { 0 } };

const struct cmd oci_cmd_create = {
	.name = "oci create",
	.args = "[OPTIONS] ID",
	.summary = "Make a container; its process waits for start",
	.opts = create_opts,
	.opts_size = sizeof(struct create_opts),
	.min_args = 1,
	.max_args = 1,
	.run = create_run,
};

static int start_run(void *opts, int argc, char **argv, struct err *e)
{
	struct ct *ct;
	int r = oci_open(&ct, argv[0], e);

	(void)opts;
	(void)argc;
	if (r < 0)
		return r;
	r = ct_start(ct, e);
	ct_free(ct);
	return r;
}

const struct cmd oci_cmd_start = {
	.name = "oci start",
	.args = "ID",
	.summary = "Run the process of a created container",
	.min_args = 1,
	.max_args = 1,
	.run = start_run,
};

/* --- run ----------------------------------------------------------------------------------------------------------- */

static int run_run(void *opts, int argc, char **argv, struct err *e)
{
	struct create_opts *o = opts;
	auto_fini(oci_config) struct oci_config config = { 0 };
	struct ct_config c = { .id = argv[0], .console_fd = -1, .run = true };
	int console[2] = { -1, -1 };
	struct ct *ct = NULL;
	int r = 0, code;

	(void)argc;
	if (!o->detach && !o->no_subreaper)
		prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	if (!o->detach &&
	    !o->console_socket) { /* whether a terminal is wanted is known once the configuration is read */
		r = sock_pair(SOCK_STREAM, console);
		c.console_fd = console[1];
	}
	if (r == 0)
		r = make(&ct, o, &c, &config, e);
	fd_close(&console[1]);
	if (r == 0 && !o->detach) {
		code = oci_supervise(ct->pid, ct->pidfd, config.spec.process.terminal ? console[0] : -1, e);
		if (code < 0) /* nobody is in front of it any more */
			ct_delete(ct, true, NULL);
		else if (!o->keep)
			r = ct_delete(ct, true, e);
		if (r == 0 && code >= 0)
			oci_warn(e);
		if (r == 0)
			r = code;
	}
	fd_close(&console[0]);
	ct_free(ct);
	return r;
}

static const struct opt run_opts[] = {
	CREATE_OPTS,
	{ "detach", 'd', OPT_FLAG, OPT(detach), NULL, "Return as soon as it runs", NULL },
	{ "keep", 0, OPT_FLAG, OPT(keep), NULL, "Do not delete the container when it has ended", NULL },
	{ "no-subreaper", 0, OPT_FLAG, OPT(no_subreaper), NULL, "Do not adopt the container's orphans",
	  NULL },
	{ 0 }
};

const struct cmd oci_cmd_run = {
	.name = "oci run",
	.args = "[OPTIONS] ID",
	.summary = "Make a container and run its process",
	.opts = run_opts,
	.opts_size = sizeof(struct create_opts),
	.min_args = 1,
	.max_args = 1,
	.run = run_run,
};

/* --- exec ---------------------------------------------------------------------------------------------------------- */

struct exec_opts {
	const char *process, *user, *cwd, *pid_file, *console_socket, *process_label, *apparmor, *cgroup,
		*pidfd_socket;
	struct strv env, caps, gids;
	int64_t preserve_fds;
	bool tty, detach, no_new_privs, ignore_paused;
};

static int parse_id(const char *s, const char *what, uint32_t *ret_id, struct err *e)
{
	uint64_t n;

	if (str_to_u64(s, &n) < 0 || n >= UINT32_MAX)
		return err_set(e, EINVAL, "%s '%s': a number from 0 to %u is wanted", what, s,
			       UINT32_MAX - 1);
	*ret_id = (uint32_t)n;
	return 0;
}

static int apply_user(struct oci_process *p, const char *user, struct err *e)
{
	char uid[16];
	const char *colon = strchrnul(user, ':');
	int r;

	if ((size_t)(colon - user) >= sizeof(uid))
		return err_set(e, EINVAL, "--user '%s': UID[:GID] in numbers is wanted", user);
	str_format(uid, sizeof(uid), "%.*s", (int)(colon - user), user);
	r = parse_id(uid, "--user", &p->user.uid, e);
	return r == 0 && *colon ? parse_id(colon + 1, "--user", &p->user.gid, e) : r;
}

/* apply_caps() - never the inheritable set (CVE-2022-29162). */
static int apply_caps(struct oci_process *p, const struct strv *caps, struct err *e)
{
	for (size_t i = 0; i < caps->len; i++) {
		int cap = oci_cap_from_name(caps->item[i]);

		if (cap < 0)
			return err_set(e, EINVAL, "--cap '%s': no such capability", caps->item[i]);
		p->caps[OCI_CAP_BOUNDING] |= 1ULL << cap;
		p->caps[OCI_CAP_EFFECTIVE] |= 1ULL << cap;
		p->caps[OCI_CAP_PERMITTED] |= 1ULL << cap;
	}
	p->has_capabilities |= caps->len > 0;
	return 0;
}

static int apply_gids(struct oci_process *p, const struct strv *gids, struct arena *a, struct err *e)
{
	size_t n = p->user.n_additional_gids;
	uint32_t *all = arena_array(a, n + gids->len, sizeof(*all));
	int r = all || !gids->len ? 0 : err_sys(e, ENOMEM, "--additional-gids");

	if (r < 0 || !gids->len)
		return r;
	for (size_t i = 0; i < n; i++)
		all[i] = p->user.additional_gids[i];
	for (size_t i = 0; i < gids->len && r == 0; i++)
		r = parse_id(gids->item[i], "--additional-gids", &all[n + i], e);
	p->user.additional_gids = all;
	p->user.n_additional_gids = n + gids->len;
	return r;
}

/* apply_env() - added behind the container's own; of a name given twice the first is found, so the old one goes. */
static int apply_env(struct oci_process *p, const struct strv *env, struct arena *a, struct err *e)
{
	char **all = arena_array(a, p->env.n + env->len + 1, sizeof(*all));
	size_t n = 0;

	if (!all)
		return err_sys(e, ENOMEM, "--env");
	for (size_t i = 0; i < p->env.n; i++) {
		bool replaced = false;

		for (size_t k = 0; k < env->len; k++) {
			size_t len = strcspn(env->item[k], "=");

			replaced |= strncmp(p->env.v[i], env->item[k], len) == 0 && p->env.v[i][len] == '=';
		}
		if (!replaced)
			all[n++] = p->env.v[i];
	}
	for (size_t k = 0; k < env->len; k++) {
		size_t len = strcspn(env->item[k], "=");
		bool again = false;

		if (!env->item[k][len])
			return err_set(e, EINVAL, "--env '%s': NAME=VALUE is wanted", env->item[k]);
		for (size_t later = k + 1; later < env->len; later++)
			again |= strncmp(env->item[later], env->item[k], len + 1) == 0;
		if (!again)
			all[n++] = env->item[k];
	}
	p->env = (struct oci_strs){ .v = all, .n = n };
	return 0;
}

/* from_flags() - the container's own process, with what the command line changes. */
static int from_flags(struct ct *ct, const struct exec_opts *o, int argc, char **argv, struct oci_process *p,
		      struct arena *a, struct err *e)
{
	int r = ct_process(ct, p, a, e);

	if (r < 0)
		return r;
	if (argc < 1)
		return err_set(e, EINVAL, "process args cannot be empty");
	p->args = (struct oci_strs){ .v = argv, .n = (size_t)argc };
	p->terminal = o->tty;
	if (o->cwd)
		p->cwd = o->cwd;
	p->no_new_privileges |= o->no_new_privs;
	if (o->apparmor)
		p->apparmor_profile = o->apparmor;
	if (o->process_label)
		p->selinux_label = o->process_label;
	if (p->cwd[0] != '/')
		return err_set(e, EINVAL, "--cwd '%s': an absolute path is wanted", p->cwd);
	r = o->user ? apply_user(p, o->user, e) : 0;
	if (r == 0)
		r = apply_caps(p, &o->caps, e);
	if (r == 0)
		r = apply_gids(p, &o->gids, a, e);
	return r == 0 ? apply_env(p, &o->env, a, e) : r;
}

static int from_file(const struct exec_opts *o, struct oci_process *p, struct arena *a, struct err *e)
{
	auto_fini(buf) struct buf text = { 0 };
	int r = file_slurp_at(AT_FDCWD, o->process, &text, OCI_CONFIG_BYTES_MAX);

	if (r < 0)
		return err_sys(e, -r, "--process '%s'", o->process);
	r = oci_process_parse(p, text.data, text.len, a, e);
	return r < 0 ? err_wrap(e, r, "%s", o->process) : 0;
}

static int exec_in(struct ct *ct, const struct exec_opts *o, const struct oci_process *p, struct err *e)
{
	auto_close int pidfd = -1;
	int console[2] = { -1, -1 };
	struct ct_exec x = {
		.process = p,
		.stdio = { { STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO } },
		.console_fd = -1,
		.console_socket = o->console_socket,
		.cgroup = o->cgroup,
		.ignore_paused = o->ignore_paused,
		.preserve_fds = (int)o->preserve_fds,
	};
	pid_t pid;
	int r = check_preserved(o->preserve_fds, e);

	if (r == 0 && p->terminal && !o->console_socket && o->detach)
		return err_set(e, EINVAL,
			       "cannot allocate tty if hull will detach without setting console socket");
	if (r == 0 && p->terminal && !o->console_socket) {
		r = sock_pair(SOCK_STREAM, console);
		x.console_fd = console[1];
	}
	if (r < 0)
		return r;
	pid = ct_exec(ct, &x, &pidfd, e);
	fd_close(&console[1]);
	r = pid < 0 ? (int)pid : oci_write_pid(o->pid_file, pid, e);
	if (r == 0)
		r = send_pidfd(o->pidfd_socket, pidfd, e);
	if (r == 0 && !o->detach)
		r = oci_supervise(pid, pidfd, console[0], e);
	else if (r < 0 && pid > 0)
		pidfd_send(pidfd, SIGKILL);
	fd_close(&console[0]);
	return r;
}

static int exec_run(void *opts, int argc, char **argv, struct err *e)
{
	struct exec_opts *o = opts;
	auto_fini(arena) struct arena a = { 0 };
	struct oci_process p = { 0 };
	struct ct *ct;
	int r = oci_open(&ct, argv[0], e);

	if (r < 0)
		return r;
	r = o->process ? from_file(o, &p, &a, e) : from_flags(ct, o, argc - 1, argv + 1, &p, &a, e);
	if (r == 0 && o->tty)
		p.terminal = true;
	if (r == 0)
		r = exec_in(ct, o, &p, e);
	ct_free(ct);
	return r;
}

#undef OPT
#define OPT(member) offsetof(struct exec_opts, member)
static const struct opt exec_opts[] = {
	{ "process", 'p', OPT_STRING, OPT(process), "FILE", "A process object of the runtime specification",
	  "@file" },
	{ "tty", 't', OPT_FLAG, OPT(tty), NULL, "Allocate a terminal", NULL },
	{ "user", 'u', OPT_STRING, OPT(user), "UID[:GID]", "Run as this user", NULL },
	{ "additional-gids", 'g', OPT_LIST, OPT(gids), "GID", "One more group", NULL },
	{ "cwd", 0, OPT_STRING, OPT(cwd), "DIR", "Working directory in the container", NULL },
	{ "env", 'e', OPT_LIST, OPT(env), "NAME=VALUE", "Set an environment variable", NULL },
	{ "cap", 'c', OPT_LIST, OPT(caps), "CAP", "Add a capability", NULL },
	{ "detach", 'd', OPT_FLAG, OPT(detach), NULL, "Return as soon as it runs", NULL },
	{ "pid-file", 0, OPT_STRING, OPT(pid_file), "FILE", "Write the process id to FILE", "@file" },
	{ "console-socket", 0, OPT_STRING, OPT(console_socket), "PATH",
	  "Unix socket that gets the terminal's master", "@file" },
	{ "pidfd-socket", 0, OPT_STRING, OPT(pidfd_socket), "PATH",
	  "Unix socket that gets the process's pidfd", "@file" },
	{ "process-label", 0, OPT_STRING, OPT(process_label), "LABEL", "SELinux label", NULL },
	{ "apparmor", 0, OPT_STRING, OPT(apparmor), "PROFILE", "AppArmor profile", NULL },
	{ "no-new-privs", 0, OPT_FLAG, OPT(no_new_privs), NULL, "Set no_new_privs", NULL },
	{ "preserve-fds", 0, OPT_INT, OPT(preserve_fds), "N", "Pass N descriptors from 3 on", NULL },
	{ "cgroup", 0, OPT_STRING, OPT(cgroup), "PATH", "Run in this group below the container's own", NULL },
	{ "ignore-paused", 0, OPT_FLAG, OPT(ignore_paused), NULL, "Also in a paused container", NULL },
	{ 0 }
};

const struct cmd oci_cmd_exec = {
	.name = "oci exec",
	.args = "[OPTIONS] ID COMMAND [ARG...]",
	.summary = "Run one more process in a running container",
	.opts = exec_opts,
	.opts_size = sizeof(struct exec_opts),
	.min_args = 1,
	.max_args = -1,
	.options_first = true,
	.run = exec_run,
};
