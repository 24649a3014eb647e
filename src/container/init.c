/* SPDX-License-Identifier: Apache-2.0 */
/*
 * init.c - the container's first process, between clone and the workload
 *
 * Theory of operation. It starts as a copy of the parent, in the new namespaces, and may use the parent's memory. Steps, each
 * needing what the one before left: id maps, cgroups, joined namespaces, identity (host name, keyring, time), file systems,
 * runtime hooks by the parent, createContainer hooks, terminal, new root, executable found, "ready", the word to start,
 * startContainer hooks, exec. Whatever fails goes to the parent as a struct err (to the starter, once there is one). When the
 * parent dies without a word the socket says so, and init ends: half a container is none.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "container/container_internal.h"
#include "container/hooks.h"
#include "container/process.h"
#include "container/rootfs.h"
#include "container/sync.h"
#include "sys/call.h"
#include "sys/cred.h"
#include "sys/file.h"
#include "sys/ns.h"
#include "sys/path.h"
#include "sys/sock.h"

int ct__become_root(bool keep_groups, struct err *e)
{
	int r = keep_groups ? 0 : cred_set_groups(NULL, 0);

	if (r < 0 && r != -EPERM) /* -EPERM: setgroups is denied, and the groups are the user's own */
		return err_sys(e, -r, "user namespace: drop groups");
	r = cred_set_ids(0, 0);
	return r < 0 ? err_sys(e, -r, "user namespace: become its root (is id 0 mapped?)") : 0;
}

int ct__join(const int ns_fd[OCI_NS_COUNT], bool keep_groups, struct err *e)
{
	static const enum oci_ns order[] = { OCI_NS_USER,    OCI_NS_PID,  OCI_NS_IPC,  OCI_NS_UTS,
					     OCI_NS_NETWORK, OCI_NS_TIME, OCI_NS_MOUNT };

	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		enum oci_ns ns = order[i];
		int r = ns_fd[ns] < 0 ? 0 : ns_set(ns_fd[ns], oci_ns_flag(ns));

		if (r < 0)
			return err_sys(e, -r, "linux.namespaces: join the %s namespace", oci_ns_name(ns));
		if (ns == OCI_NS_USER && ns_fd[ns] >= 0 && (r = ct__become_root(keep_groups, e)) < 0)
			return r;
	}
	return 0;
}

int ct__console_send(int sock, int master, struct err *e)
{
	static const char name[] = "/dev/ptmx";
	ssize_t r = sock_send_fd(sock, name, sizeof(name) - 1, master);

	return r < 0 ? err_sys(e, (int)-r, "send the terminal over the console socket") : 0;
}

/* new_time_ns() - offsets are set before anybody is in: unshare concerns children, setns brings us in too. */
static int new_time_ns(const struct oci_linux *lx, struct err *e)
{
	auto_close int fd = -1;
	char text[64];
	int r = ns_unshare(CLONE_NEWTIME);

	if (r == 0 && lx->boottime.set) {
		str_format(text, sizeof(text), "boottime %lld %u\n", (long long)lx->boottime.secs,
			   lx->boottime.nanosecs);
		r = file_put(AT_FDCWD, "/proc/self/timens_offsets", text);
	}
	if (r == 0 && lx->monotonic.set) {
		str_format(text, sizeof(text), "monotonic %lld %u\n", (long long)lx->monotonic.secs,
			   lx->monotonic.nanosecs);
		r = file_put(AT_FDCWD, "/proc/self/timens_offsets", text);
	}
	if (r == 0) {
		fd = file_open(AT_FDCWD, "/proc/self/ns/time_for_children", O_RDONLY, 0);
		r = fd < 0 ? fd : ns_set(fd, CLONE_NEWTIME);
	}
	return r < 0 ? err_sys(e, -r, "linux.timeOffsets") : 0;
}

/* join_session_keyring() - kernels without keyrings, and seccomp'ed hosts, have none to leak. */
static int join_session_keyring(const struct ct_launch *l, struct err *e)
{
	char name[CT_ID_MAX + 8];
	int serial;

	if (l->c->no_new_keyring)
		return 0;
	str_format(name, sizeof(name), "_ses.%s", l->ct->id);
	serial = cred_join_keyring(name);
	if (serial == -ENOSYS)
		return 0;
	if (serial >= 0)
		serial = cred_keyring_searchable(serial);
	return serial < 0 ? err_sys(e, -serial, "session keyring (see --no-new-keyring)") : 0;
}

