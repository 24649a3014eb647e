/* SPDX-License-Identifier: Apache-2.0 */
/* memhp_fuzz.c - a hostile driver of the hot-plug memory device, whose region is part of the memory that rings may lie in */
#include "virtio/driver_fuzzing.h"
#include "virtio/memhp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct vdev *make(struct driver *t)
{
	const struct memhp_config c = {
		.base = 4 << 20, .size = 16 << 20, .slot = 8 << 20, .block = 2 << 20, .requested = 12 << 20
	};
	struct vdev *d = NULL;

	if (!gmem_find(&t->mem, c.base, 1))
		BUG_ON(gmem_add_ram(&t->mem, c.base, c.size, GMEM_PAGES_SMALL, NULL) < 0);
	BUG_ON(memhp_new(&d, &t->mem, NULL, &c, NULL) < 0);
	return d;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return driver_fuzz(make, 2, data, size);
}
