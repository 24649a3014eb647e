/* SPDX-License-Identifier: Apache-2.0 */
/*
 * start.c - from an instance to its shim
 *
 * Under the instance's lock: root file system, specification and the shim's configuration are made; then fork. The
 * child launches the workload, writes state.json and goes on as the shim (shim.c). The pair of sockets the two
 * have in common carries the outcome, and afterwards the attached session: nobody has to connect.
 *
 * Killed at any instant: before the child has written state.json the workload, if any, is found by its
 * level's state and removed by the next start, rm or sweep; afterwards it is the running instance it says it
 * is.
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "io/child.h"
#include "io/frame.h"
#include "runtime/event.h"
#include "runtime/launch.h"
#include "runtime/names.h"
#include "runtime/proto.h"
#include "runtime/rootfs.h"
#include "runtime/runtime_internal.h"
#include "runtime/session.h"
#include "runtime/shim.h"
#include "runtime/spec.h"
#include "sys/call.h"
#include "sys/cred.h"
#include "sys/file.h"
#include "sys/ns.h"
#include "sys/path.h"
#include "sys/sock.h"
#include "sys/title.h"

struct starting {
	struct runtime *rt;
	struct instance in;
	char *dir;                    /* owned */
	char *run_dir;                /* owned */
	int dirfd, own, lock, rootfs; /* owned; @own: "<run>/shim/<id>" */
	struct rootfs_layers layers;  /* closed when nobody waits, by whoever has them last: the shim */
	struct buf spec;
	struct shim_config shim;
};

static void starting_fini(struct starting *st)
{
	instance_fini(&st->in);
	free(st->dir);
	free(st->run_dir);
	rootfs_layers_fini(&st->layers);
	fd_close(&st->own);
	fd_close(&st->rootfs);
	fd_close(&st->lock);
	fd_close(&st->dirfd);
	buf_fini(&st->spec);
	shim_config_fini(&st->shim);
}

/* --- the child, until it is the shim --------------------------------------------- */

static int null_stdio(void)
{
	auto_close int null = file_open(AT_FDCWD, "/dev/null", O_RDWR, 0);
	int r = null;

	for (int i = 0; i < 3 && r >= 0; i++)
		r = fd_dup_to(null, i, false);
	return r;
}

static int listen_shim(const struct starting *st, struct err *e)
{
	int fd = sock_listen_at(st->own, INSTANCE_SOCKET, SOCK_SEQPACKET, 0600);

	return fd < 0 ? err_sys(e, -fd, "%s/" INSTANCE_SOCKET, st->run_dir) : fd;
}

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/*
 * keep_only() - close all that the starter had open but standard streams, @layers and the @n of @others
 * Its database, its lists, its end of the pair: what the shim held would outlive the command.
 */
static void keep_only(const struct rootfs_layers *layers, const int *others, size_t n)
{
	auto_free int *fd = malloc((layers->n + n) * sizeof(*fd));
	int from = 3;

	if (!fd)
		_exit(1);
	memcpy(fd, others, n * sizeof(*fd));
	for (size_t i = 0; i < layers->n; i++)
		fd[n++] = layers->fd[i];

	qsort(fd, n, sizeof(*fd), by_number);
	for (size_t i = 0; i < n; i++) {
		if (fd[i] > from)
			SYS3(SYS_close_range, from, fd[i] - 1, 0);
		from = fd[i] >= from ? fd[i] + 1 : from;
	}
	fd_close_from(from);
}

static int launch_first(const struct starting *st, struct launch *l, struct streams *streams,
			struct state *state, int *ret_code, struct err *e)
{
	int64_t own = proc_start_time(getpid());
	int r = streams_open(streams, l->tty, instance__bool(st->in.config, "Config", "OpenStdin"), e);

	*ret_code = 125;
	if (r >= 0)
		r = launch(l, ret_code, e);
	if (r < 0)
		return r;
	state->status = INSTANCE_RUNNING;
	state->pid = l->pid;
	state->pid_start = l->start_time;
	state->shim_pid = getpid();
	state->shim_start = own < 0 ? 0 : (uint64_t)own;
	state->started_ns = time_now_ns(CLOCK_REALTIME);
	r = state_write(st->dirfd, state, e);
	if (r < 0)
		return err_wrap(e, r, "%s", st->dir);
	return streams_settle(streams, l->tty, e);
}

static void say_failed(const struct starting *st, int sock, int code, const struct err *e)
{
	struct msg_failed m = { .code = code, .e = *e };
	struct state state = { .status = INSTANCE_CREATED,
			       .exit_code = code,
			       .error = (char *)(uintptr_t)e->text };

	char path[RUN_PATH_SIZE];

	file_remove_tree(st->rt->run_fd, runtime__run_path(st->in.id, path), NULL);
	state_write(st->dirfd, &state, NULL);
	frame_send(sock, PROTO_FAILED, &m, sizeof(m), -1, false);
}

