/* SPDX-License-Identifier: Apache-2.0 */
/*
 * user.c - a network for a guest without privileges on the host: its packets become this process's sockets
 *
 * Theory of operation. The guest sees an Ethernet with three neighbours, all with our MAC: the gateway (.2, also the host's
 * loopback), the name server (.3, the host's resolver) and whatever else it asks for by the gateway. DHCP gives it .15. Each
 * TCP connection, UDP conversation and ping is a flow with a socket of its own, connected to where the guest wants to go; what
 * the socket says comes back under the address the guest used. Frames for the guest are pulled by its card: a flow that may
 * have one stands in the queue of the ready, each in its turn.
 *
 * TCP ends here (tcp.h) and begins anew in the host's kernel; nothing is kept on the way to the guest: segments are peeked from
 * the socket's buffer straight into the guest's memory, and taken from it when they are acknowledged. With the guest's
 * offloads, both ways in pieces of 64 KiB and without a checksum: the bytes never leave this machine's memory between the two.
 *
 * Why not libslirp or lwIP: Debian has the first only as a shared library, and on GLib; the second wants to own the addresses it
 * answers for, and copies. What is here needs no table of pointers and no constructor, and every count has a limit
 * (user_internal.h).
 *
 * Non-goals: IPv6; fragments from the guest (they are dropped); ICMP errors; incoming connections but for forwarded ports.
 * Restricted: DHCP, ARP, pings of the gateway, and forwarded ports; nothing else.
 *
 * The guest is hostile: headers are copied once and checked, and it can raise nothing but the numbers of flows and the bytes
 * that wait for the host's sockets, which are bounded. Destinations 127.0.0.0/8, 0.0.0.0/8, multicast and broadcast are none.
 */
#include <arpa/inet.h>
#include <linux/if_tun.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/err.h"
#include "base/guard.h"
#include "base/str.h"
#include "net/user_internal.h"
#include "sys/file.h"

enum {
	HOST_GATEWAY = 2,
	HOST_DNS = 3,
	HOST_GUEST = 15,
	PORT_FIRST = 49152,
	RESOLV_MAX = 64 << 10,
	HEAD_BYTES = LINK_HDR_BYTES + INET_ETH_BYTES + 60 + INET_TCP_BYTES,
	RESOLVER_PORT = 53
};

const uint8_t user__mac[6] = { 0x52, 0x55, 0x0a, 0x00, 0x02, 0x02 };

/* --- flows -------------------------------------------------------------------------------------------------- */

static struct flow **bucket(struct user *u, const struct flow_key *k)
{
	uint32_t h = k->far * 2654435761U ^ ((uint32_t)k->gport << 16 | k->fport) * 2246822519U ^ k->guest ^
		     k->kind;

	return &u->bucket[(h ^ h >> 15) % USER_BUCKETS];
}

static bool same(const struct flow_key *a, const struct flow_key *b)
{
	return a->kind == b->kind && a->guest == b->guest && a->far == b->far && a->gport == b->gport &&
	       a->fport == b->fport;
}

struct flow *user__find(struct user *u, const struct flow_key *k)
{
	for (struct flow *f = *bucket(u, k); f; f = f->next)
		if (same(&f->key, k))
			return f;
	return NULL;
}

int user__flow_add(struct user *u, struct flow *f, int fd, uint32_t events,
		   void (*ready)(void *arg, uint32_t events))
{
	struct flow **b = bucket(u, &f->key);

	f->u = u;
	f->fd = fd;
	f->heard = time_now_ns(CLOCK_MONOTONIC);
	f->source = (struct loop_source){ .fd = -1, .ready = ready, .arg = f };
	if (fd >= 0) {
		int r = loop_add(u->loop, &f->source, fd, events);

		if (r < 0) {
			fd_close(&f->fd);
			return r;
		}
	}
	f->next = *b;
	*b = f;
	*(f->key.kind == FLOW_TCP ? &u->n_tcp : &u->n_dgram) += 1;
	if (u->tick.at == 0)
		loop_timer_set(u->loop, &u->tick, USER_TICK_NS);
	return 0;
}

static void flow_free(struct flow *f)
{
	if (f->key.kind == FLOW_TCP)
		user__tcp_free((struct tcp_flow *)f);
	free(f);
}

