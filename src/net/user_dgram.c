/* SPDX-License-Identifier: Apache-2.0 */
/*
 * user_dgram.c - UDP, pings and DHCP of the user-mode network
 *
 * A conversation is four numbers and a connected socket, so nobody but the one the guest spoke to can answer. When there are
 * USER_DGRAM_MAX of them a new one takes the place of the one that has been silent for longest.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/guard.h"
#include "net/user_internal.h"
#include "sys/call.h"

enum {
	UDP_AT = LINK_HDR_BYTES + INET_ETH_BYTES + INET_V4_BYTES,
	UDP_DATA_AT = UDP_AT + INET_UDP_BYTES,
	UDP_DATA_MAX = 65507,
	DHCP_SERVER = 67,
	DHCP_CLIENT = 68,
	DHCP_BYTES = 236, /* of the fixed part */
	DHCP_OPTIONS = DHCP_BYTES + 4,
	DHCP_IN_MAX = 576,
	DHCP_LEASE_S = 86400,
	ECHO_REQUEST = 8,
	ECHO_REPLY = 0,
	ICMP_BYTES = 8,
};

enum { DHCP_DISCOVER = 1, DHCP_OFFER, DHCP_REQUEST, DHCP_DECLINE, DHCP_ACK, DHCP_NAK };
static const uint8_t dhcp_cookie[] = { 0x63, 0x82, 0x53, 0x63 }; /* RFC 2131 §3: options follow */

/* --- DHCP --------------------------------------------------------------------------------------------------- */

/* option() - the value of option @code, at least @min bytes; NULL. Spec: RFC 2132 §2 */
static const uint8_t *option(const uint8_t *p, size_t len, uint8_t code, size_t min)
{
	for (size_t i = DHCP_OPTIONS; i < len && p[i] != 255;) {
		if (p[i] == 0) {
			i++;
			continue;
		}
		if (i + 2 > len || i + 2 + p[i + 1] > len)
			return NULL;
		if (p[i] == code)
			return p[i + 1] >= min ? p + i + 2 : NULL;
		i += 2 + p[i + 1];
	}
	return NULL;
}

static uint8_t *put_option(uint8_t *o, uint8_t code, uint32_t value)
{
	o[0] = code;
	o[1] = 4;
	inet_put32(o + 2, value);
	return o + 6;
}

/* dhcp_reply() - Spec: RFC 2131 §4.3 */
static void dhcp_reply(struct user *u, const uint8_t *in, uint8_t type)
{
	uint8_t *f = user__small(u), *p, *o;
	bool nak = type == DHCP_NAK;
	size_t len;
	const struct inet_frame v = { .type = ETHERTYPE_V4, .proto = INET_UDP, .l3 = 14, .l4 = 34 };
	struct inet_frame whole = v;

	if (!f)
		return;
	p = f + UDP_DATA_AT;
	p[0] = 2;
	p[1] = 1;
	p[2] = 6;
	memcpy(p + 4, in + 4, 4);   /* transaction */
	memcpy(p + 10, in + 10, 2); /* flags */
	if (!nak)
		inet_put32(p + 16, u->guest);
	inet_put32(p + 20, u->gateway);
	memcpy(p + 28, in + 28, 16); /* hardware address */
	memcpy(p + DHCP_BYTES, dhcp_cookie, sizeof(dhcp_cookie));
	o = p + DHCP_OPTIONS;
	*o++ = 53;
	*o++ = 1;
	*o++ = type;
	o = put_option(o, 54, u->gateway);
	if (!nak) {
		o = put_option(o, 1, u->mask);
		o = put_option(o, 51, DHCP_LEASE_S);
		if (!u->restricted) {
			o = put_option(o, 3, u->gateway);
			o = put_option(o, 6, u->dns);
		}
	}
	*o++ = 255;
	len = (size_t)(o - p) < 300 ? 300 : (size_t)(o - p); /* as long as BOOTP's, which some wait for */
	user__eth(f, nak || in[10] & 0x80 ? (const uint8_t *)"\xff\xff\xff\xff\xff\xff" : in + 28,
		  ETHERTYPE_V4);
	user__v4(f + LINK_HDR_BYTES + INET_ETH_BYTES, u->gateway,
		 nak || in[10] & 0x80 ? INADDR_BROADCAST : u->guest, INET_UDP, INET_UDP_BYTES + len);
	inet_put16(f + UDP_AT, DHCP_SERVER);
	inet_put16(f + UDP_AT + 2, DHCP_CLIENT);
	inet_put16(f + UDP_AT + 4, (uint32_t)(INET_UDP_BYTES + len));
	whole.end = (uint32_t)(whole.l4 + INET_UDP_BYTES + len);
	inet_l4_csum(f + LINK_HDR_BYTES, &whole);
	user__small_done(u, UDP_DATA_AT + len);
}

