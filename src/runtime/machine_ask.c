/* SPDX-License-Identifier: Apache-2.0 */
/* machine_ask.c - requests to a running machine's keeper: wait, stop, kill, pause, resume */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "fmt/json.h"
#include "runtime/machine_internal.h"
#include "sys/file.h"
#include "sys/sock.h"

enum { ENDING_MAX_MS = 5000, COUNTERS_BYTES_MAX = 1 << 20 };

int machines__connect(struct machines *ms, const struct instance *in, struct err *e)
{
	int sock = instance__live(in) ? sock_connect_at(ms->run_fd, in->id, SOCK_SEQPACKET) : -ESRCH;

	if (sock == -ENOENT || sock == -ECONNREFUSED) /* it has just ended */
		return -ESRCH;
	return sock == -ESRCH || sock >= 0 ? sock : err_sys(e, -sock, "machine '%s': its keeper", in->name);
}

/* request() - find, connect, ask. Return: the connection; -ESRCH: it does not run, *ret_in says how it is. */
static int request(struct machines *ms, const char *id, enum msg type, const void *bytes, size_t len,
		   struct instance *ret_in, struct err *e)
{
	auto_close int sock = -1;
	int r = machines__read(ms, id, ret_in, e);

	if (r < 0)
		return r;
	sock = machines__connect(ms, ret_in, e);
	if (sock < 0)
		return TAKE_FD(sock);
	r = frame_send(sock, (uint8_t)type, bytes, len, -1, true);
	if (r == -EPIPE)
		return -ESRCH;
	return r < 0 ? err_sys(e, -r, "machine '%s': its keeper", ret_in->name) : TAKE_FD(sock);
}

int machines__done(int sock, struct err *e)
{
	struct msg_failed m;
	uint8_t type = 0;
	ssize_t n = frame_recv(sock, &type, &m, sizeof(m), NULL, true);

	if (n != sizeof(m) || type != PROTO_DONE)
		return err_set(e, EPIPE, "its keeper has gone");
	return m.code ? err_set(e, m.code, "%s", m.e.text) : 0;
}

/* await_exit() - Return: 0 with the code; -ESRCH: the keeper has gone without a word. */
static int await_exit(int sock, int *ret_code)
{
	union {
		struct msg_exit exit;
		struct msg_failed failed;
	} m;
	uint8_t type;

	for (;;) {
		ssize_t n = frame_recv(sock, &type, &m, sizeof(m), NULL, true);

		if (n < 0)
			return n == -EPIPE ? -ESRCH : (int)n;
		if (type != PROTO_EXIT || n != sizeof(m.exit))
			continue;
		*ret_code = m.exit.code;
		return 0;
	}
}

/* find_ended() - a keeper that no longer answers is about to write how it ended. */
static int find_ended(struct machines *ms, const char *id, int *ret_code, struct err *e)
{
	for (int waited_ms = 0;; waited_ms++) {
		auto_fini(instance) struct instance in = { 0 };
		int r = machines__read(ms, id, &in, e);

		if (r < 0)
			return r;
		if (!instance__live(&in) || waited_ms > ENDING_MAX_MS) {
			*ret_code = in.exit_code;
			return in.status == INSTANCE_DEAD ?
				       err_set(e, EPIPE, "machine '%s': %s", in.name, in.error) :
				       0;
		}
		usleep(1000);
	}
}

int machines_wait(struct machines *ms, const char *id, int *ret_code, struct err *e)
{
	auto_fini(instance) struct instance in = { 0 };
	auto_close int sock = request(ms, id, PROTO_WAIT, NULL, 0, &in, e);
	int r = sock < 0 ? sock : await_exit(sock, ret_code);

	return r == -ESRCH ? find_ended(ms, id, ret_code, e) : r;
}

static int kill_orphan(struct machines *ms, const struct instance *in, struct err *e)
{
	auto_close int dir = machines__dir(ms, in->id, e);
	auto_close int lock = dir < 0 ? dir : machines__lock(ms, in->id, dir, true, e);

	if (lock < 0)
		return lock;
	machines__clean(ms, in, dir);
	return 0;
}

