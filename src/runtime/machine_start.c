/* SPDX-License-Identifier: Apache-2.0 */
/*
 * machine_start.c - from a machine's directory to its keeper
 *
 * Under the machine's lock: what a killed keeper left is cleaned away; then fork. The child makes the control group and the
 * console's pipes, forks the machine, hears from it how that went, writes state.json and goes on as the keeper. The pair
 * of sockets it has with the command carries the outcome, and afterwards the attached session.
 *
 * Killed at any instant: the child holds the lock until state.json says "running"; before, the end of its sockets ends
 * the machine, and the next start, rm or sweep finds the group's name in the directory.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/err.h"
#include "base/guard.h"
#include "io/child.h"
#include "runtime/machine_internal.h"
#include "runtime/session.h"
#include "sys/call.h"
#include "sys/file.h"
#include "sys/ns.h"
#include "sys/sock.h"
#include "sys/title.h"
#include "vm/machine.h"

/* FDS_MAX: the files of a configuration and of a snapshot, and some ten of our own. */
enum { FDS_MAX = 2 * MACHINE_DRIVES_MAX + MACHINE_NETS_MAX + MACHINE_PMEMS_MAX + MACHINE_SHARES_MAX + 48 };

struct starting {
	struct machines *ms;
	struct instance in;
	struct machines_launch *launch;
	int dirfd, lock; /* owned */
};

static void starting_fini(struct starting *st)
{
	instance_fini(&st->in);
	fd_close(&st->lock);
	fd_close(&st->dirfd);
}

void machines_launch_fini(struct machines_launch *l)
{
	if (l->config)
		machine_config_fini(l->config);
	fd_close(&l->state_fd);
	fd_close(&l->mem_fd);
	free(l->ahead_path);
	l->ahead_path = NULL;
}

/* --- the child, until it is the keeper --------------------------------------------------------------------------- */

struct fds {
	int fd[FDS_MAX];
	size_t n;
};

static void fds_add(struct fds *f, int fd)
{
	if (fd >= 0 && f->n < FDS_MAX)
		f->fd[f->n++] = fd;
}

static void fds_of_launch(struct fds *f, const struct machines_launch *l)
{
	const struct machine_config *c = l->config;

	fds_add(f, l->state_fd);
	fds_add(f, l->mem_fd);
	fds_add(f, c->kernel.fd);
	fds_add(f, c->initrd.fd);
	fds_add(f, c->gdb.fd);
	for (unsigned i = 0; i < c->n_drives; i++)
		fds_add(f, c->drive[i].file.fd);
	for (unsigned i = 0; i < c->n_nets; i++)
		fds_add(f, c->net[i].tap_fd);
	for (unsigned i = 0; i < c->n_pmems; i++)
		fds_add(f, c->pmem[i].file.fd);
	for (unsigned i = 0; i < c->n_shares; i++)
		fds_add(f, c->share[i].dir.fd);
}

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* keep_only() - close all that is open but standard streams and @f. */
static void keep_only(struct fds *f)
{
	int from = 3;

	qsort(f->fd, f->n, sizeof(f->fd[0]), by_number);
	for (size_t i = 0; i < f->n; i++) {
		if (f->fd[i] > from)
			SYS3(SYS_close_range, from, f->fd[i] - 1, 0);
		from = f->fd[i] >= from ? f->fd[i] + 1 : from;
	}
	fd_close_from(from);
}

static int null_stdio(struct err *e)
{
	auto_close int null = file_open(AT_FDCWD, "/dev/null", O_RDWR, 0);
	int r = null;

	for (int i = 0; i < 3 && r >= 0; i++)
		r = fd_dup_to(null, i, false);
	return r < 0 ? err_sys(e, -r, "/dev/null") : 0;
}

struct pipes { /* the machine's ends, ours */
	int in[2], out[2], sock[2];
};

