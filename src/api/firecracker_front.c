/* SPDX-License-Identifier: Apache-2.0 */
#include "api/firecracker_front.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "fmt/http.h"
#include "sys/file.h"
#include "sys/ns.h"
#include "sys/sock.h"
#include "sys/tun.h"

/* --- what a request names ------------------------------------------------------------------------------------- */

/* The files of requests that come while a guest runs. */
static const struct {
	uint8_t method, file; /* enum fc_file */
	char path[20];        /* "x": the first part of the path; "/x/y": the whole of it */
	char field[16];       /* of the body: the path */
	enum { BY_DRIVE, BY_FIELD, MAKE, TAP } how;
	char readonly[16]; /* BY_FIELD */
} names[] = {
	{ HTTP_PATCH, FC_FILE_DISK, "drives", "path_on_host", BY_DRIVE, "" },
	{ HTTP_PUT, FC_FILE_DISK, "drives", "path_on_host", BY_FIELD, "is_read_only" },
	{ HTTP_PUT, FC_FILE_DISK, "pmem", "path_on_host", BY_FIELD, "read_only" },
	{ HTTP_PUT, FC_FILE_TAP, "network-interfaces", "host_dev_name", TAP, "" },
	{ HTTP_PUT, FC_FILE_STATE, "/snapshot/create", "snapshot_path", MAKE, "" },
	{ HTTP_PUT, FC_FILE_MEM, "/snapshot/create", "mem_file_path", MAKE, "" },
};

static bool path_is(const char *target, const char *want)
{
	size_t n = strlen(want);

	if (*want == '/')
		return str_eq(target, want);
	return strncmp(target + 1, want, n) == 0 && (target[n + 1] == '/' || !target[n + 1]);
}

static struct fc_msg_drive *find_drive(struct fc_front *f, const char *id)
{
	for (unsigned i = 0; id && i < f->n_drives; i++)
		if (str_eq(f->drive[i].id, id))
			return &f->drive[i];
	return NULL;
}

static int really_open(const char *path, enum fc_how how)
{
	static const int flags[] = { [FC_HOW_READ] = O_RDONLY | O_NONBLOCK,
				     [FC_HOW_WRITE] = O_RDWR | O_NONBLOCK,
				     [FC_HOW_MAKE] = FC_MAKE_FLAGS };

	if (how == FC_HOW_TAP)
		return tun_open(path, NULL);
	return file_open(AT_FDCWD, path, flags[how] | O_CLOEXEC | O_NOCTTY, FC_MAKE_MODE);
}

/* open_named() - the file @which of the request under way. Return: descriptor; -errno; -EPROTO it names none such. */
static int open_named(struct fc_front *f, uint32_t which, size_t row)
{
	auto_fini(arena) struct arena a = { 0 };
	struct json_doc doc = { .arena = &a };
	struct json_at body = json_parse(&doc, f->q->body, f->q->len);
	const char *path = json_read_str(&body, names[row].field);
	const struct fc_msg_drive *d;
	enum fc_how how = FC_HOW_MAKE;

	switch (names[row].how) {
	case TAP: how = FC_HOW_TAP; break;
	case MAKE: break;
	case BY_FIELD:
		how = json_read_bool(&body, names[row].readonly, false) ? FC_HOW_READ : FC_HOW_WRITE;
		break;
	case BY_DRIVE:
		d = find_drive(f, json_read_str(&body, "drive_id"));
		if (!d)
			return -EPROTO;
		how = d->readonly ? FC_HOW_READ : FC_HOW_WRITE;
		break;
	}
	if (json_finish(&doc) < 0 || !path)
		return -EPROTO;
	f->asked |= 1U << which;
	return f->open(path, how);
}

static void send_file(const struct fc_front *f, int rc, int fd)
{
	const struct {
		struct fc_msg m;
		int64_t rc;
	} msg = { .m = { .kind = FC_MSG_FILE, .len = sizeof(int64_t) }, .rc = rc };

	if (f->pair >= 0) /* a machine that is gone is noticed by what is read from it */
		sock_send_fd(f->pair, &msg, sizeof(msg), fd);
}

static int take_open(struct fc_front *f, const void *bytes, size_t len)
{
	auto_close int fd = -1;
	uint32_t which;
	size_t row = 0;
	int r;

	if (len != sizeof(which) || !f->q || !f->q->body || !f->runs)
		return -EPROTO;
	memcpy(&which, bytes, sizeof(which));
	while (row < ARRAY_SIZE(names) &&
	       !(names[row].method == f->q->head->method && names[row].file == which &&
		 path_is(f->q->head->target, names[row].path)))
		row++;
	if (row == ARRAY_SIZE(names) || (f->asked & 1U << which))
		return -EPROTO;
	r = open_named(f, which, row);
	if (r == -EPROTO)
		return r;
	fd = r < 0 ? -1 : r;
	send_file(f, r < 0 ? r : 0, fd);
	return 0;
}

/* --- messages ------------------------------------------------------------------------------------------------- */

