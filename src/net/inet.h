/* SPDX-License-Identifier: Apache-2.0 */
/* inet.h - Ethernet, IP, TCP and UDP headers as bytes at offsets: nothing here is aligned, and all of it is hostile */
#ifndef NET_INET_H
#define NET_INET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	ETHERTYPE_V4 = 0x0800,
	ETHERTYPE_ARPS = 0x0806,
	ETHERTYPE_TAG = 0x8100,
	ETHERTYPE_V6 = 0x86dd,
};

enum { INET_ICMP = 1, INET_TCP = 6, INET_UDP = 17, INET_ICMP6 = 58 };

enum {
	INET_ETH_BYTES = 14,
	INET_V4_BYTES = 20, /* without options */
	INET_V6_BYTES = 40,
	INET_TCP_BYTES = 20, /* without options */
	INET_UDP_BYTES = 8,
	INET_ARP_BYTES = 28,
};

enum { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_PSH = 8, TCP_ACK = 16, TCP_URG = 32, TCP_CWR = 128 };

static inline uint16_t inet_get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t inet_get32(const uint8_t *p)
{
	return (uint32_t)inet_get16(p) << 16 | inet_get16(p + 2);
}

static inline void inet_put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void inet_put32(uint8_t *p, uint32_t v)
{
	inet_put16(p, v >> 16);
	inet_put16(p + 2, v);
}

/* A frame, taken apart; offsets from its first byte, all inside it. */
struct inet_frame {
	uint16_t type;    /* ethertype, behind one 802.1Q tag at most */
	uint8_t proto;    /* INET_x, when @type is IP */
	bool fragment;    /* of an IPv4 packet: @l4 holds no header unless it is the first */
	uint16_t l3, l4;  /* network and transport header */
	uint32_t payload; /* what follows the TCP or UDP header; 0: neither, or it is not whole */
	uint32_t end;     /* of the packet by its own length; an Ethernet frame may be longer (padding) */
};

/**
 * inet_parse() - find the headers of an Ethernet frame
 * @len: bytes at @eth
 * Return: 0; -EINVAL a length in it points out of it
 */
int inet_parse(struct inet_frame *f, const uint8_t *eth, size_t len);

/* inet_sum() - the ones' complement sum of @len bytes on top of @sum; only the last run of a sum may be odd. */
uint32_t inet_sum(uint32_t sum, const void *bytes, size_t len);
/* inet_csum() - what goes into a header for that sum (inet_put16()). */
uint16_t inet_csum(uint32_t sum);
/* inet_pseudo() - of the pseudo header of @f's packet, for @len bytes of transport header and payload. */
uint32_t inet_pseudo(const uint8_t *eth, const struct inet_frame *f, uint32_t len);
/* inet_v4_csum() - the IPv4 header's own, put in place. */
void inet_v4_csum(uint8_t *l3);
/* inet_l4_csum() - TCP's or UDP's of a packet whose length fields are right, put in place. */
void inet_l4_csum(uint8_t *eth, const struct inet_frame *f);

#endif
