/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shim.c - the small process that owns one instance
 *
 * Theory of operation. instance_start() forks; the child launches the workload, writes state.json and goes on here, as
 * the shim: the workload is its child, and may end at any instant from then on. No exec comes in between, since
 * that would cost a short workload more time than it runs itself. What the starter had in memory is freed
 * when things have calmed down (on_tidy()). From there on one loop serves the workload's output (log, attached
 * clients), their input, and requests on the socket. When the workload has ended, what is left of it is removed,
 * its output read to the end, and the restart policy asked. A restart, a health check, pause and resume are
 * done by children, so that this process stays as small as it began.
 *
 * Order at the end: the workload's remains go, the socket goes, state.json says "exited", clients are told. A
 * `start` that comes in between finds either a live shim or nothing in its way. With --rm the starter is told first, and takes the
 * instance away while we do the same with the workload's remains; it waits for PROTO_DONE (end_session() in start.c). "exited" is
 * then written only when it is not there to do so.
 *
 * To be gone means to be renamed, into "<run>/tmp" and "<store>/tmp". What lies there is deleted last, when nobody waits
 * any more: freeing directories can take a disk that discards synchronously several milliseconds. Both are locked
 * meanwhile, so that nobody else begins with it; of a shim that was killed the next sweep finds them unlocked. With
 * them the root file system goes: its last user drops what the kernel had read of the layers.
 *
 * Not here: the database, mounts, anything of the image.
 */
#include "runtime/shim.h"

#include <malloc.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/err.h"
#include "base/guard.h"
#include "io/child.h"
#include "runtime/event.h"
#include "runtime/runtime_internal.h"
#include "sys/call.h"
#include "sys/file.h"
#include "sys/ns.h"
#include "sys/sock.h"
#include "sys/title.h"

static const nsec_t linger_ns = 10 * NSEC_PER_SEC; /* for clients that do not take their last messages */
static const nsec_t drain_ns = 2 * NSEC_PER_SEC;   /* for output that somebody outside holds open */
static const nsec_t tidy_ns = 100 * NSEC_PER_MSEC; /* a workload that lives longer is worth making room for */

/* What a launcher tells: the workload it made. */
struct launched {
	int32_t pid;
	uint64_t start;
};

void shim__save(struct shim *s)
{
	state_write(s->dirfd, &s->state,
		    NULL); /* a full disk: readers see the state before, and find the shim gone in the end */
}

void shim__event(struct shim *s, const char *action, const char *key, const char *value)
{
	const char *pairs[] = { "name", s->config.name, "image", s->config.image, key, value };

	event__append(s->run_fd, "container", action, s->config.id, pairs, key ? 3 : 2);
}

static void with_iso(struct shim *s, int sig, bool resume)
{
	__attribute__((cleanup(iso_freep))) struct iso *i = NULL;
	const struct iso_ops *ops = iso_find(s->config.level, NULL);

	if (!ops || iso_open(ops, &i, s->config.levels, s->config.id, NULL) < 0)
		return;
	if (sig)
		iso_signal(i, sig, false, NULL);
	if (resume)
		iso_resume(i, NULL);
}

void shim__signal(struct shim *s, int sig)
{
	if (!s->exited && s->state.status != INSTANCE_RESTARTING && sig > 0 && sig <= SIGRTMAX)
		with_iso(s, sig, s->state.status == INSTANCE_PAUSED && sig == SIGKILL);
}

/* --- the end --------------------------------------------- */

static void tell_exit(struct shim *s, bool all)
{
	for (struct shim_client *c = s->clients; c; c = c->next) {
		struct msg_exit m = { .code = s->state.exit_code,
				      .remove = c->starter && s->config.auto_remove };

		if (c->ended || !(c->streams || c->starter || (all && c->waits)))
			continue;
		shim__send(c, PROTO_EXIT, &m, sizeof(m));
		c->streams = 0;
		c->ended = true;
		if (!all)
			c->starter = false;
	}
}

/* tell_gone() - the starter that removes the instance: our part of it is done. */
static void tell_gone(struct shim *s)
{
	const struct msg_failed done = { 0 };

	for (struct shim_client *c = s->clients; c && s->unsaved; c = c->next)
		if (c->starter)
			shim__send(c, PROTO_DONE, &done, sizeof(done));
}

void shim__client_gone(struct shim *s)
{
	if (!s->over)
		return;
	for (const struct shim_client *c = s->clients; c; c = c->next)
		if (c->queue || (c->starter && s->config.auto_remove))
			return;
	s->loop.stop = true;
}

