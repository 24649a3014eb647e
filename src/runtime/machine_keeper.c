/* SPDX-License-Identifier: Apache-2.0 */
/*
 * machine_keeper.c - the small process that owns one running machine
 *
 * Theory of operation. machines_start() forks; the child makes the control group, forks the machine, writes state.json and
 * goes on here. One loop serves the console (log, attached clients, what they type), the requests on the socket
 * and the machine's answers. What a request needs of the machine is a task: one at a time, sent over the pair of sockets,
 * answered by PROTO_DONE; whoever comes meanwhile is told to try again.
 *
 *	pause, resume  a task each; state.json follows
 *	hold           a pause that lasts as long as its connection: a snapshot that is killed does not leave the machine paused
 *	save           the client's two files are handed on; the machine opens nothing
 *	stop           Ctrl-Alt-Del, and SIGKILL when the time is up or nobody listens to keys
 *	kill           SIGKILL
 *
 * A client that does not read its console loses output; a machine never waits for one. The log has it all. Typing waits:
 * while the guest has not read it no attached client is read.
 *
 * The end: the machine says how (MACHINES_ENDED) or is seen to have died (SIGCHLD). Its console is read to the end, the socket
 * and the group go, state.json says "exited", clients are told.
 *
 * Not here: the machine's files and memory; they were never open in this process, or are closed.
 */
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/guard.h"
#include "io/child.h"
#include "runtime/event.h"
#include "runtime/machine_internal.h"
#include "sys/call.h"
#include "sys/file.h"
#include "sys/title.h"
#include "vm/machine.h"

enum { STATUS_GUEST_FAILED = 1, CHUNK = 16384 };

static const nsec_t tidy_ns = 100 * NSEC_PER_MSEC;

void keeper__save_state(struct keeper *k)
{
	state_write(k->from->dirfd, &k->state, NULL);
}

static void event(struct keeper *k, const char *action)
{
	machines__event(k->from->events_fd, action, k->from->id, k->from->name);
}

/* --- the console ------------------------------------------------------------------------------------------------ */

/* read_output() - Return: false when there is no more. */
static bool read_output(struct keeper *k)
{
	char bytes[CHUNK];
	ssize_t n = read(k->out.fd, bytes, sizeof(bytes));

	if (n <= 0)
		return false;
	machines__log_put(&k->log, bytes, (size_t)n);
	for (struct keeper_client *c = k->clients; c; c = c->next)
		if (c->output)
			keeper__send(c, PROTO_STDOUT, bytes, (size_t)n);
	return true;
}

static void source_close(struct keeper *k, struct loop_source *s)
{
	int fd = s->fd;

	loop_remove(&k->loop, s);
	if (fd >= 0)
		close(fd);
}

static void on_output(void *arg, uint32_t events)
{
	struct keeper *k = arg;

	if (!read_output(k) && (events & EPOLLHUP))
		source_close(k, &k->out);
}

/* type_pending() - on into the pipe, as far as it goes. */
static void type_pending(struct keeper *k)
{
	while (k->pending_at < k->pending_len) {
		ssize_t n = write(k->from->console_in, k->pending + k->pending_at,
				  k->pending_len - k->pending_at);

		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) /* nobody will ever read it */
			n = (ssize_t)(k->pending_len - k->pending_at);
		k->pending_at += (size_t)n;
	}
	if (k->pending_at < k->pending_len) {
		if (k->in.fd < 0)
			loop_add(&k->loop, &k->in, k->from->console_in, EPOLLOUT);
	} else {
		loop_remove(&k->loop, &k->in);
		free(k->pending);
		k->pending = NULL;
		k->pending_len = k->pending_at = 0;
	}
	keeper__clients_want(k);
}

static void on_input_room(void *arg, uint32_t events)
{
	(void)events;
	type_pending(arg);
}

void keeper__type(struct keeper *k, const char *bytes, size_t len)
{
	char *more = realloc(k->pending, k->pending_len + len);

	if (!more)
		return;
	memcpy(more + k->pending_len, bytes, len);
	k->pending = more;
	k->pending_len += len;
	type_pending(k);
}

/* --- the end ---------------------------------------------------------------------------------------------------- */

static int exit_code(const struct keeper *k, int status)
{
	if (k->killed)
		return MACHINES_STATUS_KILLED;
	if (!k->told)
		return child_exit_code(status) ? child_exit_code(status) : MACHINES_STATUS_OURS;
	switch ((enum machine_end)k->ended.how) {
	case MACHINE_END_EXIT: return k->ended.status;
	case MACHINE_END_PANIC:
	case MACHINE_END_SHUTDOWN: return STATUS_GUEST_FAILED;
	case MACHINE_END_ERROR: return MACHINES_STATUS_OURS;
	case MACHINE_END_KILLED: return MACHINES_STATUS_KILLED;
	default: return 0;
	}
}

