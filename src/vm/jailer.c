/* SPDX-License-Identifier: Apache-2.0 */
#include "vm/jailer.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "base/time.h"
#include "sys/call.h"
#include "sys/cred.h"
#include "sys/file.h"
#include "sys/mount.h"
#include "sys/ns.h"
#include "sys/sched.h"
#include "vm/jailer_internal.h"

enum { ARGS_OWN = 5, COPY_BYTES = 1 << 20 };

/* --- the directory -------------------------------------------------------------------------------------------- */

/* below() - the directory @name of @dir, made when it is missing; never through a link. */
static int below(int dir, const char *name, mode_t mode)
{
	struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };
	int r = file_mkdir(dir, name, mode);

	return r < 0 ? r : (int)SYS4(SYS_openat2, dir, name, &how, sizeof(how));
}

/* fresh() - @name of @dir made anew for writing: what stood there, be it a link, is not touched but taken away. */
static int fresh(int dir, const char *name, mode_t mode)
{
	int r = file_unlink(dir, name, 0);

	if (r < 0 && r != -ENOENT)
		return r;
	return file_open(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
}

/* make_root() - BASE/NAME/ID/root. */
static int make_root(const struct jailer_config *c, const char *name, struct err *e)
{
	const char *part[] = { name, c->id, "root" };
	auto_close int dir = -1;
	int r = file_mkdirs(AT_FDCWD, c->base, 0755);

	if (r >= 0)
		r = dir = file_open(AT_FDCWD, c->base, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	for (unsigned i = 0; i < 3 && r >= 0; i++) {
		r = below(dir, part[i], i < 2 ? 0755 : 0700);
		if (r >= 0) {
			fd_close(&dir);
			dir = r;
		}
	}
	if (r < 0)
		return err_sys(e, -r, "Directory '%s/%s/%s/root'", c->base, name, c->id);
	return TAKE_FD(dir);
}

static int copy_all(int from, int to)
{
	for (;;) {
		long n = SYS6(SYS_copy_file_range, from, NULL, to, NULL, COPY_BYTES, 0);

		if (n == -EXDEV || n == -EINVAL || n == -EOPNOTSUPP ||
		    n == -ENOSYS) /* between these two file systems */
			n = SYS4(SYS_sendfile, to, from, NULL, COPY_BYTES);
		if (n <= 0)
			return (int)n;
	}
}

static int copy_program(const struct jailer_config *c, int root, const char *name, struct err *e)
{
	auto_close int from = file_open(AT_FDCWD, c->exec_file, O_RDONLY | O_CLOEXEC, 0);
	auto_close int to = -1;
	int r = from;

	if (r >= 0)
		r = to = fresh(root, name, 0555);
	if (r >= 0)
		r = copy_all(from, to);
	if (r >= 0)
		r = (int)SYS2(SYS_fchmod, to, 0555); /* whatever the umask is */
	return r < 0 ? err_sys(e, -r, "Copy '%s' into the jail", c->exec_file) : 0;
}

static int write_pid(int root, const char *name, pid_t pid, struct err *e)
{
	char file[JAILER_NAME_MAX + 8], text[24];
	auto_close int fd = -1;
	size_t len = str_format(text, sizeof(text), "%d", (int)pid);
	int r;

	str_format(file, sizeof(file), "%s.pid", name);
	fd = fresh(root, file, 0644);
	r = fd < 0 ? fd : file_write(fd, text, len);
	return r < 0 ? err_sys(e, -r, "File '%s'", file) : 0;
}

/* --- what is in it -------------------------------------------------------------------------------------------- */

static int own(int dir, const char *name, const struct jailer_config *c)
{
	return (int)SYS5(SYS_fchownat, dir, name, c->uid, c->gid, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH);
}

static int make_node(int dir, const char *name, dev_t dev, const struct jailer_config *c)
{
	int r = file_unlink(dir, name, 0);

	if (r == 0 || r == -ENOENT)
		r = (int)SYS4(SYS_mknodat, dir, name, S_IFCHR | 0600, dev);
	return r < 0 ? r : own(dir, name, c);
}

static int make_devices(int root, const struct jailer_config *c, struct err *e)
{
	auto_close int dev = below(root, "dev", 0700);
	auto_close int net = dev < 0 ? dev : below(dev, "net", 0700);
	auto_close int run = net < 0 ? net : below(root, "run", 0700);
	struct stat st;
	bool uffd = file_fstatat(AT_FDCWD, "/dev/userfaultfd", &st, 0) == 0 && S_ISCHR(st.st_mode);
	int r = run;

	if (r >= 0)
		r = make_node(net, "tun", makedev(10, 200), c);
	if (r >= 0)
		r = make_node(dev, "kvm", makedev(10, 232), c);
	if (r >= 0 && uffd)
		r = make_node(dev, "userfaultfd", st.st_rdev, c);
	if (r >= 0)
		r = own(root, "", c);
	if (r >= 0)
		r = own(dev, "", c);
	if (r >= 0)
		r = own(net, "", c);
	if (r >= 0)
		r = own(run, "", c);
	return r < 0 ? err_sys(e, -r, "Devices of the jail") : 0;
}

/*
 * enter_root() - a mount namespace in which @root is "/" and nothing else is left. The new namespace has mounts of its own, to
 * which @root does not belong: a copy made before goes over BASE, which is opened there again.
 */
static int enter_root(const struct jailer_config *c, int root, struct err *e)
{
	/* recursive: what the administrator mounted below it comes along */
	auto_close int tree = mnt_open_tree(root, "", OPEN_TREE_CLONE | AT_EMPTY_PATH | AT_RECURSIVE);
	auto_close int at = -1;
	int r = tree < 0 ? tree : ns_unshare(CLONE_NEWNS);

	if (r >= 0)
		r = mnt_propagation("/", MS_SLAVE | MS_REC);
	if (r >= 0)
		r = at = file_open(AT_FDCWD, c->base, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	if (r >= 0)
		r = mnt_attach(tree, at);
	if (r >= 0)
		r = (int)SYS1(SYS_fchdir, tree);
	if (r >= 0)
		r = (int)SYS2(SYS_pivot_root, ".", ".");
	if (r >= 0)
		r = mnt_detach_at(".");
	if (r >= 0)
		r = (int)SYS1(SYS_chdir, "/");
	return r < 0 ? err_sys(e, -r, "Enter the jail's root") : 0;
}

/* --- limits, namespaces, ids ---------------------------------------------------------------------------------- */

static int set_limits(const struct jailer_config *c, struct err *e)
{
	int r = 0;

	if (c->fsize != UINT64_MAX)
		r = sched_set_rlimit(RLIMIT_FSIZE, c->fsize, c->fsize);
	if (r >= 0 && c->no_file != UINT64_MAX)
		r = sched_set_rlimit(RLIMIT_NOFILE, c->no_file, c->no_file);
	return r < 0 ? err_sys(e, -r, "Resource limits") : 0;
}

static int join_netns(int fd, const char *path, struct err *e)
{
	int r = fd < 0 ? 0 : ns_set(fd, CLONE_NEWNET);

	return r < 0 ? err_sys(e, -r, "Network namespace '%s'", path) : 0;
}

/* new_session() - @null: /dev/null, opened while it was reachable; -1: stay in this one. */
static int new_session(int null, struct err *e)
{
	int r = 0;

	if (null < 0)
		return 0;
	r = (int)SYS0(SYS_setsid);
	for (int fd = 0; fd < 3 && r >= 0; fd++)
		r = fd_dup_to(null, fd, false);
	return r < 0 ? err_sys(e, -r, "Daemonize") : 0;
}

static int drop_ids(const struct jailer_config *c, struct err *e)
{
	int r = cred_set_groups(NULL, 0);

	if (r >= 0)
		r = cred_set_ids(c->uid, c->gid);
	return r < 0 ? err_sys(e, -r, "Become user %u, group %u", c->uid, c->gid) : 0;
}

/* --- all of it ------------------------------------------------------------------------------------------------ */

static int exec_program(const struct jailer_config *c, const char *name, struct err *e)
{
	auto_free char **argv = calloc(ARGS_OWN + c->n_args + 1, sizeof(*argv));
	auto_free char *path = str_printf("/%s", name);
	auto_free char *id = str_printf("--id=%s", c->id);
	auto_free char *start = str_printf("--start-time-us=%lld", (long long)c->start_us);
	auto_free char *cpu = str_printf("--start-time-cpu-us=%lld", (long long)c->start_cpu_us);
	auto_free char *parent = str_printf("--parent-cpu-time-us=%lld",
					    (long long)(time_now_ns(CLOCK_PROCESS_CPUTIME_ID) / 1000));
	int r;

	if (!argv || !path || !id || !start || !cpu || !parent)
		return err_sys(e, ENOMEM, "arguments");
	argv[0] = path;
	argv[1] = id;
	argv[2] = start;
	argv[3] = cpu;
	argv[4] = parent;
	for (unsigned i = 0; i < c->n_args; i++)
		argv[ARGS_OWN + i] = c->args[i];
	r = (int)SYS3(SYS_execve, path, argv, c->env);
	return err_sys(e, -r, "Run '%s' in the jail", path);
}

/* inside() - this process is the program's: the last steps. */
static int inside(const struct jailer_config *c, const char *name, struct err *e)
{
	int r = drop_ids(c, e);

	return r < 0 ? r : exec_program(c, name, e);
}

/* fork_inside() - the program as process 1 of its own namespace; its parent tells its pid and is done. */
static int fork_inside(const struct jailer_config *c, int root, const char *name, struct err *e)
{
	pid_t pid = ns_clone(CLONE_NEWPID, -1, NULL);

	if (pid < 0)
		return err_sys(e, -pid, "New PID namespace");
	if (pid > 0)
		return write_pid(root, name, pid, e);
	return inside(c, name, e);
}

static int jail_it(const struct jailer_config *c, const char *name, int root, struct err *e)
{
	auto_close int netns = -1;
	auto_close int null = -1;
	int r;

	if (c->netns) /* a path outside: it is opened while there is an outside */
		netns = file_open(AT_FDCWD, c->netns, O_RDONLY | O_CLOEXEC, 0);
	if (c->netns && netns < 0)
		return err_sys(e, -netns, "Network namespace '%s'", c->netns);
	if (c->daemonize)
		null = file_open(AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC, 0);
	if (c->daemonize && null < 0)
		return err_sys(e, -null, "/dev/null");
	r = set_limits(c, e);
	if (r >= 0)
		r = jailer__cgroups(c, name, e);
	if (r >= 0)
		r = enter_root(c, root, e);
	if (r >= 0)
		r = make_devices(root, c, e);
	if (r >= 0)
		r = join_netns(netns, c->netns, e);
	if (r >= 0)
		r = new_session(null, e);
	if (r < 0)
		return r;
	if (c->new_pid_ns)
		return fork_inside(c, root, name, e);
	r = write_pid(root, name, getpid(), e);
	return r < 0 ? r : inside(c, name, e);
}

static int check(const struct jailer_config *c, const char **ret_name, struct err *e)
{
	const char *slash = strrchr(c->exec_file, '/'), *name = slash ? slash + 1 : c->exec_file;
	struct stat st;
	int r = file_fstatat(AT_FDCWD, c->exec_file, &st, 0);

	if (r < 0)
		return err_sys(e, -r, "--exec-file '%s'", c->exec_file);
	if (!S_ISREG(st.st_mode))
		return err_set(e, EINVAL, "--exec-file '%s': it is no regular file", c->exec_file);
	if (!*name || strlen(name) > JAILER_NAME_MAX || str_eq(name, "dev") || str_eq(name, "run"))
		return err_set(e, EINVAL, "--exec-file '%s': not a name to use in a jail", c->exec_file);
	if (geteuid() != 0)
		return err_set(e, EPERM, "The jailer must be started as root");
	*ret_name = name;
	return 0;
}

int jailer_run(const struct jailer_config *c, struct err *e)
{
	auto_close int root = -1;
	const char *name = NULL;
	int r = check(c, &name, e);

	if (r < 0)
		return r;
	fd_close_from(3); /* nothing of whoever started us goes in */
	clearenv();
	root = make_root(c, name, e);
	r = root < 0 ? root : copy_program(c, root, name, e);
	return r < 0 ? r : jail_it(c, name, root, e);
}