static void on_linger(void *arg)
{
	struct shim *s = arg;

	s->loop.stop = true;
}

/* starter_removes() - is somebody there who will take the instance away once it is told? */
static bool starter_removes(const struct shim *s)
{
	for (const struct shim_client *c = s->clients; c && s->config.auto_remove; c = c->next)
		if (c->starter)
			return true;
	return false;
}

/* take_apart() - what the level still holds of the workload goes. Return: how often it ran out of memory. */
static uint64_t take_apart(struct shim *s)
{
	uint64_t oom_kills = 0;

	if (s->iso) /* its files into our own directory, with which they go */
		launch_end(s->iso, s->restart.policy == RESTART_NO ? s->own_fd : -1, &oom_kills, NULL);
	else
		launch_remove(s->config.level, s->config.levels, s->config.id, &oom_kills, NULL);
	iso_free(s->iso);
	s->iso = NULL;
	return oom_kills;
}

static void finish(struct shim *s)
{
	int fd = s->listener.fd;

	s->state.status = INSTANCE_EXITED;
	s->unsaved = starter_removes(s);
	if (s->unsaved)
		tell_exit(s, true);
	if (s->iso)
		take_apart(s);
	loop_remove(&s->loop, &s->listener);
	if (fd >= 0)
		close(fd);
	runtime__run_discard(s->run_fd, s->own_fd, s->config.id);
	if (!s->unsaved)
		shim__save(s);
	s->over = true;
	tell_exit(s, true);
	tell_gone(s);
	s->end_timer.fire = on_linger;
	loop_timer_set(&s->loop, &s->end_timer, linger_ns);
	shim__client_gone(s);
}

/* run_done() - the workload has ended, and so has its output. */
static void run_done(struct shim *s)
{
	nsec_t lived = time_now_ns(CLOCK_MONOTONIC) - s->started_mono, delay;
	char code[12];

	loop_timer_off(&s->loop, &s->end_timer);
	shim__streams_close(s);
	logfile_flush(&s->log, s->state.finished_ns);
	str_format(code, sizeof(code), "%d", s->state.exit_code);
	if (s->state.oom_killed)
		shim__event(s, "oom", NULL, NULL);
	shim__event(s, "die", "exitCode", code);
	delay = restart_next(&s->restart, s->state.exit_code, lived, s->stopping);
	if (delay < 0) {
		finish(s);
		return;
	}
	s->state.status = INSTANCE_RESTARTING;
	s->state.restart_count++;
	shim__save(s);
	tell_exit(s, false);
	loop_timer_set(&s->loop, &s->restart_timer, delay);
}

static void on_drained_not(void *arg)
{
	run_done(arg);
}

void shim__streams_ended(struct shim *s)
{
	if (s->exited && s->state.status != INSTANCE_RESTARTING)
		run_done(s);
}

static void workload_ended(struct shim *s, int status)
{
	bool said_all = s->out[0].fd < 0 && s->out[1].fd < 0;

	shim__health_stop(s);
	loop_timer_off(&s->loop, &s->stop_timer);
	if (said_all && s->iso && starter_removes(s)) /* finish() takes it apart */
		s->state.oom_killed = iso_oom_kills(s->iso) > 0;
	else
		s->state.oom_killed = take_apart(s) > 0;
	if (s->restart.policy != RESTART_NO)
		malloc_trim(0);
	s->exited = true;
	s->state.exit_code = child_exit_code(status);
	s->state.finished_ns = time_now_ns(CLOCK_REALTIME);
	s->state.pid = 0;
	s->state.status = INSTANCE_RUNNING; /* if it was paused it is not any more; "exited" comes when its
					       output is read */
	if (said_all) {
		run_done(s);
		return;
	}
	s->end_timer.fire = on_drained_not;
	loop_timer_set(&s->loop, &s->end_timer, drain_ns);
}

/* reap() - whatever has ended: the workload, children of ours, orphans that came to us as their reaper. */
static void reap(struct shim *s)
{
	pid_t pid;
	int status;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (pid == s->state.pid && !s->exited)
			workload_ended(s, status);
}

static void on_sigchld(void *arg, uint32_t events)
{
	struct signalfd_siginfo info[8];
	struct shim *s = arg;

	(void)events;
	if (SYS3(SYS_read, s->sigchld.fd, info, sizeof(info)) > 0)
		reap(s);
}

