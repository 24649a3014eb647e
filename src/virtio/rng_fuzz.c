/* SPDX-License-Identifier: Apache-2.0 */
/* rng_fuzz.c - a hostile driver of the rng device */
#include "virtio/driver_fuzzing.h"
#include "virtio/rng.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct vdev *make(struct driver *t)
{
	struct vdev *d = NULL;

	BUG_ON(rng_new(&d, &t->mem, NULL, NULL, NULL) < 0);
	return d;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return driver_fuzz(make, 0, data, size);
}
