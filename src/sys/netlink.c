/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/netlink.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "sys/call.h"

enum { NL_RECEIVE_BYTES = 32768 };

int nl_open(void)
{
	return (int)SYS3(SYS_socket, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
}

void nl_start(struct nl_msg *m, uint16_t type, uint16_t flags, const void *family, size_t len)
{
	memset(m, 0, sizeof(*m));
	m->header.nlmsg_type = type;
	m->header.nlmsg_flags = NLM_F_REQUEST | flags;
	m->header.nlmsg_len = (uint32_t)NLMSG_LENGTH(len);
	memcpy(NLMSG_DATA(&m->header), family, len);
}

void nl_attr(struct nl_msg *m, uint16_t type, const void *bytes, size_t len)
{
	size_t at = NLMSG_ALIGN(m->header.nlmsg_len);
	struct rtattr *a = (struct rtattr *)(void *)(m->room + at);

	if (at + RTA_SPACE(len) > sizeof(m->room)) {
		m->rc = -EMSGSIZE;
		return;
	}
	a->rta_type = type;
	a->rta_len = (uint16_t)RTA_LENGTH(len);
	memcpy(RTA_DATA(a), bytes, len);
	m->header.nlmsg_len = (uint32_t)(at + RTA_LENGTH(len));
}

void nl_attr_u32(struct nl_msg *m, uint16_t type, uint32_t v)
{
	nl_attr(m, type, &v, sizeof(v));
}

void nl_attr_str(struct nl_msg *m, uint16_t type, const char *s)
{
	nl_attr(m, type, s, strlen(s) + 1);
}

static long nl_write(int fd, const struct nl_msg *m)
{
	return m->rc < 0 ? m->rc : SYS6(SYS_sendto, fd, m->room, m->header.nlmsg_len, 0, NULL, 0);
}

static long nl_read(int fd, void *dst, size_t size)
{
	long n;

	do {
		n = SYS6(SYS_recvfrom, fd, dst, size, 0, NULL, NULL);
	} while (n == -EINTR);
	return n;
}

int nl_send(int fd, struct nl_msg *m)
{
	union {
		struct nlmsghdr header;
		char room[NL_MESSAGE_MAX];
	} answer;
	const struct nlmsgerr *report = NLMSG_DATA(&answer.header);
	long n;

	m->header.nlmsg_flags |= NLM_F_ACK;
	n = nl_write(fd, m);
	if (n >= 0)
		n = nl_read(fd, &answer, sizeof(answer));
	if (n < 0)
		return (int)n;
	if (!NLMSG_OK(&answer.header, (size_t)n) || answer.header.nlmsg_type != NLMSG_ERROR)
		return -EPROTO;
	return report->error;
}

int nl_dump(int fd, struct nl_msg *m, int (*each)(void *arg, const struct nlmsghdr *h), void *arg)
{
	union {
		struct nlmsghdr header;
		char room[NL_RECEIVE_BYTES];
	} answer;
	int r = 0;
	long n;

	m->header.nlmsg_flags |= NLM_F_DUMP;
	n = nl_write(fd, m);
	while (n >= 0 && (n = nl_read(fd, &answer, sizeof(answer))) >= 0) {
		size_t left = (size_t)n;

		for (struct nlmsghdr *h = &answer.header; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
			if (h->nlmsg_type == NLMSG_DONE)
				return r;
			if (h->nlmsg_type == NLMSG_ERROR)
				return ((const struct nlmsgerr *)NLMSG_DATA(h))->error;
			if (r ==
			    0) /* after a failure the rest is still read: the socket must be empty for the next */
				r = each(arg, h);
		}
	}
	return (int)n;
}