static int pipes_make(struct pipes *p, struct err *e)
{
	int r = file_pipe(p->in);

	if (r >= 0)
		r = file_pipe(p->out);
	if (r >= 0)
		r = sock_pair(SOCK_SEQPACKET, p->sock);
	if (r >= 0 &&
	    (fcntl(p->in[1], F_SETFL, O_NONBLOCK) < 0 || fcntl(p->out[0], F_SETFL, O_NONBLOCK) < 0 ||
	     fcntl(p->in[0], F_SETFL, O_NONBLOCK) < 0 || fcntl(p->out[1], F_SETFL, O_NONBLOCK) < 0))
		r = -errno;
	return r < 0 ? err_sys(e, -r, "the console") : 0;
}

/* become_machine() - in the grandchild. */
static _Noreturn void become_machine(struct starting *st, const struct pipes *p, const int *join,
				     size_t n_join)
{
	struct machines_process mp = { .launch = st->launch,
				       .name = st->in.name,
				       .sock = p->sock[1],
				       .console_in = p->in[0],
				       .console_out = p->out[1] };
	struct fds keep = { .n = 0 };
	struct msg_failed m = { 0 };
	int r = cgroup_join(join, n_join);

	if (r < 0) {
		m.code = -r;
		err_sys(&m.e, -r, "join the control group");
		frame_send(mp.sock, PROTO_FAILED, &m, sizeof(m), -1, true);
		_exit(1);
	}
	fds_of_launch(&keep, st->launch);
	fds_add(&keep, mp.sock);
	fds_add(&keep, mp.console_in);
	fds_add(&keep, mp.console_out);
	keep_only(&keep);
	machines__process(&mp);
}

/* await_machine() - its first word. */
static int await_machine(int sock, pid_t pid, struct err *e)
{
	struct msg_failed m = { 0 };
	uint8_t type = 0;
	ssize_t n = frame_recv(sock, &type, &m, sizeof(m), NULL, true);
	int code;

	if (n >= 0 && type == PROTO_STARTED)
		return 0;
	if (n < 0)
		kill(pid, SIGKILL);
	code = child_wait(pid);
	if (n >= 0)
		return err_set(e, m.code ? m.code : EIO, "%s", m.e.text);
	return err_set(e, EPIPE, "the machine ended with %d while it started", code);
}

/* spawn_machine() - in the group's cgroups from its first instruction on. Return: its pid, or -errno. */
static pid_t spawn_machine(struct starting *st, struct cgroup *cg, struct pipes *p, struct err *e)
{
	int join[CGROUP_HIERARCHY_MAX];
	size_t n_join = 0;
	int r = machines__group_join_fds(cg, join, &n_join, e);
	pid_t pid;

	if (r < 0)
		return r;
	pid = ns_clone(0, cgroup_v2_fd(cg), NULL); /* to be born there is free, to move there takes 14 ms */
	if (pid == 0)
		become_machine(st, p, join, n_join);
	for (size_t i = 0; i < n_join; i++)
		close(join[i]);
	fd_close(&p->in[0]);
	fd_close(&p->out[1]);
	fd_close(&p->sock[1]);
	machines_launch_fini(st->launch); /* its files are the machine's alone */
	if (pid < 0)
		return err_sys(e, (int)-pid, "fork");
	r = await_machine(p->sock[0], pid, e);
	return r < 0 ? r : pid;
}

static void say_failed(const struct starting *st, int sock, const struct err *e)
{
	struct msg_failed m = { .code = MACHINES_STATUS_OURS, .e = *e };
	struct state state = { .status = INSTANCE_CREATED,
			       .exit_code = MACHINES_STATUS_OURS,
			       .error = (char *)(uintptr_t)e->text };

	state_write(st->dirfd, &state, NULL);
	frame_send(sock, PROTO_FAILED, &m, sizeof(m), -1, false);
}

static int write_state(const struct starting *st, pid_t pid, struct state *s, struct err *e)
{
	int64_t own = proc_start_time(getpid()), its = proc_start_time(pid);

	*s = (struct state){ .status = INSTANCE_RUNNING,
			     .pid = pid,
			     .pid_start = its < 0 ? 0 : (uint64_t)its,
			     .shim_pid = getpid(),
			     .shim_start = own < 0 ? 0 : (uint64_t)own,
			     .started_ns = time_now_ns(CLOCK_REALTIME) };
	return state_write(st->dirfd, s, e);
}