/* why() - what state.json says of an end that nobody wished for; NULL: there is nothing to say. */
static char *why(const struct keeper *k, int status)
{
	if (k->killed)
		return NULL;
	if (!k->told)
		return WIFSIGNALED(status) ? str_printf("the machine was killed by signal %d (%s)",
							WTERMSIG(status), strsignal(WTERMSIG(status))) :
					     strdup("the machine ended without a word");
	switch ((enum machine_end)k->ended.how) {
	case MACHINE_END_PANIC:
	case MACHINE_END_SHUTDOWN:
	case MACHINE_END_ERROR: return strdup(k->ended.why);
	default: return NULL;
	}
}

static void finish(struct keeper *k, int status)
{
	char code[12];
	const char *pairs[] = { "name", k->from->name, "exitCode", code };
	struct msg_exit m;

	loop_timer_off(&k->loop, &k->stop_timer);
	while (k->out.fd >= 0 && read_output(k))
		;
	source_close(k, &k->listener);
	file_unlink(k->from->run_fd, k->from->id, 0);
	machines__group_remove(k->from->group, k->from->dirfd);
	k->state.exit_code = exit_code(k, status);
	free(k->state.error);
	k->state.error = why(k, status);
	k->state.status = INSTANCE_EXITED;
	k->state.finished_ns = time_now_ns(CLOCK_REALTIME);
	k->state.pid = 0;
	keeper__save_state(k);
	str_format(code, sizeof(code), "%d", k->state.exit_code);
	event__append(k->from->events_fd, "machine", "die", k->from->id, pairs, 2);
	m = (struct msg_exit){ .code = k->state.exit_code };
	for (struct keeper_client *c = k->clients; c; c = c->next)
		if (c->output || c->waits)
			keeper__send(c, PROTO_EXIT, &m, sizeof(m));
	k->loop.stop = true;
}

static void reap(struct keeper *k)
{
	int status;

	while (waitpid(k->from->state.pid, &status, WNOHANG) > 0) {
		/* its last words may still be in the socket */
		while (k->machine.fd >= 0 && !k->told) {
			uint8_t type;
			union {
				struct machines_ended ended;
				struct msg_failed failed;
			} m = { 0 };

			if (frame_recv(k->machine.fd, &type, &m, sizeof(m), NULL, false) < 0)
				break;
			if (type == MACHINES_ENDED) {
				k->ended = m.ended;
				k->told = true;
			}
		}
		finish(k, status);
	}
}

static void on_sigchld(void *arg, uint32_t events)
{
	struct signalfd_siginfo info;
	struct keeper *k = arg;

	(void)events;
	if (read(k->sigchld.fd, &info, sizeof(info)) > 0)
		reap(k);
}

/* --- tasks ------------------------------------------------------------------------------------------------------ */

int keeper__task(struct keeper *k, enum keeper_task task, struct keeper_client *asker, const void *bytes,
		 size_t len)
{
	static const uint8_t type[] = { [TASK_PAUSE] = PROTO_PAUSE,
					[TASK_RESUME] = PROTO_RESUME,
					[TASK_SAVE] = MACHINES_SAVE,
					[TASK_COUNT] = MACHINES_COUNT };
	int r;

	if (k->task != TASK_NONE)
		return -EBUSY;
	r = frame_send(k->from->machine, type[task], bytes, len, -1, false);
	if (r < 0)
		return r;
	k->task = task;
	k->asker = asker;
	return 0;
}

void keeper__release(struct keeper *k)
{
	k->resume_next = keeper__task(k, TASK_RESUME, NULL, NULL, 0) == -EBUSY;
}

static void task_done(struct keeper *k, const struct msg_failed *done)
{
	enum keeper_task task = k->task;
	struct keeper_client *asker = k->asker;

	k->task = TASK_NONE;
	k->asker = NULL;
	if (done->code == 0 && task == TASK_SAVE)
		memcpy(k->from->snapshot_id, k->saving_id, sizeof(k->saving_id));
	if (done->code == 0 && (task == TASK_PAUSE || task == TASK_RESUME)) {
		k->state.status = task == TASK_PAUSE ? INSTANCE_PAUSED : INSTANCE_RUNNING;
		keeper__save_state(k);
		event(k, task == TASK_PAUSE ? "pause" : "unpause");
	}
	if (asker)
		keeper__send(asker, PROTO_DONE, done, sizeof(*done));
	if (k->resume_next)
		keeper__release(k);
	for (struct keeper_client *c = k->clients; c; c = c->next)
		if (c->will_hold)
			keeper__hold(c);
}

