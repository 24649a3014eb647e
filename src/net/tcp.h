/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcp.h - one end of a TCP connection with a guest, over a card's frames
 *
 * Theory of operation. The other end of the wire is a guest's driver in the same memory: frames are pulled when the guest has
 * a buffer (tcp_output()), so nothing gets lost on the way there, and there is no congestion. What is left of TCP is its
 * bookkeeping: numbers, windows, the states. Loss is still survived, as a guest may drop what it likes: what is not
 * acknowledged is sent again from the first byte on, after a time that doubles, or three acknowledgements alike.
 *
 * The end keeps no payload. An application hands it out from where it lies (peek(), at an offset from the first byte not
 * acknowledged) and lets go of it when told (acked()); what comes in goes to it at once (put()), and the window is what it has
 * room for. Segments out of order are dropped and come again.
 *
 * Used by the metadata service (mmds_tcp.c) and the user-mode network (user_tcp.c). IPv4.
 *
 *	FREE --tcp_accept--> SYN_IN --tcp_answer--> SYN_RCVD --ACK--> UP       FREE --tcp_open--> SYN_SENT --SYN,ACK--> UP
 *	any --tcp_abort--> RESET --RST is out--> DEAD     UP: both FINs sent and acknowledged --> DEAD      any --RST--> DEAD
 *
 * There is no TIME_WAIT: an old segment of a dead connection is answered by its owner with RST, as the guest expects.
 *
 * Spec: RFC 9293; RFC 7323 §2 window scale; RFC 6298 §5 timer
 */
#ifndef NET_TCP_H
#define NET_TCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/time.h"

enum {
	TCP_WINDOW_MAX = 512 << 10, /* bytes offered to a guest */
	TCP_FLIGHT_MAX = 512 << 10, /* sent to a guest and not acknowledged */
	TCP_MSS_OURS = 65495,
	TCP_RETRIES_MAX = 8,
	TCP_HEADS_MAX = 12 + 14 + 20 + 28 /* of a frame that we make */
};

#define TCP_RTO_NS   (200 * NSEC_PER_MSEC) /* doubled each time */
#define TCP_CLOSE_NS (60 * NSEC_PER_SEC)   /* a connection half closed that says nothing */

enum tcp_state {
	TCPS_FREE,
	TCPS_SYN_IN,
	TCPS_SYN_RCVD,
	TCPS_SYN_SENT,
	TCPS_UP,
	TCPS_RESET,
	TCPS_DEAD,
	TCPS_STATE_COUNT
};

struct tcp;

struct tcp_app {
	/* room() - bytes that put() would take. put() - @len <= room() bytes of @iov from @off on. */
	size_t (*room)(struct tcp *t);
	void (*put)(struct tcp *t, const struct iovec *iov, unsigned n, size_t off, size_t len);
	/* peek() - up to all of @iov, from @off behind the first byte not acked(). Return: bytes, and when these are not all
	 * that fit, or 0, there is no more until tcp_more(), which may be called from here: the end is known; -ENODATA none any
	 * more; else the connection is reset. */
	long (*peek)(struct tcp *t, size_t off, const struct iovec *iov, unsigned n);
	void (*acked)(struct tcp *t, size_t len);
	void (*up)(struct tcp *t);  /* the guest has completed the handshake; may be NULL */
	void (*fin)(struct tcp *t); /* the guest sends no more */
};

/* What one frame from a guest holds, copied once. The payload stays where it lies. */
struct tcp_seg {
	uint8_t mac[6]; /* the guest's */
	uint32_t src, dst;
	uint16_t sport, dport;
	uint32_t seq, ack, window;
	uint16_t mss; /* 0: not told */
	int8_t scale; /* -1: not told */
	uint8_t flags;
	const struct iovec *iov; /* borrowed */
	unsigned n;
	size_t off, len; /* of the payload in @iov */
};

/* What goes with every frame out. */
struct tcp_wire {
	uint8_t mac[6]; /* ours */
	uint8_t ttl;
	unsigned tun_f;  /* what the guest takes */
	uint8_t *bounce; /* borrowed; LINK_FRAME_MAX bytes */
};

struct tcp { /* member of the application's own struct; {0} is FREE */
	const struct tcp_app *app;
	enum tcp_state state;
	uint8_t mac[6];
	uint32_t guest, ours; /* addresses, host order */
	uint16_t gport, oport;
	uint32_t snd_una, snd_nxt, snd_wnd, snd_top; /* snd_top: highest snd_nxt there was */
	uint32_t rcv_nxt, rcv_adv;                   /* rcv_adv: right edge of the window we last told */
	uint16_t mss;
	uint8_t snd_scale, rcv_scale, dups, retries;
	bool more; /* peek() may have something */
	bool ack_now;
	bool fin_out,
		fin_sent; /* the application has said its last byte; and it went out, as far as snd_nxt goes */
	bool fin_ever;    /* it went out once: snd_top is behind it */
	bool fin_in;      /* the guest has */
	bool probe;       /* the window is shut: one byte goes all the same */
	nsec_t resend_at; /* 0: nothing is in flight */
	nsec_t heard;     /* when the guest last said something */
};

/* tcp_parse() - a frame, virtio_net_hdr first, that holds a whole IPv4 TCP segment. Return: 0; -EINVAL. */
int tcp_parse(struct tcp_seg *s, const struct iovec *iov, unsigned n);

void tcp_accept(struct tcp *t, const struct tcp_app *app, const struct tcp_seg *syn, uint32_t isn,
		nsec_t now);
void tcp_answer(struct tcp *t); /* SYN_IN: yes */
void tcp_open(struct tcp *t, const struct tcp_app *app, uint32_t isn,
	      nsec_t now);     /* addresses and @mac are set */
void tcp_abort(struct tcp *t); /* with RST; also SYN_IN: no */
void tcp_more(struct tcp *t);
static inline bool tcp_is_for(const struct tcp *t, const struct tcp_seg *s)
{
	return t->state != TCPS_FREE && t->gport == s->sport && t->oport == s->dport && t->guest == s->src &&
	       t->ours == s->dst;
}

/* tcp_input() - a segment for which tcp_is_for(). */
void tcp_input(struct tcp *t, const struct tcp_seg *s, nsec_t now);
/* tcp_output() - the next frame into @iov. Return: bytes; 0 there is none; -EMSGSIZE one was lost: too little room. */
long tcp_output(struct tcp *t, const struct tcp_wire *w, const struct iovec *iov, unsigned n, nsec_t now);
/* tcp_tick() - timers; every 100 ms or so. Return: tcp_output() may have something now. */
bool tcp_tick(struct tcp *t, nsec_t now);
/* tcp_refuse() - RST for a segment of no connection. Return: as tcp_output(); 0 when it is RST itself. */
long tcp_refuse(const struct tcp_seg *s, const struct tcp_wire *w, const struct iovec *iov, unsigned n);

#endif