static void dhcp_in(struct user *u, const struct iovec *iov, unsigned n, const struct inet_frame *v)
{
	uint8_t p[DHCP_IN_MAX];
	size_t len = v->end - v->payload;
	const uint8_t *type, *wants;
	uint32_t ciaddr;

	len = link_iov_copy(p, len < sizeof(p) ? len : sizeof(p), iov, n, LINK_HDR_BYTES + v->payload);
	if (len < DHCP_OPTIONS || p[0] != 1 || p[1] != 1 || p[2] != 6 ||
	    memcmp(p + DHCP_BYTES, dhcp_cookie, sizeof(dhcp_cookie)) != 0)
		return;
	type = option(p, len, 53, 1);
	wants = option(p, len, 50, 4);
	ciaddr = inet_get32(p + 12);
	if (type && *type == DHCP_DISCOVER)
		dhcp_reply(u, p, DHCP_OFFER);
	if (type && *type == DHCP_REQUEST)
		dhcp_reply(u, p, (wants ? inet_get32(wants) : ciaddr) == u->guest ? DHCP_ACK : DHCP_NAK);
}

/* --- conversations ------------------------------------------------------------------------------------------ */

static void on_socket(void *arg, uint32_t events)
{
	struct flow *f = arg;

	(void)events;
	f->readable = true;
	user__flow_ready(f);
	link_tell(&f->u->link);
}

/* make_room() - drop the one that has been silent for longest. */
static void make_room(struct user *u)
{
	struct flow *oldest = NULL;

	if (u->n_dgram < USER_DGRAM_MAX)
		return;
	for (unsigned i = 0; i < USER_BUCKETS; i++)
		for (struct flow *f = u->bucket[i]; f; f = f->next)
			if (f->key.kind != FLOW_TCP && (!oldest || f->heard < oldest->heard))
				oldest = f;
	if (oldest)
		user__flow_drop(oldest);
}

/* flow_new() - @fd: taken, -1: the socket of a forwarded port. */
static struct flow *flow_new(struct user *u, const struct flow_key *k, const uint8_t *mac, int fd)
{
	struct flow *f = calloc(1, sizeof(*f));

	make_room(u);
	if (!f) {
		guard_close(&fd);
		return NULL;
	}
	f->key = *k;
	memcpy(f->mac, mac, 6);
	if (user__flow_add(u, f, fd, EPOLLIN | EPOLLET, on_socket) < 0) {
		free(f);
		return NULL;
	}
	return f;
}

/* open_flow() - for the first datagram to somewhere. */
static struct flow *open_flow(struct user *u, const struct flow_key *k, const uint8_t *mac)
{
	struct sockaddr_in to;
	long fd;

	if (!user__far(u, k->far, k->fport, &to))
		return NULL;
	fd = SYS3(SYS_socket, AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
		  k->kind == FLOW_PING ? IPPROTO_ICMP : 0);
	if (fd < 0) /* pings: net.ipv4.ping_group_range may leave us out */
		return NULL;
	if (SYS3(SYS_connect, fd, &to, sizeof(to)) < 0) {
		int mine = (int)fd;

		guard_close(&mine);
		return NULL;
	}
	return flow_new(u, k, mac, (int)fd);
}

