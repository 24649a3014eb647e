/* SPDX-License-Identifier: Apache-2.0 */
#include "net/tcp.h"

#include <endian.h>
#include <errno.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <string.h>

#include "net/inet.h"
#include "net/link.h"

enum {
	OUR_SCALE = 4, /* 512 KiB in 16 bits */
	L4_AT = LINK_HDR_BYTES + INET_ETH_BYTES + INET_V4_BYTES,
	DATA_AT = L4_AT + INET_TCP_BYTES,
	SEG_HEAD_MAX = LINK_HDR_BYTES + 18 + 60 + 60,
	GSO_PAYLOAD_MAX = 65535 - INET_V4_BYTES - INET_TCP_BYTES,
	OPT_MSS = 2,
	OPT_SCALE = 3,
};

static bool before(uint32_t a, uint32_t b) /* in TCP's circle of numbers */
{
	return (int32_t)(a - b) < 0;
}

/* --- in ----------------------------------------------------------------------------------------------------- */

/* options() - of a SYN. Spec: RFC 9293 §3.1 */
static void options(struct tcp_seg *s, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i + 1 < len && p[i] != 0;) {
		size_t here = p[i] == 1 ? 1 : p[i + 1];

		if (here == 0 || (p[i] != 1 && here < 2) || i + here > len)
			return;
		if (p[i] == OPT_MSS && here == 4)
			s->mss = inet_get16(p + i + 2);
		if (p[i] == OPT_SCALE && here == 3)
			s->scale = (int8_t)(p[i + 2] > 14 ? 14 : p[i + 2]);
		i += here;
	}
}

int tcp_parse(struct tcp_seg *s, const struct iovec *iov, unsigned n)
{
	uint8_t h[SEG_HEAD_MAX];
	size_t all = link_iov_bytes(iov, n), have = link_iov_copy(h, sizeof(h), iov, n, 0);
	const uint8_t *eth = h + LINK_HDR_BYTES, *l4;
	unsigned l3_len, l4_len, total;

	if (have < DATA_AT || inet_get16(eth + 12) != ETHERTYPE_V4)
		return -EINVAL;
	l3_len = (eth[INET_ETH_BYTES] & 15U) * 4;
	total = inet_get16(eth + INET_ETH_BYTES + 2);
	if (eth[INET_ETH_BYTES] >> 4 != 4 || l3_len < INET_V4_BYTES ||
	    total > all - LINK_HDR_BYTES - INET_ETH_BYTES || total < l3_len + INET_TCP_BYTES ||
	    inet_get16(eth + INET_ETH_BYTES + 6) & 0x3fff || eth[INET_ETH_BYTES + 9] != INET_TCP)
		return -EINVAL;
	l4 = eth + INET_ETH_BYTES + l3_len;
	l4_len = (l4[12] >> 4) * 4U;
	if (l4_len < INET_TCP_BYTES || l3_len + l4_len > total)
		return -EINVAL;
	*s = (struct tcp_seg){ .src = inet_get32(eth + INET_ETH_BYTES + 12),
			       .dst = inet_get32(eth + INET_ETH_BYTES + 16),
			       .sport = inet_get16(l4),
			       .dport = inet_get16(l4 + 2),
			       .seq = inet_get32(l4 + 4),
			       .ack = inet_get32(l4 + 8),
			       .flags = l4[13],
			       .window = inet_get16(l4 + 14),
			       .scale = -1,
			       .iov = iov,
			       .n = n,
			       .off = LINK_HDR_BYTES + INET_ETH_BYTES + l3_len + l4_len,
			       .len = total - l3_len - l4_len };
	memcpy(s->mac, eth + 6, 6);
	if (s->flags & TCP_SYN)
		options(s, l4 + INET_TCP_BYTES, l4_len - INET_TCP_BYTES);
	return 0;
}

static void take_syn(struct tcp *t, const struct tcp_seg *s)
{
	t->mss = s->mss >= 64 ? s->mss : 536;
	t->snd_wnd = s->window; /* never scaled in a SYN */
	t->snd_scale = s->scale >= 0 ? (uint8_t)s->scale : 0;
	t->rcv_scale = s->scale >= 0 ? OUR_SCALE : 0;
	t->rcv_nxt = t->rcv_adv = s->seq + 1;
}