static int take_runs(struct fc_front *f, const void *bytes, size_t len)
{
	if (f->runs || len % sizeof(f->drive[0]) || len > sizeof(f->drive))
		return -EPROTO;
	memcpy(f->drive, bytes, len);
	f->n_drives = (unsigned)(len / sizeof(f->drive[0]));
	for (unsigned i = 0; i < f->n_drives; i++)
		if (!f->drive[i].id[0] || !memchr(f->drive[i].id, '\0', sizeof(f->drive[i].id)) ||
		    f->drive[i].readonly > 1) {
			f->n_drives = 0;
			return -EPROTO;
		}
	f->runs = true;
	return 0;
}

/* keep_drive() - one was plugged in while a guest runs: the client said then what may be done to it. */
static void keep_drive(struct fc_front *f)
{
	auto_fini(arena) struct arena a = { 0 };
	struct json_doc doc = { .arena = &a };
	struct json_at body;
	struct fc_msg_drive d = { 0 }, *place;

	if (!f->runs || !f->q->body || f->q->head->method != HTTP_PUT ||
	    !path_is(f->q->head->target, "drives"))
		return;
	body = json_parse(&doc, f->q->body, f->q->len);
	if (!str_copy(d.id, sizeof(d.id),
		      json_has(&body, "drive_id") ? json_read_str(&body, "drive_id") : ""))
		return;
	d.readonly = json_read_bool(&body, "is_read_only", false);
	if (json_finish(&doc) < 0 || !d.id[0])
		return;
	place = find_drive(f, d.id);
	if (!place && f->n_drives < MACHINE_DRIVES_MAX)
		place = &f->drive[f->n_drives++];
	if (place)
		*place = d;
}

/* drop_drive() - one was unplugged: another may get its name. */
static void drop_drive(struct fc_front *f)
{
	const char *target = f->q->head->target;
	char id[MACHINE_NAME_MAX + 1];
	struct fc_msg_drive *d;

	if (f->q->head->method != HTTP_DELETE || !str_starts(target, "/drives/"))
		return;
	target += strlen("/drives/");
	str_format(id, sizeof(id), "%.*s", (int)strcspn(target, "/"), target);
	d = find_drive(f, id);
	if (d)
		*d = f->drive[--f->n_drives];
}

static int take_reply(struct fc_front *f, const void *bytes, size_t len, struct http_server_reply *ret)
{
	struct fc_msg_reply m;

	if (!f->q || len < sizeof(m))
		return -EPROTO;
	memcpy(&m, bytes, sizeof(m));
	len -= sizeof(m);
	if ((m.status != 200 && m.status != 204 && m.status != 400 && m.status != 413 && m.status != 500) ||
	    m.has_body > 1 || m.deprecated > 1 || (!m.has_body && len > 0))
		return -EPROTO;
	ret->status = (int)m.status;
	ret->has_body = m.has_body;
	ret->deprecated = m.deprecated;
	buf_put(&ret->body, (const char *)bytes + sizeof(m), len);
	if (m.status == 204) {
		keep_drive(f);
		drop_drive(f);
	}
	return 1;
}

uint64_t fc__front_limit(const struct fc_front *f, uint32_t kind)
{
	switch (kind) {
	case FC_MSG_RUNS: return sizeof(f->drive);
	case FC_MSG_OPEN: return sizeof(uint32_t);
	case FC_MSG_REPLY: return f->reply_max;
	default: return 0;
	}
}

int fc__front_take(struct fc_front *f, uint32_t kind, const void *bytes, size_t len,
		   struct http_server_reply *ret)
{
	switch (kind) {
	case FC_MSG_RUNS: return take_runs(f, bytes, len);
	case FC_MSG_OPEN: return take_open(f, bytes, len);
	case FC_MSG_REPLY: return take_reply(f, bytes, len, ret);
	default: return -EPROTO;
	}
}

/* take_one() - waits for a message. Return: as fc__front_take(); -errno the machine is gone. */
static int take_one(struct fc_front *f, struct http_server_reply *ret)
{
	auto_fini(buf) struct buf b = { 0 };
	struct fc_msg m;
	int r = fc__msg_head(f->pair, &m);

	if (r == 0 && m.len > fc__front_limit(f, m.kind))
		r = -EPROTO;
	if (r == 0)
		r = fc__msg_body(f->pair, m.len, &b);
	return r < 0 ? r : fc__front_take(f, m.kind, buf_str(&b), b.len, ret);
}

/* broken() - the machine is gone, or must go: it does not keep to the rules. Its end is told by its pidfd. */
static void broken(struct fc_front *f)
{
	f->broken = true;
	loop_remove(&f->loop, &f->pair_source);
	if (f->pidfd >= 0)
		pidfd_send(f->pidfd, SIGKILL);
}

