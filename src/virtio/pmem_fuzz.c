/* SPDX-License-Identifier: Apache-2.0 */
/* pmem_fuzz.c - a hostile driver of the pmem device */
#include "sys/file.h"
#include "virtio/driver_fuzzing.h"
#include "virtio/pmem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct vdev *make(struct driver *t)
{
	struct vdev *d = NULL;

	if (!gmem_find(&t->mem, 1ULL << 32, 1))
		BUG_ON(gmem_add_file(&t->mem, 1ULL << 32, PMEM_ALIGN, file_memfd("pmem", 0), 0, true, false,
				     false, NULL) < 0);
	BUG_ON(pmem_new(&d, &t->mem, NULL, "pmem", 1ULL << 32, NULL, NULL) < 0);
	return d;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return driver_fuzz(make, 0, data, size);
}
