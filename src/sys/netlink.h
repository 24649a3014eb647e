/* SPDX-License-Identifier: Apache-2.0 */
/* netlink.h - rtnetlink(7): one request, its acknowledgement or its dump */
#ifndef SYS_NETLINK_H
#define SYS_NETLINK_H

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stddef.h>
#include <stdint.h>

enum { NL_MESSAGE_MAX = 4096 };

/* A message being built; sticky: nl_send() reports that it grew too long. */
struct nl_msg {
	union {
		struct nlmsghdr header;
		char room[NL_MESSAGE_MAX];
	};
	int rc;
};

int nl_open(void); /* a route socket in the caller's network namespace, which it stays in */
/* nl_start() - @family is what follows the header (struct ifinfomsg, ifaddrmsg), @len bytes. */
void nl_start(struct nl_msg *m, uint16_t type, uint16_t flags, const void *family, size_t len);
void nl_attr(struct nl_msg *m, uint16_t type, const void *bytes, size_t len);
void nl_attr_u32(struct nl_msg *m, uint16_t type, uint32_t v);
void nl_attr_str(struct nl_msg *m, uint16_t type, const char *s);
/* nl_send() - send with NLM_F_ACK and wait for the answer: 0 or the kernel's -errno. */
int nl_send(int fd, struct nl_msg *m);
/* nl_dump() - send with NLM_F_DUMP; @each for every object; a non-zero return of it ends the dump and is returned. */
int nl_dump(int fd, struct nl_msg *m, int (*each)(void *arg, const struct nlmsghdr *h), void *arg);

#endif