static int send_request(const struct fc_front *f)
{
	const struct http_server_request *q = f->q;
	const struct fc_msg_request m = { .since = time_now_ns(CLOCK_MONOTONIC),
					  .method = q->head->method,
					  .uid = q->peer.uid,
					  .pid = q->peer.pid,
					  .target_len = (uint32_t)strlen(q->head->target) + 1,
					  .has_body = q->body != NULL };

	return fc__msg_send(f->pair, FC_MSG_REQUEST,
			    (const struct fc_part[]){ { &m, sizeof(m) },
						      { q->head->target, m.target_len },
						      { q->body, q->body ? q->len : 0 } },
			    3);
}

void fc__front_serve(void *arg, const struct http_server_request *q, struct http_server_reply *ret)
{
	struct fc_front *f = arg;
	int r = f->broken ? -EPIPE : 0;

	f->q = q;
	f->asked = 0;
	if (r == 0)
		r = send_request(f);
	while (r == 0)
		r = take_one(f, ret);
	f->q = NULL;
	if (r > 0)
		return;
	if (r != -EPIPE && r != -ECONNRESET)
		broken(f);
	ret->status = 500;
}

static void refused(void *arg, const char *why)
{
	const struct fc_front *f = arg;
	const struct fc_part part = { why, strlen(why) };

	if (!f->broken)
		fc__msg_send(f->pair, FC_MSG_REFUSED, &part, 1);
}

/* --- the process ---------------------------------------------------------------------------------------------- */

static void pair_ready(void *arg, uint32_t events)
{
	struct fc_front *f = arg;
	struct http_server_reply none = { 0 };
	int r = take_one(f, &none);

	(void)events;
	if (r < 0)
		broken(f); /* also a machine that has closed its end: nothing more can be had from it */
}

static void ended(void *arg, uint32_t events)
{
	struct fc_front *f = arg;

	(void)events;
	f->loop.stop = true;
}

/* status_of() - what the machine's process ended with, as this process's own status. */
static int status_of(const struct fc_front *f, struct err *e)
{
	siginfo_t info = { 0 };
	int status, r = pidfd_wait(f->pidfd, &info, WEXITED);

	if (r < 0) {
		err_sys(e, -r, "the machine's process");
		return FC_EXIT_GENERIC;
	}
	if (info.si_code == CLD_EXITED)
		return info.si_status;
	status = fc__signal_status(info.si_status);
	if (f->broken && info.si_status == SIGKILL)
		err_set(e, EPROTO, "the machine's process broke the rules of its protocol and was killed");
	else
		err_set(e, EIO, "the machine's process was ended by signal %d", info.si_status);
	return status ? status : FC_EXIT_GENERIC;
}

void fc__front_init(struct fc_front *f, const struct fc_options *o)
{
	*f = (struct fc_front){ .loop.epfd = -1, .pair = -1, .pidfd = -1, .open = really_open };
	f->pair_source = (struct loop_source){ .fd = -1, .ready = pair_ready, .arg = f };
	f->ended = (struct loop_source){ .fd = -1, .ready = ended, .arg = f };
	f->reply_max = FC_REPLY_MIN;
	if (o->payload_max < FC_PAYLOAD_MAX && o->mmds_max < FC_PAYLOAD_MAX)
		f->reply_max += 2 * (o->payload_max + o->mmds_max);
	else
		f->reply_max += 4ULL * FC_PAYLOAD_MAX;
}

static int open_all(struct fc_front *f, const struct fc_options *o, int *listener, pid_t pid, struct err *e)
{
	const struct http_server_config c = {
		.name = "Firecracker API",
		.body_max = o->payload_max < FC_PAYLOAD_MAX ? o->payload_max : FC_PAYLOAD_MAX,
		.connections = FC_CONNECTIONS_MAX,
		.methods = 1 << HTTP_GET | 1 << HTTP_PUT | 1 << HTTP_PATCH | 1 << HTTP_DELETE,
		.serve = fc__front_serve,
		.refused = refused,
		.arg = f,
	};
	int r;

	f->pidfd = pidfd_open(pid);
	r = f->pidfd < 0 ? f->pidfd : loop_init(&f->loop);
	if (r == 0)
		r = loop_add(&f->loop, &f->ended, f->pidfd, EPOLLIN);
	if (r == 0)
		r = loop_add(&f->loop, &f->pair_source, f->pair, EPOLLIN);
	return r < 0 ? err_sys(e, -r, "the API's process") :
		       http_server_open(&f->server, &f->loop, TAKE_FD(*listener), &c, e);
}

int fc__front_run(const struct fc_options *o, int listener, int pair, pid_t pid, struct err *e)
{
	struct fc_front f;
	auto_close int fd = listener;
	int r, status;

	fc__front_init(&f, o);
	f.pair = pair;
	r = open_all(&f, o, &fd, pid, e);
	if (r == 0)
		r = loop_run(&f.loop);
	if (r < 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		status = FC_EXIT_GENERIC;
	} else {
		status = status_of(&f, e);
	}
	http_server_close(f.server);
	file_unlink(AT_FDCWD, o->api_sock, 0);
	loop_fini(&f.loop);
	fd_close(&f.pidfd);
	fd_close(&f.pair);
	return status;
}
