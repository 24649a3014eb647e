/* SPDX-License-Identifier: Apache-2.0 */
#include "net/inet.h"

#include <errno.h>
#include <string.h>

/* parse_v4() - Spec: RFC 791 §3.1 */
static int parse_v4(struct inet_frame *f, const uint8_t *l3, size_t len)
{
	unsigned head, total, frag;

	if (len < INET_V4_BYTES || l3[0] >> 4 != 4)
		return -EINVAL;
	head = (l3[0] & 15U) * 4;
	total = inet_get16(l3 + 2);
	if (head < INET_V4_BYTES || total < head || total > len)
		return -EINVAL;
	frag = inet_get16(l3 + 6);
	f->fragment = (frag & 0x3fff) != 0;
	f->proto = l3[9];
	f->l4 = (uint16_t)(f->l3 + head);
	f->end = f->l3 + total;
	return (frag & 0x1fff) != 0;
}

/* parse_v6() - Spec: RFC 8200 §3. Extension headers are not looked behind: @proto is then theirs. */
static int parse_v6(struct inet_frame *f, const uint8_t *l3, size_t len)
{
	unsigned total;

	if (len < INET_V6_BYTES || l3[0] >> 4 != 6)
		return -EINVAL;
	total = INET_V6_BYTES + inet_get16(l3 + 4);
	if (total > len)
		return -EINVAL;
	f->proto = l3[6];
	f->l4 = (uint16_t)(f->l3 + INET_V6_BYTES);
	f->end = f->l3 + total;
	return 0;
}

int inet_parse(struct inet_frame *f, const uint8_t *eth, size_t len)
{
	size_t l4_len, head = 0;
	int r;

	*f = (struct inet_frame){ .l3 = INET_ETH_BYTES };
	if (len < INET_ETH_BYTES)
		return -EINVAL;
	f->type = inet_get16(eth + 12);
	if (f->type == ETHERTYPE_TAG) {
		if (len < INET_ETH_BYTES + 4)
			return -EINVAL;
		f->type = inet_get16(eth + 16);
		f->l3 += 4;
	}
	f->end = (uint32_t)len;
	if (f->type == ETHERTYPE_V4)
		r = parse_v4(f, eth + f->l3, len - f->l3);
	else if (f->type == ETHERTYPE_V6)
		r = parse_v6(f, eth + f->l3, len - f->l3);
	else
		return 0;
	if (r != 0) /* bad, or no first fragment */
		return r < 0 ? r : 0;
	l4_len = f->end - f->l4;
	if (f->proto == INET_UDP && l4_len >= INET_UDP_BYTES)
		head = INET_UDP_BYTES;
	if (f->proto == INET_TCP && l4_len >= INET_TCP_BYTES)
		head = (size_t)(eth[f->l4 + 12] >> 4) * 4;
	if (f->proto == INET_TCP && (head < INET_TCP_BYTES || head > l4_len))
		head = 0;
	f->payload = head > 0 ? (uint32_t)(f->l4 + head) : 0;
	return 0;
}

static uint32_t fold(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint32_t)sum;
}

/* Ones' complement addition does not mind the order of the bytes, so words are added as they lie. Spec: RFC 1071 §2 */
uint32_t inet_sum(uint32_t sum, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	uint64_t acc = sum;
	uint16_t last = 0;

	for (; len >= 8; p += 8, len -= 8) {
		uint32_t w[2];

		memcpy(w, p, 8);
		acc += (uint64_t)w[0] + w[1];
	}
	for (; len >= 2; p += 2, len -= 2) {
		memcpy(&last, p, 2);
		acc += last;
	}
	if (len > 0) {
		last = 0;
		memcpy(&last, p, 1);
		acc += last;
	}
	return fold(acc);
}

uint16_t inet_csum(uint32_t sum)
{
	return (uint16_t)~__builtin_bswap16((uint16_t)fold(sum));
}

uint32_t inet_pseudo(const uint8_t *eth, const struct inet_frame *f, uint32_t len)
{
	uint8_t tail[8] = { 0 };
	uint32_t sum;

	if (f->type == ETHERTYPE_V4)
		sum = inet_sum(0, eth + f->l3 + 12, 8);
	else
		sum = inet_sum(0, eth + f->l3 + 8, 32);
	inet_put32(tail, len);
	tail[7] = f->proto;
	return inet_sum(sum, tail, sizeof(tail));
}

void inet_v4_csum(uint8_t *l3)
{
	inet_put16(l3 + 10, 0);
	inet_put16(l3 + 10, inet_csum(inet_sum(0, l3, (size_t)(l3[0] & 15) * 4)));
}

void inet_l4_csum(uint8_t *eth, const struct inet_frame *f)
{
	uint8_t *at = eth + f->l4 + (f->proto == INET_TCP ? 16 : 6);
	uint32_t len = f->end - f->l4;
	uint16_t c;

	inet_put16(at, 0);
	c = inet_csum(inet_sum(inet_pseudo(eth, f, len), eth + f->l4, len));
	/* A sum of zero in UDP means that there is none. Spec: RFC 768 */
	inet_put16(at, c == 0 && f->proto == INET_UDP ? 0xffff : c);
}
