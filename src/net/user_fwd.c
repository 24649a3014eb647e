/* SPDX-License-Identifier: Apache-2.0 */
/*
 * user_fwd.c - ports of the host that lead to the guest: "tcp:127.0.0.1:8080-:80,udp::5353-10.0.2.15:53"
 *
 * Each is protocol:[host address]:host port-[guest address]:guest port. No host address is all of them; no guest address, the
 * one that DHCP gives. They are bound when the link is opened, so a machine can be jailed afterwards.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "net/user_internal.h"
#include "sys/call.h"

static void on_port(void *arg, uint32_t events)
{
	struct hostfwd *h = arg;

	(void)events;
	if (h->udp) {
		h->readable = true;
		link_tell(&h->u->link);
	} else {
		user__tcp_accept(h);
	}
}

/* parse_end() - "[address]:port". */
static bool parse_end(char *s, uint32_t fallback, uint32_t *ret_addr, uint16_t *ret_port)
{
	char *colon = strrchr(s, ':');
	struct in_addr a;
	uint64_t port;

	if (!colon || str_to_u64(colon + 1, &port) < 0 || port == 0 || port > 65535)
		return false;
	*colon = '\0';
	if (*s && inet_pton(AF_INET, s, &a) != 1)
		return false;
	*ret_addr = *s ? ntohl(a.s_addr) : fallback;
	*ret_port = (uint16_t)port;
	return true;
}

static int listen_at(struct hostfwd *h, uint32_t addr, uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons(port),
				 .sin_addr.s_addr = htonl(addr) };
	auto_close int fd = -1;
	int one = 1;
	long r;

	fd = (int)SYS3(SYS_socket, AF_INET,
		       (h->udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	if (!h->udp)
		SYS5(SYS_setsockopt, fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	r = SYS3(SYS_bind, fd, &a, sizeof(a));
	if (r == 0 && !h->udp)
		r = SYS2(SYS_listen, fd, 128);
	if (r == 0)
		r = loop_add(h->u->loop, &h->source, fd, EPOLLIN | EPOLLET);
	if (r < 0)
		return (int)r;
	h->fd = TAKE_FD(fd);
	return 0;
}

static int one(struct user *u, char *text, struct err *e)
{
	struct hostfwd *h = &u->fwd[u->n_fwds];
	auto_free char *whole = strdup(text);
	char *from = strchr(text, ':'), *to = from ? strchr(from, '-') : NULL;
	uint32_t addr;
	uint16_t port;
	int r;

	if (!whole)
		return err_sys(e, ENOMEM, "forwarded port");
	if (u->n_fwds == USER_HOSTFWD_MAX)
		return err_set(e, E2BIG, "forwarded port '%s': there are %d already", whole,
			       USER_HOSTFWD_MAX);
	*h = (struct hostfwd){ .u = u, .fd = -1, .source = { .fd = -1, .ready = on_port, .arg = h } };
	if (to) {
		*from++ = '\0';
		*to++ = '\0';
		h->udp = str_eq(text, "udp");
	}
	if (!to || (!h->udp && !str_eq(text, "tcp")) || !parse_end(from, INADDR_ANY, &addr, &port) ||
	    !parse_end(to, u->guest, &h->guest, &h->gport))
		return err_set(e, EINVAL, "forwarded port '%s': want tcp|udp:[HOST-IP]:PORT-[GUEST-IP]:PORT",
			       whole);
	if ((h->guest & u->mask) != u->net)
		return err_set(e, EINVAL, "forwarded port '%s': the guest's address is not in its network",
			       whole);
	r = listen_at(h, addr, port);
	if (r < 0)
		return err_sys(e, -r, "forwarded port '%s'", whole);
	u->n_fwds++;
	return 0;
}

int user__hostfwd(struct user *u, const char *text, struct err *e)
{
	auto_fini(strv) struct strv parts = { 0 };
	int r;

	strv_split(&parts, text, ',');
	r = strv_finish(&parts);
	for (size_t i = 0; i < parts.len && r == 0; i++)
		r = one(u, parts.item[i], e);
	return r;
}
