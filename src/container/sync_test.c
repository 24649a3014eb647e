/* SPDX-License-Identifier: Apache-2.0 */
#include "container/sync.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/guard.h"
#include "sys/call.h"
#include "sys/sock.h"

static int sock[2];

static int setup(void **state)
{
	(void)state;
	return sock_pair(SOCK_SEQPACKET, sock);
}

static int teardown(void **state)
{
	(void)state;
	sys_call = sys_call_real;
	fd_close(&sock[0]);
	fd_close(&sock[1]);
	return 0;
}

static void test_a_message_arrives_with_its_value(void **state)
{
	struct err e = { 0 };
	int32_t value = 0;

	(void)state;
	assert_int_equal(sync_send(sock[0], SYNC_MAP, 4711, &e), 0);
	assert_int_equal(sync_send(sock[0], SYNC_GO, -1, &e), 0);
	assert_int_equal(sync_recv(sock[1], &value, &e), SYNC_MAP);
	assert_int_equal(value, 4711);
	assert_int_equal(sync_expect(sock[1], SYNC_GO, NULL, &e), SYNC_GO);
	assert_int_equal(e.code, 0);
}

static void test_an_error_arrives_as_it_was(void **state)
{
	struct err sent = { 0 }, got = { 0 };

	(void)state;
	err_set(&sent, ENOTDIR, "mounts[3]: '%s'", "x");
	sync_fail(sock[0], -ENOTDIR, &sent);
	assert_int_equal(sync_recv(sock[1], NULL, &got), -ENOTDIR);
	assert_int_equal(got.code, ENOTDIR);
	assert_string_equal(got.text, "mounts[3]: 'x'");
	sync_fail(sock[0], -ENOTDIR, &sent);
	assert_int_equal(sync_expect(sock[1], SYNC_GO, NULL, NULL), -ENOTDIR);
}

static void test_an_error_without_text_gets_one(void **state)
{
	const struct err none = { 0 };
	struct err got = { 0 };

	(void)state;
	sync_fail(sock[0], -EMFILE, &none);
	assert_int_equal(sync_recv(sock[1], NULL, &got), -EMFILE);
	assert_string_equal(got.text, "Too many open files");
	sync_fail(sock[0], 0, &none); /* a failure is never success */
	assert_int_equal(sync_recv(sock[1], NULL, &got), -EIO);
}

static void test_the_end_of_the_other_side_is_an_error_of_its_own(void **state)
{
	struct err e = { 0 };

	(void)state;
	fd_close(&sock[0]);
	assert_int_equal(sync_recv(sock[1], NULL, &e), -ECONNRESET);
	assert_string_equal(e.text, "the other process ended without a word");
	assert_int_equal(sync_send(sock[1], SYNC_GO, 0, &e), -EPIPE); /* and no SIGPIPE */
	assert_string_equal(e.text, "talk to the other process: Broken pipe");
	assert_int_equal(sync_send(sock[1], SYNC_GO, 0, NULL), -EPIPE);
}

static void test_an_unexpected_message_is_refused(void **state)
{
	struct err e = { 0 };

	(void)state;
	sync_send(sock[0], SYNC_MAP, 0, NULL);
	assert_int_equal(sync_expect(sock[1], SYNC_GO, NULL, &e), -EPROTO);
	assert_string_equal(e.text, "the other process sent message 1, want 4");
}

static void test_half_a_message_is_refused(void **state)
{
	const struct sync_msg failed = { .type = SYNC_FAILED, .value = -EPERM, .err = { .text = "x" } };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(send(sock[0], &failed, 3, 0), 3);
	assert_int_equal(sync_recv(sock[1], NULL, &e), -ECONNRESET);
	assert_int_equal(send(sock[0], &failed, 40, 0), 40);
	assert_int_equal(sync_recv(sock[1], NULL, &e), -EPROTO);
	assert_string_equal(e.text, "the other process sent half a message");
}

static void test_a_text_without_an_end_is_cut(void **state)
{
	struct sync_msg m = { .type = SYNC_FAILED, .value = -EPERM };
	struct err e = { 0 };

	(void)state;
	memset(m.err.text, 'x', sizeof(m.err.text));
	assert_int_equal(send(sock[0], &m, sizeof(m), 0), sizeof(m));
	assert_int_equal(sync_recv(sock[1], NULL, &e), -EPERM);
	assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
}

static bool interrupt;

static long interrupted(long nr, long a, long b, long c, long d, long e, long f)
{
	interrupt = !interrupt;
	return interrupt ? -EINTR : sys_call_real(nr, a, b, c, d, e, f);
}

static void test_a_signal_does_not_lose_a_message(void **state)
{
	int32_t value = 0;

	(void)state;
	sys_call = interrupted;
	assert_int_equal(sync_send(sock[0], SYNC_MAP, 1, NULL), 0);
	assert_int_equal(sync_recv(sock[1], &value, NULL), SYNC_MAP);
	assert_int_equal(value, 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_a_message_arrives_with_its_value),
		T(test_an_error_arrives_as_it_was),
		T(test_an_error_without_text_gets_one),
		T(test_the_end_of_the_other_side_is_an_error_of_its_own),
		T(test_an_unexpected_message_is_refused),
		T(test_half_a_message_is_refused),
		T(test_a_text_without_an_end_is_cut),
		T(test_a_signal_does_not_lose_a_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