int machines_stop(struct machines *ms, const char *id, int timeout_s, struct err *e)
{
	const struct msg_stop m = { .timeout_s = timeout_s };
	auto_fini(instance) struct instance in = { 0 };
	auto_close int sock = request(ms, id, PROTO_STOP, &m, sizeof(m), &in, e);
	int code, r = sock < 0 ? sock : await_exit(sock, &code);

	if (r == -ESRCH)
		r = in.status == INSTANCE_DEAD ? kill_orphan(ms, &in, e) :
		    instance__live(&in)        ? find_ended(ms, id, &code, e) :
						 0;
	if (r >= 0 && sock >= 0)
		machines__event(ms->events_fd, "stop", in.id, in.name);
	return r;
}

void machines__kill(struct machines *ms, const struct instance *in)
{
	auto_close int sock = sock_connect_at(ms->run_fd, in->id, SOCK_SEQPACKET);
	int code, r = sock < 0 ? sock : frame_send(sock, PROTO_KILL, NULL, 0, -1, true);

	if (r == 0)
		r = await_exit(sock, &code);
	if (r == -ESRCH && instance__live(in)) /* it has just ended by itself */
		find_ended(ms, in->id, &code, NULL);
}

bool machines__has_keeper(const struct machines *ms, const char *id)
{
	auto_close int sock = sock_connect_at(ms->run_fd, id, SOCK_SEQPACKET);

	return sock >= 0;
}

int machines_kill(struct machines *ms, const char *id, struct err *e)
{
	auto_fini(instance) struct instance in = { 0 };
	auto_close int sock = request(ms, id, PROTO_KILL, NULL, 0, &in, e);
	int code, r = sock < 0 ? sock : await_exit(sock, &code);

	if (r == -ESRCH && in.status == INSTANCE_DEAD)
		return kill_orphan(ms, &in, e);
	if (r == -ESRCH && instance__live(&in))
		return find_ended(ms, id, &code, NULL);
	if (r == -ESRCH)
		return err_set(e, EBUSY, "kill '%s': it does not run", in.name);
	return r;
}

static int change(struct machines *ms, const char *id, bool pause, struct err *e)
{
	const char *verb = pause ? "pause" : "resume";
	auto_fini(instance) struct instance in = { 0 };
	auto_close int sock = request(ms, id, pause ? PROTO_PAUSE : PROTO_RESUME, NULL, 0, &in, e);
	int r = sock;

	if (sock == -ESRCH)
		return err_set(e, EBUSY, "%s '%s': it does not run", verb, in.name);
	if (sock >= 0)
		r = machines__done(sock, e);
	return r < 0 ? err_wrap(e, r, "%s '%s'", verb, in.name ? in.name : id) : 0;
}

int machines_pause(struct machines *ms, const char *id, struct err *e)
{
	return change(ms, id, true, e);
}

int machines_resume(struct machines *ms, const char *id, struct err *e)
{
	return change(ms, id, false, e);
}

/* counters_read() - from a file that the machine's process has written: any bytes. */
static int counters_read(int fd, json_t **ret_counters, struct err *e)
{
	auto_fini(buf) struct buf b = { 0 };
	char part[4096];
	ssize_t n;

	while ((n = pread(fd, part, sizeof(part), (off_t)b.len)) > 0) {
		buf_put(&b, part, (size_t)n);
		if (b.len > COUNTERS_BYTES_MAX)
			return err_set(e, EBADMSG, "more counters than there are");
	}
	if (n < 0 || buf_finish(&b) < 0)
		return err_sys(e, n < 0 ? errno : ENOMEM, "its counters");
	return json_tree_parse(ret_counters, buf_str(&b), b.len, e);
}

int machines_counters(struct machines *ms, const char *id, json_t **ret_counters, struct err *e)
{
	auto_fini(instance) struct instance in = { 0 };
	auto_close int fd = file_memfd("hull-counters", MFD_CLOEXEC);
	auto_close int sock = -1;
	int r = machines__read(ms, id, &in, e);

	if (r == 0 && fd < 0)
		r = err_sys(e, -fd, "its counters");
	if (r < 0)
		return r;
	sock = machines__connect(ms, &in, e);
	if (sock == -ESRCH)
		return err_set(e, EBUSY, "'%s': it does not run", in.name);
	if (sock < 0)
		return sock;
	r = frame_send(sock, PROTO_FILE, NULL, 0, fd, true);
	if (r == 0)
		r = frame_send(sock, PROTO_COUNT, NULL, 0, -1, true);
	r = r < 0 ? err_sys(e, -r, "its keeper") : machines__done(sock, e);
	if (r == 0)
		r = counters_read(fd, ret_counters, e);
	return r < 0 ? err_wrap(e, r, "'%s'", in.name) : 0;
}
