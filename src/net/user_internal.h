/* SPDX-License-Identifier: Apache-2.0 */
/* user_internal.h - the parts of the user-mode network; see user.c */
#ifndef NET_USER_INTERNAL_H
#define NET_USER_INTERNAL_H

#include <netinet/in.h>

#include "base/buf.h"
#include "io/loop.h"
#include "net/inet.h"
#include "net/link.h"
#include "net/tcp.h"

enum {
	USER_TCP_MAX = 1024,  /* connections */
	USER_DGRAM_MAX = 256, /* UDP conversations and pings */
	USER_HOSTFWD_MAX = 32,
	USER_BUCKETS = 256,
	USER_SMALL_MAX = 32,    /* frames of our own that wait */
	USER_SMALL_BYTES = 640, /* of one of them */
	USER_REFUSALS_MAX = 16,
	USER_IN_MAX = 256 << 10,     /* bytes of a connection that the host's socket did not take yet */
	USER_IN_TOTAL_MAX = 32 << 20 /* of all of them */
};

#define USER_TICK_NS     (100 * NSEC_PER_MSEC)
#define USER_TCP_IDLE_NS (7200 * NSEC_PER_SEC)
#define USER_UDP_IDLE_NS (60 * NSEC_PER_SEC)
#define USER_DNS_IDLE_NS (10 * NSEC_PER_SEC) /* also pings */

struct user;

enum flow_kind { FLOW_TCP, FLOW_UDP, FLOW_PING, FLOW_KIND_COUNT };

struct flow_key {
	enum flow_kind kind;
	uint32_t guest, far;   /* addresses as the guest sees them, host order */
	uint16_t gport, fport; /* a ping's identifier is its gport */
};

/* One conversation of the guest with the world, and the host's socket for it. */
struct flow {
	struct flow_key key;
	struct user *u;
	struct flow *next;       /* in its bucket */
	struct flow *ready_next; /* in the queue of those that may have a frame for the guest */
	bool queued;
	bool dead;      /* taken out of the table; freed when it leaves the queue */
	uint8_t mac[6]; /* the guest's */
	int fd;         /* owned unless @fwd; -1: none */
	struct loop_source source;
	nsec_t heard;
	struct hostfwd *fwd;       /* UDP from a forwarded port: the socket is the port's */
	struct sockaddr_in client; /* and this is whom it talks to */
	bool readable;             /* the socket has not said -EAGAIN since it was last ready */
};

struct tcp_flow {
	struct flow f; /* first */
	struct tcp tcp;
	bool connecting, ended; /* @ended: the peer sends no more */
	bool shut;              /* the guest sends no more; the socket hears of it behind @in */
	bool can_offset;        /* SO_PEEK_OFF works */
	size_t peek_at;         /* the socket's peek offset */
	size_t acked;           /* bytes the guest has and the socket does not know */
	struct buf in;          /* from the guest, for the socket */
	size_t in_at;           /* bytes of it that it has */
};

struct hostfwd {
	struct user *u;
	bool udp;
	int fd; /* owned */
	struct loop_source source;
	uint32_t guest;
	uint16_t gport;
	bool readable; /* UDP */
};

struct user {
	struct link link;
	struct loop *loop; /* borrowed */
	struct loop_timer tick, soon;
	uint32_t net, mask, gateway, dns, guest; /* host order */
	uint32_t resolver;                       /* the host's; 0: it has none */
	bool restricted;
	bool has_mac;
	uint8_t mac[6]; /* the guest's, as last heard */
	struct tcp_wire wire;
	uint32_t isn;
	uint16_t next_port; /* of forwarded connections, at the gateway's address */
	struct flow *bucket[USER_BUCKETS];
	struct flow *ready_head, **ready_tail;
	unsigned n_tcp, n_dgram;
	size_t in_total;
	struct {
		size_t len;
		uint8_t bytes[USER_SMALL_BYTES];
	} small[USER_SMALL_MAX];
	unsigned small_at, n_small;
	struct tcp_seg refusal[USER_REFUSALS_MAX];
	unsigned n_refusals;
	struct hostfwd fwd[USER_HOSTFWD_MAX];
	unsigned n_fwds;
	uint8_t *
		scratch; /* owned, TCP_FLIGHT_MAX; what is peeked over where there is no SO_PEEK_OFF; NULL until needed */
	uint8_t bounce[LINK_FRAME_MAX];
};

extern const uint8_t user__mac[6]; /* of everything on our side */

/* user.c */
struct flow *user__find(struct user *u, const struct flow_key *k);
/* user__flow_add() - into the table, with its socket (taken, also on failure) watched for @events. Return: 0; -errno. */
int user__flow_add(struct user *u, struct flow *f, int fd, uint32_t events,
		   void (*ready)(void *arg, uint32_t events));
void user__flow_drop(struct flow *f);
void user__flow_ready(struct flow *f); /* it may have a frame */
void user__soon(struct user *u);       /* tell the card, from the loop and not from here */
/* user__far() - where the host's socket for @addr:@port goes. Return: false: nowhere. */
bool user__far(const struct user *u, uint32_t addr, uint16_t port, struct sockaddr_in *ret);
/* user__small() - room for a frame of our own with its header zeroed; NULL: too many wait. user__small_done(): @len bytes of it. */
uint8_t *user__small(struct user *u);
void user__small_done(struct user *u, size_t len);
uint16_t user__port(struct user *u);
void user__eth(uint8_t *frame, const uint8_t *to, uint16_t type);
/* user__v4() - an IPv4 header at @l3 for @len bytes behind it. */
void user__v4(uint8_t *l3, uint32_t src, uint32_t dst, uint8_t proto, size_t len);
int user__hostfwd(struct user *u, const char *text, struct err *e); /* user_fwd.c */

/* user_tcp.c */
void user__tcp_in(struct user *u, const struct iovec *iov, unsigned n);
long user__tcp_out(struct tcp_flow *t, const struct iovec *iov, unsigned n);
bool user__tcp_done(const struct tcp_flow *t); /* both sides have all of it */
void user__tcp_tick(struct tcp_flow *t, nsec_t now);
void user__tcp_accept(struct hostfwd *h); /* a connection waits */
void user__tcp_free(struct tcp_flow *t);

/* user_dgram.c */
void user__udp_in(struct user *u, const struct iovec *iov, unsigned n, const uint8_t *eth,
		  const struct inet_frame *v);
void user__icmp_in(struct user *u, const struct iovec *iov, unsigned n, const uint8_t *eth,
		   const struct inet_frame *v);
long user__dgram_out(struct flow *f, const struct iovec *iov, unsigned n);
long user__fwd_out(struct hostfwd *h, const struct iovec *iov, unsigned n);

#endif
