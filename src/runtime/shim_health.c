/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shim_health.c - health checks: a command in the workload now and then; its exit code says how it is
 *
 * A child of the shim does all of one check: it starts the command, keeps the first STATE_OUTPUT_MAX bytes of
 * its output, kills it when it takes too long, and sends one message. Until the start period is over failures
 * do not count, and checks are more frequent.
 */
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "fmt/oci.h"
#include "io/child.h"
#include "runtime/runtime_internal.h"
#include "runtime/shim.h"
#include "sys/file.h"
#include "sys/ns.h"

enum { CODE_TIMEOUT = -1, READ_CHUNK = 4096 };

struct result {
	int32_t code;
	char output[STATE_OUTPUT_MAX + 1];
};

/* args_of() - the command: as it is, or through the shell. */
static void args_of(const struct shim_config *c, char **args)
{
	const struct strv *test = &c->health.test;
	size_t n = 0;

	if (str_eq(test->item[0], "CMD-SHELL")) {
		args[n++] = "/bin/sh";
		args[n++] = "-c";
	}
	for (size_t i = 1; i < test->len; i++)
		args[n++] = test->item[i];
	args[n] = NULL;
}

static int exec_check(struct shim *s, struct iso *i, int out, int *ret_pidfd, struct err *e)
{
	auto_fini(buf) struct buf text = { 0 };
	auto_fini(arena) struct arena a = { 0 };
	struct oci_spec spec = { 0 };
	struct iso_exec x = { .process = &spec.process, .stdio = { -1, out, out }, .console_fd = -1 };
	auto_free char **args = calloc(s->config.health.test.len + 3, sizeof(char *));
	int r = args ? file_slurp_at(s->own_fd, INSTANCE_SPEC, &text, INSTANCE_TEXT_MAX) : -ENOMEM;

	if (r < 0)
		return err_sys(e, -r, INSTANCE_SPEC);
	r = oci_spec_parse(&spec, buf_str(&text), text.len, &a, e);
	if (r < 0)
		return r;
	args_of(&s->config, args);
	spec.process.args.v = args;
	for (spec.process.args.n = 0; args[spec.process.args.n]; spec.process.args.n++)
		;
	spec.process.terminal = false;
	return iso_exec(i, &x, ret_pidfd, e);
}

/* watch() - until the command ends or its time is up. */
static void watch(struct shim *s, pid_t pid, int pidfd, int out, struct result *res)
{
	nsec_t end = time_now_ns(CLOCK_MONOTONIC) + s->config.health.timeout;
	struct pollfd p[2] = { { .fd = pidfd, .events = POLLIN }, { .fd = out, .events = POLLIN } };
	size_t len = 0;

	for (;;) {
		nsec_t left = end - time_now_ns(CLOCK_MONOTONIC);
		bool ended = left <= 0 || poll(p, 2, (int)(left / NSEC_PER_MSEC) + 1) < 0 || p[0].revents;
		char chunk[READ_CHUNK];
		ssize_t n;

		while (p[1].fd >= 0 && (n = read(out, chunk, sizeof(chunk))) > 0) {
			size_t keep = (size_t)n < STATE_OUTPUT_MAX - len ? (size_t)n : STATE_OUTPUT_MAX - len;

			memcpy(res->output + len, chunk, keep);
			len += keep;
		}
		if (p[1].revents & POLLHUP)
			p[1].fd = -1;
		if (!ended)
			continue;
		if (p[0].revents) {
			res->code = child_wait(pid);
			return;
		}
		pidfd_send(pidfd, SIGKILL);
		child_wait(pid);
		res->code = CODE_TIMEOUT;
		str_format(res->output, sizeof(res->output), "Health check exceeded timeout (%llds)",
			   (long long)(s->config.health.timeout / NSEC_PER_SEC));
		return;
	}
}

static void check(struct shim *s, struct result *res)
{
	__attribute__((cleanup(iso_freep))) struct iso *i = NULL;
	const struct iso_ops *ops = iso_find(s->config.level, NULL);
	auto_close int pidfd = -1;
	struct err e = { 0 };
	int out[2], pid;

	res->code = CODE_TIMEOUT;
	if (!ops || file_pipe(out) < 0)
		return;
	fcntl(out[0], F_SETFL, O_NONBLOCK);
	pid = iso_open(ops, &i, s->config.levels, s->config.id, &e);
	if (pid >= 0)
		pid = exec_check(s, i, out[1], &pidfd, &e);
	close(out[1]);
	if (pid > 0 && pidfd < 0)
		pidfd = pidfd_open(pid);
	if (pid > 0)
		watch(s, pid, pidfd, out[0], res);
	else
		str_copy(res->output, sizeof(res->output), e.text);
	close(out[0]);
}

static void plan(struct shim *s)
{
	bool starting = s->state.health == HEALTH_STARTING && time_now_ns(CLOCK_MONOTONIC) < s->healthy_from;

	loop_timer_set(&s->loop, &s->health_timer,
		       starting && s->config.health.start_interval < s->config.health.interval ?
			       s->config.health.start_interval :
			       s->config.health.interval);
}

static void judge(struct shim *s, int code)
{
	enum state_health_status before = s->state.health;

	if (code == 0) {
		s->state.failing_streak = 0;
		s->state.health = HEALTH_HEALTHY;
	} else if (before != HEALTH_STARTING || time_now_ns(CLOCK_MONOTONIC) >= s->healthy_from) {
		s->state.failing_streak++;
		if (s->state.failing_streak >= s->config.health.retries)
			s->state.health = HEALTH_UNHEALTHY;
	}
	if (s->state.health != before)
		shim__event(s,
			    s->state.health == HEALTH_HEALTHY ? "health_status: healthy" :
								"health_status: unhealthy",
			    NULL, NULL);
}

static void on_result(void *arg, uint32_t events)
{
	static struct result res;
	struct shim *s = arg;
	uint8_t type;
	ssize_t n = frame_recv(s->check.fd, &type, &res, sizeof(res), NULL, false);

	(void)events;
	shim__child_done(s, &s->check);
	if (s->exited)
		return;
	if (n != sizeof(res))
		res = (struct result){ .code = CODE_TIMEOUT };
	res.output[STATE_OUTPUT_MAX] = '\0';
	state_add_check(&s->state, s->check_started, time_now_ns(CLOCK_REALTIME), res.code,
			strdup(res.output));
	judge(s, res.code);
	shim__save(s);
	plan(s);
}

static void on_time(void *arg)
{
	struct shim *s = arg;
	struct result res = { 0 };
	int sock;
	pid_t pid;

	if (s->state.status == INSTANCE_PAUSED) {
		plan(s);
		return;
	}
	s->check_started = time_now_ns(CLOCK_REALTIME);
	pid = shim__fork(s, &s->check, &sock);
	if (pid == 0) {
		check(s, &res);
		frame_send(sock, PROTO_DONE, &res, sizeof(res), -1, true);
		_exit(0);
	}
	if (pid < 0)
		plan(s);
}

void shim__health_start(struct shim *s)
{
	s->check = (struct loop_source){ .fd = -1, .ready = on_result, .arg = s };
	s->health_timer.fire = on_time;
	s->health_timer.arg = s;
	if (s->config.health.test.len < 2)
		return;
	s->state.health = HEALTH_STARTING;
	s->state.failing_streak = 0;
	s->healthy_from = time_now_ns(CLOCK_MONOTONIC) + s->config.health.start_period;
	shim__save(s);
	plan(s);
}

void shim__health_stop(struct shim *s)
{
	loop_timer_off(&s->loop, &s->health_timer);
	shim__child_done(s, &s->check);
}