/* forget() - what the starter had in memory for this. */
static void forget(void *arg)
{
	starting_fini(arg);
}

/* go_on() - as the shim: all of @st that it needs becomes its own. */
static _Noreturn void go_on(struct starting *st, struct launch *l, const struct state *state, int listener,
			    int sock)
{
	struct shim_start s = {
		.config = st->shim,
		.state = *state,
		.streams = *l->streams,
		.iso = l->iso,
		.dirfd = st->dirfd,
		.own_fd = st->own,
		.run_fd = st->rt->run_fd,
		.rootfs = st->rootfs,
		.mounts = l->mounts,
		.listener = listener,
		.starter = sock,
		.forget = forget,
		.forget_arg = st,
	};

	if (!s.config.auto_remove)
		fd_close(&s.rootfs);
	st->dirfd = st->own = st->rootfs = -1;
	st->shim = (struct shim_config){ 0 };
	fd_close(&st->lock); /* the starter has it as long as it needs it */
	_exit(shim_run(&s));
}

static _Noreturn void child(struct starting *st, int sock)
{
	struct launch l = {
		.id = st->in.id,
		.dir = st->dir,
		.run_dir = st->run_dir,
		.levels = st->rt->levels,
		.level = instance__str(st->in.config, "HostConfig", "Isolation"),
		.rootfs_fd = st->rootfs,
		.spec_text = buf_str(&st->spec),
		.spec_len = st->spec.len,
		.tty = instance__bool(st->in.config, "Config", "Tty"),
		.keep_mounts = st->shim.auto_remove &&
			       json_array_size(json_object_get(st->in.config, "Mounts")) == 0,
		.mounts = -1,
	};
	const int keep[] = { st->dirfd, st->own, st->lock, st->rootfs, st->rt->run_fd, sock };
	const char *pairs[] = { "name", st->in.name, "image", st->in.image };
	struct streams streams = STREAMS_NONE;
	struct state state = { 0 };
	struct err e = { 0 };
	int code = 125, listener, r;

	keep_only(&st->layers, keep, sizeof(keep) / sizeof(keep[0]));
	l.streams = &streams;
	if (instance__bool(st->in.config, "HostConfig", "Init"))
		title_set(
			"hull-init"); /* its first process is one of ours: anybody inside may read /proc/1 */
	setsid();
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	r = null_stdio();
	listener = r < 0 ? err_sys(&e, -r, "/dev/null") : listen_shim(st, &e);
	r = listener < 0 ? listener : launch_first(st, &l, &streams, &state, &code, &e);
	if (r >= 0) {
		event__append(st->rt->run_fd, "container", "start", st->in.id, pairs, 2);
		go_on(st, &l, &state, listener, sock);
	}
	if (l.iso)
		launch_end(l.iso, -1, NULL, NULL);
	fd_close(&l.mounts);
	say_failed(st, sock, code, &e);
	_exit(1);
}

/* --- the parent --------------------------------------------- */

/* joined_pid() - the first process of the instance a "container:x" mode names; 0: no such mode. */
static int joined_pid(struct runtime *rt, const json_t *config, const char *key, int *ret_pid, struct err *e)
{
	const char *mode = instance__str(config, "HostConfig", key);
	const char *name = mode ? str_after(mode, "container:") : NULL;
	auto_fini(instance) struct instance other = { 0 };
	int r;

	if (!name)
		return 0;
	r = instance_find(rt, name, &other, e);
	if (r >= 0)
		r = instance__need_live(&other, "join the namespace of", e);
	if (r >= 0)
		*ret_pid = other.pid;
	return r;
}

static int make_workdir(const struct starting *st, struct err *e)
{
	const char *path = instance__str(st->in.config, "Config", "WorkingDir");
	int fd;

	if (!path || str_eq(path, "/"))
		return 0;
	fd = path_make_in_root(st->rootfs, path, true, 0755, e);
	if (fd < 0)
		return err_wrap(e, fd, "working directory '%s'", path);
	close(fd);
	return 0;
}

/* make_run_dir() - a fresh one: what stands there was left by a shim that was killed; we hold the lock, so
 * none is alive. */
