/* SPDX-License-Identifier: Apache-2.0 */
#include "io/frame.h"

#include <string.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/guard.h"
#include "sys/call.h"

union control {
	struct cmsghdr head; /* alignment */
	char room[CMSG_SPACE(sizeof(int))];
};

int frame_send(int sock, uint8_t type, const void *payload, size_t len, int fd, bool wait)
{
	struct iovec part[2] = { { &type, 1 }, { (void *)(uintptr_t)payload, len } };
	struct msghdr m = { .msg_iov = part, .msg_iovlen = len ? 2 : 1 };
	union control control = { 0 };
	long r;

	if (len > FRAME_MAX)
		return -EMSGSIZE;
	if (fd >= 0) {
		m.msg_control = &control;
		m.msg_controllen = sizeof(control.room);
		control.head = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
						 .cmsg_type = SCM_RIGHTS,
						 .cmsg_len = CMSG_LEN(sizeof(int)) };
		memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
	}
	do {
		r = SYS3(SYS_sendmsg, sock, &m, MSG_NOSIGNAL | (wait ? 0 : MSG_DONTWAIT));
	} while (r == -EINTR);
	return r < 0 ? (r == -ECONNRESET ? -EPIPE : (int)r) : 0;
}

static int control_fd(struct msghdr *m)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(m);
	int fd = -1;

	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
	    c->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

ssize_t frame_recv(int sock, uint8_t *ret_type, void *payload, size_t size, int *ret_fd, bool wait)
{
	uint8_t type;
	struct iovec part[2] = { { &type, 1 }, { payload, size } };
	union control control;
	struct msghdr m = { .msg_iov = part,
			    .msg_iovlen = size ? 2 : 1,
			    .msg_control = &control,
			    .msg_controllen = sizeof(control.room) };
	auto_close int fd = -1;
	long r;

	/* A peer that closed without reading all of ours leaves ECONNRESET, told once, in front of its own
	 * last words. */
	do {
		r = SYS3(SYS_recvmsg, sock, &m, MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT));
	} while (r == -EINTR || r == -ECONNRESET);
	if (r <= 0)
		return r == 0 ? -EPIPE : r;
	fd = control_fd(&m);
	if (m.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
		return -EPROTO;
	*ret_type = type;
	if (ret_fd)
		*ret_fd = TAKE_FD(fd);
	return r - 1;
}
