/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mmds_net.c - the metadata service on the wire: ARP and TCP of one address, without a network
 *
 * Theory of operation. A card asks for each frame of its guest whether it is for the service's address. If so it ends here, and
 * answers are pulled by the card as frames of a link are. A connection is a struct tcp with a buffer for a request and the
 * response under way; MMDS_CONNECTIONS_MAX of them, and a new one takes the place of the one that has been silent for
 * longest, if that has been for IDLE_NS and owes nothing. Requests on one connection are answered one after the other.
 *
 * A TCP of our own and not a library's: both of its ends are known (tcp.h), everything is bounded by the constants here, and
 * nothing of it is global.
 *
 * Limits: a request MMDS_REQUEST_MAX bytes; a response the store's limit and its head; the address resolution that waits, one;
 * the refusals that wait, REFUSALS_MAX: more are not sent, and the guest's TCP asks again.
 */
#include <errno.h>
#include <linux/if_tun.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/buf.h"
#include "base/err.h"
#include "fmt/http.h"
#include "io/loop.h"
#include "net/inet.h"
#include "net/link.h"
#include "net/mmds_internal.h"
#include "net/tcp.h"

enum {
	REFUSALS_MAX = 8,
	HTTP_PORT = 80,
	TTL = 1,
	ARP_REPLY_BYTES = LINK_HDR_BYTES + INET_ETH_BYTES + INET_ARP_BYTES
};

#define TICK_NS (100 * NSEC_PER_MSEC)
#define IDLE_NS (1 * NSEC_PER_SEC)

static const uint8_t mac[6] = { 0x06, 0x01, 0x23, 0x45, 0x67, 0x01 };

struct conn {
	struct tcp tcp;
	struct mmds_net *net;
	char request[MMDS_REQUEST_MAX];
	size_t len;
	struct buf response; /* from the first byte not acknowledged on, less @acked */
	size_t acked;
	bool last; /* no more requests: the response ends the connection */
};

struct mmds_net {
	struct mmds *m;    /* borrowed */
	struct loop *loop; /* borrowed; NULL: no timers */
	struct loop_timer tick;
	void (*ready)(void *arg);
	void *arg;
	struct tcp_wire wire;
	struct mmds_counts n;
	uint32_t isn;
	unsigned turn;
	bool arp; /* an answer waits */
	uint8_t arp_mac[6];
	uint8_t arp_ip[4];
	struct tcp_seg refusal[REFUSALS_MAX];
	unsigned n_refusals;
	struct http_request http; /* the request being looked at */
	struct conn conn[MMDS_CONNECTIONS_MAX];
	uint8_t bounce[LINK_FRAME_MAX];
};

/* --- a connection ------------------------------------------------------------------------------------------- */

static void conn_reset(struct conn *c)
{
	if (c->tcp.state != TCPS_FREE)
		c->net->n.connections_destroyed++;
	buf_fini(&c->response);
	c->tcp = (struct tcp){ 0 };
	c->len = c->acked = 0;
	c->last = false;
}

/* serve() - the request that is whole, if one is and nothing is owed. */
static void serve(struct conn *c)
{
	struct http_request *r = &c->net->http;
	ssize_t head;
	size_t all;

	if (c->len == 0 || c->response.len > 0 || c->last)
		return;
	http_request_init(r);
	head = http_request_feed(r, c->request, c->len);
	if (head < 0 || (r->done && r->body_len > MMDS_REQUEST_MAX - (size_t)head) ||
	    (!r->done && c->len == MMDS_REQUEST_MAX)) {
		c->last = true;
		c->net->n.rx_bad++;
		mmds__refuse(head < 0 ? r->why : "it is too long", &c->response);
	} else if (!r->done || c->len < (all = (size_t)head + r->body_len)) {
		return;
	} else {
		c->last = !r->keep_alive;
		c->net->n.rx_count++;
		mmds__answer(c->net->m, &c->net->n, r, c->last, &c->response);
		memmove(c->request, c->request + all, c->len - all);
		c->len -= all;
	}
	if (buf_finish(&c->response) < 0) {
		c->net->n.tx_errors++;
		tcp_abort(&c->tcp);
		return;
	}
	c->net->n.tx_count++;
	tcp_more(&c->tcp);
}

static size_t conn_room(struct tcp *t)
{
	const struct conn *c = (const struct conn *)t;

	return c->last ? 1024 : sizeof(c->request) - c->len; /* after the last what comes is not read */
}

static void conn_put(struct tcp *t, const struct iovec *iov, unsigned n, size_t off, size_t len)
{
	struct conn *c = (struct conn *)t;

	if (c->last)
		return;
	c->len += link_iov_copy(c->request + c->len, len, iov, n, off);
	serve(c);
}

