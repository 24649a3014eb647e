/* SPDX-License-Identifier: Apache-2.0 */
#include "io/http_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "fmt/http.h"
#include "io/loop.h"
#include "sys/sock.h"

static struct loop loop = { .epfd = -1 };
static struct http_server *server;
static char dir[] = "/tmp/hull-http.XXXXXX", path[64];
static int served, refusals;
static uid_t refused_uid = (uid_t)-1;

static void serve(void *arg, const struct http_server_request *q, struct http_server_reply *ret)
{
	(void)arg;
	served++;
	assert_int_equal(q->peer.uid, getuid());
	assert_int_equal(q->peer.pid, getpid());
	if (str_eq(q->head->target, "/none")) {
		ret->status = 204;
		return;
	}
	ret->has_body = true;
	if (str_eq(q->head->target, "/big"))
		for (int i = 0; i < 10000; i++)
			buf_puts(&ret->body, "0123456789");
	else
		buf_printf(&ret->body, "%s:%s", q->head->target, q->body ? q->body : "-");
}

static void refused(void *arg, const char *why)
{
	(void)arg;
	assert_non_null(why);
	refusals++;
}

static bool may(void *arg, const struct http_server_peer *peer)
{
	(void)arg;
	return peer->uid != refused_uid;
}

static void stop(void *arg)
{
	((struct loop *)arg)->stop = true;
}

/* pump() - let the server do what there is to do. */
static void pump(void)
{
	struct loop_timer t = { .fire = stop, .arg = &loop };

	loop.stop = false;
	loop_timer_set(&loop, &t, 15 * NSEC_PER_MSEC);
	assert_int_equal(loop_run(&loop), 0);
}

static int up(void **state)
{
	struct http_server_config c = { .name = "T",
					.body_max = 10,
					.connections = 3,
					.methods = 1 << HTTP_GET | 1 << HTTP_PUT,
					.serve = serve,
					.refused = refused,
					.may = may };
	struct err e = { 0 };

	(void)state;
	served = refusals = 0;
	refused_uid = (uid_t)-1;
	strcpy(dir, "/tmp/hull-http.XXXXXX");
	assert_non_null(mkdtemp(dir));
	str_format(path, sizeof(path), "%s/s", dir);
	assert_int_equal(loop_init(&loop), 0);
	assert_int_equal(
		http_server_open(&server, &loop, sock_listen_at(-100, path, SOCK_STREAM, 0600), &c, &e), 0);
	return 0;
}

static int down(void **state)
{
	(void)state;
	http_server_close(server);
	loop_fini(&loop);
	unlink(path);
	return rmdir(dir);
}

static int dial(void)
{
	int fd = sock_connect_at(-100, path, SOCK_STREAM);

	assert_true(fd >= 0);
	return fd;
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
	pump();
}