static int set_names(const struct oci_spec *spec, struct err *e)
{
	long r = spec->hostname ? SYS2(SYS_sethostname, spec->hostname, strlen(spec->hostname)) : 0;

	if (r < 0)
		return err_sys(e, (int)-r, "hostname '%s'", spec->hostname);
	r = spec->domainname ? SYS2(SYS_setdomainname, spec->domainname, strlen(spec->domainname)) : 0;
	return r < 0 ? err_sys(e, (int)-r, "domainname '%s'", spec->domainname) : 0;
}

/* enter_namespaces() - all that makes this process stand where the container is, file systems excepted. */
static int enter_namespaces(struct ct_launch *l, struct err *e)
{
	const struct oci_linux *lx = &l->c->spec->linux;
	int r;

	if (l->new_ns & CLONE_NEWUSER) {
		r = sync_send(l->sock[1], SYNC_MAP, 0, e);
		r = r < 0 ? r : sync_expect(l->sock[1], SYNC_GO, NULL, e);
		if (r >= 0)
			r = ct__become_root(l->keep_groups, e);
		if (r < 0)
			return r;
	}
	r = l->staged ? 0 : ct__join(l->ns_fd, l->keep_groups, e);
	if (r < 0)
		return r;
	if (l->ns_fd[OCI_NS_CGROUP] >= 0)
		r = ns_set(l->ns_fd[OCI_NS_CGROUP], CLONE_NEWCGROUP);
	else if (lx->ns[OCI_NS_CGROUP].present)
		r = ns_unshare(CLONE_NEWCGROUP); /* only now: its root is the group we are in */
	if (r < 0)
		return err_sys(e, -r, "linux.namespaces: cgroup");
	if (lx->ns[OCI_NS_TIME].present && !lx->ns[OCI_NS_TIME].path && (r = new_time_ns(lx, e)) < 0)
		return r;
	SYS0(SYS_setsid);
	r = join_session_keyring(l, e);
	if (r == 0)
		r = set_names(l->c->spec, e);
	if (r == 0 && l->new_ns & CLONE_NEWNET) {
		r = sock_loopback_up();
		if (r < 0)
			err_sys(e, -r, "loopback interface");
	}
	return r;
}

/* run_hooks() - of the two kinds that run inside. */
static int run_hooks(const struct ct_launch *l, enum oci_hook_kind kind, enum ct_status status, pid_t pid,
		     struct err *e)
{
	auto_fini(buf) struct buf state = { 0 };

	if (l->c->spec->hooks[kind].n == 0)
		return 0;
	if (ct__state_text(l->ct, status, pid, &state) < 0)
		return err_sys(e, ENOMEM, "hooks");
	return hooks_run(l->c->spec, kind, state.data, state.len, e);
}

/* make_cwd() - as runc does, and while the root can still be written; a directory that is there stays as it is. */
static int make_cwd(int rootfd, const char *cwd, struct err *e)
{
	auto_close int dir = path_make_in_root(rootfd, cwd, true, 0755, e);

	return dir < 0 ? err_wrap(e, dir, "process.cwd") : 0;
}

/* make_root() - mounts, runtime hooks, terminal, and the new root. */
static int make_root(struct ct_launch *l, struct ct_proc *pr, pid_t *ret_pid, struct err *e)
{
	struct ct_rootfs root = {
		.spec = l->c->spec,
		.rootfs_fd = l->c->rootfs_fd,
		.source_fds = l->source_fds,
		.rootfs = l->c->rootfs_fd >= 0 ? l->c->bundle : l->ct->rootfs,
		.cgroup = &l->ct->cgroup,
		.rootless = l->c->rootless,
		.no_pivot = l->c->no_pivot,
		.new_userns = pr->in_userns,
	};
	auto_close int rootfd = -1;
	auto_close int master = -1;
	auto_close int slave = -1;
	int32_t pid = 0;
	int r = ct_rootfs_prepare(&root, &rootfd, e);

	if (r >= 0 && l->runtime_step) {
		r = sync_send(l->sock[1], SYNC_RUNTIME, 0, e);
		r = r < 0 ? r : sync_expect(l->sock[1], SYNC_GO, &pid, e);
	}
	*ret_pid = pid;
	if (r >= 0)
		r = run_hooks(l, OCI_HOOK_CREATE_CONTAINER, CT_CREATING, pid, e);
	if (r >= 0)
		r = make_cwd(rootfd, pr->p->cwd, e);
	if (r >= 0 && pr->p->terminal)
		r = ct_rootfs_console(&root, rootfd, &master, &slave, e);
	if (r >= 0 && master >= 0)
		r = ct__console_send(l->console_fd, master, e);
	if (r >= 0)
		r = ct_proc_stdio(pr, &l->c->stdio, slave, e);
	if (r >= 0)
		r = ct_rootfs_enter(&root, rootfd, e);
	if (r >= 0)
		ct_proc_own_null();
	ct_rootfs_fini(&root);
	return r;
}

