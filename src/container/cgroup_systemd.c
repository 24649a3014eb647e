/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup_systemd.c - the group of a container as a transient scope of systemd
 *
 * Theory of operation: systemd makes a scope only around a process that runs, and forgets it when the last
 * one has gone. So a child of ours, the keeper, goes in first and sleeps; the container is born beside it,
 * and the keeper ends with cgroup_fini(). The call is one D-Bus message on systemd's own socket, or on the
 * bus. Whether the job is done is seen by the keeper having arrived, which no lost signal can hide; its path
 * is then the scope's, also below a user's manager. Limits go along as properties, so that systemd, when it
 * reloads, writes the same values as we do.
 *
 * Non-goals: D-Bus beyond two method calls; slices as containers; following systemd's later opinion of a
 * scope.
 */
#include "container/cgroup_internal.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/buf.h"
#include "base/guard.h"
#include "base/str.h"
#include "sys/call.h"
#include "sys/file.h"
#include "sys/ns.h"
#include "sys/sock.h"

enum {
	ANSWER_WAIT_MS = 10000,
	ARRIVE_WAIT_MS = 5000,
	MESSAGE_MAX = 1 << 20,
	DBUS_CALL = 1,
	DBUS_RETURN = 2,
	DBUS_ERROR = 3,
	FIELD_PATH = 1,
	FIELD_INTERFACE = 2,
	FIELD_MEMBER = 3,
	FIELD_REPLY_SERIAL = 5,
	FIELD_DESTINATION = 6,
	FIELD_SIGNATURE = 8,
};

/* --- names ---------------------------------------------------------------------------------------------- */