static void on_machine(void *arg, uint32_t events)
{
	struct keeper *k = arg;
	union {
		struct machines_ended ended;
		struct msg_failed failed;
	} m = { 0 };
	uint8_t type;
	ssize_t n = frame_recv(k->machine.fd, &type, &m, sizeof(m), NULL, false);

	(void)events;
	if (n < 0) {
		if (n != -EAGAIN) { /* it is dead, or as good as that: SIGCHLD follows */
			loop_remove(&k->loop, &k->machine);
			kill(k->from->state.pid, SIGKILL);
		}
		return;
	}
	if (type == MACHINES_ENDED) {
		k->ended = m.ended;
		k->told = true;
	} else if (type == MACHINES_POWERED && m.failed.code != 0) {
		keeper__kill(k); /* it has no keyboard to ask it by */
	} else if (type == PROTO_DONE && k->task != TASK_NONE) {
		task_done(k, &m.failed);
	}
}

void keeper__kill(struct keeper *k)
{
	k->killed = true;
	kill(k->from->state.pid, SIGKILL);
}

static void on_stop_timeout(void *arg)
{
	keeper__kill(arg);
}

void keeper__stop(struct keeper *k, int timeout_s)
{
	if (k->state.status == INSTANCE_PAUSED)
		keeper__release(k);
	if (timeout_s == 0 || frame_send(k->from->machine, MACHINES_POWER, NULL, 0, -1, false) < 0) {
		keeper__kill(k);
		return;
	}
	if (timeout_s > 0)
		loop_timer_set(&k->loop, &k->stop_timer, timeout_s * NSEC_PER_SEC);
}

/* --- beginning -------------------------------------------------------------------------------------------------- */

/* on_tidy() - the command's memory is given back. */
static void on_tidy(void *arg)
{
	/* Of the stack what lies well below us; the kernel keeps twice as much below a stack free of anything else. */
	enum { STACK_KEPT = 8 << 10, STACK_FREED = 512 << 10, PAGE = 4096 };
	char here;
	uintptr_t end = ((uintptr_t)&here - STACK_KEPT) & ~(uintptr_t)(PAGE - 1);

	(void)arg;
	malloc_trim(0);
	madvise((void *)(end - STACK_FREED), STACK_FREED, MADV_DONTNEED);
}

static int watch_children(struct keeper *k)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_SETMASK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : loop_add(&k->loop, &k->sigchld, fd, EPOLLIN);
}

/* take_starter() - its request to be attached is the first message, and there already: no output is read before it. */
static void take_starter(struct keeper *k)
{
	if (keeper__client_add(k, k->from->starter) < 0)
		return;
	if (k->clients)
		k->clients->source.ready(k->clients, EPOLLIN);
	if (k->clients)
		keeper__send(k->clients, PROTO_STARTED, NULL, 0);
}

static int begin(struct keeper *k, struct keeper_start *from)
{
	int r;

	k->from = from;
	k->state = from->state;
	k->log = (struct machines_log){ .dirfd = from->dirfd, .fd = -1 };
	k->listener = (struct loop_source){ .fd = -1, .ready = keeper__client_accept, .arg = k };
	k->machine = (struct loop_source){ .fd = -1, .ready = on_machine, .arg = k };
	k->sigchld = (struct loop_source){ .fd = -1, .ready = on_sigchld, .arg = k };
	k->out = (struct loop_source){ .fd = -1, .ready = on_output, .arg = k };
	k->in = (struct loop_source){ .fd = -1, .ready = on_input_room, .arg = k };
	k->stop_timer = (struct loop_timer){ .fire = on_stop_timeout, .arg = k };
	k->tidy_timer = (struct loop_timer){ .fire = on_tidy, .arg = k };
	k->loop.epfd = -1;
	r = loop_init(&k->loop);
	if (r >= 0)
		r = loop_add(&k->loop, &k->listener, from->listener, EPOLLIN);
	if (r >= 0)
		r = loop_add(&k->loop, &k->machine, from->machine, EPOLLIN);
	if (r >= 0)
		r = watch_children(k);
	if (r < 0)
		return r;
	take_starter(k);
	r = loop_add(&k->loop, &k->out, from->console_out, EPOLLIN);
	if (r < 0)
		return r;
	loop_timer_set(&k->loop, &k->tidy_timer, tidy_ns);
	reap(k);
	return 0;
}

int machines__keeper(struct keeper_start *from)
{
	static struct keeper k;
	int r = begin(&k, from);

	if (r < 0) { /* it runs and nobody can look after it: the end of our sockets is its end */
		kill(from->state.pid, SIGKILL);
		machines__group_clean(from->dirfd);
		return 1;
	}
	r = k.loop.stop ? 0 : loop_run(&k.loop);
	while (k.clients)
		keeper__client_close(k.clients);
	return r < 0;
}
