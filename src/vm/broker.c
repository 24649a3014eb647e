/* SPDX-License-Identifier: Apache-2.0 */
#include "vm/broker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/guard.h"
#include "sys/file.h"
#include "sys/ns.h"
#include "sys/sock.h"
#include "sys/title.h"
#include "virtio/vsock.h"

enum { FD_SOCK = 3, FD_DIR, FD_END };

/* serve() - until the machine is gone. */
static void serve(const char *name)
{
	uint32_t port;
	int fd;

	while (sock_recv_fd(FD_SOCK, &port, sizeof(port), &fd) == sizeof(port)) {
		int32_t answer;

		if (fd >= 0) /* nothing is wanted from there */
			close(fd);
		fd = vsock_connect_at(FD_DIR, name, port);
		answer = fd < 0 ? fd : 0;
		sock_send_fd(FD_SOCK, &answer, sizeof(answer), fd);
		if (fd >= 0)
			close(fd);
	}
}

static _Noreturn void broker_main(const char *name)
{
	struct stat was, is;
	bool known = file_fstatat(FD_DIR, name, &was, AT_SYMLINK_NOFOLLOW) == 0;
	sigset_t all;

	title_set("hull: vsock broker");
	sigfillset(&all); /* a signal to the terminal's group is for the machine; its end is ours */
	sigprocmask(SIG_SETMASK, &all, NULL);
	serve(name);
	/* a file that took the socket's place is not ours */
	if (known && file_fstatat(FD_DIR, name, &is, AT_SYMLINK_NOFOLLOW) == 0 && is.st_ino == was.st_ino &&
	    is.st_dev == was.st_dev)
		file_unlink(FD_DIR, name, 0);
	_exit(0);
}

/* settle() - in the child: the two descriptors where they belong, no other left. Those wanted may stand in each other's way. */
static int settle(int sock, int dirfd)
{
	int high_sock = fcntl(sock, F_DUPFD_CLOEXEC, FD_END),
	    high_dir = fcntl(dirfd, F_DUPFD_CLOEXEC, FD_END);

	if (high_sock < 0 || high_dir < 0 || fd_dup_to(high_sock, FD_SOCK, true) < 0 ||
	    fd_dup_to(high_dir, FD_DIR, true) < 0)
		return -EMFILE;
	return fd_close_from(FD_END);
}

int broker_start(int dirfd, const char *name, struct err *e)
{
	int pair[2] = { -1, -1 };
	int r = sock_pair(SOCK_SEQPACKET, pair);
	pid_t pid = r < 0 ? r : ns_fork();

	if (pid == 0) {
		if (settle(pair[1], dirfd) < 0)
			_exit(1);
		broker_main(name);
	}
	fd_close(&pair[1]);
	if (pid < 0) {
		fd_close(&pair[0]);
		return err_sys(e, -pid, "the vsock broker");
	}
	return pair[0];
}

/* syscalls(sockets): recvmsg sendmsg */
int broker_connect(int sock, uint32_t port)
{
	int32_t answer = -EPIPE;
	int fd = -1;
	ssize_t n = sock_send_fd(sock, &port, sizeof(port), -1);

	if (n > 0)
		n = sock_recv_fd(sock, &answer, sizeof(answer), &fd);
	if (n != sizeof(answer) || answer < 0 || fd < 0) {
		fd_close(&fd);
		return n < 0 ? (int)n : answer < 0 ? answer : -EPROTO;
	}
	return fd;
}
