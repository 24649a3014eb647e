/* SPDX-License-Identifier: Apache-2.0 */
#include "container/process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "container/reaper.h"
#include "sys/call.h"
#include "sys/cred.h"
#include "sys/file.h"
#include "sys/mount.h"
#include "sys/path.h"
#include "sys/sched.h"
#include "sys/sock.h"

enum { PASSWD_BYTES_MAX = 1 << 20, UMASK_DEFAULT = 022 };

/* --- before the container's root ----------------------------------------------------------------------------- */

/* raise_hard() - the part that takes privilege, and does no harm while there is work to do. */
static int raise_hard(pid_t pid, const struct oci_rlimit *lim)
{
	uint64_t value[2]; /* soft, hard */
	int r = (int)SYS4(SYS_prlimit64, pid, lim->resource, NULL, value);

	if (r < 0 || lim->hard <= value[1])
		return r;
	value[1] = lim->hard;
	return (int)SYS4(SYS_prlimit64, pid, lim->resource, value, NULL);
}

/* set_limits() - as they are for the workload: ours too from here on, be it three descriptors or a megabyte. */
static int set_limits(const struct oci_process *p, struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < p->n_rlimits && r == 0; i++) {
		r = sched_set_rlimit(p->rlimits[i].resource, p->rlimits[i].soft, p->rlimits[i].hard);
		if (r < 0)
			err_sys(e, -r, "process.rlimits[%zu] %s", i, p->rlimits[i].name);
	}
	return r;
}

int ct_proc_limits(const struct oci_process *p, pid_t pid, struct err *e)
{
	char path[64], score[16];
	int r;

	for (size_t i = 0; i < p->n_rlimits; i++) {
		r = raise_hard(pid, &p->rlimits[i]);
		if (r < 0)
			return err_sys(e, -r, "process.rlimits[%zu] %s", i, p->rlimits[i].name);
	}
	if (!p->oom_score_adj.set)
		return 0;
	if (pid)
		str_format(path, sizeof(path), "/proc/%d/oom_score_adj", (int)pid);
	else
		str_copy(path, sizeof(path), "/proc/self/oom_score_adj");
	str_format(score, sizeof(score), "%d", (int)p->oom_score_adj.v);
	r = file_put(AT_FDCWD, path, score);
	return r < 0 ? err_sys(e, -r, "process.oomScoreAdj %s", score) : 0;
}

/* given() - a label that is given and not empty, else NULL. */
static const char *given(const char *label)
{
	return label && *label ? label : NULL;
}

/* open_attr() - where the LSM label of the next exec is written; from the host's /proc, checked to be procfs. */
static int open_attr(struct ct_proc *pr, struct err *e)
{
	const char *profile = given(pr->p->apparmor_profile);
	const char *field = profile ? "process.apparmorProfile" : "process.selinuxLabel";
	const char *path = profile ? "/proc/thread-self/attr/apparmor/exec" : "/proc/thread-self/attr/exec";
	struct stat st;

	if (profile && stat("/sys/module/apparmor", &st) < 0)
		return err_set(e, EOPNOTSUPP, "%s '%s': this kernel has no AppArmor", field, profile);
	if (!profile && stat("/sys/fs/selinux/enforce", &st) < 0)
		return err_set(e, EOPNOTSUPP, "%s '%s': this kernel has no SELinux", field,
			       pr->p->selinux_label);
	pr->attr_fd = file_open(AT_FDCWD, path, O_WRONLY, 0);
	if (pr->attr_fd < 0)
		return err_sys(e, -pr->attr_fd, "%s: %s", field, path);
	if (!mnt_fstype_is(pr->attr_fd, PROC_SUPER_MAGIC))
		return err_set(e, EIO, "%s: %s is not procfs", field, path);
	return 0;
}

int ct_proc_early(struct ct_proc *pr, struct err *e)
{
	const struct oci_process *p = pr->p;
	int r = pr->in_userns ? 0 : ct_proc_limits(p, 0, e);

	if (r == 0 && (given(p->apparmor_profile) || given(p->selinux_label)))
		r = open_attr(pr, e);
	if (r < 0)
		return r;
	if (p->io_priority) {
		r = sched_set_io(p->io_priority->class, p->io_priority->priority);
		if (r < 0)
			return err_sys(e, -r, "process.ioPriority");
	}
	if (p->scheduler) {
		const struct oci_scheduler *s = p->scheduler;
		const uint64_t times[3] = { s->runtime, s->deadline, s->period };

		r = sched_set_policy(s->policy, s->nice, s->priority, s->flags, times);
		if (r < 0)
			return err_sys(e, -r, "process.scheduler");
	}
	if (pr->memory_policy) {
		r = sched_set_memory(pr->memory_policy->mode, pr->memory_policy->flags,
				     pr->memory_policy->nodes);
		if (r < 0)
			return err_sys(e, -r, "linux.memoryPolicy");
	}
	if (pr->personality) {
		r = sched_set_personality(pr->personality->domain);
		if (r < 0)
			return err_sys(e, -r, "linux.personality");
	}
	return 0;
}

