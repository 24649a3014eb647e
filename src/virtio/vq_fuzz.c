/* SPDX-License-Identifier: Apache-2.0 */
/* vq_fuzz.c - hostile rings and registers, served by a device that echoes */
#include "virtio/driver_fuzzing.h"
#include "virtio/echo_testing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t how;

static struct vdev *make(struct driver *t)
{
	struct echo *x = echo_new(t, NULL);

	x->use_quiet = how & 1;
	x->put_back = how & 2;
	x->limit = how >> 2 & 3;
	return &x->d;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	how = data[0];
	return driver_fuzz(make, 3, data + 1, size - 1);
}
