/* SPDX-License-Identifier: Apache-2.0 */
/* rng.h - the entropy device: the host's randomness, as fast as its limit lets it. Spec: virtio 1.2 §5.4 */
#ifndef VIRTIO_RNG_H
#define VIRTIO_RNG_H

#include <stdint.h>

#include "mem/gmem.h"

struct err;
struct limiter_config;
struct loop;
struct vdev;

enum { RNG_REQUEST_MAX = 65536 }; /* bytes for one request; the guest asks again for more */

/* rng_new() - @limit: borrowed; NULL: none. @loop: NULL in tests: a limited request then waits for the next kick. */
int rng_new(struct vdev **ret, const struct gmem *mem, struct loop *loop, const struct limiter_config *limit,
	    struct err *e);

#endif
