/* SPDX-License-Identifier: Apache-2.0 */
/* stop.c - requests to a running instance: stop, kill, wait, pause, resume */
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "base/err.h"
#include "base/guard.h"
#include "fmt/oci.h"
#include "io/frame.h"
#include "runtime/launch.h"
#include "runtime/proto.h"
#include "runtime/runtime_internal.h"
#include "runtime/state.h"

enum { ENDING_MAX_MS = 5000 };

enum { SHIM_GONE_MS = 3000, SHIM_GONE_STEP_MS = 20 };

/* request() - find, connect, ask. Return: the connection; -ENOENT when it does not run: then *ret_in says how
 * it is. */
static int request(struct runtime *rt, const char *id, enum msg type, const void *bytes, size_t len,
		   struct instance *ret_in, struct err *e)
{
	auto_close int sock = -1;
	int r = instance_find(rt, id, ret_in, e);

	if (r < 0)
		return r;
	if (!instance__live(ret_in))
		return -ESRCH;
	sock = runtime__shim(rt, ret_in->id);
	if (sock == -ENOENT || sock == -ECONNREFUSED) /* it has just ended */
		return -ESRCH;
	r = sock < 0 ? sock : frame_send(sock, (uint8_t)type, bytes, len, -1, true);
	if (r == -EPIPE)
		return -ESRCH;
	return r < 0 ? err_sys(e, -r, "container '%s': its shim", ret_in->name) : TAKE_FD(sock);
}

/* await_exit() - Return: 0 with the code; -ESRCH: the shim has gone without a word. */
static int await_exit(int sock, int *ret_code)
{
	static char bytes[FRAME_MAX];
	uint8_t type;

	for (;;) {
		ssize_t n = frame_recv(sock, &type, bytes, sizeof(bytes), NULL, true);
		struct msg_exit m;

		if (n < 0)
			return n == -EPIPE ? -ESRCH : (int)n;
		if (type != PROTO_EXIT || n != sizeof(m))
			continue;
		memcpy(&m, bytes, sizeof(m));
		*ret_code = m.code;
		return 0;
	}
}

static int await_done(int sock, struct err *e)
{
	struct msg_failed m;
	uint8_t type = 0;
	ssize_t n = frame_recv(sock, &type, &m, sizeof(m), NULL, true);

	if (n != sizeof(m) || type != PROTO_DONE)
		return err_set(e, EPIPE, "its shim has gone");
	return m.code ? err_set(e, m.code, "%s", m.e.text) : 0;
}

/* find_ended() - a shim that no longer answers is about to write how it ended. */
static int find_ended(struct runtime *rt, const char *id, struct instance *ret_in, struct err *e)
{
	for (int waited_ms = 0;; waited_ms++) {
		int r = instance_find(rt, id, ret_in, e);

		if (r < 0 || !instance__live(ret_in) || waited_ms > ENDING_MAX_MS)
			return r;
		instance_fini(ret_in);
		usleep(1000);
	}
}

int instance_wait(struct runtime *rt, const char *id, int *ret_code, struct err *e)
{
	auto_fini(instance) struct instance in = { 0 }, after = { 0 };
	auto_close int sock = request(rt, id, PROTO_WAIT, NULL, 0, &in, e);
	int r = sock < 0 ? sock : await_exit(sock, ret_code);

	if (r != -ESRCH)
		return r;
	r = find_ended(rt, in.id, &after, e);
	if (r == -ENOENT) /* ended and removed meanwhile (--rm) */
		return err_set(e, ENOENT, "container '%s' has been removed before its exit code was read",
			       in.name);
	*ret_code = after.exit_code;
	return r;
}

/* kill_orphan() - its shim is gone, it may still run. What the shim would have written is written here. */
static int kill_orphan(struct runtime *rt, struct instance *in, struct err *e)
{
	struct state state = { .status = INSTANCE_EXITED,
			       .exit_code = 128 + SIGKILL,
			       .started_ns = in->started_ns,
			       .finished_ns = time_now_ns(CLOCK_REALTIME),
			       .restart_count = in->restart_count };
	auto_close int dir = runtime__dir(rt, in->id, NULL); /* may be gone */
	auto_close int lock = dir < 0 ? -1 : runtime__lock_of(rt, in->id, dir, e);
	int r = dir >= 0 && lock < 0 ? lock : instance__reread(in, dir, e);

	if (r < 0 || in->status != INSTANCE_DEAD) /* somebody else has seen to it */
		return r;
	r = launch_remove(instance__str(in->config, "HostConfig", "Isolation"), rt->levels, in->id, NULL, e);
	return r < 0 || dir < 0 ? r : state_write(dir, &state, e);
}