/* child_run() - Return: exit status, when it could not become the keeper. */
static int child_run(struct starting *st, int sock)
{
	static struct cgroup group;
	struct pipes p = { { -1, -1 }, { -1, -1 }, { -1, -1 } };
	struct keeper_start *k = calloc(1, sizeof(*k));
	struct machines_limits limits = st->launch->limits;
	struct err e = { 0 };
	int listener = -1, r = k ? null_stdio(&e) : err_sys(&e, ENOMEM, "start");
	pid_t pid = -1;

	if (r >= 0)
		r = pipes_make(&p, &e);
	if (r >= 0) {
		listener = sock_listen_at(st->ms->run_fd, st->in.id, SOCK_SEQPACKET, 0600);
		r = listener < 0 ?
			    err_sys(&e, -listener, "%s/" MACHINES_RUN "/%s", st->ms->run_root, st->in.id) :
			    0;
	}
	if (r >= 0)
		r = machines__group_make(&group, st->in.id, &limits, st->dirfd, &e);
	if (r >= 0) {
		str_copy(k->snapshot_id, sizeof(k->snapshot_id), st->launch->snapshot_id);
		r = pid = spawn_machine(st, &group, &p, &e);
	}
	if (r >= 0)
		r = write_state(st, pid, &k->state, &e);
	if (r < 0) {
		if (pid > 0) {
			kill(pid, SIGKILL);
			child_wait(pid);
		}
		file_unlink(st->ms->run_fd, st->in.id, 0);
		machines__group_remove(&group, st->dirfd);
		say_failed(st, sock, &e);
		return 1;
	}
	fd_close(&st->lock);
	machines__event(st->ms->events_fd, "start", st->in.id, st->in.name);
	str_copy(k->id, sizeof(k->id), st->in.id);
	k->name = strdup(st->in.name);
	k->group = &group;
	k->dirfd = TAKE_FD(st->dirfd);
	k->run_fd = st->ms->run_fd;
	k->events_fd = st->ms->events_fd;
	k->listener = listener;
	k->starter = sock;
	k->machine = p.sock[0];
	k->console_in = p.in[1];
	k->console_out = p.out[0];
	instance_fini(&st->in);
	return k->name ? machines__keeper(k) : 1;
}

static _Noreturn void child(struct starting *st, int sock)
{
	struct fds keep = { .n = 0 };
	char title[32 + INSTANCE_ID_SIZE];

	fds_of_launch(&keep, st->launch);
	fds_add(&keep, st->dirfd);
	fds_add(&keep, st->lock);
	fds_add(&keep, st->ms->run_fd);
	fds_add(&keep, st->ms->events_fd);
	fds_add(&keep, sock);
	keep_only(&keep);
	setsid();
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_NAME, "hull-keeper");
	str_format(title, sizeof(title), "hull keeper %s", st->in.id);
	title_set(title);
	_exit(child_run(st, sock));
}

/* --- the parent -------------------------------------------------------------------------------------------------- */

/* open_locked() - Return: 1 when it runs already. */
static int open_locked(struct starting *st, const char *id, struct err *e)
{
	int r = machines__read(st->ms, id, &st->in, e);

	if (r < 0)
		return r;
	st->dirfd = machines__dir(st->ms, id, e);
	st->lock = st->dirfd < 0 ? st->dirfd : machines__lock(st->ms, id, st->dirfd, true, e);
	r = st->lock < 0 ? st->lock : instance__reread(&st->in, st->dirfd, e);
	if (r < 0)
		return r;
	if (instance__live(&st->in))
		return 1;
	if (machines__has_keeper(st->ms, id))
		return err_set(e, EBUSY,
			       "start '%s': it still runs, though its " INSTANCE_STATE
			       " is damaged; 'hull vm rm -f' removes it",
			       st->in.name);
	machines__clean(st->ms, &st->in, st->dirfd);
	return 0;
}