/* hear() - all there is to read, in a buffer that lives until the next call; *ret_end: the server has closed. */
static const char *hear(int fd, bool *ret_end)
{
	static char text[8192];
	size_t len = 0;
	ssize_t n;

	pump();
	while ((n = recv(fd, text + len, sizeof(text) - 1 - len, MSG_DONTWAIT)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	if (ret_end)
		*ret_end = n == 0;
	return text;
}

#define OK(body, len)                                                                                        \
	"HTTP/1.1 200 \r\nServer: T\r\nConnection: keep-alive\r\nContent-Type: application/json\r\n"         \
	"Content-Length: " len "\r\n\r\n" body

static void test_http_server_keeps_a_connection_open(void **state)
{
	auto_close int fd = dial();
	bool end;

	(void)state;
	for (int i = 0; i < 3; i++) {
		say(fd, "GET /a HTTP/1.1\r\n\r\n");
		assert_string_equal(hear(fd, &end), OK("/a:-", "4"));
		assert_false(end);
	}
	say(fd, "GET /none HTTP/1.1\r\nConnection: close\r\n\r\n");
	assert_string_equal(hear(fd, &end), "HTTP/1.1 204 \r\nServer: T\r\nConnection: close\r\n\r\n");
	assert_true(end);
	assert_int_equal(served, 4);
}

static void test_http_server_answers_requests_sent_together_in_order(void **state)
{
	auto_close int fd = dial();

	(void)state;
	say(fd, "GET /1 HTTP/1.1\r\n\r\nPUT /2 HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET /3 "
		"HTTP/1.1\r\n\r\nGET /4");
	assert_string_equal(hear(fd, NULL), OK("/1:-", "4") OK("/2:abc", "6") OK("/3:-", "4"));
	say(fd, " HTTP/1.1\r\n\r\n");
	assert_string_equal(hear(fd, NULL), OK("/4:-", "4"));
}

static void test_http_server_answers_expect_before_the_body(void **state)
{
	auto_close int fd = dial();

	(void)state;
	say(fd, "PUT /x HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
	assert_string_equal(hear(fd, NULL), "HTTP/1.1 100 \r\nServer: T\r\nConnection: keep-alive\r\n\r\n");
	assert_int_equal(served, 0);
	say(fd, "hi");
	assert_string_equal(hear(fd, NULL), OK("/x:hi", "5"));
}

static void test_http_server_refuses_what_is_no_request(void **state)
{
	static const struct {
		const char *text, *error;
	} t[] = {
		{ "nonsense\r\n", "Invalid request line" },
		{ "POST / HTTP/1.1\r\n\r\n", "Invalid HTTP method" },
		{ "PUT / HTTP/1.1\r\nContent-Length: 11\r\n\r\n",
		  "Request payload with size 11 is larger than the limit of 10" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		auto_close int fd = dial();
		const char *got;
		char want[128];
		bool end;

		str_format(want, sizeof(want), "\r\n\r\n{\"error\":\"%s\"}", t[i].error);
		say(fd, t[i].text);
		got = hear(fd, &end);
		assert_true(str_starts(got, "HTTP/1.1 400 \r\nServer: T\r\nConnection: close\r\n"));
		assert_true(str_ends(got, want));
		assert_true(end);
		/* what comes after is thrown away, and does not break the peer */
		say(fd, "more of it\r\n");
	}
	assert_int_equal(refusals, 3);
	assert_int_equal(served, 0);
}

static void test_http_server_turns_away_one_connection_too_many(void **state)
{
	int fd[4];
	bool end;

	(void)state;
	for (int i = 0; i < 4; i++) {
		fd[i] = dial();
		pump();
	}
	assert_true(str_starts(hear(fd[3], &end), "HTTP/1.1 503 \r\nServer: T\r\nConnection: close\r\n"));
	assert_true(end);
	close(fd[3]);
	close(fd[0]); /* makes room */
	pump();
	fd[3] = dial();
	say(fd[3], "GET /a HTTP/1.1\r\n\r\n");
	assert_string_equal(hear(fd[3], NULL), OK("/a:-", "4"));
	for (int i = 1; i < 4; i++)
		close(fd[i]);
}

static void test_http_server_stops_reading_from_who_does_not_read(void **state)
{
	char ask[1000]; /* few of them are read at once */
	auto_close int fd = dial();
	static char text[65536];
	size_t got = 0;
	ssize_t n;
	int asked = 0;

	(void)state;
	memset(ask, 'x', sizeof(ask));
	memcpy(ask, "GET /big HTTP/1.1\r\nx:", 21);
	memcpy(ask + sizeof(ask) - 4, "\r\n\r\n", 4);
	while (asked < 100 && send(fd, ask, sizeof(ask), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
		asked++;
	assert_true(asked > 50);
	pump();
	assert_in_range(served, 1, 20); /* 100 KB each: the limit, and what the socket holds */
	for (int idle = 0; idle < 3;) {
		n = recv(fd, text, sizeof(text), MSG_DONTWAIT);
		if (n > 0) {
			got += (size_t)n;
			idle = 0;
		} else {
			pump();
			idle++;
		}
	}
	assert_int_equal(served, asked); /* and all is answered once it reads */
	assert_true(got > (size_t)asked * 100000);
}

static void test_http_server_waits_while_there_are_no_descriptors(void **state)
{
	struct rlimit was, none;
	auto_close int fd = dial();
	clock_t cpu;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	none = (struct rlimit){ .rlim_cur = 3, .rlim_max = was.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	cpu = clock();
	for (int i = 0; i < 20; i++)
		pump();
	assert_true(clock() - cpu < CLOCKS_PER_SEC / 10); /* it does not spin */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	for (int i = 0; i < 10; i++)
		pump();
	say(fd, "GET /a HTTP/1.1\r\n\r\n");
	assert_string_equal(hear(fd, NULL), OK("/a:-", "4"));
}

static void test_http_server_serves_only_whom_it_may(void **state)
{
	int fd;
	bool end;

	(void)state;
	refused_uid = getuid();
	fd = dial();
	assert_true(str_starts(hear(fd, &end), "HTTP/1.1 403 \r\n"));
	assert_true(end);
	close(fd);
	assert_int_equal(served, 0);
}

static void test_http_server_sends_what_is_answered_before_it_closes(void **state)
{
	auto_close int fd = dial();
	char byte;

	(void)state;
	say(fd, "GET /a HTTP/1.1\r\n\r\n");
	http_server_close(server);
	server = NULL;
	assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_http_server_keeps_a_connection_open, up, down),
		cmocka_unit_test_setup_teardown(test_http_server_answers_requests_sent_together_in_order, up,
						down),
		cmocka_unit_test_setup_teardown(test_http_server_answers_expect_before_the_body, up, down),
		cmocka_unit_test_setup_teardown(test_http_server_refuses_what_is_no_request, up, down),
		cmocka_unit_test_setup_teardown(test_http_server_turns_away_one_connection_too_many, up,
						down),
		cmocka_unit_test_setup_teardown(test_http_server_stops_reading_from_who_does_not_read, up,
						down),
		cmocka_unit_test_setup_teardown(test_http_server_waits_while_there_are_no_descriptors, up,
						down),
		cmocka_unit_test_setup_teardown(test_http_server_serves_only_whom_it_may, up, down),
		cmocka_unit_test_setup_teardown(test_http_server_sends_what_is_answered_before_it_closes, up,
						down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
