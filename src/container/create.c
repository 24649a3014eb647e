/* SPDX-License-Identifier: Apache-2.0 */
/* create.c - ct_create() and ct_start(): the parent's side; container.h tells the whole, init.c the other side */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
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
#include "base/time.h"
#include "container/container_internal.h"
#include "container/hooks.h"
#include "container/mount.h"
#include "container/netdev.h"
#include "container/process.h"
#include "container/rdt.h"
#include "container/sync.h"
#include "container/sysctl.h"
#include "container/userns.h"
#include "fmt/json.h"
#include "sys/call.h"
#include "sys/cred.h"
#include "sys/file.h"
#include "sys/mount.h"
#include "sys/ns.h"
#include "sys/seal.h"
#include "sys/sock.h"

/* --- what is decided before anything is made ------------------------------------------------------------------ */

static int open_ns(const char *path, enum oci_ns ns, int *ret_fd, struct err *e)
{
	auto_close int fd = file_open(AT_FDCWD, path, O_RDONLY, 0);

	if (fd < 0)
		return err_sys(e, -fd, "linux.namespaces: %s namespace '%s'", oci_ns_name(ns), path);
	if (!mnt_fstype_is(fd, NSFS_MAGIC))
		return err_set(e, EINVAL, "linux.namespaces: %s namespace '%s' is not a namespace",
			       oci_ns_name(ns), path);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int plan_namespaces(struct ct_launch *l, struct err *e)
{
	const struct oci_namespace *ns = l->c->spec->linux.ns;

	for (int i = 0; i < OCI_NS_COUNT; i++) {
		int r = 0;

		if (ns[i].path) {
			r = open_ns(ns[i].path, (enum oci_ns)i, &l->ns_fd[i], e);
			l->n_join_ns++;
		} else if (ns[i].present && i != OCI_NS_CGROUP && i != OCI_NS_TIME) {
			l->new_ns |= (uint64_t)(unsigned)oci_ns_flag((enum oci_ns)i); /* those two: init.c */
		}
		if (r < 0)
			return r;
	}
	return 0;
}

/* A user namespace to join, a pid namespace to join, or others to join while a new user namespace is made: these are entered by a
 * process before init is born. */
static bool needs_stage(const struct ct_launch *l)
{
	return l->ns_fd[OCI_NS_USER] >= 0 || l->ns_fd[OCI_NS_PID] >= 0 ||
	       (l->new_ns & CLONE_NEWUSER && l->n_join_ns);
}

static int check_process(const struct ct_config *c, struct err *e)
{
	const struct oci_process *p = &c->spec->process;

	if (!c->spec->has_process || p->args.n == 0 || !p->args.v[0][0])
		return err_set(e, EINVAL, "process.args: must not be empty");
	if (!p->terminal && c->console_socket)
		return err_set(e, EINVAL,
			       "cannot use console socket if hull will not detach or allocate tty: "
			       "process.terminal is false");
	if (p->terminal && !c->console_socket && c->console_fd < 0)
		return err_set(e, EINVAL,
			       "cannot allocate tty if hull will detach without setting console socket: "
			       "process.terminal is true");
	if (!c->spec->linux.ns[OCI_NS_MOUNT].present)
		return err_set(e, ENOTSUP,
			       "linux.namespaces: a container without a mount namespace is not supported");
	return 0;
}

/* --- the state directory --------------------------------------------------------------------------------------- */

int ct__seccomp(const char *root, const struct oci_seccomp *s, struct ct_seccomp *ret_f, struct err *e)
{
	auto_close int rootfd = file_open(AT_FDCWD, root, O_RDONLY | O_DIRECTORY, 0);
	auto_close int cache = -1;

	if (rootfd >= 0 && file_mkdir(rootfd, CT_SECCOMP_CACHE, 0700) == 0)
		cache = file_open(rootfd, CT_SECCOMP_CACHE, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	return ct_seccomp_compile(ret_f, s, cache, e);
}

static char *annotations_text(const struct oci_kvs *kvs)
{
	auto_fini(buf) struct buf text = { 0 };
	struct json_out o = { .to = &text };

	json_put_open(&o, NULL, '{');
	for (size_t i = 0; i < kvs->n; i++)
		json_put_str(&o, kvs->v[i].key, kvs->v[i].value);
	json_put_close(&o, '}');
	return buf_take(&text);
}

/* rootfs_path() - root.path made absolute; it must be a directory. */
static int rootfs_path(const struct ct_config *c, char **ret_path, struct err *e)
{
	struct stat st;
	char *path;

	if (c->rootfs_fd >= 0) {
		*ret_path = strdup("");
		return *ret_path ? 0 : err_sys(e, ENOMEM, "root.path");
	}
	path = c->spec->root_path[0] == '/' ? strdup(c->spec->root_path) :
					      str_printf("%s/%s", c->bundle, c->spec->root_path);
	if (!path)
		return err_sys(e, ENOMEM, "root.path");
	*ret_path = path;
	if (stat(path, &st) < 0)
		return err_sys(e, errno, "root.path '%s'", path);
	return S_ISDIR(st.st_mode) ? 0 : err_sys(e, ENOTDIR, "root.path '%s'", path);
}

static int make_dir(struct ct *ct, struct err *e)
{
	auto_close int rootfd = file_open(AT_FDCWD, ct->root, O_RDONLY | O_DIRECTORY, 0);
	int r;

	if (rootfd == -ENOENT) {
		r = file_mkdirs(AT_FDCWD, ct->root, 0700);
		rootfd = r < 0 ? r : file_open(AT_FDCWD, ct->root, O_RDONLY | O_DIRECTORY, 0);
	}
	if (rootfd < 0)
		return err_sys(e, -rootfd, "state root '%s'", ct->root);
	r = (int)SYS3(SYS_mkdirat, rootfd, ct->id, 0700);
	if (r < 0)
		return r == -EEXIST ?
			       err_set(e, EEXIST, "container with given ID already exists: '%s'", ct->id) :
			       err_sys(e, -r, "%s/%s", ct->root, ct->id);
	ct->dirfd = file_open(rootfd, ct->id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (ct->dirfd < 0)
		file_unlink(rootfd, ct->id, AT_REMOVEDIR);
	return ct->dirfd < 0 ? err_sys(e, -ct->dirfd, "%s/%s", ct->root, ct->id) : 0;
}

static int new_ct(struct ct **ret_ct, const struct ct_config *c, struct err *e)
{
	struct ct *ct = calloc(1, sizeof(*ct));
	int r;

	if (!ct)
		return err_sys(e, ENOMEM, "container '%s'", c->id);
	*ret_ct = ct;
	ct->dirfd = ct->pidfd = -1;
	ct->root = strdup(c->root);
	ct->id = strdup(c->id);
	ct->bundle = strdup(c->bundle);
	ct->annotations = annotations_text(&c->spec->annotations);
	ct->created_ns = time_now_ns(CLOCK_REALTIME);
	ct->rootless = c->rootless;
	ct->no_poststop = c->spec->hooks[OCI_HOOK_POSTSTOP].n == 0;
	ct->owner = geteuid();
	if (!ct->root || !ct->id || !ct->bundle || !ct->annotations)
		return err_sys(e, ENOMEM, "container '%s'", c->id);
	r = rootfs_path(c, &ct->rootfs, e);
	return r < 0 ? r : make_dir(ct, e);
}

/* put_files() - the configuration as it was, the phase, and the door ct_start() knocks at. */
static int put_files(struct ct_launch *l, struct err *e)
{
	int dirfd = l->ct->dirfd;
	auto_fini(buf) struct buf phase = { 0 };
	auto_close int config = file_open(dirfd, CT_CONFIG_FILE, O_WRONLY | O_CREAT | O_EXCL, 0600);
	int r = config < 0 ? config : file_write(config, l->c->config_text, l->c->config_len);

	if (r < 0)
		return err_sys(e, -r, "%s/%s/" CT_CONFIG_FILE, l->ct->root, l->ct->id);
	buf_puts(&phase, "m");
	cgroup_save(&l->ct->cgroup, &phase);
	if (buf_finish(&phase) < 0)
		return err_sys(e, ENOMEM, CT_PHASE_FILE);
	l->phase_fd = file_open(dirfd, CT_PHASE_FILE, O_WRONLY | O_CREAT | O_EXCL, 0600);
	r = l->phase_fd < 0 ? l->phase_fd : file_write(l->phase_fd, phase.data, phase.len);
	if (r < 0)
		return err_sys(e, -r, "%s/%s/" CT_PHASE_FILE, l->ct->root, l->ct->id);
	if (l->c->run)
		return 0;
	l->listen_fd = sock_listen_at(dirfd, CT_START_SOCK, SOCK_SEQPACKET, 0600);
	return l->listen_fd < 0 ? err_sys(e, -l->listen_fd, CT_START_SOCK) : 0;
}

/* --- descriptors for init -------------------------------------------------------------------------------------- */

int ct__console_connect(int console_fd, const char *path, int *ret_fd, struct err *e)
{
	int fd = path           ? sock_connect_at(AT_FDCWD, path, SOCK_STREAM) :
		 console_fd < 0 ? -1 :
				  (int)SYS3(SYS_fcntl, console_fd, F_DUPFD_CLOEXEC, 3);

	if (fd < 0 && (path || console_fd >= 0))
		return err_sys(e, -fd, "console socket '%s'", path ? path : "");
	*ret_fd = fd;
	return 0;
}

static int open_for_init(struct ct_launch *l, struct err *e)
{
	const struct oci_spec *spec = l->c->spec;
	const struct oci_seccomp *s = spec->linux.seccomp;
	int r = 0;

	if (s)
		r = ct__seccomp(l->ct->root, s, &l->seccomp, e);
	if (r == 0 && s && l->seccomp.flags & SECCOMP_FILTER_FLAG_NEW_LISTENER) {
		l->seccomp_sock = sock_connect_at(AT_FDCWD, s->listener_path, SOCK_STREAM);
		if (l->seccomp_sock < 0)
			r = err_sys(e, -l->seccomp_sock, "linux.seccomp.listenerPath '%s'", s->listener_path);
	}
	if (r == 0)
		r = ct__console_connect(l->c->console_fd, l->c->console_socket, &l->console_fd, e);
	if (r == 0)
		r = cgroup_join_open(&l->ct->cgroup, cgroup_v2_fd(&l->ct->cgroup) >= 0, l->join_fd,
				     &l->n_join, e);
	if (r == 0 && spec->n_mounts) {
		l->source_fds = malloc(spec->n_mounts * sizeof(*l->source_fds));
		if (!l->source_fds)
			return err_sys(e, ENOMEM, "mounts");
		r = ct_mount_open_sources(spec, l->source_fds, e);
	}
	if (r == 0) {
		r = sock_pair(SOCK_SEQPACKET, l->sock);
		if (r < 0)
			err_sys(e, -r, "socketpair");
	}
	return r;
}

/* --- the clone -------------------------------------------------------------------------------------------------- */

/* stage() - enters namespaces, makes init as the parent's own child, ends. */
static _Noreturn void stage(struct ct_launch *l, int cgroup_fd, pid_t *told)
{
	struct err e = { 0 };
	pid_t pid = 0;
	int r;

	if (!(l->new_ns & CLONE_NEWUSER)) /* its maps are written by our owner, who needs the right to */
		cred_prctl(PR_SET_DUMPABLE, 0, 0);
	r = ct__join(l->ns_fd, l->keep_groups, &e);
	if (r == 0) {
		pid = ns_clone_sibling(l->new_ns, cgroup_fd, told);
		if (pid == 0)
			ct__init(l);
		r = pid < 0 ? err_sys(&e, -pid, "clone") : 0;
	}
	if (r < 0)
		sync_fail(l->sock[1], r, &e);
	_exit(r < 0);
}

static int spawn_staged(struct ct_launch *l, int cgroup_fd, struct err *e)
{
	struct ct_stage s;
	pid_t pid = ct__stage_start(&s, -1, e);

	if (pid == 0)
		stage(l, cgroup_fd, s.told);
	if (pid < 0)
		return pid;
	fd_close(&l->sock[1]);
	return ct__stage_finish(&s, l->sock[0], &l->ct->pid, &l->ct->pidfd, e);
}

static int spawn(struct ct_launch *l, struct err *e)
{
	int cgroup_fd = cgroup_v2_fd(&l->ct->cgroup);
	pid_t pid;

	l->staged = needs_stage(l);
	if (l->staged)
		return spawn_staged(l, cgroup_fd, e);
	pid = ns_clone(l->new_ns, cgroup_fd, &l->ct->pidfd);
	if (pid == 0)
		ct__init(l);
	if (pid < 0)
		return err_sys(e, -pid, "clone into %s",
			       l->new_ns & CLONE_NEWUSER ? "new namespaces (are user "
							   "namespaces allowed here?)" :
							   "new namespaces");
	fd_close(&l->sock[1]);
	l->ct->pid = pid;
	return 0;
}

/* --- answering init --------------------------------------------------------------------------------------------- */

static int answer(struct ct_launch *l, struct err *e)
{
	return sync_send(l->sock[0], SYNC_GO, l->ct->pid, e);
}

static int answer_map(struct ct_launch *l, struct err *e)
{
	const struct oci_spec *spec = l->c->spec;
	int r = userns_map(l->ct->pid, &spec->linux.uid_mappings, &spec->linux.gid_mappings, geteuid() != 0,
			   e);

	return r < 0 ? r : answer(l, e);
}

static int answer_runtime(struct ct_launch *l, struct err *e)
{
	const struct oci_spec *spec = l->c->spec;
	auto_fini(buf) struct buf state = { 0 };
	int r = spec->linux.n_net_devices ? netdev_move(l->ct->pid, &spec->linux, e) : 0;

	if (r == 0)
		r = ct__state_text(l->ct, CT_CREATING, l->ct->pid, &state) < 0 ? err_sys(e, ENOMEM, "hooks") :
										 0;
	if (r == 0)
		r = hooks_run(spec, OCI_HOOK_PRESTART, state.data, state.len, e);
	if (r == 0)
		r = hooks_run(spec, OCI_HOOK_CREATE_RUNTIME, state.data, state.len, e);
	return r < 0 ? r : answer(l, e);
}

static int answer_ready(struct ct_launch *l, struct err *e)
{
	int r;

	l->ct->ready = true;
	r = ct__save(l->ct, e);
	return r < 0 ? r : answer(l, e);
}

/* converse() - until init waits for start (or, to run at once, has become the workload and the socket closes). */
static int converse(struct ct_launch *l, struct err *e)
{
	int told = ct__waits_for_record(l) ? answer(l, e) : 0;

	if (told < 0 && told != -EPIPE) /* it is no more, and what it last said is yet to be read */
		return told;
	for (;;) {
		int r = sync_recv(l->sock[0], NULL, e);

		if (r == -ECONNRESET && l->c->run && ct__phase(l->ct) == 'r') { /* closed by exec */
			if (e)
				*e = (struct err){ 0 };
			return 0;
		}
		if (r == SYNC_READY)
			return answer_ready(l, e);
		if (r == SYNC_MAP)
			r = answer_map(l, e);
		else if (r == SYNC_RUNTIME)
			r = answer_runtime(l, e);
		else if (r >= 0)
			r = err_set(e, EPROTO, "init sent message %d", r);
		if (r < 0)
			return r;
	}
}

/* settle() - what the parent can do for init from outside, as soon as it has a pid. */
static int settle(struct ct_launch *l, struct err *e)
{
	const struct oci_spec *spec = l->c->spec;
	int64_t start = proc_start_time(l->ct->pid);
	int r = 0;

	if (start <= 0) /* without it another process of this number would pass for it one day */
		return err_sys(e, start < 0 ? (int)-start : EIO, "start time of process %d", (int)l->ct->pid);
	l->ct->start_time = (uint64_t)start;
	l->ct->ready = l->c->run;
	if (spec->linux.ns[OCI_NS_USER].present)
		r = ct_proc_limits(&spec->process, l->ct->pid, e);
	if (r == 0 && spec->linux.rdt)
		r = rdt_apply(spec->linux.rdt, l->ct->id, l->ct->pid, &l->ct->intel_rdt, e);
	return r < 0 ? r : ct__save(l->ct, e);
}

/* --- whole ------------------------------------------------------------------------------------------------------ */

/* undo() - after a failure; "stop the container, and continue the lifecycle" says the specification: its poststop hooks run. */
static void undo(const struct ct_launch *l)
{
	struct ct *ct = l->ct;
	auto_close int rootfd = -1;

	ct__reap(ct->pid, ct->pidfd);
	if (l->grouped) { /* until then what has these names is another's */
		cgroup_kill(&ct->cgroup, SIGKILL, NULL);
		cgroup_delete(&ct->cgroup, NULL);
	}
	rdt_delete(ct->intel_rdt);
	if (ct->pid > 0)
		ct__poststop(ct, NULL);
	if (ct->dirfd < 0)
		return;
	rootfd = file_open(AT_FDCWD, ct->root, O_RDONLY | O_DIRECTORY, 0);
	if (rootfd >= 0)
		file_remove_tree(rootfd, ct->id, NULL);
}

static void launch_fini(struct ct_launch *l)
{
	for (int i = 0; i < OCI_NS_COUNT; i++)
		fd_close(&l->ns_fd[i]);
	for (size_t i = 0; i < l->n_join; i++)
		fd_close(&l->join_fd[i]);
	for (size_t i = 0; l->source_fds && i < l->c->spec->n_mounts; i++)
		fd_close(&l->source_fds[i]);
	free(l->source_fds);
	fd_close(&l->sock[0]);
	fd_close(&l->sock[1]);
	fd_close(&l->listen_fd);
	fd_close(&l->phase_fd);
	fd_close(&l->seccomp_sock);
	fd_close(&l->console_fd);
	ct_seccomp_fini(&l->seccomp);
}

static int make_cgroups(struct ct_launch *l, struct err *e)
{
	const struct oci_linux *lx = &l->c->spec->linux;
	int r = cgroup_create(&l->ct->cgroup, lx->has_resources ? &lx->resources : NULL, l->c->rootless, e);

	if (r < 0)
		return r;
	l->grouped = true;
	r = (int)SYS4(SYS_pwrite64, l->phase_fd, "c", 1, 0); /* they are ours alone */
	return r < 0 ? err_sys(e, -r, CT_PHASE_FILE) : 0;
}

static int make(struct ct_launch *l, struct err *e)
{
	const struct ct_config *c = l->c;
	int r = new_ct(&l->ct, c, e);

	if (r == 0)
		r = cgroup_open(&l->ct->cgroup, c->spec->linux.cgroups_path, c->id, c->cgroup_manager, e);
	if (r == 0)
		r = put_files(l, e);
	if (r == 0)
		r = make_cgroups(l, e);
	if (r == 0)
		r = open_for_init(l, e);
	if (r == 0)
		r = spawn(l, e);
	if (r == 0)
		r = settle(l, e);
	if (r == 0)
		r = converse(l, e);
	return r;
}

/* poststart() - a failing one stops the container, says the specification. */
static int poststart(struct ct *ct, const struct oci_spec *spec, struct err *e)
{
	auto_fini(buf) struct buf state = { 0 };
	int r;

	if (spec->hooks[OCI_HOOK_POSTSTART].n == 0)
		return 0;
	if (ct__state_text(ct, CT_RUNNING, ct->pid, &state) < 0)
		return err_sys(e, ENOMEM, "hooks");
	r = hooks_run(spec, OCI_HOOK_POSTSTART, state.data, state.len, e);
	if (r < 0)
		pidfd_send(ct->pidfd, SIGKILL);
	return r;
}

int ct_create(struct ct **ret_ct, const struct ct_config *c, struct err *e)
{
	struct ct_launch l = {
		.c = c,
		.keep_groups =
			str_eq(oci_kvs_get(&c->spec->annotations, "run.oci.keep_original_groups"), "1"),
		.sock = { -1, -1 },
		.listen_fd = -1,
		.phase_fd = -1,
		.seccomp_sock = -1,
		.console_fd = -1,
		.ns_fd = { -1, -1, -1, -1, -1, -1, -1, -1 },
		.runtime_step = c->spec->linux.n_net_devices || c->spec->linux.rdt ||
				c->spec->linux.ns[OCI_NS_USER].path || c->spec->hooks[OCI_HOOK_PRESTART].n ||
				c->spec->hooks[OCI_HOOK_CREATE_RUNTIME].n ||
				c->spec->hooks[OCI_HOOK_CREATE_CONTAINER].n ||
				c->spec->hooks[OCI_HOOK_START_CONTAINER].n ||
				(c->spec->linux.seccomp && c->spec->linux.seccomp->listener_path),
	};
	int r = ct_id_check(c->id, e);

	if (r == 0)
		r = check_process(c, e);
	if (r == 0 && !seal_is_on())
		r = err_set(e, EPERM,
			    "this process runs from a file that a container could write to (seal_self())");
	if (r == 0)
		r = plan_namespaces(&l, e);
	if (r == 0)
		r = ct_sysctl_check(c->spec, e);
	if (r == 0)
		r = make(&l, e);
	launch_fini(&l);
	if (r == 0 && c->run)
		r = poststart(l.ct, c->spec, e);
	if (r < 0) {
		if (l.ct)
			undo(&l);
		ct_free(l.ct);
		return r;
	}
	*ret_ct = l.ct;
	return 0;
}

int ct_start(struct ct *ct, struct err *e)
{
	auto_fini(arena) struct arena a = { 0 };
	auto_close int conn = -1;
	struct oci_spec spec;
	enum ct_status status = ct_status(ct);
	int r;

	if (status == CT_STOPPED)
		return err_set(e, ESRCH, "cannot start a container that has stopped");
	if (status != CT_CREATED)
		return err_set(e, EBUSY, "cannot start an already running container: '%s' is %s", ct->id,
			       ct_status_name(status));
	r = ct__config(ct, &spec, &a, e);
	if (r < 0)
		return r;
	conn = sock_connect_at(ct->dirfd, CT_START_SOCK, SOCK_SEQPACKET);
	r = conn < 0 ? err_sys(e, -conn, CT_START_SOCK) : sync_send(conn, SYNC_GO, 0, e);
	if (r < 0)
		return err_wrap(e, r, "container '%s': reach its init", ct->id);
	r = sync_recv(conn, NULL, e);
	if (r != -ECONNRESET)
		return r < 0 ? r : err_set(e, EPROTO, "container '%s': init sent message %d", ct->id, r);
	if (ct__phase(ct) != 'r') /* killed, or another start was before this one */
		return err_set(e, ESRCH, "container '%s': its init ended before it started anything", ct->id);
	if (e)
		*e = (struct err){ 0 }; /* closed without a word: by exec */
	file_unlink(ct->dirfd, CT_START_SOCK, 0);
	r = poststart(ct, &spec, e);
	if (r < 0)
		ct_delete(ct, true, NULL); /* "stop the container, and continue the lifecycle": delete */
	return r;
}
