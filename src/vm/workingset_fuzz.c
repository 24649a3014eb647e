/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/mman.h>
#include <unistd.h>

#include "base/bug.h"
#include "vm/workingset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	struct workingset w;

	if (fd < 0)
		fd = memfd_create("list", MFD_CLOEXEC);
	BUG_ON(ftruncate(fd, 0) < 0 || pwrite(fd, data, size, 0) != (ssize_t)size);
	if (workingset_read(&w, fd, 4 << 20) == 0)
		for (uint32_t i = 0; i < w.n; i++)
			BUG_ON(w.range[i].offset + w.range[i].len > 4 << 20);
	workingset_fini(&w);
	return 0;
}
