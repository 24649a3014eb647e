/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup_systemd_test.c - names, and the messages as a small server of our own reads them */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/bug.h"
#include "base/buf.h"
#include "base/guard.h"
#include "base/str.h"
#include "container/cgroup_internal.h"

#define NUM(n)                                                                                               \
	{                                                                                                    \
		.set = true, .v = (n)                                                                        \
	}

static void test_a_cgroups_path_names_a_scope_in_a_slice(void **state)
{
	static const struct {
		const char *in, *unit, *path;
		int rc;
	} cases[] = {
		{ "machine.slice:libpod:abc", "libpod-abc.scope", "/machine.slice/libpod-abc.scope", 0 },
		{ "a-b-c.slice:x:y", "x-y.scope", "/a.slice/a-b.slice/a-b-c.slice/x-y.scope", 0 },
		{ "-.slice:x:y", "x-y.scope", "/x-y.scope", 0 },
		{ "s.slice::y", "y.scope", "/s.slice/y.scope", 0 },
		{ "/a/b", NULL, NULL, -EINVAL },
		{ "a.slice:b", NULL, NULL, -EINVAL },
		{ "a:b:c", NULL, NULL, -EINVAL },
		{ "a--b.slice:x:y", NULL, NULL, -EINVAL },
		{ "../a.slice:x:y", NULL, NULL, -EINVAL },
		{ "a.slice:x:../y", NULL, NULL, -EINVAL },
		{ "a.slice:x:y.slice", NULL, NULL, -EINVAL },
		{ "a.slice:x:", NULL, NULL, -EINVAL },
		{ ".slice:x:y", NULL, NULL, -EINVAL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct cgroup cg = { 0 };
		struct err e = { 0 };
		int r = cgroup__systemd_parse(&cg, cases[i].in, "id", &e);

		if (r != cases[i].rc ||
		    (r == 0 && (!str_eq(cg.unit, cases[i].unit) || !str_eq(cg.path, cases[i].path))))
			fail_msg("'%s': want %d '%s' '%s', got %d '%s' '%s'", cases[i].in, cases[i].rc,
				 cases[i].unit, cases[i].path, r, cg.unit, cg.path);
		assert_true(r == 0 || str_starts(e.text, "cgroupsPath"));
	}
}

/* --- the server ----------------------------------------------------------------------------------------- */

/* What a reader of D-Bus keeps: where it is, and whether everything was where it belongs. */
struct reader {
	const char *p;
	size_t at, len;
	bool bad;
};

static uint32_t read_u32(struct reader *r)
{
	uint32_t n;

	r->at = (r->at + 3) & ~(size_t)3;
	if (r->at + 4 > r->len) {
		r->bad = true;
		return 0;
	}
	memcpy(&n, r->p + r->at, 4); /* the tests run on little-endian machines */
	r->at += 4;
	return n;
}

static uint64_t read_u64(struct reader *r)
{
	uint64_t low;

	r->at = (r->at + 7) & ~(size_t)7;
	low = read_u32(r);
	return low | (uint64_t)read_u32(r) << 32;
}

static const char *read_bytes(struct reader *r, size_t n)
{
	const char *s = r->p + r->at;

	if (r->at + n + 1 > r->len || s[n] != '\0') {
		r->bad = true;
		return "";
	}
	r->at += n + 1;
	return s;
}

static const char *read_string(struct reader *r)
{
	uint32_t n = read_u32(r);

	return read_bytes(r, n);
}

static const char *read_signature(struct reader *r)
{
	if (r->at >= r->len) {
		r->bad = true;
		return "";
	}
	r->at++;
	return read_bytes(r, (uint8_t)r->p[r->at - 1]);
}

/* describe() - the body of StartTransientUnit as one line of text. */
static void describe(struct reader *r, struct buf *b)
{
	const char *unit = read_string(r), *mode = read_string(r);
	uint32_t bytes = read_u32(r);
	size_t end;

	buf_printf(b, "%s %s", unit, mode);
	r->at = (r->at + 7) & ~(size_t)7;
	end = r->at + bytes;
	while (r->at < end && !r->bad) {
		const char *name, *type;

		r->at = (r->at + 7) & ~(size_t)7;
		name = read_string(r);
		type = read_signature(r);
		if (str_eq(type, "s")) {
			buf_printf(b, " %s=%s", name, read_string(r));
		} else if (str_eq(type, "b")) {
			buf_printf(b, " %s=%u", name, read_u32(r));
		} else if (str_eq(type, "t")) {
			buf_printf(b, " %s=%llu", name, (unsigned long long)read_u64(r));
		} else if (str_eq(type, "au")) {
			uint32_t n = read_u32(r);

			buf_printf(b, " %s=%u/%u", name, read_u32(r), n);
		} else {
			r->bad = true;
		}
	}
	r->bad = r->bad || r->at != end || read_u32(r) != 0;
	r->at = (r->at + 7) & ~(size_t)7;
	r->bad = r->bad || r->at != r->len;
}

static bool get(int fd, void *dst, size_t len)
{
	return recv(fd, dst, len, MSG_WAITALL) == (ssize_t)len;
}

/* expect() - exactly these bytes come next. */
static bool expect(int fd, const char *bytes, size_t len)
{
	char got[64];

	return len <= sizeof(got) && get(fd, got, len) && memcmp(got, bytes, len) == 0;
}

/* reply() - a return of nothing, or an error with its text, to call @serial; a signal goes before it. */
static bool reply(int fd, uint8_t serial, const char *error)
{
	static const char signal_head[] = { 'l', 4, 1, 1, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0 };
	uint32_t n = error ? (uint32_t)strlen(error) : 0;
	char head[24] = { 'l', error ? 3 : 2, 1, 1, 0, 0, 0, 0, 7, 0, 0, 0, 8, 0, 0, 0, 5, 1, 'u', 0 };

	head[4] = (char)(error ? n + 5 : 0);
	head[20] = (char)serial;
	if (send(fd, signal_head, sizeof(signal_head), 0) < 0 || send(fd, head, sizeof(head), 0) < 0)
		return false;
	return !error || (send(fd, &n, 4, 0) == 4 && send(fd, error, n + 1, 0) == (ssize_t)n + 1);
}

/* serve() - one authentication and one call (after a Hello when @bus); what it asked goes to @out. */
static void serve(int fd, bool bus, const char *error, int out)
{
	char uid[16], hex[40], auth[64];
	auto_fini(buf) struct buf text = { 0 };

	str_format(uid, sizeof(uid), "%u", (unsigned)geteuid());
	str_hex(hex, uid, strlen(uid));
	str_format(auth, sizeof(auth), "AUTH EXTERNAL %s\r\n", hex);
	if (!expect(fd, "", 1) || !expect(fd, auth, strlen(auth)) || send(fd, "OK 1234\r\n", 9, 0) < 0 ||
	    !expect(fd, "BEGIN\r\n", 7))
		_exit(1);
	for (int i = bus ? 0 : 1; i < 2; i++) {
		uint32_t head[4], rest;
		char message[8192];
		struct reader r = { .p = message };

		if (!get(fd, head, sizeof(head)) || ((char *)head)[0] != 'l')
			_exit(2);
		rest = ((head[3] + 7) & ~7u) + head[1];
		if (rest > sizeof(message) || !get(fd, message, rest))
			_exit(3);
		if (i == 1) {
			r.p = message + rest - head[1];
			r.len = head[1];
			describe(&r, &text);
		}
		if (r.bad || !memmem(message, rest, i ? "StartTransientUnit" : "Hello", i ? 18 : 5))
			_exit(4);
		if (!reply(fd, (uint8_t)head[2], i ? error : NULL))
			_exit(5);
	}
	if (write(out, text.data, text.len) != (ssize_t)text.len)
		_exit(6);
	_exit(0);
}

static int ask(const struct cgroup *cg, const struct oci_resources *r, bool bus, const char *error,
	       char *ret_text, struct err *e)
{
	int s[2], out[2], rc, status;
	ssize_t n;
	pid_t pid;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s), 0);
	assert_int_equal(pipe(out), 0);
	pid = fork();
	if (pid == 0) {
		close(s[0]);
		serve(s[1], bus, error, out[1]);
	}
	close(s[1]);
	close(out[1]);
	rc = cgroup__systemd_call_start(s[0], bus, cg, r, e);
	close(s[0]);
	n = read(out[0], ret_text, 1023);
	ret_text[n > 0 ? n : 0] = '\0';
	close(out[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	return rc;
}

static void test_the_scope_is_asked_for_with_its_limits(void **state)
{
	struct cgroup cg = {
		.layout = CGROUP_V2, .unit = "hull-a.scope", .slice = "machine.slice", .keeper = 4711
	};
	struct oci_resources r = { .memory.limit = NUM(1 << 20),
				   .cpu = { .shares = NUM(1024), .quota = NUM(50000) },
				   .pids_limit = NUM(-1) };
	struct err e = { 0 };
	char text[1024];

	(void)state;
	for (int bus = 0; bus < 2; bus++) {
		assert_int_equal(ask(&cg, &r, bus, NULL, text, &e), 0);
		assert_string_equal(
			text,
			"hull-a.scope replace Description=hull container Slice=machine.slice Delegate=1 "
			"DefaultDependencies=0 CPUAccounting=1 MemoryAccounting=1 TasksAccounting=1 "
			"PIDs=4711/4 "
			"MemoryMax=1048576 CPUWeight=100 CPUQuotaPerSecUSec=500000 "
			"TasksMax=18446744073709551615");
	}
	cg.layout = CGROUP_HYBRID;
	assert_int_equal(ask(&cg, &r, true, NULL, text, &e), 0);
	assert_non_null(strstr(text, "MemoryLimit=1048576 CPUShares=1024 "));
}

static void test_what_systemd_answers_is_passed_on(void **state)
{
	struct cgroup cg = {
		.layout = CGROUP_V2, .unit = "hull-a.scope", .slice = "machine.slice", .keeper = 1
	};
	struct err e = { 0 };
	char text[1024];

	(void)state;
	assert_int_equal(ask(&cg, NULL, true, "Unit hull-a.scope already exists.", text, &e), -EREMOTEIO);
	assert_string_equal(e.text,
			    "systemd: StartTransientUnit 'hull-a.scope': Unit hull-a.scope already exists.");
}

/* garbage() - what a peer that is no systemd says instead of an answer. */
static void test_a_peer_that_talks_nonsense_or_hangs_up_is_an_error(void **state)
{
	static const struct {
		const char *text;
		size_t len;
	} says[] = {
		{ "", 0 },
		{ "REJECTED\r\n", 10 },
		{ "OK 1\r\n", 6 },
		{ "OK 1\r\nB\2\1\1", 10 },
		{ "OK 1\r\nB\2\1\1\0\0\0\0\1\0\0\0\0\0\0\0", 22 },
		{ "OK 1\r\nl\2\1\1\377\377\377\377\1\0\0\0\377\377\377\377", 22 },
		{ "OK 1\r\nl\3\1\1\0\0\0\0\1\0\0\0\10\0\0\0\5\1u\0\2\0\0\0", 30 },
	};
	struct cgroup cg = {
		.layout = CGROUP_V2, .unit = "hull-a.scope", .slice = "machine.slice", .keeper = 1
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(says); i++) {
		struct err e = { 0 };
		int s[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s), 0);
		assert_int_equal(send(s[1], says[i].text, says[i].len, 0), says[i].len);
		shutdown(s[1], SHUT_WR);
		assert_true(cgroup__systemd_call_start(s[0], false, &cg, NULL, &e) < 0);
		assert_non_null(strstr(e.text, "StartTransientUnit 'hull-a.scope': "));
		close(s[0]);
		close(s[1]);
	}
}

static void test_a_host_without_systemd_is_told_so(void **state)
{
	auto_fini(cgroup) struct cgroup cg = { 0 };
	struct err e = { 0 };

	(void)state;
	if (access("/run/systemd/private", F_OK) == 0 || access("/run/dbus/system_bus_socket", F_OK) == 0) {
		fprintf(stderr, "skipped: systemd or a system bus is running here\n");
		skip();
	}
	assert_int_equal(cgroup_open(&cg, "machine.slice:hull:x", "x", CGROUP_SYSTEMD, &e), 0);
	assert_true(cgroup_create(&cg, NULL, false, &e) < 0);
	assert_true(str_starts(e.text, "systemd is not running: "));
	assert_int_equal(cg.keeper, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_cgroups_path_names_a_scope_in_a_slice),
		cmocka_unit_test(test_the_scope_is_asked_for_with_its_limits),
		cmocka_unit_test(test_what_systemd_answers_is_passed_on),
		cmocka_unit_test(test_a_peer_that_talks_nonsense_or_hangs_up_is_an_error),
		cmocka_unit_test(test_a_host_without_systemd_is_told_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