void user__flow_drop(struct flow *f)
{
	struct user *u = f->u;
	struct flow **at = bucket(u, &f->key);

	if (f->dead)
		return;
	while (*at && *at != f)
		at = &(*at)->next;
	if (*at)
		*at = f->next;
	*(f->key.kind == FLOW_TCP ? &u->n_tcp : &u->n_dgram) -= 1;
	loop_remove(u->loop, &f->source);
	fd_close(&f->fd);
	f->dead = true;
	if (!f->queued)
		flow_free(f);
}

void user__flow_ready(struct flow *f)
{
	if (f->queued || f->dead)
		return;
	f->queued = true;
	f->ready_next = NULL;
	*f->u->ready_tail = f;
	f->u->ready_tail = &f->ready_next;
}

static struct flow *ready_pop(struct user *u)
{
	struct flow *f = u->ready_head;

	if (!f)
		return NULL;
	u->ready_head = f->ready_next;
	if (!u->ready_head)
		u->ready_tail = &u->ready_head;
	f->queued = false;
	return f;
}

void user__soon(struct user *u)
{
	if (u->soon.at == 0)
		loop_timer_set(u->loop, &u->soon, 0);
}

static void on_soon(void *arg)
{
	link_tell(&((struct user *)arg)->link);
}

uint16_t user__port(struct user *u)
{
	if (u->next_port < PORT_FIRST)
		u->next_port = PORT_FIRST;
	return u->next_port++;
}

bool user__far(const struct user *u, uint32_t addr, uint16_t port, struct sockaddr_in *ret)
{
	uint32_t to = addr;

	if (u->restricted || addr >> 24 == 0 || addr >> 24 == 127 || addr >> 28 >= 14)
		return false;
	if (addr == u->gateway)
		to = INADDR_LOOPBACK;
	else if (addr == u->dns && port == RESOLVER_PORT && u->resolver)
		to = u->resolver;
	else if ((addr & u->mask) == u->net) /* nobody else is there */
		return false;
	*ret = (struct sockaddr_in){ .sin_family = AF_INET,
				     .sin_port = htons(port),
				     .sin_addr.s_addr = htonl(to) };
	return true;
}

/* --- frames of our own -------------------------------------------------------------------------------------- */

uint8_t *user__small(struct user *u)
{
	uint8_t *p;

	if (u->n_small == USER_SMALL_MAX) {
		u->link.n_dropped++;
		return NULL;
	}
	p = u->small[(u->small_at + u->n_small) % USER_SMALL_MAX].bytes;
	memset(p, 0, USER_SMALL_BYTES);
	p[10] = 1; /* num_buffers */
	return p;
}

void user__small_done(struct user *u, size_t len)
{
	u->small[(u->small_at + u->n_small++) % USER_SMALL_MAX].len = len;
	user__soon(u);
}

static long small_out(struct user *u, const struct iovec *iov, unsigned n)
{
	size_t len = u->small[u->small_at].len;
	bool fits = link_iov_fill(iov, n, 0, u->small[u->small_at].bytes, len) == len;

	u->small_at = (u->small_at + 1) % USER_SMALL_MAX;
	u->n_small--;
	return fits ? (long)len : -EMSGSIZE;
}

void user__eth(uint8_t *frame, const uint8_t *to, uint16_t type)
{
	memcpy(frame + LINK_HDR_BYTES, to, 6);
	memcpy(frame + LINK_HDR_BYTES + 6, user__mac, 6);
	inet_put16(frame + LINK_HDR_BYTES + 12, type);
}

void user__v4(uint8_t *l3, uint32_t src, uint32_t dst, uint8_t proto, size_t len)
{
	memset(l3, 0, INET_V4_BYTES);
	l3[0] = 0x45;
	inet_put16(l3 + 2, (uint32_t)(INET_V4_BYTES + len));
	l3[8] = 64;
	l3[9] = proto;
	inet_put32(l3 + 12, src);
	inet_put32(l3 + 16, dst);
	inet_v4_csum(l3);
}

static void arp(struct user *u, uint16_t op, const uint8_t *mac, uint32_t from, uint32_t to)
{
	static const uint8_t head[] = { 0, 1, 8, 0, 6, 4, 0 };
	uint8_t *f = user__small(u), *a;

	if (!f)
		return;
	user__eth(f, mac, ETHERTYPE_ARPS);
	a = f + LINK_HDR_BYTES + INET_ETH_BYTES;
	memcpy(a, head, sizeof(head));
	a[7] = (uint8_t)op;
	memcpy(a + 8, user__mac, 6);
	inet_put32(a + 14, from);
	if (op == 2)
		memcpy(a + 18, mac, 6);
	inet_put32(a + 24, to);
	user__small_done(u, LINK_HDR_BYTES + INET_ETH_BYTES + INET_ARP_BYTES);
}