/* has_ended() - its shim's socket goes a moment before its state says so; one that stays gone was taken away. */
static int has_ended(struct runtime *rt, const char *id, pid_t shim, struct err *e)
{
	for (int waited = 0; waited < SHIM_GONE_MS; waited += SHIM_GONE_STEP_MS) {
		auto_fini(instance) struct instance in = { 0 };
		int r = instance_find(rt, id, &in, e);

		if (r < 0)
			return r == -ENOENT ? 0 : r;
		if (!instance__live(&in) || in.shim_pid != shim)
			return 0;
		poll(NULL, 0, SHIM_GONE_STEP_MS);
	}
	return err_set(e, EPIPE,
		       "container '%.12s': the socket of its shim (%s/" RUNTIME_SHIM_DIR
		       "/%.12s...) is gone; "
		       "'hull rm -f' removes it",
		       id, rt->run_root, id);
}

int instance_stop(struct runtime *rt, const char *id, int timeout_s, const char *sig, struct err *e)
{
	struct msg_stop m = { .signal = sig ? oci_signal_from_name(sig) : 0, .timeout_s = timeout_s };
	auto_fini(instance) struct instance in = { 0 };
	auto_close int sock = -1;
	int code, r;

	if (m.signal < 0)
		return err_set(e, EINVAL, "no signal '%s'", sig);
	sock = request(rt, id, PROTO_STOP, &m, sizeof(m), &in, e);
	r = sock < 0 ? sock : await_exit(sock, &code);
	if (r == -ESRCH)
		r = in.status == INSTANCE_DEAD ? kill_orphan(rt, &in, e) :
		    instance__live(&in)        ? has_ended(rt, in.id, in.shim_pid, e) :
						 0;
	if (r >= 0 && sock >= 0)
		event_emit(rt, "container", "stop", in.id, json_pack("{s:s}", "name", in.name));
	return r;
}

int instance_kill(struct runtime *rt, const char *id, int sig, struct err *e)
{
	struct msg_stop m = { .signal = sig, .timeout_s = -1 };
	auto_fini(instance) struct instance in = { 0 };
	auto_close int sock = request(rt, id, PROTO_KILL, &m, sizeof(m), &in, e);
	int r;

	if (sock == -ESRCH && in.status == INSTANCE_DEAD && sig == SIGKILL)
		return kill_orphan(rt, &in, e);
	if (sock == -ESRCH)
		return err_set(e, EBUSY, "kill '%s': it is not running", in.name);
	r = sock < 0 ? sock : await_done(sock, e);
	if (r >= 0)
		event_emit(rt, "container", "kill", in.id,
			   json_pack("{s:s,s:o}", "name", in.name, "signal", json_sprintf("%d", sig)));
	return r < 0 ? err_wrap(e, r, "kill '%s'", in.name ? in.name : id) : r;
}

static int change(struct runtime *rt, const char *id, bool pause, struct err *e)
{
	auto_fini(instance) struct instance in = { 0 };
	const char *verb = pause ? "pause" : "unpause";
	auto_close int sock = request(rt, id, pause ? PROTO_PAUSE : PROTO_RESUME, NULL, 0, &in, e);
	int r = sock;

	if (sock == -ESRCH)
		return err_set(e, EBUSY, "%s '%s': it is not running", verb, in.name);
	if (sock >= 0 && (in.status == INSTANCE_PAUSED) == pause)
		return err_set(e, EBUSY, "%s '%s': it is %s", verb, in.name,
			       pause ? "paused already" : "not paused");
	if (sock >= 0)
		r = await_done(sock, e);
	return r < 0 ? err_wrap(e, r, "%s '%s'", verb, in.name ? in.name : id) : 0;
}

int instance_pause(struct runtime *rt, const char *id, struct err *e)
{
	return change(rt, id, true, e);
}

int instance_resume(struct runtime *rt, const char *id, struct err *e)
{
	return change(rt, id, false, e);
}
