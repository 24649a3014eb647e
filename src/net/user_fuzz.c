/* SPDX-License-Identifier: Apache-2.0 */
/*
 * user_fuzz.c - a guest's frames into the user-mode network; restricted, so that none of them leaves the process
 *
 * Its TCP is mmds_fuzz.c's.
 */
#include <errno.h>
#include <linux/if_tun.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "io/loop.h"
#include "net/inet.h"
#include "net/link.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* frame() - @len bytes of a frame as they are, or with the lengths and types that let them in. */
static void frame(uint8_t *f, size_t len, unsigned how)
{
	static const uint8_t proto[] = { INET_TCP, INET_UDP, INET_ICMP, INET_UDP };
	static const uint8_t request[] = { 0, 1, 8, 0, 6, 4, 0, 1 };
	static const uint8_t bootp[] = { 1, 1, 6 };
	static const uint8_t cookie[] = { 0x63, 0x82, 0x53, 0x63 };
	uint8_t *eth = f + LINK_HDR_BYTES;

	if (how & 1 || len < 80)
		return;
	inet_put16(eth + 12, how & 2 ? ETHERTYPE_ARPS : ETHERTYPE_V4);
	if (how & 2) {
		memcpy(eth + 14, request, sizeof(request));
		return;
	}
	eth[14] = 0x45;
	inet_put16(eth + 16, (uint32_t)(len - LINK_HDR_BYTES - 14));
	inet_put16(eth + 20, 0);
	eth[23] = proto[how >> 2 & 3];
	if ((how >> 2 & 3) == 1) { /* a DHCP client */
		inet_put32(eth + 30, 0xffffffff);
		inet_put16(eth + 36, 67);
		inet_put16(eth + 38, (uint32_t)(len - LINK_HDR_BYTES - 34));
		if (len > 12 + 42 + 240) {
			memcpy(eth + 42, bootp, sizeof(bootp));
			memcpy(eth + 42 + 236, cookie, sizeof(cookie));
		}
	} else if (how & 16) {
		inet_put32(eth + 30, 0x0a000202);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t out[LINK_FRAME_MAX];
	struct loop loop = { .epfd = -1 };
	struct link *l;

	BUG_ON(loop_init(&loop) < 0);
	BUG_ON(link_open_user(&l, &loop, &(struct link_user_config){ .restricted = true }, NULL) < 0);
	while (size > 3) {
		unsigned how = data[0];
		size_t len = (size_t)(data[1] << 8 | data[2]) % 700;
		struct iovec iov = { out, sizeof(out) };
		uint8_t *f;

		len = len < size - 3 ? len : size - 3;
		f = malloc(len ? len : 1);
		BUG_ON(!f);
		memcpy(f, data + 3, len);
		frame(f, len, how);
		link_offloads(l, how & 32 ? TUN_F_CSUM | TUN_F_TSO4 : 0);
		BUG_ON(link_send(l, &(struct iovec){ f, len }, 1) != 0);
		if (how & 64)
			for (unsigned n = 0; link_recv(l, &iov, 1) != -EAGAIN; n++)
				BUG_ON(n > 100);
		free(f);
		data += 3 + len;
		size -= 3 + len;
	}
	link_free(l);
	loop_fini(&loop);
	return 0;
}