/* arp_in() - whoever in our network is asked for is us, but for the guest itself. Spec: RFC 826 */
static void arp_in(struct user *u, const uint8_t *a, size_t len)
{
	uint32_t target;

	if (len < INET_ARP_BYTES || memcmp(a, "\0\1\10\0\6\4\0", 7) != 0)
		return;
	target = inet_get32(a + 24);
	if (a[7] == 1 && (target == u->gateway || target == u->dns))
		arp(u, 2, a + 8, target, inet_get32(a + 14));
}

/* --- link --------------------------------------------------------------------------------------------------- */

static int user_send(struct link *l, const struct iovec *iov, unsigned n)
{
	struct user *u = (struct user *)l;
	uint8_t head[HEAD_BYTES] = { 0 };
	size_t have = link_iov_copy(head, sizeof(head), iov, n, 0) - LINK_HDR_BYTES;
	size_t all = link_iov_bytes(iov, n) - LINK_HDR_BYTES;
	const uint8_t *eth = head + LINK_HDR_BYTES;
	struct inet_frame v;

	if (!(eth[6] & 1)) {
		memcpy(u->mac, eth + 6, 6);
		u->has_mac = true;
	}
	if (inet_get16(eth + 12) == ETHERTYPE_ARPS) {
		arp_in(u, eth + INET_ETH_BYTES, have - INET_ETH_BYTES);
		return 0;
	}
	/* The lengths are checked against the whole frame; headers lie in the part that was copied, or it is dropped. */
	if (inet_get16(eth + 12) != ETHERTYPE_V4 || inet_parse(&v, eth, all) < 0 || v.fragment ||
	    (size_t)v.l4 + INET_UDP_BYTES > have) {
		l->n_dropped += inet_get16(eth + 12) == ETHERTYPE_V4;
		return 0;
	}
	switch (v.proto) {
	case INET_TCP: user__tcp_in(u, iov, n); break;
	case INET_UDP: user__udp_in(u, iov, n, eth, &v); break;
	case INET_ICMP: user__icmp_in(u, iov, n, eth, &v); break;
	default: l->n_dropped++; break;
	}
	return 0;
}

/* flow_out() - a frame of the first ready flow that has one. */
static long flow_out(struct user *u, const struct iovec *iov, unsigned n)
{
	struct flow *f;
	long r;

	while ((f = ready_pop(u))) {
		if (f->dead) {
			flow_free(f);
			continue;
		}
		r = f->key.kind == FLOW_TCP ? user__tcp_out((struct tcp_flow *)f, iov, n) :
					      user__dgram_out(f, iov, n);
		if (f->key.kind == FLOW_TCP && user__tcp_done((struct tcp_flow *)f))
			user__flow_drop(f);
		else if (r != 0) /* perhaps more: but first the others */
			user__flow_ready(f);
		if (r != 0)
			return r;
	}
	return 0;
}

static long user_recv(struct link *l, const struct iovec *iov, unsigned n)
{
	struct user *u = (struct user *)l;
	long r = 0;

	if (u->n_small > 0)
		return small_out(u, iov, n);
	while (u->n_refusals > 0 && r == 0)
		r = tcp_refuse(&u->refusal[--u->n_refusals], &u->wire, iov, n);
	if (r == 0)
		r = flow_out(u, iov, n);
	for (unsigned i = 0; i < u->n_fwds && r == 0; i++)
		if (u->fwd[i].udp && u->fwd[i].readable)
			r = user__fwd_out(&u->fwd[i], iov, n);
	return r == 0 ? -EAGAIN : r;
}

static int user_offloads(struct link *l, unsigned tun_f)
{
	((struct user *)l)->wire.tun_f = tun_f;
	return 0;
}

/* dgram_idle() - how long a conversation may be silent. */
static nsec_t dgram_idle(const struct flow *f)
{
	return f->key.kind == FLOW_PING || f->key.fport == RESOLVER_PORT ? USER_DNS_IDLE_NS :
									   USER_UDP_IDLE_NS;
}