static int await(int sock, int *ret_code, struct err *e)
{
	struct msg_failed m = { 0 };
	uint8_t type = 0;
	ssize_t n = frame_recv(sock, &type, &m, sizeof(m), NULL, true);

	if (n < 0)
		return (int)n;
	if (type == PROTO_STARTED)
		return 0;
	*ret_code = m.code;
	return err_set(e, m.e.code ? m.e.code : EIO, "%s", m.e.text);
}

/* spawn() - Return: the keeper's pid, with our end of the pair. */
static pid_t spawn(struct starting *st, const struct instance_streams *io, int *ret_sock, struct err *e)
{
	auto_close int mine = -1;
	int pair[2], r = sock_pair(SOCK_SEQPACKET, pair);
	sigset_t old;
	pid_t pid;

	if (r < 0)
		return err_sys(e, -r, "start");
	mine = pair[0];
	r = io ? session_attach(mine, io) : 0;
	if (r < 0) {
		close(pair[1]);
		return err_sys(e, -r, "start");
	}
	if (io)
		session_block(io, &old);
	pid = fork();
	if (pid == 0) {
		close(mine);
		if (io)
			session_unblock(&old);
		child(st, pair[1]);
	}
	r = pid < 0 ? -errno : 0;
	close(pair[1]);
	if (r < 0) {
		if (io)
			session_unblock(&old);
		return err_sys(e, -r, "start");
	}
	*ret_sock = TAKE_FD(mine);
	return pid;
}

/* session() - attached until it ends. A keeper that has gone without a word has left the state. */
static int session(struct machines *ms, const char *id, int sock, const struct instance_streams *io,
		   int *ret_code, struct err *e)
{
	struct session s = { .io = io, .sock = sock, .code = MACHINES_STATUS_OURS };
	int r = session_run(&s, e);

	if (r == -EPIPE)
		return machines_wait(ms, id, ret_code, e);
	*ret_code = s.code;
	return r;
}

int machines_start(struct machines *ms, const char *id, struct machines_launch *l,
		   const struct instance_streams *io, int *ret_code, struct err *e)
{
	auto_fini(starting) struct starting st = { .ms = ms, .launch = l, .dirfd = -1, .lock = -1 };
	auto_close int sock = -1;
	int code, r = open_locked(&st, id, e);
	pid_t keeper;

	if (!ret_code)
		ret_code = &code;
	*ret_code = MACHINES_STATUS_OURS;
	if (r != 0) {
		machines_launch_fini(l);
		if (r < 0)
			return r;
		fd_close(&st.lock);
		*ret_code = 0;
		return io ? machines_attach(ms, id, io, ret_code, e) : 0;
	}
	keeper = spawn(&st, io, &sock, e);
	machines_launch_fini(l);
	r = keeper < 0 ? keeper : await(sock, ret_code, e);
	if (r < 0 && keeper > 0) {
		code = child_wait(keeper);
		if (r == -EPIPE && !(e && e->code))
			err_set(e, EPIPE, "the keeper ended with %d while it started", code);
		machines__clean(ms, &st.in, st.dirfd);
	}
	fd_close(&st.lock);
	if (r < 0)
		return err_wrap(e, r, "start '%s'", st.in.name);
	*ret_code = 0;
	return io ? session(ms, id, sock, io, ret_code, e) : 0;
}

int machines_attach(struct machines *ms, const char *id, const struct instance_streams *io, int *ret_code,
		    struct err *e)
{
	auto_fini(instance) struct instance in = { 0 };
	auto_close int sock = -1;
	int r = machines__read(ms, id, &in, e);

	if (r < 0)
		return r;
	sock = machines__connect(ms, &in, e);
	if (sock == -ESRCH)
		return err_set(e, EBUSY, "machine '%s' does not run (%s); 'hull vm start -a %s' starts it",
			       in.name, instance_status_name(in.status), in.name);
	r = sock < 0 ? sock : session_attach(sock, io);
	if (r < 0)
		return sock < 0 ? r : err_sys(e, -r, "machine '%s': its keeper", in.name);
	return session(ms, id, sock, io, ret_code, e);
}
