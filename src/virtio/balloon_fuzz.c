/* SPDX-License-Identifier: Apache-2.0 */
/* balloon_fuzz.c - a hostile driver of the balloon, with hinting rounds under way */
#include "virtio/balloon.h"
#include "virtio/driver_fuzzing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct vdev *make(struct driver *t)
{
	static const struct balloon_config c = {
		.target_mib = 1, .deflate_on_oom = true, .hinting = true, .reporting = true, .stats_s = 1
	};
	struct vdev *d = NULL;

	BUG_ON(balloon_new(&d, &t->mem, NULL, &c, NULL) < 0);
	return d;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return driver_fuzz(make, 2 | 4 | 8 | 32, data, size);
}