/* --- inside the container's root ----------------------------------------------------------------------------- */

/* enter_cwd() - CVE-2024-21626: where we end must be a place in the container's root, not behind a leaked descriptor. */
static int enter_cwd(const char *cwd, struct err *e)
{
	char where[PATH_MAX];
	long r = SYS1(SYS_chdir, cwd);

	if (r < 0)
		return err_sys(e, (int)-r, "process.cwd: chdir to '%s'", cwd);
	r = SYS2(SYS_getcwd, where, sizeof(where));
	if (r < 0 || where[0] != '/')
		return err_set(e, ENOENT, "process.cwd: '%s' is outside of the container's root", cwd);
	return 0;
}

static const char *env_get(const struct oci_process *p, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = p->env.n; i-- > 0;)
		if (strncmp(p->env.v[i], name, len) == 0 && p->env.v[i][len] == '=')
			return p->env.v[i] + len + 1;
	return NULL;
}

static int executable(const char *path)
{
	struct stat st;
	int r = file_fstatat(AT_FDCWD, path, &st, 0);

	if (r < 0)
		return r;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	return S_ISREG(st.st_mode) && st.st_mode & 0111 ? 0 : -EACCES;
}

static int find_in_path(struct ct_proc *pr, const char *name, const char *path, struct err *e)
{
	int worst = -ENOENT;

	/* without PATH there is nowhere to look, and the working directory is not meant */
	for (const char *p = given(path), *end; p; p = *end ? end + 1 : NULL) {
		int r;

		end = strchrnul(p, ':');
		if (str_format(pr->exe, sizeof(pr->exe), "%.*s%s%s", (int)(end - p), p, end == p ? "./" : "/",
			       name) >= sizeof(pr->exe))
			continue;
		r = executable(pr->exe);
		if (r == 0)
			return 0;
		if (r == -EACCES)
			worst = r;
	}
	if (worst == -EACCES)
		return err_set(e, EACCES, "exec: \"%s\": permission denied", name);
	return err_set(e, ENOENT, "exec: \"%s\": executable file not found in $PATH", name);
}

int ct_proc_find(struct ct_proc *pr, struct err *e)
{
	const char *name = pr->p->args.v[0];
	const char *path = env_get(pr->p, "PATH");
	int r = enter_cwd(pr->p->cwd, e);

	if (r < 0)
		return r;
	if (!strchr(name, '/'))
		return find_in_path(pr, name, path, e);
	if (!str_copy(pr->exe, sizeof(pr->exe), name))
		return err_set(e, ENAMETOOLONG, "exec: \"%.64s...\": file name too long", name);
	r = executable(name);
	if (r == -ENOENT || r == -ENOTDIR)
		return err_set(e, ENOENT, "exec: \"%s\": stat %s: no such file or directory", name, name);
	if (r == -EISDIR)
		return err_set(e, EACCES, "exec: \"%s\": is a directory", name);
	if (r == -EACCES)
		return err_set(e, EACCES, "exec: \"%s\": permission denied", name);
	return r < 0 ? err_sys(e, -r, "exec: \"%s\"", name) : 0;
}

/* --- standard streams ---------------------------------------------------------------------------------------- */

/* own_stream() - the workload's user may open /proc/self/fd/N again; what cannot change owner stays as it is. */
static void own_stream(int fd, uid_t uid)
{
	struct stat st;

	if (file_fstatat(fd, "", &st, AT_EMPTY_PATH) < 0 || st.st_uid == uid)
		return;
	if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3))
		return;
	SYS3(SYS_fchown, fd, uid, -1);
}

static int set_terminal(const struct oci_process *p, int slave)
{
	struct winsize ws = { .ws_row = p->console_rows, .ws_col = p->console_cols };
	long r = SYS3(SYS_ioctl, slave, TIOCSCTTY, 0);

	if (r == 0 && ws.ws_row && ws.ws_col)
		r = SYS3(SYS_ioctl, slave, TIOCSWINSZ, &ws);
	return (int)r;
}

