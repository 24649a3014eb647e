/* SPDX-License-Identifier: Apache-2.0 */
/* stop.c - requests to a running instance: stop, kill, wait, pause, resume */
#include <signal.h>

#include "base/err.h"
#include "base/guard.h"
#include "fmt/oci.h"
#include "io/frame.h"
#include "runtime/launch.h"
#include "runtime/proto.h"
#include "runtime/runtime_internal.h"
#include "runtime/state.h"

/* request() - find, connect, ask. Return: the connection; -ENOENT when it does not run: then *ret_in says how it is. */
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
	if (sock == -ENOENT || sock == -ECONNREFUSED)	/* it has just ended */
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

int instance_wait(struct runtime *rt, const char *id, int *ret_code, struct err *e)
{
	auto_fini(instance) struct instance in = {0}, after = {0};
	auto_close int sock = request(rt, id, PROTO_WAIT, NULL, 0, &in, e);
	int r = sock < 0 ? sock : await_exit(sock, ret_code);

	if (r != -ESRCH)
		return r;
	r = instance_find(rt, in.id, &after, e);
	if (r == -ENOENT)	/* ended and removed meanwhile (--rm) */
		return err_set(e, ENOENT, "container '%s' has been removed before its exit code was read", in.name);
	*ret_code = after.exit_code;
	return r;
}

/* kill_orphan() - its shim is gone, it may still run. What the shim would have written is written here. */
static int kill_orphan(struct runtime *rt, struct instance *in, struct err *e)
{
	struct state state = { .status = INSTANCE_EXITED, .exit_code = 128 + SIGKILL, .started_ns = in->started_ns,
			       .finished_ns = time_now_ns(CLOCK_REALTIME), .restart_count = in->restart_count };
	auto_close int dir = runtime__dir(rt, in->id, e);
	auto_close int lock = dir < 0 ? dir : runtime__lock(dir, true, e);
	int r = lock < 0 ? lock : instance__reread(in, dir, e);

	if (r < 0 || in->status != INSTANCE_DEAD)	/* somebody else has seen to it */
		return r;
	r = launch_remove(instance__str(in->config, "HostConfig", "Isolation"), rt->levels, in->id, NULL, e);
	return r < 0 ? r : state_write(dir, &state, e);
}

int instance_stop(struct runtime *rt, const char *id, int timeout_s, const char *sig, struct err *e)
{
	struct msg_stop m = { .signal = sig ? oci_signal_from_name(sig) : 0, .timeout_s = timeout_s };
	auto_fini(instance) struct instance in = {0};
	auto_close int sock = -1;
	int code, r;

	if (m.signal < 0)
		return err_set(e, EINVAL, "no signal '%s'", sig);
	sock = request(rt, id, PROTO_STOP, &m, sizeof(m), &in, e);
	r = sock < 0 ? sock : await_exit(sock, &code);
	if (r == -ESRCH)
		r = in.status == INSTANCE_DEAD ? kill_orphan(rt, &in, e) : 0;
	if (r >= 0 && sock >= 0)
		event_emit(rt, "container", "stop", in.id, json_pack("{s:s}", "name", in.name));
	return r;
}

int instance_kill(struct runtime *rt, const char *id, int sig, struct err *e)
{
	struct msg_stop m = { .signal = sig, .timeout_s = -1 };
	auto_fini(instance) struct instance in = {0};
	auto_close int sock = request(rt, id, PROTO_KILL, &m, sizeof(m), &in, e);
	int r;

	if (sock == -ESRCH && in.status == INSTANCE_DEAD && sig == SIGKILL)
		return kill_orphan(rt, &in, e);
	if (sock == -ESRCH)
		return err_set(e, EBUSY, "kill '%s': it is not running", in.name);
	r = sock < 0 ? sock : await_done(sock, e);
	if (r >= 0)
		event_emit(rt, "container", "kill", in.id, json_pack("{s:s,s:o}", "name", in.name, "signal",
								     json_sprintf("%d", sig)));
	return r < 0 ? err_wrap(e, r, "kill '%s'", in.name ? in.name : id) : r;
}

static int change(struct runtime *rt, const char *id, bool pause, struct err *e)
{
	auto_fini(instance) struct instance in = {0};
	const char *verb = pause ? "pause" : "unpause";
	auto_close int sock = request(rt, id, pause ? PROTO_PAUSE : PROTO_RESUME, NULL, 0, &in, e);
	int r = sock;

	if (sock == -ESRCH)
		return err_set(e, EBUSY, "%s '%s': it is not running", verb, in.name);
	if (sock >= 0 && (in.status == INSTANCE_PAUSED) == pause)
		return err_set(e, EBUSY, "%s '%s': it is %s", verb, in.name, pause ? "paused already" : "not paused");
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
