/* SPDX-License-Identifier: Apache-2.0 */
/* sync.h - what a parent and the process it makes say to each other: one SOCK_SEQPACKET pair, one message a step */
#ifndef CONTAINER_SYNC_H
#define CONTAINER_SYNC_H

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

enum sync_type {
	SYNC_FAILED,  /* child: it cannot; err holds why; nothing follows */
	SYNC_MAP,     /* child: in its new user namespace, wants id maps */
	SYNC_RUNTIME, /* child: namespaces and mounts stand; wants devices moved in and runtime hooks run */
	SYNC_READY,   /* child: all is prepared; the next step is the workload */
	SYNC_GO,      /* parent: done what you asked, go on; value is the child's pid on the host */
	SYNC_TYPE_COUNT
};

struct sync_msg {
	uint32_t type; /* enum sync_type */
	int32_t value;
	struct err err; /* SYNC_FAILED */
};

int sync_send(int sock, enum sync_type type, int32_t value, struct err *e);
/* sync_fail() - tell the other side why; @rc is what to report when @e is empty. */
void sync_fail(int sock, int rc, const struct err *e);
/**
 * sync_recv() - wait for the next message
 * @ret_value: may be NULL
 * Return: enum sync_type, never SYNC_FAILED; -ECONNRESET when the other side is gone without a word; for SYNC_FAILED the
 *         sender's own -errno, with @e as it was there
 */
int sync_recv(int sock, int32_t *ret_value, struct err *e);
/* sync_expect() - the same, and anything but @type is -EPROTO. */
int sync_expect(int sock, enum sync_type type, int32_t *ret_value, struct err *e);

#endif