int ct_proc_stdio(const struct ct_proc *pr, const struct ct_stdio *io, int slave, struct err *e)
{
	auto_close int null = -1;
	int from[3], r = 0;

	for (int i = 0; i < 3; i++) {
		from[i] = slave >= 0 ? slave : io->fd[i];
		if (from[i] < 0 && null < 0)
			null = file_open(AT_FDCWD, "/dev/null", O_RDWR, 0);
		if (from[i] < 0)
			from[i] = null;
		if (from[i] >= 0 && from[i] < 3 &&
		    from[i] != i) /* one would be overwritten before it is read */
			from[i] = (int)SYS3(SYS_fcntl, from[i], F_DUPFD_CLOEXEC, 3);
		if (from[i] < 0)
			return err_sys(e, -from[i], "standard streams");
	}
	for (int i = 0; i < 3 && r >= 0; i++)
		r = fd_dup_to(from[i], i, false);
	if (r >= 0 && slave >= 0)
		r = set_terminal(pr->p, STDIN_FILENO);
	if (r < 0)
		return err_sys(e, -r, slave >= 0 ? "process.terminal" : "standard streams");
	for (int i = 0; i < 3; i++)
		own_stream(i, pr->p->user.uid);
	return 0;
}

void ct_proc_own_null(void)
{
	auto_close int null = -1;
	struct stat st;

	for (int i = 0; i < 3; i++) {
		if (fstat(i, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3))
			continue;
		if (null < 0)
			null = file_open(AT_FDCWD, "/dev/null", O_RDWR | O_NOFOLLOW | O_NOCTTY, 0);
		if (null >= 0 && fstat(null, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3))
			fd_dup_to(null, i, false);
	}
}

/* --- becoming the workload ------------------------------------------------------------------------------------ */

