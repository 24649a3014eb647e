/* SPDX-License-Identifier: Apache-2.0 */
#include "io/frame.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static void test_frame_arrives_whole_with_its_type(void **state)
{
	static char big[FRAME_MAX], got[FRAME_MAX];
	const size_t len[] = { 0, 1, 4096, FRAME_MAX };
	int s[2];

	(void)state;
	memset(big, 'x', sizeof(big));
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s), 0);
	for (size_t i = 0; i < sizeof(len) / sizeof(len[0]); i++) {
		uint8_t type = 0;

		assert_int_equal(frame_send(s[0], (uint8_t)(i + 1), big, len[i], -1, true), 0);
		assert_int_equal(frame_recv(s[1], &type, got, sizeof(got), NULL, true), (int)len[i]);
		assert_int_equal(type, i + 1);
		assert_memory_equal(got, big, len[i]);
	}
	close(s[0]);
	close(s[1]);
}

static void test_frame_carries_a_descriptor_with_cloexec(void **state)
{
	int s[2], p[2], fd = -1;
	uint8_t type;
	char c = 0;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, s), 0);
	assert_int_equal(pipe(p), 0);
	assert_int_equal(frame_send(s[0], 9, "z", 1, p[1], true), 0);
	assert_int_equal(frame_recv(s[1], &type, &c, 1, &fd, true), 1);
	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(write(fd, "q", 1), 1);
	assert_int_equal(read(p[0], &c, 1), 1);
	assert_int_equal(c, 'q');
	/* a descriptor nobody asked for is closed, not leaked */
	assert_int_equal(frame_send(s[0], 9, NULL, 0, p[1], true), 0);
	assert_int_equal(frame_recv(s[1], &type, NULL, 0, NULL, true), 0);
	close(fd);
	close(p[1]);
	assert_int_equal(read(p[0], &c, 1), 0);
	close(p[0]);
	close(s[0]);
	close(s[1]);
}

static void test_frame_refuses_what_is_too_long_and_tells_the_end(void **state)
{
	static char big[FRAME_MAX + 1];
	uint8_t type;
	int s[2], n = 0;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, s), 0);
	assert_int_equal(frame_send(s[0], 1, big, sizeof(big), -1, true), -EMSGSIZE);
	assert_int_equal(frame_recv(s[1], &type, big, 10, NULL, false), -EAGAIN);
	assert_int_equal(frame_send(s[0], 1, big, 11, -1, true), 0);
	assert_int_equal(frame_recv(s[1], &type, big, 10, NULL, false), -EPROTO);
	while (frame_send(s[0], 1, big, FRAME_MAX, -1, false) == 0)
		assert_true(++n < 10000);
	assert_int_equal(frame_send(s[0], 1, big, FRAME_MAX, -1, false), -EAGAIN);
	close(s[0]);
	while (n-- > 0)
		assert_int_equal(frame_recv(s[1], &type, big, FRAME_MAX, NULL, false), FRAME_MAX);
	assert_int_equal(frame_recv(s[1], &type, big, FRAME_MAX, NULL, false), -EPIPE);
	assert_int_equal(frame_send(s[1], 1, NULL, 0, -1, true), -EPIPE);
	close(s[1]);
}

static void test_frame_last_words_arrive_from_a_peer_that_did_not_listen(void **state)
{
	uint8_t type = 0;
	char c;
	int s[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, s), 0);
	assert_int_equal(frame_send(s[0], 1, "never read", 10, -1, true), 0);
	assert_int_equal(frame_send(s[1], 7, "!", 1, -1, true), 0);
	close(s[1]);
	assert_int_equal(frame_recv(s[0], &type, &c, 1, NULL, true), 1);
	assert_int_equal(type, 7);
	assert_int_equal(frame_recv(s[0], &type, &c, 1, NULL, true), -EPIPE);
	close(s[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frame_arrives_whole_with_its_type),
		cmocka_unit_test(test_frame_carries_a_descriptor_with_cloexec),
		cmocka_unit_test(test_frame_refuses_what_is_too_long_and_tells_the_end),
		cmocka_unit_test(test_frame_last_words_arrive_from_a_peer_that_did_not_listen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