/* --- children at work --------------------------------------------- */

/* let_go() - in a child: it must not keep alive what the shim closes. */
static void let_go(struct shim *s)
{
	int fd[] = {
		s->listener.fd, s->out[0].fd, s->out[1].fd, s->in.fd, s->loop.epfd, s->rootfs, s->mounts
	};

	for (size_t i = 0; i < sizeof(fd) / sizeof(fd[0]); i++)
		if (fd[i] >= 0)
			close(fd[i]);
	for (struct shim_client *c = s->clients; c; c = c->next)
		close(c->source.fd);
}

pid_t shim__fork(struct shim *s, struct loop_source *source, int *ret_sock)
{
	int pair[2], r = sock_pair(SOCK_SEQPACKET, pair);
	sigset_t none;
	pid_t pid;

	if (r < 0)
		return r;
	pid = fork();
	if (pid != 0) {
		close(pair[1]);
		if (pid < 0 || loop_add(&s->loop, source, pair[0], EPOLLIN) < 0) {
			close(pair[0]);
			return pid < 0 ? -errno : pid;
		}
		return pid;
	}
	close(pair[0]);
	let_go(s);
	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	*ret_sock = pair[1];
	return 0;
}

void shim__child_done(struct shim *s, struct loop_source *source)
{
	int fd = source->fd;

	loop_remove(&s->loop, source);
	if (fd >= 0)
		close(fd);
}

static void on_task(void *arg, uint32_t events)
{
	struct shim *s = arg;
	struct msg_failed done = { .code = EIO };
	uint8_t type;

	(void)events;
	err_set(&done.e, EIO, "the shim's helper was killed");
	frame_recv(s->task.fd, &type, &done, sizeof(done), NULL, false);
	shim__child_done(s, &s->task);
	if (done.code == 0 && !s->exited) {
		s->state.status = s->pausing ? INSTANCE_PAUSED : INSTANCE_RUNNING;
		shim__save(s);
		shim__event(s, s->pausing ? "pause" : "unpause", NULL, NULL);
	}
	for (struct shim_client *c = s->clients; c; c = c->next) {
		if (c->asked)
			shim__send(c, PROTO_DONE, &done, sizeof(done));
		c->asked = false;
	}
}

static int do_task(struct shim *s, bool pause, struct err *e)
{
	__attribute__((cleanup(iso_freep))) struct iso *i = NULL;
	const struct iso_ops *ops = iso_find(s->config.level, e);
	int r = ops ? iso_open(ops, &i, s->config.levels, s->config.id, e) : -EINVAL;

	if (r < 0)
		return r;
	return pause ? iso_pause(i, e) : iso_resume(i, e);
}

void shim__task(struct shim *s, struct shim_client *c, bool pause)
{
	struct msg_failed done = { 0 };
	int sock = -1;
	pid_t pid = s->task.fd >= 0 || s->exited ? -EBUSY : shim__fork(s, &s->task, &sock);

	if (pid == 0) {
		done.code = -do_task(s, pause, &done.e);
		frame_send(sock, PROTO_DONE, &done, sizeof(done), -1, true);
		_exit(0);
	}
	if (pid < 0) {
		err_set(&done.e, -pid, "%s",
			pid == -EBUSY ? "it is just being changed, or has ended" : err_name(-pid));
		done.code = -pid;
		shim__send(c, PROTO_DONE, &done, sizeof(done));
		return;
	}
	c->asked = true;
	s->pausing = pause;
}

/* --- starting again --------------------------------------------- */

static void restart_failed(struct shim *s, int code, const char *why)
{
	streams_fini(&s->next_streams);
	s->state.exit_code = code;
	free(s->state.error);
	s->state.error = strdup(why);
	s->state.finished_ns = time_now_ns(CLOCK_REALTIME);
	finish(s);
}

static void started_again(struct shim *s, const struct launched *l)
{
	s->exited = false;
	s->state.pid = l->pid;
	s->state.pid_start = l->start;
	s->state.status = INSTANCE_RUNNING;
	s->state.oom_killed = false;
	s->state.started_ns = time_now_ns(CLOCK_REALTIME);
	s->started_mono = time_now_ns(CLOCK_MONOTONIC);
	shim__save(s);
	shim__event(s, "start", NULL, NULL);
	if (streams_settle(&s->next_streams, s->config.tty, NULL) >= 0)
		shim__streams_take(s, &s->next_streams);
	streams_fini(&s->next_streams);
	shim__health_start(s);
	if (s->stopping)
		shim__stop(s, 0, -1);
	reap(s); /* it may have ended while nobody knew its number */
}