static long conn_peek(struct tcp *t, size_t off, const struct iovec *iov, unsigned n)
{
	struct conn *c = (struct conn *)t;

	off += c->acked;
	if (off >= c->response.len)
		return c->last || t->fin_in ? -ENODATA : 0;
	if (c->last || t->fin_in)
		tcp_more(t); /* for the end */
	return (long)link_iov_fill(iov, n, 0, c->response.data + off, c->response.len - off);
}

static void conn_acked(struct tcp *t, size_t len)
{
	struct conn *c = (struct conn *)t;

	c->acked += len;
	c->net->n.tx_bytes += len;
	if (c->acked < c->response.len)
		return;
	buf_fini(&c->response);
	c->acked = 0;
	serve(c); /* one that came behind */
}

static void conn_fin(struct tcp *t)
{
	tcp_more(t); /* with the response out, ours follows */
}

static const struct tcp_app conn_app = {
	.room = conn_room,
	.put = conn_put,
	.peek = conn_peek,
	.acked = conn_acked,
	.fin = conn_fin,
};

/* conn_new() - a place for one; NULL: all are in use. */
static struct conn *conn_new(struct mmds_net *n, nsec_t now)
{
	struct conn *idle = NULL;

	for (unsigned i = 0; i < MMDS_CONNECTIONS_MAX; i++) {
		struct conn *c = &n->conn[i];

		if (c->tcp.state == TCPS_FREE)
			return c;
		if (c->response.len == 0 && now - c->tcp.heard > IDLE_NS &&
		    (!idle || c->tcp.heard < idle->tcp.heard))
			idle = c;
	}
	if (idle)
		conn_reset(idle);
	return idle;
}