static void on_tick(void *arg)
{
	struct user *u = arg;
	nsec_t now = time_now_ns(CLOCK_MONOTONIC);
	bool wants_mac = false;

	for (unsigned i = 0; i < USER_BUCKETS; i++)
		for (struct flow *f = u->bucket[i], *next; f; f = next) {
			next = f->next;
			if (f->key.kind == FLOW_TCP) {
				wants_mac |= !u->has_mac;
				user__tcp_tick((struct tcp_flow *)f, now);
			} else if (now - f->heard > dgram_idle(f)) {
				user__flow_drop(f);
			}
		}
	if (wants_mac)
		arp(u, 1, (const uint8_t *)"\xff\xff\xff\xff\xff\xff", u->gateway, u->guest);
	if (u->n_tcp + u->n_dgram > 0)
		loop_timer_set(u->loop, &u->tick, USER_TICK_NS);
	if (u->ready_head)
		link_tell(&u->link);
}

static void user_free(struct link *l)
{
	struct user *u = (struct user *)l;

	for (unsigned i = 0; i < USER_BUCKETS; i++)
		for (struct flow *f = u->bucket[i], *next; f; f = next) {
			next = f->next;
			user__flow_drop(f);
		}
	for (struct flow *f; (f = ready_pop(u));)
		flow_free(f); /* those that were dropped while they stood in it */
	for (unsigned i = 0; i < u->n_fwds; i++) {
		loop_remove(u->loop, &u->fwd[i].source);
		fd_close(&u->fwd[i].fd);
	}
	loop_timer_off(u->loop, &u->tick);
	loop_timer_off(u->loop, &u->soon);
	free(u->scratch);
	free(u);
}

static const struct link_ops user_ops = {
	.name = "user",
	.send = user_send,
	.recv = user_recv,
	.offloads = user_offloads,
	.free = user_free,
};

/* resolver() - the host's first name server with an IPv4 address; read now: later there may be no /etc. */
static uint32_t resolver(void)
{
	auto_fini(buf) struct buf text = { 0 };
	const char *line;

	if (file_slurp_at(AT_FDCWD, "/etc/resolv.conf", &text, RESOLV_MAX) < 0)
		return 0;
	for (line = buf_str(&text); line; line = strchr(line, '\n')) {
		char ip[INET_ADDRSTRLEN];
		struct in_addr a;
		size_t n;

		line += *line == '\n';
		if (!str_starts(line, "nameserver"))
			continue;
		line += strlen("nameserver");
		line += strspn(line, " \t");
		n = strcspn(line, " \t\r\n");
		if (n < sizeof(ip)) {
			memcpy(ip, line, n);
			ip[n] = '\0';
			if (inet_pton(AF_INET, ip, &a) == 1)
				return ntohl(a.s_addr);
		}
	}
	return 0;
}

int link_open_user(struct link **ret_l, struct loop *loop, const struct link_user_config *c, struct err *e)
{
	struct user *u = calloc(1, sizeof(*u));
	int r = 0;

	if (!u)
		return err_sys(e, ENOMEM, "user-mode network");
	u->link = (struct link){ .ops = &user_ops, .host_offloads = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO_ECN };
	u->loop = loop;
	u->ready_tail = &u->ready_head;
	u->tick = (struct loop_timer){ .fire = on_tick, .arg = u };
	u->soon = (struct loop_timer){ .fire = on_soon, .arg = u };
	u->wire = (struct tcp_wire){ .ttl = 64, .bounce = u->bounce };
	memcpy(u->wire.mac, user__mac, 6);
	u->net = c->net ? c->net : 0x0a000200;
	u->mask = c->net ? c->mask : 0xffffff00;
	u->gateway = u->net + HOST_GATEWAY;
	u->dns = u->net + HOST_DNS;
	u->guest = u->net + HOST_GUEST;
	u->restricted = c->restricted;
	u->resolver = resolver();
	if ((u->net & ~u->mask) || ~u->mask < HOST_GUEST + 1 || (~u->mask & (~u->mask + 1)))
		r = err_set(e, EINVAL,
			    "user-mode network: its address or mask: want a network of 32 addresses or more");
	else if (getrandom(&u->isn, sizeof(u->isn), 0) != sizeof(u->isn))
		r = err_sys(e, errno, "user-mode network: getrandom");
	else if (c->hostfwd && *c->hostfwd)
		r = user__hostfwd(u, c->hostfwd, e);
	if (r < 0) {
		user_free(&u->link);
		return r;
	}
	*ret_l = &u->link;
	return 0;
}