static void on_launcher(void *arg, uint32_t events)
{
	union {
		struct launched ok;
		struct msg_failed failed;
	} m = { .failed.code = 125 };
	struct shim *s = arg;
	uint8_t type = PROTO_FAILED;
	ssize_t n;

	(void)events;
	err_set(&m.failed.e, EIO, "the launcher was killed");
	n = frame_recv(s->launcher.fd, &type, &m, sizeof(m), NULL, false);
	shim__child_done(s, &s->launcher);
	if (n == sizeof(m.ok) && type == PROTO_STARTED)
		started_again(s, &m.ok);
	else
		restart_failed(s, m.failed.code, m.failed.e.text);
}

static _Noreturn void launcher(struct shim *s, int sock)
{
	struct launch l = { .id = s->config.id,
			    .dir = s->config.dir,
			    .run_dir = s->config.run_dir,
			    .levels = s->config.levels,
			    .level = s->config.level,
			    .rootfs_fd = -1,
			    .streams = &s->next_streams,
			    .tty = s->config.tty };
	struct msg_failed failed = { 0 };
	struct launched ok = { 0 };

	if (launch(&l, &failed.code, &failed.e) < 0) {
		frame_send(sock, PROTO_FAILED, &failed, sizeof(failed), -1, true);
		_exit(1);
	}
	ok.pid = l.pid;
	ok.start = l.start_time;
	frame_send(sock, PROTO_STARTED, &ok, sizeof(ok), -1, true);
	_exit(0); /* the workload becomes the shim's child */
}

static void on_restart(void *arg)
{
	struct shim *s = arg;
	struct err e = { 0 };
	int sock = -1, r;
	pid_t pid;

	s->next_streams = (struct streams)STREAMS_NONE;
	fd_close(&s->mounts);
	fd_close(&s->rootfs); /* the next one mounts the same directories */
	r = streams_open(&s->next_streams, s->config.tty, s->config.open_stdin, &e);
	pid = r < 0 ? r : shim__fork(s, &s->launcher, &sock);
	if (pid == 0)
		launcher(s, sock);
	if (pid < 0)
		restart_failed(s, 125, err_name(-pid));
}

/* --- requests --------------------------------------------- */

static void on_stop_timeout(void *arg)
{
	shim__signal(arg, SIGKILL);
}

void shim__stop(struct shim *s, int sig, int timeout_s)
{
	s->stopping = true;
	if (s->exited && s->restart_timer.at) { /* between two lives */
		loop_timer_off(&s->loop, &s->restart_timer);
		finish(s);
		return;
	}
	if (s->exited)
		return;
	if (timeout_s < 0)
		timeout_s = s->config.stop_timeout_s;
	with_iso(s, sig > 0 ? sig : s->config.stop_signal, s->state.status == INSTANCE_PAUSED);
	if (timeout_s >= 0)
		loop_timer_set(&s->loop, &s->stop_timer, timeout_s * NSEC_PER_SEC);
}

void shim__reload(struct shim *s)
{
	struct shim_config fresh = { 0 };

	if (shim_config_read(&fresh, s->own_fd, NULL) < 0) {
		shim_config_fini(&fresh);
		return;
	}
	shim_config_fini(&s->config);
	s->config = fresh;
	s->restart.policy = fresh.restart;
	s->restart.max_tries = fresh.restart_max;
	malloc_trim(0);
}

/* --- beginning --------------------------------------------- */

/* on_tidy() - the starter's memory is given back, and what the launch took of ours. */
static void on_tidy(void *arg)
{
	/* Of the stack what lies well below us; the kernel keeps twice as much below a stack free of anything else. */
	enum { STACK_KEPT = 8 << 10, STACK_FREED = 512 << 10, PAGE = 4096 };
	struct shim *s = arg;
	char here;
	uintptr_t end = ((uintptr_t)&here - STACK_KEPT) & ~(uintptr_t)(PAGE - 1);

	if (s->forget)
		s->forget(s->forget_arg);
	s->forget = NULL;
	malloc_trim(0);
	madvise((void *)(end - STACK_FREED), STACK_FREED, MADV_DONTNEED);
}

