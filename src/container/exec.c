/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exec.c - one more process in a running container
 *
 * Theory of operation. The parent resolves what to join while it is still sure whom it names: the container's namespaces through
 * init's pidfd, cgroup files by descriptor. A *stage* process joins the cgroups and all namespaces at once and forks the
 * process itself with CLONE_PARENT, so that it is in the pid namespace and the caller's own child. Both are non-dumpable before they
 * join: nobody inside can trace them or take their descriptors, and every descriptor is closed by the exec at the latest.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "container/cgroup_internal.h"
#include "container/container_internal.h"
#include "container/process.h"
#include "container/rootfs.h"
#include "container/sync.h"
#include "sys/call.h"
#include "sys/cred.h"
#include "sys/file.h"
#include "sys/ns.h"
#include "sys/path.h"
#include "sys/sched.h"
#include "sys/seal.h"
#include "sys/sock.h"

struct exec {
	struct ct *ct;
	const struct ct_exec *x;
	const struct oci_spec *spec; /* the container's own */
	uint64_t join;               /* CLONE_x: the container's namespaces that are not ours */
	int sock[2];
	struct cgroup sub;
	const struct cgroup *cgroup; /* to run in: the container's, or @sub */
	int join_fd[CGROUP_HIERARCHY_MAX];
	size_t n_join;
	int console_fd;
	struct ct_seccomp seccomp;
	int seccomp_sock;
};

/* plan_join() - the namespaces in which init differs from us: setns(2) into one's own user namespace is refused. */
static int plan_join(struct exec *ex, struct err *e)
{
	char theirs[64], ours[64];

	for (int i = 0; i < OCI_NS_COUNT; i++) {
		struct stat a, b;

		str_format(theirs, sizeof(theirs), "/proc/%d/ns/%s", (int)ex->ct->pid,
			   oci_ns_file((enum oci_ns)i));
		str_format(ours, sizeof(ours), "/proc/self/ns/%s", oci_ns_file((enum oci_ns)i));
		if (stat(theirs, &a) < 0 || stat(ours, &b) < 0) {
			if (errno == ENOENT && i == OCI_NS_TIME)
				continue; /* a kernel without time namespaces */
			return err_sys(e, errno, "%s namespace of process %d", oci_ns_name((enum oci_ns)i),
				       (int)ex->ct->pid);
		}
		if (a.st_ino != b.st_ino || a.st_dev != b.st_dev)
			ex->join |= (uint64_t)(unsigned)oci_ns_flag((enum oci_ns)i);
	}
	/* the numbers were read by pid; the pidfd says whether it was init's all the time */
	return proc_alive(ex->ct->pid, ex->ct->start_time) ?
		       0 :
		       err_set(e, ESRCH, "container '%s' has stopped", ex->ct->id);
}

static int open_seccomp(struct exec *ex, struct err *e)
{
	const struct oci_seccomp *s = ex->spec->linux.seccomp;
	int r = s ? ct__seccomp(ex->ct->root, s, &ex->seccomp, e) : 0;

	if (r < 0 || !s || !s->listener_path || !(ex->seccomp.flags & SECCOMP_FILTER_FLAG_NEW_LISTENER))
		return r;
	ex->seccomp_sock = sock_connect_at(AT_FDCWD, s->listener_path, SOCK_STREAM);
	return ex->seccomp_sock < 0 ?
		       err_sys(e, -ex->seccomp_sock, "linux.seccomp.listenerPath '%s'", s->listener_path) :
		       0;
}

/* open_cgroup() - the container's groups, or those below them that --cgroup names. */
static int open_cgroup(struct exec *ex, struct err *e)
{
	int r = 0;

	ex->cgroup = &ex->ct->cgroup;
	if (ex->x->cgroup) {
		r = cgroup_open_sub(&ex->sub, &ex->ct->cgroup, ex->x->cgroup, e);
		ex->cgroup = &ex->sub;
	}
	return r < 0 ? r :
		       cgroup_join_open(ex->cgroup, cgroup_v2_fd(ex->cgroup) >= 0, ex->join_fd, &ex->n_join,
					e);
}

static int prepare(struct exec *ex, struct err *e)
{
	int r = plan_join(ex, e);

	if (r == 0)
		r = open_cgroup(ex, e);
	if (r == 0)
		r = open_seccomp(ex, e);
	if (r == 0)
		r = ct__console_connect(ex->x->console_fd, ex->x->console_socket, &ex->console_fd, e);
	if (r == 0) {
		r = sock_pair(SOCK_SEQPACKET, ex->sock);
		if (r < 0)
			err_sys(e, -r, "socketpair");
	}
	return r;
}

