/* SPDX-License-Identifier: Apache-2.0 */
/* boot_fuzz.c - hostile kernel files into the loader: whatever comes, only guest memory is written, and a refusal has a text */
#include "vm/boot.h"

#include <unistd.h>

#include "base/bug.h"
#include "base/err.h"
#include "sys/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct gmem mem;
	static struct x86_state s;
	static int fd = -1;
	struct boot_image b = { .mem = &mem, .initrd_fd = -1, .cmdline = "", .cpus = 1 };
	struct err e = { 0 };

	if (mem.n == 0)
		BUG_ON(gmem_add_ram(&mem, 0, 4 << 20, GMEM_PAGES_SMALL, NULL) < 0);
	if (fd < 0)
		fd = file_memfd("fuzz", 0);
	BUG_ON(fd < 0 || ftruncate(fd, 0) < 0 || pwrite(fd, data, size, 0) != (ssize_t)size);
	b.kernel_fd = fd;
	BUG_ON(boot_load(&b, &s, &e) < 0 && !e.code);
	return 0;
}