static void input(struct mmds_net *n, const struct tcp_seg *s)
{
	nsec_t now = time_now_ns(CLOCK_MONOTONIC);
	struct conn *c;

	if (n->tick.at == 0 && n->loop)
		loop_timer_set(n->loop, &n->tick, TICK_NS);
	for (unsigned i = 0; i < MMDS_CONNECTIONS_MAX; i++) {
		c = &n->conn[i];
		if (!tcp_is_for(&c->tcp, s))
			continue;
		tcp_input(&c->tcp, s, now);
		if (c->tcp.state == TCPS_DEAD)
			conn_reset(c);
		return;
	}
	if (s->dport == HTTP_PORT && (s->flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN) {
		c = conn_new(n, now);
		if (c) {
			n->isn += 64021 + (uint32_t)(now >> 12);
			c->net = n;
			tcp_accept(&c->tcp, &conn_app, s, n->isn, now);
			tcp_answer(&c->tcp);
			n->n.connections_created++;
			return;
		}
	}
	n->n.rx_bad++;
	if (n->n_refusals < REFUSALS_MAX)
		n->refusal[n->n_refusals++] = *s;
}

/* --- frames ------------------------------------------------------------------------------------------------- */

/* arp_in() - a request for our address. Return: whether it was. Spec: RFC 826 */
static bool arp_in(struct mmds_net *n, const uint8_t *arp, size_t len)
{
	static const uint8_t ether_v4_request[8] = { 0, 1, 8, 0, 6, 4, 0, 1 };

	if (len < INET_ARP_BYTES || memcmp(arp, ether_v4_request, 8) != 0 ||
	    inet_get32(arp + 24) != n->m->config.ipv4_address)
		return false;
	memcpy(n->arp_mac, arp + 8, 6);
	memcpy(n->arp_ip, arp + 14, 4);
	n->arp = true;
	return true;
}

bool mmds_net_send(struct mmds_net *n, const struct iovec *iov, unsigned n_iov)
{
	uint8_t head[LINK_HDR_BYTES + INET_ETH_BYTES + INET_ARP_BYTES];
	size_t have = link_iov_copy(head, sizeof(head), iov, n_iov, 0);
	const uint8_t *eth = head + LINK_HDR_BYTES, *l3 = eth + INET_ETH_BYTES;
	struct tcp_seg s;

	if (have < LINK_HDR_BYTES + INET_ETH_BYTES + INET_V4_BYTES)
		return false;
	have -= LINK_HDR_BYTES + INET_ETH_BYTES;
	if (inet_get16(eth + 12) == ETHERTYPE_ARPS) {
		if (!arp_in(n, l3, have))
			return false;
		n->n.rx_accepted++;
		return true;
	}
	if (inet_get16(eth + 12) != ETHERTYPE_V4 || inet_get32(l3 + 16) != n->m->config.ipv4_address)
		return false;
	n->n.rx_accepted++;
	if (tcp_parse(&s, iov, n_iov) < 0 || s.dst != n->m->config.ipv4_address)
		n->n.rx_bad++; /* the second: it was rewritten while we looked */
	else
		input(n, &s);
	return true;
}

static long arp_out(struct mmds_net *n, const struct iovec *iov, unsigned n_iov)
{
	static const uint8_t reply[] = { 0, 1, 8, 0, 6, 4, 0, 2 };
	uint8_t f[ARP_REPLY_BYTES] = { [10] = 1 };
	uint8_t *eth = f + LINK_HDR_BYTES, *arp = eth + INET_ETH_BYTES;

	n->arp = false;
	memcpy(eth, n->arp_mac, 6);
	memcpy(eth + 6, mac, 6);
	inet_put16(eth + 12, ETHERTYPE_ARPS);
	memcpy(arp, reply, sizeof(reply));
	memcpy(arp + 8, mac, 6);
	inet_put32(arp + 14, n->m->config.ipv4_address);
	memcpy(arp + 18, n->arp_mac, 6);
	memcpy(arp + 24, n->arp_ip, 4);
	return link_iov_fill(iov, n_iov, 0, f, sizeof(f)) == sizeof(f) ? (long)sizeof(f) : -EMSGSIZE;
}

static long next_frame(struct mmds_net *n, const struct iovec *iov, unsigned n_iov)
{
	nsec_t now;
	long r = 0;

	if (n->arp)
		return arp_out(n, iov, n_iov);
	while (n->n_refusals > 0 && r == 0)
		r = tcp_refuse(&n->refusal[--n->n_refusals], &n->wire, iov, n_iov);
	if (r != 0 || (n->loop && n->tick.at == 0)) /* the timer is off: there is no connection */
		return r;
	now = time_now_ns(CLOCK_MONOTONIC);
	for (unsigned i = 0; i < MMDS_CONNECTIONS_MAX && r == 0; i++) {
		struct conn *c = &n->conn[(n->turn + i) % MMDS_CONNECTIONS_MAX];

		if (c->tcp.state == TCPS_FREE)
			continue;
		r = tcp_output(&c->tcp, &n->wire, iov, n_iov, now);
		if (c->tcp.state == TCPS_DEAD)
			conn_reset(c);
	}
	n->turn = (n->turn + 1) % MMDS_CONNECTIONS_MAX;
	return r;
}

long mmds_net_recv(struct mmds_net *n, const struct iovec *iov, unsigned n_iov)
{
	long r = next_frame(n, iov, n_iov);

	if (r == 0)
		return -EAGAIN;
	if (r > 0)
		n->n.tx_frames++;
	else
		n->n.tx_errors++;
	return r;
}

static void on_tick(void *arg)
{
	struct mmds_net *n = arg;
	nsec_t now = time_now_ns(CLOCK_MONOTONIC);
	bool some = false, live = false;

	for (unsigned i = 0; i < MMDS_CONNECTIONS_MAX; i++) {
		some |= tcp_tick(&n->conn[i].tcp, now);
		live |= n->conn[i].tcp.state != TCPS_FREE;
	}
	if (live)
		loop_timer_set(n->loop, &n->tick, TICK_NS);
	if (some)
		n->ready(n->arg);
}

/* --- life --------------------------------------------------------------------------------------------------- */

int mmds_net_new(struct mmds_net **ret_n, struct mmds *m, struct loop *loop, void (*ready)(void *arg),
		 void *arg, struct err *e)
{
	struct mmds_net *n = calloc(1, sizeof(*n));

	if (!n)
		return err_sys(e, ENOMEM, "metadata service");
	n->m = m;
	n->loop = loop;
	n->ready = ready;
	n->arg = arg;
	n->tick = (struct loop_timer){ .fire = on_tick, .arg = n };
	n->wire = (struct tcp_wire){ .ttl = TTL, .bounce = n->bounce };
	memcpy(n->wire.mac, mac, sizeof(mac));
	if (getrandom(&n->isn, sizeof(n->isn), 0) != sizeof(n->isn)) {
		free(n);
		return err_sys(e, EIO, "metadata service: getrandom");
	}
	*ret_n = n;
	return 0;
}

void mmds_net_reset(struct mmds_net *n)
{
	for (unsigned i = 0; i < MMDS_CONNECTIONS_MAX; i++)
		if (n->conn[i].tcp.state != TCPS_FREE)
			conn_reset(&n->conn[i]);
	n->n_refusals = 0;
	n->arp = false;
	n->wire.tun_f = 0;
	if (n->loop)
		loop_timer_off(n->loop, &n->tick);
}

void mmds_net_free(struct mmds_net *n)
{
	if (!n)
		return;
	mmds_net_reset(n);
	free(n);
}

void mmds_net_offloads(struct mmds_net *n, unsigned tun_f)
{
	n->wire.tun_f = tun_f;
}

const struct mmds_counts *mmds_net_counts(const struct mmds_net *n)
{
	return &n->n;
}