/* post() - @len bytes of the guest's frame from @off on. What the host does not take is lost, as datagrams are. */
static void post(struct flow *f, const struct iovec *iov, unsigned n, size_t off, size_t len)
{
	struct iovec v[LINK_IOV_MAX];
	struct msghdr msg = { .msg_iov = v };

	for (unsigned i = 0, k = link_iov_skip(v, iov, n, off); i < k && len > 0; i++) {
		if (v[i].iov_len > len)
			v[i].iov_len = len;
		len -= v[i].iov_len;
		msg.msg_iovlen = i + 1;
	}
	if (f->fwd) {
		msg.msg_name = &f->client;
		msg.msg_namelen = sizeof(f->client);
	}
	SYS3(SYS_sendmsg, f->fwd ? f->fwd->fd : f->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void user__udp_in(struct user *u, const struct iovec *iov, unsigned n, const uint8_t *eth,
		  const struct inet_frame *v)
{
	const uint8_t *l4 = eth + v->l4;
	size_t len = inet_get16(l4 + 4);
	struct flow_key k = { .kind = FLOW_UDP,
			      .guest = inet_get32(eth + v->l3 + 12),
			      .far = inet_get32(eth + v->l3 + 16),
			      .gport = inet_get16(l4),
			      .fport = inet_get16(l4 + 2) };
	struct flow *f;

	if (v->payload == 0 || len < INET_UDP_BYTES || len > v->end - v->l4) {
		u->link.n_dropped++;
		return;
	}
	if (k.fport == DHCP_SERVER && (k.far == u->gateway || k.far == INADDR_BROADCAST)) {
		dhcp_in(u, iov, n, v);
		return;
	}
	f = user__find(u, &k);
	if (!f)
		f = open_flow(u, &k, eth + 6);
	if (!f) {
		u->link.n_dropped++;
		return;
	}
	f->heard = time_now_ns(CLOCK_MONOTONIC);
	post(f, iov, n, LINK_HDR_BYTES + v->payload, len - INET_UDP_BYTES);
}

/* echo() - of the gateway and the name server: by ourselves. */
static void echo(struct user *u, const struct iovec *iov, unsigned n, const uint8_t *eth,
		 const struct inet_frame *v)
{
	size_t len = v->end - v->l4;
	uint8_t *f, *icmp;

	if (len > USER_SMALL_BYTES - UDP_AT)
		return;
	f = user__small(u);
	if (!f)
		return;
	icmp = f + UDP_AT;
	link_iov_copy(icmp, len, iov, n, LINK_HDR_BYTES + v->l4);
	icmp[0] = ECHO_REPLY;
	inet_put16(icmp + 2, 0);
	inet_put16(icmp + 2, inet_csum(inet_sum(0, icmp, len)));
	user__eth(f, eth + 6, ETHERTYPE_V4);
	user__v4(f + LINK_HDR_BYTES + INET_ETH_BYTES, inet_get32(eth + v->l3 + 16),
		 inet_get32(eth + v->l3 + 12), INET_ICMP, len);
	user__small_done(u, UDP_AT + len);
}

void user__icmp_in(struct user *u, const struct iovec *iov, unsigned n, const uint8_t *eth,
		   const struct inet_frame *v)
{
	const uint8_t *icmp = eth + v->l4;
	size_t len = v->end - v->l4;
	struct flow_key k = { .kind = FLOW_PING,
			      .guest = inet_get32(eth + v->l3 + 12),
			      .far = inet_get32(eth + v->l3 + 16),
			      .gport = inet_get16(icmp + 4) };
	struct flow *f;

	if (len < ICMP_BYTES || icmp[0] != ECHO_REQUEST || icmp[1] != 0)
		return;
	if (k.far == u->gateway || k.far == u->dns) {
		echo(u, iov, n, eth, v);
		return;
	}
	f = user__find(u, &k);
	if (!f)
		f = open_flow(u, &k, eth + 6);
	if (!f)
		return;
	f->heard = time_now_ns(CLOCK_MONOTONIC);
	post(f, iov, n, LINK_HDR_BYTES + v->l4, len);
}

/* wrap() - the @len bytes of transport header and payload in u->bounce, as a frame for the guest of @f. */
static long wrap(struct flow *f, size_t len, const struct iovec *iov, unsigned n)
{
	struct user *u = f->u;
	uint8_t *b = u->bounce;
	struct inet_frame v = { .type = ETHERTYPE_V4,
				.proto = INET_UDP,
				.l3 = INET_ETH_BYTES,
				.l4 = INET_ETH_BYTES + INET_V4_BYTES,
				.end = (uint32_t)(INET_ETH_BYTES + INET_V4_BYTES + len) };

	memset(b, 0, LINK_HDR_BYTES);
	b[10] = 1;
	user__eth(b, f->mac, ETHERTYPE_V4);
	user__v4(b + LINK_HDR_BYTES + INET_ETH_BYTES, f->key.far, f->key.guest,
		 f->key.kind == FLOW_PING ? INET_ICMP : INET_UDP, len);
	if (f->key.kind == FLOW_PING) {
		inet_put16(b + UDP_AT + 4, f->key.gport); /* the host's kernel has put its own */
		inet_put16(b + UDP_AT + 2, 0);
		inet_put16(b + UDP_AT + 2, inet_csum(inet_sum(0, b + UDP_AT, len)));
	} else {
		inet_put16(b + UDP_AT, f->key.fport);
		inet_put16(b + UDP_AT + 2, f->key.gport);
		inet_put16(b + UDP_AT + 4, (uint32_t)len);
		inet_l4_csum(b + LINK_HDR_BYTES, &v);
	}
	f->heard = time_now_ns(CLOCK_MONOTONIC);
	len += UDP_AT;
	if (link_iov_fill(iov, n, 0, b, len) < len) {
		u->link.n_dropped++;
		return -EMSGSIZE;
	}
	return (long)len;
}

long user__dgram_out(struct flow *f, const struct iovec *iov, unsigned n)
{
	size_t head = f->key.kind == FLOW_PING ? 0 : INET_UDP_BYTES;
	long r;

	if (!f->readable)
		return 0;
	do { /* an error that ICMP reported (nobody listens there) is read away */
		r = SYS6(SYS_recvfrom, f->fd, f->u->bounce + UDP_AT + head, UDP_DATA_MAX, MSG_DONTWAIT, NULL,
			 NULL);
	} while (r == -ECONNREFUSED || r == -EHOSTUNREACH || r == -ENETUNREACH);
	if (r < (long)(head ? 0 : ICMP_BYTES)) {
		f->readable = false;
		return 0;
	}
	return wrap(f, (size_t)r + head, iov, n);
}

/* client_flow() - of somebody who speaks to a forwarded port. */
static struct flow *client_flow(struct hostfwd *h, const struct sockaddr_in *from)
{
	struct user *u = h->u;
	struct flow_key k = { .kind = FLOW_UDP, .guest = h->guest, .far = u->gateway, .gport = h->gport };
	struct flow *f;

	for (unsigned i = 0; i < USER_BUCKETS; i++)
		for (f = u->bucket[i]; f; f = f->next)
			if (f->fwd == h && f->client.sin_port == from->sin_port &&
			    f->client.sin_addr.s_addr == from->sin_addr.s_addr)
				return f;
	do {
		k.fport = user__port(u);
	} while (user__find(u, &k));
	f = flow_new(u, &k, u->mac, -1);
	if (f) {
		f->fwd = h;
		f->client = *from;
	}
	return f;
}

long user__fwd_out(struct hostfwd *h, const struct iovec *iov, unsigned n)
{
	struct user *u = h->u;
	struct sockaddr_in from = { 0 };
	socklen_t len = sizeof(from);
	struct flow *f;
	long r = SYS6(SYS_recvfrom, h->fd, u->bounce + UDP_DATA_AT, UDP_DATA_MAX, MSG_DONTWAIT, &from, &len);

	if (r < 0) {
		h->readable = false;
		return 0;
	}
	f = u->has_mac ? client_flow(h, &from) : NULL;
	if (!f) {
		u->link.n_dropped++;
		return 0;
	}
	memcpy(f->mac, u->mac, 6);
	return wrap(f, (size_t)r + INET_UDP_BYTES, iov, n);
}
