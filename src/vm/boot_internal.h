/* SPDX-License-Identifier: Apache-2.0 */
/* boot_internal.h - shared by the parts of the loader */
#ifndef VM_BOOT_INTERNAL_H
#define VM_BOOT_INTERNAL_H

#include "fmt/bzimage.h"
#include "fmt/e820.h"
#include "vm/boot.h"

/* Where things lie below 1 MiB; boot.h shows the whole of it. */
enum {
	BOOT_AT_GDT = 0x500,
	BOOT_AT_PVH = 0x1000, /* start information, module list, memory map */
	BOOT_AT_MB = 0x2000,  /* multiboot information, module list, memory map */
	BOOT_AT_ZERO_PAGE = 0x7000,
	BOOT_AT_STACK = 0x8ff0,
	BOOT_AT_PAGE_TABLES = 0x9000, /* 6 pages: 4 GiB of identity in 2 MiB pages */
	BOOT_AT_SETUP_DATA = 0xf000,
	BOOT_AT_CMDLINE = 0x20000,
	BOOT_LOW_END = 0x9fc00,
	BOOT_AT_ACPI = 0xe0000,
	BOOT_AT_SMBIOS = 0xf0000,
	BOOT_HIGH = 0x100000,
};

enum { BOOT_MAP_MAX = GMEM_REGIONS_MAX + 8 };

/* A kernel's bytes: a file, or memory that a file was decompressed to. */
struct boot_file {
	const char *name; /* borrowed */
	int fd;           /* borrowed */
	uint8_t *bytes;   /* owned; NULL: read @fd */
	uint64_t size;
};

struct boot {
	const struct boot_image *img;
	struct boot_file kernel;
	struct bzimage bz; /* when @is_bzimage */
	bool is_bzimage;
	enum boot_protocol protocol;
	uint64_t entry, kernel_end; /* the first byte behind the kernel in the region that holds it */
	gpa_t initrd, rsdp;
	uint64_t initrd_bytes;
	const char *cmdline;
	struct e820_entry map[BOOT_MAP_MAX];
	unsigned n_map;
};

/* boot_file.c */
int boot__file_open(struct boot_file *f, int fd, const char *name, struct err *e);
int boot__file_read(const struct boot_file *f, uint64_t offset, void *dst, uint64_t len, struct err *e);
int boot__file_decompress(struct boot_file *f, uint64_t offset, uint64_t len, const char *kind,
			  struct err *e);
void boot__file_fini(struct boot_file *f);

/* boot_kernel.c: finds out what the file is, loads it, sets @protocol, @entry, @kernel_end */
int boot__kernel(struct boot *b, struct err *e);

/* boot_tables.c: ACPI and SMBIOS into memory, sets @rsdp */
int boot__tables(struct boot *b, struct err *e);

/* boot_enter.c: what the protocol hands over, and the first processor */
int boot__enter(struct boot *b, struct x86_state *bsp, struct err *e);

/* boot_put() - into memory that the layout promises to be there */
int boot__put(const struct boot *b, gpa_t at, const void *bytes, size_t len, struct err *e);

#endif
