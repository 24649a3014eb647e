/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/guard.h"
#include "base/str.h"
#include "sys/call.h"
#include "sys/file.h"

int sock_pair(int type, int ret_fd[2])
{
	return (int)SYS4(SYS_socketpair, AF_UNIX, type | SOCK_CLOEXEC, 0, ret_fd);
}

/* sock_addr() - the address of @name in @dirfd; through /proc/self/fd when that is a real descriptor. */
static int sock_addr(int dirfd, const char *name, struct sockaddr_un *ret_addr)
{
	size_t room = sizeof(ret_addr->sun_path), n;

	*ret_addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (dirfd == AT_FDCWD || *name == '/')
		n = str_format(ret_addr->sun_path, room, "%s", name);
	else
		n = str_format(ret_addr->sun_path, room, "/proc/self/fd/%d/%s", dirfd, name);
	return n < room ? 0 : -ENAMETOOLONG;
}

int sock_listen_at(int dirfd, const char *name, int type, mode_t mode)
{
	auto_close int fd = -1;
	struct sockaddr_un addr;
	long r = sock_addr(dirfd, name, &addr);

	if (r < 0)
		return (int)r;
	fd = (int)SYS3(SYS_socket, AF_UNIX, type | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	r = SYS2(SYS_fchmod, fd, mode); /* bind(2) gives the file the socket's own mode, less the umask */
	if (r == 0)
		r = SYS3(SYS_bind, fd, &addr, sizeof(addr));
	if (r == 0)
		r = SYS2(SYS_listen, fd, 128);
	return r < 0 ? (int)r : TAKE_FD(fd);
}

int sock_connect_at(int dirfd, const char *name, int type)
{
	auto_close int fd = -1;
	auto_close int dir = -1;
	struct sockaddr_un addr;
	long r = sock_addr(dirfd, name, &addr);
	char *slash;

	if (r == -ENAMETOOLONG) { /* a long path: go through its directory */
		char path[4096];

		if (!str_copy(path, sizeof(path), name) || !(slash = strrchr(path, '/')))
			return -ENAMETOOLONG;
		*slash = '\0';
		dir = file_open(dirfd, *path ? path : "/", O_PATH | O_DIRECTORY, 0);
		r = dir < 0 ? dir : sock_addr(dir, slash + 1, &addr);
	}
	if (r < 0)
		return (int)r;
	fd = (int)SYS3(SYS_socket, AF_UNIX, type | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	do {
		r = SYS3(SYS_connect, fd, &addr, sizeof(addr));
	} while (r == -EINTR);
	return r < 0 ? (int)r : TAKE_FD(fd);
}

int sock_accept(int fd)
{
	long r;

	do {
		r = SYS4(SYS_accept4, fd, NULL, NULL, SOCK_CLOEXEC);
	} while (r == -EINTR || r == -ECONNABORTED);
	return (int)r;
}

ssize_t sock_send_fd(int sock, const void *bytes, size_t len, int fd)
{
	union {
		char room[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)bytes, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	long r;

	if (fd >= 0) {
		struct cmsghdr *c;

		msg.msg_control = control.room;
		msg.msg_controllen = sizeof(control.room);
		c = CMSG_FIRSTHDR(&msg);
		*c = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
				       .cmsg_type = SCM_RIGHTS,
				       .cmsg_len = CMSG_LEN(sizeof(int)) };
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	do {
		r = SYS3(SYS_sendmsg, sock, &msg, MSG_NOSIGNAL);
	} while (r == -EINTR);
	return r;
}

/* take_fds() - the first descriptor that came; whatever more a peer sent is closed. */
static int take_fds(struct msghdr *msg)
{
	int first = -1;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t n = c->cmsg_len > CMSG_LEN(0) ? (c->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (first < 0)
				first = fd;
			else
				fd_close(&fd);
		}
	}
	return first;
}

ssize_t sock_recv_fd(int sock, void *bytes, size_t len, int *ret_fd)
{
	union {
		char room[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { .iov_base = bytes, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.room,
			      .msg_controllen = sizeof(control.room) };
	long r;

	do {
		r = SYS3(SYS_recvmsg, sock, &msg, MSG_CMSG_CLOEXEC);
	} while (r == -EINTR);
	if (r < 0)
		return r;
	*ret_fd = take_fds(&msg);
	return r;
}

int sock_peer_uid(int sock, uid_t *ret_uid)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	long r = SYS5(SYS_getsockopt, sock, SOL_SOCKET, SO_PEERCRED, &cred, &len);

	if (r == 0)
		*ret_uid = cred.uid;
	return (int)r;
}

int sock_peer_pid(int sock, pid_t *ret_pid)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	long r = SYS5(SYS_getsockopt, sock, SOL_SOCKET, SO_PEERCRED, &cred, &len);

	if (r == 0)
		*ret_pid = cred.pid;
	return (int)r;
}

int sock_loopback_up(void)
{
	auto_close int fd = (int)SYS3(SYS_socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq req = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };

	return fd < 0 ? fd : (int)SYS3(SYS_ioctl, fd, SIOCSIFFLAGS, &req);
}