void tcp_accept(struct tcp *t, const struct tcp_app *app, const struct tcp_seg *s, uint32_t isn, nsec_t now)
{
	*t = (struct tcp){ .app = app,
			   .state = TCPS_SYN_IN,
			   .guest = s->src,
			   .ours = s->dst,
			   .gport = s->sport,
			   .oport = s->dport,
			   .snd_una = isn,
			   .snd_nxt = isn,
			   .snd_top = isn,
			   .heard = now };
	memcpy(t->mac, s->mac, 6);
	take_syn(t, s);
}

void tcp_answer(struct tcp *t)
{
	if (t->state == TCPS_SYN_IN)
		t->state = TCPS_SYN_RCVD;
}

void tcp_open(struct tcp *t, const struct tcp_app *app, uint32_t isn, nsec_t now)
{
	t->app = app;
	t->state = TCPS_SYN_SENT;
	t->snd_una = t->snd_nxt = t->snd_top = isn;
	t->heard = now;
}

void tcp_abort(struct tcp *t)
{
	if (t->state != TCPS_FREE && t->state != TCPS_DEAD)
		t->state = TCPS_RESET;
}

void tcp_more(struct tcp *t)
{
	t->more = true;
}

/* resend() - start again at the first byte that was not acknowledged. */
static void resend(struct tcp *t)
{
	t->snd_nxt = t->snd_una;
	t->fin_sent = false;
	t->more = true;
	t->dups = 0;
}

static void take_ack(struct tcp *t, const struct tcp_seg *s, nsec_t now)
{
	uint32_t n = s->ack - t->snd_una, window = s->window << t->snd_scale;
	bool fin;

	if (before(s->ack, t->snd_una) || before(t->snd_top, s->ack)) {
		t->ack_now = before(t->snd_top, s->ack);
		return;
	}
	if (n == 0) {
		if (s->len == 0 && window == t->snd_wnd && t->snd_nxt != t->snd_una &&
		    !(s->flags & TCP_FIN) && ++t->dups == 3)
			resend(t);
		t->snd_wnd = window;
		return;
	}
	fin = t->fin_ever && s->ack == t->snd_top; /* it is the last there is */
	t->app->acked(t, n - fin);
	t->snd_una = s->ack;
	if (before(t->snd_nxt, t->snd_una)) { /* what was to be sent again had come through */
		t->snd_nxt = t->snd_una;
		t->fin_sent = fin;
	}
	t->snd_wnd = window;
	t->dups = t->retries = 0;
	t->resend_at = t->snd_una == t->snd_top ? 0 : now + TCP_RTO_NS;
}

/* take_data() - payload and FIN, in order. */
static void take_data(struct tcp *t, const struct tcp_seg *s)
{
	size_t skip = t->rcv_nxt - s->seq, len, room;

	if (s->len == 0 && !(s->flags & TCP_FIN)) {
		t->ack_now |= s->seq != t->rcv_nxt; /* keep-alive, window probe */
		return;
	}
	t->ack_now = true;
	if (before(t->rcv_nxt, s->seq) || skip > s->len ||
	    t->fin_in) /* a hole, or all of it was here already */
		return;
	len = s->len - skip;
	room = t->app->room(t);
	if (len > room)
		len = room;
	if (len > 0)
		t->app->put(t, s->iov, s->n, s->off + skip, len);
	t->rcv_nxt += (uint32_t)len;
	if (s->flags & TCP_FIN && skip + len == s->len) {
		t->rcv_nxt++;
		t->fin_in = true;
		t->app->fin(t);
	}
}

static void input_syn_sent(struct tcp *t, const struct tcp_seg *s)
{
	if ((s->flags & TCP_ACK) && s->ack != t->snd_una + 1)
		return; /* of a former life; our SYN goes out again */
	if (s->flags & TCP_RST) {
		if (s->flags & TCP_ACK)
			t->state = TCPS_DEAD;
		return;
	}
	if ((s->flags & (TCP_SYN | TCP_ACK)) != (TCP_SYN | TCP_ACK))
		return;
	take_syn(t, s);
	t->snd_una = t->snd_nxt = t->snd_top = s->ack;
	t->state = TCPS_UP;
	t->ack_now = t->more = true;
	t->resend_at = 0;
	if (t->app->up)
		t->app->up(t);
}

