/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/sock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "sys/file.h"

static char dir[32];
static int top = -1;

static int setup(void **state)
{
	(void)state;
	str_copy(dir, sizeof(dir), "/tmp/hull-test-sock.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	top = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return top < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	(void)state;
	fd_close(&top);
	return file_remove_tree(AT_FDCWD, dir, NULL);
}

/* open_fds() - how many descriptors this process has. */
static int open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* send_fds() - one byte with @n copies of standard input. */
static void send_fds(int sock, int n)
{
	union {
		char room[CMSG_SPACE(8 * sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { .iov_base = (char[]){ 'x' }, .iov_len = 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.room,
			      .msg_controllen = CMSG_SPACE((size_t)n * sizeof(int)) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	*c = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
			       .cmsg_type = SCM_RIGHTS,
			       .cmsg_len = CMSG_LEN((size_t)n * sizeof(int)) };
	for (int i = 0; i < n; i++) {
		int fd = top;

		memcpy(CMSG_DATA(c) + (size_t)i * sizeof(int), &fd, sizeof(fd));
	}
	assert_int_equal(sendmsg(sock, &msg, 0), 1);
}

static void test_a_descriptor_goes_over_with_its_bytes(void **state)
{
	char bytes[8] = "";
	struct stat a, b;
	int s[2], fd = -1;

	(void)state;
	assert_int_equal(sock_pair(SOCK_STREAM, s), 0);
	assert_int_equal(fcntl(s[0], F_GETFD), FD_CLOEXEC);
	assert_int_equal(sock_send_fd(s[0], "hello", 5, top), 5);
	assert_int_equal(sock_recv_fd(s[1], bytes, sizeof(bytes), &fd), 5);
	assert_string_equal(bytes, "hello");
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fstat(fd, &a), 0);
	assert_int_equal(fstat(top, &b), 0);
	assert_int_equal(a.st_ino, b.st_ino);
	close(fd);
	assert_int_equal(sock_send_fd(s[0], "x", 1, -1), 1);
	assert_int_equal(sock_recv_fd(s[1], bytes, sizeof(bytes), &fd), 1);
	assert_int_equal(fd, -1);
	close(s[0]);
	assert_int_equal(sock_recv_fd(s[1], bytes, sizeof(bytes), &fd), 0);
	assert_int_equal(fd, -1);
	assert_int_equal(sock_send_fd(s[1], "x", 1, -1), -EPIPE); /* and no signal */
	close(s[1]);
}

static void test_a_peer_that_sends_many_descriptors_leaves_one(void **state)
{
	int s[2];
	char byte;

	(void)state;
	assert_int_equal(sock_pair(SOCK_STREAM, s), 0);
	for (int n = 1; n <= 8; n++) {
		int before = open_fds(), fd = -1;

		send_fds(s[0], n);
		assert_int_equal(sock_recv_fd(s[1], &byte, 1, &fd), 1);
		assert_true(fd >= 0);
		assert_int_equal(open_fds(), before + 1);
		close(fd);
	}
	close(s[0]);
	close(s[1]);
}

static void test_a_socket_is_made_in_a_directory_with_its_mode(void **state)
{
	auto_close int l = sock_listen_at(top, "s", SOCK_STREAM, 0600);
	auto_close int c = sock_connect_at(top, "s", SOCK_STREAM);
	auto_close int a = sock_accept(l);
	struct stat st;
	uid_t uid = 12345;

	(void)state;
	assert_true(l >= 0);
	assert_true(c >= 0);
	assert_true(a >= 0);
	assert_int_equal(fcntl(l, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(c, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(a, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fstatat(top, "s", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(sock_peer_uid(a, &uid), 0);
	assert_int_equal(uid, geteuid());
	assert_int_equal(sock_listen_at(top, "s", SOCK_STREAM, 0600), -EADDRINUSE);
	assert_int_equal(sock_connect_at(top, "none", SOCK_STREAM), -ENOENT);
}

static void test_a_long_path_is_reached_through_its_directory(void **state)
{
	auto_close int l = -1;
	auto_close int c = -1;
	char sub[120], path[256];
	int d;

	(void)state;
	memset(sub, 'd', sizeof(sub) - 1);
	sub[sizeof(sub) - 1] = '\0';
	assert_int_equal(mkdirat(top, sub, 0700), 0);
	d = openat(top, sub, O_RDONLY | O_DIRECTORY);
	l = sock_listen_at(d, "s", SOCK_SEQPACKET, 0600);
	close(d);
	assert_true(l >= 0);
	snprintf(path, sizeof(path), "%s/%s/s", dir, sub);
	c = sock_connect_at(AT_FDCWD, path, SOCK_SEQPACKET);
	assert_true(c >= 0);
	snprintf(path, sizeof(path), "%s/%s/none", dir, sub);
	assert_int_equal(sock_connect_at(AT_FDCWD, path, SOCK_SEQPACKET), -ENOENT);
	assert_int_equal(sock_listen_at(AT_FDCWD, path, SOCK_SEQPACKET, 0600), -ENAMETOOLONG);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_a_descriptor_goes_over_with_its_bytes),
		T(test_a_peer_that_sends_many_descriptors_leaves_one),
		T(test_a_socket_is_made_in_a_directory_with_its_mode),
		T(test_a_long_path_is_reached_through_its_directory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
