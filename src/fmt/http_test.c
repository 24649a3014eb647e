/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/http.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/bug.h"
#include "base/guard.h"

static struct http_request r;

static ssize_t feed(const char *text)
{
	http_request_init(&r);
	return http_request_feed(&r, text, strlen(text));
}

static void test_http_request_is_cut_into_its_parts(void **state)
{
	static const char text[] = "PUT /drives/a?b=c HTTP/1.1\r\nHost: x\r\nX-Two:\t v w \r\n"
				   "content-length: 5\r\nExpect: 100-continue\r\n\r\n";

	(void)state;
	assert_int_equal(feed("PUT /drives/a?b=c HTTP/1.1\r\nHost: x\r\nX-Two:\t v w \r\n"
			      "content-length: 5\r\nExpect: 100-continue\r\n\r\nhello"),
			 strlen(text));
	assert_true(r.done);
	assert_int_equal(r.method, HTTP_PUT);
	assert_string_equal(r.target, "/drives/a?b=c");
	assert_int_equal(r.minor, 1);
	assert_int_equal(r.n_fields, 4);
	assert_string_equal(http_request_field(&r, "x-two"), "v w");
	assert_null(http_request_field(&r, "x-tw"));
	assert_int_equal(r.body_len, 5);
	assert_true(r.has_length && r.expects && r.keep_alive);
}

static void test_http_request_may_arrive_byte_by_byte(void **state)
{
	static const char text[] = "GET / HTTP/1.0\r\n\r\n";

	(void)state;
	http_request_init(&r);
	for (const char *p = text; *p; p++) {
		assert_false(r.done);
		assert_int_equal(http_request_feed(&r, p, 1), 1);
	}
	assert_true(r.done);
	assert_int_equal(r.method, HTTP_GET);
	assert_int_equal(r.minor, 0);
	assert_false(r.keep_alive);
	assert_false(r.has_length);
}

static void test_http_request_names_methods_and_targets(void **state)
{
	static const struct {
		const char *text;
		enum http_method method;
		const char *target;
	} t[] = {
		{ "DELETE /x HTTP/1.1\r\n\r\n", HTTP_DELETE, "/x" },
		{ "PATCH http://localhost/vm HTTP/1.1\r\n\r\n", HTTP_PATCH, "/vm" },
		{ "POST http://localhost HTTP/1.1\r\n\r\n", HTTP_POST, "/" },
		{ "get / HTTP/1.1\r\n\r\n", HTTP_OTHER, "/" },
		{ "BREW /pot HTTP/1.1\r\n\r\n", HTTP_OTHER, "/pot" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		assert_int_equal(feed(t[i].text), strlen(t[i].text));
		assert_int_equal(r.method, t[i].method);
		assert_string_equal(r.target, t[i].target);
	}
}

static void test_http_request_refuses_what_makes_no_sense(void **state)
{
	static const char *const t[] = {
		"\r\n",
		"GET\r\n",
		"GET /\r\n",
		"GET  / HTTP/1.1\r\n",
		" / HTTP/1.1\r\n",
		"GET / HTTP/2.0\r\n",
		"GET / HTTP/1.1 \r\n",
		"GET / http/1.1\r\n",
		"GET x HTTP/1.1\r\n",
		"GET / HTTP/1.1\n",
		"G\x01T / HTTP/1.1\r\n",
		"GET / HTTP/1.1\r\nno colon\r\n",
		"GET / HTTP/1.1\r\n: empty\r\n",
		"GET / HTTP/1.1\r\nA : b\r\n",
		"GET / HTTP/1.1\r\nA: b\r\n folded\r\n",
		"GET / HTTP/1.1\r\nA: b\rc\r\n",
		"PUT / HTTP/1.1\r\nContent-Length: 1x\r\n",
		"PUT / HTTP/1.1\r\nContent-Length: -1\r\n",
		"PUT / HTTP/1.1\r\nContent-Length: +1\r\n",
		"PUT / HTTP/1.1\r\nContent-Length:\r\n",
		"PUT / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n",
		"PUT / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n",
		"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		ssize_t n = feed(t[i]);

		if (n != -EBADMSG || !r.why || r.done)
			fail_msg("'%s': want a refusal, got %zd", t[i], n);
		assert_int_equal(http_request_feed(&r, "\r\n\r\n", 4), -EBADMSG); /* it stays refused */
	}
}

static void test_http_request_has_limits(void **state)
{
	char line[HTTP_LINE_MAX + 1];

	(void)state;
	/* the longest line is taken, one byte more is not */
	for (int more = 0; more < 2; more++) {
		ssize_t n;

		feed("GET / HTTP/1.1\r\n");
		memset(line, 'x', sizeof(line));
		line[1] = ':';
		memcpy(line + HTTP_LINE_MAX - 2 + more, "\r\n", 2 - (size_t)more);
		n = http_request_feed(&r, line, HTTP_LINE_MAX);
		if (more)
			n = http_request_feed(&r, "\n", 1);
		assert_int_equal(n, more ? -EMSGSIZE : HTTP_LINE_MAX);
	}
	feed("GET / HTTP/1.1\r\n");
	for (int i = 0; i < HTTP_FIELDS_MAX; i++)
		assert_int_equal(http_request_feed(&r, "a: b\r\n", 6), 6);
	assert_int_equal(http_request_feed(&r, "a: b\r\n", 6), -EMSGSIZE);
	feed("GET / HTTP/1.1\r\n");
	memset(line, 'x', sizeof(line));
	line[1] = ':';
	memcpy(line + 1000, "\r\n", 2);
	for (int i = 0; i < 8; i++)
		assert_int_equal(http_request_feed(&r, line, 1002), 1002);
	assert_int_equal(http_request_feed(&r, line, 1002), -EMSGSIZE);
}

static void test_http_response_has_the_form_clients_know(void **state)
{
	auto_fini(buf) struct buf b = { 0 };

	(void)state;
	http_response_put(&b, &(struct http_response){ .status = 204, .minor = 1, .server = "S" });
	assert_string_equal(buf_str(&b), "HTTP/1.1 204 \r\nServer: S\r\nConnection: keep-alive\r\n\r\n");
	b.len = 0;
	http_response_put(&b, &(struct http_response){ .status = 405,
						       .server = "S",
						       .close = true,
						       .deprecated = true,
						       .allow = "GET, PUT",
						       .type = "text/plain",
						       .body = "no",
						       .body_len = 2 });
	assert_string_equal(buf_str(&b),
			    "HTTP/1.0 405 \r\nServer: S\r\nConnection: close\r\nDeprecation: true\r\n"
			    "Allow: GET, PUT\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nno");
	b.len = 0;
	http_response_put(&b, &(struct http_response){
				      .status = 200, .minor = 1, .server = "S", .body = "", .body_len = 0 });
	assert_non_null(strstr(buf_str(&b), "Content-Type: application/json\r\nContent-Length: 0\r\n\r\n"));
	b.len = 0;
	http_continue_put(&b, 1, "S");
	assert_string_equal(buf_str(&b), "HTTP/1.1 100 \r\nServer: S\r\nConnection: keep-alive\r\n\r\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_http_request_is_cut_into_its_parts),
		cmocka_unit_test(test_http_request_may_arrive_byte_by_byte),
		cmocka_unit_test(test_http_request_names_methods_and_targets),
		cmocka_unit_test(test_http_request_refuses_what_makes_no_sense),
		cmocka_unit_test(test_http_request_has_limits),
		cmocka_unit_test(test_http_response_has_the_form_clients_know),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