/* --- the process itself ------------------------------------------------------------------------------------------ */

static int give_terminal(struct exec *ex, struct ct_proc *pr, struct err *e)
{
	struct ct_rootfs root = { .spec = ex->spec, .rootfs_fd = -1 };
	auto_close int rootfd = file_open(AT_FDCWD, "/", O_PATH | O_DIRECTORY, 0);
	auto_close int master = -1;
	auto_close int slave = -1;
	int r = rootfd < 0 ? err_sys(e, -rootfd, "/") : 0;

	if (r == 0 && pr->p->terminal)
		r = ct_rootfs_console(&root, rootfd, &master, &slave, e);
	if (r == 0 && master >= 0)
		r = ct__console_send(ex->console_fd, master, e);
	return r < 0 ? r : ct_proc_stdio(pr, &ex->x->stdio, slave, e);
}

static int become(struct exec *ex, struct ct_proc *pr, struct err *e)
{
	char keyring[CT_ID_MAX + 8];
	auto_fini(buf) struct buf state = { 0 };
	int32_t pid = 0;
	int r = sync_expect(ex->sock[1], SYNC_GO, &pid, e); /* limits are set, our pid is known */

	if (r < 0)
		return r;
	SYS0(SYS_setsid);
	str_format(keyring, sizeof(keyring), "_ses.%s", ex->ct->id);
	if (!ex->x->no_new_keyring)
		cred_join_keyring(
			keyring); /* the container's own, by name; without keyrings there is none to leak */
	r = give_terminal(ex, pr, e);
	if (r == 0)
		r = ct_proc_find(pr, e);
	if (r == 0 && pr->p->exec_affinity_final) {
		r = sched_set_affinity(pr->p->exec_affinity_final);
		if (r < 0)
			err_sys(e, -r, "process.execCPUAffinity.final '%s'", pr->p->exec_affinity_final);
	}
	if (r == 0 && ex->seccomp_sock >= 0)
		r = ct__seccomp_state(ex->ct, ex->spec->linux.seccomp, CT_RUNNING, pid, &state);
	pr->seccomp_state = buf_str(&state);
	return r < 0 ? r : ct_proc_exec(pr, e);
}

static int enter(struct exec *ex, struct ct_proc *pr, struct err *e)
{
	int r = 0;

	if (pr->p->exec_affinity_initial) {
		r = sched_set_affinity(pr->p->exec_affinity_initial);
		if (r < 0)
			return err_sys(e, -r, "process.execCPUAffinity.initial '%s'",
				       pr->p->exec_affinity_initial);
	}
	r = cgroup_join(ex->join_fd, ex->n_join);
	if (r < 0)
		return err_sys(e, -r, "join the container's cgroups");
	cred_prctl(PR_SET_DUMPABLE, 0, 0);
	r = ct_proc_early(pr, e);
	if (r < 0)
		return r;
	r = ns_set(ex->ct->pidfd, (int)ex->join);
	if (r < 0)
		return err_sys(e, -r, "join the container's namespaces");
	return ex->join & CLONE_NEWUSER ? ct__become_root(false, e) : 0;
}

static _Noreturn void stage(struct exec *ex, pid_t *told)
{
	struct ct_proc pr = {
		.p = ex->x->process,
		.seccomp = &ex->seccomp,
		.seccomp_sock = ex->seccomp_sock,
		.attr_fd = -1,
		.preserve_fds = ex->x->preserve_fds,
		.in_userns = ex->join & CLONE_NEWUSER,
		.personality = ex->spec->linux.personality,
	};
	struct err e = { 0 };
	pid_t pid;
	int r;

	fd_close(&ex->sock[0]);
	r = enter(ex, &pr, &e);
	if (r == 0) {
		pid = ns_clone_sibling(0, -1, told);
		if (pid == 0) {
			r = become(ex, &pr, &e);
			sync_fail(ex->sock[1], r, &e);
			_exit(1);
		}
		r = pid < 0 ? err_sys(&e, -pid, "fork") : 0;
	}
	if (r < 0)
		sync_fail(ex->sock[1], r, &e);
	_exit(r < 0);
}

/* --- the parent --------------------------------------------------------------------------------------------------- */