/*
 * let_go() - what the parent had open, its locks and its ends of pipes above all, must not live on in a process that may wait
 * for days, nor when the parent is killed before it comes to start it.
 */
static void let_go(const struct ct_launch *l, const struct ct_proc *pr)
{
	const int keep[] = { l->listen_fd, l->phase_fd, pr->seccomp_sock, pr->attr_fd };
	const size_t n = sizeof(keep) / sizeof(keep[0]);
	int first = 3 + pr->preserve_fds;

	for (;;) {
		int next = INT_MAX;

		for (size_t i = 0; i < n; i++)
			if (keep[i] >= first && keep[i] < next)
				next = keep[i];
		if (next > first)
			SYS3(SYS_close_range, first, next - 1, 0);
		if (next == INT_MAX)
			return;
		first = next + 1;
	}
}

/* wait_start() - until ct_start() connects and says so; one that connects and dies is no word. */
static int wait_start(const struct ct_launch *l, const struct ct_proc *pr, int *ret_conn, struct err *e)
{
	int r = sync_send(l->sock[1], SYNC_READY, 0, e);

	r = r < 0 ? r : sync_expect(l->sock[1], SYNC_GO, NULL, e);
	if (r < 0)
		return r;
	let_go(l, pr); /* our end of the talk, too: the parent's command may end now */
	for (;;) {
		auto_close int conn = sock_accept(l->listen_fd);

		if (conn < 0)
			return err_sys(e, -conn, "wait for start");
		if (sync_recv(conn, NULL, NULL) == SYNC_GO) {
			*ret_conn = TAKE_FD(conn);
			return 0;
		}
	}
}

bool ct__waits_for_record(const struct ct_launch *l)
{
	return l->c->run && !l->runtime_step && !(l->new_ns & CLONE_NEWUSER);
}

static int launch(struct ct_launch *l, int *report, struct err *e)
{
	const struct oci_spec *spec = l->c->spec;
	auto_fini(buf) struct buf seccomp_state = { 0 };
	struct ct_proc pr = {
		.p = &spec->process,
		.seccomp = &l->seccomp,
		.seccomp_sock = l->seccomp_sock,
		.attr_fd = -1,
		.memory_policy = spec->linux.memory_policy,
		.personality = spec->linux.personality,
		.preserve_fds = l->c->preserve_fds,
		.listen_fds = l->c->listen_fds,
		.reaper = str_eq(oci_kvs_get(&spec->annotations, "hull.init"), "1"),
		.keep_groups = l->keep_groups,
		.in_userns = spec->linux.ns[OCI_NS_USER].present,
	};
	pid_t pid;
	int r;

	/* Who shares our namespaces from now on must not be able to trace us or read our memory. */
	if (!(l->new_ns & CLONE_NEWUSER))
		cred_prctl(PR_SET_DUMPABLE, 0, 0);
	r = cgroup_join(l->join_fd, l->n_join); /* first: a group may be what allows a realtime priority */
	if (r < 0)
		return err_sys(e, -r, "linux.cgroupsPath: join");
	r = ct_proc_early(&pr, e);
	if (r == 0)
		r = enter_namespaces(l, e);
	if (r >= 0)
		r = make_root(l, &pr, &pid, e);
	if (r >= 0)
		r = ct_proc_find(&pr, e);
	if (r >= 0 && l->seccomp_sock >= 0)
		r = ct__seccomp_state(l->ct, spec->linux.seccomp, CT_CREATING, pid, &seccomp_state);
	pr.seccomp_state = buf_str(&seccomp_state);
	if (r >= 0 && !l->c->run)
		r = wait_start(l, &pr, report, e);
	if (r >= 0 && ct__waits_for_record(l))
		r = sync_expect(l->sock[1], SYNC_GO, NULL, e);
	if (r >= 0)
		r = run_hooks(l, OCI_HOOK_START_CONTAINER, CT_CREATED, pid, e);
	if (r >= 0)
		r = (int)SYS4(SYS_pwrite64, l->phase_fd, "r", 1, 0);
	return r < 0 ? r : ct_proc_exec(&pr, e);
}

_Noreturn void ct__init(struct ct_launch *l)
{
	struct err e = { 0 };
	int report, r;

	fd_close(&l->sock[0]);
	report = l->sock[1];
	r = launch(l, &report, &e);
	sync_fail(report, r, &e);
	_exit(1);
}