static bool unit_char_ok(const char *s)
{
	for (; *s; s++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:_.\\@-", *s))
			return false;
	return true;
}

/* expand_slice() - "a-b.slice" is "/a.slice/a-b.slice", "-.slice" the root "". */
static int expand_slice(const char *slice, char *dst, size_t size)
{
	size_t len = strlen(slice), n = 0;

	if (!str_ends(slice, ".slice") || !unit_char_ok(slice) || len <= strlen(".slice"))
		return -EINVAL;
	len -= strlen(".slice");
	*dst = '\0';
	if (len == 1 && slice[0] == '-')
		return 0;
	if (slice[0] == '-' || slice[len - 1] == '-' || memmem(slice, len, "--", 2))
		return -EINVAL;
	for (size_t i = 1; i <= len; i++)
		if (i == len || slice[i] == '-')
			n += str_format(dst + n, n < size ? size - n : 0, "/%.*s.slice", (int)i, slice);
	return n < size ? 0 : -ENAMETOOLONG;
}

int cgroup__systemd_parse(struct cgroup *cg, const char *cgroups_path, const char *id, struct err *e)
{
	auto_fini(strv) struct strv part = { 0 };
	char below[CGROUP_PATH_MAX];
	const char *slice, *prefix = "hull", *name = id;
	int r;

	strv_split(&part, cgroups_path ? cgroups_path : "", ':');
	if (strv_finish(&part) < 0)
		return err_sys(e, ENOMEM, "cgroupsPath");
	if (cgroups_path && *cgroups_path && part.len != 3)
		return err_set(e, EINVAL,
			       "cgroupsPath '%s': want 'slice:prefix:name' with the systemd cgroup manager",
			       cgroups_path);
	slice = part.item[0][0] ? part.item[0] : geteuid() == 0 ? "system.slice" : "user.slice";
	if (part.len == 3) {
		prefix = part.item[1];
		name = part.item[2];
	}
	r = expand_slice(slice, below, sizeof(below));
	if (r < 0)
		return err_set(e, -r, "cgroupsPath: '%s' is not the name of a slice", slice);
	if (!*name || str_ends(name, ".slice") || !unit_char_ok(name) || !unit_char_ok(prefix) ||
	    str_format(cg->unit, sizeof(cg->unit), "%s%s%s.scope", prefix, *prefix ? "-" : "", name) >=
		    sizeof(cg->unit) ||
	    !str_copy(cg->slice, sizeof(cg->slice), slice))
		return err_set(e, EINVAL, "cgroupsPath: '%s' and '%s' do not make the name of a scope",
			       prefix, name);
	if (str_format(cg->path, sizeof(cg->path), "%s/%s", below, cg->unit) >= sizeof(cg->path))
		return err_set(e, ENAMETOOLONG, "cgroupsPath: longer than %d bytes", CGROUP_PATH_MAX);
	return 0;
}

/* --- D-Bus messages, little-endian ---------------------------------------------------------------------- */

static void put_pad(struct buf *b, size_t to)
{
	while (b->rc == 0 && b->len % to)
		buf_putc(b, '\0');
}

static void put_u32(struct buf *b, uint32_t n)
{
	const uint8_t bytes[4] = { (uint8_t)n, (uint8_t)(n >> 8), (uint8_t)(n >> 16), (uint8_t)(n >> 24) };

	put_pad(b, 4);
	buf_put(b, bytes, sizeof(bytes));
}

static void put_u64(struct buf *b, uint64_t n)
{
	put_pad(b, 8);
	put_u32(b, (uint32_t)n);
	put_u32(b, (uint32_t)(n >> 32));
}

static void put_string(struct buf *b, const char *s)
{
	put_u32(b, (uint32_t)strlen(s));
	buf_put(b, s, strlen(s) + 1);
}

static void put_signature(struct buf *b, const char *s)
{
	buf_putc(b, (char)strlen(s));
	buf_put(b, s, strlen(s) + 1);
}

/* begin_array() / end_array() - the length of an array goes before it and does not count the padding behind
 * itself. */
static size_t begin_array(struct buf *b, size_t element_align)
{
	put_u32(b, 0);
	put_pad(b, element_align);
	return b->len;
}

static void end_array(struct buf *b, size_t start, size_t length_at)
{
	uint32_t n = (uint32_t)(b->len - start);

	if (b->rc == 0)
		for (int i = 0; i < 4; i++)
			b->data[length_at + (size_t)i] = (char)(n >> (8 * i));
}

static void put_field(struct buf *b, uint8_t code, const char *type, const char *value)
{
	put_pad(b, 8);
	buf_putc(b, (char)code);
	put_signature(b, type);
	if (*type == 'g')
		put_signature(b, value);
	else
		put_string(b, value);
}

/* message() - a method call of systemd's manager, or of the bus itself when @hello. */
static void message(struct buf *b, bool hello, const char *member, const char *signature,
		    const struct buf *body)
{
	static const char flags[] = { 'l', DBUS_CALL, 0, 1 };
	uint32_t serial = hello ? 1 : 2;
	size_t start;

	buf_put(b, flags, sizeof(flags));
	put_u32(b, (uint32_t)body->len);
	put_u32(b, serial);
	start = begin_array(b, 8); /* at 16: the length lies right before it */
	put_field(b, FIELD_PATH, "o", hello ? "/org/freedesktop/DBus" : "/org/freedesktop/systemd1");
	put_field(b, FIELD_INTERFACE, "s",
		  hello ? "org.freedesktop.DBus" : "org.freedesktop.systemd1.Manager");
	put_field(b, FIELD_MEMBER, "s", member);
	put_field(b, FIELD_DESTINATION, "s", hello ? "org.freedesktop.DBus" : "org.freedesktop.systemd1");
	if (*signature)
		put_field(b, FIELD_SIGNATURE, "g", signature);
	end_array(b, start, 12);
	put_pad(b, 8);
	if (body->len > 0)
		buf_put(b, body->data, body->len);
}

static void property(struct buf *b, const char *name, const char *type)
{
	put_pad(b, 8);
	put_string(b, name);
	put_signature(b, type);
}

static void property_string(struct buf *b, const char *name, const char *value)
{
	property(b, name, "s");
	put_string(b, value);
}

static void property_bool(struct buf *b, const char *name, bool value)
{
	property(b, name, "b");
	put_u32(b, value);
}

static void property_u64(struct buf *b, const char *name, uint64_t value)
{
	property(b, name, "t");
	put_u64(b, value);
}

static void limit_properties(struct buf *b, const struct oci_resources *r, bool v2)
{
	uint64_t period = r->cpu.period.v ? r->cpu.period.v : 100000;

	if (r->memory.limit.v)
		property_u64(b, v2 ? "MemoryMax" : "MemoryLimit",
			     r->memory.limit.v < 0 ? UINT64_MAX : (uint64_t)r->memory.limit.v);
	if (r->cpu.shares.v)
		property_u64(b, v2 ? "CPUWeight" : "CPUShares",
			     v2 ? cgroup__shares_to_weight(r->cpu.shares.v) : r->cpu.shares.v);
	if (r->cpu.quota.v) /* systemd keeps what a second may have, in steps of 10 ms */
		property_u64(b, "CPUQuotaPerSecUSec",
			     r->cpu.quota.v < 0 ?
				     UINT64_MAX :
				     ((uint64_t)r->cpu.quota.v * 1000000 / period + 9999) / 10000 * 10000);
	if (r->pids_limit.v)
		property_u64(b, "TasksMax", r->pids_limit.v < 0 ? UINT64_MAX : (uint64_t)r->pids_limit.v);
}

/* start_body() - StartTransientUnit(name, mode, properties, no auxiliary units). */
static void start_body(struct buf *b, const struct cgroup *cg, const struct oci_resources *r)
{
	size_t length_at, start, pids_at, pids;

	put_string(b, cg->unit);
	put_string(b, "replace");
	put_pad(b, 4);
	length_at = b->len;
	start = begin_array(b, 8);
	property_string(b, "Description", "hull container");
	property_string(b, "Slice", cg->slice);
	property_bool(b, "Delegate", true);
	property_bool(b, "DefaultDependencies", false);
	property_bool(b, "CPUAccounting", true);
	property_bool(b, "MemoryAccounting", true);
	property_bool(b, "TasksAccounting", true);
	property(b, "PIDs", "au");
	put_pad(b, 4);
	pids_at = b->len;
	pids = begin_array(b, 4);
	put_u32(b, (uint32_t)cg->keeper);
	end_array(b, pids, pids_at);
	if (r)
		limit_properties(b, r, cg->layout == CGROUP_V2);
	end_array(b, start, length_at);
	put_u32(b, 0);
	put_pad(b, 8); /* an empty array of structs, padded as if one followed */
}

/* --- the connection ------------------------------------------------------------------------------------- */

static int send_all(int fd, const void *bytes, size_t len)
{
	const char *p = bytes;

	while (len > 0) {
		/* systemd may hang up: no SIGPIPE */
		long r = SYS6(SYS_sendto, fd, p, len, MSG_NOSIGNAL, 0, 0);

		if (r < 0 && r != -EINTR)
			return (int)r;
		p += r > 0 ? r : 0;
		len -= r > 0 ? (size_t)r : 0;
	}
	return 0;
}

static int recv_all(int fd, void *dst, size_t len)
{
	char *p = dst;

	while (len > 0) {
		struct pollfd w = { .fd = fd, .events = POLLIN };
		long r = poll(&w, 1, ANSWER_WAIT_MS) > 0 ? SYS6(SYS_recvfrom, fd, p, len, 0, 0, 0) :
							   -ETIMEDOUT;

		if (r == 0)
			return -ECONNRESET;
		if (r < 0)
			return (int)r;
		p += r;
		len -= (size_t)r;
	}
	return 0;
}

/* authenticate() - as who we are by the kernel's word: one line there, one back. */
static int authenticate(int fd)
{
	char uid[16], hex[40], line[64];
	size_t n = 0;
	int r;

	str_format(uid, sizeof(uid), "%u", (unsigned)geteuid());
	str_hex(hex, uid, strlen(uid));
	str_format(line, sizeof(line), "AUTH EXTERNAL %s\r\n", hex);
	r = send_all(fd, "", 1); /* a NUL byte opens the connection */
	r = r < 0 ? r : send_all(fd, line, strlen(line));
	do {
		r = r < 0 ? r : recv_all(fd, &line[n], 1);
	} while (r == 0 && line[n] != '\n' && ++n < sizeof(line) - 1);
	if (r < 0)
		return r;
	return str_starts(line, "OK") ? send_all(fd, "BEGIN\r\n", 7) : -EACCES;
}

static uint32_t get_u32(const char *p)
{
	const uint8_t *b = (const uint8_t *)p;

	return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

/* reply_serial() - which call the message with these header fields answers, 0: none. */
static uint32_t reply_serial(const char *fields, size_t len)
{
	for (size_t at = 0; at + 8 <= len;) {
		uint8_t code = (uint8_t)fields[at], type = (uint8_t)fields[at + 2];
		size_t n;

		if (fields[at + 1] != 1) /* every field this side gets is of a simple type */
			return 0;
		if (type == 'u') {
			if (code == FIELD_REPLY_SERIAL)
				return get_u32(fields + at + 4);
			n = 8;
		} else if (type == 'g') {
			n = 4 + 1 + (size_t)(uint8_t)fields[at + 4] + 1;
		} else {
			n = 8 + (size_t)get_u32(fields + at + 4) + 1;
		}
		at = (at + n + 7) & ~(size_t)7;
	}
	return 0;
}

/* answer() - wait for the answer to call @serial; an error's text is its first string. Signals are passed
 * over. */
static int answer(int fd, uint32_t serial, struct err *e)
{
	for (;;) {
		auto_fini(buf) struct buf b = { 0 };
		char head[16], *p;
		size_t fields, body, rest;
		int r = recv_all(fd, head, sizeof(head));

		if (r < 0)
			return err_sys(e, -r, "no answer");
		body = get_u32(head + 4);
		fields = get_u32(head + 12);
		if (head[0] != 'l' || fields > MESSAGE_MAX || body > MESSAGE_MAX)
			return err_set(e, EPROTO, "the answer is not a D-Bus message");
		rest = ((fields + 7) & ~(size_t)7) + body;
		p = buf_room(&b, rest);
		r = p ? recv_all(fd, p, rest) : -ENOMEM;
		if (r < 0)
			return err_sys(e, -r, "the answer breaks off");
		if ((head[1] != DBUS_RETURN && head[1] != DBUS_ERROR) || reply_serial(p, fields) != serial)
			continue;
		if (head[1] == DBUS_RETURN)
			return 0;
		p += rest - body;
		if (body < 5 || get_u32(p) > body - 5)
			return err_set(e, EREMOTEIO, "refused without a reason");
		return err_set(e, EREMOTEIO, "%.*s", (int)get_u32(p), p + 4);
	}
}

/* call() - one method call with its answer on a fresh connection. */
static int call(int fd, bool bus, const char *member, const char *signature, const struct buf *body,
		struct err *e)
{
	auto_fini(buf) struct buf hello = { 0 }, b = { 0 };
	struct buf none = { 0 };
	int r = authenticate(fd);

	if (r < 0)
		return err_sys(e, -r, "authentication");
	if (bus) { /* the bus gives no service before this call */
		message(&hello, true, "Hello", "", &none);
		r = buf_finish(&hello);
		r = r < 0 ? r : send_all(fd, hello.data, hello.len);
		r = r < 0 ? err_sys(e, -r, "Hello") : answer(fd, 1, e);
		if (r < 0)
			return r;
	}
	message(&b, false, member, signature, body);
	r = buf_finish(body) < 0 ? -ENOMEM : buf_finish(&b);
	r = r < 0 ? r : send_all(fd, b.data, b.len);
	return r < 0 ? err_sys(e, -r, "%s", member) : answer(fd, 2, e);
}

/* connect_systemd() - the manager's own socket, else the bus; an unprivileged user's manager has only the
 * former. */
static int connect_systemd(bool *ret_bus, struct err *e)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	char path[128] = "/run/systemd/private";
	int fd;

	if (geteuid() != 0)
		str_format(path, sizeof(path), "%s/systemd/private", runtime ? runtime : "/nonexistent");
	*ret_bus = false;
	fd = sock_connect_at(AT_FDCWD, path, SOCK_STREAM);
	if (fd < 0 && geteuid() == 0) {
		*ret_bus = true;
		fd = sock_connect_at(AT_FDCWD, "/run/dbus/system_bus_socket", SOCK_STREAM);
	}
	return fd < 0 ? err_sys(e, -fd, "systemd is not running: %s", path) : fd;
}

int cgroup__systemd_call_start(int fd, bool bus, const struct cgroup *cg, const struct oci_resources *r,
			       struct err *e)
{
	auto_fini(buf) struct buf body = { 0 };
	int rc;

	start_body(&body, cg, r);
	rc = call(fd, bus, "StartTransientUnit", "ssa(sv)a(sa(sv))", &body, e);
	return rc < 0 ? err_wrap(e, rc, "systemd: StartTransientUnit '%s'", cg->unit) : 0;
}

/* --- the scope ------------------------------------------------------------------------------------------ */

void cgroup__keeper_end(struct cgroup *cg)
{
	if (cg->keeper <= 0)
		return;
	SYS2(SYS_kill, cg->keeper, SIGKILL); /* our child, not reaped yet: the number is still its own */
	SYS4(SYS_wait4, cg->keeper, NULL, 0, NULL);
	cg->keeper = 0;
}

static int start_keeper(struct cgroup *cg)
{
	pid_t pid = ns_clone(0, -1, NULL);

	if (pid == 0) {
		SYS5(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		fd_close_from(0); /* it must not hold anybody's pipe open */
		for (;;)
			SYS4(SYS_ppoll, NULL, 0, NULL, NULL);
	}
	cg->keeper = pid > 0 ? pid : 0;
	return pid < 0 ? (int)pid : 0;
}

/* arrived() - is the keeper in the scope? Then its path is the scope's path. */
static bool arrived(struct cgroup *cg)
{
	auto_fini(buf) struct buf b = { 0 };
	char name[64];
	const char *s;

	str_format(name, sizeof(name), "/proc/%d/cgroup", (int)cg->keeper);
	if (file_slurp_at(AT_FDCWD, name, &b, MESSAGE_MAX) < 0)
		return false;
	s = strstr(buf_str(&b), cg->layout == CGROUP_V2 ? "0::" : ":name=systemd:");
	s = s ? strchr(s, '/') : NULL;
	if (!s)
		return false;
	*strchrnul(s, '\n') = '\0';
	return str_ends(s, cg->unit) && cgroup__check_path(cg->path, sizeof(cg->path), s, NULL) == 0;
}

int cgroup__systemd_start(struct cgroup *cg, const struct oci_resources *r, struct err *e)
{
	bool bus;
	auto_close int fd = connect_systemd(&bus, e);
	int rc = fd < 0 ? fd : 0;

	if (rc < 0)
		return rc;
	rc = start_keeper(cg);
	if (rc < 0)
		return err_sys(e, -rc, "systemd scope '%s': fork", cg->unit);
	rc = cgroup__systemd_call_start(fd, bus, cg, r, e);
	for (int ms = 0; rc == 0 && !arrived(cg); ms++) {
		if (ms >= ARRIVE_WAIT_MS)
			rc = err_set(e, ETIMEDOUT, "systemd scope '%s': the job was taken but is not done",
				     cg->unit);
		poll(NULL, 0, 1);
	}
	for (size_t i = 0; i < cg->n && rc == 0; i++)
		str_copy(cg->h[i].path, sizeof(cg->h[i].path), cg->path);
	return rc;
}

void cgroup__systemd_stop(struct cgroup *cg)
{
	auto_fini(buf) struct buf body = { 0 };
	bool bus;
	auto_close int fd = connect_systemd(&bus, NULL);

	put_string(&body, cg->unit);
	put_string(&body, "replace");
	if (fd >= 0) /* a scope without processes stops by itself: a refusal changes nothing */
		call(fd, bus, "StopUnit", "ss", &body, NULL);
}
