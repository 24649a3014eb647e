/* SPDX-License-Identifier: Apache-2.0 */
/* multiboot.h - the header of multiboot 1 kernels. Spec: Multiboot 0.6.96, 3.1 */
#ifndef FMT_MULTIBOOT_H
#define FMT_MULTIBOOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

enum { MULTIBOOT_SEARCH_BYTES = 8192 };

struct multiboot {
	uint32_t offset;    /* of the header in the file */
	bool has_addresses; /* what follows counts; else the file is an ELF that says it all */
	uint32_t header_addr, load_addr, load_end, bss_end, entry;
};

/**
 * multiboot_find() - look for a header in the first MULTIBOOT_SEARCH_BYTES of a file
 * Return: 1 found; 0 none; -EOPNOTSUPP it asks for what is not given here; -ENOEXEC its addresses make no sense
 */
int multiboot_find(struct multiboot *ret, const void *bytes, size_t len, struct err *e);

#endif