void tcp_input(struct tcp *t, const struct tcp_seg *s, nsec_t now)
{
	t->heard = now;
	if (t->state == TCPS_SYN_SENT) {
		input_syn_sent(t, s);
		return;
	}
	if (t->state == TCPS_RESET || t->state == TCPS_DEAD)
		return;
	if (s->flags & TCP_RST) { /* Spec: RFC 9293 §3.5.3: only where a byte would be taken */
		if (s->seq == t->rcv_nxt || (before(t->rcv_nxt, s->seq) && before(s->seq, t->rcv_adv)))
			t->state = TCPS_DEAD;
		return;
	}
	if (t->state == TCPS_SYN_IN) /* not answered yet: the same SYN again */
		return;
	if (s->flags & TCP_SYN) { /* ours was lost; in UP: only an acknowledgement, as RFC 5961 §4 */
		if (t->state == TCPS_SYN_RCVD)
			t->snd_nxt = t->snd_una;
		else
			t->ack_now = true;
		return;
	}
	if (!(s->flags & TCP_ACK))
		return;
	if (t->state == TCPS_SYN_RCVD) {
		if (s->ack != t->snd_una + 1 || t->snd_top != s->ack)
			return;
		t->snd_una = t->snd_nxt = s->ack;
		t->snd_wnd = s->window << t->snd_scale;
		t->resend_at = 0;
		t->state = TCPS_UP;
		t->more = true;
		if (t->app->up)
			t->app->up(t);
	}
	take_ack(t, s, now);
	if (t->state == TCPS_UP)
		take_data(t, s);
}

/* --- out ---------------------------------------------------------------------------------------------------- */

struct frame {
	uint8_t head[TCP_HEADS_MAX];
	uint32_t guest, ours, seq, ack;
	uint16_t gport, oport, window, mss; /* @mss: option of a SYN; 0: none */
	uint8_t flags;
	bool scale;
	size_t len; /* payload */
};

/* heads() - everything but the checksum of TCP. Return: bytes. */
static size_t heads(struct frame *f, const uint8_t *mac, const struct tcp_wire *w)
{
	uint8_t *eth = f->head + LINK_HDR_BYTES, *l3 = eth + INET_ETH_BYTES, *l4 = f->head + L4_AT;
	size_t opts = f->mss ? (f->scale ? 8 : 4) : 0;

	memset(f->head, 0, sizeof(f->head));
	f->head[10] = 1; /* num_buffers */
	memcpy(eth, mac, 6);
	memcpy(eth + 6, w->mac, 6);
	inet_put16(eth + 12, ETHERTYPE_V4);
	l3[0] = 0x45;
	inet_put16(l3 + 2, (uint32_t)(INET_V4_BYTES + INET_TCP_BYTES + opts + f->len));
	l3[6] = 0x40; /* do not fragment */
	l3[8] = w->ttl;
	l3[9] = INET_TCP;
	inet_put32(l3 + 12, f->ours);
	inet_put32(l3 + 16, f->guest);
	inet_v4_csum(l3);
	inet_put16(l4, f->oport);
	inet_put16(l4 + 2, f->gport);
	inet_put32(l4 + 4, f->seq);
	inet_put32(l4 + 8, f->ack);
	l4[12] = (uint8_t)((INET_TCP_BYTES + opts) / 4 << 4);
	l4[13] = f->flags;
	inet_put16(l4 + 14, f->window);
	if (opts > 0) {
		l4[20] = OPT_MSS;
		l4[21] = 4;
		inet_put16(l4 + 22, f->mss);
	}
	if (opts == 8) {
		l4[24] = 1;
		l4[25] = OPT_SCALE;
		l4[26] = 3;
		l4[27] = OUR_SCALE;
	}
	return DATA_AT + opts;
}

/* put_sum() - left to the guest when it takes that, else over the payload at @data. */
static void put_sum(struct frame *f, size_t head_len, const void *data, bool leave, uint16_t gso_size)
{
	uint8_t *l4 = f->head + L4_AT;
	const struct inet_frame v = { .type = ETHERTYPE_V4, .proto = INET_TCP, .l3 = INET_ETH_BYTES };
	uint32_t sum = inet_pseudo(f->head + LINK_HDR_BYTES, &v, (uint32_t)(head_len - L4_AT + f->len));
	struct virtio_net_hdr h = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
				    .csum_start = htole16(INET_ETH_BYTES + INET_V4_BYTES),
				    .csum_offset = htole16(16) };

	if (!leave) {
		sum = inet_sum(inet_sum(sum, l4, head_len - L4_AT), data, f->len);
		inet_put16(l4 + 16, inet_csum(sum));
		return;
	}
	inet_put16(l4 + 16, (uint16_t)~inet_csum(sum));
	if (gso_size > 0) {
		h.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
		h.gso_size = htole16(gso_size);
		h.hdr_len = htole16((uint16_t)(head_len - LINK_HDR_BYTES));
	}
	memcpy(f->head, &h, sizeof(h));
}