static int watch_children(struct shim *s)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_SETMASK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	s->sigchld = (struct loop_source){ .fd = -1, .ready = on_sigchld, .arg = s };
	return fd < 0 ? -errno : loop_add(&s->loop, &s->sigchld, fd, EPOLLIN);
}

static void take_starter(struct shim *s, int fd)
{
	if (shim__client_add(s, fd, true) < 0)
		return;
	/* Its request to be attached is the first message, and there already: no output may be read before
	 * it. */
	s->clients->source.ready(s->clients, EPOLLIN);
	if (s->clients)
		shim__send(s->clients, PROTO_STARTED, NULL, 0);
}

static int begin(struct shim *s, struct shim_start *from)
{
	int r;

	s->config = from->config;
	s->state = from->state;
	s->iso = from->iso;
	s->dirfd = from->dirfd;
	s->own_fd = from->own_fd;
	s->run_fd = from->run_fd;
	s->rootfs = from->rootfs;
	s->mounts = from->mounts;
	s->forget = from->forget;
	s->forget_arg = from->forget_arg;
	s->started_mono = time_now_ns(CLOCK_MONOTONIC);
	logfile_init(&s->log, s->dirfd, s->config.log_max_size, s->config.log_max_files);
	s->restart = (struct restart){ .policy = s->config.restart, .max_tries = s->config.restart_max };
	s->restart_timer = (struct loop_timer){ .fire = on_restart, .arg = s };
	s->stop_timer = (struct loop_timer){ .fire = on_stop_timeout, .arg = s };
	s->tidy_timer = (struct loop_timer){ .fire = on_tidy, .arg = s };
	s->end_timer.arg = s;
	s->task = (struct loop_source){ .fd = -1, .ready = on_task, .arg = s };
	s->launcher = (struct loop_source){ .fd = -1, .ready = on_launcher, .arg = s };
	s->check.fd = -1;
	s->listener = (struct loop_source){ .fd = -1, .ready = shim__client_accept, .arg = s };
	r = loop_init(&s->loop);
	if (r >= 0)
		r = loop_add(&s->loop, &s->listener, from->listener, EPOLLIN);
	if (r >= 0)
		r = watch_children(s);
	if (r >= 0)
		r = shim__streams_take(s, &from->streams);
	if (r < 0)
		return r;
	take_starter(s, from->starter);
	loop_timer_set(&s->loop, &s->tidy_timer, tidy_ns);
	shim__health_start(s);
	reap(s);
	return 0;
}

/* give_up() - the workload runs and nobody can look after it: it ends, and the starter hears why. */
static void give_up(struct shim *s, int starter, int code)
{
	struct msg_failed m = { .code = 125 };

	err_sys(&m.e, code, "its shim could not begin");
	launch_end(s->iso, -1, NULL, NULL);
	s->state.status = INSTANCE_EXITED;
	s->state.exit_code = m.code;
	s->state.error = strdup(m.e.text);
	shim__save(s);
	frame_send(starter, PROTO_FAILED, &m, sizeof(m), -1, false);
}

/* remove_instance() - --rm, and whoever started it is not there to do it: become `hull rm`. */
static void remove_instance(struct shim *s)
{
	char *argv[] = { "hull", "--root", s->config.root, "--run-root", s->config.run_root,
			 "rm",   "-v",     s->config.id,   NULL };
	const int none[3] = { -1, -1, -1 };

	if (s->unsaved)
		shim__save(s);
	fd_close(&s->dirfd);
	child_spawn("/proc/self/exe", argv, none, NULL);
}

int shim_run(struct shim_start *from)
{
	static struct shim s;
	char title[16 + INSTANCE_ID_SIZE];
	int r;

	signal(SIGPIPE, SIG_IGN);
	mallopt(M_MMAP_THRESHOLD, 64 << 10);
	mallopt(M_TRIM_THRESHOLD, 64 << 10);
	mallopt(M_TOP_PAD, 0);
	prctl(PR_SET_NAME, "hull-shim");
	str_format(title, sizeof(title), "hull shim %s", from->config.id);
	title_set(title);
	r = begin(&s, from);
	if (r < 0) {
		give_up(&s, from->starter, -r);
		return 1;
	}
	r = loop_run(&s.loop);
	fd_close(&s.mounts);
	fd_close(&s.rootfs);
	runtime__run_delete(s.run_fd, s.config.id);
	if (s.removed)
		instance__trash_delete(s.config.root, s.config.id);
	else if (r >= 0 && s.config.auto_remove)
		remove_instance(&s);
	return r < 0;
}
