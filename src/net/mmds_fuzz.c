/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mmds_fuzz.c - frames into the metadata service: as they come, or as segments of connections that could be
 */
#include "net/mmds.h"

#include <errno.h>
#include <linux/if_tun.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "net/inet.h"
#include "net/link.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PORTS = 40, AT = LINK_HDR_BYTES, DATA = AT + 14 + 20 + 20 };

static const char doc[] = "{\"a\":{\"b\":\"c\",\"d\":[1,\"x\"]},\"e\":\"0123456789\"}";

struct peer { /* what a guest would know of a connection */
	uint32_t seq, ack;
};

struct in {
	const uint8_t *p, *end;
};

static unsigned take(struct in *in, unsigned n)
{
	unsigned v = 0;

	while (n-- > 0 && in->p < in->end)
		v = v << 8 | *in->p++;
	return v;
}

/* pull() - everything there is; what a guest would learn from it is kept. */
static void pull(struct mmds_net *n, struct peer *peers, unsigned room)
{
	static uint8_t f[LINK_FRAME_MAX];
	struct iovec iov[] = { { f, 30 }, { f + 30, room } };
	long r;

	for (unsigned k = 0; k < 3000 && (r = mmds_net_recv(n, iov, 2)) != -EAGAIN; k++) {
		struct inet_frame v;
		unsigned port;

		BUG_ON(r < 0 ? r != -EMSGSIZE : r > (long)room + 30);
		if (r < 0 || inet_parse(&v, f + AT, (size_t)r - AT) < 0 || v.proto != INET_TCP)
			continue;
		BUG_ON(v.payload == 0);
		port = inet_get16(f + AT + v.l4 + 2) % PORTS;
		peers[port].ack =
			inet_get32(f + AT + v.l4 + 4) + v.end - v.payload + !!(f[AT + v.l4 + 13] & 3);
	}
}

static void segment(struct mmds_net *n, struct in *in, struct peer *peers)
{
	uint8_t f[DATA + 256] = { 0 };
	unsigned port = take(in, 1) % PORTS, flags = take(in, 1), skew = take(in, 1), len = take(in, 1),
		 cut = 0;
	struct peer *p = &peers[port];

	inet_put16(f + AT + 12, ETHERTYPE_V4);
	f[AT + 14] = 0x45;
	inet_put16(f + AT + 16, 40 + len);
	f[AT + 23] = INET_TCP;
	inet_put32(f + AT + 26, 0xa9fe0101);
	inet_put32(f + AT + 30, MMDS_ADDRESS_DEFAULT);
	inet_put16(f + AT + 34, port);
	inet_put16(f + AT + 36, skew % 16 ? 80 : 81);
	inet_put32(f + AT + 38, p->seq + (skew & 32 ? skew % 7 - 3 : 0));
	inet_put32(f + AT + 42, p->ack - (skew & 64 ? skew % 1000 : 0));
	f[AT + 46] = (uint8_t)(5 + (flags >> 6)) << 4;
	f[AT + 47] = flags & 0x1f;
	inet_put16(f + AT + 48, skew & 128 ? skew : 8000);
	for (unsigned i = 0; i < len; i++)
		f[DATA + i] = (uint8_t)take(in, 1);
	cut = skew == 200 ? take(in, 1) % (DATA + len) : 0;
	mmds_net_send(n, &(struct iovec){ f, DATA + len - cut }, 1);
	p->seq += (skew & 32 ? 0 : len) + !!(flags & (TCP_SYN | TCP_FIN));
}

static void raw(struct mmds_net *n, struct in *in)
{
	uint8_t f[200] = { 0 };
	unsigned len = take(in, 1) % sizeof(f);

	for (unsigned i = 0; i < len; i++)
		f[i] = (uint8_t)take(in, 1);
	mmds_net_send(n, &(struct iovec){ f, len }, 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct in in = { data, data + size };
	struct peer peers[PORTS] = { 0 };
	struct mmds *m;
	struct mmds_net *n;
	unsigned how = take(&in, 1);

	BUG_ON(mmds_new(&m, 1000, NULL) < 0 || mmds_put(m, doc, sizeof(doc) - 1, NULL) < 0);
	BUG_ON(mmds_configure(m, &(struct mmds_config){ .version = how & 1 }, NULL) < 0);
	BUG_ON(mmds_net_new(&n, m, NULL, NULL, NULL, NULL) < 0);
	mmds_net_offloads(n, how & 2 ? TUN_F_CSUM | TUN_F_TSO4 : 0);
	while (in.p < in.end) {
		unsigned op = take(&in, 1);

		if (op % 8 == 0)
			raw(n, &in);
		else if (op % 8 < 6)
			segment(n, &in, peers);
		if (op & 8)
			pull(n, peers, op & 16 ? 60 : 4000);
		if (op == 255)
			mmds_net_reset(n);
	}
	pull(n, peers, 4000);
	mmds_net_free(n);
	mmds_free(m);
	return 0;
}
