/* SPDX-License-Identifier: Apache-2.0 */
#include "net/mmds.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "net/guest_testing.h"
#include "net/inet.h"
#include "net/mmds_internal.h"

static bool can;

#define NEED_TAP()                                                                                           \
	do {                                                                                                 \
		if (!can) {                                                                                  \
			print_message("needs /dev/net/tun and a network namespace\n");                       \
			skip();                                                                              \
		}                                                                                            \
	} while (0)

/* --- the store ---------------------------------------------------------------------------------------------- */

static int put(struct mmds *m, const char *json)
{
	return mmds_put(m, json, strlen(json), NULL);
}

static void assert_holds(const struct mmds *m, const char *want)
{
	auto_fini(buf) struct buf got = { 0 };

	mmds_get(m, &got);
	assert_string_equal(buf_str(&got), want);
}

static void test_mmds_merges_as_rfc_7396_says(void **state)
{
	/* the table of RFC 7396, appendix A */
	static const struct {
		const char *doc, *patch, *want;
	} row[] = {
		{ "{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}" },
		{ "{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}" },
		{ "{\"a\":\"b\"}", "{\"a\":null}", "{}" },
		{ "{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}" },
		{ "{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}" },
		{ "{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}" },
		{ "{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}" },
		{ "{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}" },
		{ "[\"a\",\"b\"]", "[\"c\",\"d\"]", "[\"c\",\"d\"]" },
		{ "{\"a\":\"b\"}", "[\"c\"]", "[\"c\"]" },
		{ "{\"a\":\"foo\"}", "null", "null" },
		{ "{\"a\":\"foo\"}", "\"bar\"", "\"bar\"" },
		{ "{\"e\":null}", "{\"a\":1}", "{\"a\":1,\"e\":null}" },
		{ "[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}" },
		{ "{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}" },
	};
	struct mmds *m;

	(void)state;
	assert_int_equal(mmds_new(&m, MMDS_LIMIT_DEFAULT, NULL), 0);
	for (size_t i = 0; i < sizeof(row) / sizeof(*row); i++) {
		assert_int_equal(put(m, row[i].doc), 0);
		assert_int_equal(mmds_patch(m, row[i].patch, strlen(row[i].patch), NULL), 0);
		assert_holds(m, row[i].want);
	}
	mmds_free(m);
}

static void test_mmds_refuses_what_does_not_fit_and_keeps_what_it_has(void **state)
{
	struct mmds *m;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(mmds_new(&m, 20, NULL), 0);
	assert_false(mmds_has_data(m));
	assert_holds(m, "null");
	assert_int_equal(mmds_patch(m, "{}", 2, &e), -ENODATA);
	assert_string_equal(e.text, "The MMDS data store is not initialized.");
	assert_int_equal(put(m, "{\"a\": \"12345678901\"}"), 0); /* 19 bytes without the space */
	assert_int_equal(mmds_patch(m, "{\"b\":1}", 7, &e), -EMSGSIZE);
	assert_int_equal(put(m, "{\"a\":\"1234567890123\"}"), -EMSGSIZE);
	assert_int_equal(put(m, "{\"a\":"), -EINVAL);
	assert_holds(m, "{\"a\":\"12345678901\"}");
	mmds_free(m);
}

static void test_mmds_takes_link_local_addresses_only(void **state)
{
	static const struct {
		uint32_t a;
		int want;
	} row[] = { { 0, 0 },
		    { 0xa9fe0100, 0 },
		    { 0xa9fefeff, 0 },
		    { 0xa9fe00ff, -EINVAL },
		    { 0xa9feff00, -EINVAL },
		    { 0x0a000001, -EINVAL } };
	struct mmds *m;

	(void)state;
	assert_int_equal(mmds_new(&m, 100, NULL), 0);
	for (size_t i = 0; i < sizeof(row) / sizeof(*row); i++)
		assert_int_equal(mmds_configure(m, &(struct mmds_config){ .ipv4_address = row[i].a }, NULL),
				 row[i].want);
	mmds_free(m);
}

static void test_mmds_tokens_are_its_own_and_end(void **state)
{
	char token[MMDS_TOKEN_MAX];
	struct mmds *m, *other;

	(void)state;
	assert_int_equal(mmds_new(&m, 100, NULL), 0);
	assert_int_equal(mmds_new(&other, 100, NULL), 0);
	mmds__token(m, 60, token);
	assert_true(mmds__token_ok(m, token));
	assert_false(mmds__token_ok(other, token));
	token[3] ^= 1;
	assert_false(mmds__token_ok(m, token));
	assert_false(mmds__token_ok(m, ""));
	mmds__token(m, 0, token);
	assert_false(mmds__token_ok(m, token));
	mmds_free(m);
	mmds_free(other);
}

/* --- the service, asked by the kernel's TCP ------------------------------------------------------------------ */

struct adapter {
	struct link link;
	struct mmds_net *net;
};

static int adapter_send(struct link *l, const struct iovec *iov, unsigned n)
{
	if (!mmds_net_send(((struct adapter *)l)->net, iov, n))
		l->n_dropped++;
	return 0;
}