static int make_run_dir(struct starting *st, struct err *e)
{
	char path[RUN_PATH_SIZE];
	struct stat sb;
	int r = 0;

	runtime__run_path(st->in.id, path);
	if (file_fstatat(st->rt->run_fd, path, &sb, AT_SYMLINK_NOFOLLOW) == 0)
		r = file_remove_tree(st->rt->run_fd, path, e);
	if (r >= 0)
		r = file_mkdir(st->rt->run_fd, path, 0700);
	if (r >= 0)
		r = st->own = file_open(st->rt->run_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	st->run_dir = str_printf("%s/%s", st->rt->run_root, path);
	if (r < 0 || !st->run_dir)
		return err_sys(e, r < 0 ? -r : ENOMEM, "%s/%s", st->rt->run_root, path);
	return 0;
}

/* put_spec() - for restarts, health checks and `update`, into a directory that nobody reads before we are done. */
static int put_spec(const struct starting *st, struct err *e)
{
	auto_close int fd = file_open(st->own, INSTANCE_SPEC, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
	int r = fd < 0 ? fd : file_write(fd, buf_str(&st->spec), st->spec.len);

	return r < 0 ? err_sys(e, -r, "%s/" INSTANCE_SPEC, st->run_dir) : 0;
}

static int prepare(struct starting *st, const struct instance_streams *io, struct err *e)
{
	struct winsize w = session_size(io);
	struct spec_input in = { .rows = w.ws_row,
				 .cols = w.ws_col,
				 .id = st->in.id,
				 .config = st->in.config,
				 .rootless = cred_in_userns() };
	int r = joined_pid(st->rt, st->in.config, "NetworkMode", &in.pid_of_network, e);

	if (r >= 0)
		r = joined_pid(st->rt, st->in.config, "PidMode", &in.pid_of_pid, e);
	if (r >= 0)
		r = joined_pid(st->rt, st->in.config, "IpcMode", &in.pid_of_ipc, e);
	if (r < 0)
		return r;
	st->rootfs = rootfs_open(st->dir, &st->layers, e);
	if (st->rootfs < 0)
		return st->rootfs;
	in.rootfs_fd = st->rootfs;
	r = make_run_dir(st, e);
	if (r >= 0)
		r = make_workdir(st, e);
	in.dir = st->run_dir;
	if (r >= 0)
		r = spec_make(&in, &st->spec, e);
	if (r >= 0)
		r = names_write(st->own, st->in.config, e);
	if (r >= 0)
		r = put_spec(st, e);
	return r >= 0 ? shim_config_make(&st->shim, st->rt, &st->in, e) : r;
}

/* check_state() - under its lock: may it start, and from nothing? Return: 1 when it runs already. */
static int check_state(struct starting *st, struct err *e)
{
	char level[16 + INSTANCE_ID_SIZE];
	struct stat sb;
	int r = instance__reread(&st->in, st->dirfd, e); /* it may have changed while we waited */

	if (r < 0)
		return r;
	if (instance__live(&st->in))
		return 1;
	if (st->in.status == INSTANCE_DEAD && runtime__shim_pid(st->rt, st->in.id) > 0)
		return err_set(e, EBUSY,
			       "start '%s': it still runs, though its " INSTANCE_STATE
			       " is damaged; 'hull rm -f' removes it",
			       st->in.name);
	str_format(level, sizeof(level), RUNTIME_LEVEL_DIR "/%s", st->in.id);
	if (file_fstatat(st->rt->run_fd, level, &sb, 0) == 0) /* of a start or shim that was killed */
		return launch_remove(instance__str(st->in.config, "HostConfig", "Isolation"), st->rt->levels,
				     st->in.id, NULL, e);
	return 0;
}

/* open_locked() - the instance as it is once nobody else changes it. Return: 1 when it runs already. */
static int open_locked(struct starting *st, const char *id, struct err *e)
{
	int fresh = instance__take_fresh(st->rt, id, &st->in);
	int r = fresh ? 0 : instance_find(st->rt, id, &st->in, e);

	if (r < 0)
		return r;
	st->dir = runtime__path(st->rt, st->in.id);
	st->dirfd = runtime__dir(st->rt, st->in.id, e);
	if (st->dir && st->dirfd == -ENOENT)
		return err_set(e, ENOENT,
			       "container '%s': its files (%s) are gone; 'hull rm -f' removes the rest",
			       st->in.name, st->dir);
	if (!st->dir || st->dirfd < 0)
		return st->dir ? st->dirfd : err_sys(e, ENOMEM, "start");
	st->lock = runtime__lock_of(st->rt, st->in.id, st->dirfd, e);
	if (st->lock < 0)
		return st->lock;
	return fresh ? 0 : check_state(st, e);
}

/* await() - the child's first word. */
static int await(int sock, int *ret_code, struct err *e)
{
	struct msg_failed m = { 0 };
	uint8_t type = 0;
	ssize_t n = frame_recv(sock, &type, &m, sizeof(m), NULL, true);

	*ret_code = 125;
	if (n < 0)
		return (int)n;
	if (type == PROTO_STARTED) {
		*ret_code = 0;
		return 0;
	}
	*ret_code = m.code;
	return err_set(e, m.e.code ? m.e.code : EIO, "%s", m.e.text);
}

/* bury() - a shim that has failed. @r: what await() said; without a word from it, how it ended is all there
 * is to tell. */
static int bury(pid_t shim, int r, struct err *e)
{
	int code = child_wait(shim);

	if (r != -EPIPE)
		return r;
	return code > 128 ?
		       err_set(e, EPIPE, "the shim was killed by signal %d while it started", code - 128) :
		       err_set(e, EPIPE, "the shim ended with code %d while it started", code);
}

/* spawn() - Return: the shim's pid, with our end of the pair. */
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

/* clear_away() - also what a shim that was killed could not. */
static void clear_away(const struct starting *st)
{
	char path[RUN_PATH_SIZE];

	launch_remove(instance__str(st->in.config, "HostConfig", "Isolation"), st->rt->levels, st->in.id,
		      NULL, NULL);
	file_remove_tree(st->rt->run_fd, runtime__run_path(st->in.id, path), NULL);
}

/*
 * end_session() - what an attached start has left to do
 * When the shim has only trash left to delete nobody waits for that. Else it has nothing left to do at all, and no process of
 * ours stays behind.
 */
static int end_session(struct starting *st, int *sock, pid_t shim, const struct session *s, struct err *e)
{
	int r = s->remove ? instance__remove_ended(st->rt, &st->in, st->dirfd, shim, e) : 0;
	struct msg_failed done;
	uint8_t type;

	if (r > 0) {
		frame_send(*sock, PROTO_REMOVED, NULL, 0, -1, false);
		if (frame_recv(*sock, &type, &done, sizeof(done), NULL, true) < 0) /* it was killed */
			clear_away(st);
		fd_close(sock);
		return 0;
	}
	if (s->remove && r == 0) {
		r = instance_remove(st->rt, st->in.id, false, true, e);
		r = r == -ENOENT ? 0 : r;
	}
	fd_close(sock);
	child_wait(shim);
	return r;
}

static int last_code(struct runtime *rt, const char *id, int *ret_code, struct err *e)
{
	auto_fini(instance) struct instance in = { 0 };
	int r = instance_find(rt, id, &in, e);

	if (r < 0)
		return r;
	*ret_code = in.exit_code;
	return in.status == INSTANCE_DEAD ? err_set(e, EPIPE, "container '%s': %s", in.name, in.error) : 0;
}

int instance_start(struct runtime *rt, const char *id, const struct instance_streams *io, int *ret_code,
		   struct err *e)
{
	auto_fini(
		starting) struct starting st = { .rt = rt, .dirfd = -1, .own = -1, .lock = -1, .rootfs = -1 };
	auto_close int sock = -1;
	struct session s = { .io = io };
	pid_t shim;
	int code, r = open_locked(&st, id, e);

	if (!ret_code)
		ret_code = &code;
	*ret_code = 125;
	if (r == 1) {
		*ret_code = 0;
		fd_close(&st.lock);
		return io ? instance_attach(rt, id, io, ret_code, e) : 0;
	}
	if (r >= 0)
		r = prepare(&st, io, e);
	shim = r < 0 ? r : spawn(&st, io, &sock, e);
	r = shim < 0 ? shim : await(sock, ret_code, e);
	if (r < 0 && shim > 0)
		r = bury(shim, r, e);
	if (r < 0 && st.own >= 0)
		clear_away(&st);
	fd_close(&st.lock);
	if (r < 0) {
		if (instance__bool(st.in.config, "HostConfig", "AutoRemove"))
			instance_remove(rt, st.in.id, true, true, NULL);
		return r;
	}
	if (!io)
		return 0;
	fd_close(&st.rootfs); /* when the shim removes the workload its mounts shall go, too */
	s.sock = sock;
	r = session_run(&s, e);
	if (r == -EPIPE)
		return last_code(rt, st.in.id, ret_code, e);
	*ret_code = s.code;
	return r == 0 ? end_session(&st, &sock, shim, &s, e) : r;
}

int instance_attach(struct runtime *rt, const char *id, const struct instance_streams *io, int *ret_code,
		    struct err *e)
{
	auto_fini(instance) struct instance in = { 0 };
	auto_close int sock = -1;
	struct session s = { .io = io };
	int r = instance_find(rt, id, &in, e);

	if (r >= 0)
		r = instance__need_live(&in, "attach to", e);
	if (r < 0)
		return r;
	sock = runtime__shim(rt, in.id);
	r = sock < 0 ? sock : session_attach(sock, io);
	if (r < 0)
		return err_sys(e, -r, "attach to '%s': its shim", in.name);
	s.sock = sock;
	r = session_run(&s, e);
	if (r == -EPIPE)
		return last_code(rt, in.id, ret_code, e);
	*ret_code = s.code;
	return r;
}