/* bare() - a frame without payload. */
static long bare(struct frame *f, const uint8_t *mac, const struct tcp_wire *w, const struct iovec *iov,
		 unsigned n)
{
	size_t len = heads(f, mac, w);

	put_sum(f, len, NULL, false, 0);
	return link_iov_fill(iov, n, 0, f->head, len) == len ? (long)len : -EMSGSIZE;
}

static uint16_t window(struct tcp *t, uint8_t scale)
{
	size_t room = t->app->room(t), top = (size_t)65535 << scale;
	uint32_t edge;

	room = room < top ? room : top;
	room = room >> scale << scale;
	edge = t->rcv_nxt + (uint32_t)room;
	if (before(edge, t->rcv_adv)) { /* what was promised is not taken back. Spec: RFC 9293 §3.8.6 */
		edge = t->rcv_adv;
		room = edge - t->rcv_nxt;
	}
	t->rcv_adv = edge;
	return (uint16_t)(room >> scale);
}

static struct frame frame_of(struct tcp *t, uint32_t seq, uint8_t flags)
{
	bool syn = flags & TCP_SYN;
	struct frame f = { .guest = t->guest,
			   .ours = t->ours,
			   .gport = t->gport,
			   .oport = t->oport,
			   .seq = seq,
			   .ack = flags & TCP_ACK ? t->rcv_nxt : 0,
			   .mss = syn ? TCP_MSS_OURS : 0,
			   .scale = syn && (t->rcv_scale > 0 || !(flags & TCP_ACK)),
			   .flags = flags };

	if (!(flags & TCP_RST))
		f.window = window(t, syn ? 0 : t->rcv_scale);
	t->ack_now = false;
	return f;
}

static void sent(struct tcp *t, uint32_t n, nsec_t now)
{
	t->snd_nxt += n;
	if (before(t->snd_top, t->snd_nxt))
		t->snd_top = t->snd_nxt;
	if (t->resend_at == 0)
		t->resend_at = now + TCP_RTO_NS;
}

/* sendable() - payload bytes that may go out now. */
static size_t sendable(const struct tcp *t, const struct tcp_wire *w, size_t room)
{
	uint32_t flight = t->snd_nxt - t->snd_una;
	uint32_t wnd = t->snd_wnd < TCP_FLIGHT_MAX ? t->snd_wnd : TCP_FLIGHT_MAX;
	bool gso = (w->tun_f & (TUN_F_CSUM | TUN_F_TSO4)) == (TUN_F_CSUM | TUN_F_TSO4);
	size_t max = gso ? GSO_PAYLOAD_MAX : t->mss;

	if (!t->more || t->fin_sent || room <= DATA_AT)
		return 0;
	if (t->probe && flight == 0 && wnd == 0)
		return 1;
	if (flight >= wnd)
		return 0;
	if (max > wnd - flight)
		max = wnd - flight;
	return max < room - DATA_AT ? max : room - DATA_AT;
}

/* data() - a frame with what the application has. Return: bytes; 0: it has none, or its end. */
static long data(struct tcp *t, const struct tcp_wire *w, const struct iovec *iov, unsigned n, size_t max,
		 nsec_t now)
{
	bool leave = w->tun_f & TUN_F_CSUM;
	struct iovec to[LINK_IOV_MAX] = { { w->bounce, max } };
	unsigned k = leave ? link_iov_skip(to, iov, n, DATA_AT) : 1;
	size_t room = 0;
	struct frame f;
	long got;

	for (unsigned i = 0; i < k; i++) { /* no more than @max */
		if (to[i].iov_len > max - room)
			to[i].iov_len = max - room;
		room += to[i].iov_len;
	}
	t->more = false;
	got = t->app->peek(t, t->snd_nxt - t->snd_una, to, k);
	t->probe = false;
	if (got == -ENODATA)
		t->fin_out = true;
	else if (got < 0)
		tcp_abort(t);
	if (got == (long)max)
		t->more = true;
	if (got <= 0)
		return 0;
	f = frame_of(t, t->snd_nxt, TCP_ACK | TCP_PSH);
	f.len = (size_t)got;
	heads(&f, t->mac, w);
	put_sum(&f, DATA_AT, w->bounce, leave, got > t->mss ? t->mss : 0);
	link_iov_fill(iov, n, 0, f.head, DATA_AT);
	if (!leave)
		link_iov_fill(iov, n, DATA_AT, w->bounce, (size_t)got);
	sent(t, (uint32_t)got, now);
	return DATA_AT + got;
}