static long adapter_recv(struct link *l, const struct iovec *iov, unsigned n)
{
	return mmds_net_recv(((struct adapter *)l)->net, iov, n);
}

static int adapter_offloads(struct link *l, unsigned tun_f)
{
	mmds_net_offloads(((struct adapter *)l)->net, tun_f);
	return 0;
}

static void adapter_free(struct link *l)
{
	mmds_net_free(((struct adapter *)l)->net);
	free(l);
}

static const struct link_ops adapter_ops = {
	.name = "mmds",
	.send = adapter_send,
	.recv = adapter_recv,
	.offloads = adapter_offloads,
	.free = adapter_free,
};

static void adapter_ready(void *arg)
{
	link_tell(arg);
}

static void service_up(struct guest *g, struct mmds **m, enum mmds_version v, bool offloads)
{
	struct mmds_config c = { .version = v };
	struct adapter *a = calloc(1, sizeof(*a));

	assert_non_null(a);
	guest_up(g, "169.254.1.1", NULL);
	assert_int_equal(mmds_new(m, MMDS_LIMIT_DEFAULT, NULL), 0);
	assert_int_equal(mmds_configure(*m, &c, NULL), 0);
	a->link.ops = &adapter_ops;
	assert_int_equal(mmds_net_new(&a->net, *m, &g->loop, adapter_ready, &a->link, NULL), 0);
	assert_int_equal(put(*m, "{\"latest\":{\"meta-data\":{\"ami-id\":\"ami-1\",\"n\":5,\"zone\":{\"x\":1}"
				 "},\"list\":[\"p\",\"q\"]}}"),
			 0);
	guest_link(g, &a->link, offloads);
}

/* ask() - one request on a connection of its own. Return: the status; the body in @ret. */
static int ask(const char *request, char *ret, size_t size)
{
	int fd = guest_connect("169.254.169.254", 80), status = 0;
	static char got[70000];
	size_t len = 0;
	ssize_t n;
	char *body;

	if (fd < 0)
		fail_msg("connect: %s", err_name(-fd));
	assert_int_equal(write(fd, request, strlen(request)), strlen(request));
	shutdown(fd, SHUT_WR);
	while ((n = read(fd, got + len, sizeof(got) - 1 - len)) > 0)
		len += (size_t)n;
	if (n < 0)
		fail_msg("%s: %s", request, err_name(errno));
	close(fd);
	got[len] = '\0';
	assert_int_equal(sscanf(got, "HTTP/1.%*d %d", &status), 1);
	body = strstr(got, "\r\n\r\n");
	assert_non_null(body);
	if (strstr(request, "HEADERS"))
		body = got;
	assert_true(str_copy(ret, size, body == got ? got : body + 4));
	return status;
}

#define ASK(text, want_status, want_body)                                                                    \
	do {                                                                                                 \
		assert_int_equal(ask(text "\r\n", got, sizeof(got)), want_status);                           \
		assert_string_equal(got, want_body);                                                         \
	} while (0)

static void test_mmds_v1_answers_the_kernels_tcp(void **state)
{
	static struct guest g;
	struct mmds *m;
	char got[1024];

	(void)state;
	NEED_TAP();
	service_up(&g, &m, MMDS_V1, true);
	ASK("GET / HTTP/1.1\r\n", 200, "latest/");
	ASK("GET /latest/meta-data HTTP/1.1\r\n", 200, "ami-id\nn\nzone/");
	ASK("GET /latest//meta-data/ami-id/ HTTP/1.1\r\nAccept: */*\r\n", 200, "ami-1");
	ASK("GET /latest/meta-data/zone HTTP/1.1\r\nAccept: application/json\r\n", 200, "{\"x\":1}");
	ASK("GET /latest/list/1 HTTP/1.0\r\n", 200, "q");
	ASK("GET /latest/list/01 HTTP/1.0\r\n", 404, "Resource not found: /latest/list/01.");
	ASK("GET /latest/meta-data/n HTTP/1.1\r\n", 501,
	    "Cannot retrieve value. The value has an unsupported type.");
	ASK("GET /nothing HTTP/1.1\r\n", 404, "Resource not found: /nothing.");
	ASK("POST /latest HTTP/1.1\r\n", 405, "Not allowed HTTP method.");
	assert_int_equal(ask("POST /latest HTTP/1.1\r\nX-Y: HEADERS\r\n\r\n", got, sizeof(got)), 405);
	assert_non_null(strstr(got, "\r\nAllow: GET, PUT\r\n"));
	assert_int_equal(ask("nonsense\r\n\r\n", got, sizeof(got)), 400);
	guest_down(&g);
	mmds_free(m);
}