/* put_home() - HOME of @uid as the container's /etc/passwd has it, else "/". The file is the image's: hostile. */
static void put_home(struct strv *env, uid_t uid)
{
	auto_close int root = file_open(AT_FDCWD, "/", O_PATH | O_DIRECTORY, 0);
	auto_close int fd =
		root < 0 ? root : path_open_in_root(root, "/etc/passwd", O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
	auto_fini(buf) struct buf text = { 0 };
	char wanted[16];
	struct stat st;

	str_format(wanted, sizeof(wanted), "%u", uid);
	if (fd >= 0 && file_fstatat(fd, "", &st, AT_EMPTY_PATH) == 0 && S_ISREG(st.st_mode) &&
	    file_slurp(fd, &text, PASSWD_BYTES_MAX) == 0) {
		for (char *line = text.data, *next; line && *line; line = next) {
			char *field[7] = { line };
			int n = 1;

			next = strchr(line, '\n');
			if (next)
				*next++ = '\0';
			for (char *c = strchr(line, ':'); c && n < 7; c = strchr(c, ':')) {
				*c++ = '\0';
				field[n++] = c;
			}
			if (n >= 6 && str_eq(field[2], wanted) && *field[5]) {
				strv_addf(env, "HOME=%s", field[5]);
				return;
			}
		}
	}
	strv_add(env, "HOME=/");
}

static int make_env(const struct ct_proc *pr, struct strv *env)
{
	for (size_t i = 0; i < pr->p->env.n; i++)
		strv_add(env, pr->p->env.v[i]);
	if (!env_get(pr->p, "HOME"))
		put_home(env, pr->p->user.uid);
	if (pr->listen_fds > 0) {
		strv_addf(env, "LISTEN_FDS=%d", pr->listen_fds);
		strv_add(env, "LISTEN_PID=1");
	}
	return strv_finish(env);
}

/* load_seccomp() - the last moment is the latest that still has the right to: see ct_proc_exec(). */
static int load_seccomp(const struct ct_proc *pr, struct err *e)
{
	auto_close int listener = -1;
	ssize_t sent;
	int r = ct_seccomp_load(pr->seccomp);

	if (r < 0)
		return err_sys(e, -r, "linux.seccomp: load the filter");
	if (pr->seccomp_sock < 0)
		return 0;
	listener = r;
	sent = sock_send_fd(pr->seccomp_sock, pr->seccomp_state, strlen(pr->seccomp_state), listener);
	return sent < 0 ? err_sys(e, (int)-sent, "linux.seccomp.listenerPath: send the listener") : 0;
}

static int set_user(const struct ct_proc *pr, struct err *e)
{
	const struct oci_user *u = &pr->p->user;
	int r = pr->keep_groups ? 0 : cred_set_groups(u->additional_gids, u->n_additional_gids);

	if (r == -EPERM && u->n_additional_gids == 0 && (pr->in_userns || cred_in_userns()))
		r = 0; /* a user namespace of one id has setgroups(2) denied, and no groups to drop */
	if (r < 0)
		return err_sys(e, -r, "process.user.additionalGids");
	r = cred_prctl(PR_SET_KEEPCAPS, 1, 0);
	if (r == 0)
		r = cred_set_ids(u->uid, u->gid);
	if (r == 0)
		r = cred_prctl(PR_SET_KEEPCAPS, 0, 0);
	if (r == -EINVAL && (pr->in_userns || cred_in_userns()))
		return err_set(e, EINVAL, "process.user: the user namespace has no user %u or no group %u",
			       u->uid, u->gid);
	return r < 0 ? err_sys(e, -r, "process.user: become %u:%u", u->uid, u->gid) : 0;
}

static int set_caps(const struct oci_process *p, struct err *e)
{
	const struct cred_caps caps = {
		.effective = p->caps[OCI_CAP_EFFECTIVE],
		.permitted = p->caps[OCI_CAP_PERMITTED],
		.inheritable = p->caps[OCI_CAP_INHERITABLE],
	};
	struct cred_caps own = { 0 };
	uint64_t missing, ambient;
	int r = cred_get_caps(&own);

	missing = caps.permitted & ~own.permitted;
	if (r == 0 && missing)
		return err_set(e, EPERM, "process.capabilities.permitted: %s is not hull's own to give",
			       oci_cap_name(__builtin_ctzll(missing)));
	if (r == 0)
		r = cred_set_caps(&caps);
	if (r < 0)
		return err_sys(e, -r, "process.capabilities");
	/* Ambient is by definition within permitted and inheritable; `runc spec` asks for more, and callers count on that. */
	ambient = p->caps[OCI_CAP_AMBIENT] & caps.permitted & caps.inheritable;
	r = cred_ambient_caps(ambient);
	return r < 0 && ambient ? err_sys(e, -r, "process.capabilities.ambient") : 0;
}

static int set_label(struct ct_proc *pr, struct err *e)
{
	const char *profile = given(pr->p->apparmor_profile);
	char text[1024];
	int r;

	if (pr->attr_fd < 0)
		return 0;
	if (str_format(text, sizeof(text), profile ? "exec %s" : "%s",
		       profile ? profile : pr->p->selinux_label) >= sizeof(text))
		return err_set(e, ENAMETOOLONG, "%s: longer than %zu bytes",
			       profile ? "process.apparmorProfile" : "process.selinuxLabel", sizeof(text));
	r = file_write(pr->attr_fd, text, strlen(text));
	fd_close(&pr->attr_fd);
	return r < 0 ? err_sys(e, -r, profile ? "process.apparmorProfile" : "process.selinuxLabel") : 0;
}

static void reset_signals(void)
{
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* drop_privileges() - each step needs the privileges the next one takes away. */
static int drop_privileges(struct ct_proc *pr, struct err *e)
{
	const struct oci_process *p = pr->p;
	bool filter = pr->seccomp && pr->seccomp->insns;
	int r = 0;

	if (p->no_new_privileges)
		r = cred_prctl(PR_SET_NO_NEW_PRIVS, 1, 0);
	if (r < 0)
		return err_sys(e, -r, "process.noNewPrivileges");
	/* without no_new_privs a filter takes CAP_SYS_ADMIN, which is about to go */
	if (filter && !p->no_new_privileges && (r = load_seccomp(pr, e)) < 0)
		return r;
	r = cred_bound_caps(p->caps[OCI_CAP_BOUNDING]);
	if (r < 0)
		return err_sys(e, -r, "process.capabilities.bounding");
	r = set_user(pr, e);
	if (r == 0)
		r = enter_cwd(p->cwd, e); /* the user may not enter where root could */
	if (r == 0)
		r = set_caps(p, e);
	if (r == 0)
		r = set_label(pr, e);
	if (r == 0 && filter && p->no_new_privileges)
		r = load_seccomp(pr, e);
	return r;
}

int ct_proc_exec(struct ct_proc *pr, struct err *e)
{
	auto_fini(strv) struct strv env = { 0 };
	int r;

	r = make_env(pr, &env);
	if (r < 0)
		return err_sys(e, -r, "process.env");
	SYS1(SYS_umask, pr->p->user.umask.set ? pr->p->user.umask.v : UMASK_DEFAULT);
	/* From here on no descriptor of ours survives the exec, whoever opened it (CVE-2024-21626). */
	r = fd_cloexec_from(3 + pr->preserve_fds);
	if (r < 0)
		return err_sys(e, -r, "close descriptors");
	reset_signals();
	r = set_limits(pr->p, e);
	if (r == 0)
		r = drop_privileges(pr, e);
	if (r == 0 && pr->reaper)
		r = reaper_split(e);
	if (r < 0)
		return r;
	r = (int)SYS3(SYS_execve, pr->exe, pr->p->args.v, env.item);
	if (r == -ENOENT)
		return err_set(
			e, ENOENT,
			"exec: \"%s\": no such file or directory (its interpreter or loader is missing)",
			pr->exe);
	if (r == -EACCES)
		return err_set(e, EACCES, "exec: \"%s\": permission denied", pr->exe);
	if (r == -ENOEXEC)
		return err_set(e, ENOEXEC,
			       "exec: \"%s\": exec format error (not a program of this machine, or a script "
			       "without #!)",
			       pr->exe);
	return err_sys(e, -r, "exec: \"%s\"", pr->exe);
}