/* window_opened() - by so much that the guest, which may be waiting, should hear. */
static bool window_opened(struct tcp *t)
{
	uint32_t told = t->rcv_adv - t->rcv_nxt;
	size_t room = t->app->room(t);

	return told < TCP_WINDOW_MAX / 4 && room >= 2 * (size_t)told + 1024;
}

static long output_up(struct tcp *t, const struct tcp_wire *w, const struct iovec *iov, unsigned n,
		      nsec_t now)
{
	size_t max = sendable(t, w, link_iov_bytes(iov, n));
	struct frame f;
	long r;

	if (max > 0) {
		r = data(t, w, iov, n, max, now);
		if (r != 0)
			return r;
		if (t->state == TCPS_RESET)
			return tcp_output(t, w, iov, n, now);
	}
	if (t->fin_out && !t->more && !t->fin_sent) {
		f = frame_of(t, t->snd_nxt, TCP_ACK | TCP_FIN);
		t->fin_sent = t->fin_ever = true;
		sent(t, 1, now);
		return bare(&f, t->mac, w, iov, n);
	}
	if (t->ack_now || (!t->fin_in && window_opened(t))) {
		f = frame_of(t, t->snd_nxt, TCP_ACK);
		return bare(&f, t->mac, w, iov, n);
	}
	if (t->fin_in && t->fin_sent && t->snd_una == t->snd_top)
		t->state = TCPS_DEAD;
	return 0;
}

long tcp_output(struct tcp *t, const struct tcp_wire *w, const struct iovec *iov, unsigned n, nsec_t now)
{
	struct frame f;

	switch (t->state) {
	case TCPS_RESET:
		f = frame_of(t, t->snd_nxt, TCP_RST | TCP_ACK);
		t->state = TCPS_DEAD;
		return bare(&f, t->mac, w, iov, n);
	case TCPS_SYN_RCVD:
	case TCPS_SYN_SENT:
		if (t->snd_nxt != t->snd_una)
			return 0;
		f = frame_of(t, t->snd_nxt, t->state == TCPS_SYN_RCVD ? TCP_SYN | TCP_ACK : TCP_SYN);
		sent(t, 1, now);
		return bare(&f, t->mac, w, iov, n);
	case TCPS_UP: return output_up(t, w, iov, n, now);
	default: return 0;
	}
}

bool tcp_tick(struct tcp *t, nsec_t now)
{
	if (t->state == TCPS_FREE || t->state == TCPS_DEAD)
		return false;
	if (t->state == TCPS_UP && (t->fin_in || t->fin_sent) && now - t->heard > TCP_CLOSE_NS) {
		tcp_abort(t);
		return true;
	}
	if (t->state == TCPS_UP && t->snd_wnd == 0 && t->more && t->snd_nxt == t->snd_una &&
	    t->resend_at == 0) {
		t->probe = true;
		return true;
	}
	if (t->resend_at == 0 || now < t->resend_at)
		return false;
	if (++t->retries > TCP_RETRIES_MAX) {
		tcp_abort(t);
		return true;
	}
	resend(t);
	t->resend_at = now + (TCP_RTO_NS << t->retries);
	t->probe = t->snd_wnd == 0;
	return true;
}

long tcp_refuse(const struct tcp_seg *s, const struct tcp_wire *w, const struct iovec *iov, unsigned n)
{
	bool ack = s->flags & TCP_ACK;
	struct frame f = { .guest = s->src,
			   .ours = s->dst,
			   .gport = s->sport,
			   .oport = s->dport,
			   .seq = ack ? s->ack : 0,
			   .ack = s->seq + (uint32_t)s->len + !!(s->flags & TCP_SYN) + !!(s->flags & TCP_FIN),
			   .flags = ack ? TCP_RST : TCP_RST | TCP_ACK };

	return s->flags & TCP_RST ? 0 : bare(&f, s->mac, w, iov, n);
}
