/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scatter.c [MIB] - more mappings than a host process may have: every other page of that much memory. What is given back and touched anew is
 * zero, the rest is as it was.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { PAGE = 4096 };

int main(int argc, char **argv)
{
	size_t pages = (size_t)(argc > 1 ? atoi(argv[1]) : 600) << 8, wrong = 0;
	uint8_t *m = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (m == MAP_FAILED || madvise(m, pages * PAGE, MADV_NOHUGEPAGE) < 0)
		return 1;
	for (size_t i = 0; i < pages; i += 2)
		*(volatile size_t *)(m + i * PAGE) = i;
	for (int round = 0; round < 2; round++)
		for (size_t i = 0; i < pages; i += 2)
			wrong += *(volatile size_t *)(m + i * PAGE) != i;
	for (size_t i = 0; i < pages; i += 64) {
		madvise(m + i * PAGE, PAGE, MADV_DONTNEED);
		wrong += *(volatile size_t *)(m + i * PAGE) != 0;
	}
	for (size_t i = 0; i < pages; i += 2)
		wrong += *(volatile size_t *)(m + i * PAGE) != (i % 64 ? i : 0);
	printf("%zu pages, %zu wrong\n", pages / 2, wrong);
	return wrong != 0;
}
