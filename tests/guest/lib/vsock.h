/* SPDX-License-Identifier: Apache-2.0 */
/* vsock.h - the packets of the socket device */
#ifndef GUEST_VSOCK_H
#define GUEST_VSOCK_H

#include <stdint.h>

enum {
	VSOCK_HOST = 2,
	VSOCK_STREAM = 1,
	VSOCK_REQUEST = 1,
	VSOCK_RESPONSE,
	VSOCK_RST,
	VSOCK_SHUTDOWN,
	VSOCK_RW,
	VSOCK_CREDIT_UPDATE,
	VSOCK_CREDIT_REQUEST,
	VSOCK_SHUTDOWN_BOTH = 3,
};

struct vsock_header {
	uint64_t src_cid, dst_cid;
	uint32_t src_port, dst_port, len;
	uint16_t type, op;
	uint32_t flags, buf_alloc, fwd_cnt;
} __attribute__((packed));

#endif