/* finish() - limits from outside, the word to go, and either exec or the reason why not. */
static int finish(struct exec *ex, pid_t pid, struct err *e)
{
	int r = ex->join & CLONE_NEWUSER ? ct_proc_limits(ex->x->process, pid, e) : 0;

	if (r == 0)
		r = sync_send(ex->sock[0], SYNC_GO, pid, e);
	if (r >= 0)
		r = sync_recv(ex->sock[0], NULL, e);
	if (r == -ECONNRESET) {
		if (e)
			*e = (struct err){ 0 };
		return 0;
	}
	return r < 0 ? r : err_set(e, EPROTO, "exec: message %d came", r);
}

/* init_group() - the v2 group init is in by now, below the container's own; an init such as systemd makes groups and moves. */
static int init_group(const struct exec *ex)
{
	const struct cgroup_hierarchy *h = cgroup__v2(&ex->ct->cgroup);
	auto_fini(buf) struct buf text = { 0 };
	char path[64], full[CGROUP__FULL_MAX];
	const char *below;
	char *line;

	str_format(path, sizeof(path), "/proc/%d/cgroup", (int)ex->ct->pid);
	if (!h || file_slurp_at(AT_FDCWD, path, &text, CT_STATE_BYTES_MAX) < 0)
		return -ENOENT;
	line = strstr(buf_str(&text), "0::/");
	if (!line)
		return -ENOENT;
	line[strcspn(line, "\n")] = '\0';
	below = str_after(line + strlen("0::"), h->path);
	if (!below || *below != '/' || strstr(below, "/..") ||
	    str_format(full, sizeof(full), "%s%s%s", h->mount, h->path, below) >= sizeof(full))
		return -ENOENT;
	return file_open(AT_FDCWD, full, O_RDONLY | O_DIRECTORY, 0);
}

static pid_t spawn(struct exec *ex, int *ret_pidfd, struct err *e)
{
	auto_close int group = -1;
	struct ct_stage s;
	int pidfd = -1, r;
	/* born in the v2 group, which its child inherits */
	pid_t pid = ct__stage_start(&s, cgroup_v2_fd(ex->cgroup), e);

	if (pid == -EBUSY && !ex->x->cgroup &&
	    (group = init_group(ex)) >= 0) /* a group that has groups takes nobody */
		pid = ct__stage_start(&s, group, e);
	if (pid == 0)
		stage(ex, s.told);
	if (pid < 0)
		return pid;
	fd_close(&ex->sock[1]);
	r = ct__stage_finish(&s, ex->sock[0], &pid, &pidfd, e);
	if (r == 0)
		r = finish(ex, pid, e);
	if (r == 0) {
		*ret_pidfd = pidfd;
		return pid;
	}
	ct__reap(pid, pidfd);
	fd_close(&pidfd);
	return r;
}

static int check(const struct ct *ct, const struct ct_exec *x, struct err *e)
{
	enum ct_status status = ct_status(ct);

	if (status == CT_STOPPED)
		return err_set(e, ESRCH, "cannot exec in a stopped container");
	if (status == CT_PAUSED && !x->ignore_paused)
		return err_set(e, EBUSY,
			       "cannot exec in a paused container (use --ignore-paused to override)");
	if (x->process->args.n == 0 || !x->process->args.v[0][0])
		return err_set(e, EINVAL, "process.args: must not be empty");
	if (x->process->terminal && !x->console_socket && x->console_fd < 0)
		return err_set(e, EINVAL, "process.terminal: no console socket to send the terminal to");
	return seal_is_on() ?
		       0 :
		       err_set(e, EPERM,
			       "this process runs from a file that a container could write to (seal_self())");
}

pid_t ct_exec(struct ct *ct, const struct ct_exec *x, int *ret_pidfd, struct err *e)
{
	auto_fini(arena) struct arena a = { 0 };
	struct oci_spec spec;
	struct exec ex = {
		.ct = ct, .x = x, .spec = &spec, .sock = { -1, -1 }, .console_fd = -1, .seccomp_sock = -1
	};
	pid_t pid;
	int r = check(ct, x, e);

	if (r == 0)
		r = ct__config(ct, &spec, &a, e);
	if (r == 0)
		r = prepare(&ex, e);
	pid = r < 0 ? r : spawn(&ex, ret_pidfd, e);
	for (size_t i = 0; i < ex.n_join; i++)
		fd_close(&ex.join_fd[i]);
	cgroup_fini(&ex.sub);
	fd_close(&ex.sock[0]);
	fd_close(&ex.sock[1]);
	fd_close(&ex.console_fd);
	fd_close(&ex.seccomp_sock);
	ct_seccomp_fini(&ex.seccomp);
	return pid;
}