static void test_mmds_v2_wants_a_token(void **state)
{
	static struct guest g;
	struct mmds *m;
	char got[1024], request[512], token[MMDS_TOKEN_MAX];

	(void)state;
	NEED_TAP();
	service_up(&g, &m, MMDS_V2, false);
	assert_int_equal(ask("GET / HTTP/1.1\r\n\r\n", got, sizeof(got)), 401);
	ASK("GET / HTTP/1.1\r\nX-metadata-token: abc\r\n", 401, "MMDS token not valid.");
	assert_int_equal(ask("PUT /latest/api/token HTTP/1.1\r\n\r\n", got, sizeof(got)), 400);
	ASK("PUT /latest/api/token HTTP/1.1\r\nX-metadata-token-ttl-seconds: 21601\r\n", 400,
	    "Invalid time to live value provided for token: 21601. Please provide a value between 1 and "
	    "21600.");
	ASK("PUT /latest/api/token HTTP/1.1\r\nX-metadata-token-ttl-seconds: 60\r\nX-Forwarded-For: "
	    "1.2.3.4\r\n",
	    400, "Invalid header. Reason: Unsupported header name. Key: X-Forwarded-For.");
	ASK("PUT /elsewhere HTTP/1.1\r\nX-metadata-token-ttl-seconds: 60\r\n", 404,
	    "Resource not found: /elsewhere.");
	assert_int_equal(
		ask("PUT /latest/api/token HTTP/1.1\r\nX-aws-ec2-metadata-token-ttl-seconds: 60\r\n\r\n", got,
		    sizeof(got)),
		200);
	assert_true(str_copy(token, sizeof(token), got));
	str_format(request, sizeof(request),
		   "GET /latest/meta-data/ami-id HTTP/1.1\r\nX-aws-ec2-metadata-token: %s\r\n\r\n", token);
	assert_int_equal(ask(request, got, sizeof(got)), 200);
	assert_string_equal(got, "ami-1");
	guest_down(&g);
	mmds_free(m);
}

static void test_mmds_sends_long_documents_in_pieces(void **state)
{
	static struct guest g;
	static char doc[50000], got[60000];
	struct mmds *m;

	(void)state;
	NEED_TAP();
	for (int offloads = 0; offloads < 2; offloads++) {
		service_up(&g, &m, MMDS_V1, offloads);
		memset(doc, 'x', sizeof(doc));
		memcpy(doc, "{\"a\":\"", 6);
		memcpy(doc + sizeof(doc) - 3, "\"}", 3);
		assert_int_equal(put(m, doc), 0);
		assert_int_equal(ask("GET / HTTP/1.1\r\nAccept: application/json\r\n\r\n", got, sizeof(got)),
				 200);
		assert_string_equal(got, doc);
		guest_down(&g);
		mmds_free(m);
	}
}

static void test_mmds_keeps_connections_up_to_its_limit(void **state)
{
	static struct guest g;
	struct mmds *m;
	int fd[MMDS_CONNECTIONS_MAX + 5], open_ones = 0;

	(void)state;
	NEED_TAP();
	service_up(&g, &m, MMDS_V1, true);
	for (int i = 0; i < MMDS_CONNECTIONS_MAX + 5; i++) {
		fd[i] = guest_connect("169.254.169.254", 80);
		open_ones += fd[i] >= 0;
	}
	assert_int_equal(open_ones, MMDS_CONNECTIONS_MAX);
	for (int i = 0; i < MMDS_CONNECTIONS_MAX; i++) {
		/* two requests in one go, the second's end later */
		static const char two[] =
			"GET /latest/list/0 HTTP/1.1\r\n\r\nGET /latest/list/1 HTTP/1.1\r\n";
		char got[512] = "";
		size_t len = 0;
		ssize_t n;

		assert_int_equal(write(fd[i], two, strlen(two)), strlen(two));
		assert_int_equal(write(fd[i], "\r\n", 2), 2);
		while (!strstr(got, "\r\n\r\nq") && (n = read(fd[i], got + len, sizeof(got) - 1 - len)) > 0)
			got[len += (size_t)n] = '\0';
		assert_non_null(strstr(got, "\r\n\r\np"));
		assert_non_null(strstr(got, "\r\n\r\nq"));
	}
	for (int i = 0; i < MMDS_CONNECTIONS_MAX + 5; i++)
		if (fd[i] >= 0)
			close(fd[i]);
	assert_int_equal(guest_connect("169.254.169.254", 81), -ECONNREFUSED);
	assert_int_equal(guest_connect("169.254.7.7", 80), -EHOSTUNREACH); /* no ARP but for the one */
	guest_down(&g);
	mmds_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mmds_merges_as_rfc_7396_says),
		cmocka_unit_test(test_mmds_refuses_what_does_not_fit_and_keeps_what_it_has),
		cmocka_unit_test(test_mmds_takes_link_local_addresses_only),
		cmocka_unit_test(test_mmds_tokens_are_its_own_and_end),
		cmocka_unit_test(test_mmds_v1_answers_the_kernels_tcp),
		cmocka_unit_test(test_mmds_v2_wants_a_token),
		cmocka_unit_test(test_mmds_sends_long_documents_in_pieces),
		cmocka_unit_test(test_mmds_keeps_connections_up_to_its_limit),
	};

	can = guest_possible();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
